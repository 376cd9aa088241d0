/* Moving averages of the weights (use_ema of optimizers): at the end of training they take the weights'
 * place, as finalize_variable_values in Keras's fit, and before it for a while, as with SwapEMAWeights. */
#include "runtime/train/train_impl.h"

#include <string.h>

/* Is slot "optimizer/dense_kernel_average", or "optimizer/sgd/dense_kernel_average", that of "dense/kernel"?
 */
static bool is_average(const char *slot, const char *weight) {
    static const char folder[] = "optimizer/", ending[] = "_average";
    if (strncmp(slot, folder, sizeof folder - 1) != 0) return false;
    slot = strrchr(slot, '/') + 1;
    for (; *weight; slot++, weight++)
        if (*slot != (*weight == '/' ? '_' : *weight)) return false;
    return strcmp(slot, ending) == 0;
}

static void swap_bytes(char *x, char *y, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        char kept = x[i];
        x[i] = y[i];
        y[i] = kept;
    }
}

static void take(kt_context *context, uint32_t weight, uint32_t slot, bool swap) {
    const kt_abi_variable *variable = &kt_context_program(context)->variables[weight];
    char *to = kt_context_variable(context, weight), *from = kt_context_variable(context, slot);
    size_t bytes = kt_abi_variable_bytes(variable);
    if (swap)
        swap_bytes(to, from, bytes);
    else
        memcpy(to, from, bytes);
}

/* Which variable holds the average of a weight; variable_count: none. */
static uint32_t find_average(const kt_program *program, const kt_abi_variable *weight) {
    uint32_t i = 0;
    if (weight->kind != KT_KEPT_WEIGHT) return program->variable_count;
    while (i < program->variable_count && (program->variables[i].kind != KT_KEPT_SLOT ||
                                           !is_average(program->variables[i].path, weight->path)))
        i++;
    return i;
}

void kt_drop_averages(kt_context *context) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++) {
        uint32_t slot = find_average(program, &program->variables[i]);
        if (slot < program->variable_count) take(context, slot, i, false);
    }
}

void kt_take_averages(kt_context *context, bool swap) {
    const kt_program *program = kt_context_program(context);
    for (uint32_t i = 0; i < program->variable_count; i++) {
        uint32_t slot = find_average(program, &program->variables[i]);
        if (slot < program->variable_count) take(context, i, slot, swap);
    }
}

bool kt_has_averages(const kt_program *program) {
    for (uint32_t i = 0; i < program->variable_count; i++)
        if (find_average(program, &program->variables[i]) < program->variable_count) return true;
    return false;
}
