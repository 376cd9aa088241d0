/* Unpacking a .keras archive, and parsing the JSON in it.
 *
 * The archive is in memory as a whole; minizip reads its directory through callbacks over those bytes. Before
 * anything is unpacked all directory entries are looked at: their number, names, and sizes. A member that is
 * stored cannot be larger than the archive, and all members together may be at most RATIO times as large as
 * the archive (plus a little), so that a small file cannot ask for much memory, overlapping members included.
 * Keras itself stores and never compresses. Unknown members are errors, since a file that holds them is not
 * what it says. */
#define ZLIB_CONST /* what is inflated is only read */
#include "frontend/keras/keras_impl.h"

#include <errno.h>
#include <minizip/unzip.h>
#include <string.h>
#include <zlib.h>

enum {
    MEMBER_LIMIT = 4096,
    NAME_LIMIT = 512,
    RATIO = 100,
    FREE_BYTES = 16 << 20, /* what may be unpacked whatever the archive's size */
};

/* ---- minizip over memory ---------------------------------------------------------------------------------
 */
typedef struct cursor {
    kt_bytes file;
    size_t at;
    bool ended; /* a read went past the end */
} cursor;

static voidpf open_memory(voidpf opaque, const void *name, int mode) {
    (void)name, (void)mode;
    return opaque;
}

static uLong read_memory(voidpf opaque, voidpf stream, void *buffer, uLong size) {
    (void)opaque;
    cursor *c = stream;
    size_t count = size < c->file.count - c->at ? size : c->file.count - c->at;
    memcpy(buffer, c->file.at + c->at, count);
    c->at += count;
    c->ended = c->ended || count < size;
    return count;
}

static ZPOS64_T tell_memory(voidpf opaque, voidpf stream) {
    (void)opaque;
    return ((cursor *)stream)->at;
}

static long seek_memory(voidpf opaque, voidpf stream, ZPOS64_T offset, int origin) {
    (void)opaque;
    cursor *c = stream;
    size_t base = origin == ZLIB_FILEFUNC_SEEK_SET   ? 0
                  : origin == ZLIB_FILEFUNC_SEEK_CUR ? c->at
                                                     : c->file.count;
    if (offset > c->file.count - base) return -1;
    c->at = base + offset;
    return 0;
}

/* minizip takes a short read for zeros unless there is an error. */
static int error_memory(voidpf opaque, voidpf stream) {
    (void)opaque;
    return ((cursor *)stream)->ended;
}

static int close_memory(voidpf opaque, voidpf stream) {
    (void)opaque, (void)stream;
    return 0;
}

static void close_zip(void *zip) { unzClose(zip); }

/* ---- members ---------------------------------------------------------------------------------------------
 */
static bool name_is_expected(const char *name) {
    static const char *const names[] = {"config.json", "metadata.json", "model.weights.h5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return strncmp(name, "assets/", 7) == 0;
}

/* Could name lead out of the archive, or not be printed? */
static bool name_is_unsafe(const char *name) {
    if (name[0] == '/' || strchr(name, '\\')) return true;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) return true;
    for (const char *p = name; p; p = strchr(p, '/')) {
        if (*p == '/') p++;
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || !p[2])) return true;
    }
    return false;
}

/* Minizip does not tell a damaged archive from memory that it could not get, but malloc does. */
static void leave_without_memory(void) {
    if (errno == ENOMEM) kt_out_of_memory();
}

static kt_status damaged(kt_diag *diag) {
    leave_without_memory();
    return kt_diag_add(diag, KT_INVALID, NULL,
                       "The archive is damaged or cut off; save the model again or copy the file anew.");
}

static kt_status check_member(const kt_archive *archive, const unz_file_info64 *info, const char *name,
                              size_t archive_bytes, kt_diag *diag) {
    if (name_is_unsafe(name))
        return kt_diag_add(
            diag, KT_INVALID, NULL,
            "The archive holds a file whose name leads out of it or is not a name; this is not a "
            "file that Keras wrote.");
    if (!name_is_expected(name))
        return kt_diag_add(diag, KT_INVALID, NULL,
                           "The archive holds “%s”, which is no part of a Keras model; only config.json, "
                           "metadata.json, model.weights.h5 and assets/ are.",
                           name);
    if (kt_archive_find(archive, name))
        return kt_diag_add(diag, KT_INVALID, NULL, "The archive holds “%s” twice.", name);
    if (info->flag & 1)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                           "“%s” in the archive is encrypted; save the model without a password.", name);
    if (info->compression_method != 0 && info->compression_method != 8)
        return kt_diag_add(
            diag, KT_UNSUPPORTED, NULL,
            "“%s” in the archive is compressed by method %lu; only stored and deflated files are "
            "read.",
            name, info->compression_method);
    if (info->compressed_size > archive_bytes ||
        (info->compression_method == 0 && info->compressed_size != info->uncompressed_size))
        return damaged(diag);
    return KT_OK;
}

static kt_status damaged_member(const kt_member *member, kt_diag *diag) {
    leave_without_memory();
    return kt_diag_add(diag, KT_INVALID, NULL,
                       "“%s” in the archive is damaged or cut off; save the model again or copy the file "
                       "anew.",
                       member->name);
}

/* ---- their bytes -----------------------------------------------------------------------------------------
 * Minizip only says where they are: they are in memory already. */
static voidpf zlib_allocate(voidpf arena, uInt count, uInt size) {
    return kt_arena_array(arena, count, size);
}
static void zlib_release(voidpf arena, voidpf memory) { (void)arena, (void)memory; }

/* All of the packed bytes make all of the member's, or NULL. */
static const uint8_t *inflate_all(kt_arena *arena, kt_bytes packed, size_t count) {
    uint8_t *bytes = kt_arena_alloc(arena, count);
    size_t taken = 0, made = 0;
    z_stream stream = {.zalloc = zlib_allocate, .zfree = zlib_release, .opaque = arena};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return NULL;
    int status = Z_OK;
    while (status == Z_OK) { /* zlib counts in 32 bits */
        size_t in = packed.count - taken, out = count - made;
        uInt in_now = in < (1U << 30) ? (uInt)in : 1U << 30,
             out_now = out < (1U << 30) ? (uInt)out : 1U << 30;
        stream.next_in = packed.at + taken;
        stream.avail_in = in_now;
        stream.next_out = bytes + made;
        stream.avail_out = out_now;
        status = inflate(&stream, Z_NO_FLUSH);
        taken += in_now - stream.avail_in;
        made += out_now - stream.avail_out;
    }
    (void)inflateEnd(&stream);
    return status == Z_STREAM_END && taken == packed.count && made == count ? bytes : NULL;
}

/* A stored member stays where it is in the file: weights are large. */
static kt_status unpack_member(kt_arena *arena, kt_bytes file, unzFile zip, kt_member *member,
                               kt_diag *diag) {
    unz_file_info64 info;
    int method = 0, level = 0;
    if (unzGetCurrentFileInfo64(zip, &info, NULL, 0, NULL, 0, NULL, 0) != UNZ_OK ||
        unzOpenCurrentFile2(zip, &method, &level, 1 /* as it is packed */) != UNZ_OK)
        return damaged(diag);
    size_t at = unzGetCurrentFileZStreamPos64(zip);
    if (at > file.count || info.compressed_size > file.count - at) return damaged_member(member, diag);
    const uint8_t *bytes = file.at + at;
    if (info.compression_method != 0)
        bytes = inflate_all(arena, (kt_bytes){bytes, info.compressed_size}, member->bytes.count);
    if (!bytes || crc32_z(0, bytes, member->bytes.count) != info.crc || unzCloseCurrentFile(zip) != UNZ_OK)
        return damaged_member(member, diag);
    member->bytes.at = bytes;
    return KT_OK;
}

bool kt_archive_is(kt_bytes file) { return file.count >= 4 && memcmp(file.at, "PK\3\4", 4) == 0; }

kt_status kt_archive_unpack(kt_arena *arena, kt_bytes file, kt_archive *out_archive, kt_diag *diag) {
    cursor *over = KT_NEW(arena, cursor);
    over->file = file;
    zlib_filefunc64_def functions = {.zopen64_file = open_memory,
                                     .zread_file = read_memory,
                                     .ztell64_file = tell_memory,
                                     .zseek64_file = seek_memory,
                                     .zclose_file = close_memory,
                                     .zerror_file = error_memory,
                                     .opaque = over};
    errno = 0;
    unzFile zip = unzOpen2_64("archive", &functions);
    if (!zip) return damaged(diag);
    kt_arena_defer(arena, close_zip, zip);

    unz_global_info64 global;
    if (unzGetGlobalInfo64(zip, &global) != UNZ_OK) return damaged(diag);
    if (global.number_entry > MEMBER_LIMIT)
        return kt_diag_add(diag, KT_INVALID, NULL,
                           "The archive says that it holds %llu files; at most %d are read.",
                           (unsigned long long)global.number_entry, MEMBER_LIMIT);

    kt_archive archive = {0};
    size_t total = 0;
    const size_t total_limit = FREE_BYTES + RATIO * file.count;
    KT_VECTOR(unz64_file_pos) places = {0};
    for (ZPOS64_T i = 0; i < global.number_entry; i++) {
        unz_file_info64 info;
        char name[NAME_LIMIT + 1] = "";
        if ((i ? unzGoToNextFile(zip) : unzGoToFirstFile(zip)) != UNZ_OK ||
            unzGetCurrentFileInfo64(zip, &info, name, NAME_LIMIT, NULL, 0, NULL, 0) != UNZ_OK)
            return damaged(diag);
        if (info.size_filename == 0 || info.size_filename >= NAME_LIMIT || strlen(name) != info.size_filename)
            return damaged(diag);
        KT_TRY(check_member(&archive, &info, name, file.count, diag));
        if (info.uncompressed_size > total_limit - total)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "The archive would unpack to more than %d times its size; it is refused as a "
                               "decompression bomb.",
                               RATIO);
        total += info.uncompressed_size;
        unz64_file_pos place;
        if (unzGetFilePos64(zip, &place) != UNZ_OK) return damaged(diag);
        KT_PUSH(arena, &places, place);
        kt_member member = {.name = kt_arena_string(arena, name), .bytes = {NULL, info.uncompressed_size}};
        KT_PUSH(arena, &archive.members, member);
    }
    for (uint32_t i = 0; i < archive.members.count; i++) {
        if (unzGoToFilePos64(zip, &places.at[i]) != UNZ_OK) return damaged(diag);
        KT_TRY(unpack_member(arena, file, zip, &archive.members.at[i], diag));
    }
    *out_archive = archive;
    return KT_OK;
}

const kt_bytes *kt_archive_find(const kt_archive *archive, const char *name) {
    for (uint32_t i = 0; i < archive->members.count; i++)
        if (strcmp(archive->members.at[i].name, name) == 0) return &archive->members.at[i].bytes;
    return NULL;
}
