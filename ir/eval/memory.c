/* Where the results of an entry's nodes lie while it is evaluated: each node's in an arena of their own,
 * which goes once their last reader has run. A reshape shares its operand's memory, so it lives in its
 * operand's arena; a callee may give what it was handed, so that operands of calls stay to the end. What the
 * function gives is made where the caller wants it. */
#include "ir/eval/eval_impl.h"

enum { TO_THE_END = UINT32_MAX };

struct kt_eval_memory {
    const kt_graph *graph;
    const kt_function *function;
    kt_arena *results; /* the caller's */
    kt_arena *scratch; /* of the node that runs */
    /* By position in the function, the first being 1: */
    kt_arena **arenas; /* NULL: not yet, gone, or results */
    uint32_t *last;    /* the last reader, or TO_THE_END */
    bool *given;       /* the function's result lies there */
    bool stored;       /* all parameters are of the graph itself */
    uint32_t *owners;  /* by value: the position in whose memory it lies; 0: in a parameter's */
};

static void release(void *object) {
    kt_eval_memory *memory = object;
    kt_arena_destroy(memory->scratch);
    for (uint32_t at = 1; at <= memory->function->nodes.count; at++) kt_arena_destroy(memory->arenas[at]);
}

static const kt_node_info *node_at(const kt_eval_memory *memory, uint32_t at) {
    return kt_graph_node(memory->graph, memory->function->nodes.at[at - 1]);
}

kt_eval_memory *kt_eval_memory_create(const kt_graph *graph, const kt_function *function, kt_arena *results,
                                      kt_arena *arena) {
    uint32_t count = function->nodes.count;
    kt_eval_memory *memory = KT_NEW(arena, kt_eval_memory);
    *memory = (kt_eval_memory){.graph = graph, .function = function, .results = results};
    memory->arenas = KT_NEW_ARRAY(arena, kt_arena *, count + 1);
    memory->last = KT_NEW_ARRAY(arena, uint32_t, count + 1);
    memory->given = KT_NEW_ARRAY(arena, bool, count + 1);
    memory->owners = KT_NEW_ARRAY(arena, uint32_t, graph->values.count);
    memory->stored = true;
    for (uint32_t i = 0; i < function->params.count; i++) {
        kt_role role = function->params.at[i].role;
        memory->stored = memory->stored && (role == KT_ROLE_VARIABLE || role == KT_ROLE_CONSTANT);
    }
    for (uint32_t at = 1; at <= count; at++) {
        const kt_node_info *node = node_at(memory, at);
        memory->last[at] = at;
        for (uint32_t i = 0; i < node->operand_count; i++) {
            uint32_t *last = &memory->last[memory->owners[node->operands[i]]];
            if (*last != TO_THE_END) *last = kt_op_is(node->op, KT_CALLS) ? TO_THE_END : at;
        }
        uint32_t owner = node->op == KT_OP_reshape ? memory->owners[node->operands[0]] : at;
        for (uint32_t i = 0; i < node->result_count; i++) memory->owners[node->first_result + i] = owner;
    }
    for (uint32_t i = 0; i < function->results.count; i++) {
        uint32_t owner = memory->owners[function->results.at[i].value];
        memory->last[owner] = TO_THE_END;
        memory->given[owner] = true;
    }
    kt_arena_defer(arena, release, memory);
    return memory;
}

/* A callee leaves more than its results in the arena that they are in, so those of calls are copied at the
 * end. */
static bool is_made_in_place(const kt_eval_memory *memory, uint32_t at) {
    return memory->given[at] && !kt_op_is(node_at(memory, at)->op, KT_CALLS);
}

void kt_eval_memory_begin(kt_eval_memory *memory, uint32_t position, kt_arena **out_results,
                          kt_arena **out_scratch) {
    uint32_t at = position + 1;
    memory->scratch = kt_arena_create();
    if (!is_made_in_place(memory, at)) memory->arenas[at] = kt_arena_create();
    *out_results = memory->arenas[at] ? memory->arenas[at] : memory->results;
    *out_scratch = memory->scratch;
}

static void drop(kt_eval_memory *memory, uint32_t owner, uint32_t at) {
    if (!owner || memory->last[owner] != at) return;
    kt_arena_destroy(memory->arenas[owner]);
    memory->arenas[owner] = NULL;
}

void kt_eval_memory_end(kt_eval_memory *memory, uint32_t position) {
    const kt_node_info *node = node_at(memory, position + 1);
    kt_arena_destroy(memory->scratch);
    memory->scratch = NULL;
    drop(memory, position + 1, position + 1);
    for (uint32_t i = 0; i < node->operand_count; i++)
        drop(memory, memory->owners[node->operands[i]], position + 1);
}

bool kt_eval_memory_keeps(const kt_eval_memory *memory, kt_value value) {
    uint32_t owner = memory->owners[value];
    return owner ? is_made_in_place(memory, owner) : memory->stored;
}
