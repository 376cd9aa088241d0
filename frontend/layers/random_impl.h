/* What the distributions are made of. */
#ifndef KT_FRONTEND_LAYERS_RANDOM_IMPL_H
#define KT_FRONTEND_LAYERS_RANDOM_IMPL_H

#include "frontend/operations/operations_impl.h"

/* The state of the layer's generator, [seed, counter], each folded into what TensorFlow takes: the first and the third
 * of u32[4]. The generator counts on. */
kt_value kt_random_seed(kt_layer *layer, kt_trace *trace, int64_t seed);
/* The words that such a seed yields, u32 of a shape. */
kt_value kt_random_words(kt_builder *builder, kt_value seed, int rank, const kt_dim *shape);
/* [0, 1) in float64 from two words each, [count, 2]: 20 bits of the first, and the second. */
kt_value kt_random_uniform_f64(kt_builder *builder, kt_value pairs, const kt_type *type);
/* Normal numbers of deviation 1, two by two from uniform ones, [count, 2]. */
kt_value kt_random_gauss(kt_builder *builder, kt_value uniform);

#endif
