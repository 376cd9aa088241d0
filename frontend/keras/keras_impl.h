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
#include "runtime/checkpoint/hdf5_reader.h"

#include <jansson.h>

/* ---- archive.c ------------------------------------------------------------------------------- */
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

/* ---- weights.c ------------------------------------------------------------------------------- */
/* Reads the values of all variables of a graph out of model.weights.h5. */
kt_status kt_weights_read(kt_graph *graph, kt_bytes file, kt_diag *diag) KT_MUST_USE;
/* The same with another child and other limits: for tests. */
kt_status kt_weights_read_with(kt_graph *graph, kt_bytes file, kt_hdf5_child_fn *child,
                               const kt_hdf5_limits *limits, kt_diag *diag) KT_MUST_USE;

#endif
