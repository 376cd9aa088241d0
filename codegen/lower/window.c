/* Moving windows: the loops over a window's indices that meet the input, and reduce_window by means of them.
 *
 * A window that is inside everywhere is walked whole, and expanded if it is small. Else, where the output
 * index is one number, the loop's bounds are the part of the window that lies inside the input, so that
 * nothing is masked. Where lanes stand along a windowed axis, the whole window is walked and lanes outside
 * are masked. */
#include "codegen/lower/lower_impl.h"

enum { MOST_UNROLLED = 5 };

static kt_reg at_most(kt_lower *lower, kt_reg x, kt_reg bound) {
    return kt_loops_index(lower->loops, KT_INDEX_MIN, x, bound);
}

static kt_reg not_negative(kt_lower *lower, kt_reg x) {
    return kt_loops_index(lower->loops, KT_INDEX_MAX, x, kt_loops_int(lower->loops, 0));
}

/* ceil(max(x, 0) / by) */
static kt_reg divide_up(kt_lower *lower, kt_reg x, int64_t by) {
    kt_reg sum = kt_loops_index(lower->loops, KT_INDEX_ADD, not_negative(lower, x),
                                kt_loops_int(lower->loops, by - 1));
    return kt_loops_index(lower->loops, KT_INDEX_DIV, sum, kt_loops_int(lower->loops, by));
}

/* The part of the window inside: start + w * dilation in [0, end). */
static void clip_window(kt_lower *lower, const kt_window_axis *axis, kt_reg start, kt_reg end,
                        kt_reg *out_first, kt_reg *out_last) {
    kt_loops *loops = lower->loops;
    kt_reg window = kt_loops_dim(loops, axis->window), zero = kt_loops_int(loops, 0);
    bool padded = !kt_dim_equals(lower->dims, axis->low, 0);
    *out_first =
        padded ? divide_up(lower, kt_loops_index(loops, KT_INDEX_SUB, zero, start), axis->dilation) : zero;
    *out_last = at_most(
        lower, divide_up(lower, kt_loops_index(loops, KT_INDEX_SUB, end, start), axis->dilation), window);
}

kt_window_turn kt_window_begin(kt_lower *lower, const kt_window_axis *axis, kt_axis_index output, int lanes) {
    kt_loops *loops = lower->loops;
    kt_window_turn turn = {.blocks = 1};
    kt_reg zero = kt_loops_int(loops, 0), minus = kt_loops_int(loops, -1);
    kt_reg low = kt_loops_dim(loops, axis->low), extent = kt_loops_dim(loops, axis->extent);
    kt_axis_index start = kt_axis_scale(lower, output, kt_dim_const(lower->dims, axis->stride), lanes);
    start = kt_axis_add(lower, start, kt_axis_at(kt_loops_index(loops, KT_INDEX_SUB, zero, low), 0), lanes);
    bool inside = axis->input_dilation == 1 && kt_dim_equals(lower->dims, axis->low, 0) && axis->inside;
    bool varies = kt_axis_varies(lower, output);
    kt_reg first = zero, last = kt_loops_dim(loops, axis->window);
    if (!varies && !inside) {
        kt_dim dilated =
            kt_dim_add_const(lower->dims,
                             kt_dim_mul_const(lower->dims, kt_dim_add_const(lower->dims, axis->extent, -1),
                                              axis->input_dilation),
                             1);
        clip_window(lower, axis, start.at, kt_loops_dim(loops, dilated), &first, &last);
    }
    int64_t count;
    bool small = inside && kt_dim_is_const(lower->dims, axis->window, &count) && count <= MOST_UNROLLED;
    turn.window =
        small ? kt_lower_unroll(lower, count, "window") : kt_lower_begin(lower, first, last, 1, "window");
    kt_reg step = kt_loops_index(loops, KT_INDEX_MUL, turn.window, kt_loops_int(loops, axis->dilation));
    turn.input = kt_axis_add(lower, start, kt_axis_at(step, 0), lanes);
    if (inside) return turn;
    kt_reg at = kt_axis_lanes(lower, turn.input, lanes), valid = 0;
    if (varies) valid = kt_loops_index(loops, KT_INDEX_LT, minus, at);
    if (axis->input_dilation != 1) {
        kt_reg apart = kt_loops_int(loops, axis->input_dilation);
        kt_reg clamped = not_negative(lower, at);
        kt_reg rest = kt_loops_index(loops, KT_INDEX_MOD, clamped, apart);
        valid = kt_lower_and(lower, valid, kt_loops_index(loops, KT_INDEX_EQ, rest, zero));
        at = kt_loops_index(loops, KT_INDEX_DIV, clamped, apart);
        turn.input = kt_axis_at(at, 0);
    }
    if (varies) valid = kt_lower_and(lower, valid, kt_loops_index(loops, KT_INDEX_LT, at, extent));
    if (valid && !varies) {
        kt_lower_if(lower, valid);
        turn.blocks = 2;
    } else {
        turn.valid = valid;
    }
    return turn;
}

kt_reg kt_lower_reduce_window(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    const kt_attrs_reduce_window *attrs = node->attrs;
    const kt_type *type = kt_graph_type(lower->graph, node->operands[0]);
    kt_loops *loops = lower->loops;
    kt_dtype dtype = kt_accumulator(type->dtype);
    kt_position from = *at;
    int blocks = 0;
    kt_reg valid = 0;
    kt_cell cell = kt_loops_cell(loops, "sum", dtype, at->lanes, 1);
    kt_loops_set(loops, cell, 0, kt_identity(lower, attrs->kind, dtype, at->lanes));
    for (int i = 0; i < type->rank; i++) {
        bool still = attrs->window.at[i] == 1 && attrs->strides.at[i] == 1 && type->dims[i] == at->dims[i];
        if (still) continue;
        kt_position_isolate(lower, &from, i);
        kt_window_axis axis = {.window = kt_dim_const(lower->dims, attrs->window.at[i]),
                               .stride = attrs->strides.at[i],
                               .dilation = attrs->dilation.at[i],
                               .input_dilation = 1,
                               .low = attrs->low.at[i],
                               .inside = kt_dim_equals(lower->dims, attrs->high.at[i], 0),
                               .extent = type->dims[i]};
        kt_window_turn turn = kt_window_begin(lower, &axis, from.at[i], at->lanes);
        from.at[i] = turn.input;
        blocks += turn.blocks;
        valid = kt_lower_and(lower, valid, turn.valid);
    }
    for (int i = 0; i < type->rank; i++) from.dims[i] = type->dims[i];
    from.mask = kt_lower_and(lower, from.mask, valid);
    kt_reg next = kt_lower_value(lower, node->operands[0], &from);
    next = kt_loops_apply(loops, KT_OP_cast, dtype, next, 0, 0);
    if (valid)
        next = kt_loops_apply(loops, KT_OP_select, dtype, valid, next,
                              kt_identity(lower, attrs->kind, dtype, 1));
    kt_loops_set(loops, cell, 0, kt_combine(lower, attrs->kind, kt_loops_get(loops, cell, 0), next));
    while (blocks-- > 0) kt_lower_end(lower);
    kt_reg sum = kt_loops_get(loops, cell, 0);
    return kt_loops_apply(loops, KT_OP_cast, type->dtype, sum, 0, 0);
}
