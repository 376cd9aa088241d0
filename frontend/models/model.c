/* Tracing a whole model into entries, and what its inputs, outputs and variables are called.
 *
 * Inputs have their InputLayers' names, outputs those of the layers that make them; a name that is there
 * already gets _1, _2, …. Variables are in the order of Keras's `model.variables`, under two names:
 *
 *   path       Keras's `variable.path` after load_model: the layer's name and the weight's, "dense_1/kernel";
 *              where two nested models hold layers of one name, with the models' names,
 * "block_2/dense_1/kernel" file_path  its place in model.weights.h5: below each model "layers/", the layer's
 * class in snake case and a number among the layers of that class, then "vars/" and the weight's number. A
 * layer that is shared is stored once, where it is met first. */
#include "frontend/layers/layers_impl.h"
#include "frontend/models/models_impl.h"

#include <ctype.h>
#include <string.h>

bool kt_layer_is_operation(const kt_layer *layer) {
    return strncmp(layer->class->module, "keras.src.ops.", 14) == 0;
}

void kt_layer_place(kt_layer *layer, kt_arena *arena, const char *container_path) {
    layer->path = kt_arena_format(arena, "%s/%s", container_path, layer->name);
    for (uint32_t i = 0; i < layer->children.count; i++)
        kt_layer_place(layer->children.at[i], arena, layer->path);
}

kt_value kt_model_take_input(kt_trace *trace, const kt_layer *input_layer, kt_value x) {
    kt_builder *builder = trace->builder;
    kt_dim_pool *dims = builder->graph->dims;
    kt_dtype dtype;
    kt_ints shape;
    if (!x || !kt_layer_input_spec(input_layer, &dtype, &shape)) return x;
    kt_type type = *kt_build_type(builder, x);
    if (type.rank == shape.count + 1 && kt_dim_equals(dims, type.dims[type.rank - 1], 1)) {
        x = kt_build_reshape(builder, x, type.rank - 1, type.dims);
    } else if (type.rank + 1U == shape.count && shape.at[shape.count - 1] == 1) {
        type.dims[type.rank] = kt_dim_const(dims, 1);
        x = kt_build_reshape(builder, x, type.rank + 1, type.dims);
    } else if (type.rank != shape.count) {
        kt_trace_fail(trace, KT_INVALID, "input “%s” has %u axes, but is given a tensor with %u.",
                      input_layer->name, shape.count, (unsigned)type.rank);
        return 0;
    }
    return kt_build_cast(builder, x, dtype);
}

bool kt_model_may_call(kt_trace *trace) {
    if (trace->calls > KT_CALL_LIMIT) return false;
    if (++trace->calls <= KT_CALL_LIMIT) return true;
    kt_trace_fail(trace, KT_UNSUPPORTED, "the model and the models in it call more than %d layers.",
                  KT_CALL_LIMIT);
    return false;
}

/* ---- names ----------------------------------------------------------------------------------- */
/* Gives repeated names a number that no other name has. */
static void number_repeats(kt_arena *arena, const char **names, uint32_t count) {
    kt_table taken = {0};
    bool *first = KT_NEW_ARRAY(arena, bool, count);
    for (uint32_t i = 0; i < count; i++) {
        first[i] = !kt_table_find(&taken, names[i], strlen(names[i]));
        if (first[i]) kt_table_add(&taken, arena, names[i], strlen(names[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (first[i]) continue;
        uint32_t *number = kt_table_find(&taken, names[i], strlen(names[i]));
        const char *numbered;
        do {
            numbered = kt_arena_format(arena, "%s_%u", names[i], ++*number);
        } while (kt_table_find(&taken, numbered, strlen(numbered)));
        kt_table_add(&taken, arena, numbered, strlen(numbered), 0);
        names[i] = numbered;
    }
}

/* A name that dimension expressions can hold. */
static const char *symbol_name(kt_arena *arena, const char *input) {
    char *name =
        kt_arena_format(arena, "%s%s", isdigit((unsigned char)input[0]) || !input[0] ? "_" : "", input);
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p)) *p = '_';
    return name;
}

/* ---- variables ------------------------------------------------------------------------------- */
typedef struct place {
    kt_arena *arena;
    kt_graph *graph;
    uint32_t settled;          /* so many variables have their names and places already */
    bool frozen;               /* the model as a whole: nothing in it is trained */
    kt_table met;              /* layers, by address */
    KT_VECTOR(uint32_t) order; /* the others in Keras's order */
    const char **full_paths;   /* by variable: with the names of all models that it is in */
} place;

/* Where a layer stands. */
typedef struct position {
    const char *file;      /* its group in the file, "" at the top */
    const char *path;      /* what its variables' paths begin with */
    const char *full_path; /* the same with all models' names */
} position;

static const char *join(kt_arena *arena, const char *a, const char *b) {
    return *a ? kt_arena_format(arena, "%s/%s", a, b) : b;
}

static void place_variables(place *p, const kt_layer *layer, position at) {
    const void *address = layer;
    if (kt_table_find(&p->met, &address, sizeof address)) return;
    kt_table_add(&p->met, p->arena, &address, sizeof address, 0);
    for (uint32_t i = 0, place = 0; i < layer->weights.count && layer->graph == p->graph; i++) {
        const kt_weight *weight = &layer->weights.at[i];
        kt_variable *variable = &p->graph->variables.at[weight->variable];
        bool in_file = !weight->state && !weight->factor;
        const char *file = kt_arena_format(p->arena, "vars/%u", place);
        place += in_file;
        if (weight->variable < p->settled) continue;
        if (p->frozen) variable->trainable = false;
        if (in_file) variable->file_path = join(p->arena, at.file, file);
        variable->path = join(p->arena, at.path, weight->name);
        p->full_paths[weight->variable] = join(p->arena, at.full_path, weight->name);
        KT_PUSH(p->arena, &p->order, weight->variable);
    }
    bool is_model = layer->class == &kt_class_functional || layer->class == &kt_class_sequential;
    bool is_list = layer->child_group && kt_options_listed("layers cells", layer->child_group);
    kt_table used = {0};
    for (uint32_t i = 0; i < layer->children.count; i++) {
        const kt_layer *child = layer->children.at[i];
        position below = {.path = is_model ? child->name : join(p->arena, at.path, child->name),
                          .full_path = join(p->arena, at.full_path, child->name)};
        if (is_list) {
            const char *class_name = kt_layer_snake_case(
                p->arena, child->class->python_name ? child->class->python_name : child->class->name);
            uint32_t *number = kt_table_add(&used, p->arena, class_name, strlen(class_name), 0);
            const char *suffix = *number ? kt_arena_format(p->arena, "_%u", *number) : "";
            ++*number;
            below.file = join(p->arena, at.file,
                              kt_arena_format(p->arena, "%s/%s%s", layer->child_group, class_name, suffix));
        } else {
            const char *attribute = child->attribute ? child->attribute : layer->child_group;
            below.file = join(p->arena, at.file, attribute ? attribute : child->name);
        }
        place_variables(p, child, below);
    }
}

/* Makes variables' paths unique, by their full paths where need be. */
static void separate_paths(place *p) {
    kt_table seen = {0};
    uint32_t count = p->graph->variables.count;
    const char **paths = KT_NEW_ARRAY(p->arena, const char *, count);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = p->graph->variables.at[i].path;
        ++*kt_table_add(&seen, p->arena, path, strlen(path), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        paths[i] = p->graph->variables.at[i].path;
        if (i >= p->settled && *kt_table_find(&seen, paths[i], strlen(paths[i])) > 1)
            paths[i] = p->full_paths[i];
    }
    number_repeats(p->arena, paths, count);
    for (uint32_t i = 0; i < count; i++) p->graph->variables.at[i].path = paths[i];
}

/* Layers keep their variables' numbers. */
static void renumber_weights(kt_layer *layer, const kt_graph *graph, kt_arena *arena, kt_table *met,
                             const uint32_t *numbers) {
    const void *address = layer;
    if (kt_table_find(met, &address, sizeof address)) return;
    kt_table_add(met, arena, &address, sizeof address, 0);
    for (uint32_t i = 0; i < layer->weights.count && layer->graph == graph; i++)
        layer->weights.at[i].variable = numbers[layer->weights.at[i].variable];
    for (uint32_t i = 0; i < layer->children.count; i++)
        renumber_weights(layer->children.at[i], graph, arena, met, numbers);
}

/* The trace's variables by their new numbers. */
static void renumber_trace(kt_trace *trace, const uint32_t *numbers) {
    kt_function *function = &trace->builder->function;
    uint32_t count = trace->variables.count;
    kt_value *values = kt_arena_copy(trace->context->arena, trace->variables.at, count * sizeof *values);
    bool *assigned = kt_arena_copy(trace->context->arena, trace->assigned.at, count * sizeof *assigned);
    for (uint32_t i = 0; i < function->params.count; i++)
        if (function->params.at[i].role == KT_ROLE_VARIABLE)
            function->params.at[i].index = numbers[function->params.at[i].index];
    while (trace->variables.count < trace->builder->graph->variables.count) {
        KT_PUSH(trace->context->arena, &trace->variables, 0);
        KT_PUSH(trace->context->arena, &trace->assigned, false);
    }
    for (uint32_t i = 0; i < trace->variables.count; i++) {
        trace->variables.at[i] = 0;
        trace->assigned.at[i] = false;
    }
    for (uint32_t i = 0; i < count; i++) {
        trace->variables.at[numbers[i]] = values[i];
        trace->assigned.at[numbers[i]] = assigned[i];
    }
}

/* Names the variables from number settled on, and puts them in Keras's order. */
static void name_variables(kt_trace *trace, kt_layer *model, uint32_t settled) {
    kt_arena *arena = trace->context->arena;
    kt_graph *graph = trace->builder->graph;
    uint32_t count = graph->variables.count;
    place p = {.arena = arena,
               .graph = graph,
               .settled = settled,
               .frozen = !model->trainable,
               .full_paths = KT_NEW_ARRAY(arena, const char *, count)};
    place_variables(&p, model, (position){.file = "", .path = "", .full_path = ""});
    KT_ASSERT(p.order.count == count - settled);
    separate_paths(&p);
    kt_variable *variables = kt_arena_copy(arena, graph->variables.at, count * sizeof *variables);
    uint32_t *numbers = KT_NEW_ARRAY(arena, uint32_t, count);
    for (uint32_t i = 0; i < settled; i++) numbers[i] = i;
    for (uint32_t i = settled; i < count; i++) {
        graph->variables.at[i] = variables[p.order.at[i - settled]];
        numbers[p.order.at[i - settled]] = i;
    }
    renumber_trace(trace, numbers);
    kt_table met = {0};
    renumber_weights(model, graph, arena, &met, numbers);
}

/* ---- tracing --------------------------------------------------------------------------------- */
kt_status kt_model_find_ends(kt_layer_context *context, const kt_layer *model, kt_model_ends *out) {
    kt_arena *arena = context->arena;
    const kt_functional *functional =
        model->class == &kt_class_functional ? (const kt_functional *)model : NULL;
    if (!functional && model->class != &kt_class_sequential)
        return kt_diag_add(context->diag, KT_UNSUPPORTED, model->name,
                           "a %s is no model; put it in a Sequential or a Functional.", model->class->name);
    out->input_count = functional ? functional->input_leaves.count : 1;
    out->output_count = kt_layer_output_count(model);
    out->inputs = KT_NEW_ARRAY(arena, const kt_layer *, out->input_count);
    out->input_names = KT_NEW_ARRAY(arena, const char *, out->input_count);
    out->output_names = KT_NEW_ARRAY(arena, const char *, out->output_count);
    for (uint32_t i = 0; i < out->input_count; i++) {
        out->inputs[i] =
            functional ? kt_functional_input_layer(functional, i) : kt_sequential_input_layer(model);
        if (!out->inputs[i])
            return kt_diag_add(
                context->diag, KT_INVALID, model->name,
                "the shape of the model's input is not known; give it an Input layer or build it "
                "before it is saved.");
        out->input_names[i] = out->inputs[i]->name;
    }
    for (uint32_t i = 0; i < out->output_count; i++) {
        const char *name = NULL;
        if (functional) {
            const kt_leaf *leaf = &functional->output_leaves.at[i];
            const kt_recorded_call *call = &functional->calls.at[leaf->tensor.call];
            name = leaf->name ? leaf->name : functional->operations.at[call->operation].name;
        } else if (model->children.count) {
            name = model->children.at[model->children.count - 1]->name;
        }
        out->output_names[i] = name ? name : out->input_names[0];
    }
    number_repeats(arena, out->input_names, out->input_count);
    number_repeats(arena, out->output_names, out->output_count);
    return KT_OK;
}

static kt_type input_type(kt_arena *arena, kt_dim_pool *dims, const kt_layer *input, const char *symbol) {
    kt_type type = {0};
    kt_ints shape;
    kt_layer_input_spec(input, &type.dtype, &shape);
    type.rank = (uint8_t)shape.count;
    for (uint32_t axis = 0; axis < shape.count; axis++) {
        if (shape.at[axis] >= 0)
            type.dims[axis] = kt_dim_const(dims, shape.at[axis]);
        else if (axis == 0)
            type.dims[axis] = kt_dim_symbol(dims, "batch");
        else
            type.dims[axis] = kt_dim_symbol(dims, kt_arena_format(arena, "%s.%u", symbol, axis));
    }
    return type;
}

static void give_observed(kt_builder *builder, const kt_observer *observer) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < observer->outputs.count; i++) {
        const kt_layer_output *output = &observer->outputs.at[i];
        if (observer->wants(observer->context, output->name))
            kt_builder_result(builder, KT_ROLE_OUTPUT, output->name, count++, output->value);
    }
}

kt_status kt_model_begin_entry(kt_layer_context *context, kt_layer *model, const kt_model_ends *ends,
                               kt_graph *graph, const char *name, bool training, bool losses,
                               kt_model_entry *out_entry) {
    kt_arena *arena = context->arena;
    kt_model_entry *entry = out_entry;
    uint32_t settled = graph->variables.count;
    *entry = (kt_model_entry){
        .trace = {.context = context, .path = model->path, .training = training, .collects_losses = losses}};
    kt_builder_begin(&entry->builder, graph, KT_FUNC_ENTRY, name, context->diag);
    entry->trace.builder = &entry->builder;
    const char **symbols = KT_NEW_ARRAY(arena, const char *, ends->input_count);
    for (uint32_t i = 0; i < ends->input_count; i++) symbols[i] = symbol_name(arena, ends->input_names[i]);
    number_repeats(arena, symbols, ends->input_count);
    kt_argument *items = KT_NEW_ARRAY(arena, kt_argument, ends->input_count);
    for (uint32_t i = 0; i < ends->input_count; i++) {
        kt_type type = input_type(arena, graph->dims, ends->inputs[i], symbols[i]);
        items[i].kind = KT_ARGUMENT_TENSOR;
        items[i].value = kt_builder_param(&entry->builder, KT_ROLE_INPUT, ends->input_names[i], i, &type);
        if (i == 0) entry->batch = type.rank ? type.dims[0] : kt_dim_const(graph->dims, 1);
    }
    kt_argument arguments = {.kind = KT_ARGUMENT_LIST, .items = items, .count = ends->input_count};
    entry->outputs = KT_NEW_ARRAY(arena, kt_value, ends->output_count);
    entry->masks = KT_NEW_ARRAY(arena, kt_value, ends->output_count);
    if (context->observer) context->observer->builder = &entry->builder;
    kt_layer_call_with(model, &entry->trace, &arguments, 1, entry->outputs, entry->masks);
    if (entry->trace.failed || entry->builder.status != KT_OK)
        return entry->builder.status != KT_OK ? entry->builder.status : KT_INVALID;
    name_variables(&entry->trace, model, settled);
    return KT_OK;
}

kt_status kt_model_finish_entry(kt_model_entry *entry) {
    kt_trace *trace = &entry->trace;
    if (trace->failed || entry->builder.status != KT_OK)
        return entry->builder.status != KT_OK ? entry->builder.status : KT_INVALID;
    for (uint32_t i = 0; i < trace->assigned.count; i++)
        if (trace->assigned.at[i])
            kt_builder_result(&entry->builder, KT_ROLE_VARIABLE, NULL, i, trace->variables.at[i]);
    kt_func func;
    return kt_builder_finish(&entry->builder, &func);
}

kt_status kt_model_trace_predict(kt_layer_context *context, kt_layer *model, const kt_model_ends *ends,
                                 kt_graph *graph) {
    kt_model_entry entry;
    KT_TRY(kt_model_begin_entry(context, model, ends, graph, "predict", false, false, &entry));
    if (context->observer && context->observer->wants)
        give_observed(&entry.builder, context->observer);
    else
        for (uint32_t i = 0; i < ends->output_count; i++)
            kt_builder_result(&entry.builder, KT_ROLE_OUTPUT, ends->output_names[i], i, entry.outputs[i]);
    return kt_model_finish_entry(&entry);
}

typedef struct tracing {
    kt_layer_context *context;
    kt_layer *model;
    kt_graph *graph;
} tracing;

static kt_status trace_model(void *object) {
    tracing *t = object;
    kt_model_ends ends = {0};
    KT_TRY(kt_model_find_ends(t->context, t->model, &ends));
    t->graph = kt_graph_create(t->context->arena, t->model->name);
    return kt_model_trace_predict(t->context, t->model, &ends, t->graph);
}

kt_status kt_model_trace(kt_layer_context *context, kt_layer *model, kt_graph **out_graph) {
    tracing t = {.context = context, .model = model};
    KT_TRY(kt_guarded(trace_model, &t, context->diag));
    *out_graph = t.graph;
    return KT_OK;
}
