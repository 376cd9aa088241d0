/* Layers that keras.applications defines for its own models: LayerScale (ConvNeXt) and CustomScaleLayer
 * (InceptionResNetV2). */
#include "frontend/layers/layers_impl.h"

typedef struct scaling {
    kt_layer layer;
    double init_values; /* LayerScale: what gamma begins with */
    int64_t projection_dim;
    double scale; /* CustomScaleLayer */
} scaling;

// clang-format off
static const kt_option layer_scale_options[] = {
    KT_FIELD(scaling, init_values, FLOAT, NULL, .inert = true),
    KT_FIELD(scaling, projection_dim, INT, NULL),
    KT_OPTIONS_END,
};
static const kt_option custom_scale_options[] = {
    KT_FIELD(scaling, scale, FLOAT, NULL),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_layer_scale(kt_layer *layer, kt_layer_context *context) {
    return kt_check_range(layer, context, "projection_dim", ((scaling *)layer)->projection_dim, 1);
}

static kt_status build_layer_scale(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const scaling *self = (const scaling *)layer;
    kt_type gamma = kt_type_of(kt_call_dims(call), layer->variable_dtype, 1, &self->projection_dim);
    json_t *initializer =
        json_pack("{s:s, s:{s:f}}", "class_name", "Constant", "config", "value", self->init_values);
    kt_arena_defer(trace->context->arena, kt_json_release, initializer);
    kt_layer_add_weight(layer, trace, "gamma", &gamma, initializer, true);
    return KT_OK;
}

static void call_layer_scale(kt_layer *layer, kt_layer_call *call) {
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 1)) return;
    kt_trace_at(call->trace, "scale");
    kt_value x = call->inputs[0], gamma = kt_trace_weight(call->trace, layer, 0);
    kt_build_broadcast_pair(builder, &x, &gamma);
    call->outputs[0] = kt_build_mul(builder, x, gamma);
}

static void call_custom_scale(kt_layer *layer, kt_layer_call *call) {
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 2)) return;
    kt_trace_at(call->trace, "add");
    kt_value x = call->inputs[0], y = call->inputs[1];
    y = kt_build_mul(builder, y, kt_build_like(builder, y, ((scaling *)layer)->scale));
    kt_build_broadcast_pair(builder, &x, &y);
    call->outputs[0] = kt_build_add(builder, x, y);
}

const kt_layer_class kt_class_layer_scale = {
    .name = "LayerScale",
    .module = "keras.src.applications.convnext",
    .doc = "x * gamma along the last axis",
    .bytes = sizeof(scaling),
    .options = layer_scale_options,
    .check = check_layer_scale,
    .build = build_layer_scale,
    .call = call_layer_scale,
};

const kt_layer_class kt_class_custom_scale_layer = {
    .name = "CustomScaleLayer",
    .module = "keras.src.applications.inception_resnet_v2",
    .doc = "the first input plus a multiple of the second",
    .bytes = sizeof(scaling),
    .options = custom_scale_options,
    .call = call_custom_scale,
};
