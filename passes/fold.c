/* Constant folding: what constants alone determine is computed now, by the reference evaluator.
 *
 * Only what makes the program smaller, or not much larger: views that repeat elements stay, and big tensors
 * are left to split, which computes them in `prepare`.
 *
 * requires  nothing
 * keeps     the order and the locations of nodes
 * breaks    nothing */
#include "passes/passes_impl.h"

enum {
    MOST_ELEMENTS = 4096,    /* of a result that is worth a constant in the graph */
    MOST_PRODUCTS = 1 << 20, /* bound on the work: the product of the operands' elements */
};

static bool worth_folding(const kt_graph *graph, const kt_node_info *node) {
    const kt_type *type = kt_graph_type(graph, node->first_result);
    int64_t elements = kt_type_static_elements(graph->dims, type);
    int64_t most = MOST_ELEMENTS, products = 1;
    if (node->op == KT_OP_constant || node->result_count != 1 || kt_op_is(node->op, KT_CALLS)) return false;
    if (type->dtype == KT_STRING || !kt_pass_is_sized(graph, node)) return false;
    if (node->op == KT_OP_size) return true;
    if (node->op == KT_OP_iota) return elements <= KT_SMALL_CONSTANT;
    if (node->op == KT_OP_broadcast || node->op == KT_OP_pad) most = KT_SMALL_CONSTANT;
    if (node->op == KT_OP_broadcast && kt_graph_type(graph, node->operands[0])->rank == 0) return false;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *operand = kt_graph_definition(graph, node->operands[i]);
        if (!operand || operand->op != KT_OP_constant) return false;
        int64_t count = kt_type_static_elements(graph->dims, kt_graph_type(graph, node->operands[i]));
        if (count > MOST_PRODUCTS / products) return false;
        products *= count > 0 ? count : 1;
    }
    return node->operand_count > 0 && elements <= most;
}

static kt_tensor constant_tensor(const kt_graph *graph, kt_value value) {
    const kt_type *type = kt_graph_type(graph, value);
    const kt_attrs_constant *constant = kt_graph_definition(graph, value)->attrs;
    kt_tensor tensor = {
        .dtype = type->dtype, .rank = type->rank, .data = (void *)(uintptr_t)constant->literal.data};
    for (int i = 0; i < type->rank; i++) kt_dim_is_const(graph->dims, type->dims[i], &tensor.dims[i]);
    return tensor;
}

static kt_status fold(kt_pass_run *run, kt_func func) {
    kt_graph *graph = run->graph;
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, run->diag);
    const kt_function old = *kt_graph_function(graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old.nodes.at[i]);
        kt_builder_copy(&builder, old.nodes.at[i]);
        kt_value copy = kt_builder_lookup(&builder, node->first_result);
        const kt_node_info *now = kt_graph_definition(graph, copy);
        if (!now || !worth_folding(graph, now)) continue;
        kt_tensor *operands = KT_NEW_ARRAY(run->scratch, kt_tensor, now->operand_count), result = {0};
        for (uint32_t k = 0; k < now->operand_count; k++)
            operands[k] = constant_tensor(graph, now->operands[k]);
        kt_node copied = kt_graph_value(graph, copy)->node;
        KT_TRY(kt_eval_node(graph, copied, operands, run->scratch, &result, run->diag));
        builder.loc = now->loc;
        const kt_type type = *kt_graph_type(graph, copy);
        kt_builder_replace(&builder, node->first_result, kt_build_constant(&builder, &type, result.data));
    }
    kt_builder_copy_results(&builder);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(run, func);
}

static kt_status run_fold(kt_pass_run *run) { return kt_pass_each(run, fold); }

kt_status kt_pass_fold(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_fold, graph, options, diag);
}
