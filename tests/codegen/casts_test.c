/* Casts between dtypes, compiled, against plain C: exact. And what programs would have to link: the functions
 * that generated code calls. */
#include "elementwise.h"

static int64_t saturated(kt_dtype dtype, double number) {
    int width = 8 * (int)kt_dtype_bytes(dtype);
    double low = is_unsigned(dtype) ? 0 : -ldexp(1, width - 1),
           high = ldexp(1, is_unsigned(dtype) ? width : width - 1);
    if (isnan(number)) return 0;
    if (number <= low) return is_unsigned(dtype) ? 0 : (int64_t)(~UINT64_C(0) << (width - 1));
    if (number >= high)
        return wrapped(dtype,
                       (int64_t)(is_unsigned(dtype) ? ~UINT64_C(0) : (UINT64_C(1) << (width - 1)) - 1));
    return dtype == KT_U64 ? (int64_t)(uint64_t)number : (int64_t)number;
}

/* Element i of data, as what casting it to dtype `to` gives, written at out. */
static void cast_reference(kt_dtype from, kt_dtype to, const void *data, size_t i, void *out) {
    if (!kt_dtype_is_float(from)) {
        int64_t x = kt_element_integer(from, data, i);
        if (kt_dtype_is_float(to)) {
            /* f32 and f64 round once from the integer, as C does. */
            if (to == KT_F32)
                *(float *)out = from == KT_U64 ? (float)(uint64_t)x : (float)x;
            else
                kt_element_set_float(to, out, 0, from == KT_U64 ? (double)(uint64_t)x : (double)x);
        } else {
            kt_element_set_integer(to, out, 0, x);
        }
        return;
    }
    double x = kt_element_float(from, data, i);
    if (kt_dtype_is_float(to))
        kt_element_set_float(to, out, 0, x);
    else
        kt_element_set_integer(to, out, 0, to == KT_BOOL ? x != 0 : saturated(to, x));
}

/* Enough to have every pair of kinds and widths that is converted differently. */
static const kt_dtype kinds[] = {KT_F32, KT_F64, KT_F16, KT_BF16, KT_I8, KT_I64, KT_U32, KT_U64, KT_BOOL};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void check_casts(const char *cpu, size_t count) {
    for (size_t k = 0; k < count; k++) {
        kt_dtype from = kinds[k];
        fixture f = begin(cpu);
        const kt_loops *loops[KINDS];
        kt_kernel_fn *kernels[KINDS];
        uint64_t random = 5;
        for (size_t j = 0; j < KINDS; j++)
            loops[j] = kernel_of(f.graph, &f.target, KT_OP_cast, from, kinds[j]);
        kernel_runner_load(f.arena, &f.target, 1, loops, KINDS, kernels);
        for (int i = 0; i < COUNT; i++) {
            if (kt_dtype_is_float(from))
                kt_element_set_float(from, f.x, (size_t)i, sample(&random, from, i));
            else
                kt_element_set_integer(from, f.x, (size_t)i, integer_sample(&random, from));
        }
        for (size_t j = 0; j < KINDS; j++) {
            kt_dtype to = kinds[j];
            void *const args[] = {f.x, f.result};
            size_t bytes = kt_dtype_bytes(to);
            kernels[j](args, NULL, 0, 1);
            for (size_t i = 0; i < COUNT; i++) {
                uint64_t expected = 0;
                const uint8_t *got = (const uint8_t *)f.result + i * bytes;
                cast_reference(from, to, f.x, i, &expected);
                bool nan = kt_dtype_is_float(to) && isnan(kt_element_float(to, &expected, 0));
                if (nan ? !isnan(kt_element_float(to, got, 0)) : memcmp(got, &expected, bytes) != 0)
                    fail_msg("cast of element %zu from %s to %s", i, kt_dtype_name(from), kt_dtype_name(to));
            }
        }
        kt_arena_destroy(f.arena);
    }
}

static void casts_are_exact(void **state) {
    (void)state;
    check_casts(NULL, KINDS);
}
static void casts_of_plain_cpu(void **state) {
    (void)state;
    check_casts("x86-64", 3);
}

/* ---- what programs would have to link -------------------------------------------------------- */

/* Of each function that generated code declares and does not define, by the assembly of every operation, only
 * libm's may be called. */
static void calls_only_libm(void **state) {
    (void)state;
    static const char *const targets[][2] = {
        {"x86_64-linux-gnu", "x86-64"}, {"x86_64-linux-gnu", "x86-64-v3"}, {"aarch64-linux-gnu", "generic"}};
    static const char allowed[] =
        " fmod fmodf sin cos tan sincos fma floor floorf ceil ceilf trunc truncf rint rintf ";
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        fixture f = begin(NULL);
        kt_diag diag = {0};
        assert_int_equal(kt_target_describe(targets[t][0], targets[t][1], NULL, f.arena, &f.target, &diag),
                         KT_OK);
        KT_VECTOR(const kt_loops *) loops = {0};
        for (size_t k = 0; k < KINDS; k++) {
            kt_dtype dtype = kinds[k];
            for (kt_op op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++)
                if (kt_domain_has(kt_op_describe(op)->domain, dtype) && (dtype <= KT_F16 || dtype == KT_I64))
                    KT_PUSH(f.arena, &loops, kernel_of(f.graph, &f.target, op, dtype, dtype));
            for (size_t j = 0; j < KINDS; j++)
                KT_PUSH(f.arena, &loops, kernel_of(f.graph, &f.target, KT_OP_cast, dtype, kinds[j]));
        }
        kt_module *module = kernel_runner_module(f.arena, &f.target, 0, loops.at, loops.count);
        const void *bytes;
        size_t size;
        assert_int_equal(kt_module_emit(module, KT_CODE_ASSEMBLY, f.arena, &bytes, &size, &diag), KT_OK);
        char *line = kt_arena_alloc(f.arena, size + 1), *rest = NULL;
        memcpy(line, bytes, size);
        for (line = strtok_r(line, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            char instruction[16], callee[64];
            if (sscanf(line, " %15s %63[^@ \n]", instruction, callee) != 2) continue;
            bool calls = strcmp(instruction, "callq") == 0 || strcmp(instruction, "bl") == 0 ||
                         strcmp(instruction, "jmp") == 0;
            if (!calls || callee[0] == '.' || callee[0] == '*') continue;
            if (!strncmp(callee, "__asan_", 7) || !strncmp(callee, "__tsan_", 7)) continue; /* our own wish */
            if (!strstr(allowed, kt_arena_format(f.arena, " %s ", callee)))
                fail_msg("code for %s calls %s", targets[t][1], callee);
        }
        kt_arena_destroy(f.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(casts_are_exact),
        cmocka_unit_test(casts_of_plain_cpu),
        cmocka_unit_test(calls_only_libm),
    };
    return cmocka_run_group_tests_name("casts", tests, NULL, NULL);
}
