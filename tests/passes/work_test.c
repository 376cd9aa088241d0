/* What kernels do, as counted: operations, and bytes that are read and written. */
#include "kt_cmocka.h"

#include "passes/plan.h"

static const char model[] = "graph \"model\"\n"
                            "symbols batch\n"
                            "kernel @product(%0: f32[batch,3], %1: f32[3,2]) {\n"
                            "  %2 = dot_general(%0, %1) lhs_contract=[1] rhs_contract=[0] : f32[batch,2]\n"
                            "  return %2\n"
                            "}\n"
                            "kernel @lookup(%3: f32[1000,4], %4: i32[batch]) {\n"
                            "  %5 = gather(%3, %4) axis=0 batch_dims=0 : f32[batch,4]\n"
                            "  return %5\n"
                            "}\n"
                            "kernel @table(%6: f32[1000,4], %7: i32[batch]) {\n"
                            "  %8 = gather(%6, %7) axis=0 batch_dims=0 : f32[batch,4]\n"
                            "  %9 = neg(%6) : f32[1000,4]\n"
                            "  return %8, %9\n"
                            "}\n";

static void expect(const kt_graph *graph, const char *kernel, int64_t batch, int64_t operations,
                   int64_t bytes) {
    kt_work work = kt_kernel_work(graph, kt_graph_find(graph, kernel));
    assert_int_equal(kt_dim_eval(graph->dims, work.operations, &batch), operations);
    assert_int_equal(kt_dim_eval(graph->dims, work.bytes, &batch), bytes);
}

static void counts_what_is_gathered(void **state) {
    (void)state;
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = NULL;
    kt_diag diag = {0};
    assert_int_equal(kt_graph_parse(arena, model, strlen(model), &graph, &diag), KT_OK);
    expect(graph, "product", 5, 60, 5 * 12 + 24 + 5 * 8);
    expect(graph, "lookup", 5, 0, 5 * 16 + 5 * 4 + 5 * 16);
    expect(graph, "lookup", 5000, 0, 16000 + 5000 * 4 + 5000 * 16); /* no more than there is */
    expect(graph, "table", 5, 4000, 16000 + 5 * 4 + 5 * 16 + 16000);
    kt_arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_what_is_gathered)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
