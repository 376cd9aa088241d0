/* MaxPooling2D, AveragePooling2D, GlobalMaxPooling2D, GlobalAveragePooling2D.
 *
 * Padding never takes part: an average is over those elements of the window that lie in the image. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

enum { SPACE = 2, RANK = SPACE + 2 };

/* ---- windows
 * --------------------------------------------------------------------------------------------------- */
typedef struct pooling {
    kt_layer layer;
    kt_ints pool_size, strides;
    const char *padding, *data_format;
} pooling;

// clang-format off
#define WINDOW_OPTIONS(size) { \
    KT_FIELD(pooling, pool_size, INTS, size, .count = SPACE), \
    KT_FIELD(pooling, strides, INTS, "null", .count = SPACE), \
    KT_FIELD(pooling, padding, CHOICE, "\"valid\"", .choices = "valid same"), \
    KT_FIELD(pooling, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"), \
    KT_OPTIONS_END, \
}
// clang-format on
static const kt_option max_options[] = WINDOW_OPTIONS("[2, 2]");
static const kt_option average_options[] = WINDOW_OPTIONS(NULL);

static kt_status check_window(kt_layer *layer, kt_layer_context *context) {
    pooling *self = (pooling *)layer;
    if (self->strides.count == 0) self->strides = self->pool_size;
    kt_status status = kt_check_ranges(layer, context, "pool_size", &self->pool_size, 1);
    KT_COLLECT(status, kt_check_ranges(layer, context, "strides", &self->strides, 1));
    return status;
}

/* The window over [batch, height, width, channels]. */
static kt_attrs_reduce_window slide(const pooling *self, kt_dim_pool *dims, const kt_type *type,
                                    kt_reduction kind) {
    kt_dim zero = kt_dim_const(dims, 0);
    kt_attrs_reduce_window attrs = {
        .kind = kind,
        .window = {RANK, {1, self->pool_size.at[0], self->pool_size.at[1], 1}},
        .strides = {RANK, {1, self->strides.at[0], self->strides.at[1], 1}},
        .dilation = {RANK, {1, 1, 1, 1}},
        .low = {RANK, {zero, zero, zero, zero}},
        .high = {RANK, {zero, zero, zero, zero}},
    };
    if (strcmp(self->padding, "same") != 0) return attrs;
    for (int i = 1; i <= SPACE; i++) {
        kt_same_padding(dims, type->dims[i], attrs.window.at[i], attrs.strides.at[i], 1, &attrs.low.at[i],
                        &attrs.high.at[i]);
    }
    return attrs;
}

/* How many elements of each window lie in the image, spread to sums' shape. */
static kt_value count_elements(kt_builder *builder, const kt_attrs_reduce_window *attrs, kt_type type,
                               kt_value sums) {
    kt_dim_pool *dims = builder->graph->dims;
    bool padded = false;
    for (int i = 1; i <= SPACE; i++) {
        padded |= !kt_dim_equals(dims, attrs->low.at[i], 0) || !kt_dim_equals(dims, attrs->high.at[i], 0);
    }
    if (!padded) return kt_build_like(builder, sums, (double)(attrs->window.at[1] * attrs->window.at[2]));
    type.dims[0] = type.dims[RANK - 1] = kt_dim_const(dims, 1);
    kt_value count = kt_build_reduce_window(builder, kt_build_fill(builder, &type, 1), attrs);
    kt_type shape = *kt_build_type(builder, sums);
    return kt_build_broadcast_to(builder, count, shape.rank, shape.dims);
}

static void pool(const pooling *self, kt_layer_call *call, kt_reduction kind) {
    kt_builder *builder = call->trace->builder;
    bool channels_first = strcmp(self->data_format, "channels_first") == 0;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, RANK, RANK)) return;
    kt_trace_at(call->trace, "pool");
    kt_value x = kt_to_channels_last(builder, call->inputs[0], channels_first);
    kt_type type = *kt_build_type(builder, x);
    kt_attrs_reduce_window attrs = slide(self, builder->graph->dims, &type, kind);
    kt_value y = kt_build_reduce_window(builder, x, &attrs);
    if (kind == KT_REDUCE_SUM) y = kt_build_div(builder, y, count_elements(builder, &attrs, type, y));
    call->outputs[0] = kt_from_channels_last(builder, y, channels_first);
}

static void call_max(kt_layer *layer, kt_layer_call *call) {
    pool((pooling *)layer, call, KT_REDUCE_MAXIMUM);
}
static void call_average(kt_layer *layer, kt_layer_call *call) {
    pool((pooling *)layer, call, KT_REDUCE_SUM);
}

const kt_layer_class kt_class_max_pooling_2d = {
    .name = "MaxPooling2D",
    .module = "keras.layers",
    .doc = "the largest element under a window that moves over images",
    .bytes = sizeof(pooling),
    .options = max_options,
    .check = check_window,
    .call = call_max,
};

const kt_layer_class kt_class_average_pooling_2d = {
    .name = "AveragePooling2D",
    .module = "keras.layers",
    .doc = "the mean under a window that moves over images",
    .bytes = sizeof(pooling),
    .options = average_options,
    .check = check_window,
    .call = call_average,
};

/* ---- whole images
 * ------------------------------------------------------------------------------------------------ */
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

static void pool_all(const global_pooling *self, kt_layer_call *call, kt_reduction kind) {
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, RANK, RANK)) return;
    bool channels_first = strcmp(self->data_format, "channels_first") == 0;
    kt_ints axes = channels_first ? (kt_ints){SPACE, {2, 3}} : (kt_ints){SPACE, {1, 2}};
    kt_value x = call->inputs[0];
    kt_type type = *kt_build_type(builder, x);
    kt_trace_at(call->trace, "pool");
    kt_value y;
    if (kind == KT_REDUCE_SUM) {
        /* Keras adds up in float32 at least, and gives floats for integers. */
        kt_dtype result = kt_dtype_is_float(type.dtype) ? type.dtype : KT_F32;
        y = kt_build_cast(builder, x, kt_dtype_promote(type.dtype, KT_F32));
        y = kt_build_reduce(builder, y, kind, axes.count, axes.at);
        y = kt_build_cast(builder, kt_divide_by_count(builder, y, &type, &axes), result);
    } else {
        y = kt_build_reduce(builder, x, kind, axes.count, axes.at);
    }
    if (self->keepdims) {
        for (uint32_t i = 0; i < axes.count; i++)
            type.dims[axes.at[i]] = kt_dim_const(builder->graph->dims, 1);
        y = kt_build_reshape(builder, y, type.rank, type.dims);
    }
    call->outputs[0] = y;
}

static void call_global_max(kt_layer *layer, kt_layer_call *call) {
    pool_all((global_pooling *)layer, call, KT_REDUCE_MAXIMUM);
}

static void call_global_average(kt_layer *layer, kt_layer_call *call) {
    pool_all((global_pooling *)layer, call, KT_REDUCE_SUM);
}

const kt_layer_class kt_class_global_max_pooling_2d = {
    .name = "GlobalMaxPooling2D",
    .module = "keras.layers",
    .doc = "the largest element of each channel of images",
    .bytes = sizeof(global_pooling),
    .options = global_options,
    .call = call_global_max,
};

const kt_layer_class kt_class_global_average_pooling_2d = {
    .name = "GlobalAveragePooling2D",
    .module = "keras.layers",
    .doc = "the mean of each channel of images",
    .bytes = sizeof(global_pooling),
    .options = global_options,
    .call = call_global_average,
};
