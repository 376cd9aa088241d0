/* The graph's arrays: functions, locations, variables, constants, equalities.
 *
 * Locations are interned through a table whose keys hold everything that tells two locations apart. Nodes and
 * values are only appended, by the builder; a function that was replaced leaves its old nodes behind in the
 * arrays, which costs memory until the graph goes and nothing else. */
#include "ir/graph_impl.h"

#include <string.h>

kt_graph *kt_graph_create(kt_arena *arena, const char *name) {
    kt_graph *graph = KT_NEW(arena, kt_graph);
    graph->arena = arena;
    graph->dims = kt_dim_pool_create(arena);
    graph->name = kt_arena_string(arena, name);
    KT_PUSH(arena, &graph->functions, (kt_function){0});
    KT_PUSH(arena, &graph->nodes, (kt_node_info){0});
    KT_PUSH(arena, &graph->values, (kt_value_info){0});
    KT_PUSH(arena, &graph->locations, (kt_loc_info){0});
    return graph;
}

const kt_node_info *kt_graph_definition(const kt_graph *graph, kt_value value) {
    kt_node node = kt_graph_value(graph, value)->node;
    return node ? kt_graph_node(graph, node) : NULL;
}

kt_func kt_graph_find(const kt_graph *graph, const char *name) {
    for (kt_func func = 1; func < graph->functions.count; func++)
        if (strcmp(kt_graph_function(graph, func)->name, name) == 0) return func;
    return 0;
}

kt_func kt_graph_next(const kt_graph *graph, kt_func_kind kind, kt_func after) {
    for (kt_func func = after + 1; func < graph->functions.count; func++)
        if (kt_graph_function(graph, func)->kind == kind) return func;
    return 0;
}

kt_func kt_graph_add_function(kt_graph *graph, const kt_function *function) {
    KT_PUSH(graph->arena, &graph->functions, *function);
    return graph->functions.count - 1;
}

const char *kt_variable_kind_name(kt_variable_kind kind) {
    static const char *const names[] = {[KT_VARIABLE_WEIGHT] = "weight",
                                        [KT_VARIABLE_STATE] = "state",
                                        [KT_VARIABLE_SLOT] = "slot",
                                        [KT_VARIABLE_METRIC] = "metric"};
    return names[kind];
}

uint32_t kt_graph_add_variable(kt_graph *graph, const kt_variable *variable) {
    kt_variable copy = *variable;
    copy.path = kt_arena_string(graph->arena, variable->path);
    if (variable->file_path) copy.file_path = kt_arena_string(graph->arena, variable->file_path);
    KT_PUSH(graph->arena, &graph->variables, copy);
    return graph->variables.count - 1;
}

uint32_t kt_graph_add_constant(kt_graph *graph, const kt_constant *constant) {
    kt_constant copy = *constant;
    copy.name = kt_arena_string(graph->arena, constant->name);
    KT_PUSH(graph->arena, &graph->constants, copy);
    return graph->constants.count - 1;
}

const kt_node_info *kt_graph_parted(const kt_graph *graph, kt_value value) {
    const kt_node_info *node = kt_graph_definition(graph, value);
    if (!node || node->op != KT_OP_concat || node->operand_count > KT_MOST_PARTS) return NULL;
    const kt_type *part = kt_graph_type(graph, node->operands[0]);
    for (uint32_t i = 1; i < node->operand_count; i++)
        if (!kt_type_equal(part, kt_graph_type(graph, node->operands[i]))) return NULL;
    int64_t run = 1, size;
    for (int axis = (int)((const kt_attrs_concat *)node->attrs)->axis;
         axis < part->rank && run < KT_LEAST_RUN; axis++)
        if (kt_dim_is_const(graph->dims, part->dims[axis], &size)) run *= size;
    return run >= KT_LEAST_RUN ? node : NULL;
}

const kt_type *kt_graph_places(const kt_graph *graph, kt_value value) {
    const kt_node_info *concat = kt_graph_parted(graph, value);
    return kt_graph_type(graph, concat ? concat->operands[0] : value);
}

kt_dim kt_graph_part_begin(const kt_graph *graph, const kt_node_info *concat, uint32_t part) {
    int64_t axis = ((const kt_attrs_concat *)concat->attrs)->axis;
    kt_dim begin = kt_dim_const(graph->dims, 0);
    for (uint32_t i = 0; i < part; i++)
        begin = kt_dim_add(graph->dims, begin, kt_graph_type(graph, concat->operands[i])->dims[axis]);
    return begin;
}

/* The field of a node's attributes that names the function it runs; NULL: none. */
static const kt_attr_info *callee_field(kt_op op) {
    const kt_op_info *info = kt_op_describe(op);
    for (uint32_t i = 0; i < info->attr_count; i++)
        if (info->attrs[i].kind == KT_ATTR_func) return &info->attrs[i];
    return NULL;
}

kt_func kt_node_callee(const kt_node_info *node) {
    const kt_attr_info *field = callee_field(node->op);
    return field && node->attrs ? *(const kt_func *)((const char *)node->attrs + field->offset) : 0;
}

uint32_t kt_op_result_count(const kt_graph *graph, kt_op op, const void *attrs) {
    const kt_op_info *info = kt_op_describe(op);
    if (info->results != KT_MANY) return (uint32_t)info->results;
    kt_func callee = kt_node_callee(&(kt_node_info){.op = op, .attrs = attrs});
    return callee < graph->functions.count ? kt_graph_function(graph, callee)->results.count : 0;
}

/* ---- functions that no entry reaches --------------------------------------------------------- */

/* The new number of each function; 0 for those that go. */
static kt_func *number_reachable(const kt_graph *graph) {
    uint32_t count = graph->functions.count;
    kt_func *number = KT_NEW_ARRAY(graph->arena, kt_func, count);
    KT_VECTOR(kt_func) work = {0};
    for (kt_func func = 1; func < count; func++)
        if (kt_graph_function(graph, func)->kind == KT_FUNC_ENTRY) {
            number[func] = 1;
            KT_PUSH(graph->arena, &work, func);
        }
    while (work.count > 0) {
        const kt_function *function = kt_graph_function(graph, work.at[--work.count]);
        for (uint32_t i = 0; i < function->nodes.count; i++) {
            kt_func callee = kt_node_callee(kt_graph_node(graph, function->nodes.at[i]));
            if (callee == 0 || number[callee]) continue;
            number[callee] = 1;
            KT_PUSH(graph->arena, &work, callee);
        }
    }
    kt_func next = 1;
    for (kt_func func = 1; func < count; func++)
        if (number[func]) number[func] = next++;
    return number;
}

void kt_graph_drop_unreachable(kt_graph *graph) {
    const kt_func *number = number_reachable(graph);
    uint32_t kept = 1;
    for (kt_func func = 1; func < graph->functions.count; func++)
        if (number[func]) graph->functions.at[kept++] = graph->functions.at[func];
    graph->functions.count = kept;
    for (kt_func func = 1; func < kept; func++) {
        const kt_function *function = kt_graph_function(graph, func);
        for (uint32_t i = 0; i < function->nodes.count; i++) {
            kt_node_info *node = &graph->nodes.at[function->nodes.at[i]];
            kt_func callee = kt_node_callee(node);
            if (callee == 0 || number[callee] == callee) continue;
            /* Attributes are shared with nodes of before. */
            char *attrs = kt_arena_copy(graph->arena, node->attrs, kt_op_describe(node->op)->attrs_bytes);
            *(kt_func *)(attrs + callee_field(node->op)->offset) = number[callee];
            node->attrs = attrs;
        }
    }
    graph->body_table = (kt_table){0}; /* it holds the old numbers */
}

/* ---- locations ------------------------------------------------------------------------------- */

static kt_loc intern(kt_graph *graph, const kt_text *key, const kt_loc_info *info) {
    uint32_t fresh = graph->locations.count;
    kt_loc loc = *kt_table_add(&graph->location_table, graph->arena, key->at, key->length, fresh);
    if (loc == fresh) KT_PUSH(graph->arena, &graph->locations, *info);
    return loc;
}

kt_loc kt_loc_path(kt_graph *graph, const char *path) { return kt_loc_source(graph, path, NULL, 0); }

kt_loc kt_loc_source(kt_graph *graph, const char *path, const char *file, uint32_t line) {
    kt_text key = {.arena = graph->arena};
    kt_text_format(&key, "path %u ", line);
    kt_text_add(&key, path ? path : "");
    if (file) {
        kt_text_add_bytes(&key, "", 1);
        kt_text_add(&key, file);
    }
    kt_loc_info info = {.line = line};
    if (path) info.path = kt_arena_string(graph->arena, path);
    if (file) info.file = kt_arena_string(graph->arena, file);
    return intern(graph, &key, &info);
}

typedef KT_VECTOR(kt_loc) loc_list;

static void add_part(kt_graph *graph, loc_list *list, kt_loc part) {
    if (part == 0) return;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->at[i] == part) return;
    KT_PUSH(graph->arena, list, part);
}

kt_loc kt_loc_fuse(kt_graph *graph, const kt_loc *parts, uint32_t count) {
    loc_list flat = {0};
    for (uint32_t i = 0; i < count; i++) {
        const kt_loc_info *info = &graph->locations.at[parts[i]];
        if (info->part_count == 0) add_part(graph, &flat, parts[i]);
        for (uint32_t j = 0; j < info->part_count; j++) add_part(graph, &flat, info->parts[j]);
    }
    if (flat.count <= 1) return flat.count ? flat.at[0] : 0;
    kt_text key = {.arena = graph->arena};
    kt_text_add(&key, "fuse ");
    kt_text_add_bytes(&key, flat.at, flat.count * sizeof *flat.at);
    return intern(graph, &key, &(kt_loc_info){.parts = flat.at, .part_count = flat.count});
}

void kt_loc_print(const kt_graph *graph, kt_loc loc, kt_text *out_text) {
    const kt_loc_info *info = &graph->locations.at[loc];
    if (loc == 0) kt_text_add(out_text, "unknown");
    for (uint32_t i = 0; i < info->part_count; i++) {
        if (i > 0) kt_text_add(out_text, ", ");
        kt_loc_print(graph, info->parts[i], out_text);
    }
    if (info->path) kt_text_add(out_text, info->path);
    if (info->file) kt_text_format(out_text, info->path ? " (%s:%u)" : "%s:%u", info->file, info->line);
}

const char *kt_loc_string(const kt_graph *graph, kt_loc loc) {
    if (loc == 0) return NULL;
    kt_text text = {.arena = graph->arena};
    kt_loc_print(graph, loc, &text);
    return kt_text_string(&text);
}

/* ---- equalities ------------------------------------------------------------------------------ */

kt_agreement kt_dim_compare(kt_dim_pool *pool, kt_dim a, kt_dim b) {
    if (a == b) return KT_AGREE_ALWAYS;
    kt_dim above = kt_dim_sub(pool, a, b), below = kt_dim_sub(pool, b, a);
    if (kt_dim_equals(pool, above, 0)) return KT_AGREE_ALWAYS;
    if (kt_dim_at_least(pool, above, 1) || kt_dim_at_least(pool, below, 1)) return KT_AGREE_NEVER;
    return KT_AGREE_SOMETIMES;
}

void kt_graph_add_equality(kt_graph *graph, kt_dim a, kt_dim b, const char *sentence) {
    for (uint32_t i = 0; i < graph->equalities.count; i++) {
        const kt_equality *known = &graph->equalities.at[i];
        if ((known->left == a && known->right == b) || (known->left == b && known->right == a)) return;
    }
    kt_equality equality = {.left = a, .right = b, .sentence = kt_arena_string(graph->arena, sentence)};
    KT_PUSH(graph->arena, &graph->equalities, equality);
}
