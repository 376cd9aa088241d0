/* The JSON that `describe` prints, as CONTRACT and the README give it: entry points, variables, memory. It is
 * made at compile time and carried by the program as text. */
#include "codegen/codegen.h"

static void add_shape(kt_text *json, const kt_graph *graph, const kt_type *type) {
    kt_text_add(json, "[");
    for (int axis = 0; axis < type->rank; axis++) {
        if (axis) kt_text_add(json, ", ");
        int64_t size;
        if (kt_dim_is_const(graph->dims, type->dims[axis], &size)) {
            kt_text_format(json, "%lld", (long long)size);
        } else {
            kt_text name = {.arena = json->arena};
            kt_dim_print(graph->dims, type->dims[axis], &name);
            kt_text_quote(json, kt_text_string(&name));
        }
    }
    kt_text_add(json, "]");
}

static void add_tensors(kt_text *json, const kt_graph *graph, const kt_port *ports, uint32_t count,
                        kt_role role) {
    bool first = true;
    kt_text_add(json, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (ports[i].role != role) continue;
        const kt_type *type = kt_graph_type(graph, ports[i].value);
        kt_text_add(json, first ? "{\"name\": " : ", {\"name\": ");
        kt_text_quote(json, ports[i].name);
        kt_text_format(json, ", \"dtype\": \"%s\", \"shape\": ", kt_dtype_keras_name(type->dtype));
        add_shape(json, graph, type);
        kt_text_add(json, "}");
        first = false;
    }
    kt_text_add(json, "]");
}

static void add_entry(kt_text *json, const kt_graph *graph, kt_func func) {
    const kt_function *entry = kt_graph_function(graph, func);
    kt_text_quote(json, entry->name);
    kt_text_add(json, ": {\"symbols\": [");
    const kt_dim *symbols;
    uint32_t count = kt_program_symbols(graph, json->arena, &symbols);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index;
        if (i) kt_text_add(json, ", ");
        kt_dim_is_symbol(graph->dims, symbols[i], &index);
        kt_text_quote(json, kt_dim_symbol_name(graph->dims, index));
    }
    kt_text_add(json, "], \"inputs\": ");
    add_tensors(json, graph, entry->params.at, entry->params.count, KT_ROLE_INPUT);
    kt_text_add(json, ", \"outputs\": ");
    add_tensors(json, graph, entry->results.at, entry->results.count, KT_ROLE_OUTPUT);
    kt_text_add(json, "}");
}

static void add_variables(kt_text *json, const kt_graph *graph) {
    kt_text_add(json, ", \"variables\": [");
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        const kt_variable *variable = &graph->variables.at[i];
        kt_text_add(json, i ? ", {\"path\": " : "{\"path\": ");
        kt_text_quote(json, variable->path);
        kt_text_add(json, ", \"file_path\": ");
        if (variable->file_path)
            kt_text_quote(json, variable->file_path);
        else
            kt_text_add(json, "null");
        kt_text_format(json, ", \"dtype\": \"%s\", \"shape\": ", kt_dtype_keras_name(variable->type.dtype));
        add_shape(json, graph, &variable->type);
        kt_text_format(json, ", \"trainable\": %s}", variable->trainable ? "true" : "false");
    }
    kt_text_add(json, "]");
}

/* The most that is alive at one step, as an expression: what the workspace takes but for rounding to 64 bytes
 * and the gaps that the largest-first placement may leave. */
static kt_dim live_bytes(const kt_graph *graph, const kt_plan *plan) {
    kt_dim most = kt_dim_const(graph->dims, 0);
    for (uint32_t step = 0; step < plan->steps.count; step++) {
        kt_dim live = kt_dim_const(graph->dims, 0);
        for (uint32_t i = 0; i < plan->buffers.count; i++) {
            const kt_plan_buffer *buffer = &plan->buffers.at[i];
            if (buffer->place == KT_PLACE_ARENA && buffer->first <= step && step <= buffer->last)
                live = kt_dim_add(graph->dims, live, buffer->bytes);
        }
        most = kt_dim_max(graph->dims, most, live);
    }
    return most;
}

const char *kt_describe_json(const kt_graph *graph, const kt_plan *plans, uint32_t plan_count,
                             const char *name, const kt_target *target, uint64_t constants_bytes,
                             kt_arena *arena) {
    kt_text json = {.arena = arena}, formula = {.arena = arena};
    kt_text_add(&json, "{\"name\": ");
    kt_text_quote(&json, name);
    kt_text_format(&json, ", \"version\": \"%s\", \"target\": ", KT_VERSION);
    kt_text_quote(&json, kt_arena_format(arena, "%s %s", target->triple, target->cpu));
    kt_text_add(&json, ", \"entry_points\": {");
    kt_dim live = kt_dim_const(graph->dims, 0);
    int64_t at_one = 0;
    for (uint32_t i = 0; i < plan_count; i++) {
        if (i) kt_text_add(&json, ", ");
        add_entry(&json, graph, plans[i].entry);
        live = kt_dim_max(graph->dims, live, live_bytes(graph, &plans[i]));
        kt_plan_memory memory = kt_plan_measure(graph, &plans[i], NULL, arena);
        if (memory.planned_bytes > at_one) at_one = memory.planned_bytes;
    }
    kt_text_add(&json, "}");
    add_variables(&json, graph);
    kt_dim_print(graph->dims, live, &formula);
    kt_text_format(&json, ", \"memory\": {\"weights_bytes\": %llu, \"workspace_bytes\": {\"formula\": ",
                   (unsigned long long)constants_bytes);
    kt_text_quote(&json, kt_text_string(&formula));
    kt_text_format(&json, ", \"at_batch_1\": %lld}}}", (long long)at_one);
    return kt_text_string(&json);
}
