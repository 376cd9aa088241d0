/* Options: reading a configuration by a class's table, and writing it back.
 *
 * A table row says where the value lies in the class's struct and how its JSON looks; what follows from
 * several options, or from a range, is the class's `check`. Every problem is recorded, not only the first.
 * What Keras keeps as an object (initializers, regularizers, constraints) is checked and kept as it was
 * written. */
#include "frontend/options.h"
#include "frontend/constraints/constraints.h"
#include "frontend/layers/layers_impl.h"
#include "frontend/regularizers/regularizers.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

static const char initializers[] =
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal "
    "LecunUniform "
    "Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal "
    "VarianceScaling Zeros constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal "
    "lecun_uniform normal one ones orthogonal random_normal random_uniform stft truncated_normal uniform "
    "variance_scaling zero zeros";

typedef struct reader {
    const kt_configured *what;
    kt_layer_context *context;
    const kt_option *option;
} reader;

kt_status kt_options_reject(const kt_configured *what, kt_layer_context *context, kt_status status,
                            const char *option, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(context->arena, format, arguments);
    va_end(arguments);
    return kt_diag_add(context->diag, status, what->path, "option '%s' of %s %s", option, what->class_name,
                       text);
}

bool kt_options_listed(const char *list, const char *word) {
    size_t length = strlen(word);
    if (length == 0 || strchr(word, ' ')) return false;
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) return true;
    }
    return false;
}

const kt_option *kt_option_find(const kt_option *options, const char *name) {
    for (; options && options->name; options++) {
        if (strcmp(options->name, name) == 0) return options;
    }
    return NULL;
}

/* value as it is written, shortened, for a sentence. */
static const char *describe(kt_arena *arena, const json_t *value) {
    enum { SHOWN = 60 };
    char text[SHOWN];
    size_t length = json_dumpb(value, text, sizeof text, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (length <= sizeof text) return kt_arena_format(arena, "%.*s", (int)length, text);
    return json_is_object(value) ? "an object" : json_is_array(value) ? "a long list" : "a long string";
}

static kt_status reject_value(const reader *r, const json_t *value, const char *expected) {
    return kt_options_reject(r->what, r->context, KT_INVALID, r->option->name, "must be %s, not %s.",
                             expected, describe(r->context->arena, value));
}

/* Keeps a value for as long as the arena lives. */
static const json_t *keep(const reader *r, const json_t *value) {
    if (json_is_null(value)) return NULL;
    json_t *kept = json_incref((json_t *)value);
    kt_arena_defer(r->context->arena, kt_json_release, kept);
    return kept;
}

static kt_status read_string(const reader *r, const json_t *value, const char **out_string) {
    if (!json_is_string(value)) return reject_value(r, value, "a string");
    *out_string = kt_arena_string(r->context->arena, json_string_value(value));
    return KT_OK;
}

static kt_status read_choice(const reader *r, const json_t *value, const char **out_string) {
    if (!json_is_string(value) || !kt_options_listed(r->option->choices, json_string_value(value))) {
        return reject_value(r, value, kt_arena_format(r->context->arena, "one of: %s", r->option->choices));
    }
    return read_string(r, value, out_string);
}

static kt_status read_ints(const reader *r, const json_t *value, bool none_inside, kt_ints *out_ints) {
    kt_arena *arena = r->context->arena;
    uint32_t wanted = (uint32_t)r->option->count;
    if (json_is_integer(value) && wanted) {
        out_ints->count = wanted;
        for (uint32_t i = 0; i < wanted; i++) out_ints->at[i] = json_integer_value(value);
        return KT_OK;
    }
    const char *items = none_inside ? "integers or null" : "integers";
    const char *expected = wanted ? kt_arena_format(arena, "an integer or a list of %u integers", wanted)
                                  : kt_arena_format(arena, "a list of at most %d %s", KT_MAX_RANK, items);
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > KT_MAX_RANK || (wanted && count != wanted)) {
        return reject_value(r, value, expected);
    }
    out_ints->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        if (none_inside && json_is_null(item)) {
            out_ints->at[i] = -1;
        } else if (json_is_integer(item) && !(none_inside && json_integer_value(item) < 0)) {
            out_ints->at[i] = json_integer_value(item);
        } else {
            return reject_value(r, value, expected);
        }
    }
    return KT_OK;
}

static kt_status read_initializer(const reader *r, const json_t *value, const json_t **out_initializer) {
    const char *name = json_string_value(value);
    if (json_is_object(value)) name = json_string_value(json_object_get(value, "class_name"));
    if (!name) return reject_value(r, value, "a name or an object with a class_name");
    if (!kt_options_listed(initializers, name)) {
        return kt_options_reject(r->what, r->context, KT_UNSUPPORTED, r->option->name,
                                 "is '%s', which is none of Keras's own; only those are supported.", name);
    }
    *out_initializer = keep(r, value);
    return KT_OK;
}

/* A regularizer or a constraint: None, or what `read` can read. */
static kt_status read_object(const reader *r, const json_t *value,
                             const kt_object *(*read)(kt_layer_context *, const json_t *, const char *),
                             const json_t **out_object) {
    *out_object = NULL;
    if (json_is_null(value)) return KT_OK;
    const char *path = kt_arena_format(r->context->arena, "%s/%s", r->what->path, r->option->name);
    if (!read(r->context, value, path)) return KT_INVALID;
    *out_object = keep(r, value);
    return KT_OK;
}

static kt_status read_activation(const reader *r, const json_t *value, kt_activation *out_activation) {
    const char *problem;
    if (!kt_activation_read(r->context->arena, value, out_activation, &problem)) {
        return kt_options_reject(r->what, r->context, KT_UNSUPPORTED, r->option->name, "%s.", problem);
    }
    if (out_activation->config) keep(r, value);
    return KT_OK;
}

static kt_status read_number(const reader *r, const json_t *value, double *out_number) {
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return reject_value(r, value, "a number");
    *out_number = json_number_value(value);
    return KT_OK;
}

static kt_status read_integer(const reader *r, const json_t *value, int64_t *out_integer) {
    if (!json_is_integer(value) || json_integer_value(value) == KT_NONE_INT) {
        return reject_value(r, value, "an integer");
    }
    *out_integer = json_integer_value(value);
    return KT_OK;
}

static kt_status read_value(const reader *r, const json_t *value) {
    void *field = (char *)r->what->fields + r->option->offset;
    bool none = json_is_null(value);
    switch (r->option->kind) {
    case KT_OPTION_BOOL:
        if (!json_is_boolean(value)) return reject_value(r, value, "true or false");
        *(bool *)field = json_is_true(value);
        return KT_OK;
    case KT_OPTION_OPTIONAL_INT:
        *(int64_t *)field = KT_NONE_INT;
        return none ? KT_OK : read_integer(r, value, field);
    case KT_OPTION_INT: return read_integer(r, value, field);
    case KT_OPTION_OPTIONAL_FLOAT: *(double *)field = NAN; return none ? KT_OK : read_number(r, value, field);
    case KT_OPTION_FLOAT: return read_number(r, value, field);
    case KT_OPTION_STRING: return none ? KT_OK : read_string(r, value, field);
    case KT_OPTION_CHOICE: return read_choice(r, value, field);
    case KT_OPTION_INTS:
        ((kt_ints *)field)->count = 0;
        return none ? KT_OK : read_ints(r, value, false, field);
    case KT_OPTION_SHAPE:
        ((kt_ints *)field)->count = 0;
        return none ? KT_OK : read_ints(r, value, true, field);
    case KT_OPTION_ACTIVATION: return read_activation(r, value, field);
    case KT_OPTION_INITIALIZER: return read_initializer(r, value, field);
    case KT_OPTION_REGULARIZER: return read_object(r, value, kt_regularizer_read, field);
    case KT_OPTION_CONSTRAINT: return read_object(r, value, kt_constraint_read, field);
    case KT_OPTION_JSON: *(const json_t **)field = keep(r, value); return KT_OK;
    case KT_OPTION_UNSUPPORTED:
        if (none) return KT_OK;
        return kt_options_reject(r->what, r->context, KT_UNSUPPORTED, r->option->name,
                                 "is not supported; leave it at None.");
    }
    KT_BUG("option kind %d", (int)r->option->kind);
}

static kt_status read_default(const reader *r) {
    json_error_t error;
    json_t *value = json_loads(r->option->default_json, JSON_DECODE_ANY, &error);
    if (!value) KT_BUG("default of option '%s': %s", r->option->name, error.text);
    kt_arena_defer(r->context->arena, kt_json_release, value);
    return read_value(r, value);
}

kt_status kt_options_read_table(const kt_configured *what, kt_layer_context *context,
                                const kt_option *options, const kt_option *except, const json_t *config) {
    kt_status status = KT_OK;
    reader r = {.what = what, .context = context};
    for (r.option = options; r.option && r.option->name; r.option++) {
        if (kt_option_find(except, r.option->name)) continue;
        const json_t *value = json_object_get(config, r.option->name);
        bool choice_of_default = r.option->kind == KT_OPTION_CHOICE && json_is_null(value);
        if (value && !choice_of_default) {
            KT_COLLECT(status, read_value(&r, value));
        } else if (r.option->default_json) {
            KT_COLLECT(status, read_default(&r));
        } else {
            status = kt_options_reject(what, context, KT_INVALID, r.option->name,
                                       "is missing, and it has no default.");
        }
    }
    return status;
}

static json_t *write_ints(const kt_ints *ints, bool none_inside) {
    if (ints->count == 0) return json_null();
    json_t *list = json_array();
    for (uint32_t i = 0; i < ints->count; i++) {
        bool none = none_inside && ints->at[i] < 0;
        json_array_append_new(list, none ? json_null() : json_integer(ints->at[i]));
    }
    return list;
}

static json_t *write_kept(const json_t *value) { return value ? json_incref((json_t *)value) : json_null(); }

static json_t *write_activation(const kt_activation *activation) {
    if (activation->config) return json_incref((json_t *)activation->config);
    return json_string(activation->name ? activation->name : "linear");
}

static json_t *write_value(const void *fields, const kt_option *option) {
    const void *field = (const char *)fields + option->offset;
    switch (option->kind) {
    case KT_OPTION_BOOL: return json_boolean(*(const bool *)field);
    case KT_OPTION_INT:
    case KT_OPTION_OPTIONAL_INT: {
        int64_t number = *(const int64_t *)field;
        return number == KT_NONE_INT ? json_null() : json_integer(number);
    }
    case KT_OPTION_FLOAT:
    case KT_OPTION_OPTIONAL_FLOAT: {
        double number = *(const double *)field;
        return isnan(number) ? json_null() : json_real(number);
    }
    case KT_OPTION_STRING:
    case KT_OPTION_CHOICE: {
        const char *string = *(const char *const *)field;
        return string ? json_string(string) : json_null();
    }
    case KT_OPTION_INTS: return write_ints(field, false);
    case KT_OPTION_SHAPE: return write_ints(field, true);
    case KT_OPTION_ACTIVATION: return write_activation(field);
    case KT_OPTION_INITIALIZER:
    case KT_OPTION_REGULARIZER:
    case KT_OPTION_CONSTRAINT:
    case KT_OPTION_JSON: return write_kept(*(const json_t *const *)field);
    case KT_OPTION_UNSUPPORTED: return json_null();
    }
    KT_BUG("option kind %d", (int)option->kind);
}

void kt_options_write_table(const void *fields, const kt_option *options, json_t *config) {
    for (const kt_option *option = options; option && option->name; option++) {
        json_t *value = option->unwritten ? NULL : write_value(fields, option);
        if (option->unwritten_none && json_is_null(value)) continue;
        if (value) json_object_set_new(config, option->name, value);
    }
}
