/* RandAugment and AugMix in training: images through some layers of a list, one behind the other. All draw
 * with the generator of the layer that they are in. */
#include "frontend/layers/images/augmentation_impl.h"
#include "frontend/layers/random/random_impl.h"

#include <math.h>

/* False and a problem where the strengths are no shares. */
static bool read_factor(const kt_layer *layer, kt_trace *trace, double out_factor[2]) {
    kt_augment_range(((const kt_augmentation *)layer)->factor, 0, out_factor);
    if (out_factor[0] >= 0 && out_factor[1] <= 1) return true;
    kt_trace_fail(trace, KT_INVALID, "the option 'factor' must be from 0 to 1.");
    return false;
}

/* The options of the layers in a layer: all strengths are its factor. */
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

/* ---- RandAugment
 * ---------------------------------------------------------------------------------------------
 * Keras draws first which layers of the list those are, and then, once for a batch, what each layer of it
 * would do, whether it is among them or not; a layer that is drawn twice does the same twice. So each place
 * of the row goes through the whole list, with the generator as it was before, and keeps what the layer that
 * is drawn for it has made.
 */
static kt_augment_fn *const drawn_from[] = {kt_augment_shear,
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
enum { LISTED = sizeof drawn_from / sizeof *drawn_from, MOST_OPS = 64 };

/* The images through each layer of the list: that of the number `drawn` counts. */
static kt_value change_once(kt_augmentation *parts, kt_trace *trace, const kt_images *images,
                            kt_value drawn) {
    kt_builder *b = trace->builder;
    kt_images now = *images;
    for (int i = 0; i < LISTED && now.value; i++) {
        kt_value changed = drawn_from[i](&parts->layer, trace, &now);
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
    if (!read_factor(layer, trace, factor)) return 0;
    const kt_type row = {.dtype = KT_I32, .rank = 1, .dims = {kt_dim_const(dims, self->num_ops)}};
    kt_value drawn = kt_random_integers(layer, trace, self->seed, &row, 0, LISTED);
    kt_value state = kt_random_state(layer, trace);
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

/* ---- AugMix: a mean of chains of layers, and of that and the images
 * -----------------------------------------------
 * Keras chooses the layers with Python's random where it makes the function that trains, so that they are the
 * same in all its steps, and depend on what else Python has drawn. Here they are those that it chooses when
 * Python's random was just given the layer's seed. */
static kt_augment_fn *const chosen_from[] = {kt_augment_shear,
                                             kt_augment_translation,
                                             kt_augment_rotation,
                                             posterize,
                                             kt_augment_solarization,
                                             contrast_by_itself,
                                             kt_augment_equalization,
                                             kt_augment_brightness,
                                             kt_augment_color_degeneration,
                                             kt_augment_contrast,
                                             kt_augment_sharpness};
enum { CHOSEN = sizeof chosen_from / sizeof *chosen_from, CHOSEN_FEW = 7, MOST_CHAINS = 32 };

/* Number `at` of a vector, in the images' dtype and shape. */
static kt_value spread_one(kt_builder *b, kt_value vector, int64_t at, const kt_images *images) {
    kt_dim_pool *dims = b->graph->dims;
    kt_value one = kt_slice_axis(b, vector, 0, kt_dim_const(dims, at), kt_dim_const(dims, at + 1));
    one = kt_build_cast(b, kt_drop_axis(b, one, 0), images->type.dtype);
    return kt_build_broadcast_to(b, one, images->type.rank, images->type.dims);
}

/* The images through as many layers as are chosen; not every choice is one. */
static kt_value change_by_chain(kt_augmentation *parts, kt_trace *trace, const kt_images *images,
                                kt_python_random *random) {
    const uint32_t count = parts->all_ops ? CHOSEN : CHOSEN_FEW;
    kt_images now = *images;
    for (int64_t i = 0; i < parts->chain_depth && now.value; i++) {
        uint32_t choice = kt_python_below(random, count + 1);
        if (choice < count) now.value = chosen_from[choice](&parts->layer, trace, &now);
    }
    return now.value;
}

static bool has_number(kt_trace *trace, const char *option, int64_t value, int64_t least) {
    if (value >= least && value <= MOST_CHAINS) return true;
    kt_trace_fail(trace, KT_INVALID, "the option '%s' must be from %d to %d.", option, (int)least,
                  MOST_CHAINS);
    return false;
}

/* Shares of sum 1. */
static kt_value draw_shares(kt_layer *layer, kt_trace *trace) {
    static const kt_ints all = {1, {0}};
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    const kt_type type = {
        .dtype = KT_F32, .rank = 1, .dims = {kt_dim_const(b->graph->dims, self->num_chains)}};
    kt_value drawn = kt_random_gamma(layer, trace, self->seed, kt_build_fill(b, &type, self->alpha));
    return drawn ? kt_build_div(b, drawn, kt_reduce_spread(b, drawn, KT_REDUCE_SUM, &all)) : 0;
}

kt_value kt_augment_aug_mix(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    const kt_type one = {.dtype = KT_F32, .rank = 1, .dims = {kt_dim_const(b->graph->dims, 1)}};
    kt_python_random random;
    double factor[2], values[2];
    if (!has_number(trace, "num_chains", self->num_chains, 1) ||
        !has_number(trace, "chain_depth", self->chain_depth, 0))
        return 0;
    if (!(self->alpha >= 0)) {
        kt_trace_fail(trace, KT_INVALID, "the option 'alpha' must not be negative.");
        return 0;
    }
    if (!read_factor(layer, trace, factor)) return 0;
    kt_value shares = draw_shares(layer, trace);
    kt_value weight = kt_random_beta(layer, trace, self->seed, kt_build_fill(b, &one, self->alpha));
    if (!shares || !weight) return 0;
    kt_python_seed(&random, kt_random_begin(layer));
    json_t *range = json_pack("[f, f]", factor[0], factor[1]);
    kt_augmentation parts = make_parts(layer, range);
    kt_value mean = 0;
    for (int64_t i = 0; i < self->num_chains && !trace->failed; i++) {
        kt_value changed = change_by_chain(&parts, trace, images, &random);
        if (!changed) break;
        changed = kt_build_mul(b, changed, spread_one(b, shares, i, images));
        mean = mean ? kt_build_add(b, mean, changed) : changed;
    }
    json_decref(range);
    if (!mean || trace->failed) return 0;
    kt_trace_at(trace, "mix");
    weight = spread_one(b, weight, 0, images);
    kt_value rest = kt_build_sub(b, kt_build_like(b, weight, 1), weight);
    kt_value x = kt_build_add(b, kt_build_mul(b, weight, images->value), kt_build_mul(b, rest, mean));
    kt_read_value_range(self->value_range, values);
    return kt_clip(b, x, values[0], values[1]);
}
