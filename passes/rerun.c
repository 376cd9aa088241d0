/* Running again: where memory is limited, an entry that trains drops what its kernels have made, and runs
 * them again before it is read, the cheapest for what it frees first. The kernels are the same functions on
 * the same operands, so results are the same to the bit, random numbers included, as their states are
 * operands.
 *
 * Room is taken away in small steps, whatever the limit is, until what is planned fits: so the least that can
 * be reached is known where it does not.
 *
 * requires  the form that fuse leaves
 * keeps     results, to the bit
 * breaks    nothing; fails where the limit cannot be kept */
#include "passes/rerun_impl.h"

#include <inttypes.h>
#include <string.h>

enum { FRACTION = 32 };                      /* of what is alive, that is taken away at a time */
static const double NEXT_TO_NOTHING = 0.004; /* of a step's time */

static bool trains(const kt_graph *graph, const kt_function *function) {
    for (uint32_t i = 0; i < function->results.count; i++) {
        const kt_port *result = &function->results.at[i];
        if (result->role == KT_ROLE_VARIABLE &&
            graph->variables.at[result->index].kind == KT_VARIABLE_WEIGHT &&
            !kt_pass_returns_parameter(function, result))
            return true;
    }
    return false;
}

/* ---- sizes ----------------------------------------------------------------------------------- */
static kt_status refuse_symbol(kt_rerun *r, const char *name) {
    return kt_diag_add(
        r->run->diag, KT_INVALID, NULL,
        "What %s needs depends on the dimension %s, so that a limit of memory cannot be held; fix "
        "it by --shape.",
        r->entry->name, name);
}

static int64_t find_size(const kt_rerun *r, uint32_t symbol) {
    const kt_memory *memory = r->run->options->memory;
    for (uint32_t i = 0; i < memory->size_count; i++)
        if (!strcmp(kt_dim_symbol_name(r->run->graph->dims, symbol), memory->sizes[i].name))
            return memory->sizes[i].value;
    return 0;
}

/* The values of the entry's symbols: those that the limit is meant for. Another is refused where there is
 * one. */
static kt_status find_symbols(kt_rerun *r, bool *out_known) {
    const kt_graph *graph = r->run->graph;
    uint32_t count = kt_dim_symbol_count(graph->dims), symbol;
    int64_t *symbols = KT_NEW_ARRAY(r->run->scratch, int64_t, count);
    kt_text sizes = {.arena = r->run->scratch};
    *out_known = false;
    for (uint32_t i = 0; i < r->entry->params.count; i++) {
        const kt_type *type = kt_graph_type(graph, r->entry->params.at[i].value);
        for (int axis = 0; axis < type->rank; axis++) {
            if (!kt_dim_is_symbol(graph->dims, type->dims[axis], &symbol) || symbols[symbol]) continue;
            const char *name = kt_dim_symbol_name(graph->dims, symbol);
            symbols[symbol] = find_size(r, symbol);
            if (!symbols[symbol]) return r->run->options->memory->limit ? refuse_symbol(r, name) : KT_OK;
            kt_text_format(&sizes, "%s%s %" PRId64, sizes.length ? ", " : " (", name, symbols[symbol]);
        }
    }
    for (uint32_t i = 0; i < count; i++) /* of other entries */
        if (symbols[i] == 0) symbols[i] = 1;
    kt_text_add(&sizes, sizes.length ? ")" : "");
    r->symbols = symbols;
    r->sizes = kt_text_string(&sizes);
    *out_known = true;
    return KT_OK;
}

/* ---- writing the schedule -------------------------------------------------------------------- */
typedef struct writing {
    const kt_rerun *r;
    kt_builder builder;
    kt_value *made; /* by copy */
    kt_value *view; /* by old value: what it is of the first copy, or 0 */
} writing;

/* value, which is a view of what copy is. */
static kt_value look_at(writing *w, kt_value value, uint32_t copy) {
    const kt_rerun *r = w->r;
    bool first = copy == r->copy[r->base[value]] - 1;
    if (value == r->base[value]) return w->made[copy];
    if (first && w->view[value]) return w->view[value];
    const kt_node_info *node = kt_graph_definition(r->run->graph, value);
    kt_value operand = look_at(w, node->operands[0], copy);
    w->builder.loc = node->loc;
    kt_value view = kt_pass_build_like(&w->builder, node, &operand, node->attrs);
    if (first) w->view[value] = view;
    return view;
}

static kt_status write_schedule(const kt_rerun *r, const kt_schedule *schedule) {
    kt_graph *graph = r->run->graph;
    kt_arena *scratch = r->run->scratch;
    const kt_function old = *r->entry;
    writing w = {.r = r,
                 .made = KT_NEW_ARRAY(scratch, kt_value, schedule->copies.count),
                 .view = KT_NEW_ARRAY(scratch, kt_value, graph->values.count)};
    kt_builder *builder = &w.builder;
    kt_builder_begin_rewrite(builder, graph, kt_graph_find(graph, old.name), r->run->diag);
    for (uint32_t i = 0; i < old.params.count; i++)
        w.made[r->copy[old.params.at[i].value] - 1] = kt_builder_lookup(builder, old.params.at[i].value);
    for (uint32_t i = 0; i < schedule->runs.count && builder->status == KT_OK; i++) {
        const kt_node_info *node = kt_rerun_unit(r, &schedule->runs.at[i])->node;
        const uint32_t *args = &schedule->args.at[schedule->runs.at[i].first_arg];
        kt_value *operands = KT_NEW_ARRAY(scratch, kt_value, node->operand_count);
        kt_value *results = KT_NEW_ARRAY(scratch, kt_value, node->result_count);
        for (uint32_t k = 0; k < node->operand_count; k++)
            operands[k] = look_at(&w, node->operands[k], args[k]);
        builder->loc = node->loc;
        kt_build_nodes(builder, node->op, operands, node->operand_count, node->attrs, results);
        for (uint32_t k = 0; k < node->result_count; k++) w.made[args[node->operand_count + k]] = results[k];
    }
    for (uint32_t i = 0; i < old.results.count && builder->status == KT_OK; i++) {
        const kt_port *result = &old.results.at[i];
        kt_value value = look_at(&w, result->value, r->copy[r->base[result->value]] - 1);
        kt_builder_result(builder, result->role, result->name, result->index, value);
    }
    return kt_builder_finish(builder, NULL);
}

/* ---- telling --------------------------------------------------------------------------------- */
static void tell_run(const kt_rerun *r, const kt_schedule *schedule, uint32_t number, const kt_room *room,
                     kt_text *text) {
    const kt_run *run = &schedule->runs.at[number];
    const kt_unit *unit = kt_rerun_unit(r, run);
    const uint32_t *results = &schedule->args.at[run->first_arg + unit->node->operand_count];
    int64_t bytes = 0;
    for (uint32_t k = 0; k < unit->node->result_count; k++)
        if (room->last[results[k]] != KT_RERUN_NONE) bytes += r->size[unit->node->first_result + k];
    kt_text_format(
        text, "  %u: %s for %" PRId64 " bytes, by %" PRId64 " operations and %" PRId64 " bytes moved  // ",
        room->first_step[number], kt_graph_function(r->run->graph, kt_node_callee(unit->node))->name, bytes,
        unit->operations, unit->bytes);
    kt_loc_print(r->run->graph, unit->node->loc, text);
    kt_text_add(text, "\n");
}

static void tell(const kt_rerun *r, const kt_schedule *schedule, const kt_room *room, int64_t before,
                 int64_t after) {
    kt_memory *memory = r->run->options->memory;
    kt_text *text = &memory->told;
    int64_t operations = 0, bytes = 0;
    for (uint32_t i = 0; i < r->units.count; i++) {
        operations += r->units.at[i].operations;
        bytes += r->units.at[i].bytes;
    }
    kt_text_format(text, "memory of %s%s: %" PRId64 " bytes; %" PRId64 " if nothing were run again",
                   r->entry->name, r->sizes, after, before);
    if (memory->limit) kt_text_format(text, "; %" PRId64 " are allowed", memory->limit);
    kt_text_format(text,
                   "\nrun again: %u kernels, %" PRId64 " operations and %" PRId64
                   " bytes moved, beside %" PRId64 " and %" PRId64 "\n",
                   schedule->runs.count - r->units.count, schedule->operations, schedule->bytes, operations,
                   bytes);
    for (uint32_t i = 0; i < schedule->runs.count; i++)
        if (schedule->runs.at[i].again) tell_run(r, schedule, i, room, text);
}

/* ---- the pass -------------------------------------------------------------------------------- */
static kt_status refuse_limit(const kt_rerun *r, int64_t before, int64_t least) {
    return kt_diag_add(r->run->diag, KT_INVALID, NULL,
                       "A step of training%s needs %" PRId64 " bytes, and no less than %" PRId64
                       " where it runs kernels again; the limit is %" PRId64 ".",
                       r->sizes, before, least, r->run->options->memory->limit);
}

/* Takes room away while that costs next to nothing, and until the limit holds. */
static kt_status shrink(kt_rerun *r, kt_schedule *out_schedule) {
    const int64_t limit = r->run->options->memory->limit;
    kt_schedule schedule = {0};
    kt_room room = {0};
    kt_rerun_copy(r, &schedule, out_schedule);
    kt_rerun_lay(r, &schedule, &room);
    const int64_t before = kt_rerun_measure(r, &room);
    int64_t least = before, target = room.most;
    for (;;) {
        bool fits = !limit || least <= limit;
        while (room.most <= target) target = room.most - room.most / FRACTION - 1;
        bool less = kt_rerun_shrink(r, &schedule, target);
        if (!less && !fits) return refuse_limit(r, before, least);
        if (!less || (fits && kt_rerun_share(r, &schedule) > NEXT_TO_NOTHING)) break;
        kt_rerun_lay(r, &schedule, &room);
        int64_t now = kt_rerun_measure(r, &room);
        if (now >= least) continue;
        least = now;
        kt_rerun_copy(r, out_schedule, &schedule);
    }
    kt_rerun_lay(r, out_schedule, &room);
    tell(r, out_schedule, &room, before, least);
    return KT_OK;
}

static kt_status rerun(kt_pass_run *run, kt_func func) {
    const kt_function entry = *kt_graph_function(run->graph, func);
    kt_rerun r = {.run = run, .entry = &entry};
    kt_schedule schedule = {0};
    if (entry.kind != KT_FUNC_ENTRY || !trains(run->graph, &entry)) return KT_OK;
    bool known;
    KT_TRY(find_symbols(&r, &known));
    if (!known) return KT_OK;
    KT_TRY(kt_rerun_read(&r, &schedule));
    KT_TRY(shrink(&r, &schedule));
    return schedule.runs.count == r.units.count ? KT_OK : write_schedule(&r, &schedule);
}

static kt_status run_rerun(kt_pass_run *run) {
    const kt_memory *memory = run->options->memory;
    return memory && (memory->limit || run->options->level > 0) ? kt_pass_each(run, rerun) : KT_OK;
}

kt_status kt_pass_rerun(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_rerun, graph, options, diag);
}
