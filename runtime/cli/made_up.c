/* Tensors for runs that only take time. */
#include "runtime/runtime.h"

#include <stdbool.h>
#include <stdlib.h>

static bool make_tensor(const kt_buffer *shape, kt_buffer *out_buffer) {
    int64_t elements = 1;
    uint64_t seed = 1;
    for (int i = 0; i < shape->rank; i++) {
        if (__builtin_mul_overflow(elements, shape->dims[i], &elements)) return false;
    }
    kt_buffer numbers = *shape;
    numbers.dtype = KT_F32;
    float *data = (uint64_t)elements < PTRDIFF_MAX / 16 ? malloc((size_t)elements * sizeof *data + 1) : NULL;
    if (!data) return false;
    bool is_float = shape->dtype <= KT_BF16 || shape->dtype == KT_C64;
    for (int64_t i = 0; i < elements; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = is_float ? (float)(seed >> 40) * 0x1p-24f : (float)(seed >> 63);
    }
    numbers.data = data;
    bool ok = true;
    if (shape->dtype == KT_F32) {
        *out_buffer = numbers;
    } else {
        ok = kt_buffer_convert(&numbers, shape->dtype, out_buffer) == 0;
        free(data);
    }
    return ok;
}

void kt_made_up_destroy(const kt_abi_entry *entry, void **tensors) {
    for (uint32_t i = 0; tensors && i < entry->input_count + entry->output_count; i++) free(tensors[i]);
    free(tensors);
}

void **kt_made_up_create(const kt_abi_entry *entry, const int64_t *symbols) {
    uint32_t count = entry->input_count + entry->output_count;
    int64_t *values = calloc(entry->value_count + 1, sizeof *values);
    void **tensors = calloc((size_t)count + 1, sizeof *tensors);
    bool ok = values && tensors;
    if (ok) entry->bind(symbols, values);
    for (uint32_t i = 0; ok && i < count; i++) {
        bool is_input = i < entry->input_count;
        const kt_abi_tensor *tensor = is_input ? &entry->inputs[i] : &entry->outputs[i - entry->input_count];
        kt_buffer shape = {.dtype = tensor->dtype, .rank = tensor->rank}, buffer = {0};
        for (int axis = 0; axis < tensor->rank; axis++) shape.dims[axis] = values[tensor->dims[axis]];
        ok = make_tensor(&shape, &buffer);
        tensors[i] = buffer.data;
    }
    free(values);
    if (ok) return tensors;
    if (tensors) kt_made_up_destroy(entry, tensors);
    return NULL;
}
