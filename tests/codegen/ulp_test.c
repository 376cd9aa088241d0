/* How far each operation on floats of 32 bits is from the exact result, in units of the last place: kernels
 * of three targets against the C library in double, whose own error is 2^-29 of a unit. docs/accuracy.md
 * holds the worst errors over all 2^32 operands, and here they are the bounds: of every KT_TEST_STRIDE-th
 * float (1: of all), of those next to where a function or its algorithm changes, and of all edges.
 *
 *   KT_TEST_STRIDE=1 KT_TEST_OP=exp KT_TEST_VERBOSE=1 test_codegen_ulp
 *
 * prints exp's row of that page. NaN, infinities and the signs of zeros are C's. */
#include "elementwise.h"

#include <stdlib.h>

enum { CHUNK = 4096, TARGETS = 3, NEAR = 64 };
#ifdef KT_SANITIZE
static const uint64_t default_stride = 100003;
#else
static const uint64_t default_stride = 4001;
#endif
static const char *const cpus[TARGETS] = {"x86-64", "haswell", "x86-64-v4"};

/* ---- references ------------------------------------------------------------------------------ */

static double ref_neg(double x) { return -x; }
static double ref_sign(double x) { return isnan(x) || x == 0 ? x : copysign(1, x); }
static double ref_rsqrt(double x) { return 1 / sqrt(x); }
static double ref_logistic(double x) { return 1 / (1 + exp(-x)); }

static const struct {
    kt_op op;
    double (*reference)(double x);
} unary[] = {
    {KT_OP_neg, ref_neg}, {KT_OP_abs, fabs},    {KT_OP_sign, ref_sign},
    {KT_OP_floor, floor}, {KT_OP_ceil, ceil},   {KT_OP_round, rint},
    {KT_OP_trunc, trunc}, {KT_OP_sqrt, sqrt},   {KT_OP_rsqrt, ref_rsqrt},
    {KT_OP_exp, exp},     {KT_OP_expm1, expm1}, {KT_OP_log, log},
    {KT_OP_log1p, log1p}, {KT_OP_sin, sin},     {KT_OP_cos, cos},
    {KT_OP_tan, tan},     {KT_OP_asin, asin},   {KT_OP_acos, acos},
    {KT_OP_atan, atan},   {KT_OP_sinh, sinh},   {KT_OP_cosh, cosh},
    {KT_OP_tanh, tanh},   {KT_OP_asinh, asinh}, {KT_OP_acosh, acosh},
    {KT_OP_atanh, atanh}, {KT_OP_erf, erf},     {KT_OP_logistic, ref_logistic},
};
enum { UNARY_OPS = sizeof unary / sizeof *unary };

/* ---- errors ---------------------------------------------------------------------------------- */

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Of got, where exact would be right; 0.5 at most if got is the nearest float. An infinity instead of a large
 * number counts as 2^128. */
static double error_of(float got, double exact) {
    if (isnan(exact) || isnan(got)) return isnan(exact) && isnan(got) ? 0 : (double)INFINITY;
    if (got == 0 && !signbit(got) != !signbit(exact)) return INFINITY;
    if (isinf(exact)) return (double)got == exact ? 0 : (double)INFINITY;
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    int64_t exponent = (int64_t)(bits >> 52 & 0x7ff) - 1023;
    exponent = exponent < -126 ? -126 : exponent > 127 ? 127 : exponent;
    bits = (uint64_t)(23 - exponent + 1023) << 52;
    double units, value = got;
    memcpy(&units, &bits, sizeof units);
    if (isinf(got)) {
        if ((float)exact == got) return 0;
        value = copysign(0x1p128, value);
    }
    return fabs(value - exact) * units;
}

typedef struct worst {
    double error;
    float x, y, got;
} worst;

static void note(worst *worst, float x, float y, float got, double exact) {
    double error = error_of(got, exact);
    if (error > worst->error) *worst = (struct worst){error, x, y, got};
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* The row of an operation in docs/accuracy.md: "| name | plain | AVX2 | AVX-512 |". */
static void read_bounds(const char *name, double bounds[TARGETS]) {
    FILE *file = fopen(KT_TEST_SOURCE "/../docs/accuracy.md", "r");
    if (!file) fail_msg("cannot read docs/accuracy.md");
    if (!file) return;
    char line[512], found[32];
    bool known = false;
    while (!known && fgets(line, sizeof line, file))
        known = sscanf(line, "| %31[a-z0-9] | %lf | %lf | %lf |", found, &bounds[0], &bounds[1],
                       &bounds[2]) == 4 &&
                strcmp(found, name) == 0;
    fclose(file);
    if (!known) print_message("docs/accuracy.md has no row for %s\n", name);
}

static bool keeps_bounds(const char *name, const worst *worsts, const bool *ran) {
    double bounds[TARGETS] = {0};
    bool kept = true;
    if (getenv("KT_TEST_VERBOSE"))
        print_message("| %s | %.2f | %.2f | %.2f | %a |\n", name, ceil(worsts[0].error * 100) / 100,
                      ceil(worsts[1].error * 100) / 100, ceil(worsts[2].error * 100) / 100,
                      (double)worsts[2].x);
    read_bounds(name, bounds);
    for (int t = 0; t < TARGETS; t++) {
        if (!ran[t] || worsts[t].error <= bounds[t]) continue;
        print_message("%s for %s: an error of %.3f units at %a, %a: %a\n", name, cpus[t], worsts[t].error,
                      (double)worsts[t].x, (double)worsts[t].y, (double)worsts[t].got);
        kept = false;
    }
    return kept;
}

/* ---- kernels --------------------------------------------------------------------------------- */

typedef struct kernels {
    kt_arena *arena;
    bool ran[TARGETS];
    kt_kernel_fn *of[TARGETS][UNARY_OPS];
} kernels;

static kernels load(const kt_op *ops, uint32_t count) {
    kernels self = {.arena = kt_arena_create()};
    for (int t = 0; t < TARGETS; t++) {
        kt_diag diag = {0};
        kt_target target;
        const kt_loops *loops[UNARY_OPS];
        kt_graph *graph = kt_graph_create(self.arena, "ulp");
        assert_int_equal(kt_target_describe(NULL, cpus[t], NULL, self.arena, &target, &diag), KT_OK);
        self.ran[t] = kernel_runner_runs(&target);
        if (!self.ran[t]) continue;
        for (uint32_t i = 0; i < count; i++)
            loops[i] =
                kernel_over(graph, &target, ops[i], KT_F32, KT_F32, CHUNK, kt_target_lanes(&target, KT_F32));
        kernel_runner_load(self.arena, &target, 2, loops, count, self.of[t]);
    }
    return self;
}

/* ---- unary ----------------------------------------------------------------------------------- */

typedef struct batch {
    const kernels *kernels;
    uint32_t op;
    int count;
    float x[CHUNK], got[TARGETS][CHUNK];
    worst worsts[TARGETS];
} batch;

static void run_batch(batch *self) {
    for (int i = self->count; i < CHUNK; i++) self->x[i] = 0;
    for (int t = 0; t < TARGETS; t++) {
        void *const args[] = {self->x, self->got[t]};
        if (self->kernels->ran[t]) self->kernels->of[t][self->op](args, NULL, 0, 1);
    }
    for (int i = 0; i < self->count; i++) {
        double exact = unary[self->op].reference(self->x[i]);
        for (int t = 0; t < TARGETS; t++)
            if (self->kernels->ran[t]) note(&self->worsts[t], self->x[i], 0, self->got[t][i], exact);
    }
    self->count = 0;
}

static void add_operand(batch *self, uint32_t bits) {
    self->x[self->count++] = float_of(bits);
    if (self->count == CHUNK) run_batch(self);
}

/* Where algorithms change: of these, of their multiples by powers of two, and of their negatives. */
static const float turning[] = {0x1p-149F,  0x1p-126F,   0.34657359F, 0.5F,       0.70710678F, 0.41421356F,
                                1,          0.78539816F, 2,           4,          6,           10,
                                20,         16.6355F,    40,          88.722839F, 89,          87.336545F,
                                103.97208F, 104,         0x1p20F,     8.9F,       9.0109133F,  0x1p127F};

static bool check_unary(const kernels *kernels, uint32_t op) {
    const char *stride_text = getenv("KT_TEST_STRIDE");
    uint64_t stride = stride_text ? strtoull(stride_text, NULL, 10) : default_stride;
    assert_true(stride > 0);
    batch *batch = kt_arena_alloc(kernels->arena, sizeof *batch);
    *batch = (struct batch){.kernels = kernels, .op = op};
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += stride) add_operand(batch, (uint32_t)bits);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) add_operand(batch, bits_of((float)edges[i]));
    for (size_t i = 0; i < sizeof turning / sizeof *turning; i++)
        for (int32_t step = -NEAR; step <= NEAR; step++) {
            uint32_t bits = bits_of(turning[i]) + (uint32_t)step;
            add_operand(batch, bits & 0x7fffffff);
            add_operand(batch, bits | 0x80000000);
        }
    run_batch(batch);
    return keeps_bounds(kt_op_describe(unary[op].op)->name, batch->worsts, kernels->ran);
}

static void unary_operations_keep_their_bounds(void **state) {
    (void)state;
    const char *only = getenv("KT_TEST_OP");
    kt_op ops[UNARY_OPS];
    for (uint32_t i = 0; i < UNARY_OPS; i++) ops[i] = unary[i].op;
    kernels kernels = load(ops, UNARY_OPS);
    bool kept = true;
    for (uint32_t i = 0; i < UNARY_OPS; i++)
        if (!only || strcmp(only, kt_op_describe(ops[i])->name) == 0) kept = check_unary(&kernels, i) && kept;
    kt_arena_destroy(kernels.arena);
    assert_true(kept);
}

/* ---- binary ---------------------------------------------------------------------------------- */

/* Of a power: all edges, and numbers whose power is in range. */
static bool check_binary(const kernels *kernels, uint32_t op, double (*reference)(double x, double y)) {
    enum { EDGES = sizeof edges / sizeof *edges };
    float *x = kt_arena_alloc(kernels->arena, CHUNK * sizeof *x),
          *y = kt_arena_alloc(kernels->arena, CHUNK * sizeof *y);
    float *got = kt_arena_alloc(kernels->arena, CHUNK * sizeof *got);
    worst worsts[TARGETS] = {0};
    uint64_t random = 1;
    int turns = (int)(UINT64_C(4001) * 256 / default_stride), first = EDGES * EDGES / CHUNK + 1;
    for (int turn = 0; turn < turns + first; turn++) {
        for (int i = 0; i < CHUNK; i++) {
            int pair = turn * CHUNK + i;
            bool edge = pair < EDGES * EDGES;
            x[i] = edge ? (float)edges[pair / EDGES] : float_of((uint32_t)random_bits(&random));
            if (!edge && pair % 2) x[i] = (float)(1 + uniform(&random, 0.999));
            double reach = 140 / fmax(fabs(log2(fabs((double)x[i]))), 1e-6);
            y[i] = edge ? (float)edges[pair % EDGES] : (float)uniform(&random, isfinite(reach) ? reach : 10);
            if (!edge && pair % 8 == 0) y[i] = rintf(y[i]);
        }
        for (int t = 0; t < TARGETS; t++) {
            void *const args[] = {x, y, got};
            if (!kernels->ran[t]) continue;
            kernels->of[t][op](args, NULL, 0, 1);
            for (int i = 0; i < CHUNK; i++) note(&worsts[t], x[i], y[i], got[i], reference(x[i], y[i]));
        }
    }
    return keeps_bounds(op ? "atan2" : "pow", worsts, kernels->ran);
}

static void binary_operations_keep_their_bounds(void **state) {
    (void)state;
    static const kt_op ops[] = {KT_OP_pow, KT_OP_atan2};
    if (getenv("KT_TEST_OP")) return;
    kernels kernels = load(ops, 2);
    bool kept = check_binary(&kernels, 0, pow);
    kept = check_binary(&kernels, 1, atan2) && kept;
    kt_arena_destroy(kernels.arena);
    assert_true(kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_operations_keep_their_bounds),
        cmocka_unit_test(binary_operations_keep_their_bounds),
    };
    return cmocka_run_group_tests_name("ulp", tests, NULL, NULL);
}
