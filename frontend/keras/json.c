/* The JSON of Keras's files, and the memory that jansson has for it. Python writes what JSON has no numbers
 * for as the words NaN, Infinity and -Infinity; they are read as strings, which kt_json_number takes for
 * numbers. */
#include "frontend/keras/keras_impl.h"
#include "frontend/layer.h"
#include "support/text.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ----------------------------------------------------------------------------------------------
 * Jansson answers a failed allocation with NULL, somewhere down in a value that is then not what was meant.
 * So it gets arena memory wherever there is an arena for it, which leaves through kt_guarded instead, and
 * keeps for the arena what was half made.
 */
typedef union header { /* before each allocation */
    bool of_arena;
    max_align_t alignment;
} header;

static _Thread_local kt_arena *json_arena;

static void *allocate(size_t bytes) {
    if (bytes > PTRDIFF_MAX - sizeof(header)) return NULL;
    header *at = json_arena ? kt_arena_alloc(json_arena, sizeof *at + bytes) : malloc(sizeof *at + bytes);
    if (!at) return NULL;
    at->of_arena = json_arena != NULL;
    return at + 1;
}

static void release(void *memory) {
    header *at = (header *)memory - 1;
    if (memory && !at->of_arena) free(at);
}

/* Before main: what jansson allocates one way must not be freed in another. */
static __attribute__((constructor)) void install(void) { json_set_alloc_funcs(allocate, release); }

kt_arena *kt_json_use(kt_arena *arena) {
    kt_arena *before = json_arena;
    json_arena = arena;
    return before;
}

/* ---- parsing --------------------------------------------------------------------------------- */
enum {
    JSON_LIMIT = 256 << 20,
    DEPTH_LIMIT = 200,
};

/* How deeply arrays and objects nest; brackets inside strings do not count. */
static int json_depth(kt_bytes text) {
    int depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.count; i++) {
        uint8_t c = text.at[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest) deepest = depth;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

/* Writes a string around each of Python's words outside of strings. A copy is made only if there is one. */
static kt_bytes quote_words(kt_arena *arena, kt_bytes text) {
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    kt_text out = {.arena = arena};
    const char *bytes = (const char *)text.at;
    size_t kept = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.count; i++) {
        if (quoted && bytes[i] == '\\') {
            i++;
        } else if (bytes[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && strchr("NI-", bytes[i]) && bytes[i]) {
            for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
                size_t length = strlen(words[w]);
                if (length > text.count - i || memcmp(bytes + i, words[w], length) != 0) continue;
                kt_text_add_bytes(&out, bytes + kept, i - kept);
                kt_text_format(&out, "\"%s\"", words[w]);
                kept = i + length;
                i = kept - 1;
                break;
            }
        }
    }
    if (!kept) return text;
    kt_text_add_bytes(&out, bytes + kept, text.count - kept);
    return (kt_bytes){(const uint8_t *)kt_text_string(&out), out.length};
}

kt_status kt_json_parse(kt_arena *arena, kt_bytes text, const char *name, const json_t **out_json,
                        kt_diag *diag) {
    if (text.count > JSON_LIMIT)
        return kt_diag_add(diag, KT_INVALID, NULL, "%s is larger than %d MiB.", name, JSON_LIMIT >> 20);
    int depth = json_depth(text);
    if (depth > DEPTH_LIMIT)
        return kt_diag_add(diag, KT_INVALID, NULL, "%s nests %d levels deep; at most %d are read.", name,
                           depth, DEPTH_LIMIT);
    text = quote_words(arena, text);
    json_error_t error;
    json_t *json = json_loadb((const char *)text.at, text.count, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return kt_diag_add(diag, KT_INVALID, NULL, "%s is not valid JSON: line %d, column %d: %s.", name,
                           error.line, error.column, error.text);
    kt_arena_defer(arena, kt_json_release, json);
    if (!json_is_object(json)) return kt_diag_add(diag, KT_INVALID, NULL, "%s is not a JSON object.", name);
    *out_json = json;
    return KT_OK;
}
