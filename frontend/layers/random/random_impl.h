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

/* ---- Python's random (python_random.c) */
enum { KT_PYTHON_WORDS = 624 };
typedef struct kt_python_random {
    uint32_t words[KT_PYTHON_WORDS], next;
} kt_python_random;
void kt_python_seed(kt_python_random *random, int64_t seed);
/* The place of random.choice in a list of so many, at least 1. */
uint32_t kt_python_below(kt_python_random *random, uint32_t count);

#endif
