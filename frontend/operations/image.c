/* Operation nodes of keras.ops.image. */
#include "frontend/layers/resize_impl.h"
#include "frontend/operations/operations_impl.h"

#include <string.h>

/* ---- Resize
 * ------------------------------------------------------------------------------------------------ */
typedef struct resize {
    kt_layer layer;
    kt_ints size;
    const char *interpolation, *fill_mode, *data_format;
    bool antialias, crop_to_aspect_ratio, pad_to_aspect_ratio;
    double fill_value;
} resize;
static const kt_option resize_options[] = {
    KT_FIELD(resize, size, INTS, NULL, .count = 2),
    KT_FIELD(resize, interpolation, CHOICE, "\"bilinear\"", .choices = KT_INTERPOLATIONS),
    KT_FIELD(resize, antialias, BOOL, "false"),
    KT_FIELD(resize, crop_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resize, pad_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resize, fill_mode, CHOICE, "\"constant\"", .choices = "constant"),
    KT_FIELD(resize, fill_value, FLOAT, "0.0"),
    KT_DATA_FORMAT(resize),
    KT_OPTIONS_END,
};

static void call_resize(kt_layer *layer, kt_layer_call *call) {
    const resize *r = (const resize *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "images");
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    if (type.rank < 3 || type.rank > 4 || r->size.at[0] < 1 || r->size.at[1] < 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it makes images of 3 or 4 axes larger than 0.");
        return;
    }
    if (strcmp(r->interpolation, "nearest") != 0) x = kt_build_cast(b, x, kt_dtype_to_float(type.dtype));
    kt_resizing how = {
        .height = kt_dim_const(b->graph->dims, r->size.at[0]),
        .width = kt_dim_const(b->graph->dims, r->size.at[1]),
        .interpolation = r->interpolation,
        .antialias = r->antialias,
        .crop_to_aspect_ratio = r->crop_to_aspect_ratio,
        .pad_to_aspect_ratio = r->pad_to_aspect_ratio,
        .fill_value = r->fill_value,
        .channels_first = strcmp(r->data_format, "channels_first") == 0,
    };
    call->outputs[0] = kt_resize_images(b, x, &how);
}
KT_OPERATION_WITH(resize, "Resize", KT_OPERATION_IMAGE, "images of another size", resize, resize_options,
                  call_resize)
