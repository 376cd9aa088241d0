/* Simplification: a table of rules, each of which rewrites one operation, seen with the definitions of its
 * operands, into fewer or cheaper ones.
 *
 * The function is written anew in order, so a rule already sees simplified operands; rounds follow until none
 * applies. That ends because every rule shrinks the sum, over all live nodes, of a measure that stands above
 * it; a measure that one rule shrinks is grown by none that a later rule of the list elements computed >
 * operations, weighted (div and pow 2, moves and views 1) > nodes below transposes and reshapes > constants
 * in first place does not outrank.
 *
 * What "equal" means here: integers bit for bit. Floats bit for bit too, but for (1) the sign of a zero that
 * is added, x + 0; (2) constants that follow one another, (x * 2) * 3, which are combined where neither
 * overflow nor cancellation can come of it; (3) sums whose order changes, since a reduction has none anyway.
 *
 * requires  nothing
 * keeps     results to the above; the location of the node that a rule matched
 * breaks    nothing */
#include "passes/simplify_impl.h"

enum { ROUNDS = 100 }; /* a guard only: the measures above need a handful */

const kt_node_info *kt_simplify_operand(const kt_simplify *s, const kt_node_info *node, uint32_t i,
                                        kt_op op) {
    const kt_node_info *definition = kt_graph_definition(s->graph, node->operands[i]);
    return definition && definition->op == op ? definition : NULL;
}

bool kt_simplify_is(const kt_simplify *s, kt_value value, double number) {
    double found = 0;
    return kt_pass_splat(s->graph, value, &found) && found == number;
}

bool kt_simplify_moves(const kt_simplify *s, kt_value value) {
    return value >= s->base && value - s->base < s->moves.count && s->moves.at[value - s->base];
}

kt_value kt_simplify_respread(kt_simplify *s, kt_value value, int rank, const kt_dim *shape) {
    const kt_type type = *kt_graph_type(s->graph, value);
    const kt_node_info *node = kt_graph_definition(s->graph, value);
    if (node && node->op == KT_OP_broadcast && kt_graph_type(s->graph, node->operands[0])->rank == 0)
        return kt_build_broadcast(s->builder, node->operands[0], rank, shape, NULL);
    const kt_attrs_constant *constant = kt_pass_splat_constant(s->graph, value);
    if (!constant) return 0;
    const kt_type scalar = kt_type_scalar(type.dtype);
    return kt_build_broadcast(s->builder, kt_build_constant(s->builder, &scalar, constant->literal.data),
                              rank, shape, NULL);
}

static kt_value apply_table(kt_simplify *s, const kt_rule *rules, const kt_node_info *node) {
    for (const kt_rule *rule = rules; rule->name; rule++) {
        if (rule->op != node->op && !(rule->op == KT_OP_NONE && kt_op_is(node->op, KT_ELEMENTWISE))) continue;
        kt_value value = rule->apply(s, node);
        if (value) return value;
    }
    return 0;
}

static kt_value apply_rules(kt_simplify *s, const kt_node_info *node) {
    kt_value value = apply_table(s, kt_rules_arithmetic, node);
    if (!value) value = apply_table(s, kt_rules_shape, node);
    return value ? value : apply_table(s, kt_rules_move, node);
}

/* By old value: is every use of it in a live elementwise operation or transpose? */
static bool *find_moves(kt_pass_run *run, const kt_function *function, const bool *live) {
    const kt_graph *graph = run->graph;
    bool *moves = KT_NEW_ARRAY(run->scratch, bool, graph->values.count);
    for (kt_value value = 0; value < graph->values.count; value++) moves[value] = true;
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        if (!live[function->nodes.at[i]] || kt_op_is(node->op, KT_ELEMENTWISE) || node->op == KT_OP_transpose)
            continue;
        for (uint32_t k = 0; k < node->operand_count; k++) moves[node->operands[k]] = false;
    }
    for (uint32_t i = 0; i < function->results.count; i++) moves[function->results.at[i].value] = false;
    return moves;
}

static void note_moves(kt_pass_run *run, kt_simplify *s, kt_value value, bool moves) {
    while (s->moves.count <= value - s->base) KT_PUSH(run->scratch, &s->moves, true);
    s->moves.at[value - s->base] = s->moves.at[value - s->base] && moves;
}

static kt_status simplify_once(kt_pass_run *run, kt_func func, bool *out_changed) {
    kt_graph *graph = run->graph;
    const bool *live = kt_pass_live(run, kt_graph_function(graph, func));
    const bool *moves = find_moves(run, kt_graph_function(graph, func), live);
    kt_builder builder;
    kt_simplify s = {.graph = graph, .builder = &builder, .base = graph->values.count};
    kt_builder_begin_rewrite(&builder, graph, func, run->diag);
    const kt_function old = *kt_graph_function(graph, func);
    for (uint32_t i = 0; i < old.params.count; i++)
        note_moves(run, &s, kt_builder_lookup(&builder, old.params.at[i].value),
                   moves[old.params.at[i].value]);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        kt_node_info node = *kt_graph_node(graph, old.nodes.at[i]);
        if (!live[old.nodes.at[i]]) continue;
        kt_value *operands = KT_NEW_ARRAY(run->scratch, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++)
            operands[k] = kt_builder_lookup(&builder, node.operands[k]);
        node.operands = operands;
        builder.loc = node.loc;
        s.type = *kt_graph_type(graph, node.first_result);
        kt_value value = node.result_count == 1 ? apply_rules(&s, &node) : 0;
        if (value) {
            kt_builder_replace(&builder, node.first_result, value);
            *out_changed = true;
        } else {
            kt_builder_copy(&builder, old.nodes.at[i]);
        }
        for (uint32_t k = 0; k < node.result_count; k++) {
            kt_value result = kt_builder_lookup(&builder, node.first_result + k);
            if (result) note_moves(run, &s, result, moves[node.first_result + k]);
        }
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status simplify(kt_pass_run *run, kt_func func) {
    bool changed = true;
    for (int round = 0; changed && round < ROUNDS; round++) {
        changed = false;
        KT_TRY(simplify_once(run, func, &changed));
    }
    return kt_pass_drop_dead(run,
                             func); /* what rules began to build before they found that they do not apply */
}

static kt_status run_simplify(kt_pass_run *run) { return kt_pass_each(run, simplify); }

kt_status kt_pass_simplify(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_simplify, graph, options, diag);
}
