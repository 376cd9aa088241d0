/* Losses of numbers: means of differences over the last axis. */
#include "frontend/losses/losses_impl.h"

#include "frontend/layers/layers_impl.h"

typedef struct plain {
    kt_loss loss;
} plain;

static kt_value squared(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_value difference = kt_build_sub(trace->builder, target, output);
    (void)loss;
    return kt_loss_mean_last(trace, kt_build_mul(trace->builder, difference, difference));
}

static kt_value absolute(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    (void)loss;
    return kt_loss_mean_last(trace,
                             kt_build_abs(trace->builder, kt_build_sub(trace->builder, target, output)));
}

static const kt_option squared_options[] = {KT_LOSS_OPTIONS(plain, "mean_squared_error"), KT_OPTIONS_END};
static const kt_option absolute_options[] = {KT_LOSS_OPTIONS(plain, "mean_absolute_error"), KT_OPTIONS_END};

const kt_loss_class kt_loss_mean_squared_error = {{.name = "MeanSquaredError",
                                                   .aliases = "mean_squared_error mse MSE",
                                                   .doc = "the mean of squared differences",
                                                   .bytes = sizeof(plain),
                                                   .options = squared_options},
                                                  .call = squared};
const kt_loss_class kt_loss_mean_absolute_error = {{.name = "MeanAbsoluteError",
                                                    .aliases = "mean_absolute_error mae MAE",
                                                    .doc = "the mean of absolute differences",
                                                    .bytes = sizeof(plain),
                                                    .options = absolute_options},
                                                   .call = absolute};
