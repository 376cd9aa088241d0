/* Deep products: those whose first operand lies by columns, and which sum over what a program is called with,
 * so over far more than they have rows and columns. Gradients of weights are such: x^T * dy.
 *
 * A unit is some row tiles by some column tiles, whose sums stay in scratch memory over all of the depth. The
 * depth is walked in blocks, of which tiles (tile.c) make sums that are added to the unit's. An operand whose
 * elements lie far apart along the depth is packed, block by block: its rows, or columns, into panels [depth,
 * those of a tile]. Packing reads in the order in which things lie and makes what tiles read adjacent; panels
 * and sums fit into the second-level cache. Elements past the ends are zeros there, so that there is one size
 * of tile. In the end the epilogue goes over the unit's sums. */
#include "codegen/lower/lower_impl.h"

enum {
    BLOCK_DEPTH = 128,
    LEAST_BLOCK_DEPTH = 32,
    MOST_BLOCK_DEPTH = 512,
    AHEAD = 8,        /* depths from the one that is packed to the one that is prefetched */
    COLUMN_TILES = 8, /* of a unit, at most, as are ROW_TILES */
    ROW_TILES = 24,
    MOST_TILES = 64,        /* likewise, if so chosen */
    SUM_BYTES = 192 * 1024, /* of a unit's sums, at most */
    NEAR_BYTES = 512,       /* from one depth to the next: tiles read it as it lies */
    LEAST_ROWS = 6,         /* of a tile whose rows are read as they lie */
};

/* One operand of a unit: `tiles` tiles of `extent` adjacent elements each, from element `first` of `all` on.
 */
typedef struct side {
    uint32_t buffer;
    bool packed;
    kt_dim all;
    kt_reg begin, first, tiles; /* begin: of the block at hand, in the buffer */
    int64_t extent, pitch;      /* of a packed tile: elements, and how far depths are apart */
    int64_t panel;              /* from one packed tile to the next: no power of two, as caches want it */
    int64_t scratch;            /* where its panels begin */
} side;

typedef struct deep {
    const kt_deep_shape *shape;
    kt_tiling tiling;
    uint32_t scratch;
    int blocked;                     /* the axis that blocks are parts of; those behind it are whole */
    int64_t depth;                   /* of a block, at most */
    int64_t behind, length;          /* product of the extents behind; of the blocked axis, in a block */
    int64_t row_tiles, column_tiles; /* of a unit */
    int64_t sums;                    /* where they begin */
    kt_reg outer;
    side rows, columns;
    kt_reg row_tile; /* at hand, of the unit */
} deep;

/* How many of `step` things from first on there are, of `all`. */
static kt_reg part(kt_lower *lower, kt_dim all, int64_t step, kt_reg first) {
    if (kt_dim_divisor(lower->dims, all) % step == 0) return kt_loops_int(lower->loops, step);
    return kt_loops_index(lower->loops, KT_INDEX_MIN, kt_minus(lower, kt_loops_dim(lower->loops, all), first),
                          kt_loops_int(lower->loops, step));
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Copies the elements at `from` to depth `depth` of the side's panels, and prefetches those at `ahead`.
 * Vectors may hold elements of the next tile behind their own; what lies behind the last is zero. */
static void pack_depth(kt_lower *lower, const deep *d, const side *s, kt_reg from, kt_reg depth,
                       kt_reg ahead) {
    kt_loops *loops = lower->loops;
    int lanes = d->tiling.lanes;
    bool whole = s->extent == s->pitch && kt_dim_divisor(lower->dims, s->all) % s->extent == 0;
    int64_t count;
    kt_reg tile = kt_loops_is_int(loops, s->tiles, &count)
                      ? kt_lower_unroll(lower, count, "tiles")
                      : kt_lower_begin(lower, kt_loops_int(loops, 0), s->tiles, 1, "tiles");
    kt_reg to = kt_plus(lower, kt_times_int(lower, tile, s->panel), kt_times_int(lower, depth, s->pitch));
    for (int64_t within = 0; within < s->pitch; within += lanes) {
        kt_reg element = kt_plus(lower, kt_times_int(lower, tile, s->extent), kt_loops_int(loops, within));
        kt_reg rest = kt_minus(lower, kt_loops_dim(loops, s->all), kt_plus(lower, s->first, element));
        kt_reg value = kt_loops_load(loops, s->buffer, kt_plus(lower, from, element), lanes,
                                     whole ? 0 : kt_loops_mask(loops, rest, lanes));
        value = kt_loops_apply(loops, KT_OP_cast, d->tiling.dtype, value, 0, 0);
        kt_loops_prefetch(loops, s->buffer, kt_plus(lower, ahead, element));
        kt_loops_store(loops, d->scratch, kt_plus(lower, to, kt_loops_int(loops, s->scratch + within)), value,
                       0);
    }
    kt_lower_end(lower);
}

/* The block, of the side's tiles, into panels. turns: how much of the blocked axis there is. */
static void pack_block(kt_lower *lower, const deep *d, const side *s, bool is_a, kt_reg turns) {
    kt_loops *loops = lower->loops;
    kt_reg from = kt_plus(lower, s->begin, s->first), depth = kt_loops_int(loops, 0);
    if (!s->packed) return;
    for (int i = d->blocked; i < d->shape->axis_count; i++) {
        const kt_tile_loop *axis = &d->shape->axes[i];
        kt_reg end = i == d->blocked ? turns : kt_loops_dim(loops, axis->extent);
        kt_reg index = kt_lower_begin(lower, kt_loops_int(loops, 0), end, 1, "pack");
        from = kt_plus(lower, from, kt_times_dim(lower, index, is_a ? axis->a_stride : axis->b_stride));
        depth = kt_plus(lower, i == d->blocked ? depth : kt_times_dim(lower, depth, axis->extent), index);
    }
    const kt_tile_loop *innermost = &d->shape->axes[d->shape->axis_count - 1];
    kt_dim stride = is_a ? innermost->a_stride : innermost->b_stride;
    pack_depth(lower, d, s, from, depth,
               kt_plus(lower, from, kt_times_dim(lower, kt_loops_int(loops, AHEAD), stride)));
    for (int i = d->blocked; i < d->shape->axis_count; i++) kt_lower_end(lower);
}

/* ---- a unit ---------------------------------------------------------------------------------- */

/* Where the sums of a row lie, from a column on, both counted from the unit's first. */
static kt_reg sum_place(kt_lower *lower, const deep *d, kt_reg row, kt_reg column) {
    kt_reg place = kt_times_int(lower, row, d->column_tiles * kt_tile_width(&d->tiling));
    return kt_plus(lower, kt_plus(lower, place, column), kt_loops_int(lower->loops, d->sums));
}

/* Adds a block's sum to the unit's. */
static void add_sum(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                    kt_reg mask) {
    const deep *d = tiling->context;
    (void)mask; /* all columns of a tile are there */
    kt_reg at =
        sum_place(lower, d, kt_plus(lower, kt_times_int(lower, d->row_tile, tiling->rows), row), column);
    kt_reg before = kt_loops_load(lower->loops, d->scratch, at, tiling->lanes, 0);
    kt_loops_store(lower->loops, d->scratch, at,
                   kt_loops_apply(lower->loops, KT_OP_add, tiling->dtype, before, sum, 0), 0);
}

static void clear_turn(kt_lower *lower, kt_reg index, kt_reg mask, void *context) {
    const deep *d = context;
    kt_reg zero = kt_loops_const(lower->loops, d->tiling.dtype, d->tiling.lanes, 0);
    kt_reg at = kt_plus(lower, index, kt_loops_int(lower->loops, d->sums));
    kt_loops_store(lower->loops, d->scratch, at, zero, mask);
}

typedef struct finish {
    const deep *d;
    kt_reg row;
} finish;

static void finish_turn(kt_lower *lower, kt_reg column, kt_reg mask, void *context) {
    const finish *f = context;
    const deep *d = f->d;
    int lanes = d->tiling.lanes;
    kt_reg sum = kt_loops_load(lower->loops, d->scratch, sum_place(lower, d, f->row, column), lanes, 0);
    kt_position at = d->shape->place(lower, d->shape, d->outer, kt_plus(lower, d->rows.first, f->row),
                                     kt_plus(lower, d->columns.first, column), lanes);
    at.mask = mask;
    kt_lower_epilogue(lower, d->shape->heavy, &at, sum);
}

/* How the tiles walk the block at hand. */
static void set_depth(kt_lower *lower, deep *d, kt_reg turns) {
    kt_tiling *tiling = &d->tiling;
    const side *a = &d->rows, *b = &d->columns;
    tiling->loop_count = 0;
    if (a->packed && b->packed) {
        tiling->loops[tiling->loop_count++] = (kt_tile_loop){.turns = kt_times_int(lower, turns, d->behind),
                                                             .a_stride = kt_dim_const(lower->dims, a->pitch),
                                                             .b_stride = kt_dim_const(lower->dims, b->pitch)};
        return;
    }
    kt_dim behind = kt_dim_const(lower->dims, d->behind);
    for (int i = d->blocked; i < d->shape->axis_count; i++) {
        kt_tile_loop axis = d->shape->axes[i];
        if (i == d->blocked)
            axis.turns = turns;
        else
            behind = kt_dim_floordiv(lower->dims, behind, axis.extent);
        if (a->packed) axis.a_stride = kt_dim_mul_const(lower->dims, behind, a->pitch);
        if (b->packed) axis.b_stride = kt_dim_mul_const(lower->dims, behind, b->pitch);
        tiling->loops[tiling->loop_count++] = axis;
    }
}

/* The tiles of the block at hand. */
static void multiply(kt_lower *lower, deep *d, kt_reg turns) {
    kt_loops *loops = lower->loops;
    kt_tiling *tiling = &d->tiling;
    const side *a = &d->rows, *b = &d->columns;
    kt_reg zero = kt_loops_int(loops, 0),
           b_at = b->packed ? kt_loops_int(loops, b->scratch) : kt_plus(lower, b->begin, b->first);
    set_depth(lower, d, turns);
    d->row_tile = kt_lower_begin(lower, zero, a->tiles, 1, "row tiles");
    kt_reg a_at =
        a->packed
            ? kt_plus(lower, kt_times_int(lower, d->row_tile, a->panel), kt_loops_int(loops, a->scratch))
            : kt_plus(lower, kt_plus(lower, a->begin, a->first), kt_times_int(lower, d->row_tile, a->extent));
    kt_tile_block(lower, tiling, a_at, b_at, kt_loops_int(loops, tiling->rows), zero, b->tiles);
    kt_lower_end(lower);
}

/* Where both operands begin for index `number` of the axes before the blocked one. */
static void find_begin(kt_lower *lower, deep *d, kt_reg number, kt_reg first) {
    kt_loops *loops = lower->loops;
    const kt_deep_shape *shape = d->shape;
    d->rows.begin = shape->a_begin(lower, shape, d->outer);
    d->columns.begin = shape->b_begin(lower, shape, d->outer);
    for (int i = d->blocked; i >= 0; i--) {
        const kt_tile_loop *axis = &shape->axes[i];
        kt_reg index = first;
        if (i < d->blocked) {
            kt_reg extent = kt_loops_dim(loops, axis->extent);
            index = i > 0 ? kt_loops_index(loops, KT_INDEX_MOD, number, extent) : number;
            number = kt_loops_index(loops, KT_INDEX_DIV, number, extent);
        }
        d->rows.begin = kt_plus(lower, d->rows.begin, kt_times_dim(lower, index, axis->a_stride));
        d->columns.begin = kt_plus(lower, d->columns.begin, kt_times_dim(lower, index, axis->b_stride));
    }
}

static void emit_unit(kt_lower *lower, deep *d) {
    kt_loops *loops = lower->loops;
    const kt_deep_shape *shape = d->shape;
    kt_reg zero = kt_loops_int(loops, 0);
    int64_t width = kt_tile_width(&d->tiling), sums = d->row_tiles * d->tiling.rows * d->column_tiles * width;
    kt_dim before = kt_dim_const(lower->dims, 1), along = shape->axes[d->blocked].extent;
    for (int i = 0; i < d->blocked; i++) before = kt_dim_mul(lower->dims, before, shape->axes[i].extent);
    kt_lower_vector_loop(lower, zero, kt_loops_int(loops, sums), d->tiling.lanes, clear_turn, d,
                         "clear sums");
    kt_reg number = kt_lower_begin(lower, zero, kt_loops_dim(loops, before), 1, "depth");
    kt_reg first = kt_lower_begin(lower, zero, kt_loops_dim(loops, along), d->length, "depth");
    kt_reg turns = part(lower, along, d->length, first);
    find_begin(lower, d, number, first);
    pack_block(lower, d, &d->rows, true, turns);
    pack_block(lower, d, &d->columns, false, turns);
    multiply(lower, d, turns);
    kt_lower_end(lower);
    kt_lower_end(lower);

    kt_reg rows = part(lower, shape->rows, d->row_tiles * d->tiling.rows, d->rows.first);
    kt_reg columns = part(lower, shape->columns, d->column_tiles * width, d->columns.first);
    finish f = {.d = d, .row = kt_lower_begin(lower, zero, rows, 1, "epilogue")};
    kt_lower_vector_loop(lower, zero, columns, d->tiling.lanes, finish_turn, &f, "columns");
    kt_lower_end(lower);
}

/* ---- planning -------------------------------------------------------------------------------- */

/* `all` in parts of at most `most`, evenly: how many a part has. All 0: not known. */
static int64_t even_part(int64_t all, int64_t most) {
    if (all <= 0) return most;
    int64_t parts = kt_divide_up(all, most);
    return kt_divide_up(all, parts);
}

static int64_t known_or_none(const kt_lower *lower, kt_dim dim) {
    int64_t known = 0;
    kt_dim_is_const(lower->dims, dim, &known);
    return known;
}

/* Do depths lie close to each other? */
static bool is_near(const kt_lower *lower, kt_dim stride, int64_t element_bytes) {
    int64_t known = known_or_none(lower, stride);
    return known > 0 && known <= NEAR_BYTES / element_bytes;
}

/* The greatest divisor of all up to most. */
static int64_t greatest_divisor(int64_t all, int64_t most) {
    while (all % most != 0) most--;
    return most;
}

/* Blocks are parts of the innermost axis that does not fit into one with those behind it. */
static void choose_blocks(kt_lower *lower, deep *d) {
    d->depth = kt_choose(&lower->loops->choice, KT_KNOB_deep, BLOCK_DEPTH,
                         (kt_range){.least = LEAST_BLOCK_DEPTH, .most = MOST_BLOCK_DEPTH},
                         "what the cache keeps of panels");
    d->blocked = d->shape->axis_count - 1;
    d->behind = 1;
    for (; d->blocked > 0; d->blocked--) {
        int64_t extent = known_or_none(lower, d->shape->axes[d->blocked].extent);
        if (extent < 1 || extent > d->depth / 2 / d->behind) break;
        d->behind *= extent;
    }
    d->length = d->depth / d->behind;
}

/* How many elements of scratch memory a unit takes; sets where its parts begin. */
static int64_t lay_out_scratch(deep *d) {
    side *a = &d->rows, *b = &d->columns;
    a->panel = d->depth * a->pitch + d->tiling.lanes;
    b->panel = d->depth * b->pitch + d->tiling.lanes;
    a->scratch = b->packed ? d->column_tiles * b->panel : 0;
    d->sums = a->scratch + (a->packed ? d->row_tiles * a->panel : 0);
    return d->sums + d->row_tiles * a->extent * d->column_tiles * b->extent;
}

/* How many tiles a unit takes; returns the elements of its scratch memory. */
static int64_t choose_tiles(kt_lower *lower, deep *d, int64_t rows, int64_t columns) {
    kt_choice *choice = &lower->loops->choice;
    const kt_range range = {.least = 1, .most = MOST_TILES};
    int64_t width = kt_tile_width(&d->tiling), extent = d->rows.extent;
    int64_t room = KT_SCRATCH_BYTES / (int64_t)kt_dtype_bytes(d->tiling.dtype);
    d->column_tiles = kt_choose(choice, KT_KNOB_wide, even_part(kt_divide_up(columns, width), COLUMN_TILES),
                                range, "tiles enough to reuse what is packed");
    int64_t most = SUM_BYTES / (extent * d->column_tiles * width * (int64_t)kt_dtype_bytes(d->tiling.dtype));
    if (most > ROW_TILES) most = ROW_TILES;
    d->row_tiles = kt_choose(choice, KT_KNOB_high, even_part(kt_divide_up(rows, extent), most > 1 ? most : 1),
                             range, "what the cache keeps of sums");
    while (lay_out_scratch(d) > room && d->row_tiles > 1) d->row_tiles--;
    while (lay_out_scratch(d) > room && d->column_tiles > 1) d->column_tiles--;
    KT_ASSERT(lay_out_scratch(d) <= room);
    return lay_out_scratch(d);
}

static void plan_unit(kt_lower *lower, deep *d) {
    const kt_deep_shape *shape = d->shape;
    const kt_tile_loop *innermost = &shape->axes[shape->axis_count - 1];
    kt_tiling *tiling = &d->tiling;
    kt_dtype dtype = lower->loops->buffer_dtypes[shape->a];
    int64_t rows = known_or_none(lower, shape->rows), columns = known_or_none(lower, shape->columns);
    kt_tiling_init(lower, tiling, kt_accumulator(kt_graph_type(lower->graph, shape->heavy)->dtype), 0,
                   shape->columns);
    int64_t width = kt_tile_width(tiling), bytes = (int64_t)kt_dtype_bytes(tiling->dtype);
    side *a = &d->rows, *b = &d->columns;
    *a = (side){.buffer = shape->a, .packed = true, .all = shape->rows};
    *b = (side){.buffer = shape->b, .all = shape->columns, .extent = width, .pitch = width};
    b->packed = tiling->dtype != dtype || columns == 0 || columns % width != 0 ||
                !is_near(lower, innermost->b_stride, bytes);
    if (tiling->dtype == dtype && rows > 0 && is_near(lower, innermost->a_stride, bytes)) {
        int64_t divisor = greatest_divisor(rows, tiling->rows);
        a->packed = divisor < LEAST_ROWS && divisor != rows;
        if (!a->packed) tiling->rows = (int)divisor;
    }
    if (a->packed) tiling->rows = (int)even_part(rows, tiling->rows);
    a->extent = tiling->rows;
    a->pitch = kt_divide_up(a->extent, tiling->lanes) * tiling->lanes;
    d->scratch = kt_loops_scratch(lower->loops, tiling->dtype, choose_tiles(lower, d, rows, columns));
    tiling->a = a->packed ? d->scratch : a->buffer;
    tiling->b = b->packed ? d->scratch : b->buffer;
    tiling->row_stride = kt_dim_const(lower->dims, 1);
    tiling->columns = kt_dim_const(lower->dims, d->column_tiles * width);
    tiling->panel = b->packed ? width : 0;
    tiling->panel_stride = kt_dim_const(lower->dims, b->panel);
    tiling->store = add_sum;
    tiling->context = d;
}

void kt_lower_deep(kt_lower *lower, const kt_deep_shape *shape) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    deep d = {.shape = shape};
    loops->choice.form = "deep product";
    choose_blocks(lower, &d);
    plan_unit(lower, &d);
    kt_dim rows = kt_dim_ceildiv(dims, shape->rows, kt_dim_const(dims, d.tiling.rows)); /* of tiles */
    kt_dim columns = kt_dim_ceildiv(dims, shape->columns, kt_dim_const(dims, kt_tile_width(&d.tiling)));
    kt_dim row_blocks = kt_dim_ceildiv(dims, rows, kt_dim_const(dims, d.row_tiles));
    kt_dim column_blocks = kt_dim_ceildiv(dims, columns, kt_dim_const(dims, d.column_tiles));
    kt_dim blocks = kt_dim_mul(dims, row_blocks, column_blocks);
    kt_dim work = kt_dim_mul(dims, kt_dim_mul(dims, shape->rows, shape->columns), shape->outer);
    for (int i = 0; i < shape->axis_count; i++) work = kt_dim_mul(dims, work, shape->axes[i].extent);
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)d.tiling.lanes));

    kt_dim units = kt_dim_mul(dims, shape->outer, blocks);
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0), kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    d.outer = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_dim(loops, blocks));
    kt_reg inner = kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_dim(loops, blocks));
    kt_reg across = kt_loops_dim(loops, column_blocks);
    kt_reg row_tile = kt_times_int(lower, kt_loops_index(loops, KT_INDEX_DIV, inner, across), d.row_tiles);
    kt_reg column_tile =
        kt_times_int(lower, kt_loops_index(loops, KT_INDEX_MOD, inner, across), d.column_tiles);
    d.rows.first = kt_times_int(lower, row_tile, d.tiling.rows);
    d.rows.tiles = part(lower, rows, d.row_tiles, row_tile);
    d.columns.first = kt_times_int(lower, column_tile, kt_tile_width(&d.tiling));
    d.columns.tiles = part(lower, columns, d.column_tiles, column_tile);
    emit_unit(lower, &d);
    kt_loops_end(loops);
}
