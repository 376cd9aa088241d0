/* The construction of Winograd's matrices from their points. */
#include "ir/winograd.h"

/* polynomial *= x - root; degree: before. */
static void multiply(double *polynomial, int degree, double root) {
    polynomial[degree + 1] = 0;
    for (int i = degree + 1; i > 0; i--) polynomial[i] = polynomial[i - 1] - root * polynomial[i];
    polynomial[0] *= -root;
}

kt_winograd kt_winograd_make(int tile, int line, int axis, bool bytes) {
    if (line && line != axis + 1)
        return (kt_winograd){
            .tile = 1, .points = 1, .window = 1, .kernel = {{1}}, .input = {{1}}, .output = {{1}}};
    static const double two[] = {0, 1, -1}, four[] = {0, 2.0 / 3, -2.0 / 3, 1.5, -1.5},
                        whole[] = {0, 1, -1, 2, -2};
    const double *points = bytes ? whole : tile == 2 ? two : four;
    const double factor = bytes ? 24 : 1, last = bytes ? 8 : 1;
    int finite = tile + 1; /* the last point is infinity */
    kt_winograd w = {.tile = tile, .points = tile + 2, .window = KT_WINOGRAD_WINDOW};
    for (int i = 0; i < finite; i++) {
        double scale = 1, power = 1;
        int degree = 0;
        w.input[i][0] = 1;
        for (int k = 0; k < finite; k++) {
            if (k == i) continue;
            multiply(w.input[i], degree++, points[k]);
            scale *= points[i] - points[k];
        }
        for (int k = 0; k < KT_WINOGRAD_WINDOW || k < tile; k++, power *= points[i]) {
            if (k < KT_WINOGRAD_WINDOW) w.kernel[i][k] = factor * power / scale;
            if (k < tile) w.output[k][i] = power;
        }
    }
    w.input[finite][0] = 1;
    w.kernel[finite][KT_WINOGRAD_WINDOW - 1] = last;
    w.output[tile - 1][finite] = factor / last;
    for (int k = 0; k < finite; k++) multiply(w.input[finite], k, points[k]);
    return w;
}
