/* Compiling a model into the process at hand: the training graph, native code of it in a temporary shared
 * object, which is loaded and run by this library's own runtime. */
#include "api/api_impl.h"
#include "codegen/codegen.h"
#include "frontend/initializers/initializers.h"
#include "frontend/training/training.h"
#include "support/file.h"

#include <dlfcn.h>

typedef struct compiling {
    kt_model *model;
    kt_training_request request;
    kt_graph *graph;
} compiling;

static kt_status trace_built(compiling *c) {
    kt_model *model = c->model;
    if (!model->outputs)
        return kt_diag_add(&model->diag, KT_INVALID, NULL, "The model has no output; see kt_model_output.");
    json_t *json = kt_layer_get_config(kt_functional_layer(model->functional));
    kt_arena_defer(model->arena, kt_json_release, json);
    uint32_t problems = model->diag.count;
    kt_layer *layer = kt_layer_from_config(&model->context, json, NULL);
    if (!layer) return model->diag.count > problems ? model->diag.problems[problems].status : KT_INVALID;
    kt_compile_config config;
    KT_TRY(kt_compile_config_read(&model->context, json, &c->request, &config));
    KT_TRY(kt_model_trace_training(&model->context, layer, &config, &c->request, &c->graph));
    KT_TRY(kt_weights_initialize(layer, c->graph, model->seed, &model->diag));
    KT_TRY(kt_compile_config_write(&model->context, json_dumps(json, JSON_COMPACT), &config,
                                   &c->request.info.config));
    return kt_graph_verify(c->graph, &model->diag);
}

static kt_status load(kt_model *model, const char *path) {
    model->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!model->library)
        return kt_diag_add(&model->diag, KT_IO, NULL, "The compiled model cannot be loaded: %s.", dlerror());
    const kt_program *program = dlsym(model->library, "model_program");
    char error[256];
    if (!program) return kt_diag_add(&model->diag, KT_IO, NULL, "The compiled model has no program.");
    model->run = kt_context_create(program, model->threads, error);
    if (!model->run) return kt_diag_add(&model->diag, KT_INVALID, NULL, "%s", error);
    model->program = program;
    return KT_OK;
}

static kt_status compile(void *object) {
    compiling *c = object;
    kt_model *model = c->model;
    const char *directory;
    if (model->path)
        KT_TRY(kt_model_read_training(model->arena, model->path, &c->request, &c->graph, &model->diag));
    else
        KT_TRY(trace_built(c));
    KT_TRY(kt_temporary_directory(model->arena, &directory, &model->diag));
    const char *path = kt_arena_format(model->arena, "%s/model.so", directory);
    const kt_compile_options options = {.emit = KT_EMIT_SHARED,
                                        .output = path,
                                        .name = "model",
                                        .level = 2,
                                        .training = &c->request.info,
                                        .loaded = true};
    KT_TRY(kt_compile(c->graph, &options, &model->diag));
    return load(model, path);
}

int kt_model_compile(kt_model *model, const char *optimizer, const char *loss, const char *metrics) {
    if (model->program) return kt_api_fail(model, "The model is compiled already.");
    compiling c = {.model = model,
                   .request = {.train = true, .optimizer = optimizer, .loss = loss, .metrics = metrics}};
    return kt_api_guarded(model, compile, &c);
}
