/* Batches: rows of all inputs of a step, together. */
#include "runtime/labels.h"
#include "runtime/room.h"
#include "runtime/train/train_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Less than this is gathered faster than a thread is told to. */
static const size_t worth_a_thread = KT_ROOM(256 << 10, 0);

static size_t row_bytes(const kt_buffer *buffer) { return (size_t)(buffer->capacity / buffer->dims[0]); }

/* Must rows of input i be brought together, as they do not lie so in memory? */
static bool is_gathered(const kt_steps *steps, uint32_t i) {
    const kt_feed *feed = &steps->dataset->feeds.at[i];
    return steps->order || feed->stream || feed->repeats > 1;
}

bool kt_batches_need_thread(const kt_steps *steps) {
    const kt_feeds *feeds = &steps->dataset->feeds;
    size_t bytes = 0;
    for (uint32_t i = 0; i < feeds->entry->input_count; i++) {
        const kt_feed *feed = &feeds->at[i];
        if (feed->stream && !kt_stream_is_file(feed->stream))
            return false; /* the caller's function, the caller's thread */
        if (is_gathered(steps, i))
            bytes += row_bytes(&feed->buffer) * (size_t)(feed->repeats * steps->batch_size);
    }
    return bytes >= worth_a_thread && kt_steps_count(steps) > 1;
}

int kt_batch_init(kt_batch *batch, uint32_t inputs) {
    batch->rows = calloc(inputs + 1, sizeof *batch->rows);
    batch->inputs = calloc(inputs + 1, sizeof *batch->inputs);
    return !batch->rows || !batch->inputs;
}

void kt_batch_deinit(kt_batch *batch, uint32_t inputs) {
    for (uint32_t i = 0; batch->rows && i < inputs; i++) free(batch->rows[i]);
    free(batch->rows);
    free((void *)batch->inputs);
}

static int no_memory(char *out_error) {
    (void)snprintf(out_error, KT_IO_ERROR, "There is not enough memory.");
    return 1;
}

/* Which rows a batch has: positions [at, at + count), in an order or as they stand. */
typedef struct span {
    int64_t at, count;
    const int64_t *order;
} span;

/* Reads labels as they are stored, since what is no class may be one once it is converted. */
static int read_labels(const kt_steps *steps, kt_batch *batch, uint32_t i, const span *rows) {
    const kt_feeds *feeds = &steps->dataset->feeds;
    const kt_feed *feed = &feeds->at[i];
    const int32_t stored = kt_stream_dtype(feed->stream), wanted = feed->buffer.dtype;
    int64_t elements = 1;
    for (int axis = 1; axis < feed->buffer.rank; axis++) elements *= feed->buffer.dims[axis];
    const size_t count = (size_t)(rows->count * elements);
    const kt_label_rows numbered = {feed->path, elements, rows->at, rows->order};
    void *labels = malloc(count * kt_abi_dtype_bytes(stored) + 1);
    if (!labels) return no_memory(batch->error);
    int failed =
        kt_stream_read(feed->stream, rows->order, rows->at, rows->count, stored, labels, batch->error);
    if (!failed)
        failed = kt_labels_check(feeds->entry->inputs[i].labels, &numbered, labels, stored, (int64_t)count,
                                 batch->error);
    if (!failed) kt_elements_convert(labels, stored, batch->rows[i], wanted, count);
    free(labels);
    return failed;
}

/* Has each of count numbers stand there several times, from the last on, as the first are in the way. */
static void repeat(float *numbers, size_t count, size_t times) {
    for (size_t k = count; k--;)
        for (size_t j = times; j--;) numbers[k * times + j] = numbers[k];
}

/* Brings the rows of input i together. */
static int copy_rows(const kt_steps *steps, kt_batch *batch, uint32_t i, const span *rows) {
    const kt_feed *feed = &steps->dataset->feeds.at[i];
    const size_t row = row_bytes(&feed->buffer);
    if (feed->stream)
        return kt_stream_read(feed->stream, rows->order, rows->at, rows->count, feed->buffer.dtype,
                              batch->rows[i], batch->error);
    const char *from = feed->buffer.data;
    for (int64_t k = 0; k < rows->count; k++)
        memcpy((char *)batch->rows[i] + (size_t)k * row,
               from + (size_t)(rows->order ? rows->order[k] : rows->at + k) * row, row);
    return 0;
}

/* Points input number i to its rows, together. */
static int gather(const kt_steps *steps, kt_batch *batch, uint32_t i, const span *rows) {
    const kt_feeds *feeds = &steps->dataset->feeds;
    const kt_feed *feed = &feeds->at[i];
    const kt_buffer *buffer = &feed->buffer;
    const size_t row = row_bytes(buffer);
    if (!is_gathered(steps, i)) {
        batch->inputs[i] = (const char *)buffer->data + (size_t)rows->at * row;
        return 0;
    }
    if (!batch->rows[i]) batch->rows[i] = malloc(row * (size_t)(feed->repeats * steps->batch_size) + 1);
    if (!batch->rows[i]) return no_memory(batch->error);
    batch->inputs[i] = batch->rows[i];
    if (feed->stream && feeds->entry->inputs[i].labels) return read_labels(steps, batch, i, rows);
    int failed = copy_rows(steps, batch, i, rows);
    if (!failed && feed->repeats > 1)
        repeat(batch->rows[i], row / sizeof(float) * (size_t)rows->count, (size_t)feed->repeats);
    return failed;
}

int kt_batch_gather(const kt_steps *steps, kt_batch *batch, int64_t number) {
    const uint32_t inputs = steps->dataset->feeds.entry->input_count;
    span rows = {.at = steps->first + number * steps->batch_size};
    rows.count = steps->end - rows.at < steps->batch_size ? steps->end - rows.at : steps->batch_size;
    rows.order = steps->order ? steps->order + (rows.at - steps->first) : NULL;
    batch->samples = rows.count;
    int failed = 0;
    for (uint32_t i = 0; i < inputs && !failed; i++) failed = gather(steps, batch, i, &rows);
    return failed;
}
