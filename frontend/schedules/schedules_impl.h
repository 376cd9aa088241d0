/* What the files of schedules share. */
#ifndef KT_FRONTEND_SCHEDULES_IMPL_H
#define KT_FRONTEND_SCHEDULES_IMPL_H

#include "frontend/schedules/schedules.h"

#define KT_SCHEDULE(name) extern const kt_schedule_class kt_schedule_##name;
#include "frontend/schedules/classes.def"
#undef KT_SCHEDULE

struct kt_schedule {
    kt_object object;
    const char *name;
};

/* A schedule that falls from a first rate. */
typedef struct kt_decay {
    kt_schedule schedule;
    double initial_learning_rate, steps;
} kt_decay;

/* The options that all of these have; steps_name: what the class calls its steps. */
#define KT_DECAY_OPTIONS(default_name, steps_name)                                          \
    {"name", KT_OPTION_STRING, offsetof(kt_schedule, name), "\"" default_name "\""},         \
        {"initial_learning_rate", KT_OPTION_FLOAT, offsetof(kt_decay, initial_learning_rate)}, \
        {steps_name, KT_OPTION_FLOAT, offsetof(kt_decay, steps)}
/* The class's check: the steps must be above 0, and the rate a float, because Keras would compute in integers else. */
kt_status kt_decay_check(kt_object *object, kt_layer_context *context);

/* number - x, both float32 scalars. */
kt_value kt_schedule_from(kt_builder *b, double number, kt_value x);
/* number * x, both float32 scalars. */
kt_value kt_schedule_times(kt_builder *b, double number, kt_value x);
/* The iteration in steps: a float32 scalar. */
kt_value kt_decay_progress(const kt_decay *decay, kt_builder *b, kt_value iteration);

#endif
