/* Operation nodes of keras.ops.image that give images another size. */
#include "frontend/layers/images/resize_impl.h"
#include "frontend/operations/image_impl.h"

#include <string.h>

/* ---- Resize ---------------------------------------------------------------------------------- */
typedef struct resize {
    kt_layer layer;
    kt_ints size;
    const char *interpolation, *fill_mode, *data_format;
    bool antialias, crop_to_aspect_ratio, pad_to_aspect_ratio;
    double fill_value;
} resize;
static const kt_option resize_options[] = {
    KT_FIELD(resize, size, INTS, NULL, .count = 2),
    KT_FIELD(resize, interpolation, CHOICE, "\"bilinear\"", .choices = KT_INTERPOLATIONS),
    KT_FIELD(resize, antialias, BOOL, "false"),
    KT_FIELD(resize, crop_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resize, pad_to_aspect_ratio, BOOL, "false"),
    KT_FIELD(resize, fill_mode, CHOICE, "\"constant\"", .choices = "constant"),
    KT_FIELD(resize, fill_value, FLOAT, "0.0"),
    KT_DATA_FORMAT(resize),
    KT_OPTIONS_END,
};

static void call_resize(kt_layer *layer, kt_layer_call *call) {
    const resize *r = (const resize *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "images");
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    if (type.rank < 3 || type.rank > 4 || r->size.at[0] < 1 || r->size.at[1] < 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it makes images of 3 or 4 axes larger than 0.");
        return;
    }
    bool rounds = strcmp(r->interpolation, "nearest") != 0 && !kt_dtype_is_float(type.dtype);
    if (rounds) x = kt_build_cast(b, x, KT_F32);
    kt_resizing how = {
        .height = kt_dim_const(b->graph->dims, r->size.at[0]),
        .width = kt_dim_const(b->graph->dims, r->size.at[1]),
        .interpolation = r->interpolation,
        .antialias = r->antialias,
        .crop_to_aspect_ratio = r->crop_to_aspect_ratio,
        .pad_to_aspect_ratio = r->pad_to_aspect_ratio,
        .fill_value = r->fill_value,
        .channels_first = strcmp(r->data_format, "channels_first") == 0,
    };
    x = kt_resize_images(b, x, &how);
    call->outputs[0] = rounds ? kt_saturate_cast(b, kt_build_round(b, x), type.dtype) : x;
}
KT_OPERATION_WITH(resize, "Resize", KT_OPERATION_IMAGE, "images of another size", resize, resize_options,
                  call_resize)

/* ---- ScaleAndTranslate ----------------------------------------------------------------------- */
typedef struct placement {
    kt_layer layer;
    const json_t *spatial_dims;
    const char *method;
    bool antialias;
} placement;
static const struct {
    const char *method, *interpolation;
} methods[] = {
    {"linear", "bilinear"},   {"bilinear", "bilinear"}, {"trilinear", "bilinear"},
    {"triangle", "bilinear"}, {"cubic", "bicubic"},     {"bicubic", "bicubic"},
    {"tricubic", "bicubic"},  {"lanczos3", "lanczos3"}, {"lanczos5", "lanczos5"},
};
static const kt_option placement_options[] = {
    KT_FIELD(placement, spatial_dims, JSON, NULL),
    KT_FIELD(placement, method, CHOICE, NULL,
             .choices = "linear bilinear trilinear triangle cubic bicubic tricubic lanczos3 lanczos5"),
    KT_FIELD(placement, antialias, BOOL, "true"),
    KT_OPTIONS_END,
};

static const char *interpolation_of(const char *method) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].method, method) == 0) return methods[i].interpolation;
    KT_BUG("there is no method %s", method);
}

/* One number for each spatial axis, in f64; 0 and a problem if it is another number. */
static kt_value take_numbers(kt_layer_call *call, uint32_t position, const char *name, uint32_t count) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, position, name);
    if (!x) return 0;
    kt_type type = *kt_build_type(b, x);
    if (type.rank == 1 && kt_dim_equals(b->graph->dims, type.dims[0], count))
        return kt_build_cast(b, x, KT_F64);
    kt_trace_fail(call->trace, KT_INVALID, "its “%s” must be %u numbers, one for each of spatial_dims.", name,
                  count);
    return 0;
}

static kt_value element(kt_builder *b, kt_value vector, uint32_t at) {
    kt_dim_pool *dims = b->graph->dims;
    kt_value one = kt_slice_axis(b, vector, 0, kt_dim_const(dims, at), kt_dim_const(dims, at + 1));
    return kt_drop_axis(b, one, 0);
}

/* Integers are rounded and held between the least and the largest that there was. */
static kt_value round_to(kt_builder *b, kt_value y, kt_value x) {
    kt_type type = *kt_build_type(b, x), shape = *kt_build_type(b, y);
    kt_ints all = {.count = type.rank};
    for (uint32_t i = 0; i < all.count; i++) all.at[i] = i;
    y = kt_build_round(b, y);
    static const kt_reduction ends[] = {KT_REDUCE_MINIMUM, KT_REDUCE_MAXIMUM};
    for (int i = 0; i < 2; i++) {
        kt_value end = kt_build_cast(b, kt_build_reduce(b, x, ends[i], all.count, all.at), KT_F32);
        end = kt_build_broadcast_to(b, end, shape.rank, shape.dims);
        y = i ? kt_build_minimum(b, y, end) : kt_build_maximum(b, y, end);
    }
    return kt_build_cast(b, y, type.dtype);
}

static void call_scale_and_translate(kt_layer *layer, kt_layer_call *call) {
    const placement *p = (const placement *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "images");
    const kt_argument *given = kt_operation_argument(call, 1, "output_shape");
    kt_ints shape, axes;
    if (!x || !kt_operation_ints(call, "spatial_dims", p->spatial_dims, &axes) ||
        !kt_operation_ints(call, "output_shape", given ? given->literal : NULL, &shape))
        return;
    kt_type type = *kt_build_type(b, x);
    kt_value scales = take_numbers(call, 2, "scale", axes.count),
             moves = scales ? take_numbers(call, 3, "translation", axes.count) : 0;
    if (!moves) return;
    if (shape.count != type.rank) {
        kt_trace_fail(call->trace, KT_INVALID, "its output_shape must have %d axes.", type.rank);
        return;
    }
    bool rounds = !kt_dtype_is_float(type.dtype), changed[KT_MAX_RANK] = {false};
    kt_value y = rounds ? kt_build_cast(b, x, KT_F32) : x;
    for (uint32_t i = 0; i < axes.count; i++) {
        int axis = kt_call_axis(call, axes.at[i], type.rank);
        if (axis < 0) return;
        if (shape.at[axis] < 1) {
            kt_trace_fail(call->trace, KT_INVALID, "its output_shape must hold sizes of at least 1.");
            return;
        }
        changed[axis] = true;
        y = kt_resample_axis(b, y, axis, kt_dim_const(b->graph->dims, shape.at[axis]), element(b, scales, i),
                             element(b, moves, i), interpolation_of(p->method), p->antialias);
    }
    for (int axis = 0; axis < type.rank; axis++)
        if (!changed[axis] &&
            !kt_build_require_equal(b, type.dims[axis], kt_dim_const(b->graph->dims, shape.at[axis]),
                                    "an axis that is not scaled, and output_shape,"))
            return;
    call->outputs[0] = rounds ? round_to(b, y, x) : y;
}
KT_OPERATION_WITH(scale_and_translate, "ScaleAndTranslate", KT_OPERATION_IMAGE,
                  "axes stretched and moved, with interpolation", placement, placement_options,
                  call_scale_and_translate)
