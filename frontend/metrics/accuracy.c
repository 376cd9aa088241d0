/* Accuracies: how many outputs are what the labels say. */
#include "frontend/metrics/metrics_impl.h"

static kt_value equals(kt_builder *b, kt_value x, kt_value y) {
    kt_same_rank(b, &x, &y, true);
    kt_build_broadcast_pair(b, &x, &y);
    return kt_build_cast(b, kt_build_eq(b, x, y), KT_F32);
}

/* Position of the largest along the last axis, in output's dtype, which Keras compares in. */
static kt_value find_largest(kt_builder *b, kt_value x, kt_dtype dtype) {
    int last = kt_build_type(b, x)->rank - 1;
    return kt_build_cast(b, kt_build_arg_reduce(b, x, KT_REDUCE_MAXIMUM, last, KT_I32), dtype);
}

/* Has output classes, and do labels go with them whose rank is that of output without `less` axes? */
static bool has_classes(kt_trace *trace, kt_value target, kt_value output, int less) {
    int rank = kt_build_type(trace->builder, output)->rank;
    if (rank && kt_build_type(trace->builder, target)->rank == rank - less) return true;
    kt_trace_fail(trace, KT_INVALID,
                  "its labels must have %s an output that has classes along its last axis.",
                  less ? "an axis less than" : "as many axes as");
    return false;
}

/* ---- equality -------------------------------------------------------------------------------- */
static kt_value accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    (void)metric;
    kt_builder *b = trace->builder;
    return equals(b, kt_build_cast(b, target, kt_build_type(b, output)->dtype), output);
}

static const kt_option accuracy_options[] = {KT_METRIC_OPTIONS("\"accuracy\""), KT_OPTIONS_END};
KT_MEAN_METRIC(accuracy, "Accuracy", NULL, "how often output equals the label", kt_metric, accuracy_options,
               accuracy)

typedef struct binary {
    kt_metric metric;
    double threshold;
} binary;

static kt_value binary_accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    output = kt_build_cast(b, output, kt_dtype_promote(kt_build_type(b, output)->dtype, KT_F32));
    kt_dtype dtype = kt_build_type(b, output)->dtype;
    kt_value threshold = kt_build_like(b, output, ((const binary *)metric)->threshold);
    kt_value decision = kt_build_cast(b, kt_build_gt(b, output, threshold), dtype);
    return equals(b, kt_build_cast(b, target, dtype), decision);
}

static const kt_option binary_options[] = {KT_METRIC_OPTIONS("\"binary_accuracy\""),
                                           KT_FIELD(binary, threshold, FLOAT, "0.5"), KT_OPTIONS_END};
KT_MEAN_METRIC(binary_accuracy, "BinaryAccuracy", "binary_accuracy",
               "how often output is on the label's side of a threshold", binary, binary_options,
               binary_accuracy)

/* ---- the most likely class ------------------------------------------------------------------- */
static kt_value categorical_accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    (void)metric;
    kt_builder *b = trace->builder;
    if (!has_classes(trace, target, output, 0)) return 0;
    kt_dtype dtype = kt_build_type(b, output)->dtype;
    return equals(b, find_largest(b, target, dtype), find_largest(b, output, dtype));
}

static const kt_option categorical_options[] = {KT_METRIC_OPTIONS("\"categorical_accuracy\""),
                                                KT_OPTIONS_END};
KT_MEAN_METRIC(categorical_accuracy, "CategoricalAccuracy", "categorical_accuracy",
               "how often the most likely class is the label's", kt_metric, categorical_options,
               categorical_accuracy)

/* Labels that are numbers of classes, without an axis of size 1 behind output's others. */
static kt_value take_numbers(kt_builder *b, kt_value target, kt_value output) {
    kt_type type = *kt_build_type(b, target);
    bool one = type.rank && kt_dim_equals(b->graph->dims, type.dims[type.rank - 1], 1);
    return one && type.rank == kt_build_type(b, output)->rank ? kt_drop_axis(b, target, type.rank - 1)
                                                              : target;
}

static kt_value sparse_accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    (void)metric;
    kt_builder *b = trace->builder;
    target = take_numbers(b, target, output);
    if (!has_classes(trace, target, output, 1)) return 0;
    kt_dtype dtype = kt_build_type(b, output)->dtype;
    return equals(b, kt_build_cast(b, target, dtype), find_largest(b, output, dtype));
}

static const kt_option sparse_options[] = {KT_METRIC_OPTIONS("\"sparse_categorical_accuracy\""),
                                           KT_OPTIONS_END};
KT_MEAN_METRIC(sparse_categorical_accuracy, "SparseCategoricalAccuracy", "sparse_categorical_accuracy",
               "how often the most likely class has the label's number", kt_metric, sparse_options,
               sparse_accuracy)

/* ---- the k most likely classes --------------------------------------------------------------- */
typedef struct top_k {
    kt_metric metric;
    int64_t k;
    bool from_sorted_ids;
} top_k;

static kt_value is_in_top_k(kt_builder *b, kt_value target, kt_value output, int64_t k) {
    return kt_build_cast(b, kt_in_top_k(b, target, output, k), KT_F32);
}

static kt_value top_k_accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    if (!has_classes(trace, target, output, 0)) return 0;
    return is_in_top_k(b, find_largest(b, target, KT_I32), output, ((const top_k *)metric)->k);
}

/* output: numbers of classes, the most likely first. */
static kt_value is_in_sorted(kt_builder *b, kt_value target, kt_value output, int64_t k) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, output);
    int last = type.rank - 1;
    kt_dim end = kt_dim_min(dims, type.dims[last], kt_dim_const(dims, k));
    output = kt_slice_axis(b, output, last, kt_dim_const(dims, 0), end);
    kt_ints axes = {1, {last}};
    kt_value own = kt_spread(b, kt_build_cast(b, target, type.dtype), output, &axes);
    kt_value hit = kt_build_cast(b, kt_build_eq(b, own, output), KT_F32);
    return kt_reduce_axis(b, hit, KT_REDUCE_MAXIMUM, last);
}

static kt_value sparse_top_k_accuracy(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    const top_k *self = (const top_k *)metric;
    kt_builder *b = trace->builder;
    target = take_numbers(b, target, output);
    if (!has_classes(trace, target, output, 1)) return 0;
    if (self->from_sorted_ids) return is_in_sorted(b, target, output, self->k);
    return is_in_top_k(b, kt_build_cast(b, target, KT_I32), output, self->k);
}

static const kt_option top_k_options[] = {KT_METRIC_OPTIONS("\"top_k_categorical_accuracy\""),
                                          KT_FIELD(top_k, k, INT, "5"), KT_OPTIONS_END};
static const kt_option sparse_top_k_options[] = {
    KT_METRIC_OPTIONS("\"sparse_top_k_categorical_accuracy\""), KT_FIELD(top_k, k, INT, "5"),
    KT_FIELD(top_k, from_sorted_ids, BOOL, "false"), KT_OPTIONS_END};
// clang-format off
KT_MEAN_METRIC(top_k_categorical_accuracy, "TopKCategoricalAccuracy", "top_k_categorical_accuracy",
               "how often the label's class is one of the k most likely", top_k, top_k_options, top_k_accuracy)
KT_MEAN_METRIC(sparse_top_k_categorical_accuracy, "SparseTopKCategoricalAccuracy",
               "sparse_top_k_categorical_accuracy", "how often the label is one of the k most likely classes", top_k,
               sparse_top_k_options, sparse_top_k_accuracy)
// clang-format on
