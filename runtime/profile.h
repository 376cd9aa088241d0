/* Where a program's time goes: by step, with the layers that it serves; and, if wanted, every part of every step as an
 * event, for chrome://tracing and Perfetto. */
#ifndef KT_RUNTIME_PROFILE_H
#define KT_RUNTIME_PROFILE_H

#include "runtime/runtime.h"

#include <stdio.h>

typedef struct kt_profile kt_profile;

/* Watches a context from now on, and must outlive its calls. events: keep them for a trace. NULL: no memory. */
kt_profile *kt_profile_create(kt_context *context, const kt_program *program, int events);
void kt_profile_destroy(kt_profile *profile); /* NULL is allowed */
/* A table by step, the slowest first, with totals. Rates are of the time that the step took, on all its threads. */
void kt_profile_print(const kt_profile *profile, FILE *out);
/* 0, or 1 and a sentence in out_error (room for KT_IO_ERROR). A file appears whole or not at all. */
int kt_profile_write(const kt_profile *profile, const char *path, char *out_error);

#endif
