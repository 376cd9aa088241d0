/* What the files of this folder share. */
#ifndef KT_RUNTIME_CHECKPOINT_CHECKPOINT_IMPL_H
#define KT_RUNTIME_CHECKPOINT_CHECKPOINT_IMPL_H

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/hdf5_reader.h"
#include "runtime/whole_file.h"

/* Bytes of a variable; 1 and a sentence if it is none that can be saved. */
int kt_saved_bytes(const kt_subject *subject, const kt_saved_variable *variable, size_t *out_bytes);
/* "(2, 3)" as Python writes it. */
enum { KT_SHAPE_TEXT = 8 * 21 + 4 };
const char *kt_shape_text(int rank, const int64_t *dims, char out_text[KT_SHAPE_TEXT]);

/* ---- hdf5_write.c ---------------------------------------------------------------------------- */
/* A file in memory that two processes share. */
typedef struct kt_hdf5_image {
    uint8_t *at;
    size_t bytes, room;
} kt_hdf5_image;
/* The variables that have a file_path as an HDF5 file. */
int kt_hdf5_write(const kt_subject *subject, const kt_saved_variable *variables, size_t count, kt_hdf5_image *out_image);
void kt_hdf5_image_deinit(kt_hdf5_image *image);

/* ---- hdf5_load.c ----------------------------------------------------------------------------- */
/* kt_keras_load, of an HDF5 file in memory. */
int kt_hdf5_load(const kt_subject *subject, kt_bytes file, const kt_saved_variable *variables, size_t count,
                 kt_load_parts parts);

#endif
