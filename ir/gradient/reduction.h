/* Zeros in products, which gradients of reductions and of windows treat alike. */
#ifndef KT_IR_GRADIENT_REDUCTION_H
#define KT_IR_GRADIENT_REDUCTION_H

#include "ir/gradient/gradient_impl.h"

kt_value kt_gradient_is_zero(const kt_vjp *v, kt_value x);
/* x with 1 in place of 0 */
kt_value kt_gradient_without_zeros(const kt_vjp *v, kt_value x);
/* The derivative by x of a product of x and others, with cotangent g: product is that of all that are not 0, and zeros
 * says how many are. All are of x's type. */
kt_value kt_gradient_of_factor(const kt_vjp *v, kt_value g, kt_value x, kt_value product, kt_value zeros);

#endif
