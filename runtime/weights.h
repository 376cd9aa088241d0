/* The .weights format: a model's weights as Keras has them, valid for any target and any options.
 *
 *   offset 0   kt_weights_header, 64 bytes
 *   64         the list, header.list_bytes: for each weight in order
 *                u32 length of the path, u8 dtype (runtime/abi.h), u8 rank, u16 0, i64 dims[rank],
 *                then the path, without a NUL, and zeros up to a multiple of 8
 *   …          the elements of each weight in order, dense and row-major, each at the next multiple of 64
 *
 * All numbers are little-endian. Where elements lie follows from the list, and a program knows the list's hash
 * and the offsets: it maps the file, compares header and size, and reads no more of the list. */
#ifndef KT_RUNTIME_WEIGHTS_H
#define KT_RUNTIME_WEIGHTS_H

#include "runtime/abi.h"

#include <stdbool.h>

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

/* Does the file begin as a .weights does? */
bool kt_weights_recognise(const char *path);

/* Maps path (NULL: the file that lies beside the program), takes what the program's variables begin with, and runs its
 * `prepare`. *out_constants: what that makes, program->constants_bytes at a multiple of 64, for free(); NULL where there is
 * no `prepare`. Returns 0; or 1, and a sentence in out_error (room for error_bytes). */
int kt_weights_load(const kt_program *program, const char *path, int threads, char *variables, uint8_t **out_constants,
                    char *out_error, unsigned error_bytes);

#endif
