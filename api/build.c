/* Building models: calls of layers, written down in a Functional of the frontend. */
#include "api/api_impl.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---------------------------------------------------------------------------------- */
int kt_api_fail(kt_model *model, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(model->error, sizeof model->error, format, arguments);
    va_end(arguments);
    return 1;
}

const char *kt_model_error(const kt_model *model) { return model->error; }

int kt_api_guarded(kt_model *model, kt_status (*body)(void *context), void *context) {
    kt_arena *json = kt_json_use(model->arena);
    kt_status status = kt_guarded(body, context, &model->diag);
    kt_json_use(json);
    if (status == KT_OK) return 0;
    const kt_problem *problem = model->diag.count ? &model->diag.problems[0] : NULL;
    if (!problem)
        (void)kt_api_fail(model, "There is not enough memory.");
    else
        (void)kt_api_fail(model, "%s%s%s", problem->where ? problem->where : "", problem->where ? ": " : "",
                          problem->text);
    kt_diag_deinit(&model->diag);
    model->diag = (kt_diag){0};
    return 1;
}

/* ---- models ---------------------------------------------------------------------------------- */
typedef struct making {
    kt_model *model;
    const char *name, *path;
} making;

static kt_status make(void *object) {
    making *m = object;
    kt_model *model = m->model;
    model->arena = kt_arena_create();
    model->context = (kt_layer_context){.arena = model->arena, .diag = &model->diag};
    KT_PUSH(model->arena, &model->tensors, (kt_symbolic){0});
    if (m->path)
        model->path = kt_arena_string(model->arena, m->path);
    else
        model->functional = kt_functional_create(&model->context, m->name);
    return KT_OK;
}

static kt_model *create(const char *name, const char *path) {
    kt_model *model = calloc(1, sizeof *model);
    if (!model) return NULL;
    making m = {model, name, path};
    if (kt_guarded(make, &m, &model->diag) == KT_OK) return model;
    kt_model_destroy(model);
    return NULL;
}

kt_model *kt_model_create(const char *name) { return create(name, NULL); }
kt_model *kt_model_open(const char *path) { return create(NULL, path); }

void kt_model_destroy(kt_model *model) {
    if (!model) return;
    kt_context_destroy(model->run);
    if (model->library) (void)dlclose(model->library);
    kt_api_drop_history(model);
    kt_arena_destroy(model->arena);
    kt_diag_deinit(&model->diag);
    free(model);
}

void kt_model_set_threads(kt_model *model, int threads) { model->threads = threads; }
void kt_model_set_seed(kt_model *model, uint64_t seed) { model->seed = seed; }

/* ---- layers ---------------------------------------------------------------------------------- */
typedef struct adding {
    kt_model *model;
    const char *class_name, *options;
    const char *name;          /* NULL: in the options, or the class's */
    const kt_symbolic *inputs; /* NULL: an InputLayer */
    uint32_t count;
    uint32_t *number; /* how many layers had the class's name; NULL: this one has another */
    kt_symbolic result;
} adding;

/* The options with a name: that of the class, numbered, unless there is one. */
static kt_status name_options(adding *a, const char **out_options) {
    kt_model *model = a->model;
    kt_arena *arena = model->arena;
    json_error_t error;
    json_t *options = json_loads(a->options ? a->options : "{}", JSON_REJECT_DUPLICATES, &error);
    if (options) kt_arena_defer(arena, kt_json_release, options);
    if (!json_is_object(options))
        return kt_diag_add(&model->diag, KT_INVALID, a->class_name, "the options are no JSON object: %s.",
                           options ? "they are another value" : error.text);
    if (a->name) {
        json_t *name = json_string(a->name);
        if (!name)
            return kt_diag_add(&model->diag, KT_INVALID, a->class_name, "the name is no text in UTF-8.");
        json_object_set_new(options, "name", name);
    } else if (!json_object_get(options, "name")) {
        const char *name = kt_layer_snake_case(arena, a->class_name);
        uint32_t *number = kt_table_add(&model->names, arena, name, strlen(name), 0);
        if (*number) name = kt_arena_format(arena, "%s_%u", name, *number);
        a->number = number;
        json_object_set_new(options, "name", json_string(name));
    }
    char *text = json_dumps(options, JSON_COMPACT);
    *out_options = kt_arena_string(arena, text ? text : "{}");
    return KT_OK;
}

static kt_status add(void *object) {
    adding *a = object;
    kt_model *model = a->model;
    const char *options = NULL;
    KT_TRY(name_options(a, &options));
    uint32_t problems = model->diag.count;
    kt_layer *layer = kt_layer_create(&model->context, a->class_name, options);
    if (!layer) return model->diag.count > problems ? model->diag.problems[problems].status : KT_INVALID;
    if (a->number) ++*a->number;
    if (!a->inputs)
        a->result = kt_functional_input(model->functional, layer);
    else if (a->count == 1)
        a->result = kt_functional_call(model->functional, layer, a->inputs[0]);
    else
        a->result = kt_functional_call_list(model->functional, layer, a->inputs, a->count);
    KT_PUSH(model->arena, &model->tensors, a->result);
    return KT_OK;
}

/* Can the model be built still? */
static int may_build(kt_model *model) {
    if (model->program) return kt_api_fail(model, "The model is compiled, so nothing can be added to it.");
    if (model->path) return kt_api_fail(model, "%s: A model from a file cannot be added to.", model->path);
    return 0;
}

static int added(kt_model *model, adding *a) {
    return kt_api_guarded(model, add, a) ? 0 : (int)model->tensors.count - 1;
}

int kt_model_input(kt_model *model, const char *name, int32_t dtype, int rank, const int64_t *dims) {
    char options[512];
    if (may_build(model)) return 0;
    if (rank < 0 || rank >= KT_MAX_RANK || dtype < 0 || dtype >= KT_STRING)
        return !kt_api_fail(model, "%s: An input has at most %d dimensions, and a numeric dtype.", name,
                            KT_MAX_RANK - 1);
    int used = snprintf(options, sizeof options, "{\"batch_shape\": [null");
    for (int axis = 0; axis < rank; axis++)
        used += dims[axis] < 0 ? snprintf(options + used, sizeof options - (size_t)used, ", null")
                               : snprintf(options + used, sizeof options - (size_t)used, ", %lld",
                                          (long long)dims[axis]);
    (void)snprintf(options + used, sizeof options - (size_t)used, "], \"dtype\": \"%s\"}",
                   kt_abi_dtype_name(dtype));
    adding a = {.model = model, .class_name = "InputLayer", .options = options, .name = name};
    return added(model, &a);
}

int kt_model_layer(kt_model *model, const char *class_name, const char *options, const int *inputs,
                   int input_count) {
    enum { MOST = 256 };
    kt_symbolic given[MOST];
    if (may_build(model)) return 0;
    if (input_count < 1 || input_count > MOST)
        return !kt_api_fail(model, "%s: A layer is called on 1 to %d tensors.", class_name, MOST);
    for (int i = 0; i < input_count; i++) {
        if (inputs[i] == 0) return 0; /* said already */
        if (inputs[i] < 0 || (uint32_t)inputs[i] >= model->tensors.count)
            return !kt_api_fail(model, "%s: There is no tensor %d.", class_name, inputs[i]);
        given[i] = model->tensors.at[inputs[i]];
    }
    adding a = {model, class_name, options, NULL, given, (uint32_t)input_count, NULL, {0}};
    return added(model, &a);
}

typedef struct giving {
    kt_model *model;
    kt_symbolic tensor;
} giving;

static kt_status give(void *object) {
    giving *g = object;
    kt_functional_output(g->model->functional, g->tensor, NULL);
    g->model->outputs++;
    return KT_OK;
}

int kt_model_output(kt_model *model, int tensor) {
    if (may_build(model) || tensor == 0) return 1;
    if (tensor < 0 || (uint32_t)tensor >= model->tensors.count)
        return kt_api_fail(model, "There is no tensor %d to be an output.", tensor);
    giving g = {model, model->tensors.at[tensor]};
    return kt_api_guarded(model, give, &g);
}
