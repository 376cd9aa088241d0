/* Operation nodes: what Keras records for `x * 2`, `x[:, 0]` or keras.ops.mean(x) on symbolic tensors. Each
 * is a layer class without weights whose call writes the operation through the graph builder; tensors and
 * literals may stand in either place, and dtypes follow Keras's promotion (keras.backend.result_type). */
#ifndef KT_FRONTEND_OPERATIONS_OPERATIONS_IMPL_H
#define KT_FRONTEND_OPERATIONS_OPERATIONS_IMPL_H

#include "frontend/layers/layers_impl.h"

#define KT_OPERATION_NUMPY "keras.src.ops.numpy"
#define KT_OPERATION_NN    "keras.src.ops.nn"
#define KT_OPERATION_CORE  "keras.src.ops.core"
#define KT_OPERATION_IMAGE "keras.src.ops.image"
#define KT_OPERATION_MATH  "keras.src.ops.math"

/* A row of an operation class without options. */
#define KT_OPERATION(c_name, keras_name, module_name, documentation, call_function)                          \
    const kt_layer_class kt_class_op_##c_name = {.name = (keras_name),                                       \
                                                 .module = (module_name),                                    \
                                                 .doc = (documentation),                                     \
                                                 .bytes = sizeof(kt_layer),                                  \
                                                 .keeps_input_dtype = true,                                  \
                                                 .plain = true,                                              \
                                                 .call = (call_function)};
/* With options: a table over the struct `type`. */
#define KT_OPERATION_WITH(c_name, keras_name, module_name, documentation, type, table, call_function)        \
    const kt_layer_class kt_class_op_##c_name = {.name = (keras_name),                                       \
                                                 .module = (module_name),                                    \
                                                 .doc = (documentation),                                     \
                                                 .bytes = sizeof(type),                                      \
                                                 .options = (table),                                         \
                                                 .keeps_input_dtype = true,                                  \
                                                 .plain = true,                                              \
                                                 .call = (call_function)};

/* An operand: a tensor, or a Python number, which has a kind of dtype only and takes the other operand's. */
typedef struct kt_operand {
    kt_value value; /* 0: a number */
    kt_dtype dtype; /* of a number: KT_BOOL, KT_I32 or KT_F32 for Python's bool, int or float */
    double number;
} kt_operand;

/* The argument at a position or of a keyword; NULL if it is not given. */
const kt_argument *kt_operation_argument(const kt_layer_call *call, uint32_t position, const char *name);
/* Reads it as an operand; false, and a problem, if it is none. */
bool kt_operation_operand(const kt_layer_call *call, uint32_t position, const char *name,
                          kt_operand *out_operand);
/* The same where only a tensor makes sense; numbers and lists become tensors. 0 and a problem if it is none.
 */
kt_value kt_operation_tensor(const kt_layer_call *call, uint32_t position, const char *name);
/* All tensors of a list argument. */
bool kt_operation_tensors(const kt_layer_call *call, uint32_t position, const char *name, uint32_t *out_count,
                          kt_value **out_values);
/* What an operation on both computes in. */
kt_dtype kt_operand_promote(const kt_operand *a, const kt_operand *b);
/* As a tensor of a dtype. */
kt_value kt_operand_cast(const kt_layer_call *call, const kt_operand *operand, kt_dtype dtype);
/* dtype itself if it is a float, else float32. */
kt_dtype kt_dtype_to_float(kt_dtype dtype);
/* Reads an axis option: None (all axes: count is the rank), an int or a list; each counted from the front,
 * each once, increasing. False and a problem if that is not what it is. */
bool kt_operation_axes(const kt_layer_call *call, const json_t *axis, int rank, kt_ints *out_axes);

#endif
