/* Sweeps over rows: what is reduced of a row along its last axis, and then what is made of each of its
 * elements and of that.
 *
 * A sweep waits at its end for the sum it makes, lanes and all, before the next one over the same row begins.
 * So short rows are swept in blocks, first all of them for the first reduction, then all for the second, and
 * so on: what is reduced of each row waits in scratch memory, and rows in the nearest cache. The last sweep
 * over a block stores, and the first over the next one loads: where the sweeps between take the core longer
 * than memory, these two are one, row by row. What costs much and several sweeps want, as a softmax's
 * exponentials, is kept for the row. */
#include "codegen/lower/lower_impl.h"

enum {
    MOST_KEPT = 16384,     /* elements of a row */
    BLOCK_BYTES = 4096,    /* of a block's rows; up to twice that, rather than one row alone */
    MOST_ROWS = 16,        /* of a block */
    LINE = 16,             /* elements */
    MOST_AHEAD = 1 << 14,  /* bytes of a row that waits in the nearest cache beside the one at hand, */
    MOST_BESIDE = 1 << 13, /* and beside what is made of that, too */
};

/* ---- what is kept ---------------------------------------------------------------------------- */

/* Is it the operand of a reduction along its last axis, and used elsewhere too? */
static bool is_swept_twice(const kt_lower *lower, kt_value value) {
    uint32_t last = 1U << (kt_graph_type(lower->graph, value)->rank - 1), users = 0;
    bool reduced = false;
    for (uint32_t i = 0; i < lower->kernel->results.count; i++)
        users += lower->kernel->results.at[i].value == value;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        for (uint32_t k = 0; k < node->operand_count; k++) {
            if (node->operands[k] != value) continue;
            users++;
            reduced = reduced || (node->op == KT_OP_reduce && kt_lower_reduced_axes(node) == last);
        }
    }
    return reduced && users > 1;
}

/* What costs much, has these dims, and is wanted by several sweeps over a row; 0: nothing is. */
static kt_value find_kept(const kt_lower *lower, int rank, const kt_dim *dims) {
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        const kt_type *type = kt_graph_type(lower->graph, node->first_result);
        bool row = kt_lower_is_costly(node->op) && type->rank == rank;
        for (int axis = 0; axis < rank && row; axis++) row = type->dims[axis] == dims[axis];
        if (row && is_swept_twice(lower, node->first_result)) return node->first_result;
    }
    return 0;
}

/* ---- what belongs to a row ------------------------------------------------------------------- */

/* What the node spreads over a row of this shape from one number; 0: it does not. */
static kt_value spread_over_row(const kt_lower *lower, const kt_node_info *node, int row_axes, int rank,
                                const kt_dim *dims) {
    if (node->op != KT_OP_broadcast) return 0;
    const kt_attrs_broadcast *attrs = node->attrs;
    const kt_type *from = kt_graph_type(lower->graph, node->operands[0]);
    if (kt_graph_type(lower->graph, node->first_result)->rank != rank) return 0;
    int left = 0;
    for (int axis = 0; axis < from->rank; axis++) {
        if (kt_dim_equals(lower->dims, from->dims[axis], 1)) continue;
        while (left < row_axes && kt_dim_equals(lower->dims, dims[left], 1)) left++;
        if (left == row_axes || attrs->axes.at[axis] != left || from->dims[axis] != dims[left]) return 0;
        left++;
    }
    while (left < row_axes && kt_dim_equals(lower->dims, dims[left], 1)) left++;
    return left == row_axes ? node->operands[0] : 0;
}

static kt_position row_position(kt_lower *lower, int row_axes, const kt_position *at) {
    kt_position row = kt_position_origin(lower, row_axes, at->dims, 1);
    row.merged = at->merged & ((1U << row_axes) - 1);
    for (int axis = 0; axis < row_axes; axis++) row.at[axis] = at->at[axis];
    return row;
}

/* Computes what the body spreads over a row from one number, before the row's loops begin. */
static void hoist_row(kt_lower *lower, int row_axes, const kt_position *at) {
    kt_position row = row_position(lower, row_axes, at);
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        kt_value value = spread_over_row(lower, kt_lower_node(lower, i), row_axes, at->rank, at->dims);
        if (value) kt_lower_value(lower, value, &row);
    }
}

/* ---- plans ----------------------------------------------------------------------------------- */

static bool has_reduced(const kt_rows *rows, kt_value value) {
    for (uint32_t i = 0; i < rows->count; i++)
        if (rows->reduced[i] == value) return true;
    return false;
}

/* What is computed and spread over rows, in order. False: it is too much, or not of one dtype. */
static bool find_reduced(const kt_lower *lower, kt_rows *rows, int rank, const kt_dim *dims) {
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        kt_value value = spread_over_row(lower, kt_lower_node(lower, i), rows->axes, rank, dims);
        if (!value || kt_lower_buffer(lower, value) >= 0 || has_reduced(rows, value)) continue;
        if (rows->count == KT_MOST_REDUCED) return false;
        if (kt_graph_type(lower->graph, value)->dtype != rows->dtype) return false;
        rows->reduced[rows->count++] = value;
    }
    return rows->count > 0;
}

kt_rows kt_rows_plan(const kt_lower *lower, int rank, const kt_dim *dims, int axes) {
    kt_rows rows = {.axes = axes, .block = 1, .dtype = KT_F32};
    int64_t columns;
    if (lower->loops->scratch_elements > 0 || axes != rank - 1 ||
        !kt_dim_is_const(lower->dims, dims[axes], &columns) || columns < 1 || columns > MOST_KEPT)
        return rows;
    rows.kept = find_kept(lower, rank, dims);
    if (rows.kept) rows.dtype = kt_graph_type(lower->graph, rows.kept)->dtype;
    /* Of whole turns, as sweeps store them: behind a row waits another. And not of a power of two: rows would
     * share a cache's sets. */
    rows.stride = kt_divide_up(columns, KT_ROW_SLACK) * KT_ROW_SLACK + LINE;
    int64_t bytes = columns * (int64_t)kt_dtype_bytes(rows.dtype), block = BLOCK_BYTES / bytes;
    /* Two rows of exponentials in narrow vectors take so long that memory would wait for them. */
    if (block < 2 && (!rows.kept || lower->target->vector_bytes == KT_LINE_BYTES))
        block = 2 * BLOCK_BYTES / bytes;
    if (block > MOST_ROWS) block = MOST_ROWS;
    if (block > 1 && find_reduced(lower, &rows, rank, dims))
        rows.block = block;
    else
        rows.count = 0;
    /* What takes the core longer than memory. */
    rows.joined = rows.block > 2 && (rows.kept || lower->target->vector_bytes < KT_LINE_BYTES);
    return rows;
}

static int64_t kept_elements(const kt_rows *rows) { return rows->kept ? rows->block * rows->stride : 0; }

int64_t kt_rows_scratch(const kt_rows *rows) { return kept_elements(rows) + rows->count * rows->block; }

/* ---- ahead of sweeps ------------------------------------------------------------------------- */

/* Is it of rows at this position's shape, of so many columns? */
static bool is_of_rows(kt_lower *lower, const kt_type *type, const kt_position *at, int64_t columns) {
    int64_t own;
    return type->rank > 0 && kt_dim_is_const(lower->dims, type->dims[type->rank - 1], &own) &&
           own == columns && kt_type_elements(lower->dims, type) == kt_product(lower, at->dims, 0, at->rank);
}

/* Of a buffer, what lies `ahead` elements behind this place. */
static void prefetch(kt_lower *lower, uint32_t buffer, const kt_position *at, int64_t ahead) {
    int64_t line = KT_LINE_BYTES / (int64_t)kt_dtype_bytes(lower->loops->buffer_dtypes[buffer]);
    kt_reg begin = kt_plus_int(lower, kt_position_linear(lower, at).at, ahead);
    for (int64_t i = 0; i < at->lanes; i += line)
        kt_loops_prefetch(lower->loops, buffer, kt_plus_int(lower, begin, i));
}

/* The next block's first reduction would wait for its rows, and blocks are too long for the processor to
 * begin with the next before one is done: so these come while the last reduction computes, which reads the
 * nearest cache; and where that takes narrow vectors long, as with exponentials, so does the place where rows
 * go. A long row, unless another is kept there, comes while the one before is made, and the place where that
 * goes while it is reduced. */
void kt_rows_prefetch(kt_lower *lower, const kt_position *at, bool making) {
    const kt_function *kernel = lower->kernel;
    bool kept = lower->rows[1].value, narrow = lower->target->vector_bytes < KT_LINE_BYTES;
    int64_t columns;
    if (!kt_dim_is_const(lower->dims, at->dims[at->rank - 1], &columns)) return;
    for (uint32_t i = 0; i < kernel->params.count + kernel->results.count; i++) {
        bool result = i >= kernel->params.count;
        uint32_t number = result ? i - kernel->params.count : i;
        if (result && lower->parts[number].concat) continue;
        kt_value value = result ? kernel->results.at[number].value : kernel->params.at[number].value;
        int64_t bytes = kt_size_mul(columns, (int64_t)kt_dtype_bytes(lower->loops->buffer_dtypes[i]));
        bool is_long = bytes > MOST_BESIDE && !kept,
             wanted = result ? !making && (is_long || (kept && narrow)) : making == is_long;
        if (wanted && bytes <= MOST_AHEAD &&
            is_of_rows(lower, kt_graph_type(lower->graph, value), at, columns))
            prefetch(lower, i, at, result ? 0 : columns * lower->block);
    }
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

typedef struct block {
    const kt_rows *rows;
    kt_reg begin, end;
    kt_row_place *place;
    kt_row_body *make;
    void *context;
    bool kept; /* by an earlier sweep */
} block;

/* Where what is reduced of a row waits. */
static kt_reg reduced_place(kt_lower *lower, const kt_rows *rows, uint32_t number, kt_reg index) {
    return kt_plus_int(lower, index, rows->scratch_begin + kept_elements(rows) + number * rows->block);
}

/* What is reduced of the row under this number; or one behind these, the row itself. index: in its block. */
static void sweep_row(kt_lower *lower, block *b, kt_reg row, kt_reg index, uint32_t number) {
    const kt_rows *rows = b->rows;
    kt_loops *loops = lower->loops;
    uint32_t known = lower->known.count;
    kt_position at = b->place(lower, row, b->context);
    kt_reg kept = kt_plus_int(lower, kt_times_int(lower, index, rows->stride), rows->scratch_begin);
    lower->rows[1] = (kt_row){rows->kept, rows->scratch, kept};
    lower->block = rows->block;
    if (rows->count > 0) {
        kt_position own = row_position(lower, rows->axes, &at);
        for (uint32_t i = 0; i < number; i++)
            kt_lower_know(lower, rows->reduced[i], &own,
                          kt_loops_load(loops, rows->scratch, reduced_place(lower, rows, i, index), 1, 0));
        if (b->kept && number > 0) kt_lower_know_row(lower, rows->kept);
        if (number < rows->count)
            kt_loops_store(loops, rows->scratch, reduced_place(lower, rows, number, index),
                           kt_lower_value(lower, rows->reduced[number], &own), 0);
        b->kept = kt_lower_is_row_known(lower, rows->kept);
    }
    if (number == rows->count) {
        if (rows->axes >= 0) hoist_row(lower, rows->axes, &at);
        b->make(lower, &at, b->context);
    }
    lower->known.count = known;
}

static void sweep(kt_lower *lower, block *b, uint32_t number) {
    kt_reg row = kt_lower_begin(lower, b->begin, b->end, 1, number < b->rows->count ? "reduced row" : "row");
    kt_reg index = b->rows->block > 1 ? kt_minus(lower, row, b->begin) : kt_loops_int(lower->loops, 0);
    sweep_row(lower, b, row, index, number);
    kt_lower_end(lower);
}

static void begin_block(kt_lower *lower, block *b, kt_reg begin, kt_reg last) {
    b->begin = begin;
    b->end = kt_loops_index(lower->loops, KT_INDEX_MIN, kt_plus_int(lower, begin, b->rows->block), last);
}

/* Makes the block's rows; and behind each of them sweeps the next block's for the first time, so that memory
 * and the core work at once. */
static void sweep_last_and_next(kt_lower *lower, block *b, kt_reg last) {
    kt_reg row = kt_lower_begin(lower, b->begin, b->end, 1, "row"), index = kt_minus(lower, row, b->begin);
    sweep_row(lower, b, row, index, b->rows->count);
    kt_reg next = kt_plus_int(lower, row, b->rows->block);
    kt_lower_if(lower, kt_loops_index(lower->loops, KT_INDEX_LT, next, last));
    sweep_row(lower, b, next, index, 0);
    kt_lower_end(lower);
    kt_lower_end(lower);
}

void kt_lower_rows(kt_lower *lower, const kt_rows *rows, kt_reg first, kt_reg last, kt_row_place *place,
                   kt_row_body *make, void *context) {
    block b = {.rows = rows, .begin = first, .end = last, .place = place, .make = make, .context = context};
    if (rows->joined) {
        begin_block(lower, &b, first, last);
        sweep(lower, &b, 0);
    }
    if (rows->block > 1)
        begin_block(lower, &b, kt_lower_begin(lower, first, last, rows->block, "block of rows"), last);
    for (uint32_t i = rows->joined; i + rows->joined <= rows->count; i++) sweep(lower, &b, i);
    if (rows->joined) sweep_last_and_next(lower, &b, last);
    if (rows->block > 1) kt_lower_end(lower);
}
