/* ConvLSTM1D, 2D and 3D: an LSTM whose products are convolutions.
 *
 *   i, f, g, o = conv(x, W) + b + conv(h, R);  c' = rec(f) c + rec(i) act(g);  h' = rec(o) act(c')
 *
 * The input's convolution has the options of the layer and is done for all steps at once; the state's keeps
 * the size. Layers and their cell share one struct, and a layer hands its lists, of one number an axis, to
 * the cell. Gates are computed over [batch, space…, channels]; states have the layout of data_format, as
 * Keras shows them. */
#include "frontend/layers/recurrent/recurrent_impl.h"
#include "frontend/layers/windows_impl.h"

#include <string.h>

typedef struct conv_lstm {
    kt_layer layer;
    int64_t filters, seed;
    kt_ints kernel_size, strides, dilation_rate;
    const char *padding, *data_format;
    double dropout, recurrent_dropout;
    kt_activation activation, recurrent_activation;
    bool use_bias, unit_forget_bias;
    const json_t *kernel_initializer, *recurrent_initializer, *bias_initializer;
    const json_t *kernel_regularizer, *recurrent_regularizer, *bias_regularizer;
    const json_t *kernel_constraint, *recurrent_constraint, *bias_constraint;
    kt_recurrence recurrence; /* of layers */
    kt_cell_dropout drops;    /* of cells, and the call that is being traced */
} conv_lstm;

// clang-format off
/* space: how many numbers a list has; 0: any */
#define CELL_OPTIONS(space) \
    KT_FIELD(conv_lstm, filters, INT, NULL), \
    KT_FIELD(conv_lstm, kernel_size, INTS, NULL, .count = (space)), \
    KT_FIELD(conv_lstm, strides, INTS, "1", .count = (space)), \
    KT_FIELD(conv_lstm, padding, CHOICE, "\"valid\"", .choices = "valid same"), \
    KT_FIELD(conv_lstm, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"), \
    KT_FIELD(conv_lstm, dilation_rate, INTS, "1", .count = (space)), \
    KT_FIELD(conv_lstm, activation, ACTIVATION, "\"tanh\""), \
    KT_FIELD(conv_lstm, recurrent_activation, ACTIVATION, "\"sigmoid\""), \
    KT_FIELD(conv_lstm, use_bias, BOOL, "true"), \
    KT_INITIALIZER(conv_lstm, kernel_initializer, "\"glorot_uniform\""), \
    KT_INITIALIZER(conv_lstm, recurrent_initializer, "\"orthogonal\""), \
    KT_INITIALIZER(conv_lstm, bias_initializer, "\"zeros\""), \
    KT_FIELD(conv_lstm, unit_forget_bias, BOOL, "true", .inert = true), \
    KT_REGULARIZER(conv_lstm, kernel_regularizer), \
    KT_REGULARIZER(conv_lstm, recurrent_regularizer), \
    KT_REGULARIZER(conv_lstm, bias_regularizer), \
    KT_CONSTRAINT(conv_lstm, kernel_constraint), \
    KT_CONSTRAINT(conv_lstm, recurrent_constraint), \
    KT_CONSTRAINT(conv_lstm, bias_constraint), \
    KT_FIELD(conv_lstm, dropout, FLOAT, "0.0", .inert = true), \
    KT_FIELD(conv_lstm, recurrent_dropout, FLOAT, "0.0", .inert = true), \
    KT_FIELD(conv_lstm, seed, OPTIONAL_INT, "null", .inert = true)
// clang-format on

enum { KERNEL, RECURRENT, BIAS };

static const conv_lstm *self_of(const kt_layer *layer) { return (const conv_lstm *)layer; }
static bool is_channels_first(const conv_lstm *self) { return !strcmp(self->data_format, "channels_first"); }

/* ---- the cell -------------------------------------------------------------------------------- */
static kt_status build(kt_layer *cell, kt_trace *trace, const kt_type *input) {
    const conv_lstm *self = self_of(cell);
    kt_dim_pool *dims = trace->builder->graph->dims;
    uint32_t space = self->kernel_size.count;
    if (self->strides.count != space || self->dilation_rate.count != space || input->rank != (int)space + 2) {
        kt_trace_fail(trace, KT_INVALID,
                      "its steps must have %u axes of space, as kernel_size, strides and "
                      "dilation_rate have.",
                      space);
        return KT_INVALID;
    }
    int64_t sizes[KT_MAX_RANK] = {0}, shape[KT_MAX_RANK] = {0};
    for (int axis = 1; axis < input->rank; axis++) {
        if (kt_dim_is_const(dims, input->dims[axis], &sizes[axis])) continue;
        kt_trace_fail(trace, KT_INVALID, "its steps must be of a known size.");
        return KT_INVALID;
    }
    bool first = is_channels_first(self), fits = true;
    for (uint32_t i = 0; i < space; i++) {
        int64_t reach = (self->kernel_size.at[i] - 1) * self->dilation_rate.at[i] + 1;
        fits = fits && (!strcmp(self->padding, "same") || sizes[first ? i + 2 : i + 1] >= reach);
        shape[i] = self->kernel_size.at[i];
    }
    if (!fits) {
        kt_trace_fail(trace, KT_INVALID, "kernel_size is larger than the input.");
        return KT_INVALID;
    }
    int64_t gates = 4 * self->filters;
    shape[space] = sizes[first ? 1 : space + 1];
    shape[space + 1] = gates;
    kt_type kernel = kt_type_of(dims, cell->variable_dtype, (int)space + 2, shape);
    shape[space] = self->filters;
    kt_type recurrent = kt_type_of(dims, cell->variable_dtype, (int)space + 2, shape);
    kt_type bias = kt_type_of(dims, cell->variable_dtype, 1, &gates);
    kt_layer_add_weight(cell, trace, "kernel", &kernel, self->kernel_initializer, true);
    kt_layer_add_weight(cell, trace, "recurrent_kernel", &recurrent, self->recurrent_initializer, true);
    if (self->use_bias) kt_layer_add_weight(cell, trace, "bias", &bias, self->bias_initializer, true);
    return KT_OK;
}

static uint32_t state_count(const kt_layer *cell) {
    (void)cell;
    return 2;
}

static uint32_t output_state(const kt_layer *cell) {
    (void)cell;
    return 0;
}

static void state_types(const kt_layer *cell, kt_dim_pool *dims, const kt_type *input, kt_type *out_types) {
    const conv_lstm *self = self_of(cell);
    bool first = is_channels_first(self), same = !strcmp(self->padding, "same");
    kt_type type = *input;
    type.dtype = cell->compute_dtype;
    type.dims[first ? 1 : type.rank - 1] = kt_dim_const(dims, self->filters);
    for (uint32_t i = 0; i < self->kernel_size.count; i++) {
        kt_dim *size = &type.dims[first ? i + 2 : i + 1];
        kt_dim stride = kt_dim_const(dims, self->strides.at[i]);
        int64_t reach = (self->kernel_size.at[i] - 1) * self->dilation_rate.at[i];
        *size = kt_dim_ceildiv(dims, same ? *size : kt_dim_add_const(dims, *size, -reach), stride);
    }
    out_types[0] = out_types[1] = type;
}

/* The convolution of x with the kernels of all gates, each of x times its mask, where there are masks. The
 * steps of x [time, batch, …] become one batch. Gives [batch, space…, gates]. */
static kt_value convolve(kt_layer *cell, kt_trace *trace, kt_value x, uint32_t weight,
                         const kt_sliding *sliding, const kt_value *masks) {
    const conv_lstm *self = self_of(cell);
    kt_builder *b = trace->builder;
    kt_value kernel = kt_trace_weight(trace, cell, weight), parts[KT_MAX_GATES];
    const kt_type type = *kt_build_type(b, x);
    bool steps = type.rank > (int)self->kernel_size.count + 2;
    kt_dim shape[KT_MAX_RANK] = {kt_dim_mul(b->graph->dims, type.dims[0], type.dims[1])};
    for (int axis = 2; axis < type.rank; axis++) shape[axis - 1] = type.dims[axis];
    uint32_t count = masks[0] ? KT_MAX_GATES : 1;
    for (uint32_t i = 0; i < count; i++) {
        kt_value part = kt_cell_mask(trace, x, masks[i]), own = kernel;
        if (steps) part = kt_build_reshape(b, part, type.rank - 1, shape);
        part = kt_to_channels_last(b, part, is_channels_first(self));
        if (count > 1) own = kt_last_part(b, kernel, i * self->filters, (i + 1) * self->filters);
        parts[i] = kt_convolve(b, part, own, sliding, 1);
    }
    if (count == 1) return parts[0];
    return kt_build_concat(b, parts, count, (int)self->kernel_size.count + 1);
}

/* Gives [time, batch, space…, gates]. */
static kt_value project(kt_layer *cell, kt_trace *trace, kt_value x) {
    const conv_lstm *self = self_of(cell);
    kt_builder *b = trace->builder;
    kt_trace_at(trace, "input");
    const kt_type type = *kt_build_type(b, x);
    kt_sliding sliding = {self->strides, self->dilation_rate, self->padding};
    x = convolve(cell, trace, x, KERNEL, &sliding, self->drops.input_masks);
    if (self->use_bias) {
        kt_trace_at(trace, "bias");
        int last = kt_build_type(b, x)->rank - 1;
        x = kt_build_add(b, x, kt_along_axis(b, kt_trace_weight(trace, cell, BIAS), x, last));
    }
    const kt_type flat = *kt_build_type(b, x);
    if (type.rank == flat.rank) return x;
    kt_dim shape[KT_MAX_RANK] = {type.dims[0], type.dims[1]};
    for (int axis = 1; axis < flat.rank; axis++) shape[axis + 1] = flat.dims[axis];
    return kt_build_reshape(b, x, flat.rank + 1, shape);
}

static kt_value step(kt_layer *cell, kt_trace *trace, kt_value x, kt_value *states) {
    const conv_lstm *self = self_of(cell);
    kt_builder *b = trace->builder;
    bool first = is_channels_first(self);
    kt_trace_at(trace, "recurrence");
    kt_value c = kt_to_channels_last(b, states[1], first);
    kt_sliding keeping = {.padding = "same"};
    keeping.strides.count = keeping.dilation.count = self->kernel_size.count;
    for (uint32_t i = 0; i < self->kernel_size.count; i++) keeping.strides.at[i] = keeping.dilation.at[i] = 1;
    kt_value z =
        kt_build_add(b, x, convolve(cell, trace, states[0], RECURRENT, &keeping, self->drops.state_masks));
    kt_value gates[KT_MAX_GATES];
    kt_trace_at(trace, "carry");
    for (int64_t i = 0; i < KT_MAX_GATES; i++) {
        const kt_activation *activation = i == 2 ? &self->activation : &self->recurrent_activation;
        gates[i] = kt_last_part(b, z, i * self->filters, (i + 1) * self->filters);
        gates[i] = kt_activation_apply(b, activation, gates[i]);
    }
    c = kt_build_add(b, kt_build_mul(b, gates[1], c), kt_build_mul(b, gates[0], gates[2]));
    kt_trace_at(trace, "output");
    kt_value h = kt_build_mul(b, gates[3], kt_activation_apply(b, &self->activation, c));
    states[1] = kt_from_channels_last(b, c, first);
    return states[0] = kt_from_channels_last(b, h, first);
}

static void draw(kt_layer *cell, kt_trace *trace, const kt_type *input) {
    conv_lstm *self = (conv_lstm *)cell;
    self->drops.seed = self->seed;
    self->drops.input = self->dropout;
    self->drops.state = self->recurrent_dropout;
    self->drops.count = KT_MAX_GATES;
    kt_cell_draw(cell, trace, input, &self->drops);
}

const kt_cell_kind kt_conv_lstm_cell = {
    &kt_class_conv_lstm_cell, state_count, output_state, state_types, build, draw, project, step};

static void call_alone(kt_layer *layer, kt_layer_call *call) {
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "%s outside of a ConvLSTM is not supported.",
                  layer->class->name);
}

static const kt_option cell_options[] = {CELL_OPTIONS(0), KT_OPTIONS_END};
const kt_layer_class kt_class_conv_lstm_cell = {
    .name = "ConvLSTMCell",
    .module = "keras.src.layers.rnn.conv_lstm",
    .doc = "one step of a ConvLSTM",
    .bytes = sizeof(conv_lstm),
    .options = cell_options,
    .call = call_alone,
};

/* ---- the layers ------------------------------------------------------------------------------ */
kt_recurrence *kt_conv_lstm_recurrence(kt_layer *layer) {
    const kt_layer_class *class = layer->class;
    if (class != &kt_class_conv_lstm_1d && class != &kt_class_conv_lstm_2d && class != &kt_class_conv_lstm_3d)
        return NULL;
    return &((conv_lstm *)layer)->recurrence;
}

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const conv_lstm *self = self_of(layer);
    kt_status status = kt_check_range(layer, context, "filters", self->filters, 1);
    KT_COLLECT(status, kt_check_ranges(layer, context, "kernel_size", &self->kernel_size, 1));
    KT_COLLECT(status, kt_check_ranges(layer, context, "strides", &self->strides, 1));
    KT_COLLECT(status, kt_check_ranges(layer, context, "dilation_rate", &self->dilation_rate, 1));
    bool strided = false, dilated = false;
    for (uint32_t i = 0; i < self->strides.count; i++) strided = strided || self->strides.at[i] > 1;
    for (uint32_t i = 0; i < self->dilation_rate.count; i++)
        dilated = dilated || self->dilation_rate.at[i] > 1;
    if (strided && dilated)
        status = kt_layer_reject(layer, context, KT_INVALID, "dilation_rate",
                                 "must be 1 where strides are above 1; Keras has no such convolution.");
    return status;
}

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    const conv_lstm *self = self_of(layer);
    KT_TRY(kt_recurrence_add_cell(layer, context, &kt_class_conv_lstm_cell, config));
    conv_lstm *cell = (conv_lstm *)layer->children.at[0];
    cell->kernel_size = self->kernel_size;
    cell->strides = self->strides;
    cell->dilation_rate = self->dilation_rate;
    return KT_OK;
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    kt_recurrence_call(layer, call, &self_of(layer)->recurrence);
}

static uint32_t output_count(const kt_layer *layer) {
    return kt_recurrence_outputs(layer, &self_of(layer)->recurrence);
}

#define CONV_LSTM(c_name, keras_name, space, text)                                                           \
    static const kt_option c_name##_options[] = {KT_RECURRENCE_OPTIONS(conv_lstm), CELL_OPTIONS(space),      \
                                                 KT_ACTIVITY_REGULARIZER, KT_OPTIONS_END};                   \
    const kt_layer_class kt_class_##c_name = {.name = keras_name,                                            \
                                              .module = "keras.layers",                                      \
                                              .doc = text,                                                   \
                                              .bytes = sizeof(conv_lstm),                                    \
                                              .options = c_name##_options,                                   \
                                              .check = check,                                                \
                                              .read_config = read_config,                                    \
                                              .build = kt_recurrence_build,                                  \
                                              .call = call_layer,                                            \
                                              .output_count = output_count}
CONV_LSTM(conv_lstm_1d, "ConvLSTM1D", 1, "an LSTM of sequences, whose products are convolutions");
CONV_LSTM(conv_lstm_2d, "ConvLSTM2D", 2, "an LSTM of images, whose products are convolutions");
CONV_LSTM(conv_lstm_3d, "ConvLSTM3D", 3, "an LSTM of volumes, whose products are convolutions");
