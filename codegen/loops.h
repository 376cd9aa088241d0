/* The loop form: what a kernel is before it is LLVM IR.
 *
 * A kernel is a list of instructions with nested loops. Registers hold scalars or vectors (dtype, lanes); they
 * are in SSA form within their block. What changes over the turns of a loop lives in cells: named arrays of
 * registers that become phis. Loops are parallel (the outermost: its units are shared out over parts), serial,
 * or unrolled (expanded when lowered, so that cells can be indexed by the loop's index). A vector loop is a
 * serial loop whose body works on lanes elements at once, with a mask in its last turn where lanes do not
 * divide the extent.
 *
 * Index arithmetic is in i64 registers; constant folding happens as instructions are added. Operands of one
 * lane are splat where the other operand has more. Constants and dimensions (KT_CODE_CONST, KT_CODE_LANES,
 * KT_CODE_DIM) are registers that stand in no block: they are not in the instruction list and may be used
 * anywhere. The printed form reads like code; codegen/llvm/kernel.c is a direct walk over it. */
#ifndef KT_CODEGEN_LOOPS_H
#define KT_CODEGEN_LOOPS_H

#include "codegen/target.h"
#include "ir/ir.h"

typedef uint32_t kt_reg;  /* 0 is none */
typedef uint32_t kt_cell; /* an array of mutable registers */
enum { KT_MOST_STEPS = 64 }; /* lanes of a register whose indices are told apart (kt_loops_steps) */

typedef enum kt_loop_kind {
    KT_LOOP_SERIAL,
    KT_LOOP_PARALLEL, /* outermost only: begin and end are units; the kernel's part narrows them */
    KT_LOOP_UNROLL,   /* bounds are constants */
} kt_loop_kind;

typedef enum kt_code_op {
    KT_CODE_CONST,     /* integer or float constant, splat over lanes */
    KT_CODE_LANES,     /* integer constants, one a lane: numbers */
    KT_CODE_DIM,       /* the value of a dimension expression, i64 */
    KT_CODE_APPLY,     /* an elementwise operation of ops.def (op) on registers of equal lanes; select, cast too */
    KT_CODE_FMA,       /* a * b + c, fused where the target can */
    KT_CODE_EXP,       /* e^a for f32 up to 0: as exact as if a had been rounded once more (codegen/math/exp.c) */
    KT_CODE_DOT,       /* c + the sum of the products of a's words by b's: i32, of four bytes, unsigned by signed, or with flag
                        * of two i16; or f32, of two bf16 */
    KT_CODE_INDEX,     /* i64 arithmetic: index_op */
    KT_CODE_SPLAT,     /* one lane to all */
    KT_CODE_RAMP,      /* i64 lanes: start, start + 1, … */
    KT_CODE_MASK,      /* bool lanes: lane number < i64 operand */
    KT_CODE_PICK,      /* lane l is the lane numbers[l] of a and, counted on behind a's, of b, which may be 0 */
    KT_CODE_FOLD,      /* horizontal reduction of a vector to one lane (reduction); the largest or smallest float
                        * where none is NaN */
    KT_CODE_LOAD,      /* buffer[index], lanes consecutive elements; optional mask (others read 0); with flag
                        * words as i32, which index counts */
    KT_CODE_GATHER,    /* buffer[index lanes]: i64 vector of element positions; optional mask */
    KT_CODE_STORE,     /* buffer[index] = register; optional mask; with flag words */
    KT_CODE_SCATTER,   /* buffer[index lanes] = register; optional mask */
    KT_CODE_PREFETCH,  /* buffer[index] will be read */
    KT_CODE_PRODUCT,   /* a product of matrices, by a call of the runtime: product */
    KT_CODE_GET,       /* cell[index] */
    KT_CODE_SET,       /* cell[index] = register */
    KT_CODE_LOOP,      /* index register = the result; body: until the matching END */
    KT_CODE_IF,        /* i1 register; body until END (no else) */
    KT_CODE_END,
} kt_code_op;

typedef enum kt_index_op { KT_INDEX_ADD, KT_INDEX_SUB, KT_INDEX_MUL, KT_INDEX_DIV, KT_INDEX_MOD, KT_INDEX_MIN, KT_INDEX_MAX, KT_INDEX_LT, KT_INDEX_EQ, KT_INDEX_AND } kt_index_op; /* DIV, MOD: operands not negative; LT, EQ give bool */

/* C = A * B, or C += A * B where `before` is not 0; all of one dtype, f32 or f64. Buffers, where the matrices begin in
 * them, and strides in elements; columns of B and C are adjacent, and so are A's rows or its columns. */
typedef struct kt_product_call {
    uint32_t a, b, c;
    kt_reg a_at, b_at, c_at;
    kt_reg rows, columns, depth;
    kt_reg a_row, a_depth, b_depth, c_row; /* strides */
    kt_reg before;                         /* how many terms of the sums C holds already */
} kt_product_call;

typedef struct kt_code {
    kt_code_op code;
    kt_op op;              /* APPLY */
    kt_index_op index_op;  /* INDEX */
    kt_reduction reduction; /* FOLD */
    kt_loop_kind loop;     /* LOOP */
    kt_dtype dtype;        /* of the result */
    int lanes;             /* of the result */
    kt_reg result;         /* 0 where there is none */
    kt_reg a, b, c;        /* operands; LOAD, STORE: a index, b stored register; LOOP: a begin, b end, c step */
    kt_reg mask;           /* or 0 */
    uint32_t buffer;       /* LOAD, STORE, …: the kernel's argument */
    kt_cell cell;
    const kt_product_call *product; /* PRODUCT */
    int64_t integer;       /* CONST */
    const int64_t *numbers; /* LANES, PICK: one a lane */
    bool flag;             /* DOT, LOAD, STORE */
    double number;         /* CONST of floats */
    kt_dim dim;            /* DIM */
    kt_node node;          /* of the kernel, that it was made for; 0: of none */
    const char *comment;   /* LOOP and anything else: printed behind it; or NULL */
} kt_code;

typedef struct kt_cell_info {
    const char *name;
    kt_dtype dtype;
    int lanes;
    uint32_t count; /* how many registers: index with constants or indices of unrolled loops only */
} kt_cell_info;

typedef struct kt_loops {
    kt_arena *arena;
    kt_graph *graph;
    const kt_target *target;
    const char *name;
    uint32_t buffer_count;      /* the kernel function's parameters, then its results; then, as buffer number
                                 * buffer_count, its scratch memory */
    int64_t scratch_elements;   /* 0: none */
    kt_dtype *buffer_dtypes;
    kt_dim *buffer_elements;
    bool *buffer_is_result;
    kt_dim units;               /* of the parallel loop; 1 where there is none */
    bool leading;               /* units go along the leading axes of operands and results */
    kt_dim cost;                /* estimated nanoseconds of computing, for the decision to use threads */
    kt_choice choice;           /* what was decided on the way */
    kt_node node;               /* whose code is being added */
    KT_VECTOR(kt_code) code;
    KT_VECTOR(kt_cell_info) cells;   /* [0] unused */
    KT_VECTOR(kt_code) registers;    /* [0] unused; the instruction that makes each */
    kt_table constants;              /* registers of constants and dimensions */
} kt_loops;

void kt_loops_init(kt_loops *out_loops, kt_arena *arena, kt_graph *graph, const kt_function *kernel, const kt_target *target);

kt_reg kt_loops_int(kt_loops *loops, int64_t value);                              /* i64, one lane */
kt_reg kt_loops_const(kt_loops *loops, kt_dtype dtype, int lanes, double value);  /* any dtype */
kt_reg kt_loops_integer(kt_loops *loops, kt_dtype dtype, int lanes, int64_t value); /* any integer dtype, bool */
kt_reg kt_loops_lane_integers(kt_loops *loops, kt_dtype dtype, int lanes, const int64_t *values); /* any integer dtype, bool */
kt_reg kt_loops_dim(kt_loops *loops, kt_dim dim);                                 /* constants fold to kt_loops_int */
kt_reg kt_loops_index(kt_loops *loops, kt_index_op op, kt_reg a, kt_reg b);
kt_reg kt_loops_apply(kt_loops *loops, kt_op op, kt_dtype result, kt_reg a, kt_reg b, kt_reg c);
kt_reg kt_loops_fma(kt_loops *loops, kt_reg a, kt_reg b, kt_reg c);
kt_reg kt_loops_exp(kt_loops *loops, kt_reg a);                                    /* see KT_CODE_EXP */
kt_reg kt_loops_dot(kt_loops *loops, kt_reg a, kt_reg b, kt_reg c, bool shorts);   /* see KT_CODE_DOT; shorts: of two i16 */
kt_reg kt_loops_splat(kt_loops *loops, kt_reg a, int lanes);
kt_reg kt_loops_ramp(kt_loops *loops, kt_reg start, int lanes);
kt_reg kt_loops_mask(kt_loops *loops, kt_reg count, int lanes);                   /* the first count lanes */
/* Lane l is lane picks[l] of a and, counted on behind a's, of b; b may be 0. */
kt_reg kt_loops_pick(kt_loops *loops, kt_reg a, kt_reg b, int lanes, const int64_t *picks);
/* Runs of `run` lanes, a power of two below a's lanes, in turn from a and b, each from where it stood or one behind: with
 * run 1 and odd false a0 b0 a2 b2 …, with odd true a1 b1 a3 b3 …. */
kt_reg kt_loops_runs(kt_loops *loops, kt_reg a, kt_reg b, int run, bool odd);
/* Lane l is a's lane first + l / run * step; where a has none, its last. */
kt_reg kt_loops_spread(kt_loops *loops, kt_reg a, int lanes, int64_t first, int64_t run, int64_t step);
kt_reg kt_loops_fold(kt_loops *loops, kt_reduction kind, kt_reg vector);
kt_reg kt_loops_load(kt_loops *loops, uint32_t buffer, kt_reg index, int lanes, kt_reg mask);
/* Words, of four bytes or two elements of 16 bits, as i32; index counts words. */
kt_reg kt_loops_load_words(kt_loops *loops, uint32_t buffer, kt_reg index, int lanes);
void kt_loops_store_words(kt_loops *loops, uint32_t buffer, kt_reg index, kt_reg value);
kt_reg kt_loops_gather(kt_loops *loops, uint32_t buffer, kt_reg indices, kt_reg mask);
void kt_loops_store(kt_loops *loops, uint32_t buffer, kt_reg index, kt_reg value, kt_reg mask);
void kt_loops_scatter(kt_loops *loops, uint32_t buffer, kt_reg indices, kt_reg value, kt_reg mask);
void kt_loops_prefetch(kt_loops *loops, uint32_t buffer, kt_reg index);
/* Memory of the kernel's own, up to KT_SCRATCH_BYTES, on the stack of the thread that runs it; at most one. Returns its
 * buffer number. */
enum { KT_SCRATCH_BYTES = 1024 * 1024 };
uint32_t kt_loops_scratch(kt_loops *loops, kt_dtype dtype, int64_t elements);
void kt_loops_product(kt_loops *loops, const kt_product_call *call);
kt_cell kt_loops_cell(kt_loops *loops, const char *name, kt_dtype dtype, int lanes, uint32_t count);
kt_reg kt_loops_get(kt_loops *loops, kt_cell cell, kt_reg index);                 /* index 0: element 0 */
void kt_loops_set(kt_loops *loops, kt_cell cell, kt_reg index, kt_reg value);
/* At most one loop is parallel: from 0, by 1, to a constant or dimension, which becomes the kernel's units. */
kt_reg kt_loops_begin(kt_loops *loops, kt_loop_kind kind, kt_reg begin, kt_reg end, kt_reg step, const char *comment);
void kt_loops_if(kt_loops *loops, kt_reg condition);
void kt_loops_end(kt_loops *loops); /* of the innermost open loop or if */

kt_dtype kt_loops_dtype(const kt_loops *loops, kt_reg reg);
int kt_loops_lanes(const kt_loops *loops, kt_reg reg);
bool kt_loops_is_int(const kt_loops *loops, kt_reg reg, int64_t *out_value); /* a known i64 constant; out_value may be NULL */
/* Is each lane of a register of integers or bools one number, the same for all, and a constant of its own? out_begin: the
 * number; out_steps: the constants, up to KT_MOST_STEPS. */
bool kt_loops_steps(kt_loops *loops, kt_reg reg, kt_reg *out_begin, int64_t *out_steps);

void kt_loops_print(const kt_loops *loops, kt_text *out_text);

/* codegen/lower/: from a kernel function of the graph to its loop form. */
kt_status kt_lower_kernel(kt_graph *graph, kt_func kernel, const kt_target *target, kt_arena *arena,
                          kt_loops *out_loops, kt_diag *diag) KT_MUST_USE;

#endif
