/* Elementwise kernels, views, reductions and windows. */
#include "kernel_suite.h"

#include "kt_cmocka.h"

#include <math.h>

/* ---- elementwise ----------------------------------------------------------------------------- */

static const int64_t few[][2] = {{1, 1}, {5, 9}};
static const int64_t tails[] = {1, 7, 8, 9, 31, 33};

static void test_elementwise(void **state) {
    (void)state;
    suite s = begin_suite();
#define KT_UNARY(name, domain, gradient, doc)                                                                \
    begin(&s, #name);                                                                                        \
    end(&s, kt_build_##name(&s.b, PARAM(&s, (domain) == KT_LOGICAL ? KT_I32 : KT_F32, N, 9)));
#define KT_BINARY(name, domain, traits, gradient, doc)                                                       \
    {                                                                                                        \
        kt_dtype dtype = (domain) == KT_LOGICAL || (domain) == KT_INTEGER ? KT_I32 : KT_F32;                 \
        begin(&s, #name);                                                                                    \
        kt_value x = PARAM(&s, dtype, N, 9), y = PARAM(&s, dtype, N, 9);                                     \
        end(&s, kt_build_##name(&s.b, x, y));                                                                \
    }
#define KT_COMPARE(name, domain, doc)                                                                        \
    {                                                                                                        \
        begin(&s, #name);                                                                                    \
        kt_value x = PARAM(&s, KT_I16, 33), y = PARAM(&s, KT_I16, 33);                                       \
        end(&s, kt_build_##name(&s.b, x, y));                                                                \
    }
#include "ir/ops.def"
    run_suite(&s, NULL, few, 2);
    end_suite(&s);
}

static void test_dtypes(void **state) {
    (void)state;
    suite s = begin_suite();
    for (int number = KT_F32; number <= KT_U64; number++) {
        kt_dtype dtype = (kt_dtype)number;
        begin(&s, "add");
        kt_value x = PARAM(&s, dtype, N, 33), y = PARAM(&s, dtype, 33);
        kt_value z = kt_build_add(&s.b, x, BROADCAST(&s, y, SIZES(1), N, 33));
        end(&s, kt_build_select(&s.b, kt_build_lt(&s.b, x, z), z, x));
        begin(&s, "cast");
        end(&s, kt_build_cast(&s.b, PARAM(&s, dtype, 7), KT_F64));
        begin(&s, "to_bool");
        end(&s, kt_build_cast(&s.b, PARAM(&s, dtype, 17), KT_BOOL));
        begin(&s, "iota");
        kt_type type = type_of(&s, dtype, 3, SIZES(2, N, 9));
        kt_value at = kt_build_add(&s.b, kt_build_iota(&s.b, &type, 1), kt_build_iota(&s.b, &type, 2));
        end(&s, at);
        begin(&s, "sum");
        end(&s, kt_build_reduce(&s.b, PARAM(&s, dtype, N, 35), KT_REDUCE_SUM, 1, SIZES(1)));
        begin(&s, "largest");
        end(&s, kt_build_reduce(&s.b, PARAM(&s, dtype, 3, N, 9), KT_REDUCE_MAXIMUM, 1, SIZES(1)));
        begin(&s, "dot");
        kt_value a = PARAM(&s, dtype, N, 7), w = PARAM(&s, dtype, 7, 19);
        kt_attrs_dot_general dot = {.lhs_contract = {1, {1}}, .rhs_contract = {1, {0}}};
        end(&s, kt_build_dot_general(&s.b, a, w, &dot));
    }
    begin(&s, "any");
    end(&s, kt_build_reduce(&s.b, PARAM(&s, KT_BOOL, N, 35), KT_REDUCE_MAXIMUM, 1, SIZES(1)));
    begin(&s, "all");
    end(&s, kt_build_reduce(&s.b, PARAM(&s, KT_BOOL, 35, N), KT_REDUCE_MINIMUM, 1, SIZES(0)));
    begin(&s, "not");
    end(&s, kt_build_not(&s.b, PARAM(&s, KT_BOOL, 35)));
    run_suite(&s, NULL, few, 2);
    end_suite(&s);
}

static void test_shapes(void **state) {
    (void)state;
    suite s = begin_suite();
    begin(&s, "scalar");
    end(&s, kt_build_exp(&s.b, param_of(&s, KT_F32, 0, NULL)));
    begin(&s, "empty");
    end(&s, kt_build_exp(&s.b, PARAM(&s, KT_F32, 3, 0)));
    begin(&s, "rank8");
    end(&s, kt_build_exp(&s.b, PARAM(&s, KT_F32, 2, 1, N, 3, 1, 2, T, 1)));
    begin(&s, "large");
    end(&s, kt_build_neg(&s.b, PARAM(&s, KT_F32, 3, 70001)));
    for (int i = 0; i < 6; i++) {
        begin(&s, "tail");
        end(&s, relu(&s, PARAM(&s, KT_F32, tails[i])));
        begin(&s, "bias");
        kt_value x = PARAM(&s, KT_F32, N, 3, tails[i]), y = PARAM(&s, KT_F32, tails[i]);
        end(&s, kt_build_add(&s.b, x, BROADCAST(&s, y, SIZES(2), N, 3, tails[i])));
        begin(&s, "column");
        x = PARAM(&s, KT_F32, N, T, tails[i]), y = PARAM(&s, KT_F32, N, T);
        y = kt_build_rsqrt(&s.b, kt_build_abs(&s.b, y));
        end(&s, kt_build_mul(&s.b, x, BROADCAST(&s, y, SIZES(0, 1), N, T, tails[i])));
    }
    begin(&s, "keepdims");
    kt_value x = PARAM(&s, KT_F32, N, 1, 9), y = PARAM(&s, KT_F32, N, T, 9);
    end(&s, kt_build_sub(&s.b, BROADCAST(&s, x, SIZES(0, 1, 2), N, T, 9), y));
    begin(&s, "two");
    x = PARAM(&s, KT_F32, N, 9);
    y = kt_build_tanh(&s.b, x);
    kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 0, kt_build_add(&s.b, x, y));
    kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 1, RESHAPE(&s, y, 9, N));
    end(&s, y);
    finish(&s);
}

/* ---- views ----------------------------------------------------------------------------------- */

static kt_value pad_with(suite *s, double number, kt_value x, int rank, const int64_t *low,
                         const int64_t *high, const int64_t *interior) {
    kt_dim before[KT_MAX_RANK] = {0}, behind[KT_MAX_RANK] = {0};
    const kt_type *type = kt_build_type(&s->b, x);
    for (int i = 0; i < rank; i++) {
        before[i] = dim_of(s, low[i]);
        behind[i] = dim_of(s, high[i]);
    }
    kt_value with = kt_build_scalar(&s->b, type->dtype, number);
    return kt_build_pad(&s->b, x, with, before, behind, interior);
}

static kt_value pad_of(suite *s, kt_value x, int rank, const int64_t *low, const int64_t *high,
                       const int64_t *interior) {
    return pad_with(s, 3, x, rank, low, high, interior);
}

/* Rows of few columns, and what is the same for all rows, for all columns, or for some rows alone: as many
 * rows as fill vectors, some more, and a number that is not known. */
static void add_narrow(suite *s, kt_dtype dtype, int64_t rows, int64_t columns) {
    begin(s, "columns");
    kt_value x = PARAM(s, dtype, rows, columns), scale = PARAM(s, dtype, columns),
             shift = PARAM(s, dtype, columns);
    x = kt_build_mul(&s->b, x, BROADCAST(s, scale, SIZES(1), rows, columns));
    end(s, kt_build_add(&s->b, x, BROADCAST(s, shift, SIZES(1), rows, columns)));
    begin(s, "rows");
    x = PARAM(s, dtype, rows, columns);
    kt_value y = PARAM(s, dtype, rows);
    x = kt_build_sub(&s->b, x, BROADCAST(s, y, SIZES(0), rows, columns));
    end(s, kt_build_add(&s->b, x, BROADCAST(s, PARAM(s, dtype, columns), SIZES(1), rows, columns)));
}

static void add_narrow_kernels(suite *s) {
    static const int64_t columns[] = {2, 3, 4, 6, 10, 21}, rows[] = {37, 160, N};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) add_narrow(s, KT_F32, rows[j], columns[i]);
    static const kt_dtype dtypes[] = {KT_F64, KT_BF16, KT_U8};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) add_narrow(s, dtypes[i], 37, 3);
    begin(s, "units");
    kt_value x = PARAM(s, KT_F32, N, 7001, 3),
             y = kt_build_rsqrt(&s->b, kt_build_abs(&s->b, PARAM(s, KT_F32, 3)));
    x = kt_build_mul(&s->b, x, BROADCAST(s, y, SIZES(2), N, 7001, 3));
    end(s, relu(s, x));
    begin(s, "outer");
    x = PARAM(s, KT_F32, N, 7, 5, 3), y = PARAM(s, KT_F32, N, 3);
    x = kt_build_add(&s->b, x, BROADCAST(s, y, SIZES(0, 3), N, 7, 5, 3));
    end(s, kt_build_add(&s->b, x, BROADCAST(s, PARAM(s, KT_F32, 5, 3), SIZES(2, 3), N, 7, 5, 3)));
    begin(s, "two");
    x = PARAM(s, KT_F32, N, 9, 3);
    y = kt_build_add(&s->b, x, BROADCAST(s, PARAM(s, KT_F32, 3), SIZES(2), N, 9, 3));
    kt_builder_result(&s->b, KT_ROLE_PLAIN, NULL, 0, relu(s, y));
    end(s, y);
    add_narrow(s, KT_F32, 5, 0);
    begin(s, "padded");
    x = PARAM(s, KT_F32, N, 7, 29, 3), y = PARAM(s, KT_F32, 3);
    x = kt_build_mul(&s->b, x, BROADCAST(s, y, SIZES(3), N, 7, 29, 3));
    end(s, pad_of(s, x, 4, SIZES(0, 1, 2, 0), SIZES(0, 3, 1, 0), SIZES(0, 0, 0, 0)));
    begin(s, "strided");
    x = PARAM(s, KT_F32, N, 49);
    kt_dim start[] = {dim_of(s, 0), dim_of(s, 2)}, sizes[] = {dim_of(s, N), dim_of(s, 16)};
    end(s, kt_build_slice(&s->b, x, start, sizes, SIZES(1, 3)));
}

static void test_narrow(void **state) {
    (void)state;
    suite s = begin_suite();
    add_narrow_kernels(&s);
    finish(&s);
    static const char *const cpus[] = {"x86-64", "haswell"};
    for (int i = 0; i < 2; i++) {
        s = begin_suite();
        add_narrow_kernels(&s);
        compile_suite(&s, cpus[i]);
        end_suite(&s);
    }
}

static void test_pad_concat(void **state) {
    (void)state;
    suite s = begin_suite();
    begin(&s, "image");
    end(&s, pad_of(&s, PARAM(&s, KT_F32, N, 5, 7, 3), 4, SIZES(0, 1, 2, 0), SIZES(0, 3, 1, 0),
                   SIZES(0, 0, 0, 0)));
    begin(&s, "all");
    kt_value x = PARAM(&s, KT_F32, 3, T, 9);
    end(&s, pad_of(&s, relu(&s, x), 3, SIZES(1, 2, 3), SIZES(N, 0, 5), SIZES(0, 0, 0)));
    begin(&s, "interior");
    end(&s, pad_of(&s, PARAM(&s, KT_F32, 2, N, 9), 3, SIZES(0, 1, 2), SIZES(1, 0, 3), SIZES(0, 1, 2)));
    begin(&s, "inside");
    x = pad_of(&s, PARAM(&s, KT_I32, 2, 9), 2, SIZES(1, 2), SIZES(0, 3), SIZES(0, 0));
    end(&s, kt_build_add(&s.b, x, x));
    begin(&s, "twice");
    x = pad_of(&s, PARAM(&s, KT_F32, 4, 9), 2, SIZES(1, 2), SIZES(0, 3), SIZES(0, 0));
    end(&s, pad_of(&s, x, 2, SIZES(0, 1), SIZES(2, 0), SIZES(0, 0)));
    begin(&s, "of_broadcast");
    x = BROADCAST(&s, PARAM(&s, KT_F32, N), SIZES(0), N, 9);
    end(&s, pad_of(&s, x, 2, SIZES(1, 1), SIZES(1, 1), SIZES(0, 0)));
    /* Half of a vector is padding, wherever the row is; by 0, which is also what masked loads give. */
    begin(&s, "half_outside");
    x = PARAM(&s, KT_F32, N, 1, 1, 4);
    x = pad_with(&s, 0, x, 4, SIZES(0, 1, 2, 0), SIZES(0, 1, 2, 0), SIZES(0, 0, 0, 0));
    end(&s, kt_build_mul(&s.b, x, x));
    for (int axis = 0; axis < 3; axis++) {
        begin(&s, "concat");
        kt_value parts[3];
        for (int i = 0; i < 3; i++) {
            int64_t sizes[] = {2, 3, 9};
            sizes[axis] = i == 1 ? N : 4 * i;
            parts[i] = relu(&s, param_of(&s, KT_F32, 3, sizes));
        }
        kt_value joined = kt_build_concat(&s.b, parts, 3, axis);
        end(&s, axis == 1 ? kt_build_neg(&s.b, joined) : joined);
    }
    begin(&s, "pad_concat");
    kt_value parts[] = {PARAM(&s, KT_F32, N, 8), PARAM(&s, KT_F32, N, 5)};
    x = kt_build_concat(&s.b, parts, 2, 1);
    end(&s, pad_of(&s, x, 2, SIZES(1, 1), SIZES(1, 1), SIZES(0, 0)));
    finish(&s);
}

/* Concats of the same four parts. */
static void join_parts(suite *s, kt_value *out_joined, int count) {
    kt_value parts[] = {PARAM(s, KT_F32, N, 64), PARAM(s, KT_F32, N, 5), PARAM(s, KT_F32, N, 32),
                        PARAM(s, KT_F32, N, T)};
    for (int i = 0; i < count; i++) out_joined[i] = kt_build_concat(&s->b, parts, 4, 1);
}

/* What is made of a concat or pad, at its index and at others: where the inner loop may be cut into parts,
 * and where not. */
static void test_made_of_parts(void **state) {
    (void)state;
    suite s = begin_suite();
    begin(&s, "scaled");
    kt_value joined[2], x, scale = param_of(&s, KT_F32, 0, NULL);
    join_parts(&s, &x, 1);
    const kt_type *type = kt_build_type(&s.b, x);
    scale = kt_build_broadcast(&s.b, scale, 2, type->dims, NULL);
    end(&s, relu(&s, kt_build_add(&s.b, kt_build_mul(&s.b, x, scale), kt_build_tanh(&s.b, x))));
    begin(&s, "and_reversed");
    join_parts(&s, &x, 1);
    end(&s, kt_build_sub(&s.b, x, kt_build_reverse(&s.b, x, 1, SIZES(1))));
    begin(&s, "of_reversed");
    join_parts(&s, joined, 2);
    end(&s, kt_build_add(&s.b, kt_build_reverse(&s.b, joined[0], 1, SIZES(1)), joined[1]));
    begin(&s, "twice");
    join_parts(&s, joined, 2);
    x = kt_build_mul(&s.b, joined[0], joined[1]);
    kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 0, relu(&s, x));
    end(&s, x);
    begin(&s, "of_pads");
    x = PARAM(&s, KT_F32, N, 40);
    kt_value before = pad_of(&s, x, 2, SIZES(1, 7), SIZES(0, 0), SIZES(0, 0)),
             behind = pad_of(&s, x, 2, SIZES(0, 0), SIZES(1, 7), SIZES(0, 0));
    end(&s, relu(&s, kt_build_sub(&s.b, before, kt_build_exp(&s.b, behind))));
    begin(&s, "narrow");
    kt_value narrow[] = {PARAM(&s, KT_F32, N, 3), PARAM(&s, KT_F32, N, 4)};
    end(&s, kt_build_exp(&s.b, kt_build_concat(&s.b, narrow, 2, 1)));
    finish(&s);
}

/* Concats of like parts: each turn makes an element of all parts, of which two have something in common. */
static void test_parts(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{2, 3, 9}, {N, 2, 17}, {3, N, 16}, {1, 1, 33}, {N, 1, 16}, {2, 5, 4}};
    suite s = begin_suite();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int axis = 0; axis < 3; axis++) {
            begin(&s, "parts");
            kt_value x = param_of(&s, KT_F32, 3, shapes[i]), y = param_of(&s, KT_F32, 3, shapes[i]);
            kt_value common = kt_build_mul(&s.b, x, y);
            kt_value parts[] = {common, kt_build_add(&s.b, common, x), y, relu(&s, x)};
            kt_value joined = kt_build_concat(&s.b, parts, 4, axis);
            if (axis == 1) kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 0, kt_build_neg(&s.b, common));
            end(&s, joined);
        }
    }
    finish(&s);
}

static kt_value slice_of(suite *s, kt_value x, int rank, const int64_t *start, const int64_t *limit,
                         const int64_t *strides) {
    kt_dim from[KT_MAX_RANK] = {0}, to[KT_MAX_RANK] = {0};
    for (int i = 0; i < rank; i++) {
        from[i] = dim_of(s, start[i]);
        to[i] = dim_of(s, limit[i]);
    }
    return kt_build_slice(&s->b, x, from, to, strides);
}

static void test_views(void **state) {
    (void)state;
    suite s = begin_suite();
    begin(&s, "transpose");
    end(&s, kt_build_transpose(&s.b, PARAM(&s, KT_F32, N, 9), SIZES(1, 0)));
    begin(&s, "heads");
    kt_value x = RESHAPE(&s, PARAM(&s, KT_F32, N, T, 32), N, T, 4, 8);
    end(&s, kt_build_transpose(&s.b, x, SIZES(0, 2, 1, 3)));
    begin(&s, "channels");
    end(&s, relu(&s, kt_build_transpose(&s.b, PARAM(&s, KT_F32, 2, 3, 5, T), SIZES(0, 3, 1, 2))));
    begin(&s, "reshape");
    x = kt_build_transpose(&s.b, PARAM(&s, KT_F32, 6, N, 10), SIZES(1, 0, 2));
    end(&s, RESHAPE(&s, x, N, 4, 15));
    begin(&s, "slice");
    end(&s, slice_of(&s, PARAM(&s, KT_F32, N, 9, 20), 3, SIZES(0, 2, 3), SIZES(N, 8, 19), SIZES(1, 1, 1)));
    begin(&s, "slice_of_ones"); /* each axis of extent 1 comes from a longer one */
    x = PARAM(&s, KT_F32, 3, N, 13, 4);
    end(&s, slice_of(&s, x, 4, SIZES(0, 0, 12, 1), SIZES(3, N, 13, 2), SIZES(1, 1, 1, 1)));
    begin(&s, "slice_behind_ones");
    x = PARAM(&s, KT_F32, 7, 5, 9);
    end(&s, slice_of(&s, x, 3, SIZES(6, 2, 0), SIZES(7, 5, 9), SIZES(1, 1, 1)));
    begin(&s, "strided");
    end(&s, slice_of(&s, PARAM(&s, KT_F32, 7, N, 33), 3, SIZES(1, 0, 3), SIZES(7, N, 31), SIZES(2, 1, 3)));
    begin(&s, "halves");
    x = PARAM(&s, KT_F32, N, 34);
    kt_value y = slice_of(&s, x, 2, SIZES(0, 0), SIZES(N, 17), SIZES(1, 1));
    kt_value z = slice_of(&s, x, 2, SIZES(0, 17), SIZES(N, 34), SIZES(1, 1));
    end(&s, kt_build_mul(&s.b, y, kt_build_logistic(&s.b, z)));
    begin(&s, "reverse");
    end(&s, kt_build_reverse(&s.b, PARAM(&s, KT_F32, N, 5, 9), 2, SIZES(0, 2)));
    begin(&s, "reverse_outer");
    end(&s, kt_build_reverse(&s.b, PARAM(&s, KT_F32, 3, T, 9), 1, SIZES(1)));
    begin(&s, "embedding");
    x = PARAM(&s, KT_F32, 4, 33), y = PARAM(&s, KT_I32, N, T);
    end(&s, kt_build_gather(&s.b, x, y, 0, 0));
    begin(&s, "take");
    x = PARAM(&s, KT_F32, N, 9), y = PARAM(&s, KT_I64, 5);
    end(&s, kt_build_gather(&s.b, x, y, 1, 0));
    begin(&s, "take_batch");
    x = PARAM(&s, KT_F32, N, 3, 4, 5), y = PARAM(&s, KT_U8, N, 7);
    end(&s, kt_build_gather(&s.b, x, y, 2, 1));
    begin(&s, "take_one");
    x = PARAM(&s, KT_F32, N, 6, 9), y = param_of(&s, KT_U64, 0, NULL);
    end(&s, kt_build_gather(&s.b, x, y, 1, 0));
    begin(&s, "constant");
    kt_type type = type_of(&s, KT_F32, 2, SIZES(2, 3));
    x = kt_build_constant(&s.b, &type, (const float[]){1, 2, 3, 4, 5, 6});
    end(&s, kt_build_mul(&s.b, BROADCAST(&s, x, SIZES(1, 2), N, 2, 3), PARAM(&s, KT_F32, N, 2, 3)));
    begin(&s, "integers");
    type = type_of(&s, KT_U64, 1, SIZES(3));
    end(&s, kt_build_constant(&s.b, &type, (const uint64_t[]){UINT64_MAX, 1, UINT64_MAX / 2 + 9}));
    begin(&s, "constant_nan"); /* behind numbers, in the same vector */
    type = type_of(&s, KT_F32, 1, SIZES(6));
    x = kt_build_constant(&s.b, &type, (const float[]){1, -INFINITY, 0, NAN, 2, NAN});
    end(&s, kt_build_maximum(&s.b, PARAM(&s, KT_F32, 6), x));
    begin(&s, "size");
    end(&s, kt_build_size(&s.b, kt_dim_mul(s.graph->dims, s.n, s.t)));
    begin(&s, "copy");
    end(&s, PARAM(&s, KT_F64, N, T, 3));
    finish(&s);
}

/* ---- reductions ------------------------------------------------------------------------------ */

/* Sum or another reduction over the last axis, spread over it again. */
static kt_value over_row(suite *s, kt_value x, kt_reduction kind, bool reshapes) {
    kt_type type = *kt_build_type(&s->b, x);
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = i;
    kt_value y = kt_build_reduce(&s->b, x, kind, 1, SIZES(type.rank - 1));
    if (reshapes) {
        kt_type kept = type;
        kept.dims[type.rank - 1] = kt_dim_const(s->graph->dims, 1);
        y = kt_build_reshape(&s->b, y, kept.rank, kept.dims);
    }
    return kt_build_broadcast(&s->b, y, type.rank, type.dims, axes);
}

static kt_value softmax(suite *s, kt_value x, bool reshapes) {
    kt_value e = kt_build_exp(&s->b, kt_build_sub(&s->b, x, over_row(s, x, KT_REDUCE_MAXIMUM, reshapes)));
    return kt_build_div(&s->b, e, over_row(s, e, KT_REDUCE_SUM, reshapes));
}

/* What is kept of a row, by its first reduction. */
static kt_value share_of_exp(suite *s, kt_value x) {
    kt_value e = kt_build_exp(&s->b, x);
    return kt_build_div(&s->b, e, over_row(s, e, KT_REDUCE_SUM, true));
}

static kt_value layer_norm(suite *s, kt_value x, int64_t size) {
    kt_type type = *kt_build_type(&s->b, x);
    kt_value scale = kt_build_like(&s->b, x, 1.0 / (double)size);
    kt_value mean = kt_build_mul(&s->b, over_row(s, x, KT_REDUCE_SUM, true), scale);
    kt_value d = kt_build_sub(&s->b, x, mean);
    kt_value v = kt_build_mul(&s->b, over_row(s, kt_build_mul(&s->b, d, d), KT_REDUCE_SUM, true), scale);
    v = kt_build_rsqrt(&s->b, kt_build_add(&s->b, v, kt_build_like(&s->b, v, 1e-3)));
    kt_value gamma = PARAM(s, KT_F32, size);
    gamma = kt_build_broadcast(&s->b, gamma, type.rank, type.dims, SIZES(type.rank - 1));
    return kt_build_mul(&s->b, kt_build_mul(&s->b, d, v), gamma);
}

static void test_reduce(void **state) {
    (void)state;
    static const struct {
        uint32_t count;
        int64_t axes[3];
    } which[] = {{1, {0}},    {1, {1}},    {1, {2}},       {2, {0, 1}},
                 {2, {1, 2}}, {2, {0, 2}}, {3, {0, 1, 2}}, {0, {0}}};
    suite s = begin_suite();
    for (int i = 0; i < 8; i++) {
        begin(&s, "sum");
        end(&s,
            kt_build_reduce(&s.b, PARAM(&s, KT_F32, N, 5, 37), KT_REDUCE_SUM, which[i].count, which[i].axes));
        begin(&s, "largest");
        kt_value x = kt_build_neg(&s.b, PARAM(&s, KT_F32, 4, T, 7));
        end(&s, kt_build_reduce(&s.b, x, KT_REDUCE_MAXIMUM, which[i].count, which[i].axes));
        begin(&s, "mean");
        x = PARAM(&s, KT_F32, 3, 4, N);
        x = kt_build_reduce(&s.b, kt_build_mul(&s.b, x, x), KT_REDUCE_SUM, which[i].count, which[i].axes);
        end(&s, kt_build_sqrt(&s.b, kt_build_mul(&s.b, x, kt_build_like(&s.b, x, 0.25))));
    }
    for (int i = 0; i < 6; i++) {
        begin(&s, "product");
        end(&s, kt_build_reduce(&s.b, PARAM(&s, KT_F32, N, tails[i]), KT_REDUCE_PRODUCT, 1, SIZES(1)));
        begin(&s, "smallest");
        end(&s, kt_build_reduce(&s.b, PARAM(&s, KT_F32, T, tails[i]), KT_REDUCE_MINIMUM, 1, SIZES(0)));
    }
    begin(&s, "arg_last");
    end(&s, kt_build_arg_reduce(&s.b, PARAM(&s, KT_F32, N, 11), KT_REDUCE_MAXIMUM, 1, KT_I64));
    begin(&s, "arg_first");
    end(&s, kt_build_arg_reduce(&s.b, PARAM(&s, KT_I32, 5, 11), KT_REDUCE_MINIMUM, 0, KT_I32));
    begin(&s, "arg_nan");
    end(&s, kt_build_arg_reduce(&s.b, kt_build_log(&s.b, PARAM(&s, KT_F32, 4, N, 3)), KT_REDUCE_MINIMUM, 1,
                                KT_I32));
    /* So many rows that lanes go along them: of three, which are picked out of vectors, and of more. */
    begin(&s, "arg_of_few");
    end(&s, kt_build_arg_reduce(&s.b, PARAM(&s, KT_F32, N, 48, 3), KT_REDUCE_MAXIMUM, 2, KT_I32));
    begin(&s, "arg_nan_of_some");
    end(&s, kt_build_arg_reduce(&s.b, kt_build_log(&s.b, PARAM(&s, KT_F32, 67, 21)), KT_REDUCE_MINIMUM, 1,
                                KT_I64));
    begin(&s, "sum_of_few");
    end(&s, kt_build_reduce(&s.b, PARAM(&s, KT_F32, N, 48, 3), KT_REDUCE_SUM, 1, SIZES(2)));
    begin(&s, "of_broadcast");
    kt_value x = BROADCAST(&s, PARAM(&s, KT_F32, N), SIZES(0), N, 33);
    end(&s, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 1, SIZES(1)));
    finish(&s);
}

/* A row's largest and smallest numbers are NaN if one of it is, wherever it stands: in the first vector,
 * behind larger numbers, in either half of several vectors at a time, in the last, masked one. */
static void test_rows_with_nan(void **state) {
    (void)state;
    enum { COLUMNS = 210, PLACES = 8 };
    static const int places[PLACES] = {-1, 0, 1, 70, 100, 127, 130, COLUMNS - 1};
    suite s = begin_suite();
    float *numbers = KT_NEW_ARRAY(s.arena, float, PLACES *COLUMNS);
    for (int row = 0; row < PLACES; row++) {
        for (int i = 0; i < COLUMNS; i++) numbers[row * COLUMNS + i] = (float)((i * 37 + row) % 101 - 50);
        if (places[row] >= 0) numbers[row * COLUMNS + places[row]] = row % 2 ? NAN : -NAN;
    }
    for (int kind = KT_REDUCE_MAXIMUM; kind <= KT_REDUCE_MINIMUM; kind++)
        for (int wide = 0; wide < 2; wide++) {
            begin(&s, kt_arena_format(s.arena, "nan_%d_%d", kind, wide));
            kt_type type = type_of(&s, KT_F32, 2, SIZES(PLACES, COLUMNS));
            kt_value x = kt_build_constant(&s.b, &type, numbers);
            x = kt_build_cast(&s.b, x, wide ? KT_F64 : KT_F32);
            end(&s, kt_build_reduce(&s.b, x, (kt_reduction)kind, 1, SIZES(1)));
        }
    finish(&s);
}

/* Of equal numbers, all of which would be rounded alike by a sum that grows one by one. */
static void test_long_sums(void **state) {
    (void)state;
    suite s = begin_suite();
    begin(&s, "columns");
    kt_value x = BROADCAST(&s, PARAM(&s, KT_F32, N), SIZES(1), 40003, N);
    end(&s, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 1, SIZES(0)));
    begin(&s, "row");
    x = BROADCAST(&s, PARAM(&s, KT_F32, N), SIZES(0), N, 100003);
    end(&s, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 1, SIZES(1)));
    begin(&s, "two_axes");
    x = BROADCAST(&s, PARAM(&s, KT_F32, N), SIZES(1), 200, N, 150);
    end(&s, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 2, SIZES(0, 2)));
    begin(&s, "two_axes_columns");
    x = BROADCAST(&s, PARAM(&s, KT_F32, N, 3), SIZES(1, 3), 200, N, 150, 3);
    end(&s, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 2, SIZES(0, 2)));
    finish(&s);
}

static void test_rows(void **state) {
    (void)state;
    suite s = begin_suite();
    for (int i = 0; i < 6; i++) {
        begin(&s, "softmax");
        end(&s, softmax(&s, PARAM(&s, KT_F32, N, tails[i]), i % 2 == 0));
    }
    begin(&s, "softmax_time");
    end(&s, softmax(&s, PARAM(&s, KT_F32, N, 2, 3, T), true));
    begin(&s, "softmax_f64");
    end(&s, softmax(&s, PARAM(&s, KT_F64, 3, 17), true));
    begin(&s, "layer_norm");
    end(&s, layer_norm(&s, PARAM(&s, KT_F32, N, T, 37), 37));
    begin(&s, "layer_norm_exact");
    end(&s, layer_norm(&s, PARAM(&s, KT_F32, N, 64), 64));
    begin(&s, "softmax_f16");
    end(&s, softmax(&s, PARAM(&s, KT_F16, N, 40), true));
    begin(&s, "blocks"); /* of rows, some for a unit, and the last not full */
    end(&s, softmax(&s, PARAM(&s, KT_F32, 3, 57, 24), true));
    begin(&s, "kept_blocks"); /* and the last turn over a row goes far behind its end */
    end(&s, share_of_exp(&s, PARAM(&s, KT_F32, 37, 264)));
    begin(&s, "layer_norm_blocks");
    end(&s, layer_norm(&s, PARAM(&s, KT_F32, 137, 100), 100));
    begin(&s, "layer_norm_long");
    end(&s, layer_norm(&s, PARAM(&s, KT_F32, 3, 4096), 4096));
    begin(&s, "pairs");
    end(&s, softmax(&s, PARAM(&s, KT_F32, 5, 1000), true));
    begin(&s, "layer_norm_pairs");
    end(&s, layer_norm(&s, PARAM(&s, KT_F32, 3, 1024), 1024));
    begin(&s, "softmax_columns");
    kt_value x = PARAM(&s, KT_F32, 9, N);
    kt_value y = BROADCAST(&s, kt_build_reduce(&s.b, x, KT_REDUCE_MAXIMUM, 1, SIZES(0)), SIZES(1), 9, N);
    end(&s, kt_build_exp(&s.b, kt_build_sub(&s.b, x, y)));
    begin(&s, "not_below_largest"); /* which is a column's, and stands over a row */
    kt_type square = type_of(&s, KT_F32, 2, SIZES(2, 2));
    x = kt_build_constant(&s.b, &square, (const float[]){0, 200, -200, 0});
    y = BROADCAST(&s, kt_build_reduce(&s.b, x, KT_REDUCE_MAXIMUM, 1, SIZES(0)), SIZES(0), 2, 2);
    end(&s, kt_build_exp(&s.b, kt_build_sub(&s.b, x, y)));
    begin(&s, "reversed");
    x = PARAM(&s, KT_F32, 5, 9);
    y = kt_build_reverse(&s.b, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 1, SIZES(1)), 1, SIZES(0));
    end(&s, kt_build_mul(&s.b, x, BROADCAST(&s, y, SIZES(0), 5, 9)));
    begin(&s, "planes"); /* two inner axes that do not run together */
    x = PARAM(&s, KT_F32, N, 3, 5, 7);
    y = BROADCAST(&s, kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 2, SIZES(2, 3)), SIZES(0, 1), N, 3, 5, 7);
    kt_value gamma = BROADCAST(&s, PARAM(&s, KT_F32, 3, 7), SIZES(1, 3), N, 3, 5, 7);
    end(&s, kt_build_mul(&s.b, kt_build_sub(&s.b, x, y), gamma));
    begin(&s, "statistics");
    x = PARAM(&s, KT_F32, N, 3, 17);
    y = kt_build_reduce(&s.b, x, KT_REDUCE_SUM, 1, SIZES(2));
    kt_builder_result(&s.b, KT_ROLE_PLAIN, NULL, 0,
                      kt_build_sub(&s.b, x, over_row(&s, x, KT_REDUCE_SUM, false)));
    end(&s, y);
    finish(&s);
}

/* A row's whole vectors go to its result one register after the other. */
static void test_row_stores(void **state) {
    (void)state;
    static const char *const cpus[] = {"x86-64-v3", "x86-64-v4"};
    suite s = begin_suite();
    begin(&s, "softmax_stores");
    end(&s, softmax(&s, PARAM(&s, KT_F32, N, 1024), true));
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        kt_target target;
        kt_loops loops;
        int64_t stored = 0;
        assert_int_equal(
            kt_target_describe("x86_64-unknown-linux-gnu", cpus[i], NULL, s.arena, &target, &s.diag), KT_OK);
        assert_int_equal(kt_lower_kernel(s.graph, s.kernels.at[0], &target, s.arena, &loops, &s.diag), KT_OK);
        for (uint32_t j = 0; j < loops.code.count; j++) {
            const kt_code *code = &loops.code.at[j];
            if (code->code != KT_CODE_STORE || !loops.buffer_is_result[code->buffer]) continue;
            assert_int_equal(kt_loops_lanes(&loops, code->b), kt_target_lanes(&target, KT_F32));
            stored++;
        }
        assert_true(stored > 0);
    }
    finish(&s);
}

/* Does the kernel prefetch its operand, and where its result is stored? */
static void check_prefetches(suite *s, uint32_t kernel, bool operand, bool result) {
    kt_target target;
    kt_loops loops;
    bool found[2] = {false, false};
    assert_int_equal(
        kt_target_describe("x86_64-unknown-linux-gnu", "x86-64-v3", NULL, s->arena, &target, &s->diag),
        KT_OK);
    assert_int_equal(kt_lower_kernel(s->graph, s->kernels.at[kernel], &target, s->arena, &loops, &s->diag),
                     KT_OK);
    for (uint32_t i = 0; i < loops.code.count; i++)
        if (loops.code.at[i].code == KT_CODE_PREFETCH)
            found[loops.buffer_is_result[loops.code.at[i].buffer]] = true;
    assert_int_equal(found[0], operand);
    assert_int_equal(found[1], result);
}

static void test_row_prefetches(void **state) {
    (void)state;
    suite s = begin_suite();
    static const int64_t columns[] = {256, 4096, 16384};
    for (int i = 0; i < 3; i++) {
        begin(&s, "layer_norm");
        end(&s, layer_norm(&s, PARAM(&s, KT_F32, N, columns[i]), (int)columns[i]));
    }
    for (int i = 0; i < 2; i++) {
        begin(&s, "softmax"); /* keeps a row */
        end(&s, softmax(&s, PARAM(&s, KT_F32, N, columns[i]), true));
    }
    check_prefetches(&s, 0, true, false);
    check_prefetches(&s, 1, true, true);
    check_prefetches(&s, 2, false, false);
    check_prefetches(&s, 3, true, true);
    check_prefetches(&s, 4, true, true);
    end_suite(&s);
}

/* ---- windows --------------------------------------------------------------------------------- */

static void add_window(suite *s, kt_reduction kind, const int64_t *sizes,
                       const kt_attrs_reduce_window *attrs) {
    begin(s, "window");
    kt_attrs_reduce_window full = *attrs;
    full.kind = kind;
    for (int i = 0; i < 4; i++) {
        if (!full.low.at[i]) full.low.at[i] = dim_of(s, 0);
        if (!full.high.at[i]) full.high.at[i] = dim_of(s, 0);
    }
    full.window.count = full.strides.count = full.dilation.count = full.low.count = full.high.count = 4;
    end(s, kt_build_reduce_window(&s->b, param_of(s, KT_F32, 4, sizes), &full));
}

static void test_window(void **state) {
    (void)state;
    suite s = begin_suite();
    kt_dim one = dim_of(&s, 1), two = dim_of(&s, 2);
    kt_attrs_reduce_window plain = {
        .window.at = {1, 2, 2, 1}, .strides.at = {1, 2, 2, 1}, .dilation.at = {1, 1, 1, 1}};
    kt_attrs_reduce_window same = {.window.at = {1, 3, 3, 1},
                                   .strides.at = {1, 2, 2, 1},
                                   .dilation.at = {1, 1, 1, 1},
                                   .low.at = {0, one, one, 0},
                                   .high.at = {0, one, two, 0}};
    kt_attrs_reduce_window dilated = {.window.at = {1, 3, 2, 1},
                                      .strides.at = {1, 1, 3, 1},
                                      .dilation.at = {1, 2, 3, 1},
                                      .low.at = {0, two, 0, 0},
                                      .high.at = {0, 0, two, 0}};
    kt_attrs_reduce_window inner = {.window.at = {1, 1, 2, 3},
                                    .strides.at = {1, 1, 1, 2},
                                    .dilation.at = {1, 1, 1, 1},
                                    .low.at = {0, 0, one, one},
                                    .high.at = {0, 0, 0, one}};
    const int64_t *sizes[] = {SIZES(N, 8, 9, 3), SIZES(N, 7, 8, 33), SIZES(2, 9, T, 8)};
    for (int i = 0; i < 2; i++) {
        add_window(&s, KT_REDUCE_MAXIMUM, sizes[i], &plain);
        add_window(&s, KT_REDUCE_MAXIMUM, sizes[i], &same);
        add_window(&s, KT_REDUCE_SUM, sizes[i], &dilated);
        add_window(&s, KT_REDUCE_MINIMUM, sizes[i], &inner);
    }
    add_window(&s, KT_REDUCE_SUM, sizes[2], &same);
    finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise), cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_shapes),      cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_pad_concat),  cmocka_unit_test(test_made_of_parts),
        cmocka_unit_test(test_parts),       cmocka_unit_test(test_views),
        cmocka_unit_test(test_reduce),      cmocka_unit_test(test_rows_with_nan),
        cmocka_unit_test(test_long_sums),   cmocka_unit_test(test_rows),
        cmocka_unit_test(test_row_stores),  cmocka_unit_test(test_row_prefetches),
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
