/* Checkpoints as Keras's OrbaxCheckpoint has the library orbax write them, in the plainest form that it
 * reads:
 *
 *   STEP/_CHECKPOINT_METADATA        what is in it
 *   STEP/model_config/_METADATA      and _strings.json: the model's config.json as a text
 *   STEP/pytree/_METADATA            the variables' names, part by part, in a tree
 *   STEP/pytree/NAME/.zarray         the parts joined by dots: a variable as an array of Zarr's version 2,
 * and STEP/pytree/NAME/0.0             all its elements as they are, in one chunk
 *
 * A folder is written beside its place, every file of it synced, and renamed then; one that is there changes
 * places with it. */
#include "runtime/checkpoint/checkpoint_impl.h"
#include "runtime/tensor_io/tensor_io_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The folder that is written, and what is to be said where that fails. */
typedef struct folder {
    const kt_subject *subject;
    char *beside;
} folder;

static int fail(const folder *f) {
    return kt_subject_fail(f->subject, "It cannot be written: %s.", strerror(errno));
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}
static bool remove_tree(const char *path) {
    enum { OPEN = 8 };
    return nftw(path, remove_one, OPEN, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT;
}

/* "BESIDE/a/b/c" from malloc; NULL: no memory. */
static char *place_of(const folder *f, const char *a, const char *b, const char *c) {
    size_t room = strlen(f->beside) + strlen(a) + strlen(b) + strlen(c) + 4;
    char *path = malloc(room);
    if (path) (void)snprintf(path, room, "%s/%s%s%s%s%s", f->beside, a, *b ? "/" : "", b, *c ? "/" : "", c);
    return path;
}

static int make(const folder *f, const char *a, const char *b) {
    char *path = place_of(f, a, b, "");
    if (!path) return kt_subject_no_memory(f->subject);
    int status = mkdir(path, 0777) ? fail(f) : 0;
    free(path);
    return status;
}

/* A file of the folder; write fills it in. */
static int put(const folder *f, const char *a, const char *b, const char *c,
               void (*write)(FILE *file, const void *object), const void *object) {
    char *path = place_of(f, a, b, c);
    if (!path) return kt_subject_no_memory(f->subject);
    const kt_subject subject = {path, f->subject->error};
    kt_whole_file whole;
    int status = kt_whole_file_begin(&subject, &whole);
    if (status == 0) {
        write(whole.file, object);
        status = kt_whole_file_end(&subject, &whole);
    }
    free(path);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */
static void write_array(FILE *file, const void *object) {
    static const char *const names[KT_DTYPE_COUNT] = {
        [KT_F32] = "<f4", [KT_F64] = "<f8", [KT_F16] = "<f2", [KT_BF16] = "bfloat16", [KT_I8] = "|i1",
        [KT_I16] = "<i2", [KT_I32] = "<i4", [KT_I64] = "<i8", [KT_U8] = "|u1",        [KT_U16] = "<u2",
        [KT_U32] = "<u4", [KT_U64] = "<u8", [KT_BOOL] = "|b1"};
    const kt_saved_variable *variable = object;
    for (int turn = 0; turn < 2; turn++) {
        (void)fputs(turn ? "], \"chunks\": [" : "{\"zarr_format\": 2, \"shape\": [", file);
        for (int i = 0; i < variable->rank; i++) {
            const int64_t dim = variable->dims[i];
            (void)fprintf(file, i ? ", %lld" : "%lld", (long long)(turn && dim < 1 ? 1 : dim));
        }
    }
    (void)fprintf(file,
                  "], \"dtype\": \"%s\", \"compressor\": null, \"fill_value\": null, \"order\": \"C\", "
                  "\"filters\": null}\n",
                  names[variable->dtype]);
}

static void write_elements(FILE *file, const void *object) {
    const kt_saved_variable *variable = object;
    size_t bytes = kt_abi_dtype_bytes(variable->dtype);
    for (int i = 0; i < variable->rank; i++) bytes *= (size_t)variable->dims[i];
    (void)fwrite(variable->data, 1, bytes, file);
}

/* A key of a tree's metadata is the tuple of names as Python writes it. */
static void write_leaf(FILE *file, const char *path, const char *type) {
    char part[KT_IO_ERROR];
    (void)fputs("\"(", file);
    for (const char *at = path; *at; at += strspn(at, "/")) {
        const size_t length = strcspn(at, "/");
        (void)fprintf(file, at > path ? ", '%.*s'" : "'%.*s'", (int)length, at);
        at += length;
    }
    (void)fprintf(file, "%s)\": {\"key_metadata\": [", strchr(path, '/') ? "" : ",");
    for (const char *at = path; *at; at += strspn(at, "/")) {
        const size_t length = strcspn(at, "/");
        (void)snprintf(part, sizeof part, "%.*s", (int)length, at);
        (void)fputs(at > path ? ", {\"key\": " : "{\"key\": ", file);
        kt_json_write_text(file, part);
        (void)fputs(", \"key_type\": 2}", file);
        at += length;
    }
    (void)fprintf(file, "], \"value_metadata\": {\"value_type\": \"%s\", \"skip_deserialize\": false}}",
                  type);
}

static void begin_tree(FILE *file) { (void)fputs("{\"tree_metadata\": {", file); }
static void end_tree(FILE *file) {
    (void)fputs(
        "}, \"use_ocdbt\": false, \"use_zarr3\": false, \"store_array_data_equal_to_fill_value\": true, "
        "\"custom_metadata\": null}\n",
        file);
}

static void write_variables(FILE *file, const void *object) {
    const kt_saved_model *model = object;
    begin_tree(file);
    for (size_t i = 0; i < model->variable_count; i++) {
        if (i) (void)fputs(", ", file);
        write_leaf(file, model->variables[i].path, "np.ndarray");
    }
    end_tree(file);
}

static void write_config_tree(FILE *file, const void *object) {
    (void)object;
    begin_tree(file);
    write_leaf(file, "config", "string");
    end_tree(file);
}

static void write_config(FILE *file, const void *object) {
    const kt_saved_model *model = object;
    (void)fputs("{\"config\": ", file);
    kt_json_write_text(file, model->config_json);
    (void)fputs("}\n", file);
}

static void write_items(FILE *file, const void *object) {
    static const char handler[] =
        "orbax.checkpoint.experimental.v1._src.handlers.pytree_handler.PyTreeHandler";
    const kt_saved_model *model = object;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const long long nanoseconds = (long long)now.tv_sec * 1000000000 + now.tv_nsec;
    (void)fputs("{\"item_handlers\": {", file);
    if (model->config_json) (void)fprintf(file, "\"model_config\": \"%s\", ", handler);
    (void)fprintf(
        file,
        "\"pytree\": \"%s\"}, \"metrics\": {}, \"performance_metrics\": {}, "
        "\"init_timestamp_nsecs\": %lld, \"commit_timestamp_nsecs\": %lld, \"custom_metadata\": {}}\n",
        handler, nanoseconds, nanoseconds);
}

/* ---- folders --------------------------------------------------------------------------------- */
static int put_variable(const folder *f, const kt_saved_variable *variable) {
    enum { CHUNK = 2 * KT_MAX_RANK + 2 };
    char chunk[CHUNK] = "0", *name = strdup(variable->path);
    size_t bytes;
    int status = name ? kt_saved_bytes(f->subject, variable, &bytes) : kt_subject_no_memory(f->subject);
    for (char *slash = name; slash && (slash = strchr(slash, '/'));) *slash = '.';
    for (int i = 1; i < variable->rank; i++) memcpy(chunk + 2 * (size_t)i - 1, ".0", sizeof ".0");
    if (status == 0) status = make(f, "pytree", name);
    if (status == 0) status = put(f, "pytree", name, ".zarray", write_array, variable);
    if (status == 0 && bytes) status = put(f, "pytree", name, chunk, write_elements, variable);
    free(name);
    return status;
}

static int put_model(const folder *f, const kt_saved_model *model) {
    int status = mkdir(f->beside, 0777) ? fail(f) : make(f, "pytree", "");
    for (size_t i = 0; i < model->variable_count && status == 0; i++)
        status = put_variable(f, &model->variables[i]);
    if (status == 0) status = put(f, "pytree", "_METADATA", "", write_variables, model);
    if (status == 0 && model->config_json) {
        status = make(f, "model_config", "");
        if (status == 0) status = put(f, "model_config", "_strings.json", "", write_config, model);
        if (status == 0) status = put(f, "model_config", "_METADATA", "", write_config_tree, model);
    }
    return status ? status : put(f, "_CHECKPOINT_METADATA", "", "", write_items, model);
}

const char *kt_orbax_refuses(const char *path) {
    if (strlen(path) > NAME_MAX) return "no folder takes a name of more than 255 bytes";
    for (const char *c = path; *c; c++)
        if (strchr("'\"\\", *c) || (unsigned char)*c < ' ')
            return "its name has a quote, a backslash or a control character";
    return NULL;
}

bool kt_orbax_is(const char *path) {
    static const char marker[] = "_CHECKPOINT_METADATA";
    char file[PATH_MAX];
    int length = snprintf(file, sizeof file, "%s/%s", path, marker);
    return length < (int)sizeof file && access(file, F_OK) == 0;
}

/* Renames the folder, of which nothing is lost if that fails. */
static bool take_place(const folder *f, const char *path) {
    if (rename(f->beside, path) == 0) return kt_sync_directory_of(path);
    if (errno != ENOTEMPTY && errno != EEXIST) return false;
    if (syscall(SYS_renameat2, AT_FDCWD, f->beside, AT_FDCWD, path, RENAME_EXCHANGE)) return false;
    return kt_sync_directory_of(path) && remove_tree(f->beside);
}

/* Where the folder path is written, from malloc; NULL: no memory. */
static char *beside(const char *path) {
    static const char ending[] = ".orbax-checkpoint-tmp";
    const size_t room = strlen(path) + sizeof ending;
    char *place = malloc(room);
    if (place) (void)snprintf(place, room, "%s%s", path, ending);
    return place;
}

int kt_orbax_save(const char *path, const kt_saved_model *model, char *out_error) {
    const kt_subject subject = {path, out_error};
    if (access(path, F_OK) == 0 && !kt_orbax_is(path))
        return kt_subject_fail(&subject, "It is there already, and is no checkpoint.");
    folder f = {&subject, beside(path)};
    if (!f.beside) return kt_subject_no_memory(&subject);
    int status = remove_tree(f.beside) ? put_model(&f, model) : fail(&f); /* of a run that was broken off */
    if (status == 0 && !take_place(&f, path)) status = fail(&f);
    if (status) (void)remove_tree(f.beside);
    free(f.beside);
    return status;
}

int kt_orbax_remove(const char *path, const char *saved, char *out_error) {
    const kt_subject subject = {path, out_error};
    char *place = beside(saved);
    if (!place) return kt_subject_no_memory(&subject);
    const bool removed = rename(path, place) == 0 && remove_tree(place);
    const int reason = errno;
    free(place);
    return removed ? 0 : kt_subject_fail(&subject, "It cannot be removed: %s.", strerror(reason));
}
