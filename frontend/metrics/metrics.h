/* Metrics: what is counted over the batches of an epoch. A metric's state is variables of the graph (kind
 * KT_VARIABLE_METRIC), which `update` assigns and `result` reads; whoever runs the graph sets them back to what they
 * begin with. Formulas are Keras's. */
#ifndef KT_FRONTEND_METRICS_H
#define KT_FRONTEND_METRICS_H

#include "frontend/losses/losses.h"

typedef struct kt_metric kt_metric;
typedef struct kt_metric_class {
    kt_object_class object;
    /* Adds the variables (kt_metric_add_variable), once the types of labels and output are known. */
    void (*build)(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output);
    /* target as kt_loss_target_type has it or as the metric wants it; sample_weight [batch] and mask (bool), or 0. */
    void (*update)(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output, kt_value sample_weight,
                   kt_value mask);
    kt_value (*result)(kt_metric *metric, kt_trace *trace); /* float32: a scalar, or [classes] */
    /* Of metrics that are a mean: of what, one number a sample or more; NULL elsewhere. */
    kt_value (*values)(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output);
} kt_metric_class;
struct kt_metric {
    kt_object object;
    const char *name; /* "binary_accuracy"; as it stands in logs */
    const json_t *dtype;
    kt_dtype compute_dtype; /* what it counts in */
    KT_VECTOR(uint32_t) variables; /* in graph.variables */
};
extern const kt_metric_class *const kt_metric_classes[];

/* From Keras's serialised form. "accuracy", "acc", "crossentropy" and "ce" become what fits labels and output, as
 * Keras chooses; a loss's name becomes the mean of that loss. NULL, and problems at path. */
kt_metric *kt_metric_read(kt_trace *trace, const json_t *serialized, const kt_type *target, const kt_type *output,
                          const char *path);
/* A variable "<the metric's name>/<name>" that begins with zeros, or with begin (dense, lives as long as the graph). Returns its
 * position in metric->variables. */
uint32_t kt_metric_add_variable(kt_metric *metric, kt_trace *trace, const char *name, const kt_type *type,
                                const void *begin);
/* The mean of values, weighted; what "loss" in logs is: builds on first use. A scalar counts as
 * one, or weight. */
kt_metric *kt_metric_mean_create(kt_layer_context *context, const char *name);
void kt_metric_mean_add(kt_metric *mean, kt_trace *trace, kt_value value, kt_value weight /* or 0: 1 */);
/* The three functions of the class. The result is 0 where building has failed. */
void kt_metric_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output);
void kt_metric_update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output, kt_value sample_weight,
                      kt_value mask);
kt_value kt_metric_result(kt_metric *metric, kt_trace *trace);

/* 1 where higher numbers are better, -1 where lower ones are, 0 where that cannot be said: Keras's direction. */
int kt_metric_better(const kt_metric *metric);

/* A metric in logs, and what it is called there. */
typedef struct kt_metric_log {
    const kt_metric *metric;
    const char *output; /* the output's name where a model has several; else NULL */
    bool weighted;      /* one of weighted_metrics */
    const char *name;   /* to be filled in: "accuracy", "a_accuracy", "accuracy_1", "weighted_accuracy" */
} kt_metric_log;
/* Keras's order: all outputs' metrics first, then all outputs' weighted metrics. */
void kt_metric_log_names(kt_arena *arena, kt_metric_log *logs, uint32_t count);

#endif
