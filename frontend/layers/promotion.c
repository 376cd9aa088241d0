/* What dtype operations on several dtypes compute in: Keras's result_type, as it is on TensorFlow.
 *
 * Keras orders dtypes in a lattice. Python's numbers stand in it too: an int below all integers, a float
 * between the integers of 64 bits and all floats. The result is the least that is above all operands; a set
 * of what is above is a set of bits here, so that the least is the lowest bit. */
#include "frontend/layers/layers_impl.h"

#include <strings.h>

/* In an order in which everything stands behind what it is above. */
enum { BOOL, WEAK_INT, U8, U16, U32, U64, I8, I16, I32, I64, WEAK_FLOAT, BF16, F16, F32, F64, COUNT };

#define BIT(node)        (1U << (node))
#define ABOVE_F64        BIT(F64)
#define ABOVE_F32        (BIT(F32) | ABOVE_F64)
#define ABOVE_F16        (BIT(F16) | ABOVE_F32)
#define ABOVE_BF16       (BIT(BF16) | ABOVE_F32)
#define ABOVE_WEAK_FLOAT (BIT(WEAK_FLOAT) | ABOVE_F16 | ABOVE_BF16)
#define ABOVE_I64        (BIT(I64) | ABOVE_WEAK_FLOAT)
#define ABOVE_I32        (BIT(I32) | ABOVE_I64)
#define ABOVE_I16        (BIT(I16) | ABOVE_I32)
#define ABOVE_I8         (BIT(I8) | ABOVE_I16)
#define ABOVE_U64        (BIT(U64) | ABOVE_WEAK_FLOAT)
#define ABOVE_U32        (BIT(U32) | ABOVE_U64 | ABOVE_I64)
#define ABOVE_U16        (BIT(U16) | ABOVE_U32 | ABOVE_I32)
#define ABOVE_U8         (BIT(U8) | ABOVE_U16 | ABOVE_I16)
#define ABOVE_WEAK_INT   (BIT(WEAK_INT) | ABOVE_U8 | ABOVE_I8)
#define ABOVE_BOOL       (BIT(BOOL) | ABOVE_WEAK_INT)

static const kt_promotion above[KT_DTYPE_COUNT] = {
    [KT_BOOL] = ABOVE_BOOL, [KT_U8] = ABOVE_U8,   [KT_U16] = ABOVE_U16, [KT_U32] = ABOVE_U32,
    [KT_U64] = ABOVE_U64,   [KT_I8] = ABOVE_I8,   [KT_I16] = ABOVE_I16, [KT_I32] = ABOVE_I32,
    [KT_I64] = ABOVE_I64,   [KT_F16] = ABOVE_F16, [KT_F32] = ABOVE_F32, [KT_F64] = ABOVE_F64,
    [KT_BF16] = ABOVE_BF16,
};

/* Keras makes float32 and int32 of Python's numbers, and uint32 of uint64 even where all operands are of it.
 */
static const kt_dtype resolved[COUNT] = {
    [BOOL] = KT_BOOL, [WEAK_INT] = KT_I32,   [U8] = KT_U8,     [U16] = KT_U16, [U32] = KT_U32,
    [U64] = KT_U32,   [I8] = KT_I8,          [I16] = KT_I16,   [I32] = KT_I32, [I64] = KT_I64,
    [F32] = KT_F32,   [WEAK_FLOAT] = KT_F32, [BF16] = KT_BF16, [F16] = KT_F16, [F64] = KT_F64,
};

kt_promotion kt_promotion_of(kt_dtype dtype) { return above[dtype]; }

kt_promotion kt_promotion_of_number(kt_dtype kind) {
    if (kind == KT_BOOL) return ABOVE_BOOL;
    return kt_dtype_is_float(kind) ? ABOVE_WEAK_FLOAT : ABOVE_WEAK_INT;
}

kt_dtype kt_promoted(kt_promotion common) { return common ? resolved[ffs((int)common) - 1] : KT_STRING; }

kt_dtype kt_dtype_promote(kt_dtype a, kt_dtype b) { return kt_promoted(above[a] & above[b]); }

void kt_matmul_dtypes(kt_dtype a, kt_dtype b, kt_dtype *out_compute, kt_dtype *out_result) {
    kt_promotion common = above[a] & above[b];
    bool bytes = a == KT_I8 && b == KT_I8;
    *out_compute = bytes ? KT_I32 : kt_promoted(common & ABOVE_WEAK_FLOAT);
    *out_result = bytes ? KT_I32 : kt_promoted(common);
}
