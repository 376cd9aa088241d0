/* Unpacking a .keras archive, and parsing the JSON in it.
 *
 * The archive is in memory as a whole, and runtime/zip.h finds the members in it. Before
 * anything is unpacked all directory entries are looked at: their number, names, and sizes. A member that is
 * stored cannot be larger than the archive, and all members together may be at most RATIO times as large as
 * the archive (plus a little), so that a small file cannot ask for much memory, overlapping members included.
 * Keras itself stores and never compresses. Unknown members are errors, since a file that holds them is not
 * what it says, and so are members that share bytes. */
#define ZLIB_CONST /* what is inflated is only read */
#include "frontend/keras/keras_impl.h"
#include "runtime/zip.h"

#include <string.h>
#include <zlib.h>

enum {
    MEMBER_LIMIT = 4096,
    NAME_LIMIT = 512,
    RATIO = 100,
    FREE_BYTES = 16 << 20, /* what may be unpacked whatever the archive's size */
};

/* ---- members --------------------------------------------------------------------------------- */
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

static kt_status damaged(kt_diag *diag) {
    return kt_diag_add(diag, KT_INVALID, NULL,
                       "The archive is damaged or cut off; save the model again or copy the file anew.");
}

static kt_status check_member(const kt_archive *archive, const kt_zip_entry *entry, const char *name,
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
    if (entry->flags & 1)
        return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                           "“%s” in the archive is encrypted; save the model without a password.", name);
    if (entry->method != 0 && entry->method != 8)
        return kt_diag_add(
            diag, KT_UNSUPPORTED, NULL,
            "“%s” in the archive is compressed by method %llu; only stored and deflated files are "
            "read.",
            name, (unsigned long long)entry->method);
    if (entry->packed > archive_bytes || (entry->method == 0 && entry->packed != entry->size))
        return damaged(diag);
    return KT_OK;
}

static kt_status damaged_member(const kt_member *member, kt_diag *diag) {
    return kt_diag_add(diag, KT_INVALID, NULL,
                       "“%s” in the archive is damaged or cut off; save the model again or copy the file "
                       "anew.",
                       member->name);
}

/* ---- their bytes ----------------------------------------------------------------------------- */
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
static kt_status unpack_member(kt_arena *arena, const kt_zip *zip, kt_zip_entry *entry, kt_member *member,
                               kt_diag *diag) {
    if (kt_zip_locate(zip, entry) != KT_ZIP_OK) return damaged_member(member, diag);
    const uint8_t *bytes = zip->bytes + entry->data_at;
    if (entry->method != 0) bytes = inflate_all(arena, (kt_bytes){bytes, entry->packed}, member->bytes.count);
    if (!bytes || crc32_z(0, bytes, member->bytes.count) != entry->crc) return damaged_member(member, diag);
    member->bytes.at = bytes;
    return KT_OK;
}

/* Does a member share bytes with one of those before it? */
static kt_status check_overlap(const kt_archive *archive, const kt_zip_entry *entries, uint32_t member,
                               kt_diag *diag) {
    for (uint32_t i = 0; i < member; i++)
        if (entries[member].local_at < entries[i].data_at + entries[i].packed &&
            entries[i].local_at < entries[member].data_at + entries[member].packed)
            return kt_diag_add(
                diag, KT_INVALID, NULL,
                "“%s” and “%s” in the archive share bytes; this is not a file that Keras wrote.",
                archive->members.at[i].name, archive->members.at[member].name);
    return KT_OK;
}

bool kt_archive_is(kt_bytes file) { return file.count >= 4 && memcmp(file.at, "PK\3\4", 4) == 0; }

kt_status kt_archive_unpack(kt_arena *arena, kt_bytes file, kt_archive *out_archive, kt_diag *diag) {
    kt_zip zip;
    if (kt_zip_open(file.at, file.count, &zip) != KT_ZIP_OK) return damaged(diag);
    if (zip.left > MEMBER_LIMIT)
        return kt_diag_add(diag, KT_INVALID, NULL,
                           "The archive says that it holds %llu files; at most %d are read.",
                           (unsigned long long)zip.left, MEMBER_LIMIT);

    kt_archive archive = {0};
    size_t total = 0;
    const size_t total_limit = FREE_BYTES + RATIO * file.count;
    kt_zip_entry *entries = KT_NEW_ARRAY(arena, kt_zip_entry, zip.left);
    for (uint32_t i = 0; zip.left; i++) {
        kt_zip_entry *entry = &entries[i];
        if (kt_zip_next(&zip, entry) != KT_ZIP_OK) return damaged(diag);
        if (entry->name_length == 0 || entry->name_length >= NAME_LIMIT ||
            memchr(entry->name, 0, entry->name_length))
            return damaged(diag);
        const char *name = kt_arena_format(arena, "%.*s", (int)entry->name_length, entry->name);
        KT_TRY(check_member(&archive, entry, name, file.count, diag));
        if (entry->size > total_limit - total)
            return kt_diag_add(diag, KT_INVALID, NULL,
                               "The archive would unpack to more than %d times its size; it is refused as a "
                               "decompression bomb.",
                               RATIO);
        total += entry->size;
        kt_member member = {.name = name, .bytes = {NULL, entry->size}};
        KT_PUSH(arena, &archive.members, member);
    }
    for (uint32_t i = 0; i < archive.members.count; i++) {
        KT_TRY(unpack_member(arena, &zip, &entries[i], &archive.members.at[i], diag));
        KT_TRY(check_overlap(&archive, entries, i, diag));
    }
    *out_archive = archive;
    return KT_OK;
}

const kt_bytes *kt_archive_find(const kt_archive *archive, const char *name) {
    for (uint32_t i = 0; i < archive->members.count; i++)
        if (strcmp(archive->members.at[i].name, name) == 0) return &archive->members.at[i].bytes;
    return NULL;
}
