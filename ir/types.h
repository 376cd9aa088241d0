/* Types, and dimension expressions. */
#ifndef KT_IR_TYPES_H
#define KT_IR_TYPES_H

#include "runtime/abi.h"
#include "support/arena.h"
#include "support/text.h"

#include <stdbool.h>

/* Sizes saturate at the ends of int64 (never wrap): what is too large stays too large. */
int64_t kt_size_add(int64_t a, int64_t b);
int64_t kt_size_mul(int64_t a, int64_t b);

typedef uint8_t kt_dtype; /* KT_F32 … of runtime/abi.h */

const char *kt_dtype_name(kt_dtype dtype);                    /* "f32", "i64", "bool", … */
bool kt_dtype_parse(const char *name, kt_dtype *out_dtype);
const char *kt_dtype_keras_name(kt_dtype dtype);              /* "float32", "int64", "bool", … */
bool kt_dtype_parse_keras(const char *name, kt_dtype *out_dtype);
size_t kt_dtype_bytes(kt_dtype dtype);                        /* of one element; KT_STRING: 0 */
bool kt_dtype_is_float(kt_dtype dtype);
bool kt_dtype_is_signed_integer(kt_dtype dtype);
bool kt_dtype_is_unsigned_integer(kt_dtype dtype);
bool kt_dtype_is_integer(kt_dtype dtype);

/* A dimension: a hash-consed integer expression of a graph. Equal handles of one graph are provably equal.
 * Expressions are kept in a normal form: a sum of products of atoms with integer factors, where an atom is a
 * symbol, floordiv, mod, max or min. Symbols are whole numbers of at least 1. 0 is no dimension. Numbers
 * saturate as sizes do; dividing by 0 gives 0. */
typedef uint32_t kt_dim;
typedef struct kt_dim_pool kt_dim_pool;

kt_dim_pool *kt_dim_pool_create(kt_arena *arena);
kt_dim kt_dim_const(kt_dim_pool *pool, int64_t value);
kt_dim kt_dim_symbol(kt_dim_pool *pool, const char *name); /* the same name gives the same symbol */
kt_dim kt_dim_add(kt_dim_pool *pool, kt_dim a, kt_dim b);
kt_dim kt_dim_sub(kt_dim_pool *pool, kt_dim a, kt_dim b);
kt_dim kt_dim_mul(kt_dim_pool *pool, kt_dim a, kt_dim b);
kt_dim kt_dim_floordiv(kt_dim_pool *pool, kt_dim a, kt_dim b); /* towards minus infinity; exact where provable */
kt_dim kt_dim_ceildiv(kt_dim_pool *pool, kt_dim a, kt_dim b);
kt_dim kt_dim_mod(kt_dim_pool *pool, kt_dim a, kt_dim b);      /* sign of b */
kt_dim kt_dim_max(kt_dim_pool *pool, kt_dim a, kt_dim b);
kt_dim kt_dim_min(kt_dim_pool *pool, kt_dim a, kt_dim b);
kt_dim kt_dim_add_const(kt_dim_pool *pool, kt_dim a, int64_t b);
kt_dim kt_dim_mul_const(kt_dim_pool *pool, kt_dim a, int64_t b);

bool kt_dim_is_const(const kt_dim_pool *pool, kt_dim dim, int64_t *out_value); /* out_value may be NULL */
bool kt_dim_equals(const kt_dim_pool *pool, kt_dim dim, int64_t value);
/* Is dim provably at least bound, for all values of the symbols? */
bool kt_dim_at_least(const kt_dim_pool *pool, kt_dim dim, int64_t bound);
/* The numeric factor that divides dim in any case: 6 for 12*batch + 18; 0 for 0. */
int64_t kt_dim_divisor(const kt_dim_pool *pool, kt_dim dim);
/* symbols: one value a symbol, by index (kt_dim_is_symbol). */
int64_t kt_dim_eval(const kt_dim_pool *pool, kt_dim dim, const int64_t *symbols);
/* Puts replacement[i] in place of symbol i (0: leaves it). */
kt_dim kt_dim_substitute(kt_dim_pool *pool, kt_dim dim, const kt_dim *replacement);

uint32_t kt_dim_symbol_count(const kt_dim_pool *pool);
const char *kt_dim_symbol_name(const kt_dim_pool *pool, uint32_t index);
bool kt_dim_is_symbol(const kt_dim_pool *pool, kt_dim dim, uint32_t *out_index);

/* Structure of an expression, for printing and code generation. */
typedef enum kt_dim_kind { KT_DIM_CONST, KT_DIM_SYMBOL, KT_DIM_SUM, KT_DIM_PRODUCT, KT_DIM_FLOORDIV, KT_DIM_MOD, KT_DIM_MAX, KT_DIM_MIN } kt_dim_kind;
typedef struct kt_dim_info {
    kt_dim_kind kind;
    int64_t value;         /* CONST: the number; SYMBOL: its index */
    const kt_dim *terms;   /* SUM, PRODUCT: the parts; the others: two */
    uint32_t term_count;
} kt_dim_info;
kt_dim_info kt_dim_describe(const kt_dim_pool *pool, kt_dim dim);

/* "batch", "2*batch + 1", "floordiv(height + 1, 2)"; parsing accepts what printing writes, and spaces. */
void kt_dim_print(const kt_dim_pool *pool, kt_dim dim, kt_text *out_text);
bool kt_dim_parse(kt_dim_pool *pool, const char **cursor, kt_dim *out_dim);

/* The type of a value: element type and dimensions, row-major. */
typedef struct kt_type {
    kt_dtype dtype;
    uint8_t rank;
    kt_dim dims[KT_MAX_RANK];
} kt_type;

/* Products of what is narrower than its sums: a contraction of u8 by i8 gives i32, and a wide one of bf16 gives f32.
 * Packed, as many elements of the depth as fill 32 bits lie side by side, a word. */
enum { KT_WORD_BYTES = 4, KT_BYTE_QUAD = 4, KT_BF16_PAIR = 2 };
static inline bool kt_multiplies_bytes(const kt_type *x, const kt_type *y) {
    return x->dtype == KT_U8 && y->dtype == KT_I8;
}
/* Weights kept as bytes: a contraction of f32 by i8 gives f32. */
static inline bool kt_widens_bytes(const kt_type *x, const kt_type *y) {
    return x->dtype == KT_F32 && y->dtype == KT_I8;
}
static inline kt_dtype kt_product_dtype(const kt_type *x, const kt_type *y, bool wide) {
    return kt_multiplies_bytes(x, y) ? KT_I32 : wide ? KT_F32 : x->dtype;
}
/* How many elements make a word; 1: the product is of whole elements. */
static inline int64_t kt_product_word(const kt_type *x, const kt_type *y, bool wide) {
    return kt_multiplies_bytes(x, y) ? KT_BYTE_QUAD : wide ? KT_BF16_PAIR : 1;
}

bool kt_type_equal(const kt_type *a, const kt_type *b);
bool kt_type_same_shape(const kt_type *a, const kt_type *b);
kt_dim kt_type_elements(kt_dim_pool *pool, const kt_type *type); /* the product of its dimensions */
kt_dim kt_type_bytes(kt_dim_pool *pool, const kt_type *type);
bool kt_type_is_static(const kt_dim_pool *pool, const kt_type *type);
int64_t kt_type_static_elements(const kt_dim_pool *pool, const kt_type *type); /* -1 if symbolic */
int64_t kt_type_static_bytes(const kt_dim_pool *pool, const kt_type *type);    /* likewise */
void kt_type_print(const kt_dim_pool *pool, const kt_type *type, kt_text *out_text); /* f32[batch,784] */
const char *kt_type_string(const kt_dim_pool *pool, const kt_type *type, kt_arena *arena);
kt_type kt_type_scalar(kt_dtype dtype);
kt_type kt_type_of(kt_dim_pool *pool, kt_dtype dtype, int rank, const int64_t *dims);

#endif
