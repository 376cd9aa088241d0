/* Layers that change images at random while a model is trained: their options, and what all of their calls
 * have in common. What each does is in a file of its kind.
 *
 * When a model predicts they hand their images on, some as they are, some in the compute dtype: so does
 * Keras, even RandomCrop, whose images keep their size, Equalization and Solarization. */
#include "frontend/layers/images/augmentation_impl.h"

#include <math.h>
#include <string.h>

// clang-format off
#define INERT(name, kind, ...) KT_FIELD(kt_augmentation, name, kind, __VA_ARGS__, .inert = true)
#define IMAGES KT_IMAGE_OPTIONS(kt_augmentation)
#define SEED INERT(seed, OPTIONAL_INT, "null")
#define RANGE INERT(value_range, JSON, "[0, 255]")
#define FACTOR(default_json) INERT(factor, JSON, default_json)
#define INTERPOLATION INERT(interpolation, CHOICE, "\"bilinear\"", .choices = "nearest bilinear")
#define FILL_MODE(modes) INERT(fill_mode, CHOICE, "\"reflect\"", .choices = modes)
#define FILL FILL_MODE("constant nearest reflect wrap"), FILL_REST
#define FILL_REST \
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
    FILL_MODE("constant nearest reflect wrap mirror"), FILL_REST, RANGE, SEED, KT_OPTIONS_END,
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

/* Three numbers, which RandomErasing takes as well: a colour. */
static bool is_color(const kt_option *option, const json_t *value) {
    kt_ints shape;
    return strcmp(option->name, "fill_value") == 0 && kt_numbers_shape(value, &shape) && shape.count == 1 &&
           shape.at[0] == 3;
}

/* What is kept as JSON is a number, two numbers or, where that is the default, None. */
static kt_status check(kt_layer *layer, kt_layer_context *context) {
    kt_status status = KT_OK;
    for (const kt_option *option = layer->class->options; option->name; option++) {
        if (option->kind != KT_OPTION_JSON) continue;
        const void *field = (const char *)layer + option->offset;
        const json_t *value = *(const json_t *const *)field;
        bool may_miss = option->default_json && strcmp(option->default_json, "null") == 0;
        if (may_miss && (!value || is_color(option, value))) continue;
        bool single = strcmp(option->name, "value_range") != 0;
        KT_COLLECT(status, kt_check_factor(layer, context, option->name, value, single, true));
    }
    return status;
}

/* ---- calls ----------------------------------------------------------------------------------- */

void kt_augment_range(const json_t *value, double least, double out_range[2]) {
    if (json_is_array(value)) {
        double first = json_number_value(json_array_get(value, 0));
        double second = json_number_value(json_array_get(value, 1));
        out_range[0] = fmin(first, second);
        out_range[1] = fmax(first, second);
    } else {
        out_range[1] = fabs(json_number_value(value));
        out_range[0] = fmax(-out_range[1], least);
    }
}

kt_value kt_augment_draw(kt_layer *layer, kt_trace *trace, const kt_images *images, kt_dtype dtype,
                         const double range[2]) {
    const kt_type type = {.dtype = dtype, .rank = 1, .dims = {images->type.dims[0]}};
    return kt_random_between(layer, trace, ((const kt_augmentation *)layer)->seed, &type, range[0], range[1]);
}

kt_value kt_augment_spread(kt_builder *b, kt_value x, const kt_images *images) {
    return kt_build_broadcast(b, x, images->type.rank, images->type.dims, (const int64_t[]){0});
}

kt_value kt_augment_choose(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    kt_builder *b = trace->builder;
    double range[2];
    kt_augment_range(((const kt_augmentation *)layer)->factor, 0, range);
    kt_value chance = kt_augment_draw(layer, trace, images, KT_F32, range);
    kt_value drawn = kt_augment_draw(layer, trace, images, KT_F32, (const double[]){0, 1});
    return kt_augment_spread(b, kt_build_lt(b, drawn, chance), images);
}

kt_value kt_augment_bell(kt_builder *b, kt_value sigma, int64_t size, kt_value reach) {
    static const kt_ints all = {1, {0}};
    const kt_type type = {
        .dtype = kt_build_type(b, sigma)->dtype, .rank = 1, .dims = {kt_dim_const(b->graph->dims, size)}};
    kt_value away = kt_add_number(b, kt_build_iota(b, &type, 0), -(double)(size - 1) / 2);
    kt_value share = kt_build_div(b, away, kt_build_broadcast_to(b, sigma, 1, type.dims));
    kt_value x = kt_build_mul(b, kt_build_mul(b, share, share), kt_build_like(b, share, -0.5));
    x = kt_build_exp(b, x);
    if (reach) {
        reach = kt_build_broadcast_to(b, reach, 1, type.dims);
        x = kt_build_select(b, kt_build_le(b, kt_build_abs(b, away), reach), x, kt_build_like(b, x, 0));
    }
    return kt_build_div(b, x, kt_reduce_spread(b, x, KT_REDUCE_SUM, &all));
}

/* What Keras's layers differ in. */
typedef struct habits {
    bool casts;   /* to the compute dtype, also where nothing is changed */
    int64_t idle; /* so many numbers are drawn, for nothing, where it evaluates */
} habits;

static void call_images(kt_layer *layer, kt_layer_call *call, habits has, kt_augment_fn *change) {
    kt_builder *b = call->trace->builder;
    kt_images images;
    if (!kt_call_has_images(call)) return;
    if (!call->trace->training) {
        kt_value x = call->inputs[0];
        call->outputs[0] = has.casts ? kt_build_cast(b, x, layer->compute_dtype) : x;
        if (has.idle && call->trace->collects_losses) kt_random_skip(layer, call->trace, has.idle);
        return;
    }
    if (!kt_images_take(call, 0, "data", ((const kt_augmentation *)layer)->data_format, &images)) return;
    images.value = kt_build_cast(b, images.value, images.type.dtype = layer->compute_dtype);
    kt_images_give(call, &images, change(layer, call->trace, &images));
}

#define AUGMENTATION(c_name, keras_name, documentation, table, habits, change)                               \
    static void call_##c_name(kt_layer *layer, kt_layer_call *call) {                                        \
        call_images(layer, call, habits, change);                                                            \
    }                                                                                                        \
    const kt_layer_class kt_class_##c_name = {.name = (keras_name),                                          \
                                              .module = "keras.layers",                                      \
                                              .doc = documentation " in training; nothing at prediction",    \
                                              .bytes = sizeof(kt_augmentation),                              \
                                              .options = (table),                                            \
                                              .check = check,                                                \
                                              .call = call_##c_name}
#define HABITS(...) ((habits){__VA_ARGS__})
#define KEEPS       HABITS(.casts = false)
#define CASTS       HABITS(.casts = true)
AUGMENTATION(random_brightness, "RandomBrightness", "brighter or darker images", color_options, KEEPS,
             kt_augment_brightness);
AUGMENTATION(random_color_degeneration, "RandomColorDegeneration", "greyer images", color_options,
             HABITS(.idle = 1), kt_augment_color_degeneration);
AUGMENTATION(random_contrast, "RandomContrast", "images of more or less contrast", color_options, KEEPS,
             kt_augment_contrast);
AUGMENTATION(random_hue, "RandomHue", "images of shifted hue", color_options, HABITS(.idle = 2),
             kt_augment_hue);
AUGMENTATION(random_posterization, "RandomPosterization", "images of fewer colours", color_options,
             HABITS(.idle = 1), kt_augment_posterization);
AUGMENTATION(random_saturation, "RandomSaturation", "images of more or less saturation", color_options,
             HABITS(.idle = 1), kt_augment_saturation);
AUGMENTATION(random_sharpness, "RandomSharpness", "sharper or smoother images", color_options,
             HABITS(.casts = true, .idle = 1), kt_augment_sharpness);
AUGMENTATION(random_invert, "RandomInvert", "negatives of images", invert_options, KEEPS, kt_augment_invert);
AUGMENTATION(random_grayscale, "RandomGrayscale", "grey images", grayscale_options, HABITS(.idle = 1),
             kt_augment_grayscale);
AUGMENTATION(random_color_jitter, "RandomColorJitter",
             "images of other brightness, contrast, saturation and hue", jitter_options, KEEPS,
             kt_augment_jitter);
AUGMENTATION(random_gaussian_blur, "RandomGaussianBlur", "blurred images", blur_options, CASTS,
             kt_augment_gaussian_blur);
AUGMENTATION(random_crop, "RandomCrop", "parts of images", crop_options, KEEPS, kt_augment_crop);
AUGMENTATION(random_flip, "RandomFlip", "mirrored images", flip_options, CASTS, kt_augment_flip);
AUGMENTATION(random_rotation, "RandomRotation", "turned images", rotation_options, CASTS,
             kt_augment_rotation);
AUGMENTATION(random_shear, "RandomShear", "sheared images", shear_options, CASTS, kt_augment_shear);
AUGMENTATION(random_translation, "RandomTranslation", "shifted images", translation_options, CASTS,
             kt_augment_translation);
AUGMENTATION(random_zoom, "RandomZoom", "larger or smaller images", zoom_options, CASTS, kt_augment_zoom);
AUGMENTATION(random_elastic_transform, "RandomElasticTransform", "warped images", elastic_options, CASTS,
             kt_augment_elastic);
AUGMENTATION(random_perspective, "RandomPerspective", "images from another point of view",
             perspective_options, CASTS, kt_augment_perspective);
AUGMENTATION(random_erasing, "RandomErasing", "images with holes", erasing_options, CASTS,
             kt_augment_erasing);
AUGMENTATION(solarization, "Solarization", "images whose bright pixels are inverted", solarization_options,
             CASTS, kt_augment_solarization);
AUGMENTATION(equalization, "Equalization", "images of all brightnesses alike", equalization_options, KEEPS,
             kt_augment_equalization);
AUGMENTATION(mix_up, "MixUp", "means of two images", mix_up_options, HABITS(.idle = 2), kt_augment_mix_up);
AUGMENTATION(cut_mix, "CutMix", "images with a part of another", cut_mix_options, CASTS, kt_augment_cut_mix);
AUGMENTATION(rand_augment, "RandAugment", "images changed in several ways", rand_augment_options, CASTS,
             kt_augment_rand);
AUGMENTATION(aug_mix, "AugMix", "means of images changed in several ways", aug_mix_options, CASTS,
             kt_augment_aug_mix);
