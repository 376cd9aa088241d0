/* Random graphs: see generator.h. What each operation may be grown from, and graphs of them. */
#include "ir/winograd.h"
#include "random/grower.h"

#include <string.h>

/* ---- elementwise ----------------------------------------------------------------------------- */
/* Where functions are defined and do not vary wildly. */
static const struct range {
    double low, high;
} range_neg = {-3, 3}, range_abs = {-3, 3}, range_sign = {0.5, 3}, range_floor = {-3, 3},
  range_ceil = {-3, 3}, range_round = {-3, 3}, range_trunc = {-3, 3}, range_sqrt = {0.1, 9},
  range_rsqrt = {0.1, 9}, range_exp = {-4, 4}, range_expm1 = {-2, 2}, range_log = {0.1, 9},
  range_log1p = {-0.8, 9}, range_sin = {-6, 6}, range_cos = {-6, 6}, range_tan = {-1.2, 1.2},
  range_asin = {-0.9, 0.9}, range_acos = {-0.9, 0.9}, range_atan = {-6, 6}, range_sinh = {-3, 3},
  range_cosh = {-3, 3}, range_tanh = {-4, 4}, range_asinh = {-6, 6}, range_acosh = {1.1, 9},
  range_atanh = {-0.9, 0.9}, range_erf = {-3, 3}, range_logistic = {-6, 6}, range_not = {0, 1},
  range_stop_gradient = {-3, 3}, range_is_nan = {-1, 1}, range_is_finite = {-1, 1};

static int grow_unary(grower *g, kt_op op, kt_domain domain, struct range range) {
    int x = grower_pick(g, domain);
    if (x < 0) return -1;
    int y = chance(g, 3) ? -1 : grower_apply(g, op, x, -1);
    if (y >= 0 || !kt_dtype_is_float(type_of(g, x)->dtype)) return y;
    x = grower_into_range(g, x, range.low, range.high);
    return x < 0 ? -1 : grower_apply(g, op, x, -1);
}

static int grow_binary(grower *g, kt_op op, kt_domain domain) {
    int x = grower_pick(g, domain);
    if (x < 0) return -1;
    int y = grower_value_like(g, *type_of(g, x));
    if (y < 0) return -1;
    bool floats = kt_dtype_is_float(type_of(g, x)->dtype);
    if (floats && op == KT_OP_pow && chance(g, 2)) x = grower_into_range(g, x, 0.3, 3);
    if (floats && (op == KT_OP_div || op == KT_OP_rem) && chance(g, 2)) y = grower_into_range(g, y, 0.5, 3);
    if (x < 0 || y < 0) return -1;
    return chance(g, 2) && op != KT_OP_pow && op != KT_OP_div && op != KT_OP_rem ? grower_apply(g, op, y, x)
                                                                                 : grower_apply(g, op, x, y);
}

#define KT_UNARY(name, domain, gradient, doc)                                                                \
    static int grow_##name(grower *g) { return grow_unary(g, KT_OP_##name, domain, range_##name); }
#define KT_BINARY(name, domain, traits, gradient, doc)                                                       \
    static int grow_##name(grower *g) { return grow_binary(g, KT_OP_##name, domain); }
#define KT_COMPARE(name, domain, doc)                                                                        \
    static int grow_##name(grower *g) { return grow_binary(g, KT_OP_##name, domain); }
#include "ir/ops.def"

static int grow_select(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_type type = *type_of(g, x), condition = type;
    condition.dtype = KT_BOOL;
    const int operands[] = {grower_value_like(g, condition), x, grower_value_like(g, type)};
    return grower_add(g, KT_OP_select, operands, 3, NULL);
}

static int grow_cast(grower *g) {
    int x = grower_pick(g, KT_ANY);
    const kt_attrs_cast attrs = {.dtype = grower_some_dtype(g)};
    return x < 0 || type_of(g, x)->dtype == attrs.dtype ? -1 : grower_add(g, KT_OP_cast, &x, 1, &attrs);
}

/* ---- sources --------------------------------------------------------------------------------- */
static kt_type some_type(grower *g, bool fixed) {
    kt_type type = {.dtype = grower_some_dtype(g), .rank = (uint8_t)draw(g, 4)};
    for (int i = 0; i < type.rank; i++) {
        type.dims[i] = grower_some_dim(g);
        if (fixed && !is_number(g, type.dims[i], NULL)) type.dims[i] = number(g, 1 + draw(g, 4));
    }
    return type;
}

static int grow_constant(grower *g) {
    kt_type type = some_type(g, true);
    return grower_constant_of(g, &type);
}

static int grow_iota(grower *g) {
    kt_attrs_iota attrs = {.type = some_type(g, false)};
    if (attrs.type.rank == 0 || !kt_domain_has(KT_NUMBER, attrs.type.dtype)) return -1;
    attrs.axis = draw(g, attrs.type.rank);
    return grower_add(g, KT_OP_iota, NULL, 0, &attrs);
}

static int grow_philox(grower *g) {
    const int operands[] = {
        grower_value_like(g, (kt_type){.dtype = KT_U32, .rank = 1, .dims = {number(g, 2)}}),
        grower_value_like(g, (kt_type){.dtype = KT_U32, .rank = 1, .dims = {number(g, 4)}})};
    kt_attrs_philox attrs = {.shape.count = (uint32_t)draw(g, 4)};
    for (uint32_t i = 0; i < attrs.shape.count; i++) attrs.shape.at[i] = grower_some_dim(g);
    return operands[0] < 0 || operands[1] < 0 ? -1 : grower_add(g, KT_OP_philox, operands, 2, &attrs);
}

static int grow_size(grower *g) {
    kt_dim dim = kt_dim_add_const(pool_of(g), kt_dim_mul(pool_of(g), grower_some_dim(g), grower_some_dim(g)),
                                  draw(g, 5) - 2);
    if (chance(g, 3)) dim = kt_dim_floordiv(pool_of(g), dim, number(g, 2));
    return grower_add(g, KT_OP_size, NULL, 0, &(kt_attrs_size){.dim = dim});
}

/* ---- shape ----------------------------------------------------------------------------------- */
static int grow_reshape(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_type type = *type_of(g, x);
    kt_attrs_reshape attrs = {.shape = {.count = type.rank}};
    memcpy(attrs.shape.at, type.dims, sizeof type.dims);
    uint32_t at = (uint32_t)draw(g, type.rank);
    int64_t size;
    switch (draw(g, 4)) {
    case 0: /* two axes become one */
        if (at + 1 >= type.rank) return -1;
        attrs.shape.at[at] = kt_dim_mul(pool_of(g), type.dims[at], type.dims[at + 1]);
        for (uint32_t i = at + 1; i + 1 < type.rank; i++) attrs.shape.at[i] = type.dims[i + 1];
        attrs.shape.count--;
        break;
    case 1: /* all become one */ attrs.shape = (kt_dims){1, {kt_type_elements(pool_of(g), &type)}}; break;
    case 2: { /* one becomes two */
        if (type.rank == 0 || type.rank > 4) return -1;
        int64_t factor = 2 + draw(g, 3), divisor = kt_dim_divisor(pool_of(g), type.dims[at]);
        if (divisor == 0 || divisor % factor) factor = 1;
        for (uint32_t i = type.rank; i > at; i--) attrs.shape.at[i] = type.dims[i - 1];
        kt_dim rest = kt_dim_floordiv(pool_of(g), type.dims[at], number(g, factor));
        bool first = chance(g, 2);
        attrs.shape.at[at] = first ? number(g, factor) : rest;
        attrs.shape.at[at + 1] = first ? rest : number(g, factor);
        attrs.shape.count++;
        break;
    }
    default: /* axes of 1 go */
        attrs.shape.count = 0;
        for (int i = 0; i < type.rank; i++)
            if (!is_number(g, type.dims[i], &size) || size != 1)
                attrs.shape.at[attrs.shape.count++] = type.dims[i];
    }
    return grower_add(g, KT_OP_reshape, &x, 1, &attrs);
}

static int grow_transpose(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_attrs_transpose attrs = {.axes = {.count = type_of(g, x)->rank}};
    for (int i = 0; i < type_of(g, x)->rank; i++) {
        int place = draw(g, i + 1);
        attrs.axes.at[i] = attrs.axes.at[place];
        attrs.axes.at[place] = i;
    }
    return grower_add(g, KT_OP_transpose, &x, 1, &attrs);
}

static int grow_broadcast(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_type type = *type_of(g, x);
    kt_attrs_broadcast attrs = {0};
    for (int i = 0; i <= type.rank; i++) {
        while (chance(g, 3) && attrs.shape.count < 5)
            attrs.shape.at[attrs.shape.count++] = grower_some_dim(g);
        if (i == type.rank || attrs.shape.count == 6) break;
        attrs.axes.at[attrs.axes.count++] = attrs.shape.count;
        bool one = kt_dim_equals(pool_of(g), type.dims[i], 1);
        attrs.shape.at[attrs.shape.count++] = one && chance(g, 2) ? grower_some_dim(g) : type.dims[i];
    }
    return attrs.axes.count < type.rank ? -1 : grower_add(g, KT_OP_broadcast, &x, 1, &attrs);
}

static int grow_slice(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_type type = *type_of(g, x);
    kt_attrs_slice attrs = {{type.rank, {0}}, {type.rank, {0}}, {type.rank, {0}}};
    for (int i = 0; i < type.rank; i++) {
        int64_t size;
        attrs.strides.at[i] = 1 + (chance(g, 3) ? draw(g, 3) : 0);
        attrs.start.at[i] = number(g, 0);
        attrs.limit.at[i] = type.dims[i];
        if (chance(g, 2)) continue;
        if (is_number(g, type.dims[i], &size)) {
            int64_t start = draw(g, (int)size), limit = start + 1 + draw(g, (int)(size - start));
            if (chance(g, 40)) limit = start;
            attrs.start.at[i] = number(g, start);
            attrs.limit.at[i] = number(g, limit < size ? limit : size);
        } else if (chance(g, 2)) {
            attrs.limit.at[i] = number(g, 1);
        } else {
            attrs.start.at[i] = kt_dim_add_const(pool_of(g), type.dims[i], -1);
        }
    }
    return grower_add(g, KT_OP_slice, &x, 1, &attrs);
}

static int grow_pad(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_type type = *type_of(g, x);
    kt_attrs_pad attrs = {{type.rank, {0}}, {type.rank, {0}}, {type.rank, {0}}};
    for (int i = 0; i < type.rank; i++) {
        attrs.low.at[i] = chance(g, 3) ? grower_some_dim(g) : number(g, draw(g, 2));
        attrs.high.at[i] = number(g, draw(g, 3));
        attrs.interior.at[i] = chance(g, 3) ? draw(g, 3) : 0;
    }
    const int operands[] = {x, grower_value_like(g, kt_type_scalar(type.dtype))};
    return grower_add(g, KT_OP_pad, operands, 2, &attrs);
}

static int grow_concat(grower *g) {
    int x = grower_pick(g, KT_ANY), parts[4];
    if (x < 0 || type_of(g, x)->rank == 0) return -1;
    kt_type type = *type_of(g, x);
    kt_attrs_concat attrs = {.axis = draw(g, type.rank)};
    uint32_t count = 1 + (uint32_t)draw(g, 4), last = 0;
    parts[last++] = x;
    for (int tries = 0; tries < 60 && last < count; tries++) {
        int i = draw(g, g->count);
        kt_type other = *type_of(g, i);
        if (other.rank != type.rank || other.dtype != type.dtype) continue;
        other.dims[attrs.axis] = type.dims[attrs.axis];
        if (kt_type_equal(&other, &type)) parts[last++] = i;
    }
    return grower_add(g, KT_OP_concat, parts, last, &attrs);
}

/* A random set of axes from `from` on, increasing. */
static kt_ints some_axes(grower *g, int from, int rank) {
    kt_ints axes = {0};
    for (int i = from; i < rank; i++)
        if (chance(g, 2)) axes.at[axes.count++] = i;
    return axes;
}

static int grow_reverse(grower *g) {
    int x = grower_pick(g, KT_ANY);
    return x < 0 ? -1
                 : grower_add(g, KT_OP_reverse, &x, 1,
                              &(kt_attrs_reverse){.axes = some_axes(g, 0, type_of(g, x)->rank)});
}

static int grow_gather(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0 || type_of(g, x)->rank == 0) return -1;
    kt_type type = *type_of(g, x);
    kt_attrs_gather attrs = {.batch_dims = chance(g, 2) ? draw(g, type.rank) : 0};
    attrs.axis = attrs.batch_dims + draw(g, type.rank - (int)attrs.batch_dims);
    int indices = grower_pick(g, KT_INTEGER);
    if (indices < 0 || chance(g, 2)) {
        kt_type wanted = {.dtype = chance(g, 2) ? KT_I32 : (kt_dtype)(KT_I8 + draw(g, 8))};
        for (int i = 0; i < attrs.batch_dims; i++) wanted.dims[wanted.rank++] = type.dims[i];
        if (chance(g, 2)) wanted.dims[wanted.rank++] = grower_some_dim(g);
        indices = grower_value_like(g, wanted);
    }
    const int operands[] = {x, indices};
    return grower_add(g, KT_OP_gather, operands, 2, &attrs);
}

/* ---- reduction ------------------------------------------------------------------------------- */
static int grow_reduce(grower *g) {
    int x = grower_pick(g, KT_ANY);
    if (x < 0) return -1;
    kt_attrs_reduce attrs = {.kind = (kt_reduction)draw(g, 4), .axes = some_axes(g, 0, type_of(g, x)->rank)};
    return grower_add(g, KT_OP_reduce, &x, 1, &attrs);
}

static int grow_arg_reduce(grower *g) {
    int x = grower_pick(g, KT_NUMBER);
    if (x < 0 || type_of(g, x)->rank == 0) return -1;
    const kt_attrs_arg_reduce attrs = {.kind = chance(g, 2) ? KT_REDUCE_MAXIMUM : KT_REDUCE_MINIMUM,
                                       .axis = draw(g, type_of(g, x)->rank),
                                       .dtype = chance(g, 2) ? KT_I32 : KT_I64};
    return grower_add(g, KT_OP_arg_reduce, &x, 1, &attrs);
}

static int grow_reduce_window(grower *g) {
    int x = grower_pick(g, KT_NUMBER);
    if (x < 0 || type_of(g, x)->rank == 0) return -1;
    kt_type type = *type_of(g, x);
    uint32_t rank = type.rank;
    kt_attrs_reduce_window attrs = {.kind = (kt_reduction)draw(g, 4),
                                    .window = {rank, {0}},
                                    .strides = {rank, {0}},
                                    .dilation = {rank, {0}},
                                    .low = {rank, {0}},
                                    .high = {rank, {0}}};
    for (uint32_t i = 0; i < rank; i++) {
        bool slides = chance(g, 2);
        attrs.window.at[i] = slides ? 1 + draw(g, 3) : 1;
        attrs.strides.at[i] = chance(g, 3) ? 2 : 1;
        attrs.dilation.at[i] = chance(g, 4) ? 2 : 1;
        attrs.low.at[i] = number(g, slides ? draw(g, 3) : 0);
        attrs.high.at[i] = number(g, slides ? draw(g, 3) : 0);
    }
    return grower_add(g, KT_OP_reduce_window, &x, 1, &attrs);
}

static int grow_cumulative(grower *g) {
    int x = grower_pick(g, KT_NUMBER);
    if (x < 0 || type_of(g, x)->rank == 0) return -1;
    const kt_attrs_cumulative attrs = {.kind = (kt_reduction)draw(g, 4),
                                       .axis = draw(g, type_of(g, x)->rank),
                                       .reverse = chance(g, 2),
                                       .exclusive = chance(g, 2)};
    return grower_add(g, KT_OP_cumulative, &x, 1, &attrs);
}

/* Half floats are rounded after each update, which the evaluator does once. */
static int grow_scatter(grower *g) {
    int x = grower_pick(g, KT_NUMBER);
    if (x < 0 || type_of(g, x)->rank == 0 || type_of(g, x)->rank > 3) return -1;
    kt_type type = *type_of(g, x), places = {.dtype = chance(g, 2) ? KT_I32 : (kt_dtype)(KT_I8 + draw(g, 8))};
    if (type.dtype == KT_F16 || type.dtype == KT_BF16) return -1;
    kt_attrs_scatter attrs = {.kind = (kt_reduction)draw(g, 4),
                              .batch_dims = chance(g, 2) ? draw(g, type.rank) : 0};
    attrs.axis = attrs.batch_dims + draw(g, type.rank - (int)attrs.batch_dims);
    for (int i = 0; i < attrs.batch_dims; i++) places.dims[places.rank++] = type.dims[i];
    if (chance(g, 2)) places.dims[places.rank++] = grower_some_dim(g);
    kt_type news = {.dtype = type.dtype};
    for (int i = 0; i < attrs.axis; i++) news.dims[news.rank++] = type.dims[i];
    for (int i = (int)attrs.batch_dims; i < places.rank; i++) news.dims[news.rank++] = places.dims[i];
    for (int i = (int)attrs.axis + 1; i < type.rank; i++) news.dims[news.rank++] = type.dims[i];
    const int operands[] = {x, grower_value_like(g, places), grower_value_like(g, news)};
    return grower_add(g, KT_OP_scatter, operands, 3, &attrs);
}

/* ---- contraction ----------------------------------------------------------------------------- */
static int grow_dot_general(grower *g) {
    int x = grower_pick(g, KT_NUMBER);
    if (x < 0) return -1;
    kt_type type = *type_of(g, x), other = {.dtype = type.dtype};
    kt_attrs_dot_general attrs = {0};
    for (int i = 0; i < type.rank; i++) {
        bool batch = i + 1 < type.rank && chance(g, 5),
             contract = !batch && (i + 1 == type.rank || chance(g, 4));
        if (!batch && !contract) continue;
        kt_ints *mine = batch ? &attrs.lhs_batch : &attrs.lhs_contract,
                *theirs = batch ? &attrs.rhs_batch : &attrs.rhs_contract;
        mine->at[mine->count++] = i;
        if (chance(g, 3)) other.dims[other.rank++] = grower_some_dim(g);
        theirs->at[theirs->count++] = other.rank;
        other.dims[other.rank++] = type.dims[i];
    }
    while (chance(g, 2) && other.rank < 4) other.dims[other.rank++] = grower_some_dim(g);
    const int operands[] = {x, grower_value_like(g, other)};
    return grower_add(g, KT_OP_dot_general, operands, 2, &attrs);
}

static int grow_conv(grower *g) {
    int x = -1;
    for (int tries = 0; tries < 10 && x < 0; tries++) {
        int i = grower_pick(g, KT_NUMBER);
        if (i >= 0 && type_of(g, i)->rank >= 3 && type_of(g, i)->rank <= 5) x = i;
    }
    if (x < 0) return -1;
    kt_type type = *type_of(g, x), kernel = {.dtype = type.dtype, .rank = type.rank};
    uint32_t spatial = type.rank - 2u;
    int64_t channels;
    if (!is_number(g, type.dims[type.rank - 1], &channels) || channels == 0) return -1;
    kt_attrs_conv attrs = {.strides = {spatial, {0}},
                           .low = {spatial, {0}},
                           .high = {spatial, {0}},
                           .dilation = {spatial, {0}},
                           .input_dilation = {spatial, {0}}};
    attrs.groups = chance(g, 3) ? channels : channels % 2 == 0 && chance(g, 2) ? 2 : 1;
    for (uint32_t i = 0; i < spatial; i++) {
        kernel.dims[i] = number(g, 1 + draw(g, 3));
        attrs.strides.at[i] = 1 + draw(g, 2);
        attrs.dilation.at[i] = chance(g, 4) ? 2 : 1;
        attrs.input_dilation.at[i] = chance(g, 4) ? 2 : 1;
        attrs.low.at[i] = number(g, draw(g, 3));
        attrs.high.at[i] = number(g, draw(g, 3));
    }
    kernel.dims[spatial] = number(g, channels / attrs.groups);
    kernel.dims[spatial + 1] = number(g, attrs.groups * (1 + draw(g, attrs.groups > 2 ? 2 : 5)));
    const int operands[] = {x, grower_variable_of(g, &kernel)};
    return grower_add(g, KT_OP_conv, operands, 2, &attrs);
}

/* Cotangents of as many places as the window has. */
static int grow_conv_by_kernel(grower *g) {
    uint32_t spatial = (uint32_t)(1 + draw(g, 2));
    kt_attrs_conv_by_kernel attrs = {.strides = {spatial, {0}},
                                     .low = {spatial, {0}},
                                     .high = {spatial, {0}},
                                     .dilation = {spatial, {0}},
                                     .window = {spatial, {0}}};
    kt_type x = {.dtype = chance(g, 4) ? KT_F64 : KT_F32, .rank = (uint8_t)(spatial + 2)};
    x.dims[0] = grower_some_dim(g);
    attrs.groups = chance(g, 3) ? 1 + draw(g, 20) : 1;
    x.dims[spatial + 1] = number(g, attrs.groups * (1 + draw(g, attrs.groups > 2 ? 2
                                                                : chance(g, 4)   ? 20
                                                                                 : 4)));
    kt_type cotangent = x;
    for (uint32_t i = 0; i < spatial; i++) {
        int64_t low = draw(g, 3), high = draw(g, 3), places = 1 + draw(g, 6);
        attrs.strides.at[i] = 1 + draw(g, 2);
        attrs.dilation.at[i] = chance(g, 4) ? 2 : 1;
        attrs.window.at[i] = 1 + draw(g, 3);
        int64_t size = (places - 1) * attrs.strides.at[i] + (attrs.window.at[i] - 1) * attrs.dilation.at[i] +
                       1 - low - high;
        if (size < 1) return -1;
        attrs.low.at[i] = number(g, low);
        attrs.high.at[i] = number(g, high);
        x.dims[i + 1] = number(g, size);
        cotangent.dims[i + 1] = number(g, places);
    }
    cotangent.dims[spatial + 1] = number(g, attrs.groups * (1 + draw(g, attrs.groups > 2 ? 2
                                                                        : chance(g, 4)   ? 40
                                                                                         : 4)));
    const int operands[] = {grower_value_like(g, x), grower_value_like(g, cotangent)};
    if (operands[0] < 0 || operands[1] < 0) return -1;
    return grower_add(g, KT_OP_conv_by_kernel, operands, 2, &attrs);
}

static int grow_winograd(grower *g) {
    int64_t channels = 1 + draw(g, 3), panel = 1 + draw(g, 4), points = 1;
    kt_attrs_winograd attrs = {.tile = chance(g, 3) ? 4 : 2,
                               .line = draw(g, 3),
                               .space = {2, {0}},
                               .low = {2, {0}},
                               .columns = 1 + draw(g, 6)};
    kt_type x = {.dtype = chance(g, 4) ? KT_F64 : KT_F32, .rank = 4}, kernel = {.dtype = x.dtype, .rank = 4};
    x.dims[0] = grower_some_dim(g);
    for (int i = 0; i < 2; i++) {
        const kt_winograd w = kt_winograd_make((int)attrs.tile, (int)attrs.line, i, false);
        int64_t size = 1 + draw(g, 5), low = draw(g, w.window),
                most = (size + w.tile - 1) / w.tile * w.tile + w.window - 1 - low;
        points *= w.points;
        attrs.space.at[i] = number(g, size);
        attrs.low.at[i] = number(g, low);
        x.dims[i + 1] = number(g, chance(g, 2) ? most : 1 + draw(g, (int)most));
    }
    x.dims[3] = kernel.dims[2] = number(g, channels);
    kernel.dims[0] = number(g, (attrs.columns + panel - 1) / panel);
    kernel.dims[1] = number(g, points);
    kernel.dims[3] = number(g, panel);
    int input = grower_value_like(g, x), weights = grower_variable_of(g, &kernel);
    if (input < 0 || weights < 0) return -1;
    const int operands[] = {input, weights};
    return grower_add(g, KT_OP_winograd, operands, 2, &attrs);
}

/* ---- control --------------------------------------------------------------------------------- */
static int grow_some(grower *g);

static int grow_call(grower *g) {
    static const char *const names[] = {"softmax", "gelu", "mine"};
    uint32_t count = 1 + (uint32_t)draw(g, 3);
    kt_value operands[3], params[3], results[2];
    if (g->body) return -1;
    kt_builder builder;
    grower *inner = KT_NEW(g->module->arena, grower);
    *inner = *g;
    inner->body = true;
    inner->count = 0;
    inner->builder = &builder;
    for (uint32_t i = 0; i < count; i++) {
        int x = grower_pick(g, KT_ANY);
        operands[i] = g->values[x].value;
        inner->values[inner->count++] = g->values[x];
    }
    kt_builder_begin_composite(&builder, g->builder, names[draw(g, 3)], operands, count, params);
    for (uint32_t i = 0; i < count; i++) inner->values[i].value = params[i];
    for (int steps = 1 + draw(g, 5), i = 0; i < steps; i++) (void)grow_some(inner);
    int outputs = 1 + draw(g, 2), kept = -1;
    const known *given[2];
    for (int i = 0; i < outputs; i++) {
        given[i] = &inner->values[i ? draw(g, inner->count) : inner->count - 1];
        kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, (uint32_t)i, given[i]->value);
    }
    kt_build_composite(g->builder, &builder, operands, count, results);
    if (g->builder->status != KT_OK) KT_BUG("a composite is refused");
    g->module->grown[KT_OP_call]++;
    for (int i = 0; i < outputs; i++) kept = grower_keep(g, results[i], given[i]->variants);
    return kept;
}

/* A loop over slices of x repeated: two values are carried, and may change places; up to two are stacked. */
enum { SCAN_OPERANDS = 4, SCAN_RESULTS = 4 };

static int find_like(grower *g, int x) {
    for (int tries = 0; tries < 8; tries++) {
        int other = draw(g, g->count);
        if (kt_type_equal(type_of(g, other), type_of(g, x))) return other;
    }
    return x;
}

static kt_value combine(grower *g, kt_builder *builder, kt_value a, kt_value b) {
    switch (draw(g, 4)) {
    case 0: return kt_build_add(builder, a, b);
    case 1: return kt_build_sub(builder, a, b);
    case 2: return kt_build_maximum(builder, a, b);
    default: return kt_build_minimum(builder, a, b);
    }
}

/* Turns the loop by evaluating its step; out_results: those of the scan. */
static bool turn_loop(grower *g, kt_func step, const int *operands, const kt_attrs_scan *attrs, int variant,
                      uint32_t result_count, kt_tensor *out_results) {
    kt_graph *graph = g->module->graph;
    kt_tensor arguments[SCAN_OPERANDS], results[SCAN_RESULTS];
    kt_diag diag = {0};
    bool ok = true;
    for (int i = 0; i < SCAN_OPERANDS; i++) arguments[i] = g->values[operands[i]].variants[variant];
    const kt_tensor stack = arguments[2];
    arguments[2].rank--;
    memmove(arguments[2].dims, arguments[2].dims + 1, sizeof arguments[2].dims - sizeof arguments[2].dims[0]);
    size_t bytes = kt_tensor_bytes(&arguments[2]);
    for (uint32_t i = 2; i < result_count; i++) {
        out_results[i] = stack;
        out_results[i].data = kt_arena_alloc(g->module->arena, kt_tensor_bytes(&stack) + 1);
    }
    for (int64_t turn = 0; turn < stack.dims[0] && ok; turn++) {
        int64_t at = attrs->reverse ? stack.dims[0] - 1 - turn : turn;
        arguments[2].data = (char *)stack.data + (size_t)at * bytes;
        ok = kt_eval(graph, step, g->module->sizes, arguments, SCAN_OPERANDS, g->module->arena, results,
                     &diag) == KT_OK;
        for (uint32_t i = 2; i < result_count && ok; i++)
            memcpy((char *)out_results[i].data + (size_t)at * bytes, results[i].data, bytes);
        for (uint32_t i = 0; i < 2 && ok; i++) arguments[i] = results[i];
    }
    for (uint32_t i = 0; i < 2; i++) out_results[i] = arguments[i];
    kt_diag_deinit(&diag);
    return ok;
}

static int grow_scan(grower *g) {
    int x = grower_pick(g, KT_NUMBER);
    if (g->body || x < 0 || type_of(g, x)->rank == KT_MAX_RANK) return -1;
    kt_graph *graph = g->module->graph;
    const kt_type type = *type_of(g, x);
    kt_dim length = chance(g, 2) ? g->dims[draw(g, g->dims_count)] : number(g, 1 + draw(g, 4));
    kt_attrs_broadcast spread = {.shape = {(uint32_t)type.rank + 1, {length}}};
    for (int axis = 0; axis < type.rank; axis++) {
        spread.shape.at[axis + 1] = type.dims[axis];
        spread.axes.at[spread.axes.count++] = axis + 1;
    }
    kt_type stack = {.dtype = type.dtype, .rank = (uint8_t)(type.rank + 1)};
    memcpy(stack.dims, spread.shape.at, sizeof stack.dims);
    int repeated = grower_add(g, KT_OP_broadcast, &x, 1, &spread);
    int steps = grower_add(g, KT_OP_iota, NULL, 0, &(kt_attrs_iota){.type = stack, .axis = 0});
    int sequence = grower_add(g, KT_OP_add, (int[]){repeated, steps}, 2, NULL);
    if (sequence < 0) return -1;
    int operands[SCAN_OPERANDS] = {x, find_like(g, x), sequence, find_like(g, x)};

    kt_builder builder;
    kt_diag diag = {0};
    kt_func step = 0;
    kt_value params[SCAN_OPERANDS], results[SCAN_RESULTS];
    kt_builder_begin(&builder, graph, KT_FUNC_STEP,
                     kt_arena_format(graph->arena, "step_%u", graph->functions.count), &diag);
    for (uint32_t i = 0; i < SCAN_OPERANDS; i++)
        params[i] = kt_builder_param(&builder, KT_ROLE_PLAIN, NULL, i, &type);
    kt_value middle = combine(g, &builder, params[0], params[2]),
             next = combine(g, &builder, middle, params[3]);
    kt_value choices[] = {next, middle, params[0], params[1], params[2], params[3]};
    uint32_t count = 2 + (uint32_t)draw(g, 3);
    for (uint32_t i = 0; i < count; i++)
        kt_builder_result(&builder, KT_ROLE_PLAIN, NULL, i, i == 0 ? next : choices[draw(g, 6)]);
    if (kt_builder_finish(&builder, &step) != KT_OK) KT_BUG("a step is refused");
    const kt_attrs_scan attrs = {
        .body = step, .carried = 2, .sequences = 1, .length = length, .reverse = draw(g, 2)};
    kt_tensor all[RANDOM_VARIANTS][SCAN_RESULTS], one[RANDOM_VARIANTS];
    for (int v = 0; v < RANDOM_VARIANTS; v++)
        if (!turn_loop(g, step, operands, &attrs, v, count, all[v])) return -1;
    for (uint32_t i = 0; i < count; i++) {
        for (int v = 0; v < RANDOM_VARIANTS; v++) one[v] = all[v][i];
        if (!grower_is_tame(one, true)) return -1;
    }
    kt_value values[SCAN_OPERANDS];
    for (int i = 0; i < SCAN_OPERANDS; i++) values[i] = g->values[operands[i]].value;
    kt_build_scan(g->builder, &attrs, values, SCAN_OPERANDS, results);
    if (g->builder->status != KT_OK) KT_BUG("a scan is refused");
    g->module->grown[KT_OP_scan]++;
    int kept = -1;
    for (uint32_t i = 0; i < count; i++) {
        for (int v = 0; v < RANDOM_VARIANTS; v++) one[v] = all[v][i];
        kept = grower_keep(g, results[i], one);
    }
    return kept;
}

/* ---- entangled values ------------------------------------------------------------------------ */
/* Something of x's type that is computed from it and that lies in memory: fusion leaves these operations
 * alone. */
static int set_apart(grower *g, int x) {
    static const kt_reduction kinds[] = {KT_REDUCE_SUM, KT_REDUCE_MAXIMUM, KT_REDUCE_MINIMUM};
    if (x < 0) return -1;
    kt_type type = *type_of(g, x);
    int last = type.rank - 1;
    if (chance(g, 3)) {
        const kt_type square = {.dtype = type.dtype, .rank = 2, .dims = {type.dims[last], type.dims[last]}};
        const kt_attrs_dot_general attrs = {.lhs_contract = {1, {last}}, .rhs_contract = {1, {draw(g, 2)}}};
        int y = grower_value_like(g, square);
        y = y < 0 ? -1 : grower_add(g, KT_OP_dot_general, (int[]){x, y}, 2, &attrs);
        if (y >= 0) return y;
    }
    const kt_attrs_cumulative attrs = {.kind = kinds[draw(g, 3)],
                                       .axis = draw(g, type.rank),
                                       .reverse = chance(g, 2),
                                       .exclusive = chance(g, 4)};
    return grower_add(g, KT_OP_cumulative, &x, 1, &attrs);
}

/* The elements of a value with x's type, or of x, moved about in x's shape. */
static int grow_moved(grower *g, int x, bool itself) {
    kt_type type = *type_of(g, x), other = type;
    kt_attrs_transpose turn = {.axes = {.count = type.rank}};
    for (int i = 0; i < type.rank; i++) turn.axes.at[i] = i;
    switch (draw(g, 5)) {
    case 0: {
        int y = itself ? x : set_apart(g, grower_value_like(g, type));
        return y < 0 ? -1
                     : grower_add(g, KT_OP_reverse, &y, 1,
                                  &(kt_attrs_reverse){.axes = {1, {draw(g, type.rank)}}});
    }
    case 1: { /* rows from one number each */
        int y = itself ? x : set_apart(g, grower_value_like(g, type));
        kt_attrs_reduce all = {.kind = chance(g, 2) ? KT_REDUCE_SUM : KT_REDUCE_MAXIMUM,
                               .axes = {1, {type.rank - 1}}};
        kt_attrs_broadcast spread = {.shape = {.count = type.rank}, .axes = {.count = type.rank - 1u}};
        for (int i = 0; i < type.rank; i++) spread.shape.at[i] = type.dims[i];
        for (int i = 0; i + 1 < type.rank; i++) spread.axes.at[i] = i;
        y = y < 0 ? -1 : grower_add(g, KT_OP_reduce, &y, 1, &all);
        return y < 0 ? -1 : grower_add(g, KT_OP_broadcast, &y, 1, &spread);
    }
    default: {
        int axis = draw(g, type.rank - 1);
        turn.axes.at[axis] = type.rank - 1;
        turn.axes.at[type.rank - 1] = axis;
        for (int i = 0; i < type.rank; i++) other.dims[turn.axes.at[i]] = type.dims[i];
        int y = itself && kt_type_equal(&type, &other) ? x : set_apart(g, grower_value_like(g, other));
        return y < 0 ? -1 : grower_add(g, KT_OP_transpose, &y, 1, &turn);
    }
    }
}

/* As d = c - transpose(c), between operations that leave c and d in memory: d may be written over what it is
 * computed from only if that is read in its place. */
static int grow_entangled(grower *g) {
    static const kt_op ops[] = {KT_OP_add, KT_OP_sub, KT_OP_maximum, KT_OP_minimum, KT_OP_mul};
    int x = -1;
    for (int tries = 0; tries < 10 && x < 0; tries++) {
        int i = grower_pick(g, KT_NUMBER);
        if (i >= 0 && type_of(g, i)->rank >= 2 && type_of(g, i)->rank <= 4) x = i;
    }
    int c = set_apart(g, x), moved = c < 0 ? -1 : grow_moved(g, c, chance(g, 2));
    if (moved < 0) return c;
    int operands[] = {c, moved}, first = draw(g, 2);
    int d = grower_apply(g, ops[draw(g, 5)], operands[first], operands[1 - first]);
    if (d >= 0 && chance(g, 3)) d = grower_apply(g, ops[draw(g, 4)], d, chance(g, 2) ? c : moved);
    int e = set_apart(g, d);
    return e < 0 ? d : e;
}

/* ---- graphs ---------------------------------------------------------------------------------- */
static int (*const growers[KT_OP_COUNT])(grower *) = {
#define KT_OP(name, operands, results, traits, gradient, doc) [KT_OP_##name] = grow_##name,
#include "ir/ops.def"
};

/* One more node, if some operation that is drawn can be had; each is drawn as often. Half of the draws are of
 * what is more than elementwise. */
static int grow_some(grower *g) {
    if (chance(g, 12) && g->count < RANDOM_MOST_VALUES - 32) {
        int made = grow_entangled(g);
        if (made >= 0) return made;
    }
    for (int tries = 0; tries < 30 && g->count < RANDOM_MOST_VALUES - 8; tries++) {
        kt_op op = (kt_op)(1 + draw(g, KT_OP_COUNT - 1));
        if (kt_op_is(op, KT_ELEMENTWISE) && chance(g, 2)) continue;
        int made = growers[op](g);
        if (made >= 0) return made;
    }
    return -1;
}

void random_module_init(random_module *out_module, kt_arena *arena, uint64_t seed, kt_diag *diag) {
    grower g = {.state = &seed};
    *out_module = (random_module){.arena = arena, .graph = kt_graph_create(arena, "random"), .diag = diag};
    out_module->symbol_count = (uint32_t)draw(&g, RANDOM_SYMBOLS + 1);
    for (uint32_t i = 0; i < out_module->symbol_count; i++) {
        out_module->symbols[i] = kt_dim_symbol(out_module->graph->dims, i ? "time" : "batch");
        out_module->sizes[i] = 1 + draw(&g, i ? 6 : chance(&g, 4) ? 40 : 9);
    }
}

/* The first input has every symbol as a dimension, so that programs can read them off. */
static void add_input(grower *g, random_entry *entry, bool all_symbols) {
    kt_type type = some_type(g, false);
    kt_tensor variants[RANDOM_VARIANTS];
    if (all_symbols) {
        type.rank = (uint8_t)(g->module->symbol_count + 1);
        for (uint32_t i = 0; i < g->module->symbol_count; i++) type.dims[i] = g->module->symbols[i];
        type.dims[type.rank - 1] = g->large ? grower_some_dim(g) : number(g, 1 + draw(g, 9));
    } else if (chance(g, 2)) {
        type.rank = (uint8_t)(3 + draw(g, 2));
        for (int i = 0; i < type.rank; i++) type.dims[i] = grower_some_dim(g);
        if (!g->large) type.dims[type.rank - 1] = number(g, 1 + draw(g, 6));
    }
    if (!grower_make_tensor(g, &type, &variants[0])) { /* too large */
        if (all_symbols) type.dims[type.rank - 1] = number(g, 1);
        if (!all_symbols) type.rank = 0;
        (void)grower_make_tensor(g, &type, &variants[0]);
    }
    grower_fill(g, &variants[0]);
    variants[1] = variants[2] = variants[0];
    uint32_t index = entry->input_count++;
    entry->inputs[index] = variants[0];
    const char *name = kt_arena_format(g->module->arena, "x%u", index);
    grower_keep(g, kt_builder_param(g->builder, KT_ROLE_INPUT, name, index, &type), variants);
}

void random_add_after(kt_graph *graph, kt_func entry, const char *name, kt_diag *diag) {
    const kt_function function = *kt_graph_function(graph, entry);
    kt_builder builder;
    kt_builder_begin(&builder, graph, KT_FUNC_ENTRY, name, diag);
    const kt_type given = *kt_graph_type(graph, function.params.at[0].value);
    kt_builder_param(&builder, KT_ROLE_INPUT, "x0", 0, &given);
    for (uint32_t i = 0, count = 0; i < function.results.count; i++) {
        uint32_t index = function.results.at[i].index;
        if (function.results.at[i].role != KT_ROLE_VARIABLE) continue;
        const kt_type type = graph->variables.at[index].type;
        kt_value variable = kt_builder_param(&builder, KT_ROLE_VARIABLE, NULL, index, &type);
        kt_builder_result(&builder, KT_ROLE_OUTPUT, kt_arena_format(graph->arena, "v%u", count), count,
                          variable);
        count++;
    }
    if (kt_builder_finish(&builder, NULL) != KT_OK) KT_BUG("the entry behind is refused");
}

/* What variable number i of values is to become: itself, another value of its type, or what is computed from
 * it. */
static int next_value(grower *g, int variable) {
    static const kt_op ops[] = {KT_OP_add, KT_OP_sub, KT_OP_maximum, KT_OP_mul};
    const kt_type type = *type_of(g, variable);
    if (chance(g, 8)) return variable;
    int x = chance(g, 6) ? grower_constant_of(g, &type) : grower_value_like(g, type);
    if (x < 0 || chance(g, 3) || !kt_domain_has(KT_NUMBER, type.dtype)) return x;
    if (chance(g, 3) && type.rank >= 2) x = grow_moved(g, variable, true);
    return x < 0 ? -1 : grower_apply(g, ops[draw(g, 4)], variable, x);
}

static void update_variables(grower *g, random_entry *entry) {
    int nexts[RANDOM_MOST_PORTS];
    for (int i = 0; i < g->variable_count; i++)
        nexts[i] = chance(g, 3) || g->count > RANDOM_MOST_VALUES - 16 ? -1 : next_value(g, g->variables[i]);
    for (int i = 0; i < g->variable_count; i++) {
        if (nexts[i] < 0 || !kt_type_equal(type_of(g, nexts[i]), type_of(g, g->variables[i]))) continue;
        const known *next = &g->values[nexts[i]];
        uint32_t index = 0;
        for (uint32_t k = 0; k < g->builder->function.params.count; k++)
            if (g->builder->function.params.at[k].value == g->values[g->variables[i]].value)
                index = g->builder->function.params.at[k].index;
        kt_builder_result(g->builder, KT_ROLE_VARIABLE, NULL, index, next->value);
        entry->paths[entry->next_count] = g->module->graph->variables.at[index].path;
        entry->nexts[entry->next_count++] = next->variants[0];
    }
    g->module->updated += entry->next_count;
}

/* What shapes are made of; large: little, of which much is alike then. */
static void choose_dims(grower *g) {
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17};
    static const int64_t large[] = {1, 6, 11, 15, 17, 19, 21, 23, 31, 32, 33, 37, 40, 45, 63, 64, 65, 70};
    const random_module *module = g->module;
    for (uint32_t i = 0; i < module->symbol_count; i++) g->dims[g->dims_count++] = module->symbols[i];
    int most = g->large ? 2 + (int)module->symbol_count : 5;
    if (most > 5) most = 5;
    while (g->dims_count < most)
        g->dims[g->dims_count++] = number(g, g->large ? large[draw(g, 18)] : sizes[draw(g, 11)]);
    if (module->symbol_count && chance(g, 3))
        g->dims[most - 1] =
            kt_dim_add_const(pool_of(g), kt_dim_mul_const(pool_of(g), module->symbols[0], 2), 1);
}

void random_module_grow(random_module *module, uint64_t seed, const char *name, random_entry *out_entry) {
    kt_builder builder;
    kt_func func;
    *out_entry = (random_entry){.seed = seed, .name = name};
    grower *g = KT_NEW(module->arena, grower);
    *g = (grower){.module = module, .state = &seed, .builder = &builder};
    for (int i = 0; i < 3; i++) {
        g->favourites[i] = (kt_dtype)draw(g, KT_STRING);
        if (chance(g, 3)) g->favourites[i] = i ? KT_I32 : KT_F32;
    }
    g->large = chance(g, 4);
    g->smooth = chance(g, 8);
    for (int i = 0; i < 3 && g->smooth; i++) g->favourites[i] = KT_F64;
    g->stopped = module->grown[KT_OP_stop_gradient];
    choose_dims(g);

    kt_builder_begin(&builder, module->graph, KT_FUNC_ENTRY, name, module->diag);
    int inputs = 1 + draw(g, 4), steps = 1 + draw(g, g->large && chance(g, 3) ? 40 : 14);
    for (int i = 0; i < inputs; i++) add_input(g, out_entry, i == 0);
    for (int i = 0; i < steps; i++) {
        builder.loc = kt_loc_path(module->graph, kt_arena_format(module->arena, "%s/step_%d", name, i));
        (void)grow_some(g);
    }
    int outputs = 1 + draw(g, 4), derived = g->smooth || chance(g, 3) ? grower_derive(g) : 0;
    outputs += derived;
    for (int i = 0; i < outputs; i++) {
        const known *one = &g->values[i == 0 || i < derived ? g->count - 1 - i : draw(g, g->count)];
        out_entry->outputs[out_entry->output_count++] = one->variants[0];
        kt_builder_result(&builder, KT_ROLE_OUTPUT, kt_arena_format(module->arena, "y%d", i), (uint32_t)i,
                          one->value);
    }
    update_variables(g, out_entry);
    if (kt_builder_finish(&builder, &func) != KT_OK) KT_BUG("the entry is refused");
    if (out_entry->next_count == 0) return;
    out_entry->after = kt_arena_format(module->arena, "%s_after", name);
    random_add_after(module->graph, func, out_entry->after, module->diag);
}
