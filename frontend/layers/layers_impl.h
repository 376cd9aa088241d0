/* What the files of frontend/layers and the layer families share. */
#ifndef KT_FRONTEND_LAYERS_LAYERS_IMPL_H
#define KT_FRONTEND_LAYERS_LAYERS_IMPL_H

#include "frontend/layer.h"

#include <stddef.h>

/* The rows that classes.def lists. */
#define KT_LAYER(name) extern const kt_layer_class kt_class_##name;
#include "frontend/layers/classes.def"
#undef KT_LAYER

#define KT_INITIALIZER(type, field, default_json)                                                            \
    {#field, KT_OPTION_INITIALIZER, offsetof(type, field), default_json, .inert = true}
#define KT_REGULARIZER(type, field)                                                                          \
    {#field, KT_OPTION_REGULARIZER, offsetof(type, field), "null", .inert = true}
#define KT_CONSTRAINT(type, field)                                                                           \
    {#field, KT_OPTION_CONSTRAINT, offsetof(type, field), "null", .inert = true}
/* Conv2D and others write this common option even where it is None. */
#define KT_ACTIVITY_REGULARIZER                                                                              \
    {"activity_regularizer", KT_OPTION_REGULARIZER, offsetof(kt_layer, activity_regularizer), "null",        \
     .inert = true}
/* Written as null, or not at all. */
#define KT_UNSUPPORTED(name)           {name, KT_OPTION_UNSUPPORTED, 0, "null"}
#define KT_UNSUPPORTED_UNWRITTEN(name) {name, KT_OPTION_UNSUPPORTED, 0, "null", .unwritten = true}

/* Low-rank adaptation: two small factors beside a kernel that is no longer trained. Keras writes the kernel
 * with their product added, and begins anew with factors of 0 when it reads: only trainers see it. */
typedef struct kt_lora {
    int64_t rank;        /* None or 0: there is none */
    const json_t *alpha; /* a number, or NULL: as the rank */
} kt_lora;
#define KT_LORA(type, field)                                                                                 \
    {"lora_rank", KT_OPTION_OPTIONAL_INT, offsetof(type, field.rank),                                        \
     "null",      .inert = true,          .unwritten_none = true},                                           \
    {                                                                                                        \
        "lora_alpha", KT_OPTION_JSON, offsetof(type, field.alpha), "null", .inert = true,                    \
            .unwritten_none = true                                                                           \
    }
/* How a layer was, or is to be, quantized; the dtype policy says whether it is. */
typedef struct kt_keras_quantization {
    const json_t *config;      /* as serialised; NULL: Keras's defaults */
    bool weights_only;         /* inputs stay floats */
    double low, high, epsilon; /* of the inputs' quantizer */
} kt_keras_quantization;
#define KT_QUANTIZATION_CONFIG(type, field)                                                                  \
    {"quantization_config", KT_OPTION_JSON, offsetof(type, field.config), "null", .inert = true}

/* Fills the layer's fields from config by its class's table and the common options; every problem is
 * recorded. */
kt_status kt_options_read(kt_layer *layer, kt_layer_context *context, const json_t *config) KT_MUST_USE;
void kt_options_write(const kt_layer *layer, json_t *config);
/* What Keras calls a thing that was given no name: dense, dense_1, dense_2, … */
const char *kt_default_name(kt_layer_context *context, const char *class_name);
/* The layer as its options' problems name it. */
kt_configured kt_layer_configured(const kt_layer *layer);

/* The policy of a serialised dtype; false and a sentence's end in out_problem if it is not supported. */
bool kt_dtype_policy_read(kt_arena *arena, const json_t *dtype, kt_dtype *out_compute, kt_dtype *out_variable,
                          const char **out_problem);

/* A policy of quantized weights: "int8", "int4/128", … and the policy of all else. False: it is none. */
typedef struct kt_quantized_policy {
    const char *mode, *source;
} kt_quantized_policy;
bool kt_quantization_read(kt_arena *arena, const json_t *dtype, kt_quantized_policy *out_policy);

/* Why an operation of Keras is not supported, the rest of a sentence; NULL: no reason is known. */
const char *kt_operation_refusal(const char *module, const char *name);

/* ---- for `check` ----------------------------------------------------------------------------- */
/* Is value from low to 2^31 - 1? Else the option is rejected. */
kt_status kt_check_range(const kt_layer *layer, kt_layer_context *context, const char *option, int64_t value,
                         int64_t low);
kt_status kt_check_ranges(const kt_layer *layer, kt_layer_context *context, const char *option,
                          const kt_ints *values, int64_t low);
/* Reads an option that may be an int or a list of ints. */
kt_status kt_check_axes(const kt_layer *layer, kt_layer_context *context, const char *option,
                        const json_t *axis, kt_ints *out_axes);
/* As Keras sorts axes: as they are written, so that negative ones come first. */
void kt_sort_axes(kt_ints *axes);
/* Are the options of LoRA a rank and a number? */
kt_status kt_check_lora(const kt_layer *layer, kt_layer_context *context, const kt_lora *lora);
/* For `build`, behind the weights that Keras makes before: the factors beside the weight of that number, if LoRA is enabled.
 * by_alpha: their product counts alpha / rank; else 1, as Keras's Dense and Embedding forget alpha when they are built. */
void kt_add_lora(kt_layer *layer, kt_trace *trace, const kt_lora *lora, uint32_t weight, bool by_alpha);
/* kt_trace_weight of a weight that may have factors: with their product. */
kt_value kt_adapted_weight(kt_trace *trace, kt_layer *layer, uint32_t weight);
/* Reads how inputs are quantized, where the layer's weights are. */
kt_status kt_check_quantization(const kt_layer *layer, kt_layer_context *context,
                                kt_keras_quantization *quantization);
static inline bool kt_lora_enabled(const kt_lora *lora) { return lora->rank > 0; }
#define KT_COLLECT(status, expression)                                                                       \
    do {                                                                                                     \
        kt_status kt_collect_ = (expression);                                                                \
        if (kt_collect_ != KT_OK) (status) = kt_collect_;                                                    \
    } while (0)

/* ---- for `build` and `call` ------------------------------------------------------------------ */
static inline kt_dim_pool *kt_call_dims(const kt_layer_call *call) {
    return call->trace->builder->graph->dims;
}
/* Of the weights that Keras quantizes. */
static inline kt_dtype kt_layer_kernel_dtype(const kt_layer *layer) {
    return layer->quantized ? KT_I8 : layer->variable_dtype;
}
static inline const kt_type *kt_call_type(const kt_layer_call *call, uint32_t input) {
    return kt_build_type(call->trace->builder, call->inputs[input]);
}
/* Has the call exactly count inputs? Else a problem is recorded. */
bool kt_call_has_inputs(const kt_layer_call *call, uint32_t count);
/* Is the first input's rank from low to high? Else a problem is recorded. */
bool kt_call_has_rank(const kt_layer_call *call, int low, int high);
/* Has an input a mask of so many axes, or none? Else a problem is recorded. */
bool kt_call_mask_has_rank(const kt_layer_call *call, uint32_t input, int rank);
/* axis counted from the front, or -1 and a problem where rank has no such axis. */
int kt_call_axis(const kt_layer_call *call, int64_t axis, int rank);
/* The first input's axes, increasing and each once; false and a problem if one is out of range or twice
 * there. */
bool kt_call_axes(const kt_layer_call *call, const kt_ints *axes, kt_ints *out_axes);
/* The number of elements along an axis of the first input; -1 and a problem where it is symbolic. */
int64_t kt_call_static_dim(const kt_layer_call *call, int axis);
/* The activation of a layer, at a location of its name. */
kt_value kt_apply_activation(const kt_layer_call *call, const kt_activation *activation, kt_value x);
/* x as [batch, space…, channels] for data_format "channels_first", and back. */
kt_value kt_to_channels_last(kt_builder *builder, kt_value x, bool channels_first);
kt_value kt_from_channels_last(kt_builder *builder, kt_value x, bool channels_first);
/* softmax along axes; 0 where mask, of x's shape, is false. mask may be 0: none. */
kt_value kt_softmax(kt_builder *builder, kt_value x, kt_value mask, const kt_ints *axes);
/* Is value a number? NaN and the infinities are the strings that kt_json_parse makes of them. */
bool kt_json_number(const json_t *value, double *out_number);
/* A number or nested lists of numbers, as options hold them (also as Keras's serialised array): is value one,
 * and of which shape? */
bool kt_numbers_shape(const json_t *value, kt_ints *out_shape);
/* The same as a constant of dtype. */
kt_value kt_numbers_constant(const kt_layer_call *call, const json_t *value, kt_dtype dtype);
/* x held from least to most, each of which may be infinite. */
kt_value kt_clip(kt_builder *builder, kt_value x, double least, double most);
/* A vector along one axis of x's shape. */
kt_value kt_along_axis(kt_builder *builder, kt_value vector, kt_value x, int axis);
/* What a reduction over axes left, spread over x's shape again; and both together. */
kt_value kt_spread(kt_builder *builder, kt_value reduced, kt_value x, const kt_ints *axes);
kt_value kt_reduce_spread(kt_builder *builder, kt_value x, kt_reduction kind, const kt_ints *axes);
/* The mean over axes, which vanish, of floats. */
kt_value kt_mean(kt_builder *builder, kt_value x, const kt_ints *axes);
/* x with Euclidean norm 1 over axes; a norm below epsilon counts as epsilon. */
kt_value kt_unit_norm(kt_builder *builder, kt_value x, const kt_ints *axes, double epsilon);
/* x divided by the number of elements along axes of the type `of`. */
kt_value kt_divide_by_count(kt_builder *builder, kt_value x, const kt_type *of, const kt_ints *axes);

/* ---- promotion.c ----------------------------------------------------------------------------- */
/* The dtypes that stand above operands in Keras's lattice; those of several operands are joined by &. */
typedef uint32_t kt_promotion;
kt_promotion kt_promotion_of(kt_dtype dtype);
/* Of Python's bool, int or float: KT_BOOL, any integer or any float. */
kt_promotion kt_promotion_of_number(kt_dtype kind);
/* What is computed in; KT_STRING, which nothing is cast to, where strings or complex numbers are among the operands. */
kt_dtype kt_promoted(kt_promotion common);
/* What products of matrices are computed in, which is a float for integers, and given as. */
void kt_matmul_dtypes(kt_dtype a, kt_dtype b, kt_dtype *out_compute, kt_dtype *out_result);

/* ---- quantized.c ----------------------------------------------------------------------------- */
/* x · kernel along x's last axis and the kernel's first, or if transposed its second. kernel: i8, divided by
 * scale, which has an element a column. */
kt_value kt_quantized_matmul(const kt_layer_call *call, const kt_layer *layer,
                             const kt_keras_quantization *quantization, kt_value x, kt_value kernel,
                             bool transposed, kt_value scale);

/* ---- regularization.c ------------------------------------------------------------------------ */
/* Sets a weight's regularizer and constraint from the layer's options. */
void kt_weight_find_penalties(const kt_layer *layer, kt_trace *trace, kt_weight *weight);
/* Adds what the layer's activity_regularizer says of a call's outputs to the losses. */
void kt_layer_add_activity_losses(const kt_layer *layer, kt_layer_call *call);

/* ---- random.c -------------------------------------------------------------------------------- */
/* What Keras on TensorFlow draws with the layer's seed generator, whose counter goes on: floats. seed:
 * KT_NONE_INT is None. */
kt_value kt_random_uniform(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type); /* in [0, 1) */
kt_value kt_random_between(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type, double low,
                           double high); /* in [low, high) */
/* Integers of a dtype, from low to below high. */
kt_value kt_random_integers(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type, int64_t low,
                            int64_t high);
kt_value kt_random_normal(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type); /* deviation 1 */
/* Of the gamma distribution, one number for each of alpha, of its type; and of the beta distribution whose parameters
 * are both alpha. 0 where building failed. */
kt_value kt_random_gamma(kt_layer *layer, kt_trace *trace, int64_t seed, kt_value alpha);
kt_value kt_random_beta(kt_layer *layer, kt_trace *trace, int64_t seed, kt_value alpha);
/* The numbers below count in any order, i64. */
kt_value kt_random_permutation(kt_layer *layer, kt_trace *trace, int64_t seed, kt_dim count);
/* x with elements dropped at a rate below 1, and the others scaled up; noise_shape: 1 where one draw serves the whole
 * axis, -1 or no entries: as x. */
kt_value kt_random_dropout(kt_layer *layer, kt_trace *trace, int64_t seed, kt_value x, double rate,
                           const kt_ints *noise_shape);
/* Lets the counter go on as so many draws would; nothing where there is no generator, as nothing was drawn yet. */
void kt_random_skip(kt_layer *layer, kt_trace *trace, int64_t draws);
/* The seed that the generator begins with, once something was drawn. */
int64_t kt_random_begin(const kt_layer *layer);
/* The generator's state now, once something was drawn, and back to it: the same is drawn again. */
kt_value kt_random_state(kt_layer *layer, kt_trace *trace);
void kt_random_return(kt_layer *layer, kt_trace *trace, kt_value state);

#endif
