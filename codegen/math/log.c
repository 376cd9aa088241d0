/* Logarithms, powers, and the inverse hyperbolic functions.
 *
 * x = 2^k m with sqrt(1/2) <= m < sqrt(2), and log m by a polynomial in f = m - 1 (f32) or in the square of
 * s = f / (2 + f), for log m = 2 s + 2/3 s^3 + … (f64). */
#include "codegen/math/coefficients.h"
#include "codegen/math/math_impl.h"

#include <math.h>

typedef struct split {
    LLVMValueRef k, f; /* floats */
} split;

/* x is positive and finite, else the parts mean nothing. */
static split split_number(const kt_emitter *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->builder;
    bool wide = e->dtype == KT_F64;
    int fraction = wide ? 52 : 23;
    LLVMValueRef tiny = below(e, x, num(e, wide ? 0x1p-1022 : 0x1p-126));
    double lift = wide ? 0x1p54 : 0x1p25;
    x = choose(e, tiny, mul(e, x, num(e, lift)), x);
    LLVMValueRef bits = to_bits(e, x);
    LLVMValueRef distance = LLVMBuildSub(b, bits, to_bits(e, num(e, M_SQRT1_2)), "");
    LLVMValueRef exponent = LLVMBuildAShr(b, distance, bits_num(e, fraction), "");
    LLVMValueRef m =
        from_bits(e, LLVMBuildSub(b, bits, LLVMBuildShl(b, exponent, bits_num(e, fraction), ""), ""));
    /* An integer becomes a float as the low bits of one that counts whole numbers. */
    LLVMValueRef counter = num(e, wide ? 0x1.8p52 : 0x1.8p23);
    LLVMValueRef k = sub(e, from_bits(e, LLVMBuildAdd(b, exponent, to_bits(e, counter), "")), counter);
    k = sub(e, k, choose(e, tiny, num(e, wide ? 54 : 25), num(e, 0)));
    return (split){k, sub(e, m, num(e, 1))};
}

/* Is x positive and finite? */
static LLVMValueRef is_ordinary(const kt_emitter *e, LLVMValueRef x) {
    return LLVMBuildAnd(e->builder, above(e, x, num(e, 0)), below(e, x, num(e, INFINITY)), "");
}

/* The logarithm of what is not ordinary. */
static LLVMValueRef special_log(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef large = choose(e, equal(e, x, num(e, INFINITY)), x, num(e, NAN));
    return choose(e, equal(e, x, num(e, 0)), num(e, -INFINITY), large);
}

static LLVMValueRef log_of_split_f32(const kt_emitter *e, split x) {
    LLVMValueRef square = mul(e, x.f, x.f);
    LLVMValueRef tail = TABLE(e, x.f, log_tail_f32);
    LLVMValueRef low = mul(e, mul(e, x.f, square), tail);
    low = mad(e, x.k, num(e, -0x1.bd0105c6p-13), low);
    low = mad(e, square, num(e, -0.5), low);
    return mad(e, x.k, num(e, 0x1.63p-1), add(e, x.f, low));
}

static const double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;

/* 2 s = f - s f, where f is exact: so s, which is rounded, only enters in small terms. */
static LLVMValueRef log_of_split_f64(const kt_emitter *e, split x) {
    LLVMValueRef s = quotient(e, x.f, add(e, x.f, num(e, 2)));
    LLVMValueRef square = mul(e, s, s), half = mul(e, num(e, 0.5), mul(e, x.f, x.f));
    LLVMValueRef tail = mul(e, square, TABLE(e, square, log_odd_f64));
    LLVMValueRef small = mad(e, s, add(e, half, tail), mul(e, x.k, num(e, ln2_low)));
    return sub(e, mul(e, x.k, num(e, ln2_high)), sub(e, sub(e, half, small), x.f));
}

LLVMValueRef kt_emit_log(const kt_emitter *e, LLVMValueRef x) {
    split parts = split_number(e, x);
    LLVMValueRef value = e->dtype == KT_F64 ? log_of_split_f64(e, parts) : log_of_split_f32(e, parts);
    return choose(e, is_ordinary(e, x), value, special_log(e, x));
}

/* log u with u = 1 + x rounded, and the derivative's correction for what rounding lost. */
LLVMValueRef kt_emit_log1p(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef u = add(e, num(e, 1), x);
    LLVMValueRef lost = sub(e, x, sub(e, u, num(e, 1)));
    LLVMValueRef some = LLVMBuildFCmp(e->builder, LLVMRealONE, lost, num(e, 0), ""); /* false of NaN */
    LLVMValueRef correction = choose(e, some, quotient(e, lost, u), num(e, 0));
    return with_sign(e, add(e, kt_emit_log(e, u), correction), x); /* of zeros, too */
}

/* Past this the square overflows, and 1 does not matter beside it. */
static const double huge_f64 = 0x1p500;

/* log(a + sqrt(1 + a^2)) */
LLVMValueRef kt_emit_asinh(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_asinh, x);
    LLVMValueRef size = magnitude(e, x), one = num(e, 1);
    LLVMValueRef huge = above(e, size, num(e, huge_f64)), square = mul(e, size, size);
    LLVMValueRef root = call1(e, "llvm.sqrt", add(e, one, square));
    LLVMValueRef beyond = add(e, size, quotient(e, square, add(e, one, root)));
    LLVMValueRef value = kt_emit_log1p(e, choose(e, huge, size, beyond));
    value = add(e, value, choose(e, huge, num(e, M_LN2), num(e, 0)));
    return with_sign(e, value, x);
}

/* log(x + sqrt(x^2 - 1)), by t = x - 1. */
LLVMValueRef kt_emit_acosh(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_acosh, x);
    LLVMValueRef huge = above(e, x, num(e, huge_f64)), t = sub(e, x, num(e, 1));
    LLVMValueRef root = call1(e, "llvm.sqrt", mul(e, t, add(e, t, num(e, 2))));
    LLVMValueRef value = kt_emit_log1p(e, choose(e, huge, x, add(e, t, root)));
    value = add(e, value, choose(e, huge, num(e, M_LN2), num(e, 0)));
    return choose(e, below(e, x, num(e, 1)), num(e, NAN), value);
}

LLVMValueRef kt_emit_atanh(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_atanh, x);
    LLVMValueRef size = magnitude(e, x);
    LLVMValueRef ratio = quotient(e, add(e, size, size), sub(e, num(e, 1), size));
    return with_sign(e, mul(e, num(e, 0.5), kt_emit_log1p(e, ratio)), x);
}

/* ---- powers ---------------------------------------------------------------------------------- */

/* A number as the sum of two, the second less than half a unit in the last place of the first. */
typedef struct pair {
    LLVMValueRef high, low;
} pair;

static pair exact_sum(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    LLVMValueRef sum = add(e, x, y), part = sub(e, sum, x);
    LLVMValueRef error = add(e, sub(e, x, sub(e, sum, part)), sub(e, y, part));
    return (pair){sum, error};
}

/* Rounded once, on any CPU. */
static LLVMValueRef exact_mad(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    LLVMValueRef args[] = {a, b, c};
    return kt_emit_intrinsic(e, "llvm.fma", args, 3);
}

/* To about 62 bits, since the exponential turns an absolute error of y log x into a relative one: 2 s with
 * s = f / (2 + f) in two parts, the tail in one. */
static pair precise_log(const kt_emitter *e, LLVMValueRef x) {
    split parts = split_number(e, x);
    LLVMValueRef two = num(e, 2), f = parts.f, sum = add(e, f, two);
    LLVMValueRef lost = sub(e, f, sub(e, sum, two));
    LLVMValueRef s = quotient(e, f, sum);
    LLVMValueRef rest = sub(e, exact_mad(e, negate(e, s), sum, f), mul(e, s, lost));
    LLVMValueRef square = mul(e, s, s);
    LLVMValueRef tail = mul(e, mul(e, s, square), TABLE(e, square, log_odd_f64));
    LLVMValueRef low = mad(e, two, quotient(e, rest, sum), tail);
    low = add(e, low, mul(e, parts.k, num(e, ln2_low)));
    pair high = exact_sum(e, mul(e, parts.k, num(e, ln2_high)), mul(e, two, s));
    pair value = exact_sum(e, high.high, add(e, high.low, low));
    LLVMValueRef ordinary = is_ordinary(e, x);
    return (pair){choose(e, ordinary, value.high, special_log(e, x)),
                  choose(e, ordinary, value.low, num(e, 0))};
}

/* |x|^y, where x is not 1 and y not 0. f32 comes here as f64 and needs no second part, but is no common
 * function either. */
static LLVMValueRef power_of_size(const kt_emitter *e, LLVMValueRef size, LLVMValueRef y) {
    pair log = precise_log(e, size);
    LLVMValueRef high = mul(e, y, log.high);
    LLVMValueRef low = mad(e, y, log.low, exact_mad(e, y, log.high, negate(e, high)));
    LLVMValueRef inside = below(e, magnitude(e, high), num(e, 1000));
    return kt_emit_exp_scaled(e, high, choose(e, inside, low, num(e, 0)), 0);
}

static LLVMValueRef is_whole(const kt_emitter *e, LLVMValueRef x) {
    return equal(e, call1(e, "llvm.trunc", x), x);
}

LLVMValueRef kt_emit_power(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    if (e->dtype == KT_F32) return kt_emit_wide2(e, kt_emit_power, x, y);
    LLVMBuilderRef b = e->builder;
    LLVMValueRef size = magnitude(e, x), one = num(e, 1), zero = num(e, 0);
    LLVMValueRef value = power_of_size(e, size, y);
    LLVMValueRef whole_y = is_whole(e, y);
    LLVMValueRef even = is_whole(e, mul(e, y, num(e, 0.5)));
    LLVMValueRef odd = LLVMBuildAnd(b, whole_y, LLVMBuildNot(b, even, ""), "");
    LLVMValueRef negative = LLVMBuildICmp(b, LLVMIntSLT, to_bits(e, x), bits_num(e, 0), "");
    value = choose(e, LLVMBuildAnd(b, negative, odd, ""), negate(e, value), value);
    LLVMValueRef below_zero = LLVMBuildAnd(b, below(e, x, zero), above(e, x, num(e, -INFINITY)), "");
    LLVMValueRef no_root = LLVMBuildAnd(b, below_zero, LLVMBuildNot(b, whole_y, ""), "");
    value = choose(e, no_root, num(e, NAN), value);
    LLVMValueRef endless = equal(e, magnitude(e, y), num(e, INFINITY));
    LLVMValueRef unit = LLVMBuildAnd(b, equal(e, size, one), endless, "");
    unit = LLVMBuildOr(b, unit, LLVMBuildOr(b, equal(e, x, one), equal(e, y, zero), ""), "");
    return choose(e, unit, one, value);
}
