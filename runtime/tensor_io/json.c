/* JSON lines in: each value is one sample, a nested array or an object of them by name; samples of one name
 * must have one shape. JSON out: one nested array, or an object by name. Python's NaN and Infinity are known.
 */
#include "runtime/tensor_io/tensor_io_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARRAYS = 256 };

struct samples {
    const char *name; /* in the text; NULL: the whole sample */
    size_t name_length;
    kt_numbers numbers;
    int64_t count;
    int rank; /* of one sample */
    int64_t dims[KT_MAX_RANK];
};

struct reader {
    const kt_io *io;
    const char *at, *start;
    struct samples *samples;
    size_t count;
};

static char peek(struct reader *reader) {
    while (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r')
        reader->at++;
    return *reader->at;
}

static bool accept(struct reader *reader, char wanted) {
    if (peek(reader) != wanted) return false;
    reader->at++;
    return true;
}

static int fail(struct reader *reader, const char *sentence) {
    long long line = 1;
    for (const char *at = reader->start; at < reader->at; at++) line += *at == '\n';
    return kt_io_fail(reader->io, "Line %lld: %s", line, sentence);
}

static int read_number(struct reader *reader, struct samples *samples) {
    static const struct {
        const char *word;
        double value;
    } words[] = {{"true", 1},
                 {"false", 0},
                 {"null", (double)NAN},
                 {"NaN", (double)NAN},
                 {"Infinity", (double)INFINITY},
                 {"-Infinity", -(double)INFINITY}};
    char first = peek(reader);
    double number = 0;
    size_t length = 0;
    for (size_t i = 0; i < sizeof words / sizeof words[0] && !length; i++) {
        if (strncmp(reader->at, words[i].word, strlen(words[i].word)) != 0) continue;
        number = words[i].value;
        length = strlen(words[i].word);
    }
    if (!length && (first == '-' || (first >= '0' && first <= '9'))) {
        char *end = NULL;
        number = strtod(reader->at, &end);
        length = (size_t)(end - reader->at);
    }
    if (!length) return fail(reader, "a number, an array or an object of arrays is expected here.");
    reader->at += length;
    return kt_numbers_push(&samples->numbers, number) ? 0 : kt_io_no_memory(reader->io);
}

/* The first array at each depth says how long all arrays there are; the first number, how deep they nest. */
static int read_array(struct reader *reader, struct samples *samples, int depth, bool *known) {
    if (peek(reader) != '[') {
        if (*known && depth != samples->rank) return fail(reader, "the arrays do not nest evenly.");
        samples->rank = depth;
        *known = true;
        return read_number(reader, samples);
    }
    if (depth == KT_MAX_RANK - 1 || (*known && depth >= samples->rank)) {
        return fail(reader, "the arrays do not nest evenly, or too deeply.");
    }
    reader->at++;
    int64_t length = 0;
    bool first = !*known;
    if (!accept(reader, ']')) {
        do {
            int code = read_array(reader, samples, depth + 1, known);
            if (code) return code;
            length++;
        } while (accept(reader, ','));
        if (!accept(reader, ']')) return fail(reader, "a comma or a closing bracket is expected here.");
    } else if (first) {
        return fail(reader, "an array is empty.");
    }
    if (first) samples->dims[depth] = length;
    if (samples->dims[depth] != length) return fail(reader, "an array is not as long as those before it.");
    return 0;
}

static int read_sample(struct reader *reader, struct samples *samples) {
    bool known = samples->count > 0;
    samples->count++;
    return read_array(reader, samples, 0, &known);
}

static struct samples *find(struct reader *reader, const char *name, size_t length) {
    for (size_t i = 0; i < reader->count; i++) {
        struct samples *at = &reader->samples[i];
        if (at->name_length == length && (!length || memcmp(at->name, name, length) == 0)) return at;
    }
    if (reader->count == MAX_ARRAYS) return NULL;
    struct samples *samples = &reader->samples[reader->count++];
    samples->name = name;
    samples->name_length = length;
    return samples;
}

static int read_object(struct reader *reader) {
    do {
        if (!accept(reader, '"')) return fail(reader, "a name in double quotes is expected here.");
        const char *name = reader->at;
        size_t length = strcspn(name, "\"\\\n");
        if (length == 0 || name[length] != '"')
            return fail(reader, "the name of an array must be plain text.");
        reader->at += length + 1;
        if (!accept(reader, ':')) return fail(reader, "a colon is expected here.");
        struct samples *samples = find(reader, name, length);
        if (!samples) return fail(reader, "there are too many names.");
        int code = read_sample(reader, samples);
        if (code) return code;
    } while (accept(reader, ','));
    return accept(reader, '}') ? 0 : fail(reader, "a comma or a closing brace is expected here.");
}

static int read_samples(struct reader *reader) {
    for (int64_t lines = 1; peek(reader); lines++) {
        int code = accept(reader, '{') ? read_object(reader) : read_sample(reader, find(reader, NULL, 0));
        if (code) return code;
        for (size_t i = 0; i < reader->count; i++) {
            if (reader->samples[i].count != lines) {
                return fail(reader, "every line must hold the same names, each once.");
            }
        }
        (void)accept(reader, ',');
    }
    return reader->count ? 0 : kt_io_fail(reader->io, "There are no numbers in it.");
}

int kt_json_read(const kt_io *io, const char *text, kt_arrays *out_arrays) {
    struct reader reader = {.io = io, .at = text, .start = text};
    reader.samples = calloc(MAX_ARRAYS, sizeof *reader.samples);
    if (!reader.samples) return kt_io_no_memory(io);
    int code = read_samples(&reader);
    for (size_t i = 0; i < reader.count; i++) {
        struct samples *samples = &reader.samples[i];
        kt_buffer buffer = {samples->numbers.at,
                            (int64_t)(samples->numbers.count * sizeof(double)),
                            KT_F64,
                            samples->rank + 1,
                            {samples->count}};
        memcpy(buffer.dims + 1, samples->dims, sizeof buffer.dims - sizeof buffer.dims[0]);
        if (code == 0) {
            code = kt_io_push(io, out_arrays, samples->name, samples->name_length, &buffer);
        } else {
            free(samples->numbers.at);
        }
    }
    free(reader.samples);
    return code;
}

/* Writes the elements [*index …) of the dimensions from axis on. */
static void write_axis(FILE *file, const kt_buffer *buffer, int axis, int64_t *index) {
    if (axis == buffer->rank) {
        kt_io_print_element(file, buffer, (*index)++, true);
        return;
    }
    (void)fputc('[', file);
    for (int64_t i = 0; i < buffer->dims[axis]; i++) {
        if (i) (void)fputs(", ", file);
        write_axis(file, buffer, axis + 1, index);
    }
    (void)fputc(']', file);
}

void kt_json_write_text(FILE *file, const char *text) {
    (void)fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') (void)fputc('\\', file);
        if ((unsigned char)*text < 0x20) {
            (void)fprintf(file, "\\u%04x", (unsigned)*text);
        } else {
            (void)fputc(*text, file);
        }
    }
    (void)fputc('"', file);
}

void kt_json_write_name(FILE *file, const char *name) {
    kt_json_write_text(file, name);
    (void)fputs(": ", file);
}

void kt_json_write(FILE *file, const kt_array *arrays, size_t count) {
    if (count != 1) (void)fputc('{', file);
    for (size_t i = 0; i < count; i++) {
        int64_t index = 0;
        if (i) (void)fputs(", ", file);
        if (count != 1) kt_json_write_name(file, arrays[i].name);
        write_axis(file, &arrays[i].buffer, 0, &index);
    }
    (void)fputs(count != 1 ? "}\n" : "\n", file);
}
