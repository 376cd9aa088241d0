/* Derivatives of what has grown: the gradient's nodes, which the compiler adds, are evaluated as those that
 * were grown, so that only derivatives are kept which do not depend on the order of roundings either. Those
 * of f64 are compared with differences along a random direction besides, where the value has no kink there.
 * See grower.h. */
#include "random/grower.h"

#include "ir/graph_impl.h"

#include <math.h>
#include <string.h>

enum { MOST_WRT = 3, MOST_OPERANDS = 64 };

typedef struct deriving {
    grower *g;
    kt_tensor (*variants)[RANDOM_VARIANTS]; /* by value; data NULL: unknown */
} deriving;

/* A node that calls, as the only one of a function, which vanishes again. */
static bool evaluate_call(deriving *d, const kt_node_info *node) {
    grower *g = d->g;
    kt_graph *graph = g->module->graph;
    kt_builder builder;
    kt_diag diag = {0};
    kt_func func = 0;
    kt_value operands[MOST_OPERANDS], *results = KT_NEW_ARRAY(graph->arena, kt_value, node->result_count);
    kt_tensor arguments[MOST_OPERANDS], *found = KT_NEW_ARRAY(graph->arena, kt_tensor, node->result_count);
    kt_builder_begin(&builder, graph, KT_FUNC_BODY, "derived", &diag);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_type type = *kt_graph_type(graph, node->operands[i]);
        operands[i] = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, i, &type);
    }
    kt_build_nodes(&builder, node->op, operands, node->operand_count, node->attrs, results);
    for (uint32_t i = 0; i < node->result_count; i++)
        kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, i, results[i]);
    bool ok = kt_builder_finish(&builder, &func) == KT_OK;
    for (int v = 0; v < RANDOM_VARIANTS && ok; v++) {
        for (uint32_t i = 0; i < node->operand_count; i++) arguments[i] = d->variants[node->operands[i]][v];
        ok = kt_eval(graph, func, g->module->sizes, arguments, node->operand_count, g->module->arena, found,
                     &diag) == KT_OK;
        for (uint32_t i = 0; i < node->result_count && ok; i++)
            d->variants[node->first_result + i][v] = found[i];
    }
    if (func) graph->functions.count--;
    kt_diag_deinit(&diag);
    for (uint32_t i = 0; i < node->result_count && ok; i++)
        if (kt_dtype_is_float(kt_graph_type(graph, node->first_result + i)->dtype))
            grower_disturb(g, d->variants[node->first_result + i]);
    return ok;
}

static bool evaluate_node(deriving *d, kt_node handle) {
    kt_graph *graph = d->g->module->graph;
    const kt_node_info node = *kt_graph_node(graph, handle);
    const kt_tensor *operands[MOST_OPERANDS];
    if (node.operand_count > MOST_OPERANDS) return false;
    for (uint32_t i = 0; i < node.operand_count; i++) {
        operands[i] = d->variants[node.operands[i]];
        if (!operands[i]->data) return false;
    }
    if (kt_op_is(node.op, KT_CALLS)) return evaluate_call(d, &node);
    const kt_type type = *kt_graph_type(graph, node.first_result);
    return grower_evaluate(d->g, node.op, operands, node.operand_count, node.attrs, &type,
                           d->variants[node.first_result]);
}

/* The sum of a late float's elements, some of them weighed: a scalar whose derivatives are not all alike. */
static int grow_scalar(grower *g) {
    int x = grower_pick(g, KT_FLOAT);
    if (x < 0) return -1;
    kt_attrs_reduce all = {.kind = KT_REDUCE_SUM, .axes = {.count = type_of(g, x)->rank}};
    for (uint32_t i = 0; i < all.axes.count; i++) all.axes.at[i] = i;
    if (chance(g, 2)) {
        int weights = grower_value_like(g, *type_of(g, x));
        int y = weights < 0 ? -1 : grower_apply(g, KT_OP_mul, x, weights);
        if (y >= 0) x = y;
    }
    return all.axes.count ? grower_add(g, KT_OP_reduce, &x, 1, &all) : x;
}

/* Parameters that are floats, beginning with any of them. */
static uint32_t choose_parameters(grower *g, kt_value *out_wrt) {
    uint32_t count = 0, params = g->builder->function.params.count, first = (uint32_t)draw(g, (int)params);
    for (uint32_t i = 0; i < params && count < MOST_WRT; i++) {
        kt_value value = g->builder->function.params.at[(first + i) % params].value;
        if (kt_dtype_is_float(kt_graph_type(g->module->graph, value)->dtype)) out_wrt[count++] = value;
    }
    return count;
}

/* ---- differences ----------------------------------------------------------------------------- */
static known *known_of(grower *g, kt_value value) {
    for (int i = 0; i < g->count; i++)
        if (g->values[i].value == value) return &g->values[i];
    KT_BUG("value %u did not grow", value);
}

static bool is_double(const grower *g, kt_value value) {
    return kt_graph_type(g->module->graph, value)->dtype == KT_F64;
}

static void move(const kt_tensor *at, const double *from, const double *direction, double by) {
    for (size_t i = 0; i < kt_tensor_elements(at); i++) ((double *)at->data)[i] = from[i] + by * direction[i];
}

/* y, where inputs and variables are as their values say; NAN if that fails. */
static double evaluate_scalar(grower *g, kt_value y) {
    kt_graph *graph = g->module->graph;
    kt_function function = g->builder->function;
    kt_port port = {.value = y, .role = KT_ROLE_OUTPUT, .name = "y"};
    kt_tensor arguments[RANDOM_MOST_PORTS], result;
    uint32_t count = 0;
    kt_diag diag = {0};
    for (uint32_t i = 0; i < function.params.count; i++)
        if (function.params.at[i].role == KT_ROLE_INPUT)
            arguments[count++] = known_of(g, function.params.at[i].value)->variants[0];
    function.results.at = &port;
    function.results.count = function.results.capacity = 1;
    kt_func func = kt_graph_add_function(graph, &function);
    kt_status status =
        kt_eval(graph, func, g->module->sizes, arguments, count, g->module->arena, &result, &diag);
    graph->functions.count--;
    kt_diag_deinit(&diag);
    return status == KT_OK ? *(const double *)result.data : NAN;
}

/* Where y changes as much to either side, it has no kink, and that is what its derivatives must say too. */
static void compare_with_differences(grower *g, kt_value y, const kt_value *wrt, uint32_t count,
                                     const kt_tensor *const *gradients) {
    static const double step = 1e-5;
    double *from[MOST_WRT], *directions[MOST_WRT], values[3], expected = 0, scale = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kt_tensor *at = &known_of(g, wrt[i])->variants[0];
        size_t elements = kt_tensor_elements(at);
        from[i] = kt_arena_copy(g->module->arena, at->data, elements * sizeof(double));
        directions[i] = KT_NEW_ARRAY(g->module->arena, double, elements + 1);
        for (size_t k = 0; k < elements; k++) {
            directions[i][k] = draw(g, 201) / 100.0 - 1;
            double part = directions[i][k] * ((const double *)gradients[i]->data)[k];
            expected += part;
            scale += fabs(part);
        }
    }
    for (int side = 0; side < 3; side++) {
        for (uint32_t i = 0; i < count; i++)
            move(&known_of(g, wrt[i])->variants[0], from[i], directions[i], (side - 1) * step);
        values[side] = evaluate_scalar(g, y);
    }
    for (uint32_t i = 0; i < count; i++) move(&known_of(g, wrt[i])->variants[0], from[i], directions[i], 0);
    double before = (values[1] - values[0]) / step, behind = (values[2] - values[1]) / step;
    scale = fmax(scale, fmax(fabs(before), 1e-4 * fabs(values[1])));
    if (!isfinite(before) || !isfinite(behind) || !(fabs(before - behind) <= 1e-4 * scale)) return;
    g->module->differences++;
    if (!(fabs((before + behind) / 2 - expected) <= 1e-3 * scale))
        g->module->wrong =
            kt_arena_format(g->module->arena, "%s changes by %.9g, not by %.9g, as its derivatives say",
                            g->builder->function.name, (before + behind) / 2, expected);
}

/* Not where derivatives take something for a constant that is none. */
static bool is_comparable(const grower *g, kt_value y, const kt_value *wrt, uint32_t count) {
    bool plain = is_double(g, y) && g->module->grown[KT_OP_stop_gradient] == g->stopped;
    for (uint32_t i = 0; i < count; i++) plain = plain && is_double(g, wrt[i]);
    return plain;
}

int grower_derive(grower *g) {
    kt_graph *graph = g->module->graph;
    kt_value wrt[MOST_WRT], gradients[MOST_WRT];
    uint32_t count = choose_parameters(g, wrt), before;
    int y = count ? grow_scalar(g) : -1, kept = 0;
    if (y < 0) return 0;
    before = g->builder->function.nodes.count;
    /* What has no derivative (a packed operand, a wide window) is refused with a sentence, and nothing is
     * lost. */
    kt_diag diag = {0}, *old = g->builder->diag;
    g->builder->diag = &diag;
    uint32_t equalities = graph->equalities.count;
    kt_build_gradient(g->builder, g->values[y].value, wrt, count, gradients);
    bool derived = g->builder->status == KT_OK && graph->equalities.count == equalities;
    graph->equalities.count = equalities;
    g->builder->status = KT_OK;
    g->builder->diag = old;
    kt_diag_deinit(&diag);
    if (!derived) return 0;
    deriving d = {.g = g, .variants = kt_arena_array(graph->arena, graph->values.count, sizeof *d.variants)};
    for (int i = 0; i < g->count; i++)
        memcpy(d.variants[g->values[i].value], g->values[i].variants, sizeof *d.variants);
    for (uint32_t i = before; i < g->builder->function.nodes.count; i++)
        if (!evaluate_node(&d, g->builder->function.nodes.at[i])) return 0;
    const kt_tensor *found[MOST_WRT];
    for (uint32_t i = 0; i < count; i++) found[i] = d.variants[gradients[i]];
    if (is_comparable(g, g->values[y].value, wrt, count))
        compare_with_differences(g, g->values[y].value, wrt, count, found);
    for (uint32_t i = 0; i < count; i++)
        if (d.variants[gradients[i]][0].data && grower_is_tame(d.variants[gradients[i]], true) &&
            grower_keep(g, gradients[i], d.variants[gradients[i]]) >= 0)
            kept++;
    g->module->derived += (uint64_t)kept;
    return kept;
}
