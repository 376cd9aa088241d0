/* Dimension expressions: random ones against their own tree, text round trips, identities. */
#include "ir/types.h"

#include "kt_cmocka.h"

enum { SYMBOLS = 4 };
static const char *const names[SYMBOLS] = {"batch", "height", "ids.1", "an odd \"name\""};

struct fixture {
    kt_arena *arena;
    kt_dim_pool *pool;
    uint64_t seed;
    int64_t symbols[8][SYMBOLS];
};

static int64_t draw(struct fixture *f, int64_t low, int64_t high) {
    f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((f->seed >> 33) % (uint64_t)(high - low + 1));
}

static void begin(struct fixture *f, uint64_t seed) {
    *f = (struct fixture){.arena = kt_arena_create(), .seed = seed};
    f->pool = kt_dim_pool_create(f->arena);
    for (int i = 0; i < SYMBOLS; i++) kt_dim_symbol(f->pool, names[i]);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < SYMBOLS; j++) f->symbols[i][j] = i == 0 ? 1 : draw(f, 1, 40);
    }
}

static int64_t floor_divide(int64_t a, int64_t b) {
    return b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* A random expression and its value for each of the symbol tuples. */
static kt_dim grow(struct fixture *f, int depth, int64_t values[8]) {
    int64_t kind = depth == 0 ? draw(f, 0, 1) : draw(f, 0, 9);
    if (kind == 0) {
        int64_t number = draw(f, -6, 12);
        for (int i = 0; i < 8; i++) values[i] = number;
        return kt_dim_const(f->pool, number);
    }
    if (kind == 1) {
        int64_t which = draw(f, 0, SYMBOLS - 1);
        for (int i = 0; i < 8; i++) values[i] = f->symbols[i][which];
        return kt_dim_symbol(f->pool, names[which]);
    }
    int64_t x[8], y[8];
    kt_dim a = grow(f, depth - 1, x), b = grow(f, depth - 1, y), result = 0;
    for (int i = 0; i < 8; i++) {
        int64_t quotient = floor_divide(x[i], y[i]);
        switch (kind) {
        case 2:
        case 3: values[i] = x[i] + y[i]; break;
        case 4: values[i] = x[i] - y[i]; break;
        case 5: values[i] = x[i] * y[i]; break;
        case 6: values[i] = quotient; break;
        case 7: values[i] = y[i] == 0 ? 0 : x[i] - quotient * y[i]; break;
        case 8: values[i] = x[i] > y[i] ? x[i] : y[i]; break;
        default: values[i] = x[i] < y[i] ? x[i] : y[i]; break;
        }
    }
    kt_dim (*const make[])(kt_dim_pool *, kt_dim, kt_dim) = {
        kt_dim_add, kt_dim_add, kt_dim_sub, kt_dim_mul, kt_dim_floordiv, kt_dim_mod, kt_dim_max, kt_dim_min};
    result = make[kind - 2](f->pool, a, b);
    return result;
}

static const char *print(struct fixture *f, kt_dim dim) {
    kt_text text = {.arena = f->arena};
    kt_dim_print(f->pool, dim, &text);
    return kt_text_string(&text);
}

static kt_dim parse(struct fixture *f, const char *text) {
    kt_dim dim = 0;
    const char *cursor = text;
    if (!kt_dim_parse(f->pool, &cursor, &dim) || *cursor)
        fail_msg("'%s' does not parse, at '%s'", text, cursor);
    return dim;
}

static void random_expressions(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct fixture f;
        begin(&f, seed);
        int64_t values[8];
        kt_dim dim = grow(&f, 1 + (int)(seed % 5), values);
        int64_t divisor = kt_dim_divisor(f.pool, dim);
        for (int i = 0; i < 8; i++) {
            int64_t found = kt_dim_eval(f.pool, dim, f.symbols[i]);
            if (found != values[i]) {
                fail_msg("seed %d: %s is %lld, not %lld", (int)seed, print(&f, dim), (long long)found,
                         (long long)values[i]);
            }
            for (int64_t bound = -100; bound <= 100; bound++) {
                if (kt_dim_at_least(f.pool, dim, bound)) assert_true(values[i] >= bound);
            }
            assert_true(divisor == 0 ? values[i] == 0 : values[i] % divisor == 0);
        }
        /* The same pool gives the same handle; another pool, the same text. */
        const char *text = print(&f, dim);
        if (parse(&f, text) != dim) {
            fail_msg("seed %d: %s reads as %s", (int)seed, text, print(&f, parse(&f, text)));
        }
        kt_dim_pool *own = f.pool;
        f.pool = kt_dim_pool_create(f.arena);
        assert_string_equal(print(&f, parse(&f, text)), text);
        f.pool = own;
        kt_dim replacement[SYMBOLS] = {0, kt_dim_const(own, 7), 0, parse(&f, "2*batch + 1")};
        kt_dim substituted = kt_dim_substitute(own, dim, replacement);
        int64_t at[SYMBOLS] = {f.symbols[3][0], 7, f.symbols[3][2], 2 * f.symbols[3][0] + 1};
        assert_int_equal(kt_dim_eval(own, substituted, at), kt_dim_eval(own, dim, at));
        kt_arena_destroy(f.arena);
    }
}

static void normal_forms(void **state) {
    (void)state;
    static const char *const same[][2] = {
        {"b + a", "a + b"},
        {"(a + b)*(a - b)", "a*a - b*b"},
        {"2*(a + 3) - a", "a + 6"},
        {"a - a", "0"},
        {"-(-3)", "3"},
        {"floordiv(12*a + 18, 6)", "2*a + 3"},
        {"floordiv(a*b*6, 2*b)", "3*a"},
        {"floordiv(a*b + a*c, b + c)", "a"},
        {"floordiv(4*h + 2, 8)", "floordiv(h, 2)"},
        {"floordiv(floordiv(h + 1, 2) + 1, 2)", "floordiv(h + 3, 4)"},
        {"floordiv(h - 3, 2) + 1", "floordiv(h + 1, 2) - 1"},
        {"floordiv(a, a)", "1"},
        {"floordiv(a*b + b, b)", "a + 1"},
        {"floordiv(mod(a, 4), 4)", "0"},
        {"mod(12*a + 5, 6)", "5"},
        {"mod(mod(a, 4), 4)", "mod(a, 4)"},
        {"mod(6*a, 4)", "2*mod(a, 2)"},
        {"mod(a*b + 1, a + 1 + a*b)", "a*b + 1"},
        {"max(a, 1)", "a"},
        {"max(a, b)", "max(b, a)"},
        {"max(a + 1, a)", "a + 1"},
        {"min(a, a + 2*b)", "a"},
        {"min(0, a)", "0"},
        {"floordiv(a, 0)", "0"},
        {"floordiv(-7, 2)", "-4"},
        {"mod(7, -4)", "-1"},
    };
    struct fixture f;
    begin(&f, 1);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        if (parse(&f, same[i][0]) != parse(&f, same[i][1])) {
            fail_msg("%s is %s, not %s", same[i][0], print(&f, parse(&f, same[i][0])), same[i][1]);
        }
    }
    static const char *const prints[] = {"2*batch + 1", "floordiv(height + 1, 2)", "-2*a*a - b + 3",
                                         "max(a, b)", "-a"};
    for (size_t i = 0; i < sizeof prints / sizeof prints[0]; i++) {
        assert_string_equal(print(&f, parse(&f, prints[i])), prints[i]);
    }
    kt_dim height = kt_dim_symbol(f.pool, "height");
    assert_string_equal(print(&f, kt_dim_ceildiv(f.pool, height, kt_dim_const(f.pool, 2))),
                        "floordiv(height + 1, 2)");
    assert_int_equal(kt_dim_divisor(f.pool, parse(&f, "12*batch + 18")), 6);
    assert_true(kt_dim_at_least(f.pool, parse(&f, "2*a + 3*b - 1"), 4));
    assert_false(kt_dim_at_least(f.pool, parse(&f, "2*a - b"), 0));
    kt_arena_destroy(f.arena);
}

static void large_numbers(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 1);
    kt_dim huge = kt_dim_const(f.pool, INT64_MAX);
    assert_true(kt_dim_equals(f.pool, kt_dim_mul(f.pool, huge, huge), INT64_MAX));
    assert_true(kt_dim_equals(f.pool, kt_dim_add(f.pool, huge, huge), INT64_MAX));
    assert_true(kt_dim_at_least(f.pool, kt_dim_mul_const(f.pool, huge, 4), INT64_MAX));
    kt_dim lowest = kt_dim_const(f.pool, INT64_MIN);
    assert_true(kt_dim_equals(f.pool, kt_dim_floordiv(f.pool, lowest, kt_dim_const(f.pool, -1)), INT64_MAX));
    assert_int_equal(kt_dim_eval(f.pool, parse(&f, "batch*batch*batch"), (int64_t[]){INT64_MAX, 1, 1, 1}),
                     INT64_MAX);
    assert_int_equal(parse(&f, print(&f, lowest)), lowest);
    kt_arena_destroy(f.arena);
}

/* Products that would be large stay as they are, and still print, read and evaluate. */
static void stays_small(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 1);
    kt_dim sum = parse(&f, "batch - height + 1");
    for (int i = 0; i < 60; i++) sum = kt_dim_mul(f.pool, sum, parse(&f, "batch - height + 1"));
    kt_dim square = kt_dim_symbol(f.pool, "batch");
    for (int i = 0; i < 8; i++) square = kt_dim_mul(f.pool, square, square);
    const int64_t symbols[SYMBOLS] = {1, 2, 1, 1};
    assert_int_equal(kt_dim_eval(f.pool, sum, symbols), 0);
    assert_int_equal(kt_dim_eval(f.pool, sum, (int64_t[]){3, 3, 1, 1}), 1);
    assert_int_equal(kt_dim_eval(f.pool, square, symbols), 1);
    assert_int_equal(parse(&f, print(&f, sum)), sum);
    assert_int_equal(parse(&f, print(&f, square)), square);
    kt_arena_destroy(f.arena);
}

static void refuses_bad_text(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "+",
                                      "a +",
                                      "a*",
                                      "(a",
                                      "max(a)",
                                      "max(a, b",
                                      "max(a, b, c)",
                                      "other(a, b)",
                                      "99999999999999999999",
                                      "\"a",
                                      "\"\\q\"",
                                      "-",
                                      "]"};
    struct fixture f;
    begin(&f, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *cursor = bad[i];
        kt_dim dim = 0;
        if (kt_dim_parse(f.pool, &cursor, &dim)) fail_msg("'%s' parses", bad[i]);
    }
    char deep[20001];
    memset(deep, '(', 20000);
    deep[20000] = '\0';
    const char *cursor = deep;
    kt_dim dim = 0;
    assert_false(kt_dim_parse(f.pool, &cursor, &dim));
    cursor = "batch,7]";
    assert_true(kt_dim_parse(f.pool, &cursor, &dim));
    assert_string_equal(cursor, ",7]");
    kt_arena_destroy(f.arena);
}

static void types(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 1);
    kt_type type = {
        .dtype = KT_F32, .rank = 2, .dims = {kt_dim_symbol(f.pool, "batch"), kt_dim_const(f.pool, 784)}};
    assert_string_equal(kt_type_string(f.pool, &type, f.arena), "f32[batch,784]");
    assert_string_equal(print(&f, kt_type_bytes(f.pool, &type)), "3136*batch");
    assert_int_equal(kt_type_static_elements(f.pool, &type), -1);
    assert_int_equal(kt_type_static_bytes(f.pool, &type), -1);
    assert_false(kt_type_is_static(f.pool, &type));
    kt_type other = kt_type_of(f.pool, KT_F32, 2, (int64_t[]){3, 4});
    assert_int_equal(kt_type_static_elements(f.pool, &other), 12);
    assert_int_equal(kt_type_static_bytes(f.pool, &other), 48);
    assert_false(kt_type_equal(&type, &other));
    other = kt_type_of(f.pool, KT_F32, 3, (int64_t[]){INT64_MAX, INT64_MAX, 2});
    assert_true(kt_type_static_elements(f.pool, &other) == INT64_MAX);
    assert_true(kt_type_static_bytes(f.pool, &other) == INT64_MAX);
    other.dims[2] = kt_dim_const(f.pool, 0);
    assert_int_equal(kt_type_static_bytes(f.pool, &other), 0);
    for (int i = 0; i < KT_DTYPE_COUNT; i++) {
        kt_dtype read = KT_DTYPE_COUNT;
        assert_true(kt_dtype_parse(kt_dtype_name((kt_dtype)i), &read) && read == i);
        assert_true(kt_dtype_parse_keras(kt_dtype_keras_name((kt_dtype)i), &read) && read == i);
    }
    assert_int_equal(kt_dtype_bytes(KT_BF16), 2);
    assert_true(kt_dtype_is_float(KT_F16) && !kt_dtype_is_integer(KT_F16) &&
                kt_dtype_is_unsigned_integer(KT_U8));
    kt_arena_destroy(f.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_expressions), cmocka_unit_test(normal_forms),
        cmocka_unit_test(large_numbers),      cmocka_unit_test(stays_small),
        cmocka_unit_test(refuses_bad_text),   cmocka_unit_test(types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
