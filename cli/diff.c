/* keratin diff: the first layer whose output departs from what somebody else computed.
 *
 * The file holds arrays by layer path, as a Keras model of all intermediate outputs gives them. Layers whose
 * arrays it holds become the outputs of the program; the inputs' arrays are fed; outputs are compared in the
 * order in which layers are called, so that the first one that departs is where the error enters. Compiled
 * code runs as a program of its own: should it crash, this does not. */
#include "cli/cli.h"
#include "runtime/runtime.h"
#include "support/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct diff_command {
    const char *model, *against, *python, *relative, *absolute, *cpu;
    double rtol, atol; /* rtol below 0: by dtype */
    int level;
    bool evaluates, lists;
    bool departs;
} diff_command;

#define FIELD(field) offsetof(diff_command, field)
const cli_option cli_diff_options[] = {
    {"--against", "FILE.npz", "what the layers should give: arrays by layer path, and the inputs by name",
     CLI_TEXT, FIELD(against), true},
    {"--keras", "PYTHON",
     "compute the arrays with Keras by this Python; --against gives the inputs, else they are made up",
     CLI_TEXT, FIELD(python), true},
    {"--evaluate", NULL, "run the reference evaluator instead of compiled code", CLI_FLAG, FIELD(evaluates),
     true},
    {"--rtol", "R", "allow R times the largest value of a layer's array [1e-4 for float32]", CLI_TEXT,
     FIELD(relative), true},
    {"--atol", "A", "allow A besides [0]", CLI_TEXT, FIELD(absolute), true},
    {"--all", NULL, "list all layers that were compared, not only the first that departs", CLI_FLAG,
     FIELD(lists), true},
    {"--cpu", "CPU", "which CPU to compile for, as keratin targets lists them [native]", CLI_TEXT, FIELD(cpu),
     true},
    {"-O", "0|1|2|3", "how much to optimise; -O0 keeps one kernel a node [-O2]", CLI_LEVEL, FIELD(level),
     true},
    {NULL},
};

/* What rounding through a deep model may come to, as a part of the largest value. Other dtypes are exact. */
static const double default_rtol[KT_DTYPE_COUNT] = {
    [KT_F32] = 1e-4, [KT_F64] = 1e-10, [KT_F16] = 1e-2, [KT_BF16] = 4e-2, [KT_C64] = 1e-4};

typedef struct comparison {
    const diff_command *fields;
    kt_arena *arena;
    kt_diag *diag;
    const kt_observer *observer;
    kt_arrays arrays; /* of the file */
    bool *used;       /* by array */
    kt_graph *graph;
    kt_func entry;
    const kt_array **inputs, **expected; /* by the entry's input and output */
    uint32_t input_count, output_count;
    kt_buffer *got; /* by output */
} comparison;

/* Records a problem of the file of arrays. */
static kt_status about_arrays(comparison *c, kt_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static kt_status about_arrays(comparison *c, kt_status status, const char *format, ...) {
    const char *outer = c->diag->file;
    va_list arguments;
    va_start(arguments, format);
    const char *text = kt_arena_vformat(c->arena, format, arguments);
    va_end(arguments);
    if (c->fields->against) c->diag->file = c->fields->against;
    kt_diag_add(c->diag, status, NULL, "%s", text);
    c->diag->file = outer;
    return status;
}

static void release_arrays(void *arrays) { kt_arrays_deinit(arrays); }

static kt_status read_arrays(comparison *c, const char *path, kt_arrays *out_arrays) {
    char error[KT_IO_ERROR];
    if (kt_arrays_read(path, out_arrays, error)) {
        const char *sentence = error + (strncmp(error, path, strlen(path)) ? 0 : strlen(path) + 2);
        return about_arrays(c, KT_IO, "%s", sentence);
    }
    kt_arena_defer(c->arena, release_arrays, out_arrays);
    return KT_OK;
}

/* ---- what is compared ------------------------------------------------------------------------ */
static const kt_array *find_array(comparison *c, const char *name) {
    for (size_t i = 0; i < c->arrays.count; i++) {
        if (!c->arrays.at[i].name || strcmp(c->arrays.at[i].name, name) != 0) continue;
        c->used[i] = true;
        return &c->arrays.at[i];
    }
    return NULL;
}

/* By a layer's path below the model, or with the model's name in front, as problems and dumps have it. */
static const kt_array *find_layer_array(comparison *c, const char *name) {
    const kt_array *found = find_array(c, name);
    if (found || !c->observer->model) return found;
    return find_array(c, kt_arena_format(c->arena, "%s/%s", c->observer->model->path, name));
}

static bool wants(void *context, const char *name) { return find_layer_array(context, name); }

/* The inputs' arrays by name; a model's only input may have any name that is no layer's, since Sequential
 * models hide theirs. */
static kt_status choose_inputs(comparison *c) {
    const kt_function *entry = kt_graph_function(c->graph, c->entry);
    c->inputs = KT_NEW_ARRAY(c->arena, const kt_array *, entry->params.count + 1);
    const kt_array *only = NULL;
    const char *missing = NULL;
    size_t left = 0;
    for (uint32_t i = 0; i < entry->params.count; i++) {
        const kt_port *param = &entry->params.at[i];
        if (param->role != KT_ROLE_INPUT) continue;
        c->inputs[c->input_count] = find_array(c, param->name);
        if (!c->inputs[c->input_count++] && !missing) missing = param->name;
    }
    for (size_t i = 0; i < c->arrays.count; i++) {
        if (c->used[i]) continue;
        only = &c->arrays.at[i];
        left++;
    }
    if (!missing) return KT_OK;
    if (c->input_count != 1 || left != 1)
        return about_arrays(c, KT_INVALID, "There is no array for the input '%s'.", missing);
    c->inputs[0] = only;
    c->used[only - c->arrays.at] = true;
    return KT_OK;
}

static kt_status choose_outputs(comparison *c) {
    const kt_function *entry = kt_graph_function(c->graph, c->entry);
    c->expected = KT_NEW_ARRAY(c->arena, const kt_array *, entry->results.count + 1);
    uint32_t found = 0;
    for (uint32_t i = 0; i < entry->results.count; i++) {
        if (entry->results.at[i].role != KT_ROLE_OUTPUT) continue;
        c->expected[c->output_count] = find_layer_array(c, entry->results.at[i].name);
        if (c->expected[c->output_count++]) found++;
    }
    if (found) return KT_OK;
    return about_arrays(c, KT_INVALID,
                        "No array has the path of a layer of the model, so there is nothing to compare.");
}

static void report_unknown(const comparison *c) {
    for (size_t i = 0; i < c->arrays.count; i++)
        if (!c->used[i])
            fprintf(stderr,
                    "keratin: note: %s: '%s' is neither a layer nor an input of the model; it is skipped.\n",
                    c->fields->against ? c->fields->against : "Keras",
                    c->arrays.at[i].name ? c->arrays.at[i].name : "");
}

/* ---- running --------------------------------------------------------------------------------- */
static const char *port_name(const comparison *c, bool input, uint32_t index) {
    const kt_function *entry = kt_graph_function(c->graph, c->entry);
    uint32_t count = input ? entry->params.count : entry->results.count;
    const kt_port *ports = input ? entry->params.at : entry->results.at;
    for (uint32_t i = 0; i < count; i++)
        if (ports[i].role == (input ? KT_ROLE_INPUT : KT_ROLE_OUTPUT) && ports[i].index == index)
            return ports[i].name;
    KT_BUG("no port %u", index);
}

static void release(void *data) { free(data); }

static kt_status evaluate(comparison *c) {
    const kt_function *entry = kt_graph_function(c->graph, c->entry);
    kt_tensor *inputs = KT_NEW_ARRAY(c->arena, kt_tensor, c->input_count + 1);
    kt_tensor *results = KT_NEW_ARRAY(c->arena, kt_tensor, entry->results.count + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < entry->params.count; i++) {
        if (entry->params.at[i].role != KT_ROLE_INPUT) continue;
        kt_buffer buffer = c->inputs[count]->buffer;
        int32_t dtype = (int32_t)kt_graph_type(c->graph, entry->params.at[i].value)->dtype;
        if (buffer.dtype != dtype) {
            if (kt_buffer_convert(&c->inputs[count]->buffer, dtype, &buffer))
                return kt_diag_add(c->diag, KT_INVALID, NULL, "The input '%s' cannot be converted to %s.",
                                   c->inputs[count]->name, kt_abi_dtype_name(dtype));
            kt_arena_defer(c->arena, release, buffer.data);
        }
        kt_tensor *input = &inputs[count++];
        *input = (kt_tensor){.dtype = (kt_dtype)dtype, .rank = buffer.rank, .data = buffer.data};
        memcpy(input->dims, buffer.dims, sizeof input->dims);
    }
    KT_TRY(kt_eval(c->graph, c->entry, NULL, inputs, count, c->arena, results, c->diag));
    count = 0;
    for (uint32_t i = 0; i < entry->results.count; i++) {
        if (entry->results.at[i].role != KT_ROLE_OUTPUT) continue;
        kt_buffer *got = &c->got[count++];
        *got = (kt_buffer){.dtype = results[i].dtype, .rank = results[i].rank, .data = results[i].data};
        memcpy(got->dims, results[i].dims, sizeof got->dims);
    }
    return KT_OK;
}

static kt_status run_compiled(comparison *c) {
    const char *directory;
    char error[KT_IO_ERROR];
    KT_TRY(kt_temporary_directory(c->arena, &directory, c->diag));
    const char *program = kt_arena_format(c->arena, "%s/program", directory);
    const char *inputs = kt_arena_format(c->arena, "%s/inputs.npz", directory);
    const char *outputs = kt_arena_format(c->arena, "%s/outputs.npz", directory);
    kt_array *feeds = KT_NEW_ARRAY(c->arena, kt_array, c->input_count + 1);
    int64_t samples = 1;
    for (uint32_t i = 0; i < c->input_count; i++) {
        feeds[i] = *c->inputs[i];
        feeds[i].name = (char *)port_name(c, true, i);
        if (feeds[i].buffer.rank && feeds[i].buffer.dims[0] > samples) samples = feeds[i].buffer.dims[0];
    }
    if (kt_arrays_write(inputs, feeds, c->input_count, error))
        return kt_diag_add(c->diag, KT_IO, NULL, "%s", error);
    uint32_t output_count = c->output_count;
    kt_compile_options options = {.emit = KT_EMIT_EXE,
                                  .output = program,
                                  .cpu = c->fields->cpu,
                                  .level = c->fields->level,
                                  .verify = cli_verifies()};
    cli_apply_variables(&options);
    const char **names = KT_NEW_ARRAY(c->arena, const char *, output_count + 1);
    for (uint32_t i = 0; i < output_count; i++) names[i] = port_name(c, false, i);
    KT_TRY(kt_compile(c->graph, &options, c->diag));
    const char *command[] = {
        program,    "predict", "--input",      inputs,
        "--output", outputs,   "--batch-size", kt_arena_format(c->arena, "%" PRId64, samples),
        NULL};
    KT_TRY(kt_command_run(command, c->diag));
    kt_arrays *got = KT_NEW(c->arena, kt_arrays);
    KT_TRY(read_arrays(c, outputs, got));
    for (uint32_t i = 0; i < output_count; i++)
        for (size_t k = 0; k < got->count; k++)
            if (!strcmp(got->at[k].name, names[i])) c->got[i] = got->at[k].buffer;
    return KT_OK;
}

/* ---- comparing ------------------------------------------------------------------------------- */
typedef struct difference {
    const char *shapes; /* a sentence's end where shapes differ; else NULL */
    double largest;     /* of the finite expected values, by size */
    double worst;       /* infinite where one side is no number, or infinite, and the other is not */
    double allowed, rtol;
    int64_t at, elements, departing;
    double expected, got; /* at the worst place */
} difference;

static int64_t element_count(const kt_buffer *buffer) {
    int64_t count = 1;
    for (int axis = 0; axis < buffer->rank; axis++) count *= buffer->dims[axis];
    return count;
}

static void print_shape(const kt_buffer *buffer, kt_text *text) {
    kt_text_add(text, "[");
    for (int axis = 0; axis < buffer->rank; axis++)
        kt_text_format(text, "%s%" PRId64, axis ? ", " : "", buffer->dims[axis]);
    kt_text_add(text, "]");
}

static double distance(double expected, double got) {
    if (expected == got || (isnan(expected) && isnan(got))) return 0;
    double distance = fabs(expected - got);
    return isnan(distance) ? INFINITY : distance;
}

/* NULL, and a problem, where elements are no numbers. */
static const double *as_doubles(comparison *c, const kt_buffer *buffer) {
    kt_buffer converted;
    if (kt_buffer_convert(buffer, KT_F64, &converted)) {
        kt_diag_add(c->diag, KT_INVALID, NULL, "Arrays of %s cannot be compared.",
                    kt_abi_dtype_name(buffer->dtype));
        return NULL;
    }
    kt_arena_defer(c->arena, release, converted.data);
    return converted.data;
}

static kt_status compare(comparison *c, uint32_t output, difference *out) {
    const kt_buffer *expected = &c->expected[output]->buffer, *got = &c->got[output];
    *out = (difference){.elements = element_count(expected)};
    if (expected->rank != got->rank ||
        memcmp(expected->dims, got->dims, (size_t)got->rank * sizeof *got->dims) != 0) {
        kt_text text = {.arena = c->arena};
        print_shape(got, &text);
        kt_text_add(&text, " instead of ");
        print_shape(expected, &text);
        out->shapes = kt_text_string(&text);
        return KT_OK;
    }
    const double *a = as_doubles(c, expected), *b = as_doubles(c, got);
    if (!a || !b) return KT_INVALID;
    for (int64_t i = 0; i < out->elements; i++)
        if (isfinite(a[i]) && fabs(a[i]) > out->largest) out->largest = fabs(a[i]);
    out->rtol = c->fields->rtol < 0 ? default_rtol[got->dtype] : c->fields->rtol;
    out->allowed = c->fields->atol + out->rtol * out->largest;
    for (int64_t i = 0; i < out->elements; i++) {
        double here = distance(a[i], b[i]);
        out->departing += here > out->allowed;
        if (here <= out->worst && i) continue;
        out->worst = here;
        out->at = i;
        out->expected = a[i];
        out->got = b[i];
    }
    return KT_OK;
}

static bool departs(const difference *d) { return d->shapes || d->departing > 0; }

static void print_position(const kt_buffer *buffer, int64_t at, kt_text *text) {
    int64_t index[KT_MAX_RANK];
    for (int axis = buffer->rank - 1; axis >= 0; axis--) {
        index[axis] = at % buffer->dims[axis];
        at /= buffer->dims[axis];
    }
    kt_buffer position = {.rank = buffer->rank};
    memcpy(position.dims, index, sizeof index);
    print_shape(&position, text);
}

static void explain(const comparison *c, uint32_t output, const difference *d, uint32_t before) {
    kt_text text = {.arena = c->arena};
    const kt_buffer *got = &c->got[output];
    kt_text_format(&text, "%s\n", c->expected[output]->name);
    if (d->shapes) {
        kt_text_format(&text, "  its output has the shape %s\n", d->shapes);
    } else {
        kt_text_format(&text,
                       "  %" PRId64 " of %" PRId64 " elements depart; the largest difference is %.6g, at ",
                       d->departing, d->elements, d->worst);
        print_position(got, d->at, &text);
        kt_text_format(&text, ": %.9g instead of %.9g\n", d->got, d->expected);
        kt_text_format(&text, "  allowed is %.6g: %g times the largest value, %.6g", d->allowed, d->rtol,
                       d->largest);
        if (c->fields->atol > 0) kt_text_format(&text, ", and %g", c->fields->atol);
        kt_text_add(&text, "\n");
    }
    kt_text_format(&text, "  %u compared before it agree%s\n", before, before == 1 ? "s" : "");
    fputs(kt_text_string(&text), stdout);
}

static kt_status compare_all(comparison *c, diff_command *fields) {
    difference *differences = KT_NEW_ARRAY(c->arena, difference, c->output_count);
    difference worst = {0}; /* by what part of its tolerance it departs */
    const char *worst_name = NULL;
    uint32_t compared = 0;
    bool first = true;
    for (uint32_t i = 0; i < c->output_count; i++) {
        if (!c->expected[i]) continue;
        KT_TRY(compare(c, i, &differences[i]));
        if (departs(&differences[i]) && first) {
            explain(c, i, &differences[i], compared);
            first = false;
        }
        compared++;
        const difference *d = &differences[i];
        if (worst_name && d->worst * worst.allowed <= worst.worst * d->allowed) continue;
        worst = *d;
        worst_name = c->expected[i]->name;
    }
    fields->departs = !first;
    if (first && worst_name)
        printf("%u compared agree; the largest difference is %.6g, of %.6g allowed, in %s\n", compared,
               worst.worst, worst.allowed, worst_name);
    for (uint32_t i = 0; i < c->output_count && fields->lists; i++) {
        if (!c->expected[i]) continue;
        const difference *d = &differences[i];
        printf("%-8s %-40s ", departs(d) ? "departs" : "agrees", c->expected[i]->name);
        if (d->shapes)
            printf("%s\n", d->shapes);
        else
            printf("%12.6g of %.6g allowed\n", d->worst, d->allowed);
    }
    return KT_OK;
}

/* Has Keras compute the arrays: a file that goes when arena goes. */
static kt_status ask_keras(comparison *c, const char **out_path) {
    const char *directory;
    KT_TRY(kt_temporary_directory(c->arena, &directory, c->diag));
    const char *script = kt_arena_format(c->arena, "%s/layers.py", directory);
    *out_path = kt_arena_format(c->arena, "%s/layers.npz", directory);
    KT_TRY(kt_file_write(script, cli_layers_script, strlen(cli_layers_script), c->diag));
    const char *inputs = c->fields->against ? c->fields->against : "-";
    const char *command[] = {c->fields->python, script, c->fields->model, inputs, *out_path, NULL};
    return kt_command_run(command, c->diag);
}

static kt_status diff_body(kt_arena *arena, void *context, kt_diag *diag) {
    diff_command *fields = context;
    comparison c = {.fields = fields, .arena = arena, .diag = diag};
    kt_observer observer = {.wants = wants, .context = &c};
    c.observer = &observer;
    kt_arrays *arrays = KT_NEW(arena, kt_arrays);
    const char *path = fields->against;
    if (fields->python) KT_TRY(ask_keras(&c, &path));
    KT_TRY(read_arrays(&c, path, arrays));
    c.arrays = *arrays;
    c.used = KT_NEW_ARRAY(arena, bool, c.arrays.count);
    KT_TRY(kt_model_read_observed(arena, fields->model, &observer, &c.graph, diag));
    c.entry = kt_graph_find(c.graph, "predict");
    if (!c.entry) return kt_diag_add(diag, KT_INVALID, NULL, "The model has no entry predict to run.");
    KT_TRY(choose_outputs(&c));
    KT_TRY(choose_inputs(&c));
    report_unknown(&c);
    c.got = KT_NEW_ARRAY(arena, kt_buffer, c.output_count);
    KT_TRY(fields->evaluates ? evaluate(&c) : run_compiled(&c));
    return compare_all(&c, fields);
}

static bool parse_tolerance(const char *text, double *out_number) {
    char *end;
    errno = 0;
    *out_number = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*out_number) && *out_number >= 0;
}

int cli_run_diff(const cli_command *command, int argc, char **argv) {
    diff_command fields = {.level = 2, .rtol = -1};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &fields, &fields.model, &rest, &exit_status)) return exit_status;
    if (fields.python && !strcmp(fields.model, "-"))
        return cli_usage_error(command, "--keras wants the model as a file.");
    if (!fields.against && !fields.python) return cli_usage_error(command, "--against FILE.npz is missing.");
    if (fields.relative && !parse_tolerance(fields.relative, &fields.rtol))
        return cli_usage_error(command, "--rtol wants a number of at least 0, not %s.", fields.relative);
    if (fields.absolute && !parse_tolerance(fields.absolute, &fields.atol))
        return cli_usage_error(command, "--atol wants a number of at least 0, not %s.", fields.absolute);
    exit_status =
        cli_guarded(diff_body, &fields, strcmp(fields.model, "-") ? fields.model : "standard input");
    return exit_status ? exit_status : fields.departs ? EXIT_WRONG_INPUT : EXIT_DONE;
}
