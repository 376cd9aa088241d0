/* Kernels that transpose: what lies side by side in the operand lies far apart in the result. Squares of as
 * many places as a vector has lanes, along the axis that was the operand's last and along the result's last,
 * are read by rows, turned over in registers, and stored by rows. Where an extent is no multiple of a
 * square's, the last one overlaps the one before; but not where the kernel has other operands, since the
 * result may be written over one of them, and so must be made once. Results of so few columns that the
 * smallest square takes all are picked lane by lane out of vectors (expression.c), if these are longer than
 * that. */
#include "codegen/lower/lower_impl.h"

enum { MOST_LANES = 16, LEAST_LANES = 4 };

typedef struct transposed {
    const kt_node_info *node; /* the transpose */
    const kt_type *type;      /* of the result */
    int axis, lanes;          /* the result's axis that was the operand's last; places of a square */
} transposed;

/* The kernel's only view, a transpose of a parameter that changes the last axis, if all else goes element by
 * element. */
static bool find_transpose(const kt_lower *lower, transposed *t) {
    int last = t->type->rank - 1;
    for (uint32_t i = 0; i < lower->kernel->nodes.count; i++) {
        const kt_node_info *node = kt_lower_node(lower, i);
        if (node->op == KT_OP_transpose) {
            const kt_ints *axes = &((const kt_attrs_transpose *)node->attrs)->axes;
            const kt_type *own = kt_graph_type(lower->graph, node->first_result);
            if (t->node || own->rank != t->type->rank || own->dtype == KT_BOOL || own->dtype == KT_STRING)
                return false;
            if (kt_lower_buffer(lower, node->operands[0]) < 0 || axes->at[last] == last) return false;
            for (int axis = 0; axis <= last; axis++) {
                if (own->dims[axis] != t->type->dims[axis]) return false;
                if (axes->at[axis] == last) t->axis = axis;
            }
            t->node = node;
        } else if (node->operand_count > 0 && !kt_op_is(node->op, KT_ELEMENTWISE) &&
                   node->op != KT_OP_broadcast) {
            return false;
        }
    }
    return t->node != NULL;
}

/* The largest square that fits; 0: none does. */
static int square_lanes(const kt_lower *lower, const transposed *t) {
    int64_t high, wide;
    bool overlaps = lower->kernel->params.count == 1;
    int lanes = kt_lower_lanes(lower, 1, t->type->dims[t->type->rank - 1]);
    if (!kt_dim_is_const(lower->dims, t->type->dims[t->axis], &high) ||
        !kt_dim_is_const(lower->dims, t->type->dims[t->type->rank - 1], &wide))
        return 0;
    if (wide <= LEAST_LANES && kt_target_lanes(lower->target, t->type->dtype) > LEAST_LANES) return 0;
    if (lanes > MOST_LANES) lanes = MOST_LANES;
    while (lanes >= LEAST_LANES &&
           (lanes > high || lanes > wide || (!overlaps && (high % lanes != 0 || wide % lanes != 0))))
        lanes /= 2;
    return lanes >= LEAST_LANES ? lanes : 0;
}

/* rows[i], lane k becomes rows[k], lane i. */
static void turn_over(kt_lower *lower, kt_reg *rows, int lanes) {
    for (int run = 1; run < lanes; run *= 2) {
        for (int i = 0; i < lanes; i++) {
            if (i & run) continue;
            kt_reg even = kt_loops_runs(lower->loops, rows[i], rows[i + run], run, false);
            rows[i + run] = kt_loops_runs(lower->loops, rows[i], rows[i + run], run, true);
            rows[i] = even;
        }
    }
}

/* at: the square's first place. */
static void emit_square(kt_lower *lower, const transposed *t, const kt_position *at) {
    const kt_type *from = kt_graph_type(lower->graph, t->node->operands[0]);
    const kt_ints *axes = &((const kt_attrs_transpose *)t->node->attrs)->axes;
    int last = t->type->rank - 1;
    kt_reg rows[MOST_LANES], high = at->at[t->axis].at, wide = at->at[last].at;
    for (int i = 0; i < t->lanes; i++) {
        kt_position read = kt_position_origin(lower, from->rank, from->dims, t->lanes);
        for (int axis = 0; axis <= last; axis++) read.at[axes->at[axis]] = at->at[axis];
        read.at[axes->at[last]] = kt_axis_at(kt_plus_int(lower, wide, i), 0);
        read.at[last] = kt_axis_at(high, 1);
        rows[i] = kt_loops_splat(lower->loops, kt_lower_value(lower, t->node->operands[0], &read), t->lanes);
    }
    turn_over(lower, rows, t->lanes);
    for (int i = 0; i < t->lanes; i++) {
        kt_position write = *at;
        write.lanes = t->lanes;
        write.at[t->axis] = kt_axis_at(kt_plus_int(lower, high, i), 0);
        write.at[last] = kt_axis_at(wide, 1);
        kt_lower_know(lower, t->node->first_result, &write, rows[i]);
        kt_reg value = kt_lower_value(lower, lower->kernel->results.at[0].value, &write);
        kt_reg place = kt_position_linear(lower, &write).at;
        kt_loops_store(lower->loops, lower->kernel->params.count, place,
                       kt_loops_splat(lower->loops, value, t->lanes), 0);
    }
}

/* The first place of square `number` along axis. */
static kt_reg square_begin(kt_lower *lower, const transposed *t, int axis, kt_reg number) {
    kt_dim extent = t->type->dims[axis];
    kt_reg first = kt_loops_index(lower->loops, KT_INDEX_MUL, number, kt_loops_int(lower->loops, t->lanes));
    if (kt_dim_divisor(lower->dims, extent) % t->lanes == 0) return first;
    return kt_loops_index(lower->loops, KT_INDEX_MIN, first,
                          kt_plus_int(lower, kt_loops_dim(lower->loops, extent), -t->lanes));
}

bool kt_lower_transposed(kt_lower *lower) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    if (lower->kernel->results.count != 1) return false;
    transposed t = {.type = kt_graph_type(lower->graph, lower->kernel->results.at[0].value)};
    if (t.type->rank < 2 || !find_transpose(lower, &t) || (t.lanes = square_lanes(lower, &t)) == 0)
        return false;
    int last = t.type->rank - 1;
    kt_dim side = kt_dim_const(dims, t.lanes), blocks = kt_dim_ceildiv(dims, t.type->dims[t.axis], side),
           units = blocks;
    for (int axis = 0; axis < last; axis++)
        if (axis != t.axis) units = kt_dim_mul(dims, units, t.type->dims[axis]);
    kt_dim work =
        kt_dim_mul_const(dims, kt_product(lower, t.type->dims, 0, t.type->rank), 4 + kt_lower_weight(lower));
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, 4 * (int64_t)t.lanes));

    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0), kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    kt_reg rest = kt_loops_index(loops, KT_INDEX_DIV, unit, kt_loops_dim(loops, blocks));
    kt_position at = kt_position_origin(lower, t.type->rank, t.type->dims, 1);
    at.at[t.axis] =
        kt_axis_at(square_begin(lower, &t, t.axis,
                                kt_loops_index(loops, KT_INDEX_MOD, unit, kt_loops_dim(loops, blocks))),
                   0);
    for (int axis = last - 1; axis >= 0; axis--) {
        if (axis == t.axis) continue;
        kt_reg extent = kt_loops_dim(loops, t.type->dims[axis]);
        at.at[axis] = kt_axis_at(kt_loops_index(loops, KT_INDEX_MOD, rest, extent), 0);
        rest = kt_loops_index(loops, KT_INDEX_DIV, rest, extent);
    }
    kt_reg squares = kt_loops_dim(loops, kt_dim_ceildiv(dims, t.type->dims[last], side));
    kt_reg square = kt_lower_begin(lower, kt_loops_int(loops, 0), squares, 1, "squares");
    at.at[last] = kt_axis_at(square_begin(lower, &t, last, square), 0);
    emit_square(lower, &t, &at);
    kt_lower_end(lower);
    kt_loops_end(loops);
    return true;
}
