/* The command line of a compiled program: verbs and options. */
#include "runtime/cli/cli_impl.h"
#include "runtime/weights.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char *listener;

void kt_cli_listen(char *out_error) { listener = out_error; }

int kt_cli_fail(const kt_program *program, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (listener) {
        (void)vsnprintf(listener, KT_IO_ERROR, format, arguments);
    } else {
        (void)fflush(stdout);
        (void)fprintf(stderr, "%s: error: ", program->name);
        (void)vfprintf(stderr, format, arguments);
        (void)fputc('\n', stderr);
    }
    va_end(arguments);
    return status;
}

int kt_cli_printed(const kt_program *program) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return KT_EXIT_DONE;
    return kt_cli_fail(program, KT_EXIT_FAILED, "Cannot write standard output.");
}

int kt_cli_create_context(const kt_program *program, int64_t threads, const char *weights,
                          kt_context **out_context) {
    char error[KT_IO_ERROR];
    kt_load_fn *load = program->training ? program->training->load : NULL;
    bool own = weights && program->weights && (!load || kt_weights_recognise(weights));
    *out_context = NULL;
    if (weights && !own && !load)
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "The weights are in this program; compile it with --weights=file to give others.");
    const int most = (int)(threads < INT32_MAX ? threads : INT32_MAX);
    kt_context *context = weights && !own ? kt_context_create_empty(program, most, error)
                                          : kt_context_create_from(program, most, weights, error);
    if (!context) return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    if (weights && !own && load(context, weights, error)) {
        kt_context_destroy(context);
        return kt_cli_fail(program, KT_EXIT_FAILED, "%s", error);
    }
    *out_context = context;
    return KT_EXIT_DONE;
}

const kt_abi_entry *kt_cli_find_entry(const kt_program *program, const char *name) {
    for (uint32_t i = 0; i < program->entry_count; i++) {
        if (strcmp(program->entries[i].name, name) == 0) return &program->entries[i];
    }
    return NULL;
}

const char *kt_cli_after_name(const char *text, const char *name) {
    size_t length = strlen(name);
    return strncmp(text, name, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

bool kt_cli_parse_count(const char *text, int64_t *out_count) {
    char *end = NULL;
    errno = 0;
    long long count = strtoll(text, &end, 10);
    if (end == text || *end || errno || count < 1) return false;
    *out_count = count;
    return true;
}

int kt_cli_sample_symbol(const kt_abi_entry *entry) {
    for (uint32_t i = 0; i < entry->symbol_count; i++) {
        if (entry->symbols[i].input == 0 && entry->symbols[i].axis == 0) return (int)i;
    }
    return -1;
}

static int describe(const kt_program *program, const kt_cli_options *options) {
    (void)options;
    (void)puts(program->describe);
    return kt_cli_printed(program);
}

static const struct {
    const char *name, *doc;
    int (*run)(const kt_program *program, const kt_cli_options *options);
} verbs[] = {
    {"predict", "read inputs, run the model, write outputs (the default)", kt_cli_predict},
    {"describe", "print inputs, outputs, symbolic dimensions and memory as JSON", describe},
    {"benchmark", "time the model on made-up inputs; prints one JSON line", kt_cli_benchmark},
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

enum kind {
    FILES_IN,
    FILES_OUT,
    SHAPES,
    COUNT_BATCH_SIZE,
    COUNT_BATCH,
    COUNT_THREADS,
    ENTRY,
    WEIGHTS,
    PROFILE,
    IGNORED,
    FLAG
};
static const struct {
    const char *name, *value, *doc;
    enum kind kind;
} options_table[] = {
    {"--input", "FILE",
     "an input, .npy, .npz, .csv or .jsonl; NAME=FILE where there are several; - is standard input",
     FILES_IN},
    {"--output", "FILE",
     "the outputs, .npy, .npz, .csv or .json, or NAME=FILE; - is CSV on standard output [-]", FILES_OUT},
    {"--batch-size", "N", "how many samples to run at once [32]", COUNT_BATCH_SIZE},
    {"--threads", "N", "how many threads to use [all cores]", COUNT_THREADS},
    {"--weights", "FILE",
     "a .weights file, for a program compiled with --weights=file [beside it]; for one that trains also a "
     ".keras or .weights.h5",
     WEIGHTS},
    {"--profile", "[=FILE.json]",
     "print where time went to standard error; FILE: also a trace for chrome://tracing", PROFILE},
    {"--seed", "N", "seed of random operations", IGNORED},
    {"--quiet", NULL, "print nothing but results", FLAG},
    {"--batch", "N", "benchmark: the number of samples [1]", COUNT_BATCH},
    {"--shape", "NAME=N", "benchmark: the value of another symbolic dimension [1]", SHAPES},
    {"--entry", "NAME", "benchmark: the entry point [predict]", ENTRY},
};
enum { OPTION_COUNT = sizeof options_table / sizeof options_table[0] };

/* fit and evaluate, which have options of their own; NULL: it is neither, or the program cannot. */
static kt_verb_fn *training_verb(const kt_program *program, const char *name) {
    const kt_abi_training *training = program->training;
    if (!training) return NULL;
    if (strcmp(name, "evaluate") == 0) return training->evaluate;
    return strcmp(name, "fit") == 0 ? training->fit : NULL;
}

static int help(const kt_program *program) {
    printf("Usage: %s [VERB] [OPTIONS]\n\nVerbs:\n", program->name);
    for (int i = 0; i < VERB_COUNT; i++) printf("  %-20s %s\n", verbs[i].name, verbs[i].doc);
    if (training_verb(program, "evaluate"))
        printf("  %-20s %s\n", "evaluate",
               "print loss and metrics of samples as JSON; evaluate --help says how");
    if (training_verb(program, "fit")) printf("  %-20s %s\n", "fit", "train on samples; fit --help says how");
    printf("\nOptions:\n");
    for (int i = 0; i < OPTION_COUNT; i++) {
        char head[32];
        const char *value = options_table[i].value;
        (void)snprintf(head, sizeof head, "%s%s%s", options_table[i].name, value ? " " : "",
                       value ? value : "");
        printf("  %-20s %s\n", head, options_table[i].doc);
    }
    printf("\nCompiled by Keratin %s for %s.\n", program->version, program->target);
    return kt_cli_printed(program);
}

static int push(const kt_program *program, const char **list, int *count, const char *value,
                const char *option) {
    if (*count == KT_MAX_FILES) {
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s may be given %d times at most.", option, KT_MAX_FILES);
    }
    list[(*count)++] = value;
    return KT_EXIT_DONE;
}

static int set_option(const kt_program *program, kt_cli_options *options, int which, const char *value) {
    const char *name = options_table[which].name;
    int64_t *count = &options->threads;
    switch (options_table[which].kind) {
    case FILES_IN: return push(program, options->inputs, &options->input_count, value, name);
    case FILES_OUT: return push(program, options->outputs, &options->output_count, value, name);
    case SHAPES: return push(program, options->shapes, &options->shape_count, value, name);
    case ENTRY: options->entry = value; return KT_EXIT_DONE;
    case WEIGHTS: options->weights = value; return KT_EXIT_DONE;
    case PROFILE: options->profile = value ? value : ""; return KT_EXIT_DONE;
    case IGNORED:
    case FLAG: return KT_EXIT_DONE;
    case COUNT_BATCH_SIZE: count = &options->batch_size; break;
    case COUNT_BATCH: count = &options->batch; break;
    case COUNT_THREADS: break;
    }
    if (kt_cli_parse_count(value, count)) return KT_EXIT_DONE;
    return kt_cli_fail(program, KT_EXIT_USAGE, "%s takes a whole number of at least 1, not '%s'.", name,
                       value);
}

/* Reads the option at argv[*at], and moves *at behind it. */
static int read_option(const kt_program *program, kt_cli_options *options, int argc, char **argv, int *at) {
    const char *text = argv[(*at)++];
    for (int i = 0; i < OPTION_COUNT; i++) {
        const char *value = kt_cli_after_name(text, options_table[i].name);
        bool same = strcmp(text, options_table[i].name) == 0;
        if (!same && !value) continue;
        if (options_table[i].kind == FLAG) {
            if (value)
                return kt_cli_fail(program, KT_EXIT_USAGE, "%s takes no value.", options_table[i].name);
        } else if (same && options_table[i].kind != PROFILE) {
            if (*at == argc) return kt_cli_fail(program, KT_EXIT_USAGE, "%s wants a value.", text);
            value = argv[(*at)++];
        }
        return set_option(program, options, i, value);
    }
    return kt_cli_fail(program, KT_EXIT_USAGE, "There is no option '%s'; --help lists them.", text);
}

int kt_program_main(const kt_program *program, int argc, char **argv) {
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of writing */
    kt_cli_options options = {
        .batch_size = 32, .batch = 1, .entry = "predict", .profile = kt_cli_profile_wish()};
    int at = 1, verb = 0;
    kt_verb_fn *train = argc > 1 ? training_verb(program, argv[1]) : NULL;
    if (train) return train(program, argc - 2, argv + 2);
    if (argc > 1 && argv[1][0] != '-') {
        while (verb < VERB_COUNT && strcmp(argv[1], verbs[verb].name) != 0) verb++;
        if (verb == VERB_COUNT) {
            return kt_cli_fail(program, KT_EXIT_USAGE, "There is no verb '%s'; --help lists them.", argv[1]);
        }
        at = 2;
    }
    while (at < argc) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) return help(program);
        int status = read_option(program, &options, argc, argv, &at);
        if (status) return status;
    }
    return verbs[verb].run(program, &options);
}
