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

/* Numbers in [0, 1) for floats; 0 and 1 for integers, so that they are good as indices too. */
static bool make_tensor(const kt_buffer *shape, kt_buffer *out_buffer) {
    int64_t elements = 1;
    uint64_t seed = 1;
    for (int i = 0; i < shape->rank; i++) {
        if (__builtin_mul_overflow(elements, shape->dims[i], &elements)) return false;
    }
    kt_buffer numbers = *shape;
    numbers.dtype = KT_F32;
    float *data = (uint64_t)elements < PTRDIFF_MAX / 16 ? malloc((size_t)elements * sizeof *data + 1) : NULL;
    if (!data) return false;
    bool is_float = shape->dtype <= KT_BF16 || shape->dtype == KT_C64;
    for (int64_t i = 0; i < elements; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = is_float ? (float)(seed >> 40) * 0x1p-24f : (float)(seed >> 63);
    }
    numbers.data = data;
    bool ok = true;
    if (shape->dtype == KT_F32) {
        *out_buffer = numbers;
    } else {
        ok = kt_buffer_convert(&numbers, shape->dtype, out_buffer) == 0;
        free(data);
    }
    return ok;
}

struct bench {
    kt_context *context;
    uint32_t index;
    int64_t *symbols;
    const void **inputs;
    void **outputs;
};

/* Seconds that a run takes, over `repeats` of them; below 0: it failed. */
static double time_runs(const struct bench *bench, int repeats) {
    double start = now();
    for (int i = 0; i < repeats; i++) {
        if (kt_context_call(bench->context, bench->index, bench->symbols, bench->inputs, bench->outputs))
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
    return fflush(stdout) == 0 ? KT_EXIT_DONE : KT_EXIT_FAILED;
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
    kt_buffer shape = {0}, buffer = {0};
    int64_t *values = calloc(entry->value_count + 1, sizeof *values);
    if (!values) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    entry->bind(bench->symbols, values);
    /* A program with a fixed batch runs that one, whatever was asked for. */
    bool counts = entry->input_count > 0 && entry->inputs[0].rank > 0;
    int64_t batch = counts ? values[entry->inputs[0].dims[0]] : options->batch;
    for (uint32_t i = 0; i < entry->input_count + entry->output_count; i++) {
        bool is_input = i < entry->input_count;
        const kt_abi_tensor *tensor = is_input ? &entry->inputs[i] : &entry->outputs[i - entry->input_count];
        shape.dtype = tensor->dtype;
        shape.rank = tensor->rank;
        for (int axis = 0; axis < tensor->rank; axis++) shape.dims[axis] = values[tensor->dims[axis]];
        if (!make_tensor(&shape, &buffer)) {
            free(values);
            return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory for '%s'.", tensor->name);
        }
        bench->inputs[i] = buffer.data;
    }
    free(values);
    bench->outputs = (void **)(bench->inputs + entry->input_count);
    return measure(program, entry, bench, batch);
}

int kt_cli_benchmark(const kt_program *program, const kt_cli_options *options) {
    char error[256];
    const kt_abi_entry *entry = kt_cli_find_entry(program, options->entry);
    if (!entry) return kt_cli_fail(program, KT_EXIT_USAGE, "There is no entry point '%s'.", options->entry);
    size_t tensors = (size_t)entry->input_count + entry->output_count;
    struct bench bench = {.index = (uint32_t)(entry - program->entries)};
    bench.context = kt_context_create_from(
        program, (int)(options->threads < INT32_MAX ? options->threads : INT32_MAX), options->weights, error);
    if (!bench.context) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    kt_profile *profile;
    int status = kt_cli_profile_begin(bench.context, program, options, &profile);
    bench.symbols = calloc(entry->symbol_count + 1, sizeof *bench.symbols);
    bench.inputs = calloc(tensors + 1, sizeof *bench.inputs);
    if (status == KT_EXIT_DONE)
        status = bench.symbols && bench.inputs
                     ? run(program, options, entry, &bench)
                     : kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    status = kt_cli_profile_end(profile, program, options, status);
    for (size_t i = 0; bench.inputs && i < tensors; i++) free((void *)bench.inputs[i]);
    free(bench.inputs);
    free(bench.symbols);
    kt_context_destroy(bench.context);
    return status;
}
