/* Joining scans: two that take the same turns become one that gives what both give. A step forwards and the
 * gradient's, which stacks up what the way back needs, are such.
 *
 * Scans take the same turns if their operands and attributes are equal, and their steps, written into one
 * function in which equal things are computed once, hand the same values on from turn to turn.
 *
 * requires  equal things computed once (cse), so that equal operands are one value
 * keeps     results; the place and location of the first of joined scans
 * breaks    nothing; steps that no scan runs any more are left to dce */
#include "passes/passes_impl.h"

/* A step that is written, and what is in it already. */
typedef struct joining {
    kt_pass_run *run;
    kt_builder step;
    kt_table seen; /* from kt_pass_key_of_equals to the first result */
} joining;

/* Values of the step that `step` computes, by its results. */
static kt_value *write_step(joining *j, const kt_function *step) {
    kt_graph *graph = j->run->graph;
    kt_value *map = KT_NEW_ARRAY(j->run->scratch, kt_value, graph->values.count);
    for (uint32_t i = 0; i < step->params.count; i++)
        map[step->params.at[i].value] = j->step.function.params.at[i].value;
    for (uint32_t i = 0; i < step->nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(graph, step->nodes.at[i]);
        kt_value *operands = KT_NEW_ARRAY(j->run->scratch, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++) operands[k] = map[node.operands[k]];
        kt_text key = {.arena = j->run->scratch};
        kt_pass_key_of_equals(&key, &node, operands);
        const uint32_t *first = kt_table_find(&j->seen, key.at, key.length);
        if (!first) {
            kt_pass_clone(&j->step, step->nodes.at[i], map);
            kt_table_add(&j->seen, j->run->scratch, key.at, key.length, map[node.first_result]);
        }
        for (uint32_t k = 0; first && k < node.result_count; k++) map[node.first_result + k] = *first + k;
    }
    kt_value *results = KT_NEW_ARRAY(j->run->scratch, kt_value, step->results.count);
    for (uint32_t i = 0; i < step->results.count; i++) results[i] = map[step->results.at[i].value];
    return results;
}

static const char *free_name(const kt_pass_run *run, const char *step) {
    const char *stem = kt_arena_format(run->graph->arena, "%s.joined", step), *name = stem;
    for (uint32_t i = 1; kt_graph_find(run->graph, name); i++)
        name = kt_arena_format(run->graph->arena, "%s.%u", stem, i);
    return name;
}

/* The step that gives what those of both scans give, if they hand the same on; else 0. out_places: by result
 * of the second, its number among the joined step's. */
static kt_status join_steps(kt_pass_run *run, const kt_node_info *first, const kt_node_info *second,
                            kt_func *out_step, uint32_t *out_places) {
    kt_graph *graph = run->graph;
    const kt_attrs_scan *attrs = first->attrs;
    const kt_function a = *kt_graph_function(graph, attrs->body),
                      b = *kt_graph_function(graph, kt_node_callee(second));
    joining j = {.run = run};
    *out_step = 0;
    kt_builder_begin(&j.step, graph, KT_FUNC_STEP, free_name(run, a.name), run->diag);
    for (uint32_t i = 0; i < a.params.count; i++) {
        const kt_type type = *kt_graph_type(graph, a.params.at[i].value);
        kt_builder_param(&j.step, KT_ROLE_PLAIN, NULL, i, &type);
    }
    const kt_value *a_results = write_step(&j, &a), *b_results = write_step(&j, &b);
    for (uint32_t i = 0; i < attrs->carried; i++)
        if (a_results[i] != b_results[i]) return j.step.status;
    for (uint32_t i = 0; i < a.results.count; i++)
        kt_builder_result(&j.step, KT_ROLE_PLAIN, NULL, i, a_results[i]);
    for (uint32_t i = 0; i < b.results.count; i++) {
        uint32_t place = i < attrs->carried ? i : (uint32_t)attrs->carried;
        while (place < j.step.function.results.count &&
               j.step.function.results.at[place].value != b_results[i])
            place++;
        if (place == j.step.function.results.count)
            kt_builder_result(&j.step, KT_ROLE_PLAIN, NULL, place, b_results[i]);
        out_places[i] = place;
    }
    return kt_builder_finish(&j.step, out_step);
}

/* Do both scans hand the same operands to as many turns in the same order? Their steps are not compared. */
static bool are_alike(const kt_builder *builder, const kt_node_info *a, const kt_node_info *b) {
    if (b->op != KT_OP_scan || a->operand_count != b->operand_count) return false;
    const kt_attrs_scan *x = a->attrs, *y = b->attrs;
    if (x->length != y->length || x->reverse != y->reverse || x->carried != y->carried ||
        x->sequences != y->sequences)
        return false;
    for (uint32_t i = 0; i < a->operand_count; i++)
        if (kt_builder_lookup(builder, a->operands[i]) != kt_builder_lookup(builder, b->operands[i]))
            return false;
    return true;
}

/* Builds the scan joined with those behind it that are like it. done: by node of the graph. */
static kt_status join_scan(kt_pass_run *run, kt_builder *builder, const kt_function *old, uint32_t number,
                           bool *done) {
    kt_graph *graph = run->graph;
    kt_node_info joined = *kt_graph_node(graph, old->nodes.at[number]);
    const kt_node_info first = joined;
    kt_attrs_scan attrs = *(const kt_attrs_scan *)first.attrs;
    KT_VECTOR(kt_node) others = {0};
    KT_VECTOR(uint32_t *) places = {0};
    joined.attrs = &attrs;
    for (uint32_t i = number + 1; i < old->nodes.count; i++) {
        const kt_node_info other = *kt_graph_node(graph, old->nodes.at[i]);
        if (!are_alike(builder, &first, &other)) continue;
        uint32_t *place = KT_NEW_ARRAY(run->scratch, uint32_t, other.result_count);
        kt_func step = 0;
        KT_TRY(join_steps(run, &joined, &other, &step, place));
        if (step == 0) continue;
        attrs.body = step;
        done[old->nodes.at[i]] = true;
        KT_PUSH(run->scratch, &others, old->nodes.at[i]);
        KT_PUSH(run->scratch, &places, place);
    }
    if (others.count == 0) {
        kt_builder_copy(builder, old->nodes.at[number]);
        return builder->status;
    }
    kt_value *operands = KT_NEW_ARRAY(run->scratch, kt_value, first.operand_count);
    for (uint32_t i = 0; i < first.operand_count; i++)
        operands[i] = kt_builder_lookup(builder, first.operands[i]);
    kt_value *results =
        KT_NEW_ARRAY(run->scratch, kt_value, kt_graph_function(graph, attrs.body)->results.count);
    builder->loc = first.loc;
    kt_build_scan(builder, &attrs, operands, first.operand_count, results);
    for (uint32_t i = 0; i < first.result_count; i++)
        kt_builder_replace(builder, first.first_result + i, results[i]);
    for (uint32_t k = 0; k < others.count; k++) {
        const kt_node_info other = *kt_graph_node(graph, others.at[k]);
        for (uint32_t i = 0; i < other.result_count; i++)
            kt_builder_replace(builder, other.first_result + i, results[places.at[k][i]]);
    }
    return builder->status;
}

static kt_status join_scans(kt_pass_run *run, kt_func func) {
    kt_graph *graph = run->graph;
    const kt_function old = *kt_graph_function(graph, func);
    uint32_t scans = 0;
    for (uint32_t i = 0; i < old.nodes.count; i++)
        scans += kt_graph_node(graph, old.nodes.at[i])->op == KT_OP_scan;
    if (scans < 2) return KT_OK;
    kt_builder builder;
    bool *done = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    kt_builder_begin_rewrite(&builder, graph, func, run->diag);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        if (done[old.nodes.at[i]]) continue;
        if (kt_graph_node(graph, old.nodes.at[i])->op == KT_OP_scan)
            KT_TRY(join_scan(run, &builder, &old, i, done));
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_join_scans(kt_pass_run *run) { return kt_pass_each(run, join_scans); }

kt_status kt_pass_join_scans(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_join_scans, graph, options, diag);
}
