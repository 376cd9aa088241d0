/* Words, names, numbers, types and elements of the text form. Nothing in the text is trusted: it is read up
 * to its NUL, and asks for no more memory than a small multiple of its length. */
#include "ir/element.h"
#include "ir/text/text_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *kt_lex_line(const kt_lexer *lexer) {
    uint32_t line = 1;
    for (const char *c = lexer->text; c < lexer->at; c++) line += *c == '\n';
    return kt_arena_format(lexer->arena, "line %" PRIu32, line);
}

kt_status kt_lex_fail(const kt_lexer *lexer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sentence = kt_arena_vformat(lexer->arena, format, arguments);
    va_end(arguments);
    return kt_diag_add(lexer->diag, KT_INVALID, kt_lex_line(lexer), "%s", sentence);
}

/* ---- characters and words -------------------------------------------------------------------- */

static void skip_blanks(kt_lexer *lexer) {
    for (;;) {
        lexer->at += strspn(lexer->at, " \t\r\n");
        if (lexer->at[0] != '/' || lexer->at[1] != '/') return;
        lexer->at += strcspn(lexer->at, "\n");
    }
}

bool kt_lex_at_end(kt_lexer *lexer) {
    skip_blanks(lexer);
    return lexer->at == lexer->end;
}

bool kt_lex_accept(kt_lexer *lexer, char c) {
    skip_blanks(lexer);
    if (*lexer->at != c) return false;
    lexer->at++;
    return true;
}

/* What stands at the position, for an error message. */
static const char *found(kt_lexer *lexer) {
    if (kt_lex_at_end(lexer)) return "the end";
    kt_span word = kt_lex_peek_word(lexer);
    if (word.length)
        return kt_arena_format(lexer->arena, "\"%.*s\"", (int)(word.length < 40 ? word.length : 40), word.at);
    unsigned char c = (unsigned char)*lexer->at;
    return c > ' ' && c < 127 ? kt_arena_format(lexer->arena, "'%c'", c)
                              : kt_arena_format(lexer->arena, "byte 0x%02x", c);
}

kt_status kt_lex_expect(kt_lexer *lexer, char c) {
    if (kt_lex_accept(lexer, c)) return KT_OK;
    return kt_lex_fail(lexer, "Expected '%c', found %s.", c, found(lexer));
}

static kt_span word_at(const char *at) {
    uint32_t length = 0;
    while (kt_text_is_word(at[length]) && length < UINT32_MAX) length++;
    return (kt_span){at, length};
}

kt_span kt_lex_peek_word(kt_lexer *lexer) {
    skip_blanks(lexer);
    return word_at(lexer->at);
}

kt_span kt_lex_word(kt_lexer *lexer) {
    kt_span word = kt_lex_peek_word(lexer);
    lexer->at += word.length;
    return word;
}

bool kt_span_is(kt_span span, const char *word) {
    return strlen(word) == span.length && memcmp(span.at, word, span.length) == 0;
}

bool kt_lex_accept_word(kt_lexer *lexer, const char *word) {
    kt_span span = kt_lex_peek_word(lexer);
    if (!kt_span_is(span, word)) return false;
    lexer->at += span.length;
    return true;
}

const char *kt_span_string(const kt_lexer *lexer, kt_span span) {
    char *string = kt_arena_alloc(lexer->arena, (size_t)span.length + 1);
    memcpy(string, span.at, span.length);
    return string;
}

/* ---- strings and names ----------------------------------------------------------------------- */

static bool hex_digits(const char *at, int count, uint32_t *out_number) {
    *out_number = 0;
    for (int i = 0; i < count; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at[i] ? strchr(digits, at[i]) : NULL;
        if (!digit) return false;
        *out_number = *out_number << 4 | ((uint32_t)(digit - digits) & 15);
    }
    return true;
}

/* Reads what follows \u: a code point, or two surrogates; writes UTF-8. */
static bool unicode_escape(const char **at, char **to) {
    uint32_t point, low;
    if (!hex_digits(*at, 4, &point)) return false;
    *at += 4;
    if (point >= 0xd800 && point < 0xdc00) {
        if ((*at)[0] != '\\' || (*at)[1] != 'u' || !hex_digits(*at + 2, 4, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return false;
        *at += 6;
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (point == 0 || (point >= 0xdc00 && point < 0xe000)) return false;
    if (point < 0x80) {
        *(*to)++ = (char)point;
        return true;
    }
    int following = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
    *(*to)++ = (char)(marks[following] | point >> 6 * following);
    while (following-- > 0) *(*to)++ = (char)(0x80 | (point >> 6 * following & 0x3f));
    return true;
}

bool kt_lex_at_string(kt_lexer *lexer) {
    skip_blanks(lexer);
    return *lexer->at == '"';
}

kt_status kt_lex_string(kt_lexer *lexer, const char **out_string) {
    if (!kt_lex_at_string(lexer))
        return kt_lex_fail(lexer, "Expected a string in quotes, found %s.", found(lexer));
    const char *at = lexer->at + 1;
    while (*at && *at != '"' && *at != '\n') at += at[0] == '\\' && at[1] ? 2 : 1;
    if (*at != '"') return kt_lex_fail(lexer, "A string has no closing quote on its line.");
    char *string = kt_arena_alloc(lexer->arena, (size_t)(at - lexer->at)); /* escapes only shrink */
    char *to = string;
    const char *close = at;
    for (at = lexer->at + 1; at < close;) {
        char c = *at++;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
        char letter = *at++;
        const char *escape = strchr(escapes, letter);
        if (escape)
            *to++ = meant[escape - escapes];
        else if (letter != 'u' || !unicode_escape(&at, &to))
            return kt_lex_fail(lexer, "A string holds a \\ that starts no escape of JSON.");
    }
    lexer->at = close + 1;
    *out_string = string;
    return KT_OK;
}

kt_status kt_lex_name(kt_lexer *lexer, const char **out_name) {
    if (!kt_lex_accept(lexer, '@'))
        return kt_lex_fail(lexer, "Expected a name with @, found %s.", found(lexer));
    if (*lexer->at == '"') return kt_lex_string(lexer, out_name);
    kt_span word = word_at(lexer->at);
    if (!word.length) return kt_lex_fail(lexer, "No name follows the @.");
    lexer->at += word.length;
    *out_name = kt_span_string(lexer, word);
    return KT_OK;
}

kt_status kt_lex_value(kt_lexer *lexer, kt_span *out_name) {
    if (!kt_lex_accept(lexer, '%'))
        return kt_lex_fail(lexer, "Expected a value with %%, found %s.", found(lexer));
    *out_name = word_at(lexer->at);
    if (!out_name->length) return kt_lex_fail(lexer, "No name follows the %%.");
    lexer->at += out_name->length;
    return KT_OK;
}

/* ---- numbers, dimensions, types -------------------------------------------------------------- */

kt_status kt_lex_integer(kt_lexer *lexer, int64_t *out_number) {
    skip_blanks(lexer);
    char *behind;
    errno = 0;
    *out_number = strtoll(lexer->at, &behind, 10);
    if (behind == lexer->at) return kt_lex_fail(lexer, "Expected a whole number, found %s.", found(lexer));
    if (errno == ERANGE) return kt_lex_fail(lexer, "A number is too large: %s.", found(lexer));
    lexer->at = behind;
    return KT_OK;
}

kt_status kt_lex_index(kt_lexer *lexer, uint32_t *out_number) {
    int64_t number;
    KT_TRY(kt_lex_integer(lexer, &number));
    if (number < 0 || number > UINT32_MAX) return kt_lex_fail(lexer, "%" PRId64 " is out of range.", number);
    *out_number = (uint32_t)number;
    return KT_OK;
}

kt_status kt_lex_dim(kt_lexer *lexer, kt_dim *out_dim) {
    skip_blanks(lexer);
    const char *at = lexer->at;
    if (!kt_dim_parse(lexer->dims, &at, out_dim))
        return kt_lex_fail(lexer, "Expected a dimension expression, found %s.", found(lexer));
    lexer->at = at;
    return KT_OK;
}

/* Is there another item of a bracketed list? To be called after the opening bracket and after each item. */
static kt_status another(kt_lexer *lexer, uint32_t count, bool *out_more) {
    *out_more = !kt_lex_accept(lexer, ']');
    if (!*out_more) return KT_OK;
    if (count > 0) KT_TRY(kt_lex_expect(lexer, ','));
    return KT_OK;
}

static kt_status too_many(const kt_lexer *lexer) {
    return kt_lex_fail(lexer, "A list holds more than %d items, one for each axis.", KT_MAX_RANK);
}

kt_status kt_lex_dims(kt_lexer *lexer, kt_dims *out_dims) {
    bool more;
    out_dims->count = 0;
    KT_TRY(kt_lex_expect(lexer, '['));
    for (;;) {
        KT_TRY(another(lexer, out_dims->count, &more));
        if (!more) return KT_OK;
        if (out_dims->count == KT_MAX_RANK) return too_many(lexer);
        KT_TRY(kt_lex_dim(lexer, &out_dims->at[out_dims->count]));
        out_dims->count++;
    }
}

kt_status kt_lex_ints(kt_lexer *lexer, kt_ints *out_ints) {
    bool more;
    out_ints->count = 0;
    KT_TRY(kt_lex_expect(lexer, '['));
    for (;;) {
        KT_TRY(another(lexer, out_ints->count, &more));
        if (!more) return KT_OK;
        if (out_ints->count == KT_MAX_RANK) return too_many(lexer);
        KT_TRY(kt_lex_integer(lexer, &out_ints->at[out_ints->count]));
        out_ints->count++;
    }
}

kt_status kt_lex_dtype(kt_lexer *lexer, kt_dtype *out_dtype) {
    kt_span word = kt_lex_peek_word(lexer);
    if (!kt_dtype_parse(kt_span_string(lexer, word), out_dtype))
        return kt_lex_fail(lexer, "Expected an element type such as f32, found %s.", found(lexer));
    lexer->at += word.length;
    return KT_OK;
}

kt_status kt_lex_type(kt_lexer *lexer, kt_type *out_type) {
    kt_dims dims = {0};
    *out_type = (kt_type){0};
    KT_TRY(kt_lex_dtype(lexer, &out_type->dtype));
    skip_blanks(lexer);
    if (*lexer->at == '[') KT_TRY(kt_lex_dims(lexer, &dims));
    out_type->rank = (uint8_t)dims.count;
    memcpy(out_type->dims, dims.at, sizeof dims.at);
    return KT_OK;
}

/* ---- elements -------------------------------------------------------------------------------- */

static bool parse_float(kt_dtype dtype, const char *token, void *data) {
    size_t size = kt_dtype_bytes(dtype);
    char *behind;
    if (token[0] == '0' && token[1] == 'x') { /* the bits */
        uint64_t bits = strtoull(token, &behind, 16);
        if (strlen(token) != 2 * size + 2 || *behind) return false;
        memcpy(data, &bits, size);
        return true;
    }
    double number = strtod(token, &behind);
    kt_element_set_float(dtype, data, 0, number);
    return *behind == 0;
}

static bool parse_whole(kt_dtype dtype, const char *token, void *data) {
    char *behind;
    errno = 0;
    if (dtype == KT_U64 && token[0] != '-') {
        uint64_t number = strtoull(token, &behind, 10);
        kt_element_set_integer(dtype, data, 0, (int64_t)number);
        return *behind == 0 && errno == 0;
    }
    int64_t number = strtoll(token, &behind, 10);
    kt_element_set_integer(dtype, data, 0, number);
    bool kept = kt_element_integer(dtype, data, 0) == number && (dtype != KT_U64 || number >= 0);
    return *behind == 0 && errno == 0 && kept;
}

static kt_status lex_element(kt_lexer *lexer, kt_dtype dtype, void *data) {
    skip_blanks(lexer);
    char token[400]; /* a double has at most 310 digits before its point */
    size_t length = 0;
    while (length + 1 < sizeof token && (kt_text_is_word(lexer->at[length]) || lexer->at[length] == '+'))
        length++;
    memcpy(token, lexer->at, length);
    token[length] = 0;
    bool good = length > 0;
    if (dtype == KT_BOOL) {
        *(uint8_t *)data = strcmp(token, "true") == 0;
        good = *(uint8_t *)data || strcmp(token, "false") == 0;
    } else if (kt_dtype_is_float(dtype)) {
        good = good && parse_float(dtype, token, data);
    } else if (kt_dtype_is_integer(dtype)) {
        good = good && parse_whole(dtype, token, data);
    } else {
        return kt_lex_fail(lexer, "Elements of %s are written as base64 only.", kt_dtype_name(dtype));
    }
    if (!good)
        return kt_lex_fail(lexer, "Expected a number of type %s, found %s.", kt_dtype_name(dtype),
                           found(lexer));
    lexer->at += length;
    return KT_OK;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static kt_status lex_base64(kt_lexer *lexer, size_t bytes, uint8_t **out_data) {
    KT_TRY(kt_lex_expect(lexer, '"'));
    const char *coded = lexer->at;
    const char *close = strchr(coded, '"');
    if (!close) return kt_lex_fail(lexer, "base64 has no closing quote.");
    size_t length = (size_t)(close - coded), padding = (3 - bytes % 3) % 3;
    if (length % 4 || length / 4 != bytes / 3 + (padding > 0))
        return kt_lex_fail(lexer, "base64 of %zu characters does not hold the %zu bytes of the type.", length,
                           bytes);
    uint8_t *data = kt_arena_alloc(lexer->arena, length / 4 * 3);
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t j = 0; j < 4; j++) {
            bool pad = i + j >= length - padding;
            int digit = pad ? 0 : base64_digit(coded[i + j]);
            if (digit < 0 || (pad && coded[i + j] != '='))
                return kt_lex_fail(lexer, "base64 holds a wrong character.");
            group = group << 6 | (uint32_t)digit;
        }
        for (size_t j = 0; j < 3; j++) data[i / 4 * 3 + j] = (uint8_t)(group >> (16 - 8 * j));
    }
    lexer->at = close + 1;
    *out_data = data;
    return KT_OK;
}

/* The number of elements of a static type whose bytes can be counted. */
static kt_status count_elements(kt_lexer *lexer, const kt_type *type, size_t *out_count) {
    int64_t count = 1, bytes;
    for (int i = 0; i < type->rank; i++) {
        int64_t size;
        if (!kt_dim_is_const(lexer->dims, type->dims[i], &size) || size < 0)
            return kt_lex_fail(lexer, "A tensor with elements needs numbers of at least 0 as dimensions.");
        if (__builtin_mul_overflow(count, size, &count)) return kt_lex_fail(lexer, "A tensor is too large.");
    }
    if (kt_dtype_bytes(type->dtype) == 0)
        return kt_lex_fail(lexer, "Elements of %s cannot be written.", kt_dtype_name(type->dtype));
    if (__builtin_mul_overflow(count, (int64_t)kt_dtype_bytes(type->dtype), &bytes))
        return kt_lex_fail(lexer, "A tensor is too large.");
    *out_count = (size_t)count;
    return KT_OK;
}

static kt_status lex_list(kt_lexer *lexer, const kt_type *type, size_t count, uint8_t **out_data) {
    size_t size = kt_dtype_bytes(type->dtype);
    KT_VECTOR(uint64_t) elements = {0};
    bool more;
    KT_TRY(kt_lex_expect(lexer, '['));
    for (;;) {
        KT_TRY(another(lexer, elements.count, &more));
        if (!more) break;
        if (elements.count == count)
            return kt_lex_fail(lexer, "There are more elements than the type's %zu.", count);
        KT_PUSH(lexer->arena, &elements, 0);
        KT_TRY(lex_element(lexer, type->dtype, &elements.at[elements.count - 1]));
    }
    if (elements.count != count)
        return kt_lex_fail(lexer, "There are %" PRIu32 " elements where the type has %zu.", elements.count,
                           count);
    *out_data = kt_arena_alloc(lexer->arena, count * size);
    for (size_t i = 0; i < count; i++) memcpy(*out_data + i * size, &elements.at[i], size);
    return KT_OK;
}

kt_status kt_lex_elements(kt_lexer *lexer, const kt_type *type, kt_literal *out_literal) {
    size_t count = 0, size = kt_dtype_bytes(type->dtype);
    uint8_t *data = NULL;
    KT_TRY(count_elements(lexer, type, &count));
    if (kt_lex_accept_word(lexer, "base64")) {
        KT_TRY(lex_base64(lexer, count * size, &data));
    } else if (kt_lex_accept_word(lexer, "all")) {
        uint64_t element = 0;
        KT_TRY(lex_element(lexer, type->dtype, &element));
        if (count * size > KT_TEXT_ALL_BYTES)
            return kt_lex_fail(lexer, "\"all\" stands for at most %d bytes; write base64.",
                               KT_TEXT_ALL_BYTES);
        data = kt_arena_alloc(lexer->arena, count * size);
        for (size_t i = 0; i < count; i++) memcpy(data + i * size, &element, size);
    } else if (kt_lex_accept_word(lexer, "hash")) {
        return kt_lex_fail(lexer, "The elements were left out when this text was printed.");
    } else {
        KT_TRY(lex_list(lexer, type, count, &data));
    }
    *out_literal = (kt_literal){data, count * size};
    return KT_OK;
}

kt_status kt_lex_skip_elements(kt_lexer *lexer) {
    if (kt_lex_accept(lexer, '[')) {
        lexer->at += strcspn(lexer->at, "]");
        return kt_lex_expect(lexer, ']');
    }
    if (kt_lex_accept_word(lexer, "all")) {
        skip_blanks(lexer);
        while (kt_text_is_word(*lexer->at) || *lexer->at == '+') lexer->at++;
        return KT_OK;
    }
    if (!kt_lex_accept_word(lexer, "base64") && !kt_lex_accept_word(lexer, "hash"))
        return kt_lex_fail(lexer, "Expected elements, found %s.", found(lexer));
    KT_TRY(kt_lex_expect(lexer, '"'));
    lexer->at += strcspn(lexer->at, "\"");
    return kt_lex_expect(lexer, '"');
}
