/* Gradients of entries, for tools and tests: beside each entry whose first output is a float scalar stands
 * `NAME_gradient` afterwards, with the same parameters, and behind the same results `gradient/PATH` for each
 * float variable and input. What trains calls kt_build_gradient itself, and goes on with what it gives.
 *
 * requires  stop_gradient where it is meant (simplify takes it away); contractions before layout packs them
 *
 * keeps     all entries
 *
 * breaks    nothing; fails where no entry has a float scalar as first output */
#include "passes/passes_impl.h"

static bool is_float(const kt_type *type) { return kt_dtype_is_float(type->dtype); }

static bool has_gradient(const kt_graph *graph, const kt_function *function) {
    if (function->kind != KT_FUNC_ENTRY || function->results.count == 0) return false;
    const kt_port *first = &function->results.at[0];
    const kt_type *type = kt_graph_type(graph, first->value);
    return first->role == KT_ROLE_OUTPUT && type->rank == 0 && is_float(type);
}

static kt_status add_gradient(kt_pass_run *run, kt_func func) {
    kt_graph *graph = run->graph;
    const kt_function old = *kt_graph_function(graph, func);
    kt_builder builder;
    kt_value *map = KT_NEW_ARRAY(run->scratch, kt_value, graph->values.count);
    KT_VECTOR(kt_value) wrt = {0};
    KT_VECTOR(const char *) names = {0};
    kt_builder_begin(&builder, graph, KT_FUNC_ENTRY, kt_arena_format(graph->arena, "%s_gradient", old.name),
                     run->diag);
    for (uint32_t i = 0; i < old.params.count; i++) {
        const kt_port *param = &old.params.at[i];
        const kt_type type = *kt_graph_type(graph, param->value);
        const char *name =
            param->role == KT_ROLE_VARIABLE ? graph->variables.at[param->index].path : param->name;
        map[param->value] = kt_builder_param(&builder, param->role, param->name, param->index, &type);
        if (!is_float(&type) || param->role == KT_ROLE_CONSTANT) continue;
        KT_PUSH(run->scratch, &wrt, map[param->value]);
        KT_PUSH(run->scratch, &names, kt_arena_format(graph->arena, "gradient/%s", name));
    }
    for (uint32_t i = 0; i < old.nodes.count; i++) kt_pass_clone(&builder, old.nodes.at[i], map);
    uint32_t outputs = 0;
    for (uint32_t i = 0; i < old.results.count; i++) {
        const kt_port *result = &old.results.at[i];
        outputs += result->role == KT_ROLE_OUTPUT;
        kt_builder_result(&builder, result->role, result->name, result->index, map[result->value]);
    }
    kt_value *gradients = KT_NEW_ARRAY(run->scratch, kt_value, wrt.count);
    kt_build_gradient(&builder, map[old.results.at[0].value], wrt.at, wrt.count, gradients);
    for (uint32_t i = 0; i < wrt.count; i++)
        kt_builder_result(&builder, KT_ROLE_OUTPUT, names.at[i], outputs + i, gradients[i]);
    return kt_builder_finish(&builder, NULL);
}

static kt_status run_gradient(kt_pass_run *run) {
    bool any = false;
    uint32_t functions = run->graph->functions.count;
    for (kt_func func = 1; func < functions; func++) {
        if (!has_gradient(run->graph, kt_graph_function(run->graph, func))) continue;
        any = true;
        KT_TRY(add_gradient(run, func));
    }
    if (any) return KT_OK;
    return kt_diag_add(
        run->diag, KT_INVALID, NULL,
        "No entry has a float scalar as its first output, so there is nothing to differentiate.");
}

kt_status kt_pass_gradient(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_gradient, graph, options, diag);
}
