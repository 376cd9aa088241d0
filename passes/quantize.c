/* Quantisation: contractions and convolutions by weights become products of bytes.
 *
 *   x ∘ w   →   (f32(q ∘ v) - zero * sum of v) * (step * steps),   q = u8(x / step + zero), v = i8(w / steps)
 *
 * where step and zero, one for all of x, come from the range of x that was observed, and steps, one for each
 * channel of the result, from the largest weight. The range is made to hold 0, which so is a byte itself:
 * what pads x changes nothing. The sums, and what zero adds to them, are whole numbers, the same on every
 * CPU.
 *
 * Scales and biases between two products of which only bytes are read take 1 / step in, and a largest of 0
 * falls away where 0 is the smallest byte.
 *
 * x is made bytes before the reshapes, transposes and largest of windows that lead to the product, which do
 * the same to bytes: so the last operation of the layer before it writes bytes, if nobody else reads its
 * floats. The weights, which are fixed, are made bytes in `prepare`. Channels that are no whole fours are
 * filled up with zeros.
 *
 * Left as they are: products of other types than f32; of grouped and transposed convolutions; of less than
 * three channels, which are mostly filling; over several axes that together are no whole fours; of steps of
 * loops, whose values nobody observes; and those so deep that 32 bits might not hold their sums. So are
 * entries of a graph's own besides `predict`: a product of another entry that has the same location may read
 * anything.
 *
 * To observe, the pass instead adds to the entry `predict` the smallest and largest of each x, by samples.
 * Where weights alone are to be quantised, quantize_weights.c does that.
 *
 * requires  fold_scale, or what it would fold is done to floats
 * keeps     inputs and outputs of entries, but for what observing adds
 * breaks    results depart by what quantising costs; does nothing without kt_pass_options.quantization */
#include "passes/quantize_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST_DEPTH = INT32_MAX / (UINT8_MAX * INT8_MAX) };

/* Which bytes stand for which floats: (byte - zero) * step. */
typedef struct grid {
    double step;
    int zero;
} grid;

/* A value of the old function as bytes. */
typedef struct as_bytes {
    kt_value value;
    grid grid;
} as_bytes;

/* What a quantised product is: value times scales, one for each of the weights' own axes. */
typedef struct as_sums {
    kt_value value, scales;
    kt_ints own;
} as_sums;

typedef struct quantizing {
    kt_narrowing n;
    as_bytes *known;    /* by old value; value 0: not known */
    as_sums *sums;      /* likewise */
    kt_table predicted; /* by location: how many products `predict` has there */
    kt_table counted;   /* the same of the function at work */
    kt_table named;     /* and how many of them have a name by now */
    kt_dim batch;       /* how many samples; 0: not known */
    KT_VECTOR(kt_port) observed;
} quantizing;

/* ---- which products -------------------------------------------------------------------------- */

static bool describe(const quantizing *q, const kt_node_info *node, kt_weighted *p) {
    if (!kt_narrow_describe(&q->n, node, p) || p->summed > MOST_DEPTH) return false;
    if (kt_graph_type(q->n.run.graph, p->w)->dtype != KT_F32) return false;
    const kt_attrs_conv *attrs = node->op == KT_OP_conv ? node->attrs : NULL;
    for (uint32_t i = 0; attrs && i < attrs->input_dilation.count; i++)
        if (attrs->input_dilation.at[i] != 1) return false;
    return true;
}

static kt_text locate(const quantizing *q, const kt_weighted *p) {
    kt_text text = {.arena = q->n.run.scratch};
    kt_loc_print(q->n.run.graph, p->node->loc, &text);
    return text;
}

static uint32_t *count_in(const quantizing *q, kt_table *table, const kt_text *location) {
    return kt_table_add(table, q->n.run.scratch, location->at, location->length, 0);
}

static kt_table count_products(quantizing *q, const kt_function *function) {
    kt_table counted = {0};
    q->n.fixed = kt_pass_fixed(&q->n.run, function);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        kt_weighted p;
        if (!describe(q, kt_graph_node(q->n.run.graph, function->nodes.at[i]), &p)) continue;
        const kt_text location = locate(q, &p);
        ++*count_in(q, &counted, &location);
    }
    return counted;
}

/* Its location, numbered if it is not the first there: the same in all entries that need all calls of a
 * layer. NULL in one that does not: nobody knows which calls those are. */
static const char *name_product(quantizing *q, const kt_weighted *p) {
    kt_text text = locate(q, p);
    uint32_t number = ++*count_in(q, &q->named, &text);
    if (*count_in(q, &q->counted, &text) != *count_in(q, &q->predicted, &text)) return NULL;
    if (number > 1) kt_text_format(&text, "#%u", number);
    return kt_text_string(&text);
}

/* ---- observing ------------------------------------------------------------------------------- */

/* The smallest or largest of x in each sample; in all of them, for each, where x does not lie by samples. */
static kt_value extreme(quantizing *q, kt_value x, kt_reduction kind) {
    const kt_type type = *kt_build_type(q->n.builder, x);
    bool by_samples = type.rank > 1 && type.dims[0] == q->batch;
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = i + by_samples;
    kt_value value = kt_build_reduce(q->n.builder, x, kind, (uint32_t)(type.rank - by_samples), axes);
    return by_samples || !q->batch ? value : kt_build_broadcast(q->n.builder, value, 1, &q->batch, NULL);
}

static void observe(quantizing *q, const kt_weighted *p, const char *name) {
    static const kt_reduction kinds[] = {KT_REDUCE_MINIMUM, KT_REDUCE_MAXIMUM};
    static const char *const prefixes[] = {KT_OBSERVED_LOW, KT_OBSERVED_HIGH};
    kt_value x = kt_builder_lookup(q->n.builder, p->x);
    for (int i = 0; i < 2; i++) {
        const kt_port port = {.role = KT_ROLE_OUTPUT,
                              .name = kt_arena_format(q->n.run.graph->arena, "%s%s", prefixes[i], name),
                              .value = extreme(q, x, kinds[i])};
        KT_PUSH(q->n.run.scratch, &q->observed, port);
    }
}

/* Outputs stand in order, the model's own first. */
static void add_observed(quantizing *q) {
    uint32_t outputs = 0;
    for (uint32_t i = 0; i < q->n.builder->function.results.count; i++)
        outputs += q->n.builder->function.results.at[i].role == KT_ROLE_OUTPUT;
    for (uint32_t i = 0; i < q->observed.count; i++) {
        const kt_port *port = &q->observed.at[i];
        kt_builder_result(q->n.builder, port->role, port->name, outputs + i, port->value);
    }
}

/* ---- quantising ------------------------------------------------------------------------------ */

static const kt_observed *find_range(const quantizing *q, const char *name) {
    const kt_quantization *quantization = q->n.run.options->quantization;
    for (uint32_t i = 0; i < quantization->count; i++)
        if (strcmp(quantization->ranges[i].name, name) == 0) return &quantization->ranges[i];
    return NULL;
}

static grid grid_of(const kt_observed *range) {
    double low = fmin(range->low, 0), high = fmax(range->high, 0);
    /* In a range of nothing but 0 any step will do. The step is a float in the program. */
    grid g = {.step = (float)((high - low) / UINT8_MAX)};
    if (g.step < FLT_MIN) g.step = 1;
    g.zero = (int)fmin(nearbyint(-low / g.step), UINT8_MAX);
    return g;
}

/* value * factor + offset, of all elements alike */
static kt_value rescale(kt_builder *b, kt_value value, double factor, double offset) {
    value = kt_build_mul(b, value, kt_build_like(b, value, factor));
    return offset ? kt_build_add(b, value, kt_build_like(b, value, offset)) : value;
}

/* The operand of an addition that repeats something fixed, a bias: 0 or 1; -1: there is none. */
static int find_bias(const quantizing *q, const kt_node_info *node) {
    for (int i = 1; node->op == KT_OP_add && i >= 0; i--) {
        const kt_node_info *bias = kt_graph_definition(q->n.run.graph, node->operands[i]);
        if (bias && bias->op == KT_OP_broadcast && q->n.fixed[bias->operands[0]]) return i;
    }
    return -1;
}

/* old * factor + offset, where what is multiplied and added already takes part in that if nobody else reads
 * what it gives: scales of sums, and biases. */
static kt_value rescale_old(quantizing *q, kt_value old, double factor, double offset) {
    kt_builder *b = q->n.builder;
    const kt_node_info *node = kt_graph_definition(q->n.run.graph, old);
    const as_sums *sums = &q->sums[old];
    int at = node && q->n.uses[old] == 1 ? find_bias(q, node) : -1;
    if (at >= 0) {
        const kt_node_info *bias = kt_graph_definition(q->n.run.graph, node->operands[at]);
        kt_value numbers = rescale(b, kt_builder_lookup(b, bias->operands[0]), factor, offset);
        kt_value x = rescale_old(q, node->operands[!at], factor, 0);
        return kt_build_add(b, x, kt_pass_build_like(b, bias, &numbers, bias->attrs));
    }
    if (!sums->value || q->n.uses[old] != 1) return rescale(b, kt_builder_lookup(b, old), factor, offset);
    kt_value scales = rescale(b, sums->scales, factor, 0);
    scales = kt_quantize_spread(b, scales, kt_build_type(b, sums->value), &sums->own);
    kt_value x = kt_build_mul(b, sums->value, scales);
    return offset ? kt_build_add(b, x, kt_build_like(b, x, offset)) : x;
}

/* What is behind a largest of 0, which the smallest byte is anyway, if nobody else reads that. */
static kt_value before_relu(const quantizing *q, kt_value old) {
    const kt_node_info *node = kt_graph_definition(q->n.run.graph, old);
    double least;
    if (!node || node->op != KT_OP_maximum || q->n.uses[old] != 1) return old;
    bool zero = kt_pass_splat(q->n.run.graph, node->operands[1], &least) && least == 0;
    return zero ? node->operands[0] : old;
}

static kt_value as_grid(kt_narrowing *n, kt_value old, const void *context) {
    quantizing *q = (quantizing *)n;
    const grid *g = context;
    if (g->zero == 0) old = before_relu(q, old);
    /* The conversion truncates and saturates. */
    return kt_build_cast(n->builder, rescale_old(q, old, 1 / g->step, g->zero + 0.5), KT_U8);
}

/* Of values that several products take, the bytes are made once. */
static as_bytes quantize_input(quantizing *q, kt_value x, const kt_observed *range) {
    as_bytes *known = &q->known[x];
    if (!known->value) {
        known->grid = grid_of(range);
        known->value = kt_narrow_value(&q->n, x, as_grid, &known->grid);
    }
    return *known;
}

static kt_value build_product(quantizing *q, const kt_weighted *p, as_bytes x, kt_value w) {
    w = kt_narrow_fill(&q->n, w, p->filled_w, p->filling, NULL, 0);
    if (p->node->op != KT_OP_conv) {
        x.value = kt_narrow_fill(&q->n, x.value, p->filled_x, p->filling, NULL, 0);
        return kt_build_dot_general(q->n.builder, x.value, w, p->node->attrs);
    }
    kt_attrs_conv attrs = *(const kt_attrs_conv *)p->node->attrs;
    x.value = kt_narrow_fill(&q->n, x.value, p->filled_x, p->filling, &attrs, x.grid.zero);
    for (uint32_t i = 0; i < attrs.low.count; i++)
        attrs.low.at[i] = attrs.high.at[i] = kt_dim_const(q->n.run.graph->dims, 0);
    return kt_build_conv(q->n.builder, x.value, w, &attrs);
}

static void quantize(quantizing *q, const kt_weighted *p, const kt_observed *range) {
    kt_builder *b = q->n.builder;
    as_bytes x = quantize_input(q, p->x, range);
    const kt_type *result = kt_graph_type(q->n.run.graph, p->node->first_result);
    kt_value w = kt_builder_lookup(b, p->w), steps = kt_quantize_steps(b, w, &p->depth);
    w = kt_quantize_weights(b, w, steps, &p->own);
    kt_value sums = build_product(q, p, x, w);
    if (x.grid.zero) {
        kt_value offsets =
            kt_build_reduce(b, kt_build_cast(b, w, KT_I32), KT_REDUCE_SUM, p->depth.count, p->depth.at);
        offsets = kt_build_mul(b, offsets, kt_build_like(b, offsets, x.grid.zero));
        sums = kt_build_sub(b, sums, kt_quantize_spread(b, offsets, result, &p->own));
    }
    sums = kt_build_cast(b, sums, KT_F32);
    kt_value scales = kt_build_mul(b, steps, kt_build_like(b, steps, x.grid.step));
    q->sums[p->node->first_result] = (as_sums){sums, scales, p->own};
    scales = kt_quantize_spread(b, scales, result, &p->own);
    kt_builder_replace(b, p->node->first_result, kt_build_mul(b, sums, scales));
}

/* ---- functions ------------------------------------------------------------------------------- */

static void find_batch(quantizing *q, const kt_function *entry) {
    for (uint32_t i = entry->params.count; i-- > 0;) {
        const kt_type *type = kt_graph_type(q->n.run.graph, entry->params.at[i].value);
        if (entry->params.at[i].role == KT_ROLE_INPUT && type->rank > 0) q->batch = type->dims[0];
    }
}

static kt_status rewrite(quantizing *q, kt_func func, bool observes) {
    kt_graph *graph = q->n.run.graph;
    const kt_function old = *kt_graph_function(graph, func);
    kt_builder builder;
    q->n.builder = &builder;
    q->counted = count_products(q, &old);
    q->named = (kt_table){0};
    q->n.uses = kt_pass_uses(&q->n.run, &old);
    q->known = KT_NEW_ARRAY(q->n.run.scratch, as_bytes, graph->values.count);
    q->sums = KT_NEW_ARRAY(q->n.run.scratch, as_sums, graph->values.count);
    if (observes) find_batch(q, &old);
    kt_builder_begin_rewrite(&builder, graph, func, q->n.run.diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old.nodes.at[i]);
        kt_weighted p;
        bool fits = describe(q, node, &p);
        const char *name = fits ? name_product(q, &p) : NULL;
        const kt_observed *range = name && !observes ? find_range(q, name) : NULL;
        builder.loc = node->loc;
        if (fits && observes) observe(q, &p, name);
        if (range)
            quantize(q, &p, range);
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    add_observed(q);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(&q->n.run, func);
}

/* Does the entry run the model on samples as they were observed? The names are those of training (see
 * frontend/training). */
static bool predicts(const kt_function *entry) {
    static const char evaluates[] = "evaluate_step";
    return strcmp(entry->name, "predict") == 0 || strncmp(entry->name, evaluates, strlen(evaluates)) == 0;
}

static kt_status run_quantize(kt_pass_run *run) {
    quantizing *q = (quantizing *)run;
    kt_graph *graph = run->graph;
    kt_func predict = kt_graph_find(graph, "predict");
    if (!predict) return KT_OK;
    q->predicted = count_products(q, kt_graph_function(graph, predict));
    if (run->options->quantization->observes) return rewrite(q, predict, true);
    for (kt_func func = kt_graph_next(graph, KT_FUNC_ENTRY, 0); func;
         func = kt_graph_next(graph, KT_FUNC_ENTRY, func))
        if (predicts(kt_graph_function(graph, func))) KT_TRY(rewrite(q, func, false));
    return KT_OK;
}

kt_status kt_pass_quantize(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    if (!options->quantization) return KT_OK;
    quantizing q = {.n = {.run = {graph, options, diag, NULL}, .word = KT_BYTE_QUAD}};
    return kt_pass_scratched(options->quantization->weights_only ? kt_quantize_weights_only : run_quantize,
                             &q.n.run);
}
