/* Callbacks of fit: early stopping, lowering the learning rate, the log in CSV, stopping where the loss is no number. */
#ifndef KT_RUNTIME_TRAIN_CALLBACKS_H
#define KT_RUNTIME_TRAIN_CALLBACKS_H

#include "runtime/train/train_impl.h"

#include <stdio.h>

enum { KT_MONITOR = 128 };

/* A log that is watched. */
typedef struct kt_monitor {
    char name[KT_MONITOR], mode[KT_MONITOR]; /* "val_loss"; auto, min or max */
    double patience, min_delta, best;
    int direction; /* 1 where larger is better, -1 where smaller is */
    int64_t wait;  /* epochs without an improvement */
    bool warned;
} kt_monitor;

typedef struct kt_early_stopping {
    kt_monitor monitor;
    double baseline; /* NaN: none */
    double start_from_epoch, restore; /* restore: above 0, the best epoch's weights come back */
    char *weights;   /* of the best epoch, by offset */
} kt_early_stopping;

typedef struct kt_reduce_lr {
    kt_monitor monitor;
    double factor, cooldown, min_lr;
    int64_t cooling;
} kt_reduce_lr;

typedef struct kt_callbacks {
    const kt_program *program;
    bool terminates, stops_early, reduces;
    const char *csv_path;
    FILE *csv;
    kt_early_stopping stop;
    kt_reduce_lr reduce;
} kt_callbacks;

/* Prints a sentence and returns an exit status other than 0 where options are wrong; deinit in any case. */
int kt_callbacks_init(kt_callbacks *callbacks, const kt_program *program, const kt_fit_options *options,
                      int64_t first_epoch);
void kt_callbacks_deinit(kt_callbacks *callbacks);
/* After a step: must training stop? */
bool kt_callbacks_step(const kt_callbacks *callbacks, double loss);
/* After an epoch; *out_stops is set if it is the last. */
int kt_callbacks_epoch(kt_callbacks *callbacks, kt_context *context, int64_t epoch, const kt_log *logs, size_t count,
                       bool *out_stops);
/* When training ends. */
void kt_callbacks_end(kt_callbacks *callbacks, kt_context *context);

#endif
