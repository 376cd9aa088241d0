/* Layout: which convolutions are computed by minimal filtering (ir/winograd.h), and their kernels'
 * transforms.
 *
 * The transform is written with nodes, in float64 and rounded once, or whole; split then moves it into
 * `prepare`. */
#include "ir/winograd.h"
#include "passes/layout_impl.h"

/* Tiles of 2 x 2 are for floats alone. */
static int64_t least_tile(const kt_type *x, const kt_type *kernel) {
    return kt_multiplies_bytes(x, kernel) ? 4 : 2;
}

static const double WORTH_SHARE = 0.8; /* of the products */

/* The attribute line of winograd for a kernel [height, width, channels, features]; -1: its window is another.
 */
static int find_line(const kt_dim_pool *dims, const kt_type *kernel) {
    for (int line = 0; line < 3 && kernel->rank == 4; line++) {
        bool fits = true;
        for (int axis = 0; axis < 2; axis++)
            fits = fits &&
                   kt_dim_equals(dims, kernel->dims[axis], kt_winograd_make(2, line, axis, false).window);
        if (fits) return line;
    }
    return -1;
}

/* Costs are vector operations a channel or feature; a transform's moves count with its arithmetic. Bytes are
 * multiplied four at a time, their transforms' 16 bits two. Kernels for small tiles are less than twice as
 * large as they were. Those for large tiles are four times as large: past MOST_KERNEL_BYTES (256 channels to
 * 256 features) the memory that this takes, and reading it, would outweigh the products saved. */
int kt_winograd_choose(const kt_dim_pool *dims, const kt_attrs_conv *attrs, const kt_type *x,
                       const kt_type *kernel, const kt_type *result, double share, int *out_most) {
    enum { LEAST_CHANNELS = 8, MOST_CHANNELS = 512, MOST_PIXELS = 1 << 16, MOST_KERNEL_BYTES = 10 << 20 };
    static const struct {
        int tile;
        int64_t input[2], output[2]; /* operations of the transforms: along one axis, and along both */
    } choices[] = {{2, {12, 64}, {10, 40}}, {4, {26, 240}, {20, 150}}};
    int64_t sizes[2], channels, features, pixels = 1, window = 1;
    bool bytes = kt_multiplies_bytes(x, kernel);
    *out_most = 0;
    int line = find_line(dims, kernel);
    if (line < 0 || (x->dtype != KT_F32 && !bytes) || attrs->groups != 1 || (bytes && line)) return 0;
    for (int i = 0; i < 2; i++) {
        if (attrs->strides.at[i] != 1 || attrs->dilation.at[i] != 1 || attrs->input_dilation.at[i] != 1)
            return 0;
        if (!kt_dim_is_const(dims, result->dims[i + 1], &sizes[i]) || sizes[i] < 1 || sizes[i] > MOST_PIXELS)
            return 0;
        pixels *= sizes[i];
        window *= kt_winograd_make(2, line, i, false).window;
    }
    if (!kt_dim_is_const(dims, kernel->dims[2], &channels) ||
        !kt_dim_is_const(dims, kernel->dims[3], &features))
        return 0;
    if (channels < LEAST_CHANNELS || features < LEAST_CHANNELS || channels > MOST_CHANNELS ||
        features > MOST_CHANNELS)
        return 0;
    if (bytes && (channels > KT_WINOGRAD_MOST_BYTES || channels % KT_WINOGRAD_PAIR != 0)) return 0;
    const int64_t word = bytes ? KT_BYTE_QUAD : 1, pair = bytes ? KT_WINOGRAD_PAIR : 1;
    int64_t products = pixels * window * channels * features / word;
    int64_t least = (int64_t)((double)products * share);
    int best = 0;
    for (int i = bytes; i < 2; i++) {
        int64_t points = 1, tiles = 1;
        for (int axis = 0; axis < 2; axis++) {
            const kt_winograd w = kt_winograd_make(choices[i].tile, line, axis, bytes);
            points *= w.points;
            tiles *= (sizes[axis] + w.tile - 1) / w.tile;
        }
        int64_t cost =
            tiles * (points * channels / pair * features + choices[i].input[!line] * channels / pair +
                     choices[i].output[!line] * features);
        if (choices[i].tile > 2 && points * channels * features * 4 / pair > MOST_KERNEL_BYTES) continue;
        *out_most = choices[i].tile;
        if (cost >= least) continue;
        least = cost;
        best = choices[i].tile;
    }
    return best;
}

/* [panels, points, channels, panel] → [panels, points, channels / 2, 2 * panel] */
static kt_value pair_channels(kt_layouting *l, kt_value value) {
    const kt_type type = *kt_build_type(l->builder, value);
    kt_dim pair = kt_layout_number(l, KT_WINOGRAD_PAIR);
    kt_dim half = kt_dim_floordiv(l->graph->dims, type.dims[2], pair);
    value = kt_build_reshape(l->builder, value, 5,
                             (kt_dim[]){type.dims[0], type.dims[1], half, pair, type.dims[3]});
    value = kt_build_transpose(l->builder, value, (int64_t[]){0, 1, 2, 4, 3});
    return kt_build_reshape(
        l->builder, value, 4,
        (kt_dim[]){type.dims[0], type.dims[1], half, kt_layout_number(l, KT_WINOGRAD_PAIR * l->panel)});
}

/* kernel [height, width, channels, features] → [panels, points, channels, panel], of bytes in pairs of
 * channels */
static kt_value transform_kernel(kt_layouting *l, kt_value kernel, const kt_winograd along[2],
                                 int64_t channels, int64_t features) {
    const kt_winograd *w = &along[along[0].points == 1]; /* of all axes that are filtered */
    double numbers[KT_WINOGRAD_MOST_POINTS * KT_WINOGRAD_WINDOW];
    bool bytes = kt_build_type(l->builder, kernel)->dtype == KT_I8;
    kt_dtype dtype = bytes ? KT_I16 : KT_F32;
    for (int i = 0; i < w->points * KT_WINOGRAD_WINDOW; i++)
        numbers[i] = w->kernel[i / KT_WINOGRAD_WINDOW][i % KT_WINOGRAD_WINDOW];
    const kt_type type = {.dtype = KT_F64,
                          .rank = 2,
                          .dims = {kt_layout_number(l, w->points), kt_layout_number(l, KT_WINOGRAD_WINDOW)}};
    kt_value matrix = kt_build_constant(l->builder, &type, numbers);
    kt_value value = kt_build_cast(l->builder, kernel, KT_F64); /* rounded once, at the end */
    for (int axis = 0; axis < 2; axis++) { /* which comes first then, and the other one second */
        kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {axis}}};
        if (along[axis].points > 1) value = kt_build_dot_general(l->builder, matrix, value, &attrs);
    }
    if (along[0].points == along[1].points)
        value = kt_build_transpose(l->builder, value, (int64_t[]){1, 0, 2, 3});
    value = kt_build_cast(l->builder, value, dtype);
    kt_dim points = kt_layout_number(l, (int64_t)along[0].points * along[1].points);
    value =
        kt_build_reshape(l->builder, value, 3,
                         (kt_dim[]){points, kt_layout_number(l, channels), kt_layout_number(l, features)});
    int64_t panels = (features + l->panel - 1) / l->panel, missing = panels * l->panel - features;
    const kt_dim none[3] = {kt_layout_number(l, 0), kt_layout_number(l, 0), kt_layout_number(l, 0)};
    const kt_dim behind[3] = {none[0], none[0], kt_layout_number(l, missing)};
    if (missing)
        value = kt_build_pad(l->builder, value, kt_build_scalar(l->builder, dtype, 0), none, behind,
                             (int64_t[]){0, 0, 0});
    value = kt_build_reshape(l->builder, value, 4,
                             (kt_dim[]){points, kt_layout_number(l, channels), kt_layout_number(l, panels),
                                        kt_layout_number(l, l->panel)});
    value = kt_build_transpose(l->builder, value, (int64_t[]){2, 0, 1, 3});
    return bytes ? pair_channels(l, value) : value;
}

int kt_layout_tile(kt_layouting *l, const kt_attrs_conv *attrs, const kt_type *x, const kt_type *kernel,
                   const kt_type *result, double share) {
    if (l->unpacked || attrs->panel || l->level < 2) return 0;
    int most, tile = kt_winograd_choose(l->graph->dims, attrs, x, kernel, result, share, &most);
    if (!most) return 0;
    return (int)kt_choose(&l->choice, KT_KNOB_winograd, tile,
                          (kt_range){.most = most, .step = least_tile(x, kernel)},
                          tile ? "saves more products than its transforms cost"
                               : "transforms would cost more than the products saved");
}

kt_value kt_layout_filter(kt_layouting *l, kt_value x, kt_value kernel, const kt_attrs_conv *attrs,
                          const kt_type *result, int tile) {
    kt_dim_pool *dims = l->graph->dims;
    const kt_type kernel_type = *kt_build_type(l->builder, kernel), x_type = *kt_build_type(l->builder, x);
    kt_attrs_winograd filtering = {.tile = tile,
                                   .line = find_line(dims, &kernel_type),
                                   .space = {2, {result->dims[1], result->dims[2]}},
                                   .low = attrs->low};
    int64_t channels;
    kt_dim_is_const(dims, kernel_type.dims[2], &channels);
    kt_dim_is_const(dims, kernel_type.dims[3], &filtering.columns);
    kt_winograd w[2];
    for (int i = 0; i < 2; i++) w[i] = kt_winograd_make(tile, (int)filtering.line, i, x_type.dtype == KT_U8);
    kernel = transform_kernel(l, kernel, w, channels, filtering.columns);
    return kt_build_winograd(l->builder, x, kernel, &filtering);
}

kt_value kt_layout_winograd(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel) {
    kt_attrs_conv attrs = *(const kt_attrs_conv *)node->attrs;
    const kt_dim_pool *dims = l->graph->dims;
    const kt_type kernel_type = *kt_build_type(l->builder, kernel), x_type = *kt_build_type(l->builder, x);
    const kt_type *result = kt_graph_type(l->graph, node->first_result);
    int tile = kt_layout_tile(l, &attrs, &x_type, &kernel_type, result, WORTH_SHARE);
    if (!tile) return 0;
    bool any = kt_dim_at_least(dims, x_type.dims[1], 1) && kt_dim_at_least(dims, x_type.dims[2], 1);
    if (!any) x = kt_layout_pad_input(l, x, &attrs); /* filtering pads pixels alone */
    return kt_layout_filter(l, x, kernel, &attrs, result, tile);
}
