/* The kt_build functions: one for each operation, and conveniences over them.
 *
 * Each only fills in attributes; what is wrong with them, inference says. Lists longer than KT_MAX_RANK
 * cannot be filled in, so those fail here. */
#include "ir/element.h"
#include "ir/graph_impl.h"

#include <string.h>

/* ---- attributes ------------------------------------------------------------------------------ */

static bool fits(kt_builder *builder, kt_op op, int64_t count) {
    if (count >= 0 && count <= KT_MAX_RANK) return true;
    kt_build_fail(builder, KT_INVALID, "%s: %lld axes are asked for, but a tensor has at most %d.",
                  kt_op_describe(op)->name, (long long)count, KT_MAX_RANK);
    return false;
}

static kt_ints make_ints(uint32_t count, const int64_t *at) {
    kt_ints ints = {.count = count};
    if (count > 0) memcpy(ints.at, at, count * sizeof *at);
    return ints;
}

static kt_dims make_dims(uint32_t count, const kt_dim *at) {
    kt_dims dims = {.count = count};
    if (count > 0) memcpy(dims.at, at, count * sizeof *at);
    return dims;
}

/* ---- elementwise ----------------------------------------------------------------------------- */

// clang-format off
#define KT_UNARY(name, domain, gradient, doc) \
    kt_value kt_build_##name(kt_builder *builder, kt_value x) { return kt_build_node(builder, KT_OP_##name, &x, 1, NULL); }
#define KT_BINARY(name, domain, traits, gradient, doc) \
    kt_value kt_build_##name(kt_builder *builder, kt_value x, kt_value y) { \
        return kt_build_node(builder, KT_OP_##name, (const kt_value[]){x, y}, 2, NULL); \
    }
#define KT_COMPARE(name, domain, doc) KT_BINARY(name, domain, 0, KT_FLAT, doc)
#include "ir/ops.def"
// clang-format on

kt_value kt_build_select(kt_builder *builder, kt_value condition, kt_value x, kt_value y) {
    return kt_build_node(builder, KT_OP_select, (const kt_value[]){condition, x, y}, 3, NULL);
}

kt_value kt_build_cast(kt_builder *builder, kt_value x, kt_dtype dtype) {
    if (builder->status == KT_OK && kt_build_type(builder, x)->dtype == dtype) return x;
    kt_attrs_cast attrs = {.dtype = dtype};
    return kt_build_node(builder, KT_OP_cast, &x, 1, &attrs);
}

/* ---- sources --------------------------------------------------------------------------------- */

kt_value kt_build_constant(kt_builder *builder, const kt_type *type, const void *data) {
    if (builder->status != KT_OK) return 0;
    kt_graph *graph = builder->graph;
    int64_t elements = kt_type_static_elements(graph->dims, type);
    kt_attrs_constant attrs = {.type = *type};
    if (elements > 0 &&
        !__builtin_mul_overflow((size_t)elements, kt_dtype_bytes(type->dtype), &attrs.literal.bytes))
        attrs.literal.data = kt_arena_copy(graph->arena, data, attrs.literal.bytes);
    return kt_build_node(builder, KT_OP_constant, NULL, 0, &attrs);
}

kt_value kt_build_scalar(kt_builder *builder, kt_dtype dtype, double number) {
    kt_type type = kt_type_scalar(dtype);
    uint64_t element = 0; /* as large as the largest */
    if (kt_dtype_is_float(dtype)) {
        kt_element_set_float(dtype, &element, 0, number);
    } else if (dtype == KT_BOOL) {
        kt_element_set_integer(dtype, &element, 0, number != 0);
    } else if (kt_dtype_is_integer(dtype)) {
        bool whole = number >= -0x1p63 && number < 0x1p63;
        if (!whole)
            return kt_build_fail(builder, KT_INVALID, "%g is no number of the dtype %s.", number,
                                 kt_dtype_name(dtype));
        kt_element_set_integer(dtype, &element, 0, (int64_t)number);
    } else {
        return kt_build_fail(builder, KT_INVALID, "There are no numbers of the dtype %s.",
                             kt_dtype_name(dtype));
    }
    return kt_build_constant(builder, &type, &element);
}

kt_value kt_build_iota(kt_builder *builder, const kt_type *type, int axis) {
    kt_attrs_iota attrs = {.type = *type, .axis = axis};
    return kt_build_node(builder, KT_OP_iota, NULL, 0, &attrs);
}

kt_value kt_build_philox(kt_builder *builder, kt_value key, kt_value counter, int rank, const kt_dim *shape) {
    kt_attrs_philox attrs = {.shape.count = (uint32_t)rank};
    for (int i = 0; i < rank; i++) attrs.shape.at[i] = shape[i];
    return kt_build_node(builder, KT_OP_philox, (const kt_value[]){key, counter}, 2, &attrs);
}

kt_value kt_build_size(kt_builder *builder, kt_dim dim) {
    kt_attrs_size attrs = {.dim = dim};
    return kt_build_node(builder, KT_OP_size, NULL, 0, &attrs);
}

/* ---- shape ----------------------------------------------------------------------------------- */

kt_value kt_build_reshape(kt_builder *builder, kt_value x, int rank, const kt_dim *shape) {
    if (!fits(builder, KT_OP_reshape, rank)) return 0;
    kt_attrs_reshape attrs = {.shape = make_dims((uint32_t)rank, shape)};
    return kt_build_node(builder, KT_OP_reshape, &x, 1, &attrs);
}

kt_value kt_build_transpose(kt_builder *builder, kt_value x, const int64_t *axes) {
    kt_attrs_transpose attrs = {.axes = make_ints(kt_build_type(builder, x)->rank, axes)};
    return kt_build_node(builder, KT_OP_transpose, &x, 1, &attrs);
}

kt_value kt_build_broadcast(kt_builder *builder, kt_value x, int rank, const kt_dim *shape,
                            const int64_t *axes) {
    if (!fits(builder, KT_OP_broadcast, rank)) return 0;
    kt_attrs_broadcast attrs = {.shape = make_dims((uint32_t)rank, shape),
                                .axes = make_ints(kt_build_type(builder, x)->rank, axes)};
    return kt_build_node(builder, KT_OP_broadcast, &x, 1, &attrs);
}

kt_value kt_build_slice(kt_builder *builder, kt_value x, const kt_dim *start, const kt_dim *limit,
                        const int64_t *strides) {
    uint32_t rank = kt_build_type(builder, x)->rank;
    kt_attrs_slice attrs = {.start = make_dims(rank, start),
                            .limit = make_dims(rank, limit),
                            .strides = make_ints(rank, strides)};
    return kt_build_node(builder, KT_OP_slice, &x, 1, &attrs);
}

kt_value kt_build_pad(kt_builder *builder, kt_value x, kt_value fill, const kt_dim *low, const kt_dim *high,
                      const int64_t *interior) {
    uint32_t rank = kt_build_type(builder, x)->rank;
    kt_attrs_pad attrs = {
        .low = make_dims(rank, low), .high = make_dims(rank, high), .interior = make_ints(rank, interior)};
    return kt_build_node(builder, KT_OP_pad, (const kt_value[]){x, fill}, 2, &attrs);
}

kt_value kt_build_concat(kt_builder *builder, const kt_value *parts, uint32_t count, int axis) {
    kt_attrs_concat attrs = {.axis = axis};
    return kt_build_node(builder, KT_OP_concat, parts, count, &attrs);
}

kt_value kt_build_reverse(kt_builder *builder, kt_value x, uint32_t count, const int64_t *axes) {
    if (!fits(builder, KT_OP_reverse, count)) return 0;
    kt_attrs_reverse attrs = {.axes = make_ints(count, axes)};
    return kt_build_node(builder, KT_OP_reverse, &x, 1, &attrs);
}

kt_value kt_build_gather(kt_builder *builder, kt_value x, kt_value indices, int axis, int batch_dims) {
    kt_attrs_gather attrs = {.axis = axis, .batch_dims = batch_dims};
    return kt_build_node(builder, KT_OP_gather, (const kt_value[]){x, indices}, 2, &attrs);
}

/* ---- reduction and contraction --------------------------------------------------------------- */

kt_value kt_build_reduce(kt_builder *builder, kt_value x, kt_reduction kind, uint32_t count,
                         const int64_t *axes) {
    if (!fits(builder, KT_OP_reduce, count)) return 0;
    kt_attrs_reduce attrs = {.kind = kind, .axes = make_ints(count, axes)};
    return kt_build_node(builder, KT_OP_reduce, &x, 1, &attrs);
}

kt_value kt_build_arg_reduce(kt_builder *builder, kt_value x, kt_reduction kind, int axis, kt_dtype dtype) {
    kt_attrs_arg_reduce attrs = {.kind = kind, .axis = axis, .dtype = dtype};
    return kt_build_node(builder, KT_OP_arg_reduce, &x, 1, &attrs);
}

kt_value kt_build_reduce_window(kt_builder *builder, kt_value x, const kt_attrs_reduce_window *attrs) {
    return kt_build_node(builder, KT_OP_reduce_window, &x, 1, attrs);
}

kt_value kt_build_cumulative(kt_builder *builder, kt_value x, const kt_attrs_cumulative *attrs) {
    return kt_build_node(builder, KT_OP_cumulative, &x, 1, attrs);
}

kt_value kt_build_scatter(kt_builder *builder, kt_value x, kt_value positions, kt_value updates,
                          const kt_attrs_scatter *attrs) {
    kt_value operands[] = {x, positions, updates};
    return kt_build_node(builder, KT_OP_scatter, operands, 3, attrs);
}

kt_value kt_build_dot_general(kt_builder *builder, kt_value x, kt_value y,
                              const kt_attrs_dot_general *attrs) {
    return kt_build_node(builder, KT_OP_dot_general, (const kt_value[]){x, y}, 2, attrs);
}

kt_value kt_build_conv(kt_builder *builder, kt_value x, kt_value kernel, const kt_attrs_conv *attrs) {
    return kt_build_node(builder, KT_OP_conv, (const kt_value[]){x, kernel}, 2, attrs);
}

kt_value kt_build_conv_by_kernel(kt_builder *builder, kt_value x, kt_value cotangent,
                                 const kt_attrs_conv_by_kernel *attrs) {
    return kt_build_node(builder, KT_OP_conv_by_kernel, (const kt_value[]){x, cotangent}, 2, attrs);
}

kt_value kt_build_winograd(kt_builder *builder, kt_value x, kt_value kernel, const kt_attrs_winograd *attrs) {
    return kt_build_node(builder, KT_OP_winograd, (const kt_value[]){x, kernel}, 2, attrs);
}

/* ---- conveniences ---------------------------------------------------------------------------- */

kt_value kt_build_fill(kt_builder *builder, const kt_type *type, double number) {
    kt_type wanted = *type; /* may point into the graph, whose arrays grow */
    kt_value scalar = kt_build_scalar(builder, wanted.dtype, number);
    return kt_build_broadcast_to(builder, scalar, wanted.rank, wanted.dims);
}

kt_value kt_build_like(kt_builder *builder, kt_value x, double number) {
    return kt_build_fill(builder, kt_build_type(builder, x), number);
}

/* a must be b, which the sentence says: a check at the entry, or a problem. */
static bool require(kt_builder *builder, kt_dim a, kt_dim b, const kt_text *sentence) {
    kt_graph *graph = builder->graph;
    kt_agreement agreement = kt_dim_compare(graph->dims, a, b);
    if (agreement == KT_AGREE_ALWAYS) return true;
    const char *where = kt_loc_string(graph, builder->loc), *text = kt_text_string(sentence);
    if (agreement == KT_AGREE_NEVER) return kt_build_fail(builder, KT_INVALID, "%s", text);
    kt_graph_add_equality(graph, a, b, where ? kt_arena_format(graph->arena, "%s: %s", where, text) : text);
    return true;
}

bool kt_build_require_equal(kt_builder *builder, kt_dim a, kt_dim b, const char *what) {
    if (builder->status != KT_OK) return false;
    kt_text sentence = {.arena = builder->graph->arena};
    kt_text_format(&sentence, "%s must be equal, but are ", what);
    kt_dim_print(builder->graph->dims, a, &sentence);
    kt_text_add(&sentence, " and ");
    kt_dim_print(builder->graph->dims, b, &sentence);
    kt_text_add(&sentence, ".");
    return require(builder, a, b, &sentence);
}

bool kt_build_require_at_least(kt_builder *builder, kt_dim dim, int64_t bound, const char *what) {
    kt_dim_pool *dims = builder->graph->dims;
    if (builder->status != KT_OK) return false;
    kt_text sentence = {.arena = builder->graph->arena};
    kt_text_format(&sentence, "%s must be at least %lld, but is ", what, (long long)bound);
    kt_dim_print(dims, dim, &sentence);
    kt_text_add(&sentence, ".");
    kt_dim least = kt_dim_const(dims, bound);
    return require(builder, kt_dim_min(dims, dim, least), least, &sentence);
}

/* NumPy's rule for one dimension of two shapes. */
static kt_dim merge_dims(kt_builder *builder, kt_dim a, kt_dim b) {
    kt_dim_pool *pool = builder->graph->dims;
    if (a == b || kt_dim_equals(pool, b, 1)) return a;
    if (kt_dim_equals(pool, a, 1)) return b;
    kt_build_require_equal(builder, a, b, "dimensions that are broadcast against each other");
    return kt_dim_is_const(pool, b, NULL) ? b : a;
}

void kt_build_broadcast_pair(kt_builder *builder, kt_value *x, kt_value *y) {
    kt_type a = *kt_build_type(builder, *x), b = *kt_build_type(builder, *y), shape = a.rank > b.rank ? a : b;
    if (builder->status != KT_OK) return;
    for (int i = 1; i <= a.rank && i <= b.rank; i++)
        shape.dims[shape.rank - i] = merge_dims(builder, a.dims[a.rank - i], b.dims[b.rank - i]);
    *x = kt_build_broadcast_to(builder, *x, shape.rank, shape.dims);
    *y = kt_build_broadcast_to(builder, *y, shape.rank, shape.dims);
}

kt_value kt_build_broadcast_to(kt_builder *builder, kt_value x, int rank, const kt_dim *shape) {
    if (builder->status != KT_OK) return 0;
    kt_type type = *kt_build_type(builder, x);
    if (rank < type.rank)
        return kt_build_fail(builder, KT_INVALID, "%s cannot be broadcast to %d dimensions.",
                             kt_type_string(builder->graph->dims, &type, builder->graph->arena), rank);
    if (rank == type.rank && memcmp(type.dims, shape, (size_t)rank * sizeof *shape) == 0) return x;
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = rank - type.rank + i;
    return kt_build_broadcast(builder, x, rank, shape, axes);
}
