/* The exponential and what is made of it: expm1, sinh, cosh, tanh, logistic.
 *
 * x = n ln 2 + r with |r| <= ln(2) / 2 (ln 2 in two parts, of which n times the first is exact), e^r by a
 * polynomial, and 2^n put together from bits. n comes from adding a number so large that the sum's last bit
 * counts whole numbers: its low bits are then n itself, or n and the bias of exponents, if that is in what is
 * added.
 *
 * Differences are rounded already, and what softmaxes raise e to is one from the largest number: so its
 * product by log2 e may be rounded, too, to t = n + r, and is never too large. Where an instruction picks
 * from a register, n counts eighths, whose powers of two lie there, and a polynomial of fewer terms does. */
#include "codegen/math/coefficients.h"
#include "codegen/math/math_impl.h"

#include <math.h>
#include <string.h>

typedef struct reduced {
    LLVMValueRef bits;  /* integers as wide as the floats: n + ahead in the low ones */
    LLVMValueRef whole; /* n as a float */
    LLVMValueRef r;
} reduced;

static int fraction_bits(const kt_emitter *e) { return e->dtype == KT_F64 ? 52 : 23; }
static int bias(const kt_emitter *e) { return e->dtype == KT_F64 ? 1023 : 127; }

static reduced reduce(const kt_emitter *e, LLVMValueRef x, LLVMValueRef low, int ahead) {
    bool wide = e->dtype == KT_F64;
    LLVMValueRef counter = num(e, (wide ? 0x1.8p52 : 0x1.8p23) + ahead);
    LLVMValueRef sum = mad(e, x, num(e, M_LOG2E), counter);
    LLVMValueRef n = sub(e, sum, counter);
    double high_part = wide ? 0x1.62e42feep-1 : 0x1.63p-1;
    double low_part = wide ? 0x1.a39ef35793c76p-33 : -0x1.bd0105c6p-13;
    LLVMValueRef r = mad(e, n, num(e, -high_part), x);
    r = mad(e, n, num(e, -low_part), r);
    if (low) r = add(e, r, low);
    return (reduced){to_bits(e, sum), n, r};
}

/* ---- by registers ---------------------------------------------------------------------------- */

enum { MOST_LANES = 64 };

static LLVMValueRef i32(const kt_emitter *e, unsigned value) {
    return LLVMConstInt(LLVMInt32TypeInContext(e->context), value, false);
}

/* By halves, until they have as many lanes as a register. */
static LLVMValueRef by_registers(const kt_emitter *e, int lanes_of_register, binary_emitter *emit,
                                 LLVMValueRef x, LLVMValueRef y) {
    if (e->lanes == lanes_of_register) return emit(e, x, y);
    kt_emitter half = *e;
    half.lanes = e->lanes / 2;
    LLVMValueRef parts[2], lanes[MOST_LANES];
    for (int i = 0; i < 2; i++)
        parts[i] =
            by_registers(&half, lanes_of_register, emit, kt_emit_lanes(e, x, i * half.lanes, half.lanes),
                         kt_emit_lanes(e, y, i * half.lanes, half.lanes));
    for (int i = 0; i < e->lanes; i++) lanes[i] = i32(e, (unsigned)i);
    return LLVMBuildShuffleVector(e->builder, parts[0], parts[1], LLVMConstVector(lanes, (unsigned)e->lanes),
                                  "");
}

/* ---- AVX-512's instructions, of LANES floats ------------------------------------------------- */

enum { LANES = 16, ALL = (1 << LANES) - 1, DOWN = 1, CURRENT_ROUNDING = 4 };

static bool has_scaling(const kt_emitter *e) {
    return e->dtype == KT_F32 && (e->target->cpu_features & KT_CPU_AVX512F) && e->lanes % LANES == 0 &&
           e->lanes <= MOST_LANES;
}

static LLVMValueRef instruction(const kt_emitter *e, const char *name, LLVMValueRef x, LLVMValueRef y) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef all = LLVMConstInt(LLVMInt16TypeInContext(e->context), ALL, false);
    LLVMValueRef operands[] = {x, y, num(e, 0), all, i32(e, CURRENT_ROUNDING)};
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->context, id, NULL, 0),
                          LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0), operands, 5, "");
}

/* x * 2^floor(n); rounds subnormal results but once. */
static LLVMValueRef scaled(const kt_emitter *e, LLVMValueRef x, LLVMValueRef n) {
    return instruction(e, "llvm.x86.avx512.mask.scalef.ps.512", x, n);
}

/* 2^t, of the fraction of t and of n, which is t; infinities have a fraction of 0. */
static LLVMValueRef exp2_of_fraction(const kt_emitter *e, LLVMValueRef t, LLVMValueRef n) {
    LLVMValueRef r = instruction(e, "llvm.x86.avx512.mask.reduce.ps.512", t, i32(e, DOWN));
    return scaled(e, mad(e, TABLE(e, r, exp2_whole_tail_f32), r, num(e, 1)), n);
}

/* ---- AVX2's permutation of EIGHTHS floats ---------------------------------------------------- */

enum { EIGHTHS = 8, EIGHTHS_SHIFT = 20 };

static bool has_permutation(const kt_emitter *e) {
    return e->dtype == KT_F32 && (e->target->cpu_features & KT_CPU_AVX2) && e->lanes % EIGHTHS == 0 &&
           e->lanes <= MOST_LANES;
}

/* 2^(n/8), of bits that end in n mod 8, less what these add to an exponent. */
static LLVMValueRef power_of_eighths(const kt_emitter *e, LLVMValueRef bits, LLVMValueRef unused) {
    (void)unused;
    LLVMValueRef powers[EIGHTHS];
    for (unsigned i = 0; i < EIGHTHS; i++) {
        float power = (float)exp2(i / (double)EIGHTHS);
        uint32_t its_bits;
        memcpy(&its_bits, &power, sizeof power);
        powers[i] = i32(e, its_bits - (i << EIGHTHS_SHIFT));
    }
    LLVMValueRef operands[] = {from_bits(e, LLVMConstVector(powers, EIGHTHS)), bits};
    return to_bits(e, kt_emit_intrinsic(e, "llvm.x86.avx2.permps", operands, 2));
}

/* e^x for -88 <= x <= 0: 2^((n + r) / 8). */
static LLVMValueRef exp_by_eighths(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef scale = num(e, EIGHTHS * M_LOG2E), counter = num(e, 0x1.8p23),
                 sum = mad(e, x, scale, counter);
    LLVMValueRef r = mad(e, x, scale, negate(e, sub(e, sum, counter))), bits = to_bits(e, sum);
    LLVMValueRef power = by_registers(e, EIGHTHS, power_of_eighths, bits, bits);
    LLVMValueRef exponent = LLVMBuildShl(e->builder, bits, bits_num(e, EIGHTHS_SHIFT), "");
    power = from_bits(e, LLVMBuildAdd(e->builder, power, exponent, ""));
    return mad(e, TABLE(e, r, exp2_eighth_tail_f32), mul(e, power, r), power);
}

/* ---- what functions share -------------------------------------------------------------------- */

/* 2^n, for n within the range of exponents; the bits hold n + bias. */
static LLVMValueRef power_of_two(const kt_emitter *e, LLVMValueRef bits) {
    return from_bits(e, LLVMBuildShl(e->builder, bits, bits_num(e, fraction_bits(e)), ""));
}

/* x * 2^n in two steps: 2^n alone may be out of range where the result is subnormal or just finite. The bits
 * hold n + 2 * bias, the halves of which are exponents. */
static LLVMValueRef scaled_twice(const kt_emitter *e, LLVMValueRef x, LLVMValueRef bits) {
    LLVMValueRef half = LLVMBuildShl(e->builder, bits, bits_num(e, fraction_bits(e) - 1), "");
    half = LLVMBuildAnd(e->builder, half, bits_num(e, -(INT64_C(1) << fraction_bits(e))), "");
    LLVMValueRef both = LLVMBuildShl(e->builder, bits, bits_num(e, fraction_bits(e)), "");
    LLVMValueRef rest = LLVMBuildSub(e->builder, both, half, "");
    return mul(e, mul(e, x, from_bits(e, half)), from_bits(e, rest));
}

/* e^(r + low) - 1, for low below r's last place, or NULL */
static LLVMValueRef small_expm1(const kt_emitter *e, LLVMValueRef r, LLVMValueRef low) {
    LLVMValueRef square = mul(e, r, r), tail = POLYNOMIAL(e, r, exp_tail);
    return low ? add(e, mad(e, square, tail, low), r) : mad(e, square, tail, r);
}

/* e^r */
static LLVMValueRef small_exp(const kt_emitter *e, LLVMValueRef r) {
    LLVMValueRef one = num(e, 1);
    return mad(e, mad(e, POLYNOMIAL(e, r, exp_tail), r, one), r, one);
}

LLVMValueRef kt_emit_exp_scaled(const kt_emitter *e, LLVMValueRef x, LLVMValueRef low, int shift) {
    bool wide = e->dtype == KT_F64;
    x = clamp(e, x, wide ? -746 : -104, wide ? 711 : 89);
    reduced part = reduce(e, x, low, 2 * bias(e) + shift);
    LLVMValueRef value = small_exp(e, part.r);
    if (has_scaling(e))
        return by_registers(e, LANES, scaled, value, shift ? add(e, part.whole, num(e, shift)) : part.whole);
    return scaled_twice(e, value, part.bits);
}

LLVMValueRef kt_emit_exp_normal(const kt_emitter *e, LLVMValueRef x) {
    reduced part = reduce(e, x, NULL, bias(e));
    return mul(e, small_exp(e, part.r), power_of_two(e, part.bits));
}

/* 2^t with t rounded, or but its fraction; where 2^n would be subnormal, what remains of its bits is less. */
LLVMValueRef kt_emit_exp_up_to_0(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef log2e = num(e, M_LOG2E), counter = num(e, 0x1.8p23 + bias(e));
    if (has_scaling(e) && (e->target->cpu_features & KT_CPU_AVX512DQ)) {
        LLVMValueRef t = mul(e, x, log2e);
        return by_registers(e, LANES, exp2_of_fraction, t, t);
    }
    x = choose(e, above(e, num(e, -88), x), num(e, -88), x);
    if (has_permutation(e)) return exp_by_eighths(e, x);
    LLVMValueRef sum = mad(e, x, log2e, counter);
    LLVMValueRef r = mad(e, x, log2e, negate(e, sub(e, sum, counter)));
    return mul(e, mad(e, TABLE(e, r, exp2_tail_f32), r, num(e, 1)), power_of_two(e, to_bits(e, sum)));
}

LLVMValueRef kt_emit_expm1_normal(const kt_emitter *e, LLVMValueRef x, LLVMValueRef low) {
    reduced part = reduce(e, x, NULL, bias(e));
    LLVMValueRef scale = power_of_two(e, part.bits);
    return mad(e, scale, small_expm1(e, part.r, low), sub(e, scale, num(e, 1)));
}

LLVMValueRef kt_emit_exp(const kt_emitter *e, LLVMValueRef x) { return kt_emit_exp_scaled(e, x, NULL, 0); }

/* 2^n (e^r - 1) + (2^n - 1), of which the second term is exact where it matters; halved, so that 2^n fits. */
LLVMValueRef kt_emit_expm1(const kt_emitter *e, LLVMValueRef x) {
    bool wide = e->dtype == KT_F64;
    x = clamp(e, x, wide ? -40 : -20, wide ? 710 : 89);
    reduced part = reduce(e, x, NULL, bias(e) - 1);
    LLVMValueRef scale = power_of_two(e, part.bits);
    LLVMValueRef value = mad(e, scale, small_expm1(e, part.r, NULL), sub(e, scale, num(e, 0.5)));
    return with_sign(e, add(e, value, value), x); /* of zeros, too */
}

/* f32: a polynomial where the result is below 1/2, and 1 - 2 / (e^(2|x|) + 1). */
static LLVMValueRef tanh_f32(const kt_emitter *e, LLVMValueRef size) {
    LLVMValueRef square = mul(e, size, size), one = num(e, 1);
    LLVMValueRef small = mad(e, mul(e, size, square), TABLE(e, square, tanh_tail_f32), size);
    reduced part = reduce(e, add(e, size, size), NULL, bias(e));
    LLVMValueRef scale = power_of_two(e, part.bits);
    LLVMValueRef bottom = mad(e, scale, small_expm1(e, part.r, NULL), add(e, scale, one));
    LLVMValueRef large = sub(e, one, quotient(e, num(e, 2), bottom));
    return choose(e, below(e, size, num(e, 0.55)), small, large);
}

/* f64: t / (t + 2) with t = e^(2|x|) - 1. */
static LLVMValueRef tanh_f64(const kt_emitter *e, LLVMValueRef size) {
    LLVMValueRef t = kt_emit_expm1(e, add(e, size, size));
    return quotient(e, t, add(e, t, num(e, 2)));
}

LLVMValueRef kt_emit_tanh(const kt_emitter *e, LLVMValueRef x) {
    bool wide = e->dtype == KT_F64;
    LLVMValueRef size = clamp(e, magnitude(e, x), 0, wide ? 20 : 10);
    return with_sign(e, wide ? tanh_f64(e, size) : tanh_f32(e, size), x);
}

/* 1 / (1 + e^-x), both halves of the fraction times 2^-k, so that e^-x fits where the result is subnormal. Of
 * e^-x = 2^n + 2^n (e^r - 1) the first term comes last: the rest is small where they are near 1. */
LLVMValueRef kt_emit_logistic(const kt_emitter *e, LLVMValueRef x) {
    bool wide = e->dtype == KT_F64;
    int shift = wide ? 56 : 24;
    reduced part =
        reduce(e, clamp(e, negate(e, x), wide ? -40 : -20, wide ? 746 : 104.5), NULL, bias(e) - shift);
    LLVMValueRef one = num(e, ldexp(1, -shift));
    LLVMValueRef scale = power_of_two(e, part.bits);
    return quotient(e, one, add(e, scale, mad(e, scale, small_expm1(e, part.r, NULL), one)));
}

LLVMValueRef kt_emit_sinh(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_sinh, x);
    LLVMValueRef size = magnitude(e, x), square = mul(e, x, x);
    LLVMValueRef tail = TABLE(e, square, sinh_tail_f64);
    LLVMValueRef small = mad(e, mul(e, size, square), tail, size);
    LLVMValueRef half = kt_emit_exp_scaled(e, size, NULL, -1); /* e^|x| / 2 */
    LLVMValueRef large = sub(e, half, quotient(e, num(e, 0.25), half));
    return with_sign(e, choose(e, below(e, size, num(e, 1)), small, large), x);
}

LLVMValueRef kt_emit_cosh(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_cosh, x);
    LLVMValueRef half = kt_emit_exp_scaled(e, magnitude(e, x), NULL, -1);
    return add(e, half, quotient(e, num(e, 0.25), half));
}
