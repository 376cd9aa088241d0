/* keratin dump and keratin opt: graphs for people, and passes by name. */
#include "cli/cli.h"
#include "support/file.h"

#include <stddef.h>
#include <string.h>

typedef struct graph_command {
    const char *model, *stage, *passes, *output, *cpu;
    cli_list shapes;
    int64_t batch;
    int level;
} graph_command;

#define FIELD(field) offsetof(graph_command, field)
const cli_option cli_dump_options[] = {
    {"--stage", "STAGE", "graph, a pass, optimized, plan, loops, llvm or asm [graph]", CLI_TEXT, FIELD(stage),
     true},
    {"--batch", "N", "fix the batch size [any]", CLI_SIZE, FIELD(batch)},
    {"--shape", "INPUT=1x28x28", "fix the dimensions of an input [any]", CLI_LIST, FIELD(shapes)},
    {"--cpu", "CPU", "which CPU the stages are for [native]", CLI_TEXT, FIELD(cpu)},
    {"-O", "0|1|2|3", "how much to optimise [-O2]", CLI_LEVEL, FIELD(level)},
    {NULL},
};
const cli_option cli_opt_options[] = {
    {"--passes", "a,b,c", "which, in this order; keratin passes lists them", CLI_TEXT, FIELD(passes)},
    {"-o", "OUT", "where to write the graph, .kir or .kpb [-, as text]", CLI_TEXT, FIELD(output)},
    {"--batch", "N", "what the pass bind fixes the batch size to", CLI_SIZE, FIELD(batch)},
    {"--shape", "INPUT=1x28x28", "what the pass bind fixes the dimensions of an input to", CLI_LIST,
     FIELD(shapes)},
    {"--cpu", "CPU", "which CPU the passes are for [native]", CLI_TEXT, FIELD(cpu)},
    {"-O", "0|1|2|3", "the level that passes are told [-O2]", CLI_LEVEL, FIELD(level)},
    {NULL},
};

static kt_status describe_passes(kt_graph *graph, const graph_command *fields, kt_pass_options *out_options,
                                 kt_diag *diag) {
    kt_target target;
    KT_TRY(kt_target_describe(NULL, fields->cpu, NULL, graph->arena, &target, diag));
    *out_options = (kt_pass_options){
        .target = kt_target_for_passes(&target), .level = fields->level, .verify = cli_verifies()};
    return cli_bind_shapes(graph, fields->batch, &fields->shapes, &out_options->bindings,
                           &out_options->binding_count, diag);
}

/* ---- dump
 * ---------------------------------------------------------------------------------------------------------
 */
typedef struct stage_watch {
    const char *stage;
    kt_text text; /* the graph after the last run of the stage's pass */
    bool seen;
} stage_watch;

static void after_pass(void *context, const char *pass, const kt_graph *graph, double seconds, bool changed) {
    stage_watch *watch = context;
    (void)seconds;
    (void)changed;
    if (strcmp(pass, watch->stage) != 0) return;
    watch->seen = true;
    watch->text.length = 0;
    kt_graph_print(graph, &(kt_print_options){.elide = true}, &watch->text);
}

static kt_status print_elided(const kt_graph *graph, kt_diag *diag) {
    kt_text text = {.arena = graph->arena};
    kt_graph_print(graph, &(kt_print_options){.elide = true}, &text);
    return kt_file_write("-", kt_text_string(&text), text.length, diag);
}

static kt_status dump_after_pass(kt_graph *graph, const graph_command *fields, kt_diag *diag) {
    kt_pass_options options;
    stage_watch watch = {.stage = fields->stage, .text = {.arena = graph->arena}};
    KT_TRY(describe_passes(graph, fields, &options, diag));
    if (!strcmp(fields->stage, "graph")) {
        KT_TRY(kt_passes_run_named(graph, "bind", &options, diag));
        return print_elided(graph, diag);
    }
    options.after = after_pass;
    options.after_context = &watch;
    KT_TRY(kt_passes_run(graph, &options, diag));
    if (!strcmp(fields->stage, "optimized")) return print_elided(graph, diag);
    if (!watch.seen)
        return kt_diag_add(diag, KT_INVALID, NULL, "The pass %s does not run at -O%d.", fields->stage,
                           fields->level);
    return kt_file_write("-", kt_text_string(&watch.text), watch.text.length, diag);
}

/* The stages behind the graph's passes. */
static const struct {
    const char *name;
    kt_emit form;
} code_stages[] = {{"plan", KT_EMIT_PLAN},
                   {"loops", KT_EMIT_LOOPS},
                   {"llvm", KT_EMIT_LLVM},
                   {"asm", KT_EMIT_ASM},
                   {NULL, 0}};

static kt_status dump_body(kt_arena *arena, void *context, kt_diag *diag) {
    const graph_command *fields = context;
    kt_graph *graph;
    KT_TRY(kt_model_read(arena, fields->model, &graph, diag));
    for (size_t i = 0; code_stages[i].name; i++) {
        if (strcmp(code_stages[i].name, fields->stage) != 0) continue;
        kt_compile_options options = {.emit = code_stages[i].form,
                                      .output = "-",
                                      .cpu = fields->cpu,
                                      .level = fields->level,
                                      .verify = cli_verifies()};
        KT_TRY(cli_bind_shapes(graph, fields->batch, &fields->shapes, &options.bindings,
                               &options.binding_count, diag));
        return kt_compile(graph, &options, diag);
    }
    return dump_after_pass(graph, fields, diag);
}

int cli_run_dump(const cli_command *command, int argc, char **argv) {
    graph_command fields = {.stage = "graph", .level = 2};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &fields, &fields.model, &rest, &exit_status)) return exit_status;
    bool known =
        kt_pass_find(fields.stage) || !strcmp(fields.stage, "graph") || !strcmp(fields.stage, "optimized");
    for (size_t i = 0; code_stages[i].name; i++) known |= !strcmp(code_stages[i].name, fields.stage);
    if (!known) return cli_usage_error(command, "There is no stage %s.", fields.stage);
    return cli_guarded(dump_body, &fields, strcmp(fields.model, "-") ? fields.model : "standard input");
}

/* ---- opt
 * ----------------------------------------------------------------------------------------------------------
 */
static kt_status opt_body(kt_arena *arena, void *context, kt_diag *diag) {
    const graph_command *fields = context;
    kt_graph *graph;
    kt_pass_options options;
    KT_TRY(kt_model_read(arena, fields->model, &graph, diag));
    KT_TRY(describe_passes(graph, fields, &options, diag));
    KT_TRY(kt_passes_run_named(graph, fields->passes, &options, diag));
    return kt_graph_write(graph, fields->output, arena, diag);
}

int cli_run_opt(const cli_command *command, int argc, char **argv) {
    graph_command fields = {.output = "-", .level = 2};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &fields, &fields.model, &rest, &exit_status)) return exit_status;
    if (!fields.passes) return cli_usage_error(command, "--passes=a,b,c is missing.");
    const char *unknown = kt_passes_unknown(fields.passes);
    if (unknown)
        return cli_usage_error(command, "There is no pass %.*s; keratin passes lists them.",
                               (int)strcspn(unknown, ","), unknown);
    return cli_guarded(opt_body, &fields, strcmp(fields.model, "-") ? fields.model : "standard input");
}
