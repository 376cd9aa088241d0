/* Contexts run a program written by hand: batches, threads, several contexts at once, wrong calls. */
#include "runtime/toy_program.h"

#include "kt_cmocka.h"

#include <pthread.h>

enum { MOST = 100 };

static void predict_and_check(kt_context *context, int64_t batch) {
    float x[MOST * 4], y[MOST * 4], sum[MOST * 2 + 1];
    double total[MOST + 1];
    for (int i = 0; i < batch * 4; i++) {
        x[i] = (float)i;
        y[i] = (float)(i % 7);
    }
    sum[batch * 2] = -5;
    total[batch] = -6;
    const int64_t symbols[] = {batch, batch};
    int code = kt_context_call(context, 0, symbols, (const void *[]){x, y}, (void *[]){sum, total});
    if (code) abort();
    for (int i = 0; i < batch; i++) {
        const float *a = x + 4 * i, *b = y + 4 * i;
        float first = 2 * a[0] + b[0] + (2 * a[1] + b[1]) + 100,
              second = 2 * a[2] + b[2] + (2 * a[3] + b[3]) + 200;
        if (sum[2 * i] != first || sum[2 * i + 1] != second || total[i] != (double)first + second) abort();
    }
    if (sum[batch * 2] != -5 || total[batch] != -6) abort();
}

static void batches(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        kt_context *context = kt_context_create(&toy_program, threads, NULL);
        assert_non_null(context);
        assert_string_equal(kt_context_error(context), "");
        /* More symbol tuples than a context keeps, up and down. */
        for (int64_t i = 0; i < 3 * MOST; i++) predict_and_check(context, 1 + i * 7 % MOST);
        for (int64_t size = MOST; size > 0; size--) predict_and_check(context, size);
        kt_context_destroy(context);
    }
    kt_context_destroy(NULL);
}

/* A call that is too large for any memory leaves the context fit for the sizes that it knows. */
static void too_large(void **state) {
    (void)state;
    float number = 0;
    kt_context *context = kt_context_create(&toy_program, 2, NULL);
    assert_non_null(context);
    predict_and_check(context, 7);
    const int64_t symbols[] = {(int64_t)1 << 44, (int64_t)1 << 44};
    assert_int_equal(kt_context_call(context, 0, symbols, (const void *[]){&number, &number},
                                     (void *[]){&number, &number}),
                     KT_ERROR_MEMORY);
    predict_and_check(context, 7);
    kt_context_destroy(context);
}

static void *one_user(void *argument) {
    kt_context *context = kt_context_create(&toy_program, *(const int *)argument, NULL);
    if (!context) abort();
    for (int i = 0; i < 200; i++) predict_and_check(context, 1 + i * 13 % MOST);
    kt_context_destroy(context);
    return NULL;
}

static void two_contexts_at_once(void **state) {
    (void)state;
    pthread_t users[2];
    int threads[2] = {1, 3};
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&users[i], NULL, one_user, &threads[i]), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(users[i], NULL), 0);
}

static void wrong_calls(void **state) {
    (void)state;
    kt_context *context = kt_context_create(&toy_program, 1, NULL);
    float data[16] = {0};
    double total[4];
    const void *inputs[] = {data, data};
    void *outputs[] = {data, total};
    assert_int_equal(kt_context_call(context, 1, (int64_t[]){1, 1}, inputs, outputs), KT_ERROR_ARGUMENT);
    assert_int_equal(kt_context_call(context, 0, (int64_t[]){0, 1}, inputs, outputs), KT_ERROR_ARGUMENT);
    assert_string_equal(kt_context_error(context), "The dimension 'batch' is 0, but must be at least 1.");
    assert_int_equal(kt_context_call(context, 0, (int64_t[]){1, 2}, inputs, outputs), KT_ERROR_ARGUMENT);
    assert_string_equal(kt_context_error(context), "x and y must have as many rows. (1 is not 2)");
    assert_int_equal(kt_context_call(context, 0, (int64_t[]){1, 1}, (const void *[]){data, NULL}, outputs),
                     KT_ERROR_ARGUMENT);
    assert_string_equal(kt_context_error(context), "The input 'y' is missing.");
    const int64_t huge[] = {(int64_t)1 << 44, (int64_t)1 << 44};
    assert_int_equal(kt_context_call(context, 0, huge, inputs, outputs), KT_ERROR_MEMORY);
    predict_and_check(context, 3);
    kt_context_destroy(context);
}

static void by_name(void **state) {
    (void)state;
    kt_context *context = kt_context_create(&toy_program, 1, NULL);
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, sum[4];
    double total[2];
    kt_buffer in[2] = {{x, sizeof x, KT_F32, 2, {2, 4}}, {x, sizeof x, KT_F32, 2, {2, 4}}},
              out[2] = {{0}, {0}};
    assert_int_equal(kt_context_call_buffers(context, "predict", in, out), 0);
    assert_int_equal(out[0].rank, 2);
    assert_int_equal(out[0].dims[0], 2);
    assert_int_equal(out[0].dims[1], 2);
    assert_int_equal(out[1].dtype, KT_F64);
    out[0].data = sum;
    out[0].capacity = sizeof sum;
    out[1].data = total;
    out[1].capacity = 8;
    assert_int_equal(kt_context_call_buffers(context, "predict", in, out), KT_ERROR_CAPACITY);
    out[1].capacity = sizeof total;
    assert_int_equal(kt_context_call_buffers(context, "predict", in, out), 0);
    assert_true(sum[0] == 109 && sum[3] == 245);
    assert_true(total[0] == 109 + 221);
    in[1].dims[1] = 3;
    assert_int_equal(kt_context_call_buffers(context, "predict", in, out), KT_ERROR_ARGUMENT);
    assert_string_equal(kt_context_error(context), "Dimension 1 of the input 'y' is 3, but must be 4.");
    in[1].rank = 1;
    assert_int_equal(kt_context_call_buffers(context, "predict", in, out), KT_ERROR_ARGUMENT);
    in[0].dtype = KT_F64;
    assert_int_equal(kt_context_call_buffers(context, "predict", in, out), KT_ERROR_ARGUMENT);
    assert_int_equal(kt_context_call_buffers(context, "other", in, out), KT_ERROR_ARGUMENT);
    int64_t dims[8];
    assert_int_equal(kt_context_output_shape(context, "predict", 0, (int64_t[]){5, 5}, dims), 2);
    assert_int_equal(dims[0], 5);
    assert_int_equal(kt_context_output_shape(context, "predict", 2, (int64_t[]){5, 5}, dims), -1);
    assert_int_equal(kt_context_workspace_bytes(context, 0, (int64_t[]){5, 5}), 2 * 128);
    kt_context_destroy(context);
}

static void unfit_machines(void **state) {
    (void)state;
    char error[256] = "";
    kt_program program = toy_program;
    program.cpu_features = (uint64_t)1 << 62;
    assert_null(kt_context_create(&program, 1, error));
    assert_non_null(strstr(error, "this CPU does not have"));
    program.cpu_features = kt_cpu_features();
    kt_context *context = kt_context_create(&program, 1, error);
    assert_non_null(context);
    kt_context_destroy(context);
    program.abi_version++;
    assert_null(kt_context_create(&program, 1, error));
    assert_string_equal(kt_cpu_feature_name(KT_CPU_AVX2 | KT_CPU_AVX512F), "AVX2");
}

static _Atomic int64_t most_parts;

static void note_parts(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)args, (void)symbols, (void)part;
    most_parts = parts;
}

enum { SHARED_UNITS, SHARED_COST, SHARED_TURNS, SHARED_VALUES };
static void shared_bind(const int64_t *symbols, int64_t *values) {
    (void)symbols;
    values[SHARED_UNITS] = 8;
    values[SHARED_COST] = 9000;
    values[SHARED_TURNS] = 2;
}

/* Waking threads pays where a step is long, or short and repeated often enough, by all loops around it. */
static void short_steps(void **state) {
    (void)state;
    static const kt_abi_step step = {note_parts,   "note",      "",          0,          0,
                                     SHARED_UNITS, SHARED_COST, SHARED_COST, SHARED_COST};
    static const kt_abi_loop loops[] = {{0, 1, SHARED_TURNS, 0, 0, 0, 0, 0},
                                        {0, 1, SHARED_TURNS, 0, 0, 0, 0, 0}};
    for (uint32_t depth = 0; depth <= 2; depth++) {
        const kt_abi_entry entry = {.name = "predict",
                                    .bind = shared_bind,
                                    .value_count = SHARED_VALUES,
                                    .step_count = 1,
                                    .steps = &step,
                                    .loop_count = depth,
                                    .loops = loops};
        kt_program program = toy_program;
        program.entries = &entry;
        kt_context *context = kt_context_create(&program, 2, NULL);
        assert_non_null(context);
        assert_int_equal(kt_context_call(context, 0, NULL, NULL, NULL), 0);
        assert_int_equal(most_parts, depth == 2 ? 2 : 1);
        kt_context_destroy(context);
    }
}

enum { BESIDE_UNITS, BESIDE_NONE, BESIDE_COST, BESIDE_VALUES };
static void beside_bind(const int64_t *symbols, int64_t *values) {
    (void)symbols;
    values[BESIDE_UNITS] = 8;
    values[BESIDE_NONE] = 0;
    values[BESIDE_COST] = 100000;
}

static _Atomic int64_t empty_parts;

static void note_empty(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)args, (void)symbols, (void)part;
    empty_parts = parts;
}

/* A step without units is one part, and others are shared out beside it. */
static void steps_without_units(void **state) {
    (void)state;
    static const kt_abi_step steps[] = {
        {note_empty, "empty", "", 0, 0, BESIDE_NONE, BESIDE_NONE, BESIDE_NONE, BESIDE_NONE},
        {note_parts, "note", "", 0, 0, BESIDE_UNITS, BESIDE_COST, BESIDE_COST, BESIDE_COST}};
    const kt_abi_entry entry = {.name = "predict",
                                .bind = beside_bind,
                                .value_count = BESIDE_VALUES,
                                .step_count = 2,
                                .steps = steps};
    kt_program program = toy_program;
    program.entries = &entry;
    kt_context *context = kt_context_create(&program, 2, NULL);
    assert_non_null(context);
    assert_int_equal(kt_context_call(context, 0, NULL, NULL, NULL), 0);
    assert_int_equal(empty_parts, 1);
    assert_int_equal(most_parts, 2);
    kt_context_destroy(context);
}

/* The entry predict of one batched input, one output and a loop; the rest is the caller's. */
static kt_abi_entry entry_with_loop(const kt_abi_loop *loop) {
    static const kt_abi_symbol symbols[] = {{"batch", 0, 0}};
    return (kt_abi_entry){.name = "predict",
                          .symbol_count = 1,
                          .symbols = symbols,
                          .input_count = 1,
                          .inputs = toy_inputs,
                          .output_count = 1,
                          .outputs = toy_outputs,
                          .loop_count = 1,
                          .loops = loop};
}

enum { TURN_COUNT, TURN_UNITS, TURN_COST, TURN_SLICE, TURN_STACK, TURN_WIDE, TURN_VALUES };
enum { TURN_NUMBERS = 8, TURN_WIDENED = 3 };
static void turns_bind(const int64_t *symbols, int64_t *values) {
    values[TURN_COUNT] = symbols[0];
    values[TURN_UNITS] = 1;
    values[TURN_COST] = 30000;
    values[TURN_SLICE] = TURN_NUMBERS * sizeof(float);
    values[TURN_STACK] = symbols[0] * values[TURN_SLICE];
    values[TURN_WIDE] = TURN_WIDENED * values[TURN_SLICE];
}

static void turns_widen(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)symbols, (void)part, (void)parts;
    for (int i = 0; i < TURN_WIDENED * TURN_NUMBERS; i++)
        ((float *)args[1])[i] = ((const float *)args[0])[i / TURN_WIDENED] + 1;
}

static void turns_narrow(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)symbols, (void)part, (void)parts;
    for (int i = 0; i < TURN_NUMBERS; i++) {
        float sum = 0;
        for (int k = 0; k < TURN_WIDENED; k++) sum += ((const float *)args[0])[TURN_WIDENED * i + k];
        ((float *)args[1])[i] = sum;
    }
}

/* Turns side by side, and shares of a batch, keep what lives within them apart, whatever their number is by
 * the threads'. */
static void turns_side_by_side(void **state) {
    (void)state;
    static const kt_abi_buffer buffers[] = {
        {KT_PLACE_INPUT, TURN_STACK, 0, 0, 0}, {KT_PLACE_OUTPUT, TURN_STACK, 0, 0, 0},
        {KT_PLACE_SLICE, TURN_SLICE, 0, 0, 0}, {KT_PLACE_ARENA, TURN_WIDE, 0, 0, 1},
        {KT_PLACE_ARENA, TURN_SLICE, 0, 1, 2}, {KT_PLACE_ARENA, TURN_WIDE, 0, 2, 3},
        {KT_PLACE_SLICE, TURN_SLICE, 1, 0, 0},
    };
    static const uint32_t args[] = {2, 3, 3, 4, 4, 5, 5, 6}, moves[] = {0, 7};
    static const kt_abi_step steps[] = {
        {turns_widen, "widen", "", 0, 2, TURN_UNITS, TURN_COST, TURN_COST, TURN_COST, 0},
        {turns_narrow, "narrow", "", 2, 2, TURN_UNITS, TURN_COST, TURN_COST, TURN_COST, 0},
        {turns_widen, "widen", "", 4, 2, TURN_UNITS, TURN_COST, TURN_COST, TURN_COST, 0},
        {turns_narrow, "narrow", "", 6, 2, TURN_UNITS, TURN_COST, TURN_COST, TURN_COST, 0},
    };
    for (uint32_t variant = 0; variant < 4; variant++) {
        uint32_t reverse = variant % 2, shares = variant / 2;
        const kt_abi_loop loop = {0, 4, TURN_COUNT, reverse, 0, 2, !shares, 0};
        kt_abi_entry entry = entry_with_loop(&loop);
        entry.bind = turns_bind, entry.value_count = TURN_VALUES, entry.batch = shares;
        entry.buffers = buffers, entry.buffer_count = 7;
        entry.args = args, entry.arg_count = 8;
        entry.steps = steps, entry.step_count = 4;
        entry.moves = moves;
        kt_program program = toy_program;
        program.entries = &entry;
        for (int threads = 1; threads <= 3; threads++) {
            kt_context *context = kt_context_create(&program, threads, NULL);
            assert_non_null(context);
            if (shares) kt_context_force_shares(context);
            for (int64_t turns = 1; turns <= 7; turns++) {
                float x[7 * TURN_NUMBERS], y[7 * TURN_NUMBERS];
                for (int i = 0; i < turns * TURN_NUMBERS; i++) x[i] = (float)i;
                assert_int_equal(kt_context_call(context, 0, &turns, (const void *[]){x}, (void *[]){y}), 0);
                for (int i = 0; i < turns * TURN_NUMBERS; i++)
                    assert_true(y[i] == TURN_WIDENED * (TURN_WIDENED * (x[i] + 1) + 1));
                int64_t lanes = turns < threads ? turns : threads;
                assert_true(kt_context_workspace_bytes(context, 0, &turns) >=
                            lanes * (TURN_WIDENED + 1) * TURN_NUMBERS * (int64_t)sizeof(float));
            }
            kt_context_destroy(context);
        }
    }
}

enum { LOOP_LENGTH, LOOP_UNITS, LOOP_COST, LOOP_ROWS, LOOP_STACK, LOOP_WIDE, LOOP_VALUES };
enum { LOOP_TURNS = 4, LOOP_NUMBERS = 5, LOOP_MOST_SAMPLES = 7 };
static void loop_bind(const int64_t *symbols, int64_t *values) {
    values[LOOP_LENGTH] = LOOP_TURNS;
    values[LOOP_UNITS] = 1;
    values[LOOP_COST] = 30000;
    values[LOOP_ROWS] = symbols[0] * LOOP_NUMBERS * (int64_t)sizeof(float);
    values[LOOP_STACK] = LOOP_TURNS * values[LOOP_ROWS];
    values[LOOP_WIDE] = TURN_WIDENED * values[LOOP_ROWS];
}

static void loop_start(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)part, (void)parts;
    for (int64_t i = 0; i < symbols[0] * LOOP_NUMBERS; i++) ((float *)args[0])[i] = 1;
}

static _Atomic int64_t most_samples; /* that a step was handed */

static void loop_widen(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)part, (void)parts;
    if (symbols[0] > most_samples) most_samples = symbols[0];
    for (int64_t i = 0; i < symbols[0] * LOOP_NUMBERS * TURN_WIDENED; i++)
        ((float *)args[2])[i] =
            ((const float *)args[0])[i / TURN_WIDENED] + 2 * ((const float *)args[1])[i / TURN_WIDENED];
}

static void loop_narrow(void *const *args, const int64_t *symbols, int64_t part, int64_t parts) {
    (void)part, (void)parts;
    for (int64_t i = 0; i < symbols[0] * LOOP_NUMBERS; i++)
        ((float *)args[1])[i] = ((float *)args[2])[i] = ((const float *)args[0])[TURN_WIDENED * i];
}

/* Threads that take some samples each through all turns of a loop give what one gives. */
static void samples_through_loops(void **state) {
    (void)state;
    static const kt_abi_buffer buffers[] = {
        {KT_PLACE_INPUT, LOOP_STACK, 0, 0, 0}, {KT_PLACE_OUTPUT, LOOP_STACK, 0, 0, 0},
        {KT_PLACE_SLICE, LOOP_ROWS, 0, 0, 0},  {KT_PLACE_SLICE, LOOP_ROWS, 1, 0, 0},
        {KT_PLACE_ARENA, LOOP_ROWS, 0, 0, 2},  {KT_PLACE_ARENA, LOOP_WIDE, 0, 1, 2},
    };
    static const uint32_t args[] = {4, 2, 4, 5, 5, 4, 3}, moves[] = {1, 6};
    static const kt_abi_step steps[] = {
        {loop_start, "start", "", 0, 1, LOOP_UNITS, LOOP_COST, LOOP_COST, LOOP_COST, 0},
        {loop_widen, "widen", "", 1, 3, LOOP_UNITS, LOOP_COST, LOOP_COST, LOOP_COST, 0},
        {loop_narrow, "narrow", "", 4, 3, LOOP_UNITS, LOOP_COST, LOOP_COST, LOOP_COST, 0},
    };
    for (uint32_t variant = 0; variant < 4; variant++) {
        uint32_t reverse = variant % 2, batch = variant / 2;
        const kt_abi_loop loop = {1, 3, LOOP_LENGTH, reverse, 0, 2, 0, batch};
        kt_abi_entry entry = entry_with_loop(&loop);
        entry.bind = loop_bind, entry.value_count = LOOP_VALUES;
        entry.buffers = buffers, entry.buffer_count = 6;
        entry.args = args, entry.arg_count = 7;
        entry.steps = steps, entry.step_count = 3;
        entry.moves = moves;
        kt_program program = toy_program;
        program.entries = &entry;
        for (int threads = 1; threads <= 3; threads++) {
            kt_context *context = kt_context_create(&program, threads, NULL);
            assert_non_null(context);
            kt_context_force_shares(context);
            for (int64_t samples = 1; samples <= LOOP_MOST_SAMPLES; samples++) {
                float x[LOOP_TURNS * LOOP_MOST_SAMPLES * LOOP_NUMBERS], y[sizeof x / sizeof *x];
                int64_t row = samples * LOOP_NUMBERS;
                for (int i = 0; i < LOOP_TURNS * row; i++) x[i] = (float)i;
                most_samples = 0;
                assert_int_equal(kt_context_call(context, 0, &samples, (const void *[]){x}, (void *[]){y}),
                                 0);
                for (int64_t i = 0; i < row; i++) {
                    float carried = 1;
                    for (int turn = 0; turn < LOOP_TURNS; turn++) {
                        int64_t at = (reverse ? LOOP_TURNS - 1 - turn : turn) * row + i;
                        carried = x[at] + 2 * carried;
                        assert_true(y[at] == carried);
                    }
                }
                int64_t shares = !batch ? 1 : samples < threads ? samples : threads;
                assert_int_equal(most_samples, (samples + shares - 1) / shares);
            }
            kt_context_destroy(context);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),
        cmocka_unit_test(too_large),
        cmocka_unit_test(two_contexts_at_once),
        cmocka_unit_test(wrong_calls),
        cmocka_unit_test(by_name),
        cmocka_unit_test(unfit_machines),
        cmocka_unit_test(short_steps),
        cmocka_unit_test(steps_without_units),
        cmocka_unit_test(turns_side_by_side),
        cmocka_unit_test(samples_through_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
