/* Layers: the one form in which every Keras layer, model and operation node exists here.
 *
 * A layer class is a row of data and a few functions: an option table (from which from_config and get_config
 * follow), `build`, which makes the weights once the input types are known, and `call`, which writes the
 * layer's computation through the graph builder. Sequential and Functional are layers that hold layers;
 * Keras's operation nodes (`x * 2`, slices) are layers without weights. The .keras reader and C programs make
 * layers through the same functions.
 *
 * Everything lives in the context's arena; one thread at a time may use a context and what was made in it. */
#ifndef KT_FRONTEND_LAYER_H
#define KT_FRONTEND_LAYER_H

#include "frontend/object.h"
#include "ir/training_info.h"

typedef struct kt_layer kt_layer;
typedef struct kt_layer_class kt_layer_class;

/* An activation: a row of the activation table with its parameters. */
enum { KT_ACTIVATION_PARAMETERS = 3 };
typedef struct kt_activation {
    const char *name;     /* Keras's: "relu", "gelu", …; NULL: None, which is linear */
    const json_t *config; /* the serialised form it came from where it is not a plain name, else NULL */
    double parameters[KT_ACTIVATION_PARAMETERS]; /* in the order of the row; NaN: None */
} kt_activation;
/* The activation of that name with Keras's default parameters; an alias ("swish") gives what it stands for.
 * False if there is none. */
bool kt_activation_find(const char *name, kt_activation *out_activation);
/* Sets a parameter by its name in Keras ("axis", "negative_slope"). False if the activation has none such. */
bool kt_activation_set(kt_activation *activation, const char *parameter, double value);
/* From Keras's serialised form: None, a name, a function object, or a layer object (ReLU, Softmax, LeakyReLU,
 * ELU). False, and what is wrong with it in out_problem, if it is none of these. */
bool kt_activation_read(kt_arena *arena, const json_t *serialized, kt_activation *out_activation,
                        const char **out_problem);
/* Adds the activation to the graph, as a composite of that name where it is more than one operation. Integers become
 * float32 but for relu, hard_tanh and linear, which keep them; bools become int32 there. */
kt_value kt_activation_apply(kt_builder *builder, const kt_activation *activation, kt_value x);
/* The n-th activation's name, aliases included; NULL past the end. */
const char *kt_activation_name(uint32_t n);

/* ---- tensors handed to a layer --------------------------------------------------------------- */
typedef enum kt_argument_kind { KT_ARGUMENT_NONE, KT_ARGUMENT_TENSOR, KT_ARGUMENT_LIST, KT_ARGUMENT_LITERAL } kt_argument_kind;
typedef struct kt_argument {
    kt_argument_kind kind;
    const char *name;           /* keyword, or NULL: positional */
    kt_value value;             /* TENSOR */
    kt_value mask;              /* TENSOR: Keras's mask (bool), or 0 */
    struct kt_argument *items;  /* LIST: also tuples */
    uint32_t count;
    const json_t *literal;      /* LITERAL: anything else: numbers, strings, __slice__ objects */
} kt_argument;

/* ---- a function being traced ----------------------------------------------------------------- */
typedef struct kt_trace {
    kt_builder *builder;
    kt_layer_context *context;
    bool training;           /* the mode of this call */
    const char *path;        /* layer path of what is being called: "functional/dense" */
    KT_VECTOR(kt_value) variables; /* by kt_graph.variables: its value now; 0: not yet read */
    KT_VECTOR(bool) assigned;
    uint32_t call;           /* which call of the layer this is, as models count them: all calls of the models that it
                                is in, and the layer's in each */
    bool failed;             /* some call failed: its outputs are 0, and the function must not be finished */
    struct kt_trace *outer;  /* of a scan's step: the trace of the function around; its weights become parameters */
    KT_VECTOR(kt_value) captured; /* the values of outer that these parameters stand for, in order */
    KT_VECTOR(kt_value) unmasked; /* values that have lost their masks: kt_trace_unmask */
    bool collects_losses;    /* layers' losses are wanted: a step of training or of evaluation */
    KT_VECTOR(kt_value) losses; /* what layers add to the loss, float scalars: kt_trace_add_loss */
    uint32_t calls;          /* made by models so far; past KT_CALL_LIMIT they are refused, because nested models
                                that are called twice each could ask for any number */
} kt_trace;
enum { KT_CALL_LIMIT = 1 << 17 };

/* The value of a layer's weight now (cast to the layer's compute dtype if it is a float). */
kt_value kt_trace_weight(kt_trace *trace, kt_layer *layer, uint32_t weight);
/* The same as it is stored, in the variable's own dtype. */
kt_value kt_trace_stored_weight(kt_trace *trace, kt_layer *layer, uint32_t weight);
/* Gives a weight a new value: from the traced function a donated result. */
void kt_trace_assign(kt_trace *trace, kt_layer *layer, uint32_t weight, kt_value value);
/* The value of a variable of the graph now, and a new one (cast to its dtype): what weights go through. */
kt_value kt_trace_variable(kt_trace *trace, uint32_t variable);
void kt_trace_assign_variable(kt_trace *trace, uint32_t variable, kt_value value);
/* A value of the trace around, as an operand of a scan's step; where there is none around, the value itself. */
kt_value kt_trace_capture(kt_trace *trace, kt_value value);
/* Takes value's mask away from all that read it later, as Keras does where a layer consumes it; and the mask that a
 * value which came with one has still. */
void kt_trace_unmask(kt_trace *trace, kt_value value);
kt_value kt_trace_mask(const kt_trace *trace, kt_value value, kt_value mask);
/* Adds a float scalar to the loss. In the step of a scan that is a problem, because its values end with the step. */
void kt_trace_add_loss(kt_trace *trace, kt_value loss);
/* The location of what is built next: "<path>/<what>". */
void kt_trace_at(kt_trace *trace, const char *what);
/* A name that no function has, for the step of a scan. */
const char *kt_trace_step_name(const kt_trace *trace);
/* Records a problem at the layer's path; the trace goes on with value 0. */
void kt_trace_fail(kt_trace *trace, kt_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One call of a layer. `call` reads inputs (or, for layers of several arguments, arguments) and sets outputs. */
typedef struct kt_layer_call {
    kt_trace *trace;
    const kt_argument *arguments; /* as written: positional first, then keywords */
    uint32_t argument_count;
    const kt_value *inputs;       /* the first argument, flattened */
    const kt_value *masks;        /* one an input, or 0 */
    uint32_t input_count;
    kt_value *outputs;            /* to be filled in: room for output_count */
    kt_value *output_masks;       /* 0 unless `call` says otherwise; layers that support masking pass it on */
    uint32_t output_count;
} kt_layer_call;

/* ---- classes and layers ---------------------------------------------------------------------- */
struct kt_layer_class {
    const char *name;         /* "Dense": registered under this name and module */
    const char *python_name;  /* Python's, where Keras exports the class by another name; else NULL */
    const char *module;       /* "keras.layers", "keras.src.ops.numpy", … */
    const char *doc;
    size_t bytes;             /* of its struct, which begins with a kt_layer */
    const kt_option *options; /* beyond name, trainable, dtype; ends with a NULL name; NULL: none */
    bool supports_masking;
    bool keeps_input_dtype;   /* float inputs are not cast to the compute dtype (Keras: autocast = False) */
    bool quantizes;           /* its weights may be int8: Keras's quantize("int8") */
    bool plain;               /* an operation node or InputLayer: of the common options it writes name only */
    /* Reads what the option table cannot say, or rejects options; may be NULL. */
    kt_status (*check)(kt_layer *layer, kt_layer_context *context);
    /* Containers: makes children from the serialised config, and writes it; NULL elsewhere. */
    kt_status (*read_config)(kt_layer *layer, kt_layer_context *context, const json_t *config);
    void (*write_config)(const kt_layer *layer, json_t *config);
    /* Adds weights for these input types; called once, before the first call. May be NULL. */
    kt_status (*build)(kt_layer *layer, kt_trace *trace, const kt_layer_call *call);
    void (*call)(kt_layer *layer, kt_layer_call *call);
    /* In a step of training, after the optimizer and the constraints; NULL: nothing. */
    void (*updated)(kt_layer *layer, kt_trace *trace);
    /* How many outputs a call has; NULL: one. */
    uint32_t (*output_count)(const kt_layer *layer);
    /* How many more there are behind those where an argument of the call asks for them, which else stay 0. */
    uint32_t extra_outputs;
};

typedef struct kt_weight {
    const char *name;     /* "kernel" */
    kt_type type;
    const json_t *initializer;
    bool trainable;
    bool state;           /* kept from call to call: it has no place in Keras's file */
    bool factor;          /* of LoRA: the same, since the file has the kernel with its factors' product */
    double scale;         /* of the first factor: what the product counts */
    uint32_t adapted;     /* and the number of the kernel that it is added to; the second factor follows */
    const kt_object *regularizer, *constraint; /* NULL: none */
    const void *begin;    /* of a state: what it begins with; NULL: zeros */
    bool root;            /* begins with the square root of what its initializer draws */
    uint32_t variable;    /* in kt_graph.variables of the graph that is being traced into */
} kt_weight;

struct kt_layer {
    const kt_layer_class *class;
    const char *name;      /* the user's: "dense_1" */
    const char *path;      /* where it stands: "functional/block/dense_1"; set when it is put in a model */
    bool trainable;
    const json_t *dtype;   /* as serialised; NULL: float32 */
    kt_dtype compute_dtype, variable_dtype;
    bool quantized;        /* its kernels are int8, with scales */
    const json_t *activity_regularizer;
    bool unpunished;       /* Keras does not apply it to the layer's own outputs */
    bool built;
    bool broken;           /* building it failed, which is reported; it is not called */
    const kt_graph *graph; /* the one that the weights' variables are of */
    KT_VECTOR(kt_weight) weights; /* in the order of Keras's file: vars/0, vars/1, … */
    KT_VECTOR(kt_layer *) children; /* in the order in which Keras writes them */
    const char *child_group; /* containers: "layers" stands between in the file; else the attribute's name, or NULL */
    const char *attribute;   /* children of layers that are no model: their name in the file, unless it is theirs */
};

/* All classes; ends with NULL. A class is one line in frontend/layers/classes.def. */
extern const kt_layer_class *const kt_layer_classes[];
const kt_layer_class *kt_layer_class_find(const char *module, const char *name); /* module NULL: any */

/* Makes a layer from Keras's serialised form {"module", "class_name", "config", "registered_name", …}. path: of
 * the container, for problems; NULL at the top. NULL and problems where it is not supported; goes on to find all. */
kt_layer *kt_layer_from_config(kt_layer_context *context, const json_t *serialized, const char *path);
/* Why a layer for images cannot be called with a dictionary, whose other entries Keras changes with the images; a whole
 * sentence, or NULL: nothing is wrong with it. */
const char *kt_layer_refuses_dictionary(const kt_layer *layer);
/* Makes a layer of a class from options as JSON text: kt_layer_create(c, "Dense", "{\"units\": 10}"). */
kt_layer *kt_layer_create(kt_layer_context *context, const char *class_name, const char *options);
void kt_json_release(void *json); /* json_decref, for kt_arena_defer */
/* From now on, this thread's JSON lives in the arena (NULL: in memory from malloc), and where that fails leaves through
 * kt_guarded. Returns what it was before. */
kt_arena *kt_json_use(kt_arena *arena);
/* Keras's serialised form; a new reference. */
json_t *kt_layer_get_config(const kt_layer *layer);

/* Keras's name for things of a class: "Conv2D" gives "conv2d", "LayerNormalization" "layer_normalization". */
const char *kt_layer_snake_case(kt_arena *arena, const char *class_name);
/* For `check`: records that an option is wrong or not supported: "option 'axis' of Softmax <sentence end>". */
kt_status kt_layer_reject(const kt_layer *layer, kt_layer_context *context, kt_status status, const char *option,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
/* An InputLayer's dtype and batch_shape (None is -1); false for any other layer. */
bool kt_layer_input_spec(const kt_layer *layer, kt_dtype *out_dtype, kt_ints *out_batch_shape);
/* Keras's result_type: what a binary operation computes in (as on TensorFlow, which keeps int64 and float64). */
kt_dtype kt_dtype_promote(kt_dtype a, kt_dtype b);

/* For `build`: adds a weight; returns its number. Its variable's path is the layer's path and name. The regularizer
 * and constraint of a trainable weight are the layer's options for it: "kernel_regularizer" for "kernel" and for
 * "lora_kernel_a", "recurrent_regularizer" for "recurrent_kernel". */
uint32_t kt_layer_add_weight(kt_layer *layer, kt_trace *trace, const char *name, const kt_type *type,
                             const json_t *initializer, bool trainable);
/* The same for a state, which is kept from call to call and begins with `begin` (dense, copied), or zeros: NULL. */
uint32_t kt_layer_add_state(kt_layer *layer, kt_trace *trace, const char *name, const kt_type *type, const void *begin);
/* What the regularizers of all weights that are trained, of the layer and the layers in it, add to the loss: each once,
 * a float scalar, or 0 where there are none. */
kt_value kt_layer_regularization(kt_layer *layer, kt_trace *trace);
/* Brings the same weights' values back to their constraints, where only_if, a scalar bool, is true (0: always), and where an
 * optimizer moves them, by variable of the graph (NULL: all). */
void kt_layer_constrain(kt_layer *layer, kt_trace *trace, kt_value only_if, const bool *moved);
/* Makes the weights of a layer that has been built known to the graph that is being traced into: for layers that call
 * their children by themselves. */
void kt_layer_renew(kt_layer *layer, kt_trace *trace);
/* Builds the layer if need be and calls it; training may be overridden by a `training` keyword (Functional drops
 * recorded ones, because the mode of the model's call wins). A `mask` keyword takes the place of the inputs'
 * masks. Where an input is 0, so are the outputs. outputs and output_masks: room for kt_layer_output_count. */
void kt_layer_call_with(kt_layer *layer, kt_trace *trace, const kt_argument *arguments, uint32_t count,
                        kt_value *out_outputs, kt_value *out_masks);
uint32_t kt_layer_output_count(const kt_layer *layer);
/* Without those that an argument of the call has to ask for: what a model's next layer takes. */
uint32_t kt_layer_usual_outputs(const kt_layer *layer);

/* ---- models --------------------------------------------------------------------------------------------------
 * Functional: calls of layers on symbolic tensors, written down first and traced later.
 *   kt_functional *m = kt_functional_create(&context, "model");
 *   kt_symbolic x = kt_functional_input(m, kt_layer_create(&context, "InputLayer", "{\"batch_shape\": [null, 8]}"));
 *   kt_symbolic y = kt_functional_call(m, kt_layer_create(&context, "Dense", "{\"units\": 2}"), x);
 *   kt_functional_output(m, y, NULL); */
typedef struct kt_functional kt_functional;
typedef struct kt_symbolic {
    uint32_t call;   /* 0: none */
    uint32_t output; /* which of the call's outputs */
} kt_symbolic;
kt_functional *kt_functional_create(kt_layer_context *context, const char *name);
kt_symbolic kt_functional_input(kt_functional *model, kt_layer *input_layer);
kt_symbolic kt_functional_call(kt_functional *model, kt_layer *layer, kt_symbolic x);
kt_symbolic kt_functional_call_list(kt_functional *model, kt_layer *layer, const kt_symbolic *x, uint32_t count);
void kt_functional_output(kt_functional *model, kt_symbolic y, const char *name); /* name NULL: the layer's */
kt_layer *kt_functional_layer(kt_functional *model);

kt_layer *kt_sequential_create(kt_layer_context *context, const char *name);
void kt_sequential_add(kt_layer *sequential, kt_layer *layer);

/* What a call of a layer gave while a model was traced. */
typedef struct kt_layer_output {
    const kt_layer *layer;
    /* The layer's path below the model, "block/conv"; where the layer had been called N times before, "conv@N"; a
     * layer's output N but the first, "lstm:N"; both, "lstm@2:1". */
    const char *name;
    uint32_t call, output; /* N above */
    kt_value value;
} kt_layer_output;

/* Sees what layers give, in the order in which they are called: also layers in nested models and in layers that hold
 * layers, but not what is called in the body of a loop. */
struct kt_observer {
    /* Makes what it wants, by name, the outputs of the entry, in place of the model's; NULL: those stay. */
    bool (*wants)(void *context, const char *name);
    void *context;
    kt_layer *model;      /* found: the model that was read; NULL: it was a graph, without layers */
    const json_t *config; /* found: the archive's config.json, which holds compile_config */
    KT_VECTOR(kt_layer_output) outputs; /* found */
    kt_table names; /* of the calls seen */
    const kt_builder *builder; /* of the entry */
};

/* Traces model (Sequential or Functional) as entry "predict" of a new graph in context->arena: parameters are
 * the inputs (InputLayers' names, None in front is the symbol `batch`, elsewhere `<input>.<axis>`) and the
 * variables; results the outputs by their keys in a dict, else by Keras's output_names. Variables have no data yet. */
kt_status kt_model_trace(kt_layer_context *context, kt_layer *model, kt_graph **out_graph) KT_MUST_USE;

/* ---- reading --------------------------------------------------------------------------------- */
/* Reads a .keras archive: config, layers, trace, weights. path "-" is standard input. All unsupported things are
 * reported at once. */
kt_status kt_keras_read(kt_arena *arena, const char *path, kt_graph **out_graph, kt_diag *diag) KT_MUST_USE;
/* Any model the driver takes: .keras by its zip signature, .kir by content; "-" too. */
kt_status kt_model_read(kt_arena *arena, const char *path, kt_graph **out_graph, kt_diag *diag) KT_MUST_USE;
/* The same with somebody who looks on; what it finds lives in arena. */
kt_status kt_model_read_observed(kt_arena *arena, const char *path, kt_observer *observer, kt_graph **out_graph,
                                 kt_diag *diag) KT_MUST_USE;

/* What is to be traced besides "predict", frontend/training/training.h, and what is found. */
typedef struct kt_training_request {
    bool train;                             /* train_step, too; else evaluate_step alone */
    bool if_compiled;                       /* nothing, and no logs, where the model was not compiled with a loss, or is no archive */
    const char *optimizer, *loss, *metrics; /* instead of the model's own: names (metrics: with commas), or JSON */
    kt_training_info info; /* found */
    const char *warning; /* sentences, or NULL: the optimizer begins anew, since its state in the archive does not fit; the
                            loss does not depend on some variables, which then stay as they are */
} kt_training_request;
/* A .keras archive with the entries of training. */
kt_status kt_model_read_training(kt_arena *arena, const char *path, kt_training_request *request, kt_graph **out_graph,
                                 kt_diag *diag) KT_MUST_USE;

/* ---- summary --------------------------------------------------------------------------------- */
typedef struct kt_summary_row {
    uint32_t level; /* how deep the layer stands in nested models */
    const char *name, *class_name;
    const char *shape;     /* as Keras writes it: "(None, 8)" */
    const char *connected; /* "dense[0][0], add[1][0]", or "-" */
    int64_t parameters;
} kt_summary_row;
typedef struct kt_weight_total {
    int64_t count, bytes;
} kt_weight_total;
/* What Keras's model.summary() tells. */
typedef struct kt_summary {
    bool chain; /* every layer takes what the one before gives: Keras shows no connections then */
    KT_VECTOR(kt_summary_row) rows;
    kt_weight_total trainable, frozen, optimizer;
    bool compiled; /* optimizer means something */
} kt_summary;
/* Of the model that an observer saw while it was read; expand: with the layers of nested models. */
kt_status kt_summarize(kt_layer_context *context, const kt_observer *observer, const kt_graph *graph, bool expand,
                       kt_summary *out_summary) KT_MUST_USE;

#endif
