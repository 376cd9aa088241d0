/* Losses that want a margin: hinges. */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

typedef struct plain {
    kt_loss loss;
} plain;

static const kt_option hinge_options[] = {KT_LOSS_OPTIONS("hinge"), KT_OPTIONS_END};
static const kt_option squared_options[] = {KT_LOSS_OPTIONS("squared_hinge"), KT_OPTIONS_END};
static const kt_option categorical_options[] = {KT_LOSS_OPTIONS("categorical_hinge"), KT_OPTIONS_END};

/* Labels as -1 and 1 where all of them are 0 or 1. */
static kt_value spread_labels(kt_builder *b, kt_value target) {
    const kt_type type = *kt_build_type(b, target);
    kt_value zero = kt_build_like(b, target, 0), one = kt_build_like(b, target, 1);
    kt_value binary = kt_build_or(b, kt_build_eq(b, target, zero), kt_build_eq(b, target, one));
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = i;
    binary = kt_build_reduce(b, binary, KT_REDUCE_MINIMUM, type.rank, axes);
    binary = kt_build_broadcast_to(b, binary, type.rank, type.dims);
    return kt_build_select(b, binary, kt_build_sub(b, kt_build_add(b, target, target), one), target);
}

static kt_value above_zero(kt_builder *b, kt_value x) {
    return kt_build_maximum(b, x, kt_build_like(b, x, 0));
}

static kt_value miss_margin(kt_builder *b, kt_value target, kt_value output) {
    kt_value hit = kt_build_mul(b, spread_labels(b, target), output);
    return above_zero(b, kt_build_sub(b, kt_build_like(b, hit, 1), hit));
}

static kt_value hinge(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    (void)loss;
    return kt_loss_mean_last(trace, miss_margin(trace->builder, target, output));
}

static kt_value squared_hinge(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_value miss = miss_margin(trace->builder, target, output);
    (void)loss;
    return kt_loss_mean_last(trace, kt_build_mul(trace->builder, miss, miss));
}

static kt_value categorical_hinge(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, -1, output);
    if (axis < 0) return 0;
    kt_value hit = kt_build_mul(b, target, output);
    kt_value miss = kt_build_sub(b, output, hit);
    hit = kt_reduce_axis(b, hit, KT_REDUCE_SUM, axis);
    miss = kt_reduce_axis(b, miss, KT_REDUCE_MAXIMUM, axis);
    return above_zero(b, kt_add_number(b, kt_build_sub(b, miss, hit), 1));
}

// clang-format off
KT_LOSS_CLASS(hinge, "Hinge", "hinge", "how far outputs are from 1 or -1, whichever the label is", plain,
              hinge_options, .call = hinge)
KT_LOSS_CLASS(squared_hinge, "SquaredHinge", "squared_hinge", "the same, squared", plain, squared_options,
              .call = squared_hinge)
KT_LOSS_CLASS(categorical_hinge, "CategoricalHinge", "categorical_hinge",
              "how far the label's class is from being the largest by 1", plain, categorical_options,
              .call = categorical_hinge)
// clang-format on
