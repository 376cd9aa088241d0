/* Narrowing: contractions and convolutions by weights become products of bfloat16, summed in float32.
 *
 *   x ∘ w   →   bf16(x) ∘ bf16(w), wide
 *
 * x is rounded before the reshapes, transposes and largest of windows that lead to the product, so by the
 * last operation of the layer before it, if nobody else reads its floats. The weights, which are fixed, are
 * rounded in `prepare`. A depth that is no whole pairs is filled up with a zero.
 *
 * Left as they are: products of other types than f32; of grouped convolutions; of less than three channels,
 * which are mostly filling; over several axes that together are odd; and convolutions that minimal filtering
 * (layout) makes cheaper in floats than halves of the products would be, whatever -O and the target's CPU
 * are.
 *
 * requires  fold_scale, or what it would fold is done to rounded weights; before layout, which packs pairs
 * keeps     inputs and outputs of entries
 * breaks    results depart by what rounding costs; does nothing without kt_pass_options.bf16 */
#include "passes/layout_impl.h"
#include "passes/products_impl.h"

static const double PAIRS_SHARE = 0.5; /* what products of pairs cost, of those of floats */

static kt_value as_bf16(kt_narrowing *n, kt_value x, const void *context) {
    (void)context;
    return kt_build_cast(n->builder, x, KT_BF16);
}

static bool is_cheaper_filtered(const kt_narrowing *n, const kt_node_info *node) {
    const kt_graph *graph = n->run.graph;
    return node->op == KT_OP_conv &&
           kt_winograd_choose(graph->dims, node->attrs, kt_graph_type(graph, node->operands[0]),
                              kt_graph_type(graph, node->operands[1]),
                              kt_graph_type(graph, node->first_result), PAIRS_SHARE);
}

/* known: by old value, what it is rounded to; several products may take it. */
static kt_value narrow(kt_narrowing *n, const kt_weighted *p, kt_value *known) {
    kt_builder *b = n->builder;
    kt_value w = kt_build_cast(b, kt_builder_lookup(b, p->w), KT_BF16);
    if (!known[p->x]) known[p->x] = kt_narrow_value(n, p->x, as_bf16, NULL);
    kt_value x = kt_narrow_fill(n, known[p->x], p->filled_x, p->filling, NULL, 0);
    w = kt_narrow_fill(n, w, p->filled_w, p->filling, NULL, 0);
    if (p->node->op == KT_OP_conv) {
        kt_attrs_conv attrs = *(const kt_attrs_conv *)p->node->attrs;
        attrs.wide = 1;
        return kt_build_conv(b, x, w, &attrs);
    }
    kt_attrs_dot_general attrs = *(const kt_attrs_dot_general *)p->node->attrs;
    attrs.wide = 1;
    return kt_build_dot_general(b, x, w, &attrs);
}

static kt_status rewrite(kt_pass_run *run, kt_func func) {
    kt_narrowing *n = (kt_narrowing *)run;
    const kt_function old = *kt_graph_function(run->graph, func);
    kt_value *known = KT_NEW_ARRAY(run->scratch, kt_value, run->graph->values.count);
    kt_builder builder;
    n->builder = &builder;
    n->fixed = kt_pass_fixed(run, &old);
    n->uses = kt_pass_uses(run, &old);
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(run->graph, old.nodes.at[i]);
        kt_weighted p;
        builder.loc = node->loc;
        if (kt_narrow_describe(n, node, &p) && !is_cheaper_filtered(n, node))
            kt_builder_replace(&builder, node->first_result, narrow(n, &p, known));
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(run, func);
}

static kt_status run_narrow(kt_pass_run *run) { return kt_pass_each(run, rewrite); }

kt_status kt_pass_narrow(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    kt_narrowing n = {.run = {graph, options, diag, NULL}, .word = KT_BF16_PAIR};
    return options->bf16 ? kt_pass_scratched(run_narrow, &n.run) : KT_OK;
}
