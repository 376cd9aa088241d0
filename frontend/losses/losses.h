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
    /* target: of the type that kt_loss_target_type says, cast to output's dtype unless sparse. */
    kt_value (*call)(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output);
    bool sparse; /* targets are numbers of classes: i32, of output's shape without its last axis */
} kt_loss_class;
struct kt_loss {
    kt_object object;
    const char *name;      /* "mean_squared_error"; given or the class's */
    const char *reduction; /* Keras's: sum_over_batch_size, sum, mean, mean_with_sample_weight or none */
    const json_t *dtype;
};
/* The classes, in frontend/losses/classes.def; ends with NULL. */
extern const kt_loss_class *const kt_loss_classes[];
/* From Keras's serialised form; NULL, and problems at path. */
kt_loss *kt_loss_read(kt_layer_context *context, const json_t *serialized, const char *path);
/* What the labels for an output are. */
kt_type kt_loss_target_type(const kt_loss *loss, const kt_builder *builder, const kt_type *output);
/* The loss of a batch as Keras's `__call__` gives it, reduced: float32, a scalar unless the reduction is none.
 * sample_weight [batch] and mask (bool, Keras's mask of output), or 0. Where output comes from softmax or sigmoid,
 * what these took is used, as Keras on TensorFlow does. 0 and a problem in the trace where shapes do not fit. */
kt_value kt_loss_value(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output, kt_value sample_weight,
                       kt_value mask);

/* ---- what they are written in ------------------------------------------------------------------------------ */
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
