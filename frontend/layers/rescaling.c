/* Rescaling: x * scale + offset, where scale and offset are numbers or nested lists that are broadcast. */
#include "frontend/layers/layers_impl.h"

typedef struct rescaling {
    kt_layer layer;
    const json_t *scale, *offset;
} rescaling;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(rescaling, scale, JSON, NULL),
    KT_FIELD(rescaling, offset, JSON, "0.0"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_numbers(kt_layer *layer, kt_layer_context *context, const char *option,
                               const json_t *value) {
    kt_ints shape;
    if (kt_numbers_shape(value, &shape)) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, option, "must be a number or a list of numbers.");
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const rescaling *self = (const rescaling *)layer;
    kt_status status = check_numbers(layer, context, "scale", self->scale);
    KT_COLLECT(status, check_numbers(layer, context, "offset", self->offset));
    return status;
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const rescaling *self = (const rescaling *)layer;
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 1)) return;
    kt_trace_at(call->trace, "rescale");
    kt_value x = kt_build_cast(builder, call->inputs[0], layer->compute_dtype);
    kt_value scale = kt_numbers_constant(call, self->scale, layer->compute_dtype);
    kt_value offset = kt_numbers_constant(call, self->offset, layer->compute_dtype);
    kt_build_broadcast_pair(builder, &x, &scale);
    x = kt_build_mul(builder, x, scale);
    kt_build_broadcast_pair(builder, &x, &offset);
    call->outputs[0] = kt_build_add(builder, x, offset);
}

const kt_layer_class kt_class_rescaling = {
    .name = "Rescaling",
    .module = "keras.layers",
    .doc = "x * scale + offset",
    .bytes = sizeof(rescaling),
    .options = options,
    .supports_masking = true,
    .keeps_input_dtype = true,
    .check = check,
    .call = call,
};
