/* Views and sources as index arithmetic: a view's value at a position is its operand's value at another. */
#include "codegen/lower/lower_impl.h"

#include "ir/element.h"

#include <string.h>

kt_reg kt_lower_reshape(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    return kt_lower_value(lower, node->operands[0], at);
}

kt_reg kt_lower_transpose(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_transpose *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    int map[KT_MAX_RANK];
    for (int axis = 0; axis < at->rank; axis++) map[axis] = (int)attrs->axes.at[axis];
    kt_position from = kt_position_map(lower, at, map, type->rank, type->dims);
    return kt_lower_value(lower, node->operands[0], &from);
}

kt_reg kt_lower_broadcast(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_broadcast *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    int map[KT_MAX_RANK];
    for (int axis = 0; axis < at->rank; axis++) map[axis] = -1;
    for (int axis = 0; axis < type->rank; axis++)
        if (!kt_dim_equals(lower->dims, type->dims[axis], 1)) map[attrs->axes.at[axis]] = axis;
    kt_position from = kt_position_map(lower, at, map, type->rank, type->dims);
    return kt_lower_value(lower, node->operands[0], &from);
}

kt_reg kt_lower_slice(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_slice *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    kt_position from = *at;
    for (int axis = 0; axis < at->rank; axis++) {
        int64_t stride = attrs->strides.at[axis];
        if (stride == 1 && type->dims[axis] == at->dims[axis]) continue;
        if (stride != 1) kt_position_split(lower, &from, axis);
        kt_dim inner;
        int run = kt_position_lead(lower, &from, axis, &inner);
        kt_dim start = kt_dim_mul(lower->dims, attrs->start.at[axis], inner);
        from.at[run] = kt_axis_scale(lower, from.at[run], kt_dim_const(lower->dims, stride), at->lanes);
        from.at[run] =
            kt_axis_add(lower, from.at[run], kt_axis_at(kt_loops_dim(lower->loops, start), 0), at->lanes);
    }
    memcpy(from.dims, type->dims, sizeof from.dims);
    return kt_lower_value(lower, node->operands[0], &from);
}

kt_reg kt_lower_reverse(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_reverse *attrs = node->attrs;
    kt_position from = *at;
    for (uint32_t i = 0; i < attrs->axes.count; i++) {
        int axis = (int)attrs->axes.at[i];
        kt_position_isolate(lower, &from, axis);
        kt_dim last = kt_dim_add_const(lower->dims, at->dims[axis], -1);
        kt_axis_index turned = kt_axis_scale(lower, from.at[axis], kt_dim_const(lower->dims, -1), at->lanes);
        from.at[axis] =
            kt_axis_add(lower, turned, kt_axis_at(kt_loops_dim(lower->loops, last), 0), at->lanes);
    }
    return kt_lower_value(lower, node->operands[0], &from);
}

/* Adds a condition to a position: to its guard if it has one lane, else to its mask. */
static void require(kt_lower *lower, kt_position *at, kt_reg condition) {
    kt_reg *where = kt_loops_lanes(lower->loops, condition) == 1 ? &at->guard : &at->mask;
    *where = kt_lower_and(lower, *where, condition);
}

/* ---- pad ------------------------------------------------------------------------------------- */

/* Moves the position from the padded axis to the operand's; the conditions under which it is there are
 * required of from, and gathered in *valid. */
static void unpad_axis(kt_lower *lower, kt_position *from, int axis, const kt_node_info *pad, kt_dim extent,
                       kt_reg *valid) {
    const kt_attrs_pad *attrs = pad->attrs;
    kt_loops *loops = lower->loops;
    int64_t between = attrs->interior.at[axis] + 1;
    if (between != 1) kt_position_split(lower, from, axis);
    kt_dim inner;
    int run = kt_position_lead(lower, from, axis, &inner), lanes = from->lanes;
    kt_dim low = kt_dim_mul(lower->dims, attrs->low.at[axis], inner);
    kt_reg shift = kt_loops_dim(loops, kt_dim_mul_const(lower->dims, low, -1));
    kt_axis_index moved = kt_axis_add(lower, from->at[run], kt_axis_at(shift, 0), lanes);
    from->at[run] = moved;
    if (lower->settled == pad) return;
    kt_reg at = kt_axis_lanes(lower, moved, lanes), conditions = 0, minus = kt_loops_int(loops, -1);
    if (!kt_dim_equals(lower->dims, low, 0)) conditions = kt_loops_index(loops, KT_INDEX_LT, minus, at);
    if (between != 1) {
        kt_reg step = kt_loops_int(loops, between);
        kt_reg clamped = kt_loops_index(loops, KT_INDEX_MAX, at, kt_loops_int(loops, 0));
        kt_reg rest = kt_loops_index(loops, KT_INDEX_MOD, clamped, step);
        conditions =
            kt_lower_and(lower, conditions, kt_loops_index(loops, KT_INDEX_EQ, rest, kt_loops_int(loops, 0)));
        at = kt_loops_index(loops, KT_INDEX_DIV, clamped, step);
        from->at[run] = kt_axis_at(at, 0);
    }
    if (!kt_dim_equals(lower->dims, attrs->high.at[axis], 0)) {
        kt_reg end = kt_loops_dim(loops, kt_dim_mul(lower->dims, extent, inner));
        conditions = kt_lower_and(lower, conditions, kt_loops_index(loops, KT_INDEX_LT, at, end));
    }
    if (!conditions) return;
    require(lower, from, conditions);
    *valid = kt_lower_and(lower, *valid, conditions);
}

kt_reg kt_lower_pad(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    if (lower->settled == node && lower->settled_part < 0)
        return kt_lower_value(lower, node->operands[1], &(kt_position){.lanes = 1, .guard = at->guard});
    kt_position from = *at;
    kt_reg valid = 0;
    for (int axis = 0; axis < at->rank; axis++)
        if (at->dims[axis] != type->dims[axis])
            unpad_axis(lower, &from, axis, node, type->dims[axis], &valid);
    memcpy(from.dims, type->dims, sizeof from.dims);
    kt_reg inside = kt_lower_value(lower, node->operands[0], &from);
    if (!valid) return inside;
    kt_reg fill = kt_lower_value(lower, node->operands[1], &(kt_position){.lanes = 1, .guard = at->guard});
    return kt_loops_apply(lower->loops, KT_OP_select, type->dtype, valid, inside, fill);
}

/* ---- concat ---------------------------------------------------------------------------------- */

static kt_reg concat_part(kt_lower *lower, const kt_node_info *node, const kt_position *at, uint32_t part,
                          int run, kt_dim begin, kt_reg condition) {
    const kt_type *type = kt_graph_type(lower->graph, node->operands[part]);
    kt_position from = *at;
    kt_reg shift = kt_loops_dim(lower->loops, kt_dim_mul_const(lower->dims, begin, -1));
    from.at[run] = kt_axis_add(lower, at->at[run], kt_axis_at(shift, 0), at->lanes);
    memcpy(from.dims, type->dims, sizeof from.dims);
    if (condition) require(lower, &from, condition);
    return kt_lower_value(lower, node->operands[part], &from);
}

kt_reg kt_lower_concat(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_concat *attrs = node->attrs;
    kt_dtype dtype = kt_graph_type(lower->graph, node->first_result)->dtype;
    kt_position whole = *at;
    kt_dim inner, begin = kt_dim_const(lower->dims, 0);
    int run = kt_position_lead(lower, &whole, (int)attrs->axis, &inner);
    kt_reg index = kt_axis_lanes(lower, whole.at[run], at->lanes), result = 0;
    for (uint32_t part = 0; part < node->operand_count; part++) {
        kt_dim extent = kt_graph_type(lower->graph, node->operands[part])->dims[attrs->axis];
        kt_dim end = kt_dim_add(lower->dims, begin, kt_dim_mul(lower->dims, extent, inner));
        if (lower->settled == node) {
            if (lower->settled_part == (int)part)
                return concat_part(lower, node, &whole, part, run, begin, 0);
        } else if (!kt_dim_equals(lower->dims, extent, 0)) {
            kt_reg before = kt_loops_int(lower->loops, -1);
            before = kt_loops_index(lower->loops, KT_INDEX_ADD, before, kt_loops_dim(lower->loops, begin));
            kt_reg behind = kt_loops_index(lower->loops, KT_INDEX_LT, before, index);
            kt_reg ahead = kt_loops_index(lower->loops, KT_INDEX_LT, index, kt_loops_dim(lower->loops, end));
            kt_reg here =
                concat_part(lower, node, &whole, part, run, begin, kt_lower_and(lower, behind, ahead));
            result = result ? kt_loops_apply(lower->loops, KT_OP_select, dtype, behind, here, result) : here;
        }
        begin = end;
    }
    return result ? result : kt_loops_const(lower->loops, dtype, 1, 0); /* no element at all */
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* The index as i64, in [0, extent). */
static kt_reg clamp_index(kt_lower *lower, kt_reg index, kt_dim extent) {
    kt_loops *loops = lower->loops;
    kt_reg last = kt_loops_dim(loops, kt_dim_add_const(lower->dims, extent, -1));
    if (kt_loops_dtype(loops, index) == KT_U64) {
        kt_reg bound = kt_loops_apply(loops, KT_OP_cast, KT_U64, last, 0, 0);
        index = kt_loops_apply(loops, KT_OP_minimum, KT_U64, index, bound, 0);
    }
    index = kt_loops_apply(loops, KT_OP_cast, KT_I64, index, 0, 0);
    index = kt_loops_index(loops, KT_INDEX_MIN, index, last);
    return kt_loops_index(loops, KT_INDEX_MAX, index, kt_loops_int(loops, 0));
}

kt_reg kt_lower_gather(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_gather *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    const kt_type *picks = kt_graph_type(lower->graph, node->operands[1]);
    int axis = (int)attrs->axis, batch = (int)attrs->batch_dims, behind = axis + picks->rank - batch;
    int of_operand[KT_MAX_RANK], of_indices[KT_MAX_RANK];
    for (int i = 0; i < at->rank; i++) {
        of_operand[i] = i < axis ? i : i < behind ? -1 : i - behind + axis + 1;
        of_indices[i] = i < batch ? i : i >= axis && i < behind ? i - axis + batch : -1;
    }
    kt_position whole = *at;
    kt_position_split(lower, &whole, axis - 1);
    kt_position_split(lower, &whole, behind - 1);
    kt_position place = kt_position_map(lower, &whole, of_indices, picks->rank, picks->dims);
    kt_position from = kt_position_map(lower, &whole, of_operand, type->rank, type->dims);
    kt_reg index = kt_lower_value(lower, node->operands[1], &place);
    from.merged &= ~(1U << axis | (axis > 0 ? 1U << (axis - 1) : 0));
    from.at[axis] = kt_axis_at(clamp_index(lower, index, type->dims[axis]), 0);
    return kt_lower_value(lower, node->operands[0], &from);
}

/* ---- sources --------------------------------------------------------------------------------- */

kt_reg kt_lower_iota(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_iota *attrs = node->attrs;
    kt_position own = *at;
    kt_position_isolate(lower, &own, (int)attrs->axis);
    kt_reg index = kt_axis_lanes(lower, own.at[attrs->axis], at->lanes);
    return kt_loops_apply(lower->loops, KT_OP_cast, attrs->type.dtype, index, 0, 0);
}

kt_reg kt_lower_size(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    (void)at;
    return kt_loops_dim(lower->loops, ((const kt_attrs_size *)node->attrs)->dim);
}

static kt_reg element(kt_lower *lower, const kt_attrs_constant *attrs, size_t index) {
    kt_dtype dtype = attrs->type.dtype;
    const void *data = attrs->literal.data;
    if (kt_dtype_is_float(dtype))
        return kt_loops_const(lower->loops, dtype, 1, kt_element_float(dtype, data, index));
    return kt_loops_integer(lower->loops, dtype, 1, kt_element_integer(dtype, data, index));
}

/* Constants inside kernels are small, or all of one value: a chain of selects finds an element. */
kt_reg kt_lower_constant(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_constant *attrs = node->attrs;
    int64_t count = kt_type_static_elements(lower->dims, &attrs->type);
    KT_ASSERT(count >= 0);
    if (count == 0) return kt_loops_const(lower->loops, attrs->type.dtype, 1, 0);
    size_t bytes = attrs->literal.bytes / (size_t)count;
    const char *data = attrs->literal.data;
    kt_reg result = element(lower, attrs, 0);
    if (memcmp(data, data + bytes, attrs->literal.bytes - bytes) == 0) return result;
    kt_axis_index linear = kt_position_linear(lower, at);
    kt_reg index = kt_axis_lanes(lower, linear, at->lanes);
    for (int64_t i = 1; i < count; i++) {
        kt_reg here = kt_loops_index(lower->loops, KT_INDEX_EQ, index, kt_loops_int(lower->loops, i));
        result = kt_loops_apply(lower->loops, KT_OP_select, attrs->type.dtype, here,
                                element(lower, attrs, (size_t)i), result);
    }
    return result;
}
