/* What the files of rerun share: an entry as a schedule of its kernels, in which some are run more than once. */
#ifndef KT_PASSES_RERUN_IMPL_H
#define KT_PASSES_RERUN_IMPL_H

#include "passes/passes_impl.h"
#include "passes/plan.h"

/* A call or a scan of the entry. */
typedef struct kt_unit {
    const kt_node_info *node;
    const kt_value *operands; /* by number: the value whose buffer it has */
    bool *in_place;           /* a call's operands that are read only where results are written */
    uint32_t carried;         /* of a scan: operands that it overwrites */
    uint32_t steps;           /* in the plan */
    const kt_lifetime *inner; /* a scan's: buffers of its own, in steps from its first */
    uint32_t inner_count;
    int64_t operations, bytes; /* what one run does, and moves */
} kt_unit;

/* Something that is computed, at one of the places where it is. */
typedef struct kt_copy {
    kt_value value;
    bool given; /* the entry's parameter, or where a result is wanted: takes no room */
} kt_copy;

typedef struct kt_run {
    uint32_t unit, first_arg; /* of kt_schedule.args: copies, operands before results */
    bool again;
} kt_run;

typedef struct kt_schedule {
    KT_VECTOR(kt_copy) copies;
    KT_VECTOR(kt_run) runs;
    KT_VECTOR(uint32_t) args;
    int64_t operations, bytes; /* that runs again cost */
} kt_schedule;

/* What a schedule needs; begins as zeros, and may serve for one schedule after the other. */
typedef struct kt_room {
    kt_lifetime *lives;
    uint32_t count;
    uint32_t *made, *last; /* by copy: runs that make it, and read it last (KT_RERUN_NONE: none does) */
    uint32_t *buffer;      /* by copy: in lives, or KT_RERUN_NONE */
    int64_t *alive;        /* by step: bytes */
    uint32_t *first_step;  /* by run, and behind the last */
    int64_t beside;        /* next values that lie beside their variables */
    int64_t most;          /* the largest of alive, and beside */
    uint32_t copy_capacity, run_capacity, live_capacity, step_capacity;
} kt_room;
typedef struct kt_rerun {
    kt_pass_run *run;
    const kt_function *entry;
    const int64_t *symbols; /* their values */
    const char *sizes;      /* for people: " (batch 32)", or "" where all are the entry's own */
    KT_VECTOR(kt_unit) units;
    const kt_dim *room;     /* by value: bytes */
    const int64_t *size;  /* the same as a number */
    const kt_value *base; /* by value: that whose buffer it has */
    uint32_t *unit;       /* by value: 1 + the unit that computes it, or 0 */
    uint32_t *copy;       /* by value: 1 + the copy that the entry had, or 0 */
    bool *overwritten;    /* by value: a scan carries it on */
    /* By variable: 1 + the copy that is its next value if that is written over it, the copy that it is. */
    uint32_t *next, *now;
    int64_t next_bytes; /* of next values that lie beside their variables anyway */
    struct {            /* for the search */
        kt_schedule trial, best;
        kt_room room, trial_room;
        bool *read;     /* by copy */
        uint32_t read_capacity;
    } at_work;
} kt_rerun;

#define KT_RERUN_NONE UINT32_MAX

static inline const kt_unit *kt_rerun_unit(const kt_rerun *r, const kt_run *run) { return &r->units.at[run->unit]; }

/* Reads an entry of calls, scans and views (rerun_room.c). */
kt_status kt_rerun_read(kt_rerun *r, kt_schedule *out_schedule);
/* Where buffers live, exactly as kt_plan_entry has it for this order. */
void kt_rerun_lay(const kt_rerun *r, const kt_schedule *schedule, kt_room *room);
void kt_rerun_copy(const kt_rerun *r, kt_schedule *to, const kt_schedule *from);
/* Of the time that a step takes, the part that runs again take. */
double kt_rerun_share(const kt_rerun *r, const kt_schedule *schedule);
/* Bytes of the workspace, and next values beside it. */
int64_t kt_rerun_measure(const kt_rerun *r, const kt_room *room);
/* Has something run again, so that less is alive where more than target is; false: nothing helps (rerun_search.c). */
bool kt_rerun_shrink(kt_rerun *r, kt_schedule *schedule, int64_t target);

#endif
