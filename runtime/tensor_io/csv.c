/* CSV: one sample a line, numbers between commas. The first line may be a header: it is one if a field of it
 * is no number. */
#include "runtime/tensor_io/tensor_io_impl.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *at) {
    while (*at == ' ' || *at == '\t') at++;
    return at;
}

static bool ends_line(const char *at) {
    return *at == '\n' || *at == '\0' || (*at == '\r' && (at[1] == '\n' || at[1] == '\0'));
}

/* Reads the numbers of one line; -1: a field is no number, -2: no memory, else how many. *at is moved to the
 * line's end. */
static int64_t read_line(const char **at, kt_numbers *numbers) {
    int64_t count = 0;
    for (;; (*at)++) {
        const char *start = skip_blanks(*at);
        bool quoted = *start == '"';
        if (quoted) start = skip_blanks(start + 1);
        char *end = NULL;
        if (ends_line(start) || *start == ',') return -1;
        double number = strtod(start, &end);
        if (end == start) return -1;
        const char *after = skip_blanks(end);
        if (quoted && *after == '"') after = skip_blanks(after + 1);
        if (*after != ',' && !ends_line(after)) return -1;
        if (!kt_numbers_push(numbers, number)) return -2;
        count++;
        *at = after;
        if (*after != ',') return count;
    }
}

static int read_lines(const kt_io *io, const char *text, const char *text_end, kt_numbers *numbers,
                      kt_buffer *buffer) {
    const char *at = text;
    int64_t rows = 0, columns = 0;
    for (long long line = 1; at < text_end; line++) {
        const char *start = skip_blanks(at);
        size_t before = numbers->count;
        if (!ends_line(start)) {
            int64_t count = read_line(&start, numbers);
            if (count == -2) return kt_io_no_memory(io);
            bool header = count < 0 && line == 1;
            if (count < 0 && !header)
                return kt_io_fail(io, "Line %lld holds something that is no number.", line);
            if (header) numbers->count = before;
            if (rows > 0 && count != columns) {
                return kt_io_fail(io, "Line %lld has %lld values, but the lines before it have %lld.", line,
                                  (long long)count, (long long)columns);
            }
            rows += !header;
            if (!header) columns = count;
        }
        const char *end = memchr(start, '\n', (size_t)(text_end - start));
        at = end ? end + 1 : text_end;
    }
    if (rows == 0) return kt_io_fail(io, "There are no numbers in it.");
    *buffer =
        (kt_buffer){numbers->at, (int64_t)(numbers->count * sizeof(double)), KT_F64, 2, {rows, columns}};
    return 0;
}

int kt_csv_read(const kt_io *io, const char *text, size_t count, kt_arrays *out_arrays) {
    kt_numbers numbers = {0};
    kt_buffer buffer = {0};
    const char *start = count >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
    int code = read_lines(io, start, text + count, &numbers, &buffer);
    if (code) {
        free(numbers.at);
        return code;
    }
    out_arrays->flat = 1;
    return kt_io_push(io, out_arrays, NULL, 0, &buffer);
}

void kt_csv_write(FILE *file, const kt_buffer *buffer) {
    int64_t elements = kt_io_elements(buffer), rows = buffer->rank ? buffer->dims[0] : 1;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = row * (elements / rows); i < (row + 1) * (elements / rows); i++) {
            if (i > row * (elements / rows)) (void)fputc(',', file);
            kt_io_print_element(file, buffer, i, false);
        }
        (void)fputc('\n', file);
    }
}
