/* The builder: how functions are written, and written anew.
 *
 * Every node comes through kt_build_node_shared, which infers its result types: so no graph has a node whose
 * constraints were not checked. After the first problem the builder only counts as failed; what was appended
 * to the graph's arrays until then belongs to no function and is never seen. */
#include "ir/graph_impl.h"

#include <string.h>

enum { FEW = 8 }; /* operands and results of nearly every node: their types fit on the stack */

static kt_value add_value(kt_graph *graph, const kt_type *type, kt_node node, uint32_t index) {
    kt_value_info value = {.type = *type, .node = node, .index = index};
    KT_PUSH(graph->arena, &graph->values, value);
    return graph->values.count - 1;
}

void kt_builder_begin(kt_builder *out_builder, kt_graph *graph, kt_func_kind kind, const char *name,
                      kt_diag *diag) {
    *out_builder = (kt_builder){.graph = graph, .diag = diag};
    out_builder->function.kind = kind;
    out_builder->function.name = kt_arena_string(graph->arena, name);
}

kt_value kt_builder_param(kt_builder *builder, kt_role role, const char *name, uint32_t index,
                          const kt_type *type) {
    if (builder->status != KT_OK) return 0;
    kt_graph *graph = builder->graph;
    kt_port port = {.role = role, .index = index};
    if (name) port.name = kt_arena_string(graph->arena, name);
    port.value = add_value(graph, type, 0, builder->function.params.count);
    KT_PUSH(graph->arena, &builder->function.params, port);
    return port.value;
}

void kt_builder_result(kt_builder *builder, kt_role role, const char *name, uint32_t index, kt_value value) {
    if (builder->status != KT_OK) return;
    KT_ASSERT(value > 0 && value < builder->graph->values.count);
    kt_port port = {.value = value, .role = role, .index = index};
    if (name) port.name = kt_arena_string(builder->graph->arena, name);
    KT_PUSH(builder->graph->arena, &builder->function.results, port);
}

kt_status kt_builder_finish(kt_builder *builder, kt_func *out_func) {
    kt_graph *graph = builder->graph;
    const char *name = builder->function.name;
    kt_func namesake = kt_graph_find(graph, name);
    if (namesake && namesake != builder->rewrites)
        kt_build_fail(builder, KT_INVALID, "There is already a function with the name \"%s\".", name);
    if (builder->status != KT_OK) return builder->status;
    kt_func func = builder->rewrites;
    if (func)
        graph->functions.at[func] = builder->function;
    else
        func = kt_graph_add_function(graph, &builder->function);
    if (out_func) *out_func = func;
    return KT_OK;
}

kt_value kt_build_fail(kt_builder *builder, kt_status status, const char *format, ...) {
    if (builder->status != KT_OK) return 0;
    builder->status = status;
    va_list arguments;
    va_start(arguments, format);
    const char *sentence = kt_arena_vformat(builder->graph->arena, format, arguments);
    va_end(arguments);
    kt_diag_add(builder->diag, status, kt_loc_string(builder->graph, builder->loc), "%s", sentence);
    return 0;
}

const kt_type *kt_build_type(const kt_builder *builder, kt_value value) {
    static const kt_type scalar = {.dtype = KT_F32};
    return value > 0 && value < builder->graph->values.count ? kt_graph_type(builder->graph, value) : &scalar;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static kt_value append_node(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count,
                            const void *attrs, const kt_type *results, uint32_t result_count) {
    kt_graph *graph = builder->graph;
    kt_node_info node = {.op = op,
                         .loc = builder->loc,
                         .operand_count = count,
                         .result_count = result_count,
                         .first_result = graph->values.count,
                         .attrs = attrs};
    if (count > 0) node.operands = kt_arena_copy(graph->arena, operands, count * sizeof *operands);
    KT_PUSH(graph->arena, &graph->nodes, node);
    kt_node handle = graph->nodes.count - 1;
    KT_PUSH(graph->arena, &builder->function.nodes, handle);
    for (uint32_t i = 0; i < result_count; i++) add_value(graph, &results[i], handle, i);
    return result_count ? node.first_result : 0;
}

kt_value kt_build_node_shared(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count,
                              const void *attrs) {
    if (builder->status != KT_OK) return 0;
    kt_graph *graph = builder->graph;
    uint32_t result_count = kt_op_result_count(graph, op, attrs);
    kt_type few_operands[FEW], few_results[FEW];
    kt_type *operand_types = count <= FEW ? few_operands : KT_NEW_ARRAY(graph->arena, kt_type, count);
    kt_type *result_types =
        result_count <= FEW ? few_results : KT_NEW_ARRAY(graph->arena, kt_type, result_count);
    for (uint32_t i = 0; i < count; i++) {
        KT_ASSERT(operands[i] > 0 && operands[i] < graph->values.count);
        operand_types[i] = *kt_graph_type(graph, operands[i]);
    }
    kt_infer infer = {.graph = graph,
                      .op = op,
                      .operands = operand_types,
                      .operand_count = count,
                      .attrs = attrs,
                      .results = result_types,
                      .result_count = result_count,
                      .loc = builder->loc,
                      .diag = builder->diag};
    builder->status = kt_infer_node(&infer);
    if (builder->status != KT_OK) return 0;
    return append_node(builder, op, operands, count, attrs, result_types, result_count);
}

kt_value kt_build_node(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count,
                       const void *attrs) {
    if (builder->status != KT_OK) return 0;
    size_t bytes = kt_op_describe(op)->attr_count ? kt_op_describe(op)->attrs_bytes : 0;
    KT_ASSERT(bytes == 0 || attrs);
    const void *copy = bytes ? kt_arena_copy(builder->graph->arena, attrs, bytes) : NULL;
    return kt_build_node_shared(builder, op, operands, count, copy);
}

void kt_build_call(kt_builder *builder, kt_func callee, const kt_value *operands, uint32_t count,
                   kt_value *out_results) {
    kt_build_nodes(builder, KT_OP_call, operands, count, &(kt_attrs_call){.callee = callee}, out_results);
}

void kt_build_scan(kt_builder *builder, const kt_attrs_scan *attrs, const kt_value *operands, uint32_t count,
                   kt_value *out_results) {
    kt_build_nodes(builder, KT_OP_scan, operands, count, attrs, out_results);
}

void kt_build_nodes(kt_builder *builder, kt_op op, const kt_value *operands, uint32_t count,
                    const void *attrs, kt_value *out_results) {
    uint32_t result_count = kt_op_result_count(builder->graph, op, attrs);
    kt_value first = kt_build_node(builder, op, operands, count, attrs);
    for (uint32_t i = 0; i < result_count; i++) out_results[i] = first ? first + i : 0;
}

/* ---- rewriting ------------------------------------------------------------------------------- */

void kt_builder_begin_rewrite(kt_builder *out_builder, kt_graph *graph, kt_func func, kt_diag *diag) {
    const kt_function *old = kt_graph_function(graph, func);
    kt_builder_begin(out_builder, graph, old->kind, old->name, diag);
    out_builder->function.composite = old->composite;
    out_builder->rewrites = func;
    out_builder->replacement_count = graph->values.count;
    out_builder->replacement = KT_NEW_ARRAY(graph->arena, kt_value, graph->values.count);
    for (uint32_t i = 0; i < old->params.count; i++) {
        const kt_port *port = &old->params.at[i];
        kt_type type = *kt_graph_type(graph, port->value);
        kt_value copy = kt_builder_param(out_builder, port->role, port->name, port->index, &type);
        kt_builder_replace(out_builder, port->value, copy);
    }
}

kt_value kt_builder_lookup(const kt_builder *builder, kt_value old_value) {
    return old_value < builder->replacement_count ? builder->replacement[old_value] : 0;
}

void kt_builder_replace(kt_builder *builder, kt_value old_value, kt_value new_value) {
    KT_ASSERT(old_value > 0 && old_value < builder->replacement_count);
    builder->replacement[old_value] = new_value;
}

void kt_builder_copy(kt_builder *builder, kt_node old_node) {
    if (builder->status != KT_OK) return;
    kt_graph *graph = builder->graph;
    kt_node_info old = *kt_graph_node(graph, old_node);
    kt_value few[FEW];
    kt_value *operands =
        old.operand_count <= FEW ? few : KT_NEW_ARRAY(graph->arena, kt_value, old.operand_count);
    for (uint32_t i = 0; i < old.operand_count; i++)
        operands[i] = kt_builder_lookup(builder, old.operands[i]);
    builder->loc = old.loc;
    kt_value first = kt_build_node_shared(builder, old.op, operands, old.operand_count, old.attrs);
    if (builder->status != KT_OK) return;
    for (uint32_t i = 0; i < old.result_count; i++)
        kt_builder_replace(builder, old.first_result + i, first + i);
}

void kt_builder_copy_results(kt_builder *builder) {
    KT_ASSERT(builder->rewrites);
    kt_function old = *kt_graph_function(builder->graph, builder->rewrites);
    for (uint32_t i = 0; i < old.results.count; i++) {
        const kt_port *port = &old.results.at[i];
        kt_builder_result(builder, port->role, port->name, port->index,
                          kt_builder_lookup(builder, port->value));
    }
}
