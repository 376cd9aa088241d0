/* A whole compilation, in the order in which it happens: bind and passes, plan, prepare, kernels, code, link.
 * What it writes takes its place at the very end, when nothing can go wrong any more. */
#include "codegen/inspect.h"

#include <stdlib.h>
#include <string.h>

#ifndef KT_SANITIZE
#define KT_SANITIZE NULL
#endif

typedef struct job {
    kt_graph *graph;
    const kt_compile_options *options;
    kt_diag *diag;
    kt_arena *arena; /* for everything but the graph */
    const char *name;
    kt_target target;
    kt_inspection inspection;
    kt_files files;
    KT_VECTOR(kt_plan) plans;
    kt_debug debug;
    kt_memory memory;
} job;

/* ---- names ----------------------------------------------------------------------------------- */
/* OUT without directory and ending. */
static const char *base_name(kt_arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return kt_arena_format(arena, "%.*s", (int)(dot && dot != base ? (size_t)(dot - base) : strlen(base)),
                           base);
}

static const char *program_name(const job *work) {
    const kt_compile_options *options = work->options;
    if (options->name) return kt_identifier(work->arena, options->name);
    if (!options->output || !strcmp(options->output, "-"))
        return kt_identifier(work->arena, work->graph->name);
    const char *base = base_name(work->arena, options->output);
    bool library =
        options->emit == KT_EMIT_SHARED || options->emit == KT_EMIT_STATIC || options->emit == KT_EMIT_OBJECT;
    if (library && !strncmp(base, "lib", 3) && base[3]) base += 3;
    return kt_identifier(work->arena, base);
}

static const char *header_path(kt_arena *arena, const char *output) {
    const char *slash = strrchr(output, '/');
    const char *dot = strrchr(slash ? slash : output, '.');
    return kt_arena_format(arena, "%.*s.h", (int)(dot ? (size_t)(dot - output) : strlen(output)), output);
}

/* ---- stages ---------------------------------------------------------------------------------- */
static kt_status add_text(job *work, const char *path, const kt_text *text) {
    return kt_files_add(&work->files, path, kt_text_string(text), text->length, work->diag);
}

static kt_status run_passes(job *work, bool bind_only) {
    const kt_compile_options *options = work->options;
    kt_pass_options pass_options = {
        .target = kt_target_for_passes(&work->target),
        .level = options->level,
        .bindings = options->bindings,
        .binding_count = options->binding_count,
        .prepares = options->weights_file,
        .quantization = options->quantization,
        .bf16 = options->bf16,
        .memory = &work->memory,
        .tuning = work->target.tuning,
        .verify = options->verify,
        .after = kt_inspect_pass,
        .after_context = &work->inspection,
    };
    if (bind_only)
        KT_TRY(kt_passes_run_named(work->graph, "bind", &pass_options, work->diag));
    else
        KT_TRY(kt_passes_run(work->graph, &pass_options, work->diag));
    return work->inspection.status;
}

static kt_status make_plans(job *work) {
    kt_graph *graph = work->graph;
    for (kt_func entry = kt_graph_next(graph, KT_FUNC_ENTRY, 0); entry;
         entry = kt_graph_next(graph, KT_FUNC_ENTRY, entry)) {
        if (!strcmp(kt_graph_function(graph, entry)->name, "prepare")) continue;
        kt_plan plan = {0};
        KT_TRY(kt_plan_entry(graph, entry, work->arena, &plan, work->diag));
        KT_PUSH(work->arena, &work->plans, plan);
    }
    return KT_OK;
}

/* The plans, and how kernels will be computed, which is found by lowering them. */
static kt_status print_plans(const job *work, kt_text *text) {
    kt_tuning *tuning = work->target.tuning;
    kt_graph *graph = work->graph;
    for (uint32_t i = 0; i < work->plans.count; i++) kt_plan_print(graph, &work->plans.at[i], text);
    kt_text_add(text, kt_text_string(&work->memory.told));
    kt_text_add(text, "layouts:\n");
    uint32_t layouts = tuning->choices.count;
    for (uint32_t i = 0; i < layouts; i++) kt_choice_print(&tuning->choices.at[i], text);
    kt_text_add(text, "kernels:\n");
    for (kt_func func = kt_graph_next(graph, KT_FUNC_KERNEL, 0); func;
         func = kt_graph_next(graph, KT_FUNC_KERNEL, func)) {
        kt_loops loops;
        KT_TRY(kt_lower_kernel(graph, func, &work->target, work->arena, &loops, work->diag));
        if (loops.choice.form) kt_choice_print(&loops.choice, text);
    }
    /* They are noted again when code is made of them. */
    if (work->options->emit != KT_EMIT_PLAN) tuning->choices.count = layouts;
    return KT_OK;
}

/* Where debug information says that code comes from: the graph behind the last pass, which is among the
 * dumps, or is written as OUT.kir. */
static kt_status describe_lines(job *work) {
    kt_graph *graph = work->graph;
    uint32_t *node_lines = KT_NEW_ARRAY(work->arena, uint32_t, graph->nodes.count);
    uint32_t *function_lines = KT_NEW_ARRAY(work->arena, uint32_t, graph->functions.count);
    kt_print_options print = {.elide = true, .node_lines = node_lines, .function_lines = function_lines};
    kt_text text = {.arena = work->arena};
    kt_graph_print(graph, &print, &text);
    work->debug = (kt_debug){.directory = realpath(".", NULL), .node_lines = node_lines};
    if (work->debug.directory) kt_arena_defer(work->arena, free, (void *)work->debug.directory);
    if (!work->debug.directory) work->debug.directory = ".";
    work->debug.function_lines = function_lines;
    work->debug.file = work->inspection.last_graph;
    if (work->debug.file) return KT_OK;
    work->debug.file = kt_arena_format(work->arena, "%s.kir", work->options->output);
    return add_text(work, work->debug.file, &text);
}

/* What the program has to know to find its weights in a file. */
static void describe_weights(job *work, kt_program_source *source) {
    kt_weights *weights = KT_NEW(work->arena, kt_weights);
    *weights = kt_weights_lay_out(work->graph, work->arena);
    source->weights = weights;
    kt_emit emit = work->options->emit;
    /* These are linked into something whose name is not known. */
    if (emit == KT_EMIT_STATIC || emit == KT_EMIT_OBJECT) {
        const char *slash = strrchr(work->options->output, '/');
        source->weights_name =
            kt_arena_format(work->arena, "%s.weights", slash ? slash + 1 : work->options->output);
    }
}

/* And to make its constants of them. */
static kt_status describe_prepare(job *work, kt_func prepare, uint64_t *offsets, kt_program_source *source) {
    kt_graph *graph = work->graph;
    for (uint32_t i = 0; i < graph->variables.count; i++)
        if (source->variable_begins[i])
            return kt_diag_add(work->diag, KT_UNSUPPORTED, graph->variables.at[i].path,
                               "The program changes this variable, which must begin with zeros where weights "
                               "are in a file.");
    kt_constants_lay_out(graph, offsets, &source->constants_bytes);
    const kt_function *function = kt_graph_function(graph, prepare);
    bool complete = graph->constants.count == function->results.count;
    for (uint32_t i = 0; i < function->results.count; i++)
        complete = complete && function->results.at[i].index == i;
    if (!complete)
        return kt_diag_add(
            work->diag, KT_UNSUPPORTED, NULL,
            "Constants of this graph are not made of its variables in the entry \"prepare\", so its "
            "weights cannot lie in a file.");
    uint64_t *inputs = KT_NEW_ARRAY(work->arena, uint64_t, function->params.count + 1);
    for (uint32_t i = 0; i < function->params.count; i++)
        inputs[i] = source->weights->offsets[function->params.at[i].index];
    source->prepare_offsets = inputs;
    kt_prepare_offer(graph, prepare);
    kt_plan *plan = KT_NEW(work->arena, kt_plan);
    source->prepare = plan;
    return kt_plan_entry(graph, prepare, work->arena, plan, work->diag);
}

static kt_status build_module(job *work, bool library, kt_program_source *source, kt_module **out_module) {
    /* Before variables and constants change: the text must be the one that was dumped. */
    if (work->options->debug) KT_TRY(describe_lines(work));
    *source = (kt_program_source){.graph = work->graph,
                                  .plans = work->plans.at,
                                  .plan_count = work->plans.count,
                                  .training = work->options->training};
    if (work->options->weights_file) describe_weights(work, source);
    const bool *kept = kt_variables_kept(work->graph, work->plans.at, work->plans.count, work->arena);
    source->variable_begins = kt_variables_begin(work->graph, kept, source->weights, work->arena);
    uint64_t *offsets = KT_NEW_ARRAY(work->arena, uint64_t, work->graph->constants.count + 1);
    source->constant_offsets = offsets;
    double start = kt_seconds_now();
    kt_func prepare;
    KT_TRY(kt_prepare_find(work->graph, &prepare, work->diag));
    if (source->weights && prepare && kt_graph_function(work->graph, prepare)->params.count)
        KT_TRY(describe_prepare(work, prepare, offsets, source));
    else
        KT_TRY(kt_constants_prepare(work->graph, work->graph->arena, offsets, &source->constants_bytes,
                                    work->diag));
    kt_inspect_stage(&work->inspection, "prepare", kt_seconds_now() - start);
    source->describe = kt_describe_json(work->graph, work->plans.at, work->plans.count, work->name,
                                        &work->target, source->constants_bytes, work->arena);
    kt_module_options options = {.name = work->name,
                                 .library = library,
                                 .loaded = work->options->loaded,
                                 .level = work->options->level,
                                 .verify = work->options->verify,
                                 .debug = work->options->debug ? &work->debug : NULL,
                                 .sanitize = work->target.at_home && !work->target.musl ? KT_SANITIZE : NULL};
    KT_TRY(kt_module_build(source, &work->target, &options, work->arena, out_module, work->diag));
    double lowering, optimising;
    kt_module_times(*out_module, &lowering, &optimising);
    kt_inspect_stage(&work->inspection, "lower", lowering);
    kt_inspect_stage(&work->inspection, "llvm", optimising);
    return KT_OK;
}

static kt_status link_output(job *work, kt_module *module, const kt_program_source *source) {
    const char *directory, *objects[2];
    const void *bytes;
    size_t count;
    uint32_t object_count = 1;
    KT_TRY(kt_temporary_directory(work->arena, &directory, work->diag));
    objects[0] = kt_arena_format(work->arena, "%s/code.o", directory);
    double start = kt_seconds_now();
    KT_TRY(kt_module_emit(module, KT_CODE_OBJECT, work->arena, &bytes, &count, work->diag));
    double emitted = kt_seconds_now();
    kt_inspect_stage(&work->inspection, "machine code", emitted - start);
    KT_TRY(kt_file_write(objects[0], bytes, count, work->diag));
    if (source->constants_bytes && !source->prepare) {
        objects[1] = kt_arena_format(work->arena, "%s/constants.o", directory);
        KT_TRY(kt_elf_write_constants(objects[1], kt_constants_symbol(work->arena, work->name), work->graph,
                                      source->constant_offsets, source->constants_bytes, &work->target,
                                      work->diag));
        object_count = 2;
    }
    const char *output = work->options->output, *beside;
    KT_TRY(kt_files_reserve(&work->files, output, &beside, work->diag));
    KT_TRY(kt_link(work->options->emit, &work->target, work->options->debug, work->options->loaded, objects,
                   object_count, work->name, directory, beside, work->arena, work->diag));
    kt_inspect_stage(&work->inspection, "link", kt_seconds_now() - emitted);
    if (source->weights) {
        KT_TRY(kt_weights_pack(work->graph, work->arena, &bytes, &count, work->diag));
        KT_TRY(kt_files_add(&work->files, kt_arena_format(work->arena, "%s.weights", output), bytes, count,
                            work->diag));
    }
    if (work->options->emit == KT_EMIT_EXE || work->options->loaded) return KT_OK;
    kt_text header = {.arena = work->arena};
    kt_header_print(work->graph, work->plans.at, work->plans.count, work->name, work->options->weights_file,
                    work->options->training != NULL, work->target.trains, &header);
    return add_text(work, header_path(work->arena, output), &header);
}

static bool is_graph(kt_emit form) { return form == KT_EMIT_GRAPH || form == KT_EMIT_OPTIMIZED; }

/* Runs the stages that the wanted form needs, and adds it to the files, unless it is the graph. page: what
 * becomes known on the way. */
static kt_status make_form(job *work, kt_page_source *page) {
    const kt_compile_options *options = work->options;
    kt_text text = {.arena = work->arena};
    KT_TRY(run_passes(work, options->emit == KT_EMIT_GRAPH));
    if (is_graph(options->emit)) return KT_OK;
    double start = kt_seconds_now();
    KT_TRY(make_plans(work));
    kt_inspect_stage(&work->inspection, "plan", kt_seconds_now() - start);
    if (options->dump_dir || options->emit == KT_EMIT_PLAN) {
        KT_TRY(print_plans(work, &text));
        KT_TRY(kt_inspect_plan(&work->inspection, work->name, &text));
        if (options->emit == KT_EMIT_PLAN) return add_text(work, options->output, &text);
    }
    if (options->emit == KT_EMIT_HEADER) {
        kt_header_print(work->graph, work->plans.at, work->plans.count, work->name, options->weights_file,
                        options->training != NULL, work->target.trains, &text);
        return add_text(work, options->output, &text);
    }
    kt_program_source source;
    kt_module *module;
    bool library = options->emit != KT_EMIT_EXE && options->emit <= KT_EMIT_OBJECT && !options->loaded;
    KT_TRY(build_module(work, library, &source, &module));
    KT_TRY(kt_inspect_module(&work->inspection, work->name, module));
    page->module = module;
    page->constants_bytes = source.constants_bytes;
    const void *bytes;
    size_t count;
    kt_text code = {.arena = work->arena};
    switch (options->emit) {
    case KT_EMIT_LOOPS: kt_module_print_loops(module, &code); return add_text(work, options->output, &code);
    case KT_EMIT_LLVM: kt_module_print_llvm(module, &code); return add_text(work, options->output, &code);
    case KT_EMIT_ASM:
        KT_TRY(kt_module_emit(module, KT_CODE_ASSEMBLY, work->arena, &bytes, &count, work->diag));
        return kt_files_add(&work->files, options->output, bytes, count, work->diag);
    default: return link_output(work, module, &source);
    }
}

static kt_status compile(void *context) {
    job *work = context;
    const kt_compile_options *options = work->options;
    work->name = program_name(work);
    KT_TRY(kt_target_describe(options->triple, options->cpu, options->features, work->arena, &work->target,
                              work->diag));
    work->target.tuning = options->tuning;
    if (!work->target.tuning) {
        work->target.tuning = KT_NEW(work->arena, kt_tuning);
        work->target.tuning->arena = work->arena;
    }
    if (options->memory) work->memory = *options->memory;
    work->memory.told.arena = work->arena;
    work->target.blas = options->blas;
    work->target.musl = options->musl;
    /* A library for another machine trains, but does not save; a program is refused there (kt_link_check). */
    work->target.trains = options->training && options->training->train &&
                          (work->target.at_home || options->emit == KT_EMIT_EXE);
    work->target.trains = work->target.trains && !options->loaded;
    if (options->emit <= KT_EMIT_OBJECT && !options->loaded)
        KT_TRY(kt_link_check(&work->target, work->arena, work->diag));
    KT_TRY(kt_inspect_begin(&work->inspection, options, work->arena, work->diag));
    kt_page_source page = {.name = work->name, .target = &work->target, .graph = work->graph};
    work->files.arena = work->arena;
    KT_TRY(make_form(work, &page));
    page.plans = work->plans.at;
    page.plan_count = work->plans.count;
    if (work->memory.told.length) page.again = kt_text_string(&work->memory.told);
    KT_TRY(kt_inspect_end(&work->inspection, &page, &work->files));
    if (is_graph(options->emit))
        KT_TRY(kt_graph_write(work->graph, options->output, work->arena, work->diag));
    return kt_files_commit(&work->files, work->diag);
}

/* The scratch arena is made inside a guard of its own, so that it goes whatever happens. */
static kt_status create_arena(void *context) {
    ((job *)context)->arena = kt_arena_create();
    return KT_OK;
}

kt_status kt_compile(kt_graph *graph, const kt_compile_options *options, kt_diag *diag) {
    job work = {.graph = graph, .options = options, .diag = diag};
    KT_TRY(kt_guarded(create_arena, &work, diag));
    kt_status status = kt_guarded(compile, &work, diag);
    kt_arena_destroy(work.arena);
    return status;
}
