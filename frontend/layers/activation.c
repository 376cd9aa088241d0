/* Activation, ReLU and Softmax: the activations as layers. */
#include "frontend/layers/layers_impl.h"

#include <math.h>

/* ---- Activation ------------------------------------------------------------------------------ */
typedef struct activation {
    kt_layer layer;
    kt_activation activation;
} activation;

static const kt_option activation_options[] = {
    KT_FIELD(activation, activation, ACTIVATION, NULL),
    KT_OPTIONS_END,
};

static void call_activation(kt_layer *layer, kt_layer_call *call) {
    if (!kt_call_has_inputs(call, 1)) return;
    call->outputs[0] = kt_apply_activation(call, &((activation *)layer)->activation, call->inputs[0]);
}

const kt_layer_class kt_class_activation = {
    .name = "Activation",
    .module = "keras.layers",
    .doc = "an activation by name",
    .bytes = sizeof(activation),
    .options = activation_options,
    .supports_masking = true,
    .call = call_activation,
};

/* ---- ReLU ------------------------------------------------------------------------------------ */
typedef struct relu {
    kt_layer layer;
    double max_value, negative_slope, threshold;
} relu;

// clang-format off
static const kt_option relu_options[] = {
    KT_FIELD(relu, max_value, OPTIONAL_FLOAT, "null"),
    KT_FIELD(relu, negative_slope, FLOAT, "0.0"),
    KT_FIELD(relu, threshold, FLOAT, "0.0"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_relu(kt_layer *layer, kt_layer_context *context) {
    const relu *self = (const relu *)layer;
    static const char sentence[] = "must not be negative.";
    kt_status status = KT_OK;
    if (self->max_value < 0)
        status = kt_layer_reject(layer, context, KT_INVALID, "max_value", "%s", sentence);
    if (self->threshold < 0)
        status = kt_layer_reject(layer, context, KT_INVALID, "threshold", "%s", sentence);
    if (self->negative_slope < 0) {
        status = kt_layer_reject(layer, context, KT_INVALID, "negative_slope", "%s", sentence);
    }
    return status;
}

static void call_relu(kt_layer *layer, kt_layer_call *call) {
    const relu *self = (const relu *)layer;
    kt_activation applied;
    if (!kt_call_has_inputs(call, 1) || !kt_activation_find("relu", &applied)) return;
    kt_activation_set(&applied, "max_value", self->max_value);
    kt_activation_set(&applied, "negative_slope", self->negative_slope);
    kt_activation_set(&applied, "threshold", self->threshold);
    call->outputs[0] = kt_apply_activation(call, &applied, call->inputs[0]);
}

const kt_layer_class kt_class_relu = {
    .name = "ReLU",
    .module = "keras.layers",
    .doc = "the larger of x and 0, with a slope below, a ceiling and a threshold",
    .bytes = sizeof(relu),
    .options = relu_options,
    .supports_masking = true,
    .check = check_relu,
    .call = call_relu,
};

/* ---- Softmax --------------------------------------------------------------------------------- */
typedef struct softmax {
    kt_layer layer;
    const json_t *axis; /* an axis or a list of axes */
    kt_ints axes;
} softmax;

// clang-format off
static const kt_option softmax_options[] = {
    KT_FIELD(softmax, axis, JSON, "-1"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_softmax(kt_layer *layer, kt_layer_context *context) {
    softmax *self = (softmax *)layer;
    return kt_check_axes(layer, context, "axis", self->axis, &self->axes);
}

/* The mask as bool, spread over x's shape. */
static kt_value spread_mask(kt_builder *b, kt_value mask, kt_value x) {
    kt_type type = *kt_build_type(b, x);
    if (kt_build_type(b, mask)->dtype != KT_BOOL) mask = kt_build_gt(b, mask, kt_build_like(b, mask, 0.5));
    return kt_build_broadcast_to(b, mask, type.rank, type.dims);
}

/* exp(x - log(sum(exp(x)))) over several axes. */
static kt_value softmax_over(kt_builder *builder, kt_value x, const kt_ints *axes) {
    kt_builder b;
    kt_value in;
    kt_value result;
    kt_builder_begin_composite(&b, builder, "softmax", &x, 1, &in);
    kt_value largest = kt_reduce_spread(&b, in, KT_REDUCE_MAXIMUM, axes);
    kt_value sum = kt_reduce_spread(&b, kt_build_exp(&b, kt_build_sub(&b, in, largest)), KT_REDUCE_SUM, axes);
    kt_value total = kt_build_add(&b, kt_build_log(&b, sum), largest);
    kt_builder_result(&b, KT_ROLE_PLAIN, NULL, 0, kt_build_exp(&b, kt_build_sub(&b, in, total)));
    kt_build_composite(builder, &b, &x, 1, &result);
    return result;
}

kt_value kt_softmax(kt_builder *builder, kt_value x, kt_value mask, const kt_ints *axes) {
    if (mask) {
        double low = kt_build_type(builder, x)->dtype == KT_F16 ? -3e4 : -1e9;
        x = kt_build_select(builder, mask, x, kt_build_like(builder, x, low));
    }
    if (axes->count > 1) {
        x = softmax_over(builder, x, axes);
    } else {
        kt_activation applied;
        KT_ASSERT(kt_activation_find("softmax", &applied));
        kt_activation_set(&applied, "axis", (double)axes->at[0]);
        x = kt_activation_apply(builder, &applied, x);
    }
    return mask ? kt_build_select(builder, mask, x, kt_build_like(builder, x, 0)) : x;
}

static void call_softmax(kt_layer *layer, kt_layer_call *call) {
    const softmax *self = (const softmax *)layer;
    kt_builder *builder = call->trace->builder;
    kt_ints axes;
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return;
    kt_value x = call->inputs[0];
    kt_trace_at(call->trace, "softmax");
    kt_value mask = call->masks[0] ? spread_mask(builder, call->masks[0], x) : 0;
    call->outputs[0] = kt_softmax(builder, x, mask, &axes);
}

const kt_layer_class kt_class_softmax = {
    .name = "Softmax",
    .module = "keras.layers",
    .doc = "exp(x) / sum(exp(x)) along axes",
    .bytes = sizeof(softmax),
    .options = softmax_options,
    .supports_masking = true,
    .check = check_softmax,
    .call = call_softmax,
};
