/* Shares of a batch: each thread takes some of the samples through all steps, or through all turns of a loop.
 *
 * Where no sample is made of another, that needs no more of the threads than to begin and to end together;
 * parts of each step would have them wait for each other at every one, and move what passes between steps
 * from core to core. On the other hand each thread reads all weights then. A share is a binding of its own,
 * of fewer samples, with a workspace of its own; a share of a loop goes over its samples' rows of the common
 * one. */
#include "runtime/context_impl.h"

#include <stdlib.h>

static int64_t samples_before(int64_t samples, int64_t share, int64_t shares) {
    return share * (samples / shares) + (share < samples % shares ? share : samples % shares);
}

int kt_shares_make(kt_context *context, const kt_abi_entry *entry, struct binding *whole, int threads,
                   bool forced) {
    int64_t samples = entry->batch ? whole->symbols[entry->batch - 1] : 1;
    int64_t count = samples < threads ? samples : threads;
    if (count < 2) return 0;
    int64_t *symbols = malloc(entry->symbol_count * sizeof *symbols);
    whole->shares = calloc((size_t)count, sizeof *whole->shares);
    int code = symbols && whole->shares ? 0 : KT_ERROR_MEMORY;
    for (int64_t i = 0; i < count && code == 0; i++) {
        for (uint32_t k = 0; k < entry->symbol_count; k++) symbols[k] = whole->symbols[k];
        int64_t first = samples_before(samples, i, count);
        symbols[entry->batch - 1] = samples_before(samples, i + 1, count) - first;
        const struct binding *last = i ? whole->shares[i - 1] : NULL;
        if (last && last->symbols[entry->batch - 1] == symbols[entry->batch - 1]) {
            whole->shares[i] = kt_binding_copy(entry, last);
            code = whole->shares[i] ? 0 : KT_ERROR_MEMORY;
        } else {
            code = kt_binding_make(context, entry, symbols, 1, &whole->shares[i]);
        }
        if (code) break;
        whole->shares[i]->first_sample = first;
        whole->share_count = i + 1;
        /* The first is the largest. */
        if (i == 0 && !forced && !kt_shares_pay(entry, whole, whole->shares[0])) {
            kt_shares_free(whole);
            break;
        }
    }
    free(symbols);
    if (code != KT_ERROR_MEMORY) return code;
    kt_shares_free(whole); /* then there are none */
    return 0;
}

void kt_shares_free(struct binding *whole) {
    for (int64_t i = 0; i < whole->share_count; i++) free(whole->shares[i]);
    free(whole->shares);
    whole->shares = NULL;
    whole->share_count = 0;
}

/* A kernel for the pool: a part is a share. args leads to the call of all samples. */
static void run_share(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    const struct call *whole = (const void *)args;
    const kt_abi_entry *entry = whole->entry;
    struct binding *own = whole->binding->shares[part];
    int64_t samples = own->symbols[entry->batch - 1];
    (void)symbols, (void)parts;
    for (uint32_t i = 0; i < entry->buffer_count; i++) {
        const kt_abi_buffer *buffer = &entry->buffers[i];
        int64_t before = own->first_sample * (own->values[buffer->bytes] / samples);
        if (buffer->place == KT_PLACE_INPUT)
            own->inputs[buffer->index] = (const char *)whole->inputs[buffer->index] + before;
        if (buffer->place == KT_PLACE_OUTPUT)
            own->outputs[buffer->index] = (char *)whole->outputs[buffer->index] + before;
    }
    struct call call = *whole;
    call.workspace = own->base;
    call.binding = own;
    call.inputs = own->inputs;
    call.outputs = own->outputs;
    kt_call_run(&call);
}

void kt_shares_run(const struct call *call) {
    kt_pool_run(call->pool, run_share, (void *const *)call, call->binding->symbols,
                call->binding->share_count);
}

/* ---- loops ----------------------------------------------------------------------------------- */
int64_t kt_shares_symbol(const kt_abi_entry *entry) {
    for (uint32_t i = 0; i < entry->loop_count; i++)
        if (entry->loops[i].batch) return (int64_t)entry->loops[i].batch - 1;
    return -1;
}

int64_t kt_shares_of_loops(const kt_abi_entry *entry, struct binding *binding, int threads) {
    int64_t symbol = kt_shares_symbol(entry), samples = symbol < 0 ? 1 : binding->symbols[symbol];
    int64_t count = samples < threads ? samples : threads;
    if (count < 2) return 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t *symbols = binding->share_symbols + i * entry->symbol_count;
        for (uint32_t k = 0; k < entry->symbol_count; k++) symbols[k] = binding->symbols[k];
        symbols[symbol] = samples_before(samples, i + 1, count) - samples_before(samples, i, count);
    }
    entry->bind(binding->share_symbols, binding->share_values);
    return count;
}

struct loop_share {
    const struct call *call;
    const kt_abi_loop *loop;
    uint32_t number;
    int64_t first_sample;
    void **args;
};

/* Points an argument to the share's samples, of the slice that the loop stands at. */
static void point(const struct loop_share *share, uint32_t arg, int64_t slice) {
    const struct call *call = share->call;
    const struct binding *binding = call->binding;
    uint32_t index = call->entry->args[arg];
    const kt_abi_buffer *buffer = &call->entry->buffers[index];
    int64_t bytes = binding->values[buffer->bytes];
    char *place = binding->args[arg];
    if (buffer->place == KT_PLACE_SLICE && buffer->first == share->number)
        place = kt_buffer_place(call, (uint32_t)buffer->index) + slice * bytes;
    bool sampled = binding->share_values[buffer->bytes] != bytes;
    int64_t samples = binding->symbols[share->loop->batch - 1];
    share->args[arg] = place + (sampled ? share->first_sample * (bytes / samples) : 0);
}

/* A kernel for the pool: a part is a share. args leads to the loop. */
static void run_loop_share(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    const struct loop_share *whole = (const void *)args;
    struct loop_share share = *whole;
    const kt_abi_entry *entry = share.call->entry;
    const struct binding *binding = share.call->binding;
    const kt_abi_loop *loop = share.loop;
    int64_t length = binding->values[loop->length];
    const int64_t *own = binding->share_symbols + part * entry->symbol_count;
    share.first_sample = samples_before(symbols[loop->batch - 1], part, parts);
    share.args = binding->lane_args + (size_t)part * entry->arg_count;
    for (uint32_t i = loop->first_step; i < loop->end_step; i++)
        for (uint32_t k = 0; k < entry->steps[i].arg_count; k++)
            point(&share, entry->steps[i].first_arg + k, 0);
    for (int64_t turn = 0; turn < length; turn++) {
        for (uint32_t k = 0; k < loop->move_count; k++)
            point(&share, entry->moves[loop->first_move + k], loop->reverse ? length - 1 - turn : turn);
        for (uint32_t i = loop->first_step; i < loop->end_step; i++)
            entry->steps[i].kernel(share.args + entry->steps[i].first_arg, own, 0, 1);
    }
}

bool kt_shares_run_loop(const struct call *call, uint32_t loop) {
    int64_t shares = call->binding->loop_shares[loop];
    if (shares == 1) return false;
    const struct loop_share whole = {.call = call, .loop = &call->entry->loops[loop], .number = loop};
    kt_pool_run(call->pool, run_loop_share, (void *const *)&whole, call->binding->symbols, shares);
    return true;
}
