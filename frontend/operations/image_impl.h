/* What the operations of keras.ops.image share. */
#ifndef KT_FRONTEND_OPERATIONS_IMAGE_IMPL_H
#define KT_FRONTEND_OPERATIONS_IMAGE_IMPL_H

#include "frontend/operations/operations_impl.h"

#define KT_DATA_FORMAT(type)                                                                                 \
    KT_FIELD(type, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first")

/* Images as [batch, height, width, channels], and what they were given as. */
typedef struct kt_images {
    kt_value value;
    kt_type type; /* of value */
    bool channels_first, batched;
} kt_images;

/* Reads an argument of 3 axes, one image, or 4. False, and a problem, if it is none. */
bool kt_images_take(const kt_layer_call *call, uint32_t position, const char *name, const char *data_format,
                    kt_images *out_images);
/* y, [batch, height, width, channels], as the images were given: that is the result. */
void kt_images_give(kt_layer_call *call, const kt_images *images, kt_value y);
/* The number of channels; 0 and a problem if it is not known. */
int64_t kt_images_channels(kt_trace *trace, const kt_images *images);
/* Are they floats? Else a problem is recorded. */
bool kt_images_are_floats(const kt_layer_call *call, const kt_images *images);
/* Have they 3 channels (or_gray: or 1)? Else a problem is recorded. */
bool kt_images_are_colored(kt_trace *trace, const kt_images *images, bool or_gray);

/* ---- colours (image_colors.c) ---------------------------------------------------------------- */
/* The brightness of images of 3 channels, [batch, height, width, 1]; those of 1 channel as they are. */
kt_value kt_images_to_gray(kt_builder *builder, const kt_images *images);
/* The channels of x, [batch, height, width, 3] of floats, each [batch, height, width], and x of them. */
void kt_planes_split(kt_builder *builder, kt_value x, kt_value out_planes[3]);
kt_value kt_planes_join(kt_builder *builder, const kt_value planes[3]);
/* Red, green and blue to hue, saturation and value, and back. */
void kt_planes_to_hsv(kt_builder *builder, kt_value planes[3]);
void kt_planes_to_rgb(kt_builder *builder, kt_value planes[3]);

/* ---- images taken at other places (image_sampling.c) ----------------------------------------- */
enum { KT_COEFFICIENTS = 8 };
/* Place (x, y) of the result is taken from ((c0 x + c1 y + c2) / k, (c3 x + c4 y + c5) / k), where
 * k = c6 x + c7 y + 1; each [batch], or [1] for all, f32. 0 stands for zeros, but for
 * c0 and c4. */
typedef struct kt_projection {
    kt_value at[KT_COEFFICIENTS];
} kt_projection;
/* The map that takes four points of images to where others were: start and end [batch, 8] f64: x0, y0, …, y3. */
kt_projection kt_images_match(kt_builder *builder, kt_value start, kt_value end);

typedef struct kt_image_reading {
    const char *interpolation; /* "nearest" or "bilinear" */
    const char *fill_mode;     /* what is outside: "constant", "nearest", "wrap", "reflect" or, without folds, "mirror" */
    double fill_value;
    bool folds; /* as in TensorFlow, which moves a place inside before it looks at the elements around it; else each
                   of these is what fill_mode says */
} kt_image_reading;
/* [batch, height, width, channels] again. */
kt_value kt_images_project(kt_builder *builder, const kt_images *images, const kt_projection *projection,
                           const kt_image_reading *how);
/* Images at places, y and x of each pixel, [batch, height, width] of floats, as Keras on TensorFlow takes them: "reflect" is
 * "mirror" in front of an image. how->folds is not looked at. */
kt_value kt_images_warp(kt_builder *builder, const kt_images *images, const kt_value places[2], const kt_image_reading *how);

#endif
