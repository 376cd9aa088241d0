/* Common subexpressions: of nodes that do the same to the same operands, only the first stays.
 *
 * Every operation is pure, so equal operation, operands and attributes mean equal results.
 *
 * requires  nothing
 * keeps     the order of what stays, and the location of the first of equal nodes
 * breaks    nothing */
#include "passes/passes_impl.h"

static kt_status cse(kt_pass_run *run, kt_func func) {
    kt_table seen = {0}; /* from kt_pass_key_of_equals to the first result in the new function */
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    const kt_function old = *kt_graph_function(run->graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(run->graph, old.nodes.at[i]);
        kt_value *operands = KT_NEW_ARRAY(run->scratch, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++)
            operands[k] = kt_builder_lookup(&builder, node.operands[k]);
        kt_text key = {.arena = run->scratch};
        kt_pass_key_of_equals(&key, &node, operands);
        const uint32_t *first = kt_table_find(&seen, key.at, key.length);
        if (!first) {
            kt_builder_copy(&builder, old.nodes.at[i]);
            kt_table_add(&seen, run->scratch, key.at, key.length,
                         kt_builder_lookup(&builder, node.first_result));
        } else {
            for (uint32_t k = 0; k < node.result_count; k++)
                kt_builder_replace(&builder, node.first_result + k, *first + k);
        }
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_cse(kt_pass_run *run) { return kt_pass_each(run, cse); }

kt_status kt_pass_cse(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_cse, graph, options, diag);
}
