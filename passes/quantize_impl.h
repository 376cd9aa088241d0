/* Weights as bytes, one step for each channel: what the files of the pass quantize share. */
#ifndef KT_PASSES_QUANTIZE_IMPL_H
#define KT_PASSES_QUANTIZE_IMPL_H

#include "passes/products_impl.h"

/* How far apart the bytes of each channel are, by w's own axes; depth: its others. */
kt_value kt_quantize_steps(kt_builder *b, kt_value w, const kt_ints *depth);
kt_value kt_quantize_weights(kt_builder *b, kt_value w, kt_value steps, const kt_ints *own);
/* One value a channel, for a product's whole result, whose last axes are the weights' own. */
kt_value kt_quantize_spread(kt_builder *b, kt_value channels, const kt_type *result, const kt_ints *own);

/* kt_pass_quantize where the weights alone become bytes (quantize_weights.c). */
kt_status kt_quantize_weights_only(kt_pass_run *run);

#endif
