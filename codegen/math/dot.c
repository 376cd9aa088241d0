/* Sums of four products of bytes, for quantised contractions.
 *
 * AVX-512 VNNI has an instruction for it. Elsewhere on x86 the bytes are spread over 16-bit lanes, even and
 * odd ones apart, and multiplied in pairs by pmaddwd: two products of an unsigned and a signed byte fit into
 * 32 bits, so nothing is lost. (pmaddubsw would need no spreading, but saturates at 16 bits.) Anything else
 * is multiplied in lanes of 32 bits. All three give the same integers. */
#include "codegen/math/math_impl.h"

#include <string.h>

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

static LLVMValueRef call(const kt_emitter *e, const char *name, LLVMValueRef *args, unsigned count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0);
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->context, id, NULL, 0), function, args, count,
                          "");
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
    c = LLVMBuildAdd(e->builder, c, call(e, name, even, 2), "");
    return LLVMBuildAdd(e->builder, c, call(e, name, odd, 2), "");
}

LLVMValueRef kt_emit_dot(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    const char *name = find(e, dots);
    if (name) return call(e, name, (LLVMValueRef[]){c, a, b}, 3);
    name = find(e, pairs);
    if (name) return multiply_pairs(e, name, a, b, c);
    for (int byte = 0; byte < 4; byte++) {
        LLVMValueRef x = LLVMBuildAnd(e->builder, shifted(e, LLVMLShr, a, 8 * byte), whole(e, 255), "");
        LLVMValueRef y = shifted(e, LLVMAShr, shifted(e, LLVMShl, b, 24 - 8 * byte), 24);
        c = LLVMBuildAdd(e->builder, c, LLVMBuildMul(e->builder, x, y, ""), "");
    }
    return c;
}
