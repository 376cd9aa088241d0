/* What is made of counts at many thresholds: areas under curves, and the best of one rate where another is at
 * least what is asked for. */
#include "frontend/metrics/confusion_impl.h"

#include <stdlib.h>
#include <string.h>

enum { ALL_CONDITIONS = (1 << KT_CONDITIONS) - 1, THRESHOLD_LIMIT = 1 << 20 };

static kt_status check_count(const kt_object *object, kt_layer_context *context, int64_t count, int64_t low) {
    if (count >= low && count <= THRESHOLD_LIMIT) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, "num_thresholds", "must be from %lld to %d.",
                            (long long)low, THRESHOLD_LIMIT);
}

/* ---- one rate where another is high enough --------------------------------------------------- */
typedef struct constrained {
    kt_metric metric;
    double bound;
    int64_t num_thresholds;
    kt_confusion confusion;
} constrained;

/* The option that the bound is: the first behind the common ones. */
static const char *bound_name(const kt_object *object) { return object->class->options[2].name; }

static kt_status check_constrained(kt_object *object, kt_layer_context *context) {
    constrained *self = (constrained *)object;
    if (!(self->bound >= 0 && self->bound <= 1))
        return kt_object_reject(object, context, KT_INVALID, bound_name(object), "must be from 0 to 1.");
    if (check_count(object, context, self->num_thresholds, 1) != KT_OK) return KT_INVALID;
    self->confusion.conditions = ALL_CONDITIONS;
    self->confusion.top_k = KT_NONE_INT;
    self->confusion.thresholds = kt_thresholds_even(context->arena, self->num_thresholds);
    return KT_OK;
}

static void build_constrained(kt_metric *metric, kt_trace *trace, const kt_type *target,
                              const kt_type *output) {
    (void)target, (void)output;
    kt_confusion_build(metric, trace, &((constrained *)metric)->confusion, 0);
}

static void update_constrained(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                               kt_value sample_weight, kt_value mask) {
    (void)mask;
    kt_confusion_update(metric, trace, &((constrained *)metric)->confusion, target, output, sample_weight);
}

static kt_value rate(kt_metric *metric, kt_trace *trace, kt_condition of, kt_condition others) {
    const kt_confusion *c = &((constrained *)metric)->confusion;
    return kt_share(trace->builder, kt_confusion_count(metric, trace, c, of),
                    kt_confusion_count(metric, trace, c, others));
}
static kt_value recalls(kt_metric *metric, kt_trace *trace) {
    return rate(metric, trace, KT_TRUE_POSITIVES, KT_FALSE_NEGATIVES);
}
static kt_value precisions(kt_metric *metric, kt_trace *trace) {
    return rate(metric, trace, KT_TRUE_POSITIVES, KT_FALSE_POSITIVES);
}
static kt_value specificities(kt_metric *metric, kt_trace *trace) {
    return rate(metric, trace, KT_TRUE_NEGATIVES, KT_FALSE_POSITIVES);
}

static kt_value best(kt_metric *metric, kt_trace *trace, kt_value bounded, kt_value wanted) {
    kt_builder *b = trace->builder;
    kt_value bound = kt_build_like(b, bounded, ((const constrained *)metric)->bound);
    kt_value chosen = kt_build_select(b, kt_build_ge(b, bounded, bound), wanted, kt_build_like(b, wanted, 0));
    return kt_reduce_axis(b, chosen, KT_REDUCE_MAXIMUM, 0);
}
static kt_value sensitivity_result(kt_metric *metric, kt_trace *trace) {
    return best(metric, trace, specificities(metric, trace), recalls(metric, trace));
}
static kt_value specificity_result(kt_metric *metric, kt_trace *trace) {
    return best(metric, trace, recalls(metric, trace), specificities(metric, trace));
}
static kt_value precision_result(kt_metric *metric, kt_trace *trace) {
    return best(metric, trace, recalls(metric, trace), precisions(metric, trace));
}
static kt_value recall_result(kt_metric *metric, kt_trace *trace) {
    return best(metric, trace, precisions(metric, trace), recalls(metric, trace));
}

#define CONSTRAINED(c_name, keras_name, documentation, option, result_function)                              \
    static const kt_option c_name##_options[] = {                                                            \
        KT_METRIC_OPTIONS("null"),                                                                           \
        {option, KT_OPTION_FLOAT, offsetof(constrained, bound), NULL},                                       \
        KT_FIELD(constrained, num_thresholds, INT, "200"),                                                   \
        {"class_id", KT_OPTION_OPTIONAL_INT, offsetof(constrained, confusion.class_id), "null"},             \
        KT_OPTIONS_END};                                                                                     \
    const kt_metric_class kt_metric_##c_name = {.object = {.name = (keras_name),                             \
                                                           .aliases = #c_name,                               \
                                                           .doc = (documentation),                           \
                                                           .bytes = sizeof(constrained),                     \
                                                           .options = c_name##_options,                      \
                                                           .check = check_constrained},                      \
                                                .build = build_constrained,                                  \
                                                .update = update_constrained,                                \
                                                .result = (result_function)};
CONSTRAINED(sensitivity_at_specificity, "SensitivityAtSpecificity",
            "the best sensitivity where specificity is at least so much", "specificity", sensitivity_result)
CONSTRAINED(specificity_at_sensitivity, "SpecificityAtSensitivity",
            "the best specificity where sensitivity is at least so much", "sensitivity", specificity_result)
CONSTRAINED(precision_at_recall, "PrecisionAtRecall", "the best precision where recall is at least so much",
            "recall", precision_result)
CONSTRAINED(recall_at_precision, "RecallAtPrecision", "the best recall where precision is at least so much",
            "precision", recall_result)

/* ---- areas under curves ---------------------------------------------------------------------- */
typedef struct area {
    kt_metric metric;
    int64_t num_thresholds, num_labels;
    const char *curve, *summation_method;
    const json_t *thresholds, *label_weights;
    bool multi_label, from_logits;
    int64_t weighted_labels; /* how many label_weights there are */
    kt_confusion confusion;
} area;

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The thresholds that are given, sorted, or even ones; the ends are moved outside [0, 1]. */
static kt_status read_thresholds(area *self, kt_layer_context *context) {
    static const double epsilon = 1e-7;
    kt_thresholds given = {0};
    bool own = self->thresholds != NULL;
    bool none = json_is_array(self->thresholds) && json_array_size(self->thresholds) == 0;
    if (own && !json_is_array(self->thresholds))
        return kt_object_reject(&self->metric.object, context, KT_INVALID, "thresholds",
                                "must be a list of numbers.");
    if (own && !none &&
        kt_thresholds_read(&self->metric.object, context, "thresholds", self->thresholds, 0, &given) != KT_OK)
        return KT_INVALID;
    if (!own && check_count(&self->metric.object, context, self->num_thresholds, 2) != KT_OK)
        return KT_INVALID;
    kt_thresholds all =
        kt_thresholds_even(context->arena, own ? (int64_t)given.count + 2 : self->num_thresholds);
    double *at = kt_arena_copy(context->arena, all.at, all.count * sizeof *at);
    if (given.count) memcpy(at + 1, given.at, given.count * sizeof *at);
    qsort(at, all.count, sizeof *at, compare_numbers);
    all.even = !own || kt_thresholds_are_even(at, all.count);
    at[0] = -epsilon;
    at[all.count - 1] = 1 + epsilon;
    all.at = at;
    all.outside = true;
    self->confusion.thresholds = all;
    return KT_OK;
}

static kt_status check_area(kt_object *object, kt_layer_context *context) {
    area *self = (area *)object;
    kt_ints shape = {0};
    if (self->label_weights && (!kt_numbers_shape(self->label_weights, &shape) || shape.count != 1))
        return kt_object_reject(object, context, KT_INVALID, "label_weights", "must be a list of numbers.");
    if (!self->multi_label && self->num_labels != KT_NONE_INT && self->num_labels != 0)
        return kt_object_reject(object, context, KT_INVALID, "num_labels", "goes with multi_label only.");
    self->weighted_labels = shape.at[0];
    self->confusion = (kt_confusion){.conditions = ALL_CONDITIONS,
                                     .top_k = KT_NONE_INT,
                                     .class_id = KT_NONE_INT,
                                     .by_label = self->multi_label,
                                     .label_weights = self->multi_label ? NULL : self->label_weights};
    return read_thresholds(self, context);
}

static void build_area(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    area *self = (area *)metric;
    (void)target;
    int64_t labels = 0;
    if (self->multi_label &&
        (output->rank != 2 || !kt_dim_is_const(trace->builder->graph->dims, output->dims[1], &labels) ||
         (self->num_labels > 0 && self->num_labels != labels)))
        kt_trace_fail(trace, KT_INVALID,
                      "its output must be [batch, labels], with as many labels as num_labels says.");
    if (self->label_weights && output->rank &&
        !kt_dim_equals(trace->builder->graph->dims, output->dims[output->rank - 1], self->weighted_labels))
        kt_trace_fail(trace, KT_INVALID, "its option 'label_weights' must have a number for each label.");
    kt_confusion_build(metric, trace, &self->confusion, labels);
}

static void update_area(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                        kt_value sample_weight, kt_value mask) {
    area *self = (area *)metric;
    (void)mask;
    if (trace->failed) return;
    if (self->from_logits) output = kt_build_logistic(trace->builder, output);
    kt_confusion_update(metric, trace, &self->confusion, target, output, sample_weight);
}

/* x without its last, or its first, threshold. */
static kt_value lower(kt_builder *b, kt_value x) {
    kt_dim size = kt_build_type(b, x)->dims[0];
    return kt_slice_axis(b, x, 0, kt_dim_const(b->graph->dims, 0),
                         kt_dim_add_const(b->graph->dims, size, -1));
}
static kt_value upper(kt_builder *b, kt_value x) {
    return kt_slice_axis(b, x, 0, kt_dim_const(b->graph->dims, 1), kt_build_type(b, x)->dims[0]);
}
static kt_value fall(kt_builder *b, kt_value x) { return kt_build_sub(b, lower(b, x), upper(b, x)); }
static kt_value at_least_zero(kt_builder *b, kt_value x) {
    return kt_build_maximum(b, x, kt_build_like(b, x, 0));
}

/* What each step adds to the area under precision by recall, true positives taken to grow evenly with
 * positives between two thresholds (Davis and Goadrich 2006). */
static kt_value interpolate(kt_builder *b, kt_value tp, kt_value fp, kt_value fn) {
    kt_value p = kt_build_add(b, tp, fp), gained = fall(b, tp);
    kt_value slope = kt_divide_no_nan(b, gained, at_least_zero(b, fall(b, p)));
    kt_value zero = kt_build_like(b, slope, 0), one = kt_build_like(b, slope, 1);
    kt_value intercept = kt_build_sub(b, upper(b, tp), kt_build_mul(b, slope, upper(b, p)));
    kt_value both = kt_build_and(b, kt_build_gt(b, lower(b, p), zero), kt_build_gt(b, upper(b, p), zero));
    kt_value ratio =
        kt_build_select(b, both, kt_divide_no_nan(b, lower(b, p), at_least_zero(b, upper(b, p))), one);
    kt_value grown = kt_build_add(b, gained, kt_build_mul(b, intercept, kt_build_log(b, ratio)));
    kt_value all = at_least_zero(b, kt_build_add(b, upper(b, tp), upper(b, fn)));
    return kt_divide_no_nan(b, kt_build_mul(b, slope, grown), all);
}

/* 1 - scale * x / hits; `none` where there are no hits. */
static kt_value gain(kt_builder *b, kt_value scale, kt_value x, kt_value hits, double none) {
    kt_value part = kt_build_mul(b, scale, kt_divide_no_nan(b, x, hits));
    kt_value gained = kt_build_sub(b, kt_build_like(b, x, 1), part);
    kt_value missing = kt_build_eq(b, hits, kt_build_like(b, hits, 0));
    return kt_build_select(b, missing, kt_build_like(b, x, none), gained);
}

/* Steps along x times a height between their y. */
static kt_value sum_steps(kt_builder *b, const area *self, kt_value x, kt_value y) {
    kt_value from = lower(b, y), to = upper(b, y), height;
    if (kt_options_listed("minoring Minoring", self->summation_method)) {
        height = kt_build_minimum(b, from, to);
    } else if (kt_options_listed("majoring Majoring", self->summation_method)) {
        height = kt_build_maximum(b, from, to);
    } else {
        height = kt_build_div(b, kt_build_add(b, from, to), kt_build_like(b, from, 2));
    }
    return kt_build_mul(b, fall(b, x), height);
}

static kt_value take_steps(const area *self, kt_trace *trace) {
    kt_builder *b = trace->builder;
    kt_value counts[KT_CONDITIONS];
    for (kt_condition i = 0; i < KT_CONDITIONS; i++)
        counts[i] = kt_confusion_count(&self->metric, trace, &self->confusion, i);
    kt_value tp = counts[KT_TRUE_POSITIVES], fp = counts[KT_FALSE_POSITIVES];
    kt_value tn = counts[KT_TRUE_NEGATIVES], fn = counts[KT_FALSE_NEGATIVES];
    bool precision = kt_options_listed("pr PR", self->curve);
    if (precision && kt_options_listed("interpolation Interpolation", self->summation_method))
        return interpolate(b, tp, fp, fn);
    if (precision) return sum_steps(b, self, kt_share(b, tp, fn), kt_share(b, tp, fp));
    if (kt_options_listed("roc ROC", self->curve))
        return sum_steps(b, self, kt_share(b, fp, tn), kt_share(b, tp, fn));
    kt_value scale = kt_divide_no_nan(b, kt_build_add(b, tp, fn), kt_build_add(b, tn, fp));
    kt_value recall = at_least_zero(b, gain(b, scale, fn, tp, 0));
    return sum_steps(b, self, recall, gain(b, scale, fp, tp, 1));
}

static kt_value result_area(kt_metric *metric, kt_trace *trace) {
    const area *self = (const area *)metric;
    kt_builder *b = trace->builder;
    kt_value areas = kt_reduce_axis(b, take_steps(self, trace), KT_REDUCE_SUM, 0);
    if (!self->multi_label) return areas;
    kt_ints first = {1, {0}};
    if (!self->label_weights) return kt_mean(b, areas, &first);
    const kt_layer_call call = {.trace = trace};
    kt_value weights = kt_numbers_constant(&call, self->label_weights, KT_F32);
    return kt_divide_no_nan(b, kt_sum_all(b, kt_build_mul(b, areas, weights)), kt_sum_all(b, weights));
}

static const kt_option area_options[] = {
    KT_METRIC_OPTIONS("null"),
    KT_FIELD(area, num_thresholds, INT, "200"),
    KT_FIELD(area, curve, CHOICE, "\"ROC\"", .choices = "ROC roc PR pr PRGAIN prgain"),
    KT_FIELD(area, summation_method, CHOICE, "\"interpolation\"",
             .choices = "interpolation Interpolation majoring Majoring minoring Minoring"),
    KT_FIELD(area, thresholds, JSON, "null"),
    KT_FIELD(area, multi_label, BOOL, "false"),
    KT_FIELD(area, num_labels, OPTIONAL_INT, "null"),
    KT_FIELD(area, label_weights, JSON, "null"),
    KT_FIELD(area, from_logits, BOOL, "false"),
    KT_OPTIONS_END,
};
const kt_metric_class kt_metric_auc = {
    .object = {.name = "AUC",
               .aliases = "auc",
               .doc = "the area under a curve over thresholds",
               .bytes = sizeof(area),
               .options = area_options,
               .check = check_area},
    .build = build_area,
    .update = update_area,
    .result = result_area,
};
