/* Narrowing: contractions and convolutions by weights become products of bfloat16, summed in float32.
 *
 *   x ∘ w   →   bf16(x) ∘ bf16(w), wide         of f32, with kt_pass_options.bf16
 *   x ∘ w   →   bf16(x ∘ w, wide)               of bf16: what a product of these is, in the form that CPUs
 * have
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
 * breaks    results of f32 depart by what rounding costs */
#include "passes/layout_impl.h"
#include "passes/products_impl.h"

static const double PAIRS_SHARE = 0.5; /* what products of pairs cost, of those of floats */

static kt_value cast_to(kt_builder *b, kt_value x, kt_dtype dtype) {
    return kt_build_type(b, x)->dtype == dtype ? x : kt_build_cast(b, x, dtype);
}

static kt_value as_bf16(kt_narrowing *n, kt_value old, const void *context) {
    (void)context;
    return cast_to(n->builder, kt_builder_lookup(n->builder, old), KT_BF16);
}

static bool narrows(const kt_narrowing *n, const kt_node_info *node, kt_weighted *p) {
    const kt_graph *graph = n->run.graph;
    if (!kt_narrow_describe(n, node, p)) return false;
    const kt_type *x = kt_graph_type(graph, p->x), *result = kt_graph_type(graph, node->first_result);
    if (x->dtype == KT_BF16) return result->dtype == KT_BF16;
    int most;
    bool filtered =
        node->op == KT_OP_conv && kt_winograd_choose(graph->dims, node->attrs, x, kt_graph_type(graph, p->w),
                                                     result, PAIRS_SHARE, &most) > 0;
    return n->run.options->bf16 && !filtered;
}

/* known: by old value, what it is rounded to; several products may take it. */
static kt_value narrow(kt_narrowing *n, const kt_weighted *p, kt_value *known) {
    kt_builder *b = n->builder;
    kt_value w = cast_to(b, kt_builder_lookup(b, p->w), KT_BF16);
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
        if (narrows(n, node, &p)) {
            kt_dtype dtype = kt_graph_type(run->graph, node->first_result)->dtype;
            kt_builder_replace(&builder, node->first_result, cast_to(&builder, narrow(n, &p, known), dtype));
        } else {
            kt_builder_copy(&builder, old.nodes.at[i]);
        }
    }
    kt_builder_copy_results(&builder);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(run, func);
}

static kt_status run_narrow(kt_pass_run *run) { return kt_pass_each(run, rewrite); }

kt_status kt_pass_narrow(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    kt_narrowing n = {.run = {graph, options, diag, NULL}, .word = KT_BF16_PAIR};
    return kt_pass_scratched(run_narrow, &n.run);
}
