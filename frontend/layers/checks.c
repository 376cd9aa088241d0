/* What many layers ask of their options and inputs, and small graph pieces that many of them emit. */
#include "frontend/layers/layers_impl.h"

#include <inttypes.h>
#include <math.h>

/* ---- options --------------------------------------------------------------------------------- */
kt_status kt_check_range(const kt_layer *layer, kt_layer_context *context, const char *option, int64_t value,
                         int64_t low) {
    if (value >= low && value <= INT32_MAX) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, option,
                           "must be from %" PRId64 " to %" PRId32 ", not %" PRId64 ".", low, INT32_MAX,
                           value);
}

kt_status kt_check_ranges(const kt_layer *layer, kt_layer_context *context, const char *option,
                          const kt_ints *values, int64_t low) {
    kt_status status = KT_OK;
    for (uint32_t i = 0; i < values->count && status == KT_OK; i++) {
        status = kt_check_range(layer, context, option, values->at[i], low);
    }
    return status;
}

kt_status kt_check_axes(const kt_layer *layer, kt_layer_context *context, const char *option,
                        const json_t *axis, kt_ints *out_axes) {
    size_t count = json_is_integer(axis) ? 1 : json_array_size(axis);
    bool valid = count >= 1 && count <= KT_MAX_RANK;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *item = json_is_integer(axis) ? axis : json_array_get(axis, i);
        valid = json_is_integer(item);
        out_axes->at[i] = json_integer_value(item);
    }
    if (!valid)
        return kt_layer_reject(layer, context, KT_INVALID, option, "must be an axis or a list of axes.");
    out_axes->count = (uint32_t)count;
    return KT_OK;
}

kt_status kt_check_lora(const kt_layer *layer, kt_layer_context *context, const kt_lora *lora) {
    kt_status status = KT_OK;
    if (lora->rank != KT_NONE_INT)
        KT_COLLECT(status, kt_check_range(layer, context, "lora_rank", lora->rank, 0));
    if (lora->alpha && !json_is_number(lora->alpha))
        status = kt_layer_reject(layer, context, KT_INVALID, "lora_alpha", "must be a number.");
    return status;
}

void kt_add_lora(kt_layer *layer, kt_trace *trace, const kt_lora *lora, uint32_t weight, bool by_alpha) {
    if (!kt_lora_enabled(lora) || layer->quantized) return;
    kt_arena *arena = trace->context->arena;
    kt_dim_pool *dims = trace->builder->graph->dims;
    const kt_type kernel = layer->weights.at[weight].type;
    const char *name = layer->weights.at[weight].name;
    kt_type a = kernel, b = {.dtype = KT_F32, .rank = 2};
    a.dtype = KT_F32;
    a.dims[kernel.rank - 1] = b.dims[0] = kt_dim_const(dims, lora->rank);
    b.dims[1] = kernel.dims[kernel.rank - 1];
    json_t *he = json_string("he_uniform"), *zeros = json_string("zeros");
    kt_arena_defer(arena, kt_json_release, he);
    kt_arena_defer(arena, kt_json_release, zeros);
    uint32_t first =
        kt_layer_add_weight(layer, trace, kt_arena_format(arena, "lora_%s_a", name), &a, he, true);
    uint32_t second =
        kt_layer_add_weight(layer, trace, kt_arena_format(arena, "lora_%s_b", name), &b, zeros, true);
    kt_weight *factor = &layer->weights.at[first];
    factor->factor = layer->weights.at[second].factor = true;
    factor->adapted = weight;
    factor->scale = by_alpha && lora->alpha ? json_number_value(lora->alpha) / (double)lora->rank : 1;
}

kt_value kt_adapted_weight(kt_trace *trace, kt_layer *layer, uint32_t weight) {
    kt_builder *b = trace->builder;
    kt_value kernel = kt_trace_weight(trace, layer, weight);
    for (uint32_t i = 0; i < layer->weights.count && trace->context->trains; i++) {
        const kt_weight *factor = &layer->weights.at[i];
        if (!factor->factor || factor->adapted != weight) continue;
        kt_attrs_dot_general attrs = {.lhs_contract = {1, {factor->type.rank - 1}}, .rhs_contract = {1, {0}}};
        kt_value product = kt_build_dot_general(b, kt_trace_weight(trace, layer, i),
                                                kt_trace_weight(trace, layer, i + 1), &attrs);
        product = kt_build_mul(b, product, kt_build_like(b, product, factor->scale));
        return kt_build_add(b, kernel, product);
    }
    return kernel;
}

void kt_sort_axes(kt_ints *axes) {
    for (uint32_t i = 1; i < axes->count; i++) {
        for (uint32_t j = i; j > 0 && axes->at[j] < axes->at[j - 1]; j--) {
            int64_t swapped = axes->at[j];
            axes->at[j] = axes->at[j - 1];
            axes->at[j - 1] = swapped;
        }
    }
}

/* ---- inputs ---------------------------------------------------------------------------------- */
bool kt_call_has_inputs(const kt_layer_call *call, uint32_t count) {
    if (call->input_count == count) return true;
    kt_trace_fail(call->trace, KT_INVALID, "this layer takes %u input%s, not %u.", count,
                  count == 1 ? "" : "s", call->input_count);
    return false;
}

static const char *type_string(const kt_layer_call *call, const kt_type *type) {
    return kt_type_string(kt_call_dims(call), type, call->trace->context->arena);
}

bool kt_call_has_rank(const kt_layer_call *call, int low, int high) {
    const kt_type *type = kt_call_type(call, 0);
    if (type->rank >= low && type->rank <= high) return true;
    const char *given = type_string(call, type);
    if (low == high) {
        kt_trace_fail(call->trace, KT_INVALID, "the input must have %d axes, but is %s.", low, given);
    } else {
        kt_trace_fail(call->trace, KT_INVALID, "the input must have %d to %d axes, but is %s.", low, high,
                      given);
    }
    return false;
}

bool kt_call_mask_has_rank(const kt_layer_call *call, uint32_t input, int rank) {
    if (!call->masks[input]) return true;
    const kt_type *type = kt_build_type(call->trace->builder, call->masks[input]);
    if (type->rank == rank) return true;
    kt_trace_fail(call->trace, KT_INVALID, "the mask must have %d axes, but is %s.", rank,
                  type_string(call, type));
    return false;
}

int kt_call_axis(const kt_layer_call *call, int64_t axis, int rank) {
    if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
    kt_trace_fail(call->trace, KT_INVALID, "the input has %d axes, so there is no axis %" PRId64 ".", rank,
                  axis);
    return -1;
}

bool kt_call_axes(const kt_layer_call *call, const kt_ints *axes, kt_ints *out_axes) {
    int rank = kt_call_type(call, 0)->rank;
    bool chosen[KT_MAX_RANK] = {false};
    for (uint32_t i = 0; i < axes->count; i++) {
        int axis = kt_call_axis(call, axes->at[i], rank);
        if (axis < 0) return false;
        if (chosen[axis]) {
            kt_trace_fail(call->trace, KT_INVALID, "axis %d is named twice.", axis);
            return false;
        }
        chosen[axis] = true;
    }
    out_axes->count = 0;
    for (int axis = 0; axis < rank; axis++) {
        if (chosen[axis]) out_axes->at[out_axes->count++] = axis;
    }
    return true;
}

int64_t kt_call_static_dim(const kt_layer_call *call, int axis) {
    const kt_type *type = kt_call_type(call, 0);
    int64_t size;
    if (kt_dim_is_const(kt_call_dims(call), type->dims[axis], &size)) return size;
    kt_trace_fail(call->trace, KT_INVALID,
                  "the size of axis %d must be known to make the weights, but the input is %s.", axis,
                  type_string(call, type));
    return -1;
}

/* ---- pieces of graphs ------------------------------------------------------------------------ */
kt_value kt_apply_activation(const kt_layer_call *call, const kt_activation *activation, kt_value x) {
    if (!activation->name) return x;
    kt_trace_at(call->trace, activation->name);
    return kt_activation_apply(call->trace->builder, activation, x);
}

kt_value kt_to_channels_last(kt_builder *builder, kt_value x, bool channels_first) {
    int64_t axes[KT_MAX_RANK] = {0};
    int rank = kt_build_type(builder, x)->rank;
    for (int i = 1; i < rank; i++) axes[i] = i + 1 < rank ? i + 1 : 1;
    return channels_first ? kt_build_transpose(builder, x, axes) : x;
}

kt_value kt_from_channels_last(kt_builder *builder, kt_value x, bool channels_first) {
    int64_t axes[KT_MAX_RANK] = {0};
    int rank = kt_build_type(builder, x)->rank;
    for (int i = 1; i < rank; i++) axes[i] = i > 1 ? i - 1 : rank - 1;
    return channels_first ? kt_build_transpose(builder, x, axes) : x;
}

kt_value kt_clip(kt_builder *builder, kt_value x, double least, double most) {
    if (least > -INFINITY) x = kt_build_maximum(builder, x, kt_build_like(builder, x, least));
    if (most < INFINITY) x = kt_build_minimum(builder, x, kt_build_like(builder, x, most));
    return x;
}

kt_value kt_along_axis(kt_builder *builder, kt_value vector, kt_value x, int axis) {
    kt_type type = *kt_build_type(builder, x);
    int64_t target = axis;
    return kt_build_broadcast(builder, vector, type.rank, type.dims, &target);
}

kt_value kt_spread(kt_builder *builder, kt_value reduced, kt_value x, const kt_ints *axes) {
    kt_type type = *kt_build_type(builder, x);
    int64_t kept[KT_MAX_RANK];
    int count = 0;
    for (int axis = 0; axis < type.rank; axis++) {
        bool gone = false;
        for (uint32_t i = 0; i < axes->count; i++) gone |= axes->at[i] == axis;
        if (!gone) kept[count++] = axis;
    }
    return kt_build_broadcast(builder, reduced, type.rank, type.dims, kept);
}

kt_value kt_reduce_spread(kt_builder *builder, kt_value x, kt_reduction kind, const kt_ints *axes) {
    return kt_spread(builder, kt_build_reduce(builder, x, kind, axes->count, axes->at), x, axes);
}

kt_value kt_divide_by_count(kt_builder *builder, kt_value x, const kt_type *of, const kt_ints *axes) {
    kt_dim_pool *dims = builder->graph->dims;
    kt_dim count = kt_dim_const(dims, 1);
    for (uint32_t i = 0; i < axes->count; i++) count = kt_dim_mul(dims, count, of->dims[axes->at[i]]);
    kt_type type = *kt_build_type(builder, x);
    int64_t number;
    kt_value divisor;
    if (kt_dim_is_const(dims, count, &number)) {
        divisor = kt_build_fill(builder, &type, (double)number);
    } else {
        kt_value size = kt_build_cast(builder, kt_build_size(builder, count), type.dtype);
        divisor = kt_build_broadcast(builder, size, type.rank, type.dims, NULL);
    }
    return kt_build_div(builder, x, divisor);
}

kt_value kt_mean(kt_builder *builder, kt_value x, const kt_ints *axes) {
    kt_type type = *kt_build_type(builder, x);
    kt_value sum = kt_build_reduce(builder, x, KT_REDUCE_SUM, axes->count, axes->at);
    return kt_divide_by_count(builder, sum, &type, axes);
}

kt_value kt_unit_norm(kt_builder *builder, kt_value x, const kt_ints *axes, double epsilon) {
    kt_value sum =
        kt_build_reduce(builder, kt_build_mul(builder, x, x), KT_REDUCE_SUM, axes->count, axes->at);
    kt_value inverse = kt_build_rsqrt(builder, sum);
    inverse = kt_build_minimum(builder, inverse, kt_build_like(builder, inverse, 1 / epsilon));
    return kt_build_mul(builder, x, kt_spread(builder, inverse, x, axes));
}
