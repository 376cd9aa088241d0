/* The verb fit: epochs of steps over shuffled samples, each followed by an evaluation, as Keras's fit.
 *
 * The order of an epoch depends on the seed and the epoch's number alone, so that a run can be taken up at
 * any epoch. Logs stand in the order of Keras's: by name, those of callbacks behind them. */
#include "runtime/train/callbacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fit {
    const kt_program *program;
    const kt_fit_options *options;
    kt_context *context;
    kt_dataset data, validation; /* validation: unused where samples are split off */
    kt_steps steps, validation_steps;
    bool validates;
    int64_t *order;
    double *values;    /* of the last step, in its order, then of the validation's last */
    uint32_t *sources; /* by log: in values */
    char **val_names;
    kt_log *logs, *step_logs; /* step_logs: those of training alone */
    size_t log_count;         /* with the learning rates, where callbacks log them */
    kt_history history;
    kt_callbacks callbacks;
    bool stops;
} fit;

static int no_memory(const fit *f) { return kt_feeds_no_memory(&f->data.feeds); }

/* ---- order ----------------------------------------------------------------------------------- */
/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* A number below bound, each equally likely. */
static uint64_t random_below(uint64_t *state, uint64_t bound) {
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, number = next_random(state);
    while (number >= limit) number = next_random(state);
    return number % bound;
}

static void shuffle(fit *f, int64_t epoch) {
    uint64_t state = f->options->seed * 0x2545F4914F6CDD1D + (uint64_t)epoch;
    int64_t count = f->steps.end - f->steps.first;
    for (int64_t i = 0; i < count; i++) f->order[i] = f->steps.first + i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t other = (int64_t)random_below(&state, (uint64_t)i + 1), kept = f->order[i];
        f->order[i] = f->order[other];
        f->order[other] = kept;
    }
}

/* ---- logs ------------------------------------------------------------------------------------ */
static void insert_log(fit *f, const char *name, uint32_t source, int32_t size) {
    size_t at = f->log_count++;
    for (; at > 0 && strcmp(f->logs[at - 1].name, name) > 0; at--) {
        f->logs[at] = f->logs[at - 1];
        f->sources[at] = f->sources[at - 1];
    }
    f->logs[at] = (kt_log){.name = name, .size = size};
    f->sources[at] = source;
}

static int make_logs(fit *f) {
    const kt_abi_training *training = f->program->training;
    uint32_t count = (uint32_t)training->log_count;
    size_t rates = f->callbacks.logs_rates ? f->callbacks.rates.count : 0;
    f->values = calloc(2 * (size_t)count + 1, sizeof *f->values);
    f->sources = calloc(2 * (size_t)count + 1, sizeof *f->sources);
    f->val_names = calloc((size_t)count + 1, sizeof *f->val_names);
    f->logs = calloc(2 * (size_t)count + rates + 1, sizeof *f->logs);
    f->step_logs = calloc((size_t)count + 1, sizeof *f->step_logs);
    if (!f->step_logs) return no_memory(f);
    if (!f->values || !f->sources || !f->val_names || !f->logs) return no_memory(f);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = training->log_names[i];
        insert_log(f, name, i, training->log_sizes[i]);
        if (!f->validates) continue;
        f->val_names[i] = malloc(strlen(name) + sizeof "val_");
        if (!f->val_names[i]) return no_memory(f);
        (void)sprintf(f->val_names[i], "val_%s", name);
        insert_log(f, f->val_names[i], count + i, training->log_sizes[i]);
    }
    for (size_t i = 0; i < rates; i++) f->logs[f->log_count++].name = f->callbacks.rates.at[i].log_name;
    return 0;
}

static void take_logs(fit *f, const kt_steps *steps, size_t first) {
    for (size_t i = 0; i < f->program->training->log_count; i++)
        f->values[first + i] = (double)steps->logs[i];
}

static void give_logs(fit *f) {
    size_t count = f->program->training->log_count * (f->validates ? 2 : 1);
    for (size_t i = 0; i < count; i++) f->logs[i].value = f->values[f->sources[i]];
}

static void give_step_logs(fit *f) {
    uint64_t count = f->program->training->log_count;
    kt_log *log = f->step_logs;
    for (size_t i = 0; i < count * (f->validates ? 2 : 1); i++)
        if (f->sources[i] < count)
            *log++ = (kt_log){f->logs[i].name, (double)f->steps.logs[f->sources[i]], f->logs[i].size};
}

/* ---- states ---------------------------------------------------------------------------------- */
static int fail(const fit *f, const char *error) {
    return kt_cli_fail(f->program, KT_EXIT_FAILED, "%s", error);
}

static int resume(fit *f) {
    const char *directory = f->callbacks.backup.directory;
    char error[KT_IO_ERROR], *kept;
    size_t bytes;
    int status = 0;
    if (kt_training_resume(f->context, directory, f->logs, f->log_count, &f->history, &kept, &bytes, error))
        return fail(f, error);
    if (kept && !kt_callbacks_take_up(&f->callbacks, kept, bytes, &f->stops))
        status = kt_cli_fail(f->program, KT_EXIT_FAILED, "The state in %s is of another program.", directory);
    free(kept);
    return status;
}

static int checkpoint(fit *f) {
    char error[KT_IO_ERROR];
    size_t bytes;
    char *kept = kt_callbacks_keep(&f->callbacks, &bytes);
    if (!kept) return no_memory(f);
    int failed =
        kt_training_checkpoint(f->context, f->callbacks.backup.directory, &f->history, kept, bytes, error);
    free(kept);
    return failed ? fail(f, error) : 0;
}

/* ---- epochs ---------------------------------------------------------------------------------- */
static int validate(fit *f) {
    kt_context_reset_metrics(f->context);
    int64_t count = kt_steps_count(&f->validation_steps);
    kt_callbacks_test(&f->callbacks);
    for (int64_t i = 0; i < count; i++) {
        int status = kt_steps_run(&f->validation_steps, i);
        if (status) return status;
    }
    kt_callbacks_test(&f->callbacks);
    take_logs(f, &f->validation_steps, f->program->training->log_count);
    return 0;
}

static int run_epoch(fit *f, int64_t epoch) {
    kt_progress progress;
    int64_t count = kt_steps_count(&f->steps);
    if (!f->options->no_shuffle) shuffle(f, epoch);
    f->steps.order = f->options->no_shuffle ? NULL : f->order;
    kt_callbacks_epoch_begin(&f->callbacks, epoch);
    kt_context_reset_metrics(f->context);
    const kt_fit_hooks *hooks = f->options->hooks;
    if (hooks) hooks->epoch_begin(hooks->object, epoch);
    kt_progress_begin(&progress, f->program, f->options->quiet, epoch + 1, f->options->epochs, count);
    for (int64_t i = 0; i < count; i++) {
        if (hooks) hooks->batch_begin(hooks->object, i);
        int status = kt_callbacks_step_begin(&f->callbacks);
        if (status == 0) status = kt_steps_run(&f->steps, i);
        if (status) return status;
        give_step_logs(f);
        const size_t logs = f->program->training->log_count;
        kt_progress_step(&progress, i + 1, f->step_logs, logs);
        status = kt_callbacks_step(&f->callbacks, epoch, i, f->step_logs, logs, &f->stops);
        if (status == 0 && kt_callbacks_back_up(&f->callbacks)) status = checkpoint(f);
        if (status) return status;
        if (hooks && hooks->batch_end(hooks->object, i, f->steps.logs)) f->stops = true;
        if (f->stops) break;
    }
    kt_steps_settle(&f->steps); /* where they ended early */
    take_logs(f, &f->steps, 0);
    int status = f->validates ? validate(f) : 0;
    if (status) return status;
    give_logs(f);
    status = kt_callbacks_epoch(&f->callbacks, epoch, f->logs, f->log_count, &f->stops);
    if (status) return status;
    kt_progress_end(&progress, f->logs, f->log_count);
    if (kt_history_add(&f->history, f->logs, f->log_count)) return no_memory(f);
    if (hooks && hooks->epoch_end(hooks->object, epoch, f->logs, f->log_count)) f->stops = true;
    kt_callbacks_epoch_end(&f->callbacks);
    return 0;
}

static int prepare(fit *f) {
    const kt_fit_options *options = f->options;
    int status = kt_dataset_read(&f->data, f->program, options, false);
    if (status) return status;
    int64_t samples = f->data.feeds.samples, trained = kt_trained_samples(options, samples);
    status = kt_steps_init(&f->steps, f->context, f->program, &f->data, "train_step", 0, trained,
                           options->batch_size);
    if (status) return status;
    bool given = options->validation_data.count || options->validation_arrays;
    f->validates = given || options->validation_split > 0;
    const kt_dataset *validation = &f->data;
    int64_t first = trained, end = samples;
    if (given) {
        status = kt_dataset_read(&f->validation, f->program, options, true);
        if (status) return status;
        validation = &f->validation;
        first = 0;
        end = f->validation.feeds.samples;
    }
    if (f->validates)
        status = kt_steps_init(&f->validation_steps, f->context, f->program, validation, "evaluate_step",
                               first, end, options->batch_size);
    if (status) return status;
    f->callbacks.board.tests = f->validates ? kt_steps_count(&f->validation_steps) : 0;
    f->order = malloc((size_t)trained * sizeof *f->order + 1);
    return f->order ? make_logs(f) : no_memory(f);
}

static int run(fit *f) {
    const kt_fit_options *options = f->options;
    char error[KT_IO_ERROR];
    const kt_backup *backup = &f->callbacks.backup;
    int failed = 0, status = kt_callbacks_init(&f->callbacks, f->context, options);
    if (status == 0) status = prepare(f);
    if (status == 0 && backup->restores) status = resume(f);
    int64_t first = (int64_t)f->history.epochs;
    if (status == 0) status = kt_callbacks_begin(&f->callbacks, options, first);
    const kt_fit_hooks *hooks = options->hooks;
    if (hooks && !status) hooks->train_begin(hooks->object);
    for (int64_t epoch = first; epoch < options->epochs && !status && !f->stops; epoch++) {
        status = run_epoch(f, epoch);
        if (status == 0 && backup->directory[0] && !backup->every) status = checkpoint(f);
    }
    if (!status && options->epochs > 0)
        kt_callbacks_finish_averages(&f->callbacks, (int64_t)f->history.epochs < options->epochs);
    if (!status) status = kt_callbacks_end(&f->callbacks);
    if (hooks && !status) hooks->train_end(hooks->object, &f->history);
    if (!status && options->save) failed = kt_training_save(f->context, options->save, error);
    if (!status && !failed && options->history)
        failed = kt_history_write(&f->history, options->history, error);
    if (!status && !failed && backup->deletes > 0) failed = kt_training_forget(backup->directory, error);
    return failed ? fail(f, error) : status;
}

int kt_fit_run(const kt_program *program, kt_context *context, const kt_fit_options *options) {
    fit f = {.program = program,
             .options = options,
             .context = context,
             .steps.program = program,
             .validation_steps.program = program};
    int status = run(&f);
    for (size_t i = 0; f.val_names && i < program->training->log_count; i++) free(f.val_names[i]);
    free(f.val_names);
    free(f.sources);
    free(f.values);
    free(f.logs);
    free(f.step_logs);
    kt_callbacks_deinit(&f.callbacks);
    kt_history_deinit(&f.history);
    kt_steps_deinit(&f.steps);
    kt_steps_deinit(&f.validation_steps);
    free(f.order);
    kt_dataset_deinit(&f.data);
    kt_dataset_deinit(&f.validation);
    return status;
}

int kt_verb_fit(const kt_program *program, int argc, char **argv) {
    kt_fit_options options;
    bool helped;
    int status = kt_fit_options_read(program, true, argc, argv, &options, &helped);
    if (status || helped) return status;
    kt_context *context;
    status = kt_cli_create_context(program, options.threads, options.weights, &context);
    if (status) return status;
    status = kt_fit_run(program, context, &options);
    kt_context_destroy(context);
    return status ? status : kt_cli_printed(program);
}
