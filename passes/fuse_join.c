/* Groups that are one kernel with several results.
 *
 * Elementwise groups over one shape, of which one uses what the other computes, read and write less as one
 * kernel: an optimizer's moments and what it makes of them are read once. The earlier group moves to where
 * the later one stands, so between the two nobody may use its result. */
#include "passes/fuse_impl.h"

enum { MOST_NODES = 48, MOST_RESULTS = 6 };

typedef KT_VECTOR(uint32_t) index_list;

typedef struct joining {
    kt_grouping *g;
    uint32_t *place;     /* by node: its place in the function */
    index_list *members; /* by node: the groups that it is a member of */
    index_list *users;   /* by node: the places of nodes that use its results */
} joining;

static const kt_node_info *info_of(const joining *j, kt_node node) {
    return kt_graph_node(j->g->graph, node);
}

static const kt_type *type_of(const joining *j, kt_node node) {
    return kt_graph_type(j->g->graph, info_of(j, node)->first_result);
}

/* Elementwise operations, and broadcasts of what comes from outside: all at the index of the result. */
static bool is_pointwise(const joining *j, const kt_group *group) {
    if (group->heavy || group->rows || type_of(j, group->root)->rank == 0) return false;
    for (uint32_t i = 0; i < group->members.count; i++) {
        const kt_member *member = &group->members.at[i];
        kt_op op = info_of(j, member->node)->op;
        if (op == KT_OP_constant || j->g->uniform[member->node]) continue;
        if (!kt_op_is(op, KT_ELEMENTWISE) && op != KT_OP_broadcast) return false;
        if (member->at != KT_AT_RESULT) return false;
    }
    return true;
}

static bool same_shape(const kt_type *a, const kt_type *b) {
    bool same = a->rank == b->rank;
    for (int i = 0; i < a->rank && same; i++) same = a->dims[i] == b->dims[i];
    return same;
}

static bool holds(const index_list *list, uint32_t index) {
    for (uint32_t i = 0; i < list->count; i++)
        if (list->at[i] == index) return true;
    return false;
}

/* Do the members of group `later` take the node's result at the index of theirs? */
static bool takes_at_result(const joining *j, const kt_group *later, kt_node node) {
    bool taken = false;
    for (uint32_t i = 0; i < later->members.count; i++) {
        const kt_node_info *user = info_of(j, later->members.at[i].node);
        for (uint32_t k = 0; k < user->operand_count; k++) {
            if (kt_graph_value(j->g->graph, user->operands[k])->node != node) continue;
            if (!kt_op_is(user->op, KT_ELEMENTWISE)) return false;
            taken = true;
        }
    }
    return taken;
}

/* Is a result of group `earlier` used, but by the later group, only behind that one's root? */
static bool can_wait(const joining *j, uint32_t earlier, uint32_t later) {
    const kt_grouping *g = j->g;
    uint32_t end = j->place[g->groups.at[later].root];
    const kt_group *group = &g->groups.at[earlier];
    for (uint32_t r = 0; r <= group->others.count; r++) {
        kt_node root = r ? group->others.at[r - 1] : group->root;
        for (uint32_t i = 0; i < j->users[root].count; i++) {
            kt_node user = g->function->nodes.at[j->users[root].at[i]];
            const index_list *in = &j->members[user];
            if (!g->live[user] || holds(in, earlier)) continue;
            if (in->count == 0 && j->users[root].at[i] <= end) return false; /* it stands in the entry */
            for (uint32_t k = 0; k < in->count; k++)
                if (in->at[k] != later && j->place[g->groups.at[in->at[k]].root] <= end) return false;
        }
    }
    return true;
}

/* Moves the earlier group into the later one, members in reverse order of the function. */
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
        if (!holds(&j->members[member.node], later)) KT_PUSH(arena, &j->members[member.node], later);
    }
    KT_PUSH(arena, &into->others, from->root);
    for (uint32_t i = 0; i < from->others.count; i++) KT_PUSH(arena, &into->others, from->others.at[i]);
    g->rooted[from->root] = 0;
    from->members.count = 0;
    from->joined = true;
}

static bool try_merge(joining *j, uint32_t earlier, uint32_t later) {
    const kt_group *a = &j->g->groups.at[earlier], *b = &j->g->groups.at[later];
    if (a->joined || a->members.count + b->members.count > MOST_NODES ||
        a->others.count + b->others.count + 2 > MOST_RESULTS)
        return false;
    if (!is_pointwise(j, a) || !same_shape(type_of(j, a->root), type_of(j, b->root))) return false;
    if (!takes_at_result(j, b, a->root) || !can_wait(j, earlier, later)) return false;
    merge(j, earlier, later);
    return true;
}

/* Merges into the group all that it uses and that may be, then what those use. */
static void gather(joining *j, uint32_t later) {
    kt_grouping *g = j->g;
    for (bool again = true; again;) {
        again = false;
        kt_group *group = &g->groups.at[later];
        for (uint32_t i = 0; i < group->members.count && !again; i++) {
            const kt_node_info *node = info_of(j, group->members.at[i].node);
            for (uint32_t k = 0; k < node->operand_count && !again; k++) {
                kt_node operand = kt_graph_value(g->graph, node->operands[k])->node;
                uint32_t rooted = operand ? g->rooted[operand] : 0;
                if (rooted && rooted - 1 != later) again = try_merge(j, rooted - 1, later);
            }
        }
    }
}

void kt_fuse_join(kt_grouping *g) {
    joining j = {.g = g};
    kt_arena *arena = g->run->scratch;
    const kt_graph *graph = g->graph;
    j.place = KT_NEW_ARRAY(arena, uint32_t, graph->nodes.count);
    j.members = KT_NEW_ARRAY(arena, index_list, graph->nodes.count);
    j.users = KT_NEW_ARRAY(arena, index_list, graph->nodes.count);
    for (uint32_t i = 0; i < g->function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, g->function->nodes.at[i]);
        j.place[g->function->nodes.at[i]] = i;
        for (uint32_t k = 0; k < node->operand_count; k++) {
            kt_node operand = kt_graph_value(graph, node->operands[k])->node;
            if (operand) KT_PUSH(arena, &j.users[operand], i);
        }
    }
    for (uint32_t i = 0; i < g->groups.count; i++)
        for (uint32_t k = 0; k < g->groups.at[i].members.count; k++)
            KT_PUSH(arena, &j.members[g->groups.at[i].members.at[k].node], i);
    for (uint32_t i = 0; i < g->groups.count; i++) /* the last of the function first */
        if (!g->groups.at[i].joined && is_pointwise(&j, &g->groups.at[i])) gather(&j, i);
}
