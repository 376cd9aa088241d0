/* Training: the loop that drives a program's steps. C11, libc and libm. */
#ifndef KT_RUNTIME_TRAIN_H
#define KT_RUNTIME_TRAIN_H

#include "runtime/runtime.h"

#include <stdbool.h>

/* One number of an epoch's logs. Those of a log that is a vector stand one behind the other. */
typedef struct kt_log {
    const char *name; /* "loss", "val_accuracy" */
    double value;
    int32_t size; /* as log_sizes in kt_abi_training */
} kt_log;
/* How many numbers the log of a size at its first number has. */
static inline size_t kt_log_numbers(int32_t size) { return size > 0 ? (size_t)size : 1; }

/* The verbs of a training program, named by its tables (kt_abi_training). */
kt_verb_fn kt_verb_evaluate, kt_verb_fit;

/* What an epoch's logs were, epoch by epoch: Keras's History. */
typedef struct kt_history {
    const char **names; /* by number of an epoch, as sizes */
    int32_t *sizes;
    size_t name_count;
    double *values; /* [epochs][names] */
    size_t epochs, room;
} kt_history;
int kt_history_add(kt_history *history, const kt_log *logs, size_t count); /* 0, or 1: out of memory */
void kt_history_deinit(kt_history *history);
/* Saves all weights and the optimizer's state for Keras, .keras or .weights.h5 by the path's ending, and loads them again
 * (where the file was saved before the optimizer had state, that stays). 0, or 1 with a sentence (room for KT_IO_ERROR);
 * then nothing has changed. */
int kt_training_save(kt_context *context, const char *path, char *out_error);
int kt_training_load(kt_context *context, const char *path, char *out_error);
/* The same for libraries, NAME_save and NAME_load: 0 or an error code, the sentence being the context's last error. Several
 * contexts may do so at once. */
int kt_context_save(kt_context *context, const char *path);
int kt_context_load(kt_context *context, const char *path);
/* Keeps everything that a run goes on from in DIRECTORY/training.state, as it is at the end of an epoch. */
int kt_training_checkpoint(kt_context *context, const char *directory, const kt_history *history, const void *callbacks,
                           size_t callback_bytes, char *out_error);
/* Takes it up again, if it is there: history then has the epochs that are done, and out_callbacks, from malloc, what was
 * given as callbacks; else it is NULL. logs: of an epoch, named. */
int kt_training_resume(kt_context *context, const char *directory, kt_log *logs, size_t count, kt_history *history,
                       char **out_callbacks, size_t *out_callback_bytes, char *out_error);
/* Removes that state, and the directory if it is empty then; nothing where there is none. */
int kt_training_forget(const char *directory, char *out_error);

/* As JSON, {"loss": [one number an epoch], …}; whole or not at all. 0, or 1 with a sentence (room for KT_IO_ERROR). */
int kt_history_write(const kt_history *history, const char *path, char *out_error);

#endif
