/* Means and sums of values over the samples of an epoch, as Keras takes them: what a sample has is averaged
 * (or summed) before it is weighted with others. */
#include "frontend/metrics/metrics_impl.h"

/* ---- shapes and weights ---------------------------------------------------------------------- */
static bool ends_in_one(const kt_builder *b, const kt_type *type) {
    return type->rank && kt_dim_equals(b->graph->dims, type->dims[type->rank - 1], 1);
}

/* The longer one's last axis is dropped, or added to the other. */
static void align(kt_builder *b, kt_value *longer, kt_value *other, bool expand_vectors) {
    kt_type type = *kt_build_type(b, *longer);
    int rank = kt_build_type(b, *other)->rank;
    if (!ends_in_one(b, &type)) return;
    if (rank == 1 && expand_vectors) {
        *other = kt_add_axis(b, *other, 1);
    } else {
        *longer = kt_drop_axis(b, *longer, type.rank - 1);
    }
}

void kt_same_rank(kt_builder *b, kt_value *x, kt_value *y, bool expand_vectors) {
    int distance = kt_build_type(b, *x)->rank - kt_build_type(b, *y)->rank;
    if (distance == 1) align(b, x, y, expand_vectors);
    if (distance == -1) align(b, y, x, expand_vectors);
}

static kt_value reduce(kt_builder *b, kt_value x, int first, int end, bool mean) {
    kt_ints axes = {0};
    for (int axis = first; axis < end; axis++) axes.at[axes.count++] = axis;
    if (axes.count == 0) return x;
    return mean ? kt_mean(b, x, &axes) : kt_build_reduce(b, x, KT_REDUCE_SUM, axes.count, axes.at);
}

kt_value kt_sum_all(kt_builder *b, kt_value x) { return reduce(b, x, 0, kt_build_type(b, x)->rank, false); }

/* x with axes of size 1 behind it, so that it has a rank. */
static kt_value add_axes(kt_builder *b, kt_value x, int rank) {
    while (b->status == KT_OK && kt_build_type(b, x)->rank < rank)
        x = kt_add_axis(b, x, kt_build_type(b, x)->rank);
    return x;
}

kt_value kt_spread_weight(kt_builder *b, kt_value sample_weight, kt_value x) {
    const kt_type type = *kt_build_type(b, x);
    sample_weight = add_axes(b, sample_weight, type.rank);
    return kt_build_broadcast_to(b, sample_weight, type.rank, type.dims);
}

kt_value kt_weight_mask(kt_builder *b, kt_value sample_weight, kt_value mask, kt_dtype dtype) {
    if (sample_weight) sample_weight = kt_build_cast(b, sample_weight, dtype);
    if (!mask) return sample_weight;
    mask = kt_build_cast(b, mask, dtype);
    if (!sample_weight) return mask;
    kt_same_rank(b, &mask, &sample_weight, true);
    mask = add_axes(b, mask, kt_build_type(b, sample_weight)->rank);
    /* A number for each sample counts for all that the mask has of it. */
    sample_weight = add_axes(b, sample_weight, kt_build_type(b, mask)->rank);
    kt_build_broadcast_pair(b, &mask, &sample_weight);
    return kt_build_mul(b, sample_weight, mask);
}

/* One number a sample, weighted; and the samples' weights, where there are any. */
static kt_value reduce_to_samples(kt_builder *b, kt_value values, kt_value *sample_weight, bool mean) {
    if (*sample_weight) {
        kt_same_rank(b, &values, sample_weight, true);
        int rank = kt_build_type(b, values)->rank, weights = kt_build_type(b, *sample_weight)->rank;
        if (rank > weights) values = reduce(b, values, weights, rank, mean);
        kt_type type = *kt_build_type(b, values);
        *sample_weight = kt_build_broadcast_to(b, *sample_weight, type.rank, type.dims);
        values = kt_build_mul(b, values, *sample_weight);
        *sample_weight = reduce(b, *sample_weight, 1, type.rank, mean);
    }
    return reduce(b, values, 1, kt_build_type(b, values)->rank, mean);
}

/* ---- means ----------------------------------------------------------------------------------- */
enum { TOTAL, COUNT };

void kt_mean_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    (void)target, (void)output;
    kt_type scalar = kt_type_scalar(metric->compute_dtype);
    kt_metric_add_variable(metric, trace, "total", &scalar, NULL);
    kt_metric_add_variable(metric, trace, "count", &scalar, NULL);
}

void kt_mean_add(kt_metric *mean, kt_trace *trace, kt_value values, kt_value weight) {
    kt_builder *b = trace->builder;
    kt_dtype dtype = mean->compute_dtype;
    values = kt_build_cast(b, values, dtype);
    if (weight) weight = kt_build_cast(b, weight, dtype);
    values = reduce_to_samples(b, values, &weight, true);
    kt_type type = *kt_build_type(b, values);
    kt_value count = weight
                         ? kt_sum_all(b, weight)
                         : (type.rank ? kt_dim_scalar(b, type.dims[0], dtype) : kt_build_scalar(b, dtype, 1));
    kt_metric_assign_add(mean, trace, TOTAL, kt_sum_all(b, values));
    kt_metric_assign_add(mean, trace, COUNT, count);
}

void kt_mean_update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                    kt_value sample_weight, kt_value mask) {
    const kt_metric_class *class = (const kt_metric_class *)metric->object.class;
    kt_value values = class->values(metric, trace, target, output);
    if (!values) return;
    kt_mean_add(metric, trace, values,
                kt_weight_mask(trace->builder, sample_weight, mask, metric->compute_dtype));
}

kt_value kt_mean_result(kt_metric *metric, kt_trace *trace) {
    return kt_divide_no_nan(trace->builder, kt_metric_variable(metric, trace, TOTAL),
                            kt_metric_variable(metric, trace, COUNT));
}

static kt_value take_output(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output) {
    (void)metric, (void)trace, (void)target;
    return output;
}

static const kt_option mean_options[] = {KT_METRIC_OPTIONS("\"mean\""), KT_OPTIONS_END};
KT_MEAN_METRIC(mean, "Mean", "mean", "the mean of the output", kt_metric, mean_options, take_output)

kt_metric *kt_metric_mean_create(kt_layer_context *context, const char *name) {
    return kt_metric_create(context, "Mean", kt_arena_string(context->arena, name), name);
}

void kt_metric_mean_add(kt_metric *mean, kt_trace *trace, kt_value value, kt_value weight) {
    kt_metric_build(mean, trace, NULL, NULL);
    kt_mean_add(mean, trace, value, weight);
}

/* ---- sums ------------------------------------------------------------------------------------ */
static void build_sum(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    (void)target, (void)output;
    kt_type scalar = kt_type_scalar(metric->compute_dtype);
    kt_metric_add_variable(metric, trace, "total", &scalar, NULL);
}

static void update_sum(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                       kt_value sample_weight, kt_value mask) {
    (void)target;
    kt_builder *b = trace->builder;
    kt_value values = kt_build_cast(b, output, metric->compute_dtype);
    sample_weight = kt_weight_mask(b, sample_weight, mask, metric->compute_dtype);
    kt_metric_assign_add(metric, trace, TOTAL,
                         kt_sum_all(b, reduce_to_samples(b, values, &sample_weight, false)));
}

static kt_value result_sum(kt_metric *metric, kt_trace *trace) {
    return kt_metric_variable(metric, trace, TOTAL);
}

static const kt_option sum_options[] = {KT_METRIC_OPTIONS("\"sum\""), KT_OPTIONS_END};
const kt_metric_class kt_metric_sum = {
    .object = {.name = "Sum",
               .aliases = "sum",
               .doc = "the sum of the output",
               .bytes = sizeof(kt_metric),
               .options = sum_options},
    .build = build_sum,
    .update = update_sum,
    .result = result_sum,
};
