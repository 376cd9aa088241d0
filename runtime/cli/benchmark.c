/* The verb benchmark: runs an entry on made-up inputs until half a second or a thousand runs have passed.
 * Very short runs are timed in groups, since reading the clock takes time too. */
#include "runtime/cli/cli_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_RUNS = 1000, WARM_RUNS = 3 };
static const double warm_seconds = 0.05, measured_seconds = 0.5, shortest_seconds = 20e-6;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static long long peak_bytes(void) {
    char line[128];
    long long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "re");
    if (status) {
        while (fgets(line, sizeof line, status)) {
            if (strncmp(line, "VmHWM:", 6) == 0) kilobytes = strtoll(line + 6, NULL, 10);
        }
        (void)fclose(status);
    }
    struct rusage usage;
    if (kilobytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0) kilobytes = usage.ru_maxrss;
    return kilobytes * 1024;
}

struct bench {
    kt_context *context;
    uint32_t index, input_count;
    int64_t *symbols;
    void **tensors; /* inputs, then outputs */
};

/* Seconds that a run takes, over `repeats` of them; below 0: it failed. */
static double time_runs(const struct bench *bench, int repeats) {
    double start = now();
    for (int i = 0; i < repeats; i++) {
        if (kt_context_call(bench->context, bench->index, bench->symbols, (const void *const *)bench->tensors,
                            bench->tensors + bench->input_count))
            return -1;
    }
    return (now() - start) / repeats;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(const kt_program *program, const kt_abi_entry *entry, const struct bench *bench,
                   int64_t batch) {
    double seconds[MAX_RUNS];
    int runs = 0, repeats = 1;
    double start = now(), fastest = 1e9;
    for (int i = 0; i < WARM_RUNS || now() - start < warm_seconds; i++) {
        double once = time_runs(bench, 1);
        if (once < 0) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", kt_context_error(bench->context));
        if (once < fastest) fastest = once;
    }
    if (fastest < shortest_seconds) repeats = (int)(shortest_seconds / (fastest + 1e-8)) + 1;
    for (start = now(); runs < MAX_RUNS && (runs == 0 || now() - start < measured_seconds); runs++) {
        seconds[runs] = time_runs(bench, repeats);
    }
    qsort(seconds, (size_t)runs, sizeof seconds[0], compare);
    printf("{\"entry\": \"%s\", \"batch\": %lld, \"threads\": %d, \"median_us\": %.3f, \"min_us\": %.3f, "
           "\"runs\": %d, "
           "\"peak_bytes\": %lld}\n",
           entry->name, (long long)batch, kt_context_threads(bench->context), seconds[runs / 2] * 1e6,
           seconds[0] * 1e6, runs, peak_bytes());
    return kt_cli_printed(program);
}

static int choose_symbols(const kt_program *program, const kt_cli_options *options, const kt_abi_entry *entry,
                          int64_t *symbols) {
    int samples = kt_cli_sample_symbol(entry);
    for (uint32_t i = 0; i < entry->symbol_count; i++) {
        bool is_batch = strcmp(entry->symbols[i].name, "batch") == 0 || (int)i == samples;
        symbols[i] = is_batch ? options->batch : 1;
    }
    for (int i = 0; i < options->shape_count; i++) {
        bool found = false;
        for (uint32_t j = 0; j < entry->symbol_count; j++) {
            const char *value = kt_cli_after_name(options->shapes[i], entry->symbols[j].name);
            if (value && kt_cli_parse_count(value, &symbols[j])) found = true;
        }
        if (found) continue;
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "--shape takes SYMBOL=N with a symbolic dimension of '%s', not '%s'.", entry->name,
                           options->shapes[i]);
    }
    return KT_EXIT_DONE;
}

/* Makes inputs and outputs, and measures. */
static int run(const kt_program *program, const kt_cli_options *options, const kt_abi_entry *entry,
               struct bench *bench) {
    int status = choose_symbols(program, options, entry, bench->symbols);
    if (status) return status;
    int64_t *values = calloc(entry->value_count + 1, sizeof *values);
    if (!values) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    entry->bind(bench->symbols, values);
    /* A program with a fixed batch runs that one, whatever was asked for. */
    bool counts = entry->input_count > 0 && entry->inputs[0].rank > 0;
    int64_t batch = counts ? values[entry->inputs[0].dims[0]] : options->batch;
    free(values);
    bench->tensors = kt_made_up_create(entry, bench->symbols);
    if (!bench->tensors)
        return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory for the tensors of '%s'.",
                           entry->name);
    return measure(program, entry, bench, batch);
}

int kt_cli_benchmark(const kt_program *program, const kt_cli_options *options) {
    const kt_abi_entry *entry = kt_cli_find_entry(program, options->entry);
    if (!entry) return kt_cli_fail(program, KT_EXIT_USAGE, "There is no entry point '%s'.", options->entry);
    struct bench bench = {.index = (uint32_t)(entry - program->entries), .input_count = entry->input_count};
    int status = kt_cli_create_context(program, options->threads, options->weights, &bench.context);
    if (status) return status;
    kt_profile *profile;
    status = kt_cli_profile_begin(bench.context, program, options, &profile);
    bench.symbols = calloc(entry->symbol_count + 1, sizeof *bench.symbols);
    if (status == KT_EXIT_DONE)
        status = bench.symbols ? run(program, options, entry, &bench)
                               : kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    status = kt_cli_profile_end(profile, program, options, status);
    kt_made_up_destroy(entry, bench.tensors);
    free(bench.symbols);
    kt_context_destroy(bench.context);
    return status;
}
