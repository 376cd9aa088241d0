/* What metrics are called in logs, as Keras's CompileMetrics calls them. */
#include "frontend/metrics/metrics_impl.h"

#include <string.h>

/* How often each name was asked for: Keras counts names as they are asked for, not as they come out. */
static const char *take(kt_arena *arena, kt_table *counts, const char *name) {
    uint32_t *count = kt_table_add(counts, arena, name, strlen(name), 0);
    uint32_t before = (*count)++;
    return before ? kt_arena_format(arena, "%s_%u", name, before) : name;
}

static const char *prefix(kt_arena *arena, const char *output, const char *name) {
    return output ? kt_arena_format(arena, "%s_%s", output, name) : name;
}

void kt_metric_log_names(kt_arena *arena, kt_metric_log *logs, uint32_t count) {
    kt_table counts = {0};
    for (uint32_t i = 0; i < count; i++) {
        kt_metric_log *log = &logs[i];
        log->name = prefix(arena, log->output, log->metric->name);
        if (log->weighted && kt_table_find(&counts, log->name, strlen(log->name)))
            log->name = prefix(arena, log->output, kt_arena_format(arena, "weighted_%s", log->metric->name));
        log->name = take(arena, &counts, log->name);
    }
}
