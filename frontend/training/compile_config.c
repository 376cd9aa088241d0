/* What a model was compiled with, and what is said instead on the command line. That is written into the
 * files that a trainer saves, in place of what was there; all else of their configuration stays as it is,
 * byte by byte, since Keras writes numbers that JSON does not have. */
#include "frontend/losses/losses.h"
#include "frontend/metrics/metrics.h"
#include "frontend/optimizers/optimizers.h"
#include "frontend/schedules/schedules.h"
#include "frontend/training/training.h"

#include <ctype.h>
#include <string.h>

static const char place[] = "compile";

static const json_t *known(const json_t *value) { return json_is_null(value) ? NULL : value; }

/* A name without the spaces around it; NULL: no UTF-8. */
static json_t *trimmed(const char *text, size_t length) {
    for (; length && isspace((unsigned char)*text); length--) text++;
    while (length && isspace((unsigned char)text[length - 1])) length--;
    return json_stringn(text, length);
}

/* JSON as it is; else a name, or names with commas between. */
static kt_status read_text(kt_layer_context *context, const char *what, const char *text, bool list,
                           const json_t **out_value) {
    json_t *value;
    while (isspace((unsigned char)*text)) text++;
    if (strchr("[{\"", *text) && *text) {
        json_error_t error;
        value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
        if (!value)
            return kt_diag_add(context->diag, KT_INVALID, place, "--%s is no JSON: %s.", what, error.text);
    } else if (list) {
        value = json_array();
        for (const char *at = text; *at;) {
            size_t length = strcspn(at, ",");
            if (json_array_append_new(value, trimmed(at, length)))
                return kt_diag_add(context->diag, KT_INVALID, place, "--%s is no text in UTF-8.", what);
            at += length + (at[length] == ',');
        }
    } else {
        value = trimmed(text, strlen(text));
    }
    if (!value) return kt_diag_add(context->diag, KT_INVALID, place, "--%s is no text in UTF-8.", what);
    kt_arena_defer(context->arena, kt_json_release, value);
    *out_value = value;
    return KT_OK;
}

kt_status kt_compile_config_read(kt_layer_context *context, const json_t *config,
                                 const kt_training_request *request, kt_compile_config *out_config) {
    const json_t *compiled = json_object_get(config, "compile_config");
    *out_config = (kt_compile_config){
        .optimizer = known(json_object_get(compiled, "optimizer")),
        .loss = known(json_object_get(compiled, "loss")),
        .loss_weights = known(json_object_get(compiled, "loss_weights")),
        .metrics = known(json_object_get(compiled, "metrics")),
        .weighted_metrics = known(json_object_get(compiled, "weighted_metrics")),
        .archived = compiled,
    };
    if (request->optimizer)
        KT_TRY(read_text(context, "optimizer", request->optimizer, false, &out_config->optimizer));
    if (request->loss) KT_TRY(read_text(context, "loss", request->loss, false, &out_config->loss));
    if (request->metrics) {
        KT_TRY(read_text(context, "metrics", request->metrics, true, &out_config->metrics));
        out_config->weighted_metrics = NULL;
    }
    if (!out_config->loss)
        return kt_diag_add(context->diag, KT_INVALID, place,
                           "The model was not compiled with a loss; say --loss=NAME.");
    if (request->train && !out_config->optimizer)
        return kt_diag_add(context->diag, KT_INVALID, place,
                           "The model was not compiled with an optimizer; say --optimizer=NAME.");
    return KT_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */
typedef struct family {
    const char *module; /* where Keras has its classes */
    const kt_object_class *const *classes;
} family;

static const family optimizers = {"keras.optimizers", kt_optimizer_classes},
                    schedules = {"keras.optimizers.schedules",
                                 (const kt_object_class *const *)kt_schedule_classes},
                    losses = {"keras.losses", (const kt_object_class *const *)kt_loss_classes},
                    metrics = {"keras.metrics", (const kt_object_class *const *)kt_metric_classes};

static json_t *complete(const json_t *value, const family *own);

/* An object of a class of the family, or a schedule of a member, or a function. */
static void complete_object(json_t *object, const family *own) {
    const char *name = json_string_value(json_object_get(object, "class_name")), *module = own->module;
    const kt_object_class *class = kt_object_find_class(own->classes, name);
    if (!class && (class = kt_object_find_class(schedules.classes, name))) module = schedules.module;
    if (strcmp(name, "function") == 0) module = "builtins";
    const json_t *config = json_object_get(object, "config");
    json_object_set_new(object, "module", json_string(module));
    json_object_set_new(object, "class_name", json_string(class ? class->name : name));
    json_object_set_new(object, "config",
                        json_is_string(config) || json_is_object(config) ? complete(config, own)
                                                                         : json_object());
    if (!json_object_get(object, "registered_name"))
        json_object_set_new(object, "registered_name", json_null());
}

/* value for Keras, which finds classes by module and name only; a new reference. */
static json_t *complete(const json_t *value, const family *own) {
    if (!value) return json_null();
    json_t *copy = json_copy((json_t *)value);
    const char *key;
    json_t *item;
    size_t i;
    void *next;
    const char *name = json_string_value(json_object_get(copy, "class_name"));
    if (name && strncmp(name, "__", 2) == 0) return copy; /* "__tuple__" has no module */
    if (name) {
        const json_t *config = json_object_get(copy, "config");
        if (!json_object_get(copy, "module"))
            complete_object(copy, own);
        else if (json_is_object(config))
            json_object_set_new(copy, "config", complete(config, own));
        return copy;
    }
    json_object_foreach_safe(copy, next, key, item) json_object_set_new(copy, key, complete(item, own));
    json_array_foreach(copy, i, item) json_array_set_new(copy, i, complete(item, own));
    return copy;
}

/* The same, a class by its name as an object: Keras finds some, as Lamb, only so. Functions stay names. */
static json_t *complete_name(const json_t *value, const family *own) {
    const char *name = json_string_value(value);
    const kt_object_class *class = name ? kt_object_find_class(own->classes, name) : NULL;
    if (!class || (own != &optimizers && strcmp(name, class->name) != 0)) return complete(value, own);
    json_t *object = json_object();
    json_object_set_new(object, "class_name", json_string(class->name));
    complete_object(object, own);
    return object;
}

/* Where a JSON value ends that begins at text: before what follows it in an array or object, or at the end.
 */
static const char *end_of_value(const char *text) {
    int depth = 0;
    for (; *text; text++) {
        if (depth == 0 && strchr(",]}", *text)) break;
        depth += strchr("[{", *text) ? 1 : strchr("]}", *text) ? -1 : 0;
        if (*text != '"') continue;
        while (*++text != '"') text += *text == '\\';
    }
    return text;
}

/* A JSON object's text with another value of one of its members, which is added if it has none. */
static const char *with_member(kt_arena *arena, const char *text, const char *name, const char *value) {
    const char *begin = strchr(text, '{') + 1, *at = begin, *end = begin;
    for (; *at && *at != '}'; at = end + (*end == ',')) {
        end = end_of_value(at);
        const char *key = strchr(at, '"');
        if (!key || key > end) continue;
        size_t length = strlen(name);
        if (strncmp(key + 1, name, length) != 0 || key[1 + length] != '"') continue;
        return kt_arena_format(arena, "%.*s\"%s\": %s%s", (int)(key - text), text, name, value, end);
    }
    return kt_arena_format(arena, "%.*s%s\"%s\": %s%s", (int)(end - text), text, end > begin ? ", " : "",
                           name, value, end);
}

kt_status kt_compile_config_write(kt_layer_context *context, const char *text,
                                  const kt_compile_config *config, const char **out_text) {
    json_t *compiled =
        json_is_object(config->archived) ? json_copy((json_t *)config->archived) : json_object();
    json_object_set_new(compiled, "optimizer", complete_name(config->optimizer, &optimizers));
    json_object_set_new(compiled, "loss", complete_name(config->loss, &losses));
    json_object_set_new(compiled, "metrics", complete(config->metrics, &metrics));
    json_object_set_new(compiled, "weighted_metrics", complete(config->weighted_metrics, &metrics));
    const char *value = json_dumps(compiled, JSON_COMPACT);
    if (!text || !value)
        return kt_diag_add(context->diag, KT_INVALID, place, "The configuration is no text in UTF-8.");
    *out_text = with_member(context->arena, text, "compile_config", value);
    return KT_OK;
}
