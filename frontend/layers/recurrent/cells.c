/* The cells of SimpleRNN, LSTM and GRU, in Keras's equations:
 *
 *   SimpleRNN  h' = act(x W + b + h R)
 *   LSTM       i, f, g, o = x W + b + h R;  c' = rec(f) c + rec(i) act(g);  h' = rec(o) act(c')
 *   GRU        z, r, n: h' = rec(z) h + (1 - rec(z)) act(n), where the reset gate is applied behind the
 *              product, n = (x W + b)_n + rec(r) (h R + b')_n, or before it, n = (x W + b)_n + (rec(r) h) R_n
 */
#include "frontend/layers/recurrent/recurrent_impl.h"

#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct unit_cell {
    kt_layer layer;
    KT_CELL_FIELDS
    kt_cell_dropout drops; /* of the call that is being traced: one mask a gate, or one for all */
} unit_cell;

// clang-format off
static const kt_option simple_options[] = {KT_CELL_OPTIONS(unit_cell), KT_CELL_SEED(unit_cell), KT_OPTIONS_END};
static const kt_option lstm_options[] = {KT_CELL_OPTIONS(unit_cell), KT_CELL_SEED(unit_cell), KT_LSTM_OPTIONS(unit_cell), KT_OPTIONS_END};
static const kt_option gru_options[] = {KT_CELL_OPTIONS(unit_cell), KT_CELL_SEED(unit_cell), KT_GRU_OPTIONS(unit_cell), KT_OPTIONS_END};
// clang-format on

static const unit_cell *self_of(const kt_layer *cell) { return (const unit_cell *)cell; }

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    return kt_check_range(layer, context, "units", self_of(layer)->units, 1);
}

kt_value kt_last_part(kt_builder *builder, kt_value x, int64_t begin, int64_t end) {
    kt_dim_pool *dims = builder->graph->dims;
    const kt_type type = *kt_build_type(builder, x);
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int axis = 0; axis < type.rank; axis++) {
        bool last = axis == type.rank - 1;
        start[axis] = kt_dim_const(dims, last ? begin : 0);
        limit[axis] = last ? kt_dim_const(dims, end) : type.dims[axis];
        strides[axis] = 1;
    }
    return kt_build_slice(builder, x, start, limit, strides);
}

/* ---- shared ---------------------------------------------------------------------------------- */

enum { KERNEL, RECURRENT, BIAS };

static kt_status build_gates(kt_layer *cell, kt_trace *trace, const kt_type *input, int64_t gates,
                             bool two_biases) {
    const unit_cell *self = self_of(cell);
    kt_dim_pool *dims = trace->builder->graph->dims;
    int64_t features, bias[] = {2, gates * self->units};
    if (input->rank != 2 || !kt_dim_is_const(dims, input->dims[1], &features)) {
        kt_trace_fail(trace, KT_INVALID,
                      "its steps must be [batch, features] with a known number of features.");
        return KT_INVALID;
    }
    kt_type kernel = kt_type_of(dims, cell->variable_dtype, 2, (int64_t[]){features, gates * self->units});
    kt_type recurrent =
        kt_type_of(dims, cell->variable_dtype, 2, (int64_t[]){self->units, gates * self->units});
    kt_type biases = two_biases ? kt_type_of(dims, cell->variable_dtype, 2, bias)
                                : kt_type_of(dims, cell->variable_dtype, 1, &bias[1]);
    kt_layer_add_weight(cell, trace, "kernel", &kernel, self->kernel_initializer, true);
    kt_layer_add_weight(cell, trace, "recurrent_kernel", &recurrent, self->recurrent_initializer, true);
    if (self->use_bias) kt_layer_add_weight(cell, trace, "bias", &biases, self->bias_initializer, true);
    return KT_OK;
}

static kt_value product(kt_builder *builder, kt_value x, kt_value kernel) {
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {kt_build_type(builder, x)->rank - 1}},
                                  .rhs_contract = {1, {0}}};
    return kt_build_dot_general(builder, x, kernel, &attrs);
}

/* Row number row of a bias [2, n], or a bias [n] itself. */
static kt_value bias_row(kt_layer *cell, kt_trace *trace, int64_t row) {
    kt_builder *builder = trace->builder;
    kt_dim_pool *dims = builder->graph->dims;
    kt_value bias = kt_trace_weight(trace, cell, BIAS);
    const kt_type type = *kt_build_type(builder, bias);
    if (type.rank == 1) return bias;
    kt_value part = kt_build_slice(builder, bias, (kt_dim[]){kt_dim_const(dims, row), kt_dim_const(dims, 0)},
                                   (kt_dim[]){kt_dim_const(dims, row + 1), type.dims[1]}, (int64_t[]){1, 1});
    return kt_build_reshape(builder, part, 1, &type.dims[1]);
}

static kt_value add_bias(kt_layer *cell, kt_trace *trace, kt_value x, int64_t row) {
    kt_trace_at(trace, "bias");
    int last = kt_build_type(trace->builder, x)->rank - 1;
    return kt_build_add(trace->builder, x,
                        kt_along_axis(trace->builder, bias_row(cell, trace, row), x, last));
}

static void state_types(const kt_layer *cell, kt_dim_pool *dims, const kt_type *input, kt_type *out_types) {
    const kt_type type = {.dtype = cell->compute_dtype,
                          .rank = 2,
                          .dims = {input->dims[0], kt_dim_const(dims, self_of(cell)->units)}};
    for (uint32_t i = 0; i < kt_cell_find(cell)->state_count(cell); i++) out_types[i] = type;
}

/* ---- dropout ----------------------------------------------------------------------------------------------
 * With recurrent dropout each gate has masks of its own, as in Keras. */

static int64_t count_gates(const kt_layer *cell) {
    return cell->class == &kt_class_lstm_cell ? 4 : cell->class == &kt_class_gru_cell ? 3 : 1;
}

static void draw_masks(kt_layer *cell, kt_trace *trace, const kt_cell_dropout *dropout, const kt_type *type,
                       double rate, kt_value *out_masks) {
    kt_value ones = kt_build_fill(trace->builder, type, 1);
    for (int64_t i = 0; i < dropout->count; i++)
        out_masks[i] = kt_random_dropout(cell, trace, dropout->seed, ones, rate, &(kt_ints){0});
}

void kt_cell_draw(kt_layer *cell, kt_trace *trace, const kt_type *input, kt_cell_dropout *dropout) {
    kt_type states[KT_MAX_STATES];
    memset(dropout->input_masks, 0, sizeof dropout->input_masks);
    memset(dropout->state_masks, 0, sizeof dropout->state_masks);
    if (!trace->training && trace->collects_losses)
        kt_random_skip(cell, trace, dropout->count * ((dropout->input > 0) + (dropout->state > 0)));
    if (!trace->training || (dropout->input <= 0 && dropout->state <= 0)) return;
    if (dropout->input >= 1 || dropout->state >= 1) {
        kt_trace_fail(trace, KT_INVALID, "a dropout of 1 leaves nothing to train with.");
        return;
    }
    kt_cell_find(cell)->state_types(cell, trace->builder->graph->dims, input, states);
    kt_type type = *input;
    type.dtype = cell->compute_dtype;
    if (dropout->input > 0) draw_masks(cell, trace, dropout, &type, dropout->input, dropout->input_masks);
    if (dropout->state > 0)
        draw_masks(cell, trace, dropout, &states[0], dropout->state, dropout->state_masks);
}

kt_value kt_cell_mask(kt_trace *trace, kt_value x, kt_value mask) {
    if (!mask) return x;
    const kt_type type = *kt_build_type(trace->builder, x);
    mask = kt_trace_capture(trace, mask);
    return kt_build_mul(trace->builder, x, kt_build_broadcast_to(trace->builder, mask, type.rank, type.dims));
}

static void draw(kt_layer *cell, kt_trace *trace, const kt_type *input) {
    unit_cell *self = (unit_cell *)cell;
    self->drops.seed = self->seed;
    self->drops.input = self->dropout;
    self->drops.state = self->recurrent_dropout;
    self->drops.count = self->recurrent_dropout > 0 ? count_gates(cell) : 1;
    kt_cell_draw(cell, trace, input, &self->drops);
}

/* The product of x with the first gates of a kernel; masks: of x. */
static kt_value masked_product(kt_layer *cell, kt_trace *trace, kt_value x, kt_value kernel, int64_t gates,
                               const kt_value *masks) {
    kt_builder *b = trace->builder;
    int64_t units = self_of(cell)->units;
    if (gates < count_gates(cell)) kernel = kt_last_part(b, kernel, 0, gates * units);
    if (!masks[0] || !masks[1]) return product(b, kt_cell_mask(trace, x, masks[0]), kernel);
    kt_value parts[KT_MAX_GATES];
    for (int64_t i = 0; i < gates; i++)
        parts[i] =
            product(b, kt_cell_mask(trace, x, masks[i]), kt_last_part(b, kernel, i * units, (i + 1) * units));
    return kt_build_concat(b, parts, (uint32_t)gates, kt_build_type(b, parts[0])->rank - 1);
}

static kt_value recur(kt_layer *cell, kt_trace *trace, kt_value h, int64_t gates) {
    return masked_product(cell, trace, h, kt_trace_weight(trace, cell, RECURRENT), gates,
                          self_of(cell)->drops.state_masks);
}

static kt_value project(kt_layer *cell, kt_trace *trace, kt_value x) {
    kt_trace_at(trace, "input");
    x = masked_product(cell, trace, x, kt_trace_weight(trace, cell, KERNEL), count_gates(cell),
                       self_of(cell)->drops.input_masks);
    return self_of(cell)->use_bias ? add_bias(cell, trace, x, 0) : x;
}

static uint32_t one_state(const kt_layer *cell) {
    (void)cell;
    return 1;
}

static uint32_t two_states(const kt_layer *cell) {
    (void)cell;
    return 2;
}

static uint32_t first_state(const kt_layer *cell) {
    (void)cell;
    return 0;
}

/* ---- equations ------------------------------------------------------------------------------- */

static kt_value gate(kt_layer *cell, kt_trace *trace, kt_value x, int64_t number) {
    int64_t units = self_of(cell)->units;
    return kt_last_part(trace->builder, x, number * units, (number + 1) * units);
}

static kt_value activate(kt_layer *cell, kt_trace *trace, kt_value x) {
    return kt_activation_apply(trace->builder, &self_of(cell)->activation, x);
}

static kt_value activate_gate(kt_layer *cell, kt_trace *trace, kt_value x) {
    return kt_activation_apply(trace->builder, &self_of(cell)->recurrent_activation, x);
}

static kt_status simple_build(kt_layer *cell, kt_trace *trace, const kt_type *input) {
    return build_gates(cell, trace, input, 1, false);
}

static kt_value simple_step(kt_layer *cell, kt_trace *trace, kt_value x, kt_value *states) {
    kt_builder *b = trace->builder;
    kt_trace_at(trace, "recurrence");
    kt_value h = recur(cell, trace, states[0], 1);
    return states[0] = activate(cell, trace, kt_build_add(b, x, h));
}

static kt_status lstm_build(kt_layer *cell, kt_trace *trace, const kt_type *input) {
    return build_gates(cell, trace, input, 4, false);
}

static kt_value lstm_step(kt_layer *cell, kt_trace *trace, kt_value x, kt_value *states) {
    kt_builder *b = trace->builder;
    kt_trace_at(trace, "recurrence");
    kt_value z = kt_build_add(b, x, recur(cell, trace, states[0], 4));
    kt_trace_at(trace, "carry");
    kt_value in = activate_gate(cell, trace, gate(cell, trace, z, 0));
    kt_value forget = activate_gate(cell, trace, gate(cell, trace, z, 1));
    kt_value candidate = activate(cell, trace, gate(cell, trace, z, 2));
    states[1] = kt_build_add(b, kt_build_mul(b, forget, states[1]), kt_build_mul(b, in, candidate));
    kt_trace_at(trace, "output");
    kt_value out = activate_gate(cell, trace, gate(cell, trace, z, 3));
    return states[0] = kt_build_mul(b, out, activate(cell, trace, states[1]));
}

static kt_status gru_build(kt_layer *cell, kt_trace *trace, const kt_type *input) {
    return build_gates(cell, trace, input, 3, self_of(cell)->reset_after);
}

static kt_value gru_step(kt_layer *cell, kt_trace *trace, kt_value x, kt_value *states) {
    const unit_cell *self = self_of(cell);
    kt_builder *b = trace->builder;
    int64_t units = self->units;
    kt_trace_at(trace, "recurrence");
    kt_value kernel = kt_trace_weight(trace, cell, RECURRENT), h = states[0];
    kt_value inner = recur(cell, trace, h, self->reset_after ? 3 : 2);
    if (self->reset_after && self->use_bias) inner = add_bias(cell, trace, inner, 1);
    kt_trace_at(trace, "gates");
    kt_value update =
        activate_gate(cell, trace, kt_build_add(b, gate(cell, trace, x, 0), gate(cell, trace, inner, 0)));
    kt_value reset =
        activate_gate(cell, trace, kt_build_add(b, gate(cell, trace, x, 1), gate(cell, trace, inner, 1)));
    kt_value candidate;
    if (self->reset_after)
        candidate = kt_build_mul(b, reset, gate(cell, trace, inner, 2));
    else
        candidate = product(b, kt_build_mul(b, reset, kt_cell_mask(trace, h, self->drops.state_masks[2])),
                            kt_last_part(b, kernel, 2 * units, 3 * units));
    kt_trace_at(trace, "output");
    candidate = activate(cell, trace, kt_build_add(b, gate(cell, trace, x, 2), candidate));
    kt_value kept = kt_build_mul(b, update, h);
    kt_value added = kt_build_mul(b, kt_build_sub(b, kt_build_like(b, update, 1), update), candidate);
    return states[0] = kt_build_add(b, kept, added);
}

/* ---- cells as layers ------------------------------------------------------------------------- */

static const kt_cell_kind *const kinds[] = {
    &(const kt_cell_kind){&kt_class_simple_rnn_cell, one_state, first_state, state_types, simple_build, draw,
                          project, simple_step},
    &(const kt_cell_kind){&kt_class_lstm_cell, two_states, first_state, state_types, lstm_build, draw,
                          project, lstm_step},
    &(const kt_cell_kind){&kt_class_gru_cell, one_state, first_state, state_types, gru_build, draw, project,
                          gru_step},
    &kt_stacked_cells,
    &kt_conv_lstm_cell,
};

const kt_cell_kind *kt_cell_find(const kt_layer *layer) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i]->class == layer->class) return kinds[i];
    return NULL;
}

const kt_cell_kind *kt_cell_check(const kt_layer *layer, kt_layer_context *context, const kt_layer *cell) {
    const kt_cell_kind *kind = kt_cell_find(cell);
    if (!kind)
        kt_diag_add(context->diag, KT_UNSUPPORTED, layer->path ? layer->path : layer->name,
                    "%s is no cell that can be run over time.", cell->class->name);
    else if (kind->state_count(cell) > KT_MAX_STATES)
        kt_diag_add(context->diag, KT_UNSUPPORTED, layer->path ? layer->path : layer->name,
                    "the cells have more than %d states.", KT_MAX_STATES);
    else
        return kind;
    return NULL;
}

/* ---- a call of a cell by itself: cell(inputs, states) ---------------------------------------- */
kt_status kt_cell_build_alone(kt_layer *cell, kt_trace *trace, const kt_layer_call *call) {
    if (!kt_call_has_inputs(call, 1)) return KT_INVALID;
    return kt_cell_find(cell)->build(cell, trace, kt_call_type(call, 0));
}

/* Writes a cell's states at *at and moves it on; a stack of cells wants a list with an item for each cell. */
static bool take_states(const kt_layer *cell, const kt_argument *given, kt_value **at) {
    bool list = given->kind == KT_ARGUMENT_LIST;
    if (cell->children.count) {
        if (!list || given->count != cell->children.count) return false;
        for (uint32_t i = 0; i < given->count; i++)
            if (!take_states(cell->children.at[i], &given->items[i], at)) return false;
        return true;
    }
    uint32_t count = kt_cell_find(cell)->state_count(cell);
    if ((list ? given->count : 1) != count) return false;
    for (uint32_t i = 0; i < count; i++) {
        const kt_argument *state = list ? &given->items[i] : given;
        if (state->kind != KT_ARGUMENT_TENSOR) return false;
        *(*at)++ = state->value;
    }
    return true;
}

static bool may_equal(const kt_dim_pool *dims, kt_dim a, kt_dim b) {
    int64_t m, n;
    return !kt_dim_is_const(dims, a, &m) || !kt_dim_is_const(dims, b, &n) || m == n;
}

static bool states_fit(const kt_layer *cell, const kt_layer_call *call, const kt_value *states) {
    const kt_cell_kind *kind = kt_cell_find(cell);
    kt_builder *builder = call->trace->builder;
    kt_type types[KT_MAX_STATES] = {0};
    kind->state_types(cell, builder->graph->dims, kt_call_type(call, 0), types);
    for (uint32_t i = 0; i < kind->state_count(cell); i++) {
        const kt_type *given = kt_build_type(builder, states[i]);
        bool fits = given->rank == types[i].rank;
        for (int axis = 0; fits && axis < given->rank; axis++)
            fits = may_equal(builder->graph->dims, given->dims[axis], types[i].dims[axis]);
        for (int axis = 0; fits && axis < given->rank; axis++)
            kt_build_require_equal(builder, given->dims[axis], types[i].dims[axis], "the sizes of states");
        if (fits) continue;
        kt_trace_fail(call->trace, KT_INVALID, "the state %u must be %s, but is %s.", i,
                      kt_type_string(builder->graph->dims, &types[i], call->trace->context->arena),
                      kt_type_string(builder->graph->dims, given, call->trace->context->arena));
        return false;
    }
    return true;
}

void kt_cell_call_alone(kt_layer *cell, kt_layer_call *call) {
    const kt_cell_kind *kind = kt_cell_find(cell);
    const kt_argument *given = kt_operation_argument(call, 1, "states");
    uint32_t count = kind->state_count(cell);
    kt_value states[KT_MAX_STATES] = {0}, *at = states;
    if (!given || !take_states(cell, given, &at)) {
        kt_trace_fail(call->trace, KT_INVALID,
                      cell->children.count
                          ? "it takes its input and a list of the states of each cell, %u in all."
                          : "a cell takes its input and its states, of which it has %u.",
                      count);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!states[i]) return;
    if (!states_fit(cell, call, states)) return;
    kind->draw(cell, call->trace, kt_call_type(call, 0));
    kt_value x = kind->project(cell, call->trace, call->inputs[0]);
    call->outputs[0] = kind->step(cell, call->trace, x, states);
    for (uint32_t i = 0; i < count; i++) call->outputs[i + 1] = states[i];
}

uint32_t kt_cell_outputs_alone(const kt_layer *cell) { return 1 + kt_cell_find(cell)->state_count(cell); }

#define CELL(c_name, keras_name, table, text)                                                                \
    const kt_layer_class kt_class_##c_name = {.name = keras_name,                                            \
                                              .module = "keras.layers",                                      \
                                              .doc = text,                                                   \
                                              .bytes = sizeof(unit_cell),                                    \
                                              .options = table,                                              \
                                              .check = check,                                                \
                                              .build = kt_cell_build_alone,                                  \
                                              .call = kt_cell_call_alone,                                    \
                                              .output_count = kt_cell_outputs_alone}
CELL(simple_rnn_cell, "SimpleRNNCell", simple_options, "one step of a fully connected recurrence");
CELL(lstm_cell, "LSTMCell", lstm_options, "one step of a long short-term memory");
CELL(gru_cell, "GRUCell", gru_options, "one step of a gated recurrent unit");
