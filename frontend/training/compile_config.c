/* What a model was compiled with, and what is said instead on the command line. */
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
