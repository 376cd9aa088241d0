/* RandAugment in training: a few layers that change images, drawn from a list for each batch, one behind the
 * other.
 *
 * Keras draws first which layers those are, and then, once for a batch, what each layer of the list would do,
 * whether it is among them or not; a layer that is drawn twice does the same twice. All draw with the
 * generator of the layer that they are in. So each place of the row goes through the whole list, with the
 * generator as it was before, and keeps what the layer that is drawn for it has made. */
#include "frontend/layers/augmentation_impl.h"

#include <math.h>

/* What has been made of the options of the layer around: all strengths are its factor. */
static kt_augmentation make_parts(const kt_layer *layer, const json_t *factor) {
    kt_augmentation parts = *(const kt_augmentation *)layer;
    parts.factor = parts.x_factor = parts.y_factor = parts.height_factor = parts.width_factor = factor;
    parts.addition_factor = parts.threshold_factor = factor;
    parts.fill_mode = "reflect";
    parts.bins = 256;
    return parts;
}

static kt_value posterize(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_augmentation part = *(const kt_augmentation *)layer;
    double range[2];
    kt_augment_range(part.factor, 0, range);
    json_t *bits = json_real(fmax(1, floor(8 * range[1])));
    part.factor = bits;
    kt_value x = kt_augment_posterization(&part.layer, trace, images);
    json_decref(bits);
    return x;
}

static kt_value contrast_by_itself(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    double range[2];
    kt_read_value_range(((const kt_augmentation *)layer)->value_range, range);
    kt_value x = kt_auto_contrast(b, kt_from_channels_last(b, images->value, images->channels_first), range);
    return kt_to_channels_last(b, x, images->channels_first);
}

/* RandAugment's list. */
static kt_augment_fn *const list[] = {kt_augment_shear,
                                      kt_augment_translation,
                                      kt_augment_rotation,
                                      kt_augment_brightness,
                                      kt_augment_color_degeneration,
                                      kt_augment_contrast,
                                      kt_augment_sharpness,
                                      posterize,
                                      kt_augment_solarization,
                                      contrast_by_itself,
                                      kt_augment_equalization};
enum { LISTED = sizeof list / sizeof *list, MOST_OPS = 64 };

/* The images through each layer of the list: that of the number `drawn` counts. */
static kt_value change_once(kt_augmentation *parts, kt_trace *trace, const kt_images *images,
                            kt_value drawn) {
    kt_builder *b = trace->builder;
    kt_images now = *images;
    for (int i = 0; i < LISTED && now.value; i++) {
        kt_value changed = list[i](&parts->layer, trace, &now);
        if (!changed) return 0;
        kt_value chosen = kt_build_eq(b, drawn, kt_build_like(b, drawn, i));
        chosen = kt_build_broadcast_to(b, chosen, now.type.rank, now.type.dims);
        now.value = kt_build_select(b, chosen, changed, now.value);
    }
    return now.value;
}

kt_value kt_augment_rand(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_images now = *images;
    double factor[2];
    if (self->num_ops < 1 || self->num_ops > MOST_OPS) {
        kt_trace_fail(trace, KT_INVALID, "the option 'num_ops' must be from 1 to %d.", MOST_OPS);
        return 0;
    }
    const kt_type row = {.dtype = KT_I32, .rank = 1, .dims = {kt_dim_const(dims, self->num_ops)}};
    kt_value drawn = kt_random_integers(layer, trace, self->seed, &row, 0, LISTED);
    kt_value state = kt_random_state(layer, trace);
    kt_augment_range(self->factor, 0, factor);
    json_t *range = json_pack("[f, f]", factor[0], factor[1]);
    kt_augmentation parts = make_parts(layer, range);
    for (int64_t i = 0; i < self->num_ops && now.value; i++) {
        kt_random_return(layer, trace, state);
        kt_value at = kt_slice_axis(b, drawn, 0, kt_dim_const(dims, i), kt_dim_const(dims, i + 1));
        now.value = change_once(&parts, trace, &now, kt_drop_axis(b, at, 0));
    }
    json_decref(range);
    return now.value;
}
