/* Logs that are watched, as Keras's MonitorCallback watches them. */
#include "runtime/train/callbacks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The number of a log, with or without val_ in front; log_count: there is none. */
static size_t find_log(const kt_abi_training *training, const char *name) {
    size_t i = 0;
    if (strncmp(name, "val_", 4) == 0) name += 4;
    while (i < training->log_count && strcmp(training->log_names[i], name) != 0) i++;
    return i;
}

/* What the compiler says of it; 0: it does not know. */
static int better_of(const kt_abi_training *training, const char *name) {
    size_t i = find_log(training, name);
    return i < training->log_count ? training->log_betters[i] : 0;
}

static bool is_vector(const kt_abi_training *training, const char *name) {
    size_t i = find_log(training, name);
    return i < training->log_count && training->log_sizes[i];
}

int kt_monitor_begin(kt_monitor *monitor, const kt_program *program, const char *option) {
    monitor->min_delta = fabs(monitor->min_delta);
    if (is_vector(program->training, monitor->name))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: '%s' is a list of numbers, which cannot be compared.",
                           option, monitor->name);
    if (!strcmp(monitor->mode, "min") || !strcmp(monitor->mode, "max")) {
        monitor->better = strcmp(monitor->mode, "max") == 0 ? 1 : -1;
        return 0;
    }
    if (strcmp(monitor->mode, "auto") != 0)
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: mode must be auto, min or max, not '%s'.", option,
                           monitor->mode);
    monitor->better = better_of(program->training, monitor->name);
    if (monitor->better) return 0;
    return kt_cli_fail(program, KT_EXIT_USAGE,
                       "%s: whether '%s' is better high or low is not known; say mode=max or mode=min.",
                       option, monitor->name);
}

bool kt_monitor_exceeds(const kt_monitor *monitor, double value, double than) {
    float number = (float)(value - monitor->better * monitor->min_delta);
    return monitor->better > 0 ? number > (float)than : number < (float)than;
}

bool kt_monitor_improves(const kt_monitor *monitor, double value) {
    return !monitor->has_best || kt_monitor_exceeds(monitor, value, monitor->best);
}

bool kt_monitor_find(kt_monitor *monitor, const kt_program *program, const kt_log *logs, size_t count,
                     double *out_value) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(logs[i].name, monitor->name) != 0) continue;
        *out_value = logs[i].value;
        return true;
    }
    if (!monitor->warned)
        (void)fprintf(stderr, "%s: warning: There is no log '%s' to monitor.\n", program->name,
                      monitor->name);
    monitor->warned = true;
    return false;
}
