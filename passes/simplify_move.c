/* Rules that move views: broadcasts, reshapes and transposes travel towards the results, past operations that
 * do not care, so that operations work on fewer elements and views meet and cancel.
 *
 * Channels-first models are full of transposes: each convolution stands between two. Moved down past
 * activations and normalisations, the second of one meets the first of the next. A transpose moves only if
 * all that use its operand's transposed form are operations that it can move past, so none is ever doubled.
 */
#include "passes/simplify_impl.h"

enum { MAX_OPERANDS = 3 };

static const kt_node_info *operand_broadcast(const kt_simplify *s, const kt_node_info *node, uint32_t i) {
    return kt_simplify_operand(s, node, i, KT_OP_broadcast);
}

/* f(broadcast(x), broadcast(y)) → broadcast(f(x, y)), of like broadcasts; scalars fit any.
 * Measure: elements computed. */
static kt_value narrow(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *model = NULL; /* the broadcast of more than a scalar that all others must be like */
    double number = 0;
    if (s->type.rank == 0) return 0;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *broadcast = operand_broadcast(s, node, i);
        if (!broadcast) {
            if (!kt_pass_splat(s->graph, node->operands[i], &number)) return 0;
        } else if (kt_graph_type(s->graph, broadcast->operands[0])->rank > 0) {
            if (model && (!kt_attrs_equal(KT_OP_broadcast, model->attrs, broadcast->attrs))) return 0;
            if (!model) model = broadcast;
        }
    }
    kt_type small = model ? *kt_graph_type(s->graph, model->operands[0]) : kt_type_scalar(s->type.dtype);
    const kt_attrs_broadcast spread =
        model ? *(const kt_attrs_broadcast *)model->attrs : (kt_attrs_broadcast){0};
    for (uint32_t i = 0; model && i < node->operand_count; i++) {
        const kt_node_info *broadcast = operand_broadcast(s, node, i);
        if (!broadcast) continue;
        const kt_type *type = kt_graph_type(s->graph, broadcast->operands[0]);
        for (int k = 0; k < type->rank; k++)
            if (type->dims[k] != small.dims[k]) return 0;
    }
    kt_value operands[MAX_OPERANDS];
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *broadcast = operand_broadcast(s, node, i);
        bool scalar = !broadcast || kt_graph_type(s->graph, broadcast->operands[0])->rank == 0;
        operands[i] = scalar ? kt_simplify_respread(s, node->operands[i], small.rank, small.dims)
                             : broadcast->operands[0];
    }
    kt_value value = kt_pass_build_like(s->builder, node, operands, node->attrs);
    return kt_build_broadcast(s->builder, value, s->type.rank, s->type.dims, spread.axes.at);
}

/* How many leading, or trailing, dimensions two shapes share. */
static int common_dims(const kt_type *a, const kt_type *b, bool trailing) {
    int least = a->rank < b->rank ? a->rank : b->rank, i = 0;
    while (i < least &&
           (trailing ? a->dims[a->rank - 1 - i] == b->dims[b->rank - 1 - i] : a->dims[i] == b->dims[i]))
        i++;
    return i;
}

/* small [outer…, columns], which is to be the last axis of before several times: [outer…, times * columns];
 * 0: that is not so, or takes many columns. Makes axes, where it is broadcast to in before, end in that
 * axis. */
static kt_value repeat_columns(kt_simplify *s, kt_value operand, const kt_type *before, int64_t *axes) {
    enum { MOST_COLUMNS = 64 };
    const kt_type small = *kt_graph_type(s->graph, operand);
    int64_t columns, wide;
    int last = small.rank - 1;
    if (!kt_dim_is_const(s->graph->dims, small.dims[last], &columns) || columns < 1 ||
        !kt_dim_is_const(s->graph->dims, before->dims[before->rank - 1], &wide) || wide > MOST_COLUMNS ||
        wide % columns != 0 || small.rank == KT_MAX_RANK)
        return 0;
    kt_dim shape[KT_MAX_RANK];
    int64_t own[KT_MAX_RANK];
    for (int i = 0; i < small.rank; i++) {
        shape[i] = small.dims[i];
        own[i] = i;
    }
    shape[last] = kt_dim_const(s->graph->dims, wide / columns);
    shape[last + 1] = small.dims[last];
    own[last] = last + 1;
    operand = kt_build_broadcast(s->builder, operand, small.rank + 1, shape, own);
    shape[last] = before->dims[before->rank - 1];
    axes[last] = before->rank - 1;
    return kt_build_reshape(s->builder, operand, small.rank, shape);
}

/* broadcast, whose result a reshape from before made, under that shape: its operand's axes that the reshape
 * changed are all of them, or none, or the last one alone, which is repeated; else 0. */
static kt_value unreshape_broadcast(kt_simplify *s, const kt_node_info *broadcast, const kt_type *before,
                                    const kt_type *after) {
    const kt_ints *axes = &((const kt_attrs_broadcast *)broadcast->attrs)->axes;
    const kt_type small = *kt_graph_type(s->graph, broadcast->operands[0]);
    int leading = common_dims(before, after, false), trailing = common_dims(before, after, true);
    int least = before->rank < after->rank ? before->rank : after->rank;
    if (leading + trailing > least) trailing = least - leading;
    int changed = after->rank - leading - trailing, count = 0, rank = 0;
    kt_dim shape[KT_MAX_RANK];
    int64_t moved[KT_MAX_RANK];
    for (uint32_t i = 0; i < axes->count; i++) {
        int axis = (int)axes->at[i];
        bool inside = axis >= leading && axis < after->rank - trailing;
        if (inside && small.dims[i] != after->dims[axis]) return 0;
        if (inside && count++ > 0) continue;
        for (int k = leading; inside && k < before->rank - trailing; k++) {
            shape[rank] = before->dims[k];
            moved[rank++] = k;
        }
        if (inside) continue;
        shape[rank] = small.dims[i];
        moved[rank++] = axis < leading ? axis : axis + before->rank - after->rank;
    }
    kt_value operand = broadcast->operands[0];
    bool ends_apart = trailing == 0 && leading < before->rank; /* the changed axes are the last ones */
    if (count == 1 && changed > 1 && ends_apart && axes->at[axes->count - 1] == after->rank - 1) {
        operand = repeat_columns(s, operand, before, moved);
        return operand ? kt_build_broadcast(s->builder, operand, before->rank, before->dims, moved) : 0;
    }
    if (count != 0 && count != changed) return 0;
    if (count > 0) operand = kt_build_reshape(s->builder, operand, rank, shape);
    return kt_build_broadcast(s->builder, operand, before->rank, before->dims, moved);
}

/* value under the shape before a reshape from before to after, if that is a broadcast that the reshape leaves
 * whole or the same reshape; else 0. */
static kt_value unreshape(kt_simplify *s, kt_value value, const kt_type *before, const kt_type *after) {
    const kt_node_info *found = kt_graph_definition(s->graph, value);
    kt_value spread = kt_simplify_respread(s, value, before->rank, before->dims);
    if (spread || !found) return spread;
    if (found->op == KT_OP_reshape) {
        const kt_type *type = kt_graph_type(s->graph, found->operands[0]);
        return type->rank == before->rank && common_dims(type, before, false) == before->rank
                   ? found->operands[0]
                   : 0;
    }
    return found->op == KT_OP_broadcast ? unreshape_broadcast(s, found, before, after) : 0;
}

/* f(reshape(x), y) → reshape(f(x, y')). Measure: nodes below reshapes. */
static kt_value reshape_down(kt_simplify *s, const kt_node_info *node) {
    kt_value operands[MAX_OPERANDS];
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *found = kt_simplify_operand(s, node, i, KT_OP_reshape);
        if (!found) continue;
        const kt_type before = *kt_graph_type(s->graph, found->operands[0]);
        for (uint32_t k = 0; k < node->operand_count; k++)
            if (!(operands[k] = unreshape(s, node->operands[k], &before, &s->type))) return 0;
        kt_value value = kt_pass_build_like(s->builder, node, operands, node->attrs);
        return kt_build_reshape(s->builder, value, s->type.rank, s->type.dims);
    }
    return 0;
}

/* value with its axes put back where they were before a transpose by axes, if that costs nothing; else 0. */
static kt_value untranspose(kt_simplify *s, kt_value value, const kt_ints *axes) {
    const kt_node_info *found = kt_graph_definition(s->graph, value);
    const kt_type type = *kt_graph_type(s->graph, value);
    if (!found) return 0;
    if (found->op == KT_OP_transpose) {
        const kt_ints *own = &((const kt_attrs_transpose *)found->attrs)->axes;
        for (uint32_t i = 0; i < axes->count; i++)
            if (own->at[i] != axes->at[i]) return 0;
        return found->operands[0];
    }
    kt_dim dims[KT_MAX_RANK] = {0};
    for (uint32_t i = 0; i < axes->count; i++) dims[axes->at[i]] = type.dims[i];
    kt_value spread = kt_simplify_respread(s, value, type.rank, dims);
    if (spread || found->op != KT_OP_broadcast) return spread;
    const kt_ints *own = &((const kt_attrs_broadcast *)found->attrs)->axes;
    int64_t moved[KT_MAX_RANK];
    for (uint32_t i = 0; i < own->count; i++) {
        moved[i] = axes->at[own->at[i]];
        if (i > 0 && moved[i] <= moved[i - 1]) return 0;
    }
    return kt_build_broadcast(s->builder, found->operands[0], type.rank, dims, moved);
}

/* f(transpose(x), y) → transpose(f(x, y')), for y a like transpose or a broadcast.
 * Measure: nodes below transposes. */
static kt_value transpose_down(kt_simplify *s, const kt_node_info *node) {
    kt_value operands[MAX_OPERANDS];
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *found = kt_simplify_operand(s, node, i, KT_OP_transpose);
        if (!found) continue;
        const kt_ints axes = ((const kt_attrs_transpose *)found->attrs)->axes;
        for (uint32_t k = 0; k < node->operand_count; k++) {
            bool transposed = kt_simplify_operand(s, node, k, KT_OP_transpose) != NULL;
            if (transposed && !kt_simplify_moves(s, node->operands[k])) return 0;
            if (!(operands[k] = untranspose(s, node->operands[k], &axes))) return 0;
        }
        return kt_build_transpose(s->builder, kt_pass_build_like(s->builder, node, operands, node->attrs),
                                  axes.at);
    }
    return 0;
}

static void put_back_dims(const kt_ints *axes, const kt_dims *from, kt_dims *to) {
    to->count = from->count;
    for (uint32_t i = 0; i < axes->count; i++) to->at[axes->at[i]] = from->at[i];
}

static void put_back_ints(const kt_ints *axes, const kt_ints *from, kt_ints *to) {
    to->count = from->count;
    for (uint32_t i = 0; i < axes->count; i++) to->at[axes->at[i]] = from->at[i];
}

/* reduce_window(transpose(x)) → transpose(reduce_window(x)). Measure: nodes below transposes. */
static kt_value transpose_below_window(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *found = kt_simplify_operand(s, node, 0, KT_OP_transpose);
    if (!found) return 0;
    const kt_ints axes = ((const kt_attrs_transpose *)found->attrs)->axes;
    const kt_attrs_reduce_window *old = node->attrs;
    kt_attrs_reduce_window attrs = {.kind = old->kind};
    put_back_ints(&axes, &old->window, &attrs.window);
    put_back_ints(&axes, &old->strides, &attrs.strides);
    put_back_ints(&axes, &old->dilation, &attrs.dilation);
    put_back_dims(&axes, &old->low, &attrs.low);
    put_back_dims(&axes, &old->high, &attrs.high);
    return kt_build_transpose(s->builder, kt_build_reduce_window(s->builder, found->operands[0], &attrs),
                              axes.at);
}

/* pad(transpose(x)) → transpose(pad(x)). Measure: nodes below transposes. */
static kt_value transpose_below_pad(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *found = kt_simplify_operand(s, node, 0, KT_OP_transpose);
    if (!found) return 0;
    const kt_ints axes = ((const kt_attrs_transpose *)found->attrs)->axes;
    const kt_attrs_pad *old = node->attrs;
    kt_attrs_pad attrs = {0};
    put_back_dims(&axes, &old->low, &attrs.low);
    put_back_dims(&axes, &old->high, &attrs.high);
    put_back_ints(&axes, &old->interior, &attrs.interior);
    kt_value pad = kt_build_pad(s->builder, found->operands[0], node->operands[1], attrs.low.at,
                                attrs.high.at, attrs.interior.at);
    return kt_build_transpose(s->builder, pad, axes.at);
}

/* concat(transpose(x), transpose(y)) → transpose(concat(x, y)), of like transposes. Measure: views. */
static kt_value transpose_below_concat(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *first = kt_simplify_operand(s, node, 0, KT_OP_transpose);
    if (!first) return 0;
    const kt_ints axes = ((const kt_attrs_transpose *)first->attrs)->axes;
    kt_value *operands = KT_NEW_ARRAY(s->graph->arena, kt_value, node->operand_count);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        const kt_node_info *found = kt_simplify_operand(s, node, i, KT_OP_transpose);
        if (!found) return 0;
        const kt_ints *own = &((const kt_attrs_transpose *)found->attrs)->axes;
        for (uint32_t k = 0; k < axes.count; k++)
            if (own->at[k] != axes.at[k]) return 0;
        operands[i] = found->operands[0];
    }
    int axis = (int)axes.at[((const kt_attrs_concat *)node->attrs)->axis];
    return kt_build_transpose(s->builder, kt_build_concat(s->builder, operands, node->operand_count, axis),
                              axes.at);
}

/* reduce(transpose(x)) → reduce(x), where the axes that stay are in order. Measure: views. */
static kt_value reduce_transpose(kt_simplify *s, const kt_node_info *node) {
    const kt_node_info *found = kt_simplify_operand(s, node, 0, KT_OP_transpose);
    if (!found) return 0;
    const kt_ints *moved = &((const kt_attrs_transpose *)found->attrs)->axes;
    const kt_attrs_reduce *attrs = node->attrs;
    bool gone[KT_MAX_RANK] = {false};
    int64_t axes[KT_MAX_RANK], last = -1;
    uint32_t count = 0, next = 0;
    for (uint32_t i = 0; i < moved->count; i++) {
        if (next < attrs->axes.count && attrs->axes.at[next] == i) {
            gone[moved->at[i]] = true;
            next++;
            continue;
        }
        if (moved->at[i] < last) return 0;
        last = moved->at[i];
    }
    for (uint32_t i = 0; i < moved->count; i++)
        if (gone[i]) axes[count++] = i;
    return kt_build_reduce(s->builder, found->operands[0], attrs->kind, count, axes);
}

// clang-format off
const kt_rule kt_rules_move[] = {
    {"narrow",                 KT_OP_NONE,          narrow},
    {"reshape_down",           KT_OP_NONE,          reshape_down},
    {"transpose_down",         KT_OP_NONE,          transpose_down},
    {"transpose_below_window", KT_OP_reduce_window, transpose_below_window},
    {"transpose_below_pad",    KT_OP_pad,           transpose_below_pad},
    {"transpose_below_concat", KT_OP_concat,        transpose_below_concat},
    {"reduce_transpose",       KT_OP_reduce,        reduce_transpose},
    {NULL},
};
// clang-format on
