/* Operation nodes that combine many elements: reductions along axes, and matrix products. */
#include "frontend/operations/operations_impl.h"

#include <float.h>
#include <math.h>

typedef struct reduction {
    kt_layer layer;
    const json_t *axis; /* NULL: all */
    bool keepdims;
    double initial; /* Max, Min: NaN: None */
} reduction;

static const kt_option reduction_options[] = {
    KT_FIELD(reduction, axis, JSON, "null"),
    KT_FIELD(reduction, keepdims, BOOL, "false"),
    KT_OPTIONS_END,
};
static const kt_option extremum_options[] = {
    KT_FIELD(reduction, axis, JSON, "null"),
    KT_FIELD(reduction, keepdims, BOOL, "false"),
    KT_FIELD(reduction, initial, OPTIONAL_FLOAT, "null"),
    KT_OPTIONS_END,
};

/* y, which has lost axes, with these axes again as size 1 if the layer keeps them. */
static kt_value keep_axes(kt_layer_call *call, const reduction *r, kt_value y, const kt_type *before,
                          const kt_ints *axes) {
    if (!r->keepdims) return y;
    kt_type shape = *before;
    for (uint32_t i = 0; i < axes->count; i++)
        shape.dims[axes->at[i]] = kt_dim_const(call->trace->builder->graph->dims, 1);
    return kt_build_reshape(call->trace->builder, y, shape.rank, shape.dims);
}

/* The operand and its axes; 0 where there is a problem. */
static kt_value take(kt_layer_call *call, const reduction *r, kt_type *out_type, kt_ints *out_axes) {
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return 0;
    *out_type = *kt_build_type(call->trace->builder, x);
    return kt_operation_axes(call, r->axis, out_type->rank, out_axes) ? x : 0;
}

kt_dtype kt_sum_dtype(kt_dtype dtype) {
    if (dtype == KT_BOOL || dtype == KT_I8 || dtype == KT_I16) return KT_I32;
    return dtype == KT_U8 || dtype == KT_U16 ? KT_U32 : dtype;
}

static kt_dtype test_dtype(kt_dtype dtype) {
    (void)dtype;
    return KT_BOOL;
}

/* Reduces in the dtype that dtype_of makes of the operand's. */
static void reduce_as(kt_layer *layer, kt_layer_call *call, kt_reduction kind,
                      kt_dtype (*dtype_of)(kt_dtype)) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take(call, (reduction *)layer, &type, &axes);
    if (!x) return;
    kt_value y = kt_build_reduce(b, kt_build_cast(b, x, dtype_of(type.dtype)), kind, axes.count, axes.at);
    call->outputs[0] = keep_axes(call, (reduction *)layer, y, &type, &axes);
}

static void call_sum(kt_layer *layer, kt_layer_call *call) {
    reduce_as(layer, call, KT_REDUCE_SUM, kt_sum_dtype);
}
static void call_prod(kt_layer *layer, kt_layer_call *call) {
    reduce_as(layer, call, KT_REDUCE_PRODUCT, kt_sum_dtype);
}
KT_OPERATION_WITH(sum, "Sum", KT_OPERATION_NUMPY, "the sum along axes", reduction, reduction_options,
                  call_sum)
KT_OPERATION_WITH(prod, "Prod", KT_OPERATION_NUMPY, "the product along axes", reduction, reduction_options,
                  call_prod)

/* Amax and Amin have no initial. */
static kt_value hold(kt_builder *b, const reduction *r, kt_value y, kt_reduction kind) {
    if (r->layer.class->options != extremum_options || isnan(r->initial)) return y;
    kt_value bound = kt_build_like(b, y, r->initial);
    return kt_build_node(b, kind == KT_REDUCE_MAXIMUM ? KT_OP_maximum : KT_OP_minimum, (kt_value[]){y, bound},
                         2, NULL);
}

static void call_extremum(kt_layer *layer, kt_layer_call *call, kt_reduction kind) {
    const reduction *r = (reduction *)layer;
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take(call, r, &type, &axes);
    if (!x) return;
    kt_value y = hold(b, r, kt_build_reduce(b, x, kind, axes.count, axes.at), kind);
    call->outputs[0] = keep_axes(call, r, y, &type, &axes);
}

static void call_max(kt_layer *layer, kt_layer_call *call) { call_extremum(layer, call, KT_REDUCE_MAXIMUM); }
static void call_min(kt_layer *layer, kt_layer_call *call) { call_extremum(layer, call, KT_REDUCE_MINIMUM); }
KT_OPERATION_WITH(max, "Max", KT_OPERATION_NUMPY, "the largest along axes", reduction, extremum_options,
                  call_max)
KT_OPERATION_WITH(amax, "Amax", KT_OPERATION_NUMPY, "the largest along axes", reduction, reduction_options,
                  call_max)
KT_OPERATION_WITH(min, "Min", KT_OPERATION_NUMPY, "the smallest along axes", reduction, extremum_options,
                  call_min)
KT_OPERATION_WITH(amin, "Amin", KT_OPERATION_NUMPY, "the smallest along axes", reduction, reduction_options,
                  call_min)

static void call_any(kt_layer *layer, kt_layer_call *call) {
    reduce_as(layer, call, KT_REDUCE_MAXIMUM, test_dtype);
}
static void call_all(kt_layer *layer, kt_layer_call *call) {
    reduce_as(layer, call, KT_REDUCE_MINIMUM, test_dtype);
}
KT_OPERATION_WITH(any, "Any", KT_OPERATION_NUMPY, "is any true along axes", reduction, reduction_options,
                  call_any)
KT_OPERATION_WITH(all, "All", KT_OPERATION_NUMPY, "are all true along axes", reduction, reduction_options,
                  call_all)

/* Half floats are summed in float32, as Keras does. */
static kt_dtype mean_dtype(kt_dtype dtype) { return dtype == KT_F64 ? KT_F64 : KT_F32; }

static kt_value mean(kt_layer_call *call, kt_value x, const kt_ints *axes) {
    kt_builder *b = call->trace->builder;
    kt_type type = *kt_build_type(b, x);
    return kt_divide_by_count(b, kt_build_reduce(b, x, KT_REDUCE_SUM, axes->count, axes->at), &type, axes);
}

static void call_mean(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take(call, (reduction *)layer, &type, &axes);
    if (!x) return;
    kt_value y = mean(call, kt_build_cast(b, x, mean_dtype(type.dtype)), &axes);
    y = kt_build_cast(b, y, kt_dtype_to_float(type.dtype));
    call->outputs[0] = keep_axes(call, (reduction *)layer, y, &type, &axes);
}
KT_OPERATION_WITH(mean, "Mean", KT_OPERATION_NUMPY, "the mean along axes", reduction, reduction_options,
                  call_mean)

static void call_variance(kt_layer *layer, kt_layer_call *call, bool root) {
    const reduction *r = (reduction *)layer;
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take(call, r, &type, &axes);
    if (!x) return;
    x = kt_build_cast(b, x, mean_dtype(type.dtype));
    kt_value difference = kt_build_sub(b, x, kt_spread(b, kt_mean(b, x, &axes), x, &axes));
    kt_value y = mean(call, kt_build_mul(b, difference, difference), &axes);
    if (root) y = kt_build_sqrt(b, y);
    call->outputs[0] = keep_axes(call, r, kt_build_cast(b, y, kt_dtype_to_float(type.dtype)), &type, &axes);
}

static void call_var(kt_layer *layer, kt_layer_call *call) { call_variance(layer, call, false); }
static void call_std(kt_layer *layer, kt_layer_call *call) { call_variance(layer, call, true); }
KT_OPERATION_WITH(var, "Var", KT_OPERATION_NUMPY, "the variance along axes", reduction, reduction_options,
                  call_var)
KT_OPERATION_WITH(std, "Std", KT_OPERATION_NUMPY, "the standard deviation along axes", reduction,
                  reduction_options, call_std)

/* As Keras ranks zeros: -0 below 0, as the largest negative number that is not denormal. */
static kt_value rank_zeros(kt_builder *b, kt_value x) {
    x = kt_build_cast(b, x, mean_dtype(kt_build_type(b, x)->dtype));
    double tiny = kt_build_type(b, x)->dtype == KT_F64 ? DBL_MIN : FLT_MIN;
    kt_value zero = kt_build_like(b, x, 0), reciprocal = kt_build_div(b, kt_build_like(b, x, 1), x);
    kt_value minus_zero = kt_build_and(b, kt_build_eq(b, x, zero), kt_build_lt(b, reciprocal, zero));
    return kt_build_select(b, minus_zero, kt_build_like(b, x, -tiny), x);
}

static void call_position(kt_layer *layer, kt_layer_call *call, kt_reduction kind) {
    const reduction *r = (reduction *)layer;
    kt_builder *b = call->trace->builder;
    kt_type type;
    kt_ints axes;
    kt_value x = take(call, r, &type, &axes);
    if (!x) return;
    int axis = axes.count ? (int)axes.at[0] : 0;
    if (!r->axis) {
        kt_dim all = kt_type_elements(b->graph->dims, &type);
        x = kt_build_reshape(b, x, 1, &all);
        axis = 0;
    } else if (axes.count != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it looks along one axis, and is given %u.", axes.count);
        return;
    }
    if (type.dtype == KT_BOOL) x = kt_build_cast(b, x, KT_I32);
    if (kt_dtype_is_float(type.dtype)) x = rank_zeros(b, x);
    call->outputs[0] = keep_axes(call, r, kt_build_arg_reduce(b, x, kind, axis, KT_I32), &type, &axes);
}

static void call_argmax(kt_layer *layer, kt_layer_call *call) {
    call_position(layer, call, KT_REDUCE_MAXIMUM);
}
static void call_argmin(kt_layer *layer, kt_layer_call *call) {
    call_position(layer, call, KT_REDUCE_MINIMUM);
}
KT_OPERATION_WITH(argmax, "Argmax", KT_OPERATION_NUMPY, "the position of the largest along an axis",
                  reduction, reduction_options, call_argmax)
KT_OPERATION_WITH(argmin, "Argmin", KT_OPERATION_NUMPY, "the position of the smallest along an axis",
                  reduction, reduction_options, call_argmin)

/* ---- matrix products ------------------------------------------------------------------------- */
/* Both operands' leading axes, up to the last two, broadcast to one shape. */
static void broadcast_leading(kt_builder *b, kt_value *x, kt_value *y) {
    kt_type tx = *kt_build_type(b, *x), ty = *kt_build_type(b, *y);
    int rank = tx.rank > ty.rank ? tx.rank : ty.rank;
    kt_dim sx[KT_MAX_RANK], sy[KT_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        int ix = i - (rank - tx.rank), iy = i - (rank - ty.rank);
        kt_dim dx = ix >= 0 ? tx.dims[ix] : kt_dim_const(b->graph->dims, 1);
        kt_dim dy = iy >= 0 ? ty.dims[iy] : kt_dim_const(b->graph->dims, 1);
        bool matrix = i >= rank - 2;
        sx[i] = !matrix && kt_dim_equals(b->graph->dims, dx, 1) ? dy : dx;
        sy[i] = !matrix ? sx[i] : dy;
    }
    *x = kt_build_broadcast_to(b, *x, rank, sx);
    *y = kt_build_broadcast_to(b, *y, rank, sy);
}

static kt_value multiply_matrices(kt_builder *b, kt_value x, kt_value y) {
    kt_attrs_dot_general attrs = {0};
    if (kt_build_type(b, y)->rank > 2) {
        broadcast_leading(b, &x, &y);
        for (int i = 0; i < kt_build_type(b, x)->rank - 2; i++) {
            attrs.lhs_batch.at[attrs.lhs_batch.count++] = i;
            attrs.rhs_batch.at[attrs.rhs_batch.count++] = i;
        }
    }
    attrs.lhs_contract = (kt_ints){1, {kt_build_type(b, x)->rank - 1}};
    attrs.rhs_contract = (kt_ints){1, {kt_build_type(b, y)->rank - 2}};
    return b->status == KT_OK ? kt_build_dot_general(b, x, y, &attrs) : 0;
}

static void call_matmul(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x1"), y = x ? kt_operation_tensor(call, 1, "x2") : 0;
    if (!x || !y) return;
    kt_type tx = *kt_build_type(b, x), ty = *kt_build_type(b, y);
    if (!tx.rank || !ty.rank) {
        kt_trace_fail(call->trace, KT_INVALID, "a matrix product needs operands of at least one axis.");
        return;
    }
    kt_dtype compute, result;
    kt_matmul_dtypes(tx.dtype, ty.dtype, &compute, &result);
    x = kt_build_cast(b, x, compute);
    y = kt_build_cast(b, y, compute);
    if (tx.rank == 1) x = kt_add_axis(b, x, 0);
    if (ty.rank == 1) y = kt_add_axis(b, y, 1);
    kt_value z = multiply_matrices(b, x, y);
    if (!z) return;
    if (ty.rank == 1) z = kt_drop_axis(b, z, kt_build_type(b, z)->rank - 1);
    if (tx.rank == 1) z = kt_drop_axis(b, z, kt_build_type(b, z)->rank - (ty.rank == 1 ? 1 : 2));
    call->outputs[0] = kt_build_cast(b, z, result);
}
KT_OPERATION(matmul, "Matmul", KT_OPERATION_NUMPY, "the matrix product, over leading axes", call_matmul)
