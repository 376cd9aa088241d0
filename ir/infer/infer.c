/* Inference: the dispatch table made of ops.def, what holds for every operation, and shared checks.
 *
 * For every operation, before its own constraints: it has as many operands and results as its row says, lists
 * and ranks are at most KT_MAX_RANK long, and no operand is a string (strings are passed along by call only).
 */
#include "ir/infer/infer_impl.h"

static kt_infer_fn *const functions[KT_OP_COUNT] = {
#define KT_UNARY(name, domain, gradient, doc)                 [KT_OP_##name] = kt_infer_unary,
#define KT_BINARY(name, domain, traits, gradient, doc)        [KT_OP_##name] = kt_infer_binary,
#define KT_COMPARE(name, domain, doc)                         [KT_OP_##name] = kt_infer_compare,
#define KT_OP(name, operands, results, traits, gradient, doc) [KT_OP_##name] = kt_infer_##name,
#include "ir/ops.def"
};

static kt_status check_type(kt_infer *infer, const kt_type *type) {
    if (type->rank > KT_MAX_RANK)
        return kt_infer_fail(infer, 0, "a tensor has at most %d dimensions, not %d.", KT_MAX_RANK,
                             type->rank);
    if (type->dtype >= KT_DTYPE_COUNT) return kt_infer_fail(infer, 0, "there is no dtype %d.", type->dtype);
    return KT_OK;
}

static kt_status check_count(kt_infer *infer, const char *list, uint32_t count) {
    if (count <= KT_MAX_RANK) return KT_OK;
    return kt_infer_fail(infer, 0, "%s has %u entries, but a tensor has at most %d dimensions.", list, count,
                         KT_MAX_RANK);
}

/* What later code relies on so that it can read attributes without looking. */
static kt_status check_attrs(kt_infer *infer) {
    const kt_op_info *info = kt_op_describe(infer->op);
    for (uint32_t i = 0; i < info->attr_count; i++) {
        const kt_attr_info *attr = &info->attrs[i];
        const void *field = (const char *)infer->attrs + attr->offset;
        switch (attr->kind) {
        case KT_ATTR_ints: KT_TRY(check_count(infer, attr->name, ((const kt_ints *)field)->count)); break;
        case KT_ATTR_dims: KT_TRY(check_count(infer, attr->name, ((const kt_dims *)field)->count)); break;
        case KT_ATTR_type: KT_TRY(check_type(infer, field)); break;
        case KT_ATTR_dtype:
            if (*(const kt_dtype *)field >= KT_DTYPE_COUNT)
                return kt_infer_fail(infer, 0, "there is no dtype %d.", *(const kt_dtype *)field);
            break;
        case KT_ATTR_reduction:
            if ((unsigned)*(const kt_reduction *)field > KT_REDUCE_MINIMUM)
                return kt_infer_fail(infer, 0, "there is no reduction %d.",
                                     (int)*(const kt_reduction *)field);
            break;
        case KT_ATTR_int:
        case KT_ATTR_dim:
        case KT_ATTR_literal:
        case KT_ATTR_func: break;
        }
    }
    return KT_OK;
}

kt_status kt_infer_node(kt_infer *infer) {
    if (infer->op <= KT_OP_NONE || infer->op >= KT_OP_COUNT) KT_BUG("no operation %d", (int)infer->op);
    const kt_op_info *info = kt_op_describe(infer->op);
    KT_ASSERT(info->attr_count == 0 || infer->attrs);
    KT_ASSERT(infer->result_count == kt_op_result_count(infer->graph, infer->op, infer->attrs));
    if (info->operands != KT_MANY && infer->operand_count != (uint32_t)info->operands)
        return kt_infer_fail(infer, 0, "it takes %d operands, but has %u.", info->operands,
                             infer->operand_count);
    for (uint32_t i = 0; i < infer->operand_count; i++) {
        KT_TRY(check_type(infer, &infer->operands[i]));
        if (infer->operands[i].dtype == KT_STRING && !kt_op_is(infer->op, KT_CALLS))
            return kt_infer_fail(infer, 0, "operand %u is of strings, which no operation works on.", i);
    }
    KT_TRY(check_attrs(infer));
    return functions[infer->op](infer);
}

/* ---- problems -------------------------------------------------------------------------------- */

static const char *label(const kt_infer *infer, int constraint) {
    const char *name = kt_op_describe(infer->op)->name;
    return constraint ? kt_arena_format(infer->graph->arena, "%s C%d", name, constraint) : name;
}

static kt_status fail(kt_infer *infer, int constraint, const char *sentence) {
    return kt_diag_add(infer->diag, KT_INVALID, kt_loc_string(infer->graph, infer->loc), "%s: %s",
                       label(infer, constraint), sentence);
}

kt_status kt_infer_fail(kt_infer *infer, int constraint, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *sentence = kt_arena_vformat(infer->graph->arena, format, arguments);
    va_end(arguments);
    return fail(infer, constraint, sentence);
}

const char *kt_infer_show(const kt_infer *infer, const kt_type *type) {
    return kt_type_string(infer->graph->dims, type, infer->graph->arena);
}

const char *kt_infer_show_dim(const kt_infer *infer, kt_dim dim) {
    kt_text text = {.arena = infer->graph->arena};
    kt_dim_print(infer->graph->dims, dim, &text);
    return kt_text_string(&text);
}

/* An open constraint: left = right is to be checked at the entry. */
static void defer(kt_infer *infer, int constraint, kt_dim left, kt_dim right, const char *sentence) {
    kt_arena *arena = infer->graph->arena;
    const char *where = kt_loc_string(infer->graph, infer->loc);
    const char *whole = kt_arena_format(arena, "%s%s%s: %s", where ? where : "", where ? ": " : "",
                                        label(infer, constraint), sentence);
    kt_graph_add_equality(infer->graph, left, right, whole);
}

/* ---- checks ---------------------------------------------------------------------------------- */

kt_status kt_infer_equal(kt_infer *infer, int constraint, kt_dim a, kt_dim b, const char *format, ...) {
    kt_agreement agreement = kt_dim_compare(infer->graph->dims, a, b);
    if (agreement == KT_AGREE_ALWAYS) return KT_OK;
    kt_arena *arena = infer->graph->arena;
    va_list arguments;
    va_start(arguments, format);
    const char *what = kt_arena_vformat(arena, format, arguments);
    va_end(arguments);
    const char *sentence = kt_arena_format(arena, "%s must be equal, but are %s and %s.", what,
                                           kt_infer_show_dim(infer, a), kt_infer_show_dim(infer, b));
    if (agreement == KT_AGREE_NEVER) return fail(infer, constraint, sentence);
    defer(infer, constraint, a, b, sentence);
    return KT_OK;
}

kt_status kt_infer_at_least(kt_infer *infer, int constraint, kt_dim dim, int64_t bound, const char *format,
                            ...) {
    kt_dim_pool *pool = infer->graph->dims;
    if (kt_dim_at_least(pool, dim, bound)) return KT_OK;
    kt_arena *arena = infer->graph->arena;
    va_list arguments;
    va_start(arguments, format);
    const char *what = kt_arena_vformat(arena, format, arguments);
    va_end(arguments);
    const char *sentence = kt_arena_format(arena, "%s must be at least %lld, but is %s.", what,
                                           (long long)bound, kt_infer_show_dim(infer, dim));
    kt_dim floor = kt_dim_const(pool, bound);
    if (kt_dim_at_least(pool, kt_dim_sub(pool, floor, dim), 1)) return fail(infer, constraint, sentence);
    defer(infer, constraint, dim, kt_dim_max(pool, dim, floor), sentence);
    return KT_OK;
}

kt_status kt_infer_count(kt_infer *infer, int constraint, const char *list, uint32_t count,
                         uint32_t expected) {
    if (count == expected) return KT_OK;
    return kt_infer_fail(infer, constraint, "%s has %u entries where %u are needed.", list, count, expected);
}

kt_status kt_infer_bounds(kt_infer *infer, int constraint, const char *list, const kt_ints *ints,
                          int64_t bound) {
    for (uint32_t i = 0; i < ints->count; i++)
        if (ints->at[i] < bound || ints->at[i] > INT32_MAX)
            return kt_infer_fail(infer, constraint,
                                 "%s[%u] must be at least %lld and below 2^31, but is %lld.", list, i,
                                 (long long)bound, (long long)ints->at[i]);
    return KT_OK;
}

kt_status kt_infer_axis(kt_infer *infer, int constraint, int64_t axis, int rank) {
    if (axis >= 0 && axis < rank) return KT_OK;
    return kt_infer_fail(infer, constraint, "there is no axis %lld in a tensor of %d dimensions.",
                         (long long)axis, rank);
}

kt_status kt_infer_axes(kt_infer *infer, int constraint, const kt_ints *axes, int rank, bool increasing) {
    for (uint32_t i = 0; i < axes->count; i++) {
        KT_TRY(kt_infer_axis(infer, constraint, axes->at[i], rank));
        for (uint32_t j = 0; j < i; j++) {
            if (axes->at[j] == axes->at[i])
                return kt_infer_fail(infer, constraint, "axis %lld is named twice.", (long long)axes->at[i]);
            if (increasing && axes->at[j] > axes->at[i])
                return kt_infer_fail(infer, constraint, "axis %lld must come before axis %lld.",
                                     (long long)axes->at[i], (long long)axes->at[j]);
        }
    }
    return KT_OK;
}

kt_status kt_infer_shape(kt_infer *infer, int constraint, const kt_type *type) {
    for (int i = 0; i < type->rank; i++)
        KT_TRY(kt_infer_at_least(infer, constraint, type->dims[i], 0, "dimension %d of the result", i));
    return KT_OK;
}

kt_dim kt_infer_sharper(const kt_infer *infer, kt_dim a, kt_dim b) {
    return !kt_dim_is_const(infer->graph->dims, a, NULL) && kt_dim_is_const(infer->graph->dims, b, NULL) ? b
                                                                                                         : a;
}

kt_status kt_infer_places(kt_infer *infer, int constraint, const kt_infer_slide *slide, kt_dim *out_places) {
    kt_dim_pool *pool = infer->graph->dims;
    kt_dim padded = kt_dim_add(pool, kt_dim_add(pool, slide->size, slide->low), slide->high);
    kt_dim reach = kt_dim_mul_const(pool, kt_dim_add_const(pool, slide->window, -1), slide->dilation);
    kt_dim room = kt_dim_add_const(pool, kt_dim_sub(pool, padded, reach), -1);
    KT_TRY(kt_infer_at_least(infer, constraint, room, 0,
                             "on axis %d what the window leaves of the padded operand", slide->axis));
    *out_places = kt_dim_add_const(pool, kt_dim_floordiv(pool, room, kt_dim_const(pool, slide->stride)), 1);
    return KT_OK;
}
