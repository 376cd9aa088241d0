/* The C header of a compiled library: one prototype an entry point, with the shapes of its buffers beside it.
 */
#include "codegen/codegen.h"

#include <ctype.h>
#include <string.h>

static const char *const keywords[] = {
    "auto",     "break",  "case",   "char",     "const",    "continue", "default",  "do",
    "double",   "else",   "enum",   "extern",   "float",    "for",      "goto",     "if",
    "inline",   "int",    "long",   "register", "restrict", "return",   "short",    "signed",
    "sizeof",   "static", "struct", "switch",   "typedef",  "union",    "unsigned", "void",
    "volatile", "while",  "bool",   "true",     "false",    "class",    "new",      "delete",
    "template", "and",    "or",     "not",      "xor",      "int64_t",  "int32_t",  NULL};

const char *kt_identifier(kt_arena *arena, const char *text) {
    kt_text name = {.arena = arena};
    if (!*text || isdigit((unsigned char)*text)) kt_text_add(&name, "_");
    for (const char *c = text; *c; c++) {
        bool plain = isalnum((unsigned char)*c) && (unsigned char)*c < 128;
        kt_text_add_bytes(&name, plain ? c : "_", 1);
    }
    for (uint32_t i = 0; keywords[i]; i++) {
        if (strcmp(kt_text_string(&name), keywords[i]) != 0) continue;
        kt_text_add(&name, "_");
        break;
    }
    return kt_text_string(&name);
}

/* An identifier that no earlier parameter has. */
static const char *parameter_name(kt_arena *arena, kt_table *taken, const char *text) {
    const char *base = kt_identifier(arena, text), *name = base;
    if (!strcmp(base, "context")) name = base = "context_"; /* what the context itself is called */
    for (int n = 1; kt_table_find(taken, name, strlen(name)); n++)
        name = kt_arena_format(arena, "%s_%d", base, n);
    kt_table_add(taken, arena, name, strlen(name), 1);
    return name;
}

static const char *c_type(kt_dtype dtype) {
    static const char *const names[KT_DTYPE_COUNT] = {
        [KT_F32] = "float",    [KT_F64] = "double",        [KT_F16] = "uint16_t", [KT_BF16] = "uint16_t",
        [KT_I8] = "int8_t",    [KT_I16] = "int16_t",       [KT_I32] = "int32_t",  [KT_I64] = "int64_t",
        [KT_U8] = "uint8_t",   [KT_U16] = "uint16_t",      [KT_U32] = "uint32_t", [KT_U64] = "uint64_t",
        [KT_BOOL] = "uint8_t", [KT_C64] = "float _Complex"};
    return names[dtype];
}

static bool has_strings(const kt_graph *graph, const kt_function *entry) {
    for (uint32_t i = 0; i < entry->params.count; i++)
        if (entry->params.at[i].role == KT_ROLE_INPUT &&
            kt_graph_type(graph, entry->params.at[i].value)->dtype == KT_STRING)
            return true;
    for (uint32_t i = 0; i < entry->results.count; i++)
        if (entry->results.at[i].role == KT_ROLE_OUTPUT &&
            kt_graph_type(graph, entry->results.at[i].value)->dtype == KT_STRING)
            return true;
    return false;
}

static void add_tensors(kt_text *text, kt_text *shapes, kt_table *taken, const kt_graph *graph,
                        const kt_port *ports, uint32_t count, kt_role role) {
    for (uint32_t i = 0; i < count; i++) {
        if (ports[i].role != role) continue;
        const kt_type *type = kt_graph_type(graph, ports[i].value);
        const char *name = parameter_name(text->arena, taken, ports[i].name);
        kt_text_format(text, ", %s%s *%s", role == KT_ROLE_INPUT ? "const " : "", c_type(type->dtype), name);
        kt_text_format(shapes, "%s%s: ", shapes->length ? "; " : "", name);
        kt_type_print(graph->dims, type, shapes);
    }
}

static void add_entry(kt_text *text, const kt_graph *graph, const kt_function *entry, const char *name) {
    if (has_strings(graph, entry)) return;
    kt_text shapes = {.arena = text->arena}, line = {.arena = text->arena};
    kt_table taken = {0};
    const kt_dim *symbols;
    uint32_t count = kt_program_symbols(graph, text->arena, &symbols);
    kt_text_format(&line, "int %s_%s(%s *", name, entry->name, name);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index;
        kt_dim_is_symbol(graph->dims, symbols[i], &index);
        kt_text_format(&line, ", int64_t %s",
                       parameter_name(text->arena, &taken, kt_dim_symbol_name(graph->dims, index)));
    }
    add_tensors(&line, &shapes, &taken, graph, entry->params.at, entry->params.count, KT_ROLE_INPUT);
    add_tensors(&line, &shapes, &taken, graph, entry->results.at, entry->results.count, KT_ROLE_OUTPUT);
    kt_text_format(
        text, "/* Dense row-major buffers: %s.\n   Returns 0, or an error code: see %s_error. */\n%s);\n",
        kt_text_string(&shapes), name, kt_text_string(&line));
}

void kt_header_print(const kt_graph *graph, const kt_plan *plans, uint32_t plan_count, const char *name,
                     bool weights_file, bool trains, bool saves, kt_text *out_text) {
    kt_text_format(
        out_text,
        "/* Made by keratin %s. Any number of contexts may run at once, one thread each.\n"
        "   Link with -lm -pthread. */\n"
        "#ifndef KERATIN_MODEL_%s_H\n#define KERATIN_MODEL_%s_H\n\n#include <stdint.h>\n\n"
        "#ifndef KT_BUFFER_DEFINED\n#define KT_BUFFER_DEFINED\n"
        "/* capacity in bytes; dims are filled in by the call */\n"
        "typedef struct { void *data; int64_t capacity; int32_t dtype, rank; int64_t dims[8]; } kt_buffer;\n"
        "enum { KT_F32, KT_F64, KT_F16, KT_BF16, KT_I8, KT_I16, KT_I32, KT_I64, KT_U8, KT_U16, KT_U32, "
        "KT_U64, KT_BOOL, KT_STRING, KT_C64 };\n#endif\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
        KT_VERSION, name, name);
    kt_text_format(out_text, "typedef struct %s %s;\n", name, name);
    kt_text_format(
        out_text,
        "/* threads: 0 for all cores. NULL: out of memory, or a CPU without the features that this "
        "library needs. */\n%s *%s_create(int threads);\n",
        name, name);
    if (weights_file)
        kt_text_format(out_text,
                       "/* With the weights in a .weights file; %s_create takes the one beside this library. "
                       "NULL also: it "
                       "cannot be read,\n   or is another model's. */\n%s *%s_create_from(int threads, const "
                       "char *weights);\n",
                       name, name, name);
    for (uint32_t i = 0; i < plan_count; i++)
        add_entry(out_text, graph, kt_graph_function(graph, plans[i].entry), name);
    if (trains)
        kt_text_format(
            out_text,
            "/* A variable by Keras's path: read into buffer (data NULL: its dtype and shape alone), or "
            "written from it.\n   Returns 0, or an error code. */\n"
            "int %s_variable(%s *, const char *path, kt_buffer *buffer, int write);\n"
            "/* Sets loss and metrics back, as before an epoch. */\nvoid %s_reset_metrics(%s *);\n",
            name, name, name, name);
    if (saves)
        kt_text_format(out_text,
                       "/* Write all weights and the optimizer's state for Keras, .keras or .weights.h5 by "
                       "file's ending, and "
                       "read such a file.\n   The file appears whole or not at all; if one cannot be read, "
                       "nothing has changed. "
                       "Return 0, or an error code. */\n"
                       "int %s_save(%s *, const char *file);\nint %s_load(%s *, const char *file);\n",
                       name, name, name, name);
    kt_text_format(
        out_text,
        "/* Any entry by name; in and out: one buffer an input and an output. */\n"
        "int %s_call(%s *, const char *entry, const kt_buffer *in, kt_buffer *out);\n"
        "/* The rank of an output, or -1; its dimensions for these symbols in dims. */\n"
        "int %s_output_shape(%s *, const char *entry, int index, const int64_t *symbols, int64_t dims[8]);\n"
        "/* The last error, a whole sentence. */\nconst char *%s_error(const %s *);\n"
        "/* Inputs, outputs, symbols, variables and memory as JSON. */\nconst char *%s_describe(void);\n"
        "void %s_destroy(%s *);\n\n"
        "#ifdef __cplusplus\n}\n#endif\n#endif\n",
        name, name, name, name, name, name, name, name, name);
}
