/* GFLOP/s of single kernels on one core, beside the machine's own peak of multiply-adds: a line each.
 *
 *   cmake --build --preset release --target bench_kernels && build/release/bin/bench_kernels [assembly-file]
 */
#include "kernel_suite.h"

#include "kt_cmocka.h"

#include <time.h>

enum { PANEL = 32 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Ten independent chains of multiply-adds, in vectors of 32 and of 64 bytes: the widest that there are. */
#define DEFINE_CHAINS(name, features, bytes, registers)                                                      \
    __attribute__((target(features))) static void name(int turns) {                                          \
        typedef float lanes __attribute__((vector_size(bytes)));                                             \
        lanes sums[10] = {{0}}, x = {0.5f}, y = {0.25f};                                                     \
        for (int i = 0; i < turns; i++) {                                                                    \
            for (int j = 0; j < 10; j++)                                                                     \
                __asm__ volatile("vfmadd231ps %1, %2, %0"                                                    \
                                 : "+" registers(sums[j])                                                    \
                                 : registers(x), registers(y));                                              \
        }                                                                                                    \
    }
DEFINE_CHAINS(chains_of_8, "avx2,fma", 32, "x")
DEFINE_CHAINS(chains_of_16, "avx512f", 64, "v")

static double peak_gflops(void) {
    enum { TURNS = 200000 };
    bool wide = __builtin_cpu_supports("avx512f");
    double best = 0, flops = (double)TURNS * 10 * (wide ? 32 : 16);
    for (int run = 0; run < 20; run++) {
        double begin = seconds();
        (wide ? chains_of_16 : chains_of_8)(TURNS);
        double rate = flops / (seconds() - begin) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}

static kt_value bias_relu(suite *s, kt_value x, int64_t columns) {
    kt_type type = *kt_build_type(&s->b, x);
    kt_value bias =
        kt_build_broadcast(&s->b, PARAM(s, KT_F32, columns), type.rank, type.dims, SIZES(type.rank - 1));
    return relu(s, kt_build_add(&s->b, x, bias));
}

static void add_dense(suite *s, int64_t rows, int64_t depth, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "dense %lldx%lld", (long long)depth, (long long)columns));
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .panel = PANEL, .columns = columns};
    kt_value x = PARAM(s, KT_F32, rows, depth),
             w = PARAM(s, KT_F32, (columns + PANEL - 1) / PANEL, depth, PANEL);
    end(s, bias_relu(s, kt_build_dot_general(&s->b, x, w, &attrs), columns));
}

/* As gradients of weights are: x^T * dy. */
static void add_by_columns(suite *s, int64_t rows, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "by columns %lldx%lld", (long long)rows, (long long)columns));
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    kt_value x = PARAM(s, KT_F32, N, rows), dy = PARAM(s, KT_F32, N, columns);
    end(s, kt_build_dot_general(&s->b, kt_build_transpose(&s->b, x, (int64_t[]){1, 0}), dy, &attrs));
}

static void add_conv(suite *s, int64_t size, int64_t channels, int64_t window, int64_t features) {
    begin(s, kt_arena_format(s->arena, "conv %lldx%lld %lldx%lldx%lld->%lld", (long long)window,
                             (long long)window, (long long)size, (long long)size, (long long)channels,
                             (long long)features));
    kt_dim zero = dim_of(s, 0);
    kt_attrs_conv attrs = {.strides = {2, {1, 1}},
                           .low = {2, {zero, zero}},
                           .high = {2, {zero, zero}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .groups = 1,
                           .window = {2, {window, window}},
                           .panel = PANEL,
                           .columns = features};
    kt_value x = PARAM(s, KT_F32, N, size + window - 1, size + window - 1, channels);
    kt_value w = PARAM(s, KT_F32, (features + PANEL - 1) / PANEL, window * window * channels, PANEL);
    end(s, bias_relu(s, kt_build_conv(&s->b, x, w, &attrs), features));
}

/* As many features as channels, by 3 x 3. */
static kt_value in_groups(suite *s, int64_t size, int64_t groups, int64_t channels, int64_t stride,
                          bool by_kernel) {
    kt_dim zero = dim_of(s, 0);
    int64_t all = groups * channels, input = (size - 1) * stride + 3;
    kt_attrs_conv attrs = {.strides = {2, {stride, stride}},
                           .low = {2, {zero, zero}},
                           .high = {2, {zero, zero}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .groups = groups};
    kt_attrs_conv_by_kernel by = {.strides = attrs.strides,
                                  .low = attrs.low,
                                  .high = attrs.high,
                                  .dilation = attrs.dilation,
                                  .groups = groups,
                                  .window = {2, {3, 3}}};
    kt_value x = PARAM(s, KT_F32, N, input, input, all);
    if (by_kernel) return kt_build_conv_by_kernel(&s->b, x, PARAM(s, KT_F32, N, size, size, all), &by);
    return bias_relu(s, kt_build_conv(&s->b, x, PARAM(s, KT_F32, 3, 3, channels, all), &attrs), all);
}

static void add_grouped(suite *s, int64_t size, int64_t groups, int64_t channels, int64_t stride) {
    for (int by_kernel = 0; by_kernel < 2; by_kernel++) {
        begin(s, kt_arena_format(s->arena, "%s %lldx%lld %lldx%lld /%lld",
                                 by_kernel ? "by kernel" : "grouped", (long long)size, (long long)size,
                                 (long long)groups, (long long)channels, (long long)stride));
        end(s, in_groups(s, size, groups, channels, stride, by_kernel != 0));
    }
}

static void add_softmax(suite *s, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "softmax %lld", (long long)columns));
    kt_value x = PARAM(s, KT_F32, N, columns);
    kt_type type = *kt_build_type(&s->b, x);
    kt_value top = kt_build_reduce(&s->b, x, KT_REDUCE_MAXIMUM, 1, SIZES(1));
    x = kt_build_exp(&s->b, kt_build_sub(&s->b, x, kt_build_broadcast(&s->b, top, 2, type.dims, SIZES(0))));
    kt_value sum = kt_build_reduce(&s->b, x, KT_REDUCE_SUM, 1, SIZES(1));
    end(s, kt_build_div(&s->b, x, kt_build_broadcast(&s->b, sum, 2, type.dims, SIZES(0))));
}

static void add_gelu(suite *s, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "gelu %lld", (long long)columns));
    kt_value x = PARAM(s, KT_F32, N, columns);
    kt_value e = kt_build_erf(&s->b, kt_build_mul(&s->b, x, kt_build_like(&s->b, x, 0.7071)));
    e = kt_build_add(&s->b, e, kt_build_like(&s->b, e, 1));
    end(s, kt_build_mul(&s->b, kt_build_mul(&s->b, x, e), kt_build_like(&s->b, e, 0.5)));
}

static int64_t elements(const suite *s, kt_value value, const int64_t *symbols) {
    const kt_type *type = kt_graph_type(s->graph, value);
    return kt_dim_eval(s->graph->dims, kt_type_elements(s->graph->dims, type), symbols);
}

static void *new_floats(suite *s, int64_t count) {
    float *data = kt_arena_alloc(s->arena, (size_t)count * sizeof *data + 64);
    for (int64_t i = 0; i < count; i++) data[i] = (float)(i % 17) * 0.1f - 0.8f;
    return data;
}

static void measure(suite *s, uint32_t number, kt_kernel_fn *run, int64_t batch, double peak) {
    const kt_function *kernel = kt_graph_function(s->graph, s->kernels.at[number]);
    int64_t symbols[] = {batch, 1};
    void *args[8];
    uint32_t count = kernel->params.count;
    for (uint32_t i = 0; i < count; i++)
        args[i] = new_floats(s, elements(s, kernel->params.at[i].value, symbols));
    args[count] = new_floats(s, elements(s, kernel->results.at[0].value, symbols));
    double work = (double)elements(s, kernel->results.at[0].value, symbols);
    const kt_type *w = count > 1 ? kt_graph_type(s->graph, kernel->params.at[1].value) : NULL;
    if (w) { /* [panels, depth, panel], [window…, channels, features] or, by the kernel, [images, places…,
                features] */
        int begin = w->rank == 3;
        for (int i = begin; i < w->rank - 1; i++)
            work *= (double)kt_dim_eval(s->graph->dims, w->dims[i], symbols);
        work *= 2;
    }
    double best = 1e9;
    for (double begin = seconds(); seconds() - begin < 0.1;) {
        double start = seconds();
        run(args, symbols, 0, 1);
        double took = seconds() - start;
        if (took < best) best = took;
    }
    double rate = work / best * 1e-9;
    printf("%-28s batch %4lld %10.2f us %7.2f %s", kernel->name, (long long)batch, best * 1e6, rate,
           w ? "GFLOP/s" : "G elements/s");
    if (w) printf(" %3.0f %%", 100 * rate / peak);
    printf("\n");
}

static void write_text(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        exit(1);
    }
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

int main(int argc, char **argv) {
    suite s = begin_suite();
    add_dense(&s, N, 512, 512);
    add_dense(&s, N, 784, 128);
    static const int64_t by_columns[][2] = {{64, 64}, {256, 256}, {256, 1024}, {1024, 256}, {784, 512}};
    enum { BY_COLUMNS = sizeof by_columns / sizeof *by_columns };
    for (int i = 0; i < BY_COLUMNS; i++) add_by_columns(&s, by_columns[i][0], by_columns[i][1]);
    add_conv(&s, 56, 64, 3, 64);
    add_conv(&s, 28, 128, 3, 128);
    add_conv(&s, 7, 512, 3, 512);
    add_conv(&s, 28, 1, 3, 32);
    add_conv(&s, 56, 64, 1, 256);
    static const int64_t grouped[][4] = {{56, 64, 1, 1},  {56, 32, 4, 1},  {28, 32, 8, 1}, {14, 32, 4, 1},
                                         {14, 32, 16, 1}, {14, 32, 32, 1}, {7, 32, 4, 1},  {28, 32, 4, 2},
                                         {28, 32, 2, 1},  {28, 32, 3, 1},  {28, 20, 5, 1}, {28, 20, 6, 1},
                                         {28, 20, 7, 1}};
    enum { GROUPED = sizeof grouped / sizeof *grouped, PRODUCTS = 7 + BY_COLUMNS + 2 * GROUPED };
    for (int i = 0; i < GROUPED; i++)
        add_grouped(&s, grouped[i][0], grouped[i][1], grouped[i][2], grouped[i][3]);
    add_softmax(&s, 512);
    add_gelu(&s, 512);
    kt_target target;
    kt_arena *arena = s.arena;
    assert_int_equal(kt_target_describe(NULL, NULL, NULL, arena, &target, &s.diag), KT_OK);
    const kt_loops **loops = KT_NEW_ARRAY(arena, const kt_loops *, s.kernels.count);
    for (uint32_t i = 0; i < s.kernels.count; i++) {
        kt_loops *own = KT_NEW(arena, kt_loops);
        assert_int_equal(kt_lower_kernel(s.graph, s.kernels.at[i], &target, arena, own, &s.diag), KT_OK);
        loops[i] = own;
    }
    kt_kernel_fn **run = KT_NEW_ARRAY(arena, kt_kernel_fn *, s.kernels.count);
    double start = seconds();
    kernel_runner_load(arena, &target, 2, loops, s.kernels.count, run);
    printf("compiled in %.2f s\n", seconds() - start);
    if (argc > 1) {
        const void *bytes;
        size_t count;
        kt_module *module = kernel_runner_module(arena, &target, 2, loops, s.kernels.count);
        assert_int_equal(kt_module_emit(module, KT_CODE_ASSEMBLY, arena, &bytes, &count, &s.diag), KT_OK);
        write_text(argv[1], bytes, count);
    }
    double peak = peak_gflops();
    printf("peak %.1f GFLOP/s\n", peak);
    static const int64_t batches[] = {1, 8, 32, 128};
    for (uint32_t i = 0; i < s.kernels.count; i++)
        for (int j = 0; j < (i < 2 ? 4 : 1); j++)
            measure(&s, i, run[i],
                    i < 2                ? batches[j]
                    : i < 2 + BY_COLUMNS ? 2048
                    : i < PRODUCTS       ? 1
                                         : 512,
                    peak);
    end_suite(&s);
    return 0;
}
