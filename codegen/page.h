/* A page over a compilation: one HTML file that needs no other and no network (--dump-dir's index.html, --report).
 *
 * The page is a template, codegen/page.html, which the build puts into the compiler, with the facts as JSON in it; its
 * script draws them. The facts are gathered while the compilation runs. */
#ifndef KT_CODEGEN_PAGE_H
#define KT_CODEGEN_PAGE_H

#include "codegen/codegen.h"

/* A pass, or a part of making code. */
typedef struct kt_stage {
    const char *name;
    double seconds;
    bool is_pass, changed;
    const char *text; /* the graph behind it; NULL: not kept */
} kt_stage;
typedef KT_VECTOR(kt_stage) kt_stages;

/* The layers of a graph as it was read, and which takes what of which, as members of a JSON object. */
void kt_page_print_model(const kt_graph *graph, kt_text *out_json);

typedef struct kt_page_source {
    const char *name;
    const kt_target *target;
    int level;
    const char *note;  /* of kt_compile_options */
    const char *model; /* of kt_page_print_model */
    const kt_stages *stages;
    const kt_graph *graph; /* at the end */
    const kt_plan *plans;
    uint32_t plan_count;
    const kt_module *module; /* or NULL: no code was made */
    uint64_t constants_bytes;
    const char *again; /* what is computed again in training, and what that saves; or NULL */
    const char *plan, *loops, *llvm, *assembly; /* texts, or NULL */
} kt_page_source;
/* with_texts: the graphs and the code too. */
void kt_page_print(const kt_page_source *source, bool with_texts, kt_text *out_html);

/* page.html; made by the build. */
extern const char kt_page_template[];

#endif
