/* Tensors in memory: sizes, elements as numbers, and copies of boxes. */
#include "ir/element.h"
#include "ir/eval/eval_impl.h"

#include <string.h>

size_t kt_tensor_elements(const kt_tensor *tensor) {
    size_t count = 1;
    for (int i = 0; i < tensor->rank; i++) count *= (size_t)tensor->dims[i];
    return count;
}

size_t kt_tensor_bytes(const kt_tensor *tensor) {
    return kt_tensor_elements(tensor) * kt_dtype_bytes(tensor->dtype);
}

void kt_tensor_strides(const kt_tensor *tensor, int64_t *out_strides) {
    int64_t stride = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        out_strides[i] = stride;
        stride *= tensor->dims[i];
    }
}

/* The wider dtypes that are plain C types, and the field of kt_number that holds them. */
#define FOR_EACH_C_TYPE(DO)                                                                                  \
    DO(KT_F32, float, real)                                                                                  \
    DO(KT_F64, double, real)                                                                                 \
    DO(KT_I16, int16_t, integer)                                                                             \
    DO(KT_I32, int32_t, integer)                                                                             \
    DO(KT_I64, int64_t, integer)                                                                             \
    DO(KT_U8, uint8_t, integer)                                                                              \
    DO(KT_U16, uint16_t, integer)                                                                            \
    DO(KT_U32, uint32_t, integer)                                                                            \
    DO(KT_U64, uint64_t, integer)

void kt_numbers_load(kt_dtype dtype, const void *data, size_t first, size_t count, kt_number *out_numbers) {
    switch (dtype) {
#define LOAD(dtype, type, field)                                                                             \
    case dtype:                                                                                              \
        for (size_t i = 0; i < count; i++) out_numbers[i].field = ((const type *)data)[first + i];           \
        return;
        FOR_EACH_C_TYPE(LOAD)
#undef LOAD
    case KT_I8:
    case KT_BOOL:
        for (size_t i = 0; i < count; i++)
            out_numbers[i].integer = kt_element_integer(dtype, data, first + i);
        return;
    default:
        for (size_t i = 0; i < count; i++) out_numbers[i].real = kt_element_float(dtype, data, first + i);
    }
}

void kt_numbers_store(kt_dtype dtype, void *data, size_t first, size_t count, const kt_number *numbers) {
    switch (dtype) {
#define STORE(dtype, type, field)                                                                            \
    case dtype:                                                                                              \
        for (size_t i = 0; i < count; i++) ((type *)data)[first + i] = (type)numbers[i].field;               \
        return;
        FOR_EACH_C_TYPE(STORE)
#undef STORE
    case KT_I8:
    case KT_BOOL:
        for (size_t i = 0; i < count; i++) kt_element_set_integer(dtype, data, first + i, numbers[i].integer);
        return;
    default:
        for (size_t i = 0; i < count; i++) kt_element_set_float(dtype, data, first + i, numbers[i].real);
    }
}

kt_number *kt_numbers_of(kt_arena *arena, const kt_tensor *tensor) {
    size_t count = kt_tensor_elements(tensor);
    kt_number *numbers = KT_NEW_ARRAY(arena, kt_number, count);
    kt_numbers_load(tensor->dtype, tensor->data, 0, count, numbers);
    return numbers;
}

static void copy_row(size_t size, int64_t count, const char *from, int64_t from_step, char *to,
                     int64_t to_step) {
    if (from_step == 1 && to_step == 1) {
        memcpy(to, from, (size_t)count * size);
        return;
    }
    int64_t bytes = (int64_t)size;
#define COPY(n)                                                                                              \
    case n:                                                                                                  \
        for (int64_t i = 0; i < count; i++) memcpy(to + i * to_step * n, from + i * from_step * n, n);       \
        return;
    switch (size) {
        COPY(1)
        COPY(2)
        COPY(4)
        COPY(8)
    default:
        for (int64_t i = 0; i < count; i++)
            memcpy(to + i * to_step * bytes, from + i * from_step * bytes, size);
    }
#undef COPY
}

bool kt_next_position(int rank, const int64_t *dims, int64_t *position) {
    for (int i = rank - 1; i >= 0; i--) {
        if (++position[i] < dims[i]) return true;
        position[i] = 0;
    }
    return false;
}

void kt_box_copy(const kt_box *box, size_t size, const void *from, void *to) {
    for (int i = 0; i < box->rank; i++)
        if (box->dims[i] == 0) return;
    if (box->rank == 0) {
        memcpy(to, from, size);
        return;
    }
    int last = box->rank - 1;
    int64_t position[KT_MAX_RANK] = {0};
    do {
        int64_t from_offset = 0, to_offset = 0;
        for (int i = 0; i < last; i++) {
            from_offset += position[i] * box->from_strides[i];
            to_offset += position[i] * box->to_strides[i];
        }
        copy_row(size, box->dims[last], (const char *)from + from_offset * (int64_t)size,
                 box->from_strides[last], (char *)to + to_offset * (int64_t)size, box->to_strides[last]);
    } while (kt_next_position(last, box->dims, position));
}
