/* Training steps against Keras's, one by one: steps.npz, which make.py makes.
 *
 * usage: steps FILE.npz [MODEL ...]
 *
 * Each model is compiled with its training step. Before each step the library's variables are set to what
 * Keras's were; after it, the logs must be Keras's to 1e-5 of their size, gradients, which the slots of SGD
 * with momentum tell, to 1e-5 of the tensor's largest, and updates to 1e-4 of the tensor's largest. What is
 * below 2e-7 of the model's largest gradient, two roundings of it, is noise (all that the bias of attention's
 * keys has, or a bias before batch normalization, whose parts cancel out). Policies of fewer bits have
 * tolerances of their own. */
#include "codegen/codegen.h"
#include "frontend/training/training.h"
#include "runtime/runtime.h"
#include "support/file.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PORTS = 4 };
static const double momentum = 0.9;

typedef struct tolerance {
    const char *policy;
    double log, gradient, update;
    double noise;    /* of the model's largest gradient: what is below is compared to this */
    double rounding; /* of a variable's numbers */
} tolerance;

/* Half floats round by a share of 2^-11, bfloat16 by 2^-8, wherever a result is stored. Where that is
 * differs, since Keratin keeps what it fuses in float32 and TensorFlow stores every operation's result, so
 * results may lie several of these roundings apart: of bfloat16 more, for Keras's own steps of the attention
 * model lie up to 0.14 of a tensor's largest change from those it makes in float32. So may sums of what
 * cancels out be, by the size of what they are summed from, and a variable of that type lies one of its own
 * steps away. */
#define HALF                   (1.0 / 2048)
#define BRAIN                  (1.0 / 256)
#define ROUNDINGS(count, bits) (count) * (bits), (count) * (bits), (count) * (bits)
static const tolerance tolerances[] = {
    {"float32", 1e-5, 1e-5, 1e-4, 2e-2, 1.2e-7},
    {"float64", 1e-5, 1e-5, 1e-4, 1e-2, 1.2e-7}, /* losses are float32 in Keras, too */
    {"mixed_float16", ROUNDINGS(16, HALF), 0.1, 1.2e-7},
    {"mixed_bfloat16", ROUNDINGS(48, BRAIN), 0.1, 1.2e-7},
    {"float16", ROUNDINGS(16, HALF), 0.1, 2 * HALF},
    {"bfloat16", ROUNDINGS(48, BRAIN), 0.1, 2 * BRAIN},
};

typedef struct library {
    void *handle, *context;
    int (*call)(void *, const char *, const kt_buffer *, kt_buffer *);
    int (*variable)(void *, const char *, kt_buffer *, int);
    void (*reset_metrics)(void *);
    void (*destroy)(void *);
    const char *(*error)(const void *);
} library;

/* A variable that is compared. */
typedef struct followed {
    const char *path; /* ours */
    kt_buffer shape;
    int64_t count, first; /* numbers, and where they begin in a state */
    bool slot;
    bool exact; /* what a dynamic loss scale consists of */
} followed;

typedef struct test {
    kt_arena *arena;
    kt_diag *diag;
    const kt_arrays *arrays;
    const char *name;
    const kt_buffer *states, *logs;
    kt_buffer ports[3 * MAX_PORTS];
    uint32_t port_count, problems;
    bool weighted;
    const tolerance *tolerance;
    kt_training_request request;
    uint32_t *log_order; /* by number of Keras's logs */
    kt_graph *graph;
    library library;
    KT_VECTOR(followed) variables;
} test;

static kt_status fail(test *t, const char *format, const char *what) {
    return kt_diag_add(t->diag, KT_INVALID, t->name, format, what);
}

static const kt_buffer *find(const test *t, const char *what) {
    const char *name = kt_arena_format(t->arena, "%s/%s", t->name, what);
    for (size_t i = 0; i < t->arrays->count; i++)
        if (!strcmp(t->arrays->at[i].name, name)) return &t->arrays->at[i].buffer;
    return NULL;
}

static const char *find_text(const test *t, const char *what) {
    const kt_buffer *bytes = find(t, what);
    return bytes ? kt_arena_format(t->arena, "%.*s", (int)bytes->dims[0], (const char *)bytes->data) : "";
}

/* ---- compiling ------------------------------------------------------------------------------- */
static kt_status trace(test *t, kt_graph **out_graph) {
    json_error_t error;
    json_t *config = json_loads(find_text(t, "config"), 0, &error);
    if (!config) return fail(t, "the configuration is no JSON: %s", error.text);
    kt_arena_defer(t->arena, kt_json_release, config);
    kt_layer_context *context = KT_NEW(t->arena, kt_layer_context);
    *context = (kt_layer_context){.arena = t->arena, .diag = t->diag};
    kt_layer *model = kt_layer_from_config(context, config, NULL);
    if (!model) return KT_INVALID;
    kt_compile_config *compiled = KT_NEW(t->arena, kt_compile_config);
    t->request.train = true;
    KT_TRY(kt_compile_config_read(context, config, &t->request, compiled));
    return kt_model_trace_training(context, model, compiled, &t->request, out_graph);
}

/* Weights have no values yet; every step sets them. */
static void fill_zeros(kt_graph *graph) {
    for (uint32_t i = 0; i < graph->variables.count; i++) {
        kt_variable *variable = &graph->variables.at[i];
        size_t bytes = (size_t)kt_type_static_bytes(graph->dims, &variable->type);
        if (!variable->data) variable->data = kt_arena_alloc(graph->arena, bytes + 1);
    }
}

static void close_library(void *object) {
    library *lib = object;
    lib->destroy(lib->context);
    (void)dlclose(lib->handle);
}

static kt_status compile(test *t, const char *directory) {
    KT_TRY(trace(t, &t->graph));
    if (!t->graph) KT_BUG("no graph was traced");
    fill_zeros(t->graph);
    const char *path = kt_arena_format(t->arena, "%s/%s.so", directory, t->name);
    const kt_compile_options options = {.emit = KT_EMIT_SHARED,
                                        .output = path,
                                        .name = "m",
                                        .level = 2,
                                        .training = &t->request.info,
                                        .verify = true};
    KT_TRY(kt_compile(t->graph, &options, t->diag));
    library *lib = &t->library;
    lib->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle) return fail(t, "%s", dlerror());
    void *(*create)(int);
    *(void **)&create = dlsym(lib->handle, "m_create");
    *(void **)&lib->call = dlsym(lib->handle, "m_call");
    *(void **)&lib->variable = dlsym(lib->handle, "m_variable");
    *(void **)&lib->reset_metrics = dlsym(lib->handle, "m_reset_metrics");
    *(void **)&lib->error = dlsym(lib->handle, "m_error");
    *(void **)&lib->destroy = dlsym(lib->handle, "m_destroy");
    if (!create || !lib->call || !lib->variable || !lib->reset_metrics || !lib->error || !lib->destroy)
        return fail(t, "%s", "the library lacks a function");
    lib->context = create(1);
    if (!lib->context) return fail(t, "%s", "the library cannot be used");
    kt_arena_defer(t->arena, close_library, lib);
    return KT_OK;
}

/* ---- what is compared ------------------------------------------------------------------------ */
static bool is_scale(const char *path) { return strncmp(path, "loss_scale_optimizer", 20) == 0; }

/* Whose next variable is it? Paths differ by the names of outermost models, seeds' and optimizers'; the order
 * does not. */
static kt_variable_kind kind_of(const char *path) {
    if (strstr(path, "seed_generator_state")) return KT_VARIABLE_STATE;
    return strncmp(path, "sgd", 3) == 0 || is_scale(path) ? KT_VARIABLE_SLOT : KT_VARIABLE_WEIGHT;
}

static bool ends_in(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && strcmp(path + length - tail, end) == 0;
}

static kt_status follow_all(test *t) {
    int64_t first = 0;
    char *paths = (char *)find_text(t, "paths"), *rest;
    uint32_t next[] = {0, 0, 0, 0};
    for (char *path = strtok_r(paths, "\n", &rest); path; path = strtok_r(NULL, "\n", &rest)) {
        kt_variable_kind kind = kind_of(path);
        uint32_t at = next[kind];
        const kt_variable *variables = t->graph->variables.at;
        while (at < t->graph->variables.count &&
               (variables[at].kind != kind || ends_in(variables[at].path, "/iteration") ||
                ends_in(variables[at].path, "/learning_rate")))
            at++;
        if (at == t->graph->variables.count && kind == KT_VARIABLE_STATE) {
            first += 2; /* recurrent layers have a seed in Keras even where they draw nothing */
            continue;
        }
        if (at == t->graph->variables.count) return fail(t, "there is no variable for Keras's %s", path);
        next[kind] = at + 1;
        followed item = {.path = variables[at].path,
                         .first = first,
                         .count = 1,
                         .slot = kind == KT_VARIABLE_SLOT,
                         .exact = is_scale(path)};
        if (t->library.variable(t->library.context, item.path, &item.shape, 0))
            return fail(t, "%s", t->library.error(t->library.context));
        for (int i = 0; i < item.shape.rank; i++) item.count *= item.shape.dims[i];
        first += item.count;
        KT_PUSH(t->arena, &t->variables, item);
    }
    if (first != t->states->dims[1]) return fail(t, "%s", "the variables are not as large as Keras's");
    return KT_OK;
}

static kt_status order_logs(test *t) {
    char *names = (char *)find_text(t, "log_names"), *rest;
    uint32_t count = 0;
    t->log_order = KT_NEW_ARRAY(t->arena, uint32_t, t->request.info.log_count + 1);
    for (char *name = strtok_r(names, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest)) {
        uint32_t at = 0;
        while (at < t->request.info.log_count && strcmp(t->request.info.log_names[at], name) != 0) at++;
        if (at == t->request.info.log_count || count == t->request.info.log_count)
            return fail(t, "there is no log '%s'", name);
        t->log_order[count++] = at;
    }
    return count == t->request.info.log_count ? KT_OK : fail(t, "%s", "there are more logs than Keras's");
}

static void find_ports(test *t) {
    static const char *const kinds[] = {"input", "labels", "weights"};
    for (int kind = 0; kind < 3; kind++) {
        for (int i = 0; i < MAX_PORTS; i++) {
            const kt_buffer *port = find(t, kt_arena_format(t->arena, "%s/%d", kinds[kind], i));
            if (!port) break;
            t->ports[t->port_count++] = *port;
            t->weighted = kind == 2;
        }
    }
}

/* ---- steps ----------------------------------------------------------------------------------- */
static void *numbers_of(test *t, const followed *item, const float *state) {
    kt_buffer from = item->shape, to;
    from.dtype = KT_F32;
    from.data = (void *)(state + item->first);
    from.capacity = item->count * (int64_t)sizeof(float);
    if (kt_buffer_convert(&from, item->shape.dtype, &to)) KT_BUG("a variable cannot be converted");
    void *kept = kt_arena_copy(t->arena, to.data, (size_t)to.capacity);
    free(to.data);
    return kept;
}

static kt_status set_state(test *t, const float *state) {
    for (uint32_t i = 0; i < t->variables.count; i++) {
        kt_buffer buffer = t->variables.at[i].shape;
        buffer.data = numbers_of(t, &t->variables.at[i], state);
        if (t->library.variable(t->library.context, t->variables.at[i].path, &buffer, 1))
            return fail(t, "%s", t->library.error(t->library.context));
    }
    return KT_OK;
}

static kt_status get_numbers(test *t, const followed *item, float **out_numbers) {
    kt_buffer buffer = item->shape, converted;
    buffer.capacity = item->count * 8;
    buffer.data = kt_arena_alloc(t->arena, (size_t)buffer.capacity);
    if (t->library.variable(t->library.context, item->path, &buffer, 0))
        return fail(t, "%s", t->library.error(t->library.context));
    if (kt_buffer_convert(&buffer, KT_F32, &converted)) KT_BUG("a variable cannot be converted");
    *out_numbers = kt_arena_copy(t->arena, converted.data, (size_t)item->count * sizeof(float));
    free(converted.data);
    return KT_OK;
}

/* The largest change of a variable; of slots, of what the gradient adds. */
static double largest_change(const followed *item, const float *before, const float *after) {
    double largest = 0;
    for (int64_t i = item->first; i < item->first + item->count; i++) {
        double change = (double)after[i] - (item->slot ? momentum : 1) * (double)before[i];
        largest = fmax(largest, fabs(change));
    }
    return largest;
}

static kt_status compare(test *t, int step, const float *before, const float *after) {
    double most = 0;
    for (uint32_t k = 0; k < t->variables.count; k++)
        if (t->variables.at[k].slot && !t->variables.at[k].exact)
            most = fmax(most, largest_change(&t->variables.at[k], before, after));
    for (uint32_t k = 0; k < t->variables.count; k++) {
        const followed *item = &t->variables.at[k];
        float *ours = NULL;
        KT_TRY(get_numbers(t, item, &ours));
        if (!ours) KT_BUG("no numbers were read");
        double scale = fmax(largest_change(item, before, after), t->tolerance->noise * most), worst = 0;
        double rounding = 0; /* of the numbers themselves, which are larger than what changes them */
        for (int64_t i = 0; i < item->count; i++) {
            worst = fmax(worst, fabs((double)ours[i] - (double)after[item->first + i]));
            rounding = fmax(rounding, t->tolerance->rounding * fabs((double)after[item->first + i]));
            if (isnan(ours[i])) worst = INFINITY;
        }
        double allowed = (item->slot ? t->tolerance->gradient : t->tolerance->update) * scale + rounding;
        if (item->exact) allowed = 0;
        if (worst <= allowed) continue;
        printf("%s: step %d: %s is off by %.3g, which is %.3g of its largest change\n", t->name, step,
               item->path, worst, worst / scale);
        t->problems++;
    }
    return KT_OK;
}

static kt_status run_step(test *t, int step) {
    const float *states = t->states->data;
    const float *before = states + step * t->states->dims[1], *after = before + t->states->dims[1];
    kt_buffer in[3 * MAX_PORTS], out = {.dtype = KT_F32};
    float logs[32];
    KT_TRY(set_state(t, before));
    t->library.reset_metrics(t->library.context);
    for (uint32_t i = 0; i < t->port_count; i++) {
        const kt_buffer *all = &t->ports[i];
        int64_t bytes = all->capacity / all->dims[0];
        in[i] = *all;
        in[i].data = (char *)all->data + (step % all->dims[0]) * bytes;
        in[i].capacity = bytes;
        in[i].rank--;
        memmove(in[i].dims, in[i].dims + 1, 7 * sizeof in[i].dims[0]);
    }
    out.data = logs;
    out.capacity = sizeof logs;
    const char *entry = t->weighted ? "train_step_weighted" : "train_step";
    if (t->library.call(t->library.context, entry, in, &out))
        return fail(t, "%s", t->library.error(t->library.context));
    const float *expected = (const float *)t->logs->data + step * t->logs->dims[1];
    for (uint32_t i = 0; i < t->request.info.log_count; i++) {
        double ours = (double)logs[t->log_order[i]], theirs = (double)expected[i];
        if (fabs(ours - theirs) <= t->tolerance->log * fmax(fabs(theirs), 1e-2)) continue;
        printf("%s: step %d: %s is %.9g, and Keras's is %.9g\n", t->name, step,
               t->request.info.log_names[t->log_order[i]], ours, theirs);
        t->problems++;
    }
    return compare(t, step, before, after);
}

typedef struct all {
    const kt_arrays *arrays;
    const char *directory, *name;
    kt_diag *diag;
    uint32_t problems;
} all;

static kt_status run_model(kt_arena *arena, all *a) {
    test *t = KT_NEW(arena, test);
    *t = (test){.arena = arena, .diag = a->diag, .arrays = a->arrays, .name = a->name};
    t->states = find(t, "states");
    t->logs = find(t, "logs");
    if (!t->states || !t->logs) return fail(t, "%s", "the file lacks states or logs");
    const char *policy = find_text(t, "policy");
    for (size_t i = 0; i < sizeof tolerances / sizeof tolerances[0]; i++)
        if (strcmp(tolerances[i].policy, *policy ? policy : "float32") == 0) t->tolerance = &tolerances[i];
    if (!t->tolerance) return fail(t, "there is no tolerance for the policy %s", policy);
    find_ports(t);
    KT_TRY(compile(t, a->directory));
    KT_TRY(follow_all(t));
    KT_TRY(order_logs(t));
    for (int step = 0; step < t->logs->dims[0]; step++) KT_TRY(run_step(t, step));
    a->problems += t->problems;
    return KT_OK;
}

static bool is_listed(char **names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

int main(int argc, char **argv) {
    char error[KT_IO_ERROR];
    kt_arrays arrays;
    kt_diag diag = {0};
    uint32_t models = 0;
    if (argc < 2 || kt_arrays_read(argv[1], &arrays, error)) {
        printf("%s\n", argc < 2 ? "usage: steps FILE.npz [MODEL ...]" : error);
        return 1;
    }
    kt_arena *outer = kt_arena_create();
    all a = {.arrays = &arrays, .diag = &diag};
    if (kt_temporary_directory(outer, &a.directory, &diag) != KT_OK) return 1;
    for (size_t i = 0; i < arrays.count; i++) {
        const char *slash = strstr(arrays.at[i].name, "/config");
        if (!slash) continue;
        a.name = kt_arena_format(outer, "%.*s", (int)(slash - arrays.at[i].name), arrays.at[i].name);
        if (argc > 2 && !is_listed(argv + 2, argc - 2, a.name)) continue;
        kt_arena *arena = kt_arena_create();
        if (run_model(arena, &a) != KT_OK) a.problems++;
        models++;
        kt_arena_destroy(arena);
    }
    for (uint32_t i = 0; i < diag.count; i++)
        printf("%s: %s\n", diag.problems[i].where, diag.problems[i].text);
    printf("%u models, %u problems\n", models, a.problems);
    kt_diag_deinit(&diag);
    kt_arrays_deinit(&arrays);
    kt_arena_destroy(outer);
    return a.problems > 0 || models == 0;
}
