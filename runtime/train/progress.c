/* What fit says while it runs. On a terminal Keras's bar, which is drawn anew some ten times a second;
 * elsewhere one line an epoch, as with verbose=2. */
#include "runtime/train/train_impl.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double redraw_seconds = 0.1;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void kt_progress_begin(kt_progress *progress, const kt_program *program, bool quiet, int64_t epoch,
                       int64_t epochs, int64_t steps) {
    *progress = (kt_progress){.program = program,
                              .quiet = quiet,
                              .terminal = isatty(STDOUT_FILENO),
                              .steps = steps,
                              .start = now()};
    if (quiet) return;
    printf("Epoch %lld/%lld\n", (long long)epoch, (long long)epochs);
    (void)fflush(stdout);
}

/* Of a vector Keras shows the mean; and without a bar a number below 0 as one that is small. */
static void print_logs(const kt_progress *progress, const kt_log *logs, size_t count) {
    for (size_t i = 0; i < count; i += kt_log_numbers(logs[i].size)) {
        double value = 0;
        size_t numbers = kt_log_numbers(logs[i].size);
        for (size_t k = 0; k < numbers; k++) value += logs[i + k].value / (double)numbers;
        bool fixed = (progress->terminal ? fabs(value) : value) > 1e-3;
        printf(fixed ? " - %s: %.4f" : " - %s: %.4e", logs[i].name, value);
    }
}

static void print_time(double seconds) {
    if (seconds >= 1)
        printf("%.0fs", seconds);
    else if (seconds >= 1e-3)
        printf("%.0fms", seconds * 1e3);
    else
        printf("%.0fus", seconds * 1e6);
}

static void print_bar(const kt_progress *progress, int64_t done) {
    enum { WIDTH = 20 };
    int full = progress->steps ? (int)(WIDTH * done / progress->steps) : WIDTH;
    for (int i = 0; i < WIDTH; i++) (void)fputs(i < full ? "\u2501" : "\u2500", stdout);
}

static void print_head(const kt_progress *progress, int64_t done) {
    double passed = now() - progress->start;
    printf("%lld/%lld ", (long long)done, (long long)progress->steps);
    if (progress->terminal) {
        print_bar(progress, done);
        (void)fputc(' ', stdout);
    } else {
        (void)fputs("- ", stdout);
    }
    print_time(passed);
    (void)fputs(progress->terminal ? " " : " - ", stdout);
    print_time(done ? passed / (double)done : 0);
    (void)fputs("/step", stdout);
}

void kt_progress_step(kt_progress *progress, int64_t done, const kt_log *logs, size_t count) {
    if (progress->quiet || !progress->terminal) return;
    double time = now();
    if (time - progress->shown < redraw_seconds) return;
    progress->shown = time;
    (void)fputs("\r\033[K", stdout);
    print_head(progress, done);
    print_logs(progress, logs, count);
    (void)fflush(stdout);
}

void kt_progress_end(kt_progress *progress, const kt_log *logs, size_t count) {
    if (progress->quiet) return;
    if (progress->terminal) (void)fputs("\r\033[K", stdout);
    print_head(progress, progress->steps);
    print_logs(progress, logs, count);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

void kt_progress_say(double verbose, const char *format, ...) {
    va_list values;
    if (!(verbose > 0)) return;
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}
