/* What --help prints, for people and as the tables of docs/debugging.md, from the same rows that are parsed.
 */
#include "cli/cli.h"

#include <stdio.h>

/* "--emit=FORM" */
static void option_words(const cli_option *option, char *out, size_t room) {
    const char *between = option->kind == CLI_LEVEL || !option->value ? ""
                          : option->name[1] == '-'                    ? "="
                                                                      : " ";
    snprintf(out, room, "%s%s%s", option->name, between, option->value ? option->value : "");
}

void cli_print_help(const cli_command *command) {
    printf("usage: keratin %s%s%s\n\n%s\n", command->name,
           command->options && !command->passes_rest ? " [options] " : " ", command->operands, command->doc);
    if (command->options) printf("\n");
    for (const cli_option *option = command->options; option && option->name; option++) {
        char left[64];
        option_words(option, left, sizeof left);
        printf("  %-32s %s\n", left, option->doc);
    }
}

void cli_print_commands(FILE *out) {
    fprintf(out, "usage: keratin COMMAND …\n\n");
    for (const cli_command *command = cli_commands; command->name; command++)
        fprintf(out, "  %-9s %-28s %s\n", command->name, command->operands, command->doc);
    fprintf(out, "\nEnvironment:\n");
    for (const cli_variable *variable = cli_variables; variable->name; variable++)
        fprintf(out, "  %-10s %-27s %s\n", variable->name, variable->value, variable->doc);
    fprintf(out, "\nMODEL is a .keras archive or a .kir graph; - is standard input. keratin COMMAND --help "
                 "tells more.\n");
}

/* A cell of a table: a bar would end it. */
static void print_cell(const char *text) {
    for (; *text; text++) {
        if (*text == '|') putchar('\\');
        putchar(*text);
    }
}

static void print_row(const char *words, const char *doc) {
    printf("| `");
    print_cell(words);
    printf("` | ");
    print_cell(doc);
    printf(" |\n");
}

static bool inspects(const cli_command *command) {
    for (const cli_option *option = command->options; option && option->name; option++)
        if (option->inspects) return true;
    return false;
}

void cli_print_markdown(void) {
    for (const cli_command *command = cli_commands; command->name; command++) {
        if (!inspects(command)) continue;
        printf("### keratin %s %s\n\nTo %s.\n\n| option | meaning |\n| --- | --- |\n", command->name,
               command->operands, command->doc);
        for (const cli_option *option = command->options; option->name; option++) {
            char words[64];
            option_words(option, words, sizeof words);
            if (option->inspects) print_row(words, option->doc);
        }
        printf("\n");
    }
    printf("### Environment variables\n\n| variable | meaning |\n| --- | --- |\n");
    for (const cli_variable *variable = cli_variables; variable->name; variable++) {
        char words[64];
        snprintf(words, sizeof words, "%s=%s", variable->name, variable->value);
        print_row(words, variable->doc);
    }
}
