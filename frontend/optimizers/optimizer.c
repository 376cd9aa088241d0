/* What all optimizers do: variables, learning rate, and the frame around an update.
 *
 * A step is static: what Keras does in every n-th step only, or in none where gradients are not finite, is
 * computed in each, and kept by a select. */
#include "frontend/layers/layers_impl.h"
#include "frontend/optimizers/optimizers_impl.h"
#include "ir/element.h"
#include "runtime/abi.h"

#include <math.h>
#include <string.h>

const kt_object_class *const kt_optimizer_classes[] = {
#define KT_OPTIMIZER(name) &kt_optimizer_##name.object,
#include "frontend/optimizers/classes.def"
#undef KT_OPTIMIZER
    NULL};

static const kt_optimizer_class *class_of(const kt_optimizer *optimizer) {
    return (const kt_optimizer_class *)optimizer->object.class;
}

/* ---- options --------------------------------------------------------------------------------- */
/* Is an optional number given that turns its feature on? */
static bool positive(double number) { return number > 0; }

static kt_status check_options(const kt_optimizer *o, kt_layer_context *context) {
    const kt_object *object = &o->object;
    kt_status status = json_is_number(o->learning_rate) || o->schedule ? KT_OK : KT_INVALID;
    int clips = !isnan(o->clipnorm) + !isnan(o->clipvalue) + !isnan(o->global_clipnorm);
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "clipnorm", clips < 2,
                                                "cannot be set together with clipvalue or global_clipnorm: "
                                                "only one of the three can."));
    int64_t steps = o->gradient_accumulation_steps;
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "gradient_accumulation_steps",
                                                steps == KT_NONE_INT || steps == 0 || steps >= 2,
                                                "must be an integer of at least 2, or null."));
    if (!o->use_ema) return status;
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "ema_momentum",
                                                o->ema_momentum >= 0 && o->ema_momentum <= 1,
                                                "must be between 0 and 1."));
    int64_t frequency = o->ema_overwrite_frequency;
    KT_COLLECT(status, kt_optimizer_check_range(object, context, "ema_overwrite_frequency",
                                                frequency == KT_NONE_INT || frequency >= 0,
                                                "must be an integer of at least 1, or null."));
    return status;
}

kt_optimizer *kt_optimizer_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    kt_optimizer *optimizer =
        (kt_optimizer *)kt_object_read(context, "optimizer", kt_optimizer_classes, serialized, path);
    if (!optimizer || class_of(optimizer)->frame) return optimizer;
    if (!json_is_number(optimizer->learning_rate))
        optimizer->schedule = kt_schedule_read(context, optimizer->learning_rate,
                                               kt_arena_format(context->arena, "%s/learning_rate", path));
    return check_options(optimizer, context) == KT_OK ? optimizer : NULL;
}

/* ---- variables ------------------------------------------------------------------------------- */
static const void *filled(kt_arena *arena, kt_graph *graph, const kt_type *type, double number) {
    if (number == 0) return NULL;
    size_t count = (size_t)kt_type_static_elements(graph->dims, type);
    void *data = kt_arena_array(arena, count, kt_dtype_bytes(type->dtype));
    for (size_t i = 0; i < count; i++) kt_element_set_float(type->dtype, data, i, number);
    return data;
}

uint32_t kt_optimizer_add_variable(kt_optimizer *optimizer, kt_trace *trace, const char *name,
                                   const kt_type *type, double begin) {
    kt_arena *arena = trace->context->arena;
    kt_graph *graph = trace->builder->graph;
    const kt_variable variable = {
        .path = kt_arena_format(arena, "optimizer/%s%s", optimizer->folder ? optimizer->folder : "", name),
        .file_path = kt_arena_format(arena, "optimizer/vars/%u", optimizer->first + optimizer->count++),
        .type = *type,
        .kind = KT_VARIABLE_SLOT,
        .data = filled(arena, graph, type, begin)};
    return kt_graph_add_variable(graph, &variable);
}

uint32_t kt_optimizer_add_loose(kt_optimizer *optimizer, kt_trace *trace, const char *name,
                                const kt_type *type, double begin) {
    uint32_t variable = kt_optimizer_add_variable(optimizer, trace, name, type, begin);
    if (optimizer->wrapped) {
        trace->builder->graph->variables.at[variable].file_path = NULL;
        optimizer->count--;
    }
    return variable;
}

kt_type kt_optimizer_type(const kt_optimizer *optimizer, const kt_trace *trace, uint32_t i) {
    return trace->builder->graph->variables.at[optimizer->trained.at[i]].type;
}

/* "optimizer/dense_kernel_NAME", as Keras writes a variable's path in slots' names. */
static uint32_t add_beside(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, const char *name,
                           const kt_type *type, double begin) {
    const char *path = trace->builder->graph->variables.at[optimizer->trained.at[i]].path;
    char *flat = kt_arena_format(trace->context->arena, "%s_%s", path, name);
    for (char *p = flat; *p; p++)
        if (*p == '/') *p = '_';
    return kt_optimizer_add_variable(optimizer, trace, flat, type, begin);
}

void kt_optimizer_add_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot,
                           const char *name, const kt_type *type, double begin) {
    KT_ASSERT(slot < KT_OPTIMIZER_SLOTS);
    optimizer->slots.at[i * KT_OPTIMIZER_SLOTS + slot] = add_beside(optimizer, trace, i, name, type, begin);
}

void kt_optimizer_add_slots(kt_optimizer *optimizer, kt_trace *trace, uint32_t slot,
                            const char *const *names) {
    for (uint32_t i = 0; i < optimizer->trained.count; i++) {
        const kt_type type = kt_optimizer_type(optimizer, trace, i);
        for (uint32_t k = 0; names[k]; k++)
            kt_optimizer_add_slot(optimizer, trace, i, slot + k, names[k], &type, 0);
    }
}

void kt_optimizer_add_counters(kt_optimizer *o, kt_trace *trace) {
    const kt_type counter = {.dtype = KT_I64}, scalar = {.dtype = KT_F32};
    o->iteration = kt_optimizer_add_variable(o, trace, "iteration", &counter, 0);
    if (!o->schedule)
        o->rate = kt_optimizer_add_variable(o, trace, "learning_rate", &scalar,
                                            json_number_value(o->learning_rate));
}

static void build(kt_optimizer *o, kt_trace *trace, const uint32_t *variables, uint32_t count) {
    kt_arena *arena = trace->context->arena;
    kt_optimizer_add_counters(o, trace);
    for (uint32_t i = 0; i < count; i++) {
        KT_PUSH(arena, &o->trained, variables[i]);
        for (int slot = 0; slot < KT_OPTIMIZER_SLOTS; slot++) KT_PUSH(arena, &o->slots, 0);
    }
    for (uint32_t i = 0; i < count && o->use_ema; i++) {
        const kt_type type = kt_optimizer_type(o, trace, i);
        KT_PUSH(arena, &o->averages, add_beside(o, trace, i, "average", &type, 0));
    }
    for (uint32_t i = 0; i < count && o->gradient_accumulation_steps > 0; i++) {
        const kt_type type = kt_optimizer_type(o, trace, i);
        KT_PUSH(arena, &o->accumulators, add_beside(o, trace, i, "gradient_accumulator", &type, 0));
    }
    if (class_of(o)->build) class_of(o)->build(o, trace);
}

void kt_optimizer_build(kt_optimizer *optimizer, kt_trace *trace, const uint32_t *variables, uint32_t count) {
    const kt_optimizer_frame *frame = class_of(optimizer)->frame;
    (frame ? frame->build : build)(optimizer, trace, variables, count);
}

const char *kt_optimizer_name(const kt_optimizer *optimizer) { return optimizer->name; }

void kt_optimizer_list_copies(const kt_optimizer *optimizer, kt_arena *arena, const char *place,
                              kt_optimizer_copies *out_copies) {
    const kt_optimizer_frame *frame = class_of(optimizer)->frame;
    if (frame) frame->list_copies(optimizer, arena, place, out_copies);
}

void kt_optimizer_copy(const kt_optimizer *optimizer, kt_arena *arena, const char *place,
                       kt_optimizer_copies *out_copies) {
    const kt_abi_copies own = {place, optimizer->name, optimizer->first, optimizer->count};
    KT_PUSH(arena, out_copies, own);
    kt_optimizer_list_copies(optimizer, arena, place, out_copies);
}

static uint32_t slot_variable(const kt_optimizer *optimizer, uint32_t i, uint32_t slot) {
    return optimizer->slots.at[i * KT_OPTIMIZER_SLOTS + slot];
}

kt_value kt_optimizer_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot) {
    return kt_trace_variable(trace, slot_variable(optimizer, i, slot));
}

void kt_optimizer_set_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot,
                           kt_value value) {
    kt_optimizer_assign(optimizer, trace, slot_variable(optimizer, i, slot), value);
}

void kt_optimizer_assign(kt_optimizer *optimizer, kt_trace *trace, uint32_t variable, kt_value value) {
    if (optimizer->only_if)
        value = kt_optimizer_choose(trace, optimizer->only_if, value, kt_trace_variable(trace, variable));
    kt_trace_assign_variable(trace, variable, value);
}

/* ---- gradients ------------------------------------------------------------------------------- */
/* Adds gradients to what was gathered. Only every n-th step goes on, with the mean. */
static void accumulate(kt_optimizer *o, kt_trace *trace, kt_value next, kt_value *gradients) {
    kt_builder *b = trace->builder;
    int64_t steps = o->gradient_accumulation_steps;
    kt_value place = kt_build_rem(b, next, kt_build_scalar(b, KT_I64, (double)steps));
    kt_value last = kt_build_eq(b, place, kt_build_scalar(b, KT_I64, 0));
    for (uint32_t i = 0; i < o->trained.count; i++) {
        if (!gradients[i]) continue;
        kt_value sum = kt_build_add(b, gradients[i], kt_trace_variable(trace, o->accumulators.at[i]));
        kt_optimizer_assign(o, trace, o->accumulators.at[i],
                            kt_optimizer_choose(trace, last, kt_build_like(b, sum, 0), sum));
        gradients[i] = kt_build_div(b, sum, kt_build_like(b, sum, (double)steps));
    }
    o->only_if = o->only_if ? kt_build_and(b, o->only_if, last) : last;
}

/* gradient, or as much of it as has the norm `limit`. */
static kt_value clip_norm(kt_trace *trace, kt_value gradient, double limit) {
    kt_builder *b = trace->builder;
    kt_value norm = kt_build_sqrt(b, kt_optimizer_sum(trace, kt_optimizer_square(trace, gradient)));
    return kt_optimizer_divide(trace, kt_optimizer_scale_by(trace, gradient, limit),
                               kt_build_maximum(b, norm, kt_build_like(b, norm, limit)));
}

/* The same of all gradients together. Where the norm is not finite, all become NaN, as in Keras. */
static void clip_global_norm(const kt_optimizer *o, kt_trace *trace, kt_value *gradients) {
    kt_builder *b = trace->builder;
    kt_value sum = 0;
    for (uint32_t i = 0; i < o->trained.count; i++) {
        if (!gradients[i]) continue;
        kt_value own = kt_optimizer_sum(trace, kt_optimizer_square(trace, gradients[i]));
        own = kt_build_cast(b, own, KT_F32);
        sum = sum ? kt_build_add(b, sum, own) : own;
    }
    kt_value norm = kt_build_sqrt(b, sum), limit = kt_build_scalar(b, KT_F32, o->global_clipnorm);
    kt_value one = kt_build_scalar(b, KT_F32, 1);
    kt_value share = kt_build_minimum(b, kt_build_div(b, one, norm), kt_build_div(b, one, limit));
    share = kt_build_select(b, kt_build_is_finite(b, norm), kt_build_mul(b, limit, share),
                            kt_build_scalar(b, KT_F32, NAN));
    for (uint32_t i = 0; i < o->trained.count; i++) {
        if (!gradients[i]) continue;
        kt_dtype dtype = kt_build_type(b, gradients[i])->dtype;
        gradients[i] = kt_optimizer_scale(trace, gradients[i], kt_build_cast(b, share, dtype));
    }
}

static void clip(const kt_optimizer *o, kt_trace *trace, kt_value *gradients) {
    kt_builder *b = trace->builder;
    if (!positive(o->clipnorm) && positive(o->global_clipnorm)) {
        clip_global_norm(o, trace, gradients);
        return;
    }
    for (uint32_t i = 0; i < o->trained.count; i++) {
        kt_value gradient = gradients[i];
        if (!gradient) continue;
        if (positive(o->clipnorm)) {
            gradients[i] = clip_norm(trace, gradient, o->clipnorm);
        } else if (positive(o->clipvalue)) {
            kt_value below = kt_build_minimum(b, gradient, kt_build_like(b, gradient, o->clipvalue));
            gradients[i] = kt_build_maximum(b, below, kt_build_like(b, gradient, -o->clipvalue));
        }
    }
}

/* ---- a step ---------------------------------------------------------------------------------- */
static kt_value decay(const kt_optimizer *o, kt_trace *trace, uint32_t i, kt_value variable) {
    double share = class_of(o)->decay ? class_of(o)->decay(o, trace, i) : o->weight_decay;
    if (isnan(share)) return variable;
    kt_dtype dtype = kt_build_type(trace->builder, variable)->dtype;
    kt_value lost = kt_optimizer_scale(trace, kt_optimizer_scale_by(trace, variable, share),
                                       kt_optimizer_rate(o, trace, dtype));
    return kt_build_sub(trace->builder, variable, lost);
}

/* The moving averages of variables, which begin as the variables after the first step; and in every n-th
 * step they take the variables' place. */
static void average(kt_optimizer *o, kt_trace *trace) {
    kt_builder *b = trace->builder;
    kt_value zero = kt_build_scalar(b, KT_I64, 0), overwrites = 0;
    kt_value begun = kt_build_ne(b, o->updates, zero);
    if (o->ema_overwrite_frequency > 0) {
        kt_value frequency = kt_build_scalar(b, KT_I64, (double)o->ema_overwrite_frequency);
        kt_value place = kt_build_rem(b, kt_optimizer_step(o, trace, KT_I64, 0), frequency);
        overwrites = kt_build_eq(b, place, zero);
    }
    for (uint32_t i = 0; i < o->trained.count; i++) {
        kt_value variable = kt_trace_variable(trace, o->trained.at[i]);
        kt_value old = kt_trace_variable(trace, o->averages.at[i]);
        kt_dtype dtype = kt_build_type(b, variable)->dtype;
        kt_value share =
            kt_build_mul(b, kt_build_cast(b, begun, dtype), kt_build_scalar(b, dtype, o->ema_momentum));
        kt_value rest = kt_build_sub(b, kt_build_scalar(b, dtype, 1), share);
        kt_value mean =
            kt_build_add(b, kt_optimizer_scale(trace, old, share), kt_optimizer_scale(trace, variable, rest));
        kt_optimizer_assign(o, trace, o->averages.at[i], mean);
        if (overwrites)
            kt_optimizer_assign(o, trace, o->trained.at[i],
                                kt_optimizer_choose(trace, overwrites, mean, variable));
    }
}

static void apply(kt_optimizer *o, kt_trace *trace, const kt_value *given) {
    kt_builder *b = trace->builder;
    const kt_value condition = o->only_if;
    uint32_t count = o->trained.count;
    kt_value *gradients = KT_NEW_ARRAY(trace->context->arena, kt_value, count + 1);
    kt_value iteration = kt_trace_variable(trace, o->iteration);
    kt_value next = kt_build_add(b, iteration, kt_build_scalar(b, KT_I64, 1));
    o->learning_rate_now =
        o->schedule ? kt_schedule_value(o->schedule, trace, iteration) : kt_trace_variable(trace, o->rate);
    o->updates = iteration;
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        gradients[i] = given[i];
        any = any || given[i];
        if (given[i] && !isnan(o->loss_scale_factor))
            gradients[i] = kt_build_div(b, given[i], kt_build_like(b, given[i], o->loss_scale_factor));
    }
    if (count && !any) {
        kt_trace_fail(trace, KT_INVALID, "the loss depends on none of the variables that %s trains.",
                      o->object.class->name);
        return;
    }
    if (o->gradient_accumulation_steps > 0) {
        kt_value steps = kt_build_scalar(b, KT_I64, (double)o->gradient_accumulation_steps);
        o->updates = kt_build_div(b, iteration, steps);
        accumulate(o, trace, next, gradients);
    }
    clip(o, trace, gradients);
    if (class_of(o)->begin) class_of(o)->begin(o, trace);
    for (uint32_t i = 0; i < count; i++) {
        if (!gradients[i]) continue;
        kt_value value = decay(o, trace, i, kt_trace_variable(trace, o->trained.at[i]));
        value = class_of(o)->update(o, trace, i, value, gradients[i]);
        kt_optimizer_assign(o, trace, o->trained.at[i], value);
    }
    o->only_if = condition;
    if (o->use_ema) average(o, trace);
    kt_optimizer_assign(o, trace, o->iteration, next);
}

void kt_optimizer_apply(kt_optimizer *optimizer, kt_trace *trace, const kt_value *gradients) {
    const kt_optimizer_frame *frame = class_of(optimizer)->frame;
    (frame ? frame->apply : apply)(optimizer, trace, gradients);
}

kt_value kt_optimizer_moves(const kt_optimizer *optimizer) { return optimizer->only_if; }

kt_value kt_optimizer_loss_scale(kt_optimizer *optimizer, kt_trace *trace) {
    const kt_optimizer_frame *frame = class_of(optimizer)->frame;
    if (frame && frame->loss_scale) return frame->loss_scale(optimizer, trace);
    if (isnan(optimizer->loss_scale_factor)) return 0;
    return kt_build_scalar(trace->builder, KT_F32, optimizer->loss_scale_factor);
}
