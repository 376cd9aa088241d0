/* Operation nodes of keras.ops.image that compute with colours, and what all of keras.ops.image shares. */
#include "frontend/operations/image_impl.h"

#include <string.h>

/* ---- shared ---------------------------------------------------------------------------------- */
bool kt_images_take(const kt_layer_call *call, uint32_t position, const char *name, const char *data_format,
                    kt_images *out) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, position, name);
    if (!x) return false;
    int rank = kt_build_type(b, x)->rank;
    if (rank != 3 && rank != 4) {
        kt_trace_fail(call->trace, KT_INVALID, "images have 3 or 4 axes, and its “%s” has %d.", name, rank);
        return false;
    }
    *out = (kt_images){.batched = rank == 4};
    out->channels_first = data_format && strcmp(data_format, "channels_first") == 0;
    if (!out->batched) x = kt_add_axis(b, x, 0);
    out->value = kt_to_channels_last(b, x, out->channels_first);
    out->type = *kt_build_type(b, out->value);
    return out->value != 0;
}

void kt_images_give(kt_layer_call *call, const kt_images *images, kt_value y) {
    kt_builder *b = call->trace->builder;
    if (!y) return;
    y = kt_from_channels_last(b, y, images->channels_first);
    call->outputs[0] = images->batched ? y : kt_drop_axis(b, y, 0);
}

int64_t kt_images_channels(kt_trace *trace, const kt_images *images) {
    int64_t channels = 0;
    if (kt_dim_is_const(trace->builder->graph->dims, images->type.dims[3], &channels) && channels > 0)
        return channels;
    kt_trace_fail(trace, KT_UNSUPPORTED, "its images need a known number of channels.");
    return 0;
}

bool kt_images_are_floats(const kt_layer_call *call, const kt_images *images) {
    if (kt_dtype_is_float(images->type.dtype)) return true;
    kt_trace_fail(call->trace, KT_INVALID, "its images must be floats, not %s.",
                  kt_dtype_name(images->type.dtype));
    return false;
}

/* ---- colours --------------------------------------------------------------------------------- */
typedef struct colors {
    kt_layer layer;
    const char *data_format;
} colors;
static const kt_option color_options[] = {KT_DATA_FORMAT(colors), KT_OPTIONS_END};

bool kt_images_are_colored(kt_trace *trace, const kt_images *images, bool or_gray) {
    int64_t channels = kt_images_channels(trace, images);
    if (channels == 3 || (or_gray && channels == 1)) return true;
    if (channels)
        kt_trace_fail(trace, KT_INVALID, "its images must have %s channels, not %lld.",
                      or_gray ? "1 or 3" : "3", (long long)channels);
    return false;
}

kt_value kt_images_to_gray(kt_builder *b, const kt_images *images) {
    static const double shares[] = {0.2989, 0.5870, 0.1140};
    if (kt_dim_equals(b->graph->dims, images->type.dims[3], 1)) return images->value;
    kt_dtype dtype = kt_dtype_to_float(images->type.dtype);
    kt_type three = kt_type_of(b->graph->dims, KT_F64, 1, (const int64_t[]){3});
    kt_value weights = kt_build_cast(b, kt_build_constant(b, &three, shares), dtype);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {3}}, .rhs_contract = {1, {0}}};
    kt_value gray = kt_build_dot_general(b, kt_build_cast(b, images->value, dtype), weights, &attrs);
    return kt_build_cast(b, kt_add_axis(b, gray, 3), images->type.dtype);
}

static void call_grayscale(kt_layer *layer, kt_layer_call *call) {
    kt_images images;
    if (kt_images_take(call, 0, "images", ((const colors *)layer)->data_format, &images) &&
        kt_images_are_colored(call->trace, &images, true))
        kt_images_give(call, &images, kt_images_to_gray(call->trace->builder, &images));
}
KT_OPERATION_WITH(rgb_to_grayscale, "RGBToGrayscale", KT_OPERATION_IMAGE, "the brightness of colours", colors,
                  color_options, call_grayscale)

static kt_value number(kt_builder *b, kt_value like, double value) { return kt_build_like(b, like, value); }

void kt_planes_split(kt_builder *b, kt_value x, kt_value out_planes[3]) {
    kt_dim_pool *dims = b->graph->dims;
    for (int i = 0; i < 3; i++) {
        kt_dim here = kt_dim_const(dims, i), next = kt_dim_const(dims, i + 1);
        out_planes[i] = kt_drop_axis(b, kt_slice_axis(b, x, 3, here, next), 3);
    }
}

kt_value kt_planes_join(kt_builder *b, const kt_value planes[3]) {
    kt_value parts[3];
    for (int i = 0; i < 3; i++) parts[i] = kt_add_axis(b, planes[i], 3);
    return kt_build_concat(b, parts, 3, 3);
}

typedef void color_fn(kt_builder *builder, kt_value planes[3]);

static void convert_colors(kt_layer *layer, kt_layer_call *call, color_fn *convert) {
    kt_builder *b = call->trace->builder;
    kt_images images;
    if (!kt_images_take(call, 0, "images", ((const colors *)layer)->data_format, &images) ||
        !kt_images_are_floats(call, &images) || !kt_images_are_colored(call->trace, &images, false))
        return;
    kt_value planes[3];
    kt_planes_split(b, images.value, planes);
    convert(b, planes);
    kt_images_give(call, &images, kt_planes_join(b, planes));
}

/* Smith, Color Gamut Transform Pairs, 1978: hue by which colour is the largest. */
void kt_planes_to_hsv(kt_builder *b, kt_value planes[3]) {
    kt_value red = planes[0], green = planes[1], blue = planes[2];
    kt_value zero = number(b, red, 0), one = number(b, red, 1);
    kt_value value = kt_build_maximum(b, kt_build_maximum(b, red, green), blue);
    kt_value least = kt_build_minimum(b, kt_build_minimum(b, red, green), blue);
    kt_value range = kt_build_sub(b, value, least);
    kt_value is_bright = kt_build_gt(b, value, zero), is_colored = kt_build_gt(b, range, zero);
    kt_value saturation = kt_build_div(b, range, kt_build_select(b, is_bright, value, one));
    kt_value sixth = kt_build_mul(b, kt_build_select(b, is_colored, range, one), number(b, range, 6));
    kt_value of_red = kt_build_div(b, kt_build_sub(b, green, blue), sixth);
    kt_value of_green = kt_build_div(b, kt_build_sub(b, blue, red), sixth);
    kt_value of_blue = kt_build_div(b, kt_build_sub(b, red, green), sixth);
    of_green = kt_build_add(b, of_green, number(b, red, 1.0 / 3));
    of_blue = kt_build_add(b, of_blue, number(b, red, 2.0 / 3));
    kt_value hue = kt_build_select(b, kt_build_eq(b, value, green), of_green, of_blue);
    hue = kt_build_select(b, kt_build_eq(b, value, red), of_red, hue);
    hue = kt_build_select(b, is_colored, hue, zero);
    planes[0] = kt_build_select(b, kt_build_lt(b, hue, zero), kt_build_add(b, hue, one), hue);
    planes[1] = kt_build_select(b, is_bright, saturation, zero);
    planes[2] = value;
}

/* How much of a colour a hue, six of which are the circle, has: 1 within 1 of `centre`, 0 from 2 on. */
static kt_value share(kt_builder *b, kt_value hue, double centre) {
    kt_value away = kt_build_abs(b, kt_build_sub(b, hue, number(b, hue, centre)));
    kt_value rest = kt_build_sub(b, number(b, hue, 2), away);
    return kt_build_minimum(b, kt_build_maximum(b, rest, number(b, hue, 0)), number(b, hue, 1));
}

void kt_planes_to_rgb(kt_builder *b, kt_value planes[3]) {
    kt_value hue = planes[0], saturation = planes[1], value = planes[2], one = number(b, hue, 1);
    hue = kt_build_mul(b, kt_build_sub(b, hue, kt_build_floor(b, hue)), number(b, hue, 6));
    /* Red lies at both ends of the circle. */
    kt_value red = kt_build_maximum(b, share(b, hue, 0), share(b, hue, 6));
    kt_value colors[] = {red, share(b, hue, 2), share(b, hue, 4)};
    for (int i = 0; i < 3; i++) {
        kt_value missing = kt_build_mul(b, saturation, kt_build_sub(b, one, colors[i]));
        planes[i] = kt_build_mul(b, value, kt_build_sub(b, one, missing));
    }
}
static void call_to_hsv(kt_layer *layer, kt_layer_call *call) {
    convert_colors(layer, call, kt_planes_to_hsv);
}
static void call_to_rgb(kt_layer *layer, kt_layer_call *call) {
    convert_colors(layer, call, kt_planes_to_rgb);
}
KT_OPERATION_WITH(rgb_to_hsv, "RGBToHSV", KT_OPERATION_IMAGE, "hue, saturation and value of colours", colors,
                  color_options, call_to_hsv)
KT_OPERATION_WITH(hsv_to_rgb, "HSVToRGB", KT_OPERATION_IMAGE, "colours of hue, saturation and value", colors,
                  color_options, call_to_rgb)
