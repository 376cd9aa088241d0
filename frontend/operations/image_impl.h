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
int64_t kt_images_channels(const kt_layer_call *call, const kt_images *images);
/* Are they floats? Else a problem is recorded. */
bool kt_images_are_floats(const kt_layer_call *call, const kt_images *images);

#endif
