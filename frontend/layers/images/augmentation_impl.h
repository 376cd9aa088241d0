/* What the layers that change images at random in training share: their struct, and what they draw. */
#ifndef KT_FRONTEND_LAYERS_AUGMENTATION_IMPL_H
#define KT_FRONTEND_LAYERS_AUGMENTATION_IMPL_H

#include "frontend/layers/images/images_impl.h"
#include "frontend/operations/image_impl.h"

typedef struct kt_augmentation {
    kt_layer layer;
    const char *data_format, *bounding_box_format;
    /* Numbers, or the least and the largest that are drawn. */
    const json_t *factor, *scale, *sigma, *x_factor, *y_factor, *height_factor, *width_factor;
    const json_t *addition_factor, *threshold_factor;
    const json_t *brightness_factor, *contrast_factor, *saturation_factor, *hue_factor;
    const json_t *value_range, *kernel_size;
    const json_t *fill_value; /* of RandomErasing also None: noise */
    const char *fill_mode, *interpolation, *mode;
    double alpha;
    bool all_ops;
    int64_t height, width, num_ops, num_chains, chain_depth, bins, seed;
} kt_augmentation;

/* What a layer makes of images in training: [batch, height, width, channels] of the compute dtype, also where its
 * data_format is another or there is one image without a batch. Gives images of that form; draws in the order in which
 * Keras does. */
typedef kt_value kt_augment_fn(kt_layer *layer, kt_trace *trace, const kt_images *images);
kt_augment_fn kt_augment_flip, kt_augment_crop, kt_augment_translation, kt_augment_rotation, kt_augment_zoom, kt_augment_shear,
    kt_augment_perspective;
kt_augment_fn kt_augment_brightness, kt_augment_contrast, kt_augment_hue, kt_augment_saturation, kt_augment_jitter;
kt_augment_fn kt_augment_grayscale, kt_augment_color_degeneration, kt_augment_invert, kt_augment_posterization;
kt_augment_fn kt_augment_sharpness, kt_augment_gaussian_blur, kt_augment_erasing, kt_augment_solarization;
kt_augment_fn kt_augment_equalization, kt_augment_elastic, kt_augment_mix_up, kt_augment_cut_mix, kt_augment_rand,
    kt_augment_aug_mix;

/* The range that an option means: two numbers, sorted, or one, which may be drawn with either sign but not below
 * least. */
void kt_augment_range(const json_t *value, double least, double out_range[2]);
/* A number for each image, [batch] of a dtype, drawn from range[0] to below range[1]. */
kt_value kt_augment_draw(kt_layer *layer, kt_trace *trace, const kt_images *images, kt_dtype dtype,
                         const double range[2]);
/* bool in the images' shape: which images are changed, each with a chance that the option `factor` says. */
kt_value kt_augment_choose(kt_layer *layer, kt_trace *trace, const kt_images *images);
/* A normal distribution over `size` places, of deviation sigma, and of sum 1; 0 past reach from its middle, unless that is 0.
 * sigma and reach: vectors of one number. */
kt_value kt_augment_bell(kt_builder *builder, kt_value sigma, int64_t size, kt_value reach);
/* [batch] in the images' shape. */
kt_value kt_augment_spread(kt_builder *builder, kt_value x, const kt_images *images);

#endif
