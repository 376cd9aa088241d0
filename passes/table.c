/* The pipeline, as a table that reads from top to bottom, and what runs it. */
#include "passes/passes_impl.h"

#include <string.h>
#include <time.h>

// clang-format off
const kt_pass kt_passes[] = {
    {"bind",       "give symbols their values (--batch, --shape)",                                kt_pass_bind,       0},
    {"inline",     "replace calls of composites by their bodies",                                 kt_pass_inline,     0},
    {"simplify",   "rewrite operations into fewer or cheaper ones, by a table of rules",          kt_pass_simplify,   1},
    {"fold",       "compute what constants alone determine",                                      kt_pass_fold,       1},
    {"cse",        "compute equal things once",                                                   kt_pass_cse,        1},
    {"join_scans", "run loops that take the same turns as one",                                    kt_pass_join_scans, 1},
    {"dce",        "drop what no result needs",                                                   kt_pass_dce,        0},
    {"fold_scale", "multiply scales of channels into the weights before them (batch norm)",       kt_pass_fold_scale, 1},
    {"simplify",   "",                                                                            kt_pass_simplify,   1},
    {"fold",       "",                                                                            kt_pass_fold,       1},
    {"cse",        "",                                                                            kt_pass_cse,        1},
    {"dce",        "",                                                                            kt_pass_dce,        1},
    {"quantize",   "multiply bytes instead of floats where ranges were observed (--quantize)",     kt_pass_quantize,   0},
    {"narrow",     "round operands of products by weights to bfloat16, sum in float32 (--precision=bf16)", kt_pass_narrow, 0},
    {"layout",     "bring contractions and convolutions, and their weights, into the form kernels want", kt_pass_layout, 0},
    {"simplify",   "",                                                                            kt_pass_simplify,   1},
    {"fold",       "",                                                                            kt_pass_fold,       1},
    {"cse",        "",                                                                            kt_pass_cse,        1},
    {"hoist",      "move what is the same in every turn out of loops",                            kt_pass_hoist,      0},
    {"split",      "move what depends on variables alone into the entry `prepare`",               kt_pass_split,      0},
    {"samples",    "take the samples of a batch one by one through layers of large images",          kt_pass_samples,    1},
    {"depth",      "cut the depth of products and reductions that have nothing else for threads to share", kt_pass_depth,      1},
    {"recompute",  "compute what is cheap again where it would be kept for long",                  kt_pass_recompute,  1},
    {"fuse",       "outline operations into kernels; at -O0 one each",                            kt_pass_fuse,       0},
    {"rerun",      "run kernels of a step that trains again, so that it needs less memory (--memory-limit)", kt_pass_rerun, 0},
    {"gradient",   "add NAME_gradient to entries that give a scalar: its derivatives by all inputs and variables", kt_pass_gradient, -1},
    {NULL},
};
// clang-format on

const kt_pass *kt_pass_find(const char *name) {
    for (const kt_pass *pass = kt_passes; pass->name; pass++)
        if (strcmp(pass->name, name) == 0) return pass;
    return NULL;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A hash of everything that passes may change. Values count by their place, since a rewritten function has
 * new ones even where it is the same. */
typedef struct fingerprinting {
    kt_pass_run run;
    uint64_t hash;
} fingerprinting;

static kt_status fingerprint(kt_pass_run *run) {
    const kt_graph *graph = run->graph;
    kt_value *place = KT_NEW_ARRAY(run->scratch, kt_value, graph->values.count);
    uint64_t hash = graph->functions.count;
    for (kt_func func = 1; func < graph->functions.count; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        kt_text key = {.arena = run->scratch};
        uint32_t count = 0;
        kt_text_add(&key, function->name);
        for (uint32_t i = 0; i < function->params.count; i++) {
            const kt_port *param = &function->params.at[i];
            const kt_type *type = kt_graph_type(graph, param->value);
            place[param->value] = ++count;
            kt_text_add_bytes(&key, &param->role, sizeof param->role);
            kt_text_add_bytes(&key, type->dims, type->rank * sizeof type->dims[0]);
        }
        for (uint32_t i = 0; i < function->nodes.count; i++) {
            const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
            kt_value *operands = KT_NEW_ARRAY(run->scratch, kt_value, node->operand_count);
            for (uint32_t k = 0; k < node->operand_count; k++) operands[k] = place[node->operands[k]];
            for (uint32_t k = 0; k < node->result_count; k++) place[node->first_result + k] = ++count;
            kt_pass_key(&key, node, operands, false);
        }
        for (uint32_t i = 0; i < function->results.count; i++)
            kt_text_add_bytes(&key, &place[function->results.at[i].value], sizeof(kt_value));
        hash = kt_hash_bytes(key.at, key.length, hash);
    }
    ((fingerprinting *)run)->hash = hash;
    return KT_OK;
}

static kt_status run_pass(const kt_pass *pass, kt_graph *graph, const kt_pass_options *options,
                          kt_diag *diag) {
    fingerprinting before = {{graph, options, diag, NULL}, 0}, after = before;
    if (options->after) KT_TRY(kt_pass_scratched(fingerprint, &before.run));
    double start = seconds_now();
    KT_TRY(pass->run(graph, options, diag));
    double seconds = seconds_now() - start;
    if (options->after) {
        KT_TRY(kt_pass_scratched(fingerprint, &after.run));
        options->after(options->after_context, pass->name, graph, seconds, before.hash != after.hash);
    }
    return options->verify ? kt_graph_verify(graph, diag) : KT_OK;
}

kt_status kt_passes_run(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    for (const kt_pass *pass = kt_passes; pass->name; pass++)
        if (kt_pass_runs_at(pass, options->level)) KT_TRY(run_pass(pass, graph, options, diag));
    return KT_OK;
}

/* The pass whose name is the first length characters of names. */
static const kt_pass *find_pass(const char *names, size_t length) {
    for (const kt_pass *pass = kt_passes; pass->name; pass++)
        if (strlen(pass->name) == length && memcmp(pass->name, names, length) == 0) return pass;
    return NULL;
}

const char *kt_passes_unknown(const char *names) {
    for (const char *at = names; *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        if (!find_pass(at, length)) return at;
        at += length;
    }
    return NULL;
}

kt_status kt_passes_run_named(kt_graph *graph, const char *names, const kt_pass_options *options,
                              kt_diag *diag) {
    kt_status status = KT_OK;
    for (const char *at = names; *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        if (!find_pass(at, length))
            status = kt_diag_add(diag, KT_INVALID, NULL,
                                 "There is no pass \"%.*s\"; `keratin passes` lists those there are.",
                                 (int)length, at);
        at += length;
    }
    KT_TRY(status);
    for (const char *at = names; *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        KT_TRY(run_pass(find_pass(at, length), graph, options, diag));
        at += length;
    }
    return KT_OK;
}
