/* What an entry's kernels are, and what room a schedule of them takes: the plan's rules (passes/plan.c) over
 * numbers instead of nodes, so that many schedules can be tried. */
#include "passes/rerun_impl.h"

#include <string.h>

/* ---- reading the entry ----------------------------------------------------------------------- */
static uint32_t count_steps(const kt_graph *graph, const kt_node_info *node) {
    if (node->op == KT_OP_call) return 1;
    if (node->op != KT_OP_scan) return 0;
    const kt_function *step = kt_graph_function(graph, kt_node_callee(node));
    uint32_t steps = 0;
    for (uint32_t i = 0; i < step->nodes.count; i++)
        steps += count_steps(graph, kt_graph_node(graph, step->nodes.at[i]));
    return steps;
}

/* More than any machine has, and so little that thousands of it can be added up. */
static int64_t clamp(double number) {
    static const int64_t most = INT64_C(1) << 48;
    return number < (double)most ? (int64_t)number : most;
}

static int64_t find_number(const kt_rerun *r, kt_dim dim) {
    return clamp((double)kt_dim_eval(r->run->graph->dims, dim, r->symbols));
}

/* Adds what node does, so many times. */
static void add_work(const kt_rerun *r, const kt_node_info *node, double turns, kt_unit *unit) {
    const kt_graph *graph = r->run->graph;
    if (node->op == KT_OP_call) {
        kt_work work = kt_kernel_work(graph, kt_node_callee(node));
        double operations = turns * (double)find_number(r, work.operations);
        unit->operations = clamp((double)unit->operations + operations);
        unit->bytes = clamp((double)unit->bytes + turns * (double)find_number(r, work.bytes));
    }
    if (node->op != KT_OP_scan) return;
    const kt_attrs_scan *attrs = node->attrs;
    const kt_function *step = kt_graph_function(graph, attrs->body);
    turns *= (double)find_number(r, attrs->length);
    for (uint32_t i = 0; i < step->nodes.count; i++)
        add_work(r, kt_graph_node(graph, step->nodes.at[i]), turns, unit);
}

/* The buffers that a scan has for itself while it runs: those of the plan whose values are not the entry's.
 */
static void find_inner(const kt_rerun *r, const kt_plan *plan, uint32_t first, kt_unit *unit) {
    KT_VECTOR(kt_lifetime) inner = {0};
    for (uint32_t i = 0; i < plan->buffers.count; i++) {
        const kt_plan_buffer *buffer = &plan->buffers.at[i];
        if (buffer->place != KT_PLACE_ARENA || r->unit[buffer->value] || buffer->first < first ||
            buffer->first >= first + unit->steps)
            continue;
        kt_lifetime life = {.bytes = find_number(r, buffer->bytes),
                            .first = buffer->first - first,
                            .last = buffer->last - first};
        KT_PUSH(r->run->scratch, &inner, life);
    }
    unit->inner = inner.at;
    unit->inner_count = inner.count;
}

static uint32_t add_copy(const kt_rerun *r, kt_schedule *schedule, kt_value value, bool given) {
    KT_PUSH(r->run->scratch, &schedule->copies, ((kt_copy){value, given}));
    return schedule->copies.count - 1;
}

static void add_unit(kt_rerun *r, kt_schedule *schedule, const kt_node_info *node, const bool *given) {
    const kt_graph *graph = r->run->graph;
    kt_arena *scratch = r->run->scratch;
    kt_value *operands = KT_NEW_ARRAY(scratch, kt_value, node->operand_count);
    kt_unit unit = {.node = node,
                    .operands = operands,
                    .in_place = KT_NEW_ARRAY(scratch, bool, node->operand_count),
                    .steps = count_steps(graph, node)};
    kt_run run = {.unit = r->units.count, .first_arg = schedule->args.count};
    if (node->op == KT_OP_scan) unit.carried = (uint32_t)((const kt_attrs_scan *)node->attrs)->carried;
    for (uint32_t k = 0; k < node->operand_count; k++) {
        operands[k] = r->base[node->operands[k]];
        unit.in_place[k] = node->op == KT_OP_call && kt_plan_reads_in_place(graph, node, k, scratch);
        if (k < unit.carried) r->overwritten[operands[k]] = true;
        KT_PUSH(scratch, &schedule->args, r->copy[operands[k]] - 1);
    }
    for (uint32_t k = 0; k < node->result_count; k++) {
        kt_value result = node->first_result + k;
        r->copy[result] = 1 + add_copy(r, schedule, result, given[result]);
        r->unit[result] = 1 + r->units.count;
        KT_PUSH(scratch, &schedule->args, r->copy[result] - 1);
    }
    add_work(r, node, 1, &unit);
    KT_PUSH(scratch, &schedule->runs, run);
    KT_PUSH(scratch, &r->units, unit);
}

/* Which variables are written over, and what lies beside them. */
static void read_updates(kt_rerun *r, const kt_plan *plan) {
    const kt_graph *graph = r->run->graph;
    bool *beside = KT_NEW_ARRAY(r->run->scratch, bool, graph->variables.count);
    for (uint32_t i = 0; i < plan->buffers.count; i++) {
        const kt_plan_buffer *buffer = &plan->buffers.at[i];
        if (buffer->place != KT_PLACE_NEXT) continue;
        beside[buffer->index] = true;
        r->next_bytes += find_number(r, buffer->bytes);
    }
    for (uint32_t i = 0; i < r->entry->results.count; i++) {
        const kt_port *result = &r->entry->results.at[i];
        if (result->role != KT_ROLE_VARIABLE || beside[result->index]) continue;
        for (uint32_t p = 0; p < r->entry->params.count; p++) {
            const kt_port *param = &r->entry->params.at[p];
            if (param->role != KT_ROLE_VARIABLE || param->index != result->index) continue;
            r->next[param->index] = r->copy[r->base[result->value]];
            r->now[param->index] = r->copy[param->value] - 1;
        }
    }
}

kt_status kt_rerun_read(kt_rerun *r, kt_schedule *out_schedule) {
    const kt_graph *graph = r->run->graph;
    kt_arena *scratch = r->run->scratch;
    const uint32_t values = graph->values.count;
    kt_plan plan;
    KT_TRY(kt_plan_entry(graph, kt_graph_find(graph, r->entry->name), scratch, &plan, r->run->diag));
    kt_value *base = KT_NEW_ARRAY(scratch, kt_value, values);
    kt_dim *room = KT_NEW_ARRAY(scratch, kt_dim, values);
    int64_t *size = KT_NEW_ARRAY(scratch, int64_t, values);
    bool *given = KT_NEW_ARRAY(scratch, bool, values);
    r->base = base;
    r->room = room;
    r->size = size;
    r->unit = KT_NEW_ARRAY(scratch, uint32_t, values);
    r->copy = KT_NEW_ARRAY(scratch, uint32_t, values);
    r->overwritten = KT_NEW_ARRAY(scratch, bool, values);
    r->next = KT_NEW_ARRAY(scratch, uint32_t, graph->variables.count);
    r->now = KT_NEW_ARRAY(scratch, uint32_t, graph->variables.count);
    for (uint32_t i = 0; i < r->entry->params.count; i++) {
        kt_value value = r->entry->params.at[i].value;
        base[value] = value;
        r->copy[value] = 1 + add_copy(r, out_schedule, value, true);
    }
    for (uint32_t i = 0; i < r->entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, r->entry->nodes.at[i]);
        bool view = node->op == KT_OP_reshape;
        for (uint32_t k = 0; k < node->result_count; k++) {
            kt_value value = node->first_result + k;
            base[value] = view ? base[node->operands[0]] : value;
            room[value] = kt_type_bytes(graph->dims, kt_graph_type(graph, value));
            size[value] = find_number(r, room[value]);
        }
    }
    for (uint32_t i = 0; i < r->entry->results.count; i++) given[base[r->entry->results.at[i].value]] = true;
    uint32_t step = 0;
    for (uint32_t i = 0; i < r->entry->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, r->entry->nodes.at[i]);
        if (node->op != KT_OP_reshape) add_unit(r, out_schedule, node, given);
    }
    for (uint32_t i = 0; i < r->units.count; step += r->units.at[i++].steps)
        if (r->units.at[i].node->op == KT_OP_scan) find_inner(r, &plan, step, &r->units.at[i]);
    read_updates(r, &plan);
    return KT_OK;
}

/* ---- room ------------------------------------------------------------------------------------ */
typedef struct laying {
    const kt_rerun *r;
    const kt_schedule *schedule;
    kt_room *room;
} laying;

static uint32_t *new_numbers(const laying *l, uint32_t count) {
    return KT_NEW_ARRAY(l->r->run->scratch, uint32_t, count);
}

static void reserve(laying *l, uint32_t copies, uint32_t runs, uint32_t lives, uint32_t steps) {
    kt_room *room = l->room;
    if (copies > room->copy_capacity) {
        room->copy_capacity = 2 * copies;
        room->made = new_numbers(l, 2 * copies);
        room->last = new_numbers(l, 2 * copies);
        room->buffer = new_numbers(l, 2 * copies);
    }
    if (runs >= room->run_capacity) {
        room->run_capacity = 2 * runs + 1;
        room->first_step = new_numbers(l, room->run_capacity);
    }
    if (lives > room->live_capacity) {
        room->live_capacity = 2 * lives;
        room->lives = KT_NEW_ARRAY(l->r->run->scratch, kt_lifetime, room->live_capacity);
    }
    if (steps >= room->step_capacity) {
        room->step_capacity = 2 * steps + 1;
        room->alive = KT_NEW_ARRAY(l->r->run->scratch, int64_t, room->step_capacity);
    }
    room->count = 0;
    memset(room->alive, 0, (steps + 1) * sizeof room->alive[0]);
}

static void find_lifetimes(laying *l) {
    const kt_schedule *schedule = l->schedule;
    kt_room *room = l->room;
    uint32_t copies = schedule->copies.count;
    for (uint32_t i = 0; i < copies; i++) room->made[i] = room->last[i] = room->buffer[i] = KT_RERUN_NONE;
    for (uint32_t i = 0; i < schedule->runs.count; i++) {
        const kt_run *run = &schedule->runs.at[i];
        const kt_unit *unit = kt_rerun_unit(l->r, run);
        const uint32_t *args = &schedule->args.at[run->first_arg];
        room->first_step[i + 1] = room->first_step[i] + unit->steps;
        for (uint32_t k = 0; k < unit->node->operand_count; k++) room->last[args[k]] = i;
        for (uint32_t k = 0; k < unit->node->result_count; k++)
            room->made[args[unit->node->operand_count + k]] = i;
    }
}

/* The last step that reads a copy, or first where none does. */
static uint32_t last_step(const laying *l, uint32_t copy, uint32_t first) {
    uint32_t run = l->room->last[copy];
    return run == KT_RERUN_NONE ? first : l->room->first_step[run + 1] - 1;
}

static void add_buffer(laying *l, int64_t bytes, uint32_t first, uint32_t last) {
    l->room->lives[l->room->count++] = (kt_lifetime){.bytes = bytes, .first = first, .last = last};
}

/* The buffer of an operand that dies in a call and that its result number index can take over, or none. */
static uint32_t find_reusable(const laying *l, const kt_unit *unit, const uint32_t *args, uint32_t index,
                              uint32_t step) {
    const kt_room *room = l->room;
    const uint32_t operands = unit->node->operand_count;
    for (uint32_t k = 0; k < operands; k++) {
        uint32_t buffer = room->buffer[args[k]];
        if (buffer == KT_RERUN_NONE || room->lives[buffer].last != step ||
            l->r->room[unit->operands[k]] != l->r->room[unit->node->first_result + index])
            continue;
        bool free = true;
        for (uint32_t i = 0; i < index; i++) free = free && room->buffer[args[operands + i]] != buffer;
        for (uint32_t i = 0; i < operands; i++)
            free = free && (room->buffer[args[i]] != buffer || unit->in_place[i]);
        if (free) return buffer;
    }
    return KT_RERUN_NONE;
}

static void lay_call(laying *l, const kt_unit *unit, const uint32_t *args, uint32_t step) {
    for (uint32_t k = 0; k < unit->node->result_count; k++) {
        uint32_t copy = args[unit->node->operand_count + k], last = last_step(l, copy, step);
        if (l->schedule->copies.at[copy].given) continue;
        uint32_t buffer = find_reusable(l, unit, args, k, step);
        if (buffer == KT_RERUN_NONE) {
            buffer = l->room->count;
            add_buffer(l, l->r->size[unit->node->first_result + k], step, last);
        }
        l->room->buffer[copy] = buffer;
        l->room->lives[buffer].last = last;
    }
}

static void lay_scan(laying *l, const kt_unit *unit, const uint32_t *args, uint32_t step) {
    uint32_t end = step + unit->steps - 1;
    for (uint32_t k = 0; k < unit->node->result_count; k++) {
        uint32_t copy = args[unit->node->operand_count + k], last = last_step(l, copy, end);
        if (last < end) last = end;
        if (k < unit->carried) {
            uint32_t buffer = l->room->buffer[args[k]];
            l->room->buffer[copy] = buffer;
            if (l->room->lives[buffer].last < last) l->room->lives[buffer].last = last;
        } else if (!l->schedule->copies.at[copy].given) {
            l->room->buffer[copy] = l->room->count;
            add_buffer(l, l->r->size[unit->node->first_result + k], step, last);
        }
    }
    for (uint32_t i = 0; i < unit->inner_count; i++)
        add_buffer(l, unit->inner[i].bytes, step + unit->inner[i].first, step + unit->inner[i].last);
}

/* Next values come to lie beside variables that are read after these were written over. */
static int64_t find_beside(const laying *l) {
    const kt_graph *graph = l->r->run->graph;
    int64_t bytes = l->r->next_bytes;
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        if (!l->r->next[i]) continue;
        uint32_t next = l->r->next[i] - 1, read = l->room->last[l->r->now[i]];
        if (read != KT_RERUN_NONE && read > l->room->made[next])
            bytes += l->r->size[l->schedule->copies.at[next].value];
    }
    return bytes;
}

static void find_alive(laying *l) {
    kt_room *room = l->room;
    uint32_t steps = room->first_step[l->schedule->runs.count];
    for (uint32_t i = 0; i < room->count; i++) {
        int64_t bytes = (room->lives[i].bytes + 63) / 64 * 64;
        room->alive[room->lives[i].first] += bytes;
        room->alive[room->lives[i].last + 1] -= bytes;
    }
    room->most = 0;
    for (uint32_t i = 0; i < steps; i++) {
        if (i > 0) room->alive[i] += room->alive[i - 1];
        if (room->alive[i] > room->most) room->most = room->alive[i];
    }
    room->most += room->beside;
}

void kt_rerun_lay(const kt_rerun *r, const kt_schedule *schedule, kt_room *room) {
    laying l = {r, schedule, room};
    uint32_t lives = schedule->copies.count, steps = 0;
    for (uint32_t i = 0; i < schedule->runs.count; i++) {
        lives += kt_rerun_unit(r, &schedule->runs.at[i])->inner_count;
        steps += kt_rerun_unit(r, &schedule->runs.at[i])->steps;
    }
    reserve(&l, schedule->copies.count, schedule->runs.count, lives, steps);
    find_lifetimes(&l);
    for (uint32_t i = 0; i < schedule->runs.count; i++) {
        const kt_run *run = &schedule->runs.at[i];
        const kt_unit *unit = kt_rerun_unit(r, run);
        if (unit->node->op == KT_OP_call)
            lay_call(&l, unit, &schedule->args.at[run->first_arg], room->first_step[i]);
        else
            lay_scan(&l, unit, &schedule->args.at[run->first_arg], room->first_step[i]);
    }
    room->beside = find_beside(&l);
    find_alive(&l);
}

int64_t kt_rerun_measure(const kt_rerun *r, const kt_room *room) {
    kt_arena *scratch = r->run->scratch;
    kt_lifetime *lives = KT_NEW_ARRAY(scratch, kt_lifetime, room->count);
    for (uint32_t i = 0; i < room->count; i++) lives[i] = room->lives[i];
    int64_t bytes = kt_workspace_assign(lives, room->count, KT_NEW_ARRAY(scratch, uint32_t, room->count));
    return bytes + room->beside;
}
