/* How the loops over results' shapes go: which axes are rows, which runs are taken apart, how many lanes and
 * elements a turn takes, and what makes a unit (see elementwise.c). */
#include "codegen/lower/nest_impl.h"

enum {
    LEAST_BLOCKS = 8, /* of a unit, where they are joined */
    /* Of rows that are run together. */
    MOST_CYCLE = 24, /* vectors */
    MOST_CYCLE_WEIGHT = 512,
};

static int concat_axis(const kt_stored *s) {
    return (int)((const kt_attrs_concat *)s->part.concat->attrs)->axis;
}

static unsigned choose_runs(kt_lower *lower, const kt_nest *n) {
    unsigned merged = 0;
    uint32_t together = 0, apart = 0;
    for (int axis = 0; axis + 1 < n->rank; axis++) {
        uint32_t splits = 0, before = 0;
        bool led = false;
        for (uint32_t i = 0; i < n->count; i++) {
            kt_value value = n->stores[i].value;
            splits += kt_lower_splits(lower, value, n->rank, n->dims, 1U << axis);
            before += kt_lower_splits(lower, value, n->rank, n->dims, 0);
            led = led || (n->stores[i].part.concat && concat_axis(&n->stores[i]) == axis + 1);
        }
        if (splits <= before && axis + 1 != n->row_axes && !led) merged |= 1U << axis;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        together += kt_lower_splits(lower, n->stores[i].value, n->rank, n->dims, merged);
        apart += kt_lower_splits(lower, n->stores[i].value, n->rank, n->dims, 0);
    }
    return together <= apart ? merged : 0;
}

/* Are so many rows of so few elements reduced that lanes rather go along rows than along elements? */
static bool lanes_over_rows(kt_lower *lower, const kt_nest *n, const kt_node_info *node, uint32_t reduced) {
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    int64_t lanes = kt_lower_native_lanes(lower), depth = 1, size;
    for (int axis = 0; axis < type->rank; axis++) {
        if (!(reduced & 1U << axis)) continue;
        if (!kt_dim_is_const(lower->dims, type->dims[axis], &size)) return false;
        depth *= size < lanes ? size : lanes;
    }
    return kt_dim_divisor(lower->dims, kt_product(lower, n->dims, 0, n->rank)) >= lanes &&
           (node->op == KT_OP_arg_reduce || depth <= lanes / 2);
}

/* Reductions of trailing axes of a shape like the result's make rows of the axes before; reductions of the
 * innermost axis of any other shape want one place at a time. */
static void choose_rows(kt_lower *lower, kt_nest *n, bool *out_single) {
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        uint32_t reduced = kt_lower_reduced_axes(node);
        if (!reduced) continue;
        const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
        if (!(reduced & 1U << (type->rank - 1))) continue;
        int first = type->rank;
        while (first > 0 && (reduced & 1U << (first - 1))) first--;
        bool same = type->rank == n->rank && reduced >> first << first == reduced;
        for (int axis = 0; axis < n->rank && same; axis++) same = type->dims[axis] == n->dims[axis];
        if (same && !(reduced & ((1U << first) - 1)) && (!n->rowwise || n->row_axes == first)) {
            n->rowwise = true;
            n->row_axes = first;
        } else if (!same && !lanes_over_rows(lower, n, node, reduced)) {
            *out_single = true;
        }
    }
    if (n->rowwise) *out_single = false;
}

static kt_rows plan_rows(const kt_lower *lower, const kt_nest *n) {
    if (!n->rowwise) return (kt_rows){.axes = -1, .block = 1};
    kt_rows rows = kt_rows_plan(lower, n->rank, n->dims, n->row_axes);
    int64_t elements = kt_rows_scratch(&rows);
    if (elements > 0) rows.scratch = kt_loops_scratch(lower->loops, rows.dtype, elements);
    return rows;
}

/* More than MOST_CYCLE: too many. */
static int64_t find_cycle(int64_t columns, int64_t lanes) {
    int64_t vectors = 1;
    while (vectors <= MOST_CYCLE && vectors * lanes % columns != 0) vectors++;
    return vectors;
}

/* Rows of few columns, which fill no vectors, are run together with the axes before if all that takes them
 * apart is where columns end: over as many vectors as columns need to stand in the same lanes again, indices
 * along columns are constants then. */
static void run_rows_together(kt_lower *lower, kt_nest *n) {
    kt_position at = {.rank = (uint8_t)n->rank, .merged = n->merged};
    int last = kt_position_run_begin(&at, n->rank - 1);
    int64_t columns;
    if (n->rowwise || last == 0 || kt_lower_depth(lower) > 1 ||
        !kt_dim_is_const(lower->dims, kt_product(lower, n->dims, last, n->rank), &columns) || columns < 2)
        return;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        bool plain = kt_op_is(node->op, KT_ELEMENTWISE) || node->op == KT_OP_broadcast ||
                     node->op == KT_OP_constant || node->op == KT_OP_reshape || node->op == KT_OP_transpose;
        bool padded = node->op == KT_OP_pad && n->count == 1 && node->first_result == n->stores[0].value;
        if (!plain && !padded) return;
    }
    for (uint32_t i = 0; i < n->count; i++)
        if (n->stores[i].part.concat ||
            kt_lower_splits(lower, n->stores[i].value, n->rank, n->dims, n->merged) > 0)
            return;
    int64_t lanes = kt_lower_native_lanes(lower), cycle = find_cycle(columns, lanes);
    if (columns % lanes == 0 || cycle > MOST_CYCLE || cycle * kt_lower_weight(lower) > MOST_CYCLE_WEIGHT)
        return;
    n->columns = columns;
    n->columns_begin = last;
    n->merged |= 1U << (last - 1);
}

/* How many of a sample's rows or elements make a unit, in steps, of which `most` would do: threads share them
 * where they share the samples of other kernels. */
static int64_t even_share(const kt_lower *lower, kt_dim all, int64_t step, int64_t most) {
    int64_t steps = kt_divide_up(kt_dim_divisor(lower->dims, all), step);
    return step * (steps > most ? kt_unit_share(steps, most) : most);
}

kt_nest kt_nest_plan(kt_lower *lower, const kt_stored *stores, uint32_t count) {
    const kt_type *type = kt_graph_type(lower->graph, stores[0].value);
    kt_nest n = {.stores = stores, .count = count, .rank = type->rank};
    for (int axis = 0; axis < n.rank; axis++) n.dims[axis] = type->dims[axis];
    if (n.rank == 0) n.dims[n.rank++] = kt_dim_const(lower->dims, 1);
    bool single = false;
    choose_rows(lower, &n, &single);
    n.swept = plan_rows(lower, &n);
    n.merged = choose_runs(lower, &n);
    run_rows_together(lower, &n);
    kt_position at = {.rank = (uint8_t)n.rank, .merged = n.merged};
    int last = kt_position_run_begin(&at, n.rank - 1);
    if (!n.rowwise) n.row_axes = last;
    kt_dim_pool *dims = lower->dims;
    kt_dim one = kt_dim_const(dims, 1), run = kt_product(lower, n.dims, last, n.rank);
    int64_t depth = n.rowwise ? 1 : kt_lower_depth(lower), weight = kt_lower_weight(lower) * depth, extent;
    bool chains = n.rowwise || depth > 1 || kt_lower_weight(lower) > KT_HEAVY;
    n.lanes = single ? 1 : kt_lower_lanes(lower, n.columns % 2 ? 1 : chains ? 4 : 2, run);
    bool lines = n.rowwise && (n.swept.block == 1 || lower->target->vector_bytes == KT_LINE_BYTES);
    n.vector = lines ? kt_lower_lanes(lower, 1, run) : n.lanes;
    n.cycle = n.columns ? (int)find_cycle(n.columns, n.lanes) : 0;
    int64_t step = n.cycle > 0 ? (int64_t)n.cycle * n.lanes : n.lanes * 8;
    n.is_short = kt_dim_is_const(dims, run, &extent) && extent <= n.lanes;
    int before = last > 0 ? kt_position_run_begin(&at, last - 1) : 0;
    if (!n.rowwise && n.is_short && before > 0) n.row_axes = before; /* a division a vector would be dear */
    kt_dim inner = kt_product(lower, n.dims, n.row_axes, n.rank);
    n.rows = kt_product(lower, n.dims, 0, n.row_axes);
    n.chunk = even_share(lower, inner, step, (KT_GRAIN / weight + step) / step);
    n.chunks = n.rowwise || last != n.row_axes
                   ? one
                   : kt_dim_max(dims, one, kt_dim_ceildiv(dims, inner, kt_dim_const(dims, n.chunk)));
    kt_dim block = kt_dim_max(dims, kt_dim_mul_const(dims, inner, n.swept.block), one);
    kt_dim blocks = kt_dim_floordiv(dims, kt_dim_const(dims, KT_GRAIN / weight + 1), block);
    kt_dim least = kt_dim_const(dims, n.swept.joined ? LEAST_BLOCKS : 1);
    blocks = kt_dim_max(dims, least, blocks);
    n.rows_per_unit = kt_dim_is_const(dims, blocks, &extent)
                          ? kt_dim_const(dims, even_share(lower, n.rows, n.swept.block, extent))
                          : kt_dim_mul_const(dims, blocks, n.swept.block);
    n.units = kt_dim_mul(dims, kt_dim_ceildiv(dims, n.rows, n.rows_per_unit), n.chunks);
    /* About 4 additions a nanosecond on every lane. */
    kt_dim work = kt_dim_mul_const(dims, kt_dim_mul(dims, n.rows, inner), weight);
    kt_dim cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, 4 * n.lanes));
    lower->loops->leading = depth == 1 || kt_dim_equals(dims, n.chunks, 1);
    lower->loops->cost = kt_dim_add(dims, lower->loops->cost, cost);
    return n;
}
