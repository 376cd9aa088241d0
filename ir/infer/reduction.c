/* Inference of reductions. */
#include "ir/infer/infer_impl.h"

static kt_type without_axes(const kt_type *x, const kt_ints *axes) {
    kt_type result = {.dtype = x->dtype};
    for (int i = 0; i < x->rank; i++) {
        bool vanishes = false;
        for (uint32_t j = 0; j < axes->count; j++) vanishes |= axes->at[j] == i;
        if (!vanishes) result.dims[result.rank++] = x->dims[i];
    }
    return result;
}

static bool picks(kt_reduction kind) { return kind == KT_REDUCE_MAXIMUM || kind == KT_REDUCE_MINIMUM; }

/* C1 the operand is numbers; or bool, where the kind is maximum or minimum
 * C2 axes are axes of the operand, increasing */
kt_status kt_infer_reduce(kt_infer *infer) {
    const kt_attrs_reduce *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    bool fits = kt_domain_has(KT_NUMBER, x->dtype) || (x->dtype == KT_BOOL && picks(attrs->kind));
    if (!fits)
        return kt_infer_fail(infer, 1, "there is no %s of %s.", kt_reduction_name(attrs->kind),
                             kt_dtype_name(x->dtype));
    KT_TRY(kt_infer_axes(infer, 2, &attrs->axes, x->rank, true));
    infer->results[0] = without_axes(x, &attrs->axes);
    return KT_OK;
}

/* C1 the kind is maximum or minimum
 * C2 the operand is numbers
 * C3 the axis is one of the operand's
 * C4 the result is i32 or i64
 * C5 there is at least one element along the axis */
kt_status kt_infer_arg_reduce(kt_infer *infer) {
    const kt_attrs_arg_reduce *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    if (!picks(attrs->kind))
        return kt_infer_fail(infer, 1, "the kind must be maximum or minimum, not %s.",
                             kt_reduction_name(attrs->kind));
    if (!kt_domain_has(KT_NUMBER, x->dtype))
        return kt_infer_fail(infer, 2, "the operand must be numbers, but is %s.", kt_infer_show(infer, x));
    KT_TRY(kt_infer_axis(infer, 3, attrs->axis, x->rank));
    if (attrs->dtype != KT_I32 && attrs->dtype != KT_I64)
        return kt_infer_fail(infer, 4, "the result must be i32 or i64, not %s.", kt_dtype_name(attrs->dtype));
    KT_TRY(kt_infer_at_least(infer, 5, x->dims[attrs->axis], 1, "dimension %lld of the operand",
                             (long long)attrs->axis));
    kt_ints axes = {.count = 1, .at = {attrs->axis}};
    infer->results[0] = without_axes(x, &axes);
    infer->results[0].dtype = attrs->dtype;
    return KT_OK;
}

/* C1 window, strides, dilation, low and high have one entry for each axis
 * C2 window, strides and dilation are at least 1
 * C3 low and high are at least 0
 * C4 the operand is numbers
 * C5 the window fits into the padded operand */
kt_status kt_infer_reduce_window(kt_infer *infer) {
    const kt_attrs_reduce_window *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    kt_dim_pool *pool = infer->graph->dims;
    KT_TRY(kt_infer_count(infer, 1, "window", attrs->window.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "strides", attrs->strides.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "dilation", attrs->dilation.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "low", attrs->low.count, x->rank));
    KT_TRY(kt_infer_count(infer, 1, "high", attrs->high.count, x->rank));
    KT_TRY(kt_infer_bounds(infer, 2, "window", &attrs->window, 1));
    KT_TRY(kt_infer_bounds(infer, 2, "strides", &attrs->strides, 1));
    KT_TRY(kt_infer_bounds(infer, 2, "dilation", &attrs->dilation, 1));
    for (int i = 0; i < x->rank; i++) {
        KT_TRY(kt_infer_at_least(infer, 3, attrs->low.at[i], 0, "low[%d]", i));
        KT_TRY(kt_infer_at_least(infer, 3, attrs->high.at[i], 0, "high[%d]", i));
    }
    if (!kt_domain_has(KT_NUMBER, x->dtype))
        return kt_infer_fail(infer, 4, "the operand must be numbers, but is %s.", kt_infer_show(infer, x));
    infer->results[0] = *x;
    for (int i = 0; i < x->rank; i++) {
        kt_infer_slide slide = {.size = x->dims[i],
                                .window = kt_dim_const(pool, attrs->window.at[i]),
                                .low = attrs->low.at[i],
                                .high = attrs->high.at[i],
                                .stride = attrs->strides.at[i],
                                .dilation = attrs->dilation.at[i],
                                .axis = i};
        KT_TRY(kt_infer_places(infer, 5, &slide, &infer->results[0].dims[i]));
    }
    return KT_OK;
}

/* C1 the operand is numbers
 * C2 the axis is one of the operand's
 * C3 reverse and exclusive are 0 or 1 */
kt_status kt_infer_cumulative(kt_infer *infer) {
    const kt_attrs_cumulative *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0];
    if (!kt_domain_has(KT_NUMBER, x->dtype))
        return kt_infer_fail(infer, 1, "the operand must be numbers, but is %s.", kt_infer_show(infer, x));
    KT_TRY(kt_infer_axis(infer, 2, attrs->axis, x->rank));
    if (attrs->reverse < 0 || attrs->reverse > 1 || attrs->exclusive < 0 || attrs->exclusive > 1)
        return kt_infer_fail(infer, 3, "reverse and exclusive must be 0 or 1.");
    infer->results[0] = *x;
    return KT_OK;
}

/* The shape of what picking from x by positions gives. */
static kt_type picked(const kt_type *x, const kt_type *positions, int axis, int batch) {
    kt_type result = {.dtype = x->dtype};
    for (int i = 0; i < axis; i++) result.dims[result.rank++] = x->dims[i];
    for (int i = batch; i < positions->rank; i++) result.dims[result.rank++] = positions->dims[i];
    for (int i = axis + 1; i < x->rank; i++) result.dims[result.rank++] = x->dims[i];
    return result;
}

/* C1 the first operand is numbers, and the updates have its dtype
 * C2 the positions are integers
 * C3 first operand and positions have at least batch_dims axes, and batch_dims is at least 0
 * C4 the axis is one of the first operand's, behind its batch axes
 * C5 the batch axes agree
 * C6 the updates have the shape that gather would give */
kt_status kt_infer_scatter(kt_infer *infer) {
    const kt_attrs_scatter *attrs = infer->attrs;
    const kt_type *x = &infer->operands[0], *positions = &infer->operands[1], *updates = &infer->operands[2];
    if (!kt_domain_has(KT_NUMBER, x->dtype) || updates->dtype != x->dtype)
        return kt_infer_fail(infer, 1, "%s and %s must be numbers of one dtype.", kt_infer_show(infer, x),
                             kt_infer_show(infer, updates));
    if (!kt_dtype_is_integer(positions->dtype))
        return kt_infer_fail(infer, 2, "the positions must be integers, but are %s.",
                             kt_infer_show(infer, positions));
    if (attrs->batch_dims < 0 || attrs->batch_dims > x->rank || attrs->batch_dims > positions->rank)
        return kt_infer_fail(infer, 3, "%s and %s cannot share %lld leading axes.", kt_infer_show(infer, x),
                             kt_infer_show(infer, positions), (long long)attrs->batch_dims);
    int axis = (int)attrs->axis, batch = (int)attrs->batch_dims;
    KT_TRY(kt_infer_axis(infer, 4, attrs->axis, x->rank));
    if (axis < batch)
        return kt_infer_fail(infer, 4, "axis %d is one of the %d shared leading axes.", axis, batch);
    for (int i = 0; i < batch; i++)
        if (x->dims[i] != positions->dims[i])
            KT_TRY(kt_infer_equal(infer, 5, x->dims[i], positions->dims[i], "dimensions %d of %s and %s", i,
                                  kt_infer_show(infer, x), kt_infer_show(infer, positions)));
    int rank = x->rank - 1 + positions->rank - batch;
    if (rank != updates->rank)
        return kt_infer_fail(infer, 6, "the updates must have %d axes, but are %s.", rank,
                             kt_infer_show(infer, updates));
    kt_type expected = picked(x, positions, axis, batch);
    for (int i = 0; i < rank; i++)
        if (expected.dims[i] != updates->dims[i])
            KT_TRY(kt_infer_equal(infer, 6, expected.dims[i], updates->dims[i], "dimensions %d of %s and %s",
                                  i, kt_infer_show(infer, &expected), kt_infer_show(infer, updates)));
    infer->results[0] = *x;
    return KT_OK;
}
