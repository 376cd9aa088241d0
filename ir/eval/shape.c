/* Operations that only move elements, and the sources. Each is a box copy with its own strides. */
#include "ir/eval/eval_impl.h"

#include <inttypes.h>
#include <string.h>

static kt_status bad_shapes(const kt_eval_op *e) {
    return kt_eval_fail(e, KT_INVALID, "%s: the shapes do not fit for these sizes.",
                        kt_op_describe(e->op)->name);
}

/* ---- sources --------------------------------------------------------------------------------- */

kt_status kt_eval_constant(kt_eval_op *e) {
    const kt_attrs_constant *attrs = e->attrs;
    if (attrs->literal.bytes != kt_tensor_bytes(e->result)) return bad_shapes(e);
    memcpy(e->result->data, attrs->literal.data, attrs->literal.bytes);
    return KT_OK;
}

kt_status kt_eval_iota(kt_eval_op *e) {
    const kt_attrs_iota *attrs = e->attrs;
    const kt_tensor *result = e->result;
    int64_t strides[KT_MAX_RANK];
    kt_tensor_strides(result, strides);
    int64_t extent = result->dims[attrs->axis], stride = strides[attrs->axis];
    bool real = kt_dtype_is_float(result->dtype);
    size_t count = kt_tensor_elements(result);
    for (size_t i = 0; i < count; i++) {
        int64_t position = (int64_t)i / stride % extent;
        kt_number number = {.integer = position};
        if (real) number.real = (double)position;
        kt_numbers_store(result->dtype, result->data, i, 1, &number);
    }
    return KT_OK;
}

kt_status kt_eval_size(kt_eval_op *e) {
    return kt_eval_dim(e, ((const kt_attrs_size *)e->attrs)->dim, e->result->data);
}

/* ---- views ----------------------------------------------------------------------------------- */

kt_status kt_eval_reshape(kt_eval_op *e) {
    const kt_tensor *x = &e->operands[0];
    if (kt_tensor_elements(x) != kt_tensor_elements(e->result)) return bad_shapes(e);
    e->result->data = x->data;
    return KT_OK;
}

/* A box over the result, with dense strides there; from_strides are still to be filled in. */
static kt_box box_over_result(const kt_eval_op *e) {
    kt_box box = {.rank = e->result->rank};
    memcpy(box.dims, e->result->dims, sizeof box.dims);
    kt_tensor_strides(e->result, box.to_strides);
    return box;
}

static void copy(const kt_eval_op *e, const kt_box *box, int64_t from_offset, int64_t to_offset) {
    int64_t size = (int64_t)kt_dtype_bytes(e->result->dtype);
    kt_box_copy(box, (size_t)size, (const char *)e->operands[0].data + from_offset * size,
                (char *)e->result->data + to_offset * size);
}

kt_status kt_eval_transpose(kt_eval_op *e) {
    const kt_attrs_transpose *attrs = e->attrs;
    kt_box box = box_over_result(e);
    int64_t strides[KT_MAX_RANK];
    kt_tensor_strides(&e->operands[0], strides);
    for (int i = 0; i < box.rank; i++) {
        box.from_strides[i] = strides[attrs->axes.at[i]];
        if (box.dims[i] != e->operands[0].dims[attrs->axes.at[i]]) return bad_shapes(e);
    }
    copy(e, &box, 0, 0);
    return KT_OK;
}

kt_status kt_eval_broadcast(kt_eval_op *e) {
    const kt_attrs_broadcast *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    kt_box box = box_over_result(e);
    int64_t strides[KT_MAX_RANK];
    kt_tensor_strides(x, strides);
    for (int i = 0; i < x->rank; i++) {
        int64_t axis = attrs->axes.at[i];
        if (x->dims[i] == 1) continue;
        if (x->dims[i] != box.dims[axis]) return bad_shapes(e);
        box.from_strides[axis] = strides[i];
    }
    copy(e, &box, 0, 0);
    return KT_OK;
}

kt_status kt_eval_slice(kt_eval_op *e) {
    const kt_attrs_slice *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    kt_box box = box_over_result(e);
    int64_t start[KT_MAX_RANK], limit[KT_MAX_RANK], strides[KT_MAX_RANK], offset = 0;
    KT_TRY(kt_eval_dims(e, &attrs->start, start));
    KT_TRY(kt_eval_dims(e, &attrs->limit, limit));
    kt_tensor_strides(x, strides);
    for (int i = 0; i < box.rank; i++) {
        int64_t step = attrs->strides.at[i];
        if (start[i] < 0 || start[i] > limit[i] || limit[i] > x->dims[i]) return bad_shapes(e);
        if (box.dims[i] != (limit[i] - start[i]) / step + ((limit[i] - start[i]) % step > 0))
            return bad_shapes(e);
        box.from_strides[i] = strides[i] * step;
        offset += start[i] * strides[i];
    }
    copy(e, &box, offset, 0);
    return KT_OK;
}

kt_status kt_eval_pad(kt_eval_op *e) {
    const kt_attrs_pad *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    int64_t low[KT_MAX_RANK], high[KT_MAX_RANK], strides[KT_MAX_RANK], offset = 0;
    KT_TRY(kt_eval_dims(e, &attrs->low, low));
    KT_TRY(kt_eval_dims(e, &attrs->high, high));
    kt_tensor_strides(e->result, strides);
    kt_box fill = box_over_result(e); /* the scalar repeated: strides of 0 */
    kt_box_copy(&fill, kt_dtype_bytes(x->dtype), e->operands[1].data, e->result->data);
    kt_box box = {.rank = x->rank};
    kt_tensor_strides(x, box.from_strides);
    for (int i = 0; i < box.rank; i++) {
        int64_t step = attrs->interior.at[i] + 1;
        int64_t spread = 0; /* of the elements and what is between them */
        if (x->dims[i] > 0 && __builtin_mul_overflow(x->dims[i] - 1, step, &spread)) return bad_shapes(e);
        spread += x->dims[i] > 0;
        if (low[i] < 0 || high[i] < 0 || e->result->dims[i] - low[i] - high[i] != spread)
            return bad_shapes(e);
        box.dims[i] = x->dims[i];
        box.to_strides[i] = strides[i] * step;
        offset += low[i] * strides[i];
    }
    copy(e, &box, 0, offset);
    return KT_OK;
}

kt_status kt_eval_concat(kt_eval_op *e) {
    const kt_attrs_concat *attrs = e->attrs;
    size_t size = kt_dtype_bytes(e->result->dtype);
    int64_t strides[KT_MAX_RANK], position = 0;
    kt_tensor_strides(e->result, strides);
    for (uint32_t part = 0; part < e->operand_count; part++) {
        const kt_tensor *x = &e->operands[part];
        kt_box box = {.rank = x->rank};
        memcpy(box.to_strides, strides, sizeof strides);
        kt_tensor_strides(x, box.from_strides);
        for (int i = 0; i < x->rank; i++) {
            box.dims[i] = x->dims[i];
            int64_t room = e->result->dims[i] - (i == attrs->axis ? position : 0);
            if (i == attrs->axis ? x->dims[i] > room : x->dims[i] != room) return bad_shapes(e);
        }
        kt_box_copy(&box, size, x->data,
                    (char *)e->result->data + (size_t)(position * strides[attrs->axis]) * size);
        position += x->dims[attrs->axis];
    }
    return position == e->result->dims[attrs->axis] ? KT_OK : bad_shapes(e);
}

kt_status kt_eval_reverse(kt_eval_op *e) {
    const kt_attrs_reverse *attrs = e->attrs;
    kt_box box = box_over_result(e);
    int64_t offset = 0;
    kt_tensor_strides(&e->operands[0], box.from_strides);
    for (uint32_t i = 0; i < attrs->axes.count; i++) {
        int64_t axis = attrs->axes.at[i];
        offset += (box.dims[axis] - 1) * box.from_strides[axis];
        box.from_strides[axis] = -box.from_strides[axis];
    }
    copy(e, &box, offset, 0);
    return KT_OK;
}

static int64_t extent(const kt_tensor *tensor, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= tensor->dims[i];
    return product;
}

static int64_t clamp_index(const kt_tensor *indices, int64_t at, int64_t last) {
    kt_number index;
    kt_numbers_load(indices->dtype, indices->data, (size_t)at, 1, &index);
    if (index.integer < 0) return kt_dtype_is_unsigned_integer(indices->dtype) ? last : 0;
    return index.integer < last ? index.integer : last;
}

/* With operand [batch, before, axis, behind] and indices [batch, picks]: result [batch, before, picks,
 * behind]. */
kt_status kt_eval_gather(kt_eval_op *e) {
    const kt_attrs_gather *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *indices = &e->operands[1];
    int axis = (int)attrs->axis, shared = (int)attrs->batch_dims;
    int64_t batch = extent(x, 0, shared), before = extent(x, shared, axis), extent_of_axis = x->dims[axis];
    int64_t behind = extent(x, axis + 1, x->rank), picks = extent(indices, shared, indices->rank);
    if (extent(indices, 0, shared) != batch) return bad_shapes(e);
    if ((size_t)(batch * before) * (size_t)(picks * behind) != kt_tensor_elements(e->result))
        return bad_shapes(e);
    if (kt_tensor_elements(e->result) == 0) return KT_OK;
    if (extent_of_axis == 0) return kt_eval_fail(e, KT_INVALID, "gather picks from an axis of size 0.");
    size_t row = (size_t)behind * kt_dtype_bytes(x->dtype);
    char *to = e->result->data;
    for (int64_t outer = 0; outer < batch * before; outer++)
        for (int64_t pick = 0; pick < picks; pick++) {
            int64_t index = clamp_index(indices, outer / before * picks + pick, extent_of_axis - 1);
            memcpy(to, (const char *)x->data + (size_t)(outer * extent_of_axis + index) * row, row);
            to += row;
        }
    return KT_OK;
}
