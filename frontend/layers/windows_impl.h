/* What convolution and pooling share: moving windows, and where their padding lies. */
#ifndef KT_FRONTEND_LAYERS_WINDOWS_IMPL_H
#define KT_FRONTEND_LAYERS_WINDOWS_IMPL_H

#include "frontend/layers/layers_impl.h"

/* "same" padding as TensorFlow has it: ceil(size / stride) places, what is missing is padded half before and
 * half behind, the odd one behind. A symbolic size gives expressions. */
static inline void kt_same_padding(kt_dim_pool *dims, kt_dim size, int64_t window, int64_t stride,
                                   int64_t dilation, kt_dim *out_low, kt_dim *out_high) {
    int64_t reach = (window - 1) * dilation + 1;
    kt_dim places = kt_dim_ceildiv(dims, size, kt_dim_const(dims, stride));
    kt_dim covered = kt_dim_add_const(dims, kt_dim_mul_const(dims, places, stride), reach - stride);
    kt_dim total = kt_dim_sub(dims, covered, size);
    /* Only a window that leaves gaps may cover less than the image; saying so only then keeps dimensions
     * short. */
    if (reach < stride) total = kt_dim_max(dims, total, kt_dim_const(dims, 0));
    *out_low = kt_dim_floordiv(dims, total, kt_dim_const(dims, 2));
    *out_high = kt_dim_sub(dims, total, *out_low);
}

/* A reduce_window of single elements over a tensor of that rank: what no axis has been given a window of. */
static inline kt_attrs_reduce_window kt_still_window(kt_dim_pool *dims, int rank, kt_reduction kind) {
    kt_attrs_reduce_window attrs = {.kind = kind};
    attrs.window.count = attrs.strides.count = attrs.dilation.count = (uint32_t)rank;
    attrs.low.count = attrs.high.count = (uint32_t)rank;
    for (int i = 0; i < rank; i++) {
        attrs.window.at[i] = attrs.strides.at[i] = attrs.dilation.at[i] = 1;
        attrs.low.at[i] = attrs.high.at[i] = kt_dim_const(dims, 0);
    }
    return attrs;
}

#endif
