/* Optimizers and learning rate schedules, after Keras: from gradients to new values of variables, slots and step
 * counter, as ordinary nodes of the traced function. */
#ifndef KT_FRONTEND_OPTIMIZERS_H
#define KT_FRONTEND_OPTIMIZERS_H

#include "frontend/layer.h"
#include "frontend/object.h"

typedef struct kt_optimizer kt_optimizer;

/* In alphabetical order; ends with NULL. */
extern const kt_object_class *const kt_optimizer_classes[];
/* Its own name, as "adam". */
const char *kt_optimizer_name(const kt_optimizer *optimizer);

/* From Keras's serialised form: a name ("adam") or an object with class_name and config, whose learning_rate may be a
 * number or a serialised schedule. NULL, and problems at path. */
kt_optimizer *kt_optimizer_read(kt_layer_context *context, const json_t *serialized, const char *path);
/* A serialised optimizer within a LossScaleOptimizer, as Keras's compile puts it there for mixed_float16; as it is where
 * it is one already. */
const json_t *kt_optimizer_scaled(kt_layer_context *context, const json_t *serialized);
/* Adds the optimizer's variables to the graph (kind KT_VARIABLE_SLOT) for these variables, which it is to train: paths
 * "optimizer/iteration", "optimizer/learning_rate", "optimizer/dense_kernel_momentum", … (of a MultiOptimizer's members
 * "optimizer/adam/iteration", …), file paths
 * "optimizer/vars/0", … in Keras's order. The learning rate is a variable of its own that callbacks may set, unless
 * there is a schedule. */
void kt_optimizer_build(kt_optimizer *optimizer, kt_trace *trace, const uint32_t *variables, uint32_t count);
/* What Keras's files hold twice, as the variables of optimizers within this one: ranges of kt_abi_copies. */
typedef KT_VECTOR(struct kt_abi_copies) kt_optimizer_copies;
void kt_optimizer_list_copies(const kt_optimizer *optimizer, kt_arena *arena, const char *place,
                              kt_optimizer_copies *out_copies);
/* One step: gradients, one a variable of build, of the variable's type, or 0: then it and its slots stay as they are, and
 * only its moving average goes on. Everything of Keras's base class is here:
 * clipping by value, norm and global norm, weight decay, exponential moving averages, gradient accumulation, loss
 * scaling. Assigns through the trace. */
void kt_optimizer_apply(kt_optimizer *optimizer, kt_trace *trace, const kt_value *gradients);
/* Whether the step that was written last changes variables at all, a scalar bool; 0: always. */
kt_value kt_optimizer_moves(const kt_optimizer *optimizer);
/* What the loss is to be multiplied by before gradients are taken, which `apply` divides by again; 0: nothing. */
kt_value kt_optimizer_loss_scale(kt_optimizer *optimizer, kt_trace *trace);

#endif
