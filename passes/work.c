/* How much a kernel does: floating-point (or integer) operations by the textbook's count, and the bytes of
 * what it reads and writes, each buffer once, and of one that elements are gathered from as many as these
 * are. These are properties of the model, not of the code that was made for it, so that rates computed from
 * them compare across targets and compilers.
 *
 *   elementwise        one for each element of the result
 *   reductions         one for each element of the operand, of the windows, or of scattered updates
 *   dot_general, conv  two for each product; the gaps of transposed convolutions do not count
 *   conv_by_kernel     two for each product
 *   winograd           as the convolution that it computes
 *   everything else    none: it moves elements */
#include "ir/winograd.h"
#include "passes/plan.h"

static kt_dim elements(const kt_graph *graph, kt_value value) {
    return kt_type_elements(graph->dims, kt_graph_type(graph, value));
}

static kt_dim dot_work(const kt_graph *graph, const kt_node_info *node) {
    const kt_attrs_dot_general *attrs = node->attrs;
    const kt_type *lhs = kt_graph_type(graph, node->operands[0]);
    kt_dim work = kt_dim_mul_const(graph->dims, elements(graph, node->first_result), 2);
    for (uint32_t i = 0; i < attrs->lhs_contract.count; i++)
        work = kt_dim_mul(graph->dims, work, lhs->dims[attrs->lhs_contract.at[i]]);
    return work;
}

static kt_dim conv_work(const kt_graph *graph, const kt_node_info *node) {
    const kt_attrs_conv *attrs = node->attrs;
    kt_dim_pool *dims = graph->dims;
    const kt_type *x = kt_graph_type(graph, node->operands[0]),
                  *kernel = kt_graph_type(graph, node->operands[1]);
    kt_dim work = kt_dim_mul_const(dims, elements(graph, node->first_result), 2);
    int64_t gaps = attrs->groups > 1 ? attrs->groups : 1;
    for (int axis = 0; axis < x->rank - 2; axis++)
        work = attrs->panel ? kt_dim_mul_const(dims, work, attrs->window.at[axis])
                            : kt_dim_mul(dims, work, kernel->dims[axis]);
    for (uint32_t i = 0; i < attrs->input_dilation.count; i++)
        gaps = kt_size_mul(gaps, attrs->input_dilation.at[i]);
    work = kt_dim_mul(dims, work, x->dims[x->rank - 1]);
    return gaps == 1 ? work : kt_dim_floordiv(dims, work, kt_dim_const(dims, gaps));
}

static kt_dim node_work(const kt_graph *graph, const kt_node_info *node) {
    if (kt_op_is(node->op, KT_ELEMENTWISE)) return elements(graph, node->first_result);
    switch (node->op) {
    case KT_OP_reduce:
    case KT_OP_arg_reduce:
    case KT_OP_cumulative: return elements(graph, node->operands[0]);
    case KT_OP_scatter: return elements(graph, node->operands[2]);
    case KT_OP_reduce_window: {
        const kt_attrs_reduce_window *attrs = node->attrs;
        kt_dim work = elements(graph, node->first_result);
        for (uint32_t i = 0; i < attrs->window.count; i++)
            work = kt_dim_mul_const(graph->dims, work, attrs->window.at[i]);
        return work;
    }
    case KT_OP_dot_general: return dot_work(graph, node);
    case KT_OP_conv: return conv_work(graph, node);
    case KT_OP_conv_by_kernel: {
        const kt_type *g = kt_graph_type(graph, node->operands[1]);
        kt_dim places = kt_dim_const(graph->dims, 2);
        for (int axis = 0; axis + 1 < g->rank; axis++)
            places = kt_dim_mul(graph->dims, places, g->dims[axis]);
        return kt_dim_mul(graph->dims, places, elements(graph, node->first_result));
    }
    case KT_OP_winograd: {
        kt_dim channels = kt_graph_type(graph, node->operands[0])->dims[3];
        kt_dim products = kt_dim_mul(graph->dims, elements(graph, node->first_result), channels);
        bool line = ((const kt_attrs_winograd *)node->attrs)->line > 0;
        return kt_dim_mul_const(graph->dims, products,
                                2 * KT_WINOGRAD_WINDOW * (line ? 1 : KT_WINOGRAD_WINDOW));
    }
    default: return kt_dim_const(graph->dims, 0);
    }
}

static kt_dim bytes_of(const kt_graph *graph, kt_value value) {
    return kt_type_bytes(graph->dims, kt_graph_type(graph, value));
}

/* Of a parameter: all, unless elements of it are gathered and that is all. */
static kt_dim read_bytes(const kt_graph *graph, const kt_function *function, kt_value param) {
    kt_dim all = bytes_of(graph, param), taken = kt_dim_const(graph->dims, 0);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        for (uint32_t k = 0; k < node->operand_count; k++) {
            if (node->operands[k] != param) continue;
            if (node->op != KT_OP_gather || k > 0) return all;
            taken = kt_dim_add(graph->dims, taken, bytes_of(graph, node->first_result));
        }
    }
    return kt_dim_equals(graph->dims, taken, 0) ? all : kt_dim_min(graph->dims, all, taken);
}

kt_work kt_kernel_work(const kt_graph *graph, kt_func kernel) {
    const kt_function *function = kt_graph_function(graph, kernel);
    kt_dim_pool *dims = graph->dims;
    kt_work work = {kt_dim_const(dims, 0), kt_dim_const(dims, 0)};
    for (uint32_t i = 0; i < function->nodes.count; i++)
        work.operations =
            kt_dim_add(dims, work.operations, node_work(graph, kt_graph_node(graph, function->nodes.at[i])));
    for (uint32_t i = 0; i < function->params.count; i++)
        work.bytes = kt_dim_add(dims, work.bytes, read_bytes(graph, function, function->params.at[i].value));
    for (uint32_t i = 0; i < function->results.count; i++)
        work.bytes = kt_dim_add(dims, work.bytes, bytes_of(graph, function->results.at[i].value));
    return work;
}
