/* Operation nodes that sort, and what is read off from sorted elements. An element's place is how many come
 * before it, of which each is compared with each: that takes time in the square of what is sorted, but no
 * memory, and any size. Equal elements keep their order, and NaN is above all. Gradients go where elements
 * come from. */
#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

/* Is u above v? */
static kt_value is_above(kt_builder *b, kt_value u, kt_value v) {
    kt_value above = kt_build_gt(b, u, v);
    if (!kt_dtype_is_float(kt_build_type(b, u)->dtype)) return above;
    kt_value v_counts = kt_build_not(b, kt_build_is_nan(b, v));
    return kt_build_or(b, above, kt_build_and(b, kt_build_is_nan(b, u), v_counts));
}

/* Where the first `count` elements along x's last axis come from, from the least or the largest on, as i32.
 */
static kt_value find_order(kt_builder *b, kt_value x, kt_dim count, bool from_largest) {
    kt_type type = *kt_build_type(b, x), pairs = type;
    int last = type.rank - 1;
    pairs.rank++;
    pairs.dims[last + 1] = type.dims[last];
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < last; i++) axes[i] = i;
    axes[last] = last + 1;
    kt_value other = kt_build_broadcast(b, x, pairs.rank, pairs.dims, axes);
    axes[last] = last;
    kt_value own = kt_build_broadcast(b, x, pairs.rank, pairs.dims, axes);
    kt_value low = from_largest ? other : own, high = from_largest ? own : other;
    pairs.dtype = KT_I32;
    kt_value earlier = kt_build_lt(b, kt_build_iota(b, &pairs, last + 1), kt_build_iota(b, &pairs, last));
    kt_value equal_or_before = kt_build_and(b, earlier, kt_build_not(b, is_above(b, high, low)));
    kt_value before = kt_build_or(b, is_above(b, low, high), equal_or_before);
    kt_value place = kt_reduce_axis(b, kt_build_cast(b, before, KT_I32), KT_REDUCE_SUM, last + 1);
    type.dtype = KT_I32;
    kt_value from = kt_build_iota(b, &type, last);
    type.dims[last] = count;
    const kt_attrs_scatter attrs = {.kind = KT_REDUCE_SUM, .axis = last, .batch_dims = last};
    return kt_build_scatter(b, kt_build_fill(b, &type, 0), place, from, &attrs);
}

static kt_value pick(kt_builder *b, kt_value x, kt_value order) {
    int last = kt_build_type(b, x)->rank - 1;
    return kt_build_gather(b, x, order, last, last);
}

/* x in a dtype that has an order; false, and a problem, where there is no room for pairs of elements. */
static bool begin(kt_layer_call *call, kt_value *x) {
    kt_builder *b = call->trace->builder;
    kt_type type = *kt_build_type(b, *x);
    if (type.dtype == KT_BOOL) *x = kt_build_cast(b, *x, KT_U8);
    if (type.rank >= 1 && type.rank < KT_MAX_RANK) return true;
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "it sorts tensors of 1 to %d axes.", KT_MAX_RANK - 1);
    return false;
}

/* ---- sorting --------------------------------------------------------------------------------- */
typedef struct sorts {
    kt_layer layer;
    const json_t *axis; /* NULL: all */
} sorts;
static const kt_option sort_options[] = {KT_FIELD(sorts, axis, JSON, "-1"), KT_OPTIONS_END};

static void sort(kt_layer *layer, kt_layer_call *call, bool positions) {
    const json_t *along = ((const sorts *)layer)->axis;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints axes = {1, {0}};
    if (!x) return;
    kt_dtype dtype = positions ? KT_I32 : kt_build_type(b, x)->dtype;
    if (!along) x = kt_flatten(b, x);
    int last = kt_build_type(b, x)->rank - 1;
    if (along && !kt_operation_axes(call, along, last + 1, &axes)) return;
    if (axes.count != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it sorts along one axis.");
        return;
    }
    if (!begin(call, &x)) return;
    x = kt_move_axis(b, x, (int)axes.at[0], last);
    kt_value y = find_order(b, x, kt_build_type(b, x)->dims[last], false);
    if (!positions) y = pick(b, x, y);
    call->outputs[0] = kt_build_cast(b, kt_move_axis(b, y, last, (int)axes.at[0]), dtype);
}
static void call_sort(kt_layer *layer, kt_layer_call *call) { sort(layer, call, false); }
static void call_argsort(kt_layer *layer, kt_layer_call *call) { sort(layer, call, true); }
KT_OPERATION_WITH(sort, "Sort", KT_OPERATION_NUMPY, "from the least on along an axis", sorts, sort_options,
                  call_sort)
KT_OPERATION_WITH(argsort, "Argsort", KT_OPERATION_NUMPY,
                  "where elements come from that are sorted along an axis", sorts, sort_options, call_argsort)

typedef struct top_k {
    kt_layer layer;
    int64_t k;
    bool sorted;
} top_k;
static const kt_option top_k_options[] = {
    KT_FIELD(top_k, k, INT, NULL),
    KT_FIELD(top_k, sorted, BOOL, "true", .inert = true), /* false: any order will do */
    KT_OPTIONS_END,
};
static uint32_t two_outputs(const kt_layer *layer) {
    (void)layer;
    return 2;
}
static void call_top_k(kt_layer *layer, kt_layer_call *call) {
    const int64_t k = ((const top_k *)layer)->k;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    if (!begin(call, &x)) return;
    const kt_type *type = kt_build_type(b, x);
    if (k < 1 || k > INT32_MAX) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'k' must be at least 1, and an int32.");
        return;
    }
    if (!kt_build_require_at_least(b, type->dims[type->rank - 1], k,
                                   "the axis that the k largest are taken of"))
        return;
    call->outputs[1] = find_order(b, x, kt_dim_const(b->graph->dims, k), true);
    call->outputs[0] = kt_build_cast(b, pick(b, x, call->outputs[1]), dtype);
}
KT_OPERATION_OUTPUTS(top_k, "TopK", KT_OPERATION_MATH,
                     "the k largest along the last axis, and where they are", top_k, top_k_options,
                     call_top_k, two_outputs)

/* ---- quantiles ------------------------------------------------------------------------------- */
typedef struct quantile {
    kt_layer layer;
    const json_t *axis; /* NULL: all */
    const char *method;
    bool keepdims;
} quantile;
#define METHOD(...)                                                                                          \
    KT_FIELD(quantile, method, CHOICE, "\"linear\"", .choices = "linear lower higher midpoint nearest",      \
             __VA_ARGS__)
#define AXES KT_FIELD(quantile, axis, JSON, "null"), KT_FIELD(quantile, keepdims, BOOL, "false")
static const kt_option percentile_options[] = {AXES, METHOD(.inert = false), KT_OPTIONS_END};
static const kt_option quantile_options[] = {AXES, METHOD(.inert = true), KT_OPTIONS_END};
static const kt_option median_options[] = {AXES, KT_OPTIONS_END};

/* x with its axes that stay in front, and all others as one behind them. */
static kt_value join_axes(kt_builder *b, kt_value x, const kt_ints *axes) {
    kt_type type = *kt_build_type(b, x);
    kt_dim size = kt_dim_const(b->graph->dims, 1);
    uint32_t moved = 0;
    for (uint32_t i = 0; i < axes->count; i++)
        size = kt_dim_mul(b->graph->dims, size, type.dims[axes->at[i]]);
    for (uint32_t i = 0; i < axes->count; i++) /* each leaves its place to the next */
        x = kt_move_axis(b, x, (int)(axes->at[i] - moved++), type.rank - 1);
    type = *kt_build_type(b, x);
    type.rank = (uint8_t)(type.rank - axes->count + 1);
    type.dims[type.rank - 1] = size;
    return kt_build_reshape(b, x, type.rank, type.dims);
}

/* What stands at the places `at`, which are f64 and whole, of sorted elements. */
static kt_value at_place(kt_builder *b, kt_value sorted, kt_value at) {
    return kt_build_gather(b, sorted, kt_build_cast(b, at, KT_I64), kt_build_type(b, sorted)->rank - 1, 0);
}

/* Between the places below and at or above share * (size - 1), as Keras on TensorFlow does. share: f64. */
static kt_value interpolate(kt_builder *b, kt_value sorted, kt_value share, const char *method) {
    const kt_type type = *kt_build_type(b, sorted);
    kt_dim last = kt_dim_add_const(b->graph->dims, type.dims[type.rank - 1], -1);
    kt_value at = kt_build_mul(b, share, kt_dim_like(b, share, last));
    if (!strcmp(method, "nearest")) return at_place(b, sorted, kt_build_round(b, at));
    if (!strcmp(method, "lower")) return at_place(b, sorted, kt_build_floor(b, at));
    kt_value above = kt_build_ceil(b, at);
    if (!strcmp(method, "higher")) return at_place(b, sorted, above);
    bool middle = !strcmp(method, "midpoint");
    kt_value one = kt_build_like(b, at, 1);
    kt_value below = middle ? kt_build_floor(b, at)
                            : kt_build_maximum(b, kt_build_sub(b, above, one), kt_build_like(b, at, 0));
    if (!middle) above = kt_build_minimum(b, kt_build_add(b, below, one), kt_dim_like(b, at, last));
    kt_value part = middle ? kt_build_like(b, at, 0.5) : kt_build_sub(b, above, at);
    part = kt_build_cast(b, part, type.dtype);
    kt_value high = at_place(b, sorted, above), low = at_place(b, sorted, below);
    kt_build_broadcast_pair(b, &high, &part);
    high = kt_build_mul(b, high, kt_build_sub(b, kt_build_like(b, part, 1), part));
    return kt_build_add(b, high, kt_build_mul(b, low, part));
}

/* share: f64. */
static void take_quantile(const quantile *self, kt_layer_call *call, kt_value share, const char *method) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints axes;
    if (!x || !share) return;
    kt_type type = *kt_build_type(b, x);
    int shares = kt_build_type(b, share)->rank;
    if (!kt_operation_axes(call, self->axis, type.rank, &axes)) return;
    int rest = type.rank - (int)axes.count;
    if (rest == KT_MAX_RANK || rest + shares > KT_MAX_RANK ||
        (self->keepdims && type.rank + shares > KT_MAX_RANK)) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "its result has more than %d axes.", KT_MAX_RANK);
        return;
    }
    x = join_axes(b, kt_build_cast(b, x, kt_dtype_to_float(type.dtype)), &axes);
    if (!begin(call, &x)) return;
    kt_value sorted = pick(b, x, find_order(b, x, kt_build_type(b, x)->dims[rest], false));
    kt_value y = interpolate(b, sorted, share, method);
    kt_value unknown = kt_reduce_axis(b, kt_build_is_nan(b, x), KT_REDUCE_MAXIMUM, rest);
    kt_type result = *kt_build_type(b, y);
    int64_t in_front[KT_MAX_RANK];
    for (int i = 0; i < rest; i++) in_front[i] = i;
    unknown = kt_build_broadcast(b, unknown, result.rank, result.dims, in_front);
    y = kt_build_select(b, unknown, kt_build_like(b, y, NAN), y);
    for (int i = 0; i < shares; i++) y = kt_move_axis(b, y, rest + i, i);
    if (self->keepdims) {
        result = *kt_build_type(b, y);
        result.rank = (uint8_t)(shares + type.rank);
        for (uint32_t i = 0; i < axes.count; i++) type.dims[axes.at[i]] = kt_dim_const(b->graph->dims, 1);
        memcpy(result.dims + shares, type.dims, type.rank * sizeof *type.dims);
        y = kt_build_reshape(b, y, result.rank, result.dims);
    }
    call->outputs[0] = y;
}

/* The argument q over a number, in float32 as Keras computes it. */
static kt_value take_share(kt_layer_call *call, double whole) {
    kt_builder *b = call->trace->builder;
    kt_operand q;
    if (!kt_operation_operand(call, 1, "q", &q)) return 0;
    kt_value share = kt_operand_cast(call, &q, KT_F32);
    if (whole != 1) share = kt_build_div(b, share, kt_build_like(b, share, whole));
    return kt_build_cast(b, share, KT_F64);
}
/* Keras keeps the method of this node, and computes linearly whatever it is. */
static void call_quantile(kt_layer *layer, kt_layer_call *call) {
    take_quantile((const quantile *)layer, call, take_share(call, 1), "linear");
}
static void call_percentile(kt_layer *layer, kt_layer_call *call) {
    const quantile *self = (const quantile *)layer;
    take_quantile(self, call, take_share(call, 100), self->method);
}
static void call_median(kt_layer *layer, kt_layer_call *call) {
    take_quantile((const quantile *)layer, call, kt_build_scalar(call->trace->builder, KT_F64, 0.5),
                  "linear");
}
KT_OPERATION_WITH(quantile, "Quantile", KT_OPERATION_NUMPY,
                  "what a share of the elements along axes is below", quantile, quantile_options,
                  call_quantile)
KT_OPERATION_WITH(percentile, "Percentile", KT_OPERATION_NUMPY, "the same, shares in hundredths", quantile,
                  percentile_options, call_percentile)
KT_OPERATION_WITH(median, "Median", KT_OPERATION_NUMPY, "what half of the elements along axes is below",
                  quantile, median_options, call_median)
