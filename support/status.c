/* Problems are copied whole: each is one block from malloc that holds its text, file and place. */
#include "support/status.h"

#include "runtime/room.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *append(char *at, const char *string, const char **out_copy) {
    *out_copy = NULL;
    if (!string) return at;
    size_t bytes = strlen(string) + 1;
    memcpy(at, string, bytes);
    *out_copy = at;
    return at + bytes;
}

static const kt_problem exhausted = {.status = KT_OUT_OF_MEMORY, .text = "Memory is exhausted."};

/* There is no memory for a sentence: where there is none yet, it is one that needs no memory. */
static kt_status drop(kt_diag *diag, kt_status status) {
    if (diag->count) return status;
    free(diag->problems);
    diag->problems = (kt_problem *)&exhausted;
    diag->count = 1;
    diag->capacity = 0;
    return status;
}

kt_status kt_diag_add(kt_diag *diag, kt_status status, const char *where, const char *format, ...) {
    if (diag->problems == &exhausted) return status;
    if (diag->count == diag->capacity) {
        uint32_t capacity = diag->capacity ? 2 * diag->capacity : KT_ROOM(8, 1);
        kt_problem *problems = realloc(diag->problems, capacity * sizeof *problems);
        if (!problems) return drop(diag, status);
        diag->problems = problems;
        diag->capacity = capacity;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) return drop(diag, status);
    size_t text_bytes = (size_t)length + 1;
    char *text =
        malloc(text_bytes + (where ? strlen(where) + 1 : 0) + (diag->file ? strlen(diag->file) + 1 : 0));
    if (!text) return drop(diag, status);
    va_start(arguments, format);
    (void)vsnprintf(text, text_bytes, format, arguments);
    va_end(arguments);
    kt_problem *problem = &diag->problems[diag->count++];
    *problem = (kt_problem){.status = status, .text = text};
    append(append(text + text_bytes, where, &problem->where), diag->file, &problem->file);
    return status;
}

void kt_diag_deinit(kt_diag *diag) {
    if (diag->problems != &exhausted) {
        for (uint32_t i = 0; i < diag->count; i++) free((char *)diag->problems[i].text);
        free(diag->problems);
    }
    *diag = (kt_diag){0};
}

void kt_bug(const char *file, int line, const char *format, ...) {
    (void)fprintf(stderr, "keratin: bug at %s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    abort();
}
