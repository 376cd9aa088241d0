/* Operation nodes of keras.ops.image that take parts of images, or surround them. */
#include "frontend/layers/windows_impl.h"
#include "frontend/operations/image_impl.h"

#include <string.h>

/* ---- PadImages, CropImages
 * ---------------------------------------------------------------------------------
 * Of what is before, what is behind and the size that comes out two are given. */
typedef struct borders {
    kt_layer layer;
    int64_t before[2], behind[2], target[2]; /* of rows, of columns; KT_NONE_INT */
    const char *data_format;
} borders;
#define BORDER_OPTIONS(kind)                                                                                 \
    {"top_" kind, KT_OPTION_OPTIONAL_INT, offsetof(borders, before[0]), "null"},                             \
        {"left_" kind, KT_OPTION_OPTIONAL_INT, offsetof(borders, before[1]), "null"},                        \
        {"bottom_" kind, KT_OPTION_OPTIONAL_INT, offsetof(borders, behind[0]), "null"},                      \
        {"right_" kind, KT_OPTION_OPTIONAL_INT, offsetof(borders, behind[1]), "null"},                       \
        {"target_height", KT_OPTION_OPTIONAL_INT, offsetof(borders, target[0]), "null"},                     \
        {"target_width", KT_OPTION_OPTIONAL_INT, offsetof(borders, target[1]), "null"},                      \
        KT_DATA_FORMAT(borders), KT_OPTIONS_END
static const kt_option padding_options[] = {BORDER_OPTIONS("padding")};
static const kt_option cropping_options[] = {BORDER_OPTIONS("cropping")};

static kt_status check_borders(kt_layer *layer, kt_layer_context *context) {
    const borders *s = (const borders *)layer;
    const kt_option *options = layer->class->options;
    kt_status status = KT_OK;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t given[] = {s->before[axis], s->behind[axis], s->target[axis]};
        int missing = 0;
        for (int i = 0; i < 3; i++) {
            missing += given[i] == KT_NONE_INT;
            if (given[i] != KT_NONE_INT)
                KT_COLLECT(status, kt_check_range(layer, context, options[2 * i + axis].name, given[i], 0));
        }
        if (missing != 1)
            status = kt_layer_reject(layer, context, KT_INVALID, options[axis].name,
                                     "needs that exactly two of '%s', '%s' and '%s' are given.",
                                     options[axis].name, options[2 + axis].name, options[4 + axis].name);
    }
    return status;
}

/* How much is before and behind along an axis (0 rows, 1 columns) whose size becomes size + sign * both. */
static void find_ends(const borders *s, kt_dim_pool *dims, int axis, kt_dim size, int64_t sign,
                      kt_dim *out_before, kt_dim *out_behind) {
    int64_t before = s->before[axis], behind = s->behind[axis];
    *out_before = kt_dim_const(dims, before == KT_NONE_INT ? 0 : before);
    *out_behind = kt_dim_const(dims, behind == KT_NONE_INT ? 0 : behind);
    if (s->target[axis] == KT_NONE_INT) return;
    kt_dim both = kt_dim_sub(dims, kt_dim_const(dims, s->target[axis]), size);
    both = kt_dim_mul_const(dims, both, sign);
    if (before == KT_NONE_INT)
        *out_before = kt_dim_sub(dims, both, *out_behind);
    else
        *out_behind = kt_dim_sub(dims, both, *out_before);
}

static void call_pad_images(kt_layer *layer, kt_layer_call *call) {
    const borders *s = (const borders *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_images images;
    if (!kt_images_take(call, 0, "images", s->data_format, &images)) return;
    kt_dim low[4], high[4];
    static const int64_t interior[4];
    for (int i = 0; i < 4; i++) low[i] = high[i] = kt_dim_const(dims, 0);
    for (int axis = 0; axis < 2; axis++)
        find_ends(s, dims, axis, images.type.dims[axis + 1], 1, &low[axis + 1], &high[axis + 1]);
    kt_value zero = kt_build_scalar(b, images.type.dtype, 0);
    kt_images_give(call, &images, kt_build_pad(b, images.value, zero, low, high, interior));
}

static void call_crop_images(kt_layer *layer, kt_layer_call *call) {
    const borders *s = (const borders *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_images images;
    if (!kt_images_take(call, 0, "images", s->data_format, &images)) return;
    kt_value x = images.value;
    for (int axis = 0; axis < 2 && x; axis++) {
        kt_dim size = images.type.dims[axis + 1], before, behind;
        find_ends(s, dims, axis, size, -1, &before, &behind);
        x = kt_slice_axis(b, x, axis + 1, before, kt_dim_sub(dims, size, behind));
    }
    kt_images_give(call, &images, x);
}

#define BORDERS(c_name, keras_name, documentation, table)                                                    \
    const kt_layer_class kt_class_op_##c_name = {.name = (keras_name),                                       \
                                                 .module = KT_OPERATION_IMAGE,                               \
                                                 .doc = (documentation),                                     \
                                                 .bytes = sizeof(borders),                                   \
                                                 .options = (table),                                         \
                                                 .keeps_input_dtype = true,                                  \
                                                 .plain = true,                                              \
                                                 .check = check_borders,                                     \
                                                 .call = call_##c_name};
BORDERS(pad_images, "PadImages", "zeros around images", padding_options)
BORDERS(crop_images, "CropImages", "images without their borders", cropping_options)

/* ---- ExtractPatches
 * ----------------------------------------------------------------------------------------
 * Axis by axis, each place of the window along it is picked by positions; then the window's axes are moved to
 * the channels and become one with them. */
typedef struct patches {
    kt_layer layer;
    const json_t *size, *strides, *dilation_rate;
    const char *padding, *data_format;
} patches;
static const kt_option patch_options[] = {
    KT_FIELD(patches, size, JSON, NULL),
    KT_FIELD(patches, strides, JSON, "null"),
    KT_FIELD(patches, dilation_rate, JSON, "1"),
    KT_FIELD(patches, padding, CHOICE, "\"valid\"", .choices = "valid same"),
    KT_DATA_FORMAT(patches),
    KT_OPTIONS_END,
};

/* One number an axis, at least 1; a single one is for all. */
static bool read_each(const kt_layer_call *call, const char *option, const json_t *value, uint32_t count,
                      kt_ints *out) {
    if (!kt_operation_ints(call, option, value, out)) return false;
    if (!json_is_array(value))
        for (; out->count < count; out->count++) out->at[out->count] = out->at[0];
    bool valid = out->count == count;
    for (uint32_t i = 0; i < out->count; i++) valid = valid && out->at[i] >= 1;
    if (!valid)
        kt_trace_fail(call->trace, KT_INVALID, "the option '%s' must hold %u numbers of at least 1.", option,
                      count);
    return valid;
}

static kt_value pad_axis(kt_builder *b, kt_value x, int axis, kt_dim low, kt_dim high) {
    kt_type type = *kt_build_type(b, x);
    kt_dim before[KT_MAX_RANK], behind[KT_MAX_RANK];
    static const int64_t interior[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) before[i] = behind[i] = kt_dim_const(b->graph->dims, 0);
    before[axis] = low;
    behind[axis] = high;
    return kt_build_pad(b, x, kt_build_scalar(b, type.dtype, 0), before, behind, interior);
}

static kt_value pad_same(kt_builder *b, kt_value x, int axis, int64_t window, int64_t stride,
                         int64_t dilation) {
    kt_dim low, high;
    kt_same_padding(b->graph->dims, kt_build_type(b, x)->dims[axis], window, stride, dilation, &low, &high);
    return pad_axis(b, x, axis, low, high);
}

static void call_extract_patches(kt_layer *layer, kt_layer_call *call) {
    const patches *p = (const patches *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "images");
    uint32_t space = json_array_size(p->size) == 3 ? 3 : 2;
    kt_ints window, strides, dilation;
    if (!x || !read_each(call, "size", p->size, space, &window) ||
        !read_each(call, "strides", p->strides ? p->strides : p->size, space, &strides) ||
        !read_each(call, "dilation_rate", p->dilation_rate, space, &dilation))
        return;
    int rank = kt_build_type(b, x)->rank, k = (int)space;
    if (rank != k + 1 && rank != k + 2) {
        kt_trace_fail(call->trace, KT_INVALID, "its images must have %d or %d axes.", k + 1, k + 2);
        return;
    }
    bool batched = rank == k + 2, first = strcmp(p->data_format, "channels_first") == 0;
    x = kt_to_channels_last(b, batched ? x : kt_add_axis(b, x, 0), first);
    bool same = strcmp(p->padding, "same") == 0;
    for (int i = 0; i < k; i++) {
        int axis = 1 + 2 * i;
        if (same) x = pad_same(b, x, axis, window.at[i], strides.at[i], dilation.at[i]);
        x = kt_open_windows(b, x, axis, window.at[i], strides.at[i], dilation.at[i]);
    }
    if (!x) return;
    int64_t order[KT_MAX_RANK] = {0};
    for (int i = 0; i < k; i++) {
        order[1 + i] = 1 + 2 * i;
        order[1 + k + i] = 2 + 2 * i;
    }
    order[1 + 2 * k] = 1 + 2 * k;
    x = kt_build_transpose(b, x, order);
    kt_type type = *kt_build_type(b, x);
    for (int i = 2 + k; i < 2 + 2 * k; i++)
        type.dims[1 + k] = kt_dim_mul(b->graph->dims, type.dims[1 + k], type.dims[i]);
    x = kt_from_channels_last(b, kt_build_reshape(b, x, k + 2, type.dims), first);
    call->outputs[0] = batched ? x : kt_drop_axis(b, x, 0);
}
KT_OPERATION_WITH(extract_patches, "ExtractPatches", KT_OPERATION_IMAGE, "windows of images as channels",
                  patches, patch_options, call_extract_patches)
