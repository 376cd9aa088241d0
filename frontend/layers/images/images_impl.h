/* What the layers that prepare images share. */
#ifndef KT_FRONTEND_LAYERS_IMAGES_IMPL_H
#define KT_FRONTEND_LAYERS_IMAGES_IMPL_H

#include "frontend/layers/layers_impl.h"

/* The options that all of them have. What becomes of bounding boxes is no matter of images. */
#define KT_IMAGE_OPTIONS(type)                                                                               \
    KT_FIELD(type, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"),     \
        KT_FIELD(type, bounding_box_format, STRING, "null", .inert = true, .unwritten_none = true)

/* Has the call one input, of images with or without a batch? Else a problem is recorded. */
bool kt_call_has_images(const kt_layer_call *call);
/* Is an option a number or, with pair, two numbers (or None)? Else it is rejected. */
kt_status kt_check_factor(const kt_layer *layer, kt_layer_context *context, const char *option,
                          const json_t *value, bool number, bool pair);

/* Reads two numbers, the lowest and the highest value of a pixel, that kt_check_factor let pass. */
void kt_read_value_range(const json_t *value, double out_range[2]);
/* Values of one range brought to another, in dtype. */
kt_value kt_change_value_range(kt_builder *builder, kt_value x, const double from[2], const double to[2],
                               kt_dtype dtype);
/* AutoContrast's computation, on images with or without a batch, in their dtype. */
kt_value kt_auto_contrast(kt_builder *builder, kt_value images, const double range[2]);

#endif
