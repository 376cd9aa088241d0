/* Normalisation, as composites.
 *
 * That of batches and of layers ends in x * inverse + shift, where inverse = gamma / sqrt(variance + epsilon)
 * and shift = beta - mean * inverse: so TensorFlow computes them, and with constant statistics inverse and
 * shift fold into constants, and into the kernel of a convolution before. */
#include "frontend/layers/normalize_impl.h"

kt_status kt_check_epsilon(const kt_layer *layer, kt_layer_context *context, double epsilon) {
    if (epsilon >= 0) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "epsilon", "must be at least 0.");
}

/* A composite whose operands are those that there are. */
typedef struct composite {
    kt_builder body;
    kt_value given[5], params[5]; /* params: by the caller's places; 0 where there is none */
    uint32_t count;
} composite;

static void begin(composite *c, const kt_builder *builder, const char *name, const kt_value *operands,
                  uint32_t count) {
    kt_value packed[5];
    *c = (composite){0};
    for (uint32_t i = 0; i < count; i++)
        if (operands[i]) c->given[c->count++] = operands[i];
    kt_builder_begin_composite(&c->body, builder, name, c->given, c->count, packed);
    for (uint32_t i = 0, next = 0; i < count; i++) c->params[i] = operands[i] ? packed[next++] : 0;
}

static kt_value end(composite *c, kt_builder *builder, kt_value result) {
    kt_value y;
    kt_builder_result(&c->body, KT_ROLE_PLAIN, NULL, 0, result);
    kt_build_composite(builder, &c->body, c->given, c->count, &y);
    return y;
}

/* 1 / sqrt(variance + epsilon) */
static kt_value invert(kt_builder *b, kt_value variance, double epsilon) {
    return kt_build_rsqrt(b, kt_build_add(b, variance, kt_build_like(b, variance, epsilon)));
}

kt_value kt_normalize_batch(kt_builder *builder, const kt_value operands[5], int axis, double epsilon) {
    composite c;
    begin(&c, builder, "batch_normalization", operands, 5);
    kt_builder *b = &c.body;
    kt_value x = c.params[0], gamma = c.params[3], beta = c.params[4];
    kt_value inverse = invert(b, c.params[2], epsilon);
    if (gamma) inverse = kt_build_mul(b, inverse, gamma);
    kt_value shift = kt_build_mul(b, c.params[1], inverse);
    shift = beta ? kt_build_sub(b, beta, shift) : kt_build_neg(b, shift);
    kt_value scaled = kt_build_mul(b, x, kt_along_axis(b, inverse, x, axis));
    return end(&c, builder, kt_build_add(b, scaled, kt_along_axis(b, shift, x, axis)));
}

/* A weight over the normalised axes, spread over x's shape: reshaped as Keras does, not transposed. */
static kt_value spread_weight(kt_builder *b, kt_value weight, kt_value x, const kt_ints *axes) {
    kt_type type = *kt_build_type(b, x);
    kt_dim shape[KT_MAX_RANK];
    if (kt_build_type(b, weight)->rank == type.rank)
        return kt_build_broadcast_to(b, weight, type.rank, type.dims);
    for (uint32_t i = 0; i < axes->count; i++) shape[i] = type.dims[axes->at[i]];
    kt_value ordered = axes->count > 1 ? kt_build_reshape(b, weight, (int)axes->count, shape) : weight;
    return kt_build_broadcast(b, ordered, type.rank, type.dims, axes->at);
}

kt_value kt_normalize_layer(kt_builder *builder, const kt_value operands[3], const kt_ints *axes,
                            double epsilon, bool rms_scaling) {
    composite c;
    begin(&c, builder, "layer_normalization", operands, 3);
    kt_builder *b = &c.body;
    kt_value x = c.params[0], gamma = c.params[1], beta = c.params[2];
    kt_value mean, variance;
    kt_moments(b, x, axes, &mean, &variance);
    mean = kt_spread(b, mean, x, axes);
    kt_value inverse = kt_spread(b, invert(b, variance, epsilon), x, axes);
    if (gamma) gamma = spread_weight(b, gamma, x, axes);
    if (rms_scaling) {
        kt_value scaled = kt_build_mul(b, x, inverse);
        return end(&c, builder, gamma ? kt_build_mul(b, scaled, gamma) : scaled);
    }
    if (gamma) inverse = kt_build_mul(b, inverse, gamma);
    kt_value shift = kt_build_mul(b, kt_build_neg(b, mean), inverse);
    if (beta) shift = kt_build_add(b, shift, spread_weight(b, beta, x, axes));
    return end(&c, builder, kt_build_add(b, kt_build_mul(b, x, inverse), shift));
}

kt_value kt_normalize_rms(kt_builder *builder, kt_value x, kt_value scale, const kt_ints *axes,
                          double epsilon) {
    composite c;
    begin(&c, builder, "rms_normalization", (const kt_value[]){x, scale}, 2);
    kt_builder *b = &c.body;
    x = c.params[0];
    kt_type type = *kt_build_type(b, x);
    kt_value square = kt_mean(b, kt_build_mul(b, x, x), axes);
    kt_value scaled = kt_build_mul(b, x, kt_spread(b, invert(b, square, epsilon), x, axes));
    if (scale) scaled = kt_build_mul(b, scaled, kt_build_broadcast_to(b, c.params[1], type.rank, type.dims));
    return end(&c, builder, scaled);
}

void kt_moments(kt_builder *b, kt_value x, const kt_ints *axes, kt_value *out_mean, kt_value *out_variance) {
    *out_mean = kt_mean(b, x, axes);
    kt_value centered = kt_build_sub(b, x, kt_spread(b, *out_mean, x, axes));
    *out_variance = kt_mean(b, kt_build_mul(b, centered, centered), axes);
}
