#include "kernel_suite.h"

#include "ir/element.h"
#include "kt_cmocka.h"

#include <math.h>

suite begin_suite(void) {
    suite s = {.arena = kt_arena_create()};
    s.graph = kt_graph_create(s.arena, "kernels");
    s.n = kt_dim_symbol(s.graph->dims, "n");
    s.t = kt_dim_symbol(s.graph->dims, "t");
    return s;
}

void begin(suite *s, const char *name) {
    name = kt_arena_format(s->arena, "%s.%u", name, s->kernels.count);
    kt_builder_begin(&s->b, s->graph, KT_FUNC_KERNEL, name, &s->diag);
}

static void check(const suite *s, kt_status status) {
    if (status != KT_OK) fail_msg("%s", s->diag.count ? s->diag.problems[0].text : "failed without a word");
}

void end(suite *s, kt_value result) {
    kt_func func;
    kt_builder_result(&s->b, KT_ROLE_PLAIN, NULL, 0, result);
    check(s, kt_builder_finish(&s->b, &func));
    KT_PUSH(s->arena, &s->kernels, func);
}

kt_dim dim_of(suite *s, int64_t size) {
    return size == N ? s->n : size == T ? s->t : kt_dim_const(s->graph->dims, size);
}

kt_type type_of(suite *s, kt_dtype dtype, int rank, const int64_t *sizes) {
    kt_type type = {.dtype = dtype, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++) type.dims[i] = dim_of(s, sizes[i]);
    return type;
}

kt_value param_of(suite *s, kt_dtype dtype, int rank, const int64_t *sizes) {
    kt_type type = type_of(s, dtype, rank, sizes);
    return kt_builder_param(&s->b, KT_ROLE_PLAIN, NULL, s->b.function.params.count, &type);
}

kt_value reshape_to(suite *s, kt_value x, int rank, const int64_t *sizes) {
    kt_type type = type_of(s, KT_F32, rank, sizes);
    return kt_build_reshape(&s->b, x, rank, type.dims);
}

kt_value broadcast_to(suite *s, kt_value x, int rank, const int64_t *sizes, const int64_t *axes) {
    kt_type type = type_of(s, KT_F32, rank, sizes);
    return kt_build_broadcast(&s->b, x, rank, type.dims, axes);
}

kt_value relu(suite *s, kt_value x) { return kt_build_maximum(&s->b, x, kt_build_like(&s->b, x, 0)); }

kt_value add_bias(suite *s, kt_value x) {
    kt_type type = *kt_build_type(&s->b, x), bias = {.dtype = type.dtype, .rank = 1};
    bias.dims[0] = type.dims[type.rank - 1];
    kt_value y = kt_builder_param(&s->b, KT_ROLE_PLAIN, NULL, s->b.function.params.count, &bias);
    return kt_build_add(&s->b, x, kt_build_broadcast(&s->b, y, type.rank, type.dims, SIZES(type.rank - 1)));
}

/* ---- running --------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static int64_t elements_of(const suite *s, const kt_type *type, const int64_t *symbols) {
    int64_t count = 1;
    for (int i = 0; i < type->rank; i++) count *= kt_dim_eval(s->graph->dims, type->dims[i], symbols);
    return count;
}

/* Between stretches of a pattern that would be noticed: what a kernel reads there, though it has no business
 * to, becomes part of a result. */
enum { MARGIN = 512 };
static void *new_buffer(const suite *s, const kt_type *type, const int64_t *symbols) {
    size_t bytes = (size_t)elements_of(s, type, symbols) * kt_dtype_bytes(type->dtype);
    char *data = kt_arena_alloc(s->arena, bytes + 2 * MARGIN);
    memset(data, 0x7b, bytes + 2 * MARGIN);
    return data + MARGIN;
}

static void fill(const suite *s, const kt_type *type, const int64_t *symbols, void *data, uint64_t *state) {
    int64_t count = elements_of(s, type, symbols);
    for (int64_t i = 0; i < count; i++) {
        uint64_t random = next_random(state);
        if (kt_dtype_is_float(type->dtype))
            kt_element_set_float(type->dtype, data, (size_t)i, (double)(random % 4001) / 1000 - 2);
        else if (kt_dtype_bytes(type->dtype) == 1 && type->dtype != KT_BOOL)
            ((uint8_t *)data)[i] = (uint8_t)random; /* all that there are */
        else
            kt_element_set_integer(type->dtype, data, (size_t)i, (int64_t)(random % 9) - 4);
    }
}

static double tolerance(kt_dtype dtype) {
    return dtype == KT_F64 ? 1e-12 : dtype == KT_F16 ? 4e-3 : dtype == KT_BF16 ? 4e-2 : 1e-5;
}

static void compare(const char *name, const kt_tensor *wanted, const void *found, const int64_t *symbols) {
    size_t count = kt_tensor_elements(wanted);
    double largest = 1e-6;
    bool floats = kt_dtype_is_float(wanted->dtype);
    for (size_t i = 0; floats && i < count; i++) {
        double x = fabs(kt_element_float(wanted->dtype, wanted->data, i));
        if (isfinite(x) && x > largest) largest = x;
    }
    for (size_t i = 0; i < count; i++) {
        double x, y;
        bool same;
        if (floats) {
            x = kt_element_float(wanted->dtype, wanted->data, i);
            y = kt_element_float(wanted->dtype, found, i);
            same = (isnan(x) && isnan(y)) || x == y || fabs(x - y) <= tolerance(wanted->dtype) * largest;
        } else {
            x = (double)kt_element_integer(wanted->dtype, wanted->data, i);
            y = (double)kt_element_integer(wanted->dtype, found, i);
            same = x == y;
        }
        if (!same)
            fail_msg("%s with n = %lld, t = %lld: element %zu of %zu is %g, not %g", name,
                     (long long)symbols[0], (long long)symbols[1], i, count, y, x);
    }
}

enum { MAX_ARGS = 8 };

static void run_kernel(const suite *s, kt_func func, kt_kernel_fn *run, const int64_t *symbols) {
    const kt_function *kernel = kt_graph_function(s->graph, func);
    kt_arena *arena = kt_arena_create();
    suite own = *s;
    own.arena = arena;
    kt_tensor arguments[MAX_ARGS], wanted[MAX_ARGS];
    void *args[MAX_ARGS], *first[MAX_ARGS] = {0};
    uint64_t state = 1;
    uint32_t params = kernel->params.count, results = kernel->results.count;
    assert_true(params + results <= MAX_ARGS);
    for (uint32_t i = 0; i < params; i++) {
        const kt_type *type = kt_graph_type(s->graph, kernel->params.at[i].value);
        args[i] = new_buffer(&own, type, symbols);
        fill(&own, type, symbols, args[i], &state);
        arguments[i] = (kt_tensor){.dtype = type->dtype, .rank = type->rank, .data = args[i]};
        for (int j = 0; j < type->rank; j++)
            arguments[i].dims[j] = kt_dim_eval(s->graph->dims, type->dims[j], symbols);
    }
    kt_diag diag = {0};
    kt_status status = kt_eval(s->graph, func, symbols, arguments, params, arena, wanted, &diag);
    if (status != KT_OK) fail_msg("%s: %s", kernel->name, diag.problems[0].text);
    for (int parts = 1; parts <= 3; parts++) {
        for (uint32_t i = 0; i < results; i++)
            args[params + i] =
                new_buffer(&own, kt_graph_type(s->graph, kernel->results.at[i].value), symbols);
        for (int part = parts - 1; part >= 0; part--) run(args, symbols, part, parts);
        for (uint32_t i = 0; i < results; i++) {
            size_t bytes = kt_tensor_bytes(&wanted[i]);
            const char *data = args[params + i];
            if (parts == 1) {
                compare(kernel->name, &wanted[i], data, symbols);
                first[i] = args[params + i];
            }
            assert_memory_equal(data, first[i], bytes);
            for (size_t j = 0; j < MARGIN; j++)
                if (data[bytes + j] != 0x7b || data[-1 - (ptrdiff_t)j] != 0x7b)
                    fail_msg("%s writes beside its result", kernel->name);
        }
    }
    kt_arena_destroy(arena);
}

static const kt_loops *const *lower_all(suite *s, const kt_target *target) {
    const kt_loops **all = KT_NEW_ARRAY(s->arena, const kt_loops *, s->kernels.count);
    for (uint32_t i = 0; i < s->kernels.count; i++) {
        kt_loops *loops = KT_NEW(s->arena, kt_loops);
        check(s, kt_lower_kernel(s->graph, s->kernels.at[i], target, s->arena, loops, &s->diag));
        all[i] = loops;
    }
    return all;
}

void run_suite(suite *s, const char *cpu, const int64_t (*symbols)[2], int count) {
    kt_target target;
    check(s, kt_target_describe(NULL, cpu, NULL, s->arena, &target, &s->diag));
    if (!kernel_runner_runs(&target)) return;
    target.tuning = s->tuning;
    kt_kernel_fn **functions = KT_NEW_ARRAY(s->arena, kt_kernel_fn *, s->kernels.count);
    kernel_runner_load(s->arena, &target, 2, lower_all(s, &target), s->kernels.count, functions);
    for (uint32_t i = 0; i < s->kernels.count; i++)
        for (int j = 0; j < count; j++) run_kernel(s, s->kernels.at[i], functions[i], symbols[j]);
}

void compile_suite(suite *s, const char *cpu) {
    kt_target target;
    check(s, kt_target_describe("x86_64-unknown-linux-gnu", cpu, NULL, s->arena, &target, &s->diag));
    target.tuning = s->tuning;
    kernel_runner_module(s->arena, &target, 0, lower_all(s, &target), s->kernels.count);
}

void end_suite(suite *s) {
    kt_diag_deinit(&s->diag);
    kt_arena_destroy(s->arena);
}

static const int64_t few[][2] = {{1, 1}, {2, 3}, {5, 9}};

void finish(suite *s) {
    run_suite(s, NULL, few, 3);
    run_suite(s, "x86-64", few + 1, 1);
    compile_suite(s, "x86-64-v4");
    end_suite(s);
}
