/* Layers that move what images show: what they do in training. */
#include "frontend/layers/images/augmentation_impl.h"
#include "frontend/layers/images/resize_impl.h"

#include <string.h>

/* ---- RandomFlip: an image is mirrored along all of its mode's axes, or along none ------------ */
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

/* ---- RandomCrop: the same part of all images ------------------------------------------------- */
/* `size` elements of an axis from a scalar i64 on. */
static kt_value cut(kt_builder *b, kt_value x, int axis, kt_value start, int64_t size) {
    kt_value at = kt_positions(b, kt_dim_const(b->graph->dims, size));
    const kt_type type = *kt_build_type(b, at);
    return kt_build_gather(b, x, kt_build_add(b, at, kt_build_broadcast_to(b, start, 1, type.dims)), axis, 0);
}

/* Where images are no larger than the part both ways, the middle of the largest part of its shape, stretched.
 */
static kt_value stretch_middle(kt_builder *b, kt_value x, const int64_t size[2], const int64_t part[2]) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    for (int i = 0; i < 2; i++) {
        int64_t shaped = (int64_t)((double)size[1 - i] * (double)part[i] / (double)part[1 - i]);
        shaped = shaped < 1 ? 1 : shaped > size[i] ? size[i] : shaped;
        int64_t start = (size[i] - shaped) / 2, end = start + part[i] < size[i] ? start + part[i] : size[i];
        x = kt_slice_axis(b, x, i + 1, kt_dim_const(dims, start), kt_dim_const(dims, end));
    }
    kt_resizing how = {.height = kt_dim_const(dims, part[0]),
                       .width = kt_dim_const(dims, part[1]),
                       .interpolation = "bilinear"};
    return kt_build_cast(b, kt_resize_images(b, kt_build_cast(b, x, KT_F32), &how), dtype);
}

kt_value kt_augment_crop(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    const int64_t part[2] = {self->height, self->width};
    int64_t size[2];
    for (int i = 0; i < 2; i++) {
        bool is_length = part[i] >= 1 && part[i] <= INT32_MAX;
        if (is_length && kt_dim_is_const(b->graph->dims, images->type.dims[i + 1], &size[i])) continue;
        if (is_length)
            kt_trace_fail(trace, KT_UNSUPPORTED, "its images need a known height and width.");
        else
            kt_trace_fail(trace, KT_INVALID, "the option '%s' must be from 1 to %d, not %lld.",
                          i ? "width" : "height", INT32_MAX, (long long)part[i]);
        return 0;
    }
    if (size[0] <= part[0] || size[1] <= part[1]) return stretch_middle(b, images->value, size, part);
    const kt_type scalar = {.dtype = KT_F32};
    kt_value x = images->value;
    for (int i = 0; i < 2; i++) {
        double room = (double)(size[i] - part[i] + 1);
        kt_value start = kt_random_between(layer, trace, self->seed, &scalar, 0, room);
        kt_trace_at(trace, "crop");
        x = cut(b, x, i + 1, kt_build_cast(b, start, KT_I64), part[i]);
    }
    return x;
}

/* ---- maps of places: place (x, y) of the result is taken from another of the image ----------- */
/* The numbers of an option for each image, moved and scaled. */
static kt_value draw(kt_layer *layer, kt_trace *trace, const kt_images *images, kt_dtype dtype,
                     const json_t *option, double add, double scale) {
    double range[2];
    kt_augment_range(option, -1, range);
    for (int i = 0; i < 2; i++) range[i] = (range[i] + add) * scale;
    return kt_augment_draw(layer, trace, images, dtype, range);
}

static kt_value scaled(kt_builder *b, kt_value x, double scale) {
    return kt_build_mul(b, x, kt_build_like(b, x, scale));
}

/* The middle of the images along an axis, as numbers like x. */
static kt_value middle(kt_builder *b, kt_value x, const kt_images *images, int axis) {
    return scaled(b, kt_add_number(b, kt_dim_like(b, x, images->type.dims[axis]), -1), 0.5);
}

/* What does not move any place, for as many images as x has numbers. */
static kt_projection stay(kt_builder *b, kt_value x) {
    kt_value one = kt_build_like(b, x, 1);
    return (kt_projection){.at = {[0] = one, [4] = one}};
}

static kt_value project(kt_layer *layer, kt_builder *b, const kt_images *images, const kt_projection *p) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    const kt_image_reading how = {.interpolation = self->interpolation,
                                  .fill_mode = self->fill_mode ? self->fill_mode : "constant",
                                  .fill_value = json_number_value(self->fill_value),
                                  .folds = true};
    return kt_images_project(b, images, p, &how);
}

kt_value kt_augment_translation(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    kt_value down = draw(layer, trace, images, KT_F32, self->height_factor, 0, 1);
    kt_value right = draw(layer, trace, images, KT_F32, self->width_factor, 0, 1);
    kt_trace_at(trace, "translate");
    kt_projection p = stay(b, down);
    p.at[2] = kt_build_neg(b, kt_build_mul(b, right, kt_dim_like(b, right, images->type.dims[2])));
    p.at[5] = kt_build_neg(b, kt_build_mul(b, down, kt_dim_like(b, down, images->type.dims[1])));
    return project(layer, b, images, &p);
}

/* Around the middle; factor 1 is a whole turn. */
kt_value kt_augment_rotation(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    kt_value angle = draw(layer, trace, images, KT_F32, self->factor, 0, 360);
    kt_trace_at(trace, "rotate");
    angle = scaled(b, angle, 3.141592653589793 / 180);
    kt_value sin = kt_build_sin(b, angle), cos = kt_build_cos(b, angle);
    kt_value x = middle(b, angle, images, 2), y = middle(b, angle, images, 1);
    kt_projection p = {.at = {cos, kt_build_neg(b, sin), 0, sin, cos}};
    for (int i = 0; i < 2; i++) {
        const kt_value *row = p.at + 3 * (size_t)i;
        kt_value rest = kt_build_sub(b, i ? y : x, kt_build_mul(b, x, row[0]));
        p.at[3 * i + 2] = kt_build_sub(b, rest, kt_build_mul(b, y, row[1]));
    }
    return project(layer, b, images, &p);
}

/* Around the middle; without a width_factor both ways alike. */
kt_value kt_augment_zoom(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    kt_value down = draw(layer, trace, images, KT_F32, self->height_factor, 1, 1), right = down;
    if (self->width_factor) right = draw(layer, trace, images, KT_F32, self->width_factor, 1, 1);
    kt_trace_at(trace, "zoom");
    kt_value one = kt_build_like(b, down, 1);
    kt_projection p = {.at = {[0] = right, [4] = down}};
    p.at[2] = kt_build_mul(b, middle(b, right, images, 2), kt_build_sub(b, one, right));
    p.at[5] = kt_build_mul(b, middle(b, down, images, 1), kt_build_sub(b, one, down));
    return project(layer, b, images, &p);
}

/* From the corner on, to either side. */
kt_value kt_augment_shear(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    kt_dtype dtype = layer->compute_dtype;
    kt_value side = kt_augment_draw(layer, trace, images, dtype, (const double[]){0, 1});
    kt_value down = draw(layer, trace, images, dtype, self->y_factor, 0, 1);
    kt_value right = draw(layer, trace, images, dtype, self->x_factor, 0, 1);
    kt_trace_at(trace, "shear");
    side = kt_build_select(b, kt_build_gt(b, side, kt_build_like(b, side, 0.5)), kt_build_like(b, side, -1),
                           kt_build_like(b, side, 1));
    right = kt_build_cast(b, kt_build_mul(b, right, side), KT_F32);
    down = kt_build_cast(b, kt_build_mul(b, down, side), KT_F32);
    kt_projection p = stay(b, right);
    p.at[1] = right;
    p.at[3] = down;
    return project(layer, b, images, &p);
}

/* ---- RandomPerspective: the corners of an image move, each by itself ------------------------- */
/* x0, y0, …, y3 of the corners, [batch, 8]. */
static kt_value corners(kt_builder *b, const kt_images *images, kt_dtype dtype) {
    static const bool right[] = {false, true, false, true}, below[] = {false, false, true, true};
    kt_dim_pool *dims = b->graph->dims;
    kt_value parts[KT_COEFFICIENTS];
    const kt_type column = {.dtype = dtype, .rank = 2, .dims = {images->type.dims[0], kt_dim_const(dims, 1)}};
    kt_value none = kt_build_fill(b, &column, 0), ends[2];
    for (int i = 0; i < 2; i++)
        ends[i] = kt_add_number(b, kt_dim_like(b, none, images->type.dims[i + 1]), -1);
    for (size_t i = 0; i < 4; i++) {
        parts[2 * i] = right[i] ? ends[1] : none;
        parts[2 * i + 1] = below[i] ? ends[0] : none;
    }
    return kt_build_concat(b, parts, KT_COEFFICIENTS, 1);
}

kt_value kt_augment_perspective(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    const kt_augmentation *self = (const kt_augmentation *)layer;
    kt_builder *b = trace->builder;
    double scale = json_number_value(self->scale) / 2;
    kt_value chosen = kt_augment_choose(layer, trace, images);
    kt_value start = corners(b, images, layer->compute_dtype);
    kt_value share = kt_random_between(layer, trace, self->seed, kt_build_type(b, start), -scale, scale);
    kt_trace_at(trace, "perspective");
    kt_value end = kt_build_add(b, start, kt_build_mul(b, start, share));
    kt_projection p = kt_images_match(b, kt_build_cast(b, start, KT_F64), kt_build_cast(b, end, KT_F64));
    return kt_build_select(b, chosen, project(layer, b, images, &p), images->value);
}
