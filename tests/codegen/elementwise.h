/* What tests of elementwise operations share: numbers to try, and a kernel of one operation. */
#ifndef KT_TESTS_ELEMENTWISE_H
#define KT_TESTS_ELEMENTWISE_H

#include "kernel_runner.h"
#include "kt_cmocka.h"

#include "ir/element.h"

#include <math.h>

enum { COUNT = 1603 };

/* ---- samples --------------------------------------------------------------------------------- */

static inline uint64_t random_bits(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static inline double uniform(uint64_t *state, double reach) {
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
static inline double sample(uint64_t *state, kt_dtype dtype, int index) {
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

/* ---- kernels --------------------------------------------------------------------------------- */

/* kt_loops_apply, or what else code has for the operation. */
typedef kt_reg apply_fn(kt_loops *loops, kt_op op, kt_dtype result, kt_reg x, kt_reg y, kt_reg z);

/* A kernel of one operation over length elements, a vector at a time with a masked last turn. */
static inline kt_loops *kernel_by(kt_graph *graph, const kt_target *target, apply_fn *apply, kt_op op,
                                  kt_dtype dtype, kt_dtype result, int64_t length, int lanes) {
    const int64_t shape[] = {length};
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
    kt_loops_init(loops, arena, graph, &builder.function, target);
    kt_reg end = kt_loops_int(loops, length);
    kt_reg i =
        kt_loops_begin(loops, KT_LOOP_SERIAL, kt_loops_int(loops, 0), end, kt_loops_int(loops, lanes), NULL);
    kt_reg mask = kt_loops_mask(loops, kt_loops_index(loops, KT_INDEX_SUB, end, i), lanes);
    kt_reg x = kt_loops_load(loops, 0, i, lanes, mask);
    kt_reg y = count > 1 ? kt_loops_load(loops, 1, i, lanes, mask) : 0;
    kt_reg z = apply(loops, op, kt_graph_type(graph, value)->dtype, x, y, 0);
    kt_loops_store(loops, (uint32_t)count, i, z, mask);
    kt_loops_end(loops);
    return loops;
}

static inline kt_loops *kernel_over(kt_graph *graph, const kt_target *target, kt_op op, kt_dtype dtype,
                                    kt_dtype result, int64_t length, int lanes) {
    return kernel_by(graph, target, kt_loops_apply, op, dtype, result, length, lanes);
}

/* The same over COUNT elements. */
static inline kt_loops *kernel_of(kt_graph *graph, const kt_target *target, kt_op op, kt_dtype dtype,
                                  kt_dtype result) {
    int lanes = kt_target_lanes(target, dtype);
    /* Integer vectors fall apart into scalars in places, which takes LLVM long. */
    int most = kt_dtype_is_float(dtype) ? 8 : 4;
    return kernel_over(graph, target, op, dtype, result, COUNT, lanes < most ? lanes : most);
}

typedef struct fixture {
    kt_arena *arena;
    kt_graph *graph;
    kt_target target;
    void *x, *y, *result;
} fixture;

static inline fixture begin(const char *cpu) {
    fixture f = {.arena = kt_arena_create()};
    kt_diag diag = {0};
    f.graph = kt_graph_create(f.arena, "math");
    assert_int_equal(kt_target_describe(NULL, cpu, NULL, f.arena, &f.target, &diag), KT_OK);
    f.x = kt_arena_alloc(f.arena, COUNT * 8);
    f.y = kt_arena_alloc(f.arena, COUNT * 8);
    f.result = kt_arena_alloc(f.arena, COUNT * 8);
    return f;
}

static inline bool is_unsigned(kt_dtype dtype) { return kt_dtype_is_unsigned_integer(dtype); }

/* number as an element of dtype: wrapped. */
static inline int64_t wrapped(kt_dtype dtype, int64_t number) {
    uint64_t element = 0;
    kt_element_set_integer(dtype, &element, 0, number);
    return kt_element_integer(dtype, &element, 0);
}

/* Small numbers, all bits, and the extremes. */
static inline int64_t integer_sample(uint64_t *state, kt_dtype dtype) {
    uint64_t bits = random_bits(state);
    int width = 8 * (int)kt_dtype_bytes(dtype);
    switch (bits % 4) {
    case 0: return wrapped(dtype, (int64_t)(bits >> 32) % 5 - 2);
    case 1: return wrapped(dtype, (int64_t)(bits >> 32) % 70 - 3);
    case 2: return wrapped(dtype, (int64_t)((UINT64_C(1) << (width - 1)) - (bits >> 8) % 2));
    default: return wrapped(dtype, (int64_t)(bits >> 2));
    }
}

#endif
