/* Command lines by table: one row an option serves parsing and --help. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_usage_error(const cli_command *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "keratin: error: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (keratin %s --help tells more)\n", command->name);
    va_end(arguments);
    return EXIT_WRONG_USAGE;
}

/* Does argument name option? *out_value: what stands behind '=', or NULL. */
static bool names(const char *argument, const cli_option *option, const char **out_value) {
    size_t length = strlen(option->name);
    *out_value = NULL;
    if (option->kind == CLI_LEVEL) {
        *out_value = argument + 2;
        return argument[0] == '-' && argument[1] == 'O';
    }
    if (strncmp(argument, option->name, length) != 0) return false;
    if (argument[length] == '=') *out_value = argument + length + 1;
    return argument[length] == 0 || argument[length] == '=';
}

bool cli_read_size(const char *text, const char *end, int64_t *out_size) {
    char *stop;
    errno = 0;
    *out_size = strtoll(text, &stop, 10);
    return stop == end && stop != text && !errno && *out_size >= 1 && *text >= '0' && *text <= '9';
}

/* "300M" */
static bool read_bytes(const char *text, int64_t *out_bytes) {
    static const char units[] = "KMG";
    const char *end = text + strspn(text, "0123456789");
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (!cli_read_size(text, end, out_bytes) || (*end && (!unit || end[1]))) return false;
    for (const char *at = units; unit && at <= unit; at++)
        if (__builtin_mul_overflow(*out_bytes, 1024, out_bytes)) return false;
    return true;
}

/* 0: taken; else the exit status. */
static int take(const cli_command *command, const cli_option *option, const char *value, void *fields) {
    void *field = (char *)fields + option->offset;
    cli_list *list = field;
    switch (option->kind) {
    case CLI_FLAG:
        if (value) return cli_usage_error(command, "%s takes no value.", option->name);
        *(bool *)field = true;
        return 0;
    case CLI_TEXT: *(const char **)field = value; return 0;
    case CLI_LIST:
        if (list->count == sizeof list->at / sizeof *list->at)
            return cli_usage_error(command, "%s stands too often.", option->name);
        list->at[list->count++] = value;
        return 0;
    case CLI_LEVEL:
        if (value[0] < '0' || value[0] > '3' || value[1])
            return cli_usage_error(command, "-O%s is no level; there are -O0 to -O3.", value);
        *(int *)field = value[0] - '0';
        return 0;
    case CLI_SIZE:
        if (!cli_read_size(value, value + strlen(value), field))
            return cli_usage_error(command, "%s wants a number of at least 1, not %s.", option->name, value);
        return 0;
    case CLI_BYTES:
        if (!read_bytes(value, field))
            return cli_usage_error(command, "%s wants bytes, as 500000, 800K, 300M or 2G, not %s.",
                                   option->name, value);
        return 0;
    }
    return 0;
}

bool cli_parse(const cli_command *command, int argc, char **argv, void *fields, const char **out_operands,
               int *out_rest, int *out_exit) {
    uint32_t operands = 0;
    for (int i = 0; i < argc; i++) {
        const char *argument = argv[i];
        if (command->passes_rest && operands == command->operand_count) {
            *out_rest = i;
            return true;
        }
        if (!strcmp(argument, "--help") || !strcmp(argument, "-h")) {
            cli_print_help(command);
            *out_exit = EXIT_DONE;
            return false;
        }
        if (argument[0] != '-' || !argument[1]) {
            if (operands == command->operand_count) {
                *out_exit = cli_usage_error(command, "%s is one argument too many.", argument);
                return false;
            }
            out_operands[operands++] = argument;
            continue;
        }
        const cli_option *option = command->options;
        const char *value = NULL;
        while (option && option->name && !names(argument, option, &value)) option++;
        if (!option || !option->name) {
            *out_exit = cli_usage_error(command, "%s is no option of this command.", argument);
            return false;
        }
        if (!value && option->kind != CLI_FLAG) {
            if (i + 1 == argc) {
                *out_exit = cli_usage_error(command, "%s wants a value.", argument);
                return false;
            }
            value = argv[++i];
        }
        *out_exit = take(command, option, value, fields);
        if (*out_exit) return false;
    }
    if (operands < command->operand_count) {
        *out_exit = cli_usage_error(command, "Missing: %s.", command->operands);
        return false;
    }
    *out_rest = argc;
    return true;
}

int cli_report(const char *file, kt_diag *diag) {
    for (uint32_t i = 0; i < diag->count; i++) {
        const kt_problem *problem = &diag->problems[i];
        const char *name = problem->file ? problem->file : file;
        fprintf(stderr, "keratin: error: ");
        if (name) fprintf(stderr, "%s: ", name);
        if (problem->where) fprintf(stderr, "%s: ", problem->where);
        fprintf(stderr, "%s\n", problem->text);
    }
    if (!diag->count) fprintf(stderr, "keratin: error: There is not enough memory.\n");
    return EXIT_WRONG_INPUT;
}
