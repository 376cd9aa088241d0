/* Constraints: what a weight is brought back to after each step of training. */
#ifndef KT_FRONTEND_CONSTRAINTS_H
#define KT_FRONTEND_CONSTRAINTS_H

#include "frontend/object.h"

typedef struct kt_constraint_class {
    kt_object_class object;
    kt_value (*apply)(const kt_object *constraint, kt_builder *builder, kt_value weight);
} kt_constraint_class;
/* MaxNorm, MinMaxNorm, NonNeg, UnitNorm; ends with NULL. */
extern const kt_object_class *const kt_constraint_classes[];

/* From Keras's serialised form; NULL, and problems at path. */
const kt_object *kt_constraint_read(kt_layer_context *context, const json_t *serialized, const char *path);
/* The weight's new value, of its type. A problem in the builder where it lacks an axis that the constraint names. */
kt_value kt_constraint_apply(const kt_object *constraint, kt_builder *builder, kt_value weight);

#endif
