/* keratin compile --tune: the search for choices that are faster on this machine than the cost model's. */
#ifndef KT_CLI_TUNE_H
#define KT_CLI_TUNE_H

#include "cli/cli.h"
#include "runtime/runtime.h"

/* ---- tune_measure.c: two programs, side by side ---------------------------------------------- */
/* A shared object with the program tuned_program, which is only looked at in this process. It goes with arena. */
kt_status cli_tuned_load(const char *path, kt_arena *arena, const kt_program **out_program, kt_diag *diag) KT_MUST_USE;

/* One entry with given symbols. */
typedef struct cli_tuned_point {
    const char *entry;
    int64_t batch; /* the value of symbols that are a first axis; that of others is CLI_TUNED_OTHERS */
} cli_tuned_point;

enum { CLI_TUNED_OTHERS = 64 };
typedef struct cli_tuned_times {
    cli_tuned_point points[8];
    uint32_t count;
    bool measures_others; /* there are symbols but the batch */
    double *seconds[2][8]; /* by program and point: of each step of the entry, in a call */
} cli_tuned_times;

/* Runs both in a child process, in turn, on the same made-up inputs, for about `seconds` each. False: the child died, took far
 * too long, or their outputs depart from each other. */
bool cli_tuned_measure(const kt_program *const programs[2], int threads, double seconds, kt_arena *arena,
                       cli_tuned_times *out_times);

/* ---- tune.c ---------------------------------------------------------------------------------- */
typedef struct cli_tuning_request {
    const char *model; /* for what is said */
    const char *file;  /* --tuning-file, or NULL */
    bool measures;     /* --tune; else the file is only read */
    int level, threads;
    double seconds;    /* that the search may take */
    const kt_target *target;
    /* Compiles the model as a shared object without a runtime, whose program is tuned_program. */
    kt_status (*compile)(kt_arena *arena, void *context, kt_tuning *tuning, const char *output, kt_diag *diag);
    void *context;
} cli_tuning_request;

/* What to compile with: the records of the file, and where the request is to measure, one for each kernel of the model, which
 * the file then holds as well. */
kt_status cli_tune(kt_arena *arena, const cli_tuning_request *request, kt_tuning *out_tuning, kt_diag *diag) KT_MUST_USE;
/* Says on standard error what the file was good for, once the model is compiled. */
void cli_tuning_tell(const cli_tuning_request *request, const kt_tuning *tuning);

#endif
