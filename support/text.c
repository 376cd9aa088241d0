/* A string that doubles its room in its arena when it is full. */
#include "support/text.h"

#include "runtime/room.h"

#include <stdio.h>
#include <string.h>

static void reserve(kt_text *text, size_t count) {
    if (text->capacity - text->length > count) return;
    size_t capacity = 2 * (text->length + count) + KT_ROOM(64, 1);
    char *moved = kt_arena_alloc(text->arena, capacity);
    if (text->length) memcpy(moved, text->at, text->length);
    text->at = moved;
    text->capacity = capacity;
}

void kt_text_add_bytes(kt_text *text, const void *bytes, size_t count) {
    reserve(text, count);
    if (count) memcpy(text->at + text->length, bytes, count);
    text->length += count;
    text->at[text->length] = '\0';
}

void kt_text_add(kt_text *text, const char *string) { kt_text_add_bytes(text, string, strlen(string)); }

void kt_text_format(kt_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    kt_text_vformat(text, format, arguments);
    va_end(arguments);
}

void kt_text_vformat(kt_text *text, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    KT_ASSERT(length >= 0);
    reserve(text, (size_t)length + 1);
    (void)vsnprintf(text->at + text->length, (size_t)length + 1, format, arguments);
    text->length += (size_t)length;
}

const char *kt_text_string(const kt_text *text) { return text->at ? text->at : ""; }

void kt_text_quote(kt_text *text, const char *string) {
    kt_text_add(text, "\"");
    for (const char *c = string; *c; c++) {
        switch (*c) {
        case '"': kt_text_add(text, "\\\""); break;
        case '\\': kt_text_add(text, "\\\\"); break;
        case '\n': kt_text_add(text, "\\n"); break;
        case '\r': kt_text_add(text, "\\r"); break;
        case '\t': kt_text_add(text, "\\t"); break;
        default:
            if ((unsigned char)*c < 0x20 || *c == 0x7f) {
                kt_text_format(text, "\\u%04x", (unsigned)(unsigned char)*c);
            } else {
                kt_text_add_bytes(text, c, 1);
            }
        }
    }
    kt_text_add(text, "\"");
}
