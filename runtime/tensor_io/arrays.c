/* Arrays in files of any format: which format it is, reading whole files, and writing them whole or not at
 * all. */
#include "runtime/room.h"
#include "runtime/tensor_io/tensor_io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int kt_io_fail(const kt_io *io, const char *format, ...) {
    int used = snprintf(io->error, KT_IO_ERROR,
                        "%s: ", strcmp(io->path, "-") ? io->path : "standard input or output");
    if (io->member && used < KT_IO_ERROR) {
        used += snprintf(io->error + used, (size_t)(KT_IO_ERROR - used), "%s: ", io->member);
    }
    if (used >= KT_IO_ERROR) return 1;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(io->error + used, (size_t)(KT_IO_ERROR - used), format, arguments);
    va_end(arguments);
    return 1;
}

int kt_io_no_memory(const kt_io *io) { return kt_io_fail(io, "There is not enough memory for it."); }

int64_t kt_io_elements(const kt_buffer *buffer) {
    int64_t elements = 1, bytes = 0;
    bool overflow = false, empty = false;
    for (int i = 0; i < buffer->rank; i++) {
        empty |= buffer->dims[i] == 0;
        overflow |= __builtin_mul_overflow(elements, buffer->dims[i] ? buffer->dims[i] : 1, &elements);
    }
    overflow |= __builtin_mul_overflow(elements, 16, &bytes);
    return overflow ? -1 : empty ? 0 : elements;
}

bool kt_numbers_push(kt_numbers *numbers, double number) {
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity ? 2 * numbers->capacity : KT_ROOM(256, 1);
        double *at = realloc(numbers->at, capacity * sizeof *at);
        if (!at) return false;
        numbers->at = at;
        numbers->capacity = capacity;
    }
    numbers->at[numbers->count++] = number;
    return true;
}

int kt_io_push(const kt_io *io, kt_arrays *arrays, const char *name, size_t name_length,
               const kt_buffer *buffer) {
    kt_array *at = realloc(arrays->at, (arrays->count + 1) * sizeof *at);
    if (at) arrays->at = at;
    char *copy = name ? strndup(name, name_length) : NULL;
    if (!at || (name && !copy)) {
        free(copy);
        free(buffer->data);
        return kt_io_no_memory(io);
    }
    at[arrays->count++] = (kt_array){copy, *buffer};
    return 0;
}

void kt_arrays_deinit(kt_arrays *arrays) {
    for (size_t i = 0; i < arrays->count; i++) {
        free(arrays->at[i].name);
        free(arrays->at[i].buffer.data);
    }
    free(arrays->at);
    *arrays = (kt_arrays){0};
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint8_t *read_all(const kt_io *io, int file, size_t *out_count) {
    struct stat status;
    size_t count = 0, capacity = KT_ROOM(1 << 16, 1);
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode))
        capacity = KT_ROOM((size_t)status.st_size + 1, 1);
    uint8_t *bytes = malloc(capacity + 1);
    while (bytes) {
        if (count == capacity) {
            uint8_t *larger = realloc(bytes, 2 * capacity + 1);
            if (!larger) break;
            bytes = larger;
            capacity *= 2;
        }
        ssize_t got = read(file, bytes + count, capacity - count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            (void)kt_io_fail(io, "It cannot be read: %s.", strerror(errno));
            free(bytes);
            return NULL;
        }
        if (got == 0) {
            bytes[count] = 0;
            *out_count = count;
            return bytes;
        }
        count += (size_t)got;
    }
    free(bytes);
    (void)kt_io_no_memory(io);
    return NULL;
}

/* The whole file, followed by a NUL that is not counted; NULL, and a sentence, if it cannot be read. */
static uint8_t *read_file(const kt_io *io, size_t *out_count) {
    if (strcmp(io->path, "-") == 0) return read_all(io, STDIN_FILENO, out_count);
    int file = open(io->path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        (void)kt_io_fail(io, "It cannot be opened: %s.", strerror(errno));
        return NULL;
    }
    uint8_t *bytes = read_all(io, file, out_count);
    (void)close(file);
    return bytes;
}

static int read_text(const kt_io *io, const uint8_t *bytes, size_t count, kt_arrays *arrays) {
    const char *text = (const char *)bytes, *first = text + strspn(text, " \t\r\n");
    if (memchr(bytes, 0, count)) return kt_io_fail(io, "This is neither .npy, .npz, CSV nor JSON lines.");
    return *first == '[' || *first == '{' ? kt_json_read(io, text, arrays)
                                          : kt_csv_read(io, text, count, arrays);
}

int kt_arrays_read(const char *path, kt_arrays *out_arrays, char *out_error) {
    const kt_io io = {path, NULL, out_error};
    size_t count = 0;
    int code = 0;
    *out_arrays = (kt_arrays){0};
    uint8_t *bytes = read_file(&io, &count);
    if (!bytes) return 1;
    if (count >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0) {
        kt_buffer buffer = {0};
        code = kt_npy_decode(&io, bytes, count, &buffer);
        return code ? code : kt_io_push(&io, out_arrays, NULL, 0, &buffer);
    }
    if (count >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0)) {
        code = kt_npz_read(&io, bytes, count, out_arrays);
    } else {
        code = read_text(&io, bytes, count, out_arrays);
    }
    free(bytes);
    if (code) kt_arrays_deinit(out_arrays);
    return code;
}

/* ---- writing --------------------------------------------------------------------------------- */

void kt_io_print_float(FILE *file, double value, int digits, bool json) {
    if (json && !isfinite(value)) {
        (void)fputs(isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity", file);
    } else {
        (void)fprintf(file, "%.*g", digits, isnan(value) ? (double)NAN : value); /* of no sign */
    }
}

void kt_io_print_element(FILE *file, const kt_buffer *buffer, int64_t index, bool json) {
    const uint8_t *at = (const uint8_t *)buffer->data + (size_t)index * kt_abi_dtype_bytes(buffer->dtype);
    union {
        float f32;
        double f64;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
    } x;
    memcpy(&x, at, kt_abi_dtype_bytes(buffer->dtype));
    switch (buffer->dtype) {
    case KT_F32: kt_io_print_float(file, (double)x.f32, 9, json); break;
    case KT_F64: kt_io_print_float(file, x.f64, 17, json); break;
    case KT_I8: (void)fprintf(file, "%d", x.i8); break;
    case KT_I16: (void)fprintf(file, "%d", x.i16); break;
    case KT_I32: (void)fprintf(file, "%d", (int)x.i32); break;
    case KT_I64: (void)fprintf(file, "%lld", (long long)x.i64); break;
    case KT_U8: (void)fprintf(file, "%u", x.u8); break;
    case KT_U16: (void)fprintf(file, "%u", x.u16); break;
    case KT_U32: (void)fprintf(file, "%u", (unsigned)x.u32); break;
    case KT_U64: (void)fprintf(file, "%llu", (unsigned long long)x.u64); break;
    default: (void)fputs(json ? (x.u8 ? "true" : "false") : (x.u8 ? "1" : "0"), file); break;
    }
}

enum format { FORMAT_NPY, FORMAT_NPZ, FORMAT_CSV, FORMAT_JSON, FORMAT_NONE };

static enum format format_of(const char *path) {
    static const char *const endings[] = {".npy", ".npz", ".csv", ".json"};
    size_t length = strlen(path);
    if (strcmp(path, "-") == 0) return FORMAT_CSV;
    for (int i = 0; i < FORMAT_NONE; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(path + length - ending, endings[i]) == 0) return (enum format)i;
    }
    return FORMAT_NONE;
}

static int write_format(const kt_io *io, FILE *file, enum format format, const kt_array *arrays,
                        size_t count) {
    switch (format) {
    case FORMAT_NPY: kt_npy_write(file, &arrays[0].buffer); break;
    case FORMAT_CSV: kt_csv_write(file, &arrays[0].buffer); break;
    case FORMAT_JSON: kt_json_write(file, arrays, count); break;
    default: return kt_npz_write(io, file, arrays, count);
    }
    return 0;
}

/* Writes, and closes the file if it ends with that. */
static int write_and_end(const kt_io *io, FILE *file, bool ends, enum format format, const kt_array *arrays,
                         size_t count) {
    errno = 0;
    int code = write_format(io, file, format, arrays, count);
    bool failed = ferror(file) != 0;
    int reason = errno;
    if (ends ? fclose(file) != 0 : fflush(file) != 0) {
        if (!failed) reason = errno;
        failed = true;
    }
    if (code == 0 && failed) return kt_io_fail(io, "It cannot be written: %s.", strerror(reason));
    return code;
}

/* Writes into a new file beside the path, which then takes its place. */
static int write_beside(const kt_io *io, const char *path, enum format format, const kt_array *arrays,
                        size_t count) {
    size_t room = strlen(path) + 32;
    char *beside = malloc(room);
    if (!beside) return kt_io_no_memory(io);
    (void)snprintf(beside, room, "%s.%ld.partial", path, (long)getpid());
    int descriptor = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    int code = 0;
    if (!file) {
        code = kt_io_fail(io, "It cannot be written: %s.", strerror(errno));
        if (descriptor >= 0) {
            (void)close(descriptor);
            (void)unlink(beside);
        }
    } else {
        code = write_and_end(io, file, true, format, arrays, count);
        if (code == 0 && rename(beside, path) != 0) {
            code = kt_io_fail(io, "It cannot be written: %s.", strerror(errno));
        }
        if (code) (void)unlink(beside);
    }
    free(beside);
    return code;
}

static int write_path(const kt_io *io, enum format format, const kt_array *arrays, size_t count) {
    struct stat status;
    if (strcmp(io->path, "-") == 0) return write_and_end(io, stdout, false, format, arrays, count);
    bool exists = stat(io->path, &status) == 0;
    if (exists && !S_ISREG(status.st_mode)) {
        /* A device or a pipe must not be replaced. */
        FILE *file = fopen(io->path, "wbe");
        if (!file) return kt_io_fail(io, "It cannot be written: %s.", strerror(errno));
        return write_and_end(io, file, true, format, arrays, count);
    }
    /* Nor a link, but what it leads to. */
    char *resolved = exists ? realpath(io->path, NULL) : NULL;
    int code = write_beside(io, resolved ? resolved : io->path, format, arrays, count);
    free(resolved);
    return code;
}

/* What a format cannot hold becomes what it can; -1: nothing will do. */
static int32_t written_dtype(enum format format, int32_t dtype) {
    bool text = format == FORMAT_CSV || format == FORMAT_JSON;
    if (dtype == KT_STRING || (text && dtype == KT_C64)) return -1;
    return dtype == KT_BF16 || (text && dtype == KT_F16) ? KT_F32 : dtype;
}

int kt_arrays_write(const char *path, const kt_array *arrays, size_t count, char *out_error) {
    const kt_io io = {path, NULL, out_error};
    enum format format = format_of(path);
    if (format == FORMAT_NONE)
        return kt_io_fail(&io, "The name of an output must end in .npy, .npz, .csv or .json.");
    if (count != 1 && (format == FORMAT_NPY || format == FORMAT_CSV)) {
        return kt_io_fail(
            &io, "It can hold one array, not %zu; name an .npz or .json file, or a file for each.", count);
    }
    kt_array *converted = calloc(count + 1, sizeof *converted);
    if (!converted) return kt_io_no_memory(&io);
    int code = 0;
    for (size_t i = 0; i < count; i++) {
        converted[i] = arrays[i];
        int32_t dtype = written_dtype(format, arrays[i].buffer.dtype);
        if (dtype < 0) {
            code = kt_io_fail(&io, "Arrays of the dtype %s cannot be written in this format.",
                              kt_abi_dtype_name(arrays[i].buffer.dtype));
        } else if (dtype != arrays[i].buffer.dtype &&
                   kt_buffer_convert(&arrays[i].buffer, dtype, &converted[i].buffer)) {
            code = kt_io_no_memory(&io);
        }
    }
    if (code == 0) code = write_path(&io, format, converted, count);
    for (size_t i = 0; i < count; i++) {
        if (converted[i].buffer.data != arrays[i].buffer.data) free(converted[i].buffer.data);
    }
    free(converted);
    return code;
}
