/* Elements of tensors: see ir/element.h. */
#include "ir/element.h"

#include <math.h>

/* A binary format of 16 bits: sign, exponent with the given bias, fraction. */
static uint16_t encode(double number, int fraction_bits, int bias) {
    uint32_t infinity = (2u * (uint32_t)bias + 1) << fraction_bits;
    uint32_t sign = signbit(number) ? 0x8000 : 0;
    if (isnan(number)) return (uint16_t)(sign | infinity | 1u << (fraction_bits - 1));
    double size = fabs(number);
    if (size == 0) return (uint16_t)sign;
    if (isinf(size)) return (uint16_t)(sign | infinity);
    int exponent;
    double fraction = frexp(size, &exponent); /* size = fraction * 2^exponent, fraction in [0.5, 1) */
    if (exponent > bias + 1) return (uint16_t)(sign | infinity);
    if (exponent < 2 - bias) /* subnormal: a whole number of smallest steps */
        return (uint16_t)(sign | (uint32_t)rint(ldexp(size, fraction_bits + bias - 1)));
    /* A fraction that rounds up to 1 carries into the exponent, and from the largest exponent to infinity. */
    uint32_t whole = (uint32_t)rint(ldexp(fraction, fraction_bits + 1));
    return (uint16_t)(sign | (((uint32_t)(exponent - 2 + bias) << fraction_bits) + whole));
}

static double decode(uint16_t bits, int fraction_bits, int bias) {
    int exponent = (bits & 0x7fff) >> fraction_bits;
    int fraction = bits & ((1 << fraction_bits) - 1);
    double size;
    if (exponent == 2 * bias + 1)
        size = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        size = ldexp(fraction, 1 - bias - fraction_bits);
    else
        size = ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    return bits & 0x8000 ? -size : size;
}

double kt_f16_decode(uint16_t bits) { return decode(bits, 10, 15); }
double kt_bf16_decode(uint16_t bits) { return decode(bits, 7, 127); }
uint16_t kt_f16_encode(double number) { return encode(number, 10, 15); }
uint16_t kt_bf16_encode(double number) { return encode(number, 7, 127); }

double kt_element_float(kt_dtype dtype, const void *data, size_t index) {
    switch (dtype) {
    case KT_F32: return ((const float *)data)[index];
    case KT_F64: return ((const double *)data)[index];
    case KT_F16: return kt_f16_decode(((const uint16_t *)data)[index]);
    case KT_BF16: return kt_bf16_decode(((const uint16_t *)data)[index]);
    default: KT_BUG("%s is no float", kt_dtype_name(dtype));
    }
}

void kt_element_set_float(kt_dtype dtype, void *data, size_t index, double number) {
    switch (dtype) {
    case KT_F32: ((float *)data)[index] = (float)number; return;
    case KT_F64: ((double *)data)[index] = number; return;
    case KT_F16: ((uint16_t *)data)[index] = kt_f16_encode(number); return;
    case KT_BF16: ((uint16_t *)data)[index] = kt_bf16_encode(number); return;
    default: KT_BUG("%s is no float", kt_dtype_name(dtype));
    }
}

int64_t kt_element_integer(kt_dtype dtype, const void *data, size_t index) {
    switch (dtype) {
    case KT_I8: return ((const int8_t *)data)[index];
    case KT_I16: return ((const int16_t *)data)[index];
    case KT_I32: return ((const int32_t *)data)[index];
    case KT_I64:
    case KT_U64: return ((const int64_t *)data)[index];
    case KT_U16: return ((const uint16_t *)data)[index];
    case KT_U32: return ((const uint32_t *)data)[index];
    case KT_U8: return ((const uint8_t *)data)[index];
    case KT_BOOL: return ((const uint8_t *)data)[index] != 0;
    default: KT_BUG("%s is no integer", kt_dtype_name(dtype));
    }
}

void kt_element_set_integer(kt_dtype dtype, void *data, size_t index, int64_t number) {
    switch (dtype) {
    case KT_I8:
    case KT_U8: ((uint8_t *)data)[index] = (uint8_t)number; return;
    case KT_I16:
    case KT_U16: ((uint16_t *)data)[index] = (uint16_t)number; return;
    case KT_I32:
    case KT_U32: ((uint32_t *)data)[index] = (uint32_t)number; return;
    case KT_I64:
    case KT_U64: ((int64_t *)data)[index] = number; return;
    case KT_BOOL: ((uint8_t *)data)[index] = number != 0; return;
    default: KT_BUG("%s is no integer", kt_dtype_name(dtype));
    }
}
