/* What a compilation shows of itself: dumps of every stage, printed graphs, times, pages. Private to codegen/. */
#ifndef KT_CODEGEN_INSPECT_H
#define KT_CODEGEN_INSPECT_H

#include "codegen/page.h"
#include "support/file.h"

typedef struct kt_inspection {
    const kt_compile_options *options;
    kt_arena *arena;
    kt_diag *diag;
    kt_status status; /* of what was written after a pass */
    uint32_t dumps;   /* written so far */
    kt_stages stages;
    const char *last_graph; /* the file of the last graph that was dumped, or NULL */
    const char *model; /* of the graph as it was read, if a page is wanted */
    const char *plan, *loops, *llvm, *assembly;
} kt_inspection;

/* Makes the directory of dumps. */
kt_status kt_inspect_begin(kt_inspection *out_inspection, const kt_compile_options *options, kt_arena *arena,
                           kt_diag *diag) KT_MUST_USE;
/* kt_pass_options.after; context is the inspection. What goes wrong is left in status. */
void kt_inspect_pass(void *inspection, const char *pass, const kt_graph *graph, double seconds, bool changed);
/* A part of the compilation that is no pass. */
void kt_inspect_stage(kt_inspection *inspection, const char *name, double seconds);
/* Is anything wanted that costs a text of the code? */
bool kt_inspect_wants_texts(const kt_inspection *inspection);
kt_status kt_inspect_plan(kt_inspection *inspection, const char *name, const kt_text *plan) KT_MUST_USE;
kt_status kt_inspect_module(kt_inspection *inspection, const char *name, kt_module *module) KT_MUST_USE;
/* Prints times, writes index.html and adds the report to files. source: all but what the inspection knows. */
kt_status kt_inspect_end(kt_inspection *inspection, kt_page_source *source, kt_files *files) KT_MUST_USE;

double kt_seconds_now(void);

#endif
