/* Arithmetic, rounding, comparisons and logic: operations that are one or a few instructions. */
#include "codegen/math/math_impl.h"

#include <math.h>

static bool is_float(const kt_emitter *e) { return kt_dtype_is_float(e->dtype); }
static bool is_unsigned(const kt_emitter *e) { return kt_dtype_is_unsigned_integer(e->dtype); }

LLVMValueRef kt_emit_neg(const kt_emitter *e, LLVMValueRef x) {
    return is_float(e) ? negate(e, x) : LLVMBuildNeg(e->builder, x, "");
}

LLVMValueRef kt_emit_abs(const kt_emitter *e, LLVMValueRef x) {
    if (is_float(e)) return magnitude(e, x);
    if (is_unsigned(e)) return x;
    LLVMValueRef negative = LLVMBuildICmp(e->builder, LLVMIntSLT, x, whole(e, 0), "");
    return choose(e, negative, LLVMBuildNeg(e->builder, x, ""), x);
}

LLVMValueRef kt_emit_sign(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef zero = num(e, 0);
    if (is_float(e)) {
        LLVMValueRef nonzero = LLVMBuildFCmp(e->builder, LLVMRealONE, x, zero, "");
        return choose(e, nonzero, with_sign(e, num(e, 1), x), x);
    }
    LLVMValueRef negative = LLVMBuildICmp(e->builder, LLVMIntSLT, x, zero, "");
    LLVMValueRef positive = LLVMBuildICmp(e->builder, LLVMIntSGT, x, zero, "");
    return choose(e, negative, whole(e, -1), choose(e, positive, whole(e, 1), zero));
}

LLVMValueRef kt_emit_floor(const kt_emitter *e, LLVMValueRef x) { return call1(e, "llvm.floor", x); }
LLVMValueRef kt_emit_ceil(const kt_emitter *e, LLVMValueRef x) { return call1(e, "llvm.ceil", x); }
LLVMValueRef kt_emit_trunc(const kt_emitter *e, LLVMValueRef x) { return call1(e, "llvm.trunc", x); }
/* rint and not roundeven, which older C libraries lack where the CPU has no instruction; the rounding mode is
 * never changed. */
LLVMValueRef kt_emit_round(const kt_emitter *e, LLVMValueRef x) { return call1(e, "llvm.rint", x); }
LLVMValueRef kt_emit_sqrt(const kt_emitter *e, LLVMValueRef x) { return call1(e, "llvm.sqrt", x); }
LLVMValueRef kt_emit_rsqrt(const kt_emitter *e, LLVMValueRef x) {
    return quotient(e, num(e, 1), kt_emit_sqrt(e, x));
}

LLVMValueRef kt_emit_not(const kt_emitter *e, LLVMValueRef x) { return LLVMBuildNot(e->builder, x, ""); }
LLVMValueRef kt_emit_stop_gradient(const kt_emitter *e, LLVMValueRef x) {
    (void)e;
    return x;
}
LLVMValueRef kt_emit_is_nan(const kt_emitter *e, LLVMValueRef x) {
    return LLVMBuildFCmp(e->builder, LLVMRealUNO, x, x, "");
}
LLVMValueRef kt_emit_is_finite(const kt_emitter *e, LLVMValueRef x) {
    return below(e, magnitude(e, x), num(e, INFINITY));
}

LLVMValueRef kt_emit_add(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return is_float(e) ? add(e, x, y) : LLVMBuildAdd(e->builder, x, y, "");
}
LLVMValueRef kt_emit_sub(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return is_float(e) ? sub(e, x, y) : LLVMBuildSub(e->builder, x, y, "");
}
LLVMValueRef kt_emit_mul(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return is_float(e) ? mul(e, x, y) : LLVMBuildMul(e->builder, x, y, "");
}

/* The larger (or smaller) of two floats; of two zeros, either. An instruction of x86 hands on one operand's
 * NaN; the other one is tested for it beside: y, so that a chain through x waits for nothing else. */
static LLVMValueRef extreme(const kt_emitter *e, const char *name, LLVMValueRef x, LLVMValueRef y) {
    LLVMValueRef args[] = {y, x}, value = kt_emit_intrinsic(e, name, args, 2);
    LLVMSetFastMathFlags(value, LLVMFastMathNoSignedZeros);
    return value;
}

LLVMValueRef kt_emit_maximum(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    if (is_float(e)) return extreme(e, "llvm.maximum", x, y);
    return choose(e, LLVMBuildICmp(e->builder, is_unsigned(e) ? LLVMIntUGT : LLVMIntSGT, x, y, ""), x, y);
}
LLVMValueRef kt_emit_minimum(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    if (is_float(e)) return extreme(e, "llvm.minimum", x, y);
    return choose(e, LLVMBuildICmp(e->builder, is_unsigned(e) ? LLVMIntULT : LLVMIntSLT, x, y, ""), x, y);
}

LLVMValueRef kt_emit_and(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildAnd(e->builder, x, y, "");
}
LLVMValueRef kt_emit_or(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildOr(e->builder, x, y, "");
}
LLVMValueRef kt_emit_xor(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildXor(e->builder, x, y, "");
}

static LLVMValueRef compare(const kt_emitter *e, LLVMRealPredicate real, LLVMIntPredicate with_sign_bit,
                            LLVMIntPredicate without, LLVMValueRef x, LLVMValueRef y) {
    if (is_float(e)) return LLVMBuildFCmp(e->builder, real, x, y, "");
    return LLVMBuildICmp(e->builder, is_unsigned(e) ? without : with_sign_bit, x, y, "");
}

LLVMValueRef kt_emit_eq(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return compare(e, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ, x, y);
}
LLVMValueRef kt_emit_ne(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return compare(e, LLVMRealUNE, LLVMIntNE, LLVMIntNE, x, y);
}
LLVMValueRef kt_emit_lt(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return compare(e, LLVMRealOLT, LLVMIntSLT, LLVMIntULT, x, y);
}
LLVMValueRef kt_emit_le(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return compare(e, LLVMRealOLE, LLVMIntSLE, LLVMIntULE, x, y);
}
LLVMValueRef kt_emit_gt(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return compare(e, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT, x, y);
}
LLVMValueRef kt_emit_ge(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return compare(e, LLVMRealOGE, LLVMIntSGE, LLVMIntUGE, x, y);
}
