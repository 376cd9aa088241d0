/* Inference of elementwise operations. Their operands agree in shape: broadcasting is an operation of its
 * own. */
#include "ir/infer/infer_impl.h"

static kt_status check_domain(kt_infer *infer, int constraint, kt_dtype dtype) {
    if (kt_domain_has(kt_op_describe(infer->op)->domain, dtype)) return KT_OK;
    return kt_infer_fail(infer, constraint, "it does not work on %s.", kt_dtype_name(dtype));
}

static kt_status check_same_dtype(kt_infer *infer, int constraint, const kt_type *a, const kt_type *b) {
    if (a->dtype == b->dtype) return KT_OK;
    return kt_infer_fail(infer, constraint, "%s and %s differ in dtype; cast one of them.",
                         kt_infer_show(infer, a), kt_infer_show(infer, b));
}

/* Rank by rank_constraint, dimensions by the next; shape takes over what b says more. */
static kt_status merge_shape(kt_infer *infer, int rank_constraint, kt_type *shape, const kt_type *b) {
    const char *left = NULL, *right = NULL;
    if (shape->rank != b->rank)
        return kt_infer_fail(infer, rank_constraint, "%s and %s differ in rank; broadcast one of them.",
                             kt_infer_show(infer, shape), kt_infer_show(infer, b));
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == b->dims[i]) continue;
        if (!left) left = kt_infer_show(infer, shape), right = kt_infer_show(infer, b);
        KT_TRY(kt_infer_equal(infer, rank_constraint + 1, shape->dims[i], b->dims[i],
                              "dimensions %d of %s and %s", i, left, right));
        shape->dims[i] = kt_infer_sharper(infer, shape->dims[i], b->dims[i]);
    }
    return KT_OK;
}

/* C1 the dtype is in the operation's domain */
kt_status kt_infer_unary(kt_infer *infer) {
    KT_TRY(check_domain(infer, 1, infer->operands[0].dtype));
    infer->results[0] = infer->operands[0];
    if (kt_op_describe(infer->op)->compares) infer->results[0].dtype = KT_BOOL;
    return KT_OK;
}

/* C1 the operands have one dtype
 * C2 it is in the operation's domain
 * C3 the operands have one rank
 * C4 and equal dimensions */
kt_status kt_infer_binary(kt_infer *infer) {
    kt_type result = infer->operands[0];
    KT_TRY(check_same_dtype(infer, 1, &result, &infer->operands[1]));
    KT_TRY(check_domain(infer, 2, result.dtype));
    KT_TRY(merge_shape(infer, 3, &result, &infer->operands[1]));
    infer->results[0] = result;
    return KT_OK;
}

/* As kt_infer_binary; the result is bool. */
kt_status kt_infer_compare(kt_infer *infer) {
    KT_TRY(kt_infer_binary(infer));
    infer->results[0].dtype = KT_BOOL;
    return KT_OK;
}

/* C1 the first operand is bool
 * C2 the others have one dtype
 * C3 all three have one rank
 * C4 and equal dimensions */
kt_status kt_infer_select(kt_infer *infer) {
    kt_type result = infer->operands[1];
    if (infer->operands[0].dtype != KT_BOOL)
        return kt_infer_fail(infer, 1, "the condition must be bool, but is %s.",
                             kt_infer_show(infer, &infer->operands[0]));
    KT_TRY(check_same_dtype(infer, 2, &result, &infer->operands[2]));
    KT_TRY(merge_shape(infer, 3, &result, &infer->operands[0]));
    KT_TRY(merge_shape(infer, 3, &result, &infer->operands[2]));
    infer->results[0] = result;
    return KT_OK;
}

/* C1 operand and result are numbers or bool */
kt_status kt_infer_cast(kt_infer *infer) {
    const kt_attrs_cast *attrs = infer->attrs;
    if (!kt_domain_has(KT_ANY, infer->operands[0].dtype) || !kt_domain_has(KT_ANY, attrs->dtype))
        return kt_infer_fail(infer, 1, "%s cannot be converted to %s.",
                             kt_infer_show(infer, &infer->operands[0]), kt_dtype_name(attrs->dtype));
    infer->results[0] = infer->operands[0];
    infer->results[0].dtype = attrs->dtype;
    return KT_OK;
}
