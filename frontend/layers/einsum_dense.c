/* EinsumDense: activation(x · kernel + bias), where an equation says which axes are multiplied and summed. */
#include "frontend/layers/einsum_impl.h"

#include <string.h>

typedef struct einsum_dense {
    kt_layer layer;
    const json_t *output_shape; /* without the batch, null where the input says it; a number: one axis */
    const char *equation;
    kt_activation activation;
    const char *bias_axes; /* letters of the result; NULL: no bias */
    const json_t *kernel_initializer, *bias_initializer;
    const json_t *kernel_regularizer, *bias_regularizer;
    const json_t *kernel_constraint, *bias_constraint;
    kt_lora lora;
    kt_keras_quantization quantization;
    kt_einsum einsum;
    kt_ints sizes; /* output_shape; -1: null */
} einsum_dense;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(einsum_dense, output_shape, JSON, NULL),
    KT_FIELD(einsum_dense, equation, STRING, NULL),
    KT_FIELD(einsum_dense, activation, ACTIVATION, "null"),
    KT_FIELD(einsum_dense, bias_axes, STRING, "null"),
    KT_INITIALIZER(einsum_dense, kernel_initializer, "\"glorot_uniform\""),
    KT_INITIALIZER(einsum_dense, bias_initializer, "\"zeros\""),
    KT_REGULARIZER(einsum_dense, kernel_regularizer),
    KT_REGULARIZER(einsum_dense, bias_regularizer),
    KT_ACTIVITY_REGULARIZER,
    KT_CONSTRAINT(einsum_dense, kernel_constraint),
    KT_CONSTRAINT(einsum_dense, bias_constraint),
    KT_LORA(einsum_dense, lora),
    KT_UNSUPPORTED_UNWRITTEN("gptq_unpacked_column_size"),
    KT_QUANTIZATION_CONFIG(einsum_dense, quantization),
    KT_OPTIONS_END,
};
// clang-format on

static bool read_sizes(const json_t *shape, kt_ints *out_sizes) {
    size_t count = json_is_integer(shape) ? 1 : json_array_size(shape);
    if (count == 0 || count > KT_MAX_RANK) return false;
    out_sizes->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *size = json_is_integer(shape) ? shape : json_array_get(shape, i);
        out_sizes->at[i] = json_is_null(size) ? -1 : json_integer_value(size);
        bool valid = json_integer_value(size) >= 1 && json_integer_value(size) <= INT32_MAX;
        if (!json_is_null(size) && !valid) return false;
    }
    return true;
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    einsum_dense *self = (einsum_dense *)layer;
    if (!self->equation || !kt_einsum_read(self->equation, &self->einsum)) {
        return kt_layer_reject(layer, context, KT_INVALID, "equation",
                               "must be of the form ab,bc->ac, ...ab,bc->...ac or ab...,bc->ac....");
    }
    for (const char *letter = self->einsum.y; *letter; letter++) {
        if (!strchr(self->einsum.x, *letter) && !strchr(self->einsum.result, *letter))
            return kt_layer_reject(layer, context, KT_INVALID, "equation",
                                   "gives no size to the kernel's axis '%c'.", *letter);
    }
    if (!read_sizes(self->output_shape, &self->sizes)) {
        return kt_layer_reject(layer, context, KT_INVALID, "output_shape",
                               "must be a size or a list of sizes and null.");
    }
    for (const char *letter = self->bias_axes; letter && *letter; letter++) {
        if (!strchr(self->einsum.result, *letter))
            return kt_layer_reject(layer, context, KT_INVALID, "bias_axes",
                                   "must name axes of the result, not '%c'.", *letter);
    }
    if (layer->quantized && (self->einsum.elided_before || self->einsum.elided_behind))
        return kt_layer_reject(layer, context, KT_UNSUPPORTED, "equation",
                               "has an ellipsis, with which Keras's own int8 weights do not work.");
    for (const char *letter = self->einsum.x; layer->quantized && *letter; letter++) {
        if (!strchr(self->einsum.y, *letter) && !strchr(self->einsum.result, *letter))
            return kt_layer_reject(
                layer, context, KT_UNSUPPORTED, "equation",
                "sums the input's axis '%c', which the kernel lacks; with int8 weights that is "
                "not supported.",
                *letter);
    }
    kt_status status = kt_check_lora(layer, context, &self->lora);
    KT_COLLECT(status, kt_check_quantization(layer, context, &self->quantization));
    return status;
}

/* How many of the input's axes the equation has no letters for; -1 and a problem if it does not fit. */
static int count_elided(const einsum_dense *self, const kt_layer_call *call) {
    if (!kt_call_has_inputs(call, 1)) return -1;
    const kt_einsum *e = &self->einsum;
    int letters = (int)strlen(e->x);
    bool open = e->elided_before || e->elided_behind;
    if (!kt_call_has_rank(call, letters, open ? KT_MAX_RANK : letters)) return -1;
    int elided = kt_call_type(call, 0)->rank - letters;
    /* The batch, which output_shape leaves out, is either elided or the result's first letter. */
    uint32_t given = (uint32_t)strlen(e->result) - (e->elided_before && elided ? 0 : 1);
    if (self->sizes.count == given && strlen(e->result) + (size_t)elided <= KT_MAX_RANK) return elided;
    kt_trace_fail(call->trace, KT_INVALID,
                  "option 'output_shape' has %u sizes, but the equation asks for %u.", self->sizes.count,
                  given);
    return -1;
}

/* The size of a letter's axis: what output_shape says, else the input's; -1 and a problem if it is not known.
 */
static int64_t find_size(const einsum_dense *self, const kt_layer_call *call, int elided, char letter) {
    const kt_einsum *e = &self->einsum;
    const char *in_result = strchr(e->result, letter);
    const char *in_x = strchr(e->x, letter);
    if (in_result) {
        ptrdiff_t place = in_result - e->result - (e->elided_before && elided ? 0 : 1);
        if (place >= 0 && self->sizes.at[place] >= 0) return self->sizes.at[place];
    }
    if (in_x) return kt_call_static_dim(call, (int)(in_x - e->x) + (e->elided_before ? elided : 0));
    kt_trace_fail(call->trace, KT_INVALID, "option 'output_shape' gives no size to the axis '%c'.", letter);
    return -1;
}

/* The kernel's scale has the result's axes, of size 1 where the kernel has none. */
static kt_status add_scale(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const einsum_dense *self = (const einsum_dense *)layer;
    const kt_einsum *e = &self->einsum;
    int64_t shape[2 * KT_MAX_RANK];
    int rank = 0;
    for (const char *letter = e->result; *letter; letter++, rank++) {
        shape[rank] = strchr(e->y, *letter) ? find_size(self, call, 0, *letter) : 1;
        if (shape[rank] < 0) return KT_INVALID;
    }
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, rank, shape);
    kt_layer_add_weight(layer, trace, "kernel_scale", &type, NULL, false);
    return KT_OK;
}

static bool has_bias(const einsum_dense *self) { return self->bias_axes && *self->bias_axes; }

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const einsum_dense *self = (const einsum_dense *)layer;
    const kt_einsum *e = &self->einsum;
    int64_t shape[2 * KT_MAX_RANK];
    int rank = 0;
    int elided = count_elided(self, call);
    if (elided < 0) return KT_INVALID;
    for (; e->y[rank]; rank++) {
        shape[rank] = find_size(self, call, elided, e->y[rank]);
        if (shape[rank] < 0) return KT_INVALID;
    }
    kt_type type = kt_type_of(kt_call_dims(call), kt_layer_kernel_dtype(layer), rank, shape);
    bool trainable = !kt_lora_enabled(&self->lora) && !layer->quantized;
    kt_layer_add_weight(layer, trace, "kernel", &type, self->kernel_initializer, trainable);
    if (has_bias(self)) {
        /* The bias has the result's axes from its first on, of size 1 where it has none. */
        const char *first = e->result + strcspn(e->result, self->bias_axes);
        for (rank = 0; first[rank]; rank++) {
            shape[rank] =
                strchr(self->bias_axes, first[rank]) ? find_size(self, call, elided, first[rank]) : 1;
            if (shape[rank] < 0) return KT_INVALID;
        }
        for (int i = 0; e->elided_behind && i < elided; i++) shape[rank++] = 1;
        type = kt_type_of(kt_call_dims(call), layer->variable_dtype, rank, shape);
        kt_layer_add_weight(layer, trace, "bias", &type, self->bias_initializer, true);
    }
    kt_add_lora(layer, trace, &self->lora, 0, true);
    return layer->quantized ? add_scale(layer, trace, call) : KT_OK;
}

/* The equation with digits for the elided axes. */
static kt_einsum spell_out(const kt_einsum *einsum, int elided) {
    kt_einsum e = *einsum;
    static const char digits[] = "01234567";
    char *specs[] = {e.x, e.result};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(specs[i]);
        char *place = specs[i] + length;
        if (e.elided_before) {
            memmove(specs[i] + elided, specs[i], length);
            place = specs[i];
        }
        memcpy(place, digits, (size_t)elided);
    }
    return e;
}

static kt_value multiply(kt_layer *layer, const kt_layer_call *call, int elided) {
    const einsum_dense *self = (const einsum_dense *)layer;
    kt_builder *builder = call->trace->builder;
    kt_einsum einsum = spell_out(&self->einsum, elided);
    kt_value kernel = kt_adapted_weight(call->trace, layer, 0);
    if (layer->quantized) {
        kt_value scale = kt_trace_weight(call->trace, layer, 1 + has_bias(self));
        return kt_quantized_product(call, layer, &self->quantization, &einsum, call->inputs[0], kernel,
                                    scale);
    }
    kt_value x = kt_build_cast(builder, call->inputs[0], kt_build_type(builder, kernel)->dtype);
    return kt_einsum_build(builder, &einsum, x, kernel);
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const einsum_dense *self = (const einsum_dense *)layer;
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    int elided = count_elided(self, call);
    if (elided < 0) return;
    kt_trace_at(trace, "einsum");
    kt_value x = multiply(layer, call, elided);
    if (!x) return;
    if (has_bias(self)) {
        kt_trace_at(trace, "bias");
        kt_type type = *kt_build_type(builder, x);
        kt_value bias = kt_trace_weight(trace, layer, 1);
        x = kt_build_add(builder, x, kt_build_broadcast_to(builder, bias, type.rank, type.dims));
    }
    call->outputs[0] = kt_apply_activation(call, &self->activation, x);
}

const kt_layer_class kt_class_einsum_dense = {
    .name = "EinsumDense",
    .module = "keras.layers",
    .doc = "activation(x · kernel + bias) along the axes that an equation names",
    .bytes = sizeof(einsum_dense),
    .options = options,
    .quantizes = true,
    .check = check,
    .build = build,
    .call = call,
};
