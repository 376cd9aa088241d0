/* Cross entropies. Where outputs are probabilities, these are kept away from 0 and 1. */
#include "frontend/losses/losses_impl.h"

#include "frontend/layers/layers_impl.h"

kt_value kt_keep_inside(kt_builder *b, kt_value x) {
    static const double fuzz = 1e-7;
    x = kt_build_maximum(b, x, kt_build_like(b, x, fuzz));
    return kt_build_minimum(b, x, kt_build_like(b, x, 1 - fuzz));
}

static kt_value take_shares(kt_builder *b, kt_value x, int axis) {
    kt_ints axes = {1, {axis}};
    return kt_build_div(b, x, kt_reduce_spread(b, x, KT_REDUCE_SUM, &axes));
}

kt_value kt_clipped_shares(kt_builder *b, kt_value x, int axis) {
    return kt_keep_inside(b, take_shares(b, x, axis));
}

kt_value kt_mix(kt_builder *b, kt_value x, kt_value y, kt_value z) {
    kt_value rest = kt_build_sub(b, kt_build_like(b, x, 1), x);
    return kt_build_add(b, kt_build_mul(b, x, y), kt_build_mul(b, rest, z));
}

kt_value kt_binary_crossentropy(kt_builder *b, kt_value target, kt_value output, bool from_logits) {
    if (from_logits) {
        /* max(x, 0) - x * target + log1p(exp(-|x|)), which does not overflow; by selects, since the
         * derivatives of maximum and |x| are 0 at 0. */
        kt_value zero = kt_build_like(b, output, 0), positive = kt_build_gt(b, output, zero);
        kt_value below_zero = kt_build_select(b, positive, kt_build_neg(b, output), output);
        kt_value line = kt_build_select(b, positive, output, zero);
        line = kt_build_sub(b, line, kt_build_mul(b, output, target));
        return kt_build_add(b, line, kt_build_log1p(b, kt_build_exp(b, below_zero)));
    }
    output = kt_keep_inside(b, output);
    kt_value rest = kt_build_sub(b, kt_build_like(b, output, 1), output);
    return kt_build_neg(b, kt_mix(b, target, kt_build_log(b, output), kt_build_log(b, rest)));
}

static kt_value log_softmax(kt_builder *b, kt_value output, int axis) {
    kt_activation activation;
    if (!kt_activation_find("log_softmax", &activation) || !kt_activation_set(&activation, "axis", axis))
        KT_BUG("there is no activation log_softmax");
    return kt_activation_apply(b, &activation, output);
}

kt_value kt_categorical_crossentropy(kt_builder *b, kt_value target, kt_value output, bool from_logits,
                                     int axis) {
    kt_value logarithms =
        from_logits ? log_softmax(b, output, axis) : kt_build_log(b, kt_clipped_shares(b, output, axis));
    kt_value parts = kt_build_mul(b, target, logarithms);
    return kt_build_neg(b, kt_build_reduce(b, parts, KT_REDUCE_SUM, 1, (const int64_t[]){axis}));
}

kt_value kt_pick_class(kt_builder *b, kt_value x, kt_value target, int axis) {
    kt_type type = *kt_build_type(b, x);
    type.dtype = kt_build_type(b, target)->dtype;
    kt_ints axes = {1, {axis}};
    kt_value is = kt_build_eq(b, kt_spread(b, target, x, &axes), kt_build_iota(b, &type, axis));
    kt_value picked = kt_build_select(b, is, x, kt_build_like(b, x, 0));
    return kt_build_reduce(b, picked, KT_REDUCE_SUM, 1, (const int64_t[]){axis});
}

kt_value kt_sparse_categorical_crossentropy(kt_builder *b, kt_value target, kt_value output, bool from_logits,
                                            int axis) {
    /* Here outputs are kept inside before they become shares, as by Keras on TensorFlow: what is no
     * probability, like logits that are called none, makes a difference. */
    kt_value logarithms = from_logits ? log_softmax(b, output, axis)
                                      : kt_build_log(b, take_shares(b, kt_keep_inside(b, output), axis));
    return kt_build_neg(b, kt_pick_class(b, logarithms, target, axis));
}
