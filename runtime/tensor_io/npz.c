/* NumPy's .npz: a zip archive whose members are NAME.npy, stored or deflated. */
#include "runtime/tensor_io/tensor_io_impl.h"
#include "runtime/zip.h"

#include <stdlib.h>
#include <string.h>

static int fail(const kt_io *io, kt_zip_status status) {
    switch (status) {
    case KT_ZIP_ENCRYPTED: return kt_io_fail(io, "The member is encrypted.");
    case KT_ZIP_PACKED: return kt_io_fail(io, "The member is packed in a way that is not known.");
    case KT_ZIP_MEMORY: return kt_io_no_memory(io);
    default: return kt_io_fail(io, "The archive is damaged.");
    }
}

static int read_member(const kt_io *archive, const kt_zip *zip, const kt_zip_entry *entry,
                       kt_arrays *out_arrays) {
    char name[64];
    size_t length = entry->name_length;
    (void)snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), entry->name);
    const kt_io io = {archive->path, name, archive->error};
    const uint8_t *bytes = NULL;
    uint8_t *owned = NULL;
    kt_zip_status status = kt_zip_unpack(zip, entry, &bytes, &owned);
    if (status) return fail(&io, status);
    if (!owned) { /* what is decoded becomes the array's */
        owned = malloc(entry->size + 1);
        if (!owned) return kt_io_no_memory(&io);
        memcpy(owned, bytes, entry->size);
    }
    kt_buffer buffer = {0};
    int code = kt_npy_decode(&io, owned, entry->size, &buffer);
    return code ? code : kt_io_push(&io, out_arrays, entry->name, length - 4, &buffer);
}

int kt_npz_read(const kt_io *io, const uint8_t *bytes, size_t count, kt_arrays *out_arrays) {
    kt_zip zip;
    kt_zip_status status = kt_zip_open(bytes, count, &zip);
    int code = status ? fail(io, status) : 0;
    while (code == 0 && zip.left) {
        kt_zip_entry entry = {0};
        status = kt_zip_next(&zip, &entry);
        if (status) return fail(io, status);
        if (entry.name_length <= 4 || memcmp(entry.name + entry.name_length - 4, ".npy", 4) != 0) continue;
        code = read_member(io, &zip, &entry, out_arrays);
    }
    if (code == 0 && out_arrays->count == 0) return kt_io_fail(io, "The archive holds no arrays.");
    return code;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What a member is called, and what stands before its elements. */
struct front {
    char *name;
    char header[KT_NPY_HEADER];
};

static bool describe(const kt_array *array, struct front *front, kt_zip_member *member) {
    size_t room = strlen(array->name) + sizeof ".npy";
    front->name = malloc(room);
    if (!front->name) return false;
    (void)snprintf(front->name, room, "%s.npy", array->name);
    const kt_buffer *buffer = &array->buffer;
    *member = (kt_zip_member){.name = front->name, .parts = {front->header, buffer->data}};
    member->part_bytes[0] = kt_npy_header(buffer, front->header);
    member->part_bytes[1] = (size_t)kt_io_elements(buffer) * kt_abi_dtype_bytes(buffer->dtype);
    return true;
}

int kt_npz_write(const kt_io *io, FILE *file, const kt_array *arrays, size_t count) {
    kt_zip_member *members = calloc(count + 1, sizeof *members);
    struct front *fronts = calloc(count + 1, sizeof *fronts);
    bool enough = members && fronts;
    for (size_t i = 0; i < count && enough; i++) enough = describe(&arrays[i], &fronts[i], &members[i]);
    enough = enough && kt_zip_write(file, members, count) == KT_ZIP_OK;
    for (size_t i = 0; i < count && fronts; i++) free(fronts[i].name);
    free(fronts);
    free(members);
    return enough ? 0 : kt_io_no_memory(io);
}
