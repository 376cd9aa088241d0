/* Mutation of JSON that knows what JSON is: a value is replaced, dropped, doubled or taken from elsewhere,
 * so that most of what the readers are given has a config's form and goes far into them. */
#include "fuzz.h"

#include <stdlib.h>

enum { MOST_PLACES = 1 << 14 };

typedef struct place {
    json_t *parent;
    const char *key; /* of objects */
    size_t index;    /* of arrays */
    json_t *value;
} place;

typedef struct places {
    place at[MOST_PLACES];
    size_t count;
} places;

static void add_place(places *list, place one);

static void walk(places *list, json_t *value) {
    const char *key;
    size_t index;
    json_t *item;
    json_object_foreach(value, key, item) add_place(list, (place){value, key, 0, item});
    json_array_foreach(value, index, item) add_place(list, (place){value, NULL, index, item});
}

static void add_place(places *list, place one) {
    if (list->count < MOST_PLACES) list->at[list->count++] = one;
    walk(list, one.value);
}

static unsigned draw(unsigned *state, size_t below) {
    *state = *state * 1664525U + 1013904223U;
    return below ? (unsigned)((*state >> 8) % below) : 0;
}

static json_t *odd_value(unsigned *state) {
    static const char *const texts[] = {
        "null",       "true",
        "false",      "0",
        "1",          "-1",
        "2",          "3",
        "7",          "65536",
        "2147483647", "-9",
        "1e300",      "-0.5",
        "0.001",      "9223372036854775807",
        "\"\"",       "[]",
        "{}",         "[1,1]",
        "[null,3]",   "[0]",
        "\"valid\"",  "\"same\"",
        "\"relu\"",   "\"float16\"",
        "\"int64\"",  "4294967296",
        "[2,3,4]",    "-9223372036854775808",
    };
    return json_loads(texts[draw(state, sizeof texts / sizeof *texts)], JSON_DECODE_ANY, NULL);
}

static json_t *tweaked(const json_t *value, unsigned *state) {
    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        switch (draw(state, 4)) {
        case 0: return json_integer(n < INT64_MAX ? n + 1 : n);
        case 1: return json_integer(n > INT64_MIN ? n - 1 : n);
        case 2: return json_integer(n > INT64_MIN ? -n : n);
        default: {
            uint64_t shifted = (uint64_t)n << draw(state, 63);
            return json_integer((json_int_t)shifted);
        }
        }
    }
    if (json_is_boolean(value)) return json_boolean(json_is_false(value));
    if (json_is_array(value)) {
        json_t *longer = json_deep_copy(value), *first = json_array_get(value, 0);
        if (first) json_array_append_new(longer, json_deep_copy(first));
        return longer;
    }
    return odd_value(state);
}

static void put(const place *where, json_t *value) {
    if (!value) return;
    if (where->key)
        json_object_set_new(where->parent, where->key, value);
    else
        json_array_set_new(where->parent, where->index, value);
}

static void change(json_t *root, const json_t *other, unsigned *state) {
    places *here = calloc(1, sizeof *here), *there = calloc(1, sizeof *there);
    if (here && there) {
        walk(here, root);
        walk(there, other ? (json_t *)(uintptr_t)other : root);
        if (here->count && there->count) {
            const place *where = &here->at[draw(state, here->count)];
            const json_t *from = there->at[draw(state, there->count)].value;
            switch (draw(state, 6)) {
            case 0: put(where, odd_value(state)); break;
            case 1: put(where, json_deep_copy(from)); break;
            case 2:
                if (where->key)
                    json_object_del(where->parent, where->key);
                else
                    json_array_remove(where->parent, where->index);
                break;
            case 3:
                if (json_is_array(where->parent))
                    json_array_insert_new(where->parent, where->index, json_deep_copy(from));
                else
                    put(where, json_pack("[O]", where->value));
                break;
            default: put(where, tweaked(where->value, state)); break;
            }
        }
    }
    free(here);
    free(there);
}

size_t fuzz_json_mutate(uint8_t *data, size_t size, size_t room, unsigned seed, const uint8_t *other,
                        size_t other_size) {
    size_t result = 0;
    json_t *root = json_loadb((const char *)data, size, 0, NULL);
    json_t *second = other ? json_loadb((const char *)other, other_size, 0, NULL) : NULL;
    if (root) {
        for (unsigned i = 0; i <= seed % 3; i++) change(root, second, &seed);
        size_t length = json_dumpb(root, (char *)data, room, JSON_COMPACT);
        if (length <= room) result = length;
    }
    json_decref(second);
    json_decref(root);
    return result;
}
