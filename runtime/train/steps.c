/* Steps: an entry of the program run over samples, batch by batch. */
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
                        .asked = -1,
                        .batch_size = end - first < batch_size ? end - first : batch_size};
    if (feeds->fixed) steps->batch_size = feeds->step;
    if (!entry) return kt_cli_fail(program, KT_EXIT_FAILED, "This program has no entry '%s'.", full);
    steps->entry = (uint32_t)(entry - program->entries);
    if (end <= first)
        return kt_cli_fail(program, KT_EXIT_FAILED, "There are no samples to %s.",
                           strcmp(name, "train_step") == 0 ? "train on" : "evaluate");
    if (feeds->fixed && (end - first) % feeds->step)
        return kt_cli_fail(
            program, KT_EXIT_FAILED,
            "The program was compiled for batches of %lld samples, and %lld samples are no whole "
            "number of them; compile it without --batch.",
            (long long)feeds->step, (long long)(end - first));
    int failed = 0;
    for (int k = 0; k < 2; k++) failed |= kt_batch_init(&steps->batches[k], entry->input_count);
    steps->symbols = calloc(entry->symbol_count + 1, sizeof *steps->symbols);
    steps->logs = calloc(program->training->log_count + 1, sizeof *steps->logs);
    if (failed || !steps->symbols || !steps->logs) return kt_feeds_no_memory(feeds);
    memcpy(steps->symbols, feeds->symbols, entry->symbol_count * sizeof *steps->symbols);
    return 0;
}

void kt_steps_deinit(kt_steps *steps) {
    const kt_abi_entry *entry = &steps->program->entries[steps->entry];
    kt_reader_destroy(steps->reader);
    for (int k = 0; k < 2; k++) kt_batch_deinit(&steps->batches[k], entry->input_count);
    free(steps->symbols);
    free(steps->logs);
}

int64_t kt_steps_count(const kt_steps *steps) {
    return (steps->end - steps->first + steps->batch_size - 1) / steps->batch_size;
}

void kt_steps_settle(kt_steps *steps) {
    if (steps->reader && steps->asked >= 0) (void)kt_reader_wait(steps->reader);
    steps->asked = -1;
}

/* The batch of step i, which may have been asked for; the next is, as it takes the place of the last. */
static int take_batch(kt_steps *steps, int64_t i, kt_batch **out_batch) {
    kt_batch *batch = *out_batch = &steps->batches[i % 2];
    if (!steps->begun && kt_batches_need_thread(steps)) steps->reader = kt_reader_create(steps);
    steps->begun = true;
    bool asked = steps->reader && steps->asked == i;
    if (!asked) kt_steps_settle(steps);
    int failed = asked ? kt_reader_wait(steps->reader) : kt_batch_gather(steps, batch, i);
    steps->asked = -1;
    if (failed) return kt_cli_fail(steps->program, KT_EXIT_FAILED, "%s", batch->error);
    if (!steps->reader || i + 1 >= kt_steps_count(steps)) return 0;
    steps->asked = i + 1;
    kt_reader_ask(steps->reader, &steps->batches[(i + 1) % 2], i + 1);
    return 0;
}

int kt_steps_run(kt_steps *steps, int64_t i) {
    const kt_abi_entry *entry = &steps->program->entries[steps->entry];
    kt_batch *batch;
    int status = take_batch(steps, i, &batch);
    if (status) return status;
    int sample = kt_cli_sample_symbol(entry);
    if (sample >= 0) steps->symbols[sample] = batch->samples;
    void *outputs[] = {steps->logs};
    if (kt_context_call(steps->context, steps->entry, steps->symbols, batch->inputs, outputs) == 0) return 0;
    return kt_cli_fail(steps->program, KT_EXIT_FAILED, "%s", kt_context_error(steps->context));
}
