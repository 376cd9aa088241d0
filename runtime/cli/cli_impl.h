/* What the verbs of a compiled program share. */
#ifndef KT_RUNTIME_CLI_IMPL_H
#define KT_RUNTIME_CLI_IMPL_H

#include "runtime/runtime.h"

#include <stdbool.h>

enum { KT_EXIT_DONE = 0, KT_EXIT_FAILED = 1, KT_EXIT_USAGE = 2, KT_MAX_FILES = 64 };

typedef struct kt_cli_options {
    const char *inputs[KT_MAX_FILES]; /* FILE or NAME=FILE */
    const char *outputs[KT_MAX_FILES];
    const char *shapes[KT_MAX_FILES]; /* SYMBOL=N */
    int input_count, output_count, shape_count;
    int64_t batch_size, batch, threads;
    const char *entry;
    const char *weights; /* NULL: beside the program, or in it */
    const char *profile; /* NULL: none; "": a table; else also a trace, in this file */
} kt_cli_options;

/* One verb: returns the exit status. */
int kt_cli_predict(const kt_program *program, const kt_cli_options *options);
int kt_cli_benchmark(const kt_program *program, const kt_cli_options *options);

/* profile.c: begin gives NULL where none is wanted, and returns an exit status. end prints and writes after a run that ended with status; returns
 * the exit status. */
typedef struct kt_profile kt_profile;
int kt_cli_profile_begin(kt_context *context, const kt_program *program, const kt_cli_options *options,
                         kt_profile **out_profile);
int kt_cli_profile_end(kt_profile *profile, const kt_program *program, const kt_cli_options *options, int status);
const char *kt_cli_profile_wish(void); /* what KT_PROFILE asks for, as in kt_cli_options */

/* Prints "NAME: error: sentence" on standard error, or puts the sentence where kt_cli_listen said; returns status. */
int kt_cli_fail(const kt_program *program, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Has all that was printed on standard output been written? Else that is said; returns the exit status. */
int kt_cli_printed(const kt_program *program);

/* From now on, this thread's sentences go to out_error (room for KT_IO_ERROR) instead of standard error; NULL: no longer. */
void kt_cli_listen(char *out_error);

/* A context with so many threads (0: all cores). weights: a .weights, if those of the program lie in a file; a .keras or
 * .weights.h5, if it trains; NULL: its own. Prints a sentence and returns an exit status other than 0 where that fails. */
int kt_cli_create_context(const kt_program *program, int64_t threads, const char *weights, kt_context **out_context);
const kt_abi_entry *kt_cli_find_entry(const kt_program *program, const char *name); /* or NULL */
/* Does text begin with name and '='? Then what follows, else NULL. */
const char *kt_cli_after_name(const char *text, const char *name);
/* A whole number of at least 1. */
bool kt_cli_parse_count(const char *text, int64_t *out_count);

/* The symbol that counts samples: the first dimension of the first input; -1 if there is none. */
int kt_cli_sample_symbol(const kt_abi_entry *entry);

#endif
