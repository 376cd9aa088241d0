/* How far outputs are from labels. */
#include "frontend/metrics/metrics_impl.h"

/* (target - output)^2, in dtype. */
static kt_value square_error(kt_trace *trace, kt_value target, kt_value output, kt_dtype dtype) {
    kt_builder *b = trace->builder;
    target = kt_build_cast(b, target, dtype);
    output = kt_build_cast(b, output, dtype);
    kt_same_rank(b, &target, &output, true);
    kt_build_broadcast_pair(b, &target, &output);
    kt_value error = kt_build_sub(b, output, target);
    return kt_build_mul(b, error, error);
}

/* Keras has no mask here. */
static void update_root(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                        kt_value sample_weight, kt_value mask) {
    (void)mask;
    kt_mean_add(metric, trace, square_error(trace, target, output, metric->compute_dtype), sample_weight);
}

static kt_value result_root(kt_metric *metric, kt_trace *trace) {
    return kt_build_sqrt(trace->builder, kt_mean_result(metric, trace));
}

static const kt_option root_options[] = {KT_METRIC_OPTIONS("\"root_mean_squared_error\""), KT_OPTIONS_END};
const kt_metric_class kt_metric_root_mean_squared_error = {
    .object = {.name = "RootMeanSquaredError",
               .aliases = "root_mean_squared_error",
               .doc = "square root of the mean of squared errors",
               .bytes = sizeof(kt_metric),
               .options = root_options},
    .build = kt_mean_build,
    .update = update_root,
    .result = result_root,
};
