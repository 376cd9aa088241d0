/* Elementwise operations over whole tensors: a block of elements at a time is widened, computed and stored.
 */
#include "ir/eval/eval_impl.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

/* Inference has proved the shapes equal, but the caller chose the values of the symbols. */
static kt_status check_counts(const kt_eval_op *e) {
    for (uint32_t i = 0; i < e->operand_count; i++) {
        if (kt_tensor_elements(&e->operands[i]) != kt_tensor_elements(e->result))
            return kt_eval_fail(e, KT_INVALID, "%s: operands of different sizes.",
                                kt_op_describe(e->op)->name);
        kt_dtype dtype = e->operands[i].dtype;
        if (dtype == KT_STRING || dtype == KT_C64)
            return kt_eval_fail(e, KT_UNSUPPORTED, "%s of %s cannot be evaluated.",
                                kt_op_describe(e->op)->name, kt_dtype_name(dtype));
    }
    return KT_OK;
}

static size_t block_at(size_t first, size_t count) { return count - first < BLOCK ? count - first : BLOCK; }

kt_status kt_eval_unary(kt_eval_op *e, kt_scalar_unary *scalar) {
    KT_TRY(check_counts(e));
    const kt_tensor *x = &e->operands[0];
    kt_number xs[BLOCK];
    size_t count = kt_tensor_elements(x), taken;
    for (size_t first = 0; first < count; first += taken) {
        taken = block_at(first, count);
        kt_numbers_load(x->dtype, x->data, first, taken, xs);
        for (size_t i = 0; i < taken; i++) xs[i] = scalar(x->dtype, xs[i]);
        kt_numbers_store(e->result->dtype, e->result->data, first, taken, xs);
    }
    return KT_OK;
}

kt_status kt_eval_binary(kt_eval_op *e, kt_scalar_binary *scalar) {
    KT_TRY(check_counts(e));
    const kt_tensor *x = &e->operands[0], *y = &e->operands[1];
    kt_number xs[BLOCK], ys[BLOCK];
    size_t count = kt_tensor_elements(x), taken;
    for (size_t first = 0; first < count; first += taken) {
        taken = block_at(first, count);
        kt_numbers_load(x->dtype, x->data, first, taken, xs);
        kt_numbers_load(y->dtype, y->data, first, taken, ys);
        for (size_t i = 0; i < taken; i++) xs[i] = scalar(x->dtype, xs[i], ys[i]);
        kt_numbers_store(e->result->dtype, e->result->data, first, taken, xs);
    }
    return KT_OK;
}

kt_status kt_eval_select(kt_eval_op *e) {
    KT_TRY(check_counts(e));
    const uint8_t *condition = e->operands[0].data;
    const char *x = e->operands[1].data, *y = e->operands[2].data;
    size_t count = kt_tensor_elements(e->result), size = kt_dtype_bytes(e->result->dtype);
    for (size_t i = 0; i < count; i++)
        memcpy((char *)e->result->data + i * size, (condition[i] ? x : y) + i * size, size);
    return KT_OK;
}

/* The integer of dtype that is nearest to a float, cut off after the point; 0 for NaN. */
static int64_t saturate(kt_dtype dtype, double number) {
    if (isnan(number)) return 0;
    number = trunc(number);
    int width = 8 * (int)kt_dtype_bytes(dtype);
    if (kt_dtype_is_unsigned_integer(dtype)) {
        if (number <= 0) return 0;
        if (number >= ldexp(1, width)) return (int64_t)(UINT64_MAX >> (64 - width));
        return (int64_t)(uint64_t)number;
    }
    double limit = ldexp(1, width - 1); /* the highest is limit - 1, which double may not hold */
    if (number >= limit) return (int64_t)(UINT64_MAX >> (65 - width));
    if (number < -limit) return -(int64_t)(UINT64_MAX >> (65 - width)) - 1;
    return (int64_t)number;
}

static kt_number cast_number(kt_dtype from, kt_dtype to, kt_number x) {
    bool to_float = kt_dtype_is_float(to);
    if (kt_dtype_is_float(from)) {
        if (to_float) return x;
        return (kt_number){.integer = to == KT_BOOL ? x.real != 0 : saturate(to, x.real)};
    }
    if (!to_float) return x;
    /* Straight to f32, since on the way through double a number past 2^53 would be rounded twice. */
    if (to == KT_F32)
        return (kt_number){.real = from == KT_U64 ? (float)(uint64_t)x.integer : (float)x.integer};
    return (kt_number){.real = from == KT_U64 ? (double)(uint64_t)x.integer : (double)x.integer};
}

kt_status kt_eval_cast(kt_eval_op *e) {
    KT_TRY(check_counts(e));
    const kt_tensor *x = &e->operands[0];
    kt_dtype to = e->result->dtype;
    if (to == KT_STRING || to == KT_C64)
        return kt_eval_fail(e, KT_UNSUPPORTED, "cast to %s cannot be evaluated.", kt_dtype_name(to));
    kt_number xs[BLOCK];
    size_t count = kt_tensor_elements(x), taken;
    for (size_t first = 0; first < count; first += taken) {
        taken = block_at(first, count);
        kt_numbers_load(x->dtype, x->data, first, taken, xs);
        for (size_t i = 0; i < taken; i++) xs[i] = cast_number(x->dtype, to, xs[i]);
        kt_numbers_store(to, e->result->data, first, taken, xs);
    }
    return KT_OK;
}
