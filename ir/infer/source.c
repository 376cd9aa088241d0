/* Inference of operations without operands. */
#include "ir/infer/infer_impl.h"

/* C1 all dimensions are numbers, at least 0
 * C2 the dtype has elements of a fixed size
 * C3 the literal has as many bytes as the type needs */
kt_status kt_infer_constant(kt_infer *infer) {
    const kt_attrs_constant *attrs = infer->attrs;
    size_t bytes = kt_dtype_bytes(attrs->type.dtype);
    bool empty = false;
    if (bytes == 0)
        return kt_infer_fail(infer, 2, "there are no constants of %s.", kt_dtype_name(attrs->type.dtype));
    for (int i = 0; i < attrs->type.rank; i++) {
        int64_t size;
        if (!kt_dim_is_const(infer->graph->dims, attrs->type.dims[i], &size) || size < 0)
            return kt_infer_fail(infer, 1, "the dimensions of %s must be numbers, at least 0.",
                                 kt_infer_show(infer, &attrs->type));
        empty |= size == 0;
        if (size > 0 && __builtin_mul_overflow(bytes, (size_t)size, &bytes))
            return kt_infer_fail(infer, 3, "%s is too large.", kt_infer_show(infer, &attrs->type));
    }
    if (attrs->literal.bytes != (empty ? 0 : bytes))
        return kt_infer_fail(infer, 3, "%s needs %zu bytes, but there are %zu.",
                             kt_infer_show(infer, &attrs->type), empty ? 0 : bytes, attrs->literal.bytes);
    infer->results[0] = attrs->type;
    return KT_OK;
}

/* C1 the dtype is a number
 * C2 the axis is one of the result's
 * C3 the dimensions are at least 0 */
kt_status kt_infer_iota(kt_infer *infer) {
    const kt_attrs_iota *attrs = infer->attrs;
    if (!kt_domain_has(KT_NUMBER, attrs->type.dtype))
        return kt_infer_fail(infer, 1, "positions cannot be %s.", kt_dtype_name(attrs->type.dtype));
    KT_TRY(kt_infer_axis(infer, 2, attrs->axis, attrs->type.rank));
    KT_TRY(kt_infer_shape(infer, 3, &attrs->type));
    infer->results[0] = attrs->type;
    return KT_OK;
}

/* Any expression has a size. */
kt_status kt_infer_size(kt_infer *infer) {
    infer->results[0] = kt_type_scalar(KT_I64);
    return KT_OK;
}

/* C1 the key is u32[2], the counter u32[4]
 * C2 the shape has at most KT_MAX_RANK dimensions, each at least 0 */
kt_status kt_infer_philox(kt_infer *infer) {
    const kt_attrs_philox *attrs = infer->attrs;
    kt_dim_pool *pool = infer->graph->dims;
    for (int i = 0; i < 2; i++) {
        const kt_type wanted = {.dtype = KT_U32, .rank = 1, .dims = {kt_dim_const(pool, i ? 4 : 2)}};
        if (kt_type_equal(&infer->operands[i], &wanted)) continue;
        return kt_infer_fail(infer, 1, "the %s must be %s, but is %s.", i ? "counter" : "key",
                             kt_infer_show(infer, &wanted), kt_infer_show(infer, &infer->operands[i]));
    }
    if (attrs->shape.count > KT_MAX_RANK)
        return kt_infer_fail(infer, 2, "%u dimensions are more than the %d that are possible.",
                             attrs->shape.count, KT_MAX_RANK);
    kt_type result = {.dtype = KT_U32, .rank = (uint8_t)attrs->shape.count};
    for (uint32_t i = 0; i < attrs->shape.count; i++) result.dims[i] = attrs->shape.at[i];
    KT_TRY(kt_infer_shape(infer, 2, &result));
    infer->results[0] = result;
    return KT_OK;
}
