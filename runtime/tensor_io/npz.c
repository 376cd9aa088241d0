/* NumPy's .npz: a zip archive whose members are NAME.npy, stored or deflated.
 *
 * Reading goes through the central directory at the archive's end (with zip64's fields where a number does
 * not fit 32 bits); every offset and length is checked against the file before it is used. Writing stores,
 * and always gives the sizes in zip64's fields, so that there is one way for all sizes. */
#include "runtime/tensor_io/tensor_io_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    MAX_COMMENT = 65535,
    MAX_RATIO = 1032, /* deflate cannot pack better */
    STORED = 0,
    DEFLATED = 8,
    ENCRYPTED = 1,
};
#define END_SIGNATURE     0x06054b50u
#define END64_SIGNATURE   0x06064b50u
#define LOCATOR_SIGNATURE 0x07064b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define LOCAL_SIGNATURE   0x04034b50u

static uint64_t get(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static uint32_t crc32(uint32_t crc, const void *data, size_t count) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *bytes = data;
    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = table[crc & 15] ^ (crc >> 4);
        crc = table[crc & 15] ^ (crc >> 4);
    }
    return ~crc;
}

struct archive {
    const kt_io *io;
    const uint8_t *bytes;
    size_t count;
};

struct member {
    const char *name;
    size_t name_length;
    uint64_t method, flags, crc, packed, size, local_at;
};

static int damaged(const kt_io *io) { return kt_io_fail(io, "The archive is damaged."); }

/* Where the central directory is, and how many members it lists. */
static int find_directory(const struct archive *archive, uint64_t *out_at, uint64_t *out_members) {
    const uint8_t *bytes = archive->bytes;
    size_t lowest = archive->count > END_BYTES + MAX_COMMENT ? archive->count - END_BYTES - MAX_COMMENT : 0;
    if (archive->count < END_BYTES) return damaged(archive->io);
    for (size_t at = archive->count - END_BYTES;; at--) {
        if (get(bytes + at, 4) == END_SIGNATURE) {
            *out_members = get(bytes + at + 10, 2);
            *out_at = get(bytes + at + 16, 4);
            if (at < LOCATOR_BYTES || get(bytes + at - LOCATOR_BYTES, 4) != LOCATOR_SIGNATURE) return 0;
            uint64_t end64 = get(bytes + at - LOCATOR_BYTES + 8, 8);
            if (archive->count < END64_BYTES || end64 > archive->count - END64_BYTES)
                return damaged(archive->io);
            if (get(bytes + end64, 4) != END64_SIGNATURE) return damaged(archive->io);
            *out_members = get(bytes + end64 + 32, 8);
            *out_at = get(bytes + end64 + 48, 8);
            return 0;
        }
        if (at == lowest) return damaged(archive->io);
    }
}

/* Takes from zip64's extra field, in this order, the numbers that are all ones in the record itself. */
static void read_extra(const uint8_t *extra, size_t count, struct member *member) {
    uint64_t *numbers[3] = {&member->size, &member->packed, &member->local_at};
    while (count >= 4) {
        size_t kind = get(extra, 2), length = get(extra + 2, 2);
        extra += 4;
        count -= 4;
        if (length > count) return;
        size_t at = 0;
        for (int i = 0; kind == 1 && i < 3; i++) {
            if (*numbers[i] != UINT32_MAX || at + 8 > length) continue;
            *numbers[i] = get(extra + at, 8);
            at += 8;
        }
        extra += length;
        count -= length;
    }
}

/* The member whose central record begins at *at, which is moved behind it. */
static int read_record(const struct archive *archive, uint64_t *at, struct member *out_member) {
    if (archive->count < CENTRAL_BYTES || *at > archive->count - CENTRAL_BYTES) return damaged(archive->io);
    const uint8_t *record = archive->bytes + *at;
    if (get(record, 4) != CENTRAL_SIGNATURE) return damaged(archive->io);
    size_t name = get(record + 28, 2), extra = get(record + 30, 2), comment = get(record + 32, 2);
    if (name + extra + comment > archive->count - CENTRAL_BYTES - *at) return damaged(archive->io);
    *out_member = (struct member){
        .name = (const char *)record + CENTRAL_BYTES,
        .name_length = name,
        .flags = get(record + 8, 2),
        .method = get(record + 10, 2),
        .crc = get(record + 16, 4),
        .packed = get(record + 20, 4),
        .size = get(record + 24, 4),
        .local_at = get(record + 42, 4),
    };
    read_extra(record + CENTRAL_BYTES + name, extra, out_member);
    *at += CENTRAL_BYTES + name + extra + comment;
    return 0;
}

/* The unpacked bytes of a member, from malloc. */
static int unpack(const struct archive *archive, const kt_io *io, const struct member *member,
                  uint8_t **out_bytes) {
    if (member->flags & ENCRYPTED) return kt_io_fail(io, "The member is encrypted.");
    if (archive->count < LOCAL_BYTES || member->local_at > archive->count - LOCAL_BYTES) return damaged(io);
    const uint8_t *local = archive->bytes + member->local_at;
    uint64_t available = archive->count - member->local_at - LOCAL_BYTES,
             skip = get(local + 26, 2) + get(local + 28, 2);
    if (get(local, 4) != LOCAL_SIGNATURE || skip > available || member->packed > available - skip)
        return damaged(io);
    bool stored = member->method == STORED;
    if (!stored && member->method != DEFLATED)
        return kt_io_fail(io, "The member is packed in a way that is not known.");
    if (stored ? member->size != member->packed : member->size / MAX_RATIO > member->packed)
        return damaged(io);
    uint8_t *bytes = malloc(member->size + 1);
    if (!bytes) return kt_io_no_memory(io);
    const uint8_t *packed = local + LOCAL_BYTES + skip;
    bool ok = stored || kt_inflate(packed, member->packed, bytes, member->size);
    if (stored) memcpy(bytes, packed, member->size);
    if (!ok || crc32(0, bytes, member->size) != member->crc) {
        free(bytes);
        return damaged(io);
    }
    *out_bytes = bytes;
    return 0;
}

static int read_member(const struct archive *archive, const struct member *member, kt_arrays *out_arrays) {
    char name[64];
    size_t length = member->name_length;
    (void)snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), member->name);
    const kt_io io = {archive->io->path, name, archive->io->error};
    uint8_t *bytes = NULL;
    kt_buffer buffer = {0};
    int code = unpack(archive, &io, member, &bytes);
    if (code == 0) code = kt_npy_decode(&io, bytes, member->size, &buffer);
    return code ? code : kt_io_push(&io, out_arrays, member->name, length - 4, &buffer);
}

int kt_npz_read(const kt_io *io, const uint8_t *bytes, size_t count, kt_arrays *out_arrays) {
    const struct archive archive = {io, bytes, count};
    uint64_t at = 0, members = 0;
    int code = find_directory(&archive, &at, &members);
    for (uint64_t i = 0; i < members && code == 0; i++) {
        struct member member = {0};
        code = read_record(&archive, &at, &member);
        if (code || member.name_length <= 4 || memcmp(member.name + member.name_length - 4, ".npy", 4) != 0)
            continue;
        code = read_member(&archive, &member, out_arrays);
    }
    if (code == 0 && out_arrays->count == 0) return kt_io_fail(io, "The archive holds no arrays.");
    return code;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

struct record {
    uint8_t bytes[128];
    size_t count;
};

static void put(struct record *record, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) record->bytes[record->count++] = (uint8_t)(value >> (8 * i));
}

struct written {
    uint64_t at, size;
    uint32_t crc;
};

/* Version 4.5, stored, 1 January 1980, sizes in the extra field. */
static void put_common(struct record *record, const struct written *written, const char *name,
                       int extra_bytes) {
    put(record, 45, 2);
    put(record, 0x800, 2); /* the name is UTF-8 */
    put(record, STORED, 2);
    put(record, 0, 2);
    put(record, 0x21, 2);
    put(record, written->crc, 4);
    put(record, UINT32_MAX, 4);
    put(record, UINT32_MAX, 4);
    put(record, strlen(name) + 4, 2);
    put(record, (uint64_t)extra_bytes, 2);
}

static void put_sizes(struct record *record, const struct written *written, int numbers) {
    put(record, 1, 2);
    put(record, (uint64_t)numbers * 8, 2);
    put(record, written->size, 8);
    put(record, written->size, 8);
}

/* Returns how many bytes were written. */
static uint64_t write_named(FILE *file, const struct record *record, size_t before_name, const char *name) {
    (void)fwrite(record->bytes, 1, before_name, file);
    (void)fprintf(file, "%s.npy", name);
    (void)fwrite(record->bytes + before_name, 1, record->count - before_name, file);
    return record->count + strlen(name) + 4;
}

static uint64_t write_central(FILE *file, const struct written *written, const char *name) {
    struct record record = {.count = 0};
    put(&record, CENTRAL_SIGNATURE, 4);
    put(&record, 45, 2);
    put_common(&record, written, name, 28);
    put(&record, 0, 2); /* no comment; disk and attributes follow */
    put(&record, 0, 8);
    put(&record, UINT32_MAX, 4);
    put_sizes(&record, written, 3);
    put(&record, written->at, 8);
    return write_named(file, &record, CENTRAL_BYTES, name);
}

static void write_end(FILE *file, uint64_t count, uint64_t bytes, uint64_t at) {
    struct record record = {.count = 0};
    put(&record, END64_SIGNATURE, 4);
    put(&record, END64_BYTES - 12, 8);
    put(&record, 45, 2);
    put(&record, 45, 2);
    put(&record, 0, 8);
    put(&record, count, 8);
    put(&record, count, 8);
    put(&record, bytes, 8);
    put(&record, at, 8);
    put(&record, LOCATOR_SIGNATURE, 4);
    put(&record, 0, 4);
    put(&record, at + bytes, 8);
    put(&record, 1, 4);
    put(&record, END_SIGNATURE, 4);
    put(&record, 0, 4);
    put(&record, UINT16_MAX, 2);
    put(&record, UINT16_MAX, 2);
    put(&record, UINT32_MAX, 4);
    put(&record, UINT32_MAX, 4);
    put(&record, 0, 2);
    (void)fwrite(record.bytes, 1, record.count, file);
}

int kt_npz_write(const kt_io *io, FILE *file, const kt_array *arrays, size_t count) {
    struct written *written = calloc(count + 1, sizeof *written);
    if (!written) return kt_io_no_memory(io);
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const kt_buffer *buffer = &arrays[i].buffer;
        char header[KT_NPY_HEADER];
        size_t header_bytes = kt_npy_header(buffer, header);
        size_t bytes = (size_t)kt_io_elements(buffer) * kt_abi_dtype_bytes(buffer->dtype);
        uint32_t crc = crc32(crc32(0, header, header_bytes), buffer->data, bytes);
        written[i] = (struct written){at, header_bytes + bytes, crc};
        struct record record = {.count = 0};
        put(&record, LOCAL_SIGNATURE, 4);
        put_common(&record, &written[i], arrays[i].name, 20);
        put_sizes(&record, &written[i], 2);
        at += write_named(file, &record, LOCAL_BYTES, arrays[i].name) + written[i].size;
        kt_npy_write(file, buffer);
    }
    uint64_t directory_bytes = 0;
    for (size_t i = 0; i < count; i++) directory_bytes += write_central(file, &written[i], arrays[i].name);
    write_end(file, count, directory_bytes, at);
    free(written);
    return 0;
}
