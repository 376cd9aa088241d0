/* MultiHeadAttention and GroupQueryAttention: query, key and value are projected to several heads, each head
 * attends, and what all heads say is projected to the output. The projections are EinsumDense layers, made
 * once the ranks are known. */
#include "frontend/layers/attention_impl.h"
#include "frontend/layers/einsum_impl.h"

#include <math.h>
#include <string.h>

typedef struct heads {
    kt_layer layer;
    int64_t num_heads, key_value_heads; /* the second of GroupQueryAttention only */
    int64_t key_dim, value_dim;
    double dropout;
    bool use_bias, use_gate;
    const json_t *output_shape, *attention_axes;
    kt_ints axes; /* attention_axes; count 0: all between batch and features */
    int64_t sliding_window, seed;
    const json_t *kernel_initializer, *bias_initializer;
    const json_t *kernel_regularizer, *bias_regularizer;
    const json_t *kernel_constraint, *bias_constraint;
    kt_layer *query, *key, *value, *gate, *output; /* children */
} heads;

// clang-format off
#define COMMON_OPTIONS \
    KT_FIELD(heads, dropout, FLOAT, "0.0"), \
    KT_FIELD(heads, use_bias, BOOL, "true"), \
    KT_FIELD(heads, use_gate, BOOL, "false"), \
    KT_FIELD(heads, sliding_window, OPTIONAL_INT, "null"), \
    KT_INITIALIZER(heads, kernel_initializer, "\"glorot_uniform\""), \
    KT_INITIALIZER(heads, bias_initializer, "\"zeros\""), \
    KT_REGULARIZER(heads, kernel_regularizer), \
    KT_REGULARIZER(heads, bias_regularizer), \
    KT_ACTIVITY_REGULARIZER, \
    KT_CONSTRAINT(heads, kernel_constraint), \
    KT_CONSTRAINT(heads, bias_constraint), \
    KT_FIELD(heads, seed, OPTIONAL_INT, "null", .inert = true), \
    KT_OPTIONS_END
static const kt_option multi_options[] = {
    KT_FIELD(heads, num_heads, INT, NULL),
    KT_FIELD(heads, key_dim, INT, NULL),
    KT_FIELD(heads, value_dim, OPTIONAL_INT, "null"),
    KT_FIELD(heads, output_shape, JSON, "null"),
    KT_FIELD(heads, attention_axes, JSON, "null"),
    COMMON_OPTIONS,
};
static const kt_option group_options[] = {
    {"head_dim", KT_OPTION_INT, offsetof(heads, key_dim), NULL},
    {"num_query_heads", KT_OPTION_INT, offsetof(heads, num_heads), NULL},
    {"num_key_value_heads", KT_OPTION_INT, offsetof(heads, key_value_heads), NULL},
    COMMON_OPTIONS,
};
// clang-format on

/* ---- options --------------------------------------------------------------------------------- */
static kt_status check_common(const heads *self, kt_layer_context *context) {
    const kt_layer *layer = &self->layer;
    kt_status status = KT_OK;
    if (self->sliding_window != KT_NONE_INT)
        KT_COLLECT(status, kt_check_range(layer, context, "sliding_window", self->sliding_window, 1));
    if (!(self->dropout >= 0 && self->dropout <= 1))
        status = kt_layer_reject(layer, context, KT_INVALID, "dropout", "must be from 0 to 1, not %g.",
                                 self->dropout);
    return status;
}

static bool is_list(const json_t *value) { return json_is_integer(value) || json_array_size(value) > 0; }

static kt_status check_multi(kt_layer *layer, kt_layer_context *context) {
    heads *self = (heads *)layer;
    layer->unpunished = true; /* it is the projections' */
    if (self->value_dim == KT_NONE_INT) self->value_dim = self->key_dim;
    kt_status status = check_common(self, context);
    KT_COLLECT(status, kt_check_range(layer, context, "num_heads", self->num_heads, 1));
    KT_COLLECT(status, kt_check_range(layer, context, "key_dim", self->key_dim, 1));
    KT_COLLECT(status, kt_check_range(layer, context, "value_dim", self->value_dim, 1));
    if (self->attention_axes && is_list(self->attention_axes))
        KT_COLLECT(status,
                   kt_check_axes(layer, context, "attention_axes", self->attention_axes, &self->axes));
    self->key_value_heads = self->num_heads;
    return status;
}

static kt_status check_group(kt_layer *layer, kt_layer_context *context) {
    heads *self = (heads *)layer;
    self->value_dim = self->key_dim;
    kt_status status = check_common(self, context);
    KT_COLLECT(status, kt_check_range(layer, context, "head_dim", self->key_dim, 1));
    KT_COLLECT(status, kt_check_range(layer, context, "num_query_heads", self->num_heads, 1));
    KT_COLLECT(status, kt_check_range(layer, context, "num_key_value_heads", self->key_value_heads, 1));
    if (status == KT_OK && self->num_heads % self->key_value_heads != 0)
        status = kt_layer_reject(layer, context, KT_INVALID, "num_query_heads",
                                 "must be a multiple of num_key_value_heads.");
    return status;
}

/* ---- projections ----------------------------------------------------------------------------- */
/* "abc,cde->abde": free axes stay, bound axes are summed, and new ones come; the last `added` letters, which
 * the bias has, are out_bias_axes. */
static const char *write_equation(kt_arena *arena, int free, int bound, int added,
                                  const char **out_bias_axes) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    const char *new = letters + free + bound;
    *out_bias_axes = kt_arena_format(arena, "%.*s", added, new);
    return kt_arena_format(arena, "%.*s,%.*s->%.*s%.*s", free + bound, letters, bound + added, letters + free,
                           free, letters, added, new);
}

static void set_kept(json_t *config, const char *option, const json_t *value) {
    if (value) json_object_set(config, option, (json_t *)value);
}

/* Makes a projection of free axes, bound axes and `added` sizes. attribute: where Keras keeps it. */
static kt_layer *add_projection(heads *self, kt_layer_context *context, const char *name,
                                const char *attribute, int free, int bound, const kt_ints *added) {
    const char *bias_axes;
    const char *equation = write_equation(context->arena, free, bound, (int)added->count, &bias_axes);
    json_t *config = json_pack("{s:s, s:s}", "name", name, "equation", equation);
    json_t *shape = json_array();
    for (int i = 1; i < free; i++) json_array_append_new(shape, json_null());
    for (uint32_t i = 0; i < added->count; i++) json_array_append_new(shape, json_integer(added->at[i]));
    json_object_set_new(config, "output_shape", shape);
    if (self->use_bias) json_object_set_new(config, "bias_axes", json_string(bias_axes));
    if (strcmp(name, "gate") == 0) json_object_set_new(config, "activation", json_string("sigmoid"));
    set_kept(config, "dtype", self->layer.dtype);
    set_kept(config, "kernel_initializer", self->kernel_initializer);
    set_kept(config, "bias_initializer", self->bias_initializer);
    set_kept(config, "kernel_regularizer", self->kernel_regularizer);
    set_kept(config, "bias_regularizer", self->bias_regularizer);
    set_kept(config, "activity_regularizer", self->layer.activity_regularizer);
    set_kept(config, "kernel_constraint", self->kernel_constraint);
    set_kept(config, "bias_constraint", self->bias_constraint);
    json_t *serialized =
        json_pack("{s:s, s:s, s:o}", "module", "keras.layers", "class_name", "EinsumDense", "config", config);
    kt_layer *child = kt_layer_from_config(context, serialized, self->layer.path);
    json_decref(serialized);
    if (!child) return NULL;
    child->attribute = attribute;
    KT_PUSH(context->arena, &self->layer.children, child);
    return child;
}

/* query, value and key with their masks; false and a problem if they are not what the layer takes. */
typedef struct operands {
    kt_argument query, value, key;
    bool key_given;
} operands;

static bool take_operands(const kt_layer_call *call, operands *out) {
    const kt_argument *value = kt_operation_argument(call, 1, "value");
    const kt_argument *key = kt_operation_argument(call, 2, "key");
    if (!kt_call_has_inputs(call, 1)) return false;
    if (!value || value->kind != KT_ARGUMENT_TENSOR) {
        kt_trace_fail(call->trace, KT_INVALID, "this layer takes query, value and perhaps key.");
        return false;
    }
    out->key_given = key && key->kind == KT_ARGUMENT_TENSOR;
    out->query = (kt_argument){.kind = KT_ARGUMENT_TENSOR, .value = call->inputs[0], .mask = call->masks[0]};
    out->value = *value;
    out->key = out->key_given ? *key : *value;
    out->value.name = out->key.name = NULL;
    return out->value.value && out->key.value;
}

/* Reads the sizes that the output has instead of the query's features. */
static bool read_output_sizes(const heads *self, const kt_layer_call *call, kt_ints *out_sizes) {
    const json_t *given = self->output_shape;
    int last = kt_call_type(call, 0)->rank - 1;
    if (!given || !is_list(given)) {
        *out_sizes = (kt_ints){1, {kt_call_static_dim(call, last)}};
        return out_sizes->at[0] >= 0;
    }
    size_t count = json_is_integer(given) ? 1 : json_array_size(given);
    bool valid = count + (size_t)last <= KT_MAX_RANK;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *size = json_is_integer(given) ? given : json_array_get(given, i);
        out_sizes->at[i] = json_integer_value(size);
        valid = json_is_integer(size) && out_sizes->at[i] >= 1 && out_sizes->at[i] <= INT32_MAX;
    }
    out_sizes->count = (uint32_t)count;
    if (!valid) kt_trace_fail(call->trace, KT_INVALID, "option 'output_shape' must be a list of sizes.");
    return valid;
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    heads *self = (heads *)layer;
    kt_layer_context *context = trace->context;
    operands o;
    kt_ints sizes;
    bool grouped = layer->class == &kt_class_group_query_attention;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 3, grouped ? 3 : KT_MAX_RANK - 1) ||
        !take_operands(call, &o) || !read_output_sizes(self, call, &sizes)) {
        return KT_INVALID;
    }
    int free = kt_call_type(call, 0)->rank - 1;
    if (kt_build_type(trace->builder, o.value.value)->rank != free + 1 ||
        kt_build_type(trace->builder, o.key.value)->rank != free + 1) {
        kt_trace_fail(trace, KT_INVALID, "query, value and key must have the same number of axes.");
        return KT_INVALID;
    }
    kt_ints query = {2, {self->num_heads, self->key_dim}};
    kt_ints gate = {2, {self->num_heads, self->value_dim}};
    kt_ints key = {2, {self->key_value_heads, self->key_dim}};
    kt_ints value = {2, {self->key_value_heads, self->value_dim}};
    /* Only of MultiHeadAttention are most of them properties, too. */
    self->query =
        add_projection(self, context, "query", grouped ? "_query_dense" : "query_dense", free, 1, &query);
    self->key = add_projection(self, context, "key", grouped ? "_key_dense" : "key_dense", free, 1, &key);
    if (self->use_gate) self->gate = add_projection(self, context, "gate", "_gate_dense", free, 1, &gate);
    self->value =
        add_projection(self, context, "value", grouped ? "_value_dense" : "value_dense", free, 1, &value);
    self->output = add_projection(self, context, "attention_output",
                                  grouped ? "_output_dense" : "output_dense", free, 2, &sizes);
    bool all = self->query && self->key && self->value && self->output && (self->gate || !self->use_gate);
    return all ? KT_OK : KT_INVALID;
}

/* ---- calls ----------------------------------------------------------------------------------- */
static kt_value project(kt_layer_call *call, kt_layer *projection, kt_value x) {
    kt_argument argument = {.kind = KT_ARGUMENT_TENSOR, .value = x};
    kt_value y;
    kt_value mask;
    kt_layer_call_with(projection, call->trace, &argument, 1, &y, &mask);
    return y;
}

/* Keras's equations of scores and of their use: axes that attend get letters of their own for the keys. False
 * and a problem where axes are wrong or the scores would have too many. */
static bool write_attention(const heads *self, const kt_layer_call *call, int rank, kt_einsum *out_scores,
                            kt_einsum *out_combine, kt_ints *out_axes) {
    kt_ints axes = self->axes;
    for (int i = 1; axes.count == 0 && i < rank - 2; i++) axes.at[i - 1] = i;
    if (axes.count == 0) axes.count = (uint32_t)rank - 3;
    bool attends[KT_MAX_RANK] = {false};
    bool valid = (uint32_t)rank - 1 + axes.count <= KT_MAX_RANK;
    for (uint32_t i = 0; valid && i < axes.count; i++) {
        if (axes.at[i] < 0) axes.at[i] += rank - 1;
        valid = axes.at[i] >= 1 && axes.at[i] < rank - 2 && !attends[axes.at[i]];
        if (valid) attends[axes.at[i]] = true;
    }
    if (!valid) {
        kt_trace_fail(call->trace, KT_INVALID,
                      "option 'attention_axes' does not name axes between batch and features, or too many.");
        return false;
    }
    kt_einsum e = {0}; /* x: keys, y: queries */
    char free_letter = (char)('a' + rank);
    size_t count = 0;
    for (int i = 0; i < rank; i++) {
        e.y[i] = (char)('a' + i);
        e.x[i] = attends[i] ? free_letter++ : e.y[i];
        if (!attends[i] && i < rank - 1) e.result[count++] = e.y[i];
    }
    for (uint32_t i = 0; i < axes.count; i++) {
        e.result[count + i] = e.y[axes.at[i]];
        e.result[count + axes.count + i] = e.x[axes.at[i]];
    }
    *out_scores = e;
    *out_combine = (kt_einsum){0};
    memcpy(out_combine->x, e.result, sizeof e.result);
    memcpy(out_combine->y, e.x, sizeof e.x);
    memcpy(out_combine->result, e.y, sizeof e.y);
    out_axes->count = axes.count;
    for (uint32_t i = 0; i < axes.count; i++) out_axes->at[i] = (int64_t)(count + axes.count + i);
    return true;
}

/* Axes of size 1 before some of x's. */
static kt_value insert_axes(kt_builder *b, kt_value x, int before, int count) {
    kt_type type = *kt_build_type(b, x);
    kt_dim shape[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) shape[i < before ? i : i + count] = type.dims[i];
    for (int i = 0; i < count; i++) shape[before + i] = kt_dim_const(b->graph->dims, 1);
    return kt_build_reshape(b, x, type.rank + count, shape);
}

/* A mask over queries (axis 2: a new axis stands behind) or keys (axis 1); given as an argument, or come
 * along. */
static kt_value take_mask(const kt_layer_call *call, uint32_t position, const char *name, kt_value along,
                          bool of_keys) {
    kt_builder *b = call->trace->builder;
    const kt_argument *given = kt_operation_argument(call, position, name);
    kt_value mask = given && given->kind == KT_ARGUMENT_TENSOR ? given->value : along;
    if (!mask) return 0;
    int rank = kt_build_type(b, mask)->rank;
    return insert_axes(b, kt_build_cast(b, mask, KT_BOOL), of_keys ? rank - 1 : rank, 1);
}

/* All masks together, broadcast to the shape of scores; 0: none. */
static kt_value join_masks(const heads *self, const kt_layer_call *call, const operands *o, kt_value scores,
                           uint32_t attending, bool *out_valid) {
    kt_builder *b = call->trace->builder;
    kt_type type = *kt_build_type(b, scores);
    const kt_argument *given = kt_operation_argument(call, 6, "attention_mask");
    kt_dim rows = kt_build_type(b, o->query.value)->dims[1];
    kt_dim columns = kt_build_type(b, o->value.value)->dims[1];
    kt_value mask = take_mask(call, 3, "query_mask", o->query.mask, false);
    mask = kt_attention_both(b, mask, take_mask(call, 4, "value_mask", o->value.mask, true));
    kt_value of_key = o->key_given ? o->key.mask : 0;
    mask = kt_attention_both(b, mask, take_mask(call, 5, "key_mask", of_key, true));
    bool causal = kt_attention_flag(call, 9, "use_causal_mask");
    kt_value band = kt_attention_band(b, rows, columns, causal, self->sliding_window);
    mask = kt_attention_both(b, mask, band ? insert_axes(b, band, 0, 1) : 0);
    if (given && given->kind == KT_ARGUMENT_TENSOR)
        mask = kt_attention_both(b, kt_build_cast(b, given->value, KT_BOOL), mask);
    *out_valid = true;
    if (!mask) return 0;
    int rank = kt_build_type(b, mask)->rank;
    int pairs = 2 * (int)attending;
    *out_valid = rank >= pairs && rank <= type.rank;
    if (!*out_valid) {
        kt_trace_fail(call->trace, KT_INVALID, "a mask of %d axes does not fit scores of %d.", rank,
                      type.rank);
        return 0;
    }
    mask = insert_axes(b, mask, rank - pairs, type.rank - rank);
    return kt_build_broadcast_to(b, mask, type.rank, type.dims);
}

/* Keras has two ways: with one axis that attends, no dropout and where nobody asks for the weights, what is
 * masked gets a score far below all others; else its weight is also set to 0, so that a place that may look
 * nowhere gets 0. */
static kt_value weigh(const heads *self, kt_builder *b, kt_value scores, kt_value mask, int rank,
                      const kt_ints *axes, bool asked) {
    if (self->dropout > 0 || rank != 4 || asked) return kt_softmax(b, scores, mask, axes);
    return kt_build_cast(b, kt_attention_weigh(b, scores, mask, axes), kt_build_type(b, scores)->dtype);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const heads *self = (const heads *)layer;
    kt_trace *trace = call->trace;
    kt_builder *b = trace->builder;
    operands o;
    kt_einsum score;
    kt_einsum combine;
    kt_ints axes;
    if (!take_operands(call, &o)) return;
    kt_value query = project(call, self->query, o.query.value);
    kt_value key = project(call, self->key, o.key.value);
    kt_value gate = self->gate ? project(call, self->gate, o.query.value) : 0;
    kt_value value = project(call, self->value, o.value.value);
    if (!query || !key || !value || (self->gate && !gate)) return;
    kt_trace_at(trace, "attention");
    int rank = kt_build_type(b, query)->rank;
    if (!write_attention(self, call, rank, &score, &combine, &axes)) return;
    key = kt_attention_repeat_heads(b, key, self->num_heads / self->key_value_heads);
    value = kt_attention_repeat_heads(b, value, self->num_heads / self->key_value_heads);
    query = kt_build_mul(b, query, kt_build_like(b, query, 1 / sqrt((double)self->key_dim)));
    kt_value scores = kt_einsum_build(b, &score, key, query);
    bool valid;
    kt_value mask = join_masks(self, call, &o, scores, axes.count, &valid);
    if (!valid) return;
    bool asked = kt_attention_flag(call, 7, "return_attention_scores");
    kt_value weights = weigh(self, b, scores, mask, rank, &axes, asked);
    kt_value kept = kt_attention_drop(layer, call, weights, self->dropout, self->seed);
    if (!kept) return;
    kt_trace_at(trace, "attention");
    kt_value y = kt_einsum_build(b, &combine, kept, value);
    if (gate) y = kt_build_mul(b, y, gate);
    call->outputs[0] = project(call, self->output, y);
    if (asked) call->outputs[1] = weights;
}

/* Keras's layer takes the masks off the very tensors that it is given, so that a residual connection around
 * it loses them. (GroupedQueryAttention leaves them.) */
static void call_and_unmask(kt_layer *layer, kt_layer_call *c) {
    operands o;
    call(layer, c);
    if (!take_operands(c, &o)) return;
    kt_trace_unmask(c->trace, o.query.value);
    kt_trace_unmask(c->trace, o.value.value);
    kt_trace_unmask(c->trace, o.key.value);
}

const kt_layer_class kt_class_multi_head_attention = {
    .name = "MultiHeadAttention",
    .module = "keras.layers",
    .doc = "several heads attend to projections of query, key and value",
    .bytes = sizeof(heads),
    .options = multi_options,
    .supports_masking = true,
    .check = check_multi,
    .build = build,
    .call = call_and_unmask,
    .extra_outputs = 1,
};

const kt_layer_class kt_class_group_query_attention = {
    .name = "GroupQueryAttention",
    .python_name = "GroupedQueryAttention",
    .module = "keras.layers",
    .doc = "several heads attend, and groups of them share keys and values",
    .bytes = sizeof(heads),
    .options = group_options,
    .supports_masking = true,
    .check = check_group,
    .build = build,
    .call = call,
    .extra_outputs = 1,
};
