/* The order of a program's symbols: that in which the inputs of its entries first name them. It is the users'
 * (`describe` and the typed entry points follow it), and it does not depend on how the graph came about, so a
 * graph that was printed and parsed makes the same code. */
#include "codegen/codegen.h"

typedef struct symbol_list {
    const kt_graph *graph;
    kt_arena *arena;
    KT_VECTOR(kt_dim) found;
} symbol_list;

static void collect(symbol_list *list, kt_dim dim) {
    kt_dim_info info = kt_dim_describe(list->graph->dims, dim);
    if (info.kind == KT_DIM_SYMBOL) {
        for (uint32_t i = 0; i < list->found.count; i++)
            if (list->found.at[i] == dim) return;
        KT_PUSH(list->arena, &list->found, dim);
        return;
    }
    for (uint32_t i = 0; i < info.term_count; i++) collect(list, info.terms[i]);
}

uint32_t kt_program_symbols(const kt_graph *graph, kt_arena *arena, const kt_dim **out_symbols) {
    symbol_list list = {.graph = graph, .arena = arena};
    for (kt_func func = kt_graph_next(graph, KT_FUNC_ENTRY, 0); func;
         func = kt_graph_next(graph, KT_FUNC_ENTRY, func)) {
        const kt_function *entry = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < entry->params.count; i++) {
            if (entry->params.at[i].role != KT_ROLE_INPUT) continue;
            const kt_type *type = kt_graph_type(graph, entry->params.at[i].value);
            for (int axis = 0; axis < type->rank; axis++) collect(&list, type->dims[axis]);
        }
    }
    *out_symbols = list.found.at;
    return list.found.count;
}
