/* What runs in the child process that reads model.weights.h5 with libhdf5.
 *
 * The process has its own memory and limits on what it may use (set by hdf5_reader.c), so it does not matter
 * to the parent if libhdf5 crashes, hangs or grows on a hostile file. It answers over a pipe, never asks, and
 * ends with _exit. Of the format's features only those are followed that stay inside the file: no external or
 * soft links, no external or virtual storage, no filter plugins. Elements are sent as they are stored, in
 * native byte order, and only where the shape is the expected one, so memory is bounded by what the model
 * needs. */
#include "runtime/checkpoint/hdf5_reader.h"

#include <errno.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void send_bytes(int output, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count) {
        ssize_t written = write(output, at, count);
        if (written <= 0) _exit(1);
        at += written;
        count -= (size_t)written;
    }
}

/* What cannot be read may be so for want of memory, of which the process that reads says something else. */
static void send_finding(int output, kt_hdf5_finding finding) {
    if (errno == ENOMEM) _exit(1);
    kt_hdf5_record record = {.finding = finding};
    send_bytes(output, &record, sizeof record);
}

/* Opens an object along hard links only; negative if there is none. */
static hid_t open_object(hid_t file, const char *path) {
    char part[256];
    hid_t at = H5Gopen2(file, "/", H5P_DEFAULT);
    while (at >= 0 && *path) {
        size_t length = strcspn(path, "/");
        H5L_info_t link;
        hid_t next = -1;
        if (length < sizeof part) {
            memcpy(part, path, length);
            part[length] = 0;
            if (H5Lexists(at, part, H5P_DEFAULT) > 0 && H5Lget_info(at, part, &link, H5P_DEFAULT) >= 0 &&
                link.type == H5L_TYPE_HARD)
                next = H5Oopen(at, part, H5P_DEFAULT);
        }
        H5Oclose(at);
        at = next;
        path += length;
        if (*path == '/') path++;
    }
    return at;
}

/* Is the dataset marked as bfloat16, which HDF5 has no type for? */
static bool is_bfloat16(hid_t dataset) {
    if (H5Aexists(dataset, "dtype") <= 0) return false;
    bool is = false;
    hid_t attribute = H5Aopen(dataset, "dtype", H5P_DEFAULT);
    hid_t type = attribute >= 0 ? H5Aget_type(attribute) : -1;
    if (type >= 0 && H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        if (H5Aread(attribute, type, (void *)&text) >= 0 && text) is = strcmp(text, "bfloat16") == 0;
    }
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return is;
}

/* The element type in memory and our name for it; negative where the elements are no numbers. */
static hid_t memory_type(hid_t dataset, hid_t stored, int32_t *out_dtype) {
    size_t size = H5Tget_size(stored);
    switch (H5Tget_class(stored)) {
    case H5T_FLOAT:
        if (size == 8) return *out_dtype = KT_F64, H5Tcopy(H5T_NATIVE_DOUBLE);
        if (size == 4) return *out_dtype = KT_F32, H5Tcopy(H5T_NATIVE_FLOAT);
        /* Half floats are taken as they are: HDF5 would convert any two-byte float. */
        return size == 2 && H5Tget_order(stored) == H5T_ORDER_LE && H5Tget_ebias(stored) == 15
                   ? (*out_dtype = KT_F16, H5Tcopy(stored))
                   : -1;
    case H5T_INTEGER: {
        static const int32_t dtypes[2][4] = {{KT_U8, KT_U16, KT_U32, KT_U64},
                                             {KT_I8, KT_I16, KT_I32, KT_I64}};
        const hid_t natives[2][4] = {
            {H5T_NATIVE_UINT8, H5T_NATIVE_UINT16, H5T_NATIVE_UINT32, H5T_NATIVE_UINT64},
            {H5T_NATIVE_INT8, H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_INT64}};
        int is_signed = H5Tget_sign(stored) == H5T_SGN_2;
        int log2_size = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
        if (log2_size < 0) return -1;
        *out_dtype = dtypes[is_signed][log2_size];
        return H5Tcopy(natives[is_signed][log2_size]);
    }
    case H5T_ENUM: /* how h5py stores bool */
        if (size != 1) return -1;
        *out_dtype = KT_BOOL;
        return H5Tcopy(stored);
    case H5T_OPAQUE:
        if (size != 2 || !is_bfloat16(dataset)) return -1;
        *out_dtype = KT_BF16;
        return H5Tcopy(stored);
    default: return -1;
    }
}

/* Does the dataset keep its elements in this file? */
static bool is_stored_inside(hid_t dataset) {
    hid_t plist = H5Dget_create_plist(dataset);
    if (plist < 0) return false;
    bool inside = H5Pget_layout(plist) != H5D_VIRTUAL && H5Pget_external_count(plist) == 0;
    H5Pclose(plist);
    return inside;
}

static void send_dataset(hid_t dataset, const kt_hdf5_item *item, int output) {
    kt_hdf5_record record = {.finding = KT_HDF5_FOUND};
    hid_t space = H5Dget_space(dataset), stored = H5Dget_type(dataset);
    hsize_t dims[H5S_MAX_RANK];
    record.rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (stored < 0 || record.rank < 0 || H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        return send_finding(output, KT_HDF5_DAMAGED);
    int32_t dtype = KT_F32;
    hid_t type = memory_type(dataset, stored, &dtype);
    if (type < 0) return send_finding(output, KT_HDF5_WRONG_TYPE);
    record.dtype = dtype;
    bool matches = record.rank == item->rank;
    record.bytes = H5Tget_size(type);
    for (int i = 0; i < record.rank && i < KT_MAX_RANK; i++) {
        record.dims[i] = (int64_t)dims[i];
        if (i >= item->rank || record.dims[i] != item->dims[i]) matches = false;
        if (matches) record.bytes *= dims[i];
    }
    if (!matches) {
        record.finding = KT_HDF5_WRONG_SHAPE;
        record.bytes = 0;
        send_bytes(output, &record, sizeof record);
        return;
    }
    void *elements = malloc(record.bytes + 1);
    if (!elements || !is_stored_inside(dataset) ||
        (record.bytes && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements) < 0)) {
        free(elements);
        return send_finding(output, KT_HDF5_DAMAGED);
    }
    send_bytes(output, &record, sizeof record);
    send_bytes(output, elements, record.bytes);
    free(elements);
    H5Tclose(type);
    H5Tclose(stored);
    H5Sclose(space);
}

/* ---- the file as an image in memory
 * -------------------------------------------------------------------------- The bytes are there already and
 * are only read, so every copy that libhdf5 wants is the file itself. */
static void *image_malloc(size_t size, H5FD_file_image_op_t operation, void *file) {
    (void)operation;
    return size == ((const kt_bytes *)file)->count ? (void *)((const kt_bytes *)file)->at : NULL;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t operation,
                          void *file) {
    (void)from, (void)size, (void)operation, (void)file;
    return to;
}

static void *image_realloc(void *at, size_t size, H5FD_file_image_op_t operation, void *file) {
    (void)at, (void)size, (void)operation, (void)file;
    return NULL;
}

static herr_t image_free(void *at, H5FD_file_image_op_t operation, void *file) {
    (void)at, (void)operation, (void)file;
    return 0;
}

static void *udata_copy(void *file) { return file; }
static herr_t udata_free(void *file) {
    (void)file;
    return 0;
}

/* Negative if it is no HDF5 file. */
static hid_t open_image(const kt_bytes *file) {
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             udata_copy,   udata_free,   (void *)file};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0 || H5Pset_fapl_core(access, 1 << 20, 0) < 0 ||
        H5Pset_file_image_callbacks(access, &callbacks) < 0 ||
        H5Pset_file_image(access, (void *)file->at, file->count) < 0)
        return -1;
    return H5Fopen("model.weights.h5", H5F_ACC_RDONLY, access);
}

/* ---- what nobody asked for ------------------------------------------------------------------- */

enum { MAX_PATH = 1024, MAX_DEPTH = 16 };

/* A walk over all datasets, in the order of their names, that ends at the first that is no item. */
typedef struct walk {
    const kt_hdf5_request *request;
    char path[MAX_PATH]; /* of the group at hand, a slash behind it */
    size_t length;
    int depth;
} walk;

static bool is_item(const walk *w, const char *path) {
    for (uint32_t i = 0; i < w->request->count; i++)
        if (strcmp(w->request->items[i].file_path, path) == 0) return true;
    const char *const *ignored = w->request->ignored, *below = w->request->below;
    if (below && strncmp(path, below, strlen(below)) != 0) return true;
    for (int i = 0; i < 2; i++)
        if (ignored[i] && strncmp(path, ignored[i], strlen(ignored[i])) == 0) return true;
    return false;
}

/* Positive at a dataset that is no item: its path is then in the walk. */
static herr_t visit(hid_t group, const char *name, const H5L_info_t *link, void *object) {
    walk *w = object;
    size_t before = w->length, bytes = strlen(name);
    if (link->type != H5L_TYPE_HARD || bytes + 2 > MAX_PATH - before || w->depth == MAX_DEPTH) return 0;
    hid_t at = H5Oopen(group, name, H5P_DEFAULT);
    herr_t found = 0;
    memcpy(w->path + before, name, bytes + 1);
    if (at >= 0 && H5Iget_type(at) == H5I_DATASET) {
        found = !is_item(w, w->path);
    } else if (at >= 0 && H5Iget_type(at) == H5I_GROUP) {
        memcpy(w->path + before + bytes, "/", 2);
        w->length = before + bytes + 1;
        w->depth++;
        found = H5Literate(at, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, w);
        w->depth--;
        w->length = before;
    }
    if (at >= 0) H5Oclose(at);
    return found;
}

static void send_other(hid_t file, const kt_hdf5_request *request, int output) {
    walk w = {.request = request};
    herr_t found = H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, &w);
    if (found < 0) return send_finding(output, KT_HDF5_DAMAGED);
    kt_hdf5_record record = {.finding = found ? KT_HDF5_FOUND : KT_HDF5_MISSING};
    record.bytes = found ? strlen(w.path) : 0;
    send_bytes(output, &record, sizeof record);
    send_bytes(output, w.path, record.bytes);
}

void kt_hdf5_child(const kt_hdf5_request *request, int output) {
    errno = 0;
    (void)H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    hid_t file = open_image(&request->file);
    for (uint32_t i = 0; i < request->count; i++) {
        if (file < 0) {
            send_finding(output, KT_HDF5_NONE);
            continue;
        }
        hid_t object = open_object(file, request->items[i].file_path);
        if (object >= 0 && H5Iget_type(object) == H5I_DATASET)
            send_dataset(object, &request->items[i], output);
        else
            send_finding(output, KT_HDF5_MISSING);
        if (object >= 0) H5Oclose(object);
    }
    if (request->others && file >= 0) send_other(file, request, output);
}
