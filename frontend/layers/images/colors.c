/* Layers that change the colours of images, each image by numbers of its own: what they do in training. */
#include "frontend/layers/images/augmentation_impl.h"
#include "frontend/layers/windows_impl.h"

#include <math.h>

static const double unit[2] = {0, 1}, bytes[2] = {0, 255};

static const kt_augmentation *self_of(const kt_layer *layer) { return (const kt_augmentation *)layer; }

static void read_values(const kt_layer *layer, double out_range[2]) {
    kt_read_value_range(self_of(layer)->value_range, out_range);
}

/* Holds x to the values that a pixel may have. */
static kt_value clip(kt_builder *b, const kt_layer *layer, kt_value x) {
    double range[2];
    read_values(layer, range);
    return kt_clip(b, x, range[0], range[1]);
}

/* A float32 for each image, as factor and its least value say. */
static kt_value draw(kt_layer *layer, kt_trace *trace, const kt_images *images, const json_t *factor,
                     double least) {
    double range[2];
    kt_augment_range(factor, least, range);
    return kt_augment_draw(layer, trace, images, KT_F32, range);
}

/* A number for each image in the images' dtype and shape. */
static kt_value spread(kt_builder *b, kt_value x, const kt_images *images) {
    return kt_augment_spread(b, kt_build_cast(b, x, images->type.dtype), images);
}

/* ---- brightness and contrast ----------------------------------------------------------------- */
static kt_value brighten(kt_layer *layer, kt_trace *trace, const kt_images *images, const json_t *factor) {
    kt_builder *b = trace->builder;
    double range[2];
    read_values(layer, range);
    kt_value more = draw(layer, trace, images, factor, -1);
    more = kt_build_mul(b, more, kt_build_like(b, more, range[1] - range[0]));
    return clip(b, layer, kt_build_add(b, images->value, spread(b, more, images)));
}

kt_value kt_augment_brightness(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    return brighten(layer, trace, images, self_of(layer)->factor);
}

/* dtype: what is drawn in. */
static kt_value contrast(kt_layer *layer, kt_trace *trace, const kt_images *images, const json_t *factor,
                         kt_dtype dtype) {
    static const kt_ints space = {2, {1, 2}};
    kt_builder *b = trace->builder;
    double range[2];
    kt_augment_range(factor, 0, range);
    range[0] = 1 - range[0];
    range[1] = 1 + range[1];
    kt_value drawn = kt_augment_draw(layer, trace, images, dtype, range), x = images->value;
    kt_value mean = kt_spread(b, kt_mean(b, x, &space), x, &space);
    x = kt_build_mul(b, kt_build_sub(b, x, mean), spread(b, drawn, images));
    return clip(b, layer, kt_build_add(b, x, mean));
}

kt_value kt_augment_contrast(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    return contrast(layer, trace, images, self_of(layer)->factor, images->type.dtype);
}

/* ---- hue and saturation ---------------------------------------------------------------------- */
static kt_value spread_plane(kt_builder *b, kt_value x, kt_value plane) {
    return kt_along_axis(b, kt_build_cast(b, x, kt_build_type(b, plane)->dtype), plane, 0);
}

static kt_value turn_hue(kt_layer *layer, kt_trace *trace, const kt_images *images, const json_t *factor) {
    kt_builder *b = trace->builder;
    double range[2];
    if (!kt_images_are_colored(trace, images, false)) return 0;
    read_values(layer, range);
    kt_value coin = kt_augment_draw(layer, trace, images, KT_F32, unit);
    kt_value back = kt_build_gt(b, coin, kt_build_like(b, coin, 0.5));
    kt_value turn = draw(layer, trace, images, factor, 0);
    turn = kt_build_select(b, back, kt_build_neg(b, turn), turn);
    turn = kt_build_mul(b, turn, kt_build_like(b, turn, 0.5));
    kt_value planes[3];
    kt_planes_split(b, kt_change_value_range(b, images->value, range, unit, KT_F32), planes);
    kt_planes_to_hsv(b, planes);
    kt_value hue = kt_build_add(b, planes[0], spread_plane(b, turn, planes[0]));
    kt_value zero = kt_build_like(b, hue, 0), one = kt_build_like(b, hue, 1);
    hue = kt_build_select(b, kt_build_gt(b, hue, one), kt_build_sub(b, hue, one), hue);
    planes[0] = kt_build_select(b, kt_build_lt(b, hue, zero), kt_build_add(b, hue, one), hue);
    kt_planes_to_rgb(b, planes);
    kt_value x = kt_clip(b, kt_planes_join(b, planes), 0, 1);
    return kt_build_cast(b, kt_change_value_range(b, x, unit, range, KT_F32), images->type.dtype);
}

kt_value kt_augment_hue(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    return turn_hue(layer, trace, images, self_of(layer)->factor);
}

/* Keras holds saturations to the values of pixels. */
static kt_value saturate(kt_layer *layer, kt_trace *trace, const kt_images *images, const json_t *factor) {
    kt_builder *b = trace->builder;
    if (!kt_images_are_colored(trace, images, false)) return 0;
    kt_value drawn = draw(layer, trace, images, factor, -1);
    kt_value rest = kt_add_number(b, kt_build_sub(b, kt_build_like(b, drawn, 1), drawn), 1e-7);
    kt_value times = kt_build_div(b, drawn, rest), planes[3];
    kt_planes_split(b, images->value, planes);
    kt_planes_to_hsv(b, planes);
    planes[1] = clip(b, layer, kt_build_mul(b, planes[1], spread_plane(b, times, planes[1])));
    kt_planes_to_rgb(b, planes);
    return kt_planes_join(b, planes);
}

kt_value kt_augment_saturation(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    return saturate(layer, trace, images, self_of(layer)->factor);
}

/* The layers in it are not told of its dtype and data_format: they draw float32, and the last axis is what
 * they take for channels. */
kt_value kt_augment_jitter(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = self_of(layer);
    kt_builder *b = trace->builder;
    kt_images now = *images;
    now.value = kt_from_channels_last(b, images->value, images->channels_first);
    now.type = *kt_build_type(b, now.value);
    if (self->brightness_factor) now.value = brighten(layer, trace, &now, self->brightness_factor);
    if (self->contrast_factor) now.value = contrast(layer, trace, &now, self->contrast_factor, KT_F32);
    if (self->saturation_factor) now.value = saturate(layer, trace, &now, self->saturation_factor);
    if (self->hue_factor && now.value) now.value = turn_hue(layer, trace, &now, self->hue_factor);
    return now.value ? kt_to_channels_last(b, now.value, images->channels_first) : 0;
}

/* ---- grey, negatives, few colours ------------------------------------------------------------ */
static kt_value make_gray(kt_builder *b, const kt_images *images) {
    return kt_build_broadcast_to(b, kt_images_to_gray(b, images), images->type.rank, images->type.dims);
}

kt_value kt_augment_grayscale(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    if (!kt_images_are_colored(trace, images, true)) return 0;
    kt_value drawn = kt_augment_draw(layer, trace, images, KT_F32, unit);
    double share = json_number_value(self_of(layer)->factor);
    kt_value chosen = kt_augment_spread(b, kt_build_lt(b, drawn, kt_build_like(b, drawn, share)), images);
    return kt_build_select(b, chosen, make_gray(b, images), images->value);
}

kt_value kt_augment_color_degeneration(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    if (!kt_images_are_colored(trace, images, true)) return 0;
    kt_value share = spread(b, draw(layer, trace, images, self_of(layer)->factor, -1), images);
    kt_value lost = kt_build_sub(b, make_gray(b, images), images->value);
    return clip(b, layer, kt_build_add(b, images->value, kt_build_mul(b, share, lost)));
}

kt_value kt_augment_invert(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    double range[2];
    read_values(layer, range);
    kt_value chosen = kt_augment_choose(layer, trace, images), x = images->value;
    return kt_build_select(b, chosen, kt_build_sub(b, kt_build_like(b, x, range[1]), x), x);
}

/* Only the highest bits of a byte stay. */
kt_value kt_augment_posterization(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    const kt_type type = {.dtype = KT_I64, .rank = 1, .dims = {images->type.dims[0]}};
    double range[2], bits[2];
    read_values(layer, range);
    kt_augment_range(self_of(layer)->factor, 1, bits);
    for (int i = 0; i < 2; i++) bits[i] = floor(bits[i]);
    if (bits[0] < 1 || bits[1] < bits[0] || bits[1] > 8) {
        kt_trace_fail(trace, KT_INVALID, "the option 'factor' must be from 1 to 8.");
        return 0;
    }
    kt_value kept = bits[0] == bits[1] ? kt_build_fill(b, &type, bits[0])
                                       : kt_random_integers(layer, trace, self_of(layer)->seed, &type,
                                                            (int64_t)bits[0], (int64_t)bits[1]);
    kt_value lost = kt_build_sub(b, kt_build_like(b, kept, 8), kept);
    lost = kt_augment_spread(b, kt_build_cast(b, lost, KT_U8), images);
    kt_dtype dtype = images->type.dtype;
    kt_value x = kt_build_cast(b, kt_change_value_range(b, images->value, range, bytes, dtype), KT_U8);
    x = kt_build_shift_left(b, kt_build_shift_right(b, x, lost), lost);
    return kt_change_value_range(b, kt_build_cast(b, x, dtype), bytes, range, dtype);
}

/* In the images' dtype and shape, drawn between a factor's lower end and 255 of its upper one, as Keras does.
 */
static kt_value draw_level(kt_layer *layer, kt_trace *trace, const kt_images *images, const json_t *factor) {
    double range[2];
    kt_augment_range(factor, 0, range);
    range[1] *= bytes[1];
    return kt_augment_spread(trace->builder, kt_augment_draw(layer, trace, images, images->type.dtype, range),
                             images);
}

kt_value kt_augment_solarization(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    kt_dtype dtype = images->type.dtype;
    double range[2];
    read_values(layer, range);
    kt_value more = draw_level(layer, trace, images, self_of(layer)->addition_factor);
    kt_value threshold = draw_level(layer, trace, images, self_of(layer)->threshold_factor);
    kt_value x = kt_change_value_range(b, images->value, range, bytes, dtype);
    x = kt_clip(b, kt_build_add(b, x, more), bytes[0], bytes[1]);
    kt_value negative = kt_build_sub(b, kt_build_like(b, x, bytes[1]), x);
    x = kt_build_select(b, kt_build_lt(b, x, threshold), x, negative);
    return kt_change_value_range(b, x, bytes, range, dtype);
}

/* ---- sharpness and blur ---------------------------------------------------------------------- */
/* Every channel by itself with one kernel of [rows, columns]. */
static kt_value filter(kt_builder *b, kt_value x, kt_value kernel) {
    static const kt_sliding plain = {.strides = {2, {1, 1}}, .dilation = {2, {1, 1}}, .padding = "same"};
    const kt_type window = *kt_build_type(b, kernel);
    kt_dim shape[] = {window.dims[0], window.dims[1], kt_build_type(b, x)->dims[3],
                      kt_dim_const(b->graph->dims, 1)};
    return kt_convolve_depthwise(b, x, kt_build_broadcast(b, kernel, 4, shape, (const int64_t[]){0, 1}),
                                 &plain);
}

kt_value kt_augment_sharpness(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    static const double smooth[] = {1.0 / 13, 1.0 / 13, 1.0 / 13, 1.0 / 13, 5.0 / 13,
                                    1.0 / 13, 1.0 / 13, 1.0 / 13, 1.0 / 13};
    kt_builder *b = trace->builder;
    const kt_type window = kt_type_of(b->graph->dims, KT_F64, 2, (const int64_t[]){3, 3});
    kt_value drawn = draw(layer, trace, images, self_of(layer)->factor, 0), x = images->value;
    drawn = kt_build_cast(b, kt_build_mul(b, drawn, kt_build_like(b, drawn, 2)), images->type.dtype);
    kt_value share = spread(b, kt_build_sub(b, kt_build_like(b, drawn, 1), drawn), images);
    kt_value kernel = kt_build_cast(b, kt_build_constant(b, &window, smooth), images->type.dtype);
    kt_value change = kt_build_sub(b, filter(b, x, kernel), x);
    return clip(b, layer, kt_build_add(b, x, kt_build_mul(b, share, change)));
}

/* The sizes that an option, a number or two, gives for a kernel; false and a problem if they are none. */
static bool read_kernel_size(kt_trace *trace, const json_t *option, int64_t out_sizes[2]) {
    enum { LARGEST = (1 << 10) - 1 };
    for (size_t i = 0; i < 2; i++) {
        double size = json_number_value(json_is_array(option) ? json_array_get(option, i) : option);
        if (size < 1 || size > LARGEST || fmod(size, 2) != 1) {
            kt_trace_fail(trace, KT_INVALID, "the option 'kernel_size' must be odd numbers up to %d.",
                          LARGEST);
            return false;
        }
        out_sizes[i] = (int64_t)size;
    }
    return true;
}

/* One blur for all images that are chosen. As Keras on TensorFlow has it, the first deviation is along rows;
 * and a kernel that is no square is a reshaped one of the other orientation. */
kt_value kt_augment_gaussian_blur(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = self_of(layer);
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    const kt_type two = {.dtype = images->type.dtype, .rank = 1, .dims = {kt_dim_const(dims, 2)}};
    double range[2];
    int64_t sizes[2];
    if (!read_kernel_size(trace, self->kernel_size, sizes)) return 0;
    kt_value chosen = kt_augment_choose(layer, trace, images), bells[2];
    kt_augment_range(self->sigma, 0, range);
    kt_value sigmas = kt_random_between(layer, trace, self->seed, &two, range[0], range[1]);
    sigmas = kt_add_number(b, sigmas, 1e-6);
    for (int i = 0; i < 2; i++) {
        kt_dim here = kt_dim_const(dims, i), next = kt_dim_const(dims, i + 1);
        bells[i] = kt_augment_bell(b, kt_slice_axis(b, sigmas, 0, here, next), sizes[i], 0);
    }
    kt_value kernel = kt_build_dot_general(b, bells[1], bells[0], &(kt_attrs_dot_general){0});
    kernel = kt_build_reshape(b, kernel, 2,
                              (kt_dim[]){kt_dim_const(dims, sizes[0]), kt_dim_const(dims, sizes[1])});
    kt_value x = kt_build_select(b, chosen, filter(b, images->value, kernel), images->value);
    return clip(b, layer, x);
}

/* ---- holes ----------------------------------------------------------------------------------- */
/* Is a pixel's place along an axis in a box of a share of its length, whose begin is drawn? In the images'
 * shape. */
static kt_value draw_extent(kt_layer *layer, kt_trace *trace, const kt_images *images, int axis,
                            kt_value share) {
    kt_builder *b = trace->builder;
    kt_dtype dtype = images->type.dtype;
    kt_value whole =
        kt_build_broadcast_to(b, kt_dim_scalar(b, images->type.dims[axis], dtype), 1, images->type.dims);
    kt_value length = kt_build_mul(b, share, whole);
    kt_value begin = kt_augment_draw(layer, trace, images, dtype, unit);
    begin = kt_build_mul(b, begin, kt_build_sub(b, whole, length));
    kt_value place = kt_build_iota(b, &images->type, axis);
    kt_value behind = kt_build_ge(b, place, spread(b, begin, images));
    kt_value before = kt_build_lt(b, place, spread(b, kt_build_add(b, begin, length), images));
    return kt_build_and(b, behind, before);
}

/* Three numbers along the last axis of what the layer is given. */
static kt_value fill_with_color(kt_trace *trace, const json_t *color, kt_value given) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, given);
    const kt_type three = kt_type_of(b->graph->dims, KT_F64, 1, (const int64_t[]){3});
    double numbers[3];
    if (json_array_size(color) != 3 || !kt_dim_equals(b->graph->dims, type.dims[3], 3)) {
        kt_trace_fail(
            trace, KT_INVALID,
            "the option 'fill_value' must be a number, or three where the last axis has 3 elements.");
        return 0;
    }
    for (size_t i = 0; i < 3; i++) numbers[i] = json_number_value(json_array_get(color, i));
    kt_value filling = kt_build_cast(b, kt_build_constant(b, &three, numbers), type.dtype);
    return kt_along_axis(b, filling, given, 3);
}

/* What a hole shows. */
static kt_value draw_filling(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = self_of(layer);
    kt_builder *b = trace->builder;
    kt_value given = kt_from_channels_last(b, images->value, images->channels_first);
    const kt_type type = *kt_build_type(b, given);
    kt_value filling;
    if (json_is_array(self->fill_value)) {
        filling = fill_with_color(trace, self->fill_value, given);
    } else if (self->fill_value) {
        filling = kt_build_like(b, given, json_number_value(self->fill_value));
    } else {
        double range[2];
        read_values(layer, range);
        filling = kt_random_normal(layer, trace, self->seed, &type);
        filling = kt_build_mul(b, filling, kt_build_like(b, filling, range[1]));
    }
    if (!filling) return 0;
    return kt_to_channels_last(b, clip(b, layer, filling), images->channels_first);
}

kt_value kt_augment_erasing(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = self_of(layer);
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    const kt_type pairs = {
        .dtype = images->type.dtype, .rank = 2, .dims = {images->type.dims[0], kt_dim_const(dims, 2)}};
    double range[2];
    kt_augment_range(self->scale, 0, range);
    kt_value shares =
        kt_build_sqrt(b, kt_random_between(layer, trace, self->seed, &pairs, range[0], range[1]));
    kt_value inside = 0;
    for (int axis = 2; axis >= 1; axis--) {
        kt_dim here = kt_dim_const(dims, 2 - axis), next = kt_dim_const(dims, 3 - axis);
        kt_value share = kt_drop_axis(b, kt_slice_axis(b, shares, 1, here, next), 1);
        kt_value extent = draw_extent(layer, trace, images, axis, share);
        inside = inside ? kt_build_and(b, inside, extent) : extent;
    }
    kt_value erased = kt_build_and(b, kt_augment_choose(layer, trace, images), inside);
    kt_value filling = draw_filling(layer, trace, images);
    return filling ? kt_build_select(b, erased, filling, images->value) : 0;
}
