/* Keras's files: .keras, a zip archive of metadata.json, config.json, model.weights.h5 and assets/, and the
 * last but one alone, .weights.h5. */
#include "runtime/checkpoint/checkpoint_impl.h"
#include "runtime/zip.h"

#include <stdlib.h>
#include <string.h>

/* ---- variables ------------------------------------------------------------------------------- */

int kt_saved_bytes(const kt_subject *subject, const kt_saved_variable *variable, size_t *out_bytes) {
    size_t bytes = kt_abi_dtype_bytes(variable->dtype);
    if (!bytes || variable->dtype == KT_C64)
        return kt_subject_fail(subject, "%.100s has the dtype %s, which is not saved.", variable->path,
                               kt_abi_dtype_name(variable->dtype));
    for (int i = 0; i < variable->rank; i++) bytes *= (size_t)variable->dims[i];
    *out_bytes = bytes;
    return 0;
}

const char *kt_shape_text(int rank, const int64_t *dims, char out_text[KT_SHAPE_TEXT]) {
    char *at = out_text;
    *at++ = '(';
    for (int i = 0; i < rank; i++) at += sprintf(at, i ? ", %lld" : "%lld", (long long)dims[i]);
    (void)sprintf(at, rank == 1 ? ",)" : ")");
    return out_text;
}

/* ---- writing --------------------------------------------------------------------------------- */

static const char weights_ending[] = ".weights.h5", model_ending[] = ".keras";

static bool ends_with(const char *path, const char *ending) {
    size_t length = strlen(path), count = strlen(ending);
    return length > count && strcmp(path + length - count, ending) == 0;
}

/* The version of Keras that the format was held to. */
static const char default_metadata[] = "{\"keras_version\": \"3.15.1\"}";

static kt_zip_member member_of(const char *name, const void *data, size_t bytes) {
    return (kt_zip_member){.name = name, .parts = {data}, .part_bytes = {bytes}};
}

static int write_archive(const kt_subject *subject, FILE *file, const kt_saved_model *model,
                         const uint8_t *weights, size_t weight_bytes) {
    size_t count = 3 + model->asset_count;
    kt_zip_member *members = calloc(count, sizeof *members);
    char **names = (char **)calloc(model->asset_count + 1, sizeof *names);
    bool enough = members && names;
    if (enough) {
        const char *metadata = model->metadata_json ? model->metadata_json : default_metadata;
        members[0] = member_of("metadata.json", metadata, strlen(metadata));
        members[1] = member_of("config.json", model->config_json, model->config_bytes);
        members[2] = member_of("model.weights.h5", weights, weight_bytes);
    }
    for (size_t i = 0; i < model->asset_count && enough; i++) {
        const kt_saved_asset *asset = &model->assets[i];
        size_t room = strlen(asset->name) + sizeof "assets/";
        names[i] = malloc(room);
        enough = names[i] != NULL;
        if (!enough) break;
        (void)snprintf(names[i], room, "assets/%s", asset->name);
        members[3 + i] = member_of(names[i], asset->data, asset->bytes);
    }
    enough = enough && kt_zip_write(file, members, count) == KT_ZIP_OK;
    for (size_t i = 0; i < model->asset_count && names; i++) free(names[i]);
    free((void *)names);
    free(members);
    return enough ? 0 : kt_subject_no_memory(subject);
}

int kt_keras_save(const char *path, const kt_saved_model *model, char *out_error) {
    const kt_subject subject = {path, out_error};
    bool archive = ends_with(path, model_ending);
    if (!archive && !ends_with(path, weights_ending))
        return kt_subject_fail(&subject,
                               "The name must end in .keras, or in .weights.h5 for the variables alone.");
    kt_hdf5_image weights;
    int code = kt_hdf5_write(&subject, model->variables, model->variable_count, &weights);
    if (code) return code;
    kt_whole_file whole;
    code = kt_whole_file_begin(&subject, &whole);
    if (code == 0) {
        if (archive)
            code = write_archive(&subject, whole.file, model, weights.at, weights.bytes);
        else
            (void)fwrite(weights.at, 1, weights.bytes, whole.file);
        if (code)
            kt_whole_file_drop(&whole);
        else
            code = kt_whole_file_end(&subject, &whole);
    }
    kt_hdf5_image_deinit(&weights);
    return code;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const char weights_name[] = "model.weights.h5";

/* The weights in an archive; *out_owned is what the caller frees. */
static int find_weights(const kt_subject *subject, kt_bytes file, kt_bytes *out_weights,
                        uint8_t **out_owned) {
    kt_zip zip;
    kt_zip_entry entry = {0};
    kt_zip_status status = kt_zip_open(file.at, file.count, &zip);
    while (status == KT_ZIP_OK && zip.left) {
        status = kt_zip_next(&zip, &entry);
        if (status || entry.name_length != strlen(weights_name) ||
            memcmp(entry.name, weights_name, entry.name_length) != 0)
            continue;
        status = kt_zip_unpack(&zip, &entry, &out_weights->at, out_owned);
        out_weights->count = entry.size;
        if (status == KT_ZIP_OK) return 0;
    }
    switch (status) {
    case KT_ZIP_OK:
        return kt_subject_fail(subject, "The archive holds no %s; it is no Keras model.", weights_name);
    case KT_ZIP_MEMORY: return kt_subject_no_memory(subject);
    case KT_ZIP_DAMAGED:
        return kt_subject_fail(subject,
                               "The archive is damaged or cut off; save the model again or copy the file "
                               "anew.");
    default:
        return kt_subject_fail(subject,
                               "%s in the archive is encrypted or compressed in a way that is not known.",
                               weights_name);
    }
}

static int load(const kt_subject *subject, kt_bytes file, const kt_saved_variable *variables, size_t count,
                kt_load_parts parts) {
    if (file.count >= 4 && memcmp(file.at, "\x89HDF", 4) == 0)
        return kt_hdf5_load(subject, file, variables, count, parts);
    if (file.count < 4 || memcmp(file.at, "PK\3\4", 4) != 0)
        return kt_subject_fail(subject, "This is neither a .keras nor a .weights.h5 file, or it is damaged.");
    kt_bytes weights = {0};
    uint8_t *owned = NULL;
    int code = find_weights(subject, file, &weights, &owned);
    if (code == 0) code = kt_hdf5_load(subject, weights, variables, count, parts);
    free(owned);
    return code;
}

int kt_keras_load_bytes(const char *name, const void *bytes, size_t byte_count,
                        const kt_saved_variable *variables, size_t count, kt_load_parts parts,
                        char *out_error) {
    const kt_subject subject = {name, out_error};
    return load(&subject, (kt_bytes){bytes, byte_count}, variables, count, parts);
}

int kt_keras_load(const char *path, const kt_saved_variable *variables, size_t count, kt_load_parts parts,
                  char *out_error) {
    const kt_subject subject = {path, out_error};
    uint8_t *bytes = NULL;
    size_t file_bytes = 0;
    int code = kt_whole_file_read(&subject, &bytes, &file_bytes);
    if (code == 0) {
        code = load(&subject, (kt_bytes){bytes, file_bytes}, variables, count, parts);
        free(bytes);
    }
    return code;
}
