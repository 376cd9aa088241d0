/* What the files of metrics share. */
#ifndef KT_FRONTEND_METRICS_IMPL_H
#define KT_FRONTEND_METRICS_IMPL_H

#include "frontend/metrics/metrics.h"

#define KT_METRIC(name) extern const kt_metric_class kt_metric_##name;
#include "frontend/metrics/classes.def"
#undef KT_METRIC

/* The options that all metrics have. */
#define KT_METRIC_OPTIONS(type, default_name)                                                                \
    {"name", KT_OPTION_STRING, offsetof(type, metric.name), "\"" default_name "\""},                         \
        {"dtype", KT_OPTION_JSON, offsetof(type, metric.dtype), "null"}

/* For means of values: total and count. */
void kt_metric_mean_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output);
kt_value kt_metric_mean_result(kt_metric *metric, kt_trace *trace);
/* Adds values of any shape, weighted by sample and mask, which may be 0. */
void kt_metric_mean_update(kt_metric *metric, kt_trace *trace, kt_value values, kt_value sample_weight, kt_value mask);

#endif
