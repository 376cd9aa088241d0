/* NumPy's .npy, versions 1 to 3:
 *
 *   "\x93NUMPY", major, minor, header length (2 bytes in version 1, else 4), a Python dict as text, the data
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *
 * bfloat16 stands there as 2 raw bytes ('V2'); NumPy cannot use such arrays, so none are written. */
#include "runtime/tensor_io/tensor_io_impl.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    char kind;
    uint8_t bytes;
    uint8_t dtype;
} kinds[] = {
    {'f', 4, KT_F32}, {'f', 8, KT_F64}, {'f', 2, KT_F16},  {'V', 2, KT_BF16}, {'i', 1, KT_I8},
    {'i', 2, KT_I16}, {'i', 4, KT_I32}, {'i', 8, KT_I64},  {'u', 1, KT_U8},   {'u', 2, KT_U16},
    {'u', 4, KT_U32}, {'u', 8, KT_U64}, {'b', 1, KT_BOOL}, {'c', 8, KT_C64},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0], MAX_HEADER = 1 << 16 };

/* What follows 'key': in the dict, or NULL. */
static const char *find_value(const char *dict, const char *key) {
    const char *at = strstr(dict, key);
    if (!at) return NULL;
    at += strlen(key);
    while (*at == ' ' || *at == ':') at++;
    return at;
}

static int read_descr(const kt_io *io, const char *dict, kt_npy_head *header) {
    const char *at = find_value(dict, "'descr'");
    if (!at || *at != '\'') {
        return kt_io_fail(io, "Structured arrays are not supported; save one plain array.");
    }
    at++;
    header->swapped = *at == '>';
    if (strchr("<>|=", *at) && *at) at++;
    for (int i = 0; i < KIND_COUNT; i++) {
        if (at[0] != kinds[i].kind || at[1] != '0' + kinds[i].bytes || at[2] != '\'') continue;
        header->buffer.dtype = kinds[i].dtype;
        return 0;
    }
    int length = (int)strcspn(at, "'");
    return kt_io_fail(
        io, "Arrays of NumPy's type '%.*s' are not supported; convert it to a numeric type with astype.",
        length < 20 ? length : 20, at);
}

static int read_shape(const kt_io *io, const char *dict, kt_buffer *buffer) {
    const char *at = find_value(dict, "'shape'");
    if (!at || *at != '(') return kt_io_fail(io, "The header of the array has no shape.");
    for (at++;;) {
        while (*at == ' ' || *at == ',') at++;
        if (*at == ')') return 0;
        char *end = NULL;
        long long dim = strtoll(at, &end, 10);
        if (end == at || dim < 0) return kt_io_fail(io, "The shape in the header of the array is damaged.");
        if (buffer->rank == KT_MAX_RANK)
            return kt_io_fail(io, "The array has more than %d dimensions.", KT_MAX_RANK);
        buffer->dims[buffer->rank++] = dim;
        at = *end == 'L' ? end + 1 : end;
    }
}

static int read_header(const kt_io *io, const uint8_t *bytes, size_t count, size_t file_bytes,
                       kt_npy_head *header) {
    if (count < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0) return kt_io_fail(io, "This is no .npy array.");
    if (bytes[6] < 1 || bytes[6] > 3) return kt_io_fail(io, "Version %d of .npy is not known.", bytes[6]);
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > MAX_HEADER && length <= file_bytes - start)
        return kt_io_fail(io, "The header of the array is too long.");
    if (length > count - start) return kt_io_fail(io, "The file ends within the header of the array.");
    char *dict = malloc(length + 1);
    if (!dict) return kt_io_no_memory(io);
    memcpy(dict, bytes + start, length);
    dict[length] = '\0';
    header->data_at = start + length;
    const char *fortran = find_value(dict, "'fortran_order'");
    header->fortran = fortran && *fortran == 'T';
    int code = read_descr(io, dict, header);
    if (code == 0) code = read_shape(io, dict, &header->buffer);
    free(dict);
    return code;
}

void kt_npy_swap(uint8_t *data, size_t elements, int32_t dtype) {
    size_t bytes = kt_abi_dtype_bytes(dtype);
    if (dtype == KT_C64) { /* two floats */
        bytes /= 2;
        elements *= 2;
    }
    for (size_t i = 0; i < elements; i++, data += bytes) {
        for (size_t j = 0; j < bytes / 2; j++) {
            uint8_t other = data[j];
            data[j] = data[bytes - 1 - j];
            data[bytes - 1 - j] = other;
        }
    }
}

/* Copies an array whose first dimension runs fastest into row-major order. */
static void copy_fortran(const kt_buffer *buffer, const uint8_t *from, uint8_t *to, size_t elements,
                         size_t bytes) {
    int64_t index[KT_MAX_RANK] = {0}, strides[KT_MAX_RANK];
    int64_t stride = 1, at = 0;
    for (int i = 0; i < buffer->rank; i++) {
        strides[i] = stride;
        stride *= buffer->dims[i];
    }
    for (size_t i = 0; i < elements; i++, to += bytes) {
        memcpy(to, from + (size_t)at * bytes, bytes);
        for (int axis = buffer->rank - 1; axis >= 0; axis--) {
            at += strides[axis];
            if (++index[axis] < buffer->dims[axis]) break;
            at -= strides[axis] * buffer->dims[axis];
            index[axis] = 0;
        }
    }
}

int kt_npy_read_head(const kt_io *io, const uint8_t *bytes, size_t count, size_t file_bytes,
                     kt_npy_head *out_head) {
    kt_npy_head head = {0};
    int code = read_header(io, bytes, count, file_bytes, &head);
    if (code) return code;
    size_t size = kt_abi_dtype_bytes(head.buffer.dtype);
    int64_t elements = kt_io_elements(&head.buffer);
    if (elements < 0 || (size_t)elements > (file_bytes - head.data_at) / size)
        return kt_io_fail(io, "The file holds fewer elements than its header says.");
    head.buffer.capacity = elements * (int64_t)size;
    *out_head = head;
    return 0;
}

static int decode(const kt_io *io, uint8_t *bytes, size_t count, kt_buffer *out_buffer) {
    kt_npy_head header = {0};
    int code = kt_npy_read_head(io, bytes, count, count, &header);
    if (code) return code;
    kt_buffer *buffer = &header.buffer;
    size_t size = kt_abi_dtype_bytes(buffer->dtype), elements = (size_t)buffer->capacity / size;
    if (header.swapped) kt_npy_swap(bytes + header.data_at, elements, buffer->dtype);
    if (header.fortran && buffer->rank > 1) {
        buffer->data = malloc((size_t)buffer->capacity + 1);
        if (!buffer->data) return kt_io_no_memory(io);
        copy_fortran(buffer, bytes + header.data_at, buffer->data, elements, size);
    } else {
        memmove(bytes, bytes + header.data_at, (size_t)buffer->capacity);
        buffer->data = bytes;
    }
    *out_buffer = *buffer;
    return 0;
}

int kt_npy_decode(const kt_io *io, uint8_t *bytes, size_t count, kt_buffer *out_buffer) {
    int code = decode(io, bytes, count, out_buffer);
    if (code || out_buffer->data != bytes) free(bytes);
    return code;
}

size_t kt_npy_header(const kt_buffer *buffer, char out_header[KT_NPY_HEADER]) {
    int kind = 0;
    while (kinds[kind].dtype != buffer->dtype) kind++;
    char *at = out_header + 10, *end = out_header + KT_NPY_HEADER;
    at += snprintf(at, (size_t)(end - at), "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
                   kinds[kind].bytes == 1 ? '|' : '<', kinds[kind].kind, kinds[kind].bytes);
    for (int i = 0; i < buffer->rank; i++) {
        at += snprintf(at, (size_t)(end - at), i || buffer->rank == 1 ? "%lld," : "%lld, ",
                       (long long)buffer->dims[i]);
    }
    at += snprintf(at, (size_t)(end - at), "), }");
    size_t bytes = ((size_t)(at - out_header) + 1 + 63) / 64 * 64;
    memset(at, ' ', bytes - (size_t)(at - out_header));
    out_header[bytes - 1] = '\n';
    memcpy(out_header, "\x93NUMPY\x01", 8);
    out_header[8] = (char)((bytes - 10) & 0xff);
    out_header[9] = (char)((bytes - 10) >> 8);
    return bytes;
}

void kt_npy_write(FILE *file, const kt_buffer *buffer) {
    char header[KT_NPY_HEADER];
    size_t bytes = kt_npy_header(buffer, header);
    (void)fwrite(header, 1, bytes, file);
    (void)fwrite(buffer->data, kt_abi_dtype_bytes(buffer->dtype), (size_t)kt_io_elements(buffer), file);
}
