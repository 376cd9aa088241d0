/* A growing string. */
#ifndef KT_SUPPORT_TEXT_H
#define KT_SUPPORT_TEXT_H

#include "support/arena.h"

typedef struct kt_text {
    kt_arena *arena;
    char *at; /* always ends with a NUL once something was added; NULL before */
    size_t length, capacity;
} kt_text;

void kt_text_add(kt_text *text, const char *string);
void kt_text_add_bytes(kt_text *text, const void *bytes, size_t count);
void kt_text_format(kt_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kt_text_vformat(kt_text *text, const char *format, va_list arguments);
const char *kt_text_string(const kt_text *text); /* "" when empty */

/* Adds string in double quotes, with JSON's escapes. */
void kt_text_quote(kt_text *text, const char *string);

#endif
