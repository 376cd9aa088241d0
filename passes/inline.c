/* Inlining: calls of composites become their bodies' nodes.
 *
 * A body is shared by all layers that print alike, so its nodes take the location of the call, which names
 * the layer.
 *
 * requires  no composite calls itself, directly or through others
 * keeps     calls of kernels
 * breaks    the names of composites: no later pass can ask for them */
#include "passes/passes_impl.h"

/* Adds what func computes from operands. Operands and results are values of the new function. */
static kt_status expand(kt_pass_run *run, kt_builder *builder, kt_func func, const kt_value *operands,
                        kt_value *out_results, kt_loc loc, uint32_t depth) {
    const kt_function body = *kt_graph_function(run->graph, func);
    if (depth > run->graph->functions.count)
        return kt_diag_add(run->diag, KT_INVALID, NULL, "Function \"%s\" calls itself, which has no end.",
                           body.name);
    kt_value *map = KT_NEW_ARRAY(run->scratch, kt_value, run->graph->values.count);
    for (uint32_t i = 0; i < body.params.count; i++) map[body.params.at[i].value] = operands[i];
    for (uint32_t i = 0; i < body.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(run->graph, body.nodes.at[i]);
        kt_value *arguments = KT_NEW_ARRAY(run->scratch, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++) arguments[k] = map[node.operands[k]];
        builder->loc = loc ? loc : node.loc;
        if (node.op == KT_OP_call) {
            KT_TRY(expand(run, builder, ((const kt_attrs_call *)node.attrs)->callee, arguments,
                          &map[node.first_result], builder->loc, depth + 1));
        } else {
            kt_build_nodes(builder, node.op, arguments, node.operand_count, node.attrs,
                           &map[node.first_result]);
        }
    }
    for (uint32_t i = 0; i < body.results.count; i++) out_results[i] = map[body.results.at[i].value];
    return KT_OK;
}

static bool calls_composite(const kt_graph *graph, const kt_node_info *node) {
    return node->op == KT_OP_call &&
           kt_graph_function(graph, ((const kt_attrs_call *)node->attrs)->callee)->kind == KT_FUNC_BODY;
}

static kt_status inline_entry(kt_pass_run *run, kt_func func) {
    if (kt_graph_function(run->graph, func)->kind == KT_FUNC_BODY) return KT_OK;
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    const kt_function old = *kt_graph_function(run->graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(run->graph, old.nodes.at[i]);
        if (!calls_composite(run->graph, &node)) {
            kt_builder_copy(&builder, old.nodes.at[i]);
            continue;
        }
        kt_value *operands = KT_NEW_ARRAY(run->scratch, kt_value, node.operand_count);
        kt_value *results = KT_NEW_ARRAY(run->scratch, kt_value, node.result_count);
        for (uint32_t k = 0; k < node.operand_count; k++)
            operands[k] = kt_builder_lookup(&builder, node.operands[k]);
        KT_TRY(expand(run, &builder, ((const kt_attrs_call *)node.attrs)->callee, operands, results, node.loc,
                      1));
        for (uint32_t k = 0; k < node.result_count; k++)
            kt_builder_replace(&builder, node.first_result + k, results[k]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_inline(kt_pass_run *run) {
    KT_TRY(kt_pass_each(run, inline_entry));
    kt_graph_drop_unreachable(run->graph);
    return KT_OK;
}

kt_status kt_pass_inline(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_inline, graph, options, diag);
}
