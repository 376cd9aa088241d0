/* Convolutions, plain, depthwise and transposed, each as one `conv`.
 *
 * A depthwise one has as many groups as channels: its kernel [window…, channels, multiplier] is reshaped to
 * [window…, 1, channels * multiplier]. A transposed one moves by single steps over an input with gaps of
 * strides - 1 zeros, and its kernel [window…, features, channels] is turned round. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

void kt_same_padding(kt_dim_pool *dims, kt_dim size, int64_t window, int64_t stride, int64_t dilation,
                     kt_dim *out_low, kt_dim *out_high) {
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

/* A convolution without padding that moves by single steps. */
static kt_attrs_conv plain_attrs(const kt_builder *builder, uint32_t space) {
    kt_attrs_conv attrs = {.groups = 1};
    attrs.strides.count = attrs.low.count = attrs.high.count = space;
    attrs.dilation.count = attrs.input_dilation.count = space;
    for (uint32_t i = 0; i < space; i++) {
        attrs.strides.at[i] = attrs.dilation.at[i] = attrs.input_dilation.at[i] = 1;
        attrs.low.at[i] = attrs.high.at[i] = kt_dim_const(builder->graph->dims, 0);
    }
    return attrs;
}

/* The kernel's sizes along the axes of space, as many as x has; false and a problem where they are not known
 * or the ranks differ. */
static bool read_window(kt_builder *builder, kt_value x, kt_value kernel, kt_ints *out_window) {
    const kt_type type = *kt_build_type(builder, kernel);
    int rank = kt_build_type(builder, x)->rank;
    if (!x || !kernel) return false;
    if (rank < 3 || type.rank != rank) {
        kt_build_fail(builder, KT_INVALID,
                      "the input must have at least 3 axes, and the kernel as many; they have %d and %d.",
                      rank, type.rank);
        return false;
    }
    out_window->count = (uint32_t)rank - 2;
    for (int i = 0; i < rank - 2; i++) {
        if (kt_dim_is_const(builder->graph->dims, type.dims[i], &out_window->at[i])) continue;
        kt_build_fail(builder, KT_UNSUPPORTED, "the size of the kernel's axis %d must be known.", i);
        return false;
    }
    return true;
}

kt_value kt_convolve(kt_builder *builder, kt_value x, kt_value kernel, const kt_sliding *sliding,
                     int64_t groups) {
    kt_dim_pool *dims = builder->graph->dims;
    const kt_type type = *kt_build_type(builder, x);
    kt_ints window;
    if (!read_window(builder, x, kernel, &window)) return 0;
    kt_attrs_conv attrs = plain_attrs(builder, window.count);
    attrs.strides = sliding->strides;
    attrs.dilation = sliding->dilation;
    attrs.groups = groups;
    bool same = strcmp(sliding->padding, "same") == 0, causal = strcmp(sliding->padding, "causal") == 0;
    for (uint32_t i = 0; i < window.count; i++) {
        int64_t dilation = sliding->dilation.at[i];
        if (same)
            kt_same_padding(dims, type.dims[i + 1], window.at[i], sliding->strides.at[i], dilation,
                            &attrs.low.at[i], &attrs.high.at[i]);
        if (causal) attrs.low.at[i] = kt_dim_const(dims, (window.at[i] - 1) * dilation);
    }
    return kt_build_conv(builder, x, kernel, &attrs);
}

kt_value kt_convolve_depthwise(kt_builder *builder, kt_value x, kt_value kernel, const kt_sliding *sliding) {
    kt_dim_pool *dims = builder->graph->dims;
    kt_type type = *kt_build_type(builder, kernel);
    int64_t channels;
    if (!kernel || type.rank < 2) return kt_convolve(builder, x, kernel, sliding, 1);
    if (!kt_dim_is_const(dims, type.dims[type.rank - 2], &channels) || channels < 1)
        return kt_build_fail(builder, KT_UNSUPPORTED,
                             "the number of channels must be known, and at least 1.");
    type.dims[type.rank - 2] = kt_dim_const(dims, 1);
    type.dims[type.rank - 1] = kt_dim_mul_const(dims, type.dims[type.rank - 1], channels);
    kernel = kt_build_reshape(builder, kernel, type.rank, type.dims);
    return kt_convolve(builder, x, kernel, sliding, channels);
}

kt_value kt_convolve_plain(kt_builder *builder, kt_value x, kt_value kernel) {
    kt_ints window;
    if (!read_window(builder, x, kernel, &window)) return 0;
    kt_attrs_conv attrs = plain_attrs(builder, window.count);
    return kt_build_conv(builder, x, kernel, &attrs);
}

/* The zeros around the input with its gaps, so that "valid" gives (size - 1) * stride + max(window, stride)
 * places and "same" size * stride, unless output_padding (-1: None) says how many more than the least. The
 * rule is Keras's own for its JAX backend. */
static void transposed_padding(int64_t window, int64_t stride, bool same, int64_t output_padding,
                               int64_t *out_low, int64_t *out_high) {
    if (!same) {
        int64_t behind = output_padding;
        if (output_padding < 0) behind = window < stride ? stride - window : 0;
        *out_low = window - 1;
        *out_high = window - 1 + behind;
        return;
    }
    int64_t total = output_padding < 0 ? stride + window - 2 : window + window % 2 - 2 + output_padding;
    *out_low = total / 2 + total % 2;
    if (*out_low > window - 1) *out_low = window - 1;
    *out_high = total - *out_low;
}

kt_value kt_convolve_transposed(kt_builder *builder, kt_value x, kt_value kernel, const kt_sliding *sliding,
                                const kt_ints *output_padding) {
    kt_dim_pool *dims = builder->graph->dims;
    kt_ints window;
    int64_t axes[KT_MAX_RANK];
    if (!read_window(builder, x, kernel, &window)) return 0;
    uint32_t space = window.count;
    kt_attrs_conv attrs = plain_attrs(builder, space);
    bool same = strcmp(sliding->padding, "same") == 0;
    for (uint32_t i = 0; i < space; i++) {
        int64_t low, high, reach = (window.at[i] - 1) * sliding->dilation.at[i] + 1;
        int64_t behind = output_padding->count ? output_padding->at[i] : -1;
        transposed_padding(reach, sliding->strides.at[i], same, behind, &low, &high);
        attrs.low.at[i] = kt_dim_const(dims, low);
        attrs.high.at[i] = kt_dim_const(dims, high);
        axes[i] = i;
    }
    attrs.input_dilation = sliding->strides;
    attrs.dilation = sliding->dilation;
    kernel = kt_build_reverse(builder, kernel, space, axes);
    axes[space] = space + 1;
    axes[space + 1] = space;
    return kt_build_conv(builder, x, kt_build_transpose(builder, kernel, axes), &attrs);
}
