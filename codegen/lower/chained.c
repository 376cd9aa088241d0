/* Two products with rows between: as attention weighs values by a softmax over scores, so that scores are
 * never in memory as a whole.
 *
 * A unit is a block of rows of one matrix. The first product's tiles store its sums in scratch memory; sweeps
 * over each row make of them what the second product multiplies, in the same place; the second's tiles read
 * that, and their sums go through the epilogue. The block is as high as the second-level cache holds. */
#include "codegen/lower/lower_impl.h"

enum {
    BLOCK_BYTES = 272 * 1024,  /* of rows, in a unit */
    COLUMN_BYTES = 192 * 1024, /* of the first product's second operand, over which all rows of a unit pass */
    MOST_ROWS = 96,
    HALVED_ROWS = 128, /* as many or more go into two units at least */
    LINE = 16,         /* elements */
};

typedef struct chained {
    kt_product_shape first, second;
    kt_value made; /* the second's first operand */
    kt_rows swept; /* how */
    uint32_t scratch;
    int64_t columns, stride,
        high;          /* columns of the first; from row to row of scratch memory; rows of a unit */
    kt_reg batch, row; /* of the unit */
} chained;

static kt_reg row_begin(kt_lower *lower, const chained *c, kt_reg row) {
    return kt_times_int(lower, row, c->stride);
}

static void store_first(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                        kt_reg mask) {
    const chained *c = tiling->context;
    kt_loops_store(lower->loops, c->scratch, kt_plus(lower, row_begin(lower, c, row), column), sum, mask);
}

static void store_second(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                         kt_reg mask) {
    const chained *c = tiling->context;
    kt_position at = kt_lower_product_place(lower, &c->second, c->batch, kt_plus(lower, c->row, row), column,
                                            tiling->lanes, mask);
    kt_lower_epilogue(lower, c->second.heavy, &at, sum);
}

static kt_tiling tiling_of(kt_lower *lower, chained *c, const kt_product_shape *shape, kt_tile_store *store) {
    kt_tiling tiling = {.a = shape->a.buffer,
                        .b = shape->b.buffer,
                        .row_stride = shape->a.rows,
                        .loop_count = 1,
                        .store = store,
                        .context = c};
    kt_tiling_init(lower, &tiling, KT_F32, 0, shape->columns);
    tiling.loops[0] =
        (kt_tile_loop){.extent = shape->depth, .a_stride = shape->a.depth, .b_stride = shape->b.depth};
    return tiling;
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct sweep {
    kt_position at; /* all but the column */
    kt_reg begin;
    int lanes;
    const chained *c;
} sweep;

static void make_turn(kt_lower *lower, kt_reg column, kt_reg mask, void *context) {
    const sweep *s = context;
    kt_position at = s->at;
    at.lanes = s->lanes;
    at.mask = mask;
    at.at[at.rank - 1] = kt_axis_at(column, at.lanes > 1);
    kt_reg value = kt_loops_splat(lower->loops, kt_lower_value(lower, s->c->made, &at), at.lanes);
    kt_loops_store(lower->loops, s->c->scratch, kt_plus(lower, s->begin, column), value, mask);
}

static kt_position place_row(kt_lower *lower, kt_reg row, void *context) {
    const chained *c = context;
    lower->rows[0] = (kt_row){c->first.heavy, c->scratch, row_begin(lower, c, row)};
    kt_lower_know_row(lower, c->first.heavy);
    return kt_lower_product_place(lower, &c->first, c->batch, kt_plus(lower, c->row, row),
                                  kt_loops_int(lower->loops, 0), 1, 0);
}

static void make_row(kt_lower *lower, const kt_position *at, void *context) {
    const chained *c = context;
    sweep s = {.at = *at,
               .begin = lower->rows[0].begin,
               .lanes = kt_lower_lanes(lower, 4, c->first.columns),
               .c = c};
    kt_lower_vector_loop(lower, kt_loops_int(lower->loops, 0), kt_loops_int(lower->loops, c->columns),
                         s.lanes, make_turn, &s, "columns");
}

/* ---- units ----------------------------------------------------------------------------------- */

/* The first product, by blocks of columns. */
static void multiply_first(kt_lower *lower, const chained *c, const kt_tiling *tiling, kt_reg a, kt_reg b,
                           kt_reg rows) {
    kt_loops *loops = lower->loops;
    int64_t depth = 128, width = kt_tile_width(tiling), tiles = kt_divide_up(c->columns, width);
    kt_dim_is_const(lower->dims, c->first.depth, &depth);
    int64_t bytes = kt_size_mul(depth, width * (int64_t)kt_dtype_bytes(KT_F32));
    int64_t blocks = kt_divide_up(kt_size_mul(tiles, bytes), COLUMN_BYTES),
            wide = kt_divide_up(tiles, blocks > 0 ? blocks : 1);
    kt_reg last = kt_loops_int(loops, tiles);
    if (wide >= tiles) {
        kt_tile_block(lower, tiling, a, b, rows, kt_loops_int(loops, 0), last);
        return;
    }
    kt_reg first = kt_lower_begin(lower, kt_loops_int(loops, 0), last, wide, "column blocks");
    kt_reg end = kt_loops_index(loops, KT_INDEX_MIN, kt_plus_int(lower, first, wide), last);
    kt_tile_block(lower, tiling, a, b, rows, first, end);
    kt_lower_end(lower);
}

static void choose_rows(kt_lower *lower, chained *c) {
    int64_t known = 0, most = BLOCK_BYTES / (c->stride * (int64_t)kt_dtype_bytes(KT_F32));
    if (most > MOST_ROWS) most = MOST_ROWS;
    c->high = most;
    if (!kt_dim_is_const(lower->dims, c->first.rows, &known) || known < 1) return;
    int64_t wanted = known >= HALVED_ROWS ? kt_divide_up(known, 2) : known;
    c->high = kt_unit_share(known, wanted < most ? wanted : most);
}

bool kt_lower_chained_root(kt_lower *lower, const kt_node_info *first, const kt_node_info *second) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    chained c = {.made = second->operands[0]};
    if (!kt_lower_has_epilogue_only(lower, second) ||
        !kt_lower_product_shape(lower, first, false, &c.first) ||
        !kt_lower_product_shape(lower, second, true, &c.second) ||
        !kt_dim_is_const(dims, c.first.columns, &c.columns))
        return false;
    c.stride =
        kt_divide_up(c.columns, LINE) * LINE + LINE; /* not a power of two: rows would share a cache's sets */
    choose_rows(lower, &c);
    if (c.high < 1) return false;
    const kt_type *made = kt_graph_type(lower->graph, c.made);
    c.swept = kt_rows_plan(lower, made->rank, made->dims, made->rank - 1);
    c.swept.scratch_begin = c.high * c.stride + KT_ROW_SLACK;
    c.scratch = c.swept.scratch =
        kt_loops_scratch(loops, KT_F32, c.swept.scratch_begin + kt_rows_scratch(&c.swept));
    c.second.a = (kt_matrices){
        .buffer = c.scratch, .rows = kt_dim_const(dims, c.stride), .depth = kt_dim_const(dims, 1)};
    kt_tiling one = tiling_of(lower, &c, &c.first, store_first),
              two = tiling_of(lower, &c, &c.second, store_second);
    kt_dim high = kt_dim_const(dims, c.high), blocks = kt_dim_ceildiv(dims, c.first.rows, high);
    kt_dim both = kt_dim_add(dims, c.first.depth, c.second.columns);
    kt_dim work = kt_dim_mul(dims, kt_dim_mul(dims, c.first.batch, c.first.rows),
                             kt_dim_mul(dims, c.first.columns, both));
    loops->leading = true;
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)one.lanes));

    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0),
                                 kt_loops_dim(loops, kt_dim_mul(dims, c.first.batch, blocks)),
                                 kt_loops_int(loops, 1), "units");
    c.batch = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_dim(loops, blocks));
    c.row =
        kt_times_int(lower, kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_dim(loops, blocks)), c.high);
    kt_reg rows =
        kt_loops_index(loops, KT_INDEX_MIN, kt_minus(lower, kt_loops_dim(loops, c.first.rows), c.row),
                       kt_loops_int(loops, c.high));
    if (kt_dim_equals(dims, kt_dim_mod(dims, c.first.rows, high), 0)) rows = kt_loops_int(loops, c.high);
    kt_reg a = kt_plus(lower, kt_lower_matrix_begin(lower, &c.first, c.batch, &c.first.a),
                       kt_times_dim(lower, c.row, c.first.a.rows));
    multiply_first(lower, &c, &one, a, kt_lower_matrix_begin(lower, &c.first, c.batch, &c.first.b), rows);
    kt_lower_rows(lower, &c.swept, kt_loops_int(loops, 0), rows, place_row, make_row, &c);
    kt_reg tiles =
        kt_loops_dim(loops, kt_dim_ceildiv(dims, c.second.columns, kt_dim_const(dims, kt_tile_width(&two))));
    kt_tile_block(lower, &two, kt_loops_int(loops, 0),
                  kt_lower_matrix_begin(lower, &c.second, c.batch, &c.second.b), rows, kt_loops_int(loops, 0),
                  tiles);
    kt_loops_end(loops);
    return true;
}
