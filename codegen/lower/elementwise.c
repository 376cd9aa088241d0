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
#include "codegen/lower/nest_impl.h"

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
    const kt_nest *n;
    kt_position at; /* all but the last run's index */
} inner_turn;

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
static bool spreads_over_rows(const kt_lower *lower, const kt_nest *n, const kt_node_info *node) {
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
    const kt_nest *n = turn->n;
    kt_loops *loops = lower->loops;
    kt_reg length = kt_loops_int(loops, (int64_t)n->cycle * n->lanes);
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        kt_value value = kt_lower_node(lower, i)->first_result;
        if (!spreads_over_rows(lower, n, kt_lower_node(lower, i))) continue;
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
    kt_dim inner;
    kt_reg index = run_index(lower, &turn->at, axis, &inner);
    for (uint32_t part = 0; part < node->operand_count; part++) {
        kt_dim extent = kt_graph_type(lower->graph, node->operands[part])->dims[axis];
        kt_dim position = kt_graph_part_begin(lower->graph, node, part);
        kt_reg first = scaled(lower, position, inner);
        kt_reg last = scaled(lower, kt_dim_add(lower->dims, position, extent), inner);
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
    const kt_nest *n = turn->n;
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
    const kt_stored *s = &turn->n->stores[0];
    if (turn->n->count != 1 || !kt_graph_definition(lower->graph, s->value)) return NULL;
    kt_value first = kt_graph_node(lower->graph, kernel->nodes.at[0])->first_result;
    unsigned *wanted = KT_NEW_ARRAY(lower->arena, unsigned, s->value - first + 1);
    wanted[s->value - first] = HERE;
    for (uint32_t i = kernel->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_lower_node(lower, i);
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
static int open_middle(kt_lower *lower, const kt_nest *n, kt_position *at) {
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
static void place_row(kt_lower *lower, const kt_nest *n, kt_reg row, kt_position *at) {
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
    const kt_nest *n;
    kt_reg chunk;
} unit_turn;

static kt_position find_row(kt_lower *lower, kt_reg row, void *context) {
    const kt_nest *n = ((const unit_turn *)context)->n;
    kt_position at = kt_position_origin(lower, n->rank, n->dims, 1);
    at.merged = n->merged;
    place_row(lower, n, row, &at);
    return at;
}

static void make_row(kt_lower *lower, const kt_position *at, void *context) {
    const unit_turn *u = context;
    const kt_nest *n = u->n;
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

static void emit_unit(kt_lower *lower, const kt_nest *n, kt_reg unit) {
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

/* ---- the kernel ------------------------------------------------------------------------------ */

static bool is_empty(const kt_lower *lower, const kt_nest *n) {
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
static void add_stores(const kt_lower *lower, uint32_t result, kt_stored *stores, uint32_t *count) {
    kt_value value = lower->kernel->results.at[result].value;
    const kt_node_info *concat = kt_graph_parted(lower->graph, value);
    if (!concat) stores[(*count)++] = (kt_stored){result, value, lower->parts[result]};
    for (uint32_t part = 0; concat && part < concat->operand_count; part++)
        stores[(*count)++] = (kt_stored){
            result, concat->operands[part], {concat, kt_graph_part_begin(lower->graph, concat, part)}};
}

void kt_lower_elementwise(kt_lower *lower) {
    uint32_t total = lower->kernel->results.count, nests = 0;
    kt_nest *plans = KT_NEW_ARRAY(lower->arena, kt_nest, total);
    bool *taken = KT_NEW_ARRAY(lower->arena, bool, total);
    kt_dim units = kt_dim_const(lower->dims, 0);
    for (uint32_t i = 0; i < total; i++) {
        if (taken[i]) continue;
        kt_stored *stores = KT_NEW_ARRAY(lower->arena, kt_stored, (size_t)total * KT_MOST_PARTS);
        uint32_t count = 0;
        for (uint32_t j = i; j < total; j++) {
            if (taken[j] || !same_places(lower, i, j)) continue;
            taken[j] = true;
            add_stores(lower, j, stores, &count);
        }
        kt_nest n = kt_nest_plan(lower, stores, count);
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
