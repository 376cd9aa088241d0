/* BatchNormalization and LayerNormalization. Statistics are taken in float32 at least. */
#include "frontend/layers/normalize_impl.h"

#include <math.h>

/* ---- BatchNormalization ---------------------------------------------------------------------- */
typedef struct batch_normalization {
    kt_layer layer;
    int64_t axis;
    double momentum, epsilon, renorm_momentum;
    bool center, scale, synchronized, renorm;
    const json_t *renorm_clipping;
    const json_t *beta_initializer, *gamma_initializer;
    const json_t *moving_mean_initializer, *moving_variance_initializer;
    const json_t *beta_regularizer, *gamma_regularizer;
    const json_t *beta_constraint, *gamma_constraint;
    uint32_t gamma, beta, moving_mean, moving_variance; /* weights */
    uint32_t moving_stddev, renorm_mean, renorm_stddev; /* with renorm */
} batch_normalization;

// clang-format off
static const kt_option batch_options[] = {
    KT_FIELD(batch_normalization, axis, INT, "-1"),
    KT_FIELD(batch_normalization, momentum, FLOAT, "0.99", .inert = true),
    KT_FIELD(batch_normalization, epsilon, FLOAT, "0.001"),
    KT_FIELD(batch_normalization, center, BOOL, "true"),
    KT_FIELD(batch_normalization, scale, BOOL, "true"),
    KT_INITIALIZER(batch_normalization, beta_initializer, "\"zeros\""),
    KT_INITIALIZER(batch_normalization, gamma_initializer, "\"ones\""),
    KT_INITIALIZER(batch_normalization, moving_mean_initializer, "\"zeros\""),
    KT_INITIALIZER(batch_normalization, moving_variance_initializer, "\"ones\""),
    KT_REGULARIZER(batch_normalization, beta_regularizer),
    KT_REGULARIZER(batch_normalization, gamma_regularizer),
    KT_CONSTRAINT(batch_normalization, beta_constraint),
    KT_CONSTRAINT(batch_normalization, gamma_constraint),
    KT_FIELD(batch_normalization, synchronized, BOOL, "false", .inert = true),
    KT_FIELD(batch_normalization, renorm, BOOL, "false"),
    KT_FIELD(batch_normalization, renorm_clipping, JSON, "null", .inert = true),
    KT_FIELD(batch_normalization, renorm_momentum, FLOAT, "0.99", .inert = true),
    KT_OPTIONS_END,
};
// clang-format on

static double limit(const batch_normalization *self, const char *key, double otherwise) {
    const json_t *value = json_object_get(self->renorm_clipping, key);
    return value ? json_number_value(value) : otherwise;
}

static kt_status check_batch(kt_layer *layer, kt_layer_context *context) {
    const batch_normalization *self = (const batch_normalization *)layer;
    kt_status status = kt_check_epsilon(layer, context, self->epsilon);
    const json_t *clipping = self->renorm_clipping;
    if (clipping && !json_is_object(clipping)) {
        status = kt_layer_reject(layer, context, KT_INVALID, "renorm_clipping", "must be an object or null.");
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)clipping, key, value) {
        if (self->renorm && (!kt_options_listed("rmax rmin dmax", key) || !json_is_number(value))) {
            status = kt_layer_reject(layer, context, KT_INVALID, "renorm_clipping",
                                     "must hold numbers by the names rmax, rmin and dmax, not '%s'.", key);
        }
    }
    if (self->renorm && limit(self, "rmax", INFINITY) < limit(self, "rmin", -INFINITY))
        status =
            kt_layer_reject(layer, context, KT_INVALID, "renorm_clipping", "must have rmax at least rmin.");
    if (self->renorm && limit(self, "dmax", 0) < 0)
        status = kt_layer_reject(layer, context, KT_INVALID, "renorm_clipping", "must have dmax at least 0.");
    return status;
}

static kt_status build_batch(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    batch_normalization *self = (batch_normalization *)layer;
    if (!kt_call_has_inputs(call, 1)) return KT_INVALID;
    int axis = kt_call_axis(call, self->axis, kt_call_type(call, 0)->rank);
    int64_t size = axis < 0 ? -1 : kt_call_static_dim(call, axis);
    if (size < 0) return KT_INVALID;
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, 1, &size);
    const json_t *mean = self->moving_mean_initializer;
    const json_t *variance = self->moving_variance_initializer;
    if (self->scale)
        self->gamma = kt_layer_add_weight(layer, trace, "gamma", &type, self->gamma_initializer, true);
    if (self->center)
        self->beta = kt_layer_add_weight(layer, trace, "beta", &type, self->beta_initializer, true);
    self->moving_mean = kt_layer_add_weight(layer, trace, "moving_mean", &type, mean, false);
    self->moving_variance = kt_layer_add_weight(layer, trace, "moving_variance", &type, variance, false);
    if (self->renorm) {
        self->moving_stddev = kt_layer_add_weight(layer, trace, "moving_stddev", &type, variance, false);
        self->renorm_mean = kt_layer_add_weight(layer, trace, "renorm_mean", &type, mean, false);
        self->renorm_stddev = kt_layer_add_weight(layer, trace, "renorm_stddev", &type, variance, false);
        layer->weights.at[self->moving_stddev].root = layer->weights.at[self->renorm_stddev].root = true;
    }
    return KT_OK;
}

/* Mean and variance over all axes but one; of the elements that mask (of x's rank less one, or 0) keeps.
 * Keras divides what a mask kept by its count plus 1e-7. */
static void take_moments(kt_builder *b, kt_value x, kt_value mask, const kt_ints *axes, kt_value *out_mean,
                         kt_value *out_variance) {
    kt_type type = *kt_build_type(b, x);
    kt_value kept = 0;
    kt_value count = 0;
    if (mask) {
        int64_t leading[KT_MAX_RANK];
        for (int i = 0; i < type.rank; i++) leading[i] = i;
        kept = kt_build_broadcast(b, kt_build_cast(b, mask, KT_BOOL), type.rank, type.dims, leading);
        count = kt_build_reduce(b, kt_build_cast(b, kept, type.dtype), KT_REDUCE_SUM, axes->count, axes->at);
        count = kt_build_add(b, count, kt_build_like(b, count, 1e-7));
    }
    kt_value zeros = kept ? kt_build_like(b, x, 0) : 0;
    kt_value sum = kt_build_reduce(b, kept ? kt_build_select(b, kept, x, zeros) : x, KT_REDUCE_SUM,
                                   axes->count, axes->at);
    *out_mean = count ? kt_build_div(b, sum, count) : kt_divide_by_count(b, sum, &type, axes);
    int channel = 0;
    for (uint32_t i = 0; i < axes->count && axes->at[i] == channel; i++) channel++;
    kt_value centered = kt_build_sub(b, x, kt_along_axis(b, *out_mean, x, channel));
    if (kept) centered = kt_build_select(b, kept, centered, zeros);
    sum = kt_build_reduce(b, kt_build_mul(b, centered, centered), KT_REDUCE_SUM, axes->count, axes->at);
    *out_variance = count ? kt_build_div(b, sum, count) : kt_divide_by_count(b, sum, &type, axes);
}

/* A weight as it is stored, in x's dtype. */
static kt_value read_as(kt_layer *layer, kt_trace *trace, uint32_t weight, kt_value x) {
    return kt_build_cast(trace->builder, kt_trace_stored_weight(trace, layer, weight),
                         kt_build_type(trace->builder, x)->dtype);
}

/* The weight becomes weight * momentum + now * (1 - momentum), which is returned. */
static kt_value move(kt_layer *layer, kt_trace *trace, uint32_t weight, kt_value now, double momentum) {
    kt_builder *b = trace->builder;
    kt_value old = read_as(layer, trace, weight, now);
    kt_value kept = kt_build_mul(b, old, kt_build_like(b, old, momentum));
    kt_value added = kt_build_mul(b, now, kt_build_like(b, now, 1 - momentum));
    kt_value moved = kt_build_add(b, kept, added);
    kt_trace_assign(trace, layer, weight, moved);
    return moved;
}

/* The statistics of this batch, or the layer's own. */
static void choose_moments(kt_layer *layer, kt_layer_call *call, kt_value x, int axis, kt_value *out_mean,
                           kt_value *out_variance) {
    const batch_normalization *self = (const batch_normalization *)layer;
    if (call->trace->training && layer->trainable) {
        kt_ints axes = {0};
        int rank = kt_build_type(call->trace->builder, x)->rank;
        for (int i = 0; i < rank; i++) {
            if (i != axis) axes.at[axes.count++] = i;
        }
        kt_trace_at(call->trace, "moments");
        take_moments(call->trace->builder, x, call->masks[0], &axes, out_mean, out_variance);
        return;
    }
    *out_mean = read_as(layer, call->trace, self->moving_mean, x);
    *out_variance = read_as(layer, call->trace, self->moving_variance, x);
}

/* ---- batch renormalisation (Ioffe, 2017): gamma (x r + d) + beta for gamma x + beta, where r and d, which
 * pass no gradients on, say how far the batch is from the statistics that training keeps. */

/* Rewrites gamma and beta, each 0 where there is none. */
static void renormalize(kt_layer *layer, kt_trace *trace, kt_value mean, kt_value stddev, kt_value *gamma,
                        kt_value *beta) {
    const batch_normalization *self = (const batch_normalization *)layer;
    double furthest = limit(self, "dmax", INFINITY);
    kt_builder *b = trace->builder;
    kt_value kept = read_as(layer, trace, self->renorm_stddev, mean);
    kept = kt_build_maximum(b, kept, kt_build_sqrt(b, kt_build_like(b, kept, self->epsilon)));
    kt_value r = kt_clip(b, kt_build_div(b, stddev, kept), limit(self, "rmin", -INFINITY),
                         limit(self, "rmax", INFINITY));
    kt_value away = kt_build_sub(b, mean, read_as(layer, trace, self->renorm_mean, mean));
    kt_value d = kt_clip(b, kt_build_div(b, away, kept), -furthest, furthest);
    r = kt_build_stop_gradient(b, r);
    d = kt_build_stop_gradient(b, d);
    if (*gamma) d = kt_build_mul(b, d, *gamma);
    *gamma = *gamma ? kt_build_mul(b, r, *gamma) : r;
    *beta = *beta ? kt_build_add(b, d, *beta) : d;
}

/* The layer's statistics move towards the batch's. stddev is 0 without renorm, with which Keras keeps the
 * standard deviation's average, and has the variance follow it. */
static void move_statistics(kt_layer *layer, kt_trace *trace, kt_value mean, kt_value variance,
                            kt_value stddev) {
    const batch_normalization *self = (const batch_normalization *)layer;
    kt_builder *b = trace->builder;
    (void)move(layer, trace, self->moving_mean, mean, self->momentum);
    if (!stddev) {
        (void)move(layer, trace, self->moving_variance, variance, self->momentum);
        return;
    }
    (void)move(layer, trace, self->renorm_mean, mean, self->renorm_momentum);
    (void)move(layer, trace, self->renorm_stddev, stddev, self->renorm_momentum);
    kt_value moved = move(layer, trace, self->moving_stddev, stddev, self->momentum);
    kt_value square = kt_build_mul(b, moved, moved);
    square = kt_build_sub(b, square, kt_build_like(b, square, self->epsilon));
    kt_trace_assign(trace, layer, self->moving_variance,
                    kt_build_maximum(b, square, kt_build_like(b, square, 0)));
}

static void call_batch(kt_layer *layer, kt_layer_call *call) {
    const batch_normalization *self = (const batch_normalization *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    if (!kt_call_has_inputs(call, 1)) return;
    int rank = kt_call_type(call, 0)->rank;
    int axis = kt_call_axis(call, self->axis, rank);
    if (axis < 0) return;
    if (!kt_call_mask_has_rank(call, 0, rank - 1)) return;
    kt_trace_at(trace, "batch_normalization");
    kt_dtype dtype = kt_dtype_promote(kt_call_type(call, 0)->dtype, KT_F32);
    kt_value x = kt_build_cast(builder, call->inputs[0], dtype);
    kt_value operands[5] = {x};
    kt_value *mean = &operands[1], *variance = &operands[2], *gamma = &operands[3], *beta = &operands[4];
    choose_moments(layer, call, x, axis, mean, variance);
    if (self->scale) *gamma = read_as(layer, trace, self->gamma, x);
    if (self->center) *beta = read_as(layer, trace, self->beta, x);
    if (trace->training && layer->trainable) {
        kt_value stddev = 0;
        if (self->renorm) {
            stddev = kt_build_add(builder, *variance, kt_build_like(builder, *variance, self->epsilon));
            stddev = kt_build_sqrt(builder, stddev);
            renormalize(layer, trace, *mean, stddev, gamma, beta);
        }
        move_statistics(layer, trace, *mean, *variance, stddev);
    }
    kt_trace_at(trace, "batch_normalization");
    kt_value y = kt_normalize_batch(builder, operands, axis, self->epsilon);
    call->outputs[0] = kt_build_cast(builder, y, layer->compute_dtype);
}

const kt_layer_class kt_class_batch_normalization = {
    .name = "BatchNormalization",
    .module = "keras.layers",
    .doc = "each channel brought to the mean and variance of its batches, then scaled and shifted",
    .bytes = sizeof(batch_normalization),
    .options = batch_options,
    .supports_masking = true,
    .check = check_batch,
    .build = build_batch,
    .call = call_batch,
};

/* ---- LayerNormalization ---------------------------------------------------------------------- */
typedef struct layer_normalization {
    kt_layer layer;
    const json_t *axis; /* an axis or a list of axes */
    kt_ints axes;
    double epsilon;
    bool center, scale, rms_scaling;
    const json_t *beta_initializer, *gamma_initializer;
    const json_t *beta_regularizer, *gamma_regularizer;
    const json_t *beta_constraint, *gamma_constraint;
    uint32_t gamma, beta; /* weights */
} layer_normalization;

// clang-format off
static const kt_option layer_options[] = {
    KT_FIELD(layer_normalization, axis, JSON, "-1"),
    KT_FIELD(layer_normalization, epsilon, FLOAT, "0.001"),
    KT_FIELD(layer_normalization, center, BOOL, "true"),
    KT_FIELD(layer_normalization, scale, BOOL, "true"),
    KT_FIELD(layer_normalization, rms_scaling, BOOL, "false"),
    KT_INITIALIZER(layer_normalization, beta_initializer, "\"zeros\""),
    KT_INITIALIZER(layer_normalization, gamma_initializer, "\"ones\""),
    KT_REGULARIZER(layer_normalization, beta_regularizer),
    KT_REGULARIZER(layer_normalization, gamma_regularizer),
    KT_CONSTRAINT(layer_normalization, beta_constraint),
    KT_CONSTRAINT(layer_normalization, gamma_constraint),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_layer(kt_layer *layer, kt_layer_context *context) {
    layer_normalization *self = (layer_normalization *)layer;
    kt_status status = kt_check_axes(layer, context, "axis", self->axis, &self->axes);
    KT_COLLECT(status, kt_check_epsilon(layer, context, self->epsilon));
    kt_sort_axes(&self->axes); /* [1, -1] becomes [-1, 1], which is also the order of gamma's axes */
    return status;
}

static bool has_gamma(const layer_normalization *self) { return self->scale || self->rms_scaling; }
static bool has_beta(const layer_normalization *self) { return self->center && !self->rms_scaling; }

static kt_status build_layer(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    layer_normalization *self = (layer_normalization *)layer;
    kt_ints axes;
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return KT_INVALID;
    int64_t shape[KT_MAX_RANK];
    for (uint32_t i = 0; i < self->axes.count; i++) {
        shape[i] =
            kt_call_static_dim(call, kt_call_axis(call, self->axes.at[i], kt_call_type(call, 0)->rank));
        if (shape[i] < 0) return KT_INVALID;
    }
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, (int)self->axes.count, shape);
    if (has_gamma(self)) {
        self->gamma = kt_layer_add_weight(layer, trace, "gamma", &type, self->gamma_initializer, true);
    }
    if (has_beta(self)) {
        self->beta = kt_layer_add_weight(layer, trace, "beta", &type, self->beta_initializer, true);
    }
    return KT_OK;
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    const layer_normalization *self = (const layer_normalization *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    kt_ints axes;
    if (!kt_call_has_inputs(call, 1) || !kt_call_axes(call, &self->axes, &axes)) return;
    kt_trace_at(trace, "layer_normalization");
    kt_dtype given = kt_call_type(call, 0)->dtype;
    kt_dtype dtype = kt_dtype_promote(given, KT_F32);
    kt_value operands[3] = {kt_build_cast(builder, call->inputs[0], dtype)};
    if (has_gamma(self))
        operands[1] = kt_build_cast(builder, kt_trace_stored_weight(trace, layer, self->gamma), dtype);
    if (has_beta(self))
        operands[2] = kt_build_cast(builder, kt_trace_stored_weight(trace, layer, self->beta), dtype);
    kt_value y = kt_normalize_layer(builder, operands, &axes, self->epsilon, self->rms_scaling);
    call->outputs[0] = kt_build_cast(builder, kt_build_cast(builder, y, given), layer->compute_dtype);
}

const kt_layer_class kt_class_layer_normalization = {
    .name = "LayerNormalization",
    .module = "keras.layers",
    .doc = "each sample brought to mean 0 and variance 1 along axes, then scaled and shifted",
    .bytes = sizeof(layer_normalization),
    .options = layer_options,
    .supports_masking = true,
    .keeps_input_dtype = true,
    .check = check_layer,
    .build = build_layer,
    .call = call_layer,
};
