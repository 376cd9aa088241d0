/* Layout: convolutions to fewer features than a vector holds, as of an image's colours.
 *
 * Several neighbours along a line become the features of one place: the window is wider by as many places as
 * there are more neighbours, and goes on by all of them at once. Each neighbour's kernel stands among zeros
 * there, which are multiplied too, but by lanes that would hold nothing otherwise. */
#include "passes/layout_impl.h"

static const double WORTH_SHARE = 0.8; /* of the products of vectors */

/* How many neighbours take the least for each, or 1. Lines fall into whole ones. */
static int64_t choose_neighbours(int64_t line, int64_t window, int64_t features, int64_t vector) {
    double least = WORTH_SHARE * (double)window;
    int64_t best = 1;
    for (int64_t n = 2; n * features <= vector && n <= line; n++) {
        double cost = (double)(window + n - 1) / (double)n;
        if (line % n != 0 || cost >= least) continue;
        least = cost;
        best = n;
    }
    return best;
}

/* [window…, channels, features] → [window… + neighbours - 1, channels, neighbours * features] */
static kt_value widen_kernel(kt_layouting *l, kt_value kernel, uint32_t axis, int64_t neighbours) {
    const kt_type type = *kt_build_type(l->builder, kernel);
    kt_value zero = kt_build_scalar(l->builder, type.dtype, 0);
    kt_value *parts = kt_arena_alloc(l->scratch, (size_t)neighbours * sizeof *parts);
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK];
    int64_t interior[KT_MAX_RANK] = {0};
    for (int i = 0; i < type.rank; i++) low[i] = high[i] = kt_layout_number(l, 0);
    for (int64_t n = 0; n < neighbours; n++) {
        low[axis] = kt_layout_number(l, n);
        high[axis] = kt_layout_number(l, neighbours - 1 - n);
        parts[n] = kt_build_pad(l->builder, kernel, zero, low, high, interior);
    }
    return kt_build_concat(l->builder, parts, (uint32_t)neighbours, type.rank - 1);
}

kt_value kt_layout_neighbours(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel) {
    kt_attrs_conv attrs = *(const kt_attrs_conv *)node->attrs;
    const kt_dim_pool *dims = l->graph->dims;
    const kt_type type = *kt_build_type(l->builder, kernel);
    kt_type result = *kt_graph_type(l->graph, node->first_result);
    uint32_t axis = attrs.strides.count - 1;
    int64_t line, window, features;
    if (attrs.groups != 1 || attrs.panel || l->unpacked || l->word > 1 || l->vector == 0) return 0;
    if (attrs.strides.at[axis] != 1 || attrs.dilation.at[axis] != 1) return 0;
    if (!kt_dim_is_const(dims, result.dims[axis + 1], &line) ||
        !kt_dim_is_const(dims, type.dims[axis], &window) ||
        !kt_dim_is_const(dims, type.dims[type.rank - 1], &features) || features < 1)
        return 0;
    int64_t neighbours = choose_neighbours(line, window, features, l->vector);
    if (neighbours == 1) return 0;
    x = kt_layout_pad_input(l, x, &attrs);
    attrs.strides.at[axis] = neighbours;
    kt_value y = kt_layout_conv(l, x, widen_kernel(l, kernel, axis, neighbours), attrs);
    return kt_build_reshape(l->builder, y, result.rank, result.dims);
}
