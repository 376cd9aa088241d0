/* Whole compilations while the n-th allocation fails, or the n-th and all after it, wherever it is made, but
 * in LLVM (tests/driver/failing_run.h): archives, layers, passes, code, what is linked and what is written.
 * Either all files are there, whole, or there is one sentence and none; under asan nothing is lost. */
#include "driver/failing_run.h"

#include "cli/cli.h"

#define TRAINER KT_TEST_SOURCE "/driver/trainer.keras"

static const failing_command predictor = {"compile " TRAINER " -o model.so --weights=file",
                                          "model.h model.so model.so.weights", 40, cli_main},
                             evaluator = {"compile " TRAINER " -o model -g --report page.html",
                                          "model model.kir page.html", 160, cli_main},
                             trainer = {"compile " TRAINER " -o model.so --train", "model.h model.so", 80,
                                        cli_main},
                             text = {"compile " TRAINER " -o model.ll -O0", "model.ll", 40, cli_main};

static void predictors_survive(void **state) {
    (void)state;
    sweep(&predictor);
}
static void evaluators_survive(void **state) {
    (void)state;
    sweep(&evaluator);
}
static void trainers_survive(void **state) {
    (void)state;
    sweep(&trainer);
}
static void texts_survive(void **state) {
    (void)state;
    sweep(&text);
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictors_survive),
        cmocka_unit_test(evaluators_survive),
        cmocka_unit_test(trainers_survive),
        cmocka_unit_test(texts_survive),
    };
    return cmocka_run_group_tests(tests, begin_failing, end_failing);
}
