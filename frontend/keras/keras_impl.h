/* The parts of a .keras file: a zip archive that holds
 *
 *   config.json       the model: a serialised Keras object (see frontend/models)
 *   metadata.json     Keras's version and the date
 *   model.weights.h5  the variables, an HDF5 file (see weights.c)
 *   assets/…          vocabularies
 *
 * All of it may come from anywhere, so every size, count and depth is checked before memory is spent on it.
 */
#ifndef KT_FRONTEND_KERAS_KERAS_IMPL_H
#define KT_FRONTEND_KERAS_KERAS_IMPL_H

#include "ir/ir.h"

#include <jansson.h>

/* Bytes of a file or of a member of an archive. */
typedef struct kt_bytes {
    const uint8_t *at;
    size_t count;
} kt_bytes;

/* ---- archive.c -------------------------------------------------------------------------------------------
 */
typedef struct kt_member {
    const char *name;
    kt_bytes bytes;
} kt_member;
typedef struct kt_archive {
    KT_VECTOR(kt_member) members;
} kt_archive;

/* Does a file begin as a zip archive does? */
bool kt_archive_is(kt_bytes file);
/* Unpacks the members of a .keras archive. Those that are stored stay in file, which must last as long as arena. */
kt_status kt_archive_unpack(kt_arena *arena, kt_bytes file, kt_archive *out_archive,
                            kt_diag *diag) KT_MUST_USE;
/* NULL if there is none of that name. */
const kt_bytes *kt_archive_find(const kt_archive *archive, const char *name);
/* Parses a JSON object; it lives as long as the arena. name: of the file, for problems. */
kt_status kt_json_parse(kt_arena *arena, kt_bytes text, const char *name, const json_t **out_json,
                        kt_diag *diag) KT_MUST_USE;

/* ---- weights.c -------------------------------------------------------------------------------------------
 */
/* What weights may cost. */
typedef struct kt_weights_limits {
    int seconds;         /* of the clock and of the processor, each */
    size_t memory_bytes; /* of address space beyond what the process has */
} kt_weights_limits;

/* A dataset that is wanted, and what is expected there. */
typedef struct kt_weights_item {
    const char *file_path; /* "layers/dense/vars/0" */
    uint32_t variable;     /* in kt_graph.variables */
    int rank;
    int64_t dims[KT_MAX_RANK];
} kt_weights_item;
typedef struct kt_weights_request {
    kt_bytes file;
    const kt_weights_item *items;
    uint32_t count;
    kt_weights_limits limits;
} kt_weights_request;

/* What the child found at one item. It is followed by `bytes` bytes of elements, little-endian, row-major. */
typedef enum kt_weights_finding {
    KT_WEIGHTS_FOUND,
    KT_WEIGHTS_NOT_HDF5,   /* the file as a whole */
    KT_WEIGHTS_MISSING,    /* nothing there, or no plain dataset (links into other files) */
    KT_WEIGHTS_WRONG_TYPE, /* elements that are no numbers */
    KT_WEIGHTS_WRONG_SHAPE,
    KT_WEIGHTS_DAMAGED, /* it is there, but its elements cannot be read */
} kt_weights_finding;
typedef struct kt_weights_record {
    uint32_t finding;
    int32_t dtype;
    int32_t rank;
    uint32_t reserved;
    int64_t dims[KT_MAX_RANK];
    uint64_t bytes;
} kt_weights_record;

/* weights_child.c: runs in the child process; writes a record for each item to output and exits. */
typedef void kt_weights_child_fn(const kt_weights_request *request, int output);
kt_weights_child_fn kt_weights_child;

/* Reads the values of all variables of a graph out of model.weights.h5. */
kt_status kt_weights_read(kt_graph *graph, kt_bytes file, kt_diag *diag) KT_MUST_USE;
/* The same with another child and other limits: for tests. */
kt_status kt_weights_read_with(kt_graph *graph, kt_bytes file, kt_weights_child_fn *child,
                               const kt_weights_limits *limits, kt_diag *diag) KT_MUST_USE;

#endif
