/* The learning rates that callbacks may set: the optimizer's, or those of a MultiOptimizer's members. */
#include "runtime/train/callbacks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NAME of the slot "optimizer/NAME/WHAT", "" of "optimizer/WHAT"; false: it is none, or is of an optimizer
 * that only wraps others. */
static bool is_counter(const kt_abi_variable *variable, const char *what, char out_name[KT_MONITOR]) {
    static const char folder[] = "optimizer/";
    const char *path = variable->path, *slash = strrchr(path, '/');
    out_name[0] = 0;
    if (variable->kind != KT_KEPT_SLOT || !slash || strcmp(slash + 1, what) != 0) return false;
    if (strncmp(path, folder, sizeof folder - 1) != 0) return false;
    path += sizeof folder - 1;
    if (slash > path) (void)snprintf(out_name, KT_MONITOR, "%.*s", (int)(slash - path), path);
    return strcmp(out_name, "loss_scale_optimizer") != 0 && strcmp(out_name, "multi_optimizer") != 0;
}

int kt_rates_find(kt_rates *rates, kt_context *context) {
    const kt_program *program = kt_context_program(context);
    char unused[KT_MONITOR];
    size_t optimizers = 0;
    rates->at = calloc(program->variable_count + 1, sizeof *rates->at);
    if (!rates->at) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    for (uint32_t i = 0; i < program->variable_count; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        optimizers += is_counter(variable, "iteration", unused);
        kt_rate *rate = &rates->at[rates->count];
        if (!is_counter(variable, "learning_rate", rate->name) || variable->dtype != KT_F32) continue;
        rates->count++;
        (void)snprintf(rate->log_name, sizeof rate->log_name, "learning_rate%s%s", *rate->name ? "_" : "",
                       rate->name);
        rate->value = kt_context_variable(context, i);
    }
    rates->all = rates->count == optimizers;
    return 0;
}

void kt_rates_set(const kt_rates *rates, double rate, double verbose, int64_t epoch) {
    char text[KT_PYTHON_FLOAT];
    for (size_t i = 0; i < rates->count; i++) {
        const kt_rate *at = &rates->at[i];
        const double now = isnan(rate) ? (double)*at->value : rate;
        *at->value = (float)now;
        kt_python_float(now, text);
        kt_progress_say(verbose, "\nEpoch %lld: LearningRateScheduler setting %s%slearning rate to %s.",
                        (long long)epoch + 1, at->name, *at->name ? " " : "", text);
    }
}

bool kt_rates_reduce(const kt_rates *rates, double factor, double least, double verbose, int64_t epoch) {
    char text[KT_PYTHON_FLOAT];
    bool reduced = false;
    for (size_t i = 0; i < rates->count; i++) {
        const kt_rate *at = &rates->at[i];
        if (*at->value <= (float)least) continue;
        const double lower = (double)*at->value * factor, rate = lower > least ? lower : least;
        *at->value = (float)rate;
        kt_python_float(rate, text);
        kt_progress_say(verbose, "\nEpoch %lld: ReduceLROnPlateau reducing%s%s learning rate to %s.",
                        (long long)epoch + 1, *at->name ? " " : "", at->name, text);
        reduced = true;
    }
    return reduced;
}
