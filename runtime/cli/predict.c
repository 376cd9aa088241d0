/* The verb predict: files to inputs, runs, outputs to files.
 *
 * Which dimensions of an entry are numbers, which are a symbol, and along which one samples can be cut into
 * batches, is found by evaluating the entry's dimensions for two tuples of symbols and looking what changes.
 */
#include "runtime/cli/cli_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An input of the entry, and what was found for it. */
struct feed {
    const char *path;
    kt_buffer buffer; /* data NULL: not fed yet */
};

struct job {
    const kt_program *program;
    const kt_abi_entry *entry;
    kt_context *context;
    struct feed *feeds;
    kt_array *results;
    int64_t *symbols, *values;
    int64_t *low, *high; /* the values for two tuples that differ in every symbol */
    int64_t samples, step;
    bool batched; /* all first dimensions count samples, and nothing else depends on how many there are */
    bool fixed;   /* their number is fixed in the program: `step` */
};

enum { LOW_SYMBOL = 1000003, HIGH_SYMBOL = 2000003 };

#define FAIL(job, ...) kt_cli_fail((job)->program, KT_EXIT_FAILED, __VA_ARGS__)
static int no_memory(const struct job *job) { return FAIL(job, "There is not enough memory."); }

static bool is_number(const struct job *job, uint32_t value) { return job->low[value] == job->high[value]; }

/* Which symbol a value is, or -1. */
static int symbol_of(const struct job *job, uint32_t value) {
    for (uint32_t i = 0; i < job->entry->symbol_count; i++) {
        if (job->low[value] == LOW_SYMBOL + i && job->high[value] == HIGH_SYMBOL + 2 * (int64_t)i)
            return (int)i;
    }
    return -1;
}

/* Evaluates every dimension for two tuples, and decides how samples are cut into batches. */
static void probe(struct job *job, int64_t batch_size) {
    const kt_abi_entry *entry = job->entry;
    int sample = kt_cli_sample_symbol(entry);
    for (uint32_t i = 0; i < entry->symbol_count; i++) job->symbols[i] = LOW_SYMBOL + i;
    entry->bind(job->symbols, job->low);
    if (sample >= 0) job->symbols[sample] = HIGH_SYMBOL;
    entry->bind(job->symbols, job->high);
    job->batched = entry->input_count > 0 && entry->output_count > 0 && entry->inputs[0].rank > 0;
    uint32_t first = job->batched ? entry->inputs[0].dims[0] : 0;
    job->fixed = job->batched && is_number(job, first);
    for (uint32_t i = 0; job->batched && i < entry->input_count + entry->output_count; i++) {
        const kt_abi_tensor *tensor =
            i < entry->input_count ? &entry->inputs[i] : &entry->outputs[i - entry->input_count];
        if (tensor->rank == 0 || job->low[tensor->dims[0]] != job->low[first] ||
            job->high[tensor->dims[0]] != job->high[first]) {
            job->batched = false;
        }
        for (int axis = 1; axis < tensor->rank; axis++)
            job->batched &= is_number(job, tensor->dims[axis]) != 0;
    }
    job->fixed &= job->batched;
    job->step = job->fixed ? job->low[first] : batch_size;
    for (uint32_t i = 0; i < entry->symbol_count; i++) job->symbols[i] = HIGH_SYMBOL + 2 * (int64_t)i;
    entry->bind(job->symbols, job->high);
    if (job->fixed && !is_number(job, first)) job->fixed = job->batched = false;
}

/* ---- inputs ------------------------------------------------------------------------------------------ */

static void append(char *text, size_t room, const char *more) {
    size_t used = strlen(text);
    (void)snprintf(text + used, room - used, "%s", more);
}

enum { SHAPE_TEXT = 256 };

static void found_shape(const kt_buffer *buffer, char text[SHAPE_TEXT]) {
    char number[32];
    text[0] = '\0';
    for (int i = 0; i < buffer->rank; i++) {
        (void)snprintf(number, sizeof number, i ? ", %lld" : "%lld", (long long)buffer->dims[i]);
        append(text, SHAPE_TEXT, number);
    }
}

static void expected_shape(const struct job *job, const kt_abi_tensor *input, char text[SHAPE_TEXT]) {
    char number[32];
    text[0] = '\0';
    for (int i = 0; i < input->rank; i++) {
        int symbol = symbol_of(job, input->dims[i]);
        (void)snprintf(number, sizeof number, "%lld", (long long)job->low[input->dims[i]]);
        if (i) append(text, SHAPE_TEXT, ", ");
        bool any = (i == 0 && job->fixed) || (symbol < 0 && !is_number(job, input->dims[i]));
        append(text, SHAPE_TEXT, any ? "any" : symbol >= 0 ? job->entry->symbols[symbol].name : number);
    }
}

static int wrong_shape(const struct job *job, const struct feed *feed, const kt_abi_tensor *input) {
    char found[SHAPE_TEXT], expected[SHAPE_TEXT];
    found_shape(&feed->buffer, found);
    expected_shape(job, input, expected);
    return FAIL(job, "%s: The input '%s' has the shape [%s], but [%s] is expected.", feed->path, input->name,
                found, expected);
}

/* Gives the rows of a CSV file the input's dimensions; at most one of those behind the first may be open. */
static void shape_rows(const struct job *job, struct feed *feed, const kt_abi_tensor *input) {
    kt_buffer *buffer = &feed->buffer;
    int64_t dims[KT_MAX_RANK] = {buffer->dims[0]}, known = 1;
    int open = 0;
    for (int axis = 1; axis < input->rank; axis++) {
        dims[axis] = job->low[input->dims[axis]];
        if (!is_number(job, input->dims[axis])) {
            if (open) return;
            open = axis;
        } else if (__builtin_mul_overflow(known, dims[axis], &known)) {
            return;
        }
    }
    if (input->rank == 0 || known == 0 || buffer->dims[1] % known != 0) return;
    if (open) dims[open] = buffer->dims[1] / known;
    if (!open && buffer->dims[1] != known) return;
    buffer->rank = input->rank;
    memcpy(buffer->dims, dims, sizeof dims);
}

static int feed_array(struct job *job, uint32_t index, const char *path, kt_array *array, bool flat) {
    const kt_abi_tensor *input = &job->entry->inputs[index];
    struct feed *feed = &job->feeds[index];
    if (feed->buffer.data)
        return kt_cli_fail(job->program, KT_EXIT_USAGE, "The input '%s' is given twice.", input->name);
    *feed = (struct feed){path, array->buffer};
    array->buffer.data = NULL;
    if (flat) shape_rows(job, feed, input);
    if (feed->buffer.rank != input->rank) return wrong_shape(job, feed, input);
    for (int axis = job->fixed ? 1 : 0; axis < input->rank; axis++) {
        if (is_number(job, input->dims[axis]) && feed->buffer.dims[axis] != job->low[input->dims[axis]]) {
            return wrong_shape(job, feed, input);
        }
    }
    if (feed->buffer.dtype == input->dtype) return 0;
    if (feed->buffer.dtype == KT_C64)
        return FAIL(job, "%s: The input '%s' holds complex numbers, but %s is expected.", path, input->name,
                    kt_abi_dtype_name(input->dtype));
    kt_buffer converted;
    if (kt_buffer_convert(&feed->buffer, input->dtype, &converted)) {
        return FAIL(job, "%s: The input '%s' cannot be converted to %s.", path, input->name,
                    kt_abi_dtype_name(input->dtype));
    }
    free(feed->buffer.data);
    feed->buffer = converted;
    return 0;
}

/* The array of a name; if any will do, also the only one. */
static kt_array *choose_array(kt_arrays *arrays, const char *name, bool any) {
    for (size_t i = 0; i < arrays->count; i++) {
        if (arrays->at[i].name && strcmp(arrays->at[i].name, name) == 0) return &arrays->at[i];
    }
    return any && arrays->count == 1 ? &arrays->at[0] : NULL;
}

static int feed_file(struct job *job, const char *text) {
    const kt_abi_entry *entry = job->entry;
    kt_arrays arrays;
    char error[KT_IO_ERROR];
    const char *path = NULL;
    uint32_t only = 0;
    for (uint32_t i = 0; i < entry->input_count && !path; i++) {
        path = kt_cli_after_name(text, entry->inputs[i].name);
        only = i;
    }
    bool named = path || entry->input_count == 1;
    if (!path) path = text;
    if (kt_arrays_read(path, &arrays, error)) return FAIL(job, "%s", error);
    int status = 0;
    for (uint32_t i = 0; i < entry->input_count && status == 0; i++) {
        if (named && i != only) continue;
        const char *name = entry->inputs[i].name;
        kt_array *array = choose_array(&arrays, name, named);
        if (array) {
            status = feed_array(job, i, path, array, arrays.flat);
        } else if (named) {
            status = FAIL(job, "%s: There is no array '%s' in it.", path, name);
        } else if (!arrays.at[0].name) {
            status = kt_cli_fail(job->program, KT_EXIT_USAGE,
                                 "There are several inputs; say for which one the file is: --input %s=%s.",
                                 name, path);
        }
    }
    kt_arrays_deinit(&arrays);
    return status;
}

static int read_inputs(struct job *job, const kt_cli_options *options) {
    const kt_abi_entry *entry = job->entry;
    for (int i = 0; i < options->input_count; i++) {
        int status = feed_file(job, options->inputs[i]);
        if (status) return status;
    }
    for (uint32_t i = 0; i < entry->input_count; i++) {
        if (job->feeds[i].buffer.data) continue;
        return kt_cli_fail(job->program, KT_EXIT_USAGE,
                           "The input '%s' is missing; give it with --input %s%sFILE.", entry->inputs[i].name,
                           entry->input_count > 1 ? entry->inputs[i].name : "",
                           entry->input_count > 1 ? "=" : "");
    }
    if (job->batched) job->samples = job->feeds[0].buffer.dims[0];
    for (uint32_t i = 1; i < entry->input_count && job->batched; i++) {
        const struct feed *feed = &job->feeds[i];
        if (feed->buffer.dims[0] == job->samples) continue;
        return FAIL(job, "%s: The input '%s' has %lld samples, but '%s' has %lld.", feed->path,
                    entry->inputs[i].name, (long long)feed->buffer.dims[0], entry->inputs[0].name,
                    (long long)job->samples);
    }
    for (uint32_t i = 0; i < entry->symbol_count; i++) {
        job->symbols[i] = job->feeds[entry->symbols[i].input].buffer.dims[entry->symbols[i].axis];
    }
    entry->bind(job->symbols, job->values);
    for (uint32_t i = 0; i < entry->input_count; i++) {
        for (int axis = job->fixed ? 1 : 0; axis < entry->inputs[i].rank; axis++) {
            if (job->feeds[i].buffer.dims[axis] != job->values[entry->inputs[i].dims[axis]]) {
                return wrong_shape(job, &job->feeds[i], &entry->inputs[i]);
            }
        }
    }
    return 0;
}

/* ---- runs -------------------------------------------------------------------------------------------- */

static int make_results(struct job *job) {
    for (uint32_t i = 0; i < job->entry->output_count; i++) {
        const kt_abi_tensor *output = &job->entry->outputs[i];
        kt_array *result = &job->results[i];
        int64_t bytes = (int64_t)kt_abi_dtype_bytes(output->dtype);
        result->name = (char *)output->name;
        result->buffer.dtype = output->dtype;
        result->buffer.rank = output->rank;
        for (int axis = 0; axis < output->rank; axis++) {
            int64_t dim = axis == 0 && job->fixed ? job->samples : job->values[output->dims[axis]];
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
    uint32_t index = (uint32_t)(job->entry - job->program->entries);
    if (kt_context_call(job->context, index, job->symbols, inputs, outputs) == 0) return 0;
    return FAIL(job, "%s", kt_context_error(job->context));
}

/* Bytes of one sample. */
static int64_t row_bytes(const struct job *job, const kt_buffer *buffer) {
    return job->samples ? buffer->capacity / job->samples : 0;
}

/* The last samples of a program whose batch is fixed: through copies that are filled up with zeros. */
static int call_padded(struct job *job, int64_t first, const void **inputs, void **outputs) {
    const kt_abi_entry *entry = job->entry;
    int64_t count = job->samples - first;
    int status = 0;
    for (uint32_t i = 0; i < entry->input_count; i++) {
        int64_t bytes = row_bytes(job, &job->feeds[i].buffer);
        void *padded = calloc((size_t)job->step, (size_t)bytes + 1);
        if (padded) memcpy(padded, inputs[i], (size_t)(count * bytes));
        inputs[i] = padded;
        if (!padded && !status) status = no_memory(job);
    }
    for (uint32_t i = 0; i < entry->output_count; i++) {
        outputs[i] = malloc((size_t)(job->step * row_bytes(job, &job->results[i].buffer)) + 1);
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
    const kt_abi_entry *entry = job->entry;
    int sample = kt_cli_sample_symbol(entry);
    int64_t total = job->batched ? job->samples : 1, step = job->batched ? job->step : 1;
    for (int64_t first = 0; first < total; first += step) {
        int64_t count = total - first < step ? total - first : step;
        for (uint32_t i = 0; i < entry->input_count; i++) {
            inputs[i] = (char *)job->feeds[i].buffer.data + first * row_bytes(job, &job->feeds[i].buffer);
        }
        for (uint32_t i = 0; i < entry->output_count; i++) {
            outputs[i] =
                (char *)job->results[i].buffer.data + first * row_bytes(job, &job->results[i].buffer);
        }
        if (job->batched && !job->fixed) job->symbols[sample] = count;
        bool padded = job->fixed && count < step;
        int status = padded ? call_padded(job, first, inputs, outputs) : call(job, inputs, outputs);
        if (status) return status;
    }
    return 0;
}

/* ---- outputs ----------------------------------------------------------------------------------------- */

static int write_results(const struct job *job, const kt_cli_options *options) {
    char error[KT_IO_ERROR];
    const char *const standard_output[] = {"-"};
    const char *const *texts = options->output_count ? options->outputs : standard_output;
    int count = options->output_count ? options->output_count : 1;
    for (int i = 0; i < count; i++) {
        const kt_array *first = job->results;
        size_t arrays = job->entry->output_count;
        const char *path = texts[i];
        for (uint32_t j = 0; j < job->entry->output_count; j++) {
            const char *named = kt_cli_after_name(texts[i], job->entry->outputs[j].name);
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
    const kt_abi_entry *entry = job->entry;
    probe(job, options->batch_size);
    int status = read_inputs(job, options);
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
    struct job job = {.program = program, .entry = kt_cli_find_entry(program, "predict")};
    const kt_abi_entry *entry = job.entry;
    char error[256];
    if (!entry) return kt_cli_fail(program, KT_EXIT_FAILED, "This program cannot predict.");
    int threads = (int)(options->threads < INT32_MAX ? options->threads : INT32_MAX);
    job.context = kt_context_create_from(program, threads, options->weights, error);
    if (!job.context) return FAIL(&job, "%s", error);
    kt_profile *profile;
    int status = kt_cli_profile_begin(job.context, program, options, &profile);
    job.feeds = calloc(entry->input_count + 1, sizeof *job.feeds);
    job.results = calloc(entry->output_count + 1, sizeof *job.results);
    size_t values = (size_t)entry->value_count + 1;
    int64_t *numbers = calloc(3 * values + entry->symbol_count, sizeof *numbers);
    job.values = numbers;
    if (status == KT_EXIT_DONE && job.feeds && job.results && numbers) {
        job.low = numbers + values;
        job.high = job.low + values;
        job.symbols = job.high + values;
        status = predict(&job, options);
    } else if (status == KT_EXIT_DONE) {
        status = no_memory(&job);
    }
    status = kt_cli_profile_end(profile, program, options, status);
    for (uint32_t i = 0; job.feeds && i < entry->input_count; i++) free(job.feeds[i].buffer.data);
    for (uint32_t i = 0; job.results && i < entry->output_count; i++) free(job.results[i].buffer.data);
    free(job.feeds);
    free(job.results);
    free(numbers);
    kt_context_destroy(job.context);
    return status;
}
