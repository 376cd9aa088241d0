/* Large constant products by OpenBLAS agree with plain loops, for every order of axes; small ones are the
 * loops'. */
#include "ir/ir.h"

#include "kt_cmocka.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SKIPPED = 77 };

static kt_graph *parse(kt_arena *arena, const char *nodes, int64_t rows) {
    kt_diag diag = {0};
    kt_graph *graph = NULL;
    const char *text = kt_arena_format(arena,
                                       "graph\nentry @f() {\n"
                                       "  %%0 = iota() type=f32[3,%lld,400] axis=2 : f32[3,%lld,400]\n"
                                       "  %%1 = sin(%%0) : f32[3,%lld,400]\n"
                                       "  %%2 = iota() type=f32[3,%lld,400] axis=1 : f32[3,%lld,400]\n"
                                       "  %%3 = add(%%1, %%2) : f32[3,%lld,400]\n"
                                       "  %%4 = cos(%%3) : f32[3,%lld,400]\n"
                                       "%s  return output 0 %%5\n}\n",
                                       (long long)rows, (long long)rows, (long long)rows, (long long)rows,
                                       (long long)rows, (long long)rows, (long long)rows, nodes);
    if (kt_graph_parse(arena, text, strlen(text), &graph, &diag) != KT_OK)
        fail_msg("%s: %s\n%s", diag.problems[0].where, diag.problems[0].text, text);
    return graph;
}

static void compare(const char *nodes, int64_t rows, double tolerance) {
    kt_arena *arena = kt_arena_create();
    kt_graph *graph = parse(arena, nodes, rows);
    kt_func func = kt_graph_find(graph, "f");
    kt_diag diag = {0};
    kt_tensor slow, fast;
    assert_int_equal(kt_eval(graph, func, NULL, NULL, 0, arena, &slow, &diag), KT_OK);
    assert_int_equal(kt_eval_fast(graph, func, arena, &fast, &diag), KT_OK);
    assert_int_equal(kt_tensor_bytes(&slow), kt_tensor_bytes(&fast));
    for (size_t i = 0; i < kt_tensor_elements(&slow); i++) {
        double a = ((const float *)slow.data)[i], b = ((const float *)fast.data)[i];
        assert_true(fabs(a - b) <= tolerance * (1 + fabs(a)));
    }
    kt_arena_destroy(arena);
}

static bool is_loaded(void) {
    char line[4096];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) found = found || strstr(line, "libopenblas");
    if (maps) fclose(maps);
    return found;
}

static void small_products_are_loops(void **state) {
    (void)state;
    compare("  %5 = dot_general(%4, %4) lhs_contract=[2] rhs_contract=[2] : f32[3,9,3,9]\n", 9, 0);
    assert_false(is_loaded());
}

static void large_products_agree(void **state) {
    (void)state;
    compare("  %5 = dot_general(%4, %4) lhs_contract=[2] rhs_contract=[2] : f32[3,70,3,70]\n", 70, 1e-6);
    if (!is_loaded()) {
        printf("SKIPPED: ir/eval_blas: OpenBLAS is not installed\n");
        exit(SKIPPED);
    }
    compare("  %5 = dot_general(%4, %4) lhs_batch=[0] rhs_batch=[0] lhs_contract=[2] rhs_contract=[2] : "
            "f32[3,110,110]\n",
            110, 1e-6);
    compare("  %5 = dot_general(%4, %4) lhs_batch=[0] rhs_batch=[0] lhs_contract=[1] rhs_contract=[1] : "
            "f32[3,400,400]\n",
            30, 1e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_products_are_loops),
        cmocka_unit_test(large_products_agree),
    };
    return cmocka_run_group_tests_name("eval_blas", tests, NULL, NULL);
}
