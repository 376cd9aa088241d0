/* What the files of frontend/metrics share. */
#ifndef KT_FRONTEND_METRICS_METRICS_IMPL_H
#define KT_FRONTEND_METRICS_METRICS_IMPL_H

#include "frontend/metrics/metrics.h"
#include "frontend/operations/operations_impl.h"

/* The rows that classes.def lists. */
#define KT_METRIC(name, better) extern const kt_metric_class kt_metric_##name;
#include "frontend/metrics/classes.def"
#undef KT_METRIC

/* The options that every metric has; default_name as JSON text, null: what Keras makes of the class's name. */
#define KT_METRIC_OPTIONS(default_name)                                                                      \
    {"name", KT_OPTION_STRING, offsetof(kt_metric, name), default_name},                                     \
        {"dtype", KT_OPTION_JSON, offsetof(kt_metric, dtype), "null"}

/* A row of a metric that is the mean of what a function gives. */
#define KT_MEAN_METRIC(c_name, keras_name, other_names, documentation, type, table, values_function)         \
    const kt_metric_class kt_metric_##c_name = {.object = {.name = (keras_name),                       \
                                                                 .aliases = (other_names),                   \
                                                                 .doc = (documentation),                     \
                                                                 .bytes = sizeof(type),                      \
                                                                 .options = (table)},                        \
                                                      .build = kt_mean_build,                                \
                                                      .update = kt_mean_update,                              \
                                                      .result = kt_mean_result,                              \
                                                      .values = (values_function)};
void kt_mean_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output);
void kt_mean_update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                    kt_value sample_weight, kt_value mask);
kt_value kt_mean_result(kt_metric *metric, kt_trace *trace);
/* What kt_mean_update does with the values. */
void kt_mean_add(kt_metric *mean, kt_trace *trace, kt_value values, kt_value sample_weight);
/* The mean of a loss's values, or where `reduced` of what it makes of each batch, from the loss's serialised form;
 * NULL, and problems at path. */
kt_metric *kt_metric_of_loss(kt_layer_context *context, const json_t *serialized, bool reduced, const char *path);

/* A metric of a class by its name, with default options, for metrics that are made of others. */
kt_metric *kt_metric_create(kt_layer_context *context, const char *class_name, const char *path,
                            const char *name);
/* The value of the metric's n-th variable now, and a new one; the same plus x. */
kt_value kt_metric_variable(const kt_metric *metric, kt_trace *trace, uint32_t n);
void kt_metric_assign(const kt_metric *metric, kt_trace *trace, uint32_t n, kt_value value);
void kt_metric_assign_add(const kt_metric *metric, kt_trace *trace, uint32_t n, kt_value x);

/* Brings two values to one rank as Keras does: a last axis of size 1 goes, or comes to a vector unless that is
 * not to be expanded. */
void kt_same_rank(kt_builder *builder, kt_value *x, kt_value *y, bool expand_vectors);
/* The sum of all elements, a scalar. */
kt_value kt_sum_all(kt_builder *builder, kt_value x);
/* sample_weight, which counts for all that is behind its axes, in x's shape. */
kt_value kt_spread_weight(kt_builder *builder, kt_value sample_weight, kt_value x);
/* sample_weight, with 0 where mask says that there is nothing; either may be 0: none. */
kt_value kt_weight_mask(kt_builder *builder, kt_value sample_weight, kt_value mask, kt_dtype dtype);

#endif
