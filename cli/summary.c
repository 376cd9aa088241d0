/* keratin summary: the table that Keras's model.summary() prints. Cells are never broken: columns are as wide
 * as what they hold, and at least as wide as Keras's. */
#include "cli/cli.h"
#include "support/file.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct summary_command {
    const char *model;
    bool expand;
} summary_command;

const cli_option cli_summary_options[] = {
    {"--expand-nested", NULL, "show the layers of nested models too", CLI_FLAG,
     offsetof(summary_command, expand), true},
    {NULL},
};

enum { COLUMNS = 4 };
static const char *const headers[COLUMNS] = {"Layer (type)", "Output Shape", "Param #", "Connected to"};
/* Keras's widths, without the borders: of a chain's table, and of one with connections. */
static const uint32_t least_widths[2][COLUMNS] = {{32, 32, 18, 0}, {24, 24, 15, 24}};

typedef struct table {
    kt_arena *arena;
    kt_text text;
    int columns;
    uint32_t widths[COLUMNS];
} table;

/* Characters, not bytes. */
static uint32_t width_of(const char *text) {
    uint32_t width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void repeat(kt_text *text, const char *what, uint32_t count) {
    while (count--) kt_text_add(text, what);
}

static void add_rule(table *t, const char *const parts[4]) {
    for (int i = 0; i < t->columns; i++) {
        kt_text_add(&t->text, i ? parts[2] : parts[0]);
        repeat(&t->text, parts[1], t->widths[i] + 2);
    }
    kt_text_format(&t->text, "%s\n", parts[3]);
}

static void add_cells(table *t, const char *const cells[COLUMNS], const char *border) {
    for (int i = 0; i < t->columns; i++) {
        uint32_t space = t->widths[i] - width_of(cells[i]);
        bool right = i == 2; /* numbers */
        kt_text_format(&t->text, "%s ", border);
        repeat(&t->text, " ", right ? space : 0);
        kt_text_add(&t->text, cells[i]);
        repeat(&t->text, " ", right ? 1 : space + 1);
    }
    kt_text_format(&t->text, "%s\n", border);
}

/* 1234567 as "1,234,567". */
static const char *with_commas(kt_arena *arena, int64_t number) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRId64, number);
    kt_text text = {.arena = arena};
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) kt_text_add(&text, ",");
        kt_text_add_bytes(&text, &digits[i], 1);
    }
    return kt_text_string(&text);
}

static void add_total(table *t, const char *what, kt_weight_total total) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    double size = (double)total.bytes;
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) size /= 1024;
    kt_text_format(&t->text, " %s params: %s (%.2f %s)\n", what, with_commas(t->arena, total.count), size,
                   units[unit]);
}

static void print_rows(table *t, const kt_summary *summary) {
    static const char *const top[] = {"┏", "━", "┳", "┓"}, *const under_header[] = {"┡", "━", "╇", "┩"};
    static const char *const between[] = {"├", "─", "┼", "┤"}, *const bottom[] = {"└", "─", "┴", "┘"};
    const char *(*cells)[COLUMNS] = kt_arena_alloc(t->arena, (summary->rows.count + 1) * sizeof *cells);
    t->columns = summary->chain ? COLUMNS - 1 : COLUMNS;
    memcpy(t->widths, least_widths[!summary->chain], sizeof t->widths);
    for (uint32_t i = 0; i < summary->rows.count; i++) {
        const kt_summary_row *row = &summary->rows.at[i];
        kt_text name = {.arena = t->arena};
        repeat(&name, "   ", row->level);
        kt_text_format(&name, "%s%s (%s)", row->level ? "└ " : "", row->name, row->class_name);
        cells[i][0] = kt_text_string(&name);
        cells[i][1] = row->shape;
        cells[i][2] = with_commas(t->arena, row->parameters);
        cells[i][3] = row->connected;
        for (int k = 0; k < t->columns; k++)
            if (width_of(cells[i][k]) > t->widths[k]) t->widths[k] = width_of(cells[i][k]);
    }
    add_rule(t, top);
    add_cells(t, headers, "┃");
    add_rule(t, under_header);
    for (uint32_t i = 0; i < summary->rows.count; i++) {
        if (i) add_rule(t, between);
        add_cells(t, cells[i], "│");
    }
    add_rule(t, bottom);
}

static kt_status summary_body(kt_arena *arena, void *context, kt_diag *diag) {
    const summary_command *fields = context;
    kt_observer observer = {0};
    kt_graph *graph;
    kt_summary summary;
    KT_TRY(kt_model_read_observed(arena, fields->model, &observer, &graph, diag));
    if (!observer.model)
        return kt_diag_add(diag, KT_INVALID, NULL,
                           "This is a graph, which has no layers any more; keratin dump prints it.");
    kt_layer_context layers = {.arena = arena, .diag = diag};
    KT_TRY(kt_summarize(&layers, &observer, graph, fields->expand, &summary));
    table t = {.arena = arena, .text = {.arena = arena}};
    kt_text_format(&t.text, "Model: \"%s\"\n", observer.model->name);
    print_rows(&t, &summary);
    kt_weight_total all = {summary.trainable.count + summary.frozen.count + summary.optimizer.count,
                           summary.trainable.bytes + summary.frozen.bytes + summary.optimizer.bytes};
    add_total(&t, "Total", all);
    add_total(&t, "Trainable", summary.trainable);
    add_total(&t, "Non-trainable", summary.frozen);
    if (summary.compiled) add_total(&t, "Optimizer", summary.optimizer);
    return kt_file_write("-", kt_text_string(&t.text), t.text.length, diag);
}

int cli_run_summary(const cli_command *command, int argc, char **argv) {
    summary_command fields = {0};
    int rest, exit_status;
    if (!cli_parse(command, argc, argv, &fields, &fields.model, &rest, &exit_status)) return exit_status;
    return cli_guarded(summary_body, &fields, strcmp(fields.model, "-") ? fields.model : "standard input");
}
