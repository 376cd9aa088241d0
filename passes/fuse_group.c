/* Which nodes become one kernel.
 *
 * Nodes are visited from the last to the first, and each joins the groups of its users where it can, else
 * begins its own. A group has one result, the root's; all that its other members compute is used within. So
 * no cycle can arise between groups: a path out of a group starts at its root, from which no member can be
 * reached.
 *
 * A node with users in several groups is written into each of them if it costs next to nothing (constants,
 * broadcasts, slices); any other begins its own group.
 *
 * A group is of one of these kinds:
 *   elementwise  elementwise operations and views, evaluated backwards from the index of the result; a concat
 *                of like parts at its root has the index of these
 *   heavy        one contraction, convolution or reduction; behind it elementwise operations on results of
 *                its shape, with broadcasts of parameters, constants and scalars; before it, reductions only,
 *                elementwise operations and views. A contraction also takes transposes that change strides
 *                alone: of operands that it can read where they lie, and of its result, vectors staying whole
 *   chained      a contraction whose first operand is made of another one's result: both, and what is between
 *                (fuse_between.c)
 *   rows         several reductions over the same trailing axes, and elementwise operations of the shape of
 *                what is reduced or of what stays: softmax, layer norm */
#include "passes/fuse_impl.h"

enum {
    MOST_MEMBERS = 64, /* of a group: bounds the code of a kernel, and the time taken here */
};

static bool is_contraction(kt_op op) {
    return op == KT_OP_dot_general || op == KT_OP_conv || op == KT_OP_conv_by_kernel || op == KT_OP_winograd;
}

static bool is_reduction(kt_op op) {
    return op == KT_OP_reduce || op == KT_OP_arg_reduce || op == KT_OP_reduce_window;
}

/* Goes through its result in an order of its own, so that nothing is computed along with it. */
static bool is_alone(kt_op op) { return op == KT_OP_cumulative || op == KT_OP_scatter; }

bool kt_fuse_is_cheap(kt_op op) {
    switch (op) {
    case KT_OP_neg:
    case KT_OP_abs:
    case KT_OP_sign:
    case KT_OP_floor:
    case KT_OP_ceil:
    case KT_OP_round:
    case KT_OP_trunc:
    case KT_OP_not:
    case KT_OP_stop_gradient:
    case KT_OP_is_nan:
    case KT_OP_is_finite:
    case KT_OP_add:
    case KT_OP_sub:
    case KT_OP_mul:
    case KT_OP_maximum:
    case KT_OP_minimum:
    case KT_OP_and:
    case KT_OP_or:
    case KT_OP_xor:
    case KT_OP_shift_left:
    case KT_OP_shift_right:
    case KT_OP_eq:
    case KT_OP_ne:
    case KT_OP_lt:
    case KT_OP_le:
    case KT_OP_gt:
    case KT_OP_ge:
    case KT_OP_select:
    case KT_OP_cast: return true;
    default: return false;
    }
}

/* Views through which an operand's element is read more than once, or whose operands are chosen among. */
static bool repeats(kt_op op) { return op == KT_OP_broadcast || op == KT_OP_gather || op == KT_OP_concat; }

static const kt_type *result_type(const kt_grouping *g, kt_node node) {
    return kt_graph_type(g->graph, kt_graph_node(g->graph, node)->first_result);
}

static kt_node defining(const kt_grouping *g, kt_value value) {
    return kt_graph_value(g->graph, value)->node;
}

static bool may_be_repeated(const kt_grouping *g, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    if (g->uniform[node] || kt_pass_is_small_constant(g->graph, info)) return true;
    if (g->run->options->level == 0) return false;
    return info->op == KT_OP_broadcast || info->op == KT_OP_slice || info->op == KT_OP_reverse ||
           info->op == KT_OP_iota;
}

/* ---- facts about nodes, computed forwards ---------------------------------------------------- */

static void find_uniform(kt_grouping *g, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    bool uniform = info->result_count == 1 && result_type(g, node)->rank == 0;
    if (info->op == KT_OP_constant)
        uniform = uniform && kt_pass_is_small_constant(g->graph, info);
    else if (info->op != KT_OP_size)
        uniform = uniform && kt_op_is(info->op, KT_ELEMENTWISE) && g->run->options->level > 0;
    for (uint32_t i = 0; i < info->operand_count; i++)
        uniform = uniform && g->uniform[defining(g, info->operands[i])];
    g->uniform[node] = uniform;
}

bool kt_fuse_takes_epilogue(const kt_grouping *g, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    return is_contraction(info->op) && !kt_pass_calls_blas(g->run, info);
}

static void find_anchored(kt_grouping *g, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    if (!kt_op_is(info->op, KT_ELEMENTWISE)) return;
    for (uint32_t i = 0; i < info->operand_count; i++) {
        kt_node before = defining(g, info->operands[i]);
        if (!before || g->uses[info->operands[i]] != 1) continue;
        kt_op op = kt_graph_node(g->graph, before)->op;
        g->anchored[node] = g->anchored[node] || kt_fuse_takes_epilogue(g, before) ||
                            op == KT_OP_reduce_window || g->anchored[before];
    }
}

bool kt_fuse_reduces_rows(const kt_grouping *g, kt_node node, kt_type *out_row, int *out_outer) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    if (info->op != KT_OP_reduce) return false;
    const kt_attrs_reduce *attrs = info->attrs;
    *out_row = *kt_graph_type(g->graph, info->operands[0]);
    *out_outer = out_row->rank - (int)attrs->axes.count;
    for (uint32_t i = 0; i < attrs->axes.count; i++)
        if (attrs->axes.at[i] != *out_outer + (int)i) return false;
    return attrs->axes.count > 0;
}

static void find_reduced(kt_grouping *g, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    kt_type row;
    int outer = 0;
    for (uint32_t i = 0; i < info->operand_count && kt_op_is(info->op, KT_ELEMENTWISE); i++) {
        kt_node before = defining(g, info->operands[i]);
        if (kt_fuse_reduces_rows(g, before, &row, &outer))
            g->reduced[node] = before;
        else if (g->reduced[before])
            g->reduced[node] = g->reduced[before];
    }
}

/* ---- groups ---------------------------------------------------------------------------------- */

static int find_member(const kt_group *group, kt_node node) {
    for (uint32_t i = group->members.count; i-- > 0;)
        if (group->members.at[i].node == node) return (int)i;
    return -1;
}

static bool uses_result_of(const kt_grouping *g, kt_node user, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, user);
    for (uint32_t i = 0; i < info->operand_count; i++)
        if (defining(g, info->operands[i]) == node) return true;
    return false;
}

/* Is node a transpose that keeps the last axis last? */
static bool keeps_vectors(const kt_grouping *g, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    if (info->op != KT_OP_transpose) return false;
    const kt_ints *axes = &((const kt_attrs_transpose *)info->attrs)->axes;
    return axes->count > 0 && axes->at[axes->count - 1] == (int64_t)axes->count - 1;
}

/* What the group computes, at the same index in other words: its result before the transpose that it may end
 * in. */
static const kt_type *stored_type(const kt_grouping *g, const kt_group *group) {
    if (!keeps_vectors(g, group->root)) return result_type(g, group->root);
    return kt_graph_type(g->graph, kt_graph_node(g->graph, group->root)->operands[0]);
}

/* Can the contraction read operand number i as it lies before the transpose? Its rows must keep one distance,
 * and columns stay side by side. */
static bool reads_transposed(const kt_grouping *g, kt_node contraction, kt_node transpose) {
    const kt_node_info *info = kt_graph_node(g->graph, contraction);
    const kt_attrs_dot_general *attrs = info->attrs;
    const kt_ints *axes = &((const kt_attrs_transpose *)kt_graph_node(g->graph, transpose)->attrs)->axes;
    if (info->op != KT_OP_dot_general || attrs->lhs_contract.count != 1) return false;
    kt_value value = kt_graph_node(g->graph, transpose)->first_result;
    if (!kt_dtype_is_float(kt_graph_type(g->graph, value)->dtype) || info->operands[0] == info->operands[1])
        return false;
    int rank = (int)axes->count, batch = (int)attrs->lhs_batch.count;
    if (info->operands[1] == value)
        return attrs->panel == 0 && attrs->rhs_contract.at[0] == batch && rank == batch + 2 &&
               keeps_vectors(g, transpose);
    if (attrs->lhs_contract.at[0] != rank - 1) return false;
    for (int axis = batch; axis + 2 < rank; axis++)
        if (axes->at[axis + 1] != axes->at[axis] + 1) return false;
    return true;
}

/* Is node a transpose that a contraction of the group reads through, at no cost? */
static bool is_read_in_place(const kt_grouping *g, const kt_group *group, kt_node node) {
    if (kt_graph_node(g->graph, node)->op != KT_OP_transpose || g->run->options->level == 0) return false;
    for (uint32_t i = 0; i < group->members.count && group->heavy; i++) {
        kt_node user = group->members.at[i].node;
        bool contraction = user == group->heavy || g->between[user] == group->heavy;
        if (contraction && uses_result_of(g, user, node) && reads_transposed(g, user, node)) return true;
    }
    return false;
}

/* Does the group use node in what is between its chained products only, and cost next to nothing there? */
static bool helps_between(const kt_grouping *g, const kt_group *group, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    for (uint32_t i = 0; i < group->members.count; i++) {
        kt_node user = group->members.at[i].node;
        if (uses_result_of(g, user, node) && is_contraction(kt_graph_node(g->graph, user)->op)) return false;
    }
    return g->uniform[node] || kt_pass_is_small_constant(g->graph, info) || info->op == KT_OP_broadcast;
}

/* Is node the group's root, and a concat whose parts are computed at one index? */
static bool joins_parts(const kt_grouping *g, const kt_group *group, kt_node node) {
    return node == group->root && kt_graph_parted(g->graph, kt_graph_node(g->graph, node)->first_result);
}

/* Where a node would be evaluated, given its users in the group. */
static unsigned place(const kt_grouping *g, const kt_group *group, kt_node node) {
    unsigned at = 0;
    for (uint32_t i = 0; i < group->members.count; i++) {
        kt_node user = group->members.at[i].node;
        kt_op op = kt_graph_node(g->graph, user)->op;
        if (!uses_result_of(g, user, node)) continue;
        if (is_reduction(op) || is_contraction(op))
            at |= KT_AT_OPERAND;
        else if (kt_op_is(op, KT_ELEMENTWISE) || (user == group->root && keeps_vectors(g, user)) ||
                 joins_parts(g, group, user))
            at |= group->members.at[i].at;
        else
            at |= group->members.at[i].at & KT_AT_OPERAND ? KT_AT_OPERAND : KT_AT_VIEW;
        if (repeats(op) && !joins_parts(g, group, user)) at |= KT_AT_REPEATED;
        if (kt_op_is(op, KT_VIEW)) at |= group->members.at[i].at & KT_AT_REPEATED;
    }
    return at;
}

/* Is the operand of a broadcast a parameter of the kernel, or a scalar that is computed on the spot? */
static bool spreads_parameter(const kt_grouping *g, const kt_group *group, kt_node broadcast) {
    kt_node operand = defining(g, kt_graph_node(g->graph, broadcast)->operands[0]);
    return !operand || g->uniform[operand] || find_member(group, operand) < 0;
}

/* May a heavy operation join, whose result the group's other members take at the index of theirs? */
static bool is_epilogue(const kt_grouping *g, const kt_group *group) {
    for (uint32_t i = 0; i < group->members.count; i++) {
        kt_node member = group->members.at[i].node;
        kt_op op = kt_graph_node(g->graph, member)->op;
        if (g->uniform[member] || op == KT_OP_constant) continue;
        if (member == group->root && keeps_vectors(g, member)) continue;
        if (group->members.at[i].at != KT_AT_RESULT) return false;
        if (op == KT_OP_broadcast ? !spreads_parameter(g, group, member) : !kt_op_is(op, KT_ELEMENTWISE))
            return false;
    }
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_row_shape(const kt_group *group, const kt_type *type) {
    kt_type stays = group->row;
    stays.rank = (uint8_t)group->outer;
    return kt_type_same_shape(type, &group->row) || kt_type_same_shape(type, &stays);
}

/* Do the group's broadcasts of node go from what stays to what is reduced, axis i to axis i? */
static bool spreads_along_rows(const kt_grouping *g, const kt_group *group, kt_node node) {
    for (uint32_t i = 0; i < group->members.count; i++) {
        const kt_node_info *user = kt_graph_node(g->graph, group->members.at[i].node);
        if (user->op != KT_OP_broadcast || !uses_result_of(g, group->members.at[i].node, node)) continue;
        const kt_ints *axes = &((const kt_attrs_broadcast *)user->attrs)->axes;
        for (uint32_t k = 0; k < axes->count; k++)
            if (axes->at[k] != k) return false;
    }
    return true;
}

/* May node be a member of a row kernel? Its users in the group are. */
static bool fits_rows(const kt_grouping *g, const kt_group *group, kt_node node) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    kt_type row;
    int outer = 0;
    if (g->uniform[node] || info->op == KT_OP_constant) return true;
    if (!is_row_shape(group, result_type(g, node)) || !spreads_along_rows(g, group, node)) return false;
    if (info->op == KT_OP_reduce)
        return kt_fuse_reduces_rows(g, node, &row, &outer) && outer == group->outer &&
               kt_type_same_shape(&row, &group->row);
    return kt_op_is(info->op, KT_ELEMENTWISE) || info->op == KT_OP_broadcast;
}

/* Makes a row kernel of the group, with rows as reduction reduces them, if node and all its members fit. */
static bool join_rows(const kt_grouping *g, kt_group *group, kt_node node, kt_node reduction) {
    kt_group rows = *group;
    if (!group->rows && !kt_fuse_reduces_rows(g, reduction, &rows.row, &rows.outer)) return false;
    if (!fits_rows(g, &rows, node)) return false;
    for (uint32_t i = 0; i < group->members.count && !group->rows; i++)
        if (!fits_rows(g, &rows, group->members.at[i].node)) return false;
    rows.rows = true;
    rows.heavy = 0;
    *group = rows;
    return true;
}

/* ---- joining --------------------------------------------------------------------------------- */

static bool elementwise_joins(const kt_grouping *g, kt_group *group, kt_node node, unsigned at) {
    bool cheap = kt_fuse_is_cheap(kt_graph_node(g->graph, node)->op);
    if (g->uniform[node]) return true;
    if (group->rows) return !g->anchored[node] && fits_rows(g, group, node);
    /* Rows are one kernel, which a transpose or concat is not part of; contractions go on with their sums. */
    bool parts = joins_parts(g, group, group->root);
    if (g->reduced[node] && (parts || kt_graph_node(g->graph, group->root)->op == KT_OP_transpose))
        return false;
    if (g->anchored[node] && parts) return false;
    if (at == KT_AT_RESULT) return true;
    if (g->anchored[node]) return false; /* it is better off behind its contraction */
    if (group->heavy) {
        kt_op heavy = kt_graph_node(g->graph, group->heavy)->op;
        if ((at & ~(unsigned)KT_AT_REPEATED) != KT_AT_OPERAND || is_contraction(heavy)) return false;
        if (heavy == KT_OP_reduce_window && !cheap) return false;
    } else if (g->anchored[group->root]) {
        return false;
    }
    if (!(at & KT_AT_REPEATED) || cheap) return true;
    return g->reduced[node] && join_rows(g, group, node, g->reduced[node]); /* once a row, then */
}

static bool view_joins(const kt_grouping *g, const kt_group *group, kt_node node, unsigned at) {
    kt_op op = kt_graph_node(g->graph, node)->op;
    if (op == KT_OP_reshape) return false; /* it is free between kernels */
    if (group->rows) return op == KT_OP_broadcast && fits_rows(g, group, node);
    if (!group->heavy) return op == KT_OP_broadcast || !g->anchored[group->root];
    kt_op heavy = kt_graph_node(g->graph, group->heavy)->op;
    if (at == KT_AT_RESULT) return op == KT_OP_broadcast;
    bool operand = (at & ~(unsigned)KT_AT_REPEATED) == KT_AT_OPERAND && !is_contraction(heavy);
    return operand && (op == KT_OP_broadcast || heavy != KT_OP_reduce_window);
}

static bool heavy_joins(const kt_grouping *g, kt_group *group, kt_node node, unsigned at) {
    bool moved = keeps_vectors(g, group->root),
         contraction = is_contraction(kt_graph_node(g->graph, node)->op);
    if (!group->rows && !group->heavy && at == KT_AT_RESULT && (contraction || !moved) &&
        is_epilogue(g, group) && kt_type_same_shape(result_type(g, node), stored_type(g, group))) {
        group->heavy = node;
        return true;
    }
    return join_rows(g, group, node, node);
}

static bool joins(const kt_grouping *g, kt_group *group, kt_node node, unsigned at) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    if (is_alone(kt_graph_node(g->graph, group->root)->op)) return kt_pass_is_small_constant(g->graph, info);
    for (uint32_t i = 0; i < group->members.count; i++) /* of the key and the counter: once, before */
        if (kt_graph_node(g->graph, group->members.at[i].node)->op == KT_OP_philox &&
            uses_result_of(g, group->members.at[i].node, node))
            return kt_pass_is_small_constant(g->graph, info);
    bool contraction_operand =
        group->heavy && (at & KT_AT_OPERAND) && is_contraction(kt_graph_node(g->graph, group->heavy)->op);
    if (g->between[node]) return true;
    if (group->members.count >= MOST_MEMBERS) return false;
    if (contraction_operand)
        return (at == KT_AT_OPERAND && is_read_in_place(g, group, node)) || helps_between(g, group, node);
    if (kt_pass_is_small_constant(g->graph, info)) return true;
    if (g->run->options->level == 0) return false;
    if (kt_op_is(info->op, KT_ELEMENTWISE) || info->op == KT_OP_size)
        return elementwise_joins(g, group, node, at);
    if (info->op == KT_OP_philox) return !group->rows && !group->heavy && at == KT_AT_RESULT;
    if (info->op == KT_OP_iota)
        return !group->rows && !(group->heavy && is_contraction(kt_graph_node(g->graph, group->heavy)->op));
    if (kt_op_is(info->op, KT_VIEW)) return view_joins(g, group, node, at);
    return (kt_fuse_takes_epilogue(g, node) || is_reduction(info->op)) && heavy_joins(g, group, node, at);
}

static void add_member(const kt_grouping *g, kt_group *group, kt_node node, unsigned at) {
    const kt_member member = {node, at};
    KT_PUSH(g->run->scratch, &group->members, member);
}

static void begin_group(kt_grouping *g, kt_node node) {
    kt_op op = kt_graph_node(g->graph, node)->op;
    kt_group group = {.root = node, .heavy = is_contraction(op) || is_reduction(op) ? node : 0};
    add_member(g, &group, node, KT_AT_RESULT);
    KT_PUSH(g->run->scratch, &g->groups, group);
    g->rooted[node] = g->groups.count;
}

/* ---- users ----------------------------------------------------------------------------------- */

/* May node be computed in each of these groups, once for each element? */
static bool joins_all(const kt_grouping *g, kt_node node, const kt_fuse_groups *users) {
    for (uint32_t i = 0; i < users->count; i++) {
        KT_ASSERT(users->at[i] < g->groups.count && g->groups.at);
        kt_group group = g->groups.at[users->at[i]];
        unsigned at = place(g, &group, node);
        if (at & (KT_AT_VIEW | KT_AT_REPEATED) || !joins(g, &group, node, at)) return false;
    }
    return true;
}

/* Sorts node into the groups that use it. */
static void sort_node(kt_grouping *g, kt_node node, kt_fuse_groups *out_joined) {
    const kt_fuse_groups *users = &g->users[kt_graph_node(g->graph, node)->first_result];
    bool escapes = g->escapes[node];
    bool everywhere =
        may_be_repeated(g, node) || (kt_fuse_is_made_again(g, node, users) && joins_all(g, node, users));
    bool alone = users->count == 1 && !escapes;
    for (uint32_t i = 0; i < users->count; i++) {
        KT_ASSERT(users->at[i] < g->groups.count && g->groups.at);
        kt_group *group = &g->groups.at[users->at[i]];
        if (!everywhere && !alone && !is_read_in_place(g, group, node)) continue;
        unsigned at = place(g, group, node);
        if (!joins(g, group, node, at)) continue;
        add_member(g, group, node, at);
        KT_PUSH(g->run->scratch, out_joined, users->at[i]);
    }
    if (out_joined->count < users->count || escapes) {
        begin_group(g, node);
        KT_PUSH(g->run->scratch, out_joined, g->groups.count - 1);
    }
}

bool kt_fuse_stays(const kt_node_info *node) {
    return node->op == KT_OP_reshape || kt_op_is(node->op, KT_CALLS);
}

bool kt_fuse_holds(const kt_fuse_groups *groups, uint32_t group) {
    for (uint32_t i = 0; i < groups->count; i++)
        if (groups->at[i] == group) return true;
    return false;
}

void kt_fuse_group(kt_pass_run *run, const kt_function *function, kt_grouping *out_grouping) {
    const kt_graph *graph = run->graph;
    kt_grouping *g = out_grouping;
    *g = (kt_grouping){.run = run, .graph = graph, .function = function};
    g->live = kt_pass_live(run, function);
    g->uses = kt_pass_uses(run, function);
    g->anchored = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    g->uniform = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    g->reduced = KT_NEW_ARRAY(run->scratch, kt_node, graph->nodes.count);
    g->between = KT_NEW_ARRAY(run->scratch, kt_node, graph->nodes.count);
    g->rooted = KT_NEW_ARRAY(run->scratch, uint32_t, graph->nodes.count);
    g->assembled = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        find_uniform(g, function->nodes.at[i]);
        find_anchored(g, function->nodes.at[i]);
        find_reduced(g, function->nodes.at[i]);
    }
    kt_fuse_find_between(g);
    g->users = KT_NEW_ARRAY(run->scratch, kt_fuse_groups, graph->values.count);
    g->escapes = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    for (uint32_t i = 0; i < function->results.count; i++)
        g->escapes[defining(g, function->results.at[i].value)] = true;
    for (uint32_t i = function->nodes.count; i-- > 0;) {
        kt_node node = function->nodes.at[i];
        const kt_node_info *info = kt_graph_node(graph, node);
        kt_fuse_groups joined = {0};
        if (!g->live[node]) continue;
        if (!kt_fuse_stays(info)) sort_node(g, node, &joined);
        for (uint32_t k = 0; k < info->operand_count; k++) {
            kt_node operand = defining(g, info->operands[k]);
            if (kt_fuse_stays(info)) g->escapes[operand] = true;
            kt_fuse_groups *users = &g->users[info->operands[k]];
            for (uint32_t j = 0; j < joined.count; j++)
                if (!kt_fuse_holds(users, joined.at[j])) KT_PUSH(run->scratch, users, joined.at[j]);
        }
    }
}
