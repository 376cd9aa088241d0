/* SpectralNormalization: a layer whose kernel is kept at spectral norm 1 in training. At prediction it is the
 * layer itself; the vector that training iterates is a weight all the same. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

typedef struct spectral_normalization {
    kt_layer layer; /* its one child is the wrapped layer */
    int64_t power_iterations;
} spectral_normalization;

static const kt_option options[] = {
    KT_FIELD(spectral_normalization, power_iterations, INT, "1", .inert = true),
    KT_OPTIONS_END,
};

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const spectral_normalization *self = (const spectral_normalization *)layer;
    return kt_check_range(layer, context, "power_iterations", self->power_iterations, 1);
}

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    const char *path = layer->path ? layer->path : layer->name;
    kt_layer *child = kt_layer_from_config(context, json_object_get(config, "layer"), path);
    if (!child) return KT_UNSUPPORTED;
    layer->child_group = "layer";
    KT_PUSH(context->arena, &layer->children, child);
    return KT_OK;
}

static void write_config(const kt_layer *layer, json_t *config) {
    json_object_set_new(config, "layer", kt_layer_get_config(layer->children.at[0]));
}

/* The wrapped layer's kernel, or NULL; known once that is built. */
static const kt_weight *find_kernel(const kt_layer *child) {
    for (uint32_t i = 0; i < child->weights.count; i++) {
        const char *name = child->weights.at[i].name;
        if (strcmp(name, "kernel") == 0 || strcmp(name, "embeddings") == 0) return &child->weights.at[i];
    }
    return NULL;
}

static void call(kt_layer *layer, kt_layer_call *call) {
    kt_layer *child = layer->children.at[0];
    kt_trace *trace = call->trace;
    if (trace->training) {
        kt_trace_fail(trace, KT_UNSUPPORTED, "%s in training mode is not supported yet.", layer->class->name);
        return;
    }
    kt_layer_call_with(child, trace, call->arguments, call->argument_count, call->outputs,
                       call->output_masks);
    const kt_weight *kernel = find_kernel(child);
    if (!kernel) {
        if (!child->broken) kt_trace_fail(trace, KT_INVALID, "the layer “%s” has no kernel.", child->name);
        return;
    }
    if (!layer->weights.count) { /* Keras stores the kernel with the wrapper, too */
        kt_layer_add_weight(layer, trace, kernel->name, &kernel->type, kernel->initializer, true);
        kt_type type = kernel->type;
        type.dims[0] = kt_dim_const(kt_call_dims(call), 1);
        type.dims[1] = kernel->type.dims[kernel->type.rank - 1];
        type.rank = 2;
        kt_layer_add_weight(layer, trace, "vector_u", &type, NULL, false);
    }
    if (call->outputs[0] && call->input_count)
        call->outputs[0] = kt_build_cast(trace->builder, call->outputs[0], kt_call_type(call, 0)->dtype);
}

const kt_layer_class kt_class_spectral_normalization = {
    .name = "SpectralNormalization",
    .module = "keras.layers",
    .doc = "a layer whose kernel has spectral norm 1",
    .bytes = sizeof(spectral_normalization),
    .options = options,
    .check = check,
    .read_config = read_config,
    .write_config = write_config,
    .call = call,
};
