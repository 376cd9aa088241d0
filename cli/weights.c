/* keratin weights: a model's weights alone. */
#include "cli/cli.h"
#include "support/file.h"

#include <stddef.h>
#include <string.h>

typedef struct weights_command {
    const char *model, *output;
} weights_command;

const cli_option cli_weights_options[] = {
    {"-o", "FILE.weights", "where to write; - is standard output", CLI_TEXT,
     offsetof(weights_command, output)},
    {NULL},
};

static kt_status weights_body(kt_arena *arena, void *context, kt_diag *diag) {
    const weights_command *fields = context;
    kt_graph *graph;
    KT_TRY(kt_model_read(arena, fields->model, &graph, diag));
    const void *file;
    size_t bytes;
    KT_TRY(kt_weights_pack(graph, arena, &file, &bytes, diag));
    return kt_file_write(fields->output, file, bytes, diag);
}

int cli_run_weights(const cli_command *command, int argc, char **argv) {
    weights_command fields = {0};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &fields, &fields.model, &rest, &exit_status)) return exit_status;
    if (!fields.output) return cli_usage_error(command, "-o FILE.weights is missing.");
    if (cli_overwrites(fields.model, fields.output))
        return cli_usage_error(command, "%s is the model itself; write elsewhere.", fields.output);
    return cli_guarded(weights_body, &fields, strcmp(fields.model, "-") ? fields.model : "standard input");
}
