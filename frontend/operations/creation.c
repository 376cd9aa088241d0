/* Operation nodes that make new elements: fills, ranges, grids, diagonals, codes of classes. */
#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

/* An option that names a dtype; fallback where it is None. False and a problem if there is no such dtype. */
static bool read_dtype(const kt_layer_call *call, const char *name, kt_dtype fallback, kt_dtype *out_dtype) {
    *out_dtype = fallback;
    return !name || kt_operation_dtype(call, name, out_dtype);
}

typedef struct typed {
    kt_layer layer;
    const char *to; /* a dtype, or NULL */
    kt_ints shape;
} typed;
#define DTYPE(type) {"dtype", KT_OPTION_STRING, offsetof(type, to), "null"}
static const kt_option dtype_options[] = {DTYPE(typed), KT_OPTIONS_END};
static const kt_option full_options[] = {KT_FIELD(typed, shape, INTS, NULL), DTYPE(typed), KT_OPTIONS_END};

/* ---- fills ----------------------------------------------------------------------------------- */
static void call_full(kt_layer *layer, kt_layer_call *call) {
    const typed *t = (const typed *)layer;
    kt_builder *b = call->trace->builder;
    kt_operand fill;
    kt_dtype dtype;
    if (!kt_operation_operand(call, 0, "fill_value", &fill) || !read_dtype(call, t->to, fill.dtype, &dtype))
        return;
    kt_type type = kt_type_of(b->graph->dims, dtype, (int)t->shape.count, t->shape.at);
    call->outputs[0] = kt_build_broadcast_to(b, kt_operand_cast(call, &fill, dtype), type.rank, type.dims);
}
KT_OPERATION_WITH(full, "Full", KT_OPERATION_NUMPY, "one value in a shape", typed, full_options, call_full)

static void fill_like(kt_layer *layer, kt_layer_call *call, const kt_operand *fill) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_dtype dtype;
    if (!x || !read_dtype(call, ((const typed *)layer)->to, kt_build_type(b, x)->dtype, &dtype)) return;
    kt_type type = *kt_build_type(b, x);
    call->outputs[0] = kt_build_broadcast_to(b, kt_operand_cast(call, fill, dtype), type.rank, type.dims);
}
static void call_full_like(kt_layer *layer, kt_layer_call *call) {
    kt_operand fill;
    if (kt_operation_operand(call, 1, "fill_value", &fill)) fill_like(layer, call, &fill);
}
static void call_empty_like(kt_layer *layer, kt_layer_call *call) {
    static const kt_operand zero = {.dtype = KT_I32};
    fill_like(layer, call, &zero);
}
KT_OPERATION_WITH(full_like, "FullLike", KT_OPERATION_NUMPY, "one value in x's shape", typed, dtype_options,
                  call_full_like)
KT_OPERATION_WITH(empty_like, "EmptyLike", KT_OPERATION_NUMPY, "x's shape, filled with 0", typed,
                  dtype_options, call_empty_like)

static void call_array(kt_layer *layer, kt_layer_call *call) {
    kt_operand x;
    kt_dtype dtype;
    if (!kt_operation_operand(call, 0, "x", &x) ||
        !read_dtype(call, ((const typed *)layer)->to, x.dtype, &dtype))
        return;
    call->outputs[0] = kt_operand_cast(call, &x, dtype);
}
KT_OPERATION_WITH(array, "Array", KT_OPERATION_NUMPY, "x, perhaps in another dtype", typed, dtype_options,
                  call_array)

static void call_size(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    call->outputs[0] = kt_dim_scalar(b, kt_type_elements(b->graph->dims, &type), KT_I32);
}
KT_OPERATION(size, "Size", KT_OPERATION_NUMPY, "the number of elements", call_size)

static void call_ndim(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (x) call->outputs[0] = kt_build_scalar(b, KT_I32, kt_build_type(b, x)->rank);
}
KT_OPERATION(ndim, "Ndim", KT_OPERATION_NUMPY, "the number of axes", call_ndim)

/* ---- ranges ---------------------------------------------------------------------------------- */
typedef struct space {
    kt_layer layer;
    int64_t num, axis;
    bool endpoint, retstep;
    double base;
    const char *to;
} space;
#define SPACE_OPTIONS                                                                                        \
    KT_FIELD(space, num, INT, "50"), KT_FIELD(space, endpoint, BOOL, "true"), DTYPE(space),                  \
        KT_FIELD(space, axis, INT, "0")
static const kt_option linspace_options[] = {SPACE_OPTIONS, KT_FIELD(space, retstep, BOOL, "false"),
                                             KT_OPTIONS_END};
static const kt_option logspace_options[] = {SPACE_OPTIONS, KT_FIELD(space, base, FLOAT, "10"),
                                             KT_OPTIONS_END};
static const kt_option geomspace_options[] = {SPACE_OPTIONS, KT_OPTIONS_END};

typedef kt_value map_fn(kt_builder *b, kt_value x, const space *s);

/* num values from start to stop in even steps between what `in` makes of both, which `out` maps back. */
static void call_space(kt_layer *layer, kt_layer_call *call, map_fn *in, map_fn *out) {
    const space *s = (const space *)layer;
    kt_builder *b = call->trace->builder;
    kt_operand start, stop;
    kt_dtype dtype;
    if (!kt_operation_operand(call, 0, "start", &start) || !kt_operation_operand(call, 1, "stop", &stop))
        return;
    kt_dtype compute = kt_dtype_to_float(kt_operand_promote(&start, &stop));
    if (!read_dtype(call, s->to, compute, &dtype)) return;
    if (s->num < 1 || s->num > INT32_MAX || s->retstep) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "it makes at least one value, and does not return the step.");
        return;
    }
    kt_value low = kt_operand_cast(call, &start, compute), high = kt_operand_cast(call, &stop, compute);
    kt_build_broadcast_pair(b, &low, &high);
    int axis = kt_call_axis(call, s->axis, kt_build_type(b, low)->rank + 1);
    if (axis < 0 || !low) return;
    low = kt_add_axis(b, in(b, low, s), axis);
    high = kt_add_axis(b, in(b, high, s), axis);
    kt_type type = *kt_build_type(b, low);
    type.dims[axis] = kt_dim_const(b->graph->dims, s->num);
    low = kt_build_broadcast_to(b, low, type.rank, type.dims);
    high = kt_build_broadcast_to(b, high, type.rank, type.dims);
    int64_t steps = s->endpoint ? s->num - 1 : s->num;
    kt_value at = kt_build_iota(b, &type, axis);
    at = kt_build_div(b, at, kt_build_like(b, at, steps ? (double)steps : 1));
    kt_value rest = kt_build_sub(b, kt_build_like(b, at, 1), at);
    kt_value y = out(b, kt_build_add(b, kt_build_mul(b, low, rest), kt_build_mul(b, high, at)), s);
    if (kt_dtype_is_integer(dtype)) y = kt_build_floor(b, y);
    call->outputs[0] = kt_build_cast(b, y, dtype);
}
static kt_value same(kt_builder *b, kt_value x, const space *s) {
    (void)b, (void)s;
    return x;
}
static kt_value power(kt_builder *b, kt_value x, const space *s) {
    return kt_build_exp(b, kt_build_mul(b, x, kt_build_like(b, x, log(s->base))));
}
static kt_value logarithm(kt_builder *b, kt_value x, const space *s) {
    (void)s;
    return kt_build_log(b, x);
}
static kt_value exponential(kt_builder *b, kt_value x, const space *s) {
    (void)s;
    return kt_build_exp(b, x);
}
static void call_linspace(kt_layer *layer, kt_layer_call *call) { call_space(layer, call, same, same); }
static void call_logspace(kt_layer *layer, kt_layer_call *call) { call_space(layer, call, same, power); }
static void call_geomspace(kt_layer *layer, kt_layer_call *call) {
    call_space(layer, call, logarithm, exponential);
}
KT_OPERATION_WITH(linspace, "Linspace", KT_OPERATION_NUMPY, "values in even steps", space, linspace_options,
                  call_linspace)
KT_OPERATION_WITH(logspace, "Logspace", KT_OPERATION_NUMPY, "powers of a base in even steps", space,
                  logspace_options, call_logspace)
KT_OPERATION_WITH(geomspace, "Geomspace", KT_OPERATION_NUMPY, "positive values in even ratios", space,
                  geomspace_options, call_geomspace)

/* ---- grids ----------------------------------------------------------------------------------- */
typedef struct meshgrid {
    kt_layer layer;
    const char *indexing;
} meshgrid;
static const kt_option meshgrid_options[] = {
    KT_FIELD(meshgrid, indexing, CHOICE, "\"xy\"", .choices = "xy ij"),
    KT_OPTIONS_END,
};
static uint32_t count_grids(const kt_layer *layer) {
    (void)layer;
    return KT_MAX_RANK;
}

static void call_meshgrid(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    bool swapped = strcmp(((const meshgrid *)layer)->indexing, "xy") == 0 && call->argument_count > 1;
    int rank = (int)call->argument_count;
    kt_value vectors[KT_MAX_RANK];
    kt_dim shape[KT_MAX_RANK];
    if (rank > KT_MAX_RANK) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "it takes at most %d inputs.", KT_MAX_RANK);
        return;
    }
    for (int i = 0; i < rank; i++) {
        kt_value x = kt_operation_tensor(call, (uint32_t)i, "x");
        if (!x) return;
        vectors[i] = kt_build_type(b, x)->rank ? kt_flatten(b, x) : kt_add_axis(b, x, 0);
        int axis = swapped && i < 2 ? 1 - i : i;
        shape[axis] = kt_build_type(b, vectors[i])->dims[0];
    }
    for (int i = 0; i < rank; i++)
        call->outputs[i] =
            kt_build_broadcast(b, vectors[i], rank, shape, (const int64_t[]){swapped && i < 2 ? 1 - i : i});
}
KT_OPERATION_OUTPUTS(meshgrid, "Meshgrid", KT_OPERATION_NUMPY, "vectors spread over a grid", meshgrid,
                     meshgrid_options, call_meshgrid, count_grids)

typedef struct diagonal {
    kt_layer layer;
    int64_t k, offset, axis1, axis2;
} diagonal;
static const kt_option k_options[] = {KT_FIELD(diagonal, k, INT, "0"), KT_OPTIONS_END};
static const kt_option diagonal_options[] = {
    KT_FIELD(diagonal, offset, INT, "0"),
    KT_FIELD(diagonal, axis1, INT, "0"),
    KT_FIELD(diagonal, axis2, INT, "1"),
    KT_OPTIONS_END,
};

/* Is an offset small enough to count with? */
static bool check_offset(const kt_layer_call *call, int64_t offset) {
    if (offset >= -INT32_MAX && offset <= INT32_MAX) return true;
    kt_trace_fail(call->trace, KT_INVALID, "its diagonal is out of range.");
    return false;
}

/* A square matrix with the vector on diagonal k, and 0 elsewhere. */
static kt_value spread_diagonal(kt_builder *b, kt_value vector, int64_t k) {
    kt_dim size = kt_dim_add_const(b->graph->dims, kt_build_type(b, vector)->dims[0], k < 0 ? -k : k);
    kt_value row = kt_add_number(b, kt_positions(b, size), k < 0 ? (double)k : 0);
    kt_value rows =
        kt_build_gather(b, vector, row, 0, 0); /* row i holds what its place on the diagonal gets */
    rows = kt_build_broadcast(b, rows, 2, (kt_dim[]){size, size}, (const int64_t[]){0});
    kt_value mask = kt_diagonal_mask(b, KT_OP_eq, size, size, k);
    return kt_build_select(b, mask, rows, kt_build_like(b, rows, 0));
}

static void call_diag(kt_layer *layer, kt_layer_call *call) {
    int64_t k = ((const diagonal *)layer)->k;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x || !check_offset(call, k)) return;
    int rank = kt_build_type(b, x)->rank;
    if (rank == 1) call->outputs[0] = spread_diagonal(b, x, k);
    if (rank == 2) call->outputs[0] = kt_diagonal(b, x, k, 0, 1);
    if (rank != 1 && rank != 2) kt_trace_fail(call->trace, KT_INVALID, "its input must have 1 or 2 axes.");
}
static void call_diagflat(kt_layer *layer, kt_layer_call *call) {
    int64_t k = ((const diagonal *)layer)->k;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x || !check_offset(call, k)) return;
    call->outputs[0] = spread_diagonal(call->trace->builder, kt_flatten(call->trace->builder, x), k);
}
KT_OPERATION_WITH(diag, "Diag", KT_OPERATION_NUMPY, "a matrix of its diagonal, or the reverse", diagonal,
                  k_options, call_diag)
KT_OPERATION_WITH(diagflat, "Diagflat", KT_OPERATION_NUMPY, "a matrix with all of x on a diagonal", diagonal,
                  k_options, call_diagflat)

static kt_value take_diagonal(kt_layer *layer, kt_layer_call *call) {
    const diagonal *d = (const diagonal *)layer;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x || !check_offset(call, d->offset)) return 0;
    int rank = kt_build_type(call->trace->builder, x)->rank;
    int first = kt_call_axis(call, d->axis1, rank), second = kt_call_axis(call, d->axis2, rank);
    if (first >= 0 && second >= 0 && first != second)
        return kt_diagonal(call->trace->builder, x, d->offset, first, second);
    kt_trace_fail(call->trace, KT_INVALID, "it needs two different axes.");
    return 0;
}
static void call_diagonal(kt_layer *layer, kt_layer_call *call) {
    call->outputs[0] = take_diagonal(layer, call);
}
static void call_trace(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_value x = take_diagonal(layer, call);
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    x = kt_build_cast(b, x, kt_sum_dtype(type.dtype));
    call->outputs[0] = kt_reduce_axis(b, x, KT_REDUCE_SUM, type.rank - 1);
}
KT_OPERATION_WITH(diagonal, "Diagonal", KT_OPERATION_NUMPY, "a diagonal of two axes", diagonal,
                  diagonal_options, call_diagonal)
KT_OPERATION_WITH(trace, "Trace", KT_OPERATION_NUMPY, "the sum of a diagonal", diagonal, diagonal_options,
                  call_trace)

/* x where column - row compared with k is so, else 0. */
static void keep_side(kt_layer *layer, kt_layer_call *call, kt_op compare) {
    int64_t k = ((const diagonal *)layer)->k;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x || !check_offset(call, k)) return;
    kt_type type = *kt_build_type(b, x);
    if (type.rank < 2) {
        kt_trace_fail(call->trace, KT_INVALID, "its input must have at least 2 axes.");
        return;
    }
    kt_value mask = kt_diagonal_mask(b, compare, type.dims[type.rank - 2], type.dims[type.rank - 1], k);
    mask = kt_build_broadcast_to(b, mask, type.rank, type.dims);
    call->outputs[0] = kt_build_select(b, mask, x, kt_build_like(b, x, 0));
}
static void call_tril(kt_layer *layer, kt_layer_call *call) { keep_side(layer, call, KT_OP_le); }
static void call_triu(kt_layer *layer, kt_layer_call *call) { keep_side(layer, call, KT_OP_ge); }
KT_OPERATION_WITH(tril, "Tril", KT_OPERATION_NUMPY, "matrices, 0 above a diagonal", diagonal, k_options,
                  call_tril)
KT_OPERATION_WITH(triu, "Triu", KT_OPERATION_NUMPY, "matrices, 0 below a diagonal", diagonal, k_options,
                  call_triu)

typedef struct vander {
    kt_layer layer;
    int64_t N;
    bool increasing;
} vander;
static const kt_option vander_options[] = {
    KT_FIELD(vander, N, OPTIONAL_INT, "null"),
    KT_FIELD(vander, increasing, BOOL, "false"),
    KT_OPTIONS_END,
};

static void call_vander(kt_layer *layer, kt_layer_call *call) {
    const vander *v = (const vander *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    if (type.rank != 1 || (v->N != KT_NONE_INT && (v->N < 0 || v->N > INT32_MAX))) {
        kt_trace_fail(call->trace, KT_INVALID, "its input must have 1 axis, and N be at least 0.");
        return;
    }
    type.dims[1] = v->N == KT_NONE_INT ? type.dims[0] : kt_dim_const(b->graph->dims, v->N);
    type.rank = 2;
    kt_value powers = kt_build_iota(b, &type, 1);
    if (!v->increasing) powers = kt_build_reverse(b, powers, 1, (const int64_t[]){1});
    x = kt_build_broadcast(b, x, 2, type.dims, (const int64_t[]){0});
    call->outputs[0] = kt_build_pow(b, x, powers);
}
KT_OPERATION_WITH(vander, "Vander", KT_OPERATION_NUMPY, "powers of a vector as columns", vander,
                  vander_options, call_vander)

/* ---- codes of classes ------------------------------------------------------------------------ */
typedef struct coding {
    kt_layer layer;
    int64_t num_classes, axis;
    bool sparse;
    const char *to;
} coding;
static const kt_option coding_options[] = {
    KT_FIELD(coding, num_classes, INT, NULL),
    KT_FIELD(coding, axis, INT, "-1"),
    DTYPE(coding),
    KT_FIELD(coding, sparse, BOOL, "false", .inert = true),
    KT_OPTIONS_END,
};

/* Bools with a new axis of classes: is x that class? 0 and a problem if something is wrong. */
static kt_value code(const coding *c, kt_layer_call *call, const char *argument, kt_dtype *out_dtype,
                     int *out_axis) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, argument);
    if (!x || !read_dtype(call, c->to, KT_F32, out_dtype)) return 0;
    if (c->num_classes < 1 || c->num_classes > INT32_MAX ||
        !kt_dtype_is_integer(kt_build_type(b, x)->dtype)) {
        kt_trace_fail(call->trace, KT_INVALID, "it codes integers, as one of at least 1 classes.");
        return 0;
    }
    *out_axis = kt_call_axis(call, c->axis, kt_build_type(b, x)->rank + 1);
    if (*out_axis < 0) return 0;
    x = kt_add_axis(b, kt_build_cast(b, x, KT_I64), *out_axis);
    kt_type type = *kt_build_type(b, x);
    type.dims[*out_axis] = kt_dim_const(b->graph->dims, c->num_classes);
    return kt_build_eq(b, kt_build_broadcast_to(b, x, type.rank, type.dims),
                       kt_build_iota(b, &type, *out_axis));
}

static void call_one_hot(kt_layer *layer, kt_layer_call *call) {
    kt_dtype dtype;
    int axis;
    kt_value is = code((const coding *)layer, call, "x", &dtype, &axis);
    if (is) call->outputs[0] = kt_build_cast(call->trace->builder, is, dtype);
}
KT_OPERATION_WITH(one_hot, "OneHot", KT_OPERATION_NN, "1 at the class that x is, else 0", coding,
                  coding_options, call_one_hot)

/* Keras looks along axis 1 of what one_hot gives, wherever the classes are. */
static void call_multi_hot(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_dtype dtype;
    int axis;
    kt_value is = code((const coding *)layer, call, "inputs", &dtype, &axis);
    if (!is) return;
    int rank = kt_build_type(b, is)->rank;
    int looked = rank > 2 ? 1 : 0;
    call->outputs[0] = kt_build_cast(b, kt_reduce_axis(b, is, KT_REDUCE_MAXIMUM, looked), dtype);
}
KT_OPERATION_WITH(multi_hot, "MultiHot", KT_OPERATION_NN, "1 at the classes that are in x, else 0", coding,
                  coding_options, call_multi_hot)
