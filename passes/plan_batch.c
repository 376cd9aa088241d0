/* Whether the samples of a batch go through an entry, or a loop of it, without knowing of each other: then a
 * thread may take some of them through all steps, instead of a part of each step.
 *
 * Of each value it is followed where the batch lies among its elements, in row-major order: `outer` times,
 * all samples in turn, each with as many elements side by side. No reshape changes that. An operation keeps
 * samples apart if the axis that they lie on is one that it goes along element by element. */
#include "passes/passes_impl.h"
#include "passes/plan.h"

typedef struct following {
    const kt_graph *graph;
    kt_dim batch;
    const kt_dim *without; /* by symbol: itself, but 1 for the batch */
    kt_dim *outer;         /* by value; 0: it is the same for all samples */
} following;

/* An axis that samples lie on. */
typedef struct sample_axis {
    int axis;
    kt_dim outer; /* how often all samples lie on it in turn */
} sample_axis;

static bool follow(following *f, const kt_function *function);

static bool depends(const void *context, kt_dim dim) {
    const following *f = context;
    return kt_dim_substitute(f->graph->dims, dim, f->without) != dim;
}

static bool is_zero(const following *f, kt_dim dim) { return kt_dim_equals(f->graph->dims, dim, 0); }

static int64_t count_below(const kt_ints *axes, int64_t axis) {
    int64_t count = 0;
    for (uint32_t i = 0; i < axes->count; i++) count += axes->at[i] < axis;
    return count;
}

static kt_dim before(const following *f, const kt_type *type, int axis) {
    kt_dim product = kt_dim_const(f->graph->dims, 1);
    for (int i = 0; i < axis; i++) product = kt_dim_mul(f->graph->dims, product, type->dims[i]);
    return product;
}

/* a / b, if that is whole; else 0. */
static kt_dim quotient(const following *f, kt_dim a, kt_dim b) {
    kt_dim_pool *dims = f->graph->dims;
    kt_dim whole = kt_dim_floordiv(dims, a, b);
    return kt_dim_at_least(dims, whole, 1) && kt_dim_mul(dims, whole, b) == a ? whole : 0;
}

static bool find_axis(const following *f, kt_value value, sample_axis *out_axis) {
    const kt_type *type = kt_graph_type(f->graph, value);
    for (int axis = 0; f->outer[value] && axis < type->rank; axis++) {
        kt_dim outer = quotient(f, f->outer[value], before(f, type, axis));
        if (!outer || !quotient(f, type->dims[axis], kt_dim_mul(f->graph->dims, outer, f->batch))) continue;
        *out_axis = (sample_axis){axis, outer};
        return true;
    }
    return false;
}

/* Is each sample of the value as large, however many there are? */
static bool is_sampled(const following *f, kt_value value) {
    kt_dim all = kt_type_elements(f->graph->dims, kt_graph_type(f->graph, value)), outer = f->outer[value];
    kt_dim inner = quotient(f, all, kt_dim_mul(f->graph->dims, outer, f->batch));
    return inner && !depends(f, inner) && !depends(f, outer);
}

/* Says that the samples of the node's result lie on an axis. */
static bool lie(following *f, const kt_node_info *node, int64_t axis, kt_dim outer) {
    const kt_type *type = kt_graph_type(f->graph, node->first_result);
    f->outer[node->first_result] = kt_dim_mul(f->graph->dims, before(f, type, (int)axis), outer);
    return is_sampled(f, node->first_result);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Does a position or a size in its attributes depend on how many samples there are? */
static bool measures_batch(const following *f, const kt_node_info *node) {
    return kt_pass_any_size(node, depends, f);
}

/* What is made of nothing that samples differ in, but has an axis for them. */
static bool repeats(following *f, const kt_node_info *node) {
    const kt_type *type = kt_graph_type(f->graph, node->first_result);
    int axis = -1;
    for (int i = 0; i < type->rank; i++) {
        if (!depends(f, type->dims[i])) continue;
        if (axis >= 0 || !quotient(f, type->dims[i], f->batch)) return false;
        axis = i;
    }
    if (axis < 0) return node->op != KT_OP_philox && !measures_batch(f, node);
    if (node->op == KT_OP_iota && ((const kt_attrs_iota *)node->attrs)->axis == axis) return false;
    if (node->op != KT_OP_iota && node->op != KT_OP_broadcast) return false;
    return lie(f, node, axis, kt_dim_const(f->graph->dims, 1));
}

static bool are_alike(const following *f, const kt_node_info *node) {
    for (uint32_t i = 1; i < node->operand_count; i++)
        if (f->outer[node->operands[i]] != f->outer[node->operands[0]]) return false;
    return true;
}

static bool follow_slice(following *f, const kt_node_info *node, sample_axis at) {
    const kt_attrs_slice *attrs = node->attrs;
    const kt_type *type = kt_graph_type(f->graph, node->operands[0]);
    for (int i = 0; i < type->rank; i++) {
        bool whole = is_zero(f, attrs->start.at[i]) && attrs->limit.at[i] == type->dims[i] &&
                     attrs->strides.at[i] == 1;
        if (i == at.axis ? !whole : depends(f, attrs->start.at[i]) || depends(f, attrs->limit.at[i]))
            return false;
    }
    return lie(f, node, at.axis, at.outer);
}

static bool follow_pad(following *f, const kt_node_info *node, sample_axis at) {
    const kt_attrs_pad *attrs = node->attrs;
    if (f->outer[node->operands[1]] || measures_batch(f, node)) return false;
    if (!is_zero(f, attrs->low.at[at.axis]) || !is_zero(f, attrs->high.at[at.axis]) ||
        attrs->interior.at[at.axis])
        return false;
    return lie(f, node, at.axis, at.outer);
}

static bool follow_window(following *f, const kt_node_info *node, sample_axis at) {
    const kt_attrs_reduce_window *attrs = node->attrs;
    bool single = attrs->window.at[at.axis] == 1 && attrs->strides.at[at.axis] == 1 &&
                  is_zero(f, attrs->low.at[at.axis]) && is_zero(f, attrs->high.at[at.axis]);
    if (!single || measures_batch(f, node)) return false;
    return lie(f, node, at.axis, at.outer);
}

static bool follow_concat(following *f, const kt_node_info *node, sample_axis at) {
    for (uint32_t i = 0; i < node->operand_count; i++) {
        sample_axis other;
        if (!find_axis(f, node->operands[i], &other) || other.axis != at.axis || other.outer != at.outer)
            return false;
    }
    return ((const kt_attrs_concat *)node->attrs)->axis != at.axis && lie(f, node, at.axis, at.outer);
}

static bool follow_gather(following *f, const kt_node_info *node) {
    const kt_attrs_gather *attrs = node->attrs;
    sample_axis of, at;
    bool table = find_axis(f, node->operands[0], &of), indices = find_axis(f, node->operands[1], &at);
    if (table && indices)
        return of.axis == at.axis && of.outer == at.outer && at.axis < attrs->batch_dims &&
               lie(f, node, at.axis, at.outer);
    if (attrs->batch_dims > 0 || (f->outer[node->operands[0]] && !table)) return false;
    if (indices) return lie(f, node, attrs->axis + at.axis, at.outer);
    if (!table || of.axis == attrs->axis) return false;
    int64_t rank = kt_graph_type(f->graph, node->operands[1])->rank;
    return lie(f, node, of.axis < attrs->axis ? of.axis : of.axis - 1 + rank, of.outer);
}

/* Which of the batch axes it is; -1: none. */
static int64_t position(const kt_ints *axes, int64_t axis) {
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->at[i] == axis) return i;
    return -1;
}

static bool follow_dot(following *f, const kt_node_info *node) {
    const kt_attrs_dot_general *attrs = node->attrs;
    sample_axis left, right;
    bool lhs = find_axis(f, node->operands[0], &left), rhs = find_axis(f, node->operands[1], &right);
    if ((f->outer[node->operands[0]] && !lhs) || (f->outer[node->operands[1]] && !rhs)) return false;
    int64_t batches = attrs->lhs_batch.count;
    if (lhs && rhs) {
        int64_t number = position(&attrs->lhs_batch, left.axis);
        return number >= 0 && number == position(&attrs->rhs_batch, right.axis) &&
               left.outer == right.outer && lie(f, node, number, left.outer);
    }
    if (lhs) {
        if (kt_ints_hold(&attrs->lhs_contract, left.axis) || kt_ints_hold(&attrs->lhs_batch, left.axis))
            return false;
        int64_t free = left.axis - count_below(&attrs->lhs_contract, left.axis) -
                       count_below(&attrs->lhs_batch, left.axis);
        return lie(f, node, batches + free, left.outer);
    }
    if (attrs->panel || kt_ints_hold(&attrs->rhs_contract, right.axis) ||
        kt_ints_hold(&attrs->rhs_batch, right.axis))
        return false;
    int64_t others = kt_graph_type(f->graph, node->operands[0])->rank - batches - attrs->lhs_contract.count;
    int64_t free = right.axis - count_below(&attrs->rhs_contract, right.axis) -
                   count_below(&attrs->rhs_batch, right.axis);
    return lie(f, node, batches + others + free, right.outer);
}

static bool follow_transpose(following *f, const kt_node_info *node, sample_axis at) {
    const kt_ints *axes = &((const kt_attrs_transpose *)node->attrs)->axes;
    return lie(f, node, position(axes, at.axis), at.outer);
}

static bool follow_broadcast(following *f, const kt_node_info *node, sample_axis at) {
    const kt_attrs_broadcast *attrs = node->attrs;
    const kt_type *from = kt_graph_type(f->graph, node->operands[0]);
    int64_t axis = attrs->axes.at[at.axis];
    for (uint32_t i = 0; i < attrs->shape.count; i++)
        if (i == axis ? attrs->shape.at[i] != from->dims[at.axis] : depends(f, attrs->shape.at[i]))
            return false;
    return lie(f, node, axis, at.outer);
}

static bool follow_reduce(following *f, const kt_node_info *node, sample_axis at) {
    const kt_ints *axes = &((const kt_attrs_reduce *)node->attrs)->axes;
    return !kt_ints_hold(axes, at.axis) && lie(f, node, at.axis - count_below(axes, at.axis), at.outer);
}

static bool follow_arg_reduce(following *f, const kt_node_info *node, sample_axis at) {
    int64_t axis = ((const kt_attrs_arg_reduce *)node->attrs)->axis;
    return axis != at.axis && lie(f, node, at.axis - (axis < at.axis), at.outer);
}

/* The first operand's samples lie on its first axis, and the rest is the same for all. */
static bool follow_conv(following *f, const kt_node_info *node, sample_axis at) {
    if (measures_batch(f, node)) return false;
    for (uint32_t i = 1; i < node->operand_count; i++)
        if (f->outer[node->operands[i]]) return false;
    return at.axis == 0 && lie(f, node, 0, at.outer);
}

static bool follow_computation(following *f, const kt_node_info *node) {
    bool sampled = false;
    for (uint32_t i = 0; i < node->operand_count; i++) sampled = sampled || f->outer[node->operands[i]];
    f->outer[node->first_result] = 0;
    if (!sampled) return repeats(f, node);
    if (kt_op_is(node->op, KT_ELEMENTWISE) || node->op == KT_OP_reshape) {
        f->outer[node->first_result] = f->outer[node->operands[0]];
        return are_alike(f, node);
    }
    if (node->op == KT_OP_gather) return follow_gather(f, node);
    if (node->op == KT_OP_dot_general) return follow_dot(f, node);
    sample_axis at;
    if (!find_axis(f, node->operands[0], &at)) return false;
    switch (node->op) {
    case KT_OP_transpose: return follow_transpose(f, node, at);
    case KT_OP_broadcast: return follow_broadcast(f, node, at);
    case KT_OP_slice: return follow_slice(f, node, at);
    case KT_OP_pad: return follow_pad(f, node, at);
    case KT_OP_concat: return follow_concat(f, node, at);
    case KT_OP_reverse:
        return !kt_ints_hold(&((const kt_attrs_reverse *)node->attrs)->axes, at.axis) &&
               lie(f, node, at.axis, at.outer);
    case KT_OP_reduce: return follow_reduce(f, node, at);
    case KT_OP_arg_reduce: return follow_arg_reduce(f, node, at);
    case KT_OP_reduce_window: return follow_window(f, node, at);
    case KT_OP_cumulative:
        return ((const kt_attrs_cumulative *)node->attrs)->axis != at.axis && lie(f, node, at.axis, at.outer);
    case KT_OP_conv:
    case KT_OP_winograd: return follow_conv(f, node, at);
    default: return false;
    }
}

/* ---- functions ------------------------------------------------------------------------------- */

static bool follow_call(following *f, const kt_node_info *node) {
    const kt_function *kernel = kt_graph_function(f->graph, kt_node_callee(node));
    for (uint32_t i = 0; i < node->operand_count; i++)
        f->outer[kernel->params.at[i].value] = f->outer[node->operands[i]];
    if (!follow(f, kernel)) return false;
    for (uint32_t i = 0; i < node->result_count; i++)
        f->outer[node->first_result + i] = f->outer[kernel->results.at[i].value];
    return true;
}

/* A scan over the samples themselves: turns that know nothing of each other, and nothing of how many there
 * are. */
static bool follow_samples(following *f, const kt_node_info *node, const kt_function *step) {
    const kt_attrs_scan *attrs = node->attrs;
    kt_dim one = kt_dim_const(f->graph->dims, 1);
    if (attrs->carried > 0 || attrs->length != f->batch) return false;
    for (uint32_t i = 0; i < node->operand_count; i++) {
        bool sequence = i < attrs->sequences;
        if (f->outer[node->operands[i]] != (sequence ? one : 0)) return false;
        f->outer[step->params.at[i].value] = 0;
    }
    if (!follow(f, step)) return false;
    for (uint32_t i = 0; i < node->result_count; i++) {
        if (f->outer[step->results.at[i].value]) return false;
        f->outer[node->first_result + i] = one;
    }
    return true;
}

static bool follow_scan(following *f, const kt_node_info *node) {
    const kt_attrs_scan *attrs = node->attrs;
    const kt_function *step = kt_graph_function(f->graph, attrs->body);
    kt_dim_pool *dims = f->graph->dims;
    if (depends(f, attrs->length)) return follow_samples(f, node, step);
    for (uint32_t i = 0; i < node->operand_count; i++) {
        kt_dim outer = f->outer[node->operands[i]];
        bool sequence = i >= attrs->carried && i < attrs->carried + attrs->sequences;
        if (sequence && outer) outer = quotient(f, outer, attrs->length);
        if (!outer && f->outer[node->operands[i]]) return false;
        f->outer[step->params.at[i].value] = outer;
    }
    if (!follow(f, step)) return false;
    for (uint32_t i = 0; i < node->result_count; i++) {
        kt_dim outer = f->outer[step->results.at[i].value];
        if (i < attrs->carried && outer != f->outer[step->params.at[i].value]) return false;
        f->outer[node->first_result + i] =
            i < attrs->carried || !outer ? outer : kt_dim_mul(dims, attrs->length, outer);
    }
    return true;
}

static bool follow(following *f, const kt_function *function) {
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(f->graph, function->nodes.at[i]);
        bool apart = node->op == KT_OP_call   ? follow_call(f, node)
                     : node->op == KT_OP_scan ? follow_scan(f, node)
                                              : node->result_count == 1 && follow_computation(f, node);
        if (!apart) return false;
    }
    return true;
}

/* What the inputs' first axes have in common, and it is a symbol; 0: there is no such thing. */
static kt_dim find_batch(const kt_graph *graph, const kt_function *entry, uint32_t *out_symbol) {
    kt_dim batch = 0;
    for (uint32_t i = 0; i < entry->params.count; i++) {
        const kt_type *type = kt_graph_type(graph, entry->params.at[i].value);
        if (entry->params.at[i].role != KT_ROLE_INPUT) continue;
        if (type->rank == 0 || (batch && type->dims[0] != batch)) return 0;
        batch = type->dims[0];
    }
    return batch && kt_dim_is_symbol(graph->dims, batch, out_symbol) ? batch : 0;
}

/* Begins to follow the entry's samples; false: it has no symbol for them. */
static bool begin(following *f, const kt_graph *graph, kt_func entry, kt_arena *arena, uint32_t *out_symbol) {
    kt_dim_pool *dims = graph->dims;
    kt_dim *without = KT_NEW_ARRAY(arena, kt_dim, kt_dim_symbol_count(dims));
    *f = (following){.graph = graph,
                     .batch = find_batch(graph, kt_graph_function(graph, entry), out_symbol),
                     .without = without,
                     .outer = KT_NEW_ARRAY(arena, kt_dim, graph->values.count)};
    if (!f->batch) return false;
    for (uint32_t i = 0; i < kt_dim_symbol_count(dims); i++)
        without[i] =
            i == *out_symbol ? kt_dim_const(dims, 1) : kt_dim_symbol(dims, kt_dim_symbol_name(dims, i));
    return true;
}

bool kt_plan_finds_batch(const kt_graph *graph, kt_func entry, kt_arena *arena, uint32_t *out_symbol) {
    const kt_function *function = kt_graph_function(graph, entry);
    kt_dim one = kt_dim_const(graph->dims, 1);
    following f;
    if (!begin(&f, graph, entry, arena, out_symbol)) return false;
    for (uint32_t i = 0; i < function->params.count; i++) {
        const kt_port *param = &function->params.at[i];
        if (param->role != KT_ROLE_INPUT) continue;
        f.outer[param->value] = one;
        if (!is_sampled(&f, param->value)) return false;
    }
    if (!follow(&f, function)) return false;
    for (uint32_t i = 0; i < function->results.count; i++)
        if (function->results.at[i].role != KT_ROLE_OUTPUT || f.outer[function->results.at[i].value] != one)
            return false;
    return true;
}

/* ---- loops ----------------------------------------------------------------------------------- */

/* Takes a parameter of a step that has an axis for samples as one of samples, which must lie first. */
static bool follow_param(following *f, kt_value param) {
    const kt_type *type = kt_graph_type(f->graph, param);
    bool sampled = false;
    for (int i = 0; i < type->rank; i++) sampled = sampled || depends(f, type->dims[i]);
    f->outer[param] = sampled ? kt_dim_const(f->graph->dims, 1) : 0;
    return !sampled || (quotient(f, type->dims[0], f->batch) && is_sampled(f, param));
}

/* Does a step read and write samples one after the other, as far as it knows of samples? */
static bool lies_first(const following *f, const kt_node_info *call) {
    kt_dim one = kt_dim_const(f->graph->dims, 1);
    for (uint32_t i = 0; i < call->operand_count; i++)
        if (f->outer[call->operands[i]] && f->outer[call->operands[i]] != one) return false;
    for (uint32_t i = 0; i < call->result_count; i++)
        if (f->outer[call->first_result + i] != one) return false;
    return true;
}

bool kt_plan_finds_loop_batch(const kt_graph *graph, kt_func entry, const kt_node_info *scan, kt_arena *arena,
                              uint32_t *out_symbol) {
    const kt_attrs_scan *attrs = scan->attrs;
    const kt_function *step = kt_graph_function(graph, attrs->body);
    following f;
    if (!begin(&f, graph, entry, arena, out_symbol) || depends(&f, attrs->length)) return false;
    for (uint32_t i = 0; i < step->params.count; i++)
        if (!follow_param(&f, step->params.at[i].value)) return false;
    if (!follow(&f, step)) return false;
    for (uint32_t i = 0; i < step->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, step->nodes.at[i]);
        if (node->op == KT_OP_scan || (node->op == KT_OP_call && !lies_first(&f, node))) return false;
    }
    return true;
}
