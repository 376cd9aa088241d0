/* Calling layers while a function is traced: weights, locations, problems, and the frame around a call.
 *
 * A weight is a variable of the graph. The first time a trace reads it, it becomes a parameter of the
 * function; an assignment only changes what later reads see, so that the traced function stays pure. */
#include "frontend/layers/layers_impl.h"

#include <stdarg.h>
#include <string.h>

/* ---- locations and problems ------------------------------------------------------------------ */
void kt_trace_at(kt_trace *trace, const char *what) {
    const char *path = kt_arena_format(trace->context->arena, "%s/%s", trace->path, what);
    trace->builder->loc = kt_loc_path(trace->builder->graph, path);
}

const char *kt_trace_step_name(const kt_trace *trace) {
    kt_graph *graph = trace->builder->graph;
    const char *name = kt_arena_format(graph->arena, "%s/step", trace->path);
    for (int i = 1; kt_graph_find(graph, name); i++)
        name = kt_arena_format(graph->arena, "%s/step_%d", trace->path, i);
    return name;
}

void kt_trace_fail(kt_trace *trace, kt_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(trace->context->arena, format, arguments);
    va_end(arguments);
    kt_diag_add(trace->context->diag, status, trace->path, "%s", text);
    trace->failed = true;
}

/* ---- weights --------------------------------------------------------------------------------- */
static void add_variable(kt_layer *layer, kt_trace *trace, kt_weight *weight) {
    const char *path = layer->path ? layer->path : trace->path;
    kt_variable variable = {
        .path = kt_arena_format(trace->context->arena, "%s/%s", path, weight->name),
        .type = weight->type,
        .trainable = weight->trainable && layer->trainable,
        .kind = weight->state ? KT_VARIABLE_STATE : KT_VARIABLE_WEIGHT,
        .data = weight->begin,
    };
    weight->variable = kt_graph_add_variable(trace->builder->graph, &variable);
}

static uint32_t add_weight(kt_layer *layer, kt_trace *trace, kt_weight weight) {
    add_variable(layer, trace, &weight);
    KT_PUSH(trace->context->arena, &layer->weights, weight);
    return layer->weights.count - 1;
}

uint32_t kt_layer_add_weight(kt_layer *layer, kt_trace *trace, const char *name, const kt_type *type,
                             const json_t *initializer, bool trainable) {
    if (trainable && !kt_dtype_is_float(type->dtype))
        kt_trace_fail(trace, KT_UNSUPPORTED,
                      "its %s cannot be trained as %s; give the layer a dtype policy of floating point.",
                      name, kt_dtype_name(type->dtype));
    kt_weight weight = {.name = name, .type = *type, .initializer = initializer, .trainable = trainable};
    kt_weight_find_penalties(layer, trace, &weight);
    return add_weight(layer, trace, weight);
}

uint32_t kt_layer_add_state(kt_layer *layer, kt_trace *trace, const char *name, const kt_type *type,
                            const void *begin) {
    kt_weight weight = {.name = name, .type = *type, .state = true};
    size_t bytes = (size_t)kt_type_static_bytes(trace->builder->graph->dims, type);
    if (begin) weight.begin = kt_arena_copy(trace->context->arena, begin, bytes);
    return add_weight(layer, trace, weight);
}

static kt_value *variable_slot(kt_trace *trace, uint32_t variable) {
    kt_arena *arena = trace->context->arena;
    while (trace->variables.count <= variable) KT_PUSH(arena, &trace->variables, 0);
    while (trace->assigned.count <= variable) KT_PUSH(arena, &trace->assigned, false);
    return &trace->variables.at[variable];
}

kt_value kt_trace_variable(kt_trace *trace, uint32_t variable) {
    kt_value *slot = variable_slot(trace, variable);
    if (*slot) return *slot;
    const kt_type type = trace->builder->graph->variables.at[variable].type;
    kt_value read;
    if (trace->outer) {
        kt_value value = kt_trace_variable(trace->outer, variable);
        read = kt_builder_param(trace->builder, KT_ROLE_PLAIN, NULL, trace->builder->function.params.count,
                                &type);
        KT_PUSH(trace->context->arena, &trace->captured, value);
    } else {
        read = kt_builder_param(trace->builder, KT_ROLE_VARIABLE, NULL, variable, &type);
    }
    return *variable_slot(trace, variable) = read;
}

kt_value kt_trace_capture(kt_trace *trace, kt_value value) {
    if (!trace->outer || !value) return value;
    const kt_type type = *kt_build_type(trace->outer->builder, value);
    KT_PUSH(trace->context->arena, &trace->captured, value);
    return kt_builder_param(trace->builder, KT_ROLE_PLAIN, NULL, trace->builder->function.params.count,
                            &type);
}

void kt_trace_assign_variable(kt_trace *trace, uint32_t variable, kt_value value) {
    kt_trace_variable(trace, variable); /* donation wants the parameter */
    value = kt_build_cast(trace->builder, value, trace->builder->graph->variables.at[variable].type.dtype);
    *variable_slot(trace, variable) = value;
    trace->assigned.at[variable] = true;
}

kt_value kt_trace_stored_weight(kt_trace *trace, kt_layer *layer, uint32_t weight) {
    KT_ASSERT(weight < layer->weights.count);
    return kt_trace_variable(trace, layer->weights.at[weight].variable);
}

kt_value kt_trace_weight(kt_trace *trace, kt_layer *layer, uint32_t weight) {
    kt_value value = kt_trace_stored_weight(trace, layer, weight);
    kt_dtype dtype = layer->weights.at[weight].type.dtype;
    if (!kt_dtype_is_float(dtype) || !kt_dtype_is_float(layer->compute_dtype)) return value;
    return kt_build_cast(trace->builder, value, layer->compute_dtype);
}

void kt_trace_assign(kt_trace *trace, kt_layer *layer, uint32_t weight, kt_value value) {
    KT_ASSERT(weight < layer->weights.count);
    kt_trace_assign_variable(trace, layer->weights.at[weight].variable, value);
}

/* ---- masks ----------------------------------------------------------------------------------- */
void kt_trace_unmask(kt_trace *trace, kt_value value) {
    KT_PUSH(trace->context->arena, &trace->unmasked, value);
}

kt_value kt_trace_mask(const kt_trace *trace, kt_value value, kt_value mask) {
    for (uint32_t i = 0; i < trace->unmasked.count; i++)
        if (trace->unmasked.at[i] == value) return 0;
    return mask;
}

/* ---- a call ---------------------------------------------------------------------------------- */
/* arguments with float tensors cast to dtype. */
static kt_argument *convert(kt_trace *trace, const kt_argument *arguments, uint32_t count, kt_dtype dtype) {
    kt_argument *converted = KT_NEW_ARRAY(trace->context->arena, kt_argument, count);
    for (uint32_t i = 0; i < count; i++) {
        converted[i] = arguments[i];
        if (arguments[i].kind == KT_ARGUMENT_LIST) {
            converted[i].items = convert(trace, arguments[i].items, arguments[i].count, dtype);
        }
        if (arguments[i].kind != KT_ARGUMENT_TENSOR || !arguments[i].value) continue;
        kt_dtype given = kt_build_type(trace->builder, arguments[i].value)->dtype;
        if (kt_dtype_is_float(given))
            converted[i].value = kt_build_cast(trace->builder, arguments[i].value, dtype);
    }
    return converted;
}

typedef struct flat {
    KT_VECTOR(kt_value) values;
    KT_VECTOR(kt_value) masks;
} flat;

static void flatten(kt_arena *arena, const kt_argument *argument, flat *out_flat) {
    if (argument->kind == KT_ARGUMENT_TENSOR) {
        KT_PUSH(arena, &out_flat->values, argument->value);
        KT_PUSH(arena, &out_flat->masks, argument->mask);
    }
    for (uint32_t i = 0; argument->kind == KT_ARGUMENT_LIST && i < argument->count; i++) {
        flatten(arena, &argument->items[i], out_flat);
    }
}

/* The masks of a `mask` keyword, one an input; 0 for None. */
static void flatten_masks(kt_arena *arena, const kt_argument *argument, flat *out_flat) {
    for (uint32_t i = 0; argument->kind == KT_ARGUMENT_LIST && i < argument->count; i++)
        flatten_masks(arena, &argument->items[i], out_flat);
    if (argument->kind == KT_ARGUMENT_LIST) return;
    KT_PUSH(arena, &out_flat->values, argument->kind == KT_ARGUMENT_TENSOR ? argument->value : 0);
}

static const kt_argument *find_keyword(const kt_argument *arguments, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++) {
        if (arguments[i].name && strcmp(arguments[i].name, name) == 0) return &arguments[i];
    }
    return NULL;
}

/* The first argument's tensors and masks; a mask keyword comes before masks that came along. False where an
 * input is missing because an earlier call failed. */
static bool take_inputs(kt_layer_call *call) {
    kt_arena *arena = call->trace->context->arena;
    flat inputs = {0};
    flat masks = {0};
    if (call->argument_count) flatten(arena, &call->arguments[0], &inputs);
    const kt_argument *mask = find_keyword(call->arguments, call->argument_count, "mask");
    if (mask) flatten_masks(arena, mask, &masks);
    for (uint32_t i = 0; i < masks.values.count && i < inputs.masks.count; i++) {
        if (masks.values.at[i]) inputs.masks.at[i] = masks.values.at[i];
    }
    call->inputs = inputs.values.at;
    call->masks = inputs.masks.at;
    call->input_count = inputs.values.count;
    for (uint32_t i = 0; i < call->input_count; i++) {
        if (!call->inputs[i]) return false;
    }
    return true;
}

static void read_training(kt_trace *trace, const kt_argument *arguments, uint32_t count) {
    const kt_argument *training = find_keyword(arguments, count, "training");
    if (!training || training->kind != KT_ARGUMENT_LITERAL) return;
    if (json_is_boolean(training->literal)) trace->training = json_is_true(training->literal);
}

void kt_layer_renew(kt_layer *layer, kt_trace *trace) {
    if (layer->built && layer->graph != trace->builder->graph)
        for (uint32_t i = 0; i < layer->weights.count; i++) add_variable(layer, trace, &layer->weights.at[i]);
    layer->built = true;
    layer->graph = trace->builder->graph;
}

static bool build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    if (layer->broken) return false;
    if (!layer->built && layer->class->build) {
        kt_trace_at(trace, "build");
        layer->broken = layer->class->build(layer, trace, call) != KT_OK;
    }
    if (layer->built) kt_layer_renew(layer, trace);
    layer->built = true;
    layer->graph = trace->builder->graph;
    return !layer->broken;
}

/* A problem that the builder recorded stays with this layer: what does not depend on it is traced further, so
 * that its problems are found too. */
static void contain_failure(kt_layer_call *call) {
    kt_trace *trace = call->trace;
    if (trace->builder->status == KT_OK) return;
    trace->builder->status = KT_OK;
    trace->failed = true;
    for (uint32_t i = 0; i < call->output_count; i++) call->outputs[i] = call->output_masks[i] = 0;
}

/* A layer that supports masking hands its input's mask on. */
static void pass_mask(const kt_layer *layer, kt_layer_call *call) {
    if (!layer->class->supports_masking || call->input_count != 1) return;
    for (uint32_t i = 0; i < call->output_count; i++) {
        if (!call->output_masks[i]) call->output_masks[i] = call->masks[0];
    }
}

/* Training would need a gradient that passes over the rounding of inputs. */
static bool can_train(const kt_layer *layer, kt_trace *trace) {
    if (!trace->training || !layer->quantized) return true;
    kt_trace_fail(trace, KT_UNSUPPORTED, "training a layer with int8 weights is not supported yet.");
    return false;
}

/* Tells the observer what a call in the entry itself gave. */
static void observe(const kt_layer *layer, const kt_layer_call *call) {
    kt_trace *trace = call->trace;
    kt_observer *observer = trace->context->observer;
    if (!observer || observer->builder != trace->builder || layer == observer->model) return;
    kt_arena *arena = trace->context->arena;
    const char *name = trace->path, *model = observer->model ? observer->model->path : NULL;
    size_t length = model ? strlen(model) : 0;
    if (length && !strncmp(name, model, length) && name[length] == '/') name += length + 1;
    const char *path = name;
    if (trace->call) name = kt_arena_format(arena, "%s@%u", path, trace->call);
    /* Layers that hold layers and are no models may call them several times. */
    for (uint32_t next = trace->call + 1; kt_table_find(&observer->names, name, strlen(name)); next++)
        name = kt_arena_format(arena, "%s@%u", path, next);
    kt_table_add(&observer->names, arena, name, strlen(name), 0);
    for (uint32_t i = 0; i < call->output_count; i++) {
        kt_layer_output output = {
            .layer = layer, .call = trace->call, .output = i, .value = call->outputs[i]};
        output.name = i ? kt_arena_format(arena, "%s:%u", name, i) : name;
        if (output.value) KT_PUSH(arena, &observer->outputs, output);
    }
}

void kt_layer_call_with(kt_layer *layer, kt_trace *trace, const kt_argument *arguments, uint32_t count,
                        kt_value *out_outputs, kt_value *out_masks) {
    kt_arena *arena = trace->context->arena;
    const char *outer_path = trace->path;
    bool outer_training = trace->training;
    kt_loc outer_loc = trace->builder->loc;
    trace->path = layer->path;
    if (!trace->path)
        trace->path = outer_path ? kt_arena_format(arena, "%s/%s", outer_path, layer->name) : layer->name;
    read_training(trace, arguments, count);

    kt_layer_call call = {.trace = trace, .arguments = arguments, .argument_count = count};
    call.outputs = out_outputs;
    call.output_masks = out_masks;
    call.output_count = kt_layer_output_count(layer);
    memset(out_outputs, 0, call.output_count * sizeof *out_outputs);
    memset(out_masks, 0, call.output_count * sizeof *out_masks);
    if (!layer->class->keeps_input_dtype && kt_dtype_is_float(layer->compute_dtype)) {
        kt_trace_at(trace, "cast");
        call.arguments = convert(trace, arguments, count, layer->compute_dtype);
    }
    if (take_inputs(&call) && build(layer, trace, &call) && can_train(layer, trace)) {
        kt_trace_at(trace, kt_layer_snake_case(arena, layer->class->name)); /* unless it says more */
        layer->class->call(layer, &call);
        kt_layer_add_activity_losses(layer, &call);
        pass_mask(layer, &call);
        contain_failure(&call);
        observe(layer, &call);
    }

    trace->path = outer_path;
    trace->training = outer_training;
    trace->builder->loc = outer_loc;
}
