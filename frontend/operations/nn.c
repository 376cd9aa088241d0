/* Operation nodes of keras.ops.nn: the activations, as functions. Options are parameters of the activation.
 */
#include "frontend/operations/operations_impl.h"

enum { OPTIONS = 2 };
typedef struct function {
    kt_layer layer;
    const json_t *options[OPTIONS]; /* in the order of the class's table */
} function;

static void call_activation(kt_layer *layer, kt_layer_call *call, const char *name) {
    kt_activation activation;
    kt_operand x;
    if (!kt_activation_find(name, &activation)) KT_BUG("there is no activation %s", name);
    const kt_option *option = layer->class->options;
    for (int i = 0; option && option->name; i++, option++) {
        const json_t *value = ((const function *)layer)->options[i];
        bool is_number = json_is_number(value) || json_is_boolean(value);
        double number = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
        if (is_number && kt_activation_set(&activation, option->name, number)) continue;
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "the option '%s' of %s must be one number.", option->name,
                      layer->class->name);
        return;
    }
    if (!kt_operation_operand(call, 0, "x", &x)) return;
    kt_value input = kt_operand_cast(call, &x, x.value ? x.dtype : kt_dtype_to_float(x.dtype));
    call->outputs[0] = kt_apply_activation(call, &activation, input);
}

#define FUNCTION(c_name, keras_name, activation, table, doc)                                                 \
    static void call_##c_name(kt_layer *layer, kt_layer_call *call) {                                        \
        call_activation(layer, call, activation);                                                            \
    }                                                                                                        \
    KT_OPERATION_WITH(c_name, keras_name, KT_OPERATION_NN, doc, function, table, call_##c_name)
#define PARAMETER(place, name, default_json)                                                                 \
    {(name), KT_OPTION_JSON, offsetof(function, options) + (place) * sizeof(const json_t *), (default_json)}

// clang-format off
static const kt_option alpha[] = {PARAMETER(0, "alpha", "1.0"), KT_OPTIONS_END};
static const kt_option approximate[] = {PARAMETER(0, "approximate", "true"), KT_OPTIONS_END};
static const kt_option axis[] = {PARAMETER(0, "axis", "-1"), KT_OPTIONS_END};
static const kt_option b[] = {PARAMETER(0, "b", "4"), KT_OPTIONS_END};
static const kt_option half[] = {PARAMETER(0, "threshold", "0.5"), KT_OPTIONS_END};
static const kt_option slope[] = {PARAMETER(0, "negative_slope", "0.2"), KT_OPTIONS_END};
static const kt_option threshold[] = {PARAMETER(0, "threshold", NULL), PARAMETER(1, "default_value", NULL), KT_OPTIONS_END};

FUNCTION(celu,           "Celu",          "celu",           alpha,       "the activation celu")
FUNCTION(elu,            "Elu",           "elu",            alpha,       "the activation elu")
FUNCTION(gelu,           "Gelu",          "gelu",           approximate, "the activation gelu")
FUNCTION(glu,            "Glu",           "glu",            axis,        "the activation glu")
FUNCTION(hard_shrink,    "HardShrink",    "hard_shrink",    half,        "the activation hard_shrink")
FUNCTION(hard_sigmoid,   "HardSigmoid",   "hard_sigmoid",   NULL,        "the activation hard_sigmoid")
FUNCTION(hard_silu,      "HardSilu",      "hard_silu",      NULL,        "the activation hard_silu")
FUNCTION(hard_tanh,      "HardTanh",      "hard_tanh",      NULL,        "the activation hard_tanh")
FUNCTION(leaky_relu,     "LeakyRelu",     "leaky_relu",     slope,       "the activation leaky_relu")
FUNCTION(log_sigmoid,    "LogSigmoid",    "log_sigmoid",    NULL,        "the activation log_sigmoid")
FUNCTION(log_softmax,    "LogSoftmax",    "log_softmax",    axis,        "the activation log_softmax")
FUNCTION(relu,           "Relu",          "relu",           NULL,        "the activation relu")
FUNCTION(relu6,          "Relu6",         "relu6",          NULL,        "the activation relu6")
FUNCTION(selu,           "Selu",          "selu",           NULL,        "the activation selu")
FUNCTION(sigmoid,        "Sigmoid",       "sigmoid",        NULL,        "the activation sigmoid")
FUNCTION(silu,           "Silu",          "silu",           NULL,        "the activation silu")
FUNCTION(soft_shrink,    "SoftShrink",    "soft_shrink",    half,        "the activation soft_shrink")
FUNCTION(softmax,        "Softmax",       "softmax",        axis,        "the activation softmax")
FUNCTION(softplus,       "Softplus",      "softplus",       NULL,        "the activation softplus")
FUNCTION(softsign,       "Softsign",      "softsign",       NULL,        "the activation softsign")
FUNCTION(sparse_plus,    "SparsePlus",    "sparse_plus",    NULL,        "the activation sparse_plus")
FUNCTION(sparse_sigmoid, "SparseSigmoid", "sparse_sigmoid", NULL,        "the activation sparse_sigmoid")
FUNCTION(sparsemax,      "Sparsemax",     "sparsemax",      axis,        "the activation sparsemax")
FUNCTION(squareplus,     "Squareplus",    "squareplus",     b,           "the activation squareplus")
FUNCTION(tanh_shrink,    "TanhShrink",    "tanh_shrink",    NULL,        "the activation tanh_shrink")
FUNCTION(threshold,      "Threshold",     "threshold",      threshold,   "the activation threshold")
// clang-format on
