/* Binding: symbols get the values of --batch and --shape, in every type and attribute.
 *
 * requires  nothing
 * keeps     everything else, node by node
 * breaks    nothing; equalities that a binding proves are dropped, and one that it refutes is an error */
#include "passes/passes_impl.h"

#include <inttypes.h>
#include <string.h>

typedef struct binding {
    kt_pass_run run;
    kt_dim *values; /* by symbol: its value, or 0 */
    bool *done;     /* by function */
} binding;

static const char *list_symbols(kt_pass_run *run) {
    const kt_dim_pool *dims = run->graph->dims;
    kt_text text = {.arena = run->scratch};
    for (uint32_t i = 0; i < kt_dim_symbol_count(dims); i++)
        kt_text_format(&text, "%s%s", i ? ", " : "", kt_dim_symbol_name(dims, i));
    return text.length ? kt_text_string(&text) : "none";
}

static kt_status read_binding(binding *b, const kt_symbol_binding *symbol) {
    kt_dim_pool *dims = b->run.graph->dims;
    uint32_t index = 0;
    while (index < kt_dim_symbol_count(dims) && strcmp(kt_dim_symbol_name(dims, index), symbol->name) != 0)
        index++;
    if (index == kt_dim_symbol_count(dims))
        return kt_diag_add(b->run.diag, KT_INVALID, NULL,
                           "There is no symbolic dimension \"%s\" to bind; the model's are: %s.",
                           symbol->name, list_symbols(&b->run));
    if (symbol->value < 1)
        return kt_diag_add(b->run.diag, KT_INVALID, NULL,
                           "Dimension \"%s\" cannot be %" PRId64 "; it must be at least 1.", symbol->name,
                           symbol->value);
    kt_dim value = kt_dim_const(dims, symbol->value);
    if (b->values[index] && b->values[index] != value)
        return kt_diag_add(b->run.diag, KT_INVALID, NULL, "Dimension \"%s\" is given two different values.",
                           symbol->name);
    b->values[index] = value;
    return KT_OK;
}

static kt_dim bound_dim(const binding *b, kt_dim dim) {
    return kt_dim_substitute(b->run.graph->dims, dim, b->values);
}

static kt_type bound_type(const binding *b, kt_type type) {
    for (int i = 0; i < type.rank; i++) type.dims[i] = bound_dim(b, type.dims[i]);
    return type;
}

static const void *bound_attrs(const binding *b, const kt_node_info *node) {
    const kt_op_info *op = kt_op_describe(node->op);
    if (!node->attrs) return NULL;
    char *attrs = kt_arena_copy(b->run.scratch, node->attrs, op->attrs_bytes);
    for (uint32_t i = 0; i < op->attr_count; i++) {
        void *field = attrs + op->attrs[i].offset;
        if (op->attrs[i].kind == KT_ATTR_dim) *(kt_dim *)field = bound_dim(b, *(kt_dim *)field);
        if (op->attrs[i].kind == KT_ATTR_type) *(kt_type *)field = bound_type(b, *(kt_type *)field);
        if (op->attrs[i].kind == KT_ATTR_dims)
            for (uint32_t k = 0; k < ((kt_dims *)field)->count; k++)
                ((kt_dims *)field)->at[k] = bound_dim(b, ((kt_dims *)field)->at[k]);
    }
    return attrs;
}

/* Writes func anew, functions that it calls first: a call takes its types from the callee. */
static kt_status bind_function(binding *b, kt_func func) {
    kt_graph *graph = b->run.graph;
    if (b->done[func]) return KT_OK;
    b->done[func] = true;
    const kt_function old = *kt_graph_function(graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old.nodes.at[i]);
        if (kt_node_callee(node)) KT_TRY(bind_function(b, kt_node_callee(node)));
    }
    kt_builder builder;
    kt_builder_begin_rewrite(&builder, graph, func, b->run.diag);
    builder.function.params.count = 0;
    for (uint32_t i = 0; i < old.params.count; i++) {
        const kt_port *param = &old.params.at[i];
        kt_type type = bound_type(b, *kt_graph_type(graph, param->value));
        kt_builder_replace(&builder, param->value,
                           kt_builder_param(&builder, param->role, param->name, param->index, &type));
    }
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info node = *kt_graph_node(graph, old.nodes.at[i]);
        kt_value *operands = KT_NEW_ARRAY(b->run.scratch, kt_value, node.operand_count);
        for (uint32_t k = 0; k < node.operand_count; k++)
            operands[k] = kt_builder_lookup(&builder, node.operands[k]);
        kt_value *results = KT_NEW_ARRAY(b->run.scratch, kt_value, node.result_count);
        builder.loc = node.loc;
        kt_build_nodes(&builder, node.op, operands, node.operand_count, bound_attrs(b, &node), results);
        for (uint32_t k = 0; k < node.result_count; k++)
            kt_builder_replace(&builder, node.first_result + k, results[k]);
    }
    kt_builder_copy_results(&builder);
    return kt_builder_finish(&builder, NULL);
}

static kt_status bind_equalities(binding *b) {
    kt_graph *graph = b->run.graph;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->equalities.count; i++) {
        kt_equality equality = graph->equalities.at[i];
        equality.left = bound_dim(b, equality.left);
        equality.right = bound_dim(b, equality.right);
        if (equality.left == equality.right) continue;
        if (kt_dim_is_const(graph->dims, kt_dim_sub(graph->dims, equality.left, equality.right), NULL))
            return kt_diag_add(b->run.diag, KT_INVALID, NULL, "With these shapes, this does not hold: %s",
                               equality.sentence);
        graph->equalities.at[kept++] = equality;
    }
    graph->equalities.count = kept;
    return KT_OK;
}

static kt_status run_bind(kt_pass_run *run) {
    binding *b = (binding *)run;
    const kt_graph *graph = run->graph;
    if (run->options->binding_count == 0) return KT_OK;
    b->values = KT_NEW_ARRAY(run->scratch, kt_dim, kt_dim_symbol_count(graph->dims));
    b->done = KT_NEW_ARRAY(run->scratch, bool, graph->functions.count);
    kt_status status = KT_OK;
    for (uint32_t i = 0; i < run->options->binding_count; i++) {
        kt_status one = read_binding(b, &run->options->bindings[i]);
        if (one != KT_OK) status = one;
    }
    KT_TRY(status);
    for (kt_func func = 1; func < graph->functions.count; func++) KT_TRY(bind_function(b, func));
    return bind_equalities(b);
}

kt_status kt_pass_bind(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    binding b = {.run = {graph, options, diag, NULL}};
    return kt_pass_scratched(run_bind, &b.run);
}
