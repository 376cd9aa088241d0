/* What the files of a context share: a binding, and a call that is under way. */
#ifndef KT_RUNTIME_CONTEXT_IMPL_H
#define KT_RUNTIME_CONTEXT_IMPL_H

#include "runtime/runtime.h"

#include <stdbool.h>

struct binding {
    int64_t *symbols;
    int64_t *values;
    int64_t *offsets;    /* a buffer; only those in the arena mean something */
    int64_t *parts;      /* a step */
    int64_t *turns;      /* a loop: the slice that it stands at */
    int64_t *lanes;      /* a loop: how many of its turns run side by side */
    int64_t *lane_bytes; /* a loop of several lanes: from one's workspace to the next's */
    int64_t *loop_shares; /* a loop: into how many shares of its samples it goes */
    int64_t *share_symbols; /* the same as symbols for each share of a loop, of its own samples */
    int64_t *share_values;  /* values of the first share, which is the largest */
    void **args;
    void **lane_args; /* the same once more for each lane, or share of a loop */
    const void **inputs; /* of a share's call */
    void **outputs;
    char *base; /* the workspace that args point into; NULL: not yet */
    int64_t workspace_bytes;
    double nanoseconds; /* that a call takes, as an estimate */
    double handing;     /* nanoseconds to share a step out, of several threads (kt_pool_handing) */
    int64_t share_count, first_sample;
    struct binding **shares; /* of its samples, which threads go through side by side; NULL: there are none */
};

struct call {
    kt_context *context;
    kt_pool *pool;
    char *workspace;
    const kt_abi_entry *entry;
    uint32_t index;
    struct binding *binding;
    const void *const *inputs;
    void *const *outputs;
};

/* Binds the symbols for a call by so many threads; a share is bound for one. */
int kt_binding_make(kt_context *context, const kt_abi_entry *entry, const int64_t *symbols, int threads,
                    struct binding **out_binding);
/* Another of as many samples; NULL: no memory. */
struct binding *kt_binding_copy(const kt_abi_entry *entry, const struct binding *share);
/* Runs all steps. */
void kt_call_run(const struct call *call);
/* Where a buffer lies, for the slices that loops stand at. */
char *kt_buffer_place(const struct call *call, uint32_t index);

/* ---- share_out.c ----------------------------------------------------------------------------- */
/* Decides parts, lanes and shares of loops among threads of the pool, by values, and estimates the time of a
 * call; overwrites offsets. forced: loops go in shares wherever they can. */
void kt_share_out(const kt_abi_entry *entry, struct binding *binding, kt_pool *pool, int threads, bool forced);
/* Does a call take less time in shares, of which this is the largest? */
bool kt_shares_pay(const kt_abi_entry *entry, const struct binding *whole, const struct binding *share);

/* ---- lanes.c: turns of a loop side by side --------------------------------------------------- */
/* Is there a loop whose turns may run so? */
bool kt_lanes_possible(const kt_abi_entry *entry);
/* Gives every buffer of the arena its offset, for the first lane of its loop, and the binding its lane_bytes
 * and workspace_bytes; false: no memory. */
bool kt_lanes_place(const kt_abi_entry *entry, struct binding *binding);
/* Runs as many turns of a loop as fill its lanes evenly, and returns how many: 0 if it has but one. */
int64_t kt_lanes_run(const struct call *call, uint32_t loop);

/* ---- shares.c: samples of a batch side by side ----------------------------------------------- */
/* Gives the binding its shares, where there can be some, and memory for them, and they pay, or they are forced. */
int kt_shares_make(kt_context *context, const kt_abi_entry *entry, struct binding *whole, int threads,
                   bool forced);
void kt_shares_free(struct binding *whole);
void kt_shares_run(const struct call *call);
/* The symbol for samples of the loops that may go in shares; -1: there is no such loop. */
int64_t kt_shares_symbol(const kt_abi_entry *entry);
/* Gives the binding the symbols of each share of a loop, and the values of the first; returns how many there are: 1 if loops
 * are not to be shared. */
int64_t kt_shares_of_loops(const kt_abi_entry *entry, struct binding *binding, int threads);
/* Runs a loop in its shares; false: it has but one. */
bool kt_shares_run_loop(const struct call *call, uint32_t loop);

#endif
