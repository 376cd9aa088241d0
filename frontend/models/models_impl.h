/* What the models share: Functional (functional.c, functional_config.c), Sequential (sequential.c), and
 * tracing a whole model (model.c). */
#ifndef KT_FRONTEND_MODELS_MODELS_IMPL_H
#define KT_FRONTEND_MODELS_MODELS_IMPL_H

#include "frontend/layer.h"

/* ---- model.c --------------------------------------------------------------------------------- */
/* A model's inputs and outputs, and what they are called. */
typedef struct kt_model_ends {
    uint32_t input_count, output_count;
    const kt_layer **inputs; /* InputLayers */
    const char **input_names, **output_names;
} kt_model_ends;
kt_status kt_model_find_ends(kt_layer_context *context, const kt_layer *model, kt_model_ends *out) KT_MUST_USE;
/* An entry that is being written: the model has been called on its inputs. Must not move. */
typedef struct kt_model_entry {
    kt_builder builder;
    kt_trace trace;
    kt_dim batch;             /* of the first input */
    kt_value *outputs, *masks;
} kt_model_entry;
/* losses: those that layers add are collected in the trace. */
kt_status kt_model_begin_entry(kt_layer_context *context, kt_layer *model, const kt_model_ends *ends, kt_graph *graph,
                               const char *name, bool training, bool losses, kt_model_entry *out_entry) KT_MUST_USE;
/* Gives the variables that were assigned, and ends the entry. */
kt_status kt_model_finish_entry(kt_model_entry *entry) KT_MUST_USE;
/* The whole entry "predict". */
kt_status kt_model_trace_predict(kt_layer_context *context, kt_layer *model, const kt_model_ends *ends,
                                 kt_graph *graph) KT_MUST_USE;

/* ---- Functional ------------------------------------------------------------------------------ */
/* An argument of a call as it was written down: a kt_argument in which tensors are other calls' outputs. */
typedef struct kt_recorded {
    kt_argument_kind kind;
    const char *name;          /* keyword; in a LIST that was a dict: the key; else NULL */
    kt_symbolic tensor;        /* TENSOR */
    struct kt_recorded *items; /* LIST */
    uint32_t count;
    const json_t *literal; /* LITERAL; TENSOR: as it was serialised, or NULL */
} kt_recorded;

/* A call of a layer. An InputLayer has one, without arguments. */
typedef struct kt_recorded_call {
    uint32_t operation; /* in kt_functional.operations */
    uint32_t position;  /* among that one's calls */
    uint32_t first_value, value_count;
    kt_recorded *arguments;
    uint32_t count;
} kt_recorded_call;

/* A layer or operation node, and its calls. */
typedef struct kt_operation {
    kt_layer *layer;
    const char *name;
    KT_VECTOR(uint32_t) calls;
} kt_operation;

/* Keras's nested inputs and outputs: one tensor, a list, or a dict. */
typedef enum kt_structure_kind { KT_STRUCTURE_LEAF, KT_STRUCTURE_LIST, KT_STRUCTURE_DICT } kt_structure_kind;
typedef struct kt_structure {
    kt_structure_kind kind;
    const char *key; /* in a dict */
    kt_symbolic leaf;
    struct kt_structure *items;
    uint32_t count;
} kt_structure;

/* A leaf of the inputs or outputs, in Keras's order (dicts by their sorted keys). */
typedef struct kt_leaf {
    kt_symbolic tensor;
    const char *name; /* its key in a dict, or given with kt_functional_output; or NULL */
} kt_leaf;
typedef KT_VECTOR(kt_leaf) kt_leaves;

struct kt_functional {
    kt_layer layer; /* its children are the operations that are Keras layers */
    kt_layer_context *context;
    KT_VECTOR(kt_operation) operations; /* in Keras's order */
    KT_VECTOR(kt_recorded_call) calls;  /* [0] unused */
    KT_VECTOR(uint32_t) order;          /* calls, each after those whose outputs it takes */
    uint32_t value_count;               /* of all calls' outputs */
    kt_structure inputs, outputs;
    kt_leaves input_leaves, output_leaves;
};

extern const kt_layer_class kt_class_functional, kt_class_sequential;

/* Is it an operation node (`x * 2`), which Keras does not count among a model's layers? */
bool kt_layer_is_operation(const kt_layer *layer);
/* The InputLayer of an input. */
kt_layer *kt_functional_input_layer(const kt_functional *model, uint32_t input);
/* x as a model takes it in: in the InputLayer's dtype, and with or without a last axis of size 1. */
kt_value kt_model_take_input(kt_trace *trace, const kt_layer *input_layer, kt_value x);
/* Counts a call; false, and a problem at the first, past the limit. */
bool kt_model_may_call(kt_trace *trace);
/* Puts a layer, and what is in it, below a container's path. */
void kt_layer_place(kt_layer *layer, kt_arena *arena, const char *container_path);
/* functional_config.c */
kt_status kt_functional_read_config(kt_layer *layer, kt_layer_context *context, const json_t *config);
void kt_functional_write_config(const kt_layer *layer, json_t *config);

/* Sequential's InputLayer; NULL if it has none. */
kt_layer *kt_sequential_input_layer(const kt_layer *layer);

#endif
