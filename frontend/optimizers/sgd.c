/* Gradient descent, with momentum (Sutskever et al. 2013), and by signs: Lion (Chen et al. 2023). */
#include "frontend/optimizers/optimizers_impl.h"

static const char *const momentum_slot[] = {"momentum", NULL};

/* ---- SGD ------------------------------------------------------------------------------------- */
typedef struct sgd {
    kt_optimizer optimizer;
    double momentum;
    bool nesterov;
} sgd;

static const kt_option sgd_options[] = {
    KT_OPTIMIZER_OPTIONS("sgd", "0.01", "null"),
    KT_FIELD(sgd, momentum, FLOAT, "0.0"),
    KT_FIELD(sgd, nesterov, BOOL, "false"),
    KT_OPTIONS_END,
};

static kt_status check_sgd(kt_object *object, kt_layer_context *context) {
    double momentum = ((const sgd *)object)->momentum;
    return kt_optimizer_check_range(object, context, "momentum", momentum >= 0 && momentum <= 1,
                                    "must be between 0 and 1.");
}

static void build_sgd(kt_optimizer *optimizer, kt_trace *trace) {
    if (((const sgd *)optimizer)->momentum != 0) kt_optimizer_add_slots(optimizer, trace, 0, momentum_slot);
}

static kt_value update_sgd(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                           kt_value gradient) {
    const sgd *self = (const sgd *)optimizer;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value step = kt_optimizer_scale(trace, gradient, kt_optimizer_rate(optimizer, trace, dtype));
    if (self->momentum == 0) return kt_build_sub(b, variable, step);
    kt_value old = kt_optimizer_slot(optimizer, trace, i, 0);
    kt_value momentum = kt_build_sub(b, kt_optimizer_scale_by(trace, old, self->momentum), step);
    kt_optimizer_set_slot(optimizer, trace, i, 0, momentum);
    if (!self->nesterov) return kt_build_add(b, variable, momentum);
    kt_value ahead = kt_build_sub(b, kt_optimizer_scale_by(trace, momentum, self->momentum), step);
    return kt_build_add(b, variable, ahead);
}

const kt_optimizer_class kt_optimizer_sgd = {{.name = "SGD",
                                              .aliases = "sgd",
                                              .doc = "gradient descent, with momentum",
                                              .bytes = sizeof(sgd),
                                              .options = sgd_options,
                                              .check = check_sgd},
                                             .build = build_sgd,
                                             .update = update_sgd};

/* ---- Lion ------------------------------------------------------------------------------------ */
typedef struct lion {
    kt_optimizer optimizer;
    double beta_1, beta_2;
} lion;

static const kt_option lion_options[] = {
    KT_OPTIMIZER_OPTIONS("lion", "0.001", "null"),
    KT_FIELD(lion, beta_1, FLOAT, "0.9"),
    KT_FIELD(lion, beta_2, FLOAT, "0.99"),
    KT_OPTIONS_END,
};

static kt_status check_lion(kt_object *object, kt_layer_context *context) {
    double beta = ((const lion *)object)->beta_1;
    return kt_optimizer_check_range(object, context, "beta_1", beta > 0 && beta <= 1,
                                    "must be above 0, and at most 1.");
}

static void build_lion(kt_optimizer *optimizer, kt_trace *trace) {
    kt_optimizer_add_slots(optimizer, trace, 0, momentum_slot);
}

/* old * beta + x * (1 - beta) */
static kt_value mix(kt_trace *trace, kt_value old, kt_value x, double beta) {
    kt_dtype dtype = kt_build_type(trace->builder, x)->dtype;
    return kt_build_add(trace->builder, kt_optimizer_scale_by(trace, old, beta),
                        kt_optimizer_scale(trace, x, kt_optimizer_rest(trace, dtype, beta)));
}

static kt_value update_lion(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                            kt_value gradient) {
    const lion *self = (const lion *)optimizer;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value old = kt_optimizer_slot(optimizer, trace, i, 0);
    kt_value direction = kt_build_sign(b, mix(trace, old, gradient, self->beta_1));
    kt_optimizer_set_slot(optimizer, trace, i, 0, mix(trace, old, gradient, self->beta_2));
    return kt_build_sub(b, variable,
                        kt_optimizer_scale(trace, direction, kt_optimizer_rate(optimizer, trace, dtype)));
}

const kt_optimizer_class kt_optimizer_lion = {{.name = "Lion",
                                               .aliases = "lion",
                                               .doc = "the sign of a mix of momentum and gradient",
                                               .bytes = sizeof(lion),
                                               .options = lion_options,
                                               .check = check_lion},
                                              .build = build_lion,
                                              .update = update_lion};
