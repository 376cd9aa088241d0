/* Metrics: the class table, reading, variables, and the frame around the functions of a class. */
#include "frontend/metrics/metrics_impl.h"

#include <string.h>
#include <strings.h>

const kt_metric_class *const kt_metric_classes[] = {
#define KT_METRIC(name, better) &kt_metric_##name,
#include "frontend/metrics/classes.def"
#undef KT_METRIC
    NULL};

enum { LOWER = -1, UNKNOWN = 0, HIGHER = 1 };
static const int betters[] = {
#define KT_METRIC(name, better) better,
#include "frontend/metrics/classes.def"
#undef KT_METRIC
};

int kt_metric_better(const kt_metric *metric) {
    for (size_t i = 0; kt_metric_classes[i]; i++)
        if (&kt_metric_classes[i]->object == metric->object.class) return betters[i];
    return LOWER; /* the mean of a loss */
}

/* ---- reading --------------------------------------------------------------------------------- */
static kt_status read_dtype(kt_metric *metric, kt_layer_context *context) {
    const char *problem;
    kt_dtype variable;
    const char *name = json_string_value(metric->dtype);
    metric->compute_dtype = KT_I32;
    if (name && strcmp(name, "int") == 0) return KT_OK;
    if (!kt_dtype_policy_read(context->arena, metric->dtype, &metric->compute_dtype, &variable, &problem))
        return kt_object_reject(&metric->object, context, KT_UNSUPPORTED, "dtype", "%s.", problem);
    return KT_OK;
}

/* name NULL: as the options say. */
static kt_metric *read_class(kt_layer_context *context, const json_t *serialized, const char *path,
                             const char *name) {
    kt_metric *metric = (kt_metric *)kt_object_read(
        context, "metric", (const kt_object_class *const *)kt_metric_classes, serialized, path);
    if (!metric) return NULL;
    if (name) metric->name = kt_arena_string(context->arena, name);
    if (!metric->name) metric->name = kt_default_name(context, metric->object.class->name);
    return read_dtype(metric, context) == KT_OK ? metric : NULL;
}

kt_metric *kt_metric_create(kt_layer_context *context, const char *class_name, const char *path,
                            const char *name) {
    json_t *serialized = json_string(class_name);
    kt_arena_defer(context->arena, kt_json_release, serialized);
    return read_class(context, serialized, path, name);
}

/* What "accuracy" or "crossentropy" is, as Keras chooses it: one output is a binary decision; labels with an
 * axis less, or with one number each, are numbers of classes. */
static const char *choose(const kt_dim_pool *dims, const char *name, const kt_type *target,
                          const kt_type *output) {
    bool accuracy = strcasecmp(name, "accuracy") == 0 || strcasecmp(name, "acc") == 0;
    bool crossentropy = strcasecmp(name, "crossentropy") == 0 || strcasecmp(name, "ce") == 0;
    if (!accuracy && !crossentropy) return NULL;
    if (output->rank == 0 || kt_dim_equals(dims, output->dims[output->rank - 1], 1))
        return accuracy ? "BinaryAccuracy" : "BinaryCrossentropy";
    bool numbers = target->rank < output->rank || kt_dim_equals(dims, target->dims[target->rank - 1], 1);
    if (numbers) return accuracy ? "SparseCategoricalAccuracy" : "SparseCategoricalCrossentropy";
    return accuracy ? "CategoricalAccuracy" : "CategoricalCrossentropy";
}

static bool is_metric(const char *name) {
    return kt_object_find_class((const kt_object_class *const *)kt_metric_classes, name);
}

static bool is_loss(const char *name) {
    return kt_object_find_class((const kt_object_class *const *)kt_loss_classes, name);
}

/* Is the function of a name what the metric of that name is the mean of? Keras's cosine_similarity is the
 * loss, the metric's negative. */
static bool is_function_of_metric(const char *name) {
    return is_metric(name) && strcmp(name, "cosine_similarity") != 0;
}

/* A function of labels and output by its name, or of a loss; it lends its name to the metric. */
static kt_metric *read_function(kt_layer_context *context, const char *name, const char *path) {
    json_t *serialized = json_string(name);
    kt_arena_defer(context->arena, kt_json_release, serialized);
    if (is_function_of_metric(name) || !is_loss(name)) return read_class(context, serialized, path, name);
    kt_metric *metric = kt_metric_of_loss(context, serialized, false, path);
    if (metric) metric->name = kt_arena_string(context->arena, name);
    return metric;
}

/* A MeanMetricWrapper: options of a class of ours, but for "fn", which says of which. */
static kt_metric *read_wrapper(kt_layer_context *context, const json_t *config, const char *path) {
    const json_t *fn = json_object_get(config, "fn");
    const char *name = json_string_value(fn);
    if (!name) name = json_string_value(json_object_get(fn, "config"));
    if (!name) {
        kt_diag_add(context->diag, KT_UNSUPPORTED, path,
                    "a MeanMetricWrapper must name a function of Keras as fn.");
        return NULL;
    }
    if (!is_metric(name) && !is_loss(name)) return read_function(context, name, path);
    json_t *serialized = json_object(), *options = json_copy((json_t *)config);
    kt_arena_defer(context->arena, kt_json_release, serialized);
    json_object_del(options, "fn");
    json_object_set_new(serialized, "class_name", json_string(name));
    json_object_set_new(serialized, "config", options);
    if (is_function_of_metric(name)) return read_class(context, serialized, path, NULL);
    return kt_metric_of_loss(context, serialized, false, path);
}

kt_metric *kt_metric_read(kt_trace *trace, const json_t *serialized, const kt_type *target,
                          const kt_type *output, const char *path) {
    kt_layer_context *context = trace->context;
    const char *name = json_string_value(serialized);
    const char *chosen = name ? choose(trace->builder->graph->dims, name, target, output) : NULL;
    if (chosen) return kt_metric_create(context, chosen, path, name);
    if (name && is_metric(name)) return read_class(context, serialized, path, name);
    if (name) return read_function(context, name, path);
    const json_t *config = json_object_get(serialized, "config");
    const char *class_name = json_string_value(json_object_get(serialized, "class_name"));
    const char *module = json_string_value(json_object_get(serialized, "module"));
    if (class_name && strcmp(class_name, "function") == 0 && json_is_string(config))
        return read_function(context, json_string_value(config), path);
    if (class_name && strcmp(class_name, "MeanMetricWrapper") == 0)
        return read_wrapper(context, config, path);
    if (module && strcmp(module, "keras.losses") == 0)
        return kt_metric_of_loss(context, serialized, true, path);
    return read_class(context, serialized, path, NULL);
}

/* ---- variables ------------------------------------------------------------------------------- */
static bool path_taken(const kt_graph *graph, const char *path) {
    for (uint32_t i = 0; i < graph->variables.count; i++)
        if (strcmp(graph->variables.at[i].path, path) == 0) return true;
    return false;
}

uint32_t kt_metric_add_variable(kt_metric *metric, kt_trace *trace, const char *name, const kt_type *type,
                                const void *begin) {
    kt_graph *graph = trace->builder->graph;
    const char *path = kt_arena_format(trace->context->arena, "%s/%s", metric->name, name);
    for (int i = 1; path_taken(graph, path); i++)
        path = kt_arena_format(trace->context->arena, "%s/%s_%d", metric->name, name, i);
    size_t bytes = (size_t)kt_type_static_bytes(graph->dims, type);
    if (!begin) begin = kt_arena_alloc(graph->arena, bytes ? bytes : 1);
    kt_variable variable = {.path = path, .type = *type, .kind = KT_VARIABLE_METRIC, .data = begin};
    KT_PUSH(trace->context->arena, &metric->variables, kt_graph_add_variable(graph, &variable));
    return metric->variables.count - 1;
}

kt_value kt_metric_variable(const kt_metric *metric, kt_trace *trace, uint32_t n) {
    KT_ASSERT(n < metric->variables.count);
    return kt_trace_variable(trace, metric->variables.at[n]);
}

void kt_metric_assign(const kt_metric *metric, kt_trace *trace, uint32_t n, kt_value value) {
    KT_ASSERT(n < metric->variables.count);
    kt_trace_assign_variable(trace, metric->variables.at[n], value);
}

void kt_metric_assign_add(const kt_metric *metric, kt_trace *trace, uint32_t n, kt_value x) {
    kt_builder *b = trace->builder;
    kt_value total = kt_metric_variable(metric, trace, n);
    kt_metric_assign(metric, trace, n,
                     kt_build_add(b, total, kt_build_cast(b, x, kt_build_type(b, total)->dtype)));
}

/* ---- the frame around a class's functions ---------------------------------------------------- */
typedef struct frame {
    const char *path;
    kt_loc loc;
} frame;

static frame enter(const kt_metric *metric, kt_trace *trace, const char *what) {
    frame outer = {trace->path, trace->builder->loc};
    trace->path = kt_arena_format(trace->context->arena, "%s/%s", metric->object.path, metric->name);
    kt_trace_at(trace, what);
    return outer;
}

static void leave(kt_trace *trace, const frame *outer) {
    trace->path = outer->path;
    trace->builder->loc = outer->loc;
}

static const kt_metric_class *class_of(const kt_metric *metric) {
    return (const kt_metric_class *)metric->object.class;
}

void kt_metric_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    if (metric->variables.count) return;
    frame outer = enter(metric, trace, "build");
    class_of(metric)->build(metric, trace, target, output);
    leave(trace, &outer);
}

void kt_metric_update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                      kt_value sample_weight, kt_value mask) {
    frame outer = enter(metric, trace, "update");
    class_of(metric)->update(metric, trace, target, output, sample_weight, mask);
    leave(trace, &outer);
}

kt_value kt_metric_result(kt_metric *metric, kt_trace *trace) {
    if (trace->builder->status != KT_OK) return 0;
    frame outer = enter(metric, trace, "result");
    kt_value result = class_of(metric)->result(metric, trace);
    leave(trace, &outer);
    return kt_build_cast(trace->builder, result, KT_F32);
}
