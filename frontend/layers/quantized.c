/* Layers whose kernels are int8 with a scale for each channel, as Keras's quantize("int8") leaves them.
 *
 * Inputs are quantized as they come: each row is divided by its largest magnitude over 127, rounded and
 * clipped. The products are integers; the scales of both sides divide them afterwards. Rounding makes a jump
 * of every difference, so everything here is written in the operations that Keras does, in their order and
 * dtype.
 *
 * What is multiplied is bytes, of which the first are unsigned (see dot_general): inputs are moved up by 128,
 * and 128 times the kernel's sum is taken away from the product, exactly, modulo 2^32 as everything in 32
 * bits. */
#include "frontend/layers/einsum_impl.h"

#include <math.h>
#include <string.h>

enum { MIDDLE = 128 };

/* ---- policies and options -------------------------------------------------------------------- */
bool kt_quantization_read(kt_arena *arena, const json_t *dtype, kt_quantized_policy *out_policy) {
    const char *class_name = json_string_value(json_object_get(dtype, "class_name"));
    const json_t *config = json_object_get(dtype, "config");
    *out_policy = (kt_quantized_policy){0};
    if (json_is_string(dtype)) {
        const char *name = json_string_value(dtype), *from = strstr(name, "_from_");
        if (!from) return false;
        out_policy->mode = kt_arena_format(arena, "%.*s", (int)(from - name), name);
        out_policy->source = from + strlen("_from_");
        return true;
    }
    if (!class_name || !strstr(class_name, "DTypePolicy")) return false;
    out_policy->mode = json_string_value(json_object_get(config, "mode"));
    out_policy->source = json_string_value(json_object_get(config, "source_name"));
    return out_policy->mode && out_policy->source;
}

static kt_status reject(const kt_layer *layer, kt_layer_context *context, const char *problem) {
    return kt_layer_reject(layer, context, KT_UNSUPPORTED, "quantization_config", "%s.", problem);
}

/* The options of an AbsMaxQuantizer; a sentence's end, or NULL. */
static const char *read_quantizer(const json_t *config, kt_keras_quantization *out_quantization) {
    const json_t *range = json_object_get(config, "value_range"),
                 *epsilon = json_object_get(config, "epsilon");
    const json_t *dtype = json_object_get(config, "output_dtype"), *axis = json_object_get(config, "axis");
    if (range) {
        double low = json_number_value(json_array_get(range, 0)),
               high = json_number_value(json_array_get(range, 1));
        bool bytes =
            low >= -128 && low <= 0 && high > 0 && high <= 127 && low == trunc(low) && high == trunc(high);
        if (!bytes || json_array_size(range) != 2)
            return "must have a value_range of two integers from -128 to 127";
        out_quantization->low = low;
        out_quantization->high = high;
    }
    if (epsilon) {
        if (!json_is_number(epsilon)) return "must have a number for its epsilon";
        out_quantization->epsilon = json_number_value(epsilon);
    }
    if (dtype && !(json_is_string(dtype) && strcmp(json_string_value(dtype), "int8") == 0))
        return "quantizes inputs as another output_dtype than int8, which is not supported";
    if (json_is_array(axis) && json_array_size(axis) == 1) axis = json_array_get(axis, 0);
    bool last = !axis || json_is_null(axis) || json_integer_value(axis) == -1;
    return last ? NULL : "quantizes inputs along another axis than the last, which is not supported";
}

kt_status kt_check_quantization(const kt_layer *layer, kt_layer_context *context,
                                kt_keras_quantization *quantization) {
    quantization->low = -127;
    quantization->high = 127;
    quantization->epsilon = 1e-7;
    if (!layer->quantized || !quantization->config || json_is_null(quantization->config)) return KT_OK;
    const json_t *quantizer =
        json_object_get(json_object_get(quantization->config, "config"), "activation_quantizer");
    quantization->weights_only = !quantizer || json_is_null(quantizer);
    if (quantization->weights_only) return KT_OK;
    const char *class_name = json_string_value(json_object_get(quantizer, "class_name"));
    if (!class_name || strcmp(class_name, "AbsMaxQuantizer") != 0)
        return reject(layer, context, "must quantize inputs by an AbsMaxQuantizer, or not at all");
    const char *problem = read_quantizer(json_object_get(quantizer, "config"), quantization);
    return problem ? reject(layer, context, problem) : KT_OK;
}

/* ---- products -------------------------------------------------------------------------------- */
/* The axes of an operand that are summed; their letters leave `letters`. */
static kt_ints take_contracted(char *letters, const char *result) {
    kt_ints axes = {0};
    size_t kept = 0;
    for (size_t i = 0; letters[i]; i++) {
        if (strchr(result, letters[i]))
            letters[kept++] = letters[i];
        else
            axes.at[axes.count++] = (int64_t)i;
    }
    letters[kept] = '\0';
    return axes;
}

/* What has the axes `letters`, spread over those of result, which is of a type of shape. */
static kt_value spread(kt_builder *b, kt_value x, const char *letters, const char *result,
                       const kt_type *shape) {
    int64_t order[KT_MAX_RANK], axes[KT_MAX_RANK];
    int count = 0;
    bool moved = false;
    for (const char *letter = result; *letter; letter++) {
        const char *place = strchr(letters, *letter);
        if (!place) continue;
        moved |= place - letters != count;
        order[count] = place - letters;
        axes[count++] = letter - result;
    }
    if (moved) x = kt_build_transpose(b, x, order);
    return kt_build_broadcast(b, x, shape->rank, shape->dims, axes);
}

static void promote(kt_builder *b, kt_value *x, kt_value *y) {
    kt_dtype dtype = kt_dtype_promote(kt_build_type(b, *x)->dtype, kt_build_type(b, *y)->dtype);
    *x = kt_build_cast(b, *x, dtype);
    *y = kt_build_cast(b, *y, dtype);
}

/* Multiplies by a kernel of bytes without quantizing: the kernel's scale is the only one. */
static kt_value multiply_weights_only(const kt_layer_call *call, const kt_layer *layer, const kt_einsum *e,
                                      kt_value x, kt_value kernel, kt_value scale) {
    kt_builder *b = call->trace->builder;
    kernel = kt_build_cast(b, kernel, kt_build_type(b, x)->dtype);
    kt_value y = kt_build_cast(b, kt_einsum_build(b, e, x, kernel), layer->compute_dtype);
    kt_type shape = *kt_build_type(b, y);
    promote(b, &y, &scale);
    return kt_build_div(b, y, kt_build_broadcast_to(b, scale, shape.rank, shape.dims));
}

kt_value kt_quantized_product(const kt_layer_call *call, const kt_layer *layer,
                              const kt_keras_quantization *quantization, const kt_einsum *einsum, kt_value x,
                              kt_value kernel, kt_value scale) {
    kt_builder *b = call->trace->builder;
    const kt_keras_quantization *q = quantization;
    kt_einsum e = *einsum;
    if (!kt_dtype_is_float(kt_build_type(b, x)->dtype)) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "int8 weights take inputs of floating point, not %s.",
                      kt_dtype_name(kt_build_type(b, x)->dtype));
        return 0;
    }
    if (q->weights_only) return multiply_weights_only(call, layer, &e, x, kernel, scale);

    kt_trace_at(call->trace, "quantize");
    kt_ints rows = take_contracted(e.x, e.result);
    kt_value largest = kt_build_reduce(b, kt_build_abs(b, x), KT_REDUCE_MAXIMUM, rows.count, rows.at);
    largest = kt_build_add(b, largest, kt_build_like(b, largest, q->epsilon));
    kt_value input_scale = kt_build_div(b, kt_build_like(b, largest, q->high), largest);
    kt_value scaled = kt_build_round(b, kt_build_mul(b, x, kt_spread(b, input_scale, x, &rows)));
    scaled = kt_build_minimum(b, kt_build_maximum(b, scaled, kt_build_like(b, x, q->low)),
                              kt_build_like(b, x, q->high));
    kt_value bytes = kt_build_cast(b, kt_build_add(b, scaled, kt_build_like(b, x, MIDDLE)), KT_U8);

    kt_trace_at(call->trace, "product");
    kt_value product = kt_einsum_build(b, einsum, bytes, kernel);
    if (b->status != KT_OK) return 0;
    kt_type shape = *kt_build_type(b, product);
    kt_ints summed = take_contracted(e.y, e.result);
    kt_value sums =
        kt_build_reduce(b, kt_build_cast(b, kernel, KT_I32), KT_REDUCE_SUM, summed.count, summed.at);
    sums = kt_build_mul(b, sums, kt_build_like(b, sums, MIDDLE));
    product = kt_build_sub(b, product, spread(b, sums, e.y, e.result, &shape));

    kt_trace_at(call->trace, "scale");
    kt_value y = kt_build_cast(b, product, layer->compute_dtype);
    promote(b, &input_scale, &scale);
    scale = kt_build_broadcast_to(b, scale, shape.rank, shape.dims);
    scale = kt_build_mul(b, spread(b, input_scale, e.x, e.result, &shape), scale);
    promote(b, &y, &scale);
    return kt_build_div(b, y, scale);
}

kt_value kt_quantized_matmul(const kt_layer_call *call, const kt_layer *layer,
                             const kt_keras_quantization *quantization, kt_value x, kt_value kernel,
                             bool transposed, kt_value scale) {
    kt_einsum e = {.x = "01234567", .y = "ab", .result = "01234567"};
    int last = kt_build_type(call->trace->builder, x)->rank - 1;
    e.x[last] = transposed ? 'b' : 'a';
    e.result[last] = transposed ? 'a' : 'b';
    e.x[last + 1] = e.result[last + 1] = '\0';
    return kt_quantized_product(call, layer, quantization, &e, x, kernel, scale);
}
