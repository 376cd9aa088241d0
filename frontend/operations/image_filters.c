/* Operation nodes of keras.ops.image that filter: every channel by itself is convolved with a kernel that is
 * the product of one along columns and one along rows. */
#include "frontend/layers/windows_impl.h"
#include "frontend/operations/image_impl.h"

#include <math.h>

enum { LARGEST_KERNEL = 1 << 12 };

/* One factor of a kernel. */
typedef struct taps {
    int64_t count;
    const double *weights;
} taps;

/* Along axis 1 or 2 of [batch, height, width, channels]; same: zeros around the image keep its size. */
static kt_value filter_axis(kt_builder *b, kt_value x, int axis, const taps *t, int64_t channels, bool same) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_type line = kt_type_of(dims, KT_F64, 1, &t->count);
    kt_value kernel = kt_build_cast(b, kt_build_constant(b, &line, t->weights), type.dtype);
    kt_dim one = kt_dim_const(dims, 1), none = kt_dim_const(dims, 0);
    kt_dim shape[] = {one, one, one, type.dims[3]};
    shape[axis - 1] = line.dims[0];
    kernel = kt_build_broadcast(b, kernel, 4, shape, (const int64_t[]){axis - 1});
    kt_attrs_conv attrs = {.groups = channels,
                           .strides = {2, {1, 1}},
                           .dilation = {2, {1, 1}},
                           .input_dilation = {2, {1, 1}},
                           .low = {2, {none, none}},
                           .high = {2, {none, none}}};
    if (same)
        kt_same_padding(dims, type.dims[axis], t->count, 1, 1, &attrs.low.at[axis - 1],
                        &attrs.high.at[axis - 1]);
    return kt_build_conv(b, x, kernel, &attrs);
}

static kt_value filter(kt_builder *b, kt_value x, const taps *rows, const taps *columns, int64_t channels,
                       bool same) {
    return filter_axis(b, filter_axis(b, x, 1, rows, channels, same), 2, columns, channels, same);
}

/* Of sum 1. */
static taps gaussian(kt_arena *arena, int64_t count, double sigma) {
    double *weights = KT_NEW_ARRAY(arena, double, (size_t)count), sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double away = ((double)i - (double)(count - 1) / 2) / sigma;
        sum += weights[i] = exp(-away * away / 2);
    }
    for (int64_t i = 0; i < count; i++) weights[i] /= sum;
    return (taps){count, weights};
}

static bool check_kernel(const kt_layer_call *call, const char *option, int64_t size) {
    if (size >= 1 && size <= LARGEST_KERNEL) return true;
    kt_trace_fail(call->trace, KT_INVALID, "the option '%s' must be from 1 to %d.", option, LARGEST_KERNEL);
    return false;
}

/* ---- GaussianBlur ---------------------------------------------------------------------------- */
typedef struct blur {
    kt_layer layer;
    kt_ints kernel_size;
    const json_t *sigma;
    const char *data_format;
} blur;
static const kt_option blur_options[] = {
    KT_FIELD(blur, kernel_size, INTS, "[3, 3]", .count = 2),
    KT_FIELD(blur, sigma, JSON, "[1.0, 1.0]"),
    KT_DATA_FORMAT(blur),
    KT_OPTIONS_END,
};

/* Keras documents (height, width), but its backends blur rows by the second and columns by the first. */
static void call_gaussian_blur(kt_layer *layer, kt_layer_call *call) {
    const blur *g = (const blur *)layer;
    kt_arena *arena = call->trace->context->arena;
    kt_images images;
    if (!kt_images_take(call, 0, "images", g->data_format, &images) || !kt_images_are_floats(call, &images))
        return;
    int64_t channels = kt_images_channels(call->trace, &images);
    const json_t *first = json_array_get(g->sigma, 0), *second = json_array_get(g->sigma, 1);
    if (!channels || !check_kernel(call, "kernel_size", g->kernel_size.at[0]) ||
        !check_kernel(call, "kernel_size", g->kernel_size.at[1]))
        return;
    if (json_array_size(g->sigma) != 2 || !json_is_number(first) || !json_is_number(second)) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'sigma' must be two numbers.");
        return;
    }
    taps rows = gaussian(arena, g->kernel_size.at[1], json_number_value(second));
    taps columns = gaussian(arena, g->kernel_size.at[0], json_number_value(first));
    kt_images_give(call, &images,
                   filter(call->trace->builder, images.value, &rows, &columns, channels, true));
}
KT_OPERATION_WITH(gaussian_blur, "GaussianBlur", KT_OPERATION_IMAGE,
                  "images blurred by a normal distribution", blur, blur_options, call_gaussian_blur)

/* ---- SobelEdges ------------------------------------------------------------------------------ */
typedef struct edges {
    kt_layer layer;
    const char *data_format;
} edges;
static const kt_option edge_options[] = {KT_DATA_FORMAT(edges), KT_OPTIONS_END};

/* Zeros are around the image, as with Keras on JAX and PyTorch; TensorFlow mirrors its border. */
static void call_sobel_edges(kt_layer *layer, kt_layer_call *call) {
    static const double rise[] = {-1, 0, 1}, smooth[] = {1, 2, 1};
    static const taps slope = {3, rise}, mean = {3, smooth};
    kt_builder *b = call->trace->builder;
    kt_images images;
    if (!kt_images_take(call, 0, "images", ((const edges *)layer)->data_format, &images) ||
        !kt_images_are_floats(call, &images))
        return;
    int64_t channels = kt_images_channels(call->trace, &images);
    if (!channels) return;
    if (!images.batched) {
        kt_trace_fail(call->trace, KT_INVALID, "its images must have 4 axes.");
        return;
    }
    kt_value parts[] = {filter(b, images.value, &slope, &mean, channels, true),
                        filter(b, images.value, &mean, &slope, channels, true)};
    for (int i = 0; i < 2; i++)
        parts[i] = kt_add_axis(b, kt_from_channels_last(b, parts[i], images.channels_first), 4);
    call->outputs[0] = kt_build_concat(b, parts, 2, 4);
}
KT_OPERATION_WITH(sobel_edges, "SobelEdges", KT_OPERATION_IMAGE, "the slopes of images down and to the right",
                  edges, edge_options, call_sobel_edges)

/* ---- SSIM
 * --------------------------------------------------------------------------------------------------
 * Wang, Bovik, Sheikh and Simoncelli, Image quality assessment: from error visibility to structural
 * similarity, 2004. */
typedef struct similarity {
    kt_layer layer;
    double max_val, filter_sigma, k1, k2;
    int64_t filter_size;
    const char *data_format;
} similarity;
static const kt_option similarity_options[] = {
    KT_FIELD(similarity, max_val, FLOAT, "1.0"),
    KT_FIELD(similarity, filter_size, INT, "11"),
    KT_FIELD(similarity, filter_sigma, FLOAT, "1.5"),
    KT_FIELD(similarity, k1, FLOAT, "0.01"),
    KT_FIELD(similarity, k2, FLOAT, "0.03"),
    KT_DATA_FORMAT(similarity),
    KT_OPTIONS_END,
};

static kt_value plus(kt_builder *b, kt_value x, kt_value y, double constant) {
    return kt_add_number(b, kt_build_add(b, x, y), constant);
}

/* From the means of both images under the window, of their squares and of their product. */
static kt_value compare_windows(kt_builder *b, const similarity *s, kt_value x, kt_value y, kt_value xx,
                                kt_value yy, kt_value xy) {
    double c1 = pow(s->k1 * s->max_val, 2), c2 = pow(s->k2 * s->max_val, 2);
    kt_value x2 = kt_build_mul(b, x, x), y2 = kt_build_mul(b, y, y), both = kt_build_mul(b, x, y);
    kt_value covariance = kt_build_sub(b, xy, both);
    kt_value variances = kt_build_add(b, kt_build_sub(b, xx, x2), kt_build_sub(b, yy, y2));
    kt_value over = kt_build_mul(b, plus(b, both, both, c1), plus(b, covariance, covariance, c2));
    return kt_build_div(b, over, kt_build_mul(b, plus(b, x2, y2, c1), kt_add_number(b, variances, c2)));
}

static void call_ssim(kt_layer *layer, kt_layer_call *call) {
    const similarity *s = (const similarity *)layer;
    kt_builder *b = call->trace->builder;
    kt_images images, others;
    if (!kt_images_take(call, 0, "image1", s->data_format, &images) ||
        !kt_images_take(call, 1, "image2", s->data_format, &others))
        return;
    int64_t channels = kt_images_channels(call->trace, &images);
    if (!channels || !check_kernel(call, "filter_size", s->filter_size)) return;
    taps window = gaussian(call->trace->context->arena, s->filter_size, s->filter_sigma);
    kt_dtype dtype = kt_dtype_to_float(images.type.dtype);
    kt_value x = kt_build_cast(b, images.value, dtype), y = kt_build_cast(b, others.value, dtype);
    kt_value means[] = {x, y, kt_build_mul(b, x, x), kt_build_mul(b, y, y), kt_build_mul(b, x, y)};
    for (int i = 0; i < 5; i++) means[i] = filter(b, means[i], &window, &window, channels, false);
    kt_value map = compare_windows(b, s, means[0], means[1], means[2], means[3], means[4]);
    if (!map) return;
    static const kt_ints all = {3, {1, 2, 3}};
    kt_value result = kt_build_cast(b, kt_mean(b, map, &all), images.type.dtype);
    call->outputs[0] = images.batched ? result : kt_drop_axis(b, result, 0);
}
KT_OPERATION_WITH(ssim, "SSIM", KT_OPERATION_IMAGE, "how alike two images are in structure", similarity,
                  similarity_options, call_ssim)
