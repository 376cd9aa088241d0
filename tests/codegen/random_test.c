/* philox: blocks that are cut, lanes of a block and of several, what uses the bits where they are made. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

static kt_value bits(suite *s, int rank, const int64_t *sizes) {
    kt_type type = type_of(s, KT_U32, rank, sizes);
    kt_value key = PARAM(s, KT_U32, 2), counter = PARAM(s, KT_U32, 4);
    return kt_build_philox(&s->b, key, counter, rank, type.dims);
}

static void test_philox(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1}, {2}, {7}, {64}, {N}, {N, 3}, {5, N}, {3, 37, T}, {N, T, 33}};
    static const int ranks[] = {1, 1, 1, 1, 1, 2, 2, 3, 3};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        begin(&s, "bits");
        end(&s, bits(&s, ranks[i], sizes[i]));
        begin(&s, "uniform");
        kt_value x = bits(&s, ranks[i], sizes[i]);
        x = kt_build_and(&s.b, x, kt_build_like(&s.b, x, 0x7FFFFF));
        x = kt_build_cast(&s.b, x, KT_F32);
        end(&s, kt_build_mul(&s.b, x, kt_build_like(&s.b, x, 0x1p-23)));
    }
    finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_philox)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
