/* reduce, arg_reduce, reduce_window, cumulative, scatter: folds with the scalar functions, in row-major
 * order, in double or 64-bit integers; the result is rounded or wrapped once, at the end. */
#include "ir/eval/eval_impl.h"

#include <math.h>
#include <string.h>

static kt_scalar_binary *const combine[] = {
    [KT_REDUCE_SUM] = kt_scalar_add,
    [KT_REDUCE_PRODUCT] = kt_scalar_mul,
    [KT_REDUCE_MAXIMUM] = kt_scalar_maximum,
    [KT_REDUCE_MINIMUM] = kt_scalar_minimum,
};

/* What a fold starts from: combining it with x gives x. */
static kt_number neutral(kt_reduction kind, kt_dtype dtype) {
    bool real = kt_dtype_is_float(dtype), is_signed = kt_dtype_is_signed_integer(dtype);
    int width = dtype == KT_BOOL ? 1 : 8 * (int)kt_dtype_bytes(dtype);
    KT_ASSERT(width > 0 && width <= 64);
    int64_t highest = (int64_t)(UINT64_MAX >> (64 - width) >> is_signed);
    switch (kind) {
    case KT_REDUCE_SUM: return real ? (kt_number){.real = 0} : (kt_number){.integer = 0};
    case KT_REDUCE_PRODUCT: return real ? (kt_number){.real = 1} : (kt_number){.integer = 1};
    case KT_REDUCE_MAXIMUM:
        return real ? (kt_number){.real = -INFINITY} : (kt_number){.integer = is_signed ? -highest - 1 : 0};
    case KT_REDUCE_MINIMUM: return real ? (kt_number){.real = INFINITY} : (kt_number){.integer = highest};
    }
    KT_BUG("reduction %d", kind);
}

static kt_status check_numeric(const kt_eval_op *e) {
    kt_dtype dtype = e->operands[0].dtype;
    if (dtype != KT_STRING && dtype != KT_C64) return KT_OK;
    return kt_eval_fail(e, KT_UNSUPPORTED, "%s of %s cannot be evaluated.", kt_op_describe(e->op)->name,
                        kt_dtype_name(dtype));
}

static kt_number *filled(const kt_eval_op *e, kt_number number) {
    size_t count = kt_tensor_elements(e->result);
    kt_number *numbers = KT_NEW_ARRAY(e->arena, kt_number, count);
    for (size_t i = 0; i < count; i++) numbers[i] = number;
    return numbers;
}

kt_status kt_eval_reduce(kt_eval_op *e) {
    const kt_attrs_reduce *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    KT_TRY(check_numeric(e));
    bool vanishes[KT_MAX_RANK] = {false};
    for (uint32_t i = 0; i < attrs->axes.count; i++) vanishes[attrs->axes.at[i]] = true;
    int64_t result_strides[KT_MAX_RANK], strides[KT_MAX_RANK]; /* of the result, by operand axis */
    kt_tensor_strides(e->result, result_strides);
    for (int i = 0, kept = 0; i < x->rank; i++) strides[i] = vanishes[i] ? 0 : result_strides[kept++];

    kt_number *totals = filled(e, neutral(attrs->kind, x->dtype));
    const kt_number *numbers = kt_numbers_of(e->arena, x);
    kt_scalar_binary *scalar = combine[attrs->kind];
    int last = x->rank > 0 ? x->rank - 1 : 0;
    int64_t row = x->rank > 0 ? x->dims[last] : 1, step = x->rank > 0 ? strides[last] : 0;
    int64_t position[KT_MAX_RANK] = {0};
    if (kt_tensor_elements(x) > 0) do {
            kt_number *total = totals;
            for (int i = 0; i < last; i++) total += position[i] * strides[i];
            for (int64_t i = 0; i < row; i++) total[i * step] = scalar(x->dtype, total[i * step], numbers[i]);
            numbers += row;
        } while (kt_next_position(last, x->dims, position));
    kt_numbers_store(x->dtype, e->result->data, 0, kt_tensor_elements(e->result), totals);
    return KT_OK;
}

/* Is candidate the first that wins so far? The first NaN wins over everything. */
static bool wins(kt_reduction kind, kt_dtype dtype, kt_number candidate, kt_number best) {
    if (kt_dtype_is_float(dtype)) {
        if (isnan(best.real)) return false;
        if (isnan(candidate.real)) return true;
    }
    return (kind == KT_REDUCE_MAXIMUM ? kt_scalar_gt : kt_scalar_lt)(dtype, candidate, best).integer;
}

kt_status kt_eval_arg_reduce(kt_eval_op *e) {
    const kt_attrs_arg_reduce *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    KT_TRY(check_numeric(e));
    int64_t strides[KT_MAX_RANK];
    kt_tensor_strides(x, strides);
    int64_t extent = x->dims[attrs->axis], stride = strides[attrs->axis];
    size_t count = kt_tensor_elements(e->result);
    if (extent == 0 && count > 0) return kt_eval_fail(e, KT_INVALID, "arg_reduce along an axis of size 0.");
    const kt_number *numbers = kt_numbers_of(e->arena, x);
    for (size_t i = 0; i < count; i++) {
        const kt_number *line = numbers + ((int64_t)i / stride * extent * stride + (int64_t)i % stride);
        kt_number best = {.integer = 0};
        for (int64_t j = 1; j < extent; j++)
            if (wins(attrs->kind, x->dtype, line[j * stride], line[best.integer * stride])) best.integer = j;
        kt_numbers_store(e->result->dtype, e->result->data, i, 1, &best);
    }
    return KT_OK;
}

kt_status kt_eval_reduce_window(kt_eval_op *e) {
    const kt_attrs_reduce_window *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    KT_TRY(check_numeric(e));
    int64_t low[KT_MAX_RANK], strides[KT_MAX_RANK];
    KT_TRY(kt_eval_dims(e, &attrs->low, low));
    kt_tensor_strides(x, strides);
    const kt_number *numbers = kt_numbers_of(e->arena, x);
    kt_number *totals = filled(e, neutral(attrs->kind, x->dtype));
    size_t count = kt_tensor_elements(e->result);
    int64_t at[KT_MAX_RANK] = {0};
    for (size_t i = 0; i < count; i++) {
        /* The part of the window that lies inside the operand: on each axis a run of window positions. */
        int64_t offset = 0, runs[KT_MAX_RANK], position[KT_MAX_RANK] = {0};
        bool empty = false;
        for (int axis = 0; axis < x->rank; axis++) {
            int64_t start = at[axis] * attrs->strides.at[axis] - low[axis],
                    dilation = attrs->dilation.at[axis];
            int64_t skipped = start < 0 ? (-start + dilation - 1) / dilation : 0;
            int64_t first = start + skipped * dilation;
            int64_t inside = first < x->dims[axis] ? (x->dims[axis] - 1 - first) / dilation + 1 : 0;
            int64_t left = attrs->window.at[axis] - skipped;
            runs[axis] = left < inside ? left : inside;
            if (runs[axis] <= 0) empty = true;
            offset += first * strides[axis];
        }
        if (!empty) do {
                int64_t element = offset;
                for (int axis = 0; axis < x->rank; axis++)
                    element += position[axis] * attrs->dilation.at[axis] * strides[axis];
                totals[i] = combine[attrs->kind](x->dtype, totals[i], numbers[element]);
            } while (kt_next_position(x->rank, runs, position));
        kt_next_position(x->rank, e->result->dims, at);
    }
    kt_numbers_store(x->dtype, e->result->data, 0, count, totals);
    return KT_OK;
}

/* The operand as [before, extent, behind] around an axis. */
kt_status kt_eval_cumulative(kt_eval_op *e) {
    const kt_attrs_cumulative *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0];
    KT_TRY(check_numeric(e));
    int64_t strides[KT_MAX_RANK];
    kt_tensor_strides(x, strides);
    int64_t extent = x->dims[attrs->axis], stride = strides[attrs->axis];
    const kt_number *numbers = kt_numbers_of(e->arena, x);
    size_t count = kt_tensor_elements(x);
    kt_number *totals = KT_NEW_ARRAY(e->arena, kt_number, count);
    int64_t lines = extent ? (int64_t)count / extent : 0;
    for (int64_t line = 0; line < lines; line++) {
        int64_t first = line / stride * extent * stride + line % stride;
        kt_number total = neutral(attrs->kind, x->dtype);
        for (int64_t i = 0; i < extent; i++) {
            int64_t at = first + (attrs->reverse ? extent - 1 - i : i) * stride;
            if (attrs->exclusive) totals[at] = total;
            total = combine[attrs->kind](x->dtype, total, numbers[at]);
            if (!attrs->exclusive) totals[at] = total;
        }
    }
    kt_numbers_store(x->dtype, e->result->data, 0, count, totals);
    return KT_OK;
}

static int64_t extent_of(const kt_tensor *tensor, int from, int to) {
    int64_t product = 1;
    for (int i = from; i < to; i++) product *= tensor->dims[i];
    return product;
}

/* With operand [batch, before, extent, behind], positions [batch, picks] and updates [batch, before, picks,
 * behind]. */
kt_status kt_eval_scatter(kt_eval_op *e) {
    const kt_attrs_scatter *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *positions = &e->operands[1], *updates = &e->operands[2];
    KT_TRY(check_numeric(e));
    int axis = (int)attrs->axis, shared = (int)attrs->batch_dims;
    int64_t batch = extent_of(x, 0, shared), before = extent_of(x, shared, axis), extent = x->dims[axis];
    int64_t behind = extent_of(x, axis + 1, x->rank), picks = extent_of(positions, shared, positions->rank);
    if (extent_of(positions, 0, shared) != batch ||
        (size_t)(batch * before) * (size_t)(picks * behind) != kt_tensor_elements(updates))
        return kt_eval_fail(e, KT_INVALID, "the shapes of scatter's operands do not agree.");
    kt_number *totals = KT_NEW_ARRAY(e->arena, kt_number, kt_tensor_elements(x));
    if (kt_tensor_elements(x))
        memcpy(totals, kt_numbers_of(e->arena, x), kt_tensor_elements(x) * sizeof *totals);
    const kt_number *places = kt_numbers_of(e->arena, positions), *news = kt_numbers_of(e->arena, updates);
    for (int64_t outer = 0; outer < batch * before; outer++)
        for (int64_t pick = 0; pick < picks; pick++) {
            int64_t place = places[outer / before * picks + pick].integer;
            if (place < 0 || place >= extent) continue;
            for (int64_t i = 0; i < behind; i++) {
                kt_number *total = &totals[(outer * extent + place) * behind + i];
                *total = combine[attrs->kind](x->dtype, *total, news[(outer * picks + pick) * behind + i]);
            }
        }
    kt_numbers_store(x->dtype, e->result->data, 0, kt_tensor_elements(x), totals);
    return KT_OK;
}
