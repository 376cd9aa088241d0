/* The class table, and finding a class by Keras's names. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

const kt_layer_class *const kt_layer_classes[] = {
#define KT_LAYER(name) &kt_class_##name,
#include "frontend/layers/classes.def"
#undef KT_LAYER
    NULL};

/* Files of older versions of Keras 3 name a layer's own module, "keras.src.layers.core.dense". */
static bool same_module(const char *module, const char *given) {
    static const char internal[] = "keras.src.layers";
    if (strcmp(module, given) == 0) return true;
    return strcmp(module, "keras.layers") == 0 && strncmp(given, internal, sizeof internal - 1) == 0;
}

const kt_layer_class *kt_layer_class_find(const char *module, const char *name) {
    for (const kt_layer_class *const *at = kt_layer_classes; *at; at++) {
        if (strcmp((*at)->name, name) == 0 && (!module || same_module((*at)->module, module))) return *at;
    }
    return NULL;
}
