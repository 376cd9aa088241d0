/* Accuracies: the share of samples whose label is what the output says; and means of differences. */
#include "frontend/metrics/metrics_impl.h"

#include "frontend/layers/layers_impl.h"

typedef struct plain {
    kt_metric metric;
    double threshold;
} plain;

static void add_equal(kt_metric *metric, kt_trace *trace, kt_value equal, kt_value sample_weight,
                      kt_value mask) {
    kt_metric_mean_update(metric, trace, kt_build_cast(trace->builder, equal, KT_F32), sample_weight, mask);
}

/* The largest along the last axis, which vanishes. */
static kt_value largest(kt_builder *b, kt_value x) {
    return kt_build_arg_reduce(b, x, KT_REDUCE_MAXIMUM, kt_build_type(b, x)->rank - 1, KT_I32);
}

static void accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                     kt_value sample_weight, kt_value mask) {
    kt_builder *b = trace->builder;
    target = kt_build_cast(b, target, kt_build_type(b, output)->dtype);
    kt_value equal = kt_build_cast(b, kt_build_eq(b, target, output), KT_F32);
    const kt_ints axes = {1, {kt_build_type(b, equal)->rank - 1}};
    if (kt_build_type(b, equal)->rank > 1) equal = kt_mean(b, equal, &axes);
    kt_metric_mean_update(metric, trace, equal, sample_weight, mask);
}

static void binary(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    const plain *self = (const plain *)metric;
    kt_builder *b = trace->builder;
    kt_value above =
        kt_build_cast(b, kt_build_gt(b, output, kt_build_like(b, output, self->threshold)), KT_F32);
    kt_value equal = kt_build_eq(b, kt_build_cast(b, target, KT_F32), above);
    const kt_ints axes = {1, {kt_build_type(b, equal)->rank - 1}};
    kt_metric_mean_update(metric, trace, kt_mean(b, kt_build_cast(b, equal, KT_F32), &axes), sample_weight,
                          mask);
}

static void categorical(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                        kt_value sample_weight, kt_value mask) {
    kt_builder *b = trace->builder;
    add_equal(metric, trace, kt_build_eq(b, largest(b, target), largest(b, output)), sample_weight, mask);
}

static void sparse(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    kt_builder *b = trace->builder;
    kt_value best = largest(b, output);
    const kt_type type = *kt_build_type(b, best);
    target = kt_build_cast(b, target, KT_I32);
    if (kt_build_type(b, target)->rank > type.rank)
        target = kt_build_reshape(b, target, type.rank, type.dims);
    add_equal(metric, trace, kt_build_eq(b, target, best), sample_weight, mask);
}

static kt_value difference(kt_builder *b, kt_value target, kt_value output) {
    return kt_build_sub(b, kt_build_cast(b, target, KT_F32), kt_build_cast(b, output, KT_F32));
}

static void add_mean_last(kt_metric *metric, kt_trace *trace, kt_value values, kt_value sample_weight,
                          kt_value mask) {
    const kt_ints axes = {1, {kt_build_type(trace->builder, values)->rank - 1}};
    kt_metric_mean_update(metric, trace, kt_mean(trace->builder, values, &axes), sample_weight, mask);
}

static void squared(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                    kt_value sample_weight, kt_value mask) {
    kt_value d = difference(trace->builder, target, output);
    add_mean_last(metric, trace, kt_build_mul(trace->builder, d, d), sample_weight, mask);
}

static void absolute(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                     kt_value sample_weight, kt_value mask) {
    kt_value d = difference(trace->builder, target, output);
    add_mean_last(metric, trace, kt_build_abs(trace->builder, d), sample_weight, mask);
}

static const kt_option binary_options[] = {
    KT_METRIC_OPTIONS(plain, "binary_accuracy"),
    KT_FIELD(plain, threshold, FLOAT, "0.5"),
    KT_OPTIONS_END,
};

#define MEAN_OF(id, keras_name, snake_case, names, function, documentation)                                  \
    static const kt_option id##_options[] = {KT_METRIC_OPTIONS(plain, snake_case), KT_OPTIONS_END};          \
    const kt_metric_class kt_metric_##id = {{.name = (keras_name),                                           \
                                             .aliases = (names),                                             \
                                             .doc = (documentation),                                         \
                                             .bytes = sizeof(plain),                                         \
                                             .options = id##_options},                                       \
                                            .build = kt_metric_mean_build,                                   \
                                            .update = (function),                                            \
                                            .result = kt_metric_mean_result};

MEAN_OF(accuracy, "Accuracy", "accuracy", NULL, accuracy, "how often outputs equal labels")
MEAN_OF(categorical_accuracy, "CategoricalAccuracy", "categorical_accuracy", "categorical_accuracy",
        categorical, "how often the largest output is where the largest label is")
MEAN_OF(sparse_categorical_accuracy, "SparseCategoricalAccuracy", "sparse_categorical_accuracy",
        "sparse_categorical_accuracy", sparse, "how often the largest output is the label's class")
MEAN_OF(mean_squared_error, "MeanSquaredError", "mean_squared_error", "mse MSE mean_squared_error", squared,
        "the mean of squared differences")
MEAN_OF(mean_absolute_error, "MeanAbsoluteError", "mean_absolute_error", "mae MAE mean_absolute_error",
        absolute, "the mean of absolute differences")

const kt_metric_class kt_metric_binary_accuracy = {
    {.name = "BinaryAccuracy",
     .aliases = "binary_accuracy",
     .doc = "how often outputs are on the label's side of a threshold",
     .bytes = sizeof(plain),
     .options = binary_options},
    .build = kt_metric_mean_build,
    .update = binary,
    .result = kt_metric_mean_result};
