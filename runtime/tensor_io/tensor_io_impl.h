/* What the readers and writers of tensor files share. */
#ifndef KT_RUNTIME_TENSOR_IO_IMPL_H
#define KT_RUNTIME_TENSOR_IO_IMPL_H

#include "runtime/runtime.h"

#include <stdbool.h>
#include <stdio.h>

/* What is being read or written, for sentences. */
typedef struct kt_io {
    const char *path;
    const char *member; /* of an .npz, or NULL */
    char *error;        /* room for KT_IO_ERROR */
} kt_io;

/* Puts "PATH: [member: ]sentence" into io->error; returns 1. */
int kt_io_fail(const kt_io *io, const char *format, ...) __attribute__((format(printf, 2, 3)));
int kt_io_no_memory(const kt_io *io);

/* Elements of a shape, -1 if they, or its strides where it is empty, are too many to have bytes. */
int64_t kt_io_elements(const kt_buffer *buffer);

/* Appends an array; takes data and a copy of name. */
int kt_io_push(const kt_io *io, kt_arrays *arrays, const char *name, size_t name_length,
               const kt_buffer *buffer);

/* What the header of a .npy says. */
typedef struct kt_npy_head {
    kt_buffer buffer; /* dtype, shape and how many bytes it has */
    size_t data_at;   /* where the data begins */
    bool fortran, swapped;
} kt_npy_head;
/* The head, whatever the header's length, lies in so many bytes; more are refused. */
enum { KT_NPY_HEAD = (1 << 16) + 12 };
/* Of a file that has file_bytes bytes, of which the first count, all or KT_NPY_HEAD of them, are at hand. */
int kt_npy_read_head(const kt_io *io, const uint8_t *bytes, size_t count, size_t file_bytes,
                     kt_npy_head *out_head);
/* Turns elements of the other byte order into this machine's. */
void kt_npy_swap(uint8_t *data, size_t elements, int32_t dtype);

/* Readers. kt_npy_decode takes bytes (from malloc) in any case. */
int kt_npy_decode(const kt_io *io, uint8_t *bytes, size_t count, kt_buffer *out_buffer);
int kt_npz_read(const kt_io *io, const uint8_t *bytes, size_t count, kt_arrays *out_arrays);
int kt_csv_read(const kt_io *io, const char *text, size_t count, kt_arrays *out_arrays);
int kt_json_read(const kt_io *io, const char *text, kt_arrays *out_arrays); /* up to the NUL */

/* Writers to an open file, whose error state the caller checks. */
enum { KT_NPY_HEADER = 320 };
size_t kt_npy_header(const kt_buffer *buffer, char out_header[KT_NPY_HEADER]);
void kt_npy_write(FILE *file, const kt_buffer *buffer);
int kt_npz_write(const kt_io *io, FILE *file, const kt_array *arrays, size_t count);
void kt_csv_write(FILE *file, const kt_buffer *buffer);
void kt_json_write(FILE *file, const kt_array *arrays, size_t count);
void kt_json_write_text(FILE *file, const char *text); /* in quotes */
void kt_json_write_name(FILE *file, const char *name); /* of a member, with the colon */
/* One element as text; json: as Python reads it, NaN and infinities among it. */
void kt_io_print_element(FILE *file, const kt_buffer *buffer, int64_t index, bool json);
void kt_io_print_float(FILE *file, double value, int digits, bool json);

/* Inflates count bytes of raw deflate data into exactly out_count bytes; false: damaged. */
bool kt_inflate(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_count);

/* Growing arrays of numbers. */
typedef struct kt_numbers {
    double *at;
    size_t count, capacity;
} kt_numbers;
bool kt_numbers_push(kt_numbers *numbers, double number);

#endif
