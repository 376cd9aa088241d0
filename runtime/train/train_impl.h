/* What the verbs of a training program share. */
#ifndef KT_RUNTIME_TRAIN_IMPL_H
#define KT_RUNTIME_TRAIN_IMPL_H

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/cli/cli_impl.h"
#include "runtime/cli/feed.h"
#include "runtime/train/train.h"

/* ---- options.c ------------------------------------------------------------------------------- */
typedef struct kt_file_list {
    const char *at[KT_MAX_FILES]; /* FILE or NAME=FILE */
    int count;
} kt_file_list;

/* Samples in memory, in place of files. */
typedef struct kt_fit_arrays {
    const kt_buffer *data, *labels, *sample_weights;
    int data_count, label_count, sample_weight_count;
    kt_read_rows_fn *read; /* gives rows of those without data, which are numbered in this order; or NULL */
    void *object;
} kt_fit_arrays;

/* Who looks on while a model is fitted; all functions are there. Those that return a bool: must training stop? */
typedef struct kt_fit_hooks {
    void *object;
    void (*train_begin)(void *object);
    void (*epoch_begin)(void *object, int64_t epoch);
    void (*batch_begin)(void *object, int64_t step);
    bool (*batch_end)(void *object, int64_t step, const float *logs); /* by number of the program's logs */
    bool (*epoch_end)(void *object, int64_t epoch, const kt_log *logs, size_t count);
    void (*train_end)(void *object, const kt_history *history);
} kt_fit_hooks;

typedef struct kt_fit_options {
    const kt_fit_arrays *arrays, *validation_arrays; /* NULL: files */
    const kt_fit_hooks *hooks;                       /* NULL: nobody */
    kt_file_list data, labels, sample_weights, validation_data, validation_labels, validation_sample_weights;
    int64_t epochs, batch_size, threads;
    double validation_split; /* 0: none */
    uint64_t seed;
    bool no_shuffle, quiet, resume;
    const char *class_weight; /* "0=1,1=5" */
    const char *history, *csv_log, *save, *weights, *checkpoint;
    const char *csv_separator, *tensorboard;
    const char *early_stopping, *reduce_lr; /* "monitor=val_loss,patience=3" */
    kt_file_list model_checkpoints;         /* one such text each */
    kt_file_list orbax_checkpoints;
    const char *swap_ema_weights, *backup_and_restore, *remote_monitor;
    const char *tensorboard_freq; /* "epoch", "batch", or a number of steps */
    bool tensorboard_rates;       /* steps a second, too */
    int64_t tensorboard_histograms; /* every so many epochs those of weights; 0: never */
    bool tensorboard_images;        /* of weights, with histograms */
    bool tensorboard_no_graph;
    const char *tensorboard_profile;    /* "5" or "5,10": steps */
    int64_t tensorboard_embeddings;     /* every so many epochs the weights; 0: never */
    kt_file_list tensorboard_metadata;  /* of rows of embeddings: FILE or LAYER=FILE */
    const char *learning_rate_scheduler; /* "0=0.1,10=0.01" */
    bool terminate_on_nan, raise_error, csv_append; /* raise_error: where the loss is no number, fit fails */
} kt_fit_options;

/* Reads the arguments behind the verb; prints a sentence and returns an exit status other than 0 where they are wrong.
 * *out_help: only help was asked for, and is printed. */
int kt_fit_options_read(const kt_program *program, bool fit, int argc, char **argv, kt_fit_options *out_options,
                        bool *out_help);

/* ---- fit.c ----------------------------------------------------------------------------------- */
/* Fits the context's program; prints a sentence and returns an exit status other than 0 where that fails. */
int kt_fit_run(const kt_program *program, kt_context *context, const kt_fit_options *options);

/* ---- evaluate.c ------------------------------------------------------------------------------ */
/* out_logs: room for all of the program's; else as kt_fit_run. Metrics go on from where they are. */
int kt_evaluate_run(const kt_program *program, kt_context *context, const kt_fit_options *options, float *out_logs);

/* ---- dataset.c ------------------------------------------------------------------------------- */
/* Samples of the steps' inputs: data, labels, and sample weights where there are some. */
typedef struct kt_dataset {
    kt_feeds feeds;
    bool weighted; /* it is for the entries that take weights */
} kt_dataset;
int kt_dataset_read(kt_dataset *dataset, const kt_program *program, const kt_fit_options *options, bool validation);
/* How many of the first samples are trained on; the others validate. */
int64_t kt_trained_samples(const kt_fit_options *options, int64_t samples);
void kt_dataset_deinit(kt_dataset *dataset);

/* ---- batches.c ------------------------------------------------------------------------------- */
typedef struct kt_batch {
    void **rows;         /* by input: room of its own; NULL: not yet, or never */
    const void **inputs; /* by input: what the step is given */
    int64_t samples;
    char error[KT_IO_ERROR];
} kt_batch;
typedef struct kt_steps kt_steps;
int kt_batch_init(kt_batch *batch, uint32_t inputs); /* 0, or 1: out of memory */
void kt_batch_deinit(kt_batch *batch, uint32_t inputs);
/* Fills in the batch of a step; 0, or 1 with a sentence in batch->error. */
int kt_batch_gather(const kt_steps *steps, kt_batch *batch, int64_t number);
/* Is gathering so much work that a thread should do it? */
bool kt_batches_need_thread(const kt_steps *steps);

/* ---- reader.c -------------------------------------------------------------------------------- */
/* A thread that gathers one batch at a time; every ask is followed by a wait, or by destroy. */
typedef struct kt_reader kt_reader;
kt_reader *kt_reader_create(const kt_steps *steps); /* NULL: it is not to be had */
void kt_reader_destroy(kt_reader *reader);
void kt_reader_ask(kt_reader *reader, kt_batch *batch, int64_t number);
int kt_reader_wait(kt_reader *reader); /* what kt_batch_gather returned */

/* ---- saving.c -------------------------------------------------------------------------------- */
/* All variables of the context, from malloc; NULL: no memory. */
kt_saved_variable *kt_list_variables(kt_context *context);
/* Is the variable at a place in the file one of these? *out_number: of them, which. */
bool kt_is_copied(const kt_abi_copies *copies, const char *file_path, uint32_t *out_number);

/* ---- steps.c --------------------------------------------------------------------------------- */
/* An entry run over samples of a dataset, batch by batch. */
struct kt_steps {
    const kt_program *program;
    kt_context *context;
    const kt_dataset *dataset;
    uint32_t entry;
    int64_t first, end;   /* the samples */
    const int64_t *order; /* by position, which of them; NULL: as they stand */
    int64_t batch_size;
    kt_batch batches[2];  /* of this step and of the next */
    kt_reader *reader;    /* NULL: batches are gathered when they are wanted */
    int64_t asked;        /* which step's it gathers; -1: none */
    bool begun;
    int64_t *symbols;
    float *logs;
};
/* name: "train_step" or "evaluate_step". */
int kt_steps_init(kt_steps *steps, kt_context *context, const kt_program *program, const kt_dataset *dataset,
                  const char *name, int64_t first, int64_t end, int64_t batch_size);
void kt_steps_deinit(kt_steps *steps);
int64_t kt_steps_count(const kt_steps *steps);
/* Runs step i; steps->logs then holds what it says. The batch of step i + 1 may then be gathered already: data and order
 * must stay as they are until that has run, too, or the steps are settled. */
int kt_steps_run(kt_steps *steps, int64_t i);
void kt_steps_settle(kt_steps *steps);

/* ---- averages.c ------------------------------------------------------------------------------ */
/* Gives all weights of which the optimizer keeps moving averages those values; swap: and the averages the weights'. */
void kt_take_averages(kt_context *context, bool swap);
/* Gives the averages the weights' values. */
void kt_drop_averages(kt_context *context);
bool kt_has_averages(const kt_program *program);

/* ---- progress.c ------------------------------------------------------------------------------ */
/* Keras's progress line: a bar that grows on a terminal, else one line an epoch. */
typedef struct kt_progress {
    const kt_program *program;
    bool quiet, terminal;
    int64_t steps;
    double start, shown;
} kt_progress;
void kt_progress_begin(kt_progress *progress, const kt_program *program, bool quiet, int64_t epoch, int64_t epochs,
                       int64_t steps);
void kt_progress_step(kt_progress *progress, int64_t done, const kt_log *logs, size_t count);
void kt_progress_end(kt_progress *progress, const kt_log *logs, size_t count);
/* What a callback says on lines of its own, quiet or not, if verbose is above 0. */
void kt_progress_say(double verbose, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
