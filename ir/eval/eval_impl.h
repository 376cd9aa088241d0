/* What the files of the evaluator share.
 *
 * The walk (eval.c) gives each operation its operands and its result, whose shape is known and whose memory
 * is there and zeroed; kt_eval_NAME fills it in. Types have been checked by inference, and operands against
 * their types; what remains is what the symbols' values decide. Arithmetic happens on kt_number: floats as
 * double, everything else as 64-bit integers, rounded or wrapped to the dtype when it is stored. */
#ifndef KT_IR_EVAL_EVAL_IMPL_H
#define KT_IR_EVAL_EVAL_IMPL_H

#include "ir/ir.h"

typedef union kt_number {
    double real;     /* of float dtypes */
    int64_t integer; /* of the others; u64 as the i64 of the same bits */
} kt_number;

/* The values of a graph's symbols. */
typedef struct kt_eval_symbols {
    kt_dim_pool *dims;
    int64_t *values; /* by symbol index */
    bool *known;
    uint32_t count;
} kt_eval_symbols;

typedef struct kt_eval_op {
    struct kt_eval_walk *walk; /* for call and scan only */
    bool fast;                 /* large products may be OpenBLAS's */
    kt_graph *graph;
    const kt_eval_symbols *symbols;
    kt_op op;
    kt_loc loc;
    const void *attrs;
    const kt_tensor *operands;
    uint32_t operand_count;
    kt_tensor *result; /* of call and scan: all of them, still to be made */
    kt_arena *arena;   /* goes once the node has run; results belong elsewhere */
    kt_diag *diag;
} kt_eval_op;

/* ---- memory (memory.c) ----------------------------------------------------------------------- */
typedef struct kt_eval_memory kt_eval_memory;
/* For one evaluation of an entry. results: where what it gives shall lie; arena: its end ends all else. */
kt_eval_memory *kt_eval_memory_create(const kt_graph *graph, const kt_function *function, kt_arena *results,
                                      kt_arena *arena);
/* Around the node at a position of the function, each in its turn: where its results belong, and what is its own
 * while it runs. At the end goes what nobody reads any more. */
void kt_eval_memory_begin(kt_eval_memory *memory, uint32_t position, kt_arena **out_results,
                          kt_arena **out_scratch);
void kt_eval_memory_end(kt_eval_memory *memory, uint32_t position);
/* Does a result lie where it may stay: in the results' arena, or as a variable or constant in the graph? */
bool kt_eval_memory_keeps(const kt_eval_memory *memory, kt_value value);

kt_status kt_eval_fail(const kt_eval_op *e, kt_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A dimension for the symbols at hand; an error if one of its symbols is not known. */
kt_status kt_eval_dim(const kt_eval_op *e, kt_dim dim, int64_t *out_value) KT_MUST_USE;
kt_status kt_eval_dims(const kt_eval_op *e, const kt_dims *dims, int64_t *out_values) KT_MUST_USE;

/* ---- elements (tensor.c) --------------------------------------------------------------------- */

/* Reads count elements from data[first] on, writes them rounded or wrapped. dtype: a float, integer or bool.
 */
void kt_numbers_load(kt_dtype dtype, const void *data, size_t first, size_t count, kt_number *out_numbers);
void kt_numbers_store(kt_dtype dtype, void *data, size_t first, size_t count, const kt_number *numbers);
/* All elements of a tensor, in arena. */
kt_number *kt_numbers_of(kt_arena *arena, const kt_tensor *tensor);

/* Row-major strides, in elements. */
void kt_tensor_strides(const kt_tensor *tensor, int64_t *out_strides);

/* Copies a box of elements of `size` bytes; strides in elements, 0 and negative ones allowed. */
typedef struct kt_box {
    int rank;
    int64_t dims[KT_MAX_RANK], from_strides[KT_MAX_RANK], to_strides[KT_MAX_RANK];
} kt_box;
void kt_box_copy(const kt_box *box, size_t size, const void *from, void *to);

/* Steps a position through dims in row-major order; false after the last one. */
bool kt_next_position(int rank, const int64_t *dims, int64_t *position);

/* ---- operations ------------------------------------------------------------------------------ */

/* One element of an elementwise operation; comparisons give the integer 0 or 1. dtype: of the operands. */
typedef kt_number kt_scalar_unary(kt_dtype dtype, kt_number x);
typedef kt_number kt_scalar_binary(kt_dtype dtype, kt_number x, kt_number y);
#define KT_UNARY(name, domain, gradient, doc)          kt_scalar_unary kt_scalar_##name;
#define KT_BINARY(name, domain, traits, gradient, doc) kt_scalar_binary kt_scalar_##name;
#define KT_COMPARE(name, domain, doc)        kt_scalar_binary kt_scalar_##name;
#include "ir/ops.def"

kt_status kt_eval_unary(kt_eval_op *e, kt_scalar_unary *scalar);
kt_status kt_eval_binary(kt_eval_op *e, kt_scalar_binary *scalar);

/* totals[rows, columns] = x[rows, depth] * y[depth, columns] by OpenBLAS (blas.c). False: too small to be worth it, or
 * OpenBLAS is not there. */
bool kt_eval_blas_product(int64_t rows, int64_t columns, int64_t depth, const kt_number *x, const kt_number *y,
                          kt_number *totals);

/* The rows that are no scalar function. */
#define KT_UNARY(name, domain, gradient, doc)
#define KT_BINARY(name, domain, traits, gradient, doc)
#define KT_COMPARE(name, domain, doc)
#define KT_OP(name, operands, results, traits, gradient, doc) kt_status kt_eval_##name(kt_eval_op *e);
#include "ir/ops.def"

#endif
