/* Conversions between any two dtypes, as ops.def says: floats to integers truncate and saturate, NaN gives 0;
 * integers wrap; to bool is x != 0. */
#include "codegen/math/math_impl.h"

#include <string.h>

static bool is_half(kt_dtype dtype) { return dtype == KT_F16 || dtype == KT_BF16; }
static bool is_signed(kt_dtype dtype) { return kt_dtype_is_signed_integer(dtype); }

/* f64 to f32 with the last bit set where the result is inexact ("to odd"): rounding once more, to f16 or
 * bf16, then gives what rounding once would have given. e: f64. */
static LLVMValueRef narrow_to_odd(const kt_emitter *e, LLVMValueRef x) {
    LLVMBuilderRef b = e->builder;
    kt_emitter f32 = retyped(e, KT_F32);
    LLVMValueRef nearest = LLVMBuildFPTrunc(b, x, value_type(&f32), "");
    LLVMValueRef back = LLVMBuildFPExt(b, nearest, value_type(e), "");
    LLVMValueRef bits = to_bits(&f32, nearest);
    LLVMValueRef away = above(e, magnitude(e, back), magnitude(e, x));
    LLVMValueRef inexact = LLVMBuildFCmp(b, LLVMRealONE, back, x, "");
    LLVMValueRef toward = choose(e, away, LLVMBuildSub(b, bits, bits_num(&f32, 1), ""), bits);
    LLVMValueRef odd = LLVMBuildOr(b, toward, bits_num(&f32, 1), "");
    return from_bits(&f32, choose(e, inexact, odd, bits));
}

/* x, at least 0, to u8 by the instruction that narrows and saturates: what fits into no word becomes 2^31,
 * and so the largest byte. NULL: there is none for these lanes. */
static LLVMValueRef saturate_to_u8(const kt_emitter *e, LLVMValueRef x) {
    enum { LANES = 16, ROUNDING_AS_SET = 4 };
    if (!(e->target->cpu_features & KT_CPU_AVX512F) || e->dtype != KT_F32 || e->lanes != LANES) return NULL;
    kt_emitter words = retyped(e, KT_U32);
    LLVMValueRef all = LLVMConstAllOnes(LLVMInt16TypeInContext(e->context));
    LLVMValueRef rounding = LLVMConstInt(LLVMInt32TypeInContext(e->context), ROUNDING_AS_SET, false);
    LLVMValueRef args[] = {x, LLVMConstNull(value_type(&words)), all, rounding};
    x = kt_emit_intrinsic(e, "llvm.x86.avx512.mask.cvttps2dq.512", args, 4);
    x = kt_emit_minimum(&words, x, whole(&words, UINT8_MAX));
    return LLVMBuildTrunc(e->builder, x, kt_emit_type(e, KT_U8, e->lanes), "");
}

/* To integers of 8 and 16 bits by way of 32: LLVM takes vectors apart where it converts to narrow ones at
 * once. */
static LLVMValueRef to_narrow(const kt_emitter *e, kt_dtype to, LLVMValueRef x) {
    int bits = 8 * (int)kt_dtype_bytes(to);
    double low = is_signed(to) ? -(double)(1 << (bits - 1)) : 0, high = low + (double)((1 << bits) - 1);
    LLVMBuilderRef b = e->builder;
    kt_emitter words = retyped(e, KT_I32);
    if (is_signed(to)) x = choose(e, LLVMBuildFCmp(b, LLVMRealORD, x, x, ""), x, num(e, 0));
    x = choose(e, above(e, x, num(e, low)), x, num(e, low)); /* NaN, too, if low is 0 */
    LLVMValueRef saturated = to == KT_U8 ? saturate_to_u8(e, x) : NULL;
    if (saturated) return saturated;
    x = choose(e, below(e, x, num(e, high)), x, num(e, high));
    return LLVMBuildTrunc(b, LLVMBuildFPToSI(b, x, value_type(&words), ""), kt_emit_type(e, to, e->lanes),
                          "");
}

static LLVMValueRef from_float(const kt_emitter *e, kt_dtype to, LLVMValueRef x) {
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef type = kt_emit_type(e, to, e->lanes);
    if (to == KT_F64) return e->dtype == KT_F64 ? x : LLVMBuildFPExt(b, x, type, "");
    if (to == KT_F32) return e->dtype == KT_F64 ? LLVMBuildFPTrunc(b, x, type, "") : x;
    if (is_half(to)) return kt_emit_round_half(e, to, e->dtype == KT_F64 ? narrow_to_odd(e, x) : x);
    if (to == KT_BOOL) return LLVMBuildFCmp(b, LLVMRealUNE, x, num(e, 0), "");
    if (kt_dtype_bytes(to) < sizeof(int32_t)) return to_narrow(e, to, x);
    const char *name = is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
    LLVMTypeRef types[] = {type, LLVMTypeOf(x)};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, types, 2);
    return LLVMBuildCall2(b, LLVMIntrinsicGetType(e->context, id, types, 2), function, &x, 1, "");
}

static LLVMValueRef from_integer(const kt_emitter *e, kt_dtype to, LLVMValueRef x) {
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef type = kt_emit_type(e, to, e->lanes);
    bool sign = is_signed(e->dtype); /* not of bool */
    if (to == KT_BOOL)
        return e->dtype == KT_BOOL ? x : LLVMBuildICmp(b, LLVMIntNE, x, kt_emit_constant(e, 0, 0), "");
    if (is_half(to)) {
        kt_emitter f64 = retyped(e, KT_F64);
        LLVMTypeRef wide = value_type(&f64);
        x = sign ? LLVMBuildSIToFP(b, x, wide, "") : LLVMBuildUIToFP(b, x, wide, "");
        return from_float(&f64, to, x);
    }
    if (kt_dtype_is_float(to))
        return sign ? LLVMBuildSIToFP(b, x, type, "") : LLVMBuildUIToFP(b, x, type, "");
    unsigned from_width = e->dtype == KT_BOOL ? 1 : 8 * (unsigned)kt_dtype_bytes(e->dtype);
    unsigned to_width = 8 * (unsigned)kt_dtype_bytes(to);
    if (from_width == to_width) return x;
    if (from_width > to_width) return LLVMBuildTrunc(b, x, type, "");
    return sign ? LLVMBuildSExt(b, x, type, "") : LLVMBuildZExt(b, x, type, "");
}

LLVMValueRef kt_emit_cast(const kt_emitter *e, kt_dtype to, LLVMValueRef x) {
    if (e->dtype == to) return x;
    kt_emitter f32 = retyped(e, KT_F32);
    if (is_half(e->dtype)) return from_float(&f32, to, x);
    return kt_dtype_is_float(e->dtype) ? from_float(e, to, x) : from_integer(e, to, x);
}
