/* A compiled program in which the n-th allocation fails, or the n-th and all after it, for every n: through
 * contexts, threads, workspace, profiles, weights from a file, and readers and writers of every format.
 * Either it does not matter, or there is one sentence, status 1, and no file is left; under asan nothing is
 * lost either.
 *
 * The linker gives this test's allocation functions to the runtime (see tests.cmake). */
#include "runtime/toy_main.h"
#include "runtime/toy_program.h"
#include "runtime/weights.h"

#include "kt_cmocka.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* ---- allocations that fail ------------------------------------------------------------------- */

static atomic_long until_failure; /* 0: none fails */
static bool all_after_it;         /* fail too */
static atomic_long failures;
static size_t most_bytes; /* of an aligned block; 0: any */

static bool is_to_fail(void) {
    if (atomic_load(&until_failure) <= 0) return false;
    long left = atomic_fetch_sub(&until_failure, 1);
    if (left != 1) return false;
    if (all_after_it) atomic_store(&until_failure, 1);
    atomic_fetch_add(&failures, 1);
    return true;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *at, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *at, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes) { return is_to_fail() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) { return is_to_fail() ? NULL : __real_calloc(count, bytes); }
void *__wrap_realloc(void *at, size_t bytes) { return is_to_fail() ? NULL : __real_realloc(at, bytes); }
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
    return is_to_fail() || (most_bytes && bytes > most_bytes) ? NULL : __real_aligned_alloc(alignment, bytes);
}

/* ---- programs -------------------------------------------------------------------------------- */

/* Three samples at a time, so that five end in a run that is filled up. */
static void fixed_bind(const int64_t *symbols, int64_t *values) {
    (void)symbols;
    toy_bind((const int64_t[]){3, 3}, values);
}
/* The same with constants that are prepared from a file: twice what it holds. */
static void prepare_bind(const int64_t *symbols, int64_t *values) {
    (void)symbols;
    values[0] = 8;
    values[1] = 32;
}
static const kt_abi_tensor prepare_inputs[] = {{"w", KT_F32, 1, {0}}},
                           prepare_outputs[] = {{"c", KT_F32, 1, {0}}};
static const kt_abi_buffer prepare_buffers[] = {{KT_PLACE_INPUT, 1, 0, 0, 0}, {KT_PLACE_OUTPUT, 1, 0, 0, 0}};
static const uint32_t prepare_args[] = {0, 1};
static const kt_abi_step prepare_steps[] = {{toy_double, "double", "w", 0, 2, 0, 0}};
static const kt_abi_entry prepare_entry = {
    .name = "prepare",
    .bind = prepare_bind,
    .value_count = 2,
    .input_count = 1,
    .output_count = 1,
    .buffer_count = 2,
    .arg_count = 2,
    .step_count = 1,
    .inputs = prepare_inputs,
    .outputs = prepare_outputs,
    .buffers = prepare_buffers,
    .args = prepare_args,
    .steps = prepare_steps,
};
static const uint64_t weights_inputs[] = {64}, weights_outputs[] = {64};
static const kt_abi_weights weights = {.prepare = &prepare_entry,
                                       .list_hash = 7,
                                       .bytes = 128,
                                       .inputs = weights_inputs,
                                       .outputs = weights_outputs};

static kt_abi_entry any_entry, fixed_entry;
static kt_program any, fixed, beside;

static void make_programs(void) {
    any_entry = fixed_entry = toy_common_entry();
    fixed_entry.bind = fixed_bind;
    fixed_entry.symbol_count = 0;
    any = fixed = beside = toy_program;
    any.entries = &any_entry;
    fixed.entries = &fixed_entry;
    beside.entries = &any_entry;
    beside.constants = NULL;
    beside.weights = &weights;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static char directory[] = "/tmp/kt_memory_XXXXXX";
/* fail_at 0: no allocation fails. */
static int run(const kt_program *program, const char *line, long fail_at) {
    toy_capture();
    atomic_store(&failures, 0);
    atomic_store(&until_failure, fail_at);
    int status = toy_main(program, line);
    atomic_store(&until_failure, 0);
    toy_release();
    return status;
}

/* Removes what the last run wrote, and says how many files that were. */
static int remove_written(void) {
    int count = 0;
    DIR *files = opendir(".");
    if (!files) abort();
    for (struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
        if (strncmp(entry->d_name, "out", 3) != 0) continue;
        assert_int_equal(unlink(entry->d_name), 0);
        count++;
    }
    (void)closedir(files);
    return count;
}

static int count_sentences(void) {
    int count = 0;
    for (const char *at = toy_text; (at = strstr(at, "toy: error: ")); at++) count++;
    return count;
}

static void sweep(const kt_program *program, const char *line) {
    assert_int_equal(remove_written(), 0);
    assert_int_equal(run(program, line, 0), 0);
    int written = remove_written(), failed = 0;
    for (int mode = 0; mode < 2; mode++) {
        all_after_it = mode == 1;
        for (long n = 1;; n++) {
            int status = run(program, line, n);
            int sentences = count_sentences(), files = remove_written();
            if (status > 1 || sentences != status || files != (status ? 0 : written))
                fail_msg("%s, allocation %ld%s: status %d, %d files, printed: %s", line, n,
                         mode ? " and all after it" : "", status, files, toy_text);
            failed += status;
            if (!atomic_load(&failures)) break;
        }
    }
    assert_true(failed > 4);
}

static void predictions_survive(void **state) {
    (void)state;
    static const char *const ends[] = {"out.npz", "sum=out.npy", "total=out.csv", "out.json"};
    char line[256];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(line, sizeof line, "--input in.npz --output %s --batch-size 2 --threads 3", ends[i]);
        sweep(&any, line);
    }
    sweep(&any, "--input x=in.csv --input y=in.npy --output out.npz --threads 1");
    sweep(&any, "--input in.jsonl --output out.npz --threads 2");
    sweep(&fixed, "--input in.npz --output out.npz --threads 1");
}

static void profiles_survive(void **state) {
    (void)state;
    sweep(&any, "--input in.npz --output sum=- --threads 2 --profile=out.json --batch-size 1");
}

static void benchmarks_survive(void **state) {
    (void)state;
    sweep(&any, "benchmark --batch 3 --threads 2");
}

static void weights_survive(void **state) {
    (void)state;
    sweep(&beside, "--input in.npz --output out.npz --threads 2 --weights in.weights");
}

/* Where there is room for all samples together but not for shares of them, none are made. */
static void shares_give_way(void **state) {
    (void)state;
    enum { BATCH = 3, THREADS = 3, LINE = 64 };
    float x[4 * BATCH], sum[2 * BATCH], expected[2 * BATCH];
    double total[BATCH];
    kt_abi_entry entry = any_entry;
    entry.batch = 1;
    kt_program program = any;
    program.entries = &entry;
    for (int i = 0; i < 4 * BATCH; i++) x[i] = (float)(i * i);
    for (int scarce = 0; scarce < 2; scarce++) {
        kt_context *context = kt_context_create(&program, THREADS, NULL);
        assert_non_null(context);
        kt_context_force_shares(context);
        const int64_t batch = BATCH;
        assert_int_equal(kt_context_workspace_bytes(context, 0, &batch), THREADS * 2 * LINE);
        most_bytes = scarce ? 2 * LINE : 0;
        assert_int_equal(kt_context_call(context, 0, &batch, (const void *[]){x, x},
                                         (void *[]){scarce ? sum : expected, total}),
                         0);
        most_bytes = 0;
        assert_int_equal(kt_context_workspace_bytes(context, 0, &batch), (scarce ? 1 : THREADS) * 2 * LINE);
        kt_context_destroy(context);
    }
    assert_memory_equal(sum, expected, sizeof sum);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void write_bytes(const char *name, const void *bytes, size_t count) {
    FILE *file = fopen(name, "wb");
    if (!file) abort();
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static int make_files(void **state) {
    (void)state;
    if (!mkdtemp(directory) || chdir(directory)) return 1;
    make_programs();
    float numbers[20];
    for (int i = 0; i < 20; i++) numbers[i] = (float)i;
    kt_array arrays[2] = {{.name = (char *)"x"}, {.name = (char *)"y"}};
    for (int i = 0; i < 2; i++)
        arrays[i].buffer = (kt_buffer){.dtype = KT_F32, .rank = 2, .dims = {5, 4}, .data = numbers};
    char error[KT_IO_ERROR];
    if (kt_arrays_write("in.npz", arrays, 2, error) || kt_arrays_write("in.npy", arrays, 1, error) ||
        kt_arrays_write("in.csv", arrays, 1, error))
        return 1;
    static const char lines[] =
        "{\"x\": [1, 2, 3, 4], \"y\": [5, 6, 7, 8]}\n{\"x\": [1, 2, 3, 4], \"y\": [5, 6, 7, 8]}\n";
    write_bytes("in.jsonl", lines, sizeof lines - 1);
    kt_weights_header header = {
        .magic = KT_WEIGHTS_MAGIC, .version = KT_WEIGHTS_VERSION, .list_hash = 7, .bytes = 128};
    char file[128] = {0};
    memcpy(file, &header, sizeof header);
    memcpy(file + 64, numbers, 32);
    write_bytes("in.weights", file, sizeof file);
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    static const char *const names[] = {"in.npz", "in.npy", "in.csv", "in.jsonl", "in.weights", "printed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) (void)unlink(names[i]);
    return chdir("/") || rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictions_survive), cmocka_unit_test(profiles_survive),
        cmocka_unit_test(benchmarks_survive),  cmocka_unit_test(weights_survive),
        cmocka_unit_test(shares_give_way),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
