/* Operation nodes that pick by positions, put at positions, and look for them. */
#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

typedef struct pick {
    kt_layer layer;
    const json_t *axis;
} pick;
static const kt_option axis_options[] = {KT_FIELD(pick, axis, JSON, "null"), KT_OPTIONS_END};

/* The option as one axis of x; -1 and a problem if it is none. */
static int one_axis(const kt_layer *layer, const kt_layer_call *call, int rank) {
    kt_ints axes;
    if (!kt_operation_axes(call, ((const pick *)layer)->axis, rank, &axes)) return -1;
    if (axes.count == 1) return (int)axes.at[0];
    kt_trace_fail(call->trace, KT_INVALID, "it needs one axis.");
    return -1;
}

/* Positions below 0 count from the end. */
static kt_value from_end(kt_builder *b, kt_value at, kt_dim size) {
    at = kt_build_cast(b, at, KT_I64);
    return kt_build_select(b, kt_build_lt(b, at, kt_build_like(b, at, 0)), kt_add_dim(b, at, size), at);
}

/* Is a position, counted from the front, inside? */
static kt_value is_inside(kt_builder *b, kt_value at, kt_dim size) {
    kt_type type = *kt_build_type(b, at);
    kt_value end = kt_build_broadcast_to(b, kt_dim_scalar(b, size, KT_I64), type.rank, type.dims);
    return kt_build_and(b, kt_build_ge(b, at, kt_build_like(b, at, 0)), kt_build_lt(b, at, end));
}

/* What Keras gives where a position is outside: NaN; of integers the smallest, or the largest if unsigned. */
static kt_value nothing(kt_builder *b, kt_value like) {
    kt_type type = *kt_build_type(b, like);
    if (kt_dtype_is_float(type.dtype)) return kt_build_like(b, like, NAN);
    if (type.dtype == KT_BOOL) return kt_build_like(b, like, 1);
    if (kt_dtype_is_unsigned_integer(type.dtype)) return kt_build_not(b, kt_build_like(b, like, 0));
    kt_value one = kt_build_like(b, like, 1);
    return kt_build_shift_left(b, one, kt_build_like(b, like, 8.0 * (double)kt_dtype_bytes(type.dtype) - 1));
}

/* picked where `inside`, whose axes are those of picked from `first` on, says so. */
static kt_value or_nothing(kt_builder *b, kt_value picked, kt_value inside, int first) {
    kt_type type = *kt_build_type(b, picked), mask = *kt_build_type(b, inside);
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < mask.rank; i++) axes[i] = first + i;
    inside = kt_build_broadcast(b, inside, type.rank, type.dims, axes);
    return kt_build_select(b, inside, picked, nothing(b, picked));
}

static void call_take(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x"), at = x ? kt_operation_tensor(call, 1, "indices") : 0;
    if (!x || !at) return;
    bool along = ((const pick *)layer)->axis != NULL;
    if (!along) x = kt_flatten(b, x);
    int axis = along ? one_axis(layer, call, kt_build_type(b, x)->rank) : 0;
    if (axis < 0) return;
    kt_dim size = kt_build_type(b, x)->dims[axis];
    at = from_end(b, at, size);
    kt_value picked = kt_build_gather(b, x, at, axis, 0);
    if (picked) call->outputs[0] = or_nothing(b, picked, is_inside(b, at, size), axis);
}
KT_OPERATION_WITH(take, "Take", KT_OPERATION_NUMPY, "elements by positions along an axis", pick, axis_options,
                  call_take)

/* Both with the axis in front of the last and all others as shared leading axes: those of size 1 are spread.
 */
static void call_take_along_axis(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x"), at = x ? kt_operation_tensor(call, 1, "indices") : 0;
    if (!x || !at) return;
    bool along = ((const pick *)layer)->axis != NULL;
    if (!along) {
        x = kt_flatten(b, x);
        at = kt_flatten(b, at);
    }
    int rank = kt_build_type(b, x)->rank, axis = along ? one_axis(layer, call, rank) : 0;
    if (axis < 0) return;
    if (kt_build_type(b, at)->rank != rank) {
        kt_trace_fail(call->trace, KT_INVALID, "its inputs must have the same number of axes.");
        return;
    }
    x = kt_move_axis(b, x, axis, rank - 1);
    at = kt_move_axis(b, at, axis, rank - 1);
    kt_type tx = *kt_build_type(b, x), ti = *kt_build_type(b, at);
    for (int i = 0; i < rank - 1; i++) {
        if (kt_dim_equals(b->graph->dims, tx.dims[i], 1)) tx.dims[i] = ti.dims[i];
        ti.dims[i] = tx.dims[i];
    }
    x = kt_build_broadcast_to(b, x, rank, tx.dims);
    at = from_end(b, kt_build_broadcast_to(b, at, rank, ti.dims), tx.dims[rank - 1]);
    kt_value picked = kt_build_gather(b, x, at, rank - 1, rank - 1);
    if (!picked) return;
    picked = or_nothing(b, picked, is_inside(b, at, tx.dims[rank - 1]), 0);
    call->outputs[0] = kt_move_axis(b, picked, rank - 1, axis);
}
KT_OPERATION_WITH(take_along_axis, "TakeAlongAxis", KT_OPERATION_NUMPY,
                  "elements by positions along an axis, line by line", pick, axis_options,
                  call_take_along_axis)

/* ---- looking for ----------------------------------------------------------------------------- */
kt_value kt_count_before(kt_builder *b, kt_value x, kt_value bounds, bool or_equal) {
    kt_type type = *kt_build_type(b, x);
    x = kt_add_axis(b, x, type.rank);
    kt_build_broadcast_pair(b, &x, &bounds);
    kt_value before = or_equal ? kt_build_le(b, bounds, x) : kt_build_lt(b, bounds, x);
    if (kt_dtype_is_float(type.dtype))
        before = kt_build_or(b, before, kt_build_is_nan(b, x)); /* NaN is behind all */
    return kt_reduce_axis(b, kt_build_cast(b, before, KT_I32), KT_REDUCE_SUM, type.rank);
}

static void count_before(kt_layer_call *call, kt_operand *x, kt_operand *vector, bool or_equal) {
    kt_builder *b = call->trace->builder;
    kt_dtype dtype = kt_operand_promote(x, vector);
    kt_value v = kt_operand_cast(call, x, dtype), w = kt_operand_cast(call, vector, dtype);
    if (!v || !w) return;
    if (kt_build_type(b, w)->rank != 1 || kt_build_type(b, v)->rank == KT_MAX_RANK) {
        kt_trace_fail(call->trace, KT_INVALID, "it looks in a vector, for tensors of less than %d axes.",
                      KT_MAX_RANK);
        return;
    }
    call->outputs[0] = kt_count_before(b, v, w, or_equal);
}

static void call_digitize(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_operand x, bins;
    if (kt_operation_operand(call, 0, "x", &x) && kt_operation_operand(call, 1, "bins", &bins))
        count_before(call, &x, &bins, true);
}
KT_OPERATION(digitize, "Digitize", KT_OPERATION_NUMPY, "which interval between increasing bounds x is in",
             call_digitize)

typedef struct searchsorted {
    kt_layer layer;
    const char *side;
} searchsorted;
static const kt_option searchsorted_options[] = {
    KT_FIELD(searchsorted, side, CHOICE, "\"left\"", .choices = "left right"),
    KT_OPTIONS_END,
};
static void call_searchsorted(kt_layer *layer, kt_layer_call *call) {
    kt_operand vector, x;
    if (kt_operation_operand(call, 0, "sorted_sequence", &vector) &&
        kt_operation_operand(call, 1, "values", &x))
        count_before(call, &x, &vector, strcmp(((const searchsorted *)layer)->side, "right") == 0);
}
KT_OPERATION_WITH(searchsorted, "SearchSorted", KT_OPERATION_NUMPY, "where x would stand in a sorted vector",
                  searchsorted, searchsorted_options, call_searchsorted)

typedef struct isin {
    kt_layer layer;
    bool assume_unique, invert;
} isin;
static const kt_option isin_options[] = {
    KT_FIELD(isin, assume_unique, BOOL, "false", .inert = true),
    KT_FIELD(isin, invert, BOOL, "false"),
    KT_OPTIONS_END,
};
static void call_isin(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_operand x, set;
    if (!kt_operation_operand(call, 0, "x1", &x) || !kt_operation_operand(call, 1, "x2", &set)) return;
    kt_dtype dtype = kt_operand_promote(&x, &set);
    kt_value v = kt_operand_cast(call, &x, dtype), w = kt_flatten(b, kt_operand_cast(call, &set, dtype));
    int rank = kt_build_type(b, v)->rank;
    v = kt_add_axis(b, v, rank);
    kt_build_broadcast_pair(b, &v, &w);
    kt_value found = kt_reduce_axis(b, kt_build_eq(b, v, w), KT_REDUCE_MAXIMUM, rank);
    call->outputs[0] = ((const isin *)layer)->invert ? kt_build_not(b, found) : found;
}
KT_OPERATION_WITH(isin, "IsIn", KT_OPERATION_NUMPY, "is x among the elements of another tensor", isin,
                  isin_options, call_isin)

typedef struct in_top_k {
    kt_layer layer;
    int64_t k;
} in_top_k;
static const kt_option in_top_k_options[] = {KT_FIELD(in_top_k, k, INT, NULL), KT_OPTIONS_END};

kt_value kt_in_top_k(kt_builder *b, kt_value targets, kt_value x, int64_t k) {
    kt_type type = *kt_build_type(b, x);
    int last = type.rank - 1;
    kt_value at = from_end(b, targets, type.dims[last]), own = kt_build_gather(b, x, at, last, last);
    if (!own) return 0;
    own = or_nothing(b, own, is_inside(b, at, type.dims[last]), 0);
    own = kt_build_select(b, kt_build_is_nan(b, own), kt_build_like(b, own, -INFINITY), own);
    kt_ints axes = {1, {last}};
    kt_value above = kt_build_cast(b, kt_build_gt(b, x, kt_spread(b, own, x, &axes)), KT_I32);
    kt_value rank = kt_reduce_axis(b, above, KT_REDUCE_SUM, last);
    return kt_build_lt(b, rank, kt_build_like(b, rank, (double)k));
}

static void call_in_top_k(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_value targets = kt_operation_tensor(call, 0, "targets"),
             x = targets ? kt_operation_tensor(call, 1, "predictions") : 0;
    if (!targets || !x) return;
    if (kt_build_type(b, targets)->rank != kt_build_type(b, x)->rank - 1) {
        kt_trace_fail(call->trace, KT_INVALID, "its targets must have one axis less than its predictions.");
        return;
    }
    call->outputs[0] = kt_in_top_k(b, targets, x, ((const in_top_k *)layer)->k);
}
KT_OPERATION_WITH(in_top_k, "InTopK", KT_OPERATION_MATH, "is the target among the k largest", in_top_k,
                  in_top_k_options, call_in_top_k)

typedef struct shaped {
    kt_layer layer;
    kt_ints shape;
    int64_t num_segments;
    bool sorted;
    const char *reduction;
} shaped;
static const kt_option shape_options[] = {KT_FIELD(shaped, shape, INTS, NULL), KT_OPTIONS_END};

static uint32_t count_axes(const kt_layer *layer) {
    uint32_t count = ((const shaped *)layer)->shape.count;
    return count ? count : 1;
}
/* Taken apart from the last axis on. */
static void call_unravel_index(kt_layer *layer, kt_layer_call *call) {
    const kt_ints *shape = &((const shaped *)layer)->shape;
    kt_builder *b = call->trace->builder;
    kt_value at = kt_operation_tensor(call, 0, "indices");
    if (!at) return;
    double all = 1;
    for (uint32_t i = 0; i < shape->count; i++) all *= (double)shape->at[i];
    kt_value below = kt_build_lt(b, at, kt_build_like(b, at, 0));
    at = kt_build_select(b, below, kt_add_number(b, at, all), at);
    for (uint32_t i = shape->count; i-- > 0;) {
        kt_value size = kt_build_like(b, at, (double)shape->at[i]);
        call->outputs[i] = kt_build_rem(b, at, size);
        at = kt_build_div(b, at, size);
    }
}
KT_OPERATION_OUTPUTS(unravel_index, "UnravelIndex", KT_OPERATION_NUMPY,
                     "positions along axes of positions in all", shaped, shape_options, call_unravel_index,
                     count_axes)

/* ---- putting --------------------------------------------------------------------------------- */
/* Updates for places along the first axis: x[at[i]] combined with updates[i]. */
static kt_value put(kt_builder *b, kt_value x, kt_value at, kt_value updates, kt_reduction kind) {
    kt_attrs_scatter attrs = {.kind = kind};
    return kt_build_scatter(b, x, at, updates, &attrs);
}

/* The last update of a place stands there alone: its number is the largest that is put there. */
static kt_value replace(kt_builder *b, kt_value x, kt_value at, kt_value updates) {
    kt_type type = *kt_build_type(b, x);
    type.rank = 1;
    type.dtype = KT_I64;
    kt_value number = kt_positions(b, kt_build_type(b, at)->dims[0]);
    kt_value last = put(b, kt_build_fill(b, &type, -1), at, number, KT_REDUCE_MAXIMUM);
    kt_value put_there = kt_build_ge(b, last, kt_build_like(b, last, 0));
    kt_value rows = kt_build_gather(b, updates, last, 0, 0);
    type = *kt_build_type(b, x);
    put_there = kt_build_broadcast(b, put_there, type.rank, type.dims, (const int64_t[]){0});
    return kt_build_select(b, put_there, rows, x);
}

/* Positions [places, k] along the first k axes of x become positions in x with these axes as one; a component
 * out of range gives -1. */
static kt_value join_positions(kt_builder *b, kt_value at, const kt_type *of, int k) {
    kt_value joined = 0, inside = 0;
    for (int i = 0; i < k; i++) {
        kt_dim here = kt_dim_const(b->graph->dims, i), next = kt_dim_const(b->graph->dims, i + 1);
        kt_value part = kt_drop_axis(b, kt_slice_axis(b, at, 1, here, next), 1);
        part = from_end(b, part, of->dims[i]);
        kt_value fits = is_inside(b, part, of->dims[i]);
        kt_type type = *kt_build_type(b, part);
        kt_value size = kt_build_broadcast_to(b, kt_dim_scalar(b, of->dims[i], KT_I64), type.rank, type.dims);
        joined = joined ? kt_build_add(b, kt_build_mul(b, joined, size), part) : part;
        inside = inside ? kt_build_and(b, inside, fits) : fits;
    }
    return kt_build_select(b, inside, joined, kt_build_like(b, joined, -1));
}

/* updates at positions [places…, k] in x; kind NULL replaces. */
static kt_value put_at(kt_layer_call *call, kt_value x, kt_value at, kt_value updates,
                       const kt_reduction *kind) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x), ti = *kt_build_type(b, at);
    int64_t k;
    if (ti.rank < 1 || !kt_dim_is_const(dims, ti.dims[ti.rank - 1], &k) || k < 1 || k > type.rank) {
        kt_trace_fail(call->trace, KT_INVALID, "the last axis of its positions must name 1 to %d axes.",
                      type.rank);
        return 0;
    }
    kt_type places = ti, rest = type, news = type;
    places.rank--;
    rest.dims[0] = kt_dim_const(dims, 1);
    for (int i = 0; i < k; i++) rest.dims[0] = kt_dim_mul(dims, rest.dims[0], type.dims[i]);
    kt_dim count = kt_type_elements(dims, &places);
    rest.rank = news.rank = (uint8_t)(type.rank - k + 1);
    for (int i = 1; i < rest.rank; i++) rest.dims[i] = news.dims[i] = type.dims[i + k - 1];
    news.dims[0] = count;
    at = kt_build_reshape(b, at, 2, (kt_dim[]){count, ti.dims[ti.rank - 1]});
    at = join_positions(b, at, &type, (int)k);
    updates = kt_build_reshape(b, updates, news.rank, news.dims);
    kt_value flat = kt_build_reshape(b, x, rest.rank, rest.dims);
    flat = kind ? put(b, flat, at, updates, *kind) : replace(b, flat, at, updates);
    return kt_build_reshape(b, flat, type.rank, type.dims);
}

static void call_scatter(kt_layer *layer, kt_layer_call *call) {
    const shaped *s = (const shaped *)layer;
    kt_builder *b = call->trace->builder;
    kt_value at = kt_operation_tensor(call, 0, "indices"),
             values = at ? kt_operation_tensor(call, 1, "values") : 0;
    if (!at || !values) return;
    kt_type type =
        kt_type_of(b->graph->dims, kt_build_type(b, values)->dtype, (int)s->shape.count, s->shape.at);
    const kt_reduction sum = KT_REDUCE_SUM;
    call->outputs[0] = put_at(call, kt_build_fill(b, &type, 0), at, values, &sum);
}
KT_OPERATION_WITH(scatter, "Scatter", KT_OPERATION_CORE, "values summed up at positions in a shape", shaped,
                  shape_options, call_scatter)

static const kt_option update_options[] = {
    KT_FIELD(shaped, reduction, STRING, "null"),
    KT_OPTIONS_END,
};
static const struct {
    const char *name;
    kt_reduction kind;
} reductions[] = {{"add", KT_REDUCE_SUM},
                  {"mul", KT_REDUCE_PRODUCT},
                  {"max", KT_REDUCE_MAXIMUM},
                  {"min", KT_REDUCE_MINIMUM}};

static void call_scatter_update(kt_layer *layer, kt_layer_call *call) {
    const char *name = ((const shaped *)layer)->reduction;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "inputs"), at = x ? kt_operation_tensor(call, 1, "indices") : 0;
    kt_value updates = at ? kt_operation_tensor(call, 2, "updates") : 0;
    if (!updates) return;
    const kt_reduction *kind = NULL;
    for (size_t i = 0; name && i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(reductions[i].name, name) == 0) kind = &reductions[i].kind;
    if (name && !kind) {
        kt_trace_fail(call->trace, KT_INVALID, "there is no reduction '%s'.", name);
        return;
    }
    call->outputs[0] = put_at(call, x, at, kt_build_cast(b, updates, kt_build_type(b, x)->dtype), kind);
}
KT_OPERATION_WITH(scatter_update, "ScatterUpdate", KT_OPERATION_CORE, "x with updates at positions", shaped,
                  update_options, call_scatter_update)

/* ---- segments -------------------------------------------------------------------------------- */
static const kt_option segment_options[] = {
    KT_FIELD(shaped, num_segments, OPTIONAL_INT, "null"),
    KT_FIELD(shaped, sorted, BOOL, "false", .inert = true),
    KT_OPTIONS_END,
};

/* What an empty segment has: what changes nothing. */
static kt_value neutral(kt_builder *b, const kt_type *type, kt_reduction kind) {
    kt_value zero = kt_build_fill(b, type, 0);
    if (kind == KT_REDUCE_SUM) return zero;
    if (kind == KT_REDUCE_PRODUCT) return kt_build_fill(b, type, 1);
    if (kt_dtype_is_float(type->dtype))
        return kt_build_fill(b, type, kind == KT_REDUCE_MAXIMUM ? -INFINITY : INFINITY);
    bool is_signed = kt_dtype_is_signed_integer(type->dtype);
    kt_value lowest = is_signed ? nothing(b, zero) : zero;
    return kind == KT_REDUCE_MAXIMUM ? lowest : kt_build_not(b, lowest);
}

static void reduce_segments(kt_layer *layer, kt_layer_call *call, kt_reduction kind) {
    int64_t count = ((const shaped *)layer)->num_segments;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "data"),
             ids = x ? kt_operation_tensor(call, 1, "segment_ids") : 0;
    if (!x || !ids) return;
    kt_type type = *kt_build_type(b, x);
    if (count == KT_NONE_INT || count < 0 || count > INT32_MAX) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "num_segments must be given, so that the result's size is known.");
        return;
    }
    if (!type.rank || kt_build_type(b, ids)->rank != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "its data need an axis, for which the segments are a vector.");
        return;
    }
    type.dims[0] = kt_dim_const(b->graph->dims, count);
    call->outputs[0] = put(b, neutral(b, &type, kind), ids, x, kind);
}
#define SEGMENTS(c_name, keras_name, kind, doc)                                                              \
    static void call_##c_name(kt_layer *layer, kt_layer_call *call) {                                        \
        reduce_segments(layer, call, KT_REDUCE_##kind);                                                      \
    }                                                                                                        \
    KT_OPERATION_WITH(c_name, keras_name, KT_OPERATION_MATH, doc, shaped, segment_options, call_##c_name)
// clang-format off
SEGMENTS(segment_sum,  "SegmentSum",  SUM,     "sums of rows by the segment that each is of")
SEGMENTS(segment_prod, "SegmentProd", PRODUCT, "products of rows by the segment that each is of")
SEGMENTS(segment_max,  "SegmentMax",  MAXIMUM, "the largest of rows by the segment that each is of")
SEGMENTS(segment_min,  "SegmentMin",  MINIMUM, "the smallest of rows by the segment that each is of")
// clang-format on
