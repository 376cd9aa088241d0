/* Losses of numbers: means of differences over the last axis, and the angle between vectors. */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

#include <math.h>

typedef struct plain {
    kt_loss loss;
} plain;
typedef struct huber_loss {
    kt_loss loss;
    double delta;
} huber_loss;
typedef struct similarity {
    kt_loss loss;
    int64_t axis;
} similarity;

// clang-format off
static const kt_option squared_options[] = {KT_LOSS_OPTIONS("mean_squared_error"), KT_OPTIONS_END};
static const kt_option absolute_options[] = {KT_LOSS_OPTIONS("mean_absolute_error"), KT_OPTIONS_END};
static const kt_option percentage_options[] = {
    KT_LOSS_OPTIONS("mean_absolute_percentage_error"), KT_OPTIONS_END,
};
static const kt_option logarithmic_options[] = {
    KT_LOSS_OPTIONS("mean_squared_logarithmic_error"), KT_OPTIONS_END,
};
static const kt_option log_cosh_options[] = {KT_LOSS_OPTIONS("log_cosh"), KT_OPTIONS_END};
static const kt_option huber_options[] = {
    KT_LOSS_OPTIONS("huber_loss"), KT_FIELD(huber_loss, delta, FLOAT, "1.0"), KT_OPTIONS_END,
};
static const kt_option similarity_options[] = {
    KT_LOSS_OPTIONS("cosine_similarity"), KT_FIELD(similarity, axis, INT, "-1"), KT_OPTIONS_END,
};
// clang-format on

static const double epsilon = 1e-7;

static kt_value square(kt_builder *b, kt_value x) { return kt_build_mul(b, x, x); }

static kt_value at_least(kt_builder *b, kt_value x, double bound) {
    return kt_build_maximum(b, x, kt_build_like(b, x, bound));
}

static kt_value scale(kt_builder *b, kt_value x, double factor) {
    return kt_build_mul(b, x, kt_build_like(b, x, factor));
}

static kt_value squared(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    (void)loss;
    return kt_loss_mean_last(trace, square(trace->builder, kt_build_sub(trace->builder, target, output)));
}

static kt_value absolute(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    (void)loss;
    return kt_loss_mean_last(trace,
                             kt_build_abs(trace->builder, kt_build_sub(trace->builder, target, output)));
}

static kt_value percentage(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    kt_value size = at_least(b, kt_build_abs(b, target), epsilon);
    (void)loss;
    kt_value share = kt_build_abs(b, kt_build_div(b, kt_build_sub(b, target, output), size));
    return scale(b, kt_loss_mean_last(trace, share), 100);
}

static kt_value logarithm(kt_builder *b, kt_value x) {
    return kt_build_log(b, kt_add_number(b, at_least(b, x, epsilon), 1));
}

static kt_value logarithmic(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    (void)loss;
    return kt_loss_mean_last(trace, square(b, kt_build_sub(b, logarithm(b, output), logarithm(b, target))));
}

static kt_value huber(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    double delta = ((const huber_loss *)loss)->delta;
    kt_builder *b = trace->builder;
    kt_value error = kt_build_sub(b, output, target), size = kt_build_abs(b, error);
    kt_value linear = kt_add_number(b, scale(b, size, delta), -0.5 * delta * delta);
    kt_value small = kt_build_le(b, size, kt_build_like(b, size, delta));
    return kt_loss_mean_last(trace, kt_build_select(b, small, scale(b, square(b, error), 0.5), linear));
}

/* log(cosh(x)) = x + softplus(-2 x) - log(2), which does not overflow. */
static kt_value log_cosh(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    kt_value error = kt_build_sub(b, output, target);
    kt_activation softplus;
    (void)loss;
    if (!kt_activation_find("softplus", &softplus)) KT_BUG("there is no activation softplus");
    kt_value tail = kt_activation_apply(b, &softplus, scale(b, error, -2));
    return kt_loss_mean_last(trace, kt_add_number(b, kt_build_add(b, error, tail), -M_LN2));
}

static kt_value similar(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, ((const similarity *)loss)->axis, output);
    if (axis < 0) return 0;
    const kt_ints axes = {1, {axis}};
    target = kt_unit_norm(b, target, &axes, epsilon);
    output = kt_unit_norm(b, output, &axes, epsilon);
    return kt_build_neg(b, kt_reduce_axis(b, kt_build_mul(b, target, output), KT_REDUCE_SUM, axis));
}

// clang-format off
KT_LOSS_CLASS(mean_squared_error, "MeanSquaredError", "mean_squared_error mse MSE",
              "the mean of squared differences", plain, squared_options, .call = squared)
KT_LOSS_CLASS(mean_absolute_error, "MeanAbsoluteError", "mean_absolute_error mae MAE",
              "the mean of absolute differences", plain, absolute_options, .call = absolute)
KT_LOSS_CLASS(mean_absolute_percentage_error, "MeanAbsolutePercentageError",
              "mean_absolute_percentage_error mape MAPE", "the same, in hundredths of the labels", plain,
              percentage_options, .call = percentage)
KT_LOSS_CLASS(mean_squared_logarithmic_error, "MeanSquaredLogarithmicError",
              "mean_squared_logarithmic_error msle MSLE", "the mean of squared differences of logarithms", plain,
              logarithmic_options, .call = logarithmic)
KT_LOSS_CLASS(huber, "Huber", "huber", "squared up to delta, then linear", huber_loss, huber_options,
              .call = huber)
KT_LOSS_CLASS(log_cosh, "LogCosh", "log_cosh", "nearly squared, then nearly linear", plain, log_cosh_options,
              .call = log_cosh)
KT_LOSS_CLASS(cosine_similarity, "CosineSimilarity", "cosine_similarity",
              "the cosine of the angle between vectors, negative", similarity, similarity_options,
              .call = similar, .same_shape = true)
// clang-format on
