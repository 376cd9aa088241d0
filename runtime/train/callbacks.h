/* Callbacks of fit, after Keras's of the same names. They run in the order in which they stand here; CSV, RemoteMonitor and
 * TensorBoard come last, so that they see what the others log. */
#ifndef KT_RUNTIME_TRAIN_CALLBACKS_H
#define KT_RUNTIME_TRAIN_CALLBACKS_H

#include "runtime/train/train_impl.h"

#include <stdio.h>

enum { KT_MONITOR = 128, KT_CALLBACK_PATH = 4096 };

/* ---- monitor.c ------------------------------------------------------------------------------- */
/* A log that is watched. */
typedef struct kt_monitor {
    char name[KT_MONITOR], mode[KT_MONITOR]; /* "val_loss"; auto, min or max */
    double patience, min_delta, best;
    bool has_best; /* else the first number improves, NaN too */
    int better;    /* 1 where higher is better, -1 where lower is */
    int64_t wait;  /* epochs without an improvement */
    bool warned;
} kt_monitor;
/* Finds out what is better; prints a sentence and returns an exit status other than 0 where it cannot. */
int kt_monitor_begin(kt_monitor *monitor, const kt_program *program, const char *option);
/* Is value better than the best by more than min_delta? In float32, as Keras compares. */
bool kt_monitor_improves(const kt_monitor *monitor, double value);
bool kt_monitor_exceeds(const kt_monitor *monitor, double value, double than); /* the same of another number */
/* The monitored number; false, and a warning the first time, where there is none of that name. */
bool kt_monitor_find(kt_monitor *monitor, const kt_program *program, const kt_log *logs, size_t count, double *out_value);

/* ---- model_checkpoint.c ---------------------------------------------------------------------- */
typedef struct kt_model_checkpoint {
    kt_monitor monitor;
    char path[KT_CALLBACK_PATH], save_freq[KT_MONITOR]; /* "epoch", or a number of steps */
    double best_only, weights_only, verbose; /* above 0: yes */
    double threshold;               /* initial_value_threshold; NaN: none */
    int64_t every, seen;            /* steps; 0: epochs */
    bool orbax;                     /* path is a folder of folders of orbax */
    double most, background;        /* how many of these stay, 0: all; background: makes no difference */
} kt_model_checkpoint;
/* OrbaxCheckpoint; orbax_checkpoint.c. number: what the folder is called. */
int kt_orbax_checkpoint_begin(const kt_model_checkpoint *checkpoint, const kt_program *program);
int kt_orbax_checkpoint_save(const kt_model_checkpoint *checkpoint, kt_context *context, int64_t number);
/* How many steps the optimizer has made. */
int64_t kt_find_iterations(kt_context *context);
int kt_model_checkpoint_begin(kt_model_checkpoint *checkpoint, const kt_program *program);
int kt_model_checkpoint_epoch(kt_model_checkpoint *checkpoint, kt_context *context, int64_t epoch, const kt_log *logs,
                              size_t count);
int kt_model_checkpoint_step(kt_model_checkpoint *checkpoint, kt_context *context, int64_t epoch, int64_t batch,
                             const kt_log *logs, size_t count);

/* ---- directories.c --------------------------------------------------------------------------- */
/* Makes the directories of a path that are not there. */
int kt_make_directories(const kt_program *program, char *path);

/* ---- rates.c --------------------------------------------------------------------------------- */
/* A learning rate that is a variable, the name of its optimizer among several, else "", and what logs call it:
 * "learning_rate", "learning_rate_sgd". */
typedef struct kt_rate {
    char name[KT_MONITOR], log_name[2 * KT_MONITOR];
    float *value;
} kt_rate;
typedef struct kt_rates {
    kt_rate *at;
    size_t count;
    bool all; /* no optimizer follows a schedule */
} kt_rates;
/* 0, or a sentence is printed: no memory. at is from malloc. */
int kt_rates_find(kt_rates *rates, kt_context *context);
/* Sets all; NaN: leaves them. Where verbose is above 0, both this and the next say of the epoch what rates become. */
void kt_rates_set(const kt_rates *rates, double rate, double verbose, int64_t epoch);
/* Multiplies all by factor, but for least; false where none was above that. */
bool kt_rates_reduce(const kt_rates *rates, double factor, double least, double verbose, int64_t epoch);

/* ---- csv_log.c ------------------------------------------------------------------------------- */
typedef struct kt_csv_log {
    const char *path;
    FILE *file; /* NULL: there is no log */
    char separator;
    bool headed;
} kt_csv_log;
int kt_csv_log_open(kt_csv_log *log, const kt_program *program, bool append);
int kt_csv_log_epoch(kt_csv_log *log, const kt_program *program, int64_t epoch, const kt_log *logs, size_t count);
/* The logs, of lists their first numbers, by their names, as they have an order of their own: from malloc; NULL: no
 * memory. *count: of numbers, then of logs. */
const kt_log **kt_logs_by_name(const kt_log *logs, size_t *count);
/* Python's repr of a float. */
enum { KT_PYTHON_FLOAT = 32 };
void kt_python_float(double value, char out_text[KT_PYTHON_FLOAT]);

/* ---- remote_monitor.c ------------------------------------------------------------------------ */
typedef struct kt_remote_monitor {
    char root[KT_CALLBACK_PATH]; /* "http://localhost:9000"; "": there is none */
    char path[KT_CALLBACK_PATH], field[KT_MONITOR], headers[KT_CALLBACK_PATH]; /* headers: "Name:value;Name:value" */
    double sends_json; /* above 0: as JSON, not in a form */
} kt_remote_monitor;
/* Prints a sentence and returns an exit status other than 0 where it is no place that logs can be sent to. */
int kt_remote_monitor_begin(kt_remote_monitor *monitor, const kt_program *program);
/* Sends the logs; where the server does not answer, a warning says so, as in Keras. */
int kt_remote_monitor_epoch(const kt_remote_monitor *monitor, const kt_program *program, int64_t epoch, const kt_log *logs,
                            size_t count);

/* ---- xspace.c -------------------------------------------------------------------------------- */
typedef struct kt_profile kt_profile;
typedef struct kt_profiled_batch {
    int64_t number, begin, end; /* of its epoch; nanoseconds of the profile */
} kt_profiled_batch;
/* Steps of the run that are profiled, for TensorBoard; counted from 1 on. */
typedef struct kt_batch_profile {
    int64_t first, last; /* 0: none */
    kt_profile *profile; /* NULL: not now */
    kt_profiled_batch *at;
    size_t count, room;
    int64_t begin; /* of the step at hand */
} kt_batch_profile;
/* "5" or "5,10"; each of these prints a sentence and returns an exit status other than 0 where it fails. */
int kt_batch_profile_parse(kt_batch_profile *batches, const kt_program *program, const char *text);
/* Before and after a step, of which the first may be any, where a run is taken up. Behind the last one the profile is
 * written below directory. */
int kt_batch_profile_begin(kt_batch_profile *batches, kt_context *context, int64_t step);
int kt_batch_profile_end(kt_batch_profile *batches, kt_context *context, const char *directory, int64_t step, int64_t batch);
/* Writes what there is so far, if a profile is under way. */
int kt_batch_profile_write(kt_batch_profile *batches, kt_context *context, const char *directory);
void kt_batch_profile_deinit(kt_batch_profile *batches, kt_context *context);

/* ---- tensorboard.c --------------------------------------------------------------------------- */
typedef struct kt_events {
    FILE *file; /* NULL: not yet */
    char path[KT_CALLBACK_PATH];
} kt_events;
typedef struct kt_tensorboard {
    const char *directory; /* NULL: there is none */
    kt_events train, validation;
    int64_t every, steps; /* every: of steps, the logs of which are written; 0: none. steps: of this run, so far */
    int64_t tests;        /* steps of an evaluation */
    bool times;           /* steps a second, too */
    int64_t histograms;   /* every so many epochs; 0: never */
    bool images;          /* of weights, with histograms */
    bool no_graph;
    int64_t embeddings;   /* every so many epochs the weights are saved for the projector; 0: never */
    const kt_file_list *metadata; /* of rows of embeddings: FILE or LAYER=FILE */
    double epoch_begin, step_begin; /* by kt_tensorboard_now */
    int64_t epoch_first;  /* steps of the optimizer before the epoch */
    kt_batch_profile batches;
} kt_tensorboard;
int kt_tensorboard_begin(kt_tensorboard *board, const kt_program *program);
int kt_tensorboard_step_begin(kt_tensorboard *board, kt_context *context);
int kt_tensorboard_step(kt_tensorboard *board, kt_context *context, int64_t batch, const kt_log *logs, size_t count);
/* iterations: steps of the optimizer so far. */
int kt_tensorboard_epoch(kt_tensorboard *board, kt_context *context, int64_t epoch, int64_t iterations,
                         const kt_rates *rates, const kt_log *logs, size_t count);
/* When training ends. */
int kt_tensorboard_end(kt_tensorboard *board, kt_context *context);
void kt_tensorboard_deinit(kt_tensorboard *board, kt_context *context);
double kt_tensorboard_now(void); /* seconds since 1970 */

/* ---- pictures.c ------------------------------------------------------------------------------ */
/* Pictures of one size, one behind the other, rows of pixels of bytes. */
typedef struct kt_pictures {
    int64_t count, height, width, channels;
    int64_t apart[4]; /* elements of the weight, from one to the next of each */
    uint8_t *pixels;  /* from malloc; NULL: not drawn yet */
} kt_pictures;
/* How a weight is shown; false: in no way. */
bool kt_pictures_lay_out(const kt_buffer *weight, kt_pictures *out_pictures);
/* Draws what is laid out of the float32 weight; 0, or 1: there is no memory. */
int kt_pictures_draw(const kt_buffer *weight, kt_pictures *pictures);
/* One of them as a PNG file; room enough, and how many bytes it is. */
size_t kt_picture_room(const kt_pictures *pictures);
size_t kt_picture_write(const kt_pictures *pictures, int64_t index, uint8_t *out_file);

/* ---- projector.c ----------------------------------------------------------------------------- */
/* Are all layers that the metadata names Embeddings of the model? Else a sentence is printed. */
int kt_projector_check(const kt_program *program, const kt_file_list *metadata);
/* Writes DIR/projector_config.pbtxt, which says what TensorBoard shows of embeddings. */
int kt_projector_write(const kt_program *program, const char *directory, const kt_file_list *metadata);
/* Saves the weights of an epoch for it, below DIR/train. */
int kt_projector_save(kt_context *context, const char *directory, int64_t epoch);

/* ---- callbacks.c ----------------------------------------------------------------------------- */
typedef struct kt_early_stopping {
    kt_monitor monitor;
    double baseline; /* NaN: none */
    double start_from_epoch, restore, verbose; /* restore: above 0, the best epoch's weights come back */
    char *weights;                             /* of the best epoch, by offset */
    int64_t best_epoch, stopped_epoch;         /* best_epoch: that of weights; stopped_epoch: 0, it did not stop */
} kt_early_stopping;

typedef struct kt_reduce_lr {
    kt_monitor monitor;
    double factor, cooldown, min_lr, verbose;
    int64_t cooling;
} kt_reduce_lr;

/* Where the state of the run is kept: --checkpoint, --backup-and-restore. */
typedef struct kt_backup {
    char directory[KT_CALLBACK_PATH], save_freq[KT_MONITOR]; /* "": nowhere; "epoch", or a number of steps */
    int64_t every, seen;                                     /* steps; 0: epochs */
    double deletes; /* above 0: when training ends */
    bool restores;
} kt_backup;

typedef struct kt_callbacks {
    const kt_program *program;
    kt_context *context;
    bool quiet, terminates, raises, stops_early, reduces, swaps;
    double swaps_on_epoch; /* above 0: yes */
    const char *schedule; /* "0=0.1,10=0.01"; NULL: none */
    double schedule_verbose;
    kt_rates rates;
    bool logs_rates; /* behind the other logs */
    kt_reduce_lr reduce;
    kt_early_stopping stop;
    kt_model_checkpoint *checkpoints;
    int checkpoint_count;
    kt_backup backup;
    kt_csv_log csv;
    kt_remote_monitor remote;
    kt_tensorboard board;
} kt_callbacks;

/* Prints a sentence and returns an exit status other than 0 where options are wrong; deinit in any case. */
int kt_callbacks_init(kt_callbacks *callbacks, kt_context *context, const kt_fit_options *options);
void kt_callbacks_deinit(kt_callbacks *callbacks);
/* What callbacks know of the epochs so far, for states to resume from: from malloc; NULL: no memory. */
char *kt_callbacks_keep(kt_callbacks *callbacks, size_t *out_bytes);
/* Takes it up again; false where it is of another program, or there is no memory. *out_stops: the run had come to its end. */
bool kt_callbacks_take_up(kt_callbacks *callbacks, const char *kept, size_t bytes, bool *out_stops);
/* Opens files, where epochs begin with first. */
int kt_callbacks_begin(kt_callbacks *callbacks, const kt_fit_options *options, int64_t first);
/* Before an epoch. */
void kt_callbacks_epoch_begin(kt_callbacks *callbacks, int64_t epoch);
/* Before a step. */
int kt_callbacks_step_begin(kt_callbacks *callbacks);
/* After a step, with its logs; *out_stops is set if it is the last. */
int kt_callbacks_step(kt_callbacks *callbacks, int64_t epoch, int64_t batch, const kt_log *logs, size_t count, bool *out_stops);
/* Is it a step after which the run's state is to be kept? */
bool kt_callbacks_back_up(kt_callbacks *callbacks);
/* Before and after an evaluation. */
void kt_callbacks_test(kt_callbacks *callbacks);
/* After an epoch; *out_stops is set if it is the last. */
int kt_callbacks_epoch(kt_callbacks *callbacks, int64_t epoch, kt_log *logs, size_t count, bool *out_stops);
/* What becomes of averages of weights when training ends, early or not. */
void kt_callbacks_finish_averages(kt_callbacks *callbacks, bool early);
/* When all have looked at an epoch. */
void kt_callbacks_epoch_end(kt_callbacks *callbacks);
/* When training ends. */
int kt_callbacks_end(kt_callbacks *callbacks);

#endif
