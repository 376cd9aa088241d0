/* Folders of checkpoints, as Keras's OrbaxCheckpoint leaves them: DIR/EPOCH from 0 on, or DIR/STEP, of which
 * the last stay. Whatever else there is in DIR stays, too, and so do checkpoints of higher numbers, which
 * another run has left.
 *
 * Keras finds variables by the paths that they have once it has loaded the model, in a process of its own:
 * those of an optimizer are its name and theirs, whatever it is within. */
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/train/callbacks.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char option[] = "--orbax-checkpoint";

/* ---- paths ----------------------------------------------------------------------------------- */
static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The name of the innermost optimizer that a variable is of. */
static const char *find_optimizer(const kt_program *program, const kt_abi_variable *variable) {
    const kt_abi_training *training = program->training;
    const char *name = training->optimizer;
    uint32_t number;
    for (uint64_t i = 0; i < training->copies_count; i++)
        if (kt_is_copied(&training->copies[i], variable->file_path, &number)) name = training->copies[i].name;
    return name;
}

/* Nadam's product has no name, so that Keras numbers it: "variable", "variable_1". */
static bool is_nameless(const kt_abi_variable *variable) {
    return variable->kind == KT_KEPT_SLOT && !strcmp(name_of(variable->path), "u_product");
}

/* Its path in Keras's state tree, from malloc; nameless: how many variables before it have no name. NULL: no
 * memory. */
static char *tree_path(const kt_program *program, const kt_abi_variable *variable, int nameless) {
    const bool slot = variable->kind == KT_KEPT_SLOT;
    const char *tree = slot                               ? "optimizer_variables"
                       : variable->kind == KT_KEPT_METRIC ? "metrics_variables"
                       : variable->trainable              ? "trainable_variables"
                                                          : "non_trainable_variables";
    const char *optimizer = slot && !is_nameless(variable) ? find_optimizer(program, variable) : "";
    const char *rest = slot ? name_of(variable->path) : variable->path;
    const size_t room = strlen(tree) + strlen(optimizer) + strlen(rest) + KT_MONITOR;
    char *path = malloc(room);
    if (path && !is_nameless(variable))
        (void)snprintf(path, room, "%s/%s%s%s", tree, optimizer, *optimizer ? "/" : "", rest);
    else if (path)
        (void)snprintf(path, room, nameless ? "%s/variable_%d" : "%s/variable", tree, nameless);
    return path;
}

/* Gives a path to each variable that Keras has, of what is to be saved alone; *out_paths, by variable, from
 * malloc and NULL where there is none. False: no memory. */
static bool make_paths(const kt_program *program, bool weights_only, char ***out_paths) {
    char **paths = calloc(program->variable_count + 1, sizeof *paths);
    bool enough = paths != NULL;
    int nameless = 0;
    for (uint32_t i = 0; i < program->variable_count && enough; i++) {
        const kt_abi_variable *variable = &program->variables[i];
        const bool state = variable->kind == KT_KEPT_SLOT || variable->kind == KT_KEPT_METRIC;
        if (state && (weights_only || (variable->kind == KT_KEPT_SLOT && !variable->file_path))) continue;
        paths[i] = tree_path(program, variable, nameless);
        enough = paths[i] != NULL;
        nameless += is_nameless(variable);
    }
    *out_paths = paths;
    return enough;
}

static void free_paths(const kt_program *program, char **paths) {
    for (uint32_t i = 0; paths && i < program->variable_count; i++) free(paths[i]);
    free(paths);
}

static int save(kt_context *context, const char *path, bool weights_only, char *out_error) {
    const kt_program *program = kt_context_program(context);
    kt_saved_variable *list = kt_list_variables(context);
    char **paths = NULL;
    size_t count = 0;
    const bool enough = make_paths(program, weights_only, &paths) && list;
    for (uint32_t i = 0; i < program->variable_count && enough; i++) {
        if (!paths[i]) continue;
        list[count] = list[i];
        list[count++].path = paths[i];
    }
    const kt_saved_model model = {.config_json = weights_only ? NULL : program->training->config,
                                  .variables = list,
                                  .variable_count = count};
    int status = enough ? kt_orbax_save(path, &model, out_error) : 1;
    if (!enough) (void)snprintf(out_error, KT_IO_ERROR, "There is not enough memory to save %.300s.", path);
    free_paths(program, paths);
    free(list);
    return status;
}

/* ---- what Keras does not take ---------------------------------------------------------------- */
static int refuse(const kt_program *program, const char *what, const char *name) {
    return kt_cli_fail(program, KT_EXIT_USAGE, "%s: %s%s; save_weights_only=true saves the weights.", option,
                       what, name);
}

/* Keras, too, refuses a state tree with two variables of one path, both when it saves and when it loads. */
static int check_optimizers(const kt_program *program) {
    const kt_abi_training *training = program->training;
    for (uint64_t i = 0; i < training->copies_count; i++) {
        const char *name = training->copies[i].name, *other = training->optimizer;
        for (uint64_t k = 0; k < i && strcmp(name, other) != 0; k++) other = training->copies[k].name;
        if (!strcmp(name, other))
            return refuse(program, "Keras takes no two optimizers of one name, here ", name);
    }
    for (uint32_t i = 0; i < program->variable_count; i++) { /* rows and columns have the variable's name */
        const char *path = program->variables[i].path;
        const size_t length = strlen(path);
        if (program->variables[i].kind == KT_KEPT_SLOT && length > 2 && !strcmp(path + length - 2, "_r"))
            return refuse(program, "Keras takes no Adafactor, several of whose variables have one name", "");
    }
    return 0;
}

static int check_paths(const kt_program *program, bool weights_only) {
    char **paths;
    int status = make_paths(program, weights_only, &paths)
                     ? 0
                     : kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    for (uint32_t i = 0; i < program->variable_count && status == 0; i++) {
        const char *why = paths[i] ? kt_orbax_refuses(paths[i]) : NULL;
        if (why)
            status = kt_cli_fail(program, KT_EXIT_USAGE, "%s: The variable %s cannot be saved: %s.", option,
                                 program->variables[i].path, why);
    }
    free_paths(program, paths);
    return status;
}

int kt_orbax_checkpoint_begin(const kt_model_checkpoint *checkpoint, const kt_program *program) {
    const bool weights_only = checkpoint->weights_only > 0;
    if (!checkpoint->path[0]) return kt_cli_fail(program, KT_EXIT_USAGE, "%s wants directory=DIR.", option);
    if (!(checkpoint->most >= 0) || checkpoint->most != floor(checkpoint->most))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: max_to_keep must be a whole number, or 0 for all.",
                           option);
    if (!weights_only && !program->training->config)
        return refuse(program, "the model did not come from Keras", "");
    int status = weights_only ? 0 : check_optimizers(program);
    return status ? status : check_paths(program, weights_only);
}

/* ---- folders --------------------------------------------------------------------------------- */
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
    char path[KT_CALLBACK_PATH + KT_MONITOR], old[KT_CALLBACK_PATH + KT_MONITOR], error[KT_IO_ERROR];
    int64_t count = 0;
    int status = kt_make_directories(program, place_of(checkpoint, number, path, sizeof path));
    if (status) return status;
    int failed = save(context, path, checkpoint->weights_only > 0, error);
    while (!failed && checkpoint->most >= 1) {
        const int64_t first = find_first(checkpoint, number, &count);
        if (first < 0)
            return kt_cli_fail(program, KT_EXIT_FAILED, "%s: It cannot be read: %s.", checkpoint->path,
                               strerror(errno));
        if ((double)count <= checkpoint->most) break;
        failed = kt_orbax_remove(place_of(checkpoint, first, old, sizeof old), path, error);
    }
    return failed ? kt_cli_fail(program, KT_EXIT_FAILED, "%s", error) : 0;
}
