/* What updates are made of. Scalars are computed once a step, in the dtype of the variable, and meet its
 * elements only by one operation each. */
#include "frontend/optimizers/optimizers_impl.h"

kt_value kt_optimizer_rate(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype) {
    return kt_build_cast(trace->builder, optimizer->learning_rate_now, dtype);
}

kt_value kt_optimizer_step(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype, int ahead) {
    kt_builder *b = trace->builder;
    kt_value step = kt_build_add(b, optimizer->updates, kt_build_scalar(b, KT_I64, 1 + ahead));
    return kt_build_cast(b, step, dtype);
}

kt_value kt_optimizer_correction(const kt_optimizer *optimizer, kt_trace *trace, kt_dtype dtype,
                                 double beta) {
    kt_builder *b = trace->builder;
    kt_value step = kt_optimizer_step(optimizer, trace, dtype, 0);
    kt_value power = kt_build_pow(b, kt_build_scalar(b, dtype, beta), step);
    return kt_build_sub(b, kt_build_scalar(b, dtype, 1), power);
}

kt_value kt_optimizer_rest(kt_trace *trace, kt_dtype dtype, double number) {
    kt_builder *b = trace->builder;
    return kt_build_sub(b, kt_build_scalar(b, dtype, 1), kt_build_scalar(b, dtype, number));
}

kt_value kt_optimizer_spread(kt_trace *trace, kt_value scalar, kt_value x) {
    const kt_type type = *kt_build_type(trace->builder, x);
    return kt_build_broadcast_to(trace->builder, scalar, type.rank, type.dims);
}

kt_value kt_optimizer_scale(kt_trace *trace, kt_value x, kt_value scalar) {
    return kt_build_mul(trace->builder, x, kt_optimizer_spread(trace, scalar, x));
}

kt_value kt_optimizer_divide(kt_trace *trace, kt_value x, kt_value scalar) {
    return kt_build_div(trace->builder, x, kt_optimizer_spread(trace, scalar, x));
}

kt_value kt_optimizer_scale_by(kt_trace *trace, kt_value x, double number) {
    return kt_build_mul(trace->builder, x, kt_build_like(trace->builder, x, number));
}

kt_value kt_optimizer_add_number(kt_trace *trace, kt_value x, double number) {
    return kt_build_add(trace->builder, x, kt_build_like(trace->builder, x, number));
}

kt_value kt_optimizer_square(kt_trace *trace, kt_value x) { return kt_build_mul(trace->builder, x, x); }

kt_value kt_optimizer_move(kt_trace *trace, kt_value old, kt_value x, double beta) {
    kt_builder *b = trace->builder;
    return kt_build_add(b, old, kt_optimizer_scale_by(trace, kt_build_sub(b, x, old), 1 - beta));
}

kt_value kt_optimizer_mix(kt_trace *trace, kt_value old, kt_value x, double beta) {
    return kt_build_add(trace->builder, kt_optimizer_scale_by(trace, old, beta),
                        kt_optimizer_scale_by(trace, x, 1 - beta));
}

kt_value kt_optimizer_sum(kt_trace *trace, kt_value x) {
    int rank = kt_build_type(trace->builder, x)->rank;
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < rank; i++) axes[i] = i;
    return rank ? kt_build_reduce(trace->builder, x, KT_REDUCE_SUM, (uint32_t)rank, axes) : x;
}

kt_value kt_optimizer_choose(kt_trace *trace, kt_value condition, kt_value x, kt_value y) {
    return kt_build_select(trace->builder, kt_optimizer_spread(trace, condition, x), x, y);
}

kt_status kt_optimizer_check_range(const kt_object *object, kt_layer_context *context, const char *option,
                                   bool right, const char *sentence) {
    return right ? KT_OK : kt_object_reject(object, context, KT_INVALID, option, "%s", sentence);
}
