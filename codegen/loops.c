/* Building the loop form. Constants and dimensions belong to no block: they are registers without a place in
 * the instruction list, each made once, and usable anywhere. Everything else is appended. Index arithmetic
 * folds as it is added, so that what is left of an address is what really varies:
 *
 *   constants and dimensions   computed (a dimension becomes another dimension)
 *   x + 0, x * 1, x / 1        x
 *   x - c                      x + (-c)
 *   (x + c) + d, (x * c) * d   x + (c + d), x * (c * d)
 *   (x * c) / d, (x * c) % d   x * (c / d), 0   where d divides c
 *
 * and of lanes, each of which is one number x and a constant of its own (KT_CODE_LANES): sums, products by
 * constants, and, where x is a multiple of d but for a constant, quotients and remainders by d. */
#include "codegen/loops.h"

#include <stddef.h>
#include <string.h>

void kt_loops_init(kt_loops *out_loops, kt_arena *arena, kt_graph *graph, const kt_function *kernel,
                   const kt_target *target) {
    uint32_t count = kernel->params.count + kernel->results.count;
    *out_loops = (kt_loops){
        .arena = arena,
        .graph = graph,
        .target = target,
        .name = kernel->name,
        .buffer_count = count,
        .buffer_dtypes = KT_NEW_ARRAY(arena, kt_dtype, count + 1),
        .buffer_elements = KT_NEW_ARRAY(arena, kt_dim, count + 1),
        .buffer_is_result = KT_NEW_ARRAY(arena, bool, count + 1),
        .units = kt_dim_const(graph->dims, 1),
        .cost = kt_dim_const(graph->dims, 0),
    };
    for (uint32_t i = 0; i < count; i++) {
        bool result = i >= kernel->params.count;
        const kt_port *port = result ? &kernel->results.at[i - kernel->params.count] : &kernel->params.at[i];
        const kt_type *type = kt_graph_type(graph, port->value);
        out_loops->buffer_dtypes[i] = type->dtype;
        out_loops->buffer_elements[i] = kt_type_elements(graph->dims, type);
        out_loops->buffer_is_result[i] = result;
    }
    KT_PUSH(arena, &out_loops->registers, (kt_code){0});
    KT_PUSH(arena, &out_loops->cells, (kt_cell_info){0});
}

static const int64_t *copy_numbers(kt_loops *loops, int lanes, const int64_t *numbers) {
    int64_t *copy = KT_NEW_ARRAY(loops->arena, int64_t, lanes);
    memcpy(copy, numbers, sizeof *copy * (size_t)lanes);
    return copy;
}

/* A register that no instruction of the list makes. */
static kt_reg intern(kt_loops *loops, kt_code code) {
    struct {
        int64_t code, dtype, lanes, integer, dim;
        double number;
        int64_t numbers[KT_MOST_STEPS];
    } key = {code.code, code.dtype, code.lanes, code.integer, code.dim, code.number, {0}};
    size_t bytes = code.numbers ? sizeof *code.numbers * (size_t)code.lanes : 0;
    if (bytes) memcpy(key.numbers, code.numbers, bytes);
    bytes += offsetof(__typeof__(key), numbers);
    code.result = loops->registers.count;
    kt_reg known = *kt_table_add(&loops->constants, loops->arena, &key, bytes, code.result);
    if (known == code.result) {
        if (code.numbers) code.numbers = copy_numbers(loops, code.lanes, code.numbers);
        KT_PUSH(loops->arena, &loops->registers, code);
    }
    return known;
}

static kt_reg append(kt_loops *loops, kt_code code) {
    code.node = loops->node;
    if (code.dtype != KT_STRING) {
        code.result = loops->registers.count;
        KT_PUSH(loops->arena, &loops->registers, code);
    }
    KT_PUSH(loops->arena, &loops->code, code);
    return code.result;
}

/* No result: marked by a dtype that no register has. */
static void append_plain(kt_loops *loops, kt_code code) {
    code.dtype = KT_STRING;
    append(loops, code);
}

static const kt_code *maker(const kt_loops *loops, kt_reg reg) {
    KT_ASSERT(reg != 0 && reg < loops->registers.count);
    return &loops->registers.at[reg];
}

kt_dtype kt_loops_dtype(const kt_loops *loops, kt_reg reg) { return maker(loops, reg)->dtype; }
int kt_loops_lanes(const kt_loops *loops, kt_reg reg) { return maker(loops, reg)->lanes; }

bool kt_loops_is_int(const kt_loops *loops, kt_reg reg, int64_t *out_value) {
    const kt_code *code = maker(loops, reg);
    if (code->code != KT_CODE_CONST || code->dtype != KT_I64 || code->lanes != 1) return false;
    if (out_value) *out_value = code->integer;
    return true;
}

kt_reg kt_loops_int(kt_loops *loops, int64_t value) { return kt_loops_integer(loops, KT_I64, 1, value); }

kt_reg kt_loops_integer(kt_loops *loops, kt_dtype dtype, int lanes, int64_t value) {
    KT_ASSERT(!kt_dtype_is_float(dtype));
    return intern(loops, (kt_code){.code = KT_CODE_CONST, .dtype = dtype, .lanes = lanes, .integer = value});
}

kt_reg kt_loops_lane_integers(kt_loops *loops, kt_dtype dtype, int lanes, const int64_t *values) {
    KT_ASSERT(!kt_dtype_is_float(dtype) && lanes > 0 && lanes <= KT_MOST_STEPS);
    bool same = true;
    for (int i = 1; i < lanes; i++) same = same && values[i] == values[0];
    if (same) return kt_loops_integer(loops, dtype, lanes, values[0]);
    return intern(loops, (kt_code){.code = KT_CODE_LANES, .dtype = dtype, .lanes = lanes, .numbers = values});
}

kt_reg kt_loops_const(kt_loops *loops, kt_dtype dtype, int lanes, double value) {
    if (kt_dtype_is_float(dtype))
        return intern(loops,
                      (kt_code){.code = KT_CODE_CONST, .dtype = dtype, .lanes = lanes, .number = value});
    if (dtype == KT_U64 && value >= 0x1p63)
        return kt_loops_integer(loops, dtype, lanes, (int64_t)(uint64_t)value);
    return kt_loops_integer(loops, dtype, lanes, (int64_t)value);
}

kt_reg kt_loops_dim(kt_loops *loops, kt_dim dim) {
    int64_t value;
    if (kt_dim_is_const(loops->graph->dims, dim, &value)) return kt_loops_int(loops, value);
    return intern(loops, (kt_code){.code = KT_CODE_DIM, .dtype = KT_I64, .lanes = 1, .dim = dim});
}

/* ---- index arithmetic ------------------------------------------------------------------------ */

/* reg as a dimension, or 0. */
static kt_dim as_dim(const kt_loops *loops, kt_reg reg) {
    const kt_code *code = maker(loops, reg);
    if (code->code == KT_CODE_DIM) return code->dim;
    int64_t value;
    return kt_loops_is_int(loops, reg, &value) ? kt_dim_const(loops->graph->dims, value) : 0;
}

/* Dimensions are computed where a kernel begins, so a divisor that may be 0 must stay where it is guarded. */
static kt_dim fold_dims(kt_dim_pool *pool, kt_index_op op, kt_dim a, kt_dim b) {
    switch (op) {
    case KT_INDEX_ADD: return kt_dim_add(pool, a, b);
    case KT_INDEX_SUB: return kt_dim_sub(pool, a, b);
    case KT_INDEX_MUL: return kt_dim_mul(pool, a, b);
    case KT_INDEX_DIV: return kt_dim_at_least(pool, b, 1) ? kt_dim_floordiv(pool, a, b) : 0;
    case KT_INDEX_MOD: return kt_dim_at_least(pool, b, 1) ? kt_dim_mod(pool, a, b) : 0;
    case KT_INDEX_MIN: return kt_dim_min(pool, a, b);
    case KT_INDEX_MAX: return kt_dim_max(pool, a, b);
    default: return 0;
    }
}

/* What a comparison of constants, or of a register with itself, or an `and` with a constant gives; 0:
 * unknown. */
static kt_reg fold_logic(kt_loops *loops, kt_index_op op, kt_reg a, kt_reg b) {
    int64_t x, y;
    const kt_code *left = maker(loops, a), *right = maker(loops, b);
    if (op == KT_INDEX_AND) {
        if (left->code == KT_CODE_CONST) return left->integer ? b : a;
        if (right->code == KT_CODE_CONST) return right->integer ? a : b;
        return a == b ? a : 0;
    }
    if (op != KT_INDEX_LT && op != KT_INDEX_EQ) return 0;
    if (a == b) return kt_loops_integer(loops, KT_BOOL, left->lanes, op == KT_INDEX_EQ);
    if (!kt_loops_is_int(loops, a, &x) || !kt_loops_is_int(loops, b, &y)) return 0;
    return kt_loops_integer(loops, KT_BOOL, 1, op == KT_INDEX_EQ ? x == y : x < y);
}

/* If reg is x op c with a constant c: x, and c in out_value; else 0. */
static kt_reg split_constant(const kt_loops *loops, kt_reg reg, kt_index_op op, int64_t *out_value) {
    const kt_code *code = maker(loops, reg);
    bool matches = code->code == KT_CODE_INDEX && code->index_op == op && code->lanes == 1;
    return matches && kt_loops_is_int(loops, code->b, out_value) ? code->a : 0;
}

/* x op c. 0: nothing to fold. */
static kt_reg fold_constant(kt_loops *loops, kt_index_op op, kt_reg x, int64_t c) {
    int64_t inner;
    kt_reg base;
    switch (op) {
    case KT_INDEX_ADD:
        if (c == 0) return x;
        base = split_constant(loops, x, KT_INDEX_ADD, &inner);
        return base ? kt_loops_index(loops, op, base, kt_loops_int(loops, kt_size_add(inner, c))) : 0;
    case KT_INDEX_MUL:
        if (c == 0) return kt_loops_int(loops, 0);
        if (c == 1) return x;
        base = split_constant(loops, x, KT_INDEX_MUL, &inner);
        return base ? kt_loops_index(loops, op, base, kt_loops_int(loops, kt_size_mul(inner, c))) : 0;
    case KT_INDEX_DIV:
        if (c == 1) return x;
        base = split_constant(loops, x, KT_INDEX_MUL, &inner);
        return base && c > 0 && inner % c == 0
                   ? kt_loops_index(loops, KT_INDEX_MUL, base, kt_loops_int(loops, inner / c))
                   : 0;
    case KT_INDEX_MOD:
        if (c == 1) return kt_loops_int(loops, 0);
        base = split_constant(loops, x, KT_INDEX_MUL, &inner);
        return base && c > 0 && inner % c == 0 ? kt_loops_int(loops, 0) : 0;
    default: return 0;
    }
}

static kt_reg fold_index(kt_loops *loops, kt_index_op op, kt_reg a, kt_reg b) {
    kt_reg known = fold_logic(loops, op, a, b);
    if (known) return known;
    kt_dim x = as_dim(loops, a), y = as_dim(loops, b);
    kt_dim folded = x && y ? fold_dims(loops->graph->dims, op, x, y) : 0;
    if (folded) return kt_loops_dim(loops, folded);
    if ((op == KT_INDEX_MIN || op == KT_INDEX_MAX) && a == b) return a;
    int64_t c;
    return kt_loops_is_int(loops, b, &c) ? fold_constant(loops, op, a, c) : 0;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

bool kt_loops_steps(kt_loops *loops, kt_reg reg, kt_reg *out_begin, int64_t *out_steps) {
    kt_code code = *maker(loops, reg);
    if (code.lanes > KT_MOST_STEPS || kt_dtype_is_float(code.dtype)) return false;
    if (code.code == KT_CODE_INDEX && code.index_op == KT_INDEX_ADD && code.lanes > 1) {
        kt_code steps = *maker(loops, code.b);
        code = *maker(loops, code.a);
        if (code.code != KT_CODE_SPLAT || steps.code != KT_CODE_LANES) return false;
        code.numbers = steps.numbers;
    }
    bool whole = code.code == KT_CODE_CONST || code.code == KT_CODE_LANES;
    if (!whole && code.code != KT_CODE_SPLAT && code.code != KT_CODE_RAMP && code.lanes != 1) return false;
    *out_begin = whole ? kt_loops_int(loops, 0) : code.lanes == 1 ? reg : code.a;
    for (int i = 0; i < code.lanes; i++)
        out_steps[i] = code.numbers                ? code.numbers[i]
                       : code.code == KT_CODE_RAMP ? i
                       : whole                     ? code.integer
                                                   : 0;
    return true;
}

/* The register of such lanes. */
static kt_reg with_steps(kt_loops *loops, kt_reg begin, int lanes, const int64_t *steps) {
    int64_t known, values[KT_MOST_STEPS];
    bool same = true, ramp = true;
    for (int i = 0; i < lanes; i++) {
        same = same && steps[i] == steps[0];
        ramp = ramp && steps[i] == kt_size_add(steps[0], i);
    }
    if (kt_loops_is_int(loops, begin, &known)) {
        for (int i = 0; i < lanes; i++) values[i] = kt_size_add(known, steps[i]);
        return kt_loops_lane_integers(loops, KT_I64, lanes, values);
    }
    if (same || ramp) {
        begin = kt_loops_index(loops, KT_INDEX_ADD, begin, kt_loops_int(loops, steps[0]));
        return same ? kt_loops_splat(loops, begin, lanes) : kt_loops_ramp(loops, begin, lanes);
    }
    kt_reg all = kt_loops_splat(loops, begin, lanes);
    kt_code sum = {
        .code = KT_CODE_INDEX, .index_op = KT_INDEX_ADD, .dtype = KT_I64, .lanes = lanes, .a = all};
    sum.b = kt_loops_lane_integers(loops, KT_I64, lanes, steps);
    return append(loops, sum);
}

static int64_t compute_step(kt_index_op op, int64_t a, int64_t b) {
    switch (op) {
    case KT_INDEX_ADD: return kt_size_add(a, b);
    case KT_INDEX_SUB: return kt_size_add(a, -b);
    case KT_INDEX_MUL: return kt_size_mul(a, b);
    case KT_INDEX_DIV: return a / b;
    case KT_INDEX_MOD: return a % b;
    case KT_INDEX_MIN: return a < b ? a : b;
    case KT_INDEX_MAX: return a > b ? a : b;
    case KT_INDEX_LT: return a < b;
    case KT_INDEX_EQ: return a == b;
    case KT_INDEX_AND: return a && b;
    }
    KT_BUG("index operation %d", (int)op);
}

/* x / of, where x is known to be a multiple of it; else 0. */
static kt_reg divide_whole(kt_loops *loops, kt_reg x, int64_t of) {
    int64_t number;
    const kt_code code = *maker(loops, x);
    if (kt_loops_is_int(loops, x, &number)) return number % of == 0 ? kt_loops_int(loops, number / of) : 0;
    if (code.code != KT_CODE_INDEX || code.index_op != KT_INDEX_ADD)
        return fold_constant(loops, KT_INDEX_DIV, x, of);
    kt_reg left = divide_whole(loops, code.a, of), right = left ? divide_whole(loops, code.b, of) : 0;
    return right ? kt_loops_index(loops, KT_INDEX_ADD, left, right) : 0;
}

/* The same of x less a constant, which goes to out_rest. */
static kt_reg divide_known(kt_loops *loops, kt_reg x, int64_t of, int64_t *out_rest) {
    kt_reg whole = kt_loops_is_int(loops, x, out_rest) ? kt_loops_int(loops, 0)
                                                       : split_constant(loops, x, KT_INDEX_ADD, out_rest);
    if (!whole) *out_rest = 0;
    return divide_whole(loops, whole ? whole : x, of);
}

/* a op b of lanes that are told apart; 0: nothing to fold. */
static kt_reg fold_lanes(kt_loops *loops, kt_index_op op, kt_reg a, kt_reg b) {
    int64_t left[KT_MOST_STEPS] = {0}, right[KT_MOST_STEPS] = {0}, rest = 0, number;
    kt_reg x = 0, y = 0;
    int lanes = kt_loops_lanes(loops, a);
    if (!kt_loops_steps(loops, a, &x, left) || !kt_loops_steps(loops, b, &y, right)) return 0;
    bool constant = kt_loops_is_int(loops, x, &number) && number == 0;
    bool by_number = maker(loops, b)->code == KT_CODE_CONST, by_constant = kt_loops_is_int(loops, y, &number);
    if (op == KT_INDEX_ADD || op == KT_INDEX_SUB) {
        x = kt_loops_index(loops, op, x, y);
    } else if (op == KT_INDEX_DIV || op == KT_INDEX_MOD) {
        x = by_number && right[0] > 0 ? divide_known(loops, x, right[0], &rest) : 0;
        for (int i = 0; i < lanes; i++) {
            left[i] += rest;
            if (!x || left[i] < 0) return 0;
        }
        if (op == KT_INDEX_MOD) x = kt_loops_int(loops, 0);
    } else if (op == KT_INDEX_MUL && by_number) {
        x = kt_loops_index(loops, op, x, kt_loops_int(loops, right[0]));
    } else if (!constant || !by_constant) {
        return 0;
    }
    for (int i = 0; i < lanes; i++) left[i] = compute_step(op, left[i], right[i]);
    if (op == KT_INDEX_LT || op == KT_INDEX_EQ || op == KT_INDEX_AND)
        return kt_loops_lane_integers(loops, KT_BOOL, lanes, left);
    return with_steps(loops, x, lanes, left);
}

/* Brings both to the same number of lanes. */
static void match_lanes(kt_loops *loops, kt_reg *a, kt_reg *b) {
    int left = kt_loops_lanes(loops, *a), right = kt_loops_lanes(loops, *b);
    if (left < right) *a = kt_loops_splat(loops, *a, right);
    if (right < left) *b = kt_loops_splat(loops, *b, left);
}

kt_reg kt_loops_index(kt_loops *loops, kt_index_op op, kt_reg a, kt_reg b) {
    int64_t c;
    if (op == KT_INDEX_SUB && kt_loops_is_int(loops, b, &c) && c != INT64_MIN)
        return kt_loops_index(loops, KT_INDEX_ADD, a, kt_loops_int(loops, -c));
    bool commutes = op == KT_INDEX_ADD || op == KT_INDEX_MUL || op == KT_INDEX_MIN || op == KT_INDEX_MAX;
    if (commutes && kt_loops_is_int(loops, a, NULL)) {
        kt_reg swap = a;
        a = b;
        b = swap;
    }
    /* A neutral constant leaves a vector alone too; other folds are for single lanes. */
    if (kt_loops_is_int(loops, b, &c) && kt_loops_lanes(loops, a) > 1) {
        bool neutral = op == KT_INDEX_ADD ? c == 0 : (op == KT_INDEX_MUL || op == KT_INDEX_DIV) && c == 1;
        if (neutral) return a;
    }
    match_lanes(loops, &a, &b);
    kt_reg folded = kt_loops_lanes(loops, a) > 1 ? fold_lanes(loops, op, a, b) : fold_index(loops, op, a, b);
    if (folded) return folded;
    bool logical = op == KT_INDEX_LT || op == KT_INDEX_EQ || op == KT_INDEX_AND;
    return append(loops, (kt_code){.code = KT_CODE_INDEX,
                                   .index_op = op,
                                   .dtype = logical ? KT_BOOL : KT_I64,
                                   .lanes = kt_loops_lanes(loops, a),
                                   .a = a,
                                   .b = b});
}

/* ---- values ---------------------------------------------------------------------------------- */

kt_reg kt_loops_apply(kt_loops *loops, kt_op op, kt_dtype result, kt_reg a, kt_reg b, kt_reg c) {
    KT_ASSERT(kt_op_is(op, KT_ELEMENTWISE));
    if (op == KT_OP_cast && kt_loops_dtype(loops, a) == result) return a;
    if (b) match_lanes(loops, &a, &b);
    if (c) {
        match_lanes(loops, &a, &c);
        match_lanes(loops, &b, &c);
    }
    return append(loops, (kt_code){.code = KT_CODE_APPLY,
                                   .op = op,
                                   .dtype = result,
                                   .lanes = kt_loops_lanes(loops, a),
                                   .a = a,
                                   .b = b,
                                   .c = c});
}

kt_reg kt_loops_fma(kt_loops *loops, kt_reg a, kt_reg b, kt_reg c) {
    match_lanes(loops, &a, &b);
    match_lanes(loops, &a, &c);
    match_lanes(loops, &b, &c);
    return append(loops, (kt_code){.code = KT_CODE_FMA,
                                   .dtype = kt_loops_dtype(loops, a),
                                   .lanes = kt_loops_lanes(loops, a),
                                   .a = a,
                                   .b = b,
                                   .c = c});
}

kt_reg kt_loops_exp(kt_loops *loops, kt_reg a) {
    KT_ASSERT(kt_loops_dtype(loops, a) == KT_F32);
    return append(loops,
                  (kt_code){.code = KT_CODE_EXP, .dtype = KT_F32, .lanes = kt_loops_lanes(loops, a), .a = a});
}

kt_reg kt_loops_dot(kt_loops *loops, kt_reg a, kt_reg b, kt_reg c, bool shorts) {
    match_lanes(loops, &a, &b);
    KT_ASSERT(kt_loops_lanes(loops, a) == kt_loops_lanes(loops, c));
    return append(loops, (kt_code){.code = KT_CODE_DOT,
                                   .dtype = kt_loops_dtype(loops, c),
                                   .lanes = kt_loops_lanes(loops, c),
                                   .a = a,
                                   .b = b,
                                   .c = c,
                                   .flag = shorts});
}

kt_reg kt_loops_splat(kt_loops *loops, kt_reg a, int lanes) {
    kt_code code = *maker(loops, a);
    if (code.lanes == lanes) return a;
    KT_ASSERT(code.lanes == 1);
    if (code.code == KT_CODE_CONST) {
        code.lanes = lanes;
        return intern(loops, code);
    }
    return append(loops, (kt_code){.code = KT_CODE_SPLAT, .dtype = code.dtype, .lanes = lanes, .a = a});
}

kt_reg kt_loops_ramp(kt_loops *loops, kt_reg start, int lanes) {
    int64_t first, numbers[KT_MOST_STEPS];
    if (lanes == 1) return start;
    if (lanes <= KT_MOST_STEPS && kt_loops_is_int(loops, start, &first)) {
        for (int i = 0; i < lanes; i++) numbers[i] = first + i;
        return kt_loops_lane_integers(loops, KT_I64, lanes, numbers);
    }
    return append(loops, (kt_code){.code = KT_CODE_RAMP, .dtype = KT_I64, .lanes = lanes, .a = start});
}

kt_reg kt_loops_mask(kt_loops *loops, kt_reg count, int lanes) {
    int64_t value, numbers[KT_MOST_STEPS];
    if (kt_loops_is_int(loops, count, &value) && value >= lanes)
        return kt_loops_integer(loops, KT_BOOL, lanes, 1);
    if (lanes == 1) return kt_loops_index(loops, KT_INDEX_LT, kt_loops_int(loops, 0), count);
    if (lanes <= KT_MOST_STEPS && kt_loops_is_int(loops, count, &value)) {
        for (int i = 0; i < lanes; i++) numbers[i] = i < value;
        return kt_loops_lane_integers(loops, KT_BOOL, lanes, numbers);
    }
    return append(loops, (kt_code){.code = KT_CODE_MASK, .dtype = KT_BOOL, .lanes = lanes, .a = count});
}

kt_reg kt_loops_pick(kt_loops *loops, kt_reg a, kt_reg b, int lanes, const int64_t *picks) {
    int from = kt_loops_lanes(loops, a);
    bool same = lanes == from;
    for (int i = 0; i < lanes; i++) {
        KT_ASSERT(picks[i] >= 0 && picks[i] < (b ? 2 : 1) * from);
        same = same && picks[i] == i;
    }
    KT_ASSERT(!b || kt_loops_lanes(loops, b) == from);
    return same ? a
                : append(loops, (kt_code){.code = KT_CODE_PICK,
                                          .dtype = kt_loops_dtype(loops, a),
                                          .lanes = lanes,
                                          .a = a,
                                          .b = b,
                                          .numbers = copy_numbers(loops, lanes, picks)});
}

kt_reg kt_loops_runs(kt_loops *loops, kt_reg a, kt_reg b, int run, bool odd) {
    int lanes = kt_loops_lanes(loops, a);
    KT_ASSERT(run >= 1 && lanes % (2 * run) == 0);
    int64_t *picks = KT_NEW_ARRAY(loops->arena, int64_t, lanes);
    for (int i = 0; i < lanes; i++)
        picks[i] = (i / run % 2 != 0 ? i - run + lanes : i) + (odd ? run : 0); /* b's are counted on */
    return kt_loops_pick(loops, a, b, lanes, picks);
}

kt_reg kt_loops_spread(kt_loops *loops, kt_reg a, int lanes, int64_t first, int64_t run, int64_t step) {
    int last = kt_loops_lanes(loops, a) - 1;
    if (last == 0) return kt_loops_splat(loops, a, lanes);
    int64_t *picks = KT_NEW_ARRAY(loops->arena, int64_t, lanes);
    for (int i = 0; i < lanes; i++) {
        int64_t lane = first + i / run * step;
        picks[i] = lane < last ? lane : last;
    }
    return kt_loops_pick(loops, a, 0, lanes, picks);
}

kt_reg kt_loops_fold(kt_loops *loops, kt_reduction kind, kt_reg vector) {
    if (kt_loops_lanes(loops, vector) == 1) return vector;
    return append(loops, (kt_code){.code = KT_CODE_FOLD,
                                   .reduction = kind,
                                   .dtype = kt_loops_dtype(loops, vector),
                                   .lanes = 1,
                                   .a = vector});
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A mask that is always true is none. */
static kt_reg needed_mask(const kt_loops *loops, kt_reg mask) {
    if (mask == 0) return 0;
    const kt_code *code = maker(loops, mask);
    return code->code == KT_CODE_CONST && code->integer ? 0 : mask;
}

static bool is_buffer(const kt_loops *loops, uint32_t buffer) {
    return buffer < loops->buffer_count + (loops->scratch_elements > 0);
}

uint32_t kt_loops_scratch(kt_loops *loops, kt_dtype dtype, int64_t elements) {
    uint32_t scratch = loops->buffer_count;
    KT_ASSERT(loops->scratch_elements == 0 && elements > 0);
    KT_ASSERT(elements <= KT_SCRATCH_BYTES / (int64_t)kt_dtype_bytes(dtype));
    loops->scratch_elements = elements;
    loops->buffer_dtypes[scratch] = dtype;
    loops->buffer_elements[scratch] = kt_dim_const(loops->graph->dims, elements);
    return scratch;
}

kt_reg kt_loops_load(kt_loops *loops, uint32_t buffer, kt_reg index, int lanes, kt_reg mask) {
    KT_ASSERT(is_buffer(loops, buffer));
    return append(loops, (kt_code){.code = KT_CODE_LOAD,
                                   .dtype = loops->buffer_dtypes[buffer],
                                   .lanes = lanes,
                                   .a = index,
                                   .mask = needed_mask(loops, mask),
                                   .buffer = buffer});
}

kt_reg kt_loops_load_words(kt_loops *loops, uint32_t buffer, kt_reg index, int lanes) {
    KT_ASSERT(is_buffer(loops, buffer) && kt_dtype_bytes(loops->buffer_dtypes[buffer]) < KT_WORD_BYTES);
    return append(loops, (kt_code){.code = KT_CODE_LOAD,
                                   .dtype = KT_I32,
                                   .lanes = lanes,
                                   .a = index,
                                   .buffer = buffer,
                                   .flag = true});
}

kt_reg kt_loops_gather(kt_loops *loops, uint32_t buffer, kt_reg indices, kt_reg mask) {
    KT_ASSERT(is_buffer(loops, buffer));
    int lanes = kt_loops_lanes(loops, indices);
    if (lanes == 1) return kt_loops_load(loops, buffer, indices, 1, mask);
    return append(loops, (kt_code){.code = KT_CODE_GATHER,
                                   .dtype = loops->buffer_dtypes[buffer],
                                   .lanes = lanes,
                                   .a = indices,
                                   .mask = needed_mask(loops, mask),
                                   .buffer = buffer});
}

void kt_loops_store_words(kt_loops *loops, uint32_t buffer, kt_reg index, kt_reg value) {
    KT_ASSERT(is_buffer(loops, buffer) && kt_loops_dtype(loops, value) == KT_I32);
    KT_ASSERT(kt_dtype_bytes(loops->buffer_dtypes[buffer]) < KT_WORD_BYTES);
    append_plain(loops, (kt_code){.code = KT_CODE_STORE,
                                  .lanes = kt_loops_lanes(loops, value),
                                  .a = index,
                                  .b = value,
                                  .buffer = buffer,
                                  .flag = true});
}

void kt_loops_store(kt_loops *loops, uint32_t buffer, kt_reg index, kt_reg value, kt_reg mask) {
    KT_ASSERT(is_buffer(loops, buffer) && kt_loops_dtype(loops, value) == loops->buffer_dtypes[buffer]);
    append_plain(loops, (kt_code){.code = KT_CODE_STORE,
                                  .lanes = kt_loops_lanes(loops, value),
                                  .a = index,
                                  .b = value,
                                  .mask = needed_mask(loops, mask),
                                  .buffer = buffer});
}

void kt_loops_scatter(kt_loops *loops, uint32_t buffer, kt_reg indices, kt_reg value, kt_reg mask) {
    KT_ASSERT(is_buffer(loops, buffer) && kt_loops_dtype(loops, value) == loops->buffer_dtypes[buffer]);
    match_lanes(loops, &indices, &value);
    if (kt_loops_lanes(loops, value) == 1) {
        kt_loops_store(loops, buffer, indices, value, mask);
        return;
    }
    append_plain(loops, (kt_code){.code = KT_CODE_SCATTER,
                                  .lanes = kt_loops_lanes(loops, value),
                                  .a = indices,
                                  .b = value,
                                  .mask = needed_mask(loops, mask),
                                  .buffer = buffer});
}

void kt_loops_prefetch(kt_loops *loops, uint32_t buffer, kt_reg index) {
    KT_ASSERT(is_buffer(loops, buffer));
    append_plain(loops, (kt_code){.code = KT_CODE_PREFETCH, .lanes = 1, .a = index, .buffer = buffer});
}

void kt_loops_product(kt_loops *loops, const kt_product_call *call) {
    kt_product_call *product = KT_NEW(loops->arena, kt_product_call);
    *product = *call;
    KT_ASSERT(is_buffer(loops, call->a) && is_buffer(loops, call->b) && is_buffer(loops, call->c));
    KT_ASSERT(loops->buffer_dtypes[call->a] == loops->buffer_dtypes[call->c] &&
              loops->buffer_dtypes[call->b] == loops->buffer_dtypes[call->c]);
    append_plain(loops, (kt_code){.code = KT_CODE_PRODUCT, .lanes = 1, .product = product});
}

kt_cell kt_loops_cell(kt_loops *loops, const char *name, kt_dtype dtype, int lanes, uint32_t count) {
    KT_PUSH(loops->arena, &loops->cells,
            ((kt_cell_info){.name = name, .dtype = dtype, .lanes = lanes, .count = count}));
    return loops->cells.count - 1;
}

kt_reg kt_loops_get(kt_loops *loops, kt_cell cell, kt_reg index) {
    KT_ASSERT(cell != 0 && cell < loops->cells.count);
    const kt_cell_info *info = &loops->cells.at[cell];
    return append(
        loops,
        (kt_code){.code = KT_CODE_GET, .dtype = info->dtype, .lanes = info->lanes, .a = index, .cell = cell});
}

void kt_loops_set(kt_loops *loops, kt_cell cell, kt_reg index, kt_reg value) {
    KT_ASSERT(cell != 0 && cell < loops->cells.count);
    const kt_cell_info *info = &loops->cells.at[cell];
    value = kt_loops_splat(loops, value, info->lanes);
    KT_ASSERT(kt_loops_dtype(loops, value) == info->dtype);
    append_plain(loops,
                 (kt_code){.code = KT_CODE_SET, .lanes = info->lanes, .a = index, .b = value, .cell = cell});
}

/* ---- control --------------------------------------------------------------------------------- */

static void check_parallel(kt_loops *loops, kt_reg begin, kt_reg end, kt_reg step) {
    int64_t first, stride;
    KT_ASSERT(kt_loops_is_int(loops, begin, &first) && first == 0);
    KT_ASSERT(kt_loops_is_int(loops, step, &stride) && stride == 1);
    for (uint32_t i = 0; i < loops->code.count; i++)
        KT_ASSERT(loops->code.at[i].code != KT_CODE_LOOP || loops->code.at[i].loop != KT_LOOP_PARALLEL);
    loops->units = as_dim(loops, end);
    KT_ASSERT(loops->units != 0);
}

kt_reg kt_loops_begin(kt_loops *loops, kt_loop_kind kind, kt_reg begin, kt_reg end, kt_reg step,
                      const char *comment) {
    int64_t first, last, stride;
    bool known = kt_loops_is_int(loops, begin, &first) && kt_loops_is_int(loops, end, &last) &&
                 kt_loops_is_int(loops, step, &stride);
    KT_ASSERT(known || kind != KT_LOOP_UNROLL);
    if (kind == KT_LOOP_PARALLEL) check_parallel(loops, begin, end, step);
    /* One turn is no loop: expanded, its index is a constant. */
    if (kind == KT_LOOP_SERIAL && known && first < last && last - first <= stride) kind = KT_LOOP_UNROLL;
    return append(loops, (kt_code){.code = KT_CODE_LOOP,
                                   .loop = kind,
                                   .dtype = KT_I64,
                                   .lanes = 1,
                                   .a = begin,
                                   .b = end,
                                   .c = step,
                                   .comment = comment});
}

void kt_loops_if(kt_loops *loops, kt_reg condition) {
    KT_ASSERT(kt_loops_dtype(loops, condition) == KT_BOOL && kt_loops_lanes(loops, condition) == 1);
    append_plain(loops, (kt_code){.code = KT_CODE_IF, .lanes = 1, .a = condition});
}

void kt_loops_end(kt_loops *loops) { append_plain(loops, (kt_code){.code = KT_CODE_END}); }
