/* InputLayer: where a model's inputs come from. It computes nothing; models make a parameter of each. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

typedef struct input_layer {
    kt_layer layer;
    kt_ints batch_shape;
    const json_t *shape; /* batch_shape without the batch; batch_size goes with it */
    int64_t batch_size;
    bool sparse, ragged, optional;
} input_layer;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(input_layer, batch_shape, SHAPE, "null"),
    KT_FIELD(input_layer, shape, JSON, "null", .unwritten = true),
    KT_FIELD(input_layer, batch_size, OPTIONAL_INT, "null", .unwritten = true),
    {"dtype", KT_OPTION_JSON, offsetof(kt_layer, dtype), "\"float32\""},
    KT_FIELD(input_layer, sparse, BOOL, "false"),
    KT_FIELD(input_layer, ragged, BOOL, "false"),
    KT_FIELD(input_layer, optional, BOOL, "false"),
    KT_UNSUPPORTED_UNWRITTEN("input_tensor"),
    KT_OPTIONS_END,
};
// clang-format on

/* shape and batch_size say the same as batch_shape. */
static kt_status take_shape(input_layer *input, kt_layer_context *context) {
    const kt_layer *layer = &input->layer;
    if (input->batch_shape.count) {
        return kt_layer_reject(layer, context, KT_INVALID, "shape",
                               "must not be given together with batch_shape.");
    }
    size_t count = json_array_size(input->shape);
    bool valid = json_is_array(input->shape) && count < KT_MAX_RANK;
    input->batch_shape.count = (uint32_t)count + 1;
    input->batch_shape.at[0] = input->batch_size == KT_NONE_INT ? -1 : input->batch_size;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *item = json_array_get(input->shape, i);
        valid = json_is_null(item) || (json_is_integer(item) && json_integer_value(item) >= 0);
        input->batch_shape.at[i + 1] = json_is_null(item) ? -1 : json_integer_value(item);
    }
    if (valid) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "shape", "must be a list of at most %d sizes.",
                           KT_MAX_RANK - 1);
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    input_layer *input = (input_layer *)layer;
    kt_status status = KT_OK;
    if (input->shape) KT_COLLECT(status, take_shape(input, context));
    if (input->batch_shape.count == 0) {
        status =
            kt_layer_reject(layer, context, KT_INVALID, "batch_shape", "must have at least the batch axis.");
    }
    KT_COLLECT(status, kt_check_ranges(layer, context, "batch_shape", &input->batch_shape, -1));
    if (input->sparse) {
        status = kt_layer_reject(layer, context, KT_UNSUPPORTED, "sparse",
                                 "is not supported; feed dense tensors.");
    }
    if (input->ragged) {
        status = kt_layer_reject(layer, context, KT_UNSUPPORTED, "ragged",
                                 "is not supported; feed dense tensors.");
    }
    if (input->layer.dtype && !json_is_string(input->layer.dtype)) {
        status = kt_layer_reject(layer, context, KT_INVALID, "dtype", "must be a dtype's name.");
    }
    return status;
}

static void call(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    if (kt_call_has_inputs(call, 1)) call->outputs[0] = call->inputs[0];
}

bool kt_layer_input_spec(const kt_layer *layer, kt_dtype *out_dtype, kt_ints *out_batch_shape) {
    if (layer->class != &kt_class_input_layer) return false;
    *out_dtype = layer->compute_dtype;
    *out_batch_shape = ((const input_layer *)layer)->batch_shape;
    return true;
}

const kt_layer_class kt_class_input_layer = {
    .name = "InputLayer",
    .module = "keras.layers",
    .doc = "an input of a model: its name, shape and dtype",
    .bytes = sizeof(input_layer),
    .options = options,
    .keeps_input_dtype = true,
    .plain = true,
    .supports_masking = true,
    .check = check,
    .call = call,
};
