/* Dumps are numbered in the order in which they are written, so that a directory lists as the compilation
 * went. */
#include "codegen/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

double kt_seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

kt_status kt_inspect_begin(kt_inspection *out_inspection, const kt_compile_options *options, kt_arena *arena,
                           kt_diag *diag) {
    *out_inspection = (kt_inspection){.options = options, .arena = arena, .diag = diag};
    const char *directory = options->dump_dir;
    if (directory && mkdir(directory, 0777) && errno != EEXIST)
        return kt_diag_add(diag, KT_IO, NULL, "Cannot make the directory %s: %s.", directory,
                           strerror(errno));
    return KT_OK;
}

static kt_status dump(kt_inspection *inspection, const char *stage, const char *ending, const kt_text *text) {
    const char *directory = inspection->options->dump_dir;
    if (!directory) return KT_OK;
    const char *path =
        kt_arena_format(inspection->arena, "%s/%03u.%s%s", directory, inspection->dumps++, stage, ending);
    if (!strcmp(ending, ".kir")) inspection->last_graph = path;
    return kt_file_write(path, kt_text_string(text), text->length, inspection->diag);
}

static void print_model(kt_inspection *inspection, const kt_graph *graph) {
    if (inspection->model || !(inspection->options->dump_dir || inspection->options->report)) return;
    kt_text model = {.arena = inspection->arena};
    kt_page_print_model(graph, &model);
    inspection->model = kt_text_string(&model);
}

void kt_inspect_pass(void *context, const char *pass, const kt_graph *graph, double seconds, bool changed) {
    kt_inspection *inspection = context;
    const kt_compile_options *options = inspection->options;
    kt_stage stage = {.name = pass, .seconds = seconds, .is_pass = true, .changed = changed};
    bool print =
        options->print_after && (!strcmp(options->print_after, "all") || !strcmp(options->print_after, pass));
    print_model(inspection, graph);
    if (print || options->dump_dir) {
        kt_text text = {.arena = inspection->arena};
        kt_graph_print(graph, &(kt_print_options){.elide = true}, &text);
        if (print) fprintf(stderr, "// after %s\n%s\n", pass, kt_text_string(&text));
        if (inspection->status == KT_OK) inspection->status = dump(inspection, pass, ".kir", &text);
        stage.text = kt_text_string(&text);
    }
    KT_PUSH(inspection->arena, &inspection->stages, stage);
}

void kt_inspect_stage(kt_inspection *inspection, const char *name, double seconds) {
    KT_PUSH(inspection->arena, &inspection->stages,
            ((kt_stage){.name = name, .seconds = seconds, .changed = true}));
}

bool kt_inspect_wants_texts(const kt_inspection *inspection) { return inspection->options->dump_dir; }

kt_status kt_inspect_plan(kt_inspection *inspection, const char *name, const kt_text *plan) {
    inspection->plan = kt_text_string(plan);
    return dump(inspection, name, ".plan", plan);
}

kt_status kt_inspect_module(kt_inspection *inspection, const char *name, kt_module *module) {
    if (!kt_inspect_wants_texts(inspection)) return KT_OK;
    kt_arena *arena = inspection->arena;
    kt_text loops = {.arena = arena}, llvm = {.arena = arena}, assembly = {.arena = arena};
    const void *bytes;
    size_t count;
    kt_module_print_loops(module, &loops);
    kt_module_print_llvm(module, &llvm);
    KT_TRY(kt_module_emit(module, KT_CODE_ASSEMBLY, arena, &bytes, &count, inspection->diag));
    kt_text_add_bytes(&assembly, bytes, count);
    inspection->loops = kt_text_string(&loops);
    inspection->llvm = kt_text_string(&llvm);
    inspection->assembly = kt_text_string(&assembly);
    KT_TRY(dump(inspection, name, ".loops", &loops));
    KT_TRY(dump(inspection, name, ".ll", &llvm));
    return dump(inspection, name, ".s", &assembly);
}

/* ---- the end --------------------------------------------------------------------------------- */
static void print_times(const kt_inspection *inspection) {
    double total = 0, passes = 0;
    for (uint32_t i = 0; i < inspection->stages.count; i++) {
        total += inspection->stages.at[i].seconds;
        if (inspection->stages.at[i].is_pass) passes += inspection->stages.at[i].seconds;
    }
    fprintf(stderr, "%10s  %6s\n", "time", "share");
    for (uint32_t i = 0; i < inspection->stages.count; i++) {
        const kt_stage *stage = &inspection->stages.at[i];
        fprintf(stderr, "%10.3f ms  %5.1f %%  %s%s\n", stage->seconds * 1e3,
                total > 0 ? 100 * stage->seconds / total : 0, stage->name,
                stage->changed ? "" : " (nothing to do)");
    }
    fprintf(stderr, "%10.3f ms  %5.1f %%  all passes\n", passes * 1e3, total > 0 ? 100 * passes / total : 0);
    fprintf(stderr, "%10.3f ms  100.0 %%  total\n", total * 1e3);
}

static void print_page(const kt_inspection *inspection, const kt_page_source *source, bool with_texts,
                       kt_text *out_html) {
    *out_html = (kt_text){.arena = inspection->arena};
    kt_page_print(source, with_texts, out_html);
}

kt_status kt_inspect_end(kt_inspection *inspection, kt_page_source *source, kt_files *files) {
    const kt_compile_options *options = inspection->options;
    if (options->time_passes) print_times(inspection);
    source->level = options->level;
    source->note = options->note;
    source->model = inspection->model;
    source->stages = &inspection->stages;
    source->plan = inspection->plan;
    source->loops = inspection->loops;
    source->llvm = inspection->llvm;
    source->assembly = inspection->assembly;
    kt_text html;
    if (options->dump_dir) {
        print_page(inspection, source, true, &html);
        KT_TRY(kt_file_write(kt_arena_format(inspection->arena, "%s/index.html", options->dump_dir),
                             kt_text_string(&html), html.length, inspection->diag));
    }
    if (!options->report) return KT_OK;
    print_page(inspection, source, false, &html);
    return kt_files_add(files, options->report, kt_text_string(&html), html.length, inspection->diag);
}
