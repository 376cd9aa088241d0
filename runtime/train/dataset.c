/* The samples of fit and evaluate: files to the inputs of the program's steps; class weights to sample
 * weights. */
#include "runtime/train/train_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char label_prefix[] = "labels", weight_prefix[] = "sample_weight";

static bool begins_with(const char *text, const char *prefix) {
    return !strncmp(text, prefix, strlen(prefix));
}

/* ---- class weights --------------------------------------------------------------------------- */
typedef struct class_weights {
    int64_t *classes;
    float *weights;
    size_t count;
} class_weights;

static bool parse_class_weights(const char *text, class_weights *out) {
    size_t room = 1;
    for (const char *p = text; *p; p++) room += *p == ',';
    *out = (class_weights){calloc(room, sizeof *out->classes), calloc(room, sizeof *out->weights), 0};
    if (!out->classes || !out->weights) return false;
    for (const char *at = text; *at;) {
        char *end;
        out->classes[out->count] = strtoll(at, &end, 10);
        if (end == at || *end != '=') return false;
        at = end + 1;
        float weight = strtof(at, &end);
        if (end == at || (*end && *end != ',') || !isfinite(weight)) return false;
        out->weights[out->count++] = weight;
        at = end + (*end == ',');
    }
    return out->count > 0;
}

/* The class of a label: its number, rounded as by Keras, or where its label has several numbers, which is the
 * largest. */
static int64_t class_of(const void *label, int32_t dtype, int64_t numbers) {
    const float *row = label;
    int64_t best = 0;
    if (dtype == KT_I32) return *(const int32_t *)label;
    if (numbers == 1) return (int64_t)nearbyintf(row[0]);
    for (int64_t i = 1; i < numbers; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

/* Of the samples that are trained on alone, as in Keras. row: room for a label. */
static int weigh_samples(kt_dataset *dataset, const class_weights *classes, uint32_t label, uint32_t weight,
                         int64_t samples, void *row) {
    const kt_feeds *feeds = &dataset->feeds;
    const kt_feed *labels = &feeds->at[label];
    float *weights = feeds->at[weight].buffer.data;
    int64_t numbers = 1;
    char error[KT_IO_ERROR];
    for (int axis = 1; axis < labels->buffer.rank; axis++) numbers *= labels->buffer.dims[axis];
    for (int64_t i = 0; i < samples; i++) {
        const void *at = labels->stream ? row : (const char *)labels->buffer.data + i * numbers * 4;
        if (labels->stream && kt_stream_read(labels->stream, NULL, i, 1, labels->buffer.dtype, row, error))
            return kt_cli_fail(feeds->program, KT_EXIT_FAILED, "%s", error);
        int64_t class = class_of(at, labels->buffer.dtype, numbers);
        for (size_t k = 0; k < classes->count; k++)
            if (classes->classes[k] == class) weights[i] *= classes->weights[k];
    }
    return 0;
}

/* How many classes labels may name; 0: that is not known. */
static int64_t count_classes(const kt_abi_labels *numbered, const kt_buffer *labels) {
    if (numbered) return numbered->classes;
    int64_t numbers = 1;
    for (int axis = 1; axis < labels->rank; axis++) numbers *= labels->dims[axis];
    return numbers > 1 ? numbers : 0;
}

/* Is there a weight for a class that there is not? Then *out_class is that. */
static bool names_no_class(const class_weights *classes, int64_t count, int64_t *out_class) {
    for (size_t i = 0; count && i < classes->count; i++) {
        *out_class = classes->classes[i];
        if (*out_class < 0 || *out_class >= count) return true;
    }
    return false;
}

static int weigh_classes(kt_dataset *dataset, const char *text, uint32_t label, uint32_t weight,
                         int64_t samples) {
    const kt_feeds *feeds = &dataset->feeds;
    const kt_buffer *labels = &feeds->at[label].buffer;
    const int64_t count = count_classes(feeds->entry->inputs[label].labels, labels);
    class_weights classes;
    int64_t no_class;
    void *row = malloc((size_t)(labels->dims[0] ? labels->capacity / labels->dims[0] : 0) + 1);
    int status = 0;
    if (!parse_class_weights(text, &classes))
        status = kt_cli_fail(feeds->program, KT_EXIT_USAGE,
                             "--class-weight takes CLASS=WEIGHT,CLASS=WEIGHT,…, not '%s'.", text);
    else if (labels->dtype != KT_I32 && labels->dtype != KT_F32)
        status = kt_cli_fail(feeds->program, KT_EXIT_FAILED, "--class-weight needs labels that are classes.");
    else if (names_no_class(&classes, count, &no_class))
        status = kt_cli_fail(feeds->program, KT_EXIT_FAILED,
                             "--class-weight gives the class %lld a weight, but there are %lld classes, "
                             "numbered from 0.",
                             (long long)no_class, (long long)count);
    else if (!row)
        status = kt_feeds_no_memory(feeds);
    else
        status = weigh_samples(dataset, &classes, label, weight, samples, row);
    free(row);
    free(classes.classes);
    free(classes.weights);
    return status;
}

int64_t kt_trained_samples(const kt_fit_options *options, int64_t samples) {
    if (!(options->validation_split > 0)) return samples;
    return (int64_t)floor((double)samples * (1 - options->validation_split));
}

/* ---- reading --------------------------------------------------------------------------------- */
/* Weights that are not given: one for each sample, for all that is behind it. */
static int fill_ones(kt_feeds *feeds, const kt_feed_group *group, uint32_t input) {
    int64_t samples = feeds->at[0].buffer.dims[0];
    float *ones = malloc((size_t)samples * sizeof *ones + 1);
    if (!ones) return kt_feeds_no_memory(feeds);
    for (int64_t i = 0; i < samples; i++) ones[i] = 1;
    kt_buffer buffer = {.data = ones,
                        .capacity = samples * (int64_t)sizeof *ones,
                        .dtype = KT_F32,
                        .rank = feeds->entry->inputs[input].rank,
                        .dims = {samples}};
    for (int axis = 1; axis < buffer.rank; axis++) buffer.dims[axis] = 1;
    feeds->at[input] = (kt_feed){.path = group->option, .buffer = buffer, .spreads = group->spreads};
    return 0;
}

static kt_feed_source source_of(const kt_fit_arrays *arrays, int first) {
    return (kt_feed_source){arrays->read, arrays->object, first};
}

/* Class weights are multiplied into sample weights, which must be in memory and not the caller's then. */
static int own_weights(kt_feeds *feeds, uint32_t input) {
    kt_feed *feed = &feeds->at[input];
    kt_buffer own = feed->buffer;
    char error[KT_IO_ERROR];
    if (!feed->borrowed) return 0;
    own.data = malloc((size_t)own.capacity + 1);
    if (!own.data) return kt_feeds_no_memory(feeds);
    int failed =
        feed->stream ? kt_stream_read(feed->stream, NULL, 0, own.dims[0], own.dtype, own.data, error) : 0;
    if (!feed->stream) memcpy(own.data, feed->buffer.data, (size_t)own.capacity);
    kt_stream_close(feed->stream);
    *feed = (kt_feed){.path = feed->path, .buffer = own};
    return failed ? kt_cli_fail(feeds->program, KT_EXIT_FAILED, "%s", error) : 0;
}

/* files or arrays: of the weights; classes: the text of --class-weight, or NULL. */
static int read_weights(kt_dataset *dataset, const kt_fit_options *options, const kt_feed_group *group,
                        const kt_file_list *files, const kt_fit_arrays *arrays, const char *classes,
                        uint32_t labels) {
    kt_feeds *feeds = &dataset->feeds;
    uint32_t first = group->first;
    int status = 0;
    feeds->streams = !classes; /* which are multiplied into them */
    if (files->count)
        status = kt_feeds_read(feeds, group, files->at, files->count);
    else if (arrays && arrays->sample_weight_count)
        status = kt_feeds_give(feeds, group, arrays->sample_weights, arrays->sample_weight_count,
                               source_of(arrays, arrays->data_count + arrays->label_count));
    if (status == 0 && classes && feeds->entry->inputs[first].rank > 1)
        return kt_cli_fail(feeds->program, KT_EXIT_FAILED,
                           "--class-weight is for labels of one class a sample; give the steps of samples "
                           "weights with --sample-weight.");
    if (status == 0 && classes) status = own_weights(feeds, first);
    for (uint32_t i = first; i < feeds->entry->input_count && status == 0; i++)
        if (!kt_feed_is_fed(&feeds->at[i])) status = fill_ones(feeds, group, i);
    if (status == 0) status = kt_feeds_settle(feeds);
    if (status == 0 && classes) {
        if (labels > 1)
            return kt_cli_fail(feeds->program, KT_EXIT_USAGE,
                               "--class-weight is for models with one output.");
        status = weigh_classes(dataset, classes, first - labels, first,
                               kt_trained_samples(options, feeds->samples));
    }
    return status;
}

int kt_dataset_read(kt_dataset *dataset, const kt_program *program, const kt_fit_options *options,
                    bool validation) {
    const kt_fit_arrays *arrays = validation ? options->validation_arrays : options->arrays;
    const kt_file_list *weight_files =
        validation ? &options->validation_sample_weights : &options->sample_weights;
    const char *classes = validation ? NULL : options->class_weight;
    dataset->weighted = weight_files->count || classes || (arrays && arrays->sample_weight_count);
    const char *name = dataset->weighted ? "evaluate_step_weighted" : "evaluate_step";
    const kt_abi_entry *entry = kt_cli_find_entry(program, name);
    if (!entry) return kt_cli_fail(program, KT_EXIT_FAILED, "This program has no entry '%s'.", name);
    int status = kt_feeds_init(&dataset->feeds, program, entry, options->batch_size, false);
    dataset->feeds.streams = true;
    const kt_abi_entry *predict = kt_cli_find_entry(program, "predict");
    uint32_t data = predict ? predict->input_count : 0, labels = 0; /* the model's inputs come first */
    while (data + labels < entry->input_count && begins_with(entry->inputs[data + labels].name, label_prefix))
        labels++;
    const kt_file_list *data_files = validation ? &options->validation_data : &options->data;
    const kt_file_list *label_files = validation ? &options->validation_labels : &options->labels;
    const kt_feed_group data_group = {0, data, validation ? "--validation-data" : "--data", ""};
    const bool several = predict && predict->output_count > 1; /* of which some may have no labels */
    const kt_feed_group label_group = {data, labels, validation ? "--validation-labels" : "--labels",
                                       several ? "labels_" : label_prefix};
    const kt_feed_group weight_group = {data + labels,
                                        entry->input_count - data - labels,
                                        validation ? "--validation-sample-weight" : "--sample-weight",
                                        several ? "sample_weight_" : weight_prefix,
                                        .spreads = true,
                                        .some = true};
    if (status == 0)
        status = arrays ? kt_feeds_give(&dataset->feeds, &data_group, arrays->data, arrays->data_count,
                                        source_of(arrays, 0))
                        : kt_feeds_read(&dataset->feeds, &data_group, data_files->at, data_files->count);
    if (status == 0)
        status = arrays ? kt_feeds_give(&dataset->feeds, &label_group, arrays->labels, arrays->label_count,
                                        source_of(arrays, arrays->data_count))
                        : kt_feeds_read(&dataset->feeds, &label_group, label_files->at, label_files->count);
    if (status == 0 && !dataset->feeds.batched)
        return kt_cli_fail(program, KT_EXIT_FAILED, "The inputs of this program do not count samples.");
    if (status) return status;
    return dataset->weighted
               ? read_weights(dataset, options, &weight_group, weight_files, arrays, classes, labels)
               : kt_feeds_settle(&dataset->feeds);
}

void kt_dataset_deinit(kt_dataset *dataset) { kt_feeds_deinit(&dataset->feeds); }
