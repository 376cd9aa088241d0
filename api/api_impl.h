/* What the files of this folder share: a model as the C interface knows it. */
#ifndef KT_API_IMPL_H
#define KT_API_IMPL_H

#include "frontend/layer.h"
#include "include/keratin/keratin.h"
#include "runtime/runtime.h"

struct kt_model {
    kt_arena *arena; /* everything that is not said otherwise */
    kt_diag diag;
    char error[KT_IO_ERROR];
    /* ---- before it is compiled */
    const char *path; /* of an archive; NULL: it is built */
    kt_layer_context context;
    kt_functional *functional;
    KT_VECTOR(kt_symbolic) tensors; /* by number; [0] is none */
    kt_table names;                 /* of layers: how many had a class's name */
    uint32_t outputs;
    int threads;
    uint64_t seed;
    /* ---- from then on */
    void *library; /* of dlopen */
    const kt_program *program; /* in it; NULL: not compiled */
    kt_context *run;
    /* ---- the last fit, from malloc */
    kt_fit_history history;
};

/* Runs body(context) where memory may run out and JSON lies in the arena. 0, or 1 and the first problem's sentence in
 * model->error. */
int kt_api_guarded(kt_model *model, kt_status (*body)(void *context), void *context);
/* Puts a sentence into model->error; is 1. */
int kt_api_fail(kt_model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kt_api_drop_history(kt_model *model);

#endif
