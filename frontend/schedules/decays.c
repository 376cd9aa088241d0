/* Schedules that fall by a power, a quotient, a polynomial, or in stairs. With t the iteration and r the
 * initial rate,
 *
 *   ExponentialDecay        r * decay_rate ** (t / decay_steps)
 *   InverseTimeDecay        r / (1 + decay_rate * (t / decay_steps))
 *   PolynomialDecay         (r - end) * (1 - t / steps) ** power + end
 *   PiecewiseConstantDecay  values[i], i the number of boundaries below t
 *
 * where a staircase takes t / decay_steps down to an integer, and PolynomialDecay either stays at its end or,
 * with cycle, begins anew with steps the next multiple of decay_steps. */
#include "frontend/schedules/schedules_impl.h"

#include <float.h>
#include <math.h>

/* ---- powers and quotients -------------------------------------------------------------------- */
typedef struct stairs {
    kt_decay decay;
    double decay_rate;
    bool staircase;
} stairs;

#define STAIRS_OPTIONS(name)                                                                                 \
    KT_DECAY_OPTIONS(name, "decay_steps"), KT_FIELD(stairs, decay_rate, FLOAT, NULL),                        \
        KT_FIELD(stairs, staircase, BOOL, "false"), KT_OPTIONS_END
static const kt_option exponential_options[] = {STAIRS_OPTIONS("ExponentialDecay")};
static const kt_option inverse_options[] = {STAIRS_OPTIONS("InverseTimeDecay")};

static kt_value stairs_progress(const stairs *self, kt_builder *b, kt_value iteration) {
    kt_value progress = kt_decay_progress(&self->decay, b, iteration);
    return self->staircase ? kt_build_floor(b, progress) : progress;
}

static kt_value exponential(const kt_schedule *schedule, kt_builder *b, kt_value iteration) {
    const stairs *self = (const stairs *)schedule;
    kt_value progress = stairs_progress(self, b, iteration);
    kt_value power = kt_build_pow(b, kt_build_scalar(b, KT_F32, self->decay_rate), progress);
    return kt_schedule_times(b, self->decay.initial_learning_rate, power);
}

static kt_value inverse(const kt_schedule *schedule, kt_builder *b, kt_value iteration) {
    const stairs *self = (const stairs *)schedule;
    kt_value grown = kt_schedule_times(b, self->decay_rate, stairs_progress(self, b, iteration));
    kt_value below = kt_build_add(b, kt_build_scalar(b, KT_F32, 1), grown);
    return kt_build_div(b, kt_build_scalar(b, KT_F32, self->decay.initial_learning_rate), below);
}

const kt_schedule_class kt_schedule_exponential_decay = {{.name = "ExponentialDecay",
                                                          .doc = "a power of the steps",
                                                          .bytes = sizeof(stairs),
                                                          .options = exponential_options,
                                                          .check = kt_decay_check},
                                                         .value = exponential};
const kt_schedule_class kt_schedule_inverse_time_decay = {{.name = "InverseTimeDecay",
                                                           .doc = "the inverse of the steps",
                                                           .bytes = sizeof(stairs),
                                                           .options = inverse_options,
                                                           .check = kt_decay_check},
                                                          .value = inverse};

/* ---- polynomials ----------------------------------------------------------------------------- */
typedef struct polynomial {
    kt_decay decay;
    double end_learning_rate, power;
    bool cycle;
} polynomial;

static const kt_option polynomial_options[] = {
    KT_DECAY_OPTIONS("PolynomialDecay", "decay_steps"),
    KT_FIELD(polynomial, end_learning_rate, FLOAT, "0.0001"),
    KT_FIELD(polynomial, power, FLOAT, "1.0"),
    KT_FIELD(polynomial, cycle, BOOL, "false"),
    KT_OPTIONS_END,
};

static kt_value polynomial_value(const kt_schedule *schedule, kt_builder *b, kt_value iteration) {
    const polynomial *self = (const polynomial *)schedule;
    kt_value step = kt_build_cast(b, iteration, KT_F32);
    kt_value steps = kt_build_scalar(b, KT_F32, self->decay.steps), one = kt_build_scalar(b, KT_F32, 1);
    if (self->cycle) {
        kt_value first = kt_build_eq(b, step, kt_build_scalar(b, KT_F32, 0));
        kt_value cycles = kt_build_ceil(b, kt_decay_progress(&self->decay, b, iteration));
        steps = kt_build_mul(b, steps, kt_build_select(b, first, one, cycles));
    } else {
        step = kt_build_minimum(b, step, steps);
    }
    kt_value left = kt_build_sub(b, one, kt_build_div(b, step, steps));
    kt_value power = kt_build_pow(b, left, kt_build_scalar(b, KT_F32, self->power));
    kt_value end = kt_build_scalar(b, KT_F32, self->end_learning_rate);
    kt_value height = kt_schedule_from(b, self->decay.initial_learning_rate, end);
    return kt_build_add(b, kt_build_mul(b, height, power), end);
}

const kt_schedule_class kt_schedule_polynomial_decay = {{.name = "PolynomialDecay",
                                                         .doc = "a polynomial of the steps, to an end",
                                                         .bytes = sizeof(polynomial),
                                                         .options = polynomial_options,
                                                         .check = kt_decay_check},
                                                        .value = polynomial_value};

/* ---- stairs of any height -------------------------------------------------------------------- */
typedef struct piecewise {
    kt_schedule schedule;
    const json_t *boundaries, *values;
} piecewise;

static const kt_option piecewise_options[] = {
    {"name", KT_OPTION_STRING, offsetof(kt_schedule, name), "\"PiecewiseConstant\""},
    KT_FIELD(piecewise, boundaries, JSON, NULL),
    KT_FIELD(piecewise, values, JSON, NULL),
    KT_OPTIONS_END,
};

static kt_status check_numbers(kt_object *object, kt_layer_context *context, const char *name,
                               const json_t *list, double limit) {
    size_t count = json_array_size(list);
    bool valid = count > 0;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        double number = json_number_value(item);
        valid = json_is_number(item) && number >= -limit && number <= limit;
    }
    if (valid) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, name, "must be a list of at least one number.");
}

static kt_status check_piecewise(kt_object *object, kt_layer_context *context) {
    const piecewise *self = (const piecewise *)object;
    enum { BITS = 53 }; /* integers that a double holds */
    const double limit = (double)((int64_t)1 << BITS);
    kt_status status = check_numbers(object, context, "boundaries", self->boundaries, limit);
    kt_status values = check_numbers(object, context, "values", self->values, FLT_MAX);
    if (values != KT_OK) return values;
    if (status != KT_OK || json_array_size(self->values) == json_array_size(self->boundaries) + 1)
        return status;
    return kt_object_reject(object, context, KT_INVALID, "values", "must be one more than the boundaries.");
}

/* Keras adds up what holds, so that boundaries that do not rise give what they give there, too. Its
 * boundaries have the iteration's dtype, an integer. */
static kt_value piecewise_value(const kt_schedule *schedule, kt_builder *b, kt_value iteration) {
    const piecewise *self = (const piecewise *)schedule;
    size_t count = json_array_size(self->boundaries);
    kt_value sum = 0, low = 0, none = kt_build_scalar(b, KT_F32, 0);
    for (size_t i = 0; i <= count; i++) {
        kt_value high = 0, holds = 0;
        if (i < count) {
            double boundary = trunc(json_number_value(json_array_get(self->boundaries, i)));
            high = kt_build_scalar(b, KT_I64, boundary);
        }
        if (low) holds = kt_build_gt(b, iteration, low);
        if (high) {
            kt_value below = kt_build_le(b, iteration, high);
            holds = holds ? kt_build_and(b, holds, below) : below;
        }
        kt_value value = kt_build_scalar(b, KT_F32, json_number_value(json_array_get(self->values, i)));
        value = kt_build_select(b, holds, value, none);
        sum = sum ? kt_build_add(b, sum, value) : value;
        low = high;
    }
    return sum;
}

const kt_schedule_class kt_schedule_piecewise_constant_decay = {{.name = "PiecewiseConstantDecay",
                                                                 .doc = "a rate for each range of steps",
                                                                 .bytes = sizeof(piecewise),
                                                                 .options = piecewise_options,
                                                                 .check = check_piecewise},
                                                                .value = piecewise_value};
