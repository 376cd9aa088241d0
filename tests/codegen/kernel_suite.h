/* Kernels under test: written with the builder, compiled, run in one, two and three parts, and compared with
 * the reference evaluator. */
#ifndef KT_TESTS_KERNEL_SUITE_H
#define KT_TESTS_KERNEL_SUITE_H

#include "kernel_runner.h"

typedef struct suite {
    kt_arena *arena;
    kt_graph *graph;
    kt_diag diag;
    kt_builder b;
    kt_dim n, t; /* symbols */
    kt_tuning *tuning; /* what kernels are chosen by; NULL: the cost model alone */
    KT_VECTOR(kt_func) kernels;
} suite;

enum { N = -1, T = -2 }; /* in lists of sizes: the symbols */

suite begin_suite(void);
/* A kernel: begin, parameters and nodes with s->b, end with its (last) result. */
void begin(suite *s, const char *name);
void end(suite *s, kt_value result);
/* Runs all kernels with each pair of symbol values; cpu NULL: this machine's. */
void run_suite(suite *s, const char *cpu, const int64_t (*symbols)[2], int count);
/* Generates code that this machine may not be able to run; LLVM's verifier looks at it. */
void compile_suite(suite *s, const char *cpu);
void end_suite(suite *s);
/* All of it, with a few symbol values. */
void finish(suite *s);

kt_dim dim_of(suite *s, int64_t size);
kt_type type_of(suite *s, kt_dtype dtype, int rank, const int64_t *sizes);
kt_value param_of(suite *s, kt_dtype dtype, int rank, const int64_t *sizes);
kt_value reshape_to(suite *s, kt_value x, int rank, const int64_t *sizes);
kt_value broadcast_to(suite *s, kt_value x, int rank, const int64_t *sizes, const int64_t *axes);
kt_value relu(suite *s, kt_value x);
kt_value add_bias(suite *s, kt_value x); /* a parameter, along the last axis */

#define SIZES(...)                 ((const int64_t[]){__VA_ARGS__})
#define COUNT(...)                 ((int)(sizeof SIZES(__VA_ARGS__) / sizeof(int64_t)))
#define PARAM(s, dtype, ...)       param_of(s, dtype, COUNT(__VA_ARGS__), SIZES(__VA_ARGS__))
#define RESHAPE(s, x, ...)         reshape_to(s, x, COUNT(__VA_ARGS__), SIZES(__VA_ARGS__))
#define BROADCAST(s, x, axes, ...) broadcast_to(s, x, COUNT(__VA_ARGS__), SIZES(__VA_ARGS__), axes)

#endif
