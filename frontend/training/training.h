/* Training: the entries "train_step" and "evaluate_step" beside "predict", after Keras's compile and fit.
 *
 * An entry's inputs are the model's, then one of labels for each output that has a loss or metrics, then, in the
 * entries whose names end in "_weighted", one of sample weights for each of those: float32, [batch],
 * or [batch, time, ...] as the numbers of the loss before their mean. Its one output,
 * "logs", is what Keras's progress line says after the step: the mean loss and the metrics since they were last set
 * back. Everything else is variables: weights, slots, metrics' state, seeds. */
#ifndef KT_FRONTEND_TRAINING_H
#define KT_FRONTEND_TRAINING_H

#include "frontend/layer.h"

/* What compile was told, as Keras serialises it; NULL: nothing. */
typedef struct kt_compile_config {
    const json_t *optimizer, *loss, *loss_weights, *metrics, *weighted_metrics;
    const json_t *archived; /* all of the archive's compile_config */
} kt_compile_config;

/* Reads compile_config of an archive's configuration and what the request says instead. Problems are those of
 * "compile". */
kt_status kt_compile_config_read(kt_layer_context *context, const json_t *config, const kt_training_request *request,
                                 kt_compile_config *out_config) KT_MUST_USE;
/* The text of an archive's configuration, NULL if it is no UTF-8, with what the model is compiled with as compile_config, so
 * that Keras finds it. */
kt_status kt_compile_config_write(kt_layer_context *context, const char *text, const kt_compile_config *config,
                                  const char **out_text) KT_MUST_USE;
/* kt_model_trace with the entries of training. config's objects must outlive the graph. */
kt_status kt_model_trace_training(kt_layer_context *context, kt_layer *model, const kt_compile_config *config,
                                  kt_training_request *request, kt_graph **out_graph) KT_MUST_USE;

#endif
