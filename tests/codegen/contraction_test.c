/* Contractions and convolutions, by tiles and without. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

/* ---- contractions ---------------------------------------------------------------------------- */

enum { PANEL = 16, WIDE_PANEL = 64 };

static kt_value in_panels(suite *s, kt_dtype dtype, int64_t rows, int64_t depth, int64_t columns,
                          int64_t panel) {
    kt_value x = PARAM(s, dtype, rows, depth);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .panel = panel, .columns = columns};
    return kt_build_dot_general(&s->b, x, PARAM(s, dtype, (columns + panel - 1) / panel, depth, panel),
                                &attrs);
}

static kt_value dense(suite *s, kt_dtype dtype, int64_t rows, int64_t depth, int64_t columns, bool packed) {
    if (packed) return in_panels(s, dtype, rows, depth, columns, PANEL);
    kt_value x = PARAM(s, dtype, rows, depth);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    return kt_build_dot_general(&s->b, x, PARAM(s, dtype, depth, columns), &attrs);
}

/* Of rows of samples, which fall into two units. */
static kt_value samples(suite *s, int64_t rows) {
    kt_value x = PARAM(s, KT_F32, N, rows, 12);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {2}}, .panel = PANEL, .columns = 40};
    return kt_build_dot_general(&s->b, x, PARAM(s, KT_F32, 3, 12, PANEL), &attrs);
}

static kt_value gelu(suite *s, kt_value x) {
    kt_value e = kt_build_erf(&s->b, kt_build_mul(&s->b, x, kt_build_like(&s->b, x, 0.70710678)));
    e = kt_build_mul(&s->b, kt_build_add(&s->b, e, kt_build_like(&s->b, e, 1)), kt_build_like(&s->b, e, 0.5));
    kt_value t = kt_build_tanh(&s->b, x); /* heavy enough for a loop of its own */
    return kt_build_add(&s->b, kt_build_mul(&s->b, x, e), t);
}

static const int64_t batches[][2] = {{1, 1},  {2, 2},  {3, 3},  {5, 1},  {6, 2},  {7, 5},
                                     {12, 1}, {13, 1}, {16, 2}, {17, 3}, {33, 1}, {130, 1}};

static void test_dense(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},   {2, 3},   {3, 5},   {5, 6},   {7, 12}, {17, 13},
                                       {12, 17}, {16, 33}, {33, 64}, {10, 24}, {64, 40}};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(&s, "packed");
        end(&s, relu(&s, add_bias(&s, dense(&s, KT_F32, N, sizes[i][0], sizes[i][1], true))));
        begin(&s, "plain");
        end(&s, dense(&s, KT_F32, N, sizes[i][0], sizes[i][1], false));
    }
    begin(&s, "gelu");
    end(&s, gelu(&s, add_bias(&s, dense(&s, KT_F32, N, 64, 70, true))));
    begin(&s, "kept"); /* sums wait in the second result, which is the first of their type */
    kt_value kept = add_bias(&s, dense(&s, KT_F32, N, 64, 70, true));
    kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 0, kt_build_gt(&s.b, kept, kt_build_like(&s.b, kept, 0)));
    kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 1, gelu(&s, kept));
    end(&s, kept);
    begin(&s, "swish"); /* heavy enough where it would be repeated */
    kt_value sum = add_bias(&s, dense(&s, KT_F32, N, 33, 37, true));
    end(&s, kt_build_mul(&s.b, sum, kt_build_logistic(&s.b, sum)));
    begin(&s, "to_bool");
    kt_value x = dense(&s, KT_F32, N, 6, 20, true);
    end(&s, kt_build_gt(&s.b, x, kt_build_like(&s.b, x, 0)));
    begin(&s, "wide"); /* several tiles to a panel, of which few rows take some at once */
    end(&s, add_bias(&s, in_panels(&s, KT_F32, N, 17, 150, WIDE_PANEL)));
    begin(&s, "samples");
    end(&s, add_bias(&s, samples(&s, 64)));
    begin(&s, "odd_samples");
    end(&s, gelu(&s, samples(&s, 65)));
    begin(&s, "long"); /* so that blocks have a panel each */
    end(&s, in_panels(&s, KT_F32, N, 1600, 170, WIDE_PANEL));
    begin(&s, "f64");
    end(&s, add_bias(&s, dense(&s, KT_F64, N, 17, 21, true)));
    begin(&s, "f16");
    end(&s, add_bias(&s, dense(&s, KT_F16, N, 5, 21, true)));
    begin(&s, "i8");
    end(&s, dense(&s, KT_I8, N, 5, 21, true));
    begin(&s, "depth"); /* both symbolic */
    end(&s, dense(&s, KT_F32, N, T, 21, false));
    begin(&s, "columns");
    end(&s, dense(&s, KT_F32, N, 5, T, false));
    run_suite(&s, NULL, batches, 12);
    compile_suite(&s, "x86-64-v4");
    end_suite(&s);
}

/* Lanes run along the depth. */
static void test_single_columns(void **state) {
    (void)state;
    static const int64_t depths[] = {1, 2, 3, 7, 8, 9, 16, 17, 40, 64, 100};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        begin(&s, "column");
        end(&s, kt_build_logistic(&s.b, add_bias(&s, dense(&s, KT_F32, N, depths[i], 1, false))));
    }
    begin(&s, "units");
    end(&s, dense(&s, KT_F32, N, 5000, 1, false));
    begin(&s, "fixed");
    end(&s, gelu(&s, dense(&s, KT_F32, 21, 30, 1, false)));
    begin(&s, "depth");
    end(&s, dense(&s, KT_F32, N, T, 1, false));
    begin(&s, "f64");
    end(&s, add_bias(&s, dense(&s, KT_F64, N, 21, 1, false)));
    begin(&s, "f16");
    end(&s, add_bias(&s, dense(&s, KT_F16, N, 21, 1, false)));
    begin(&s, "i32");
    end(&s, dense(&s, KT_I32, N, 21, 1, false));
    begin(&s, "to_bool");
    kt_value z = dense(&s, KT_F32, N, 21, 1, false);
    end(&s, kt_build_gt(&s.b, z, kt_build_like(&s.b, z, 0)));
    begin(&s, "rows"); /* of two axes, and what is added varies along both */
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {2}}, .rhs_contract = {1, {0}}};
    z = kt_build_dot_general(&s.b, PARAM(&s, KT_F32, N, T, 20), PARAM(&s, KT_F32, 20, 1), &attrs);
    z = kt_build_add(&s.b, z, BROADCAST(&s, PARAM(&s, KT_F32, T), SIZES(1), N, T, 1));
    end(&s, kt_build_add(&s.b, z, BROADCAST(&s, PARAM(&s, KT_F32, N), SIZES(0), N, T, 1)));
    attrs = (kt_attrs_dot_general){
        .lhs_batch = {1, {0}}, .rhs_batch = {1, {0}}, .lhs_contract = {1, {2}}, .rhs_contract = {1, {1}}};
    begin(&s, "matrices");
    z = kt_build_dot_general(&s.b, PARAM(&s, KT_F32, N, 19, 20), PARAM(&s, KT_F32, N, 20, 1), &attrs);
    end(&s, relu(&s, z));
    begin(&s, "transposed");
    z = kt_build_dot_general(&s.b, PARAM(&s, KT_F32, N, T, 20), PARAM(&s, KT_F32, N, 20, 1), &attrs);
    end(&s, kt_build_transpose(&s.b, relu(&s, z), SIZES(1, 0, 2)));
    run_suite(&s, NULL, batches, 12);
    run_suite(&s, "x86-64", batches + 10, 1);
    compile_suite(&s, "x86-64-v4");
    end_suite(&s);
}

static void test_contractions(void **state) {
    (void)state;
    suite s = begin_suite();
    for (int64_t rows = 1; rows <= 13; rows += 3) {
        begin(&s, "fixed");
        end(&s, add_bias(&s, dense(&s, KT_F32, rows, 7, 40, true)));
    }
    begin(&s, "blocks");
    end(&s, dense(&s, KT_F32, 110, 130, 530, true));
    begin(&s, "scores");
    kt_attrs_dot_general attrs = {.lhs_batch = {2, {0, 1}},
                                  .rhs_batch = {2, {0, 1}},
                                  .lhs_contract = {1, {3}},
                                  .rhs_contract = {1, {2}}};
    kt_value x = PARAM(&s, KT_F32, N, 2, T, 8), y = PARAM(&s, KT_F32, N, 2, 8, T);
    kt_value z = kt_build_dot_general(&s.b, x, y, &attrs);
    end(&s, kt_build_mul(&s.b, z, kt_build_like(&s.b, z, 0.125)));
    begin(&s, "values");
    x = PARAM(&s, KT_F32, N, 2, T, T), y = PARAM(&s, KT_F32, N, 2, T, 8);
    end(&s, kt_build_dot_general(&s.b, x, y, &attrs));
    begin(&s, "heads"); /* all read and written in the order [batch, time, head, …] */
    x = kt_build_transpose(&s.b, PARAM(&s, KT_F32, N, T, 3, 8), SIZES(0, 2, 1, 3));
    y = kt_build_transpose(&s.b, PARAM(&s, KT_F32, N, 8, 3, 21), SIZES(0, 2, 1, 3));
    z = kt_build_dot_general(&s.b, x, y, &attrs);
    end(&s, kt_build_transpose(&s.b, relu(&s, z), SIZES(0, 2, 1, 3)));
    begin(&s, "heads_gelu"); /* the epilogue has a loop of its own */
    x = PARAM(&s, KT_F32, N, 3, T, 8);
    y = kt_build_transpose(&s.b, PARAM(&s, KT_F32, 8, N, 3, 21), SIZES(1, 2, 0, 3));
    z = kt_build_dot_general(&s.b, x, y, &attrs);
    end(&s, kt_build_transpose(&s.b, gelu(&s, z), SIZES(2, 0, 1, 3)));
    begin(&s, "turned"); /* rows are adjacent, depth is not; columns are not: no tiles */
    attrs = (kt_attrs_dot_general){.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    x = kt_build_transpose(&s.b, PARAM(&s, KT_F32, 7, N), SIZES(1, 0));
    z = kt_build_dot_general(&s.b, x, PARAM(&s, KT_F32, 7, 19), &attrs);
    end(&s, kt_build_transpose(&s.b, z, SIZES(1, 0)));
    begin(&s, "transposed");
    attrs = (kt_attrs_dot_general){.lhs_contract = {1, {0}}, .rhs_contract = {1, {1}}};
    x = PARAM(&s, KT_F32, 7, N), y = PARAM(&s, KT_F32, 19, 7);
    end(&s, relu(&s, kt_build_dot_general(&s.b, x, y, &attrs)));
    begin(&s, "vector");
    attrs = (kt_attrs_dot_general){.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    end(&s, kt_build_dot_general(&s.b, PARAM(&s, KT_F32, N, 9), PARAM(&s, KT_F32, 9), &attrs));
    begin(&s, "inner");
    attrs = (kt_attrs_dot_general){.lhs_contract = {1, {0}}, .rhs_contract = {1, {0}}};
    end(&s, kt_build_dot_general(&s.b, PARAM(&s, KT_F32, T), PARAM(&s, KT_F32, T), &attrs));
    begin(&s, "outer");
    attrs = (kt_attrs_dot_general){0};
    end(&s, kt_build_dot_general(&s.b, PARAM(&s, KT_F32, N, 2), PARAM(&s, KT_F32, T, 3), &attrs));
    begin(&s, "many"); /* several row, depth and column axes */
    attrs = (kt_attrs_dot_general){.lhs_contract = {2, {2, 3}}, .rhs_contract = {2, {0, 1}}};
    x = PARAM(&s, KT_F32, N, T, 2, 3), y = PARAM(&s, KT_F32, 2, 3, 4, 5);
    z = kt_build_dot_general(&s.b, x, y, &attrs);
    end(&s, kt_build_add(&s.b, z, BROADCAST(&s, PARAM(&s, KT_F32, T, 5), SIZES(1, 3), N, T, 4, 5)));
    begin(&s, "packed_generic"); /* the operand is computed */
    attrs = (kt_attrs_dot_general){.lhs_contract = {1, {1}}, .panel = PANEL, .columns = 21};
    x = relu(&s, PARAM(&s, KT_F32, N, 5));
    end(&s, kt_build_dot_general(&s.b, x, PARAM(&s, KT_F32, 2, 5, PANEL), &attrs));
    finish(&s);
}

/* ---- convolutions ---------------------------------------------------------------------------- */

typedef struct conv_case {
    const int64_t *x, *window; /* [batch, space…, channels]; extents */
    int64_t features, groups;
    const int64_t *strides, *dilation, *padding, *input_dilation; /* NULL: 1, or 0 */
    bool packed;
} conv_case;

static void add_conv(suite *s, const conv_case *c, int spatial) {
    begin(s, "conv");
    kt_attrs_conv attrs = {.groups = c->groups};
    int64_t kernel[KT_MAX_RANK], channels = c->x[spatial + 1] / c->groups, depth = channels;
    attrs.strides.count = attrs.dilation.count = attrs.input_dilation.count = (uint32_t)spatial;
    attrs.low.count = attrs.high.count = (uint32_t)spatial;
    for (int i = 0; i < spatial; i++) {
        attrs.strides.at[i] = c->strides ? c->strides[i] : 1;
        attrs.dilation.at[i] = c->dilation ? c->dilation[i] : 1;
        attrs.input_dilation.at[i] = c->input_dilation ? c->input_dilation[i] : 1;
        attrs.low.at[i] = dim_of(s, c->padding ? c->padding[2 * i] : 0);
        attrs.high.at[i] = dim_of(s, c->padding ? c->padding[2 * i + 1] : 0);
        kernel[i] = c->window[i];
        depth *= c->window[i];
    }
    kt_value x = param_of(s, KT_F32, spatial + 2, c->x), w;
    if (c->packed) {
        attrs.panel = PANEL;
        attrs.columns = c->features;
        attrs.window.count = (uint32_t)spatial;
        for (int i = 0; i < spatial; i++) attrs.window.at[i] = c->window[i];
        int64_t panels = c->groups * ((c->features / c->groups + PANEL - 1) / PANEL);
        w = PARAM(s, KT_F32, panels, depth, PANEL);
    } else {
        kernel[spatial] = channels;
        kernel[spatial + 1] = c->features;
        w = param_of(s, KT_F32, spatial + 2, kernel);
    }
    end(s, relu(s, add_bias(s, kt_build_conv(&s->b, x, w, &attrs))));
}

static void test_conv(void **state) {
    (void)state;
    const conv_case cases[] = {
        {SIZES(N, 8, 9, 3), SIZES(3, 3), 20, 1},
        {SIZES(N, 8, 9, 3), SIZES(3, 3), 20, 1, .strides = SIZES(2, 2)},
        {SIZES(N, 8, 15, 4), SIZES(2, 3), 33, 1, .strides = SIZES(1, 2), .dilation = SIZES(2, 3)},
        {SIZES(N, 6, 5, 7), SIZES(1, 1), 18, 1},
        {SIZES(N, 6, 5, 7), SIZES(1, 1), 18, 1, .strides = SIZES(2, 2)},
        {SIZES(2, 6, T, 1), SIZES(2, 1), 8, 1},
        {SIZES(N, 6, 30, 8), SIZES(2, 3), 24, 2},
        {SIZES(N, 6, 7, 12), SIZES(2, 3), 36, 3, .dilation = SIZES(1, 2)},
        {SIZES(N, 7, 14, 5), SIZES(1, 1), 18, 1}, /* rows in blocks of one height */
        {SIZES(N, 7, 14, 6), SIZES(1, 1), 24, 1}, /* half a vector left, of which another k makes use */
        {SIZES(N, 8, 9, 2), SIZES(3, 3), 20, 1},
    };
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conv_case c = cases[i];
        add_conv(&s, &c, 2);
        c.packed = true;
        add_conv(&s, &c, 2);
    }
    const conv_case padded[] = {
        {SIZES(N, 8, 9, 3), SIZES(3, 3), 20, 1, .padding = SIZES(1, 1, 0, 2)},
        {SIZES(N, 5, 6, 3), SIZES(3, 3), 9, 1, .padding = SIZES(2, 1, 2, 2), .input_dilation = SIZES(2, 2)},
        {SIZES(N, 5, 6, 4), SIZES(3, 2), 9, 1, .strides = SIZES(2, 1), .padding = SIZES(4, 3, 1, 2),
         .dilation = SIZES(2, 1), .input_dilation = SIZES(3, 2)},
        {SIZES(N, 8, 9, 33), SIZES(3, 3), 33, 33, .padding = SIZES(1, 1, 1, 1)},
        {SIZES(N, 8, 9, 10), SIZES(3, 3), 20, 10, .strides = SIZES(2, 2), .padding = SIZES(1, 1, 1, 1)},
        {SIZES(N, 8, 9, 16), SIZES(3, 3), 16, 16, .packed = true},
        {SIZES(N, 8, 9, 6), SIZES(3, 2), 8, 2, .padding = SIZES(1, 1, 1, 1), .packed = true},
    };
    for (int i = 0; i < 7; i++) add_conv(&s, &padded[i], 2);
    conv_case line = {SIZES(N, 19, 5), SIZES(3), 17, 1, .packed = true};
    add_conv(&s, &line, 1);
    line.padding = SIZES(2, 0);
    add_conv(&s, &line, 1);
    const conv_case long_line = {SIZES(N, 122, 40), SIZES(3), 40, 1, .packed = true}; /* several units */
    add_conv(&s, &long_line, 1);
    conv_case volume = {SIZES(N, 4, 5, 6, 2),      SIZES(2, 3, 2), 17, 1,
                        .strides = SIZES(1, 2, 1), .packed = true};
    add_conv(&s, &volume, 3);
    finish(&s);
}

/* Along one axis an image is one line, which threads share at batch 1, by features or by places, where there
 * is work enough. */
static void test_units_of_a_line(void **state) {
    (void)state;
    suite s = begin_suite();
    const conv_case cases[] = {
        {SIZES(1, 34, 64), SIZES(3), 128, 1, .packed = true},
        {SIZES(1, 194, 64), SIZES(3), 128, 1, .packed = true},
        {SIZES(1, 10, 64), SIZES(3), 128, 1, .packed = true},
        {SIZES(1, 34, 64), SIZES(3), PANEL, 1, .packed = true},
    };
    static const bool shared[] = {true, true, false, false};
    kt_target target;
    assert_int_equal(
        kt_target_describe("x86_64-unknown-linux-gnu", "x86-64-v4", NULL, s.arena, &target, &s.diag), KT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kt_loops loops;
        int64_t units;
        add_conv(&s, &cases[i], 1);
        assert_int_equal(kt_lower_kernel(s.graph, s.kernels.at[i], &target, s.arena, &loops, &s.diag), KT_OK);
        assert_true(kt_dim_is_const(s.graph->dims, loops.units, &units));
        assert_int_equal(units > 1, shared[i]);
    }
    run_suite(&s, NULL, batches, 1);
    end_suite(&s);
}

/* Depthwise: rows of one tile and of several, even and not, that reach outside at either end, at both, and
 * far. */
static void test_depthwise(void **state) {
    (void)state;
    const conv_case cases[] = {
        {SIZES(N, 5, 16, 24), SIZES(3, 3), 24, 24, .padding = SIZES(1, 1, 1, 1)},
        {SIZES(N, 6, 15, 16), SIZES(3, 3), 16, 16, .strides = SIZES(2, 2), .padding = SIZES(0, 1, 0, 1)},
        {SIZES(N, 4, 29, 9), SIZES(2, 5), 9, 9, .padding = SIZES(1, 0, 4, 0)},
        {SIZES(N, 4, 29, 9), SIZES(2, 5), 9, 9, .padding = SIZES(0, 1, 0, 4)},
        {SIZES(N, 7, 7, 40), SIZES(5, 5), 40, 40, .padding = SIZES(2, 2, 2, 2)},
        {SIZES(N, 3, 40, 8), SIZES(3, 3), 8, 8, .dilation = SIZES(1, 4), .padding = SIZES(1, 1, 4, 4)},
        {SIZES(N, 3, 40, 8), SIZES(3, 3), 8, 8, .dilation = SIZES(1, 17),
         .padding = SIZES(1, 1, 17, 17)},                                     /* too far for tiles */
        {SIZES(N, 2, 2, 8), SIZES(3, 3), 8, 8, .padding = SIZES(3, 3, 3, 3)}, /* places that see nothing */
        {SIZES(N, 3, 1, 17), SIZES(1, 1), 17, 17},
        {SIZES(N, 1, 40, 8), SIZES(1, 20), 8, 8,
         .padding = SIZES(0, 0, 10, 9)}, /* more products than are expanded */
        {SIZES(T, 3, 12, 8), SIZES(3, 3), 8, 8, .strides = SIZES(1, 3), .padding = SIZES(1, 1, 1, 1)},
        {SIZES(2, T, 12, 8), SIZES(3, 3), 8, 8, .padding = SIZES(1, 1, 1, 1)},
        {SIZES(2, 3, T, 8), SIZES(3, 3), 8, 8, .padding = SIZES(1, 1, 1, 1)},
        /* an image of several units, by blocks of channels */
        {SIZES(N, 9, 70, 96), SIZES(3, 3), 96, 96, .padding = SIZES(1, 1, 1, 1)},
        {SIZES(N, 18, 70, 96), SIZES(3, 3), 96, 96, .strides = SIZES(2, 1), .padding = SIZES(0, 1, 0, 1)},
        /* tiles of two rows */
        {SIZES(N, 9, 56, 64), SIZES(3, 3), 64, 64, .padding = SIZES(1, 1, 1, 1)},
        {SIZES(N, 9, 57, 64), SIZES(2, 3), 64, 64, .padding = SIZES(0, 2, 1, 0)},
        {SIZES(N, 10, 58, 64), SIZES(3, 3), 64, 64},
        /* strips of two tiles, and one that is left; of single rows */
        {SIZES(N, 6, 35, 128), SIZES(3, 3), 128, 128, .padding = SIZES(1, 1, 1, 1)},
        {SIZES(N, 5, 70, 128), SIZES(3, 3), 128, 128, .strides = SIZES(1, 2), .padding = SIZES(1, 1, 1, 1)},
    };
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) add_conv(&s, &cases[i], 2);
    add_conv(&s,
             &(conv_case){SIZES(N, 31, 12), SIZES(4), 12, 12, .padding = SIZES(6, 0), .dilation = SIZES(2)},
             1);
    add_conv(&s,
             &(conv_case){SIZES(N, 4, 5, 6, 20), SIZES(2, 3, 3), 20, 20, .padding = SIZES(1, 1, 0, 1, 1, 1)},
             3);
    finish(&s);
}

/* Groups of few features: whole vectors of them and not, by channels that lie in one vector and in several.
 */
static void test_grouped(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {
        /* groups, channels, features of a group */
        {24, 1, 2}, {11, 1, 4}, {5, 1, 3},  {16, 2, 2}, {9, 2, 2}, {16, 3, 3},  {7, 3, 3},
        {8, 4, 4},  {5, 4, 4},  {32, 4, 4}, {6, 5, 5},  {5, 8, 8}, {3, 16, 16}, {8, 6, 1},
        {7, 20, 4}, {6, 9, 2},  {2, 40, 3}, {3, 2, 7},  {2, 1, 1}, {2, 3, 17},  {40, 1, 1}};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t groups = sizes[i][0], channels = groups * sizes[i][1], features = groups * sizes[i][2];
        const conv_case shapes[] = {
            {SIZES(N, 5, 9, channels), SIZES(3, 3), features, groups},
            {SIZES(N, 6, 15, channels), SIZES(3, 3), features, groups, .strides = SIZES(2, 2)},
            {SIZES(N, 3, 28, channels), SIZES(1, 1), features, groups},
            {SIZES(N, 5, 16, channels), SIZES(2, 5), features, groups, .strides = SIZES(1, 3),
             .dilation = SIZES(3, 2)},
            {SIZES(N, 4, 5, channels), SIZES(3, 3), features, groups, .padding = SIZES(1, 1, 0, 2)},
            {SIZES(2, 3, T, channels), SIZES(2, 1), features, groups},
        };
        add_conv(&s, &shapes[0], 2);
        add_conv(&s, &shapes[1 + i % 5], 2);
    }
    add_conv(&s, &(conv_case){SIZES(N, 19, 12), SIZES(3), 18, 6}, 1);
    add_conv(&s, &(conv_case){SIZES(N, 4, 5, 6, 20), SIZES(2, 3, 2), 20, 5, .strides = SIZES(1, 2, 1)}, 3);
    add_conv(&s, &(conv_case){SIZES(N, 40, 8), SIZES(33), 8, 2}, 1); /* more places than are expanded */
    run_suite(&s, NULL, (const int64_t[][2]){{1, 1}, {7, 11}, {2, 40}}, 3);
    run_suite(&s, "x86-64", (const int64_t[][2]){{1, 2}}, 1);
    compile_suite(&s, "x86-64-v4");
    end_suite(&s);
}

static void test_grouped_dtypes(void **state) {
    (void)state;
    static const kt_dtype dtypes[] = {KT_F64, KT_F16, KT_BF16, KT_I32, KT_I8};
    suite s = begin_suite();
    kt_dim none = dim_of(&s, 0);
    kt_attrs_conv attrs = {.strides = {2, {1, 1}},
                           .low = {2, {none, none}},
                           .high = {2, {none, none}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .groups = 6};
    for (int i = 0; i < 5; i++) {
        begin(&s, "dtype");
        kt_value x = PARAM(&s, dtypes[i], N, 4, 9, 24);
        end(&s, kt_build_conv(&s.b, x, PARAM(&s, dtypes[i], 3, 2, 4, 24), &attrs));
    }
    begin(&s, "bytes");
    kt_value x = PARAM(&s, KT_U8, N, 4, 9, 24);
    end(&s, kt_build_conv(&s.b, x, PARAM(&s, KT_I8, 3, 2, 4, 24), &attrs));
    begin(&s, "gelu"); /* a second operand, and a kernel that ends in a transpose */
    x = kt_build_conv(&s.b, PARAM(&s, KT_F32, N, 4, 9, 18), PARAM(&s, KT_F32, 3, 2, 3, 18), &attrs);
    x = gelu(&s, kt_build_add(&s.b, add_bias(&s, x), PARAM(&s, KT_F32, N, 2, 8, 18)));
    end(&s, kt_build_transpose(&s.b, x, SIZES(1, 0, 2, 3)));
    run_suite(&s, NULL, (const int64_t[][2]){{1, 1}, {7, 1}}, 2);
    end_suite(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),          cmocka_unit_test(test_single_columns),
        cmocka_unit_test(test_contractions),   cmocka_unit_test(test_conv),
        cmocka_unit_test(test_depthwise),      cmocka_unit_test(test_grouped),
        cmocka_unit_test(test_grouped_dtypes), cmocka_unit_test(test_units_of_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
