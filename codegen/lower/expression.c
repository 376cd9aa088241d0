/* The value of a kernel's body at a position: a walk from the value to the parameters, remembering what the
 * open blocks already hold. */
#include "codegen/lower/lower_impl.h"

/* ---- blocks ---------------------------------------------------------------------------------- */

kt_reg kt_lower_begin(kt_lower *lower, kt_reg begin, kt_reg end, int64_t step, const char *comment) {
    KT_PUSH(lower->arena, &lower->scopes, lower->known.count);
    kt_reg stride = kt_loops_int(lower->loops, step);
    return kt_loops_begin(lower->loops, KT_LOOP_SERIAL, begin, end, stride, comment);
}

kt_reg kt_lower_unroll(kt_lower *lower, int64_t count, const char *comment) {
    KT_PUSH(lower->arena, &lower->scopes, lower->known.count);
    kt_reg zero = kt_loops_int(lower->loops, 0), one = kt_loops_int(lower->loops, 1);
    return kt_loops_begin(lower->loops, KT_LOOP_UNROLL, zero, kt_loops_int(lower->loops, count), one,
                          comment);
}

void kt_lower_if(kt_lower *lower, kt_reg condition) {
    KT_PUSH(lower->arena, &lower->scopes, lower->known.count);
    kt_loops_if(lower->loops, condition);
}

void kt_lower_end(kt_lower *lower) {
    lower->known.count = lower->scopes.at[--lower->scopes.count];
    kt_loops_end(lower->loops);
}

kt_reg kt_lower_and(kt_lower *lower, kt_reg a, kt_reg b) {
    if (!a || !b) return a ? a : b;
    return kt_loops_index(lower->loops, KT_INDEX_AND, a, b);
}

/* ---- what is known --------------------------------------------------------------------------- */

/* The last axis of extent other than 1 in the run that begins at *cursor, which moves behind it; -1: none. */
static int next_run(const kt_lower *lower, const kt_position *at, int *cursor) {
    while (*cursor < at->rank) {
        int begin = *cursor, end = kt_position_run_end(at, begin);
        *cursor = end + 1;
        for (int axis = end; axis >= begin; axis--)
            if (!kt_dim_equals(lower->dims, at->dims[axis], 1)) return axis;
    }
    return -1;
}

/* Of positions in one shape; axes of extent 1 do not matter. */
static bool same_place(const kt_lower *lower, const kt_position *a, const kt_position *b) {
    for (int i = 0, j = 0;;) {
        int left = next_run(lower, a, &i), right = next_run(lower, b, &j);
        if (left != right) return false;
        if (left < 0) return true;
        kt_axis_index x = a->at[i - 1], y = b->at[j - 1];
        if (x.at != y.at || x.step != y.step) return false;
    }
}

static kt_reg find_known(const kt_lower *lower, kt_value value, const kt_position *at) {
    for (uint32_t i = lower->known.count; i-- > 0;) {
        const kt_lowered *known = &lower->known.at[i];
        if (known->value != value || !known->reg || known->at.lanes != at->lanes) continue;
        if (known->at.mask && known->at.mask != at->mask) continue;
        if (known->at.guard && known->at.guard != at->guard) continue;
        if (same_place(lower, &known->at, at)) return known->reg;
    }
    return 0;
}

/* In the value's own shape; what does not vary has one lane. */
static kt_position normalise(kt_lower *lower, kt_value value, const kt_position *at) {
    const kt_type *type = kt_graph_type(lower->graph, value);
    kt_position own = kt_position_reshape(lower, at, type->rank, type->dims);
    if (own.lanes > 1 && !kt_position_varies(lower, &own)) {
        own.lanes = 1;
        own.mask = 0;
    }
    return own;
}

static void remember(kt_lower *lower, kt_value value, const kt_position *own, kt_reg reg) {
    kt_lowered known = {.value = value, .at = *own, .reg = reg};
    KT_PUSH(lower->arena, &lower->known, known);
}

void kt_lower_know(kt_lower *lower, kt_value value, const kt_position *at, kt_reg reg) {
    kt_position own = normalise(lower, value, at);
    remember(lower, value, &own, reg);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static const kt_row *find_row(const kt_lower *lower, kt_value value) {
    for (size_t i = 0; i < sizeof lower->rows / sizeof *lower->rows && !lower->trial; i++)
        if (value && lower->rows[i].value == value) return &lower->rows[i];
    return NULL;
}

static kt_axis_index row_index(kt_lower *lower, const kt_row *row, const kt_position *at) {
    kt_position apart = *at;
    kt_position_isolate(lower, &apart, at->rank - 1);
    return kt_axis_add(lower, apart.at[at->rank - 1], kt_axis_at(row->begin, 0), at->lanes);
}

void kt_lower_keep(kt_lower *lower, kt_value value, const kt_position *at, kt_reg reg) {
    const kt_row *row = find_row(lower, value);
    if (row) kt_loops_store(lower->loops, row->buffer, row_index(lower, row, at).at, reg, 0);
}

void kt_lower_know_row(kt_lower *lower, kt_value value) {
    kt_lowered known = {.value = value};
    if (find_row(lower, value)) KT_PUSH(lower->arena, &lower->known, known);
}

bool kt_lower_is_row_known(const kt_lower *lower, kt_value value) {
    for (uint32_t i = lower->known.count; i-- > 0;)
        if (lower->known.at[i].value == value && !lower->known.at[i].reg) return true;
    return false;
}

/* ---- values ---------------------------------------------------------------------------------- */

int64_t kt_lower_buffer(const kt_lower *lower, kt_value value) {
    const kt_node_info *node = kt_graph_definition(lower->graph, value);
    if (!node) return kt_graph_value(lower->graph, value)->index;
    return node->op == KT_OP_reshape ? kt_lower_buffer(lower, node->operands[0]) : -1;
}

/* ---- lanes that lie near each other ---------------------------------------------------------- */

/* What lanes [first, first + count) of a load want, where all indices are a number and a constant each. */
typedef struct picked_load {
    uint32_t buffer;
    kt_reg begin;
    const int64_t *steps;
    const int64_t *wanted; /* false: a lane reads nothing */
    int first, count;
} picked_load;

/* The least step that is wanted, from `from` on; INT64_MAX: there is none. */
static int64_t next_step(const picked_load *l, int64_t from) {
    int64_t least = INT64_MAX;
    for (int i = l->first; i < l->first + l->count; i++)
        if (l->wanted[i] && l->steps[i] >= from && l->steps[i] < least) least = l->steps[i];
    return least;
}

/* How many vectors of adjacent elements hold all that is wanted. */
static int count_windows(const picked_load *l) {
    int windows = 0;
    for (int64_t step = next_step(l, INT64_MIN); step != INT64_MAX; step = next_step(l, step + l->count))
        windows++;
    return windows;
}

/* From each such vector, its lanes. */
static kt_reg pick_windows(kt_lower *lower, const picked_load *l) {
    kt_loops *loops = lower->loops;
    kt_reg result = 0;
    for (int i = l->first; i < l->first + l->count && !result; i++)
        if (!l->wanted[i]) result = kt_loops_const(loops, loops->buffer_dtypes[l->buffer], l->count, 0);
    for (int64_t begin = next_step(l, INT64_MIN); begin != INT64_MAX;
         begin = next_step(l, begin + l->count)) {
        int64_t picks[KT_MOST_STEPS], span = 0;
        for (int i = 0; i < l->count; i++) {
            int64_t lane = l->steps[l->first + i] - begin;
            bool here = l->wanted[l->first + i] && lane >= 0 && lane < l->count;
            picks[i] = here ? lane + (result ? l->count : 0) : result ? i : 0;
            if (here && lane >= span) span = lane + 1;
        }
        kt_reg mask = kt_loops_mask(loops, kt_loops_int(loops, span), l->count);
        kt_reg window = kt_loops_load(loops, l->buffer, kt_plus_int(lower, l->begin, begin), l->count, mask);
        result = result ? kt_loops_pick(loops, result, window, l->count, picks)
                        : kt_loops_pick(loops, window, 0, l->count, picks);
    }
    return result;
}

/* buffer[lanes] by loads of whole vectors, of a register each, and permutations of their lanes. 0: these
 * would be too many, or it is not known how lanes lie to each other. */
static kt_reg load_picked(kt_lower *lower, uint32_t buffer, kt_reg lanes, kt_reg mask) {
    kt_loops *loops = lower->loops;
    int64_t steps[KT_MOST_STEPS], wanted[KT_MOST_STEPS], all = 1;
    int count = kt_loops_lanes(loops, lanes),
        most = kt_target_lanes(lower->target, loops->buffer_dtypes[buffer]);
    kt_reg begin = 0, none = 0;
    if (!kt_loops_steps(loops, lanes, &begin, steps)) return 0;
    for (int i = 0; i < count; i++) wanted[i] = 1;
    if (mask && (!kt_loops_steps(loops, mask, &none, wanted) || !kt_loops_is_int(loops, none, &all)))
        return 0;
    picked_load l = {buffer, begin, steps, wanted, 0, count < most ? count : most};
    for (l.first = 0; l.first < count; l.first += l.count)
        if (count_windows(&l) > (l.count + 1) / 2) return 0;
    kt_reg parts[KT_MOST_STEPS] = {0};
    for (l.first = 0; l.first < count; l.first += l.count) parts[l.first / l.count] = pick_windows(lower, &l);
    int64_t side_by_side[KT_MOST_STEPS];
    for (int i = 0; i < count; i++) side_by_side[i] = i;
    for (int wide = 2 * l.count; wide <= count; wide *= 2)
        for (int i = 0; i < count / wide; i++)
            parts[i] = kt_loops_pick(loops, parts[2 * i], parts[2 * i + 1], wide, side_by_side);
    return parts[0];
}

static kt_reg load(kt_lower *lower, uint32_t buffer, kt_axis_index index, const kt_position *at) {
    kt_reg mask = kt_lower_and(lower, at->mask, at->guard);
    if (mask) mask = kt_loops_splat(lower->loops, mask, at->lanes);
    if (index.step == 1 || !kt_axis_varies(lower, index))
        return kt_loops_load(lower->loops, buffer, index.at, at->lanes, mask);
    kt_reg lanes = kt_axis_lanes(lower, index, at->lanes), picked = load_picked(lower, buffer, lanes, mask);
    return picked ? picked : kt_loops_gather(lower->loops, buffer, lanes, mask);
}

static kt_reg load_row(kt_lower *lower, const kt_row *row, const kt_position *at) {
    kt_position whole = *at;
    whole.mask = 0;
    return load(lower, row->buffer, row_index(lower, row, at), &whole);
}

/* Does the broadcast spread what was reduced over the axes that were, each number over its own elements? */
static bool spreads_back(const kt_lower *lower, const kt_node_info *broadcast, const kt_node_info *reduce) {
    const kt_type *from = kt_graph_type(lower->graph, broadcast->operands[0]),
                  *type = kt_graph_type(lower->graph, reduce->operands[0]);
    const kt_attrs_broadcast *attrs = broadcast->attrs;
    uint32_t reduced = kt_lower_reduced_axes(reduce);
    int left = 0; /* the next axis that was not */
    for (int i = 0; i < from->rank; i++) {
        if (kt_dim_equals(lower->dims, from->dims[i], 1)) continue;
        while (left < type->rank && (reduced & 1U << left || kt_dim_equals(lower->dims, type->dims[left], 1)))
            left++;
        if (attrs->axes.at[i] != left++) return false;
    }
    return true;
}

/* Is it a number less the largest of some, of which it is one? As softmaxes have it: up to 0, and rounded. */
static bool is_below_largest(const kt_lower *lower, kt_value value) {
    const kt_node_info *sub = kt_graph_definition(lower->graph, value);
    if (!sub || sub->op != KT_OP_sub) return false;
    const kt_node_info *spread = kt_graph_definition(lower->graph, sub->operands[1]);
    if (!spread || spread->op != KT_OP_broadcast) return false;
    const kt_node_info *largest = kt_graph_definition(lower->graph, spread->operands[0]);
    while (largest && largest->op == KT_OP_reshape)
        largest = kt_graph_definition(lower->graph, largest->operands[0]);
    return largest && largest->op == KT_OP_reduce && largest->operands[0] == sub->operands[0] &&
           ((const kt_attrs_reduce *)largest->attrs)->kind == KT_REDUCE_MAXIMUM &&
           spreads_back(lower, spread, largest);
}

static kt_reg apply(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    kt_reg operands[3] = {0};
    KT_ASSERT(node->operand_count <= 3);
    for (uint32_t i = 0; i < node->operand_count; i++)
        operands[i] = kt_lower_value(lower, node->operands[i], at);
    kt_dtype dtype = kt_graph_type(lower->graph, node->first_result)->dtype;
    if (node->op == KT_OP_exp && dtype == KT_F32 && is_below_largest(lower, node->operands[0]))
        return kt_loops_exp(lower->loops, operands[0]);
    return kt_loops_apply(lower->loops, node->op, dtype, operands[0], operands[1], operands[2]);
}

kt_reg kt_lower_select(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    return apply(lower, node, at);
}

kt_reg kt_lower_cast(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    return apply(lower, node, at);
}

/* Fusion inlines whatever a kernel consists of. */
kt_reg kt_lower_call(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    (void)node, (void)at;
    KT_BUG("kernel %s calls a function", lower->kernel->name);
}

/* The runtime turns the loop; fusion leaves it between kernels. */
kt_reg kt_lower_scan(kt_lower *lower, const kt_node_info *node, const kt_position *at) {
    return kt_lower_call(lower, node, at);
}

static kt_lower_fn *const lowerings[KT_OP_COUNT] = {
#define KT_UNARY(name, domain, gradient, doc)                 [KT_OP_##name] = apply,
#define KT_BINARY(name, domain, traits, gradient, doc)        [KT_OP_##name] = apply,
#define KT_COMPARE(name, domain, doc)                         [KT_OP_##name] = apply,
#define KT_OP(name, operands, results, traits, gradient, doc) [KT_OP_##name] = kt_lower_##name,
#include "ir/ops.def"
};

kt_reg kt_lower_value(kt_lower *lower, kt_value value, const kt_position *at) {
    kt_position own = normalise(lower, value, at);
    kt_reg reg = find_known(lower, value, &own);
    if (reg) return reg;
    const kt_node_info *node = kt_graph_definition(lower->graph, value);
    kt_node outer = lower->loops->node;
    if (node) lower->loops->node = kt_graph_value(lower->graph, value)->node;
    const kt_row *row = find_row(lower, value);
    if (row && kt_lower_is_row_known(lower, value))
        reg = load_row(lower, row, &own);
    else if (node)
        reg = lowerings[node->op](lower, node, &own);
    else
        reg = load(lower, kt_graph_value(lower->graph, value)->index, kt_position_linear(lower, &own), &own);
    lower->loops->node = outer;
    remember(lower, value, &own, reg);
    return reg;
}

/* ---- trials ---------------------------------------------------------------------------------- */

uint32_t kt_lower_splits(kt_lower *lower, kt_value value, int rank, const kt_dim *dims, unsigned merged) {
    kt_loops scratch;
    kt_loops_init(&scratch, lower->arena, lower->graph, lower->kernel, lower->target);
    kt_lower trial = *lower;
    trial.loops = &scratch;
    trial.known.count = trial.known.capacity = 0;
    trial.scopes.count = trial.scopes.capacity = 0;
    trial.splits = 0;
    trial.trial = true;
    kt_position at = kt_position_origin(&trial, rank, dims, 1);
    at.merged = merged;
    for (int axis = 0; axis < rank; axis++) {
        kt_reg zero = kt_loops_int(&scratch, 0);
        at.at[axis].at = kt_lower_begin(&trial, zero, kt_loops_dim(&scratch, dims[axis]), 1, NULL);
    }
    kt_lower_value(&trial, value, &at);
    return trial.splits;
}
