/* Learning rate schedules, after keras.optimizers.schedules: from the number of steps that were made to the learning rate
 * of the next, as ordinary nodes of the traced function. */
#ifndef KT_FRONTEND_SCHEDULES_H
#define KT_FRONTEND_SCHEDULES_H

#include "frontend/layer.h"
#include "frontend/object.h"

typedef struct kt_schedule kt_schedule;
typedef struct kt_schedule_class {
    kt_object_class object;
    kt_value (*value)(const kt_schedule *schedule, kt_builder *builder, kt_value iteration);
} kt_schedule_class;
/* In alphabetical order; ends with NULL. */
extern const kt_schedule_class *const kt_schedule_classes[];

/* From Keras's serialised form, an object with class_name and config. NULL, and problems at path. */
kt_schedule *kt_schedule_read(kt_layer_context *context, const json_t *serialized, const char *path);
/* The learning rate, a float32 scalar, after that many steps, an int64 scalar. It is computed in float32, as in Keras. */
kt_value kt_schedule_value(kt_schedule *schedule, kt_trace *trace, kt_value iteration);

#endif
