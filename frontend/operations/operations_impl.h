/* Operation nodes: what Keras records for `x * 2`, `x[:, 0]` or keras.ops.mean(x) on symbolic tensors. Each
 * is a layer class without weights whose call writes the operation through the graph builder; tensors and
 * literals may stand in either place, and dtypes follow Keras's promotion (keras.backend.result_type). */
#ifndef KT_FRONTEND_OPERATIONS_OPERATIONS_IMPL_H
#define KT_FRONTEND_OPERATIONS_OPERATIONS_IMPL_H

#include "frontend/layers/layers_impl.h"

#define KT_OPERATION_NUMPY  "keras.src.ops.numpy"
#define KT_OPERATION_NN     "keras.src.ops.nn"
#define KT_OPERATION_CORE   "keras.src.ops.core"
#define KT_OPERATION_IMAGE  "keras.src.ops.image"
#define KT_OPERATION_MATH   "keras.src.ops.math"
#define KT_OPERATION_LINALG "keras.src.ops.linalg"
#define KT_OPERATION_EINOPS "keras.src.ops.einops"

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

/* With several outputs. */
#define KT_OPERATION_OUTPUTS(c_name, keras_name, module_name, documentation, type, table, call_function,     \
                             count)                                                                          \
    const kt_layer_class kt_class_op_##c_name = {.name = (keras_name),                                       \
                                                 .module = (module_name),                                    \
                                                 .doc = (documentation),                                     \
                                                 .bytes = sizeof(type),                                      \
                                                 .options = (table),                                         \
                                                 .keeps_input_dtype = true,                                  \
                                                 .plain = true,                                              \
                                                 .call = (call_function),                                    \
                                                 .output_count = (count)};
/* How many outputs an operation is read with whose inputs say how many there are. Those that there are not
 * stay 0, and using one is an error. */
enum { KT_OUTPUTS_OPEN = 256 };

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
/* The same where None, or leaving it out, is allowed: *out_value is 0 then. False, and a problem, if it is
 * something else. */
bool kt_operation_optional(const kt_layer_call *call, uint32_t position, const char *name,
                           kt_value *out_value);
/* Reads an option that is a number or an array as an operand; false, and a problem, if it is none. */
bool kt_operation_option(const kt_layer_call *call, const char *option, const json_t *value,
                         kt_operand *out_operand);
/* All tensors of a list argument. */
bool kt_operation_tensors(const kt_layer_call *call, uint32_t position, const char *name, uint32_t *out_count,
                          kt_value **out_values);
/* A number among the arguments; *number stays as it is where it is not given. False, and a problem, if it is
 * none. */
bool kt_operation_number(const kt_layer_call *call, uint32_t position, const char *name, double *number);
/* What an operation on both computes in. */
kt_dtype kt_operand_promote(const kt_operand *a, const kt_operand *b);
/* As a tensor of a dtype. */
kt_value kt_operand_cast(const kt_layer_call *call, const kt_operand *operand, kt_dtype dtype);
/* dtype itself if it is a float, else float32. */
kt_dtype kt_dtype_to_float(kt_dtype dtype);
/* The least and largest finite number of a dtype, exactly. */
void kt_dtype_range(kt_dtype dtype, long double *out_low, long double *out_high);
/* Of a float: how many binary digits its numbers have, and the exponent past the largest. */
void kt_float_form(kt_dtype dtype, int *out_digits, int *out_exponent);
/* x in another dtype, first held in what both dtypes can hold. */
kt_value kt_saturate_cast(kt_builder *builder, kt_value x, kt_dtype dtype);
/* The dtype that a name stands for, of those that tensors are computed in; false, and a problem, if it is
 * none. */
bool kt_operation_dtype(const kt_layer_call *call, const char *name, kt_dtype *out_dtype);
/* Sums of small integers are wider, as in Keras: what they are summed in. */
kt_dtype kt_sum_dtype(kt_dtype dtype);
/* Reads an axis option: None (all axes: count is the rank), an int or a list; each counted from the front,
 * each once, increasing. False and a problem if that is not what it is. */
bool kt_operation_axes(const kt_layer_call *call, const json_t *axis, int rank, kt_ints *out_axes);
/* Reads an int or a list of ints, kept in order; false and a problem, naming the option, if it is none. */
bool kt_operation_ints(const kt_layer_call *call, const char *option, const json_t *value, kt_ints *out_ints);
/* Reads a number for each of `count` axes, an int alone for all. False and a problem where there are not so
 * many, or one is below low. */
bool kt_operation_spread(const kt_layer_call *call, const char *option, const json_t *value, uint32_t count,
                         int64_t low, kt_ints *out_ints);
#define KT_DATA_FORMAT(type)                                                                                 \
    KT_FIELD(type, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first")
/* The norm of floats along axes, which vanish: of an order, or for NULL the root of all squares. axis as
 * kt_operation_axes reads it, for norms of matrices rows first. 0 and a problem where the norm is not
 * supported. */
kt_value kt_operation_norm(const kt_layer_call *call, kt_value x, const double *order, const json_t *axis,
                           kt_ints *out_axes);

/* ---- shorthands over the builder (shorthands.c) ---------------------------------------------- */
/* A dimension as a scalar of a dtype. */
kt_value kt_dim_scalar(kt_builder *builder, kt_dim dim, kt_dtype dtype);
/* The same of x's type. */
kt_value kt_dim_like(kt_builder *builder, kt_value x, kt_dim dim);
/* 0, 1, … size - 1 in i64. */
kt_value kt_positions(kt_builder *builder, kt_dim size);
/* x + number; x + a dimension; both of x's dtype. */
kt_value kt_add_number(kt_builder *builder, kt_value x, double number);
kt_value kt_add_dim(kt_builder *builder, kt_value x, kt_dim dim);
/* x / y, and 0 where y is 0, with derivatives that are finite there. */
kt_value kt_divide_no_nan(kt_builder *builder, kt_value x, kt_value y);
/* x modulo a positive dimension, at least 0. */
kt_value kt_mod_dim(kt_builder *builder, kt_value x, kt_dim dim);
/* x with a new axis of size 1 at a place; without an axis of size 1. */
kt_value kt_add_axis(kt_builder *builder, kt_value x, int at);
kt_value kt_drop_axis(kt_builder *builder, kt_value x, int at);
/* All elements in one axis. */
kt_value kt_flatten(kt_builder *builder, kt_value x);
/* From start to limit along one axis. */
kt_value kt_slice_axis(kt_builder *builder, kt_value x, int axis, kt_dim start, kt_dim limit);
/* The axis becomes two: where a window that moves by `stride` stands, and the places in it, `dilation` apart.
 */
kt_value kt_open_windows(kt_builder *builder, kt_value x, int axis, int64_t window, int64_t stride,
                         int64_t dilation);
/* An axis at another place; the others keep their order. */
kt_value kt_move_axis(kt_builder *builder, kt_value x, int from, int to);
/* One sum over some axes, in x's dtype. */
kt_value kt_reduce_axis(kt_builder *builder, kt_value x, kt_reduction kind, int axis);
/* Along an axis, the element above or below the diagonal offset of the last two axes. */
kt_value kt_diagonal(kt_builder *builder, kt_value x, int64_t offset, int axis1, int axis2);
/* Are fewer than k elements along x's last axis above the one at the position that targets, of x's shape
 * without the axis, give? NaN is below all. */
kt_value kt_in_top_k(kt_builder *builder, kt_value targets, kt_value x, int64_t k);
/* How many elements of an increasing vector are below each x, or also equal to it, as i32; NaN is above all.
 * x and bounds of one dtype, x with room for one axis more. */
kt_value kt_count_before(kt_builder *builder, kt_value x, kt_value bounds, bool or_equal);
/* bool[rows, columns]: is column - row compared with offset so? */
kt_value kt_diagonal_mask(kt_builder *builder, kt_op compare, kt_dim rows, kt_dim columns, int64_t offset);

#endif
