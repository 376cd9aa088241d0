/* Metrics: making them, their variables, and means. */
#include "frontend/metrics/metrics_impl.h"

#include "frontend/layers/layers_impl.h"

#include <string.h>

const kt_metric_class *const kt_metric_classes[] = {
#define KT_METRIC(name) &kt_metric_##name,
#include "frontend/metrics/classes.def"
#undef KT_METRIC
    NULL};

static const kt_metric_class *class_of(const kt_metric *metric) {
    return (const kt_metric_class *)metric->object.class;
}

/* Which accuracy fits, as Keras chooses it: by ranks and the last axes. */
static const char *choose_accuracy(const kt_dim_pool *dims, const kt_type *target, const kt_type *output) {
    bool binary = output->rank == 0 || kt_dim_equals(dims, output->dims[output->rank - 1], 1);
    bool numbers = target->rank < output->rank ||
                   (target->rank > 0 && kt_dim_equals(dims, target->dims[target->rank - 1], 1));
    if (binary) return "binary_accuracy";
    return numbers ? "sparse_categorical_accuracy" : "categorical_accuracy";
}

kt_metric *kt_metric_read(kt_trace *trace, const json_t *serialized, const kt_type *target,
                          const kt_type *output, const char *path) {
    const char *name = json_string_value(serialized);
    json_t *chosen = NULL;
    if (name && kt_options_listed("accuracy acc", name))
        chosen = json_string(choose_accuracy(trace->builder->graph->dims, target, output));
    kt_metric *metric = (kt_metric *)kt_object_read(trace->context, "metric",
                                                    (const kt_object_class *const *)kt_metric_classes,
                                                    chosen ? chosen : serialized, path);
    if (metric && chosen) metric->name = kt_arena_string(trace->context->arena, name);
    json_decref(chosen);
    return metric;
}

uint32_t kt_metric_add_variable(kt_metric *metric, kt_trace *trace, const char *name, const kt_type *type,
                                const void *begin) {
    const kt_variable variable = {.path = kt_arena_format(trace->context->arena, "%s/%s", metric->name, name),
                                  .type = *type,
                                  .kind = KT_VARIABLE_METRIC,
                                  .data = begin};
    KT_PUSH(trace->context->arena, &metric->variables,
            kt_graph_add_variable(trace->builder->graph, &variable));
    return metric->variables.count - 1;
}

void kt_metric_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    if (!metric->variables.count) class_of(metric)->build(metric, trace, target, output);
}

void kt_metric_update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                      kt_value sample_weight, kt_value mask) {
    class_of(metric)->update(metric, trace, target, output, sample_weight, mask);
}

kt_value kt_metric_result(kt_metric *metric, kt_trace *trace) {
    return class_of(metric)->result(metric, trace);
}
