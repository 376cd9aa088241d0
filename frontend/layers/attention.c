/* Attention and AdditiveAttention: each place of a query takes the mean of values, weighted by how well its
 * keys match, without weights of its own but for scales. */
#include "frontend/layers/attention_impl.h"

#include <string.h>

/* ---- shared ---------------------------------------------------------------------------------- */
bool kt_attention_flag(const kt_layer_call *call, uint32_t position, const char *name) {
    const kt_argument *argument = kt_operation_argument(call, position, name);
    return argument && argument->kind == KT_ARGUMENT_LITERAL && json_is_true(argument->literal);
}

kt_value kt_attention_drop(kt_layer *layer, const kt_layer_call *call, kt_value weights, double rate,
                           int64_t seed) {
    if (!call->trace->training || !(rate > 0)) return weights;
    if (rate >= 1) return kt_build_like(call->trace->builder, weights, 0);
    return kt_random_dropout(layer, call->trace, seed, weights, rate, &(kt_ints){0});
}

kt_value kt_attention_both(kt_builder *builder, kt_value a, kt_value b) {
    if (!a || !b) return a ? a : b;
    kt_build_broadcast_pair(builder, &a, &b);
    return kt_build_and(builder, a, b);
}

kt_value kt_attention_band(kt_builder *builder, kt_dim rows, kt_dim columns, bool causal, int64_t window) {
    kt_type type = {.dtype = KT_I32, .rank = 2, .dims = {rows, columns}};
    kt_value mask = 0;
    if (!causal && window == KT_NONE_INT) return 0;
    kt_value row = kt_build_iota(builder, &type, 0);
    kt_value column = kt_build_iota(builder, &type, 1);
    if (causal) mask = kt_build_ge(builder, row, column);
    if (window == KT_NONE_INT) return mask;
    kt_value distance = kt_build_abs(builder, kt_build_sub(builder, row, column));
    kt_value near = kt_build_lt(builder, distance, kt_build_like(builder, distance, (double)window));
    return kt_attention_both(builder, mask, near);
}

kt_value kt_attention_repeat_heads(kt_builder *b, kt_value x, int64_t times) {
    static const int64_t axes[] = {0, 1, 2, 4};
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    if (times == 1) return x;
    kt_dim shape[] = {type.dims[0], type.dims[1], type.dims[2], kt_dim_const(dims, times), type.dims[3]};
    x = kt_build_broadcast(b, x, 5, shape, axes);
    type.dims[2] = kt_dim_mul_const(dims, type.dims[2], times);
    return kt_build_reshape(b, x, 4, type.dims);
}

kt_value kt_attention_weigh(kt_builder *b, kt_value scores, kt_value mask, const kt_ints *axes) {
    static const double far_below = -0.7 * 3.4028234e38;
    scores = kt_build_cast(b, scores, kt_dtype_promote(kt_build_type(b, scores)->dtype, KT_F32));
    if (mask) scores = kt_build_select(b, mask, scores, kt_build_like(b, scores, far_below));
    return kt_softmax(b, scores, 0, axes);
}

/* ---- layers ---------------------------------------------------------------------------------- */
typedef struct attention {
    kt_layer layer;
    bool use_scale;
    const char *score_mode;
    double dropout;
    int64_t seed;
    uint32_t concat_score_weight; /* weight; the scale is weight 0 */
} attention;

// clang-format off
static const kt_option attention_options[] = {
    KT_FIELD(attention, use_scale, BOOL, "false"),
    KT_FIELD(attention, score_mode, CHOICE, "\"dot\"", .choices = "dot concat"),
    KT_FIELD(attention, dropout, FLOAT, "0.0", .inert = true),
    KT_FIELD(attention, seed, OPTIONAL_INT, "null", .inert = true),
    KT_OPTIONS_END,
};
static const kt_option additive_options[] = {
    KT_FIELD(attention, use_scale, BOOL, "true"),
    KT_FIELD(attention, dropout, FLOAT, "0.0", .inert = true),
    KT_FIELD(attention, seed, OPTIONAL_INT, "null", .inert = true),
    KT_OPTIONS_END,
};
// clang-format on

/* Are there [query, value] or [query, value, key], of the same rank? */
static bool has_operands(const kt_layer_call *call) {
    if (call->input_count != 2 && call->input_count != 3) {
        kt_trace_fail(call->trace, KT_INVALID,
                      "this layer takes query, value and perhaps key, not %u inputs.", call->input_count);
        return false;
    }
    if (!kt_call_has_rank(call, 3, KT_MAX_RANK - 1)) return false;
    for (uint32_t i = 1; i < call->input_count; i++) {
        if (kt_call_type(call, i)->rank == kt_call_type(call, 0)->rank) continue;
        kt_trace_fail(call->trace, KT_INVALID, "query, value and key must have the same number of axes.");
        return false;
    }
    return true;
}

static kt_status build_attention(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    attention *self = (attention *)layer;
    if (!has_operands(call)) return KT_INVALID;
    kt_type scalar = kt_type_of(kt_call_dims(call), layer->variable_dtype, 0, NULL);
    if (self->use_scale) kt_layer_add_weight(layer, trace, "scale", &scalar, NULL, true);
    if (strcmp(self->score_mode, "concat") == 0) {
        self->concat_score_weight =
            kt_layer_add_weight(layer, trace, "concat_score_weight", &scalar, NULL, true);
    }
    return KT_OK;
}

static kt_status build_additive(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    if (!has_operands(call)) return KT_INVALID;
    if (!((attention *)layer)->use_scale) return KT_OK;
    int64_t size = kt_call_static_dim(call, kt_call_type(call, 0)->rank - 1);
    if (size < 0) return KT_INVALID;
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, 1, &size);
    kt_layer_add_weight(layer, trace, "scale", &type, NULL, true);
    return KT_OK;
}

/* Inputs may be integers: as Keras, in the dtype of both. */
static void promote(kt_builder *b, kt_value *x, kt_value *y) {
    kt_dtype dtype = kt_dtype_promote(kt_build_type(b, *x)->dtype, kt_build_type(b, *y)->dtype);
    *x = kt_build_cast(b, *x, dtype);
    *y = kt_build_cast(b, *y, dtype);
}
static kt_value as_float(kt_builder *b, kt_value x) {
    return kt_build_cast(b, x, kt_dtype_to_float(kt_build_type(b, x)->dtype));
}

/* x · y, where contract is an axis of each and all but the last two axes run along. */
static kt_value multiply(kt_builder *b, kt_value x, kt_value y, int x_axis, int y_axis) {
    kt_dtype compute, result;
    kt_matmul_dtypes(kt_build_type(b, x)->dtype, kt_build_type(b, y)->dtype, &compute, &result);
    x = kt_build_cast(b, x, compute);
    y = kt_build_cast(b, y, compute);
    int rank = kt_build_type(b, x)->rank;
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {x_axis}}, .rhs_contract = {1, {y_axis}}};
    for (int i = 0; i < rank - 2; i++) {
        attrs.lhs_batch.at[i] = attrs.rhs_batch.at[i] = i;
        attrs.lhs_batch.count = attrs.rhs_batch.count = (uint32_t)i + 1;
    }
    return kt_build_cast(b, kt_build_dot_general(b, x, y, &attrs), result);
}

/* Each query with each key: [batch…, queries, keys, features]. */
static kt_value pair_sums(kt_builder *b, kt_value query, kt_value key) {
    promote(b, &query, &key);
    kt_type shape = *kt_build_type(b, query);
    kt_type key_type = *kt_build_type(b, key);
    int rank = shape.rank;
    int64_t query_axes[KT_MAX_RANK];
    int64_t key_axes[KT_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        query_axes[i] = i < rank - 1 ? i : i + 1;
        key_axes[i] = i < rank - 2 ? i : i + 1;
    }
    shape.dims[rank] = shape.dims[rank - 1];
    shape.dims[rank - 1] = key_type.dims[rank - 2];
    query = kt_build_broadcast(b, query, rank + 1, shape.dims, query_axes);
    key = kt_build_broadcast(b, key, rank + 1, shape.dims, key_axes);
    bool truths = shape.dtype == KT_BOOL; /* whose sum is an or */
    return as_float(b, truths ? kt_build_or(b, query, key) : kt_build_add(b, query, key));
}

static kt_value scale_by(kt_builder *b, kt_value x, kt_value scale) {
    promote(b, &x, &scale);
    kt_type type = *kt_build_type(b, x);
    return kt_build_mul(b, x, kt_build_broadcast_to(b, scale, type.rank, type.dims));
}

static kt_value sum_features(kt_builder *b, kt_value x) {
    int64_t last[] = {kt_build_type(b, x)->rank - 1};
    return kt_build_reduce(b, x, KT_REDUCE_SUM, 1, last);
}

/* Softmax over scores and the mean of values by it; masks of the inputs are kept to. */
static void attend(attention *self, kt_layer_call *call, kt_value scores) {
    kt_builder *b = call->trace->builder;
    scores = as_float(b, scores);
    kt_type type = *kt_build_type(b, scores);
    int rank = type.rank;
    bool causal = kt_attention_flag(call, 4, "use_causal_mask");
    kt_value mask = call->masks[1];
    int64_t axes[KT_MAX_RANK];
    if (mask) { /* [batch…, keys] */
        for (int i = 0; i < rank - 1; i++) axes[i] = i < rank - 2 ? i : i + 1;
        mask = kt_build_broadcast(b, kt_build_cast(b, mask, KT_BOOL), rank, type.dims, axes);
    }
    kt_value band = kt_attention_band(b, type.dims[rank - 2], type.dims[rank - 1], causal, KT_NONE_INT);
    mask = kt_attention_both(b, mask, band);
    if (mask) {
        mask = kt_build_broadcast_to(b, mask, rank, type.dims);
        kt_value far = kt_build_like(b, scores, type.dtype == KT_F16 ? 65504 : 1e9);
        scores = kt_build_select(b, mask, scores, kt_build_sub(b, scores, far));
    }
    kt_value weights = kt_softmax(b, scores, 0, &(kt_ints){1, {rank - 1}});
    weights = kt_attention_drop(&self->layer, call, weights, self->dropout, self->seed);
    if (!weights) return;
    kt_value y = multiply(b, weights, call->inputs[1], rank - 1, rank - 2);
    if (call->masks[0]) {
        kt_type result = *kt_build_type(b, y);
        for (int i = 0; i < rank - 1; i++) axes[i] = i;
        kt_value kept = kt_build_cast(b, call->masks[0], KT_BOOL);
        kept = kt_build_broadcast(b, kept, result.rank, result.dims, axes);
        y = kt_build_select(b, kept, y, kt_build_like(b, y, 0));
    }
    call->outputs[0] = y;
    if (kt_attention_flag(call, 3, "return_attention_scores")) call->outputs[1] = weights;
    call->output_masks[0] = call->masks[0];
}

static void call_attention(kt_layer *layer, kt_layer_call *call) {
    attention *self = (attention *)layer;
    kt_trace *trace = call->trace;
    kt_builder *b = trace->builder;
    if (!has_operands(call)) return;
    kt_trace_at(trace, "attention");
    kt_value key = call->inputs[call->input_count - 1];
    int last = kt_call_type(call, 0)->rank - 1;
    kt_value scale = self->use_scale ? kt_trace_weight(trace, layer, 0) : 0;
    kt_value scores;
    if (strcmp(self->score_mode, "dot") == 0) {
        scores = multiply(b, call->inputs[0], key, last, last);
        if (scale) scores = scale_by(b, scores, scale);
    } else {
        kt_value sums = pair_sums(b, call->inputs[0], key);
        if (scale) sums = scale_by(b, sums, scale);
        scores = sum_features(b, kt_build_tanh(b, sums));
        scores = scale_by(b, scores, kt_trace_weight(trace, layer, self->concat_score_weight));
    }
    attend(self, call, scores);
}

static void call_additive(kt_layer *layer, kt_layer_call *call) {
    attention *self = (attention *)layer;
    kt_builder *b = call->trace->builder;
    if (!has_operands(call)) return;
    kt_trace_at(call->trace, "attention");
    kt_value sums = pair_sums(b, call->inputs[0], call->inputs[call->input_count - 1]);
    kt_value bent = kt_build_tanh(b, sums);
    if (self->use_scale) bent = scale_by(b, bent, kt_trace_weight(call->trace, layer, 0));
    attend(self, call, sum_features(b, bent));
}

const kt_layer_class kt_class_attention = {
    .name = "Attention",
    .module = "keras.layers",
    .doc = "means of values, weighted by products of queries and keys",
    .bytes = sizeof(attention),
    .options = attention_options,
    .build = build_attention,
    .call = call_attention,
    .extra_outputs = 1,
};

const kt_layer_class kt_class_additive_attention = {
    .name = "AdditiveAttention",
    .module = "keras.layers",
    .doc = "means of values, weighted by sums of queries and keys",
    .bytes = sizeof(attention),
    .options = additive_options,
    .build = build_additive,
    .call = call_additive,
    .extra_outputs = 1,
};
