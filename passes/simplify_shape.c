/* Rules over shape operations, reductions and contractions. Measure, where none is named: operations,
 * weighted; a reshape costs nothing at run time and weighs least. */
#include "passes/simplify_impl.h"

#include <string.h>

static const kt_type *operand_type(const kt_simplify *s, const kt_node_info *node, uint32_t i) {
    return kt_graph_type(s->graph, node->operands[i]);
}

static bool all_zero(const kt_simplify *s, const kt_dims *dims) {
    for (uint32_t i = 0; i < dims->count; i++)
        if (!kt_dim_equals(s->graph->dims, dims->at[i], 0)) return false;
    return true;
}

static bool all_equal(const kt_ints *ints, int64_t value) {
    for (uint32_t i = 0; i < ints->count; i++)
        if (ints->at[i] != value) return false;
    return true;
}

/* reshape(x) to x's shape → x; reshape(reshape(x)) → reshape(x) */
static kt_value reshape_reshape(kt_simplify *s, const kt_node_info *node) {
    if (kt_type_equal(operand_type(s, node, 0), &s->type)) return node->operands[0];
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_reshape);
    return inner ? kt_build_reshape(s->builder, inner->operands[0], s->type.rank, s->type.dims) : 0;
}

/* reshape(broadcast(scalar)) → broadcast(scalar) */
static kt_value reshape_spread(kt_simplify *s, const kt_node_info *node) {
    if (!kt_simplify_operand(s, node, 0, KT_OP_broadcast)) return 0;
    return kt_simplify_respread(s, node->operands[0], s->type.rank, s->type.dims);
}

/* transpose(x) that leaves all axes → x; that only moves axes of size 1 → reshape(x) */
static kt_value transpose_nothing(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_transpose *attrs = node->attrs;
    int64_t last = -1;
    bool still = true;
    for (uint32_t i = 0; i < attrs->axes.count; i++) {
        still = still && attrs->axes.at[i] == (int64_t)i;
        if (kt_dim_equals(s->graph->dims, s->type.dims[i], 1)) continue;
        if (attrs->axes.at[i] < last) return 0;
        last = attrs->axes.at[i];
    }
    if (still) return node->operands[0];
    return kt_build_reshape(s->builder, node->operands[0], s->type.rank, s->type.dims);
}

/* transpose(transpose(x)) → transpose(x) */
static kt_value transpose_transpose(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_transpose);
    if (!inner) return 0;
    const kt_ints *outer_axes = &((const kt_attrs_transpose *)node->attrs)->axes;
    const kt_ints *inner_axes = &((const kt_attrs_transpose *)inner->attrs)->axes;
    int64_t axes[KT_MAX_RANK];
    for (uint32_t i = 0; i < outer_axes->count; i++) axes[i] = inner_axes->at[outer_axes->at[i]];
    return kt_build_transpose(s->builder, inner->operands[0], axes);
}

/* transpose(broadcast(x)) → broadcast(x), where x's axes stay in order. Measure: views. */
static kt_value transpose_broadcast(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_broadcast);
    if (!inner) return 0;
    const kt_ints *spread = &((const kt_attrs_broadcast *)inner->attrs)->axes;
    const kt_ints *moved = &((const kt_attrs_transpose *)node->attrs)->axes;
    int64_t axes[KT_MAX_RANK];
    uint32_t found = 0;
    for (uint32_t i = 0; i < moved->count; i++)
        for (uint32_t k = 0; k < spread->count; k++)
            if (spread->at[k] == moved->at[i]) {
                if (k != found) return 0;
                axes[found++] = i;
            }
    return kt_build_broadcast(s->builder, inner->operands[0], s->type.rank, s->type.dims, axes);
}

/* broadcast(x) to x's shape → x; that adds axes of size 1 only → reshape(x) */
static kt_value broadcast_nothing(kt_simplify *s, const kt_node_info *node) {
    const kt_type *from = operand_type(s, node, 0);
    const kt_ints *axes = &((const kt_attrs_broadcast *)node->attrs)->axes;
    if (kt_type_equal(from, &s->type)) return node->operands[0];
    uint32_t k = 0;
    for (int i = 0; i < s->type.rank; i++) {
        bool own = k < axes->count && axes->at[k] == i;
        if (own ? from->dims[k] != s->type.dims[i] : !kt_dim_equals(s->graph->dims, s->type.dims[i], 1))
            return 0;
        k += own;
    }
    return kt_build_reshape(s->builder, node->operands[0], s->type.rank, s->type.dims);
}

/* broadcast(broadcast(x)) → broadcast(x) */
static kt_value broadcast_broadcast(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_broadcast);
    if (!inner) return 0;
    const kt_ints *outer_axes = &((const kt_attrs_broadcast *)node->attrs)->axes;
    const kt_ints *inner_axes = &((const kt_attrs_broadcast *)inner->attrs)->axes;
    int64_t axes[KT_MAX_RANK];
    for (uint32_t i = 0; i < inner_axes->count; i++) axes[i] = outer_axes->at[inner_axes->at[i]];
    return kt_build_broadcast(s->builder, inner->operands[0], s->type.rank, s->type.dims, axes);
}

/* broadcast(reshape(x)) → broadcast(x), where the reshape only adds axes of size 1 */
static kt_value broadcast_reshape(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_reshape);
    if (!inner) return 0;
    const kt_type *x = kt_graph_type(s->graph, inner->operands[0]), *shaped = operand_type(s, node, 0);
    const kt_ints *outer_axes = &((const kt_attrs_broadcast *)node->attrs)->axes;
    int64_t axes[KT_MAX_RANK];
    int k = 0;
    for (int i = 0; i < shaped->rank; i++) {
        if (k < x->rank && x->dims[k] == shaped->dims[i])
            axes[k++] = outer_axes->at[i];
        else if (!kt_dim_equals(s->graph->dims, shaped->dims[i], 1))
            return 0;
    }
    if (k < x->rank) return 0;
    return kt_build_broadcast(s->builder, inner->operands[0], s->type.rank, s->type.dims, axes);
}

/* a constant of equal elements → broadcast(scalar). Measure: bytes of constants. */
static kt_value constant_alike(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_constant *attrs = node->attrs;
    const char *data = attrs->literal.data;
    size_t size = kt_dtype_bytes(s->type.dtype), bytes = attrs->literal.bytes;
    if (s->type.rank == 0 || bytes <= size || memcmp(data, data + size, bytes - size) != 0) return 0;
    const kt_type scalar = kt_type_scalar(s->type.dtype);
    return kt_build_broadcast(s->builder, kt_build_constant(s->builder, &scalar, data), s->type.rank,
                              s->type.dims, NULL);
}

/* slice(x) of all of x → x; slice(slice(x)) → slice(x), of steps 1 */
static kt_value slice_slice(kt_simplify *s, const kt_node_info *node) {
    kt_dim_pool *dims = s->graph->dims;
    const kt_attrs_slice *outer = node->attrs;
    if (all_equal(&outer->strides, 1) && kt_type_equal(operand_type(s, node, 0), &s->type))
        return node->operands[0];
    const kt_node_info *found = kt_simplify_operand(s, node, 0, KT_OP_slice);
    if (!found) return 0;
    const kt_attrs_slice *inner = found->attrs;
    if (!all_equal(&inner->strides, 1)) return 0;
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    for (int i = 0; i < s->type.rank; i++) {
        start[i] = kt_dim_add(dims, inner->start.at[i], outer->start.at[i]);
        limit[i] = kt_dim_add(dims, inner->start.at[i], outer->limit.at[i]);
    }
    return kt_build_slice(s->builder, found->operands[0], start, limit, outer->strides.at);
}

/* pad(x) by nothing → x; pad(pad(x)) → pad(x), of one fill, with nothing between */
static kt_value pad_pad(kt_simplify *s, const kt_node_info *node) {
    kt_dim_pool *dims = s->graph->dims;
    const kt_attrs_pad *outer = node->attrs;
    double fill = 0, inner_fill = 0;
    if (all_zero(s, &outer->low) && all_zero(s, &outer->high) && all_equal(&outer->interior, 0))
        return node->operands[0];
    const kt_node_info *found = kt_simplify_operand(s, node, 0, KT_OP_pad);
    if (!found || !kt_pass_splat(s->graph, node->operands[1], &fill) ||
        !kt_pass_splat(s->graph, found->operands[1], &inner_fill) || fill != inner_fill)
        return 0;
    const kt_attrs_pad *inner = found->attrs;
    if (!all_equal(&outer->interior, 0) || !all_equal(&inner->interior, 0)) return 0;
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK];
    for (int i = 0; i < s->type.rank; i++) {
        low[i] = kt_dim_add(dims, inner->low.at[i], outer->low.at[i]);
        high[i] = kt_dim_add(dims, inner->high.at[i], outer->high.at[i]);
    }
    return kt_build_pad(s->builder, found->operands[0], found->operands[1], low, high, outer->interior.at);
}

/* The axis along which x is padded, by zeros and nothing between; -1: not such a pad. */
static int padded_axis(const kt_simplify *s, const kt_node_info *pad) {
    const kt_attrs_pad *attrs = pad->attrs;
    int found = -1;
    if (!kt_simplify_is(s, pad->operands[1], 0) || !all_equal(&attrs->interior, 0)) return -1;
    for (int axis = 0; axis < s->type.rank; axis++) {
        if (kt_dim_equals(s->graph->dims, attrs->low.at[axis], 0) &&
            kt_dim_equals(s->graph->dims, attrs->high.at[axis], 0))
            continue;
        if (found >= 0) return -1;
        found = axis;
    }
    return found;
}

/* pad(x) + pad(y) by zeros, where y begins behind x or x behind y → pad(concat(x, y)) */
static kt_value add_pads(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *pads[] = {kt_simplify_operand(s, node, 0, KT_OP_pad),
                                  kt_simplify_operand(s, node, 1, KT_OP_pad)};
    if (!pads[0] || !pads[1]) return 0;
    int axis = padded_axis(s, pads[0]);
    if (axis < 0 || axis != padded_axis(s, pads[1])) return 0;
    for (int first = 0; first < 2; first++) {
        const kt_node_info *x = pads[first], *y = pads[!first];
        const kt_attrs_pad *before = x->attrs, *behind = y->attrs;
        kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK];
        if (behind->low.at[axis] !=
            kt_dim_add(s->graph->dims, before->low.at[axis], operand_type(s, x, 0)->dims[axis]))
            continue;
        for (int i = 0; i < s->type.rank; i++) {
            low[i] = before->low.at[i];
            high[i] = behind->high.at[i];
        }
        kt_value parts[] = {x->operands[0], y->operands[0]}, zero = x->operands[1];
        return kt_build_pad(s->builder, kt_build_concat(s->builder, parts, 2, axis), zero, low, high,
                            before->interior.at);
    }
    return 0;
}

/* concat(x) → x; concat(a, concat(b, c)) → concat(a, b, c) along one axis */
static kt_value concat_concat(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_concat *attrs = node->attrs;
    if (node->operand_count == 1) return node->operands[0];
    KT_VECTOR(kt_value) parts = {0};
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *inner = kt_simplify_operand(s, node, i, KT_OP_concat);
        if (inner && ((const kt_attrs_concat *)inner->attrs)->axis == attrs->axis) {
            for (uint32_t k = 0; k < inner->operand_count; k++)
                KT_PUSH(s->graph->arena, &parts, inner->operands[k]);
        } else {
            KT_PUSH(s->graph->arena, &parts, node->operands[i]);
        }
    }
    if (parts.count == node->operand_count) return 0;
    return kt_build_concat(s->builder, parts.at, parts.count, (int)attrs->axis);
}

/* reverse(x) along axes of size 1 → x; reverse(reverse(x)) along the same → x */
static kt_value reverse_reverse(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_reverse *attrs = node->attrs;
    bool nothing = true;
    for (uint32_t i = 0; i < attrs->axes.count; i++)
        nothing = nothing && kt_dim_equals(s->graph->dims, s->type.dims[attrs->axes.at[i]], 1);
    if (nothing) return node->operands[0];
    const kt_node_info *inner = kt_simplify_operand(s, node, 0, KT_OP_reverse);
    return inner && kt_attrs_equal(KT_OP_reverse, attrs, inner->attrs) ? inner->operands[0] : 0;
}

/* reduce(x) along no axis or axes of size 1 → reshape(x) */
static kt_value reduce_nothing(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_reduce *attrs = node->attrs;
    for (uint32_t i = 0; i < attrs->axes.count; i++)
        if (!kt_dim_equals(s->graph->dims, operand_type(s, node, 0)->dims[attrs->axes.at[i]], 1)) return 0;
    return kt_build_reshape(s->builder, node->operands[0], s->type.rank, s->type.dims);
}

/* reduce(reduce(x)) → reduce(x), of one kind; not where each would round to 16 bits */
static kt_value reduce_reduce(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_reduce *outer = node->attrs;
    const kt_node_info *found = kt_simplify_operand(s, node, 0, KT_OP_reduce);
    if (!found || s->type.dtype == KT_F16 || s->type.dtype == KT_BF16) return 0;
    const kt_attrs_reduce *inner = found->attrs;
    if (inner->kind != outer->kind) return 0;
    int64_t axes[KT_MAX_RANK];
    uint32_t count = 0, inner_at = 0, outer_at = 0;
    int64_t left = 0; /* position among the axes that the inner one leaves */
    for (int64_t i = 0; i < kt_graph_type(s->graph, found->operands[0])->rank; i++) {
        if (inner_at < inner->axes.count && inner->axes.at[inner_at] == i) {
            axes[count++] = i;
            inner_at++;
        } else {
            if (outer_at < outer->axes.count && outer->axes.at[outer_at] == left) {
                axes[count++] = i;
                outer_at++;
            }
            left++;
        }
    }
    return kt_build_reduce(s->builder, found->operands[0], outer->kind, count, axes);
}

/* conv(x) with a window of one element that moves by one → dot_general(x). Measure: a conv weighs more. */
static kt_value conv_pointwise(kt_simplify *s, const kt_node_info *node) {
    const kt_attrs_conv *conv = node->attrs;
    const kt_type window = *operand_type(s, node, 1);
    uint32_t space = conv->strides.count;
    if (conv->panel || conv->groups != 1 || !all_equal(&conv->strides, 1) ||
        !all_equal(&conv->input_dilation, 1) || !all_zero(s, &conv->low) || !all_zero(s, &conv->high))
        return 0;
    for (uint32_t i = 0; i < space; i++)
        if (!kt_dim_equals(s->graph->dims, window.dims[i], 1)) return 0;
    kt_attrs_dot_general dot = {
        .lhs_contract = {1, {space + 1}}, .rhs_contract = {1, {0}}, .wide = conv->wide};
    kt_value matrix = kt_build_reshape(s->builder, node->operands[1], 2, &window.dims[space]);
    return kt_build_dot_general(s->builder, node->operands[0], matrix, &dot);
}

// clang-format off
const kt_rule kt_rules_shape[] = {
    {"reshape_reshape",       KT_OP_reshape,     reshape_reshape},
    {"reshape_spread",        KT_OP_reshape,     reshape_spread},
    {"transpose_nothing",     KT_OP_transpose,   transpose_nothing},
    {"transpose_transpose",   KT_OP_transpose,   transpose_transpose},
    {"transpose_broadcast",   KT_OP_transpose,   transpose_broadcast},
    {"broadcast_nothing",     KT_OP_broadcast,   broadcast_nothing},
    {"broadcast_broadcast",   KT_OP_broadcast,   broadcast_broadcast},
    {"broadcast_reshape",     KT_OP_broadcast,   broadcast_reshape},
    {"constant_alike",        KT_OP_constant,    constant_alike},
    {"slice_slice",           KT_OP_slice,       slice_slice},
    {"pad_pad",               KT_OP_pad,         pad_pad},
    {"add_pads",              KT_OP_add,         add_pads},
    {"concat_concat",         KT_OP_concat,      concat_concat},
    {"reverse_reverse",       KT_OP_reverse,     reverse_reverse},
    {"reduce_nothing",        KT_OP_reduce,      reduce_nothing},
    {"reduce_reduce",         KT_OP_reduce,      reduce_reduce},
    {"conv_pointwise",        KT_OP_conv,        conv_pointwise},
    {NULL},
};
// clang-format on
