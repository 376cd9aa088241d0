/* The driver: what its subcommands share. */
#ifndef KT_CLI_CLI_H
#define KT_CLI_CLI_H

#include "codegen/codegen.h"
#include "frontend/layer.h"

#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_WRONG_INPUT = 1, EXIT_WRONG_USAGE = 2 };

/* ---- driver.c: the whole program ------------------------------------------------------------- */
int cli_main(int argc, char **argv);

/* ---- options.c: command lines ---------------------------------------------------------------- */
typedef enum cli_kind {
    CLI_FLAG,   /* bool */
    CLI_TEXT,   /* const char *; --name=VALUE or --name VALUE */
    CLI_LIST,   /* cli_list: an option that may stand more than once */
    CLI_LEVEL,  /* int: -O0 … -O3 */
    CLI_SIZE,   /* int64_t: a number of at least 1 */
    CLI_BYTES,  /* int64_t: such a number, times 1024 for each step from K to M to G behind it */
} cli_kind;

typedef struct cli_list {
    const char *at[64];
    uint32_t count;
} cli_list;

typedef struct cli_option {
    const char *name;  /* "--emit", "-o" */
    const char *value; /* how --help names its value; NULL for flags */
    const char *doc;
    cli_kind kind;
    size_t offset; /* of the field */
    bool inspects; /* shows what happens inside: docs/debugging.md lists it */
} cli_option;

typedef struct cli_command {
    const char *name, *operands, *doc;
    const cli_option *options; /* ends with a NULL name; NULL: none */
    uint32_t operand_count;    /* exactly, unless passes_rest */
    bool passes_rest;          /* what follows the operands belongs to somebody else */
    int (*run)(const struct cli_command *command, int argc, char **argv);
} cli_command;

/* Parses the arguments behind the command's name into fields and operands. True: go on; false: *out_exit says how
 * to leave (help was printed, or the usage is wrong and a sentence said why). rest: the first argument behind the
 * operands where the command passes it on. */
bool cli_parse(const cli_command *command, int argc, char **argv, void *fields, const char **out_operands,
               int *out_rest, int *out_exit);
/* The digits between text and end as a size: a number of at least 1. */
bool cli_read_size(const char *text, const char *end, int64_t *out_size);
int cli_usage_error(const cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- help.c ---------------------------------------------------------------------------------- */
void cli_print_help(const cli_command *command);
void cli_print_commands(FILE *out);
void cli_print_markdown(void); /* options that inspect, and variables, as docs/debugging.md holds them */

/* ---- environment.c: what may be set instead of options --------------------------------------- */
typedef struct cli_variable {
    const char *name, *value, *doc;
} cli_variable;
extern const cli_variable cli_variables[]; /* ends with a NULL name */
void cli_apply_variables(kt_compile_options *options);
/* Whether graphs are verified after every pass. */
bool cli_verifies(void);

/* Prints the problems as the contract says; returns EXIT_WRONG_INPUT. */
int cli_report(const char *file, kt_diag *diag);
/* Would writing to output destroy the model? */
bool cli_overwrites(const char *model, const char *output);

/* ---- commands -------------------------------------------------------------------------------- */
extern const cli_command cli_commands[]; /* ends with a NULL name */
int cli_run_compile(const cli_command *command, int argc, char **argv);
int cli_run_run(const cli_command *command, int argc, char **argv);
int cli_run_dump(const cli_command *command, int argc, char **argv);
int cli_run_opt(const cli_command *command, int argc, char **argv);
int cli_run_diff(const cli_command *command, int argc, char **argv);
int cli_run_summary(const cli_command *command, int argc, char **argv);
int cli_run_weights(const cli_command *command, int argc, char **argv);
int cli_run_list(const cli_command *command, int argc, char **argv);
int cli_run_version(const cli_command *command, int argc, char **argv);
extern const cli_option cli_compile_options[], cli_run_options[], cli_dump_options[], cli_opt_options[],
    cli_diff_options[], cli_summary_options[], cli_weights_options[];

extern const char cli_layers_script[]; /* layers.py; made by the build */

/* model.c: --batch (0: not given) and --shape as bindings of the symbols of the graph's entries. */
kt_status cli_bind_shapes(kt_graph *graph, int64_t batch, const cli_list *shapes,
                          const kt_symbol_binding **out_bindings, uint32_t *out_count, kt_diag *diag) KT_MUST_USE;
/* quantize.c: has the float model say, on data, what the pass quantize must know, unless weights alone are quantised; note:
 * how far bytes then depart. */
typedef struct cli_calibration {
    const char *model, *data; /* files */
    const cli_list *shapes;   /* --shape */
    int level;                /* -O */
} cli_calibration;
kt_status cli_calibrate(kt_arena *arena, const cli_calibration *asked, kt_quantization *quantization,
                        const char **out_note, kt_diag *diag) KT_MUST_USE;
/* Runs body in an arena of its own, guarded; reports what it left in diag. file: for problems that name none. */
int cli_guarded(kt_status (*body)(kt_arena *arena, void *context, kt_diag *diag), void *context, const char *file);

#endif
