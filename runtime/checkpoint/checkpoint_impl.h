/* What the files of this folder share. */
#ifndef KT_RUNTIME_CHECKPOINT_CHECKPOINT_IMPL_H
#define KT_RUNTIME_CHECKPOINT_CHECKPOINT_IMPL_H

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/hdf5_reader.h"

#include <stdbool.h>
#include <stdio.h>

/* The file at hand, for sentences. */
typedef struct kt_subject {
    const char *path;
    char *error; /* room for KT_IO_ERROR */
} kt_subject;
/* Puts "PATH: sentence" into subject->error; is 1. */
#define kt_subject_fail(...) (kt_subject_say(__VA_ARGS__), 1)
void kt_subject_say(const kt_subject *subject, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline int kt_subject_no_memory(const kt_subject *subject) {
    return kt_subject_fail(subject, "There is not enough memory for it.");
}

/* Bytes of a variable; 1 and a sentence if it is none that can be saved. */
int kt_saved_bytes(const kt_subject *subject, const kt_saved_variable *variable, size_t *out_bytes);
/* "(2, 3)" as Python writes it. */
enum { KT_SHAPE_TEXT = 8 * 21 + 4 };
const char *kt_shape_text(int rank, const int64_t *dims, char out_text[KT_SHAPE_TEXT]);

/* ---- whole_file.c ---------------------------------------------------------------------------------------- */
/* A file that is being written and not there yet. */
typedef struct kt_whole_file {
    FILE *file;
    char *path;   /* that it will have, links followed */
    char *beside; /* the name that it has, or passes through, before */
    bool has_name;
} kt_whole_file;
int kt_whole_file_begin(const kt_subject *subject, kt_whole_file *out_file);
/* Syncs it and puts it in its place, or removes it and says why; either way it is closed. */
int kt_whole_file_end(const kt_subject *subject, kt_whole_file *file);
/* Removes it. */
void kt_whole_file_drop(kt_whole_file *file);
/* All bytes of a file, from malloc, a NUL behind them. */
int kt_whole_file_read(const kt_subject *subject, uint8_t **out_bytes, size_t *out_count);

/* ---- hdf5_write.c ---------------------------------------------------------------------------------------- */
/* The variables that have a file_path as an HDF5 file in memory, from malloc. */
int kt_hdf5_write(const kt_subject *subject, const kt_saved_variable *variables, size_t count, uint8_t **out_bytes,
                  size_t *out_count);

/* ---- hdf5_load.c ----------------------------------------------------------------------------------------- */
/* kt_model_load, of an HDF5 file in memory. */
int kt_hdf5_load(const kt_subject *subject, kt_bytes file, const kt_saved_variable *variables, size_t count,
                 kt_load_parts parts);

#endif
