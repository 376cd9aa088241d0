/* History: the logs of all epochs, and the files that hold them. */
#include "runtime/room.h"
#include "runtime/tensor_io/tensor_io_impl.h"
#include "runtime/train/train.h"
#include "runtime/whole_file.h"

#include <stdio.h>
#include <stdlib.h>

int kt_history_add(kt_history *history, const kt_log *logs, size_t count) {
    if (!history->names) {
        history->names = calloc(count + 1, sizeof *history->names);
        history->sizes = calloc(count + 1, sizeof *history->sizes);
        if (!history->names || !history->sizes) return 1;
        for (size_t i = 0; i < count; i++) {
            history->names[i] = logs[i].name;
            history->sizes[i] = logs[i].size;
        }
        history->name_count = count;
    }
    if (history->epochs == history->room) {
        size_t room = history->room ? 2 * history->room : KT_ROOM(16, 1);
        double *values = realloc(history->values, (room * history->name_count + 1) * sizeof *values);
        if (!values) return 1;
        history->values = values;
        history->room = room;
    }
    for (size_t i = 0; i < history->name_count; i++)
        history->values[history->epochs * history->name_count + i] = logs[i].value;
    history->epochs++;
    return 0;
}

void kt_history_deinit(kt_history *history) {
    free((void *)history->names);
    free(history->sizes);
    free(history->values);
}

static void write_log(FILE *file, const double *values, int32_t size) {
    if (size) (void)fputc('[', file);
    for (size_t i = 0; i < kt_log_numbers(size); i++) {
        if (i) (void)fputs(", ", file);
        kt_io_print_float(file, values[i], 9, true);
    }
    if (size) (void)fputc(']', file);
}

int kt_history_write(const kt_history *history, const char *path, char *out_error) {
    const kt_subject subject = {.path = path, .error = out_error};
    kt_whole_file whole;
    if (kt_whole_file_begin(&subject, &whole)) return 1;
    for (size_t i = 0; i < history->name_count; i += kt_log_numbers(history->sizes[i])) {
        (void)fputs(i ? ", " : "{", whole.file);
        kt_json_write_name(whole.file, history->names[i]);
        (void)fputc('[', whole.file);
        for (size_t k = 0; k < history->epochs; k++) {
            if (k) (void)fputs(", ", whole.file);
            write_log(whole.file, &history->values[k * history->name_count + i], history->sizes[i]);
        }
        (void)fputc(']', whole.file);
    }
    (void)fputs(history->name_count ? "}\n" : "{}\n", whole.file);
    return kt_whole_file_end(&subject, &whole);
}
