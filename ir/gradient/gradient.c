/* Gradients: reverse mode over the nodes of a function that is being written.
 *
 * First forwards: which values depend, through operations with derivatives, on those that derivatives are
 * taken by? Then backwards from the ends: each node's rule (kt_vjp_NAME, by ops.def's gradient column) pulls
 * the cotangents of its results back to its operands, where those of all users are added up. A value without
 * a cotangent has 0, of which nothing is written.
 *
 * Rules use what the function computes already; whether a value is kept until then, or computed again where
 * it is used, is a question for later passes. Calls of composites become calls of a composite
 * `NAME.gradient`, which computes anew what it needs of NAME; once both are inlined, equal things are
 * computed once.
 *
 * Since rules write ordinary nodes, derivatives of derivatives need nothing of their own. */
#include "ir/gradient/gradient_impl.h"

#include <string.h>

static kt_vjp_fn *const functions[KT_OP_COUNT] = {
#define KT_ROW_KT_VJP(name) [KT_OP_##name] = kt_vjp_##name,
#define KT_ROW_KT_FLAT(name)
#define KT_OP(name, operands, results, traits, gradient, doc) KT_ROW_##gradient(name)
#include "ir/ops.def"
};

/* One run. Arrays are by value, from base on. */
typedef struct pulling {
    kt_builder *builder;
    kt_value base;
    bool *depends;
    kt_value *cotangents;
} pulling;

static bool is_float(const kt_builder *builder, kt_value value) {
    return kt_dtype_is_float(kt_build_type(builder, value)->dtype);
}

static kt_value lowest_value(const kt_builder *builder) {
    const kt_function *function = &builder->function;
    kt_value lowest = builder->graph->values.count;
    for (uint32_t i = 0; i < function->params.count; i++)
        if (function->params.at[i].value < lowest) lowest = function->params.at[i].value;
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(builder->graph, function->nodes.at[i]);
        if (node->result_count > 0 && node->first_result < lowest) lowest = node->first_result;
    }
    return lowest;
}

static void find_dependent(pulling *p, const kt_node_info *node) {
    bool any = false;
    if (kt_op_describe(node->op)->flat) return;
    for (uint32_t k = 0; k < node->operand_count; k++) any = any || p->depends[node->operands[k] - p->base];
    for (uint32_t k = 0; k < node->result_count; k++)
        if (any && is_float(p->builder, node->first_result + k))
            p->depends[node->first_result + k - p->base] = true;
}

/* "grad of PATH", in PATH's file and line. */
static kt_loc loc_of_gradient(kt_graph *graph, const kt_node_info *node) {
    const kt_loc_info *info = &graph->locations.at[node->loc];
    kt_text path = {.arena = graph->arena};
    kt_text_add(&path, "grad of ");
    if (info->part_count > 0)
        kt_loc_print(graph, node->loc, &path);
    else
        kt_text_add(&path, info->path ? info->path : kt_op_describe(node->op)->name);
    if (info->file) return kt_loc_source(graph, kt_text_string(&path), info->file, info->line);
    return kt_loc_path(graph, kt_text_string(&path));
}

/* Adds a derivative to what value has. Where sizes are equal by a check at the entry only, it may be of
 * another type. */
static void add_cotangent(pulling *p, kt_value value, kt_value derivative) {
    kt_value *total = &p->cotangents[value - p->base];
    const kt_type type = *kt_build_type(p->builder, value);
    if (!derivative) return;
    if (!kt_type_equal(kt_build_type(p->builder, derivative), &type))
        derivative = kt_build_reshape(p->builder, derivative, type.rank, type.dims);
    *total = *total ? kt_build_add(p->builder, *total, derivative) : derivative;
}

static void pull_node(pulling *p, kt_node handle) {
    kt_graph *graph = p->builder->graph;
    const kt_node_info node = *kt_graph_node(graph, handle);
    const kt_value *cotangents = &p->cotangents[node.first_result - p->base];
    bool *wanted = KT_NEW_ARRAY(graph->arena, bool, node.operand_count), any = false, reached = false;
    kt_value *derivatives = KT_NEW_ARRAY(graph->arena, kt_value, node.operand_count);
    for (uint32_t k = 0; k < node.result_count; k++) reached = reached || cotangents[k];
    for (uint32_t k = 0; k < node.operand_count; k++) {
        wanted[k] = p->depends[node.operands[k] - p->base];
        any = any || wanted[k];
    }
    if (!reached || !any || kt_op_describe(node.op)->flat) return;
    p->builder->loc = loc_of_gradient(graph, &node);
    kt_vjp vjp = {p->builder, &node, cotangents, wanted, derivatives};
    functions[node.op](&vjp);
    for (uint32_t k = 0; k < node.operand_count && p->builder->status == KT_OK; k++)
        if (wanted[k]) add_cotangent(p, node.operands[k], derivatives[k]);
}

void kt_gradient_pull(kt_builder *builder, const kt_value *ys, const kt_value *seeds, uint32_t y_count,
                      const kt_value *wrt, uint32_t count, kt_value *out_derivatives) {
    for (uint32_t i = 0; i < count; i++) out_derivatives[i] = 0;
    if (builder->status != KT_OK) return;
    kt_graph *graph = builder->graph;
    pulling p = {.builder = builder, .base = lowest_value(builder)};
    uint32_t node_count = builder->function.nodes.count, values = graph->values.count - p.base;
    p.depends = KT_NEW_ARRAY(graph->arena, bool, values);
    p.cotangents = KT_NEW_ARRAY(graph->arena, kt_value, values);
    for (uint32_t i = 0; i < count; i++) p.depends[wrt[i] - p.base] = true;
    for (uint32_t i = 0; i < node_count; i++)
        find_dependent(&p, kt_graph_node(graph, builder->function.nodes.at[i]));
    for (uint32_t i = 0; i < y_count; i++)
        if (seeds[i] && p.depends[ys[i] - p.base]) add_cotangent(&p, ys[i], seeds[i]);
    for (uint32_t i = node_count; i-- > 0 && builder->status == KT_OK;)
        pull_node(&p, builder->function.nodes.at[i]);
    for (uint32_t i = 0; i < count && builder->status == KT_OK; i++)
        out_derivatives[i] = p.cotangents[wrt[i] - p.base];
}

void kt_build_reached_gradient(kt_builder *builder, kt_value y, const kt_value *wrt, uint32_t count,
                               kt_value *out_gradients) {
    const kt_type type = *kt_build_type(builder, y);
    kt_loc loc = builder->loc;
    for (uint32_t i = 0; i < count; i++) out_gradients[i] = 0;
    if (builder->status != KT_OK) return;
    if (type.rank > 0 || !kt_dtype_is_float(type.dtype)) {
        kt_build_fail(builder, KT_INVALID, "Only a float scalar has a gradient, but this is %s.",
                      kt_type_string(builder->graph->dims, &type, builder->graph->arena));
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!is_float(builder, wrt[i])) {
            kt_build_fail(
                builder, KT_INVALID, "There is no gradient by %s, which is no float.",
                kt_type_string(builder->graph->dims, kt_build_type(builder, wrt[i]), builder->graph->arena));
            return;
        }
    const kt_node_info *node = kt_graph_definition(builder->graph, y);
    if (node) builder->loc = loc_of_gradient(builder->graph, node);
    kt_value one = kt_build_scalar(builder, type.dtype, 1);
    kt_gradient_pull(builder, &y, &one, 1, wrt, count, out_gradients);
    builder->loc = loc;
}

void kt_build_gradient(kt_builder *builder, kt_value y, const kt_value *wrt, uint32_t count,
                       kt_value *out_gradients) {
    kt_build_reached_gradient(builder, y, wrt, count, out_gradients);
    for (uint32_t i = 0; i < count && builder->status == KT_OK; i++)
        if (!out_gradients[i]) out_gradients[i] = kt_build_like(builder, wrt[i], 0);
}

/* ---- what rules are written in --------------------------------------------------------------- */

kt_value kt_vjp_number(const kt_vjp *v, kt_value x, double number) {
    return kt_build_like(v->builder, x, number);
}

kt_value kt_vjp_where(const kt_vjp *v, kt_value condition, kt_value y, double number) {
    return kt_build_select(v->builder, condition, y, kt_vjp_number(v, y, number));
}

bool kt_vjp_is_constant(const kt_vjp *v, kt_value x) {
    const kt_node_info *node = kt_graph_definition(v->builder->graph, x);
    while (node && kt_op_is(node->op, KT_VIEW) && node->operand_count == 1)
        node = kt_graph_definition(v->builder->graph, node->operands[0]);
    return node && node->op == KT_OP_constant;
}
