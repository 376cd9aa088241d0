/* Normalization: data brought to mean 0 and variance 1 by statistics that were taken beforehand, which are
 * weights or stand in the configuration. */
#include "frontend/layers/layers_impl.h"

typedef struct normalization {
    kt_layer layer;
    const json_t *axis; /* an axis, a list of axes, or None: those along which statistics differ */
    kt_ints axes;
    const json_t *mean, *variance;
    bool invert;
} normalization;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(normalization, axis, JSON, "-1"),
    KT_FIELD(normalization, mean, JSON, "null"),
    KT_FIELD(normalization, variance, JSON, "null"),
    KT_FIELD(normalization, invert, BOOL, "false"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_statistics(const normalization *self, kt_layer_context *context) {
    kt_ints mean;
    kt_ints variance;
    if (!self->mean && !self->variance) return KT_OK;
    if (!kt_numbers_shape(self->mean, &mean))
        return kt_layer_reject(&self->layer, context, KT_INVALID, "mean",
                               "must be a number or a list of numbers.");
    bool same = kt_numbers_shape(self->variance, &variance) && variance.count == mean.count;
    for (uint32_t i = 0; same && i < mean.count; i++) same = mean.at[i] == variance.at[i];
    if (!same)
        return kt_layer_reject(&self->layer, context, KT_INVALID, "variance",
                               "must be numbers of the same shape as mean.");
    if (mean.count > self->axes.count)
        return kt_layer_reject(&self->layer, context, KT_INVALID, "mean", "has %u axes, but axis names %u.",
                               mean.count, self->axes.count);
    return KT_OK;
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    normalization *self = (normalization *)layer;
    bool none = !self->axis || (json_is_array(self->axis) && json_array_size(self->axis) == 0);
    if (!none) KT_TRY(kt_check_axes(layer, context, "axis", self->axis, &self->axes));
    return check_statistics(self, context);
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const normalization *self = (const normalization *)layer;
    kt_ints axes;
    int64_t shape[KT_MAX_RANK];
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return KT_INVALID;
    if (self->mean) return KT_OK;
    for (uint32_t i = 0; i < axes.count; i++) {
        shape[i] = kt_call_static_dim(call, (int)axes.at[i]);
        if (shape[i] < 0) return KT_INVALID;
    }
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, (int)axes.count, shape);
    kt_type count = kt_type_of(kt_call_dims(call), KT_I64, 0, NULL);
    kt_layer_add_weight(layer, trace, "mean", &type, NULL, false);
    kt_layer_add_weight(layer, trace, "variance", &type, NULL, false);
    kt_layer_add_weight(layer, trace, "count", &count, NULL, false);
    return KT_OK;
}

/* A statistic over the last of axes, spread over x's shape. */
static kt_value spread_statistic(kt_builder *b, kt_value statistic, kt_value x, const kt_ints *axes) {
    kt_type type = *kt_build_type(b, x);
    uint32_t rank = kt_build_type(b, statistic)->rank;
    return kt_build_broadcast(b, statistic, type.rank, type.dims, &axes->at[axes->count - rank]);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const normalization *self = (const normalization *)layer;
    kt_builder *b = call->trace->builder;
    kt_dtype dtype = layer->compute_dtype;
    kt_ints axes;
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return;
    kt_trace_at(call->trace, "normalization");
    kt_value x = kt_build_cast(b, call->inputs[0], dtype);
    kt_value mean = self->mean ? kt_numbers_constant(call, self->mean, dtype)
                               : kt_build_cast(b, kt_trace_stored_weight(call->trace, layer, 0), dtype);
    kt_value variance = self->mean ? kt_numbers_constant(call, self->variance, dtype)
                                   : kt_build_cast(b, kt_trace_stored_weight(call->trace, layer, 1), dtype);
    kt_value deviation = kt_build_sqrt(b, variance);
    deviation = kt_build_maximum(b, deviation, kt_build_like(b, deviation, 1e-7));
    mean = spread_statistic(b, mean, x, &axes);
    deviation = spread_statistic(b, deviation, x, &axes);
    call->outputs[0] = self->invert ? kt_build_add(b, mean, kt_build_mul(b, x, deviation))
                                    : kt_build_div(b, kt_build_sub(b, x, mean), deviation);
}

const kt_layer_class kt_class_normalization = {
    .name = "Normalization",
    .module = "keras.layers",
    .doc = "data brought to mean 0 and variance 1 by statistics of other data",
    .bytes = sizeof(normalization),
    .options = options,
    .supports_masking = true,
    .keeps_input_dtype = true,
    .check = check,
    .build = build,
    .call = call,
};
