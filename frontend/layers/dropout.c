/* Identity, and the layers that disturb or punish in training only: the dropout family, noise,
 * ActivityRegularization. At prediction all of them hand their input on. */
#include "frontend/layers/layers_impl.h"

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

static void call(kt_layer *layer, kt_layer_call *call) {
    const disturbance *self = (const disturbance *)layer;
    if (!kt_call_has_inputs(call, 1)) return;
    if (call->trace->training && self->rate > 0) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "%s in training mode is not supported yet.",
                      layer->class->name);
        return;
    }
    call->outputs[0] = call->inputs[0];
}

static void call_1d(kt_layer *layer, kt_layer_call *c) {
    if (kt_call_has_inputs(c, 1) && kt_call_has_rank(c, 3, 3)) call(layer, c);
}
static void call_2d(kt_layer *layer, kt_layer_call *c) {
    if (kt_call_has_inputs(c, 1) && kt_call_has_rank(c, 4, 4)) call(layer, c);
}
static void call_3d(kt_layer *layer, kt_layer_call *c) {
    if (kt_call_has_inputs(c, 1) && kt_call_has_rank(c, 5, 5)) call(layer, c);
}

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

DISTURBANCE(identity, "Identity", "its input", no_options, NULL, NULL, call);
DISTURBANCE(dropout, "Dropout", "drops elements at random in training; nothing at prediction",
            dropout_options, check_rate, NULL, call);
DISTURBANCE(alpha_dropout, "AlphaDropout",
            "drops elements in training and keeps mean and variance; nothing at prediction", dropout_options,
            check_rate, NULL, call);
DISTURBANCE(gaussian_dropout, "GaussianDropout",
            "multiplies with noise around 1 in training; nothing at prediction", plain_options, check_rate,
            NULL, call);
DISTURBANCE(gaussian_noise, "GaussianNoise", "adds noise in training; nothing at prediction", noise_options,
            check_rate, NULL, call);
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
            "adds its input's norms to the loss; nothing at prediction", penalty_options, NULL, NULL, call);
