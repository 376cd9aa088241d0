/* cumulative and scatter as kernels: along every axis, in both directions, with positions in and out of
 * range. */
#include "kernel_suite.h"
#include "kt_cmocka.h"

static void add_cumulative(suite *s, kt_value x, kt_reduction kind, int axis, int flags) {
    kt_attrs_cumulative attrs = {.kind = kind, .axis = axis, .reverse = flags & 1, .exclusive = flags >> 1};
    end(s, kt_build_cumulative(&s->b, x, &attrs));
}

static void test_cumulative(void **state) {
    (void)state;
    suite s = begin_suite();
    for (int axis = 0; axis < 3; axis++)
        for (int flags = 0; flags < 4; flags++) {
            begin(&s, "sum");
            add_cumulative(&s, PARAM(&s, KT_F32, N, 5, 37), KT_REDUCE_SUM, axis, flags);
            begin(&s, "largest");
            add_cumulative(&s, PARAM(&s, KT_I32, 4, T, 7), KT_REDUCE_MAXIMUM, axis, flags);
            begin(&s, "smallest");
            add_cumulative(&s, PARAM(&s, KT_F64, 3, 4, N), KT_REDUCE_MINIMUM, axis, flags);
        }
    begin(&s, "product");
    add_cumulative(&s, PARAM(&s, KT_F32, 9), KT_REDUCE_PRODUCT, 0, 0);
    begin(&s, "wraps");
    add_cumulative(&s, PARAM(&s, KT_U8, N, 50), KT_REDUCE_SUM, 1, 0);
    begin(&s, "empty");
    add_cumulative(&s, PARAM(&s, KT_F32, 4, 0), KT_REDUCE_SUM, 1, 0);
    finish(&s);
}

/* x [batch…, …, extent, …] with `picks` positions along the axis. */
static void add_scatter(suite *s, kt_dtype dtype, kt_reduction kind, int rank, const int64_t *sizes, int axis,
                        int batch, int64_t picks) {
    int64_t positions[3], updates[4];
    begin(s, "scatter");
    for (int i = 0; i < batch; i++) positions[i] = sizes[i];
    positions[batch] = picks;
    for (int i = 0; i < rank; i++) updates[i] = i == axis ? picks : sizes[i];
    kt_value x = param_of(s, dtype, rank, sizes), at = param_of(s, KT_I32, batch + 1, positions);
    kt_attrs_scatter attrs = {.kind = kind, .axis = axis, .batch_dims = batch};
    end(s, kt_build_scatter(&s->b, x, at, param_of(s, dtype, rank, updates), &attrs));
}

static void test_scatter(void **state) {
    (void)state;
    suite s = begin_suite();
    const int64_t *sizes[] = {SIZES(N, 5, 37), SIZES(4, T, 7), SIZES(3, 4, N)};
    for (int i = 0; i < 3; i++)
        for (int axis = 0; axis < 3; axis++) {
            add_scatter(&s, KT_F32, KT_REDUCE_SUM, 3, sizes[i], axis, 0, 9);
            add_scatter(&s, KT_I32, KT_REDUCE_MAXIMUM, 3, sizes[i], axis, 0, T);
            if (axis) add_scatter(&s, KT_F64, KT_REDUCE_MINIMUM, 3, sizes[i], axis, 1, N);
        }
    add_scatter(&s, KT_I64, KT_REDUCE_PRODUCT, 1, SIZES(6), 0, 0, 20);
    add_scatter(&s, KT_F32, KT_REDUCE_SUM, 2, SIZES(N, 6), 1, 1, 0);
    finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cumulative), cmocka_unit_test(test_scatter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
