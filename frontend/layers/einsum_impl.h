/* Einstein sums of two operands: contractions whose axes are named by letters. */
#ifndef KT_FRONTEND_LAYERS_EINSUM_IMPL_H
#define KT_FRONTEND_LAYERS_EINSUM_IMPL_H

#include "frontend/layers/layers_impl.h"

/* "abc,cde->abde" taken apart: a letter for each axis. */
typedef struct kt_einsum {
    char x[KT_MAX_RANK + 1], y[KT_MAX_RANK + 1], result[KT_MAX_RANK + 1];
    /* "...ab,bc->...ac" and "ab...,bc->ac...": the first operand and the result have further axes. */
    bool elided_before, elided_behind;
} kt_einsum;

/* Reads an equation; false if it is none, if a letter stands twice in one operand, or if a letter of the
 * result is in no operand. */
bool kt_einsum_read(const char *equation, kt_einsum *out_einsum);
/* The sum without elided axes: for each letter that is not in the result, over it. */
kt_value kt_einsum_build(kt_builder *builder, const kt_einsum *einsum, kt_value x, kt_value y);
/* The same where the kernel y is i8, divided by scale, which can be broadcast to the result. No letter of x
 * may be summed that y does not have. */
kt_value kt_quantized_product(const kt_layer_call *call, const kt_layer *layer,
                              const kt_keras_quantization *quantization, const kt_einsum *einsum, kt_value x,
                              kt_value kernel, kt_value scale);

#endif
