/* keratin ops | passes | layers | targets | version: what this build knows, one line each. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static void list_ops(void) {
    for (kt_op op = KT_OP_NONE + 1; op < KT_OP_COUNT; op++)
        printf("%-14s %s\n", kt_op_describe(op)->name, kt_op_describe(op)->doc);
}

static void list_passes(void) {
    for (const kt_pass *pass = kt_passes; pass->name; pass++)
        if (kt_pass_find(pass->name) == pass) printf("%-14s %s\n", pass->name, pass->doc);
}

static void list_layers(void) {
    for (const kt_layer_class *const *class = kt_layer_classes; *class; class ++)
        printf("%-28s %-24s %s\n", (*class)->name, (*class)->module, (*class)->doc);
}

/* A line for each CPU, and one for each triple that says what can be made for it here. */
static kt_status list_targets_body(kt_arena *arena, void *context, kt_diag *diag) {
    const char *triple = "";
    (void)context;
    for (const kt_target_entry *entry = kt_targets; entry->triple; entry++) {
        if (strcmp(triple, entry->triple) != 0) {
            kt_target target;
            kt_diag missing = {0};
            triple = entry->triple;
            KT_TRY(kt_target_describe(triple, NULL, NULL, arena, &target, diag));
            bool links = kt_link_check(&target, arena, &missing) == KT_OK;
            printf("%-24s %s\n", triple,
                   links           ? "programs, libraries and text forms"
                   : missing.count ? missing.problems[0].text
                                   : "");
            kt_diag_deinit(&missing);
        }
        printf("  --cpu %-16s %s\n", entry->cpu, entry->doc);
    }
    return KT_OK;
}

static void list_targets(void) { cli_guarded(list_targets_body, NULL, NULL); }

int cli_run_list(const cli_command *command, int argc, char **argv) {
    static const struct {
        const char *name;
        void (*print)(void);
    } lists[] = {
        {"ops", list_ops}, {"passes", list_passes}, {"layers", list_layers}, {"targets", list_targets}};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, NULL, NULL, &rest, &exit_status)) return exit_status;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strcmp(lists[i].name, command->name)) lists[i].print();
    return EXIT_DONE;
}

int cli_run_version(const cli_command *command, int argc, char **argv) {
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, NULL, NULL, &rest, &exit_status)) return exit_status;
    printf("keratin %s\n", KT_VERSION);
    return EXIT_DONE;
}
