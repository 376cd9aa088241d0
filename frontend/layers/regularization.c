/* What layers do to the loss and to their weights in training: regularizers of weights and of outputs, and
 * constraints.
 *
 * A weight's options follow from its name. The losses of outputs come from every call of a layer, divided by
 * the size of the batch; those of weights once, whatever calls them. */
#include "frontend/constraints/constraints.h"
#include "frontend/layers/layers_impl.h"
#include "frontend/regularizers/regularizers.h"

#include <string.h>

/* ---- a weight's options ---------------------------------------------------------------------- */
/* The option "<part>_<what>" of the class, or NULL. */
static const kt_option *find_part(const kt_layer *layer, kt_arena *arena, const char *part, size_t length,
                                  const char *what) {
    return kt_option_find(layer->class->options, kt_arena_format(arena, "%.*s_%s", (int)length, part, what));
}

/* "kernel" has kernel_…, or in a depthwise convolution depthwise_…; "recurrent_kernel" has recurrent_…;
 * "lora_kernel_a" has kernel_…. */
static const json_t *find_value(const kt_layer *layer, kt_arena *arena, const char *weight,
                                const char *what) {
    static const char prefix[] = "lora_", suffix[] = "_kernel";
    size_t length = strlen(weight);
    if (strncmp(weight, prefix, sizeof prefix - 1) == 0) { /* …_a, …_b */
        if (strcmp(what, "constraint") == 0) return NULL;
        weight += sizeof prefix - 1;
        length -= sizeof prefix - 1 + 2;
    }
    const kt_option *option = find_part(layer, arena, weight, length, what);
    if (!option && length > sizeof suffix - 1 && strcmp(weight + length - (sizeof suffix - 1), suffix) == 0)
        option = find_part(layer, arena, weight, length - (sizeof suffix - 1), what);
    if (!option && strcmp(weight, "kernel") == 0)
        option = find_part(layer, arena, "depthwise", strlen("depthwise"), what);
    if (!option) return NULL;
    const void *field = (const char *)layer + option->offset;
    return *(const json_t *const *)field;
}

void kt_weight_find_penalties(const kt_layer *layer, kt_trace *trace, kt_weight *weight) {
    if (!weight->trainable) return;
    const json_t *regularizer = find_value(layer, trace->context->arena, weight->name, "regularizer");
    const json_t *constraint = find_value(layer, trace->context->arena, weight->name, "constraint");
    if (regularizer) weight->regularizer = kt_regularizer_read(trace->context, regularizer, trace->path);
    if (constraint) weight->constraint = kt_constraint_read(trace->context, constraint, trace->path);
}

/* ---- losses of outputs ----------------------------------------------------------------------- */
void kt_trace_add_loss(kt_trace *trace, kt_value loss) {
    if (trace->outer)
        kt_trace_fail(trace, KT_UNSUPPORTED, "a layer that is called in a loop cannot add to the loss.");
    else if (loss)
        KT_PUSH(trace->context->arena, &trace->losses, loss);
}

void kt_layer_add_activity_losses(const kt_layer *layer, kt_layer_call *call) {
    kt_trace *trace = call->trace;
    kt_builder *b = trace->builder;
    if (!trace->collects_losses || !layer->activity_regularizer || layer->unpunished) return;
    const kt_object *regularizer =
        kt_regularizer_read(trace->context, layer->activity_regularizer, trace->path);
    kt_trace_at(trace, "activity_regularizer");
    for (uint32_t i = 0; regularizer && i < call->output_count; i++) {
        const kt_type type = *kt_build_type(b, call->outputs[i]);
        if (!call->outputs[i]) continue;
        if (!kt_dtype_is_float(type.dtype)) {
            kt_trace_fail(trace, KT_UNSUPPORTED, "an activity_regularizer takes floats, not %s.",
                          kt_dtype_name(type.dtype));
            continue;
        }
        kt_value loss = kt_regularizer_apply(regularizer, b, call->outputs[i]);
        kt_dtype dtype = kt_build_type(b, loss)->dtype;
        if (type.rank > 0)
            loss = kt_build_div(b, loss, kt_build_cast(b, kt_build_size(b, type.dims[0]), dtype));
        kt_trace_add_loss(trace, loss);
    }
}

/* ---- weights that are trained ---------------------------------------------------------------- */
typedef struct walk {
    kt_trace *trace;
    kt_table met; /* layers, by address */
    void (*visit)(struct walk *w, kt_layer *layer, uint32_t weight);
    bool updates; /* calls what classes have for updated weights */
    kt_value sum, only_if;
    const bool *moved; /* by variable of the graph; NULL: all are */
} walk;

static void walk_layer(walk *w, kt_layer *layer) {
    const void *address = layer;
    kt_arena *arena = w->trace->context->arena;
    if (kt_table_find(&w->met, &address, sizeof address)) return;
    kt_table_add(&w->met, arena, &address, sizeof address, 0);
    w->trace->path = layer->path ? layer->path : layer->name;
    for (uint32_t i = 0; layer->trainable && i < layer->weights.count; i++)
        if (layer->weights.at[i].trainable && layer->graph == w->trace->builder->graph) w->visit(w, layer, i);
    for (uint32_t i = 0; i < layer->children.count; i++) walk_layer(w, layer->children.at[i]);
    if (w->updates && layer->class->updated && layer->graph == w->trace->builder->graph)
        layer->class->updated(layer, w->trace);
}

/* Of a layer that is frozen as a whole, no weight is trained. */
static void walk_trained(walk *w, kt_layer *layer) {
    kt_trace *trace = w->trace;
    const char *path = trace->path;
    kt_loc loc = trace->builder->loc;
    if (layer->trainable) walk_layer(w, layer);
    trace->path = path;
    trace->builder->loc = loc;
}

static void add_penalty(walk *w, kt_layer *layer, uint32_t weight) {
    const kt_object *regularizer = layer->weights.at[weight].regularizer;
    kt_builder *b = w->trace->builder;
    if (!regularizer) return;
    kt_trace_at(w->trace, "regularizer");
    kt_value loss = kt_regularizer_apply(regularizer, b, kt_trace_stored_weight(w->trace, layer, weight));
    if (!w->sum || !loss) {
        w->sum = loss ? loss : w->sum;
        return;
    }
    kt_dtype dtype = kt_dtype_promote(kt_build_type(b, w->sum)->dtype, kt_build_type(b, loss)->dtype);
    w->sum = kt_build_add(b, kt_build_cast(b, w->sum, dtype), kt_build_cast(b, loss, dtype));
}

kt_value kt_layer_regularization(kt_layer *layer, kt_trace *trace) {
    walk w = {.trace = trace, .visit = add_penalty};
    walk_trained(&w, layer);
    return w.sum;
}

static void constrain(walk *w, kt_layer *layer, uint32_t weight) {
    const kt_object *constraint = layer->weights.at[weight].constraint;
    if (!constraint || (w->moved && !w->moved[layer->weights.at[weight].variable])) return;
    kt_trace_at(w->trace, "constraint");
    kt_builder *b = w->trace->builder;
    kt_value value = kt_trace_stored_weight(w->trace, layer, weight);
    kt_value held = kt_constraint_apply(constraint, b, value);
    if (w->only_if && held && b->status == KT_OK) {
        const kt_type type = *kt_build_type(b, value);
        held = kt_build_select(b, kt_build_broadcast_to(b, w->only_if, type.rank, type.dims), held, value);
    }
    kt_trace_assign(w->trace, layer, weight, held);
}

void kt_layer_constrain(kt_layer *layer, kt_trace *trace, kt_value only_if, const bool *moved) {
    walk w = {.trace = trace, .visit = constrain, .updates = true, .only_if = only_if, .moved = moved};
    walk_trained(&w, layer);
}
