/* keratin: the compiler's driver. The first argument names a command; the table below is what there is. */
#include "cli/cli.h"
#include "support/file.h"

#include <stdio.h>
#include <string.h>

const cli_command cli_commands[] = {
    {"compile", "MODEL -o OUT", "make a native program, a library or another form of a model",
     cli_compile_options, 1, false, cli_run_compile},
    {"run", "MODEL [PROGRAM OPTIONS]", "compile in memory and run at once, with the program's own options",
     cli_run_options, 1, true, cli_run_run},
    {"dump", "MODEL", "print the graph at a stage of compilation, large constants elided", cli_dump_options,
     1, false, cli_run_dump},
    {"opt", "GRAPH", "run named passes over a graph", cli_opt_options, 1, false, cli_run_opt},
    {"summary", "MODEL", "print Keras's table of layers, shapes and parameters", cli_summary_options, 1,
     false, cli_run_summary},
    {"diff", "MODEL --against FILE.npz", "find the first layer whose output departs from given arrays",
     cli_diff_options, 1, false, cli_run_diff},
    {"weights", "MODEL -o FILE.weights", "write the weights alone, for programs compiled with --weights=file",
     cli_weights_options, 1, false, cli_run_weights},
    {"ops", "", "list the operations of the graph", NULL, 0, false, cli_run_list},
    {"passes", "", "list the passes, in the order in which they run", NULL, 0, false, cli_run_list},
    {"layers", "", "list the Keras layers and operations that models may hold", NULL, 0, false, cli_run_list},
    {"targets", "", "list the targets that code can be made for", NULL, 0, false, cli_run_list},
    {"version", "", "print the version", NULL, 0, false, cli_run_version},
    {NULL},
};

static int run(int argc, char **argv) {
    if (argc < 2) {
        cli_print_commands(stderr);
        return EXIT_WRONG_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        cli_print_commands(stdout);
        return EXIT_DONE;
    }
    if (!strcmp(argv[1], "--help=markdown")) {
        cli_print_markdown();
        return EXIT_DONE;
    }
    const char *name = strcmp(argv[1], "--version") ? argv[1] : "version";
    for (const cli_command *command = cli_commands; command->name; command++)
        if (!strcmp(command->name, name)) return command->run(command, argc - 2, argv + 2);
    fprintf(stderr, "keratin: error: There is no command %s; keratin --help lists them.\n", argv[1]);
    return EXIT_WRONG_USAGE;
}

int cli_main(int argc, char **argv) {
    kt_file_clean_on_signals();
    int status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    fprintf(stderr, "keratin: error: Cannot write standard output.\n");
    return status ? status : EXIT_WRONG_INPUT;
}
