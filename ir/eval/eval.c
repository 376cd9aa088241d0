/* The reference evaluator: walks a function node by node, each over whole tensors with plain loops. It is the
 * meaning of the graph: what compiled code is tested against, what folds constants and what runs `prepare`
 * when a program is compiled.
 *
 * Intermediate values of an entry go with their last reader (memory.c), since `prepare` runs over all weights
 * of a model; those of the functions that it calls go with the call. The symbols' values come from the caller
 * or from the arguments' dimensions; each dimension is then a number, and a size that is negative, or too
 * large to be meant, is an error. */
#include "ir/eval/eval_impl.h"

#include "ir/graph_impl.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_DEPTH = 256 };                        /* of calls */
static const size_t max_bytes = (size_t)4 << 30; /* of one tensor */
/* Of a dimension or padding: sums of a few of them do not overflow. */
static const int64_t max_size = (int64_t)1 << 40;

typedef struct kt_eval_walk {
    kt_graph *graph;
    kt_eval_symbols symbols;
    const kt_tensor **values; /* by handle; NULL where calls cannot occur */
    kt_arena *arena;          /* for what goes when the node at hand has run */
    kt_arena *results;        /* for what that node gives */
    kt_diag *diag;
    bool fast;
    int depth;
} walk;

static const struct {
    kt_scalar_unary *unary;
    kt_scalar_binary *binary; /* comparisons too */
    kt_status (*other)(kt_eval_op *e);
} evaluators[KT_OP_COUNT] = {
#define KT_UNARY(name, domain, gradient, doc)                 [KT_OP_##name] = {.unary = kt_scalar_##name},
#define KT_BINARY(name, domain, traits, gradient, doc)        [KT_OP_##name] = {.binary = kt_scalar_##name},
#define KT_COMPARE(name, domain, doc)                         [KT_OP_##name] = {.binary = kt_scalar_##name},
#define KT_OP(name, operands, results, traits, gradient, doc) [KT_OP_##name] = {.other = kt_eval_##name},
#include "ir/ops.def"
};

/* ---- symbols and dimensions ------------------------------------------------------------------ */

kt_status kt_eval_fail(const kt_eval_op *e, kt_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sentence = kt_arena_vformat(e->arena, format, arguments);
    va_end(arguments);
    return kt_diag_add(e->diag, status, kt_loc_string(e->graph, e->loc), "%s", sentence);
}

static const char *unknown_symbol(const kt_eval_symbols *symbols, kt_dim dim) {
    kt_dim_info info = kt_dim_describe(symbols->dims, dim);
    if (info.kind == KT_DIM_SYMBOL && !symbols->known[info.value])
        return kt_dim_symbol_name(symbols->dims, (uint32_t)info.value);
    for (uint32_t i = 0; i < info.term_count; i++) {
        const char *name = unknown_symbol(symbols, info.terms[i]);
        if (name) return name;
    }
    return NULL;
}

static kt_status dim_value(const kt_eval_symbols *symbols, kt_diag *diag, kt_dim dim, int64_t *out_value) {
    const char *unknown = unknown_symbol(symbols, dim);
    if (unknown)
        return kt_diag_add(diag, KT_INVALID, NULL,
                           "The size \"%s\" is not known: no argument has it as a dimension.", unknown);
    *out_value = kt_dim_eval(symbols->dims, dim, symbols->values);
    if (*out_value >= -max_size && *out_value <= max_size) return KT_OK;
    return kt_diag_add(diag, KT_INVALID, NULL, "A dimension would be %" PRId64 " for these sizes.",
                       *out_value);
}

kt_status kt_eval_dim(const kt_eval_op *e, kt_dim dim, int64_t *out_value) {
    return dim_value(e->symbols, e->diag, dim, out_value);
}

kt_status kt_eval_dims(const kt_eval_op *e, const kt_dims *dims, int64_t *out_values) {
    for (uint32_t i = 0; i < dims->count; i++) KT_TRY(kt_eval_dim(e, dims->at[i], &out_values[i]));
    return KT_OK;
}

/* Checks that dims may be the shape of a tensor in memory. */
static kt_status check_size(kt_diag *diag, const kt_tensor *tensor) {
    size_t bytes = kt_dtype_bytes(tensor->dtype) + (tensor->dtype == KT_STRING);
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] < 0)
            return kt_diag_add(diag, KT_INVALID, NULL, "A dimension would be %" PRId64 " for these sizes.",
                               tensor->dims[i]);
        /* A 0 counts as 1: strides are computed for empty tensors too. */
        size_t size = tensor->dims[i] > 0 ? (size_t)tensor->dims[i] : 1;
        if (__builtin_mul_overflow(bytes, size, &bytes) || bytes > max_bytes)
            return kt_diag_add(diag, KT_UNSUPPORTED, NULL,
                               "A tensor would need more than %zu bytes for these sizes.", max_bytes);
    }
    return KT_OK;
}

/* The tensor of a type, without memory yet. */
static kt_status tensor_of(const walk *w, const kt_type *type, kt_tensor *out_tensor) {
    *out_tensor = (kt_tensor){.dtype = type->dtype, .rank = type->rank};
    for (int i = 0; i < type->rank; i++)
        KT_TRY(dim_value(&w->symbols, w->diag, type->dims[i], &out_tensor->dims[i]));
    return check_size(w->diag, out_tensor);
}

static const char *show_tensor(kt_arena *arena, const kt_tensor *tensor) {
    kt_text text = {.arena = arena};
    kt_text_add(&text, kt_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->rank; i++)
        kt_text_format(&text, "%c%" PRId64, i ? ',' : '[', tensor->dims[i]);
    kt_text_add(&text, tensor->rank ? "]" : "[]");
    return kt_text_string(&text);
}

static bool same_shape(const kt_tensor *a, const kt_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Is given of this type? what names it in the error. */
static kt_status check_type(const walk *w, const kt_type *type, const kt_tensor *given, const char *what) {
    kt_tensor wanted;
    KT_TRY(tensor_of(w, type, &wanted));
    if (same_shape(&wanted, given)) return KT_OK;
    return kt_diag_add(w->diag, KT_INVALID, NULL, "%s is %s, where %s belongs (%s).", what,
                       show_tensor(w->arena, given), show_tensor(w->arena, &wanted),
                       kt_type_string(w->graph->dims, type, w->arena));
}

/* ---- walking --------------------------------------------------------------------------------- */

static kt_status run_function(walk *w, const kt_function *function, const kt_tensor *arguments,
                              kt_tensor *out_results);

static kt_status run_node(walk *w, const kt_node_info *node, const kt_tensor *operands,
                          kt_tensor *out_results) {
    for (uint32_t i = 0; i < node->operand_count; i++)
        KT_TRY(check_type(w, kt_graph_type(w->graph, node->operands[i]), &operands[i], "An operand"));
    if (!kt_op_is(node->op, KT_CALLS)) {
        KT_TRY(tensor_of(w, kt_graph_type(w->graph, node->first_result), out_results));
        if (node->op != KT_OP_reshape) /* which shares its operand's memory; nothing is ever written twice */
            out_results->data = kt_arena_alloc(w->results, kt_tensor_bytes(out_results));
    }
    kt_eval_op e = {
        .walk = w,
        .fast = w->fast,
        .graph = w->graph,
        .symbols = &w->symbols,
        .op = node->op,
        .loc = node->loc,
        .attrs = node->attrs,
        .operands = operands,
        .operand_count = node->operand_count,
        .result = out_results,
        .arena = w->arena,
        .diag = w->diag,
    };
    if (evaluators[node->op].unary) return kt_eval_unary(&e, evaluators[node->op].unary);
    if (evaluators[node->op].binary) return kt_eval_binary(&e, evaluators[node->op].binary);
    return evaluators[node->op].other(&e);
}

kt_status kt_eval_call(kt_eval_op *e) {
    walk *w = e->walk;
    kt_func callee = ((const kt_attrs_call *)e->attrs)->callee;
    if (w->depth == MAX_DEPTH) return kt_eval_fail(e, KT_INVALID, "Calls nest deeper than %d.", MAX_DEPTH);
    w->depth++;
    KT_TRY(run_function(w, kt_graph_function(w->graph, callee), e->operands, e->result));
    w->depth--;
    return KT_OK;
}

/* The slice of a stack at position index. */
static kt_tensor slice_of(const kt_tensor *stack, int64_t index) {
    kt_tensor slice = {.dtype = stack->dtype, .rank = stack->rank - 1};
    memcpy(slice.dims, stack->dims + 1, (size_t)slice.rank * sizeof slice.dims[0]);
    slice.data = (char *)stack->data + (size_t)index * kt_tensor_bytes(&slice);
    return slice;
}

kt_status kt_eval_scan(kt_eval_op *e) {
    walk *w = e->walk;
    const kt_attrs_scan *attrs = e->attrs;
    const kt_function *step = kt_graph_function(w->graph, attrs->body);
    uint32_t carried = (uint32_t)attrs->carried, sliced = carried + (uint32_t)attrs->sequences;
    kt_tensor *arguments = KT_NEW_ARRAY(e->arena, kt_tensor, e->operand_count + 1);
    kt_tensor *results = KT_NEW_ARRAY(e->arena, kt_tensor, step->results.count + 1);
    int64_t length = 0;
    KT_TRY(kt_eval_dim(e, attrs->length, &length));
    if (w->depth == MAX_DEPTH) return kt_eval_fail(e, KT_INVALID, "Calls nest deeper than %d.", MAX_DEPTH);
    w->depth++;
    for (uint32_t i = 0; i < e->operand_count; i++) arguments[i] = e->operands[i];
    for (uint32_t i = carried; i < step->results.count; i++) {
        kt_type type = *kt_graph_type(w->graph, step->results.at[i].value);
        for (int axis = type.rank++; axis > 0; axis--) type.dims[axis] = type.dims[axis - 1];
        type.dims[0] = attrs->length;
        KT_TRY(tensor_of(w, &type, &e->result[i]));
        e->result[i].data = kt_arena_alloc(w->results, kt_tensor_bytes(&e->result[i]));
    }
    for (int64_t turn = 0; turn < length; turn++) {
        int64_t at = attrs->reverse ? length - 1 - turn : turn;
        for (uint32_t i = carried; i < sliced; i++) arguments[i] = slice_of(&e->operands[i], at);
        KT_TRY(run_function(w, step, arguments, results));
        for (uint32_t i = 0; i < carried; i++) arguments[i] = results[i];
        for (uint32_t i = carried; i < step->results.count; i++) {
            kt_tensor slice = slice_of(&e->result[i], at);
            memcpy(slice.data, results[i].data, kt_tensor_bytes(&slice));
        }
    }
    for (uint32_t i = 0; i < carried; i++) e->result[i] = arguments[i];
    w->depth--;
    return KT_OK;
}

/* A parameter that the graph itself holds. */
static kt_status stored_value(const walk *w, const kt_port *port, kt_tensor *out_tensor) {
    const kt_graph *graph = w->graph;
    bool variable = port->role == KT_ROLE_VARIABLE;
    const char *name =
        variable ? graph->variables.at[port->index].path : graph->constants.at[port->index].name;
    const kt_type *type =
        variable ? &graph->variables.at[port->index].type : &graph->constants.at[port->index].type;
    const void *data =
        variable ? graph->variables.at[port->index].data : graph->constants.at[port->index].data;
    KT_TRY(tensor_of(w, type, out_tensor));
    if (!data && kt_tensor_bytes(out_tensor) > 0)
        return kt_diag_add(w->diag, KT_INVALID, NULL, "The value of the %s \"%s\" is not known.",
                           variable ? "variable" : "constant", name);
    out_tensor->data = (void *)(data ? data : ""); /* never written */
    return KT_OK;
}

static bool is_stored(const kt_port *port) {
    return port->role == KT_ROLE_VARIABLE || port->role == KT_ROLE_CONSTANT;
}

static void define(walk *w, kt_value value, const kt_tensor *tensor) {
    w->values[value] = kt_arena_copy(w->arena, tensor, sizeof *tensor);
}

static kt_status define_params(walk *w, const kt_function *function, const kt_tensor *arguments) {
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *port = &function->params.at[i];
        kt_tensor tensor;
        if (is_stored(port))
            KT_TRY(stored_value(w, port, &tensor));
        else
            tensor = *arguments++;
        KT_TRY(check_type(w, kt_graph_type(w->graph, port->value), &tensor,
                          port->name ? port->name : "An argument"));
        define(w, port->value, &tensor);
    }
    return KT_OK;
}

/* arena: for the list of results. */
static kt_status run_operands(walk *w, const kt_node_info *node, kt_arena *arena, kt_tensor **out_results) {
    kt_tensor *operands = KT_NEW_ARRAY(w->arena, kt_tensor, node->operand_count);
    *out_results = KT_NEW_ARRAY(arena, kt_tensor, node->result_count);
    for (uint32_t i = 0; i < node->operand_count; i++) operands[i] = *w->values[node->operands[i]];
    return run_node(w, node, operands, *out_results);
}

static void read_results(const walk *w, const kt_function *function, kt_tensor *out_results) {
    for (uint32_t i = 0; i < function->results.count; i++)
        out_results[i] = *w->values[function->results.at[i].value];
}

static kt_status run_function(walk *w, const kt_function *function, const kt_tensor *arguments,
                              kt_tensor *out_results) {
    KT_TRY(define_params(w, function, arguments));
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(w->graph, function->nodes.at[i]);
        kt_tensor *results;
        KT_TRY(run_operands(w, node, w->arena, &results));
        for (uint32_t j = 0; j < node->result_count; j++) define(w, node->first_result + j, &results[j]);
    }
    read_results(w, function, out_results);
    return KT_OK;
}

/* The function that is asked for; memory: for its values. */
static kt_status run_entry(walk *w, const kt_function *function, kt_eval_memory *memory,
                           const kt_tensor *arguments, kt_tensor *out_results) {
    kt_arena *arena = w->arena;
    KT_TRY(define_params(w, function, arguments));
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(w->graph, function->nodes.at[i]);
        kt_tensor *results;
        kt_eval_memory_begin(memory, i, &w->results, &w->arena);
        KT_TRY(run_operands(w, node, arena, &results));
        w->arena = arena;
        kt_eval_memory_end(memory, i);
        for (uint32_t j = 0; j < node->result_count; j++) define(w, node->first_result + j, &results[j]);
    }
    read_results(w, function, out_results);
    return KT_OK;
}

/* ---- entering -------------------------------------------------------------------------------- */

/* Takes the symbols' values from the caller, or from the dimensions that are a symbol and nothing else. */
static kt_status read_symbols(walk *w, const kt_function *function, const int64_t *symbols,
                              const kt_tensor *arguments) {
    kt_dim_pool *dims = w->graph->dims;
    kt_eval_symbols *known = &w->symbols;
    for (uint32_t i = 0; symbols && i < known->count; i++) {
        known->values[i] = symbols[i];
        known->known[i] = true;
    }
    for (uint32_t i = 0; !symbols && i < function->params.count; i++) {
        const kt_port *port = &function->params.at[i];
        if (is_stored(port)) continue;
        const kt_type *type = kt_graph_type(w->graph, port->value);
        for (int axis = 0; axis < type->rank && axis < arguments->rank; axis++) {
            uint32_t symbol;
            if (!kt_dim_is_symbol(dims, type->dims[axis], &symbol) || known->known[symbol]) continue;
            known->values[symbol] = arguments->dims[axis];
            known->known[symbol] = true;
        }
        arguments++;
    }
    return KT_OK;
}

/* The equalities that inference took on trust, as far as they concern known symbols. */
static kt_status check_equalities(const walk *w) {
    for (uint32_t i = 0; i < w->graph->equalities.count; i++) {
        const kt_equality *equality = &w->graph->equalities.at[i];
        if (unknown_symbol(&w->symbols, equality->left) || unknown_symbol(&w->symbols, equality->right))
            continue;
        int64_t left = kt_dim_eval(w->graph->dims, equality->left, w->symbols.values);
        int64_t right = kt_dim_eval(w->graph->dims, equality->right, w->symbols.values);
        if (left != right)
            return kt_diag_add(w->diag, KT_INVALID, NULL, "%s (%" PRId64 " and %" PRId64 ")",
                               equality->sentence ? equality->sentence : "Two dimensions differ.", left,
                               right);
    }
    return KT_OK;
}

typedef struct evaluation {
    kt_graph *graph;
    bool fast;
    kt_func func; /* or 0: */
    kt_node node;
    const int64_t *symbols;
    const kt_tensor *arguments;
    uint32_t argument_count;
    kt_arena *arena, *scratch;
    kt_tensor *results;
    kt_diag *diag;
} evaluation;

static uint32_t fed_params(const kt_function *function) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < function->params.count; i++) count += !is_stored(&function->params.at[i]);
    return count;
}

static void copy_out(const evaluation *v, kt_tensor *result) {
    result->data = kt_arena_copy(v->arena, result->data, kt_tensor_bytes(result));
}

static kt_status evaluate(void *context) {
    evaluation *v = context;
    kt_graph *graph = v->graph;
    uint32_t symbol_count = kt_dim_symbol_count(graph->dims);
    walk w = {.graph = graph,
              .arena = v->scratch,
              .results = v->scratch,
              .diag = v->diag,
              .fast = v->fast,
              .symbols = {.dims = graph->dims, .count = symbol_count}};
    w.symbols.values = KT_NEW_ARRAY(v->scratch, int64_t, symbol_count);
    w.symbols.known = KT_NEW_ARRAY(v->scratch, bool, symbol_count);
    if (v->func || kt_op_is(kt_graph_node(graph, v->node)->op, KT_CALLS))
        w.values = KT_NEW_ARRAY(v->scratch, const kt_tensor *, graph->values.count);
    if (!v->func) {
        const kt_node_info *node = kt_graph_node(graph, v->node);
        KT_TRY(run_node(&w, node, v->arguments, v->results));
        for (uint32_t i = 0; i < node->result_count; i++) copy_out(v, &v->results[i]);
        return KT_OK;
    }
    const kt_function *function = kt_graph_function(graph, v->func);
    if (v->argument_count != fed_params(function))
        return kt_diag_add(v->diag, KT_INVALID, NULL, "\"%s\" takes %" PRIu32 " arguments, not %" PRIu32 ".",
                           function->name, fed_params(function), v->argument_count);
    for (uint32_t i = 0; i < v->argument_count; i++) KT_TRY(check_size(v->diag, &v->arguments[i]));
    KT_TRY(read_symbols(&w, function, v->symbols, v->arguments));
    KT_TRY(check_equalities(&w));
    kt_eval_memory *memory = kt_eval_memory_create(graph, function, v->arena, v->scratch);
    KT_TRY(run_entry(&w, function, memory, v->arguments, v->results));
    for (uint32_t i = 0; i < function->results.count; i++)
        if (!kt_eval_memory_keeps(memory, function->results.at[i].value)) copy_out(v, &v->results[i]);
    return KT_OK;
}

/* The scratch arena must go even where an allocation leaves `evaluate`: hence two guards, one in the other.
 */
static kt_status evaluate_in_scratch(void *context) {
    evaluation *v = context;
    v->scratch = kt_arena_create();
    kt_status status = kt_guarded(evaluate, v, v->diag);
    kt_arena_destroy(v->scratch);
    return status;
}

kt_status kt_eval(kt_graph *graph, kt_func func, const int64_t *symbols, const kt_tensor *arguments,
                  uint32_t argument_count, kt_arena *arena, kt_tensor *out_results, kt_diag *diag) {
    evaluation v = {.graph = graph,
                    .func = func,
                    .symbols = symbols,
                    .arguments = arguments,
                    .argument_count = argument_count,
                    .arena = arena,
                    .results = out_results,
                    .diag = diag};
    return kt_guarded(evaluate_in_scratch, &v, diag);
}

kt_status kt_eval_fast(kt_graph *graph, kt_func func, kt_arena *arena, kt_tensor *out_results,
                       kt_diag *diag) {
    evaluation v = {
        .graph = graph, .fast = true, .func = func, .arena = arena, .results = out_results, .diag = diag};
    return kt_guarded(evaluate_in_scratch, &v, diag);
}

kt_status kt_eval_node(kt_graph *graph, kt_node node, const kt_tensor *operands, kt_arena *arena,
                       kt_tensor *out_results, kt_diag *diag) {
    evaluation v = {.graph = graph,
                    .node = node,
                    .arguments = operands,
                    .argument_count = kt_graph_node(graph, node)->operand_count,
                    .arena = arena,
                    .results = out_results,
                    .diag = diag};
    return kt_guarded(evaluate_in_scratch, &v, diag);
}
