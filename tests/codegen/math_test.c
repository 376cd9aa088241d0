/* Every elementwise operation in every dtype, compiled, against the C library in long double (floats: errors
 * in units of the last place, bounds in one table) or plain C (integers: exact). Lengths do not divide by the
 * number of lanes, so masked tails are run too. */
#include "kernel_runner.h"
#include "kt_cmocka.h"

#include "ir/element.h"

#include <float.h>
#include <math.h>

enum { COUNT = 1603 };

typedef long double real;
typedef real reference(real x, real y);

/* ---- references -------------------------------------------------------------------------------------------
 */

static real nan_or(real x, real y, real otherwise) { return isnan(x) || isnan(y) ? (real)NAN : otherwise; }

#define UNARY(name, value)                                                                                   \
    static real ref_##name(real x, real y) {                                                                 \
        (void)y;                                                                                             \
        return value;                                                                                        \
    }
#define BINARY(name, value)                                                                                  \
    static real ref_##name(real x, real y) { return value; }
UNARY(neg, -x)
UNARY(abs, fabsl(x))
UNARY(sign, isnan(x) || x == 0 ? x : copysignl(1, x))
UNARY(floor, floorl(x))
UNARY(ceil, ceill(x))
UNARY(round, rintl(x))
UNARY(trunc, truncl(x))
UNARY(sqrt, sqrtl(x))
UNARY(rsqrt, 1 / sqrtl(x))
UNARY(exp, expl(x))
UNARY(expm1, expm1l(x))
UNARY(log, logl(x))
UNARY(log1p, log1pl(x))
UNARY(sin, sinl(x))
UNARY(cos, cosl(x))
UNARY(tan, tanl(x))
UNARY(asin, asinl(x))
UNARY(acos, acosl(x))
UNARY(atan, atanl(x))
UNARY(sinh, sinhl(x))
UNARY(cosh, coshl(x))
UNARY(tanh, tanhl(x))
UNARY(asinh, asinhl(x))
UNARY(acosh, acoshl(x))
UNARY(atanh, atanhl(x))
UNARY(erf, erfl(x))
UNARY(logistic, 1 / (1 + expl(-x)))
BINARY(add, x + y)
BINARY(sub, x - y)
BINARY(mul, x *y)
BINARY(div, x / y)
BINARY(rem, fmodl(x, y))
BINARY(pow, powl(x, y))
BINARY(maximum, nan_or(x, y, x > y ? x : y))
BINARY(minimum, nan_or(x, y, x < y ? x : y))
BINARY(atan2, atan2l(x, y))

/* The largest errors allowed, in units of the last place. */
static const struct {
    kt_op op;
    reference *reference;
    double f32, f64;
} floats[] = {
#define EXACT(name)            {KT_OP_##name, ref_##name, 0.5, 0.5}
#define WITHIN(name, f32, f64) {KT_OP_##name, ref_##name, f32, f64}
    EXACT(neg),
    EXACT(abs),
    EXACT(sign),
    EXACT(floor),
    EXACT(ceil),
    EXACT(round),
    EXACT(trunc),
    EXACT(sqrt),
    WITHIN(rsqrt, 1.5, 1.5),
    WITHIN(exp, 2, 2),
    WITHIN(expm1, 4, 4),
    WITHIN(log, 2, 2),
    WITHIN(log1p, 4, 4),
    WITHIN(sin, 0.6, 2),
    WITHIN(cos, 0.6, 2),
    WITHIN(tan, 0.6, 4),
    WITHIN(asin, 0.6, 2),
    WITHIN(acos, 0.6, 2),
    WITHIN(atan, 0.6, 2),
    WITHIN(sinh, 0.6, 4),
    WITHIN(cosh, 0.6, 4),
    WITHIN(tanh, 4, 4),
    WITHIN(asinh, 0.6, 4),
    WITHIN(acosh, 0.6, 4),
    WITHIN(atanh, 0.6, 4),
    WITHIN(erf, 4, 4),
    WITHIN(logistic, 4, 4),
    EXACT(add),
    EXACT(sub),
    EXACT(mul),
    EXACT(div),
    EXACT(rem),
    WITHIN(pow, 0.6, 2),
    EXACT(maximum),
    EXACT(minimum),
    WITHIN(atan2, 0.6, 2),
};
enum { FLOAT_OPS = sizeof floats / sizeof *floats };

/* ---- samples ----------------------------------------------------------------------------------------------
 */

static uint64_t random_bits(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state, double reach) {
    return ((double)(random_bits(state) >> 11) * 0x1p-52 - 1) * reach;
}

static const double edges[] = {
    0.0,
    -0.0,
    1,
    -1,
    0.5,
    -0.5,
    2,
    -2,
    3,
    -3,
    0.25,
    1.5,
    -1.5,
    2.5,
    INFINITY,
    -INFINITY,
    NAN,
    1e-3,
    -1e-3,
    1e-7,
    1e-20,
    -1e-20,
    0x1p-126,
    0x1p-149,
    -0x1p-149,
    0x1p-140,
    88.7,
    88.73,
    -87.3,
    -103.9,
    -104.1,
    709.7,
    709.8,
    -708.3,
    -745.1,
    1e30,
    -1e30,
    3.4e38,
    1e300,
    0x1p-1022,
    0x1p-1074,
    1048575.9,
    1048577,
    1e10,
    1e22,
    3.14159265358979,
    1.5707963267949,
    0.7071067811865,
    65504,
    65519,
    65520,
    0x1p-14,
    0x1p-24,
    0x1p-25,
    0.99999999,
    1.00000001,
    16777217,
    0x1p52,
    0x1p53,
};

/* Edges, then a mixture of ordinary numbers and of all exponents. */
static double sample(uint64_t *state, kt_dtype dtype, int index) {
    enum { EDGES = sizeof edges / sizeof *edges };
    if (index < EDGES) return edges[index];
    uint64_t bits = random_bits(state);
    double all;
    float narrow;
    memcpy(&all, &bits, sizeof all);
    memcpy(&narrow, &bits, sizeof narrow);
    switch (index % 4) {
    case 0: return uniform(state, 1.2);
    case 1: return uniform(state, 10);
    case 2: return uniform(state, 120);
    default: return dtype == KT_F64 ? all : narrow;
    }
}

/* ---- kernels ----------------------------------------------------------------------------------------------
 */

/* A kernel of one operation over COUNT elements, a vector at a time with a masked last turn. */
static kt_loops *kernel_of(kt_graph *graph, const kt_target *target, kt_op op, kt_dtype dtype,
                           kt_dtype result) {
    static const int64_t shape[] = {COUNT};
    kt_arena *arena = graph->arena;
    kt_diag diag = {0};
    kt_builder builder;
    kt_type type = kt_type_of(graph->dims, dtype, 1, shape);
    kt_attrs_cast attrs = {.dtype = result};
    kt_value operands[2];
    int count = kt_op_describe(op)->operands;
    kt_builder_begin(&builder, graph, KT_FUNC_KERNEL, kt_op_describe(op)->name, &diag);
    for (int i = 0; i < count; i++)
        operands[i] = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, (uint32_t)i, &type);
    kt_value value = kt_build_node(&builder, op, operands, (uint32_t)count, op == KT_OP_cast ? &attrs : NULL);
    kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, 0, value);
    assert_int_equal(builder.status, KT_OK);

    kt_loops *loops = KT_NEW(arena, kt_loops);
    int lanes = kt_target_lanes(target, dtype);
    if (lanes > 16) lanes = 16;
    kt_loops_init(loops, arena, graph, &builder.function, target);
    kt_reg end = kt_loops_int(loops, COUNT);
    kt_reg i =
        kt_loops_begin(loops, KT_LOOP_SERIAL, kt_loops_int(loops, 0), end, kt_loops_int(loops, lanes), NULL);
    kt_reg mask = kt_loops_mask(loops, kt_loops_index(loops, KT_INDEX_SUB, end, i), lanes);
    kt_reg x = kt_loops_load(loops, 0, i, lanes, mask);
    kt_reg y = count > 1 ? kt_loops_load(loops, 1, i, lanes, mask) : 0;
    kt_reg z = kt_loops_apply(loops, op, kt_graph_type(graph, value)->dtype, x, y, 0);
    kt_loops_store(loops, (uint32_t)count, i, z, mask);
    kt_loops_end(loops);
    return loops;
}

typedef struct fixture {
    kt_arena *arena;
    kt_graph *graph;
    kt_target target;
    void *x, *y, *result;
} fixture;

static fixture begin(const char *cpu) {
    fixture f = {.arena = kt_arena_create()};
    kt_diag diag = {0};
    f.graph = kt_graph_create(f.arena, "math");
    assert_int_equal(kt_target_describe(NULL, cpu, NULL, f.arena, &f.target, &diag), KT_OK);
    f.x = kt_arena_alloc(f.arena, COUNT * 8);
    f.y = kt_arena_alloc(f.arena, COUNT * 8);
    f.result = kt_arena_alloc(f.arena, COUNT * 8);
    return f;
}

/* ---- floats -----------------------------------------------------------------------------------------------
 */

/* The distance of neighbours at x. */
static real unit(kt_dtype dtype, real x) {
    static const struct {
        int digits, least;
    } formats[] = {
        [KT_F32] = {24, -149}, [KT_F64] = {53, -1074}, [KT_F16] = {11, -24}, [KT_BF16] = {8, -133}};
    int exponent;
    frexpl(x, &exponent);
    int step = exponent - formats[dtype].digits;
    return ldexpl(1, step > formats[dtype].least && x != 0 ? step : formats[dtype].least);
}

static real float_error(kt_dtype dtype, double got, real expected) {
    if (isnan(expected)) return isnan(got) ? 0 : (real)INFINITY;
    if (isnan(got)) return INFINITY;
    uint64_t rounded;
    kt_element_set_float(dtype, &rounded, 0, (double)expected);
    if (kt_element_float(dtype, &rounded, 0) == got) return 0;
    if (isinf(got) || isinf(expected)) return INFINITY;
    return fabsl(got - expected) / unit(dtype, expected);
}

static bool check_float(fixture *f, kt_kernel_fn *kernel, uint32_t row, kt_dtype dtype) {
    uint64_t state = row;
    bool binary = kt_op_describe(floats[row].op)->operands == 2;
    for (int i = 0; i < COUNT; i++) {
        kt_element_set_float(dtype, f->x, (size_t)i, sample(&state, dtype, i));
        kt_element_set_float(dtype, f->y, (size_t)i, sample(&state, dtype, (int)((unsigned)i * 7 % COUNT)));
    }
    void *const args[] = {f->x, binary ? f->y : f->result, f->result};
    kernel(args, NULL, 0, 1);
    real worst = 0;
    double worst_x = 0, worst_y = 0, worst_got = 0;
    for (int i = 0; i < COUNT; i++) {
        double x = kt_element_float(dtype, f->x, (size_t)i), y = kt_element_float(dtype, f->y, (size_t)i);
        double got = kt_element_float(dtype, f->result, (size_t)i);
        real error = float_error(dtype, got, floats[row].reference(x, y));
        if (error <= worst) continue;
        worst = error;
        worst_x = x;
        worst_y = y;
        worst_got = got;
    }
    double bound = dtype == KT_F64 ? floats[row].f64 : dtype == KT_F32 ? floats[row].f32 : 0.51;
    if (getenv("KT_TEST_VERBOSE"))
        print_message("%-9s %-4s %.3Lf\n", kt_op_describe(floats[row].op)->name, kt_dtype_name(dtype), worst);
    if (worst > bound)
        print_message("%s of %s: error %.3Lf at %a, %a: %a and not %a\n",
                      kt_op_describe(floats[row].op)->name, kt_dtype_name(dtype), worst, worst_x, worst_y,
                      worst_got, (double)floats[row].reference(worst_x, worst_y));
    return worst <= bound;
}

static void check_floats(const char *cpu, kt_dtype dtype) {
    fixture f = begin(cpu);
    const kt_loops *loops[FLOAT_OPS];
    kt_kernel_fn *kernels[FLOAT_OPS];
    for (uint32_t i = 0; i < FLOAT_OPS; i++)
        loops[i] = kernel_of(f.graph, &f.target, floats[i].op, dtype, dtype);
    kernel_runner_load(f.arena, &f.target, 1, loops, FLOAT_OPS, kernels);
    uint32_t right = 0;
    for (uint32_t i = 0; i < FLOAT_OPS; i++) right += check_float(&f, kernels[i], i, dtype);
    assert_int_equal(right, FLOAT_OPS);
    kt_arena_destroy(f.arena);
}

static void f32_is_accurate(void **state) {
    (void)state;
    check_floats(NULL, KT_F32);
}
static void f64_is_accurate(void **state) {
    (void)state;
    check_floats(NULL, KT_F64);
}
static void f16_is_rounded(void **state) {
    (void)state;
    check_floats(NULL, KT_F16);
}
static void bf16_is_rounded(void **state) {
    (void)state;
    check_floats(NULL, KT_BF16);
}
static void f32_of_plain_cpu(void **state) {
    (void)state;
    check_floats("x86-64", KT_F32);
}
static void f64_of_plain_cpu(void **state) {
    (void)state;
    check_floats("x86-64", KT_F64);
}
static void f16_of_plain_cpu(void **state) {
    (void)state;
    check_floats("x86-64", KT_F16);
}
static void f32_of_avx512(void **state) {
    (void)state;
    check_floats("x86-64-v4", KT_F32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_is_accurate),  cmocka_unit_test(f64_is_accurate),
        cmocka_unit_test(f16_is_rounded),   cmocka_unit_test(bf16_is_rounded),
        cmocka_unit_test(f32_of_plain_cpu), cmocka_unit_test(f64_of_plain_cpu),
        cmocka_unit_test(f16_of_plain_cpu), cmocka_unit_test(f32_of_avx512),
    };
    return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
