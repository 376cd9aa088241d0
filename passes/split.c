/* The prepare/predict split: what depends on variables and constants alone moves into the entry `prepare`,
 * whose results are the graph's constants; the other entries take those as parameters in place of the
 * variables.
 *
 * A value that an entry needs of `prepare` becomes a constant as it stands, except where it repeats elements:
 * of a broadcast or iota the entry keeps the operation itself and needs its operand. Constants of up to 16
 * elements, or all alike, stay where they are.
 *
 * requires  no calls of composites (inline)
 * keeps     inputs and outputs of entries
 * breaks    entries have no variables any more, save those that they change; does nothing if there is a
 * `prepare` */
#include "passes/passes_impl.h"

typedef struct splitting {
    kt_pass_run run;
    kt_builder prepare;
    kt_value *variables; /* by variable: its parameter in prepare, or 0 */
    kt_table names;      /* of constants */
} splitting;

/* What one entry wants. By old value or node. */
typedef struct wants {
    const bool *fixed;
    bool *constant; /* values that become constants */
    bool *again;    /* nodes that the entry computes though they are fixed */
} wants;

/* The entry needs a value: a constant is made of it, or of what it repeats. */
static void want(const kt_graph *graph, wants *w, kt_value value) {
    if (!w->fixed[value]) return;
    const kt_node_info *node = kt_graph_definition(graph, value);
    while (node && kt_pass_repeats_elements(graph, node)) {
        w->again[kt_graph_value(graph, value)->node] = true;
        if (node->operand_count == 0) return;
        value = node->operands[0];
        node = kt_graph_definition(graph, value);
    }
    w->constant[value] = true;
}

/* Is the port one of a variable that the entry only reads, and may hand on? */
static bool is_dropped(const wants *w, const kt_function *entry, const kt_port *port, bool is_result) {
    if (port->role != KT_ROLE_VARIABLE || !w->fixed[port->value]) return false;
    return !is_result || kt_pass_returns_parameter(entry, port);
}

static wants find_wants(kt_pass_run *run, const kt_function *entry) {
    const kt_graph *graph = run->graph;
    const bool *live = kt_pass_live(run, entry);
    wants w = {.fixed = kt_pass_fixed(run, entry)};
    w.constant = KT_NEW_ARRAY(run->scratch, bool, graph->values.count);
    w.again = KT_NEW_ARRAY(run->scratch, bool, graph->nodes.count);
    for (uint32_t i = 0; i < entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, entry->nodes.at[i]);
        if (!live[entry->nodes.at[i]] || (node->result_count > 0 && w.fixed[node->first_result])) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) want(graph, &w, node->operands[k]);
    }
    for (uint32_t i = 0; i < entry->results.count; i++)
        if (!is_dropped(&w, entry, &entry->results.at[i], true)) want(graph, &w, entry->results.at[i].value);
    return w;
}

/* "dense/kernel", "batch_norm/scale, conv/kernel", and with "_1" what comes again. */
static const char *constant_name(splitting *s, const kt_function *entry, kt_value value) {
    kt_graph *graph = s->run.graph;
    const kt_node_info *node = kt_graph_definition(graph, value);
    kt_text text = {.arena = graph->arena};
    if (node)
        kt_loc_print(graph, node->loc, &text);
    else
        kt_text_add(&text,
                    graph->variables.at[entry->params.at[kt_graph_value(graph, value)->index].index].path);
    if (text.length == 0) kt_text_add(&text, "constant");
    uint32_t *seen = kt_table_add(&s->names, s->run.scratch, text.at, text.length, 0);
    while ((*seen)++ > 0) {
        uint32_t count = *seen - 1;
        kt_text next = {.arena = graph->arena};
        kt_text_format(&next, "%s_%u", kt_text_string(&text), count);
        if (kt_table_find(&s->names, next.at, next.length)) continue;
        kt_table_add(&s->names, s->run.scratch, next.at, next.length, 1);
        return kt_text_string(&next);
    }
    return kt_text_string(&text);
}

/* Adds to prepare what its new results are computed from; map: by old value, the value in prepare. */
static void extend_prepare(splitting *s, const kt_function *entry, const wants *w, kt_value *map) {
    const kt_graph *graph = s->run.graph;
    bool *needed = KT_NEW_ARRAY(s->run.scratch, bool, graph->values.count);
    for (kt_value value = 1; value < graph->values.count; value++) needed[value] = w->constant[value];
    for (uint32_t i = entry->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(graph, entry->nodes.at[i]);
        bool any = false;
        for (uint32_t k = 0; k < node->result_count; k++) any = any || needed[node->first_result + k];
        for (uint32_t k = 0; k < node->result_count; k++) needed[node->first_result + k] = any;
        if (!any) continue;
        for (uint32_t k = 0; k < node->operand_count; k++) needed[node->operands[k]] = true;
    }
    for (uint32_t i = 0; i < entry->params.count; i++) {
        const kt_port *param = &entry->params.at[i];
        if (!needed[param->value]) continue;
        kt_value *known = &s->variables[param->index];
        const kt_type type = *kt_graph_type(graph, param->value);
        if (!*known) *known = kt_builder_param(&s->prepare, KT_ROLE_VARIABLE, NULL, param->index, &type);
        map[param->value] = *known;
    }
    for (uint32_t i = 0; i < entry->nodes.count; i++)
        if (needed[kt_graph_node(graph, entry->nodes.at[i])->first_result])
            kt_pass_clone(&s->prepare, entry->nodes.at[i], map);
}

/* Makes value a constant: a result of prepare and a parameter of the entry. */
static void add_constant(splitting *s, const kt_function *entry, kt_value value, kt_value prepared,
                         kt_builder *builder) {
    const kt_constant constant = {.name = constant_name(s, entry, value),
                                  .type = *kt_graph_type(s->run.graph, value)};
    uint32_t index = kt_graph_add_constant(s->run.graph, &constant);
    kt_builder_result(&s->prepare, KT_ROLE_CONSTANT, NULL, index, prepared);
    kt_builder_replace(builder, value,
                       kt_builder_param(builder, KT_ROLE_CONSTANT, NULL, index, &constant.type));
}

static kt_status split_entry(splitting *s, kt_func func) {
    kt_graph *graph = s->run.graph;
    const kt_function old = *kt_graph_function(graph, func);
    const wants w = find_wants(&s->run, &old);
    const bool *live = kt_pass_live(&s->run, &old);
    uint32_t values = graph->values.count;
    kt_value *map = KT_NEW_ARRAY(s->run.scratch, kt_value, values);
    extend_prepare(s, &old, &w, map);

    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, s->run.diag);
    builder.function.params.count = 0;
    for (uint32_t i = 0; i < old.params.count; i++) {
        const kt_port *param = &old.params.at[i];
        if (is_dropped(&w, &old, param, false)) continue;
        const kt_type type = *kt_graph_type(graph, param->value);
        kt_builder_replace(&builder, param->value,
                           kt_builder_param(&builder, param->role, param->name, param->index, &type));
    }
    for (kt_value value = 1; value < values; value++)
        if (w.constant[value]) add_constant(s, &old, value, map[value], &builder);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        kt_node node = old.nodes.at[i];
        kt_value result = kt_graph_node(graph, node)->first_result;
        if (live[node] && (w.again[node] || !w.fixed[result])) kt_builder_copy(&builder, node);
    }
    for (uint32_t i = 0; i < old.results.count; i++) {
        const kt_port *result = &old.results.at[i];
        if (is_dropped(&w, &old, result, true)) continue;
        kt_builder_result(&builder, result->role, result->name, result->index,
                          kt_builder_lookup(&builder, result->value));
    }
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_split(kt_pass_run *run) {
    splitting *s = (splitting *)run;
    kt_graph *graph = run->graph;
    for (kt_func func = 1; func < graph->functions.count; func++)
        if (kt_pass_is_prepare(kt_graph_function(graph, func))) return KT_OK;
    s->variables = KT_NEW_ARRAY(run->scratch, kt_value, graph->variables.count);
    kt_builder_begin(&s->prepare, graph, KT_FUNC_ENTRY, "prepare", run->diag);
    for (kt_func func = 1; func < graph->functions.count; func++)
        if (kt_graph_function(graph, func)->kind == KT_FUNC_ENTRY) KT_TRY(split_entry(s, func));
    if (s->prepare.function.results.count == 0 && s->prepare.status == KT_OK) return KT_OK;
    return kt_builder_finish(&s->prepare, NULL);
}

kt_status kt_pass_split(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    splitting s = {.run = {graph, options, diag, NULL}};
    return kt_pass_scratched(run_split, &s.run);
}
