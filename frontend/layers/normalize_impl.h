/* Normalisation: what its layers and operation nodes are written with. All operands are floats of one dtype.
 */
#ifndef KT_FRONTEND_LAYERS_NORMALIZE_IMPL_H
#define KT_FRONTEND_LAYERS_NORMALIZE_IMPL_H

#include "frontend/layers/layers_impl.h"

/* (x - mean) * gamma / sqrt(variance + epsilon) + beta, all vectors along one axis; gamma, beta 0: none. */
kt_value kt_normalize_batch(kt_builder *builder, const kt_value operands[5], int axis, double epsilon);
/* x brought to mean 0 and variance 1 over axes, times gamma, plus beta (0: none), which have these axes, or
 * x's rank. With rms_scaling, x is only divided, by its standard deviation. */
kt_value kt_normalize_layer(kt_builder *builder, const kt_value operands[3], const kt_ints *axes,
                            double epsilon, bool rms_scaling);
/* x divided by its root mean square over axes, times scale (0: none), which meets the last axes, whichever
 * were normalised, as Keras has it. */
kt_value kt_normalize_rms(kt_builder *builder, kt_value x, kt_value scale, const kt_ints *axes,
                          double epsilon);
/* Mean and variance over axes, which vanish. */
void kt_moments(kt_builder *builder, kt_value x, const kt_ints *axes, kt_value *out_mean,
                kt_value *out_variance);

/* For `check`: is epsilon at least 0? Else the option is rejected. */
kt_status kt_check_epsilon(const kt_layer *layer, kt_layer_context *context, double epsilon);

#endif
