/* Division, powers and shifts: where integers have cases that C and LLVM leave undefined. Quotients and
 * powers of floats start here too, since ops.def gives both to one operation. */
#include "codegen/math/math_impl.h"

static bool is_unsigned(const kt_emitter *e) { return kt_dtype_is_unsigned_integer(e->dtype); }
static LLVMValueRef is_int(const kt_emitter *e, LLVMValueRef x, int64_t value) {
    return LLVMBuildICmp(e->builder, LLVMIntEQ, x, whole(e, value), "");
}

/* Neither a divisor of 0 nor the most negative number over -1 reaches the machine, where both would trap:
 * 1 divides instead, and the result is chosen afterwards. */
static LLVMValueRef divide(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y, bool want_remainder) {
    LLVMBuilderRef b = e->builder;
    LLVMValueRef by_zero = is_int(e, y, 0), zero = whole(e, 0), one = whole(e, 1);
    if (is_unsigned(e)) {
        LLVMValueRef safe = choose(e, by_zero, one, y);
        LLVMValueRef value = want_remainder ? LLVMBuildURem(b, x, safe, "") : LLVMBuildUDiv(b, x, safe, "");
        return choose(e, by_zero, zero, value);
    }
    LLVMValueRef by_minus_one = is_int(e, y, -1);
    LLVMValueRef safe = choose(e, LLVMBuildOr(b, by_zero, by_minus_one, ""), one, y);
    LLVMValueRef value = want_remainder ? LLVMBuildSRem(b, x, safe, "") : LLVMBuildSDiv(b, x, safe, "");
    if (!want_remainder) value = choose(e, by_minus_one, LLVMBuildNeg(b, x, ""), value);
    return choose(e, by_zero, zero, value);
}

LLVMValueRef kt_emit_div(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return kt_dtype_is_float(e->dtype) ? quotient(e, x, y) : divide(e, x, y, false);
}

LLVMValueRef kt_emit_rem(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return kt_dtype_is_float(e->dtype) ? LLVMBuildFRem(e->builder, x, y, "") : divide(e, x, y, true);
}

/* By squaring, over all bits of the exponent, lowest first. */
static LLVMValueRef integer_power(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    LLVMBuilderRef b = e->builder;
    LLVMTypeRef type = value_type(e);
    LLVMTypeRef i32 = LLVMInt32TypeInContext(e->context);
    unsigned width = 8 * (unsigned)kt_dtype_bytes(e->dtype);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(b);
    LLVMValueRef function = LLVMGetBasicBlockParent(before);
    LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(e->context, function, "power");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, function, "power.end");
    LLVMBuildBr(b, loop);
    LLVMPositionBuilderAtEnd(b, loop);
    LLVMValueRef turn = LLVMBuildPhi(b, i32, ""), result = LLVMBuildPhi(b, type, "");
    LLVMValueRef base = LLVMBuildPhi(b, type, ""), left = LLVMBuildPhi(b, type, "");
    LLVMValueRef odd = is_int(e, LLVMBuildAnd(b, left, whole(e, 1), ""), 1);
    LLVMValueRef next_result = choose(e, odd, LLVMBuildMul(b, result, base, ""), result);
    LLVMValueRef next_base = LLVMBuildMul(b, base, base, "");
    LLVMValueRef next_left = LLVMBuildLShr(b, left, whole(e, 1), "");
    LLVMValueRef next_turn = LLVMBuildAdd(b, turn, LLVMConstInt(i32, 1, false), "");
    LLVMValueRef more = LLVMBuildICmp(b, LLVMIntULT, next_turn, LLVMConstInt(i32, width, false), "");
    LLVMBuildCondBr(b, more, loop, after);
    LLVMBasicBlockRef from[] = {before, loop};
    LLVMValueRef turns[] = {LLVMConstInt(i32, 0, false), next_turn}, results[] = {whole(e, 1), next_result};
    LLVMValueRef bases[] = {x, next_base}, lefts[] = {y, next_left};
    LLVMAddIncoming(turn, turns, from, 2);
    LLVMAddIncoming(result, results, from, 2);
    LLVMAddIncoming(base, bases, from, 2);
    LLVMAddIncoming(left, lefts, from, 2);
    LLVMPositionBuilderAtEnd(b, after);
    if (is_unsigned(e)) return next_result;
    /* 1/x is 0, but for x = 1 and x = -1, whose powers -y and y are the same. */
    LLVMValueRef unit = LLVMBuildOr(b, is_int(e, x, 1), is_int(e, x, -1), "");
    LLVMValueRef negative = LLVMBuildICmp(b, LLVMIntSLT, y, whole(e, 0), "");
    LLVMValueRef vanishes = LLVMBuildAnd(b, negative, LLVMBuildNot(b, unit, ""), "");
    return choose(e, vanishes, whole(e, 0), next_result);
}

LLVMValueRef kt_emit_pow(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    return kt_dtype_is_float(e->dtype) ? kt_emit_power(e, x, y) : integer_power(e, x, y);
}

/* Is y a bit position? Negative ones are large when taken as unsigned. */
static LLVMValueRef is_position(const kt_emitter *e, LLVMValueRef y) {
    return LLVMBuildICmp(e->builder, LLVMIntULT, y, whole(e, 8 * (int64_t)kt_dtype_bytes(e->dtype)), "");
}

LLVMValueRef kt_emit_shift_left(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    LLVMValueRef inside = is_position(e, y), zero = whole(e, 0);
    LLVMValueRef shifted = LLVMBuildShl(e->builder, x, choose(e, inside, y, zero), "");
    return choose(e, inside, shifted, zero);
}

LLVMValueRef kt_emit_shift_right(const kt_emitter *e, LLVMValueRef x, LLVMValueRef y) {
    LLVMValueRef inside = is_position(e, y);
    if (!is_unsigned(e)) {
        LLVMValueRef most = whole(e, 8 * (int64_t)kt_dtype_bytes(e->dtype) - 1);
        return LLVMBuildAShr(e->builder, x, choose(e, inside, y, most), "");
    }
    LLVMValueRef zero = whole(e, 0);
    LLVMValueRef shifted = LLVMBuildLShr(e->builder, x, choose(e, inside, y, zero), "");
    return choose(e, inside, shifted, zero);
}
