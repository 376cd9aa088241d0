/* Pooling to a size that is given: of size elements, place i of `places` gets the largest element, or the
 * mean, of those from floor(i * size / places) to ceil((i + 1) * size / places).
 *
 * Axis by axis. Where places divides size, these are even windows. Else each window has ceil(size / places)
 * elements or one more: both sizes are slid over the axis by single steps, put one behind the other, and the
 * places gathered from there. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

typedef struct adaptive_pooling {
    kt_layer layer;
    kt_ints output_size;
    const char *data_format;
} adaptive_pooling;

// clang-format off
#define OPTIONS(space) { \
    KT_FIELD(adaptive_pooling, output_size, INTS, NULL, .count = (space)), \
    KT_FIELD(adaptive_pooling, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"), \
    KT_OPTIONS_END, \
}
// clang-format on

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    return kt_check_ranges(layer, context, "output_size", &((adaptive_pooling *)layer)->output_size, 1);
}

static kt_value pool_evenly(kt_builder *builder, kt_value x, int axis, int64_t window, int64_t stride,
                            kt_reduction kind) {
    kt_attrs_reduce_window attrs =
        kt_still_window(builder->graph->dims, kt_build_type(builder, x)->rank, kind);
    attrs.window.at[axis] = window;
    attrs.strides.at[axis] = stride;
    kt_value y = kt_build_reduce_window(builder, x, &attrs);
    return kind == KT_REDUCE_SUM ? kt_build_div(builder, y, kt_build_like(builder, y, (double)window)) : y;
}

static kt_value pool_unevenly(kt_builder *builder, kt_value x, int axis, int64_t size, int64_t places,
                              kt_reduction kind) {
    int64_t least = (size - 1) / places + 1;
    /* Windows of one element more come behind; an axis that is too short for them needs none. */
    kt_value both[2] = {pool_evenly(builder, x, axis, least, 1, kind)};
    uint32_t count = 1;
    if (least < size) both[count++] = pool_evenly(builder, x, axis, least + 1, 1, kind);
    kt_type type = kt_type_of(builder->graph->dims, KT_I64, 1, &places);
    kt_value place = kt_build_iota(builder, &type, 0), one = kt_build_like(builder, place, 1);
    kt_value sizes = kt_build_like(builder, place, (double)size);
    kt_value all = kt_build_like(builder, place, (double)places);
    kt_value first = kt_build_div(builder, kt_build_mul(builder, place, sizes), all);
    kt_value end = kt_build_mul(builder, kt_build_add(builder, place, one), sizes);
    end = kt_build_add(builder, kt_build_div(builder, kt_build_sub(builder, end, one), all), one);
    kt_value is_least =
        kt_build_eq(builder, kt_build_sub(builder, end, first), kt_build_like(builder, place, (double)least));
    kt_value behind = kt_build_like(builder, place, (double)(size - least + 1));
    kt_value from = kt_build_select(builder, is_least, first, kt_build_add(builder, first, behind));
    return kt_build_gather(builder, kt_build_concat(builder, both, count, axis), from, axis, 0);
}

static void pool(const adaptive_pooling *self, kt_layer_call *call, kt_reduction kind) {
    kt_builder *builder = call->trace->builder;
    int rank = (int)self->output_size.count + 2;
    bool channels_first = strcmp(self->data_format, "channels_first") == 0;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, rank, rank)) return;
    kt_trace_at(call->trace, "pool");
    kt_value x = call->inputs[0];
    for (int i = 0; i + 2 < rank; i++) {
        int axis = channels_first ? i + 2 : i + 1;
        int64_t size, places = self->output_size.at[i];
        if (!kt_dim_is_const(builder->graph->dims, kt_call_type(call, 0)->dims[axis], &size) || size < 1) {
            kt_trace_fail(call->trace, KT_UNSUPPORTED,
                          "the size of axis %d must be known, and at least 1, to pool it to %lld places.",
                          axis, (long long)places);
            return;
        }
        if (size % places == 0)
            x = pool_evenly(builder, x, axis, size / places, size / places, kind);
        else
            x = pool_unevenly(builder, x, axis, size, places, kind);
    }
    call->outputs[0] = x;
}

static void call_max(kt_layer *layer, kt_layer_call *call) {
    pool((adaptive_pooling *)layer, call, KT_REDUCE_MAXIMUM);
}
static void call_average(kt_layer *layer, kt_layer_call *call) {
    pool((adaptive_pooling *)layer, call, KT_REDUCE_SUM);
}

#define ADAPTIVE_POOLING(symbol, keras_name, space, kind, text)                                              \
    static const kt_option symbol##_options[] = OPTIONS(space);                                              \
    const kt_layer_class kt_class_##symbol = {                                                               \
        .name = (keras_name),                                                                                \
        .module = "keras.layers",                                                                            \
        .doc = (text),                                                                                       \
        .bytes = sizeof(adaptive_pooling),                                                                   \
        .options = symbol##_options,                                                                         \
        .check = check,                                                                                      \
        .call = call_##kind,                                                                                 \
    };

// clang-format off
ADAPTIVE_POOLING(adaptive_max_pooling_1d, "AdaptiveMaxPooling1D", 1, max,
                 "sequences made a given size by taking the largest elements")
ADAPTIVE_POOLING(adaptive_max_pooling_2d, "AdaptiveMaxPooling2D", 2, max,
                 "images made a given size by taking the largest elements")
ADAPTIVE_POOLING(adaptive_max_pooling_3d, "AdaptiveMaxPooling3D", 3, max,
                 "volumes made a given size by taking the largest elements")
ADAPTIVE_POOLING(adaptive_average_pooling_1d, "AdaptiveAveragePooling1D", 1, average,
                 "sequences made a given size by taking means")
ADAPTIVE_POOLING(adaptive_average_pooling_2d, "AdaptiveAveragePooling2D", 2, average,
                 "images made a given size by taking means")
ADAPTIVE_POOLING(adaptive_average_pooling_3d, "AdaptiveAveragePooling3D", 3, average,
                 "volumes made a given size by taking means")
// clang-format on
