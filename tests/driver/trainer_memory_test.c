/* A compiled trainer while the n-th allocation fails, or the n-th and all after it, wherever it is made
 * (tests/driver/failing_run.h), libhdf5's among them: it fits, evaluates and predicts all the same, or there
 * is one sentence; what is saved is there, whole, or not at all. The trainer's code is loaded into this
 * process, which has the runtime. */
#include "driver/failing_run.h"

#include "codegen/codegen.h"
#include "frontend/training/training.h"
#include "runtime/train/train.h"
#include "support/file.h"

#include <dlfcn.h>

#define MODEL KT_TEST_SOURCE "/driver/trainer.keras"
#define DATA                                                                                                 \
    " --data " KT_TEST_SOURCE "/driver/trainer_x.npy --labels " KT_TEST_SOURCE "/driver/trainer_y.npy"
#define FIT "fit" DATA " --batch-size 20 --quiet --threads "

static kt_program program;
static kt_abi_training training;

static int run_program(int argc, char **argv) { return kt_program_main(&program, argc, argv); }

static const failing_command
    saving = {FIT "1 --epochs 2 --validation-split 0.25 --save out.keras --history out.json",
              "out.json out.keras",
              8,
              run_program,
              .in_child = 4000,
              .keeps = true},
    saving_weights = {FIT "1 --epochs 1 --save out.weights.h5", "out.weights.h5", 1, run_program,
                      .in_child = 4000},
    logging = {.line = FIT
               "1 --epochs 3 --validation-split 0.25 --csv-log log.csv --tensorboard board --checkpoint run"
               " --tensorboard-histogram-freq 3 --tensorboard-write-images --tensorboard-embeddings-freq 3"
               " --model-checkpoint filepath=best.keras,save_best_only=1"
               " --early-stopping monitor=val_loss,patience=1,restore_best_weights=1",
               .files = "best.keras board log.csv run",
               .ways = 8,
               .main = run_program,
               .keeps = true},
    profiling = {FIT "2 --epochs 1 --tensorboard board --tensorboard-profile-batch 2,3",
                 "board",
                 1,
                 run_program,
                 .says = true,
                 .keeps = true},
    keeping = {.line = FIT "1 --epochs 2 --validation-split 0.25 --orbax-checkpoint directory=kept",
               .files = "kept",
               .ways = 2,
               .main = run_program,
               .keeps = true},
    telling = {FIT "1 --epochs 1 --remote-monitor root=http://127.0.0.1:1", "", 2, run_program, .says = true},
    resuming = {FIT "2 --epochs 1 --checkpoint ../run --resume", "", 4, run_program},
    evaluating = {"evaluate" DATA " --threads 2 --weights ../trained.keras", "", 4, run_program,
                  .says = true},
    predicting = {"predict --input " KT_TEST_SOURCE
                  "/driver/trainer_x.npy --output y.npy --weights ../trained.weights.h5",
                  "y.npy", 4, run_program};

static void saving_survives(void **state) {
    (void)state;
    sweep(&saving);
}
static void saving_weights_survives(void **state) {
    (void)state;
    sweep(&saving_weights);
}
static void logging_survives(void **state) {
    (void)state;
    sweep(&logging);
}
static void profiling_survives(void **state) {
    (void)state;
    sweep(&profiling);
}
static void keeping_survives(void **state) {
    (void)state;
    sweep(&keeping);
}
static void telling_survives(void **state) {
    (void)state;
    sweep(&telling);
}
static void resuming_survives(void **state) {
    (void)state;
    sweep(&resuming);
}
static void evaluating_survives(void **state) {
    (void)state;
    sweep(&evaluating);
}
static void predicting_survives(void **state) {
    (void)state;
    sweep(&predicting);
}

/* ---- the trainer ----------------------------------------------------------------------------- */
typedef struct compiling {
    kt_arena *arena;
    kt_diag *diag;
} compiling;

static kt_status compile(void *context) {
    compiling *c = context;
    kt_graph *graph;
    const char *directory;
    kt_training_request request = {.train = true};
    c->arena = kt_arena_create();
    KT_TRY(kt_model_read_training(c->arena, MODEL, &request, &graph, c->diag));
    KT_TRY(kt_temporary_directory(c->arena, &directory, c->diag));
    const char *path = kt_arena_format(c->arena, "%s/trainer.so", directory);
    const kt_compile_options options = {.emit = KT_EMIT_SHARED,
                                        .output = path,
                                        .name = "trainer",
                                        .level = 2,
                                        .training = &request.info,
                                        .loaded = true};
    KT_TRY(kt_compile(graph, &options, c->diag));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const kt_program *loaded = library ? dlsym(library, "trainer_program") : NULL;
    if (!loaded) return kt_diag_add(c->diag, KT_IO, NULL, "%s", dlerror());
    /* The verbs of an executable. */
    training = *loaded->training;
    training.fit = kt_verb_fit;
    training.evaluate = kt_verb_evaluate;
    training.load = kt_training_load;
    program = *loaded;
    program.training = &training;
    return KT_OK;
}

static int begin(void **state) {
    kt_diag diag = {0};
    compiling c = {.diag = &diag};
    const failing_command prepare = {FIT "1 --checkpoint ../run --epochs 1 --save ../trained.keras", "", 0,
                                     run_program},
                          weights = {FIT "1 --epochs 1 --save ../trained.weights.h5", "", 0, run_program};
    if (begin_failing(state)) return 1;
    if (kt_guarded(compile, &c, &diag) != KT_OK) print_error("%s\n", diag.count ? diag.problems[0].text : "");
    failing.spares = false; /* LLVM is done */
    bool compiled = diag.count == 0;
    kt_diag_deinit(&diag);
    kt_arena_destroy(c.arena);
    return compiled ? run_once(&prepare, 0, false) || run_once(&weights, 0, false) : 1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_survives),     cmocka_unit_test(saving_weights_survives),
        cmocka_unit_test(logging_survives),    cmocka_unit_test(profiling_survives),
        cmocka_unit_test(keeping_survives),    cmocka_unit_test(telling_survives),
        cmocka_unit_test(resuming_survives),   cmocka_unit_test(evaluating_survives),
        cmocka_unit_test(predicting_survives),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, begin, end_failing);
}
