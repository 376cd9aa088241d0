/* DotProductAttention: softmax(scale * query · key + bias) · value for each head. */
#include "frontend/layers/attention_impl.h"
#include "frontend/layers/einsum_impl.h"

#include <math.h>

typedef struct dot_product {
    kt_layer layer;
    bool is_causal;
    const json_t *flash_attention; /* how it is computed: the result is the same */
} dot_product;
static const kt_option dot_product_options[] = {
    KT_FIELD(dot_product, is_causal, BOOL, "false"),
    KT_FIELD(dot_product, flash_attention, JSON, "null", .inert = true),
    KT_UNSUPPORTED("attn_logits_soft_cap"), /* Keras has it on TPUs only */
    KT_OPTIONS_END,
};

/* query, key and value, [batch, time, heads, features], in one dtype, with as many heads of each: those of
 * key and value may be shared by several of the query. */
static bool take_operands(const kt_layer_call *call, kt_value out[3]) {
    static const char *const names[] = {"query", "key", "value"};
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_dtype dtype = KT_BOOL;
    for (uint32_t i = 0; i < 3; i++) {
        out[i] = kt_operation_tensor(call, i, names[i]);
        if (!out[i]) return false;
        const kt_type *type = kt_build_type(b, out[i]);
        dtype = kt_dtype_promote(dtype, type->dtype);
        if (type->rank == 4) continue;
        kt_trace_fail(call->trace, KT_INVALID, "its %s must have 4 axes, but has %d.", names[i], type->rank);
        return false;
    }
    kt_dim heads = kt_build_type(b, out[0])->dims[2];
    for (int i = 0; i < 3; i++) {
        kt_dim own = kt_build_type(b, out[i])->dims[2];
        int64_t all, shared;
        out[i] = kt_build_cast(b, out[i], kt_dtype_to_float(dtype));
        if (own == heads) continue;
        if (!kt_dim_is_const(dims, heads, &all) || !kt_dim_is_const(dims, own, &shared) || shared < 1 ||
            all % shared != 0) {
            kt_trace_fail(call->trace, KT_INVALID,
                          "the query's number of heads must be known, and a multiple of the %s's.", names[i]);
            return false;
        }
        out[i] = kt_attention_repeat_heads(b, out[i], all / shared);
    }
    return true;
}

/* The scores times `scale`, a number or a tensor; else divided by the root of the number of features. */
static kt_value apply_scale(const kt_layer_call *call, kt_value scores, kt_dim features) {
    kt_builder *b = call->trace->builder;
    const kt_argument *given = kt_operation_argument(call, 5, "scale");
    kt_type type = *kt_build_type(b, scores);
    kt_operand scale;
    kt_value factor;
    if (given && given->kind != KT_ARGUMENT_NONE) {
        if (!kt_operation_operand(call, 5, "scale", &scale)) return 0;
        factor = kt_operand_cast(call, &scale, type.dtype);
    } else {
        factor = kt_build_rsqrt(b, kt_dim_scalar(b, features, type.dtype));
    }
    return kt_build_mul(b, scores, kt_build_broadcast_to(b, factor, type.rank, type.dims));
}

static void call_dot_product(kt_layer *layer, kt_layer_call *call) {
    static const kt_einsum score = {.x = "bsnh", .y = "btnh", .result = "bnts"};
    static const kt_einsum combine = {.x = "bnts", .y = "bsnh", .result = "btnh"};
    kt_builder *b = call->trace->builder;
    kt_value operands[3], bias, mask;
    if (!take_operands(call, operands) || !kt_operation_optional(call, 3, "bias", &bias) ||
        !kt_operation_optional(call, 4, "mask", &mask))
        return;
    kt_dtype dtype = kt_build_type(b, operands[0])->dtype, wide = kt_dtype_promote(dtype, KT_F32);
    kt_value scores =
        kt_einsum_build(b, &score, kt_build_cast(b, operands[1], wide), kt_build_cast(b, operands[0], wide));
    scores = apply_scale(call, scores, kt_build_type(b, operands[0])->dims[3]);
    if (!scores) return;
    const kt_type type = *kt_build_type(b, scores);
    if (bias) {
        bias = kt_build_broadcast_to(b, kt_build_cast(b, bias, wide), type.rank, type.dims);
        scores = kt_build_add(b, scores, bias);
    }
    if (mask) mask = kt_build_cast(b, mask, KT_BOOL);
    bool causal = ((const dot_product *)layer)->is_causal;
    kt_value band = kt_attention_band(b, type.dims[2], type.dims[3], causal, KT_NONE_INT);
    mask = kt_attention_both(b, mask, band);
    if (mask) mask = kt_build_broadcast_to(b, mask, type.rank, type.dims);
    kt_value weights = kt_attention_weigh(b, scores, mask, &(kt_ints){1, {3}});
    call->outputs[0] = kt_einsum_build(b, &combine, kt_build_cast(b, weights, dtype), operands[2]);
}
KT_OPERATION_WITH(dot_product_attention, "DotProductAttention", KT_OPERATION_NN,
                  "means of values, weighted by products of queries and keys", dot_product,
                  dot_product_options, call_dot_product)
