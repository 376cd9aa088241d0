/* Scales of channels go into the weights before them: what remains of batch normalisation is a bias.
 *
 *   (x ∘ w) * s             → x ∘ (w * s)              ∘: dot_general, conv of any groups, depthwise too
 *   ((x ∘ w) + b) * s       → (x ∘ (w * s)) + b * s    also (x ∘ w) - b, b - (x ∘ w), and chains of these
 *   the same with / s
 *   (y + b) + c             → y + (b + c)              also with -
 *
 * where w, s, b and c depend on variables and constants alone (so split moves the products into `prepare`),
 * s, b and c have one value for each channel of the result, its last axis, or one in all, and nobody else
 * needs what lies between. Sums and products are reassociated, so results agree to rounding only; floats
 * only.
 *
 * requires  simplify, which brings scales into the form broadcast(vector)
 * keeps     everything else
 * breaks    nothing */
#include "passes/passes_impl.h"

typedef struct scaling {
    kt_graph *graph;
    kt_builder *builder;
    const bool *fixed;    /* by old value */
    const uint32_t *uses; /* by old value */
} scaling;

/* A fixed value with one number for each channel: the vector or scalar behind a broadcast; else 0. */
static kt_value channel_vector(const scaling *s, kt_value value) {
    const kt_type *type = kt_graph_type(s->graph, value);
    const kt_node_info *node = kt_graph_definition(s->graph, value);
    if (!node || node->op != KT_OP_broadcast || !s->fixed[node->operands[0]]) return 0;
    const kt_ints *axes = &((const kt_attrs_broadcast *)node->attrs)->axes;
    const kt_type *vector = kt_graph_type(s->graph, node->operands[0]);
    if (vector->rank == 0) return node->operands[0];
    bool last =
        vector->rank == 1 && axes->at[0] == type->rank - 1 && vector->dims[0] == type->dims[type->rank - 1];
    return last ? node->operands[0] : 0;
}

/* The weights of a contraction whose result has their last axis last, and that are fixed; else 0. */
static kt_value weights(const scaling *s, const kt_node_info *node) {
    kt_value w = node->operand_count == 2 ? node->operands[1] : 0;
    if (node->op == KT_OP_conv) return s->fixed[w] && !((const kt_attrs_conv *)node->attrs)->panel ? w : 0;
    if (node->op != KT_OP_dot_general || !s->fixed[w]) return 0;
    const kt_attrs_dot_general *attrs = node->attrs;
    int64_t last = kt_graph_type(s->graph, w)->rank - 1;
    for (uint32_t i = 0; i < attrs->rhs_contract.count; i++)
        if (attrs->rhs_contract.at[i] == last) return 0;
    for (uint32_t i = 0; i < attrs->rhs_batch.count; i++)
        if (attrs->rhs_batch.at[i] == last) return 0;
    return attrs->panel || last < 0 ? 0 : w;
}

/* Is value a sum of a contraction and channel vectors, used nowhere else? */
static bool takes_scale(const scaling *s, kt_value value) {
    const kt_node_info *node = kt_graph_definition(s->graph, value);
    if (!node || s->uses[value] != 1) return false;
    if (weights(s, node)) return true;
    if (node->op != KT_OP_add && node->op != KT_OP_sub) return false;
    return (channel_vector(s, node->operands[1]) && takes_scale(s, node->operands[0])) ||
           (channel_vector(s, node->operands[0]) && takes_scale(s, node->operands[1]));
}

/* vector (op) scale, where either may be a scalar. Both are new values. */
static kt_value combine(scaling *s, kt_op op, kt_value vector, kt_value scale) {
    kt_build_broadcast_pair(s->builder, &vector, &scale);
    return kt_build_node(s->builder, op, (kt_value[]){vector, scale}, 2, NULL);
}

/* A channel vector under a shape. */
static kt_value spread(scaling *s, kt_value vector, const kt_type *type) {
    int64_t last = type->rank - 1;
    return kt_build_broadcast(s->builder, vector, type->rank, type->dims, &last);
}

/* value (op) scale, pushed down to the weights. value is of the old function, scale and the result new. */
static kt_value push(scaling *s, kt_op op, kt_value value, kt_value scale, kt_loc loc) {
    const kt_node_info *node = kt_graph_definition(s->graph, value);
    const kt_type *type = kt_graph_type(s->graph, value);
    kt_value w = weights(s, node);
    if (w) {
        const kt_type *shape = kt_graph_type(s->graph, w);
        s->builder->loc = kt_loc_fuse(s->graph, (kt_loc[]){node->loc, loc}, 2);
        kt_value scaled = kt_build_node(
            s->builder, op, (kt_value[]){kt_builder_lookup(s->builder, w), spread(s, scale, shape)}, 2, NULL);
        kt_value operands[2] = {kt_builder_lookup(s->builder, node->operands[0]), scaled};
        return kt_pass_build_like(s->builder, node, operands, node->attrs);
    }
    uint32_t inner = channel_vector(s, node->operands[1]) && takes_scale(s, node->operands[0]) ? 0 : 1;
    kt_value bias = kt_builder_lookup(s->builder, channel_vector(s, node->operands[1 - inner]));
    kt_value operands[2];
    operands[inner] = push(s, op, node->operands[inner], scale, loc);
    s->builder->loc = kt_loc_fuse(s->graph, (kt_loc[]){node->loc, loc}, 2);
    operands[1 - inner] = spread(s, combine(s, op, bias, scale), type);
    return kt_pass_build_like(s->builder, node, operands, NULL);
}

/* y * s, s * y, y / s */
static kt_value fold_scale(scaling *s, const kt_node_info *node) {
    if (node->op != KT_OP_mul && node->op != KT_OP_div) return 0;
    for (uint32_t i = 0; i < (node->op == KT_OP_mul ? 2u : 1u); i++) {
        kt_value scale = channel_vector(s, node->operands[1 - i]);
        if (scale && takes_scale(s, node->operands[i]))
            return push(s, node->op, node->operands[i], kt_builder_lookup(s->builder, scale), node->loc);
    }
    return 0;
}

/* A sum of something and a channel vector. */
typedef struct biased {
    kt_value rest, vector;
    bool negative; /* the vector is subtracted */
} biased;

static bool match_bias(const scaling *s, const kt_node_info *node, biased *out) {
    if (!node || (node->op != KT_OP_add && node->op != KT_OP_sub)) return false;
    *out = (biased){node->operands[0], channel_vector(s, node->operands[1]), node->op == KT_OP_sub};
    if (!out->vector && node->op == KT_OP_add)
        *out = (biased){node->operands[1], channel_vector(s, node->operands[0]), false};
    return out->vector != 0;
}

/* (y ± b) ± c → y ± (b ± c) */
static kt_value fold_biases(scaling *s, const kt_node_info *node) {
    biased outer, inner;
    if (!match_bias(s, node, &outer) || s->uses[outer.rest] != 1) return 0;
    const kt_node_info *definition = kt_graph_definition(s->graph, outer.rest);
    if (!match_bias(s, definition, &inner)) return 0;
    s->builder->loc = kt_loc_fuse(s->graph, (kt_loc[]){definition->loc, node->loc}, 2);
    kt_value both =
        combine(s, inner.negative == outer.negative ? KT_OP_add : KT_OP_sub,
                kt_builder_lookup(s->builder, inner.vector), kt_builder_lookup(s->builder, outer.vector));
    kt_value operands[2] = {kt_builder_lookup(s->builder, inner.rest),
                            spread(s, both, kt_graph_type(s->graph, node->first_result))};
    return kt_build_node(s->builder, inner.negative ? KT_OP_sub : KT_OP_add, operands, 2, NULL);
}

static kt_status fold_once(kt_pass_run *run, kt_func func, bool *out_changed) {
    kt_graph *graph = run->graph;
    kt_builder builder;
    scaling s = {.graph = graph, .builder = &builder};
    s.fixed = kt_pass_fixed(run, kt_graph_function(graph, func));
    s.uses = kt_pass_uses(run, kt_graph_function(graph, func));
    kt_builder_begin_rewrite(&builder, graph, func, run->diag);
    const kt_function old = *kt_graph_function(graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, old.nodes.at[i]);
        kt_value folded = 0;
        bool number =
            node->result_count == 1 && kt_dtype_is_float(kt_graph_type(graph, node->first_result)->dtype);
        if (number && !s.fixed[node->first_result]) {
            folded = fold_scale(&s, node);
            if (!folded) folded = fold_biases(&s, node);
        }
        if (folded) {
            kt_builder_replace(&builder, node->first_result, folded);
            *out_changed = true;
        } else {
            kt_builder_copy(&builder, old.nodes.at[i]);
        }
    }
    kt_builder_copy_results(&builder);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(run, func);
}

/* Each round leaves fewer operations on full tensors, so this ends. */
static kt_status fold_func(kt_pass_run *run, kt_func func) {
    bool changed = true;
    while (changed) {
        changed = false;
        KT_TRY(fold_once(run, func, &changed));
    }
    return KT_OK;
}

static kt_status run_fold_scale(kt_pass_run *run) { return kt_pass_each(run, fold_func); }

kt_status kt_pass_fold_scale(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_fold_scale, graph, options, diag);
}
