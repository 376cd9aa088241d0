/* Pooling along one, two or three axes: the largest element, or the mean, of a moving window or of all.
 * The number of axes is the length of pool_size, which the option table sees to. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

/* ---- windows --------------------------------------------------------------------------------- */
typedef struct pooling {
    kt_layer layer;
    kt_ints pool_size, strides;
    const char *padding, *data_format;
} pooling;

// clang-format off
#define WINDOW_OPTIONS(space, size) { \
    KT_FIELD(pooling, pool_size, INTS, size, .count = (space)), \
    KT_FIELD(pooling, strides, INTS, "null", .count = (space)), \
    KT_FIELD(pooling, padding, CHOICE, "\"valid\"", .choices = "valid same"), \
    KT_FIELD(pooling, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"), \
    KT_OPTIONS_END, \
}
// clang-format on

static kt_status check_window(kt_layer *layer, kt_layer_context *context) {
    pooling *self = (pooling *)layer;
    if (self->strides.count == 0) self->strides = self->pool_size;
    kt_status status = kt_check_ranges(layer, context, "pool_size", &self->pool_size, 1);
    KT_COLLECT(status, kt_check_ranges(layer, context, "strides", &self->strides, 1));
    return status;
}

static void pool(const pooling *self, kt_layer_call *call, kt_reduction kind) {
    kt_builder *builder = call->trace->builder;
    int rank = (int)self->pool_size.count + 2;
    bool channels_first = strcmp(self->data_format, "channels_first") == 0;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, rank, rank)) return;
    kt_trace_at(call->trace, "pool");
    kt_value x = kt_to_channels_last(builder, call->inputs[0], channels_first);
    kt_sliding sliding = {.strides = self->strides, .padding = self->padding};
    kt_value y = kt_pool(builder, x, &self->pool_size, &sliding, kind);
    call->outputs[0] = kt_from_channels_last(builder, y, channels_first);
}

static void call_max(kt_layer *layer, kt_layer_call *call) {
    pool((pooling *)layer, call, KT_REDUCE_MAXIMUM);
}
static void call_average(kt_layer *layer, kt_layer_call *call) {
    pool((pooling *)layer, call, KT_REDUCE_SUM);
}

#define WINDOW_POOLING(symbol, keras_name, space, kind, size, text)                                          \
    static const kt_option symbol##_options[] = WINDOW_OPTIONS(space, size);                                 \
    const kt_layer_class kt_class_##symbol = {                                                               \
        .name = (keras_name),                                                                                \
        .module = "keras.layers",                                                                            \
        .doc = (text),                                                                                       \
        .bytes = sizeof(pooling),                                                                            \
        .options = symbol##_options,                                                                         \
        .check = check_window,                                                                               \
        .call = call_##kind,                                                                                 \
    };

// clang-format off
WINDOW_POOLING(max_pooling_1d, "MaxPooling1D", 1, max, "2",
               "the largest element under a window that moves over sequences")
WINDOW_POOLING(max_pooling_2d, "MaxPooling2D", 2, max, "2",
               "the largest element under a window that moves over images")
WINDOW_POOLING(max_pooling_3d, "MaxPooling3D", 3, max, "2",
               "the largest element under a window that moves over volumes")
WINDOW_POOLING(average_pooling_1d, "AveragePooling1D", 1, average, NULL,
               "the mean under a window that moves over sequences")
WINDOW_POOLING(average_pooling_2d, "AveragePooling2D", 2, average, NULL,
               "the mean under a window that moves over images")
WINDOW_POOLING(average_pooling_3d, "AveragePooling3D", 3, average, NULL,
               "the mean under a window that moves over volumes")
// clang-format on

/* ---- all elements ---------------------------------------------------------------------------- */
typedef struct global_pooling {
    kt_layer layer;
    const char *data_format;
    bool keepdims;
} global_pooling;

// clang-format off
static const kt_option global_options[] = {
    KT_FIELD(global_pooling, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"),
    KT_FIELD(global_pooling, keepdims, BOOL, "false"),
    KT_OPTIONS_END,
};
// clang-format on

static bool pools_channels_first(const global_pooling *self) {
    return strcmp(self->data_format, "channels_first") == 0;
}

/* The input's axes of space; false and a problem where there are not so many. */
static bool find_space(const global_pooling *self, const kt_layer_call *call, int space, kt_ints *out_axes) {
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, space + 2, space + 2)) return false;
    out_axes->count = (uint32_t)space;
    for (int i = 0; i < space; i++) out_axes->at[i] = pools_channels_first(self) ? i + 2 : i + 1;
    return true;
}

/* y, which a reduction over axes of x left, with the axes kept if keepdims says so. */
static kt_value keep_axes(const global_pooling *self, kt_builder *builder, kt_value y, kt_value x,
                          const kt_ints *axes) {
    kt_type type = *kt_build_type(builder, x);
    if (!self->keepdims) return y;
    for (uint32_t i = 0; i < axes->count; i++) type.dims[axes->at[i]] = kt_dim_const(builder->graph->dims, 1);
    return kt_build_reshape(builder, y, type.rank, type.dims);
}

static void global_max(kt_layer *layer, kt_layer_call *call, int space) {
    const global_pooling *self = (const global_pooling *)layer;
    kt_builder *builder = call->trace->builder;
    kt_ints axes;
    if (!find_space(self, call, space, &axes)) return;
    kt_trace_at(call->trace, "pool");
    kt_value y = kt_build_reduce(builder, call->inputs[0], KT_REDUCE_MAXIMUM, axes.count, axes.at);
    call->outputs[0] = keep_axes(self, builder, y, call->inputs[0], &axes);
}

/* The mean of the steps that the mask [batch, time] keeps, as x is [batch, time, channels] or, channels
 * first, [batch, channels, time]. */
static kt_value masked_mean(kt_builder *builder, kt_value x, kt_value mask, const kt_ints *axes) {
    kt_type type = *kt_build_type(builder, x);
    int64_t kept[] = {0, axes->at[0]};
    if (kt_build_type(builder, mask)->dtype != KT_BOOL)
        mask = kt_build_ne(builder, mask, kt_build_like(builder, mask, 0));
    mask = kt_build_broadcast(builder, mask, type.rank, type.dims, kept);
    x = kt_build_select(builder, mask, x, kt_build_like(builder, x, 0));
    kt_value count = kt_build_cast(builder, mask, type.dtype);
    return kt_build_div(builder, kt_build_reduce(builder, x, KT_REDUCE_SUM, axes->count, axes->at),
                        kt_build_reduce(builder, count, KT_REDUCE_SUM, axes->count, axes->at));
}

static void global_average(kt_layer *layer, kt_layer_call *call, int space) {
    const global_pooling *self = (const global_pooling *)layer;
    kt_builder *builder = call->trace->builder;
    kt_ints axes;
    if (!find_space(self, call, space, &axes)) return;
    if (space == 1 && !kt_call_mask_has_rank(call, 0, 2)) return;
    kt_trace_at(call->trace, "pool");
    kt_dtype dtype = kt_call_type(call, 0)->dtype;
    /* Keras adds up in float32 at least, and gives floats for integers. */
    kt_dtype result = kt_dtype_is_float(dtype) ? dtype : KT_F32;
    kt_value x = kt_build_cast(builder, call->inputs[0], kt_dtype_promote(dtype, KT_F32));
    kt_value y = space == 1 && call->masks[0] ? masked_mean(builder, x, call->masks[0], &axes)
                                              : kt_mean(builder, x, &axes);
    call->outputs[0] = keep_axes(self, builder, kt_build_cast(builder, y, result), x, &axes);
}

#define GLOBAL_POOLING(symbol, keras_name, kind, space, text)                                                \
    static void call_##symbol(kt_layer *layer, kt_layer_call *call) { kind(layer, call, space); }            \
    const kt_layer_class kt_class_##symbol = {                                                               \
        .name = (keras_name),                                                                                \
        .module = "keras.layers",                                                                            \
        .doc = (text),                                                                                       \
        .bytes = sizeof(global_pooling),                                                                     \
        .options = global_options,                                                                           \
        .call = call_##symbol,                                                                               \
    };

// clang-format off
GLOBAL_POOLING(global_max_pooling_1d, "GlobalMaxPooling1D", global_max, 1,
               "the largest element of each channel of sequences")
GLOBAL_POOLING(global_max_pooling_2d, "GlobalMaxPooling2D", global_max, 2,
               "the largest element of each channel of images")
GLOBAL_POOLING(global_max_pooling_3d, "GlobalMaxPooling3D", global_max, 3,
               "the largest element of each channel of volumes")
GLOBAL_POOLING(global_average_pooling_1d, "GlobalAveragePooling1D", global_average, 1,
               "the mean of each channel of sequences, of the steps that the mask keeps")
GLOBAL_POOLING(global_average_pooling_2d, "GlobalAveragePooling2D", global_average, 2,
               "the mean of each channel of images")
GLOBAL_POOLING(global_average_pooling_3d, "GlobalAveragePooling3D", global_average, 3,
               "the mean of each channel of volumes")
// clang-format on
