/* Random graphs from a seed: what layers are made of, in chains and with shared values.
 *
 * Operations that jump (floor, compare, arg_reduce) are applied to inputs only: where passes reorder sums, a
 * jump would turn a rounding error into a wrong result. */
#ifndef KT_TESTS_RANDOM_GRAPH_H
#define KT_TESTS_RANDOM_GRAPH_H

#include "ir/ir.h"

#include <math.h>

enum { RANDOM_BATCH = 3, MOST_VALUES = 96 };

typedef struct random_graph {
    uint64_t state;
    kt_arena *arena;
    kt_graph *graph;
    kt_builder builder;
    kt_dtype dtype;
    kt_value values[MOST_VALUES];
    int count, inputs;
} random_graph;

static uint64_t random_bits(random_graph *r) {
    uint64_t z = r->state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static int random_below(random_graph *r, int count) {
    return count > 0 ? (int)(random_bits(r) % (uint64_t)count) : 0;
}

static double random_number(random_graph *r) { return (double)(random_bits(r) >> 11) * 0x1p-52 - 1; }

static void *random_data(random_graph *r, kt_dtype dtype, int64_t count) {
    double *wide = KT_NEW_ARRAY(r->arena, double, count);
    float *single = KT_NEW_ARRAY(r->arena, float, count);
    int32_t *whole = KT_NEW_ARRAY(r->arena, int32_t, count);
    for (int64_t i = 0; i < count; i++) {
        wide[i] = random_number(r);
        single[i] = (float)wide[i];
        whole[i] = random_below(r, 100) - 50;
    }
    return dtype == KT_F64 ? (void *)wide : dtype == KT_F32 ? (void *)single : (void *)whole;
}

static const kt_type *type_of(random_graph *r, kt_value value) { return kt_build_type(&r->builder, value); }

static int64_t size_of(random_graph *r, kt_dim dim) {
    int64_t size = RANDOM_BATCH;
    kt_dim_is_const(r->graph->dims, dim, &size);
    return size;
}

static kt_dim number_dim(random_graph *r, int64_t value) { return kt_dim_const(r->graph->dims, value); }

static void keep(random_graph *r, kt_value value) {
    if (value && r->count < MOST_VALUES) r->values[r->count++] = value;
}

/* A value made so far, mostly a late one. */
static kt_value pick(random_graph *r) {
    int back = random_below(r, 3) ? random_below(r, r->count < 3 ? r->count : 3) : random_below(r, r->count);
    return r->values[r->count - 1 - back];
}

static kt_value pick_float(random_graph *r) {
    for (;;) {
        kt_value value = random_below(r, 20) ? pick(r) : r->values[random_below(r, r->count)];
        if (type_of(r, value)->dtype == r->dtype) return value;
    }
}

static kt_value variable(random_graph *r, kt_dtype dtype, int rank, const int64_t *dims) {
    kt_type type = kt_type_of(r->graph->dims, dtype, rank, dims);
    const kt_variable made = {.path = kt_arena_format(r->arena, "v%u", r->graph->variables.count),
                              .type = type,
                              .data = random_data(r, dtype, kt_type_static_elements(r->graph->dims, &type))};
    return kt_builder_param(&r->builder, KT_ROLE_VARIABLE, NULL, kt_graph_add_variable(r->graph, &made),
                            &type);
}

static kt_value like(random_graph *r, kt_value x, double number) {
    return kt_build_like(&r->builder, x, number);
}

/* A vector along one axis of x: a variable, sometimes a constant. */
static kt_value along(random_graph *r, kt_value x, int axis) {
    const kt_type type = *type_of(r, x);
    int64_t size = 0, place = axis;
    if (!kt_dim_is_const(r->graph->dims, type.dims[axis], &size)) return like(r, x, 0.5);
    kt_type vector = kt_type_of(r->graph->dims, type.dtype, 1, &size);
    kt_value value = random_below(r, 5)
                         ? variable(r, type.dtype, 1, &size)
                         : kt_build_constant(&r->builder, &vector, random_data(r, type.dtype, size));
    if (random_below(r, 4) == 0) value = kt_build_mul(&r->builder, value, along(r, value, 0));
    return kt_build_broadcast(&r->builder, value, type.rank, type.dims, &place);
}

static kt_value some_unary(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    switch (random_below(r, 12)) {
    case 0: return kt_build_neg(b, x);
    case 1: return kt_build_abs(b, x);
    case 2: return kt_build_exp(b, kt_build_tanh(b, x));
    case 3: return kt_build_tanh(b, x);
    case 4: return kt_build_logistic(b, x);
    case 5: return kt_build_sqrt(b, kt_build_add(b, kt_build_abs(b, x), like(r, x, 0.5)));
    case 6:
        return kt_build_div(b, like(r, x, 1),
                            kt_build_sqrt(b, kt_build_add(b, kt_build_mul(b, x, x), like(r, x, 1))));
    case 7: return kt_build_mul(b, x, kt_build_logistic(b, x));
    case 8: return kt_build_maximum(b, x, like(r, x, 0));
    case 9: return kt_build_pow(b, x, like(r, x, 2));
    case 10: return kt_build_neg(b, kt_build_neg(b, x));
    default: return kt_build_erf(b, x);
    }
}

static kt_value with_number(random_graph *r, kt_value x) {
    static const double numbers[] = {0, 1, -1, 2, 8, -0.25, 0.3, 3};
    kt_builder *b = &r->builder;
    kt_value c = like(r, x, numbers[random_below(r, 8)]),
             nonzero = like(r, x, numbers[1 + random_below(r, 7)]);
    switch (random_below(r, 7)) {
    case 0: return kt_build_add(b, x, c);
    case 1: return kt_build_add(b, c, x);
    case 2: return kt_build_mul(b, x, c);
    case 3: return kt_build_mul(b, c, x);
    case 4: return kt_build_sub(b, x, c);
    case 5: return kt_build_sub(b, c, x);
    default: return kt_build_div(b, x, nonzero);
    }
}

static kt_value some_binary(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    kt_value y = 0;
    for (int tries = 0; tries < 8 && !y; tries++) {
        kt_value other = r->values[random_below(r, r->count)];
        if (kt_type_equal(type_of(r, other), type_of(r, x))) y = other;
    }
    if (!y) y = type_of(r, x)->rank ? along(r, x, type_of(r, x)->rank - 1) : x;
    switch (random_below(r, 5)) {
    case 0: return kt_build_sub(b, x, y);
    case 1: return kt_build_mul(b, x, y);
    case 2: return kt_build_maximum(b, x, y);
    case 3: return kt_build_minimum(b, y, x);
    default: return kt_build_add(b, x, y);
    }
}

/* Over the last axis, with keepdims as Keras has it. */
static kt_value reduce_back(random_graph *r, kt_value x, kt_reduction kind) {
    const kt_type type = *type_of(r, x);
    int64_t axis = type.rank - 1, axes[KT_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    kt_type kept = type;
    kept.dims[axis] = number_dim(r, 1);
    kt_value value = kt_build_reduce(&r->builder, x, kind, 1, &axis);
    value = kt_build_reshape(&r->builder, value, kept.rank, kept.dims);
    return kt_build_broadcast(&r->builder, value, type.rank, type.dims, axes);
}

static kt_value softmax(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    if (type_of(r, x)->rank == 0) return x;
    kt_value e = kt_build_exp(b, kt_build_sub(b, x, reduce_back(r, x, KT_REDUCE_MAXIMUM)));
    return kt_build_div(b, e, reduce_back(r, e, KT_REDUCE_SUM));
}

static kt_value layer_norm(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    const kt_type type = *type_of(r, x);
    int64_t size = 0;
    if (type.rank == 0 || !kt_dim_is_const(r->graph->dims, type.dims[type.rank - 1], &size)) return x;
    kt_value count = like(r, x, (double)size);
    kt_value centred = kt_build_sub(b, x, kt_build_div(b, reduce_back(r, x, KT_REDUCE_SUM), count));
    kt_value variance =
        kt_build_div(b, reduce_back(r, kt_build_mul(b, centred, centred), KT_REDUCE_SUM), count);
    kt_value y = kt_build_mul(b, centred, kt_build_rsqrt(b, kt_build_add(b, variance, like(r, x, 0.1))));
    return kt_build_add(b, kt_build_mul(b, y, along(r, y, type.rank - 1)), along(r, y, type.rank - 1));
}

static kt_value batch_norm(random_graph *r, kt_value x, int axis) {
    kt_builder *b = &r->builder;
    kt_value y = kt_build_sub(b, x, along(r, x, axis));
    y = random_below(r, 3) ? kt_build_mul(b, y, along(r, x, axis))
                           : kt_build_div(b, y, kt_build_add(b, like(r, x, 2), along(r, x, axis)));
    return kt_build_add(b, y, along(r, x, axis));
}

static kt_value some_reduce(random_graph *r, kt_value x) {
    const kt_type type = *type_of(r, x);
    int64_t axes[KT_MAX_RANK];
    uint32_t count = 0;
    for (int i = 1; i < type.rank; i++)
        if (random_below(r, 2)) axes[count++] = i;
    kt_value value =
        kt_build_reduce(&r->builder, x, random_below(r, 3) ? KT_REDUCE_SUM : KT_REDUCE_MAXIMUM, count, axes);
    return random_below(r, 2) ? value : with_number(r, value);
}

static kt_value some_view(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    const kt_type type = *type_of(r, x);
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK], shape[KT_MAX_RANK] = {0};
    int64_t axes[KT_MAX_RANK] = {0}, ones[KT_MAX_RANK], none[KT_MAX_RANK] = {0};
    if (type.rank < 2) return x;
    for (int i = 0; i < type.rank; i++) {
        int place = random_below(r, i + 1);
        axes[i] = axes[place];
        axes[place] = i;
        ones[i] = 1;
        low[i] = number_dim(r, i ? random_below(r, 2) : 0);
        high[i] = number_dim(r, i ? random_below(r, 3) : 0);
        shape[i] = type.dims[i];
    }
    switch (random_below(r, 8)) {
    case 0: return kt_build_transpose(b, x, axes);
    case 1: return kt_build_transpose(b, some_unary(r, kt_build_transpose(b, x, axes)), axes);
    case 2: /* run two axes together */
        shape[type.rank - 2] = kt_dim_mul(r->graph->dims, type.dims[type.rank - 2], type.dims[type.rank - 1]);
        return kt_build_reshape(b, x, type.rank - 1, shape);
    case 3: { /* put an axis of size 1 in */
        if (type.rank >= 5) return x;
        int at = random_below(r, type.rank + 1);
        for (int i = type.rank; i > at; i--) shape[i] = shape[i - 1];
        shape[at] = number_dim(r, 1);
        return kt_build_reshape(b, x, type.rank + 1, shape);
    }
    case 4: return kt_build_pad(b, x, kt_build_scalar(b, type.dtype, random_below(r, 2)), low, high, none);
    case 5:
        for (int i = 0; i < type.rank; i++) {
            if (i == 0 || size_of(r, type.dims[i]) < 3) low[i] = number_dim(r, 0);
            high[i] = type.dims[i];
            if (i > 0) ones[i] = 1 + random_below(r, 2);
        }
        return kt_build_slice(b, x, low, high, ones);
    case 6: return kt_build_concat(b, (kt_value[]){x, some_unary(r, x)}, 2, type.rank - 1);
    default: return kt_build_reverse(b, x, 1, &axes[0]);
    }
}

static kt_value some_conv(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    const kt_type type = *type_of(r, x);
    int64_t channels = 0;
    if (type.rank != 4 || !kt_dim_is_const(r->graph->dims, type.dims[3], &channels))
        return batch_norm(r, x, type.rank ? type.rank - 1 : 0);
    int window = 1 + random_below(r, 3), stride = 1 + random_below(r, 2), padding = random_below(r, 3);
    for (int i = 1; i < 3; i++) {
        if (kt_dim_is_const(r->graph->dims, type.dims[i], NULL) && size_of(r, type.dims[i]) >= 3) continue;
        return x;
    }
    kt_attrs_conv attrs = {.groups = random_below(r, 3) ? 1 : channels};
    int64_t features = attrs.groups * (attrs.groups > 1 ? 1 + random_below(r, 2) : 1 + random_below(r, 9));
    attrs.strides = (kt_ints){2, {stride, 1}};
    attrs.dilation = attrs.input_dilation = (kt_ints){2, {1, 1}};
    if (random_below(r, 5) == 0) attrs.input_dilation = (kt_ints){2, {2, 1}};
    attrs.low = (kt_dims){2, {number_dim(r, padding), number_dim(r, padding)}};
    attrs.high = (kt_dims){2, {number_dim(r, padding), number_dim(r, 0)}};
    kt_value kernel =
        variable(r, type.dtype, 4, (int64_t[]){window, window, channels / attrs.groups, features});
    kt_value y = kt_build_conv(b, x, kernel, &attrs);
    if (random_below(r, 2)) y = kt_build_add(b, y, along(r, y, 3));
    return random_below(r, 2) ? batch_norm(r, y, 3) : y;
}

static kt_value channels_first(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    if (type_of(r, x)->rank != 4) return x;
    kt_value y = some_conv(r, kt_build_transpose(b, x, (int64_t[]){0, 2, 3, 1}));
    y = kt_build_transpose(b, y, (int64_t[]){0, 3, 1, 2});
    return kt_build_maximum(b, batch_norm(r, y, 1), like(r, y, 0));
}

static kt_value some_dot(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    const kt_type type = *type_of(r, x);
    int64_t depth = 0, columns = 1 + random_below(r, 9);
    if (type.rank < 2 || !kt_dim_is_const(r->graph->dims, type.dims[type.rank - 1], &depth)) return x;
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {type.rank - 1}}, .rhs_contract = {1, {0}}};
    kt_value y = 0;
    switch (random_below(r, 4)) {
    case 0: /* like attention's scores */
        if (type.rank < 3) return x;
        attrs.lhs_batch = attrs.rhs_batch = (kt_ints){1, {0}};
        attrs.rhs_contract.at[0] = type.rank - 1;
        y = 2 * (type.rank - 1) - 1 <= 5 ? kt_build_dot_general(b, x, some_unary(r, x), &attrs) : x;
        return kt_build_mul(b, y, like(r, y, 0.25));
    case 1: /* several columns axes */
        if (type.rank > 4) return x;
        y = kt_build_dot_general(b, x, variable(r, type.dtype, 3, (int64_t[]){depth, 2, columns}), &attrs);
        return kt_build_add(b, y, along(r, y, type.rank));
    case 2: /* weights the other way round */
        attrs.rhs_contract.at[0] = 1;
        y = kt_build_dot_general(b, x, variable(r, type.dtype, 2, (int64_t[]){columns, depth}), &attrs);
        break;
    default:
        y = kt_build_dot_general(b, x, variable(r, type.dtype, 2, (int64_t[]){depth, columns}), &attrs);
        break;
    }
    y = kt_build_add(b, y, along(r, y, type.rank - 1));
    return random_below(r, 2) ? batch_norm(r, y, type.rank - 1) : some_unary(r, y);
}

static kt_value some_pool(random_graph *r, kt_value x) {
    const kt_type type = *type_of(r, x);
    if (type.rank != 4 || size_of(r, type.dims[1]) < 2 || size_of(r, type.dims[2]) < 2)
        return some_reduce(r, x);
    kt_attrs_reduce_window attrs = {.kind = random_below(r, 2) ? KT_REDUCE_MAXIMUM : KT_REDUCE_SUM};
    int padding = random_below(r, 2);
    attrs.window = (kt_ints){4, {1, 2, 2, 1}};
    attrs.strides = (kt_ints){4, {1, 1 + random_below(r, 2), 2, 1}};
    attrs.dilation = (kt_ints){4, {1, 1, 1, 1}};
    attrs.low = (kt_dims){4, {number_dim(r, 0), number_dim(r, padding), number_dim(r, 0), number_dim(r, 0)}};
    attrs.high = (kt_dims){4, {number_dim(r, 0), number_dim(r, 0), number_dim(r, padding), number_dim(r, 0)}};
    return kt_build_reduce_window(&r->builder, x, &attrs);
}

/* Products of x side by side, each with what follows it. */
static kt_value some_branches(random_graph *r, kt_value x) {
    kt_builder *b = &r->builder;
    const kt_type type = *type_of(r, x);
    int64_t depth = 0;
    uint32_t count = 2 + (uint32_t)random_below(r, 2);
    kt_value parts[3];
    if (type.rank < 2 || !kt_dim_is_const(r->graph->dims, type.dims[type.rank - 1], &depth)) return x;
    for (uint32_t i = 0; i < count; i++) {
        kt_attrs_dot_general attrs = {.lhs_contract = {1, {type.rank - 1}}, .rhs_contract = {1, {0}}};
        int64_t columns = 1 + random_below(r, 20);
        kt_value y =
            kt_build_dot_general(b, x, variable(r, type.dtype, 2, (int64_t[]){depth, columns}), &attrs);
        y = kt_build_add(b, y, along(r, y, type.rank - 1));
        parts[i] = random_below(r, 2) ? some_unary(r, y) : random_below(r, 2) ? softmax(r, y) : y;
    }
    return kt_build_concat(b, parts, count, type.rank - 1);
}

/* What jumps, on inputs. */
static kt_value some_jump(random_graph *r) {
    kt_builder *b = &r->builder;
    kt_value x = r->values[random_below(r, r->inputs)], y = r->values[random_below(r, r->inputs)];
    if (type_of(r, x)->dtype != r->dtype)
        return random_below(r, 2) ? kt_build_mul(b, x, kt_build_add(b, x, like(r, x, 0)))
                                  : kt_build_cast(b, kt_build_maximum(b, x, like(r, x, 3)), r->dtype);
    if (!kt_type_equal(type_of(r, x), type_of(r, y))) y = like(r, x, 0.1);
    kt_value condition = kt_build_lt(b, x, y);
    switch (random_below(r, 5)) {
    case 0: return kt_build_floor(b, kt_build_mul(b, x, like(r, x, 4)));
    case 1: return kt_build_sign(b, x);
    case 2: return kt_build_select(b, kt_build_not(b, condition), x, some_unary(r, x));
    case 3: return kt_build_cast(b, condition, r->dtype);
    default: return kt_build_cast(b, kt_build_arg_reduce(b, x, KT_REDUCE_MAXIMUM, 1, KT_I32), r->dtype);
    }
}

static kt_value some_step(random_graph *r) {
    kt_value x = pick_float(r);
    switch (random_below(r, 17)) {
    case 0: return some_unary(r, x);
    case 1:
    case 2: return with_number(r, x);
    case 3:
    case 4: return some_binary(r, x);
    case 5: return some_reduce(r, x);
    case 6:
    case 7: return some_view(r, x);
    case 8:
    case 9: return some_conv(r, x);
    case 10: return channels_first(r, x);
    case 11: return some_dot(r, x);
    case 12: return some_pool(r, x);
    case 13: return softmax(r, x);
    case 14: return layer_norm(r, x);
    case 15: return some_branches(r, x);
    default: return some_jump(r);
    }
}

/* A graph with the entry predict over 3 inputs, its batch symbolic or 3, with one to three outputs. */
static kt_graph *make_random_graph(kt_arena *arena, uint64_t seed, kt_diag *diag) {
    random_graph r = {.state = seed, .arena = arena, .graph = kt_graph_create(arena, "random")};
    kt_graph *graph = r.graph;
    kt_func func = 0;
    r.dtype = random_below(&r, 4) ? KT_F64 : KT_F32;
    kt_dim batch = random_below(&r, 3) ? kt_dim_symbol(graph->dims, "batch") : number_dim(&r, RANDOM_BATCH);
    kt_type image = kt_type_of(graph->dims, r.dtype, 4, (int64_t[]){1, 5, 6, 4});
    kt_type row = kt_type_of(graph->dims, r.dtype, 2, (int64_t[]){1, 7}), whole = row;
    image.dims[0] = row.dims[0] = whole.dims[0] = batch;
    whole.dtype = KT_I32;
    kt_builder_begin(&r.builder, graph, KT_FUNC_ENTRY, "predict", diag);
    keep(&r, kt_builder_param(&r.builder, KT_ROLE_INPUT, "whole", 0, &whole));
    keep(&r, kt_builder_param(&r.builder, KT_ROLE_INPUT, "row", 1, &row));
    keep(&r, kt_builder_param(&r.builder, KT_ROLE_INPUT, "image", 2, &image));
    r.inputs = r.count;
    int steps = 2 + random_below(&r, 12);
    for (int i = 0; i < steps && r.builder.status == KT_OK; i++) {
        r.builder.loc = kt_loc_path(graph, kt_arena_format(arena, "step_%d", i));
        keep(&r, some_step(&r));
    }
    if (r.builder.status != KT_OK) return NULL;
    int outputs = 1 + random_below(&r, 3);
    for (int i = 0; i < outputs; i++)
        kt_builder_result(&r.builder, KT_ROLE_OUTPUT, kt_arena_format(arena, "y%d", i), (uint32_t)i,
                          i ? pick(&r) : r.values[r.count - 1]);
    return kt_builder_finish(&r.builder, &func) == KT_OK ? graph : NULL;
}

#endif
