/* UpSampling1D–3D: each element becomes several, along the axes of space. */
#include "frontend/layers/images/resize_impl.h"

#include <string.h>

typedef struct upsampling {
    kt_layer layer;
    int64_t length; /* UpSampling1D's size */
    kt_ints size;
    const char *data_format, *interpolation;
} upsampling;

// clang-format off
#define DATA_FORMAT \
    KT_FIELD(upsampling, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first")
static const kt_option options_1d[] = {
    {"size", KT_OPTION_INT, offsetof(upsampling, length), "2"},
    KT_OPTIONS_END,
};
static const kt_option options_2d[] = {
    KT_FIELD(upsampling, size, INTS, "[2, 2]", .count = 2),
    DATA_FORMAT,
    KT_FIELD(upsampling, interpolation, CHOICE, "\"nearest\"", .choices = KT_INTERPOLATIONS),
    KT_OPTIONS_END,
};
static const kt_option options_3d[] = {
    KT_FIELD(upsampling, size, INTS, "[2, 2, 2]", .count = 3),
    DATA_FORMAT,
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_1d(kt_layer *layer, kt_layer_context *context) {
    upsampling *self = (upsampling *)layer;
    self->size = (kt_ints){1, {self->length}};
    return kt_check_range(layer, context, "size", self->length, 1);
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const upsampling *self = (const upsampling *)layer;
    return kt_check_ranges(layer, context, "size", &self->size, 1);
}

/* Each element `times` times along the axis. */
static kt_value repeat(kt_builder *b, kt_value x, int axis, int64_t times) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_dim shape[KT_MAX_RANK];
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        axes[i] = i > axis ? i + 1 : i;
        shape[axes[i]] = type.dims[i];
    }
    shape[axis + 1] = kt_dim_const(dims, times);
    x = kt_build_broadcast(b, x, type.rank + 1, shape, axes);
    type.dims[axis] = kt_dim_mul_const(dims, type.dims[axis], times);
    return kt_build_reshape(b, x, type.rank, type.dims);
}

/* x moved by one along the axis, its end element twice: forward, element i becomes what stood at i - 1. */
static kt_value shift(kt_builder *b, kt_value x, int axis, bool forward) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_dim size = type.dims[axis];
    kt_dim before_last = kt_dim_add_const(dims, size, -1);
    kt_dim start[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        start[i] = kt_dim_const(dims, 0);
        strides[i] = 1;
    }
    kt_dim one = kt_dim_const(dims, 1);
    if (!forward) start[axis] = before_last;
    type.dims[axis] = forward ? one : size;
    kt_value end = kt_build_slice(b, x, start, type.dims, strides);
    start[axis] = kt_dim_const(dims, forward ? 0 : 1);
    type.dims[axis] = forward ? before_last : size;
    kt_value rest = kt_build_slice(b, x, start, type.dims, strides);
    kt_value parts[] = {forward ? end : rest, forward ? rest : end};
    return kt_build_concat(b, parts, 2, axis);
}

/* Linear interpolation along the axis: between the centres of elements, constant outside of them. New element
 * i of an old one lies at (i + 1/2) / times - 1/2 from its centre, and the rest of the way is a neighbour's.
 */
static kt_value interpolate(kt_builder *b, kt_value x, int axis, int64_t times) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_value before = repeat(b, shift(b, x, axis, true), axis, times);
    kt_value behind = repeat(b, shift(b, x, axis, false), axis, times);
    x = repeat(b, x, axis, times);
    kt_type step = {.dtype = type.dtype, .rank = 2, .dims = {type.dims[axis], kt_dim_const(dims, times)}};
    kt_value place = kt_build_iota(b, &step, 1);
    place = kt_build_add(b, place, kt_build_like(b, place, 0.5));
    place = kt_build_div(b, place, kt_build_like(b, place, (double)times));
    place = kt_build_sub(b, place, kt_build_like(b, place, 0.5));
    kt_dim length = kt_build_type(b, x)->dims[axis];
    place = kt_along_axis(b, kt_build_reshape(b, place, 1, &length), x, axis);
    kt_value neighbour =
        kt_build_select(b, kt_build_lt(b, place, kt_build_like(b, place, 0)), before, behind);
    kt_value weight = kt_build_abs(b, place);
    kt_value rest = kt_build_sub(b, kt_build_like(b, weight, 1), weight);
    return kt_build_add(b, kt_build_mul(b, x, rest), kt_build_mul(b, neighbour, weight));
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const upsampling *self = (const upsampling *)layer;
    kt_builder *builder = call->trace->builder;
    int rank = (int)self->size.count + 2;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, rank, rank)) return;
    int first = self->data_format && strcmp(self->data_format, "channels_first") == 0 ? 2 : 1;
    const char *interpolation = self->interpolation ? self->interpolation : "nearest";
    bool nearest = strcmp(interpolation, "nearest") == 0, linear = strcmp(interpolation, "bilinear") == 0;
    kt_trace_at(call->trace, "upsample");
    kt_value x = call->inputs[0];
    if (!nearest) x = kt_build_cast(builder, x, layer->compute_dtype);
    for (uint32_t i = 0; x && i < self->size.count; i++) {
        int axis = first + (int)i;
        int64_t times = self->size.at[i];
        if (nearest) {
            x = repeat(builder, x, axis, times);
        } else if (linear) {
            x = interpolate(builder, x, axis, times);
        } else {
            kt_dim size = kt_dim_mul_const(kt_call_dims(call), kt_build_type(builder, x)->dims[axis], times);
            x = kt_resize_axis(builder, x, axis, size, interpolation, false);
        }
    }
    call->outputs[0] = x;
}

const kt_layer_class kt_class_up_sampling_1d = {
    .name = "UpSampling1D",
    .module = "keras.layers",
    .doc = "each step of sequences several times",
    .bytes = sizeof(upsampling),
    .options = options_1d,
    .check = check_1d,
    .call = call,
};

const kt_layer_class kt_class_up_sampling_2d = {
    .name = "UpSampling2D",
    .module = "keras.layers",
    .doc = "larger images, by repetition or interpolation",
    .bytes = sizeof(upsampling),
    .options = options_2d,
    .check = check,
    .call = call,
};

const kt_layer_class kt_class_up_sampling_3d = {
    .name = "UpSampling3D",
    .module = "keras.layers",
    .doc = "larger volumes, by repetition",
    .bytes = sizeof(upsampling),
    .options = options_3d,
    .check = check,
    .call = call,
};
