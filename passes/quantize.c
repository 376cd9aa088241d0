/* Quantisation: contractions and convolutions by weights become products of bytes.
 *
 *   x ∘ w   →   (f32(q ∘ v) - zero * sum of v) * (step * steps),   q = u8(x / step + zero), v = i8(w / steps)
 *
 * where step and zero, one for all of x, come from the range of x that was observed, and steps, one for each
 * channel of the result, from the largest weight. The range is made to hold 0, which so is a byte itself:
 * what pads x changes nothing. The sums, and what zero adds to them, are whole numbers, the same on every
 * CPU.
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
 *
 * requires  fold_scale, or what it would fold is done to floats
 * keeps     inputs and outputs of entries, but for what observing adds
 * breaks    results depart by what quantising costs; does nothing without kt_pass_options.quantization */
#include "passes/passes_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST_DEPTH = INT32_MAX / (UINT8_MAX * INT8_MAX), LEAST_CHANNELS = 3 };

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

typedef struct quantizing {
    kt_pass_run run;
    kt_graph *graph;
    kt_builder *builder;
    const bool *fixed;    /* by old value */
    const uint32_t *uses; /* by old value */
    as_bytes *known;      /* by old value; value 0: not known */
    kt_table predicted;   /* by location: how many products `predict` has there */
    kt_table counted;     /* the same of the function at work */
    kt_table named;       /* and how many of them have a name by now */
    kt_dim batch;         /* how many samples; 0: not known */
    KT_VECTOR(kt_port) observed;
} quantizing;

/* A product that can be of bytes. */
typedef struct product {
    const kt_node_info *node;
    kt_value x, w;
    kt_ints depth, own;       /* axes of w: those that are summed, and others */
    int64_t fours_x, fours_w; /* the axes that are filled up to fours; -1: none */
    int64_t filling;
} product;

/* ---- which products -------------------------------------------------------------------------------------
 */

static int64_t size_of(const quantizing *q, const kt_type *type, int64_t axis) {
    int64_t size = 0;
    kt_dim_is_const(q->graph->dims, type->dims[axis], &size);
    return size;
}

static bool is_among(const kt_ints *axes, int64_t axis) {
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->at[i] == axis) return true;
    return false;
}

static bool describe_dot(const quantizing *q, product *p) {
    const kt_attrs_dot_general *attrs = p->node->attrs;
    const kt_type *w = kt_graph_type(q->graph, p->w);
    if (attrs->panel || attrs->lhs_batch.count || !attrs->lhs_contract.count) return false;
    for (int64_t axis = 0; axis < w->rank; axis++) {
        kt_ints *axes = is_among(&attrs->rhs_contract, axis) ? &p->depth : &p->own;
        axes->at[axes->count++] = axis;
    }
    if (attrs->lhs_contract.count > 1) return true;
    p->fours_x = attrs->lhs_contract.at[0];
    p->fours_w = attrs->rhs_contract.at[0];
    return true;
}

static bool describe_conv(const quantizing *q, product *p) {
    const kt_attrs_conv *attrs = p->node->attrs;
    const kt_type *w = kt_graph_type(q->graph, p->w);
    for (uint32_t i = 0; i < attrs->input_dilation.count; i++)
        if (attrs->input_dilation.at[i] != 1) return false;
    if (attrs->panel || attrs->groups != 1 || size_of(q, w, w->rank - 2) < LEAST_CHANNELS) return false;
    for (int64_t axis = 0; axis < w->rank - 1; axis++) p->depth.at[p->depth.count++] = axis;
    p->own = (kt_ints){1, {w->rank - 1}};
    p->fours_x = w->rank - 1;
    p->fours_w = w->rank - 2;
    return true;
}

static bool describe(const quantizing *q, const kt_node_info *node, product *p) {
    if (node->op != KT_OP_dot_general && node->op != KT_OP_conv) return false;
    *p =
        (product){.node = node, .x = node->operands[0], .w = node->operands[1], .fours_x = -1, .fours_w = -1};
    const kt_type *w = kt_graph_type(q->graph, p->w);
    if (kt_graph_type(q->graph, p->x)->dtype != KT_F32 || w->dtype != KT_F32) return false;
    if (q->fixed[p->x] || !q->fixed[p->w] || kt_type_static_elements(q->graph->dims, w) < 1) return false;
    if (node->op == KT_OP_conv ? !describe_conv(q, p) : !describe_dot(q, p)) return false;
    int64_t depth = 1;
    for (uint32_t i = 0; i < p->depth.count; i++) depth *= size_of(q, w, p->depth.at[i]);
    int64_t whole = p->fours_w < 0 ? depth : size_of(q, w, p->fours_w);
    p->filling = (KT_BYTE_QUAD - whole % KT_BYTE_QUAD) % KT_BYTE_QUAD;
    return depth <= MOST_DEPTH && (p->filling == 0 || p->fours_w >= 0);
}

static kt_text locate(const quantizing *q, const product *p) {
    kt_text text = {.arena = q->run.scratch};
    kt_loc_print(q->graph, p->node->loc, &text);
    return text;
}

static uint32_t *count_in(const quantizing *q, kt_table *table, const kt_text *location) {
    return kt_table_add(table, q->run.scratch, location->at, location->length, 0);
}

static kt_table count_products(quantizing *q, const kt_function *function) {
    kt_table counted = {0};
    q->fixed = kt_pass_fixed(&q->run, function);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        product p;
        if (!describe(q, kt_graph_node(q->graph, function->nodes.at[i]), &p)) continue;
        const kt_text location = locate(q, &p);
        ++*count_in(q, &counted, &location);
    }
    return counted;
}

/* Its location, numbered if it is not the first there: the same in all entries that need all calls of a
 * layer. NULL in one that does not: nobody knows which calls those are. */
static const char *name_product(quantizing *q, const product *p) {
    kt_text text = locate(q, p);
    uint32_t number = ++*count_in(q, &q->named, &text);
    if (*count_in(q, &q->counted, &text) != *count_in(q, &q->predicted, &text)) return NULL;
    if (number > 1) kt_text_format(&text, "#%u", number);
    return kt_text_string(&text);
}

/* ---- observing ------------------------------------------------------------------------------------------
 */

/* The smallest or largest of x in each sample; in all of them, for each, where x does not lie by samples. */
static kt_value extreme(quantizing *q, kt_value x, kt_reduction kind) {
    const kt_type type = *kt_build_type(q->builder, x);
    bool by_samples = type.rank > 1 && type.dims[0] == q->batch;
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = i + by_samples;
    kt_value value = kt_build_reduce(q->builder, x, kind, (uint32_t)(type.rank - by_samples), axes);
    return by_samples || !q->batch ? value : kt_build_broadcast(q->builder, value, 1, &q->batch, NULL);
}

static void observe(quantizing *q, const product *p, const char *name) {
    static const kt_reduction kinds[] = {KT_REDUCE_MINIMUM, KT_REDUCE_MAXIMUM};
    static const char *const prefixes[] = {KT_OBSERVED_LOW, KT_OBSERVED_HIGH};
    kt_value x = kt_builder_lookup(q->builder, p->x);
    for (int i = 0; i < 2; i++) {
        const kt_port port = {.role = KT_ROLE_OUTPUT,
                              .name = kt_arena_format(q->graph->arena, "%s%s", prefixes[i], name),
                              .value = extreme(q, x, kinds[i])};
        KT_PUSH(q->run.scratch, &q->observed, port);
    }
}

/* Outputs stand in order, the model's own first. */
static void add_observed(quantizing *q) {
    uint32_t outputs = 0;
    for (uint32_t i = 0; i < q->builder->function.results.count; i++)
        outputs += q->builder->function.results.at[i].role == KT_ROLE_OUTPUT;
    for (uint32_t i = 0; i < q->observed.count; i++) {
        const kt_port *port = &q->observed.at[i];
        kt_builder_result(q->builder, port->role, port->name, outputs + i, port->value);
    }
}

/* ---- quantising -----------------------------------------------------------------------------------------
 */

static const kt_observed *find_range(const quantizing *q, const char *name) {
    const kt_quantization *quantization = q->run.options->quantization;
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

/* Does the operation do to bytes what it does to the floats that they stand for? */
static bool takes_bytes(const quantizing *q, const kt_node_info *node) {
    if (node->op == KT_OP_reshape || node->op == KT_OP_transpose) return true;
    return node->op == KT_OP_reduce_window && q->uses[node->operands[0]] == 1 &&
           ((const kt_attrs_reduce_window *)node->attrs)->kind == KT_REDUCE_MAXIMUM;
}

static kt_value quantize_value(quantizing *q, kt_value old, grid g) {
    kt_builder *b = q->builder;
    KT_VECTOR(const kt_node_info *) behind = {0};
    const kt_node_info *node = kt_graph_definition(q->graph, old);
    while (node && q->uses[old] == 1 && takes_bytes(q, node)) {
        KT_PUSH(q->run.scratch, &behind, node);
        old = node->operands[0];
        node = kt_graph_definition(q->graph, old);
    }
    kt_value x = kt_builder_lookup(b, old);
    /* The conversion truncates and saturates. */
    x = kt_build_mul(b, x, kt_build_like(b, x, 1 / g.step));
    x = kt_build_add(b, x, kt_build_like(b, x, g.zero + 0.5));
    x = kt_build_cast(b, x, KT_U8);
    while (behind.count) {
        node = behind.at[--behind.count];
        x = kt_pass_build_like(b, node, &x, node->attrs);
    }
    return x;
}

/* Of values that several products take, the bytes are made once. */
static as_bytes quantize_input(quantizing *q, kt_value x, const kt_observed *range) {
    as_bytes *known = &q->known[x];
    if (!known->value) {
        known->grid = grid_of(range);
        known->value = quantize_value(q, x, known->grid);
    }
    return *known;
}

/* How far apart the bytes of each channel's weights are. */
static kt_value weight_steps(quantizing *q, const product *p) {
    kt_builder *b = q->builder;
    kt_value sizes = kt_build_abs(b, kt_builder_lookup(b, p->w));
    sizes = kt_build_reduce(b, sizes, KT_REDUCE_MAXIMUM, p->depth.count, p->depth.at);
    sizes = kt_build_maximum(b, sizes, kt_build_like(b, sizes, FLT_MIN * INT8_MAX));
    return kt_build_div(b, sizes, kt_build_like(b, sizes, INT8_MAX));
}

static kt_value quantize_weights(quantizing *q, const product *p, kt_value steps) {
    kt_builder *b = q->builder;
    kt_value w = kt_builder_lookup(b, p->w);
    const kt_type type = *kt_build_type(b, w);
    steps = kt_build_broadcast(b, steps, type.rank, type.dims, p->own.at);
    return kt_build_cast(b, kt_build_round(b, kt_build_div(b, w, steps)), KT_I8);
}

/* One value a channel, for the whole result. */
static kt_value spread(quantizing *q, const product *p, kt_value channels) {
    const kt_type *type = kt_graph_type(q->graph, p->node->first_result);
    int64_t axes[KT_MAX_RANK];
    for (uint32_t i = 0; i < p->own.count; i++) axes[i] = type->rank - (int64_t)p->own.count + i;
    return kt_build_broadcast(q->builder, channels, type->rank, type->dims, axes);
}

/* value with so many more of fill behind it along axis, and around it what a convolution wants. */
static kt_value fill_up(quantizing *q, kt_value value, int64_t axis, int64_t filling,
                        const kt_attrs_conv *conv, double fill) {
    const kt_type type = *kt_build_type(q->builder, value);
    kt_dim none = kt_dim_const(q->graph->dims, 0), low[KT_MAX_RANK], high[KT_MAX_RANK];
    int64_t interior[KT_MAX_RANK] = {0};
    bool any = filling > 0;
    for (int i = 0; i < type.rank; i++) low[i] = high[i] = none;
    if (filling) high[axis] = kt_dim_const(q->graph->dims, filling);
    for (uint32_t i = 0; conv && i < conv->low.count; i++) {
        low[i + 1] = conv->low.at[i];
        high[i + 1] = conv->high.at[i];
        any = any || low[i + 1] != none || high[i + 1] != none;
    }
    if (!any) return value;
    kt_value scalar = kt_build_scalar(q->builder, type.dtype, fill);
    return kt_build_pad(q->builder, value, scalar, low, high, interior);
}

static kt_value build_product(quantizing *q, const product *p, as_bytes x, kt_value w) {
    w = fill_up(q, w, p->fours_w, p->filling, NULL, 0);
    if (p->node->op != KT_OP_conv) {
        x.value = fill_up(q, x.value, p->fours_x, p->filling, NULL, 0);
        return kt_build_dot_general(q->builder, x.value, w, p->node->attrs);
    }
    kt_attrs_conv attrs = *(const kt_attrs_conv *)p->node->attrs;
    x.value = fill_up(q, x.value, p->fours_x, p->filling, &attrs, x.grid.zero);
    for (uint32_t i = 0; i < attrs.low.count; i++)
        attrs.low.at[i] = attrs.high.at[i] = kt_dim_const(q->graph->dims, 0);
    return kt_build_conv(q->builder, x.value, w, &attrs);
}

static void quantize(quantizing *q, const product *p, const kt_observed *range) {
    kt_builder *b = q->builder;
    as_bytes x = quantize_input(q, p->x, range);
    kt_value steps = weight_steps(q, p), w = quantize_weights(q, p, steps);
    kt_value sums = build_product(q, p, x, w);
    if (x.grid.zero) {
        kt_value offsets =
            kt_build_reduce(b, kt_build_cast(b, w, KT_I32), KT_REDUCE_SUM, p->depth.count, p->depth.at);
        offsets = kt_build_mul(b, offsets, kt_build_like(b, offsets, x.grid.zero));
        sums = kt_build_sub(b, sums, spread(q, p, offsets));
    }
    kt_value scales = kt_build_mul(b, steps, kt_build_like(b, steps, x.grid.step));
    scales = spread(q, p, scales);
    kt_builder_replace(b, p->node->first_result, kt_build_mul(b, kt_build_cast(b, sums, KT_F32), scales));
}

/* ---- functions ------------------------------------------------------------------------------------------
 */

static void find_batch(quantizing *q, const kt_function *entry) {
    for (uint32_t i = entry->params.count; i-- > 0;) {
        const kt_type *type = kt_graph_type(q->graph, entry->params.at[i].value);
        if (entry->params.at[i].role == KT_ROLE_INPUT && type->rank > 0) q->batch = type->dims[0];
    }
}

static kt_status rewrite(quantizing *q, kt_func func, bool observes) {
    kt_graph *graph = q->graph;
    const kt_function old = *kt_graph_function(graph, func);
    kt_builder builder;
    q->builder = &builder;
    q->counted = count_products(q, &old);
    q->named = (kt_table){0};
    q->uses = kt_pass_uses(&q->run, &old);
    q->known = KT_NEW_ARRAY(q->run.scratch, as_bytes, graph->values.count);
    if (observes) find_batch(q, &old);
    kt_builder_begin_rewrite(&builder, graph, func, q->run.diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old.nodes.at[i]);
        product p;
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
    return kt_pass_drop_dead(&q->run, func);
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
    q->graph = graph;
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
    quantizing q = {.run = {graph, options, diag, NULL}};
    return kt_pass_scratched(run_quantize, &q.run);
}
