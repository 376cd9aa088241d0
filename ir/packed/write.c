/* Writes the protobuf form of a graph (keratin.proto).
 *
 * The lists that others refer to (dimensions, operations, locations) are gathered while functions are
 * written, each member at its first use. Elements go into the message, unless they are more in all than the
 * caller allows: a protobuf message ends at 2 GB, and readers hold it whole. Then those of 64 bytes and more
 * lie in a second file, aligned, with its size and hash in the message. */
#include "ir/packed/packed_impl.h"
#include "support/file.h"

#include <string.h>

typedef struct writer {
    const kt_graph *graph;
    kt_arena *arena;
    bool beside; /* elements go into the second file */
    kt_text data;
    kt_table dimensions, operations, locations, functions; /* handle to place */
    KT_VECTOR(char *) dimension_list;
    KT_VECTOR(char *) operation_list;
    KT_VECTOR(Keratin__Location *) location_list;
    KT_VECTOR(Keratin__Function *) function_list;
} writer;

#define NEW(w, type, init)                                                                                   \
    __extension__({                                                                                          \
        type *new_ = KT_NEW((w)->arena, type);                                                               \
        init(new_);                                                                                          \
        new_;                                                                                                \
    })

/* The place of handle in a list, which gets item if it is new. */
#define PLACE(w, table, list, handle, item)                                                                  \
    __extension__({                                                                                          \
        uint32_t *found_ = kt_table_find(&(w)->table, &(handle), sizeof(handle));                            \
        if (!found_) {                                                                                       \
            __auto_type item_ = (item);                                                                      \
            found_ = kt_table_add(&(w)->table, (w)->arena, &(handle), sizeof(handle), (w)->list.count);      \
            KT_PUSH((w)->arena, &(w)->list, item_);                                                          \
        }                                                                                                    \
        *found_;                                                                                             \
    })

static char *dim_string(const writer *w, kt_dim dim) {
    kt_text text = {.arena = w->arena};
    kt_dim_print(w->graph->dims, dim, &text);
    return (char *)kt_text_string(&text);
}

static uint32_t place_dim(writer *w, kt_dim dim) {
    return PLACE(w, dimensions, dimension_list, dim, dim_string(w, dim));
}

static uint32_t place_operation(writer *w, kt_op op) {
    return PLACE(w, operations, operation_list, op, (char *)kt_op_describe(op)->name);
}

static uint32_t *place_dims(writer *w, const kt_dim *dims, uint32_t count) {
    uint32_t *places = KT_NEW_ARRAY(w->arena, uint32_t, count + 1);
    for (uint32_t i = 0; i < count; i++) places[i] = place_dim(w, dims[i]);
    return places;
}

static Keratin__Type *write_type(writer *w, const kt_type *type) {
    Keratin__Type *out = NEW(w, Keratin__Type, keratin__type__init);
    out->has_dtype = true;
    out->dtype = (Keratin__Dtype)type->dtype;
    out->n_dims = type->rank;
    out->dims = place_dims(w, type->dims, type->rank);
    return out;
}

static Keratin__Data *write_data(writer *w, const void *data, size_t bytes) {
    static const char zeros[KT_PACKED_ALIGNMENT];
    Keratin__Data *out = NEW(w, Keratin__Data, keratin__data__init);
    if (!w->beside || bytes < KT_PACKED_ALIGNMENT) {
        out->has_bytes = true;
        out->bytes = (ProtobufCBinaryData){bytes, (uint8_t *)data};
        return out;
    }
    size_t odd = w->data.length % KT_PACKED_ALIGNMENT;
    if (odd) kt_text_add_bytes(&w->data, zeros, KT_PACKED_ALIGNMENT - odd);
    out->has_offset = out->has_count = true;
    out->offset = w->data.length;
    out->count = bytes;
    kt_text_add_bytes(&w->data, data, bytes);
    return out;
}

static size_t type_bytes(const kt_graph *graph, const kt_type *type) {
    int64_t elements = kt_type_static_elements(graph->dims, type);
    return elements < 0 ? 0 : (size_t)elements * kt_dtype_bytes(type->dtype);
}

static Keratin__Data *write_typed_data(writer *w, const kt_type *type, const void *data) {
    return data ? write_data(w, data, type_bytes(w->graph, type)) : NULL;
}

static uint32_t place_location(writer *w, kt_loc loc);

static Keratin__Location *write_location(writer *w, kt_loc loc) {
    const kt_loc_info *info = &w->graph->locations.at[loc];
    Keratin__Location *out = NEW(w, Keratin__Location, keratin__location__init);
    out->path = (char *)info->path;
    out->file = (char *)info->file;
    out->has_line = info->file != NULL;
    out->line = info->line;
    out->n_parts = info->part_count;
    out->parts = KT_NEW_ARRAY(w->arena, uint32_t, info->part_count + 1);
    for (uint32_t i = 0; i < info->part_count; i++) out->parts[i] = place_location(w, info->parts[i]);
    return out;
}

/* Fused locations are flat, so this goes one level down. */
static uint32_t place_location(writer *w, kt_loc loc) {
    return PLACE(w, locations, location_list, loc, write_location(w, loc));
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* By the attribute's type alone: an operation needs nothing here. */
static Keratin__Attribute *write_attribute(writer *w, const kt_attr_info *attr, const void *field) {
    Keratin__Attribute *out = NEW(w, Keratin__Attribute, keratin__attribute__init);
    out->name = (char *)attr->name;
    switch (attr->kind) {
    case KT_ATTR_int:
        out->has_integer = true;
        out->integer = *(const kt_attr_int *)field;
        return out;
    case KT_ATTR_ints:
        out->n_integers = ((const kt_ints *)field)->count;
        out->integers = (int64_t *)((const kt_ints *)field)->at;
        return out;
    case KT_ATTR_dim:
        out->n_dims = 1;
        out->dims = place_dims(w, field, 1);
        return out;
    case KT_ATTR_dims:
        out->n_dims = ((const kt_dims *)field)->count;
        out->dims = place_dims(w, ((const kt_dims *)field)->at, ((const kt_dims *)field)->count);
        return out;
    case KT_ATTR_dtype: out->word = (char *)kt_dtype_name(*(const kt_dtype *)field); return out;
    case KT_ATTR_reduction: out->word = (char *)kt_reduction_name(*(const kt_reduction *)field); return out;
    case KT_ATTR_type: out->type = write_type(w, field); return out;
    case KT_ATTR_literal: {
        const kt_literal *literal = field;
        out->literal = write_data(w, literal->data, literal->bytes);
        return out;
    }
    case KT_ATTR_func:
        out->has_function = true;
        out->function = *kt_table_find(&w->functions, field, sizeof(kt_func));
        return out;
    }
    KT_BUG("attribute kind %d", attr->kind);
}

/* ---- functions ------------------------------------------------------------------------------- */
typedef struct numbering {
    kt_table values; /* of the function that is being written, by handle */
} numbering;

static void number(writer *w, numbering *n, kt_value value) {
    kt_table_add(&n->values, w->arena, &value, sizeof value, n->values.count);
}

static uint32_t number_of(const numbering *n, kt_value value) {
    return *kt_table_find(&n->values, &value, sizeof value);
}

static Keratin__Node *write_node(writer *w, numbering *n, const kt_node_info *node) {
    const kt_op_info *op = kt_op_describe(node->op);
    Keratin__Node *out = NEW(w, Keratin__Node, keratin__node__init);
    out->has_operation = true;
    out->operation = place_operation(w, node->op);
    out->n_operands = node->operand_count;
    out->operands = KT_NEW_ARRAY(w->arena, uint32_t, node->operand_count + 1);
    for (uint32_t i = 0; i < node->operand_count; i++) out->operands[i] = number_of(n, node->operands[i]);
    out->n_attributes = op->attr_count;
    out->attributes = KT_NEW_ARRAY(w->arena, Keratin__Attribute *, op->attr_count + 1);
    for (uint32_t i = 0; i < op->attr_count; i++)
        out->attributes[i] =
            write_attribute(w, &op->attrs[i], (const char *)node->attrs + op->attrs[i].offset);
    out->n_results = node->result_count;
    out->results = KT_NEW_ARRAY(w->arena, Keratin__Type *, node->result_count + 1);
    for (uint32_t i = 0; i < node->result_count; i++) {
        number(w, n, node->first_result + i);
        out->results[i] = write_type(w, kt_graph_type(w->graph, node->first_result + i));
    }
    out->has_location = node->loc != 0;
    if (node->loc) out->location = 1 + place_location(w, node->loc);
    return out;
}

static Keratin__Port *write_port(writer *w, const kt_port *port) {
    Keratin__Port *out = NEW(w, Keratin__Port, keratin__port__init);
    out->has_role = port->role != KT_ROLE_PLAIN;
    out->role = (Keratin__Role)port->role;
    out->has_index = out->has_role;
    out->index = port->index;
    out->name = (char *)port->name;
    return out;
}

static Keratin__Function *write_function(writer *w, const kt_function *function) {
    numbering n = {0};
    Keratin__Function *out = NEW(w, Keratin__Function, keratin__function__init);
    out->name = (char *)function->name;
    out->has_kind = true;
    out->kind = (Keratin__Kind)function->kind;
    out->composite = (char *)function->composite;
    out->n_params = function->params.count;
    out->params = KT_NEW_ARRAY(w->arena, Keratin__Port *, function->params.count + 1);
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *port = &function->params.at[i];
        number(w, &n, port->value);
        out->params[i] = write_port(w, port);
        out->params[i]->type = write_type(w, kt_graph_type(w->graph, port->value));
    }
    out->n_nodes = function->nodes.count;
    out->nodes = KT_NEW_ARRAY(w->arena, Keratin__Node *, function->nodes.count + 1);
    for (uint32_t i = 0; i < function->nodes.count; i++)
        out->nodes[i] = write_node(w, &n, kt_graph_node(w->graph, function->nodes.at[i]));
    out->n_results = function->results.count;
    out->results = KT_NEW_ARRAY(w->arena, Keratin__Port *, function->results.count + 1);
    for (uint32_t i = 0; i < function->results.count; i++) {
        out->results[i] = write_port(w, &function->results.at[i]);
        out->results[i]->has_value = true;
        out->results[i]->value = number_of(&n, function->results.at[i].value);
    }
    return out;
}

/* Writes func behind the functions that its attributes name; calls nest no deeper than readers allow. */
static void write_callees_first(writer *w, kt_func func, bool *done) {
    if (done[func]) return;
    done[func] = true;
    const kt_function *function = kt_graph_function(w->graph, func);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(w->graph, function->nodes.at[i]);
        const kt_op_info *op = kt_op_describe(node->op);
        for (uint32_t k = 0; k < op->attr_count; k++)
            if (op->attrs[k].kind == KT_ATTR_func)
                write_callees_first(w, *(const kt_func *)((const char *)node->attrs + op->attrs[k].offset),
                                    done);
    }
    Keratin__Function *written = write_function(w, function);
    kt_table_add(&w->functions, w->arena, &func, sizeof func, w->function_list.count);
    KT_PUSH(w->arena, &w->function_list, written);
}

/* ---- graphs ---------------------------------------------------------------------------------- */
static Keratin__Variable *write_variable(writer *w, const kt_variable *variable) {
    Keratin__Variable *out = NEW(w, Keratin__Variable, keratin__variable__init);
    out->path = (char *)variable->path;
    out->file_path = (char *)variable->file_path;
    out->type = write_type(w, &variable->type);
    out->has_trainable = variable->trainable;
    out->trainable = variable->trainable;
    out->has_kind = variable->kind != KT_VARIABLE_WEIGHT;
    out->kind = variable->kind;
    out->data = write_typed_data(w, &variable->type, variable->data);
    return out;
}

static Keratin__Constant *write_constant(writer *w, const kt_constant *constant) {
    Keratin__Constant *out = NEW(w, Keratin__Constant, keratin__constant__init);
    out->name = (char *)constant->name;
    out->type = write_type(w, &constant->type);
    out->data = write_typed_data(w, &constant->type, constant->data);
    return out;
}

static Keratin__Check *write_check(writer *w, const kt_equality *equality) {
    Keratin__Check *out = NEW(w, Keratin__Check, keratin__check__init);
    out->has_left = out->has_right = true;
    out->left = place_dim(w, equality->left);
    out->right = place_dim(w, equality->right);
    out->sentence = (char *)equality->sentence;
    return out;
}

/* What the graph's elements take in all. */
static size_t all_bytes(const kt_graph *graph) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < graph->variables.count; i++)
        if (graph->variables.at[i].data) bytes += type_bytes(graph, &graph->variables.at[i].type);
    for (uint32_t i = 0; i < graph->constants.count; i++)
        if (graph->constants.at[i].data) bytes += type_bytes(graph, &graph->constants.at[i].type);
    for (kt_node i = 1; i < graph->nodes.count; i++)
        if (graph->nodes.at[i].op == KT_OP_constant)
            bytes += ((const kt_attrs_constant *)graph->nodes.at[i].attrs)->literal.bytes;
    return bytes;
}

#define WRITE_ALL(w, message, field, source, write)                                                          \
    do {                                                                                                     \
        (message)->n_##field = (source).count;                                                               \
        (message)->field = kt_arena_array((w)->arena, (source).count + 1, sizeof *(message)->field);         \
        for (uint32_t i_ = 0; i_ < (source).count; i_++)                                                     \
            (message)->field[i_] = write((w), &(source).at[i_]);                                             \
    } while (0)

static Keratin__Graph *write_graph(writer *w) {
    const kt_graph *graph = w->graph;
    Keratin__Graph *out = NEW(w, Keratin__Graph, keratin__graph__init);
    out->format = (char *)KT_PACKED_FORMAT;
    out->has_version = true;
    out->version = KT_PACKED_VERSION;
    out->name = (char *)graph->name;
    out->n_symbols = kt_dim_symbol_count(graph->dims);
    out->symbols = KT_NEW_ARRAY(w->arena, char *, out->n_symbols + 1);
    for (uint32_t i = 0; i < out->n_symbols; i++)
        out->symbols[i] = (char *)kt_dim_symbol_name(graph->dims, i);
    WRITE_ALL(w, out, variables, graph->variables, write_variable);
    WRITE_ALL(w, out, constants, graph->constants, write_constant);
    WRITE_ALL(w, out, checks, graph->equalities, write_check);
    bool *done = kt_arena_alloc(w->arena, graph->functions.count);
    for (kt_func func = 1; func < graph->functions.count; func++) write_callees_first(w, func, done);
    out->n_dimensions = w->dimension_list.count;
    out->dimensions = w->dimension_list.at;
    out->n_operations = w->operation_list.count;
    out->operations = w->operation_list.at;
    out->n_locations = w->location_list.count;
    out->locations = w->location_list.at;
    out->n_functions = w->function_list.count;
    out->functions = w->function_list.at;
    out->has_beside_bytes = out->has_beside_hash = w->data.length > 0;
    out->beside_bytes = w->data.length;
    out->beside_hash = kt_hash_bytes(w->data.at, w->data.length, 0);
    return out;
}

typedef struct request {
    const kt_graph *graph;
    const char *path;
    size_t inside;
    kt_arena *arena;
    kt_diag *diag;
} request;

static kt_status write_files(void *context) {
    request *r = context;
    r->arena = kt_arena_create();
    writer w = {.graph = r->graph, .arena = r->arena, .data = {.arena = r->arena}};
    w.beside = all_bytes(r->graph) > r->inside;
    bool standard = !strcmp(r->path, "-");
    if (w.beside && standard)
        return kt_diag_add(r->diag, KT_UNSUPPORTED, NULL,
                           "More than %zu bytes of weights lie in a file beside the graph; name a file.",
                           r->inside);
    Keratin__Graph *message = write_graph(&w);
    size_t bytes = keratin__graph__get_packed_size(message);
    if (bytes > INT32_MAX)
        return kt_diag_add(r->diag, KT_UNSUPPORTED, NULL,
                           "The graph takes %zu bytes, and a protobuf message ends at 2 GB; write .kir.",
                           bytes);
    uint8_t *packed = kt_arena_alloc(r->arena, bytes);
    keratin__graph__pack(message, packed);
    if (w.data.length)
        KT_TRY(kt_file_write(kt_packed_beside(r->arena, r->path), w.data.at, w.data.length, r->diag));
    return kt_file_write(r->path, packed, bytes, r->diag);
}

kt_status kt_graph_write_packed(const kt_graph *graph, const char *path, size_t inside, kt_diag *diag) {
    request r = {.graph = graph, .path = path, .inside = inside, .diag = diag};
    kt_status status = kt_guarded(write_files, &r, diag);
    kt_arena_destroy(r.arena);
    return status;
}
