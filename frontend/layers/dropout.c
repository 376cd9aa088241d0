/* Dropout: nothing at prediction. */
#include "frontend/layers/layers_impl.h"

typedef struct dropout {
    kt_layer layer;
    double rate;
    kt_ints noise_shape;
    int64_t seed;
} dropout;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(dropout, rate, FLOAT, NULL, .inert = true),
    KT_FIELD(dropout, noise_shape, SHAPE, "null", .inert = true),
    KT_FIELD(dropout, seed, OPTIONAL_INT, "null", .inert = true),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const dropout *self = (const dropout *)layer;
    if (self->rate >= 0 && self->rate <= 1) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "rate", "must be from 0 to 1, not %g.", self->rate);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const dropout *self = (const dropout *)layer;
    if (!kt_call_has_inputs(call, 1)) return;
    if (call->trace->training && self->rate > 0) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "Dropout in training mode is not supported yet.");
        return;
    }
    call->outputs[0] = call->inputs[0];
}

const kt_layer_class kt_class_dropout = {
    .name = "Dropout",
    .module = "keras.layers",
    .doc = "drops elements at random in training; nothing at prediction",
    .bytes = sizeof(dropout),
    .options = options,
    .supports_masking = true,
    .check = check,
    .call = call,
};
