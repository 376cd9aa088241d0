/* Quantisation of weights alone: what is multiplied stays float.
 *
 *   x ∘ w              →   (x ∘ f32(v)) * steps,   v = i8(w / steps)
 *   gather(table, i)   →   f32(gather(v, i)) * gather(steps, i)
 *
 * steps come from the largest weight of each channel of the result, or of each row of a table. Weights take a
 * fourth of the memory, and of the time to read them, which is what a product with few rows costs: layout
 * sees that its kernel reads the bytes themselves. Nothing has to be observed, so products inside of loops
 * are quantised too, and hoist moves the making of their bytes out of these.
 *
 * Left as they are: convolutions, which use a weight often; tables that something computes.
 *
 * requires  fold_scale, or what it would fold is done to floats
 * keeps     inputs and outputs of entries
 * breaks    results depart by what rounding weights costs */
#include "passes/quantize_impl.h"

#include <float.h>

kt_value kt_quantize_steps(kt_builder *b, kt_value w, const kt_ints *depth) {
    kt_value sizes = kt_build_reduce(b, kt_build_abs(b, w), KT_REDUCE_MAXIMUM, depth->count, depth->at);
    sizes = kt_build_maximum(b, sizes, kt_build_like(b, sizes, FLT_MIN * INT8_MAX));
    return kt_build_div(b, sizes, kt_build_like(b, sizes, INT8_MAX));
}

kt_value kt_quantize_weights(kt_builder *b, kt_value w, kt_value steps, const kt_ints *own) {
    const kt_type type = *kt_build_type(b, w);
    steps = kt_build_broadcast(b, steps, type.rank, type.dims, own->at);
    return kt_build_cast(b, kt_build_round(b, kt_build_div(b, w, steps)), KT_I8);
}

kt_value kt_quantize_spread(kt_builder *b, kt_value channels, const kt_type *result, const kt_ints *own) {
    const kt_type type = *result;
    int64_t places[KT_MAX_RANK];
    for (uint32_t i = 0; i < own->count; i++) places[i] = type.rank - (int64_t)own->count + i;
    return kt_build_broadcast(b, channels, type.rank, type.dims, places);
}

typedef struct weights {
    kt_narrowing n;
    uint32_t count; /* of all functions, quantised */
} weights;

/* Rows of a table that is itself a variable: what code computes may be wanted exactly. */
static bool is_lookup(const weights *s, const kt_node_info *node) {
    if (node->op != KT_OP_gather) return false;
    const kt_graph *graph = s->n.run.graph;
    const kt_attrs_gather *attrs = node->attrs;
    kt_value table = node->operands[0];
    const kt_type *type = kt_graph_type(graph, table);
    return attrs->axis == 0 && attrs->batch_dims == 0 && !s->n.fixed[node->operands[1]] &&
           s->n.fixed[table] && !kt_graph_definition(graph, table) && type->dtype == KT_F32 &&
           type->rank == 2 && kt_type_static_elements(graph->dims, type) > 0;
}

static kt_value quantize_product(const weights *s, const kt_weighted *p) {
    kt_builder *b = s->n.builder;
    kt_value x = kt_builder_lookup(b, p->x), w = kt_builder_lookup(b, p->w);
    kt_value steps = kt_quantize_steps(b, w, &p->depth);
    kt_value bytes = kt_quantize_weights(b, w, steps, &p->own);
    kt_value sums = kt_build_dot_general(b, x, kt_build_cast(b, bytes, KT_F32), p->node->attrs);
    return kt_build_mul(b, sums, kt_quantize_spread(b, steps, kt_build_type(b, sums), &p->own));
}

static kt_value quantize_lookup(const weights *s, const kt_node_info *node) {
    static const kt_ints rows = {1, {0}}, columns = {1, {1}};
    kt_builder *b = s->n.builder;
    kt_value table = kt_builder_lookup(b, node->operands[0]), which = kt_builder_lookup(b, node->operands[1]);
    kt_value steps = kt_quantize_steps(b, table, &columns);
    kt_value bytes = kt_build_gather(b, kt_quantize_weights(b, table, steps, &rows), which, 0, 0);
    const kt_type type = *kt_build_type(b, bytes);
    int64_t places[KT_MAX_RANK];
    for (int axis = 0; axis < type.rank; axis++) places[axis] = axis;
    kt_value scales =
        kt_build_broadcast(b, kt_build_gather(b, steps, which, 0, 0), type.rank, type.dims, places);
    return kt_build_mul(b, kt_build_cast(b, bytes, KT_F32), scales);
}

static kt_value quantize_node(const weights *s, const kt_node_info *node) {
    kt_weighted p;
    if (is_lookup(s, node)) return quantize_lookup(s, node);
    if (node->op != KT_OP_dot_general || !kt_narrow_describe(&s->n, node, &p)) return 0;
    return kt_graph_type(s->n.run.graph, p.w)->dtype == KT_F32 ? quantize_product(s, &p) : 0;
}

static kt_status rewrite(weights *s, kt_func func) {
    kt_graph *graph = s->n.run.graph;
    const kt_function old = *kt_graph_function(graph, func);
    kt_builder builder;
    s->n.builder = &builder;
    s->n.fixed = kt_pass_fixed(&s->n.run, &old);
    kt_builder_begin_rewrite(&builder, graph, func, s->n.run.diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old.nodes.at[i]);
        builder.loc = node->loc;
        kt_value quantized = quantize_node(s, node);
        if (quantized)
            kt_builder_replace(&builder, node->first_result, quantized);
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
        s->count += quantized != 0;
    }
    kt_builder_copy_results(&builder);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(&s->n.run, func);
}

kt_status kt_quantize_weights_only(kt_pass_run *run) {
    static const kt_func_kind kinds[] = {KT_FUNC_STEP, KT_FUNC_ENTRY};
    weights s = {.n = {.run = *run, .word = 1}};
    for (int i = 0; i < 2; i++)
        for (kt_func func = kt_graph_next(run->graph, kinds[i], 0); func;
             func = kt_graph_next(run->graph, kinds[i], func))
            KT_TRY(rewrite(&s, func));
    if (s.count) return KT_OK;
    return kt_diag_add(
        run->diag, KT_UNSUPPORTED, NULL,
        "There is nothing to quantise: no contraction of float32 by weights, and no table of them.");
}
