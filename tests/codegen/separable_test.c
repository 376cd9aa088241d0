/* Depthwise convolutions between products of places: edges, tails of all kinds, and several units and blocks.
 */
#include "kernel_suite.h"

#include "kt_cmocka.h"

enum { PANEL = 16, WINDOW = 3 };

typedef struct block {
    int64_t height, width, depth, channels, columns; /* depth 0: there is no product in front */
    int64_t strides[2], low[2], high[2];
    bool plain; /* the products' operands are not packed */
    bool adds;  /* a parameter is added to the result */
} block;

static kt_value multiply(suite *s, const block *b, kt_value x, int64_t depth, int64_t columns) {
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {3}}};
    kt_value y;
    if (b->plain) {
        attrs.rhs_contract = (kt_ints){1, {0}};
        y = PARAM(s, KT_F32, depth, columns);
    } else {
        attrs.panel = PANEL;
        attrs.columns = columns;
        y = PARAM(s, KT_F32, (columns + PANEL - 1) / PANEL, depth, PANEL);
    }
    return kt_build_dot_general(&s->b, x, y, &attrs);
}

static kt_value convolve(suite *s, const block *b, kt_value x) {
    kt_attrs_conv attrs = {.strides = {2, {b->strides[0], b->strides[1]}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .low = {2, {dim_of(s, b->low[0]), dim_of(s, b->low[1])}},
                           .high = {2, {dim_of(s, b->high[0]), dim_of(s, b->high[1])}},
                           .groups = b->channels};
    return kt_build_conv(&s->b, x, PARAM(s, KT_F32, WINDOW, WINDOW, 1, b->channels), &attrs);
}

static void add_block(suite *s, const block *b) {
    begin(s, "separable");
    kt_value x = PARAM(s, KT_F32, N, b->height, b->width, b->depth ? b->depth : b->channels);
    if (b->depth) x = relu(s, add_bias(s, multiply(s, b, x, b->depth, b->channels)));
    x = convolve(s, b, x);
    x = kt_build_mul(&s->b, x, kt_build_logistic(&s->b, x));
    x = add_bias(s, multiply(s, b, x, b->channels, b->columns));
    if (b->adds) {
        kt_type type = *kt_build_type(&s->b, x);
        kt_value other = kt_builder_param(&s->b, KT_ROLE_PLAIN, NULL, s->b.function.params.count, &type);
        x = kt_build_add(&s->b, other, x);
    }
    end(s, x);
}

static const block blocks[] = {
    {12, 20, 5, 32, 8, {1, 1}, {1, 1}, {1, 1}, .adds = true},
    {12, 20, 0, 32, 8, {1, 1}, {1, 1}, {1, 1}, .adds = true},
    {12, 20, 8, 32, 24, {2, 2}, {0, 0}, {1, 1}, .plain = true},
    {13, 19, 8, 24, 17, {2, 2}, {1, 1}, {1, 1}},
    {13, 19, 0, 24, 17, {2, 2}, {1, 1}, {1, 1}, .plain = true},
    {7, 9, 3, 37, 5, {1, 1}, {1, 0}, {0, 1}},
    {7, 9, 3, 37, 5, {1, 2}, {0, 0}, {0, 0}, .adds = true},
    {9, 7, 4, 9, 40, {3, 3}, {0, 0}, {0, 0}}, /* windows that have no row in common */
    {3, 3, 2, 5, 3, {1, 1}, {0, 0}, {0, 0}},  /* a single place */
    {1, 4, 2, 5, 3, {1, 1}, {1, 1}, {1, 1}},
    /* several blocks to a unit, and units to an image, each of which makes rows that the one before it made
     */
    {60, 40, 3, 48, 4, {1, 1}, {1, 1}, {1, 1}, .adds = true},
    {61, 40, 3, 48, 4, {2, 2}, {1, 1}, {1, 1}},
    {120, 33, 2, 64, 3, {2, 1}, {0, 1}, {1, 1}},
    {60, 64, 0, 48, 4, {1, 1}, {1, 1}, {1, 1}},
    {4, 700, 0, 96, 4, {1, 1}, {1, 1}, {1, 1}}, /* not all rows fit into scratch memory */
};

static void test_blocks(void **state) {
    (void)state;
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) add_block(&s, &blocks[i]);
    finish(&s);
}

/* By tiles, through scratch memory, into which as many rows fit as may be tuned to; in two units at least
 * where it makes rows in front. */
static void test_units(void **state) {
    (void)state;
    suite s = begin_suite();
    kt_target target;
    assert_int_equal(
        kt_target_describe("x86_64-unknown-linux-gnu", "x86-64-v3", NULL, s.arena, &target, &s.diag), KT_OK);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        kt_loops loops;
        add_block(&s, &blocks[i]);
        assert_int_equal(kt_lower_kernel(s.graph, s.kernels.at[i], &target, s.arena, &loops, &s.diag), KT_OK);
        assert_string_equal(loops.choice.form, "depthwise between products");
        assert_true(loops.scratch_elements > 0);
        const kt_decision *high = &loops.choice.decisions[KT_KNOB_high];
        if (!blocks[i].depth)
            assert_true(loops.scratch_elements / high->value * high->most <=
                        KT_SCRATCH_BYTES / (int64_t)kt_dtype_bytes(KT_F32));
        const kt_dim units_of_two = kt_dim_floordiv(s.graph->dims, loops.units, dim_of(&s, N));
        int64_t units;
        assert_true(kt_dim_is_const(s.graph->dims, units_of_two, &units));
        if (blocks[i].height >= 60 && blocks[i].depth) assert_true(units >= 2);
    }
    end_suite(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks), cmocka_unit_test(test_units)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
