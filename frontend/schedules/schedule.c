/* What all schedules do. */
#include "frontend/schedules/schedules_impl.h"

const kt_schedule_class *const kt_schedule_classes[] = {
#define KT_SCHEDULE(name) &kt_schedule_##name,
#include "frontend/schedules/classes.def"
#undef KT_SCHEDULE
    NULL};

static const kt_object_class *const classes[] = {
#define KT_SCHEDULE(name) &kt_schedule_##name.object,
#include "frontend/schedules/classes.def"
#undef KT_SCHEDULE
    NULL};

kt_schedule *kt_schedule_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    return (kt_schedule *)kt_object_read(context, "learning rate schedule", classes, serialized, path);
}

kt_value kt_schedule_value(kt_schedule *schedule, kt_trace *trace, kt_value iteration) {
    return ((const kt_schedule_class *)schedule->object.class)->value(schedule, trace->builder, iteration);
}

kt_status kt_decay_check(kt_object *object, kt_layer_context *context) {
    const kt_decay *self = (const kt_decay *)object;
    const kt_option *option = object->class->options;
    kt_status status = KT_OK;
    if (json_is_integer(json_object_get(object->config, "initial_learning_rate")))
        status = kt_object_reject(object, context, KT_UNSUPPORTED, "initial_learning_rate",
                                  "is an integer, with which Keras computes the schedule in integers; "
                                  "write it with a decimal point.");
    while (option->offset != offsetof(kt_decay, steps)) option++;
    if (!(self->steps > 0))
        status = kt_object_reject(object, context, KT_INVALID, option->name, "must be above 0.");
    return status;
}

kt_value kt_schedule_from(kt_builder *b, double number, kt_value x) {
    return kt_build_sub(b, kt_build_scalar(b, KT_F32, number), x);
}

kt_value kt_schedule_times(kt_builder *b, double number, kt_value x) {
    return kt_build_mul(b, kt_build_scalar(b, KT_F32, number), x);
}

kt_value kt_decay_progress(const kt_decay *decay, kt_builder *b, kt_value iteration) {
    return kt_build_div(b, kt_build_cast(b, iteration, KT_F32), kt_build_scalar(b, KT_F32, decay->steps));
}
