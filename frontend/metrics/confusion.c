/* Counting true and false positives and negatives at thresholds, and what is made of the counts at each of
 * them.
 *
 * Where thresholds are even, an output falls into one bin, ceil(output * (n - 1)) - 1, and is positive at all
 * thresholds up to it: bins are summed, then bins from the last on. Elsewhere each output is compared with
 * each threshold. */
#include "frontend/metrics/confusion_impl.h"

/* ---- what is counted ------------------------------------------------------------------------- */
/* Labels, outputs and weights of one shape: [n], or [batch, labels] where they are counted by label. */
typedef struct samples {
    kt_value is_true; /* bool */
    kt_value output;
    kt_value weight; /* 0: 1 each */
} samples;

/* Which elements are among the k largest along the last axis; of equals the first. */
static kt_value find_top_k(kt_builder *b, kt_value x, int64_t k) {
    kt_type type = *kt_build_type(b, x), pairs = type;
    int last = type.rank - 1;
    if (type.rank == KT_MAX_RANK)
        return kt_build_fail(b, KT_UNSUPPORTED, "its output has more than %d axes.", KT_MAX_RANK - 1);
    pairs.dims[pairs.rank++] = type.dims[last];
    kt_ints behind = {1, {last + 1}}, before = {1, {last}};
    kt_type places = pairs;
    places.dtype = KT_I32;
    kt_value pair = kt_build_fill(b, &pairs, 0);
    kt_value own = kt_spread(b, x, pair, &behind), other = kt_spread(b, x, pair, &before);
    kt_value earlier = kt_build_lt(b, kt_build_iota(b, &places, last + 1), kt_build_iota(b, &places, last));
    kt_value above =
        kt_build_or(b, kt_build_gt(b, other, own), kt_build_and(b, kt_build_eq(b, other, own), earlier));
    kt_value rank = kt_reduce_axis(b, kt_build_cast(b, above, KT_I32), KT_REDUCE_SUM, last + 1);
    return kt_build_lt(b, rank, kt_build_like(b, rank, (double)k));
}

/* Of x only one class of its last axis. */
static kt_value take_class(kt_trace *trace, kt_value x, int64_t class_id) {
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    int64_t classes;
    bool known = type.rank > 1 && kt_dim_is_const(dims, type.dims[type.rank - 1], &classes);
    if (known && class_id < 0) class_id += classes;
    if (!known || class_id < 0 || class_id >= classes) {
        kt_trace_fail(trace, KT_INVALID, "there is no class %lld along the last axis of its output.",
                      (long long)class_id);
        return 0;
    }
    return kt_slice_axis(b, x, type.rank - 1, kt_dim_const(dims, class_id), kt_dim_const(dims, class_id + 1));
}

static bool take_samples(kt_trace *trace, const kt_confusion *c, kt_value target, kt_value output,
                         kt_value sample_weight, samples *out_samples) {
    kt_builder *b = trace->builder;
    target = kt_build_cast(b, target, KT_F32);
    output = kt_build_cast(b, output, KT_F32);
    kt_same_rank(b, &output, &target, true);
    if (c->top_k != KT_NONE_INT) {
        kt_value nothing = kt_build_like(b, output, -1e10);
        output = kt_build_select(b, find_top_k(b, output, c->top_k), output, nothing);
    }
    if (c->class_id != KT_NONE_INT) {
        target = take_class(trace, target, c->class_id);
        output = target ? take_class(trace, output, c->class_id) : 0;
        if (!output) return false;
    }
    kt_type type = *kt_build_type(b, output);
    if (c->by_label && type.rank != 2) {
        kt_trace_fail(trace, KT_INVALID, "its output must be [batch, labels] where multi_label is true.");
        return false;
    }
    kt_value weight =
        sample_weight ? kt_spread_weight(b, kt_build_cast(b, sample_weight, KT_F32), output) : 0;
    if (c->label_weights) {
        const kt_layer_call call = {.trace = trace};
        kt_value numbers = kt_numbers_constant(&call, c->label_weights, KT_F32);
        kt_value by_label = kt_along_axis(b, numbers, output, type.rank - 1);
        weight = weight ? kt_build_mul(b, weight, by_label) : by_label;
    }
    kt_value is_true = kt_build_ne(b, target, kt_build_like(b, target, 0));
    *out_samples = (samples){is_true, output, weight};
    if (c->by_label) return true;
    out_samples->is_true = kt_flatten(b, is_true);
    out_samples->output = kt_flatten(b, output);
    if (weight) out_samples->weight = kt_flatten(b, weight);
    return true;
}

static kt_value weight_of(kt_builder *b, const samples *s, kt_value which) {
    kt_value zero = kt_build_like(b, s->output, 0);
    return kt_build_select(b, which, s->weight ? s->weight : kt_build_like(b, s->output, 1), zero);
}

/* ---- counting -------------------------------------------------------------------------------- */
/* By even thresholds: those that are positive, of samples that are true or false. */
static kt_value sum_bins(kt_builder *b, const kt_confusion *c, const samples *s, kt_value which) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, s->output);
    kt_dim labels = c->by_label ? type.dims[1] : kt_dim_const(dims, 1);
    kt_value low = kt_build_like(b, s->output, 0), high = kt_build_like(b, s->output, 1);
    kt_value place = kt_build_minimum(b, kt_build_maximum(b, s->output, low), high);
    place = kt_build_mul(b, place, kt_build_like(b, place, (double)c->thresholds.count - 1));
    place = kt_build_sub(b, kt_build_ceil(b, place), high);
    if (c->thresholds.outside) place = kt_build_maximum(b, place, low);
    kt_value bin = kt_build_cast(b, place, KT_I64);
    if (c->by_label) {
        kt_type places = type;
        places.dtype = KT_I64;
        kt_value row = kt_build_broadcast_to(b, kt_dim_scalar(b, labels, KT_I64), type.rank, type.dims);
        kt_value label = kt_build_iota(b, &places, 1);
        kt_value outside = kt_build_lt(b, bin, kt_build_like(b, bin, 0));
        label = kt_build_add(b, kt_build_mul(b, bin, row), label);
        bin = kt_build_select(b, outside, kt_build_like(b, bin, -1), label);
    }
    kt_type bins = {.dtype = KT_F32, .rank = 2, .dims = {kt_dim_const(dims, c->thresholds.count), labels}};
    kt_type flat = {.dtype = KT_F32, .rank = 1, .dims = {kt_type_elements(dims, &bins)}};
    kt_attrs_scatter scatter = {.kind = KT_REDUCE_SUM};
    kt_value sums = kt_build_scatter(b, kt_build_fill(b, &flat, 0), kt_flatten(b, bin),
                                     kt_flatten(b, weight_of(b, s, which)), &scatter);
    kt_attrs_cumulative from = {.kind = KT_REDUCE_SUM, .reverse = 1};
    return kt_build_cumulative(b, c->by_label ? kt_build_reshape(b, sums, 2, bins.dims) : sums, &from);
}

/* By any thresholds: those that are positive, or not, of samples that are true or false. */
static kt_value sum_compared(kt_trace *trace, const kt_confusion *c, const samples *s, kt_value which,
                             bool positive) {
    kt_builder *b = trace->builder;
    kt_type type = *kt_build_type(b, s->output), all = {.dtype = KT_F32, .rank = (uint8_t)(type.rank + 1)};
    all.dims[0] = kt_dim_const(b->graph->dims, c->thresholds.count);
    for (int i = 0; i < type.rank; i++) all.dims[i + 1] = type.dims[i];
    kt_value place = kt_build_fill(b, &all, 0);
    kt_ints first = {1, {0}};
    kt_value threshold =
        kt_along_axis(b, kt_vector_constant(trace, c->thresholds.count, c->thresholds.at), place, 0);
    kt_value above = kt_build_gt(b, kt_spread(b, s->output, place, &first), threshold);
    if (!positive) above = kt_build_not(b, above);
    kt_value weight = kt_spread(b, weight_of(b, s, which), place, &first);
    kt_value counted = kt_build_select(b, above, weight, place);
    return kt_reduce_axis(b, counted, KT_REDUCE_SUM, 1);
}

static kt_value count(kt_trace *trace, const kt_confusion *c, const samples *s, kt_condition condition) {
    kt_builder *b = trace->builder;
    bool is_true = condition == KT_TRUE_POSITIVES || condition == KT_FALSE_NEGATIVES;
    bool positive = condition == KT_TRUE_POSITIVES || condition == KT_FALSE_POSITIVES;
    kt_value which = is_true ? s->is_true : kt_build_not(b, s->is_true);
    if (!c->thresholds.even) return sum_compared(trace, c, s, which, positive);
    kt_value sums = sum_bins(b, c, s, which);
    if (positive) return sums;
    kt_type type = *kt_build_type(b, sums);
    kt_value total = kt_reduce_axis(b, weight_of(b, s, which), KT_REDUCE_SUM, 0);
    return kt_build_sub(b, kt_build_broadcast_to(b, total, type.rank, type.dims), sums);
}

kt_status kt_confusion_check(const kt_object *object, kt_layer_context *context,
                             const kt_confusion *confusion) {
    if (confusion->top_k != KT_NONE_INT && confusion->top_k < 1)
        return kt_object_reject(object, context, KT_INVALID, "top_k", "must be at least 1.");
    return KT_OK;
}

void kt_confusion_build(kt_metric *metric, kt_trace *trace, const kt_confusion *confusion, int64_t labels) {
    static const char *const names[] = {"true_positives", "false_positives", "true_negatives",
                                        "false_negatives"};
    const int64_t shape[] = {confusion->thresholds.count, labels};
    kt_type type = kt_type_of(trace->builder->graph->dims, KT_F32, labels ? 2 : 1, shape);
    for (int i = 0; i < KT_CONDITIONS; i++)
        if (confusion->conditions & 1U << i) kt_metric_add_variable(metric, trace, names[i], &type, NULL);
}

void kt_confusion_update(kt_metric *metric, kt_trace *trace, const kt_confusion *confusion, kt_value target,
                         kt_value output, kt_value sample_weight) {
    samples s;
    if (!take_samples(trace, confusion, target, output, sample_weight, &s)) return;
    uint32_t variable = 0;
    for (kt_condition i = 0; i < KT_CONDITIONS; i++)
        if (confusion->conditions & 1U << i)
            kt_metric_assign_add(metric, trace, variable++, count(trace, confusion, &s, i));
}

kt_value kt_confusion_count(const kt_metric *metric, kt_trace *trace, const kt_confusion *confusion,
                            kt_condition condition) {
    uint32_t before = confusion->conditions & ((1U << condition) - 1);
    return kt_metric_variable(metric, trace, (uint32_t)__builtin_popcount(before));
}

kt_value kt_share(kt_builder *b, kt_value x, kt_value y) {
    return kt_divide_no_nan(b, x, kt_build_add(b, x, y));
}

/* ---- metrics of single thresholds ------------------------------------------------------------ */
typedef struct counting {
    kt_metric metric;
    const json_t *thresholds;
    kt_confusion confusion;
} counting;

/* What a class counts. */
static uint32_t conditions_of(const kt_metric_class *class) {
    if (class == &kt_metric_true_positives) return 1U << KT_TRUE_POSITIVES;
    if (class == &kt_metric_false_positives) return 1U << KT_FALSE_POSITIVES;
    if (class == &kt_metric_true_negatives) return 1U << KT_TRUE_NEGATIVES;
    if (class == &kt_metric_false_negatives) return 1U << KT_FALSE_NEGATIVES;
    if (class == &kt_metric_precision) return 1U << KT_TRUE_POSITIVES | 1U << KT_FALSE_POSITIVES;
    return 1U << KT_TRUE_POSITIVES | 1U << KT_FALSE_NEGATIVES;
}

static kt_status check(kt_object *object, kt_layer_context *context) {
    counting *self = (counting *)object;
    kt_confusion *c = &self->confusion;
    c->conditions = conditions_of((const kt_metric_class *)object->class);
    if (!kt_option_find(object->class->options, "top_k")) c->top_k = c->class_id = KT_NONE_INT;
    if (kt_confusion_check(object, context, c) != KT_OK) return KT_INVALID;
    /* All that is among the top k is positive. */
    return kt_thresholds_read(object, context, "thresholds", self->thresholds,
                              c->top_k == KT_NONE_INT ? 0.5 : -1e10, &c->thresholds);
}

static void build(kt_metric *metric, kt_trace *trace, const kt_type *target, const kt_type *output) {
    (void)target, (void)output;
    kt_confusion_build(metric, trace, &((counting *)metric)->confusion, 0);
}

static void update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    (void)mask; /* Keras has none here */
    kt_confusion_update(metric, trace, &((counting *)metric)->confusion, target, output, sample_weight);
}

/* One number for one threshold. */
static kt_value give(kt_metric *metric, kt_trace *trace, kt_value x) {
    bool one = ((counting *)metric)->confusion.thresholds.count == 1;
    return one ? kt_drop_axis(trace->builder, x, 0) : x;
}

static kt_value result_count(kt_metric *metric, kt_trace *trace) {
    return give(metric, trace, kt_metric_variable(metric, trace, 0));
}

static kt_value result_share(kt_metric *metric, kt_trace *trace) {
    kt_value hits = kt_metric_variable(metric, trace, 0), misses = kt_metric_variable(metric, trace, 1);
    return give(metric, trace, kt_share(trace->builder, hits, misses));
}

static const kt_option count_options[] = {KT_METRIC_OPTIONS("null"),
                                          KT_FIELD(counting, thresholds, JSON, "null"), KT_OPTIONS_END};
static const kt_option share_options[] = {
    KT_METRIC_OPTIONS("null"),
    KT_FIELD(counting, thresholds, JSON, "null"),
    {"top_k", KT_OPTION_OPTIONAL_INT, offsetof(counting, confusion.top_k), "null"},
    {"class_id", KT_OPTION_OPTIONAL_INT, offsetof(counting, confusion.class_id), "null"},
    KT_OPTIONS_END};

#define COUNTING(c_name, keras_name, documentation, table, result_function)                                  \
    const kt_metric_class kt_metric_##c_name = {.object = {.name = (keras_name),                             \
                                                           .aliases = #c_name,                               \
                                                           .doc = (documentation),                           \
                                                           .bytes = sizeof(counting),                        \
                                                           .options = (table),                               \
                                                           .check = check},                                  \
                                                .build = build,                                              \
                                                .update = update,                                            \
                                                .result = (result_function)};
COUNTING(true_positives, "TruePositives", "how many true are taken for true", count_options, result_count)
COUNTING(false_positives, "FalsePositives", "how many false are taken for true", count_options, result_count)
COUNTING(true_negatives, "TrueNegatives", "how many false are taken for false", count_options, result_count)
COUNTING(false_negatives, "FalseNegatives", "how many true are taken for false", count_options, result_count)
COUNTING(precision, "Precision", "of what is taken for true, the share that is", share_options, result_share)
COUNTING(recall, "Recall", "of what is true, the share that is taken for it", share_options, result_share)
