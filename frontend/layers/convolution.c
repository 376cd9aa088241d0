/* Conv2D and DepthwiseConv2D: activation(conv(x, kernel) + bias).
 *
 * Both are one `conv` over [batch, height, width, channels]; channels_first is transposed there and back. A
 * depthwise convolution has as many groups as channels: its kernel [height, width, channels, multiplier] is
 * reshaped to [height, width, 1, channels * multiplier]. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

enum { SPACE = 2 };

typedef struct convolution {
    kt_layer layer;
    int64_t filters, groups;  /* Conv2D */
    int64_t depth_multiplier; /* DepthwiseConv2D; else 0 */
    kt_ints kernel_size, strides, dilation_rate;
    const char *padding, *data_format;
    kt_activation activation;
    bool use_bias;
    const json_t *kernel_initializer, *kernel_regularizer, *kernel_constraint;
    const json_t *depthwise_initializer, *depthwise_regularizer, *depthwise_constraint;
    const json_t *bias_initializer, *bias_regularizer, *bias_constraint;
} convolution;

// clang-format off
#define SHARED_OPTIONS \
    KT_FIELD(convolution, kernel_size, INTS, NULL, .count = SPACE), \
    KT_FIELD(convolution, strides, INTS, "1", .count = SPACE), \
    KT_FIELD(convolution, padding, CHOICE, "\"valid\"", .choices = "valid same"), \
    KT_FIELD(convolution, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"), \
    KT_FIELD(convolution, dilation_rate, INTS, "1", .count = SPACE), \
    KT_FIELD(convolution, activation, ACTIVATION, "null"), \
    KT_FIELD(convolution, use_bias, BOOL, "true"), \
    KT_INITIALIZER(convolution, bias_initializer, "\"zeros\""), \
    KT_REGULARIZER(convolution, bias_regularizer), \
    KT_ACTIVITY_REGULARIZER, \
    KT_CONSTRAINT(convolution, bias_constraint)

static const kt_option conv_options[] = {
    KT_FIELD(convolution, filters, INT, NULL),
    SHARED_OPTIONS,
    KT_FIELD(convolution, groups, INT, "1"),
    KT_INITIALIZER(convolution, kernel_initializer, "\"glorot_uniform\""),
    KT_REGULARIZER(convolution, kernel_regularizer),
    KT_CONSTRAINT(convolution, kernel_constraint),
    KT_UNSUPPORTED_UNWRITTEN("lora_rank"),
    KT_UNSUPPORTED_UNWRITTEN("lora_alpha"),
    KT_OPTIONS_END,
};

static const kt_option depthwise_options[] = {
    KT_FIELD(convolution, depth_multiplier, INT, "1"),
    SHARED_OPTIONS,
    KT_INITIALIZER(convolution, depthwise_initializer, "\"glorot_uniform\""),
    KT_REGULARIZER(convolution, depthwise_regularizer),
    KT_CONSTRAINT(convolution, depthwise_constraint),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_shared(const convolution *self, kt_layer_context *context) {
    const kt_layer *layer = &self->layer;
    kt_status status = kt_check_ranges(layer, context, "kernel_size", &self->kernel_size, 1);
    KT_COLLECT(status, kt_check_ranges(layer, context, "strides", &self->strides, 1));
    KT_COLLECT(status, kt_check_ranges(layer, context, "dilation_rate", &self->dilation_rate, 1));
    bool strided = self->strides.at[0] > 1 || self->strides.at[1] > 1;
    bool dilated = self->dilation_rate.at[0] > 1 || self->dilation_rate.at[1] > 1;
    if (strided && dilated) {
        status = kt_layer_reject(layer, context, KT_INVALID, "dilation_rate",
                                 "must be 1 where strides are above 1; Keras has no such convolution.");
    }
    return status;
}

static kt_status check_conv(kt_layer *layer, kt_layer_context *context) {
    const convolution *self = (const convolution *)layer;
    kt_status status = check_shared(self, context);
    KT_COLLECT(status, kt_check_range(layer, context, "filters", self->filters, 1));
    KT_COLLECT(status, kt_check_range(layer, context, "groups", self->groups, 1));
    if (status == KT_OK && self->filters % self->groups != 0) {
        status = kt_layer_reject(layer, context, KT_INVALID, "groups", "must divide the number of filters.");
    }
    return status;
}

static kt_status check_depthwise(kt_layer *layer, kt_layer_context *context) {
    const convolution *self = (const convolution *)layer;
    kt_status status = check_shared(self, context);
    KT_COLLECT(status, kt_check_range(layer, context, "depth_multiplier", self->depth_multiplier, 1));
    return status;
}

static bool is_channels_first(const convolution *self) {
    return strcmp(self->data_format, "channels_first") == 0;
}

/* The number of channels of the input, or -1 and a problem. */
static int64_t count_channels(const convolution *self, const kt_layer_call *call) {
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, SPACE + 2, SPACE + 2)) return -1;
    return kt_call_static_dim(call, is_channels_first(self) ? 1 : SPACE + 1);
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    int64_t channels = count_channels(self, call);
    if (channels < 0) return KT_INVALID;
    bool depthwise = self->depth_multiplier > 0;
    if (!depthwise && channels % self->groups != 0) {
        kt_trace_fail(trace, KT_INVALID, "the input's %lld channels do not fall into %lld groups.",
                      (long long)channels, (long long)self->groups);
        return KT_INVALID;
    }
    int64_t features = depthwise ? channels * self->depth_multiplier : self->filters;
    int64_t shape[] = {self->kernel_size.at[0], self->kernel_size.at[1],
                       depthwise ? channels : channels / self->groups,
                       depthwise ? self->depth_multiplier : self->filters};
    kt_type kernel = kt_type_of(kt_call_dims(call), layer->variable_dtype, SPACE + 2, shape);
    kt_type bias = kt_type_of(kt_call_dims(call), layer->variable_dtype, 1, &features);
    kt_layer_add_weight(layer, trace, "kernel", &kernel,
                        depthwise ? self->depthwise_initializer : self->kernel_initializer, true);
    if (self->use_bias) kt_layer_add_weight(layer, trace, "bias", &bias, self->bias_initializer, true);
    return KT_OK;
}

static kt_value convolve(const convolution *self, kt_builder *builder, kt_value x, kt_value kernel,
                         int64_t groups) {
    kt_dim_pool *dims = builder->graph->dims;
    kt_type type = *kt_build_type(builder, x);
    kt_attrs_conv attrs = {
        .strides = self->strides,
        .low = {.count = SPACE},
        .high = {.count = SPACE},
        .dilation = self->dilation_rate,
        .input_dilation = {SPACE, {1, 1}},
        .groups = groups,
    };
    bool same = strcmp(self->padding, "same") == 0;
    for (int i = 0; i < SPACE; i++) {
        attrs.low.at[i] = attrs.high.at[i] = kt_dim_const(dims, 0);
        if (!same) continue;
        kt_same_padding(dims, type.dims[i + 1], self->kernel_size.at[i], self->strides.at[i],
                        self->dilation_rate.at[i], &attrs.low.at[i], &attrs.high.at[i]);
    }
    return kt_build_conv(builder, x, kernel, &attrs);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    bool channels_first = is_channels_first(self);
    int64_t channels = count_channels(self, call);
    if (channels < 0) return;
    kt_trace_at(trace, "conv");
    kt_value kernel = kt_trace_weight(trace, layer, 0);
    int64_t groups = self->groups;
    if (self->depth_multiplier > 0) {
        groups = channels;
        kt_type type = *kt_build_type(builder, kernel);
        type.dims[SPACE] = kt_dim_const(kt_call_dims(call), 1);
        type.dims[SPACE + 1] = kt_dim_const(kt_call_dims(call), channels * self->depth_multiplier);
        kernel = kt_build_reshape(builder, kernel, SPACE + 2, type.dims);
    }
    kt_value x = kt_build_cast(builder, call->inputs[0], kt_build_type(builder, kernel)->dtype);
    x = convolve(self, builder, kt_to_channels_last(builder, x, channels_first), kernel, groups);
    if (self->use_bias) {
        kt_trace_at(trace, "bias");
        x = kt_build_add(builder, x, kt_along_axis(builder, kt_trace_weight(trace, layer, 1), x, SPACE + 1));
    }
    x = kt_from_channels_last(builder, x, channels_first);
    call->outputs[0] = kt_apply_activation(call, &self->activation, x);
}

const kt_layer_class kt_class_conv_2d = {
    .name = "Conv2D",
    .module = "keras.layers",
    .doc = "convolution of images: activation(conv(x, kernel) + bias)",
    .bytes = sizeof(convolution),
    .options = conv_options,
    .check = check_conv,
    .build = build,
    .call = call,
};

const kt_layer_class kt_class_depthwise_conv_2d = {
    .name = "DepthwiseConv2D",
    .module = "keras.layers",
    .doc = "convolution of each channel of images by itself",
    .bytes = sizeof(convolution),
    .options = depthwise_options,
    .check = check_depthwise,
    .build = build,
    .call = call,
};
