/* TimeDistributed: a layer applied to each step of time by itself. Since layers treat the samples of a batch
 * alike and each by itself, all steps are one batch of batch * time samples. In training, layers that draw
 * random numbers, take means over the batch or add to the loss do not; they are called step by step. */
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

/* Does a layer, or one in it, look at more of a batch than at each of its samples? */
static bool is_of_batch(const kt_layer *layer, const kt_trace *trace, bool outermost) {
    static const char adapting[] = "BatchNormalization SpectralNormalization Equalization";
    if (trace->collects_losses && layer->activity_regularizer && !outermost) return true;
    if (trace->training && kt_options_listed(adapting, layer->class->name)) return true;
    if (trace->training && kt_option_find(layer->class->options, "seed")) return true;
    for (uint32_t i = 0; i < layer->children.count; i++)
        if (is_of_batch(layer->children.at[i], trace, false)) return true;
    return false;
}

/* Step `number` of x [batch, time, …]. */
static kt_value take_step(kt_builder *b, kt_value x, int64_t number) {
    const kt_type type = *kt_build_type(b, x);
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int axis = 0; axis < type.rank; axis++) {
        start[axis] = kt_dim_const(b->graph->dims, axis == 1 ? number : 0);
        limit[axis] = axis == 1 ? kt_dim_const(b->graph->dims, number + 1) : type.dims[axis];
        strides[axis] = 1;
    }
    x = kt_build_slice(b, x, start, limit, strides);
    kt_dim shape[KT_MAX_RANK] = {type.dims[0]};
    for (int axis = 2; axis < type.rank; axis++) shape[axis - 1] = type.dims[axis];
    return kt_build_reshape(b, x, type.rank - 1, shape);
}

static void call_steps(kt_layer *layer, kt_layer_call *call) {
    kt_trace *trace = call->trace;
    kt_builder *b = trace->builder;
    enum { MOST = 1024 };
    int64_t length;
    kt_value steps[MOST];
    if (!kt_dim_is_const(b->graph->dims, kt_call_type(call, 0)->dims[1], &length) || length > MOST) {
        kt_trace_fail(trace, KT_UNSUPPORTED,
                      "in training its layer is called step by step, and there must be at most %d steps.",
                      MOST);
        return;
    }
    for (int64_t i = 0; i < length; i++) {
        kt_argument argument = {.kind = KT_ARGUMENT_TENSOR, .value = take_step(b, call->inputs[0], i)};
        if (call->masks[0]) argument.mask = take_step(b, call->masks[0], i);
        kt_value y, mask;
        kt_layer_call_with(layer->children.at[0], trace, &argument, 1, &y, &mask);
        if (!y) return;
        const kt_type type = *kt_build_type(b, y);
        if (type.rank == KT_MAX_RANK || type.rank < 1) {
            kt_trace_fail(trace, KT_UNSUPPORTED, "the layer's output has too many axes, or none.");
            return;
        }
        kt_dim shape[KT_MAX_RANK] = {type.dims[0], kt_dim_const(b->graph->dims, 1)};
        for (int axis = 1; axis < type.rank; axis++) shape[axis + 1] = type.dims[axis];
        steps[i] = kt_build_reshape(b, y, type.rank + 1, shape);
    }
    call->outputs[0] = kt_build_concat(b, steps, (uint32_t)length, 1);
    call->output_masks[0] = call->masks[0];
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 3, KT_MAX_RANK)) return;
    if (is_of_batch(layer->children.at[0], trace, true)) {
        call_steps(layer, call);
        return;
    }
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
