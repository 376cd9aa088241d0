/* Steps: an entry of the program run over samples, batch by batch. */
#include "runtime/labels.h"
#include "runtime/train/train_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int kt_steps_init(kt_steps *steps, kt_context *context, const kt_program *program, const kt_dataset *dataset,
                  const char *name, int64_t first, int64_t end, int64_t batch_size) {
    const kt_feeds *feeds = &dataset->feeds;
    char full[64];
    (void)snprintf(full, sizeof full, "%s%s", name, dataset->weighted ? "_weighted" : "");
    const kt_abi_entry *entry = kt_cli_find_entry(program, full);
    *steps = (kt_steps){.program = program,
                        .context = context,
                        .dataset = dataset,
                        .first = first,
                        .end = end,
                        .batch_size = end - first < batch_size ? end - first : batch_size};
    if (feeds->fixed) steps->batch_size = feeds->step;
    if (!entry) return kt_cli_fail(program, KT_EXIT_FAILED, "This program has no entry '%s'.", full);
    steps->entry = (uint32_t)(entry - program->entries);
    if (end <= first) return kt_cli_fail(program, KT_EXIT_FAILED, "There are no samples for '%s'.", name);
    if (feeds->fixed && (end - first) % feeds->step)
        return kt_cli_fail(
            program, KT_EXIT_FAILED,
            "The program was compiled for batches of %lld samples, and %lld samples are no whole "
            "number of them; compile it without --batch.",
            (long long)feeds->step, (long long)(end - first));
    steps->batch = calloc(entry->input_count + 1, sizeof *steps->batch);
    steps->inputs = calloc(entry->input_count + 1, sizeof *steps->inputs);
    steps->symbols = calloc(entry->symbol_count + 1, sizeof *steps->symbols);
    steps->logs = calloc(program->training->log_count + 1, sizeof *steps->logs);
    if (!steps->batch || !steps->inputs || !steps->symbols || !steps->logs) return kt_feeds_no_memory(feeds);
    memcpy(steps->symbols, feeds->symbols, entry->symbol_count * sizeof *steps->symbols);
    return 0;
}

void kt_steps_deinit(kt_steps *steps) {
    const kt_abi_entry *entry = &steps->program->entries[steps->entry];
    for (uint32_t i = 0; steps->batch && i < entry->input_count; i++) free(steps->batch[i]);
    free(steps->batch);
    free((void *)steps->inputs);
    free(steps->symbols);
    free(steps->logs);
}

int64_t kt_steps_count(const kt_steps *steps) {
    return (steps->end - steps->first + steps->batch_size - 1) / steps->batch_size;
}

/* Reads labels as they are stored, since what is no class may be one once it is converted. */
static int read_labels(kt_steps *steps, uint32_t i, const int64_t *order, int64_t at, int64_t count) {
    const kt_feeds *feeds = &steps->dataset->feeds;
    const kt_feed *feed = &feeds->at[i];
    const int32_t stored = kt_stream_dtype(feed->stream), wanted = feed->buffer.dtype;
    int64_t elements = 1;
    char error[KT_IO_ERROR];
    for (int axis = 1; axis < feed->buffer.rank; axis++) elements *= feed->buffer.dims[axis];
    const kt_label_rows rows = {feed->path, elements, at, order};
    void *labels = malloc((size_t)(count * elements) * kt_abi_dtype_bytes(stored) + 1);
    if (!labels) return kt_feeds_no_memory(feeds);
    bool failed =
        kt_stream_read(feed->stream, order, at, count, stored, labels, error) ||
        kt_labels_check(feeds->entry->inputs[i].labels, &rows, labels, stored, count * elements, error);
    if (!failed) kt_elements_convert(labels, stored, steps->batch[i], wanted, (size_t)(count * elements));
    free(labels);
    return failed ? kt_cli_fail(steps->program, KT_EXIT_FAILED, "%s", error) : 0;
}

/* Points input number i to its rows at positions [at, at + count), together. */
static int gather(kt_steps *steps, uint32_t i, int64_t at, int64_t count) {
    const kt_feeds *feeds = &steps->dataset->feeds;
    const kt_buffer *buffer = &feeds->at[i].buffer;
    kt_stream *stream = feeds->at[i].stream;
    size_t row = (size_t)(buffer->capacity / buffer->dims[0]);
    const char *rows = buffer->data;
    const int64_t *order = steps->order ? steps->order + (at - steps->first) : NULL;
    char error[KT_IO_ERROR];
    if (!order && !stream) {
        steps->inputs[i] = rows + (size_t)at * row;
        return 0;
    }
    if (!steps->batch[i]) steps->batch[i] = malloc(row * (size_t)steps->batch_size + 1);
    if (!steps->batch[i]) return kt_feeds_no_memory(feeds);
    steps->inputs[i] = steps->batch[i];
    if (stream && feeds->entry->inputs[i].labels) return read_labels(steps, i, order, at, count);
    if (stream && kt_stream_read(stream, order, at, count, buffer->dtype, steps->batch[i], error))
        return kt_cli_fail(steps->program, KT_EXIT_FAILED, "%s", error);
    for (int64_t k = 0; k < count && !stream; k++)
        memcpy((char *)steps->batch[i] + (size_t)k * row, rows + (size_t)order[k] * row, row);
    return 0;
}

int kt_steps_run(kt_steps *steps, int64_t i) {
    const kt_abi_entry *entry = &steps->program->entries[steps->entry];
    int64_t at = steps->first + i * steps->batch_size;
    int64_t count = steps->end - at < steps->batch_size ? steps->end - at : steps->batch_size;
    for (uint32_t k = 0; k < entry->input_count; k++) {
        int status = gather(steps, k, at, count);
        if (status) return status;
    }
    int sample = kt_cli_sample_symbol(entry);
    if (sample >= 0) steps->symbols[sample] = count;
    void *outputs[] = {steps->logs};
    if (kt_context_call(steps->context, steps->entry, steps->symbols, steps->inputs, outputs) == 0) return 0;
    return kt_cli_fail(steps->program, KT_EXIT_FAILED, "%s", kt_context_error(steps->context));
}
