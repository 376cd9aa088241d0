/* Contractions and convolutions of u8 by i8, on each kind of CPU that this one is: exact sums whatever
 * instruction makes them, the largest products included. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

enum { PANEL = 16 };

/* Sums as they are, or rescaled and made bytes again, as between two quantised layers. */
static kt_value rescale(suite *s, kt_value sums) {
    kt_value x = kt_build_cast(&s->b, sums, KT_F32);
    x = relu(s, kt_build_mul(&s->b, x, kt_build_like(&s->b, x, 0.001)));
    return kt_build_cast(&s->b, kt_build_round(&s->b, x), KT_U8);
}

static kt_value dense(suite *s, int64_t rows, int64_t depth, int64_t columns, bool packed) {
    kt_value x = PARAM(s, KT_U8, rows, depth);
    if (!packed) {
        kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
        return kt_build_dot_general(&s->b, x, PARAM(s, KT_I8, depth, columns), &attrs);
    }
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .panel = PANEL, .columns = columns};
    kt_value y = PARAM(s, KT_I8, (columns + PANEL - 1) / PANEL, (depth + 3) / 4, 4 * PANEL);
    return kt_build_dot_general(&s->b, x, y, &attrs);
}

static kt_value conv(suite *s, int64_t channels, int64_t stride, int64_t window, bool packed) {
    kt_attrs_conv attrs = {.strides = {2, {stride, stride}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .groups = 1};
    enum { FEATURES = 20 };
    attrs.low.count = attrs.high.count = 2;
    for (int i = 0; i < 2; i++) attrs.low.at[i] = attrs.high.at[i] = dim_of(s, 0);
    kt_value x = PARAM(s, KT_U8, N, 8, 9, channels);
    if (!packed) return kt_build_conv(&s->b, x, PARAM(s, KT_I8, window, window, channels, FEATURES), &attrs);
    attrs.panel = PANEL;
    attrs.columns = FEATURES;
    attrs.window = (kt_ints){2, {window, window}};
    return kt_build_conv(&s->b, x, PARAM(s, KT_I8, 2, (window * window * channels + 3) / 4, 4 * PANEL),
                         &attrs);
}

/* Groups, which are not multiplied by fours: of one channel and feature each, and of two by three. */
static kt_value grouped(suite *s, int64_t groups, int64_t channels, int64_t features) {
    kt_attrs_conv attrs = {
        .strides = {2, {1, 1}}, .dilation = {2, {1, 1}}, .input_dilation = {2, {1, 1}}, .groups = groups};
    attrs.low.count = attrs.high.count = 2;
    for (int i = 0; i < 2; i++) attrs.low.at[i] = attrs.high.at[i] = dim_of(s, 0);
    kt_value x = PARAM(s, KT_U8, N, 8, 9, groups * channels);
    return kt_build_conv(&s->b, x, PARAM(s, KT_I8, 3, 3, channels, groups * features), &attrs);
}

static suite begin_products(void) {
    static const int64_t sizes[][2] = {{4, 1}, {4, 16}, {8, 17}, {20, 33}, {132, 70}, {5, 18}, {3, 1}};
    suite s = begin_suite();
    for (int i = 0; i < 7; i++)
        for (int packed = 0; packed < 2; packed++) {
            begin(&s, packed ? "packed" : "plain");
            end(&s, dense(&s, N, sizes[i][0], sizes[i][1], packed != 0));
        }
    begin(&s, "again");
    end(&s, rescale(&s, dense(&s, N, 24, 40, true)));
    for (int packed = 0; packed < 2; packed++) {
        begin(&s, "conv");
        end(&s, rescale(&s, conv(&s, 8, 1, 3, packed != 0)));
        begin(&s, "strided");
        end(&s, conv(&s, 4, 2, 3, packed != 0));
        begin(&s, "pointwise");
        end(&s, conv(&s, 12, 1, 1, packed != 0));
        begin(&s, "odd");
        end(&s, conv(&s, 3, 1, 2, packed != 0));
    }
    begin(&s, "depthwise");
    end(&s, grouped(&s, 12, 1, 1));
    begin(&s, "in_groups");
    end(&s, grouped(&s, 4, 2, 3));
    return s;
}

static void run_on(const char *cpu) {
    static const int64_t batches[][2] = {{1, 1}, {2, 2}, {3, 3}, {7, 5}, {13, 1}, {33, 1}};
    suite s = begin_products();
    run_suite(&s, cpu, batches, 6);
    compile_suite(&s, cpu);
    end_suite(&s);
}

static bool runs(const char *cpu) {
    kt_arena *arena = kt_arena_create();
    kt_diag diag = {0};
    kt_target target;
    bool fits =
        kt_target_describe(NULL, cpu, NULL, arena, &target, &diag) == KT_OK && kernel_runner_runs(&target);
    kt_diag_deinit(&diag);
    kt_arena_destroy(arena);
    if (!fits) print_message("SKIPPED running on %s: this CPU has not what it wants\n", cpu);
    return fits;
}

static void test_here(void **state) {
    (void)state;
    run_on(NULL);
}

static void test_levels(void **state) {
    (void)state;
    static const char *const cpus[] = {"x86-64", "x86-64-v3", "x86-64-v4", "cascadelake"};
    for (int i = 0; i < 4; i++)
        if (runs(cpus[i])) run_on(cpus[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_here), cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
