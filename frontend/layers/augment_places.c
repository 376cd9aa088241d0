/* Layers that move what images show: what they do in training. */
#include "frontend/layers/augmentation_impl.h"

#include <string.h>

/* ---- RandomFlip: an image is mirrored along all of its mode's axes, or along none
 * ---------------------------- */
kt_value kt_augment_flip(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    static const struct {
        const char *mode;
        int64_t axis;
    } mirrors[] = {{"horizontal", 2}, {"vertical", 1}};
    kt_builder *b = trace->builder;
    kt_value drawn = kt_augment_draw(layer, trace, images, KT_F32, (const double[]){0, 1});
    kt_trace_at(trace, "flip");
    kt_value flips = kt_build_le(b, drawn, kt_build_like(b, drawn, 0.5)), x = images->value;
    flips = kt_augment_spread(b, flips, images);
    for (size_t i = 0; i < sizeof mirrors / sizeof *mirrors; i++)
        if (strstr(((const kt_augmentation *)layer)->mode, mirrors[i].mode))
            x = kt_build_select(b, flips, kt_build_reverse(b, x, 1, &mirrors[i].axis), x);
    return x;
}
