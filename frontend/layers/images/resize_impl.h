/* Resampling along axes: what resizing images is made of. */
#ifndef KT_FRONTEND_LAYERS_RESIZE_IMPL_H
#define KT_FRONTEND_LAYERS_RESIZE_IMPL_H

#include "frontend/layers/layers_impl.h"

#define KT_INTERPOLATIONS "nearest bilinear bicubic lanczos3 lanczos5"

/* What keras.ops.image.resize is told. */
typedef struct kt_resizing {
    kt_dim height, width;      /* of the result */
    const char *interpolation; /* one of KT_INTERPOLATIONS */
    bool antialias;            /* where there are fewer places than before, they take all of the image in */
    bool crop_to_aspect_ratio; /* cut the image first, in its middle */
    bool pad_to_aspect_ratio;  /* surround it first by fill_value; not both */
    double fill_value;
    bool channels_first;
} kt_resizing;

/* Images [batch, height, width, channels], also without batch, or with the channels in front; any size may be
 * symbolic. What is interpolated must be floats, and stays of their dtype. */
kt_value kt_resize_images(kt_builder *builder, kt_value images, const kt_resizing *resizing);
/* The `size` places in the middle of an axis. */
kt_value kt_crop_middle(kt_builder *builder, kt_value x, int axis, kt_dim size);
/* Resizing along one axis, which gets `size` places. */
kt_value kt_resize_axis(kt_builder *builder, kt_value x, int axis, kt_dim size, const char *interpolation,
                        bool antialias);
/* Along one axis, place p of x goes to (p + 1/2) * scale + translation - 1/2; f64 scalars. What comes from
 * outside of x is 0. Any interpolation but "nearest". */
kt_value kt_resample_axis(kt_builder *builder, kt_value x, int axis, kt_dim size, kt_value scale,
                          kt_value translation, const char *interpolation, bool antialias);

#endif
