/* Feeding an entry: from files to the buffers of its inputs.
 *
 * Which dimensions of an entry are numbers, which are a symbol, and along which one samples can be cut into
 * batches, is found by evaluating the entry's dimensions for two tuples of symbols and looking what changes.
 */
#include "runtime/cli/feed.h"

#include "runtime/cli/cli_impl.h"
#include "runtime/labels.h"
#include "runtime/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Smaller files are as well read at once. */
static const int64_t streamed_bytes = KT_ROOM(32 << 20, 0);
enum { LOW_SYMBOL = 1000003, HIGH_SYMBOL = 2000003 };

#define FAIL(feeds, ...) kt_cli_fail((feeds)->program, KT_EXIT_FAILED, __VA_ARGS__)
int kt_feeds_no_memory(const kt_feeds *feeds) { return FAIL(feeds, "There is not enough memory."); }

static bool is_number(const kt_feeds *feeds, uint32_t value) {
    return feeds->low[value] == feeds->high[value];
}

/* Which symbol a value is, or -1. */
static int symbol_of(const kt_feeds *feeds, uint32_t value) {
    for (uint32_t i = 0; i < feeds->entry->symbol_count; i++) {
        if (feeds->low[value] == LOW_SYMBOL + i && feeds->high[value] == HIGH_SYMBOL + 2 * (int64_t)i)
            return (int)i;
    }
    return -1;
}

/* Evaluates every dimension for two tuples, and decides how samples are cut into batches. */
static void probe(kt_feeds *feeds, int64_t batch_size, uint32_t output_count) {
    const kt_abi_entry *entry = feeds->entry;
    int sample = kt_cli_sample_symbol(entry);
    for (uint32_t i = 0; i < entry->symbol_count; i++) feeds->symbols[i] = LOW_SYMBOL + i;
    entry->bind(feeds->symbols, feeds->low);
    if (sample >= 0) feeds->symbols[sample] = HIGH_SYMBOL;
    entry->bind(feeds->symbols, feeds->high);
    feeds->batched = entry->input_count > 0 && entry->inputs[0].rank > 0;
    uint32_t first = feeds->batched ? entry->inputs[0].dims[0] : 0;
    feeds->fixed = feeds->batched && is_number(feeds, first);
    for (uint32_t i = 0; feeds->batched && i < entry->input_count + output_count; i++) {
        const kt_abi_tensor *tensor =
            i < entry->input_count ? &entry->inputs[i] : &entry->outputs[i - entry->input_count];
        if (tensor->rank == 0 || feeds->low[tensor->dims[0]] != feeds->low[first] ||
            feeds->high[tensor->dims[0]] != feeds->high[first]) {
            feeds->batched = false;
        }
        for (int axis = 1; axis < tensor->rank; axis++)
            feeds->batched &= is_number(feeds, tensor->dims[axis]) != 0;
    }
    feeds->fixed &= feeds->batched;
    feeds->step = feeds->fixed ? feeds->low[first] : batch_size;
    for (uint32_t i = 0; i < entry->symbol_count; i++) feeds->symbols[i] = HIGH_SYMBOL + 2 * (int64_t)i;
    entry->bind(feeds->symbols, feeds->high);
    if (feeds->fixed && !is_number(feeds, first)) feeds->fixed = feeds->batched = false;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

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

static void expected_shape(const kt_feeds *feeds, const kt_abi_tensor *input, char text[SHAPE_TEXT]) {
    char number[32];
    text[0] = '\0';
    for (int i = 0; i < input->rank; i++) {
        int symbol = symbol_of(feeds, input->dims[i]);
        (void)snprintf(number, sizeof number, "%lld", (long long)feeds->low[input->dims[i]]);
        if (i) append(text, SHAPE_TEXT, ", ");
        bool any = (i == 0 && feeds->fixed) || (symbol < 0 && !is_number(feeds, input->dims[i]));
        append(text, SHAPE_TEXT, any ? "any" : symbol >= 0 ? feeds->entry->symbols[symbol].name : number);
    }
}

static int wrong_shape(const kt_feeds *feeds, const kt_feed *feed, const kt_abi_tensor *input) {
    char found[SHAPE_TEXT], expected[SHAPE_TEXT];
    found_shape(&feed->buffer, found);
    expected_shape(feeds, input, expected);
    return FAIL(feeds, "%s: The input '%s' has the shape [%s], but [%s] is expected.", feed->path,
                input->name, found, expected);
}

/* Gives the rows of a CSV file the input's dimensions; at most one of those behind the first may be open. */
static void shape_rows(const kt_feeds *feeds, kt_feed *feed, const kt_abi_tensor *input) {
    kt_buffer *buffer = &feed->buffer;
    int64_t dims[KT_MAX_RANK] = {buffer->dims[0]}, known = 1;
    int open = 0;
    for (int axis = 1; axis < input->rank; axis++) {
        dims[axis] = feeds->low[input->dims[axis]];
        if (!is_number(feeds, input->dims[axis])) {
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

/* Ones at the end of a shape count for nothing where labels are fed: [n, 1] and [n] are the same. */
static void trim_shape(kt_feed *feed, const kt_abi_tensor *input) {
    kt_buffer *buffer = &feed->buffer;
    while (buffer->rank > input->rank && buffer->rank > 1 && buffer->dims[buffer->rank - 1] == 1)
        buffer->rank--;
    while (buffer->rank < input->rank && buffer->rank > 0) buffer->dims[buffer->rank++] = 1;
}

/* Labels in memory, before their fractions are cut off. */
static int check_labels(const kt_feeds *feeds, const kt_feed *feed, const kt_abi_tensor *input) {
    const kt_buffer *buffer = &feed->buffer;
    kt_label_rows rows = {.path = feed->path, .row_elements = 1};
    char error[KT_IO_ERROR];
    for (int axis = 1; axis < buffer->rank; axis++) rows.row_elements *= buffer->dims[axis];
    int64_t count = buffer->rank ? buffer->dims[0] * rows.row_elements : 1;
    if (!kt_labels_check(input->labels, &rows, buffer->data, buffer->dtype, count, error)) return 0;
    return FAIL(feeds, "%s", error);
}

/* Are there size of what the feed has along an axis, once it is spread? */
static bool has_size(const kt_feed *feed, int axis, int64_t size) {
    return feed->buffer.dims[axis] == size || (feed->spreads && axis > 0 && feed->buffer.dims[axis] == 1);
}

/* Brings what is in a feed to the input's shape and dtype. */
static int fit_feed(kt_feeds *feeds, uint32_t index, const kt_feed_group *group, bool flat) {
    const kt_abi_tensor *input = &feeds->entry->inputs[index];
    kt_feed *feed = &feeds->at[index];
    feed->spreads = group->spreads;
    if (flat) shape_rows(feeds, feed, input);
    if (group->prefix[0]) trim_shape(feed, input);
    if (feed->buffer.rank != input->rank) return wrong_shape(feeds, feed, input);
    for (int axis = feeds->fixed ? 1 : 0; axis < input->rank; axis++) {
        if (is_number(feeds, input->dims[axis]) && !has_size(feed, axis, feeds->low[input->dims[axis]])) {
            return wrong_shape(feeds, feed, input);
        }
    }
    bool numbers = feed->buffer.dtype != KT_C64 && feed->buffer.dtype != KT_STRING;
    if (input->labels && numbers && !feed->stream) {
        int status = check_labels(feeds, feed, input);
        if (status) return status;
    }
    if (feed->buffer.dtype == input->dtype) return 0;
    if (feed->buffer.dtype == KT_C64)
        return FAIL(feeds, "%s: The input '%s' holds complex numbers, but %s is expected.", feed->path,
                    input->name, kt_abi_dtype_name(input->dtype));
    if (feed->stream) {
        int64_t elements = feed->buffer.capacity / (int64_t)kt_abi_dtype_bytes(feed->buffer.dtype);
        feed->buffer.dtype = input->dtype;
        feed->buffer.capacity = elements * (int64_t)kt_abi_dtype_bytes(input->dtype);
        return 0;
    }
    kt_buffer converted;
    if (kt_buffer_convert(&feed->buffer, input->dtype, &converted)) {
        return FAIL(feeds, "%s: The input '%s' cannot be converted to %s.", feed->path, input->name,
                    kt_abi_dtype_name(input->dtype));
    }
    if (!feed->borrowed) free(feed->buffer.data);
    feed->borrowed = false;
    feed->buffer = converted;
    return 0;
}

/* Takes array's data, or the stream that it is the shape of. */
static int feed_array(kt_feeds *feeds, uint32_t index, const kt_feed_group *group, const char *path,
                      kt_array *array, kt_stream **stream, bool flat) {
    kt_feed *feed = &feeds->at[index];
    if (kt_feed_is_fed(feed))
        return kt_cli_fail(feeds->program, KT_EXIT_USAGE, "The input '%s' is given twice.",
                           feeds->entry->inputs[index].name);
    *feed = (kt_feed){.path = path, .buffer = array->buffer, .stream = *stream};
    array->buffer.data = NULL;
    *stream = NULL;
    return fit_feed(feeds, index, group, flat);
}

/* The array of a name; if any will do, also the only one. */
static kt_array *choose_array(kt_arrays *arrays, const char *name, bool any) {
    for (size_t i = 0; i < arrays->count; i++) {
        if (arrays->at[i].name && strcmp(arrays->at[i].name, name) == 0) return &arrays->at[i];
    }
    return any && arrays->count == 1 ? &arrays->at[0] : NULL;
}

/* What users call an input of the group. */
static const char *name_in_group(const kt_feeds *feeds, const kt_feed_group *group, uint32_t input) {
    const char *name = feeds->entry->inputs[input].name;
    size_t length = strlen(group->prefix);
    return strncmp(name, group->prefix, length) == 0 && name[length] ? name + length : name;
}

/* Is it NAME=FILE with a name that there is not? */
static bool names_nothing(const char *text) {
    const size_t length = strcspn(text, "/=");
    return text[length] == '=' && access(text, F_OK) != 0;
}

static int no_such_name(const kt_feeds *feeds, const kt_feed_group *group, const char *text) {
    enum { ROOM = 512 };
    char names[ROOM] = "";
    for (uint32_t i = 0; i < group->count; i++) {
        if (i) append(names, sizeof names, i + 1 < group->count ? "', '" : "' and '");
        append(names, sizeof names, name_in_group(feeds, group, group->first + i));
    }
    return kt_cli_fail(feeds->program, KT_EXIT_USAGE, "%s: There is no input '%.*s' for it, but '%s'.",
                       group->option, (int)strcspn(text, "="), text, names);
}

static int feed_file(kt_feeds *feeds, const kt_feed_group *group, const char *text) {
    kt_arrays arrays = {0};
    kt_array streamed = {0};
    kt_stream *stream = NULL;
    char error[KT_IO_ERROR];
    const char *path = NULL;
    uint32_t only = group->first, end = group->first + group->count;
    for (uint32_t i = group->first; i < end && !path; i++) {
        path = kt_cli_after_name(text, name_in_group(feeds, group, i));
        if (path) only = i;
    }
    bool named = path || group->count == 1;
    if (!path && names_nothing(text)) return no_such_name(feeds, group, text);
    if (!path) path = text;
    if (feeds->streams && named && kt_stream_open(path, streamed_bytes, &stream, &streamed.buffer, error))
        return FAIL(feeds, "%s", error);
    if (!stream && kt_arrays_read(path, &arrays, error)) return FAIL(feeds, "%s", error);
    int status = 0;
    for (uint32_t i = group->first; i < end && status == 0; i++) {
        if (named && i != only) continue;
        const char *name = name_in_group(feeds, group, i);
        kt_array *array = stream ? &streamed : choose_array(&arrays, name, named);
        if (array) {
            status = feed_array(feeds, i, group, path, array, &stream, arrays.flat);
        } else if (named) {
            status = FAIL(feeds, "%s: There is no array '%s' in it.", path, name);
        } else if (!arrays.at[0].name) {
            status = kt_cli_fail(feeds->program, KT_EXIT_USAGE,
                                 "There are several inputs; say for which one the file is: %s %s=%s.",
                                 group->option, name, path);
        }
    }
    kt_stream_close(stream);
    kt_arrays_deinit(&arrays);
    return status;
}

int kt_feeds_read(kt_feeds *feeds, const kt_feed_group *group, const char *const *texts, int count) {
    for (int i = 0; i < count; i++) {
        int status = feed_file(feeds, group, texts[i]);
        if (status) return status;
    }
    for (uint32_t i = group->first; i < group->first + group->count && !group->some; i++) {
        if (kt_feed_is_fed(&feeds->at[i])) continue;
        const char *name = name_in_group(feeds, group, i);
        return kt_cli_fail(feeds->program, KT_EXIT_USAGE,
                           "The input '%s' is missing; give it with %s %s%sFILE.", name, group->option,
                           group->count > 1 ? name : "", group->count > 1 ? "=" : "");
    }
    return 0;
}

int kt_feeds_give(kt_feeds *feeds, const kt_feed_group *group, const kt_buffer *arrays, int count,
                  kt_feed_source source) {
    const char *option = group->option + strspn(group->option, "-");
    if (count < 0 || (uint32_t)count != group->count)
        return FAIL(feeds, "There are %d arrays for %s, but %u are expected.", count, option,
                    (unsigned)group->count);
    for (uint32_t i = 0; i < group->count; i++) {
        kt_feed *feed = &feeds->at[group->first + i];
        if (group->some && !arrays[i].data && arrays[i].rank == 0) continue;
        *feed = (kt_feed){.path = option, .buffer = arrays[i], .borrowed = true};
        int64_t elements = arrays[i].rank >= 0 && arrays[i].rank <= KT_MAX_RANK;
        for (int axis = 0; elements > 0 && axis < arrays[i].rank; axis++)
            if (arrays[i].dims[axis] < 1 || __builtin_mul_overflow(elements, arrays[i].dims[axis], &elements))
                elements = 0;
        size_t bytes = kt_abi_dtype_bytes(arrays[i].dtype);
        bool asked = !arrays[i].data && source.read && arrays[i].rank > 0;
        if (!(arrays[i].data || asked) || elements < 1 || !bytes)
            return FAIL(feeds, "%s: Array number %u has no elements, or is none of numbers.", option,
                        (unsigned)i);
        feed->buffer.capacity = elements * (int64_t)bytes;
        if (asked)
            feed->stream = kt_stream_from(source.read, source.object, source.first + (int)i, &feed->buffer);
        if (asked && !feed->stream) return kt_feeds_no_memory(feeds);
        int status = fit_feed(feeds, group->first + i, group, false);
        if (status) return status;
    }
    return 0;
}

/* Compares a feed's sizes with the input's, and finds out how far it is spread. */
static int settle(const kt_feeds *feeds, kt_feed *feed, const kt_abi_tensor *input) {
    feed->repeats = 1;
    for (int axis = feeds->fixed ? 1 : 0; axis < input->rank; axis++) {
        int64_t size = feeds->values[input->dims[axis]];
        bool given = feed->buffer.dims[axis] == size;
        if (!has_size(feed, axis, size) || (given && size != 1 && feed->repeats > 1))
            return wrong_shape(feeds, feed, input);
        if (!given) feed->repeats *= size;
    }
    return 0;
}

int kt_feeds_settle(kt_feeds *feeds) {
    const kt_abi_entry *entry = feeds->entry;
    if (feeds->batched) feeds->samples = feeds->at[0].buffer.dims[0];
    for (uint32_t i = 1; i < entry->input_count && feeds->batched; i++) {
        const kt_feed *feed = &feeds->at[i];
        if (feed->buffer.dims[0] == feeds->samples) continue;
        return FAIL(feeds, "%s: The input '%s' has %lld samples, but '%s' has %lld.", feed->path,
                    entry->inputs[i].name, (long long)feed->buffer.dims[0], entry->inputs[0].name,
                    (long long)feeds->samples);
    }
    for (uint32_t i = 0; i < entry->symbol_count; i++) {
        feeds->symbols[i] = feeds->at[entry->symbols[i].input].buffer.dims[entry->symbols[i].axis];
    }
    entry->bind(feeds->symbols, feeds->values);
    int status = 0;
    for (uint32_t i = 0; i < entry->input_count && status == 0; i++)
        status = settle(feeds, &feeds->at[i], &entry->inputs[i]);
    return status;
}

int kt_feeds_init(kt_feeds *feeds, const kt_program *program, const kt_abi_entry *entry, int64_t batch_size,
                  bool outputs) {
    *feeds = (kt_feeds){.program = program, .entry = entry};
    size_t values = (size_t)entry->value_count + 1;
    feeds->at = calloc(entry->input_count + 1, sizeof *feeds->at);
    feeds->values = calloc(3 * values + entry->symbol_count, sizeof *feeds->values);
    if (!feeds->at || !feeds->values) return kt_feeds_no_memory(feeds);
    feeds->low = feeds->values + values;
    feeds->high = feeds->low + values;
    feeds->symbols = feeds->high + values;
    probe(feeds, batch_size, outputs ? entry->output_count : 0);
    return 0;
}

void kt_feeds_deinit(kt_feeds *feeds) {
    for (uint32_t i = 0; feeds->at && i < feeds->entry->input_count; i++) {
        if (!feeds->at[i].borrowed) free(feeds->at[i].buffer.data);
        kt_stream_close(feeds->at[i].stream);
    }
    free(feeds->at);
    free(feeds->values);
}
