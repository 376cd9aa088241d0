/* Kernels under choices that are not the cost model's: whatever lies within a choice's range is right. Each
 * round draws all of them at random, for all kernels, from the ranges that the cost model's own choices say.
 */
#include "kernel_suite.h"

#include "kt_cmocka.h"

#ifdef KT_SANITIZE /* checks in the kernels take their time */
enum { ROUNDS = 1, MACHINES = 1 };
#else
enum { ROUNDS = 3, MACHINES = 3 };
#endif
static const char *const cpus[] = {NULL, "x86-64", "x86-64-v3"};

static uint64_t state;
static int64_t draw(int64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)below);
}

/* An end of the range, a small number, or anything. */
static int64_t draw_value(const kt_decision *d) {
    for (int i = 0; i < 1000; i++) {
        int64_t span = d->most - d->least + 1, kind = draw(5);
        int64_t value = kind == 0   ? d->least
                        : kind == 1 ? d->most
                        : kind == 4 ? d->least + draw(span)
                                    : d->least + draw(span < 16 ? span : 16);
        value -= value % d->step;
        if (kt_decision_allows(d, value)) return value;
    }
    return d->value;
}

/* ---- kernels --------------------------------------------------------------------------------- */
/* panel 0: the second operand is not packed */
static kt_value dense(suite *s, kt_dtype dtype, int64_t rows, int64_t depth, int64_t columns, int64_t panel) {
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}};
    kt_value x = PARAM(s, dtype, rows, depth), y;
    if (panel) {
        attrs.panel = panel;
        attrs.columns = columns;
        y = PARAM(s, dtype, (columns + panel - 1) / panel, depth, panel);
    } else {
        attrs.rhs_contract = (kt_ints){1, {0}};
        y = PARAM(s, dtype, depth, columns);
    }
    return kt_build_dot_general(&s->b, x, y, &attrs);
}

static void add_products(suite *s) {
    begin(s, "packed");
    end(s, relu(s, add_bias(s, dense(s, KT_F32, N, 37, 150, 32))));
    begin(s, "wide_panel");
    end(s, relu(s, dense(s, KT_F32, 41, 29, 150, 64)));
    begin(s, "odd_panel");
    end(s, dense(s, KT_F32, N, 30, 100, 48));
    begin(s, "plain");
    end(s, add_bias(s, dense(s, KT_F32, N, 19, 75, 0)));
    begin(s, "f64");
    end(s, dense(s, KT_F64, N, 19, 70, 32));
    begin(s, "swish");
    kt_value sum = add_bias(s, dense(s, KT_F32, N, 33, 37, 32));
    end(s, kt_build_mul(&s->b, sum, kt_build_logistic(&s->b, sum)));
    begin(s, "bytes");
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .panel = 32, .columns = 40};
    kt_value x = PARAM(s, KT_U8, N, 36);
    end(s, kt_build_dot_general(&s->b, x, PARAM(s, KT_I8, 2, 9, 128), &attrs));
    begin(s, "deep");
    attrs = (kt_attrs_dot_general){.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    x = kt_build_transpose(&s->b, PARAM(s, KT_F32, 600, 50), SIZES(1, 0));
    end(s, kt_build_dot_general(&s->b, x, PARAM(s, KT_F32, 600, 70), &attrs));
    begin(s, "deep_unknown");
    x = kt_build_transpose(&s->b, PARAM(s, KT_F32, N, 33), SIZES(1, 0));
    end(s, kt_build_dot_general(&s->b, x, PARAM(s, KT_F32, N, 64), &attrs));
}

/* 3 x 3; panel 0: the kernel is not packed */
static void add_conv(suite *s, const char *name, int64_t channels, int64_t features, int64_t groups,
                     int64_t panel, int64_t padding) {
    begin(s, name);
    kt_dim pad = dim_of(s, padding);
    kt_attrs_conv attrs = {.strides = {2, {1, 1}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .low = {2, {pad, pad}},
                           .high = {2, {pad, pad}},
                           .groups = groups};
    kt_value x = PARAM(s, KT_F32, N, 9, 17, channels), w;
    if (panel) {
        attrs.panel = panel;
        attrs.columns = features;
        attrs.window = (kt_ints){2, {3, 3}};
        w = PARAM(s, KT_F32, (features + panel - 1) / panel, 9 * channels, panel);
    } else {
        w = PARAM(s, KT_F32, 3, 3, channels / groups, features);
    }
    end(s, relu(s, add_bias(s, kt_build_conv(&s->b, x, w, &attrs))));
}

static void add_separable(suite *s) {
    begin(s, "separable");
    kt_dim one = dim_of(s, 1);
    const kt_attrs_conv window = {.strides = {2, {1, 1}},
                                  .dilation = {2, {1, 1}},
                                  .input_dilation = {2, {1, 1}},
                                  .low = {2, {one, one}},
                                  .high = {2, {one, one}},
                                  .groups = 24};
    const kt_attrs_dot_general expand = {.lhs_contract = {1, {3}}, .rhs_contract = {1, {0}}},
                               project = {.lhs_contract = {1, {3}}, .panel = 16, .columns = 5};
    kt_value x = PARAM(s, KT_F32, N, 12, 9, 6);
    x = relu(s, add_bias(s, kt_build_dot_general(&s->b, x, PARAM(s, KT_F32, 6, 24), &expand)));
    x = relu(s, kt_build_conv(&s->b, x, PARAM(s, KT_F32, 3, 3, 1, 24), &window));
    end(s, add_bias(s, kt_build_dot_general(&s->b, x, PARAM(s, KT_F32, 1, 24, 16), &project)));
}

static void add_winograd(suite *s, int64_t tile, int64_t channels, int64_t features, int64_t panel) {
    enum { HIGH = 9, WIDE = 13 };
    int64_t points = (tile + 2) * (tile + 2), panels = (features + panel - 1) / panel;
    kt_attrs_winograd attrs = {.tile = tile, .columns = features};
    attrs.space.count = attrs.low.count = 2;
    attrs.space.at[0] = dim_of(s, HIGH);
    attrs.space.at[1] = dim_of(s, WIDE);
    attrs.low.at[0] = attrs.low.at[1] = dim_of(s, 1);
    begin(s, "winograd");
    kt_value x = PARAM(s, KT_F32, N, HIGH, WIDE, channels);
    x = kt_build_winograd(&s->b, x, PARAM(s, KT_F32, panels, points, channels, panel), &attrs);
    end(s, relu(s, add_bias(s, x)));
}

static void add_convolutions(suite *s) {
    add_conv(s, "conv", 5, 70, 1, 32, 0);
    add_conv(s, "wide_panel", 3, 70, 1, 64, 0);
    add_conv(s, "unpacked", 4, 40, 1, 0, 0);
    add_conv(s, "depthwise", 24, 24, 24, 0, 1);
    add_conv(s, "grouped", 24, 24, 6, 0, 0);
    add_separable(s);
    add_winograd(s, 2, 12, 70, 32);
    add_winograd(s, 4, 9, 100, 64);
    add_winograd(s, 4, 40, 130, 32);
    begin(s, "by_kernel");
    kt_dim none = dim_of(s, 0);
    const kt_attrs_conv_by_kernel attrs = {.strides = {2, {1, 1}},
                                           .low = {2, {none, none}},
                                           .high = {2, {none, none}},
                                           .dilation = {2, {1, 1}},
                                           .groups = 1,
                                           .window = {2, {3, 3}}};
    kt_value x = PARAM(s, KT_F32, N, 9, 17, 20);
    end(s, kt_build_conv_by_kernel(&s->b, x, PARAM(s, KT_F32, N, 7, 15, 40), &attrs));
}

/* ---- rounds ---------------------------------------------------------------------------------- */
/* One record a kernel, of values drawn from the ranges of what was chosen without. */
static uint32_t draw_records(suite *s, const char *cpu) {
    kt_target target;
    assert_int_equal(kt_target_describe("x86_64-unknown-linux-gnu", cpu ? cpu : "x86-64-v4", NULL, s->arena,
                                        &target, &s->diag),
                     KT_OK);
    kt_tuning plain = {.arena = s->arena};
    target.tuning = &plain;
    for (uint32_t i = 0; i < s->kernels.count; i++) {
        kt_loops loops;
        assert_int_equal(kt_lower_kernel(s->graph, s->kernels.at[i], &target, s->arena, &loops, &s->diag),
                         KT_OK);
    }
    for (uint32_t i = 0; i < plain.choices.count; i++) {
        const kt_choice *choice = &plain.choices.at[i];
        kt_tuned record = kt_tuned_none(s->tuning->machine, choice->key);
        for (int knob = 0; knob < KT_KNOB_COUNT; knob++)
            if (choice->decisions[knob].value != KT_UNDECIDED && draw(3))
                record.values[knob] = draw_value(&choice->decisions[knob]);
        kt_tuning_add(s->tuning, &record);
    }
    return plain.choices.count;
}

static void run_rounds(void (*add)(suite *)) {
    static const int64_t symbols[][2] = {{1, 1}, {3, 1}, {23, 1}};
    for (int machine = 0; machine < MACHINES; machine++) {
        for (int round = 0; round < ROUNDS; round++) {
            state = 1 + (uint64_t)machine * ROUNDS + (uint64_t)round;
            suite s = begin_suite();
            add(&s);
            s.tuning = KT_NEW(s.arena, kt_tuning);
            *s.tuning = (kt_tuning){.arena = s.arena, .machine = "test"};
            assert_int_equal(draw_records(&s, cpus[machine]), s.kernels.count);
            run_suite(&s, cpus[machine], symbols, 3);
            if (!round && !cpus[machine]) compile_suite(&s, "x86-64-v4");
            end_suite(&s);
        }
    }
}

static void test_products(void **unused) {
    (void)unused;
    run_rounds(add_products);
}

static void test_convolutions(void **unused) {
    (void)unused;
    run_rounds(add_convolutions);
}

/* ---- records --------------------------------------------------------------------------------- */
static kt_choice lower(suite *s, kt_target *target, kt_text *text) {
    kt_loops loops;
    s->tuning->choices.count = 0;
    assert_int_equal(kt_lower_kernel(s->graph, s->kernels.at[0], target, s->arena, &loops, &s->diag), KT_OK);
    kt_loops_print(&loops, text);
    assert_int_equal(s->tuning->choices.count, 1);
    return s->tuning->choices.at[0];
}

/* A record changes the code; one for another machine, or whose value does not do, does not. */
static void test_records(void **unused) {
    (void)unused;
    suite s = begin_suite();
    kt_target target;
    assert_int_equal(
        kt_target_describe("x86_64-unknown-linux-gnu", "x86-64-v4", NULL, s.arena, &target, &s.diag), KT_OK);
    s.tuning = target.tuning = KT_NEW(s.arena, kt_tuning);
    *s.tuning = (kt_tuning){.arena = s.arena, .machine = "here"};
    begin(&s, "product");
    end(&s, add_bias(&s, dense(&s, KT_F32, N, 37, 150, 32)));
    kt_text texts[4] = {{.arena = s.arena}, {.arena = s.arena}, {.arena = s.arena}, {.arena = s.arena}};
    kt_choice model = lower(&s, &target, &texts[0]);
    assert_null(model.record);
    assert_int_equal(model.decisions[KT_KNOB_rows].value, 12);

    kt_tuned record = kt_tuned_none("there", model.key);
    record.values[KT_KNOB_rows] = 5;
    kt_tuning_add(s.tuning, &record);
    assert_null(lower(&s, &target, &texts[1]).record);
    assert_string_equal(kt_text_string(&texts[0]), kt_text_string(&texts[1]));

    record.machine = "here";
    kt_tuning_add(s.tuning, &record);
    kt_choice tuned = lower(&s, &target, &texts[2]);
    assert_non_null(tuned.record);
    assert_int_equal(tuned.decisions[KT_KNOB_rows].value, 5);
    assert_int_equal(tuned.decisions[KT_KNOB_rows].model, 12);
    assert_false(tuned.unfit);
    assert_string_not_equal(kt_text_string(&texts[0]), kt_text_string(&texts[2]));

    record.values[KT_KNOB_rows] = 500;
    kt_tuning_add(s.tuning, &record);
    kt_choice unfit = lower(&s, &target, &texts[3]);
    assert_true(unfit.unfit);
    assert_string_equal(kt_text_string(&texts[0]), kt_text_string(&texts[3]));
    end_suite(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_records), cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_convolutions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
