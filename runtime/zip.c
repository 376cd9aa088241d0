/* Zip archives: see zip.h. A reader of our own, though the compiler has minizip: this is part of compiled
 * programs, which link libc and libm only. */
#include "runtime/zip.h"
#include "runtime/tensor_io/tensor_io_impl.h"

#include <stdbool.h>
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
    STREAMED = 8, /* the header was written before checksum and sizes were known */
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

/* Eight bytes at a time: table k holds what a byte does that k more bytes follow. */
uint32_t kt_crc32(uint32_t crc, const void *data, size_t count) {
    uint32_t table[8][256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? (c >> 1) ^ 0xedb88320u : c >> 1;
        table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 255];
    const uint8_t *bytes = data;
    crc = ~crc;
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word = get(bytes, 8) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++) crc ^= table[7 - k][(word >> (8 * k)) & 255];
    }
    for (; count; bytes++, count--) crc = table[0][(crc ^ *bytes) & 255] ^ (crc >> 8);
    return ~crc;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Where the end is: its comment reaches the archive's end. */
static bool find_end(const uint8_t *bytes, size_t count, size_t *out_at) {
    for (size_t comment = 0; comment <= MAX_COMMENT && comment + END_BYTES <= count; comment++) {
        *out_at = count - END_BYTES - comment;
        if (get(bytes + *out_at, 4) == END_SIGNATURE && get(bytes + *out_at + 20, 2) == comment) return true;
    }
    return false;
}

/* Takes a number from zip64's end; the other has the same or all ones. */
static bool widen(uint64_t *number, int bytes, const uint8_t *wide) {
    uint64_t ones = ((uint64_t)1 << 8 * bytes) - 1, found = get(wide, 8);
    if (*number != ones && *number != found) return false;
    *number = found;
    return true;
}

kt_zip_status kt_zip_open(const uint8_t *bytes, size_t count, kt_zip *out_zip) {
    size_t end;
    if (!find_end(bytes, count, &end)) return KT_ZIP_DAMAGED;
    const uint8_t *at = bytes + end;
    uint64_t entries = get(at + 10, 2), size = get(at + 12, 4), directory = get(at + 16, 4);
    if (get(at + 4, 4) != 0 || get(at + 8, 2) != entries) return KT_ZIP_DAMAGED; /* one of several disks */
    if (end >= LOCATOR_BYTES + END64_BYTES && get(at - LOCATOR_BYTES, 4) == LOCATOR_SIGNATURE) {
        end -= LOCATOR_BYTES + END64_BYTES;
        const uint8_t *end64 = bytes + end;
        if (get(at - LOCATOR_BYTES + 8, 8) != end || get(end64, 4) != END64_SIGNATURE ||
            get(end64 + 4, 8) != END64_BYTES - 12 || get(end64 + 16, 8) != 0 ||
            get(end64 + 24, 8) != get(end64 + 32, 8))
            return KT_ZIP_DAMAGED;
        if (!widen(&entries, 2, end64 + 32) || !widen(&size, 4, end64 + 40) ||
            !widen(&directory, 4, end64 + 48))
            return KT_ZIP_DAMAGED;
    }
    if (directory > end || size != end - directory || entries > size / CENTRAL_BYTES) return KT_ZIP_DAMAGED;
    if (entries == 0 && size != 0) return KT_ZIP_DAMAGED;
    *out_zip = (kt_zip){bytes, count, directory, entries, directory, end};
    return KT_ZIP_OK;
}

/* Takes the numbers that are all ones from zip64's extra field, in their order. */
static bool read_extra(const uint8_t *extra, size_t count, uint64_t *const *numbers, int number_count) {
    const uint8_t *wide = NULL;
    size_t left = 0;
    while (count >= 4) {
        size_t kind = get(extra, 2), length = get(extra + 2, 2);
        extra += 4;
        count -= 4;
        if (length > count || (kind == 1 && wide)) return false;
        if (kind == 1) {
            wide = extra;
            left = length;
        }
        extra += length;
        count -= length;
    }
    for (int i = 0; i < number_count && wide; i++) {
        if (*numbers[i] != UINT32_MAX) continue;
        if (left < 8) return false;
        *numbers[i] = get(wide, 8);
        wide += 8;
        left -= 8;
    }
    return true;
}

kt_zip_status kt_zip_next(kt_zip *zip, kt_zip_entry *out_entry) {
    const uint8_t *record = zip->bytes + zip->next_at;
    size_t available = zip->directory_end - zip->next_at;
    if (available < CENTRAL_BYTES || get(record, 4) != CENTRAL_SIGNATURE) return KT_ZIP_DAMAGED;
    size_t name = get(record + 28, 2), extra = get(record + 30, 2), comment = get(record + 32, 2);
    size_t bytes = CENTRAL_BYTES + name + extra + comment;
    if (bytes > available || (zip->left == 1 && bytes != available)) return KT_ZIP_DAMAGED;
    *out_entry = (kt_zip_entry){
        .name = (const char *)record + CENTRAL_BYTES,
        .name_length = name,
        .flags = get(record + 8, 2),
        .method = get(record + 10, 2),
        .crc = get(record + 16, 4),
        .packed = get(record + 20, 4),
        .size = get(record + 24, 4),
        .local_at = get(record + 42, 4),
    };
    uint64_t *const numbers[] = {&out_entry->size, &out_entry->packed, &out_entry->local_at};
    if (!read_extra(record + CENTRAL_BYTES + name, extra, numbers, 3)) return KT_ZIP_DAMAGED;
    zip->next_at += bytes;
    zip->left--;
    return KT_ZIP_OK;
}

kt_zip_status kt_zip_locate(const kt_zip *zip, kt_zip_entry *entry) {
    if (entry->local_at > zip->directory_at || zip->directory_at - entry->local_at < LOCAL_BYTES)
        return KT_ZIP_DAMAGED;
    const uint8_t *local = zip->bytes + entry->local_at;
    size_t available = zip->directory_at - entry->local_at - LOCAL_BYTES;
    size_t name = get(local + 26, 2), extra = get(local + 28, 2);
    if (get(local, 4) != LOCAL_SIGNATURE || name + extra > available ||
        entry->packed > available - name - extra)
        return KT_ZIP_DAMAGED;
    uint64_t crc = get(local + 14, 4), packed = get(local + 18, 4), size = get(local + 22, 4);
    uint64_t *const numbers[] = {&size, &packed};
    if (name != entry->name_length || memcmp(local + LOCAL_BYTES, entry->name, name) != 0 ||
        get(local + 8, 2) != entry->method || !read_extra(local + LOCAL_BYTES + name, extra, numbers, 2))
        return KT_ZIP_DAMAGED;
    bool later = (get(local + 6, 2) & STREAMED) && crc == 0 && packed == 0 && size == 0;
    if (!later && (crc != entry->crc || packed != entry->packed || size != entry->size))
        return KT_ZIP_DAMAGED;
    entry->data_at = entry->local_at + LOCAL_BYTES + name + extra;
    return KT_ZIP_OK;
}

kt_zip_status kt_zip_unpack(const kt_zip *zip, const kt_zip_entry *entry, const uint8_t **out_bytes,
                            uint8_t **out_owned) {
    if (entry->flags & ENCRYPTED) return KT_ZIP_ENCRYPTED;
    kt_zip_entry located = *entry;
    kt_zip_status status = kt_zip_locate(zip, &located);
    if (status != KT_ZIP_OK) return status;
    const uint8_t *packed = zip->bytes + located.data_at;
    *out_owned = NULL;
    if (entry->method == STORED) {
        if (entry->size != entry->packed || kt_crc32(0, packed, entry->size) != entry->crc)
            return KT_ZIP_DAMAGED;
        *out_bytes = packed;
        return KT_ZIP_OK;
    }
    if (entry->method != DEFLATED) return KT_ZIP_PACKED;
    if (entry->size / MAX_RATIO > entry->packed) return KT_ZIP_DAMAGED;
    uint8_t *bytes = malloc(entry->size + 1);
    if (!bytes) return KT_ZIP_MEMORY;
    if (!kt_inflate(packed, entry->packed, bytes, entry->size) ||
        kt_crc32(0, bytes, entry->size) != entry->crc) {
        free(bytes);
        return KT_ZIP_DAMAGED;
    }
    *out_bytes = *out_owned = bytes;
    return KT_ZIP_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

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

/* Stored, 1 January 1980. Where an archive is large, version 4.5, with sizes and offsets in extra fields;
 * some readers know only the older form, in which there is room for 4 GiB. */
static void put_common(struct record *record, const struct written *written, const char *name,
                       int extra_bytes) {
    uint64_t size = extra_bytes ? UINT32_MAX : written->size;
    put(record, extra_bytes ? 45 : 20, 2);
    put(record, 0x800, 2); /* the name is UTF-8 */
    put(record, STORED, 2);
    put(record, 0, 2);
    put(record, 0x21, 2);
    put(record, written->crc, 4);
    put(record, size, 4);
    put(record, size, 4);
    put(record, strlen(name), 2);
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
    (void)fputs(name, file);
    (void)fwrite(record->bytes + before_name, 1, record->count - before_name, file);
    return record->count + strlen(name);
}

static uint64_t write_central(FILE *file, const struct written *written, const char *name, bool large) {
    struct record record = {.count = 0};
    put(&record, CENTRAL_SIGNATURE, 4);
    put(&record, large ? 45 : 20, 2);
    put_common(&record, written, name, large ? 28 : 0);
    put(&record, 0, 2); /* no comment; disk and attributes follow */
    put(&record, 0, 8);
    put(&record, large ? UINT32_MAX : written->at, 4);
    if (large) {
        put_sizes(&record, written, 3);
        put(&record, written->at, 8);
    }
    return write_named(file, &record, CENTRAL_BYTES, name);
}

static void write_end64(FILE *file, uint64_t count, uint64_t bytes, uint64_t at) {
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
    (void)fwrite(record.bytes, 1, record.count, file);
}

static void write_end(FILE *file, uint64_t count, uint64_t bytes, uint64_t at, bool large) {
    struct record record = {.count = 0};
    if (large) write_end64(file, count, bytes, at);
    put(&record, END_SIGNATURE, 4);
    put(&record, 0, 4);
    put(&record, large ? UINT16_MAX : count, 2);
    put(&record, large ? UINT16_MAX : count, 2);
    put(&record, large ? UINT32_MAX : bytes, 4);
    put(&record, large ? UINT32_MAX : at, 4);
    put(&record, 0, 2);
    (void)fwrite(record.bytes, 1, record.count, file);
}

/* Has it no room in the older form? A megabyte more than a record takes, for names. */
static bool is_large(const kt_zip_member *members, size_t count) {
    uint64_t bytes = (uint64_t)1 << 20;
    for (size_t i = 0; i < count; i++)
        bytes += members[i].part_bytes[0] + members[i].part_bytes[1] + 2 * (strlen(members[i].name) + 128);
    return count >= UINT16_MAX || bytes >= UINT32_MAX;
}

kt_zip_status kt_zip_write(FILE *file, const kt_zip_member *members, size_t count) {
    struct written *written = calloc(count + 1, sizeof *written);
    if (!written) return KT_ZIP_MEMORY;
    uint64_t at = 0;
    bool large = is_large(members, count);
    for (size_t i = 0; i < count; i++) {
        const kt_zip_member *member = &members[i];
        uint32_t crc = kt_crc32(kt_crc32(0, member->parts[0], member->part_bytes[0]), member->parts[1],
                                member->part_bytes[1]);
        written[i] = (struct written){at, member->part_bytes[0] + member->part_bytes[1], crc};
        struct record record = {.count = 0};
        put(&record, LOCAL_SIGNATURE, 4);
        put_common(&record, &written[i], member->name, large ? 20 : 0);
        if (large) put_sizes(&record, &written[i], 2);
        at += write_named(file, &record, LOCAL_BYTES, member->name) + written[i].size;
        for (int part = 0; part < 2; part++)
            if (member->part_bytes[part])
                (void)fwrite(member->parts[part], 1, member->part_bytes[part], file);
    }
    uint64_t directory_bytes = 0;
    for (size_t i = 0; i < count; i++)
        directory_bytes += write_central(file, &written[i], members[i].name, large);
    write_end(file, count, directory_bytes, at, large);
    free(written);
    return KT_ZIP_OK;
}
