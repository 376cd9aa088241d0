/* Inference of operations that only move elements. */
#include "ir/infer/infer_impl.h"

static kt_type shaped(kt_dtype dtype, const kt_dims *shape) {
    kt_type type = {.dtype = dtype, .rank = (uint8_t)shape->count};
    for (uint32_t i = 0; i < shape->count; i++) type.dims[i] = shape->at[i];
    return type;
}

/* C1 the result's dimensions are at least 0
 * C2 operand and result have the same number of elements */
kt_status kt_infer_reshape(kt_infer *infer) {
    const kt_attrs_reshape *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    kt_dim_pool *pool = infer->graph->dims;
    kt_type result = shaped(x->dtype, &attrs->shape);
    KT_TRY(kt_infer_shape(infer, 1, &result));
    kt_dim before = kt_type_elements(pool, x), after = kt_type_elements(pool, &result);
    if (before != after)
        KT_TRY(kt_infer_equal(infer, 2, before, after, "the numbers of elements of %s and %s",
                              kt_infer_show(infer, x), kt_infer_show(infer, &result)));
    infer->results[0] = result;
    return KT_OK;
}

/* C1 there is one entry in axes for each axis of the operand
 * C2 axes is a permutation */
kt_status kt_infer_transpose(kt_infer *infer) {
    const kt_attrs_transpose *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    KT_TRY(kt_infer_count(infer, 1, "axes", attrs->axes.count, x->rank));
    KT_TRY(kt_infer_axes(infer, 2, &attrs->axes, x->rank, false));
    infer->results[0] = *x;
    for (int i = 0; i < x->rank; i++) infer->results[0].dims[i] = x->dims[attrs->axes.at[i]];
    return KT_OK;
}

/* C1 there is one entry in axes for each axis of the operand
 * C2 axes are axes of the result, increasing
 * C3 a dimension of the operand is 1 or equals the result's
 * C4 the result's dimensions are at least 0 */
kt_status kt_infer_broadcast(kt_infer *infer) {
    const kt_attrs_broadcast *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    kt_type result = shaped(x->dtype, &attrs->shape);
    KT_TRY(kt_infer_count(infer, 1, "axes", attrs->axes.count, x->rank));
    KT_TRY(kt_infer_axes(infer, 2, &attrs->axes, result.rank, true));
    for (int i = 0; i < x->rank; i++) {
        kt_dim target = result.dims[attrs->axes.at[i]];
        if (x->dims[i] == target || kt_dim_equals(infer->graph->dims, x->dims[i], 1)) continue;
        KT_TRY(kt_infer_equal(infer, 3, x->dims[i], target, "dimension %d of %s and dimension %lld of %s", i,
                              kt_infer_show(infer, x), (long long)attrs->axes.at[i],
                              kt_infer_show(infer, &result)));
    }
    KT_TRY(kt_infer_shape(infer, 4, &result));
    infer->results[0] = result;
    return KT_OK;
}

/* C1 start, limit and strides have one entry for each axis
 * C2 strides are at least 1
 * C3 0 <= start <= limit <= dimension on each axis */
kt_status kt_infer_slice(kt_infer *infer) {
    const kt_attrs_slice *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    kt_dim_pool *pool = infer->graph->dims;
    KT_TRY(kt_infer_count(infer, 1, "start", attrs->start.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "limit", attrs->limit.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "strides", attrs->strides.count, x->rank));
    KT_TRY(kt_infer_bounds(infer, 2, "strides", &attrs->strides, 1));
    infer->results[0] = *x;
    for (int i = 0; i < x->rank; i++) {
        kt_dim start = attrs->start.at[i], limit = attrs->limit.at[i];
        kt_dim length = kt_dim_sub(pool, limit, start), rest = kt_dim_sub(pool, x->dims[i], limit);
        KT_TRY(kt_infer_at_least(infer, 3, start, 0, "start[%d]", i));
        KT_TRY(kt_infer_at_least(infer, 3, length, 0, "limit[%d] - start[%d]", i, i));
        KT_TRY(kt_infer_at_least(infer, 3, rest, 0, "dimension %d of the operand less limit[%d]", i, i));
        infer->results[0].dims[i] = kt_dim_ceildiv(pool, length, kt_dim_const(pool, attrs->strides.at[i]));
    }
    return KT_OK;
}

/* C1 low, high and interior have one entry for each axis of the first operand
 * C2 the second operand is a scalar of the first's dtype
 * C3 low, high and interior are at least 0 */
kt_status kt_infer_pad(kt_infer *infer) {
    const kt_attrs_pad *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *fill = &infer->operands[1];
    kt_dim_pool *pool = infer->graph->dims;
    KT_TRY(kt_infer_count(infer, 1, "low", attrs->low.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "high", attrs->high.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "interior", attrs->interior.count, x->rank));
    if (fill->rank != 0 || fill->dtype != x->dtype)
        return kt_infer_fail(infer, 2, "the fill value must be a scalar of %s, but is %s.",
                             kt_dtype_name(x->dtype), kt_infer_show(infer, fill));
    KT_TRY(kt_infer_bounds(infer, 3, "interior", &attrs->interior, 0));
    infer->results[0] = *x;
    for (int i = 0; i < x->rank; i++) {
        KT_TRY(kt_infer_at_least(infer, 3, attrs->low.at[i], 0, "low[%d]", i));
        KT_TRY(kt_infer_at_least(infer, 3, attrs->high.at[i], 0, "high[%d]", i));
        kt_dim size = kt_dim_add(pool, kt_dim_add(pool, attrs->low.at[i], x->dims[i]), attrs->high.at[i]);
        if (attrs->interior.at[i] > 0) {
            kt_dim gaps = kt_dim_max(pool, kt_dim_add_const(pool, x->dims[i], -1), kt_dim_const(pool, 0));
            size = kt_dim_add(pool, size, kt_dim_mul_const(pool, gaps, attrs->interior.at[i]));
        }
        infer->results[0].dims[i] = size;
    }
    return KT_OK;
}

/* C1 there is at least one operand
 * C2 the axis is one of the operands'
 * C3 the operands have one dtype and one rank
 * C4 their dimensions are equal but along the axis */
kt_status kt_infer_concat(kt_infer *infer) {
    const kt_attrs_concat *attrs = infer->attrs;
    if (infer->operand_count == 0) return kt_infer_fail(infer, 1, "it takes at least one operand.");
    const kt_type *first = &infer->operands[0];
    kt_type result = *first;
    KT_TRY(kt_infer_axis(infer, 2, attrs->axis, first->rank));
    for (uint32_t k = 1; k < infer->operand_count; k++) {
        const kt_type *part = &infer->operands[k];
        if (part->dtype != first->dtype || part->rank != first->rank)
            return kt_infer_fail(infer, 3, "%s and %s (operand %u) differ in dtype or rank.",
                                 kt_infer_show(infer, first), kt_infer_show(infer, part), k);
        for (int i = 0; i < result.rank; i++) {
            if (i == attrs->axis) {
                result.dims[i] = kt_dim_add(infer->graph->dims, result.dims[i], part->dims[i]);
            } else if (result.dims[i] != part->dims[i]) {
                KT_TRY(kt_infer_equal(infer, 4, result.dims[i], part->dims[i],
                                      "dimensions %d of %s and %s (operand %u)", i,
                                      kt_infer_show(infer, first), kt_infer_show(infer, part), k));
                result.dims[i] = kt_infer_sharper(infer, result.dims[i], part->dims[i]);
            }
        }
    }
    infer->results[0] = result;
    return KT_OK;
}

/* C1 axes are axes of the operand, each once */
kt_status kt_infer_reverse(kt_infer *infer) {
    const kt_attrs_reverse *attrs = infer->attrs;
    KT_TRY(kt_infer_axes(infer, 1, &attrs->axes, infer->operands[0].rank, false));
    infer->results[0] = infer->operands[0];
    return KT_OK;
}

/* C1 the indices are integers
 * C2 both operands have at least batch_dims axes, and batch_dims is at least 0
 * C3 the axis is one of the first operand's, behind its batch axes
 * C4 the batch axes agree
 * C5 the result has at most KT_MAX_RANK axes
 * C6 there is at least one element along the axis */
kt_status kt_infer_gather(kt_infer *infer) {
    const kt_attrs_gather *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *indices = &infer->operands[1];
    if (!kt_dtype_is_integer(indices->dtype))
        return kt_infer_fail(infer, 1, "the indices must be integers, but are %s.",
                             kt_infer_show(infer, indices));
    if (attrs->batch_dims < 0 || attrs->batch_dims > x->rank || attrs->batch_dims > indices->rank)
        return kt_infer_fail(infer, 2, "%s and %s cannot share %lld leading axes.", kt_infer_show(infer, x),
                             kt_infer_show(infer, indices), (long long)attrs->batch_dims);
    int axis = (int)attrs->axis, batch = (int)attrs->batch_dims;
    KT_TRY(kt_infer_axis(infer, 3, attrs->axis, x->rank));
    if (axis < batch)
        return kt_infer_fail(infer, 3, "axis %d is one of the %d shared leading axes.", axis, batch);
    for (int i = 0; i < batch; i++)
        if (x->dims[i] != indices->dims[i])
            KT_TRY(kt_infer_equal(infer, 4, x->dims[i], indices->dims[i], "dimensions %d of %s and %s", i,
                                  kt_infer_show(infer, x), kt_infer_show(infer, indices)));
    int rank = x->rank - 1 + indices->rank - batch;
    if (rank > KT_MAX_RANK)
        return kt_infer_fail(infer, 5, "picking from %s by %s gives more than %d dimensions.",
                             kt_infer_show(infer, x), kt_infer_show(infer, indices), KT_MAX_RANK);
    KT_TRY(kt_infer_at_least(infer, 6, x->dims[axis], 1, "dimension %d of the first operand", axis));
    kt_type result = {.dtype = x->dtype};
    for (int i = 0; i < axis; i++) result.dims[result.rank++] = x->dims[i];
    for (int i = batch; i < indices->rank; i++) result.dims[result.rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++) result.dims[result.rank++] = x->dims[i];
    infer->results[0] = result;
    return KT_OK;
}
