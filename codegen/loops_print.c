/* The printed loop form:
 *
 *   kernel relu(a0: f32[784*batch]) -> (a1: f32[784*batch]), units batch
 *     cell acc: f32x8[2]
 *     parallel %1 = 0 .. batch                            # rows
 *       %2 = %1 * 784
 *       %3 = a0[%2] : f32x8, mask %9
 *       %4 = maximum(%3, 0) : f32x8
 *       acc[0] = %4
 *       a1[%2] = %4
 *
 * Registers are numbered as they appear; constants and dimensions stand where they are used. Indentation
 * shows where loops end. */
#include "codegen/loops.h"

#include <math.h>

typedef struct printer {
    const kt_loops *loops;
    kt_text *text;
    uint32_t *numbers; /* by register */
    uint32_t depth;
} printer;

static void print_type(printer *p, kt_dtype dtype, int lanes) {
    kt_text_add(p->text, kt_dtype_name(dtype));
    if (lanes > 1) kt_text_format(p->text, "x%d", lanes);
}

static void print_number(printer *p, double number) {
    if (isnan(number))
        kt_text_add(p->text, "nan");
    else if (isinf(number))
        kt_text_add(p->text, number > 0 ? "inf" : "-inf");
    else
        kt_text_format(p->text, "%.9g", number);
}

static void print_dim(printer *p, kt_dim dim) {
    const kt_dim_pool *pool = p->loops->graph->dims;
    kt_dim_kind kind = kt_dim_describe(pool, dim).kind;
    bool compound = kind == KT_DIM_SUM || kind == KT_DIM_PRODUCT;
    if (compound) kt_text_add(p->text, "(");
    kt_dim_print(pool, dim, p->text);
    if (compound) kt_text_add(p->text, ")");
}

static void print_numbers(printer *p, const kt_code *code) {
    for (int i = 0; i < code->lanes; i++)
        kt_text_format(p->text, "%s%lld", i ? " " : "<", (long long)code->numbers[i]);
    kt_text_add(p->text, ">");
}

static void print_reg(printer *p, kt_reg reg) {
    const kt_code *code = &p->loops->registers.at[reg];
    if (code->code == KT_CODE_DIM)
        print_dim(p, code->dim);
    else if (code->code == KT_CODE_LANES)
        print_numbers(p, code);
    else if (code->code != KT_CODE_CONST)
        kt_text_format(p->text, "%%%u", p->numbers[reg]);
    else if (kt_dtype_is_float(code->dtype))
        print_number(p, code->number);
    else if (code->dtype == KT_BOOL)
        kt_text_add(p->text, code->integer ? "true" : "false");
    else
        kt_text_format(p->text, "%lld", (long long)code->integer);
}

static void print_operands(printer *p, const char *name, const kt_code *code) {
    kt_text_format(p->text, "%s(", name);
    print_reg(p, code->a);
    if (code->b) kt_text_add(p->text, ", ");
    if (code->b) print_reg(p, code->b);
    if (code->c) kt_text_add(p->text, ", ");
    if (code->c) print_reg(p, code->c);
    kt_text_add(p->text, ")");
}

static void print_index(printer *p, const kt_code *code) {
    static const char *const infix[] = {
        [KT_INDEX_ADD] = " + ", [KT_INDEX_SUB] = " - ", [KT_INDEX_MUL] = " * ", [KT_INDEX_DIV] = " / ",
        [KT_INDEX_MOD] = " % ", [KT_INDEX_LT] = " < ",  [KT_INDEX_EQ] = " == ", [KT_INDEX_AND] = " and ",
        [KT_INDEX_MIN] = NULL,  [KT_INDEX_MAX] = NULL,
    };
    if (!infix[code->index_op]) {
        print_operands(p, code->index_op == KT_INDEX_MIN ? "min" : "max", code);
        return;
    }
    print_reg(p, code->a);
    kt_text_add(p->text, infix[code->index_op]);
    print_reg(p, code->b);
}

static void print_place(printer *p, const kt_code *code) {
    bool cell = code->code == KT_CODE_GET || code->code == KT_CODE_SET;
    if (cell)
        kt_text_add(p->text, p->loops->cells.at[code->cell].name);
    else
        kt_text_format(p->text, "a%u", code->buffer);
    bool lanes = code->code == KT_CODE_GATHER || code->code == KT_CODE_SCATTER;
    kt_text_add(p->text, lanes ? "[lanes " : "[");
    if (code->a)
        print_reg(p, code->a);
    else
        kt_text_add(p->text, "0");
    kt_text_add(p->text, "]");
}

static void print_mask(printer *p, const kt_code *code) {
    if (!code->mask) return;
    kt_text_add(p->text, ", mask ");
    print_reg(p, code->mask);
}

static void print_loop(printer *p, const kt_code *code) {
    static const char *const kinds[] = {
        [KT_LOOP_SERIAL] = "for", [KT_LOOP_PARALLEL] = "parallel", [KT_LOOP_UNROLL] = "unroll"};
    int64_t step;
    kt_text_format(p->text, "%s %%%u = ", kinds[code->loop], p->numbers[code->result]);
    print_reg(p, code->a);
    kt_text_add(p->text, " .. ");
    print_reg(p, code->b);
    if (kt_loops_is_int(p->loops, code->c, &step) && step == 1) return;
    kt_text_add(p->text, " by ");
    print_reg(p, code->c);
}

/* What stands right of "%1 = ". */
static void print_value(printer *p, const kt_code *code) {
    switch (code->code) {
    case KT_CODE_APPLY: print_operands(p, kt_op_describe(code->op)->name, code); break;
    case KT_CODE_FMA: print_operands(p, "fma", code); break;
    case KT_CODE_EXP: print_operands(p, "exp_up_to_0", code); break;
    case KT_CODE_DOT: print_operands(p, code->flag ? "dot_i16" : "dot", code); break;
    case KT_CODE_INDEX: print_index(p, code); break;
    case KT_CODE_SPLAT: print_operands(p, "splat", code); break;
    case KT_CODE_RAMP: print_operands(p, "ramp", code); break;
    case KT_CODE_MASK: print_operands(p, "first", code); break;
    case KT_CODE_PICK:
        print_operands(p, "pick", code);
        print_numbers(p, code);
        break;
    case KT_CODE_FOLD:
        kt_text_add(p->text, "fold_");
        print_operands(p, kt_reduction_name(code->reduction), code);
        break;
    case KT_CODE_LOAD:
    case KT_CODE_GATHER:
    case KT_CODE_GET: print_place(p, code); break;
    default: KT_BUG("instruction %d has no value", (int)code->code);
    }
    if (code->dtype != KT_I64 || code->lanes != 1) {
        kt_text_add(p->text, " : ");
        print_type(p, code->dtype, code->lanes);
    }
    print_mask(p, code);
}

static void print_matrix(printer *p, const char *before, uint32_t buffer, kt_reg at) {
    kt_text_format(p->text, "%sa%u[", before, buffer);
    print_reg(p, at);
    kt_text_add(p->text, "]");
}

/* a3[0] = product a0[%1] * a1[0], 128 x 64 x 32, strides 64 1, 32, 32, onto 0: rows, columns and depth; of A
 * both, of B, of C; how many terms the sums hold already */
static void print_product(printer *p, const kt_product_call *call) {
    const struct {
        const char *before;
        kt_reg reg;
    } sizes[] = {{", ", call->rows},          {" x ", call->columns},   {" x ", call->depth},
                 {", strides ", call->a_row}, {" ", call->a_depth},     {", ", call->b_depth},
                 {", ", call->c_row},         {", onto ", call->before}};
    print_matrix(p, "", call->c, call->c_at);
    print_matrix(p, " = product ", call->a, call->a_at);
    print_matrix(p, " * ", call->b, call->b_at);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        kt_text_add(p->text, sizes[i].before);
        print_reg(p, sizes[i].reg);
    }
}

static void print_code(printer *p, const kt_code *code) {
    switch (code->code) {
    case KT_CODE_LOOP: print_loop(p, code); break;
    case KT_CODE_IF:
        kt_text_add(p->text, "if ");
        print_reg(p, code->a);
        break;
    case KT_CODE_PREFETCH:
        kt_text_add(p->text, "prefetch ");
        print_place(p, code);
        break;
    case KT_CODE_PRODUCT: print_product(p, code->product); break;
    case KT_CODE_SET:
    case KT_CODE_STORE:
    case KT_CODE_SCATTER:
        print_place(p, code);
        kt_text_add(p->text, " = ");
        print_reg(p, code->b);
        print_mask(p, code);
        break;
    default: kt_text_format(p->text, "%%%u = ", p->numbers[code->result]); print_value(p, code);
    }
}

static void print_header(printer *p) {
    const kt_loops *loops = p->loops;
    bool results = false;
    kt_text_format(p->text, "kernel %s(", loops->name);
    for (uint32_t i = 0; i < loops->buffer_count; i++) {
        bool first = i == 0;
        if (loops->buffer_is_result[i] && !results) {
            kt_text_add(p->text, ") -> (");
            results = first = true;
        }
        kt_text_format(p->text, "%sa%u: %s[", first ? "" : ", ", i, kt_dtype_name(loops->buffer_dtypes[i]));
        kt_dim_print(loops->graph->dims, loops->buffer_elements[i], p->text);
        kt_text_add(p->text, "]");
    }
    kt_text_add(p->text, "), units ");
    kt_dim_print(loops->graph->dims, loops->units, p->text);
    kt_text_add(p->text, "\n");
    if (loops->scratch_elements)
        kt_text_format(p->text, "  scratch a%u: %s[%lld]\n", loops->buffer_count,
                       kt_dtype_name(loops->buffer_dtypes[loops->buffer_count]),
                       (long long)loops->scratch_elements);
    for (kt_cell i = 1; i < loops->cells.count; i++) {
        const kt_cell_info *cell = &loops->cells.at[i];
        kt_text_format(p->text, "  cell %s: ", cell->name);
        print_type(p, cell->dtype, cell->lanes);
        kt_text_format(p->text, "[%u]\n", cell->count);
    }
}

void kt_loops_print(const kt_loops *loops, kt_text *out_text) {
    printer p = {.loops = loops,
                 .text = out_text,
                 .numbers = KT_NEW_ARRAY(loops->arena, uint32_t, loops->registers.count),
                 .depth = 1};
    uint32_t number = 0;
    print_header(&p);
    for (uint32_t i = 0; i < loops->code.count; i++) {
        const kt_code *code = &loops->code.at[i];
        if (code->code == KT_CODE_END) {
            KT_ASSERT(p.depth > 1);
            p.depth--;
            continue;
        }
        if (code->result) p.numbers[code->result] = ++number;
        kt_text_format(out_text, "%*s", (int)(2 * p.depth), "");
        print_code(&p, code);
        if (code->comment) kt_text_format(out_text, "  # %s", code->comment);
        kt_text_add(out_text, "\n");
        if (code->code == KT_CODE_LOOP || code->code == KT_CODE_IF) p.depth++;
    }
}
