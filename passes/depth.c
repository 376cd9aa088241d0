/* Depth: products whose columns fill but one panel, and that may be of few rows, as sums of several, each
 * over a part of the depth.
 *
 * Threads share out rows and panels of a product. Of a dense layer that makes a few numbers of an image,
 * there is one panel, and at batch 1 one row: nothing to share, though reading the weights takes long. A part
 * of a panel's depth is a panel, too, so that weights stay as they are. Into how many parts the depth goes
 * follows from shapes alone.
 *
 * requires  layout, which packs panels; samples, which does not follow samples along other axes than the
 * first keeps     results, to the order of sums breaks    nothing; does nothing a second time */
#include "passes/passes_impl.h"

enum {
    MOST_ROWS = 64,       /* more are shared out themselves */
    PART_BYTES = 1 << 17, /* of a panel, which take some microseconds to read */
    MOST_PARTS = 8,
};

/* Floats of one panel, the first operand's depth behind its rows, and room for one axis more? */
static bool may_cut(const kt_graph *graph, const kt_node_info *node) {
    const kt_attrs_dot_general *attrs = node->attrs;
    if (node->op != KT_OP_dot_general || attrs->panel == 0) return false;
    const kt_type *x = kt_graph_type(graph, node->operands[0]), *y = kt_graph_type(graph, node->operands[1]),
                  *result = kt_graph_type(graph, node->first_result);
    for (uint32_t i = 0; i < attrs->lhs_contract.count; i++)
        if (attrs->lhs_contract.at[i] != result->rank - 1 + (int64_t)i) return false;
    return (x->dtype == KT_F32 || x->dtype == KT_F64) && y->dtype == x->dtype && result->rank < KT_MAX_RANK &&
           kt_dim_equals(graph->dims, y->dims[0], 1);
}

/* As many as divide the depth; 1: it is not cut. */
static int64_t choose_parts(const kt_graph *graph, const kt_node_info *node) {
    if (!may_cut(graph, node)) return 1;
    const kt_type *y = kt_graph_type(graph, node->operands[1]),
                  *result = kt_graph_type(graph, node->first_result);
    int64_t rows = 1, bytes = kt_type_static_elements(graph->dims, y) * (int64_t)kt_dtype_bytes(y->dtype),
            parts = bytes / PART_BYTES < MOST_PARTS ? bytes / PART_BYTES : MOST_PARTS;
    for (int axis = 0; axis + 1 < result->rank && rows < MOST_ROWS; axis++)
        rows *= kt_dim_divisor(graph->dims, result->dims[axis]);
    if (rows >= MOST_ROWS) return 1;
    while (parts > 1 && kt_dim_divisor(graph->dims, y->dims[1]) % parts != 0) parts--;
    return parts;
}

/* [rows…, depth] by [1, depth, panel] as [parts, rows…, depth / parts] by [parts, depth / parts, panel] */
static kt_value cut(kt_builder *builder, const kt_node_info *node, int64_t parts) {
    kt_graph *graph = builder->graph;
    const kt_type result = *kt_graph_type(graph, node->first_result);
    kt_dim shape[KT_MAX_RANK], none[KT_MAX_RANK];
    int64_t axes[KT_MAX_RANK], steps[KT_MAX_RANK];
    int last = result.rank - 1;
    kt_value x = kt_builder_lookup(builder, node->operands[0]),
             y = kt_builder_lookup(builder, node->operands[1]);
    const kt_type packed = *kt_build_type(builder, y);
    kt_dim count = kt_dim_const(graph->dims, parts),
           part = kt_dim_floordiv(graph->dims, packed.dims[1], count);
    for (int axis = 0; axis < last; axis++) {
        shape[axis] = result.dims[axis];
        axes[axis + 1] = axis;
    }
    axes[0] = last;
    axes[last + 1] = last + 1;
    shape[last] = count;
    shape[last + 1] = part;
    x = kt_build_transpose(builder, kt_build_reshape(builder, x, last + 2, shape), axes);
    y = kt_build_reshape(builder, y, 3, (kt_dim[]){count, part, packed.dims[2]});
    const kt_attrs_dot_general attrs = {.lhs_batch = {1, {0}},
                                        .rhs_batch = {1, {0}},
                                        .lhs_contract = {1, {last + 1}},
                                        .rhs_contract = {1, {1}}};
    kt_value products = kt_build_dot_general(builder, x, y, &attrs);
    kt_value sum = kt_build_reduce(builder, products, KT_REDUCE_SUM, 1, (int64_t[]){0});
    if (kt_type_equal(kt_build_type(builder, sum), &result)) return sum;
    for (int axis = 0; axis <= last; axis++) {
        none[axis] = kt_dim_const(graph->dims, 0);
        steps[axis] = 1;
    }
    return kt_build_slice(builder, sum, none, result.dims, steps);
}

static kt_status cut_depths(kt_pass_run *run, kt_func func) {
    kt_builder builder;
    const kt_function old = *kt_graph_function(run->graph, func);
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(run->graph, old.nodes.at[i]);
        int64_t parts = choose_parts(run->graph, node);
        builder.loc = node->loc;
        if (parts > 1)
            kt_builder_replace(&builder, node->first_result, cut(&builder, node, parts));
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_depth(kt_pass_run *run) { return kt_pass_each(run, cut_depths); }

kt_status kt_pass_depth(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_depth, graph, options, diag);
}
