/* Private to codegen/math: short names for building IR, and the emitter of each operation. */
#ifndef KT_CODEGEN_MATH_IMPL_H
#define KT_CODEGEN_MATH_IMPL_H

#include "codegen/math/math.h"

/* ---- one function a row of ops.def; f16 and bf16 never get here ------------------------------ */
#define KT_UNARY(name, domain, gradient, doc) LLVMValueRef kt_emit_##name(const kt_emitter *e, LLVMValueRef x);
#define KT_BINARY(name, domain, traits, gradient, doc)                                                                 \
    LLVMValueRef kt_emit_##name(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y);
#define KT_COMPARE(name, domain, doc)                                                                        \
    LLVMValueRef kt_emit_##name(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y);
#include "ir/ops.def"

/* Powers of floats (power.c). */
LLVMValueRef kt_emit_power(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y);
/* Between any two dtypes (cast.c). e: the operand's. */
LLVMValueRef kt_emit_cast(const kt_emitter *e, kt_dtype to, LLVMValueRef x);
/* To the nearest f16 or bf16, still as f32 (half.c). */
LLVMValueRef kt_emit_round_half(const kt_emitter *e, kt_dtype dtype, LLVMValueRef x);

/* ---- pieces that operations share ------------------------------------------------------------ */
/* e^x where that is neither subnormal nor too large (exp.c). */
LLVMValueRef kt_emit_exp_normal(const kt_emitter *e, LLVMValueRef x);
/* e^(x + low) - 1; low may be NULL */
LLVMValueRef kt_emit_expm1_normal(const kt_emitter *e, LLVMValueRef x, LLVMValueRef low);
/* e^(x + low) * 2^shift; low may be NULL (exp.c). */
LLVMValueRef kt_emit_exp_scaled(const kt_emitter *e, LLVMValueRef x, LLVMValueRef low, int shift);

/* Lanes [first, first + count) of a vector. */
LLVMValueRef kt_emit_lanes(const kt_emitter *e, LLVMValueRef vector, int first, int count);

/* ---- emitters of other types ----------------------------------------------------------------- */
static inline kt_emitter retyped(const kt_emitter *e, kt_dtype dtype) {
    kt_emitter other = *e;
    other.dtype = dtype;
    return other;
}
/* The same operation in f64: for functions that are wanted in f32 too seldom for an algorithm of their own.
 */
typedef LLVMValueRef unary_emitter(const kt_emitter *e, LLVMValueRef x);
typedef LLVMValueRef binary_emitter(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef kt_emit_wide(const kt_emitter *e, unary_emitter *emit, LLVMValueRef x);
LLVMValueRef kt_emit_wide2(const kt_emitter *e, binary_emitter *emit, LLVMValueRef x, LLVMValueRef y);

static inline LLVMTypeRef value_type(const kt_emitter *e) { return kt_emit_type(e, e->dtype, e->lanes); }
/* Integers as wide as e's floats. */
static inline kt_dtype bits_dtype(const kt_emitter *e) { return e->dtype == KT_F64 ? KT_I64 : KT_I32; }
static inline LLVMTypeRef bits_type(const kt_emitter *e) { return kt_emit_type(e, bits_dtype(e), e->lanes); }

/* ---- constants ------------------------------------------------------------------------------- */
static inline LLVMValueRef num(const kt_emitter *e, double number) {
    return kt_emit_constant(e, (int64_t)(kt_dtype_is_float(e->dtype) ? 0 : number), number);
}
static inline LLVMValueRef whole(const kt_emitter *e, int64_t integer) {
    return kt_emit_constant(e, integer, (double)integer);
}
static inline LLVMValueRef bits_num(const kt_emitter *e, int64_t integer) {
    kt_emitter bits = retyped(e, bits_dtype(e));
    return kt_emit_constant(&bits, integer, 0);
}

/* ---- arithmetic of floats -------------------------------------------------------------------- */
static inline LLVMValueRef add(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFAdd(e->builder, x, y, "");
}
static inline LLVMValueRef sub(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFSub(e->builder, x, y, "");
}
static inline LLVMValueRef mul(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFMul(e->builder, x, y, "");
}
static inline LLVMValueRef quotient(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFDiv(e->builder, x, y, "");
}
static inline LLVMValueRef negate(const kt_emitter *e, LLVMValueRef x) {
    return LLVMBuildFNeg(e->builder, x, "");
}
static inline LLVMValueRef mad(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    return kt_emit_fma(e, a, b, c);
}
static inline LLVMValueRef choose(const kt_emitter *e, LLVMValueRef condition, LLVMValueRef x,
                                  LLVMValueRef y) {
    return LLVMBuildSelect(e->builder, condition, x, y, "");
}
static inline LLVMValueRef below(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFCmp(e->builder, LLVMRealOLT, x, y, "");
}
static inline LLVMValueRef above(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFCmp(e->builder, LLVMRealOGT, x, y, "");
}
static inline LLVMValueRef equal(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFCmp(e->builder, LLVMRealOEQ, x, y, "");
}
/* x limited to low … high; NaN stays. */
static inline LLVMValueRef clamp(const kt_emitter *e, LLVMValueRef x, double low, double high) {
    x = choose(e, above(e, num(e, low), x), num(e, low), x);
    return choose(e, below(e, num(e, high), x), num(e, high), x);
}
static inline LLVMValueRef to_bits(const kt_emitter *e, LLVMValueRef x) {
    return LLVMBuildBitCast(e->builder, x, bits_type(e), "");
}
static inline LLVMValueRef from_bits(const kt_emitter *e, LLVMValueRef x) {
    return LLVMBuildBitCast(e->builder, x, value_type(e), "");
}

/* An LLVM intrinsic, which may be overloaded on its first operand's type: "llvm.sqrt". */
LLVMValueRef kt_emit_intrinsic(const kt_emitter *e, const char *name, const LLVMValueRef *args,
                               unsigned count);
static inline LLVMValueRef call1(const kt_emitter *e, const char *name, LLVMValueRef x) {
    return kt_emit_intrinsic(e, name, &x, 1);
}
static inline LLVMValueRef magnitude(const kt_emitter *e, LLVMValueRef x) { return call1(e, "llvm.fabs", x); }
static inline LLVMValueRef with_sign(const kt_emitter *e, LLVMValueRef x, LLVMValueRef sign) {
    LLVMValueRef args[] = {x, sign};
    return kt_emit_intrinsic(e, "llvm.copysign", args, 2);
}

/* coefficients[0] + coefficients[1] x + …, by Horner's rule. */
LLVMValueRef kt_emit_polynomial(const kt_emitter *e, LLVMValueRef x, const double *coefficients, int count);
#define TABLE(e, x, name) kt_emit_polynomial(e, x, name, (int)(sizeof name / sizeof(double)))
/* With a table for each width of floats. */
#define POLYNOMIAL(e, x, name) ((e)->dtype == KT_F64 ? TABLE(e, x, name##_f64) : TABLE(e, x, name##_f32))

#endif
