/* winograd: whole and cut tiles, few and many, of inputs with and without zeros around, with and without an
 * epilogue, on panels of several widths, of floats and of bytes. */
#include "ir/winograd.h"
#include "kernel_suite.h"

#include "kt_cmocka.h"

typedef struct winograd_case {
    int64_t tile, images, high, wide, channels, features, panel;
    int64_t low[2], behind[2]; /* zeros */
    int64_t line;
} winograd_case;

/* dtype: of the input; u8 makes products of bytes, by a kernel of any 16 bits: results are what is left
 * modulo 2^32, whether or not they come from a convolution. */
static kt_value build(suite *s, kt_dtype dtype, const winograd_case *c) {
    int64_t points = 1, panels = (c->features + c->panel - 1) / c->panel;
    int64_t pair = dtype == KT_U8 ? KT_WINOGRAD_PAIR : 1;
    kt_dtype kernel = dtype == KT_U8 ? KT_I16 : dtype;
    kt_attrs_winograd attrs = {.tile = c->tile, .line = c->line, .columns = c->features};
    attrs.space.count = attrs.low.count = 2;
    int64_t sizes[2] = {c->high, c->wide};
    for (int i = 0; i < 2; i++) {
        attrs.space.at[i] = dim_of(s, sizes[i]);
        attrs.low.at[i] = dim_of(s, c->low[i]);
        kt_winograd w = kt_winograd_make((int)c->tile, (int)c->line, i, dtype == KT_U8);
        sizes[i] = (sizes[i] + w.tile - 1) / w.tile * w.tile + w.window - 1 - c->low[i] - c->behind[i];
        points *= w.points;
    }
    kt_value x = PARAM(s, dtype, c->images, sizes[0], sizes[1], c->channels);
    return kt_build_winograd(&s->b, x, PARAM(s, kernel, panels, points, c->channels / pair, c->panel * pair),
                             &attrs);
}

static void test_winograd(void **state) {
    (void)state;
    static const winograd_case cases[] = {
        {2, N, 2, 2, 1, 1, 1, {0}, {0}},
        {4, N, 4, 4, 1, 1, 4, {0}, {0}},
        {2, N, 5, 7, 3, 9, 8, {1, 1}, {2, 2}},
        {4, N, 5, 7, 17, 35, 16, {0}, {0}},
        {4, 3, 8, 8, 16, 32, 32, {1, 1}, {1, 1}},
        {2, 3, 4, 6, 33, 16, 16, {1, 0}, {0, 2}},
        {4, N, 1, 9, 8, 40, 8, {3, 5}, {2, 8}}, /* of one pixel */
        {4, 2, 30, 33, 5, 12, 16, {1, 1}, {3, 4}},
        {4, N, 1, 21, 7, 20, 16, {0, 1}, {0, 3}, 2},
        {4, N, 5, 7, 17, 35, 16, {0}, {0}, 2},
        {2, 3, 6, 5, 9, 9, 8, {1, 0}, {1, 0}, 1},
        {4, 2, 11, 3, 33, 40, 32, {2, 0}, {1, 0}, 1},
    };
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&s, "winograd");
        end(&s, build(&s, KT_F32, &cases[i]));
        begin(&s, "epilogue");
        kt_value sum = build(&s, KT_F32, &cases[i]);
        kt_type type = *kt_build_type(&s.b, sum),
                bias = {.dtype = type.dtype, .rank = 1, .dims = {type.dims[3]}};
        kt_value b = kt_builder_param(&s.b, KT_ROLE_PLAIN, NULL, s.b.function.params.count, &bias);
        sum = kt_build_add(&s.b, sum, kt_build_broadcast(&s.b, b, 4, type.dims, SIZES(3)));
        kt_value rest = kt_builder_param(&s.b, KT_ROLE_PLAIN, NULL, s.b.function.params.count, &type);
        end(&s, relu(&s, kt_build_add(&s.b, sum, rest)));
    }
    static const winograd_case of_bytes[] = {{4, N, 4, 4, 2, 1, 4, {0}, {0}},
                                             {4, N, 5, 7, 18, 35, 16, {1, 1}, {4, 2}},
                                             {4, 3, 8, 8, 64, 32, 32, {1, 1}, {1, 1}},
                                             {4, 2, 13, 9, 112, 12, 16, {0, 2}, {3, 0}}};
    for (size_t i = 0; i < sizeof of_bytes / sizeof of_bytes[0]; i++) {
        begin(&s, "bytes");
        kt_value sums = build(&s, KT_U8, &of_bytes[i]);
        if (i % 2) sums = kt_build_cast(&s.b, relu(&s, kt_build_cast(&s.b, sums, KT_F32)), KT_U8);
        end(&s, sums);
    }
    begin(&s, "f64");
    end(&s, build(&s, KT_F64, &cases[3]));
    finish(&s);
}

/* Enough channels that scratch memory bounds the tiles of a unit. */
static void test_deep(void **state) {
    (void)state;
    static const winograd_case deep = {4, N, 9, 10, 300, 70, 16, {1, 1}, {4, 3}};
    suite s = begin_suite();
    begin(&s, "deep");
    end(&s, build(&s, KT_F32, &deep));
    run_suite(&s, NULL, (const int64_t[][2]){{1, 1}, {3, 1}}, 2);
    end_suite(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_winograd), cmocka_unit_test(test_deep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
