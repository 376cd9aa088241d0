/* How passes are run: names, levels, the callback after each, and what happens when memory ends. */
#include "kt_cmocka.h"

#include "passes/passes.h"

static const char model[] = "graph \"model\"\n"
                            "symbols batch\n"
                            "variable @w : f32[3,2] = [1, 2, 3, 4, 5, 6]\n"
                            "entry @predict(input 0 \"x\" %0: f32[batch,3], variable @w %1: f32[3,2]) {\n"
                            "  %2 = neg(%0) : f32[batch,3]\n"
                            "  %3 = neg(%2) : f32[batch,3]\n"
                            "  %4 = dot_general(%3, %1) lhs_contract=[1] rhs_contract=[0] : f32[batch,2]\n"
                            "  %5 = tanh(%4) : f32[batch,2]\n"
                            "  return output 0 \"y\" %5\n"
                            "}\n";

static kt_graph *parse(kt_arena *arena) {
    kt_graph *graph = NULL;
    kt_diag diag = {0};
    assert_int_equal(kt_graph_parse(arena, model, strlen(model), &graph, &diag), KT_OK);
    return graph;
}

static void finds_passes_by_name(void **state) {
    (void)state;
    for (const kt_pass *pass = kt_passes; pass->name; pass++) {
        const kt_pass *found = kt_pass_find(pass->name);
        assert_non_null(found);
        assert_ptr_equal(found->run, pass->run);
        assert_true(strlen(found->doc) > 0); /* the first of that name is documented */
    }
    assert_null(kt_pass_find("simplif"));
    assert_null(kt_pass_find(""));
}

typedef struct record {
    const char *names[64];
    bool changed[64];
    int count;
} record;

static void note(void *context, const char *pass, const kt_graph *graph, double seconds, bool changed) {
    record *r = context;
    assert_non_null(graph);
    assert_true(seconds >= 0);
    r->names[r->count] = pass;
    r->changed[r->count++] = changed;
}

static void calls_back_after_each_pass(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    record r = {.count = 0};
    const kt_pass_options options = {
        .level = 2, .target.panel_columns = 4, .after = note, .after_context = &r};
    assert_int_equal(kt_passes_run(parse(arena), &options, &diag), KT_OK);
    int count = 0;
    for (const kt_pass *pass = kt_passes; pass->name; pass++)
        if (kt_pass_runs_at(pass, options.level)) assert_string_equal(r.names[count++], pass->name);
    assert_int_equal(r.count, count);
    for (int i = 0; i < count; i++) {
        if (strcmp(r.names[i], "bind") == 0 || strcmp(r.names[i], "cse") == 0) assert_false(r.changed[i]);
        if (strcmp(r.names[i], "layout") == 0 || strcmp(r.names[i], "split") == 0) assert_true(r.changed[i]);
    }
    assert_true(r.changed[2]); /* the first simplify */
    kt_arena_destroy(arena);
}

static void leaves_optimisations_out_at_level_0(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    record r = {.count = 0};
    const kt_pass_options options = {.level = 0, .after = note, .after_context = &r};
    assert_int_equal(kt_passes_run(parse(arena), &options, &diag), KT_OK);
    for (int i = 0; i < r.count; i++) assert_int_equal(kt_pass_find(r.names[i])->level, 0);
    kt_arena_destroy(arena);
}

/* The n-th allocation of the pipeline fails, for every n: a status comes back, and nothing is lost. */
static void survives_the_end_of_memory(void **state) {
    (void)state;
    const kt_pass_options options = {.level = 2, .target.panel_columns = 4, .verify = true};
    kt_status status = KT_OUT_OF_MEMORY;
    for (uint64_t countdown = 1; status != KT_OK; countdown++) {
        kt_arena *arena = kt_arena_create();
        kt_graph *graph = parse(arena);
        kt_diag diag = {0};
        kt_arena_fail_after(countdown);
        status = kt_passes_run(graph, &options, &diag);
        kt_arena_fail_after(0);
        assert_true(status == KT_OK || status == KT_OUT_OF_MEMORY);
        kt_diag_deinit(&diag);
        kt_arena_destroy(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_passes_by_name),
        cmocka_unit_test(calls_back_after_each_pass),
        cmocka_unit_test(leaves_optimisations_out_at_level_0),
        cmocka_unit_test(survives_the_end_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
