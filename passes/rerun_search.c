/* What to run again. Room is short over some steps; whatever lies there unread can be dropped behind its last
 * read, and be there anew before its next: computed again of what is there then, or of what is, in turn,
 * computed again. Of all that could be dropped that is taken which frees most of what is too much, step by
 * step, for what it costs. What is computed again early enough serves later reads as well, so that stretches
 * of layers go forwards once more, each just before the way back comes to it. */
#include "passes/rerun_impl.h"

#include <string.h>

enum {
    MOST_RUNS = 8,       /* for each that there was */
    OPERATIONS = 16,     /* that take as long as to move a byte */
    BYTES_A_RUN = 32768, /* that could be moved in the time that a run takes at least */
    BESIDE = 8,          /* so many times smaller, something is kept instead of being computed again */
};

typedef struct search {
    const kt_rerun *r;
    const kt_schedule *schedule; /* as it is */
    const kt_room *room;
    int64_t target;
} search;

typedef struct candidate {
    uint32_t copy, run; /* that is dropped, until this run reads it */
    double promise;     /* more than it is worth */
} candidate;

#define ASSIGN(arena, to, from)                                                                              \
    do {                                                                                                     \
        if ((to)->capacity < (from)->count) {                                                                \
            (to)->capacity = 2 * (from)->count;                                                              \
            (to)->at = kt_arena_array((arena), (to)->capacity, sizeof *(to)->at);                            \
        }                                                                                                    \
        (to)->count = (from)->count;                                                                         \
        memcpy((to)->at, (from)->at, (from)->count * sizeof *(to)->at);                                      \
    } while (0)

void kt_rerun_copy(const kt_rerun *r, kt_schedule *to, const kt_schedule *from) {
    kt_arena *scratch = r->run->scratch;
    ASSIGN(scratch, &to->copies, &from->copies);
    ASSIGN(scratch, &to->runs, &from->runs);
    ASSIGN(scratch, &to->args, &from->args);
    to->operations = from->operations;
    to->bytes = from->bytes;
}

static double price(int64_t operations, int64_t bytes) {
    return (double)operations / OPERATIONS + (double)bytes;
}

static double unit_price(const kt_unit *unit) {
    return price(unit->operations, unit->bytes) + (double)unit->steps * BYTES_A_RUN;
}

static double schedule_price(const kt_schedule *schedule) {
    return price(schedule->operations, schedule->bytes) + (double)schedule->runs.count * BYTES_A_RUN;
}

double kt_rerun_share(const kt_rerun *r, const kt_schedule *schedule) {
    double once = 0, again = 0;
    for (uint32_t i = 0; i < r->units.count; i++) once += unit_price(&r->units.at[i]);
    for (uint32_t i = 0; i < schedule->runs.count; i++)
        if (schedule->runs.at[i].again) again += unit_price(kt_rerun_unit(r, &schedule->runs.at[i]));
    return again / once;
}

/* ---- a schedule in which something is dropped ------------------------------------------------ */
static uint32_t *results_of(const kt_rerun *r, kt_schedule *schedule, const kt_run *run) {
    return &schedule->args.at[run->first_arg + kt_rerun_unit(r, run)->node->operand_count];
}

/* From run number first on, what reads one copy reads the other. */
static void redirect(const kt_rerun *r, kt_schedule *schedule, uint32_t first, uint32_t from, uint32_t to) {
    for (uint32_t i = first; i < schedule->runs.count; i++) {
        const kt_run *run = &schedule->runs.at[i];
        for (uint32_t k = 0; k < kt_rerun_unit(r, run)->node->operand_count; k++)
            if (schedule->args.at[run->first_arg + k] == from) schedule->args.at[run->first_arg + k] = to;
    }
}

typedef struct place {
    uint32_t made, last; /* runs; last: KT_RERUN_NONE where nothing reads it */
} place;

static place locate(const kt_rerun *r, kt_schedule *schedule, uint32_t copy) {
    place found = {KT_RERUN_NONE, KT_RERUN_NONE};
    for (uint32_t i = 0; i < schedule->runs.count; i++) {
        const kt_run *run = &schedule->runs.at[i];
        const kt_node_info *node = kt_rerun_unit(r, run)->node;
        const uint32_t *args = &schedule->args.at[run->first_arg];
        for (uint32_t k = 0; k < node->operand_count; k++)
            if (args[k] == copy) found.last = i;
        for (uint32_t k = 0; k < node->result_count; k++)
            if (args[node->operand_count + k] == copy) found.made = i;
    }
    return found;
}

/* The first copy of value that is made from run number first on, or none. */
static uint32_t find_later(const kt_rerun *r, kt_schedule *schedule, kt_value value, uint32_t first) {
    for (uint32_t i = first; i < schedule->runs.count; i++) {
        const kt_run *run = &schedule->runs.at[i];
        for (uint32_t k = 0; k < kt_rerun_unit(r, run)->node->result_count; k++) {
            uint32_t copy = results_of(r, schedule, run)[k];
            if (schedule->copies.at[copy].value == value) return copy;
        }
    }
    return KT_RERUN_NONE;
}

/* What is wanted again: copies from fresh on are made for it. */
typedef struct wish {
    const kt_rerun *r;
    kt_schedule *schedule;
    uint32_t fresh;
    uint32_t at; /* the run that it is wanted before; moves on */
} wish;

/* A copy of value to read at run number w->at: one that is read then or later anyway, or just made, or small
 * beside what is made of it; or none. */
static uint32_t find_there(const wish *w, kt_value value, int64_t large) {
    const kt_rerun *r = w->r;
    kt_schedule *schedule = w->schedule;
    uint32_t kept = KT_RERUN_NONE;
    for (uint32_t copy = 0; copy < schedule->copies.count; copy++) {
        if (schedule->copies.at[copy].value != value) continue;
        if (!r->unit[value]) return copy;
        place found = locate(r, schedule, copy);
        if (found.made >= w->at) continue; /* or nowhere */
        if (copy >= w->fresh || (found.last != KT_RERUN_NONE && found.last >= w->at)) return copy;
        if (schedule->copies.at[copy].given || r->size[value] <= large / BESIDE) kept = copy;
    }
    return kept;
}

/* Computes value again; returns the copy, or none where that takes too much. */
static uint32_t compute(wish *w, kt_value value) {
    const kt_rerun *r = w->r;
    kt_schedule *schedule = w->schedule;
    kt_arena *scratch = r->run->scratch;
    const kt_unit *unit = &r->units.at[r->unit[value] - 1];
    const kt_node_info *node = unit->node;
    kt_run run = {.unit = r->unit[value] - 1, .first_arg = schedule->args.count, .again = true};
    if (schedule->runs.count >= MOST_RUNS * r->units.count) return KT_RERUN_NONE;
    for (uint32_t k = 0; k < node->operand_count + node->result_count; k++)
        KT_PUSH(scratch, &schedule->args, KT_RERUN_NONE);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        bool own = k < unit->carried;
        uint32_t copy = own ? KT_RERUN_NONE : find_there(w, unit->operands[k], r->size[value]);
        if (copy == KT_RERUN_NONE) copy = compute(w, unit->operands[k]);
        if (copy == KT_RERUN_NONE) return copy;
        schedule->args.at[run.first_arg + k] = copy;
    }
    uint32_t first_copy = schedule->copies.count, *results = results_of(r, schedule, &run);
    KT_PUSH(scratch, &schedule->runs, run);
    memmove(&schedule->runs.at[w->at + 1], &schedule->runs.at[w->at],
            (schedule->runs.count - 1 - w->at) * sizeof run);
    schedule->runs.at[w->at++] = run;
    schedule->operations += unit->operations;
    schedule->bytes += unit->bytes;
    for (uint32_t k = 0; k < node->result_count; k++) {
        kt_value result = node->first_result + k;
        uint32_t later = find_later(r, schedule, result, w->at);
        results[k] = first_copy + k;
        KT_PUSH(scratch, &schedule->copies, ((kt_copy){result, false}));
        if (later != KT_RERUN_NONE && !r->overwritten[result])
            redirect(r, schedule, w->at, later, results[k]);
    }
    return first_copy + (value - node->first_result);
}

/* Takes out what is run again for nothing, and what that alone needed. */
static void drop_unread(kt_rerun *r, kt_schedule *schedule) {
    if (schedule->copies.count > r->at_work.read_capacity) {
        r->at_work.read_capacity = 2 * schedule->copies.count;
        r->at_work.read = KT_NEW_ARRAY(r->run->scratch, bool, r->at_work.read_capacity);
    }
    bool *read = r->at_work.read;
    memset(read, 0, schedule->copies.count * sizeof *read);
    uint32_t end = schedule->runs.count, kept = end;
    for (uint32_t i = end; i-- > 0;) {
        const kt_run run = schedule->runs.at[i];
        const kt_unit *unit = kt_rerun_unit(r, &run);
        bool wanted = !run.again;
        for (uint32_t k = 0; k < unit->node->result_count; k++)
            wanted = wanted || read[results_of(r, schedule, &run)[k]];
        if (!wanted) {
            schedule->operations -= unit->operations;
            schedule->bytes -= unit->bytes;
            continue;
        }
        for (uint32_t k = 0; k < unit->node->operand_count; k++)
            read[schedule->args.at[run.first_arg + k]] = true;
        schedule->runs.at[--kept] = run;
    }
    memmove(schedule->runs.at, schedule->runs.at + kept, (end - kept) * sizeof schedule->runs.at[0]);
    schedule->runs.count = end - kept;
}

static bool drop_copy(kt_rerun *r, kt_schedule *schedule, uint32_t copy, uint32_t run) {
    wish w = {r, schedule, schedule->copies.count, run};
    uint32_t again = compute(&w, schedule->copies.at[copy].value);
    if (again == KT_RERUN_NONE) return false;
    redirect(r, schedule, w.at, copy, again);
    drop_unread(r, schedule);
    return true;
}

/* ---- the search ------------------------------------------------------------------------------ */
/* Of bytes over a step, those that are too much. */
static int64_t excess(const search *s, const kt_room *room, uint32_t step) {
    int64_t over = room->alive[step] + room->beside - s->target;
    return over > 0 ? over : 0;
}

static double total_excess(const search *s, const kt_schedule *schedule, const kt_room *room) {
    double total = 0;
    for (uint32_t i = 0; i < room->first_step[schedule->runs.count]; i++) total += (double)excess(s, room, i);
    return total;
}

typedef KT_VECTOR(candidate) candidates;

/* The copy lies unread between two runs: is there too much then? */
static void consider(const search *s, candidates *found, uint32_t copy, uint32_t before, uint32_t run) {
    const kt_rerun *r = s->r;
    kt_value value = s->schedule->copies.at[copy].value;
    double freed = 0;
    for (uint32_t step = s->room->first_step[before + 1]; step < s->room->first_step[run]; step++) {
        int64_t over = excess(s, s->room, step);
        freed += (double)(over < r->size[value] ? over : r->size[value]);
    }
    if (freed <= 0) return;
    candidate one = {copy, run, freed / unit_price(&r->units.at[r->unit[value] - 1])};
    KT_PUSH(r->run->scratch, found, one);
    uint32_t at = found->count - 1;
    for (; at > 0 && found->at[at - 1].promise < one.promise; at--) found->at[at] = found->at[at - 1];
    found->at[at] = one;
}

static void find_candidates(const search *s, candidates *found) {
    const kt_schedule *schedule = s->schedule;
    uint32_t *seen = KT_NEW_ARRAY(s->r->run->scratch, uint32_t, schedule->copies.count);
    memcpy(seen, s->room->made, schedule->copies.count * sizeof *seen);
    for (uint32_t i = 0; i < schedule->runs.count; i++) {
        const kt_run *run = &schedule->runs.at[i];
        for (uint32_t k = 0; k < kt_rerun_unit(s->r, run)->node->operand_count; k++) {
            uint32_t copy = schedule->args.at[run->first_arg + k];
            kt_copy is = schedule->copies.at[copy];
            if (is.given || s->r->overwritten[is.value] || seen[copy] == i) continue;
            consider(s, found, copy, seen[copy], i);
            seen[copy] = i;
        }
    }
}

bool kt_rerun_shrink(kt_rerun *r, kt_schedule *schedule, int64_t target) {
    kt_room *room = &r->at_work.room, *trial_room = &r->at_work.trial_room;
    kt_schedule *trial = &r->at_work.trial, *best = &r->at_work.best;
    const search s = {r, schedule, room, target};
    candidates found = {0};
    double most = 0;
    kt_rerun_lay(r, schedule, room);
    double now = total_excess(&s, schedule, room);
    find_candidates(&s, &found);
    for (uint32_t i = 0; i < found.count && found.at[i].promise > most; i++) {
        kt_rerun_copy(r, trial, schedule);
        if (!drop_copy(r, trial, found.at[i].copy, found.at[i].run)) continue;
        kt_rerun_lay(r, trial, trial_room);
        double freed = now - total_excess(&s, trial, trial_room);
        double paid = schedule_price(trial) - schedule_price(schedule);
        double worth = freed / (paid > 1 ? paid : 1);
        if (worth <= most) continue;
        most = worth;
        kt_rerun_copy(r, best, trial);
    }
    if (most > 0) kt_rerun_copy(r, schedule, best);
    return most > 0;
}
