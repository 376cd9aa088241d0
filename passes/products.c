#include "passes/products_impl.h"

enum { LEAST_CHANNELS = 3 }; /* fewer are mostly filling */

static int64_t size_of(const kt_narrowing *n, const kt_type *type, int64_t axis) {
    int64_t size = 0;
    kt_dim_is_const(n->run.graph->dims, type->dims[axis], &size);
    return size;
}

static bool describe_dot(const kt_narrowing *n, kt_weighted *p) {
    const kt_attrs_dot_general *attrs = p->node->attrs;
    const kt_type *w = kt_graph_type(n->run.graph, p->w);
    if (attrs->panel || attrs->lhs_batch.count || !attrs->lhs_contract.count) return false;
    for (int64_t axis = 0; axis < w->rank; axis++) {
        kt_ints *axes = kt_ints_hold(&attrs->rhs_contract, axis) ? &p->depth : &p->own;
        axes->at[axes->count++] = axis;
    }
    if (attrs->lhs_contract.count > 1) return true;
    p->filled_x = attrs->lhs_contract.at[0];
    p->filled_w = attrs->rhs_contract.at[0];
    return true;
}

static bool describe_conv(const kt_narrowing *n, kt_weighted *p) {
    const kt_attrs_conv *attrs = p->node->attrs;
    const kt_type *w = kt_graph_type(n->run.graph, p->w);
    if (attrs->panel || attrs->groups != 1 || size_of(n, w, w->rank - 2) < LEAST_CHANNELS) return false;
    for (int64_t axis = 0; axis < w->rank - 1; axis++) p->depth.at[p->depth.count++] = axis;
    p->own = (kt_ints){1, {w->rank - 1}};
    p->filled_x = w->rank - 1;
    p->filled_w = w->rank - 2;
    return true;
}

bool kt_narrow_describe(const kt_narrowing *n, const kt_node_info *node, kt_weighted *p) {
    if (node->op != KT_OP_dot_general && node->op != KT_OP_conv) return false;
    *p = (kt_weighted){
        .node = node, .x = node->operands[0], .w = node->operands[1], .filled_x = -1, .filled_w = -1};
    const kt_type *w = kt_graph_type(n->run.graph, p->w);
    if (kt_graph_type(n->run.graph, p->x)->dtype != w->dtype) return false;
    if (w->dtype != KT_F32 && w->dtype != KT_BF16) return false;
    if (n->fixed[p->x] || !n->fixed[p->w] || kt_type_static_elements(n->run.graph->dims, w) < 1) return false;
    if (node->op == KT_OP_conv ? !describe_conv(n, p) : !describe_dot(n, p)) return false;
    p->summed = 1;
    for (uint32_t i = 0; i < p->depth.count; i++)
        p->summed = kt_size_mul(p->summed, size_of(n, w, p->depth.at[i]));
    int64_t whole = p->filled_w < 0 ? p->summed : size_of(n, w, p->filled_w);
    p->filling = (n->word - whole % n->word) % n->word;
    return p->filling == 0 || p->filled_w >= 0;
}

/* Does the operation do the same to what is narrower? */
static bool takes_narrow(const kt_narrowing *n, const kt_node_info *node) {
    if (node->op == KT_OP_reshape || node->op == KT_OP_transpose) return true;
    return node->op == KT_OP_reduce_window && n->uses[node->operands[0]] == 1 &&
           ((const kt_attrs_reduce_window *)node->attrs)->kind == KT_REDUCE_MAXIMUM;
}

kt_value kt_narrow_value(kt_narrowing *n, kt_value old, kt_narrow_fn *convert, const void *context) {
    KT_VECTOR(const kt_node_info *) behind = {0};
    const kt_node_info *node = kt_graph_definition(n->run.graph, old);
    while (node && n->uses[old] == 1 && takes_narrow(n, node)) {
        KT_PUSH(n->run.scratch, &behind, node);
        old = node->operands[0];
        node = kt_graph_definition(n->run.graph, old);
    }
    kt_value x = convert(n, old, context);
    while (behind.count) {
        node = behind.at[--behind.count];
        x = kt_pass_build_like(n->builder, node, &x, node->attrs);
    }
    return x;
}

kt_value kt_narrow_fill(kt_narrowing *n, kt_value value, int64_t axis, int64_t filling,
                        const kt_attrs_conv *conv, double fill) {
    const kt_type type = *kt_build_type(n->builder, value);
    kt_dim none = kt_dim_const(n->run.graph->dims, 0), low[KT_MAX_RANK], high[KT_MAX_RANK];
    int64_t interior[KT_MAX_RANK] = {0};
    bool any = filling > 0;
    for (int i = 0; i < type.rank; i++) low[i] = high[i] = none;
    if (filling) high[axis] = kt_dim_const(n->run.graph->dims, filling);
    for (uint32_t i = 0; conv && i < conv->low.count; i++) {
        low[i + 1] = conv->low.at[i];
        high[i + 1] = conv->high.at[i];
        any = any || low[i + 1] != none || high[i + 1] != none;
    }
    if (!any) return value;
    kt_value scalar = kt_build_scalar(n->builder, type.dtype, fill);
    return kt_build_pad(n->builder, value, scalar, low, high, interior);
}
