/* Identity, and the layers that disturb or punish in training only: the dropout family, noise,
 * ActivityRegularization. At prediction all of them hand their input on. */
#include "frontend/layers/layers_impl.h"

#include <math.h>
#include <string.h>

typedef struct disturbance {
    kt_layer layer;
    double rate; /* GaussianNoise: stddev */
    kt_ints noise_shape;
    int64_t seed;
    const char *data_format;
    double l1, l2;
} disturbance;

// clang-format off
#define RATE(name) {name, KT_OPTION_FLOAT, offsetof(disturbance, rate), NULL, .inert = true}
#define SEED KT_FIELD(disturbance, seed, OPTIONAL_INT, "null", .inert = true)
static const kt_option no_options[] = {KT_OPTIONS_END};
static const kt_option dropout_options[] = {
    RATE("rate"),
    KT_FIELD(disturbance, noise_shape, SHAPE, "null", .inert = true),
    SEED,
    KT_OPTIONS_END,
};
static const kt_option plain_options[] = {RATE("rate"), SEED, KT_OPTIONS_END};
static const kt_option noise_options[] = {RATE("stddev"), SEED, KT_OPTIONS_END};
static const kt_option spatial_options[] = {
    RATE("rate"),
    SEED,
    KT_FIELD(disturbance, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first", .inert = true),
    KT_OPTIONS_END,
};
static const kt_option penalty_options[] = {
    KT_FIELD(disturbance, l1, FLOAT, "0.0", .inert = true),
    KT_FIELD(disturbance, l2, FLOAT, "0.0", .inert = true),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_rate(kt_layer *layer, kt_layer_context *context) {
    const disturbance *self = (const disturbance *)layer;
    if (self->rate >= 0 && self->rate <= 1) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, layer->class->options[0].name,
                           "must be from 0 to 1, not %g.", self->rate);
}

/* Keras's spatial dropouts forget that they may be frozen. */
static void write_spatial(const kt_layer *layer, json_t *config) {
    (void)layer;
    json_object_del(config, "trainable");
}

/* Keras makes a regularizer of the numbers, which it does not write. */
static kt_status check_penalty(kt_layer *layer, kt_layer_context *context) {
    const disturbance *self = (const disturbance *)layer;
    if (self->l1 < 0 || self->l2 < 0)
        return kt_layer_reject(layer, context, KT_INVALID, self->l1 < 0 ? "l1" : "l2",
                               "must not be negative.");
    json_t *both =
        json_pack("{s:s, s:{s:f, s:f}}", "class_name", "L1L2", "config", "l1", self->l1, "l2", self->l2);
    kt_arena_defer(context->arena, kt_json_release, both);
    layer->activity_regularizer = both;
    return KT_OK;
}

static void write_penalty(const kt_layer *layer, json_t *config) {
    (void)layer;
    json_object_del(config, "activity_regularizer");
}

/* ---- training -------------------------------------------------------------------------------- */

static kt_value number_like(const kt_layer_call *call, kt_value x, double number) {
    return kt_build_like(call->trace->builder, x, number);
}

/* A bool of x's shape: which elements stay. noise_shape: 1 where one draw serves the whole axis; -1 or no
 * entries: as x. */
static kt_value draw_kept(kt_layer *layer, const kt_layer_call *call, const kt_ints *noise_shape) {
    const disturbance *self = (const disturbance *)layer;
    kt_builder *b = call->trace->builder;
    const kt_type x = *kt_call_type(call, 0);
    kt_type noise = x;
    int64_t axes[KT_MAX_RANK];
    noise.dtype = KT_F32;
    for (uint32_t i = 0; i < noise_shape->count && i < x.rank; i++)
        if (noise_shape->at[i] != -1) noise.dims[i] = kt_dim_const(b->graph->dims, noise_shape->at[i]);
    for (int i = 0; i < x.rank; i++) axes[i] = i;
    kt_value drawn = kt_random_uniform(layer, call->trace, self->seed, &noise);
    kt_value kept = kt_build_ge(b, drawn, kt_build_like(b, drawn, self->rate));
    return kt_build_broadcast(b, kept, x.rank, x.dims, axes);
}

static kt_value drop(kt_layer *layer, const kt_layer_call *call, const kt_ints *noise_shape) {
    const disturbance *self = (const disturbance *)layer;
    kt_value x = call->inputs[0];
    if (self->rate == 1) return number_like(call, x, 0);
    return kt_random_dropout(layer, call->trace, self->seed, x, self->rate, noise_shape);
}

static kt_value dropout(kt_layer *layer, const kt_layer_call *call) {
    return drop(layer, call, &((const disturbance *)layer)->noise_shape);
}

/* One draw serves a channel. */
static kt_value spatial_dropout(kt_layer *layer, const kt_layer_call *call) {
    const disturbance *self = (const disturbance *)layer;
    uint32_t rank = kt_call_type(call, 0)->rank;
    uint32_t channels = self->data_format && strcmp(self->data_format, "channels_first") == 0 ? 1 : rank - 1;
    kt_ints shape = {.count = rank};
    for (uint32_t i = 0; i < rank; i++) shape.at[i] = i == 0 || i == channels ? -1 : 1;
    return drop(layer, call, &shape);
}

/* What is dropped takes selu's limit, and all are moved and scaled back to mean 0 and variance 1 (Klambauer
 * et al., "Self-normalizing neural networks", 2017). */
static kt_value alpha_dropout(kt_layer *layer, const kt_layer_call *call) {
    const disturbance *self = (const disturbance *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = call->inputs[0];
    const double limit = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946;
    const double rate = self->rate, a = 1 / sqrt((1 - rate) * (1 + rate * limit * limit));
    if (rate == 1) {
        kt_trace_fail(call->trace, KT_INVALID, "a rate of 1 leaves nothing to scale.");
        return 0;
    }
    kt_value kept =
        kt_build_cast(b, draw_kept(layer, call, &self->noise_shape), kt_call_type(call, 0)->dtype);
    kt_value rest = kt_build_sub(b, number_like(call, kept, 1), kept);
    kt_value mixed =
        kt_build_add(b, kt_build_mul(b, x, kept), kt_build_mul(b, rest, number_like(call, rest, limit)));
    mixed = kt_build_mul(b, mixed, number_like(call, mixed, a));
    return kt_build_add(b, mixed, number_like(call, mixed, -a * limit * rate));
}

static kt_value gaussian_noise(kt_layer *layer, const kt_layer_call *call) {
    const disturbance *self = (const disturbance *)layer;
    kt_builder *b = call->trace->builder;
    kt_value noise = kt_random_normal(layer, call->trace, self->seed, kt_call_type(call, 0));
    noise = kt_build_mul(b, noise, number_like(call, noise, self->rate));
    return kt_build_add(b, call->inputs[0], noise);
}

static kt_value gaussian_dropout(kt_layer *layer, const kt_layer_call *call) {
    const disturbance *self = (const disturbance *)layer;
    kt_builder *b = call->trace->builder;
    if (self->rate == 1) {
        kt_trace_fail(call->trace, KT_INVALID, "a rate of 1 would be infinite noise.");
        return 0;
    }
    kt_value noise = kt_random_normal(layer, call->trace, self->seed, kt_call_type(call, 0));
    noise = kt_build_mul(b, noise, number_like(call, noise, sqrt(self->rate / (1 - self->rate))));
    return kt_build_mul(b, call->inputs[0], kt_build_add(b, noise, number_like(call, noise, 1)));
}

/* ---- calls ----------------------------------------------------------------------------------- */

typedef kt_value disturb_fn(kt_layer *layer, const kt_layer_call *call);

static void call_disturbed(kt_layer *layer, kt_layer_call *call, disturb_fn *disturb) {
    const disturbance *self = (const disturbance *)layer;
    if (!kt_call_has_inputs(call, 1)) return;
    call->outputs[0] = call->inputs[0];
    if (call->trace->training && self->rate != 0) call->outputs[0] = disturb(layer, call);
}

static void call_identity(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    if (kt_call_has_inputs(call, 1)) call->outputs[0] = call->inputs[0];
}

#define CALL(name)                                                                                           \
    static void call_##name(kt_layer *layer, kt_layer_call *call) { call_disturbed(layer, call, name); }
CALL(dropout)
CALL(alpha_dropout)
CALL(gaussian_dropout)
CALL(gaussian_noise)
#define CALL_SPATIAL(name, rank)                                                                             \
    static void call_##name(kt_layer *layer, kt_layer_call *call) {                                          \
        if (kt_call_has_inputs(call, 1) && kt_call_has_rank(call, rank, rank))                               \
            call_disturbed(layer, call, spatial_dropout);                                                    \
    }
CALL_SPATIAL(1d, 3)
CALL_SPATIAL(2d, 4)
CALL_SPATIAL(3d, 5)

#define DISTURBANCE(c_name, keras_name, documentation, table, checks, writes, calls)                         \
    const kt_layer_class kt_class_##c_name = {.name = (keras_name),                                          \
                                              .module = "keras.layers",                                      \
                                              .doc = (documentation),                                        \
                                              .bytes = sizeof(disturbance),                                  \
                                              .options = (table),                                            \
                                              .supports_masking = true,                                      \
                                              .check = (checks),                                             \
                                              .write_config = (writes),                                      \
                                              .call = (calls)}

DISTURBANCE(identity, "Identity", "its input", no_options, NULL, NULL, call_identity);
DISTURBANCE(dropout, "Dropout", "drops elements at random in training; nothing at prediction",
            dropout_options, check_rate, NULL, call_dropout);
DISTURBANCE(alpha_dropout, "AlphaDropout",
            "drops elements in training and keeps mean and variance; nothing at prediction", dropout_options,
            check_rate, NULL, call_alpha_dropout);
DISTURBANCE(gaussian_dropout, "GaussianDropout",
            "multiplies with noise around 1 in training; nothing at prediction", plain_options, check_rate,
            NULL, call_gaussian_dropout);
DISTURBANCE(gaussian_noise, "GaussianNoise", "adds noise in training; nothing at prediction", noise_options,
            check_rate, NULL, call_gaussian_noise);
DISTURBANCE(spatial_dropout_1d, "SpatialDropout1D",
            "drops channels of sequences in training; nothing at prediction", plain_options, check_rate,
            write_spatial, call_1d);
DISTURBANCE(spatial_dropout_2d, "SpatialDropout2D",
            "drops channels of images in training; nothing at prediction", spatial_options, check_rate,
            write_spatial, call_2d);
DISTURBANCE(spatial_dropout_3d, "SpatialDropout3D",
            "drops channels of volumes in training; nothing at prediction", spatial_options, check_rate,
            write_spatial, call_3d);
DISTURBANCE(activity_regularization, "ActivityRegularization",
            "adds its input's norms to the loss; nothing at prediction", penalty_options, check_penalty,
            write_penalty, call_identity);
