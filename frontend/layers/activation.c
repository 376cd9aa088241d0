/* Activation, ReLU and Softmax: the activations as layers. */
#include "frontend/layers/layers_impl.h"

#include <math.h>

/* ---- Activation
 * ---------------------------------------------------------------------------------------------- */
typedef struct activation {
    kt_layer layer;
    kt_activation activation;
} activation;

static const kt_option activation_options[] = {
    KT_FIELD(activation, activation, ACTIVATION, NULL),
    KT_OPTIONS_END,
};

static void call_activation(kt_layer *layer, kt_layer_call *call) {
    if (!kt_call_has_inputs(call, 1)) return;
    call->outputs[0] = kt_apply_activation(call, &((activation *)layer)->activation, call->inputs[0]);
}

const kt_layer_class kt_class_activation = {
    .name = "Activation",
    .module = "keras.layers",
    .doc = "an activation by name",
    .bytes = sizeof(activation),
    .options = activation_options,
    .supports_masking = true,
    .call = call_activation,
};
