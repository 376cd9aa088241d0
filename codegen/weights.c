/* Packs .weights files (runtime/weights.h), and makes `prepare` an entry that reads one. */
#include "runtime/weights.h"
#include "codegen/codegen.h"

#include <string.h>

static uint64_t variable_bytes(const kt_graph *graph, const kt_type *type) {
    return (uint64_t)kt_type_static_bytes(graph->dims, type);
}

static uint64_t whole(uint64_t bytes, uint64_t alignment) {
    return (bytes + alignment - 1) / alignment * alignment;
}

static void add_variable(const kt_graph *graph, const kt_variable *variable, kt_text *list) {
    static const char zeros[8];
    struct {
        uint32_t length;
        uint8_t dtype, rank;
        uint16_t zero;
    } head = {(uint32_t)strlen(variable->path), variable->type.dtype, variable->type.rank, 0};
    kt_text_add_bytes(list, &head, sizeof head);
    for (int axis = 0; axis < variable->type.rank; axis++) {
        int64_t dim = 0;
        (void)kt_dim_is_const(graph->dims, variable->type.dims[axis], &dim);
        kt_text_add_bytes(list, &dim, sizeof dim);
    }
    kt_text_add_bytes(list, variable->path, head.length);
    kt_text_add_bytes(list, zeros, whole(head.length, sizeof zeros) - head.length);
}

/* States, slots and metrics' totals are not: a program that evaluates or trains takes the file that one takes
 * which only predicts. */
static bool is_in_file(const kt_graph *graph, uint32_t index) {
    return graph->variables.at[index].kind == KT_VARIABLE_WEIGHT;
}

kt_weights kt_weights_lay_out(const kt_graph *graph, kt_arena *arena) {
    kt_weights weights = {.list = {.arena = arena}};
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        if (!is_in_file(graph, i)) continue;
        add_variable(graph, &graph->variables.at[i], &weights.list);
        weights.count++;
    }
    weights.list_hash = kt_hash_bytes(weights.list.at, weights.list.length, 0);
    weights.offsets = KT_NEW_ARRAY(arena, uint64_t, graph->variables.count + 1);
    weights.bytes = sizeof(kt_weights_header) + weights.list.length;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        if (!is_in_file(graph, i)) continue;
        weights.offsets[i] = whole(weights.bytes, KT_WEIGHTS_ALIGNMENT);
        weights.bytes = weights.offsets[i] + variable_bytes(graph, &graph->variables.at[i].type);
    }
    return weights;
}

kt_status kt_weights_pack(const kt_graph *graph, kt_arena *arena, const void **out_file, size_t *out_bytes,
                          kt_diag *diag) {
    const kt_weights weights = kt_weights_lay_out(graph, arena);
    kt_weights_header header = {.version = KT_WEIGHTS_VERSION,
                                .variable_count = weights.count,
                                .list_bytes = weights.list.length,
                                .list_hash = weights.list_hash,
                                .bytes = weights.bytes};
    memcpy(header.magic, KT_WEIGHTS_MAGIC, sizeof header.magic);
    uint8_t *file = kt_arena_alloc(arena, weights.bytes);
    memcpy(file, &header, sizeof header);
    if (weights.list.length) memcpy(file + sizeof header, weights.list.at, weights.list.length);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        const kt_variable *variable = &graph->variables.at[i];
        if (!is_in_file(graph, i)) continue;
        if (!variable->data)
            return kt_diag_add(
                diag, KT_INVALID, variable->path,
                "This variable has no value, so there are no weights to write; give the graph its "
                "weights.");
        uint64_t bytes = variable_bytes(graph, &variable->type);
        if (bytes) memcpy(file + weights.offsets[i], variable->data, bytes);
    }
    *out_file = file;
    *out_bytes = weights.bytes;
    return KT_OK;
}

void kt_prepare_offer(kt_graph *graph, kt_func prepare) {
    kt_function *function = kt_graph_function(graph, prepare);
    for (uint32_t i = 0; i < function->params.count; i++) {
        kt_port *port = &function->params.at[i];
        KT_ASSERT(port->role == KT_ROLE_VARIABLE);
        *port = (kt_port){.value = port->value,
                          .role = KT_ROLE_INPUT,
                          .index = i,
                          .name = graph->variables.at[port->index].path};
    }
    for (uint32_t i = 0; i < function->results.count; i++) {
        kt_port *port = &function->results.at[i];
        KT_ASSERT(port->role == KT_ROLE_CONSTANT && port->index == i);
        *port = (kt_port){
            .value = port->value, .role = KT_ROLE_OUTPUT, .index = i, .name = graph->constants.at[i].name};
    }
}
