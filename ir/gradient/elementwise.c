/* Gradients of elementwise operations.
 *
 * Where a function has a kink, the derivative is one of those beside it or between them: |x| has 0 at 0;
 * where maximum or minimum ties, each operand gets half, but a constant takes all: so max(x, 0) has 0 at 0,
 * as everywhere (all as in JAX, whose relu says so too). rem counts as x - y * trunc(x / y). sign has
 * zeros, where floor and its like have nothing: so in TensorFlow, where optimizers tell them apart. */
#include "ir/gradient/gradient_impl.h"

#include <math.h>

/* Shorthands: x and y are the operands (of one operand, x), r the result, g its cotangent. */
static kt_value add(const kt_vjp *v, kt_value a, kt_value b) { return kt_build_add(v->builder, a, b); }
static kt_value sub(const kt_vjp *v, kt_value a, kt_value b) { return kt_build_sub(v->builder, a, b); }
static kt_value mul(const kt_vjp *v, kt_value a, kt_value b) { return kt_build_mul(v->builder, a, b); }
static kt_value div_(const kt_vjp *v, kt_value a, kt_value b) { return kt_build_div(v->builder, a, b); }
static kt_value neg(const kt_vjp *v, kt_value a) { return kt_build_neg(v->builder, a); }
static kt_value square(const kt_vjp *v, kt_value a) { return mul(v, a, a); }
static kt_value number(const kt_vjp *v, double n) { return kt_vjp_number(v, kt_vjp_result(v), n); }
static kt_value scale(const kt_vjp *v, kt_value a, double n) { return mul(v, a, number(v, n)); }
static kt_value shift(const kt_vjp *v, kt_value a, double n) { return add(v, a, number(v, n)); }

/* ---- one operand ----------------------------------------------------------------------------- */

#define UNARY_RULE(name, formula)                                                                            \
    void kt_vjp_##name(kt_vjp *v) {                                                                          \
        kt_builder *b = v->builder;                                                                          \
        kt_value x = kt_vjp_operand(v, 0), r = kt_vjp_result(v), g = v->cotangents[0];                       \
        (void)b, (void)x, (void)r, (void)g;                                                                  \
        v->derivatives[0] = formula;                                                                         \
    }
UNARY_RULE(neg, neg(v, g))
UNARY_RULE(abs, mul(v, g, kt_build_sign(b, x)))
UNARY_RULE(sign, number(v, 0))
UNARY_RULE(sqrt, div_(v, scale(v, g, 0.5), r))
UNARY_RULE(rsqrt, mul(v, scale(v, g, -0.5), div_(v, r, x)))
UNARY_RULE(exp, mul(v, g, r))
UNARY_RULE(expm1, mul(v, g, shift(v, r, 1)))
UNARY_RULE(log, div_(v, g, x))
UNARY_RULE(log1p, div_(v, g, shift(v, x, 1)))
UNARY_RULE(sin, mul(v, g, kt_build_cos(b, x)))
UNARY_RULE(cos, neg(v, mul(v, g, kt_build_sin(b, x))))
UNARY_RULE(tan, mul(v, g, shift(v, square(v, r), 1)))
UNARY_RULE(asin, mul(v, g, kt_build_rsqrt(b, sub(v, number(v, 1), square(v, x)))))
UNARY_RULE(acos, neg(v, mul(v, g, kt_build_rsqrt(b, sub(v, number(v, 1), square(v, x))))))
UNARY_RULE(atan, div_(v, g, shift(v, square(v, x), 1)))
UNARY_RULE(sinh, mul(v, g, kt_build_cosh(b, x)))
UNARY_RULE(cosh, mul(v, g, kt_build_sinh(b, x)))
UNARY_RULE(tanh, mul(v, g, sub(v, number(v, 1), square(v, r))))
UNARY_RULE(asinh, mul(v, g, kt_build_rsqrt(b, shift(v, square(v, x), 1))))
UNARY_RULE(acosh, mul(v, g, kt_build_rsqrt(b, mul(v, shift(v, x, -1), shift(v, x, 1)))))
UNARY_RULE(atanh, div_(v, g, sub(v, number(v, 1), square(v, x))))
UNARY_RULE(erf, mul(v, scale(v, g, M_2_SQRTPI), kt_build_exp(b, neg(v, square(v, x)))))
UNARY_RULE(logistic, mul(v, g, mul(v, r, sub(v, number(v, 1), r))))
UNARY_RULE(cast, kt_build_cast(b, g, kt_vjp_type(v, x).dtype))
#undef UNARY_RULE

/* ---- two operands ---------------------------------------------------------------------------- */

/* A derivative is written only where it is wanted. */
#define BINARY_RULE(name, first, second)                                                                     \
    void kt_vjp_##name(kt_vjp *v) {                                                                          \
        kt_value x = kt_vjp_operand(v, 0), y = kt_vjp_operand(v, 1), r = kt_vjp_result(v);                   \
        kt_value g = v->cotangents[0];                                                                       \
        (void)x, (void)y, (void)r;                                                                           \
        if (v->wanted[0]) v->derivatives[0] = first;                                                         \
        if (v->wanted[1]) v->derivatives[1] = second;                                                        \
    }

/* d x^y / dy: x^y * log(x), and 0 at x = 0. */
static kt_value by_exponent(const kt_vjp *v, kt_value g, kt_value x, kt_value r) {
    kt_value zero = kt_build_eq(v->builder, x, number(v, 0));
    kt_value safe = kt_build_select(v->builder, zero, number(v, 1), x);
    return mul(v, g, mul(v, r, kt_build_log(v->builder, safe)));
}

/* d x^y / dx: y * x^(y - 1), and 0 for y = 0. */
static kt_value by_base(const kt_vjp *v, kt_value g, kt_value x, kt_value y) {
    kt_value zero = kt_build_eq(v->builder, y, number(v, 0));
    kt_value less = kt_build_select(v->builder, zero, number(v, 1), shift(v, y, -1));
    return mul(v, g, mul(v, y, kt_build_pow(v->builder, x, less)));
}

/* g where this operand is the result, half of it where the other is too, unless that is a constant. The
 * operand wins where the result differs from the other: so that behind relu only the result is kept. */
static kt_value by_chosen(const kt_vjp *v, kt_value g, kt_value x, kt_value other) {
    bool larger = v->node->op == KT_OP_maximum;
    kt_value won = (larger ? kt_build_gt : kt_build_lt)(v->builder, kt_vjp_result(v), other);
    kt_value rest = number(v, 0);
    if (!kt_vjp_is_constant(v, other))
        rest = kt_build_select(v->builder, kt_build_eq(v->builder, x, other), scale(v, g, 0.5), rest);
    return kt_build_select(v->builder, won, g, rest);
}

BINARY_RULE(add, g, g)
BINARY_RULE(sub, g, neg(v, g))
BINARY_RULE(mul, mul(v, g, y), mul(v, g, x))
BINARY_RULE(div, div_(v, g, y), neg(v, mul(v, div_(v, g, y), r)))
BINARY_RULE(rem, g, neg(v, mul(v, g, kt_build_trunc(v->builder, div_(v, x, y)))))
BINARY_RULE(pow, by_base(v, g, x, y), by_exponent(v, g, x, r))
BINARY_RULE(maximum, by_chosen(v, g, x, y), by_chosen(v, g, y, x))
BINARY_RULE(minimum, by_chosen(v, g, x, y), by_chosen(v, g, y, x))
BINARY_RULE(atan2, div_(v, mul(v, g, y), add(v, square(v, x), square(v, y))),
            neg(v, div_(v, mul(v, g, x), add(v, square(v, x), square(v, y)))))
#undef BINARY_RULE

void kt_vjp_select(kt_vjp *v) {
    kt_value condition = kt_vjp_operand(v, 0), g = v->cotangents[0], zero = number(v, 0);
    if (v->wanted[1]) v->derivatives[1] = kt_build_select(v->builder, condition, g, zero);
    if (v->wanted[2]) v->derivatives[2] = kt_build_select(v->builder, condition, zero, g);
}
