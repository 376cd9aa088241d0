/* Reads the text form that ir/text/print.c describes. Functions are built node by node through the builder,
 * so that inference checks every type, and the types in the text are compared with what it finds. A call must
 * name a function that stands above, hence there is no recursion. */
#include "ir/graph_impl.h"
#include "ir/text/text_impl.h"

#include <inttypes.h>
#include <string.h>

enum {
    MAX_CALL_DEPTH = 64, /* calls within calls: later passes recurse along them */
    MAX_LOC_DEPTH = 8,   /* fused locations within fused ones */
};

/* An operation's attributes as they are read. */
typedef struct attributes {
    const kt_op_info *op;
    char *fields;            /* struct kt_attrs_NAME */
    uint32_t given;          /* bit i: attribute i was there */
    const char *elements[2]; /* where the text of literals starts: it is read once the type is known */
    uint32_t literals[2], literal_count;
} attributes;

typedef struct parser {
    kt_lexer lexer;
    kt_graph *graph;
    kt_diag *build_diag; /* of the builder; empty unless it failed */
    kt_table functions, variables, constants, values;
    KT_VECTOR(uint32_t) depths; /* of calls, by function */
    uint32_t depth;             /* of the function that is being read */
} parser;

/* ---- references ------------------------------------------------------------------------------ */

/* @name, or #position where positions allows it, of something that stands above. */
static kt_status parse_reference(parser *p, const kt_table *table, uint32_t count, const char *what,
                                 uint32_t *out_index) {
    kt_lexer *lexer = &p->lexer;
    if (kt_lex_accept(lexer, '#')) {
        KT_TRY(kt_lex_index(lexer, out_index));
        if (*out_index < count) return KT_OK;
        return kt_lex_fail(lexer, "There is no %s #%" PRIu32 ".", what, *out_index);
    }
    const char *name;
    KT_TRY(kt_lex_name(lexer, &name));
    const uint32_t *index = kt_table_find(table, name, strlen(name));
    if (!index) return kt_lex_fail(lexer, "No %s called \"%s\" stands above.", what, name);
    *out_index = *index;
    return KT_OK;
}

static kt_status parse_function_reference(parser *p, kt_func *out_func) {
    KT_TRY(parse_reference(p, &p->functions, 0, "function", out_func));
    uint32_t depth = p->depths.at[*out_func] + 1;
    if (depth > p->depth) p->depth = depth;
    if (depth > MAX_CALL_DEPTH) return kt_lex_fail(&p->lexer, "Calls nest deeper than %d.", MAX_CALL_DEPTH);
    return KT_OK;
}

static kt_status parse_value(parser *p, kt_value *out_value) {
    kt_span name;
    KT_TRY(kt_lex_value(&p->lexer, &name));
    const uint32_t *value = kt_table_find(&p->values, name.at, name.length);
    if (!value) return kt_lex_fail(&p->lexer, "%%%.*s is not defined above.", (int)name.length, name.at);
    *out_value = *value;
    return KT_OK;
}

static kt_status define_value(parser *p, kt_span name, kt_value value) {
    if (kt_table_find(&p->values, name.at, name.length))
        return kt_lex_fail(&p->lexer, "%%%.*s is defined twice.", (int)name.length, name.at);
    kt_table_add(&p->values, p->lexer.arena, name.at, name.length, value);
    return KT_OK;
}

/* ---- attributes, locations ------------------------------------------------------------------- */

static kt_status parse_reduction(parser *p, kt_reduction *out_kind) {
    kt_span word = kt_lex_word(&p->lexer);
    for (kt_reduction kind = KT_REDUCE_SUM; kind <= KT_REDUCE_MINIMUM; kind++) {
        if (!kt_span_is(word, kt_reduction_name(kind))) continue;
        *out_kind = kind;
        return KT_OK;
    }
    return kt_lex_fail(&p->lexer, "Expected sum, product, maximum or minimum.");
}

static kt_status parse_attribute(parser *p, attributes *attrs, uint32_t index) {
    const kt_attr_info *attr = &attrs->op->attrs[index];
    void *field = attrs->fields + attr->offset;
    switch (attr->kind) {
    case KT_ATTR_int: return kt_lex_integer(&p->lexer, field);
    case KT_ATTR_ints: return kt_lex_ints(&p->lexer, field);
    case KT_ATTR_dim: return kt_lex_dim(&p->lexer, field);
    case KT_ATTR_dims: return kt_lex_dims(&p->lexer, field);
    case KT_ATTR_dtype: return kt_lex_dtype(&p->lexer, field);
    case KT_ATTR_type: return kt_lex_type(&p->lexer, field);
    case KT_ATTR_reduction: return parse_reduction(p, field);
    case KT_ATTR_literal:
        KT_ASSERT(attrs->literal_count < 2);
        attrs->literals[attrs->literal_count] = index;
        attrs->elements[attrs->literal_count++] = p->lexer.at;
        return kt_lex_skip_elements(&p->lexer);
    case KT_ATTR_func: return parse_function_reference(p, field);
    }
    KT_BUG("attribute kind %d", attr->kind);
}

/* name=value … */
static kt_status parse_attributes(parser *p, attributes *attrs) {
    kt_lexer *lexer = &p->lexer;
    for (;;) {
        const char *start = lexer->at;
        kt_span name = kt_lex_word(lexer);
        if (!name.length || !kt_lex_accept(lexer, '=')) {
            lexer->at = start;
            return KT_OK;
        }
        uint32_t i = 0;
        while (i < attrs->op->attr_count && !kt_span_is(name, attrs->op->attrs[i].name)) i++;
        if (i == attrs->op->attr_count)
            return kt_lex_fail(lexer, "%s has no attribute \"%.*s\".", attrs->op->name, (int)name.length,
                               name.at);
        if (attrs->given & 1u << i) return kt_lex_fail(lexer, "%s is given twice.", attrs->op->attrs[i].name);
        attrs->given |= 1u << i;
        KT_TRY(parse_attribute(p, attrs, i));
    }
}

/* What can be read or told only when the results' types are known. */
static kt_status complete_attributes(parser *p, attributes *attrs, const kt_type *types,
                                     uint32_t type_count) {
    kt_lexer *lexer = &p->lexer;
    for (uint32_t i = 0; i < attrs->op->attr_count; i++) {
        const kt_attr_info *attr = &attrs->op->attrs[i];
        if (attrs->given & 1u << i) continue;
        if (attr->kind == KT_ATTR_type && type_count > 0)
            *(kt_type *)(attrs->fields + attr->offset) = types[0];
        else if (attr->kind != KT_ATTR_int && attr->kind != KT_ATTR_ints && attr->kind != KT_ATTR_dims)
            return kt_lex_fail(lexer, "%s needs %s=.", attrs->op->name, attr->name);
    }
    const char *start = lexer->at;
    for (uint32_t i = 0; i < attrs->literal_count; i++) {
        if (type_count == 0) return kt_lex_fail(lexer, "Elements need a result type.");
        lexer->at = attrs->elements[i];
        void *field = attrs->fields + attrs->op->attrs[attrs->literals[i]].offset;
        KT_TRY(kt_lex_elements(lexer, &types[0], field));
    }
    lexer->at = start;
    return KT_OK;
}

/* "path", "path" in "file":line, in "file":line, unknown, or fused[…]. */
static kt_status parse_location(parser *p, int depth, kt_loc *out_loc) {
    kt_lexer *lexer = &p->lexer;
    const char *path = NULL, *file = NULL;
    uint32_t line;
    *out_loc = 0;
    if (kt_lex_accept_word(lexer, "unknown")) return KT_OK;
    if (kt_lex_accept_word(lexer, "fused")) {
        if (depth == MAX_LOC_DEPTH)
            return kt_lex_fail(lexer, "Fused locations nest deeper than %d.", MAX_LOC_DEPTH);
        KT_VECTOR(kt_loc) parts = {0};
        KT_TRY(kt_lex_expect(lexer, '['));
        do {
            KT_PUSH(lexer->arena, &parts, 0);
            KT_TRY(parse_location(p, depth + 1, &parts.at[parts.count - 1]));
        } while (kt_lex_accept(lexer, ','));
        KT_TRY(kt_lex_expect(lexer, ']'));
        *out_loc = kt_loc_fuse(p->graph, parts.at, parts.count);
        return KT_OK;
    }
    if (kt_lex_at_string(lexer)) KT_TRY(kt_lex_string(lexer, &path));
    if (path && !kt_span_is(kt_lex_peek_word(lexer), "in")) {
        *out_loc = kt_loc_path(p->graph, path);
        return KT_OK;
    }
    if (!kt_lex_accept_word(lexer, "in")) return kt_lex_fail(lexer, "Expected a location behind the @.");
    KT_TRY(kt_lex_string(lexer, &file));
    KT_TRY(kt_lex_expect(lexer, ':'));
    KT_TRY(kt_lex_index(lexer, &line));
    *out_loc = kt_loc_source(p->graph, path, file, line);
    return KT_OK;
}

/* ---- functions ------------------------------------------------------------------------------- */

/* The builder's problem, told with the line; status is the builder's. */
static kt_status check_builder(parser *p, kt_status status) {
    if (status == KT_OK) return KT_OK;
    if (p->build_diag->count == 0) return kt_lex_fail(&p->lexer, "This cannot be built.");
    const kt_problem *problem = &p->build_diag->problems[0];
    return kt_diag_add(p->lexer.diag, status, kt_lex_line(&p->lexer), "%s", problem->text);
}

/* [input 0 "name" | output 0 "name" | variable @name | constant @name | plain] */
static kt_status parse_port(parser *p, kt_port *out_port) {
    kt_lexer *lexer = &p->lexer;
    *out_port = (kt_port){.role = KT_ROLE_PLAIN};
    kt_span word = kt_lex_word(lexer);
    if (!word.length) return KT_OK;
    kt_role role = KT_ROLE_PLAIN;
    while (role <= KT_ROLE_CONSTANT && !kt_span_is(word, kt_role_words[role])) role++;
    if (role > KT_ROLE_CONSTANT) return kt_lex_fail(lexer, "\"%.*s\" is no role.", (int)word.length, word.at);
    out_port->role = role;
    switch (role) {
    case KT_ROLE_PLAIN: return KT_OK;
    case KT_ROLE_INPUT:
    case KT_ROLE_OUTPUT:
        KT_TRY(kt_lex_index(lexer, &out_port->index));
        return kt_lex_at_string(lexer) ? kt_lex_string(lexer, &out_port->name) : KT_OK;
    case KT_ROLE_VARIABLE:
        return parse_reference(p, &p->variables, p->graph->variables.count, "variable", &out_port->index);
    case KT_ROLE_CONSTANT:
        return parse_reference(p, &p->constants, p->graph->constants.count, "constant", &out_port->index);
    }
    KT_BUG("role %d", role);
}

static kt_status parse_param(parser *p, kt_builder *builder) {
    kt_port port;
    kt_span name;
    kt_type type;
    KT_TRY(parse_port(p, &port));
    KT_TRY(kt_lex_value(&p->lexer, &name));
    KT_TRY(kt_lex_expect(&p->lexer, ':'));
    KT_TRY(kt_lex_type(&p->lexer, &type));
    port.value = kt_builder_param(builder, port.role, port.name, port.index, &type);
    KT_TRY(check_builder(p, builder->status));
    return define_value(p, name, port.value);
}

static kt_status parse_result(parser *p, kt_builder *builder) {
    kt_port port;
    KT_TRY(parse_port(p, &port));
    KT_TRY(parse_value(p, &port.value));
    kt_builder_result(builder, port.role, port.name, port.index, port.value);
    return check_builder(p, builder->status);
}

/* A node as it is written. */
typedef struct node_text {
    kt_op op;
    attributes attrs;
    KT_VECTOR(kt_span) names;
    KT_VECTOR(kt_value) operands;
    KT_VECTOR(kt_type) types;
} node_text;

/* [%a, %b =] op[(%x, …)] [name=value …] [: type, …] [@ location] */
static kt_status read_node(parser *p, node_text *node, kt_loc *out_loc) {
    kt_lexer *lexer = &p->lexer;
    if (!kt_lex_peek_word(lexer).length) {
        do {
            KT_PUSH(lexer->arena, &node->names, (kt_span){0});
            KT_TRY(kt_lex_value(lexer, &node->names.at[node->names.count - 1]));
        } while (kt_lex_accept(lexer, ','));
        KT_TRY(kt_lex_expect(lexer, '='));
    }
    kt_span word = kt_lex_word(lexer);
    node->op = kt_op_find(kt_span_string(lexer, word));
    if (node->op == KT_OP_NONE)
        return kt_lex_fail(lexer, "There is no operation \"%.*s\".", (int)word.length, word.at);
    node->attrs.op = kt_op_describe(node->op);
    node->attrs.fields = kt_arena_alloc(lexer->arena, node->attrs.op->attrs_bytes);
    if (kt_lex_accept(lexer, '(') && !kt_lex_accept(lexer, ')')) {
        do {
            KT_PUSH(lexer->arena, &node->operands, 0);
            KT_TRY(parse_value(p, &node->operands.at[node->operands.count - 1]));
        } while (kt_lex_accept(lexer, ','));
        KT_TRY(kt_lex_expect(lexer, ')'));
    }
    KT_TRY(parse_attributes(p, &node->attrs));
    if (kt_lex_accept(lexer, ':')) {
        do {
            KT_PUSH(lexer->arena, &node->types, (kt_type){0});
            KT_TRY(kt_lex_type(lexer, &node->types.at[node->types.count - 1]));
        } while (kt_lex_accept(lexer, ','));
    }
    *out_loc = 0;
    return kt_lex_accept(lexer, '@') ? parse_location(p, 0, out_loc) : KT_OK;
}

static kt_status build_node(parser *p, kt_builder *builder, node_text *node) {
    kt_lexer *lexer = &p->lexer;
    const kt_op_info *op = kt_op_describe(node->op);
    KT_TRY(complete_attributes(p, &node->attrs, node->types.at, node->types.count));
    uint32_t count = kt_op_result_count(p->graph, node->op, node->attrs.fields);
    if (node->names.count != count || node->types.count != count)
        return kt_lex_fail(lexer,
                           "%s has %" PRIu32 " results; there are %" PRIu32 " names and %" PRIu32 " types.",
                           op->name, count, node->names.count, node->types.count);
    if (op->operands != KT_MANY && node->operands.count != (uint32_t)op->operands)
        return kt_lex_fail(lexer, "%s takes %d operands, not %" PRIu32 ".", op->name, op->operands,
                           node->operands.count);
    kt_value first =
        kt_build_node(builder, node->op, node->operands.at, node->operands.count, node->attrs.fields);
    KT_TRY(check_builder(p, builder->status));
    for (uint32_t i = 0; i < count; i++) {
        kt_span name = node->names.at[i];
        const kt_type *inferred = kt_build_type(builder, first + i);
        if (!kt_type_equal(inferred, &node->types.at[i]))
            return kt_lex_fail(lexer, "%%%.*s is written as %s, but %s gives %s.", (int)name.length, name.at,
                               kt_type_string(p->graph->dims, &node->types.at[i], lexer->arena), op->name,
                               kt_type_string(p->graph->dims, inferred, lexer->arena));
        KT_TRY(define_value(p, name, first + i));
    }
    return KT_OK;
}

static kt_status parse_node(parser *p, kt_builder *builder) {
    node_text node = {0};
    (void)kt_lex_at_end(&p->lexer); /* passes over blank lines */
    const char *start = p->lexer.at;
    KT_TRY(read_node(p, &node, &builder->loc));
    const char *behind = p->lexer.at;
    p->lexer.at = start; /* what is wrong with the node as a whole is told with its first line */
    KT_TRY(build_node(p, builder, &node));
    p->lexer.at = behind;
    return KT_OK;
}

static kt_status parse_function(parser *p, kt_func_kind kind) {
    kt_lexer *lexer = &p->lexer;
    const char *name;
    kt_func func;
    KT_TRY(kt_lex_name(lexer, &name));
    if (kt_table_find(&p->functions, name, strlen(name)))
        return kt_lex_fail(lexer, "Two functions are called \"%s\".", name);
    p->values = (kt_table){0};
    p->depth = 0;
    kt_builder builder;
    kt_builder_begin(&builder, p->graph, kind, name, p->build_diag);
    if (kind == KT_FUNC_BODY && kt_lex_at_string(lexer))
        KT_TRY(kt_lex_string(lexer, &builder.function.composite));
    KT_TRY(kt_lex_expect(lexer, '('));
    if (!kt_lex_accept(lexer, ')')) {
        do KT_TRY(parse_param(p, &builder));
        while (kt_lex_accept(lexer, ','));
        KT_TRY(kt_lex_expect(lexer, ')'));
    }
    KT_TRY(kt_lex_expect(lexer, '{'));
    while (!kt_lex_accept_word(lexer, "return")) KT_TRY(parse_node(p, &builder));
    if (!kt_lex_accept(lexer, '}')) {
        do KT_TRY(parse_result(p, &builder));
        while (kt_lex_accept(lexer, ','));
        KT_TRY(kt_lex_expect(lexer, '}'));
    }
    KT_TRY(check_builder(p, kt_builder_finish(&builder, &func)));
    kt_table_add(&p->functions, lexer->arena, name, strlen(name), func);
    while (p->depths.count <= func) KT_PUSH(lexer->arena, &p->depths, 0);
    p->depths.at[func] = p->depth;
    return KT_OK;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

/* [= elements]; the data of a variable or constant, or NULL. */
static kt_status parse_data(parser *p, const kt_type *type, const void **out_data) {
    kt_literal literal = {0};
    if (kt_lex_accept(&p->lexer, '=')) KT_TRY(kt_lex_elements(&p->lexer, type, &literal));
    *out_data = literal.data;
    return KT_OK;
}

static kt_status parse_variable(parser *p) {
    kt_lexer *lexer = &p->lexer;
    kt_variable variable = {0};
    KT_TRY(kt_lex_name(lexer, &variable.path));
    KT_TRY(kt_lex_expect(lexer, ':'));
    KT_TRY(kt_lex_type(lexer, &variable.type));
    if (!kt_type_is_static(p->graph->dims, &variable.type))
        return kt_lex_fail(lexer, "The dimensions of a variable must be numbers.");
    if (kt_lex_accept_word(lexer, "file")) KT_TRY(kt_lex_string(lexer, &variable.file_path));
    variable.trainable = kt_lex_accept_word(lexer, "trainable");
    for (int kind = KT_VARIABLE_STATE; kind <= KT_VARIABLE_METRIC; kind++)
        if (kt_lex_accept_word(lexer, kt_variable_kind_name(kind))) variable.kind = kind;
    KT_TRY(parse_data(p, &variable.type, &variable.data));
    uint32_t index = kt_graph_add_variable(p->graph, &variable);
    kt_table_add(&p->variables, lexer->arena, variable.path, strlen(variable.path), index);
    return KT_OK;
}

static kt_status parse_constant(parser *p) {
    kt_lexer *lexer = &p->lexer;
    kt_constant constant = {0};
    KT_TRY(kt_lex_name(lexer, &constant.name));
    KT_TRY(kt_lex_expect(lexer, ':'));
    KT_TRY(kt_lex_type(lexer, &constant.type));
    KT_TRY(parse_data(p, &constant.type, &constant.data));
    uint32_t index = kt_graph_add_constant(p->graph, &constant);
    kt_table_add(&p->constants, lexer->arena, constant.name, strlen(constant.name), index);
    return KT_OK;
}

static kt_status parse_check(parser *p) {
    kt_lexer *lexer = &p->lexer;
    kt_equality equality = {0};
    KT_TRY(kt_lex_dim(lexer, &equality.left));
    KT_TRY(kt_lex_expect(lexer, '='));
    KT_TRY(kt_lex_dim(lexer, &equality.right));
    if (kt_lex_at_string(lexer)) KT_TRY(kt_lex_string(lexer, &equality.sentence));
    KT_PUSH(p->graph->arena, &p->graph->equalities, equality);
    return KT_OK;
}

static kt_status parse_symbols(parser *p) {
    kt_lexer *lexer = &p->lexer;
    do {
        kt_dim symbol;
        KT_TRY(kt_lex_dim(lexer, &symbol));
        if (!kt_dim_is_symbol(p->graph->dims, symbol, &(uint32_t){0}))
            return kt_lex_fail(lexer, "Expected the name of a symbol.");
    } while (kt_lex_accept(lexer, ','));
    return KT_OK;
}

static kt_status parse_item(parser *p) {
    kt_lexer *lexer = &p->lexer;
    if (kt_lex_accept_word(lexer, "symbols")) return parse_symbols(p);
    if (kt_lex_accept_word(lexer, "variable")) return parse_variable(p);
    if (kt_lex_accept_word(lexer, "constant")) return parse_constant(p);
    if (kt_lex_accept_word(lexer, "check")) return parse_check(p);
    for (kt_func_kind kind = KT_FUNC_ENTRY; kind <= KT_FUNC_STEP; kind++)
        if (kt_lex_accept_word(lexer, kt_func_words[kind])) return parse_function(p, kind);
    return kt_lex_fail(lexer, "Expected symbols, variable, constant, check, entry, body, step or kernel.");
}

static kt_status parse_graph(void *context) {
    parser *p = context;
    kt_lexer *lexer = &p->lexer;
    const char *name = "";
    if (!kt_lex_accept_word(lexer, "graph")) return kt_lex_fail(lexer, "A graph starts with the word graph.");
    if (kt_lex_at_string(lexer)) KT_TRY(kt_lex_string(lexer, &name));
    p->graph = kt_graph_create(lexer->arena, name);
    lexer->dims = p->graph->dims;
    while (!kt_lex_at_end(lexer)) KT_TRY(parse_item(p));
    return KT_OK;
}

kt_status kt_graph_parse(kt_arena *arena, const char *text, size_t length, kt_graph **out_graph,
                         kt_diag *diag) {
    kt_diag build_diag = {0};
    parser p = {
        .lexer = {.arena = arena, .diag = diag, .text = text, .at = text, .end = text + length},
        .build_diag = &build_diag,
    };
    kt_status status = kt_guarded(parse_graph, &p, diag);
    kt_diag_deinit(&build_diag);
    if (status == KT_OK) *out_graph = p.graph;
    return status;
}
