/* Convolutions along one, two or three axes: activation(conv(x, kernel) + bias), plain, depthwise, separable
 * and transposed (convolve.c), a separable one being two; channels_first is transposed there and back. The
 * number of axes is the length of kernel_size, which the option table sees to. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

typedef struct convolution {
    kt_layer layer;
    int64_t filters, groups;
    int64_t depth_multiplier;
    kt_ints kernel_size, strides, dilation_rate;
    kt_ints output_padding; /* count 0: None */
    const char *padding, *data_format;
    kt_activation activation;
    bool use_bias;
    const json_t *kernel_initializer, *kernel_regularizer, *kernel_constraint;
    const json_t *depthwise_initializer, *depthwise_regularizer, *depthwise_constraint;
    const json_t *pointwise_initializer, *pointwise_regularizer, *pointwise_constraint;
    const json_t *bias_initializer, *bias_regularizer, *bias_constraint;
    kt_lora lora;
} convolution;

/* ---- options --------------------------------------------------------------------------------- */
// clang-format off
#define SHARED_OPTIONS(space, paddings) \
    KT_FIELD(convolution, kernel_size, INTS, NULL, .count = (space)), \
    KT_FIELD(convolution, strides, INTS, "1", .count = (space)), \
    KT_FIELD(convolution, padding, CHOICE, "\"valid\"", .choices = (paddings)), \
    KT_FIELD(convolution, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"), \
    KT_FIELD(convolution, dilation_rate, INTS, "1", .count = (space)), \
    KT_FIELD(convolution, activation, ACTIVATION, "null"), \
    KT_FIELD(convolution, use_bias, BOOL, "true"), \
    KT_INITIALIZER(convolution, bias_initializer, "\"zeros\""), \
    KT_REGULARIZER(convolution, bias_regularizer), \
    KT_ACTIVITY_REGULARIZER, \
    KT_CONSTRAINT(convolution, bias_constraint)

#define KERNEL_OPTIONS(kernel) \
    KT_INITIALIZER(convolution, kernel##_initializer, "\"glorot_uniform\""), \
    KT_REGULARIZER(convolution, kernel##_regularizer), \
    KT_CONSTRAINT(convolution, kernel##_constraint)

#define CONV_OPTIONS(space, paddings) { \
    KT_FIELD(convolution, filters, INT, NULL), \
    SHARED_OPTIONS(space, paddings), \
    KT_FIELD(convolution, groups, INT, "1"), \
    KERNEL_OPTIONS(kernel), \
    KT_LORA(convolution, lora), \
    KT_OPTIONS_END, \
}

#define DEPTHWISE_OPTIONS(space) { \
    KT_FIELD(convolution, depth_multiplier, INT, "1"), \
    SHARED_OPTIONS(space, "valid same"), \
    KERNEL_OPTIONS(depthwise), \
    KT_OPTIONS_END, \
}

#define SEPARABLE_OPTIONS(space) { \
    KT_FIELD(convolution, filters, INT, NULL), \
    KT_FIELD(convolution, depth_multiplier, INT, "1"), \
    SHARED_OPTIONS(space, "valid same"), \
    KERNEL_OPTIONS(depthwise), \
    KERNEL_OPTIONS(pointwise), \
    KT_OPTIONS_END, \
}

#define TRANSPOSED_OPTIONS(space) { \
    KT_FIELD(convolution, filters, INT, NULL), \
    KT_FIELD(convolution, output_padding, INTS, "null", .count = (space)), \
    SHARED_OPTIONS(space, "valid same"), \
    KERNEL_OPTIONS(kernel), \
    KT_OPTIONS_END, \
}
// clang-format on

static kt_status check_shared(const convolution *self, kt_layer_context *context) {
    const kt_layer *layer = &self->layer;
    kt_status status = kt_check_ranges(layer, context, "kernel_size", &self->kernel_size, 1);
    KT_COLLECT(status, kt_check_ranges(layer, context, "strides", &self->strides, 1));
    KT_COLLECT(status, kt_check_ranges(layer, context, "dilation_rate", &self->dilation_rate, 1));
    return status;
}

static bool has_above_1(const kt_ints *ints) {
    for (uint32_t i = 0; i < ints->count; i++)
        if (ints->at[i] > 1) return true;
    return false;
}

/* Options of the convolutions that have filters and make no difference between channels. */
static kt_status check_full(const convolution *self, kt_layer_context *context) {
    kt_status status = check_shared(self, context);
    if (has_above_1(&self->strides) && has_above_1(&self->dilation_rate)) {
        status = kt_layer_reject(&self->layer, context, KT_INVALID, "dilation_rate",
                                 "must be 1 where strides are above 1; Keras has no such convolution.");
    }
    KT_COLLECT(status, kt_check_range(&self->layer, context, "filters", self->filters, 1));
    return status;
}

static kt_status check_conv(kt_layer *layer, kt_layer_context *context) {
    const convolution *self = (const convolution *)layer;
    kt_status status = check_full(self, context);
    KT_COLLECT(status, kt_check_range(layer, context, "groups", self->groups, 1));
    KT_COLLECT(status, kt_check_lora(layer, context, &self->lora));
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

static kt_status check_separable(kt_layer *layer, kt_layer_context *context) {
    kt_status status = check_depthwise(layer, context);
    KT_COLLECT(status, kt_check_range(layer, context, "filters", ((const convolution *)layer)->filters, 1));
    return status;
}

static kt_status check_transposed(kt_layer *layer, kt_layer_context *context) {
    const convolution *self = (const convolution *)layer;
    kt_status status = check_full(self, context);
    KT_COLLECT(status, kt_check_ranges(layer, context, "output_padding", &self->output_padding, 0));
    for (uint32_t i = 0; i < self->output_padding.count && status == KT_OK; i++) {
        if (self->output_padding.at[i] < self->strides.at[i]) continue;
        status = kt_layer_reject(layer, context, KT_INVALID, "output_padding", "must be below the strides.");
    }
    return status;
}

/* ---- weights --------------------------------------------------------------------------------- */
static int count_axes(const convolution *self) { return (int)self->kernel_size.count; }

static bool is_channels_first(const convolution *self) {
    return strcmp(self->data_format, "channels_first") == 0;
}

/* The number of channels of the input, or -1 and a problem. */
static int64_t count_channels(const convolution *self, const kt_layer_call *call) {
    int space = count_axes(self);
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, space + 2, space + 2)) return -1;
    return kt_call_static_dim(call, is_channels_first(self) ? 1 : space + 1);
}

/* Adds the weight [window…, a, b]; window NULL: of single elements. */
static void add_kernel(kt_layer *layer, kt_trace *trace, const char *name, const kt_ints *window, int64_t a,
                       int64_t b, const json_t *initializer) {
    int space = count_axes((const convolution *)layer);
    int64_t shape[KT_MAX_RANK];
    for (int i = 0; i < space; i++) shape[i] = window ? window->at[i] : 1;
    shape[space] = a;
    shape[space + 1] = b;
    kt_type type = kt_type_of(trace->builder->graph->dims, layer->variable_dtype, space + 2, shape);
    kt_layer_add_weight(layer, trace, name, &type, initializer,
                        !kt_lora_enabled(&((const convolution *)layer)->lora));
}

static void add_bias(kt_layer *layer, kt_trace *trace, int64_t features) {
    const convolution *self = (const convolution *)layer;
    kt_type type = kt_type_of(trace->builder->graph->dims, layer->variable_dtype, 1, &features);
    if (self->use_bias) kt_layer_add_weight(layer, trace, "bias", &type, self->bias_initializer, true);
}

static kt_status build_conv(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    int64_t channels = count_channels(self, call);
    if (channels < 0) return KT_INVALID;
    if (channels % self->groups != 0) {
        kt_trace_fail(trace, KT_INVALID, "the input's %lld channels do not fall into %lld groups.",
                      (long long)channels, (long long)self->groups);
        return KT_INVALID;
    }
    add_kernel(layer, trace, "kernel", &self->kernel_size, channels / self->groups, self->filters,
               self->kernel_initializer);
    add_bias(layer, trace, self->filters);
    kt_add_lora(layer, trace, &self->lora, 0, true);
    return KT_OK;
}

static kt_status build_depthwise(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    int64_t channels = count_channels(self, call);
    if (channels < 0) return KT_INVALID;
    add_kernel(layer, trace, "kernel", &self->kernel_size, channels, self->depth_multiplier,
               self->depthwise_initializer);
    add_bias(layer, trace, channels * self->depth_multiplier);
    return KT_OK;
}

static kt_status build_separable(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    int64_t channels = count_channels(self, call);
    if (channels < 0) return KT_INVALID;
    add_kernel(layer, trace, "depthwise_kernel", &self->kernel_size, channels, self->depth_multiplier,
               self->depthwise_initializer);
    add_kernel(layer, trace, "pointwise_kernel", NULL, channels * self->depth_multiplier, self->filters,
               self->pointwise_initializer);
    add_bias(layer, trace, self->filters);
    return KT_OK;
}

static kt_status build_transposed(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    int64_t channels = count_channels(self, call);
    if (channels < 0) return KT_INVALID;
    add_kernel(layer, trace, "kernel", &self->kernel_size, self->filters, channels, self->kernel_initializer);
    add_bias(layer, trace, self->filters);
    return KT_OK;
}

/* ---- calls ----------------------------------------------------------------------------------- */
/* The input as [batch, space…, channels]. */
static kt_value take_input(const convolution *self, const kt_layer_call *call) {
    kt_builder *builder = call->trace->builder;
    kt_value x = kt_build_cast(builder, call->inputs[0], self->layer.compute_dtype);
    return kt_to_channels_last(builder, x, is_channels_first(self));
}

static kt_sliding sliding_of(const convolution *self) {
    return (kt_sliding){self->strides, self->dilation_rate, self->padding};
}

/* Adds the bias, which is weight number `bias`, and applies the activation. */
static void finish(const convolution *self, kt_layer_call *call, kt_value x, uint32_t bias) {
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    if (self->use_bias) {
        kt_trace_at(trace, "bias");
        kt_value vector = kt_trace_weight(trace, (kt_layer *)&self->layer, bias);
        x = kt_build_add(builder, x, kt_along_axis(builder, vector, x, count_axes(self) + 1));
    }
    x = kt_from_channels_last(builder, x, is_channels_first(self));
    call->outputs[0] = kt_apply_activation(call, &self->activation, x);
}

static void call_conv(kt_layer *layer, kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    if (count_channels(self, call) < 0) return;
    kt_trace_at(call->trace, "conv");
    kt_value x = take_input(self, call), kernel = kt_adapted_weight(call->trace, layer, 0);
    kt_sliding sliding = sliding_of(self);
    finish(self, call, kt_convolve(call->trace->builder, x, kernel, &sliding, self->groups), 1);
}

static void call_depthwise(kt_layer *layer, kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    if (count_channels(self, call) < 0) return;
    kt_trace_at(call->trace, "conv");
    kt_value x = take_input(self, call), kernel = kt_trace_weight(call->trace, layer, 0);
    kt_sliding sliding = sliding_of(self);
    finish(self, call, kt_convolve_depthwise(call->trace->builder, x, kernel, &sliding), 1);
}

static void call_separable(kt_layer *layer, kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    kt_builder *builder = call->trace->builder;
    if (count_channels(self, call) < 0) return;
    kt_trace_at(call->trace, "depthwise");
    kt_sliding sliding = sliding_of(self);
    kt_value x = take_input(self, call);
    x = kt_convolve_depthwise(builder, x, kt_trace_weight(call->trace, layer, 0), &sliding);
    kt_trace_at(call->trace, "pointwise");
    x = kt_convolve_plain(builder, x, kt_trace_weight(call->trace, layer, 1));
    finish(self, call, x, 2);
}

static void call_transposed(kt_layer *layer, kt_layer_call *call) {
    const convolution *self = (const convolution *)layer;
    if (count_channels(self, call) < 0) return;
    kt_trace_at(call->trace, "conv");
    kt_value x = take_input(self, call), kernel = kt_trace_weight(call->trace, layer, 0);
    kt_sliding sliding = sliding_of(self);
    x = kt_convolve_transposed(call->trace->builder, x, kernel, &sliding, &self->output_padding);
    finish(self, call, x, 1);
}

/* ---- classes --------------------------------------------------------------------------------- */
#define CONVOLUTION(symbol, keras_name, kind, option_rows, text)                                             \
    static const kt_option symbol##_options[] = option_rows;                                                 \
    const kt_layer_class kt_class_##symbol = {                                                               \
        .name = (keras_name),                                                                                \
        .module = "keras.layers",                                                                            \
        .doc = (text),                                                                                       \
        .bytes = sizeof(convolution),                                                                        \
        .options = symbol##_options,                                                                         \
        .check = check_##kind,                                                                               \
        .build = build_##kind,                                                                               \
        .call = call_##kind,                                                                                 \
    };

// clang-format off
CONVOLUTION(conv_1d, "Conv1D", conv, CONV_OPTIONS(1, "valid same causal"),
            "convolution of sequences: activation(conv(x, kernel) + bias)")
CONVOLUTION(conv_2d, "Conv2D", conv, CONV_OPTIONS(2, "valid same"),
            "convolution of images: activation(conv(x, kernel) + bias)")
CONVOLUTION(conv_3d, "Conv3D", conv, CONV_OPTIONS(3, "valid same"),
            "convolution of volumes: activation(conv(x, kernel) + bias)")
CONVOLUTION(depthwise_conv_1d, "DepthwiseConv1D", depthwise, DEPTHWISE_OPTIONS(1),
            "convolution of each channel of sequences by itself")
CONVOLUTION(depthwise_conv_2d, "DepthwiseConv2D", depthwise, DEPTHWISE_OPTIONS(2),
            "convolution of each channel of images by itself")
CONVOLUTION(separable_conv_1d, "SeparableConv1D", separable, SEPARABLE_OPTIONS(1),
            "convolution of each channel of sequences by itself, then of single elements across channels")
CONVOLUTION(separable_conv_2d, "SeparableConv2D", separable, SEPARABLE_OPTIONS(2),
            "convolution of each channel of images by itself, then of single pixels across channels")
CONVOLUTION(conv_1d_transpose, "Conv1DTranspose", transposed, TRANSPOSED_OPTIONS(1),
            "transposed convolution of sequences, which makes them longer")
CONVOLUTION(conv_2d_transpose, "Conv2DTranspose", transposed, TRANSPOSED_OPTIONS(2),
            "transposed convolution of images, which makes them larger")
CONVOLUTION(conv_3d_transpose, "Conv3DTranspose", transposed, TRANSPOSED_OPTIONS(3),
            "transposed convolution of volumes, which makes them larger")
// clang-format on
