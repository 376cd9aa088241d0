/* Reductions at a position.
 *
 * Where lanes stand along an axis that is kept, each lane has an accumulator and the reduced axes are plain
 * loops. Where the position is one place and the innermost axis is reduced, lanes run along that axis: a
 * vector of accumulators, a few registers wide to keep several sums in flight, folded at the end. The order
 * in which elements are combined follows from shapes and target alone.
 *
 * Floats are summed in blocks, and blocks of blocks: an accumulator that takes some ten thousand elements one
 * by one rounds each of them off at its own size. */
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

/* Is the result one of the elements? */
static bool picks(kt_reduction kind) { return kind == KT_REDUCE_MAXIMUM || kind == KT_REDUCE_MINIMUM; }

kt_reg kt_identity(kt_lower *lower, kt_reduction kind, kt_dtype dtype, int lanes) {
    if (!picks(kind) || dtype == KT_BOOL) {
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

kt_cell kt_zero_sums(kt_lower *lower, kt_dtype dtype, int lanes, int64_t count) {
    kt_loops *loops = lower->loops;
    kt_cell sums = kt_loops_cell(loops, "sums", dtype, lanes, (uint32_t)count);
    for (int64_t i = 0; i < count; i++)
        kt_loops_set(loops, sums, kt_loops_int(loops, i), kt_loops_const(loops, dtype, lanes, 0));
    return sums;
}

void kt_add_product(kt_lower *lower, kt_cell sums, kt_reg number, kt_reg x, kt_reg y) {
    kt_reg sum = kt_loops_get(lower->loops, sums, number);
    kt_loops_set(lower->loops, sums, number, kt_multiply_add(lower, x, y, sum));
}

/* ---- loops over the reduced axes ------------------------------------------------------------- */

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

/* The first reduced axis from axis on that ends a run; the rank if there is none. */
static int next_run(const reduction *r, int axis) {
    while (axis < r->type.rank && (kt_position_run_end(&r->at, axis) != axis || !(r->reduced & 1U << axis)))
        axis++;
    return axis;
}

static void begin_run(kt_lower *lower, reduction *r, int axis, kt_reg begin, kt_reg end) {
    r->at.at[axis] = kt_axis_at(kt_lower_begin(lower, begin, end, 1, "reduced"), 0);
}

/* ---- reduce ---------------------------------------------------------------------------------- */

enum { BLOCK = 128 /* additions */ };

typedef struct accumulation {
    reduction *r;
    kt_reduction kind;
    kt_dtype dtype;
    int lanes;
    bool row;    /* lanes run along the last axis */
    bool blocks; /* a cell for each block, and each turn of an outer run */
    bool last;   /* of the kernel's reductions */
    kt_cell cell;
    kt_cell nan;   /* of a row's largest or smallest float: NaN where there was one, else 0; or none */
    int nan_lanes; /* as many as cell's, or half of that where these still fill registers */
} accumulation;

static kt_reg operand_as(kt_lower *lower, const reduction *r, const kt_position *at, kt_dtype dtype) {
    return kt_loops_apply(lower->loops, KT_OP_cast, dtype, kt_lower_value(lower, r->operand, at), 0, 0);
}

/* About how many elements the axes [first, last] have, each symbol counted as 64. */
static double guess_elements(const kt_lower *lower, const kt_dim *dims, int first, int last) {
    double elements = 1;
    for (int axis = first; axis <= last; axis++) {
        int64_t size = 64;
        kt_dim_is_const(lower->dims, dims[axis], &size);
        elements *= (double)size;
    }
    return elements;
}

static void begin_cell(kt_lower *lower, accumulation *sum) {
    sum->cell = kt_loops_cell(lower->loops, "sum", sum->dtype, sum->lanes, 1);
    kt_loops_set(lower->loops, sum->cell, 0, kt_identity(lower, sum->kind, sum->dtype, sum->lanes));
}

static kt_reg is_nan(kt_lower *lower, kt_reg value) {
    return kt_loops_apply(lower->loops, KT_OP_ne, KT_BOOL, value, value, 0);
}

/* Whether any of the lanes that stand together in the cell of NaN is one. */
static kt_reg holds_nan(kt_lower *lower, const accumulation *sum, kt_reg next) {
    if (sum->nan_lanes == sum->lanes) return is_nan(lower, next);
    kt_loops *loops = lower->loops;
    kt_reg low = kt_loops_spread(loops, next, sum->nan_lanes, 0, 1, 1),
           high = kt_loops_spread(loops, next, sum->nan_lanes, sum->nan_lanes, 1, 1);
    return kt_loops_apply(loops, KT_OP_or, KT_BOOL, is_nan(lower, low), is_nan(lower, high), 0);
}

/* Each element waits for the one before it: so NaN are kept apart, and what is left takes one instruction. */
static void accumulate_apart(kt_lower *lower, const accumulation *sum, kt_reg next) {
    kt_loops *loops = lower->loops;
    kt_op beyond = sum->kind == KT_REDUCE_MAXIMUM ? KT_OP_gt : KT_OP_lt;
    kt_reg before = kt_loops_get(loops, sum->cell, 0), nan = kt_loops_get(loops, sum->nan, 0);
    kt_reg better = kt_loops_apply(loops, beyond, KT_BOOL, next, before, 0);
    kt_loops_set(loops, sum->cell, 0, kt_loops_apply(loops, KT_OP_select, sum->dtype, better, next, before));
    kt_reg found = kt_loops_const(loops, sum->dtype, sum->nan_lanes, NAN);
    kt_loops_set(loops, sum->nan, 0,
                 kt_loops_apply(loops, KT_OP_select, sum->dtype, holds_nan(lower, sum, next), found, nan));
}

static void accumulate(kt_lower *lower, const accumulation *sum, kt_reg next) {
    if (sum->nan) {
        accumulate_apart(lower, sum, next);
        return;
    }
    kt_reg before = kt_loops_get(lower->loops, sum->cell, 0);
    kt_loops_set(lower->loops, sum->cell, 0, kt_combine(lower, sum->kind, before, next));
}

/* All lanes of a row's accumulator in one. */
static kt_reg fold(kt_lower *lower, const accumulation *sum) {
    kt_loops *loops = lower->loops;
    kt_reg total = kt_loops_fold(loops, sum->kind, kt_loops_get(loops, sum->cell, 0));
    if (!sum->nan) return total;
    kt_reg nan = kt_loops_fold(loops, KT_REDUCE_SUM, kt_loops_get(loops, sum->nan, 0));
    return kt_loops_apply(loops, KT_OP_select, sum->dtype, is_nan(lower, nan), nan, total);
}

/* What the innermost cell holds becomes one element of the one around it. */
static void end_cell(kt_lower *lower, accumulation *sum, kt_cell outer) {
    kt_reg part = kt_loops_get(lower->loops, sum->cell, 0);
    sum->cell = outer;
    accumulate(lower, sum, part);
}

static void row_turn(kt_lower *lower, kt_reg index, kt_reg mask, void *context) {
    const accumulation *sum = context;
    kt_position at = sum->r->at;
    at.lanes = sum->lanes;
    at.mask = mask;
    at.at[at.rank - 1] = kt_axis_at(index, at.lanes > 1);
    kt_reg next = operand_as(lower, sum->r, &at, sum->dtype);
    if (!mask && sum->last) kt_rows_prefetch(lower, &at, false);
    kt_lower_keep(lower, sum->r->operand, &at, kt_lower_value(lower, sum->r->operand, &at));
    if (mask) {
        kt_reg neutral = kt_identity(lower, sum->kind, sum->dtype, sum->lanes);
        next = kt_loops_apply(lower->loops, KT_OP_select, sum->dtype, mask, next, neutral);
    }
    accumulate(lower, sum, next);
}

static void reduce_runs(kt_lower *lower, accumulation *sum, int axis);

/* The part [begin, end) of a run, in steps each of which is cut into BLOCK others until they are single. */
static void reduce_part(kt_lower *lower, accumulation *sum, int axis, kt_reg begin, kt_reg end,
                        int64_t step) {
    reduction *r = sum->r;
    bool row = sum->row && axis == r->type.rank - 1;
    kt_cell outer = sum->cell;
    if (step > (row ? sum->lanes : 1)) {
        begin = kt_lower_begin(lower, begin, end, step, "blocks");
        kt_reg behind = kt_loops_index(lower->loops, KT_INDEX_ADD, begin, kt_loops_int(lower->loops, step));
        begin_cell(lower, sum);
        reduce_part(lower, sum, axis, begin, kt_loops_index(lower->loops, KT_INDEX_MIN, behind, end),
                    step / BLOCK);
        end_cell(lower, sum, outer);
        kt_lower_end(lower);
    } else if (row) {
        kt_lower_vector_loop(lower, begin, end, sum->lanes, row_turn, sum, "row");
    } else {
        begin_run(lower, r, axis, begin, end);
        bool part = sum->blocks && next_run(r, axis + 1) < r->type.rank;
        if (part) begin_cell(lower, sum);
        reduce_runs(lower, sum, axis + 1);
        if (part) end_cell(lower, sum, outer);
        kt_lower_end(lower);
    }
}

/* All runs from axis on. */
static void reduce_runs(kt_lower *lower, accumulation *sum, int axis) {
    reduction *r = sum->r;
    axis = next_run(r, axis);
    if (axis == r->type.rank) {
        accumulate(lower, sum, operand_as(lower, r, &r->at, sum->dtype));
        return;
    }
    int64_t step = sum->row && axis == r->type.rank - 1 ? sum->lanes : 1;
    double steps =
        guess_elements(lower, r->type.dims, kt_position_run_begin(&r->at, axis), axis) / (double)step;
    for (; sum->blocks && steps > 2 * BLOCK; steps /= BLOCK) step = kt_size_mul(step, BLOCK);
    kt_reg end = kt_loops_dim(lower->loops, run_extent(lower, r, axis));
    reduce_part(lower, sum, axis, kt_loops_int(lower->loops, 0), end, step);
}

static const kt_node_info *last_reduction(const kt_lower *lower) {
    const kt_node_info *last = NULL;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        if (node->op == KT_OP_reduce) last = node;
    }
    return last;
}

kt_reg kt_lower_reduce(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_reduce *attrs = node->attrs;
    kt_dtype result = kt_graph_type(lower->graph, node->first_result)->dtype, dtype = kt_accumulator(result);
    uint32_t reduced = 0;
    for (uint32_t i = 0; i < attrs->axes.count; i++) reduced |= 1U << attrs->axes.at[i];
    reduction r = begin_reduction(lower, node, at, reduced);
    accumulation sum = {.r = &r,
                        .kind = attrs->kind,
                        .dtype = dtype,
                        .lanes = r.at.lanes,
                        .last = node == last_reduction(lower)};
    int last = r.type.rank - 1;
    double elements = 1;
    for (int axis = 0; axis <= last; axis++)
        if (reduced & 1U << axis) elements *= guess_elements(lower, r.type.dims, axis, axis);
    sum.blocks = kt_dtype_is_float(dtype) && attrs->kind == KT_REDUCE_SUM && elements > 2 * BLOCK;
    sum.row = at->lanes == 1 && last >= 0 && (reduced & 1U << last);
    if (sum.row) sum.lanes = kt_lower_lanes(lower, 4, run_extent(lower, &r, last));
    begin_cell(lower, &sum);
    if (sum.row && picks(sum.kind) && kt_dtype_is_float(dtype)) {
        sum.nan_lanes = sum.lanes > kt_target_lanes(lower->target, dtype) ? sum.lanes / 2 : sum.lanes;
        sum.nan = kt_loops_cell(lower->loops, "nan", dtype, sum.nan_lanes, 1);
        kt_loops_set(lower->loops, sum.nan, 0, kt_loops_const(lower->loops, dtype, sum.nan_lanes, 0));
    }
    reduce_runs(lower, &sum, 0);
    if (sum.row) kt_lower_know_row(lower, r.operand);
    kt_reg total = sum.row ? fold(lower, &sum) : kt_loops_get(lower->loops, sum.cell, 0);
    return kt_loops_apply(lower->loops, KT_OP_cast, result, total, 0, 0);
}

/* ---- arg_reduce ------------------------------------------------------------------------------ */

/* Whether next beats best: larger (smaller), or the first NaN. */
static kt_reg beats(kt_lower *lower, kt_reduction kind, kt_reg next, kt_reg best) {
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_loops_dtype(loops, next);
    kt_op compare = kind == KT_REDUCE_MAXIMUM ? KT_OP_gt : KT_OP_lt;
    kt_reg beyond = kt_loops_apply(loops, compare, KT_BOOL, next, best, 0);
    if (!kt_dtype_is_float(dtype)) return beyond;
    kt_reg nan = is_nan(lower, next);
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
    int opened = 0;
    for (int axis = next_run(&r, 0); axis < r.type.rank; axis = next_run(&r, axis + 1), opened++)
        begin_run(lower, &r, axis, kt_loops_int(loops, 0), kt_loops_dim(loops, run_extent(lower, &r, axis)));
    kt_reg next = operand_as(lower, &r, &r.at, dtype), known = kt_loops_get(loops, best, 0);
    kt_reg better = beats(lower, attrs->kind, next, known);
    kt_reg here = kt_loops_apply(loops, KT_OP_cast, attrs->dtype, r.at.at[attrs->axis].at, 0, 0);
    kt_loops_set(loops, best, 0, kt_loops_apply(loops, KT_OP_select, dtype, better, next, known));
    kt_reg former = kt_loops_get(loops, place, 0);
    kt_loops_set(loops, place, 0, kt_loops_apply(loops, KT_OP_select, attrs->dtype, better, here, former));
    while (opened-- > 0) kt_lower_end(lower);
    return kt_loops_get(loops, place, 0);
}
