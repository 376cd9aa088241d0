/* conv_by_kernel: as a value at a position, and as deep products (deep.c), where operands are parameters and
 * nothing is padded.
 *
 * For a place in the window, the derivative is a product: of the input's pixels that this place meets,
 * [places, channels], by columns, with the cotangent [places, features]. Neighbours in a row of the window
 * see neighbouring pixels, channels and all, so that a whole row of the window, [its extent * channels], is
 * the product's rows. Depth is all places of all images. With groups, each place of the window is a product
 * for each group; groups of few features are grouped_by_kernel.c's. */
#include "codegen/lower/lower_impl.h"

kt_reg kt_lower_conv_by_kernel(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_conv_by_kernel *attrs = node->attrs;
    const kt_type *x = kt_graph_type(lower->graph, node->operands[0]),
                  *g = kt_graph_type(lower->graph, node->operands[1]);
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_accumulator(x->dtype);
    int spatial = x->rank - 2, blocks = 1;
    kt_position own = *at, from = kt_position_origin(lower, x->rank, x->dims, at->lanes), place = from;
    for (int axis = 0; axis < own.rank; axis++) kt_position_split(lower, &own, axis);
    for (int axis = 0; axis < g->rank; axis++) place.dims[axis] = g->dims[axis];
    kt_cell cell = kt_loops_cell(loops, "sum", dtype, at->lanes, 1);
    kt_loops_set(loops, cell, 0, kt_loops_const(loops, dtype, at->lanes, 0));
    kt_reg image =
               kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_dim(loops, x->dims[0]), 1, "images"),
           valid = 0;
    from.guard = place.guard = at->guard;
    from.at[0] = place.at[0] = kt_axis_at(image, 0);
    for (int i = 0; i < spatial; i++) {
        /* Places and window change roles: the loop runs over places. */
        kt_window_axis axis = {.window = g->dims[i + 1],
                               .stride = attrs->dilation.at[i],
                               .dilation = attrs->strides.at[i],
                               .input_dilation = 1,
                               .low = attrs->low.at[i],
                               .inside = kt_dim_equals(lower->dims, attrs->high.at[i], 0),
                               .extent = x->dims[i + 1]};
        kt_window_turn turn = kt_window_begin(lower, &axis, own.at[i], at->lanes);
        place.at[i + 1] = kt_axis_at(turn.window, 0);
        from.at[i + 1] = turn.input;
        valid = kt_lower_and(lower, valid, turn.valid);
        blocks += turn.blocks;
    }
    kt_dim groups = kt_dim_const(lower->dims, attrs->groups),
           channels = kt_dim_floordiv(lower->dims, x->dims[spatial + 1], groups),
           features = kt_dim_floordiv(lower->dims, g->dims[spatial + 1], groups);
    kt_axis_index group = kt_lower_group_of(lower, attrs->groups, features, own.at[spatial + 1], at->lanes);
    from.at[spatial + 1] =
        kt_axis_add(lower, kt_axis_scale(lower, group, channels, at->lanes), own.at[spatial], at->lanes);
    place.at[spatial + 1] = own.at[spatial + 1];
    from.mask = kt_lower_and(lower, at->mask, valid);
    place.mask = at->mask;
    kt_reg a = kt_lower_value(lower, node->operands[0], &from),
           b = kt_lower_value(lower, node->operands[1], &place);
    kt_reg sum = kt_loops_get(loops, cell, 0);
    kt_reg next = kt_multiply_add(lower, kt_loops_apply(loops, KT_OP_cast, dtype, a, 0, 0),
                                  kt_loops_apply(loops, KT_OP_cast, dtype, b, 0, 0), sum);
    if (valid) next = kt_loops_apply(loops, KT_OP_select, dtype, valid, next, sum);
    kt_loops_set(loops, cell, 0, next);
    while (blocks-- > 0) kt_lower_end(lower);
    return kt_loops_apply(loops, KT_OP_cast, x->dtype, kt_loops_get(loops, cell, 0), 0, 0);
}

typedef struct by_kernel {
    const kt_attrs_conv_by_kernel *attrs;
    const kt_type *x, *g, *result;
    int window_axes;                   /* axes of the window that outer indices count; the others are rows */
    kt_dim groups, channels, features; /* of a group */
} by_kernel;

/* From one pixel of the input to the next along a spatial axis. */
static kt_dim pixel_stride(kt_lower *lower, const by_kernel *c, int axis) {
    return kt_product(lower, c->x->dims, axis + 2, c->x->rank);
}

/* outer counts groups, and in each of them places of the window. */
static kt_reg split_outer(kt_lower *lower, const by_kernel *c, kt_reg outer, kt_index_op op) {
    kt_dim places = kt_product(lower, c->result->dims, 0, c->window_axes);
    return kt_loops_index(lower->loops, op, outer, kt_loops_dim(lower->loops, places));
}

static kt_reg window_place(kt_lower *lower, const by_kernel *c, kt_reg outer) {
    return c->attrs->groups == 1 ? outer : split_outer(lower, c, outer, KT_INDEX_MOD);
}

/* The group's first channel or feature, of `own` in each. */
static kt_reg group_begin(kt_lower *lower, const by_kernel *c, kt_reg outer, kt_dim own) {
    if (c->attrs->groups == 1) return kt_loops_int(lower->loops, 0);
    kt_reg group = split_outer(lower, c, outer, KT_INDEX_DIV);
    return kt_loops_index(lower->loops, KT_INDEX_MUL, group, kt_loops_dim(lower->loops, own));
}

/* Where the pixel lies that the first channel of a row of the window meets. */
static kt_reg a_begin(kt_lower *lower, const kt_deep_shape *shape, kt_reg outer) {
    const by_kernel *c = shape->context;
    kt_loops *loops = lower->loops;
    kt_reg begin = group_begin(lower, c, outer, c->channels);
    outer = window_place(lower, c, outer);
    for (int i = c->window_axes - 1; i >= 0; i--) {
        kt_reg extent = kt_loops_int(loops, c->attrs->window.at[i]);
        kt_reg index = kt_loops_index(loops, KT_INDEX_MOD, outer, extent);
        kt_dim step = kt_dim_mul_const(lower->dims, pixel_stride(lower, c, i), c->attrs->dilation.at[i]);
        begin = kt_loops_index(loops, KT_INDEX_ADD, begin,
                               kt_loops_index(loops, KT_INDEX_MUL, index, kt_loops_dim(loops, step)));
        outer = kt_loops_index(loops, KT_INDEX_DIV, outer, extent);
    }
    return begin;
}

static kt_reg b_begin(kt_lower *lower, const kt_deep_shape *shape, kt_reg outer) {
    /* Every place of the window meets all of the cotangent. */
    const by_kernel *c = shape->context;
    return group_begin(lower, c, outer, c->features);
}

static kt_position place(kt_lower *lower, const kt_deep_shape *shape, kt_reg outer, kt_reg row, kt_reg column,
                         int lanes) {
    const by_kernel *c = shape->context;
    const kt_type *type = c->result;
    kt_position at = kt_position_origin(lower, type->rank, type->dims, lanes);
    int last = type->rank - 2;
    for (int axis = 0; axis < last; axis++)
        if (axis + 1 != c->window_axes) at.merged |= 1U << axis;
    if (c->window_axes > 0) at.at[c->window_axes - 1] = kt_axis_at(window_place(lower, c, outer), 0);
    at.at[last] = kt_axis_at(row, 0);
    kt_reg feature =
        kt_loops_index(lower->loops, KT_INDEX_ADD, group_begin(lower, c, outer, c->features), column);
    at.at[last + 1] = kt_axis_at(feature, lanes > 1);
    return at;
}

bool kt_lower_conv_by_kernel_root(kt_lower *lower, const kt_node_info *heavy) {
    by_kernel c = {.attrs = heavy->attrs,
                   .x = kt_graph_type(lower->graph, heavy->operands[0]),
                   .g = kt_graph_type(lower->graph, heavy->operands[1]),
                   .result = kt_graph_type(lower->graph, heavy->first_result)};
    kt_dim_pool *dims = lower->dims;
    int spatial = c.x->rank - 2;
    int64_t a = kt_lower_buffer(lower, heavy->operands[0]), b = kt_lower_buffer(lower, heavy->operands[1]);
    if (a < 0 || b < 0 || !kt_lower_has_epilogue_only(lower, heavy)) return false;
    for (int i = 0; i < spatial; i++)
        if (!kt_dim_equals(dims, c.attrs->low.at[i], 0) || !kt_dim_equals(dims, c.attrs->high.at[i], 0))
            return false;
    c.groups = kt_dim_const(dims, c.attrs->groups);
    c.channels = kt_dim_floordiv(dims, c.x->dims[spatial + 1], c.groups);
    c.features = kt_dim_floordiv(dims, c.g->dims[spatial + 1], c.groups);
    if (c.attrs->groups > 1) {
        if (kt_lower_grouped_by_kernel(lower, heavy, (uint32_t)a, (uint32_t)b)) return true;
        if (kt_dim_equals(dims, c.channels, 1))
            return false; /* else they would be products of one row each */
    }
    bool rows = c.attrs->dilation.at[spatial - 1] == 1 && c.attrs->groups == 1;
    c.window_axes = rows ? spatial - 1 : spatial;
    kt_deep_shape shape = {
        .heavy = heavy->first_result,
        .a = (uint32_t)a,
        .b = (uint32_t)b,
        .outer = kt_dim_mul(dims, c.groups, kt_product(lower, c.result->dims, 0, c.window_axes)),
        .rows = kt_product(lower, c.result->dims, c.window_axes, spatial + 1),
        .columns = c.features,
        .axis_count = spatial + 1,
        .a_begin = a_begin,
        .b_begin = b_begin,
        .place = place,
        .context = &c};
    for (int i = 0; i <= spatial; i++) {
        shape.axes[i] = (kt_tile_loop){.extent = c.g->dims[i],
                                       .a_stride = kt_product(lower, c.x->dims, i + 1, c.x->rank),
                                       .b_stride = kt_product(lower, c.g->dims, i + 1, c.g->rank)};
        if (i > 0)
            shape.axes[i].a_stride =
                kt_dim_mul_const(dims, shape.axes[i].a_stride, c.attrs->strides.at[i - 1]);
    }
    kt_lower_deep(lower, &shape);
    return true;
}
