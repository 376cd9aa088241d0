/* The passes: graph to graph, one a file, in one table.
 *
 * Above each pass stands what it requires, keeps and breaks. The driver, `keratin opt` and `keratin passes`
 * read the table in passes/table.c; a pass that is not there does not exist. */
#ifndef KT_PASSES_PASSES_H
#define KT_PASSES_PASSES_H

#include "passes/choice.h"

/* The few facts about the machine that a graph pass may use; the whole description is codegen/target.h's. */
typedef struct kt_pass_target {
    int panel_columns; /* how many columns of a packed second operand a contraction kernel takes at once */
    int vector_columns; /* of these, in a vector; 0: panels of another width are of no use */
    bool blas;         /* products and convolutions of f32 and f64 are calls: never packed, kernels of their own */
} kt_pass_target;

typedef struct kt_symbol_binding {
    const char *name; /* a symbol */
    int64_t value;
} kt_symbol_binding;

/* What was observed of the first operand of a product, by the name that the pass quantize gives the product. */
typedef struct kt_observed {
    const char *name;
    double low, high;
} kt_observed;

/* For the pass quantize: to observe, as outputs of these names, to quantise the products whose ranges are known, or the
 * weights alone. */
#define KT_OBSERVED_LOW "lowest before "
#define KT_OBSERVED_HIGH "highest before "
typedef struct kt_quantization {
    bool observes, weights_only;
    const kt_observed *ranges;
    uint32_t count;
} kt_quantization;

/* What a step of training may need beside weights, slots and batch, and what is computed again for that. */
typedef struct kt_memory {
    int64_t limit;                  /* bytes; 0: there is none */
    const kt_symbol_binding *sizes; /* that it is meant for, of symbols that stay open */
    uint32_t size_count;
    kt_text told; /* for people: what is computed again, at what cost, and what that saves */
} kt_memory;

typedef struct kt_pass_options {
    kt_pass_target target;
    int level;                         /* -O: 0 keeps one kernel a node */
    const kt_symbol_binding *bindings; /* bind: symbols to fix */
    uint32_t binding_count;
    bool prepares; /* `prepare` will run where the program does, on weights in a file: it is fused too */
    const kt_quantization *quantization; /* NULL: nothing is quantised */
    bool bf16;                         /* products by weights round their operands to bfloat16 */
    kt_memory *memory;                 /* NULL: nobody asks */
    kt_tuning *tuning; /* what layouts are chosen by, and are noted in; NULL: the cost model alone */
    bool verify; /* after every pass */
    /* Called after each pass of kt_passes_run, for dumps and times; may be NULL. */
    void (*after)(void *context, const char *pass, const kt_graph *graph, double seconds, bool changed);
    void *after_context;
} kt_pass_options;

typedef kt_status kt_pass_fn(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);

typedef struct kt_pass {
    const char *name, *doc;
    kt_pass_fn *run;
    int level; /* the pipeline runs it from this -O level on; -1: only when named */
} kt_pass;

/* In the order of the pipeline; a pass may stand in it more than once. Ends with a NULL name. */
extern const kt_pass kt_passes[];
const kt_pass *kt_pass_find(const char *name);
static inline bool kt_pass_runs_at(const kt_pass *pass, int level) { return pass->level >= 0 && level >= pass->level; }

/* Runs the whole pipeline for options->level: after it every entry is a list of calls to kernels, views
 * (reshape) and nothing else; but for `prepare`, which is one of the entries if there are variables, and is
 * left to the evaluator unless options->prepares says otherwise. */
kt_status kt_passes_run(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) KT_MUST_USE;
/* The first of the names "simplify,fold" that is no pass, or NULL. */
const char *kt_passes_unknown(const char *names);
/* Runs passes by name. */
kt_status kt_passes_run_named(kt_graph *graph, const char *names, const kt_pass_options *options,
                              kt_diag *diag) KT_MUST_USE;

kt_status kt_pass_bind(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_gradient(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_inline(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_simplify(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_fold(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_cse(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_join_scans(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_dce(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_fold_scale(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_quantize(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_narrow(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_layout(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_hoist(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_split(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_samples(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_depth(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_recompute(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_rerun(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);
kt_status kt_pass_fuse(kt_graph *graph, const kt_pass_options *options, kt_diag *diag);

#endif
