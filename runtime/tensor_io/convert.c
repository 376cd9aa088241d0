/* Elements from one dtype to another, in blocks: widened to double or int64, then narrowed. As NumPy's
 * astype: floats are cut towards zero, integers wrap; where C would be undefined (a float beyond an integer's
 * range) the result saturates, and NaN becomes 0. */
#include "runtime/runtime.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 };

struct block {
    double floats[BLOCK];
    int64_t integers[BLOCK]; /* u64 by its bits */
    bool is_float, is_u64;
};

/* f16 and bf16 have a sign, `exponent` bits of exponent and `mantissa` bits. */
static double decode_small(uint16_t bits, int exponent, int mantissa) {
    int bias = (1 << (exponent - 1)) - 1;
    int e = bits >> mantissa & ((1 << exponent) - 1), m = bits & ((1 << mantissa) - 1);
    double value = 0;
    if (e == (1 << exponent) - 1) {
        value = m ? (double)NAN : (double)INFINITY;
    } else {
        value = e ? ldexp(m + (1 << mantissa), e - bias - mantissa) : ldexp(m, 1 - bias - mantissa);
    }
    return bits & 0x8000 ? -value : value;
}

/* Rounds to nearest, ties to even. */
static uint16_t encode_small(double value, int exponent, int mantissa) {
    int bias = (1 << (exponent - 1)) - 1, e = 0;
    uint16_t sign = signbit(value) ? 0x8000 : 0, infinity = (uint16_t)(((1 << exponent) - 1) << mantissa);
    if (isnan(value)) return sign | infinity | (uint16_t)(1 << (mantissa - 1));
    value = fabs(value);
    if (isinf(value) || value == 0) return sign | (value == 0 ? 0 : infinity);
    (void)frexp(value, &e);
    e = e - 1 < 1 - bias ? 1 - bias : e - 1;
    if (e > bias) return sign | infinity;
    int rounded = (int)rint(ldexp(value, mantissa - e));
    /* A subnormal has no hidden bit, and a carry goes into the exponent by itself. */
    int bits = ((e + bias - 1) << mantissa) + rounded;
    return sign | (bits > infinity ? infinity : (uint16_t)bits);
}

#define LOAD(member, type)                                                                                   \
    for (int i = 0; i < count; i++) {                                                                        \
        type x;                                                                                              \
        memcpy(&x, from + (size_t)i * sizeof x, sizeof x);                                                   \
        block->member[i] = (x);                                                                              \
    }
#define LOAD_SMALL(exponent, mantissa)                                                                       \
    for (int i = 0; i < count; i++) {                                                                        \
        uint16_t x;                                                                                          \
        memcpy(&x, from + (size_t)i * sizeof x, sizeof x);                                                   \
        block->floats[i] = decode_small(x, exponent, mantissa);                                              \
    }

static void load(struct block *block, const uint8_t *from, int32_t dtype, int count) {
    block->is_float = dtype <= KT_BF16 || dtype == KT_C64;
    block->is_u64 = dtype == KT_U64;
    switch (dtype) {
    case KT_F32: LOAD(floats, float) break;
    case KT_F64: LOAD(floats, double) break;
    case KT_F16: LOAD_SMALL(5, 10) break;
    case KT_BF16: LOAD_SMALL(8, 7) break;
    case KT_I8:
        for (int i = 0; i < count; i++) block->integers[i] = from[i] < 128 ? from[i] : from[i] - 256;
        break;
    case KT_I16: LOAD(integers, int16_t) break;
    case KT_I32: LOAD(integers, int32_t) break;
    case KT_I64: LOAD(integers, int64_t) break;
    case KT_U8: LOAD(integers, uint8_t) break;
    case KT_U16: LOAD(integers, uint16_t) break;
    case KT_U32: LOAD(integers, uint32_t) break;
    case KT_U64: LOAD(integers, int64_t) break;
    case KT_BOOL:
        for (int i = 0; i < count; i++) block->integers[i] = from[i] != 0;
        break;
    default: /* KT_C64: the real part */
        for (int i = 0; i < count; i++) {
            float x = 0;
            memcpy(&x, from + (size_t)i * 8, sizeof x);
            block->floats[i] = x;
        }
    }
}

static double float_of(const struct block *block, int i) {
    if (block->is_float) return block->floats[i];
    return block->is_u64 ? (double)(uint64_t)block->integers[i] : (double)block->integers[i];
}

static int64_t integer_of(const struct block *block, int i, double low, double high, int64_t least,
                          int64_t most) {
    if (!block->is_float) return block->integers[i];
    double x = block->floats[i];
    if (isnan(x)) return 0;
    if (x <= low) return least;
    return x >= high ? most : (int64_t)x;
}

static uint64_t u64_of(const struct block *block, int i) {
    if (!block->is_float) return (uint64_t)block->integers[i];
    double x = block->floats[i];
    if (!(x > 0)) return 0;
    return x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
}

#define STORE(type, expression)                                                                              \
    for (int i = 0; i < count; i++) {                                                                        \
        type x = (type)(expression);                                                                         \
        memcpy(to + (size_t)i * sizeof x, &x, sizeof x);                                                     \
    }
#define STORE_INTEGER(type, least, most) STORE(type, integer_of(block, i, least, most, least, most))

static void store(const struct block *block, uint8_t *to, int32_t dtype, int count) {
    switch (dtype) {
    case KT_F32:
        for (int i = 0; i < count; i++) {
            /* From an integer at once: by way of double it would be rounded twice. */
            float x = block->is_float ? (float)block->floats[i]
                      : block->is_u64 ? (float)(uint64_t)block->integers[i]
                                      : (float)block->integers[i];
            memcpy(to + (size_t)i * sizeof x, &x, sizeof x);
        }
        break;
    case KT_F64: STORE(double, float_of(block, i)) break;
    case KT_F16: STORE(uint16_t, encode_small(float_of(block, i), 5, 10)) break;
    case KT_BF16: STORE(uint16_t, encode_small(float_of(block, i), 8, 7)) break;
    case KT_I8: STORE_INTEGER(int8_t, INT8_MIN, INT8_MAX) break;
    case KT_I16: STORE_INTEGER(int16_t, INT16_MIN, INT16_MAX) break;
    case KT_I32: STORE_INTEGER(int32_t, INT32_MIN, INT32_MAX) break;
    case KT_I64: STORE(int64_t, integer_of(block, i, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX)) break;
    case KT_U8: STORE_INTEGER(uint8_t, 0, UINT8_MAX) break;
    case KT_U16: STORE_INTEGER(uint16_t, 0, UINT16_MAX) break;
    case KT_U32: STORE_INTEGER(uint32_t, 0, UINT32_MAX) break;
    case KT_U64: STORE(uint64_t, u64_of(block, i)) break;
    case KT_BOOL: STORE(uint8_t, block->is_float ? block->floats[i] != 0 : block->integers[i] != 0) break;
    default: /* KT_C64 */
        for (int i = 0; i < count; i++) {
            float x[2] = {(float)float_of(block, i), 0};
            memcpy(to + (size_t)i * sizeof x, x, sizeof x);
        }
    }
}

void kt_elements_convert(const void *from, int32_t from_dtype, void *to, int32_t to_dtype, size_t count) {
    size_t from_bytes = kt_abi_dtype_bytes(from_dtype), to_bytes = kt_abi_dtype_bytes(to_dtype);
    struct block block = {0};
    if (to_dtype == from_dtype && count) memcpy(to, from, count * to_bytes);
    for (size_t first = 0; first < count && to_dtype != from_dtype; first += BLOCK) {
        int part = count - first < BLOCK ? (int)(count - first) : BLOCK;
        load(&block, (const uint8_t *)from + first * from_bytes, from_dtype, part);
        store(&block, (uint8_t *)to + first * to_bytes, to_dtype, part);
    }
}

int kt_buffer_convert(const kt_buffer *from, int32_t dtype, kt_buffer *out_buffer) {
    size_t from_bytes = kt_abi_dtype_bytes(from->dtype), to_bytes = kt_abi_dtype_bytes(dtype);
    if (from_bytes == 0 || to_bytes == 0) return 1;
    size_t elements = 1, bytes = 0;
    for (int i = 0; i < from->rank; i++)
        elements *= (size_t)from->dims[i]; /* they are in memory, so no overflow */
    if (__builtin_mul_overflow(elements, to_bytes, &bytes) || bytes > PTRDIFF_MAX) return 1;
    uint8_t *data = malloc(bytes + 1);
    if (!data) return 1;
    kt_elements_convert(from->data, from->dtype, data, dtype, elements);
    *out_buffer = *from;
    out_buffer->data = data;
    out_buffer->capacity = (int64_t)bytes;
    out_buffer->dtype = dtype;
    return 0;
}
