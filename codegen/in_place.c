/* Whether a kernel may write a result over an operand, found out by running its loop form on indices alone:
 * what places it reads and writes, in what order, and in which units of its parallel loop, at given sizes.
 *
 * passes/plan.c decides from the graph that a kernel reads an element only to write the result's at its
 * place; how the kernel goes about it is for codegen/lower to choose. Here the one is held against the other.
 *
 * Only what the accesses in question depend on is run: indices, masks, conditions and bounds. A condition or
 * mask that data decide is taken as true; an index or bound that they decide is a fault, since the plan knows
 * no such kernel to be in place. */
#include "codegen/in_place.h"

#include <inttypes.h>

enum { MOST_STEPS = 400000, UNREAD = -1, MANY_UNITS = -2 };
static const int64_t most_elements = INT64_C(1) << 22;

typedef struct walk {
    const kt_loops *loops;
    const int64_t *symbols;
    kt_arena *arena;
    uint32_t operand, result;
    bool *needed;    /* by register */
    bool *runs;      /* by instruction: it is run */
    uint32_t *ends;  /* by position of a LOOP or IF: that of its END */
    uint32_t *first; /* by register: where its lanes begin in values */
    int64_t *values;
    bool *known; /* beside values */
    int64_t elements;
    int64_t *reader; /* by element of the operand: the unit that reads it, or one of the numbers above */
    bool *written;
    int64_t unit;
    uint32_t steps;
    const char *fault;
} walk;

/* ---- what is run ----------------------------------------------------------------------------- */
static bool is_shared(const walk *w, uint32_t buffer) { return buffer == w->operand || buffer == w->result; }

static bool accesses(const walk *w, const kt_code *code) {
    switch (code->code) {
    case KT_CODE_LOAD:
    case KT_CODE_GATHER:
    case KT_CODE_STORE:
    case KT_CODE_SCATTER: return is_shared(w, code->buffer);
    default: return false;
    }
}

static void need(walk *w, kt_reg reg, bool *changed) {
    if (reg == 0 || w->needed[reg]) return;
    w->needed[reg] = *changed = true;
}

/* What instruction i needs if it is run; a load's or store's data are not wanted. */
static void need_operands(walk *w, const kt_code *code, bool *changed) {
    bool stores = code->code == KT_CODE_STORE || code->code == KT_CODE_SCATTER;
    need(w, code->a, changed);
    if (!stores) need(w, code->b, changed);
    need(w, code->c, changed);
    need(w, code->mask, changed);
}

static void find_ends(walk *w) {
    KT_VECTOR(uint32_t) open = {0};
    for (uint32_t i = 0; i < w->loops->code.count; i++) {
        kt_code_op op = w->loops->code.at[i].code;
        if (op == KT_CODE_LOOP || op == KT_CODE_IF) KT_PUSH(w->arena, &open, i);
        if (op == KT_CODE_END && open.count > 0) w->ends[open.at[--open.count]] = i;
    }
}

static bool is_wanted(const walk *w, uint32_t i) {
    const kt_code *code = &w->loops->code.at[i];
    if (accesses(w, code)) return true;
    if (code->code == KT_CODE_LOOP || code->code == KT_CODE_IF) {
        for (uint32_t k = i + 1; k < w->ends[i]; k++)
            if (w->runs[k]) return true;
        return false;
    }
    return code->result && w->needed[code->result];
}

static void find_wanted(walk *w) {
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = w->loops->code.count; i-- > 0;) {
            if (w->runs[i] || !is_wanted(w, i)) continue;
            w->runs[i] = changed = true;
            need_operands(w, &w->loops->code.at[i], &changed);
        }
    }
}

/* ---- registers ------------------------------------------------------------------------------- */
static void allot(walk *w) {
    const kt_loops *loops = w->loops;
    uint32_t count = 0;
    for (uint32_t i = 1; i < loops->registers.count; i++) {
        w->first[i] = count;
        count += (uint32_t)loops->registers.at[i].lanes;
    }
    w->values = KT_NEW_ARRAY(w->arena, int64_t, count + 1);
    w->known = KT_NEW_ARRAY(w->arena, bool, count + 1);
    for (uint32_t i = 1; i < loops->registers.count; i++) {
        const kt_code *code = &loops->registers.at[i];
        bool lanes = code->code == KT_CODE_LANES,
             whole = code->code == KT_CODE_CONST && !kt_dtype_is_float(code->dtype);
        if (!lanes && !whole && code->code != KT_CODE_DIM) continue;
        int64_t value = code->code == KT_CODE_DIM ? kt_dim_eval(loops->graph->dims, code->dim, w->symbols)
                                                  : code->integer;
        for (int lane = 0; lane < code->lanes; lane++) {
            w->values[w->first[i] + (uint32_t)lane] = lanes ? code->numbers[lane] : value;
            w->known[w->first[i] + (uint32_t)lane] = true;
        }
    }
}

/* Lane of a register; of one of a single lane, that. */
static bool read_lane(const walk *w, kt_reg reg, int lane, int64_t *out) {
    uint32_t at = w->first[reg] + (uint32_t)(w->loops->registers.at[reg].lanes > 1 ? lane : 0);
    *out = w->values[at];
    return w->known[at];
}

static bool compute_index(kt_index_op op, int64_t a, int64_t b, int64_t *out) {
    switch (op) {
    case KT_INDEX_ADD: return !__builtin_add_overflow(a, b, out);
    case KT_INDEX_SUB: return !__builtin_sub_overflow(a, b, out);
    case KT_INDEX_MUL: return !__builtin_mul_overflow(a, b, out);
    case KT_INDEX_DIV: *out = b > 0 ? a / b : 0; return b > 0;
    case KT_INDEX_MOD: *out = b > 0 ? a % b : 0; return b > 0;
    case KT_INDEX_MIN: *out = a < b ? a : b; return true;
    case KT_INDEX_MAX: *out = a > b ? a : b; return true;
    case KT_INDEX_LT: *out = a < b; return true;
    case KT_INDEX_EQ: *out = a == b; return true;
    case KT_INDEX_AND: *out = a && b; return true;
    }
    return false;
}

/* Of the operations of ops.def, those that masks and conditions are made of. */
static bool compute_lane(const walk *w, const kt_code *code, int lane, int64_t *out) {
    int64_t a = 0, b = 0;
    bool has_a = code->a && read_lane(w, code->a, lane, &a),
         has_b = code->b && read_lane(w, code->b, lane, &b);
    switch (code->code) {
    case KT_CODE_INDEX: return has_a && has_b && compute_index(code->index_op, a, b, out);
    case KT_CODE_SPLAT: *out = a; return has_a;
    case KT_CODE_RAMP: *out = a + lane; return has_a;
    case KT_CODE_MASK: *out = lane < a; return has_a;
    case KT_CODE_APPLY: break;
    default: return false;
    }
    bool logical = code->dtype == KT_BOOL;
    switch (code->op) {
    case KT_OP_not: *out = !a; return has_a && logical;
    case KT_OP_and: *out = a && b; return has_a && has_b && logical;
    case KT_OP_or: *out = a || b; return has_a && has_b && logical;
    case KT_OP_select:
        if (!has_a) return false;
        if (a) *out = b;
        return a ? has_b : read_lane(w, code->c, lane, out);
    default: return false;
    }
}

static void run_plain(walk *w, const kt_code *code) {
    for (int lane = 0; lane < code->lanes; lane++) {
        uint32_t at = w->first[code->result] + (uint32_t)lane;
        w->known[at] = compute_lane(w, code, lane, &w->values[at]);
    }
}

/* ---- accesses -------------------------------------------------------------------------------- */
static void read_element(walk *w, int64_t element) {
    if (w->written[element])
        w->fault = kt_arena_format(w->arena, "element %" PRId64 " is read after it is written", element);
    int64_t *reader = &w->reader[element];
    *reader = *reader == UNREAD || *reader == w->unit ? w->unit : MANY_UNITS;
}

static void write_element(walk *w, int64_t element) {
    int64_t reader = w->reader[element];
    if (reader != UNREAD && reader != w->unit)
        w->fault = kt_arena_format(w->arena, "element %" PRId64 " is written by one unit and read by another",
                                   element);
    w->written[element] = true;
}

static void run_access(walk *w, const kt_code *code) {
    bool spread = code->code == KT_CODE_GATHER || code->code == KT_CODE_SCATTER;
    bool reads = code->code == KT_CODE_LOAD || code->code == KT_CODE_GATHER;
    bool words = (code->code == KT_CODE_LOAD || code->code == KT_CODE_STORE) && code->flag;
    int width = words ? KT_WORD_BYTES / (int)kt_dtype_bytes(w->loops->buffer_dtypes[code->buffer])
                      : 1; /* elements of a lane */
    /* Each buffer may be read or written: only reads of the operand and writes of the result meet. */
    if (code->buffer != (reads ? w->operand : w->result)) return;
    for (int lane = 0; lane < code->lanes && !w->fault; lane++) {
        int64_t index, counts = 1;
        if (code->mask && read_lane(w, code->mask, lane, &counts) && !counts) continue;
        if (!read_lane(w, code->a, spread ? lane : 0, &index)) {
            w->fault = "data decide what is accessed";
            return;
        }
        if (!spread) index += lane;
        for (int i = 0; i < width && !w->fault; i++) {
            int64_t element = index * width + i;
            if (element < 0 || element >= w->elements)
                w->fault = kt_arena_format(w->arena, "element %" PRId64 " of %" PRId64 " is accessed",
                                           element, w->elements);
            else if (reads)
                read_element(w, element);
            else
                write_element(w, element);
        }
    }
}

/* ---- control --------------------------------------------------------------------------------- */
static void run_block(walk *w, uint32_t begin, uint32_t end);

static void run_loop(walk *w, const kt_code *code, uint32_t begin, uint32_t end) {
    int64_t first, last, step;
    if (!read_lane(w, code->a, 0, &first) || !read_lane(w, code->b, 0, &last) ||
        !read_lane(w, code->c, 0, &step)) {
        w->fault = "data decide how often it turns";
        return;
    }
    for (int64_t i = first; i < last && !w->fault && w->steps < MOST_STEPS; i += step) {
        w->values[w->first[code->result]] = i;
        w->known[w->first[code->result]] = true;
        if (code->loop == KT_LOOP_PARALLEL) w->unit = i;
        w->steps++;
        run_block(w, begin, end);
    }
}

static void run_block(walk *w, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end && !w->fault && w->steps < MOST_STEPS; i++) {
        const kt_code *code = &w->loops->code.at[i];
        bool block = code->code == KT_CODE_LOOP || code->code == KT_CODE_IF;
        if (w->runs[i]) {
            int64_t condition;
            w->steps++;
            if (accesses(w, code))
                run_access(w, code);
            else if (code->code == KT_CODE_LOOP)
                run_loop(w, code, i + 1, w->ends[i]);
            else if (code->code != KT_CODE_IF)
                run_plain(w, code);
            else if (!read_lane(w, code->a, 0, &condition) || condition)
                run_block(w, i + 1, w->ends[i]);
        }
        if (block) i = w->ends[i];
    }
}

const char *kt_in_place_fault(const kt_loops *loops, uint32_t operand, uint32_t result,
                              const int64_t *symbols, kt_arena *arena) {
    KT_ASSERT(operand < loops->buffer_count && result < loops->buffer_count &&
              loops->buffer_is_result[result]);
    walk w = {.loops = loops, .symbols = symbols, .arena = arena, .operand = operand, .result = result};
    w.elements = kt_dim_eval(loops->graph->dims, loops->buffer_elements[operand], symbols);
    if (w.elements != kt_dim_eval(loops->graph->dims, loops->buffer_elements[result], symbols) ||
        kt_dtype_bytes(loops->buffer_dtypes[operand]) != kt_dtype_bytes(loops->buffer_dtypes[result]))
        return "their elements are not alike";
    if (loops->cells.count > 1) return "it has cells, so its accesses are told to LLVM as lying apart";
    for (uint32_t i = 0; i < loops->code.count; i++)
        if (loops->code.at[i].code == KT_CODE_PRODUCT) return "it multiplies by a call";
    if (w.elements <= 0 || w.elements > most_elements) return NULL;
    w.needed = KT_NEW_ARRAY(arena, bool, loops->registers.count);
    w.runs = KT_NEW_ARRAY(arena, bool, loops->code.count + 1);
    w.ends = KT_NEW_ARRAY(arena, uint32_t, loops->code.count + 1);
    w.first = KT_NEW_ARRAY(arena, uint32_t, loops->registers.count);
    w.reader = KT_NEW_ARRAY(arena, int64_t, w.elements);
    w.written = KT_NEW_ARRAY(arena, bool, w.elements);
    for (int64_t i = 0; i < w.elements; i++) w.reader[i] = UNREAD;
    find_ends(&w);
    find_wanted(&w);
    allot(&w);
    run_block(&w, 0, loops->code.count);
    return w.fault;
}

/* ---- plans ----------------------------------------------------------------------------------- */
typedef struct checking {
    const kt_graph *graph;
    const kt_plan *plan;
    const kt_loops *const *loops;
    kt_arena *arena;
    kt_arena *walked; /* what one walk takes: some bytes for each element */
} checking;

static void end_walk(checking *c) {
    if (c->walked) kt_arena_destroy(c->walked);
    c->walked = NULL;
}

static void check_pair(checking *c, const kt_loops *loops, uint32_t operand, uint32_t result) {
    static const int64_t sizes[] = {1, 3, 17}; /* one lane, part of a vector, several */
    uint32_t symbol_count = kt_dim_symbol_count(c->graph->dims);
    int64_t *symbols = KT_NEW_ARRAY(c->arena, int64_t, symbol_count + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t s = 0; s < symbol_count; s++) symbols[s] = sizes[i] + s;
        c->walked = kt_arena_create();
        const char *fault = kt_in_place_fault(loops, operand, result, symbols, c->walked);
        if (fault)
            KT_BUG("kernel %s cannot write argument %u over argument %u: %s", loops->name, result, operand,
                   fault);
        end_walk(c);
        if (symbol_count == 0) break;
    }
}

static kt_status check_steps(void *context) {
    checking *c = context;
    c->arena = kt_arena_create();
    kt_table checked = {0};
    for (uint32_t i = 0; i < c->plan->steps.count; i++) {
        const kt_plan_step *step = &c->plan->steps.at[i];
        uint32_t params = kt_graph_function(c->graph, step->kernel)->params.count;
        for (uint32_t result = params; result < step->args.count; result++)
            for (uint32_t operand = 0; operand < params; operand++) {
                const uint32_t key[] = {step->kernel, operand, result};
                if (step->args.at[operand] != step->args.at[result] ||
                    kt_table_find(&checked, key, sizeof key))
                    continue;
                kt_table_add(&checked, c->arena, key, sizeof key, 0);
                check_pair(c, c->loops[step->kernel], operand, result);
            }
    }
    return KT_OK;
}

kt_status kt_in_place_check(const kt_graph *graph, const kt_plan *plan, const kt_loops *const *loops,
                            kt_diag *diag) {
    checking c = {.graph = graph, .plan = plan, .loops = loops};
    kt_status status = kt_guarded(check_steps, &c, diag);
    end_walk(&c); /* which memory ran out in */
    if (c.arena) kt_arena_destroy(c.arena);
    return status;
}
