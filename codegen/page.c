/* The facts of codegen/page.h as JSON, and the page around them. */
#include "codegen/page.h"

#include <inttypes.h>
#include <string.h>

/* Where the facts stand in the template. */
static const char placeholder[] = "/*FACTS*/";

/* ---- layers ---------------------------------------------------------------------------------- */
typedef struct page_layer {
    const char *path;
    kt_type type; /* of what others take of it; else of what it computes last */
    bool input, given;
    int64_t parameters;
} page_layer;

typedef struct modelling {
    kt_arena *arena;
    const kt_graph *graph;
    kt_table known; /* by path: the layer */
    KT_VECTOR(page_layer) layers;
    KT_VECTOR(uint64_t) edges; /* from << 32 | to */
    kt_table edge_table;
    uint32_t *owner;    /* by value: 1 + the layer that computes it, or 0 */
    uint32_t *variable; /* by value: 1 + the variable that it is, or 0 */
    bool *counted;      /* by variable */
} modelling;

static uint32_t find_layer(modelling *m, const char *path, size_t length, bool input) {
    uint32_t before = m->layers.count;
    uint32_t number = *kt_table_add(&m->known, m->arena, path, length, before);
    if (number == before) {
        const char *copy = kt_arena_format(m->arena, "%.*s", (int)length, path);
        KT_PUSH(m->arena, &m->layers, ((page_layer){.path = copy, .input = input}));
    }
    return number;
}

/* The layer of a location: its path without what is done there; 0 where there is none. */
static uint32_t layer_of(modelling *m, kt_loc loc) {
    const kt_loc_info *info = &m->graph->locations.at[loc];
    if (info->part_count) return layer_of(m, info->parts[0]);
    const char *slash = info->path ? strrchr(info->path, '/') : NULL;
    if (!info->path) return 0;
    return 1 + find_layer(m, info->path, slash ? (size_t)(slash - info->path) : strlen(info->path), false);
}

static void add_edge(modelling *m, uint32_t from, uint32_t to) {
    uint64_t edge = (uint64_t)from << 32 | to;
    uint32_t before = m->edge_table.count;
    kt_table_add(&m->edge_table, m->arena, &edge, sizeof edge, 0);
    if (m->edge_table.count > before) KT_PUSH(m->arena, &m->edges, edge);
}

/* Somebody takes a value. */
static void give(modelling *m, kt_value value) {
    uint32_t owner = m->owner[value];
    if (!owner) return;
    KT_ASSERT(owner <= m->layers.count);
    page_layer *layer = &m->layers.at[owner - 1];
    if (!layer->given) layer->type = *kt_graph_type(m->graph, value);
    layer->given = true;
}

static void model_node(modelling *m, const kt_node_info *node) {
    const kt_graph *graph = m->graph;
    uint32_t layer = layer_of(m, node->loc);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        kt_value operand = node->operands[i];
        uint32_t owner = m->owner[operand], variable = m->variable[operand];
        if (layer && owner && owner != layer) {
            add_edge(m, owner - 1, layer - 1);
            give(m, operand);
        }
        if (!layer || !variable || m->counted[variable - 1]) continue;
        m->counted[variable - 1] = true;
        m->layers.at[layer - 1].parameters +=
            kt_type_static_elements(graph->dims, kt_graph_type(graph, operand));
    }
    for (uint32_t i = 0; i < node->result_count; i++) m->owner[node->first_result + i] = layer;
    /* Constants are shared by layers: they are nobody's output. */
    if (node->op == KT_OP_constant || !node->result_count) m->owner[node->first_result] = 0;
    if (layer && node->result_count && !m->layers.at[layer - 1].given)
        m->layers.at[layer - 1].type = *kt_graph_type(graph, node->first_result);
}

static void model_entry(modelling *m, const kt_function *entry) {
    for (uint32_t i = 0; i < entry->params.count; i++) {
        const kt_port *param = &entry->params.at[i];
        if (param->role == KT_ROLE_VARIABLE) m->variable[param->value] = 1 + param->index;
        if (param->role != KT_ROLE_INPUT) continue;
        uint32_t layer = find_layer(m, param->name, strlen(param->name), true);
        m->layers.at[layer].type = *kt_graph_type(m->graph, param->value);
        m->owner[param->value] = 1 + layer;
    }
    for (uint32_t i = 0; i < entry->nodes.count; i++)
        model_node(m, kt_graph_node(m->graph, entry->nodes.at[i]));
    for (uint32_t i = 0; i < entry->results.count; i++) give(m, entry->results.at[i].value);
}

static void add_type(const kt_graph *graph, const kt_type *type, kt_text *json) {
    kt_text text = {.arena = json->arena};
    kt_type_print(graph->dims, type, &text);
    kt_text_quote(json, kt_text_string(&text));
}

void kt_page_print_model(const kt_graph *graph, kt_text *out_json) {
    kt_arena *arena = out_json->arena;
    modelling m = {.arena = arena, .graph = graph};
    m.owner = KT_NEW_ARRAY(arena, uint32_t, graph->values.count);
    m.variable = KT_NEW_ARRAY(arena, uint32_t, graph->values.count);
    m.counted = KT_NEW_ARRAY(arena, bool, graph->variables.count);
    for (kt_func func = kt_graph_next(graph, KT_FUNC_ENTRY, 0); func;
         func = kt_graph_next(graph, KT_FUNC_ENTRY, func))
        model_entry(&m, kt_graph_function(graph, func));
    kt_text_add(out_json, "\"layers\": [");
    for (uint32_t i = 0; i < m.layers.count; i++) {
        const page_layer *layer = &m.layers.at[i];
        kt_text_add(out_json, i ? ",\n{\"path\": " : "\n{\"path\": ");
        kt_text_quote(out_json, layer->path);
        kt_text_add(out_json, ", \"type\": ");
        add_type(graph, &layer->type, out_json);
        kt_text_format(out_json, ", \"input\": %s, \"parameters\": %" PRId64 "}",
                       layer->input ? "true" : "false", layer->parameters);
    }
    kt_text_add(out_json, "],\n\"edges\": [");
    for (uint32_t i = 0; i < m.edges.count; i++)
        kt_text_format(out_json, "%s[%u,%u]", i ? "," : "", (unsigned)(m.edges.at[i] >> 32),
                       (unsigned)m.edges.at[i]);
    kt_text_add(out_json, "]");
}

/* ---- plans and kernels ----------------------------------------------------------------------- */
typedef struct printing {
    const kt_page_source *source;
    kt_text *json;
    int64_t *ones; /* what symbols are taken for */
} printing;

static int64_t value_of(const printing *p, kt_dim dim) {
    return kt_dim_eval(p->source->graph->dims, dim, p->ones);
}

/* The layers of a location, each once. */
static void add_layers(const printing *p, kt_loc loc, kt_table *seen) {
    const kt_loc_info *info = &p->source->graph->locations.at[loc];
    for (uint32_t i = 0; i < info->part_count; i++) add_layers(p, info->parts[i], seen);
    if (!info->path) return;
    const char *slash = strrchr(info->path, '/');
    size_t length = slash ? (size_t)(slash - info->path) : strlen(info->path);
    uint32_t before = seen->count;
    kt_table_add(seen, p->json->arena, info->path, length, 0);
    if (seen->count == before) return;
    kt_text_add(p->json, before ? ", " : "");
    kt_text_quote(p->json, kt_arena_format(p->json->arena, "%.*s", (int)length, info->path));
}

static void add_step(const printing *p, const kt_plan_step *step, bool first) {
    const kt_page_source *source = p->source;
    const char *name = kt_graph_function(source->graph, step->kernel)->name;
    kt_work work = kt_kernel_work(source->graph, step->kernel);
    kt_table seen = {0};
    kt_text_add(p->json, first ? "\n{\"kernel\": " : ",\n{\"kernel\": ");
    kt_text_quote(p->json, name);
    kt_text_format(p->json, ", \"operations\": %" PRId64 ", \"bytes\": %" PRId64,
                   value_of(p, work.operations), value_of(p, work.bytes));
    if (source->module)
        kt_text_format(p->json, ", \"cost\": %" PRId64,
                       value_of(p, kt_module_kernel(source->module, name)->cost));
    kt_text_add(p->json, ", \"layers\": [");
    add_layers(p, step->loc, &seen);
    kt_text_add(p->json, "]}");
}

static void add_buffers(const printing *p, const kt_plan *plan) {
    const kt_graph *graph = p->source->graph;
    const kt_lifetime *places = kt_plan_place(graph, plan, p->ones, p->json->arena);
    bool first = true;
    for (uint32_t i = 0; i < plan->buffers.count; i++) {
        const kt_plan_buffer *buffer = &plan->buffers.at[i];
        if (buffer->place != KT_PLACE_ARENA) continue;
        kt_text_format(p->json,
                       "%s\n{\"name\": \"b%u\", \"bytes\": %" PRId64 ", \"offset\": %" PRId64
                       ", \"first\": %u, \"last\": %u, \"type\": ",
                       first ? "" : ",", i, places[i].bytes, places[i].offset, buffer->first, buffer->last);
        add_type(graph, kt_graph_type(graph, buffer->value), p->json);
        kt_text_add(p->json, "}");
        first = false;
    }
}

static void add_plan(const printing *p, const kt_plan *plan) {
    const kt_graph *graph = p->source->graph;
    kt_plan_memory memory = kt_plan_measure(graph, plan, p->ones, p->json->arena);
    kt_text_add(p->json, "{\"entry\": ");
    kt_text_quote(p->json, kt_graph_function(graph, plan->entry)->name);
    kt_text_format(p->json,
                   ", \"unshared\": %" PRId64 ", \"planned\": %" PRId64 ", \"lower\": %" PRId64
                   ", \"steps\": [",
                   memory.unshared_bytes, memory.planned_bytes, memory.lower_bound_bytes);
    for (uint32_t i = 0; i < plan->steps.count; i++) add_step(p, &plan->steps.at[i], i == 0);
    kt_text_add(p->json, "],\n\"buffers\": [");
    add_buffers(p, plan);
    kt_text_add(p->json, "]}");
}

/* ---- everything ------------------------------------------------------------------------------ */
static void add_member(kt_text *json, const char *name, const char *text) {
    if (!text) return;
    kt_text_format(json, ",\n\"%s\": ", name);
    kt_text_quote(json, text);
}

static void add_stages(const kt_page_source *source, bool with_texts, kt_text *json) {
    const char *last = NULL; /* what the page knows already stands in it once */
    for (uint32_t i = 0; i < source->stages->count; i++) {
        const kt_stage *stage = &source->stages->at[i];
        kt_text_add(json, i ? ",\n{\"name\": " : "\n{\"name\": ");
        kt_text_quote(json, stage->name);
        kt_text_format(json, ", \"ms\": %.3f, \"pass\": %s, \"changed\": %s", stage->seconds * 1e3,
                       stage->is_pass ? "true" : "false", stage->changed ? "true" : "false");
        if (with_texts && stage->text && (stage->changed || !last))
            add_member(json, "text", last = stage->text);
        kt_text_add(json, "}");
    }
}

static void print_facts(const kt_page_source *source, bool with_texts, kt_text *json) {
    uint32_t symbols = kt_dim_symbol_count(source->graph->dims);
    printing p = {.source = source, .json = json, .ones = KT_NEW_ARRAY(json->arena, int64_t, symbols + 1)};
    for (uint32_t i = 0; i < symbols; i++) p.ones[i] = 1;
    kt_text_add(json, "{\"name\": ");
    kt_text_quote(json, source->name);
    add_member(json, "target",
               kt_arena_format(json->arena, "%s %s", source->target->triple, source->target->cpu));
    add_member(json, "note", source->note);
    kt_text_format(json, ",\n\"version\": \"%s\", \"level\": %d, \"constants\": %" PRIu64 ",\n", KT_VERSION,
                   source->level, source->constants_bytes);
    kt_text_add(json, source->model ? source->model : "\"layers\": [], \"edges\": []");
    kt_text_add(json, ",\n\"stages\": [");
    add_stages(source, with_texts, json);
    kt_text_add(json, "],\n\"plans\": [");
    for (uint32_t i = 0; i < source->plan_count; i++) {
        kt_text_add(json, i ? ",\n" : "");
        add_plan(&p, &source->plans[i]);
    }
    kt_text_add(json, "]");
    add_member(json, "again", source->again);
    if (with_texts) {
        add_member(json, "plan", source->plan);
        add_member(json, "loops", source->loops);
        add_member(json, "llvm", source->llvm);
        add_member(json, "assembly", source->assembly);
    }
    kt_text_add(json, "}");
}

void kt_page_print(const kt_page_source *source, bool with_texts, kt_text *out_html) {
    const char *place = strstr(kt_page_template, placeholder);
    KT_ASSERT(place);
    kt_text json = {.arena = out_html->arena};
    print_facts(source, with_texts, &json);
    kt_text_add_bytes(out_html, kt_page_template, (size_t)(place - kt_page_template));
    /* In a script element nothing but '<' could be taken for its end. */
    const char *at = kt_text_string(&json);
    for (const char *less = strchr(at, '<'); less; at = less + 1, less = strchr(at, '<')) {
        kt_text_add_bytes(out_html, at, (size_t)(less - at));
        kt_text_add(out_html, "\\u003c");
    }
    kt_text_add(out_html, at);
    kt_text_add(out_html, place + sizeof placeholder - 1);
}
