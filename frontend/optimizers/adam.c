/* Adam and AdaMax (Kingma and Ba 2014), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov and Hutter 2019),
 * Nadam (Dozat 2015) and LAMB (You et al. 2019): momentum of the gradient over a mean of its size. */
#include "frontend/optimizers/optimizers_impl.h"

#include <math.h>

typedef struct adam {
    kt_optimizer optimizer;
    kt_adam_numbers numbers; /* amsgrad: of Adam and AdamW */
    uint32_t u_product;      /* Nadam: a variable of the graph, the product of all steps' momentum */
} adam;

#define ADAM_FIELD(field, kind, usual)                                                                       \
    {#field, KT_OPTION_##kind, offsetof(adam, numbers) + offsetof(kt_adam_numbers, field), usual}
#define ADAM_FIELDS                                                                                          \
    ADAM_FIELD(beta_1, FLOAT, "0.9"), ADAM_FIELD(beta_2, FLOAT, "0.999"), ADAM_FIELD(epsilon, FLOAT, "1e-7")

static const char *const moments[] = {"momentum", "velocity", NULL};
enum { MOMENTUM, VELOCITY, VELOCITY_HAT };

static void build_moments(kt_optimizer *optimizer, kt_trace *trace) {
    kt_optimizer_add_slots(optimizer, trace, MOMENTUM, moments);
}

/* Moves both moments towards the gradient and its square. */
static void move_moments(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, const kt_adam_numbers *numbers,
                         kt_value gradient, kt_value *out_first, kt_value *out_second) {
    *out_first =
        kt_optimizer_move(trace, kt_optimizer_slot(optimizer, trace, i, MOMENTUM), gradient, numbers->beta_1);
    *out_second = kt_optimizer_move(trace, kt_optimizer_slot(optimizer, trace, i, VELOCITY),
                                    kt_optimizer_square(trace, gradient), numbers->beta_2);
    kt_optimizer_set_slot(optimizer, trace, i, MOMENTUM, *out_first);
    kt_optimizer_set_slot(optimizer, trace, i, VELOCITY, *out_second);
}

/* sqrt(x) + epsilon */
static kt_value root(kt_trace *trace, kt_value x, double epsilon) {
    return kt_optimizer_add_number(trace, kt_build_sqrt(trace->builder, x), epsilon);
}

/* ---- Adam, AdamW ----------------------------------------------------------------------------- */
static const kt_option adam_options[] = {
    KT_OPTIMIZER_OPTIONS("adam", "0.001", "null"),
    ADAM_FIELDS,
    ADAM_FIELD(amsgrad, BOOL, "false"),
    KT_OPTIONS_END,
};
static const kt_option adam_w_options[] = {
    KT_OPTIMIZER_OPTIONS("adam_w", "0.001", "0.004"),
    ADAM_FIELDS,
    ADAM_FIELD(amsgrad, BOOL, "false"),
    KT_OPTIONS_END,
};

static kt_status check_adam_w(kt_object *object, kt_layer_context *context) {
    return kt_optimizer_check_range(object, context, "weight_decay",
                                    !isnan(((const kt_optimizer *)object)->weight_decay),
                                    "must be a number.");
}

static void build_adam(kt_optimizer *optimizer, kt_trace *trace) {
    static const char *const hat[] = {"velocity_hat", NULL};
    build_moments(optimizer, trace);
    if (((const adam *)optimizer)->numbers.amsgrad)
        kt_optimizer_add_slots(optimizer, trace, VELOCITY_HAT, hat);
}

kt_value kt_optimizer_adam_update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i,
                                  const kt_adam_numbers *numbers, kt_value rate, kt_value variable,
                                  kt_value gradient) {
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value correction = kt_build_sqrt(b, kt_optimizer_correction(optimizer, trace, dtype, numbers->beta_2));
    rate = kt_build_div(b, kt_build_mul(b, rate, correction),
                        kt_optimizer_correction(optimizer, trace, dtype, numbers->beta_1));
    kt_value first, second;
    move_moments(optimizer, trace, i, numbers, gradient, &first, &second);
    if (numbers->amsgrad) {
        second = kt_build_maximum(b, kt_optimizer_slot(optimizer, trace, i, VELOCITY_HAT), second);
        kt_optimizer_set_slot(optimizer, trace, i, VELOCITY_HAT, second);
    }
    return kt_build_sub(
        b, variable,
        kt_build_div(b, kt_optimizer_scale(trace, first, rate), root(trace, second, numbers->epsilon)));
}

static kt_value update_adam(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                            kt_value gradient) {
    kt_dtype dtype = kt_build_type(trace->builder, variable)->dtype;
    return kt_optimizer_adam_update(optimizer, trace, i, &((const adam *)optimizer)->numbers,
                                    kt_optimizer_rate(optimizer, trace, dtype), variable, gradient);
}

const kt_optimizer_class kt_optimizer_adam = {{.name = "Adam",
                                               .aliases = "adam",
                                               .doc = "adaptive moments",
                                               .bytes = sizeof(adam),
                                               .options = adam_options},
                                              .build = build_adam,
                                              .update = update_adam};
const kt_optimizer_class kt_optimizer_adam_w = {{.name = "AdamW",
                                                 .aliases = "adamw",
                                                 .doc = "adaptive moments, with weight decay",
                                                 .bytes = sizeof(adam),
                                                 .options = adam_w_options,
                                                 .check = check_adam_w},
                                                .build = build_adam,
                                                .update = update_adam};

/* ---- Adamax ---------------------------------------------------------------------------------- */
static const kt_option adamax_options[] = {KT_OPTIMIZER_OPTIONS("adamax", "0.001", "null"), ADAM_FIELDS,
                                           KT_OPTIONS_END};

static void build_adamax(kt_optimizer *optimizer, kt_trace *trace) {
    static const char *const names[] = {"momentum", "norm", NULL};
    kt_optimizer_add_slots(optimizer, trace, 0, names);
}

static kt_value update_adamax(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                              kt_value gradient) {
    const kt_adam_numbers *numbers = &((const adam *)optimizer)->numbers;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value first =
        kt_optimizer_move(trace, kt_optimizer_slot(optimizer, trace, i, 0), gradient, numbers->beta_1);
    kt_value faded = kt_optimizer_scale_by(trace, kt_optimizer_slot(optimizer, trace, i, 1), numbers->beta_2);
    kt_value norm = kt_build_maximum(b, faded, kt_build_abs(b, gradient));
    kt_optimizer_set_slot(optimizer, trace, i, 0, first);
    kt_optimizer_set_slot(optimizer, trace, i, 1, norm);
    kt_value below = kt_optimizer_scale(trace, kt_optimizer_add_number(trace, norm, numbers->epsilon),
                                        kt_optimizer_correction(optimizer, trace, dtype, numbers->beta_1));
    kt_value rate = kt_optimizer_rate(optimizer, trace, dtype);
    return kt_build_sub(b, variable, kt_build_div(b, kt_optimizer_scale(trace, first, rate), below));
}

const kt_optimizer_class kt_optimizer_adamax = {{.name = "Adamax",
                                                 .aliases = "adamax",
                                                 .doc = "Adam with the infinity norm",
                                                 .bytes = sizeof(adam),
                                                 .options = adamax_options},
                                                .build = build_adamax,
                                                .update = update_adamax};

/* ---- Nadam ----------------------------------------------------------------------------------- */
static const kt_option nadam_options[] = {KT_OPTIMIZER_OPTIONS("nadam", "0.001", "null"), ADAM_FIELDS,
                                          KT_OPTIONS_END};

static void build_nadam(kt_optimizer *optimizer, kt_trace *trace) {
    kt_type scalar = {.dtype = KT_F32};
    if (optimizer->trained.count) scalar.dtype = kt_optimizer_type(optimizer, trace, 0).dtype;
    build_moments(optimizer, trace);
    ((adam *)optimizer)->u_product = kt_optimizer_add_loose(optimizer, trace, "u_product", &scalar, 1);
}

/* The momentum of a step, from this one on: beta_1 * (1 - 0.96 ** step / 2) */
static kt_value momentum_of(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype, int ahead) {
    kt_builder *b = trace->builder;
    kt_value power =
        kt_build_pow(b, kt_build_scalar(b, dtype, 0.96), kt_optimizer_step(optimizer, trace, dtype, ahead));
    kt_value share =
        kt_build_sub(b, kt_build_scalar(b, dtype, 1), kt_build_mul(b, kt_build_scalar(b, dtype, 0.5), power));
    return kt_build_mul(b, kt_build_scalar(b, dtype, ((const adam *)optimizer)->numbers.beta_1), share);
}

static void begin_nadam(kt_optimizer *optimizer, kt_trace *trace) {
    uint32_t variable = ((const adam *)optimizer)->u_product;
    kt_value old = kt_trace_variable(trace, variable);
    kt_dtype dtype = kt_build_type(trace->builder, old)->dtype;
    kt_optimizer_assign(optimizer, trace, variable,
                        kt_build_mul(trace->builder, old, momentum_of(optimizer, trace, dtype, 0)));
}

static kt_value update_nadam(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                             kt_value gradient) {
    const kt_adam_numbers *numbers = &((const adam *)optimizer)->numbers;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value one = kt_build_scalar(b, dtype, 1);
    kt_value now = momentum_of(optimizer, trace, dtype, 0);
    kt_value next = momentum_of(optimizer, trace, dtype, 1);
    kt_value product =
        kt_build_cast(b, kt_trace_variable(trace, ((const adam *)optimizer)->u_product), dtype);
    kt_value ahead = kt_build_mul(b, product, next);
    kt_value first, second, rest_1 = kt_optimizer_rest(trace, dtype, numbers->beta_1);
    kt_value rest_2 = kt_optimizer_rest(trace, dtype, numbers->beta_2);
    kt_value m = kt_optimizer_slot(optimizer, trace, i, MOMENTUM);
    kt_value v = kt_optimizer_slot(optimizer, trace, i, VELOCITY);
    first = kt_build_add(b, m, kt_optimizer_scale(trace, kt_build_sub(b, gradient, m), rest_1));
    second = kt_build_add(
        b, v, kt_optimizer_scale(trace, kt_build_sub(b, kt_optimizer_square(trace, gradient), v), rest_2));
    kt_optimizer_set_slot(optimizer, trace, i, MOMENTUM, first);
    kt_optimizer_set_slot(optimizer, trace, i, VELOCITY, second);
    kt_value share_1 = kt_build_div(b, next, kt_build_sub(b, one, ahead));
    kt_value share_2 = kt_build_div(b, kt_build_sub(b, one, now), kt_build_sub(b, one, product));
    kt_value mean = kt_build_add(b, kt_optimizer_scale(trace, first, share_1),
                                 kt_optimizer_scale(trace, gradient, share_2));
    kt_value size =
        kt_optimizer_divide(trace, second, kt_optimizer_correction(optimizer, trace, dtype, numbers->beta_2));
    kt_value rate = kt_optimizer_rate(optimizer, trace, dtype);
    return kt_build_sub(
        b, variable,
        kt_build_div(b, kt_optimizer_scale(trace, mean, rate), root(trace, size, numbers->epsilon)));
}

const kt_optimizer_class kt_optimizer_nadam = {{.name = "Nadam",
                                                .aliases = "nadam",
                                                .doc = "Adam with Nesterov's momentum",
                                                .bytes = sizeof(adam),
                                                .options = nadam_options},
                                               .build = build_nadam,
                                               .begin = begin_nadam,
                                               .update = update_nadam};

/* ---- Lamb ------------------------------------------------------------------------------------ */
static const kt_option lamb_options[] = {KT_OPTIMIZER_OPTIONS("lamb", "0.001", "null"), ADAM_FIELDS,
                                         KT_OPTIONS_END};

static kt_value update_lamb(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                            kt_value gradient) {
    const kt_adam_numbers *numbers = &((const adam *)optimizer)->numbers;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value first, second;
    move_moments(optimizer, trace, i, numbers, gradient, &first, &second);
    first =
        kt_optimizer_divide(trace, first, kt_optimizer_correction(optimizer, trace, dtype, numbers->beta_1));
    second =
        kt_optimizer_divide(trace, second, kt_optimizer_correction(optimizer, trace, dtype, numbers->beta_2));
    kt_value update = kt_build_div(b, first, root(trace, second, numbers->epsilon));
    kt_value size = kt_build_sqrt(b, kt_optimizer_sum(trace, kt_optimizer_square(trace, variable)));
    kt_value change = kt_build_sqrt(b, kt_optimizer_sum(trace, kt_optimizer_square(trace, update)));
    kt_value zero = kt_build_scalar(b, dtype, 0);
    kt_value both = kt_build_and(b, kt_build_gt(b, size, zero), kt_build_gt(b, change, zero));
    kt_value ratio = kt_build_select(b, both, kt_build_div(b, size, change), kt_build_scalar(b, dtype, 1));
    kt_value rate = kt_build_mul(b, ratio, kt_optimizer_rate(optimizer, trace, dtype));
    return kt_build_sub(b, variable, kt_optimizer_scale(trace, update, rate));
}

const kt_optimizer_class kt_optimizer_lamb = {{.name = "Lamb",
                                               .aliases = "lamb",
                                               .doc = "Adam, by layers as large as the weights",
                                               .bytes = sizeof(adam),
                                               .options = lamb_options},
                                              .build = build_moments,
                                              .update = update_lamb};
