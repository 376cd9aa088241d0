/* What the evaluator holds while it runs: values go with their last reader, and nothing goes too early.
 * Compiled under AddressSanitizer the latter is seen. */
#include "ir/ir.h"

#include "kt_cmocka.h"

#include <string.h>
#include <sys/resource.h>

static kt_graph *parse(kt_arena *arena, const char *text) {
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    if (kt_graph_parse(arena, text, strlen(text), &graph, &diag) != KT_OK)
        fail_msg("%s: %s\n%s", diag.problems[0].where, diag.problems[0].text, text);
    return graph;
}

static void expect(const char *text, uint32_t count, const float *wanted) {
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, text);
    kt_diag diag = {0};
    kt_tensor results[4];
    assert_int_equal(kt_eval_fast(graph, kt_graph_find(graph, "f"), arena, results, &diag), KT_OK);
    for (uint32_t i = 0; i < count; i++)
        for (int j = 0; j < 2; j++) assert_true(((const float *)results[i].data)[j] == wanted[2 * i + j]);
    kt_arena_destroy(arena);
}

static void test_values_that_share_memory(void **state) {
    (void)state;
    /* A reshape is read when its operand is read no more. */
    expect("graph\nentry @f() {\n"
           "  %0 = iota() type=f32[1,2] axis=1 : f32[1,2]\n"
           "  %1 = reshape(%0) shape=[2] : f32[2]\n"
           "  %2 = neg(%0) : f32[1,2]\n"
           "  %3 = reshape(%2) shape=[2] : f32[2]\n"
           "  %4 = sub(%1, %3) : f32[2]\n"
           "  %5 = reshape(%1) shape=[2,1] : f32[2,1]\n"
           "  return output 0 %4, output 1 %5\n}\n",
           2, (const float[]){0, 2, 0, 1});
    /* A callee gives what it was handed, and what it was handed is read no more. */
    expect("graph\nbody @g(%x: f32[2], %y: f32[2]) {\n"
           "  %0 = neg(%y) : f32[2]\n"
           "  return %x, %0\n}\n"
           "entry @f() {\n"
           "  %0 = iota() type=f32[2] axis=0 : f32[2]\n"
           "  %1 = exp(%0) : f32[2]\n"
           "  %2 = sub(%1, %1) : f32[2]\n"
           "  %3, %4 = call(%2, %0) callee=@g : f32[2], f32[2]\n"
           "  %5 = neg(%3) : f32[2]\n"
           "  %6 = add(%5, %4) : f32[2]\n"
           "  return output 0 %3, output 1 %6, output 2 %4\n}\n",
           3, (const float[]){0, 0, 0, -1, 0, -1});
    /* A variable is a result as it stands, and under another shape. */
    expect("graph\nvariable @w : f32[2] = [3, 4]\nentry @f(variable @w %w: f32[2]) {\n"
           "  %0 = reshape(%w) shape=[1,2] : f32[1,2]\n"
           "  return output 0 %w, output 1 %0\n}\n",
           2, (const float[]){3, 4, 3, 4});
}

static long peak_bytes(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss * 1024;
}

static void test_values_go(void **state) {
    (void)state;
#ifdef KT_SANITIZE
    skip(); /* sanitizers keep what is freed for a while */
#endif
    enum { NODES = 60, BYTES = 4 << 20 };
    kt_arena *arena = kt_arena_create();
    kt_text text = {.arena = arena};
    kt_text_format(&text, "graph\nentry @f() {\n  %%0 = iota() type=f32[%d] axis=0 : f32[%d]\n", BYTES / 4,
                   BYTES / 4);
    for (int i = 1; i < NODES; i++)
        kt_text_format(&text, "  %%%d = add(%%%d, %%0) : f32[%d]\n", i, i - 1, BYTES / 4);
    kt_text_format(&text, "  return output 0 %%%d\n}\n", NODES - 1);
    kt_graph *graph = parse(arena, kt_text_string(&text));
    kt_diag diag = {0};
    kt_tensor result;
    long before = peak_bytes();
    assert_int_equal(kt_eval_fast(graph, kt_graph_find(graph, "f"), arena, &result, &diag), KT_OK);
    assert_true(((const float *)result.data)[1] == NODES);
    /* The source, two of the sums, and room to spare. */
    assert_true(peak_bytes() - before < 6L * BYTES);
    kt_arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_that_share_memory),
        cmocka_unit_test(test_values_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
