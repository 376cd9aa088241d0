/* What all optimizers do: variables, learning rate, and the frame around an update. */
#include "frontend/optimizers/optimizers_impl.h"

#include <math.h>
#include <string.h>

static const kt_object_class *const classes[] = {
#define KT_OPTIMIZER(name) &kt_optimizer_##name.object,
#include "frontend/optimizers/classes.def"
#undef KT_OPTIMIZER
    NULL};

static const kt_optimizer_class *class_of(const kt_optimizer *optimizer) {
    return (const kt_optimizer_class *)optimizer->object.class;
}

/* What the option table reads and nothing here does yet. */
static kt_status refuse_unsupported(const kt_optimizer *optimizer, kt_layer_context *context) {
    const struct {
        const char *name;
        bool used;
    } options[] = {
        {"weight_decay", !isnan(optimizer->weight_decay)},
        {"clipnorm", optimizer->clipnorm > 0},
        {"clipvalue", optimizer->clipvalue > 0},
        {"global_clipnorm", optimizer->global_clipnorm > 0},
        {"use_ema", optimizer->use_ema},
        {"loss_scale_factor", optimizer->loss_scale_factor > 0},
        {"gradient_accumulation_steps", optimizer->gradient_accumulation_steps > 0},
        {"learning_rate", !json_is_number(optimizer->learning_rate)},
    };
    kt_status status = KT_OK;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].used)
            status = kt_object_reject(&optimizer->object, context, KT_UNSUPPORTED, options[i].name,
                                      "is not supported yet.");
    return status;
}

kt_optimizer *kt_optimizer_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    kt_optimizer *optimizer = (kt_optimizer *)kt_object_read(context, "optimizer", classes, serialized, path);
    if (!optimizer || refuse_unsupported(optimizer, context) != KT_OK) return NULL;
    return optimizer;
}

static uint32_t add_variable(kt_optimizer *optimizer, kt_trace *trace, const char *name, const kt_type *type,
                             const void *begin, uint32_t *number) {
    kt_arena *arena = trace->context->arena;
    (void)optimizer;
    const kt_variable variable = {.path = kt_arena_format(arena, "optimizer/%s", name),
                                  .file_path = kt_arena_format(arena, "optimizer/vars/%u", (*number)++),
                                  .type = *type,
                                  .kind = KT_VARIABLE_SLOT,
                                  .data = begin};
    return kt_graph_add_variable(trace->builder->graph, &variable);
}

/* "dense/kernel" as Keras writes it in slots' names. */
static char *flat_path(kt_arena *arena, const char *path) {
    char *flat = kt_arena_format(arena, "%s", path);
    for (char *p = flat; *p; p++)
        if (*p == '/') *p = '_';
    return flat;
}

void kt_optimizer_build(kt_optimizer *optimizer, kt_trace *trace, const uint32_t *variables, uint32_t count) {
    kt_arena *arena = trace->context->arena;
    kt_graph *graph = trace->builder->graph;
    uint32_t number = 0;
    const kt_optimizer_class *class = class_of(optimizer);
    bool slotless = class->slotless && class->slotless(optimizer);
    const kt_type counter = {.dtype = KT_I64}, scalar = {.dtype = KT_F32};
    const float rate = (float)json_number_value(optimizer->learning_rate);
    optimizer->iteration = add_variable(optimizer, trace, "iteration", &counter, NULL, &number);
    optimizer->rate = add_variable(optimizer, trace, "learning_rate", &scalar,
                                   kt_arena_copy(arena, &rate, sizeof rate), &number);
    for (uint32_t i = 0; i < count; i++) {
        const kt_variable variable = graph->variables.at[variables[i]];
        KT_PUSH(arena, &optimizer->trained, variables[i]);
        for (const char *const *slot = class->slots; !slotless && *slot; slot++) {
            const char *name = kt_arena_format(arena, "%s_%s", flat_path(arena, variable.path), *slot);
            KT_PUSH(arena, &optimizer->slots,
                    add_variable(optimizer, trace, name, &variable.type, NULL, &number));
        }
    }
}

static uint32_t slot_variable(const kt_optimizer *optimizer, uint32_t i, uint32_t slot) {
    uint32_t slots = optimizer->trained.count ? optimizer->slots.count / optimizer->trained.count : 0;
    return optimizer->slots.at[i * slots + slot];
}

kt_value kt_optimizer_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot) {
    return kt_trace_variable(trace, slot_variable(optimizer, i, slot));
}

void kt_optimizer_set_slot(kt_optimizer *optimizer, kt_trace *trace, uint32_t i, uint32_t slot,
                           kt_value value) {
    kt_trace_assign_variable(trace, slot_variable(optimizer, i, slot), value);
}

kt_value kt_optimizer_scale(kt_trace *trace, kt_value x, kt_value scalar) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, x);
    return kt_build_mul(b, x,
                        kt_build_broadcast_to(b, kt_build_cast(b, scalar, type.dtype), type.rank, type.dims));
}

kt_value kt_optimizer_scale_by(kt_trace *trace, kt_value x, double number) {
    return kt_build_mul(trace->builder, x, kt_build_like(trace->builder, x, number));
}

void kt_optimizer_apply(kt_optimizer *optimizer, kt_trace *trace, const kt_value *gradients) {
    kt_builder *b = trace->builder;
    kt_value iteration = kt_trace_variable(trace, optimizer->iteration);
    kt_value next = kt_build_add(b, iteration, kt_build_scalar(b, KT_I64, 1));
    optimizer->step = kt_build_cast(b, next, KT_F32);
    optimizer->learning_rate_now = kt_trace_variable(trace, optimizer->rate);
    for (uint32_t i = 0; i < optimizer->trained.count; i++) {
        uint32_t variable = optimizer->trained.at[i];
        kt_value value = kt_trace_variable(trace, variable);
        value = class_of(optimizer)->update(optimizer, trace, i, value, gradients[i]);
        kt_trace_assign_variable(trace, variable, value);
    }
    kt_trace_assign_variable(trace, optimizer->iteration, next);
}

kt_value kt_optimizer_loss_scale(kt_optimizer *optimizer, kt_trace *trace) {
    (void)optimizer;
    (void)trace;
    return 0;
}
