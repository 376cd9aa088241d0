/* LeakyReLU, ELU and PReLU: activations that bend at 0, as layers. */
#include "frontend/layers/layers_impl.h"

/* ---- LeakyReLU, ELU -------------------------------------------------------------------------- */
typedef struct bent {
    kt_layer layer;
    double below; /* what the part below 0 is multiplied with */
} bent;

static const kt_option leaky_options[] = {
    {"negative_slope", KT_OPTION_FLOAT, offsetof(bent, below), "0.3"},
    KT_OPTIONS_END,
};
static const kt_option elu_options[] = {
    {"alpha", KT_OPTION_FLOAT, offsetof(bent, below), "1.0"},
    KT_OPTIONS_END,
};

static kt_status check_leaky(kt_layer *layer, kt_layer_context *context) {
    if (((bent *)layer)->below >= 0) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "negative_slope", "must not be negative.");
}

static void apply(const bent *self, kt_layer_call *call, const char *name, const char *parameter) {
    kt_activation applied;
    if (!kt_call_has_inputs(call, 1) || !kt_activation_find(name, &applied)) return;
    kt_activation_set(&applied, parameter, self->below);
    call->outputs[0] = kt_apply_activation(call, &applied, call->inputs[0]);
}

static void call_leaky(kt_layer *layer, kt_layer_call *call) {
    apply((bent *)layer, call, "leaky_relu", "negative_slope");
}

static void call_elu(kt_layer *layer, kt_layer_call *call) { apply((bent *)layer, call, "elu", "alpha"); }

const kt_layer_class kt_class_leaky_relu = {
    .name = "LeakyReLU",
    .module = "keras.layers",
    .doc = "x above 0, x with a slope below",
    .bytes = sizeof(bent),
    .options = leaky_options,
    .supports_masking = true,
    .check = check_leaky,
    .call = call_leaky,
};

const kt_layer_class kt_class_elu = {
    .name = "ELU",
    .module = "keras.layers",
    .doc = "x above 0, alpha * (exp(x) - 1) below",
    .bytes = sizeof(bent),
    .options = elu_options,
    .supports_masking = true,
    .call = call_elu,
};

/* ---- PReLU ----------------------------------------------------------------------------------- */
typedef struct prelu {
    kt_layer layer;
    const json_t *alpha_initializer, *alpha_regularizer, *alpha_constraint;
    const json_t *shared_axes;
    kt_ints shared; /* the same; count 0: none */
} prelu;

// clang-format off
static const kt_option prelu_options[] = {
    KT_INITIALIZER(prelu, alpha_initializer, "\"zeros\""),
    KT_REGULARIZER(prelu, alpha_regularizer),
    KT_CONSTRAINT(prelu, alpha_constraint),
    KT_FIELD(prelu, shared_axes, JSON, "null"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_prelu(kt_layer *layer, kt_layer_context *context) {
    prelu *self = (prelu *)layer;
    if (!self->shared_axes || (json_is_array(self->shared_axes) && json_array_size(self->shared_axes) == 0))
        return KT_OK;
    KT_TRY(kt_check_axes(layer, context, "shared_axes", self->shared_axes, &self->shared));
    return kt_check_ranges(layer, context, "shared_axes", &self->shared, 1);
}

static kt_status build_prelu(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const prelu *self = (const prelu *)layer;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 1, KT_MAX_RANK)) return KT_INVALID;
    int rank = kt_call_type(call, 0)->rank;
    bool shared[KT_MAX_RANK] = {false};
    int64_t shape[KT_MAX_RANK];
    for (uint32_t i = 0; i < self->shared.count; i++) {
        int axis = kt_call_axis(call, self->shared.at[i], rank);
        if (axis < 0) return KT_INVALID;
        shared[axis] = true;
    }
    for (int axis = 1; axis < rank; axis++) {
        shape[axis - 1] = shared[axis] ? 1 : kt_call_static_dim(call, axis);
        if (shape[axis - 1] < 0) return KT_INVALID;
    }
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, rank - 1, shape);
    kt_layer_add_weight(layer, trace, "alpha", &type, self->alpha_initializer, true);
    return KT_OK;
}

static void call_prelu(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_inputs(call, 1)) return;
    kt_trace_at(call->trace, "prelu");
    kt_value alpha = kt_trace_weight(call->trace, layer, 0);
    kt_value x = kt_build_cast(b, call->inputs[0], layer->compute_dtype);
    kt_type type = *kt_build_type(b, x);
    kt_value zero = kt_build_like(b, x, 0);
    kt_value above = kt_build_maximum(b, x, zero);
    kt_value below = kt_build_minimum(b, x, zero);
    alpha = kt_build_broadcast_to(b, alpha, type.rank, type.dims);
    call->outputs[0] = kt_build_add(b, above, kt_build_mul(b, alpha, below));
}

const kt_layer_class kt_class_prelu = {
    .name = "PReLU",
    .module = "keras.layers",
    .doc = "x above 0, x with a learnt slope below",
    .bytes = sizeof(prelu),
    .options = prelu_options,
    .supports_masking = true,
    .check = check_prelu,
    .build = build_prelu,
    .call = call_prelu,
};
