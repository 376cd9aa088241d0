/* What TensorBoard's projector shows, as Keras's TensorBoard callback leaves it: a text of ProjectorConfig
 * (projector_config.proto) with an entry for each Embedding of the model itself, and the weights of epochs
 * beside the events of training. Every entry names the same tensor, as in Keras. */
#include "runtime/train/callbacks.h"
#include "runtime/whole_file.h"

#include <stdio.h>
#include <string.h>

/* The name of the layer whose embeddings a variable is, *out_length long, if it is one of the model itself:
 * the part before the last of its path. NULL: it is another variable. */
static const char *embedding_of(const kt_abi_variable *variable, int *out_length) {
    static const char last[] = "/embeddings";
    const size_t length = strlen(variable->path), tail = sizeof last - 1;
    int end = 0;
    if (length <= tail || strcmp(variable->path + length - tail, last) != 0 || !variable->file_path ||
        sscanf(variable->file_path, "layers/%*[^/]/vars/%*[0-9]%n", &end) < 0 || end == 0)
        return NULL;
    const char *name = variable->path + length - tail;
    while (name > variable->path && name[-1] != '/') name--;
    *out_length = (int)(variable->path + length - tail - name);
    return name;
}

/* The file of LAYER=FILE for that layer, else one for all; NULL: there is none. */
static const char *find_metadata(const kt_file_list *metadata, const char *layer, int length) {
    const char *all = NULL;
    for (int i = 0; i < metadata->count; i++) {
        const char *text = metadata->at[i], *equals = strchr(text, '=');
        if (!equals)
            all = text;
        else if (equals - text == length && strncmp(text, layer, (size_t)length) == 0)
            return equals + 1;
    }
    return all;
}

int kt_projector_check(const kt_program *program, const kt_file_list *metadata) {
    for (int i = 0; i < metadata->count; i++) {
        const char *text = metadata->at[i], *equals = strchr(text, '=');
        bool found = !equals;
        for (uint32_t v = 0; v < program->variable_count && !found; v++) {
            int length = 0;
            const char *name = embedding_of(&program->variables[v], &length);
            found = name && equals - text == length && strncmp(text, name, (size_t)length) == 0;
        }
        if (!found)
            return kt_cli_fail(program, KT_EXIT_USAGE,
                               "--tensorboard-embeddings-metadata: the model has no Embedding '%.*s'.",
                               (int)(equals - text), text);
    }
    return 0;
}

/* A string of protobuf's text form. */
static void write_string(FILE *file, const char *text) {
    (void)fputc('"', file);
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            (void)fprintf(file, "\\%03o", (unsigned)*at);
        else
            (void)fprintf(file, strchr("\"'\\", *at) ? "\\%c" : "%c", *at);
    }
    (void)fputc('"', file);
}

int kt_projector_write(const kt_program *program, const char *directory, const kt_file_list *metadata) {
    char path[KT_CALLBACK_PATH], error[KT_IO_ERROR];
    const kt_subject subject = {.path = path, .error = error};
    kt_whole_file whole;
    (void)snprintf(path, sizeof path, "%s/projector_config.pbtxt", directory);
    if (kt_whole_file_begin(&subject, &whole)) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    for (uint32_t v = 0; v < program->variable_count; v++) {
        int length = 0;
        const char *name = embedding_of(&program->variables[v], &length);
        if (!name) continue;
        const char *file = find_metadata(metadata, name, length);
        (void)fputs("embeddings {\n  tensor_name: "
                    "\"layer_with_weights-0/embeddings/.ATTRIBUTES/VARIABLE_VALUE\"\n",
                    whole.file);
        if (file) {
            (void)fputs("  metadata_path: ", whole.file);
            write_string(whole.file, file);
            (void)fputc('\n', whole.file);
        }
        (void)fputs("}\n", whole.file);
    }
    return kt_whole_file_end(&subject, &whole) ? kt_cli_fail(program, KT_EXIT_FAILED, "%s", error) : 0;
}

int kt_projector_save(kt_context *context, const char *directory, int64_t epoch) {
    char path[KT_CALLBACK_PATH], error[KT_IO_ERROR];
    (void)snprintf(path, sizeof path, "%s/train/keras_embedding.ckpt-%lld.weights.h5", directory,
                   (long long)epoch);
    return kt_training_save(context, path, error)
               ? kt_cli_fail(kt_context_program(context), KT_EXIT_FAILED, "%s", error)
               : 0;
}
