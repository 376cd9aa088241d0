/* The end of training with moving averages of the weights (use_ema of optimizers): they take the weights'
 * place, as finalize_variable_values in Keras's fit. */
#include "runtime/train/train_impl.h"

#include <string.h>

/* Is slot "optimizer/dense_kernel_average" that of "dense/kernel"? */
static bool is_average(const char *slot, const char *weight) {
    static const char folder[] = "optimizer/", ending[] = "_average";
    if (strncmp(slot, folder, sizeof folder - 1) != 0) return false;
    slot += sizeof folder - 1;
    for (; *weight; slot++, weight++)
        if (*slot != (*weight == '/' ? '_' : *weight)) return false;
    return strcmp(slot, ending) == 0;
}

void kt_take_averages(kt_context *context) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++) {
        const kt_abi_variable *weight = &program->variables[i];
        if (weight->kind != KT_KEPT_WEIGHT) continue;
        for (uint32_t k = 0; k < program->variable_count; k++) {
            const kt_abi_variable *slot = &program->variables[k];
            if (slot->kind != KT_KEPT_SLOT || !is_average(slot->path, weight->path)) continue;
            size_t bytes = kt_abi_dtype_bytes(weight->dtype);
            for (int axis = 0; axis < weight->rank; axis++) bytes *= (size_t)weight->dims[axis];
            memcpy(kt_context_variable(context, i), kt_context_variable(context, k), bytes);
        }
    }
}
