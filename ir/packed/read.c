/* Reads the protobuf form of a graph (keratin.proto), from files that nobody vouches for.
 *
 * The schema has no recursion, so unpacking goes no deeper than it is tall; what unpacking may allocate is
 * bounded by the size of the file. Then every index, enumerator, count and size is checked where it is used:
 * an index must lie before what refers to it, so there are no cycles. Functions are built node by node
 * through the builder, as the text form's are, so that inference checks every type, and the types in the file
 * are compared with what it finds. */
#include "ir/graph_impl.h"
#include "ir/packed/packed_impl.h"
#include "support/file.h"

#include <inttypes.h>
#include <string.h>

enum {
    MAX_CALL_DEPTH = 64,    /* as in the text form: later passes recurse along calls */
    MAX_PARTS = 1 << 14,    /* of a fused location */
    MEMORY_A_BYTE = 128,    /* what unpacking may allocate for each byte of the file: an empty message of */
    LEAST_MEMORY = 1 << 16, /* two bytes becomes a struct of about a hundred */
};
static const size_t beside_limit = (size_t)64 << 30;

typedef struct reader {
    kt_arena *arena;
    kt_diag *diag;
    const char *path; /* NULL: standard input */
    size_t memory_left;
    const Keratin__Graph *in;
    const uint8_t *beside;
    kt_graph *graph;
    kt_diag build_diag; /* of the builder; empty unless it failed */
    kt_dim *dims;       /* by place in in->dimensions */
    kt_op *operations;  /* likewise */
    kt_loc *locations;
    KT_VECTOR(kt_func) functions;
    KT_VECTOR(uint32_t) depths; /* of calls, by place */
    /* Of the function that is being read. */
    const char *where;
    uint32_t depth;
    KT_VECTOR(kt_value) values;
} reader;

static kt_status fail(reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static kt_status fail(reader *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sentence = kt_arena_vformat(r->arena, format, arguments);
    va_end(arguments);
    return kt_diag_add(r->diag, KT_INVALID, r->where, "%s", sentence);
}

/* ---- dimensions, types, elements ------------------------------------------------------------- */
static kt_status read_dims(reader *r) {
    const Keratin__Graph *in = r->in;
    for (size_t i = 0; i < in->n_symbols; i++) {
        if (!in->symbols[i][0]) return fail(r, "A symbol has no name.");
        (void)kt_dim_symbol(r->graph->dims, in->symbols[i]);
    }
    uint32_t symbols = kt_dim_symbol_count(r->graph->dims);
    if (symbols != in->n_symbols) return fail(r, "Two symbols have one name.");
    r->dims = KT_NEW_ARRAY(r->arena, kt_dim, in->n_dimensions + 1);
    for (size_t i = 0; i < in->n_dimensions; i++) {
        const char *cursor = in->dimensions[i];
        if (!kt_dim_parse(r->graph->dims, &cursor, &r->dims[i]) || *cursor)
            return fail(r, "\"%.40s\" is no dimension.", in->dimensions[i]);
    }
    if (kt_dim_symbol_count(r->graph->dims) != symbols)
        return fail(r, "A dimension uses a symbol that is not listed.");
    return KT_OK;
}

static kt_status read_dim(reader *r, uint32_t place, kt_dim *out_dim) {
    if (place >= r->in->n_dimensions) return fail(r, "There is no dimension %" PRIu32 ".", place);
    *out_dim = r->dims[place];
    return KT_OK;
}

static kt_status read_type(reader *r, const Keratin__Type *in, kt_type *out_type) {
    if (!in) return fail(r, "A type is missing.");
    if ((unsigned)in->dtype >= KT_DTYPE_COUNT) return fail(r, "There is no dtype %d.", (int)in->dtype);
    if (in->n_dims > KT_MAX_RANK)
        return fail(r, "A type has %zu dimensions, and %d are the most.", in->n_dims, KT_MAX_RANK);
    *out_type = (kt_type){.dtype = (kt_dtype)in->dtype, .rank = (uint8_t)in->n_dims};
    for (size_t i = 0; i < in->n_dims; i++) KT_TRY(read_dim(r, in->dims[i], &out_type->dims[i]));
    return KT_OK;
}

static kt_status read_data(reader *r, const Keratin__Data *in, const kt_type *type, kt_literal *out_literal) {
    int64_t expected = 1;
    bool fits = kt_dtype_bytes(type->dtype) > 0;
    for (int i = 0; i < type->rank && fits; i++) {
        int64_t size;
        fits = kt_dim_is_const(r->graph->dims, type->dims[i], &size) && size >= 0 &&
               !__builtin_mul_overflow(expected, size, &expected);
    }
    if (!fits || __builtin_mul_overflow(expected, (int64_t)kt_dtype_bytes(type->dtype), &expected))
        return fail(r, "A tensor with elements has a type that cannot have any.");
    uint64_t count = in->has_bytes ? in->bytes.len : in->count;
    if (count != (uint64_t)expected)
        return fail(r, "A tensor has %" PRIu64 " bytes of elements, and its type wants %" PRId64 ".", count,
                    expected);
    if (in->has_bytes || !count) {
        *out_literal = (kt_literal){count ? in->bytes.data : kt_arena_alloc(r->arena, 1), count};
        return KT_OK;
    }
    if (in->offset > r->in->beside_bytes || count > r->in->beside_bytes - in->offset ||
        in->offset % KT_PACKED_ALIGNMENT)
        return fail(r, "The elements of a tensor do not lie in the file beside the graph.");
    *out_literal = (kt_literal){r->beside + in->offset, count};
    return KT_OK;
}

/* ---- lists that others refer to -------------------------------------------------------------- */
static kt_status read_operations(reader *r) {
    r->operations = KT_NEW_ARRAY(r->arena, kt_op, r->in->n_operations + 1);
    for (size_t i = 0; i < r->in->n_operations; i++) {
        r->operations[i] = kt_op_find(r->in->operations[i]);
        if (r->operations[i] == KT_OP_NONE)
            return fail(r, "There is no operation \"%.40s\".", r->in->operations[i]);
    }
    return KT_OK;
}

static kt_status read_location(reader *r, size_t place) {
    const Keratin__Location *in = r->in->locations[place];
    if (!in->n_parts) {
        r->locations[place] = in->file   ? kt_loc_source(r->graph, in->path, in->file, in->line)
                              : in->path ? kt_loc_path(r->graph, in->path)
                                         : 0;
        return KT_OK;
    }
    if (in->n_parts > MAX_PARTS) return fail(r, "A location has more than %d parts.", MAX_PARTS);
    kt_loc *parts = KT_NEW_ARRAY(r->arena, kt_loc, in->n_parts);
    for (size_t i = 0; i < in->n_parts; i++) {
        if (in->parts[i] >= place || r->in->locations[in->parts[i]]->n_parts)
            return fail(r, "A part of a fused location is none that stands above.");
        parts[i] = r->locations[in->parts[i]];
    }
    r->locations[place] = kt_loc_fuse(r->graph, parts, (uint32_t)in->n_parts);
    return KT_OK;
}

static kt_status read_variable(reader *r, const Keratin__Variable *in) {
    kt_variable variable = {
        .path = in->path, .file_path = in->file_path, .trainable = in->trainable, .kind = in->kind};
    kt_literal data = {0};
    if (!in->path) return fail(r, "A variable has no path.");
    r->where = in->path;
    if (in->kind > KT_VARIABLE_METRIC) return fail(r, "A variable has a kind that there is not.");
    KT_TRY(read_type(r, in->type, &variable.type));
    if (!kt_type_is_static(r->graph->dims, &variable.type))
        return fail(r, "The dimensions of a variable must be numbers.");
    if (in->data) KT_TRY(read_data(r, in->data, &variable.type, &data));
    variable.data = data.data;
    kt_graph_add_variable(r->graph, &variable);
    return KT_OK;
}

static kt_status read_constant(reader *r, const Keratin__Constant *in) {
    kt_constant constant = {.name = in->name};
    kt_literal data = {0};
    if (!in->name) return fail(r, "A constant has no name.");
    r->where = in->name;
    KT_TRY(read_type(r, in->type, &constant.type));
    if (in->data) KT_TRY(read_data(r, in->data, &constant.type, &data));
    constant.data = data.data;
    kt_graph_add_constant(r->graph, &constant);
    return KT_OK;
}

static kt_status read_check(reader *r, const Keratin__Check *in) {
    kt_equality equality = {.sentence = in->sentence};
    KT_TRY(read_dim(r, in->left, &equality.left));
    KT_TRY(read_dim(r, in->right, &equality.right));
    KT_PUSH(r->graph->arena, &r->graph->equalities, equality);
    return KT_OK;
}

/* ---- functions ------------------------------------------------------------------------------- */
static kt_status read_function_reference(reader *r, const Keratin__Attribute *in, kt_func *out_func) {
    if (!in->has_function || in->function >= r->functions.count)
        return fail(r, "A call names no function that stands above.");
    uint32_t depth = r->depths.at[in->function] + 1;
    if (depth > MAX_CALL_DEPTH) return fail(r, "Calls nest deeper than %d.", MAX_CALL_DEPTH);
    if (depth > r->depth) r->depth = depth;
    *out_func = r->functions.at[in->function];
    return KT_OK;
}

static kt_status read_reduction(reader *r, const char *word, kt_reduction *out_kind) {
    for (kt_reduction kind = KT_REDUCE_SUM; kind <= KT_REDUCE_MINIMUM; kind++) {
        if (!word || strcmp(word, kt_reduction_name(kind)) != 0) continue;
        *out_kind = kind;
        return KT_OK;
    }
    return fail(r, "\"%.40s\" is no reduction.", word ? word : "");
}

/* result: the type that literals have. */
static kt_status read_attribute(reader *r, const Keratin__Attribute *in, const kt_attr_info *attr,
                                const kt_type *result, void *field) {
    switch (attr->kind) {
    case KT_ATTR_int: *(kt_attr_int *)field = in->integer; return KT_OK;
    case KT_ATTR_ints: {
        kt_ints *ints = field;
        if (in->n_integers > KT_MAX_RANK) return fail(r, "%s has too many numbers.", attr->name);
        ints->count = (uint32_t)in->n_integers;
        for (uint32_t i = 0; i < ints->count; i++) ints->at[i] = in->integers[i];
        return KT_OK;
    }
    case KT_ATTR_dim:
        if (in->n_dims != 1) return fail(r, "%s is not one dimension.", attr->name);
        return read_dim(r, in->dims[0], field);
    case KT_ATTR_dims: {
        kt_dims *dims = field;
        if (in->n_dims > KT_MAX_RANK) return fail(r, "%s has too many dimensions.", attr->name);
        dims->count = (uint32_t)in->n_dims;
        for (uint32_t i = 0; i < dims->count; i++) KT_TRY(read_dim(r, in->dims[i], &dims->at[i]));
        return KT_OK;
    }
    case KT_ATTR_dtype:
        if (in->word && kt_dtype_parse(in->word, field)) return KT_OK;
        return fail(r, "\"%.40s\" is no dtype.", in->word ? in->word : "");
    case KT_ATTR_reduction: return read_reduction(r, in->word, field);
    case KT_ATTR_type: return read_type(r, in->type, field);
    case KT_ATTR_literal:
        if (!in->literal || !result) return fail(r, "%s has no elements.", attr->name);
        return read_data(r, in->literal, result, field);
    case KT_ATTR_func: return read_function_reference(r, in, field);
    }
    KT_BUG("attribute kind %d", attr->kind);
}

static kt_status read_attributes(reader *r, const Keratin__Node *in, const kt_op_info *op,
                                 const kt_type *result, char *fields) {
    static const Keratin__Attribute none = KERATIN__ATTRIBUTE__INIT;
    uint32_t given = 0;
    for (uint32_t k = 0; k < op->attr_count; k++) {
        const Keratin__Attribute *attribute = NULL;
        for (size_t i = 0; i < in->n_attributes && !attribute; i++)
            if (in->attributes[i]->name && !strcmp(in->attributes[i]->name, op->attrs[k].name))
                attribute = in->attributes[i];
        given += attribute != NULL;
        KT_TRY(read_attribute(r, attribute ? attribute : &none, &op->attrs[k], result,
                              fields + op->attrs[k].offset));
    }
    if (given != in->n_attributes)
        return fail(r, "%s has an attribute that is not known, or one twice.", op->name);
    return KT_OK;
}

/* The builder's problem, told with the function; status is the builder's. */
static kt_status check_builder(reader *r, kt_status status) {
    if (status == KT_OK) return KT_OK;
    if (!r->build_diag.count) return fail(r, "This cannot be built.");
    return kt_diag_add(r->diag, status, r->where, "%s", r->build_diag.problems[0].text);
}

static kt_status read_value(reader *r, uint32_t number, kt_value *out_value) {
    if (number >= r->values.count) return fail(r, "The value %" PRIu32 " is not defined above.", number);
    *out_value = r->values.at[number];
    return KT_OK;
}

static kt_status read_node(reader *r, kt_builder *builder, const Keratin__Node *in) {
    if (!in->has_operation || in->operation >= r->in->n_operations)
        return fail(r, "A node has no operation that is listed.");
    kt_op operation = r->operations[in->operation];
    const kt_op_info *op = kt_op_describe(operation);
    kt_type *types = KT_NEW_ARRAY(r->arena, kt_type, in->n_results + 1);
    kt_value *operands = KT_NEW_ARRAY(r->arena, kt_value, in->n_operands + 1);
    for (size_t i = 0; i < in->n_results; i++) KT_TRY(read_type(r, in->results[i], &types[i]));
    for (size_t i = 0; i < in->n_operands; i++) KT_TRY(read_value(r, in->operands[i], &operands[i]));
    char *fields = kt_arena_alloc(r->arena, op->attrs_bytes);
    KT_TRY(read_attributes(r, in, op, in->n_results ? types : NULL, fields));
    if (in->location > r->in->n_locations) return fail(r, "There is no location %" PRIu32 ".", in->location);
    builder->loc = in->location ? r->locations[in->location - 1] : 0;
    uint32_t count = kt_op_result_count(r->graph, operation, fields);
    if (in->n_results != count)
        return fail(r, "%s has %" PRIu32 " results, not %zu.", op->name, count, in->n_results);
    if (op->operands != KT_MANY && in->n_operands != (size_t)op->operands)
        return fail(r, "%s takes %d operands, not %zu.", op->name, op->operands, in->n_operands);
    kt_value first = kt_build_node(builder, operation, operands, (uint32_t)in->n_operands, fields);
    KT_TRY(check_builder(r, builder->status));
    for (uint32_t i = 0; i < count; i++) {
        const kt_type *inferred = kt_build_type(builder, first + i);
        if (!kt_type_equal(inferred, &types[i]))
            return fail(r, "A result of %s is written as %s, but is %s.", op->name,
                        kt_type_string(r->graph->dims, &types[i], r->arena),
                        kt_type_string(r->graph->dims, inferred, r->arena));
        KT_PUSH(r->arena, &r->values, first + i);
    }
    return KT_OK;
}

static kt_status read_role(reader *r, const Keratin__Port *in, kt_role *out_role) {
    static const kt_role roles[] = {KT_ROLE_PLAIN, KT_ROLE_INPUT, KT_ROLE_OUTPUT, KT_ROLE_VARIABLE,
                                    KT_ROLE_CONSTANT};
    if ((unsigned)in->role >= sizeof roles / sizeof *roles)
        return fail(r, "There is no role %d.", (int)in->role);
    if (in->role == KERATIN__ROLE__VARIABLE && in->index >= r->graph->variables.count)
        return fail(r, "There is no variable %" PRIu32 ".", in->index);
    if (in->role == KERATIN__ROLE__CONSTANT && in->index >= r->graph->constants.count)
        return fail(r, "There is no constant %" PRIu32 ".", in->index);
    *out_role = roles[in->role];
    return KT_OK;
}

static kt_status read_function(reader *r, const Keratin__Function *in) {
    kt_builder builder;
    kt_func func;
    if (!in->name) return fail(r, "A function has no name.");
    r->where = in->name;
    r->values.count = 0;
    r->depth = 0;
    if ((unsigned)in->kind > KT_FUNC_STEP) return fail(r, "There is no kind of function %d.", (int)in->kind);
    kt_builder_begin(&builder, r->graph, (kt_func_kind)in->kind, in->name, &r->build_diag);
    if (in->kind == KERATIN__KIND__BODY) builder.function.composite = in->composite;
    for (size_t i = 0; i < in->n_params; i++) {
        const Keratin__Port *port = in->params[i];
        kt_type type;
        kt_role role = KT_ROLE_PLAIN;
        KT_TRY(read_role(r, port, &role));
        KT_TRY(read_type(r, port->type, &type));
        kt_value value = kt_builder_param(&builder, role, port->name, port->index, &type);
        KT_TRY(check_builder(r, builder.status));
        KT_PUSH(r->arena, &r->values, value);
    }
    for (size_t i = 0; i < in->n_nodes; i++) KT_TRY(read_node(r, &builder, in->nodes[i]));
    for (size_t i = 0; i < in->n_results; i++) {
        const Keratin__Port *port = in->results[i];
        kt_value value = 0;
        kt_role role = KT_ROLE_PLAIN;
        KT_TRY(read_role(r, port, &role));
        KT_TRY(read_value(r, port->value, &value));
        kt_builder_result(&builder, role, port->name, port->index, value);
    }
    KT_TRY(check_builder(r, kt_builder_finish(&builder, &func)));
    KT_PUSH(r->arena, &r->functions, func);
    KT_PUSH(r->arena, &r->depths, r->depth);
    return KT_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */
static void *allocate(void *data, size_t bytes) {
    reader *r = data;
    if (bytes > r->memory_left) return NULL;
    r->memory_left -= bytes;
    return kt_arena_alloc(r->arena, bytes);
}

static void release(void *data, void *pointer) {
    (void)data;
    (void)pointer;
}

static kt_status read_beside(reader *r) {
    if (!r->in->beside_bytes) return KT_OK;
    if (!r->path)
        return fail(r, "The weights of this graph lie in a file beside it; read it by its name, not from "
                       "standard input.");
    char *bytes;
    size_t count;
    const char *path = kt_packed_beside(r->arena, r->path);
    KT_TRY(kt_file_read(path, beside_limit, r->arena, &bytes, &count, r->diag));
    if (count != r->in->beside_bytes || kt_hash_bytes(bytes, count, 0) != r->in->beside_hash)
        return fail(r, "%s does not hold the weights of this graph.", path);
    /* Elements are read where they lie, at multiples of 64: so the whole must be aligned. */
    r->beside = kt_arena_copy(r->arena, bytes, count);
    return KT_OK;
}

typedef struct request {
    reader reader;
    const void *bytes;
    size_t count;
} request;

static kt_status read_graph(void *context) {
    request *q = context;
    reader *r = &q->reader;
    if (__builtin_mul_overflow(q->count, (size_t)MEMORY_A_BYTE, &r->memory_left))
        r->memory_left = SIZE_MAX / 2;
    r->memory_left += LEAST_MEMORY;
    ProtobufCAllocator allocator = {allocate, release, r};
    r->in = keratin__graph__unpack(&allocator, q->count, q->bytes);
    if (!r->in) return fail(r, "This is a damaged .kpb file: it does not unpack as protobuf.");
    if (!r->in->format || strcmp(r->in->format, KT_PACKED_FORMAT) != 0 || r->in->version < 1)
        return fail(r, "This is a damaged .kpb file: it does not say its version.");
    if (r->in->version > KT_PACKED_VERSION)
        return kt_diag_add(r->diag, KT_UNSUPPORTED, NULL,
                           "This .kpb file has version %" PRIu32
                           " of the format, and this build reads up to %d.",
                           r->in->version, KT_PACKED_VERSION);
    KT_TRY(read_beside(r));
    r->graph = kt_graph_create(r->arena, r->in->name ? r->in->name : "");
    KT_TRY(read_dims(r));
    KT_TRY(read_operations(r));
    r->locations = KT_NEW_ARRAY(r->arena, kt_loc, r->in->n_locations + 1);
    for (size_t i = 0; i < r->in->n_locations; i++) KT_TRY(read_location(r, i));
    for (size_t i = 0; i < r->in->n_variables; i++) KT_TRY(read_variable(r, r->in->variables[i]));
    for (size_t i = 0; i < r->in->n_constants; i++) KT_TRY(read_constant(r, r->in->constants[i]));
    r->where = NULL;
    for (size_t i = 0; i < r->in->n_checks; i++) KT_TRY(read_check(r, r->in->checks[i]));
    for (size_t i = 0; i < r->in->n_functions; i++) KT_TRY(read_function(r, r->in->functions[i]));
    return KT_OK;
}

bool kt_packed_is(const void *bytes, size_t count) {
    static const char start[] = "\x0a\x07" KT_PACKED_FORMAT;
    return count >= sizeof start - 1 && memcmp(bytes, start, sizeof start - 1) == 0;
}

kt_status kt_graph_read_packed(kt_arena *arena, const void *bytes, size_t count, const char *path,
                               kt_graph **out_graph, kt_diag *diag) {
    request q = {.reader = {.arena = arena, .diag = diag, .path = path}, .bytes = bytes, .count = count};
    kt_status status = kt_guarded(read_graph, &q, diag);
    kt_diag_deinit(&q.reader.build_diag);
    if (status == KT_OK) *out_graph = q.reader.graph;
    return status;
}
