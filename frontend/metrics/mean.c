/* Means: the sum of weighted values and of weights, and their quotient. */
#include "frontend/metrics/metrics_impl.h"

#include "frontend/layers/layers_impl.h"

typedef struct plain {
    kt_metric metric;
} plain;

enum { TOTAL, COUNT };

void kt_metric_mean_build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    const kt_type scalar = {.dtype = KT_F32};
    (void)target;
    (void)output;
    (void)kt_metric_add_variable(metric, trace, "total", &scalar, NULL);
    (void)kt_metric_add_variable(metric, trace, "count", &scalar, NULL);
}

static kt_value sum_all(kt_builder *b, kt_value x) {
    int64_t axes[KT_MAX_RANK];
    int rank = kt_build_type(b, x)->rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return rank ? kt_build_reduce(b, x, KT_REDUCE_SUM, (uint32_t)rank, axes) : x;
}

static void add(kt_metric *metric, kt_trace *trace, uint32_t which, kt_value value) {
    uint32_t variable = metric->variables.at[which];
    kt_trace_assign_variable(trace, variable,
                             kt_build_add(trace->builder, kt_trace_variable(trace, variable), value));
}

/* weights with ones behind, over the shape of values. */
static kt_value spread_weights(kt_builder *b, kt_value weights, kt_value values) {
    const kt_type type = *kt_build_type(b, values);
    kt_type from = *kt_build_type(b, weights);
    const kt_dim one = kt_dim_const(b->graph->dims, 1);
    if (from.rank == type.rank) return weights;
    while (from.rank > type.rank && from.dims[from.rank - 1] == one) from.rank--;
    while (from.rank < type.rank) from.dims[from.rank++] = one;
    weights = kt_build_reshape(b, weights, from.rank, from.dims);
    return kt_build_broadcast_to(b, weights, type.rank, type.dims);
}

void kt_metric_mean_update(kt_metric *metric, kt_trace *trace, kt_value values, kt_value sample_weight,
                           kt_value mask) {
    kt_builder *b = trace->builder;
    values = kt_build_cast(b, values, KT_F32);
    kt_value weights = sample_weight ? spread_weights(b, kt_build_cast(b, sample_weight, KT_F32), values) : 0;
    if (mask) {
        mask = spread_weights(b, kt_build_cast(b, mask, KT_F32), values);
        weights = weights ? kt_build_mul(b, weights, mask) : mask;
    }
    if (!weights) weights = kt_build_like(b, values, 1);
    add(metric, trace, TOTAL, sum_all(b, kt_build_mul(b, values, weights)));
    add(metric, trace, COUNT, sum_all(b, weights));
}

kt_value kt_metric_mean_result(kt_metric *metric, kt_trace *trace) {
    kt_builder *b = trace->builder;
    kt_value total = kt_trace_variable(trace, metric->variables.at[TOTAL]);
    kt_value count = kt_trace_variable(trace, metric->variables.at[COUNT]);
    kt_value zero = kt_build_scalar(b, KT_F32, 0), one = kt_build_scalar(b, KT_F32, 1);
    kt_value none = kt_build_eq(b, count, zero);
    return kt_build_select(b, none, zero, kt_build_div(b, total, kt_build_select(b, none, one, count)));
}

/* The mean of outputs, as Keras's Mean takes them where it stands among metrics. */
static void update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    (void)target;
    kt_metric_mean_update(metric, trace, output, sample_weight, mask);
}

static const kt_option options[] = {KT_METRIC_OPTIONS(plain, "mean"), KT_OPTIONS_END};
const kt_metric_class kt_metric_mean = {
    {.name = "Mean", .doc = "the mean of values", .bytes = sizeof(plain), .options = options},
    .build = kt_metric_mean_build,
    .update = update,
    .result = kt_metric_mean_result};

kt_metric *kt_metric_mean_create(kt_layer_context *context, const char *name) {
    plain *mean = kt_arena_alloc(context->arena, sizeof *mean);
    mean->metric.object.class = &kt_metric_mean.object;
    mean->metric.object.path = name;
    mean->metric.name = name;
    return &mean->metric;
}

void kt_metric_mean_add(kt_metric *mean, kt_trace *trace, kt_value value, kt_value weight) {
    kt_metric_build(mean, trace, NULL, NULL);
    kt_metric_mean_update(mean, trace, value, weight, 0);
}
