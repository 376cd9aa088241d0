/* cumulative and scatter: what is combined one after the other.
 *
 * A unit is a piece of the axes behind the one that matters, as wide as a vector, under one index of those
 * before it; in it the steps along the axis are taken in order, by one thread. So no element is shared
 * between units, and results do not depend on how many threads there are. */
#include "codegen/lower/lower_impl.h"

typedef struct lines {
    kt_dim before, behind, chunks;
    int lanes;
    kt_reg outer, column, mask; /* of the unit */
} lines;

/* Opens the parallel loop over units; steps: how many there are in one. */
static lines begin_lines(kt_lower *lower, kt_dim before, kt_dim behind, kt_dim steps) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    lines l = {.before = before, .behind = behind, .lanes = kt_lower_lanes(lower, 1, behind)};
    kt_dim lanes = kt_dim_const(dims, l.lanes);
    l.chunks = kt_dim_ceildiv(dims, behind, lanes);
    kt_dim units = kt_dim_mul(dims, before, l.chunks);
    loops->cost = kt_dim_add(dims, loops->cost, kt_dim_mul(dims, units, steps));
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0), kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    kt_reg chunks = kt_loops_dim(loops, l.chunks);
    l.outer = kt_loops_index(loops, KT_INDEX_DIV, unit, chunks);
    kt_reg chunk = kt_loops_index(loops, KT_INDEX_MOD, unit, chunks);
    l.column = kt_loops_index(loops, KT_INDEX_MUL, chunk, kt_loops_int(loops, l.lanes));
    if (!kt_dim_equals(dims, kt_dim_mod(dims, behind, lanes), 0)) {
        kt_reg left = kt_loops_index(loops, KT_INDEX_SUB, kt_loops_dim(loops, behind), l.column);
        l.mask = kt_loops_mask(loops, left, l.lanes);
    }
    return l;
}

/* The unit's place at a step along the axis of [before, extent, behind]. */
static kt_position line_place(kt_lower *lower, const lines *l, kt_dim extent, kt_reg step) {
    kt_position at = kt_position_origin(lower, 3, (const kt_dim[]){l->before, extent, l->behind}, l->lanes);
    at.mask = l->mask;
    at.at[0] = kt_axis_at(l->outer, 0);
    at.at[1] = kt_axis_at(step, 0);
    at.at[2] = kt_axis_at(l->column, l->lanes > 1);
    return at;
}

static kt_reg wide_value(kt_lower *lower, kt_value value, const kt_position *at, kt_dtype dtype) {
    kt_reg reg = kt_loops_apply(lower->loops, KT_OP_cast, dtype, kt_lower_value(lower, value, at), 0, 0);
    return kt_loops_splat(lower->loops, reg, at->lanes);
}

static void store(kt_lower *lower, const kt_position *at, kt_reg reg, kt_dtype dtype) {
    kt_reg narrow = kt_loops_apply(lower->loops, KT_OP_cast, dtype, reg, 0, 0);
    kt_loops_store(lower->loops, lower->kernel->params.count, kt_position_linear(lower, at).at, narrow,
                   at->mask);
}

bool kt_lower_cumulative_root(kt_lower *lower, const kt_node_info *node) {
    const kt_attrs_cumulative *attrs = node->attrs;
    kt_loops *loops = lower->loops;
    const kt_type *type = kt_graph_type(lower->graph, node->first_result);
    int axis = (int)attrs->axis;
    kt_dim extent = type->dims[axis];
    kt_dtype dtype = kt_accumulator(type->dtype);
    lines l = begin_lines(lower, kt_product(lower, type->dims, 0, axis),
                          kt_product(lower, type->dims, axis + 1, type->rank), extent);
    kt_cell total = kt_loops_cell(loops, "total", dtype, l.lanes, 1);
    kt_loops_set(loops, total, 0, kt_identity(lower, attrs->kind, dtype, l.lanes));
    kt_reg end = kt_loops_dim(loops, extent);
    kt_reg step = kt_lower_begin(lower, kt_loops_int(loops, 0), end, 1, "steps");
    if (attrs->reverse) {
        kt_reg last = kt_loops_index(loops, KT_INDEX_SUB, end, kt_loops_int(loops, 1));
        step = kt_loops_index(loops, KT_INDEX_SUB, last, step);
    }
    kt_position at = line_place(lower, &l, extent, step);
    kt_reg before = kt_loops_get(loops, total, 0);
    kt_reg next = kt_combine(lower, attrs->kind, before, wide_value(lower, node->operands[0], &at, dtype));
    store(lower, &at, attrs->exclusive ? before : next, type->dtype);
    kt_loops_set(loops, total, 0, next);
    kt_lower_end(lower);
    kt_loops_end(loops);
    return true;
}

/* The element of positions [batch, picks] for the unit. */
static kt_reg read_place(kt_lower *lower, kt_value positions, kt_dim batch, kt_dim picks, kt_reg of_batch,
                         kt_reg pick) {
    kt_position at = kt_position_origin(lower, 2, (const kt_dim[]){batch, picks}, 1);
    at.at[0] = kt_axis_at(of_batch, 0);
    at.at[1] = kt_axis_at(pick, 0);
    return kt_loops_apply(lower->loops, KT_OP_cast, KT_I64, kt_lower_value(lower, positions, &at), 0, 0);
}

bool kt_lower_scatter_root(kt_lower *lower, const kt_node_info *node) {
    const kt_attrs_scatter *attrs = node->attrs;
    kt_loops *loops = lower->loops;
    const kt_type *type = kt_graph_type(lower->graph, node->first_result);
    const kt_type *positions = kt_graph_type(lower->graph, node->operands[1]);
    int axis = (int)attrs->axis, shared = (int)attrs->batch_dims;
    kt_dim extent = type->dims[axis], picks = kt_product(lower, positions->dims, shared, positions->rank);
    kt_dim batch = kt_product(lower, type->dims, 0, shared),
           between = kt_product(lower, type->dims, shared, axis);
    kt_dtype dtype = kt_accumulator(type->dtype);
    lines l = begin_lines(lower, kt_product(lower, type->dims, 0, axis),
                          kt_product(lower, type->dims, axis + 1, type->rank),
                          kt_dim_add(lower->dims, extent, picks));
    kt_reg zero = kt_loops_int(loops, 0), end = kt_loops_dim(loops, extent);

    kt_reg step = kt_lower_begin(lower, zero, end, 1, "copy");
    kt_position at = line_place(lower, &l, extent, step);
    store(lower, &at, wide_value(lower, node->operands[0], &at, dtype), type->dtype);
    kt_lower_end(lower);

    kt_reg of_batch = kt_loops_index(loops, KT_INDEX_DIV, l.outer, kt_loops_dim(loops, between));
    kt_reg pick = kt_lower_begin(lower, zero, kt_loops_dim(loops, picks), 1, "updates");
    kt_reg place = read_place(lower, node->operands[1], batch, picks, of_batch, pick);
    kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, kt_loops_int(loops, -1), place));
    kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, place, end));
    at = line_place(lower, &l, extent, place);
    kt_reg linear = kt_position_linear(lower, &at).at;
    kt_reg old = kt_loops_load(loops, lower->kernel->params.count, linear, l.lanes, l.mask);
    old = kt_loops_apply(loops, KT_OP_cast, dtype, old, 0, 0);
    kt_position from = line_place(lower, &l, picks, pick);
    kt_reg update = wide_value(lower, node->operands[2], &from, dtype);
    store(lower, &at, kt_combine(lower, attrs->kind, old, update), type->dtype);
    kt_lower_end(lower);
    kt_lower_end(lower);
    kt_lower_end(lower);
    kt_loops_end(loops);
    return true;
}

/* Fusion leaves both alone, so that only roots meet them. */
kt_reg kt_lower_cumulative(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    (void)node, (void)at;
    KT_BUG("kernel %s uses a cumulative", lower->kernel->name);
}
kt_reg kt_lower_scatter(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    (void)node, (void)at;
    KT_BUG("kernel %s uses a scatter", lower->kernel->name);
}
