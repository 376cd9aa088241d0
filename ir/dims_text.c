/* Dimension expressions as text:
 *
 *   sum     = product { ("+" | "-") product }
 *   product = factor { "*" factor }
 *   factor  = number | name | "-" factor | "(" sum ")" | function "(" sum "," sum ")"
 *   function = "floordiv" | "mod" | "max" | "min" | "product"
 *
 * A name that is no identifier stands in double quotes, with JSON's escapes. */
#include "ir/dims_impl.h"

#include <string.h>

enum {
    MAX_DEPTH = 500,   /* of nested parentheses */
    MAX_FACTORS = 4096 /* in one expression */
};

static const struct {
    const char *name;
    kt_dim_kind kind;
    kt_dim (*make)(kt_dim_pool *pool, kt_dim a, kt_dim b);
} functions[] = {
    {"floordiv", KT_DIM_FLOORDIV, kt_dim_floordiv},
    {"mod", KT_DIM_MOD, kt_dim_mod},
    {"max", KT_DIM_MAX, kt_dim_max},
    {"min", KT_DIM_MIN, kt_dim_min},
    {"product", KT_DIM_PRODUCT, kt_dim_unexpanded},
};
enum { FUNCTION_COUNT = sizeof functions / sizeof functions[0] };

static bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool continues_name(char c) { return starts_name(c) || is_digit(c) || c == '.'; }

static bool is_identifier(const char *name) {
    if (!starts_name(*name)) return false;
    while (*name && continues_name(*name)) name++;
    return *name == '\0';
}

/* The factor that stands before a term, apart. */
static int64_t leading_number(const kt_dim_pool *pool, kt_dim term) {
    int64_t number = 1;
    kt_dim_info info = kt_dim_describe(pool, term);
    if (info.kind == KT_DIM_CONST) return info.value;
    if (info.kind == KT_DIM_PRODUCT) (void)kt_dim_is_const(pool, info.terms[0], &number);
    return number;
}

static void print_product(const kt_dim_pool *pool, const kt_dim_info *info, bool positive,
                          kt_text *out_text) {
    int64_t number = 0;
    uint32_t first = 0;
    if (kt_dim_is_const(pool, info->terms[0], &number)) {
        if (positive && number < 0) number = -number;
        first = 1;
        if (number == -1) kt_text_add(out_text, "-");
        if (number != 1 && number != -1) kt_text_format(out_text, "%lld*", (long long)number);
    }
    for (uint32_t i = first; i < info->term_count; i++) {
        if (i > first) kt_text_add(out_text, "*");
        kt_dim_print(pool, info->terms[i], out_text);
    }
}

static void print_sum(const kt_dim_pool *pool, const kt_dim_info *info, kt_text *out_text) {
    kt_dim_print(pool, info->terms[0], out_text);
    for (uint32_t i = 1; i < info->term_count; i++) {
        int64_t number = leading_number(pool, info->terms[i]);
        kt_text_add(out_text, number < 0 ? " - " : " + ");
        kt_dim_info term = kt_dim_describe(pool, info->terms[i]);
        if (number >= 0) {
            kt_dim_print(pool, info->terms[i], out_text);
        } else if (term.kind == KT_DIM_CONST) {
            kt_text_format(out_text, "%lld", -(long long)number);
        } else {
            print_product(pool, &term, true, out_text);
        }
    }
}

void kt_dim_print(const kt_dim_pool *pool, kt_dim dim, kt_text *out_text) {
    kt_dim_info info = kt_dim_describe(pool, dim);
    if (info.kind == KT_DIM_CONST) {
        kt_text_format(out_text, "%lld", (long long)info.value);
    } else if (info.kind == KT_DIM_SYMBOL) {
        const char *name = kt_dim_symbol_name(pool, (uint32_t)info.value);
        if (is_identifier(name)) {
            kt_text_add(out_text, name);
        } else {
            kt_text_quote(out_text, name);
        }
    } else if (info.kind == KT_DIM_SUM) {
        print_sum(pool, &info, out_text);
    } else if (info.kind == KT_DIM_PRODUCT && !kt_dim_is_unexpanded(pool, dim)) {
        print_product(pool, &info, false, out_text);
    } else {
        int function = 0;
        while (functions[function].kind != info.kind) function++;
        kt_text_format(out_text, "%s(", functions[function].name);
        kt_dim_print(pool, info.terms[0], out_text);
        kt_text_add(out_text, ", ");
        kt_dim_print(pool, info.terms[1], out_text);
        kt_text_add(out_text, ")");
    }
}

struct reader {
    kt_dim_pool *pool;
    kt_text name;
    const char *at;
    int depth, factors;
};

static bool accept(struct reader *reader, char wanted) {
    const char *at = reader->at;
    while (*at == ' ') at++;
    if (*at != wanted) return false;
    reader->at = at + 1;
    return true;
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What follows an opening quote. Only the escapes that kt_text_quote writes. */
static bool read_quoted(struct reader *reader) {
    static const char escapes[] = "\"\\nrt", meanings[] = "\"\\\n\r\t";
    for (;; reader->at++) {
        char c = *reader->at;
        if (c == '\0') return false;
        if (c == '"') {
            reader->at++;
            return true;
        }
        if (c == '\\') {
            c = *++reader->at;
            const char *escape = c ? strchr(escapes, c) : NULL;
            if (escape) {
                c = meanings[escape - escapes];
            } else if (c == 'u') {
                int code = 0;
                for (int i = 0; i < 4; i++) {
                    int digit = hex_digit(*++reader->at);
                    if (digit < 0) return false;
                    code = code * 16 + digit;
                }
                if (code < 1 || code > 127) return false;
                c = (char)code;
            } else {
                return false;
            }
        }
        kt_text_add_bytes(&reader->name, &c, 1);
    }
}

static bool read_number(struct reader *reader, kt_dim *out_dim) {
    int64_t value = 0;
    for (; is_digit(*reader->at); reader->at++) {
        if (__builtin_mul_overflow(value, 10, &value)) return false;
        if (__builtin_add_overflow(value, *reader->at - '0', &value)) return false;
    }
    *out_dim = kt_dim_const(reader->pool, value);
    return true;
}

static bool read_sum(struct reader *reader, kt_dim *out_dim);

static bool read_call(struct reader *reader, const char *name, size_t length, kt_dim *out_dim) {
    for (int i = 0; i < FUNCTION_COUNT; i++) {
        if (strlen(functions[i].name) != length || memcmp(functions[i].name, name, length) != 0) continue;
        kt_dim a = 0, b = 0;
        if (!read_sum(reader, &a) || !accept(reader, ',')) return false;
        if (!read_sum(reader, &b) || !accept(reader, ')')) return false;
        *out_dim = functions[i].make(reader->pool, a, b);
        return true;
    }
    return false;
}

static bool read_factor(struct reader *reader, kt_dim *out_dim) {
    bool negative = false;
    while (accept(reader, '-')) negative = !negative;
    if (++reader->factors > MAX_FACTORS) return false;
    while (*reader->at == ' ') reader->at++;
    const char *start = reader->at;
    reader->name.length = 0;
    kt_text_add(&reader->name, "");
    if (is_digit(*start)) {
        if (!read_number(reader, out_dim)) return false;
    } else if (accept(reader, '(')) {
        if (!read_sum(reader, out_dim) || !accept(reader, ')')) return false;
    } else if (accept(reader, '"')) {
        if (!read_quoted(reader)) return false;
        *out_dim = kt_dim_symbol(reader->pool, kt_text_string(&reader->name));
    } else if (starts_name(*start)) {
        while (continues_name(*reader->at)) reader->at++;
        size_t length = (size_t)(reader->at - start);
        if (accept(reader, '(')) {
            if (!read_call(reader, start, length, out_dim)) return false;
        } else {
            kt_text_add_bytes(&reader->name, start, length);
            *out_dim = kt_dim_symbol(reader->pool, kt_text_string(&reader->name));
        }
    } else {
        return false;
    }
    if (negative) *out_dim = kt_dim_mul_const(reader->pool, *out_dim, -1);
    return true;
}

static bool read_product(struct reader *reader, kt_dim *out_dim) {
    if (!read_factor(reader, out_dim)) return false;
    while (accept(reader, '*')) {
        kt_dim next = 0;
        if (!read_factor(reader, &next)) return false;
        *out_dim = kt_dim_mul(reader->pool, *out_dim, next);
    }
    return true;
}

static bool read_sum(struct reader *reader, kt_dim *out_dim) {
    if (++reader->depth > MAX_DEPTH) return false;
    if (!read_product(reader, out_dim)) return false;
    for (;;) {
        bool minus = accept(reader, '-');
        if (!minus && !accept(reader, '+')) break;
        kt_dim next = 0;
        if (!read_product(reader, &next)) return false;
        *out_dim =
            minus ? kt_dim_sub(reader->pool, *out_dim, next) : kt_dim_add(reader->pool, *out_dim, next);
    }
    reader->depth--;
    return true;
}

bool kt_dim_parse(kt_dim_pool *pool, const char **cursor, kt_dim *out_dim) {
    struct reader reader = {.pool = pool, .name = {.arena = kt_dim_pool_arena(pool)}, .at = *cursor};
    if (!read_sum(&reader, out_dim)) return false;
    *cursor = reader.at;
    return true;
}
