/* Counting true and false positives and negatives, at thresholds. */
#ifndef KT_FRONTEND_METRICS_CONFUSION_IMPL_H
#define KT_FRONTEND_METRICS_CONFUSION_IMPL_H

#include "frontend/metrics/metrics_impl.h"

typedef struct kt_thresholds {
    uint32_t count;
    const double *at; /* increasing, where they are even */
    bool even;        /* from 0 to 1 in equal steps: outputs are sorted into bins, as Keras does */
    bool outside;     /* even, but the first is below 0 and the last above 1 */
} kt_thresholds;
/* From an option that is None, a number or a list of numbers in [0, 1]; None is otherwise one. */
kt_status kt_thresholds_read(const kt_object *object, kt_layer_context *context, const char *option,
                             const json_t *value, double otherwise, kt_thresholds *out_thresholds);
/* 0, 1 / (count - 1), … 1; of count 1: 0.5. */
kt_thresholds kt_thresholds_even(kt_arena *arena, int64_t count);
/* Are they in equal steps from 0 to 1? */
bool kt_thresholds_are_even(const double *at, uint32_t count);

/* What is counted; a metric keeps some of them, in float32 [thresholds], or [thresholds, labels]. */
typedef enum kt_condition {
    KT_TRUE_POSITIVES,
    KT_FALSE_POSITIVES,
    KT_TRUE_NEGATIVES,
    KT_FALSE_NEGATIVES,
    KT_CONDITIONS
} kt_condition;
typedef struct kt_confusion {
    kt_thresholds thresholds;
    uint32_t conditions; /* a bit each: the n-th that is set is the metric's n-th variable */
    int64_t top_k;       /* all but so many outputs of a sample are taken for negative; or KT_NONE_INT */
    int64_t class_id;    /* of the last axis only this one; or KT_NONE_INT */
    bool by_label;       /* counted for each label, of output [batch, labels] */
    const json_t *label_weights; /* a number for each label, where they are not counted each; or NULL */
} kt_confusion;
/* Checks top_k and class_id. */
kt_status kt_confusion_check(const kt_object *object, kt_layer_context *context, const kt_confusion *confusion);
/* labels: 0, or how many are counted each. */
void kt_confusion_build(kt_metric *metric, kt_trace *trace, const kt_confusion *confusion, int64_t labels);
void kt_confusion_update(kt_metric *metric, kt_trace *trace, const kt_confusion *confusion, kt_value target,
                         kt_value output, kt_value sample_weight);
/* What a metric that keeps a condition has counted of it. */
kt_value kt_confusion_count(const kt_metric *metric, kt_trace *trace, const kt_confusion *confusion,
                            kt_condition condition);
/* x / (x + y), and 0 where that has no value. */
kt_value kt_share(kt_builder *builder, kt_value x, kt_value y);
/* Numbers as a constant vector of float32. */
kt_value kt_vector_constant(kt_trace *trace, uint32_t count, const double *numbers);

#endif
