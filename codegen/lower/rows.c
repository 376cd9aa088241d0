/* Sweeps over rows: what is reduced of a row along its last axis, and then what is made of each of its
 * elements and of that.
 *
 * A sweep waits at its end for the sum it makes, lanes and all, before the next one over the same row begins.
 * So short rows are swept in blocks, first all of them for the first reduction, then all for the second, and
 * so on: what is reduced of each row waits in scratch memory, and rows in the nearest cache. What costs much
 * and several sweeps want, as a softmax's exponentials, is kept for the row. */
#include "codegen/lower/lower_impl.h"

enum {
    MOST_KEPT = 16384,  /* elements of a row */
    BLOCK_BYTES = 4096, /* of a block's rows; up to twice that, rather than one row alone */
    MOST_ROWS = 16,     /* of a block */
    LINE = 16,          /* elements */
};

static const kt_node_info *node_at(const kt_lower *lower, uint32_t i) {
    return kt_graph_node(lower->graph, lower->kernel->nodes.at[i]);
}

/* ---- what is kept ---------------------------------------------------------------------------- */

/* Is it the operand of a reduction along its last axis, and used elsewhere too? */
static bool is_swept_twice(const kt_lower *lower, kt_value value) {
    uint32_t last = 1U << (kt_graph_type(lower->graph, value)->rank - 1), users = 0;
    bool reduced = false;
    for (uint32_t i = 0; i < lower->kernel->results.count; i++)
        users += lower->kernel->results.at[i].value == value;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = node_at(lower, i);
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
        const kt_node_info *node = node_at(lower, i);
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
        kt_value value = spread_over_row(lower, node_at(lower, i), row_axes, at->rank, at->dims);
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
        kt_value value = spread_over_row(lower, node_at(lower, i), rows->axes, rank, dims);
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
    /* Not of a power of two: rows would share a cache's sets. */
    rows.stride = kt_divide_up(columns, LINE) * LINE + LINE;
    int64_t bytes = columns * (int64_t)kt_dtype_bytes(rows.dtype), block = BLOCK_BYTES / bytes;
    /* Two rows of exponentials in narrow vectors take so long that memory would wait for them. */
    if (block < 2 && (!rows.kept || lower->target->vector_bytes == KT_LINE_BYTES))
        block = 2 * BLOCK_BYTES / bytes;
    if (block > MOST_ROWS) block = MOST_ROWS;
    if (block > 1 && find_reduced(lower, &rows, rank, dims))
        rows.block = block;
    else
        rows.count = 0;
    return rows;
}

static int64_t kept_elements(const kt_rows *rows) {
    return rows->kept ? rows->block * rows->stride + KT_ROW_SLACK : 0;
}

int64_t kt_rows_scratch(const kt_rows *rows) { return kept_elements(rows) + rows->count * rows->block; }

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

/* One for what is reduced of rows under this number; and one to make them in the end. */
static void sweep(kt_lower *lower, block *b, uint32_t number) {
    const kt_rows *rows = b->rows;
    kt_loops *loops = lower->loops;
    kt_reg row = kt_lower_begin(lower, b->begin, b->end, 1, number < rows->count ? "reduced row" : "row");
    kt_reg index = rows->block > 1 ? kt_minus(lower, row, b->begin) : kt_loops_int(loops, 0);
    kt_position at = b->place(lower, row, b->context);
    kt_reg kept = kt_plus_int(lower, kt_times_int(lower, index, rows->stride), rows->scratch_begin);
    lower->rows[1] = (kt_row){rows->kept, rows->scratch, kept};
    lower->block = rows->block;
    if (rows->count > 0) {
        kt_position own = row_position(lower, rows->axes, &at);
        for (uint32_t i = 0; i < number; i++)
            kt_lower_know(lower, rows->reduced[i], &own,
                          kt_loops_load(loops, rows->scratch, reduced_place(lower, rows, i, index), 1, 0));
        if (b->kept) kt_lower_know_row(lower, rows->kept);
        if (number < rows->count)
            kt_loops_store(loops, rows->scratch, reduced_place(lower, rows, number, index),
                           kt_lower_value(lower, rows->reduced[number], &own), 0);
        b->kept = kt_lower_is_row_known(lower, rows->kept);
    }
    if (number == rows->count) {
        if (rows->axes >= 0) hoist_row(lower, rows->axes, &at);
        b->make(lower, &at, b->context);
    }
    kt_lower_end(lower);
}

void kt_lower_rows(kt_lower *lower, const kt_rows *rows, kt_reg first, kt_reg last, kt_row_place *place,
                   kt_row_body *make, void *context) {
    block b = {.rows = rows, .begin = first, .end = last, .place = place, .make = make, .context = context};
    if (rows->block > 1) {
        b.begin = kt_lower_begin(lower, first, last, rows->block, "block of rows");
        b.end = kt_loops_index(lower->loops, KT_INDEX_MIN, kt_plus_int(lower, b.begin, rows->block), last);
    }
    for (uint32_t i = 0; i <= rows->count; i++) sweep(lower, &b, i);
    if (rows->block > 1) kt_lower_end(lower);
}
