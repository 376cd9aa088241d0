/* winograd, whose three steps are done for a few tiles at a time, so that what lies between them stays in
 * cache:
 *
 *   1. each tile's inputs, and zeros where it reaches outside, are transformed, channels in lanes, to
 *      inputs[point, tile, channel];
 *   2. for each point of a tile, and a panel of features, a product of matrices (tile.c):
 *      sums[point, tile, feature] = inputs[point] * kernel[point];
 *   3. each tile's sums are transformed to its outputs, features in lanes, and go through the epilogue.
 *
 * Of bytes, inputs are 16 bits wide, which fill two lanes of sums, in 32; where channels lie in pairs, two
 * are multiplied at once. Sums may wrap around: see ir/winograd.h.
 *
 * Both intermediates are scratch memory of the kernel. A unit is some tiles by some panels; units that share
 * tiles transform them once, where one thread takes them one after the other, or again, which is little
 * beside their products.
 *
 * Large kernels are read from far away: there a unit takes as many tiles as there is room for, so that this
 * happens seldom, and what the next point's product reads is prefetched evenly over the present one's. */
#include "ir/winograd.h"
#include "codegen/lower/lower_impl.h"

enum {
    MOST = KT_WINOGRAD_MOST_POINTS,
    MOST_TILES = 24,          /* of a unit: two tiles of the widest products; */
    MOST_TILES_OF_BYTES = 12, /* one, whose sums the nearest cache about keeps */
    LEAST_TILES = 8,          /* that an image falls into two units for */
    BLOCK_FEATURES = 128,     /* that share transformed tiles, about */
    KEPT_BYTES = 1 << 20,     /* of a kernel: caches would not keep more from unit to unit */
    UNIT_PRODUCTS = 1 << 17,  /* multiply-adds in a unit, about */
};

typedef struct winograd {
    kt_winograd w[2]; /* along height and width */
    kt_value heavy;
    const kt_type *x, *kernel, *result;
    kt_dim low[2];            /* zeros before the input */
    kt_dim tiles_wide, tiles; /* in an image row; in all images */
    uint32_t input;           /* x's buffer */
    int64_t rows;             /* tiles of a unit */
    int64_t channels, panel, features;
    int64_t pair, depth; /* channels that are multiplied at once: 1, or 2 of bytes; channels / pair */
    bool bytes;
    kt_tiling tiling;
    int64_t sums;              /* where they begin in the scratch memory */
    kt_reg point, column_tile; /* of the product at hand */
} winograd;

/* ---- transforms ------------------------------------------------------------------------------ */

static kt_reg combine(kt_lower *lower, kt_op op, kt_reg a, kt_reg b) {
    return kt_loops_apply(lower->loops, op, kt_loops_dtype(lower->loops, a), a, b, 0);
}

/* sum + factor * x; sum 0: there is none yet */
static kt_reg add_term(kt_lower *lower, kt_reg sum, double factor, kt_reg x) {
    kt_loops *loops = lower->loops;
    if (factor == 0) return sum;
    if (factor == 1) return sum ? combine(lower, KT_OP_add, x, sum) : x;
    kt_reg number = kt_loops_const(loops, kt_loops_dtype(loops, x), kt_loops_lanes(loops, x), factor);
    return sum ? kt_multiply_add(lower, number, x, sum) : combine(lower, KT_OP_mul, number, x);
}

/* out = input * in. A pair of rows shares the sums of its even and of its odd terms. */
static void apply_input(kt_lower *lower, const kt_winograd *w, const kt_reg *in, kt_reg *out) {
    for (int i = 0; i < w->points; i++) {
        bool paired = i > 0 && i < w->points - 1;
        kt_reg parts[2] = {0};
        for (int k = w->points - 1; k >= 0; k--) {
            kt_reg *part = &parts[paired ? k % 2 : 0];
            *part = add_term(lower, *part, w->input[i][k], in[k]);
        }
        out[i] = paired ? combine(lower, KT_OP_add, parts[0], parts[1]) : parts[0];
        if (!paired) continue;
        i++;
        out[i] = combine(lower, KT_OP_sub, parts[0], parts[1]);
    }
}

/* out = output * in. A pair of columns is used by its sum or its difference. */
static void apply_output(kt_lower *lower, const kt_winograd *w, const kt_reg *in, kt_reg *out) {
    kt_reg both[2][MOST] = {{0}};
    for (int i = 1; i < w->points - 1; i += 2) {
        both[0][i] = combine(lower, KT_OP_add, in[i], in[i + 1]);
        both[1][i] = combine(lower, KT_OP_sub, in[i], in[i + 1]);
    }
    for (int k = 0; k < w->tile; k++) {
        kt_reg sum = add_term(lower, 0, w->output[k][0], in[0]);
        for (int i = 1; i < w->points - 1; i += 2)
            sum = add_term(lower, sum, w->output[k][i], both[k % 2][i]);
        if (w->points > 1) sum = add_term(lower, sum, w->output[k][w->points - 1], in[w->points - 1]);
        out[k] = sum;
    }
}

typedef void transform_fn(kt_lower *lower, const kt_winograd *w, const kt_reg *in, kt_reg *out);

/* Along both axes: values[points high, points wide], by rows of MOST, becomes its transform, which has
 * outputs, or else points, along each axis. */
static void apply_both(kt_lower *lower, const kt_winograd w[2], transform_fn *apply, bool outputs,
                       kt_reg values[MOST][MOST]) {
    kt_reg in[MOST] = {0}, out[MOST] = {0};
    int high = outputs ? w[0].tile : w[0].points, wide = outputs ? w[1].tile : w[1].points;
    for (int j = 0; j < w[1].points; j++) {
        for (int i = 0; i < w[0].points; i++) in[i] = values[i][j];
        apply(lower, &w[0], in, out);
        for (int i = 0; i < high; i++) values[i][j] = out[i];
    }
    for (int i = 0; i < high; i++) {
        apply(lower, &w[1], values[i], out);
        for (int j = 0; j < wide; j++) values[i][j] = out[j];
    }
}

static int64_t all_points(const winograd *c) { return (int64_t)c->w[0].points * c->w[1].points; }

/* ---- 1: inputs ------------------------------------------------------------------------------- */

typedef struct tile_place {
    kt_reg image, row, column; /* of the tile, counted in tiles */
} tile_place;

static tile_place find_tile(kt_lower *lower, const winograd *c, kt_reg tile) {
    kt_loops *loops = lower->loops;
    kt_reg wide = kt_loops_dim(loops, c->tiles_wide);
    kt_dim in_image = kt_dim_floordiv(lower->dims, c->tiles, c->x->dims[0]);
    kt_dim high = kt_dim_floordiv(lower->dims, in_image, c->tiles_wide);
    kt_reg line = kt_loops_index(loops, KT_INDEX_DIV, tile, wide);
    return (tile_place){.image = kt_loops_index(loops, KT_INDEX_DIV, line, kt_loops_dim(loops, high)),
                        .row = kt_loops_index(loops, KT_INDEX_MOD, line, kt_loops_dim(loops, high)),
                        .column = kt_loops_index(loops, KT_INDEX_MOD, tile, wide)};
}

/* A tile's rows or columns of pixels: how far they lie from the tile's first one, and whether they are the
 * input's; 0: always. Those that are not are read at the nearest one that is. */
typedef struct tile_side {
    kt_reg first, far[MOST], inside[MOST];
} tile_side;

/* tile: its row or column; step: from a pixel to the next */
static tile_side find_side(kt_lower *lower, const winograd *c, int axis, kt_reg tile, kt_dim step) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    kt_dim size = c->x->dims[axis + 1], low = c->low[axis], side = kt_dim_const(dims, c->w[axis].tile);
    kt_dim last = kt_dim_add_const(dims, kt_dim_ceildiv(dims, c->result->dims[axis + 1], side), -1);
    last = kt_dim_sub(dims, kt_dim_mul(dims, last, side), low); /* where the last tile begins */
    kt_reg first = kt_minus(lower, kt_times_int(lower, tile, c->w[axis].tile), kt_loops_dim(loops, low));
    tile_side result = {.first = kt_times_dim(lower, first, step)};
    for (int i = 0; i < c->w[axis].points; i++) {
        kt_reg here = kt_plus_int(lower, first, i), at = here;
        result.far[i] = kt_loops_dim(loops, kt_dim_mul_const(dims, step, i));
        if (!kt_dim_at_least(dims, kt_dim_sub(dims, kt_dim_const(dims, i), low), 0)) {
            result.inside[i] = kt_loops_index(loops, KT_INDEX_LT, kt_loops_int(loops, -1), here);
            at = kt_loops_index(loops, KT_INDEX_MAX, at, kt_loops_int(loops, 0));
        }
        if (!kt_dim_at_least(dims, kt_dim_sub(dims, size, last), i + 1)) {
            kt_reg inside = kt_loops_index(loops, KT_INDEX_LT, here, kt_loops_dim(loops, size));
            result.inside[i] =
                result.inside[i] ? kt_loops_index(loops, KT_INDEX_AND, result.inside[i], inside) : inside;
            at = kt_loops_index(loops, KT_INDEX_MIN, at,
                                kt_loops_dim(loops, kt_dim_add_const(dims, size, -1)));
        }
        if (result.inside[i]) result.far[i] = kt_times_dim(lower, kt_minus(lower, at, first), step);
    }
    return result;
}

typedef struct input_turn {
    const winograd *c;
    kt_reg from, to; /* the tile's first pixel; its place among the inputs */
    tile_side rows, columns;
    int lanes;
} input_turn;

static kt_reg or_zero(kt_lower *lower, kt_reg inside, kt_reg value) {
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_loops_dtype(loops, value);
    kt_reg zero = kt_loops_const(loops, dtype, kt_loops_lanes(loops, value), 0);
    return inside ? kt_loops_apply(loops, KT_OP_select, dtype, inside, value, zero) : value;
}

static void transform_inputs(kt_lower *lower, kt_reg channel, kt_reg mask, void *context) {
    const input_turn *turn = context;
    const winograd *c = turn->c;
    kt_loops *loops = lower->loops;
    kt_reg values[MOST][MOST] = {{0}}, from = kt_plus(lower, turn->from, channel),
           to = kt_plus(lower, turn->to, channel);
    int wide = c->w[1].points;
    for (int i = 0; i < c->w[0].points; i++) {
        for (int j = 0; j < wide; j++) {
            kt_reg at = kt_plus(lower, from, kt_plus(lower, turn->rows.far[i], turn->columns.far[j]));
            values[i][j] = kt_loops_load(loops, c->input, at, turn->lanes, mask);
            values[i][j] = or_zero(lower, turn->rows.inside[i], values[i][j]);
            values[i][j] = or_zero(lower, turn->columns.inside[j], values[i][j]);
            if (c->bytes) values[i][j] = kt_loops_apply(loops, KT_OP_cast, KT_I16, values[i][j], 0, 0);
        }
    }
    apply_both(lower, c->w, apply_input, false, values);
    for (int64_t p = 0; p < all_points(c); p++) {
        kt_reg at = kt_plus_int(lower, to, p * c->rows * c->channels);
        kt_loops_store(loops, c->tiling.a, at, values[p / wide][p % wide], mask);
    }
}

/* ---- 2: products ----------------------------------------------------------------------------- */

static void store_sum(kt_lower *lower, const kt_tiling *tiling, kt_reg tile, kt_reg column, kt_reg sum,
                      kt_reg mask) {
    (void)mask; /* the panel is filled up with zeros, and there is room for it */
    const winograd *c = tiling->context;
    kt_loops *loops = lower->loops;
    int64_t width = kt_tile_width(tiling);
    kt_reg line = kt_plus(lower, kt_times_int(lower, c->point, c->rows), tile);
    kt_reg within = kt_loops_index(loops, KT_INDEX_SUB, column, kt_times_int(lower, c->column_tile, width));
    kt_reg at = kt_plus_int(lower, kt_plus(lower, kt_times_int(lower, line, width), within), c->sums);
    if (c->bytes)
        kt_loops_store_words(loops, tiling->a, at, sum);
    else
        kt_loops_store(loops, tiling->a, at, sum, 0);
}

static void multiply(kt_lower *lower, winograd *c, kt_reg tiles) {
    kt_loops *loops = lower->loops;
    kt_reg points = kt_loops_int(loops, all_points(c));
    c->point = kt_lower_begin(lower, kt_loops_int(loops, 0), points, 1, "points");
    kt_reg a = kt_times_int(lower, c->point, c->rows * c->depth);
    kt_reg b = kt_times_int(lower, c->point, c->depth * c->panel);
    kt_tile_block(lower, &c->tiling, a, b, tiles, c->column_tile, kt_plus_int(lower, c->column_tile, 1));
    kt_lower_end(lower);
}

/* ---- 3: outputs ------------------------------------------------------------------------------ */

typedef struct output_turn {
    const winograd *c;
    tile_place place;
    kt_reg from, feature; /* the tile's first sum, and its feature */
} output_turn;

/* Opens a block where the row or column may lie outside of the result; false: no block. */
static bool begin_inside(kt_lower *lower, const winograd *c, int axis, kt_reg at) {
    kt_dim size = c->result->dims[axis];
    if (kt_dim_divisor(lower->dims, size) % c->w[axis - 1].tile == 0) return false;
    kt_lower_if(lower, kt_loops_index(lower->loops, KT_INDEX_LT, at, kt_loops_dim(lower->loops, size)));
    return true;
}

static kt_reg load_sum(kt_lower *lower, const winograd *c, kt_reg at) {
    return c->bytes ? kt_loops_load_words(lower->loops, c->tiling.a, at, c->tiling.lanes)
                    : kt_loops_load(lower->loops, c->tiling.a, at, c->tiling.lanes, 0);
}

/* What is 576 times as large, modulo 2^32. */
static kt_reg divide(kt_lower *lower, kt_reg value) {
    kt_loops *loops = lower->loops;
    int lanes = kt_loops_lanes(loops, value);
    value = combine(lower, KT_OP_mul, value, kt_loops_const(loops, KT_I32, lanes, KT_WINOGRAD_NINTH));
    return combine(lower, KT_OP_shift_right, value, kt_loops_const(loops, KT_I32, lanes, KT_WINOGRAD_SHIFT));
}

static void make_outputs(kt_lower *lower, kt_reg feature, kt_reg mask, void *context) {
    const output_turn *turn = context;
    const winograd *c = turn->c;
    kt_reg values[MOST][MOST] = {{0}}, from = kt_plus(lower, turn->from, feature);
    int points = c->w[1].points, high = c->w[0].tile, wide = c->w[1].tile;
    int64_t step = c->rows * kt_tile_width(&c->tiling);
    for (int64_t p = 0; p < all_points(c); p++)
        values[p / points][p % points] = load_sum(lower, c, kt_plus_int(lower, from, p * step));
    apply_both(lower, c->w, apply_output, true, values);
    kt_position at = kt_position_origin(lower, 4, c->result->dims, c->tiling.lanes);
    at.mask = mask;
    at.at[0] = kt_axis_at(turn->place.image, 0);
    at.at[3] = kt_axis_at(kt_plus(lower, turn->feature, feature), c->tiling.lanes > 1);
    for (int i = 0; i < high; i++) {
        kt_reg row = kt_plus_int(lower, kt_times_int(lower, turn->place.row, high), i);
        bool guarded_row = begin_inside(lower, c, 1, row);
        at.at[1] = kt_axis_at(row, 0);
        for (int j = 0; j < wide; j++) {
            kt_reg column = kt_plus_int(lower, kt_times_int(lower, turn->place.column, wide), j);
            bool guarded = begin_inside(lower, c, 2, column);
            at.at[2] = kt_axis_at(column, 0);
            kt_lower_epilogue(lower, c->heavy, &at, c->bytes ? divide(lower, values[i][j]) : values[i][j]);
            if (guarded) kt_lower_end(lower);
        }
        if (guarded_row) kt_lower_end(lower);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

static void emit_inputs(kt_lower *lower, const winograd *c, kt_reg first_tile, kt_reg tiles) {
    kt_loops *loops = lower->loops;
    kt_reg zero = kt_loops_int(loops, 0), channels = kt_loops_int(loops, c->channels);
    kt_reg tile = kt_lower_begin(lower, zero, tiles, 1, "tiles");
    tile_place place = find_tile(lower, c, kt_plus(lower, first_tile, tile));
    int lanes = c->tiling.lanes * (int)c->pair;
    while (lanes > c->tiling.lanes && c->channels % lanes != 0) lanes /= 2;
    const kt_dim *sizes = c->x->dims;
    input_turn inputs = {.c = c,
                         .to = kt_times_int(lower, tile, c->channels),
                         .rows = find_side(lower, c, 0, place.row, kt_product(lower, sizes, 2, 4)),
                         .columns = find_side(lower, c, 1, place.column, sizes[3]),
                         .lanes = lanes};
    inputs.from = kt_plus(lower, kt_times_dim(lower, place.image, kt_product(lower, sizes, 1, 4)),
                          kt_plus(lower, inputs.rows.first, inputs.columns.first));
    kt_lower_vector_loop(lower, zero, channels, lanes, transform_inputs, &inputs, "channels");
    kt_lower_end(lower);
}

/* The columns of the tiles that emit_inputs has transformed. */
static void emit_columns(kt_lower *lower, winograd *c, kt_reg first_tile, kt_reg tiles, kt_reg first_column,
                         kt_reg last_column) {
    kt_loops *loops = lower->loops;
    kt_reg zero = kt_loops_int(loops, 0);
    int lanes = c->tiling.lanes;
    int64_t width = kt_tile_width(&c->tiling);
    c->column_tile = kt_lower_begin(lower, first_column, last_column, 1, "columns");
    multiply(lower, c, tiles);
    kt_reg tile = kt_lower_begin(lower, zero, tiles, 1, "tiles");
    output_turn outputs = {.c = c,
                           .place = find_tile(lower, c, kt_plus(lower, first_tile, tile)),
                           .from = kt_plus_int(lower, kt_times_int(lower, tile, width), c->sums),
                           .feature = kt_times_int(lower, c->column_tile, width)};
    kt_reg rest = kt_loops_index(loops, KT_INDEX_SUB, kt_loops_int(loops, c->features), outputs.feature);
    kt_reg count = c->features % width == 0
                       ? kt_loops_int(loops, width)
                       : kt_loops_index(loops, KT_INDEX_MIN, rest, kt_loops_int(loops, width));
    kt_lower_vector_loop(lower, zero, count, lanes, make_outputs, &outputs, "features");
    kt_lower_end(lower);
    kt_lower_end(lower);
}

static bool is_large(const winograd *c) {
    return all_points(c) * c->depth * c->features * (int64_t)kt_dtype_bytes(c->tiling.dtype) > KEPT_BYTES;
}

/* How many tiles a unit takes. Those of an image fall evenly into units, unless they are too few. */
static int64_t unit_tiles(kt_lower *lower, const winograd *c) {
    int64_t bytes =
        all_points(c) * (c->depth + kt_tile_width(&c->tiling)) * (int64_t)kt_dtype_bytes(c->tiling.dtype);
    int64_t tiles = c->bytes ? MOST_TILES_OF_BYTES : MOST_TILES;
    int64_t room = KT_SCRATCH_BYTES / bytes, most = room < tiles || is_large(c) ? room : tiles,
            all = kt_dim_divisor(lower->dims, c->tiles);
    if (!is_large(c) && all / 2 >= LEAST_TILES && most > all / 2) most = all / 2;
    if (most < 1) most = 1;
    bool few = 2 * all < most && !kt_dim_is_const(lower->dims, c->tiles, NULL);
    return kt_choose(&lower->loops->choice, KT_KNOB_high, few ? most : kt_unit_share(all, most),
                     (kt_range){.least = 1, .most = room > 1 ? room : 1},
                     "tiles fall evenly into units, which the cache keeps");
}

/* Blocks of tiles by blocks of columns, each in units of some columns, in turn. The first unit that a part
 * has of a block transforms its tiles. */
static void emit_units(kt_lower *lower, winograd *c) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    int64_t width = kt_tile_width(&c->tiling), points = all_points(c);
    int64_t column_tiles = kt_divide_up(c->features, width),
            most = is_large(c) ? column_tiles : BLOCK_FEATURES / width;
    int64_t wide = kt_divide_up(column_tiles, kt_divide_up(column_tiles, most > 1 ? most : 1));
    wide = kt_choose(&loops->choice, KT_KNOB_wide, wide, (kt_range){.least = 1, .most = column_tiles},
                     "features enough to share transformed tiles");
    int64_t column_blocks = kt_divide_up(column_tiles, wide);
    int64_t units_a_block = kt_divide_up(wide, UNIT_PRODUCTS / (points * c->rows * c->depth * width) + 1);
    int64_t narrow =
        kt_choose(&loops->choice, KT_KNOB_narrow, kt_divide_up(wide, units_a_block),
                  (kt_range){.least = 1, .most = wide}, "products enough for a unit"); /* of a unit */
    units_a_block = kt_divide_up(wide, narrow);
    kt_dim tile_blocks = kt_dim_ceildiv(dims, c->tiles, kt_dim_const(dims, c->rows));
    kt_dim units = kt_dim_mul_const(dims, tile_blocks, column_blocks * units_a_block);
    loops->leading = column_blocks * units_a_block == 1;
    int64_t work = points * (c->depth + 8) * (c->features + 8);
    loops->cost = kt_dim_ceildiv(dims, kt_dim_mul_const(dims, c->tiles, work),
                                 kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)c->tiling.lanes));
    kt_reg zero = kt_loops_int(loops, 0), one = kt_loops_int(loops, 1);
    kt_cell transformed = kt_loops_cell(loops, "transformed", KT_I64, 1, 1); /* the block whose tiles are */
    if (units_a_block > 1) kt_loops_set(loops, transformed, 0, kt_loops_int(loops, -1));
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, zero, kt_loops_dim(loops, units), one, "units");
    kt_reg block = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_int(loops, units_a_block));
    kt_reg blocks = kt_loops_dim(loops, tile_blocks);
    kt_reg first_tile = kt_times_int(lower, kt_loops_index(loops, KT_INDEX_MOD, block, blocks), c->rows);
    kt_reg tiles = kt_loops_index(loops, KT_INDEX_SUB, kt_loops_dim(loops, c->tiles), first_tile);
    tiles = kt_dim_divisor(dims, c->tiles) % c->rows == 0
                ? kt_loops_int(loops, c->rows)
                : kt_loops_index(loops, KT_INDEX_MIN, tiles, kt_loops_int(loops, c->rows));
    if (units_a_block > 1) {
        kt_reg known = kt_loops_get(loops, transformed, 0);
        kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, known, block));
    }
    emit_inputs(lower, c, first_tile, tiles);
    if (units_a_block > 1) {
        kt_lower_end(lower);
        kt_loops_set(loops, transformed, 0, block);
    }
    kt_reg first = kt_times_int(lower, kt_loops_index(loops, KT_INDEX_DIV, block, blocks), wide);
    kt_reg end = kt_loops_index(loops, KT_INDEX_MIN, kt_plus_int(lower, first, wide),
                                kt_loops_int(loops, column_tiles));
    first = kt_plus(
        lower, first,
        kt_times_int(lower, kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_int(loops, units_a_block)),
                     narrow));
    kt_reg last = kt_loops_index(loops, KT_INDEX_MIN, kt_plus_int(lower, first, narrow), end);
    emit_columns(lower, c, first_tile, tiles, first, last);
    kt_loops_end(loops);
}

bool kt_lower_winograd_root(kt_lower *lower, const kt_node_info *node) {
    const kt_attrs_winograd *attrs = node->attrs;
    kt_dim_pool *dims = lower->dims;
    bool bytes = kt_graph_type(lower->graph, node->operands[0])->dtype == KT_U8;
    winograd c = {.bytes = bytes,
                  .pair = bytes ? KT_WINOGRAD_PAIR : 1,
                  .tiling = {.words = bytes, .shorts = bytes},
                  .heavy = node->first_result,
                  .x = kt_graph_type(lower->graph, node->operands[0]),
                  .kernel = kt_graph_type(lower->graph, node->operands[1]),
                  .result = kt_graph_type(lower->graph, node->first_result),
                  .features = attrs->columns};
    int64_t input = kt_lower_buffer(lower, node->operands[0]),
            kernel = kt_lower_buffer(lower, node->operands[1]);
    if (kt_dim_equals(dims, c.x->dims[0], 0)) return true; /* no images */
    KT_ASSERT(input >= 0 && kernel >= 0 && kt_lower_has_epilogue_only(lower, node));
    c.input = (uint32_t)input;
    kt_dim_is_const(dims, c.kernel->dims[2], &c.depth);
    kt_dim_is_const(dims, c.kernel->dims[3], &c.panel);
    for (int i = 0; i < 2; i++) {
        c.low[i] = attrs->low.at[i];
        c.w[i] = kt_winograd_make((int)attrs->tile, (int)attrs->line, i, bytes);
    }
    c.channels = c.depth * c.pair;
    c.panel /= c.pair;
    c.tiles_wide = kt_dim_ceildiv(dims, c.result->dims[2], kt_dim_const(dims, c.w[1].tile));
    c.tiles = kt_dim_ceildiv(dims, c.result->dims[1], kt_dim_const(dims, c.w[0].tile));
    c.tiles = kt_dim_mul(dims, c.tiles, c.tiles_wide);
    c.tiles = kt_dim_mul(dims, c.tiles, c.x->dims[0]);
    lower->loops->choice.form = "Winograd's tiles";
    kt_tiling_init(lower, &c.tiling, kt_accumulator(c.result->dtype), c.panel,
                   kt_dim_const(dims, c.features));
    c.rows = unit_tiles(lower, &c);
    int64_t points = all_points(&c);
    c.sums = points * c.rows * c.depth;
    int64_t scratch = c.sums + points * c.rows * kt_tile_width(&c.tiling);
    c.tiling.a = kt_loops_scratch(lower->loops, bytes ? KT_I16 : c.tiling.dtype, scratch * c.pair);
    c.tiling.b = (uint32_t)kernel;
    c.tiling.loops[0] = (kt_tile_loop){.extent = kt_dim_const(dims, c.depth),
                                       .a_stride = kt_dim_const(dims, 1),
                                       .b_stride = kt_dim_const(dims, c.panel)};
    c.tiling.loop_count = 1;
    c.tiling.row_stride = kt_dim_const(dims, c.depth);
    c.tiling.panel_stride = kt_dim_const(dims, points * c.depth * c.panel);
    c.tiling.prefetch = true;
    if (is_large(&c)) c.tiling.next = c.depth * c.panel;
    c.tiling.served = c.rows;
    c.tiling.store = store_sum;
    c.tiling.context = &c;
    emit_units(lower, &c);
    return true;
}

kt_reg kt_lower_winograd(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    (void)node, (void)at;
    KT_BUG("kernel %s uses winograd at a position", lower->kernel->name);
}
