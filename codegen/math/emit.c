/* Types, constants, intrinsics; and the dispatch of an operation to its emitter, by a table made of ops.def.
 */
#include "codegen/math/math_impl.h"

#include <string.h>

static LLVMTypeRef vector_of(LLVMTypeRef element, int lanes) {
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

LLVMTypeRef kt_emit_type(const kt_emitter *e, kt_dtype dtype, int lanes) {
    switch (dtype) {
    case KT_F32:
    case KT_F16:
    case KT_BF16: return vector_of(LLVMFloatTypeInContext(e->context), lanes);
    case KT_F64: return vector_of(LLVMDoubleTypeInContext(e->context), lanes);
    case KT_BOOL: return vector_of(LLVMInt1TypeInContext(e->context), lanes);
    default:
        KT_ASSERT(kt_dtype_is_integer(dtype));
        return vector_of(LLVMIntTypeInContext(e->context, 8 * (unsigned)kt_dtype_bytes(dtype)), lanes);
    }
}

LLVMTypeRef kt_emit_memory_type(const kt_emitter *e, kt_dtype dtype, int lanes) {
    if (dtype == KT_F16 || dtype == KT_BF16) return vector_of(LLVMInt16TypeInContext(e->context), lanes);
    if (dtype == KT_BOOL) return vector_of(LLVMInt8TypeInContext(e->context), lanes);
    return kt_emit_type(e, dtype, lanes);
}

/* scalar is a constant. */
static LLVMValueRef splat_constant(LLVMValueRef scalar, int lanes) {
    enum { MOST = 512 };
    LLVMValueRef all[MOST];
    KT_ASSERT(lanes <= MOST);
    if (lanes == 1) return scalar;
    for (int i = 0; i < lanes; i++) all[i] = scalar;
    return LLVMConstVector(all, (unsigned)lanes);
}

LLVMValueRef kt_emit_constant(const kt_emitter *e, int64_t integer, double number) {
    LLVMTypeRef type = kt_emit_type(e, e->dtype, 1);
    if (kt_dtype_is_float(e->dtype)) return splat_constant(LLVMConstReal(type, number), e->lanes);
    return splat_constant(LLVMConstInt(type, (unsigned long long)integer, true), e->lanes);
}

LLVMValueRef kt_emit_splat(const kt_emitter *e, LLVMValueRef scalar) {
    if (e->lanes == 1) return scalar;
    if (LLVMIsConstant(scalar)) return splat_constant(scalar, e->lanes);
    LLVMTypeRef type = vector_of(LLVMTypeOf(scalar), e->lanes);
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->context);
    LLVMValueRef one =
        LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar, LLVMConstInt(i32, 0, false), "");
    return LLVMBuildShuffleVector(e->builder, one, LLVMGetPoison(type),
                                  LLVMConstNull(vector_of(i32, e->lanes)), "");
}

LLVMValueRef kt_emit_intrinsic(const kt_emitter *e, const char *name, const LLVMValueRef *args,
                               unsigned count) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    KT_ASSERT(id != 0);
    LLVMTypeRef type = LLVMTypeOf(args[0]);
    size_t types = LLVMIntrinsicIsOverloaded(id) ? 1 : 0;
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, &type, types);
    LLVMTypeRef signature = LLVMIntrinsicGetType(e->context, id, &type, types);
    return LLVMBuildCall2(e->builder, signature, function, (LLVMValueRef *)args, count, "");
}

LLVMValueRef kt_emit_fma(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    if (!kt_dtype_is_float(e->dtype))
        return LLVMBuildAdd(e->builder, LLVMBuildMul(e->builder, a, b, ""), c, "");
    LLVMValueRef args[] = {a, b, c};
    LLVMValueRef value = kt_emit_intrinsic(e, "llvm.fmuladd", args, 3);
    bool half = e->dtype == KT_F16 || e->dtype == KT_BF16;
    return half ? kt_emit_round_half(e, e->dtype, value) : value;
}

LLVMValueRef kt_emit_polynomial(const kt_emitter *e, LLVMValueRef x, const double *coefficients, int count) {
    LLVMValueRef sum = num(e, coefficients[count - 1]);
    for (int i = count - 2; i >= 0; i--) sum = mad(e, sum, x, num(e, coefficients[i]));
    return sum;
}

LLVMValueRef kt_emit_wide(const kt_emitter *e, unary_emitter *emit, LLVMValueRef x) {
    kt_emitter wide = retyped(e, KT_F64);
    LLVMValueRef value = emit(&wide, LLVMBuildFPExt(e->builder, x, value_type(&wide), ""));
    return LLVMBuildFPTrunc(e->builder, value, value_type(e), "");
}

LLVMValueRef kt_emit_wide2(const kt_emitter *e, binary_emitter *emit, LLVMValueRef x, LLVMValueRef y) {
    kt_emitter wide = retyped(e, KT_F64);
    LLVMTypeRef type = value_type(&wide);
    LLVMValueRef value =
        emit(&wide, LLVMBuildFPExt(e->builder, x, type, ""), LLVMBuildFPExt(e->builder, y, type, ""));
    return LLVMBuildFPTrunc(e->builder, value, value_type(e), "");
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static unary_emitter *const unary_emitters[KT_OP_COUNT] = {
#define KT_UNARY(name, domain, gradient, doc) [KT_OP_##name] = kt_emit_##name,
#define KT_BINARY(name, domain, traits, gradient, doc)
#define KT_COMPARE(name, domain, doc)
#include "ir/ops.def"
};

static binary_emitter *const binary_emitters[KT_OP_COUNT] = {
#define KT_UNARY(name, domain, gradient, doc)
#define KT_BINARY(name, domain, traits, gradient, doc) [KT_OP_##name] = kt_emit_##name,
#define KT_COMPARE(name, domain, doc)                  [KT_OP_##name] = kt_emit_##name,
#include "ir/ops.def"
};

LLVMValueRef kt_emit_apply(const kt_emitter *e, kt_op op, kt_dtype result, LLVMValueRef a, LLVMValueRef b,
                           LLVMValueRef c) {
    if (op == KT_OP_select) return LLVMBuildSelect(e->builder, a, b, c, "");
    if (op == KT_OP_cast) return kt_emit_cast(e, result, a);
    bool half = e->dtype == KT_F16 || e->dtype == KT_BF16;
    kt_emitter plain = half ? retyped(e, KT_F32) : *e;
    KT_ASSERT(unary_emitters[op] || binary_emitters[op]);
    LLVMValueRef value =
        unary_emitters[op] ? unary_emitters[op](&plain, a) : binary_emitters[op](&plain, a, b);
    return half && result == e->dtype ? kt_emit_round_half(e, e->dtype, value) : value;
}

/* Lanes first … first + count - 1 of vector. */
LLVMValueRef kt_emit_lanes(const kt_emitter *e, LLVMValueRef vector, int first, int count) {
    LLVMValueRef picks[256];
    KT_ASSERT(count <= 256);
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->context);
    for (int i = 0; i < count; i++) picks[i] = LLVMConstInt(i32, (unsigned)(first + i), false);
    if (count == 1) return LLVMBuildExtractElement(e->builder, vector, picks[0], "");
    return LLVMBuildShuffleVector(e->builder, vector, LLVMGetPoison(LLVMTypeOf(vector)),
                                  LLVMConstVector(picks, (unsigned)count), "");
}

LLVMValueRef kt_emit_fold(const kt_emitter *e, kt_reduction kind, LLVMValueRef vector) {
    static const kt_op ops[] = {[KT_REDUCE_SUM] = KT_OP_add,
                                [KT_REDUCE_PRODUCT] = KT_OP_mul,
                                [KT_REDUCE_MAXIMUM] = KT_OP_maximum,
                                [KT_REDUCE_MINIMUM] = KT_OP_minimum};
    kt_op op = ops[kind];
    bool picks = kind == KT_REDUCE_MAXIMUM || kind == KT_REDUCE_MINIMUM;
    if (e->dtype == KT_BOOL) op = kind == KT_REDUCE_MAXIMUM || kind == KT_REDUCE_SUM ? KT_OP_or : KT_OP_and;
    LLVMRealPredicate better = kind == KT_REDUCE_MAXIMUM ? LLVMRealOGT : LLVMRealOLT;
    kt_emitter half = *e;
    while (half.lanes > 1) {
        KT_ASSERT(half.lanes % 2 == 0);
        half.lanes /= 2;
        LLVMValueRef low = kt_emit_lanes(e, vector, 0, half.lanes);
        LLVMValueRef high = kt_emit_lanes(e, vector, half.lanes, half.lanes);
        if (picks && kt_dtype_is_float(e->dtype))
            vector = choose(e, LLVMBuildFCmp(e->builder, better, low, high, ""), low, high);
        else
            vector = kt_emit_apply(&half, op, e->dtype, low, high, NULL);
    }
    return vector;
}
