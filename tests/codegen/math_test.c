/* Every elementwise operation in every dtype, compiled, against the C library in long double (floats: errors
 * in units of the last place, bounds in one table) or plain C (integers: exact). Lengths do not divide by the
 * number of lanes, so masked tails are run too. */
#include "elementwise.h"

typedef long double real;
typedef real reference(real x, real y);

/* ---- references ------------------------------------------------------------------------------ */

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
    WITHIN(expm1, 2, 4),
    WITHIN(log, 2, 2),
    WITHIN(log1p, 2, 4),
    WITHIN(sin, 0.6, 2),
    WITHIN(cos, 0.6, 2),
    WITHIN(tan, 0.6, 4),
    WITHIN(asin, 0.6, 2),
    WITHIN(acos, 0.6, 2),
    WITHIN(atan, 0.6, 2),
    WITHIN(sinh, 0.6, 4),
    WITHIN(cosh, 0.6, 4),
    WITHIN(tanh, 2, 4),
    WITHIN(asinh, 0.6, 4),
    WITHIN(acosh, 0.6, 4),
    WITHIN(atanh, 0.6, 4),
    WITHIN(erf, 2, 4),
    WITHIN(logistic, 2, 4),
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

/* ---- floats ---------------------------------------------------------------------------------- */

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
static void f16_of_plain_cpu(void **state) {
    (void)state;
    check_floats("x86-64", KT_F16);
}
static void f32_of_avx512(void **state) {
    (void)state;
    check_floats("x86-64-v4", KT_F32);
}

/* ---- exponentials of softmaxes --------------------------------------------------------------- */

static kt_reg up_to_0(kt_loops *loops, kt_op op, kt_dtype result, kt_reg x, kt_reg y, kt_reg z) {
    (void)op, (void)result, (void)y, (void)z;
    return kt_loops_exp(loops, x);
}

/* As docs/accuracy.md has it. */
static bool is_exp_up_to_0(float x, float got) {
    real exact = expl((real)x), size = fabsl((real)x);
    if (isnan(x)) return isnan(got);
    if (x == 0 || isinf(x)) return (real)got == exact;
    return fabsl((real)got - exact) <=
           exact * (4 + 1.25L * size) * 0x1p-24L + (exact < 0x1.8p-126L ? exact : 0);
}

static void exponentials_up_to_0(void **state) {
    (void)state;
    static const char *const cpus[] = {NULL, "x86-64", "haswell", "x86-64-v4"};
    for (int i = 0; i < 4; i++) {
        fixture f = begin(cpus[i]);
        const kt_loops *loops[3];
        kt_kernel_fn *kernels[3];
        uint64_t random = 1;
        float *x = f.x, *got = f.result;
        for (int j = 0; j < COUNT; j++) x[j] = -fabsf((float)sample(&random, KT_F32, j));
        for (int j = 0; j < 3; j++) /* by one register, several, and none that is full */
            loops[j] = kernel_by(f.graph, &f.target, up_to_0, KT_OP_exp, KT_F32, KT_F32, COUNT,
                                 (int[]){16, 64, 2}[j]);
        if (kernel_runner_runs(&f.target)) kernel_runner_load(f.arena, &f.target, 2, loops, 3, kernels);
        for (int j = 0; j < 3 && kernel_runner_runs(&f.target); j++) {
            kernels[j]((void *const[]){x, got}, NULL, 0, 1);
            for (int k = 0; k < COUNT; k++)
                if (!is_exp_up_to_0(x[k], got[k]))
                    fail_msg("e^%a by code for %s: %a", (double)x[k], f.target.cpu, (double)got[k]);
        }
        kt_arena_destroy(f.arena);
    }
}

/* NaN compares as IEEE says. */
static void floats_compare(void **state) {
    (void)state;
    static const kt_op ops[] = {KT_OP_eq, KT_OP_ne, KT_OP_lt,     KT_OP_le,
                                KT_OP_gt, KT_OP_ge, KT_OP_is_nan, KT_OP_is_finite};
    enum { OPS = sizeof ops / sizeof *ops };
    for (int number = KT_F32; number <= KT_BF16; number++) {
        kt_dtype dtype = (kt_dtype)number;
        fixture f = begin(NULL);
        const kt_loops *loops[OPS];
        kt_kernel_fn *kernels[OPS];
        uint64_t random = 1;
        for (int i = 0; i < OPS; i++) loops[i] = kernel_of(f.graph, &f.target, ops[i], dtype, KT_BOOL);
        kernel_runner_load(f.arena, &f.target, 1, loops, OPS, kernels);
        for (int i = 0; i < COUNT; i++) {
            kt_element_set_float(dtype, f.x, (size_t)i, edges[random_bits(&random) % 20]);
            kt_element_set_float(dtype, f.y, (size_t)i, edges[random_bits(&random) % 20]);
        }
        for (int i = 0; i < OPS; i++) {
            void *const args[] = {f.x, i < 6 ? f.y : f.result, f.result};
            kernels[i](args, NULL, 0, 1);
            for (size_t j = 0; j < COUNT; j++) {
                double x = kt_element_float(dtype, f.x, j), y = kt_element_float(dtype, f.y, j);
                const bool expected[] = {x == y, x != y, x<y, x <= y, x> y, x >= y, isnan(x), isfinite(x)};
                assert_int_equal(kt_element_integer(KT_BOOL, f.result, j), expected[i]);
            }
        }
        kt_arena_destroy(f.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_is_accurate),  cmocka_unit_test(f64_is_accurate),
        cmocka_unit_test(f16_is_rounded),   cmocka_unit_test(bf16_is_rounded),
        cmocka_unit_test(f32_of_plain_cpu), cmocka_unit_test(f16_of_plain_cpu),
        cmocka_unit_test(f32_of_avx512),    cmocka_unit_test(exponentials_up_to_0),
        cmocka_unit_test(floats_compare),
    };
    return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
