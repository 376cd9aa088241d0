/* Hoisting: what a step computes from operands that stay alone is the same in every turn of its loop, so it
 * moves out of the step into the function around the scan, from where it is handed in. Packed weights thus
 * leave their loops, and split then moves them into `prepare`.
 *
 * A value that repeats elements stays, as in split: its operand is handed in. Operands that no step uses any
 * more are dropped. Inner loops come first, so that a value leaves as many loops as it can.
 *
 * requires  nothing
 * keeps     results; steps of several scans
 * breaks    nothing */
#include "passes/passes_impl.h"

typedef struct hoisting {
    kt_pass_run run;
    bool *done; /* by function */
} hoisting;

/* What a step needs from outside. By old value or node of the step. */
typedef struct needs {
    uint32_t values; /* how many there are; later ones are of the function around */
    bool *still;     /* values that are the same in every turn */
    bool *handed;    /* of these, those that are handed in */
    bool *again;     /* nodes of still values that the step computes all the same */
    bool *moved;     /* values that are computed outside */
} needs;

static uint32_t count_callers(const kt_graph *graph, kt_func func) {
    uint32_t count = 0;
    for (kt_func caller = 1; caller < graph->functions.count; caller++) {
        const kt_function *function = kt_graph_function(graph, caller);
        for (uint32_t i = 0; i < function->nodes.count; i++)
            count += kt_node_callee(kt_graph_node(graph, function->nodes.at[i])) == func;
    }
    return count;
}

static void need(const kt_graph *graph, needs *n, kt_value value) {
    if (!n->still[value]) return;
    const kt_node_info *node = kt_graph_definition(graph, value);
    while (node && kt_pass_repeats_elements(graph, node)) {
        n->again[kt_graph_value(graph, value)->node] = true;
        if (node->operand_count == 0) return;
        value = node->operands[0];
        node = kt_graph_definition(graph, value);
    }
    n->handed[value] = true;
}

static needs find_needs(kt_pass_run *run, const kt_function *step, uint32_t first_still) {
    const kt_graph *graph = run->graph;
    const bool *live = kt_pass_live(run, step);
    needs n = {.values = graph->values.count,
               .still = KT_NEW_ARRAY(run->scratch, bool, graph->values.count),
               .handed = KT_NEW_ARRAY(run->scratch, bool, graph->values.count),
               .again = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count),
               .moved = KT_NEW_ARRAY(run->scratch, bool, graph->values.count)};
    for (uint32_t i = first_still; i < step->params.count; i++) n.still[step->params.at[i].value] = true;
    for (uint32_t i = 0; i < step->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, step->nodes.at[i]);
        bool all = true;
        for (uint32_t k = 0; k < node->operand_count; k++) all = all && n.still[node->operands[k]];
        for (uint32_t k = 0; k < node->result_count; k++) n.still[node->first_result + k] = all;
        if (all || !live[step->nodes.at[i]]) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) need(graph, &n, node->operands[k]);
    }
    for (uint32_t i = 0; i < step->results.count; i++) need(graph, &n, step->results.at[i].value);
    for (uint32_t i = step->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(graph, step->nodes.at[i]);
        bool moved = false;
        for (uint32_t k = 0; k < node->result_count; k++)
            moved = moved || n.handed[node->first_result + k] || n.moved[node->first_result + k];
        for (uint32_t k = 0; k < node->result_count; k++) n.moved[node->first_result + k] = moved;
        for (uint32_t k = 0; k < node->operand_count && moved; k++) n.moved[node->operands[k]] = true;
    }
    return n;
}

/* Rewrites the step, whose old form is given, with a parameter for every handed value. */
static kt_status rewrite_step(hoisting *h, kt_func func, const kt_function *old, const needs *n,
                              uint32_t first_still) {
    kt_graph *graph = h->run.graph;
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, h->run.diag);
    builder.function.params.count = 0;
    for (kt_value i = 0; i < first_still; i++) {
        const kt_type type = *kt_graph_type(graph, old->params.at[i].value);
        kt_builder_replace(&builder, old->params.at[i].value,
                           kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, i, &type));
    }
    for (kt_value value = 1; value < n->values; value++) {
        if (!n->handed[value]) continue;
        const kt_type type = *kt_graph_type(graph, value);
        kt_builder_replace(
            &builder, value,
            kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, builder.function.params.count, &type));
    }
    for (uint32_t i = 0; i < old->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old->nodes.at[i]);
        bool still = node->result_count > 0 && n->still[node->first_result];
        if (n->again[old->nodes.at[i]] || !still) kt_builder_copy(&builder, old->nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status hoist_scan(hoisting *h, kt_builder *builder, kt_node handle) {
    kt_graph *graph = h->run.graph;
    const kt_node_info node = *kt_graph_node(graph, handle);
    const kt_attrs_scan *attrs = node.attrs;
    uint32_t first_still = (uint32_t)(attrs->carried + attrs->sequences);
    if (count_callers(graph, attrs->body) != 1) {
        kt_builder_copy(builder, handle);
        return KT_OK;
    }
    KT_TRY(kt_pass_drop_dead(&h->run, attrs->body));
    const kt_function live = *kt_graph_function(graph, attrs->body);
    const needs n = find_needs(&h->run, &live, first_still);
    kt_value *map = KT_NEW_ARRAY(h->run.scratch, kt_value, n.values);
    KT_VECTOR(kt_value) operands = {0};
    for (uint32_t i = 0; i < node.operand_count; i++) {
        map[live.params.at[i].value] = kt_builder_lookup(builder, node.operands[i]);
        if (i < first_still) KT_PUSH(h->run.scratch, &operands, map[live.params.at[i].value]);
    }
    for (uint32_t i = 0; i < live.nodes.count; i++)
        if (n.moved[kt_graph_node(graph, live.nodes.at[i])->first_result])
            kt_pass_clone(builder, live.nodes.at[i], map);
    for (kt_value value = 1; value < n.values; value++)
        if (n.handed[value]) KT_PUSH(h->run.scratch, &operands, map[value]);
    KT_TRY(builder->status);
    KT_TRY(rewrite_step(h, attrs->body, &live, &n, first_still));
    kt_value *results = KT_NEW_ARRAY(h->run.scratch, kt_value, node.result_count);
    builder->loc = node.loc;
    kt_build_scan(builder, attrs, operands.at, operands.count, results);
    for (uint32_t i = 0; i < node.result_count; i++)
        kt_builder_replace(builder, node.first_result + i, results[i]);
    return KT_OK;
}

static kt_status hoist_function(hoisting *h, kt_func func) {
    kt_graph *graph = h->run.graph;
    if (h->done[func]) return KT_OK;
    h->done[func] = true;
    bool any = false;
    const kt_function old = *kt_graph_function(graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(graph, old.nodes.at[i]);
        if (node.op != KT_OP_scan) continue;
        any = true;
        KT_TRY(hoist_function(h, kt_node_callee(&node)));
    }
    if (!any) return KT_OK;
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, h->run.diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        if (kt_graph_node(graph, old.nodes.at[i])->op == KT_OP_scan)
            KT_TRY(hoist_scan(h, &builder, old.nodes.at[i]));
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_hoist(kt_pass_run *run) {
    hoisting *h = (hoisting *)run;
    h->done = KT_NEW_ARRAY(run->scratch, bool, run->graph->functions.count);
    for (kt_func func = 1; func < run->graph->functions.count; func++)
        if (kt_graph_function(run->graph, func)->kind != KT_FUNC_KERNEL) KT_TRY(hoist_function(h, func));
    return KT_OK;
}

kt_status kt_pass_hoist(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    hoisting h = {.run = {graph, options, diag, NULL}};
    return kt_pass_scratched(run_hoist, &h.run);
}
