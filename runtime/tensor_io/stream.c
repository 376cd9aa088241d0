/* Arrays of which rows are read when they are wanted: large .npy arrays that stay in their file, and what a
 * function gives.
 *
 * Rows of a file are read with pread, so that a file that becomes shorter meanwhile is an error and no
 * signal, and the kernel's cache decides what stays in memory. */
#include "runtime/tensor_io/tensor_io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kt_stream {
    int file;              /* -1: rows come from a function */
    kt_read_rows_fn *read; /* that function, and what it is handed */
    void *object;
    int array;
    kt_npy_head head;
    size_t row_elements;
    uint8_t *row; /* room for one, as it is stored */
    char *path;
};

/* count bytes at offset; false, and errno (0: the file ends before). */
static bool read_at(int file, uint8_t *out, size_t count, int64_t offset) {
    while (count) {
        ssize_t got = pread(file, out, count, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = 0;
        if (got <= 0) return false;
        out += got;
        count -= (size_t)got;
        offset += got;
    }
    return true;
}

/* Is the file one that can be streamed? Then its head is filled in. */
static int inspect(const kt_io *io, int file, int64_t least_bytes, kt_npy_head *out_head, bool *out_can) {
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < least_bytes) return 0;
    size_t count = status.st_size < KT_NPY_HEAD ? (size_t)status.st_size : KT_NPY_HEAD;
    uint8_t *bytes = malloc(count + 1);
    if (!bytes) return kt_io_no_memory(io);
    bool npy = read_at(file, bytes, count, 0) && count >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0;
    int code = npy ? kt_npy_read_head(io, bytes, count, (size_t)status.st_size, out_head) : 0;
    *out_can =
        npy && !code && out_head->buffer.rank > 0 && (!out_head->fortran || out_head->buffer.rank == 1);
    free(bytes);
    return code;
}

/* Makes the stream's room for a row. */
static bool make_row(kt_stream *stream) {
    const kt_buffer *shape = &stream->head.buffer;
    stream->row_elements = 1;
    for (int axis = 1; axis < shape->rank; axis++) stream->row_elements *= (size_t)shape->dims[axis];
    stream->row = malloc(stream->row_elements * kt_abi_dtype_bytes(shape->dtype) + 1);
    return stream->row != NULL;
}

kt_stream *kt_stream_from(kt_read_rows_fn *read, void *object, int array, const kt_buffer *shape) {
    kt_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    *stream = (kt_stream){.file = -1, .read = read, .object = object, .array = array, .head.buffer = *shape};
    if (make_row(stream)) return stream;
    kt_stream_close(stream);
    return NULL;
}

int kt_stream_open(const char *path, int64_t least_bytes, kt_stream **out_stream, kt_buffer *out_shape,
                   char *out_error) {
    const kt_io io = {path, NULL, out_error};
    kt_npy_head head = {0};
    bool can = false;
    *out_stream = NULL;
    int file = strcmp(path, "-") == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int code = file >= 0 ? inspect(&io, file, least_bytes, &head, &can) : 0;
    kt_stream *stream = can ? calloc(1, sizeof *stream) : NULL;
    if (!stream) {
        if (file >= 0) (void)close(file);
        return can ? kt_io_no_memory(&io) : code;
    }
    *stream = (kt_stream){.file = file, .head = head, .path = strdup(path)};
    if (!make_row(stream) || !stream->path) {
        kt_stream_close(stream);
        return kt_io_no_memory(&io);
    }
    *out_stream = stream;
    *out_shape = head.buffer;
    return 0;
}

int kt_stream_is_file(const kt_stream *stream) { return !stream->read; }

int32_t kt_stream_dtype(const kt_stream *stream) { return stream->head.buffer.dtype; }

void kt_stream_close(kt_stream *stream) {
    if (!stream) return;
    if (stream->file >= 0) (void)close(stream->file);
    free(stream->row);
    free(stream->path);
    free(stream);
}

/* Rows [first, first + count), which lie together in the file. */
static bool read_rows(kt_stream *stream, int64_t first, int64_t count, int32_t dtype, uint8_t *out) {
    const kt_npy_head *head = &stream->head;
    size_t stored = stream->row_elements * kt_abi_dtype_bytes(head->buffer.dtype);
    size_t wanted = stream->row_elements * kt_abi_dtype_bytes(dtype);
    int64_t at = (int64_t)head->data_at + first * (int64_t)stored;
    bool same = dtype == head->buffer.dtype;
    if (same) {
        if (!read_at(stream->file, out, stored * (size_t)count, at)) return false;
        if (head->swapped) kt_npy_swap(out, stream->row_elements * (size_t)count, head->buffer.dtype);
        return true;
    }
    for (int64_t i = 0; i < count; i++, at += (int64_t)stored, out += wanted) {
        if (!read_at(stream->file, stream->row, stored, at)) return false;
        if (head->swapped) kt_npy_swap(stream->row, stream->row_elements, head->buffer.dtype);
        kt_elements_convert(stream->row, head->buffer.dtype, out, dtype, stream->row_elements);
    }
    return true;
}

/* The same from a function, where rows need not lie together. */
static int ask_rows(const kt_io *io, const kt_stream *stream, const int64_t *rows, int64_t first,
                    int64_t count, int32_t dtype, uint8_t *out) {
    int32_t given = stream->head.buffer.dtype;
    size_t wanted = stream->row_elements * kt_abi_dtype_bytes(dtype);
    int code = 0;
    if (given == dtype) code = stream->read(stream->object, stream->array, rows, first, count, out);
    for (int64_t i = 0; given != dtype && i < count && code == 0; i++) {
        code = stream->read(stream->object, stream->array, rows ? rows + i : NULL, first + i, 1, stream->row);
        if (code == 0)
            kt_elements_convert(stream->row, given, out + (size_t)i * wanted, dtype, stream->row_elements);
    }
    return code ? kt_io_fail(io, "Array number %d gives no samples: its function returned %d.", stream->array,
                             code)
                : 0;
}

int kt_stream_read(kt_stream *stream, const int64_t *rows, int64_t first, int64_t count, int32_t dtype,
                   void *out, char *out_error) {
    const kt_io io = {stream->path ? stream->path : "data", NULL, out_error};
    if (stream->read) return ask_rows(&io, stream, rows, first, count, dtype, out);
    size_t bytes = stream->row_elements * kt_abi_dtype_bytes(dtype);
    for (int64_t i = 0, together; i < count; i += together) {
        int64_t row = rows ? rows[i] : first + i;
        together = rows ? 1 : count;
        while (rows && i + together < count && rows[i + together] == row + together) together++;
        if (!read_rows(stream, row, together, dtype, (uint8_t *)out + (size_t)i * bytes))
            return kt_io_fail(&io, "It cannot be read: %s.",
                              errno ? strerror(errno) : "it became shorter meanwhile");
    }
    return 0;
}
