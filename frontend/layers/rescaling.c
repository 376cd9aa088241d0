/* Rescaling: x * scale + offset, where scale and offset are numbers or nested lists that are broadcast. */
#include "frontend/layers/layers_impl.h"
#include "ir/element.h"

typedef struct rescaling {
    kt_layer layer;
    const json_t *scale, *offset;
} rescaling;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(rescaling, scale, JSON, NULL),
    KT_FIELD(rescaling, offset, JSON, "0.0"),
    KT_OPTIONS_END,
};
// clang-format on

/* The numbers of an option: what stands in it, or in an array that Keras wrapped as {"class_name":
 * "__numpy__"}. */
static const json_t *unwrap(const json_t *value) {
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    if (!class_name || !kt_options_listed("__numpy__ __tensor__", class_name)) return value;
    return json_object_get(json_object_get(value, "config"), "value");
}

/* Is value, at this depth, an array of one shape? The first way down to a number reads the shape off, and
 * ends that; all others are compared with it. */
static bool has_shape(const json_t *value, uint32_t depth, kt_ints *shape, bool *ends) {
    if (!json_is_array(value)) {
        if (!*ends) shape->count = depth;
        *ends = true;
        return json_is_number(value) && depth == shape->count;
    }
    int64_t count = (int64_t)json_array_size(value);
    if (depth >= KT_MAX_RANK || count == 0) return false;
    if (!*ends) shape->at[depth] = count;
    if (*ends && (depth >= shape->count || shape->at[depth] != count)) return false;
    for (size_t i = 0; i < (size_t)count; i++) {
        if (!has_shape(json_array_get(value, i), depth + 1, shape, ends)) return false;
    }
    return true;
}

static kt_status check_numbers(kt_layer *layer, kt_layer_context *context, const char *option,
                               const json_t *value) {
    kt_ints shape = {0};
    bool ends = false;
    if (has_shape(unwrap(value), 0, &shape, &ends)) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, option, "must be a number or a list of numbers.");
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const rescaling *self = (const rescaling *)layer;
    kt_status status = check_numbers(layer, context, "scale", self->scale);
    KT_COLLECT(status, check_numbers(layer, context, "offset", self->offset));
    return status;
}

static void write_elements(const json_t *value, kt_dtype dtype, void *out_data, size_t *at) {
    for (size_t i = 0; i < json_array_size(value); i++)
        write_elements(json_array_get(value, i), dtype, out_data, at);
    if (!json_is_number(value)) return;
    if (kt_dtype_is_float(dtype)) {
        kt_element_set_float(dtype, out_data, (*at)++, json_number_value(value));
    } else {
        kt_element_set_integer(dtype, out_data, (*at)++, (int64_t)json_number_value(value));
    }
}

/* The option as a constant of dtype. */
static kt_value add_constant(const kt_layer_call *call, const json_t *value, kt_dtype dtype) {
    kt_ints shape = {0};
    bool ends = false;
    value = unwrap(value);
    KT_ASSERT(has_shape(value, 0, &shape, &ends));
    kt_type type = kt_type_of(kt_call_dims(call), dtype, (int)shape.count, shape.at);
    int64_t elements = kt_type_static_elements(kt_call_dims(call), &type);
    void *data = kt_arena_array(call->trace->context->arena, (size_t)elements, kt_dtype_bytes(dtype));
    size_t at = 0;
    write_elements(value, dtype, data, &at);
    return kt_build_constant(call->trace->builder, &type, data);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const rescaling *self = (const rescaling *)layer;
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 1)) return;
    kt_trace_at(call->trace, "rescale");
    kt_value x = kt_build_cast(builder, call->inputs[0], layer->compute_dtype);
    kt_value scale = add_constant(call, self->scale, layer->compute_dtype);
    kt_value offset = add_constant(call, self->offset, layer->compute_dtype);
    kt_build_broadcast_pair(builder, &x, &scale);
    x = kt_build_mul(builder, x, scale);
    kt_build_broadcast_pair(builder, &x, &offset);
    call->outputs[0] = kt_build_add(builder, x, offset);
}

const kt_layer_class kt_class_rescaling = {
    .name = "Rescaling",
    .module = "keras.layers",
    .doc = "x * scale + offset",
    .bytes = sizeof(rescaling),
    .options = options,
    .supports_masking = true,
    .keeps_input_dtype = true,
    .check = check,
    .call = call,
};
