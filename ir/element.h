/* Single elements of tensors in memory: the one place that knows how f16 and bf16 are written. */
#ifndef KT_IR_ELEMENT_H
#define KT_IR_ELEMENT_H

#include "ir/types.h"

/* Conversions round once, to nearest, ties to even; overflow gives an infinity, NaN the quiet NaN. */
double kt_f16_decode(uint16_t bits);
double kt_bf16_decode(uint16_t bits);
uint16_t kt_f16_encode(double number);
uint16_t kt_bf16_encode(double number);

/* The element of a float dtype at data[index]. */
double kt_element_float(kt_dtype dtype, const void *data, size_t index);
void kt_element_set_float(kt_dtype dtype, void *data, size_t index, double number);

/* The element of an integer dtype or bool; u64 as the i64 of the same bits. Setting wraps; a bool becomes
 * number != 0. */
int64_t kt_element_integer(kt_dtype dtype, const void *data, size_t index);
void kt_element_set_integer(kt_dtype dtype, void *data, size_t index, int64_t number);

#endif
