/* Functional: a model that is a graph of calls of layers.
 *
 * Calls are written down first, by the C functions here or by reading a configuration (functional_config.c).
 * To trace the model is to go through the calls in an order in which every tensor is there before it is used,
 * and to call the layers with the values that now stand for the tensors. So a nested model may be called any
 * number of times, and shares its layers' weights between the calls. */
#include "frontend/models/models_impl.h"

#include <string.h>

/* ---- tracing --------------------------------------------------------------------------------- */
typedef struct frame {
    const kt_functional *model;
    kt_arena *arena;
    kt_trace *trace;
    kt_value *values, *masks; /* of all calls' outputs */
} frame;

static uint32_t value_index(const kt_functional *model, kt_symbolic tensor) {
    return model->calls.at[tensor.call].first_value + tensor.output;
}

/* What stands for a tensor now. 0 where its call failed; or where it is an output that an operation turned
 * out not to have, which is a problem. */
static kt_value value_of(const frame *f, kt_symbolic tensor) {
    kt_value value = f->values[value_index(f->model, tensor)];
    if (!value && !f->trace->failed) {
        uint32_t operation = f->model->calls.at[tensor.call].operation;
        kt_trace_fail(f->trace, KT_INVALID, "output %u of “%s” is used, and there is none.", tensor.output,
                      f->model->operations.at[operation].name);
    }
    return value;
}

/* The mode of the model's call decides, and masks that are None are filled in, so what was noted of both when
 * the model was made is not handed on. */
static bool is_overridden(const kt_recorded *r) {
    if (!r->name) return false;
    return strcmp(r->name, "training") == 0 || (strcmp(r->name, "mask") == 0 && r->kind == KT_ARGUMENT_NONE);
}

/* The arguments with the values that stand for the tensors now; out_count: without those that are overridden.
 */
static kt_argument *materialize(const frame *f, const kt_recorded *recorded, uint32_t count,
                                uint32_t *out_count) {
    kt_argument *arguments = KT_NEW_ARRAY(f->arena, kt_argument, count);
    *out_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kt_recorded *r = &recorded[i];
        if (is_overridden(r)) continue;
        kt_argument *a = &arguments[(*out_count)++];
        *a = (kt_argument){.kind = r->kind, .name = r->name};
        if (r->kind == KT_ARGUMENT_LITERAL) a->literal = r->literal;
        if (r->kind == KT_ARGUMENT_LIST) a->items = materialize(f, r->items, r->count, &a->count);
        if (r->kind != KT_ARGUMENT_TENSOR) continue;
        a->value = value_of(f, r->tensor);
        a->mask = kt_trace_mask(f->trace, a->value, f->masks[value_index(f->model, r->tensor)]);
    }
    return arguments;
}

/* The place of the model's input among what a call gave: a dict given to a model whose inputs are no dict is
 * taken by the InputLayers' names. */
static uint32_t input_position(const kt_functional *model, const kt_layer_call *call, uint32_t input) {
    const kt_argument *given = call->argument_count ? &call->arguments[0] : NULL;
    if (model->inputs.kind == KT_STRUCTURE_DICT || !given || given->kind != KT_ARGUMENT_LIST) return input;
    if (given->count != call->input_count) return input;
    const char *name = kt_functional_input_layer(model, input)->name;
    for (uint32_t i = 0; i < given->count; i++)
        if (given->items[i].name && strcmp(given->items[i].name, name) == 0) return i;
    return input;
}

static void call_functional(kt_layer *layer, kt_layer_call *call) {
    const kt_functional *model = (const kt_functional *)layer;
    kt_trace *trace = call->trace;
    if (call->input_count != model->input_leaves.count) {
        kt_trace_fail(trace, KT_INVALID, "the model has %u inputs, but is called with %u.",
                      model->input_leaves.count, call->input_count);
        return;
    }
    frame f = {.model = model, .arena = trace->context->arena, .trace = trace};
    f.values = KT_NEW_ARRAY(f.arena, kt_value, model->value_count);
    f.masks = KT_NEW_ARRAY(f.arena, kt_value, model->value_count);
    for (uint32_t i = 0; i < model->input_leaves.count; i++) {
        uint32_t position = input_position(model, call, i);
        uint32_t value = value_index(model, model->input_leaves.at[i].tensor);
        f.values[value] =
            kt_model_take_input(trace, kt_functional_input_layer(model, i), call->inputs[position]);
        f.masks[value] = call->masks[position];
    }
    uint32_t outer_call = trace->call;
    for (uint32_t i = 0; i < model->order.count; i++) {
        const kt_recorded_call *c = &model->calls.at[model->order.at[i]];
        const kt_operation *operation = &model->operations.at[c->operation];
        if (!c->count) continue; /* an InputLayer */
        if (!kt_model_may_call(trace)) return;
        uint32_t count;
        kt_argument *arguments = materialize(&f, c->arguments, c->count, &count);
        trace->call = outer_call * operation->calls.count + c->position;
        kt_layer_call_with(operation->layer, trace, arguments, count, f.values + c->first_value,
                           f.masks + c->first_value);
        trace->call = outer_call;
    }
    for (uint32_t i = 0; i < model->output_leaves.count; i++) {
        kt_symbolic tensor = model->output_leaves.at[i].tensor;
        call->outputs[i] = value_of(&f, tensor);
        call->output_masks[i] = kt_trace_mask(trace, call->outputs[i], f.masks[value_index(model, tensor)]);
    }
}

static uint32_t count_outputs(const kt_layer *layer) {
    return ((const kt_functional *)layer)->output_leaves.count;
}

kt_layer *kt_functional_input_layer(const kt_functional *model, uint32_t input) {
    return model->operations.at[model->calls.at[model->input_leaves.at[input].tensor.call].operation].layer;
}

/* ---- building in C --------------------------------------------------------------------------- */
kt_functional *kt_functional_create(kt_layer_context *context, const char *name) {
    kt_functional *model = KT_NEW(context->arena, kt_functional);
    model->layer.class = &kt_class_functional;
    model->layer.name = model->layer.path = kt_arena_string(context->arena, name);
    model->layer.trainable = true;
    model->layer.child_group = "layers";
    model->context = context;
    model->inputs.kind = model->outputs.kind = KT_STRUCTURE_LIST;
    KT_PUSH(context->arena, &model->calls, (kt_recorded_call){0});
    return model;
}

kt_layer *kt_functional_layer(kt_functional *model) { return &model->layer; }

/* The number of layer among the model's operations; adds it if it is new. */
static uint32_t enter(kt_functional *model, kt_layer *layer) {
    for (uint32_t i = 0; i < model->operations.count; i++)
        if (model->operations.at[i].layer == layer) return i;
    kt_arena *arena = model->context->arena;
    KT_PUSH(arena, &model->operations, ((kt_operation){.layer = layer, .name = layer->name}));
    if (!kt_layer_is_operation(layer)) KT_PUSH(arena, &model->layer.children, layer);
    kt_layer_place(layer, arena, model->layer.path);
    return model->operations.count - 1;
}

static kt_symbolic record(kt_functional *model, kt_layer *layer, kt_recorded *arguments, uint32_t count) {
    kt_arena *arena = model->context->arena;
    uint32_t operation = enter(model, layer), number = model->calls.count;
    kt_recorded_call call = {.operation = operation,
                             .position = model->operations.at[operation].calls.count,
                             .first_value = model->value_count,
                             .value_count = kt_layer_output_count(layer),
                             .arguments = arguments,
                             .count = count};
    model->value_count += call.value_count;
    KT_PUSH(arena, &model->calls, call);
    KT_PUSH(arena, &model->operations.at[operation].calls, number);
    KT_PUSH(arena, &model->order, number);
    return (kt_symbolic){.call = number};
}

kt_symbolic kt_functional_input(kt_functional *model, kt_layer *input_layer) {
    if (!input_layer) return (kt_symbolic){0};
    kt_arena *arena = model->context->arena;
    kt_symbolic x = record(model, input_layer, NULL, 0);
    KT_PUSH(arena, &model->input_leaves, ((kt_leaf){.tensor = x}));
    return x;
}

kt_symbolic kt_functional_call_list(kt_functional *model, kt_layer *layer, const kt_symbolic *x,
                                    uint32_t count) {
    if (!layer) return (kt_symbolic){0};
    kt_arena *arena = model->context->arena;
    kt_recorded *argument = KT_NEW(arena, kt_recorded);
    argument->kind = KT_ARGUMENT_LIST;
    argument->items = KT_NEW_ARRAY(arena, kt_recorded, count);
    argument->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!x[i].call) return (kt_symbolic){0};
        argument->items[i] = (kt_recorded){.kind = KT_ARGUMENT_TENSOR, .tensor = x[i]};
    }
    return record(model, layer, argument, 1);
}

kt_symbolic kt_functional_call(kt_functional *model, kt_layer *layer, kt_symbolic x) {
    if (!layer || !x.call) return (kt_symbolic){0};
    kt_recorded *argument = KT_NEW(model->context->arena, kt_recorded);
    *argument = (kt_recorded){.kind = KT_ARGUMENT_TENSOR, .tensor = x};
    return record(model, layer, argument, 1);
}

void kt_functional_output(kt_functional *model, kt_symbolic y, const char *name) {
    if (!y.call) return;
    kt_arena *arena = model->context->arena;
    const char *kept = name ? kt_arena_string(arena, name) : NULL;
    KT_PUSH(arena, &model->output_leaves, ((kt_leaf){.tensor = y, .name = kept}));
}

const kt_layer_class kt_class_functional = {
    .name = "Functional",
    .module = "keras.src.models.functional",
    .doc = "a model that is a graph of layers",
    .bytes = sizeof(kt_functional),
    .keeps_input_dtype = true,
    .read_config = kt_functional_read_config,
    .write_config = kt_functional_write_config,
    .call = call_functional,
    .output_count = count_outputs,
};
