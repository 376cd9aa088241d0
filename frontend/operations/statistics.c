/* Operation nodes over many elements beside the plain reductions: running sums and products, NaN left out,
 * weighted means, differences, counts. */
#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

typedef struct over {
    kt_layer layer;
    const json_t *axis; /* NULL: all */
    bool keepdims;
    const char *to; /* a dtype, or NULL */
} over;
static const kt_option axes_options[] = {
    KT_FIELD(over, axis, JSON, "null"),
    KT_FIELD(over, keepdims, BOOL, "false"),
    KT_OPTIONS_END,
};
static const kt_option axis_options[] = {KT_FIELD(over, axis, JSON, "null"), KT_OPTIONS_END};
static const kt_option running_options[] = {
    KT_FIELD(over, axis, JSON, "null"),
    {"dtype", KT_OPTION_STRING, offsetof(over, to), "null"},
    KT_OPTIONS_END,
};

static kt_value take(const over *o, const kt_layer_call *call, const char *name, kt_type *out_type,
                     kt_ints *out_axes) {
    kt_value x = kt_operation_tensor(call, 0, name);
    if (!x) return 0;
    *out_type = *kt_build_type(call->trace->builder, x);
    return kt_operation_axes(call, o->axis, out_type->rank, out_axes) ? x : 0;
}

/* y, which has lost axes, with these axes again as size 1 if the layer keeps them. */
static void give(const over *o, kt_layer_call *call, kt_value y, const kt_type *before, const kt_ints *axes) {
    kt_type shape = *before;
    for (uint32_t i = 0; i < axes->count; i++)
        shape.dims[axes->at[i]] = kt_dim_const(call->trace->builder->graph->dims, 1);
    call->outputs[0] = o->keepdims ? kt_build_reshape(call->trace->builder, y, shape.rank, shape.dims) : y;
}

static kt_value reduce(kt_builder *b, kt_value x, kt_reduction kind, const kt_ints *axes) {
    return kt_build_reduce(b, x, kind, axes->count, axes->at);
}
static kt_value number(kt_builder *b, kt_value like, double value) { return kt_build_like(b, like, value); }
static bool is_float(kt_builder *b, kt_value x) { return kt_dtype_is_float(kt_build_type(b, x)->dtype); }
/* x with a number in place of NaN. */
static kt_value without_nan(kt_builder *b, kt_value x, double instead) {
    return is_float(b, x) ? kt_build_select(b, kt_build_is_nan(b, x), number(b, x, instead), x) : x;
}

/* ---- running --------------------------------------------------------------------------------- */
static void run(kt_layer *layer, kt_layer_call *call, kt_reduction kind, bool skips_nan) {
    const over *o = (const over *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    if (dtype == KT_BOOL) dtype = KT_I32;
    if (o->to && (!kt_dtype_parse_keras(o->to, &dtype) || !kt_domain_has(KT_NUMBER, dtype))) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "its dtype %s is not supported.", o->to);
        return;
    }
    if (!o->axis) x = kt_flatten(b, x);
    kt_ints axes = {1, {0}};
    if (o->axis && !kt_operation_axes(call, o->axis, kt_build_type(b, x)->rank, &axes)) return;
    if (axes.count != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it runs along one axis.");
        return;
    }
    if (skips_nan) x = without_nan(b, x, kind == KT_REDUCE_PRODUCT);
    kt_attrs_cumulative attrs = {.kind = kind, .axis = axes.at[0]};
    call->outputs[0] = kt_build_cumulative(b, kt_build_cast(b, x, dtype), &attrs);
}
#define RUNNING(c_name, keras_name, kind, skips_nan, doc)                                                    \
    static void call_##c_name(kt_layer *layer, kt_layer_call *call) {                                        \
        run(layer, call, KT_REDUCE_##kind, skips_nan);                                                       \
    }                                                                                                        \
    KT_OPERATION_WITH(c_name, keras_name, KT_OPERATION_NUMPY, doc, over, running_options, call_##c_name)
// clang-format off
RUNNING(cumsum,     "Cumsum",     SUM,     false, "running sums along an axis")
RUNNING(cumprod,    "Cumprod",    PRODUCT, false, "running products along an axis")
RUNNING(nancumsum,  "Nancumsum",  SUM,     true,  "running sums along an axis, NaN as 0")
RUNNING(nancumprod, "Nancumprod", PRODUCT, true,  "running products along an axis, NaN as 1")
// clang-format on

/* ---- without NaN ----------------------------------------------------------------------------- */
/* Sums and products with NaN as what changes nothing. */
static void total(kt_layer *layer, kt_layer_call *call, kt_reduction kind) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take((over *)layer, call, "x", &type, &axes);
    if (!x) return;
    x = kt_build_cast(b, without_nan(b, x, kind == KT_REDUCE_PRODUCT), kt_sum_dtype(type.dtype));
    give((over *)layer, call, reduce(b, x, kind, &axes), &type, &axes);
}
static void call_nansum(kt_layer *layer, kt_layer_call *call) { total(layer, call, KT_REDUCE_SUM); }
static void call_nanprod(kt_layer *layer, kt_layer_call *call) { total(layer, call, KT_REDUCE_PRODUCT); }

/* The largest or smallest number; NaN where there is none but NaN. */
static void extreme(kt_layer *layer, kt_layer_call *call, kt_reduction kind) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take((over *)layer, call, "x", &type, &axes);
    if (!x) return;
    kt_value y = reduce(b, without_nan(b, x, kind == KT_REDUCE_MAXIMUM ? -INFINITY : INFINITY), kind, &axes);
    if (is_float(b, x)) {
        kt_value none = reduce(b, kt_build_is_nan(b, x), KT_REDUCE_MINIMUM, &axes);
        y = kt_build_select(b, none, number(b, y, NAN), y);
    }
    give((over *)layer, call, y, &type, &axes);
}
static void call_nanmax(kt_layer *layer, kt_layer_call *call) { extreme(layer, call, KT_REDUCE_MAXIMUM); }
static void call_nanmin(kt_layer *layer, kt_layer_call *call) { extreme(layer, call, KT_REDUCE_MINIMUM); }

/* Where the largest or smallest number is; -1 where there is none but NaN. */
static void position(kt_layer *layer, kt_layer_call *call, kt_reduction kind) {
    const over *o = (const over *)layer;
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take(o, call, "x", &type, &axes);
    if (!x) return;
    if (!o->axis) x = kt_flatten(b, x);
    if (o->axis && axes.count != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it looks along one axis, and is given %u.", axes.count);
        return;
    }
    int axis = o->axis ? (int)axes.at[0] : 0;
    bool has_nan = is_float(b, x);
    if (type.dtype == KT_BOOL) x = kt_build_cast(b, x, KT_I32);
    kt_value y = kt_build_arg_reduce(b, without_nan(b, x, kind == KT_REDUCE_MAXIMUM ? -INFINITY : INFINITY),
                                     kind, axis, KT_I32);
    if (has_nan) {
        kt_value none = kt_reduce_axis(b, kt_build_is_nan(b, x), KT_REDUCE_MINIMUM, axis);
        y = kt_build_select(b, none, number(b, y, -1), y);
    }
    give(o, call, y, &type, &axes);
}
static void call_nanargmax(kt_layer *layer, kt_layer_call *call) { position(layer, call, KT_REDUCE_MAXIMUM); }
static void call_nanargmin(kt_layer *layer, kt_layer_call *call) { position(layer, call, KT_REDUCE_MINIMUM); }

/* The mean of the elements that are no NaN. */
static kt_value mean_of_numbers(kt_builder *b, kt_value x, kt_value count, const kt_ints *axes) {
    return kt_build_div(b, reduce(b, without_nan(b, x, 0), KT_REDUCE_SUM, axes), count);
}

static void moment(kt_layer *layer, kt_layer_call *call, int order, bool root) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take((over *)layer, call, "x", &type, &axes);
    if (!x) return;
    x = kt_build_cast(b, x, type.dtype == KT_F64 ? KT_F64 : KT_F32);
    kt_value is_number = kt_build_eq(b, x, x);
    kt_value count = reduce(b, kt_build_cast(b, is_number, kt_build_type(b, x)->dtype), KT_REDUCE_SUM, &axes);
    kt_value y = mean_of_numbers(b, x, count, &axes);
    if (order == 2) {
        kt_value difference = kt_build_sub(b, x, kt_spread(b, y, x, &axes));
        y = mean_of_numbers(b, kt_build_mul(b, difference, difference), count, &axes);
    }
    if (root) y = kt_build_sqrt(b, y);
    give((over *)layer, call, kt_build_cast(b, y, kt_dtype_to_float(type.dtype)), &type, &axes);
}
static void call_nanmean(kt_layer *layer, kt_layer_call *call) { moment(layer, call, 1, false); }
static void call_nanvar(kt_layer *layer, kt_layer_call *call) { moment(layer, call, 2, false); }
static void call_nanstd(kt_layer *layer, kt_layer_call *call) { moment(layer, call, 2, true); }

/* ---- sums of another kind -------------------------------------------------------------------- */
static void call_count_nonzero(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take((over *)layer, call, "x", &type, &axes);
    if (!x) return;
    x = kt_build_cast(b, kt_build_cast(b, x, KT_BOOL), KT_I32);
    call->outputs[0] = reduce(b, x, KT_REDUCE_SUM, &axes);
}

static void call_ptp(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take((over *)layer, call, "x", &type, &axes);
    if (!x) return;
    kt_value high = reduce(b, x, KT_REDUCE_MAXIMUM, &axes), low = reduce(b, x, KT_REDUCE_MINIMUM, &axes);
    give((over *)layer, call, kt_build_sub(b, high, low), &type, &axes);
}

/* The largest element stands outside, so that nothing overflows; an infinite one as 0. */
static void call_logsumexp(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take((over *)layer, call, "x", &type, &axes);
    if (!x) return;
    x = kt_build_cast(b, x, kt_dtype_to_float(type.dtype));
    kt_value largest = reduce(b, x, KT_REDUCE_MAXIMUM, &axes);
    largest = kt_build_select(b, kt_build_is_finite(b, largest), largest, number(b, largest, 0));
    kt_value below = kt_build_sub(b, x, kt_spread(b, largest, x, &axes));
    kt_value sum = reduce(b, kt_build_exp(b, below), KT_REDUCE_SUM, &axes);
    give((over *)layer, call, kt_build_add(b, kt_build_log(b, sum), largest), &type, &axes);
}

#define OVER(c_name, keras_name, module, table, doc)                                                         \
    KT_OPERATION_WITH(c_name, keras_name, module, doc, over, table, call_##c_name)
// clang-format off
OVER(nansum,        "Nansum",       KT_OPERATION_NUMPY, axes_options, "the sum along axes, NaN as 0")
OVER(nanprod,       "Nanprod",      KT_OPERATION_NUMPY, axes_options, "the product along axes, NaN as 1")
OVER(nanmax,        "Nanmax",       KT_OPERATION_NUMPY, axes_options, "the largest along axes that is no NaN")
OVER(nanmin,        "Nanmin",       KT_OPERATION_NUMPY, axes_options, "the smallest along axes that is no NaN")
OVER(nanargmax,     "Nanargmax",    KT_OPERATION_NUMPY, axes_options, "the position of the largest that is no NaN")
OVER(nanargmin,     "Nanargmin",    KT_OPERATION_NUMPY, axes_options, "the position of the smallest that is no NaN")
OVER(nanmean,       "Nanmean",      KT_OPERATION_NUMPY, axes_options, "the mean along axes without NaN")
OVER(nanvar,        "Nanvar",       KT_OPERATION_NUMPY, axes_options, "the variance along axes without NaN")
OVER(nanstd,        "Nanstd",       KT_OPERATION_NUMPY, axes_options, "the standard deviation along axes without NaN")
OVER(count_nonzero, "CountNonzero", KT_OPERATION_NUMPY, axis_options, "how many elements along axes are not 0")
OVER(ptp,           "Ptp",          KT_OPERATION_NUMPY, axes_options, "the largest less the smallest along axes")
OVER(logsumexp,     "Logsumexp",    KT_OPERATION_MATH,  axes_options, "log of the sum of e^x along axes")
// clang-format on

static void call_average(kt_layer *layer, kt_layer_call *call) {
    const over *o = (const over *)layer;
    kt_builder *b = call->trace->builder;
    const kt_argument *given = kt_operation_argument(call, 1, "weights");
    kt_operand weights = {0};
    kt_ints axes;
    kt_type type;
    kt_value x = take(o, call, "x", &type, &axes);
    if (!x) return;
    bool weighted = given && given->kind != KT_ARGUMENT_NONE;
    if (weighted && !kt_operation_operand(call, 1, "weights", &weights)) return;
    kt_dtype dtype = weighted ? kt_dtype_promote(type.dtype, weights.dtype) : type.dtype;
    x = kt_build_cast(b, x, kt_dtype_to_float(dtype));
    if (!weighted) {
        call->outputs[0] = kt_mean(b, x, &axes);
        return;
    }
    kt_value w = kt_operand_cast(call, &weights, kt_dtype_to_float(dtype));
    if (w && kt_build_type(b, w)->rank == 1 && type.rank > 1) {
        if (axes.count != 1) {
            kt_trace_fail(call->trace, KT_INVALID, "a vector of weights needs one axis.");
            return;
        }
        w = kt_along_axis(b, w, x, (int)axes.at[0]);
    }
    kt_build_broadcast_pair(b, &x, &w);
    kt_value sum = reduce(b, kt_build_mul(b, x, w), KT_REDUCE_SUM, &axes);
    call->outputs[0] = kt_build_div(b, sum, reduce(b, w, KT_REDUCE_SUM, &axes));
}
OVER(average, "Average", KT_OPERATION_NUMPY, axis_options, "the mean along axes, perhaps weighted")

/* ---- neighbours ------------------------------------------------------------------------------ */
typedef struct neighbours {
    kt_layer layer;
    int64_t n, axis;
    double dx;
    const json_t *x; /* Trapezoid: where y is known; else every dx */
} neighbours;
static const kt_option diff_options[] = {
    KT_FIELD(neighbours, n, INT, "1"),
    KT_FIELD(neighbours, axis, INT, "-1"),
    KT_OPTIONS_END,
};
static const kt_option trapezoid_options[] = {
    KT_FIELD(neighbours, x, JSON, "null"),
    KT_FIELD(neighbours, dx, FLOAT, "1.0"),
    KT_FIELD(neighbours, axis, INT, "-1"),
    KT_OPTIONS_END,
};

/* All but the first along an axis, and all but the last. */
static bool split_ends(kt_layer_call *call, kt_value x, int axis, kt_value *out_behind,
                       kt_value *out_before) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_dim size = kt_build_type(b, x)->dims[axis], one = kt_dim_const(dims, 1);
    if (kt_dim_equals(dims, size, 0)) {
        kt_trace_fail(call->trace, KT_INVALID, "there is nothing along axis %d.", axis);
        return false;
    }
    *out_behind = kt_slice_axis(b, x, axis, one, size);
    *out_before = kt_slice_axis(b, x, axis, kt_dim_const(dims, 0), kt_dim_sub(dims, size, one));
    return true;
}

static void call_diff(kt_layer *layer, kt_layer_call *call) {
    const neighbours *d = (const neighbours *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "a"), behind, before;
    int axis = x ? kt_call_axis(call, d->axis, kt_build_type(b, x)->rank) : -1;
    if (axis < 0) return;
    if (d->n < 0 || d->n > 64) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "the option 'n' must be from 0 to 64.");
        return;
    }
    bool is_bool = kt_build_type(b, x)->dtype == KT_BOOL;
    for (int64_t i = 0; i < d->n; i++) {
        if (!split_ends(call, x, axis, &behind, &before)) return;
        x = is_bool ? kt_build_ne(b, behind, before) : kt_build_sub(b, behind, before);
    }
    call->outputs[0] = x;
}
KT_OPERATION_WITH(diff, "Diff", KT_OPERATION_NUMPY, "differences of neighbours along an axis", neighbours,
                  diff_options, call_diff)

/* Half the distances of neighbours, in the shape of y without its end. */
static kt_value widths(const neighbours *t, kt_layer_call *call, kt_value y, int axis) {
    kt_builder *b = call->trace->builder;
    kt_type type = *kt_build_type(b, y);
    kt_operand given;
    kt_value behind, before;
    type.dims[axis] = kt_dim_add_const(b->graph->dims, type.dims[axis], -1);
    if (!t->x) return kt_build_fill(b, &type, t->dx / 2);
    if (!kt_operation_option(call, "x", t->x, &given)) return 0;
    kt_value x = kt_operand_cast(call, &given, type.dtype);
    if (!x) return 0;
    if (kt_build_type(b, x)->rank == 1) {
        if (!split_ends(call, x, 0, &behind, &before)) return 0;
        behind = kt_build_broadcast(b, behind, type.rank, type.dims, (const int64_t[]){axis});
        before = kt_build_broadcast(b, before, type.rank, type.dims, (const int64_t[]){axis});
    } else if (!split_ends(call, kt_build_broadcast_to(b, x, type.rank, kt_build_type(b, y)->dims), axis,
                           &behind, &before)) {
        return 0;
    }
    kt_value distance = kt_build_sub(b, behind, before);
    return kt_build_mul(b, distance, number(b, distance, 0.5));
}

static void call_trapezoid(kt_layer *layer, kt_layer_call *call) {
    const neighbours *t = (const neighbours *)layer;
    kt_builder *b = call->trace->builder;
    kt_operand y;
    kt_value behind, before;
    if (!kt_operation_operand(call, 0, "y", &y)) return;
    kt_value x = kt_operand_cast(call, &y, kt_dtype_to_float(y.dtype));
    int axis = kt_call_axis(call, t->axis, kt_build_type(b, x)->rank);
    if (axis < 0 || !split_ends(call, x, axis, &behind, &before)) return;
    kt_value both = kt_build_add(b, behind, before), width = widths(t, call, x, axis);
    if (!width) return;
    call->outputs[0] = kt_reduce_axis(b, kt_build_mul(b, both, width), KT_REDUCE_SUM, axis);
}
KT_OPERATION_WITH(trapezoid, "Trapezoid", KT_OPERATION_NUMPY, "the area under y by trapezoids", neighbours,
                  trapezoid_options, call_trapezoid)

/* ---- Histogram ------------------------------------------------------------------------------- */
typedef struct histogram {
    kt_layer layer;
    int64_t bins;
    const json_t *range;
} histogram;
static const kt_option histogram_options[] = {
    KT_FIELD(histogram, bins, INT, "10"),
    KT_FIELD(histogram, range, JSON, "null"),
    KT_OPTIONS_END,
};
static uint32_t two_outputs(const kt_layer *layer) {
    (void)layer;
    return 2;
}

/* The ends that the option tells, or the smallest and the largest element; around a single number 1 wide. */
static bool find_range(const histogram *h, kt_layer_call *call, kt_value x, kt_value *out_low,
                       kt_value *out_high) {
    kt_builder *b = call->trace->builder;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    if (h->range) {
        const json_t *low = json_array_get(h->range, 0), *high = json_array_get(h->range, 1);
        if (!json_is_number(low) || !json_is_number(high)) {
            kt_trace_fail(call->trace, KT_INVALID, "the option 'range' must be two numbers.");
            return false;
        }
        *out_low = kt_build_scalar(b, dtype, json_number_value(low));
        *out_high = kt_build_scalar(b, dtype, json_number_value(high));
    } else {
        *out_low = kt_reduce_axis(b, x, KT_REDUCE_MINIMUM, 0);
        *out_high = kt_reduce_axis(b, x, KT_REDUCE_MAXIMUM, 0);
    }
    kt_value single = kt_build_eq(b, *out_low, *out_high);
    *out_low = kt_build_select(b, single, kt_add_number(b, *out_low, -0.5), *out_low);
    *out_high = kt_build_select(b, single, kt_add_number(b, *out_high, 0.5), *out_high);
    return true;
}

/* How many elements are at an edge or above, less those from the next edge on; the last bin has both its
 * edges. */
static void call_histogram(kt_layer *layer, kt_layer_call *call) {
    const histogram *h = (const histogram *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_operand given;
    kt_value low, high;
    if (!kt_operation_operand(call, 0, "x", &given)) return;
    kt_value x = kt_operand_cast(call, &given, kt_dtype_to_float(given.dtype));
    kt_type type = *kt_build_type(b, x);
    if (type.rank != 1 || h->bins < 1 || h->bins > INT32_MAX) {
        kt_trace_fail(call->trace, KT_INVALID, "it takes a vector, and at least 1 bin.");
        return;
    }
    if (!find_range(h, call, x, &low, &high)) return;
    kt_dim bins = kt_dim_const(dims, h->bins), edge_count = kt_dim_const(dims, h->bins + 1);
    kt_type line = {.dtype = type.dtype, .rank = 1, .dims = {edge_count}};
    kt_value at = kt_build_iota(b, &line, 0);
    at = kt_build_div(b, at, number(b, at, (double)h->bins));
    kt_value rest = kt_build_sub(b, number(b, at, 1), at);
    low = kt_build_broadcast_to(b, low, 1, line.dims);
    high = kt_build_broadcast_to(b, high, 1, line.dims);
    kt_value edges = kt_build_add(b, kt_build_mul(b, low, rest), kt_build_mul(b, high, at));
    kt_dim table[] = {edge_count, type.dims[0]};
    kt_value all = kt_build_broadcast(b, x, 2, table, (const int64_t[]){1});
    kt_value edge = kt_build_broadcast(b, edges, 2, table, (const int64_t[]){0});
    line.dtype = KT_I64;
    kt_value is_last = kt_build_eq(b, kt_build_iota(b, &line, 0), kt_build_fill(b, &line, (double)h->bins));
    is_last = kt_build_broadcast(b, is_last, 2, table, (const int64_t[]){0});
    kt_value above = kt_build_select(b, is_last, kt_build_gt(b, all, edge), kt_build_ge(b, all, edge));
    kt_value counts = kt_reduce_axis(b, kt_build_cast(b, above, KT_I32), KT_REDUCE_SUM, 1);
    kt_value here = kt_slice_axis(b, counts, 0, kt_dim_const(dims, 0), bins),
             next = kt_slice_axis(b, counts, 0, kt_dim_const(dims, 1), edge_count);
    call->outputs[0] = kt_build_cast(b, kt_build_sub(b, here, next), type.dtype);
    call->outputs[1] = edges;
}
KT_OPERATION_OUTPUTS(histogram, "Histogram", KT_OPERATION_NUMPY, "how many elements are between even edges",
                     histogram, histogram_options, call_histogram, two_outputs)
