/* Into how many parts each step of a binding goes: as many as there are threads or one, whichever takes less
 * time after the steps before it. What counts beside a step's own time is what must be moved from core to
 * core: a thread whose rows were written on its own core has them in its cache. What either costs on this
 * machine the pool has measured. */
#include "runtime/context_impl.h"

/* What decides whether threads pay, as far as machines are alike in it. */
enum {
    NANOSECONDS_A_PART = 2500,   /* beside which handing a part to a thread is little */
    NANOSECONDS_A_CALL = 20000,  /* of all parts: less is done before threads have woken up */
    NANOSECONDS_A_BATCH = 10000, /* the same of shares, for which threads are called but once */
    READ_BYTES = 64,             /* in a nanosecond, from memory or a cache that cores share */
    REREAD_BYTES = 192,          /* the same from a core's own cache, which holds what a few steps read */
    REREAD_MOST = 1 << 19,
    CACHED_BYTES = 1 << 18, /* more would not be in the core's own cache anyway */
    STREAMED_BYTES = 16384, /* that go from core to core while a part is handed out */
    LATENT_BYTES = 4096,    /* that would, while the first of them is waited for */
};

/* On which cores a buffer was written. */
enum home {
    NOT_WRITTEN,
    AT_CALLER,
    BY_ROWS,   /* by parts of its leading axes */
    SCATTERED, /* by parts of other kinds */
};

static enum home first_home(const kt_abi_entry *entry, uint32_t index) {
    const kt_abi_buffer *buffer = &entry->buffers[index];
    while (buffer->place == KT_PLACE_SLICE) buffer = &entry->buffers[buffer->index];
    bool written = buffer->place == KT_PLACE_ARENA || buffer->place == KT_PLACE_OUTPUT;
    return written ? NOT_WRITTEN : AT_CALLER;
}

/* How many of a buffer's bytes each core, or the one that has most to fetch, moves to read what it needs of
 * it. */
static double moved_bytes(double bytes, enum home home, bool by_rows, double parts, double threads) {
    if (home == NOT_WRITTEN) return 0;
    if (parts == 1) return home == AT_CALLER ? 0 : bytes * (threads - 1) / threads;
    /* What rows begin to go to other cores for serves the steps behind, too. */
    if (home == AT_CALLER) return by_rows ? bytes / parts / 2 : bytes;
    if (!by_rows) return bytes * (parts - 1) / parts;
    return home == BY_ROWS ? 0 : bytes * (parts - 1) / parts / parts;
}

/* Does a turn of the loop around a step read so little that it is still there in the next? */
static bool is_reread(const kt_abi_entry *entry, const int64_t *values, uint32_t step) {
    double bytes = REREAD_MOST + 1;
    for (uint32_t i = 0; i < entry->loop_count; i++) {
        const kt_abi_loop *loop = &entry->loops[i]; /* the last that holds it is the innermost */
        if (step < loop->first_step || step >= loop->end_step) continue;
        bytes = 0;
        for (uint32_t k = loop->first_step; k < loop->end_step && bytes <= REREAD_MOST; k++)
            bytes += (double)values[entry->steps[k].bytes];
    }
    return bytes <= REREAD_MOST;
}

/* To read what a step reads: weights have been driven out of the core's cache since the call before, unless a
 * loop reads them again soon; what steps hand on is still there, unless it is large. */
static double read_time(const kt_abi_entry *entry, const int64_t *values, uint32_t number) {
    const kt_abi_step *step = &entry->steps[number];
    double all = (double)values[step->bytes], weights = 0;
    if (is_reread(entry, values, number)) return all / REREAD_BYTES;
    for (uint32_t i = 0; i < step->arg_count; i++) {
        const kt_abi_buffer *buffer = &entry->buffers[entry->args[step->first_arg + i]];
        bool kept = buffer->place == KT_PLACE_CONSTANT || buffer->place == KT_PLACE_VARIABLE;
        if (kept) weights += (double)values[buffer->bytes];
    }
    if (weights > all) weights = all; /* of a table, what is taken */
    double handed = all - weights;
    return weights / READ_BYTES + handed / (handed > REREAD_MOST ? READ_BYTES : REREAD_BYTES);
}

/* What a step takes in nanoseconds by one thread, without moving anything, as an estimate. */
static double step_time(const kt_abi_entry *entry, const int64_t *values, uint32_t step) {
    double time = (double)values[entry->steps[step].cost], read = read_time(entry, values, step);
    return time > read ? time : read;
}

/* To move so many bytes from core to core. */
static double moving_time(const struct binding *binding, double bytes) {
    return (bytes > CACHED_BYTES ? CACHED_BYTES : bytes) / STREAMED_BYTES * binding->handing;
}

/* The same in parts, and to move what is moved for them. */
static double shared_time(const kt_abi_entry *entry, const struct binding *binding, uint32_t number,
                          double parts, double threads) {
    const kt_abi_step *step = &entry->steps[number];
    double moved = 0;
    for (uint32_t i = 0; i < step->arg_count; i++) {
        uint32_t index = entry->args[step->first_arg + i];
        if (entry->buffers[index].place == KT_PLACE_CONSTANT) continue;
        double bytes = moved_bytes((double)binding->values[entry->buffers[index].bytes],
                                   (enum home)binding->offsets[index], step->leading, parts, threads);
        moved += bytes > 0 && bytes < LATENT_BYTES ? LATENT_BYTES : bytes;
    }
    return step_time(entry, binding->values, number) / parts + moving_time(binding, moved) +
           (parts > 1 ? binding->handing : 0);
}

/* How often a step runs in a call. */
static double count_turns(const kt_abi_entry *entry, const struct binding *binding, uint32_t step) {
    double turns = 1;
    for (uint32_t i = 0; i < entry->loop_count; i++) {
        const kt_abi_loop *loop = &entry->loops[i];
        if (loop->first_step <= step && step < loop->end_step) turns *= (double)binding->values[loop->length];
    }
    return turns;
}

/* What a share of a loop moves to its core, at most. */
static double loop_moved_time(const kt_abi_entry *entry, const struct binding *binding,
                              const kt_abi_loop *loop) {
    double moved = 0;
    for (uint32_t i = loop->first_step; i < loop->end_step; i++)
        for (uint32_t k = 0; k < entry->steps[i].arg_count; k++) {
            const kt_abi_buffer *buffer = &entry->buffers[entry->args[entry->steps[i].first_arg + k]];
            int64_t bytes = binding->share_values[buffer->bytes];
            if (bytes == binding->values[buffer->bytes]) continue;
            moved +=
                (double)bytes * (buffer->place == KT_PLACE_SLICE ? (double)binding->values[loop->length] : 1);
        }
    return moving_time(binding, moved);
}

/* Into how many shares of its samples a loop goes, of so many or one: the former if that is forced, or takes
 * less time than one thread and than sharing out its steps, which would take at least a part of their time,
 * the time to hand out each, and the same moving. */
static int64_t share_loop(const kt_abi_entry *entry, const struct binding *binding, uint32_t number,
                          int64_t shares, bool forced) {
    const kt_abi_loop *loop = &entry->loops[number];
    double alone = 0, own = binding->handing, turns = count_turns(entry, binding, loop->first_step);
    if (!loop->batch || shares == 1 || forced) return loop->batch ? shares : 1;
    for (uint32_t i = loop->first_step; i < loop->end_step; i++) {
        alone += step_time(entry, binding->values, i) * turns;
        own += step_time(entry, binding->share_values, i) * turns;
    }
    double handing = turns * (loop->end_step - loop->first_step) * binding->handing;
    bool pays = alone >= NANOSECONDS_A_CALL && own + loop_moved_time(entry, binding, loop) < alone &&
                own < alone / (double)shares + handing;
    return pays ? shares : 1;
}

/* How many turns of a loop that does not go in shares run side by side. */
static int64_t count_lanes(const kt_abi_entry *entry, const struct binding *binding, uint32_t number,
                           int threads) {
    const kt_abi_loop *loop = &entry->loops[number];
    int64_t length = binding->values[loop->length];
    double time = 0;
    for (uint32_t i = loop->first_step; i < loop->end_step; i++)
        time += (double)binding->values[entry->steps[i].cost] * count_turns(entry, binding, i);
    if (!loop->apart || binding->loop_shares[number] > 1 || time < NANOSECONDS_A_CALL) return 1;
    return length < threads ? length : threads;
}

/* Those of the loop around a step. */
static double lanes_around(const kt_abi_entry *entry, const struct binding *binding, uint32_t step) {
    for (uint32_t i = 0; i < entry->loop_count; i++)
        if (entry->loops[i].first_step <= step && step < entry->loops[i].end_step && binding->lanes[i] > 1)
            return (double)binding->lanes[i];
    return 1;
}

/* Does the loop around a step go in shares? */
static bool goes_in_shares(const kt_abi_entry *entry, const struct binding *binding, uint32_t step) {
    for (uint32_t i = 0; i < entry->loop_count; i++)
        if (entry->loops[i].first_step <= step && step < entry->loops[i].end_step &&
            binding->loop_shares[i] > 1)
            return true;
    return false;
}

/* One thread's time for all steps. */
static double time_alone(const kt_abi_entry *entry, const struct binding *binding) {
    double time = 0;
    for (uint32_t i = 0; i < entry->step_count; i++)
        time += step_time(entry, binding->values, i) * count_turns(entry, binding, i);
    return time;
}

/* Homes of buffers are kept where their offsets will be. */
void kt_share_out(const kt_abi_entry *entry, struct binding *binding, kt_pool *pool, int threads,
                  bool forced) {
    double shared = 0, alone = time_alone(entry, binding), together = 0;
    bool may_pay = threads > 1 && alone >= NANOSECONDS_A_BATCH;
    binding->handing = may_pay ? kt_pool_handing(pool) : 0;
    int64_t shares = threads > 1 ? kt_shares_of_loops(entry, binding, threads) : 1;
    for (uint32_t i = 0; i < entry->loop_count; i++) {
        binding->loop_shares[i] = share_loop(entry, binding, i, shares, forced);
        binding->lanes[i] = count_lanes(entry, binding, i, threads);
    }
    for (uint32_t i = 0; i < entry->buffer_count; i++) binding->offsets[i] = first_home(entry, i);
    for (uint32_t i = 0; i < entry->step_count; i++) {
        const kt_abi_step *step = &entry->steps[i];
        double time = step_time(entry, binding->values, i), parts = time / NANOSECONDS_A_PART;
        double units = (double)binding->values[step->units];
        if (parts < 2) parts = 2; /* of a small step, for what would be moved */
        if (parts > threads) parts = threads;
        if (parts > units) parts = units;
        parts = parts < 1 ? 1 : (double)(int64_t)parts;
        if (shared_time(entry, binding, i, parts, threads) >= shared_time(entry, binding, i, 1, threads))
            parts = 1;
        binding->parts[i] = (int64_t)parts;
        double turns = count_turns(entry, binding, i), lanes = lanes_around(entry, binding, i);
        bool in_shares = goes_in_shares(entry, binding, i);
        if (parts > 1 || lanes > 1 || in_shares) shared += time * turns;
        together += (in_shares   ? step_time(entry, binding->share_values, i)
                     : lanes > 1 ? time / lanes
                                 : shared_time(entry, binding, i, parts, threads)) *
                    turns;
        bool by_rows = in_shares || step->leading;
        for (uint32_t k = 0; k < step->arg_count; k++) {
            int64_t *home = &binding->offsets[entry->args[step->first_arg + k]];
            if (*home == NOT_WRITTEN)
                *home = parts == 1 && lanes == 1 && !in_shares ? AT_CALLER : by_rows ? BY_ROWS : SCATTERED;
        }
    }
    bool pays = shared >= NANOSECONDS_A_CALL && together < alone;
    for (uint32_t i = 0; !pays && i < entry->step_count; i++) binding->parts[i] = 1;
    binding->nanoseconds = pays ? together : alone;
}

bool kt_shares_pay(const kt_abi_entry *entry, const struct binding *whole, const struct binding *share) {
    double moved = 0;
    for (uint32_t i = 0; i < entry->buffer_count; i++)
        if (entry->buffers[i].place == KT_PLACE_INPUT || entry->buffers[i].place == KT_PLACE_OUTPUT)
            moved += (double)share->values[entry->buffers[i].bytes];
    return whole->handing > 0 &&
           share->nanoseconds + moving_time(whole, moved) + whole->handing < whole->nanoseconds;
}
