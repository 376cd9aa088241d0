/* The log of epochs in CSV, as Keras's CSVLogger has Python's csv module write it: lines end with CR and LF,
 * numbers are Python's, and where nothing is validated there are columns for it all the same. */
#include "runtime/train/callbacks.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fewest digits that are read as the same double (single: float), without an exponent from 1e-4 to 1e16.
 */
static void print_float(double value, bool single, char out_text[KT_PYTHON_FLOAT]) {
    enum { DIGITS = 17, FIXED_LOW = -4, FIXED_HIGH = 16 };
    char text[KT_PYTHON_FLOAT];
    int digits = 1;
    if (!isfinite(value)) {
        (void)snprintf(out_text, KT_PYTHON_FLOAT, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    for (; digits <= DIGITS; digits++) {
        (void)snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value) break;
    }
    const int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    const int decimals = digits - 1 - exponent;
    if (exponent < FIXED_LOW || exponent >= FIXED_HIGH)
        (void)snprintf(out_text, KT_PYTHON_FLOAT, "%s", text);
    else if (decimals > 0)
        (void)snprintf(out_text, KT_PYTHON_FLOAT, "%.*f", decimals, value);
    else
        (void)snprintf(out_text, KT_PYTHON_FLOAT, "%.0f.0", value);
}

void kt_python_float(double value, char out_text[KT_PYTHON_FLOAT]) { print_float(value, false, out_text); }

/* Quotes in quoted text are doubled. */
static void put_text(const kt_csv_log *log, const char *text) {
    for (; *text; text++) {
        if (*text == '"') (void)fputc('"', log->file);
        (void)fputc(*text, log->file);
    }
}

/* The field "prefix + text", in quotes where it has to be; first: of its line. */
static void put(const kt_csv_log *log, bool first, const char *prefix, const char *text) {
    const char special[] = {log->separator, '"', '\r', '\n', 0};
    bool quoted = strpbrk(text, special) || strpbrk(prefix, special);
    if (!first) (void)fputc(log->separator, log->file);
    if (quoted) (void)fputc('"', log->file);
    put_text(log, prefix);
    put_text(log, text);
    if (quoted) (void)fputc('"', log->file);
}

/* A field that is a number, or of a vector Keras's "[1.0, 0.5]", the quotes in it; 1: no memory. */
static int put_log(const kt_csv_log *log, const kt_log *at) {
    char number[KT_PYTHON_FLOAT];
    if (!at->size) {
        kt_python_float(at->value, number);
        put(log, false, "", number);
        return 0;
    }
    char *text = malloc((size_t)at->size * (KT_PYTHON_FLOAT + 2) + 8), *end = text;
    if (!text) return 1;
    for (int32_t i = 0; i < at->size; i++) {
        print_float(at[i].value, true, number);
        end += sprintf(end, "%s%s", i ? ", " : "\"[", number);
    }
    memcpy(end, "]\"", 3);
    put(log, false, "", text);
    free(text);
    return 0;
}

static void end_line(const kt_csv_log *log) { (void)fputs("\r\n", log->file); }

static int compare(const void *x, const void *y) {
    const kt_log *const *a = x, *const *b = y;
    return strcmp((*a)->name, (*b)->name);
}

const kt_log **kt_logs_by_name(const kt_log *logs, size_t *count) {
    const kt_log **sorted = malloc((*count + 1) * sizeof *sorted);
    size_t numbers = *count;
    if (!sorted) return NULL;
    *count = 0;
    for (size_t i = 0; i < numbers; i += kt_log_numbers(logs[i].size)) sorted[(*count)++] = &logs[i];
    qsort((void *)sorted, *count, sizeof *sorted, compare);
    return sorted;
}

static void head(const kt_csv_log *log, const kt_log *const *sorted, size_t count, bool validates) {
    put(log, true, "", "epoch");
    for (size_t i = 0; i < count; i++) put(log, false, "", sorted[i]->name);
    for (size_t i = 0; i < count && !validates; i++) put(log, false, "val_", sorted[i]->name);
    end_line(log);
}

static int fail(const kt_csv_log *log, const kt_program *program) {
    return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot write %s: %s.", log->path, strerror(errno));
}

int kt_csv_log_open(kt_csv_log *log, const kt_program *program, bool append) {
    log->file = fopen(log->path, append ? "ae" : "we");
    if (!log->file) return fail(log, program);
    (void)fseek(log->file, 0, SEEK_END);
    log->headed = ftell(log->file) > 0;
    return 0;
}

int kt_csv_log_epoch(kt_csv_log *log, const kt_program *program, int64_t epoch, const kt_log *logs,
                     size_t count) {
    const kt_log **sorted = kt_logs_by_name(logs, &count);
    char text[KT_PYTHON_FLOAT];
    bool validates = false;
    if (!sorted) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    for (size_t i = 0; i < count; i++) validates = validates || strncmp(sorted[i]->name, "val_", 4) == 0;
    if (!log->headed) head(log, sorted, count, validates);
    log->headed = true;
    (void)snprintf(text, sizeof text, "%lld", (long long)epoch);
    put(log, true, "", text);
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) failed = put_log(log, sorted[i]);
    for (size_t i = 0; i < count && !validates; i++) put(log, false, "", "NA");
    end_line(log);
    free((void *)sorted);
    if (failed) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    return fflush(log->file) || ferror(log->file) ? fail(log, program) : 0;
}
