/* Saving what has been trained: Keras's files, and states to resume from.
 *
 * A state's block holds what the loop has to know besides variables, in the machine's byte order:
 *
 *   u32 version   u32 logs an epoch   i64 epochs done   f64 logs, epoch by epoch   what callbacks know */
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/train/train_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_VERSION = 5 };
typedef struct block_head {
    uint32_t version, logs;
    int64_t epochs;
} block_head;

static int no_memory(const char *path, char *out_error) {
    (void)snprintf(out_error, KT_IO_ERROR, "There is no memory to save or load %s.", path);
    return 1;
}

kt_saved_variable *kt_list_variables(kt_context *context) {
    const kt_program *program = kt_context_program(context);
    kt_saved_variable *list = calloc(program->variable_count + 1, sizeof *list);
    for (uint32_t i = 0; list && i < program->variable_count; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        list[i] = (kt_saved_variable){.path = variable->path,
                                      .file_path = variable->file_path,
                                      .dtype = variable->dtype,
                                      .rank = variable->rank,
                                      .data = kt_context_variable(context, i)};
        memcpy(list[i].dims, variable->dims, sizeof list[i].dims);
    }
    return list;
}

static void free_with_copies(kt_context *context, kt_saved_variable *list, size_t count) {
    for (size_t i = kt_context_program(context)->variable_count; list && i < count; i++)
        free((char *)list[i].file_path);
    free(list);
}

bool kt_is_copied(const kt_abi_copies *copies, const char *file_path, uint32_t *out_number) {
    unsigned number;
    int end = 0;
    if (!file_path || sscanf(file_path, "optimizer/vars/%u%n", &number, &end) != 1 || file_path[end] ||
        number < copies->first || number - copies->first >= copies->count)
        return false;
    *out_number = number - copies->first;
    return true;
}

/* Where a copy of the variable goes; from malloc. NULL: it is none of these, or there is no memory
 * (*out_enough). */
static char *copied_place(const kt_abi_copies *copies, const char *file_path, bool *out_enough) {
    uint32_t number;
    if (!kt_is_copied(copies, file_path, &number)) return NULL;
    size_t room = strlen(copies->place) + strlen(file_path) + 1;
    char *place = malloc(room);
    if (place) (void)snprintf(place, room, "%s/vars/%u", copies->place, number);
    *out_enough = *out_enough && place;
    return place;
}

/* The variables, and behind them what Keras's files hold of them a second time, whose places the caller
 * frees. NULL: no memory. */
static kt_saved_variable *list_with_copies(kt_context *context, size_t *out_count) {
    const kt_program *program = kt_context_program(context);
    const kt_abi_training *training = program->training;
    kt_saved_variable *list = kt_list_variables(context), *longer;
    size_t count = program->variable_count, room = count;
    bool enough = list != NULL;
    for (uint64_t i = 0; i < training->copies_count; i++) room += training->copies[i].count;
    longer = enough && room > count ? realloc(list, room * sizeof *list) : list;
    enough = enough && longer;
    if (longer) list = longer;
    for (uint64_t i = 0; i < training->copies_count && enough; i++) {
        for (uint32_t v = 0; v < program->variable_count && enough && count < room; v++) {
            char *place = copied_place(&training->copies[i], list[v].file_path, &enough);
            if (!place) continue;
            list[count] = list[v];
            list[count++].file_path = place;
        }
    }
    *out_count = count;
    if (enough) return list;
    free_with_copies(context, list, count);
    return NULL;
}

/* ---- kernels with LoRA's factors ------------------------------------------------------------- */
static kt_saved_variable *find_saved(kt_saved_variable *list, size_t count, const char *path) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].path, path) == 0) return &list[i];
    return NULL; /* never: the compiler has listed them */
}

/* The elements as float64, from malloc; NULL: no memory. */
static double *widen(const kt_saved_variable *variable, size_t *out_count) {
    size_t count = 1;
    for (int axis = 0; axis < variable->rank; axis++) count *= (size_t)variable->dims[axis];
    double *wide = malloc(count * sizeof *wide + 1);
    if (wide) kt_elements_convert(variable->data, variable->dtype, wide, KT_F64, count);
    *out_count = count;
    return wide;
}

/* Gives the variable in the list other data, from malloc: with the product. False: no memory. */
static bool merge(const kt_abi_merge *merge, kt_saved_variable *list, size_t count) {
    kt_saved_variable *kernel = find_saved(list, count, merge->path);
    size_t elements, a_count, b_count, rank = (size_t)find_saved(list, count, merge->b)->dims[0];
    double *sum = widen(kernel, &elements), *a = widen(find_saved(list, count, merge->a), &a_count);
    double *b = widen(find_saved(list, count, merge->b), &b_count);
    size_t columns = b_count / rank;
    void *merged = malloc(elements * kt_abi_dtype_bytes(kernel->dtype) + 1);
    bool enough = sum && a && b && merged;
    for (size_t i = 0; i < elements && enough; i++)
        for (size_t k = 0; k < rank; k++)
            sum[i] += merge->scale * a[i / columns * rank + k] * b[k * columns + i % columns];
    if (enough) kt_elements_convert(sum, KT_F64, merged, kernel->dtype, elements);
    free(sum);
    free(a);
    free(b);
    if (enough)
        kernel->data = merged;
    else
        free(merged);
    return enough;
}

int kt_training_save(kt_context *context, const char *path, char *out_error) {
    const kt_program *program = kt_context_program(context);
    const kt_abi_training *training = program->training;
    size_t count;
    uint64_t merged = 0;
    kt_saved_variable *variables = list_with_copies(context, &count);
    if (!variables) return no_memory(path, out_error);
    while (merged < training->merges_count && merge(&training->merges[merged], variables, count)) merged++;
    const kt_saved_model model = {.config_json = training->config,
                                  .config_bytes = training->config ? strlen(training->config) : 0,
                                  .metadata_json = training->metadata,
                                  .variables = variables,
                                  .variable_count = count};
    int status = merged == training->merges_count ? kt_keras_save(path, &model, out_error)
                                                  : no_memory(path, out_error);
    while (merged > 0) free(find_saved(variables, count, training->merges[--merged].path)->data);
    free_with_copies(context, variables, count);
    return status;
}

int kt_training_load(kt_context *context, const char *path, char *out_error) {
    kt_saved_variable *variables = kt_list_variables(context);
    if (!variables) return no_memory(path, out_error);
    const kt_program *program = kt_context_program(context);
    const kt_abi_training *training = program->training;
    int status = kt_keras_load(path, variables, program->variable_count, KT_LOAD_ANY, out_error);
    for (uint32_t i = 0; i < program->variable_count && status == 0; i++)
        for (uint64_t k = 0; k < training->merges_count; k++)
            if (!strcmp(variables[i].path, training->merges[k].a) ||
                !strcmp(variables[i].path, training->merges[k].b))
                memset(variables[i].data, 0, kt_abi_variable_bytes(&program->variables[i]));
    free(variables);
    return status;
}

int kt_context_save(kt_context *context, const char *path) {
    char error[KT_IO_ERROR];
    return kt_training_save(context, path, error) ? kt_context_set_error(context, KT_ERROR_FILE, error) : 0;
}

int kt_context_load(kt_context *context, const char *path) {
    char error[KT_IO_ERROR];
    return kt_training_load(context, path, error) ? kt_context_set_error(context, KT_ERROR_FILE, error) : 0;
}

/* ---- states ---------------------------------------------------------------------------------- */
static char *state_path(const char *directory) {
    size_t length = strlen(directory);
    char *path = malloc(length + sizeof "/training.state");
    if (path) (void)sprintf(path, "%s/training.state", directory);
    return path;
}

int kt_training_checkpoint(kt_context *context, const char *directory, const kt_history *history,
                           const void *callbacks, size_t callback_bytes, char *out_error) {
    const block_head head = {BLOCK_VERSION, (uint32_t)history->name_count, (int64_t)history->epochs};
    size_t numbers = history->epochs * history->name_count * sizeof(double);
    char *path = state_path(directory), *block = malloc(sizeof head + numbers + callback_bytes);
    kt_saved_variable *variables = kt_list_variables(context);
    int status = 1;
    if (mkdir(directory, 0777) && errno != EEXIST) {
        (void)snprintf(out_error, KT_IO_ERROR, "Cannot make the directory %s: %s.", directory,
                       strerror(errno));
    } else if (!path || !block || !variables) {
        (void)no_memory(directory, out_error);
    } else {
        memcpy(block, &head, sizeof head);
        if (numbers) memcpy(block + sizeof head, history->values, numbers);
        memcpy(block + sizeof head + numbers, callbacks, callback_bytes);
        status = kt_state_save(path, variables, kt_context_program(context)->variable_count, block,
                               sizeof head + numbers + callback_bytes, out_error);
    }
    free(path);
    free(block);
    free(variables);
    return status;
}

/* *out_bytes: how many of the block's were taken. */
static int take_history(const char *path, const char *block, size_t bytes, kt_log *logs, size_t count,
                        kt_history *history, size_t *out_bytes, char *out_error) {
    block_head head = {0};
    if (bytes >= sizeof head) memcpy(&head, block, sizeof head);
    size_t numbers = bytes >= sizeof head ? (bytes - sizeof head) / sizeof(double) : 0;
    if (head.version != BLOCK_VERSION) {
        (void)snprintf(out_error, KT_IO_ERROR,
                       "%s keeps a run in version %u of the format; this program reads version %d.", path,
                       head.version, BLOCK_VERSION);
        return 1;
    }
    if ((head.epochs && head.logs != count) || head.epochs < 0 ||
        (count && (uint64_t)head.epochs > numbers / count)) {
        (void)snprintf(out_error, KT_IO_ERROR,
                       "%s is of another run: its epochs have %u logs, and those of this run have %zu.", path,
                       head.logs, count);
        return 1;
    }
    for (int64_t epoch = 0; epoch < head.epochs; epoch++) {
        for (size_t i = 0; i < count; i++)
            memcpy(&logs[i].value, block + sizeof head + ((size_t)epoch * count + i) * sizeof(double),
                   sizeof(double));
        if (kt_history_add(history, logs, count)) return no_memory(path, out_error);
    }
    *out_bytes = sizeof head + (size_t)head.epochs * count * sizeof(double);
    return 0;
}

int kt_training_resume(kt_context *context, const char *directory, kt_log *logs, size_t count,
                       kt_history *history, char **out_callbacks, size_t *out_callback_bytes,
                       char *out_error) {
    char *path = state_path(directory), *block = NULL;
    size_t bytes = 0, taken = 0;
    kt_saved_variable *variables = kt_list_variables(context);
    int status = 0;
    if (!path || !variables) {
        status = no_memory(directory, out_error);
    } else if (access(path, F_OK) == 0) {
        status = kt_state_load(path, variables, kt_context_program(context)->variable_count, &block, &bytes,
                               out_error);
        if (status == 0) status = take_history(path, block, bytes, logs, count, history, &taken, out_error);
    }
    *out_callbacks = NULL;
    if (block && status == 0) {
        memmove(block, block + taken, bytes - taken);
        *out_callbacks = block;
        *out_callback_bytes = bytes - taken;
    } else {
        free(block);
    }
    free(path);
    free(variables);
    return status;
}

int kt_training_forget(const char *directory, char *out_error) {
    char *path = state_path(directory);
    if (!path) return no_memory(directory, out_error);
    int failed = unlink(path) && errno != ENOENT;
    if (failed)
        (void)snprintf(out_error, KT_IO_ERROR, "Cannot remove %s: %s.", path, strerror(errno));
    else
        (void)rmdir(directory); /* what else lies there is not ours */
    free(path);
    return failed;
}
