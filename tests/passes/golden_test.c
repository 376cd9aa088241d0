/* Golden tests of passes: every .kir file here is a graph, what to run on it, and the exact text that comes
 * out.
 *
 *   // passes: simplify,fold        or `pipeline`: all of them
 *   // level: 0                     -O [2]
 *   // panel: 8                     columns of packed weights [4]
 *   // vector: 16                   columns of a vector, or 0: panels are as they are given [0]
 *   // bind: batch=4 height=28
 *   // precision: bf16              of products by weights [f32]
 *   // quantize: conv=-1:3 dense=0:6   the ranges of products, `observe` or `weights`
 *   // memory: 4096                 what a step that trains may need, with a batch of 32
 *   // plan: predict                expect the memory plan of an entry, instead of the graph
 *   // evaluate: predict            of drawn inputs and weights and a batch of 2 it gives the same afterwards
 *   graph "…" …
 *   // ====
 *   the graph afterwards, or the problems, one "error: …" a line
 *
 * The verifier runs after every pass, and what comes out must parse and print to the same text.
 * With --update-golden the program writes what comes out into the files; without, a difference fails. */
#include "kt_cmocka.h"

#include "passes/passes.h"
#include "passes/plan.h"
#include "random/generator.h"

#include <dirent.h>

enum { MOST_PORTS = 8 };

static const char mark[] = "\n// ====\n";
static bool update;

static char *read_file(kt_arena *arena, const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    if (!file || fseek(file, 0, SEEK_END) != 0) abort();
    long size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        text = kt_arena_alloc(arena, (size_t)size + 1);
        if (fread(text, 1, (size_t)size, file) != (size_t)size) text = NULL;
    }
    fclose(file);
    assert_non_null(text);
    return text;
}

static void write_file(const char *path, const char *head, size_t head_length, const char *body) {
    FILE *file = fopen(path, "wb");
    if (!file) abort();
    fwrite(head, 1, head_length, file);
    fputs(mark, file);
    fputs(body, file);
    assert_int_equal(fclose(file), 0);
}

/* What stands behind "// key: " in a header line, or fallback. */
static const char *header(kt_arena *arena, const char *text, const char *key, const char *fallback) {
    const char *line = strstr(text, kt_arena_format(arena, "// %s: ", key));
    if (!line) return fallback;
    line += strlen(key) + 5;
    return kt_arena_format(arena, "%.*s", (int)strcspn(line, "\n"), line);
}

static void read_bindings(kt_arena *arena, const char *text, kt_pass_options *options) {
    kt_symbol_binding *bindings = KT_NEW_ARRAY(arena, kt_symbol_binding, 8);
    char *at = kt_arena_string(arena, header(arena, text, "bind", "")), *rest = NULL;
    for (char *word = strtok_r(at, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = 0;
        bindings[options->binding_count++] = (kt_symbol_binding){word, strtoll(equals + 1, NULL, 10)};
    }
    options->bindings = bindings;
}

static void read_quantization(kt_arena *arena, const char *text, kt_pass_options *options) {
    char *at = kt_arena_string(arena, header(arena, text, "quantize", "")), *rest = NULL;
    kt_quantization *quantization = KT_NEW(arena, kt_quantization);
    kt_observed *ranges = KT_NEW_ARRAY(arena, kt_observed, 8);
    if (!*at) return;
    quantization->observes = strcmp(at, "observe") == 0;
    quantization->ranges = ranges;
    options->quantization = quantization;
    quantization->weights_only = strcmp(at, "weights") == 0;
    if (quantization->observes || quantization->weights_only) return;
    for (char *word = strtok_r(at, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '='), *end = NULL;
        assert_non_null(equals);
        *equals = 0;
        double low = strtod(equals + 1, &end);
        assert_int_equal(*end, ':');
        ranges[quantization->count++] = (kt_observed){word, low, strtod(end + 1, NULL)};
    }
}

static void read_memory(kt_arena *arena, const char *text, kt_pass_options *options) {
    static const kt_symbol_binding batch = {"batch", 32};
    const char *limit = header(arena, text, "memory", NULL);
    if (!limit) return;
    options->memory = KT_NEW(arena, kt_memory);
    *options->memory = (kt_memory){
        .limit = strtoll(limit, NULL, 10), .sizes = &batch, .size_count = 1, .told = {.arena = arena}};
}

static void assert_round_trip(kt_arena *arena, const char *text) {
    kt_graph *graph = NULL;
    kt_diag diag = {0};
    kt_status status = kt_graph_parse(arena, text, strlen(text), &graph, &diag);
    for (uint32_t i = 0; i < diag.count; i++)
        print_error("%s: %s\n", diag.problems[i].where, diag.problems[i].text);
    assert_int_equal(status, KT_OK);
    kt_text again = {.arena = arena};
    kt_graph_print(graph, &(kt_print_options){false}, &again);
    assert_string_equal(kt_text_string(&again), text);
    kt_diag_deinit(&diag);
}

/* Numbers from -1 to 1. */
static float *draw(kt_arena *arena, uint64_t *state, size_t count) {
    float *numbers = KT_NEW_ARRAY(arena, float, count);
    for (size_t i = 0; i < count; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        numbers[i] = (float)(int32_t)(*state >> 32) * 0x1p-31F;
    }
    return numbers;
}

/* Evaluates an entry of float32 inputs and variables that are drawn anew, the same ones each time. */
static kt_status evaluate(kt_arena *arena, kt_graph *graph, const char *entry, kt_tensor *out_results,
                          kt_diag *diag) {
    static const int64_t sizes[] = {2};
    uint64_t state = 1;
    kt_func func = kt_graph_find(graph, entry);
    const kt_function *function = kt_graph_function(graph, func);
    kt_tensor inputs[MOST_PORTS];
    uint32_t count = 0;
    assert_true(function->params.count <= MOST_PORTS && function->results.count <= MOST_PORTS);
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_type *type = kt_graph_type(graph, function->params.at[i].value);
        kt_tensor tensor = {.dtype = type->dtype, .rank = type->rank};
        for (int axis = 0; axis < type->rank; axis++)
            tensor.dims[axis] = kt_dim_eval(graph->dims, type->dims[axis], sizes);
        tensor.data = draw(arena, &state, kt_tensor_elements(&tensor));
        if (function->params.at[i].role == KT_ROLE_VARIABLE)
            graph->variables.at[function->params.at[i].index].data = tensor.data;
        else
            inputs[count++] = tensor;
    }
    return kt_eval(graph, func, sizes, inputs, count, arena, out_results, diag);
}

static kt_status run(kt_arena *arena, const char *input, const char *text, kt_text *out, kt_diag *diag) {
    kt_graph *graph = NULL;
    kt_pass_options options = {.verify = true};
    options.level = atoi(header(arena, text, "level", "2"));
    options.target.panel_columns = atoi(header(arena, text, "panel", "4"));
    options.target.vector_columns = atoi(header(arena, text, "vector", "0"));
    options.bf16 = strcmp(header(arena, text, "precision", "f32"), "bf16") == 0;
    read_bindings(arena, text, &options);
    read_quantization(arena, text, &options);
    read_memory(arena, text, &options);
    const char *passes = header(arena, text, "passes", "pipeline"), *plan = header(arena, text, "plan", NULL);
    const char *entry = header(arena, text, "evaluate", NULL);
    kt_tensor before[MOST_PORTS], after[MOST_PORTS];
    KT_TRY(kt_graph_parse(arena, input, strlen(input), &graph, diag));
    KT_TRY(kt_graph_verify(graph, diag));
    if (entry) KT_TRY(evaluate(arena, graph, entry, before, diag));
    KT_TRY(kt_graph_parse(arena, input, strlen(input), &graph, diag));
    if (strcmp(passes, "pipeline") == 0)
        KT_TRY(kt_passes_run(graph, &options, diag));
    else
        KT_TRY(kt_passes_run_named(graph, passes, &options, diag));
    if (plan) {
        kt_plan made;
        KT_TRY(kt_plan_entry(graph, kt_graph_find(graph, plan), arena, &made, diag));
        kt_plan_print(graph, &made, out);
        if (options.memory) kt_text_add(out, kt_text_string(&options.memory->told));
    } else {
        kt_graph_print(graph, &(kt_print_options){false}, out);
        assert_round_trip(arena, kt_text_string(out));
    }
    if (!entry) return KT_OK;
    KT_TRY(evaluate(arena, graph, entry, after, diag));
    const kt_function *function = kt_graph_function(graph, kt_graph_find(graph, entry));
    for (uint32_t i = 0; i < function->results.count; i++) {
        const char *differs = random_difference(arena, &before[i], &after[i], false);
        if (differs) fail_msg("result %u: %s", i, differs);
    }
    return KT_OK;
}

static void run_file(void **state) {
    const char *path = *state;
    kt_arena *arena = kt_arena_create();
    char *text = read_file(arena, path), *end = strstr(text, mark);
    size_t length = end ? (size_t)(end - text) : strlen(text);
    const char *input = kt_arena_format(arena, "%.*s\n", (int)length, text);
    kt_text out = {.arena = arena};
    kt_diag diag = {0};
    if (run(arena, input, input, &out, &diag) != KT_OK)
        for (uint32_t i = 0; i < diag.count; i++)
            kt_text_format(&out, "error: %s%s%s\n", diag.problems[i].where ? diag.problems[i].where : "",
                           diag.problems[i].where ? ": " : "", diag.problems[i].text);
    kt_diag_deinit(&diag);
    if (update)
        write_file(path, text, length, kt_text_string(&out));
    else
        assert_string_equal(end ? end + strlen(mark) : "", kt_text_string(&out));
    kt_arena_destroy(arena);
}

static int is_graph(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".kir") == 0;
}

int main(int count, char **arguments) {
    enum { MOST = 256 };
    static struct CMUnitTest tests[MOST];
    static char paths[MOST][512];
    struct dirent **entries = NULL;
    update = count > 1 && strcmp(arguments[1], "--update-golden") == 0;
    int found = scandir(KT_TEST_SOURCE "/passes", &entries, is_graph, alphasort);
    if (found <= 0 || found > MOST) return 1;
    for (int i = 0; i < found; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/passes/%s", KT_TEST_SOURCE, entries[i]->d_name);
        tests[i] = (struct CMUnitTest){strrchr(paths[i], '/') + 1, run_file, NULL, NULL, paths[i]};
        free(entries[i]);
    }
    free(entries);
    return _cmocka_run_group_tests("passes/golden", tests, (size_t)found, NULL, NULL);
}
