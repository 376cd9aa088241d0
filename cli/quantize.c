/* keratin compile --quantize --calibrate: what the pass quantize has to know, and how far its results depart.
 *
 * The model is first compiled in floats, with the smallest and largest of what goes into each product as
 * outputs besides its own, and run on the calibration data, as a program of its own, like any that we
 * compile. The ranges make the model of bytes, which is compiled for this machine, run on the same data, and
 * compared; then for the target. Ranges are the smallest and largest values of all samples. Where weights
 * alone are quantised, there are none. */
#include "cli/cli.h"
#include "runtime/runtime.h"
#include "support/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct calibration {
    const cli_calibration *asked;
    kt_arena *arena;
    kt_diag *diag;
    const char *directory;
    kt_arrays floats, bytes; /* what the programs gave */
    KT_VECTOR(kt_observed) ranges;
} calibration;

/* Records a problem of the calibration data. */
static kt_status about_data(const calibration *c, const char *sentence) {
    const char *outer = c->diag->file;
    c->diag->file = c->asked->data;
    kt_diag_add(c->diag, KT_INVALID, NULL, "%s", sentence);
    c->diag->file = outer;
    return KT_INVALID;
}

static void release(void *data) { free(data); }
static void release_arrays(void *arrays) { kt_arrays_deinit(arrays); }

/* A sentence without the file that it begins with. */
static const char *without_file(const char *sentence, const char *path) {
    size_t length = strlen(path);
    bool named = strncmp(sentence, path, length) == 0 && strncmp(sentence + length, ": ", 2) == 0;
    return named ? sentence + length + 2 : sentence;
}

static kt_status read_arrays(const calibration *c, const char *path, kt_arrays *out_arrays) {
    char error[KT_IO_ERROR];
    if (kt_arrays_read(path, out_arrays, error)) return about_data(c, without_file(error, path));
    kt_arena_defer(c->arena, release_arrays, out_arrays);
    return KT_OK;
}

static int64_t element_count(const kt_buffer *buffer) {
    int64_t count = 1;
    for (int axis = 0; axis < buffer->rank; axis++) count *= buffer->dims[axis];
    return count;
}

/* NULL, and a problem, where elements are no numbers. */
static const double *as_doubles(const calibration *c, const kt_buffer *buffer) {
    kt_buffer converted;
    if (kt_buffer_convert(buffer, KT_F64, &converted)) {
        about_data(
            c, kt_arena_format(c->arena, "Arrays of %s do not calibrate.", kt_abi_dtype_name(buffer->dtype)));
        return NULL;
    }
    kt_arena_defer(c->arena, release, converted.data);
    return converted.data;
}

/* Are all elements finite, and is there one? */
static kt_status check_array(const calibration *c, const kt_array *array) {
    int64_t count = element_count(&array->buffer);
    if (count == 0) return about_data(c, "There are no samples to calibrate with.");
    if (!kt_dtype_is_float((kt_dtype)array->buffer.dtype)) return KT_OK;
    const double *numbers = as_doubles(c, &array->buffer);
    if (!numbers) return KT_INVALID;
    for (int64_t i = 0; i < count; i++) {
        if (isfinite(numbers[i])) continue;
        const char *of = array->name ? kt_arena_format(c->arena, " of '%s'", array->name) : "";
        return about_data(c, kt_arena_format(c->arena,
                                             "Element %" PRId64
                                             "%s is %g; data to calibrate with must be finite.",
                                             i, of, numbers[i]));
    }
    return KT_OK;
}

/* What is wrong with the data whatever the model is. */
static kt_status check_data(const calibration *c) {
    kt_arrays *data = KT_NEW(c->arena, kt_arrays);
    KT_TRY(read_arrays(c, c->asked->data, data));
    for (size_t i = 0; i < data->count; i++) KT_TRY(check_array(c, &data->at[i]));
    return KT_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

/* The graph, but for any batch: the last samples of a fixed one would come with others that are made up. */
static kt_status compile_and_run(const calibration *c, const kt_quantization *quantization, const char *name,
                                 kt_arrays *out_results) {
    kt_graph *graph;
    const char *program = kt_arena_format(c->arena, "%s/%s", c->directory, name);
    const char *results = kt_arena_format(c->arena, "%s/%s.npz", c->directory, name);
    kt_compile_options options = {.emit = KT_EMIT_EXE,
                                  .output = program,
                                  .level = c->asked->level,
                                  .quantization = quantization,
                                  .verify = cli_verifies()};
    KT_TRY(kt_model_read(c->arena, c->asked->model, &graph, c->diag));
    if (!kt_graph_find(graph, "predict"))
        return kt_diag_add(c->diag, KT_INVALID, NULL, "The model has no entry predict to quantise.");
    KT_TRY(cli_bind_shapes(graph, 0, c->asked->shapes, &options.bindings, &options.binding_count, c->diag));
    KT_TRY(kt_compile(graph, &options, c->diag));
    const char *command[] = {program, "predict", "--input", c->asked->data, "--output", results, NULL};
    kt_diag found = {0};
    kt_status status = kt_command_run(command, &found);
    if (status != KT_OK && found.count) {
        /* The program says what is wrong with the data better than that it failed. */
        const char *text = found.problems[0].text, *error = strstr(text, "error: ");
        about_data(c, without_file(error ? error + strlen("error: ") : text, c->asked->data));
    }
    kt_diag_deinit(&found);
    KT_TRY(status);
    return read_arrays(c, results, out_results);
}

static const kt_array *find_array(const kt_arrays *arrays, const char *name) {
    for (size_t i = 0; i < arrays->count; i++)
        if (arrays->at[i].name && !strcmp(arrays->at[i].name, name)) return &arrays->at[i];
    return NULL;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* The name of the product that an output was observed before, or NULL. */
static const char *observed_name(const kt_array *array) {
    size_t length = strlen(KT_OBSERVED_LOW);
    return array->name && !strncmp(array->name, KT_OBSERVED_LOW, length) ? array->name + length : NULL;
}

static bool is_observed(const kt_array *array) {
    return observed_name(array) || !strncmp(array->name, KT_OBSERVED_HIGH, strlen(KT_OBSERVED_HIGH));
}

static kt_status add_range(calibration *c, const char *name, const kt_array *low, const kt_array *high) {
    const double *lows = as_doubles(c, &low->buffer), *highs = high ? as_doubles(c, &high->buffer) : NULL;
    if (!lows || !highs) return KT_INVALID;
    kt_observed range = {.name = name, .low = INFINITY, .high = -INFINITY};
    for (int64_t i = 0; i < element_count(&low->buffer); i++) {
        if (!isfinite(lows[i]) || !isfinite(highs[i]))
            return about_data(
                c, kt_arena_format(c->arena, "Sample %" PRId64 " gives %g before %s; no range holds that.", i,
                                   isfinite(lows[i]) ? highs[i] : lows[i], name));
        range.low = fmin(range.low, lows[i]);
        range.high = fmax(range.high, highs[i]);
    }
    KT_PUSH(c->arena, &c->ranges, range);
    return KT_OK;
}

static kt_status find_ranges(calibration *c) {
    for (size_t i = 0; i < c->floats.count; i++) {
        const char *name = observed_name(&c->floats.at[i]);
        if (!name) continue;
        const char *high = kt_arena_format(c->arena, "%s%s", KT_OBSERVED_HIGH, name);
        KT_TRY(add_range(c, name, &c->floats.at[i], find_array(&c->floats, high)));
    }
    if (c->ranges.count) return KT_OK;
    return kt_diag_add(
        c->diag, KT_UNSUPPORTED, NULL,
        "There is nothing to quantise: no contraction or convolution of float32 by weights, outside of "
        "loops, of three channels or more.");
}

/* ---- departures ------------------------------------------------------------------------------ */

static int64_t largest_of(const double *row, int64_t count) {
    int64_t largest = 0;
    for (int64_t i = 1; i < count; i++)
        if (row[i] > row[largest]) largest = i;
    return largest;
}

/* Infinities depart from what is finite by no number, which is counted instead. */
static kt_status compare(const calibration *c, const kt_array *floats, const kt_array *bytes, kt_text *note) {
    const double *a = as_doubles(c, &floats->buffer), *b = as_doubles(c, &bytes->buffer);
    if (!a || !b) return KT_INVALID;
    int64_t count = element_count(&floats->buffer), same = 0, finite = 0, lost = 0;
    double worst = 0, total = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) {
            lost += a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]));
            continue;
        }
        double distance = fabs(a[i] - b[i]);
        finite++;
        worst = fmax(worst, distance);
        total += distance;
        largest = fmax(largest, fabs(a[i]));
    }
    kt_text_format(note, " %s departs by at most %.3g, by %.3g on average, of values up to %.3g",
                   floats->name, worst, finite ? total / (double)finite : 0, largest);
    if (lost)
        kt_text_format(note,
                       " (%" PRId64 " of %" PRId64 " elements are infinite or no number, but not alike)",
                       lost, count);
    int64_t row = floats->buffer.rank > 1 ? floats->buffer.dims[floats->buffer.rank - 1] : 1;
    for (int64_t i = 0; row > 1 && i < count; i += row)
        same += largest_of(a + i, row) == largest_of(b + i, row);
    if (row > 1)
        kt_text_format(note, ", and is largest at the same place in %" PRId64 " of %" PRId64 " rows", same,
                       count / row);
    kt_text_add(note, ".");
    return KT_OK;
}

static kt_status describe_departures(const calibration *c, const char *what, const char **out_note) {
    kt_text note = {.arena = c->arena};
    kt_text_format(&note, "%s; on the calibration data:", what);
    for (size_t i = 0; i < c->floats.count; i++) {
        const kt_array *floats = &c->floats.at[i], *bytes = find_array(&c->bytes, floats->name);
        if (is_observed(floats) || !bytes || !kt_dtype_is_float((kt_dtype)floats->buffer.dtype)) continue;
        KT_TRY(compare(c, floats, bytes, &note));
    }
    *out_note = kt_text_string(&note);
    return KT_OK;
}

/* Runs the model in floats, on the way to what *quantization must know. */
static kt_status run_floats(calibration *c, kt_quantization *quantization, const char **out_what) {
    if (quantization->weights_only) {
        *out_what = "Weights of contractions and of tables are bytes";
        return compile_and_run(c, NULL, "floats", &c->floats);
    }
    const kt_quantization observing = {.observes = true};
    KT_TRY(compile_and_run(c, &observing, "floats", &c->floats));
    KT_TRY(find_ranges(c));
    quantization->ranges = c->ranges.at;
    quantization->count = c->ranges.count;
    *out_what = kt_arena_format(c->arena,
                                c->ranges.count == 1 ? "%u contraction or convolution multiplies bytes"
                                                     : "%u contractions and convolutions multiply bytes",
                                c->ranges.count);
    return KT_OK;
}

kt_status cli_calibrate(kt_arena *arena, const cli_calibration *asked, kt_quantization *quantization,
                        const char **out_note, kt_diag *diag) {
    calibration *c = KT_NEW(arena, calibration);
    const char *what;
    *c = (calibration){.asked = asked, .arena = arena, .diag = diag};
    KT_TRY(check_data(c));
    KT_TRY(kt_temporary_directory(arena, &c->directory, diag));
    KT_TRY(run_floats(c, quantization, &what));
    KT_TRY(compile_and_run(c, quantization, "bytes", &c->bytes));
    return describe_departures(c, what, out_note);
}
