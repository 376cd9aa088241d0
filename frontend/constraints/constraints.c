/* Keras's constraints. Those of norms scale each vector along `axis` to the norm that they want of it:
 *
 *   MaxNorm     min(norm, max_value)
 *   MinMaxNorm  rate * (norm within min_value and max_value) + (1 - rate) * norm
 *   UnitNorm    1 */
#include "frontend/constraints/constraints.h"
#include "frontend/layers/layers_impl.h"

typedef struct constraint {
    kt_object object;
    const json_t *axis; /* an axis, a list of axes, or NULL: all */
    double min_value, max_value, rate;
    kt_ints axes; /* read from axis */
} constraint;

static const kt_option no_options[] = {KT_OPTIONS_END};
static const kt_option max_options[] = {
    KT_FIELD(constraint, max_value, FLOAT, "2"),
    KT_FIELD(constraint, axis, JSON, "0"),
    KT_OPTIONS_END,
};
static const kt_option min_max_options[] = {
    KT_FIELD(constraint, min_value, FLOAT, "0.0"),
    KT_FIELD(constraint, max_value, FLOAT, "1.0"),
    KT_FIELD(constraint, rate, FLOAT, "1.0"),
    KT_FIELD(constraint, axis, JSON, "0"),
    KT_OPTIONS_END,
};
static const kt_option unit_options[] = {KT_FIELD(constraint, axis, JSON, "0"), KT_OPTIONS_END};

static kt_status check_axis(kt_object *object, kt_layer_context *context) {
    constraint *self = (constraint *)object;
    if (!self->axis || json_is_null(self->axis)) return KT_OK;
    size_t count = json_is_integer(self->axis) ? 1 : json_array_size(self->axis);
    bool valid = count >= 1 && count <= KT_MAX_RANK;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *item = json_is_integer(self->axis) ? self->axis : json_array_get(self->axis, i);
        valid = json_is_integer(item);
        self->axes.at[i] = json_integer_value(item);
    }
    self->axes.count = (uint32_t)count;
    if (valid) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, "axis", "must be an axis or a list of axes.");
}

/* The axes of a weight, from the front; false, and a problem, where it lacks one. */
static bool find_axes(const constraint *self, kt_builder *b, int rank, kt_ints *out_axes) {
    out_axes->count = 0;
    for (int axis = 0; axis < rank; axis++) {
        bool chosen = self->axes.count == 0;
        for (uint32_t i = 0; i < self->axes.count; i++)
            chosen |= self->axes.at[i] == axis || self->axes.at[i] == axis - rank;
        if (chosen) out_axes->at[out_axes->count++] = axis;
    }
    if (self->axes.count == 0 || out_axes->count == self->axes.count) return true;
    (void)kt_build_fail(b, KT_INVALID,
                        "the axes of its %s must be axes of the weight, which has %d, each once.",
                        self->object.class->name, rank);
    return false;
}

/* weight scaled from its norms to those that are desired; NULL: 1. */
typedef kt_value desire_fn(const constraint *self, kt_builder *b, kt_value norms);
static kt_value scale(const kt_object *object, kt_builder *b, kt_value weight, desire_fn *desire) {
    const constraint *self = (const constraint *)object;
    kt_ints axes;
    if (!find_axes(self, b, kt_build_type(b, weight)->rank, &axes)) return 0;
    kt_value norms = kt_build_mul(b, weight, weight);
    if (axes.count) norms = kt_build_reduce(b, norms, KT_REDUCE_SUM, axes.count, axes.at);
    norms = kt_build_sqrt(b, norms);
    kt_value divisor = kt_build_add(b, norms, kt_build_like(b, norms, 1e-7));
    if (!desire) return kt_build_div(b, weight, kt_spread(b, divisor, weight, &axes));
    kt_value factor = kt_build_div(b, desire(self, b, norms), divisor);
    return kt_build_mul(b, weight, kt_spread(b, factor, weight, &axes));
}

static kt_value clip(kt_builder *b, kt_value x, double low, double high) {
    x = kt_build_maximum(b, x, kt_build_like(b, x, low));
    return kt_build_minimum(b, x, kt_build_like(b, x, high));
}

static kt_value at_most(const constraint *self, kt_builder *b, kt_value norms) {
    return clip(b, norms, 0, self->max_value);
}

static kt_value between(const constraint *self, kt_builder *b, kt_value norms) {
    kt_value wanted = clip(b, norms, self->min_value, self->max_value);
    wanted = kt_build_mul(b, kt_build_like(b, wanted, self->rate), wanted);
    return kt_build_add(b, wanted, kt_build_mul(b, kt_build_like(b, norms, 1 - self->rate), norms));
}

static kt_value apply_max(const kt_object *object, kt_builder *b, kt_value weight) {
    return scale(object, b, weight, at_most);
}

static kt_value apply_min_max(const kt_object *object, kt_builder *b, kt_value weight) {
    return scale(object, b, weight, between);
}

static kt_value apply_unit(const kt_object *object, kt_builder *b, kt_value weight) {
    return scale(object, b, weight, NULL);
}

static kt_value apply_non_negative(const kt_object *object, kt_builder *b, kt_value weight) {
    (void)object;
    return kt_build_maximum(b, weight, kt_build_like(b, weight, 0));
}

static const kt_constraint_class max_norm = {
    {"MaxNorm", "max_norm", "norms of at most max_value", sizeof(constraint), max_options, check_axis},
    apply_max};
static const kt_constraint_class min_max_norm = {{"MinMaxNorm", "min_max_norm",
                                                  "norms from min_value to max_value", sizeof(constraint),
                                                  min_max_options, check_axis},
                                                 apply_min_max};
static const kt_constraint_class non_negative = {
    {"NonNeg", "non_neg", "no negative numbers", sizeof(constraint), no_options, NULL}, apply_non_negative};
static const kt_constraint_class unit_norm = {
    {"UnitNorm", "unit_norm", "norms of 1", sizeof(constraint), unit_options, check_axis}, apply_unit};

const kt_object_class *const kt_constraint_classes[] = {&max_norm.object, &min_max_norm.object,
                                                        &non_negative.object, &unit_norm.object, NULL};

const kt_object *kt_constraint_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    return kt_object_read(context, "constraint", kt_constraint_classes, serialized, path);
}

kt_value kt_constraint_apply(const kt_object *constraint, kt_builder *builder, kt_value weight) {
    return ((const kt_constraint_class *)constraint->class)->apply(constraint, builder, weight);
}
