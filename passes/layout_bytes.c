/* Layout: weights that are kept as bytes. */
#include "passes/layout_impl.h"

static bool is_view(const kt_node_info *node) {
    return node->op == KT_OP_reshape || node->op == KT_OP_transpose;
}

kt_value kt_layout_bytes(kt_layouting *l, kt_value old) {
    const kt_node_info *views[KT_MAX_RANK];
    uint32_t count = 0;
    const kt_node_info *node = kt_graph_definition(l->graph, old);
    while (node && is_view(node) && count < KT_MAX_RANK) {
        views[count++] = node;
        node = kt_graph_definition(l->graph, node->operands[0]);
    }
    if (!node || node->op != KT_OP_cast || !l->fixed[node->operands[0]] ||
        kt_graph_type(l->graph, node->operands[0])->dtype != KT_I8 ||
        kt_graph_type(l->graph, node->first_result)->dtype != KT_F32)
        return 0;
    kt_value bytes = kt_builder_lookup(l->builder, node->operands[0]);
    while (count > 0) {
        node = views[--count];
        bytes = kt_pass_build_like(l->builder, node, &bytes, node->attrs);
    }
    return bytes;
}
