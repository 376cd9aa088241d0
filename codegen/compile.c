/* A whole compilation, in the order in which it happens: bind and passes, plan, prepare, kernels, code, link.
 */
#include "codegen/codegen.h"
#include "support/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
    int dump_count;
    KT_VECTOR(kt_plan) plans;
} job;

/* ---- names ----------------------------------------------------------------------------------------------
 */
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

/* ---- dumps ----------------------------------------------------------------------------------------------
 */
static kt_status dump(job *work, const char *stage, const char *ending, const kt_text *text) {
    const char *directory = work->options->dump_dir;
    if (!directory) return KT_OK;
    const char *path =
        kt_arena_format(work->arena, "%s/%03d.%s%s", directory, work->dump_count++, stage, ending);
    return kt_file_write(path, kt_text_string(text), text->length, work->diag);
}

typedef struct watcher {
    job *work;
    kt_status status; /* of the dumps */
} watcher;

static void after_pass(void *context, const char *pass, const kt_graph *graph, double seconds, bool changed) {
    watcher *watch = context;
    const kt_compile_options *options = watch->work->options;
    if (options->time_passes)
        fprintf(stderr, "%10.3f ms  %s%s\n", seconds * 1e3, pass, changed ? "" : " (nothing to do)");
    bool print =
        options->print_after && (!strcmp(options->print_after, "all") || !strcmp(options->print_after, pass));
    if (!print && !options->dump_dir) return;
    kt_text text = {.arena = watch->work->arena};
    kt_graph_print(graph, &(kt_print_options){.elide = true}, &text);
    if (print) fprintf(stderr, "// after %s\n%s\n", pass, kt_text_string(&text));
    if (watch->status == KT_OK) watch->status = dump(watch->work, pass, ".kir", &text);
}

/* ---- stages ---------------------------------------------------------------------------------------------
 */
static kt_status write_text(job *work, const kt_text *text) {
    return kt_file_write(work->options->output, kt_text_string(text), text->length, work->diag);
}

static kt_status run_passes(job *work, bool bind_only) {
    const kt_compile_options *options = work->options;
    watcher watch = {.work = work};
    kt_pass_options pass_options = {
        .target = kt_target_for_passes(&work->target),
        .level = options->level,
        .bindings = options->bindings,
        .binding_count = options->binding_count,
        .verify = options->verify,
        .after = after_pass,
        .after_context = &watch,
    };
    if (bind_only)
        KT_TRY(kt_passes_run_named(work->graph, "bind", &pass_options, work->diag));
    else
        KT_TRY(kt_passes_run(work->graph, &pass_options, work->diag));
    return watch.status;
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

static void print_plans(const job *work, kt_text *text) {
    for (uint32_t i = 0; i < work->plans.count; i++) kt_plan_print(work->graph, &work->plans.at[i], text);
}

static kt_status build_module(job *work, bool library, kt_program_source *source, kt_module **out_module) {
    uint64_t *offsets = KT_NEW_ARRAY(work->arena, uint64_t, work->graph->constants.count + 1);
    *source = (kt_program_source){.graph = work->graph,
                                  .plans = work->plans.at,
                                  .plan_count = work->plans.count,
                                  .constant_offsets = offsets};
    KT_TRY(
        kt_constants_prepare(work->graph, work->graph->arena, offsets, &source->constants_bytes, work->diag));
    source->describe = kt_describe_json(work->graph, work->plans.at, work->plans.count, work->name,
                                        &work->target, source->constants_bytes, work->arena);
    kt_module_options options = {
        .name = work->name, .library = library, .level = work->options->level, .sanitize = KT_SANITIZE};
    return kt_module_build(source, &work->target, &options, work->arena, out_module, work->diag);
}

static kt_status dump_module(job *work, kt_module *module) {
    if (!work->options->dump_dir) return KT_OK;
    kt_text loops = {.arena = work->arena}, llvm = {.arena = work->arena}, assembly = {.arena = work->arena};
    const void *bytes;
    size_t count;
    kt_module_print_loops(module, &loops);
    kt_module_print_llvm(module, &llvm);
    KT_TRY(kt_module_emit(module, KT_CODE_ASSEMBLY, work->arena, &bytes, &count, work->diag));
    kt_text_add_bytes(&assembly, bytes, count);
    KT_TRY(dump(work, work->name, ".loops", &loops));
    KT_TRY(dump(work, work->name, ".ll", &llvm));
    return dump(work, work->name, ".s", &assembly);
}

static kt_status link_output(job *work, kt_module *module, const kt_program_source *source) {
    const char *directory, *objects[2];
    const void *bytes;
    size_t count;
    uint32_t object_count = 1;
    KT_TRY(kt_temporary_directory(work->arena, &directory, work->diag));
    objects[0] = kt_arena_format(work->arena, "%s/code.o", directory);
    KT_TRY(kt_module_emit(module, KT_CODE_OBJECT, work->arena, &bytes, &count, work->diag));
    KT_TRY(kt_file_write(objects[0], bytes, count, work->diag));
    if (source->constants_bytes) {
        objects[1] = kt_arena_format(work->arena, "%s/constants.o", directory);
        KT_TRY(kt_elf_write_constants(objects[1], kt_constants_symbol(work->arena, work->name), work->graph,
                                      source->constant_offsets, source->constants_bytes, &work->target,
                                      work->diag));
        object_count = 2;
    }
    const char *output = work->options->output;
    KT_TRY(kt_link(work->options->emit, objects, object_count, work->name, directory, output, work->arena,
                   work->diag));
    if (work->options->emit == KT_EMIT_EXE) return KT_OK;
    kt_text header = {.arena = work->arena};
    kt_header_print(work->graph, work->plans.at, work->plans.count, work->name, &header);
    return kt_file_write(header_path(work->arena, output), kt_text_string(&header), header.length,
                         work->diag);
}

static kt_status prepare_dump_directory(job *work) {
    const char *directory = work->options->dump_dir;
    if (directory && mkdir(directory, 0777) && errno != EEXIST)
        return kt_diag_add(work->diag, KT_IO, NULL, "Cannot make the directory %s: %s.", directory,
                           strerror(errno));
    return KT_OK;
}

static bool runs_here(const kt_target *target) {
#if defined(__x86_64__)
    return !strncmp(target->triple, "x86_64", 6);
#elif defined(__aarch64__)
    return !strncmp(target->triple, "aarch64", 7);
#else
    return false;
#endif
}

static kt_status compile(void *context) {
    job *work = context;
    const kt_compile_options *options = work->options;
    kt_text text = {.arena = work->arena};
    work->name = program_name(work);
    KT_TRY(kt_target_describe(options->triple, options->cpu, options->features, work->arena, &work->target,
                              work->diag));
    bool linked = options->emit <= KT_EMIT_OBJECT;
    if (linked && !runs_here(&work->target))
        return kt_diag_add(
            work->diag, KT_UNSUPPORTED, NULL,
            "There is no runtime library for the target %s on this machine, so programs and libraries for "
            "it cannot be linked here; --emit=asm and --emit=llvm work.",
            work->target.triple);
    KT_TRY(prepare_dump_directory(work));
    KT_TRY(run_passes(work, options->emit == KT_EMIT_GRAPH));
    if (options->emit == KT_EMIT_GRAPH || options->emit == KT_EMIT_OPTIMIZED) {
        kt_graph_print(work->graph, &(kt_print_options){0}, &text);
        return write_text(work, &text);
    }
    KT_TRY(make_plans(work));
    if (options->dump_dir || options->emit == KT_EMIT_PLAN) {
        print_plans(work, &text);
        KT_TRY(dump(work, work->name, ".plan", &text));
        if (options->emit == KT_EMIT_PLAN) return write_text(work, &text);
    }
    if (options->emit == KT_EMIT_HEADER) {
        kt_header_print(work->graph, work->plans.at, work->plans.count, work->name, &text);
        return write_text(work, &text);
    }
    kt_program_source source;
    kt_module *module;
    KT_TRY(build_module(work, linked && options->emit != KT_EMIT_EXE, &source, &module));
    KT_TRY(dump_module(work, module));
    const void *bytes;
    size_t count;
    kt_text code = {.arena = work->arena};
    switch (options->emit) {
    case KT_EMIT_LOOPS: kt_module_print_loops(module, &code); return write_text(work, &code);
    case KT_EMIT_LLVM: kt_module_print_llvm(module, &code); return write_text(work, &code);
    case KT_EMIT_ASM:
        KT_TRY(kt_module_emit(module, KT_CODE_ASSEMBLY, work->arena, &bytes, &count, work->diag));
        return kt_file_write(options->output, bytes, count, work->diag);
    default: return link_output(work, module, &source);
    }
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
