/* Layers that mix the images of a batch, each with another: what they do in training. */
#include "frontend/layers/images/augmentation_impl.h"

#include <math.h>

/* The images in another order. */
static kt_value shuffle(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_value order = kt_random_permutation(layer, trace, self->seed, images->type.dims[0]);
    return kt_build_gather(trace->builder, images->value, order, 0, 0);
}

static kt_value rest_of(kt_builder *b, kt_value share) {
    return kt_build_sub(b, kt_build_like(b, share, 1), share);
}

/* ---- MixUp: a mean of two images, as a beta distribution weighs them ------------------------- */
kt_value kt_augment_mix_up(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    if (!(self->alpha >= 0)) {
        kt_trace_fail(trace, KT_INVALID, "the option 'alpha' must not be negative.");
        return 0;
    }
    const kt_type each = {.dtype = KT_F32, .rank = 1, .dims = {images->type.dims[0]}};
    kt_value others = shuffle(layer, trace, images);
    kt_value share = kt_random_beta(layer, trace, self->seed, kt_build_fill(b, &each, self->alpha));
    if (!share) return 0;
    kt_trace_at(trace, "mix");
    share = kt_augment_spread(b, kt_build_cast(b, share, images->type.dtype), images);
    return kt_build_add(b, kt_build_mul(b, share, images->value), kt_build_mul(b, rest_of(b, share), others));
}

/* ---- CutMix: a part of another image in its place, of a share that a beta distribution draws ---- */
/* The parts, of some share of the images' lengths, along an axis: bool in the images' shape. */
static kt_value draw_parts(kt_layer *layer, kt_trace *trace, const kt_images *images, int axis,
                           kt_value share) {
    kt_builder *b = trace->builder;
    kt_type places = images->type;
    kt_value length = kt_dim_like(b, share, images->type.dims[axis]);
    kt_value part = kt_build_mul(b, share, length);
    kt_value start = kt_augment_draw(layer, trace, images, images->type.dtype, (const double[]){0, 1});
    kt_trace_at(trace, "part");
    start = kt_build_mul(b, start, kt_build_sub(b, length, part));
    kt_value end = kt_augment_spread(b, kt_build_add(b, start, part), images);
    kt_value at = kt_build_iota(b, &places, axis);
    return kt_build_and(b, kt_build_ge(b, at, kt_augment_spread(b, start, images)), kt_build_lt(b, at, end));
}

/* All images share what is drawn for the distribution. */
kt_value kt_augment_cut_mix(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    const kt_type scalar = {.dtype = images->type.dtype};
    double range[2];
    kt_augment_range(self->factor, 0, range);
    if (!images->batched) return images->value;
    if (!(range[0] >= 0 && range[1] <= 1)) {
        kt_trace_fail(trace, KT_INVALID, "the option 'factor' must be from 0 to 1.");
        return 0;
    }
    kt_value alpha = kt_random_between(layer, trace, self->seed, &scalar, range[0], range[1]);
    alpha = kt_build_broadcast_to(b, kt_add_number(b, alpha, 1e-6), 1, images->type.dims);
    kt_value share = kt_random_beta(layer, trace, self->seed, alpha);
    if (!share) return 0;
    share = kt_build_sqrt(b, rest_of(b, share));
    kt_value columns = draw_parts(layer, trace, images, 2, share);
    kt_value rows = draw_parts(layer, trace, images, 1, share);
    kt_value others = shuffle(layer, trace, images);
    return kt_build_select(b, kt_build_and(b, columns, rows), others, images->value);
}
