/* What layers that give categories share: categories.c. */
#ifndef KT_FRONTEND_LAYERS_CATEGORIES_IMPL_H
#define KT_FRONTEND_LAYERS_CATEGORIES_IMPL_H

#include "frontend/layers/layers_impl.h"

/* Indices of categories in an output mode of Keras: "int" casts them; "one_hot" puts an axis of `depth`
 * behind, in place of a last one of size 1; "multi_hot" and "count" say which, or how often, along the axis
 * behind the batch. Indices that are no category count nowhere. weights, or 0: what each index counts for, in
 * their dtype then. indices: integers of 1 to KT_MAX_RANK - 1 axes. */
kt_value kt_encode_categories(kt_builder *builder, kt_value indices, const char *mode, int64_t depth,
                              kt_value weights, kt_dtype dtype);
/* Rejects sparse outputs. */
kt_status kt_check_dense(const kt_layer *layer, kt_layer_context *context, bool sparse);

#endif
