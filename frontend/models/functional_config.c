/* A Functional model's configuration, as Keras 3 writes it:
 *
 *   "layers": [{…a serialised layer or operation…, "name": "dense",
 *               "inbound_nodes": [{"args": […], "kwargs": {…}}, …one for each call…]}, …],
 *   "input_layers", "output_layers": ["dense", call, output], or lists or dicts of these
 *
 * Among the arguments {"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", call, output],
 * …}} stands for an output of a call. The list is in the order of depth, so a shared layer may stand before
 * layers whose outputs one of its calls takes. Reading therefore makes all layers first, then resolves all
 * references, then sorts the calls. In input_layers and output_layers the calls of a nested Functional count
 * from 1. */
#include "frontend/models/models_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */
typedef struct edge {
    uint32_t from, to; /* calls: `to` takes an output of `from`, or is the next one of the same layer */
} edge;

typedef KT_VECTOR(uint32_t) calls;

typedef struct reader {
    kt_functional *model;
    kt_layer_context *context;
    kt_arena *arena;
    const char *path;
    kt_table names; /* of operations: their numbers */
    KT_VECTOR(edge) edges;
    kt_status status;
} reader;

static void fail(reader *r, kt_status status, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void fail(reader *r, kt_status status, const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(r->arena, format, arguments);
    va_end(arguments);
    const char *where = name ? kt_arena_format(r->arena, "%s/%s", r->path, name) : r->path;
    r->status = kt_diag_add(r->context->diag, status, where, "%s", text);
}

/* Keeps a piece of the configuration as long as the arena. */
static const json_t *keep(reader *r, const json_t *value) {
    kt_arena_defer(r->arena, kt_json_release, json_incref((json_t *)value));
    return value;
}

/* Is an operation called with a dictionary as its first argument? */
static bool takes_dictionary(const json_t *nodes) {
    size_t i;
    const json_t *node;
    json_array_foreach((json_t *)nodes, i, node) {
        const json_t *first = json_array_get(json_object_get(node, "args"), 0);
        if (json_is_object(first) && !json_object_get(first, "class_name")) return true;
    }
    return false;
}

static void read_operation(reader *r, const json_t *serialized) {
    kt_functional *model = r->model;
    const char *name = json_string_value(json_object_get(serialized, "name"));
    if (!name) {
        fail(r, KT_INVALID, NULL, "a layer in the configuration has no name.");
        return;
    }
    kt_operation operation = {.name = kt_arena_string(r->arena, name)};
    if (kt_table_find(&r->names, name, strlen(name))) {
        fail(r, KT_INVALID, name, "two layers have this name.");
        return;
    }
    kt_table_add(&r->names, r->arena, name, strlen(name), model->operations.count);
    operation.layer = kt_layer_from_config(r->context, serialized, r->path);
    if (!operation.layer) r->status = KT_UNSUPPORTED;
    if (operation.layer && !kt_layer_is_operation(operation.layer))
        KT_PUSH(r->arena, &model->layer.children, operation.layer);

    const json_t *nodes = json_object_get(serialized, "inbound_nodes");
    const char *refusal = operation.layer ? kt_layer_refuses_dictionary(operation.layer) : NULL;
    if (refusal && takes_dictionary(nodes)) {
        fail(r, KT_UNSUPPORTED, name, "%s", refusal);
        operation.layer = NULL;
    }
    kt_dtype dtype;
    kt_ints shape;
    bool is_input = operation.layer && kt_layer_input_spec(operation.layer, &dtype, &shape);
    size_t count = is_input ? 1 : json_array_size(nodes);
    for (size_t i = 0; i < count; i++) {
        kt_recorded_call call = {
            .operation = model->operations.count, .position = (uint32_t)i, .first_value = model->value_count};
        call.value_count = operation.layer ? kt_layer_output_count(operation.layer) : 0;
        model->value_count += call.value_count;
        KT_PUSH(r->arena, &operation.calls, model->calls.count);
        KT_PUSH(r->arena, &model->calls, call);
    }
    KT_PUSH(r->arena, &model->operations, operation);
}

/* The output of a call that ["dense", call, output] names; user: whose argument it is, or NULL: an input or
 * output of the model. */
static kt_symbolic read_history(reader *r, const json_t *history, const char *user) {
    const char *name = json_string_value(json_array_get(history, 0));
    const json_t *node = json_array_get(history, 1), *output = json_array_get(history, 2);
    if (!name || !json_is_integer(node) || !json_is_integer(output)) {
        fail(r, KT_INVALID, user, "a tensor is not named by a layer, a call and an output.");
        return (kt_symbolic){0};
    }
    const uint32_t *number = kt_table_find(&r->names, name, strlen(name));
    if (!number) {
        fail(r, KT_INVALID, user, "a tensor comes from “%s”, and there is no layer of that name.", name);
        return (kt_symbolic){0};
    }
    const kt_operation *operation = &r->model->operations.at[*number];
    if (!operation->layer) return (kt_symbolic){0}; /* which was reported */
    json_int_t at = json_integer_value(node), which = json_integer_value(output);
    json_int_t first = !user && operation->layer->class == &kt_class_functional;
    if (at < first || at - first >= (json_int_t)operation->calls.count || which < 0 ||
        which >= (json_int_t)kt_layer_output_count(operation->layer)) {
        fail(r, KT_INVALID, user, "a tensor comes from output %lld of call %lld of “%s”, which there is not.",
             (long long)which, (long long)at, name);
        return (kt_symbolic){0};
    }
    return (kt_symbolic){.call = operation->calls.at[at - first], .output = (uint32_t)which};
}

static const json_t *tensor_history(const json_t *value) {
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    if (!class_name || strcmp(class_name, "__keras_tensor__") != 0) return NULL;
    const json_t *history = json_object_get(json_object_get(value, "config"), "keras_history");
    return history ? history : value; /* without a history it is an error, and is found to be one */
}

static bool holds_tensor(const json_t *value) {
    if (tensor_history(value)) return true;
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach((json_t *)value, i, item) if (holds_tensor(item)) return true;
    json_object_foreach((json_t *)value, key, item) if (holds_tensor(item)) return true;
    return false;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const kt_recorded *)a)->name, ((const kt_recorded *)b)->name);
}

/* call: whose argument it is; user: that layer's name. */
static kt_recorded read_argument(reader *r, const json_t *value, uint32_t call, const char *user) {
    kt_recorded recorded = {0};
    if (json_is_null(value)) return recorded;
    if (!holds_tensor(value)) return (kt_recorded){.kind = KT_ARGUMENT_LITERAL, .literal = keep(r, value)};
    const json_t *history = tensor_history(value);
    if (history) {
        recorded = (kt_recorded){.kind = KT_ARGUMENT_TENSOR, .literal = keep(r, value)};
        recorded.tensor = read_history(r, history, user);
        KT_PUSH(r->arena, &r->edges, ((edge){.from = recorded.tensor.call, .to = call}));
        return recorded;
    }
    recorded.kind = KT_ARGUMENT_LIST;
    recorded.items = KT_NEW_ARRAY(r->arena, kt_recorded, json_array_size(value) + json_object_size(value));
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach((json_t *)value, i, item) recorded.items[recorded.count++] =
        read_argument(r, item, call, user);
    json_object_foreach((json_t *)value, key, item) {
        kt_recorded *to = &recorded.items[recorded.count++];
        *to = read_argument(r, item, call, user);
        to->name = kt_arena_string(r->arena, key);
    }
    if (json_is_object(value) && recorded.count)
        qsort(recorded.items, recorded.count, sizeof *recorded.items, compare_keys);
    return recorded;
}

static void read_call(reader *r, const json_t *node, uint32_t number, const char *user) {
    const json_t *args = json_object_get(node, "args"), *kwargs = json_object_get(node, "kwargs");
    if (!json_is_array(args) || (kwargs && !json_is_object(kwargs))) {
        fail(r, KT_UNSUPPORTED, user,
             "its inbound_nodes are not as Keras 3 writes them; save the model again.");
        return;
    }
    size_t i;
    const char *key;
    json_t *item;
    kt_recorded *arguments =
        KT_NEW_ARRAY(r->arena, kt_recorded, json_array_size(args) + json_object_size(kwargs));
    uint32_t count = 0;
    json_array_foreach((json_t *)args, i, item) arguments[count++] = read_argument(r, item, number, user);
    json_object_foreach((json_t *)kwargs, key, item) {
        arguments[count] = read_argument(r, item, number, user);
        arguments[count++].name = kt_arena_string(r->arena, key);
    }
    if (!count) fail(r, KT_INVALID, user, "it is called without arguments.");
    r->model->calls.at[number].arguments = arguments;
    r->model->calls.at[number].count = count;
}

static int compare_structures(const void *a, const void *b) {
    return strcmp((*(const kt_structure *const *)a)->key, (*(const kt_structure *const *)b)->key);
}

static kt_structure read_structure(reader *r, const json_t *value) {
    kt_structure structure = {.kind = json_is_object(value) ? KT_STRUCTURE_DICT : KT_STRUCTURE_LIST};
    if (json_array_size(value) == 3 && json_is_string(json_array_get(value, 0))) {
        structure.kind = KT_STRUCTURE_LEAF;
        structure.leaf = read_history(r, value, NULL);
        return structure;
    }
    if (!json_is_object(value) && !json_is_array(value)) {
        fail(r, KT_INVALID, NULL, "its input_layers or output_layers are not as Keras 3 writes them.");
        return structure;
    }
    structure.items = KT_NEW_ARRAY(r->arena, kt_structure, json_array_size(value) + json_object_size(value));
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach((json_t *)value, i, item) structure.items[structure.count++] = read_structure(r, item);
    json_object_foreach((json_t *)value, key, item) {
        structure.items[structure.count] = read_structure(r, item);
        structure.items[structure.count++].key = kt_arena_string(r->arena, key);
    }
    return structure;
}

/* The leaves in Keras's order: dicts by their sorted keys. */
static void flatten(reader *r, const kt_structure *structure, kt_leaves *leaves) {
    if (structure->kind == KT_STRUCTURE_LEAF) {
        KT_PUSH(r->arena, leaves, ((kt_leaf){.tensor = structure->leaf, .name = structure->key}));
        return;
    }
    const kt_structure **items = KT_NEW_ARRAY(r->arena, const kt_structure *, structure->count);
    for (uint32_t i = 0; i < structure->count; i++) items[i] = &structure->items[i];
    if (structure->kind == KT_STRUCTURE_DICT && structure->count)
        qsort(items, structure->count, sizeof *items, compare_structures);
    for (uint32_t i = 0; i < structure->count; i++) flatten(r, items[i], leaves);
}

static const kt_operation *operation_of(const reader *r, kt_symbolic tensor) {
    return &r->model->operations.at[r->model->calls.at[tensor.call].operation];
}

/* Inputs are InputLayers, each once, and every InputLayer is an input. */
static void check_inputs(reader *r) {
    kt_functional *model = r->model;
    bool *fed = KT_NEW_ARRAY(r->arena, bool, model->operations.count);
    for (uint32_t i = 0; i < model->input_leaves.count; i++) {
        const kt_operation *operation = operation_of(r, model->input_leaves.at[i].tensor);
        kt_dtype dtype;
        kt_ints shape;
        if (!kt_layer_input_spec(operation->layer, &dtype, &shape))
            fail(r, KT_INVALID, operation->name, "it is an input of the model, but no InputLayer.");
        if (fed[operation - model->operations.at])
            fail(r, KT_INVALID, operation->name, "it stands twice among the model's inputs.");
        fed[operation - model->operations.at] = true;
    }
    for (uint32_t i = 0; i < model->operations.count; i++) {
        kt_dtype dtype;
        kt_ints shape;
        if (kt_layer_input_spec(model->operations.at[i].layer, &dtype, &shape) && !fed[i])
            fail(r, KT_INVALID, model->operations.at[i].name,
                 "it is an InputLayer, but no input of the model.");
    }
    if (!model->input_leaves.count || !model->output_leaves.count)
        fail(r, KT_INVALID, NULL, "the model has no inputs or no outputs.");
}

/* Writes down the calls whose outputs a call takes, in Keras's order: dicts and keywords by their names. What
 * comes behind them is to be written at the place that is returned. */
static uint32_t *find_sources(reader *r, const kt_recorded *arguments, uint32_t count, uint32_t *sources) {
    if (!count) return sources;
    kt_recorded *sorted = kt_arena_copy(r->arena, arguments, count * sizeof *sorted);
    uint32_t named = 0;
    while (named < count && !sorted[named].name) named++;
    qsort(sorted + named, count - named, sizeof *sorted, compare_keys);
    for (uint32_t i = 0; i < count; i++) {
        if (sorted[i].kind == KT_ARGUMENT_TENSOR) *sources++ = sorted[i].tensor.call;
        sources = find_sources(r, sorted[i].items, sorted[i].count, sources);
    }
    return sources;
}

/* The calls that outputs depend on, each behind those whose outputs it takes, as a walk back from the outputs
 * leaves them. sources[first[call]] to sources[first[call + 1]] are a call's. */
static calls walk_back(reader *r, const uint32_t *sources, const uint32_t *first) {
    const kt_functional *model = r->model;
    uint32_t count = model->calls.count, depth = 0;
    calls left = {0};
    bool *met = KT_NEW_ARRAY(r->arena, bool, count);
    uint32_t *path = KT_NEW_ARRAY(r->arena, uint32_t, count);
    uint32_t *next = kt_arena_copy(r->arena, first, count * sizeof *first);
    for (uint32_t i = 0; i < model->output_leaves.count; i++) {
        uint32_t output = model->output_leaves.at[i].tensor.call;
        if (!met[output]) path[depth++] = output;
        met[output] = true;
        while (depth) {
            uint32_t last = path[depth - 1];
            if (next[last] == first[last + 1]) {
                KT_PUSH(r->arena, &left, last);
                depth--;
                continue;
            }
            uint32_t source = sources[next[last]++];
            if (!met[source]) path[depth++] = source;
            met[source] = true;
        }
    }
    return left;
}

typedef struct place {
    uint32_t call;
    uint32_t depth; /* calls between this and the outputs, or as a later call of its layer has */
    uint32_t met;   /* how many calls were met before, from the outputs on */
} place;

static int compare_places(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->depth != y->depth) return x->depth > y->depth ? -1 : 1;
    return x->met < y->met ? -1 : x->met > y->met;
}

/* Keras makes the deepest calls first, and those of one depth as it met them. A layer that is called several
 * times is called in that order here, too, since what it draws and what it has seen may depend on it: each of
 * its calls waits for the one before. */
static void order_shared_calls(reader *r) {
    kt_functional *model = r->model;
    uint32_t count = model->calls.count, met = 0;
    uint32_t *sources = KT_NEW_ARRAY(r->arena, uint32_t, r->edges.count), *end = sources;
    uint32_t *first = KT_NEW_ARRAY(r->arena, uint32_t, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        end = find_sources(r, model->calls.at[i].arguments, model->calls.at[i].count, end);
        first[i + 1] = (uint32_t)(end - sources);
    }
    calls left = walk_back(r, sources, first);
    place *places = KT_NEW_ARRAY(r->arena, place, count);
    uint32_t *depths = KT_NEW_ARRAY(r->arena, uint32_t, model->operations.count);
    for (uint32_t i = left.count; i-- > 0;) {
        uint32_t call = left.at[i], operation = model->calls.at[call].operation;
        if (!places[call].call) places[call] = (place){.call = call, .met = met++};
        if (places[call].depth < depths[operation]) places[call].depth = depths[operation];
        depths[operation] = places[call].depth;
        for (uint32_t s = first[call]; s < first[call + 1]; s++) {
            place *source = &places[sources[s]];
            if (!source->call) *source = (place){.call = sources[s], .met = met++};
            if (source->depth <= places[call].depth) source->depth = places[call].depth + 1;
        }
    }
    qsort(places, count, sizeof *places, compare_places);
    uint32_t *before = KT_NEW_ARRAY(r->arena, uint32_t, model->operations.count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t call = places[i].call, operation = model->calls.at[call].operation;
        if (!call) continue; /* outputs do not depend on it */
        if (before[operation]) KT_PUSH(r->arena, &r->edges, ((edge){.from = before[operation], .to = call}));
        before[operation] = call;
    }
}

/* Sorts the calls so that each comes after those whose outputs it takes (Kahn). */
static void sort_calls(reader *r) {
    kt_functional *model = r->model;
    uint32_t count = model->calls.count;
    uint32_t *waits = KT_NEW_ARRAY(r->arena, uint32_t, count);     /* by call: for how many outputs */
    uint32_t *first = KT_NEW_ARRAY(r->arena, uint32_t, count + 1); /* by call: where its users begin */
    uint32_t *users = KT_NEW_ARRAY(r->arena, uint32_t, r->edges.count);
    for (uint32_t i = 0; i < r->edges.count; i++) {
        waits[r->edges.at[i].to]++;
        first[r->edges.at[i].from + 1]++;
    }
    for (uint32_t i = 0; i < count; i++) first[i + 1] += first[i];
    uint32_t *next = kt_arena_copy(r->arena, first, count * sizeof *first);
    for (uint32_t i = 0; i < r->edges.count; i++) users[next[r->edges.at[i].from]++] = r->edges.at[i].to;
    for (uint32_t i = 1; i < count; i++)
        if (!waits[i]) KT_PUSH(r->arena, &model->order, i);
    for (uint32_t done = 0; done < model->order.count; done++) {
        uint32_t from = model->order.at[done];
        for (uint32_t u = first[from]; u < first[from + 1]; u++)
            if (--waits[users[u]] == 0) KT_PUSH(r->arena, &model->order, users[u]);
    }
    for (uint32_t i = 1; i < count && model->order.count + 1 < count; i++) {
        if (!waits[i]) continue;
        fail(r, KT_INVALID, model->operations.at[model->calls.at[i].operation].name,
             "its input depends on its own output: the model's graph has a loop.");
        return;
    }
}

kt_status kt_functional_read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    kt_functional *model = (kt_functional *)layer;
    reader r = {.model = model, .context = context, .arena = context->arena};
    r.path = layer->path ? layer->path : layer->name;
    layer->child_group = "layers";
    model->context = context;
    KT_PUSH(r.arena, &model->calls, (kt_recorded_call){0});
    const json_t *layers = json_object_get(config, "layers");
    if (!json_is_array(layers))
        return kt_diag_add(context->diag, KT_INVALID, r.path,
                           "the configuration of a Functional has no list “layers”.");
    size_t i;
    json_t *serialized;
    json_array_foreach((json_t *)layers, i, serialized) read_operation(&r, serialized);
    if (model->operations.count != json_array_size(layers)) return r.status; /* calls cannot be told apart */
    json_array_foreach((json_t *)layers, i, serialized) {
        const kt_operation *operation = &model->operations.at[i];
        const json_t *nodes = json_object_get(serialized, "inbound_nodes");
        for (uint32_t n = 0; n < operation->calls.count && n < json_array_size(nodes); n++)
            read_call(&r, json_array_get(nodes, n), operation->calls.at[n], operation->name);
    }
    model->inputs = read_structure(&r, json_object_get(config, "input_layers"));
    model->outputs = read_structure(&r, json_object_get(config, "output_layers"));
    if (r.status != KT_OK) return r.status;
    flatten(&r, &model->inputs, &model->input_leaves);
    flatten(&r, &model->outputs, &model->output_leaves);
    check_inputs(&r);
    order_shared_calls(&r);
    sort_calls(&r);
    return r.status;
}

/* ---- writing --------------------------------------------------------------------------------- */
static uint32_t call_position(const kt_operation *operation, uint32_t call) {
    uint32_t position = 0;
    while (operation->calls.at[position] != call) position++;
    return position;
}

static json_t *write_history(const kt_functional *model, kt_symbolic tensor, uint32_t first) {
    const kt_operation *operation = &model->operations.at[model->calls.at[tensor.call].operation];
    json_int_t call = call_position(operation, tensor.call);
    return json_pack("[s, I, I]", operation->name, call + first, (json_int_t)tensor.output);
}

static json_t *write_argument(const kt_functional *model, const kt_recorded *argument) {
    switch (argument->kind) {
    case KT_ARGUMENT_NONE: return json_null();
    case KT_ARGUMENT_LITERAL: return json_incref((json_t *)argument->literal);
    case KT_ARGUMENT_TENSOR:
        if (argument->literal) return json_incref((json_t *)argument->literal);
        /* Keras takes shape and dtype from the layers; they only have to be there. */
        return json_pack("{s:s, s:{s:[n], s:s, s:o}}", "class_name", "__keras_tensor__", "config", "shape",
                         "dtype", "float32", "keras_history", write_history(model, argument->tensor, 0));
    case KT_ARGUMENT_LIST: break;
    }
    bool is_dict = argument->count && argument->items[0].name;
    json_t *list = is_dict ? json_object() : json_array();
    for (uint32_t i = 0; i < argument->count; i++) {
        json_t *item = write_argument(model, &argument->items[i]);
        if (is_dict)
            json_object_set_new(list, argument->items[i].name, item);
        else
            json_array_append_new(list, item);
    }
    return list;
}

static json_t *write_call(const kt_functional *model, const kt_recorded_call *call) {
    json_t *args = json_array(), *kwargs = json_object();
    for (uint32_t i = 0; i < call->count; i++) {
        json_t *value = write_argument(model, &call->arguments[i]);
        if (call->arguments[i].name)
            json_object_set_new(kwargs, call->arguments[i].name, value);
        else
            json_array_append_new(args, value);
    }
    return json_pack("{s:o, s:o}", "args", args, "kwargs", kwargs);
}

static json_t *write_leaf(const kt_functional *model, kt_symbolic tensor) {
    const kt_operation *operation = &model->operations.at[model->calls.at[tensor.call].operation];
    return write_history(model, tensor, operation->layer->class == &kt_class_functional);
}

static json_t *write_structure(const kt_functional *model, const kt_structure *structure) {
    if (structure->kind == KT_STRUCTURE_LEAF) return write_leaf(model, structure->leaf);
    json_t *list = structure->kind == KT_STRUCTURE_DICT ? json_object() : json_array();
    for (uint32_t i = 0; i < structure->count; i++) {
        json_t *item = write_structure(model, &structure->items[i]);
        if (structure->kind == KT_STRUCTURE_DICT)
            json_object_set_new(list, structure->items[i].key, item);
        else
            json_array_append_new(list, item);
    }
    return list;
}

/* A model that was built in C has lists of inputs and outputs. */
static json_t *write_leaves(const kt_functional *model, const kt_structure *structure,
                            const kt_leaves *leaves) {
    if (structure->kind != KT_STRUCTURE_LIST || structure->count) return write_structure(model, structure);
    json_t *list = json_array();
    for (uint32_t i = 0; i < leaves->count; i++)
        json_array_append_new(list, write_leaf(model, leaves->at[i].tensor));
    return list;
}

void kt_functional_write_config(const kt_layer *layer, json_t *config) {
    const kt_functional *model = (const kt_functional *)layer;
    json_object_del(config, "dtype"); /* a Functional has none of its own */
    json_t *layers = json_array();
    for (uint32_t i = 0; i < model->operations.count; i++) {
        const kt_operation *operation = &model->operations.at[i];
        json_t *serialized = kt_layer_get_config(operation->layer), *nodes = json_array();
        for (uint32_t c = 0; c < operation->calls.count; c++) {
            const kt_recorded_call *call = &model->calls.at[operation->calls.at[c]];
            if (call->count) json_array_append_new(nodes, write_call(model, call));
        }
        json_object_set_new(serialized, "name", json_string(operation->name));
        json_object_set_new(serialized, "inbound_nodes", nodes);
        json_array_append_new(layers, serialized);
    }
    json_object_set_new(config, "layers", layers);
    json_object_set_new(config, "input_layers", write_leaves(model, &model->inputs, &model->input_leaves));
    json_object_set_new(config, "output_layers", write_leaves(model, &model->outputs, &model->output_leaves));
}
