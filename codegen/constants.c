/* Running `prepare` at compile time: what variables become is computed once, by the reference evaluator, and
 * only that ships. */
#include "codegen/codegen.h"
#include "support/table.h"

#include <string.h>

#define ALIGNMENT 64

kt_status kt_prepare_find(const kt_graph *graph, kt_func *out_prepare, kt_diag *diag) {
    *out_prepare = kt_graph_find(graph, "prepare");
    if (!*out_prepare) return KT_OK;
    const kt_function *function = kt_graph_function(graph, *out_prepare);
    bool fits = function->kind == KT_FUNC_ENTRY && function->results.count > 0;
    for (uint32_t i = 0; i < function->params.count; i++)
        fits = fits && function->params.at[i].role == KT_ROLE_VARIABLE;
    for (uint32_t i = 0; i < function->results.count; i++)
        fits = fits && function->results.at[i].role == KT_ROLE_CONSTANT;
    if (fits) return KT_OK;
    return kt_diag_add(diag, KT_INVALID, "prepare",
                       "A function with this name must be the entry that makes constants of variables.");
}

/* The constants in the order of prepare's results, which is that of kt_graph.constants. */
static kt_status run_prepare(kt_graph *graph, kt_func prepare, kt_arena *arena, kt_diag *diag) {
    const kt_function *function = kt_graph_function(graph, prepare);
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *port = &function->params.at[i];
        if (port->role == KT_ROLE_VARIABLE && !graph->variables.at[port->index].data)
            return kt_diag_add(
                diag, KT_INVALID, graph->variables.at[port->index].path,
                "This variable has no value, so there is nothing to embed in the program; give the graph "
                "its weights.");
    }
    kt_tensor *results = KT_NEW_ARRAY(arena, kt_tensor, function->results.count + 1);
    KT_TRY(kt_eval_fast(graph, prepare, arena, results, diag));
    for (uint32_t i = 0; i < function->results.count; i++) {
        const kt_port *port = &function->results.at[i];
        KT_ASSERT(port->role == KT_ROLE_CONSTANT);
        graph->constants.at[port->index].data = results[i].data;
    }
    return KT_OK;
}

static uint64_t bytes_of(const kt_graph *graph, const kt_constant *constant) {
    return (uint64_t)kt_type_static_bytes(graph->dims, &constant->type);
}

/* Puts a constant of so many bytes at *end, which moves on. */
static uint64_t append(uint64_t *end, uint64_t bytes) {
    uint64_t offset = *end;
    *end = (offset + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return offset;
}

void kt_constants_lay_out(const kt_graph *graph, uint64_t *out_offsets, uint64_t *out_bytes) {
    *out_bytes = 0;
    for (uint32_t i = 0; i < graph->constants.count; i++)
        out_offsets[i] = append(out_bytes, bytes_of(graph, &graph->constants.at[i]));
}

/* The same, but what has the same bytes as an earlier constant lies where that does: entries that share
 * layers make the same constants of their weights. */
static void lay_out_once(const kt_graph *graph, kt_arena *arena, uint64_t *out_offsets, uint64_t *out_bytes) {
    kt_table seen = {0};
    *out_bytes = 0;
    for (uint32_t i = 0; i < graph->constants.count; i++) {
        const kt_constant *constant = &graph->constants.at[i];
        uint64_t bytes = bytes_of(graph, constant);
        const uint64_t key[] = {bytes, kt_hash_bytes(constant->data, bytes, 0)};
        uint32_t first = *kt_table_add(&seen, arena, key, sizeof key, i);
        bool same = first != i && !memcmp(graph->constants.at[first].data, constant->data, bytes);
        out_offsets[i] = same ? out_offsets[first] : append(out_bytes, bytes);
    }
}

kt_status kt_constants_prepare(kt_graph *graph, kt_arena *arena, uint64_t *out_offsets, uint64_t *out_bytes,
                               kt_diag *diag) {
    kt_func prepare;
    KT_TRY(kt_prepare_find(graph, &prepare, diag));
    if (prepare) KT_TRY(run_prepare(graph, prepare, arena, diag));
    for (uint32_t i = 0; i < graph->constants.count; i++)
        if (!graph->constants.at[i].data)
            return kt_diag_add(diag, KT_INVALID, graph->constants.at[i].name,
                               "This constant has no value, and no entry \"prepare\" makes it.");
    lay_out_once(graph, arena, out_offsets, out_bytes);
    return KT_OK;
}

bool *kt_variables_kept(const kt_graph *graph, const kt_plan *plans, uint32_t plan_count, kt_arena *arena) {
    bool *kept = KT_NEW_ARRAY(arena, bool, graph->variables.count + 1), trains = false;
    for (uint32_t i = 0; i < plan_count; i++) {
        for (uint32_t k = 0; k < plans[i].buffers.count; k++) {
            const kt_plan_buffer *buffer = &plans[i].buffers.at[k];
            if (buffer->place != KT_PLACE_VARIABLE && buffer->place != KT_PLACE_NEXT) continue;
            kept[buffer->index] = true;
            trains = trains || graph->variables.at[buffer->index].kind == KT_VARIABLE_SLOT;
        }
    }
    for (uint32_t i = 0; i < graph->variables.count; i++)
        kept[i] = kept[i] || (trains && graph->variables.at[i].file_path);
    return kept;
}

static bool is_zero(const uint8_t *data, uint64_t bytes) {
    for (uint64_t i = 0; data && i < bytes; i++)
        if (data[i]) return false;
    return true;
}

const uint32_t *kt_variables_begin(kt_graph *graph, const bool *kept, const kt_weights *weights,
                                   kt_arena *arena) {
    uint32_t *begins = KT_NEW_ARRAY(arena, uint32_t, graph->variables.count + 1);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        const kt_variable *variable = &graph->variables.at[i];
        uint64_t bytes = (uint64_t)kt_type_static_bytes(graph->dims, &variable->type);
        if (!kept[i] || (weights && weights->offsets[i]) || is_zero(variable->data, bytes)) continue;
        const kt_constant constant = {.name = kt_arena_format(graph->arena, "%s/begin", variable->path),
                                      .type = variable->type,
                                      .data = variable->data};
        begins[i] = 1 + kt_graph_add_constant(graph, &constant);
    }
    return begins;
}
