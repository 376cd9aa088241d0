/* Which values are computed once more in each group that uses them, instead of being written to memory and
 * read again.
 *
 * That pays where it takes no more reading: where a group reads already what the value is made of, or where
 * the value is made of one tensor that is kept for others as well, by operations that cost less than to load
 * it. What a step forwards shares with its gradient is mostly such: the error function within gelu, what
 * layer normalization subtracts and scales by. */
#include "passes/fuse_impl.h"

enum { MOST_NODES = 12 }; /* that are computed again for one value */

typedef struct search {
    const kt_grouping *g;
    const kt_fuse_groups *into;
    kt_value source; /* the tensor that would have to be read, or 0 */
    uint32_t reads;  /* of it, by nodes that are gone through */
    int nodes;
    bool costly;
} search;

/* Do all groups that the value would be computed in use this one already? */
static bool is_at_hand(const search *s, kt_value value) {
    const kt_fuse_groups *users = &s->g->users[value];
    for (uint32_t i = 0; i < s->into->count; i++)
        if (!kt_fuse_holds(users, s->into->at[i])) return false;
    return true;
}

static bool is_elementwise(const search *s, kt_node node) {
    return node && kt_op_is(kt_graph_node(s->g->graph, node)->op, KT_ELEMENTWISE);
}

/* Is it repeated wherever it is used, or small beside what is made of it? */
static bool is_free(const search *s, kt_node node) {
    const kt_node_info *info = kt_graph_node(s->g->graph, node);
    return node && (s->g->uniform[node] || info->op == KT_OP_broadcast ||
                    kt_pass_is_small_constant(s->g->graph, info));
}

/* Goes through what node is made of; false: that is too much. */
static bool visit(search *s, kt_node node) {
    const kt_grouping *g = s->g;
    const kt_node_info *info = kt_graph_node(g->graph, node);
    if (++s->nodes > MOST_NODES) return false;
    s->costly = s->costly || !kt_fuse_is_cheap(info->op);
    for (uint32_t i = 0; i < info->operand_count; i++) {
        kt_value value = info->operands[i];
        kt_node before = kt_graph_value(g->graph, value)->node;
        if (is_free(s, before) || is_at_hand(s, value)) continue;
        if (is_elementwise(s, before)) {
            const search here = *s;
            bool made = visit(s, before);
            if (made && (g->uses[value] == 1 || s->source == here.source)) continue;
            if (g->uses[value] == 1) return false;
            s->source = here.source;
            s->reads = here.reads;
            s->costly = here.costly;
        }
        if (s->source && s->source != value) return false;
        s->source = value;
        s->reads++;
    }
    return true;
}

/* Is the source there for others, too? */
static bool is_kept(const search *s) {
    kt_node node = kt_graph_value(s->g->graph, s->source)->node;
    return !node || s->g->uses[s->source] > s->reads;
}

bool kt_fuse_is_made_again(const kt_grouping *g, kt_node node, const kt_fuse_groups *into) {
    const kt_type *type = kt_graph_type(g->graph, kt_graph_node(g->graph, node)->first_result);
    search s = {.g = g, .into = into};
    if (g->run->options->level == 0 || into->count < 2 || g->escapes[node]) return false;
    if (!is_elementwise(&s, node) || type->rank == 0 || !visit(&s, node)) return false;
    if (!s.source) return true;
    return !s.costly && is_kept(&s) &&
           kt_dtype_bytes(kt_graph_type(g->graph, s.source)->dtype) <= kt_dtype_bytes(type->dtype);
}
