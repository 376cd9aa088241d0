/* Options: what Keras's configurations are made of, read and written by tables.
 *
 * Layers, losses, metrics, optimizers and all else that Keras serialises have a table of options each; the
 * functions here fill a struct from JSON by it, and write it back. */
#ifndef KT_FRONTEND_OPTIONS_H
#define KT_FRONTEND_OPTIONS_H

#include "ir/ir.h"

#include <jansson.h>
#include <stddef.h>

/* What layers are made in. Problems are collected in diag, each with its layer path, so that all are reported
 * at once. */
typedef struct kt_observer kt_observer;
typedef struct kt_layer_context {
    kt_arena *arena;
    kt_diag *diag;
    kt_observer *observer; /* told of the layers that a model calls; NULL: nobody asks */
    kt_table names; /* how many layers without a name of their own were named "dense", … */
    bool trains;    /* there is a step of training: what is not 0 in trainers alone counts elsewhere, too */
} kt_layer_context;

typedef enum kt_option_kind {
    KT_OPTION_BOOL,           /* bool */
    KT_OPTION_INT,            /* int64_t */
    KT_OPTION_OPTIONAL_INT,   /* int64_t; None is KT_NONE_INT */
    KT_OPTION_FLOAT,          /* double */
    KT_OPTION_OPTIONAL_FLOAT, /* double; None is NaN */
    KT_OPTION_STRING,         /* const char *; None is NULL */
    KT_OPTION_CHOICE,         /* const char *, one of choices */
    KT_OPTION_INTS,           /* kt_ints: a list; an int alone is repeated `count` times; None is count 0 */
    KT_OPTION_SHAPE,          /* kt_ints: a list whose None is -1 */
    KT_OPTION_ACTIVATION,     /* kt_activation */
    KT_OPTION_INITIALIZER,    /* json_t *: a name or an object, checked against Keras's names; as the next two */
    KT_OPTION_REGULARIZER,
    KT_OPTION_CONSTRAINT,
    KT_OPTION_JSON,           /* json_t *: kept as it is; the class's `check` reads it */
    KT_OPTION_UNSUPPORTED,    /* no field: anything but None is rejected */
} kt_option_kind;
#define KT_NONE_INT INT64_MIN

typedef struct kt_option {
    const char *name;
    kt_option_kind kind;
    size_t offset;          /* of the field in the class's struct */
    const char *default_json; /* as JSON text; NULL: the option is required */
    const char *choices;    /* CHOICE: "valid same causal"; None stands for the default */
    int count;              /* INTS: the length, which an int alone is repeated to; 0 for any list */
    bool inert;             /* changes training or initial values only, never a prediction */
    bool unwritten;         /* read, but Keras never writes it */
    bool unwritten_none;    /* written only where it is not None */
} kt_option;


/* Rows of an option table: the C field has the option's name. */
#define KT_FIELD(type, field, kind, ...) {#field, KT_OPTION_##kind, offsetof(type, field), __VA_ARGS__}
#define KT_OPTIONS_END                   {NULL}

/* Something that has options, as sentences name it. */
typedef struct kt_configured {
    const char *class_name; /* "Softmax" */
    const char *path;       /* where it stands: "functional/softmax" */
    void *fields;           /* the struct that the options' offsets are in */
} kt_configured;

/* Fills fields from config by a table, but for the options that `except` (may be NULL) has, too; every problem is
 * recorded. Options that config has and the table has not are the caller's to judge. */
kt_status kt_options_read_table(const kt_configured *what, kt_layer_context *context, const kt_option *options,
                                const kt_option *except, const json_t *config) KT_MUST_USE;
void kt_options_write_table(const void *fields, const kt_option *options, json_t *config);
/* NULL where there is none of that name. */
const kt_option *kt_option_find(const kt_option *options, const char *name);
/* Records that an option is wrong or not supported: "option 'axis' of Softmax <sentence end>". */
kt_status kt_options_reject(const kt_configured *what, kt_layer_context *context, kt_status status,
                            const char *option, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Is word one of the words of a list, "valid same"? */
bool kt_options_listed(const char *list, const char *word);

#endif
