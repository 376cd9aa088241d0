/* Typed attributes: for every operation of ops.def a struct kt_attrs_NAME, and a table that lists its fields. */
#ifndef KT_IR_ATTRIBUTES_H
#define KT_IR_ATTRIBUTES_H

#include "ir/types.h"

typedef enum kt_reduction { KT_REDUCE_SUM, KT_REDUCE_PRODUCT, KT_REDUCE_MAXIMUM, KT_REDUCE_MINIMUM } kt_reduction;
const char *kt_reduction_name(kt_reduction kind); /* "sum", "product", "maximum", "minimum" */

typedef struct kt_ints {
    uint32_t count;
    int64_t at[KT_MAX_RANK];
} kt_ints;
bool kt_ints_hold(const kt_ints *ints, int64_t value);

typedef struct kt_dims {
    uint32_t count;
    kt_dim at[KT_MAX_RANK];
} kt_dims;

/* Elements of a tensor. The bytes are not copied: they live as long as the graph. */
typedef struct kt_literal {
    const void *data;
    size_t bytes;
} kt_literal;

typedef uint32_t kt_func; /* a function of a graph; 0 is none */

/* The C type of each attribute type that ops.def names. */
typedef int64_t kt_attr_int;
typedef kt_ints kt_attr_ints;
typedef kt_dim kt_attr_dim;
typedef kt_dims kt_attr_dims;
typedef kt_dtype kt_attr_dtype;
typedef kt_type kt_attr_type;
typedef kt_reduction kt_attr_reduction;
typedef kt_literal kt_attr_literal;
typedef kt_func kt_attr_func;

typedef enum kt_attr_kind {
    KT_ATTR_int, KT_ATTR_ints, KT_ATTR_dim, KT_ATTR_dims, KT_ATTR_dtype, KT_ATTR_type, KT_ATTR_reduction,
    KT_ATTR_literal, KT_ATTR_func
} kt_attr_kind;

#define KT_UNARY(name, domain, gradient, doc)
#define KT_BINARY(name, domain, traits, gradient, doc)
#define KT_COMPARE(name, domain, doc)
#define KT_OP(name, operands, results, traits, gradient, doc) typedef struct kt_attrs_##name {
#define KT_ATTR(op, type, field, doc)               kt_attr_##type field;
#define KT_END(name)                                char end; } kt_attrs_##name;
#include "ir/ops.def"

typedef enum kt_op {
    KT_OP_NONE,
#define KT_OP(name, operands, results, traits, gradient, doc) KT_OP_##name,
#include "ir/ops.def"
    KT_OP_COUNT
} kt_op;

enum {
    KT_PLAIN = 0,
    KT_ELEMENTWISE = 1,
    KT_COMMUTES = 2,
    KT_ASSOCIATES = 4,
    KT_VIEW = 8,
    KT_CALLS = 16,
};
enum { KT_MANY = -1 };
enum { KT_FLAT, KT_VJP }; /* the gradient column */
typedef enum kt_domain { KT_DOMAIN_NONE, KT_FLOAT, KT_NUMBER, KT_SIGNED, KT_INTEGER, KT_LOGICAL, KT_ANY } kt_domain;

typedef struct kt_attr_info {
    const char *name, *doc;
    kt_attr_kind kind;
    size_t offset; /* in the attribute struct */
} kt_attr_info;

typedef struct kt_op_info {
    const char *name, *doc;
    int operands, results; /* or KT_MANY */
    unsigned traits;
    kt_domain domain;      /* of KT_UNARY, KT_BINARY and KT_COMPARE rows */
    bool compares;         /* the result is bool */
    bool flat;             /* the gradient column says KT_FLAT */
    const kt_attr_info *attrs;
    uint32_t attr_count;
    size_t attrs_bytes;
} kt_op_info;

const kt_op_info *kt_op_describe(kt_op op);
kt_op kt_op_find(const char *name); /* KT_OP_NONE if there is none */
static inline bool kt_op_is(kt_op op, unsigned trait) { return (kt_op_describe(op)->traits & trait) != 0; }
bool kt_domain_has(kt_domain domain, kt_dtype dtype);
/* Equal field by field (literals by content). */
bool kt_attrs_equal(kt_op op, const void *a, const void *b);

#endif
