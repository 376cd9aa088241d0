/* Products by a single column: for each row of A the sum of its products by one vector. Tiles would leave all
 * lanes but one idle; so here lanes run along the depth, which lies side by side in both, and each row has a
 * vector of sums.
 *
 * As many rows as a vector has lanes go together. Their sums are folded into one vector, a row a lane: lanes
 * are added in pairs, which leaves room for those of a second row, then pairs of pairs. Rows that are left
 * over go one by one, folded in the same order, so that a row's result does not depend on its neighbours. */
#include "codegen/lower/lower_impl.h"

enum { UNIT_PRODUCTS = 1 << 16, MOST_LANES = 16, MOST_UNIT_ROWS = 1 << 12 };

typedef struct dots {
    const kt_product_shape *shape;
    kt_dtype dtype; /* of the sums */
    int lanes;
    kt_reg batch, b; /* of the unit; where its column begins */
} dots;

/* Some rows, from `row` on; a: where the first begins. */
typedef struct rows {
    const dots *d;
    int count;
    kt_reg a;
    kt_cell sums;
} rows;

static kt_reg load(kt_lower *lower, const dots *d, uint32_t buffer, kt_reg index, kt_reg mask) {
    kt_reg value = kt_loops_load(lower->loops, buffer, index, d->lanes, mask);
    return kt_loops_apply(lower->loops, KT_OP_cast, d->dtype, value, 0, 0);
}

static void add_products(kt_lower *lower, kt_reg k, kt_reg mask, void *context) {
    const rows *r = context;
    const dots *d = r->d;
    kt_reg b = load(lower, d, d->shape->b.buffer, kt_plus(lower, d->b, k), mask);
    for (int i = 0; i < r->count; i++) {
        kt_reg number = kt_loops_int(lower->loops, i);
        kt_reg at = kt_plus(lower, r->a, kt_times_dim(lower, number, d->shape->a.rows));
        kt_reg a = load(lower, d, d->shape->a.buffer, kt_plus(lower, at, k), mask);
        kt_add_product(lower, r->sums, number, a, b);
    }
}

/* The sum of row l's lanes in lane l; a single row's in all. */
static kt_reg fold(kt_lower *lower, const rows *r) {
    kt_reg parts[MOST_LANES] = {0};
    int count = r->count;
    for (int i = 0; i < count; i++)
        parts[i] = kt_loops_get(lower->loops, r->sums, kt_loops_int(lower->loops, i));
    for (int run = 1; run < r->d->lanes; run *= 2) {
        int second = count > 1, half = (count + 1) / 2;
        for (int i = 0; i < half; i++) {
            kt_reg x = parts[i * (1 + second)], y = parts[i * (1 + second) + second];
            parts[i] = kt_combine(lower, KT_REDUCE_SUM, kt_loops_runs(lower->loops, x, y, run, false),
                                  kt_loops_runs(lower->loops, x, y, run, true));
        }
        count = half;
    }
    return parts[0];
}

/* `count` rows of the matrix, all of a vector's or one, from row on. */
static void emit_rows(kt_lower *lower, const dots *d, kt_reg a, kt_reg row, int count) {
    kt_loops *loops = lower->loops;
    const kt_product_shape *shape = d->shape;
    rows r = {.d = d, .count = count, .a = kt_plus(lower, a, kt_times_dim(lower, row, shape->a.rows))};
    r.sums = kt_zero_sums(lower, d->dtype, d->lanes, count);
    kt_lower_vector_loop(lower, kt_loops_int(loops, 0), kt_loops_dim(loops, shape->depth), d->lanes,
                         add_products, &r, "k");
    const kt_type *type = kt_graph_type(lower->graph, shape->heavy);
    kt_position at = kt_position_origin(lower, type->rank, type->dims, d->lanes);
    int rows_end = shape->batch_axes + shape->row_axes;
    for (int axis = 0; axis + 1 < rows_end; axis++)
        if (axis + 1 != shape->batch_axes) at.merged |= 1U << axis;
    if (shape->batch_axes > 0) at.at[shape->batch_axes - 1] = kt_axis_at(d->batch, 0);
    at.at[rows_end - 1] = kt_axis_at(row, d->lanes > 1);
    if (count < d->lanes) at.mask = kt_loops_mask(loops, kt_loops_int(loops, count), d->lanes);
    kt_lower_epilogue(lower, shape->heavy, &at, fold(lower, &r));
}

/* The lanes of a vector, or fewer where the depth is less. */
static int choose_lanes(const kt_lower *lower, kt_dtype dtype, kt_dim depth) {
    int lanes = kt_target_lanes(lower->target, dtype);
    int64_t known;
    if (lanes > MOST_LANES) lanes = MOST_LANES;
    if (kt_dim_is_const(lower->dims, depth, &known))
        while (lanes > 1 && known <= lanes / 2) lanes /= 2;
    return lanes;
}

/* How many rows make a unit, of known or unknown depth. */
static kt_dim unit_rows(kt_lower *lower, const kt_product_shape *shape, int lanes) {
    int64_t depth = 128, rows = 0;
    kt_dim_is_const(lower->dims, shape->depth, &depth);
    kt_dim_is_const(lower->dims, shape->rows, &rows);
    int64_t wanted = UNIT_PRODUCTS / (depth > 0 ? depth : 1) / lanes * lanes;
    if (wanted > MOST_UNIT_ROWS) wanted = MOST_UNIT_ROWS;
    if (wanted < lanes) wanted = lanes;
    return kt_dim_const(lower->dims,
                        kt_choose(&lower->loops->choice, KT_KNOB_high, wanted,
                                  (kt_range){.least = 1, .most = MOST_UNIT_ROWS}, "enough products"));
}

bool kt_lower_dots(kt_lower *lower, const kt_product_shape *shape) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    kt_dtype dtype = kt_accumulator(kt_graph_type(lower->graph, shape->heavy)->dtype);
    if (shape->panel || shape->row_axes == 0 || !kt_dtype_is_float(dtype) ||
        !kt_dim_equals(dims, shape->columns, 1) || !kt_dim_equals(dims, shape->a.depth, 1) ||
        !kt_dim_equals(dims, shape->b.depth, 1))
        return false;
    loops->choice.form = "product by a column";
    dots d = {.shape = shape, .dtype = dtype, .lanes = choose_lanes(lower, dtype, shape->depth)};
    kt_dim high = unit_rows(lower, shape, d.lanes);
    kt_dim blocks = kt_dim_ceildiv(dims, shape->rows, high), units = kt_dim_mul(dims, shape->batch, blocks);
    kt_dim work = kt_dim_mul(dims, shape->batch, kt_dim_mul(dims, shape->rows, shape->depth));
    loops->leading = true;
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)d.lanes));

    kt_reg zero = kt_loops_int(loops, 0);
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, zero, kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    d.batch = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_dim(loops, blocks));
    d.b = kt_lower_matrix_begin(lower, shape, d.batch, &shape->b);
    kt_reg a = kt_lower_matrix_begin(lower, shape, d.batch, &shape->a);
    kt_reg block = kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_dim(loops, blocks));
    kt_reg last, first = kt_part(lower, block, high, shape->rows, &last);
    kt_reg rest = kt_loops_index(loops, KT_INDEX_MOD, kt_loops_index(loops, KT_INDEX_SUB, last, first),
                                 kt_loops_int(loops, d.lanes));
    kt_reg middle = kt_loops_index(loops, KT_INDEX_SUB, last, rest);
    kt_reg row = kt_lower_begin(lower, first, middle, d.lanes, "rows");
    emit_rows(lower, &d, a, row, d.lanes);
    kt_lower_end(lower);
    if (d.lanes > 1) {
        row = kt_lower_begin(lower, middle, last, 1, "row");
        emit_rows(lower, &d, a, row, 1);
        kt_lower_end(lower);
    }
    kt_loops_end(loops);
    return true;
}
