/* Operation nodes that move windows: convolutions, whose kernels are arguments like any other, and pooling.
 */
#include "frontend/layers/windows_impl.h"
#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct windowed {
    kt_layer layer;
    const json_t *strides, *dilation_rate, *output_padding, *pool_size, *output_size;
    const char *padding, *data_format;
} windowed;

// clang-format off
#define SLIDING(default_strides) \
    KT_FIELD(windowed, strides, JSON, default_strides), \
    KT_FIELD(windowed, padding, CHOICE, "\"valid\"", .choices = "valid same"), \
    KT_DATA_FORMAT(windowed)
static const kt_option conv_options[] = {
    SLIDING("1"), KT_FIELD(windowed, dilation_rate, JSON, "1"), KT_OPTIONS_END};
static const kt_option transposed_options[] = {
    SLIDING("1"), KT_FIELD(windowed, output_padding, JSON, "null"), KT_FIELD(windowed, dilation_rate, JSON, "1"),
    KT_OPTIONS_END};
static const kt_option pool_options[] = {KT_FIELD(windowed, pool_size, JSON, NULL), SLIDING("null"), KT_OPTIONS_END};
static const kt_option adaptive_options[] = {
    KT_FIELD(windowed, output_size, JSON, NULL), KT_DATA_FORMAT(windowed), KT_OPTIONS_END};
// clang-format on

static bool is_channels_first(const windowed *w) { return strcmp(w->data_format, "channels_first") == 0; }

/* The argument `inputs` as [batch, space…, channels]; 0 and a problem if it has no space. */
static kt_value take_input(const windowed *w, const kt_layer_call *call, uint32_t *out_space) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "inputs");
    if (!x) return 0;
    int rank = kt_build_type(b, x)->rank;
    if (rank < 3) {
        kt_trace_fail(call->trace, KT_INVALID, "its input must have at least 3 axes, but has %d.", rank);
        return 0;
    }
    *out_space = (uint32_t)rank - 2;
    return kt_to_channels_last(b, x, is_channels_first(w));
}

static void give(const windowed *w, kt_layer_call *call, kt_value y) {
    if (y) call->outputs[0] = kt_from_channels_last(call->trace->builder, y, is_channels_first(w));
}

/* ---- convolution ----------------------------------------------------------------------------- */
/* What all convolutions take; as in Keras, the input is cast to the kernel's dtype. */
typedef struct convolving {
    kt_value x, kernel;
    uint32_t space;
    kt_sliding sliding;
} convolving;

static bool take_convolution(const windowed *w, const kt_layer_call *call, const char *kernel,
                             convolving *out) {
    kt_builder *b = call->trace->builder;
    out->x = take_input(w, call, &out->space);
    out->kernel = out->x ? kt_operation_tensor(call, 1, kernel) : 0;
    out->sliding.padding = w->padding;
    if (!out->kernel ||
        !kt_operation_spread(call, "strides", w->strides, out->space, 1, &out->sliding.strides) ||
        !kt_operation_spread(call, "dilation_rate", w->dilation_rate, out->space, 1, &out->sliding.dilation))
        return false;
    out->x = kt_build_cast(b, out->x, kt_build_type(b, out->kernel)->dtype);
    return out->x != 0;
}

/* Into how many groups the channels fall: a kernel of fewer channels than the input has. */
static bool count_groups(const kt_layer_call *call, const convolving *c, int64_t *out_groups) {
    kt_builder *b = call->trace->builder;
    kt_type x = *kt_build_type(b, c->x), kernel = *kt_build_type(b, c->kernel);
    int64_t channels, of_kernel;
    *out_groups = 1;
    if (kernel.rank != x.rank || !kt_dim_is_const(b->graph->dims, x.dims[x.rank - 1], &channels) ||
        !kt_dim_is_const(b->graph->dims, kernel.dims[x.rank - 2], &of_kernel))
        return true; /* the builder compares them */
    if (of_kernel < 1 || channels < of_kernel || channels % of_kernel != 0) {
        kt_trace_fail(call->trace, KT_INVALID,
                      "the input's %lld channels do not fall into groups of the kernel's %lld.",
                      (long long)channels, (long long)of_kernel);
        return false;
    }
    *out_groups = channels / of_kernel;
    return true;
}

static void call_conv(kt_layer *layer, kt_layer_call *call) {
    const windowed *w = (const windowed *)layer;
    convolving c;
    int64_t groups;
    if (take_convolution(w, call, "kernel", &c) && count_groups(call, &c, &groups))
        give(w, call, kt_convolve(call->trace->builder, c.x, c.kernel, &c.sliding, groups));
}

static void call_depthwise(kt_layer *layer, kt_layer_call *call) {
    const windowed *w = (const windowed *)layer;
    convolving c;
    if (take_convolution(w, call, "kernel", &c))
        give(w, call, kt_convolve_depthwise(call->trace->builder, c.x, c.kernel, &c.sliding));
}

static void call_separable(kt_layer *layer, kt_layer_call *call) {
    const windowed *w = (const windowed *)layer;
    kt_builder *b = call->trace->builder;
    convolving c;
    if (!take_convolution(w, call, "depthwise_kernel", &c)) return;
    kt_value pointwise = kt_operation_tensor(call, 2, "pointwise_kernel");
    kt_value y = pointwise ? kt_convolve_depthwise(b, c.x, c.kernel, &c.sliding) : 0;
    if (!y) return;
    y = kt_build_cast(b, y, kt_build_type(b, pointwise)->dtype);
    give(w, call, kt_convolve_plain(b, y, pointwise));
}

static void call_transposed(kt_layer *layer, kt_layer_call *call) {
    const windowed *w = (const windowed *)layer;
    convolving c;
    kt_ints behind = {0};
    if (!take_convolution(w, call, "kernel", &c)) return;
    if (w->output_padding &&
        !kt_operation_spread(call, "output_padding", w->output_padding, c.space, 0, &behind))
        return;
    for (uint32_t i = 0; i < behind.count; i++) {
        if (behind.at[i] < c.sliding.strides.at[i]) continue;
        kt_trace_fail(call->trace, KT_INVALID, "the option 'output_padding' must be below the strides.");
        return;
    }
    give(w, call, kt_convolve_transposed(call->trace->builder, c.x, c.kernel, &c.sliding, &behind));
}

// clang-format off
KT_OPERATION_WITH(conv, "Conv", KT_OPERATION_NN, "convolution with a kernel that is an argument",
                  windowed, conv_options, call_conv)
KT_OPERATION_WITH(depthwise_conv, "DepthwiseConv", KT_OPERATION_NN, "convolution of each channel by itself",
                  windowed, conv_options, call_depthwise)
KT_OPERATION_WITH(separable_conv, "SeparableConv", KT_OPERATION_NN,
                  "convolution of each channel by itself, then across channels",
                  windowed, conv_options, call_separable)
KT_OPERATION_WITH(conv_transpose, "ConvTranspose", KT_OPERATION_NN, "transposed convolution",
                  windowed, transposed_options, call_transposed)
// clang-format on

/* ---- pooling --------------------------------------------------------------------------------- */
static void pool(const windowed *w, kt_layer_call *call, kt_reduction kind) {
    uint32_t space;
    kt_ints window;
    kt_sliding sliding = {.padding = w->padding};
    kt_value x = take_input(w, call, &space);
    if (!x || !kt_operation_spread(call, "pool_size", w->pool_size, space, 1, &window)) return;
    sliding.strides = window;
    if (w->strides && !kt_operation_spread(call, "strides", w->strides, space, 1, &sliding.strides)) return;
    give(w, call, kt_pool(call->trace->builder, x, &window, &sliding, kind));
}

static void pool_adaptively(const windowed *w, kt_layer_call *call, kt_reduction kind) {
    uint32_t space;
    kt_ints places;
    kt_value x = take_input(w, call, &space);
    if (!x || !kt_operation_spread(call, "output_size", w->output_size, space, 1, &places)) return;
    for (uint32_t i = 0; i < space; i++)
        x = kt_pool_adaptively(call->trace->builder, x, (int)i + 1, places.at[i], kind);
    give(w, call, x);
}

/* Means are of floats; so Keras's backends have it. */
static bool takes_floats(const kt_layer_call *call) {
    kt_value x = kt_operation_tensor(call, 0, "inputs");
    if (!x || kt_dtype_is_float(kt_build_type(call->trace->builder, x)->dtype)) return x != 0;
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "its input must be of floats.");
    return false;
}

static void call_max(kt_layer *layer, kt_layer_call *call) {
    pool((const windowed *)layer, call, KT_REDUCE_MAXIMUM);
}
static void call_average(kt_layer *layer, kt_layer_call *call) {
    if (takes_floats(call)) pool((const windowed *)layer, call, KT_REDUCE_SUM);
}
static void call_adaptive_max(kt_layer *layer, kt_layer_call *call) {
    pool_adaptively((const windowed *)layer, call, KT_REDUCE_MAXIMUM);
}
static void call_adaptive_average(kt_layer *layer, kt_layer_call *call) {
    if (takes_floats(call)) pool_adaptively((const windowed *)layer, call, KT_REDUCE_SUM);
}

// clang-format off
KT_OPERATION_WITH(max_pool, "MaxPool", KT_OPERATION_NN, "the largest element under a moving window",
                  windowed, pool_options, call_max)
KT_OPERATION_WITH(average_pool, "AveragePool", KT_OPERATION_NN, "the mean under a moving window",
                  windowed, pool_options, call_average)
KT_OPERATION_WITH(adaptive_max_pool, "AdaptiveMaxPool", KT_OPERATION_NN, "largest elements, to a given size",
                  windowed, adaptive_options, call_adaptive_max)
KT_OPERATION_WITH(adaptive_average_pool, "AdaptiveAveragePool", KT_OPERATION_NN, "means, to a given size",
                  windowed, adaptive_options, call_adaptive_average)
// clang-format on
