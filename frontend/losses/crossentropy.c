/* Cross entropies. Where outputs are probabilities, these are kept away from 0 and 1. */
#include "frontend/losses/losses.h"

#include "frontend/layers/layers_impl.h"

static kt_value keep_inside(kt_builder *b, kt_value x) {
    static const double fuzz = 1e-7;
    x = kt_build_maximum(b, x, kt_build_like(b, x, fuzz));
    return kt_build_minimum(b, x, kt_build_like(b, x, 1 - fuzz));
}

kt_value kt_binary_crossentropy(kt_builder *b, kt_value target, kt_value output, bool from_logits) {
    if (from_logits) {
        /* max(x, 0) - x * target + log1p(exp(-|x|)), which does not overflow. */
        kt_value zero = kt_build_like(b, output, 0);
        kt_value tail = kt_build_log1p(b, kt_build_exp(b, kt_build_neg(b, kt_build_abs(b, output))));
        kt_value linear = kt_build_sub(b, kt_build_maximum(b, output, zero), kt_build_mul(b, output, target));
        return kt_build_add(b, linear, tail);
    }
    output = keep_inside(b, output);
    kt_value one = kt_build_like(b, output, 1);
    kt_value hit = kt_build_mul(b, target, kt_build_log(b, output));
    kt_value miss =
        kt_build_mul(b, kt_build_sub(b, one, target), kt_build_log(b, kt_build_sub(b, one, output)));
    return kt_build_neg(b, kt_build_add(b, hit, miss));
}

/* The logarithms of probabilities along an axis. */
static kt_value take_logarithms(kt_builder *b, kt_value output, bool from_logits, int axis) {
    if (!from_logits) {
        kt_ints axes = {1, {axis}};
        kt_value sum = kt_reduce_spread(b, output, KT_REDUCE_SUM, &axes);
        return kt_build_log(b, keep_inside(b, kt_build_div(b, output, sum)));
    }
    kt_activation activation;
    if (!kt_activation_find("log_softmax", &activation) || !kt_activation_set(&activation, "axis", axis))
        KT_BUG("there is no activation log_softmax");
    return kt_activation_apply(b, &activation, output);
}

static kt_value sum_negative(kt_builder *b, kt_value x, int axis) {
    return kt_build_neg(b, kt_build_reduce(b, x, KT_REDUCE_SUM, 1, (const int64_t[]){axis}));
}

kt_value kt_categorical_crossentropy(kt_builder *b, kt_value target, kt_value output, bool from_logits,
                                     int axis) {
    return sum_negative(b, kt_build_mul(b, target, take_logarithms(b, output, from_logits, axis)), axis);
}

kt_value kt_sparse_categorical_crossentropy(kt_builder *b, kt_value target, kt_value output, bool from_logits,
                                            int axis) {
    kt_value logarithms = take_logarithms(b, output, from_logits, axis);
    kt_type type = *kt_build_type(b, output);
    type.dtype = kt_build_type(b, target)->dtype;
    kt_ints axes = {1, {axis}};
    kt_value is = kt_build_eq(b, kt_spread(b, target, output, &axes), kt_build_iota(b, &type, axis));
    return sum_negative(b, kt_build_select(b, is, logarithms, kt_build_like(b, logarithms, 0)), axis);
}
