/* Callbacks of fit: what watches the logs of epochs, after Keras's callbacks of the same names. */
#include "runtime/train/callbacks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- specifications: "monitor=val_loss,patience=3" ------------------------------------------- */
typedef struct field {
    const char *name;
    double *number; /* or */
    char *text;
    size_t room; /* of text */
} field;

static int usage(const kt_program *program, const char *option, const char *what) {
    return kt_cli_fail(program, KT_EXIT_USAGE, "%s: '%s' is no NAME=VALUE that it takes; --help lists them.",
                       option, what);
}

static int parse_part(const kt_program *program, const char *option, char *part, const field *fields) {
    char *equals = strchr(part, '='), *end = NULL;
    const field *found = fields;
    if (!equals) return usage(program, option, part);
    *equals = 0;
    while (found->name && strcmp(found->name, part) != 0) found++;
    if (!found->name) return usage(program, option, part);
    const char *value = equals + 1;
    if (found->text) {
        if (strlen(value) >= found->room) return usage(program, option, value);
        (void)snprintf(found->text, found->room, "%s", value);
        return 0;
    }
    bool yes = !strcmp(value, "true"), word = yes || !strcmp(value, "false");
    *found->number = word ? yes : strtod(value, &end);
    return word || (end != value && !*end) ? 0 : usage(program, option, value);
}

static int parse(const kt_program *program, const char *option, const char *text, const field *fields) {
    char part[KT_CALLBACK_PATH];
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ",");
        (void)snprintf(part, sizeof part, "%.*s", (int)length, at);
        int status =
            length < sizeof part ? parse_part(program, option, part, fields) : usage(program, option, part);
        if (status) return status;
        at += length + (at[length] == ',');
    }
    return 0;
}

/* ---- variables ------------------------------------------------------------------------------- */
int64_t kt_find_iterations(kt_context *context) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        if (variable->dtype == KT_I64 && (!strcmp(variable->path, "optimizer/iteration") ||
                                          !strcmp(variable->path, "optimizer/multi_optimizer/iteration")))
            return *(const int64_t *)kt_context_variable(context, i);
    }
    return 0;
}

/* Copies all weights to or from kept. */
static void copy_weights(kt_context *context, char *kept, bool back) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        if (variable->kind != KT_KEPT_WEIGHT) continue;
        char *now = kt_context_variable(context, i), *then = kept + variable->offset;
        memcpy(back ? now : then, back ? then : now, kt_abi_variable_bytes(variable));
    }
}

/* ---- the learning rate by epochs: "0=0.1,10=0.01" -------------------------------------------- */
/* The next item, an epoch and the rate from it on; false: it is none. */
static bool next_rate(const char **at, int64_t *out_epoch, double *out_rate) {
    char *end;
    *out_epoch = strtoll(*at, &end, 10);
    if (end == *at || *end != '=' || *out_epoch < 0) return false;
    *at = end + 1;
    *out_rate = strtod(*at, &end);
    if (end == *at || (*end && *end != ',') || !isfinite(*out_rate)) return false;
    *at = end + (*end == ',');
    return true;
}

/* "verbose=1," may stand in front. */
static int read_schedule(kt_callbacks *callbacks, const char *schedule) {
    static const char option[] = "--learning-rate-scheduler", name[] = "verbose=";
    const kt_program *program = callbacks->program;
    const field fields[] = {{"verbose", &callbacks->schedule_verbose, NULL, 0}, {NULL, NULL, NULL, 0}};
    char part[KT_MONITOR];
    if (!strncmp(schedule, name, sizeof name - 1)) {
        const size_t length = strcspn(schedule, ",");
        (void)snprintf(part, sizeof part, "%.*s", (int)length, schedule);
        int status = parse_part(program, option, part, fields);
        if (status) return status;
        schedule += length + (schedule[length] == ',');
    }
    callbacks->schedule = schedule;
    int64_t epoch = -1, last;
    double rate;
    for (const char *at = schedule; *at || epoch < 0;) {
        last = epoch;
        if (!next_rate(&at, &epoch, &rate) || epoch <= last)
            return kt_cli_fail(program, KT_EXIT_USAGE,
                               "%s takes EPOCH=RATE,EPOCH=RATE,…, the epochs from 0 on and rising, not '%s'.",
                               option, schedule);
    }
    return 0;
}

static void set_scheduled(kt_callbacks *callbacks, int64_t epoch) {
    int64_t first;
    double value, rate = NAN; /* before the first epoch that is given rates stay */
    for (const char *at = callbacks->schedule; *at && next_rate(&at, &first, &value);)
        if (first <= epoch) rate = value;
    kt_rates_set(&callbacks->rates, rate, callbacks->schedule_verbose, epoch);
}

void kt_callbacks_epoch_begin(kt_callbacks *callbacks, int64_t epoch) {
    callbacks->board.epoch_begin = kt_tensorboard_now();
    callbacks->board.epoch_first = kt_find_iterations(callbacks->context);
    if (callbacks->schedule) set_scheduled(callbacks, epoch);
}

/* ---- early stopping -------------------------------------------------------------------------- */
static int keep_best(kt_early_stopping *stop, kt_context *context, int64_t epoch) {
    const kt_program *program = kt_context_program(context);
    if (!(stop->restore > 0)) return 0;
    if (!stop->weights) stop->weights = malloc(program->variables_bytes + 1);
    if (!stop->weights) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    copy_weights(context, stop->weights, false);
    stop->best_epoch = epoch;
    return 0;
}

static int early_stopping(kt_early_stopping *stop, kt_context *context, int64_t epoch, const kt_log *logs,
                          size_t count, bool *stops) {
    kt_monitor *monitor = &stop->monitor;
    double value = 0;
    int status = 0;
    if (!kt_monitor_find(monitor, kt_context_program(context), logs, count, &value)) return 0;
    if ((double)epoch < stop->start_from_epoch) return 0;
    if (!stop->weights) status = keep_best(stop, context, epoch);
    monitor->wait++;
    if (kt_monitor_improves(monitor, value)) {
        monitor->best = value;
        monitor->has_best = true;
        if (status == 0) status = keep_best(stop, context, epoch);
        if (isnan(stop->baseline) || kt_monitor_exceeds(monitor, value, stop->baseline)) monitor->wait = 0;
        return status;
    }
    if ((double)monitor->wait >= monitor->patience && epoch > 0) {
        stop->stopped_epoch = epoch;
        *stops = true;
    }
    return status;
}

/* ---- reduce the learning rate ---------------------------------------------------------------- */
static void reduce_rates(kt_callbacks *callbacks, int64_t epoch, const kt_log *logs, size_t count) {
    kt_reduce_lr *reduce = &callbacks->reduce;
    kt_monitor *monitor = &reduce->monitor;
    double value = 0;
    if (!kt_monitor_find(monitor, callbacks->program, logs, count, &value)) return;
    if (reduce->cooling > 0) {
        reduce->cooling--;
        monitor->wait = 0;
    }
    if (kt_monitor_improves(monitor, value)) {
        monitor->best = value;
        monitor->has_best = true;
        monitor->wait = 0;
    } else if (reduce->cooling <= 0) {
        monitor->wait++;
        if ((double)monitor->wait < monitor->patience ||
            !kt_rates_reduce(&callbacks->rates, reduce->factor, reduce->min_lr, reduce->verbose, epoch))
            return;
        reduce->cooling = reduce->cooldown < INT32_MAX ? (int64_t)reduce->cooldown : INT32_MAX;
        monitor->wait = 0;
    }
}

/* ---- options --------------------------------------------------------------------------------- */
static int read_stop(kt_early_stopping *stop, const kt_program *program, const char *text) {
    kt_monitor *monitor = &stop->monitor;
    const field fields[] = {{"monitor", NULL, monitor->name, KT_MONITOR},
                            {"mode", NULL, monitor->mode, KT_MONITOR},
                            {"patience", &monitor->patience, NULL, 0},
                            {"min_delta", &monitor->min_delta, NULL, 0},
                            {"baseline", &stop->baseline, NULL, 0},
                            {"start_from_epoch", &stop->start_from_epoch, NULL, 0},
                            {"restore_best_weights", &stop->restore, NULL, 0},
                            {"verbose", &stop->verbose, NULL, 0},
                            {NULL, NULL, NULL, 0}};
    *stop = (kt_early_stopping){.monitor = {.name = "val_loss", .mode = "auto"}, .baseline = NAN};
    int status = parse(program, "--early-stopping", text, fields);
    return status ? status : kt_monitor_begin(monitor, program, "--early-stopping");
}

static int read_reduce(kt_reduce_lr *reduce, const kt_program *program, const char *text) {
    static const char option[] = "--reduce-lr-on-plateau";
    kt_monitor *monitor = &reduce->monitor;
    const field fields[] = {{"monitor", NULL, monitor->name, KT_MONITOR},
                            {"mode", NULL, monitor->mode, KT_MONITOR},
                            {"patience", &monitor->patience, NULL, 0},
                            {"min_delta", &monitor->min_delta, NULL, 0},
                            {"factor", &reduce->factor, NULL, 0},
                            {"cooldown", &reduce->cooldown, NULL, 0},
                            {"min_lr", &reduce->min_lr, NULL, 0},
                            {"verbose", &reduce->verbose, NULL, 0},
                            {NULL, NULL, NULL, 0}};
    *reduce = (kt_reduce_lr){
        .monitor = {.name = "val_loss", .mode = "auto", .patience = 10, .min_delta = 1e-4}, .factor = 0.1};
    int status = parse(program, option, text, fields);
    if (status == 0) status = kt_monitor_begin(monitor, program, option);
    if (status || reduce->factor < 1) return status;
    return kt_cli_fail(program, KT_EXIT_USAGE, "%s: factor must be below 1.", option);
}

/* A ModelCheckpoint, or where it is for orbax, an OrbaxCheckpoint: it takes more. */
static int read_checkpoint(kt_model_checkpoint *checkpoint, const kt_program *program, const char *text,
                           bool orbax) {
    kt_monitor *monitor = &checkpoint->monitor;
    const field fields[] = {
        {orbax ? "directory" : "filepath", NULL, checkpoint->path, sizeof checkpoint->path},
        {"monitor", NULL, monitor->name, KT_MONITOR},
        {"mode", NULL, monitor->mode, KT_MONITOR},
        {"save_freq", NULL, checkpoint->save_freq, KT_MONITOR},
        {"save_best_only", &checkpoint->best_only, NULL, 0},
        {"save_weights_only", &checkpoint->weights_only, NULL, 0},
        {"initial_value_threshold", &checkpoint->threshold, NULL, 0},
        {"verbose", &checkpoint->verbose, NULL, 0},
        {orbax ? "max_to_keep" : NULL, &checkpoint->most, NULL, 0},
        {"save_on_background", &checkpoint->background, NULL, 0},
        {NULL, NULL, NULL, 0}};
    *checkpoint = (kt_model_checkpoint){.monitor = {.name = "val_loss", .mode = "auto"},
                                        .save_freq = "epoch",
                                        .threshold = NAN,
                                        .orbax = orbax,
                                        .most = 1};
    int status = parse(program, orbax ? "--orbax-checkpoint" : "--model-checkpoint", text, fields);
    if (status == 0 && orbax) status = kt_orbax_checkpoint_begin(checkpoint, program);
    return status ? status : kt_model_checkpoint_begin(checkpoint, program);
}

static int read_checkpoints(kt_callbacks *callbacks, const kt_file_list *texts, const kt_file_list *orbax) {
    int status = 0;
    const int count = texts->count + orbax->count;
    callbacks->checkpoints = calloc((size_t)count + 1, sizeof *callbacks->checkpoints);
    if (!callbacks->checkpoints)
        return kt_cli_fail(callbacks->program, KT_EXIT_FAILED, "There is not enough memory.");
    for (int i = 0; i < count && status == 0; i++) {
        const bool first = i < texts->count;
        status = read_checkpoint(&callbacks->checkpoints[callbacks->checkpoint_count++], callbacks->program,
                                 first ? texts->at[i] : orbax->at[i - texts->count], !first);
    }
    return status;
}

static int read_swap(kt_callbacks *callbacks, const char *text) {
    static const char option[] = "--swap-ema-weights";
    const field fields[] = {{"swap_on_epoch", &callbacks->swaps_on_epoch, NULL, 0}, {NULL, NULL, NULL, 0}};
    callbacks->swaps = true;
    int status = parse(callbacks->program, option, text, fields);
    if (status || kt_has_averages(callbacks->program)) return status;
    return kt_cli_fail(callbacks->program, KT_EXIT_USAGE,
                       "%s: the optimizer keeps no averages of weights; compile with use_ema.", option);
}

static int read_backup(kt_backup *backup, const kt_program *program, const char *text) {
    static const char option[] = "--backup-and-restore";
    const field fields[] = {{"backup_dir", NULL, backup->directory, sizeof backup->directory},
                            {"save_freq", NULL, backup->save_freq, KT_MONITOR},
                            {"delete_checkpoint", &backup->deletes, NULL, 0},
                            {NULL, NULL, NULL, 0}};
    *backup = (kt_backup){.save_freq = "epoch", .deletes = 1, .restores = true};
    int status = parse(program, option, text, fields);
    if (status) return status;
    if (!backup->directory[0]) return kt_cli_fail(program, KT_EXIT_USAGE, "%s wants backup_dir=DIR.", option);
    if (strcmp(backup->save_freq, "epoch") == 0 || kt_cli_parse_count(backup->save_freq, &backup->every))
        return 0;
    return kt_cli_fail(program, KT_EXIT_USAGE, "%s: save_freq must be epoch or a number of steps, not '%s'.",
                       option, backup->save_freq);
}

static int read_remote(kt_remote_monitor *monitor, const kt_program *program, const char *text) {
    const field fields[] = {{"root", NULL, monitor->root, sizeof monitor->root},
                            {"path", NULL, monitor->path, sizeof monitor->path},
                            {"field", NULL, monitor->field, sizeof monitor->field},
                            {"headers", NULL, monitor->headers, sizeof monitor->headers},
                            {"send_as_json", &monitor->sends_json, NULL, 0},
                            {NULL, NULL, NULL, 0}};
    *monitor =
        (kt_remote_monitor){.root = "http://localhost:9000", .path = "/publish/epoch/end/", .field = "data"};
    int status = parse(program, "--remote-monitor", text, fields);
    return status ? status : kt_remote_monitor_begin(monitor, program);
}

static int read_update_freq(kt_tensorboard *board, const kt_program *program, const char *text) {
    if (strcmp(text, "epoch") == 0) return 0;
    if (strcmp(text, "batch") == 0) {
        board->every = 1;
        return 0;
    }
    if (kt_cli_parse_count(text, &board->every)) return 0;
    return kt_cli_fail(program, KT_EXIT_USAGE,
                       "--tensorboard-update-freq takes epoch, batch or a number of steps, not '%s'.", text);
}

int kt_callbacks_init(kt_callbacks *callbacks, kt_context *context, const kt_fit_options *options) {
    const kt_program *program = kt_context_program(context);
    int status = 0;
    *callbacks = (kt_callbacks){.program = program,
                                .context = context,
                                .quiet = options->quiet,
                                .terminates = options->terminate_on_nan,
                                .raises = options->raise_error,
                                .stops_early = options->early_stopping != NULL,
                                .reduces = options->reduce_lr != NULL,
                                .logs_rates = options->reduce_lr || options->learning_rate_scheduler,
                                .csv = {.path = options->csv_log, .separator = ','},
                                .board = {.directory = options->tensorboard,
                                          .times = options->tensorboard_rates,
                                          .histograms = options->tensorboard_histograms,
                                          .images = options->tensorboard_images,
                                          .no_graph = options->tensorboard_no_graph,
                                          .embeddings = options->tensorboard_embeddings,
                                          .metadata = &options->tensorboard_metadata}};
    status = kt_rates_find(&callbacks->rates, context);
    if (status) return status;
    if (callbacks->logs_rates && !callbacks->rates.all)
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "%s: the learning rate follows a schedule of the optimizer, and cannot be set.",
                           options->reduce_lr ? "--reduce-lr-on-plateau" : "--learning-rate-scheduler");
    if (options->early_stopping) status = read_stop(&callbacks->stop, program, options->early_stopping);
    if (status == 0 && options->reduce_lr)
        status = read_reduce(&callbacks->reduce, program, options->reduce_lr);
    if (status == 0)
        status = read_checkpoints(callbacks, &options->model_checkpoints, &options->orbax_checkpoints);
    if (status == 0 && options->swap_ema_weights) status = read_swap(callbacks, options->swap_ema_weights);
    if (status == 0 && options->backup_and_restore)
        status = read_backup(&callbacks->backup, program, options->backup_and_restore);
    if (options->checkpoint) {
        if (strlen(options->checkpoint) >= sizeof callbacks->backup.directory)
            return kt_cli_fail(program, KT_EXIT_USAGE, "The name of the directory %s is too long.",
                               options->checkpoint);
        (void)snprintf(callbacks->backup.directory, sizeof callbacks->backup.directory, "%s",
                       options->checkpoint);
        callbacks->backup.restores = options->resume;
    }
    if (status == 0 && options->tensorboard_freq)
        status = read_update_freq(&callbacks->board, program, options->tensorboard_freq);
    if (status == 0 && options->tensorboard_profile)
        status = kt_batch_profile_parse(&callbacks->board.batches, program, options->tensorboard_profile);
    if (status == 0 && options->remote_monitor)
        status = read_remote(&callbacks->remote, program, options->remote_monitor);
    if (status == 0 && options->learning_rate_scheduler)
        status = read_schedule(callbacks, options->learning_rate_scheduler);
    const char *separator = options->csv_separator;
    if (status == 0 && separator && (!separator[0] || separator[1]))
        status = kt_cli_fail(program, KT_EXIT_USAGE, "--csv-log-separator takes one character, not '%s'.",
                             separator);
    if (separator) callbacks->csv.separator = separator[0];
    return status;
}

int kt_callbacks_begin(kt_callbacks *callbacks, const kt_fit_options *options, int64_t first) {
    int status = 0;
    if (callbacks->csv.path) /* a resumed run goes on in it */
        status = kt_csv_log_open(&callbacks->csv, callbacks->program, options->csv_append || first > 0);
    if (status == 0 && callbacks->board.directory)
        status = kt_tensorboard_begin(&callbacks->board, callbacks->program);
    return status;
}

void kt_callbacks_deinit(kt_callbacks *callbacks) {
    if (callbacks->csv.file) (void)fclose(callbacks->csv.file);
    kt_tensorboard_deinit(&callbacks->board, callbacks->context);
    free(callbacks->rates.at);
    free(callbacks->stop.weights);
    free(callbacks->checkpoints);
}

/* ---- what is kept in states ------------------------------------------------------------------ */
/* A head, then each checkpoint, then the best epoch's weights. */
typedef struct kept_monitor {
    char name[KT_MONITOR];
    double best;
    int64_t better, wait, own, has_best; /* own: steps seen; of EarlyStopping, the best epoch */
} kept_monitor;
typedef struct kept_head {
    kept_monitor stop, reduce;
    int64_t cooling, backup_seen, board_steps, checkpoints, weights_bytes; /* 0: there are none */
} kept_head;
typedef struct kept_checkpoint {
    kept_monitor monitor;
    char path[KT_CALLBACK_PATH]; /* which tells one from another */
} kept_checkpoint;

static kept_monitor keep_monitor(const kt_monitor *monitor, int64_t own) {
    kept_monitor kept = {.best = monitor->best,
                         .better = monitor->better,
                         .wait = monitor->wait,
                         .own = own,
                         .has_best = monitor->has_best};
    memcpy(kept.name, monitor->name, sizeof kept.name);
    return kept;
}

/* False: another number was watched, or for another reason, so that its best means nothing now. */
static bool take_monitor(kt_monitor *monitor, const kept_monitor *kept) {
    if (strncmp(monitor->name, kept->name, sizeof kept->name) != 0 || monitor->better != kept->better)
        return false;
    if (!kept->has_best && monitor->has_best) return true; /* a threshold that is new */
    monitor->best = kept->best;
    monitor->wait = kept->wait;
    monitor->has_best = kept->has_best != 0;
    return true;
}

char *kt_callbacks_keep(kt_callbacks *callbacks, size_t *out_bytes) {
    const size_t weights = callbacks->stop.weights ? callbacks->program->variables_bytes : 0;
    const size_t checkpoints = (size_t)callbacks->checkpoint_count;
    const kept_head head = {.stop = keep_monitor(&callbacks->stop.monitor, callbacks->stop.best_epoch),
                            .reduce = keep_monitor(&callbacks->reduce.monitor, 0),
                            .cooling = callbacks->reduce.cooling,
                            .backup_seen = callbacks->backup.seen,
                            .board_steps = callbacks->board.steps,
                            .checkpoints = (int64_t)checkpoints,
                            .weights_bytes = (int64_t)weights};
    *out_bytes = sizeof head + checkpoints * sizeof(kept_checkpoint) + weights;
    char *kept = malloc(*out_bytes), *at = kept + sizeof head;
    if (!kept) return NULL;
    memcpy(kept, &head, sizeof head);
    for (size_t i = 0; i < checkpoints; i++, at += sizeof(kept_checkpoint)) {
        const kt_model_checkpoint *checkpoint = &callbacks->checkpoints[i];
        kept_checkpoint own = {.monitor = keep_monitor(&checkpoint->monitor, checkpoint->seen)};
        (void)snprintf(own.path, sizeof own.path, "%s", checkpoint->path);
        memcpy(at, &own, sizeof own);
    }
    if (weights) memcpy(at, callbacks->stop.weights, weights);
    return kept;
}

/* Gives a checkpoint what was kept of it, of several with its path what was kept of the first that is left.
 */
static void take_checkpoint(kt_model_checkpoint *checkpoint, const char *kept, int64_t count, bool *taken) {
    kept_checkpoint own;
    for (int64_t i = 0; i < count; i++) {
        memcpy(&own, kept + (size_t)i * sizeof own, sizeof own);
        if (taken[i] || strncmp(own.path, checkpoint->path, sizeof own.path) != 0) continue;
        taken[i] = true;
        (void)take_monitor(&checkpoint->monitor, &own.monitor);
        checkpoint->seen = own.monitor.own;
        return;
    }
}

bool kt_callbacks_take_up(kt_callbacks *callbacks, const char *kept, size_t bytes, bool *out_stops) {
    enum { MOST = 2 * KT_MAX_FILES };
    kept_head head;
    bool taken[MOST] = {false};
    kt_early_stopping *stop = &callbacks->stop;
    if (bytes < sizeof head) return false;
    memcpy(&head, kept, sizeof head);
    bytes -= sizeof head;
    const uint64_t weights = (uint64_t)head.weights_bytes, checkpoints = (uint64_t)head.checkpoints;
    if (checkpoints > MOST || checkpoints * sizeof(kept_checkpoint) > bytes) return false;
    bytes -= checkpoints * sizeof(kept_checkpoint);
    if ((weights && weights != callbacks->program->variables_bytes) || weights != bytes) return false;
    const bool same = take_monitor(&stop->monitor, &head.stop);
    if (take_monitor(&callbacks->reduce.monitor, &head.reduce)) callbacks->reduce.cooling = head.cooling;
    for (int i = 0; i < callbacks->checkpoint_count; i++)
        take_checkpoint(&callbacks->checkpoints[i], kept + sizeof head, head.checkpoints, taken);
    callbacks->backup.seen = head.backup_seen;
    callbacks->board.steps = head.board_steps;
    if (weights && same && stop->restore > 0) {
        stop->best_epoch = head.stop.own;
        stop->weights = malloc(weights);
        if (!stop->weights) return false;
        memcpy(stop->weights, kept + sizeof head + checkpoints * sizeof(kept_checkpoint), weights);
    }
    const kt_monitor *monitor = &stop->monitor;
    *out_stops = callbacks->stops_early && monitor->has_best && monitor->wait > 0 &&
                 (double)monitor->wait >= monitor->patience;
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */
/* Where the loss is no number, or infinite. */
static int terminate(const kt_callbacks *callbacks, int64_t batch, const kt_log *logs, size_t count,
                     bool *out_stops) {
    const long long number = (long long)batch;
    char loss[KT_PYTHON_FLOAT];
    size_t i = 0;
    while (i < count && strcmp(logs[i].name, "loss") != 0) i++;
    if (i == count || isfinite(logs[i].value)) return 0;
    kt_python_float(logs[i].value, loss);
    if (callbacks->raises)
        return kt_cli_fail(callbacks->program, KT_EXIT_FAILED,
                           "NaN or Inf loss encountered at batch %lld. Loss value: %s. Terminating training "
                           "immediately.",
                           number, loss);
    kt_progress_say(!callbacks->quiet, "Batch %lld: Invalid loss, terminating training", number);
    *out_stops = true;
    return 0;
}

int kt_callbacks_step_begin(kt_callbacks *callbacks) {
    return kt_tensorboard_step_begin(&callbacks->board, callbacks->context);
}

int kt_callbacks_step(kt_callbacks *callbacks, int64_t epoch, int64_t batch, const kt_log *logs, size_t count,
                      bool *out_stops) {
    int status = 0;
    if (callbacks->terminates) status = terminate(callbacks, batch, logs, count, out_stops);
    for (int i = 0; i < callbacks->checkpoint_count && status == 0; i++)
        status = kt_model_checkpoint_step(&callbacks->checkpoints[i], callbacks->context, epoch, batch, logs,
                                          count);
    if (status == 0 && callbacks->board.directory)
        status = kt_tensorboard_step(&callbacks->board, callbacks->context, batch, logs, count);
    return status;
}

bool kt_callbacks_back_up(kt_callbacks *callbacks) {
    kt_backup *backup = &callbacks->backup;
    if (!backup->every || ++backup->seen < backup->every) return false;
    backup->seen = 0;
    return true;
}

void kt_callbacks_test(kt_callbacks *callbacks) {
    if (callbacks->swaps) kt_take_averages(callbacks->context, true);
}

/* Keras leaves the averages in the model until the next epoch begins. */
static void swap_at_end(kt_callbacks *callbacks) {
    if (callbacks->swaps_on_epoch > 0) kt_take_averages(callbacks->context, true);
}
void kt_callbacks_finish_averages(kt_callbacks *callbacks, bool early) {
    /* As Keras, which then takes the weights, swapped out in the last epoch but not in again, for the
     * averages. */
    if (early && callbacks->swaps_on_epoch > 0) kt_drop_averages(callbacks->context);
    kt_take_averages(callbacks->context, false);
}
void kt_callbacks_epoch_end(kt_callbacks *callbacks) { swap_at_end(callbacks); }

int kt_callbacks_epoch(kt_callbacks *callbacks, int64_t epoch, kt_log *logs, size_t count, bool *out_stops) {
    kt_context *context = callbacks->context;
    const kt_rates *rates = &callbacks->rates;
    int status = 0;
    swap_at_end(callbacks);
    for (size_t i = 0; callbacks->logs_rates && i < rates->count; i++)
        logs[count - rates->count + i].value = (double)*rates->at[i].value;
    if (callbacks->reduces) reduce_rates(callbacks, epoch, logs, count);
    if (callbacks->stops_early)
        status = early_stopping(&callbacks->stop, context, epoch, logs, count, out_stops);
    for (int i = 0; i < callbacks->checkpoint_count && status == 0; i++)
        status = kt_model_checkpoint_epoch(&callbacks->checkpoints[i], context, epoch, logs, count);
    if (status == 0 && callbacks->csv.file)
        status = kt_csv_log_epoch(&callbacks->csv, callbacks->program, epoch, logs, count);
    if (status == 0 && callbacks->remote.root[0])
        status = kt_remote_monitor_epoch(&callbacks->remote, callbacks->program, epoch, logs, count);
    if (status == 0 && callbacks->board.directory)
        status = kt_tensorboard_epoch(&callbacks->board, context, epoch, kt_find_iterations(context), rates,
                                      logs, count);
    return status;
}

int kt_callbacks_end(kt_callbacks *callbacks) {
    const kt_early_stopping *stop = &callbacks->stop;
    if (stop->stopped_epoch > 0)
        kt_progress_say(stop->verbose, "Epoch %lld: early stopping", (long long)stop->stopped_epoch + 1);
    if (stop->weights) {
        kt_progress_say(stop->verbose, "Restoring model weights from the end of the best epoch: %lld.",
                        (long long)stop->best_epoch + 1);
        copy_weights(callbacks->context, stop->weights, true);
    }
    return kt_tensorboard_end(&callbacks->board, callbacks->context);
}
