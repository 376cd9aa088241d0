/* The .weights format: a model's variables as Keras has them, valid for any target and any options.
 *
 *   offset 0   kt_weights_header, 64 bytes
 *   64         the list, header.list_bytes: for each variable in order
 *                u32 length of the path, u8 dtype (runtime/abi.h), u8 rank, u16 0, i64 dims[rank],
 *                then the path, without a NUL, and zeros up to a multiple of 8
 *   …          the elements of each variable in order, dense and row-major, each at the next multiple of 64
 *
 * All numbers are little-endian. Where elements lie follows from the list, and a program knows the list's hash
 * and the offsets: it maps the file, compares header and size, and reads no more of the list. */
#ifndef KT_RUNTIME_WEIGHTS_H
#define KT_RUNTIME_WEIGHTS_H

#include "runtime/abi.h"

#define KT_WEIGHTS_MAGIC "KTWEIGHT"
enum { KT_WEIGHTS_VERSION = 1, KT_WEIGHTS_ALIGNMENT = 64 };

typedef struct kt_weights_header {
    char magic[8];
    uint32_t version;
    uint32_t variable_count;
    uint64_t list_bytes;
    uint64_t list_hash;
    uint64_t bytes; /* of the whole file */
    uint64_t zeros[3];
} kt_weights_header;

/* Maps path (NULL: the file that lies beside the program) and runs the program's `prepare` on it. Returns the
 * constants, program->constants_bytes at a multiple of 64, for free(); or NULL, and a sentence in out_error (room for
 * error_bytes). */
uint8_t *kt_weights_prepare(const kt_program *program, const char *path, int threads, char *out_error,
                            unsigned error_bytes);

#endif
