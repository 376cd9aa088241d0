/* Losses, element by element or sample by sample: what comes before a mean. Formulas and limits are Keras's;
 * floats of all operands have one dtype. */
#ifndef KT_FRONTEND_LOSSES_H
#define KT_FRONTEND_LOSSES_H

#include "frontend/layer.h"
#include "frontend/object.h"

/* ---- losses as compile takes them --------------------------------------------------------------------------
 * A class says what Keras's `call` gives: one number a sample, or more (a sequence has one a step). */
typedef struct kt_loss kt_loss;
typedef struct kt_loss_class {
    kt_object_class object;
    /* target: of output's rank and dtype; where sparse, as kt_loss_target_type says. 0 and a problem where that
     * does not do. */
    kt_value (*call)(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output);
    /* What Keras's `call` gives its values as a mask (bool, of their shape), 0: none; NULL: never one. */
    kt_value (*mask)(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value values);
    /* What of the labels' type differs from output's, dtype aside; NULL: nothing. */
    void (*set_target_shape)(const kt_loss *loss, const kt_builder *builder, kt_type *type);
    /* Where sparse: how many classes there are for output, 0 if labels may be any whole numbers; and one that they may be
     * besides, else KT_NONE_INT as it was. NULL: the last axis has them. */
    int64_t (*classes)(const kt_loss *loss, const kt_builder *builder, const kt_type *output, int64_t *out_ignored);
    bool sparse;     /* targets are numbers of classes, i32 */
    bool same_shape; /* targets have output's shape; else axes of 1 are repeated, as NumPy does */
} kt_loss_class;
struct kt_loss {
    kt_object object;
    const char *name;      /* "mean_squared_error"; given or the class's */
    const char *reduction; /* Keras's: sum_over_batch_size, sum, mean, mean_with_sample_weight or none */
    const json_t *dtype;   /* NULL: float32, whatever the model's policy is */
    kt_dtype compute_dtype;
};
/* The classes, in frontend/losses/classes.def; ends with NULL. */
extern const kt_loss_class *const kt_loss_classes[];
/* From Keras's serialised form; NULL, and problems at path. */
kt_loss *kt_loss_read(kt_layer_context *context, const json_t *serialized, const char *path);
/* What the labels for an output are. */
kt_type kt_loss_target_type(const kt_loss *loss, const kt_builder *builder, const kt_type *output);
/* Are they numbers of classes? How many there are then, and which may be there besides (KT_NONE_INT: none), as
 * kt_loss_class.classes says. */
bool kt_loss_has_classes(const kt_loss *loss, const kt_builder *builder, const kt_type *output, int64_t *out_classes,
                         int64_t *out_ignored);
/* What comes before weights and reduction, in the loss's dtype: target and output are cast, and an axis of 1 that
 * one of them has more at its end is dropped or added, as Keras does. 0 and a problem where shapes do not fit.
 *
 * Where output comes from softmax (along the loss's axis) or sigmoid and its dtype is the loss's, the cross entropies
 * take what softmax and sigmoid took, as Keras does on TensorFlow, also where from_logits says that output is no
 * probability. (On TensorFlow, Keras does so for either activation and any axis; here a binary cross entropy
 * behind softmax is one of probabilities, as it is on JAX.) */
kt_value kt_loss_values(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output);
/* The loss of a batch as Keras's `__call__` gives it, reduced, values being what kt_loss_values gave: float32, a scalar
 * unless the reduction is none.
 * sample_weight and mask (bool, Keras's mask of output), or 0, have the values' shape, axes of 1, or less axes: then
 * they are for all that is behind those (Keras takes [batch, 1] for that, and NumPy's rule would take a [batch] for
 * the last axis). 0 and a problem in the trace where shapes do not fit. */
kt_value kt_loss_reduce(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value values, kt_value sample_weight,
                        kt_value mask);
/* Both. */
kt_value kt_loss_value(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output, kt_value sample_weight,
                       kt_value mask);
/* Keras's squeeze_or_expand_to_same_rank: where ranks differ by one and the longer one ends in an axis of 1, that
 * axis is dropped, or, where the other has one axis, added to it. Else nothing is done. */
void kt_loss_same_rank(kt_builder *builder, kt_value *x, kt_value *y);

/* ---- what they are written in ---------------------------------------------------------------- */
/* Of each element; with from_logits, output is before a sigmoid. */
kt_value kt_binary_crossentropy(kt_builder *builder, kt_value target, kt_value output, bool from_logits);
/* Along an axis of classes, which vanishes. target has a share for each class; output is before a softmax, or
 * else divided by its sum. */
kt_value kt_categorical_crossentropy(kt_builder *builder, kt_value target, kt_value output, bool from_logits,
                                     int axis);
/* The same with target the number of a class, integers of output's shape without the axis; classes that there
 * are not give 0. */
kt_value kt_sparse_categorical_crossentropy(kt_builder *builder, kt_value target, kt_value output,
                                            bool from_logits, int axis);

/* Connectionist temporal classification (Graves et al. 2006): of each sample, the negative logarithm of the
 * probability that the steps of output [batch, time, classes], logits, spell the labels of target [batch,
 * labels], i32, once repetitions are merged and blanks dropped. Of both only the first target_length and
 * output_length [batch], i32, count. Built for the layer that is being called; 0 and a problem where ranks or
 * sizes do not fit. */
kt_value kt_ctc_loss(kt_trace *trace, kt_value target, kt_value output, kt_value target_length,
                     kt_value output_length, int64_t blank);

#endif
