/* Folders of checkpoints, as Keras's OrbaxCheckpoint leaves them: DIR/EPOCH from 0 on, or DIR/STEP, of which
 * the last stay. Whatever else there is in DIR stays, too, and so do checkpoints of higher numbers, which
 * another run has left. */
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/train/callbacks.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nadam's product and Adafactor's rows, whose names in Keras are none of their own. */
static bool has_nameless(const kt_program *program) {
    for (uint32_t i = 0; i < program->variable_count; i++) {
        const char *path = program->variables[i].path;
        const size_t length = strlen(path);
        if (program->variables[i].kind == KT_KEPT_SLOT &&
            (!strcmp(path, "optimizer/u_product") || (length > 2 && !strcmp(path + length - 2, "_r"))))
            return true;
    }
    return false;
}

int kt_orbax_checkpoint_begin(const kt_model_checkpoint *checkpoint, const kt_program *program) {
    static const char option[] = "--orbax-checkpoint";
    if (!checkpoint->path[0]) return kt_cli_fail(program, KT_EXIT_USAGE, "%s wants directory=DIR.", option);
    if (!(checkpoint->most >= 0) || checkpoint->most != floor(checkpoint->most))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: max_to_keep must be a whole number, or 0 for all.",
                           option);
    for (uint32_t i = 0; i < program->variable_count && !(checkpoint->weights_only > 0); i++) {
        const kt_abi_variable *variable = &program->variables[i];
        if (variable->kind == KT_KEPT_SLOT && strchr(variable->path, '/') != strrchr(variable->path, '/'))
            return kt_cli_fail(program, KT_EXIT_USAGE,
                               "%s: the optimizer holds others, which Keras would not find by their names; "
                               "save_weights_only=true saves the weights.",
                               option);
    }
    if (!(checkpoint->weights_only > 0) && has_nameless(program))
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "%s: Keras has no lasting names for variables of Nadam and Adafactor; "
                           "save_weights_only=true saves "
                           "the weights.",
                           option);
    if (!(checkpoint->weights_only > 0) && !program->training->config)
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "%s: the model did not come from Keras; save_weights_only=true saves its weights.",
                           option);
    return 0;
}

/* "DIR/number". */
static char *place_of(const kt_model_checkpoint *checkpoint, int64_t number, char *path, size_t room) {
    (void)snprintf(path, room, "%s/%lld", checkpoint->path, (long long)number);
    return path;
}

/* The first of the checkpoints up to last, and how many there are; -1: DIR cannot be read. */
static int64_t find_first(const kt_model_checkpoint *checkpoint, int64_t last, int64_t *out_count) {
    enum { DIGITS = 18 };
    char path[KT_CALLBACK_PATH + KT_MONITOR];
    DIR *folders = opendir(checkpoint->path);
    int64_t first = folders ? last : -1;
    *out_count = 0;
    for (struct dirent *entry; folders && (entry = readdir(folders));) {
        const char *name = entry->d_name;
        const size_t length = strspn(name, "0123456789");
        if (!length || length > DIGITS || name[length] || (*name == '0' && length > 1)) continue;
        const int64_t number = strtoll(name, NULL, 10);
        if (number > last || !kt_orbax_is(place_of(checkpoint, number, path, sizeof path))) continue;
        ++*out_count;
        if (number < first) first = number;
    }
    if (folders) (void)closedir(folders);
    return first;
}

int kt_orbax_checkpoint_save(const kt_model_checkpoint *checkpoint, kt_context *context, int64_t number) {
    const kt_program *program = kt_context_program(context);
    char path[KT_CALLBACK_PATH + KT_MONITOR], error[KT_IO_ERROR];
    int64_t count = 0;
    int status = kt_make_directories(program, place_of(checkpoint, number, path, sizeof path));
    if (status) return status;
    int failed = kt_training_save_orbax(context, path, checkpoint->weights_only > 0, error);
    while (!failed && checkpoint->most >= 1) {
        const int64_t first = find_first(checkpoint, number, &count);
        if (first < 0)
            return kt_cli_fail(program, KT_EXIT_FAILED, "%s: It cannot be read: %s.", checkpoint->path,
                               strerror(errno));
        if ((double)count <= checkpoint->most) break;
        failed = kt_orbax_remove(place_of(checkpoint, first, path, sizeof path), error);
    }
    return failed ? kt_cli_fail(program, KT_EXIT_FAILED, "%s", error) : 0;
}
