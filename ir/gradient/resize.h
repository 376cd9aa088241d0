/* Padding and cropping at once, and the arithmetic of windows that slide, turned round: what gradients of slices,
 * windows and convolutions want. */
#ifndef KT_IR_GRADIENT_RESIZE_H
#define KT_IR_GRADIENT_RESIZE_H

#include "ir/ir.h"

/* What size elements take with interior more between neighbours, as pad has it. */
kt_dim kt_gradient_stretched(kt_dim_pool *pool, kt_dim size, int64_t interior);

/* How one axis is resized: elements come before, behind and between; a low or high below 0 takes away what lies there.
 * Where the sign cannot be proved, both are written, and the size of the result is not provable either. */
typedef struct kt_resize {
    kt_dim low, high;
    kt_dim high_sign; /* what has the sign of high and shows it better, or 0 */
    int64_t interior;
} kt_resize;

/* x so resized, axis by axis; what is new is `number`. */
kt_value kt_gradient_resize(kt_builder *builder, kt_value x, double number, const kt_resize *axes);

/* One axis of a window that slides: over low, `size` elements with gaps between (input_dilation of a convolution; else
 * 1), and high. */
typedef struct kt_slid {
    kt_dim size, window, low, high;
    int64_t gap, stride, dilation;
} kt_slid;

/* How to resize what such a window gave, so that the same window, moving by `gap` in steps of 1 and turned round, gives
 * the operand's size again: element by element, what the operand was part of. */
kt_resize kt_gradient_slide_back(kt_dim_pool *pool, const kt_slid *slid);
/* How to resize the operand, its gaps filled, to what the window touches exactly. */
kt_resize kt_gradient_touched(kt_dim_pool *pool, const kt_slid *slid);

#endif
