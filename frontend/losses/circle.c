/* The circle loss of embeddings (Sun et al. 2020): each sample's against all others of the batch.
 *
 * With distances d, 1 - cosine where embeddings have norm 1, the loss of a sample is softplus(p + n), p and n
 * the logarithms of sums of exponentials over the samples of its class, and over the others. One that has
 * either none of its class or no others has loss 0, and is masked. */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

typedef struct circle_loss {
    kt_loss loss;
    double gamma, margin;
    bool remove_diagonal;
} circle_loss;

// clang-format off
static const kt_option options[] = {
    KT_LOSS_OPTIONS("circle"),
    KT_FIELD(circle_loss, gamma, FLOAT, "80.0"),
    KT_FIELD(circle_loss, margin, FLOAT, "0.4"),
    KT_FIELD(circle_loss, remove_diagonal, BOOL, "true"),
    KT_OPTIONS_END,
};
// clang-format on

static kt_value above_zero(kt_builder *b, kt_value x) {
    return kt_build_maximum(b, x, kt_build_like(b, x, 0));
}

/* log(sum(exp(x))) over the last of two axes, where mask is true; 0 where it never is, which out_any says.
 * Nothing that is not finite comes up, so that derivatives are. */
static kt_value log_sum_exp(kt_builder *b, kt_value x, kt_value mask, kt_value *out_any) {
    const kt_ints last = {1, {1}};
    kt_value lowest = kt_build_select(b, mask, x, kt_build_like(b, x, -1e30));
    kt_value any = kt_reduce_axis(b, mask, KT_REDUCE_MAXIMUM, 1);
    kt_value most = kt_reduce_axis(b, lowest, KT_REDUCE_MAXIMUM, 1);
    kt_value zero = kt_build_like(b, most, 0), zeros = kt_build_like(b, x, 0);
    most = kt_build_stop_gradient(b, kt_build_select(b, any, most, zero));
    kt_value shifted = kt_build_sub(b, x, kt_spread(b, most, x, &last));
    kt_value powers = kt_build_exp(b, kt_build_select(b, mask, shifted, zeros));
    kt_value sum = kt_reduce_axis(b, kt_build_select(b, mask, powers, zeros), KT_REDUCE_SUM, 1);
    sum = kt_build_select(b, any, sum, kt_build_like(b, sum, 1));
    *out_any = any;
    return kt_build_add(b, kt_build_log(b, sum), most);
}

/* gamma * weight * (bound - distance), where weight is sign * distance + offset but not below 0. */
static kt_value weigh(kt_builder *b, kt_value distance, double sign, double offset, double gamma,
                      double bound) {
    kt_value weight = kt_build_mul(b, distance, kt_build_like(b, distance, sign));
    weight = above_zero(b, kt_add_number(b, weight, offset));
    kt_value left = kt_build_sub(b, kt_build_like(b, distance, bound), distance);
    return kt_build_mul(b, kt_build_mul(b, weight, left), kt_build_like(b, left, gamma));
}

static kt_value circle(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const circle_loss *self = (const circle_loss *)loss;
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, output);
    if (type.rank != 2)
        return kt_loss_fail(loss, trace, KT_INVALID, "the loss '%s' takes embeddings [batch, features].",
                            loss->name);
    target = kt_loss_fit_classes(loss, trace, target, output, 1);
    if (!target) return 0;

    const kt_attrs_dot_general products = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {1}}};
    kt_value distance = kt_build_dot_general(b, output, output, &products);
    distance = above_zero(b, kt_build_sub(b, kt_build_like(b, distance, 1), distance));
    kt_type pairs = *kt_build_type(b, distance);
    pairs.dtype = KT_I32;
    kt_value rows = kt_build_broadcast(b, target, 2, pairs.dims, (int64_t[]){0});
    kt_value same = kt_build_eq(b, rows, kt_build_broadcast(b, target, 2, pairs.dims, (int64_t[]){1}));
    kt_value others = kt_build_not(b, same);
    if (self->remove_diagonal)
        same = kt_build_and(b, same, kt_diagonal_mask(b, KT_OP_ne, pairs.dims[0], pairs.dims[1], 0));

    double margin = self->margin;
    kt_value has_same, has_others;
    kt_value p = weigh(b, distance, 1, margin, -self->gamma, margin);
    kt_value n = weigh(b, distance, -1, 1 + margin, self->gamma, 1 - margin);
    p = log_sum_exp(b, p, same, &has_same);
    n = log_sum_exp(b, n, others, &has_others);
    kt_activation softplus;
    if (!kt_activation_find("softplus", &softplus)) KT_BUG("there is no activation softplus");
    kt_value values = kt_activation_apply(b, &softplus, kt_build_add(b, p, n));
    return kt_build_select(b, kt_build_and(b, has_same, has_others), values, kt_build_like(b, values, 0));
}

static kt_value mask_zeros(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value values) {
    (void)loss;
    (void)target;
    return kt_build_gt(trace->builder, values, kt_build_like(trace->builder, values, 0));
}

static void drop_features(const kt_loss *loss, const kt_builder *builder, kt_type *type) {
    (void)loss;
    (void)builder;
    if (type->rank > 1) type->rank = 1;
}

/* Labels are only told apart. */
static int64_t count_classes(const kt_loss *loss, const kt_builder *builder, const kt_type *output,
                             int64_t *out_ignored) {
    (void)loss;
    (void)builder;
    (void)output;
    (void)out_ignored;
    return 0;
}

KT_LOSS_CLASS(circle, "Circle", "circle", "draws embeddings of a class together, and apart from others",
              circle_loss, options, .call = circle, .mask = mask_zeros, .set_target_shape = drop_features,
              .classes = count_classes, .sparse = true)
