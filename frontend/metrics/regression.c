/* How far outputs are from labels, and how they go along with them. */
#include "frontend/metrics/metrics_impl.h"

#include <math.h>
#include <string.h>

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

/* ---- correlations ---------------------------------------------------------------------------- */
typedef struct correlation {
    kt_metric metric;
    int64_t axis;
} correlation;

/* Labels and output as floats of one shape, and the axis; false and a problem where there is none. */
static bool take_pair(kt_metric *metric, kt_trace *trace, kt_value *target, kt_value *output,
                      kt_ints *out_axis) {
    kt_builder *b = trace->builder;
    kt_dtype dtype = kt_dtype_to_float(kt_build_type(b, *output)->dtype);
    int64_t axis = ((const correlation *)metric)->axis;
    *target = kt_build_cast(b, *target, dtype);
    *output = kt_build_cast(b, *output, dtype);
    kt_same_rank(b, target, output, true);
    kt_build_broadcast_pair(b, target, output);
    int rank = kt_build_type(b, *output)->rank;
    if (axis < 0) axis += rank;
    *out_axis = (kt_ints){1, {axis}};
    if (axis >= 0 && axis < rank) return true;
    kt_trace_fail(trace, KT_INVALID, "its output has no axis %lld.",
                  (long long)((const correlation *)metric)->axis);
    return false;
}

static kt_value center(kt_builder *b, kt_value x, const kt_ints *axis) {
    return kt_build_sub(b, x, kt_spread(b, kt_mean(b, x, axis), x, axis));
}

static kt_value variance(kt_builder *b, kt_value x, const kt_ints *axis) {
    kt_value centered = center(b, x, axis);
    return kt_mean(b, kt_build_mul(b, centered, centered), axis);
}

/* With mean 0 and deviation 1. */
static kt_value standardize(kt_builder *b, kt_value x, const kt_ints *axis) {
    x = center(b, x, axis);
    return kt_build_div(b, x, kt_spread(b, kt_build_sqrt(b, variance(b, x, axis)), x, axis));
}

static kt_value pearson(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    kt_ints axis;
    if (!take_pair(metric, trace, &target, &output, &axis)) return 0;
    return kt_mean(b, kt_build_mul(b, standardize(b, target, &axis), standardize(b, output, &axis)), &axis);
}

/* Lin (1989), with the covariance about the output's mean, as Keras takes it. */
static kt_value concordance(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    static const double epsilon = 1e-7;
    kt_builder *b = trace->builder;
    kt_ints axis;
    if (!take_pair(metric, trace, &target, &output, &axis)) return 0;
    kt_value target_mean = kt_mean(b, target, &axis), output_mean = kt_mean(b, output, &axis);
    kt_value spread = kt_spread(b, output_mean, output, &axis);
    kt_value product = kt_build_mul(b, kt_build_sub(b, target, spread), kt_build_sub(b, output, spread));
    kt_value distance = kt_build_sub(b, target_mean, output_mean);
    kt_value norm = kt_build_add(b, variance(b, target, &axis), variance(b, output, &axis));
    norm = kt_add_number(b, kt_build_add(b, norm, kt_build_mul(b, distance, distance)), epsilon);
    kt_value share = kt_build_div(b, product, kt_spread(b, norm, product, &axis));
    return kt_mean(b, kt_build_mul(b, share, kt_build_like(b, share, 2)), &axis);
}

static const kt_option pearson_options[] = {KT_METRIC_OPTIONS("\"pearson_correlation\""),
                                            KT_FIELD(correlation, axis, INT, "-1"), KT_OPTIONS_END};
static const kt_option concordance_options[] = {KT_METRIC_OPTIONS("\"concordance_correlation\""),
                                                KT_FIELD(correlation, axis, INT, "-1"), KT_OPTIONS_END};
KT_MEAN_METRIC(pearson_correlation, "PearsonCorrelation", "pearson_correlation",
               "the correlation of labels and output", correlation, pearson_options, pearson)
KT_MEAN_METRIC(concordance_correlation, "ConcordanceCorrelation", "concordance_correlation",
               "how far labels and output agree", correlation, concordance_options, concordance)

/* ---- the coefficient of determination -------------------------------------------------------- */
typedef struct r2_score {
    kt_metric metric;
    const char *class_aggregation; /* NULL: a number for each output */
    int64_t num_regressors;
} r2_score;

static kt_status check_r2(kt_object *object, kt_layer_context *context) {
    const r2_score *self = (const r2_score *)object;
    static const char ways[] = "uniform_average variance_weighted_average";
    if (self->class_aggregation && !kt_options_listed(ways, self->class_aggregation))
        return kt_object_reject(object, context, KT_INVALID, "class_aggregation",
                                "must be None, or one of: %s.", ways);
    if (self->num_regressors >= 0) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, "num_regressors", "must be at least 0.");
}

enum { SAMPLES, SQUARES, SUM, RESIDUAL, COUNT };

static void build_r2(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    static const char *const names[] = {"squared_sum", "sum", "residual", "count"};
    kt_dim_pool *dims = trace->builder->graph->dims;
    int64_t outputs = 1;
    if (output->rank != 2 || target->rank > 2 || !kt_dim_is_const(dims, output->dims[1], &outputs))
        kt_trace_fail(trace, KT_INVALID,
                      "labels and output must be [batch, outputs], with a known number of outputs.");
    kt_type scalar = kt_type_scalar(KT_F32), vector = kt_type_of(dims, KT_F32, 1, &outputs);
    kt_metric_add_variable(metric, trace, "num_samples", &scalar, NULL);
    for (int i = 0; i < 4; i++) kt_metric_add_variable(metric, trace, names[i], &vector, NULL);
}

static void update_r2(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                      kt_value sample_weight, kt_value mask) {
    kt_builder *b = trace->builder;
    (void)mask; /* Keras has none here */
    if (trace->failed) return;
    kt_value error = square_error(trace, target, output, metric->compute_dtype);
    kt_type type = *kt_build_type(b, error);
    target = kt_build_cast(b, target, metric->compute_dtype);
    kt_same_rank(b, &target, &error, true);
    target = kt_build_broadcast_to(b, target, type.rank, type.dims);
    kt_value weight = kt_build_like(b, error, 1);
    if (sample_weight)
        weight = kt_along_axis(b, kt_build_cast(b, sample_weight, metric->compute_dtype), error, 0);
    kt_value weighted = kt_build_mul(b, target, weight);
    kt_value added[] = {kt_build_mul(b, target, weighted), weighted, kt_build_mul(b, error, weight), weight};
    kt_metric_assign_add(metric, trace, SAMPLES,
                         kt_dim_scalar(b, kt_type_elements(b->graph->dims, &type), KT_F32));
    for (uint32_t i = SQUARES; i <= COUNT; i++)
        kt_metric_assign_add(metric, trace, i, kt_reduce_axis(b, added[i - SQUARES], KT_REDUCE_SUM, 0));
}

/* For the number of regressors, where there are samples enough. */
static kt_value adjust(kt_builder *b, kt_value score, kt_value samples, int64_t regressors) {
    kt_type type = *kt_build_type(b, score);
    samples = kt_build_broadcast_to(b, samples, type.rank, type.dims);
    kt_value one = kt_build_like(b, score, 1), left = kt_add_number(b, samples, -1 - (double)regressors);
    kt_value enough = kt_build_gt(b, left, kt_build_like(b, left, 0));
    kt_value unexplained = kt_build_mul(b, kt_build_sub(b, one, score), kt_build_sub(b, samples, one));
    unexplained = kt_build_div(b, unexplained, kt_build_select(b, enough, left, one));
    return kt_build_select(b, enough, kt_build_sub(b, one, unexplained), score);
}

static kt_value result_r2(kt_metric *metric, kt_trace *trace) {
    const r2_score *self = (const r2_score *)metric;
    kt_builder *b = trace->builder;
    kt_value sum = kt_metric_variable(metric, trace, SUM);
    kt_value mean = kt_build_div(b, sum, kt_metric_variable(metric, trace, COUNT));
    kt_value total = kt_build_sub(b, kt_metric_variable(metric, trace, SQUARES), kt_build_mul(b, sum, mean));
    kt_value one = kt_build_like(b, total, 1);
    kt_value score =
        kt_build_sub(b, one, kt_build_div(b, kt_metric_variable(metric, trace, RESIDUAL), total));
    kt_value infinite = kt_build_eq(b, kt_build_abs(b, score), kt_build_like(b, score, INFINITY));
    score = kt_build_select(b, infinite, kt_build_like(b, score, 0), score);
    kt_ints all = {1, {0}};
    if (self->class_aggregation && strcmp(self->class_aggregation, "uniform_average") == 0) {
        score = kt_mean(b, score, &all);
    } else if (self->class_aggregation) {
        score = kt_build_div(b, kt_sum_all(b, kt_build_mul(b, total, score)), kt_sum_all(b, total));
    }
    if (self->num_regressors == 0) return score;
    return adjust(b, score, kt_metric_variable(metric, trace, SAMPLES), self->num_regressors);
}

static const kt_option r2_options[] = {KT_METRIC_OPTIONS("\"r2_score\""),
                                       KT_FIELD(r2_score, class_aggregation, STRING, "\"uniform_average\""),
                                       KT_FIELD(r2_score, num_regressors, INT, "0"), KT_OPTIONS_END};
const kt_metric_class kt_metric_r2_score = {
    .object = {.name = "R2Score",
               .aliases = "r2_score",
               .doc = "the share of the labels' variance that the output explains",
               .bytes = sizeof(r2_score),
               .options = r2_options,
               .check = check_r2},
    .build = build_r2,
    .update = update_r2,
    .result = result_r2,
};
