/* Several optimizers, each of which moves the variables that a map gives it: by a variable's path, or by a
 * regular expression that matches all of it; what the map does not name goes to the default. */
#include "frontend/layers/layers_impl.h"
#include "frontend/optimizers/optimizers_impl.h"

#include <string.h>

typedef struct member {
    const char *pattern; /* NULL: the default, which is the last */
    kt_optimizer *optimizer;
    KT_VECTOR(uint32_t) places; /* of its variables, among those that are trained */
} member;

typedef struct multi_optimizer {
    kt_optimizer optimizer;
    const json_t *optimizer_map;
    /* once read */
    KT_VECTOR(member) members; /* in the order of Keras's files */
} multi_optimizer;

static const kt_option options[] = {
    {"name", KT_OPTION_STRING, offsetof(kt_optimizer, name), "\"multi_optimizer\""},
    KT_FIELD(multi_optimizer, optimizer_map, JSON),
    {"loss_scale_factor", KT_OPTION_OPTIONAL_FLOAT, offsetof(kt_optimizer, loss_scale_factor), "null"},
    KT_OPTIONS_END,
};

/* ---- members --------------------------------------------------------------------------------- */
static bool is_taken(const multi_optimizer *self, const char *folder) {
    bool taken = kt_options_listed("loss_scale_optimizer/ multi_optimizer/", folder);
    for (uint32_t i = 0; i < self->members.count; i++)
        taken = taken || strcmp(self->members.at[i].optimizer->folder, folder) == 0;
    return taken;
}

/* The member's name, with a number where it has been given to another. */
static const char *make_folder(const multi_optimizer *self, kt_arena *arena, const char *name) {
    char *flat = kt_arena_format(arena, "%s", name && *name ? name : "optimizer");
    for (char *p = flat; *p; p++)
        if (*p == '/' || *p == ' ') *p = '_';
    const char *folder = kt_arena_format(arena, "%s/", flat);
    for (int i = 1; is_taken(self, folder); i++) folder = kt_arena_format(arena, "%s_%d/", flat, i);
    return folder;
}

static kt_status add_member(multi_optimizer *self, kt_layer_context *context, const char *pattern,
                            const json_t *serialized, const char *path) {
    const kt_object *object = &self->optimizer.object;
    bool understood = true;
    if (pattern) (void)kt_optimizer_matches(pattern, "", true, &understood);
    if (!understood)
        return kt_object_reject(object, context, KT_UNSUPPORTED, "optimizer_map",
                                "must have paths or plain regular expressions for keys; '%s' is none.",
                                pattern);
    kt_optimizer *optimizer = kt_optimizer_read(context, serialized, path);
    if (!optimizer) return KT_INVALID;
    if (((const kt_optimizer_class *)optimizer->object.class)->frame)
        return kt_object_reject(object, context, KT_INVALID, "optimizer_map", "cannot hold a %s.",
                                optimizer->object.class->name);
    optimizer->folder = make_folder(self, context->arena, optimizer->name);
    const member added = {.pattern = pattern, .optimizer = optimizer};
    KT_PUSH(context->arena, &self->members, added);
    return KT_OK;
}

static kt_status check(kt_object *object, kt_layer_context *context) {
    multi_optimizer *self = (multi_optimizer *)object;
    const json_t *config = json_object_get(self->optimizer_map, "config"), *map;
    const char *name = json_string_value(json_object_get(self->optimizer_map, "class_name")), *pattern;
    kt_status status = KT_OK;
    json_t *serialized;
    if (!name || strcmp(name, "OptimizerMap") != 0)
        return kt_object_reject(object, context, KT_UNSUPPORTED, "optimizer_map",
                                "must be an OptimizerMap; a function of a variable cannot be read.");
    const char *path = kt_arena_format(context->arena, "%s/optimizer_map", object->path);
    map = json_object_get(config, "optimizer_map");
    json_object_foreach((json_t *)map, pattern, serialized)
        KT_COLLECT(status, add_member(self, context, pattern, serialized,
                                      kt_arena_format(context->arena, "%s/%s", path, pattern)));
    KT_COLLECT(status, add_member(self, context, NULL, json_object_get(config, "default_optimizer"),
                                  kt_arena_format(context->arena, "%s/default_optimizer", path)));
    return status;
}

/* ---- variables ------------------------------------------------------------------------------- */
/* Which member moves a variable. A key that is the path goes before all that match. */
static member *find_member(multi_optimizer *self, kt_trace *trace, const char *path) {
    member *found = NULL, *last = &self->members.at[self->members.count - 1];
    bool understood;
    for (member *m = self->members.at; m < last; m++)
        if (strcmp(m->pattern, path) == 0) return m;
    for (member *m = self->members.at; m < last; m++) {
        if (!kt_optimizer_matches(m->pattern, path, true, &understood)) continue;
        if (found)
            kt_trace_fail(
                trace, KT_INVALID,
                "the option 'optimizer_map' of MultiOptimizer has two keys that match %s: '%s' and '%s'.",
                path, found->pattern, m->pattern);
        found = m;
    }
    return found ? found : last;
}

static void build(kt_optimizer *optimizer, kt_trace *trace, const uint32_t *variables, uint32_t count) {
    multi_optimizer *self = (multi_optimizer *)optimizer;
    kt_arena *arena = trace->context->arena;
    const kt_type counter = {.dtype = KT_I64}, scalar = {.dtype = KT_F32};
    optimizer->iteration =
        kt_optimizer_add_variable(optimizer, trace, "multi_optimizer/iteration", &counter, 0);
    (void)kt_optimizer_add_variable(optimizer, trace, "multi_optimizer/learning_rate", &scalar, 0);
    for (uint32_t i = 0; i < count; i++) {
        member *m = find_member(self, trace, trace->builder->graph->variables.at[variables[i]].path);
        KT_PUSH(arena, &m->places, i);
        KT_PUSH(arena, &optimizer->trained, variables[i]);
    }
    for (member *m = self->members.at; m < self->members.at + self->members.count; m++) {
        uint32_t *own = KT_NEW_ARRAY(arena, uint32_t, m->places.count + 1);
        for (uint32_t k = 0; k < m->places.count; k++) own[k] = variables[m->places.at[k]];
        m->optimizer->first = optimizer->first + optimizer->count;
        m->optimizer->wrapped = optimizer->wrapped;
        m->optimizer->loss_scale_factor = optimizer->loss_scale_factor;
        if (m->places.count)
            kt_optimizer_build(m->optimizer, trace, own, m->places.count);
        else
            kt_optimizer_add_counters(m->optimizer, trace);
        optimizer->count += m->optimizer->count;
    }
}

/* Keras counts members by class, not by name. */
static void list_copies(const kt_optimizer *optimizer, kt_arena *arena, const char *place,
                        kt_optimizer_copies *out_copies) {
    const multi_optimizer *self = (const multi_optimizer *)optimizer;
    kt_table used = {0};
    for (uint32_t i = 0; i < self->members.count; i++) {
        const kt_optimizer *own = self->members.at[i].optimizer;
        const char *name = kt_layer_snake_case(arena, own->object.class->name);
        uint32_t *number = kt_table_add(&used, arena, name, strlen(name), 0);
        const char *suffix = *number ? kt_arena_format(arena, "_%u", *number) : "";
        ++*number;
        kt_optimizer_copy(own, arena, kt_arena_format(arena, "%s/optimizers/%s%s", place, name, suffix),
                          out_copies);
    }
}

/* ---- a step ---------------------------------------------------------------------------------- */
static void apply(kt_optimizer *optimizer, kt_trace *trace, const kt_value *gradients) {
    multi_optimizer *self = (multi_optimizer *)optimizer;
    kt_builder *b = trace->builder;
    kt_value *own = KT_NEW_ARRAY(trace->context->arena, kt_value, optimizer->trained.count + 1);
    for (member *m = self->members.at; m < self->members.at + self->members.count; m++) {
        if (!m->places.count) continue;
        for (uint32_t k = 0; k < m->places.count; k++) own[k] = gradients[m->places.at[k]];
        m->optimizer->only_if = optimizer->only_if;
        kt_optimizer_apply(m->optimizer, trace, own);
    }
    kt_value iteration = kt_trace_variable(trace, optimizer->iteration);
    kt_optimizer_assign(optimizer, trace, optimizer->iteration,
                        kt_build_add(b, iteration, kt_build_scalar(b, KT_I64, 1)));
}

static const kt_optimizer_frame frame = {.build = build, .apply = apply, .list_copies = list_copies};
const kt_optimizer_class kt_optimizer_multi_optimizer = {
    {.name = "MultiOptimizer",
     .aliases = "multioptimizer",
     .doc = "several optimizers, each for variables of its own",
     .bytes = sizeof(multi_optimizer),
     .options = options,
     .check = check},
    .frame = &frame};
