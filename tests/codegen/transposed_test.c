/* Transposes that change the last axis: squares that fit and that overlap, extents too small for any,
 * elementwise operations before and behind, and elements of all widths. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

static kt_value turned(suite *s, kt_dtype dtype, int rank, const int64_t *sizes, const int64_t *axes) {
    return kt_build_transpose(&s->b, param_of(s, dtype, rank, sizes), axes);
}

static void test_shapes(void **state) {
    (void)state;
    static const int64_t matrices[][2] = {{16, 16}, {17, 40}, {64, 33}, {5, 7}, {4, 100}, {3, 50}, {130, 8}};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        begin(&s, "matrix");
        end(&s, turned(&s, KT_F32, 2, matrices[i], SIZES(1, 0)));
    }
    begin(&s, "batches");
    end(&s, turned(&s, KT_F32, 3, SIZES(N, 20, 18), SIZES(0, 2, 1)));
    begin(&s, "heads");
    end(&s, turned(&s, KT_F32, 4, SIZES(2, 9, T, 17), SIZES(3, 2, 0, 1)));
    static const int64_t groups[][2] = {{2, 58}, {3, 16}, {4, 29}, {5, 7}, {8, 30}};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        begin(&s, "shuffle");
        end(&s, turned(&s, KT_F32, 3, SIZES(N, groups[i][0], groups[i][1]), SIZES(0, 2, 1)));
        begin(&s, "back");
        end(&s, turned(&s, KT_F32, 3, SIZES(N, groups[i][1], groups[i][0]), SIZES(0, 2, 1)));
    }
    begin(&s, "outer");
    end(&s, turned(&s, KT_F32, 3, SIZES(16, N, 16), SIZES(2, 1, 0)));
    begin(&s, "unknown");
    end(&s, turned(&s, KT_F32, 2, SIZES(N, 18), SIZES(1, 0)));
    begin(&s, "same_vectors");
    end(&s, turned(&s, KT_F32, 3, SIZES(6, 5, 16), SIZES(1, 0, 2)));
    finish(&s);
}

static void test_elements(void **state) {
    (void)state;
    static const kt_dtype dtypes[] = {KT_F64, KT_F16, KT_BF16, KT_I8, KT_U16, KT_I32, KT_I64, KT_BOOL};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        begin(&s, "elements");
        end(&s, turned(&s, dtypes[i], 2, SIZES(35, 21), SIZES(1, 0)));
    }
    begin(&s, "behind");
    kt_value x = turned(&s, KT_F32, 2, SIZES(35, 21), SIZES(1, 0));
    kt_value bias = BROADCAST(&s, PARAM(&s, KT_F32, 35), SIZES(1), 21, 35);
    end(&s, relu(&s, kt_build_add(&s.b, x, bias)));
    begin(&s, "to_half");
    end(&s, kt_build_cast(&s.b, turned(&s, KT_F32, 2, SIZES(35, 21), SIZES(1, 0)), KT_F16));
    begin(&s, "both_ways");
    x = PARAM(&s, KT_F32, 20, 20);
    end(&s, kt_build_add(&s.b, x, kt_build_transpose(&s.b, x, SIZES(1, 0))));
    begin(&s, "before");
    end(&s, kt_build_transpose(&s.b, relu(&s, PARAM(&s, KT_F32, 20, 18)), SIZES(1, 0)));
    finish(&s);
}

static void test_targets(void **state) {
    (void)state;
    static const char *const cpus[] = {"x86-64", "haswell", "skylake-avx512"};
    for (int i = 0; i < 3; i++) {
        suite s = begin_suite();
        begin(&s, "matrix");
        end(&s, turned(&s, KT_F32, 2, SIZES(40, 50), SIZES(1, 0)));
        begin(&s, "elements");
        end(&s, turned(&s, KT_I8, 2, SIZES(40, 50), SIZES(1, 0)));
        compile_suite(&s, cpus[i]);
        end_suite(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_elements),
                                       cmocka_unit_test(test_targets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
