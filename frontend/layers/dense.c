/* Dense: activation(x · kernel + bias) along the last axis. */
#include "frontend/layers/layers_impl.h"

typedef struct dense {
    kt_layer layer;
    int64_t units;
    kt_activation activation;
    bool use_bias;
    const json_t *kernel_initializer, *bias_initializer;
    const json_t *kernel_regularizer, *bias_regularizer;
    const json_t *kernel_constraint, *bias_constraint;
    kt_lora lora;
    kt_keras_quantization quantization;
} dense;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(dense, units, INT, NULL),
    KT_FIELD(dense, activation, ACTIVATION, "null"),
    KT_FIELD(dense, use_bias, BOOL, "true"),
    KT_INITIALIZER(dense, kernel_initializer, "\"glorot_uniform\""),
    KT_INITIALIZER(dense, bias_initializer, "\"zeros\""),
    KT_REGULARIZER(dense, kernel_regularizer),
    KT_REGULARIZER(dense, bias_regularizer),
    KT_CONSTRAINT(dense, kernel_constraint),
    KT_CONSTRAINT(dense, bias_constraint),
    KT_LORA(dense, lora),
    KT_QUANTIZATION_CONFIG(dense, quantization),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    dense *self = (dense *)layer;
    kt_status status = kt_check_range(layer, context, "units", self->units, 1);
    KT_COLLECT(status, kt_check_lora(layer, context, &self->lora));
    KT_COLLECT(status, kt_check_quantization(layer, context, &self->quantization));
    return status;
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const dense *self = (const dense *)layer;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 2, KT_MAX_RANK)) return KT_INVALID;
    int64_t shape[] = {kt_call_static_dim(call, kt_call_type(call, 0)->rank - 1), self->units};
    if (shape[0] < 0) return KT_INVALID;
    kt_dim_pool *dims = kt_call_dims(call);
    kt_type kernel = kt_type_of(dims, kt_layer_kernel_dtype(layer), 2, shape);
    kt_type bias = kt_type_of(dims, layer->variable_dtype, 1, &shape[1]);
    bool trainable = !kt_lora_enabled(&self->lora) && !layer->quantized;
    kt_layer_add_weight(layer, trace, "kernel", &kernel, self->kernel_initializer, trainable);
    if (self->use_bias) kt_layer_add_weight(layer, trace, "bias", &bias, self->bias_initializer, true);
    if (layer->quantized) kt_layer_add_weight(layer, trace, "kernel_scale", &bias, NULL, false);
    kt_add_lora(layer, trace, &self->lora, 0, false);
    return KT_OK;
}

static kt_value multiply(kt_layer *layer, const kt_layer_call *call) {
    const dense *self = (const dense *)layer;
    kt_builder *builder = call->trace->builder;
    kt_value kernel = kt_adapted_weight(call->trace, layer, 0);
    if (layer->quantized) {
        kt_value scale = kt_trace_weight(call->trace, layer, 1 + self->use_bias);
        return kt_quantized_matmul(call, layer, &self->quantization, call->inputs[0], kernel, false, scale);
    }
    kt_value x = kt_build_cast(builder, call->inputs[0], kt_build_type(builder, kernel)->dtype);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {kt_call_type(call, 0)->rank - 1}},
                                  .rhs_contract = {1, {0}}};
    return kt_build_dot_general(builder, x, kernel, &attrs);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const dense *self = (const dense *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 2, KT_MAX_RANK)) return;
    int last = kt_call_type(call, 0)->rank - 1;
    kt_trace_at(trace, "matmul");
    kt_value x = multiply(layer, call);
    if (!x) return;
    if (self->use_bias) {
        kt_trace_at(trace, "bias");
        x = kt_build_add(builder, x, kt_along_axis(builder, kt_trace_weight(trace, layer, 1), x, last));
    }
    call->outputs[0] = kt_apply_activation(call, &self->activation, x);
}

const kt_layer_class kt_class_dense = {
    .name = "Dense",
    .module = "keras.layers",
    .doc = "activation(x · kernel + bias) along the last axis",
    .bytes = sizeof(dense),
    .options = options,
    .supports_masking = true,
    .quantizes = true,
    .check = check,
    .build = build,
    .call = call,
};
