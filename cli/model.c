/* What the commands that read a model share. */
#include "cli/cli.h"

#include <string.h>
#include <sys/stat.h>

typedef struct guarded_body {
    kt_status (*body)(kt_arena *arena, void *context, kt_diag *diag);
    void *context;
    kt_diag *diag;
    kt_arena *arena;
} guarded_body;

static kt_status create_arena(void *context) {
    ((guarded_body *)context)->arena = kt_arena_create();
    return KT_OK;
}

static kt_status run_body(void *context) {
    guarded_body *guarded = context;
    return guarded->body(guarded->arena, guarded->context, guarded->diag);
}

int cli_guarded(kt_status (*body)(kt_arena *arena, void *context, kt_diag *diag), void *context,
                const char *file) {
    kt_diag diag = {0};
    guarded_body guarded = {body, context, &diag, NULL};
    kt_status status = kt_guarded(create_arena, &guarded, &diag);
    kt_arena *json = kt_json_use(guarded.arena);
    if (status == KT_OK) status = kt_guarded(run_body, &guarded, &diag);
    kt_json_use(json);
    int result = status == KT_OK ? EXIT_DONE : cli_report(file, &diag);
    kt_arena_destroy(guarded.arena);
    kt_diag_deinit(&diag);
    return result;
}

bool cli_overwrites(const char *model, const char *output) {
    struct stat from, to;
    return stat(model, &from) == 0 && stat(output, &to) == 0 && S_ISREG(from.st_mode) &&
           from.st_dev == to.st_dev && from.st_ino == to.st_ino;
}

/* ---- --batch and --shape --------------------------------------------------------------------- */
typedef struct binding_list {
    kt_graph *graph;
    kt_diag *diag;
    KT_VECTOR(kt_symbol_binding) bindings;
} binding_list;

static kt_status add_binding(binding_list *list, const char *symbol, int64_t value) {
    for (uint32_t i = 0; i < list->bindings.count; i++) {
        if (strcmp(list->bindings.at[i].name, symbol) != 0) continue;
        if (list->bindings.at[i].value == value) return KT_OK;
        return kt_diag_add(list->diag, KT_INVALID, NULL, "The dimension %s cannot be both %lld and %lld.",
                           symbol, (long long)list->bindings.at[i].value, (long long)value);
    }
    KT_PUSH(list->graph->arena, &list->bindings, ((kt_symbol_binding){symbol, value}));
    return KT_OK;
}

static kt_status bind_axis(binding_list *list, const char *input, int axis, kt_dim dim, int64_t size) {
    kt_dim_pool *dims = list->graph->dims;
    uint32_t symbol;
    int64_t fixed;
    if (kt_dim_is_symbol(dims, dim, &symbol))
        return add_binding(list, kt_dim_symbol_name(dims, symbol), size);
    if (kt_dim_is_const(dims, dim, &fixed) && fixed == size) return KT_OK;
    kt_text expression = {.arena = list->graph->arena};
    kt_dim_print(dims, dim, &expression);
    return kt_diag_add(list->diag, KT_INVALID, NULL,
                       "Dimension %d of input %s is %s; it cannot be fixed to %lld.", axis, input,
                       kt_text_string(&expression), (long long)size);
}

static const kt_type *find_input(const kt_graph *graph, const char *name, size_t length) {
    for (kt_func func = kt_graph_next(graph, KT_FUNC_ENTRY, 0); func;
         func = kt_graph_next(graph, KT_FUNC_ENTRY, func)) {
        const kt_function *entry = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < entry->params.count; i++) {
            const kt_port *port = &entry->params.at[i];
            if (port->role == KT_ROLE_INPUT && strlen(port->name) == length &&
                !strncmp(port->name, name, length))
                return kt_graph_type(graph, port->value);
        }
    }
    return NULL;
}

/* "image=1x28x28x1" */
static kt_status bind_shape(binding_list *list, const char *shape) {
    const char *equals = strchr(shape, '=');
    if (!equals)
        return kt_diag_add(list->diag, KT_INVALID, NULL, "--shape wants INPUT=SIZExSIZE…, not %s.", shape);
    const kt_type *type = find_input(list->graph, shape, (size_t)(equals - shape));
    char *input = kt_arena_format(list->graph->arena, "%.*s", (int)(equals - shape), shape);
    if (!type)
        return kt_diag_add(list->diag, KT_INVALID, NULL,
                           "--shape names the input %s, which the model does not have.", input);
    const char *at = equals + 1;
    for (int axis = 0; axis < type->rank; axis++) {
        const char *end = at + strcspn(at, "x");
        int64_t size;
        bool last = axis == type->rank - 1;
        if (!cli_read_size(at, end, &size) || (*end == 0) != last)
            return kt_diag_add(list->diag, KT_INVALID, NULL,
                               "--shape wants %d sizes for input %s, joined by x and at least 1, not %s.",
                               type->rank, input, equals + 1);
        KT_TRY(bind_axis(list, input, axis, type->dims[axis], size));
        at = end + 1;
    }
    return KT_OK;
}

kt_status cli_bind_shapes(kt_graph *graph, int64_t batch, const cli_list *shapes,
                          const kt_symbol_binding **out_bindings, uint32_t *out_count, kt_diag *diag) {
    binding_list list = {.graph = graph, .diag = diag};
    if (batch) KT_TRY(add_binding(&list, "batch", batch));
    for (uint32_t i = 0; i < shapes->count; i++) KT_TRY(bind_shape(&list, shapes->at[i]));
    *out_bindings = list.bindings.at;
    *out_count = list.bindings.count;
    return KT_OK;
}
