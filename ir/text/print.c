/* The text form of a graph, and how it is printed.
 *
 *   graph "digits"
 *   symbols batch
 *   variable @dense/kernel : f32[64,10] file "layers/dense/vars/0" trainable = base64"zczMPc3MTD4…"
 *   variable @mean/total : f32 metric
 *   constant @dense/packed : f32[2,64,8]
 *   check 2*batch = height "input image: height is twice the batch"
 *
 *   entry @predict(
 *       input 0 "image" %0: f32[batch,64],
 *       variable @dense/kernel %1: f32[64,10]
 *   ) {
 *     %2 = dot_general(%0, %1) lhs_contract=[1] rhs_contract=[0] : f32[batch,10] @ "functional/dense/matmul"
 *     %3 = call(%2) callee=@softmax : f32[batch,10] @ fused["a" in "model.c":12, "b"]
 *     return output 0 "dense" %3
 *   }
 *
 * Names are bare words or JSON strings. A variable or constant whose name is not the first of its kind is
 * referred to by its position, #3. An attribute that is 0 or empty is left out, and so is one that repeats
 * the result's type. Elements are a list of numbers [1, 2.5, nan], a number for all of them (all 0), or
 * base64 of the bytes; a float that has no shorter exact form is 0x and its bits. Symbols are listed first,
 * so that they keep their numbers. Lines may end in // comments. */
#include "ir/element.h"
#include "ir/text/text_impl.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const kt_role_words[] = {
    [KT_ROLE_PLAIN] = "plain",       [KT_ROLE_INPUT] = "input",       [KT_ROLE_OUTPUT] = "output",
    [KT_ROLE_VARIABLE] = "variable", [KT_ROLE_CONSTANT] = "constant",
};
const char *const kt_func_words[] = {
    [KT_FUNC_ENTRY] = "entry",
    [KT_FUNC_BODY] = "body",
    [KT_FUNC_STEP] = "step",
    [KT_FUNC_KERNEL] = "kernel",
};

typedef struct printer {
    const kt_graph *graph;
    kt_print_options options;
    kt_text *out;
    kt_table numbers; /* of the function's values, by handle */
    size_t counted;   /* how much of out line_number has seen, and how many lines ended there */
    uint32_t lines;
} printer;

bool kt_text_is_word(char c) { return isalnum((unsigned char)c) || (c && strchr("_./$-", c)); }

static void print_name(kt_text *out, const char *name) {
    size_t length = 0;
    while (kt_text_is_word(name[length])) length++;
    kt_text_add(out, "@");
    if (length > 0 && name[length] == 0)
        kt_text_add(out, name);
    else
        kt_text_quote(out, name);
}

/* ---- elements -------------------------------------------------------------------------------- */

static void print_float(kt_text *out, kt_dtype dtype, const void *data, size_t index) {
    size_t size = kt_dtype_bytes(dtype);
    const char *bytes = (const char *)data + index * size;
    double number = kt_element_float(dtype, data, index);
    bool whole = fabs(number) < 1e9 && number == rint(number); /* 100 rather than 1e+02 */
    for (int digits = whole ? 10 : 1; digits <= 17; digits++) {
        char text[40];
        uint64_t again;
        snprintf(text, sizeof text, "%.*g", digits, number);
        kt_element_set_float(dtype, &again, 0, strtod(text, NULL));
        if (memcmp(&again, bytes, size) != 0) continue;
        kt_text_add(out, text);
        return;
    }
    uint64_t bits = 0; /* a NaN that carries something */
    memcpy(&bits, bytes, size);
    kt_text_format(out, "0x%0*" PRIx64, (int)(2 * size), bits);
}

static void print_element(kt_text *out, kt_dtype dtype, const void *data, size_t index) {
    if (kt_dtype_is_float(dtype))
        print_float(out, dtype, data, index);
    else if (dtype == KT_BOOL)
        kt_text_add(out, kt_element_integer(dtype, data, index) ? "true" : "false");
    else if (dtype == KT_U64)
        kt_text_format(out, "%" PRIu64, (uint64_t)kt_element_integer(dtype, data, index));
    else
        kt_text_format(out, "%" PRId64, kt_element_integer(dtype, data, index));
}

static void print_base64(kt_text *out, const uint8_t *bytes, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { CHUNK = 3 * 1024 };
    char coded[CHUNK / 3 * 4];
    kt_text_add(out, "base64\"");
    while (count > 0) {
        size_t taken = count < CHUNK ? count : CHUNK, length = 0;
        for (size_t i = 0; i < taken; i += 3) {
            size_t left = taken - i;
            uint32_t group = (uint32_t)bytes[i] << 16;
            if (left > 1) group |= (uint32_t)bytes[i + 1] << 8;
            if (left > 2) group |= bytes[i + 2];
            coded[length++] = digits[group >> 18];
            coded[length++] = digits[group >> 12 & 63];
            coded[length++] = left > 1 ? digits[group >> 6 & 63] : '=';
            coded[length++] = left > 2 ? digits[group & 63] : '=';
        }
        kt_text_add_bytes(out, coded, length);
        bytes += taken;
        count -= taken;
    }
    kt_text_add(out, "\"");
}

/* Has every element a number that stands for exactly its bytes? */
static bool is_numeric(kt_dtype dtype, const uint8_t *bytes, size_t count) {
    if (dtype != KT_BOOL) return kt_dtype_is_float(dtype) || kt_dtype_is_integer(dtype);
    for (size_t i = 0; i < count; i++)
        if (bytes[i] > 1) return false;
    return true;
}

static void print_elements(const printer *p, kt_dtype dtype, const void *data, size_t bytes) {
    size_t size = kt_dtype_bytes(dtype);
    size_t count = size ? bytes / size : 0;
    bool numeric = size && bytes % size == 0 && is_numeric(dtype, data, count);
    if (numeric && count <= KT_TEXT_LISTED) {
        kt_text_add(p->out, "[");
        for (size_t i = 0; i < count; i++) {
            if (i) kt_text_add(p->out, ", ");
            print_element(p->out, dtype, data, i);
        }
        kt_text_add(p->out, "]");
    } else if (numeric && bytes <= KT_TEXT_ALL_BYTES &&
               memcmp(data, (const char *)data + size, bytes - size) == 0) {
        kt_text_add(p->out, "all ");
        print_element(p->out, dtype, data, 0);
    } else if (p->options.elide) {
        kt_text_format(p->out, "hash\"%016" PRIx64 "\"", kt_hash_bytes(data, bytes, 0));
    } else {
        print_base64(p->out, data, bytes);
    }
}

/* ---- attributes, locations ------------------------------------------------------------------- */

static void print_attribute(const printer *p, const kt_attr_info *attr, const void *field, kt_dtype dtype) {
    kt_text *out = p->out;
    const kt_graph *graph = p->graph;
    switch (attr->kind) {
    case KT_ATTR_int: kt_text_format(out, "%" PRId64, *(const kt_attr_int *)field); return;
    case KT_ATTR_ints: {
        const kt_ints *ints = field;
        for (uint32_t i = 0; i < ints->count; i++)
            kt_text_format(out, "%s%" PRId64, i ? "," : "[", ints->at[i]);
        kt_text_add(out, "]");
        return;
    }
    case KT_ATTR_dim: kt_dim_print(graph->dims, *(const kt_dim *)field, out); return;
    case KT_ATTR_dims: {
        const kt_dims *dims = field;
        for (uint32_t i = 0; i < dims->count; i++) {
            kt_text_add(out, i ? "," : "[");
            kt_dim_print(graph->dims, dims->at[i], out);
        }
        kt_text_add(out, "]");
        return;
    }
    case KT_ATTR_dtype: kt_text_add(out, kt_dtype_name(*(const kt_dtype *)field)); return;
    case KT_ATTR_type: kt_type_print(graph->dims, field, out); return;
    case KT_ATTR_reduction: kt_text_add(out, kt_reduction_name(*(const kt_reduction *)field)); return;
    case KT_ATTR_literal: {
        const kt_literal *literal = field;
        print_elements(p, dtype, literal->data, literal->bytes);
        return;
    }
    case KT_ATTR_func: print_name(out, kt_graph_function(graph, *(const kt_func *)field)->name); return;
    }
}

/* Is the attribute what the parser assumes where it finds none? */
static bool is_default(const kt_attr_info *attr, const void *field, const kt_type *result) {
    switch (attr->kind) {
    case KT_ATTR_int: return *(const kt_attr_int *)field == 0;
    case KT_ATTR_ints: return ((const kt_ints *)field)->count == 0;
    case KT_ATTR_dim: return *(const kt_dim *)field == 0;
    case KT_ATTR_dims: return ((const kt_dims *)field)->count == 0;
    case KT_ATTR_type: return result && kt_type_equal(field, result);
    default: return false;
    }
}

static void print_location(const printer *p, kt_loc loc) {
    kt_text *out = p->out;
    const kt_loc_info *info = &p->graph->locations.at[loc];
    if (info->part_count) {
        for (uint32_t i = 0; i < info->part_count; i++) {
            kt_text_add(out, i ? ", " : "fused[");
            print_location(p, info->parts[i]);
        }
        kt_text_add(out, "]");
        return;
    }
    if (info->path) kt_text_quote(out, info->path);
    if (info->file) {
        kt_text_add(out, info->path ? " in " : "in ");
        kt_text_quote(out, info->file);
        kt_text_format(out, ":%" PRIu32, info->line);
    }
    if (!info->path && !info->file) kt_text_add(out, "unknown");
}

/* ---- functions ------------------------------------------------------------------------------- */

static void print_value(const printer *p, kt_value value) {
    const uint32_t *number = kt_table_find(&p->numbers, &value, sizeof value);
    if (number)
        kt_text_format(p->out, "%%%" PRIu32, *number);
    else
        kt_text_format(p->out, "%%undefined.%" PRIu32, value); /* a broken graph is printed too */
}

/* Prints a value where it is defined: it gets the next number. */
static void print_definition(printer *p, kt_value value) {
    kt_table_add(&p->numbers, p->out->arena, &value, sizeof value, p->numbers.count);
    print_value(p, value);
}

static const char *variable_name(const kt_graph *graph, uint32_t index) {
    return index < graph->variables.count ? graph->variables.at[index].path : NULL;
}

static const char *constant_name(const kt_graph *graph, uint32_t index) {
    return index < graph->constants.count ? graph->constants.at[index].name : NULL;
}

/* A reference to the variable or constant at index, by name where that finds it. */
static void print_reference(const printer *p, const char *name_of(const kt_graph *, uint32_t),
                            uint32_t index) {
    const char *name = name_of(p->graph, index);
    for (uint32_t i = 0; name && i < index; i++)
        if (strcmp(name, name_of(p->graph, i)) == 0) name = NULL;
    if (name)
        print_name(p->out, name);
    else
        kt_text_format(p->out, "#%" PRIu32, index);
}

static void print_port(const printer *p, const kt_port *port) {
    kt_text *out = p->out;
    switch (port->role) {
    case KT_ROLE_PLAIN: return;
    case KT_ROLE_INPUT:
    case KT_ROLE_OUTPUT:
        kt_text_format(out, "%s %" PRIu32 " ", kt_role_words[port->role], port->index);
        if (port->name) {
            kt_text_quote(out, port->name);
            kt_text_add(out, " ");
        }
        return;
    case KT_ROLE_VARIABLE:
    case KT_ROLE_CONSTANT:
        kt_text_format(out, "%s ", kt_role_words[port->role]);
        print_reference(p, port->role == KT_ROLE_VARIABLE ? variable_name : constant_name, port->index);
        kt_text_add(out, " ");
        return;
    }
}

/* Of what is printed next. */
static uint32_t line_number(printer *p) {
    for (; p->counted < p->out->length; p->counted++) p->lines += p->out->at[p->counted] == '\n';
    return p->lines + 1;
}

/* Attributes and types of results: the same for a node by itself and in a function. */
static void print_rest(const printer *p, const kt_node_info *node) {
    kt_text *out = p->out;
    const kt_op_info *op = kt_op_describe(node->op);
    const kt_type *result = node->result_count ? kt_graph_type(p->graph, node->first_result) : NULL;
    for (uint32_t i = 0; i < op->attr_count; i++) {
        const kt_attr_info *attr = &op->attrs[i];
        const void *field = (const char *)node->attrs + attr->offset;
        if (is_default(attr, field, result)) continue;
        kt_text_format(out, " %s=", attr->name);
        print_attribute(p, attr, field, result ? result->dtype : KT_F32);
    }
    for (uint32_t i = 0; i < node->result_count; i++) {
        kt_text_add(out, i ? ", " : " : ");
        kt_type_print(p->graph->dims, kt_graph_type(p->graph, node->first_result + i), out);
    }
}

void kt_operation_print(const kt_graph *graph, const kt_node_info *node, kt_text *out_text) {
    const printer p = {.graph = graph, .out = out_text, .options = {.elide = true}};
    kt_text_add(out_text, kt_op_describe(node->op)->name);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        kt_text_add(out_text, i ? ", " : "(");
        kt_type_print(graph->dims, kt_graph_type(graph, node->operands[i]), out_text);
    }
    if (node->operand_count) kt_text_add(out_text, ")");
    print_rest(&p, node);
}

static void print_node(printer *p, const kt_node_info *node) {
    kt_text *out = p->out;
    kt_text_add(out, "  ");
    for (uint32_t i = 0; i < node->result_count; i++) {
        if (i) kt_text_add(out, ", ");
        print_definition(p, node->first_result + i);
    }
    if (node->result_count) kt_text_add(out, " = ");
    kt_text_add(out, kt_op_describe(node->op)->name);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        kt_text_add(out, i ? ", " : "(");
        print_value(p, node->operands[i]);
    }
    if (node->operand_count) kt_text_add(out, ")");
    print_rest(p, node);
    if (node->loc && !p->options.anonymous) {
        kt_text_add(out, " @ ");
        print_location(p, node->loc);
    }
    kt_text_add(out, "\n");
}

static void print_function(printer *p, const kt_function *function) {
    kt_text *out = p->out;
    /* Entries may have hundreds of parameters: one a line. Bodies have few, without roles. */
    bool entry = function->kind == KT_FUNC_ENTRY;
    p->numbers = (kt_table){0};
    kt_text_add(out, kt_func_words[function->kind]);
    if (!p->options.anonymous) {
        kt_text_add(out, " ");
        print_name(out, function->name);
    }
    if (function->composite) {
        kt_text_add(out, " ");
        kt_text_quote(out, function->composite);
    }
    kt_text_add(out, "(");
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *port = &function->params.at[i];
        if (i) kt_text_add(out, entry ? "," : ", ");
        if (entry) kt_text_add(out, "\n    ");
        print_port(p, port);
        print_definition(p, port->value);
        kt_text_add(out, ": ");
        kt_type_print(p->graph->dims, kt_graph_type(p->graph, port->value), out);
    }
    kt_text_add(out, entry && function->params.count ? "\n) {\n" : ") {\n");
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        if (p->options.node_lines) p->options.node_lines[function->nodes.at[i]] = line_number(p);
        print_node(p, kt_graph_node(p->graph, function->nodes.at[i]));
    }
    kt_text_add(out, "  return");
    for (uint32_t i = 0; i < function->results.count; i++) {
        const kt_port *port = &function->results.at[i];
        if (i) kt_text_add(out, entry ? ",\n        " : ",");
        kt_text_add(out, " ");
        print_port(p, port);
        print_value(p, port->value);
    }
    kt_text_add(out, "\n}\n");
}

void kt_function_print(const kt_graph *graph, const kt_function *function, const kt_print_options *options,
                       kt_text *out_text) {
    printer p = {.graph = graph, .out = out_text};
    if (options) p.options = *options;
    print_function(&p, function);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static void print_data(const printer *p, const kt_type *type, const void *data) {
    int64_t count = kt_type_static_elements(p->graph->dims, type);
    if (!data || count < 0) return;
    kt_text_add(p->out, " = ");
    print_elements(p, type->dtype, data, (size_t)count * kt_dtype_bytes(type->dtype));
}

static void print_variable(const printer *p, const kt_variable *variable) {
    kt_text_add(p->out, "variable ");
    print_name(p->out, variable->path);
    kt_text_add(p->out, " : ");
    kt_type_print(p->graph->dims, &variable->type, p->out);
    if (variable->file_path) {
        kt_text_add(p->out, " file ");
        kt_text_quote(p->out, variable->file_path);
    }
    if (variable->trainable) kt_text_add(p->out, " trainable");
    if (variable->kind) kt_text_format(p->out, " %s", kt_variable_kind_name(variable->kind));
    print_data(p, &variable->type, variable->data);
    kt_text_add(p->out, "\n");
}

static void print_constant(const printer *p, const kt_constant *constant) {
    kt_text_add(p->out, "constant ");
    print_name(p->out, constant->name);
    kt_text_add(p->out, " : ");
    kt_type_print(p->graph->dims, &constant->type, p->out);
    print_data(p, &constant->type, constant->data);
    kt_text_add(p->out, "\n");
}

static void print_equality(const printer *p, const kt_equality *equality) {
    kt_text_add(p->out, "check ");
    kt_dim_print(p->graph->dims, equality->left, p->out);
    kt_text_add(p->out, " = ");
    kt_dim_print(p->graph->dims, equality->right, p->out);
    if (equality->sentence) {
        kt_text_add(p->out, " ");
        kt_text_quote(p->out, equality->sentence);
    }
    kt_text_add(p->out, "\n");
}

/* Prints func after the functions that it calls. */
static void print_callees_first(printer *p, kt_func func, bool *done) {
    if (done[func]) return;
    done[func] = true;
    const kt_function *function = kt_graph_function(p->graph, func);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(p->graph, function->nodes.at[i]);
        kt_func callee = kt_node_callee(node);
        if (callee) print_callees_first(p, callee, done);
    }
    kt_text_add(p->out, "\n");
    if (p->options.function_lines) p->options.function_lines[func] = line_number(p);
    print_function(p, function);
}

void kt_graph_print(const kt_graph *graph, const kt_print_options *options, kt_text *out_text) {
    printer p = {.graph = graph, .out = out_text};
    if (options) p.options = *options;
    kt_text_add(out_text, "graph");
    if (graph->name[0]) {
        kt_text_add(out_text, " ");
        kt_text_quote(out_text, graph->name);
    }
    kt_text_add(out_text, "\n");
    uint32_t symbols = kt_dim_symbol_count(graph->dims);
    for (uint32_t i = 0; i < symbols; i++) {
        kt_text_add(out_text, i ? ", " : "symbols ");
        kt_dim_print(graph->dims, kt_dim_symbol(graph->dims, kt_dim_symbol_name(graph->dims, i)), out_text);
    }
    if (symbols) kt_text_add(out_text, "\n");
    for (uint32_t i = 0; i < graph->variables.count; i++) print_variable(&p, &graph->variables.at[i]);
    for (uint32_t i = 0; i < graph->constants.count; i++) print_constant(&p, &graph->constants.at[i]);
    for (uint32_t i = 0; i < graph->equalities.count; i++) print_equality(&p, &graph->equalities.at[i]);
    bool *done = kt_arena_alloc(out_text->arena, graph->functions.count);
    for (kt_func func = 1; func < graph->functions.count; func++) print_callees_first(&p, func, done);
}
