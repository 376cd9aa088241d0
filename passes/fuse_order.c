/* The order of an entry's kernels: those that only write results, as an optimizer's updates, and those of a
 * few numbers come as soon as they can. Else all gradients are kept until the last of them is there. */
#include "passes/fuse_impl.h"

enum { FEW = 256 }; /* bytes that a kernel of a few numbers reads and writes at most, each */

typedef struct ordering {
    kt_pass_run *run;
    kt_function *function;
    const bool *read; /* by value: by a node that stands for work, views looked through */
    KT_VECTOR(kt_node) order;
    bool *early; /* by place in order */
} ordering;

static bool is_view(const kt_node_info *node) { return node->op == KT_OP_reshape; }

static bool *find_read(kt_pass_run *run, const kt_function *function) {
    bool *read = KT_NEW_ARRAY(run->scratch, bool, run->graph->values.count);
    for (uint32_t i = function->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(run->graph, function->nodes.at[i]);
        for (uint32_t k = 0; k < node->operand_count; k++)
            read[node->operands[k]] |= !is_view(node) || read[node->first_result];
    }
    return read;
}

static bool is_few(const ordering *o, kt_value value) {
    int64_t bytes;
    kt_dim_pool *dims = o->run->graph->dims;
    return kt_dim_is_const(dims, kt_type_bytes(dims, kt_graph_type(o->run->graph, value)), &bytes) &&
           bytes <= FEW;
}

static bool comes_early(const ordering *o, const kt_node_info *node) {
    bool ends = true, few = true;
    if (is_view(node)) return true;
    if (node->op != KT_OP_call) return false;
    for (uint32_t k = 0; k < node->result_count; k++) {
        ends = ends && !o->read[node->first_result + k];
        few = few && is_few(o, node->first_result + k);
    }
    for (uint32_t k = 0; k < node->operand_count; k++) few = few && is_few(o, node->operands[k]);
    return ends || few;
}

/* The variable whose next value node gives as result number k: its parameter, or 0. */
static kt_value written_variable(const ordering *o, const kt_node_info *node, uint32_t k) {
    const kt_function *function = o->function;
    for (uint32_t i = 0; i < function->results.count; i++) {
        const kt_port *result = &function->results.at[i];
        if (result->role != KT_ROLE_VARIABLE ||
            kt_fuse_buffer(o->run->graph, result->value) != node->first_result + k)
            continue;
        for (uint32_t p = 0; p < function->params.count; p++)
            if (function->params.at[p].role == KT_ROLE_VARIABLE &&
                function->params.at[p].index == result->index)
                return function->params.at[p].value;
    }
    return 0;
}

/* Must node stand behind other, which comes before it now? */
static bool depends(const ordering *o, const kt_node_info *node, const kt_node_info *other,
                    const kt_value *variables) {
    for (uint32_t k = 0; k < node->operand_count; k++)
        if (node->operands[k] - other->first_result < other->result_count) return true;
    for (uint32_t k = 0; k < node->result_count && !is_view(node); k++)
        for (uint32_t i = 0; variables[k] && i < other->operand_count; i++)
            if (kt_fuse_buffer(o->run->graph, other->operands[i]) == variables[k]) return true;
    return false;
}

static void insert(ordering *o, kt_node handle) {
    const kt_node_info *node = kt_graph_node(o->run->graph, handle);
    uint32_t at = o->order.count;
    bool early = comes_early(o, node);
    KT_PUSH(o->run->scratch, &o->order, handle);
    if (early) {
        kt_value *variables = KT_NEW_ARRAY(o->run->scratch, kt_value, node->result_count + 1);
        for (uint32_t k = 0; k < node->result_count; k++) variables[k] = written_variable(o, node, k);
        while (at > 0 && !depends(o, node, kt_graph_node(o->run->graph, o->order.at[at - 1]), variables))
            at--;
        while (at < o->order.count - 1 && o->early[at]) at++; /* in their order */
    }
    for (uint32_t i = o->order.count - 1; i > at; i--) {
        o->order.at[i] = o->order.at[i - 1];
        o->early[i] = o->early[i - 1];
    }
    o->order.at[at] = handle;
    o->early[at] = early;
}

void kt_fuse_order(kt_pass_run *run, kt_function *function) {
    ordering o = {.run = run,
                  .function = function,
                  .read = find_read(run, function),
                  .early = KT_NEW_ARRAY(run->scratch, bool, function->nodes.count + 1)};
    for (uint32_t i = 0; i < function->nodes.count; i++) insert(&o, function->nodes.at[i]);
    for (uint32_t i = 0; i < function->nodes.count; i++) function->nodes.at[i] = o.order.at[i];
}
