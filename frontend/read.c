/* Reading a model from a file: a .keras archive by its zip signature, a graph in protobuf by its first field,
 * else a graph in text form.
 *
 * What fails in reading an archive fails in one place: unpacking, parsing the configuration, making the
 * layers, tracing, reading the weights. Each stage starts only if the one before found no problem, and the
 * first three that judge what the user made (layers, tracing, weights) report all that they find. */
#include "frontend/keras/keras_impl.h"
#include "frontend/layer.h"
#include "frontend/training/training.h"
#include "runtime/checkpoint/checkpoint.h"
#include "support/file.h"

#include <string.h>

static const size_t file_limit = (size_t)16 << 30;

/* ---- .keras ---------------------------------------------------------------------------------- */
static const char *keep_text(kt_arena *arena, const kt_bytes *text) {
    return text ? kt_arena_format(arena, "%.*s", (int)text->count, (const char *)text->at) : NULL;
}

static kt_status trace_training(kt_layer_context *context, kt_layer *model, const kt_archive *archive,
                                const json_t *json, kt_training_request *training, kt_graph **out_graph) {
    kt_compile_config config;
    KT_TRY(kt_compile_config_read(context, json, training, &config));
    training->info.config = keep_text(context->arena, kt_archive_find(archive, "config.json"));
    if (training->optimizer || training->loss || training->metrics)
        KT_TRY(kt_compile_config_write(context, training->info.config, &config, &training->info.config));
    training->info.metadata = keep_text(context->arena, kt_archive_find(archive, "metadata.json"));
    return kt_model_trace_training(context, model, &config, training, out_graph);
}

static const json_t *or_null(const json_t *value) { return value ? value : json_null(); }

/* The state of the optimizer that the model was compiled with. What does not fit is left, as Keras does:
 * layers may have been frozen since. */
static kt_status read_optimizer(kt_graph *graph, kt_bytes weights, kt_training_request *training,
                                kt_diag *diag) {
    char error[KT_IO_ERROR];
    size_t count = 0;
    kt_saved_variable *saved = KT_NEW_ARRAY(graph->arena, kt_saved_variable, graph->variables.count + 1);
    uint32_t *numbers = KT_NEW_ARRAY(graph->arena, uint32_t, graph->variables.count + 1);
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        const kt_variable *variable = &graph->variables.at[i];
        if (variable->kind != KT_VARIABLE_SLOT || !variable->file_path) continue;
        size_t bytes = (size_t)kt_type_static_bytes(graph->dims, &variable->type);
        kt_saved_variable *one = &saved[count];
        *one = (kt_saved_variable){.path = variable->path,
                                   .file_path = variable->file_path,
                                   .dtype = (int32_t)variable->type.dtype,
                                   .rank = variable->type.rank,
                                   .data = kt_arena_copy(graph->arena, variable->data, bytes)};
        for (int d = 0; d < one->rank; d++)
            if (!kt_dim_is_const(graph->dims, variable->type.dims[d], &one->dims[d]))
                KT_BUG("variable %s has no fixed shape", variable->path);
        numbers[count++] = i;
    }
    int code = kt_keras_load_bytes("model.weights.h5", weights.at, weights.count, saved, count,
                                   KT_LOAD_OPTIMIZER, error);
    if (code == KT_ERROR_MEMORY) return kt_diag_add(diag, KT_OUT_OF_MEMORY, NULL, "%s", error);
    if (code)
        training->warning =
            kt_arena_format(graph->arena, "%s%sThe optimizer begins anew: %s",
                            training->warning ? training->warning : "", training->warning ? " " : "", error);
    for (size_t i = 0; i < count && !code; i++) graph->variables.at[numbers[i]].data = saved[i].data;
    return KT_OK;
}

static kt_status read_keras(kt_arena *arena, kt_bytes file, kt_arena *file_arena, kt_observer *observer,
                            kt_training_request *training, kt_graph **out_graph, kt_diag *diag) {
    kt_archive archive;
    KT_TRY(kt_archive_unpack(file_arena, file, &archive, diag));
    const kt_bytes *config = kt_archive_find(&archive, "config.json");
    const kt_bytes *weights = kt_archive_find(&archive, "model.weights.h5");
    if (!config || !weights)
        return kt_diag_add(diag, KT_INVALID, NULL, "The archive holds no %s; it is no Keras model.",
                           config ? "model.weights.h5" : "config.json");
    const json_t *json;
    KT_TRY(kt_json_parse(arena, *config, "config.json", &json, diag));
    kt_layer_context context = {.arena = arena, .diag = diag, .observer = observer};
    uint32_t problems = diag->count;
    kt_layer *model = kt_layer_from_config(&context, json, NULL);
    if (observer) {
        observer->model = model;
        observer->config = json;
    }
    if (!model) return diag->count > problems ? diag->problems[problems].status : KT_OUT_OF_MEMORY;
    if (training && training->if_compiled &&
        json_is_null(or_null(json_object_get(json_object_get(json, "compile_config"), "loss"))))
        training = NULL;
    if (training)
        KT_TRY(trace_training(&context, model, &archive, json, training, out_graph));
    else
        KT_TRY(kt_model_trace(&context, model, out_graph));
    KT_TRY(kt_weights_read(*out_graph, *weights, diag));
    if (training && training->train && !training->optimizer)
        return read_optimizer(*out_graph, *weights, training, diag);
    return KT_OK;
}

static kt_status not_keras(kt_bytes file, kt_diag *diag) {
    if (!file.count) return kt_diag_add(diag, KT_INVALID, NULL, "The file is empty.");
    if (file.count >= 4 && memcmp(file.at, "\x89HDF", 4) == 0)
        return kt_diag_add(
            diag, KT_UNSUPPORTED, NULL,
            "This is an HDF5 file, Keras's old format or weights alone; save the model as .keras.");
    return kt_diag_add(diag, KT_INVALID, NULL,
                       "This is no .keras archive: it does not begin as a zip file does.");
}

/* ---- any model ------------------------------------------------------------------------------- */
/* Text holds no NUL and no other control characters near its beginning. */
static bool is_text(kt_bytes file) {
    for (size_t i = 0; i < file.count && i < 4096; i++)
        if (file.at[i] < 9 || (file.at[i] > 13 && file.at[i] < 32)) return false;
    return file.count > 0;
}

/* By its name. */
static bool says_keras(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ".keras") == 0;
}

typedef struct request {
    kt_arena *arena;
    kt_arena *file; /* for its bytes, which nothing of the graph may lie in */
    const char *path;
    bool keras_only;
    kt_observer *observer;
    kt_training_request *training;
    kt_graph *graph;
    kt_diag *diag;
} request;

static kt_status read_bytes(const request *r, kt_bytes file, kt_graph **out_graph) {
    if (kt_archive_is(file))
        KT_TRY(read_keras(r->arena, file, r->file, r->observer, r->training, out_graph, r->diag));
    else if (!r->keras_only && kt_packed_is(file.at, file.count))
        KT_TRY(kt_graph_read_packed(r->arena, file.at, file.count, strcmp(r->path, "-") ? r->path : NULL,
                                    out_graph, r->diag));
    else if (r->keras_only || says_keras(r->path) || !is_text(file))
        return not_keras(file, r->diag);
    else
        KT_TRY(kt_graph_parse(r->arena, (const char *)file.at, file.count, out_graph, r->diag));
    return kt_graph_verify(*out_graph, r->diag);
}

static kt_status read_model(void *object) {
    request *r = object;
    char *bytes;
    size_t count;
    KT_TRY(kt_file_read(r->path, file_limit, r->file, &bytes, &count, r->diag));
    r->diag->file = strcmp(r->path, "-") == 0 ? "standard input" : r->path;
    return read_bytes(r, (kt_bytes){(const uint8_t *)bytes, count}, &r->graph);
}

/* The file goes once it is read, whatever happens: its weights are as large as the model's. */
static kt_status read_and_drop_file(void *object) {
    request *r = object;
    r->file = kt_arena_create();
    kt_arena *json = kt_json_use(r->arena);
    kt_status status = kt_guarded(read_model, r, r->diag);
    kt_json_use(json);
    kt_arena_destroy(r->file);
    return status;
}

static kt_status read_guarded(request *r, kt_graph **out_graph) {
    const char *outer = r->diag->file;
    kt_status status = kt_guarded(read_and_drop_file, r, r->diag);
    r->diag->file = outer;
    if (status == KT_OK) *out_graph = r->graph;
    return status;
}

kt_status kt_keras_read(kt_arena *arena, const char *path, kt_graph **out_graph, kt_diag *diag) {
    request r = {.arena = arena, .path = path, .keras_only = true, .diag = diag};
    return read_guarded(&r, out_graph);
}

kt_status kt_model_read(kt_arena *arena, const char *path, kt_graph **out_graph, kt_diag *diag) {
    request r = {.arena = arena, .path = path, .diag = diag};
    return read_guarded(&r, out_graph);
}

kt_status kt_model_read_observed(kt_arena *arena, const char *path, kt_observer *observer,
                                 kt_graph **out_graph, kt_diag *diag) {
    request r = {.arena = arena, .path = path, .observer = observer, .diag = diag};
    return read_guarded(&r, out_graph);
}

kt_status kt_model_read_training(kt_arena *arena, const char *path, kt_training_request *training,
                                 kt_graph **out_graph, kt_diag *diag) {
    request r = {.arena = arena,
                 .path = path,
                 .keras_only = !training->if_compiled,
                 .training = training,
                 .diag = diag};
    return read_guarded(&r, out_graph);
}
