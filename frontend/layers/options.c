/* A layer's options: those that all layers have, and those of its class's table. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

static const kt_option common_options[] = {
    {"name", KT_OPTION_STRING, offsetof(kt_layer, name), "null"},
    {"trainable", KT_OPTION_BOOL, offsetof(kt_layer, trainable), "true", .inert = true},
    {"dtype", KT_OPTION_JSON, offsetof(kt_layer, dtype), "null"},
    KT_ACTIVITY_REGULARIZER,
    KT_OPTIONS_END,
};

kt_status kt_options_read(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    static const char ignored[] = "batch_shape build_config";
    const kt_option *options = layer->class->options;
    const kt_configured what = kt_layer_configured(layer);
    kt_status status = kt_options_read_table(&what, context, common_options, options, config);
    KT_COLLECT(status, kt_options_read_table(&what, context, options, NULL, config));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)config, key, value) {
        bool known = kt_option_find(common_options, key) || kt_option_find(options, key) ||
                     kt_options_listed(ignored, key);
        if (known || layer->class->read_config) continue;
        status = kt_layer_reject(layer, context, KT_UNSUPPORTED, key, "is not known.");
    }
    return status;
}

void kt_options_write(const kt_layer *layer, json_t *config) {
    json_object_set_new(config, "name", json_string(layer->name));
    if (!layer->class->plain) {
        json_object_set_new(config, "trainable", json_boolean(layer->trainable));
        json_t *dtype = layer->dtype ? json_incref((json_t *)layer->dtype) : json_string("float32");
        json_object_set_new(config, "dtype", dtype);
    }
    if (layer->activity_regularizer)
        json_object_set_new(config, "activity_regularizer",
                            json_incref((json_t *)layer->activity_regularizer));
    kt_options_write_table(layer, layer->class->options, config);
}
