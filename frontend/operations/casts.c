/* Operation nodes that give x in another dtype. */
#include "frontend/operations/elementwise_impl.h"
#include "ir/element.h"

#include <float.h>
#include <math.h>

/* ---- dtypes ---------------------------------------------------------------------------------- */
bool kt_operation_dtype(const kt_layer_call *call, const char *name, kt_dtype *out_dtype) {
    if (name && kt_dtype_parse_keras(name, out_dtype) && *out_dtype != KT_STRING && *out_dtype != KT_C64)
        return true;
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "its dtype %s is not supported.",
                  name ? name : "that is given");
    return false;
}

void kt_float_form(kt_dtype dtype, int *out_digits, int *out_exponent) {
    switch (dtype) {
    case KT_F16: *out_digits = 11, *out_exponent = 16; return;
    case KT_BF16: *out_digits = 8, *out_exponent = FLT_MAX_EXP; return;
    case KT_F32: *out_digits = FLT_MANT_DIG, *out_exponent = FLT_MAX_EXP; return;
    default: *out_digits = DBL_MANT_DIG, *out_exponent = DBL_MAX_EXP; return;
    }
}

/* A number that is cut to so many binary digits. */
static long double cut(long double number, int digits) {
    int exponent;
    long double share = frexpl(number, &exponent);
    return ldexpl(truncl(ldexpl(share, digits)), exponent - digits);
}

void kt_dtype_range(kt_dtype dtype, long double *out_low, long double *out_high) {
    bool is_signed = kt_dtype_is_float(dtype) || kt_dtype_is_signed_integer(dtype);
    if (kt_dtype_is_float(dtype)) {
        int digits, exponent;
        kt_float_form(dtype, &digits, &exponent);
        *out_high = ldexpl(1 - ldexpl(1, -digits), exponent);
    } else {
        int bits = dtype == KT_BOOL ? 1 : (int)kt_dtype_bytes(dtype) * 8 - is_signed;
        *out_high = ldexpl(1, bits) - 1; /* exact: long double has 64 digits */
    }
    *out_low = !is_signed ? 0 : kt_dtype_is_float(dtype) ? -*out_high : -*out_high - 1;
}

/* A scalar of x's dtype over x's shape; a double could not say the largest integers. */
static kt_value bound_like(kt_builder *b, kt_value x, long double bound) {
    kt_type type = *kt_build_type(b, x), scalar = {.dtype = type.dtype};
    uint64_t element;
    if (kt_dtype_is_float(type.dtype)) return kt_build_like(b, x, (double)bound);
    kt_element_set_integer(type.dtype, &element, 0, bound < 0 ? (int64_t)bound : (int64_t)(uint64_t)bound);
    kt_value constant = kt_build_constant(b, &scalar, &element);
    return kt_build_broadcast_to(b, constant, type.rank, type.dims);
}

kt_value kt_saturate_cast(kt_builder *b, kt_value x, kt_dtype dtype) {
    kt_dtype from = kt_build_type(b, x)->dtype;
    long double from_low, from_high, low, high;
    kt_dtype_range(from, &from_low, &from_high);
    kt_dtype_range(dtype, &low, &high);
    low = fmaxl(low, from_low);
    high = fminl(high, from_high);
    if (kt_dtype_is_float(from) && kt_dtype_is_float(dtype)) {
        /* Keras steps inwards to what x's own dtype can say. A cast to integers holds the rest itself. */
        int digits, exponent;
        kt_float_form(from, &digits, &exponent);
        low = cut(low, digits);
        high = cut(high, digits);
    }
    if (from == KT_BOOL) return kt_build_cast(b, x, dtype);
    x = kt_build_minimum(b, kt_build_maximum(b, x, bound_like(b, x, low)), bound_like(b, x, high));
    return kt_build_cast(b, x, dtype);
}

/* ---- operations ------------------------------------------------------------------------------ */
typedef struct cast {
    kt_layer layer;
    const char *to; /* a dtype, or NULL */
} cast;
static const kt_option cast_options[] = {
    {"dtype", KT_OPTION_STRING, offsetof(cast, to), NULL},
    KT_OPTIONS_END,
};
static const kt_option convert_options[] = {
    {"dtype", KT_OPTION_STRING, offsetof(cast, to), "null"},
    KT_UNSUPPORTED("sparse"),
    KT_UNSUPPORTED("ragged"),
    KT_OPTIONS_END,
};

static void call_cast(kt_layer *layer, kt_layer_call *call) {
    kt_operand x;
    kt_dtype dtype;
    if (kt_operation_dtype(call, ((const cast *)layer)->to, &dtype) && kt_operation_operand(call, 0, "x", &x))
        call->outputs[0] = kt_operand_cast(call, &x, dtype);
}
KT_OPERATION_WITH(cast, "Cast", KT_OPERATION_CORE, "x in another dtype", cast, cast_options, call_cast)

static kt_value itself(kt_builder *b, kt_value x) {
    (void)b;
    return x;
}

static void call_convert(kt_layer *layer, kt_layer_call *call) {
    if (((const cast *)layer)->to)
        call_cast(layer, call);
    else
        kt_operation_unary(call, KT_RULE_SAME, itself);
}
KT_OPERATION_WITH(convert_to_tensor, "ConvertToTensor", KT_OPERATION_CORE, "x, perhaps in another dtype",
                  cast, convert_options, call_convert)

static void call_saturate_cast(kt_layer *layer, kt_layer_call *call) {
    kt_dtype dtype;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (x && kt_operation_dtype(call, ((const cast *)layer)->to, &dtype))
        call->outputs[0] = kt_saturate_cast(call->trace->builder, x, dtype);
}
KT_OPERATION_WITH(saturate_cast, "SaturateCast", KT_OPERATION_CORE,
                  "x in another dtype, held in what it can hold", cast, cast_options, call_saturate_cast)

/* The same bits as another dtype, of those that a cast says. */
static void call_view(kt_layer *layer, kt_layer_call *call) {
    const char *name = ((const cast *)layer)->to;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_dtype from = kt_build_type(call->trace->builder, x)->dtype, dtype = from;
    if (name && !kt_operation_dtype(call, name, &dtype)) return;
    bool integers = kt_dtype_is_integer(from) && kt_dtype_is_integer(dtype);
    if (from != dtype && (!integers || kt_dtype_bytes(from) != kt_dtype_bytes(dtype))) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "%s is seen as %s only by its bits, which is not supported yet.", kt_dtype_name(from),
                      kt_dtype_name(dtype));
        return;
    }
    call->outputs[0] = kt_build_cast(call->trace->builder, x, dtype);
}
static const kt_option view_options[] = {
    {"dtype", KT_OPTION_STRING, offsetof(cast, to), "null"},
    KT_OPTIONS_END,
};
KT_OPERATION_WITH(view, "View", KT_OPERATION_NUMPY, "the bits of integers as others of that size", cast,
                  view_options, call_view)

static void call_stop_gradient(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_operation_unary(call, KT_RULE_SAME, kt_build_stop_gradient);
}
KT_OPERATION(stop_gradient, "StopGradient", KT_OPERATION_CORE, "x, which does not pass gradients on",
             call_stop_gradient)
