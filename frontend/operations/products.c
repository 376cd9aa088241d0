/* Operation nodes that multiply and sum: dots, outer products, Einstein sums, correlations. */
#include "frontend/layers/einsum_impl.h"
#include "frontend/operations/operations_impl.h"

#include <ctype.h>
#include <string.h>

/* Two tensors of the promoted dtype. Bools are multiplied and summed as int32; that they were bools is left
 * to give. */
static bool take_pair(kt_layer_call *call, kt_value *out_x, kt_value *out_y, bool *out_truth) {
    kt_operand x, y;
    if (!kt_operation_operand(call, 0, "x1", &x) || !kt_operation_operand(call, 1, "x2", &y)) return false;
    kt_dtype dtype = kt_operand_promote(&x, &y);
    *out_truth = dtype == KT_BOOL;
    if (*out_truth) dtype = KT_I32;
    *out_x = kt_operand_cast(call, &x, dtype);
    *out_y = kt_operand_cast(call, &y, dtype);
    return *out_x && *out_y;
}

static void give(kt_layer_call *call, kt_value result, bool truth) {
    call->outputs[0] = truth ? kt_build_cast(call->trace->builder, result, KT_BOOL) : result;
}

static int rank_of(const kt_layer_call *call, kt_value x) {
    return kt_build_type(call->trace->builder, x)->rank;
}

/* Sums over one axis of each; scalars only scale. */
static kt_value contract(const kt_layer_call *call, kt_value x, kt_value y, int x_axis, int y_axis) {
    kt_builder *b = call->trace->builder;
    if (!rank_of(call, x) || !rank_of(call, y)) {
        kt_build_broadcast_pair(b, &x, &y);
        return kt_build_mul(b, x, y);
    }
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {x_axis}}, .rhs_contract = {1, {y_axis}}};
    return kt_build_dot_general(b, x, y, &attrs);
}

static void call_dot(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_value x, y;
    bool truth;
    if (!take_pair(call, &x, &y, &truth)) return;
    int rank = rank_of(call, y);
    give(call, contract(call, x, y, rank_of(call, x) - 1, rank > 1 ? rank - 2 : 0), truth);
}
static void call_inner(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_value x, y;
    bool truth;
    if (!take_pair(call, &x, &y, &truth)) return;
    give(call, contract(call, x, y, rank_of(call, x) - 1, rank_of(call, y) - 1), truth);
}
static void call_vdot(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x, y;
    bool truth;
    if (take_pair(call, &x, &y, &truth))
        give(call, contract(call, kt_flatten(b, x), kt_flatten(b, y), 0, 0), truth);
}

/* Every element of x with every element of y, [x…, y…]. */
static kt_value pair_all(const kt_layer_call *call, kt_value x, kt_value y) {
    return kt_build_dot_general(call->trace->builder, x, y, &(kt_attrs_dot_general){0});
}
static void call_outer(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x, y;
    bool truth;
    if (take_pair(call, &x, &y, &truth))
        give(call, pair_all(call, kt_flatten(b, x), kt_flatten(b, y)), truth);
}

/* Axis by axis, each element of x with all of y. */
static void call_kron(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x, y;
    bool truth;
    if (!take_pair(call, &x, &y, &truth)) return;
    while (rank_of(call, x) < rank_of(call, y)) x = kt_add_axis(b, x, 0);
    while (rank_of(call, y) < rank_of(call, x)) y = kt_add_axis(b, y, 0);
    kt_type tx = *kt_build_type(b, x), ty = *kt_build_type(b, y);
    if (2 * tx.rank > KT_MAX_RANK) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "it takes at most %d axes.", KT_MAX_RANK / 2);
        return;
    }
    int64_t order[KT_MAX_RANK];
    kt_dim shape[KT_MAX_RANK];
    for (int i = 0; i < tx.rank; i++) {
        order[2 * i] = i;
        order[2 * i + 1] = tx.rank + i;
        shape[i] = kt_dim_mul(b->graph->dims, tx.dims[i], ty.dims[i]);
    }
    kt_value all = kt_build_transpose(b, pair_all(call, x, y), order);
    give(call, kt_build_reshape(b, all, tx.rank, shape), truth);
}
// clang-format off
KT_OPERATION(dot,   "Dot",   KT_OPERATION_NUMPY, "the last axis of x1 with the last but one of x2", call_dot)
KT_OPERATION(inner, "Inner", KT_OPERATION_NUMPY, "the last axes of both summed together", call_inner)
KT_OPERATION(vdot,  "Vdot",  KT_OPERATION_NUMPY, "the sum of all products", call_vdot)
KT_OPERATION(outer, "Outer", KT_OPERATION_NUMPY, "every product of two elements", call_outer)
KT_OPERATION(kron,  "Kron",  KT_OPERATION_NUMPY, "each element of x1 with all of x2", call_kron)
// clang-format on

/* ---- Tensordot ------------------------------------------------------------------------------- */
typedef struct tensordot {
    kt_layer layer;
    const json_t *axes;
} tensordot;
static const kt_option tensordot_options[] = {KT_FIELD(tensordot, axes, JSON, "2"), KT_OPTIONS_END};

static bool read_pairs(kt_layer_call *call, const json_t *axes, int x_rank, int y_rank,
                       kt_attrs_dot_general *out) {
    if (json_is_integer(axes)) {
        int64_t count = json_integer_value(axes);
        bool fits = count >= 0 && count <= x_rank && count <= y_rank;
        for (int64_t i = 0; fits && i < count; i++) {
            out->lhs_contract.at[i] = x_rank - count + i;
            out->rhs_contract.at[i] = i;
        }
        out->lhs_contract.count = out->rhs_contract.count = fits ? (uint32_t)count : 0;
        if (!fits) kt_trace_fail(call->trace, KT_INVALID, "it sums over more axes than there are.");
        return fits;
    }
    if (!kt_operation_ints(call, "axes", json_array_get(axes, 0), &out->lhs_contract) ||
        !kt_operation_ints(call, "axes", json_array_get(axes, 1), &out->rhs_contract))
        return false;
    for (uint32_t i = 0; i < out->lhs_contract.count; i++) {
        int at = kt_call_axis(call, out->lhs_contract.at[i], x_rank);
        if (at < 0) return false;
        out->lhs_contract.at[i] = at;
    }
    for (uint32_t i = 0; i < out->rhs_contract.count; i++) {
        int at = kt_call_axis(call, out->rhs_contract.at[i], y_rank);
        if (at < 0) return false;
        out->rhs_contract.at[i] = at;
    }
    return true;
}

static void call_tensordot(kt_layer *layer, kt_layer_call *call) {
    kt_value x, y;
    bool truth;
    kt_attrs_dot_general attrs = {0};
    if (!take_pair(call, &x, &y, &truth)) return;
    if (read_pairs(call, ((const tensordot *)layer)->axes, rank_of(call, x), rank_of(call, y), &attrs))
        give(call, kt_build_dot_general(call->trace->builder, x, y, &attrs), truth);
}
KT_OPERATION_WITH(tensordot, "Tensordot", KT_OPERATION_NUMPY, "products summed over pairs of axes", tensordot,
                  tensordot_options, call_tensordot)

/* ---- Einsum
 * ------------------------------------------------------------------------------------------------
 * Any number of operands, which are multiplied from left to right. A letter that stands twice in one operand
 * is its diagonal. The axes of an ellipsis have labels of their own, '\1' the last. An axis of size 1 is
 * left out where another operand is wider. */
typedef struct einsum {
    kt_layer layer;
    const char *subscripts;
} einsum;
static const kt_option einsum_options[] = {KT_FIELD(einsum, subscripts, STRING, NULL), KT_OPTIONS_END};

enum { MOST_OPERANDS = 16 };
typedef struct term {
    char labels[KT_MAX_RANK + 1]; /* of its axes */
    kt_value value;
} term;

/* Writes the labels of one term, `rank` of them if it stands for a tensor; -1: the ellipsis has `elided`
 * axes. NULL if it is none. */
static const char *read_term(const char *at, int rank, int elided, char *out_labels) {
    int count = 0, letters = 0;
    for (const char *c = at; isalpha((unsigned char)*c) || *c == '.'; c++) letters += *c != '.';
    if (rank >= 0) elided = rank - letters;
    for (; isalpha((unsigned char)*at) || *at == '.'; at++) {
        if (*at != '.') {
            if (count == KT_MAX_RANK) return NULL;
            out_labels[count++] = *at;
            continue;
        }
        if (strncmp(at, "...", 3) != 0 || elided < 0 || count + elided > KT_MAX_RANK) return NULL;
        for (int i = elided; i > 0; i--) out_labels[count++] = (char)i;
        elided = 0;
        at += 2;
    }
    out_labels[count] = '\0';
    return rank >= 0 && count != rank ? NULL : at;
}

/* Labels that stand once in all terms, in the alphabet's order, the ellipsis first. */
static void imply_result(const term *terms, uint32_t count, char *out_labels) {
    int found = 0;
    for (int label = 1; label < 128; label++) {
        int c = label <= KT_MAX_RANK ? KT_MAX_RANK + 1 - label : label, times = 0;
        for (uint32_t i = 0; i < count; i++)
            for (const char *at = terms[i].labels; *at; at++) times += *at == c;
        if ((c <= KT_MAX_RANK ? times > 0 : times == 1) && found < KT_MAX_RANK) out_labels[found++] = (char)c;
    }
    out_labels[found] = '\0';
}

/* The diagonal of labels that stand twice. */
static void take_diagonals(kt_builder *b, term *t) {
    for (size_t i = 0; t->labels[i]; i++) {
        const char *again = strchr(t->labels + i + 1, t->labels[i]);
        if (!again) continue;
        char label = t->labels[i];
        size_t j = (size_t)(again - t->labels), length = strlen(t->labels);
        t->value = kt_diagonal(b, t->value, 0, (int)i, (int)j); /* which comes last */
        memmove(t->labels + j, t->labels + j + 1, length - j);
        memmove(t->labels + i, t->labels + i + 1, length - i);
        size_t end = strlen(t->labels);
        t->labels[end] = label;
        t->labels[end + 1] = '\0';
        i = (size_t)-1;
    }
}

/* Axes of size 1 that are wider in another operand. */
static void drop_narrow(kt_builder *b, term *terms, uint32_t count, uint32_t which) {
    term *t = &terms[which];
    for (size_t i = 0; t->labels[i]; i++) {
        kt_dim size = kt_build_type(b, t->value)->dims[i];
        bool wider = false;
        for (uint32_t k = 0; k < count; k++) {
            const char *at = strchr(terms[k].labels, t->labels[i]);
            wider |= at && kt_build_type(b, terms[k].value)->dims[at - terms[k].labels] != size;
        }
        if (!wider || !kt_dim_equals(b->graph->dims, size, 1)) continue;
        t->value = kt_drop_axis(b, t->value, (int)i);
        memmove(t->labels + i, t->labels + i + 1, strlen(t->labels + i));
        i--;
    }
}

/* Of the product of the first two: what later operands or the result still ask for. */
static bool keep_needed(const term *terms, uint32_t from, uint32_t count, const char *result, kt_einsum *e) {
    const char *both[] = {e->x, e->y};
    size_t kept = 0;
    for (int side = 0; side < 2; side++)
        for (const char *at = both[side]; *at; at++) {
            bool needed = strchr(result, *at) != NULL;
            for (uint32_t k = from; k < count; k++) needed |= strchr(terms[k].labels, *at) != NULL;
            if (!needed || memchr(e->result, *at, kept)) continue;
            if (kept == KT_MAX_RANK) return false;
            e->result[kept++] = *at;
        }
    e->result[kept] = '\0';
    return true;
}

static kt_value finish_einsum(kt_builder *b, const term *t, const char *result) {
    kt_ints axes = {0};
    char labels[KT_MAX_RANK + 1];
    int64_t order[KT_MAX_RANK];
    int kept = 0;
    for (int i = 0; t->labels[i]; i++) {
        if (strchr(result, t->labels[i]))
            labels[kept++] = t->labels[i];
        else
            axes.at[axes.count++] = i;
    }
    labels[kept] = '\0';
    kt_value x = axes.count ? kt_build_reduce(b, t->value, KT_REDUCE_SUM, axes.count, axes.at) : t->value;
    for (int i = 0; i < kept; i++) order[i] = strchr(labels, result[i]) - labels;
    return kept ? kt_build_transpose(b, x, order) : x;
}

static bool read_subscripts(kt_layer_call *call, const char *text, term *terms, uint32_t count,
                            char *out_result) {
    int elided = 0;
    char *compact = kt_arena_string(call->trace->context->arena, text), *to = compact;
    for (const char *from = compact; *from; from++)
        if (*from != ' ') *to++ = *from;
    *to = '\0';
    const char *at = compact;
    for (uint32_t i = 0; i < count && at; i++) {
        int rank = rank_of(call, terms[i].value);
        at = read_term(at, rank, 0, terms[i].labels);
        if (at && i + 1 < count) at = *at == ',' ? at + 1 : NULL;
        for (const char *c = terms[i].labels; at && *c; c++)
            if (*c <= KT_MAX_RANK && *c > elided) elided = (unsigned char)*c;
    }
    if (at && *at == '\0') {
        imply_result(terms, count, out_result);
        return true;
    }
    at = at && strncmp(at, "->", 2) == 0 ? read_term(at + 2, -1, elided, out_result) : NULL;
    if (!at || *at) return false;
    for (const char *c = out_result; *c; c++) {
        bool known = !strchr(c + 1, *c);
        bool found = false;
        for (uint32_t i = 0; i < count; i++) found |= strchr(terms[i].labels, *c) != NULL;
        if (!known || !found) return false;
    }
    return true;
}

static void call_einsum(kt_layer *layer, kt_layer_call *call) {
    const char *subscripts = ((const einsum *)layer)->subscripts;
    kt_builder *b = call->trace->builder;
    uint32_t count = call->argument_count;
    kt_operand operands[MOST_OPERANDS];
    term terms[MOST_OPERANDS];
    char result[KT_MAX_RANK + 1];
    kt_dtype dtype = KT_BOOL;
    kt_promotion common = kt_promotion_of(dtype);
    bool bytes = true;
    if (!subscripts || !count || count > MOST_OPERANDS) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "it takes subscripts, and 1 to %d operands.",
                      MOST_OPERANDS);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!kt_operation_operand(call, i, "operands", &operands[i])) return;
        common &= kt_promotion_of(operands[i].dtype);
        bytes = bytes && operands[i].dtype == KT_I8;
    }
    dtype = bytes ? KT_I32 : kt_promoted(common);
    kt_dtype compute = dtype == KT_BOOL ? KT_I32 : dtype;
    for (uint32_t i = 0; i < count; i++) terms[i].value = kt_operand_cast(call, &operands[i], compute);
    if (b->status != KT_OK) return;
    if (!read_subscripts(call, subscripts, terms, count, result)) {
        kt_trace_fail(call->trace, KT_INVALID, "the subscripts “%s” do not fit its operands.", subscripts);
        return;
    }
    for (uint32_t i = 0; i < count; i++) take_diagonals(b, &terms[i]);
    for (uint32_t i = 0; i < count; i++) drop_narrow(b, terms, count, i);
    for (uint32_t i = 1; i < count && b->status == KT_OK; i++) {
        kt_einsum e = {0};
        memcpy(e.x, terms[0].labels, sizeof e.x);
        memcpy(e.y, terms[i].labels, sizeof e.y);
        if (!keep_needed(terms, i + 1, count, result, &e)) {
            kt_trace_fail(call->trace, KT_UNSUPPORTED, "a product of its operands has more than %d axes.",
                          KT_MAX_RANK);
            return;
        }
        terms[0].value = kt_einsum_build(b, &e, terms[0].value, terms[i].value);
        memcpy(terms[0].labels, e.result, sizeof e.result);
    }
    if (b->status == KT_OK) call->outputs[0] = kt_build_cast(b, finish_einsum(b, &terms[0], result), dtype);
}
KT_OPERATION_WITH(einsum, "Einsum", KT_OPERATION_NUMPY, "products summed over axes that letters name", einsum,
                  einsum_options, call_einsum)

/* ---- Cross ----------------------------------------------------------------------------------- */
typedef struct cross {
    kt_layer layer;
    int64_t axisa, axisb, axisc, axis;
} cross;
static const kt_option cross_options[] = {
    KT_FIELD(cross, axisa, INT, "-1"),
    KT_FIELD(cross, axisb, INT, "-1"),
    KT_FIELD(cross, axisc, INT, "-1"),
    KT_FIELD(cross, axis, OPTIONAL_INT, "null"),
    KT_OPTIONS_END,
};

/* The components along an axis, which vanishes; the third of two is 0. Returns how many there are, 2 or 3. */
static int take_components(kt_layer_call *call, kt_value x, int64_t axis, kt_value out[3]) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    int64_t size = 0;
    int at = kt_call_axis(call, axis, rank_of(call, x));
    if (at < 0) return 0;
    if (!kt_dim_is_const(dims, kt_build_type(b, x)->dims[at], &size) || size < 2 || size > 3) {
        kt_trace_fail(call->trace, KT_INVALID, "its vectors must have 2 or 3 elements.");
        return 0;
    }
    for (int64_t i = 0; i < size; i++)
        out[i] =
            kt_drop_axis(b, kt_slice_axis(b, x, at, kt_dim_const(dims, i), kt_dim_const(dims, i + 1)), at);
    if (size == 2) out[2] = kt_build_like(b, out[0], 0);
    return (int)size;
}

static void call_cross(kt_layer *layer, kt_layer_call *call) {
    const cross *c = (const cross *)layer;
    kt_builder *b = call->trace->builder;
    bool one = c->axis != KT_NONE_INT;
    kt_value x, y, u[3], v[3], parts[3];
    bool truth;
    if (!take_pair(call, &x, &y, &truth)) return;
    int nx = take_components(call, x, one ? c->axis : c->axisa, u);
    int ny = nx ? take_components(call, y, one ? c->axis : c->axisb, v) : 0;
    if (!ny) return;
    for (int i = 0; i < 3; i++) kt_build_broadcast_pair(b, &u[i], &v[i]);
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        parts[i] = kt_build_sub(b, kt_build_mul(b, u[j], v[k]), kt_build_mul(b, u[k], v[j]));
    }
    if (nx == 2 && ny == 2) {
        call->outputs[0] = parts[2];
        return;
    }
    int axis = kt_call_axis(call, one ? c->axis : c->axisc, rank_of(call, parts[0]) + 1);
    for (int i = 0; i < 3 && axis >= 0; i++) parts[i] = kt_add_axis(b, parts[i], axis);
    if (axis >= 0) call->outputs[0] = kt_build_concat(b, parts, 3, axis);
}
KT_OPERATION_WITH(cross, "Cross", KT_OPERATION_NUMPY, "the vector product", cross, cross_options, call_cross)

/* ---- sequences and distances ----------------------------------------------------------------- */
typedef struct correlate {
    kt_layer layer;
    const char *mode;
} correlate;
static const kt_option correlate_options[] = {
    KT_FIELD(correlate, mode, CHOICE, "\"valid\"", .choices = "valid same full"),
    KT_OPTIONS_END,
};

/* The shorter slides over the longer; where x2 is longer the result runs backwards. */
static void call_correlate(kt_layer *layer, kt_layer_call *call) {
    const char *mode = ((const correlate *)layer)->mode;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x, y;
    bool truth;
    if (!take_pair(call, &x, &y, &truth)) return;
    int64_t n, m;
    if (rank_of(call, x) != 1 || rank_of(call, y) != 1 ||
        !kt_dim_is_const(dims, kt_build_type(b, x)->dims[0], &n) ||
        !kt_dim_is_const(dims, kt_build_type(b, y)->dims[0], &m) || n < 1 || m < 1) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "its inputs must be vectors of known sizes.");
        return;
    }
    kt_dtype dtype = kt_dtype_to_float(kt_build_type(b, x)->dtype);
    kt_value longer = kt_build_cast(b, n < m ? y : x, dtype),
             shorter = kt_build_cast(b, n < m ? x : y, dtype);
    int64_t least = n < m ? n : m, before = 0, behind = 0;
    if (strcmp(mode, "full") == 0) before = behind = least - 1;
    if (strcmp(mode, "same") == 0) {
        before = least / 2;
        behind = least - before - 1;
    }
    /* Turned round, the later half of "same" is the earlier. */
    longer = kt_build_reshape(
        b, longer, 3,
        (kt_dim[]){kt_dim_const(dims, 1), kt_build_type(b, longer)->dims[0], kt_dim_const(dims, 1)});
    shorter = kt_build_reshape(
        b, shorter, 3,
        (kt_dim[]){kt_build_type(b, shorter)->dims[0], kt_dim_const(dims, 1), kt_dim_const(dims, 1)});
    kt_attrs_conv attrs = {
        .groups = 1, .strides = {1, {1}}, .dilation = {1, {1}}, .input_dilation = {1, {1}}};
    attrs.low = (kt_dims){1, {kt_dim_const(dims, before)}};
    attrs.high = (kt_dims){1, {kt_dim_const(dims, behind)}};
    kt_value z = kt_flatten(b, kt_build_conv(b, longer, shorter, &attrs));
    call->outputs[0] = n < m ? kt_build_reverse(b, z, 1, (const int64_t[]){0}) : z;
}
KT_OPERATION_WITH(correlate, "Correlate", KT_OPERATION_NUMPY, "sums of products of shifted vectors",
                  correlate, correlate_options, call_correlate)

/* Of rows, which are variables: covariances over the root of variances, held in [-1, 1]. */
static void call_corrcoef(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_operand x;
    if (!kt_operation_operand(call, 0, "x", &x)) return;
    kt_value v = kt_operand_cast(call, &x, kt_dtype_to_float(x.dtype));
    if (rank_of(call, v) != 2) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "its input must have 2 axes.");
        return;
    }
    kt_ints row = {1, {1}};
    kt_value d = kt_build_sub(b, v, kt_spread(b, kt_mean(b, v, &row), v, &row));
    kt_value length = kt_build_sqrt(b, kt_reduce_axis(b, kt_build_mul(b, d, d), KT_REDUCE_SUM, 1));
    d = kt_build_div(b, d, kt_spread(b, length, d, &row));
    kt_value c = contract(call, d, d, 1, 1);
    c = kt_build_minimum(b, c, kt_build_like(b, c, 1));
    call->outputs[0] = kt_build_maximum(b, c, kt_build_like(b, c, -1));
}
KT_OPERATION(corrcoef, "Corrcoef", KT_OPERATION_NUMPY, "correlations of rows", call_corrcoef)

/* Distances of every row of x with every row of y. */
static void call_cdist(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_operand x, y;
    if (!kt_operation_operand(call, 0, "x", &x) || !kt_operation_operand(call, 1, "y", &y)) return;
    kt_dtype dtype = kt_dtype_to_float(kt_operand_promote(&x, &y));
    kt_value v = kt_operand_cast(call, &x, dtype), w = kt_operand_cast(call, &y, dtype);
    if (!v || !w || rank_of(call, v) < 2 || rank_of(call, w) < 2) {
        kt_trace_fail(call->trace, KT_INVALID, "its inputs must have at least 2 axes.");
        return;
    }
    v = kt_add_axis(b, v, rank_of(call, v) - 1);
    w = kt_add_axis(b, w, rank_of(call, w) - 2);
    kt_build_broadcast_pair(b, &v, &w);
    kt_value d = kt_build_sub(b, v, w);
    call->outputs[0] =
        kt_build_sqrt(b, kt_reduce_axis(b, kt_build_mul(b, d, d), KT_REDUCE_SUM, rank_of(call, d) - 1));
}
KT_OPERATION(cdist, "CDist", KT_OPERATION_MATH, "distances of rows", call_cdist)
