/* The .ktstate format: all variables of a training program, for resuming exactly.
 *
 *   offset 0   struct header, 64 bytes
 *   64         the list, header.list_bytes: for each variable in order
 *                u32 length of the path, u8 dtype (runtime/abi.h), u8 rank, u16 0, i64 dims[rank],
 *                then the path, without a NUL, and zeros up to a multiple of 8
 *   …          the caller's block, header.block_bytes, and zeros up to a multiple of 8
 *   …          the elements of each variable in order, dense and row-major, and zeros up to a multiple of 8
 *
 * All numbers are little-endian. The checksum goes over all that is behind the header, then over the header
 * with 0 in its own place, so that whatever happened to a file since it was written is noticed. A file that
 * was made to deceive can have a right checksum; so every length is checked all the same. */
#include "runtime/checkpoint/checkpoint_impl.h"
#include "runtime/zip.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "KTSTATE"
enum { VERSION = 1, ALIGNMENT = 8, ENTRY_BYTES = 8 };

struct header {
    char magic[8];
    uint32_t version, variable_count;
    uint64_t list_bytes, block_bytes, bytes /* of the whole file */;
    uint32_t checksum, zero;
    uint64_t zeros[2];
};

static const uint8_t zeros[ALIGNMENT];

static size_t padding(size_t bytes) { return (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT; }

/* ---- writing --------------------------------------------------------------------------------- */

/* One pass over what stands behind the header. */
struct pass {
    FILE *file; /* NULL: only the checksum and the length are wanted */
    uint32_t checksum;
    uint64_t bytes;
};

static void put(struct pass *pass, const void *data, size_t bytes) {
    if (!bytes) return;
    if (pass->file)
        (void)fwrite(data, 1, bytes, pass->file);
    else
        pass->checksum = kt_crc32(pass->checksum, data, bytes);
    pass->bytes += bytes;
}

static void put_padded(struct pass *pass, const void *data, size_t bytes) {
    put(pass, data, bytes);
    put(pass, zeros, padding(bytes));
}

static void put_list(struct pass *pass, const kt_saved_variable *variables, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const kt_saved_variable *variable = &variables[i];
        struct {
            uint32_t length;
            uint8_t dtype, rank;
            uint16_t zero;
        } head = {(uint32_t)strlen(variable->path), (uint8_t)variable->dtype, (uint8_t)variable->rank, 0};
        _Static_assert(sizeof head == ENTRY_BYTES, "the format's");
        put(pass, &head, sizeof head);
        put(pass, variable->dims, (size_t)variable->rank * sizeof *variable->dims);
        put_padded(pass, variable->path, head.length);
    }
}

static void put_all(struct pass *pass, const kt_saved_variable *variables, const size_t *bytes, size_t count,
                    const void *block, size_t block_bytes, struct header *header) {
    put_list(pass, variables, count);
    header->list_bytes = pass->bytes;
    put_padded(pass, block, block_bytes);
    for (size_t i = 0; i < count; i++) put_padded(pass, variables[i].data, bytes[i]);
    header->bytes = sizeof *header + pass->bytes;
}

static int save(const kt_subject *subject, const kt_saved_variable *variables, const size_t *bytes,
                size_t count, const void *block, size_t block_bytes) {
    struct header header = {
        .version = VERSION, .variable_count = (uint32_t)count, .block_bytes = block_bytes};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    struct pass pass = {.file = NULL};
    put_all(&pass, variables, bytes, count, block, block_bytes, &header);
    header.checksum = kt_crc32(pass.checksum, &header, sizeof header);
    kt_whole_file whole;
    int code = kt_whole_file_begin(subject, &whole);
    if (code) return code;
    pass = (struct pass){.file = whole.file};
    (void)fwrite(&header, 1, sizeof header, whole.file);
    put_all(&pass, variables, bytes, count, block, block_bytes, &header);
    return kt_whole_file_end(subject, &whole);
}

int kt_state_save(const char *path, const kt_saved_variable *variables, size_t count, const void *block,
                  size_t block_bytes, char *out_error) {
    const kt_subject subject = {path, out_error};
    size_t *bytes = calloc(count + 1, sizeof *bytes);
    if (!bytes) return kt_subject_no_memory(&subject);
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) code = kt_saved_bytes(&subject, &variables[i], &bytes[i]);
    if (code == 0) code = save(&subject, variables, bytes, count, block, block_bytes);
    free(bytes);
    return code;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What is left of a file. */
struct rest {
    const uint8_t *at;
    size_t count;
};

/* The next bytes, and their padding; NULL: there are not so many. */
static const uint8_t *take(struct rest *rest, uint64_t bytes) {
    if (bytes > rest->count || padding(bytes) > rest->count - bytes) return NULL;
    const uint8_t *at = rest->at;
    rest->at += bytes + padding(bytes);
    rest->count -= bytes + padding(bytes);
    return at;
}

/* A variable in the list; path is in the file, without a NUL. */
struct listed {
    const char *path;
    uint32_t path_length;
    int32_t dtype, rank;
    int64_t dims[KT_MAX_RANK];
};

static bool take_listed(struct rest *list, struct listed *out_listed) {
    const uint8_t *head = take(list, ENTRY_BYTES);
    if (!head) return false;
    *out_listed = (struct listed){.dtype = head[4], .rank = head[5]};
    memcpy(&out_listed->path_length, head, sizeof out_listed->path_length);
    if (out_listed->rank > KT_MAX_RANK) return false;
    size_t bytes = (size_t)out_listed->rank * sizeof *out_listed->dims;
    const uint8_t *dims = take(list, bytes);
    if (!dims) return false;
    memcpy(out_listed->dims, dims, bytes);
    out_listed->path = (const char *)take(list, out_listed->path_length);
    return out_listed->path != NULL;
}

static int damaged(const kt_subject *subject) {
    return kt_subject_fail(subject, "The file is damaged; take an older one, or copy it anew.");
}

/* Is the file a whole state? Then the header is filled in. */
static int check_whole(const kt_subject *subject, const uint8_t *bytes, size_t count,
                       struct header *out_header) {
    if (count >= sizeof *out_header) memcpy(out_header, bytes, sizeof *out_header);
    if (count < sizeof *out_header || memcmp(out_header->magic, MAGIC, sizeof out_header->magic) != 0)
        return kt_subject_fail(subject, count && memcmp(bytes, MAGIC, count < 8 ? count : 8) == 0
                                            ? "The file is cut off."
                                            : "This is no state of a training program.");
    if (out_header->version != VERSION)
        return kt_subject_fail(subject,
                               "The file has version %u of the format; this program reads version %d.",
                               out_header->version, VERSION);
    if (out_header->bytes > count)
        return kt_subject_fail(subject, "The file is cut off: %zu of its %llu bytes are there.", count,
                               (unsigned long long)out_header->bytes);
    struct header unsigned_header = *out_header;
    unsigned_header.checksum = 0;
    uint32_t checksum = kt_crc32(0, bytes + sizeof *out_header, count - sizeof *out_header);
    checksum = kt_crc32(checksum, &unsigned_header, sizeof unsigned_header);
    return out_header->bytes != count || checksum != out_header->checksum ? damaged(subject) : 0;
}

/* The variable of a path, which is most often the one at the same position; count: there is none. */
static size_t find(const kt_saved_variable *variables, size_t count, const struct listed *listed,
                   size_t guess) {
    for (size_t i = 0; i < count; i++) {
        size_t index = (guess + i) % count;
        const char *path = variables[index].path;
        if (strlen(path) == listed->path_length && memcmp(path, listed->path, listed->path_length) == 0)
            return index;
    }
    return count;
}

static int check_type(const kt_subject *subject, const kt_saved_variable *variable,
                      const struct listed *listed) {
    if (variable->dtype == listed->dtype && variable->rank == listed->rank &&
        memcmp(variable->dims, listed->dims, (size_t)listed->rank * sizeof *listed->dims) == 0)
        return 0;
    char had[KT_SHAPE_TEXT], needed[KT_SHAPE_TEXT];
    return kt_subject_fail(subject, "%.100s is %s %s in the file, but this program needs %s %s.",
                           variable->path, kt_abi_dtype_name(listed->dtype),
                           kt_shape_text(listed->rank, listed->dims, had), kt_abi_dtype_name(variable->dtype),
                           kt_shape_text(variable->rank, variable->dims, needed));
}

/* Finds each variable's elements in the file: sources[i] for variables[i]. */
static int find_sources(const kt_subject *subject, const kt_saved_variable *variables, size_t count,
                        struct rest list, struct rest elements, uint32_t listed_count,
                        const uint8_t **sources) {
    for (uint32_t i = 0; i < listed_count; i++) {
        struct listed listed;
        if (!take_listed(&list, &listed)) return damaged(subject);
        size_t index = find(variables, count, &listed, i);
        if (index == count)
            return kt_subject_fail(subject, "It holds %.*s, which this program does not have.",
                                   listed.path_length < 100 ? (int)listed.path_length : 100, listed.path);
        size_t bytes = 0;
        int code = check_type(subject, &variables[index], &listed);
        if (code == 0) code = kt_saved_bytes(subject, &variables[index], &bytes);
        if (code) return code;
        const uint8_t *at = take(&elements, bytes);
        if (!at || sources[index]) return damaged(subject);
        sources[index] = at;
    }
    for (size_t i = 0; i < count; i++)
        if (!sources[i])
            return kt_subject_fail(subject, "It does not hold %.100s, which this program needs.",
                                   variables[i].path);
    return list.count || elements.count ? damaged(subject) : 0;
}

static int load(const kt_subject *subject, const uint8_t *bytes, size_t file_bytes,
                const kt_saved_variable *variables, size_t count, const uint8_t **sources, char **out_block,
                size_t *out_block_bytes) {
    struct header header;
    int code = check_whole(subject, bytes, file_bytes, &header);
    if (code) return code;
    struct rest rest = {bytes + sizeof header, file_bytes - sizeof header};
    struct rest list = {take(&rest, header.list_bytes), header.list_bytes};
    const uint8_t *block = list.at ? take(&rest, header.block_bytes) : NULL;
    if (!block || header.list_bytes % ALIGNMENT) return damaged(subject);
    code = find_sources(subject, variables, count, list, rest, header.variable_count, sources);
    if (code) return code;
    char *copy = malloc(header.block_bytes + 1);
    if (!copy) return kt_subject_no_memory(subject);
    memcpy(copy, block, header.block_bytes);
    copy[header.block_bytes] = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        (void)kt_saved_bytes(subject, &variables[i], &size);
        if (size) memcpy(variables[i].data, sources[i], size);
    }
    *out_block = copy;
    *out_block_bytes = header.block_bytes;
    return 0;
}

int kt_state_load(const char *path, const kt_saved_variable *variables, size_t count, char **out_block,
                  size_t *out_block_bytes, char *out_error) {
    const kt_subject subject = {path, out_error};
    uint8_t *bytes = NULL;
    size_t file_bytes = 0;
    int code = kt_whole_file_read(&subject, &bytes, &file_bytes);
    if (code) return code;
    const uint8_t **sources = (const uint8_t **)calloc(count + 1, sizeof *sources);
    code = sources ? load(&subject, bytes, file_bytes, variables, count, sources, out_block, out_block_bytes)
                   : kt_subject_no_memory(&subject);
    free((void *)sources);
    free(bytes);
    return code;
}
