/* Sines and arc functions. All are computed in f64, for f32 too, where they are then as good as correctly
 * rounded.
 *
 * x = n pi/2 + r with |r| <= pi/4: pi/2 in four parts of 33 bits, so that n times each is exact up to
 * |x| = 2^20 without fused operations, and the difference keeps its digits near the zeros. Lanes beyond that
 * are given to libm one by one, behind a branch that vectors within it never take. */
#include "codegen/math/coefficients.h"
#include "codegen/math/math_impl.h"

#include <math.h>

static const double most_f64 = 0x1p20;
static const double half_pi_high = 0x1.921fb54442d18p0, half_pi_low = 0x1.1a62633145c07p-54;

typedef struct turned {
    LLVMValueRef n;            /* quarter turns, as integers; the two low bits matter */
    LLVMValueRef sine, cosine; /* of the rest */
} turned;

static turned turn(const kt_emitter *e, LLVMValueRef x) {
    static const double parts[] = {0x1.921fb544p0, 0x1.0b4611a6p-34, 0x1.3198a2ep-69, 0x1.b839a252049c1p-104};
    LLVMValueRef counter = num(e, 0x1.8p52);
    LLVMValueRef sum = mad(e, x, num(e, M_2_PI), counter), n = sub(e, sum, counter), r = x;
    for (int i = 0; i < 4; i++) r = mad(e, n, num(e, -parts[i]), r);
    LLVMValueRef square = mul(e, r, r);
    LLVMValueRef sine = mad(e, mul(e, r, square), TABLE(e, square, sin_tail_f64), r);
    sine = with_sign(e, sine, r); /* of zeros, too */
    LLVMValueRef tail = mul(e, mul(e, square, square), TABLE(e, square, cos_tail_f64));
    /* 1 - x^2/2 in two steps, so that its rounding is made good. */
    LLVMValueRef half = mul(e, square, num(e, 0.5)), whole_part = sub(e, num(e, 1), half);
    LLVMValueRef lost = sub(e, sub(e, num(e, 1), whole_part), half);
    return (turned){to_bits(e, sum), sine, add(e, whole_part, add(e, lost, tail))};
}

static LLVMValueRef bit_is_set(const kt_emitter *e, LLVMValueRef bits, int64_t bit) {
    LLVMValueRef masked = LLVMBuildAnd(e->builder, bits, bits_num(e, bit), "");
    return LLVMBuildICmp(e->builder, LLVMIntNE, masked, bits_num(e, 0), "");
}

/* sin of x and a number of quarter turns. */
static LLVMValueRef sine_after(const kt_emitter *e, LLVMValueRef x, int quarters) {
    turned parts = turn(e, x);
    LLVMValueRef n = LLVMBuildAdd(e->builder, parts.n, bits_num(e, quarters), "");
    LLVMValueRef value = choose(e, bit_is_set(e, n, 1), parts.cosine, parts.sine);
    return choose(e, bit_is_set(e, n, 2), negate(e, value), value);
}

static LLVMValueRef quick_sin(const kt_emitter *e, LLVMValueRef x) { return sine_after(e, x, 0); }
static LLVMValueRef quick_cos(const kt_emitter *e, LLVMValueRef x) { return sine_after(e, x, 1); }
static LLVMValueRef quick_tan(const kt_emitter *e, LLVMValueRef x) {
    turned parts = turn(e, x);
    LLVMValueRef odd = bit_is_set(e, parts.n, 1);
    LLVMValueRef top = choose(e, odd, negate(e, parts.cosine), parts.sine);
    return quotient(e, top, choose(e, odd, parts.sine, parts.cosine));
}

static LLVMValueRef call_libm(const kt_emitter *e, const char *name, LLVMValueRef scalar) {
    LLVMTypeRef real = LLVMDoubleTypeInContext(e->context);
    LLVMTypeRef type = LLVMFunctionType(real, &real, 1, false);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (!function) function = LLVMAddFunction(e->module, name, type);
    return LLVMBuildCall2(e->builder, type, function, &scalar, 1, "");
}

/* values, with libm's in the lanes of mask. */
static LLVMValueRef correct_lanes(const kt_emitter *e, const char *name, LLVMValueRef x, LLVMValueRef mask,
                                  LLVMValueRef values) {
    if (e->lanes == 1) return call_libm(e, name, x);
    LLVMValueRef safe = choose(e, mask, x, num(e, 0)), all = values;
    for (int i = 0; i < e->lanes; i++) {
        LLVMValueRef lane = LLVMConstInt(LLVMInt32TypeInContext(e->context), (unsigned)i, false);
        LLVMValueRef value = call_libm(e, name, LLVMBuildExtractElement(e->builder, safe, lane, ""));
        all = LLVMBuildInsertElement(e->builder, all, value, lane, "");
    }
    return choose(e, mask, all, values);
}

/* e: f64. quick where |x| is within its range, and libm's function elsewhere. */
static LLVMValueRef with_libm(const kt_emitter *e, unary_emitter *quick, const char *name, LLVMValueRef x) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef value = quick(e, x), size = magnitude(e, x);
    LLVMValueRef beyond =
        LLVMBuildAnd(b, above(e, size, num(e, most_f64)), below(e, size, num(e, INFINITY)), "");
    LLVMValueRef any = beyond;
    if (e->lanes > 1) {
        LLVMTypeRef bits = LLVMIntTypeInContext(e->context, (unsigned)e->lanes);
        any = LLVMBuildICmp(b, LLVMIntNE, LLVMBuildBitCast(b, beyond, bits, ""), LLVMConstInt(bits, 0, false),
                            "");
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMValueRef function = LLVMGetBasicBlockParent(before);
    LLVMBasicBlockRef slow = LLVMAppendBasicBlockInContext(e->context, function, "far");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, function, "near");
    LLVMBuildCondBr(b, any, slow, after);
    LLVMPositionBuilderAtEnd(b, slow);
    LLVMValueRef corrected = correct_lanes(e, name, x, beyond, value);
    LLVMBuildBr(b, after);
    LLVMPositionBuilderAtEnd(b, after);
    LLVMValueRef result = LLVMBuildPhi(b, value_type(e), "");
    LLVMValueRef values[] = {value, corrected};
    LLVMBasicBlockRef from[] = {before, slow};
    LLVMAddIncoming(result, values, from, 2);
    return result;
}

LLVMValueRef kt_emit_sin(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_sin, x);
    return with_libm(e, quick_sin, "sin", x);
}
LLVMValueRef kt_emit_cos(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_cos, x);
    return with_libm(e, quick_cos, "cos", x);
}
LLVMValueRef kt_emit_tan(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_tan, x);
    return with_libm(e, quick_tan, "tan", x);
}

/* ---- arc functions --------------------------------------------------------------------------- */

/* turns * pi/2 - x */
static LLVMValueRef from_half_pi(const kt_emitter *e, double turns, LLVMValueRef x) {
    return sub(e, num(e, turns * half_pi_high), sub(e, x, num(e, turns * half_pi_low)));
}

typedef struct arc {
    LLVMValueRef large; /* |x| > 1/2 */
    LLVMValueRef
        angle; /* asin |x|; where large: of sqrt((1 - |x|) / 2), half the angle's distance from pi/2 */
} arc;

static arc half_arc(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef size = magnitude(e, x), large = above(e, size, num(e, 0.5));
    LLVMValueRef folded = mul(e, num(e, 0.5), sub(e, num(e, 1), size));
    LLVMValueRef square = choose(e, large, folded, mul(e, size, size));
    LLVMValueRef sine = choose(e, large, call1(e, "llvm.sqrt", folded), size);
    return (arc){large, mad(e, mul(e, sine, square), TABLE(e, square, asin_tail_f64), sine)};
}

LLVMValueRef kt_emit_asin(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_asin, x);
    arc part = half_arc(e, x);
    LLVMValueRef high = from_half_pi(e, 1, add(e, part.angle, part.angle));
    return with_sign(e, choose(e, part.large, high, part.angle), x);
}

LLVMValueRef kt_emit_acos(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_acos, x);
    arc part = half_arc(e, x);
    LLVMValueRef doubled = add(e, part.angle, part.angle);
    LLVMValueRef negative = below(e, x, num(e, 0));
    LLVMValueRef outer = choose(e, negative, from_half_pi(e, 2, doubled), doubled);
    return choose(e, part.large, outer, from_half_pi(e, 1, with_sign(e, part.angle, x)));
}

/* atan(y / x) of y, x >= 0, with one division: above tan(pi/8) the angle is taken from pi/4, and past 1 the
 * other way round. */
static LLVMValueRef first_quadrant(const kt_emitter *e, LLVMValueRef y, LLVMValueRef x) {
    LLVMValueRef steep = above(e, y, x);
    LLVMValueRef small = choose(e, steep, x, y), large = choose(e, steep, y, x);
    LLVMValueRef middle = above(e, small, mul(e, large, num(e, 0x1.a827999fcef32p-2)));
    LLVMValueRef top = choose(e, middle, sub(e, small, large), small);
    LLVMValueRef bottom = choose(e, middle, add(e, small, large), large);
    bottom = choose(e, equal(e, bottom, num(e, 0)), num(e, 1), bottom);
    LLVMValueRef t = quotient(e, top, bottom), square = mul(e, t, t);
    LLVMValueRef angle = mad(e, mul(e, t, square), TABLE(e, square, atan_tail_f64), t);
    angle = add(e, choose(e, middle, num(e, M_PI_4), num(e, 0)), angle);
    return choose(e, steep, from_half_pi(e, 1, angle), angle);
}

LLVMValueRef kt_emit_atan(const kt_emitter *e, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide(e, kt_emit_atan, x);
    return with_sign(e, first_quadrant(e, magnitude(e, x), num(e, 1)), x);
}

LLVMValueRef kt_emit_atan2(const kt_emitter *e, LLVMValueRef y, LLVMValueRef x) {
    if (e->dtype == KT_F32) return kt_emit_wide2(e, kt_emit_atan2, y, x);
    LLVMBuilderRef b = e->builder;
    LLVMValueRef height = magnitude(e, y), width = magnitude(e, x), one = num(e, 1);
    /* Sums of the two must not overflow, and two infinities count as equal. */
    LLVMValueRef huge =
        LLVMBuildOr(b, above(e, height, num(e, 0x1p1000)), above(e, width, num(e, 0x1p1000)), "");
    LLVMValueRef scale = choose(e, huge, num(e, 0x1p-60), one);
    LLVMValueRef endless =
        LLVMBuildAnd(b, equal(e, height, num(e, INFINITY)), equal(e, width, num(e, INFINITY)), "");
    LLVMValueRef up = choose(e, endless, one, mul(e, height, scale));
    LLVMValueRef across = choose(e, endless, one, mul(e, width, scale));
    LLVMValueRef angle = first_quadrant(e, up, across);
    LLVMValueRef left = LLVMBuildICmp(b, LLVMIntSLT, to_bits(e, x), bits_num(e, 0), "");
    angle = choose(e, left, from_half_pi(e, 2, angle), angle);
    return with_sign(e, angle, y);
}
