/* Moving windows: what layers of convolution and pooling, and the operation nodes of both, are written with.
 * All tensors are [batch, space…, channels]. */
#ifndef KT_FRONTEND_LAYERS_WINDOWS_IMPL_H
#define KT_FRONTEND_LAYERS_WINDOWS_IMPL_H

#include "frontend/layers/layers_impl.h"

/* How a window moves over the axes of space. */
typedef struct kt_sliding {
    kt_ints strides, dilation; /* one for each axis */
    const char *padding;       /* "valid", "same", or "causal" along one axis */
} kt_sliding;

/* ---- convolution (convolve.c): kernels may be weights or values of the graph, but their windows are of a
 * known size ---- */
/* kernel: [window…, channels / groups, features]. */
kt_value kt_convolve(kt_builder *builder, kt_value x, kt_value kernel, const kt_sliding *sliding,
                     int64_t groups);
/* Each channel by itself; kernel: [window…, channels, multiplier]. */
kt_value kt_convolve_depthwise(kt_builder *builder, kt_value x, kt_value kernel, const kt_sliding *sliding);
/* By single steps and without padding. */
kt_value kt_convolve_plain(kt_builder *builder, kt_value x, kt_value kernel);
/* kernel: [window…, features, channels]; output_padding: count 0 for Keras's None. */
kt_value kt_convolve_transposed(kt_builder *builder, kt_value x, kt_value kernel, const kt_sliding *sliding,
                                const kt_ints *output_padding);

/* ---- pooling (pool.c): kind is maximum, or sum for means ------------------------------------- */
/* Padding never takes part: a mean is over those elements of the window that lie inside. */
kt_value kt_pool(kt_builder *builder, kt_value x, const kt_ints *window, const kt_sliding *sliding,
                 kt_reduction kind);
/* Along one axis of known size: place i of `places` gets what is from floor(i * size / places) to
 * ceil((i + 1) * size / places). */
kt_value kt_pool_adaptively(kt_builder *builder, kt_value x, int axis, int64_t places, kt_reduction kind);

/* "same" padding as TensorFlow has it: ceil(size / stride) places, what is missing is padded half before and
 * half behind, the odd one behind. A symbolic size gives expressions. */
void kt_same_padding(kt_dim_pool *dims, kt_dim size, int64_t window, int64_t stride, int64_t dilation,
                     kt_dim *out_low, kt_dim *out_high);

#endif
