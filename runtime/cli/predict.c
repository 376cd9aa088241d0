/* The verb predict: files to inputs, runs, outputs to files. */
#include "runtime/cli/cli_impl.h"
#include "runtime/cli/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    kt_feeds feeds;
    kt_context *context;
    kt_array *results;
};

#define FAIL(job, ...) kt_cli_fail((job)->feeds.program, KT_EXIT_FAILED, __VA_ARGS__)
static int no_memory(const struct job *job) { return kt_feeds_no_memory(&job->feeds); }

/* ---- runs ------------------------------------------------------------------------------------ */

static int make_results(struct job *job) {
    for (uint32_t i = 0; i < job->feeds.entry->output_count; i++) {
        const kt_abi_tensor *output = &job->feeds.entry->outputs[i];
        kt_array *result = &job->results[i];
        int64_t bytes = (int64_t)kt_abi_dtype_bytes(output->dtype);
        result->name = (char *)output->name;
        result->buffer.dtype = output->dtype;
        result->buffer.rank = output->rank;
        for (int axis = 0; axis < output->rank; axis++) {
            int64_t dim =
                axis == 0 && job->feeds.fixed ? job->feeds.samples : job->feeds.values[output->dims[axis]];
            result->buffer.dims[axis] = dim;
            if (__builtin_mul_overflow(bytes, dim, &bytes) || bytes > PTRDIFF_MAX / 2) return no_memory(job);
        }
        result->buffer.capacity = bytes;
        result->buffer.data = malloc((size_t)bytes + 1);
        if (!result->buffer.data) return no_memory(job);
    }
    return 0;
}

static int call(struct job *job, const void *const *inputs, void *const *outputs) {
    uint32_t index = (uint32_t)(job->feeds.entry - job->feeds.program->entries);
    if (kt_context_call(job->context, index, job->feeds.symbols, inputs, outputs) == 0) return 0;
    return FAIL(job, "%s", kt_context_error(job->context));
}

/* Bytes of one sample. */
static int64_t row_bytes(const struct job *job, const kt_buffer *buffer) {
    return job->feeds.samples ? buffer->capacity / job->feeds.samples : 0;
}

/* The last samples of a program whose batch is fixed: through copies that are filled up with zeros. */
static int call_padded(struct job *job, int64_t first, const void **inputs, void **outputs) {
    const kt_abi_entry *entry = job->feeds.entry;
    int64_t count = job->feeds.samples - first;
    int status = 0;
    for (uint32_t i = 0; i < entry->input_count; i++) {
        int64_t bytes = row_bytes(job, &job->feeds.at[i].buffer);
        void *padded = calloc((size_t)job->feeds.step, (size_t)bytes + 1);
        if (padded) memcpy(padded, inputs[i], (size_t)(count * bytes));
        inputs[i] = padded;
        if (!padded && !status) status = no_memory(job);
    }
    for (uint32_t i = 0; i < entry->output_count; i++) {
        outputs[i] = malloc((size_t)(job->feeds.step * row_bytes(job, &job->results[i].buffer)) + 1);
        if (!outputs[i] && !status) status = no_memory(job);
    }
    if (status == 0) status = call(job, inputs, outputs);
    for (uint32_t i = 0; i < entry->output_count; i++) {
        const kt_buffer *result = &job->results[i].buffer;
        int64_t bytes = row_bytes(job, result);
        if (status == 0) memcpy((char *)result->data + first * bytes, outputs[i], (size_t)(count * bytes));
        free(outputs[i]);
    }
    for (uint32_t i = 0; i < entry->input_count; i++) free((void *)inputs[i]);
    return status;
}

static int run(struct job *job, const void **inputs, void **outputs) {
    const kt_abi_entry *entry = job->feeds.entry;
    int sample = kt_cli_sample_symbol(entry);
    int64_t total = job->feeds.batched ? job->feeds.samples : 1,
            step = job->feeds.batched ? job->feeds.step : 1;
    for (int64_t first = 0; first < total; first += step) {
        int64_t count = total - first < step ? total - first : step;
        for (uint32_t i = 0; i < entry->input_count; i++) {
            inputs[i] =
                (char *)job->feeds.at[i].buffer.data + first * row_bytes(job, &job->feeds.at[i].buffer);
        }
        for (uint32_t i = 0; i < entry->output_count; i++) {
            outputs[i] =
                (char *)job->results[i].buffer.data + first * row_bytes(job, &job->results[i].buffer);
        }
        if (job->feeds.batched && !job->feeds.fixed) job->feeds.symbols[sample] = count;
        bool padded = job->feeds.fixed && count < step;
        int status = padded ? call_padded(job, first, inputs, outputs) : call(job, inputs, outputs);
        if (status) return status;
    }
    return 0;
}

/* ---- outputs --------------------------------------------------------------------------------- */

static int write_results(const struct job *job, const kt_cli_options *options) {
    char error[KT_IO_ERROR];
    const char *const standard_output[] = {"-"};
    const char *const *texts = options->output_count ? options->outputs : standard_output;
    int count = options->output_count ? options->output_count : 1;
    for (int i = 0; i < count; i++) {
        const kt_array *first = job->results;
        size_t arrays = job->feeds.entry->output_count;
        const char *path = texts[i];
        for (uint32_t j = 0; j < job->feeds.entry->output_count; j++) {
            const char *named = kt_cli_after_name(texts[i], job->feeds.entry->outputs[j].name);
            if (!named) continue;
            first = &job->results[j];
            arrays = 1;
            path = named;
            break;
        }
        if (kt_arrays_write(path, first, arrays, error)) return FAIL(job, "%s", error);
    }
    return 0;
}

static int predict(struct job *job, const kt_cli_options *options) {
    const kt_abi_entry *entry = job->feeds.entry;
    const kt_feed_group all = {0, entry->input_count, "--input", ""};
    int status = kt_feeds_read(&job->feeds, &all, options->inputs, options->input_count);
    if (status == 0) status = kt_feeds_settle(&job->feeds);
    if (status == 0) status = make_results(job);
    if (status) return status;
    const void **inputs = calloc(entry->input_count + 1, sizeof *inputs);
    void **outputs = calloc(entry->output_count + 1, sizeof *outputs);
    status = inputs && outputs ? run(job, inputs, outputs) : no_memory(job);
    free(inputs);
    free(outputs);
    return status ? status : write_results(job, options);
}

int kt_cli_predict(const kt_program *program, const kt_cli_options *options) {
    struct job job = {0};
    const kt_abi_entry *entry = kt_cli_find_entry(program, "predict");
    if (!entry) return kt_cli_fail(program, KT_EXIT_FAILED, "This program cannot predict.");
    int status = kt_cli_create_context(program, options->threads, options->weights, &job.context);
    if (status) return status;
    kt_profile *profile;
    status = kt_cli_profile_begin(job.context, program, options, &profile);
    if (status == KT_EXIT_DONE) {
        status = kt_feeds_init(&job.feeds, program, entry, options->batch_size, true);
        job.results = calloc(entry->output_count + 1, sizeof *job.results);
        if (status == 0 && !job.results) status = no_memory(&job);
        if (status == 0) status = predict(&job, options);
        kt_feeds_deinit(&job.feeds);
    }
    status = kt_cli_profile_end(profile, program, options, status);
    for (uint32_t i = 0; job.results && i < entry->output_count; i++) free(job.results[i].buffer.data);
    free(job.results);
    kt_context_destroy(job.context);
    return status;
}
