/* Keras's files: .keras, a zip archive of metadata.json, config.json, model.weights.h5 and assets/, and the
 * last but one alone, .weights.h5. */
#include "runtime/checkpoint/checkpoint_impl.h"
#include "runtime/zip.h"

#include <stdlib.h>
#include <string.h>

/* ---- variables --------------------------------------------------------------------------------------------
 */

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
    (void)strcpy(at, rank == 1 ? ",)" : ")");
    return out_text;
}

/* ---- writing ----------------------------------------------------------------------------------------------
 */

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

int kt_model_save(const char *path, const kt_saved_model *model, char *out_error) {
    const kt_subject subject = {path, out_error};
    bool archive = ends_with(path, model_ending);
    if (!archive && !ends_with(path, weights_ending))
        return kt_subject_fail(&subject,
                               "The name must end in .keras, or in .weights.h5 for the variables alone.");
    uint8_t *weights = NULL;
    size_t bytes = 0;
    int code = kt_hdf5_write(&subject, model->variables, model->variable_count, &weights, &bytes);
    if (code) return code;
    kt_whole_file whole;
    code = kt_whole_file_begin(&subject, &whole);
    if (code == 0) {
        if (archive)
            code = write_archive(&subject, whole.file, model, weights, bytes);
        else
            (void)fwrite(weights, 1, bytes, whole.file);
        if (code)
            kt_whole_file_drop(&whole);
        else
            code = kt_whole_file_end(&subject, &whole);
    }
    free(weights);
    return code;
}
