/* Layers that change images at random while a model is trained. When it predicts they hand their images on,
 * some as they are, some in the compute dtype: so does Keras, even RandomCrop, whose images keep their size,
 * and Equalization and Solarization, which draw nothing. So all options are inert but must stay. */
#include "frontend/layers/images_impl.h"

#include <string.h>

typedef struct augmentation {
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
} augmentation;

// clang-format off
#define INERT(name, kind, ...) KT_FIELD(augmentation, name, kind, __VA_ARGS__, .inert = true)
#define IMAGES KT_IMAGE_OPTIONS(augmentation)
#define SEED INERT(seed, OPTIONAL_INT, "null")
#define RANGE INERT(value_range, JSON, "[0, 255]")
#define FACTOR(default_json) INERT(factor, JSON, default_json)
#define INTERPOLATION INERT(interpolation, CHOICE, "\"bilinear\"", .choices = "nearest bilinear")
#define FILL \
    INERT(fill_mode, CHOICE, "\"reflect\"", .choices = "constant nearest reflect wrap mirror"), \
    INERT(fill_value, JSON, "0.0"), INTERPOLATION

static const kt_option color_options[] = {IMAGES, FACTOR(NULL), RANGE, SEED, KT_OPTIONS_END};
static const kt_option invert_options[] = {IMAGES, FACTOR("1.0"), RANGE, SEED, KT_OPTIONS_END};
static const kt_option grayscale_options[] = {IMAGES, FACTOR("0.5"), KT_OPTIONS_END};
static const kt_option jitter_options[] = {
    IMAGES, RANGE,
    INERT(brightness_factor, JSON, "null"),
    INERT(contrast_factor, JSON, "null"),
    INERT(saturation_factor, JSON, "null"),
    INERT(hue_factor, JSON, "null"),
    SEED, KT_OPTIONS_END,
};
static const kt_option blur_options[] = {
    IMAGES, FACTOR("1.0"),
    INERT(kernel_size, JSON, "3"),
    INERT(sigma, JSON, "1.0"),
    RANGE, SEED, KT_OPTIONS_END,
};
static const kt_option crop_options[] = {
    IMAGES,
    INERT(height, INT, NULL),
    INERT(width, INT, NULL),
    SEED, KT_OPTIONS_END,
};
static const kt_option flip_options[] = {
    IMAGES, SEED,
    INERT(mode, CHOICE, "\"horizontal_and_vertical\"", .choices = "horizontal vertical horizontal_and_vertical"),
    KT_OPTIONS_END,
};
static const kt_option rotation_options[] = {IMAGES, FACTOR(NULL), FILL, SEED, KT_OPTIONS_END};
static const kt_option shear_options[] = {
    IMAGES,
    INERT(x_factor, JSON, "0.0"),
    INERT(y_factor, JSON, "0.0"),
    FILL, SEED, KT_OPTIONS_END,
};
static const kt_option translation_options[] = {
    IMAGES,
    INERT(height_factor, JSON, NULL),
    INERT(width_factor, JSON, NULL),
    FILL, SEED, KT_OPTIONS_END,
};
static const kt_option zoom_options[] = {
    IMAGES,
    INERT(height_factor, JSON, NULL),
    INERT(width_factor, JSON, "null"),
    FILL, SEED, KT_OPTIONS_END,
};
static const kt_option elastic_options[] = {
    IMAGES, FACTOR("1.0"),
    INERT(scale, JSON, "1.0"),
    FILL, RANGE, SEED, KT_OPTIONS_END,
};
static const kt_option perspective_options[] = {
    IMAGES, FACTOR("1.0"),
    INERT(scale, JSON, "1.0"),
    INTERPOLATION,
    INERT(fill_value, JSON, "0.0"),
    SEED, KT_OPTIONS_END,
};
static const kt_option erasing_options[] = {
    IMAGES, FACTOR("1.0"),
    INERT(scale, JSON, "[0.02, 0.33]"),
    INERT(fill_value, JSON, "null"),
    RANGE, SEED, KT_OPTIONS_END,
};
static const kt_option solarization_options[] = {
    IMAGES, RANGE,
    INERT(addition_factor, JSON, "0.0"),
    INERT(threshold_factor, JSON, "0.0"),
    SEED, KT_OPTIONS_END,
};
static const kt_option equalization_options[] = {IMAGES, INERT(bins, INT, "256"), RANGE, KT_OPTIONS_END};
static const kt_option mix_up_options[] = {IMAGES, INERT(alpha, FLOAT, "0.2"), SEED, KT_OPTIONS_END};
static const kt_option cut_mix_options[] = {IMAGES, FACTOR("1.0"), SEED, KT_OPTIONS_END};
static const kt_option rand_augment_options[] = {
    IMAGES, RANGE,
    INERT(num_ops, INT, "2"),
    FACTOR("0.5"), INTERPOLATION, SEED, KT_OPTIONS_END,
};
static const kt_option aug_mix_options[] = {
    IMAGES, RANGE,
    INERT(num_chains, INT, "3"),
    INERT(chain_depth, INT, "3"),
    FACTOR("0.3"),
    INERT(alpha, FLOAT, "1.0"),
    INERT(all_ops, BOOL, "true"),
    INTERPOLATION, SEED, KT_OPTIONS_END,
};
// clang-format on

/* What is kept as JSON is a number, two numbers or, where that is the default, None. */
static kt_status check(kt_layer *layer, kt_layer_context *context) {
    kt_status status = KT_OK;
    for (const kt_option *option = layer->class->options; option->name; option++) {
        if (option->kind != KT_OPTION_JSON) continue;
        const void *field = (const char *)layer + option->offset;
        const json_t *value = *(const json_t *const *)field;
        bool may_miss = option->default_json && strcmp(option->default_json, "null") == 0;
        if (!value && may_miss) continue;
        bool single = strcmp(option->name, "value_range") != 0;
        KT_COLLECT(status, kt_check_factor(layer, context, option->name, value, single, true));
    }
    return status;
}

static kt_value images(kt_layer *layer, const kt_layer_call *call) {
    if (!kt_call_has_images(call)) return 0;
    if (!call->trace->training) return call->inputs[0];
    kt_trace_fail(call->trace, KT_UNSUPPORTED,
                  "%s draws random numbers in training, which is not supported yet.", layer->class->name);
    return 0;
}

static void call_kept(kt_layer *layer, kt_layer_call *call) { call->outputs[0] = images(layer, call); }

static void call_cast(kt_layer *layer, kt_layer_call *call) {
    kt_value x = images(layer, call);
    if (x) call->outputs[0] = kt_build_cast(call->trace->builder, x, layer->compute_dtype);
}

#define AUGMENTATION(c_name, keras_name, documentation, table, calls)                                        \
    const kt_layer_class kt_class_##c_name = {.name = (keras_name),                                          \
                                              .module = "keras.layers",                                      \
                                              .doc = documentation " in training; nothing at prediction",    \
                                              .bytes = sizeof(augmentation),                                 \
                                              .options = (table),                                            \
                                              .check = check,                                                \
                                              .call = (calls)}
AUGMENTATION(random_brightness, "RandomBrightness", "brighter or darker images", color_options, call_kept);
AUGMENTATION(random_color_degeneration, "RandomColorDegeneration", "greyer images", color_options, call_kept);
AUGMENTATION(random_contrast, "RandomContrast", "images of more or less contrast", color_options, call_kept);
AUGMENTATION(random_hue, "RandomHue", "images of shifted hue", color_options, call_kept);
AUGMENTATION(random_posterization, "RandomPosterization", "images of fewer colours", color_options,
             call_kept);
AUGMENTATION(random_saturation, "RandomSaturation", "images of more or less saturation", color_options,
             call_kept);
AUGMENTATION(random_sharpness, "RandomSharpness", "sharper or smoother images", color_options, call_cast);
AUGMENTATION(random_invert, "RandomInvert", "negatives of images", invert_options, call_kept);
AUGMENTATION(random_grayscale, "RandomGrayscale", "grey images", grayscale_options, call_kept);
AUGMENTATION(random_color_jitter, "RandomColorJitter",
             "images of other brightness, contrast, saturation and hue", jitter_options, call_kept);
AUGMENTATION(random_gaussian_blur, "RandomGaussianBlur", "blurred images", blur_options, call_cast);
AUGMENTATION(random_crop, "RandomCrop", "parts of images", crop_options, call_kept);
AUGMENTATION(random_flip, "RandomFlip", "mirrored images", flip_options, call_cast);
AUGMENTATION(random_rotation, "RandomRotation", "turned images", rotation_options, call_cast);
AUGMENTATION(random_shear, "RandomShear", "sheared images", shear_options, call_cast);
AUGMENTATION(random_translation, "RandomTranslation", "shifted images", translation_options, call_cast);
AUGMENTATION(random_zoom, "RandomZoom", "larger or smaller images", zoom_options, call_cast);
AUGMENTATION(random_elastic_transform, "RandomElasticTransform", "warped images", elastic_options, call_cast);
AUGMENTATION(random_perspective, "RandomPerspective", "images from another point of view",
             perspective_options, call_cast);
AUGMENTATION(random_erasing, "RandomErasing", "images with holes", erasing_options, call_cast);
AUGMENTATION(solarization, "Solarization", "images whose bright pixels are inverted", solarization_options,
             call_cast);
AUGMENTATION(equalization, "Equalization", "images of all brightnesses alike", equalization_options,
             call_kept);
AUGMENTATION(mix_up, "MixUp", "means of two images", mix_up_options, call_kept);
AUGMENTATION(cut_mix, "CutMix", "images with a part of another", cut_mix_options, call_cast);
AUGMENTATION(rand_augment, "RandAugment", "images changed in several ways", rand_augment_options, call_cast);
AUGMENTATION(aug_mix, "AugMix", "means of images changed in several ways", aug_mix_options, call_cast);
