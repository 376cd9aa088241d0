/* Turns of a loop that run side by side, one a thread: of those loops whose turns read nothing of each other,
 * as samples of a batch.
 *
 * A thread that takes whole turns reads what it wrote itself, and waits for the others once; shares of each
 * step would move most of what passes between steps from core to core. Each lane has a workspace of its own
 * for what lives within a turn, and arguments of its own. What remains of the turns is left to the caller,
 * who shares out its steps. */
#include "runtime/context_impl.h"
#include "runtime/workspace.h"

#include <stdlib.h>
#include <string.h>

bool kt_lanes_possible(const kt_abi_entry *entry) {
    for (uint32_t i = 0; i < entry->loop_count; i++)
        if (entry->loops[i].apart) return true;
    return false;
}

/* ---- places ---------------------------------------------------------------------------------- */

struct placing {
    const kt_abi_entry *entry;
    struct binding *binding;
    kt_lifetime *lifetimes;
    uint32_t *order;
    bool *sliced; /* a buffer: loops take slices of it, so it outlives their turns */
};

/* The loop of several lanes within a turn of which the buffer lives; loop_count: none. */
static uint32_t lane_loop(const struct placing *p, uint32_t index) {
    const kt_abi_buffer *buffer = &p->entry->buffers[index];
    uint32_t number = 0;
    for (; number < p->entry->loop_count && buffer->place == KT_PLACE_ARENA && !p->sliced[index]; number++) {
        const kt_abi_loop *loop = &p->entry->loops[number];
        if (p->binding->lanes[number] > 1 && buffer->first >= loop->first_step &&
            buffer->last < loop->end_step)
            return number;
    }
    return p->entry->loop_count;
}

/* Places the buffers of one loop, or those of none, whose offsets begin behind `reserved` lifetimes that are
 * there already; returns the bytes that all take. */
static int64_t place_loop(struct placing *p, uint32_t number, uint32_t reserved) {
    uint32_t count = reserved;
    for (uint32_t i = 0; i < p->entry->buffer_count; i++) {
        const kt_abi_buffer *buffer = &p->entry->buffers[i];
        if (buffer->place != KT_PLACE_ARENA || lane_loop(p, i) != number) continue;
        p->lifetimes[count++] = (kt_lifetime){
            .bytes = p->binding->values[buffer->bytes], .first = buffer->first, .last = buffer->last};
    }
    int64_t bytes = kt_workspace_assign(p->lifetimes, count, p->order);
    count = reserved;
    for (uint32_t i = 0; i < p->entry->buffer_count; i++)
        if (p->entry->buffers[i].place == KT_PLACE_ARENA && lane_loop(p, i) == number)
            p->binding->offsets[i] = p->lifetimes[count++].offset;
    return bytes;
}

static void place(struct placing *p) {
    const kt_abi_entry *entry = p->entry;
    struct binding *binding = p->binding;
    uint32_t reserved = 0;
    for (uint32_t i = 0; i < entry->buffer_count; i++)
        if (entry->buffers[i].place == KT_PLACE_SLICE) p->sliced[entry->buffers[i].index] = true;
    for (uint32_t i = 0; i < entry->loop_count; i++)
        if (binding->lanes[i] > 1) binding->lane_bytes[i] = place_loop(p, i, 0);
    for (uint32_t i = 0; i < entry->loop_count; i++) {
        if (binding->lanes[i] == 1) continue;
        int64_t bytes = 0;
        if (__builtin_mul_overflow(binding->lanes[i], binding->lane_bytes[i], &bytes)) bytes = INT64_MAX;
        p->lifetimes[reserved++] = (kt_lifetime){
            .bytes = bytes, .first = entry->loops[i].first_step, .last = entry->loops[i].end_step - 1};
    }
    binding->workspace_bytes = place_loop(p, entry->loop_count, reserved);
    for (uint32_t i = 0, at = 0; i < entry->loop_count; i++) {
        if (binding->lanes[i] == 1) continue;
        for (uint32_t k = 0; k < entry->buffer_count; k++)
            if (lane_loop(p, k) == i) binding->offsets[k] += p->lifetimes[at].offset;
        at++;
    }
}

bool kt_lanes_place(const kt_abi_entry *entry, struct binding *binding) {
    size_t most = (size_t)entry->buffer_count + entry->loop_count + 1;
    struct placing p = {.entry = entry, .binding = binding};
    p.lifetimes = malloc(most * sizeof *p.lifetimes);
    p.order = malloc(most * sizeof *p.order);
    p.sliced = calloc(most, sizeof *p.sliced);
    bool ok = p.lifetimes && p.order && p.sliced;
    if (ok) place(&p);
    free(p.lifetimes);
    free(p.order);
    free(p.sliced);
    return ok;
}

/* ---- runs ------------------------------------------------------------------------------------ */

struct turns {
    const struct call *call;
    uint32_t loop;
    int64_t count; /* of turns that lanes share */
};

/* Where an argument lies in a lane that stands at a slice. */
static void *lane_place(const struct turns *turns, uint32_t arg, int64_t lane, int64_t slice) {
    const struct call *call = turns->call;
    const struct binding *binding = call->binding;
    const kt_abi_loop *loop = &call->entry->loops[turns->loop];
    const kt_abi_buffer *buffer = &call->entry->buffers[call->entry->args[arg]];
    if (buffer->place == KT_PLACE_SLICE && buffer->first == turns->loop)
        return kt_buffer_place(call, (uint32_t)buffer->index) + slice * binding->values[buffer->bytes];
    bool own =
        buffer->place == KT_PLACE_ARENA && buffer->first >= loop->first_step && buffer->last < loop->end_step;
    return (char *)binding->args[arg] + (own ? lane * binding->lane_bytes[turns->loop] : 0);
}

/* A kernel for the pool: a part is a lane. args leads to the turns. */
static void run_lane(void *const *args, const int64_t *symbols, int64_t lane, int64_t lanes) {
    const struct turns *turns = (const void *)args;
    const kt_abi_entry *entry = turns->call->entry;
    const kt_abi_loop *loop = &entry->loops[turns->loop];
    void **own = turns->call->binding->lane_args + (size_t)lane * entry->arg_count;
    for (int64_t turn = lane * turns->count / lanes; turn < (lane + 1) * turns->count / lanes; turn++) {
        int64_t slice = loop->reverse ? turns->call->binding->values[loop->length] - 1 - turn : turn;
        for (uint32_t i = loop->first_step; i < loop->end_step; i++) {
            const kt_abi_step *step = &entry->steps[i];
            for (uint32_t k = step->first_arg; k < step->first_arg + step->arg_count; k++)
                own[k] = lane_place(turns, k, lane, slice);
            step->kernel(own + step->first_arg, symbols, 0, 1);
        }
    }
}

int64_t kt_lanes_run(const struct call *call, uint32_t loop) {
    int64_t lanes = call->binding->lanes[loop],
            length = call->binding->values[call->entry->loops[loop].length];
    if (lanes == 1) return 0;
    struct turns turns = {call, loop, length - length % lanes};
    kt_pool_run(call->pool, run_lane, (void *const *)&turns, call->binding->symbols, lanes);
    return turns.count;
}
