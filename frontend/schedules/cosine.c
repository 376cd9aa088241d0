/* Schedules that fall as a cosine, once or again and again (Loshchilov and Hutter 2017), the first with a
 * linear warmup (Goyal et al. 2017). */
#include "frontend/schedules/schedules_impl.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* (1 - alpha) * x + alpha, times rate */
static kt_value scale(kt_builder *b, double rate, double alpha, kt_value x) {
    kt_value decayed = kt_build_add(b, kt_schedule_times(b, 1 - alpha, x), kt_build_scalar(b, KT_F32, alpha));
    return kt_schedule_times(b, rate, decayed);
}

/* 1 + cos(pi * x) */
static kt_value wave(kt_builder *b, kt_value x) {
    return kt_build_add(b, kt_build_scalar(b, KT_F32, 1), kt_build_cos(b, kt_schedule_times(b, pi, x)));
}

/* ---- once ------------------------------------------------------------------------------------ */
typedef struct cosine {
    kt_decay decay;
    double alpha, warmup_target, warmup_steps;
} cosine;

static const kt_option cosine_options[] = {
    KT_DECAY_OPTIONS("CosineDecay", "decay_steps"),
    KT_FIELD(cosine, alpha, FLOAT, "0.0"),
    KT_FIELD(cosine, warmup_target, OPTIONAL_FLOAT, "null"),
    KT_FIELD(cosine, warmup_steps, FLOAT, "0"),
    KT_OPTIONS_END,
};

static kt_value cosine_value(const kt_schedule *schedule, kt_builder *b, kt_value iteration) {
    const cosine *self = (const cosine *)schedule;
    bool warms = !isnan(self->warmup_target);
    double first = self->decay.initial_learning_rate;
    kt_value warmup = kt_build_scalar(b, KT_F32, warms ? self->warmup_steps : 0);
    kt_value steps = kt_build_scalar(b, KT_F32, self->decay.steps);
    kt_value step = kt_build_minimum(b, kt_build_cast(b, iteration, KT_F32), kt_build_add(b, steps, warmup));
    kt_value fallen = kt_build_div(b, kt_build_sub(b, step, warmup), steps);
    kt_value falling = scale(b, warms ? self->warmup_target : first, self->alpha,
                             kt_schedule_times(b, 0.5, wave(b, fallen)));
    if (!warms) return falling;
    kt_value begin = kt_build_scalar(b, KT_F32, first);
    kt_value height = kt_schedule_from(b, self->warmup_target, begin);
    kt_value rising = kt_build_add(b, kt_build_mul(b, height, kt_build_div(b, step, warmup)), begin);
    return kt_build_select(b, kt_build_lt(b, step, warmup), rising, falling);
}

const kt_schedule_class kt_schedule_cosine_decay = {{.name = "CosineDecay",
                                                     .doc = "a cosine, after a warmup",
                                                     .bytes = sizeof(cosine),
                                                     .options = cosine_options,
                                                     .check = kt_decay_check},
                                                    .value = cosine_value};

/* ---- with restarts --------------------------------------------------------------------------- */
typedef struct restarts {
    kt_decay decay;
    double t_mul, m_mul, alpha;
} restarts;

static const kt_option restarts_options[] = {
    KT_DECAY_OPTIONS("SGDRDecay", "first_decay_steps"),
    KT_FIELD(restarts, t_mul, FLOAT, "2.0"),
    KT_FIELD(restarts, m_mul, FLOAT, "1.0"),
    KT_FIELD(restarts, alpha, FLOAT, "0.0"),
    KT_OPTIONS_END,
};

/* Where t_mul is 1, period i begins at i; else, the periods being a geometric series, at (1 - t_mul ** i) /
 * (1 - t_mul), and is t_mul ** i long. */
static kt_value restarts_value(const kt_schedule *schedule, kt_builder *b, kt_value iteration) {
    const restarts *self = (const restarts *)schedule;
    kt_value done = kt_decay_progress(&self->decay, b, iteration), period, fraction;
    kt_value one = kt_build_scalar(b, KT_F32, 1), t_mul = kt_build_scalar(b, KT_F32, self->t_mul);
    if ((float)self->t_mul == 1) {
        period = kt_build_floor(b, done);
        fraction = kt_build_sub(b, done, period);
    } else {
        kt_value shrink = kt_build_sub(b, one, t_mul);
        kt_value grown = kt_build_log(b, kt_build_sub(b, one, kt_build_mul(b, done, shrink)));
        period = kt_build_floor(b, kt_build_div(b, grown, kt_build_log(b, t_mul)));
        kt_value length = kt_build_pow(b, t_mul, period);
        kt_value begin = kt_build_div(b, kt_build_sub(b, one, length), shrink);
        fraction = kt_build_div(b, kt_build_sub(b, done, begin), length);
    }
    kt_value height = kt_build_pow(b, kt_build_scalar(b, KT_F32, self->m_mul), period);
    height = kt_build_mul(b, kt_schedule_times(b, 0.5, height), wave(b, fraction));
    return scale(b, self->decay.initial_learning_rate, self->alpha, height);
}

const kt_schedule_class kt_schedule_cosine_decay_restarts = {{.name = "CosineDecayRestarts",
                                                              .doc = "a cosine that begins again and again",
                                                              .bytes = sizeof(restarts),
                                                              .options = restarts_options,
                                                              .check = kt_decay_check},
                                                             .value = restarts_value};
