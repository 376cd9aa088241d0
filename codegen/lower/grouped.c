/* conv of groups whose features are no more than a vector has lanes, by operands that are buffers and
 * unpadded; and how lanes lie over groups, for its derivative by the kernel too (grouped_by_kernel.c).
 *
 * Lanes are neighbouring features, of as many whole groups as a vector holds. The kernel has them side by
 * side. The input's channels that they meet, one of each group, lie `channels` apart: a vector is loaded from
 * the first of them on, and one lane of it spread over the features of each group; where a vector holds one
 * group only, that is one element spread over all lanes. In lanes behind the last whole group are sums that
 * mean nothing: they are stored, and then overwritten by the next vector of the same pixel, which is cheaper
 * than a mask. Vectors that would read or write past a pixel's end are masked.
 *
 * A tile is some neighbouring pixels of an image row by one vector. For each row of the window and each
 * channel of a group, a part of the row's kernel elements stay in registers, and each pixel of the input is
 * spread once for all of them. A tile that does not fit into the row's end overlaps the one before. */
#include "codegen/lower/lower_impl.h"

enum {
    UNIT_PRODUCTS = 1 << 21, /* multiply-adds in a unit */
    MOST_LINES = 1 << 22,    /* of a unit */
    MOST_LANES = 16,
    MOST_SPAN = 4,    /* vectors that the channels of a vector of features lie in */
    MOST_PIXELS = 16, /* of a tile: each costs instructions, as do places of the window */
    MOST_PLACES = 32,
    ROW_PLACES = 3, /* of the window, whose elements are in registers at once */
    IN_FLIGHT = 8,  /* sums: with fewer, the multiply-add's latency would show */
};

/* ---- lanes over groups ----------------------------------------------------------------------- */

/* How many channels lie between the first and the last of some groups that one loading takes, and one. */
static int64_t reach(const kt_group_lanes *l, int64_t groups) {
    return groups * l->channels - (l->all_channels ? 0 : l->channels - 1);
}

bool kt_group_lanes_plan(const kt_lower *lower, kt_dtype dtype, int64_t groups, bool all_channels,
                         int64_t most_parts, kt_dim channels, kt_dim features, kt_group_lanes *out_lanes) {
    kt_group_lanes l = {
        .dtype = dtype, .groups = groups, .all_channels = all_channels, .span = 1, .parts = 1};
    l.lanes = lower->target->vector_bytes / (int)kt_dtype_bytes(dtype);
    if (l.lanes > MOST_LANES) l.lanes = MOST_LANES;
    if (!kt_dim_is_const(lower->dims, channels, &l.channels) ||
        !kt_dim_is_const(lower->dims, features, &l.features) || l.channels < 1 || l.features < 1)
        return false;
    if (l.features > l.lanes) {
        l.parts = l.features / l.lanes;
        l.side_by_side = 1;
        l.used = l.lanes;
        l.vectors = l.whole = groups * l.parts;
        *out_lanes = l;
        return l.features % l.lanes == 0 && l.parts <= most_parts;
    }
    l.side_by_side = l.lanes / l.features < groups ? l.lanes / l.features : groups;
    while (l.side_by_side > 1 && reach(&l, l.side_by_side) > (int64_t)MOST_SPAN * l.lanes) l.side_by_side--;
    while (l.side_by_side > 1 && l.span < reach(&l, l.side_by_side)) l.span *= 2;
    l.used = l.side_by_side * l.features;
    l.vectors = kt_divide_up(groups, l.side_by_side);
    int64_t feature_room = groups * l.features - l.lanes;
    int64_t channel_room = reach(&l, groups) - l.span;
    if (feature_room >= 0 && channel_room >= 0) {
        int64_t by_channels = channel_room / (l.side_by_side * l.channels) + 1;
        l.whole = feature_room / l.used + 1;
        if (l.whole > by_channels) l.whole = by_channels;
    }
    *out_lanes = l;
    return true;
}

kt_group_masks kt_group_lanes_masks(kt_lower *lower, const kt_group_lanes *l, kt_reg vector) {
    kt_loops *loops = lower->loops;
    kt_group_masks masks = {0};
    kt_reg passed = kt_loops_index(loops, KT_INDEX_MUL, vector, kt_loops_int(loops, l->side_by_side));
    kt_reg left = kt_loops_index(loops, KT_INDEX_SUB, kt_loops_int(loops, l->groups), passed);
    left = kt_loops_index(loops, KT_INDEX_MIN, left, kt_loops_int(loops, l->side_by_side));
    kt_reg features = kt_loops_index(loops, KT_INDEX_MUL, left, kt_loops_int(loops, l->features));
    masks.features = kt_loops_mask(loops, features, l->lanes);
    if (l->span == 1) return masks;
    kt_reg channels = kt_loops_index(loops, KT_INDEX_MUL, left, kt_loops_int(loops, l->channels));
    channels = kt_loops_index(loops, KT_INDEX_ADD, channels, kt_loops_int(loops, reach(l, 0)));
    masks.channels = kt_loops_mask(loops, channels, l->span);
    return masks;
}

kt_reg kt_group_lanes_spread(kt_lower *lower, const kt_group_lanes *l, uint32_t buffer, kt_reg index,
                             int64_t channel, kt_reg mask) {
    bool inside = l->all_channels && l->span > 1; /* of the vector that is loaded */
    if (!inside)
        index = kt_loops_index(lower->loops, KT_INDEX_ADD, index, kt_loops_int(lower->loops, channel));
    kt_reg value = kt_loops_load(lower->loops, buffer, index, l->span, mask);
    value = kt_loops_apply(lower->loops, KT_OP_cast, l->dtype, value, 0, 0);
    return kt_loops_spread(lower->loops, value, l->lanes, inside ? channel : 0, l->features, l->channels);
}

kt_reg kt_group_lanes_load(kt_lower *lower, const kt_group_lanes *l, uint32_t buffer, kt_reg index,
                           kt_reg mask) {
    kt_reg value = kt_loops_load(lower->loops, buffer, index, l->lanes, mask);
    return kt_loops_apply(lower->loops, KT_OP_cast, l->dtype, value, 0, 0);
}

/* ---- the convolution ------------------------------------------------------------------------- */

typedef struct grouped {
    kt_value heavy;
    const kt_attrs_conv *attrs;
    const kt_type *x, *w, *result;
    int spatial;
    uint32_t x_buffer, w_buffer;
    kt_group_lanes lanes;
    int64_t places, together; /* of a row of the window; with kernel elements in registers at once */
    int64_t pixels;           /* of a tile */
    kt_reg line;              /* the image row at hand, counted through batch and space */
} grouped;

/* Adds to the tile's sums what the places [first, last) of a row of the window give, by one channel of each
 * group. x, w: where that channel's first pixel, and its elements at the row's first place, begin. */
static void add_places(kt_lower *lower, const grouped *g, kt_cell sums, const kt_group_masks *masks,
                       int64_t first, int64_t last, kt_reg x, kt_reg w) {
    kt_loops *loops = lower->loops;
    const kt_group_lanes *l = &g->lanes;
    int64_t stride = g->attrs->strides.at[g->spatial - 1], dilation = g->attrs->dilation.at[g->spatial - 1];
    int64_t pixel = l->groups * l->channels, row = l->channels * l->groups * l->features;
    kt_reg elements[ROW_PLACES];
    for (int64_t k = first; k < last; k++)
        elements[k - first] = kt_group_lanes_load(
            lower, l, g->w_buffer, kt_plus(lower, w, kt_loops_int(loops, k * row)), masks->features);
    int64_t end = (g->pixels - 1) * stride + (last - 1) * dilation + 1;
    for (int64_t at = first * dilation; at < end; at++) {
        kt_reg value = 0;
        for (int64_t k = first; k < last; k++) {
            int64_t before = at - k * dilation;
            if (before < 0 || before % stride != 0 || before / stride >= g->pixels) continue;
            if (!value)
                value = kt_group_lanes_spread(lower, l, g->x_buffer,
                                              kt_plus(lower, x, kt_loops_int(loops, at * pixel)), 0,
                                              masks->channels);
            kt_add_product(lower, sums, kt_loops_int(loops, before / stride), value, elements[k - first]);
        }
    }
}

/* Of what the tile's vector will read for the next line, the row that this one does not read. x: where the
 * tile begins in the input. Windows that move by more would prefetch so much that it displaces what is read.
 */
static void prefetch_row(kt_lower *lower, const grouped *g, kt_reg x) {
    int axis = g->spatial - 2;
    if (axis < 0 || g->attrs->strides.at[axis] != 1 || g->attrs->strides.at[axis + 1] != 1) return;
    kt_dim rows = kt_dim_mul_const(lower->dims, kt_dim_add_const(lower->dims, g->w->dims[axis], -1),
                                   g->attrs->dilation.at[axis]);
    kt_dim row = kt_product(lower, g->x->dims, axis + 2, g->x->rank);
    x = kt_plus(
        lower, x,
        kt_loops_dim(lower->loops, kt_dim_mul(lower->dims, kt_dim_add_const(lower->dims, rows, 1), row)));
    int64_t pixel = g->lanes.groups * g->lanes.channels;
    for (int64_t i = 0; i < g->pixels; i++)
        kt_loops_prefetch(lower->loops, g->x_buffer,
                          kt_plus(lower, x, kt_loops_int(lower->loops, i * pixel)));
}

/* The tile of vector number `vector` whose first pixel is `pixel` of the line. x: where that pixel begins in
 * the input. */
static void emit_tile(kt_lower *lower, const grouped *g, kt_reg vector, const kt_group_masks *masks,
                      kt_reg pixel, kt_reg x) {
    kt_loops *loops = lower->loops;
    const kt_group_lanes *l = &g->lanes;
    kt_reg feature = kt_times_int(lower, vector, l->used), w = feature;
    x = kt_plus(lower, x, kt_times_int(lower, vector, l->side_by_side * l->channels));
    prefetch_row(lower, g, x);
    kt_cell sums = kt_zero_sums(lower, l->dtype, l->lanes, g->pixels);
    for (int axis = 0; axis < g->spatial - 1; axis++) {
        kt_reg place =
            kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_dim(loops, g->w->dims[axis]), 1, "window");
        kt_dim step = kt_dim_mul_const(lower->dims, kt_product(lower, g->x->dims, axis + 2, g->x->rank),
                                       g->attrs->dilation.at[axis]);
        x = kt_plus(lower, x, kt_loops_index(loops, KT_INDEX_MUL, place, kt_loops_dim(loops, step)));
        step = kt_product(lower, g->w->dims, axis + 1, g->w->rank);
        w = kt_plus(lower, w, kt_loops_index(loops, KT_INDEX_MUL, place, kt_loops_dim(loops, step)));
    }
    for (int64_t first = 0; first < g->places; first += g->together) {
        int64_t last = first + g->together < g->places ? first + g->together : g->places;
        kt_reg channel =
            kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, l->channels), 1, "channels");
        add_places(lower, g, sums, masks, first, last, kt_plus(lower, x, channel),
                   kt_plus(lower, w, kt_times_int(lower, channel, l->groups * l->features)));
        kt_lower_end(lower);
    }
    for (int axis = 0; axis < g->spatial - 1; axis++) kt_lower_end(lower);
    for (int64_t i = 0; i < g->pixels; i++) {
        int rank = g->result->rank;
        kt_position at = kt_position_origin(lower, rank, g->result->dims, l->lanes);
        at.mask = masks->features;
        for (int axis = 0; axis + 3 < rank; axis++) at.merged |= 1U << axis;
        at.at[rank - 3] = kt_axis_at(g->line, 0);
        at.at[rank - 2] = kt_axis_at(kt_plus(lower, pixel, kt_loops_int(loops, i)), 0);
        at.at[rank - 1] = kt_axis_at(feature, l->lanes > 1);
        kt_lower_epilogue(lower, g->heavy, &at, kt_loops_get(loops, sums, kt_loops_int(loops, i)));
    }
}

/* All vectors of a tile's pixels, in order. */
static void emit_vectors(kt_lower *lower, const grouped *g, kt_reg pixel, kt_reg x) {
    kt_loops *loops = lower->loops;
    const kt_group_lanes *l = &g->lanes;
    kt_group_masks masks = {0};
    if (l->whole > 0) {
        kt_reg vector =
            kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, l->whole), 1, "vectors");
        emit_tile(lower, g, vector, &masks, pixel, x);
        kt_lower_end(lower);
    }
    if (l->whole == l->vectors) return;
    kt_reg vector =
        kt_lower_begin(lower, kt_loops_int(loops, l->whole), kt_loops_int(loops, l->vectors), 1, "vectors");
    masks = kt_group_lanes_masks(lower, l, vector);
    emit_tile(lower, g, vector, &masks, pixel, x);
    kt_lower_end(lower);
}

/* The line's pixels from first on, `pixels` at a time. */
static void emit_line(kt_lower *lower, grouped *g, kt_reg first, int64_t pixels, kt_reg begin) {
    kt_loops *loops = lower->loops;
    kt_reg width = kt_loops_dim(loops, g->result->dims[g->spatial]);
    int64_t step = g->attrs->strides.at[g->spatial - 1] * g->lanes.groups * g->lanes.channels;
    g->pixels = pixels;
    kt_reg pixel = kt_lower_begin(lower, first, width, pixels, "pixels");
    kt_reg last = kt_loops_index(loops, KT_INDEX_SUB, width, kt_loops_int(loops, pixels));
    int64_t known;
    if (!kt_loops_is_int(loops, width, &known) || known % pixels != 0)
        pixel = kt_loops_index(loops, KT_INDEX_MIN, pixel, last);
    emit_vectors(lower, g, pixel, kt_plus(lower, begin, kt_times_int(lower, pixel, step)));
    kt_lower_end(lower);
}

/* How many pixels of a row make a tile: what keeps the multiply-adds busy, but computes little twice. */
static int64_t choose_pixels(int64_t width, int64_t most) {
    int64_t best = 1;
    double best_score = 0;
    for (int64_t pixels = 1; pixels <= most && pixels <= width; pixels++) {
        int64_t tiles = kt_divide_up(width, pixels), busy = pixels < IN_FLIGHT ? pixels : IN_FLIGHT;
        double score = (double)(width * busy) / (double)(tiles * pixels);
        if (score < best_score) continue;
        best = pixels;
        best_score = score;
    }
    return best;
}

static void emit_lines(kt_lower *lower, grouped *g, kt_dim lines_per_unit, kt_dim lines) {
    kt_loops *loops = lower->loops;
    kt_dim units = kt_dim_ceildiv(lower->dims, lines, lines_per_unit), width = g->result->dims[g->spatial];
    int64_t most = lower->target->vector_registers - g->together - 2, known;
    if (most > MOST_PIXELS) most = MOST_PIXELS;
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0), kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    kt_reg end, begin = kt_part(lower, unit, lines_per_unit, lines, &end);
    g->line = kt_lower_begin(lower, begin, end, 1, "image rows");
    kt_reg x = kt_lower_line_begin(lower, g->x, g->result, &g->attrs->strides, g->line);
    kt_reg zero = kt_loops_int(loops, 0);
    if (kt_dim_is_const(lower->dims, width, &known)) {
        int64_t fit = known < most ? known : most;
        int64_t pixels = kt_choose(&loops->choice, KT_KNOB_rows, choose_pixels(known, most),
                                   (kt_range){.least = 1, .most = fit > 1 ? fit : 1},
                                   "sums enough in flight, and few computed twice");
        emit_line(lower, g, zero, pixels, x);
    } else {
        /* Rows that are too short for a tile go pixel by pixel. */
        kt_reg fits =
            kt_loops_index(loops, KT_INDEX_LT, kt_loops_int(loops, most - 1), kt_loops_dim(loops, width));
        kt_lower_if(lower, fits);
        emit_line(lower, g, zero, most, x);
        kt_lower_end(lower);
        kt_lower_if(lower, kt_loops_apply(loops, KT_OP_not, KT_BOOL, fits, 0, 0));
        emit_line(lower, g, zero, 1, x);
        kt_lower_end(lower);
    }
    kt_lower_end(lower);
    kt_loops_end(loops);
}

bool kt_lower_grouped(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t w) {
    kt_dim_pool *dims = lower->dims;
    grouped g = {.heavy = heavy->first_result,
                 .attrs = heavy->attrs,
                 .x = kt_graph_type(lower->graph, heavy->operands[0]),
                 .w = kt_graph_type(lower->graph, heavy->operands[1]),
                 .result = kt_graph_type(lower->graph, heavy->first_result),
                 .x_buffer = x,
                 .w_buffer = w};
    g.spatial = g.x->rank - 2;
    kt_dim groups = kt_dim_const(dims, g.attrs->groups), width = g.result->dims[g.spatial];
    kt_dim features = kt_dim_floordiv(dims, g.w->dims[g.spatial + 1], groups);
    if (!kt_group_lanes_plan(lower, kt_accumulator(g.result->dtype), g.attrs->groups, false, 1,
                             g.w->dims[g.spatial], features, &g.lanes) ||
        !kt_dim_is_const(dims, g.w->dims[g.spatial - 1], &g.places) || g.places > MOST_PLACES)
        return false;
    g.together = kt_divide_up(g.places, ROW_PLACES);
    g.together = kt_divide_up(g.places, g.together);
    kt_dim per_line = kt_dim_mul(dims, width, kt_product(lower, g.w->dims, 0, g.w->rank));
    kt_dim lines = kt_product(lower, g.result->dims, 0, g.spatial);
    int64_t products = UNIT_PRODUCTS;
    kt_dim_is_const(dims, per_line, &products);
    kt_dim work = kt_dim_mul(dims, lines, per_line);
    lower->loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, 2 * (int64_t)g.lanes.lanes));
    lower->loops->choice.form = "in groups";
    int64_t high =
        kt_choose(&lower->loops->choice, KT_KNOB_high, UNIT_PRODUCTS / kt_size_add(products, 1) + 1,
                  (kt_range){.least = 1, .most = MOST_LINES}, "products enough for a unit");
    emit_lines(lower, &g, kt_dim_const(dims, high), lines);
    return true;
}
