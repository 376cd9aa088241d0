/* Callbacks of fit: what watches the logs of epochs, after Keras's callbacks of the same names. */
#include "runtime/train/callbacks.h"

#include "runtime/train/train_impl.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char rate_path[] = "optimizer/learning_rate";

/* ---- specifications: "monitor=val_loss,patience=3" --------------------------------------------------------
 */
typedef struct field {
    const char *name;
    double *number; /* or */
    char *text;     /* room for KT_MONITOR */
} field;

static int usage(const kt_program *program, const char *option, const char *what) {
    return kt_cli_fail(program, KT_EXIT_USAGE, "%s: '%s' is no NAME=VALUE that it takes; --help lists them.",
                       option, what);
}

static int parse(const kt_program *program, const char *option, const char *text, const field *fields) {
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ",");
        char part[KT_MONITOR];
        (void)snprintf(part, sizeof part, "%.*s", (int)length, at);
        char *equals = strchr(part, '='), *end = NULL;
        const field *found = fields;
        if (!equals || length >= sizeof part) return usage(program, option, part);
        *equals = 0;
        while (found->name && strcmp(found->name, part) != 0) found++;
        if (!found->name) return usage(program, option, part);
        if (found->text) (void)snprintf(found->text, KT_MONITOR, "%s", equals + 1);
        bool yes = !strcmp(equals + 1, "true"), word = yes || !strcmp(equals + 1, "false");
        if (found->number) *found->number = word ? yes : strtod(equals + 1, &end);
        if (found->number && !word && (end == equals + 1 || *end)) return usage(program, option, equals + 1);
        at += length + (at[length] == ',');
    }
    return 0;
}

/* ---- what improves ----------------------------------------------------------------------------------------
 */
/* 1 where larger is better, -1 where smaller is; 0: a mode that there is not. */
static int direction(const char *mode, const char *monitor) {
    if (!strcmp(mode, "min")) return -1;
    if (!strcmp(mode, "max")) return 1;
    if (strcmp(mode, "auto") != 0) return 0;
    const char *name = strncmp(monitor, "val_", 4) == 0 ? monitor + 4 : monitor;
    static const char *const rising[] = {"acc",         "auc",        "precision", "recall", "sensitivity",
                                         "specificity", "f1",         "fbeta",     "iou",    "io_u",
                                         "correlation", "cosine_sim", "r2"};
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
        if (strstr(name, rising[i])) return 1;
    return -1;
}

static bool improves(const kt_monitor *monitor, double value, double than) {
    return monitor->direction > 0 ? value - monitor->min_delta > than : value + monitor->min_delta < than;
}

static int begin(kt_monitor *monitor, const kt_program *program, const char *option) {
    monitor->direction = direction(monitor->mode, monitor->name);
    if (!monitor->direction) return usage(program, option, monitor->mode);
    monitor->best = monitor->direction > 0 ? -INFINITY : INFINITY;
    return 0;
}

/* The monitored number; false, and a warning the first time, where there is none of that name. */
static bool find(kt_monitor *monitor, const kt_program *program, const kt_log *logs, size_t count,
                 double *out_value) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(logs[i].name, monitor->name) != 0) continue;
        *out_value = logs[i].value;
        return true;
    }
    if (!monitor->warned)
        (void)fprintf(stderr, "%s: warning: There is no log '%s' to monitor.\n", program->name,
                      monitor->name);
    monitor->warned = true;
    return false;
}

/* ---- learning rate ----------------------------------------------------------------------------------------
 */
static float *find_rate(kt_context *context) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++)
        if (!strcmp(program->variables[i].path, rate_path) && program->variables[i].dtype == KT_F32)
            return kt_context_variable(context, i);
    return NULL;
}

/* ---- weights ----------------------------------------------------------------------------------------------
 */
static size_t variable_bytes(const kt_abi_variable *variable) {
    size_t bytes = kt_abi_dtype_bytes(variable->dtype);
    for (int axis = 0; axis < variable->rank; axis++) bytes *= (size_t)variable->dims[axis];
    return bytes;
}

/* Copies all weights to or from kept. */
static void copy_weights(kt_context *context, char *kept, bool back) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        if (variable->kind != KT_KEPT_WEIGHT) continue;
        char *now = kt_context_variable(context, i), *then = kept + variable->offset;
        memcpy(back ? now : then, back ? then : now, variable_bytes(variable));
    }
}

/* ---- early stopping ---------------------------------------------------------------------------------------
 */
static int keep_best(kt_early_stopping *stop, kt_context *context) {
    const kt_program *program = kt_context_program(context);
    if (!(stop->restore > 0)) return 0;
    if (!stop->weights) stop->weights = malloc(program->variables_bytes + 1);
    if (!stop->weights) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    copy_weights(context, stop->weights, false);
    return 0;
}

static int early_stopping(kt_early_stopping *stop, kt_context *context, int64_t epoch, const kt_log *logs,
                          size_t count, bool *stops) {
    double value = 0;
    int status = 0;
    if ((double)epoch < stop->start_from_epoch) return 0;
    if (!find(&stop->monitor, kt_context_program(context), logs, count, &value)) return 0;
    if (stop->restore > 0 && !stop->weights) status = keep_best(stop, context);
    stop->monitor.wait++;
    if (improves(&stop->monitor, value, stop->monitor.best)) {
        stop->monitor.best = value;
        status = keep_best(stop, context);
        if (isnan(stop->baseline) || improves(&stop->monitor, value, stop->baseline)) stop->monitor.wait = 0;
        return status;
    }
    if ((double)stop->monitor.wait >= stop->monitor.patience && epoch > 0) *stops = true;
    return status;
}

/* ---- reduce the learning rate -----------------------------------------------------------------------------
 */
static void reduce_rate(kt_reduce_lr *reduce, kt_context *context, const kt_log *logs, size_t count) {
    double value = 0;
    float *rate = find_rate(context);
    if (!find(&reduce->monitor, kt_context_program(context), logs, count, &value) || !rate) return;
    if (reduce->cooling > 0) {
        reduce->cooling--;
        reduce->monitor.wait = 0;
    }
    if (improves(&reduce->monitor, value, reduce->monitor.best)) {
        reduce->monitor.best = value;
        reduce->monitor.wait = 0;
    } else if (reduce->cooling <= 0) {
        reduce->monitor.wait++;
        if ((double)reduce->monitor.wait < reduce->monitor.patience || (double)*rate <= reduce->min_lr)
            return;
        *rate = (float)fmax((double)*rate * reduce->factor, reduce->min_lr);
        reduce->cooling = reduce->cooldown < INT32_MAX ? (int64_t)reduce->cooldown : INT32_MAX;
        reduce->monitor.wait = 0;
    }
}

/* ---- CSV --------------------------------------------------------------------------------------------------
 */
static int log_line(kt_callbacks *callbacks, int64_t epoch, const kt_log *logs, size_t count) {
    FILE *file = callbacks->csv;
    if (epoch == 0) {
        (void)fputs("epoch", file);
        for (size_t i = 0; i < count; i++) (void)fprintf(file, ",%s", logs[i].name);
        (void)fputc('\n', file);
    }
    (void)fprintf(file, "%lld", (long long)epoch);
    for (size_t i = 0; i < count; i++) (void)fprintf(file, ",%.9g", logs[i].value);
    (void)fputc('\n', file);
    if (fflush(file) == 0) return 0;
    return kt_cli_fail(callbacks->program, KT_EXIT_FAILED, "Cannot write %s: %s.", callbacks->csv_path,
                       strerror(errno));
}

/* ---- all of them ------------------------------------------------------------------------------------------
 */
int kt_callbacks_init(kt_callbacks *callbacks, const kt_program *program, const kt_fit_options *options,
                      int64_t first_epoch) {
    kt_early_stopping *stop = &callbacks->stop;
    kt_reduce_lr *reduce = &callbacks->reduce;
    *callbacks = (kt_callbacks){
        .program = program,
        .terminates = options->terminate_on_nan,
        .stops_early = options->early_stopping != NULL,
        .reduces = options->reduce_lr != NULL,
        .csv_path = options->csv_log,
        .stop = {.monitor = {.name = "val_loss", .mode = "auto"}, .baseline = NAN},
        .reduce = {.monitor = {.name = "val_loss", .mode = "auto", .patience = 10, .min_delta = 1e-4},
                   .factor = 0.1}};
    const field stop_fields[] = {{"monitor", NULL, stop->monitor.name},
                                 {"mode", NULL, stop->monitor.mode},
                                 {"patience", &stop->monitor.patience, NULL},
                                 {"min_delta", &stop->monitor.min_delta, NULL},
                                 {"baseline", &stop->baseline, NULL},
                                 {"start_from_epoch", &stop->start_from_epoch, NULL},
                                 {"restore_best_weights", &stop->restore, NULL},
                                 {NULL, NULL, NULL}};
    const field reduce_fields[] = {{"monitor", NULL, reduce->monitor.name},
                                   {"mode", NULL, reduce->monitor.mode},
                                   {"patience", &reduce->monitor.patience, NULL},
                                   {"min_delta", &reduce->monitor.min_delta, NULL},
                                   {"factor", &reduce->factor, NULL},
                                   {"cooldown", &reduce->cooldown, NULL},
                                   {"min_lr", &reduce->min_lr, NULL},
                                   {NULL, NULL, NULL}};
    int status = 0;
    if (options->early_stopping)
        status = parse(program, "--early-stopping", options->early_stopping, stop_fields);
    if (status == 0 && options->reduce_lr)
        status = parse(program, "--reduce-lr-on-plateau", options->reduce_lr, reduce_fields);
    stop->monitor.min_delta = fabs(stop->monitor.min_delta);
    if (status == 0) status = begin(&stop->monitor, program, "--early-stopping");
    if (status == 0) status = begin(&reduce->monitor, program, "--reduce-lr-on-plateau");
    reduce->monitor.min_delta = fabs(reduce->monitor.min_delta);
    if (status == 0 && !(reduce->factor < 1))
        status = kt_cli_fail(program, KT_EXIT_USAGE, "--reduce-lr-on-plateau: factor must be below 1.");
    if (status || !options->csv_log) return status;
    callbacks->csv = fopen(options->csv_log, first_epoch > 0 ? "ae" : "we"); /* a resumed run goes on in it */
    if (callbacks->csv) return 0;
    return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot write %s: %s.", options->csv_log, strerror(errno));
}

void kt_callbacks_deinit(kt_callbacks *callbacks) {
    if (callbacks->csv) (void)fclose(callbacks->csv);
    free(callbacks->stop.weights);
}

bool kt_callbacks_step(const kt_callbacks *callbacks, double loss) {
    return callbacks->terminates && !isfinite(loss);
}

int kt_callbacks_epoch(kt_callbacks *callbacks, kt_context *context, int64_t epoch, const kt_log *logs,
                       size_t count, bool *out_stops) {
    int status = callbacks->csv ? log_line(callbacks, epoch, logs, count) : 0;
    if (status == 0 && callbacks->reduces) reduce_rate(&callbacks->reduce, context, logs, count);
    if (status == 0 && callbacks->stops_early)
        status = early_stopping(&callbacks->stop, context, epoch, logs, count, out_stops);
    return status;
}

void kt_callbacks_end(kt_callbacks *callbacks, kt_context *context) {
    if (callbacks->stop.weights) copy_weights(context, callbacks->stop.weights, true);
}
