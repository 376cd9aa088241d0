/* Folders of checkpoints, as Keras's OrbaxCheckpoint leaves them: DIR/EPOCH from 0 on, or DIR/STEP, of which
 * the last stay. */
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/train/callbacks.h"

#include <dirent.h>
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
    if (!(checkpoint->most >= 0))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: max_to_keep must be a number, or 0 for all.", option);
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

/* The smallest number that a folder is called, and how many there are; -1: there is none. */
static int64_t find_first(const char *directory, int64_t *out_count) {
    DIR *folders = opendir(directory);
    int64_t first = -1;
    *out_count = 0;
    for (struct dirent *entry; folders && (entry = readdir(folders));) {
        int64_t number = 0;
        const char *at = entry->d_name;
        for (; *at >= '0' && *at <= '9' && number < INT64_MAX / 100; at++) number = 10 * number + (*at - '0');
        if (*at || at == entry->d_name) continue;
        ++*out_count;
        if (first < 0 || number < first) first = number;
    }
    if (folders) (void)closedir(folders);
    return first;
}

int kt_orbax_checkpoint_save(const kt_model_checkpoint *checkpoint, kt_context *context, int64_t number) {
    const kt_program *program = kt_context_program(context);
    char path[KT_CALLBACK_PATH + KT_MONITOR], error[KT_IO_ERROR];
    int64_t count = 0;
    (void)snprintf(path, sizeof path, "%s/%lld", checkpoint->path, (long long)number);
    int status = kt_make_directories(program, path);
    if (status) return status;
    int failed = kt_training_save_orbax(context, path, checkpoint->weights_only > 0, error);
    while (!failed && checkpoint->most >= 1) {
        const int64_t first = find_first(checkpoint->path, &count);
        if ((double)count <= checkpoint->most || first < 0) break;
        (void)snprintf(path, sizeof path, "%s/%lld", checkpoint->path, (long long)first);
        failed = kt_orbax_remove(path, error);
    }
    return failed ? kt_cli_fail(program, KT_EXIT_FAILED, "%s", error) : 0;
}
