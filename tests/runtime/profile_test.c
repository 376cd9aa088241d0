/* Profiles of a program that is written by hand: what is counted, and the trace, read as JSON. */
#include "runtime/profile.h"
#include "runtime/train/callbacks.h"

#include "kt_cmocka.h"
#include "toy_program.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 64, CALLS = 3 };

static void run(kt_context *context, int64_t batch, int calls) {
    float *x = calloc((size_t)batch, 16), *y = calloc((size_t)batch, 16), *sum = calloc((size_t)batch, 8);
    double *total = calloc((size_t)batch, 8);
    for (int64_t i = 0; i < 4 * batch; i++) x[i] = (float)i;
    const int64_t symbols[] = {batch, batch};
    const void *inputs[] = {x, y};
    void *outputs[] = {sum, total};
    for (int i = 0; i < calls; i++) {
        assert_int_equal(kt_context_call(context, 0, symbols, inputs, outputs), 0);
        for (int64_t row = 0; row < batch; row++) {
            assert_float_equal(sum[2 * row], (float)(16 * row + 2 + 100), 0);
            assert_float_equal(sum[2 * row + 1], (float)(16 * row + 10 + 200), 0);
        }
    }
    free(x);
    free(y);
    free(sum);
    free(total);
}

static json_t *trace_of(const kt_profile *profile) {
    char path[] = "/tmp/kt_profile_XXXXXX", error[KT_IO_ERROR];
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(kt_profile_write(profile, path, error), 0);
    json_t *trace = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(trace);
    close(file);
    unlink(path);
    return trace;
}

static void every_part_is_an_event(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        kt_context *context = kt_context_create(&toy_program, threads, NULL);
        kt_profile *profile = kt_profile_create(context, &toy_program, 1);
        run(context, BATCH, CALLS);
        json_t *trace = trace_of(profile), *event;
        size_t i;
        int parts[3] = {0};
        json_array_foreach(json_object_get(trace, "traceEvents"), i, event) {
            json_t *args = json_object_get(event, "args");
            const char *name = json_string_value(json_object_get(event, "name"));
            if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0) continue;
            int step = !strcmp(name, "scale") ? 0 : !strcmp(name, "copy") ? 1 : 2;
            const int64_t operations[] = {8 * BATCH, 4, 2};
            parts[step]++;
            assert_int_equal(json_integer_value(json_object_get(args, "parts")), threads);
            assert_in_range(json_integer_value(json_object_get(args, "part")), 0, threads - 1);
            assert_int_equal(json_integer_value(json_object_get(args, "operations")), operations[step]);
            assert_int_equal(json_integer_value(json_object_get(args, "bytes")), 16 * BATCH);
            assert_in_range(json_integer_value(json_object_get(event, "tid")), 0, threads - 1);
            assert_true(json_number_value(json_object_get(event, "dur")) >= 0);
            assert_string_equal(json_string_value(json_object_get(args, "layers")),
                                step == 2 ? "x \"y\"" : "x");
        }
        for (int step = 0; step < 3; step++) assert_int_equal(parts[step], CALLS * threads);
        json_decref(trace);
        kt_context_destroy(context);
        kt_profile_destroy(profile);
    }
}

/* The number behind the time and the share in the row that holds word; -1: there is none. */
static long calls_in(const char *table, const char *word) {
    const char *row = strstr(table, word);
    while (row && row > table && row[-1] != '\n') row--;
    double milliseconds, share;
    long calls = -1;
    return row && sscanf(row, "%lf %lf %ld", &milliseconds, &share, &calls) == 3 ? calls : -1;
}

static void the_table_counts_calls(void **state) {
    (void)state;
    char *table = NULL;
    size_t length = 0;
    kt_context *context = kt_context_create(&toy_program, 2, NULL);
    run(context, BATCH, 1); /* before anybody looks on */
    kt_profile *profile = kt_profile_create(context, &toy_program, 0);
    run(context, BATCH, CALLS);
    run(context, 1, 1);
    kt_context_observe(context, NULL, NULL);
    run(context, BATCH, 1); /* and after */
    FILE *out = open_memstream(&table, &length);
    kt_profile_print(profile, out);
    fclose(out);
    assert_int_equal(calls_in(table, " scale "), CALLS + 1);
    assert_int_equal(calls_in(table, " copy "), CALLS + 1);
    assert_int_equal(calls_in(table, " sum "), CALLS + 1);
    assert_int_equal(calls_in(table, " total "), 3 * (CALLS + 1));
    json_t *trace = trace_of(profile); /* without events */
    assert_int_equal(json_array_size(json_object_get(trace, "traceEvents")), 1);
    json_decref(trace);
    free(table);
    kt_context_destroy(context);
    kt_profile_destroy(profile);
}

static void a_file_that_cannot_be_written_is_told(void **state) {
    (void)state;
    char error[KT_IO_ERROR];
    kt_context *context = kt_context_create(&toy_program, 1, NULL);
    kt_profile *profile = kt_profile_create(context, &toy_program, 1);
    run(context, 1, 1);
    assert_int_equal(kt_profile_write(profile, "/no/such/directory/trace.json", error), 1);
    assert_non_null(strstr(error, "/no/such/directory/trace.json: It cannot be written"));
    kt_context_destroy(context);
    kt_profile_destroy(profile);
}

/* As where a run is taken up between the first step and the last, and then fails. */
static void a_profile_of_steps_that_is_dropped_watches_no_more(void **state) {
    (void)state;
    kt_context *context = kt_context_create(&toy_program, 2, NULL);
    kt_batch_profile batches = {.first = 2, .last = 4};
    assert_int_equal(kt_batch_profile_begin(&batches, context, 1), 0);
    assert_null(batches.profile);
    for (int64_t step = 3; step <= 4; step++)
        assert_int_equal(kt_batch_profile_begin(&batches, context, step), 0);
    assert_non_null(batches.profile);
    run(context, BATCH, 1);
    kt_batch_profile_deinit(&batches, context);
    run(context, BATCH, 1);
    assert_int_equal(kt_batch_profile_begin(&batches, context, 5), 0);
    assert_null(batches.profile);
    kt_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_an_event),
        cmocka_unit_test(the_table_counts_calls),
        cmocka_unit_test(a_profile_of_steps_that_is_dropped_watches_no_more),
        cmocka_unit_test(a_file_that_cannot_be_written_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
