/* Sequential: a model in which each layer takes what the one before gives. */
#include "frontend/layers/layers_impl.h"
#include "frontend/models/models_impl.h"

#include <string.h>

typedef struct sequential {
    kt_layer layer; /* its children are the layers without the InputLayer, as Keras counts them */
    kt_layer_context *context;
    kt_layer *input_layer; /* NULL: the input's type is known at the first call only */
} sequential;

/* How many layers Keras leaves out when it trains: Equalization gives its symbolic input back, so that what a
 * model begins with is not in its graph. */
static uint32_t count_left_out(const kt_layer *layer, const kt_trace *trace) {
    uint32_t count = 0;
    while (trace->training && count < layer->children.count &&
           layer->children.at[count]->class == &kt_class_equalization)
        count++;
    return count;
}

static void call_sequential(kt_layer *layer, kt_layer_call *call) {
    const sequential *model = (const sequential *)layer;
    kt_trace *trace = call->trace;
    kt_arena *arena = trace->context->arena;
    if (model->input_layer && call->input_count != 1) {
        kt_trace_fail(trace, KT_INVALID, "the model has one input, but is called with %u.",
                      call->input_count);
        return;
    }
    uint32_t count = call->input_count, outer_call = trace->call;
    kt_argument *items = KT_NEW_ARRAY(arena, kt_argument, count);
    for (uint32_t i = 0; i < count; i++) {
        kt_value x = call->inputs[i];
        if (model->input_layer) x = kt_model_take_input(trace, model->input_layer, x);
        items[i] = (kt_argument){.kind = KT_ARGUMENT_TENSOR, .value = x, .mask = call->masks[i]};
    }
    kt_table totals = {0}, positions = {0}; /* by layer: how often it stands in the list, and did so far */
    for (uint32_t i = 0; i < layer->children.count; i++) {
        const void *address = layer->children.at[i];
        ++*kt_table_add(&totals, arena, &address, sizeof address, 0);
        kt_table_add(&positions, arena, &address, sizeof address, 0);
    }
    for (uint32_t i = count_left_out(layer, trace); i < layer->children.count; i++) {
        if (!kt_model_may_call(trace)) return;
        kt_layer *child = layer->children.at[i];
        uint32_t outputs = kt_layer_output_count(child);
        kt_value *values = KT_NEW_ARRAY(arena, kt_value, outputs),
                 *masks = KT_NEW_ARRAY(arena, kt_value, outputs);
        kt_argument list = {.kind = KT_ARGUMENT_LIST, .items = items, .count = count};
        const void *address = child;
        uint32_t *position = kt_table_find(&positions, &address, sizeof address);
        trace->call = outer_call * *kt_table_find(&totals, &address, sizeof address) + (*position)++;
        kt_layer_call_with(child, trace, count == 1 ? items : &list, 1, values, masks);
        trace->call = outer_call;
        count = kt_layer_usual_outputs(child);
        items = KT_NEW_ARRAY(arena, kt_argument, count);
        for (uint32_t o = 0; o < count; o++)
            items[o] = (kt_argument){.kind = KT_ARGUMENT_TENSOR, .value = values[o], .mask = masks[o]};
    }
    for (uint32_t i = 0; i < count && i < call->output_count; i++) {
        call->outputs[i] = items[i].value;
        call->output_masks[i] = items[i].mask;
    }
}

static uint32_t count_outputs(const kt_layer *layer) {
    return layer->children.count ? kt_layer_usual_outputs(layer->children.at[layer->children.count - 1]) : 1;
}

kt_layer *kt_sequential_input_layer(const kt_layer *layer) {
    return ((const sequential *)layer)->input_layer;
}

/* ---- building in C --------------------------------------------------------------------------- */
kt_layer *kt_sequential_create(kt_layer_context *context, const char *name) {
    sequential *model = KT_NEW(context->arena, sequential);
    model->layer.class = &kt_class_sequential;
    model->layer.name = model->layer.path = kt_arena_string(context->arena, name);
    model->layer.trainable = true;
    model->layer.child_group = "layers";
    model->context = context;
    return &model->layer;
}

static void add(sequential *model, kt_layer *layer) {
    kt_dtype dtype;
    kt_ints shape;
    if (!model->input_layer && !model->layer.children.count && kt_layer_input_spec(layer, &dtype, &shape))
        model->input_layer = layer;
    else
        KT_PUSH(model->context->arena, &model->layer.children, layer);
}

void kt_sequential_add(kt_layer *sequential_layer, kt_layer *layer) {
    sequential *model = (sequential *)sequential_layer;
    if (!layer) return;
    add(model, layer);
    kt_layer_place(layer, model->context->arena, model->layer.path);
}

/* ---- configuration --------------------------------------------------------------------------- */
/* Without an InputLayer, Keras notes the shape that the model was built for. */
static kt_layer *make_input_layer(sequential *model, const json_t *shape, const char *path) {
    kt_layer_context *context = model->context;
    json_t *serialized = json_pack("{s:s, s:s, s:{s:s, s:O, s:s}}", "module", "keras.layers", "class_name",
                                   "InputLayer", "config", "name", "input_layer", "batch_shape", shape,
                                   "dtype", kt_dtype_keras_name(model->layer.children.at[0]->compute_dtype));
    kt_layer *made = kt_layer_from_config(context, serialized, path);
    json_decref(serialized);
    return made;
}

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    sequential *model = (sequential *)layer;
    const char *path = layer->path ? layer->path : layer->name;
    const json_t *layers = json_object_get(config, "layers");
    layer->child_group = "layers";
    model->context = context;
    if (!json_is_array(layers))
        return kt_diag_add(context->diag, KT_INVALID, path,
                           "the configuration of a Sequential has no list “layers”.");
    size_t count = json_array_size(layers);
    kt_layer **made = KT_NEW_ARRAY(context->arena, kt_layer *, count);
    kt_table shared = {0};
    kt_status status = KT_OK;
    for (size_t i = 0; i < count; i++) {
        const json_t *serialized = json_array_get(layers, i);
        /* A layer that stands in the list twice is written twice, with one id. */
        const json_t *id = json_object_get(serialized, "shared_object_id");
        json_int_t number = json_integer_value(id);
        uint32_t first =
            id ? *kt_table_add(&shared, context->arena, &number, sizeof number, (uint32_t)i) : (uint32_t)i;
        made[i] = first < i ? made[first] : kt_layer_from_config(context, serialized, path);
        if (made[i])
            add(model, made[i]);
        else
            status = KT_UNSUPPORTED;
    }
    const json_t *shape = json_object_get(config, "build_input_shape");
    if (status != KT_OK || model->input_layer || !json_is_array(shape) || !layer->children.count)
        return status;
    model->input_layer = make_input_layer(model, shape, path);
    return model->input_layer ? KT_OK : KT_INVALID;
}

static void write_config(const kt_layer *layer, json_t *config) {
    const sequential *model = (const sequential *)layer;
    json_t *layers = json_array();
    if (model->input_layer) json_array_append_new(layers, kt_layer_get_config(model->input_layer));
    for (uint32_t i = 0; i < layer->children.count; i++)
        json_array_append_new(layers, kt_layer_get_config(layer->children.at[i]));
    json_object_set_new(config, "layers", layers);
    if (!model->input_layer) return;
    json_t *input = kt_layer_get_config(model->input_layer);
    json_object_set(config, "build_input_shape",
                    json_object_get(json_object_get(input, "config"), "batch_shape"));
    json_decref(input);
}

const kt_layer_class kt_class_sequential = {
    .name = "Sequential",
    .module = "keras",
    .doc = "a model in which each layer takes what the one before gives",
    .bytes = sizeof(sequential),
    .keeps_input_dtype = true,
    .read_config = read_config,
    .write_config = write_config,
    .call = call_sequential,
    .output_count = count_outputs,
};
