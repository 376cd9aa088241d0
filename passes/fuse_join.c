/* Groups that are one kernel with several results.
 *
 * Elementwise groups over one shape, of which one uses what the other computes, or both the same, read and
 * write less as one kernel: an optimizer's moments and what it makes of them are read once, as is what the
 * gates of a recurrent step are made of. The earlier group moves to where the later one stands, so between
 * the two nobody may use its result. It may hold a contraction, whose sums are kept for others, too, and that
 * then writes both. Groups gather from the last of the function on: so an earlier one has one result yet. */
#include "passes/fuse_impl.h"

enum { MOST_NODES = 96, MOST_RESULTS = 6 };

typedef KT_VECTOR(uint32_t) places;

typedef struct joining {
    kt_grouping *g;
    uint32_t *place;         /* by node: its place in the function */
    kt_fuse_groups *members; /* by node: the groups that it is a member of */
    places *users;           /* by value: of nodes that use it */
    bool *returned;          /* by value: it, or a view of it, is a result of the function */
} joining;

static const kt_node_info *info_of(const joining *j, kt_node node) {
    return kt_graph_node(j->g->graph, node);
}

/* The type whose places the group's kernel goes over. */
static const kt_type *places_of(const joining *j, const kt_group *group) {
    return kt_graph_places(j->g->graph, info_of(j, group->root)->first_result);
}

/* Is node the root of the group, or of one that joined it, and a concat of parts at the index of its result?
 */
static bool joins_parts(const joining *j, const kt_group *group, kt_node node) {
    bool root = node == group->root;
    for (uint32_t i = 0; i < group->others.count && !root; i++) root = group->others.at[i] == node;
    return root && kt_graph_parted(j->g->graph, info_of(j, node)->first_result);
}

/* Elementwise operations, and broadcasts and slices of what comes from outside: all at the index of the
 * result. */
static bool is_pointwise(const joining *j, const kt_group *group) {
    if (group->heavy || group->rows || places_of(j, group)->rank == 0) return false;
    for (uint32_t i = 0; i < group->members.count; i++) {
        const kt_member *member = &group->members.at[i];
        kt_op op = info_of(j, member->node)->op;
        if (op == KT_OP_constant || j->g->uniform[member->node]) continue;
        if (!kt_op_is(op, KT_ELEMENTWISE) && op != KT_OP_broadcast && op != KT_OP_slice &&
            !joins_parts(j, group, member->node))
            return false;
        if (member->at != KT_AT_RESULT) return false;
    }
    return true;
}

/* A contraction with what follows it elementwise. */
static bool is_product(const joining *j, const kt_group *group) {
    if (!group->heavy || !kt_fuse_takes_epilogue(j->g, group->heavy)) return false;
    for (uint32_t i = 0; i < group->members.count; i++) {
        kt_op op = info_of(j, group->members.at[i].node)->op;
        bool behind = kt_op_is(op, KT_ELEMENTWISE) || op == KT_OP_broadcast || op == KT_OP_constant;
        bool operand = group->members.at[i].at == KT_AT_OPERAND;
        if (!behind && !operand && group->members.at[i].node != group->heavy) return false;
    }
    return true;
}

/* Root number i of a group, those of joined ones behind its own. */
static kt_node root_at(const kt_group *group, uint32_t i) {
    return i ? group->others.at[i - 1] : group->root;
}

/* Do the members of group `later` take the result of the earlier one, if they take it, at the index of
 * theirs?
 */
static bool takes_at_result(const joining *j, const kt_group *later, const kt_group *earlier) {
    for (uint32_t i = 0; i < later->members.count; i++) {
        kt_node user = later->members.at[i].node;
        const kt_node_info *info = info_of(j, user);
        if (kt_op_is(info->op, KT_ELEMENTWISE) || joins_parts(j, later, user)) continue;
        for (uint32_t k = 0; k < info->operand_count; k++)
            if (kt_graph_value(j->g->graph, info->operands[k])->node == earlier->root) return false;
    }
    return true;
}

/* Is the result of group `earlier` used, but by the later group, only behind that one's root? */
static bool can_wait(const joining *j, uint32_t earlier, uint32_t later) {
    const kt_grouping *g = j->g;
    uint32_t end = j->place[g->groups.at[later].root];
    const places *users = &j->users[info_of(j, g->groups.at[earlier].root)->first_result];
    for (uint32_t i = 0; i < users->count; i++) {
        kt_node user = g->function->nodes.at[users->at[i]];
        const kt_fuse_groups *in = &j->members[user];
        if (!g->live[user] || kt_fuse_holds(in, earlier)) continue;
        if (in->count == 0 && users->at[i] <= end) return false; /* it stands in the entry */
        for (uint32_t k = 0; k < in->count; k++) {
            const kt_group *other = &g->groups.at[in->at[k]];
            if (in->at[k] != later && !other->joined && j->place[other->root] <= end) return false;
        }
    }
    return true;
}

/* Does anything but the groups a and b use what node gives? */
static bool is_used_outside(const joining *j, kt_node node, uint32_t a, uint32_t b) {
    const kt_grouping *g = j->g;
    kt_value value = info_of(j, node)->first_result;
    if (j->returned[value]) return true;
    for (uint32_t i = 0; i < j->users[value].count; i++) {
        kt_node user = g->function->nodes.at[j->users[value].at[i]];
        const kt_fuse_groups *in = &j->members[user];
        if (g->live[user] && in->count == 0) return true;
        for (uint32_t k = 0; k < in->count; k++)
            if (in->at[k] != a && in->at[k] != b && !g->groups.at[in->at[k]].joined) return true;
    }
    return false;
}

/* Can the later group be what follows the sums of the earlier one, which are kept? Not where it writes what
 * the function returns: that could be a variable, written in place by elementwise kernels only. */
static bool follows_product(const joining *j, uint32_t earlier, uint32_t later) {
    const kt_grouping *g = j->g;
    const kt_group *from = &g->groups.at[earlier], *into = &g->groups.at[later];
    kt_value sums = info_of(j, from->root)->first_result;
    bool uses = false;
    for (uint32_t i = 0; i < into->members.count; i++) {
        const kt_node_info *node = info_of(j, into->members.at[i].node);
        if (!kt_op_is(node->op, KT_ELEMENTWISE) && node->op != KT_OP_broadcast && node->op != KT_OP_constant)
            return false;
        for (uint32_t k = 0; k < node->operand_count; k++) uses = uses || node->operands[k] == sums;
    }
    for (uint32_t r = 0; r <= into->others.count; r++)
        if (j->returned[info_of(j, root_at(into, r))->first_result]) return false;
    return uses && is_product(j, from) && is_used_outside(j, from->root, earlier, later);
}

/* Moves the earlier group into the later one, members in reverse order of the function. What only the two use
 * is no result any more. */
static void merge(joining *j, uint32_t earlier, uint32_t later) {
    kt_grouping *g = j->g;
    kt_arena *arena = g->run->scratch;
    kt_group *from = &g->groups.at[earlier], *into = &g->groups.at[later], old = *into;
    into->members.count = into->members.capacity = 0;
    into->members.at = NULL;
    for (uint32_t a = 0, b = 0; a < old.members.count || b < from->members.count;) {
        bool first =
            b == from->members.count ||
            (a < old.members.count && j->place[old.members.at[a].node] >= j->place[from->members.at[b].node]);
        bool both = a < old.members.count && b < from->members.count &&
                    old.members.at[a].node == from->members.at[b].node;
        const kt_member member = first ? old.members.at[a] : from->members.at[b];
        a += first || both;
        b += !first || both;
        KT_PUSH(arena, &into->members, member);
        if (!kt_fuse_holds(&j->members[member.node], later)) KT_PUSH(arena, &j->members[member.node], later);
    }
    into->others.count = into->others.capacity = 0;
    into->others.at = NULL;
    for (uint32_t i = 0; i < old.others.count; i++)
        if (is_used_outside(j, old.others.at[i], earlier, later))
            KT_PUSH(arena, &into->others, old.others.at[i]);
    if (is_used_outside(j, from->root, earlier, later)) KT_PUSH(arena, &into->others, from->root);
    into->heavy = from->heavy;
    g->rooted[from->root] = 0;
    from->members.count = 0;
    from->joined = true;
}

static bool try_merge(joining *j, uint32_t earlier, uint32_t later) {
    const kt_group *a = &j->g->groups.at[earlier], *b = &j->g->groups.at[later];
    uint32_t results = is_used_outside(j, a->root, earlier, later);
    for (uint32_t i = 0; i <= b->others.count; i++)
        results += is_used_outside(j, root_at(b, i), earlier, later);
    if (a->joined || a->members.count + b->members.count > MOST_NODES || results > MOST_RESULTS) return false;
    if (b->heavy || (!is_pointwise(j, a) && !follows_product(j, earlier, later))) return false;
    if (!kt_type_same_shape(places_of(j, a), places_of(j, b))) return false;
    if (!takes_at_result(j, b, a) || !can_wait(j, earlier, later)) return false;
    merge(j, earlier, later);
    return true;
}

/* Merges into the group one that makes an operand of a member, or that uses it as well. */
static bool gather_by(joining *j, uint32_t later, const kt_node_info *member, kt_value operand) {
    const kt_grouping *g = j->g;
    kt_node node = kt_graph_value(g->graph, operand)->node;
    uint32_t rooted = node ? g->rooted[node] : 0;
    if (rooted && rooted - 1 != later && try_merge(j, rooted - 1, later)) return true;
    if (member->op == KT_OP_broadcast || kt_graph_type(g->graph, operand)->rank == 0) return false;
    if (node && kt_fuse_holds(&j->members[node], later)) return false;
    const places *users = &j->users[operand];
    for (uint32_t i = 0; i < users->count; i++) {
        kt_node user = g->function->nodes.at[users->at[i]];
        const kt_fuse_groups *in = &j->members[user];
        for (uint32_t k = 0; k < in->count && info_of(j, user)->op != KT_OP_broadcast; k++)
            if (j->place[g->groups.at[in->at[k]].root] < j->place[g->groups.at[later].root] &&
                try_merge(j, in->at[k], later))
                return true;
    }
    return false;
}

/* Merges into the group all that may be, then what those use. */
static void gather(joining *j, uint32_t later) {
    for (bool again = true; again;) {
        again = false;
        const kt_group *group = &j->g->groups.at[later];
        for (uint32_t i = 0; i < group->members.count && !again; i++) {
            const kt_node_info *node = info_of(j, group->members.at[i].node);
            for (uint32_t k = 0; k < node->operand_count && !again; k++)
                again = gather_by(j, later, node, node->operands[k]);
        }
    }
}

static void find_returned(joining *j) {
    const kt_grouping *g = j->g;
    j->returned = KT_NEW_ARRAY(g->run->scratch, bool, g->graph->values.count);
    for (uint32_t i = 0; i < g->function->results.count; i++)
        j->returned[g->function->results.at[i].value] = true;
    for (uint32_t i = g->function->nodes.count; i-- > 0;) {
        const kt_node_info *node = info_of(j, g->function->nodes.at[i]);
        if (node->op == KT_OP_reshape && j->returned[node->first_result])
            j->returned[node->operands[0]] = true;
    }
}

void kt_fuse_join(kt_grouping *g) {
    joining j = {.g = g};
    kt_arena *arena = g->run->scratch;
    const kt_graph *graph = g->graph;
    j.place = KT_NEW_ARRAY(arena, uint32_t, graph->nodes.count);
    j.members = KT_NEW_ARRAY(arena, kt_fuse_groups, graph->nodes.count);
    j.users = KT_NEW_ARRAY(arena, places, graph->values.count);
    for (uint32_t i = 0; i < g->function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, g->function->nodes.at[i]);
        j.place[g->function->nodes.at[i]] = i;
        for (uint32_t k = 0; k < node->operand_count; k++) KT_PUSH(arena, &j.users[node->operands[k]], i);
    }
    find_returned(&j);
    for (uint32_t i = 0; i < g->groups.count; i++)
        for (uint32_t k = 0; k < g->groups.at[i].members.count; k++)
            KT_PUSH(arena, &j.members[g->groups.at[i].members.at[k].node], i);
    for (uint32_t i = 0; i < g->groups.count; i++) /* the last of the function first */
        if (!g->groups.at[i].joined && is_pointwise(&j, &g->groups.at[i])) gather(&j, i);
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* The elementwise group that makes value; NULL: none. */
static kt_group *find_maker(joining *j, kt_value value) {
    kt_node node = kt_graph_value(j->g->graph, value)->node;
    for (uint32_t i = 0; i < j->g->groups.count && node; i++) {
        kt_group *group = &j->g->groups.at[i];
        for (uint32_t r = 0; r <= group->others.count && !group->joined; r++)
            if (root_at(group, r) == node) return is_pointwise(j, group) ? group : NULL;
    }
    return NULL;
}

void kt_fuse_copy(kt_grouping *g, uint32_t carried) {
    joining j = {.g = g};
    const kt_function *step = g->function;
    for (uint32_t i = carried; i < step->results.count; i++) {
        kt_value value = step->results.at[i].value, made = value;
        bool again = false;
        for (uint32_t k = 0; k < i; k++) {
            again = again || step->results.at[k].value == value;
            /* What is carried in its place overwrites it. */
            if (k < carried && step->params.at[k].value == value) made = step->results.at[k].value;
        }
        kt_group *group = again || made != value ? find_maker(&j, made) : NULL;
        if (group && kt_type_same_shape(places_of(&j, group), kt_graph_type(g->graph, value)))
            KT_PUSH(g->run->scratch, &group->copies, i);
    }
}
