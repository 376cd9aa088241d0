/* What weights begin with, after Keras's initializers. */
#ifndef KT_FRONTEND_INITIALIZERS_H
#define KT_FRONTEND_INITIALIZERS_H

#include "frontend/layer.h"

/* Gives each variable of the graph that has no value yet one: weights of the model's layers what their initializers say,
 * all others zeros. Each weight's numbers follow from seed and its place among the variables alone, and Keras draws others
 * from the same distributions; but where an initializer has a seed of its own they are what Keras draws on TensorFlow in
 * float32, but for roundings. */
kt_status kt_weights_initialize(kt_layer *model, kt_graph *graph, uint64_t seed, kt_diag *diag) KT_MUST_USE;

#endif
