/* Depth: products and reductions that leave threads little to share, as several, each over a part of the
 * depth.
 *
 * Threads share out rows and panels of a product. Of a dense layer that makes a few numbers of an image,
 * there is one panel, and at batch 1 one row: nothing to share, though reading the weights takes long. A part
 * of a panel's depth is a panel, too, so that weights stay as they are.
 *
 * Means of an image's channels would have each core read rows that others have written, and are about to
 * write again, for which the reader must give them up one by one: that takes several times as long as to read
 * them. So each part of the rows has sums of its own. Into how many parts the depth goes follows from shapes
 * alone.
 *
 * requires  layout, which packs panels; samples, which follows samples along the first axis only
 * keeps     results, to the order of sums
 * breaks    nothing; does nothing a second time */
#include "passes/passes_impl.h"

enum {
    MOST_ROWS = 64,        /* more are shared out themselves */
    PANEL_BYTES = 1 << 17, /* of a part, which take some microseconds to read */
    IMAGE_BYTES = 1 << 15,
    MOST_PARTS = 8,
};

/* Floats of one panel, the first operand's depth behind its rows, and room for one axis more? */
static bool may_cut_product(const kt_graph *graph, const kt_node_info *node) {
    const kt_attrs_dot_general *attrs = node->attrs;
    if (attrs->panel == 0) return false;
    const kt_type *x = kt_graph_type(graph, node->operands[0]), *y = kt_graph_type(graph, node->operands[1]),
                  *result = kt_graph_type(graph, node->first_result);
    for (uint32_t i = 0; i < attrs->lhs_contract.count; i++)
        if (attrs->lhs_contract.at[i] != result->rank - 1 + (int64_t)i) return false;
    return (x->dtype == KT_F32 || x->dtype == KT_F64) && y->dtype == x->dtype && result->rank < KT_MAX_RANK &&
           kt_dim_equals(graph->dims, y->dims[0], 1);
}

/* How many parts of so many bytes at least, which divide the extent; 1 or less: none. */
static int64_t choose_parts(int64_t bytes, int64_t least, int64_t extent) {
    int64_t parts = bytes / least < MOST_PARTS ? bytes / least : MOST_PARTS;
    while (parts > 1 && extent % parts != 0) parts--;
    return parts;
}

/* The factor of the sizes of axes [0, end) that is known. */
static int64_t known_rows(const kt_graph *graph, const kt_type *type, int end) {
    int64_t rows = 1;
    for (int axis = 0; axis < end && rows < MOST_ROWS; axis++)
        rows = kt_size_mul(rows, kt_dim_divisor(graph->dims, type->dims[axis]));
    return rows;
}

static int64_t product_parts(const kt_graph *graph, const kt_node_info *node) {
    if (!may_cut_product(graph, node)) return 1;
    const kt_type *y = kt_graph_type(graph, node->operands[1]),
                  *result = kt_graph_type(graph, node->first_result);
    if (known_rows(graph, result, result->rank - 1) >= MOST_ROWS) return 1;
    return choose_parts(kt_type_static_bytes(graph->dims, y), PANEL_BYTES,
                        kt_dim_divisor(graph->dims, y->dims[1]));
}

/* Of neighbouring axes between others, of one row, that hold more than parts would leave to be summed up. */
static int64_t reduction_parts(const kt_graph *graph, const kt_node_info *node) {
    const kt_ints *axes = &((const kt_attrs_reduce *)node->attrs)->axes;
    const kt_type *type = kt_graph_type(graph, node->operands[0]);
    int first = (int)axes->at[0], end = first + (int)axes->count;
    int64_t places = 1, bytes = (int64_t)kt_dtype_bytes(type->dtype), size;
    bool between = axes->count > 0 && first > 0 && end < type->rank && type->rank < KT_MAX_RANK;
    if (!between || (type->dtype != KT_F32 && type->dtype != KT_F64)) return 1;
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->at[i] != first + (int64_t)i) return 1;
    for (int axis = first; axis < type->rank; axis++) {
        if (!kt_dim_is_const(graph->dims, type->dims[axis], &size)) return 1;
        bytes = kt_size_mul(bytes, size);
        if (axis < end) places = kt_size_mul(places, size);
    }
    if (known_rows(graph, type, first) > 1 || places <= MOST_PARTS) return 1;
    return choose_parts(bytes, IMAGE_BYTES, kt_dim_divisor(graph->dims, type->dims[first]));
}

/* [rows…, depth] by [1, depth, panel] as [parts, rows…, depth / parts] by [parts, depth / parts, panel] */
static kt_value cut_product(kt_builder *builder, const kt_node_info *node, int64_t parts) {
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

/* [before…, extent, …] as [before…, parts, extent / parts, …], whose parts' results are reduced once more */
static kt_value cut_reduction(kt_builder *builder, const kt_node_info *node, int64_t parts) {
    kt_graph *graph = builder->graph;
    const kt_attrs_reduce *attrs = node->attrs;
    kt_value x = kt_builder_lookup(builder, node->operands[0]);
    const kt_type type = *kt_build_type(builder, x);
    int first = (int)attrs->axes.at[0];
    kt_dim shape[KT_MAX_RANK], count = kt_dim_const(graph->dims, parts);
    int64_t axes[KT_MAX_RANK];
    for (int axis = 0; axis < type.rank; axis++) shape[axis + (axis > first)] = type.dims[axis];
    shape[first] = count;
    shape[first + 1] = kt_dim_floordiv(graph->dims, type.dims[first], count);
    for (uint32_t i = 0; i < attrs->axes.count; i++) axes[i] = attrs->axes.at[i] + 1;
    x = kt_build_reshape(builder, x, type.rank + 1, shape);
    x = kt_build_reduce(builder, x, attrs->kind, attrs->axes.count, axes);
    return kt_build_reduce(builder, x, attrs->kind, 1, (int64_t[]){first});
}

/* The node in parts; 0: it stays as it is. */
static kt_value cut(kt_builder *builder, const kt_node_info *node) {
    bool reduces = node->op == KT_OP_reduce;
    if (!reduces && node->op != KT_OP_dot_general) return 0;
    int64_t parts = reduces ? reduction_parts(builder->graph, node) : product_parts(builder->graph, node);
    if (parts <= 1) return 0;
    return reduces ? cut_reduction(builder, node, parts) : cut_product(builder, node, parts);
}

static kt_status cut_depths(kt_pass_run *run, kt_func func) {
    kt_builder builder;
    const kt_function old = *kt_graph_function(run->graph, func);
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(run->graph, old.nodes.at[i]);
        builder.loc = node->loc;
        kt_value parted = cut(&builder, node);
        if (parted)
            kt_builder_replace(&builder, node->first_result, parted);
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
