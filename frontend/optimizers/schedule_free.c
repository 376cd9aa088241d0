/* Schedule-free AdamW (Defazio et al. 2024). The variables are y, between the steps z, which the slot
 * `momentum` holds, and their mean x, which is recovered from both. The paper recovers it with the z before
 * the step; Keras on TensorFlow, which this follows, reads the slot when it holds the next one already. */
#include "frontend/optimizers/optimizers_impl.h"

typedef struct schedule_free {
    kt_optimizer optimizer;
    double beta_1, beta_2, epsilon;
    int64_t warmup_steps;
} schedule_free;

static const kt_option options[] = {
    KT_OPTIMIZER_OPTIONS("schedule_free_adam_w", "0.0025", "null"),
    KT_FIELD(schedule_free, beta_1, FLOAT, "0.9"),
    KT_FIELD(schedule_free, beta_2, FLOAT, "0.999"),
    KT_FIELD(schedule_free, epsilon, FLOAT, "1e-8"),
    KT_FIELD(schedule_free, warmup_steps, INT, "0"),
    KT_OPTIONS_END,
};
enum { MOMENTUM, VELOCITY };

static void build(kt_optimizer *optimizer, kt_trace *trace) {
    static const char *const names[] = {"momentum", "velocity", NULL};
    kt_optimizer_add_slots(optimizer, trace, MOMENTUM, names);
}

/* z before this step. It begins as the variable, whose value nobody knows when the slot is made. */
static kt_value z_before(kt_optimizer *optimizer, kt_trace *trace, uint32_t i) {
    kt_builder *b = trace->builder;
    kt_value first = kt_build_eq(b, optimizer->updates, kt_build_scalar(b, KT_I64, 0));
    return kt_optimizer_choose(trace, first, kt_trace_variable(trace, optimizer->trained.at[i]),
                               kt_optimizer_slot(optimizer, trace, i, MOMENTUM));
}

static kt_value rate_now(const schedule_free *self, kt_trace *trace, kt_dtype dtype, kt_value step) {
    kt_builder *b = trace->builder;
    kt_value rate = kt_optimizer_rate(&self->optimizer, trace, dtype);
    if (self->warmup_steps <= 0) return rate;
    kt_value share = kt_build_div(b, step, kt_build_scalar(b, dtype, (double)self->warmup_steps));
    return kt_build_mul(b, rate, kt_build_minimum(b, share, kt_build_scalar(b, dtype, 1)));
}

static kt_value update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                       kt_value gradient) {
    const schedule_free *self = (const schedule_free *)optimizer;
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_build_type(b, variable)->dtype;
    kt_value step = kt_optimizer_step(optimizer, trace, dtype, 0);
    kt_value rest_1 = kt_optimizer_rest(trace, dtype, self->beta_1);
    kt_value rest_2 = kt_optimizer_rest(trace, dtype, self->beta_2);
    kt_value old = z_before(optimizer, trace, i);
    kt_value velocity = kt_optimizer_slot(optimizer, trace, i, VELOCITY);
    kt_value towards = kt_build_sub(b, kt_optimizer_square(trace, gradient), velocity);
    velocity = kt_build_add(b, velocity, kt_optimizer_scale(trace, towards, rest_2));
    kt_value mean =
        kt_optimizer_divide(trace, velocity, kt_optimizer_correction(optimizer, trace, dtype, self->beta_2));
    kt_value below = kt_optimizer_add_number(trace, kt_build_sqrt(b, mean), self->epsilon);
    kt_value rate = rate_now(self, trace, dtype, step);
    kt_value z = kt_build_sub(b, old, kt_build_div(b, kt_optimizer_scale(trace, gradient, rate), below));
    kt_optimizer_set_slot(optimizer, trace, i, MOMENTUM, z);
    kt_optimizer_set_slot(optimizer, trace, i, VELOCITY, velocity);
    kt_value one = kt_build_scalar(b, dtype, 1), weight = kt_build_div(b, one, step);
    kt_value x = kt_build_sub(b, variable, kt_optimizer_scale(trace, z, rest_1));
    x = kt_build_div(b, x, kt_build_like(b, x, self->beta_1));
    x = kt_build_add(b, kt_optimizer_scale(trace, x, kt_build_sub(b, one, weight)),
                     kt_optimizer_scale(trace, z, weight));
    return kt_build_add(b, kt_optimizer_scale(trace, z, rest_1),
                        kt_optimizer_scale_by(trace, x, self->beta_1));
}

const kt_optimizer_class kt_optimizer_schedule_free = {{.name = "ScheduleFreeAdamW",
                                                        .aliases = "schedulefreeadamw",
                                                        .doc = "adaptive moments around a mean of all steps",
                                                        .bytes = sizeof(schedule_free),
                                                        .options = options},
                                                       .build = build,
                                                       .update = update};
