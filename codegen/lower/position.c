/* Positions: index arithmetic on shapes. See lower_impl.h for what a position is. */
#include "codegen/lower/lower_impl.h"

#include <string.h>

/* ---- numbers --------------------------------------------------------------------------------- */

kt_reg kt_plus(kt_lower *lower, kt_reg a, kt_reg b) {
    return kt_loops_index(lower->loops, KT_INDEX_ADD, a, b);
}

kt_reg kt_plus_int(kt_lower *lower, kt_reg a, int64_t b) {
    return kt_plus(lower, a, kt_loops_int(lower->loops, b));
}

kt_reg kt_minus(kt_lower *lower, kt_reg a, kt_reg b) {
    return kt_loops_index(lower->loops, KT_INDEX_SUB, a, b);
}

kt_reg kt_times_int(kt_lower *lower, kt_reg a, int64_t by) {
    return kt_loops_index(lower->loops, KT_INDEX_MUL, a, kt_loops_int(lower->loops, by));
}

kt_reg kt_times_dim(kt_lower *lower, kt_reg a, kt_dim by) {
    return kt_loops_index(lower->loops, KT_INDEX_MUL, a, kt_loops_dim(lower->loops, by));
}

kt_reg kt_part(kt_lower *lower, kt_reg number, kt_dim size, kt_dim all, kt_reg *out_end) {
    kt_reg begin = kt_times_dim(lower, number, size);
    kt_reg end = kt_plus(lower, begin, kt_loops_dim(lower->loops, size));
    *out_end = kt_loops_index(lower->loops, KT_INDEX_MIN, end, kt_loops_dim(lower->loops, all));
    return begin;
}

int64_t kt_divide_up(int64_t x, int64_t by) { return x / by + (x % by > 0); }

/* ---- one axis -------------------------------------------------------------------------------- */

kt_axis_index kt_axis_at(kt_reg at, int64_t step) { return (kt_axis_index){.at = at, .step = step}; }

bool kt_axis_varies(const kt_lower *lower, kt_axis_index a) {
    return a.step != 0 || kt_loops_lanes(lower->loops, a.at) > 1;
}

kt_reg kt_axis_lanes(kt_lower *lower, kt_axis_index a, int lanes) {
    if (a.step == 0) return a.at;
    if (a.step == 1) return kt_loops_ramp(lower->loops, a.at, lanes);
    kt_reg ramp = kt_loops_ramp(lower->loops, kt_loops_int(lower->loops, 0), lanes);
    kt_reg steps = kt_loops_index(lower->loops, KT_INDEX_MUL, ramp, kt_loops_int(lower->loops, a.step));
    return kt_loops_index(lower->loops, KT_INDEX_ADD, steps, a.at);
}

kt_axis_index kt_axis_add(kt_lower *lower, kt_axis_index a, kt_axis_index b, int lanes) {
    bool vectors = kt_loops_lanes(lower->loops, a.at) > 1 || kt_loops_lanes(lower->loops, b.at) > 1;
    kt_reg x = vectors ? kt_axis_lanes(lower, a, lanes) : a.at;
    kt_reg y = vectors ? kt_axis_lanes(lower, b, lanes) : b.at;
    return kt_axis_at(kt_loops_index(lower->loops, KT_INDEX_ADD, x, y),
                      vectors ? 0 : kt_size_add(a.step, b.step));
}

kt_axis_index kt_axis_scale(kt_lower *lower, kt_axis_index a, kt_dim by, int lanes) {
    int64_t factor = 0;
    bool known = kt_dim_is_const(lower->dims, by, &factor);
    kt_reg at = known || a.step == 0 ? a.at : kt_axis_lanes(lower, a, lanes);
    return kt_axis_at(kt_loops_index(lower->loops, KT_INDEX_MUL, at, kt_loops_dim(lower->loops, by)),
                      known ? kt_size_mul(a.step, factor) : 0);
}

static kt_axis_index divide(kt_lower *lower, kt_axis_index a, kt_index_op op, kt_dim by, int lanes) {
    kt_reg at = kt_axis_lanes(lower, a, lanes);
    return kt_axis_at(kt_loops_index(lower->loops, op, at, kt_loops_dim(lower->loops, by)), 0);
}

/* ---- positions ------------------------------------------------------------------------------- */

kt_dim kt_product(kt_lower *lower, const kt_dim *dims, int begin, int end) {
    kt_dim product = kt_dim_const(lower->dims, 1);
    for (int i = begin; i < end; i++) product = kt_dim_mul(lower->dims, product, dims[i]);
    return product;
}

kt_position kt_position_origin(kt_lower *lower, int rank, const kt_dim *dims, int lanes) {
    kt_position at = {.lanes = lanes, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++) {
        at.dims[i] = dims[i];
        at.at[i] = kt_axis_at(kt_loops_int(lower->loops, 0), 0);
    }
    return at;
}

static bool ends_run(const kt_position *at, int axis) {
    return axis == at->rank - 1 || !(at->merged & 1U << axis);
}

int kt_position_run_begin(const kt_position *at, int last) {
    while (last > 0 && (at->merged & 1U << (last - 1))) last--;
    return last;
}

int kt_position_run_end(const kt_position *at, int first) {
    while (!ends_run(at, first)) first++;
    return first;
}

bool kt_position_varies(const kt_lower *lower, const kt_position *at) {
    for (int i = 0; i < at->rank; i++)
        if (ends_run(at, i) && kt_axis_varies(lower, at->at[i])) return true;
    return false;
}

/* Of axes [begin, end), which are whole runs. */
static kt_axis_index linear(kt_lower *lower, const kt_position *at, int begin, int end) {
    kt_axis_index sum = kt_axis_at(kt_loops_int(lower->loops, 0), 0);
    for (int i = begin; i < end; i++) {
        if (!ends_run(at, i)) continue;
        kt_axis_index part =
            kt_axis_scale(lower, at->at[i], kt_product(lower, at->dims, i + 1, end), at->lanes);
        sum = kt_axis_add(lower, sum, part, at->lanes);
    }
    return sum;
}

kt_axis_index kt_position_linear(kt_lower *lower, const kt_position *at) {
    return linear(lower, at, 0, at->rank);
}

void kt_position_split(kt_lower *lower, kt_position *at, int axis) {
    if (axis < 0 || ends_run(at, axis)) return;
    int end = kt_position_run_end(at, axis);
    kt_dim inner = kt_product(lower, at->dims, axis + 1, end + 1);
    kt_dim outer = kt_product(lower, at->dims, kt_position_run_begin(at, axis), axis + 1);
    kt_axis_index index = at->at[end];
    at->merged &= ~(1U << axis);
    if (kt_dim_equals(lower->dims, inner, 1)) {
        at->at[axis] = index;
        at->at[end] = kt_axis_at(kt_loops_int(lower->loops, 0), 0);
        return;
    }
    if (kt_dim_equals(lower->dims, outer, 1)) {
        at->at[axis] = kt_axis_at(kt_loops_int(lower->loops, 0), 0);
        return;
    }
    lower->splits++;
    at->at[axis] = divide(lower, index, KT_INDEX_DIV, inner, at->lanes);
    at->at[end] = divide(lower, index, KT_INDEX_MOD, inner, at->lanes);
}

void kt_position_isolate(kt_lower *lower, kt_position *at, int axis) {
    kt_position_split(lower, at, axis - 1);
    kt_position_split(lower, at, axis);
}

int kt_position_lead(kt_lower *lower, kt_position *at, int axis, kt_dim *out_inner) {
    KT_ASSERT(axis >= 0 && axis < KT_MAX_RANK);
    if (kt_dim_equals(lower->dims, at->dims[axis], 1)) kt_position_split(lower, at, axis);
    int begin = kt_position_run_begin(at, axis);
    if (!kt_dim_equals(lower->dims, kt_product(lower, at->dims, begin, axis), 1))
        kt_position_split(lower, at, axis - 1);
    int end = kt_position_run_end(at, axis);
    *out_inner = kt_product(lower, at->dims, axis + 1, end + 1);
    return end;
}

static void prefix_products(kt_lower *lower, const kt_dim *dims, int rank, kt_dim *out_products) {
    out_products[0] = kt_dim_const(lower->dims, 1);
    for (int i = 0; i < rank; i++) out_products[i + 1] = kt_dim_mul(lower->dims, out_products[i], dims[i]);
}

/* The next axes (i, j) past (*from, *to) where both shapes have taken the same number of elements, no run
 * being cut. */
static void next_boundary(const kt_position *at, const kt_dim *left, const kt_dim *right, int rank, int *from,
                          int *to) {
    for (int total = 1; total <= at->rank - *from + rank - *to; total++) {
        for (int i = *from; i <= at->rank && i - *from <= total; i++) {
            int j = *to + total - (i - *from);
            if (j > rank || left[i] != right[j] || (i > 0 && i < at->rank && !ends_run(at, i - 1))) continue;
            *from = i;
            *to = j;
            return;
        }
    }
    *from = at->rank;
    *to = rank;
}

kt_position kt_position_reshape(kt_lower *lower, const kt_position *at, int rank, const kt_dim *dims) {
    if (rank == at->rank && (rank == 0 || memcmp(dims, at->dims, sizeof *dims * (size_t)rank) == 0))
        return *at;
    kt_position result = kt_position_origin(lower, rank, dims, at->lanes);
    result.mask = at->mask;
    result.guard = at->guard;
    kt_dim left[KT_MAX_RANK + 1], right[KT_MAX_RANK + 1];
    prefix_products(lower, at->dims, at->rank, left);
    prefix_products(lower, dims, rank, right);
    for (int i = 0, j = 0; i < at->rank || j < rank;) {
        int from = i, to = j;
        next_boundary(at, left, right, rank, &i, &j);
        KT_ASSERT(from >= 0 && to >= 0 && j <= rank);
        if (j <= to) continue;
        if (from < i) result.at[j - 1] = linear(lower, at, from, i);
        for (int axis = to; axis < j - 1; axis++) result.merged |= 1U << axis;
    }
    return result;
}

/* Whether result axes p < q (neither of extent 1, what lies between is) may stay in one run under map. */
static bool stay_together(kt_lower *lower, const int *map, int p, int q, const kt_dim *dims) {
    if (map[p] < 0 || map[q] < 0) return map[p] < 0 && map[q] < 0;
    if (map[q] < map[p]) return false;
    for (int axis = map[p] + 1; axis < map[q]; axis++)
        if (!kt_dim_equals(lower->dims, dims[axis], 1)) return false;
    return true;
}

static void split_for_map(kt_lower *lower, kt_position *at, const int *map, const kt_dim *dims) {
    int previous = -1;
    for (int axis = 0; axis < at->rank; axis++) {
        bool one = kt_dim_equals(lower->dims, at->dims[axis], 1);
        if (!one && previous >= 0 && !stay_together(lower, map, previous, axis, dims))
            kt_position_split(lower, at, axis - 1);
        if (!one) previous = axis;
        if (ends_run(at, axis)) previous = -1;
    }
}

kt_position kt_position_map(kt_lower *lower, const kt_position *at, const int *map, int rank,
                            const kt_dim *dims) {
    kt_position from = *at;
    split_for_map(lower, &from, map, dims);
    kt_position result = kt_position_origin(lower, rank, dims, at->lanes);
    result.mask = at->mask;
    result.guard = at->guard;
    for (int begin = 0; begin < from.rank; begin = kt_position_run_end(&from, begin) + 1) {
        int end = kt_position_run_end(&from, begin), first = -1, last = -1;
        for (int axis = begin; axis <= end; axis++) {
            if (map[axis] < 0 || kt_dim_equals(lower->dims, from.dims[axis], 1)) continue;
            if (first < 0) first = map[axis];
            last = map[axis];
        }
        if (last < 0) continue;
        result.at[last] = from.at[end];
        for (int axis = first; axis < last; axis++) result.merged |= 1U << axis;
    }
    return result;
}

kt_reg kt_position_in_whole(kt_lower *lower, const kt_concat_part *part, const kt_position *at) {
    if (!part->concat) return kt_position_linear(lower, at).at;
    const kt_type *type = kt_graph_type(lower->graph, part->concat->first_result);
    kt_position whole = *at;
    kt_dim inner;
    int run =
        kt_position_lead(lower, &whole, (int)((const kt_attrs_concat *)part->concat->attrs)->axis, &inner);
    kt_reg shift = kt_loops_dim(lower->loops, kt_dim_mul(lower->dims, part->begin, inner));
    whole.at[run] = kt_axis_add(lower, whole.at[run], kt_axis_at(shift, 0), at->lanes);
    memcpy(whole.dims, type->dims, sizeof whole.dims);
    kt_axis_index place = kt_position_linear(lower, &whole);
    /* Lanes lie side by side: they run along last axes, of which parts keep whole runs (fuse_assemble.c, and
     * kt_nest_plan, which starts a run where the concat's axis leads). */
    KT_ASSERT(at->lanes == 1 || place.step <= 1);
    return place.at;
}
