/* Layout: convolutions with windows larger than 3 x 3, or over more axes than two or fewer, by minimal
 * filtering.
 *
 * A window of 5 x 5 falls into four blocks of 3 x 3, with zeros around it; one of 3 x 3 x 3 into three; one
 * of 7 along one axis into three of 3. The convolution is the sum of those by each block, of the input moved
 * as far. So the moved inputs become channels of one image, the blocks those of one kernel, and what sums
 * over channels does the rest. Axes before the last two join the batch; what has one axis is an image one
 * pixel high. */
#include "ir/winograd.h"
#include "passes/layout_impl.h"

enum { MOST_BLOCKS = 9, MOST_BYTES = 2 << 20 }; /* of a sample's moved inputs: more would leave the cache */

static const double WORTH_SHARE = 0.7; /* of the products: moving the input costs, too */

typedef struct blocks {
    uint32_t space; /* spatial axes */
    int64_t window[KT_MAX_RANK], size[KT_MAX_RANK],
        count[KT_MAX_RANK]; /* along each: of a block, and how many */
    int64_t total;
    double filled; /* the share of the blocks that the window fills */
} blocks;

static bool find_blocks(const kt_dim_pool *dims, const kt_attrs_conv *attrs, const kt_type *kernel,
                        blocks *b) {
    *b = (blocks){.space = attrs->strides.count, .total = 1, .filled = 1};
    if (attrs->groups != 1 || attrs->panel || kernel->dtype != KT_F32) return false;
    for (uint32_t i = 0; i < b->space; i++) {
        if (attrs->strides.at[i] != 1 || attrs->dilation.at[i] != 1 || attrs->input_dilation.at[i] != 1 ||
            !kt_dim_is_const(dims, kernel->dims[i], &b->window[i]))
            return false;
        b->size[i] = i + 2 < b->space || b->window[i] == 1 ? 1 : KT_WINOGRAD_WINDOW;
        if (b->window[i] < b->size[i] || b->window[i] > MOST_BLOCKS * b->size[i]) return false;
        b->count[i] = (b->window[i] + b->size[i] - 1) / b->size[i];
        b->total *= b->count[i];
        b->filled *= (double)b->window[i] / (double)(b->size[i] * b->count[i]);
    }
    return b->total <= MOST_BLOCKS && (b->total > 1 || b->space != 2);
}

/* The parts of value that begin as far in as each block, as channels: part extents give how long they are
 * along the spatial axes, which begin with axis `first`. */
static kt_value side_by_side(kt_layouting *l, kt_value value, const blocks *b, int first,
                             const kt_dim *extents) {
    const kt_type type = *kt_build_type(l->builder, value);
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t steps[KT_MAX_RANK];
    kt_value parts[MOST_BLOCKS];
    for (int i = 0; i < type.rank; i++) {
        start[i] = kt_layout_number(l, 0);
        limit[i] = type.dims[i];
        steps[i] = 1;
    }
    for (int64_t n = 0; n < b->total; n++) {
        int64_t rest = n;
        for (uint32_t i = b->space; i-- > 0; rest /= b->count[i]) {
            start[first + i] = kt_layout_number(l, rest % b->count[i] * b->size[i]);
            limit[first + i] = kt_dim_add(l->graph->dims, start[first + i], extents[i]);
        }
        parts[n] = kt_build_slice(l->builder, value, start, limit, steps);
    }
    return kt_build_concat(l->builder, parts, (uint32_t)b->total, first + (int)b->space);
}

kt_value kt_layout_blocks(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel) {
    kt_attrs_conv attrs = *(const kt_attrs_conv *)node->attrs;
    kt_dim_pool *dims = l->graph->dims;
    const kt_type type = *kt_build_type(l->builder, kernel);
    const kt_type result = *kt_graph_type(l->graph, node->first_result);
    blocks b;
    if (!find_blocks(dims, &attrs, &type, &b) || (b.total > 1 && !l->fixed[node->operands[1]])) return 0;
    /* The same as an image, without a batch of its own. */
    uint32_t lead = b.space > 2 ? b.space - 2 : 0;
    kt_attrs_conv flat = {
        .strides = {2, {1, 1}}, .dilation = {2, {1, 1}}, .input_dilation = {2, {1, 1}}, .groups = 1};
    kt_dim zero = kt_layout_number(l, 0), one = kt_layout_number(l, 1);
    flat.low = flat.high = (kt_dims){2, {zero, zero}};
    kt_type places = {.dtype = result.dtype, .rank = 4}, image = places, filter = places;
    places.dims[0] = image.dims[0] = kt_layout_product(l, result.dims, lead + 1);
    for (int i = 0; i < 2; i++) {
        int axis = i + (int)b.space - 2; /* -1: there is none */
        int64_t size = axis < 0 ? 1 : b.size[axis];
        filter.dims[i] = kt_layout_number(l, size);
        places.dims[i + 1] = axis < 0 ? one : result.dims[axis + 1];
        image.dims[i + 1] = kt_dim_add_const(dims, places.dims[i + 1], size - 1);
    }
    places.dims[3] = filter.dims[3] = type.dims[b.space + 1];
    image.dims[3] = filter.dims[2] = kt_dim_mul_const(dims, type.dims[b.space], b.total);
    int64_t bytes, features;
    kt_dim moved = kt_dim_mul_const(dims, kt_layout_product(l, image.dims + 1, 3), (int64_t)sizeof(float));
    if (!kt_dim_is_const(dims, kt_dim_mul(dims, moved, kt_layout_product(l, result.dims + 1, lead)),
                         &bytes) ||
        bytes > MOST_BYTES || !kt_dim_is_const(dims, places.dims[3], &features) || features < l->vector)
        return 0;
    int tile = kt_layout_tile(l, &flat, &image, &filter, &places, WORTH_SHARE * b.filled);
    if (!tile) return 0;
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK], extents[KT_MAX_RANK], sizes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) low[i] = high[i] = zero;
    for (uint32_t i = 0; i < b.space; i++) {
        int64_t missing = b.count[i] * b.size[i] - b.window[i];
        high[i] = kt_layout_number(l, missing);
        attrs.high.at[i] = kt_dim_add_const(dims, attrs.high.at[i], missing);
        sizes[i] = kt_layout_number(l, b.size[i]);
        extents[i] = kt_dim_add_const(dims, result.dims[i + 1], b.size[i] - 1);
    }
    x = kt_layout_pad_input(l, x, &attrs);
    if (b.total > 1) {
        kt_value fill = kt_build_scalar(l->builder, type.dtype, 0);
        kernel = kt_build_pad(l->builder, kernel, fill, low, high, (int64_t[KT_MAX_RANK]){0});
        kernel = side_by_side(l, kernel, &b, 0, sizes);
        x = side_by_side(l, x, &b, 1, extents);
    }
    kernel = kt_build_reshape(l->builder, kernel, filter.rank, filter.dims);
    x = kt_build_reshape(l->builder, x, image.rank, image.dims);
    kt_value y = kt_layout_filter(l, x, kernel, &flat, &places, tile);
    return kt_build_reshape(l->builder, y, result.rank, result.dims);
}
