/* Concats that are no kernels: where one would only copy what other kernels make, each for it alone, these
 * write straight into their parts of its buffer.
 *
 * A part's elements of the last axis lie side by side as before; from row to row it is further. So parts of
 * one column are not written in place: kernels may have lanes run along their rows (codegen/lower/dots.c).
 * Concats along other axes are left alone: kernels count rows through batch and places together, and would
 * have to take that apart. So are graphs that train, which drop what kernels make one by one and run them
 * again (passes/rerun.c). */
#include "passes/fuse_impl.h"

static bool gives_variables(const kt_graph *graph) {
    for (kt_func func = 1; func < graph->functions.count; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < function->results.count; i++)
            if (function->results.at[i].role == KT_ROLE_VARIABLE) return true;
    }
    return false;
}

/* The group whose only result is value, if its kernel can write that with gaps between rows: all do that go
 * through it by positions. */
static kt_group *find_writer(const kt_grouping *g, kt_value value) {
    kt_node root = kt_graph_value(g->graph, value)->node;
    if (!root || !g->rooted[root] || g->uses[value] != 1) return NULL;
    kt_group *group = &g->groups.at[g->rooted[root] - 1];
    const kt_type *type = kt_graph_type(g->graph, value);
    if (kt_dim_equals(g->graph->dims, type->dims[type->rank - 1], 1)) return NULL;
    if (group->others.count || group->copies.count || group->whole) return NULL;
    for (uint32_t i = 0; i < group->members.count; i++) {
        const kt_node_info *node = kt_graph_node(g->graph, group->members.at[i].node);
        if (kt_op_is(node->op, KT_VIEW) && node->op != KT_OP_broadcast && node->op != KT_OP_slice)
            return NULL;
        if (node->op == KT_OP_cumulative || node->op == KT_OP_scatter || kt_pass_calls_blas(g->run, node))
            return NULL;
    }
    return group;
}

static void assemble(kt_grouping *g, kt_group *copying) {
    const kt_node_info *concat = kt_graph_node(g->graph, copying->root);
    bool copies = concat->op == KT_OP_concat && copying->members.count == 1 && copying->others.count == 0;
    if (!copies || copying->joined || copying->copies.count) return;
    int axis = (int)((const kt_attrs_concat *)concat->attrs)->axis;
    if (axis == 0 || axis + 1 != kt_graph_type(g->graph, concat->first_result)->rank) return;
    for (uint32_t k = 0; k < concat->operand_count; k++)
        if (!find_writer(g, concat->operands[k])) return;
    for (uint32_t k = 0; k < concat->operand_count; k++)
        find_writer(g, concat->operands[k])->whole = copying->root;
    copying->joined = true;
    g->rooted[copying->root] = 0;
    g->assembled[copying->root] = true;
}

void kt_fuse_assemble(kt_grouping *g) {
    if (gives_variables(g->graph)) return;
    for (uint32_t i = 0; i < g->groups.count; i++) assemble(g, &g->groups.at[i]);
}
