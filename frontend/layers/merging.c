/* Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate and Dot: several inputs become one.
 *
 * Where all but the last two get inputs of different ranks, the lower ones get axes of size 1 behind the
 * batch; then NumPy's broadcasting holds. */
#include "frontend/layers/layers_impl.h"

static bool has_inputs(const kt_layer_call *call) {
    if (call->input_count == 0) kt_trace_fail(call->trace, KT_INVALID, "this layer takes a list of inputs.");
    return call->input_count > 0;
}

/* Both in the dtype of their sum. */
static void promote_pair(kt_builder *builder, kt_value *a, kt_value *b) {
    kt_dtype dtype = kt_dtype_promote(kt_build_type(builder, *a)->dtype, kt_build_type(builder, *b)->dtype);
    *a = kt_build_cast(builder, *a, dtype);
    *b = kt_build_cast(builder, *b, dtype);
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

/* ---- element by element ---------------------------------------------------------------------- */
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

typedef kt_value combine_fn(kt_builder *, kt_value, kt_value);

/* The inputs in one rank; NULL and a problem if there are none. */
static kt_value *align_parts(const kt_layer_call *call) {
    if (!has_inputs(call)) return NULL;
    kt_value *parts = KT_NEW_ARRAY(call->trace->context->arena, kt_value, call->input_count);
    int rank = 0;
    for (uint32_t i = 0; i < call->input_count; i++) {
        int given = kt_call_type(call, i)->rank;
        if (given > rank) rank = given;
    }
    for (uint32_t i = 0; i < call->input_count; i++)
        parts[i] = expand_rank(call->trace->builder, call->inputs[i], rank);
    return parts;
}

/* Of bools a sum or the largest is an or, a product or the smallest an and. */
static combine_fn *of_bools(kt_builder *builder, kt_value part, combine_fn *combine) {
    if (kt_build_type(builder, part)->dtype != KT_BOOL) return combine;
    if (combine == kt_build_add || combine == kt_build_maximum) return kt_build_or;
    return combine == kt_build_mul || combine == kt_build_minimum ? kt_build_and : combine;
}

static void merge(kt_layer_call *call, const char *what, combine_fn *combine) {
    kt_builder *builder = call->trace->builder;
    kt_trace_at(call->trace, what);
    const kt_value *parts = align_parts(call);
    if (!parts) return;
    kt_value result = parts[0];
    for (uint32_t i = 1; i < call->input_count; i++) {
        kt_value next = parts[i];
        promote_pair(builder, &result, &next);
        kt_build_broadcast_pair(builder, &result, &next);
        result = of_bools(builder, result, combine)(builder, result, next);
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

static void call_subtract(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    if (kt_call_has_inputs(call, 2)) merge(call, "subtract", kt_build_sub);
}

static void call_average(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *builder = call->trace->builder;
    merge(call, "average", kt_build_add);
    if (!call->outputs[0]) return;
    kt_dtype dtype = kt_build_type(builder, call->outputs[0])->dtype;
    kt_value sum = kt_build_cast(builder, call->outputs[0], kt_dtype_is_float(dtype) ? dtype : KT_F32);
    call->outputs[0] = kt_build_div(builder, sum, kt_build_like(builder, sum, call->input_count));
}

/* An input's mask spread over part's shape; 0: none. */
static kt_value spread_mask(const kt_layer_call *call, uint32_t input, kt_value part) {
    kt_type type = *kt_build_type(call->trace->builder, part);
    if (!call->masks[input] || kt_call_type(call, input)->rank != type.rank) return 0;
    int64_t leading[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) leading[i] = i;
    return kt_build_broadcast(call->trace->builder, call->masks[input], type.rank, type.dims, leading);
}

/* An element that its mask leaves out does not take part. */
static void choose(kt_layer_call *call, const char *what, combine_fn *combine) {
    kt_builder *b = call->trace->builder;
    kt_trace_at(call->trace, what);
    const kt_value *parts = align_parts(call);
    if (!parts) return;
    kt_value result = parts[0];
    kt_value kept = spread_mask(call, 0, result);
    for (uint32_t i = 1; i < call->input_count; i++) {
        kt_value next = parts[i];
        kt_value next_kept = spread_mask(call, i, next);
        promote_pair(b, &result, &next);
        kt_build_broadcast_pair(b, &result, &next);
        kt_type type = *kt_build_type(b, result);
        if (kept) kept = kt_build_broadcast_to(b, kept, type.rank, type.dims);
        if (next_kept) {
            next_kept = kt_build_broadcast_to(b, next_kept, type.rank, type.dims);
            next = kt_build_select(b, next_kept, next, result);
        }
        if (kept) result = kt_build_select(b, kept, result, next);
        kept = kept && next_kept ? kt_build_or(b, kept, next_kept) : 0;
        result = of_bools(b, result, combine)(b, result, next);
    }
    call->outputs[0] = result;
    call->output_masks[0] = or_masks(call);
}

static void call_maximum(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    choose(call, "maximum", kt_build_maximum);
}

static void call_minimum(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    choose(call, "minimum", kt_build_minimum);
}

#define MERGING(c_name, keras_name, documentation, calls)                                                    \
    const kt_layer_class kt_class_##c_name = {.name = (keras_name),                                          \
                                              .module = "keras.layers",                                      \
                                              .doc = (documentation),                                        \
                                              .bytes = sizeof(kt_layer),                                     \
                                              .supports_masking = true,                                      \
                                              .call = (calls)}

MERGING(add, "Add", "the sum of the inputs", call_add);
MERGING(subtract, "Subtract", "the first input less the second", call_subtract);
MERGING(multiply, "Multiply", "the product of the inputs", call_multiply);
MERGING(average, "Average", "the mean of the inputs", call_average);
MERGING(maximum, "Maximum", "the largest of the inputs", call_maximum);
MERGING(minimum, "Minimum", "the smallest of the inputs", call_minimum);

/* ---- Concatenate ----------------------------------------------------------------------------- */
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

/* Of all at once; inputs that are alike stay, where an operation on them would make uint32 of uint64. */
static kt_dtype joined_dtype(const kt_layer_call *call) {
    kt_dtype first = kt_call_type(call, 0)->dtype;
    kt_promotion all = kt_promotion_of(first);
    bool same = true;
    for (uint32_t i = 1; i < call->input_count; i++) {
        all &= kt_promotion_of(kt_call_type(call, i)->dtype);
        same = same && kt_call_type(call, i)->dtype == first;
    }
    return same ? first : kt_promoted(all);
}

static void call_concatenate(kt_layer *layer, kt_layer_call *call) {
    kt_trace_at(call->trace, "concatenate");
    if (!has_inputs(call)) return;
    kt_value *parts = KT_NEW_ARRAY(call->trace->context->arena, kt_value, call->input_count);
    kt_dtype dtype = joined_dtype(call);
    for (uint32_t i = 0; i < call->input_count; i++)
        parts[i] = kt_build_cast(call->trace->builder, call->inputs[i], dtype);
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

/* ---- Dot
 * ----------------------------------------------------------------------------------------------------------
 */
typedef struct dot {
    kt_layer layer;
    const json_t *axes; /* an axis of both inputs, or one of each */
    bool normalize;
    int64_t axis[2];
} dot;

static const kt_option dot_options[] = {
    KT_FIELD(dot, axes, JSON, NULL),
    KT_FIELD(dot, normalize, BOOL, "false"),
    KT_OPTIONS_END,
};

static kt_status check_dot(kt_layer *layer, kt_layer_context *context) {
    dot *self = (dot *)layer;
    bool valid = json_is_integer(self->axes) || json_array_size(self->axes) == 2;
    for (size_t i = 0; valid && i < 2; i++) {
        const json_t *axis = json_is_array(self->axes) ? json_array_get(self->axes, i) : self->axes;
        valid = json_is_integer(axis) && json_integer_value(axis) != 0;
        self->axis[i] = json_integer_value(axis);
    }
    if (valid) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "axes",
                           "must be an axis or a list of two, none of them the batch.");
}

static void call_dot(kt_layer *layer, kt_layer_call *call) {
    const dot *self = (const dot *)layer;
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 2)) return;
    kt_trace_at(call->trace, "dot");
    kt_value parts[] = {call->inputs[0], call->inputs[1]};
    kt_attrs_dot_general attrs = {.lhs_batch = {1, {0}}, .rhs_batch = {1, {0}}};
    kt_ints *contract[] = {&attrs.lhs_contract, &attrs.rhs_contract};
    for (int i = 0; i < 2; i++) {
        int axis = kt_call_axis(call, self->axis[i], kt_call_type(call, (uint32_t)i)->rank);
        if (axis < 0) return;
        if (axis == 0) {
            kt_trace_fail(call->trace, KT_INVALID, "there is no product along the batch.");
            return;
        }
        *contract[i] = (kt_ints){1, {axis}};
        kt_dtype dtype = kt_call_type(call, (uint32_t)i)->dtype;
        if (!self->normalize) continue;
        parts[i] = kt_build_cast(builder, parts[i],
                                 kt_promoted(kt_promotion_of(dtype) & kt_promotion_of_number(KT_F32)));
        parts[i] = kt_unit_norm(builder, parts[i], contract[i], 1e-7);
    }
    kt_dtype compute, result;
    kt_matmul_dtypes(kt_build_type(builder, parts[0])->dtype, kt_build_type(builder, parts[1])->dtype,
                     &compute, &result);
    for (int i = 0; i < 2; i++) parts[i] = kt_build_cast(builder, parts[i], compute);
    kt_value y = kt_build_dot_general(builder, parts[0], parts[1], &attrs);
    y = kt_build_cast(builder, y, result);
    kt_type type = *kt_build_type(builder, y);
    if (type.rank == 1) { /* of two vectors */
        type.dims[1] = kt_dim_const(builder->graph->dims, 1);
        y = kt_build_reshape(builder, y, 2, type.dims);
    }
    call->outputs[0] = y;
}

const kt_layer_class kt_class_dot = {
    .name = "Dot",
    .module = "keras.layers",
    .doc = "the sums of products of two inputs along an axis of each",
    .bytes = sizeof(dot),
    .options = dot_options,
    .check = check_dot,
    .call = call_dot,
};
