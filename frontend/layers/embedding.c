/* Embedding: each integer becomes its row of a table; ReversibleEmbedding, which also goes back from rows to
 * a score for each integer; and Masking, which as Embedding may tell later layers what to leave out. */
#include "frontend/operations/operations_impl.h"

#include <math.h>

typedef struct embedding {
    kt_layer layer;
    int64_t input_dim, output_dim;
    const json_t *embeddings_initializer, *embeddings_regularizer, *embeddings_constraint;
    bool mask_zero;
    kt_lora lora;
    kt_keras_quantization quantization;
} embedding;

#define EMBEDDING_OPTIONS                                                                                    \
    KT_FIELD(embedding, input_dim, INT, NULL), KT_FIELD(embedding, output_dim, INT, NULL),                   \
        KT_INITIALIZER(embedding, embeddings_initializer, "\"uniform\""),                                    \
        KT_REGULARIZER(embedding, embeddings_regularizer), KT_ACTIVITY_REGULARIZER,                          \
        KT_CONSTRAINT(embedding, embeddings_constraint), KT_FIELD(embedding, mask_zero, BOOL, "false"),      \
        KT_UNSUPPORTED_UNWRITTEN("weights"), KT_LORA(embedding, lora),                                       \
        KT_QUANTIZATION_CONFIG(embedding, quantization)
static const kt_option options[] = {EMBEDDING_OPTIONS, KT_OPTIONS_END};

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    embedding *self = (embedding *)layer;
    kt_status status = kt_check_range(layer, context, "input_dim", self->input_dim, 1);
    KT_COLLECT(status, kt_check_range(layer, context, "output_dim", self->output_dim, 1));
    KT_COLLECT(status, kt_check_lora(layer, context, &self->lora));
    KT_COLLECT(status, kt_check_quantization(layer, context, &self->quantization));
    return status;
}

/* One for each integer. */
static void add_scale(kt_layer *layer, kt_trace *trace, const kt_layer_call *call, const char *name) {
    const embedding *self = (const embedding *)layer;
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, 1, &self->input_dim);
    kt_layer_add_weight(layer, trace, name, &type, NULL, false);
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const embedding *self = (const embedding *)layer;
    int64_t shape[] = {self->input_dim, self->output_dim};
    kt_type type = kt_type_of(kt_call_dims(call), kt_layer_kernel_dtype(layer), 2, shape);
    bool trainable = !kt_lora_enabled(&self->lora) && !layer->quantized;
    kt_layer_add_weight(layer, trace, "embeddings", &type, self->embeddings_initializer, trainable);
    if (layer->quantized) add_scale(layer, trace, call, "embeddings_scale");
    kt_add_lora(layer, trace, &self->lora, 0, false);
    return KT_OK;
}

static void call(kt_layer *layer, kt_layer_call *call) {
    const embedding *self = (const embedding *)layer;
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 0, KT_MAX_RANK - 1)) return;
    kt_trace_at(call->trace, "lookup");
    kt_value indices = call->inputs[0];
    kt_dtype given = kt_call_type(call, 0)->dtype;
    if (self->mask_zero) {
        kt_value zero = kt_build_like(builder, indices, 0);
        call->output_masks[0] = kt_build_ne(builder, indices, zero);
    }
    if (given != KT_I64) indices = kt_build_cast(builder, indices, KT_I32);
    bool negative = given != KT_BOOL && !kt_dtype_is_unsigned_integer(given);
    if (negative || given == KT_U32 || given == KT_U64) {
        kt_value wrapped =
            kt_build_add(builder, indices, kt_build_like(builder, indices, (double)self->input_dim));
        kt_value below = kt_build_lt(builder, indices, kt_build_like(builder, indices, 0));
        indices = kt_build_select(builder, below, wrapped, indices);
    }
    bool adapted = call->trace->context->trains && kt_lora_enabled(&self->lora); /* else only rows are cast */
    kt_value table =
        adapted ? kt_adapted_weight(call->trace, layer, 0) : kt_trace_stored_weight(call->trace, layer, 0);
    kt_value rows = kt_build_gather(builder, table, indices, 0, 0);
    rows = kt_build_cast(builder, rows, layer->compute_dtype);
    if (layer->quantized) {
        kt_value scales = kt_build_gather(builder, kt_trace_weight(call->trace, layer, 1), indices, 0, 0);
        kt_ints last = {1, {kt_call_type(call, 0)->rank}};
        rows = kt_build_div(builder, rows, kt_spread(builder, scales, rows, &last));
    }
    call->outputs[0] = rows;
}

const kt_layer_class kt_class_embedding = {
    .name = "Embedding",
    .module = "keras.layers",
    .doc = "the row of a table for each integer; negative ones count from the end, others are clamped",
    .bytes = sizeof(embedding),
    .options = options,
    .keeps_input_dtype = true,
    .quantizes = true,
    .check = check,
    .build = build,
    .call = call,
};

/* ---- ReversibleEmbedding --------------------------------------------------------------------- */
typedef struct reversible_embedding {
    embedding forward;
    bool tie_weights;
    const char *reverse_dtype; /* of the way back; NULL: as inputs and weights are */
    double logit_soft_cap;
} reversible_embedding;

static const kt_option reversible_options[] = {
    EMBEDDING_OPTIONS,
    KT_FIELD(reversible_embedding, tie_weights, BOOL, "true"),
    KT_FIELD(reversible_embedding, reverse_dtype, STRING, "null"),
    KT_FIELD(reversible_embedding, logit_soft_cap, OPTIONAL_FLOAT, "null"),
    KT_OPTIONS_END,
};

static kt_status check_reversible(kt_layer *layer, kt_layer_context *context) {
    const char *name = ((const reversible_embedding *)layer)->reverse_dtype;
    kt_dtype dtype;
    kt_status status = check(layer, context);
    if (name && !(kt_dtype_parse_keras(name, &dtype) && kt_dtype_is_float(dtype)))
        status = kt_layer_reject(layer, context, KT_UNSUPPORTED, "reverse_dtype",
                                 "must be a dtype of floating point, not '%s'.", name);
    return status;
}

static kt_status build_reversible(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const reversible_embedding *self = (const reversible_embedding *)layer;
    const embedding *forward = &self->forward;
    int64_t shape[] = {forward->output_dim, forward->input_dim};
    kt_type type = kt_type_of(kt_call_dims(call), kt_layer_kernel_dtype(layer), 2, shape);
    KT_TRY(build(layer, trace, call));
    if (self->tie_weights) return KT_OK;
    const json_t *initializer = forward->embeddings_initializer;
    kt_layer_add_weight(layer, trace, "reverse_embeddings", &type, initializer, !layer->quantized);
    if (layer->quantized) add_scale(layer, trace, call, "reverse_embeddings_scale");
    return KT_OK;
}

static kt_value multiply(kt_layer *layer, const kt_layer_call *call) {
    const reversible_embedding *self = (const reversible_embedding *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = call->inputs[0];
    if (layer->quantized) { /* Keras leaves reverse_dtype aside */
        uint32_t table = self->tie_weights ? 0 : 2;
        kt_value kernel = kt_trace_weight(call->trace, layer, table);
        kt_value scale = kt_trace_weight(call->trace, layer, table + 1);
        return kt_quantized_matmul(call, layer, &self->forward.quantization, x, kernel, self->tie_weights,
                                   scale);
    }
    kt_value kernel = kt_adapted_weight(call->trace, layer, !self->tie_weights);
    kt_dtype dtype = kt_dtype_promote(kt_call_type(call, 0)->dtype, kt_build_type(b, kernel)->dtype);
    if (self->reverse_dtype) kt_dtype_parse_keras(self->reverse_dtype, &dtype);
    int last = kt_call_type(call, 0)->rank - 1;
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {last}}, .rhs_contract = {1, {self->tie_weights}}};
    return kt_build_dot_general(b, kt_build_cast(b, x, dtype), kt_build_cast(b, kernel, dtype), &attrs);
}

/* A score for each integer: how well its row, or with weights that are not tied its column, fits. */
static void call_reversed(kt_layer *layer, kt_layer_call *call) {
    const reversible_embedding *self = (const reversible_embedding *)layer;
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 2, KT_MAX_RANK)) return;
    kt_trace_at(call->trace, "matmul");
    kt_value x = multiply(layer, call);
    if (!x) return;
    if (!isnan(self->logit_soft_cap)) {
        kt_trace_at(call->trace, "cap");
        kt_value cap = kt_build_like(b, x, self->logit_soft_cap);
        x = kt_build_mul(b, kt_build_tanh(b, kt_build_div(b, x, cap)), cap);
    }
    call->outputs[0] = x;
}

static void call_reversible(kt_layer *layer, kt_layer_call *layer_call) {
    const kt_argument *reverse = kt_operation_argument(layer_call, 1, "reverse");
    bool reversed = reverse && reverse->kind == KT_ARGUMENT_LITERAL && json_is_true(reverse->literal);
    (reversed ? call_reversed : call)(layer, layer_call);
    if (layer->quantized) layer_call->output_masks[0] = 0; /* which Keras then forgets */
}

const kt_layer_class kt_class_reversible_embedding = {
    .name = "ReversibleEmbedding",
    .module = "keras.layers",
    .doc = "the row of a table for each integer, or back: a score for each integer",
    .bytes = sizeof(reversible_embedding),
    .options = reversible_options,
    .keeps_input_dtype = true,
    .quantizes = true,
    .check = check_reversible,
    .build = build_reversible,
    .call = call_reversible,
};

/* ---- Masking --------------------------------------------------------------------------------- */
typedef struct masking {
    kt_layer layer;
    double mask_value;
} masking;

static const kt_option masking_options[] = {
    KT_FIELD(masking, mask_value, FLOAT, "0.0"),
    KT_OPTIONS_END,
};

static void call_masking(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 2, KT_MAX_RANK)) return;
    kt_dtype given = kt_call_type(call, 0)->dtype,
             dtype = given == KT_BOOL ? KT_I32 : kt_dtype_promote(given, given);
    kt_ints last = {1, {kt_call_type(call, 0)->rank - 1}};
    kt_trace_at(call->trace, "mask");
    kt_value x = kt_build_cast(b, call->inputs[0], dtype);
    kt_value other = kt_build_ne(b, x, kt_build_like(b, x, ((masking *)layer)->mask_value));
    kt_value kept = kt_build_reduce(b, other, KT_REDUCE_MAXIMUM, last.count, last.at);
    call->outputs[0] = kt_build_select(b, kt_spread(b, kept, x, &last), x, kt_build_like(b, x, 0));
    call->output_masks[0] = kept;
}

const kt_layer_class kt_class_masking = {
    .name = "Masking",
    .module = "keras.layers",
    .doc = "steps whose elements all are a certain number become 0, and later layers leave them out",
    .bytes = sizeof(masking),
    .options = masking_options,
    .supports_masking = true,
    .call = call_masking,
};
