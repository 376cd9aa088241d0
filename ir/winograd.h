/* Winograd's minimal filtering F(m x m, 3 x 3): the matrices of the operation `winograd`.
 *
 * m outputs of a filter with 3 taps cost m + 2 products instead of 3 m:
 *
 *     y = output * ((kernel * g) ∘ (input * d))        along one axis, d: m + 2 neighbouring inputs
 *
 * and along both axes of an image (m + 2)^2 instead of 9 m^2 (Winograd 1980; Lavin and Gray,
 * arXiv:1509.09308). The construction is Toom and Cook's: polynomials are evaluated at points, multiplied
 * there, and interpolated. The points decide how much rounding grows. They are 0, infinity and pairs p, -p:
 * for m = 4 the pairs 2/3 and 3/2, whose product is 1, keep the error near a direct sum's, where the usual 1
 * and 2 lose a decimal digit. */
#ifndef KT_IR_WINOGRAD_H
#define KT_IR_WINOGRAD_H

enum { KT_WINOGRAD_WINDOW = 3, KT_WINOGRAD_MOST_POINTS = 6 };

typedef struct kt_winograd {
    int tile, points; /* m, and m + 2 */
    /* Rows 2 i - 1 and 2 i of kernel and input, and these columns of output, belong to a pair of points: they
     * differ in sign where the other index is odd. */
    double kernel[KT_WINOGRAD_MOST_POINTS][KT_WINOGRAD_WINDOW];
    double input[KT_WINOGRAD_MOST_POINTS][KT_WINOGRAD_MOST_POINTS];
    double output[KT_WINOGRAD_MOST_POINTS - 2][KT_WINOGRAD_MOST_POINTS];
} kt_winograd;

/* tile: 2 or 4. */
kt_winograd kt_winograd_make(int tile);

#endif
