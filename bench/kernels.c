/* Single kernels on one core, a line each: what they reach of what the core can do in the same vectors.
 *
 *   cmake --build --preset release --target bench_kernels
 *   taskset -c 0 build/release/bin/bench_kernels [--cpu=CPU] [ASSEMBLY]
 *
 * Each is held against what binds it: the longer of the time that its multiply-adds take at their peak and of
 * the time that it takes to move as much as its operands and its result are. Of rows and of what is done by
 * element only the bytes count, not what exponentials and roots take. All is measured here, beside the
 * kernel, and of each the fastest run counts. --cpu=haswell measures AVX2 code. */
#include "kernel_suite.h"

#include "kt_cmocka.h"
#include "limits.h"

/* What is measured. */
typedef struct line {
    uint32_t kernel;
    int64_t batch;
} line;

typedef struct bench {
    suite s;
    kt_target target;
    int64_t panel; /* columns of packed weights */
    KT_VECTOR(line) lines;
} bench;

/* The kernel that was written last, with this batch. */
static void with_batch(bench *b, int64_t batch) {
    KT_PUSH(b->s.arena, &b->lines, ((line){b->s.kernels.count - 1, batch}));
}

static kt_value bias_relu(suite *s, kt_value x, int64_t columns) {
    kt_type type = *kt_build_type(&s->b, x);
    kt_value bias =
        kt_build_broadcast(&s->b, PARAM(s, KT_F32, columns), type.rank, type.dims, SIZES(type.rank - 1));
    return relu(s, kt_build_add(&s->b, x, bias));
}

/* Weights lie in panels as the pass layout chooses them. */
static void add_dense(bench *b, int64_t rows, int64_t depth, int64_t columns) {
    suite *s = &b->s;
    begin(s, kt_arena_format(s->arena, "dense %lldx%lld", (long long)depth, (long long)columns));
    int64_t lanes = kt_target_lanes(&b->target, KT_F32), panel = columns > lanes ? b->panel : lanes;
    bool lines = b->target.vector_bytes == 64, near = depth * columns <= 1 << 17;
    int64_t wide = lanes * (lines ? 4 : 8); /* for a single row */
    if (columns > lanes && (columns + panel - 1) / panel * panel % wide == 0 && (lines || near)) panel = wide;
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .panel = panel, .columns = columns};
    kt_value x = PARAM(s, KT_F32, rows, depth),
             w = PARAM(s, KT_F32, (columns + panel - 1) / panel, depth, panel);
    end(s, bias_relu(s, kt_build_dot_general(&s->b, x, w, &attrs), columns));
}

/* As gradients of weights are: x^T * dy. */
static void add_by_columns(suite *s, int64_t rows, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "by columns %lldx%lld", (long long)rows, (long long)columns));
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
    kt_value x = PARAM(s, KT_F32, N, rows), dy = PARAM(s, KT_F32, N, columns);
    end(s, kt_build_dot_general(&s->b, kt_build_transpose(&s->b, x, (int64_t[]){1, 0}), dy, &attrs));
}

static void add_conv(bench *b, int64_t size, int64_t channels, int64_t window, int64_t features) {
    suite *s = &b->s;
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
                           .panel = b->panel,
                           .columns = features};
    kt_value x = PARAM(s, KT_F32, N, size + window - 1, size + window - 1, channels);
    kt_value w = PARAM(s, KT_F32, (features + b->panel - 1) / b->panel, window * window * channels, b->panel);
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

static void add_grouped(suite *s, int64_t size, int64_t groups, int64_t channels, int64_t stride,
                        bool by_kernel) {
    begin(s, kt_arena_format(s->arena, "%s %lldx%lld %lldx%lld /%lld", by_kernel ? "by kernel" : "grouped",
                             (long long)size, (long long)size, (long long)groups, (long long)channels,
                             (long long)stride));
    end(s, in_groups(s, size, groups, channels, stride, by_kernel));
}

/* A number of each row, repeated along it. */
static kt_value along_rows(suite *s, kt_value number, kt_value x) {
    kt_type type = *kt_build_type(&s->b, x);
    return kt_build_broadcast(&s->b, number, 2, type.dims, SIZES(0));
}

/* The rows of a matrix reduced, and each repeated along its row. */
static kt_value of_rows(suite *s, kt_value x, kt_reduction kind) {
    return along_rows(s, kt_build_reduce(&s->b, x, kind, 1, SIZES(1)), x);
}

static void add_softmax(suite *s, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "softmax %lld", (long long)columns));
    kt_value x = PARAM(s, KT_F32, N, columns);
    x = kt_build_exp(&s->b, kt_build_sub(&s->b, x, of_rows(s, x, KT_REDUCE_MAXIMUM)));
    kt_value sum = kt_build_reduce(&s->b, x, KT_REDUCE_SUM, 1, SIZES(1));
    kt_value share = kt_build_div(&s->b, kt_build_like(&s->b, sum, 1), sum);
    end(s, kt_build_mul(&s->b, x, along_rows(s, share, x)));
}

static void add_layer_norm(suite *s, int64_t columns) {
    begin(s, kt_arena_format(s->arena, "layer norm %lld", (long long)columns));
    kt_value x = PARAM(s, KT_F32, N, columns);
    kt_type type = *kt_build_type(&s->b, x);
    kt_value share = kt_build_like(&s->b, x, 1 / (double)columns);
    kt_value scale = kt_build_broadcast(&s->b, PARAM(s, KT_F32, columns), type.rank, type.dims, SIZES(1));
    x = kt_build_sub(&s->b, x, kt_build_mul(&s->b, of_rows(s, x, KT_REDUCE_SUM), share));
    kt_value variance = kt_build_mul(&s->b, of_rows(s, kt_build_mul(&s->b, x, x), KT_REDUCE_SUM), share);
    kt_value root = kt_build_rsqrt(&s->b, kt_build_add(&s->b, variance, kt_build_like(&s->b, x, 1e-3)));
    end(s, kt_build_mul(&s->b, kt_build_mul(&s->b, x, root), scale));
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

/* Aligned as a program's buffers are. */
static void *new_floats(kt_arena *arena, int64_t count) {
    enum { ALIGNMENT = 64 };
    char *room = kt_arena_alloc(arena, (size_t)count * sizeof(float) + 256 + ALIGNMENT);
    float *data = (float *)(room + (ALIGNMENT - (uintptr_t)room % ALIGNMENT) % ALIGNMENT);
    for (int64_t i = 0; i < count; i++) data[i] = (float)(i % 17) * 0.1f - 0.8f;
    return data;
}

/* ---- what is measured ------------------------------------------------------------------------ */

/* A kernel with its operands and results. */
typedef struct measured {
    kt_kernel_fn *run;
    int64_t symbols[2];
    uint32_t count; /* operands, and the result behind them */
    void *args[8];
    size_t bytes[8];
    double operations; /* of multiply-adds, two each */
    bool wide;         /* in vectors of 64 bytes */
} measured;

typedef void measured_fn(measured *m);

enum { TURNS = 20000 };

static void run_kernel(measured *m) { m->run(m->args, m->symbols, 0, 1); }
static void multiply(measured *m) { limits_multiply(m->wide, TURNS); }
/* Fills the result with the first operand, again and again, and reads what else there is. */
static void move(measured *m) {
    size_t result = m->bytes[m->count - 1], piece = m->bytes[0] < result ? m->bytes[0] : result;
    for (size_t done = 0; done < result; done += piece)
        memcpy((char *)m->args[m->count - 1] + done, m->args[0],
               piece < result - done ? piece : result - done);
    limits_read(m->wide, (char *)m->args[0] + piece, m->bytes[0] - piece);
    for (uint32_t i = 1; i + 1 < m->count; i++) limits_read(m->wide, m->args[i], m->bytes[i]);
}

static double fastest(measured_fn *run, measured *m) {
    double best = 1e9;
    for (double begin = limits_seconds(); limits_seconds() - begin < 0.1;) {
        double start = limits_seconds();
        run(m);
        double took = limits_seconds() - start;
        if (took < best) best = took;
    }
    return best;
}

static void add_argument(const suite *s, kt_arena *arena, measured *m, kt_value value) {
    int64_t count = elements(s, value, m->symbols);
    m->args[m->count] = new_floats(arena, count);
    m->bytes[m->count++] = (size_t)count * sizeof(float);
}

static measured prepare(const bench *b, const line *l, kt_kernel_fn *run, kt_arena *arena) {
    const suite *s = &b->s;
    const kt_function *kernel = kt_graph_function(s->graph, s->kernels.at[l->kernel]);
    measured m = {.run = run, .symbols = {l->batch, 1}, .wide = b->target.vector_bytes == 64};
    for (uint32_t i = 0; i < kernel->params.count; i++)
        add_argument(s, arena, &m, kernel->params.at[i].value);
    kt_value result = kernel->results.at[0].value;
    add_argument(s, arena, &m, result);
    const kt_type *w = kernel->params.count > 1 ? kt_graph_type(s->graph, kernel->params.at[1].value) : NULL;
    if (!w || w->rank == 1) return m;
    /* [panels, depth, panel], [window…, channels, features] or, by the kernel, [images, places…, features] */
    m.operations = 2 * (double)elements(s, result, m.symbols);
    for (int i = w->rank == 3; i < w->rank - 1; i++)
        m.operations *= (double)kt_dim_eval(s->graph->dims, w->dims[i], m.symbols);
    return m;
}

static void measure(const bench *b, const line *l, kt_kernel_fn *run) {
    kt_arena *arena = kt_arena_create();
    measured m = prepare(b, l, run, arena);
    double bytes = 0, took = fastest(run_kernel, &m);
    for (uint32_t i = 0; i < m.count; i++) bytes += (double)m.bytes[i];
    double multiplying = m.operations * fastest(multiply, &m) / (limits_operations(m.wide) * TURNS);
    double moving = fastest(move, &m), least = multiplying > moving ? multiplying : moving;
    double work = least > moving ? m.operations : bytes;
    const kt_function *kernel = kt_graph_function(b->s.graph, b->s.kernels.at[l->kernel]);
    printf("%-28s batch %5lld %10.2f us %7.2f of %7.2f %-7s %3.0f %%\n", kernel->name, (long long)l->batch,
           took * 1e6, work / took * 1e-9, work / least * 1e-9, least > moving ? "GFLOP/s" : "GB/s",
           100 * least / took);
    kt_arena_destroy(arena);
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

static void add_products(bench *b) {
    static const int64_t dense[][2] = {{784, 128},   {256, 512},  {512, 512},  {784, 512},
                                       {1024, 1024}, {768, 3072}, {1000, 1000}};
    static const int64_t batches[] = {1, 2, 8, 32, 128, 512};
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) {
        add_dense(b, N, dense[i][0], dense[i][1]);
        for (size_t j = 0; j < sizeof batches / sizeof *batches; j++) with_batch(b, batches[j]);
    }
    static const int64_t small[][2] = {{13, 64}, {64, 64}, {100, 300}, {512, 10}};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        add_dense(b, N, small[i][0], small[i][1]);
        with_batch(b, 256);
    }
    static const int64_t by_columns[][2] = {{64, 64}, {256, 256}, {256, 1024}, {1024, 256}, {784, 512}};
    for (size_t i = 0; i < sizeof by_columns / sizeof *by_columns; i++) {
        add_by_columns(&b->s, by_columns[i][0], by_columns[i][1]);
        with_batch(b, 2048);
    }
}

static void add_convolutions(bench *b) {
    static const int64_t convolutions[][4] = {{56, 64, 3, 64},  {28, 128, 3, 128}, {14, 256, 3, 256},
                                              {7, 512, 3, 512}, {28, 1, 3, 32},    {56, 64, 1, 256}};
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++) {
        const int64_t *c = convolutions[i];
        add_conv(b, c[0], c[1], c[2], c[3]);
        with_batch(b, 1);
    }
    add_grouped(&b->s, 112, 32, 1, 1, false);
    with_batch(b, 1);
    static const int64_t grouped[][4] = {{56, 64, 1, 1},  {56, 32, 4, 1},  {28, 32, 8, 1}, {14, 32, 4, 1},
                                         {14, 32, 16, 1}, {14, 32, 32, 1}, {7, 32, 4, 1},  {28, 32, 4, 2},
                                         {28, 32, 2, 1},  {28, 32, 3, 1},  {28, 20, 5, 1}, {28, 20, 6, 1},
                                         {28, 20, 7, 1}};
    for (size_t i = 0; i < 2 * (sizeof grouped / sizeof *grouped); i++) {
        const int64_t *g = grouped[i / 2];
        add_grouped(&b->s, g[0], g[1], g[2], g[3], i % 2 != 0);
        with_batch(b, 1);
    }
}

static void add_rows(bench *b) {
    /* of 256 columns: in the second cache, in the last one, and beyond */
    static const int64_t rows[] = {512, 4096, 65536};
    for (int64_t columns = 256; columns <= 1024; columns *= 4) {
        for (int norm = 0; norm < 2; norm++) {
            (norm ? add_layer_norm : add_softmax)(&b->s, columns);
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) with_batch(b, rows[i] * 256 / columns);
        }
    }
}

int main(int argc, char **argv) {
    const char *cpu = NULL;
    if (argc > 1 && strncmp(argv[1], "--cpu=", 6) == 0) {
        cpu = argv[1] + 6;
        argc--, argv++;
    }
    bench b = {.s = begin_suite()};
    kt_arena *arena = b.s.arena;
    if (kt_target_describe(NULL, cpu, NULL, arena, &b.target, &b.s.diag) != KT_OK) {
        fprintf(stderr, "%s\n", b.s.diag.problems[0].text);
        return 2;
    }
    b.panel = kt_target_for_passes(&b.target).panel_columns;
    add_products(&b);
    add_convolutions(&b);
    add_rows(&b);
    add_gelu(&b.s, 512);
    with_batch(&b, 512);
    uint32_t count = b.s.kernels.count;
    const kt_loops **loops = KT_NEW_ARRAY(arena, const kt_loops *, count);
    for (uint32_t i = 0; i < count; i++) {
        kt_loops *own = KT_NEW(arena, kt_loops);
        assert_int_equal(kt_lower_kernel(b.s.graph, b.s.kernels.at[i], &b.target, arena, own, &b.s.diag),
                         KT_OK);
        loops[i] = own;
    }
    kt_kernel_fn **run = KT_NEW_ARRAY(arena, kt_kernel_fn *, count);
    double start = limits_seconds();
    kernel_runner_load(arena, &b.target, 2, loops, count, run);
    printf("compiled for %s in %.2f s\n", b.target.cpu, limits_seconds() - start);
    if (argc > 1) {
        const void *bytes;
        size_t length;
        kt_module *module = kernel_runner_module(arena, &b.target, 2, loops, count);
        assert_int_equal(kt_module_emit(module, KT_CODE_ASSEMBLY, arena, &bytes, &length, &b.s.diag), KT_OK);
        write_text(argv[1], bytes, length);
    }
    for (uint32_t i = 0; i < b.lines.count; i++) measure(&b, &b.lines.at[i], run[b.lines.at[i].kernel]);
    end_suite(&b.s);
    return 0;
}
