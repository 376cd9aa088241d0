/* What Keras's model.summary() tells of a model: its layers with their shapes, parameters and connections,
 * and what all its variables, and those of its optimizer, come to. The rules are Keras's (summary_utils.py
 * in 3.15): a Functional shows its operations too, but a nested one only its layers; connections are those
 * within the model. */
#include "frontend/models/models_impl.h"

#include <string.h>

typedef struct summarizing {
    kt_layer_context *context;
    kt_arena *arena;
    bool expand;
    kt_summary *summary;
} summarizing;

/* ---- shapes ---------------------------------------------------------------------------------- */
static void add_size(kt_text *text, int axis, int rank, int64_t size) {
    kt_text_add(text, axis ? ", " : "(");
    if (size < 0)
        kt_text_add(text, "None");
    else
        kt_text_format(text, "%lld", (long long)size);
    if (axis == rank - 1) kt_text_add(text, ")");
}

static void add_type(const kt_graph *graph, const kt_type *type, kt_text *text) {
    if (!type->rank) kt_text_add(text, "()");
    for (int axis = 0; axis < type->rank; axis++) {
        int64_t size;
        add_size(text, axis, type->rank, kt_dim_is_const(graph->dims, type->dims[axis], &size) ? size : -1);
    }
}

/* The last call's outputs, as Keras has it. */
static const char *output_shape(const summarizing *s, const kt_layer *layer, const kt_observer *observer,
                                const kt_graph *graph) {
    kt_text text = {.arena = s->arena};
    kt_dtype dtype;
    kt_ints shape;
    if (kt_layer_input_spec(layer, &dtype, &shape)) {
        if (!shape.count) return "()";
        for (uint32_t axis = 0; axis < shape.count; axis++)
            add_size(&text, (int)axis, (int)shape.count, shape.at[axis]);
        return kt_text_string(&text);
    }
    uint32_t call = 0, found = 0;
    for (uint32_t i = 0; i < observer->outputs.count; i++)
        if (observer->outputs.at[i].layer == layer && observer->outputs.at[i].call > call)
            call = observer->outputs.at[i].call;
    for (uint32_t i = 0; i < observer->outputs.count; i++) {
        const kt_layer_output *output = &observer->outputs.at[i];
        if (output->layer != layer || output->call != call) continue;
        if (found++) kt_text_add(&text, ", ");
        add_type(graph, kt_graph_type(graph, output->value), &text);
    }
    if (!found) return "?";
    return found > 1 ? kt_arena_format(s->arena, "[%s]", kt_text_string(&text)) : kt_text_string(&text);
}

/* ---- parameters ------------------------------------------------------------------------------ */
static void add_weight(const kt_graph *graph, const kt_weight *weight, kt_weight_total *total) {
    int64_t count = kt_type_static_elements(graph->dims, &weight->type);
    total->count += count;
    total->bytes += count * (int64_t)kt_dtype_bytes(weight->type.dtype);
}

/* Adds what a layer and the layers in it hold, each once. Random state is no weight. */
static void add_weights(const summarizing *s, const kt_graph *graph, const kt_layer *layer, bool trainable,
                        kt_table *met, kt_weight_total *in, kt_weight_total *out) {
    uint32_t before = met->count;
    const void *address = layer;
    kt_table_add(met, s->arena, &address, sizeof address, 0);
    if (met->count == before) return;
    trainable = trainable && layer->trainable;
    for (uint32_t i = 0; i < layer->weights.count; i++) {
        const kt_weight *weight = &layer->weights.at[i];
        if (weight->state) continue;
        if (!strcmp(weight->name, "seed_generator_state")) continue;
        add_weight(graph, weight, trainable && weight->trainable ? in : out);
    }
    for (uint32_t i = 0; i < layer->children.count; i++)
        add_weights(s, graph, layer->children.at[i], trainable, met, in, out);
}

static int64_t count_parameters(const summarizing *s, const kt_graph *graph, const kt_layer *layer) {
    kt_table met = {0};
    kt_weight_total all = {0};
    add_weights(s, graph, layer, true, &met, &all, &all);
    return all.count;
}

/* How many variables of each trainable one's shape Keras's optimizers keep; option: one more where it is set.
 */
static const struct {
    const char *name, *options[2];
    int slots, scalars;
} optimizers[] = {
    {"SGD", {"momentum"}, 0, 0}, {"Adam", {"amsgrad"}, 2, 0}, {"AdamW", {"amsgrad"}, 2, 0},
    {"Adamax", {0}, 2, 0},       {"Nadam", {0}, 2, 1},        {"RMSprop", {"momentum", "centered"}, 1, 0},
    {"Adagrad", {0}, 1, 0},      {"Adadelta", {0}, 2, 0},     {"Ftrl", {0}, 2, 0},
    {"Lion", {0}, 1, 0},         {"Lamb", {0}, 2, 0},
};

static bool is_set(const json_t *config, const char *option) {
    const json_t *value = option ? json_object_get(config, option) : NULL;
    return json_is_true(value) || (json_is_number(value) && json_number_value(value) != 0);
}

/* Where the optimizer is not of the table, nothing is said of it. */
static void count_optimizer(kt_summary *summary, const json_t *compile_config) {
    const json_t *optimizer = json_object_get(compile_config, "optimizer");
    const json_t *config = json_object_get(optimizer, "config");
    const char *name = json_string_value(json_object_get(optimizer, "class_name"));
    for (size_t i = 0; name && i < sizeof optimizers / sizeof *optimizers; i++) {
        if (strcmp(optimizers[i].name, name) != 0) continue;
        int64_t slots = optimizers[i].slots;
        for (int k = 0; k < 2; k++) slots += is_set(config, optimizers[i].options[k]);
        slots += is_set(config, "use_ema") + is_set(config, "gradient_accumulation_steps");
        /* The step and, unless it follows a schedule, the learning rate. */
        int64_t scalars =
            1 + json_is_number(json_object_get(config, "learning_rate")) + optimizers[i].scalars;
        summary->compiled = true;
        summary->optimizer.count = slots * summary->trainable.count + scalars;
        summary->optimizer.bytes = slots * summary->trainable.bytes + 4 * scalars;
    }
}

/* ---- connections ----------------------------------------------------------------------------- */
static uint32_t count_tensors(const kt_recorded *arguments, uint32_t count) {
    uint32_t tensors = 0;
    for (uint32_t i = 0; i < count; i++)
        tensors += arguments[i].kind == KT_ARGUMENT_TENSOR
                       ? 1
                       : count_tensors(arguments[i].items, arguments[i].count);
    return tensors;
}

static void add_connections(const kt_functional *model, const kt_recorded *arguments, uint32_t count,
                            kt_text *text) {
    for (uint32_t i = 0; i < count; i++) {
        if (arguments[i].kind == KT_ARGUMENT_LIST)
            add_connections(model, arguments[i].items, arguments[i].count, text);
        if (arguments[i].kind != KT_ARGUMENT_TENSOR) continue;
        const kt_recorded_call *from = &model->calls.at[arguments[i].tensor.call];
        kt_text_format(text, "%s%s[%u][%u]", text->length ? ", " : "",
                       model->operations.at[from->operation].name, from->position,
                       arguments[i].tensor.output);
    }
}

static const char *connections(const summarizing *s, const kt_functional *model,
                               const kt_operation *operation) {
    kt_text text = {.arena = s->arena};
    for (uint32_t i = 0; i < operation->calls.count; i++) {
        const kt_recorded_call *call = &model->calls.at[operation->calls.at[i]];
        add_connections(model, call->arguments, call->count, &text);
    }
    return text.length ? kt_text_string(&text) : "-";
}

static void count_users(const kt_recorded *arguments, uint32_t count, uint32_t *users) {
    for (uint32_t i = 0; i < count; i++) {
        if (arguments[i].kind == KT_ARGUMENT_TENSOR) users[arguments[i].tensor.call]++;
        if (arguments[i].kind == KT_ARGUMENT_LIST) count_users(arguments[i].items, arguments[i].count, users);
    }
}

/* One input; every call takes one tensor, no two take those of one call, and no layer is called twice. */
static bool is_chain(const summarizing *s, const kt_functional *model) {
    uint32_t *users = KT_NEW_ARRAY(s->arena, uint32_t, model->calls.count);
    bool chain = model->input_leaves.count == 1;
    for (uint32_t i = 1; i < model->calls.count; i++)
        count_users(model->calls.at[i].arguments, model->calls.at[i].count, users);
    for (uint32_t i = 1; i < model->calls.count; i++)
        chain &= users[i] <= 1 && count_tensors(model->calls.at[i].arguments, model->calls.at[i].count) <= 1;
    for (uint32_t i = 0; i < model->operations.count; i++) chain &= model->operations.at[i].calls.count == 1;
    return chain;
}

/* ---- rows ------------------------------------------------------------------------------------ */
static kt_status add_layers(summarizing *s, const kt_layer *model, const kt_observer *observer,
                            const kt_graph *graph, uint32_t level);

static kt_status add_row(summarizing *s, const kt_layer *layer, const kt_observer *observer,
                         const kt_graph *graph, uint32_t level, const char *connected) {
    kt_summary_row row = {.level = level,
                          .name = layer->name,
                          .class_name =
                              layer->class->python_name ? layer->class->python_name : layer->class->name,
                          .shape = output_shape(s, layer, observer, graph),
                          .connected = connected,
                          .parameters = count_parameters(s, graph, layer)};
    KT_PUSH(s->arena, &s->summary->rows, row);
    bool model = layer->class == &kt_class_functional || layer->class == &kt_class_sequential;
    if (!s->expand || !model) return KT_OK;
    /* The shapes in a nested model are those that it was made for, not those it is called with here. */
    kt_observer inner = {0};
    kt_layer_context context = {.arena = s->arena, .diag = s->context->diag, .observer = &inner};
    json_t *config = kt_layer_get_config(layer);
    kt_arena_defer(s->arena, kt_json_release, config);
    kt_graph *alone;
    inner.model = kt_layer_from_config(&context, config, NULL);
    if (!inner.model) return KT_INVALID;
    KT_TRY(kt_model_trace(&context, inner.model, &alone));
    return add_layers(s, inner.model, &inner, alone, level + 1);
}

static kt_status add_layers(summarizing *s, const kt_layer *model, const kt_observer *observer,
                            const kt_graph *graph, uint32_t level) {
    for (uint32_t i = 0; i < model->children.count; i++)
        KT_TRY(add_row(s, model->children.at[i], observer, graph, level, "-"));
    return KT_OK;
}

static kt_status add_operations(summarizing *s, const kt_functional *model, const kt_observer *observer,
                                const kt_graph *graph) {
    for (uint32_t i = 0; i < model->operations.count; i++) {
        const kt_operation *operation = &model->operations.at[i];
        KT_TRY(add_row(s, operation->layer, observer, graph, 0, connections(s, model, operation)));
    }
    return KT_OK;
}

kt_status kt_summarize(kt_layer_context *context, const kt_observer *observer, const kt_graph *graph,
                       bool expand, kt_summary *out_summary) {
    *out_summary = (kt_summary){.chain = true};
    summarizing s = {.context = context, .arena = context->arena, .expand = expand, .summary = out_summary};
    const kt_layer *model = observer->model;
    kt_table met = {0};
    add_weights(&s, graph, model, true, &met, &out_summary->trainable, &out_summary->frozen);
    count_optimizer(out_summary, json_object_get(observer->config, "compile_config"));
    if (model->class != &kt_class_functional) return add_layers(&s, model, observer, graph, 0);
    const kt_functional *functional = (const kt_functional *)model;
    out_summary->chain = is_chain(&s, functional);
    return add_operations(&s, functional, observer, graph);
}
