/* Add, Multiply and Concatenate: several inputs become one.
 *
 * Where Add and Multiply get inputs of different ranks, the lower ones get axes of size 1 behind the batch;
 * then NumPy's broadcasting holds. */
#include "frontend/layers/layers_impl.h"

/* The inputs in the dtype of their sum. */
static kt_value *take_parts(const kt_layer_call *call) {
    kt_builder *builder = call->trace->builder;
    if (call->input_count == 0) {
        kt_trace_fail(call->trace, KT_INVALID, "this layer takes a list of inputs.");
        return NULL;
    }
    kt_dtype dtype = kt_call_type(call, 0)->dtype;
    for (uint32_t i = 1; i < call->input_count; i++)
        dtype = kt_dtype_promote(dtype, kt_call_type(call, i)->dtype);
    kt_value *parts = KT_NEW_ARRAY(call->trace->context->arena, kt_value, call->input_count);
    for (uint32_t i = 0; i < call->input_count; i++)
        parts[i] = kt_build_cast(builder, call->inputs[i], dtype);
    return parts;
}

static kt_value or_masks(const kt_layer_call *call) {
    kt_value mask = 0;
    for (uint32_t i = 0; i < call->input_count; i++) {
        if (!call->masks[i]) return 0;
    }
    for (uint32_t i = 0; i < call->input_count; i++) {
        kt_value next = call->masks[i];
        if (mask) kt_build_broadcast_pair(call->trace->builder, &mask, &next);
        mask = mask ? kt_build_or(call->trace->builder, mask, next) : next;
    }
    return mask;
}

/* ---- Add, Multiply
 * ----------------------------------------------------------------------------------------------- */
static kt_value expand_rank(kt_builder *builder, kt_value x, int rank) {
    kt_type type = *kt_build_type(builder, x);
    if (type.rank == rank || type.rank == 0) return x;
    kt_dim shape[KT_MAX_RANK] = {type.dims[0]};
    int added = rank - type.rank;
    for (int i = 1; i < rank; i++) {
        shape[i] = i <= added ? kt_dim_const(builder->graph->dims, 1) : type.dims[i - added];
    }
    return kt_build_reshape(builder, x, rank, shape);
}

static void merge(kt_layer_call *call, const char *what,
                  kt_value (*combine)(kt_builder *, kt_value, kt_value)) {
    kt_builder *builder = call->trace->builder;
    kt_trace_at(call->trace, what);
    kt_value *parts = take_parts(call);
    if (!parts) return;
    int rank = 0;
    for (uint32_t i = 0; i < call->input_count; i++) {
        int given = kt_call_type(call, i)->rank;
        if (given > rank) rank = given;
    }
    kt_value result = expand_rank(builder, parts[0], rank);
    for (uint32_t i = 1; i < call->input_count; i++) {
        kt_value next = expand_rank(builder, parts[i], rank);
        kt_build_broadcast_pair(builder, &result, &next);
        result = combine(builder, result, next);
    }
    call->outputs[0] = result;
    call->output_masks[0] = or_masks(call);
}

static void call_add(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    merge(call, "add", kt_build_add);
}

static void call_multiply(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    merge(call, "multiply", kt_build_mul);
}

const kt_layer_class kt_class_add = {
    .name = "Add",
    .module = "keras.layers",
    .doc = "the sum of the inputs",
    .bytes = sizeof(kt_layer),
    .supports_masking = true,
    .call = call_add,
};

const kt_layer_class kt_class_multiply = {
    .name = "Multiply",
    .module = "keras.layers",
    .doc = "the product of the inputs",
    .bytes = sizeof(kt_layer),
    .supports_masking = true,
    .call = call_multiply,
};

/* ---- Concatenate
 * ------------------------------------------------------------------------------------------------- */
typedef struct concatenate {
    kt_layer layer;
    int64_t axis;
} concatenate;

static const kt_option concatenate_options[] = {
    KT_FIELD(concatenate, axis, INT, "-1"),
    KT_OPTIONS_END,
};

/* Keras joins the masks like the inputs, each spread over its input's last axis and true where there is none;
 * an element of the result is kept if any along the last axis is. */
static kt_value join_masks(const kt_layer_call *call, int axis) {
    kt_builder *builder = call->trace->builder;
    kt_value *masks = KT_NEW_ARRAY(call->trace->context->arena, kt_value, call->input_count);
    bool any = false;
    for (uint32_t i = 0; i < call->input_count; i++) {
        kt_type type = *kt_call_type(call, i);
        type.dtype = KT_BOOL;
        any |= call->masks[i] != 0;
        kt_value mask = call->masks[i] ? call->masks[i] : kt_build_fill(builder, &type, 1);
        int64_t leading[KT_MAX_RANK];
        for (int k = 0; k < type.rank; k++) leading[k] = k;
        masks[i] = kt_build_broadcast(builder, mask, type.rank, type.dims, leading);
    }
    if (!any) return 0;
    int64_t last[] = {kt_call_type(call, 0)->rank - 1};
    kt_value joined = kt_build_concat(builder, masks, call->input_count, axis);
    return kt_build_reduce(builder, joined, KT_REDUCE_MAXIMUM, 1, last);
}

static void call_concatenate(kt_layer *layer, kt_layer_call *call) {
    kt_trace_at(call->trace, "concatenate");
    kt_value *parts = take_parts(call);
    if (!parts) return;
    int axis = kt_call_axis(call, ((concatenate *)layer)->axis, kt_call_type(call, 0)->rank);
    if (axis < 0) return;
    call->outputs[0] = kt_build_concat(call->trace->builder, parts, call->input_count, axis);
    call->output_masks[0] = join_masks(call, axis);
}

const kt_layer_class kt_class_concatenate = {
    .name = "Concatenate",
    .module = "keras.layers",
    .doc = "the inputs joined along an axis",
    .bytes = sizeof(concatenate),
    .options = concatenate_options,
    .supports_masking = true,
    .call = call_concatenate,
};
