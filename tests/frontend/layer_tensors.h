/* Tensors of fixtures, as make_layers.py and make_metrics.py write them. */
#ifndef KT_TESTS_FRONTEND_LAYER_TENSORS_H
#define KT_TESTS_FRONTEND_LAYER_TENSORS_H

#include "ir/element.h"
#include "layer_testing.h"

static inline kt_tensor lab_read_tensor(lab *l, const json_t *json) {
    kt_tensor tensor = {0};
    assert_true(kt_dtype_parse_keras(json_string_value(json_object_get(json, "dtype")), &tensor.dtype));
    const json_t *shape = json_object_get(json, "shape");
    const json_t *data = json_object_get(json, "data");
    tensor.rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor.rank; i++)
        tensor.dims[i] = json_integer_value(json_array_get(shape, (size_t)i));
    size_t count = json_array_size(data);
    assert_int_equal(count, kt_tensor_elements(&tensor));
    tensor.data = kt_arena_array(l->context.arena, count, kt_dtype_bytes(tensor.dtype));
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(data, i);
        double value = json_is_boolean(number) ? json_is_true(number) : json_number_value(number);
        if (kt_dtype_is_float(tensor.dtype)) {
            kt_element_set_float(tensor.dtype, tensor.data, i, value);
        } else {
            kt_element_set_integer(tensor.dtype, tensor.data, i, (int64_t)value);
        }
    }
    return tensor;
}

static inline double lab_element(const kt_tensor *tensor, size_t i) {
    if (kt_dtype_is_float(tensor->dtype)) return kt_element_float(tensor->dtype, tensor->data, i);
    return (double)kt_element_integer(tensor->dtype, tensor->data, i);
}

/* Of what layers compute in a dtype, for numbers up to 1. */
static inline double lab_tolerance(kt_dtype dtype) {
    switch (dtype) {
    case KT_F64: return 1e-12;
    case KT_F32: return 2e-6;
    case KT_F16: return 4e-3;
    case KT_BF16: return 3e-2;
    default: return 0;
    }
}

static inline double lab_largest(const kt_tensor *tensor) {
    double largest = 0;
    for (size_t i = 0; i < kt_tensor_elements(tensor); i++)
        largest = fmax(largest, fabs(lab_element(tensor, i)));
    return largest;
}

/* tolerance: of numbers up to 1; of others relative. */
static inline void lab_check_tensor(const char *what, const kt_tensor *given, const kt_tensor *wanted,
                                    double tolerance) {
    if (given->dtype != wanted->dtype || given->rank != wanted->rank) {
        fail_msg("%s: dtype %d, rank %d, not dtype %d, rank %d", what, given->dtype, given->rank,
                 wanted->dtype, wanted->rank);
    }
    for (int i = 0; i < wanted->rank; i++) {
        if (given->dims[i] != wanted->dims[i]) {
            fail_msg("%s: dimension %d is %d, not %d", what, i, (int)given->dims[i], (int)wanted->dims[i]);
        }
    }
    for (size_t i = 0; i < kt_tensor_elements(wanted); i++) {
        double a = lab_element(given, i);
        double b = lab_element(wanted, i);
        if (!(fabs(a - b) <= tolerance * fmax(1, fabs(b)))) {
            fail_msg("%s: element %d is %.9g, not %.9g", what, (int)i, a, b);
        }
    }
}

#endif
