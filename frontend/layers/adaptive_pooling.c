/* Pooling to a size that is given, axis by axis (pool.c). */
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

static void pool(const adaptive_pooling *self, kt_layer_call *call, kt_reduction kind) {
    kt_builder *builder = call->trace->builder;
    int rank = (int)self->output_size.count + 2;
    bool channels_first = strcmp(self->data_format, "channels_first") == 0;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, rank, rank)) return;
    kt_trace_at(call->trace, "pool");
    kt_value x = call->inputs[0];
    for (int i = 0; i + 2 < rank; i++)
        x = kt_pool_adaptively(builder, x, channels_first ? i + 2 : i + 1, self->output_size.at[i], kind);
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
