/* Products summed by columns, and derivatives of convolutions by their kernels: depths of less than a block,
 * of several, and not known; rows and columns that fill tiles and that do not; operands that are packed and
 * that are read as they lie. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

static const int64_t depths[][2] = {{1, 1}, {3, 2}, {48, 1}, {257, 2}, {600, 1}};

/* x^T * y, a transposed operand of [depth, rows] by [depth, columns]. */
static kt_value by_columns(suite *s, kt_dtype dtype, int64_t depth, int64_t rows, int64_t columns) {
    const kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    kt_value x = kt_build_transpose(&s->b, PARAM(s, dtype, depth, rows), SIZES(1, 0));
    return kt_build_dot_general(&s->b, x, PARAM(s, dtype, depth, columns), &attrs);
}

/* value - 0.5 * parameter: an epilogue */
static kt_value subtract(suite *s, kt_value value) {
    const kt_type type = *kt_build_type(&s->b, value);
    kt_value old = kt_builder_param(&s->b, KT_ROLE_PLAIN, NULL, s->b.function.params.count, &type);
    return kt_build_sub(&s->b, old, kt_build_mul(&s->b, value, kt_build_like(&s->b, value, 0.5)));
}

static void test_products(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{8, 8},    {13, 10},  {64, 64},  {48, 32},
                                       {150, 33}, {29, 200}, {256, 16}, {300, 130}};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin(&s, "known");
        end(&s, by_columns(&s, KT_F32, 300, sizes[i][0], sizes[i][1]));
        begin(&s, "epilogue");
        end(&s, subtract(&s, by_columns(&s, KT_F32, N, sizes[i][0], sizes[i][1])));
    }
    begin(&s, "f64");
    end(&s, by_columns(&s, KT_F64, N, 50, 40));
    begin(&s, "f16");
    end(&s, by_columns(&s, KT_F16, 100, 20, 40));
    begin(&s, "unknown_rows");
    end(&s, by_columns(&s, KT_F32, 70, N, 40));
    begin(&s, "unknown_columns");
    end(&s, by_columns(&s, KT_F32, 70, 20, N));
    begin(&s, "batches");
    const kt_attrs_dot_general attrs = {.lhs_batch = {2, {0, 1}},
                                        .rhs_batch = {2, {0, 1}},
                                        .lhs_contract = {1, {3}},
                                        .rhs_contract = {1, {2}}};
    kt_value x = kt_build_transpose(&s.b, PARAM(&s, KT_F32, 2, T, 60, 24), SIZES(0, 1, 3, 2));
    end(&s, kt_build_dot_general(&s.b, x, PARAM(&s, KT_F32, 2, T, 60, 40), &attrs));
    run_suite(&s, NULL, depths, 5);
    end_suite(&s);
}

typedef struct by_kernel_case {
    const int64_t *x, *window; /* [batch, space…, channels]; extents */
    int64_t features;
    const int64_t *strides, *dilation, *padding; /* NULL: 1, or 0 */
    int64_t groups;                              /* 0: 1 */
} by_kernel_case;

static kt_value by_kernel(suite *s, kt_dtype dtype, const by_kernel_case *c, int spatial) {
    uint32_t count = (uint32_t)spatial;
    kt_attrs_conv_by_kernel attrs = {.strides = {count, {0}},
                                     .low = {count, {0}},
                                     .high = {count, {0}},
                                     .dilation = {count, {0}},
                                     .groups = c->groups ? c->groups : 1,
                                     .window = {count, {0}}};
    kt_value x = param_of(s, dtype, spatial + 2, c->x);
    kt_type cotangent = *kt_build_type(&s->b, x);
    for (int i = 0; i < spatial; i++) {
        int64_t low = c->padding ? c->padding[2 * i] : 0, high = c->padding ? c->padding[2 * i + 1] : 0;
        attrs.strides.at[i] = c->strides ? c->strides[i] : 1;
        attrs.dilation.at[i] = c->dilation ? c->dilation[i] : 1;
        attrs.low.at[i] = dim_of(s, low);
        attrs.high.at[i] = dim_of(s, high);
        attrs.window.at[i] = c->window[i];
        int64_t reach = (c->window[i] - 1) * attrs.dilation.at[i] + 1;
        kt_dim room = kt_dim_add_const(s->graph->dims, dim_of(s, c->x[i + 1]), low + high - reach);
        kt_dim steps =
            kt_dim_floordiv(s->graph->dims, room, kt_dim_const(s->graph->dims, attrs.strides.at[i]));
        cotangent.dims[i + 1] = kt_dim_add_const(s->graph->dims, steps, 1);
    }
    cotangent.dims[spatial + 1] = dim_of(s, c->features);
    kt_value g = kt_builder_param(&s->b, KT_ROLE_PLAIN, NULL, s->b.function.params.count, &cotangent);
    return kt_build_conv_by_kernel(&s->b, x, g, &attrs);
}

static void test_convolutions(void **state) {
    (void)state;
    const by_kernel_case cases[] = {
        {SIZES(N, 8, 9, 3), SIZES(3, 3), 20},
        {SIZES(N, 18, 18, 16), SIZES(3, 3), 16},
        {SIZES(N, 9, 8, 7), SIZES(3, 2), 10, .strides = SIZES(2, 2)},
        {SIZES(N, 8, 15, 4), SIZES(2, 3), 33, .strides = SIZES(1, 2), .dilation = SIZES(2, 3)},
        {SIZES(N, 6, 5, 64), SIZES(1, 1), 64, .strides = SIZES(2, 2)},
        {SIZES(2, 3, 300, 2), SIZES(2, 2), 9},
        {SIZES(2, 5, 9, 150), SIZES(2, 2), 140},
        {SIZES(N, 8, 9, 3), SIZES(3, 3), 20, .padding = SIZES(1, 1, 0, 2)}, /* at a position */
        {SIZES(N, 7, 9, 2), SIZES(3, 2), 4, .strides = SIZES(2, 3), .dilation = SIZES(1, 2),
         .padding = SIZES(2, 1, 2, 0)},
        {SIZES(N, 8, 9, 12), SIZES(3, 3), 20, .groups = 4},
        {SIZES(N, 8, 9, 12), SIZES(3, 3), 20, .padding = SIZES(1, 1, 0, 2), .groups = 4},
        {SIZES(N, 9, 8, 40), SIZES(3, 2), 40, .strides = SIZES(2, 2), .groups = 40},
        {SIZES(N, 8, 15, 7), SIZES(2, 3), 7, .strides = SIZES(1, 2), .dilation = SIZES(2, 3), .groups = 7},
        {SIZES(N, 9, 9, 64), SIZES(5, 7), 64, .groups = 64},
        {SIZES(N, 9, 9, 64), SIZES(3, 3), 64, .padding = SIZES(1, 1, 1, 1), .groups = 64},
        {SIZES(N, 9, 9, 20), SIZES(3, 3), 40, .groups = 20}, /* two features of a channel */
    };
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&s, "by_kernel");
        end(&s, by_kernel(&s, KT_F32, &cases[i], 2));
        begin(&s, "epilogue");
        end(&s, subtract(&s, by_kernel(&s, KT_F32, &cases[i], 2)));
    }
    begin(&s, "f64");
    end(&s, by_kernel(&s, KT_F64, &cases[2], 2));
    begin(&s, "small"); /* of which LLVM leaves few branches before the loops */
    end(&s, by_kernel(&s, KT_F64,
                      &(by_kernel_case){SIZES(5, 3, 7, 1), SIZES(2, 1), 11, .strides = SIZES(1, 2),
                                        .dilation = SIZES(2, 1)},
                      2));
    begin(&s, "sequence");
    end(&s, by_kernel(&s, KT_F32, &(by_kernel_case){SIZES(N, 20, 5), SIZES(4), 12}, 1));
    begin(&s, "volume");
    end(&s, by_kernel(&s, KT_F32, &(by_kernel_case){SIZES(N, 4, 5, 6, 3), SIZES(2, 3, 2), 6}, 3));
    begin(&s, "depthwise_sequence");
    end(&s, by_kernel(&s, KT_F16, &(by_kernel_case){SIZES(N, 20, 33), SIZES(4), 33, .groups = 33}, 1));
    begin(&s, "depthwise_volume");
    end(&s,
        by_kernel(&s, KT_F64, &(by_kernel_case){SIZES(N, 4, 5, 6, 24), SIZES(2, 3, 2), 24, .groups = 24}, 3));
    begin(&s, "depthwise_unknown_size");
    end(&s, by_kernel(&s, KT_F32, &(by_kernel_case){SIZES(2, 6, T, 48), SIZES(2, 1), 48, .groups = 48}, 2));
    begin(&s, "unknown_size");
    end(&s, by_kernel(&s, KT_F32, &(by_kernel_case){SIZES(2, 6, T, 3), SIZES(2, 1), 8}, 2));
    run_suite(&s, NULL, (const int64_t[][2]){{1, 1}, {2, 3}, {5, 40}}, 3);
    end_suite(&s);
}

/* Groups of few features: whole vectors of them and not, and rows that are summed as images and by
 * themselves. */
static void test_grouped(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {/* groups, channels, features of a group */
                                       {24, 1, 2}, {5, 1, 3}, {16, 2, 2}, {9, 2, 2},  {7, 3, 3},  {32, 4, 4},
                                       {5, 4, 4},  {6, 5, 5}, {5, 8, 8},  {8, 6, 1},  {3, 5, 16}, {2, 3, 32},
                                       {7, 20, 4}, {6, 9, 2}, {2, 40, 3}, {2, 3, 17}, {40, 1, 1}};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t groups = sizes[i][0], channels = groups * sizes[i][1], features = groups * sizes[i][2];
        const by_kernel_case shapes[] = {
            {SIZES(N, 5, 9, channels), SIZES(3, 3), features, .groups = groups},
            {SIZES(N, 18, 37, channels), SIZES(3, 3), features, .strides = SIZES(1, 2), .groups = groups},
            {SIZES(N, 9, 5, channels), SIZES(2, 2), features, .dilation = SIZES(3, 2), .groups = groups},
            {SIZES(2, 3, T, channels), SIZES(2, 1), features, .groups = groups},
        };
        begin(&s, "grouped");
        end(&s, subtract(&s, by_kernel(&s, KT_F32, &shapes[0], 2)));
        begin(&s, "grouped");
        end(&s, by_kernel(&s, KT_F32, &shapes[1 + i % 3], 2));
    }
    begin(&s, "grouped_sequence");
    end(&s, by_kernel(&s, KT_F16, &(by_kernel_case){SIZES(N, 20, 12), SIZES(4), 12, .groups = 3}, 1));
    begin(&s, "grouped_volume");
    end(&s,
        by_kernel(&s, KT_F64, &(by_kernel_case){SIZES(N, 4, 5, 6, 12), SIZES(2, 3, 2), 12, .groups = 6}, 3));
    run_suite(&s, NULL, (const int64_t[][2]){{1, 1}, {7, 11}}, 2);
    run_suite(&s, "x86-64", (const int64_t[][2]){{1, 2}}, 1);
    compile_suite(&s, "skylake-avx512");
    end_suite(&s);
}

/* What the tiles are on machines that this one may not be. */
static void test_targets(void **state) {
    (void)state;
    static const char *const cpus[] = {"x86-64", "haswell", "skylake-avx512"};
    for (int i = 0; i < 3; i++) {
        suite s = begin_suite();
        begin(&s, "product");
        end(&s, by_columns(&s, KT_F32, N, 150, 70));
        begin(&s, "by_kernel");
        end(&s, by_kernel(&s, KT_F32, &(by_kernel_case){SIZES(N, 8, 9, 24), SIZES(3, 3), 20}, 2));
        begin(&s, "depthwise");
        end(&s,
            by_kernel(&s, KT_F32, &(by_kernel_case){SIZES(N, 8, 9, 24), SIZES(5, 5), 24, .groups = 24}, 2));
        compile_suite(&s, cpus[i]);
        end_suite(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_convolutions),
                                       cmocka_unit_test(test_grouped), cmocka_unit_test(test_targets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
