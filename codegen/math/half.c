/* f16 and bf16. In registers both are f32 that were rounded; in memory 16 bits. All is done with integer
 * instructions, because LLVM calls functions of the compiler's own library where the CPU has no conversion,
 * and a program links libc and libm only; where the CPU has f16 instructions (F16C, ARM), those serve. */
#include "codegen/math/math_impl.h"

#include <math.h>

static bool has_f16(const kt_emitter *e) { return e->target->cpu_features & (KT_CPU_F16C | KT_CPU_NEON); }

static LLVMTypeRef f16_type(const kt_emitter *e) {
    LLVMTypeRef half = LLVMHalfTypeInContext(e->context);
    return e->lanes == 1 ? half : LLVMVectorType(half, (unsigned)e->lanes);
}

/* Drops the low bits of a float's representation, to nearest, ties to even. A carry out of the fraction moves
 * into the exponent, as it must. */
static LLVMValueRef round_bits(const kt_emitter *e, LLVMValueRef bits, int dropped) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, bits_num(e, dropped), ""), bits_num(e, 1), "");
    LLVMValueRef bias = LLVMBuildAdd(b, odd, bits_num(e, (1 << (dropped - 1)) - 1), "");
    return LLVMBuildAnd(b, LLVMBuildAdd(b, bits, bias, ""), bits_num(e, -(1 << dropped)), "");
}

static LLVMValueRef round_bf16(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef rounded = from_bits(e, round_bits(e, to_bits(e, x), 16));
    return choose(e, kt_emit_is_nan(e, x), num(e, NAN), rounded);
}

static LLVMValueRef round_f16(const kt_emitter *e, LLVMValueRef x) {
    LLVMValueRef size = magnitude(e, x);
    LLVMValueRef normal = from_bits(e, round_bits(e, to_bits(e, size), 13));
    normal =
        choose(e, LLVMBuildFCmp(e->builder, LLVMRealOGE, size, num(e, 65520), ""), num(e, INFINITY), normal);
    /* Below 2^-14 the step is 2^-24, which is f32's own just above 0.5. */
    LLVMValueRef subnormal = sub(e, add(e, size, num(e, 0.5)), num(e, 0.5));
    LLVMValueRef rounded = choose(e, below(e, size, num(e, 0x1p-14)), subnormal, normal);
    return choose(e, kt_emit_is_nan(e, x), x, with_sign(e, rounded, x));
}

LLVMValueRef kt_emit_round_half(const kt_emitter *e, kt_dtype dtype, LLVMValueRef x) {
    kt_emitter f32 = retyped(e, KT_F32);
    if (dtype == KT_BF16) return round_bf16(&f32, x);
    if (!has_f16(e)) return round_f16(&f32, x);
    LLVMValueRef half = LLVMBuildFPTrunc(e->builder, x, f16_type(e), "");
    return LLVMBuildFPExt(e->builder, half, value_type(&f32), "");
}

/* bits: i32 lanes that hold f16 representations. A product by 2^112 moves the exponent's bias, of subnormals
 * too; infinities and NaNs get f32's exponent. */
static LLVMValueRef f16_to_f32(const kt_emitter *f32, LLVMValueRef bits) {
    LLVMBuilderRef b = f32->builder;
    LLVMValueRef sign =
        LLVMBuildShl(b, LLVMBuildAnd(b, bits, bits_num(f32, 0x8000), ""), bits_num(f32, 16), "");
    LLVMValueRef size = LLVMBuildAnd(b, bits, bits_num(f32, 0x7fff), "");
    LLVMValueRef moved = LLVMBuildShl(b, size, bits_num(f32, 13), "");
    LLVMValueRef scaled = to_bits(f32, mul(f32, from_bits(f32, moved), num(f32, 0x1p112)));
    LLVMValueRef special = LLVMBuildOr(b, moved, bits_num(f32, 0x7f800000), "");
    LLVMValueRef is_special = LLVMBuildICmp(b, LLVMIntUGE, size, bits_num(f32, 0x7c00), "");
    return from_bits(f32, LLVMBuildOr(b, sign, choose(f32, is_special, special, scaled), ""));
}

/* The reverse, of a value that was rounded: exact. */
static LLVMValueRef f32_to_f16(const kt_emitter *f32, LLVMValueRef x) {
    LLVMBuilderRef b = f32->builder;
    LLVMValueRef bits = to_bits(f32, x), size = to_bits(f32, magnitude(f32, x));
    LLVMValueRef sign =
        LLVMBuildAnd(b, LLVMBuildLShr(b, bits, bits_num(f32, 16), ""), bits_num(f32, 0x8000), "");
    LLVMValueRef scaled = to_bits(f32, mul(f32, magnitude(f32, x), num(f32, 0x1p-112)));
    LLVMValueRef is_special = LLVMBuildICmp(b, LLVMIntUGE, size, bits_num(f32, 0x7f800000), "");
    LLVMValueRef is_nan = LLVMBuildICmp(b, LLVMIntUGT, size, bits_num(f32, 0x7f800000), "");
    LLVMValueRef special = choose(f32, is_nan, bits_num(f32, 0x7e00), bits_num(f32, 0x7c00));
    LLVMValueRef plain = LLVMBuildLShr(b, scaled, bits_num(f32, 13), "");
    return LLVMBuildOr(b, sign, choose(f32, is_special, special, plain), "");
}

LLVMValueRef kt_emit_unpack(const kt_emitter *e, LLVMValueRef memory) {
    LLVMBuilderRef b = e->builder;
    kt_emitter f32 = retyped(e, KT_F32);
    switch (e->dtype) {
    case KT_BOOL: {
        kt_emitter bytes = retyped(e, KT_U8);
        return LLVMBuildICmp(b, LLVMIntNE, memory, kt_emit_constant(&bytes, 0, 0), "");
    }
    case KT_BF16: {
        LLVMValueRef wide = LLVMBuildZExt(b, memory, bits_type(&f32), "");
        return from_bits(&f32, LLVMBuildShl(b, wide, bits_num(&f32, 16), ""));
    }
    case KT_F16:
        if (has_f16(e))
            return LLVMBuildFPExt(b, LLVMBuildBitCast(b, memory, f16_type(e), ""), value_type(&f32), "");
        return f16_to_f32(&f32, LLVMBuildZExt(b, memory, bits_type(&f32), ""));
    default: return memory;
    }
}

LLVMValueRef kt_emit_pack(const kt_emitter *e, LLVMValueRef value) {
    LLVMBuilderRef b = e->builder;
    kt_emitter f32 = retyped(e, KT_F32);
    LLVMTypeRef memory = kt_emit_memory_type(e, e->dtype, e->lanes);
    switch (e->dtype) {
    case KT_BOOL: return LLVMBuildZExt(b, value, memory, "");
    case KT_BF16: {
        LLVMValueRef high = LLVMBuildLShr(b, to_bits(&f32, value), bits_num(&f32, 16), "");
        return LLVMBuildTrunc(b, high, memory, "");
    }
    case KT_F16:
        if (has_f16(e)) return LLVMBuildBitCast(b, LLVMBuildFPTrunc(b, value, f16_type(e), ""), memory, "");
        return LLVMBuildTrunc(b, f32_to_f16(&f32, value), memory, "");
    default: return value;
    }
}
