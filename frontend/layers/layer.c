/* Making layers: from Keras's serialised form or from options, and writing that form again.
 *
 * Both ways in end in the same reading of a configuration. Nothing in a file is ever executed: a class is
 * looked up by its name in the class table, and what is not there (a Lambda, a custom class) is reported. */
#include "frontend/layers/layers_impl.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

kt_configured kt_layer_configured(const kt_layer *layer) {
    const char *name = layer->name ? layer->name : layer->class->name;
    return (kt_configured){.class_name = layer->class->name,
                           .path = layer->path ? layer->path : name,
                           .fields = (kt_layer *)layer};
}

kt_status kt_layer_reject(const kt_layer *layer, kt_layer_context *context, kt_status status,
                          const char *option, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(context->arena, format, arguments);
    va_end(arguments);
    const kt_configured what = kt_layer_configured(layer);
    return kt_options_reject(&what, context, status, option, "%s", text);
}

const char *kt_layer_snake_case(kt_arena *arena, const char *class_name) {
    kt_text text = {.arena = arena};
    for (const char *at = class_name; *at; at++) {
        bool upper = isupper((unsigned char)*at) && at > class_name;
        bool word_follows = islower((unsigned char)at[1]);
        bool word_precedes = upper && islower((unsigned char)at[-1]);
        if (!isalnum((unsigned char)*at) && *at != '_') continue;
        if (upper && (word_follows || word_precedes) && at[-1] != '_') kt_text_add(&text, "_");
        kt_text_format(&text, "%c", tolower((unsigned char)*at));
    }
    return kt_text_string(&text);
}

const char *kt_default_name(kt_layer_context *context, const char *class_name) {
    const char *prefix = kt_layer_snake_case(context->arena, class_name);
    uint32_t *count = kt_table_add(&context->names, context->arena, prefix, strlen(prefix), 0);
    uint32_t number = (*count)++;
    return number ? kt_arena_format(context->arena, "%s_%u", prefix, number) : prefix;
}

bool kt_dtype_policy_read(kt_arena *arena, const json_t *dtype, kt_dtype *out_compute, kt_dtype *out_variable,
                          const char **out_problem) {
    const char *name = "float32";
    if (json_is_string(dtype)) {
        name = json_string_value(dtype);
    } else if (json_is_object(dtype)) {
        const char *class_name = json_string_value(json_object_get(dtype, "class_name"));
        if (!class_name || !kt_options_listed("DTypePolicy FloatDTypePolicy", class_name)) {
            *out_problem = kt_arena_format(arena, "is a %s, and only plain and mixed policies are supported",
                                           class_name ? class_name : "policy without a class_name");
            return false;
        }
        name = json_string_value(json_object_get(json_object_get(dtype, "config"), "name"));
        if (!name) {
            *out_problem = "is a policy without a name";
            return false;
        }
    } else if (dtype) {
        *out_problem = "must be a dtype's name or a policy";
        return false;
    }
    *out_variable = KT_F32;
    if (strcmp(name, "mixed_float16") == 0) {
        *out_compute = KT_F16;
    } else if (strcmp(name, "mixed_bfloat16") == 0) {
        *out_compute = KT_BF16;
    } else if (kt_dtype_parse_keras(name, out_compute)) {
        *out_variable = *out_compute;
    } else {
        *out_problem = kt_arena_format(arena, "is '%s', which is no dtype and no supported policy", name);
        return false;
    }
    return true;
}

/* A policy of quantized weights: all but int8 is refused. */
static kt_status read_quantized(kt_layer *layer, kt_layer_context *context,
                                const kt_quantized_policy *policy) {
    const char *name = kt_arena_format(context->arena, "%s_from_%s", policy->mode, policy->source);
    const char *end = NULL, *unused;
    json_t *source = json_string(policy->source);
    kt_arena_defer(context->arena, kt_json_release, source);
    if (strcmp(policy->mode, "int8") != 0)
        end = "and of quantized weights only int8 is supported";
    else if (!layer->class->quantizes)
        end = "but this layer has no weights that Keras quantizes";
    else if (!kt_dtype_policy_read(context->arena, source, &layer->compute_dtype, &layer->variable_dtype,
                                   &unused))
        end = "whose second part is no dtype and no supported policy";
    else if (!kt_dtype_is_float(layer->compute_dtype) || layer->compute_dtype == KT_F16)
        end = "but Keras quantizes what is computed in float32, bfloat16 or float64";
    layer->quantized = true;
    if (!end) return KT_OK;
    return kt_layer_reject(layer, context, KT_UNSUPPORTED, "dtype", "is '%s', %s.", name, end);
}

static kt_status read_dtype(kt_layer *layer, kt_layer_context *context) {
    const char *problem;
    kt_quantized_policy policy;
    if (kt_quantization_read(context->arena, layer->dtype, &policy))
        return read_quantized(layer, context, &policy);
    if (kt_dtype_policy_read(context->arena, layer->dtype, &layer->compute_dtype, &layer->variable_dtype,
                             &problem)) {
        return KT_OK;
    }
    return kt_layer_reject(layer, context, KT_UNSUPPORTED, "dtype", "%s.", problem);
}

/* An activation that is a layer of its own may have a policy of its own, which would add casts. */
static kt_status check_activations(kt_layer *layer, kt_layer_context *context) {
    kt_status status = KT_OK;
    for (const kt_option *option = layer->class->options; option && option->name; option++) {
        if (option->kind != KT_OPTION_ACTIVATION) continue;
        const kt_activation *activation = (const void *)((const char *)layer + option->offset);
        const json_t *dtype = json_object_get(json_object_get(activation->config, "config"), "dtype");
        if (!dtype || json_is_null(dtype)) continue;
        kt_dtype compute;
        kt_dtype variable;
        const char *problem;
        bool read = kt_dtype_policy_read(context->arena, dtype, &compute, &variable, &problem);
        if (read && compute == layer->compute_dtype) continue;
        status = kt_layer_reject(layer, context, KT_UNSUPPORTED, option->name,
                                 "is a layer of another dtype policy, which is not supported.");
    }
    return status;
}

static kt_layer *make(kt_layer_context *context, const kt_layer_class *class, const json_t *config,
                      const char *path) {
    kt_layer *layer = kt_arena_alloc(context->arena, class->bytes);
    layer->class = class;
    const char *given = json_string_value(json_object_get(config, "name"));
    layer->name = given ? kt_arena_string(context->arena, given) : kt_default_name(context, class->name);
    const char *name = layer->name;
    if (path) layer->path = kt_arena_format(context->arena, "%s/%s", path, name);
    kt_status status = kt_options_read(layer, context, config);
    layer->name = name;
    if (strchr(name, '/')) {
        status =
            kt_layer_reject(layer, context, KT_INVALID, "name", "is '%s', but must not hold a '/'.", name);
    }
    KT_COLLECT(status, read_dtype(layer, context));
    if (status == KT_OK) status = check_activations(layer, context);
    if (status == KT_OK && class->check) status = class->check(layer, context);
    if (class->read_config) KT_COLLECT(status, class->read_config(layer, context, config));
    return status == KT_OK ? layer : NULL;
}

/* The name a serialised layer goes by in problems. */
static const char *serialized_place(kt_layer_context *context, const json_t *serialized, const char *path) {
    const char *name = json_string_value(json_object_get(json_object_get(serialized, "config"), "name"));
    if (!name) name = json_string_value(json_object_get(serialized, "class_name"));
    if (!name) return path;
    return path ? kt_arena_format(context->arena, "%s/%s", path, name) : name;
}

static void report_unknown(kt_layer_context *context, const char *where, const char *module,
                           const char *name) {
    if (strcmp(name, "Lambda") == 0) {
        kt_diag_add(context->diag, KT_UNSUPPORTED, where,
                    "a Lambda holds Python code, which is never executed; write it with Keras's layers and "
                    "operations.");
    } else if (module && strncmp(module, "keras", 5) == 0) {
        const char *refusal = kt_operation_refusal(module, name);
        kt_diag_add(context->diag, KT_UNSUPPORTED, where, "%s.%s %s", module, name,
                    refusal ? refusal : "is not supported.");
    } else {
        kt_diag_add(context->diag, KT_UNSUPPORTED, where,
                    "'%s' is no class of Keras, and its Python code is never executed; write it with Keras's "
                    "layers and operations.",
                    name);
    }
}

kt_layer *kt_layer_from_config(kt_layer_context *context, const json_t *serialized, const char *path) {
    const char *where = serialized_place(context, serialized, path);
    const char *name = json_string_value(json_object_get(serialized, "class_name"));
    const char *module = json_string_value(json_object_get(serialized, "module"));
    const json_t *config = json_object_get(serialized, "config");
    if (!name || !json_is_object(config)) {
        kt_diag_add(context->diag, KT_INVALID, where, "this is no serialised layer: %s is missing.",
                    name ? "config" : "class_name");
        return NULL;
    }
    const kt_layer_class *class = kt_layer_class_find(module, name);
    if (!class) {
        report_unknown(context, where, module, name);
        return NULL;
    }
    kt_layer *layer = make(context, class, config, path);
    if (layer && !layer->path) layer->path = layer->name;
    return layer;
}

void kt_json_release(void *json) { json_decref(json); }

kt_layer *kt_layer_create(kt_layer_context *context, const char *class_name, const char *options) {
    const kt_layer_class *class = kt_layer_class_find("keras.layers", class_name);
    if (!class) class = kt_layer_class_find(NULL, class_name);
    if (!class) {
        report_unknown(context, class_name, "keras.layers", class_name);
        return NULL;
    }
    json_error_t error;
    json_t *config = json_loads(options ? options : "{}", JSON_REJECT_DUPLICATES, &error);
    if (config) kt_arena_defer(context->arena, kt_json_release, config);
    if (!json_is_object(config)) {
        kt_diag_add(context->diag, KT_INVALID, class_name, "the options of %s are no JSON object: %s.",
                    class_name, config ? "they are another value" : error.text);
        return NULL;
    }
    return make(context, class, config, NULL);
}

json_t *kt_layer_get_config(const kt_layer *layer) {
    const kt_layer_class *class = layer->class;
    json_t *config = json_object();
    kt_options_write(layer, config);
    if (class->write_config) class->write_config(layer, config);
    /* Keras gives a name of its own to classes that it does not export. */
    bool exported = strncmp(class->module, "keras.src", 9) != 0;
    json_t *serialized = json_object();
    json_object_set_new(serialized, "module", json_string(class->module));
    json_object_set_new(serialized, "class_name", json_string(class->name));
    json_object_set_new(serialized, "config", config);
    json_object_set_new(serialized, "registered_name", exported ? json_null() : json_string(class->name));
    return serialized;
}

uint32_t kt_layer_usual_outputs(const kt_layer *layer) {
    return layer->class->output_count ? layer->class->output_count(layer) : 1;
}

uint32_t kt_layer_output_count(const kt_layer *layer) {
    return kt_layer_usual_outputs(layer) + layer->class->extra_outputs;
}
