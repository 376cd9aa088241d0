/* Resizing and CenterCrop: images of a given size. */
#include "frontend/layers/images/images_impl.h"
#include "frontend/layers/images/resize_impl.h"

#include <math.h>
#include <string.h>

typedef struct resizing {
    kt_layer layer;
    int64_t height, width;
    const char *data_format, *bounding_box_format, *interpolation, *fill_mode;
    bool crop_to_aspect_ratio, pad_to_aspect_ratio, antialias;
    double fill_value;
} resizing;

// clang-format off
static const kt_option options[] = {
    KT_IMAGE_OPTIONS(resizing),
    KT_FIELD(resizing, height, INT, NULL),
    KT_FIELD(resizing, width, INT, NULL),
    KT_FIELD(resizing, interpolation, CHOICE, "\"bilinear\"", .choices = KT_INTERPOLATIONS),
    KT_FIELD(resizing, crop_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resizing, pad_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resizing, fill_mode, CHOICE, "\"constant\"", .choices = "constant"),
    KT_FIELD(resizing, fill_value, FLOAT, "0.0"),
    KT_FIELD(resizing, antialias, BOOL, "false"),
    KT_OPTIONS_END,
};
static const kt_option crop_options[] = {
    KT_IMAGE_OPTIONS(resizing),
    KT_FIELD(resizing, height, INT, NULL),
    KT_FIELD(resizing, width, INT, NULL),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_size(kt_layer *layer, kt_layer_context *context) {
    const resizing *self = (const resizing *)layer;
    kt_status status = kt_check_range(layer, context, "height", self->height, 1);
    KT_COLLECT(status, kt_check_range(layer, context, "width", self->width, 1));
    return status;
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const resizing *self = (const resizing *)layer;
    kt_status status = check_size(layer, context);
    if (self->crop_to_aspect_ratio && self->pad_to_aspect_ratio) {
        status = kt_layer_reject(layer, context, KT_INVALID, "pad_to_aspect_ratio",
                                 "excludes crop_to_aspect_ratio.");
    }
    return status;
}

static kt_resizing requested(const resizing *self, kt_dim_pool *dims) {
    return (kt_resizing){
        .height = kt_dim_const(dims, self->height),
        .width = kt_dim_const(dims, self->width),
        .channels_first = strcmp(self->data_format, "channels_first") == 0,
    };
}

/* Integers that are interpolated are rounded again, and kept in the range of their dtype. */
static void call(kt_layer *layer, kt_layer_call *call) {
    const resizing *self = (const resizing *)layer;
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_images(call)) return;
    kt_dtype dtype = kt_call_type(call, 0)->dtype;
    bool exact = strcmp(self->interpolation, "nearest") == 0, floats = kt_dtype_is_float(dtype);
    kt_trace_at(call->trace, "resize");
    kt_resizing how = requested(self, b->graph->dims);
    how.interpolation = self->interpolation;
    how.antialias = self->antialias;
    how.crop_to_aspect_ratio = self->crop_to_aspect_ratio;
    how.pad_to_aspect_ratio = self->pad_to_aspect_ratio;
    how.fill_value = exact && !floats ? nearbyint(self->fill_value) : self->fill_value;
    kt_value x = call->inputs[0];
    if (!exact && !floats) x = kt_build_cast(b, x, KT_F32);
    x = kt_resize_images(b, x, &how);
    call->outputs[0] = exact || floats ? x : kt_build_cast(b, kt_build_round(b, x), dtype);
}

/* ---- CenterCrop ------------------------------------------------------------------------------ */
/* The middle of the image; of one that is too small the largest part of that shape, enlarged. */
static void call_crop(kt_layer *layer, kt_layer_call *call) {
    const resizing *self = (const resizing *)layer;
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_images(call)) return;
    kt_resizing how = requested(self, b->graph->dims);
    int row = kt_call_type(call, 0)->rank - (how.channels_first ? 2 : 3), column = row + 1;
    int64_t height = kt_call_static_dim(call, row), width = kt_call_static_dim(call, column);
    if (height < 0 || width < 0) return;
    kt_trace_at(call->trace, "crop");
    kt_value x = kt_build_cast(b, call->inputs[0], layer->compute_dtype);
    if (height >= self->height && width >= self->width) {
        x = kt_crop_middle(b, x, row, how.height);
        call->outputs[0] = kt_crop_middle(b, x, column, how.width);
        return;
    }
    how.interpolation = "bilinear";
    how.crop_to_aspect_ratio = true;
    call->outputs[0] = kt_resize_images(b, x, &how);
}

const kt_layer_class kt_class_resizing = {
    .name = "Resizing",
    .module = "keras.layers",
    .doc = "images of another size",
    .bytes = sizeof(resizing),
    .options = options,
    .check = check,
    .call = call,
};

const kt_layer_class kt_class_center_crop = {
    .name = "CenterCrop",
    .module = "keras.layers",
    .doc = "the middle of images",
    .bytes = sizeof(resizing),
    .options = crop_options,
    .check = check_size,
    .call = call_crop,
};
