/* Zip archives in memory and in files: .npz and .keras.
 *
 * Reading goes through the central directory at the archive's end (with zip64's fields where a number does
 * not fit 32 bits); every offset and length is checked against the archive before it is used. An archive is only
 * read if all of it fits together: the directory lies right before the end and holds as many entries as the end
 * says, and members say of themselves what the directory says of them. So no two readers see other members in
 * it. Writing stores,
 * and always gives the sizes in zip64's fields, so that there is one way for all sizes. The same members make
 * the same bytes: every date is 1 January 1980. */
#ifndef KT_RUNTIME_ZIP_H
#define KT_RUNTIME_ZIP_H

#include <stdint.h>
#include <stdio.h>

typedef enum kt_zip_status {
    KT_ZIP_OK,
    KT_ZIP_DAMAGED,
    KT_ZIP_ENCRYPTED,
    KT_ZIP_PACKED, /* in a way that is not known: neither stored nor deflated */
    KT_ZIP_MEMORY, /* there is not enough */
} kt_zip_status;

/* An archive that is being read; its bytes are the caller's and must outlive it. */
typedef struct kt_zip {
    const uint8_t *bytes;
    size_t count;
    uint64_t next_at, left; /* entries that are still to come */
    size_t directory_at, directory_end;
} kt_zip;

typedef struct kt_zip_entry {
    const char *name; /* in the archive, without a NUL */
    size_t name_length;
    uint64_t method, flags, crc, packed, size, local_at;
    size_t data_at; /* of kt_zip_locate: where the packed bytes begin */
} kt_zip_entry;

kt_zip_status kt_zip_open(const uint8_t *bytes, size_t count, kt_zip *out_zip);
/* While zip->left. */
kt_zip_status kt_zip_next(kt_zip *zip, kt_zip_entry *out_entry);
/* Finds an entry's bytes, which then end before the directory; KT_ZIP_DAMAGED if its own header says something else
 * than the directory. */
kt_zip_status kt_zip_locate(const kt_zip *zip, kt_zip_entry *entry);
/* The unpacked bytes of an entry, entry->size of them, its checksum compared: where it is stored, in the archive, and
 * *out_owned is NULL; else from malloc, and *out_owned is what the caller frees. */
kt_zip_status kt_zip_unpack(const kt_zip *zip, const kt_zip_entry *entry, const uint8_t **out_bytes,
                            uint8_t **out_owned);

/* A member that is to be written; its bytes come in two parts, each of which may be empty. */
typedef struct kt_zip_member {
    const char *name;
    const void *parts[2];
    size_t part_bytes[2];
} kt_zip_member;
/* Writes to an open file, whose error state the caller checks; fails only with KT_ZIP_MEMORY. */
kt_zip_status kt_zip_write(FILE *file, const kt_zip_member *members, size_t count);

/* Zip's checksum of what came before (first 0) and these bytes. */
uint32_t kt_crc32(uint32_t crc, const void *data, size_t count);

#endif
