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
 * libhdf5 crashes or ends the process where there is no memory, so it writes in a child process, like it
 * reads (hdf5_reader.h): into memory that both processes share, which is what is returned in the end. There
 * is no second copy. */
#include "runtime/checkpoint/checkpoint_impl.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GROWTH = 1 << 20 };

/* ---- the buffer
 * --------------------------------------------------------------------------------------------
 * libhdf5 takes it for what malloc and realloc return. It is as large as a file can become, and nobody has to
 * find memory for what is not written. */

static void *image_malloc(size_t size, H5FD_file_image_op_t operation, void *object) {
    (void)operation;
    const kt_hdf5_image *image = object;
    return size <= image->room ? image->at : NULL;
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t operation,
                          void *object) {
    (void)operation, (void)object;
    return memmove(to, from, size);
}

static void *image_realloc(void *at, size_t size, H5FD_file_image_op_t operation, void *object) {
    (void)at;
    return image_malloc(size, operation, object);
}

static herr_t image_free(void *at, H5FD_file_image_op_t operation, void *object) {
    (void)at, (void)operation, (void)object;
    return 0;
}

static void *object_copy(void *object) { return object; }
static herr_t object_free(void *object) {
    (void)object;
    return 0;
}

static hid_t create_image(kt_hdf5_image *image) {
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             object_copy,  object_free,  image};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (access >= 0 && H5Pset_fapl_core(access, GROWTH, 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0)
        file = H5Fcreate("model.weights.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    if (access >= 0) H5Pclose(access);
    return file;
}

/* ---- what goes into it ----------------------------------------------------------------------- */

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

/* ---- the child
 * ---------------------------------------------------------------------------------------------
 */
typedef struct writing {
    kt_hdf5_request request; /* of hdf5_reader.h: only its limits count */
    const kt_subject *subject;
    const kt_saved_variable *variables;
    size_t count;
    kt_hdf5_image *image;
} writing;

/* How it went: code 0 and the size of the file, or the sentence. */
typedef struct answer {
    int code;
    size_t bytes;
    char error[KT_IO_ERROR];
} answer;

static int write_all(const writing *w, size_t *out_bytes) {
    (void)H5dont_atexit(); /* which loops, and says so, where memory ran out before */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = create_image(w->image);
    if (file < 0) return kt_subject_no_memory(w->subject);
    int code = add_all(w->subject, file, w->variables, w->count);
    if (code) return code;
    ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 ? H5Fget_file_image(file, NULL, 0) : -1;
    if (size < 0 || (size_t)size > w->image->room) return kt_subject_no_memory(w->subject);
    *out_bytes = (size_t)size;
    return 0;
}

static void run_child(const kt_hdf5_request *request, int output) {
    const writing *w = (const writing *)request;
    answer end = {0};
    end.code = write_all(w, &end.bytes);
    if (end.code) memcpy(end.error, w->subject->error, sizeof end.error);
    (void)!write(output, &end, sizeof end); /* less than a pipe takes at once */
}

/* ---- the parent
 * --------------------------------------------------------------------------------------------
 */
/* More than libhdf5 needs for a dataset's header, its group and attributes; and for a file. */
enum { DATASET_ROOM = 1 << 14, FILE_ROOM = 4 * GROWTH };

static int measure(const kt_subject *subject, const kt_saved_variable *variables, size_t count,
                   size_t *out_bytes) {
    *out_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = 0;
        if (!variables[i].file_path) continue;
        int code = kt_saved_bytes(subject, &variables[i], &bytes);
        if (code) return code;
        *out_bytes += bytes;
    }
    return 0;
}

void kt_hdf5_image_deinit(kt_hdf5_image *image) {
    if (image->at) (void)munmap(image->at, image->room);
    *image = (kt_hdf5_image){0};
}

int kt_hdf5_write(const kt_subject *subject, const kt_saved_variable *variables, size_t count,
                  kt_hdf5_image *out_image) {
    size_t bytes = 0;
    *out_image = (kt_hdf5_image){0};
    int code = measure(subject, variables, count, &bytes);
    if (code) return code;
    kt_hdf5_image image = {.room = bytes + count * DATASET_ROOM + FILE_ROOM};
    image.at =
        mmap(NULL, image.room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (image.at == MAP_FAILED) return kt_subject_no_memory(subject);
    const writing w = {{.limits = kt_hdf5_usual_limits(image.room)}, subject, variables, count, &image};
    kt_hdf5_reader child;
    answer end;
    int error = kt_hdf5_start(&child, &w.request, run_child);
    if (error)
        code = kt_subject_fail(subject, "The process that writes the weights could not be started: %s.",
                               strerror(error));
    else if (!kt_hdf5_receive(&child, &end, sizeof end))
        code = kt_subject_fail(subject, child.late ? "The weights could not be written in time."
                                                   : "The process that writes the weights stopped half-way; "
                                                     "there is not enough memory.");
    else if ((code = end.code) != 0)
        memcpy(subject->error, end.error, sizeof end.error);
    kt_hdf5_stop(&child);
    if (code) {
        kt_hdf5_image_deinit(&image);
        return code;
    }
    image.bytes = end.bytes;
    *out_image = image;
    return 0;
}
