/* Pipeline: layers one behind another as one layer. Unlike a Sequential it is no model: its layers' variables
 * have its name in their paths, and it never knows the shape of its input beforehand. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

typedef struct pipeline {
    kt_layer layer; /* its children are the layers */
} pipeline;

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    const json_t *layers = json_object_get(config, "layers");
    const char *path = layer->path ? layer->path : layer->name;
    kt_status status = KT_OK;
    layer->child_group = "layers";
    if (json_array_size(layers) == 0)
        return kt_layer_reject(layer, context, KT_INVALID, "layers", "must be a list of layers.");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        kt_layer *child = kt_layer_from_config(context, json_array_get(layers, i), path);
        if (child && kt_layer_usual_outputs(child) != 1)
            status = kt_layer_reject(layer, context, KT_UNSUPPORTED, "layers",
                                     "holds “%s”, which gives several outputs.", child->name);
        if (child)
            KT_PUSH(context->arena, &layer->children, child);
        else
            status = KT_UNSUPPORTED;
    }
    return status;
}

static void write_config(const kt_layer *layer, json_t *config) {
    json_t *layers = json_array();
    for (uint32_t i = 0; i < layer->children.count; i++)
        json_array_append_new(layers, kt_layer_get_config(layer->children.at[i]));
    json_object_set_new(config, "layers", layers);
}

static void call_layers(kt_layer *layer, kt_layer_call *call) {
    kt_arena *arena = call->trace->context->arena;
    if (!call->argument_count) return;
    kt_argument x = call->arguments[0];
    if (x.kind == KT_ARGUMENT_TENSOR) x.mask = call->masks[0];
    for (uint32_t i = 0; i < layer->children.count; i++) {
        kt_layer *child = layer->children.at[i];
        kt_value *values = KT_NEW_ARRAY(arena, kt_value, kt_layer_output_count(child));
        kt_value *masks = KT_NEW_ARRAY(arena, kt_value, kt_layer_output_count(child));
        kt_layer_call_with(child, call->trace, &x, 1, values, masks);
        if (!values[0]) return;
        x = (kt_argument){.kind = KT_ARGUMENT_TENSOR, .value = values[0], .mask = masks[0]};
    }
    call->outputs[0] = x.value;
    call->output_masks[0] = x.mask;
}

const kt_layer_class kt_class_pipeline = {
    .name = "Pipeline",
    .module = "keras.layers",
    .doc = "layers one behind another",
    .bytes = sizeof(pipeline),
    .keeps_input_dtype = true,
    .plain = true,
    .read_config = read_config,
    .write_config = write_config,
    .call = call_layers,
};
