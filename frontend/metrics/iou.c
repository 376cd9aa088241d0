/* Intersections over unions, from a matrix that counts predicted by true classes. */
#include "frontend/metrics/metrics_impl.h"

#include <string.h>

enum { CLASS_LIMIT = 1 << 15 };

typedef struct iou {
    kt_metric metric;
    int64_t num_classes, ignore_class, axis;
    bool sparse_y_true, sparse_y_pred; /* numbers of classes; else a number for each class along axis */
    double threshold;                  /* BinaryIoU */
    const json_t *target_class_ids;
    int32_t *ids; /* the classes whose mean is taken */
    int64_t id_count;
} iou;

static bool has(const kt_object *object, const char *option) {
    return kt_option_find(object->class->options, option) != NULL;
}

static kt_status read_ids(iou *self, kt_layer_context *context) {
    const json_t *list = self->target_class_ids;
    const json_t *items = json_object_get(list, "items"); /* a tuple, as Keras serialises it */
    if (items) list = items;
    bool all = !has(&self->metric.object, "target_class_ids");
    int64_t count = all ? self->num_classes : (int64_t)json_array_size(list);
    self->ids = KT_NEW_ARRAY(context->arena, int32_t, count ? count : 1);
    self->id_count = count;
    bool good = count > 0;
    for (int64_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        int64_t id = all ? i : json_integer_value(item);
        if (id < 0) id += self->num_classes;
        good = good && (all || json_is_integer(item)) && id >= 0 && id < self->num_classes;
        self->ids[i] = (int32_t)id;
    }
    if (good) return KT_OK;
    return kt_object_reject(&self->metric.object, context, KT_INVALID, "target_class_ids",
                            "must be a list of numbers of classes, below %lld.",
                            (long long)self->num_classes);
}

static kt_status check(kt_object *object, kt_layer_context *context) {
    iou *self = (iou *)object;
    if (!has(object, "num_classes")) { /* BinaryIoU */
        self->num_classes = 2;
        self->ignore_class = KT_NONE_INT;
        self->sparse_y_true = self->sparse_y_pred = true;
    }
    if (self->num_classes < 1 || self->num_classes > CLASS_LIMIT)
        return kt_object_reject(object, context, KT_INVALID, "num_classes", "must be from 1 to %d.",
                                CLASS_LIMIT);
    return read_ids(self, context);
}

static void build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    const iou *self = (const iou *)metric;
    const int64_t shape[] = {self->num_classes, self->num_classes};
    (void)target, (void)output;
    if (!metric->dtype) metric->compute_dtype = KT_I32;
    kt_type type = kt_type_of(trace->builder->graph->dims, metric->compute_dtype, 2, shape);
    kt_metric_add_variable(metric, trace, "total_confusion_matrix", &type, NULL);
}

/* The number of the largest along the axis of classes. 0 and a problem where there is no such axis. */
static kt_value find_largest(const iou *self, kt_trace *trace, kt_value x) {
    kt_builder *b = trace->builder;
    int rank = kt_build_type(b, x)->rank;
    int64_t axis = self->axis < 0 ? self->axis + rank : self->axis;
    if (axis >= 0 && axis < rank) return kt_build_arg_reduce(b, x, KT_REDUCE_MAXIMUM, (int)axis, KT_I32);
    kt_trace_fail(trace, KT_INVALID, "there is no axis %lld of classes.", (long long)self->axis);
    return 0;
}

/* Is x, numbers of classes, from 0 to the last? */
static kt_value is_inside(kt_builder *b, kt_value x, int64_t classes) {
    return kt_build_and(b, kt_build_ge(b, x, kt_build_like(b, x, 0)),
                        kt_build_lt(b, x, kt_build_like(b, x, (double)classes)));
}

static void update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    const iou *self = (const iou *)metric;
    kt_builder *b = trace->builder;
    (void)mask; /* Keras has none here */
    kt_dtype dtype = metric->compute_dtype;
    if (!has(&metric->object, "num_classes")) {
        output = kt_build_cast(b, output, KT_F32);
        output = kt_build_ge(b, output, kt_build_like(b, output, self->threshold));
    }
    if (!self->sparse_y_true) target = find_largest(self, trace, target);
    if (target && !self->sparse_y_pred) output = find_largest(self, trace, output);
    if (!target || !output) return;
    /* Numbers as the metric's dtype has them. */
    target = kt_build_cast(b, kt_build_cast(b, target, dtype), KT_I32);
    output = kt_build_cast(b, kt_build_cast(b, output, dtype), KT_I32);
    kt_value weight = kt_build_cast(b, kt_build_like(b, target, 1), dtype);
    if (sample_weight) weight = kt_spread_weight(b, kt_build_cast(b, sample_weight, dtype), target);
    target = kt_flatten(b, target);
    output = kt_flatten(b, output);
    kt_value counts =
        kt_build_and(b, is_inside(b, target, self->num_classes), is_inside(b, output, self->num_classes));
    if (self->ignore_class != KT_NONE_INT) {
        kt_value ignored = kt_build_like(b, target, (double)self->ignore_class);
        counts = kt_build_and(b, counts, kt_build_ne(b, target, ignored));
    }
    kt_value classes = kt_build_like(b, target, (double)self->num_classes);
    kt_value cell = kt_build_add(b, kt_build_mul(b, target, classes), output);
    cell = kt_build_select(b, counts, cell, kt_build_like(b, cell, -1)); /* which is dropped */
    kt_value total = kt_metric_variable(metric, trace, 0);
    kt_type type = *kt_build_type(b, total);
    kt_attrs_scatter scatter = {.kind = KT_REDUCE_SUM};
    total = kt_build_scatter(b, kt_flatten(b, total), cell, kt_flatten(b, weight), &scatter);
    kt_metric_assign(metric, trace, 0, kt_build_reshape(b, total, 2, type.dims));
}

static kt_value result(kt_metric *metric, kt_trace *trace) {
    static const double epsilon = 1e-7;
    const iou *self = (const iou *)metric;
    kt_builder *b = trace->builder;
    kt_value matrix = kt_metric_variable(metric, trace, 0);
    kt_value both = kt_diagonal(b, matrix, 0, 0, 1);
    kt_value either = kt_build_add(b, kt_reduce_axis(b, matrix, KT_REDUCE_SUM, 0),
                                   kt_reduce_axis(b, matrix, KT_REDUCE_SUM, 1));
    either = kt_build_sub(b, either, both);
    kt_type type = kt_type_of(b->graph->dims, KT_I32, 1, &self->id_count);
    kt_value ids = kt_build_constant(b, &type, self->ids);
    both = kt_build_cast(b, kt_build_gather(b, both, ids, 0, 0), KT_F32);
    either = kt_build_cast(b, kt_build_gather(b, either, ids, 0, 0), KT_F32);
    kt_value there = kt_build_gt(b, either, kt_build_like(b, either, 1e-9));
    kt_value share = kt_build_div(b, both, kt_add_number(b, either, epsilon));
    share = kt_build_select(b, there, share, kt_build_like(b, share, 0));
    kt_value count = kt_sum_all(b, kt_build_cast(b, there, KT_F32));
    return kt_build_div(b, kt_sum_all(b, share), kt_add_number(b, count, epsilon));
}

#define NUM_CLASSES   KT_FIELD(iou, num_classes, INT, NULL)
#define CLASS_IDS     KT_FIELD(iou, target_class_ids, JSON, NULL)
#define IGNORED       KT_FIELD(iou, ignore_class, OPTIONAL_INT, "null"), KT_FIELD(iou, axis, INT, "-1")
#define SPARSE_LABELS KT_FIELD(iou, sparse_y_true, BOOL, "true"), KT_FIELD(iou, sparse_y_pred, BOOL, "true")
#define ONE_HOT       KT_FIELD(iou, sparse_y_pred, BOOL, "false")
// clang-format off
static const kt_option iou_options[] = {
    KT_METRIC_OPTIONS("null"), NUM_CLASSES, CLASS_IDS, IGNORED, SPARSE_LABELS, KT_OPTIONS_END};
static const kt_option mean_options[] = {
    KT_METRIC_OPTIONS("null"), NUM_CLASSES, IGNORED, SPARSE_LABELS, KT_OPTIONS_END};
static const kt_option one_hot_options[] = {
    KT_METRIC_OPTIONS("null"), NUM_CLASSES, CLASS_IDS, IGNORED, ONE_HOT, KT_OPTIONS_END};
static const kt_option one_hot_mean_options[] = {
    KT_METRIC_OPTIONS("null"), NUM_CLASSES, IGNORED, ONE_HOT, KT_OPTIONS_END};
static const kt_option binary_options[] = {
    KT_METRIC_OPTIONS("null"), KT_FIELD(iou, target_class_ids, JSON, "[0, 1]"),
    KT_FIELD(iou, threshold, FLOAT, "0.5"), KT_OPTIONS_END};
// clang-format on

#define IOU(c_name, keras_name, other_name, documentation, table)                                            \
    const kt_metric_class kt_metric_##c_name = {.object = {.name = (keras_name),                             \
                                                           .aliases = (other_name),                          \
                                                           .doc = (documentation),                           \
                                                           .bytes = sizeof(iou),                             \
                                                           .options = (table),                               \
                                                           .check = check},                                  \
                                                .build = build,                                              \
                                                .update = update,                                            \
                                                .result = result};
IOU(iou, "IoU", "io_u", "the mean intersection over union of some classes", iou_options)
IOU(mean_iou, "MeanIoU", "mean_io_u", "the mean intersection over union of all classes", mean_options)
IOU(one_hot_iou, "OneHotIoU", "one_hot_io_u", "of some classes, labels having a number for each",
    one_hot_options)
IOU(one_hot_mean_iou, "OneHotMeanIoU", "one_hot_mean_io_u", "of all classes, labels having a number for each",
    one_hot_mean_options)
IOU(binary_iou, "BinaryIoU", "binary_io_u", "of what is below a threshold and of what is not", binary_options)
