/* Making objects of Keras's serialised form. */
#include "frontend/object.h"

#include <stdarg.h>
#include <string.h>

static kt_configured configured(const kt_object *object) {
    return (kt_configured){
        .class_name = object->class->name, .path = object->path, .fields = (kt_object *)object};
}

kt_status kt_object_reject(const kt_object *object, kt_layer_context *context, kt_status status,
                           const char *option, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(context->arena, format, arguments);
    va_end(arguments);
    const kt_configured what = configured(object);
    return kt_options_reject(&what, context, status, option, "%s", text);
}

/* The class's name and its options (NULL: none) of a serialised object; NULL: it is none. */
static const char *read_name(const json_t *serialized, const json_t **out_config) {
    *out_config = NULL;
    if (json_is_string(serialized)) return json_string_value(serialized);
    const char *name = json_string_value(json_object_get(serialized, "class_name"));
    const json_t *config = json_object_get(serialized, "config");
    if (name && strcmp(name, "function") == 0) return json_string_value(config);
    if (config && !json_is_object(config) && !json_is_null(config)) return NULL;
    *out_config = json_is_object(config) ? config : NULL;
    return name;
}

const kt_object_class *kt_object_find_class(const kt_object_class *const *classes, const char *name) {
    for (; *classes; classes++) {
        const char *aliases = (*classes)->aliases;
        if (strcmp((*classes)->name, name) == 0 || (aliases && kt_options_listed(aliases, name)))
            return *classes;
    }
    return NULL;
}

kt_object *kt_object_read(kt_layer_context *context, const char *kind, const kt_object_class *const *classes,
                          const json_t *serialized, const char *path) {
    const json_t *config;
    const char *name = read_name(serialized, &config);
    if (!name) {
        kt_diag_add(context->diag, KT_INVALID, path,
                    "%s %s must be a name, or an object with class_name and config.",
                    strchr("aeiou", kind[0]) ? "an" : "a", kind);
        return NULL;
    }
    const kt_object_class *class = kt_object_find_class(classes, name);
    if (!class) {
        kt_diag_add(context->diag, KT_UNSUPPORTED, path, "there is no %s '%s'.", kind, name);
        return NULL;
    }
    kt_object *object = kt_arena_alloc(context->arena, class->bytes);
    object->class = class;
    object->path = path;
    object->config = config;
    const kt_configured what = configured(object);
    kt_status status = kt_options_read_table(&what, context, class->options, NULL, config);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)config, key, value) {
        if (!kt_option_find(class->options, key))
            status = kt_options_reject(&what, context, KT_UNSUPPORTED, key, "is not known.");
    }
    if (status == KT_OK && class->check) status = class->check(object, context);
    return status == KT_OK ? object : NULL;
}

json_t *kt_object_config(const kt_object *object) {
    json_t *config = json_object();
    kt_options_write_table(object, object->class->options, config);
    return config;
}
