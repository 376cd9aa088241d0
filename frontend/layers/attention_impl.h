/* What the attention layers share. */
#ifndef KT_FRONTEND_LAYERS_ATTENTION_IMPL_H
#define KT_FRONTEND_LAYERS_ATTENTION_IMPL_H

#include "frontend/operations/operations_impl.h"

/* Is a boolean argument of the call given, and true? */
bool kt_attention_flag(const kt_layer_call *call, uint32_t position, const char *name);
/* In training, weights of attention with some dropped; rate: from 0 to 1. 0 and a problem where that cannot be. */
kt_value kt_attention_drop(kt_layer *layer, const kt_layer_call *call, kt_value weights, double rate, int64_t seed);
/* Which places of a sequence each place may look at, bool[rows, columns]: with causal, those not behind it;
 * those nearer than window, unless that is KT_NONE_INT. 0 where all. */
kt_value kt_attention_band(kt_builder *builder, kt_dim rows, kt_dim columns, bool causal, int64_t window);
/* Both masks at once; either may be 0. */
kt_value kt_attention_both(kt_builder *builder, kt_value a, kt_value b);
/* Each head of [batch, time, heads, features] several times, for the queries that share it. */
kt_value kt_attention_repeat_heads(kt_builder *builder, kt_value x, int64_t times);
/* softmax along axes, in float32 at least; where mask, of the scores' shape or 0, is false, a score counts as
 * far below all others. */
kt_value kt_attention_weigh(kt_builder *builder, kt_value scores, kt_value mask, const kt_ints *axes);

#endif
