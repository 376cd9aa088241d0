/* Contractions and convolutions of u8 by i8 and of bf16 with wide sums, whose packed operands are multiplied
 * by words, on each kind of CPU that this one is. Sums of bytes are exact whatever instruction makes them,
 * the largest products included; those of bf16, as the evaluator adds them in f64, to the rounding of f32. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

enum { PANEL = 16 };
static const double SCALE = 0.001;

typedef struct kind {
    kt_dtype x, w;
    int64_t word;
    bool wide;
} kind;
static const kind kinds[] = {{KT_U8, KT_I8, KT_BYTE_QUAD, false}, {KT_BF16, KT_BF16, KT_BF16_PAIR, true}};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

/* Sums rescaled and made operands again, as between two layers. */
static kt_value rescale(suite *s, const kind *k, kt_value sums, double scale) {
    kt_value x = kt_build_cast(&s->b, sums, KT_F32);
    x = relu(s, kt_build_mul(&s->b, x, kt_build_like(&s->b, x, scale)));
    return kt_build_cast(&s->b, k->wide ? x : kt_build_round(&s->b, x), k->x);
}

static kt_value dense(suite *s, const kind *k, int64_t rows, int64_t depth, int64_t columns, bool packed) {
    kt_value x = PARAM(s, k->x, rows, depth);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}, .wide = k->wide};
    if (!packed) return kt_build_dot_general(&s->b, x, PARAM(s, k->w, depth, columns), &attrs);
    attrs.rhs_contract.count = 0;
    attrs.panel = PANEL;
    attrs.columns = columns;
    kt_value y =
        PARAM(s, k->w, (columns + PANEL - 1) / PANEL, (depth + k->word - 1) / k->word, k->word * PANEL);
    return kt_build_dot_general(&s->b, x, y, &attrs);
}

static kt_value conv(suite *s, const kind *k, int64_t channels, int64_t stride, int64_t window, bool packed) {
    kt_attrs_conv attrs = {.strides = {2, {stride, stride}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .groups = 1,
                           .wide = k->wide};
    enum { FEATURES = 20 };
    attrs.low.count = attrs.high.count = 2;
    for (int i = 0; i < 2; i++) attrs.low.at[i] = attrs.high.at[i] = dim_of(s, 0);
    kt_value x = PARAM(s, k->x, N, 8, 9, channels);
    if (!packed) return kt_build_conv(&s->b, x, PARAM(s, k->w, window, window, channels, FEATURES), &attrs);
    attrs.panel = PANEL;
    attrs.columns = FEATURES;
    attrs.window = (kt_ints){2, {window, window}};
    int64_t words = (window * window * channels + k->word - 1) / k->word;
    return kt_build_conv(&s->b, x, PARAM(s, k->w, 2, words, k->word * PANEL), &attrs);
}

/* Groups, which are not multiplied by words: of one channel and feature each, and of two by three. */
static kt_value grouped(suite *s, const kind *k, int64_t groups, int64_t channels, int64_t features) {
    kt_attrs_conv attrs = {.strides = {2, {1, 1}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .groups = groups,
                           .wide = k->wide};
    attrs.low.count = attrs.high.count = 2;
    for (int i = 0; i < 2; i++) attrs.low.at[i] = attrs.high.at[i] = dim_of(s, 0);
    kt_value x = PARAM(s, k->x, N, 8, 9, groups * channels);
    return kt_build_conv(&s->b, x, PARAM(s, k->w, 3, 3, channels, groups * features), &attrs);
}

static void add_products(suite *s, const kind *k) {
    static const int64_t sizes[][2] = {{4, 1}, {4, 16}, {8, 17}, {20, 33}, {132, 70}, {5, 18}, {3, 1}};
    for (int i = 0; i < 7; i++)
        for (int packed = 0; packed < 2; packed++) {
            begin(s, packed ? "packed" : "plain");
            end(s, dense(s, k, N, sizes[i][0], sizes[i][1], packed != 0));
        }
    begin(s, "again");
    end(s, rescale(s, k, dense(s, k, N, 24, 40, true), SCALE));
    begin(s, "beyond"); /* what 32 bits hold */
    end(s, rescale(s, k, dense(s, k, N, 24, 40, true), 1e6));
    for (int packed = 0; packed < 2; packed++) {
        begin(s, "conv");
        end(s, rescale(s, k, conv(s, k, 8, 1, 3, packed != 0), SCALE));
        begin(s, "strided");
        end(s, conv(s, k, 4, 2, 3, packed != 0));
        begin(s, "pointwise");
        end(s, conv(s, k, 12, 1, 1, packed != 0));
        begin(s, "odd");
        end(s, conv(s, k, 3, 1, 2, packed != 0));
    }
    begin(s, "depthwise");
    end(s, grouped(s, k, 12, 1, 1));
    begin(s, "in_groups");
    end(s, grouped(s, k, 4, 2, 3));
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

static void test_on(const char *cpu) {
    static const int64_t batches[][2] = {{1, 1}, {2, 2}, {3, 3}, {7, 5}, {13, 1}, {33, 1}};
    suite s = begin_suite();
    for (int i = 0; i < KIND_COUNT; i++) add_products(&s, &kinds[i]);
    if (runs(cpu))
        run_suite(&s, cpu, batches, 6);
    else
        compile_suite(&s, cpu);
    end_suite(&s);
}

static void test_here(void **state) {
    (void)state;
    test_on(NULL);
}

static void test_levels(void **state) {
    (void)state;
    static const char *const cpus[] = {"x86-64", "x86-64-v3", "x86-64-v4", "cascadelake", "sapphirerapids"};
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) test_on(cpus[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_here), cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
