/* keratin compile and keratin run. */
#include "cli/tune.h"
#include "support/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

typedef struct compile_command {
    const char *model;
    const char *output, *emit, *name, *target, *cpu, *features, *contractions, *dump_dir, *print_after,
        *report, *weights, *libc, *optimizer, *loss, *metrics, *precision, *quantize, *calibrate;
    cli_list shapes;
    int64_t batch, tune_threads, tune_seconds, memory_limit;
    int level;
    bool time_passes, debug, train, tune;
    const char *tuning_file;
    kt_tuning *tuning; /* NULL: choices are the cost model's */
    bool loaded;       /* only to be measured: kt_compile_options.loaded */
    kt_emit form;
    kt_quantization quantization; /* once calibrated */
    const char *note;             /* on it */
    bool multiplies_bytes;        /* the target's CPU has instructions for it */
    bool multiplies_pairs;        /* of bf16, likewise */
    bool runs_here;               /* this machine runs code for the target */
} compile_command;

#define FIELD(field) offsetof(compile_command, field)
const cli_option cli_compile_options[] = {
    {"-o", "OUT", "where to write; - is standard output for the text forms", CLI_TEXT, FIELD(output)},
    {"--emit", "FORM",
     "exe, shared, static, object, header, graph, optimized, plan, loops, llvm or asm [from OUT's ending]",
     CLI_TEXT, FIELD(emit)},
    {"--name", "NAME", "prefix of every exported symbol [OUT's base name]", CLI_TEXT, FIELD(name)},
    {"--batch", "N", "fix the batch size [any]", CLI_SIZE, FIELD(batch)},
    {"--shape", "INPUT=1x28x28", "fix the dimensions of an input [any]", CLI_LIST, FIELD(shapes)},
    {"--target", "TRIPLE", "what the code is for, as keratin targets lists them [this machine]", CLI_TEXT,
     FIELD(target)},
    {"--cpu", "CPU", "which CPU, as keratin targets lists them [native]", CLI_TEXT, FIELD(cpu)},
    {"--features", "LIST", "CPU features to add or take away: +avx2,-fma", CLI_TEXT, FIELD(features)},
    {"--train", NULL, "also compile the training step: the program fits and evaluates as well", CLI_FLAG,
     FIELD(train)},
    {"--memory-limit", "SIZE",
     "for --train: what a step may need beside weights, slots and batch, as 300M; layers are computed again "
     "until it fits, for a batch of 32 unless --batch says another [no limit]",
     CLI_BYTES, FIELD(memory_limit)},
    {"--optimizer", "NAME|JSON", "for --train [the model's own]", CLI_TEXT, FIELD(optimizer)},
    {"--loss", "NAME|JSON", "for --train, or to evaluate [the model's own]", CLI_TEXT, FIELD(loss)},
    {"--metrics", "A,B|JSON", "for --train, or to evaluate [the model's own]", CLI_TEXT, FIELD(metrics)},
    {"--contractions", "own|openblas", "who multiplies matrices of float32 and float64 [own]", CLI_TEXT,
     FIELD(contractions)},
    {"--weights", "embed|file", "weights inside OUT, or in OUT.weights beside it [embed]", CLI_TEXT,
     FIELD(weights)},
    {"--precision", "f32|bf16",
     "bf16: round the operands of contractions and convolutions by weights, and sum in float32 [f32]",
     CLI_TEXT, FIELD(precision)},
    {"--quantize", "int8|int8-weights",
     "multiply bytes: contractions and convolutions by weights, as --calibrate says; or keep weights of "
     "contractions and tables as bytes, and multiply floats",
     CLI_TEXT, FIELD(quantize)},
    {"--calibrate", "FILE", "some hundred samples for --quantize, as the program takes its input", CLI_TEXT,
     FIELD(calibrate)},
    {"--libc", "glibc|musl", "link dynamically, or one static executable [glibc]", CLI_TEXT, FIELD(libc)},
    {"-O", "0|1|2|3", "how much to optimise; -O0 keeps one kernel a node [-O2]", CLI_LEVEL, FIELD(level)},
    {"--tune", NULL, "measure on this machine which tiles and layouts are fastest, and keep that in a file",
     CLI_FLAG, FIELD(tune)},
    {"--tuning-file", "FILE",
     "what --tune has measured; without --tune, only read [read by --tune alone: ~/.cache/keratin/tuning]",
     CLI_TEXT, FIELD(tuning_file)},
    {"--tune-threads", "N", "how many threads the program will have [1]", CLI_SIZE, FIELD(tune_threads)},
    {"--tune-seconds", "N", "how long --tune may search [300]", CLI_SIZE, FIELD(tune_seconds)},
    {"-g", NULL,
     "debug information: code by lines of the graph, which is among the dumps, or written as OUT.kir",
     CLI_FLAG, FIELD(debug), true},
    {"--dump-dir", "DIR",
     "write every stage there: NNN.pass.kir, then .plan, .loops, .ll, .s, and an index.html", CLI_TEXT,
     FIELD(dump_dir), true},
    {"--report", "FILE.html", "write a page: layers, kernels with operations and bytes, memory, times",
     CLI_TEXT, FIELD(report), true},
    {"--print-after", "PASS|all", "print the graph after a pass to standard error", CLI_TEXT,
     FIELD(print_after), true},
    {"--time-passes", NULL, "print how long passes and code generation took to standard error", CLI_FLAG,
     FIELD(time_passes), true},
    {NULL},
};
const cli_option cli_run_options[] = {
    {"--batch", "N", "fix the batch size [any]", CLI_SIZE, FIELD(batch)},
    {"--shape", "INPUT=1x28x28", "fix the dimensions of an input [any]", CLI_LIST, FIELD(shapes)},
    {"-O", "0|1|2|3", "how much to optimise [-O2]", CLI_LEVEL, FIELD(level)},
    {NULL},
};

/* By name and by OUT's ending. */
static const struct {
    const char *name, *ending;
    kt_emit form;
} forms[] = {
    {"exe", NULL, KT_EMIT_EXE},       {"shared", ".so", KT_EMIT_SHARED},
    {"static", ".a", KT_EMIT_STATIC}, {"object", ".o", KT_EMIT_OBJECT},
    {"header", ".h", KT_EMIT_HEADER}, {"graph", ".kir", KT_EMIT_GRAPH},
    {"graph", ".kpb", KT_EMIT_GRAPH}, {"optimized", NULL, KT_EMIT_OPTIMIZED},
    {"plan", NULL, KT_EMIT_PLAN},     {"loops", NULL, KT_EMIT_LOOPS},
    {"llvm", ".ll", KT_EMIT_LLVM},    {"asm", ".s", KT_EMIT_ASM},
};

/* 0, or the exit status of a usage error. */
static int choose_form(const cli_command *command, compile_command *fields) {
    fields->form = KT_EMIT_EXE;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (fields->emit && !strcmp(fields->emit, forms[i].name)) {
            fields->form = forms[i].form;
            return 0;
        }
        size_t length = strlen(fields->output), ending = forms[i].ending ? strlen(forms[i].ending) : 0;
        if (!fields->emit && ending && length > ending &&
            !strcmp(fields->output + length - ending, forms[i].ending))
            fields->form = forms[i].form;
    }
    if (fields->emit) return cli_usage_error(command, "--emit=%s is no form of output.", fields->emit);
    return 0;
}

static bool calls_blas(const compile_command *fields) {
    return fields->contractions && !strcmp(fields->contractions, "openblas");
}

static bool is_rounded(const compile_command *fields) {
    return fields->precision && !strcmp(fields->precision, "bf16");
}

/* --quantize=int8-weights */
static bool keeps_bytes(const compile_command *fields) {
    return fields->quantize && !strcmp(fields->quantize, "int8-weights");
}

static bool is_told_loss(const compile_command *fields) {
    return fields->train || fields->loss || fields->metrics;
}

/* The batch of `fit`, unless it is told another. */
static const kt_symbol_binding usual_batch = {"batch", 32};

static kt_status compile_as(kt_arena *arena, const compile_command *fields, bool evaluates, kt_diag *diag) {
    kt_graph *graph;
    kt_memory memory = {
        .limit = fields->memory_limit, .sizes = &usual_batch, .size_count = fields->batch == 0};
    kt_compile_options options = {.emit = fields->form,
                                  .output = fields->output,
                                  .name = fields->name,
                                  .triple = fields->target,
                                  .cpu = fields->cpu,
                                  .features = fields->features,
                                  .blas = calls_blas(fields),
                                  .musl = fields->libc && !strcmp(fields->libc, "musl"),
                                  .level = fields->level,
                                  .dump_dir = fields->dump_dir,
                                  .print_after = fields->print_after,
                                  .time_passes = fields->time_passes,
                                  .report = fields->report,
                                  .weights_file = fields->weights && !strcmp(fields->weights, "file"),
                                  .debug = fields->debug,
                                  .quantization = fields->quantize ? &fields->quantization : NULL,
                                  .bf16 = is_rounded(fields),
                                  .note = fields->note,
                                  .memory = &memory,
                                  .tuning = fields->tuning,
                                  .loaded = fields->loaded,
                                  .verify = cli_verifies()};
    if (!fields->loaded) cli_apply_variables(&options);
    if (fields->tuning) fields->tuning->choices.count = 0;
    bool told = is_told_loss(fields);
    kt_training_request request = {.train = fields->train,
                                   .if_compiled = !told,
                                   .optimizer = fields->optimizer,
                                   .loss = fields->loss,
                                   .metrics = fields->metrics};
    if (told || evaluates) {
        KT_TRY(kt_model_read_training(arena, fields->model, &request, &graph, diag));
        if (request.info.log_count) options.training = &request.info;
        if (request.warning && !fields->loaded)
            (void)fprintf(stderr, "keratin: warning: %s: %s\n", fields->model, request.warning);
    } else {
        KT_TRY(kt_model_read(arena, fields->model, &graph, diag));
    }
    KT_TRY(cli_bind_shapes(graph, fields->batch, &fields->shapes, &options.bindings, &options.binding_count,
                           diag));
    return kt_compile(graph, &options, diag);
}

static void drop_problems(void *diag) { kt_diag_deinit(diag); }

/* A program of a model that was compiled with a loss evaluates, too, unless that cannot be compiled: a loss
 * of the user's own, say, is no reason not to predict. */
static kt_status read_and_compile(kt_arena *arena, const compile_command *fields, kt_diag *diag) {
    bool may = fields->form == KT_EMIT_EXE && strcmp(fields->model, "-") != 0 &&
               !(fields->weights && !strcmp(fields->weights, "file"));
    if (!may || is_told_loss(fields)) return compile_as(arena, fields, false, diag);
    kt_diag *found = KT_NEW(arena, kt_diag);
    found->file = diag->file;
    kt_arena_defer(arena, drop_problems, found);
    kt_status status = compile_as(arena, fields, true, found);
    if (status == KT_OK) return KT_OK;
    /* A program that does less is no answer to a machine that is short of memory for once. */
    if (status == KT_OUT_OF_MEMORY)
        return kt_diag_add(diag, status, NULL, "%s",
                           found->count ? found->problems[0].text : "There is not enough memory.");
    KT_TRY(compile_as(arena, fields, false, diag));
    const kt_problem *why = &found->problems[0];
    if (found->count)
        (void)fprintf(stderr, "keratin: warning: %s: The program does not evaluate: %s%s%s\n", fields->model,
                      why->where ? why->where : "", why->where ? ": " : "", why->text);
    return KT_OK;
}

/* ---- tuning ---------------------------------------------------------------------------------- */
/* The model with the tuning's choices, to be measured. */
static kt_status compile_candidate(kt_arena *arena, void *context, kt_tuning *tuning, const char *output,
                                   kt_diag *diag) {
    compile_command fields = *(const compile_command *)context;
    fields.form = KT_EMIT_SHARED;
    fields.output = output;
    fields.name = "tuned";
    fields.tuning = tuning;
    fields.loaded = true;
    fields.libc = fields.weights = fields.dump_dir = fields.report = fields.print_after = NULL;
    fields.time_passes = fields.debug = false;
    return compile_as(arena, &fields, false, diag);
}

static const int64_t default_seconds = 300;

/* Is there a folder that the output can be written into? */
static kt_status check_folder(kt_arena *arena, const char *output, kt_diag *diag) {
    const char *slash = strrchr(output, '/');
    const char *folder = slash ? kt_arena_format(arena, "%.*s/", (int)(slash - output), output) : ".";
    if (!strcmp(output, "-") || access(folder, W_OK) == 0 || kt_file_is_special(output)) return KT_OK;
    return kt_diag_add(diag, KT_IO, NULL, "Cannot write %s: %s.", output, strerror(errno));
}

static kt_status compile_tuned(kt_arena *arena, compile_command *fields, kt_diag *diag) {
    kt_target target;
    KT_TRY(kt_target_describe(fields->target, fields->cpu, fields->features, arena, &target, diag));
    const cli_tuning_request request = {
        .model = fields->model,
        .file = fields->tuning_file,
        .measures = fields->tune,
        .level = fields->level,
        .threads = fields->tune_threads ? (int)fields->tune_threads : 1,
        .seconds = (double)(fields->tune_seconds ? fields->tune_seconds : default_seconds),
        .target = &target,
        .compile = compile_candidate,
        .context = fields};
    if (fields->tune) KT_TRY(check_folder(arena, fields->output, diag)); /* before minutes are spent */
    fields->tuning = KT_NEW(arena, kt_tuning);
    KT_TRY(cli_tune(arena, &request, fields->tuning, diag));
    KT_TRY(read_and_compile(arena, fields, diag));
    cli_tuning_tell(&request, fields->tuning);
    return KT_OK;
}

/* What --tune and --tuning-file do not go with: NULL, or a sentence. */
static const char *refuse_tuning(const compile_command *fields) {
    if (!fields->tune && fields->tune_seconds) return "--tune-seconds is for --tune.";
    if (!fields->tune && !fields->tuning_file)
        return fields->tune_threads ? "--tune-threads is for --tune and --tuning-file." : NULL;
    if (fields->tune_threads > INT32_MAX) return "--tune-threads is more than there can be.";
    if (fields->tune && (fields->form == KT_EMIT_GRAPH || fields->form == KT_EMIT_HEADER))
        return "--tune is for code, and there is none in a graph or a header.";
    if (fields->tuning_file && (!*fields->tuning_file || !strcmp(fields->tuning_file, "-")))
        return "--tuning-file wants the name of a file.";
    if (calls_blas(fields)) return "OpenBLAS chooses by itself: --tune wants --contractions=own.";
    if (fields->tune && !fields->runs_here)
        return "--tune measures, and this machine cannot run code for that target; tune where the program "
               "will run, "
               "and give the file here by --tuning-file.";
    if (fields->tune && !strcmp(fields->model, "-"))
        return "--tune wants the model as a file, which is read more than once.";
    return NULL;
}

static kt_status compile_body(kt_arena *arena, void *context, kt_diag *diag) {
    compile_command *fields = context;
    const cli_calibration calibration = {fields->model, fields->calibrate, &fields->shapes, fields->level};
    fields->quantization.weights_only = keeps_bytes(fields);
    if (fields->calibrate)
        KT_TRY(cli_calibrate(arena, &calibration, &fields->quantization, &fields->note, diag));
    if (fields->tune || fields->tuning_file)
        KT_TRY(compile_tuned(arena, fields, diag));
    else
        KT_TRY(read_and_compile(arena, fields, diag));
    if (is_rounded(fields) && !fields->multiplies_pairs)
        (void)fprintf(
            stderr,
            "keratin: note: %s: The target's CPU lacks AVX-512 BF16: small batches of dense and recurrent "
            "layers gain, convolutions and large batches lose.\n",
            fields->model);
    if (fields->note)
        (void)fprintf(stderr, "keratin: note: %s: %s%s\n", fields->model, fields->note,
                      fields->multiplies_bytes || keeps_bytes(fields)
                          ? ""
                          : " The target's CPU lacks AVX-512 VNNI: small batches of dense "
                            "layers gain, convolutions may lose.");
    return KT_OK;
}

/* What --precision does not go with: NULL, or a sentence. */
static const char *refuse_precision(const compile_command *fields) {
    if (!fields->precision || !strcmp(fields->precision, "f32")) return NULL;
    if (!is_rounded(fields)) return "--precision is f32 or bf16.";
    if (fields->quantize)
        return "--precision=bf16 does not go with --quantize: a product is of one or the other.";
    if (fields->train)
        return "--precision=bf16 is for programs that predict; a model trains so by Keras's policy "
               "mixed_bfloat16.";
    if (fields->form == KT_EMIT_GRAPH)
        return "--emit=graph is the model as it was read; --precision=bf16 shows in --emit=optimized.";
    return NULL;
}

/* What --quantize does not go with: NULL, or a sentence. */
static const char *refuse_quantize(const compile_command *fields) {
    if (!fields->quantize) return fields->calibrate ? "--calibrate is for --quantize." : NULL;
    bool weights = keeps_bytes(fields);
    if (!weights && strcmp(fields->quantize, "int8") != 0) return "--quantize is for int8 and int8-weights.";
    if (!weights && !fields->calibrate) return "--quantize wants data: --calibrate FILE.";
    if (fields->train) return "--quantize is for programs that predict; --train changes the weights.";
    if (fields->form == KT_EMIT_GRAPH)
        return "--emit=graph is the model as it was read; --quantize shows in --emit=optimized.";
    if (calls_blas(fields)) return "--quantize wants --contractions=own: OpenBLAS multiplies no bytes.";
    if (!weights && fields->weights && !strcmp(fields->weights, "file"))
        return "--quantize keeps weights inside the program, since others would give other ranges.";
    if (fields->calibrate && (!strcmp(fields->model, "-") || !strcmp(fields->calibrate, "-")))
        return "--calibrate wants the model and its data as files, which are read more than once.";
    return NULL;
}

typedef struct target_check {
    const cli_command *command;
    compile_command *fields;
    int exit;
} target_check;

static void note_features(compile_command *fields, const kt_target *target) {
    uint64_t features = target->arch == KT_ARCH_X86_64 ? target->cpu_features : 0;
    fields->multiplies_bytes = features & KT_CPU_AVX512VNNI;
    fields->multiplies_pairs = features & KT_CPU_AVX512BF16;
    fields->runs_here = target->at_home && !(target->cpu_features & ~kt_cpu_features());
}

/* What is wrong with --target, --cpu and --features is the usage. */
static kt_status check_target(kt_arena *arena, void *context, kt_diag *diag) {
    target_check *check = context;
    compile_command *fields = check->fields;
    kt_target target = {0};
    kt_diag found = {0};
    (void)diag;
    if (kt_target_describe(fields->target, fields->cpu, fields->features, arena, &target, &found) != KT_OK)
        check->exit = cli_usage_error(check->command, "%s",
                                      found.count ? found.problems[0].text : "There is not enough memory.");
    else
        note_features(fields, &target);
    kt_diag_deinit(&found);
    return KT_OK;
}

int cli_run_compile(const cli_command *command, int argc, char **argv) {
    compile_command fields = {.level = 2};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &fields, &fields.model, &rest, &exit_status)) return exit_status;
    if (!fields.output) return cli_usage_error(command, "-o OUT is missing.");
    if (cli_overwrites(fields.model, fields.output))
        return cli_usage_error(command, "%s is the model itself; write elsewhere.", fields.output);
    if ((fields.calibrate && cli_overwrites(fields.calibrate, fields.output)) ||
        (fields.tuning_file && cli_overwrites(fields.tuning_file, fields.output)))
        return cli_usage_error(command, "%s is read as well; write elsewhere.", fields.output);
    exit_status = choose_form(command, &fields);
    if (exit_status) return exit_status;
    if (!strcmp(fields.output, "-") && fields.form <= KT_EMIT_OBJECT)
        return cli_usage_error(
            command,
            "Only text goes to standard output; say --emit=graph, plan, loops, llvm or asm, or name a file.");
    if (fields.debug && !fields.dump_dir && !strcmp(fields.output, "-"))
        return cli_usage_error(command, "-g writes the graph beside OUT; name a file, or say --dump-dir.");
    if (fields.name && strcmp(fields.name, "") == 0)
        return cli_usage_error(command, "--name wants an identifier.");
    for (const char *c = fields.name; c && *c; c++)
        if (!(*c == '_' || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
              (*c >= '0' && *c <= '9' && c != fields.name)))
            return cli_usage_error(command, "--name %s is no C identifier.", fields.name);
    if (fields.libc && strcmp(fields.libc, "glibc") != 0) {
        if (strcmp(fields.libc, "musl") != 0)
            return cli_usage_error(command, "--libc=%s is neither glibc nor musl.", fields.libc);
        if (fields.form < KT_EMIT_HEADER && fields.form != KT_EMIT_EXE)
            return cli_usage_error(command, "--libc=musl makes executables only.");
    }
    if (fields.optimizer && !fields.train) return cli_usage_error(command, "--optimizer is for --train.");
    if (fields.memory_limit && !fields.train)
        return cli_usage_error(command, "--memory-limit is for --train.");
    if (fields.memory_limit && fields.form == KT_EMIT_GRAPH)
        return cli_usage_error(command, "--emit=graph is the model as it was read; --memory-limit shows in "
                                        "--emit=optimized and --emit=plan.");
    if (fields.train && fields.libc && strcmp(fields.libc, "glibc") != 0)
        return cli_usage_error(command,
                               "--train wants glibc: checkpoints are written by libhdf5, which does not "
                               "link with musl.");
    if (fields.weights && strcmp(fields.weights, "embed") != 0 && strcmp(fields.weights, "file") != 0)
        return cli_usage_error(command, "--weights=%s is neither embed nor file.", fields.weights);
    if (fields.print_after && strcmp(fields.print_after, "all") != 0 && !kt_pass_find(fields.print_after))
        return cli_usage_error(command, "There is no pass %s; keratin passes lists them.",
                               fields.print_after);
    if (fields.contractions && !calls_blas(&fields) && strcmp(fields.contractions, "own") != 0)
        return cli_usage_error(command, "--contractions=%s is neither own nor openblas.",
                               fields.contractions);
    const char *refused = refuse_precision(&fields);
    if (!refused) refused = refuse_quantize(&fields);
    if (refused) return cli_usage_error(command, "%s", refused);
    target_check check = {.command = command, .fields = &fields};
    exit_status = cli_guarded(check_target, &check, NULL);
    if (exit_status || check.exit) return exit_status ? exit_status : check.exit;
    refused = refuse_tuning(&fields);
    if (refused) return cli_usage_error(command, "%s", refused);
    return cli_guarded(compile_body, &fields, strcmp(fields.model, "-") ? fields.model : "standard input");
}

/* ---- run ------------------------------------------------------------------------------------- */
typedef struct run_command {
    compile_command compile;
    int program; /* file descriptor of the compiled program, which has no name any more */
} run_command;

static kt_status run_body(kt_arena *arena, void *context, kt_diag *diag) {
    run_command *run = context;
    const char *directory;
    KT_TRY(kt_temporary_directory(arena, &directory, diag));
    run->compile.output = kt_arena_format(arena, "%s/program", directory);
    KT_TRY(read_and_compile(arena, &run->compile, diag));
    run->program = open(run->compile.output, O_RDONLY | O_CLOEXEC);
    if (run->program < 0)
        return kt_diag_add(diag, KT_IO, NULL, "Cannot open the compiled program: %s.", strerror(errno));
    return KT_OK;
}

int cli_run_run(const cli_command *command, int argc, char **argv) {
    run_command run = {.compile = {.level = 2, .form = KT_EMIT_EXE}, .program = -1};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &run.compile, &run.compile.model, &rest, &exit_status))
        return exit_status;
    const char *model = run.compile.model;
    exit_status = cli_guarded(run_body, &run, strcmp(model, "-") ? model : "standard input");
    if (exit_status) return exit_status;
    argv[rest - 1] = (char *)model;
    fexecve(run.program, argv + rest - 1, environ);
    fprintf(stderr, "keratin: error: %s: Cannot start the compiled program: %s.\n", model, strerror(errno));
    return EXIT_WRONG_INPUT;
}
