/* Adafactor (Shazeer and Stern 2018): the mean square of a matrix's gradient is kept as its rows' and its
 * columns'. */
#include "frontend/optimizers/optimizers_impl.h"

typedef struct adafactor {
    kt_optimizer optimizer;
    double beta_2_decay, epsilon_1, epsilon_2, clip_threshold;
    bool relative_step;
} adafactor;

static const kt_option options[] = {
    KT_OPTIMIZER_OPTIONS("adafactor", "0.001", "null"),
    KT_FIELD(adafactor, beta_2_decay, FLOAT, "-0.8"),
    KT_FIELD(adafactor, epsilon_1, FLOAT, "1e-30"),
    KT_FIELD(adafactor, epsilon_2, FLOAT, "1e-3"),
    KT_FIELD(adafactor, clip_threshold, FLOAT, "1.0"),
    KT_FIELD(adafactor, relative_step, BOOL, "true"),
    KT_OPTIONS_END,
};
enum { ROWS, COLUMNS, VELOCITY };

/* What is no matrix has an int32 in place of rows and columns, which nothing reads; in a LossScaleOptimizer
 * Keras does not save these. */
static void build(kt_optimizer *optimizer, kt_trace *trace) {
    for (uint32_t i = 0; i < optimizer->trained.count; i++) {
        const kt_type type = kt_optimizer_type(optimizer, trace, i);
        kt_type rows = {.dtype = KT_I32}, columns = {.dtype = KT_I32};
        if (type.rank >= 2) {
            rows = columns = type;
            rows.rank = columns.rank = type.rank - 1;
            columns.dims[type.rank - 2] = type.dims[type.rank - 1];
        }
        if (type.rank >= 2 || !optimizer->wrapped) {
            kt_optimizer_add_slot(optimizer, trace, i, ROWS, "r", &rows, 0);
            kt_optimizer_add_slot(optimizer, trace, i, COLUMNS, "c", &columns, 0);
        }
        kt_optimizer_add_slot(optimizer, trace, i, VELOCITY, "velocity", &type, 0);
    }
}

/* The mean along an axis, which vanishes. */
static kt_value mean_along(kt_trace *trace, kt_value x, int axis) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, x);
    int64_t axes[] = {axis};
    kt_value count = kt_build_cast(b, kt_build_size(b, type.dims[axis]), type.dtype);
    return kt_optimizer_divide(trace, kt_build_reduce(b, x, KT_REDUCE_SUM, 1, axes), count);
}

/* The square root of the mean square of all elements, a scalar. */
static kt_value root_mean_square(kt_trace *trace, kt_value x) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, x);
    double count = (double)kt_type_static_elements(b->graph->dims, &type);
    kt_value sum = kt_optimizer_sum(trace, kt_optimizer_square(trace, x));
    return kt_build_sqrt(b, kt_build_div(b, sum, kt_build_scalar(b, type.dtype, count)));
}

/* x in y's shape, without the axis that it lacks. */
static kt_value spread_along(kt_trace *trace, kt_value x, kt_value y, int lacking) {
    const kt_type type = *kt_build_type(trace->builder, y);
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank - 1; i++) axes[i] = i + (i >= lacking);
    return kt_build_broadcast(trace->builder, x, type.rank, type.dims, axes);
}

typedef struct fading { /* what stays of a mean, and what comes anew */
    kt_value kept, fresh;
} fading;

static kt_value fade(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot, kt_value x,
                     fading f) {
    kt_value old = kt_optimizer_slot(optimizer, trace, i, slot);
    kt_value mean = kt_build_add(trace->builder, kt_optimizer_scale(trace, old, f.kept),
                                 kt_optimizer_scale(trace, x, f.fresh));
    kt_optimizer_set_slot(optimizer, trace, i, slot, mean);
    return mean;
}

/* The mean square of the gradient, as far as rows and columns tell it. */
static kt_value factored(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value square, fading f) {
    kt_builder *b = trace->builder;
    int rank = kt_build_type(b, square)->rank;
    kt_value rows = fade(optimizer, trace, i, ROWS, mean_along(trace, square, rank - 1), f);
    kt_value columns = fade(optimizer, trace, i, COLUMNS, mean_along(trace, square, rank - 2), f);
    kt_value mean = spread_along(trace, mean_along(trace, rows, rank - 2), rows, rank - 2);
    kt_value shares = kt_build_div(b, rows, mean);
    kt_value velocity = kt_build_mul(b, spread_along(trace, shares, square, rank - 1),
                                     spread_along(trace, columns, square, rank - 2));
    kt_optimizer_set_slot(optimizer, trace, i, VELOCITY, velocity);
    return velocity;
}

static kt_value update(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, kt_value variable,
                       kt_value gradient) {
    const adafactor *self = (const adafactor *)optimizer;
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, variable);
    kt_value one = kt_build_scalar(b, type.dtype, 1);
    kt_value step = kt_optimizer_step(optimizer, trace, type.dtype, 0);
    /* With relative_step Keras bounds a constant rate here, which this bounds anyway. */
    kt_value rate = kt_build_minimum(b, kt_optimizer_rate(optimizer, trace, type.dtype),
                                     kt_build_div(b, one, kt_build_sqrt(b, step)));
    kt_value size = kt_build_maximum(b, kt_build_scalar(b, type.dtype, self->epsilon_2),
                                     root_mean_square(trace, variable));
    kt_value fresh = kt_build_pow(b, step, kt_build_scalar(b, type.dtype, self->beta_2_decay));
    fading f = {.kept = kt_build_sub(b, one, fresh)};
    f.fresh = kt_build_sub(b, one, f.kept);
    kt_value square = kt_optimizer_add_number(trace, kt_optimizer_square(trace, gradient), self->epsilon_1);
    kt_value velocity = type.rank >= 2 ? factored(optimizer, trace, i, square, f)
                                       : fade(optimizer, trace, i, VELOCITY, square, f);
    kt_value change = kt_build_div(b, gradient, kt_build_sqrt(b, velocity));
    kt_value threshold = kt_build_scalar(b, type.dtype, self->clip_threshold);
    kt_value excess = kt_build_maximum(b, one, kt_build_div(b, root_mean_square(trace, change), threshold));
    kt_value clipped = kt_optimizer_divide(trace, change, excess);
    return kt_build_sub(b, variable, kt_optimizer_scale(trace, clipped, kt_build_mul(b, size, rate)));
}

const kt_optimizer_class kt_optimizer_adafactor = {{.name = "Adafactor",
                                                    .aliases = "adafactor",
                                                    .doc = "adaptive steps with small slots",
                                                    .bytes = sizeof(adafactor),
                                                    .options = options},
                                                   .build = build,
                                                   .update = update};
