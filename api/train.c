/* Fitting, evaluating and predicting with a compiled model: the runtime's own loop over arrays in memory. */
#include "api/api_impl.h"
#include "runtime/train/train_impl.h"

#include <stdlib.h>
#include <string.h>

/* Is the model compiled? What the runtime says goes to model->error from here on. */
static int begin(kt_model *model) {
    if (!model->program) return kt_api_fail(model, "The model is not compiled; see kt_model_compile.");
    kt_cli_listen(model->error);
    return 0;
}

static int end(int status) {
    kt_cli_listen(NULL);
    return status != 0;
}

static int no_memory(kt_model *model) { return kt_api_fail(model, "There is not enough memory."); }

static kt_fit_arrays arrays_of(const kt_data *data) {
    return (kt_fit_arrays){.data = data->inputs,
                           .data_count = data->input_count,
                           .labels = data->labels,
                           .label_count = data->label_count,
                           .sample_weights = data->sample_weights,
                           .sample_weight_count = data->sample_weight_count,
                           .read = data->read,
                           .object = data->read_data};
}

/* ---- history --------------------------------------------------------------------------------- */
void kt_api_drop_history(kt_model *model) {
    for (int i = 0; i < model->history.name_count; i++) free((void *)model->history.names[i]);
    free((void *)model->history.names);
    free((void *)model->history.values);
    model->history = (kt_fit_history){0};
}

kt_fit_history kt_model_history(const kt_model *model) { return model->history; }

/* ---- fitting --------------------------------------------------------------------------------- */
typedef struct fitting {
    kt_model *model;
    const kt_fit_callbacks *callbacks;
    bool no_memory;
} fitting;

/* Where the user's functions are called, sentences are those of what they call. */
#define CALLBACK(f, name, ...)                                                                               \
    ((f)->callbacks->name ? (f)->callbacks->name((f)->model, __VA_ARGS__, (f)->callbacks->data) : 0)
#define NOTICE(f, name, ...)                                                                                 \
    do {                                                                                                     \
        if ((f)->callbacks->name) (f)->callbacks->name((f)->model, __VA_ARGS__(f)->callbacks->data);         \
        kt_cli_listen((f)->model->error);                                                                    \
    } while (0)

static void train_begin(void *object) {
    const fitting *f = object;
    NOTICE(f, train_begin, );
}

static void epoch_begin(void *object, int64_t epoch) {
    const fitting *f = object;
    NOTICE(f, epoch_begin, epoch, );
}

static void batch_begin(void *object, int64_t batch) {
    const fitting *f = object;
    NOTICE(f, batch_begin, batch, );
}

static bool batch_end(void *object, int64_t batch, const float *logs) {
    const fitting *f = object;
    bool stops = CALLBACK(f, batch_end, batch, logs, (int)f->model->program->training->log_count) != 0;
    kt_cli_listen(f->model->error);
    return stops;
}

static bool epoch_end(void *object, int64_t epoch, const kt_log *logs, size_t count) {
    fitting *f = object;
    if (!f->callbacks->epoch_end) return false;
    const char **names = (const char **)calloc(count + 1, sizeof *names);
    double *values = calloc(count + 1, sizeof *values);
    bool stops = !names || !values;
    f->no_memory = f->no_memory || stops;
    for (size_t i = 0; i < count && !stops; i++) {
        names[i] = logs[i].name;
        values[i] = logs[i].value;
    }
    if (!stops) stops = CALLBACK(f, epoch_end, epoch, names, values, (int)count) != 0;
    kt_cli_listen(f->model->error);
    free((void *)names);
    free(values);
    return stops;
}

static void train_end(void *object, const kt_history *history) {
    fitting *f = object;
    size_t numbers = history->epochs * history->name_count;
    const char **names = (const char **)calloc(history->name_count + 1, sizeof *names);
    double *values = calloc(numbers + 1, sizeof *values);
    f->model->history = (kt_fit_history){.names = names, .values = values};
    f->no_memory = f->no_memory || !names || !values;
    for (size_t i = 0; i < history->name_count && !f->no_memory; i++) {
        names[i] = strdup(history->names[i]);
        if (names[i])
            f->model->history.name_count++;
        else
            f->no_memory = true;
    }
    if (!f->no_memory) {
        if (numbers) memcpy(values, history->values, numbers * sizeof *values);
        f->model->history.epochs = (int64_t)history->epochs;
    }
    NOTICE(f, train_end, );
}

int kt_model_fit(kt_model *model, const kt_data *data, const kt_fit_settings *settings,
                 const kt_fit_callbacks *callbacks) {
    static const kt_fit_settings usual;
    static const kt_fit_callbacks nobody;
    if (begin(model)) return 1;
    kt_api_drop_history(model);
    if (!settings) settings = &usual;
    fitting f = {.model = model, .callbacks = callbacks ? callbacks : &nobody};
    const kt_fit_hooks hooks = {&f, train_begin, epoch_begin, batch_begin, batch_end, epoch_end, train_end};
    const kt_fit_arrays arrays = arrays_of(data);
    kt_fit_arrays validation = {0};
    if (settings->validation) validation = arrays_of(settings->validation);
    const kt_fit_options options = {.arrays = &arrays,
                                    .validation_arrays = settings->validation ? &validation : NULL,
                                    .hooks = &hooks,
                                    .epochs = settings->epochs ? settings->epochs : 1,
                                    .batch_size = settings->batch_size ? settings->batch_size : 32,
                                    .validation_split = settings->validation ? 0 : settings->validation_split,
                                    .seed = settings->seed,
                                    .no_shuffle = settings->no_shuffle != 0,
                                    .quiet = !settings->verbose,
                                    .class_weight = settings->class_weight,
                                    .early_stopping = settings->early_stopping,
                                    .reduce_lr = settings->reduce_lr,
                                    .terminate_on_nan = settings->terminate_on_nan != 0,
                                    .raise_error = settings->terminate_on_nan > 1,
                                    .csv_log = settings->csv_log,
                                    .checkpoint = settings->checkpoint,
                                    .resume = settings->resume != 0};
    if (options.epochs < 0 || options.batch_size < 0 ||
        !(options.validation_split >= 0 && options.validation_split < 1))
        return end(kt_api_fail(
            model,
            "Epochs and the size of batches are at least 1, and validation_split is from 0 to below 1."));
    if (options.resume && !options.checkpoint)
        return end(kt_api_fail(model, "There is no directory to resume from; see checkpoint."));
    int status = kt_fit_run(model->program, model->run, &options);
    if (status == 0 && f.no_memory) status = no_memory(model);
    return end(status);
}

/* ---- evaluating ------------------------------------------------------------------------------ */
int kt_model_log_count(const kt_model *model) {
    return model->program ? (int)model->program->training->log_count : 0;
}
const char *kt_model_log_name(const kt_model *model, int log) {
    return log >= 0 && log < kt_model_log_count(model) ? model->program->training->log_names[log] : NULL;
}

int kt_model_evaluate(kt_model *model, const kt_data *data, int64_t batch_size, float *out_logs) {
    if (begin(model)) return 1;
    const kt_fit_arrays arrays = arrays_of(data);
    const kt_fit_options options = {.arrays = &arrays, .batch_size = batch_size > 0 ? batch_size : 32};
    kt_context_reset_metrics(model->run);
    return end(kt_evaluate_run(model->program, model->run, &options, out_logs));
}

/* ---- predicting ------------------------------------------------------------------------------ */
static int make_outputs(kt_model *model, const kt_feeds *feeds, kt_buffer *outputs) {
    for (uint32_t i = 0; i < feeds->entry->output_count; i++) {
        kt_buffer *output = &outputs[i];
        *output = (kt_buffer){.dtype = feeds->entry->outputs[i].dtype};
        output->rank = kt_context_output_shape(model->run, "predict", (int)i, feeds->symbols, output->dims);
        if (output->rank < 0) return kt_api_fail(model, "%s", kt_context_error(model->run));
        if (feeds->fixed) output->dims[0] = feeds->samples;
        output->capacity = (int64_t)kt_abi_dtype_bytes(output->dtype);
        for (int axis = 0; axis < output->rank; axis++) output->capacity *= output->dims[axis];
        output->data = malloc((size_t)output->capacity + 1);
        if (!output->data) return no_memory(model);
    }
    return 0;
}

static int run_batches(kt_model *model, kt_feeds *feeds, const kt_buffer *outputs, const void **in,
                       void **out) {
    const kt_abi_entry *entry = feeds->entry;
    int sample = kt_cli_sample_symbol(entry);
    int64_t total = feeds->batched ? feeds->samples : 1, step = feeds->batched ? feeds->step : 1;
    if (feeds->fixed && total % step)
        return kt_api_fail(
            model, "The model takes batches of %lld samples, of which %lld samples are no whole number.",
            (long long)step, (long long)total);
    for (int64_t first = 0; first < total; first += step) {
        int64_t count = total - first < step ? total - first : step;
        for (uint32_t i = 0; i < entry->input_count; i++)
            in[i] = (char *)feeds->at[i].buffer.data + first * (feeds->at[i].buffer.capacity / total);
        for (uint32_t i = 0; i < entry->output_count; i++)
            out[i] = (char *)outputs[i].data + first * (outputs[i].capacity / total);
        if (feeds->batched && !feeds->fixed) feeds->symbols[sample] = count;
        if (kt_context_call(model->run, (uint32_t)(entry - model->program->entries), feeds->symbols, in, out))
            return kt_api_fail(model, "%s", kt_context_error(model->run));
    }
    return 0;
}

static int predict(kt_model *model, kt_feeds *feeds, const kt_buffer *inputs, int input_count,
                   kt_buffer *outputs) {
    const kt_abi_entry *entry = feeds->entry;
    const kt_feed_group all = {0, entry->input_count, "inputs", ""};
    int status = kt_feeds_give(feeds, &all, inputs, input_count, (kt_feed_source){0});
    if (status == 0) status = kt_feeds_settle(feeds);
    if (status == 0) status = make_outputs(model, feeds, outputs);
    if (status) return status;
    const void **in = (const void **)calloc(entry->input_count + 1, sizeof *in);
    void **out = (void **)calloc(entry->output_count + 1, sizeof *out);
    status = in && out ? run_batches(model, feeds, outputs, in, out) : no_memory(model);
    free((void *)in);
    free((void *)out);
    return status;
}

int kt_model_predict(kt_model *model, const kt_buffer *inputs, int input_count, int64_t batch_size,
                     kt_buffer *out_outputs, int output_count) {
    if (begin(model)) return 1;
    const kt_abi_entry *entry = kt_cli_find_entry(model->program, "predict");
    if (!entry || output_count < 0 || (uint32_t)output_count != entry->output_count)
        return end(kt_api_fail(model, "The model has %u outputs, not %d.",
                               entry ? (unsigned)entry->output_count : 0, output_count));
    kt_buffer *outputs = calloc((size_t)output_count + 1, sizeof *outputs);
    kt_feeds feeds;
    int status = kt_feeds_init(&feeds, model->program, entry, batch_size > 0 ? batch_size : 32, true);
    if (status == 0)
        status = outputs ? predict(model, &feeds, inputs, input_count, outputs) : no_memory(model);
    kt_feeds_deinit(&feeds);
    for (int i = 0; i < output_count && outputs; i++) {
        if (status)
            free(outputs[i].data);
        else
            out_outputs[i] = outputs[i];
    }
    free(outputs);
    return end(status);
}

/* ---- what it knows --------------------------------------------------------------------------- */
int kt_model_save(kt_model *model, const char *path) {
    return begin(model) || end(kt_training_save(model->run, path, model->error));
}
int kt_model_load(kt_model *model, const char *path) {
    return begin(model) || end(kt_training_load(model->run, path, model->error));
}

int kt_model_variable(kt_model *model, const char *path, kt_buffer *buffer, int write) {
    if (begin(model)) return 1;
    if (kt_context_variable_buffer(model->run, path, buffer, write) == 0) return end(0);
    return end(kt_api_fail(model, "%s", kt_context_error(model->run)));
}
