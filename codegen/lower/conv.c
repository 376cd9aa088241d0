/* conv: as a value at a position (any padding, dilation, grouping, dtype; lanes along the features), and as a
 * root by tiles, where operands are parameters and nothing is padded.
 *
 * No patches are copied: a tile's rows are neighbouring pixels of an image row, which lie at constant strides
 * in the input, and depth is a nest of loops over the window, whose innermost runs over what is contiguous. A
 * 1 x 1 convolution is a plain product. Groups of few features are grouped.c's; single ones (depthwise) are
 * depthwise.c's, padded or not, or else go in the form at a position, vectorised over the features. */
#include "codegen/lower/lower_impl.h"

enum {
    BLOCK_BYTES = 256 * 1024, /* of the kernel, in a unit */
    UNIT_PRODUCTS = 1 << 17,  /* multiply-adds in a unit, about */
    MOST_LINES = 1 << 12,     /* of a unit */
    TILES_IN_CUT = 4,         /* of a line */
};

typedef struct convolution {
    const kt_attrs_conv *attrs;
    const kt_type *x, *w, *result;
    int spatial;
    kt_dim window[KT_MAX_RANK];
    kt_dim channels, features; /* of a group */
} convolution;

static convolution describe(kt_lower *lower, const kt_node_info *node) {
    convolution c = {.attrs = node->attrs,
                     .x = kt_graph_type(lower->graph, node->operands[0]),
                     .w = kt_graph_type(lower->graph, node->operands[1]),
                     .result = kt_graph_type(lower->graph, node->first_result)};
    c.spatial = c.x->rank - 2;
    kt_dim groups = kt_dim_const(lower->dims, c.attrs->groups);
    for (int i = 0; i < c.spatial; i++)
        c.window[i] = c.attrs->panel ? kt_dim_const(lower->dims, c.attrs->window.at[i]) : c.w->dims[i];
    c.channels = kt_dim_floordiv(lower->dims, c.x->dims[c.x->rank - 1], groups);
    c.features = kt_dim_floordiv(lower->dims, c.result->dims[c.result->rank - 1], groups);
    return c;
}

/* ---- at a position --------------------------------------------------------------------------- */

/* The kernel's element at the window indices, channel and feature. */
static kt_reg kernel_value(kt_lower *lower, const kt_node_info *node, const convolution *c,
                           const kt_reg *window, kt_reg channel, kt_axis_index feature, kt_reg group,
                           const kt_position *at) {
    kt_loops *loops = lower->loops;
    if (c->attrs->panel == 0) {
        kt_position place = kt_position_origin(lower, c->w->rank, c->w->dims, at->lanes);
        place.mask = at->mask;
        place.guard = at->guard;
        for (int i = 0; i < c->spatial; i++) place.at[i].at = window[i];
        place.at[c->spatial].at = channel;
        place.at[c->spatial + 1] = feature;
        return kt_lower_value(lower, node->operands[1], &place);
    }
    kt_reg depth = kt_loops_int(loops, 0);
    for (int i = 0; i < c->spatial; i++) {
        depth = kt_loops_index(loops, KT_INDEX_MUL, depth, kt_loops_dim(loops, c->window[i]));
        depth = kt_loops_index(loops, KT_INDEX_ADD, depth, window[i]);
    }
    depth = kt_loops_index(loops, KT_INDEX_MUL, depth, kt_loops_dim(loops, c->channels));
    depth = kt_loops_index(loops, KT_INDEX_ADD, depth, channel);
    kt_reg column = kt_axis_lanes(lower, feature, at->lanes), first = kt_loops_int(loops, 0);
    if (c->attrs->groups > 1) {
        column = kt_loops_index(loops, KT_INDEX_MOD, column, kt_loops_dim(loops, c->features));
        kt_dim panels =
            kt_dim_floordiv(lower->dims, c->w->dims[0], kt_dim_const(lower->dims, c->attrs->groups));
        first = kt_loops_index(loops, KT_INDEX_MUL, group, kt_loops_dim(loops, panels));
    }
    return kt_lower_packed(lower, node, depth, column, first, at);
}

kt_axis_index kt_lower_group_of(kt_lower *lower, int64_t groups, kt_dim features, kt_axis_index feature,
                                int lanes) {
    kt_loops *loops = lower->loops;
    if (groups == 1) return kt_axis_at(kt_loops_int(loops, 0), 0);
    if (kt_dim_equals(lower->dims, features, 1)) return feature;
    kt_reg at = kt_axis_lanes(lower, feature, lanes);
    return kt_axis_at(kt_loops_index(loops, KT_INDEX_DIV, at, kt_loops_dim(loops, features)), 0);
}

kt_reg kt_lower_conv(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    convolution c = describe(lower, node);
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_accumulator(c.result->dtype);
    kt_position own = *at;
    for (int axis = 0; axis < own.rank; axis++) kt_position_split(lower, &own, axis);
    kt_axis_index feature = own.at[own.rank - 1];
    kt_axis_index group = kt_lower_group_of(lower, c.attrs->groups, c.features, feature, at->lanes);
    kt_cell cell = kt_loops_cell(loops, "sum", dtype, at->lanes, 1);
    kt_loops_set(loops, cell, 0, kt_loops_const(loops, dtype, at->lanes, 0));
    kt_position from = kt_position_origin(lower, c.x->rank, c.x->dims, at->lanes);
    kt_reg window[KT_MAX_RANK], valid = 0;
    int blocks = 1;
    from.guard = at->guard;
    from.at[0] = own.at[0];
    for (int i = 0; i < c.spatial; i++) {
        kt_window_axis axis = {.window = c.window[i],
                               .stride = c.attrs->strides.at[i],
                               .dilation = c.attrs->dilation.at[i],
                               .input_dilation = c.attrs->input_dilation.at[i],
                               .low = c.attrs->low.at[i],
                               .inside = kt_dim_equals(lower->dims, c.attrs->high.at[i], 0),
                               .extent = c.x->dims[i + 1]};
        kt_window_turn turn = kt_window_begin(lower, &axis, own.at[i + 1], at->lanes);
        window[i] = turn.window;
        from.at[i + 1] = turn.input;
        valid = kt_lower_and(lower, valid, turn.valid);
        blocks += turn.blocks;
    }
    kt_reg channel =
        kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_dim(loops, c.channels), 1, "channels");
    from.at[c.spatial + 1] = kt_axis_add(lower, kt_axis_scale(lower, group, c.channels, at->lanes),
                                         kt_axis_at(channel, 0), at->lanes);
    from.mask = kt_lower_and(lower, at->mask, valid);
    kt_reg x = kt_lower_value(lower, node->operands[0], &from);
    kt_reg w =
        kernel_value(lower, node, &c, window, channel, feature, kt_axis_lanes(lower, group, at->lanes), at);
    kt_reg sum = kt_loops_get(loops, cell, 0);
    kt_reg next = kt_multiply_add(lower, kt_loops_apply(loops, KT_OP_cast, dtype, x, 0, 0),
                                  kt_loops_apply(loops, KT_OP_cast, dtype, w, 0, 0), sum);
    if (valid) next = kt_loops_apply(loops, KT_OP_select, dtype, valid, next, sum);
    kt_loops_set(loops, cell, 0, next);
    while (blocks-- > 0) kt_lower_end(lower);
    return kt_loops_apply(loops, KT_OP_cast, c.result->dtype, kt_loops_get(loops, cell, 0), 0, 0);
}

/* ---- by tiles -------------------------------------------------------------------------------- */

typedef struct root {
    const convolution *c;
    kt_value heavy;
    /* The image row, counted through batch and space; where the unit's part of it begins; the group's first
     * feature. */
    kt_reg line, first_pixel, first_feature;
} root;

static void store_sum(kt_lower *lower, const kt_tiling *tiling, kt_reg pixel, kt_reg column, kt_reg sum,
                      kt_reg mask) {
    const root *r = tiling->context;
    const kt_type *type = r->c->result;
    kt_position at = kt_position_origin(lower, type->rank, type->dims, tiling->lanes);
    at.mask = mask;
    for (int axis = 0; axis + 3 < type->rank; axis++) at.merged |= 1U << axis;
    at.at[type->rank - 3] = kt_axis_at(r->line, 0);
    at.at[type->rank - 2] = kt_axis_at(kt_plus(lower, r->first_pixel, pixel), 0);
    kt_reg feature = kt_loops_index(lower->loops, KT_INDEX_ADD, r->first_feature, column);
    at.at[type->rank - 1] = kt_axis_at(feature, tiling->lanes > 1);
    kt_lower_epilogue(lower, r->heavy, &at, sum);
}

/* Loops over the window and the channels, as strides in the input and in the kernel. */
static void plan_depth(kt_lower *lower, const convolution *c, kt_tiling *tiling, kt_dim b_step) {
    kt_dim_pool *dims = lower->dims;
    kt_dim one = kt_dim_const(dims, 1), all_channels = c->x->dims[c->spatial + 1];
    int64_t last_dilation = c->attrs->dilation.at[c->spatial - 1];
    /* A row of the window without gaps is one run of pixels, channels and all. */
    bool run = last_dilation == 1 && c->attrs->groups == 1;
    kt_dim below = kt_dim_mul(dims, c->channels, b_step);
    for (int i = c->spatial - 1; i >= 0; i--) {
        kt_dim pixels = kt_product(lower, c->x->dims, i + 2, c->spatial + 1);
        kt_dim stride =
            kt_dim_mul_const(dims, kt_dim_mul(dims, pixels, all_channels), c->attrs->dilation.at[i]);
        tiling->loops[i] = (kt_tile_loop){.extent = c->window[i], .a_stride = stride, .b_stride = below};
        below = kt_dim_mul(dims, below, c->window[i]);
    }
    kt_tile_loop channels = {.extent = c->channels, .a_stride = one, .b_stride = b_step};
    tiling->loop_count = c->spatial + 1;
    if (run) {
        kt_dim window = c->window[c->spatial - 1];
        tiling->loop_count = c->spatial;
        if (c->attrs->strides.at[c->spatial - 1] == 1 && kt_tiling_take_taps(lower, tiling, window))
            tiling->tap_stride = kt_dim_mul(dims, c->channels, b_step);
        else
            channels.extent = kt_dim_mul(dims, c->channels, window);
    }
    tiling->loops[tiling->loop_count - 1] = channels;
}

kt_reg kt_lower_line_begin(kt_lower *lower, const kt_type *x, const kt_type *result, const kt_ints *strides,
                           kt_reg line) {
    kt_loops *loops = lower->loops;
    int spatial = x->rank - 2;
    kt_dim stride = kt_product(lower, x->dims, spatial, x->rank); /* of an input row */
    kt_reg begin = kt_loops_int(loops, 0);
    for (int i = spatial - 2; i >= 0; i--) {
        kt_reg extent = kt_loops_dim(loops, result->dims[i + 1]);
        kt_reg index = kt_loops_index(loops, KT_INDEX_MOD, line, extent);
        kt_dim step = kt_dim_mul_const(lower->dims, stride, strides->at[i]);
        begin = kt_loops_index(loops, KT_INDEX_ADD, begin,
                               kt_loops_index(loops, KT_INDEX_MUL, index, kt_loops_dim(loops, step)));
        line = kt_loops_index(loops, KT_INDEX_DIV, line, extent);
        stride = kt_dim_mul(lower->dims, stride, x->dims[i + 1]);
    }
    return kt_loops_index(loops, KT_INDEX_ADD, begin,
                          kt_loops_index(loops, KT_INDEX_MUL, line, kt_loops_dim(loops, stride)));
}

/* Groups of a vector of features or less, but for depthwise ones. */
static bool suits_lanes(kt_lower *lower, const convolution *c) {
    bool depthwise = kt_dim_equals(lower->dims, c->channels, 1) && kt_dim_equals(lower->dims, c->features, 1);
    return c->attrs->groups > 1 && c->attrs->panel == 0 && !depthwise && !kt_multiplies_bytes(c->x, c->w);
}

/* Else a tile would be mostly empty. */
static bool suits_tiles(kt_lower *lower, const convolution *c, int lanes) {
    int64_t features;
    if (c->attrs->groups == 1) return true;
    return kt_dim_is_const(lower->dims, c->features, &features) && features * 2 > lanes;
}

static bool is_unpadded(kt_lower *lower, const convolution *c) {
    for (int i = 0; i < c->spatial; i++)
        if (!kt_dim_equals(lower->dims, c->attrs->low.at[i], 0) ||
            !kt_dim_equals(lower->dims, c->attrs->high.at[i], 0) || c->attrs->input_dilation.at[i] != 1)
            return false;
    return true;
}

/* A 1 x 1 window that moves by single steps. */
static bool is_product(kt_lower *lower, const convolution *c) {
    for (int i = 0; i < c->spatial; i++)
        if (!kt_dim_equals(lower->dims, c->window[i], 1) || c->attrs->strides.at[i] != 1) return false;
    return c->attrs->groups == 1;
}

/* At least 1: a symbol counts as 32. */
static int64_t guess(kt_lower *lower, kt_dim dim) {
    int64_t size = 32;
    kt_dim_is_const(lower->dims, dim, &size);
    return size > 1 ? size : 1;
}

/* Into how many parts of as many pixels each a line of so many products goes: where it is all of a sample,
 * threads share it. */
static int64_t cut_line(kt_lower *lower, const convolution *c, const kt_tiling *tiling, int64_t products) {
    int64_t pixels, cuts = products / (2 * UNIT_PRODUCTS), least = (int64_t)tiling->rows * TILES_IN_CUT;
    if (c->spatial > 1 || !kt_dim_is_const(lower->dims, c->result->dims[1], &pixels)) return 1;
    if (cuts > pixels / least) cuts = pixels / least;
    while (cuts > 1 && pixels % cuts != 0) cuts--;
    return cuts > 1 ? cuts : 1;
}

static void emit_lines(kt_lower *lower, const convolution *c, kt_tiling *tiling) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    root *r = tiling->context;
    kt_dim groups = kt_dim_const(dims, c->attrs->groups), width = c->result->dims[c->spatial];
    kt_dim tiles = kt_dim_ceildiv(dims, c->features, kt_dim_const(dims, kt_tile_width(tiling)));
    kt_dim depth = kt_product(lower, c->window, 0, c->spatial);
    depth = kt_dim_mul(dims, depth, c->channels);
    kt_dim lines = kt_product(lower, c->result->dims, 0, c->spatial);
    int64_t deep = guess(lower, depth),
            bytes = kt_size_mul(deep, kt_tile_width(tiling) * (int64_t)kt_dtype_bytes(tiling->dtype));
    int64_t wide = BLOCK_BYTES / bytes + 1, all = guess(lower, tiles), blocks = kt_divide_up(all, wide);
    int64_t line = kt_size_mul(guess(lower, width), kt_size_mul(deep, guess(lower, c->features)));
    int64_t cuts = cut_line(lower, c, tiling, line);
    /* Else they share its features. */
    if (c->spatial == 1 && cuts == 1 && blocks == 1 && all > 1 && line > 2 * UNIT_PRODUCTS) blocks = 2;
    loops->choice.form = "rows of an image";
    wide = kt_choose(&loops->choice, KT_KNOB_wide, kt_divide_up(all, blocks),
                     (kt_range){.least = 1, .most = all}, "what the cache keeps of the kernel");
    int64_t pixel = kt_size_mul(deep, kt_size_mul(wide, kt_tile_width(tiling)));
    int64_t products = kt_size_mul(guess(lower, width) / cuts, pixel);
    kt_dim high = kt_dim_const(dims, kt_choose(&loops->choice, KT_KNOB_high, UNIT_PRODUCTS / products + 1,
                                               (kt_range){.least = 1, .most = MOST_LINES},
                                               "products enough for a unit"));
    kt_dim line_blocks = kt_dim_ceildiv(dims, lines, high);
    kt_dim column_blocks = kt_dim_ceildiv(dims, tiles, kt_dim_const(dims, wide));
    kt_dim line_parts = kt_dim_mul_const(dims, line_blocks, cuts);
    kt_dim per_group = kt_dim_mul(dims, line_parts, column_blocks);
    kt_dim units = kt_dim_mul(dims, groups, per_group);
    kt_dim work = kt_dim_mul(dims, kt_dim_mul(dims, lines, width), kt_dim_mul(dims, depth, c->features));
    work = kt_dim_mul(dims, work, groups);
    loops->leading = c->attrs->groups == 1 && kt_dim_equals(dims, column_blocks, 1);
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)tiling->lanes));

    kt_reg zero = kt_loops_int(loops, 0), one = kt_loops_int(loops, 1);
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, zero, kt_loops_dim(loops, units), one, "units");
    kt_reg group = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_dim(loops, per_group));
    kt_reg inner = kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_dim(loops, per_group));
    kt_reg column_block = kt_loops_index(loops, KT_INDEX_DIV, inner, kt_loops_dim(loops, line_parts));
    kt_reg line_block = kt_loops_index(loops, KT_INDEX_MOD, inner, kt_loops_dim(loops, line_parts));
    kt_reg cut = kt_loops_index(loops, KT_INDEX_MOD, line_block, kt_loops_int(loops, cuts));
    line_block = kt_loops_index(loops, KT_INDEX_DIV, line_block, kt_loops_int(loops, cuts));
    kt_reg last, first = kt_part(lower, column_block, kt_dim_const(dims, wide), tiles, &last);
    kt_reg end, begin = kt_part(lower, line_block, high, lines, &end);
    r->first_feature = kt_loops_index(loops, KT_INDEX_MUL, group, kt_loops_dim(loops, c->features));
    kt_dim group_step = c->features;
    if (tiling->panel)
        group_step = kt_dim_mul(dims, tiling->panel_stride, kt_dim_floordiv(dims, c->w->dims[0], groups));
    kt_reg b = kt_loops_index(loops, KT_INDEX_MUL, group, kt_loops_dim(loops, group_step));
    kt_dim pixels = cuts > 1 ? kt_dim_floordiv(dims, width, kt_dim_const(dims, cuts)) : width;
    r->first_pixel = kt_loops_index(loops, KT_INDEX_MUL, cut, kt_loops_dim(loops, pixels));
    r->line = kt_lower_begin(lower, begin, end, 1, "image rows");
    kt_reg a = kt_loops_index(loops, KT_INDEX_ADD,
                              kt_lower_line_begin(lower, c->x, c->result, &c->attrs->strides, r->line),
                              kt_loops_index(loops, KT_INDEX_MUL, group, kt_loops_dim(loops, c->channels)));
    a = kt_plus(lower, a, kt_times_dim(lower, r->first_pixel, tiling->row_stride));
    kt_tile_block(lower, tiling, a, b, kt_loops_dim(loops, pixels), first, last);
    kt_lower_end(lower);
    kt_loops_end(loops);
}

bool kt_lower_conv_root(kt_lower *lower, const kt_node_info *heavy) {
    convolution c = describe(lower, heavy);
    int64_t a = kt_lower_buffer(lower, heavy->operands[0]), b = kt_lower_buffer(lower, heavy->operands[1]);
    if (a < 0 || b < 0 || !kt_lower_has_epilogue_only(lower, heavy)) return false;
    if (kt_lower_depthwise(lower, heavy, (uint32_t)a, (uint32_t)b)) return true;
    if (!is_unpadded(lower, &c)) return false;
    int64_t word = kt_lower_word(lower, heavy);
    bool words = word > 1 && c.attrs->panel; /* else they are taken one by one */
    if (is_product(lower, &c)) {
        kt_dim b_step = kt_dim_const(lower->dims, c.attrs->panel);
        kt_product_shape shape = {
            .heavy = heavy->first_result,
            .a = {.buffer = (uint32_t)a, .rows = c.channels, .depth = kt_dim_const(lower->dims, 1)},
            .b = {.buffer = (uint32_t)b, .depth = c.attrs->panel ? b_step : c.features},
            .batch = kt_dim_const(lower->dims, 1),
            .rows = kt_product(lower, c.result->dims, 0, c.spatial + 1),
            .depth = c.channels,
            .columns = c.features,
            .panel = c.attrs->panel,
            .row_axes = c.spatial + 1};
        if (words && kt_lower_word_product(lower, &shape, word)) return true;
        if (words || kt_multiplies_bytes(c.x, c.w)) return false;
        if (!kt_lower_blas_product(lower, &shape)) kt_lower_product(lower, &shape);
        return true;
    }
    if (suits_lanes(lower, &c) && kt_lower_grouped(lower, heavy, (uint32_t)a, (uint32_t)b)) return true;
    root r = {.c = &c, .heavy = heavy->first_result};
    if (!words && kt_multiplies_bytes(c.x, c.w)) return false;
    kt_type x_words = *c.x;
    if (words) {
        /* The same convolution of fewer channels, each a word. */
        kt_dim *channels = &x_words.dims[x_words.rank - 1];
        if (c.attrs->groups != 1 || !kt_lower_in_words(lower, word, channels)) return false;
        c.channels = *channels;
        c.x = &x_words;
    }
    kt_tiling tiling = {
        .a = (uint32_t)a, .b = (uint32_t)b, .words = words, .store = store_sum, .context = &r};
    kt_tiling_init(lower, &tiling, kt_accumulator(c.result->dtype), c.attrs->panel, c.features);
    if (!suits_tiles(lower, &c, tiling.lanes)) return false;
    if (kt_lower_blas_conv(lower, heavy, (uint32_t)a, (uint32_t)b)) return true;
    kt_dim depth = kt_dim_mul(lower->dims, kt_product(lower, c.window, 0, c.spatial), c.channels);
    kt_dim b_step = c.attrs->panel ? kt_dim_const(lower->dims, c.attrs->panel) : c.w->dims[c.w->rank - 1];
    tiling.panel_stride = kt_dim_mul(lower->dims, depth, b_step);
    tiling.row_stride =
        kt_dim_mul_const(lower->dims, c.x->dims[c.spatial + 1], c.attrs->strides.at[c.spatial - 1]);
    tiling.prefetch = c.attrs->panel != 0;
    plan_depth(lower, &c, &tiling, b_step);
    emit_lines(lower, &c, &tiling);
    return true;
}
