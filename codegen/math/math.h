/* The elementwise operations of ops.def as inline LLVM IR, for scalars and vectors of any lanes.
 *
 * No vector is ever taken apart for a library call, but for the remainder of floats (libm's fmod) and the
 * sines of arguments past 2^20, so elementwise chains stay in registers. A lane's result depends on that
 * lane's operands only. Values of f16 and bf16 are f32 in registers, rounded after every operation; bool is
 * i1 in registers. Bounds on errors: docs/accuracy.md. */
#ifndef KT_CODEGEN_MATH_H
#define KT_CODEGEN_MATH_H

#include "codegen/target.h"

#include <llvm-c/Core.h>

/* Where code goes, and what the operands are. */
typedef struct kt_emitter {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    const kt_target *target;
    kt_dtype dtype; /* of the operands; of a select: of the second and third */
    int lanes;
} kt_emitter;

/* The LLVM type of a register: f16 and bf16 are float, bool is i1. */
LLVMTypeRef kt_emit_type(const kt_emitter *e, kt_dtype dtype, int lanes);
/* The LLVM type of an element in memory: f16 and bf16 are i16, bool is i8. */
LLVMTypeRef kt_emit_memory_type(const kt_emitter *e, kt_dtype dtype, int lanes);
/* Between the two; e's dtype and lanes. */
LLVMValueRef kt_emit_unpack(const kt_emitter *e, LLVMValueRef memory);
LLVMValueRef kt_emit_pack(const kt_emitter *e, LLVMValueRef value);
/* A constant in all lanes: number if e's dtype is a float, else integer. */
LLVMValueRef kt_emit_constant(const kt_emitter *e, int64_t integer, double number);
LLVMValueRef kt_emit_splat(const kt_emitter *e, LLVMValueRef scalar);
/* a * b + c, fused where the target can. */
LLVMValueRef kt_emit_fma(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* f32: e^x for x up to 0, as exact as e^(x (1 + d)) with |d| < 2^-23 or so; it may be less, or 0, where that is subnormal (exp.c). */
LLVMValueRef kt_emit_exp_up_to_0(const kt_emitter *e, LLVMValueRef x);
/* i32: c + the sum of the four products of a's bytes, unsigned, by b's, signed; exact (dot.c). */
LLVMValueRef kt_emit_dot(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef kt_emit_dot_i16(const kt_emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c); /* likewise of two i16 */
/* Any elementwise operation; result: the dtype it gives, which matters for casts. Unused operands are NULL.
 */
LLVMValueRef kt_emit_apply(const kt_emitter *e, kt_op op, kt_dtype result, LLVMValueRef a, LLVMValueRef b,
                           LLVMValueRef c);
/* All lanes of a vector combined, always in the same order: halves upon halves. The largest or smallest
 * float where none is NaN. */
LLVMValueRef kt_emit_fold(const kt_emitter *e, kt_reduction kind, LLVMValueRef vector);

#endif
