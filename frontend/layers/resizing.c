/* Resizing: images of a given size. */
#include "frontend/layers/resize_impl.h"

#include <string.h>

typedef struct resizing {
    kt_layer layer;
    int64_t height, width;
    const char *interpolation, *fill_mode, *data_format;
    bool crop_to_aspect_ratio, pad_to_aspect_ratio, antialias;
    double fill_value;
} resizing;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(resizing, height, INT, NULL),
    KT_FIELD(resizing, width, INT, NULL),
    KT_FIELD(resizing, interpolation, CHOICE, "\"bilinear\"", .choices = KT_INTERPOLATIONS),
    KT_FIELD(resizing, crop_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resizing, pad_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resizing, fill_mode, CHOICE, "\"constant\"", .choices = "constant"),
    KT_FIELD(resizing, fill_value, FLOAT, "0.0"),
    KT_FIELD(resizing, antialias, BOOL, "false"),
    KT_FIELD(resizing, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const resizing *self = (const resizing *)layer;
    kt_status status = kt_check_range(layer, context, "height", self->height, 1);
    KT_COLLECT(status, kt_check_range(layer, context, "width", self->width, 1));
    if (self->crop_to_aspect_ratio && self->pad_to_aspect_ratio) {
        status = kt_layer_reject(layer, context, KT_INVALID, "pad_to_aspect_ratio",
                                 "excludes crop_to_aspect_ratio.");
    }
    return status;
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const resizing *self = (const resizing *)layer;
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 3, 4)) return;
    bool nearest = strcmp(self->interpolation, "nearest") == 0;
    if (!nearest && !kt_dtype_is_float(kt_call_type(call, 0)->dtype)) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "Resizing with interpolation '%s' takes floats; integers are not supported yet.",
                      self->interpolation);
        return;
    }
    kt_trace_at(call->trace, "resize");
    kt_resizing how = {
        .height = kt_dim_const(b->graph->dims, self->height),
        .width = kt_dim_const(b->graph->dims, self->width),
        .interpolation = self->interpolation,
        .antialias = self->antialias,
        .crop_to_aspect_ratio = self->crop_to_aspect_ratio,
        .pad_to_aspect_ratio = self->pad_to_aspect_ratio,
        .fill_value = self->fill_value,
        .channels_first = strcmp(self->data_format, "channels_first") == 0,
    };
    call->outputs[0] = kt_resize_images(b, call->inputs[0], &how);
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
