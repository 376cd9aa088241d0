/* Losses, element by element or sample by sample: what comes before a mean. Formulas and limits are Keras's;
 * floats of all operands have one dtype. */
#ifndef KT_FRONTEND_LOSSES_H
#define KT_FRONTEND_LOSSES_H

#include "frontend/layer.h"

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
