/* The memory plan: from an entry of kernel calls to steps over buffers with lifetimes.
 *
 * A reshape is another name of its operand's buffer, and a concat the name of one in whose parts its operands
 * are written, which nobody else reads. A result that an entry offers is written where the caller wants it. A
 * kernel of elementwise operations and views, which reads each element of an operand where it writes the
 * result's, writes over that operand if nobody reads it later: then both are one buffer, which occurs twice
 * among the step's arguments. */
#include "passes/plan.h"

#define NO_BUFFER UINT32_MAX

typedef struct planning {
    const kt_graph *graph;
    const kt_function *entry;
    kt_arena *arena;
    kt_diag *diag;
    kt_plan *plan;
    kt_value *base;      /* by value: the value whose buffer it has */
    uint32_t *last_read; /* by base: the last step that reads it */
    uint32_t *written;   /* by value: the step that writes it */
    uint32_t *buffer;    /* by base */
} planning;

static kt_status misformed(planning *p, const char *what) {
    return kt_diag_add(p->diag, KT_INVALID, NULL,
                       "Entry \"%s\" cannot be planned: %s; run the pass fuse first.", p->entry->name, what);
}

/* Gives the operands of a concat its buffer. False: one is no kernel's, or read by another already. */
static bool join_parts(planning *p, const kt_node_info *concat) {
    for (uint32_t k = 0; k < concat->operand_count; k++) {
        kt_value part = concat->operands[k];
        const kt_node_info *maker = kt_graph_definition(p->graph, part);
        if (!maker || maker->op != KT_OP_call || p->base[part] != part ||
            p->last_read[part] > p->written[part])
            return false;
        p->base[part] = concat->first_result;
    }
    return true;
}

/* Finds aliases and last reads of what function defines, whose first step is number *step, which moves on
 * behind its last. */
static kt_status read_function(planning *p, const kt_function *function, uint32_t *step) {
    const kt_graph *graph = p->graph;
    for (uint32_t i = 0; i < function->params.count; i++)
        p->base[function->params.at[i].value] = function->params.at[i].value;
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        for (uint32_t k = 0; k < node->result_count; k++) {
            p->base[node->first_result + k] = node->first_result + k;
            p->buffer[node->first_result + k] = NO_BUFFER;
            p->last_read[node->first_result + k] = 0;
        }
        if (node->op == KT_OP_reshape) {
            p->base[node->first_result] = p->base[node->operands[0]];
            continue;
        }
        if (node->op == KT_OP_concat && join_parts(p, node)) continue;
        const kt_function *callee =
            kt_node_callee(node) ? kt_graph_function(graph, kt_node_callee(node)) : NULL;
        uint32_t first = *step;
        if (callee && node->op == KT_OP_scan)
            KT_TRY(read_function(p, callee, step));
        else if (callee && callee->kind == KT_FUNC_KERNEL)
            ++*step;
        if (*step == first)
            return misformed(p, "it holds operations that are neither kernels nor steps of such");
        for (uint32_t k = 0; k < node->operand_count; k++)
            p->last_read[p->base[node->operands[k]]] = *step - 1;
        for (uint32_t k = 0; k < node->result_count; k++) p->written[node->first_result + k] = *step - 1;
    }
    return KT_OK;
}

static bool is_result(const kt_function *kernel, kt_value value) {
    for (uint32_t i = 0; i < kernel->results.count; i++)
        if (kernel->results.at[i].value == value) return true;
    return false;
}

/* Is parameter number index of a kernel read only where the results are written that it goes into? So it is
 * if nothing but elementwise operations leads from it to them. */
static bool is_read_in_place(const kt_graph *graph, const kt_function *kernel, uint32_t index,
                             kt_arena *arena) {
    kt_value param = kernel->params.at[index].value;
    kt_value first = kt_graph_node(graph, kernel->nodes.at[0])->first_result;
    kt_value last = kt_graph_node(graph, kernel->nodes.at[kernel->nodes.count - 1])->first_result;
    /* By value of the kernel, which are consecutive: is it computed at another index than the results'? */
    bool *moved = KT_NEW_ARRAY(arena, bool, last - first + 1);
    for (uint32_t i = kernel->nodes.count; i-- > 0;) {
        const kt_node_info *node = kt_graph_node(graph, kernel->nodes.at[i]);
        kt_value value = node->first_result;
        if (!kt_op_is(node->op, KT_ELEMENTWISE | KT_VIEW) && node->operand_count > 0) return false;
        bool here =
            kt_op_is(node->op, KT_ELEMENTWISE) || (is_result(kernel, value) && kt_graph_parted(graph, value));
        here = here && !moved[value - first];
        for (uint32_t k = 0; k < node->operand_count && !here; k++) {
            if (node->operands[k] == param) return false;
            if (node->operands[k] >= first) moved[node->operands[k] - first] = true;
        }
    }
    return true;
}

bool kt_plan_reads_in_place(const kt_graph *graph, const kt_node_info *call, uint32_t index,
                            kt_arena *arena) {
    const kt_function *kernel = kt_graph_function(graph, kt_node_callee(call));
    for (uint32_t i = 0; i < call->result_count; i++)
        if (!kt_type_same_shape(kt_graph_type(graph, call->operands[index]),
                                kt_graph_places(graph, kernel->results.at[i].value)))
            return false;
    return kernel->nodes.count > 0 && is_read_in_place(graph, kernel, index, arena);
}

/* Are all operands that lie in buffer read in place? */
static bool are_read_in_place(planning *p, const kt_node_info *call, uint32_t buffer) {
    for (uint32_t k = 0; k < call->operand_count; k++)
        if (p->buffer[p->base[call->operands[k]]] == buffer &&
            !kt_plan_reads_in_place(p->graph, call, k, p->arena))
            return false;
    return true;
}

/* The part that call's result number index is in function: its concat, or NULL. */
static const kt_node_info *find_whole(const kt_graph *graph, const kt_function *function, kt_func kernel,
                                      uint32_t index, kt_dim *out_begin) {
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        for (uint32_t k = 0; k < node->operand_count && node->op == KT_OP_concat; k++) {
            const kt_node_info *maker = kt_graph_definition(graph, node->operands[k]);
            if (!maker || kt_node_callee(maker) != kernel ||
                kt_graph_value(graph, node->operands[k])->index != index)
                continue;
            *out_begin = kt_graph_part_begin(graph, node, k);
            return node;
        }
    }
    return NULL;
}

const kt_node_info *kt_plan_whole(const kt_graph *graph, kt_func kernel, uint32_t index, kt_dim *out_begin) {
    const kt_node_info *whole = NULL;
    for (kt_func func = 1; func < graph->functions.count && !whole; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        if (function->kind == KT_FUNC_ENTRY || function->kind == KT_FUNC_STEP)
            whole = find_whole(graph, function, kernel, index, out_begin);
    }
    return whole;
}

static uint32_t add_buffer(planning *p, kt_abi_place place, uint32_t index, kt_value value) {
    kt_plan_buffer buffer = {.place = place, .index = index, .value = value};
    buffer.bytes = kt_type_bytes(p->graph->dims, kt_graph_type(p->graph, value));
    KT_PUSH(p->arena, &p->plan->buffers, buffer);
    return p->plan->buffers.count - 1;
}

/* May a variable's next value be written over it? So it is where nobody reads the old one after the kernel
 * that makes the new one, and that kernel only in place. param: the variable as the entry has it. */
static bool updates_in_place(planning *p, kt_value param, kt_value next) {
    const kt_node_info *call = kt_graph_definition(p->graph, next);
    if (!call || call->op != KT_OP_call || p->last_read[param] > p->written[next]) return false;
    for (uint32_t k = 0; k < call->operand_count; k++)
        if (p->base[call->operands[k]] == param && !kt_plan_reads_in_place(p->graph, call, k, p->arena))
            return false;
    return true;
}

/* The parameter of the entry that is this variable, or 0. */
static kt_value find_variable(const planning *p, uint32_t index) {
    for (uint32_t i = 0; i < p->entry->params.count; i++) {
        const kt_port *param = &p->entry->params.at[i];
        if (param->role == KT_ROLE_VARIABLE && param->index == index) return param->value;
    }
    return 0;
}

static kt_status add_ports(planning *p) {
    static const kt_abi_place places[] = {[KT_ROLE_INPUT] = KT_PLACE_INPUT,
                                          [KT_ROLE_CONSTANT] = KT_PLACE_CONSTANT,
                                          [KT_ROLE_VARIABLE] = KT_PLACE_VARIABLE};
    uint32_t inputs = 0, outputs = 0; /* programs list them in the order of ports: rule R3 of ir/verify.c */
    for (uint32_t i = 0; i < p->entry->params.count; i++) {
        const kt_port *param = &p->entry->params.at[i];
        if (param->role == KT_ROLE_PLAIN) return misformed(p, "it has a parameter of no role");
        bool input = param->role == KT_ROLE_INPUT;
        KT_ASSERT(!input || param->index == inputs);
        inputs += input;
        p->buffer[param->value] = add_buffer(p, places[param->role], param->index, param->value);
    }
    for (uint32_t i = 0; i < p->entry->results.count; i++) {
        const kt_port *result = &p->entry->results.at[i];
        kt_value base = p->base[result->value];
        bool variable = result->role == KT_ROLE_VARIABLE;
        if (!variable && result->role != KT_ROLE_OUTPUT)
            return misformed(p, "it has results that are neither outputs nor variables");
        KT_ASSERT(variable || result->index == outputs);
        outputs += !variable;
        if (p->buffer[base] != NO_BUFFER)
            return misformed(p, "an output is not written by a kernel of its own");
        kt_value old = variable ? find_variable(p, result->index) : 0;
        if (old && updates_in_place(p, old, base))
            p->buffer[base] = p->buffer[old];
        else
            p->buffer[base] = add_buffer(p, variable ? KT_PLACE_NEXT : KT_PLACE_OUTPUT, result->index, base);
    }
    return KT_OK;
}

/* Is the buffer that of one of the call's results already? */
static bool is_given(const planning *p, const kt_node_info *call, uint32_t buffer) {
    for (uint32_t k = 0; k < call->result_count; k++)
        if (p->buffer[p->base[call->first_result + k]] == buffer) return true;
    return false;
}

/* The buffer of an operand that dies at this step and that the result can take over, or NO_BUFFER. In a loop
 * that begins with step first, what was written before it lives on to the next turn. Bytes beyond all memory
 * may be equal though elements are not as wide. */
static uint32_t find_reusable(planning *p, const kt_node_info *call, kt_value result, uint32_t step,
                              uint32_t first) {
    const kt_graph *graph = p->graph;
    const kt_type *type = kt_graph_type(graph, result);
    for (uint32_t k = 0; k < call->operand_count && p->base[result] == result; k++) {
        kt_value base = p->base[call->operands[k]];
        const kt_plan_buffer *buffer = &p->plan->buffers.at[p->buffer[base]];
        if (buffer->place == KT_PLACE_ARENA && buffer->last == step && buffer->first >= first &&
            buffer->bytes == kt_type_bytes(graph->dims, type) &&
            kt_dtype_bytes(kt_graph_type(graph, base)->dtype) == kt_dtype_bytes(type->dtype) &&
            !is_given(p, call, p->buffer[base]) && are_read_in_place(p, call, p->buffer[base]))
            return p->buffer[base];
    }
    return NO_BUFFER;
}

static void add_step(planning *p, const kt_node_info *call, uint32_t first) {
    uint32_t number = p->plan->steps.count;
    kt_plan_step step = {.kernel = ((const kt_attrs_call *)call->attrs)->callee, .loc = call->loc};
    for (uint32_t k = 0; k < call->operand_count; k++)
        KT_PUSH(p->arena, &step.args, p->buffer[p->base[call->operands[k]]]);
    for (uint32_t k = 0; k < call->result_count; k++) {
        kt_value result = call->first_result + k, base = p->base[result];
        if (p->buffer[base] == NO_BUFFER) {
            uint32_t reused = find_reusable(p, call, result, number, first);
            p->buffer[base] = reused != NO_BUFFER ? reused : add_buffer(p, KT_PLACE_ARENA, 0, base);
            kt_plan_buffer *buffer = &p->plan->buffers.at[p->buffer[base]];
            if (reused == NO_BUFFER) buffer->first = number;
            buffer->last = p->last_read[base] > number ? p->last_read[base] : number;
        }
        KT_PUSH(p->arena, &step.args, p->buffer[base]);
    }
    KT_PUSH(p->arena, &p->plan->steps, step);
}

static uint32_t latest(uint32_t a, uint32_t b) { return a > b ? a : b; }

static uint32_t add_slice(planning *p, uint32_t stack, kt_value value, uint32_t loop) {
    uint32_t slice = add_buffer(p, KT_PLACE_SLICE, stack, value);
    p->plan->buffers.at[slice].first = loop;
    return slice;
}

/* Gives the step's parameters and results the buffers of what the scan takes and gives. */
static void connect_step(planning *p, const kt_node_info *scan, uint32_t loop, uint32_t first,
                         uint32_t last) {
    const kt_attrs_scan *attrs = scan->attrs;
    const kt_function *step = kt_graph_function(p->graph, attrs->body);
    for (uint32_t i = 0; i < step->params.count; i++) {
        kt_value param = step->params.at[i].value;
        bool sequence = i >= attrs->carried && i < attrs->carried + attrs->sequences;
        uint32_t buffer = p->buffer[p->base[scan->operands[i]]];
        p->buffer[param] = sequence ? add_slice(p, buffer, param, loop) : buffer;
    }
    for (uint32_t i = 0; i < step->results.count; i++) {
        kt_value inner = p->base[step->results.at[i].value], outer = scan->first_result + i;
        if (i < attrs->carried) {
            uint32_t carry = p->buffer[step->params.at[i].value];
            kt_plan_buffer *buffer = &p->plan->buffers.at[carry];
            KT_ASSERT(buffer->place == KT_PLACE_ARENA);
            buffer->last = latest(buffer->last, latest(last, p->last_read[outer]));
            p->buffer[inner] = p->buffer[outer] = carry;
            continue;
        }
        if (p->buffer[outer] == NO_BUFFER) {
            p->buffer[outer] = add_buffer(p, KT_PLACE_ARENA, 0, outer);
            p->plan->buffers.at[p->buffer[outer]].first = first;
            p->plan->buffers.at[p->buffer[outer]].last = latest(last, p->last_read[outer]);
        }
        p->buffer[inner] = add_slice(p, p->buffer[outer], inner, loop);
    }
}

/* Has buffers that live within a loop do so in all of it. */
static void keep_in_loop(planning *p, const kt_plan_loop *loop) {
    for (uint32_t i = 0; i < p->plan->buffers.count; i++) {
        kt_plan_buffer *buffer = &p->plan->buffers.at[i];
        if (buffer->place != KT_PLACE_ARENA || buffer->first < loop->first_step ||
            buffer->last >= loop->end_step)
            continue;
        buffer->first = loop->first_step;
        buffer->last = loop->end_step - 1;
    }
}

/* Adds the steps of function, which is in a loop that begins with step first. */
static kt_status add_steps(planning *p, const kt_function *function, uint32_t first) {
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(p->graph, function->nodes.at[i]);
        if (node->op == KT_OP_call) add_step(p, node, first);
        if (node->op != KT_OP_scan) continue;
        const kt_attrs_scan *attrs = node->attrs;
        const kt_function *step = kt_graph_function(p->graph, attrs->body);
        uint32_t number = p->plan->loops.count, begin = p->plan->steps.count, end = begin;
        /* Once more, now for this scan: another may have the same step. */
        KT_TRY(read_function(p, step, &end));
        kt_plan_loop loop = {.first_step = begin,
                             .end_step = end,
                             .length = attrs->length,
                             .reverse = attrs->reverse != 0,
                             .apart = attrs->carried == 0};
        if (!kt_plan_finds_loop_batch(p->graph, p->plan->entry, node, p->arena, &loop.batch))
            loop.batch = KT_NO_BATCH;
        KT_PUSH(p->arena, &p->plan->loops, loop);
        connect_step(p, node, number, begin, end - 1);
        KT_TRY(add_steps(p, step, begin));
        if (p->plan->loops.count > number + 1) p->plan->loops.at[number].apart = false;
        if (loop.batch != KT_NO_BATCH) keep_in_loop(p, &loop);
    }
    return KT_OK;
}

static kt_status plan_entry(void *context) {
    planning *p = context;
    const kt_graph *graph = p->graph;
    uint32_t step = 0;
    p->base = KT_NEW_ARRAY(p->arena, kt_value, graph->values.count);
    p->last_read = KT_NEW_ARRAY(p->arena, uint32_t, graph->values.count);
    p->written = KT_NEW_ARRAY(p->arena, uint32_t, graph->values.count);
    p->buffer = KT_NEW_ARRAY(p->arena, uint32_t, graph->values.count);
    for (kt_value value = 0; value < graph->values.count; value++) p->buffer[value] = NO_BUFFER;
    KT_TRY(read_function(p, p->entry, &step));
    KT_TRY(add_ports(p));
    if (!kt_plan_finds_batch(graph, p->plan->entry, p->arena, &p->plan->batch)) p->plan->batch = KT_NO_BATCH;
    return add_steps(p, p->entry, 0);
}

kt_status kt_plan_entry(const kt_graph *graph, kt_func entry, kt_arena *arena, kt_plan *out_plan,
                        kt_diag *diag) {
    *out_plan = (kt_plan){.entry = entry};
    planning p = {.graph = graph,
                  .entry = kt_graph_function(graph, entry),
                  .arena = arena,
                  .diag = diag,
                  .plan = out_plan};
    return kt_guarded(plan_entry, &p, diag);
}

static int64_t whole_lines(int64_t bytes) { return kt_size_add(bytes, 63) / 64 * 64; }

/* The lifetimes of the buffers in the arena, in order; returns how many. */
static uint32_t list_lifetimes(const kt_graph *graph, const kt_plan *plan, const int64_t *symbols,
                               kt_arena *arena, kt_lifetime *out_lives) {
    uint32_t symbol_count = kt_dim_symbol_count(graph->dims), count = 0;
    int64_t *ones = KT_NEW_ARRAY(arena, int64_t, symbol_count);
    for (uint32_t i = 0; i < symbol_count; i++) ones[i] = 1;
    for (uint32_t i = 0; i < plan->buffers.count; i++) {
        const kt_plan_buffer *buffer = &plan->buffers.at[i];
        if (buffer->place != KT_PLACE_ARENA) continue;
        int64_t bytes = kt_dim_eval(graph->dims, buffer->bytes, symbols ? symbols : ones);
        out_lives[count++] = (kt_lifetime){.bytes = bytes, .first = buffer->first, .last = buffer->last};
    }
    return count;
}

kt_plan_memory kt_plan_measure(const kt_graph *graph, const kt_plan *plan, const int64_t *symbols,
                               kt_arena *arena) {
    kt_lifetime *lives = KT_NEW_ARRAY(arena, kt_lifetime, plan->buffers.count);
    uint32_t count = list_lifetimes(graph, plan, symbols, arena, lives);
    kt_plan_memory memory = {0};
    for (uint32_t i = 0; i < count; i++)
        memory.unshared_bytes = kt_size_add(memory.unshared_bytes, whole_lines(lives[i].bytes));
    for (uint32_t step = 0; step < plan->steps.count; step++) {
        int64_t alive = 0;
        for (uint32_t i = 0; i < count; i++)
            if (lives[i].first <= step && step <= lives[i].last)
                alive = kt_size_add(alive, whole_lines(lives[i].bytes));
        if (alive > memory.lower_bound_bytes) memory.lower_bound_bytes = alive;
    }
    memory.planned_bytes = kt_workspace_assign(lives, count, KT_NEW_ARRAY(arena, uint32_t, count));
    return memory;
}

const kt_lifetime *kt_plan_place(const kt_graph *graph, const kt_plan *plan, const int64_t *symbols,
                                 kt_arena *arena) {
    kt_lifetime *lives = KT_NEW_ARRAY(arena, kt_lifetime, plan->buffers.count);
    kt_lifetime *placed = KT_NEW_ARRAY(arena, kt_lifetime, plan->buffers.count);
    uint32_t count = list_lifetimes(graph, plan, symbols, arena, lives);
    kt_workspace_assign(lives, count, KT_NEW_ARRAY(arena, uint32_t, count));
    count = 0;
    for (uint32_t i = 0; i < plan->buffers.count; i++)
        if (plan->buffers.at[i].place == KT_PLACE_ARENA) placed[i] = lives[count++];
    return placed;
}
