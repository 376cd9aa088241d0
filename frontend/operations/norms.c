/* Norms of vectors and matrices, but those that need singular values. */
#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

typedef struct norm {
    kt_layer layer;
    const json_t *ord, *axis;
    bool keepdims;
} norm;
static const kt_option norm_options[] = {
    KT_FIELD(norm, ord, JSON, "null"),
    KT_FIELD(norm, axis, JSON, "null"),
    KT_FIELD(norm, keepdims, BOOL, "false"),
    KT_OPTIONS_END,
};

static kt_value reduce(kt_builder *b, kt_value x, kt_reduction kind, const kt_ints *axes) {
    return kt_build_reduce(b, x, kind, axes->count, axes->at);
}

static kt_value euclidean(kt_builder *b, kt_value x, const kt_ints *axes) {
    return kt_build_sqrt(b, reduce(b, kt_build_mul(b, x, x), KT_REDUCE_SUM, axes));
}

/* (sum of |x|^p)^(1 / p), and what that comes to for 0 and infinity. */
static kt_value vector_norm(kt_builder *b, kt_value x, double p, const kt_ints *axes) {
    if (p == 2) return euclidean(b, x, axes);
    kt_value size = kt_build_abs(b, x);
    if (isinf(p)) return reduce(b, size, p > 0 ? KT_REDUCE_MAXIMUM : KT_REDUCE_MINIMUM, axes);
    if (p == 0) {
        kt_value some = kt_build_ne(b, x, kt_build_like(b, x, 0));
        return reduce(b, kt_build_cast(b, some, kt_build_type(b, x)->dtype), KT_REDUCE_SUM, axes);
    }
    if (p == 1) return reduce(b, size, KT_REDUCE_SUM, axes);
    kt_value sum = reduce(b, kt_build_pow(b, size, kt_build_like(b, size, p)), KT_REDUCE_SUM, axes);
    return kt_build_pow(b, sum, kt_build_like(b, sum, 1 / p));
}

/* The largest, or smallest, sum of |x| along columns (1) or rows (infinity); axes: of rows, then columns. */
static kt_value matrix_norm(kt_builder *b, kt_value x, double p, int row, int column) {
    int summed = isinf(p) ? column : row, rest = isinf(p) ? row : column;
    kt_value sums = kt_reduce_axis(b, kt_build_abs(b, x), KT_REDUCE_SUM, summed);
    return kt_reduce_axis(b, sums, p > 0 ? KT_REDUCE_MAXIMUM : KT_REDUCE_MINIMUM, rest - (rest > summed));
}

kt_value kt_operation_norm(const kt_layer_call *call, kt_value x, const double *order, const json_t *axis,
                           kt_ints *out_axes) {
    kt_builder *b = call->trace->builder;
    int rank = kt_build_type(b, x)->rank;
    kt_ints written = {0};
    if (!kt_operation_axes(call, axis, rank, out_axes)) return 0;
    if (axis && !kt_operation_ints(call, "axis", axis, &written)) return 0;
    if (!axis) written = *out_axes;
    if (!order) return euclidean(b, x, out_axes);
    if (out_axes->count == 1) return vector_norm(b, x, *order, out_axes);
    if (out_axes->count == 2 && (isinf(*order) || fabs(*order) == 1))
        return matrix_norm(b, x, *order, kt_call_axis(call, written.at[0], rank),
                           kt_call_axis(call, written.at[1], rank));
    kt_trace_fail(call->trace, KT_UNSUPPORTED,
                  "a norm of this order along %u axes is not supported; it may need singular values.",
                  out_axes->count);
    return 0;
}

static void call_norm(kt_layer *layer, kt_layer_call *call) {
    const norm *n = (const norm *)layer;
    kt_builder *b = call->trace->builder;
    kt_operand given;
    kt_ints axes;
    if (!kt_operation_operand(call, 0, "x", &given)) return;
    kt_value x = kt_operand_cast(call, &given, kt_dtype_to_float(given.dtype));
    kt_type type = *kt_build_type(b, x);
    double p = 2;
    bool frobenius = !n->ord || (json_is_string(n->ord) && strcmp(json_string_value(n->ord), "fro") == 0);
    if (!frobenius && !kt_json_number(n->ord, &p)) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "a norm of this order is not supported.");
        return;
    }
    kt_value y = kt_operation_norm(call, x, frobenius ? NULL : &p, n->axis, &axes);
    if (!y) return;
    for (uint32_t i = 0; i < axes.count; i++) type.dims[axes.at[i]] = kt_dim_const(b->graph->dims, 1);
    call->outputs[0] = n->keepdims ? kt_build_reshape(b, y, type.rank, type.dims) : y;
}
KT_OPERATION_WITH(norm, "Norm", KT_OPERATION_LINALG, "the length of vectors, and norms of matrices", norm,
                  norm_options, call_norm)
