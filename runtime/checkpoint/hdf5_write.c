/* Writing variables as Keras does, with libhdf5, into memory: what goes wrong with a disk is not libhdf5's to
 * mend.
 *
 * A variable of file_path "layers/dense/vars/0" becomes the dataset of that name, contiguous, of its own
 * dtype; the groups on the way are made as they come up. As h5py and Keras have it, bool is an enumeration of
 * int8, float16 IEEE's format of two bytes, and bfloat16, which HDF5 has no type for, opaque bytes with an
 * attribute `dtype`. The group `vars` carries an attribute `name`, that of the layer or optimizer whose
 * variables they are. Groups without datasets are left out: Keras looks for them and is content without.
 * Nothing depends on time, so that the same variables make the same bytes.
 *
 * libhdf5 grows a buffer of ours, which is what is returned in the end: there is no second copy. */
#include "runtime/checkpoint/checkpoint_impl.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

enum { GROWTH = 1 << 20 };

/* ---- the buffer
 * -------------------------------------------------------------------------------------------- */

struct image {
    uint8_t *at;
    size_t capacity;
    bool kept; /* libhdf5 gives it back to us, not to free */
};

static void *image_malloc(size_t size, H5FD_file_image_op_t operation, void *object) {
    (void)operation;
    struct image *image = object;
    image->at = calloc(size, 1);
    image->capacity = image->at ? size : 0;
    return image->at;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t operation,
                          void *object) {
    (void)operation, (void)object;
    return memcpy(to, from, size);
}

/* What is new is zeros: gaps that libhdf5 leaves are part of the file. */
static void *image_realloc(void *at, size_t size, H5FD_file_image_op_t operation, void *object) {
    (void)operation;
    struct image *image = object;
    uint8_t *grown = realloc(at, size);
    if (!grown) return NULL;
    if (size > image->capacity) memset(grown + image->capacity, 0, size - image->capacity);
    image->at = grown;
    image->capacity = size;
    return grown;
}

static herr_t image_free(void *at, H5FD_file_image_op_t operation, void *object) {
    (void)operation;
    struct image *image = object;
    if (image->kept) return 0;
    free(at);
    image->at = NULL;
    return 0;
}

static void *object_copy(void *object) { return object; }
static herr_t object_free(void *object) {
    (void)object;
    return 0;
}

static hid_t create_image(struct image *image) {
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             object_copy,  object_free,  image};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (access >= 0 && H5Pset_fapl_core(access, GROWTH, 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0)
        file = H5Fcreate("model.weights.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    if (access >= 0) H5Pclose(access);
    return file;
}

/* ---- what goes into it
 * ------------------------------------------------------------------------------------- */

/* A type of libhdf5 as the file has it; negative if there is no memory. */
static hid_t stored_type(int32_t dtype) {
    hid_t type = -1;
    switch (dtype) {
    case KT_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case KT_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case KT_I8: return H5Tcopy(H5T_STD_I8LE);
    case KT_I16: return H5Tcopy(H5T_STD_I16LE);
    case KT_I32: return H5Tcopy(H5T_STD_I32LE);
    case KT_I64: return H5Tcopy(H5T_STD_I64LE);
    case KT_U8: return H5Tcopy(H5T_STD_U8LE);
    case KT_U16: return H5Tcopy(H5T_STD_U16LE);
    case KT_U32: return H5Tcopy(H5T_STD_U32LE);
    case KT_U64: return H5Tcopy(H5T_STD_U64LE);
    case KT_BF16: return H5Tcreate(H5T_OPAQUE, 2);
    case KT_F16:
        type = H5Tcopy(H5T_IEEE_F32LE);
        if (type >= 0 && H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(type, 2) >= 0 &&
            H5Tset_ebias(type, 15) >= 0)
            return type;
        break;
    case KT_BOOL:
        type = H5Tenum_create(H5T_STD_I8LE);
        if (type >= 0 && H5Tenum_insert(type, "FALSE", &(int8_t){0}) >= 0 &&
            H5Tenum_insert(type, "TRUE", &(int8_t){1}) >= 0)
            return type;
        break;
    default: break;
    }
    if (type >= 0) H5Tclose(type);
    return -1;
}

/* An attribute as h5py writes a Python string. */
static bool set_text(hid_t object, const char *name, const char *text) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute = -1;
    if (type >= 0 && space >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 &&
        H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool written = attribute >= 0 && H5Awrite(attribute, type, (const void *)&text) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return written;
}

static bool add_dataset(hid_t file, hid_t links, hid_t creation, const kt_saved_variable *variable,
                        size_t bytes) {
    hsize_t dims[KT_MAX_RANK] = {0};
    for (int i = 0; i < variable->rank; i++) dims[i] = (hsize_t)variable->dims[i];
    hid_t type = stored_type(variable->dtype), dataset = -1;
    hid_t space = variable->rank ? H5Screate_simple(variable->rank, dims, NULL) : H5Screate(H5S_SCALAR);
    if (type >= 0 && space >= 0)
        dataset = H5Dcreate2(file, variable->file_path, type, space, links, creation, H5P_DEFAULT);
    /* The elements are in the memory of a little-endian machine as they are in the file. */
    bool written = dataset >= 0 &&
                   (!bytes || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, variable->data) >= 0) &&
                   (variable->dtype != KT_BF16 || set_text(dataset, "dtype", "bfloat16"));
    if (dataset >= 0) H5Dclose(dataset);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return written;
}

/* Gives the group of a dataset the name of whose variables it holds: of "functional/first/kernel", "first".
 */
static bool name_group(hid_t file, const kt_saved_variable *variable) {
    const char *end = strrchr(variable->path, '/'), *group_end = strrchr(variable->file_path, '/');
    if (!end || !group_end) return true;
    const char *start = end;
    while (start > variable->path && start[-1] != '/') start--;
    char *name = strndup(start, (size_t)(end - start));
    char *group_path = strndup(variable->file_path, (size_t)(group_end - variable->file_path));
    hid_t group = name && group_path ? H5Gopen2(file, group_path, H5P_DEFAULT) : -1;
    htri_t named = group >= 0 ? H5Aexists(group, "name") : -1;
    bool done = named > 0 || (named == 0 && set_text(group, "name", name));
    if (group >= 0) H5Gclose(group);
    free(group_path);
    free(name);
    return done;
}

static int add_all(const kt_subject *subject, hid_t file, const kt_saved_variable *variables, size_t count) {
    hid_t links = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_DATASET_CREATE);
    int code = 0;
    if (links < 0 || creation < 0 || H5Pset_create_intermediate_group(links, 1) < 0 ||
        H5Pset_obj_track_times(creation, 0) < 0)
        code = kt_subject_no_memory(subject);
    for (size_t i = 0; i < count && code == 0; i++) {
        size_t bytes = 0;
        if (!variables[i].file_path) continue;
        code = kt_saved_bytes(subject, &variables[i], &bytes);
        if (code) break;
        if (H5Lexists(file, variables[i].file_path, H5P_DEFAULT) > 0)
            code =
                kt_subject_fail(subject, "Two variables are to be saved as %.100s.", variables[i].file_path);
        else if (!add_dataset(file, links, creation, &variables[i], bytes) ||
                 !name_group(file, &variables[i]))
            code = kt_subject_fail(subject,
                                   "%.100s cannot be saved as %.100s: libhdf5 refuses, or there is not "
                                   "enough memory.",
                                   variables[i].path, variables[i].file_path);
    }
    if (creation >= 0) H5Pclose(creation);
    if (links >= 0) H5Pclose(links);
    return code;
}

static int write_all(const kt_subject *subject, const kt_saved_variable *variables, size_t count,
                     uint8_t **out_bytes, size_t *out_count) {
    struct image image = {0};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = create_image(&image);
    if (file < 0) return kt_subject_no_memory(subject);
    int code = add_all(subject, file, variables, count);
    ssize_t size = code == 0 && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 ? H5Fget_file_image(file, NULL, 0) : -1;
    if (code == 0 && (size < 0 || !image.at || (size_t)size > image.capacity))
        code = kt_subject_no_memory(subject);
    image.kept = code == 0;
    H5Fclose(file);
    if (code) return code;
    *out_bytes = image.at;
    *out_count = (size_t)size;
    return 0;
}

int kt_hdf5_write(const kt_subject *subject, const kt_saved_variable *variables, size_t count,
                  uint8_t **out_bytes, size_t *out_count) {
    kt_hdf5_enter();
    int code = write_all(subject, variables, count, out_bytes, out_count);
    kt_hdf5_leave();
    return code;
}
