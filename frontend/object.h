/* What Keras serialises besides layers: losses, metrics, optimizers, schedules, regularizers, constraints.
 *
 * A kind is a list of classes. A class is found by its name or an alias; its options fill a struct by their
 * table. All of it lives in the context's arena. */
#ifndef KT_FRONTEND_OBJECT_H
#define KT_FRONTEND_OBJECT_H

#include "frontend/options.h"

typedef struct kt_object kt_object;
typedef struct kt_object_class {
    const char *name;    /* "MeanSquaredError" */
    const char *aliases; /* what Keras also calls it, "mse MSE mean_squared_error"; NULL: nothing */
    const char *doc;
    size_t bytes;             /* of its struct, which begins with a kt_object */
    const kt_option *options; /* ends with KT_OPTIONS_END; NULL: none */
    /* What the option table cannot say; may be NULL. */
    kt_status (*check)(kt_object *object, kt_layer_context *context);
} kt_object_class;
struct kt_object {
    const kt_object_class *class;
    const char *path;     /* where it stands, for sentences: "compile/loss" */
    const json_t *config; /* its options as they were given; NULL: none */
};

/* The class of a name or alias among those of a kind, which end with NULL; NULL: there is none. */
const kt_object_class *kt_object_find_class(const kt_object_class *const *classes, const char *name);
/* Makes an object of a kind ("loss") whose classes begin with their kt_object_class and end with NULL, from
 * Keras's serialised form: a name or alias, an object with class_name and config, or a function object. NULL,
 * and problems at path, where it is not supported. */
kt_object *kt_object_read(kt_layer_context *context, const char *kind, const kt_object_class *const *classes,
                          const json_t *serialized, const char *path);
/* The class's options as Keras's config; a new reference. */
json_t *kt_object_config(const kt_object *object);
/* Records that an option is wrong: "option 'delta' of Huber <sentence end>". */
kt_status kt_object_reject(const kt_object *object, kt_layer_context *context, kt_status status,
                           const char *option, const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
