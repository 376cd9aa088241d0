/* Embedding: each integer becomes its row of a table; and Masking, which as Embedding may tell later layers
 * what to leave out. */
#include "frontend/layers/layers_impl.h"

typedef struct embedding {
    kt_layer layer;
    int64_t input_dim, output_dim;
    const json_t *embeddings_initializer, *embeddings_regularizer, *embeddings_constraint;
    bool mask_zero;
    kt_lora lora;
    const json_t *quantization_config;
} embedding;

// clang-format off
static const kt_option options[] = {
    KT_FIELD(embedding, input_dim, INT, NULL),
    KT_FIELD(embedding, output_dim, INT, NULL),
    KT_INITIALIZER(embedding, embeddings_initializer, "\"uniform\""),
    KT_REGULARIZER(embedding, embeddings_regularizer),
    KT_ACTIVITY_REGULARIZER,
    KT_CONSTRAINT(embedding, embeddings_constraint),
    KT_FIELD(embedding, mask_zero, BOOL, "false"),
    KT_UNSUPPORTED_UNWRITTEN("weights"),
    KT_LORA(embedding, lora),
    KT_QUANTIZATION_CONFIG(embedding, quantization_config),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const embedding *self = (const embedding *)layer;
    kt_status status = kt_check_range(layer, context, "input_dim", self->input_dim, 1);
    KT_COLLECT(status, kt_check_range(layer, context, "output_dim", self->output_dim, 1));
    KT_COLLECT(status, kt_check_lora(layer, context, &self->lora));
    return status;
}

static kt_status build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    const embedding *self = (const embedding *)layer;
    int64_t shape[] = {self->input_dim, self->output_dim};
    kt_type type = kt_type_of(kt_call_dims(call), layer->variable_dtype, 2, shape);
    bool trainable = !kt_lora_enabled(&self->lora);
    kt_layer_add_weight(layer, trace, "embeddings", &type, self->embeddings_initializer, trainable);
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
    kt_value table = kt_trace_stored_weight(call->trace, layer, 0);
    kt_value rows = kt_build_gather(builder, table, indices, 0, 0);
    call->outputs[0] = kt_build_cast(builder, rows, layer->compute_dtype);
}

const kt_layer_class kt_class_embedding = {
    .name = "Embedding",
    .module = "keras.layers",
    .doc = "the row of a table for each integer; negative ones count from the end, others are clamped",
    .bytes = sizeof(embedding),
    .options = options,
    .keeps_input_dtype = true,
    .check = check,
    .build = build,
    .call = call,
};

/* ---- Masking
 * ------------------------------------------------------------------------------------------------------ */
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
    kt_value x = call->inputs[0];
    kt_ints last = {1, {kt_call_type(call, 0)->rank - 1}};
    kt_trace_at(call->trace, "mask");
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
