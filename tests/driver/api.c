/* The C interface: a model that is built in C trains as the same model that Keras wrote, and as a compiled
 * trainer does.
 *
 * usage: api TRAINER.keras X.npy Y.npy DIRECTORY INITIALIZERS.txt
 *
 * Prints the history, a log a line: its name and a number an epoch; and leaves built.weights.h5, built.keras
 * and opened.weights.h5 in DIRECTORY. */
#include <keratin/keratin.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 96, FEATURES = 6, CLASSES = 3, EPOCHS = 4, PATH = 512 };

static float x[SAMPLES * FEATURES];
static int32_t y[SAMPLES];
static double wide[SAMPLES * FEATURES];
static float weights[SAMPLES];

static void fail(const char *what, const char *more) {
    (void)fprintf(stderr, "%s: %s\n", what, more);
    exit(1);
}

static void check(kt_model *model, int code, const char *what) {
    if (code) fail(what, kt_model_error(model));
}

static void refuse(kt_model *model, int code, const char *part) {
    if (!code) fail("taken, but should say", part);
    if (!strstr(kt_model_error(model), part)) fail(kt_model_error(model), part);
}

static void read_numbers(const char *path, void *out, size_t bytes) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, -(long)bytes, SEEK_END) || fread(out, 1, bytes, file) != bytes)
        fail(path, "cannot be read");
    (void)fclose(file);
}

static kt_buffer array(void *data, int32_t dtype, int rank, int64_t first, int64_t second) {
    return (kt_buffer){.data = data, .dtype = dtype, .rank = rank, .dims = {first, second}};
}

/* The layers of tests/driver/trainer.keras. */
static kt_model *build(const char *input) {
    kt_model *model = kt_model_create("built");
    int h = kt_model_input(model, input, KT_F32, 1, (int64_t[]){FEATURES});
    h = kt_model_layer(model, "Dense", "{\"units\": 8, \"activation\": \"tanh\"}", &h, 1);
    h = kt_model_layer(model, "BatchNormalization", NULL, &h, 1);
    h = kt_model_layer(model, "Dense", "{\"units\": 3, \"activation\": \"softmax\"}", &h, 1);
    check(model, kt_model_output(model, h), "build");
    return model;
}

static const char adam[] =
    "{\"class_name\": \"Adam\", \"config\": {\"learning_rate\": 0.019999999552965164}}";
static const kt_fit_settings as_recorded = {.epochs = EPOCHS,
                                            .batch_size = 20,
                                            .validation_split = 0.25,
                                            .no_shuffle = 1,
                                            .class_weight = "0=1,1=2.5,2=0.5"};

static void train(kt_model *model, const char *file) {
    const kt_buffer inputs = array(x, KT_F32, 2, SAMPLES, FEATURES), labels = array(y, KT_I32, 1, SAMPLES, 0);
    const kt_data data = {.inputs = &inputs, .input_count = 1, .labels = &labels, .label_count = 1};
    check(model, kt_model_fit(model, &data, &as_recorded, NULL), "fit");
    check(model, kt_model_save(model, file), "save");
}

static void print_history(const kt_model *model) {
    kt_fit_history history = kt_model_history(model);
    for (int log = 0; log < history.name_count; log++) {
        printf("%s", history.names[log]);
        for (int64_t epoch = 0; epoch < history.epochs; epoch++)
            printf(" %.7f", history.values[epoch * history.name_count + log]);
        printf("\n");
    }
}

/* ---- what is asked of a trained model -------------------------------------------------------- */
static void check_predictions(kt_model *model) {
    const kt_buffer inputs = array(x, KT_F32, 2, SAMPLES, FEATURES), labels = array(y, KT_I32, 1, SAMPLES, 0);
    for (int i = 0; i < SAMPLES * FEATURES; i++) wide[i] = (double)x[i];
    const kt_buffer doubles = array(wide, KT_F64, 2, SAMPLES, FEATURES),
                    tall = array(y, KT_I32, 2, SAMPLES, 1);
    const kt_data data = {.inputs = &inputs, .input_count = 1, .labels = &labels, .label_count = 1};
    const kt_data other = {.inputs = &doubles, .input_count = 1, .labels = &tall, .label_count = 1};
    float logs[2], others[2];
    kt_buffer one, some;
    if (kt_model_log_count(model) != 2 || strcmp(kt_model_log_name(model, 1), "accuracy") != 0)
        fail("logs", "are not loss and accuracy");
    check(model, kt_model_evaluate(model, &data, 0, logs), "evaluate");
    check(model, kt_model_evaluate(model, &other, 0, others), "evaluate");
    if (logs[0] != others[0] || logs[1] != others[1]) fail("evaluate", "float64 gives other numbers");
    check(model, kt_model_predict(model, &inputs, 1, 0, &one, 1), "predict");
    check(model, kt_model_predict(model, &doubles, 1, 7, &some, 1), "predict");
    if (one.rank != 2 || one.dims[0] != SAMPLES || one.dims[1] != CLASSES || one.dtype != KT_F32)
        fail("predict", "the shape is wrong");
    double loss = 0;
    int right = 0;
    for (int i = 0; i < SAMPLES; i++) {
        const float *row = (const float *)one.data + i * CLASSES;
        int best = 0;
        for (int k = 0; k < CLASSES; k++) {
            if (fabsf(row[k] - ((const float *)some.data)[i * CLASSES + k]) > 1e-6F)
                fail("predict", "batches of 7 differ");
            if (row[k] > row[best]) best = k;
        }
        right += best == y[i];
        loss -= log((double)row[y[i]]) / SAMPLES;
    }
    if (fabs(loss - (double)logs[0]) > 1e-5 || fabs((double)right / SAMPLES - (double)logs[1]) > 1e-6)
        fail("evaluate", "does not fit the predictions");
    free(one.data);
    free(some.data);
}

/* ---- samples that a function gives ----------------------------------------------------------- */
static int read_samples(void *data, int array, const int64_t *rows, int64_t first, int64_t count, void *out) {
    int *left = data; /* calls until one fails */
    if (*left == 1) return 5;
    *left -= *left > 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows ? rows[i] : first + i;
        if (array == 0) memcpy((double *)out + i * FEATURES, wide + row * FEATURES, FEATURES * sizeof *wide);
        if (array == 1) ((int32_t *)out)[i] = y[row];
        if (array == 2) ((float *)out)[i] = weights[row];
    }
    return 0;
}

/* They train the same weights as arrays in memory, in any order. */
static void check_reading(const char *trainer, const char *directory) {
    char paths[2][PATH];
    int left = 0;
    kt_buffer inputs = array(wide, KT_F64, 2, SAMPLES, FEATURES), labels = array(y, KT_I32, 1, SAMPLES, 0),
              weight = array(weights, KT_F32, 1, SAMPLES, 0);
    for (int i = 0; i < SAMPLES; i++) weights[i] = 1 + (float)(i % 3);
    kt_model *model = kt_model_open(trainer);
    check(model, kt_model_compile(model, NULL, NULL, NULL), "compile");
    (void)snprintf(paths[0], PATH, "%s/start.weights.h5", directory);
    check(model, kt_model_save(model, paths[0]), "save");
    const kt_fit_settings settings = {
        .epochs = 2, .seed = 3, .class_weight = "1=2", .validation_split = 0.25};
    for (int given = 0; given < 2; given++) {
        (void)snprintf(paths[0], PATH, "%s/start.weights.h5", directory);
        check(model, kt_model_load(model, paths[0]), "load");
        const kt_data data = {&inputs, 1, &labels, 1, &weight, 1, read_samples, &left};
        check(model, kt_model_fit(model, &data, &settings, NULL), "fit");
        (void)snprintf(paths[given], PATH, "%s/%s.weights.h5", directory, given ? "asked" : "given");
        check(model, kt_model_save(model, paths[given]), "save");
        inputs.data = labels.data = weight.data = NULL;
    }
    const kt_data data = {&inputs, 1, &labels, 1, NULL, 0, read_samples, &left};
    float logs[2];
    check(model, kt_model_evaluate(model, &data, 0, logs), "evaluate");
    left = 7;
    refuse(model, kt_model_fit(model, &data, NULL, NULL), "its function returned 5");
    kt_buffer out;
    refuse(model, kt_model_predict(model, &inputs, 1, 0, &out, 1), "no elements");
    kt_model_destroy(model);
}

/* ---- weights of steps: one for a sample is one for each of its steps ------------------------- */
static void check_step_weights(void) {
    enum { STEPS = 4, ROWS = SAMPLES / STEPS };
    const kt_buffer inputs = {.data = x, .dtype = KT_F32, .rank = 3, .dims = {ROWS, STEPS, FEATURES}};
    const kt_buffer labels = array(y, KT_I32, 2, ROWS, STEPS);
    const kt_buffer weight[] = {array(weights, KT_F32, 2, ROWS, STEPS), array(weights, KT_F32, 1, ROWS, 0),
                                array(weights, KT_F32, 2, ROWS, STEPS - 1)};
    float logs[3][2];
    kt_model *model = kt_model_create("steps");
    int h = kt_model_input(model, "x", KT_F32, 2, (int64_t[]){-1, FEATURES});
    h = kt_model_layer(model, "Dense", "{\"units\": 3, \"activation\": \"softmax\"}", &h, 1);
    check(model, kt_model_output(model, h), "build");
    check(model, kt_model_compile(model, adam, "sparse_categorical_crossentropy", "accuracy"), "compile");
    for (int shape = 0; shape < 3; shape++) {
        for (int i = 0; i < SAMPLES; i++) weights[i] = (float)((shape == 0 ? i / STEPS : i) % 3);
        const kt_data data = {&inputs, 1, &labels, 1, &weight[shape], 1, NULL, NULL};
        if (shape == 2) refuse(model, kt_model_evaluate(model, &data, 0, logs[2]), "shape [24, 3]");
        if (shape < 2) check(model, kt_model_evaluate(model, &data, 0, logs[shape]), "evaluate");
        if (shape == 0) check(model, kt_model_fit(model, &data, NULL, NULL), "fit");
        if (shape == 0) check(model, kt_model_evaluate(model, &data, 0, logs[0]), "evaluate");
    }
    if (memcmp(logs[0], logs[1], sizeof logs[0]) != 0) fail("evaluate", "steps weigh otherwise than samples");
    kt_model_destroy(model);
}

/* ---- callbacks ------------------------------------------------------------------------------- */
typedef struct seen {
    int train_begins, train_ends, epoch_begins, epoch_ends, batch_begins, batch_ends, stop_batch, stop_epoch;
    double loss; /* of the last epoch */
} seen;

static void train_begin(kt_model *model, void *data) { ((seen *)data)->train_begins += model != NULL; }
static void train_end(kt_model *model, void *data) { ((seen *)data)->train_ends += model != NULL; }
static void epoch_begin(kt_model *model, int64_t epoch, void *data) {
    seen *s = data;
    if (!model || epoch != s->epoch_begins++) fail("epoch_begin", "comes at the wrong time");
}
static int epoch_end(kt_model *model, int64_t epoch, const char *const *names, const double *logs, int count,
                     void *data) {
    seen *s = data;
    float rate;
    kt_buffer buffer = {.data = &rate, .capacity = sizeof rate};
    if (epoch != s->epoch_ends++ || count != 2 || strcmp(names[1], "loss") != 0)
        fail("epoch_end", "is told something else");
    s->loss = logs[1];
    check(model, kt_model_variable(model, "optimizer/learning_rate", &buffer, 0), "variable");
    rate /= 2;
    check(model, kt_model_variable(model, "optimizer/learning_rate", &buffer, 1), "variable");
    return s->epoch_ends == s->stop_epoch;
}
static void batch_begin(kt_model *model, int64_t batch, void *data) {
    (void)model, (void)batch;
    ((seen *)data)->batch_begins++;
}
static int batch_end(kt_model *model, int64_t batch, const float *logs, int count, void *data) {
    seen *s = data;
    (void)model, (void)batch;
    if (count != 2 || !(logs[0] > 0)) fail("batch_end", "has no loss");
    return ++s->batch_ends == s->stop_batch;
}

static void check_callbacks(kt_model *model) {
    const kt_buffer inputs = array(x, KT_F32, 2, SAMPLES, FEATURES), labels = array(y, KT_I32, 1, SAMPLES, 0);
    const kt_buffer weight = array(weights, KT_F32, 1, SAMPLES, 0);
    for (int i = 0; i < SAMPLES; i++) weights[i] = (float)(i % 3);
    const kt_data data = {&inputs, 1, &labels, 1, &weight, 1, NULL, NULL};
    const kt_fit_settings settings = {.epochs = 5};
    seen s = {.stop_epoch = 3};
    const kt_fit_callbacks callbacks = {&s,        train_begin, train_end, epoch_begin,
                                        epoch_end, batch_begin, batch_end};
    check(model, kt_model_fit(model, &data, &settings, &callbacks), "fit");
    kt_fit_history history = kt_model_history(model);
    if (s.train_begins != 1 || s.train_ends != 1 || s.epoch_begins != 3 || s.epoch_ends != 3 ||
        s.batch_begins != 9 || s.batch_ends != 9 || history.epochs != 3 ||
        history.values[2 * 2 + 1] != s.loss)
        fail("callbacks", "are called too often or too seldom");
    float rate = 0;
    kt_buffer buffer = {.data = &rate, .capacity = sizeof rate};
    check(model, kt_model_variable(model, "optimizer/learning_rate", &buffer, 0), "variable");
    if (fabsf(rate - 0.02F / 8) > 1e-8F) fail("callbacks", "do not change the learning rate");
    s = (seen){.stop_batch = 2};
    check(model, kt_model_fit(model, &data, &settings, &callbacks), "fit");
    if (s.batch_ends != 2 || kt_model_history(model).epochs != 1) fail("callbacks", "do not stop at a batch");
    if (weights[1] != 1) fail("fit", "writes into the caller's weights");
}

/* ---- what weights begin with ----------------------------------------------------------------- */
enum { ROWS = 64, COLUMNS = 48 };

static void read_kernel(kt_model *model, int layer, float out[ROWS * COLUMNS]) {
    char path[64];
    (void)snprintf(path, sizeof path, layer ? "dense_%d/kernel" : "dense/kernel", layer);
    kt_buffer buffer = {.data = out, .capacity = ROWS * COLUMNS * sizeof *out};
    check(model, kt_model_variable(model, path, &buffer, 0), path);
    if (buffer.dims[0] != ROWS || buffer.dims[1] != COLUMNS) fail(path, "has another shape");
}

static void check_initializers(void) {
    static const struct {
        const char *json;
        double mean, deviation, limit; /* limit 0: none */
    } all[] = {
        {"\"glorot_uniform\"", 0, 0.13363062, 0.23145502}, /* sqrt(2 / (64 + 48)), sqrt(6 / (64 + 48)) */
        {"{\"class_name\": \"HeNormal\", \"config\": {}}", 0, 0.17677670,
         0.40193}, /* sqrt(2 / 64), cut off at 2 of it / 0.8796 */
        {"{\"class_name\": \"LecunUniform\", \"config\": {}}", 0, 0.125, 0.21650635},
        {"{\"class_name\": \"RandomNormal\", \"config\": {\"mean\": 1.0, \"stddev\": 0.5}}", 1, 0.5, 0},
        {"{\"class_name\": \"TruncatedNormal\", \"config\": {\"stddev\": 0.1}}", 0, 0.087962566, 0.2},
        {"{\"class_name\": \"VarianceScaling\", \"config\": {\"scale\": 3.0, \"mode\": \"fan_out\", "
         "\"distribution\": "
         "\"untruncated_normal\"}}",
         0, 0.25, 0},
        {"{\"class_name\": \"Constant\", \"config\": {\"value\": 0.25}}", 0.25, 0, 0.25},
        {"\"ones\"", 1, 0, 1},
        {"{\"class_name\": \"Orthogonal\", \"config\": {\"gain\": 2.0}}", 0, 0.25, 0}, /* 2 / sqrt(64) */
        {"\"identity\"", 1 / 64.0, 0.12401959, 1}, /* 48 ones of 64 x 48 */
        {"{\"class_name\": \"HeNormal\", \"config\": {\"input_axes\": [-2, 1], \"output_axes\": []}}", 0,
         0.025515518, 0.058014}, /* sqrt(2 / (64 * 48)) */
    };
    enum { COUNT = sizeof all / sizeof all[0] };
    static float kernel[ROWS * COLUMNS];
    float first[2] = {0};
    for (uint64_t seed = 0; seed < 2; seed++) {
        kt_model *model = kt_model_create("beginnings");
        kt_model_set_seed(model, seed);
        kt_model_set_threads(model, 1);
        int input = kt_model_input(model, "x", KT_F32, 1, (int64_t[]){ROWS}), outputs[COUNT];
        for (int i = 0; i < COUNT; i++) {
            char options[512];
            (void)snprintf(options, sizeof options, "{\"units\": %d, \"kernel_initializer\": %s}", COLUMNS,
                           all[i].json);
            outputs[i] = kt_model_layer(model, "Dense", options, &input, 1);
        }
        check(model, kt_model_output(model, kt_model_layer(model, "Add", NULL, outputs, COUNT)), "build");
        check(model, kt_model_compile(model, "sgd", "mse", NULL), "compile");
        for (int i = 0; i < COUNT; i++) {
            double sum = 0, squares = 0;
            read_kernel(model, i, kernel);
            if (i == 0) first[seed] = kernel[0];
            for (int k = 0; k < ROWS * COLUMNS; k++) {
                sum += (double)kernel[k];
                if (all[i].limit > 0 && fabs((double)kernel[k]) > all[i].limit * 1.0001)
                    fail(all[i].json, "is beyond its limit");
            }
            sum /= ROWS * COLUMNS;
            for (int k = 0; k < ROWS * COLUMNS; k++)
                squares += ((double)kernel[k] - sum) * ((double)kernel[k] - sum);
            /* Four deviations of a mean and of a deviation of 3072 numbers. */
            if (fabs(sum - all[i].mean) > 1e-6 + 4 * all[i].deviation / sqrt(ROWS * COLUMNS) ||
                fabs(sqrt(squares / (ROWS * COLUMNS)) - all[i].deviation) >
                    1e-6 + 4 * all[i].deviation / sqrt(2.0 * ROWS * COLUMNS))
                fail(all[i].json, "has another mean or deviation");
        }
        read_kernel(model, 8, kernel);
        for (int a = 0; a < COLUMNS; a++)
            for (int b = 0; b < COLUMNS; b++) {
                double product = 0;
                for (int row = 0; row < ROWS; row++)
                    product += (double)kernel[row * COLUMNS + a] * (double)kernel[row * COLUMNS + b];
                if (fabs(product - (a == b ? 4 : 0)) > 1e-5) fail("Orthogonal", "is not orthogonal");
            }
        kt_model_destroy(model);
    }
    if (first[0] == first[1]) fail("seed", "changes nothing");
}

/* A Dense layer whose kernel begins as the initializer says, to be compiled. */
static kt_model *build_kernel(const char *initializer, int rows, int columns) {
    char options[1024];
    kt_model *model = kt_model_create("begins");
    int x = kt_model_input(model, "x", KT_F32, 1, (int64_t[]){rows});
    (void)snprintf(options, sizeof options, "{\"units\": %d, \"kernel_initializer\": %s}", columns,
                   initializer);
    check(model, kt_model_output(model, kt_model_layer(model, "Dense", options, &x, 1)), "build");
    return model;
}

/* Initializers with seeds draw what Keras draws; recorded: by make_initializers.py. */
static void check_seeds(const char *recorded) {
    FILE *file = fopen(recorded, "r");
    char line[4096];
    int lines = 0;
    for (; file && fgets(line, sizeof line, file); lines++) {
        const char *json = strtok(line, "\t");
        int rows = atoi(strtok(NULL, "\t")), columns = atoi(strtok(NULL, "\t"));
        float kernel[64];
        kt_buffer buffer = {.data = kernel, .capacity = sizeof kernel};
        kt_model *model = build_kernel(json, rows, columns);
        check(model, kt_model_compile(model, "sgd", "mse", NULL), json);
        check(model, kt_model_variable(model, "dense/kernel", &buffer, 0), json);
        for (int i = 0; i < rows * columns; i++)
            if (!(fabs((double)kernel[i] - atof(strtok(NULL, " "))) < 2e-6))
                fail(json, "draws something else");
        kt_model_destroy(model);
    }
    if (!file || lines < 9) fail(recorded, "has too few lines");
    (void)fclose(file);
    static const char *const wrong[][2] = {
        {"\"mode\": \"fan_on\"", "no mode 'fan_on', but fan_in, fan_out and fan_avg"},
        {"\"distribution\": \"even\"", "no distribution 'even', but uniform,"},
        {"\"scale\": 0.0", "a scale above 0"},
        {"\"seed\": 1.5", "seed must be an integer"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[256];
        (void)snprintf(json, sizeof json, "{\"class_name\": \"VarianceScaling\", \"config\": {%s}}",
                       wrong[i][0]);
        kt_model *model = build_kernel(json, 2, 2);
        refuse(model, kt_model_compile(model, "sgd", "mse", NULL), wrong[i][1]);
        kt_model_destroy(model);
    }
}

/* Deviations that batch renormalisation keeps are roots of what their initializer draws. */
static void check_roots(void) {
    static const struct {
        const char *name;
        float begins;
    } all[] = {{"moving_variance", 4}, {"moving_stddev", 2}, {"renorm_stddev", 2}, {"renorm_mean", 3}};
    kt_model *model = kt_model_create("roots");
    int x = kt_model_input(model, "x", KT_F32, 1, (int64_t[]){FEATURES});
    int y = kt_model_layer(
        model, "BatchNormalization",
        "{\"renorm\": true, "
        "\"moving_variance_initializer\": {\"class_name\": \"Constant\", \"config\": {\"value\": 4.0}}, "
        "\"moving_mean_initializer\": {\"class_name\": \"Constant\", \"config\": {\"value\": 3.0}}}",
        &x, 1);
    check(model, kt_model_output(model, y), "output");
    check(model, kt_model_compile(model, "sgd", "mse", NULL), "compile");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char path[64];
        float values[FEATURES];
        kt_buffer buffer = {.data = values, .capacity = sizeof values};
        (void)snprintf(path, sizeof path, "batch_normalization/%s", all[i].name);
        check(model, kt_model_variable(model, path, &buffer, 0), path);
        for (int k = 0; k < FEATURES; k++)
            if (values[k] != all[i].begins) fail(path, "begins otherwise");
    }
    kt_model_destroy(model);
}

/* ---- inputs that are called as a program's labels and weights are
 * -------------------------------------------
 */
static void check_names(const char *trainer, const char *directory) {
    static const char *const names[] = {"labels", "labels_seen", "sample_weight"};
    char path[PATH];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        kt_model *model = build(names[i]);
        check(model, kt_model_compile(model, adam, "sparse_categorical_crossentropy", "accuracy"), names[i]);
        check(model, kt_model_load(model, trainer), names[i]);
        (void)snprintf(path, sizeof path, "%s/%s.weights.h5", directory, names[i]);
        train(model, path);
        kt_model_destroy(model);
    }
}

/* ---- what is wrong --------------------------------------------------------------------------- */
static void check_errors(const char *trainer) {
    const kt_buffer inputs = array(x, KT_F32, 2, SAMPLES, FEATURES), labels = array(y, KT_I32, 1, SAMPLES, 0);
    const kt_data data = {.inputs = &inputs, .input_count = 1, .labels = &labels, .label_count = 1};
    float logs[2];
    kt_model *model = kt_model_create("wrong");
    refuse(model, kt_model_compile(model, "adam", "mse", NULL), "no output");
    refuse(model, kt_model_fit(model, &data, NULL, NULL), "not compiled");
    int h = kt_model_input(model, "x", KT_F32, 1, (int64_t[]){FEATURES}), none = 0, missing = 77;
    refuse(model, !kt_model_layer(model, "Nonsense", NULL, &h, 1), "Nonsense");
    refuse(model, !kt_model_layer(model, "Dense", "{\"units\": -1}", &h, 1), "units");
    refuse(model, !kt_model_layer(model, "Dense", "[]", &h, 1), "no JSON object");
    refuse(model, !kt_model_layer(model, "Dense", "{\"units\": 1}", &missing, 1), "no tensor 77");
    if (kt_model_layer(model, "Dense", "{\"units\": 1}", &none, 1)) fail("Dense", "is called on nothing");
    refuse(model, !kt_model_input(model, "y", KT_STRING, 1, (int64_t[]){1}), "numeric dtype");
    h = kt_model_layer(model, "Dense", "{\"units\": 3, \"activation\": \"softmax\"}", &h, 1);
    check(model, kt_model_output(model, h), "output");
    refuse(model, kt_model_compile(model, "adam", "nonsense", NULL), "nonsense");
    check(model, kt_model_compile(model, "adam", "sparse_categorical_crossentropy", "accuracy"), "compile");
    refuse(model, kt_model_compile(model, "adam", "mse", NULL), "compiled already");
    refuse(model, !kt_model_layer(model, "Flatten", NULL, &h, 1), "is compiled");
    const kt_buffer narrow = array(x, KT_F32, 2, SAMPLES, FEATURES - 1),
                    few = array(y, KT_I32, 1, SAMPLES - 1, 0);
    const kt_buffer empty = array(NULL, KT_F32, 2, SAMPLES, FEATURES);
    kt_data wrong = data;
    kt_buffer out;
    wrong.inputs = &narrow;
    refuse(model, kt_model_fit(model, &wrong, NULL, NULL), "shape");
    refuse(model, kt_model_predict(model, &narrow, 1, 0, &out, 1), "shape");
    refuse(model, kt_model_predict(model, &inputs, 1, 0, &out, 2), "1 outputs, not 2");
    wrong = data;
    wrong.labels = &few;
    refuse(model, kt_model_evaluate(model, &wrong, 0, logs), "samples");
    wrong = data;
    wrong.input_count = 0;
    refuse(model, kt_model_fit(model, &wrong, NULL, NULL), "0 arrays for data");
    wrong = data;
    wrong.inputs = &empty;
    refuse(model, kt_model_fit(model, &wrong, NULL, NULL), "no elements");
    refuse(model, kt_model_fit(model, &data, &(kt_fit_settings){.epochs = -1}, NULL), "at least 1");
    refuse(model, kt_model_fit(model, &data, &(kt_fit_settings){.class_weight = "many"}, NULL), "many");
    refuse(model, kt_model_fit(model, &data, &(kt_fit_settings){.resume = 1}, NULL), "resume");
    refuse(model, kt_model_save(model, "/nowhere/model.keras"), "/nowhere");
    refuse(model, kt_model_load(model, trainer), "dense/kernel needs (6, 3)");
    kt_buffer buffer = {0};
    refuse(model, kt_model_variable(model, "nothing", &buffer, 0), "nothing");
    check(model, kt_model_fit(model, &data, NULL, NULL), "fit after all that");
    const float first = x[0];
    x[0] = NAN;
    check(model, kt_model_fit(model, &data, &(kt_fit_settings){.terminate_on_nan = 1}, NULL), "stop");
    refuse(model, kt_model_fit(model, &data, &(kt_fit_settings){.terminate_on_nan = 2}, NULL),
           "NaN or Inf loss encountered at batch 0. Loss value: nan.");
    x[0] = first;
    kt_model_destroy(model);
    model = kt_model_open("/nowhere.keras");
    refuse(model, kt_model_compile(model, NULL, NULL, NULL), "nowhere");
    refuse(model, !kt_model_input(model, "x", KT_F32, 0, NULL), "from a file");
    kt_model_destroy(model);
    kt_model_destroy(NULL);
}

int main(int argc, char **argv) {
    char path[PATH];
    if (argc != 6) fail("usage", "api TRAINER.keras X.npy Y.npy DIRECTORY INITIALIZERS.txt");
    read_numbers(argv[2], x, sizeof x);
    read_numbers(argv[3], y, sizeof y);

    kt_model *model = build("input_layer");
    check(model, kt_model_compile(model, adam, "sparse_categorical_crossentropy", "accuracy"), "compile");
    check(model, kt_model_load(model, argv[1]), "load");
    (void)snprintf(path, sizeof path, "%s/built.weights.h5", argv[4]);
    train(model, path);
    print_history(model);
    check_predictions(model);
    (void)snprintf(path, sizeof path, "%s/built.keras", argv[4]);
    check(model, kt_model_save(model, path), "save");
    check_callbacks(model);
    kt_model_destroy(model);

    model = kt_model_open(argv[1]);
    check(model, kt_model_compile(model, NULL, NULL, NULL), "compile");
    (void)snprintf(path, sizeof path, "%s/opened.weights.h5", argv[4]);
    train(model, path);
    kt_model_destroy(model);

    check_reading(argv[1], argv[4]);
    check_step_weights();
    check_names(argv[1], argv[4]);
    check_initializers();
    check_seeds(argv[5]);
    check_roots();
    check_errors(argv[1]);
    return 0;
}
