/* Saving and loading what a program trains, for programs compiled with --train.
 *
 * Two kinds of file. A model, `.keras` or `.weights.h5` by the name's ending, is Keras's own format: what has a
 * place there, optimizer state included, so that Keras loads it and goes on training. A state is Keratin's own
 * format (state.c): every variable by its path, random state and metrics included, and a block of bytes of the
 * caller's, so that training resumes exactly.
 *
 * Every file appears whole or not at all: it is written without a name or beside the old one, synced, and takes
 * the old one's place in one step, so that whatever happens (a signal, a full disk, no power) the last good file
 * is still there. A link stays, and what it leads to is replaced; what is no regular file is refused.
 *
 * Files that are read may come from anywhere. Nothing in them is believed before it is checked; HDF5 is read, and
 * written, by a child process with limits on time and memory (hdf5_reader.h).
 *
 * Each function returns 0, or 1 with one sentence in out_error (room for KT_IO_ERROR), which names the file and, where
 * there is one, the variable. Any thread may call. */
#ifndef KT_RUNTIME_CHECKPOINT_CHECKPOINT_H
#define KT_RUNTIME_CHECKPOINT_CHECKPOINT_H

#include "runtime/runtime.h"

#include <stdbool.h>

/* A variable: dense, row-major, any dtype but KT_STRING and KT_C64. */
typedef struct kt_saved_variable {
    const char *path;      /* Keras's, for people and states: "dense/kernel"; each its own */
    const char *file_path; /* place in a model's file: "layers/dense/vars/0", "optimizer/vars/2"; NULL: none */
    int32_t dtype, rank;
    int64_t dims[KT_MAX_RANK];
    void *data;
} kt_saved_variable;

/* A file of the archive below assets/: "layers/text_vectorization/_lookup_layer/vocabulary.txt". */
typedef struct kt_saved_asset {
    const char *name;
    const void *data;
    size_t bytes;
} kt_saved_asset;

typedef struct kt_saved_model {
    const char *config_json; /* Keras's config.json; not needed for .weights.h5 */
    size_t config_bytes;
    const char *metadata_json; /* NULL: the version of Keras whose format this is */
    const kt_saved_asset *assets;
    size_t asset_count;
    const kt_saved_variable *variables;
    size_t variable_count;
} kt_saved_model;

/* Writes .keras or .weights.h5. Takes as much memory as the variables do. */
int kt_keras_save(const char *path, const kt_saved_model *model, char *out_error);

typedef enum kt_load_parts {
    KT_LOAD_ALL,     /* the file has to hold what the variables with a file_path are, no more and no less */
    KT_LOAD_WEIGHTS, /* without what lies below optimizer/, in the file and among the variables */
    KT_LOAD_ANY,     /* as KT_LOAD_ALL, but if the file was saved before the optimizer had state, that stays as it is */
    KT_LOAD_OPTIMIZER, /* what lies below optimizer/ alone, of the variables all; if it was saved before there was state, that stays */
} kt_load_parts;
/* Reads .keras or .weights.h5, by the file's first bytes, into the variables' data; elements are converted to their
 * dtypes as Keras does. If it fails, no variable has changed. */
int kt_keras_load(const char *path, const kt_saved_variable *variables, size_t count, kt_load_parts parts, char *out_error);

/* The same of a file that is in memory; name: for sentences. KT_ERROR_MEMORY: nothing is known of the file, since there
 * was no memory, or the process that read it ended. */
int kt_keras_load_bytes(const char *name, const void *bytes, size_t byte_count, const kt_saved_variable *variables,
                        size_t count, kt_load_parts parts, char *out_error);

/* Writes the folder path as orbax has it, in place of one that is there. Variables have paths in the state tree of
 * Keras ("trainable_variables/dense/kernel"), none of which is refused; without config_json it is weights alone. */
int kt_orbax_save(const char *path, const kt_saved_model *model, char *out_error);
const char *kt_orbax_refuses(const char *path); /* why such a path cannot be; NULL: it can */
bool kt_orbax_is(const char *path); /* there is such a folder */
/* Removes the folder, whatever is in it, by way of where the one that was saved last was written, so that no part of it is
 * left where this is broken off and that is saved again. */
int kt_orbax_remove(const char *path, const char *saved, char *out_error);

/* Writes a state: all variables, and block_bytes bytes that only the caller understands. */
int kt_state_save(const char *path, const kt_saved_variable *variables, size_t count, const void *block,
                  size_t block_bytes, char *out_error);
/* Reads a state of exactly these variables (in any order) into their data, and the block, from malloc, a NUL behind
 * it. If it fails, nothing has changed. */
int kt_state_load(const char *path, const kt_saved_variable *variables, size_t count, char **out_block,
                  size_t *out_block_bytes, char *out_error);

#endif
