/* Dynamic loss scaling (Micikevicius et al. 2018), around another optimizer: the loss is multiplied by a
 * scale, which doubles after many steps with finite gradients. A step whose gradients are not changes nothing
 * but the scale, which it halves. */
#include "frontend/optimizers/optimizers_impl.h"

#include <math.h>

typedef struct loss_scale {
    kt_optimizer optimizer;
    const json_t *inner_optimizer;
    double initial_scale;
    int64_t dynamic_growth_steps;
    /* once made */
    kt_optimizer *inner;
    uint32_t counter, scale; /* variables of the graph */
} loss_scale;

/* Those behind the first row of blanks are the inner optimizer's; older files have them, at their defaults.
 */
static const kt_option options[] = {
    {"name", KT_OPTION_STRING, offsetof(kt_optimizer, name), "\"loss_scale_optimizer\""},
    KT_FIELD(loss_scale, inner_optimizer, JSON),
    KT_FIELD(loss_scale, initial_scale, FLOAT, "32768.0"),
    KT_FIELD(loss_scale, dynamic_growth_steps, INT, "2000"),

    {"weight_decay", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"clipnorm", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"clipvalue", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"global_clipnorm", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"ema_overwrite_frequency", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"loss_scale_factor", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"gradient_accumulation_steps", KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true},
    {"use_ema", KT_OPTION_BOOL, offsetof(kt_optimizer, use_ema), "false", .unwritten = true},
    {"ema_momentum", KT_OPTION_FLOAT, offsetof(kt_optimizer, ema_momentum), "0.99", .unwritten = true},
    KT_OPTIONS_END,
};

static bool is_loss_scale(const json_t *serialized) {
    const char *name = json_string_value(
        json_is_string(serialized) ? serialized : json_object_get(serialized, "class_name"));
    return name && kt_options_listed("LossScaleOptimizer lossscaleoptimizer", name);
}

const json_t *kt_optimizer_scaled(kt_layer_context *context, const json_t *serialized) {
    if (is_loss_scale(serialized)) return serialized;
    json_t *inner = json_deep_copy(serialized);
    json_t *outer =
        json_pack("{s:s, s:{s:o}}", "class_name", "LossScaleOptimizer", "config", "inner_optimizer", inner);
    if (!outer) KT_BUG("an optimizer cannot be wrapped");
    kt_arena_defer(context->arena, kt_json_release, outer);
    return outer;
}

static kt_status check(kt_object *object, kt_layer_context *context) {
    loss_scale *self = (loss_scale *)object;
    const kt_optimizer *own = &self->optimizer;
    static const char inner_only[] = "belongs to the inner optimizer.";
    KT_TRY(kt_optimizer_check_range(object, context, "use_ema", !own->use_ema, inner_only));
    KT_TRY(kt_optimizer_check_range(object, context, "ema_momentum", own->ema_momentum == 0.99, inner_only));
    const char *path = kt_arena_format(context->arena, "%s/inner_optimizer", object->path);
    if (is_loss_scale(self->inner_optimizer))
        return kt_object_reject(object, context, KT_UNSUPPORTED, "inner_optimizer",
                                "is a LossScaleOptimizer, too; one is enough.");
    self->inner = kt_optimizer_read(context, self->inner_optimizer, path);
    if (!self->inner) return KT_INVALID;
    self->inner->wrapped = true;
    self->inner->loss_scale_factor = NAN; /* as Keras: else gradients would be scaled twice */
    return KT_OK;
}

static void build(kt_optimizer *optimizer, kt_trace *trace, const uint32_t *variables, uint32_t count) {
    loss_scale *self = (loss_scale *)optimizer;
    const kt_type counter = {.dtype = KT_I64}, scalar = {.dtype = KT_F32};
    kt_optimizer_add_variable(optimizer, trace, "loss_scale_optimizer/iteration", &counter, 0);
    kt_optimizer_add_variable(optimizer, trace, "loss_scale_optimizer/learning_rate", &scalar, 0);
    self->counter =
        kt_optimizer_add_variable(optimizer, trace, "loss_scale_optimizer/step_counter", &counter, 0);
    self->scale = kt_optimizer_add_variable(optimizer, trace, "loss_scale_optimizer/dynamic_scale", &scalar,
                                            self->initial_scale);
    self->inner->first = optimizer->first + optimizer->count;
    kt_optimizer_build(self->inner, trace, variables, count);
}

static kt_value all_finite(kt_trace *trace, const kt_value *gradients, uint32_t count) {
    kt_builder *b = trace->builder;
    kt_value all = kt_build_scalar(b, KT_BOOL, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (!gradients[i]) continue;
        kt_value finite = kt_build_is_finite(b, gradients[i]);
        int rank = kt_build_type(b, finite)->rank;
        int64_t axes[KT_MAX_RANK];
        for (int axis = 0; axis < rank; axis++) axes[axis] = axis;
        if (rank) finite = kt_build_reduce(b, finite, KT_REDUCE_MINIMUM, (uint32_t)rank, axes);
        all = kt_build_and(b, all, finite);
    }
    return all;
}

static void apply(kt_optimizer *optimizer, kt_trace *trace, const kt_value *gradients) {
    loss_scale *self = (loss_scale *)optimizer;
    kt_builder *b = trace->builder;
    uint32_t count = self->inner->trained.count;
    kt_value *unscaled = KT_NEW_ARRAY(trace->context->arena, kt_value, count + 1);
    kt_value scale = kt_trace_variable(trace, self->scale), counter = kt_trace_variable(trace, self->counter);
    kt_value finite = all_finite(trace, gradients, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!gradients[i]) continue;
        kt_dtype dtype = kt_build_type(b, gradients[i])->dtype;
        unscaled[i] = kt_optimizer_divide(trace, gradients[i], kt_build_cast(b, scale, dtype));
    }
    optimizer->only_if = self->inner->only_if = finite;
    kt_optimizer_apply(self->inner, trace, unscaled);
    kt_value last = kt_build_scalar(b, KT_I64, (double)(self->dynamic_growth_steps - 1));
    kt_value grows = kt_build_eq(b, counter, last);
    kt_value zero = kt_build_scalar(b, KT_I64, 0),
             next = kt_build_add(b, counter, kt_build_scalar(b, KT_I64, 1));
    next = kt_build_select(b, kt_build_or(b, grows, kt_build_not(b, finite)), zero, next);
    kt_value factor = kt_build_select(b, grows, kt_build_scalar(b, KT_F32, 2), kt_build_scalar(b, KT_F32, 1));
    factor = kt_build_select(b, finite, factor, kt_build_scalar(b, KT_F32, 0.5));
    kt_trace_assign_variable(trace, self->counter, next);
    kt_trace_assign_variable(trace, self->scale, kt_build_mul(b, scale, factor));
}

static void list_copies(const kt_optimizer *optimizer, kt_arena *arena, const char *place,
                        kt_optimizer_copies *out_copies) {
    kt_optimizer_copy(((const loss_scale *)optimizer)->inner, arena,
                      kt_arena_format(arena, "%s/inner_optimizer", place), out_copies);
}

static kt_value scale_of_loss(kt_optimizer *optimizer, kt_trace *trace) {
    return kt_trace_variable(trace, ((const loss_scale *)optimizer)->scale);
}

static const kt_optimizer_frame frame = {
    .build = build, .apply = apply, .list_copies = list_copies, .loss_scale = scale_of_loss};
const kt_optimizer_class kt_optimizer_loss_scale_optimizer = {
    {.name = "LossScaleOptimizer",
     .aliases = "lossscaleoptimizer",
     .doc = "another optimizer, with a loss scale that finds itself",
     .bytes = sizeof(loss_scale),
     .options = options,
     .check = check},
    .frame = &frame};
