/* The C interface while the n-th allocation fails, or the n-th and all after it, wherever it is made, but in
 * LLVM (tests/driver/failing_run.h): a model is built and compiled; and one that is compiled is fitted,
 * evaluated, asked, saved and loaded, and goes on to be of use whatever has failed. */
#include "driver/failing_run.h"
#include "include/keratin/keratin.h"

enum { SAMPLES = 24, FEATURES = 3 };
static float x[SAMPLES * FEATURES], y[SAMPLES];
static kt_model *compiled;

static int give_up(const kt_model *model) {
    (void)fprintf(stderr, "api: error: %s\n", model ? kt_model_error(model) : "There is no model.");
    return 1;
}

/* *out_model may be NULL, and is the caller's in any case. */
static int make(kt_model **out_model) {
    kt_model *model = *out_model = kt_model_create("small");
    if (!model) return 1;
    kt_model_set_threads(model, 2);
    int h = kt_model_input(model, "x", KT_F32, 1, (int64_t[]){FEATURES});
    h = kt_model_layer(model, "Dense", "{\"units\": 4, \"activation\": \"relu\"}", &h, 1);
    h = kt_model_layer(model, "Dropout", "{\"rate\": 0.25}", &h, 1);
    h = kt_model_layer(model, "Dense", "{\"units\": 1}", &h, 1);
    return kt_model_output(model, h) || kt_model_compile(model, "adam", "mse", "mae");
}

static int compile(int argc, char **argv) {
    (void)argc, (void)argv;
    kt_model *model;
    int status = make(&model) ? give_up(model) : 0;
    kt_model_destroy(model);
    return status;
}

static int see_epoch(kt_model *model, int64_t epoch, const char *const *names, const double *logs, int count,
                     void *seen) {
    (void)model, (void)epoch, (void)names, (void)logs;
    *(int *)seen += count;
    return 0;
}

static int use(int argc, char **argv) {
    (void)argc, (void)argv;
    const kt_buffer inputs = {.data = x, .dtype = KT_F32, .rank = 2, .dims = {SAMPLES, FEATURES}},
                    labels = {.data = y, .dtype = KT_F32, .rank = 1, .dims = {SAMPLES}};
    const kt_data data = {.inputs = &inputs, .input_count = 1, .labels = &labels, .label_count = 1};
    const kt_fit_settings settings = {.epochs = 2,
                                      .batch_size = 8,
                                      .validation_split = 0.25,
                                      .early_stopping =
                                          "monitor=val_loss,restore_best_weights=true,patience=5",
                                      .csv_log = "log.csv"};
    int seen = 0;
    const kt_fit_callbacks callbacks = {.data = &seen, .epoch_end = see_epoch};
    float logs[2];
    kt_buffer predicted = {0};
    if (kt_model_fit(compiled, &data, &settings, &callbacks) || kt_model_evaluate(compiled, &data, 0, logs) ||
        kt_model_predict(compiled, &inputs, 1, 0, &predicted, 1))
        return give_up(compiled);
    free(predicted.data);
    if (kt_model_save(compiled, "out.keras") || kt_model_load(compiled, "out.keras"))
        return give_up(compiled);
    return 0;
}

static const failing_command compiling = {"compile", "", 160, compile},
                             using = {"use", "log.csv out.keras", 8, use, .keeps = true};

static void compiling_survives(void **state) {
    (void)state;
    sweep(&compiling);
}
static void using_survives(void **state) {
    (void)state;
    sweep(&using);
}

static int begin(void **state) {
    for (int i = 0; i < SAMPLES * FEATURES; i++) x[i] = (float)(i % 7) - 3;
    for (int i = 0; i < SAMPLES; i++) y[i] = (float)(i % 5);
    if (make(&compiled)) return give_up(compiled); /* its temporary files stay, but elsewhere */
    return begin_failing(state);
}

static int end(void **state) {
    kt_model_destroy(compiled);
    return end_failing(state);
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(compiling_survives),
                                       cmocka_unit_test(using_survives)};
    return cmocka_run_group_tests(tests, begin, end);
}
