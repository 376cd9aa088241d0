/* Sums of the products that fill 32 bits: of four bytes, of two i16, or of two bf16.
 *
 * Of bytes: AVX-512 VNNI has an instruction for it. Elsewhere on x86 the bytes are spread over 16-bit lanes,
 * even and odd ones apart, and multiplied in pairs by pmaddwd: two products of an unsigned and a signed byte
 * fit into 32 bits, so nothing is lost. (pmaddubsw would need no spreading, but saturates at 16 bits.)
 * Anything else is multiplied in lanes of 32 bits. All three give the same integers.
 *
 * Of i16: AVX-512 VNNI has one, too, and pmaddwd is there anyway.
 *
 * Of bf16: AVX-512 BF16 has an instruction for it, which adds the odd product first. A product of two bf16 is
 * exact in f32, so adding both that way gives the same bits, but where the instruction takes subnormal
 * numbers for 0. */
#include "codegen/math/math_impl.h"

typedef struct wide_name {
    const char *name; /* of an intrinsic that is not overloaded */
    int lanes;
    uint64_t features;
} wide_name;

static const wide_name dots[] = {
    {"llvm.x86.avx512.vpdpbusd.512", 16, KT_CPU_AVX512VNNI},
    {"llvm.x86.avx512.vpdpbusd.256", 8, KT_CPU_AVX512VNNI},
    {"llvm.x86.avx512.vpdpbusd.128", 4, KT_CPU_AVX512VNNI},
};
static const wide_name i16_dots[] = {
    {"llvm.x86.avx512.vpdpwssd.512", 16, KT_CPU_AVX512VNNI},
    {"llvm.x86.avx512.vpdpwssd.256", 8, KT_CPU_AVX512VNNI},
    {"llvm.x86.avx512.vpdpwssd.128", 4, KT_CPU_AVX512VNNI},
};
static const wide_name wide_dots[] = {
    {"llvm.x86.avx512bf16.dpbf16ps.512", 16, KT_CPU_AVX512BF16},
    {"llvm.x86.avx512bf16.dpbf16ps.256", 8, KT_CPU_AVX512BF16},
    {"llvm.x86.avx512bf16.dpbf16ps.128", 4, KT_CPU_AVX512BF16},
};
static const wide_name pairs[] = {
    {"llvm.x86.avx512.pmaddw.d.512", 16, KT_CPU_AVX512BW},
    {"llvm.x86.avx2.pmadd.wd", 8, KT_CPU_AVX2},
    {"llvm.x86.sse2.pmadd.wd", 4, 0},
};
enum { NAME_COUNT = 3 };

static const char *find(const kt_emitter *e, const wide_name *names) {
    for (int i = 0; i < NAME_COUNT && e->target->arch == KT_ARCH_X86_64; i++)
        if (names[i].lanes == e->lanes && (e->target->cpu_features & names[i].features) == names[i].features)
            return names[i].name;
    return NULL;
}

static LLVMValueRef shifted(const kt_emitter *e, LLVMOpcode shift, LLVMValueRef x, int64_t bits) {
    return LLVMBuildBinOp(e->builder, shift, x, whole(e, bits), "");
}

/* Two products a lane. words: the emitter of 16-bit lanes. */
static LLVMValueRef multiply_pairs(const kt_emitter *e, const char *name, LLVMValueRef a, LLVMValueRef b,
                                   LLVMValueRef c) {
    kt_emitter words = retyped(e, KT_I16);
    words.lanes = 2 * e->lanes;
    a = LLVMBuildBitCast(e->builder, a, value_type(&words), "");
    b = LLVMBuildBitCast(e->builder, b, value_type(&words), "");
    LLVMValueRef even[] = {LLVMBuildAnd(e->builder, a, whole(&words, 255), ""),
                           shifted(&words, LLVMAShr, shifted(&words, LLVMShl, b, 8), 8)};
    LLVMValueRef odd[] = {shifted(&words, LLVMLShr, a, 8), shifted(&words, LLVMAShr, b, 8)};
    c = LLVMBuildAdd(e->builder, c, kt_emit_intrinsic(e, name, even, 2), "");
    return LLVMBuildAdd(e->builder, c, kt_emit_intrinsic(e, name, odd, 2), "");
}

/* One of the two bf16 in each word. e: the emitter of f32. */
static LLVMValueRef half_of(const kt_emitter *e, LLVMValueRef words, bool odd) {
    LLVMValueRef bits = odd ? LLVMBuildAnd(e->builder, words, bits_num(e, 0xffff0000), "")
                            : LLVMBuildShl(e->builder, words, bits_num(e, 16), "");
    return from_bits(e, bits);
}

static LLVMValueRef dot_bf16(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    const char *name = find(e, wide_dots);
    if (!name) {
        c = kt_emit_fma(e, half_of(e, a, true), half_of(e, b, true), c);
        return kt_emit_fma(e, half_of(e, a, false), half_of(e, b, false), c);
    }
    LLVMTypeRef pairs_type =
        LLVMVectorType(LLVMBFloatTypeInContext(e->context), (unsigned)(KT_BF16_PAIR * e->lanes));
    return kt_emit_intrinsic(e, name,
                             (LLVMValueRef[]){c, LLVMBuildBitCast(e->builder, a, pairs_type, ""),
                                              LLVMBuildBitCast(e->builder, b, pairs_type, "")},
                             3);
}

LLVMValueRef kt_emit_dot(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    if (e->dtype == KT_F32) return dot_bf16(e, a, b, c);
    const char *name = find(e, dots);
    if (name) return kt_emit_intrinsic(e, name, (LLVMValueRef[]){c, a, b}, 3);
    name = find(e, pairs);
    if (name) return multiply_pairs(e, name, a, b, c);
    for (int byte = 0; byte < 4; byte++) {
        LLVMValueRef x = LLVMBuildAnd(e->builder, shifted(e, LLVMLShr, a, 8 * byte), whole(e, 255), "");
        LLVMValueRef y = shifted(e, LLVMAShr, shifted(e, LLVMShl, b, 24 - 8 * byte), 24);
        c = LLVMBuildAdd(e->builder, c, LLVMBuildMul(e->builder, x, y, ""), "");
    }
    return c;
}

LLVMValueRef kt_emit_dot_i16(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    const char *name = find(e, i16_dots);
    if (name) return kt_emit_intrinsic(e, name, (LLVMValueRef[]){c, a, b}, 3);
    name = find(e, pairs);
    if (name) {
        kt_emitter halves = retyped(e, KT_I16);
        halves.lanes = 2 * e->lanes;
        LLVMValueRef args[] = {LLVMBuildBitCast(e->builder, a, value_type(&halves), ""),
                               LLVMBuildBitCast(e->builder, b, value_type(&halves), "")};
        return LLVMBuildAdd(e->builder, c, kt_emit_intrinsic(e, name, args, 2), "");
    }
    for (int half = 0; half < 2; half++) {
        LLVMValueRef x = shifted(e, LLVMAShr, half ? a : shifted(e, LLVMShl, a, 16), 16);
        LLVMValueRef y = shifted(e, LLVMAShr, half ? b : shifted(e, LLVMShl, b, 16), 16);
        c = LLVMBuildAdd(e->builder, c, LLVMBuildMul(e->builder, x, y, ""), "");
    }
    return c;
}
