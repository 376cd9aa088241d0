/* Operation nodes with special functions and rarer arithmetic, element by element, made of the primitives. */
#include "frontend/operations/elementwise_impl.h"
#include "ir/element.h"

#include <math.h>

static kt_value number(kt_builder *b, kt_value like, double value) { return kt_build_like(b, like, value); }
static kt_value times(kt_builder *b, kt_value x, double value) {
    return kt_build_mul(b, x, number(b, x, value));
}
static bool is_float(kt_builder *b, kt_value x) { return kt_dtype_is_float(kt_build_type(b, x)->dtype); }

/* coefficients[0] x^(count - 1) + … + coefficients[count - 1] */
static kt_value polynomial(kt_builder *b, kt_value x, const double *coefficients, size_t count) {
    kt_value y = number(b, x, coefficients[0]);
    for (size_t i = 1; i < count; i++)
        y = kt_build_add(b, kt_build_mul(b, y, x), number(b, x, coefficients[i]));
    return y;
}

/* ---- one operand ----------------------------------------------------------------------------- */
static kt_value absolute(kt_builder *b, kt_value x) { return kt_build_abs(b, x); }
static kt_value itself(kt_builder *b, kt_value x) {
    (void)b;
    return x;
}
static kt_value zeros(kt_builder *b, kt_value x) { return number(b, x, 0); }
static kt_value all_true(kt_builder *b, kt_value x) {
    return kt_build_eq(b, number(b, x, 0), number(b, x, 0));
}

/* The sign of a zero is that of its reciprocal. */
static kt_value sign_bit(kt_builder *b, kt_value x) {
    kt_value zero = number(b, x, 0), negative = kt_build_lt(b, x, zero);
    if (!is_float(b, x)) return negative;
    kt_value reciprocal = kt_build_div(b, number(b, x, 1), x);
    kt_value minus_zero = kt_build_and(b, kt_build_eq(b, x, zero), kt_build_lt(b, reciprocal, zero));
    return kt_build_or(b, negative, minus_zero);
}
static kt_value is_plus_infinity(kt_builder *b, kt_value x) {
    return kt_build_eq(b, x, number(b, x, INFINITY));
}
static kt_value is_minus_infinity(kt_builder *b, kt_value x) {
    return kt_build_eq(b, x, number(b, x, -INFINITY));
}

/* Of real numbers: 0, or pi where they are negative. */
static kt_value angle(kt_builder *b, kt_value x) { return kt_build_atan2(b, number(b, x, 0), x); }

static kt_value cube_root(kt_builder *b, kt_value x) {
    kt_value size = kt_build_abs(b, x), root = kt_build_pow(b, size, number(b, x, 1.0 / 3));
    return kt_build_select(b, kt_build_lt(b, x, number(b, x, 0)), kt_build_neg(b, root), root);
}

static kt_value sinc(kt_builder *b, kt_value x) {
    kt_value one = number(b, x, 1), at = times(b, x, M_PI), is_zero = kt_build_eq(b, x, number(b, x, 0));
    at = kt_build_select(b, is_zero, one, at);
    return kt_build_select(b, is_zero, one, kt_build_div(b, kt_build_sin(b, at), at));
}

/* The modified Bessel function of order 0: Abramowitz and Stegun, 9.8.1 and 9.8.2; 2e-7 of the value. */
static kt_value bessel_i0(kt_builder *b, kt_value x) {
    static const double near[] = {0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1};
    static const double far[] = {0.00392377,  -0.01647633, 0.02635537, -0.02057706, 0.00916281,
                                 -0.00157565, 0.00225319,  0.01328592, 0.39894228};
    kt_value size = kt_build_abs(b, x), bound = number(b, x, 3.75);
    kt_value is_near = kt_build_lt(b, size, bound), large = kt_build_maximum(b, size, bound);
    kt_value t = kt_build_div(b, size, bound);
    kt_value low = polynomial(b, kt_build_mul(b, t, t), near, sizeof near / sizeof *near);
    kt_value high = polynomial(b, kt_build_div(b, bound, large), far, sizeof far / sizeof *far);
    high = kt_build_mul(b, high, kt_build_mul(b, kt_build_exp(b, large), kt_build_rsqrt(b, large)));
    return kt_build_select(b, is_near, low, high);
}

static kt_value erf_complement(kt_builder *b, kt_value x) {
    return kt_build_sub(b, number(b, x, 1), kt_build_erf(b, x));
}

/* Giles, Approximating the erfinv function, 2010: the form for float32, 4e-7 of the value. */
static kt_value erf_inverse(kt_builder *b, kt_value x) {
    static const double centre[] = {2.81022636e-08,  3.43273939e-07, -3.5233877e-06,
                                    -4.39150654e-06, 0.00021858087,  -0.00125372503,
                                    -0.00417768164,  0.246640727,    1.50140941};
    static const double tail[] = {-0.000200214257, 0.000100950558, 0.00134934322,
                                  -0.00367342844,  0.00573950773,  -0.0076224613,
                                  0.00943887047,   1.00167406,     2.83297682};
    kt_value one = number(b, x, 1), size = kt_build_abs(b, x);
    kt_value rest = kt_build_mul(b, kt_build_sub(b, one, x), kt_build_add(b, one, x));
    kt_value w = kt_build_neg(b, kt_build_log(b, rest));
    kt_value low =
        polynomial(b, kt_build_sub(b, w, number(b, w, 2.5)), centre, sizeof centre / sizeof *centre);
    kt_value root = kt_build_sub(b, kt_build_sqrt(b, w), number(b, w, 3));
    kt_value high = polynomial(b, root, tail, sizeof tail / sizeof *tail);
    kt_value y = kt_build_select(b, kt_build_lt(b, w, number(b, w, 5)), low, high);
    return kt_build_mul(b, x, kt_build_select(b, kt_build_eq(b, size, one), number(b, x, INFINITY), y));
}

// clang-format off
UNARY(fabs,        "Fabs",          FLOATS,  absolute,          "|x| as a float")
UNARY(conj,        "Conj",          SAME,    itself,            "the complex conjugate of real numbers: x")
UNARY(conjugate,   "Conjugate",     SAME,    itself,            "the complex conjugate of real numbers: x")
UNARY(real,        "Real",          SAME,    itself,            "the real part of real numbers: x")
UNARY(imag,        "Imag",          SAME,    zeros,             "the imaginary part of real numbers: 0")
UNARY(isreal,      "Isreal",        SAME,    all_true,          "is x real: true")
UNARY(angle,       "Angle",         FLOATS,  angle,             "the angle of real numbers in the complex plane")
UNARY(signbit,     "Signbit",       NUMBERS, sign_bit,          "has x a minus sign")
UNARY(isposinf,    "Isposinf",      FLOATS,  is_plus_infinity,  "is x plus infinity")
UNARY(isneginf,    "Isneginf",      FLOATS,  is_minus_infinity, "is x minus infinity")
UNARY(cbrt,        "Cbrt",          FLOATS,  cube_root,         "the cube root")
UNARY(sinc,        "Sinc",          FLOATS,  sinc,              "sin(pi x) / (pi x)")
UNARY(i0,          "I0",            FLOATS,  bessel_i0,         "the modified Bessel function of order 0")
UNARY(bitwise_not,    "BitwiseNot",    SAME, kt_build_not,      "each bit turned round")
UNARY(bitwise_invert, "BitwiseInvert", SAME, kt_build_not,      "each bit turned round")
#define MATH(c_name, keras_name, apply, doc) \
    KT_OPERATION_ROW(unary, c_name, keras_name, KT_OPERATION_MATH, FLOATS, apply, doc)
MATH(rsqrt,        "Rsqrt",         kt_build_rsqrt, "1 / the square root")
MATH(erf,          "Erf",           kt_build_erf,   "the error function")
MATH(erfc,         "Erfc",          erf_complement, "1 - erf(x)")
MATH(erfinv,       "Erfinv",        erf_inverse,    "the inverse of the error function")
// clang-format on

/* ---- two operands ---------------------------------------------------------------------------- */
static kt_value unless_nan(kt_builder *b, kt_value x, kt_value y, kt_binary_fn *pick) {
    if (kt_is_bool(b, x)) return pick == kt_build_maximum ? kt_build_or(b, x, y) : kt_build_and(b, x, y);
    if (!is_float(b, x)) return pick(b, x, y);
    kt_value both = kt_build_select(b, kt_build_is_nan(b, y), x, pick(b, x, y));
    return kt_build_select(b, kt_build_is_nan(b, x), y, both);
}
static kt_value larger_number(kt_builder *b, kt_value x, kt_value y) {
    return unless_nan(b, x, y, kt_build_maximum);
}
static kt_value smaller_number(kt_builder *b, kt_value x, kt_value y) {
    return unless_nan(b, x, y, kt_build_minimum);
}

/* log(e^x + e^y) in terms of the larger and how far below it the smaller is. */
static kt_value log_add(kt_builder *b, kt_value x, kt_value y, double base_log) {
    kt_value high = kt_build_maximum(b, x, y), below = kt_build_abs(b, kt_build_sub(b, x, y));
    kt_value equal = kt_build_eq(b, x, y); /* also where both are infinite */
    below = kt_build_select(b, equal, number(b, x, 0), below);
    kt_value more = kt_build_log1p(b, kt_build_exp(b, times(b, below, -base_log)));
    return kt_build_add(b, high, times(b, more, 1 / base_log));
}
static kt_value log_add_e(kt_builder *b, kt_value x, kt_value y) { return log_add(b, x, y, 1); }
static kt_value log_add_2(kt_builder *b, kt_value x, kt_value y) { return log_add(b, x, y, M_LN2); }

static kt_value heaviside(kt_builder *b, kt_value x, kt_value at_zero) {
    kt_value zero = number(b, x, 0);
    kt_value step = kt_build_cast(b, kt_build_gt(b, x, zero), kt_build_type(b, x)->dtype);
    step = kt_build_select(b, kt_build_eq(b, x, zero), at_zero, step);
    return kt_build_select(b, kt_build_ne(b, x, x), x, step);
}

static kt_value scale_by_power(kt_builder *b, kt_value x, kt_value power) {
    return kt_build_mul(b, x, kt_build_pow(b, number(b, x, 2), power));
}

/* The neighbour of x on y's side. In f64 a step of 0.7 units of x's last place, or more where x is a larger
 * power of 2, rounds to it: to both sides of a power of 2 the candidates are 1 and 1/2 units away. */
static kt_value next_after(kt_builder *b, kt_value x, kt_value y) {
    int digits, exponent;
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    if (dtype == KT_F64) return kt_build_fail(b, KT_UNSUPPORTED, "neighbours of float64 are not supported.");
    kt_float_form(dtype, &digits, &exponent);
    kt_value wide = kt_build_cast(b, x, KT_F64), limit = number(b, wide, ldexp(1, exponent));
    wide =
        kt_build_minimum(b, kt_build_maximum(b, wide, kt_build_neg(b, limit)), limit); /* infinity's place */
    kt_value least = number(b, wide, 0.7 * ldexp(1, 3 - exponent - digits));
    kt_value step = kt_build_maximum(b, times(b, kt_build_abs(b, wide), 0.7 * ldexp(1, 1 - digits)), least);
    kt_value up = kt_build_lt(b, x, y), moved = kt_build_select(b, up, step, kt_build_neg(b, step));
    moved = kt_build_cast(b, kt_build_add(b, wide, moved), dtype);
    moved = kt_build_select(b, kt_build_eq(b, x, y), y, moved);
    return kt_build_select(b, kt_build_is_nan(b, y), y, moved);
}

/* Euclid's algorithm, as often as the largest numbers of the dtype may need it: once for each Fibonacci
 * number that it holds. */
static kt_value greatest_divisor(kt_builder *b, kt_value x, kt_value y) {
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    int steps = (int)ceil(kt_dtype_bytes(dtype) * 8 / log2((1 + sqrt(5)) / 2)) + 2;
    bool is_signed = kt_dtype_is_signed_integer(dtype);
    if (is_signed) x = kt_build_abs(b, x);
    if (is_signed) y = kt_build_abs(b, y);
    for (int i = 0; i < steps; i++) {
        kt_value rest = kt_build_rem(b, x, y); /* 0 where y is 0 */
        x = kt_build_select(b, kt_build_eq(b, y, number(b, y, 0)), x, y);
        y = rest;
    }
    return x;
}
static kt_value least_multiple(kt_builder *b, kt_value x, kt_value y) {
    kt_value product = kt_build_mul(b, kt_build_div(b, x, greatest_divisor(b, x, y)), y);
    return kt_dtype_is_signed_integer(kt_build_type(b, x)->dtype) ? kt_build_abs(b, product) : product;
}

// clang-format off
BINARY(fmax,                "Fmax",              SAME,    larger_number,        "the larger of x1 and x2, or the one that is no NaN")
BINARY(fmin,                "Fmin",              SAME,    smaller_number,       "the smaller of x1 and x2, or the one that is no NaN")
BINARY(fmod,                "Fmod",              NUMBERS, kt_build_rem,         "the remainder of x1 / x2, with the sign of x1")
BINARY(logaddexp,           "Logaddexp",         FLOATS,  log_add_e,            "log(e^x1 + e^x2)")
BINARY(logaddexp2,          "Logaddexp2",        FLOATS,  log_add_2,            "log2(2^x1 + 2^x2)")
BINARY(heaviside,           "Heaviside",         FLOATS,  heaviside,            "0 below 0, 1 above, x2 where x1 is 0")
BINARY(nextafter,           "Nextafter",         FLOATS,  next_after,           "the neighbour of x1 on the side of x2")
BINARY(divide_no_nan,       "DivideNoNan",       FLOATS,  kt_divide_no_nan,     "x1 / x2, or 0 where x2 is 0")
BINARY(ldexp,               "Ldexp",             FLOATS,  scale_by_power,       "x1 * 2^x2")
BINARY(gcd,                 "Gcd",               NUMBERS, greatest_divisor,     "the greatest common divisor")
BINARY(lcm,                 "Lcm",               NUMBERS, least_multiple,       "the least common multiple")
BINARY(bitwise_and,         "BitwiseAnd",        SAME,    kt_build_and,         "bit by bit: and")
BINARY(bitwise_or,          "BitwiseOr",         SAME,    kt_build_or,          "bit by bit: or")
BINARY(bitwise_xor,         "BitwiseXor",        SAME,    kt_build_xor,         "bit by bit: exclusive or")
BINARY(left_shift,          "LeftShift",         NUMBERS, kt_build_shift_left,  "x1 moved x2 bits up")
BINARY(bitwise_left_shift,  "BitwiseLeftShift",  NUMBERS, kt_build_shift_left,  "x1 moved x2 bits up")
BINARY(right_shift,         "RightShift",        NUMBERS, kt_build_shift_right, "x1 moved x2 bits down")
BINARY(bitwise_right_shift, "BitwiseRightShift", NUMBERS, kt_build_shift_right, "x1 moved x2 bits down")
// clang-format on

/* ---- with options ---------------------------------------------------------------------------- */
typedef struct closeness {
    kt_layer layer;
    bool equal_nan;
    double rtol, atol; /* AllClose: options; Isclose: arguments */
} closeness;
static const kt_option isclose_options[] = {KT_FIELD(closeness, equal_nan, BOOL, "false"), KT_OPTIONS_END};
static const kt_option allclose_options[] = {
    KT_FIELD(closeness, rtol, FLOAT, "1e-05"),
    KT_FIELD(closeness, atol, FLOAT, "1e-08"),
    KT_FIELD(closeness, equal_nan, BOOL, "false"),
    KT_OPTIONS_END,
};

/* |x - y| <= atol + rtol |y|, or x = y, or both NaN; infinite numbers are close to themselves only. */
static kt_value close_to(kt_builder *b, kt_value x, kt_value y, const closeness *c) {
    kt_value bound = kt_build_add(b, times(b, kt_build_abs(b, y), c->rtol), number(b, y, c->atol));
    kt_value close = kt_build_le(b, kt_build_abs(b, kt_build_sub(b, x, y)), bound);
    close = kt_build_and(b, close, kt_build_and(b, kt_build_is_finite(b, x), kt_build_is_finite(b, y)));
    close = kt_build_or(b, close, kt_build_eq(b, x, y));
    if (!c->equal_nan) return close;
    return kt_build_or(b, close, kt_build_and(b, kt_build_is_nan(b, x), kt_build_is_nan(b, y)));
}

static kt_value compare_closely(kt_layer_call *call, const closeness *c) {
    kt_builder *b = call->trace->builder;
    kt_operand x, y;
    if (!kt_operation_operand(call, 0, "x1", &x) || !kt_operation_operand(call, 1, "x2", &y)) return 0;
    kt_dtype dtype = kt_dtype_to_float(kt_operand_promote(&x, &y));
    kt_value v = kt_operand_cast(call, &x, dtype), w = kt_operand_cast(call, &y, dtype);
    kt_build_broadcast_pair(b, &v, &w);
    return close_to(b, v, w, c);
}

static void call_isclose(kt_layer *layer, kt_layer_call *call) {
    closeness c = *(const closeness *)layer;
    c.rtol = 1e-5;
    c.atol = 1e-8;
    if (!kt_operation_number(call, 2, "rtol", &c.rtol) || !kt_operation_number(call, 3, "atol", &c.atol))
        return;
    call->outputs[0] = compare_closely(call, &c);
}
static void call_allclose(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_value close = compare_closely(call, (const closeness *)layer);
    if (!close) return;
    kt_ints all = {.count = kt_build_type(b, close)->rank};
    for (uint32_t i = 0; i < all.count; i++) all.at[i] = i;
    call->outputs[0] = kt_build_reduce(b, close, KT_REDUCE_MINIMUM, all.count, all.at);
}
KT_OPERATION_WITH(isclose, "Isclose", KT_OPERATION_NUMPY, "are x1 and x2 nearly equal", closeness,
                  isclose_options, call_isclose)
KT_OPERATION_WITH(allclose, "AllClose", KT_OPERATION_NUMPY, "are all of x1 and x2 nearly equal", closeness,
                  allclose_options, call_allclose)

typedef struct nan_to_num {
    kt_layer layer;
    double nan, posinf, neginf; /* NaN: None */
} nan_to_num;
static const kt_option nan_to_num_options[] = {
    KT_FIELD(nan_to_num, nan, FLOAT, "0.0"),
    KT_FIELD(nan_to_num, posinf, OPTIONAL_FLOAT, "null"),
    KT_FIELD(nan_to_num, neginf, OPTIONAL_FLOAT, "null"),
    KT_OPTIONS_END,
};

static void call_nan_to_num(kt_layer *layer, kt_layer_call *call) {
    const nan_to_num *n = (const nan_to_num *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    call->outputs[0] = x;
    if (!is_float(b, x)) return;
    long double least, largest;
    kt_dtype_range(kt_build_type(b, x)->dtype, &least, &largest);
    kt_value y = kt_build_select(b, kt_build_is_nan(b, x), number(b, x, n->nan), x);
    y = kt_build_select(b, is_plus_infinity(b, x),
                        number(b, x, isnan(n->posinf) ? (double)largest : n->posinf), y);
    y = kt_build_select(b, is_minus_infinity(b, x),
                        number(b, x, isnan(n->neginf) ? (double)least : n->neginf), y);
    call->outputs[0] = y;
}
KT_OPERATION_WITH(nan_to_num, "NanToNum", KT_OPERATION_NUMPY, "x with numbers for NaN and infinities",
                  nan_to_num, nan_to_num_options, call_nan_to_num)
