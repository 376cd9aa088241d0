/* kt_scalar_NAME: the meaning of each elementwise operation on one element. Floats arrive as double, whatever
 * their dtype, and the caller rounds the result; double has more than twice the digits of f32, so that the
 * two roundings of + - * / and sqrt are as good as one. Integers arrive widened to 64 bits, and the caller
 * wraps the result; only where the width or the sign matters is dtype looked at. */
#include "ir/eval/eval_impl.h"

#include <math.h>

static kt_number real(double number) { return (kt_number){.real = number}; }
static kt_number integer(int64_t number) { return (kt_number){.integer = number}; }
/* Wraps: through unsigned, where overflow is defined. */
static kt_number wrapped(uint64_t number) { return (kt_number){.integer = (int64_t)number}; }
static uint64_t bits(kt_number x) { return (uint64_t)x.integer; }

/* ---- one operand ----------------------------------------------------------------------------- */

#define FLOAT_FUNCTION(name, formula)                                                                        \
    kt_number kt_scalar_##name(kt_dtype dtype, kt_number number) {                                           \
        (void)dtype;                                                                                         \
        double x = number.real;                                                                              \
        return real(formula);                                                                                \
    }
FLOAT_FUNCTION(floor, floor(x))
FLOAT_FUNCTION(ceil, ceil(x))
FLOAT_FUNCTION(round, rint(x))
FLOAT_FUNCTION(trunc, trunc(x))
FLOAT_FUNCTION(sqrt, sqrt(x))
FLOAT_FUNCTION(rsqrt, 1 / sqrt(x))
FLOAT_FUNCTION(exp, exp(x))
FLOAT_FUNCTION(expm1, expm1(x))
FLOAT_FUNCTION(log, log(x))
FLOAT_FUNCTION(log1p, log1p(x))
FLOAT_FUNCTION(sin, sin(x))
FLOAT_FUNCTION(cos, cos(x))
FLOAT_FUNCTION(tan, tan(x))
FLOAT_FUNCTION(asin, asin(x))
FLOAT_FUNCTION(acos, acos(x))
FLOAT_FUNCTION(atan, atan(x))
FLOAT_FUNCTION(sinh, sinh(x))
FLOAT_FUNCTION(cosh, cosh(x))
FLOAT_FUNCTION(tanh, tanh(x))
FLOAT_FUNCTION(asinh, asinh(x))
FLOAT_FUNCTION(acosh, acosh(x))
FLOAT_FUNCTION(atanh, atanh(x))
FLOAT_FUNCTION(erf, erf(x))
FLOAT_FUNCTION(logistic, 1 / (1 + exp(-x)))
#undef FLOAT_FUNCTION

kt_number kt_scalar_neg(kt_dtype dtype, kt_number x) {
    return kt_dtype_is_float(dtype) ? real(-x.real) : wrapped(-bits(x));
}

kt_number kt_scalar_abs(kt_dtype dtype, kt_number x) {
    if (kt_dtype_is_float(dtype)) return real(fabs(x.real));
    return kt_dtype_is_signed_integer(dtype) && x.integer < 0 ? wrapped(-bits(x)) : x;
}

kt_number kt_scalar_sign(kt_dtype dtype, kt_number x) {
    if (kt_dtype_is_float(dtype)) return x.real > 0 ? real(1) : x.real < 0 ? real(-1) : x;
    return integer((x.integer > 0) - (x.integer < 0));
}

kt_number kt_scalar_not(kt_dtype dtype, kt_number x) {
    return dtype == KT_BOOL ? integer(!x.integer) : wrapped(~bits(x));
}

kt_number kt_scalar_stop_gradient(kt_dtype dtype, kt_number x) {
    (void)dtype;
    return x;
}

kt_number kt_scalar_is_nan(kt_dtype dtype, kt_number x) {
    (void)dtype;
    return integer(isnan(x.real) != 0);
}

kt_number kt_scalar_is_finite(kt_dtype dtype, kt_number x) {
    (void)dtype;
    return integer(isfinite(x.real) != 0);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

kt_number kt_scalar_add(kt_dtype dtype, kt_number x, kt_number y) {
    return kt_dtype_is_float(dtype) ? real(x.real + y.real) : wrapped(bits(x) + bits(y));
}

kt_number kt_scalar_sub(kt_dtype dtype, kt_number x, kt_number y) {
    return kt_dtype_is_float(dtype) ? real(x.real - y.real) : wrapped(bits(x) - bits(y));
}

kt_number kt_scalar_mul(kt_dtype dtype, kt_number x, kt_number y) {
    return kt_dtype_is_float(dtype) ? real(x.real * y.real) : wrapped(bits(x) * bits(y));
}

kt_number kt_scalar_div(kt_dtype dtype, kt_number x, kt_number y) {
    if (kt_dtype_is_float(dtype)) return real(x.real / y.real);
    if (y.integer == 0) return integer(0);
    if (kt_dtype_is_unsigned_integer(dtype)) return wrapped(bits(x) / bits(y));
    return y.integer == -1 ? wrapped(-bits(x))
                           : integer(x.integer / y.integer); /* the lowest / -1 overflows */
}

kt_number kt_scalar_rem(kt_dtype dtype, kt_number x, kt_number y) {
    if (kt_dtype_is_float(dtype)) return real(fmod(x.real, y.real));
    if (y.integer == 0) return integer(0);
    if (kt_dtype_is_unsigned_integer(dtype)) return wrapped(bits(x) % bits(y));
    return y.integer == -1 ? integer(0) : integer(x.integer % y.integer);
}

kt_number kt_scalar_pow(kt_dtype dtype, kt_number x, kt_number y) {
    if (kt_dtype_is_float(dtype)) return real(pow(x.real, y.real));
    if (kt_dtype_is_signed_integer(dtype) && y.integer < 0) {
        if (x.integer == -1) return integer(y.integer % 2 ? -1 : 1);
        return integer(x.integer == 1);
    }
    uint64_t power = 1, square = bits(x);
    for (uint64_t left = bits(y); left; left >>= 1) {
        if (left & 1) power *= square;
        square *= square;
    }
    return wrapped(power);
}

kt_number kt_scalar_atan2(kt_dtype dtype, kt_number x, kt_number y) {
    (void)dtype;
    return real(atan2(x.real, y.real));
}

/* ---- comparison ------------------------------------------------------------------------------ */

static bool less(kt_dtype dtype, kt_number x, kt_number y) {
    if (kt_dtype_is_float(dtype)) return x.real < y.real;
    return kt_dtype_is_unsigned_integer(dtype) ? bits(x) < bits(y) : x.integer < y.integer;
}

static bool equal(kt_dtype dtype, kt_number x, kt_number y) {
    return kt_dtype_is_float(dtype) ? x.real == y.real : x.integer == y.integer;
}

static bool is_nan(kt_dtype dtype, kt_number x) { return kt_dtype_is_float(dtype) && isnan(x.real); }

kt_number kt_scalar_maximum(kt_dtype dtype, kt_number x, kt_number y) {
    return is_nan(dtype, x) || less(dtype, y, x) ? x : y;
}

kt_number kt_scalar_minimum(kt_dtype dtype, kt_number x, kt_number y) {
    return is_nan(dtype, x) || less(dtype, x, y) ? x : y;
}

kt_number kt_scalar_eq(kt_dtype dtype, kt_number x, kt_number y) { return integer(equal(dtype, x, y)); }
kt_number kt_scalar_ne(kt_dtype dtype, kt_number x, kt_number y) { return integer(!equal(dtype, x, y)); }
kt_number kt_scalar_lt(kt_dtype dtype, kt_number x, kt_number y) { return integer(less(dtype, x, y)); }
kt_number kt_scalar_gt(kt_dtype dtype, kt_number x, kt_number y) { return integer(less(dtype, y, x)); }
kt_number kt_scalar_le(kt_dtype dtype, kt_number x, kt_number y) {
    return integer(less(dtype, x, y) || equal(dtype, x, y));
}
kt_number kt_scalar_ge(kt_dtype dtype, kt_number x, kt_number y) {
    return integer(less(dtype, y, x) || equal(dtype, x, y));
}

/* ---- bits ------------------------------------------------------------------------------------ */

kt_number kt_scalar_and(kt_dtype dtype, kt_number x, kt_number y) {
    (void)dtype;
    return wrapped(bits(x) & bits(y));
}

kt_number kt_scalar_or(kt_dtype dtype, kt_number x, kt_number y) {
    (void)dtype;
    return wrapped(bits(x) | bits(y));
}

kt_number kt_scalar_xor(kt_dtype dtype, kt_number x, kt_number y) {
    (void)dtype;
    return wrapped(bits(x) ^ bits(y));
}

/* Is y the position of a bit? As unsigned, so that a negative one is none. */
static bool is_position(kt_dtype dtype, kt_number y) { return bits(y) < 8 * kt_dtype_bytes(dtype); }

kt_number kt_scalar_shift_left(kt_dtype dtype, kt_number x, kt_number y) {
    return is_position(dtype, y) ? wrapped(bits(x) << bits(y)) : integer(0);
}

kt_number kt_scalar_shift_right(kt_dtype dtype, kt_number x, kt_number y) {
    if (kt_dtype_is_unsigned_integer(dtype))
        return is_position(dtype, y) ? wrapped(bits(x) >> bits(y)) : integer(0);
    return integer(x.integer >> (is_position(dtype, y) ? bits(y) : 63));
}
