/* The loop form: folding as it is built, its printed form, and its meaning when compiled: cells, unrolled and
 * parallel loops, conditions, gathers, folds, masks of every dtype. */
#include "kernel_runner.h"
#include "kt_cmocka.h"

#include "ir/element.h"

typedef struct fixture {
    kt_arena *arena;
    kt_graph *graph;
    kt_target target;
} fixture;

static fixture begin_for(const char *cpu) {
    fixture f = {.arena = kt_arena_create()};
    kt_diag diag = {0};
    f.graph = kt_graph_create(f.arena, "loops");
    assert_int_equal(kt_target_describe(NULL, cpu, NULL, f.arena, &f.target, &diag), KT_OK);
    return f;
}
static fixture begin(void) { return begin_for(NULL); }

/* A kernel over vectors of a type: operands, then one result of the last type. */
static kt_loops *kernel(fixture *f, const char *name, const kt_type *types, uint32_t count) {
    kt_diag diag = {0};
    kt_builder builder;
    kt_builder_begin(&builder, f->graph, KT_FUNC_KERNEL, name, &diag);
    kt_value result = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool last = i == count - 1;
        kt_value param = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, i, &types[i]);
        if (last) result = param;
    }
    builder.function.params.count = count - 1;
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 0, result);
    kt_loops *loops = KT_NEW(f->arena, kt_loops);
    kt_loops_init(loops, f->arena, f->graph, &builder.function, &f->target);
    return loops;
}

static kt_type vector(fixture *f, kt_dtype dtype, int64_t elements) {
    return kt_type_of(f->graph->dims, dtype, 1, &elements);
}

static void run_here(fixture *f, const kt_loops *loops, void *const *args, const int64_t *symbols) {
    kt_kernel_fn *function;
    kernel_runner_load(f->arena, &f->target, 2, &loops, 1, &function);
    function(args, symbols, 0, 1);
}

static void index_arithmetic_folds(void **state) {
    (void)state;
    fixture f = begin();
    kt_type types[] = {vector(&f, KT_F32, 4)};
    kt_loops *l = kernel(&f, "fold", types, 1);
    kt_reg x =
        kt_loops_begin(l, KT_LOOP_SERIAL, kt_loops_int(l, 0), kt_loops_int(l, 9), kt_loops_int(l, 1), NULL);
    kt_reg one = kt_loops_int(l, 1), zero = kt_loops_int(l, 0), six = kt_loops_int(l, 6);
    assert_int_equal(one, kt_loops_int(l, 1));
    assert_int_equal(kt_loops_index(l, KT_INDEX_ADD, zero, x), x);
    assert_int_equal(kt_loops_index(l, KT_INDEX_MUL, x, one), x);
    assert_int_equal(kt_loops_index(l, KT_INDEX_DIV, x, one), x);
    assert_int_equal(kt_loops_index(l, KT_INDEX_MUL, x, zero), zero);
    assert_int_equal(kt_loops_index(l, KT_INDEX_MOD, x, one), zero);
    assert_int_equal(kt_loops_index(l, KT_INDEX_MIN, x, x), x);
    kt_reg scaled = kt_loops_index(l, KT_INDEX_MUL, six, x);
    assert_int_equal(kt_loops_index(l, KT_INDEX_DIV, scaled, six), x);
    assert_int_equal(kt_loops_index(l, KT_INDEX_MOD, scaled, kt_loops_int(l, 3)), zero);
    kt_reg moved = kt_loops_index(l, KT_INDEX_SUB, kt_loops_index(l, KT_INDEX_ADD, x, six), six);
    assert_int_equal(moved, x);
    int64_t value;
    assert_true(kt_loops_is_int(l, kt_loops_index(l, KT_INDEX_MOD, kt_loops_int(l, 20), six), &value));
    assert_int_equal(value, 2);
    kt_dim batch = kt_dim_symbol(f.graph->dims, "batch");
    kt_reg dim = kt_loops_dim(l, batch), doubled = kt_loops_dim(l, kt_dim_mul_const(f.graph->dims, batch, 2));
    assert_int_equal(kt_loops_index(l, KT_INDEX_ADD, dim, dim), doubled);
    /* Lanes x * 6 + 4, x * 6 + 5, … fall into x + 1, x + 1, x + 2, … and 1, 2, 0, … by 3. */
    int64_t steps[4];
    kt_reg begin, three = kt_loops_int(l, 3);
    kt_reg ramp = kt_loops_ramp(l, kt_loops_index(l, KT_INDEX_ADD, scaled, kt_loops_int(l, 4)), 4);
    assert_true(kt_loops_steps(l, kt_loops_index(l, KT_INDEX_DIV, ramp, three), &begin, steps));
    assert_memory_equal(steps, ((int64_t[]){1, 1, 2, 2}), sizeof steps);
    kt_reg by_columns = kt_loops_index(l, KT_INDEX_MOD, ramp, three);
    assert_int_equal(by_columns, kt_loops_lane_integers(l, KT_I64, 4, (int64_t[]){1, 2, 0, 1}));
    kt_reg twice = kt_loops_index(l, KT_INDEX_MUL, by_columns, kt_loops_int(l, 2));
    assert_int_equal(kt_loops_index(l, KT_INDEX_LT, by_columns, twice),
                     kt_loops_lane_integers(l, KT_BOOL, 4, (int64_t[]){1, 1, 0, 1}));
    /* Where it is not known how rows lie, nothing is. */
    kt_reg anywhere = kt_loops_index(l, KT_INDEX_MOD, kt_loops_ramp(l, x, 4), three);
    assert_false(kt_loops_steps(l, anywhere, &begin, steps));
    /* A divisor that may be 0 is not computed before its guard. */
    kt_reg risky = kt_loops_dim(l, kt_dim_add_const(f.graph->dims, batch, -1));
    assert_int_equal(l->registers.at[kt_loops_index(l, KT_INDEX_DIV, dim, risky)].code, KT_CODE_INDEX);
    kt_arena_destroy(f.arena);
}

/* result[i] = relu(x[i] * 2 + sum(x)), rows of 8 in parallel. */
static kt_loops *row_kernel(fixture *f) {
    kt_dim batch = kt_dim_symbol(f->graph->dims, "batch");
    kt_type rows = {.dtype = KT_F32, .rank = 2, .dims = {batch, kt_dim_const(f->graph->dims, 8)}};
    kt_type types[] = {rows, rows};
    kt_loops *l = kernel(f, "rows", types, 2);
    kt_reg zero = kt_loops_int(l, 0), one = kt_loops_int(l, 1), four = kt_loops_int(l, 4);
    kt_cell sum = kt_loops_cell(l, "sum", KT_F32, 4, 1);
    kt_reg row = kt_loops_begin(l, KT_LOOP_PARALLEL, zero, kt_loops_dim(l, batch), one, "rows");
    kt_reg base = kt_loops_index(l, KT_INDEX_MUL, row, kt_loops_int(l, 8));
    kt_loops_set(l, sum, 0, kt_loops_const(l, KT_F32, 4, 0));
    kt_reg i = kt_loops_begin(l, KT_LOOP_SERIAL, zero, kt_loops_int(l, 8), four, NULL);
    kt_reg x = kt_loops_load(l, 0, kt_loops_index(l, KT_INDEX_ADD, base, i), 4, 0);
    kt_loops_set(l, sum, 0, kt_loops_apply(l, KT_OP_add, KT_F32, kt_loops_get(l, sum, 0), x, 0));
    kt_loops_end(l);
    kt_reg total = kt_loops_fold(l, KT_REDUCE_SUM, kt_loops_get(l, sum, 0));
    kt_reg j = kt_loops_begin(l, KT_LOOP_UNROLL, zero, kt_loops_int(l, 8), four, NULL);
    kt_reg at = kt_loops_index(l, KT_INDEX_ADD, base, j);
    kt_reg y = kt_loops_fma(l, kt_loops_load(l, 0, at, 4, 0), kt_loops_const(l, KT_F32, 1, 2), total);
    kt_loops_store(l, 1, at, kt_loops_apply(l, KT_OP_maximum, KT_F32, y, kt_loops_const(l, KT_F32, 1, 0), 0),
                   0);
    kt_loops_end(l);
    kt_loops_end(l);
    return l;
}

static void prints(void **state) {
    (void)state;
    fixture f = begin();
    kt_text text = {.arena = f.arena};
    kt_loops_print(row_kernel(&f), &text);
    assert_string_equal(kt_text_string(&text),
                        "kernel rows(a0: f32[8*batch]) -> (a1: f32[8*batch]), units batch\n"
                        "  cell sum: f32x4[1]\n"
                        "  parallel %1 = 0 .. batch  # rows\n"
                        "    %2 = %1 * 8\n"
                        "    sum[0] = 0\n"
                        "    for %3 = 0 .. 8 by 4\n"
                        "      %4 = %2 + %3\n"
                        "      %5 = a0[%4] : f32x4\n"
                        "      %6 = sum[0] : f32x4\n"
                        "      %7 = add(%6, %5) : f32x4\n"
                        "      sum[0] = %7\n"
                        "    %8 = sum[0] : f32x4\n"
                        "    %9 = fold_sum(%8) : f32\n"
                        "    unroll %10 = 0 .. 8 by 4\n"
                        "      %11 = %2 + %10\n"
                        "      %12 = a0[%11] : f32x4\n"
                        "      %13 = splat(%9) : f32x4\n"
                        "      %14 = fma(%12, 2, %13) : f32x4\n"
                        "      %15 = maximum(%14, 0) : f32x4\n"
                        "      a1[%11] = %15\n");
    kt_arena_destroy(f.arena);
}

/* However many parts there are, each row is computed once and alike. */
static void parts_share_the_units(void **state) {
    (void)state;
    enum { ROWS = 5 };
    fixture f = begin();
    const kt_loops *loops = row_kernel(&f);
    kt_kernel_fn *function;
    kernel_runner_load(f.arena, &f.target, 2, &loops, 1, &function);
    float x[8 * ROWS];
    const int64_t symbols[] = {ROWS};
    for (int i = 0; i < 8 * ROWS; i++) x[i] = (float)(i % 7 - 3);
    for (int64_t parts = 1; parts <= 7; parts++) {
        float y[8 * ROWS];
        memset(y, 0xff, sizeof y);
        void *const args[] = {x, y};
        for (int64_t part = 0; part < parts; part++) function(args, symbols, part, parts);
        for (int i = 0; i < 8 * ROWS; i++) {
            float sum = 0;
            for (int j = 0; j < 8; j++) sum += x[i / 8 * 8 + j];
            float expected = 2 * x[i] + sum;
            assert_true(y[i] == (expected > 0 ? expected : 0));
        }
    }
    kt_arena_destroy(f.arena);
}

/* result = x, through loads, stores, gathers and scatters with masks, for every dtype and tail. */
static void check_masks(const char *cpu) {
    enum { MOST = 11, LANES = 8 };
    fixture f = begin_for(cpu);
    for (int number = KT_F32; number <= KT_BOOL; number++) {
        kt_dtype dtype = (kt_dtype)number;
        kt_type types[] = {vector(&f, dtype, MOST), vector(&f, KT_I64, 1), vector(&f, dtype, 2 * MOST)};
        kt_loops *l = kernel(&f, "copy", types, 3);
        kt_reg zero = kt_loops_int(l, 0), step = kt_loops_int(l, LANES);
        kt_reg end = kt_loops_load(l, 1, zero, 1, 0);
        kt_reg i = kt_loops_begin(l, KT_LOOP_SERIAL, zero, end, step, NULL);
        kt_reg mask = kt_loops_mask(l, kt_loops_index(l, KT_INDEX_SUB, end, i), LANES);
        kt_loops_store(l, 2, i, kt_loops_load(l, 0, i, LANES, mask), mask);
        kt_reg lanes = kt_loops_ramp(l, i, LANES), last = kt_loops_int(l, 2 * MOST - 1);
        kt_reg turned = kt_loops_index(l, KT_INDEX_SUB, last, lanes);
        kt_loops_scatter(l, 2, turned, kt_loops_gather(l, 0, lanes, mask), mask);
        kt_loops_end(l);
        kt_kernel_fn *function;
        const kt_loops *loops = l;
        kernel_runner_load(f.arena, &f.target, 1, &loops, 1, &function);
        size_t bytes = kt_dtype_bytes(dtype);
        for (int64_t length = 0; length <= MOST; length++) {
            /* Exactly as much as may be read: sanitizers see the rest. */
            uint8_t *x = malloc((size_t)length * bytes + 1), y[2 * MOST * 8];
            for (int64_t k = 0; k < length * (int64_t)bytes; k++)
                x[k] = dtype == KT_BOOL ? k % 2 : (uint8_t)(k % 50 + 1);
            memset(y, 0xee, sizeof y);
            void *const args[] = {x, &length, y};
            function(args, NULL, 0, 1);
            for (int64_t k = 0; k < MOST; k++) {
                const uint8_t *front = y + (size_t)k * bytes, *back = y + (size_t)(2 * MOST - 1 - k) * bytes;
                if (k < length) {
                    assert_memory_equal(front, x + (size_t)k * bytes, bytes);
                    assert_memory_equal(back, x + (size_t)k * bytes, bytes);
                } else {
                    assert_int_equal(*front, 0xee);
                    assert_int_equal(*back, 0xee);
                }
            }
            free(x);
        }
    }
    kt_arena_destroy(f.arena);
}

static void masks_guard_memory(void **state) {
    (void)state;
    check_masks(NULL);
}
static void masks_of_plain_cpu(void **state) {
    (void)state;
    check_masks("x86-64");
}
static void masks_of_avx512(void **state) {
    (void)state;
    check_masks("x86-64-v4");
}

/* Conditions, cells indexed by an unrolled loop's index, and no parallel loop: the last part works alone. */
static void cells_and_conditions(void **state) {
    (void)state;
    fixture f = begin();
    kt_type types[] = {vector(&f, KT_I32, 6), vector(&f, KT_I32, 6)};
    kt_loops *l = kernel(&f, "turn", types, 2);
    kt_reg zero = kt_loops_int(l, 0), one = kt_loops_int(l, 1), six = kt_loops_int(l, 6);
    kt_cell cell = kt_loops_cell(l, "held", KT_I32, 1, 6);
    kt_reg i = kt_loops_begin(l, KT_LOOP_UNROLL, zero, six, one, NULL);
    kt_loops_set(l, cell, i, kt_loops_load(l, 0, i, 1, 0));
    kt_loops_end(l);
    kt_reg j = kt_loops_begin(l, KT_LOOP_UNROLL, zero, six, one, NULL);
    kt_reg value = kt_loops_get(l, cell, kt_loops_index(l, KT_INDEX_SUB, kt_loops_int(l, 5), j));
    kt_loops_if(l, kt_loops_apply(l, KT_OP_gt, KT_BOOL, value, kt_loops_const(l, KT_I32, 1, 0), 0));
    kt_loops_store(l, 1, j, value, 0);
    kt_loops_end(l);
    kt_loops_end(l);
    int32_t x[] = {1, -2, 3, -4, 5, 6}, y[] = {0, 0, 0, 0, 0, 0};
    const int32_t expected[] = {6, 5, 0, 3, 0, 1};
    void *const args[] = {x, y};
    const kt_loops *loops = l;
    kt_kernel_fn *function;
    kernel_runner_load(f.arena, &f.target, 2, &loops, 1, &function);
    function(args, NULL, 0, 3);
    assert_int_equal(y[0], 0);
    function(args, NULL, 2, 3);
    assert_memory_equal(y, expected, sizeof y);
    kt_arena_destroy(f.arena);
}

static void maximum_of_lanes(void **state) {
    (void)state;
    fixture f = begin();
    kt_type types[] = {vector(&f, KT_F32, 8), vector(&f, KT_F32, 1)};
    kt_loops *l = kernel(&f, "most", types, 2);
    kt_reg zero = kt_loops_int(l, 0);
    kt_loops_store(l, 1, zero, kt_loops_fold(l, KT_REDUCE_MAXIMUM, kt_loops_load(l, 0, zero, 8, 0)), 0);
    float x[] = {1, -2, 3, 9, 5, 6, -7, 8}, y = 0;
    void *const args[] = {x, &y};
    run_here(&f, l, args, NULL);
    assert_true(y == 9);
    kt_arena_destroy(f.arena);
}

/* Every target makes code, the same bytes each time. */
static void every_target_emits(void **state) {
    (void)state;
    static const char *const targets[][2] = {
        {"x86_64-linux-gnu", "x86-64"},   {"x86_64-linux-gnu", "x86-64-v2"},
        {"x86_64-linux-gnu", "haswell"},  {"x86_64-linux-gnu", "skylake-avx512"},
        {"aarch64-linux-gnu", "generic"}, {"aarch64-linux-gnu", "cortex-a76"}};
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        const void *bytes[2];
        size_t sizes[2];
        fixture f[2];
        for (int turn = 0; turn < 2; turn++) {
            kt_diag diag = {0};
            f[turn] = begin();
            fixture *g = &f[turn];
            assert_int_equal(
                kt_target_describe(targets[t][0], targets[t][1], NULL, g->arena, &g->target, &diag), KT_OK);
            const kt_loops *loops = row_kernel(g);
            kt_module *module = kernel_runner_module(g->arena, &g->target, 3, &loops, 1);
            assert_int_equal(
                kt_module_emit(module, KT_CODE_OBJECT, g->arena, &bytes[turn], &sizes[turn], &diag), KT_OK);
        }
        assert_int_equal(sizes[0], sizes[1]);
        assert_memory_equal(bytes[0], bytes[1], sizes[0]);
        kt_arena_destroy(f[0].arena);
        kt_arena_destroy(f[1].arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_arithmetic_folds), cmocka_unit_test(prints),
        cmocka_unit_test(parts_share_the_units),  cmocka_unit_test(masks_guard_memory),
        cmocka_unit_test(masks_of_plain_cpu),     cmocka_unit_test(masks_of_avx512),
        cmocka_unit_test(cells_and_conditions),   cmocka_unit_test(maximum_of_lanes),
        cmocka_unit_test(every_target_emits),
    };
    return cmocka_run_group_tests_name("loops", tests, NULL, NULL);
}
