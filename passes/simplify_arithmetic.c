/* Rules over arithmetic. Above each stands what becomes what. Measure, where none is named: operations,
 * weighted. */
#include "passes/simplify_impl.h"

#include <math.h>
#include <stdlib.h>

static bool is_float(const kt_simplify *s) { return kt_dtype_is_float(s->type.dtype); }

static kt_value fill(kt_simplify *s, double number) { return kt_build_fill(s->builder, &s->type, number); }

/* c ∘ x → x ∘ c. Measure: constants in first place. */
static kt_value constant_second(kt_simplify *s, const kt_node_info *node) {
    double number = 0;
    if (!kt_op_is(node->op, KT_COMMUTES) || !kt_pass_splat(s->graph, node->operands[0], &number) ||
        kt_pass_splat(s->graph, node->operands[1], &number))
        return 0;
    return kt_pass_build_like(s->builder, node, (kt_value[]){node->operands[1], node->operands[0]}, NULL);
}

/* x + 0 → x */
static kt_value add_zero(kt_simplify *s, const kt_node_info *node) {
    return kt_simplify_is(s, node->operands[1], 0) ? node->operands[0] : 0;
}

/* x + -y → x - y, -x + y → y - x */
static kt_value add_negated(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *neg = kt_simplify_operand(s, node, 1, KT_OP_neg);
    if (neg) return kt_build_sub(s->builder, node->operands[0], neg->operands[0]);
    neg = kt_simplify_operand(s, node, 0, KT_OP_neg);
    return neg ? kt_build_sub(s->builder, node->operands[1], neg->operands[0]) : 0;
}

/* x - 0 → x */
static kt_value sub_zero(kt_simplify *s, const kt_node_info *node) {
    return kt_simplify_is(s, node->operands[1], 0) ? node->operands[0] : 0;
}

/* 0 - x → -x. Measure: constants in first place. */
static kt_value zero_sub(kt_simplify *s, const kt_node_info *node) {
    if (!is_float(s) || !kt_simplify_is(s, node->operands[0], 0)) return 0;
    return kt_build_neg(s->builder, node->operands[1]);
}

/* x - -y → x + y */
static kt_value sub_negated(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *neg = kt_simplify_operand(s, node, 1, KT_OP_neg);
    return neg ? kt_build_add(s->builder, node->operands[0], neg->operands[0]) : 0;
}

/* x - c → x + -c: so that constants of sums meet (exact). Measure: sub weighs one and a half. */
static kt_value sub_constant(kt_simplify *s, const kt_node_info *node) {
    double number = 0;
    if (!is_float(s) || !kt_pass_splat(s->graph, node->operands[1], &number)) return 0;
    return kt_build_add(s->builder, node->operands[0], fill(s, -number));
}

/* x * 1 → x */
static kt_value mul_one(kt_simplify *s, const kt_node_info *node) {
    return kt_simplify_is(s, node->operands[1], 1) ? node->operands[0] : 0;
}

/* x * 0 → 0, of integers: a float may be infinite or NaN */
static kt_value mul_zero(kt_simplify *s, const kt_node_info *node) {
    return !is_float(s) && kt_simplify_is(s, node->operands[1], 0) ? fill(s, 0) : 0;
}

/* x * -1 → -x */
static kt_value mul_minus_one(kt_simplify *s, const kt_node_info *node) {
    if (!is_float(s) || !kt_simplify_is(s, node->operands[1], -1)) return 0;
    return kt_build_neg(s->builder, node->operands[0]);
}

/* x / 1 → x */
static kt_value div_one(kt_simplify *s, const kt_node_info *node) {
    return kt_simplify_is(s, node->operands[1], 1) ? node->operands[0] : 0;
}

/* x / 2^n → x * 2^-n, exact; n is kept where every float dtype has both */
static kt_value div_power_of_two(kt_simplify *s, const kt_node_info *node) {
    double number = 0;
    int exponent = 0;
    if (!is_float(s) || !kt_pass_splat(s->graph, node->operands[1], &number)) return 0;
    if (fabs(frexp(number, &exponent)) != 0.5 || abs(exponent) > 14) return 0;
    return kt_build_mul(s->builder, node->operands[0], fill(s, 1 / number));
}

/* 1 / √x → rsqrt(x), which is defined as that */
static kt_value div_sqrt(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *root = kt_simplify_operand(s, node, 1, KT_OP_sqrt);
    if (!root || !kt_simplify_is(s, node->operands[0], 1)) return 0;
    return kt_build_rsqrt(s->builder, root->operands[0]);
}

/* x ^ 1 → x, x ^ 2 → x * x, x ^ -1 → 1 / x, x ^ 0 → 1 */
static kt_value pow_constant(kt_simplify *s, const kt_node_info *node) {
    kt_value x = node->operands[0];
    if (kt_simplify_is(s, node->operands[1], 1)) return x;
    if (kt_simplify_is(s, node->operands[1], 2)) return kt_build_mul(s->builder, x, x);
    if (kt_simplify_is(s, node->operands[1], 0)) return fill(s, 1);
    if (is_float(s) && kt_simplify_is(s, node->operands[1], -1))
        return kt_build_div(s->builder, fill(s, 1), x);
    return 0;
}

/* f(f(x)) → x for neg, not */
static kt_value undone(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, node->op);
    return inner ? inner->operands[0] : 0;
}

/* f(f(x)) → f(x) for abs, floor, ceil, round, trunc, sign */
static kt_value repeated(kt_simplify *s, const kt_node_info *node) {
    return kt_simplify_operand(s, node, 0, node->op) ? node->operands[0] : 0;
}

/* stop_gradient(x) → x: derivatives were taken when the graph was written */
static kt_value stopped(kt_simplify *s, const kt_node_info *node) {
    (void)s;
    return node->operands[0];
}

/* |-x| → |x| */
static kt_value abs_negated(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *neg = kt_simplify_operand(s, node, 0, KT_OP_neg);
    return neg ? kt_build_abs(s->builder, neg->operands[0]) : 0;
}

/* f(x, x) → x for maximum, minimum, and, or */
static kt_value same_twice(kt_simplify *s, const kt_node_info *node) {
    (void)s;
    return node->operands[0] == node->operands[1] ? node->operands[0] : 0;
}

/* Do two constants of a float operation combine without overflow, underflow or cancellation? */
static bool combine_safely(kt_op op, kt_dtype dtype, double a, double b) {
    if (!kt_dtype_is_float(dtype) || op == KT_OP_maximum || op == KT_OP_minimum) return true;
    double large = dtype == KT_F16 ? 1e4 : 1e30;
    if (op == KT_OP_add) return (a >= 0) == (b >= 0) && fabs(a + b) < large;
    return op == KT_OP_mul && fabs(a * b) < large && fabs(a * b) > 1 / large && fabs(a) < large &&
           fabs(b) < large && fabs(a) > 1 / large && fabs(b) > 1 / large;
}

/* (x ∘ c) ∘ d → x ∘ (c ∘ d) */
static kt_value combine_constants(kt_simplify *s, const kt_node_info *node) {
    double c = 0, d = 0;
    if (!kt_op_is(node->op, KT_ASSOCIATES) || !kt_pass_splat(s->graph, node->operands[1], &d)) return 0;
    const kt_node_info *found = kt_simplify_operand(s, node, 0, node->op);
    if (!found || !kt_pass_splat(s->graph, found->operands[1], &c)) return 0;
    const kt_node_info inner = *found;
    if (kt_pass_splat(s->graph, inner.operands[0], &c) || !combine_safely(node->op, s->type.dtype, c, d))
        return 0;
    kt_value both =
        kt_pass_build_like(s->builder, node, (kt_value[]){inner.operands[1], node->operands[1]}, NULL);
    return kt_pass_build_like(s->builder, node, (kt_value[]){inner.operands[0], both}, NULL);
}

/* select(true, x, y) → x, select(c, x, x) → x, select(not c, x, y) → select(c, y, x) */
static kt_value select_known(kt_simplify *s, const kt_node_info *node) {
    if (node->operands[1] == node->operands[2]) return node->operands[1];
    if (kt_simplify_is(s, node->operands[0], 1)) return node->operands[1];
    if (kt_simplify_is(s, node->operands[0], 0)) return node->operands[2];
    const kt_node_info *not = kt_simplify_operand(s, node, 0, KT_OP_not);
    return not ? kt_build_select(s->builder, not->operands[0], node->operands[2], node->operands[1]) : 0;
}

/* The bits of an integer dtype's magnitude, or of a float's significand. */
static int exact_bits(kt_dtype dtype) {
    switch (dtype) {
    case KT_F64: return 53;
    case KT_F32: return 24;
    case KT_F16: return 11;
    case KT_BF16: return 8;
    default:
        return dtype == KT_BOOL ? 1 : 8 * (int)kt_dtype_bytes(dtype) - (int)kt_dtype_is_signed_integer(dtype);
    }
}

/* Does wide hold every value of narrow? */
static bool holds(kt_dtype wide, kt_dtype narrow) {
    if (wide == narrow) return true;
    if (wide == KT_STRING || wide == KT_C64 || narrow == KT_STRING || narrow == KT_C64 || wide == KT_BOOL)
        return false;
    if (kt_dtype_is_float(narrow)) return wide == KT_F64 || (wide == KT_F32 && narrow != KT_F64);
    if (kt_dtype_is_signed_integer(narrow) && kt_dtype_is_unsigned_integer(wide)) return false;
    return exact_bits(wide) >= exact_bits(narrow);
}

/* cast(x) of x's dtype → x; cast(cast(x)) → cast(x) where the inner one loses nothing */
static kt_value cast_cast(kt_simplify *s, const kt_node_info *node) {
    if (kt_graph_type(s->graph, node->operands[0])->dtype == s->type.dtype) return node->operands[0];
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_cast);
    if (!inner) return 0;
    kt_value x = inner->operands[0];
    kt_dtype from = kt_graph_type(s->graph, x)->dtype;
    kt_dtype between = kt_graph_type(s->graph, node->operands[0])->dtype;
    /* Integers that pass through a float saturate, where they would wrap if cast at once. */
    bool alike = kt_dtype_is_float(from) == kt_dtype_is_float(between) || kt_dtype_is_float(s->type.dtype) ||
                 from == s->type.dtype;
    return holds(between, from) && alike ? kt_build_cast(s->builder, x, s->type.dtype) : 0;
}

// clang-format off
const kt_rule kt_rules_arithmetic[] = {
    {"constant_second",   KT_OP_NONE,    constant_second},
    {"add_zero",          KT_OP_add,     add_zero},
    {"add_negated",       KT_OP_add,     add_negated},
    {"sub_zero",          KT_OP_sub,     sub_zero},
    {"zero_sub",          KT_OP_sub,     zero_sub},
    {"sub_negated",       KT_OP_sub,     sub_negated},
    {"sub_constant",      KT_OP_sub,     sub_constant},
    {"mul_one",           KT_OP_mul,     mul_one},
    {"mul_zero",          KT_OP_mul,     mul_zero},
    {"mul_minus_one",     KT_OP_mul,     mul_minus_one},
    {"div_one",           KT_OP_div,     div_one},
    {"div_power_of_two",  KT_OP_div,     div_power_of_two},
    {"div_sqrt",          KT_OP_div,     div_sqrt},
    {"pow_constant",      KT_OP_pow,     pow_constant},
    {"neg_neg",           KT_OP_neg,     undone},
    {"not_not",           KT_OP_not,     undone},
    {"abs_abs",           KT_OP_abs,     repeated},
    {"floor_floor",       KT_OP_floor,   repeated},
    {"ceil_ceil",         KT_OP_ceil,    repeated},
    {"round_round",       KT_OP_round,   repeated},
    {"trunc_trunc",       KT_OP_trunc,   repeated},
    {"sign_sign",         KT_OP_sign,    repeated},
    {"abs_neg",           KT_OP_abs,     abs_negated},
    {"stop_gradient",     KT_OP_stop_gradient, stopped},
    {"maximum_same",      KT_OP_maximum, same_twice},
    {"minimum_same",      KT_OP_minimum, same_twice},
    {"and_same",          KT_OP_and,     same_twice},
    {"or_same",           KT_OP_or,      same_twice},
    {"combine_constants", KT_OP_NONE,    combine_constants},
    {"select_known",      KT_OP_select,  select_known},
    {"cast_cast",         KT_OP_cast,    cast_cast},
    {NULL},
};
// clang-format on
