/* RandomElasticTransform in training: every pixel is taken from a place near it, and neighbours from places
 * that move much alike.
 *
 * How far places move is noise that is blurred, both about as far as a drawn share of the images' size says.
 * Keras on TensorFlow draws the noise down and to the right from one seed, so that they are the same, and all
 * places move along a diagonal. */
#include "frontend/layers/images/augmentation_impl.h"
#include "frontend/layers/windows_impl.h"

#include <math.h>
#include <string.h>

/* The numbers that are drawn for a batch, scalars. */
typedef struct strength {
    kt_value alpha, sigma; /* what moves are multiplied with; how far they are blurred */
    int64_t taps;          /* of a blur, at most */
} strength;

static kt_value scaled(kt_builder *b, kt_value x, double scale) {
    return kt_build_mul(b, x, kt_build_like(b, x, scale));
}

/* alpha 0 and a problem where a blur would take too many pixels, or less than none. */
static strength draw_strength(kt_layer *layer, kt_trace *trace, const int64_t size[2],
                              const double range[2]) {
    static const double reach = 0.1, blur = 0.05, slack = 1.01; /* as a number of few bits is rounded */
    enum { MOST_TAPS = (1 << 10) - 1 };
    kt_builder *b = trace->builder;
    const kt_type scalar = {.dtype = layer->compute_dtype};
    double longest = (double)(size[0] > size[1] ? size[0] : size[1]);
    double shortest = (double)(size[0] < size[1] ? size[0] : size[1]);
    double taps = 6 * trunc(shortest * blur * range[1] * slack) + 1;
    if (trunc(shortest * blur * range[0] * slack) < 0) {
        kt_trace_fail(trace, KT_INVALID,
                      "the option 'scale' must be at least 0 for images as large as these.");
        return (strength){0};
    }
    if (taps > MOST_TAPS) {
        kt_trace_fail(trace, KT_UNSUPPORTED, "the option 'scale' blurs over %.0f pixels, more than %d.", taps,
                      MOST_TAPS);
        return (strength){0};
    }
    kt_value drawn =
        kt_random_between(layer, trace, ((const kt_augmentation *)layer)->seed, &scalar, range[0], range[1]);
    return (strength){.alpha = scaled(b, scaled(b, drawn, reach), longest),
                      .sigma = scaled(b, scaled(b, drawn, blur), shortest),
                      .taps = (int64_t)taps};
}

/* x, [batch, height, width, 1], blurred by a normal distribution that ends at three times sigma's whole part.
 */
static kt_value blur(kt_builder *b, kt_value x, const strength *s) {
    static const kt_sliding plain = {.strides = {2, {1, 1}}, .dilation = {2, {1, 1}}, .padding = "same"};
    kt_dim_pool *dims = b->graph->dims;
    const kt_dim one = kt_dim_const(dims, 1), taps = kt_dim_const(dims, s->taps);
    if (s->taps == 1) return x;
    kt_value sigma = kt_build_reshape(b, s->sigma, 1, &one);
    kt_value bell = kt_augment_bell(b, sigma, s->taps, scaled(b, kt_build_trunc(b, sigma), 3));
    x = kt_convolve(b, x, kt_build_reshape(b, bell, 4, (kt_dim[]){taps, one, one, one}), &plain, 1);
    return kt_convolve(b, x, kt_build_reshape(b, bell, 4, (kt_dim[]){one, taps, one, one}), &plain, 1);
}

kt_value kt_augment_elastic(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    kt_type field = images->type;
    double factor[2], scale[2], range[2];
    int64_t size[2];
    for (int i = 0; i < 2; i++) {
        if (kt_dim_is_const(b->graph->dims, field.dims[i + 1], &size[i])) continue;
        kt_trace_fail(trace, KT_UNSUPPORTED, "its images need a known height and width.");
        return 0;
    }
    if (strcmp(self->fill_mode, "mirror") == 0) {
        kt_trace_fail(
            trace, KT_UNSUPPORTED,
            "the option 'fill_mode' must not be 'mirror' in training, where Keras does not take it either.");
        return 0;
    }
    kt_augment_range(self->factor, 0, factor);
    kt_augment_range(self->scale, 0, scale);
    if (factor[1] == 0 || scale[1] == 0) return images->value;
    kt_value chosen = kt_augment_choose(layer, trace, images);
    strength s = draw_strength(layer, trace, size, scale);
    if (!s.alpha) return 0;
    field.dims[3] = kt_dim_const(b->graph->dims, 1);
    kt_value move = kt_random_normal(layer, trace, self->seed, &field);
    kt_trace_at(trace, "elastic");
    kt_value sigma = kt_build_broadcast_to(b, s.sigma, field.rank, field.dims);
    move = blur(b, kt_build_mul(b, move, sigma), &s);
    move = kt_build_mul(b, move, kt_build_broadcast_to(b, s.alpha, field.rank, field.dims));
    move = kt_drop_axis(b, move, 3);
    field = *kt_build_type(b, move);
    const kt_value places[] = {kt_build_add(b, kt_build_iota(b, &field, 1), move),
                               kt_build_add(b, kt_build_iota(b, &field, 2), move)};
    const kt_image_reading how = {.interpolation = self->interpolation,
                                  .fill_mode = self->fill_mode,
                                  .fill_value = json_number_value(self->fill_value)};
    kt_value warped = kt_images_warp(b, images, places, &how);
    kt_read_value_range(self->value_range, range);
    return kt_clip(b, kt_build_select(b, chosen, warped, images->value), range[0], range[1]);
}
