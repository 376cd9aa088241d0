/* usage: model NAME SIZE LOW HIGH GAIN [--peak]
 * Holds a model of keras.applications, FOLDER/NAME.keras without weights, to Keras's predictions for one
 * image of SIZE by SIZE, FOLDER/NAME.npy. Weights and image are computed as make.py computes them. Checked
 * are
 *   - the outputs, to 1e-5 of the largest;
 *   - the workspace: at most a tenth above the lower bound;
 *   - with --peak, the program's peak memory: weights, workspace, input, output and 4 MB.
 * Printed beside are the seconds of processor time that compiling took, and its peak memory. */
#include "codegen/codegen.h"
#include "frontend/keras/keras_impl.h"
#include "frontend/layer.h"
#include "runtime/runtime.h"
#include "support/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define TOLERANCE 1e-5
enum { BLOCKS = 8, CHANNELS = 3, CLASSES = 1000 };
static const int64_t own_bytes = 4 << 20; /* a program's, beside weights and buffers */

typedef struct model {
    const char *name;
    int64_t size;
    float low, high, gain;
    bool peak;
    kt_diag *diag;
    kt_arena *arena;
    const char *directory; /* for what is made */
    const char *program, *input;
    kt_graph *graph;
    int64_t weights_bytes, workspace_bytes;
    uint32_t failures;
} model;

/* ---- the numbers ----------------------------------------------------------------------------- */
static uint64_t hash_of(const char *name) {
    uint64_t state = 0xcbf29ce484222325;
    for (; *name; name++) state = (state ^ (uint8_t)*name) * 0x100000001b3;
    return state;
}

/* Number i of a series, in [-1, 1). */
static float counter_hash(uint64_t series, uint64_t i) {
    uint64_t z = series + (i + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return (float)((int64_t)(z >> 40) - (1 << 23)) * 0x1p-23F;
}

/* The last two parts of "model/layer/kernel". */
static const char *short_path(const char *path) {
    const char *short_from = path;
    for (const char *at = path, *slash; (slash = strchr(at, '/')) && strchr(slash + 1, '/'); at = slash + 1)
        short_from = slash + 1;
    return short_from;
}

static bool is_one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (!strcmp(word, *words)) return true;
    return false;
}

static void fill_variable(model *self, kt_variable *variable) {
    static const char *const variances[] = {"moving_variance", "variance", NULL};
    static const char *const centred[] = {"bias", "beta", "moving_mean", "mean", NULL};
    static const char *const kernels[] = {"kernel", "depthwise_kernel", "pointwise_kernel", NULL};
    const char *name = short_path(variable->path), *weight = strrchr(name, '/') + 1;
    int64_t dims[KT_MAX_RANK] = {0}, elements = kt_type_static_elements(self->graph->dims, &variable->type);
    int rank = variable->type.rank;
    float *values = kt_arena_array(self->arena, (size_t)elements + 1, kt_dtype_bytes(variable->type.dtype));
    variable->data = values;
    self->weights_bytes += elements * (int64_t)kt_dtype_bytes(variable->type.dtype);
    if (!strcmp(weight, "count")) return;
    if (variable->type.dtype != KT_F32) KT_BUG("%s is not float32", variable->path);
    for (int axis = 0; axis < rank; axis++)
        (void)kt_dim_is_const(self->graph->dims, variable->type.dims[axis], &dims[axis]);
    bool depthwise = rank == 4 && (dims[3] == 1 || !strcmp(weight, "depthwise_kernel"));
    int64_t fan_in = 1;
    for (int axis = 0; axis < rank - 1 - depthwise; axis++) fan_in *= dims[axis];
    bool kernel = is_one_of(weight, kernels), variance = is_one_of(weight, variances),
         around_zero = is_one_of(weight, centred);
    if (!kernel && !variance && !around_zero && strcmp(weight, "gamma") != 0)
        KT_BUG("%s is of no known kind", variable->path);
    float scale = sqrtf(self->gain / (float)fan_in);
    uint64_t series = hash_of(name);
    for (int64_t i = 0; i < elements; i++) {
        float number = counter_hash(series, (uint64_t)i);
        values[i] = kernel        ? number * scale
                    : variance    ? (1 + number / 4) / 2
                    : around_zero ? number / 8
                                  : 1 + number / 4;
    }
}

static kt_status write_image(model *self) {
    int64_t size = self->size;
    float *image = KT_NEW_ARRAY(self->arena, float, size *size *CHANNELS);
    uint64_t series = hash_of("image 0");
    for (int64_t at = 0; at < size * size * CHANNELS; at++) {
        int64_t row = at / CHANNELS / size * BLOCKS / size, column = at / CHANNELS % size * BLOCKS / size;
        float number = counter_hash(series, (uint64_t)((row * BLOCKS + column) * CHANNELS + at % CHANNELS));
        image[at] = (number + 1) * ((self->high - self->low) / 2) + self->low;
    }
    kt_buffer buffer = {.data = image, .dtype = KT_F32, .rank = 4, .dims = {1, size, size, CHANNELS}};
    char error[KT_IO_ERROR];
    const kt_array array = {.buffer = buffer};
    if (kt_arrays_write(self->input, &array, 1, error))
        return kt_diag_add(self->diag, KT_IO, NULL, "%s", error);
    return KT_OK;
}

/* ---- the model ------------------------------------------------------------------------------- */
static const char *committed(const model *self, const char *ending) {
    return kt_arena_format(self->arena, "%s/models/%s%s", KT_TEST_SOURCE, self->name, ending);
}

static kt_status read_model(model *self) {
    char *bytes;
    size_t count;
    kt_archive archive;
    const json_t *json;
    KT_TRY(kt_file_read(committed(self, ".keras"), 1 << 24, self->arena, &bytes, &count, self->diag));
    KT_TRY(kt_archive_unpack(self->arena, (kt_bytes){(const uint8_t *)bytes, count}, &archive, self->diag));
    const kt_bytes *config = kt_archive_find(&archive, "config.json");
    if (!config) return kt_diag_add(self->diag, KT_INVALID, NULL, "%s has no config.json.", self->name);
    KT_TRY(kt_json_parse(self->arena, *config, "config.json", &json, self->diag));
    kt_layer_context context = {.arena = self->arena, .diag = self->diag};
    kt_layer *layer = kt_layer_from_config(&context, json, NULL);
    if (!layer) return KT_UNSUPPORTED;
    KT_TRY(kt_model_trace(&context, layer, &self->graph));
    for (uint32_t i = 0; i < self->graph->variables.count; i++)
        fill_variable(self, &self->graph->variables.at[i]);
    return KT_OK;
}

static double processor_seconds(long *out_peak_bytes) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    if (out_peak_bytes) *out_peak_bytes = usage.ru_maxrss * 1024;
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static kt_status measure_workspace(model *self) {
    kt_plan plan = {0};
    KT_TRY(kt_plan_entry(self->graph, kt_graph_find(self->graph, "predict"), self->arena, &plan, self->diag));
    uint32_t count = kt_dim_symbol_count(self->graph->dims);
    int64_t *symbols = KT_NEW_ARRAY(self->arena, int64_t, count);
    for (uint32_t i = 0; i < count; i++)
        symbols[i] = strcmp(kt_dim_symbol_name(self->graph->dims, i), "batch") ? self->size : 1;
    kt_plan_memory memory = kt_plan_measure(self->graph, &plan, symbols, self->arena);
    double ratio = (double)memory.planned_bytes / (double)memory.lower_bound_bytes;
    printf(" | workspace %.1f MB, %.3f of the bound", (double)memory.planned_bytes / 1e6, ratio);
    self->workspace_bytes = memory.planned_bytes;
    if (ratio <= 1.1) return KT_OK;
    fprintf(stderr, "%s: the workspace is too large\n", self->name);
    self->failures++;
    return KT_OK;
}

static kt_status compile(model *self) {
    double start = processor_seconds(NULL);
    kt_compile_options options = {.emit = KT_EMIT_EXE, .output = self->program, .level = 2};
    KT_TRY(read_model(self));
    printf("%s | %.1f MB of weights", self->name, (double)self->weights_bytes / 1e6);
    KT_TRY(kt_compile(self->graph, &options, self->diag));
    long peak;
    double seconds = processor_seconds(&peak) - start;
    printf(" | compiled in %.1f s, %.1f MB at most", seconds, (double)peak / 1e6);
    return measure_workspace(self);
}

/* ---- the program ----------------------------------------------------------------------------- */
static kt_status compare_outputs(model *self) {
    const char *output = kt_arena_format(self->arena, "%s/output.npy", self->directory);
    KT_TRY(kt_command_run(
        (const char *const[]){self->program, "predict", "--input", self->input, "--output", output, NULL},
        self->diag));
    kt_arrays arrays[2];
    char error[KT_IO_ERROR];
    if (kt_arrays_read(committed(self, ".npy"), &arrays[0], error) ||
        kt_arrays_read(output, &arrays[1], error))
        return kt_diag_add(self->diag, KT_IO, NULL, "%s", error);
    const float *expected = arrays[0].at[0].buffer.data, *got = arrays[1].at[0].buffer.data;
    double largest = 0, worst = 0;
    for (int i = 0; i < CLASSES; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        double difference = fabs((double)expected[i] - got[i]);
        if (!(difference <= worst)) worst = difference; /* NaN too */
    }
    printf(" | differs by %.1e of the largest output", worst / largest);
    if (!(worst <= TOLERANCE * largest)) {
        fprintf(stderr, "%s: the outputs differ from Keras's\n", self->name);
        self->failures++;
    }
    kt_arrays_deinit(&arrays[0]);
    kt_arrays_deinit(&arrays[1]);
    return KT_OK;
}

/* A number that the program prints as JSON under a key. */
static kt_status ask(model *self, const char *arguments, const char *key, int64_t *out_number) {
    const char *file = kt_arena_format(self->arena, "%s/answer.json", self->directory);
    const char *line = kt_arena_format(self->arena, "%s %s >%s", self->program, arguments, file);
    char *text;
    size_t count;
    KT_TRY(kt_command_run((const char *const[]){"sh", "-c", line, NULL}, self->diag));
    KT_TRY(kt_file_read(file, 1 << 24, self->arena, &text, &count, self->diag));
    const char *quoted = kt_arena_format(self->arena, "\"%s\":", key), *at = strstr(text, quoted);
    if (!at) return kt_diag_add(self->diag, KT_INVALID, NULL, "%s says nothing of %s.", self->name, key);
    *out_number = strtoll(at + strlen(quoted), NULL, 10);
    return KT_OK;
}

/* Weights count as the program holds them: kernels that are transformed for minimal filtering are larger. */
static kt_status measure_peak(model *self) {
    int64_t peak = 0, weights = 0,
            buffers = (self->size * self->size * CHANNELS + CLASSES) * (int64_t)sizeof(float);
    KT_TRY(ask(self, "benchmark --batch 1 --threads 1", "peak_bytes", &peak));
    KT_TRY(ask(self, "describe", "weights_bytes", &weights));
    int64_t own = peak - weights - self->workspace_bytes - buffers;
    printf(" | peak %.1f MB with %.1f MB of weights, of which %.2f MB are the program's own",
           (double)peak / 1e6, (double)weights / 1e6, (double)own / 1e6);
    if (own <= own_bytes) return KT_OK;
    fprintf(stderr, "%s: the program takes more memory than weights, workspace, input and output\n",
            self->name);
    self->failures++;
    return KT_OK;
}

static kt_status run(void *context) {
    model *self = context;
    self->arena = kt_arena_create();
    kt_status status = kt_temporary_directory(self->arena, &self->directory, self->diag);
    if (status == KT_OK) {
        self->program = kt_arena_format(self->arena, "%s/program", self->directory);
        self->input = kt_arena_format(self->arena, "%s/input.npy", self->directory);
        status = compile(self);
    }
    if (status == KT_OK) status = write_image(self);
    if (status == KT_OK) status = compare_outputs(self);
    if (status == KT_OK && self->peak) status = measure_peak(self);
    printf("\n");
    kt_arena_destroy(self->arena);
    return status;
}

int main(int argc, char **argv) {
    kt_diag diag = {0};
    if (argc < 6) return 2;
    model self = {.name = argv[1],
                  .size = strtoll(argv[2], NULL, 10),
                  .low = strtof(argv[3], NULL),
                  .high = strtof(argv[4], NULL),
                  .gain = strtof(argv[5], NULL),
                  .peak = argc > 6 && !strcmp(argv[6], "--peak"),
                  .diag = &diag};
    kt_status status = kt_guarded(run, &self, &diag);
    for (uint32_t i = 0; i < diag.count; i++)
        fprintf(stderr, "%s: %s\n", diag.problems[i].where ? diag.problems[i].where : "",
                diag.problems[i].text);
    kt_diag_deinit(&diag);
    return status != KT_OK || self.failures;
}
