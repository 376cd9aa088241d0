/* What the fuzz targets share: see fuzz.h. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

typedef struct attempt {
    fuzz_body *body;
    const uint8_t *data;
    size_t size;
    kt_arena *arena;
    kt_diag *diag;
} attempt;

static kt_status create_arena(void *context) {
    ((attempt *)context)->arena = kt_arena_create();
    return KT_OK;
}

static kt_status run(void *context) {
    attempt *a = context;
    uint8_t *copy = kt_arena_alloc(a->arena, a->size + 1);
    if (a->size) memcpy(copy, a->data, a->size);
    return a->body(a->arena, (kt_bytes){copy, a->size}, a->diag);
}

void fuzz_reader(fuzz_body *body, const uint8_t *data, size_t size) {
    kt_diag diag = {0};
    attempt a = {.body = body, .data = data, .size = size, .diag = &diag};
    kt_status status = kt_guarded(create_arena, &a, &diag);
    if (status == KT_OK) status = kt_guarded(run, &a, &diag);
    if ((status == KT_OK) != (diag.count == 0)) KT_BUG("status %d with %u problems", status, diag.count);
    for (uint32_t i = 0; i < diag.count; i++) {
        size_t length = strlen(diag.problems[i].text);
        if (length < 3) KT_BUG("a sentence of %zu letters", length);
    }
    kt_diag_deinit(&diag);
    kt_arena_destroy(a.arena);
}

void fuzz_arrays(fuzz_arrays_body *body, const uint8_t *data, size_t size) {
    char error[KT_IO_ERROR] = "";
    const kt_io io = {"input", NULL, error};
    kt_arrays arrays = {0};
    uint8_t *bytes = malloc(size + 1);
    if (!bytes) return;
    if (size) memcpy(bytes, data, size);
    bytes[size] = 0;
    int code = body(&io, bytes, size, &arrays);
    if ((code == 0) != (error[0] == 0)) KT_BUG("code %d and “%s”", code, error);
    for (size_t i = 0; i < arrays.count && code == 0; i++) {
        char *text = NULL;
        size_t length = 0;
        FILE *file = open_memstream(&text, &length);
        if (!file) break;
        kt_npy_write(file, &arrays.at[i].buffer);
        if (kt_io_elements(&arrays.at[i].buffer)) kt_csv_write(file, &arrays.at[i].buffer);
        (void)fclose(file);
        free(text);
    }
    kt_arrays_deinit(&arrays);
}
