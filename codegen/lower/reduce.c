/* Reductions at a position.
 *
 * Where lanes stand along an axis that is kept, each lane has an accumulator and the reduced axes are plain
 * loops. Where the position is one place and the innermost axis is reduced, lanes run along that axis: a
 * vector of accumulators, a few registers wide to keep several sums in flight, folded at the end. The order
 * in which elements are combined follows from shapes and target alone. */
#include "codegen/lower/lower_impl.h"

#include <math.h>

kt_dtype kt_accumulator(kt_dtype dtype) { return dtype == KT_F16 || dtype == KT_BF16 ? KT_F32 : dtype; }

kt_reg kt_combine(kt_lower *lower, kt_reduction kind, kt_reg a, kt_reg b) {
    static const kt_op numbers[] = {KT_OP_add, KT_OP_mul, KT_OP_maximum, KT_OP_minimum};
    static const kt_op bools[] = {KT_OP_or, KT_OP_and, KT_OP_or, KT_OP_and};
    kt_dtype dtype = kt_loops_dtype(lower->loops, a);
    return kt_loops_apply(lower->loops, (dtype == KT_BOOL ? bools : numbers)[kind], dtype, a, b, 0);
}

/* The smallest or largest number of an integer dtype. */
static int64_t integer_bound(kt_dtype dtype, bool largest) {
    int bits = (int)kt_dtype_bytes(dtype) * 8;
    if (kt_dtype_is_signed_integer(dtype)) {
        int64_t top = (int64_t)((UINT64_C(1) << (bits - 1)) - 1);
        return largest ? top : -top - 1;
    }
    if (!largest) return 0;
    return bits == 64 ? -1 : (int64_t)((UINT64_C(1) << bits) - 1);
}

kt_reg kt_identity(kt_lower *lower, kt_reduction kind, kt_dtype dtype, int lanes) {
    bool picks = kind == KT_REDUCE_MAXIMUM || kind == KT_REDUCE_MINIMUM;
    if (!picks || dtype == KT_BOOL) {
        bool one = kind == KT_REDUCE_PRODUCT || kind == KT_REDUCE_MINIMUM;
        return kt_loops_const(lower->loops, dtype, lanes, one);
    }
    if (kt_dtype_is_float(dtype))
        return kt_loops_const(lower->loops, dtype, lanes, kind == KT_REDUCE_MAXIMUM ? -INFINITY : INFINITY);
    return kt_loops_integer(lower->loops, dtype, lanes, integer_bound(dtype, kind == KT_REDUCE_MINIMUM));
}

kt_reg kt_multiply_add(kt_lower *lower, kt_reg x, kt_reg y, kt_reg z) {
    kt_dtype dtype = kt_loops_dtype(lower->loops, z);
    if (dtype == KT_F32 || dtype == KT_F64) return kt_loops_fma(lower->loops, x, y, z);
    kt_reg product = kt_loops_apply(lower->loops, KT_OP_mul, dtype, x, y, 0);
    return kt_loops_apply(lower->loops, KT_OP_add, dtype, product, z, 0);
}

/* ---- loops over the reduced axes ------------------------------------------------------------------------
 */

typedef struct reduction {
    kt_value operand;
    kt_type type;     /* the operand's */
    uint32_t reduced; /* bit a: axis a is reduced */
    kt_position at;   /* in the operand's shape; reduced axes are filled in by the loops */
} reduction;

/* Runs neighbouring reduced axes together if that costs no division. */
static void merge_reduced(kt_lower *lower, reduction *r) {
    if (lower->trial) return;
    unsigned merged = r->at.merged, together = merged;
    for (int axis = 0; axis + 1 < r->type.rank; axis++)
        if ((r->reduced & 3U << axis) == 3U << axis) together |= 1U << axis;
    if (together == merged) return;
    uint32_t before = kt_lower_splits(lower, r->operand, r->type.rank, r->type.dims, merged);
    if (kt_lower_splits(lower, r->operand, r->type.rank, r->type.dims, together) <= before)
        r->at.merged = together;
}

static reduction begin_reduction(kt_lower *lower, const kt_node_info *node, const kt_position *at,
                                 uint32_t reduced) {
    reduction r = {.operand = node->operands[0], .reduced = reduced};
    r.type = *kt_graph_type(lower->graph, r.operand);
    int map[KT_MAX_RANK], kept = 0;
    for (int axis = 0; axis < r.type.rank; axis++)
        if (!(reduced & 1U << axis)) map[kept++] = axis;
    r.at = kt_position_map(lower, at, map, r.type.rank, r.type.dims);
    merge_reduced(lower, &r);
    return r;
}

static kt_dim run_extent(kt_lower *lower, const reduction *r, int last) {
    return kt_product(lower, r->type.dims, kt_position_run_begin(&r->at, last), last + 1);
}

/* Opens loops over all reduced runs but the one that ends at skip (-1: none); returns how many. */
static int open_runs(kt_lower *lower, reduction *r, int skip) {
    int opened = 0;
    for (int axis = 0; axis < r->type.rank; axis++) {
        if (kt_position_run_end(&r->at, axis) != axis || axis == skip || !(r->reduced & 1U << axis)) continue;
        kt_reg end = kt_loops_dim(lower->loops, run_extent(lower, r, axis));
        kt_reg index = kt_lower_begin(lower, kt_loops_int(lower->loops, 0), end, 1, "reduced");
        r->at.at[axis] = kt_axis_at(index, 0);
        opened++;
    }
    return opened;
}

static void close_runs(kt_lower *lower, int opened) {
    while (opened-- > 0) kt_lower_end(lower);
}

/* ---- reduce ---------------------------------------------------------------------------------------------
 */

static kt_reg operand_as(kt_lower *lower, const reduction *r, const kt_position *at, kt_dtype dtype) {
    return kt_loops_apply(lower->loops, KT_OP_cast, dtype, kt_lower_value(lower, r->operand, at), 0, 0);
}

static kt_reg reduce_lanes(kt_lower *lower, reduction *r, kt_reduction kind, kt_dtype dtype) {
    kt_cell cell = kt_loops_cell(lower->loops, "sum", dtype, r->at.lanes, 1);
    kt_loops_set(lower->loops, cell, 0, kt_identity(lower, kind, dtype, r->at.lanes));
    int opened = open_runs(lower, r, -1);
    kt_reg next = operand_as(lower, r, &r->at, dtype);
    kt_loops_set(lower->loops, cell, 0, kt_combine(lower, kind, kt_loops_get(lower->loops, cell, 0), next));
    close_runs(lower, opened);
    return kt_loops_get(lower->loops, cell, 0);
}

typedef struct row_turn {
    reduction *r;
    kt_reduction kind;
    kt_dtype dtype;
    kt_cell cell;
    int last, lanes;
} row_turn;

static void reduce_turn(kt_lower *lower, kt_reg index, kt_reg mask, void *context) {
    row_turn *turn = context;
    kt_position at = turn->r->at;
    at.lanes = turn->lanes;
    at.mask = mask;
    at.at[turn->last] = kt_axis_at(index, turn->lanes > 1);
    kt_reg next = operand_as(lower, turn->r, &at, turn->dtype);
    if (mask) {
        kt_reg neutral = kt_identity(lower, turn->kind, turn->dtype, turn->lanes);
        next = kt_loops_apply(lower->loops, KT_OP_select, turn->dtype, mask, next, neutral);
    }
    kt_reg sum = kt_loops_get(lower->loops, turn->cell, 0);
    kt_loops_set(lower->loops, turn->cell, 0, kt_combine(lower, turn->kind, sum, next));
}

static kt_reg reduce_row(kt_lower *lower, reduction *r, kt_reduction kind, kt_dtype dtype) {
    int last = r->type.rank - 1;
    kt_dim extent = run_extent(lower, r, last);
    row_turn turn = {.r = r, .kind = kind, .dtype = dtype, .last = last};
    turn.lanes = kt_lower_lanes(lower, 4, extent);
    turn.cell = kt_loops_cell(lower->loops, "sums", dtype, turn.lanes, 1);
    kt_loops_set(lower->loops, turn.cell, 0, kt_identity(lower, kind, dtype, turn.lanes));
    int opened = open_runs(lower, r, last);
    kt_lower_vector_loop(lower, kt_loops_int(lower->loops, 0), kt_loops_dim(lower->loops, extent), turn.lanes,
                         reduce_turn, &turn, "row");
    close_runs(lower, opened);
    return kt_loops_fold(lower->loops, kind, kt_loops_get(lower->loops, turn.cell, 0));
}

kt_reg kt_lower_reduce(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_reduce *attrs = node->attrs;
    kt_dtype result = kt_graph_type(lower->graph, node->first_result)->dtype, dtype = kt_accumulator(result);
    uint32_t reduced = 0;
    for (uint32_t i = 0; i < attrs->axes.count; i++) reduced |= 1U << attrs->axes.at[i];
    reduction r = begin_reduction(lower, node, at, reduced);
    bool row = at->lanes == 1 && r.type.rank > 0 && (reduced & 1U << (r.type.rank - 1));
    kt_reg sum =
        row ? reduce_row(lower, &r, attrs->kind, dtype) : reduce_lanes(lower, &r, attrs->kind, dtype);
    return kt_loops_apply(lower->loops, KT_OP_cast, result, sum, 0, 0);
}

/* ---- arg_reduce -----------------------------------------------------------------------------------------
 */

/* Whether next beats best: larger (smaller), or the first NaN. */
static kt_reg beats(kt_lower *lower, kt_reduction kind, kt_reg next, kt_reg best) {
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_loops_dtype(loops, next);
    kt_op compare = kind == KT_REDUCE_MAXIMUM ? KT_OP_gt : KT_OP_lt;
    kt_reg beyond = kt_loops_apply(loops, compare, KT_BOOL, next, best, 0);
    if (!kt_dtype_is_float(dtype)) return beyond;
    kt_reg nan = kt_loops_apply(loops, KT_OP_ne, KT_BOOL, next, next, 0);
    kt_reg number = kt_loops_apply(loops, KT_OP_eq, KT_BOOL, best, best, 0);
    return kt_loops_apply(loops, KT_OP_or, KT_BOOL, beyond,
                          kt_loops_apply(loops, KT_OP_and, KT_BOOL, nan, number, 0), 0);
}

/* The accumulator starts with the identity, which an equal element does not beat: position 0 is right then
 * too, unless a NaN comes later, which beats it. */
kt_reg kt_lower_arg_reduce(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_arg_reduce *attrs = node->attrs;
    kt_loops *loops = lower->loops;
    reduction r = begin_reduction(lower, node, at, 1U << attrs->axis);
    kt_dtype dtype = kt_accumulator(r.type.dtype);
    kt_cell best = kt_loops_cell(loops, "best", dtype, r.at.lanes, 1);
    kt_cell place = kt_loops_cell(loops, "place", attrs->dtype, r.at.lanes, 1);
    kt_loops_set(loops, best, 0, kt_identity(lower, attrs->kind, dtype, r.at.lanes));
    kt_loops_set(loops, place, 0, kt_loops_const(loops, attrs->dtype, r.at.lanes, 0));
    int opened = open_runs(lower, &r, -1);
    kt_reg next = operand_as(lower, &r, &r.at, dtype), known = kt_loops_get(loops, best, 0);
    kt_reg better = beats(lower, attrs->kind, next, known);
    kt_reg here = kt_loops_apply(loops, KT_OP_cast, attrs->dtype, r.at.at[attrs->axis].at, 0, 0);
    kt_loops_set(loops, best, 0, kt_loops_apply(loops, KT_OP_select, dtype, better, next, known));
    kt_reg former = kt_loops_get(loops, place, 0);
    kt_loops_set(loops, place, 0, kt_loops_apply(loops, KT_OP_select, attrs->dtype, better, here, former));
    close_runs(lower, opened);
    return kt_loops_get(loops, place, 0);
}
