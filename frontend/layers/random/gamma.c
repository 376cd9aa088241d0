/* Gamma and beta distributions as TensorFlow's stateless generator draws them: by Marsaglia and Tsang ("A
 * simple method for generating gamma variables", 2000), in float64.
 *
 * With d = alpha - 1/3, and one more for alpha below 1, attempts draw x, normal, and u, uniform, until
 * v = (1 + x / sqrt(9 d))^3 is positive and u is below what the density at d v allows; that is the number,
 * for alpha below 1 times b^(1 / alpha), where b is one more uniform number. Where v is not positive no u is
 * drawn.
 *
 * Each number has 256 blocks of Philox to itself. A block gives two normal or two uniform numbers, of which
 * the second is taken first; the next block is opened when none of the kind that is wanted is left. As an
 * attempt fails with a chance below 5 %, a scan makes all that are ever needed for all numbers at once. */
#include "frontend/layers/random/random_impl.h"

#include <math.h>

enum { ATTEMPTS = 10, BLOCKS = ATTEMPTS + 1, RESERVED = 256, WORDS = 4 };

/* What an attempt takes, each for all numbers: v, or -1 until one is accepted; the next block; the places of
 * the normal and the uniform number that are left, or -1. Those that stay: normal and uniform numbers,
 * [count, 2 BLOCKS], and alpha. */
enum { V, NEXT, NORMAL, UNIFORM, CARRIED, NORMALS = CARRIED, UNIFORMS, ALPHA, VALUES };

/* Takes one of numbers. */
static kt_value take(kt_builder *b, kt_value numbers, kt_value *next, kt_value *left) {
    kt_value none = kt_build_like(b, *left, -1), opens = kt_build_eq(b, *left, none);
    kt_value first = kt_build_mul(b, *next, kt_build_like(b, *next, 2));
    kt_value at = kt_build_select(b, opens, kt_add_number(b, first, 1), *left);
    *next = kt_build_add(b, *next, kt_build_cast(b, opens, KT_I64));
    *left = kt_build_select(b, opens, first, none);
    return kt_drop_axis(b, kt_build_gather(b, numbers, kt_add_axis(b, at, 1), 1, 1), 1);
}

static kt_value times(kt_builder *b, kt_value x, double number) {
    return kt_build_mul(b, x, kt_build_like(b, x, number));
}

static kt_value is_below_one(kt_builder *b, kt_value alpha) {
    return kt_build_lt(b, alpha, kt_build_like(b, alpha, 1));
}

static kt_value find_d(kt_builder *b, kt_value alpha) {
    kt_value more = kt_build_like(b, alpha, 2.0 / 3), less = kt_build_like(b, alpha, -1.0 / 3);
    return kt_build_add(b, alpha, kt_build_select(b, is_below_one(b, alpha), more, less));
}

/* Is u, uniform, below what x and v = (1 + c x)^3 allow? The first comparison settles most cases, and in
 * TensorFlow any that it holds for. */
static kt_value is_accepted(kt_builder *b, kt_value u, kt_value x, kt_value v, kt_value d) {
    kt_value square = kt_build_mul(b, x, x), one = kt_build_like(b, x, 1);
    kt_value surely = kt_build_sub(b, one, kt_build_mul(b, times(b, square, 0.0331), square));
    kt_value most = kt_build_add(b, kt_build_sub(b, one, v), kt_build_log(b, v));
    most = kt_build_add(b, times(b, square, 0.5), kt_build_mul(b, d, most));
    return kt_build_or(b, kt_build_lt(b, u, surely), kt_build_lt(b, kt_build_log(b, u), most));
}

static kt_status write_attempt(kt_trace *trace, const kt_value operands[VALUES], kt_func *out_step) {
    kt_builder step, *b = &step;
    kt_value old[VALUES], now[CARRIED];
    kt_builder_begin(b, trace->builder->graph, KT_FUNC_STEP, kt_trace_step_name(trace), trace->context->diag);
    b->loc = trace->builder->loc;
    for (uint32_t i = 0; i < VALUES; i++)
        old[i] = kt_builder_param(b, KT_ROLE_PLAIN, NULL, i, kt_build_type(trace->builder, operands[i]));
    for (int i = 0; i < CARRIED; i++) now[i] = old[i];
    kt_value d = find_d(b, old[ALPHA]), zero = kt_build_like(b, d, 0);
    kt_value x = take(b, old[NORMALS], &now[NEXT], &now[NORMAL]), next = now[NEXT];
    kt_value root = kt_build_mul(b, times(b, kt_build_rsqrt(b, d), 1.0 / 3), x);
    root = kt_add_number(b, root, 1);
    kt_value v = kt_build_mul(b, kt_build_mul(b, root, root), root);
    kt_value positive = kt_build_gt(b, root, zero);
    kt_value u = take(b, old[UNIFORMS], &now[NEXT], &now[UNIFORM]);
    now[NEXT] = kt_build_select(b, positive, now[NEXT], next);
    now[UNIFORM] = kt_build_select(b, positive, now[UNIFORM], old[UNIFORM]);
    now[V] = kt_build_select(b, kt_build_and(b, positive, is_accepted(b, u, x, v, d)), v, old[V]);
    kt_value done = kt_build_ge(b, old[V], zero);
    for (uint32_t i = 0; i < CARRIED; i++)
        kt_builder_result(b, KT_ROLE_PLAIN, NULL, i, kt_build_select(b, done, old[i], now[i]));
    return kt_builder_finish(b, out_step);
}

/* A number for each alpha, [count] of float64, from a seed. */
static kt_value draw(kt_trace *trace, kt_value seed, kt_value alpha) {
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    const kt_dim count = kt_build_type(b, alpha)->dims[0], two = kt_dim_const(dims, 2);
    const kt_dim reserved[] = {count, kt_dim_const(dims, RESERVED), kt_dim_const(dims, WORDS)};
    const kt_type type = {.dtype = KT_F64, .rank = 2, .dims = {count, kt_dim_const(dims, 2 * BLOCKS)}};
    const kt_dim pairs[] = {kt_type_elements(dims, &type), two};
    const kt_type pair_of_pairs = {
        .dtype = KT_F64, .rank = 2, .dims = {kt_dim_mul_const(dims, count, BLOCKS), two}};
    kt_value words = kt_random_words(b, seed, 3, reserved);
    words = kt_slice_axis(b, words, 1, kt_dim_const(dims, 0), kt_dim_const(dims, BLOCKS));
    kt_value uniform = kt_random_uniform_f64(b, kt_build_reshape(b, words, 2, pairs), &type);
    kt_value normal =
        kt_random_gauss(b, kt_build_reshape(b, uniform, pair_of_pairs.rank, pair_of_pairs.dims));

    kt_value zeros = kt_build_like(b, kt_positions(b, count), 0), none = kt_add_number(b, zeros, -1);
    const kt_value operands[VALUES] = {
        [V] = kt_build_like(b, alpha, -1),
        [NEXT] = zeros,
        [NORMAL] = none,
        [UNIFORM] = none,
        [NORMALS] = kt_build_reshape(b, normal, type.rank, type.dims),
        [UNIFORMS] = uniform,
        [ALPHA] = alpha,
    };
    kt_attrs_scan attrs = {.carried = CARRIED, .length = kt_dim_const(dims, ATTEMPTS)};
    if (b->status == KT_OK) b->status = write_attempt(trace, operands, &attrs.body);
    if (b->status != KT_OK) return 0;
    kt_value end[CARRIED];
    kt_build_scan(b, &attrs, operands, VALUES, end);

    kt_value drawn = kt_build_mul(b, find_d(b, alpha), end[V]);
    kt_value power = kt_build_div(b, kt_build_like(b, alpha, 1), alpha);
    power = kt_build_pow(b, take(b, uniform, &end[NEXT], &end[UNIFORM]), power);
    drawn = kt_build_select(b, is_below_one(b, alpha), kt_build_mul(b, drawn, power), drawn);
    /* Of alpha 1 is the exponential distribution, for which TensorFlow takes the first uniform number. */
    kt_value left = none, next = zeros, first = take(b, uniform, &next, &left);
    kt_value exponential = kt_build_neg(b, kt_build_log1p(b, kt_build_neg(b, first)));
    return kt_build_select(b, kt_build_eq(b, alpha, kt_build_like(b, alpha, 1)), exponential, drawn);
}

/* The same like alpha, and no less than the least normal number of its dtype. */
static kt_value draw_like(kt_trace *trace, kt_value seed, kt_value alpha) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, alpha);
    int digits, exponent;
    kt_float_form(type.dtype, &digits, &exponent);
    kt_value drawn = draw(trace, seed, kt_build_cast(b, kt_flatten(b, alpha), KT_F64));
    if (!drawn) return 0;
    drawn = kt_build_reshape(b, kt_build_cast(b, drawn, type.dtype), type.rank, type.dims);
    return kt_build_maximum(b, drawn, kt_build_like(b, drawn, ldexp(1, 2 - exponent)));
}

kt_value kt_random_gamma(kt_layer *layer, kt_trace *trace, int64_t seed, kt_value alpha) {
    kt_trace_at(trace, "gamma");
    return draw_like(trace, kt_random_seed(layer, trace, seed), alpha);
}

kt_value kt_random_beta(kt_layer *layer, kt_trace *trace, int64_t seed, kt_value alpha) {
    kt_builder *b = trace->builder;
    kt_trace_at(trace, "beta");
    static const uint32_t apart[WORDS] = {12, 0, 12, 0};
    kt_value drawn_seed = kt_random_seed(layer, trace, seed);
    const kt_type words = *kt_build_type(b, drawn_seed);
    kt_value first = draw_like(trace, drawn_seed, alpha);
    kt_value other_seed = kt_build_add(b, drawn_seed, kt_build_constant(b, &words, apart));
    kt_value second = draw_like(trace, other_seed, alpha);
    return first && second ? kt_build_div(b, first, kt_build_add(b, first, second)) : 0;
}
