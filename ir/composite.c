/* Composites: bodies of the graph that `call` nodes name.
 *
 * Two bodies that print alike, names and locations aside, are one function: a model with forty softmaxes over
 * the same types has one body, with the locations of the first, and the calls tell the layers. The table that
 * finds bodies is only a hint: a pass may have rewritten a body since, so what the table gives is printed
 * again before it is trusted. */
#include "ir/graph_impl.h"

#include <string.h>

void kt_builder_begin_composite(kt_builder *out_body, const kt_builder *builder, const char *composite,
                                const kt_value *operands, uint32_t count, kt_value *out_params) {
    kt_builder_begin(out_body, builder->graph, KT_FUNC_BODY, composite, builder->diag);
    out_body->function.composite = out_body->function.name;
    out_body->loc = builder->loc;
    out_body->status = builder->status;
    for (uint32_t i = 0; i < count; i++) {
        kt_type type = *kt_build_type(builder, operands[i]);
        out_params[i] = kt_builder_param(out_body, KT_ROLE_PLAIN, NULL, 0, &type);
    }
}

static kt_text print_body(const kt_graph *graph, const kt_function *body) {
    kt_text text = {.arena = graph->arena};
    kt_function_print(graph, body, &(kt_print_options){.anonymous = true}, &text);
    return text;
}

static bool prints_as(const kt_graph *graph, kt_func func, const kt_text *text) {
    if (func == 0 || func >= graph->functions.count) return false;
    const kt_function *body = kt_graph_function(graph, func);
    if (body->kind != KT_FUNC_BODY || !body->composite) return false;
    kt_text other = print_body(graph, body);
    return other.length == text->length && memcmp(other.at, text->at, text->length) == 0;
}

/* "softmax", "softmax.1", … : the first that is free. */
static const char *free_name(const kt_graph *graph, const char *composite) {
    const char *name = composite;
    for (uint32_t i = 1; kt_graph_find(graph, name); i++)
        name = kt_arena_format(graph->arena, "%s.%u", composite, i);
    return name;
}

void kt_build_composite(kt_builder *builder, kt_builder *body, const kt_value *operands, uint32_t count,
                        kt_value *out_results) {
    for (uint32_t i = 0; i < body->function.results.count; i++) out_results[i] = 0;
    if (builder->status == KT_OK) builder->status = body->status;
    if (builder->status != KT_OK) return;
    kt_graph *graph = builder->graph;
    kt_text text = print_body(graph, &body->function);
    uint32_t *known = kt_table_add(&graph->body_table, graph->arena, text.at, text.length, 0);
    if (!prints_as(graph, *known, &text)) {
        body->function.name = free_name(graph, body->function.composite);
        *known = kt_graph_add_function(graph, &body->function);
    }
    kt_build_call(builder, *known, operands, count, out_results);
}
