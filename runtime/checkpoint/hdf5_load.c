/* Loading variables out of model.weights.h5. All of the file is read and compared with what the variables
 * need before the first of them changes. */
#include "runtime/checkpoint/checkpoint_impl.h"

#include <stdlib.h>
#include <string.h>

/* What an optimizer has before it has seen a variable. */
static const char optimizer[] = "optimizer/", iteration[] = "optimizer/vars/0",
                  learning_rate[] = "optimizer/vars/1";
/* Keras saves what a LossScaleOptimizer or a MultiOptimizer wraps a second time here. */
static const char wrapped[] = "optimizer/inner_optimizer/", members[] = "optimizer/optimizers/";

struct loading {
    const kt_subject *subject;
    const kt_saved_variable *variables;
    kt_load_parts parts;
    kt_hdf5_item *items;
    void **values; /* by item: from malloc, in the variable's dtype; NULL: there is none */
    uint32_t count;
    kt_hdf5_reader reader;
};

static bool is_of_optimizer(const char *path) { return strncmp(path, optimizer, strlen(optimizer)) == 0; }

static bool may_be_untrained(const struct loading *l) {
    return l->parts == KT_LOAD_ANY || l->parts == KT_LOAD_OPTIMIZER;
}

static int cut_short(const struct loading *l) {
    kt_subject_say(l->subject, l->reader.late
                                   ? "The weights could not be read in time; the file is damaged, or this "
                                     "machine is too slow for it."
                                   : "The process that reads the weights stopped half-way; the file is "
                                     "damaged, or there is not enough memory.");
    return KT_ERROR_MEMORY;
}

static int missing(const struct loading *l, const kt_hdf5_item *item) {
    return kt_subject_fail(l->subject, "The value of %.100s is not there: there is no dataset %.100s.",
                           l->variables[item->variable].path, item->file_path);
}

static int report(const struct loading *l, const kt_hdf5_item *item, const kt_hdf5_record *record) {
    char had[KT_SHAPE_TEXT], needed[KT_SHAPE_TEXT];
    const char *path = l->variables[item->variable].path;
    switch (record->finding) {
    case KT_HDF5_NONE: return kt_subject_fail(l->subject, "The weights are no HDF5 file, or it is damaged.");
    case KT_HDF5_WRONG_TYPE:
        return kt_subject_fail(l->subject, "Dataset %.100s does not hold numbers, which %.100s needs.",
                               item->file_path, path);
    case KT_HDF5_WRONG_SHAPE:
        if (record->rank < 0 || record->rank > KT_MAX_RANK)
            return kt_subject_fail(l->subject, "Dataset %.100s has %d dimensions, but %.100s needs %d.",
                                   item->file_path, record->rank, path, item->rank);
        return kt_subject_fail(l->subject, "Dataset %.60s has the shape %s, but %.60s needs %s.",
                               item->file_path, kt_shape_text(record->rank, record->dims, had), path,
                               kt_shape_text(item->rank, item->dims, needed));
    default:
        return kt_subject_fail(l->subject, "Dataset %.100s, the value of %.100s, is damaged.",
                               item->file_path, path);
    }
}

/* Takes in what follows a record of something found. */
static int receive_value(struct loading *l, uint32_t index, const kt_hdf5_record *record) {
    const kt_hdf5_item *item = &l->items[index];
    const kt_saved_variable *variable = &l->variables[item->variable];
    if (!kt_hdf5_is_believable(record, item)) return cut_short(l);
    kt_buffer stored = {.data = malloc(record->bytes + 1),
                        .capacity = (int64_t)record->bytes,
                        .dtype = record->dtype,
                        .rank = record->rank};
    if (!stored.data) return kt_subject_no_memory(l->subject);
    memcpy(stored.dims, record->dims, sizeof stored.dims);
    int code = kt_hdf5_receive(&l->reader, stored.data, record->bytes) ? 0 : cut_short(l);
    kt_buffer converted = stored;
    if (code == 0 && record->dtype != variable->dtype &&
        kt_buffer_convert(&stored, variable->dtype, &converted))
        code = kt_subject_no_memory(l->subject);
    if (code == 0) l->values[index] = converted.data;
    if (code || converted.data != stored.data) free(stored.data);
    return code;
}

/* Is it a number, in the place of a tensor of an optimizer's? Optimizers that wrap others have these one
 * behind the other before they have seen variables: check_missing judges. */
static bool is_counter(const struct loading *l, const kt_hdf5_item *item, const kt_hdf5_record *record) {
    return may_be_untrained(l) && record->finding == KT_HDF5_WRONG_SHAPE && record->rank == 0 &&
           is_of_optimizer(item->file_path);
}

static int receive_items(struct loading *l) {
    for (uint32_t i = 0; i < l->count; i++) {
        kt_hdf5_record record;
        if (!kt_hdf5_receive(&l->reader, &record, sizeof record)) return cut_short(l);
        int code = 0;
        if (record.finding == KT_HDF5_FOUND)
            code = receive_value(l, i, &record);
        else if (record.finding != KT_HDF5_MISSING && !is_counter(l, &l->items[i], &record))
            code = report(l, &l->items[i], &record);
        if (code) return code;
    }
    return 0;
}

/* Is all there that has to be? Of an optimizer that has seen no variable, the step and the learning rate are.
 */
static int check_missing(struct loading *l) {
    const kt_hdf5_item *first = NULL;
    bool untrained = may_be_untrained(l);
    for (uint32_t i = 0; i < l->count; i++) {
        const char *path = l->items[i].file_path;
        if (!l->values[i]) {
            if (!first) first = &l->items[i];
            untrained = untrained && is_of_optimizer(path);
        } else if (is_of_optimizer(path)) {
            untrained = untrained && l->items[i].rank == 0;
        }
    }
    if (first && !untrained) return missing(l, first);
    for (uint32_t i = 0; first && i < l->count; i++) {
        const char *path = l->items[i].file_path;
        if (!is_of_optimizer(path) || !strcmp(path, iteration) || !strcmp(path, learning_rate)) continue;
        free(l->values[i]);
        l->values[i] = NULL;
    }
    return 0;
}

static int check_others(struct loading *l) {
    char path[1024];
    kt_hdf5_record record;
    if (!kt_hdf5_receive(&l->reader, &record, sizeof record)) return cut_short(l);
    if (record.finding == KT_HDF5_MISSING) return 0;
    if (record.finding != KT_HDF5_FOUND || record.bytes >= sizeof path) return cut_short(l);
    if (!kt_hdf5_receive(&l->reader, path, record.bytes)) return cut_short(l);
    path[record.bytes] = 0;
    for (char *c = path; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    return kt_subject_fail(l->subject, "It holds the dataset %.200s, for which there is no variable.", path);
}

static int load(struct loading *l, kt_bytes file) {
    const kt_hdf5_request request = {.file = file,
                                     .items = l->items,
                                     .count = l->count,
                                     .others = true,
                                     .ignored = {l->parts == KT_LOAD_WEIGHTS ? optimizer : wrapped, members},
                                     .below = l->parts == KT_LOAD_OPTIMIZER ? optimizer : NULL,
                                     .limits = kt_hdf5_usual_limits(file.count)};
    int error = kt_hdf5_start(&l->reader, &request, kt_hdf5_child);
    if (error) {
        kt_subject_say(l->subject, "The process that reads the weights could not be started: %s.",
                       strerror(error));
        return KT_ERROR_MEMORY;
    }
    int code = receive_items(l);
    if (code == 0) code = check_missing(l);
    if (code == 0) code = check_others(l);
    kt_hdf5_stop(&l->reader);
    return code;
}

int kt_hdf5_load(const kt_subject *subject, kt_bytes file, const kt_saved_variable *variables, size_t count,
                 kt_load_parts parts) {
    struct loading l = {.subject = subject, .variables = variables, .parts = parts};
    l.items = calloc(count + 1, sizeof *l.items);
    l.values = (void **)calloc(count + 1, sizeof *l.values);
    int code = l.items && l.values ? 0 : kt_subject_no_memory(subject);
    size_t bytes = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        const kt_saved_variable *variable = &variables[i];
        if (!variable->file_path || (parts == KT_LOAD_WEIGHTS && is_of_optimizer(variable->file_path)))
            continue;
        code = kt_saved_bytes(subject, variable, &bytes);
        kt_hdf5_item *item = &l.items[l.count++];
        *item =
            (kt_hdf5_item){.file_path = variable->file_path, .variable = (uint32_t)i, .rank = variable->rank};
        memcpy(item->dims, variable->dims, sizeof item->dims);
    }
    if (code == 0) code = load(&l, file);
    for (uint32_t i = 0; i < l.count && l.values; i++) {
        const kt_saved_variable *variable = &variables[l.items[i].variable];
        if (code == 0 && l.values[i] && kt_saved_bytes(subject, variable, &bytes) == 0 && bytes)
            memcpy(variable->data, l.values[i], bytes);
        free(l.values[i]);
    }
    free((void *)l.values);
    free(l.items);
    return code;
}
