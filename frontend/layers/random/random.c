/* Random numbers as Keras draws them on TensorFlow: by the stateless generators, bit for bit, from a seed
 * generator whose state, [seed, counter], is a variable that every draw counts on.
 *
 * TensorFlow mixes the pair of seeds once, by Philox under a fixed key, into the key and the upper half of
 * the counter of the generator proper, and makes of its words:
 *
 *   uniform  [0, 1) from as many low bits as the dtype's mantissa has, float64 from two words
 *   integers low + w mod (high - low): w is a word for int32, else two, the lower one first
 *   normal   pairs by Box and Muller's formula from two uniform numbers each, in float32 or float64
 *
 * and of these gamma and beta distributions (gamma.c). */
#include "frontend/layers/random/random_impl.h"

#include <string.h>

static const char generator_name[] = "seed_generator/seed_generator_state";

/* ---- seeds
 * --------------------------------------------------------------------------------------------------
 */

/* Of an unseeded layer. Keras takes any number; this one is the same each time. */
static int64_t default_seed(const kt_trace *trace) { return 1 + trace->builder->graph->variables.count; }

static uint32_t find_made(const kt_layer *layer) {
    uint32_t i = 0;
    while (i < layer->weights.count && strcmp(layer->weights.at[i].name, generator_name) != 0) i++;
    return i;
}

/* The number of the layer's seed generator among its weights. It is made when something is first drawn:
 * predictions know nothing of it. */
static uint32_t find_generator(kt_layer *layer, kt_trace *trace, int64_t seed) {
    uint32_t found = find_made(layer);
    if (found < layer->weights.count) return found;
    kt_dim_pool *dims = trace->builder->graph->dims;
    const kt_type type = {.dtype = KT_I64, .rank = 1, .dims = {kt_dim_const(dims, 2)}};
    const int64_t begin[2] = {seed == KT_NONE_INT ? default_seed(trace) : seed, 0};
    return kt_layer_add_state(layer, trace, generator_name, &type, begin);
}

static kt_value integers(kt_builder *builder, kt_dtype dtype, uint32_t count, const void *data) {
    const kt_type type = {.dtype = dtype, .rank = 1, .dims = {kt_dim_const(builder->graph->dims, count)}};
    return kt_build_constant(builder, &type, data);
}

/* The generator's state, which becomes what it is after so many draws. */
static kt_value count_on(kt_layer *layer, kt_trace *trace, uint32_t generator, int64_t draws) {
    kt_builder *b = trace->builder;
    kt_value state = kt_trace_stored_weight(trace, layer, generator);
    kt_trace_assign(trace, layer, generator,
                    kt_build_add(b, state, integers(b, KT_I64, 2, (int64_t[]){0, draws})));
    return state;
}

void kt_random_skip(kt_layer *layer, kt_trace *trace, int64_t draws) {
    uint32_t generator = find_made(layer);
    if (generator < layer->weights.count) (void)count_on(layer, trace, generator, draws);
}

int64_t kt_random_begin(const kt_layer *layer) {
    return *(const int64_t *)layer->weights.at[find_made(layer)].begin;
}

kt_value kt_random_state(kt_layer *layer, kt_trace *trace) {
    return kt_trace_stored_weight(trace, layer, find_made(layer));
}

void kt_random_return(kt_layer *layer, kt_trace *trace, kt_value state) {
    kt_trace_assign(trace, layer, find_made(layer), state);
}

kt_value kt_random_seed(kt_layer *layer, kt_trace *trace, int64_t seed) {
    kt_builder *b = trace->builder;
    kt_value state = count_on(layer, trace, find_generator(layer, trace, seed), 1);
    const int64_t most = INT32_MAX - 1;
    kt_value bound = integers(b, KT_I64, 2, (int64_t[]){most, most});
    kt_value folded = kt_build_rem(b, kt_build_add(b, kt_build_rem(b, state, bound), bound), bound);
    folded = kt_build_cast(b, folded, KT_U32);
    const kt_dim none = kt_dim_const(b->graph->dims, 0), one = kt_dim_const(b->graph->dims, 1);
    return kt_build_pad(b, folded, kt_build_scalar(b, KT_U32, 0), &none, &one, (int64_t[]){1});
}

static kt_value part(kt_builder *b, kt_value vector, int64_t from, int64_t to) {
    kt_dim begin = kt_dim_const(b->graph->dims, from), end = kt_dim_const(b->graph->dims, to);
    return kt_build_slice(b, vector, &begin, &end, (int64_t[]){1});
}

kt_value kt_random_words(kt_builder *b, kt_value seed, int rank, const kt_dim *shape) {
    static const uint32_t scramble[2] = {0x3EC8F720, 0x02461E29};
    kt_dim_pool *dims = b->graph->dims;
    const kt_dim four = kt_dim_const(dims, 4), none = kt_dim_const(dims, 0), two = kt_dim_const(dims, 2);
    kt_value mixed = kt_build_philox(b, integers(b, KT_U32, 2, scramble), seed, 1, &four);
    kt_value counter =
        kt_build_pad(b, part(b, mixed, 2, 4), kt_build_scalar(b, KT_U32, 0), &two, &none, (int64_t[]){0});
    return kt_build_philox(b, part(b, mixed, 0, 2), counter, rank, shape);
}

static kt_value draw_words(kt_layer *layer, kt_trace *trace, int64_t seed, int rank, const kt_dim *shape) {
    return kt_random_words(trace->builder, kt_random_seed(layer, trace, seed), rank, shape);
}

/* ---- distributions
 * ------------------------------------------------------------------------------------------
 */

/* [0, 1) from the low bits of words. */
static kt_value as_uniform(kt_builder *b, kt_value words, kt_dtype dtype) {
    int bits = dtype == KT_F16 ? 10 : dtype == KT_BF16 ? 7 : 23;
    kt_value low = kt_build_and(b, words, kt_build_like(b, words, (double)((1 << bits) - 1)));
    kt_value number = kt_build_cast(b, low, dtype);
    return kt_build_mul(b, number, kt_build_like(b, number, 1.0 / (1 << bits)));
}

/* Column 0 or 1 of [count, 2]. */
static kt_value column(kt_builder *b, kt_value pairs, int64_t at) {
    kt_dim_pool *dims = b->graph->dims;
    const kt_dim start[2] = {kt_dim_const(dims, 0), kt_dim_const(dims, at)};
    const kt_dim limit[2] = {kt_build_type(b, pairs)->dims[0], kt_dim_const(dims, at + 1)};
    return kt_build_slice(b, pairs, start, limit, (int64_t[]){1, 1});
}

kt_value kt_random_uniform_f64(kt_builder *b, kt_value pairs, const kt_type *type) {
    kt_value high = column(b, pairs, 0), low = kt_build_cast(b, column(b, pairs, 1), KT_F64);
    high = kt_build_and(b, high, kt_build_like(b, high, (1 << 20) - 1));
    high = kt_build_cast(b, high, KT_F64);
    high = kt_build_mul(b, high, kt_build_like(b, high, 0x1p-20));
    low = kt_build_mul(b, low, kt_build_like(b, low, 0x1p-52));
    return kt_build_reshape(b, kt_build_add(b, high, low), type->rank, type->dims);
}

static kt_value draw_uniform(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type) {
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    if (type->dtype != KT_F64)
        return as_uniform(b, draw_words(layer, trace, seed, type->rank, type->dims), type->dtype);
    const kt_dim pairs[2] = {kt_type_elements(dims, type), kt_dim_const(dims, 2)};
    return kt_random_uniform_f64(b, draw_words(layer, trace, seed, 2, pairs), type);
}

kt_value kt_random_uniform(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type) {
    kt_trace_at(trace, "uniform");
    return draw_uniform(layer, trace, seed, type);
}

kt_value kt_random_between(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type, double low,
                           double high) {
    kt_builder *b = trace->builder;
    kt_value drawn = kt_random_uniform(layer, trace, seed, type), least = kt_build_like(b, drawn, low);
    kt_value width = kt_build_sub(b, kt_build_like(b, drawn, high), least);
    return kt_build_add(b, kt_build_mul(b, drawn, width), least);
}

/* 64 bits of two words each, [count]. */
static kt_value draw_long_words(kt_layer *layer, kt_trace *trace, int64_t seed, kt_dim count) {
    kt_builder *b = trace->builder;
    const kt_dim shape[2] = {count, kt_dim_const(b->graph->dims, 2)};
    kt_value pairs = kt_build_cast(b, draw_words(layer, trace, seed, 2, shape), KT_U64);
    kt_value high = column(b, pairs, 1);
    high = kt_build_shift_left(b, high, kt_build_like(b, high, 32));
    return kt_build_or(b, high, column(b, pairs, 0));
}

kt_value kt_random_integers(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type, int64_t low,
                            int64_t high) {
    kt_builder *b = trace->builder;
    kt_trace_at(trace, "integers");
    kt_dim count = kt_type_elements(b->graph->dims, type);
    kt_value word = type->dtype == KT_I32 ? draw_words(layer, trace, seed, 1, &count)
                                          : draw_long_words(layer, trace, seed, count);
    word = kt_build_rem(b, word, kt_build_like(b, word, (double)(high - low)));
    word = kt_build_cast(b, word, KT_I64);
    word = kt_build_add(b, word, kt_build_like(b, word, (double)low));
    return kt_build_reshape(b, kt_build_cast(b, word, type->dtype), type->rank, type->dims);
}

/* x as [count / 2, 2], half a pair more where count is odd, to the shape of type. */
static kt_value unpaired(kt_builder *b, kt_value pairs, kt_dim count, const kt_type *type) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dim all = kt_dim_mul_const(dims, kt_build_type(b, pairs)->dims[0], 2), none = kt_dim_const(dims, 0);
    kt_value line = kt_build_reshape(b, pairs, 1, &all);
    if (all != count) line = kt_build_slice(b, line, &none, &count, (int64_t[]){1});
    return kt_build_reshape(b, line, type->rank, type->dims);
}

kt_value kt_random_gauss(kt_builder *b, kt_value uniform) {
    kt_value radius = column(b, uniform, 0), angle = column(b, uniform, 1);
    radius = kt_build_log(b, kt_build_maximum(b, radius, kt_build_like(b, radius, 1e-7)));
    radius = kt_build_sqrt(b, kt_build_mul(b, radius, kt_build_like(b, radius, -2)));
    angle = kt_build_mul(b, angle, kt_build_like(b, angle, 6.283185307179586));
    const kt_value pair[] = {kt_build_mul(b, kt_build_sin(b, angle), radius),
                             kt_build_mul(b, kt_build_cos(b, angle), radius)};
    return kt_build_concat(b, pair, 2, 1);
}

kt_value kt_random_normal(kt_layer *layer, kt_trace *trace, int64_t seed, const kt_type *type) {
    kt_trace_at(trace, "normal");
    kt_builder *b = trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_dim count = kt_type_elements(dims, type), two = kt_dim_const(dims, 2);
    const kt_type pairs = {.dtype = type->dtype == KT_F64 ? KT_F64 : KT_F32,
                           .rank = 2,
                           .dims = {kt_dim_ceildiv(dims, count, two), two}};
    kt_value normal = kt_random_gauss(b, draw_uniform(layer, trace, seed, &pairs));
    return kt_build_cast(b, unpaired(b, normal, count, type), type->dtype);
}

/* Numbers are drawn, and the smallest goes first; of equal ones that of the smaller place. */
kt_value kt_random_permutation(kt_layer *layer, kt_trace *trace, int64_t seed, kt_dim count) {
    kt_builder *b = trace->builder;
    const kt_type line = {.dtype = KT_F32, .rank = 1, .dims = {count}};
    const kt_type pairs = {.dtype = KT_I64, .rank = 2, .dims = {count, count}};
    kt_value drawn = kt_random_uniform(layer, trace, seed, &line);
    kt_trace_at(trace, "permutation");
    kt_value own = kt_build_broadcast(b, drawn, 2, pairs.dims, (int64_t[]){0});
    kt_value other = kt_build_broadcast(b, drawn, 2, pairs.dims, (int64_t[]){1});
    kt_value earlier = kt_build_lt(b, kt_build_iota(b, &pairs, 1), kt_build_iota(b, &pairs, 0));
    earlier = kt_build_and(b, kt_build_eq(b, other, own), earlier);
    earlier = kt_build_cast(b, kt_build_or(b, kt_build_lt(b, other, own), earlier), KT_I64);
    kt_value rank = kt_build_reduce(b, earlier, KT_REDUCE_SUM, 1, (int64_t[]){1});
    kt_value places = kt_positions(b, count);
    const kt_attrs_scatter sum = {.kind = KT_REDUCE_SUM};
    return kt_build_scatter(b, kt_build_like(b, places, 0), rank, places, &sum);
}

kt_value kt_random_dropout(kt_layer *layer, kt_trace *trace, int64_t seed, kt_value x, double rate,
                           const kt_ints *noise_shape) {
    kt_builder *b = trace->builder;
    const kt_type type = *kt_build_type(b, x);
    kt_type noise = type;
    int64_t axes[KT_MAX_RANK];
    for (uint32_t i = 0; i < noise_shape->count && i < type.rank; i++)
        if (noise_shape->at[i] != -1) noise.dims[i] = kt_dim_const(b->graph->dims, noise_shape->at[i]);
    for (int i = 0; i < type.rank; i++) axes[i] = i;
    kt_value drawn = kt_random_uniform(layer, trace, seed, &noise);
    kt_value kept = kt_build_ge(b, drawn, kt_build_like(b, drawn, rate));
    kept = kt_build_broadcast(b, kept, type.rank, type.dims, axes);
    kt_value scaled = kt_build_mul(b, x, kt_build_like(b, x, 1 / (1 - rate)));
    return kt_build_select(b, kept, scaled, kt_build_like(b, x, 0));
}
