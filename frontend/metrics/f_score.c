/* Harmonic means of precision and recall, class by class. */
#include "frontend/metrics/metrics_impl.h"

#include <math.h>
#include <string.h>

static const double epsilon = 1e-7;

typedef struct f_score {
    kt_metric metric;
    const char *average; /* NULL: a number for each class */
    double beta, threshold;
} f_score;

static bool averages(const f_score *self, const char *how) {
    return self->average && strcmp(self->average, how) == 0;
}

static kt_status check(kt_object *object, kt_layer_context *context) {
    f_score *self = (f_score *)object;
    if (!kt_option_find(object->class->options, "beta")) self->beta = 1;
    if (self->average && !kt_options_listed("micro macro weighted", self->average))
        return kt_object_reject(object, context, KT_INVALID, "average",
                                "must be None, or one of: micro macro weighted.");
    if (!(self->beta > 0)) return kt_object_reject(object, context, KT_INVALID, "beta", "must be above 0.");
    if (!isnan(self->threshold) && !(self->threshold > 0 && self->threshold <= 1))
        return kt_object_reject(object, context, KT_INVALID, "threshold", "must be above 0 and at most 1.");
    return KT_OK;
}

enum { TRUE_POSITIVES, FALSE_POSITIVES, FALSE_NEGATIVES, WEIGHTS };

static void build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    const f_score *self = (const f_score *)metric;
    int64_t classes = 1;
    if (output->rank != 2 || target->rank != 2 ||
        !kt_dim_is_const(trace->builder->graph->dims, output->dims[1], &classes))
        kt_trace_fail(trace, KT_INVALID,
                      "labels and output must be [batch, classes], with a known number of classes.");
    kt_type type = kt_type_of(trace->builder->graph->dims, metric->compute_dtype,
                              averages(self, "micro") ? 0 : 1, &classes);
    static const char *const names[] = {"true_positives", "false_positives", "false_negatives",
                                        "intermediate_weights"};
    for (int i = TRUE_POSITIVES; i <= WEIGHTS; i++)
        kt_metric_add_variable(metric, trace, names[i], &type, NULL);
}

/* 1 for what is above the threshold, or without one for the largest of each sample. */
static kt_value decide(kt_builder *b, const f_score *self, kt_value output) {
    kt_value above;
    if (isnan(self->threshold)) {
        kt_ints last = {1, {1}};
        kt_value size = kt_build_abs(b, output),
                 largest = kt_reduce_spread(b, output, KT_REDUCE_MAXIMUM, &last);
        above = kt_build_and(b, kt_build_ge(b, output, largest),
                             kt_build_gt(b, size, kt_build_like(b, size, 1e-9)));
    } else {
        above = kt_build_gt(b, output, kt_build_like(b, output, self->threshold));
    }
    return kt_build_cast(b, above, kt_build_type(b, output)->dtype);
}

static void update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    const f_score *self = (const f_score *)metric;
    kt_builder *b = trace->builder;
    (void)mask; /* Keras has none here */
    if (trace->failed) return;
    kt_value labels = kt_build_cast(b, target, metric->compute_dtype);
    kt_value hits = decide(b, self, kt_build_cast(b, output, metric->compute_dtype));
    kt_value one = kt_build_like(b, hits, 1);
    kt_value counted[] = {kt_build_mul(b, hits, labels), kt_build_mul(b, hits, kt_build_sub(b, one, labels)),
                          kt_build_mul(b, kt_build_sub(b, one, hits), labels), labels};
    if (sample_weight)
        sample_weight = kt_along_axis(b, kt_build_cast(b, sample_weight, metric->compute_dtype), hits, 0);
    for (uint32_t i = TRUE_POSITIVES; i <= WEIGHTS; i++) {
        kt_value x = sample_weight ? kt_build_mul(b, counted[i], sample_weight) : counted[i];
        x = averages(self, "micro") ? kt_sum_all(b, x) : kt_reduce_axis(b, x, KT_REDUCE_SUM, 0);
        kt_metric_assign_add(metric, trace, i, x);
    }
}

/* x / (y + epsilon) */
static kt_value divide(kt_builder *b, kt_value x, kt_value y) {
    return kt_build_div(b, x, kt_add_number(b, y, epsilon));
}

static kt_value result(kt_metric *metric, kt_trace *trace) {
    const f_score *self = (const f_score *)metric;
    kt_builder *b = trace->builder;
    kt_value hits = kt_metric_variable(metric, trace, TRUE_POSITIVES);
    kt_value wrong = kt_metric_variable(metric, trace, FALSE_POSITIVES);
    kt_value missed = kt_metric_variable(metric, trace, FALSE_NEGATIVES);
    kt_value precision = divide(b, hits, kt_build_add(b, hits, wrong));
    kt_value recall = divide(b, hits, kt_build_add(b, hits, missed));
    double square = self->beta * self->beta;
    kt_value sum = kt_build_add(b, kt_build_mul(b, precision, kt_build_like(b, precision, square)), recall);
    kt_value score = divide(b, kt_build_mul(b, precision, recall), sum);
    score = kt_build_mul(b, score, kt_build_like(b, score, 1 + square));
    if (averages(self, "weighted")) {
        kt_value weights = kt_metric_variable(metric, trace, WEIGHTS);
        kt_ints all = {1, {0}};
        weights = divide(b, weights, kt_reduce_spread(b, weights, KT_REDUCE_SUM, &all));
        return kt_sum_all(b, kt_build_mul(b, score, weights));
    }
    kt_ints classes = {1, {0}};
    return averages(self, "macro") ? kt_mean(b, score, &classes) : score;
}

#define F_SCORE(c_name, keras_name, other_name, documentation, ...)                                          \
    static const kt_option c_name##_options[] = {                                                            \
        KT_METRIC_OPTIONS("\"" #c_name "\""), KT_FIELD(f_score, average, STRING, "null"),                    \
        KT_FIELD(f_score, threshold, OPTIONAL_FLOAT, "null"), __VA_ARGS__ KT_OPTIONS_END};                   \
    const kt_metric_class kt_metric_##c_name = {.object = {.name = (keras_name),                             \
                                                           .aliases = (other_name),                          \
                                                           .doc = (documentation),                           \
                                                           .bytes = sizeof(f_score),                         \
                                                           .options = c_name##_options,                      \
                                                           .check = check},                                  \
                                                .build = build,                                              \
                                                .update = update,                                            \
                                                .result = result};
#define BETA KT_FIELD(f_score, beta, FLOAT, "1.0"),
F_SCORE(f1_score, "F1Score", "f1_score", "the harmonic mean of precision and recall", )
F_SCORE(fbeta_score, "FBetaScore", "f_beta_score", "the same where recall counts beta times as much", BETA)
