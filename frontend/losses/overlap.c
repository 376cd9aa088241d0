/* Losses of shares of what two sets have in common: Dice's coefficient and Tversky's index. */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

typedef struct overlap {
    kt_loss loss;
    const json_t *axis; /* an int or a list of ints; NULL: all */
    double alpha, beta;
} overlap;

// clang-format off
static const kt_option dice_options[] = {
    KT_LOSS_OPTIONS("dice"), KT_FIELD(overlap, axis, JSON, "null"), KT_OPTIONS_END,
};
static const kt_option tversky_options[] = {
    KT_LOSS_OPTIONS("tversky"), KT_FIELD(overlap, axis, JSON, "null"),
    KT_FIELD(overlap, alpha, FLOAT, "0.5"), KT_FIELD(overlap, beta, FLOAT, "0.5"), KT_OPTIONS_END,
};
// clang-format on

static const double epsilon = 1e-7;

/* Is axis an int or a list of ints? */
static kt_status check(kt_object *object, kt_layer_context *context) {
    const json_t *axis = ((const overlap *)object)->axis;
    bool right = !axis || json_is_integer(axis) || json_is_array(axis);
    for (size_t i = 0; i < json_array_size(axis); i++)
        right = right && json_is_integer(json_array_get(axis, i));
    if (right) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, "axis", "must be an integer or a list of integers.");
}

/* The axes to sum over, increasing; false and a problem where output has none such, or one is there twice. */
static bool find_axes(const kt_loss *loss, kt_trace *trace, kt_value output, kt_ints *out_axes) {
    const json_t *axis = ((const overlap *)loss)->axis;
    int rank = kt_build_type(trace->builder, output)->rank;
    size_t count = json_is_array(axis) ? json_array_size(axis) : axis ? 1 : 0;
    bool taken[KT_MAX_RANK] = {0};
    *out_axes = (kt_ints){0};
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(axis) ? json_array_get(axis, i) : axis;
        int at = kt_loss_axis(loss, trace, json_integer_value(item), output);
        if (at < 0) return false;
        if (taken[at]) {
            kt_loss_fail(loss, trace, KT_INVALID, "the loss '%s' has axis %d twice.", loss->name, at);
            return false;
        }
        taken[at] = true;
    }
    for (int i = 0; i < rank; i++)
        if (!axis || taken[i]) out_axes->at[out_axes->count++] = i;
    return true;
}

static kt_value sum(kt_builder *b, kt_value x, const kt_ints *axes) {
    return axes->count ? kt_build_reduce(b, x, KT_REDUCE_SUM, axes->count, axes->at) : x;
}

static kt_value one_minus(kt_builder *b, kt_value x) { return kt_build_sub(b, kt_build_like(b, x, 1), x); }

static kt_value scale(kt_builder *b, kt_value x, double factor) {
    return kt_build_mul(b, x, kt_build_like(b, x, factor));
}

static kt_value dice(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    kt_ints axes;
    if (!find_axes(loss, trace, output, &axes)) return 0;
    kt_value common = scale(b, sum(b, kt_build_mul(b, target, output), &axes), 2);
    kt_value all = kt_build_add(b, sum(b, target, &axes), sum(b, output, &axes));
    return one_minus(b, kt_build_div(b, common, kt_add_number(b, all, epsilon)));
}

static kt_value tversky(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const overlap *self = (const overlap *)loss;
    kt_builder *b = trace->builder;
    kt_ints axes;
    if (!find_axes(loss, trace, output, &axes)) return 0;
    kt_value common = sum(b, kt_build_mul(b, target, output), &axes);
    kt_value missed = sum(b, kt_build_mul(b, one_minus(b, output), target), &axes);
    kt_value wrong = sum(b, kt_build_mul(b, output, one_minus(b, target)), &axes);
    kt_value all = kt_build_add(b, common, scale(b, missed, self->alpha));
    all = kt_add_number(b, kt_build_add(b, all, scale(b, wrong, self->beta)), epsilon);
    return one_minus(b, kt_build_div(b, common, all));
}

const kt_loss_class kt_loss_dice = {.object = {.name = "Dice",
                                               .aliases = "dice",
                                               .doc = "Dice's coefficient of two sets, from 1",
                                               .bytes = sizeof(overlap),
                                               .options = dice_options,
                                               .check = check},
                                    .call = dice,
                                    .same_shape = true};
const kt_loss_class kt_loss_tversky = {
    .object = {.name = "Tversky",
               .aliases = "tversky",
               .doc = "Tversky's index, from 1: what is missed and what is wrong have weights",
               .bytes = sizeof(overlap),
               .options = tversky_options,
               .check = check},
    .call = tversky,
    .same_shape = true};
