/* Every elementwise operation of integers and bool, compiled, against plain C: exact. */
#include "elementwise.h"

static int64_t integer_power(kt_dtype dtype, int64_t x, int64_t y) {
    if (!is_unsigned(dtype) && y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
    uint64_t result = 1, base = (uint64_t)x;
    for (uint64_t left = (uint64_t)y; left; left >>= 1, base *= base)
        if (left & 1) result *= base;
    return (int64_t)result;
}

static int64_t integer_quotient(kt_dtype dtype, int64_t x, int64_t y, bool remainder) {
    if (y == 0) return 0;
    if (is_unsigned(dtype))
        return (int64_t)(remainder ? (uint64_t)x % (uint64_t)y : (uint64_t)x / (uint64_t)y);
    if (y == -1) return remainder ? 0 : (int64_t)-(uint64_t)x;
    return remainder ? x % y : x / y;
}

static bool integer_less(kt_dtype dtype, int64_t x, int64_t y) {
    return is_unsigned(dtype) ? (uint64_t)x < (uint64_t)y : x < y;
}

static int64_t integer_shift(kt_dtype dtype, int64_t x, int64_t y, bool left) {
    int64_t width = 8 * (int64_t)kt_dtype_bytes(dtype);
    bool outside = y < 0 || y >= width;
    if (left) return outside ? 0 : (int64_t)((uint64_t)x << y);
    if (is_unsigned(dtype)) return outside ? 0 : (int64_t)((uint64_t)x >> y);
    return x >> (outside ? 63 : y);
}

static int64_t integer_reference(kt_op op, kt_dtype dtype, int64_t x, int64_t y) {
    uint64_t a = (uint64_t)x, b = (uint64_t)y;
    switch (op) {
    case KT_OP_neg: return (int64_t)-a;
    case KT_OP_abs: return !is_unsigned(dtype) && x < 0 ? (int64_t)-a : x;
    case KT_OP_sign: return (x > 0) - (x < 0);
    case KT_OP_stop_gradient: return x;
    case KT_OP_not: return dtype == KT_BOOL ? !x : ~x;
    case KT_OP_add: return (int64_t)(a + b);
    case KT_OP_sub: return (int64_t)(a - b);
    case KT_OP_mul: return (int64_t)(a * b);
    case KT_OP_div: return integer_quotient(dtype, x, y, false);
    case KT_OP_rem: return integer_quotient(dtype, x, y, true);
    case KT_OP_pow: return integer_power(dtype, x, y);
    case KT_OP_maximum: return integer_less(dtype, x, y) ? y : x;
    case KT_OP_minimum: return integer_less(dtype, x, y) ? x : y;
    case KT_OP_and: return x & y;
    case KT_OP_or: return x | y;
    case KT_OP_xor: return x ^ y;
    case KT_OP_shift_left: return integer_shift(dtype, x, y, true);
    case KT_OP_shift_right: return integer_shift(dtype, x, y, false);
    case KT_OP_eq: return x == y;
    case KT_OP_ne: return x != y;
    case KT_OP_lt: return integer_less(dtype, x, y);
    case KT_OP_le: return !integer_less(dtype, y, x);
    case KT_OP_gt: return integer_less(dtype, y, x);
    case KT_OP_ge: return !integer_less(dtype, x, y);
    default: fail_msg("no reference for %s", kt_op_describe(op)->name); return 0;
    }
}

static void check_integer(fixture *f, kt_kernel_fn *kernel, kt_op op, kt_dtype dtype) {
    uint64_t state = op;
    const kt_op_info *info = kt_op_describe(op);
    kt_dtype result = info->compares ? KT_BOOL : dtype;
    for (size_t i = 0; i < COUNT; i++) {
        kt_element_set_integer(dtype, f->x, i, integer_sample(&state, dtype));
        kt_element_set_integer(dtype, f->y, i, integer_sample(&state, dtype));
    }
    void *const args[] = {f->x, info->operands == 2 ? f->y : f->result, f->result};
    kernel(args, NULL, 0, 1);
    for (size_t i = 0; i < COUNT; i++) {
        int64_t x = kt_element_integer(dtype, f->x, i), y = kt_element_integer(dtype, f->y, i);
        int64_t got = kt_element_integer(result, f->result, i);
        int64_t expected = wrapped(result, integer_reference(op, dtype, x, y));
        if (got != expected)
            fail_msg("%s of %s %lld, %lld: %lld and not %lld", info->name, kt_dtype_name(dtype), (long long)x,
                     (long long)y, (long long)got, (long long)expected);
    }
}

static void check_integers(const char *cpu, int step) {
    for (int number = KT_I8; number <= KT_BOOL; number += step) {
        kt_dtype dtype = (kt_dtype)number;
        fixture f = begin(cpu);
        const kt_loops *loops[KT_OP_COUNT];
        kt_kernel_fn *kernels[KT_OP_COUNT];
        kt_op ops[KT_OP_COUNT];
        uint32_t count = 0;
        for (kt_op op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++) {
            if (!kt_domain_has(kt_op_describe(op)->domain, dtype)) continue;
            ops[count] = op;
            loops[count++] = kernel_of(f.graph, &f.target, op, dtype, dtype);
        }
        kernel_runner_load(f.arena, &f.target, 1, loops, count, kernels);
        for (uint32_t i = 0; i < count; i++) check_integer(&f, kernels[i], ops[i], dtype);
        kt_arena_destroy(f.arena);
    }
}

static void integers_are_exact(void **state) {
    (void)state;
    check_integers(NULL, 1);
}
static void integers_of_plain_cpu(void **state) {
    (void)state;
    check_integers("x86-64", 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(integers_of_plain_cpu),
    };
    return cmocka_run_group_tests_name("integers", tests, NULL, NULL);
}
