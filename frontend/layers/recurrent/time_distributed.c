/* TimeDistributed: a layer applied to each step of time by itself. Since layers treat the samples of a batch
 * alike and each by itself, all steps are one batch of batch * time samples. */
#include "frontend/layers/recurrent/recurrent_impl.h"

typedef struct time_distributed {
    kt_layer layer; /* its child is the layer */
} time_distributed;

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    kt_layer *child = kt_layer_from_config(context, json_object_get(config, "layer"),
                                           layer->path ? layer->path : layer->name);
    if (!child) return KT_UNSUPPORTED;
    if (kt_layer_output_count(child) != 1)
        return kt_layer_reject(layer, context, KT_UNSUPPORTED, "layer",
                               "may give several outputs, of which Keras makes no model either.");
    child->attribute = "layer";
    child->unpunished = true;
    KT_PUSH(context->arena, &layer->children, child);
    return KT_OK;
}

static void write_config(const kt_layer *layer, json_t *config) {
    json_object_set_new(config, "layer", kt_layer_get_config(layer->children.at[0]));
}

/* [batch, time, …] as [batch * time, …] */
static kt_value flatten(kt_builder *builder, kt_value x) {
    const kt_type type = *kt_build_type(builder, x);
    kt_dim shape[KT_MAX_RANK] = {kt_dim_mul(builder->graph->dims, type.dims[0], type.dims[1])};
    for (int axis = 2; axis < type.rank; axis++) shape[axis - 1] = type.dims[axis];
    return kt_build_reshape(builder, x, type.rank - 1, shape);
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 3, KT_MAX_RANK)) return;
    const kt_type type = *kt_call_type(call, 0);
    kt_argument argument = {.kind = KT_ARGUMENT_TENSOR, .value = flatten(builder, call->inputs[0])};
    /* The mask of steps says nothing about what is in a step. */
    if (call->masks[0] && kt_build_type(builder, call->masks[0])->rank > 2)
        argument.mask = flatten(builder, call->masks[0]);
    kt_value y, mask;
    kt_layer_call_with(layer->children.at[0], trace, &argument, 1, &y, &mask);
    if (!y) return;
    kt_type result = *kt_build_type(builder, y);
    if (result.rank == KT_MAX_RANK || result.rank < 1) {
        kt_trace_fail(trace, KT_UNSUPPORTED, "the layer's output has too many axes, or none.");
        return;
    }
    kt_dim shape[KT_MAX_RANK] = {type.dims[0], type.dims[1]};
    for (int axis = 1; axis < result.rank; axis++) shape[axis + 1] = result.dims[axis];
    call->outputs[0] = kt_build_reshape(builder, y, result.rank + 1, shape);
    call->output_masks[0] = call->masks[0];
}

const kt_layer_class kt_class_time_distributed = {
    .name = "TimeDistributed",
    .module = "keras.layers",
    .doc = "a layer applied to every step of time",
    .bytes = sizeof(time_distributed),
    .read_config = read_config,
    .write_config = write_config,
    .call = call_layer,
};
