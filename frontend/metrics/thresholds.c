/* Thresholds above which outputs are taken for positive. */
#include "frontend/metrics/confusion_impl.h"

#include <math.h>

bool kt_thresholds_are_even(const double *at, uint32_t count) {
    static const double absolute = 1e-7, relative = 1e-5;
    if (count < 3) return false;
    for (uint32_t i = 0; i < count; i++) {
        double even = (float)i / (float)(count - 1);
        if (!(fabs(at[i] - even) <= absolute + relative * even)) return false;
    }
    return true;
}

kt_status kt_thresholds_read(const kt_object *object, kt_layer_context *context, const char *option,
                             const json_t *value, double otherwise, kt_thresholds *out_thresholds) {
    bool list = json_is_array(value);
    size_t count = list ? json_array_size(value) : 1;
    double *at = KT_NEW_ARRAY(context->arena, double, count ? count : 1);
    *out_thresholds = (kt_thresholds){.count = (uint32_t)count, .at = at};
    if (!value) {
        at[0] = otherwise;
        return KT_OK;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *number = list ? json_array_get(value, i) : value;
        at[i] = json_number_value(number);
        if (!json_is_number(number) || !(at[i] >= 0 && at[i] <= 1)) count = 0;
    }
    if (count == 0)
        return kt_object_reject(object, context, KT_INVALID, option,
                                "must be a number from 0 to 1, or a list of such numbers.");
    out_thresholds->even = kt_thresholds_are_even(at, (uint32_t)count);
    return KT_OK;
}

kt_thresholds kt_thresholds_even(kt_arena *arena, int64_t count) {
    double *at = KT_NEW_ARRAY(arena, double, count);
    for (int64_t i = 0; i < count; i++) at[i] = count > 1 ? (double)i / (double)(count - 1) : 0.5;
    return (kt_thresholds){.count = (uint32_t)count, .at = at, .even = count > 1};
}

kt_value kt_vector_constant(kt_trace *trace, uint32_t count, const double *numbers) {
    float *data = KT_NEW_ARRAY(trace->context->arena, float, count);
    for (uint32_t i = 0; i < count; i++) data[i] = (float)numbers[i];
    const int64_t size = count;
    kt_type type = kt_type_of(trace->builder->graph->dims, KT_F32, 1, &size);
    return kt_build_constant(trace->builder, &type, data);
}
