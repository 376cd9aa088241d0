/* Operation nodes that compute element by element: arithmetic, comparison, logic, elementary functions. */
#include "frontend/operations/elementwise_impl.h"

#include <math.h>

kt_dtype kt_rule_apply(kt_rule r, kt_dtype dtype) {
    switch (r) {
    case KT_RULE_SAME: return dtype;
    case KT_RULE_NUMBERS: return dtype == KT_BOOL ? KT_I32 : dtype;
    case KT_RULE_FLOATS: return kt_dtype_to_float(dtype);
    case KT_RULE_TRUTH: return KT_BOOL;
    }
    KT_BUG("rule %d", (int)r);
}

/* ---- two operands ---------------------------------------------------------------------------- */
void kt_operation_binary(kt_layer_call *call, kt_rule r, kt_binary_fn *apply) {
    kt_operand x, y;
    if (!kt_operation_operand(call, 0, "x1", &x) || !kt_operation_operand(call, 1, "x2", &y)) return;
    kt_dtype dtype = kt_rule_apply(r, kt_operand_promote(&x, &y));
    kt_value a = kt_operand_cast(call, &x, dtype), b = kt_operand_cast(call, &y, dtype);
    kt_build_broadcast_pair(call->trace->builder, &a, &b);
    call->outputs[0] = apply(call->trace->builder, a, b);
}

/* Where the remainder is not 0 and has not the divisor's sign: then rounding towards zero was not rounding
 * down. */
static kt_value rounded_up(kt_builder *b, kt_value remainder, kt_value y) {
    kt_value zero = kt_build_like(b, y, 0);
    kt_value signs_differ = kt_build_ne(b, kt_build_lt(b, remainder, zero), kt_build_lt(b, y, zero));
    return kt_build_and(b, kt_build_ne(b, remainder, zero), signs_differ);
}

static kt_value modulo(kt_builder *b, kt_value x, kt_value y) {
    kt_value remainder = kt_build_rem(b, x, y);
    if (kt_dtype_is_unsigned_integer(kt_build_type(b, x)->dtype)) return remainder;
    return kt_build_select(b, rounded_up(b, remainder, y), kt_build_add(b, remainder, y), remainder);
}

/* Of floats, too, by the remainder: x / y itself may be rounded up to a whole number. By steps: no
 * derivative, not even where y is 0. */
static kt_value floor_divide(kt_builder *b, kt_value x, kt_value y) {
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    bool is_float = kt_dtype_is_float(dtype);
    kt_value plain = kt_build_div(b, x, y), remainder = kt_build_rem(b, x, y), quotient = plain;
    if (kt_dtype_is_unsigned_integer(dtype)) return plain;
    if (is_float) quotient = kt_build_div(b, kt_build_sub(b, x, remainder), y);
    kt_value down = kt_build_sub(b, quotient, kt_build_like(b, quotient, 1));
    quotient = kt_build_select(b, rounded_up(b, remainder, y), down, quotient);
    if (!is_float) return quotient;
    kt_value by_zero = kt_build_eq(b, y, kt_build_like(b, y, 0));
    return kt_build_stop_gradient(b, kt_build_select(b, by_zero, plain, kt_build_round(b, quotient)));
}

/* Of bools a sum is an or, a product an and. */
static kt_value sum_of(kt_builder *b, kt_value x, kt_value y) {
    return kt_is_bool(b, x) ? kt_build_or(b, x, y) : kt_build_add(b, x, y);
}
static kt_value product_of(kt_builder *b, kt_value x, kt_value y) {
    return kt_is_bool(b, x) ? kt_build_and(b, x, y) : kt_build_mul(b, x, y);
}
static kt_value larger_of(kt_builder *b, kt_value x, kt_value y) {
    return kt_is_bool(b, x) ? kt_build_or(b, x, y) : kt_build_maximum(b, x, y);
}
static kt_value smaller_of(kt_builder *b, kt_value x, kt_value y) {
    return kt_is_bool(b, x) ? kt_build_and(b, x, y) : kt_build_minimum(b, x, y);
}

/* Of x and y themselves, squares may be infinite or 0. */
static kt_value length_of(kt_builder *b, kt_value x, kt_value y) {
    x = kt_build_abs(b, x);
    y = kt_build_abs(b, y);
    kt_value longer = kt_build_maximum(b, x, y);
    kt_value ratio = kt_divide_no_nan(b, kt_build_minimum(b, x, y), longer);
    return kt_build_mul(b, longer, kt_build_sqrt(b, kt_add_number(b, kt_build_mul(b, ratio, ratio), 1)));
}

// clang-format off
BINARY(add, "Add", SAME, sum_of,     "x1 + x2")
BINARY(subtract, "Subtract", NUMBERS, kt_build_sub,     "x1 - x2")
BINARY(multiply, "Multiply", SAME, product_of,     "x1 * x2")
BINARY(divide, "Divide", FLOATS, kt_build_div,     "x1 / x2")
BINARY(true_divide, "TrueDivide", FLOATS, kt_build_div,     "x1 / x2")
BINARY(floor_divide, "FloorDivide", NUMBERS, floor_divide,     "x1 // x2, rounded down")
BINARY(mod, "Mod", NUMBERS, modulo,           "x1 % x2, with the sign of x2")
BINARY(power, "Power", NUMBERS, kt_build_pow,     "x1 to the x2")
BINARY(maximum, "Maximum", SAME, larger_of, "the larger of x1 and x2")
BINARY(minimum, "Minimum", SAME, smaller_of, "the smaller of x1 and x2")
BINARY(arctan2, "Arctan2", FLOATS, kt_build_atan2,   "the angle of the point (x2, x1)")
BINARY(hypot, "Hypot", FLOATS, length_of, "the length of (x1, x2)")
BINARY(equal, "Equal", SAME, kt_build_eq,      "x1 == x2")
BINARY(not_equal, "NotEqual", SAME, kt_build_ne,      "x1 != x2")
BINARY(less, "Less", NUMBERS, kt_build_lt,      "x1 < x2")
BINARY(less_equal, "LessEqual", NUMBERS, kt_build_le,      "x1 <= x2")
BINARY(greater, "Greater", NUMBERS, kt_build_gt,      "x1 > x2")
BINARY(greater_equal, "GreaterEqual", NUMBERS, kt_build_ge,      "x1 >= x2")
BINARY(logical_and, "LogicalAnd", TRUTH, kt_build_and,     "x1 and x2")
BINARY(logical_or, "LogicalOr", TRUTH, kt_build_or,      "x1 or x2")
BINARY(logical_xor, "LogicalXor", TRUTH, kt_build_xor,     "either x1 or x2")
// clang-format on

/* ---- one operand ----------------------------------------------------------------------------- */
void kt_operation_unary(kt_layer_call *call, kt_rule r, kt_unary_fn *apply) {
    kt_operand x;
    if (!kt_operation_operand(call, 0, "x", &x)) return;
    call->outputs[0] = apply(call->trace->builder, kt_operand_cast(call, &x, kt_rule_apply(r, x.dtype)));
}

static kt_value scale(kt_builder *b, kt_value x, double factor) {
    return kt_build_mul(b, x, kt_build_like(b, x, factor));
}

static kt_value absolute(kt_builder *b, kt_value x) {
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    return dtype == KT_BOOL || kt_dtype_is_unsigned_integer(dtype) ? x : kt_build_abs(b, x);
}
/* Unsigned integers wrap, and have no sign but 0 and 1. */
static kt_value negative(kt_builder *b, kt_value x) {
    bool is_unsigned = kt_dtype_is_unsigned_integer(kt_build_type(b, x)->dtype);
    return is_unsigned ? kt_build_sub(b, kt_build_like(b, x, 0), x) : kt_build_neg(b, x);
}
static kt_value sign(kt_builder *b, kt_value x) {
    bool is_unsigned = kt_dtype_is_unsigned_integer(kt_build_type(b, x)->dtype);
    return is_unsigned ? kt_build_minimum(b, x, kt_build_like(b, x, 1)) : kt_build_sign(b, x);
}
static kt_value truncate(kt_builder *b, kt_value x) {
    return kt_dtype_is_float(kt_build_type(b, x)->dtype) ? kt_build_trunc(b, x) : x;
}
static kt_value square(kt_builder *b, kt_value x) { return kt_build_mul(b, x, x); }
static kt_value reciprocal(kt_builder *b, kt_value x) { return kt_build_div(b, kt_build_like(b, x, 1), x); }
static kt_value exp2_of(kt_builder *b, kt_value x) { return kt_build_exp(b, scale(b, x, M_LN2)); }
static kt_value log2_of(kt_builder *b, kt_value x) { return scale(b, kt_build_log(b, x), 1 / M_LN2); }
static kt_value log10_of(kt_builder *b, kt_value x) { return scale(b, kt_build_log(b, x), 1 / M_LN10); }
static kt_value deg2rad(kt_builder *b, kt_value x) { return scale(b, x, M_PI / 180); }
static kt_value rad2deg(kt_builder *b, kt_value x) { return scale(b, x, 180 / M_PI); }
static kt_value is_infinite(kt_builder *b, kt_value x) {
    return kt_build_not(b, kt_build_or(b, kt_build_is_nan(b, x), kt_build_is_finite(b, x)));
}
static kt_value zeros_like(kt_builder *b, kt_value x) { return kt_build_like(b, x, 0); }
static kt_value ones_like(kt_builder *b, kt_value x) { return kt_build_like(b, x, 1); }
static kt_value itself(kt_builder *b, kt_value x) {
    (void)b;
    return x;
}

// clang-format off
UNARY(negative, "Negative", SAME, negative,       "-x")
UNARY(absolute, "Absolute", SAME, absolute,           "|x|")
UNARY(abs, "Abs", SAME, absolute,           "|x|")
UNARY(square, "Square", NUMBERS, square,             "x * x")
UNARY(sign, "Sign", SAME, sign,      "-1, 0 or 1")
UNARY(sqrt, "Sqrt", FLOATS, kt_build_sqrt,      "the square root")
UNARY(reciprocal, "Reciprocal", FLOATS, reciprocal,         "1 / x")
UNARY(exp, "Exp", FLOATS, kt_build_exp,       "e to the x")
UNARY(exp2, "Exp2", FLOATS, exp2_of,            "2 to the x")
UNARY(expm1, "Expm1", FLOATS, kt_build_expm1,     "e to the x, minus 1")
UNARY(log, "Log", FLOATS, kt_build_log,       "the natural logarithm")
UNARY(log1p, "Log1p", FLOATS, kt_build_log1p,     "log(1 + x)")
UNARY(log2, "Log2", FLOATS, log2_of,            "the logarithm to base 2")
UNARY(log10, "Log10", FLOATS, log10_of,           "the logarithm to base 10")
UNARY(sin, "Sin", FLOATS, kt_build_sin,       "the sine")
UNARY(cos, "Cos", FLOATS, kt_build_cos,       "the cosine")
UNARY(tan, "Tan", FLOATS, kt_build_tan,       "the tangent")
UNARY(arcsin, "Arcsin", FLOATS, kt_build_asin,      "the arc sine")
UNARY(arccos, "Arccos", FLOATS, kt_build_acos,      "the arc cosine")
UNARY(arctan, "Arctan", FLOATS, kt_build_atan,      "the arc tangent")
UNARY(sinh, "Sinh", FLOATS, kt_build_sinh,      "the hyperbolic sine")
UNARY(cosh, "Cosh", FLOATS, kt_build_cosh,      "the hyperbolic cosine")
UNARY(tanh, "Tanh", FLOATS, kt_build_tanh,      "the hyperbolic tangent")
UNARY(arcsinh, "Arcsinh", FLOATS, kt_build_asinh,     "the inverse hyperbolic sine")
UNARY(arccosh, "Arccosh", FLOATS, kt_build_acosh,     "the inverse hyperbolic cosine")
UNARY(arctanh, "Arctanh", FLOATS, kt_build_atanh,     "the inverse hyperbolic tangent")
UNARY(deg2rad, "Deg2rad", FLOATS, deg2rad,            "degrees as radians")
UNARY(rad2deg, "Rad2deg", FLOATS, rad2deg,            "radians as degrees")
UNARY(floor, "Floor", FLOATS, kt_build_floor,     "rounded down")
UNARY(ceil, "Ceil", FLOATS, kt_build_ceil,      "rounded up")
UNARY(trunc, "Trunc", SAME, truncate,     "rounded towards zero")
UNARY(isnan, "Isnan", FLOATS, kt_build_is_nan,    "is x not a number")
UNARY(isfinite, "Isfinite", FLOATS, kt_build_is_finite, "is x neither infinite nor NaN")
UNARY(isinf, "Isinf", FLOATS, is_infinite,        "is x infinite")
UNARY(logical_not, "LogicalNot", TRUTH, kt_build_not,       "not x")
UNARY(zeros_like, "ZerosLike", SAME, zeros_like,         "zeros of x's shape and dtype")
UNARY(ones_like, "OnesLike", SAME, ones_like,          "ones of x's shape and dtype")
UNARY(copy, "Copy", SAME, itself,             "x")
// clang-format on

/* ---- others ---------------------------------------------------------------------------------- */
static void call_where(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_operand condition, x, y;
    if (!kt_operation_operand(call, 0, "condition", &condition) || !kt_operation_operand(call, 1, "x1", &x) ||
        !kt_operation_operand(call, 2, "x2", &y))
        return;
    kt_dtype dtype = kt_operand_promote(&x, &y);
    kt_value c = kt_operand_cast(call, &condition, KT_BOOL), v = kt_operand_cast(call, &x, dtype);
    kt_value w = kt_operand_cast(call, &y, dtype);
    kt_build_broadcast_pair(b, &v, &w);
    kt_build_broadcast_pair(b, &c, &v);
    kt_build_broadcast_pair(b, &c, &w);
    call->outputs[0] = kt_build_select(b, c, v, w);
}
KT_OPERATION(where, "Where", KT_OPERATION_NUMPY, "x1 where the condition is true, else x2", call_where)

/* The choice of the first condition that is true; the default where none is. */
static void call_select(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    uint32_t conditions, count;
    kt_value *when, *choices;
    kt_operand fallback = {.dtype = KT_I32};
    if (!kt_operation_tensors(call, 0, "condlist", &conditions, &when) ||
        !kt_operation_tensors(call, 1, "choicelist", &count, &choices))
        return;
    if (kt_operation_argument(call, 2, "default") && !kt_operation_operand(call, 2, "default", &fallback))
        return;
    if (count != conditions) {
        kt_trace_fail(call->trace, KT_INVALID, "it has %u conditions, and %u choices.", conditions, count);
        return;
    }
    kt_operand first = {.value = choices[0], .dtype = kt_build_type(b, choices[0])->dtype};
    kt_dtype dtype = kt_operand_promote(&first, &fallback);
    kt_value y = kt_operand_cast(call, &fallback, dtype);
    for (uint32_t i = count; i-- > 0;) {
        kt_value c = kt_build_cast(b, when[i], KT_BOOL), v = kt_build_cast(b, choices[i], dtype);
        kt_build_broadcast_pair(b, &v, &y);
        kt_build_broadcast_pair(b, &c, &v);
        kt_build_broadcast_pair(b, &c, &y);
        y = kt_build_select(b, c, v, y);
    }
    call->outputs[0] = y;
}
KT_OPERATION(select, "Select", KT_OPERATION_NUMPY, "the choice of the first condition that is true",
             call_select)

typedef struct clip {
    kt_layer layer;
    const json_t *x_min, *x_max;
} clip;
static const kt_option clip_options[] = {
    KT_FIELD(clip, x_min, JSON, "null"),
    KT_FIELD(clip, x_max, JSON, "null"),
    KT_OPTIONS_END,
};

static kt_value hold(const kt_layer_call *call, kt_value x, const char *option, const json_t *bound,
                     kt_binary_fn *apply) {
    kt_builder *b = call->trace->builder;
    kt_operand given;
    if (!x || !bound) return x;
    if (!kt_operation_option(call, option, bound, &given)) return 0;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    if (kt_dtype_is_float(given.dtype))
        dtype = kt_dtype_to_float(dtype); /* as Keras computes, if not declares */
    x = kt_build_cast(b, x, dtype);
    kt_value other = kt_operand_cast(call, &given, dtype);
    kt_build_broadcast_pair(b, &x, &other);
    return apply(b, x, other);
}

static void call_clip(kt_layer *layer, kt_layer_call *call) {
    const clip *c = (const clip *)layer;
    kt_operand x;
    if (!kt_operation_operand(call, 0, "x", &x)) return;
    kt_value y = kt_operand_cast(call, &x, kt_rule_apply(KT_RULE_NUMBERS, x.dtype));
    y = hold(call, y, "x_min", c->x_min, kt_build_maximum);
    call->outputs[0] = hold(call, y, "x_max", c->x_max, kt_build_minimum);
}
KT_OPERATION_WITH(clip, "Clip", KT_OPERATION_NUMPY, "x held between two numbers", clip, clip_options,
                  call_clip)

typedef struct rounding {
    kt_layer layer;
    int64_t decimals;
} rounding;
static const kt_option round_options[] = {KT_FIELD(rounding, decimals, INT, "0"), KT_OPTIONS_END};

static void call_round(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    int64_t decimals = ((const rounding *)layer)->decimals;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    call->outputs[0] = x;
    if (!kt_dtype_is_float(dtype) && decimals >= 0) return;
    if (!kt_dtype_is_float(dtype)) x = kt_build_cast(b, x, KT_F64);
    double factor = pow(10, fabs((double)decimals));
    if (decimals > 0) x = scale(b, x, factor);
    if (decimals < 0) x = kt_build_div(b, x, kt_build_like(b, x, factor));
    x = kt_build_round(b, x);
    if (decimals > 0) x = kt_build_div(b, x, kt_build_like(b, x, factor));
    if (decimals < 0) x = scale(b, x, factor);
    call->outputs[0] = kt_build_cast(b, x, dtype);
}
KT_OPERATION_WITH(round, "Round", KT_OPERATION_NUMPY, "x rounded to a number of decimals, halves to even",
                  rounding, round_options, call_round)
