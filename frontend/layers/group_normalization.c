/* GroupNormalization, RMSNormalization and UnitNormalization: each sample is normalised by itself, without
 * its mean or in groups of channels. Statistics are taken in float32 at least. */
#include "frontend/layers/normalize_impl.h"

/* ---- GroupNormalization ---------------------------------------------------------------------- */
typedef struct group_normalization {
    kt_layer layer;
    int64_t groups; /* -1: each channel is one */
    int64_t axis;
    double epsilon;
    bool center, scale;
    const json_t *beta_initializer, *gamma_initializer;
    const json_t *beta_regularizer, *gamma_regularizer;
    const json_t *beta_constraint, *gamma_constraint;
    uint32_t gamma, beta; /* weights */
} group_normalization;

// clang-format off
static const kt_option group_options[] = {
    KT_FIELD(group_normalization, groups, INT, "32"),
    KT_FIELD(group_normalization, axis, INT, "-1"),
    KT_FIELD(group_normalization, epsilon, FLOAT, "0.001"),
    KT_FIELD(group_normalization, center, BOOL, "true"),
    KT_FIELD(group_normalization, scale, BOOL, "true"),
    KT_INITIALIZER(group_normalization, beta_initializer, "\"zeros\""),
    KT_INITIALIZER(group_normalization, gamma_initializer, "\"ones\""),
    KT_REGULARIZER(group_normalization, beta_regularizer),
    KT_REGULARIZER(group_normalization, gamma_regularizer),
    KT_CONSTRAINT(group_normalization, beta_constraint),
    KT_CONSTRAINT(group_normalization, gamma_constraint),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_group(kt_layer *layer, kt_layer_context *context) {
    const group_normalization *self = (const group_normalization *)layer;
    kt_status status = kt_check_epsilon(layer, context, self->epsilon);
    if (self->groups != -1) KT_COLLECT(status, kt_check_range(layer, context, "groups", self->groups, 1));
    return status;
}

/* The channels' axis and number; false and a problem if they cannot be grouped. */
static bool find_channels(const group_normalization *self, const kt_layer_call *call, int *out_axis,
                          int64_t *out_channels) {
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 2, KT_MAX_RANK - 1)) return false;
    *out_axis = kt_call_axis(call, self->axis, kt_call_type(call, 0)->rank);
    if (*out_axis < 0) return false;
    *out_channels = kt_call_static_dim(call, *out_axis);
    if (*out_channels < 0) return false;
    if (*out_axis > 0 && (self->groups == -1 || *out_channels % self->groups == 0)) return true;
    kt_trace_fail(call->trace, KT_INVALID, "the %lld elements along axis %d do not fall into %lld groups.",
                  (long long)*out_channels, *out_axis, (long long)self->groups);
    return false;
}

static kt_status build_group(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    group_normalization *self = (group_normalization *)layer;
    int axis;
    int64_t channels;
    if (!find_channels(self, call, &axis, &channels)) return KT_INVALID;
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, 1, &channels);
    if (self->scale)
        self->gamma = kt_layer_add_weight(layer, trace, "gamma", &type, self->gamma_initializer, true);
    if (self->center)
        self->beta = kt_layer_add_weight(layer, trace, "beta", &type, self->beta_initializer, true);
    return KT_OK;
}

/* A weight over the channels along the two axes that they fall into, spread over x's shape. */
static kt_value spread_weight(kt_builder *b, kt_value weight, kt_value x, int axis) {
    kt_type type = *kt_build_type(b, x);
    const int64_t axes[] = {axis, axis + 1};
    weight = kt_build_reshape(b, weight, 2, &type.dims[axis]);
    return kt_build_broadcast(b, weight, type.rank, type.dims, axes);
}

/* x with its channels' axis cut in groups and what lies in a group, normalised over all but batch and groups.
 */
static kt_value normalize_groups(const group_normalization *self, kt_builder *b, kt_value x, int axis,
                                 kt_value gamma, kt_value beta) {
    kt_ints axes = {0};
    for (int i = 1; i < kt_build_type(b, x)->rank; i++) {
        if (i != axis) axes.at[axes.count++] = i;
    }
    kt_value mean, variance;
    kt_moments(b, x, &axes, &mean, &variance);
    mean = kt_spread(b, mean, x, &axes);
    variance = kt_build_add(b, variance, kt_build_like(b, variance, self->epsilon));
    kt_value inverse = kt_spread(b, kt_build_rsqrt(b, variance), x, &axes);
    if (gamma) inverse = kt_build_mul(b, inverse, spread_weight(b, gamma, x, axis));
    kt_value shift = kt_build_mul(b, kt_build_neg(b, mean), inverse);
    if (beta) shift = kt_build_add(b, shift, spread_weight(b, beta, x, axis));
    return kt_build_add(b, kt_build_mul(b, x, inverse), shift);
}

static void call_group(kt_layer *layer, kt_layer_call *call) {
    const group_normalization *self = (const group_normalization *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    int axis;
    int64_t channels;
    if (!find_channels(self, call, &axis, &channels)) return;
    int64_t groups = self->groups == -1 ? channels : self->groups;
    kt_trace_at(trace, "group_normalization");
    kt_type type = *kt_call_type(call, 0);
    kt_dtype dtype = kt_dtype_promote(type.dtype, KT_F32);
    kt_dim shape[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) shape[i > axis ? i + 1 : i] = type.dims[i];
    shape[axis] = kt_dim_const(kt_call_dims(call), groups);
    shape[axis + 1] = kt_dim_const(kt_call_dims(call), channels / groups);
    kt_value x = kt_build_reshape(builder, call->inputs[0], type.rank + 1, shape);
    kt_value operands[3] = {kt_build_cast(builder, x, dtype)};
    uint32_t count = 1;
    if (self->scale)
        operands[count++] = kt_build_cast(builder, kt_trace_stored_weight(trace, layer, self->gamma), dtype);
    if (self->center)
        operands[count++] = kt_build_cast(builder, kt_trace_stored_weight(trace, layer, self->beta), dtype);
    kt_builder body;
    kt_value p[3];
    kt_value y;
    kt_builder_begin_composite(&body, builder, "group_normalization", operands, count, p);
    kt_value result =
        normalize_groups(self, &body, p[0], axis, self->scale ? p[1] : 0, self->center ? p[count - 1] : 0);
    kt_builder_result(&body, KT_ROLE_PLAIN, NULL, 0, result);
    kt_build_composite(builder, &body, operands, count, &y);
    y = kt_build_reshape(builder, y, type.rank, type.dims);
    call->outputs[0] = kt_build_cast(builder, kt_build_cast(builder, y, type.dtype), layer->compute_dtype);
}

const kt_layer_class kt_class_group_normalization = {
    .name = "GroupNormalization",
    .module = "keras.layers",
    .doc = "groups of channels of each sample brought to mean 0 and variance 1, then scaled and shifted",
    .bytes = sizeof(group_normalization),
    .options = group_options,
    .supports_masking = true,
    .keeps_input_dtype = true,
    .check = check_group,
    .build = build_group,
    .call = call_group,
};

/* ---- RMSNormalization ------------------------------------------------------------------------ */
typedef struct rms_normalization {
    kt_layer layer;
    const json_t *axis; /* an axis or a list of axes */
    kt_ints axes;
    double epsilon;
} rms_normalization;

static const kt_option rms_options[] = {
    KT_FIELD(rms_normalization, axis, JSON, "-1"),
    KT_FIELD(rms_normalization, epsilon, FLOAT, "1e-06"),
    KT_OPTIONS_END,
};

static kt_status check_rms(kt_layer *layer, kt_layer_context *context) {
    rms_normalization *self = (rms_normalization *)layer;
    kt_status status = kt_check_axes(layer, context, "axis", self->axis, &self->axes);
    KT_COLLECT(status, kt_check_epsilon(layer, context, self->epsilon));
    kt_sort_axes(&self->axes);
    return status;
}

static kt_status build_rms(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const rms_normalization *self = (const rms_normalization *)layer;
    int64_t shape[KT_MAX_RANK];
    if (!kt_call_has_inputs(call, 1)) return KT_INVALID;
    for (uint32_t i = 0; i < self->axes.count; i++) {
        int axis = kt_call_axis(call, self->axes.at[i], kt_call_type(call, 0)->rank);
        shape[i] = axis < 0 ? -1 : kt_call_static_dim(call, axis);
        if (shape[i] < 0) return KT_INVALID;
    }
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, (int)self->axes.count, shape);
    kt_layer_add_weight(layer, trace, "scale", &type, NULL, true);
    return KT_OK;
}

static void call_rms(kt_layer *layer, kt_layer_call *call) {
    const rms_normalization *self = (const rms_normalization *)layer;
    kt_builder *builder = call->trace->builder;
    kt_ints axes;
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return;
    kt_trace_at(call->trace, "rms_normalization");
    kt_dtype given = kt_call_type(call, 0)->dtype;
    kt_dtype dtype = kt_dtype_promote(given, KT_F32);
    kt_value x = kt_build_cast(builder, call->inputs[0], dtype);
    kt_value scale = kt_build_cast(builder, kt_trace_weight(call->trace, layer, 0), dtype);
    kt_value y = kt_normalize_rms(builder, x, scale, &axes, self->epsilon);
    call->outputs[0] = kt_build_cast(builder, y, given);
}

const kt_layer_class kt_class_rms_normalization = {
    .name = "RMSNormalization",
    .module = "keras.layers",
    .doc = "each sample divided by its root mean square along axes, then scaled",
    .bytes = sizeof(rms_normalization),
    .options = rms_options,
    .check = check_rms,
    .build = build_rms,
    .call = call_rms,
};

/* ---- UnitNormalization ----------------------------------------------------------------------- */
typedef struct unit_normalization {
    kt_layer layer;
    const json_t *axis; /* an axis or a list of axes */
    kt_ints axes;
} unit_normalization;

static const kt_option unit_options[] = {
    KT_FIELD(unit_normalization, axis, JSON, "-1"),
    KT_OPTIONS_END,
};

static kt_status check_unit(kt_layer *layer, kt_layer_context *context) {
    unit_normalization *self = (unit_normalization *)layer;
    return kt_check_axes(layer, context, "axis", self->axis, &self->axes);
}

static void call_unit(kt_layer *layer, kt_layer_call *call) {
    const unit_normalization *self = (const unit_normalization *)layer;
    kt_ints axes;
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return;
    kt_trace_at(call->trace, "unit_normalization");
    call->outputs[0] = kt_unit_norm(call->trace->builder, call->inputs[0], &axes, 1e-12);
}

const kt_layer_class kt_class_unit_normalization = {
    .name = "UnitNormalization",
    .module = "keras.layers",
    .doc = "each sample brought to Euclidean norm 1 along axes",
    .bytes = sizeof(unit_normalization),
    .options = unit_options,
    .supports_masking = true,
    .check = check_unit,
    .call = call_unit,
};
