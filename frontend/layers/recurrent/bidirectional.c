/* Bidirectional: a recurrent layer forwards and a like one backwards in time, their outputs merged. */
#include "frontend/layers/recurrent/recurrent_impl.h"

#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct bidirectional {
    kt_layer layer;         /* its children are the two layers */
    const char *merge_mode; /* NULL: both outputs */
} bidirectional;

static const kt_option options[] = {
    KT_FIELD(bidirectional, merge_mode, STRING, "\"concat\""),
    KT_OPTIONS_END,
};

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const char *mode = ((bidirectional *)layer)->merge_mode;
    if (!mode || kt_options_listed("sum mul ave concat", mode)) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "merge_mode",
                           "is '%s', but must be sum, mul, ave, concat or None.", mode);
}

/* The forward layer's serialised form, turned round; a new reference. */
static json_t *turned(const json_t *serialized) {
    json_t *copy = json_deep_copy(serialized), *config = json_object_get(copy, "config");
    const char *name = json_string_value(json_object_get(config, "name"));
    if (name && !strncmp(name, "forward_", 8)) name += 8;
    json_t *new_name = name ? json_sprintf("backward_%s", name) : NULL;
    if (new_name) json_object_set_new(config, "name", new_name);
    if (config) json_object_set_new(config, "go_backwards", json_true());
    return copy;
}

static kt_status add_child(kt_layer *layer, kt_layer_context *context, const json_t *serialized,
                           const char *attribute) {
    const char *path = layer->path ? layer->path : layer->name;
    kt_layer *child = kt_layer_from_config(context, serialized, path);
    if (!child) return KT_UNSUPPORTED;
    kt_recurrence *recurrence = kt_recurrence_of(child);
    if (!recurrence)
        return kt_layer_reject(layer, context, KT_UNSUPPORTED, "layer", "is %s, which is not recurrent.",
                               child->class->name);
    /* Where steps are masked, both directions give zeros, so that their sum is of those that count. */
    recurrence->zero_output_for_mask = recurrence->return_sequences;
    child->attribute = attribute;
    KT_PUSH(context->arena, &layer->children, child);
    return KT_OK;
}

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    const json_t *forward = json_object_get(config, "layer");
    const json_t *backward = json_object_get(config, "backward_layer");
    json_t *made = backward && !json_is_null(backward) ? NULL : turned(forward);
    if (made) kt_arena_defer(context->arena, kt_json_release, made);
    kt_status status = add_child(layer, context, forward, "forward_layer");
    KT_COLLECT(status, add_child(layer, context, made ? made : backward, "backward_layer"));
    if (status != KT_OK) return status;
    const kt_recurrence *a = kt_recurrence_of(layer->children.at[0]),
                        *b = kt_recurrence_of(layer->children.at[1]);
    if (a->go_backwards == b->go_backwards || a->return_sequences != b->return_sequences ||
        a->return_state != b->return_state)
        return kt_layer_reject(layer, context, KT_INVALID, "backward_layer",
                               "must run the other way than layer, and return the same.");
    return KT_OK;
}

static void write_config(const kt_layer *layer, json_t *config) {
    json_object_set_new(config, "layer", kt_layer_get_config(layer->children.at[0]));
    json_object_set_new(config, "backward_layer", kt_layer_get_config(layer->children.at[1]));
}

static uint32_t output_count(const kt_layer *layer) {
    uint32_t states =
        kt_layer_output_count(layer->children.at[0]) - 1 + kt_layer_output_count(layer->children.at[1]) - 1;
    return (((const bidirectional *)layer)->merge_mode ? 1 : 2) + states;
}

/* Calls a direction with its half of the initial states. */
static void call_direction(kt_layer_call *call, kt_layer *child, uint32_t half, kt_value *out_outputs) {
    const kt_argument *given = kt_operation_argument(call, 1, "initial_state");
    kt_argument arguments[2] = {
        {.kind = KT_ARGUMENT_TENSOR, .value = call->inputs[0], .mask = call->masks[0]},
        {.kind = KT_ARGUMENT_LIST, .name = "initial_state"},
    };
    uint32_t count = 1;
    if (given && given->kind == KT_ARGUMENT_LIST) {
        arguments[1].count = given->count / 2;
        arguments[1].items = given->items + half * arguments[1].count;
        count = 2;
    }
    kt_value *masks = KT_NEW_ARRAY(call->trace->context->arena, kt_value, kt_layer_output_count(child));
    kt_layer_call_with(child, call->trace, arguments, count, out_outputs, masks);
}

static kt_value merge(kt_builder *builder, const char *mode, kt_value x, kt_value y) {
    int last = kt_build_type(builder, x)->rank - 1;
    if (!strcmp(mode, "concat")) return kt_build_concat(builder, (kt_value[]){x, y}, 2, last);
    if (!strcmp(mode, "mul")) return kt_build_mul(builder, x, y);
    kt_value sum = kt_build_add(builder, x, y);
    return strcmp(mode, "ave") ? sum : kt_build_div(builder, sum, kt_build_like(builder, sum, 2));
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    const bidirectional *self = (const bidirectional *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    kt_arena *arena = trace->context->arena;
    if (!kt_call_has_inputs(call, 1)) return;
    kt_value *outputs[2];
    for (uint32_t i = 0; i < 2; i++) {
        outputs[i] = KT_NEW_ARRAY(arena, kt_value, kt_layer_output_count(layer->children.at[i]));
        call_direction(call, layer->children.at[i], i, outputs[i]);
    }
    if (!outputs[0][0] || !outputs[1][0]) return;
    kt_trace_at(trace, "merge");
    kt_value y = kt_build_cast(builder, outputs[0][0], layer->compute_dtype);
    kt_value back = kt_build_cast(builder, outputs[1][0], layer->compute_dtype);
    bool sequences = kt_recurrence_of(layer->children.at[0])->return_sequences;
    if (sequences) back = kt_build_reverse(builder, back, 1, (int64_t[]){1});
    uint32_t count = 0;
    call->outputs[count++] = self->merge_mode ? merge(builder, self->merge_mode, y, back) : y;
    if (!self->merge_mode) call->outputs[count++] = back;
    for (uint32_t i = 0; i < count && sequences; i++) call->output_masks[i] = call->masks[0];
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 1; k < kt_layer_output_count(layer->children.at[i]); k++)
            call->outputs[count++] = outputs[i][k];
}

const kt_layer_class kt_class_bidirectional = {
    .name = "Bidirectional",
    .module = "keras.layers",
    .doc = "a recurrent layer in both directions of time",
    .bytes = sizeof(bidirectional),
    .options = options,
    .check = check,
    .read_config = read_config,
    .write_config = write_config,
    .call = call_layer,
    .output_count = output_count,
};
