/* SimpleRNN, LSTM, GRU and RNN: a cell run over time, as one scan.
 *
 * The input is turned to [time, batch, …], and the cell's product with it is computed for all steps at once;
 * the scan does what is left of a step. Where a mask says that a step does not count, states stay as they
 * were and the output is the one before, or zeros (zero_output_for_mask). With go_backwards the last step
 * comes first, and outputs stand in the order in which they were made.
 *
 * As Keras, an unrolled layer begins with zeros where the first steps are masked, and never writes zeros for
 * later ones. */
#include "frontend/layers/recurrent/recurrent_impl.h"

#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct recurrent {
    kt_layer layer; /* its child is the cell */
    KT_CELL_FIELDS
    kt_recurrence recurrence;
} recurrent;

typedef struct rnn {
    kt_layer layer;
    kt_recurrence recurrence;
} rnn;

// clang-format off
static const kt_option rnn_options[] = {KT_RECURRENCE_OPTIONS(rnn), KT_OPTIONS_END};
static const kt_option simple_options[] = {
    KT_RECURRENCE_OPTIONS(recurrent), KT_CELL_OPTIONS(recurrent), KT_ACTIVITY_REGULARIZER, KT_OPTIONS_END};
static const kt_option lstm_options[] = {
    KT_RECURRENCE_OPTIONS(recurrent), KT_CELL_OPTIONS(recurrent), KT_CELL_SEED(recurrent), KT_LSTM_OPTIONS(recurrent),
    KT_ACTIVITY_REGULARIZER, KT_OPTIONS_END};
static const kt_option gru_options[] = {
    KT_RECURRENCE_OPTIONS(recurrent), KT_CELL_OPTIONS(recurrent), KT_CELL_SEED(recurrent), KT_GRU_OPTIONS(recurrent),
    KT_ACTIVITY_REGULARIZER, KT_OPTIONS_END};
// clang-format on

kt_recurrence *kt_recurrence_of(kt_layer *layer) {
    const kt_layer_class *class = layer->class;
    if (class == &kt_class_rnn) return &((rnn *)layer)->recurrence;
    if (class == &kt_class_simple_rnn || class == &kt_class_lstm || class == &kt_class_gru)
        return &((recurrent *)layer)->recurrence;
    return kt_conv_lstm_recurrence(layer);
}

static const kt_recurrence *recurrence_of(const kt_layer *layer) {
    return kt_recurrence_of((kt_layer *)(uintptr_t)layer);
}

/* ---- making ---------------------------------------------------------------------------------- */

kt_status kt_recurrence_add_cell(kt_layer *layer, kt_layer_context *context, const kt_layer_class *cell,
                                 const json_t *config) {
    const char *name = kt_layer_snake_case(context->arena, cell->name);
    json_t *options = json_object();
    for (const kt_option *option = cell->options; option->name; option++) {
        json_t *value = json_object_get(config, option->name);
        if (value) json_object_set(options, option->name, value);
    }
    json_t *dtype = json_object_get(config, "dtype");
    if (dtype) json_object_set(options, "dtype", dtype);
    /* Keras hands it on to all cells but ConvLSTM's. */
    bool handed_on = cell != &kt_class_conv_lstm_cell;
    json_object_set_new(options, "trainable", json_boolean(layer->trainable || !handed_on));
    json_object_set_new(options, "name", json_string(name));
    json_t *serialized =
        json_pack("{s:s, s:s, s:o}", "module", cell->module, "class_name", cell->name, "config", options);
    kt_arena_defer(context->arena, kt_json_release, serialized);
    kt_layer *child = kt_layer_from_config(context, serialized, layer->path ? layer->path : layer->name);
    if (!child) return KT_INVALID;
    child->attribute = "cell";
    KT_PUSH(context->arena, &layer->children, child);
    return KT_OK;
}

static kt_status read_simple(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    layer->unpunished = true; /* Keras forgets it */
    return kt_recurrence_add_cell(layer, context, &kt_class_simple_rnn_cell, config);
}

static kt_status read_lstm(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    return kt_recurrence_add_cell(layer, context, &kt_class_lstm_cell, config);
}

static kt_status read_gru(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    return kt_recurrence_add_cell(layer, context, &kt_class_gru_cell, config);
}

static kt_status read_rnn(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    kt_layer *child = kt_layer_from_config(context, json_object_get(config, "cell"),
                                           layer->path ? layer->path : layer->name);
    if (!child || !kt_cell_check(layer, context, child)) return KT_UNSUPPORTED;
    child->attribute = "cell";
    KT_PUSH(context->arena, &layer->children, child);
    return KT_OK;
}

static void write_rnn(const kt_layer *layer, json_t *config) {
    json_object_set_new(config, "cell", kt_layer_get_config(layer->children.at[0]));
}

/* ---- calling --------------------------------------------------------------------------------- */

/* x without its time axis. */
static kt_type step_type(const kt_type *x) {
    kt_type type = *x;
    type.rank--;
    for (int axis = 1; axis < type.rank; axis++) type.dims[axis] = x->dims[axis + 1];
    return type;
}

/* What the layer keeps from batch to batch: weights of its own. */
static kt_status build_states(kt_layer *layer, kt_trace *trace, const kt_type *input) {
    const kt_cell_kind *kind = kt_cell_find(layer->children.at[0]);
    kt_type types[KT_MAX_STATES];
    kind->state_types(layer->children.at[0], trace->builder->graph->dims, input, types);
    for (uint32_t i = 0; i < kind->state_count(layer->children.at[0]); i++) {
        types[i].dtype = layer->variable_dtype;
        if (!kt_type_is_static(trace->builder->graph->dims, &types[i])) {
            kt_trace_fail(trace, KT_INVALID,
                          "it is stateful, so the batch must have a fixed size; give the "
                          "input a batch_shape.");
            return KT_INVALID;
        }
        if (kt_type_static_elements(trace->builder->graph->dims, &types[i]) > INT32_MAX) {
            kt_trace_fail(trace, KT_INVALID, "the states that it keeps are too large.");
            return KT_INVALID;
        }
        (void)kt_layer_add_state(layer, trace, "rnn_state", &types[i], NULL);
    }
    return KT_OK;
}

kt_status kt_recurrence_build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call) {
    kt_layer *cell = layer->children.at[0];
    const char *outer = trace->path;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 3, KT_MAX_RANK)) return KT_INVALID;
    const kt_type type = step_type(kt_call_type(call, 0));
    trace->path = cell->path;
    kt_status status = kt_cell_find(cell)->build(cell, trace, &type);
    kt_layer_renew(cell, trace);
    trace->path = outer;
    return status == KT_OK && recurrence_of(layer)->stateful ? build_states(layer, trace, &type) : status;
}

uint32_t kt_recurrence_outputs(const kt_layer *layer, const kt_recurrence *recurrence) {
    const kt_layer *cell = layer->children.at[0];
    return 1 + (recurrence->return_state ? kt_cell_find(cell)->state_count(cell) : 0);
}

/* Batch and time change places. */
static kt_value turn(kt_builder *builder, kt_value x) {
    int64_t axes[KT_MAX_RANK] = {1, 0};
    for (int axis = 2; axis < kt_build_type(builder, x)->rank; axis++) axes[axis] = axis;
    return kt_build_transpose(builder, x, axes);
}

static bool add_states(const kt_argument *argument, uint32_t count, kt_value *out_states, uint32_t *at) {
    bool ok = true;
    if (argument->kind == KT_ARGUMENT_TENSOR) {
        if (*at < count) out_states[*at] = argument->value;
        ++*at;
        return argument->value != 0;
    }
    for (uint32_t i = 0; argument->kind == KT_ARGUMENT_LIST && i < argument->count; i++)
        ok = add_states(&argument->items[i], count, out_states, at) && ok;
    return ok;
}

/* The states before the first step, in the types wanted. */
static bool initial_states(kt_layer *layer, const kt_layer_call *call, const kt_type *types, uint32_t count,
                           kt_value *out_states) {
    const kt_argument *given = kt_operation_argument(call, 1, "initial_state");
    kt_builder *builder = call->trace->builder;
    uint32_t found = 0;
    bool none = !given || given->kind == KT_ARGUMENT_NONE ||
                (given->kind == KT_ARGUMENT_LITERAL && json_is_null(given->literal));
    if (!none && !add_states(given, count, out_states, &found)) return false;
    if (!none && found != count) {
        kt_trace_fail(call->trace, KT_INVALID, "the initial state must be %u tensors.", count);
        return false;
    }
    bool kept = none && recurrence_of(layer)->stateful;
    for (uint32_t i = 0; i < count && kept; i++) out_states[i] = kt_trace_weight(call->trace, layer, i);
    for (uint32_t i = 0; i < count; i++) {
        out_states[i] = none && !kept ? kt_build_fill(builder, &types[i], 0)
                                      : kt_build_cast(builder, out_states[i], types[i].dtype);
        const kt_type *type = kt_build_type(builder, out_states[i]);
        bool same = type->rank == types[i].rank;
        for (int axis = 0; same && axis < type->rank; axis++)
            same = kt_build_require_equal(builder, type->dims[axis], types[i].dims[axis], "initial_state");
        if (same) {
            if (!kt_type_equal(type, &types[i]))
                out_states[i] = kt_build_reshape(builder, out_states[i], types[i].rank, types[i].dims);
            continue;
        }
        kt_trace_fail(call->trace, KT_INVALID, "the initial state %u does not fit the cell's.", i);
        return false;
    }
    return true;
}

/* Keras hands a mask that came along with the input on only where the input is the one tensor argument: with
 * an initial state, the mask must be given itself. */
static bool takes_mask(const kt_layer_call *call) {
    const kt_argument *states = kt_operation_argument(call, 1, "initial_state");
    const kt_argument *mask = kt_operation_argument(call, 2, "mask");
    bool alone = !states || states->kind == KT_ARGUMENT_NONE || states->kind == KT_ARGUMENT_LITERAL ||
                 (states->kind == KT_ARGUMENT_LIST && states->count == 0);
    return alone || (mask && mask->kind == KT_ARGUMENT_TENSOR);
}

/* What a step is written with. */
typedef struct looping {
    kt_layer *cell;
    const kt_cell_kind *kind;
    const kt_recurrence *recurrence;
    uint32_t states;
    bool masked, separate; /* separate: the output before is carried by itself */
} looping;

/* x where the mask [batch] is true, else other. */
static kt_value where(kt_builder *builder, kt_value mask, kt_value x, kt_value other) {
    if (x == other) return x;
    const kt_type type = *kt_build_type(builder, x);
    mask = kt_build_broadcast(builder, mask, type.rank, type.dims, (int64_t[]){0});
    return kt_build_select(builder, mask, x, other);
}

static kt_value slice_param(kt_builder *step, kt_value stack, const kt_builder *outer) {
    kt_type type = *kt_build_type(outer, stack);
    type.rank--;
    memmove(type.dims, type.dims + 1, type.rank * sizeof type.dims[0]);
    return kt_builder_param(step, KT_ROLE_PLAIN, NULL, step->function.params.count, &type);
}

/* Writes the step's function: carried are the states, and perhaps the output before; sequences the projected
 * input, and perhaps the mask. */
static kt_status write_step(const looping *l, kt_trace *inner, const kt_trace *outer, const kt_value *carried,
                            uint32_t carried_count, const kt_value *sequences, kt_func *out_step) {
    kt_builder *b = inner->builder;
    kt_value states[KT_MAX_STATES + 1] = {0}, before[KT_MAX_STATES + 1] = {0}, mask = 0;
    for (uint32_t i = 0; i < carried_count; i++)
        states[i] = before[i] =
            kt_builder_param(b, KT_ROLE_PLAIN, NULL, i, kt_build_type(outer->builder, carried[i]));
    kt_value x = slice_param(b, sequences[0], outer->builder);
    if (l->masked) mask = slice_param(b, sequences[1], outer->builder);
    inner->path = l->cell->path;
    kt_value output = l->kind->step(l->cell, inner, x, states), whole = output;
    uint32_t same = l->kind->output_state(l->cell);
    if (l->masked) {
        kt_trace_at(inner, "mask");
        bool zeros = l->recurrence->zero_output_for_mask && !l->recurrence->unroll;
        kt_value other = zeros ? kt_build_like(b, output, 0) : before[l->separate ? l->states : same];
        for (uint32_t i = 0; i < l->states; i++) {
            bool is_output = states[i] == whole && !zeros && !l->separate && i == same;
            states[i] = where(b, mask, states[i], before[i]);
            if (is_output) output = states[i];
        }
        if (output == whole) output = where(b, mask, whole, other);
    }
    if (l->separate) states[l->states] = output;
    for (uint32_t i = 0; i < carried_count; i++) kt_builder_result(b, KT_ROLE_PLAIN, NULL, i, states[i]);
    if (l->recurrence->return_sequences || (l->masked && l->recurrence->zero_output_for_mask && !l->separate))
        kt_builder_result(b, KT_ROLE_PLAIN, NULL, carried_count, output);
    return kt_builder_finish(b, out_step);
}

/* Outputs of all steps [time, batch, …] as Keras gives them: in the order of computation, batch first. */
static kt_value as_output(kt_builder *builder, kt_value stack, bool backwards) {
    if (backwards) stack = kt_build_reverse(builder, stack, 1, (int64_t[]){0});
    return turn(builder, stack);
}

/* The slice of the step that came last. */
static kt_value last_slice(kt_builder *builder, kt_value stack, bool backwards) {
    const kt_type type = *kt_build_type(builder, stack);
    kt_dim_pool *dims = builder->graph->dims;
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int axis = 0; axis < type.rank; axis++) {
        start[axis] = kt_dim_const(dims, 0);
        limit[axis] = type.dims[axis];
        strides[axis] = 1;
    }
    if (backwards)
        limit[0] = kt_dim_const(dims, 1);
    else
        start[0] = kt_dim_add_const(dims, type.dims[0], -1);
    kt_value slice = kt_build_slice(builder, stack, start, limit, strides);
    return kt_build_reshape(builder, slice, type.rank - 1, type.dims + 1);
}

void kt_recurrence_call(kt_layer *layer, kt_layer_call *call, const kt_recurrence *recurrence) {
    kt_trace *trace = call->trace;
    kt_builder *builder = trace->builder;
    kt_layer *cell = layer->children.at[0];
    looping l = {.cell = cell, .kind = kt_cell_find(cell), .recurrence = recurrence};
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 3, KT_MAX_RANK)) return;
    if (trace->collects_losses && cell->activity_regularizer) {
        kt_trace_fail(trace, KT_UNSUPPORTED,
                      "the activity_regularizer of a cell is not supported in training.");
        return;
    }
    kt_layer_renew(cell, trace);
    kt_type types[KT_MAX_STATES + 1];
    const kt_type type = step_type(kt_call_type(call, 0));
    l.states = l.kind->state_count(cell);
    l.masked = call->masks[0] != 0 && takes_mask(call);
    if (l.masked && !kt_call_mask_has_rank(call, 0, 2)) return;
    l.separate = l.masked && recurrence->unroll;
    l.kind->state_types(cell, builder->graph->dims, &type, types);
    kt_value carried[KT_MAX_STATES + 1], sequences[2] = {0}, *results;
    if (!initial_states(layer, call, types, l.states, carried)) return;
    if (l.separate) carried[l.states] = kt_build_fill(builder, &types[l.kind->output_state(cell)], 0);
    uint32_t carried_count = l.states + l.separate, count = 0;

    kt_value x = turn(builder, kt_build_cast(builder, call->inputs[0], cell->compute_dtype));
    kt_dim length = kt_build_type(builder, x)->dims[0];
    const char *outer_path = trace->path;
    trace->path = cell->path;
    l.kind->draw(cell, trace, &type);
    sequences[0] = l.kind->project(cell, trace, x);
    trace->path = outer_path;
    kt_trace_at(trace, "scan");
    if (l.masked) sequences[1] = turn(builder, call->masks[0]);

    kt_builder step;
    kt_func body;
    kt_builder_begin(&step, builder->graph, KT_FUNC_STEP, kt_trace_step_name(trace), trace->context->diag);
    kt_trace inner = {
        .builder = &step, .context = trace->context, .training = trace->training, .outer = trace};
    if (builder->status != KT_OK) return;
    if (write_step(&l, &inner, trace, carried, carried_count, sequences, &body) != KT_OK) {
        builder->status = step.status;
        return;
    }
    uint32_t operand_count = carried_count + 1 + l.masked + inner.captured.count;
    kt_value *operands = KT_NEW_ARRAY(trace->context->arena, kt_value, operand_count);
    for (uint32_t i = 0; i < carried_count; i++) operands[count++] = carried[i];
    operands[count++] = sequences[0];
    if (l.masked) operands[count++] = sequences[1];
    for (uint32_t i = 0; i < inner.captured.count; i++) operands[count++] = inner.captured.at[i];
    results =
        KT_NEW_ARRAY(trace->context->arena, kt_value, kt_graph_function(builder->graph, body)->results.count);
    kt_trace_at(trace, "scan");
    const kt_attrs_scan attrs = {.body = body,
                                 .carried = carried_count,
                                 .sequences = 1 + l.masked,
                                 .length = length,
                                 .reverse = recurrence->go_backwards};
    kt_build_scan(builder, &attrs, operands, operand_count, results);
    if (builder->status != KT_OK) return;
    bool stacked = kt_graph_function(builder->graph, body)->results.count > carried_count;
    if (recurrence->return_sequences)
        call->outputs[0] = as_output(builder, results[carried_count], recurrence->go_backwards);
    else if (stacked)
        call->outputs[0] = last_slice(builder, results[carried_count], recurrence->go_backwards);
    else
        call->outputs[0] = results[l.separate ? l.states : l.kind->output_state(cell)];
    for (uint32_t i = 0; i < l.states && recurrence->stateful; i++)
        kt_trace_assign(trace, layer, i, results[i]);
    for (uint32_t i = 0; i < l.states && recurrence->return_state; i++) call->outputs[i + 1] = results[i];
    if (recurrence->return_sequences) call->output_masks[0] = call->masks[0];
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    kt_recurrence_call(layer, call, recurrence_of(layer));
}

static uint32_t output_count(const kt_layer *layer) {
    return kt_recurrence_outputs(layer, recurrence_of(layer));
}

#define RECURRENT(c_name, keras_name, type, table, reader, writer, text)                                     \
    const kt_layer_class kt_class_##c_name = {.name = keras_name,                                            \
                                              .module = "keras.layers",                                      \
                                              .doc = text,                                                   \
                                              .bytes = sizeof(type),                                         \
                                              .options = table,                                              \
                                              .read_config = reader,                                         \
                                              .write_config = writer,                                        \
                                              .build = kt_recurrence_build,                                  \
                                              .call = call_layer,                                            \
                                              .output_count = output_count}
RECURRENT(rnn, "RNN", rnn, rnn_options, read_rnn, write_rnn, "a cell run over time");
RECURRENT(simple_rnn, "SimpleRNN", recurrent, simple_options, read_simple, NULL,
          "a fully connected recurrence");
RECURRENT(lstm, "LSTM", recurrent, lstm_options, read_lstm, NULL, "long short-term memory");
RECURRENT(gru, "GRU", recurrent, gru_options, read_gru, NULL, "gated recurrent unit");
