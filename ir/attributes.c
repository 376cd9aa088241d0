/* The operation table in memory, made of ops.def.
 *
 * Each row gives one kt_op_info; its attributes are a table of fields with their offsets, so that printing,
 * parsing and comparing attributes need no code of their own for each operation. */
#include "ir/attributes.h"

#include <string.h>

/* Every row's fields; a sentinel keeps the arrays of rows without attributes from being empty. */
#define KT_UNARY(name, domain, gradient, doc)
#define KT_BINARY(name, domain, traits, gradient, doc)
#define KT_COMPARE(name, domain, doc)
#define KT_OP(name, operands, results, traits, gradient, doc) static const kt_attr_info attrs_of_##name[] = {
#define KT_ATTR(op, type, field, doc)                         {#field, doc, KT_ATTR_##type, offsetof(kt_attrs_##op, field)},
#define KT_END(name)                                                                                         \
    { NULL, NULL, KT_ATTR_int, 0 } \
    }                                                                                                        \
    ;
#include "ir/ops.def"

static const kt_op_info infos[KT_OP_COUNT] = {
    [KT_OP_NONE] = {.name = "none", .doc = "no operation"},
#define KT_UNARY(op_name, op_domain, op_gradient, op_doc)                                                    \
    [KT_OP_##op_name] = {.name = #op_name,                                                                   \
                         .doc = op_doc,                                                                      \
                         .operands = 1,                                                                      \
                         .results = 1,                                                                       \
                         .traits = KT_ELEMENTWISE,                                                           \
                         .domain = op_domain,                                                                \
                         .flat = (op_gradient) == KT_FLAT,                                                   \
                         .compares = KT_OP_##op_name == KT_OP_is_nan || KT_OP_##op_name == KT_OP_is_finite},
#define KT_BINARY(op_name, op_domain, op_traits, op_gradient, op_doc)                                        \
    [KT_OP_##op_name] = {.name = #op_name,                                                                   \
                         .doc = op_doc,                                                                      \
                         .operands = 2,                                                                      \
                         .results = 1,                                                                       \
                         .traits = KT_ELEMENTWISE | (op_traits),                                             \
                         .flat = (op_gradient) == KT_FLAT,                                                   \
                         .domain = op_domain},
#define KT_COMPARE(op_name, op_domain, op_doc)                                                               \
    [KT_OP_##op_name] = {.name = #op_name,                                                                   \
                         .doc = op_doc,                                                                      \
                         .operands = 2,                                                                      \
                         .results = 1,                                                                       \
                         .traits = KT_ELEMENTWISE,                                                           \
                         .domain = op_domain,                                                                \
                         .flat = true,                                                                       \
                         .compares = true},
#define KT_OP(op_name, op_operands, op_results, op_traits, op_gradient, op_doc)                              \
    [KT_OP_##op_name] = {.name = #op_name,                                                                   \
                         .doc = op_doc,                                                                      \
                         .operands = op_operands,                                                            \
                         .results = op_results,                                                              \
                         .traits = op_traits,                                                                \
                         .flat = (op_gradient) == KT_FLAT,                                                   \
                         .attrs = attrs_of_##op_name,                                                        \
                         .attr_count = sizeof attrs_of_##op_name / sizeof *attrs_of_##op_name - 1,           \
                         .attrs_bytes = sizeof(kt_attrs_##op_name)},
#include "ir/ops.def"
};

const kt_op_info *kt_op_describe(kt_op op) {
    KT_ASSERT((unsigned)op < KT_OP_COUNT);
    return &infos[op];
}

kt_op kt_op_find(const char *name) {
    for (unsigned op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++)
        if (strcmp(infos[op].name, name) == 0) return (kt_op)op;
    return KT_OP_NONE;
}

bool kt_ints_hold(const kt_ints *ints, int64_t value) {
    for (uint32_t i = 0; i < ints->count; i++)
        if (ints->at[i] == value) return true;
    return false;
}

bool kt_domain_has(kt_domain domain, kt_dtype dtype) {
    bool is_float = kt_dtype_is_float(dtype), is_integer = kt_dtype_is_integer(dtype);
    switch (domain) {
    case KT_DOMAIN_NONE: return false;
    case KT_FLOAT: return is_float;
    case KT_NUMBER: return is_float || is_integer;
    case KT_SIGNED: return is_float || kt_dtype_is_signed_integer(dtype);
    case KT_INTEGER: return is_integer;
    case KT_LOGICAL: return is_integer || dtype == KT_BOOL;
    case KT_ANY: return is_float || is_integer || dtype == KT_BOOL;
    }
    KT_BUG("no domain %d", (int)domain);
}

const char *kt_reduction_name(kt_reduction kind) {
    switch (kind) {
    case KT_REDUCE_SUM: return "sum";
    case KT_REDUCE_PRODUCT: return "product";
    case KT_REDUCE_MAXIMUM: return "maximum";
    case KT_REDUCE_MINIMUM: return "minimum";
    }
    KT_BUG("no reduction %d", (int)kind);
}

static bool ints_equal(const kt_ints *a, const kt_ints *b) {
    return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof *a->at) == 0;
}

static bool dims_equal(const kt_dims *a, const kt_dims *b) {
    return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof *a->at) == 0;
}

static bool literals_equal(const kt_literal *a, const kt_literal *b) {
    if (a->bytes != b->bytes) return false;
    return a->data == b->data || a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0;
}

static bool field_equal(kt_attr_kind kind, const void *a, const void *b) {
    switch (kind) {
    case KT_ATTR_int: return *(const kt_attr_int *)a == *(const kt_attr_int *)b;
    case KT_ATTR_ints: return ints_equal(a, b);
    case KT_ATTR_dim: return *(const kt_attr_dim *)a == *(const kt_attr_dim *)b;
    case KT_ATTR_dims: return dims_equal(a, b);
    case KT_ATTR_dtype: return *(const kt_attr_dtype *)a == *(const kt_attr_dtype *)b;
    case KT_ATTR_type: return kt_type_equal(a, b);
    case KT_ATTR_reduction: return *(const kt_attr_reduction *)a == *(const kt_attr_reduction *)b;
    case KT_ATTR_literal: return literals_equal(a, b);
    case KT_ATTR_func: return *(const kt_attr_func *)a == *(const kt_attr_func *)b;
    }
    KT_BUG("no kind of attribute %d", (int)kind);
}

bool kt_attrs_equal(kt_op op, const void *a, const void *b) {
    const kt_op_info *info = kt_op_describe(op);
    for (uint32_t i = 0; i < info->attr_count; i++) {
        size_t offset = info->attrs[i].offset;
        if (!field_equal(info->attrs[i].kind, (const char *)a + offset, (const char *)b + offset))
            return false;
    }
    return true;
}
