/* Reading a model while the n-th allocation fails, or the n-th and all after it, wherever in our code or in a
 * library it is made: the model is read all the same, or there is one sentence, and (under asan) nothing is
 * lost. Allocations that are made in the same way, by the same callers, count as one. */
#include "failing_memory.h"

#include "frontend/keras/keras_impl.h"
#include "frontend/layer.h"
#include "kt_cmocka.h"
#include "support/file.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct attempt {
    kt_arena *arena;
    const char *path;
    long fail_at;
    bool forever;
    kt_diag *diag;
} attempt;

static kt_status read_model(void *context) {
    attempt *a = context;
    kt_graph *graph;
    start_failing(a->fail_at, a->forever);
    a->arena = kt_arena_create();
    return kt_model_read(a->arena, a->path, &graph, a->diag);
}

static kt_status try_reading(const char *path, long fail_at, bool forever) {
    kt_diag diag = {0};
    attempt a = {.path = path, .fail_at = fail_at, .forever = forever, .diag = &diag};
    kt_status status = kt_guarded(read_model, &a, &diag);
    stop_failing();
    const char *text = diag.count ? diag.problems[0].text : "";
    if (diag.count != (status != KT_OK) || (status != KT_OK && !strstr(text, "emory")))
        fail_msg("%s, allocation %ld%s: status %d and %u problems: %s", path, fail_at,
                 forever ? " and all after it" : "", (int)status, diag.count, text);
    kt_arena_destroy(a.arena);
    kt_diag_deinit(&diag);
    return status;
}

static void sweep(const char *path) {
    memset(&failing, 0, sizeof failing);
    assert_int_equal(try_reading(path, 0, false), KT_OK);
    int sites = failing.site_count, failures = 0;
    print_message("%s: %ld allocations, made in %d ways\n", path, failing.count, sites);
    for (int i = 0; i < sites; i++)
        for (int forever = 0; forever < 2; forever++)
            failures += try_reading(path, failing.firsts[i], forever) != KT_OK;
    assert_true(failures > sites);
}

#define MODEL(name) KT_TEST_SOURCE "/frontend/models/" name ".keras"

static void archives_survive(void **state) {
    (void)state;
    sweep(MODEL("nested"));
    sweep(MODEL("deflated"));
}

static void graphs_survive(void **state) {
    (void)state;
    sweep(KT_TEST_SOURCE "/ir/packed_v1.kir");
    sweep(KT_TEST_SOURCE "/ir/packed_v1.kpb");
}

/* ---- in the process that reads the weights
 * -------------------------------------------------------------------
 */
static long child_fail_at;

static void failing_child(const kt_hdf5_request *request, int output) {
    const int deaths[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}; /* which cmocka would outlive */
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) (void)signal(deaths[i], SIG_DFL);
    start_failing(child_fail_at, true);
    failing.notes = false;
    kt_hdf5_child(request, output);
}

static kt_status read_weights(kt_graph *graph, kt_bytes file, long fail_at) {
    static const kt_hdf5_limits limits = {.seconds = 60, .memory_bytes = (size_t)1 << 30};
    kt_diag diag = {0};
    child_fail_at = fail_at;
    kt_status status = kt_weights_read_with(graph, file, failing_child, &limits, &diag);
    const char *text = diag.count ? diag.problems[0].text : "";
    if (diag.count != (status != KT_OK) || (status != KT_OK && !strstr(text, "not enough memory")))
        fail_msg("allocation %ld of the child and all after it: status %d and %u problems: %s", fail_at,
                 (int)status, diag.count, text);
    kt_diag_deinit(&diag);
    return status;
}

static void weights_survive(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    kt_graph *graph;
    kt_archive archive;
    char *bytes;
    size_t count;
    assert_int_equal(kt_model_read(arena, MODEL("sequential"), &graph, &diag), KT_OK);
    assert_int_equal(kt_file_read(MODEL("sequential"), 1 << 20, arena, &bytes, &count, &diag), KT_OK);
    assert_int_equal(kt_archive_unpack(arena, (kt_bytes){(uint8_t *)bytes, count}, &archive, &diag), KT_OK);
    kt_bytes file = *kt_archive_find(&archive, "model.weights.h5");
    int failures = 0;
    for (long n = 1; read_weights(graph, file, n) != KT_OK; n += 1 + n / 8) failures++;
    assert_true(failures > 30);
    kt_arena_destroy(arena);
}

static void forget(void) { stop_failing(); }

int main(void) {
    (void)pthread_atfork(NULL, NULL, forget);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archives_survive),
        cmocka_unit_test(graphs_survive),
        cmocka_unit_test(weights_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
