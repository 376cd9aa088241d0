/* Regularizers: what a weight's or an output's numbers add to the loss. */
#ifndef KT_FRONTEND_REGULARIZERS_H
#define KT_FRONTEND_REGULARIZERS_H

#include "frontend/object.h"

typedef struct kt_regularizer_class {
    kt_object_class object;
    kt_value (*apply)(const kt_object *regularizer, kt_builder *builder, kt_value x);
} kt_regularizer_class;
/* L1, L2, L1L2, OrthogonalRegularizer; ends with NULL. */
extern const kt_object_class *const kt_regularizer_classes[];

/* From Keras's serialised form; NULL, and problems at path. */
const kt_object *kt_regularizer_read(kt_layer_context *context, const json_t *serialized, const char *path);
/* A scalar of x's dtype, a float (OrthogonalRegularizer: at least float32). A problem in the builder where x has not
 * the axes that the regularizer needs. */
kt_value kt_regularizer_apply(const kt_object *regularizer, kt_builder *builder, kt_value x);

#endif
