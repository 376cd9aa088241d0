/* The memory plan for people. */
#include "passes/plan.h"

#include <inttypes.h>

static void print_buffer(const kt_graph *graph, const kt_plan *plan, uint32_t number, kt_text *text) {
    const kt_plan_buffer *buffer = &plan->buffers.at[number];
    const kt_function *entry = kt_graph_function(graph, plan->entry);
    kt_text_format(text, "  b%u: ", number);
    kt_type_print(graph->dims, kt_graph_type(graph, buffer->value), text);
    kt_text_add(text, ", ");
    kt_dim_print(graph->dims, buffer->bytes, text);
    kt_text_add(text, " bytes, ");
    switch (buffer->place) {
    case KT_PLACE_INPUT:
    case KT_PLACE_OUTPUT: {
        bool input = buffer->place == KT_PLACE_INPUT;
        const char *name = NULL;
        for (uint32_t i = 0; input && i < entry->params.count; i++)
            if (entry->params.at[i].role == KT_ROLE_INPUT && entry->params.at[i].index == buffer->index)
                name = entry->params.at[i].name;
        for (uint32_t i = 0; !input && i < entry->results.count; i++)
            if (entry->results.at[i].role == KT_ROLE_OUTPUT && entry->results.at[i].index == buffer->index)
                name = entry->results.at[i].name;
        kt_text_format(text, "%s %u \"%s\"", input ? "input" : "output", buffer->index, name ? name : "");
        break;
    }
    case KT_PLACE_CONSTANT:
        kt_text_format(text, "constant %u \"%s\"", buffer->index, graph->constants.at[buffer->index].name);
        break;
    case KT_PLACE_VARIABLE:
    case KT_PLACE_NEXT:
        kt_text_format(text, "%s ", buffer->place == KT_PLACE_NEXT ? "next value of variable" : "variable");
        kt_text_quote(text, graph->variables.at[buffer->index].path);
        break;
    case KT_PLACE_SLICE: kt_text_format(text, "slice of b%u in loop %u", buffer->index, buffer->first); break;
    case KT_PLACE_ARENA: kt_text_format(text, "arena, steps %u to %u", buffer->first, buffer->last); break;
    }
    kt_text_add(text, "\n");
}

static void print_step(const kt_graph *graph, const kt_plan *plan, uint32_t number, kt_text *text) {
    const kt_plan_step *step = &plan->steps.at[number];
    const kt_function *kernel = kt_graph_function(graph, step->kernel);
    kt_text_format(text, "  %u: %s(", number, kernel->name);
    for (uint32_t i = 0; i < kernel->params.count; i++)
        kt_text_format(text, "%sb%u", i ? ", " : "", step->args.at[i]);
    kt_text_add(text, ") -> ");
    for (uint32_t i = kernel->params.count; i < step->args.count; i++)
        kt_text_format(text, "%sb%u", i > kernel->params.count ? ", " : "", step->args.at[i]);
    kt_text_add(text, "  // ");
    kt_loc_print(graph, step->loc, text);
    kt_text_add(text, "\n");
}

static void print_loop(const kt_graph *graph, const kt_plan *plan, uint32_t number, kt_text *text) {
    const kt_plan_loop *loop = &plan->loops.at[number];
    kt_text_format(text, "  loop %u: steps %u to %u, ", number, loop->first_step, loop->end_step - 1);
    kt_dim_print(graph->dims, loop->length, text);
    kt_text_add(text, loop->reverse ? " times, from the last slice to the first" : " times");
    if (loop->batch != KT_NO_BATCH)
        kt_text_format(text, "; samples apart, by %s", kt_dim_symbol_name(graph->dims, loop->batch));
    kt_text_add(text, "\n");
}

void kt_plan_print(const kt_graph *graph, const kt_plan *plan, kt_text *out_text) {
    kt_plan_memory memory = kt_plan_measure(graph, plan, NULL, out_text->arena);
    kt_text_format(out_text, "plan of %s\nbuffers:\n", kt_graph_function(graph, plan->entry)->name);
    for (uint32_t i = 0; i < plan->buffers.count; i++) print_buffer(graph, plan, i, out_text);
    kt_text_add(out_text, "steps:\n");
    for (uint32_t i = 0, loop = 0; i < plan->steps.count; i++) {
        for (; loop < plan->loops.count && plan->loops.at[loop].first_step == i; loop++)
            print_loop(graph, plan, loop, out_text);
        print_step(graph, plan, i, out_text);
    }
    if (plan->batch != KT_NO_BATCH)
        kt_text_format(out_text, "samples apart, by %s\n", kt_dim_symbol_name(graph->dims, plan->batch));
    kt_text_format(out_text,
                   "arena, with all symbols 1: %" PRId64 " bytes; unshared %" PRId64 ", lower bound %" PRId64
                   "\n",
                   memory.planned_bytes, memory.unshared_bytes, memory.lower_bound_bytes);
}
