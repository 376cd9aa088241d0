/* dot_general: as a value at a position (any axes, any dtype), and as a root by tiles, where the operands are
 * parameters in canonical order: [batch…, rows…, depth…] and [batch…, depth…, columns…] or packed panels.
 *
 * Work is cut into blocks of rows times blocks of column tiles; a column block is about what the second-level
 * cache holds, and all rows of a unit pass over it. Threads take blocks of rows where there are several, with
 * all columns of each, so that they find in their caches what they wrote in the steps before. */
#include "codegen/lower/lower_impl.h"

enum {
    BLOCK_BYTES = 192 * 1024,   /* of B, in a unit */
    WHOLE_BYTES = 256 * 1024,   /* of B, where units are rows */
    HALVED_ROWS = 128,          /* as many or more go into two units at least */
    HALVED_SAMPLE = 48,         /* the same of a sample's rows */
    BLOCK_TILES = 16,           /* of rows, in a unit */
    MOST_BLOCK_TILES = 1 << 12, /* where their number is not known */
    INLINE_WEIGHT = 24,         /* a heavier epilogue gets a loop of its own */
    REPEATED_WEIGHT = 12, /* so does this, where there would be many copies of it: of each height of tiles */
    DEEP_LEAST_ROWS = 8,  /* of what is packed as it is multiplied */
    DEEP_LEAST_COLUMNS = 8,
    DEEP_LEAST_DEPTH = 48,
};

/* ---- at a position --------------------------------------------------------------------------- */

/* Maps result axes to an operand's: batch axes, then the free ones from result axis next on. */
static int map_axes(const kt_ints *batch, const kt_ints *contract, int rank, int next, int result_rank,
                    int *map) {
    for (int axis = 0; axis < result_rank; axis++) map[axis] = -1;
    for (uint32_t i = 0; i < batch->count; i++) map[i] = (int)batch->at[i];
    for (int axis = 0; axis < rank; axis++)
        if (!kt_ints_hold(batch, axis) && !kt_ints_hold(contract, axis)) map[next++] = axis;
    return next;
}

/* The row-major number of the contracted element, for a packed operand. */
static kt_reg depth_number(kt_lower *lower, const kt_type *x, const kt_ints *contract,
                           const kt_position *from) {
    kt_reg number = kt_loops_int(lower->loops, 0);
    for (uint32_t i = 0; i < contract->count; i++) {
        int axis = (int)contract->at[i];
        number =
            kt_loops_index(lower->loops, KT_INDEX_MUL, number, kt_loops_dim(lower->loops, x->dims[axis]));
        number = kt_loops_index(lower->loops, KT_INDEX_ADD, number, from->at[axis].at);
    }
    return number;
}

/* The place of (depth, column) in packed panels; first_panel is added to the panel's number. word: how many
 * elements of the depth lie side by side. */
static kt_position packed_place(kt_lower *lower, const kt_type *type, int64_t word, kt_reg depth,
                                kt_reg column, kt_reg first_panel, int lanes) {
    kt_loops *loops = lower->loops;
    kt_position at = kt_position_origin(lower, 3, type->dims, lanes);
    kt_reg side_by_side = kt_loops_int(loops, word);
    kt_reg width = kt_loops_index(loops, KT_INDEX_DIV, kt_loops_dim(loops, type->dims[2]), side_by_side);
    kt_reg panel = kt_loops_index(loops, KT_INDEX_DIV, column, width);
    kt_reg inside = kt_loops_index(loops, KT_INDEX_MOD, column, width);
    at.at[0].at = kt_loops_index(loops, KT_INDEX_ADD, panel, first_panel);
    at.at[1].at = kt_loops_index(loops, KT_INDEX_DIV, depth, side_by_side);
    at.at[2].at =
        kt_loops_index(loops, KT_INDEX_ADD, kt_loops_index(loops, KT_INDEX_MUL, inside, side_by_side),
                       kt_loops_index(loops, KT_INDEX_MOD, depth, side_by_side));
    return at;
}

int64_t kt_lower_word(const kt_lower *lower, const kt_node_info *node) {
    const kt_type *x = kt_graph_type(lower->graph, node->operands[0]);
    const kt_type *y = kt_graph_type(lower->graph, node->operands[1]);
    return kt_product_word(x, y, kt_graph_type(lower->graph, node->first_result)->dtype != x->dtype);
}

kt_reg kt_lower_packed(kt_lower *lower, const kt_node_info *node, kt_reg depth, kt_reg column,
                       kt_reg first_panel, const kt_position *at) {
    kt_value packed = node->operands[1];
    const kt_type *type = kt_graph_type(lower->graph, packed);
    kt_position place =
        packed_place(lower, type, kt_lower_word(lower, node), depth, column, first_panel, at->lanes);
    place.mask = at->mask;
    place.guard = at->guard;
    return kt_lower_value(lower, packed, &place);
}

kt_reg kt_lower_dot_general(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_dot_general *attrs = node->attrs;
    const kt_type *x = kt_graph_type(lower->graph, node->operands[0]);
    const kt_type *y = kt_graph_type(lower->graph, node->operands[1]);
    kt_loops *loops = lower->loops;
    kt_dtype wanted = kt_graph_type(lower->graph, node->first_result)->dtype, dtype = kt_accumulator(wanted);
    int map[KT_MAX_RANK];
    int next = map_axes(&attrs->lhs_batch, &attrs->lhs_contract, x->rank, (int)attrs->lhs_batch.count,
                        at->rank, map);
    kt_position left = kt_position_map(lower, at, map, x->rank, x->dims), right = left;
    if (attrs->panel == 0) {
        map_axes(&attrs->rhs_batch, &attrs->rhs_contract, y->rank, next, at->rank, map);
        right = kt_position_map(lower, at, map, y->rank, y->dims);
    }
    kt_position columns = *at;
    if (attrs->panel) kt_position_isolate(lower, &columns, at->rank - 1);
    kt_cell cell = kt_loops_cell(loops, "sum", dtype, at->lanes, 1);
    kt_loops_set(loops, cell, 0, kt_loops_const(loops, dtype, at->lanes, 0));
    for (uint32_t i = 0; i < attrs->lhs_contract.count; i++) {
        int axis = (int)attrs->lhs_contract.at[i];
        kt_reg k = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_dim(loops, x->dims[axis]), 1, "k");
        left.at[axis] = kt_axis_at(k, 0);
        if (attrs->panel == 0) right.at[attrs->rhs_contract.at[i]] = kt_axis_at(k, 0);
    }
    kt_reg a = kt_lower_value(lower, node->operands[0], &left), b;
    if (attrs->panel) {
        kt_reg column = kt_axis_lanes(lower, columns.at[at->rank - 1], at->lanes);
        b = kt_lower_packed(lower, node, depth_number(lower, x, &attrs->lhs_contract, &left), column,
                            kt_loops_int(loops, 0), at);
    } else {
        b = kt_lower_value(lower, node->operands[1], &right);
    }
    a = kt_loops_apply(loops, KT_OP_cast, dtype, a, 0, 0);
    b = kt_loops_apply(loops, KT_OP_cast, dtype, b, 0, 0);
    kt_add_product(lower, cell, 0, a, b);
    for (uint32_t i = 0; i < attrs->lhs_contract.count; i++) kt_lower_end(lower);
    return kt_loops_apply(loops, KT_OP_cast, wanted, kt_loops_get(loops, cell, 0), 0, 0);
}

/* ---- epilogues ------------------------------------------------------------------------------- */

/* Whether any operand is among the marked values; marks are numbered from first on. */
static bool is_marked(const kt_node_info *node, const bool *marks, kt_value first, uint32_t count) {
    for (uint32_t i = 0; i < node->operand_count; i++)
        if (node->operands[i] >= first && node->operands[i] - first < count &&
            marks[node->operands[i] - first])
            return true;
    return false;
}

/* A result's value in the order of the heavy operation's axes: before the transpose that may end the kernel.
 * That transpose keeps the last axis, so that vectors stay whole. */
static kt_value before_transpose(const kt_lower *lower, kt_value result) {
    const kt_node_info *node = kt_graph_definition(lower->graph, result);
    if (!node || node->op != KT_OP_transpose) return result;
    const kt_ints *axes = &((const kt_attrs_transpose *)node->attrs)->axes;
    return axes->at[axes->count - 1] == (int64_t)axes->count - 1 ? node->operands[0] : result;
}

static bool transposes_result(const kt_lower *lower) {
    for (uint32_t i = 0; i < lower->kernel->results.count; i++) {
        kt_value value = lower->kernel->results.at[i].value;
        if (before_transpose(lower, value) != value) return true;
    }
    return false;
}

static bool ends_kernel(const kt_lower *lower, kt_value value) {
    for (uint32_t i = 0; i < lower->kernel->results.count; i++)
        if (lower->kernel->results.at[i].value == value) return before_transpose(lower, value) != value;
    return false;
}

/* Where result number i has what stands at a position of the heavy value. */
static kt_reg result_index(kt_lower *lower, uint32_t i, const kt_position *at) {
    kt_value result = lower->kernel->results.at[i].value;
    if (before_transpose(lower, result) == result) return kt_position_in_whole(lower, &lower->parts[i], at);
    const kt_ints *axes =
        &((const kt_attrs_transpose *)kt_graph_definition(lower->graph, result)->attrs)->axes;
    const kt_type *type = kt_graph_type(lower->graph, result);
    int map[KT_MAX_RANK];
    for (int axis = 0; axis < type->rank; axis++) map[axes->at[axis]] = axis;
    kt_position moved = kt_position_map(lower, at, map, type->rank, type->dims);
    return kt_position_linear(lower, &moved).at;
}

/* What depends on the heavy value must be elementwise: a view of it would read sums of other tiles. */
static bool is_epilogue(const kt_lower *lower, const kt_node_info *heavy) {
    const kt_function *kernel = lower->kernel;
    kt_value first = UINT32_MAX, last = 0;
    for (uint32_t i = 0; i < kernel->nodes.count; i++) {
        kt_value value = kt_graph_node(lower->graph, kernel->nodes.at[i])->first_result;
        if (value < first) first = value;
        if (value > last) last = value;
    }
    uint32_t count = last - first + 1;
    bool *marks = KT_NEW_ARRAY(lower->arena, bool, count);
    for (uint32_t i = 0; i < kernel->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(lower->graph, kernel->nodes.at[i]);
        bool depends = node == heavy || is_marked(node, marks, first, count);
        bool moves =
            depends && !kt_op_is(node->op, KT_ELEMENTWISE) && !ends_kernel(lower, node->first_result);
        if (node != heavy && moves) return false;
        marks[node->first_result - first] = depends;
    }
    return true;
}

bool kt_lower_has_epilogue_only(const kt_lower *lower, const kt_node_info *heavy) {
    const kt_type *type = kt_graph_type(lower->graph, heavy->first_result);
    for (int axis = 0; axis < type->rank; axis++)
        if (kt_dim_equals(lower->dims, type->dims[axis], 0)) return false;
    for (uint32_t i = 0; i < lower->kernel->results.count; i++) {
        kt_value value = before_transpose(lower, lower->kernel->results.at[i].value);
        const kt_type *result = kt_graph_type(lower->graph, value);
        if (result->rank != type->rank) return false;
        for (int axis = 0; axis < type->rank; axis++)
            if (result->dims[axis] != type->dims[axis]) return false;
    }
    return is_epilogue(lower, heavy);
}

void kt_lower_epilogue(kt_lower *lower, kt_value heavy, const kt_position *at, kt_reg sum) {
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_graph_type(lower->graph, heavy)->dtype;
    kt_lower_know(lower, heavy, at, kt_loops_apply(loops, KT_OP_cast, dtype, sum, 0, 0));
    for (uint32_t i = 0; i < lower->kernel->results.count; i++) {
        kt_reg value = kt_lower_value(lower, before_transpose(lower, lower->kernel->results.at[i].value), at);
        value = kt_loops_splat(loops, value, at->lanes);
        kt_loops_store(loops, lower->kernel->params.count + i, result_index(lower, i, at), value, at->mask);
    }
}

/* ---- products by tiles ----------------------------------------------------------------------- */

typedef struct product {
    const kt_product_shape *shape;
    kt_reg batch, row;    /* of the unit */
    bool deferred;        /* sums are stored as they are; a loop over the unit applies the epilogue */
    uint32_t deferred_to; /* the number of the result that they are stored as */
} product;

kt_position kt_lower_product_place(kt_lower *lower, const kt_product_shape *shape, kt_reg batch, kt_reg row,
                                   kt_reg column, int lanes, kt_reg mask) {
    const kt_type *type = kt_graph_type(lower->graph, shape->heavy);
    kt_position at = kt_position_origin(lower, type->rank, type->dims, lanes);
    int rows_end = shape->batch_axes + shape->row_axes;
    at.mask = mask;
    for (int axis = 0; axis + 1 < type->rank; axis++)
        if (axis + 1 != shape->batch_axes && axis + 1 != rows_end) at.merged |= 1U << axis;
    if (shape->batch_axes > 0) at.at[shape->batch_axes - 1] = kt_axis_at(batch, 0);
    if (shape->row_axes > 0) at.at[rows_end - 1] = kt_axis_at(row, 0);
    if (rows_end < type->rank) at.at[type->rank - 1] = kt_axis_at(column, lanes > 1);
    return at;
}

/* Of a row of the unit. */
static kt_position result_place(kt_lower *lower, const product *p, kt_reg row, kt_reg column, int lanes,
                                kt_reg mask) {
    return kt_lower_product_place(lower, p->shape, p->batch, kt_plus(lower, p->row, row), column, lanes,
                                  mask);
}

static void store_sum(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                      kt_reg mask) {
    const product *p = tiling->context;
    kt_position at = result_place(lower, p, row, column, tiling->lanes, mask);
    uint32_t to = p->deferred_to;
    if (p->deferred)
        kt_loops_store(lower->loops, lower->kernel->params.count + to, result_index(lower, to, &at), sum,
                       mask);
    else
        kt_lower_epilogue(lower, p->shape->heavy, &at, sum);
}

typedef struct finish {
    const product *p;
    kt_reg row;
    int lanes;
} finish;

static void finish_turn(kt_lower *lower, kt_reg column, kt_reg mask, void *context) {
    const finish *f = context;
    kt_position at = result_place(lower, f->p, f->row, column, f->lanes, mask);
    uint32_t from = f->p->deferred_to;
    kt_reg place = result_index(lower, from, &at);
    kt_reg sum = kt_loops_load(lower->loops, lower->kernel->params.count + from, place, f->lanes, mask);
    kt_lower_epilogue(lower, f->p->shape->heavy, &at, sum);
}

/* Applies the epilogue to the block that was just stored. */
static void finish_block(kt_lower *lower, const kt_tiling *tiling, kt_reg rows, kt_reg first, kt_reg last,
                         kt_dim block_columns) {
    kt_loops *loops = lower->loops;
    finish f = {.p = tiling->context, .lanes = kt_lower_lanes(lower, 4, block_columns)};
    kt_reg width = kt_loops_int(loops, kt_tile_width(tiling)), columns = kt_loops_dim(loops, tiling->columns);
    kt_reg begin = kt_loops_index(loops, KT_INDEX_MUL, first, width);
    kt_reg end = kt_loops_index(loops, KT_INDEX_MUL, last, width);
    end = kt_loops_index(loops, KT_INDEX_MIN, end, columns);
    f.row = kt_lower_begin(lower, kt_loops_int(loops, 0), rows, 1, "epilogue");
    kt_lower_vector_loop(lower, begin, end, f.lanes, finish_turn, &f, "columns");
    kt_lower_end(lower);
}

/* Is the epilogue to have a loop of its own? Sums wait in a result that can hold them. */
static void choose_deferring(kt_lower *lower, product *p, const kt_tiling *tiling, bool even) {
    int most = even ? INLINE_WEIGHT : REPEATED_WEIGHT;
    const kt_function *kernel = lower->kernel;
    if (kt_graph_type(lower->graph, p->shape->heavy)->dtype != tiling->dtype || kernel->nodes.count == 1)
        return;
    uint32_t to = 0;
    while (to < kernel->results.count &&
           kt_graph_type(lower->graph, kernel->results.at[to].value)->dtype != tiling->dtype)
        to++;
    if (to == kernel->results.count) return;
    p->deferred_to = to;
    p->deferred = kt_choose(&lower->loops->choice, KT_KNOB_apart, kt_lower_weight(lower) > most,
                            (kt_range){.most = 1}, "by how much follows the product") != 0;
}

/* Do a sample's rows go into two units, so that threads can share them? Of an unknown number of rows, those
 * that divide it are a sample's. */
static bool halves_sample(kt_lower *lower, kt_dim rows, int64_t *out_half) {
    int64_t known, divisor = kt_dim_divisor(lower->dims, rows);
    *out_half = kt_divide_up(divisor, 2);
    return !kt_dim_is_const(lower->dims, rows, &known) && divisor >= HALVED_SAMPLE;
}

/* How many column tiles make a block: as many as whole panels have. */
static int64_t block_tiles(kt_lower *lower, const kt_tiling *tiling, kt_dim rows, kt_dim depth,
                           kt_dim tiles) {
    int64_t deep = 128, all = 0, known = 0, half;
    kt_dim_is_const(lower->dims, rows, &known);
    kt_dim_is_const(lower->dims, depth, &deep);
    int64_t tile = kt_tile_width(tiling) * (int64_t)kt_dtype_bytes(tiling->dtype);
    int64_t bytes = kt_size_mul(deep > 0 ? deep : 1, tile);
    int64_t count = bytes < BLOCK_BYTES ? BLOCK_BYTES / bytes : 1;
    if (kt_dim_is_const(lower->dims, tiles, &all) && all > 0) {
        bool whole = known >= HALVED_ROWS || halves_sample(lower, rows, &half);
        whole = whole && kt_size_mul(all, bytes) <= WHOLE_BYTES;
        count = whole ? all : kt_unit_share(all, count < all ? count : all);
    } else if (count > 2) {
        count = (count + 3) / 4 * 4;
    }
    int64_t in_panel = tiling->panel ? tiling->panel / kt_tile_width(tiling) : 1,
            most = kt_divide_up(all > 0 ? all : MOST_BLOCK_TILES, in_panel) * in_panel;
    return kt_choose(&lower->loops->choice, KT_KNOB_wide, kt_divide_up(count, in_panel) * in_panel,
                     (kt_range){.least = in_panel, .most = most, .step = in_panel},
                     "what the cache keeps of B");
}

/* About BLOCK_TILES tiles, and where that can be an even part of all rows, so that tiles of two heights at
 * most are needed. */
static int64_t wanted_rows(kt_lower *lower, const kt_tiling *tiling, kt_dim rows) {
    int64_t wanted = (int64_t)tiling->rows * BLOCK_TILES, known, best = wanted, least_idle = tiling->rows;
    if (kt_dim_is_const(lower->dims, rows, &known)) {
        if (known >= HALVED_ROWS && wanted > kt_divide_up(known, 2)) wanted = kt_divide_up(known, 2);
        return kt_unit_share(known, wanted);
    }
    int64_t divisor = kt_dim_divisor(lower->dims, rows), half;
    if (halves_sample(lower, rows, &half) && half < wanted) return half;
    for (int64_t high = wanted / 2; divisor > 0 && high <= wanted * 2; high++) {
        /* Rows that would still fit into the block's tiles, of as many as are wanted. */
        int64_t idle = (tiling->rows - high % tiling->rows) % tiling->rows * wanted / high;
        if (divisor % high != 0 || idle > least_idle) continue;
        best = high;
        least_idle = idle;
    }
    return best;
}

/* How many rows make a block. */
static kt_dim block_rows(kt_lower *lower, const kt_tiling *tiling, kt_dim rows) {
    int64_t known = 0, wanted = wanted_rows(lower, tiling, rows);
    kt_dim_is_const(lower->dims, rows, &known);
    return kt_dim_const(lower->dims,
                        kt_choose(&lower->loops->choice, KT_KNOB_high, wanted,
                                  (kt_range){.least = 1, .most = known > 0 ? known : MOST_BLOCK_TILES},
                                  "some tiles, evenly"));
}

kt_reg kt_lower_matrix_begin(kt_lower *lower, const kt_product_shape *shape, kt_reg batch,
                             const kt_matrices *matrices) {
    kt_loops *loops = lower->loops;
    const kt_dim *extents = kt_graph_type(lower->graph, shape->heavy)->dims, *strides = matrices->batch;
    kt_reg begin = kt_loops_int(loops, 0), rest = batch;
    int last = shape->batch_axes - 1;
    bool even = true; /* one stride from matrix to matrix */
    for (int axis = 0; axis < last; axis++)
        even = even && strides[axis] == kt_dim_mul(lower->dims, strides[axis + 1], extents[axis + 1]);
    for (int axis = last; axis >= 0; axis--) {
        if (even) return kt_times_dim(lower, rest, strides[axis]);
        kt_reg extent = kt_loops_dim(loops, extents[axis]);
        kt_reg index = axis > 0 ? kt_loops_index(loops, KT_INDEX_MOD, rest, extent) : rest;
        begin = kt_plus(lower, begin, kt_times_dim(lower, index, strides[axis]));
        rest = kt_loops_index(loops, KT_INDEX_DIV, rest, extent);
    }
    return begin;
}

void kt_lower_product(kt_lower *lower, const kt_product_shape *shape) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    product p = {.shape = shape};
    kt_tiling tiling = {.a = shape->a.buffer,
                        .b = shape->b.buffer,
                        .row_stride = shape->a.rows,
                        .loop_count = 1,
                        .words = shape->words,
                        .store = store_sum,
                        .context = &p};
    kt_dtype dtype = kt_graph_type(lower->graph, shape->heavy)->dtype;
    loops->choice.form = "product of matrices";
    kt_tiling_init(lower, &tiling, kt_accumulator(dtype), shape->panel, shape->columns);
    tiling.loops[0] =
        (kt_tile_loop){.extent = shape->depth, .a_stride = shape->a.depth, .b_stride = shape->b.depth};
    tiling.panel_stride = kt_dim_mul(dims, shape->depth, shape->b.depth);
    tiling.prefetch = shape->panel != 0;
    tiling.whole_panels = true;
    kt_dim tiles = kt_dim_ceildiv(dims, shape->columns, kt_dim_const(dims, kt_tile_width(&tiling)));
    int64_t wide = block_tiles(lower, &tiling, shape->rows, shape->depth, tiles);
    kt_dim high = block_rows(lower, &tiling, shape->rows);
    bool even = kt_dim_equals(dims, kt_dim_mod(dims, shape->rows, high), 0);
    choose_deferring(lower, &p, &tiling, even);
    kt_dim row_blocks = kt_dim_ceildiv(dims, shape->rows, high);
    kt_dim column_blocks = kt_dim_ceildiv(dims, tiles, kt_dim_const(dims, wide));
    kt_dim per_batch = kt_dim_mul(dims, row_blocks, column_blocks);
    kt_dim units = kt_dim_mul(dims, shape->batch, per_batch);
    kt_dim work = kt_dim_mul(dims, kt_dim_mul(dims, shape->batch, shape->rows),
                             kt_dim_mul(dims, shape->depth, shape->columns));
    bool by_rows = kt_dim_at_least(dims, row_blocks, 2);
    loops->leading = by_rows || kt_dim_equals(dims, column_blocks, 1);
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)tiling.lanes));

    kt_reg zero = kt_loops_int(loops, 0);
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, zero, kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    kt_reg inner = kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_dim(loops, per_batch));
    p.batch = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_dim(loops, per_batch));
    kt_reg turns = kt_loops_dim(loops, by_rows ? column_blocks : row_blocks);
    kt_reg outer_block = kt_loops_index(loops, KT_INDEX_DIV, inner, turns);
    kt_reg inner_block = kt_loops_index(loops, KT_INDEX_MOD, inner, turns);
    kt_reg row_block = by_rows ? outer_block : inner_block,
           column_block = by_rows ? inner_block : outer_block;
    p.row = kt_loops_index(loops, KT_INDEX_MUL, row_block, kt_loops_dim(loops, high));
    kt_reg rows = kt_loops_index(loops, KT_INDEX_SUB, kt_loops_dim(loops, shape->rows), p.row);
    rows = kt_loops_index(loops, KT_INDEX_MIN, rows, kt_loops_dim(loops, high));
    kt_reg last, first = kt_part(lower, column_block, kt_dim_const(dims, wide), tiles, &last);
    kt_reg a = kt_plus(lower, kt_lower_matrix_begin(lower, shape, p.batch, &shape->a),
                       kt_times_dim(lower, p.row, shape->a.rows));
    kt_reg b = kt_lower_matrix_begin(lower, shape, p.batch, &shape->b);
    if (even) rows = kt_loops_dim(loops, high);
    kt_tile_block(lower, &tiling, a, b, rows, first, last);
    kt_dim block_columns = kt_dim_const(dims, wide * kt_tile_width(&tiling));
    if (p.deferred) finish_block(lower, &tiling, rows, first, last, block_columns);
    kt_loops_end(loops);
}

/* ---- products by columns --------------------------------------------------------------------- */

static kt_reg deep_rows(kt_lower *lower, const kt_deep_shape *deep, kt_reg batch) {
    const kt_product_shape *shape = deep->context;
    return kt_lower_matrix_begin(lower, shape, batch, &shape->a);
}

static kt_reg deep_columns(kt_lower *lower, const kt_deep_shape *deep, kt_reg batch) {
    const kt_product_shape *shape = deep->context;
    return kt_lower_matrix_begin(lower, shape, batch, &shape->b);
}

static kt_position deep_place(kt_lower *lower, const kt_deep_shape *deep, kt_reg batch, kt_reg row,
                              kt_reg column, int lanes) {
    product p = {.shape = deep->context, .batch = batch, .row = kt_loops_int(lower->loops, 0)};
    return result_place(lower, &p, row, column, lanes, 0);
}

/* At least this much, or not known? */
static bool is_large(const kt_lower *lower, kt_dim dim, int64_t least) {
    int64_t known;
    return !kt_dim_is_const(lower->dims, dim, &known) || known >= least;
}

/* Rows that lie side by side, so that reading along the depth jumps: worth packing, if there is something to
 * sum. */
static bool lower_deep(kt_lower *lower, const kt_product_shape *shape) {
    kt_dim_pool *dims = lower->dims;
    if (shape->panel || shape->row_axes == 0 || !kt_dim_equals(dims, shape->a.rows, 1) ||
        kt_dim_equals(dims, shape->a.depth, 1))
        return false;
    if (!is_large(lower, shape->rows, DEEP_LEAST_ROWS) ||
        !is_large(lower, shape->columns, DEEP_LEAST_COLUMNS) ||
        !is_large(lower, shape->depth, DEEP_LEAST_DEPTH))
        return false;
    const kt_deep_shape deep = {.heavy = shape->heavy,
                                .a = shape->a.buffer,
                                .b = shape->b.buffer,
                                .outer = shape->batch,
                                .rows = shape->rows,
                                .columns = shape->columns,
                                .axis_count = 1,
                                .axes = {{shape->depth, shape->a.depth, shape->b.depth, 0}},
                                .a_begin = deep_rows,
                                .b_begin = deep_columns,
                                .place = deep_place,
                                .context = shape};
    kt_lower_deep(lower, &deep);
    return true;
}

/* ---- products of words ----------------------------------------------------------------------- */

bool kt_lower_in_words(kt_lower *lower, int64_t word, kt_dim *dim) {
    kt_dim elements = kt_dim_const(lower->dims, word);
    if (!kt_dim_equals(lower->dims, kt_dim_mod(lower->dims, *dim, elements), 0)) return false;
    *dim = kt_dim_floordiv(lower->dims, *dim, elements);
    return true;
}

bool kt_lower_word_product(kt_lower *lower, const kt_product_shape *given, int64_t word) {
    kt_product_shape shape = *given;
    if (!shape.panel || shape.batch_axes > 0 || !kt_dim_equals(lower->dims, shape.a.depth, 1)) return false;
    if (!kt_lower_in_words(lower, word, &shape.depth) || !kt_lower_in_words(lower, word, &shape.a.rows))
        return false;
    shape.words = true;
    kt_lower_product(lower, &shape);
    return true;
}

/* ---- dot_general as a root ------------------------------------------------------------------- */

/* Are axes from, from + 1, … named in order? */
static bool are_consecutive(const kt_ints *axes, int from) {
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->at[i] != from + (int)i) return false;
    return true;
}

/* The buffer that value is read from and each axis's stride there, in elements; values that are neither
 * parameters nor transposes of such: false. */
static bool find_strides(kt_lower *lower, kt_value value, uint32_t *out_buffer, kt_dim *out_strides) {
    const kt_node_info *node = kt_graph_definition(lower->graph, value);
    const kt_attrs_transpose *moved = node && node->op == KT_OP_transpose ? node->attrs : NULL;
    int64_t buffer = kt_lower_buffer(lower, moved ? node->operands[0] : value);
    if (buffer < 0) return false;
    const kt_type *type = kt_graph_type(lower->graph, moved ? node->operands[0] : value);
    for (int axis = 0; axis < type->rank; axis++) {
        int from = moved ? (int)moved->axes.at[axis] : axis;
        out_strides[axis] = kt_product(lower, type->dims, from + 1, type->rank);
    }
    *out_buffer = (uint32_t)buffer;
    return true;
}

/* Are axes [begin, end) of type as one, given their strides? out_stride: its stride. */
static bool is_one_axis(kt_lower *lower, const kt_type *type, const kt_dim *strides, int begin, int end,
                        kt_dim *out_stride) {
    *out_stride = begin < end ? strides[end - 1] : kt_dim_const(lower->dims, 1);
    for (int axis = begin; axis + 1 < end; axis++)
        if (strides[axis] != kt_dim_mul(lower->dims, strides[axis + 1], type->dims[axis + 1])) return false;
    return true;
}

/* value as [batch, first, second] matrices; its axes from middle on are the second. */
static bool read_matrices(kt_lower *lower, kt_value value, int batch, int middle, kt_matrices *out_matrices,
                          kt_dim *out_first, kt_dim *out_second) {
    const kt_type *type = kt_graph_type(lower->graph, value);
    kt_dim strides[KT_MAX_RANK] = {0};
    if (!find_strides(lower, value, &out_matrices->buffer, strides)) return false;
    for (int axis = 0; axis < batch; axis++) out_matrices->batch[axis] = strides[axis];
    return is_one_axis(lower, type, strides, batch, middle, out_first) &&
           is_one_axis(lower, type, strides, middle, type->rank, out_second);
}

bool kt_lower_product_shape(kt_lower *lower, const kt_node_info *heavy, bool made,
                            kt_product_shape *out_shape) {
    const kt_attrs_dot_general *attrs = heavy->attrs;
    const kt_type *x = kt_graph_type(lower->graph, heavy->operands[0]);
    const kt_type *y = kt_graph_type(lower->graph, heavy->operands[1]);
    const kt_type *result = kt_graph_type(lower->graph, heavy->first_result);
    int batch = (int)attrs->lhs_batch.count, depth_axis = x->rank - (int)attrs->lhs_contract.count;
    int rows_end = depth_axis,
        right_rank = attrs->panel ? 1 : y->rank - batch - (int)attrs->lhs_contract.count;
    if (right_rank == 0) return false;
    if (!are_consecutive(&attrs->lhs_batch, 0) || !are_consecutive(&attrs->rhs_batch, 0)) return false;
    if (!are_consecutive(&attrs->lhs_contract, depth_axis)) return false;
    if (attrs->panel == 0 && !are_consecutive(&attrs->rhs_contract, batch)) return false;
    kt_matrices a = {0}, b;
    kt_dim column_stride = kt_dim_const(lower->dims, 1);
    if (!made && !read_matrices(lower, heavy->operands[0], batch, depth_axis, &a, &a.rows, &a.depth))
        return false;
    if (attrs->panel) {
        int64_t packed = kt_lower_buffer(lower, heavy->operands[1]);
        if (packed < 0) return false;
        b = (kt_matrices){.buffer = (uint32_t)packed, .depth = kt_dim_const(lower->dims, attrs->panel)};
    } else if (!read_matrices(lower, heavy->operands[1], batch, batch + (int)attrs->rhs_contract.count, &b,
                              &b.depth, &column_stride) ||
               !kt_dim_equals(lower->dims, column_stride, 1)) {
        return false;
    }
    *out_shape = (kt_product_shape){.heavy = heavy->first_result,
                                    .a = a,
                                    .b = b,
                                    .batch = kt_product(lower, x->dims, 0, batch),
                                    .rows = kt_product(lower, x->dims, batch, rows_end),
                                    .depth = kt_product(lower, x->dims, depth_axis, x->rank),
                                    .columns = kt_product(lower, result->dims, rows_end, result->rank),
                                    .panel = attrs->panel,
                                    .batch_axes = batch,
                                    .row_axes = rows_end - batch};
    return true;
}

bool kt_lower_dot_root(kt_lower *lower, const kt_node_info *heavy) {
    const kt_type *x = kt_graph_type(lower->graph, heavy->operands[0]);
    const kt_type *y = kt_graph_type(lower->graph, heavy->operands[1]);
    kt_product_shape shape;
    if (!kt_lower_has_epilogue_only(lower, heavy) || !kt_lower_product_shape(lower, heavy, false, &shape))
        return false;
    int64_t word = kt_lower_word(lower, heavy);
    if (word > 1 && kt_lower_word_product(lower, &shape, word)) return true;
    if (kt_multiplies_bytes(x, y) || (word > 1 && shape.panel)) return false;
    if (kt_lower_blas_product(lower, &shape) || lower_deep(lower, &shape)) return true;
    if (transposes_result(lower) || !kt_lower_dots(lower, &shape)) kt_lower_product(lower, &shape);
    return true;
}
