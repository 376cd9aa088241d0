/* Rows of operations that compute element by element. */
#ifndef KT_FRONTEND_OPERATIONS_ELEMENTWISE_IMPL_H
#define KT_FRONTEND_OPERATIONS_ELEMENTWISE_IMPL_H

#include "frontend/operations/operations_impl.h"

/* What dtype an operation computes in, from the promoted dtype of its operands. */
typedef enum kt_rule {
    KT_RULE_SAME,    /* as promoted */
    KT_RULE_NUMBERS, /* as promoted; bool becomes int32 */
    KT_RULE_FLOATS,  /* float32 unless it is a float */
    KT_RULE_TRUTH,   /* bool */
} kt_rule;
kt_dtype kt_rule_apply(kt_rule rule, kt_dtype dtype);

static inline bool kt_is_bool(const kt_builder *builder, kt_value x) {
    return kt_build_type(builder, x)->dtype == KT_BOOL;
}

typedef kt_value kt_unary_fn(kt_builder *builder, kt_value x);
typedef kt_value kt_binary_fn(kt_builder *builder, kt_value x, kt_value y);
void kt_operation_unary(kt_layer_call *call, kt_rule rule, kt_unary_fn *apply);
/* Operands are broadcast to one shape. */
void kt_operation_binary(kt_layer_call *call, kt_rule rule, kt_binary_fn *apply);

/* UNARY(c_name, "KerasName", FLOATS, function, "what it does") and the same for two operands. */
#define KT_OPERATION_ROW(kind, c_name, keras_name, module, rule, apply, doc)                                 \
    static void call_##c_name(kt_layer *layer, kt_layer_call *call) {                                        \
        (void)layer;                                                                                         \
        kt_operation_##kind(call, KT_RULE_##rule, apply);                                                    \
    }                                                                                                        \
    KT_OPERATION(c_name, keras_name, module, doc, call_##c_name)
#define UNARY(c_name, keras_name, rule, apply, doc)                                                          \
    KT_OPERATION_ROW(unary, c_name, keras_name, KT_OPERATION_NUMPY, rule, apply, doc)
#define BINARY(c_name, keras_name, rule, apply, doc)                                                         \
    KT_OPERATION_ROW(binary, c_name, keras_name, KT_OPERATION_NUMPY, rule, apply, doc)

#endif
