/* Recurrent layers: a cell, which computes one step, and the layers that run cells over time.
 *
 * A cell is a layer, too, so that it has options, weights and places in Keras's file. What depends on the
 * input alone (`project`) is computed for all steps at once, before the loop; `step` does the rest. */
#ifndef KT_FRONTEND_RECURRENT_IMPL_H
#define KT_FRONTEND_RECURRENT_IMPL_H

#include "frontend/layers/layers_impl.h"

enum { KT_MAX_STATES = 64 };

/* What cells of one class do; types and values are of one step: no time axis. */
typedef struct kt_cell_kind {
    const kt_layer_class *class;
    uint32_t (*state_count)(const kt_layer *cell);
    /* Which state is the output of the step before. */
    uint32_t (*output_state)(const kt_layer *cell);
    /* For inputs of this type, which has been built for. */
    void (*state_types)(const kt_layer *cell, kt_dim_pool *dims, const kt_type *input, kt_type *out_types);
    kt_status (*build)(kt_layer *cell, kt_trace *trace, const kt_type *input);
    /* Draws what is dropped in all steps of a call, for inputs of this type: called once before them. */
    void (*draw)(kt_layer *cell, kt_trace *trace, const kt_type *input);
    /* x may have any number of leading axes. */
    kt_value (*project)(kt_layer *cell, kt_trace *trace, kt_value x);
    /* states: before the step, then after it. Returns the output. */
    kt_value (*step)(kt_layer *cell, kt_trace *trace, kt_value projected, kt_value *states);
} kt_cell_kind;

/* NULL: the layer is no cell. */
const kt_cell_kind *kt_cell_find(const kt_layer *layer);
/* A layer's child as its cell; NULL, and a problem, if it is none or has too many states. */
const kt_cell_kind *kt_cell_check(const kt_layer *layer, kt_layer_context *context, const kt_layer *cell);
/* A cell as a layer by itself: of input and states [batch, …], the output and the new states. The states of a
 * stack of cells are a list with those of each cell. */
kt_status kt_cell_build_alone(kt_layer *cell, kt_trace *trace, const kt_layer_call *call);
void kt_cell_call_alone(kt_layer *cell, kt_layer_call *call);
uint32_t kt_cell_outputs_alone(const kt_layer *cell);
extern const kt_cell_kind kt_stacked_cells;
extern const kt_cell_kind kt_conv_lstm_cell;

/* ---- dropout: masks are the same in all steps of a call. */
enum { KT_MAX_GATES = 4 };
typedef struct kt_cell_dropout {
    int64_t seed;
    double input, state; /* shares that are dropped of inputs and of the first state */
    int64_t count;       /* how many masks Keras draws of each: one, or one a gate */
    kt_value input_masks[KT_MAX_GATES], state_masks[KT_MAX_GATES]; /* 0: nothing is dropped */
} kt_cell_dropout;
/* For `draw`: sets the masks in training. Keras draws them also where it only evaluates, and does not use them then. */
void kt_cell_draw(kt_layer *cell, kt_trace *trace, const kt_type *input, kt_cell_dropout *dropout);
/* x, which may have more leading axes than the mask, times the mask (0: x itself). */
kt_value kt_cell_mask(kt_trace *trace, kt_value x, kt_value mask);

/* The options that SimpleRNN, LSTM, GRU and their cells share, as the first fields behind the layer. */
#define KT_CELL_FIELDS                                                                                       \
    int64_t units, seed;                                                                                     \
    double dropout, recurrent_dropout;                                                                       \
    kt_activation activation, recurrent_activation;                                                          \
    bool use_bias, unit_forget_bias, reset_after;                                                            \
    const json_t *kernel_initializer, *recurrent_initializer, *bias_initializer;                             \
    const json_t *kernel_regularizer, *recurrent_regularizer, *bias_regularizer;                             \
    const json_t *kernel_constraint, *recurrent_constraint, *bias_constraint;

// clang-format off
#define KT_CELL_OPTIONS(type)                                                                                \
    KT_FIELD(type, units, INT, NULL),                                                                        \
    KT_FIELD(type, activation, ACTIVATION, "\"tanh\""),                                                      \
    KT_FIELD(type, use_bias, BOOL, "true"),                                                                  \
    KT_INITIALIZER(type, kernel_initializer, "\"glorot_uniform\""),                                          \
    KT_INITIALIZER(type, recurrent_initializer, "\"orthogonal\""),                                           \
    KT_INITIALIZER(type, bias_initializer, "\"zeros\""),                                                     \
    KT_REGULARIZER(type, kernel_regularizer),                                                                \
    KT_REGULARIZER(type, recurrent_regularizer),                                                             \
    KT_REGULARIZER(type, bias_regularizer),                                                                  \
    KT_CONSTRAINT(type, kernel_constraint),                                                                  \
    KT_CONSTRAINT(type, recurrent_constraint),                                                               \
    KT_CONSTRAINT(type, bias_constraint),                                                                    \
    KT_FIELD(type, dropout, FLOAT, "0.0", .inert = true),                                                    \
    KT_FIELD(type, recurrent_dropout, FLOAT, "0.0", .inert = true)
#define KT_CELL_SEED(type)      KT_FIELD(type, seed, OPTIONAL_INT, "null", .inert = true) /* SimpleRNN does not write it */
#define KT_GATED_OPTIONS(type)  KT_FIELD(type, recurrent_activation, ACTIVATION, "\"sigmoid\"")
#define KT_LSTM_OPTIONS(type)   KT_GATED_OPTIONS(type), KT_FIELD(type, unit_forget_bias, BOOL, "true", .inert = true)
#define KT_GRU_OPTIONS(type)    KT_GATED_OPTIONS(type), KT_FIELD(type, reset_after, BOOL, "true")
// clang-format on

/* How RNN, LSTM, GRU, SimpleRNN and ConvLSTM run their cell, which is their only child. */
typedef struct kt_recurrence {
    bool return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask;
} kt_recurrence;
#define KT_RECURRENCE_OPTION(type, field)                                                                    \
    {#field, KT_OPTION_BOOL, offsetof(type, recurrence) + offsetof(kt_recurrence, field), "false"}
#define KT_RECURRENCE_OPTIONS(type)                                                                          \
    KT_RECURRENCE_OPTION(type, return_sequences), KT_RECURRENCE_OPTION(type, return_state),                  \
        KT_RECURRENCE_OPTION(type, go_backwards), KT_RECURRENCE_OPTION(type, stateful),                      \
        KT_RECURRENCE_OPTION(type, unroll), KT_RECURRENCE_OPTION(type, zero_output_for_mask)

/* NULL: the layer is no recurrent one. */
kt_recurrence *kt_recurrence_of(kt_layer *layer);
kt_recurrence *kt_conv_lstm_recurrence(kt_layer *layer); /* the same for ConvLSTM alone */
kt_status kt_recurrence_build(kt_layer *layer, kt_trace *trace, const kt_layer_call *call);
void kt_recurrence_call(kt_layer *layer, kt_layer_call *call, const kt_recurrence *recurrence);
uint32_t kt_recurrence_outputs(const kt_layer *layer, const kt_recurrence *recurrence);
/* Makes the child `cell` of a layer whose config holds the cell's options, too: named after its class. */
kt_status kt_recurrence_add_cell(kt_layer *layer, kt_layer_context *context, const kt_layer_class *cell,
                                 const json_t *config);

/* [begin, end) of the last axis. */
kt_value kt_last_part(kt_builder *builder, kt_value x, int64_t begin, int64_t end);

#endif
