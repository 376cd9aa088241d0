/* Where a program's time goes: by step, with the layers that it serves; and, if wanted, every part of every step as an
 * event, for chrome://tracing and Perfetto. */
#ifndef KT_RUNTIME_PROFILE_H
#define KT_RUNTIME_PROFILE_H

#include "runtime/runtime.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct kt_profile kt_profile;

/* One part of a step. */
typedef struct kt_profile_event {
    const kt_abi_step *step;
    uint32_t part, parts;
    pthread_t thread;
    int64_t begin, end;        /* nanoseconds since the profile began */
    int64_t operations, bytes; /* of the whole step */
} kt_profile_event;

/* Numbers for threads, in the order in which they are asked for. Begins as zeros. */
enum { KT_PROFILE_THREADS = 1024 };
typedef struct kt_profile_threads {
    pthread_t seen[KT_PROFILE_THREADS];
    int count;
} kt_profile_threads;
int kt_profile_thread(kt_profile_threads *threads, pthread_t thread); /* those behind the last share a number */

/* Watches a context from now on, and must outlive its calls. events: keep them for a trace. NULL: no memory. */
kt_profile *kt_profile_create(kt_context *context, const kt_program *program, int events);
void kt_profile_destroy(kt_profile *profile); /* NULL is allowed */
int64_t kt_profile_now(const kt_profile *profile); /* as in events */
/* What has been kept, in the order in which parts ended; *out_all: it is all that there was. */
const kt_profile_event *kt_profile_events(const kt_profile *profile, int64_t *out_count, bool *out_all);
/* A table by step, the slowest first, with totals. Rates are of the time that the step took, on all its threads. */
void kt_profile_print(const kt_profile *profile, FILE *out);
/* 0, or 1 and a sentence in out_error (room for KT_IO_ERROR). A file appears whole or not at all. */
int kt_profile_write(const kt_profile *profile, const char *path, char *out_error);

#endif
