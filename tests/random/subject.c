/* Running a graph in all ways: see subject.h. */
#include "random/subject.h"

#include "codegen/codegen.h"
#include "support/file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct check {
    kt_arena *arena;
    const subject *s;
    subject_way way;
    kt_diag *diag;
    kt_graph *graph;
    uint32_t entry;       /* at work */
    subject_entry *takes; /* what is called is right: it is to be expected from now on; or NULL */
    bool exactly;         /* what is called has to give the expected bits */
    uint32_t squeezed;
    const char *wrong;
} check;

static const char *sentence(const check *c, const char *what) {
    const char *text = c->diag->count ? c->diag->problems[0].text : "failed without a word";
    return kt_arena_format(c->arena, "%s: %s", what, text);
}

/* What the entry gives at this place: its outputs, then the next values of its variables. */
static const kt_tensor *wanted(const check *c, uint32_t index) {
    const subject_entry *entry = &c->s->entries[c->entry];
    return index < entry->output_count ? &entry->outputs[index] : &entry->nexts[index - entry->output_count];
}

static void compare(check *c, const char *how, uint32_t index, const kt_tensor *found, bool exactly) {
    const char *differs = random_difference(c->arena, wanted(c, index), found, exactly);
    if (differs && !c->wrong) c->wrong = kt_arena_format(c->arena, "%s, result %u: %s", how, index, differs);
}

/* Where variables stay what they are, the passes leave their results out. */
static void compare_results(check *c, const char *how, const kt_tensor *results, bool exactly) {
    const subject_entry *entry = &c->s->entries[c->entry];
    const kt_function *function = kt_graph_function(c->graph, kt_graph_find(c->graph, entry->name));
    kt_tensor nexts[RANDOM_MOST_PORTS] = {0};
    for (uint32_t i = 0; i < c->graph->variables.count; i++) {
        const kt_variable *variable = &c->graph->variables.at[i];
        for (uint32_t k = 0; k < entry->next_count; k++) {
            if (strcmp(variable->path, entry->paths[k]) != 0) continue;
            nexts[k] = entry->nexts[k];
            nexts[k].data = (void *)variable->data;
            for (uint32_t at = 0; at < function->results.count; at++)
                if (function->results.at[at].role == KT_ROLE_VARIABLE && function->results.at[at].index == i)
                    nexts[k] = results[at];
        }
    }
    for (uint32_t at = 0, output = 0; at < function->results.count; at++)
        if (function->results.at[at].role == KT_ROLE_OUTPUT) compare(c, how, output++, &results[at], exactly);
    for (uint32_t k = 0; k < entry->next_count; k++)
        compare(c, how, entry->output_count + k, &nexts[k], exactly);
}

static kt_status evaluate(check *c, const char *how, bool exactly) {
    for (uint32_t k = 0; k < c->s->count && !c->wrong; k++) {
        const subject_entry *entry = &c->s->entries[k];
        kt_tensor results[2 * RANDOM_MOST_PORTS];
        c->entry = k;
        KT_TRY(kt_eval(c->graph, kt_graph_find(c->graph, entry->name), c->s->sizes, entry->inputs,
                       entry->input_count, c->arena, results, c->diag));
        compare_results(c, how, results, exactly);
    }
    return KT_OK;
}

/* Remembers what was found at this place as what is wanted. */
static void take(check *c, uint32_t index, const kt_tensor *found) {
    subject_entry *entry = c->takes;
    kt_tensor *to =
        index < entry->output_count ? &entry->outputs[index] : &entry->nexts[index - entry->output_count];
    to->data = kt_arena_copy(c->arena, found->data, kt_tensor_bytes(found));
}

/* ---- the compiled library -------------------------------------------------------------------- */
static void close_library(void *handle) { dlclose(handle); }

static kt_buffer buffer_of(const kt_tensor *tensor) {
    kt_buffer buffer = {
        .dtype = tensor->dtype, .rank = tensor->rank, .capacity = (int64_t)kt_tensor_bytes(tensor)};
    memcpy(buffer.dims, tensor->dims, sizeof buffer.dims);
    return buffer;
}

/* Calls entry name, of which these results, from number first on, are wanted. Buffers are of their own and of
 * exactly their size, so that AddressSanitizer sees what leaves them. */
static void call_entry(check *c, int (*call)(void *, const char *, const kt_buffer *, kt_buffer *),
                       const char *(*error)(const void *), void *context, const char *name, uint32_t first,
                       uint32_t count) {
    const subject_entry *entry = &c->s->entries[c->entry];
    kt_buffer in[SUBJECT_MOST_INPUTS], out[RANDOM_MOST_PORTS];
    for (uint32_t i = 0; i < entry->input_count; i++) {
        in[i] = buffer_of(&entry->inputs[i]);
        in[i].data = malloc((size_t)in[i].capacity);
        if (in[i].capacity) memcpy(in[i].data, entry->inputs[i].data, (size_t)in[i].capacity);
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i] = buffer_of(wanted(c, first + i));
        out[i].data = malloc((size_t)out[i].capacity + 1);
        memset(out[i].data, 0x7b, (size_t)out[i].capacity + 1);
    }
    if (call(context, name, in, out)) c->wrong = kt_arena_format(c->arena, "called: %s", error(context));
    for (uint32_t i = 0; i < count; i++) {
        kt_tensor found = {.dtype = (kt_dtype)out[i].dtype, .rank = out[i].rank, .data = out[i].data};
        memcpy(found.dims, out[i].dims, sizeof found.dims);
        if (!c->wrong && !c->takes)
            compare(c, c->exactly ? "called within a limit" : "called", first + i, &found, c->exactly);
        if (!c->wrong && c->takes) take(c, first + i, &found);
        if (!c->wrong && ((const char *)out[i].data)[out[i].capacity] != 0x7b)
            c->wrong =
                kt_arena_format(c->arena, "called, result %u: something is written behind it", first + i);
        free(out[i].data);
    }
    for (uint32_t i = 0; i < entry->input_count; i++) free(in[i].data);
}

static kt_status run_library(check *c, const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return kt_diag_add(c->diag, KT_IO, NULL, "%s", dlerror());
    kt_arena_defer(c->arena, close_library, handle);
    void *(*create)(int) = (void *(*)(int))dlsym(handle, "random_create");
    int (*call)(void *, const char *, const kt_buffer *, kt_buffer *) =
        (int (*)(void *, const char *, const kt_buffer *, kt_buffer *))dlsym(handle, "random_call");
    const char *(*error)(const void *) = (const char *(*)(const void *))dlsym(handle, "random_error");
    void (*destroy)(void *) = (void (*)(void *))dlsym(handle, "random_destroy");
    void *context = create(c->way.level ? 2 : 1);
    if (!context) return kt_diag_add(c->diag, KT_IO, NULL, "no context");
    for (uint32_t k = 0; k < c->s->count && !c->wrong; k++) {
        const subject_entry *entry = &c->s->entries[c->entry = k];
        call_entry(c, call, error, context, entry->name, 0, entry->output_count);
        if (entry->after && !c->wrong)
            call_entry(c, call, error, context, entry->after, entry->output_count, entry->next_count);
    }
    destroy(context);
    return KT_OK;
}

static kt_status compile(check *c, int64_t limit, const char **out_path) {
    const char *directory;
    KT_TRY(kt_temporary_directory(c->arena, &directory, c->diag));
    kt_symbol_binding sizes[RANDOM_SYMBOLS];
    const uint32_t count = kt_dim_symbol_count(c->graph->dims);
    for (uint32_t i = 0; i < count; i++)
        sizes[i] = (kt_symbol_binding){kt_dim_symbol_name(c->graph->dims, i), c->s->sizes[i]};
    kt_memory memory = {.limit = limit, .sizes = sizes, .size_count = count};
    *out_path = kt_arena_format(c->arena, "%s/random.%s", directory, c->way.compiled ? "so" : "kir");
    const kt_compile_options options = {.emit = c->way.compiled ? KT_EMIT_SHARED : KT_EMIT_OPTIMIZED,
                                        .output = *out_path,
                                        .level = c->way.level,
                                        .bindings = sizes,
                                        .binding_count = c->way.bind ? count : 0,
                                        .memory = limit ? &memory : NULL,
                                        .verify = true};
    return kt_compile(c->graph, &options, c->diag);
}

static kt_status parse(check *c) {
    return kt_graph_parse(c->arena, c->s->text, strlen(c->s->text), &c->graph, c->diag);
}

/* ---- little memory --------------------------------------------------------------------------- */
/* Compiles the one entry of c->s, and what gives its variables, without all others. */
static kt_status compile_alone(check *c, int64_t limit, const char **out_path) {
    const subject_entry *entry = &c->s->entries[0];
    KT_TRY(parse(c));
    kt_graph *graph = c->graph;
    for (uint32_t i = 1; i < graph->functions.count; i++) {
        kt_function *function = &graph->functions.at[i];
        if (function->kind == KT_FUNC_ENTRY && strcmp(function->name, entry->name) != 0 &&
            strcmp(function->name, entry->after) != 0)
            function->kind = KT_FUNC_BODY; /* which nobody calls */
    }
    kt_graph_drop_unreachable(graph);
    return compile(c, limit, out_path);
}

/* The least limit that is kept, as the sentence says that refuses a lower one; 0: less does not help. */
static kt_status find_least(const check *c, int64_t *out_least) {
    kt_diag refused = {0};
    check tried = *c;
    const char *path;
    long long needed = 0, least = 0;
    tried.diag = &refused;
    kt_status status = compile_alone(&tried, 1, &path);
    const char *text = refused.count ? refused.problems[0].text : "", *at = strstr(text, " needs ");
    if (status != KT_OK && at &&
        sscanf(at, " needs %lld bytes, and no less than %lld where", &needed, &least) == 2)
        status = KT_OK;
    else if (status != KT_OK)
        status = kt_diag_add(c->diag, status, NULL, "%s", text);
    kt_diag_deinit(&refused);
    *out_least = least < needed ? least : 0;
    return status;
}

/* Runs an entry as it is and within the least memory. */
static kt_status squeeze(check *c) {
    subject_entry entry = c->s->entries[c->entry];
    subject alone = *c->s;
    alone.entries = &entry;
    alone.count = 1;
    check one = {.arena = c->arena, .s = &alone, .way = c->way, .diag = c->diag, .takes = &entry};
    const char *path;
    int64_t least;
    if (entry.next_count == 0) return KT_OK;
    KT_TRY(find_least(&one, &least));
    if (least == 0) return KT_OK;
    c->squeezed++;
    KT_TRY(compile_alone(&one, 0, &path));
    KT_TRY(run_library(&one, path));
    check within = {.arena = c->arena, .s = &alone, .way = c->way, .diag = c->diag, .exactly = true};
    KT_TRY(compile_alone(&within, least, &path));
    KT_TRY(run_library(&within, path));
    c->wrong = one.wrong ? one.wrong : within.wrong;
    return KT_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */
static kt_status run_check(void *context) {
    check *c = context;
    kt_text again = {.arena = c->arena};
    for (; c->way.limited && c->entry < c->s->count && !c->wrong; c->entry += !c->wrong) KT_TRY(squeeze(c));
    if (c->way.limited) return KT_OK;
    KT_TRY(parse(c));
    kt_graph_print(c->graph, NULL, &again);
    if (strcmp(kt_text_string(&again), c->s->text) != 0) c->wrong = "it prints otherwise once it is parsed";
    KT_TRY(evaluate(c, "evaluated", true));
    const char *path;
    KT_TRY(compile(c, 0, &path));
    if (!c->way.compiled) {
        uint64_t *offsets = KT_NEW_ARRAY(c->arena, uint64_t, c->graph->constants.count + 1), bytes;
        KT_TRY(kt_constants_prepare(c->graph, c->arena, offsets, &bytes, c->diag));
    }
    KT_TRY(evaluate(c, "optimised and evaluated", false));
    return c->way.compiled && !c->wrong ? run_library(c, path) : KT_OK;
}

const char *subject_check(kt_arena *arena, const subject *s, subject_way way, subject_finding *out_finding) {
    kt_diag diag = {0};
    check c = {.arena = arena, .s = s, .way = way, .diag = &diag};
    if (kt_guarded(run_check, &c, &diag) != KT_OK && !c.wrong) c.wrong = sentence(&c, "not compiled");
    kt_diag_deinit(&diag);
    *out_finding = (subject_finding){.entry = c.entry, .squeezed = c.squeezed};
    return c.wrong;
}

typedef struct verdict {
    subject_finding finding;
    bool done;
    char text[1000];
} verdict;

const char *subject_check_apart(const subject *s, subject_way way, subject_finding *out_finding) {
    static verdict *shared;
    if (!shared)
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) KT_BUG("no memory");
    memset(shared, 0, sizeof *shared);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        kt_arena *arena = kt_arena_create();
        const char *wrong = subject_check(arena, s, way, &shared->finding);
        if (wrong) (void)snprintf(shared->text, sizeof shared->text, "%s", wrong);
        shared->done = true;
        kt_arena_destroy(arena);
        exit(0);
    }
    int state = 0;
    while (child > 0 && waitpid(child, &state, 0) < 0) {}
    *out_finding = shared->finding;
    if (shared->done && (shared->text[0] || (WIFEXITED(state) && WEXITSTATUS(state) == 0)))
        return shared->text[0] ? shared->text : NULL;
    (void)snprintf(shared->text, sizeof shared->text, "the process ended with status %x", (unsigned)state);
    return shared->text;
}
