/* Numbers in options: one, or nested lists that make a tensor. */
#include "frontend/layers/layers_impl.h"
#include "ir/element.h"

#include <math.h>
#include <string.h>

bool kt_json_number(const json_t *value, double *out_number) {
    static const struct {
        const char *word;
        double number;
    } words[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    for (size_t i = 0; json_is_string(value) && i < sizeof words / sizeof *words; i++) {
        if (strcmp(json_string_value(value), words[i].word) != 0) continue;
        *out_number = words[i].number;
        return true;
    }
    if (!json_is_number(value)) return false;
    *out_number = json_number_value(value);
    return true;
}

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

bool kt_numbers_shape(const json_t *value, kt_ints *out_shape) {
    bool ends = false;
    *out_shape = (kt_ints){0};
    return has_shape(unwrap(value), 0, out_shape, &ends);
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

kt_value kt_numbers_constant(const kt_layer_call *call, const json_t *value, kt_dtype dtype) {
    kt_ints shape;
    KT_ASSERT(kt_numbers_shape(value, &shape));
    kt_type type = kt_type_of(kt_call_dims(call), dtype, (int)shape.count, shape.at);
    int64_t elements = kt_type_static_elements(kt_call_dims(call), &type);
    void *data = kt_arena_array(call->trace->context->arena, (size_t)elements, kt_dtype_bytes(dtype));
    size_t at = 0;
    write_elements(unwrap(value), dtype, data, &at);
    return kt_build_constant(call->trace->builder, &type, data);
}
