/* Results element by element: loops over the results' shape, in each turn the value of the kernel's body
 * there.
 *
 * A nest writes all results of one shape. Its axes fall into runs that no operation of the body takes apart;
 * the last run is the innermost loop, vectorised; the runs before it are rows, taken apart from one row
 * number; units are blocks of rows, or chunks of a long row. Bodies that reduce the innermost axes and use
 * the results over the whole row (softmax, normalisation) keep all reduced axes inside a row, and whatever
 * belongs to the row as such is computed before its inner loops. Where the last run is short, rows take in
 * the run before it, too.
 *
 * Rows of a number of columns that fills no vectors are run together with the axes before: over so many
 * vectors that lanes stand in the same columns again, indices along columns are constants.
 *
 * Where the result is a pad or concat, or made of one by elementwise operations, the inner loop is cut into
 * its parts, so that no element asks which part it belongs to. Of a concat of like parts, each turn makes the
 * same element of all: what they have in common, as the gates of a recurrent step, is computed once. */
#include "codegen/lower/lower_impl.h"

#include <string.h>

enum {
    GRAIN = 16384,    /* additions that make a unit */
    LEAST_BLOCKS = 8, /* of a unit, where they are joined */
    /* Chains of many operations want several of them side by side, as far as registers hold what they need.
     */
    HEAVY = 16,
    HEAVY_REGISTERS = 8,
    /* Of rows that are run together. */
    MOST_CYCLE = 24, /* vectors */
    MOST_CYCLE_WEIGHT = 512,
};

/* A result, or a part of one that is a concat of like parts. */
typedef struct stored {
    uint32_t result; /* its number */
    kt_value value;
    kt_concat_part part; /* of the result, or that the result is */
} stored;

typedef struct nest {
    const stored *stores;
    uint32_t count;
    int rank;
    kt_dim dims[KT_MAX_RANK];
    unsigned merged;
    int row_axes; /* axes before the inner loops */
    int lanes;    /* of a turn of the inner loop, */
    int vector;   /* and of what it makes and stores at a time */
    bool rowwise;
    bool is_short; /* the last run is a vector at most */
    /* Of rows that are run together: their columns' number and first axis, and after how many vectors lanes
     * stand in the same columns again. 0: they are not. */
    int64_t columns;
    int columns_begin, cycle;
    kt_rows swept; /* one by one, if not rowwise */
    kt_dim rows, chunks, units, rows_per_unit;
    int64_t chunk;
} nest;

/* ---- the kernel as a whole ------------------------------------------------------------------- */

static const kt_node_info *node_at(const kt_lower *lower, uint32_t i) {
    return kt_graph_node(lower->graph, lower->kernel->nodes.at[i]);
}

bool kt_lower_is_costly(kt_op op) {
    switch (op) {
    case KT_OP_exp:
    case KT_OP_expm1:
    case KT_OP_log:
    case KT_OP_log1p:
    case KT_OP_sin:
    case KT_OP_cos:
    case KT_OP_tan:
    case KT_OP_asin:
    case KT_OP_acos:
    case KT_OP_atan:
    case KT_OP_sinh:
    case KT_OP_cosh:
    case KT_OP_tanh:
    case KT_OP_asinh:
    case KT_OP_acosh:
    case KT_OP_atanh:
    case KT_OP_erf:
    case KT_OP_logistic:
    case KT_OP_pow:
    case KT_OP_atan2:
    case KT_OP_rem: return true;
    default: return false;
    }
}

int kt_lower_weight(const kt_lower *lower) {
    int weight = 1;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        kt_op op = node_at(lower, i)->op;
        weight += kt_lower_is_costly(op) ? 16 : op == KT_OP_div || op == KT_OP_sqrt ? 4 : 1;
    }
    return weight;
}

static size_t widest_element(const kt_lower *lower) {
    size_t widest = 4;
    for (uint32_t i = 0; i < lower->loops->buffer_count; i++) {
        size_t bytes = kt_dtype_bytes(lower->loops->buffer_dtypes[i]);
        if (bytes > widest) widest = bytes;
    }
    return widest;
}

/* Do its values need many registers? What is spread over lanes needs none of its own. */
static bool is_heavy(const kt_lower *lower) {
    int weight = kt_lower_weight(lower);
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++)
        weight -= node_at(lower, i)->op == KT_OP_broadcast;
    return weight > HEAVY;
}

int kt_lower_lanes(const kt_lower *lower, int factor, kt_dim extent) {
    int lanes = lower->target->vector_bytes / (int)widest_element(lower);
    int64_t elements = INT64_MAX;
    kt_dim_is_const(lower->dims, extent, &elements);
    int most = lower->target->vector_registers / HEAVY_REGISTERS;
    bool heavy = is_heavy(lower);
    if (heavy && factor > most) factor = most;
    for (; factor > 1; factor /= 2) {
        int64_t wide = (int64_t)lanes * factor, idle = (wide - elements % wide) % wide;
        if (elements >= wide && (!heavy || idle <= elements / 4)) return (int)wide;
    }
    while (lanes > 1 && elements <= lanes / 2) lanes /= 2;
    return lanes;
}

uint32_t kt_lower_reduced_axes(const kt_node_info *node) {
    uint32_t reduced = 0;
    if (node->op == KT_OP_arg_reduce) return 1U << ((const kt_attrs_arg_reduce *)node->attrs)->axis;
    if (node->op != KT_OP_reduce) return 0;
    const kt_ints *axes = &((const kt_attrs_reduce *)node->attrs)->axes;
    for (uint32_t i = 0; i < axes->count; i++) reduced |= 1U << axes->at[i];
    return reduced;
}

/* The product of sizes, each symbol counted as 64, and not much more than would make a unit by itself. */
static int64_t guess_product(const kt_lower *lower, int64_t product, const kt_dim *dims, int begin, int end) {
    for (int axis = begin; axis < end; axis++) {
        int64_t size = 64;
        kt_dim_is_const(lower->dims, dims[axis], &size);
        product = kt_size_mul(product, size > 0 ? size : 1);
        if (product > GRAIN) return GRAIN;
    }
    return product;
}

/* How many elements a reducing node combines for one of its result. */
static int64_t node_depth(const kt_lower *lower, const kt_node_info *node) {
    int64_t depth = 1;
    if (node->op == KT_OP_reduce_window) {
        const kt_ints *window = &((const kt_attrs_reduce_window *)node->attrs)->window;
        for (uint32_t i = 0; i < window->count && depth < GRAIN; i++)
            depth = kt_size_mul(depth, window->at[i]);
    } else if (node->op == KT_OP_conv) {
        const kt_type *kernel = kt_graph_type(lower->graph, node->operands[1]);
        bool packed = ((const kt_attrs_conv *)node->attrs)->panel != 0;
        depth = guess_product(lower, 1, kernel->dims, packed, kernel->rank - 1);
    } else if (node->op == KT_OP_conv_by_kernel) {
        const kt_type *g = kt_graph_type(lower->graph, node->operands[1]);
        depth = guess_product(lower, 1, g->dims, 0, g->rank - 1);
    } else if (node->op == KT_OP_dot_general) {
        const kt_ints *axes = &((const kt_attrs_dot_general *)node->attrs)->lhs_contract;
        const kt_type *x = kt_graph_type(lower->graph, node->operands[0]);
        for (uint32_t i = 0; i < axes->count; i++)
            depth = guess_product(lower, depth, x->dims, (int)axes->at[i], (int)axes->at[i] + 1);
    } else {
        uint32_t reduced = kt_lower_reduced_axes(node);
        const kt_type *x = reduced ? kt_graph_type(lower->graph, node->operands[0]) : NULL;
        for (int axis = 0; x && axis < x->rank; axis++)
            if (reduced & 1U << axis) depth = guess_product(lower, depth, x->dims, axis, axis + 1);
    }
    return depth;
}

static int64_t kernel_depth(const kt_lower *lower) {
    int64_t depth = 1;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        int64_t own = node_depth(lower, node_at(lower, i));
        if (own > depth) depth = own;
    }
    return depth;
}

/* ---- vector loops ---------------------------------------------------------------------------- */

void kt_lower_vector_loop(kt_lower *lower, kt_reg begin, kt_reg end, int lanes, kt_vector_body *body,
                          void *context, const char *comment) {
    kt_loops *loops = lower->loops;
    kt_reg zero = kt_loops_int(loops, 0);
    kt_reg count = kt_loops_index(loops, KT_INDEX_MAX, kt_loops_index(loops, KT_INDEX_SUB, end, begin), zero);
    kt_reg width = kt_loops_int(loops, lanes);
    kt_reg rest = kt_loops_index(loops, KT_INDEX_MOD, count, width);
    kt_reg whole = kt_loops_index(loops, KT_INDEX_SUB, count, rest);
    kt_reg middle = kt_loops_index(loops, KT_INDEX_ADD, begin, whole);
    int64_t known;
    if (!kt_loops_is_int(loops, whole, &known) || known > 0) {
        kt_reg index = kt_lower_begin(lower, begin, middle, lanes, comment);
        body(lower, index, 0, context);
        kt_lower_end(lower);
    }
    bool constant = kt_loops_is_int(loops, rest, &known);
    if (constant && known == 0) return;
    kt_lower_if(lower, constant ? kt_loops_integer(loops, KT_BOOL, 1, 1)
                                : kt_loops_index(loops, KT_INDEX_LT, zero, rest));
    body(lower, middle, kt_loops_mask(loops, rest, lanes), context);
    kt_lower_end(lower);
}

/* ---- the inner loop -------------------------------------------------------------------------- */

typedef struct inner_turn {
    const nest *n;
    kt_position at; /* all but the last run's index */
} inner_turn;

static int concat_axis(const stored *s) {
    return (int)((const kt_attrs_concat *)s->part.concat->attrs)->axis;
}

static void store_lanes(kt_lower *lower, kt_reg index, int lanes, kt_reg mask, const inner_turn *turn) {
    kt_position at = turn->at;
    at.lanes = lanes;
    at.mask = mask;
    at.at[at.rank - 1] = kt_axis_at(index, at.lanes > 1);
    kt_reg *values = KT_NEW_ARRAY(lower->arena, kt_reg, turn->n->count);
    /* All results are computed before one is stored: a result may lie where an operand lay. */
    for (uint32_t i = 0; i < turn->n->count; i++)
        values[i] =
            kt_loops_splat(lower->loops, kt_lower_value(lower, turn->n->stores[i].value, &at), at.lanes);
    for (uint32_t i = 0; i < turn->n->count; i++)
        kt_loops_store(lower->loops, lower->kernel->params.count + turn->n->stores[i].result,
                       kt_position_in_whole(lower, &turn->n->stores[i].part, &at), values[i], mask);
}

/* Vectors of several registers would be loaded and stored in an order that LLVM chooses; rows that go on to
 * memory do so fastest line by line: where a register is a line, and where they are swept one by one. */
static void store_turn(kt_lower *lower, kt_reg index, kt_reg mask, void *context) {
    const inner_turn *turn = context;
    int lanes = mask ? turn->n->lanes : turn->n->vector;
    for (int i = 0; i < turn->n->lanes; i += lanes)
        store_lanes(lower, kt_plus_int(lower, index, i), lanes, mask, turn);
    if (!turn->n->rowwise || mask) return;
    kt_position at = turn->at;
    at.lanes = turn->n->lanes;
    at.at[at.rank - 1] = kt_axis_at(index, at.lanes > 1);
    kt_rows_prefetch(lower, &at, true);
}

/* ---- narrow rows ----------------------------------------------------------------------------- */

static void cycle_turn(kt_lower *lower, inner_turn *turn, kt_reg begin, kt_reg rest) {
    for (int i = 0; i < turn->n->cycle; i++) {
        int lanes = turn->n->lanes;
        int64_t left;
        kt_reg own = rest ? kt_plus_int(lower, rest, -(int64_t)i * lanes) : 0;
        if (own && kt_loops_is_int(lower->loops, own, &left) && left <= 0) return;
        store_turn(lower, kt_plus_int(lower, begin, (int64_t)i * lanes),
                   own ? kt_loops_mask(lower->loops, own, lanes) : 0, turn);
    }
}

/* Does the node spread what is the same for all rows? */
static bool spreads_over_rows(const kt_lower *lower, const nest *n, const kt_node_info *node) {
    if (node->op != KT_OP_broadcast || kt_graph_type(lower->graph, node->first_result)->rank != n->rank)
        return false;
    const kt_type *from = kt_graph_type(lower->graph, node->operands[0]);
    for (int axis = 0; axis < from->rank; axis++)
        if (!kt_dim_equals(lower->dims, from->dims[axis], 1) &&
            ((const kt_attrs_broadcast *)node->attrs)->axes.at[axis] < n->columns_begin)
            return false;
    return true;
}

/* Over [begin, end) in cycles; what is the same for all rows is read before. */
static void cycle_loop(kt_lower *lower, inner_turn *turn, kt_reg begin, kt_reg end) {
    const nest *n = turn->n;
    kt_loops *loops = lower->loops;
    kt_reg length = kt_loops_int(loops, (int64_t)n->cycle * n->lanes);
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        kt_value value = node_at(lower, i)->first_result;
        if (!spreads_over_rows(lower, n, node_at(lower, i))) continue;
        kt_position at =
            kt_position_origin(lower, n->rank, kt_graph_type(lower->graph, value)->dims, n->lanes);
        at.merged = n->merged;
        for (int k = 0; k < n->cycle; k++) {
            at.at[at.rank - 1] = kt_axis_at(kt_loops_int(loops, (int64_t)k * n->lanes), 1);
            kt_lower_value(lower, value, &at);
        }
    }
    kt_reg zero = kt_loops_int(loops, 0);
    kt_reg count = kt_loops_index(loops, KT_INDEX_MAX, kt_minus(lower, end, begin), zero);
    kt_reg cycles = kt_loops_index(loops, KT_INDEX_DIV, count, length);
    kt_reg cycle = kt_lower_begin(lower, zero, cycles, 1, "cycles");
    cycle_turn(lower, turn, kt_plus(lower, kt_loops_index(loops, KT_INDEX_MUL, cycle, length), begin), 0);
    kt_lower_end(lower);
    kt_reg whole = kt_loops_index(loops, KT_INDEX_MUL, cycles, length), rest = kt_minus(lower, count, whole);
    int64_t known;
    if (kt_loops_is_int(loops, rest, &known) && known == 0) return;
    kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, zero, rest));
    cycle_turn(lower, turn, kt_plus(lower, whole, begin), rest);
    kt_lower_end(lower);
}

static void plain_loop(kt_lower *lower, inner_turn *turn, kt_reg begin, kt_reg end, const char *comment) {
    if (turn->n->cycle && (!lower->settled || lower->settled_part >= 0))
        cycle_loop(lower, turn, begin, end);
    else
        kt_lower_vector_loop(lower, begin, end, turn->n->lanes, store_turn, turn, comment);
}

/* The part of [begin, end) that lies in [first, last). */
static void settled_loop(kt_lower *lower, inner_turn *turn, kt_reg begin, kt_reg end, kt_reg first,
                         kt_reg last, const kt_node_info *node, int part) {
    kt_loops *loops = lower->loops;
    int64_t from, to;
    begin = kt_loops_index(loops, KT_INDEX_MAX, begin, first);
    end = kt_loops_index(loops, KT_INDEX_MIN, end, last);
    if (kt_loops_is_int(loops, begin, &from) && kt_loops_is_int(loops, end, &to) && from >= to) return;
    lower->settled = node;
    lower->settled_part = part;
    plain_loop(lower, turn, begin, end, part < 0 ? "fill" : "part");
    lower->settled = NULL;
}

/* The index of the run that axis leads; out_inner: elements behind a step of axis. */
static kt_reg run_index(kt_lower *lower, const kt_position *at, int axis, kt_dim *out_inner) {
    int end = kt_position_run_end(at, axis);
    *out_inner = kt_product(lower, at->dims, axis + 1, end + 1);
    return at->at[end].at;
}

static kt_reg scaled(kt_lower *lower, kt_dim dim, kt_dim inner) {
    return kt_loops_dim(lower->loops, kt_dim_mul(lower->dims, dim, inner));
}

static void concat_loops(kt_lower *lower, inner_turn *turn, const kt_node_info *node, kt_reg begin,
                         kt_reg end) {
    int axis = (int)((const kt_attrs_concat *)node->attrs)->axis;
    bool inner_run = kt_position_run_end(&turn->at, axis) == turn->at.rank - 1;
    kt_dim inner, position = kt_dim_const(lower->dims, 0);
    kt_reg index = run_index(lower, &turn->at, axis, &inner);
    for (uint32_t part = 0; part < node->operand_count; part++) {
        kt_dim extent = kt_graph_type(lower->graph, node->operands[part])->dims[axis];
        kt_reg first = scaled(lower, position, inner);
        position = kt_dim_add(lower->dims, position, extent);
        kt_reg last = scaled(lower, position, inner);
        if (inner_run) {
            settled_loop(lower, turn, begin, end, first, last, node, (int)part);
            continue;
        }
        kt_reg before = kt_loops_index(lower->loops, KT_INDEX_SUB, first, kt_loops_int(lower->loops, 1));
        kt_lower_if(lower, kt_loops_index(lower->loops, KT_INDEX_LT, before, index));
        kt_lower_if(lower, kt_loops_index(lower->loops, KT_INDEX_LT, index, last));
        settled_loop(lower, turn, begin, end, begin, end, node, (int)part);
        kt_lower_end(lower);
        kt_lower_end(lower);
    }
}

static void pad_loops(kt_lower *lower, inner_turn *turn, const kt_node_info *node, kt_reg begin, kt_reg end) {
    const kt_attrs_pad *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    kt_loops *loops = lower->loops;
    kt_reg inside = 0, first = begin, last = end, minus = kt_loops_int(loops, -1);
    for (int axis = 0; axis < type->rank; axis++) {
        if (turn->at.dims[axis] == type->dims[axis]) continue;
        kt_dim inner, behind = kt_dim_add(lower->dims, attrs->low.at[axis], type->dims[axis]);
        kt_reg index = run_index(lower, &turn->at, axis, &inner);
        kt_reg from = scaled(lower, attrs->low.at[axis], inner), to = scaled(lower, behind, inner);
        if (kt_position_run_end(&turn->at, axis) == turn->at.rank - 1) {
            first = from;
            last = to;
            continue;
        }
        kt_reg before = kt_loops_index(loops, KT_INDEX_ADD, from, minus);
        inside = kt_lower_and(lower, inside, kt_loops_index(loops, KT_INDEX_LT, before, index));
        inside = kt_lower_and(lower, inside, kt_loops_index(loops, KT_INDEX_LT, index, to));
    }
    if (inside) {
        kt_lower_if(lower, kt_loops_apply(loops, KT_OP_not, KT_BOOL, inside, 0, 0));
        settled_loop(lower, turn, begin, end, begin, end, node, -1);
        kt_lower_end(lower);
        kt_lower_if(lower, inside);
    }
    if (first != begin) settled_loop(lower, turn, begin, end, begin, first, node, -1);
    settled_loop(lower, turn, begin, end, first, last, node, 0);
    if (last != end) settled_loop(lower, turn, begin, end, last, end, node, -1);
    if (inside) kt_lower_end(lower);
}

/* Does axis lead its run? */
static bool leads(kt_lower *lower, const kt_position *at, int axis) {
    return kt_dim_equals(lower->dims, kt_product(lower, at->dims, kt_position_run_begin(at, axis), axis), 1);
}

/* Can the inner loop be cut into the parts of node, a pad or concat? */
static bool is_splittable(kt_lower *lower, const inner_turn *turn, const kt_node_info *node) {
    const nest *n = turn->n;
    if (kt_graph_type(lower->graph, node->first_result)->rank != turn->at.rank) return false;
    if (node->op == KT_OP_concat) {
        bool narrow = n->is_short && node->first_result != n->stores[0].value;
        return !narrow && leads(lower, &turn->at, (int)((const kt_attrs_concat *)node->attrs)->axis);
    }
    if (node->op != KT_OP_pad) return false;
    const kt_attrs_pad *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    for (int axis = 0; axis < type->rank; axis++) {
        if (turn->at.dims[axis] == type->dims[axis]) continue;
        if (attrs->interior.at[axis] != 0 || !leads(lower, &turn->at, axis)) return false;
        if (kt_position_run_end(&turn->at, axis) == turn->at.rank - 1 && n->is_short) return false;
    }
    return true;
}

/* The pad or concat that the only result is, or that it is made of by elementwise operations alone, if its
 * parts can be told apart outside the inner loop. */
static const kt_node_info *splittable(kt_lower *lower, const inner_turn *turn) {
    enum { HERE = 1, ELSEWHERE = 2 }; /* where a value is wanted: at the result's index, or at another */
    const kt_function *kernel = lower->kernel;
    const stored *s = &turn->n->stores[0];
    if (turn->n->count != 1 || !kt_graph_definition(lower->graph, s->value)) return NULL;
    kt_value first = kt_graph_node(lower->graph, kernel->nodes.at[0])->first_result;
    unsigned *wanted = KT_NEW_ARRAY(lower->arena, unsigned, s->value - first + 1);
    wanted[s->value - first] = HERE;
    for (uint32_t i = kernel->nodes.count; i-- > 0;) {
        const kt_node_info *node = node_at(lower, i);
        if (node->first_result > s->value) continue;
        unsigned at = wanted[node->first_result - first];
        if (at == HERE && is_splittable(lower, turn, node)) return node;
        if (at & HERE && !kt_op_is(node->op, KT_ELEMENTWISE)) at = ELSEWHERE;
        for (uint32_t k = 0; k < node->operand_count; k++)
            if (node->operands[k] >= first) wanted[node->operands[k] - first] |= at;
    }
    return NULL;
}

static void inner_loop(kt_lower *lower, inner_turn *turn, kt_reg begin, kt_reg end) {
    const kt_node_info *node = splittable(lower, turn);
    if (!node)
        plain_loop(lower, turn, begin, end, "elements");
    else if (node->op == KT_OP_pad)
        pad_loops(lower, turn, node, begin, end);
    else
        concat_loops(lower, turn, node, begin, end);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Opens loops over the runs between the row's axes and the last run. */
static int open_middle(kt_lower *lower, const nest *n, kt_position *at) {
    int opened = 0;
    for (int first = n->row_axes; first < n->rank;) {
        int last = kt_position_run_end(at, first);
        if (last == n->rank - 1) break;
        kt_reg end = kt_loops_dim(lower->loops, kt_product(lower, at->dims, first, last + 1));
        at->at[last] = kt_axis_at(kt_lower_begin(lower, kt_loops_int(lower->loops, 0), end, 1, "inner"), 0);
        opened++;
        first = last + 1;
    }
    return opened;
}

/* The row's index along each of its runs. */
static void place_row(kt_lower *lower, const nest *n, kt_reg row, kt_position *at) {
    for (int last = n->row_axes - 1; last >= 0;) {
        int first = kt_position_run_begin(at, last);
        kt_reg extent = kt_loops_dim(lower->loops, kt_product(lower, at->dims, first, last + 1));
        kt_reg index = first == 0 ? row : kt_loops_index(lower->loops, KT_INDEX_MOD, row, extent);
        at->at[last] = kt_axis_at(index, 0);
        if (first > 0) row = kt_loops_index(lower->loops, KT_INDEX_DIV, row, extent);
        last = first - 1;
    }
}

typedef struct unit_turn {
    const nest *n;
    kt_reg chunk;
} unit_turn;

static kt_position find_row(kt_lower *lower, kt_reg row, void *context) {
    const nest *n = ((const unit_turn *)context)->n;
    kt_position at = kt_position_origin(lower, n->rank, n->dims, 1);
    at.merged = n->merged;
    place_row(lower, n, row, &at);
    return at;
}

static void make_row(kt_lower *lower, const kt_position *at, void *context) {
    const unit_turn *u = context;
    const nest *n = u->n;
    kt_loops *loops = lower->loops;
    inner_turn turn = {.n = n, .at = *at};
    int opened = open_middle(lower, n, &turn.at);
    int first = kt_position_run_begin(&turn.at, n->rank - 1);
    kt_reg extent = kt_loops_dim(loops, kt_product(lower, n->dims, first, n->rank));
    kt_reg begin = kt_loops_int(loops, 0), end = extent;
    if (!kt_dim_equals(lower->dims, n->chunks, 1)) {
        begin = kt_loops_index(loops, KT_INDEX_MUL, u->chunk, kt_loops_int(loops, n->chunk));
        end = kt_loops_index(loops, KT_INDEX_ADD, begin, kt_loops_int(loops, n->chunk));
        end = kt_loops_index(loops, KT_INDEX_MIN, end, extent);
    }
    inner_loop(lower, &turn, begin, end);
    while (opened-- > 0) kt_lower_end(lower);
}

static void emit_unit(kt_lower *lower, const nest *n, kt_reg unit) {
    kt_loops *loops = lower->loops;
    kt_reg chunks = kt_loops_dim(loops, n->chunks), rows = kt_loops_dim(loops, n->rows);
    kt_reg chunk = kt_loops_index(loops, KT_INDEX_MOD, unit, chunks);
    kt_reg block = kt_loops_index(loops, KT_INDEX_DIV, unit, chunks);
    kt_reg height = kt_loops_dim(loops, n->rows_per_unit);
    kt_reg first = kt_loops_index(loops, KT_INDEX_MUL, block, height);
    kt_reg last =
        kt_loops_index(loops, KT_INDEX_MIN, kt_loops_index(loops, KT_INDEX_ADD, first, height), rows);
    unit_turn u = {n, chunk};
    kt_lower_rows(lower, &n->swept, first, last, find_row, make_row, &u);
}

/* ---- planning -------------------------------------------------------------------------------- */

static unsigned choose_runs(kt_lower *lower, const nest *n) {
    unsigned merged = 0;
    uint32_t together = 0, apart = 0;
    for (int axis = 0; axis + 1 < n->rank; axis++) {
        uint32_t splits = 0, before = 0;
        bool led = false;
        for (uint32_t i = 0; i < n->count; i++) {
            kt_value value = n->stores[i].value;
            splits += kt_lower_splits(lower, value, n->rank, n->dims, 1U << axis);
            before += kt_lower_splits(lower, value, n->rank, n->dims, 0);
            led = led || (n->stores[i].part.concat && concat_axis(&n->stores[i]) == axis + 1);
        }
        if (splits <= before && axis + 1 != n->row_axes && !led) merged |= 1U << axis;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        together += kt_lower_splits(lower, n->stores[i].value, n->rank, n->dims, merged);
        apart += kt_lower_splits(lower, n->stores[i].value, n->rank, n->dims, 0);
    }
    return together <= apart ? merged : 0;
}

/* Are so many rows of so few elements reduced that lanes rather go along rows than along elements? */
static bool lanes_over_rows(kt_lower *lower, const nest *n, const kt_node_info *node, uint32_t reduced) {
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    int64_t lanes = lower->target->vector_bytes / (int64_t)widest_element(lower), depth = 1, size;
    for (int axis = 0; axis < type->rank; axis++) {
        if (!(reduced & 1U << axis)) continue;
        if (!kt_dim_is_const(lower->dims, type->dims[axis], &size)) return false;
        depth *= size < lanes ? size : lanes;
    }
    return kt_dim_divisor(lower->dims, kt_product(lower, n->dims, 0, n->rank)) >= lanes &&
           (node->op == KT_OP_arg_reduce || depth <= lanes / 2);
}

/* Reductions of trailing axes of a shape like the result's make rows of the axes before; reductions of the
 * innermost axis of any other shape want one place at a time. */
static void choose_rows(kt_lower *lower, nest *n, bool *out_single) {
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = node_at(lower, i);
        uint32_t reduced = kt_lower_reduced_axes(node);
        if (!reduced) continue;
        const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
        if (!(reduced & 1U << (type->rank - 1))) continue;
        int first = type->rank;
        while (first > 0 && (reduced & 1U << (first - 1))) first--;
        bool same = type->rank == n->rank && reduced >> first << first == reduced;
        for (int axis = 0; axis < n->rank && same; axis++) same = type->dims[axis] == n->dims[axis];
        if (same && !(reduced & ((1U << first) - 1)) && (!n->rowwise || n->row_axes == first)) {
            n->rowwise = true;
            n->row_axes = first;
        } else if (!same && !lanes_over_rows(lower, n, node, reduced)) {
            *out_single = true;
        }
    }
    if (n->rowwise) *out_single = false;
}

static kt_rows plan_rows(const kt_lower *lower, const nest *n) {
    if (!n->rowwise) return (kt_rows){.axes = -1, .block = 1};
    kt_rows rows = kt_rows_plan(lower, n->rank, n->dims, n->row_axes);
    int64_t elements = kt_rows_scratch(&rows);
    if (elements > 0) rows.scratch = kt_loops_scratch(lower->loops, rows.dtype, elements);
    return rows;
}

static int64_t find_cycle(int64_t columns, int64_t lanes) {
    int64_t vectors = 1;
    while (vectors * lanes % columns != 0) vectors++;
    return vectors;
}

/* Rows of few columns, which fill no vectors, are run together with the axes before if all that takes them
 * apart is where columns end: over as many vectors as columns need to stand in the same lanes again, indices
 * along columns are constants then. */
static void run_rows_together(kt_lower *lower, nest *n) {
    kt_position at = {.rank = (uint8_t)n->rank, .merged = n->merged};
    int last = kt_position_run_begin(&at, n->rank - 1);
    int64_t columns;
    if (n->rowwise || last == 0 || kernel_depth(lower) > 1 ||
        !kt_dim_is_const(lower->dims, kt_product(lower, n->dims, last, n->rank), &columns) || columns < 2)
        return;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = node_at(lower, i);
        bool plain = kt_op_is(node->op, KT_ELEMENTWISE) || node->op == KT_OP_broadcast ||
                     node->op == KT_OP_constant || node->op == KT_OP_reshape || node->op == KT_OP_transpose;
        bool padded = node->op == KT_OP_pad && n->count == 1 && node->first_result == n->stores[0].value;
        if (!plain && !padded) return;
    }
    for (uint32_t i = 0; i < n->count; i++)
        if (n->stores[i].part.concat ||
            kt_lower_splits(lower, n->stores[i].value, n->rank, n->dims, n->merged) > 0)
            return;
    int64_t lanes = lower->target->vector_bytes / (int64_t)widest_element(lower),
            cycle = find_cycle(columns, lanes);
    if (columns % lanes == 0 || cycle > MOST_CYCLE || cycle * kt_lower_weight(lower) > MOST_CYCLE_WEIGHT)
        return;
    n->columns = columns;
    n->columns_begin = last;
    n->merged |= 1U << (last - 1);
}

/* How many of a sample's rows or elements make a unit, in steps, of which `most` would do: threads share them
 * where they share the samples of other kernels. */
static int64_t even_share(const kt_lower *lower, kt_dim all, int64_t step, int64_t most) {
    int64_t steps = kt_divide_up(kt_dim_divisor(lower->dims, all), step);
    return step * (steps > most ? kt_unit_share(steps, most) : most);
}

static nest plan_nest(kt_lower *lower, const stored *stores, uint32_t count) {
    const kt_type *type = kt_graph_type(lower->graph, stores[0].value);
    nest n = {.stores = stores, .count = count, .rank = type->rank};
    for (int axis = 0; axis < n.rank; axis++) n.dims[axis] = type->dims[axis];
    if (n.rank == 0) n.dims[n.rank++] = kt_dim_const(lower->dims, 1);
    bool single = false;
    choose_rows(lower, &n, &single);
    n.swept = plan_rows(lower, &n);
    n.merged = choose_runs(lower, &n);
    run_rows_together(lower, &n);
    kt_position at = {.rank = (uint8_t)n.rank, .merged = n.merged};
    int last = kt_position_run_begin(&at, n.rank - 1);
    if (!n.rowwise) n.row_axes = last;
    kt_dim_pool *dims = lower->dims;
    kt_dim one = kt_dim_const(dims, 1), run = kt_product(lower, n.dims, last, n.rank);
    int64_t depth = n.rowwise ? 1 : kernel_depth(lower), weight = kt_lower_weight(lower) * depth, extent;
    bool chains = n.rowwise || depth > 1 || kt_lower_weight(lower) > HEAVY;
    n.lanes = single ? 1 : kt_lower_lanes(lower, n.columns % 2 ? 1 : chains ? 4 : 2, run);
    bool lines = n.rowwise && (n.swept.block == 1 || lower->target->vector_bytes == KT_LINE_BYTES);
    n.vector = lines ? kt_lower_lanes(lower, 1, run) : n.lanes;
    n.cycle = n.columns ? (int)find_cycle(n.columns, n.lanes) : 0;
    int64_t step = n.cycle > 0 ? (int64_t)n.cycle * n.lanes : n.lanes * 8;
    n.is_short = kt_dim_is_const(dims, run, &extent) && extent <= n.lanes;
    int before = last > 0 ? kt_position_run_begin(&at, last - 1) : 0;
    if (!n.rowwise && n.is_short && before > 0) n.row_axes = before; /* a division a vector would be dear */
    kt_dim inner = kt_product(lower, n.dims, n.row_axes, n.rank);
    n.rows = kt_product(lower, n.dims, 0, n.row_axes);
    n.chunk = even_share(lower, inner, step, (GRAIN / weight + step) / step);
    n.chunks = n.rowwise || last != n.row_axes
                   ? one
                   : kt_dim_max(dims, one, kt_dim_ceildiv(dims, inner, kt_dim_const(dims, n.chunk)));
    kt_dim block = kt_dim_max(dims, kt_dim_mul_const(dims, inner, n.swept.block), one);
    kt_dim blocks = kt_dim_floordiv(dims, kt_dim_const(dims, GRAIN / weight + 1), block);
    kt_dim least = kt_dim_const(dims, n.swept.joined ? LEAST_BLOCKS : 1);
    blocks = kt_dim_max(dims, least, blocks);
    n.rows_per_unit = kt_dim_is_const(dims, blocks, &extent)
                          ? kt_dim_const(dims, even_share(lower, n.rows, n.swept.block, extent))
                          : kt_dim_mul_const(dims, blocks, n.swept.block);
    n.units = kt_dim_mul(dims, kt_dim_ceildiv(dims, n.rows, n.rows_per_unit), n.chunks);
    /* About 4 additions a nanosecond on every lane. */
    kt_dim work = kt_dim_mul_const(dims, kt_dim_mul(dims, n.rows, inner), weight);
    kt_dim cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, 4 * n.lanes));
    lower->loops->leading = depth == 1 || kt_dim_equals(dims, n.chunks, 1);
    lower->loops->cost = kt_dim_add(dims, lower->loops->cost, cost);
    return n;
}

static bool is_empty(const kt_lower *lower, const nest *n) {
    for (int axis = 0; axis < n->rank; axis++)
        if (kt_dim_equals(lower->dims, n->dims[axis], 0)) return true;
    return false;
}

static bool same_places(const kt_lower *lower, uint32_t a, uint32_t b) {
    const kt_type *x = kt_graph_places(lower->graph, lower->kernel->results.at[a].value);
    const kt_type *y = kt_graph_places(lower->graph, lower->kernel->results.at[b].value);
    bool same = x->rank == y->rank;
    for (int axis = 0; axis < x->rank && same; axis++) same = x->dims[axis] == y->dims[axis];
    return same;
}

/* Adds what is stored of result number `result`. */
static void add_stores(const kt_lower *lower, uint32_t result, stored *stores, uint32_t *count) {
    kt_value value = lower->kernel->results.at[result].value;
    const kt_node_info *concat = kt_graph_parted(lower->graph, value);
    kt_dim begin = kt_dim_const(lower->dims, 0);
    if (!concat) stores[(*count)++] = (stored){result, value, lower->parts[result]};
    for (uint32_t part = 0; concat && part < concat->operand_count; part++) {
        stored *s = &stores[(*count)++];
        *s = (stored){result, concat->operands[part], {concat, begin}};
        begin = kt_dim_add(lower->dims, begin, kt_graph_type(lower->graph, s->value)->dims[concat_axis(s)]);
    }
}

void kt_lower_elementwise(kt_lower *lower) {
    uint32_t total = lower->kernel->results.count, nests = 0;
    nest *plans = KT_NEW_ARRAY(lower->arena, nest, total);
    bool *taken = KT_NEW_ARRAY(lower->arena, bool, total);
    kt_dim units = kt_dim_const(lower->dims, 0);
    for (uint32_t i = 0; i < total; i++) {
        if (taken[i]) continue;
        stored *stores = KT_NEW_ARRAY(lower->arena, stored, (size_t)total * KT_MOST_PARTS);
        uint32_t count = 0;
        for (uint32_t j = i; j < total; j++) {
            if (taken[j] || !same_places(lower, i, j)) continue;
            taken[j] = true;
            add_stores(lower, j, stores, &count);
        }
        nest n = plan_nest(lower, stores, count);
        if (is_empty(lower, &n)) continue;
        plans[nests++] = n;
        units = kt_dim_add(lower->dims, units, n.units);
    }
    if (nests == 0) return;
    kt_loops *loops = lower->loops;
    kt_reg zero = kt_loops_int(loops, 0), one = kt_loops_int(loops, 1);
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, zero, kt_loops_dim(loops, units), one, "units");
    kt_dim before = kt_dim_const(lower->dims, 0);
    for (uint32_t i = 0; i < nests; i++) {
        if (nests == 1) {
            emit_unit(lower, &plans[i], unit);
            break;
        }
        kt_dim behind = kt_dim_add(lower->dims, before, plans[i].units);
        kt_reg own = kt_loops_index(loops, KT_INDEX_SUB, unit, kt_loops_dim(loops, before));
        kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, kt_loops_int(loops, -1), own));
        kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, unit, kt_loops_dim(loops, behind)));
        emit_unit(lower, &plans[i], own);
        kt_lower_end(lower);
        kt_lower_end(lower);
        before = behind;
    }
    kt_loops_end(loops);
}
