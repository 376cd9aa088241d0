/* The verbs of a compiled program, over programs written by hand. */
#include "runtime/toy_main.h"
#include "runtime/toy_program.h"

#include "kt_cmocka.h"

/* predict(x: f32[4,2,1]) → doubled: f32[4,2]. */
static void toy_fixed_bind(const int64_t *symbols, int64_t *values) {
    (void)symbols;
    for (int64_t i = 0; i < 6; i++) values[i] = i;
    values[5] = 32;
}
static const kt_abi_tensor toy_fixed_inputs[] = {{"x", KT_F32, 3, {4, 2, 1}}};
static const kt_abi_tensor toy_fixed_outputs[] = {{"doubled", KT_F32, 2, {4, 2}}};
static const kt_abi_buffer toy_fixed_buffers[] = {{KT_PLACE_INPUT, 5, 0, 0, 0},
                                                  {KT_PLACE_OUTPUT, 5, 0, 0, 0}};
static const uint32_t toy_fixed_args[] = {0, 1};
static const kt_abi_step toy_fixed_steps[] = {{toy_double, "double", "x", 0, 2, 1, 0}};
static const kt_abi_entry toy_fixed_entry = {
    .name = "predict",
    .bind = toy_fixed_bind,
    .value_count = 6,
    .input_count = 1,
    .output_count = 1,
    .buffer_count = 2,
    .arg_count = 2,
    .step_count = 1,
    .inputs = toy_fixed_inputs,
    .outputs = toy_fixed_outputs,
    .buffers = toy_fixed_buffers,
    .args = toy_fixed_args,
    .steps = toy_fixed_steps,
};

static char directory[] = "/tmp/kt_cli_XXXXXX";
static kt_program fixed, common;
static kt_abi_entry common_entry;

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(name, "wb");
    if (!file) abort();
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int run(const kt_program *program, const char *line) {
    toy_capture();
    int status = toy_main(program, line);
    toy_release();
    return status;
}

static void expect(const kt_program *program, const char *line, int status, const char *printed) {
    int found = run(program, line);
    if (found != status || !strstr(toy_text, printed))
        fail_msg("'%s' exits %d and prints '%s'", line, found, toy_text);
}

static void predicts(void **state) {
    (void)state;
    write_text("x.csv", "a,b,c,d\n1,2,3,4\n5,6,7,8\n1,1,1,1\n");
    write_text("y.jsonl", "[0,0,0,0]\n[1,1,1,1]\n[0,1,0,1]\n");
    static const char *const sizes[] = {"1", "2", "3", "50"};
    for (int i = 0; i < 4; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "--input x=x.csv --input y=y.jsonl --output sum=- --batch-size %s",
                       sizes[i]);
        assert_int_equal(run(&common, line), 0);
        assert_string_equal(toy_text, "106,214\n124,232\n105,205\n");
    }
    /* Two symbols: in one call. */
    assert_int_equal(
        run(&toy_program, "predict --input=x=x.csv --input y=y.jsonl --output out.json --threads 2"), 0);
    toy_read("out.json");
    assert_string_equal(toy_text,
                        "{\"sum\": [[106, 214], [124, 232], [105, 205]], \"total\": [320, 356, 310]}\n");
    /* An archive feeds inputs by name. */
    write_text("both.jsonl", "{\"y\": [0,0,0,0], \"x\": [1,2,3,4]}\n");
    expect(&common, "--input both.jsonl --output total=t.csv --output sum=s.csv --quiet --seed 1", 0, "");
    toy_read("t.csv");
    assert_string_equal(toy_text, "320\n");
    toy_read("s.csv");
    assert_string_equal(toy_text, "106,214\n");
}

static void pads_a_fixed_batch(void **state) {
    (void)state;
    write_text("x.csv", "1,2\n3,4\n5,6\n7,8\n9,10\n");
    expect(&fixed, "--input x.csv", 0, "2,4\n6,8\n10,12\n14,16\n18,20\n");
    write_text("x.csv", "1,2\n");
    assert_int_equal(run(&fixed, "--input x.csv"), 0);
    assert_string_equal(toy_text, "2,4\n");
    write_text("x.csv", "1,2,3\n");
    expect(&fixed, "--input x.csv", 1,
           "toy: error: x.csv: The input 'x' has the shape [1, 3], but [any, 2, 1] is expected.");
}

static void wrong_inputs(void **state) {
    (void)state;
    write_text("x.csv", "1,2,3,4\n");
    write_text("narrow.csv", "1,2\n");
    write_text("y.csv", "1,2,3,4\n1,2,3,4\n");
    expect(&common, "--input x=x.csv --input y=narrow.csv", 1,
           "toy: error: narrow.csv: The input 'y' has the shape [1, 2], but [batch, 4] is expected.");
    expect(&common, "--input x=x.csv --input y=y.csv", 1,
           "y.csv: The input 'y' has 2 samples, but 'x' has 1.");
    expect(&toy_program, "--input x=x.csv --input y=y.csv", 1,
           "x and y must have as many rows. (1 is not 2)");
    expect(&common, "--input x=x.csv", 2, "The input 'y' is missing; give it with --input y=FILE.");
    expect(&common, "--input x.csv", 2, "say for which one the file is: --input x=x.csv.");
    expect(&common, "--input x=x.csv --input x=x.csv", 2, "The input 'x' is given twice.");
    expect(&common, "--input x=none.csv", 1, "none.csv: It cannot be opened: No such file or directory.");
    expect(&common, "--input x=x.csv --input y=x.csv --output both.csv", 1, "It can hold one array, not 2");
    expect(&common, "--input x=x.csv --input y=x.csv --output sum=no/such/folder.npy", 1,
           "It cannot be written");
    expect(&common, "", 2, "The input 'x' is missing");
}

static void wrong_usage(void **state) {
    (void)state;
    expect(&common, "dance", 2, "toy: error: There is no verb 'dance'; --help lists them.");
    expect(&common, "--polka", 2, "There is no option '--polka'");
    expect(&common, "--input", 2, "--input wants a value.");
    expect(&common, "--batch-size 0", 2, "--batch-size takes a whole number of at least 1, not '0'.");
    expect(&common, "--quiet=1", 2, "--quiet takes no value.");
    expect(&common, "--help", 0, "Usage: toy [VERB] [OPTIONS]");
    expect(&common, "benchmark --entry train", 2, "There is no entry point 'train'.");
    expect(&common, "benchmark --shape rows=2", 2, "--shape takes SYMBOL=N");
}

static void other_verbs(void **state) {
    (void)state;
    expect(&common, "describe", 0, "{\"name\": \"toy\"}\n");
    expect(&toy_program, "benchmark --batch 3 --threads 1 --shape rows=3", 0,
           "{\"entry\": \"predict\", \"batch\": 3, \"threads\": 1, \"median_us\": ");
    kt_program unfit = common;
    unfit.cpu_features = (uint64_t)1 << 62;
    expect(&unfit, "--input x=x.csv --input y=x.csv", 1, "this CPU does not have");
}

static int make_directory(void **state) {
    (void)state;
    common_entry = toy_common_entry();
    common = fixed = toy_program;
    common.entries = &common_entry;
    fixed.entries = &toy_fixed_entry;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_directory(void **state) {
    (void)state;
    static const char *const names[] = {"printed",    "x.csv",    "y.csv", "y.jsonl", "both.jsonl",
                                        "narrow.csv", "out.json", "t.csv", "s.csv"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) (void)unlink(names[i]);
    return chdir("/") == 0 ? rmdir(directory) : -1;
}

/* Half of what complex numbers say would be lost. */
static void complex_numbers_are_not_made_real(void **state) {
    (void)state;
    float numbers[16] = {0};
    kt_array array = {.name = (char *)"x"};
    array.buffer = (kt_buffer){.dtype = KT_C64, .rank = 3, .dims = {4, 2, 1}, .data = numbers};
    char error[KT_IO_ERROR];
    assert_int_equal(kt_arrays_write("complex.npy", &array, 1, error), 0);
    assert_int_equal(run(&fixed, "--input complex.npy"), 1);
    assert_non_null(strstr(toy_text, "holds complex numbers, but float32 is expected"));
    assert_int_equal(unlink("complex.npy"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complex_numbers_are_not_made_real),
        cmocka_unit_test(predicts),
        cmocka_unit_test(pads_a_fixed_batch),
        cmocka_unit_test(wrong_inputs),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(other_verbs),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
