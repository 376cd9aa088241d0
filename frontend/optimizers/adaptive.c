/* Steps over the size of past gradients: Adagrad (Duchi et al. 2011), Adadelta (Zeiler 2012), RMSprop
 * (Tieleman and Hinton 2012), and FTRL (McMahan et al. 2013). */
#include "frontend/layers/layers_impl.h"
#include "frontend/optimizers/optimizers_impl.h"

/* sqrt(x + epsilon) */
static kt_value root(kt_trace *trace, kt_value x, double epsilon) {
    return kt_build_sqrt(trace->builder, kt_optimizer_add_number(trace, x, epsilon));
}

/* ---- Adagrad --------------------------------------------------------------------------------- */
typedef struct adagrad {
    kt_optimizer optimizer;
    double initial_accumulator_value, epsilon;
} adagrad;

static const kt_option adagrad_options[] = {
    KT_OPTIMIZER_OPTIONS("adagrad", "0.001", "null"),
    KT_FIELD(adagrad, initial_accumulator_value, FLOAT, "0.1"),
    KT_FIELD(adagrad, epsilon, FLOAT, "1e-7"),
    KT_OPTIONS_END,
};

static void build_adagrad(kt_optimizer *optimizer, kt_trace *trace) {
    for (uint32_t i = 0; i < optimizer->trained.count; i++) {
        const kt_type type = kt_optimizer_type(optimizer, trace, i);
        kt_optimizer_add_slot(optimizer, trace, i, 0, "accumulator", &type,
                              ((const adagrad *)optimizer)->initial_accumulator_value);
    }
}

static kt_value update_adagrad(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                               kt_value gradient) {
    kt_builder *b = trace->builder;
    kt_value rate = kt_optimizer_rate(optimizer, trace, kt_build_type(b, variable)->dtype);
    kt_value sum =
        kt_build_add(b, kt_optimizer_slot(optimizer, trace, i, 0), kt_optimizer_square(trace, gradient));
    kt_optimizer_set_slot(optimizer, trace, i, 0, sum);
    kt_value below = root(trace, sum, ((const adagrad *)optimizer)->epsilon);
    return kt_build_sub(b, variable, kt_build_div(b, kt_optimizer_scale(trace, gradient, rate), below));
}

const kt_optimizer_class kt_optimizer_adagrad = {{.name = "Adagrad",
                                                  .aliases = "adagrad",
                                                  .doc = "steps over the size of all past gradients",
                                                  .bytes = sizeof(adagrad),
                                                  .options = adagrad_options},
                                                 .build = build_adagrad,
                                                 .update = update_adagrad};

/* ---- Adadelta -------------------------------------------------------------------------------- */
typedef struct adadelta {
    kt_optimizer optimizer;
    double rho, epsilon;
} adadelta;

static const kt_option adadelta_options[] = {
    KT_OPTIMIZER_OPTIONS("adadelta", "0.001", "null"),
    KT_FIELD(adadelta, rho, FLOAT, "0.95"),
    KT_FIELD(adadelta, epsilon, FLOAT, "1e-7"),
    KT_OPTIONS_END,
};

static void build_adadelta(kt_optimizer *optimizer, kt_trace *trace) {
    static const char *const names[] = {"accumulated_grad", "accumulated_delta_var", NULL};
    kt_optimizer_add_slots(optimizer, trace, 0, names);
}

static kt_value update_adadelta(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                                kt_value gradient) {
    const adadelta *self = (const adadelta *)optimizer;
    kt_builder *b = trace->builder;
    kt_value rate = kt_optimizer_rate(optimizer, trace, kt_build_type(b, variable)->dtype);
    kt_value deltas = kt_optimizer_slot(optimizer, trace, i, 1);
    kt_value mean = kt_optimizer_mix(trace, kt_optimizer_slot(optimizer, trace, i, 0),
                                     kt_optimizer_square(trace, gradient), self->rho);
    kt_value delta = kt_build_div(b, kt_build_mul(b, root(trace, deltas, self->epsilon), gradient),
                                  root(trace, mean, self->epsilon));
    kt_optimizer_set_slot(optimizer, trace, i, 0, mean);
    kt_optimizer_set_slot(optimizer, trace, i, 1,
                          kt_optimizer_mix(trace, deltas, kt_optimizer_square(trace, delta), self->rho));
    return kt_build_sub(b, variable, kt_optimizer_scale(trace, delta, rate));
}

const kt_optimizer_class kt_optimizer_adadelta = {
    {.name = "Adadelta",
     .aliases = "adadelta",
     .doc = "steps over the size of recent gradients, in units of steps",
     .bytes = sizeof(adadelta),
     .options = adadelta_options},
    .build = build_adadelta,
    .update = update_adadelta};

/* ---- RMSprop --------------------------------------------------------------------------------- */
typedef struct rmsprop {
    kt_optimizer optimizer;
    double rho, momentum, epsilon;
    bool centered;
} rmsprop;

static const kt_option rmsprop_options[] = {
    KT_OPTIMIZER_OPTIONS("rm_sprop", "0.001", "null"), KT_FIELD(rmsprop, rho, FLOAT, "0.9"),
    KT_FIELD(rmsprop, momentum, FLOAT, "0.0"),         KT_FIELD(rmsprop, epsilon, FLOAT, "1e-7"),
    KT_FIELD(rmsprop, centered, BOOL, "false"),        KT_OPTIONS_END,
};
enum { VELOCITY, MOMENTUM, AVERAGE };

/* The slots come kind by kind. */
static void build_rmsprop(kt_optimizer *optimizer, kt_trace *trace) {
    static const char *const velocity[] = {"velocity", NULL}, *const momentum[] = {"momentum", NULL},
                             *const average[] = {"average_gradient", NULL};
    const rmsprop *self = (const rmsprop *)optimizer;
    kt_optimizer_add_slots(optimizer, trace, VELOCITY, velocity);
    if (self->momentum > 0) kt_optimizer_add_slots(optimizer, trace, MOMENTUM, momentum);
    if (self->centered) kt_optimizer_add_slots(optimizer, trace, AVERAGE, average);
}

static kt_value update_rmsprop(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                               kt_value gradient) {
    const rmsprop *self = (const rmsprop *)optimizer;
    kt_builder *b = trace->builder;
    kt_value rate = kt_optimizer_rate(optimizer, trace, kt_build_type(b, variable)->dtype);
    kt_value velocity = kt_optimizer_mix(trace, kt_optimizer_slot(optimizer, trace, i, VELOCITY),
                                         kt_optimizer_square(trace, gradient), self->rho);
    kt_optimizer_set_slot(optimizer, trace, i, VELOCITY, velocity);
    kt_value variance = velocity;
    if (self->centered) {
        kt_value average =
            kt_optimizer_mix(trace, kt_optimizer_slot(optimizer, trace, i, AVERAGE), gradient, self->rho);
        kt_optimizer_set_slot(optimizer, trace, i, AVERAGE, average);
        variance = kt_build_sub(b, velocity, kt_optimizer_square(trace, average));
    }
    kt_value step =
        kt_build_div(b, kt_optimizer_scale(trace, gradient, rate), root(trace, variance, self->epsilon));
    if (self->momentum > 0) {
        kt_value old = kt_optimizer_slot(optimizer, trace, i, MOMENTUM);
        step = kt_build_add(b, kt_optimizer_scale_by(trace, old, self->momentum), step);
        kt_optimizer_set_slot(optimizer, trace, i, MOMENTUM, step);
    }
    return kt_build_sub(b, variable, step);
}

const kt_optimizer_class kt_optimizer_rmsprop = {{.name = "RMSprop",
                                                  .aliases = "rmsprop",
                                                  .doc = "steps over the size of recent gradients",
                                                  .bytes = sizeof(rmsprop),
                                                  .options = rmsprop_options},
                                                 .build = build_rmsprop,
                                                 .update = update_rmsprop};

/* ---- Ftrl ------------------------------------------------------------------------------------ */
typedef struct ftrl {
    kt_optimizer optimizer;
    double learning_rate_power, initial_accumulator_value, l1_regularization_strength,
        l2_regularization_strength, l2_shrinkage_regularization_strength, beta;
} ftrl;

static const kt_option ftrl_options[] = {
    KT_OPTIMIZER_OPTIONS("ftrl", "0.001", "null"),
    KT_FIELD(ftrl, learning_rate_power, FLOAT, "-0.5"),
    KT_FIELD(ftrl, initial_accumulator_value, FLOAT, "0.1"),
    KT_FIELD(ftrl, l1_regularization_strength, FLOAT, "0.0"),
    KT_FIELD(ftrl, l2_regularization_strength, FLOAT, "0.0"),
    KT_FIELD(ftrl, l2_shrinkage_regularization_strength, FLOAT, "0.0"),
    KT_FIELD(ftrl, beta, FLOAT, "0.0"),
    KT_OPTIONS_END,
};

static kt_status check_ftrl(kt_object *object, kt_layer_context *context) {
    const ftrl *self = (const ftrl *)object;
    static const char below[] = "must not be negative.";
    kt_status status = kt_optimizer_check_range(object, context, "learning_rate_power",
                                                self->learning_rate_power <= 0, "must not be above 0.");
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "initial_accumulator_value",
                                                self->initial_accumulator_value >= 0, below));
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "l1_regularization_strength",
                                                self->l1_regularization_strength >= 0, below));
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "l2_regularization_strength",
                                                self->l2_regularization_strength >= 0, below));
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "l2_shrinkage_regularization_strength",
                                                self->l2_shrinkage_regularization_strength >= 0, below));
    return status;
}

static void build_ftrl(kt_optimizer *optimizer, kt_trace *trace) {
    for (uint32_t i = 0; i < optimizer->trained.count; i++) {
        const kt_type type = kt_optimizer_type(optimizer, trace, i);
        kt_optimizer_add_slot(optimizer, trace, i, 0, "accumulator", &type,
                              ((const ftrl *)optimizer)->initial_accumulator_value);
        kt_optimizer_add_slot(optimizer, trace, i, 1, "linear", &type, 0);
    }
}

/* x ** -learning_rate_power, which is nearly always a square root. */
static kt_value power(const ftrl *self, kt_trace *trace, kt_value x) {
    kt_builder *b = trace->builder;
    if (self->learning_rate_power == -0.5) return kt_build_sqrt(b, x);
    return kt_build_pow(b, x, kt_build_like(b, x, -self->learning_rate_power));
}

static kt_value update_ftrl(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                            kt_value gradient) {
    const ftrl *self = (const ftrl *)optimizer;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value rate = kt_optimizer_rate(optimizer, trace, dtype);
    kt_value old = kt_optimizer_slot(optimizer, trace, i, 0);
    kt_value sum = kt_build_add(b, old, kt_optimizer_square(trace, gradient));
    kt_value pulled = kt_build_add(
        b, gradient, kt_optimizer_scale_by(trace, variable, 2 * self->l2_shrinkage_regularization_strength));
    kt_value new_power = power(self, trace, sum);
    kt_value change = kt_optimizer_divide(trace, kt_build_sub(b, new_power, power(self, trace, old)), rate);
    kt_value linear = kt_build_add(b, kt_optimizer_slot(optimizer, trace, i, 1),
                                   kt_build_sub(b, pulled, kt_build_mul(b, change, variable)));
    /* 2 * (l2 + beta / (2 * rate)) */
    kt_value two = kt_build_scalar(b, dtype, 2);
    kt_value l2 =
        kt_build_add(b, kt_build_scalar(b, dtype, self->l2_regularization_strength),
                     kt_build_div(b, kt_build_scalar(b, dtype, self->beta), kt_build_mul(b, two, rate)));
    l2 = kt_build_mul(b, two, l2);
    kt_value quadratic = kt_build_add(b, kt_optimizer_divide(trace, new_power, rate),
                                      kt_optimizer_spread(trace, l2, variable));
    double l1 = self->l1_regularization_strength;
    kt_value clipped = kt_build_maximum(b, kt_build_minimum(b, linear, kt_build_like(b, linear, l1)),
                                        kt_build_like(b, linear, -l1));
    kt_optimizer_set_slot(optimizer, trace, i, 0, sum);
    kt_optimizer_set_slot(optimizer, trace, i, 1, linear);
    return kt_build_div(b, kt_build_sub(b, clipped, linear), quadratic);
}

const kt_optimizer_class kt_optimizer_ftrl = {{.name = "Ftrl",
                                               .aliases = "ftrl",
                                               .doc = "follow the regularized leader",
                                               .bytes = sizeof(ftrl),
                                               .options = ftrl_options,
                                               .check = check_ftrl},
                                              .build = build_ftrl,
                                              .update = update_ftrl};
