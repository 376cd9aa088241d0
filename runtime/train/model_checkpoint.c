/* Saving the model while it is trained, as Keras's ModelCheckpoint: after each epoch or so many steps, or
 * only what is better than before. The file's name may hold logs in Python's format,
 * "{epoch:02d}-{val_loss:.2f}.keras". */
#include "runtime/train/callbacks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names
 * -------------------------------------------------------------------------------------------------
 */
typedef struct number {
    bool whole;
    int64_t integer;
    double real;
} number;

/* "02d" of Python's: [0][width][.precision][type]. */
typedef struct format {
    bool zeros;
    int width, precision; /* precision below 0: not given */
    char type;            /* 0: not given */
} format;

static bool read_format(const char *text, format *out) {
    enum { LIMIT = 60 };
    char *end;
    *out = (format){.zeros = *text == '0', .precision = -1};
    if (strspn(text, "0123456789")) out->width = (int)strtol(text, &end, 10), text = end;
    if (*text == '.') {
        if (!strspn(++text, "0123456789")) return false;
        out->precision = (int)strtol(text, &end, 10), text = end;
    }
    if (*text && strchr("defgEFG", *text)) out->type = *text++;
    return !*text && out->width >= 0 && out->width < LIMIT && out->precision < LIMIT;
}

static void print_real(const format *f, double x, char *out, size_t room) {
    int width = f->width, precision = f->precision < 0 ? 6 : f->precision;
    if (isnan(x)) x = NAN; /* Python's has no sign */
    switch (f->type) {
    case 'e': (void)snprintf(out, room, f->zeros ? "%0*.*e" : "%*.*e", width, precision, x); return;
    case 'E': (void)snprintf(out, room, f->zeros ? "%0*.*E" : "%*.*E", width, precision, x); return;
    case 'g': (void)snprintf(out, room, f->zeros ? "%0*.*g" : "%*.*g", width, precision, x); return;
    case 'G': (void)snprintf(out, room, f->zeros ? "%0*.*G" : "%*.*G", width, precision, x); return;
    default: (void)snprintf(out, room, f->zeros ? "%0*.*f" : "%*.*f", width, precision, x);
    }
}

/* text: behind the colon; NULL: there is none. False: it is none for such a number. */
static bool print_number(const number *n, const char *text, char *out, size_t room) {
    char digits[KT_PYTHON_FLOAT];
    format f = {.precision = -1};
    if (text && !read_format(text, &f)) return false;
    if (f.type && f.type != 'd') {
        print_real(&f, n->whole ? (double)n->integer : n->real, out, room);
        return true;
    }
    if (f.precision >= 0 || (f.type && !n->whole)) return false;
    if (n->whole) {
        (void)snprintf(out, room, f.zeros ? "%0*lld" : "%*lld", f.width, (long long)n->integer);
        return true;
    }
    if (f.zeros) return false;
    kt_python_float(n->real, digits);
    (void)snprintf(out, room, "%*s", f.width, digits);
    return true;
}

/* Where in a run something is saved. batch below 0: at the end of an epoch. */
typedef struct place {
    int64_t epoch, batch;
    const kt_log *logs;
    size_t count;
} place;

static bool find_number(const place *where, const char *name, number *out) {
    *out = (number){.whole = true, .integer = where->epoch + 1};
    if (!strcmp(name, "epoch")) return true;
    out->integer = where->batch + 1;
    if (!strcmp(name, "batch") && where->batch >= 0) return true;
    for (size_t i = 0; i < where->count; i++) {
        if (strcmp(where->logs[i].name, name) != 0 || where->logs[i].size) continue;
        *out = (number){.real = where->logs[i].value};
        return true;
    }
    return false;
}

static int bad_name(const kt_model_checkpoint *checkpoint, const kt_program *program, const char *why) {
    return kt_cli_fail(program, KT_EXIT_FAILED, "--model-checkpoint: the file name %s %s.", checkpoint->path,
                       why);
}

/* One "{name:format}", from behind the brace; *at goes behind the other. */
static int print_part(const kt_model_checkpoint *checkpoint, const kt_program *program, const place *where,
                      const char **at, char *out, size_t room) {
    char name[KT_MONITOR];
    number value;
    size_t length = strcspn(*at, "}");
    if (!(*at)[length] || length >= sizeof name)
        return bad_name(checkpoint, program, "has a '{' without its '}'");
    (void)snprintf(name, sizeof name, "%.*s", (int)length, *at);
    *at += length + 1;
    char *colon = strchr(name, ':');
    if (colon) *colon++ = 0;
    if (!find_number(where, name, &value))
        return bad_name(checkpoint, program, "asks for a log that there is not, or that is a list");
    if (!print_number(&value, colon, out, room))
        return bad_name(checkpoint, program,
                        "asks for a format that is none of Python's, as 02d, .3f or .2e, or too long");
    return 0;
}

static int print_path(const kt_model_checkpoint *checkpoint, const kt_program *program, const place *where,
                      char *out, size_t room) {
    size_t count = 0;
    for (const char *at = checkpoint->path; *at;) {
        if (count + KT_MONITOR + 1 > room) return bad_name(checkpoint, program, "is too long");
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            out[count++] = *at;
            at += 2;
        } else if (*at == '{') {
            at++;
            int status = print_part(checkpoint, program, where, &at, out + count, room - count);
            if (status) return status;
            count += strlen(out + count);
        } else if (*at == '}') {
            return bad_name(checkpoint, program, "has a '}' without its '{'");
        } else {
            out[count++] = *at++;
        }
    }
    out[count] = 0;
    return 0;
}

/* ---- saving
 * ------------------------------------------------------------------------------------------------
 */
static bool ends_in(const char *text, const char *ending) {
    size_t length = strlen(text), other = strlen(ending);
    return length > other && !strcmp(text + length - other, ending);
}

int kt_model_checkpoint_begin(kt_model_checkpoint *checkpoint, const kt_program *program) {
    const char *option = checkpoint->orbax ? "--orbax-checkpoint" : "--model-checkpoint",
               *ending = checkpoint->weights_only > 0 ? ".weights.h5" : ".keras",
               *freq = checkpoint->save_freq;
    if (!checkpoint->orbax && !ends_in(checkpoint->path, ending))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: filepath must end in %s, not be '%s'.", option,
                           ending, checkpoint->path);
    if (strcmp(freq, "epoch") != 0 && !kt_cli_parse_count(freq, &checkpoint->every))
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "%s: save_freq must be epoch or a number of steps, not '%s'.", option, freq);
    checkpoint->monitor.best = checkpoint->threshold;
    checkpoint->monitor.has_best = !isnan(checkpoint->threshold);
    return checkpoint->best_only > 0 ? kt_monitor_begin(&checkpoint->monitor, program, option) : 0;
}

/* Says what becomes of a model of which only the best is kept. */
static void say_whether(const kt_model_checkpoint *checkpoint, long long epoch, bool improves, double value,
                        const char *path) {
    enum { ROOM = 512 }; /* for a double without an exponent */
    static const format places = {.precision = 5, .type = 'f'};
    const kt_monitor *monitor = &checkpoint->monitor;
    char best[ROOM] = "None", now[ROOM];
    if (monitor->has_best) print_real(&places, monitor->best, best, sizeof best);
    print_real(&places, value, now, sizeof now);
    if (improves)
        kt_progress_say(checkpoint->verbose, "\nEpoch %lld: %s improved from %s to %s, saving model to %s",
                        epoch, monitor->name, best, now, path);
    else
        kt_progress_say(checkpoint->verbose, "\nEpoch %lld: %s did not improve from %s", epoch, monitor->name,
                        best);
}

/* The same of OrbaxCheckpoint, which is silent, and saves nothing where there is no number to compare. */
static int save_orbax(kt_model_checkpoint *checkpoint, kt_context *context, const place *where) {
    kt_monitor *monitor = &checkpoint->monitor;
    double value;
    if (checkpoint->best_only > 0) {
        if (!kt_monitor_find(monitor, kt_context_program(context), where->logs, where->count, &value) ||
            !kt_monitor_improves(monitor, value))
            return 0;
        monitor->best = value;
        monitor->has_best = true;
    }
    return kt_orbax_checkpoint_save(checkpoint, context,
                                    where->batch < 0 ? where->epoch : kt_find_iterations(context));
}

static int save(kt_model_checkpoint *checkpoint, kt_context *context, const place *where) {
    if (checkpoint->orbax) return save_orbax(checkpoint, context, where);
    const kt_program *program = kt_context_program(context);
    const long long epoch = (long long)where->epoch + 1;
    kt_monitor *monitor = &checkpoint->monitor;
    char path[KT_CALLBACK_PATH], error[KT_IO_ERROR];
    double value;
    int status = print_path(checkpoint, program, where, path, sizeof path);
    if (status) return status;
    if (checkpoint->best_only > 0 && kt_monitor_find(monitor, program, where->logs, where->count, &value)) {
        const bool improves = kt_monitor_improves(monitor, value);
        say_whether(checkpoint, epoch, improves, value, path);
        if (!improves) return 0;
        monitor->best = value;
        monitor->has_best = true;
    } else if (!(checkpoint->best_only > 0)) {
        kt_progress_say(checkpoint->verbose, "\nEpoch %lld: saving model to %s", epoch, path);
    }
    status = kt_make_directories(program, path);
    if (status) return status;
    if (kt_training_save(context, path, error)) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    kt_progress_say(checkpoint->verbose, "\nEpoch %lld: finished saving model to %s", epoch, path);
    return 0;
}

int kt_model_checkpoint_epoch(kt_model_checkpoint *checkpoint, kt_context *context, int64_t epoch,
                              const kt_log *logs, size_t count) {
    const place where = {epoch, -1, logs, count};
    return checkpoint->every ? 0 : save(checkpoint, context, &where);
}

int kt_model_checkpoint_step(kt_model_checkpoint *checkpoint, kt_context *context, int64_t epoch,
                             int64_t batch, const kt_log *logs, size_t count) {
    const place where = {epoch, batch, logs, count};
    if (!checkpoint->every || ++checkpoint->seen < checkpoint->every) return 0;
    checkpoint->seen = 0;
    return save(checkpoint, context, &where);
}
