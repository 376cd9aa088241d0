/* Winograd's minimal filtering F(m x m, 3 x 3), and F(m, 3) along one axis: the matrices of the operation
 * `winograd`.
 *
 * m outputs of a filter with 3 taps cost m + 2 products instead of 3 m:
 *
 *     y = output * ((kernel * g) ∘ (input * d))        along one axis, d: m + 2 neighbouring inputs
 *
 * and along both axes of an image (m + 2)^2 instead of 9 m^2 (Winograd 1980; Lavin and Gray,
 * arXiv:1509.09308). The construction is Toom and Cook's: polynomials are evaluated at points, multiplied
 * there, and interpolated. The points decide how much rounding grows. They are 0, infinity and pairs p, -p:
 * for m = 4 the pairs 2/3 and 3/2, whose product is 1, keep the error near a direct sum's, where the usual 1
 * and 2 lose a decimal digit.
 *
 * Of bytes, the points are 1 and 2, and everything is whole: kernels are multiplied by 24 along each axis, but by
 * 8 at infinity, where `output` makes up for it. Transformed inputs and kernels fit into 16 bits. What is
 * summed may wrap around 32 bits: outputs are times 576, and since 1 / 9 is a number modulo 2^32, only the 6 bits
 * of 64 are lost, which results of up to 112 channels leave free. */
#ifndef KT_IR_WINOGRAD_H
#define KT_IR_WINOGRAD_H

#include <stdbool.h>

enum {
    KT_WINOGRAD_WINDOW = 3,
    KT_WINOGRAD_MOST_POINTS = 6,
    KT_WINOGRAD_MOST_BYTES = 112,           /* channels of bytes: 9 * 112 * 255 * 128 < 2^25 */
    KT_WINOGRAD_PAIR = 2,                   /* channels of a transformed kernel of bytes that lie side by side */
    KT_WINOGRAD_NINTH = 954437177,          /* times 9 is 1 modulo 2^32 */
    KT_WINOGRAD_SHIFT = 6,                  /* 576 = 9 * 2^6 */
};

typedef struct kt_winograd {
    int tile, points, window; /* m, m + 2, and 3; or all 1, along an axis on which nothing is filtered */
    /* Rows 2 i - 1 and 2 i of kernel and input, and these columns of output, belong to a pair of points: they
     * differ in sign where the other index is odd. */
    double kernel[KT_WINOGRAD_MOST_POINTS][KT_WINOGRAD_WINDOW];
    double input[KT_WINOGRAD_MOST_POINTS][KT_WINOGRAD_MOST_POINTS];
    double output[KT_WINOGRAD_MOST_POINTS - 2][KT_WINOGRAD_MOST_POINTS];
} kt_winograd;

/* Along an axis of the operation with these attributes, height (0) or width (1). tile: 2 or 4; 4 of bytes. */
kt_winograd kt_winograd_make(int tile, int line, int axis, bool bytes);

#endif
