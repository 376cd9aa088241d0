#include "ir/gradient/resize.h"

kt_dim kt_gradient_stretched(kt_dim_pool *pool, kt_dim size, int64_t interior) {
    if (interior == 0) return size;
    kt_dim gaps = kt_dim_max(pool, kt_dim_add_const(pool, size, -1), kt_dim_const(pool, 0));
    return kt_dim_add(pool, size, kt_dim_mul_const(pool, gaps, interior));
}

/* How much an end grows, and how much it shrinks: one is 0. */
static void part(kt_dim_pool *pool, kt_dim change, kt_dim sign, kt_dim *out_more, kt_dim *out_less) {
    kt_dim zero = kt_dim_const(pool, 0), opposite = kt_dim_mul_const(pool, change, -1);
    bool grows = kt_dim_at_least(pool, sign, 0),
         shrinks = kt_dim_at_least(pool, kt_dim_mul_const(pool, sign, -1), 0);
    *out_more = grows ? change : shrinks ? zero : kt_dim_max(pool, change, zero);
    *out_less = grows ? zero : shrinks ? opposite : kt_dim_max(pool, opposite, zero);
}

kt_value kt_gradient_resize(kt_builder *builder, kt_value x, double number, const kt_resize *axes) {
    const kt_type type = *kt_build_type(builder, x);
    kt_dim_pool *pool = builder->graph->dims;
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK], start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t ones[KT_MAX_RANK], interior[KT_MAX_RANK];
    bool pads = false, crops = false;
    for (int i = 0; i < type.rank; i++) {
        const kt_resize *axis = &axes[i];
        kt_dim cut = 0;
        ones[i] = 1;
        interior[i] = axis->interior;
        part(pool, axis->low, axis->low, &low[i], &start[i]);
        part(pool, axis->high, axis->high_sign ? axis->high_sign : axis->high, &high[i], &cut);
        kt_dim whole = kt_dim_add(pool, low[i], kt_gradient_stretched(pool, type.dims[i], interior[i]));
        limit[i] = kt_dim_sub(pool, kt_dim_add(pool, whole, high[i]), cut);
        pads = pads || interior[i] > 0 || !kt_dim_equals(pool, low[i], 0) || !kt_dim_equals(pool, high[i], 0);
        crops = crops || !kt_dim_equals(pool, start[i], 0) || !kt_dim_equals(pool, cut, 0);
    }
    if (pads) x = kt_build_pad(builder, x, kt_build_scalar(builder, type.dtype, number), low, high, interior);
    return crops ? kt_build_slice(builder, x, start, limit, ones) : x;
}

/* ---- windows --------------------------------------------------------------------------------------------
 *
 * With reach = (window - 1) * dilation and length = (size - 1) * gap + 1, the window has room for
 * rest = length + low + high - reach - 1 more steps of 1, so floor(rest / stride) + 1 places. */

static kt_dim length_of(kt_dim_pool *pool, const kt_slid *slid) {
    return kt_dim_add_const(pool, kt_dim_mul_const(pool, kt_dim_add_const(pool, slid->size, -1), slid->gap),
                            1);
}

static kt_dim reach_of(kt_dim_pool *pool, const kt_slid *slid) {
    return kt_dim_mul_const(pool, kt_dim_add_const(pool, slid->window, -1), slid->dilation);
}

static kt_dim rest_of(kt_dim_pool *pool, const kt_slid *slid) {
    kt_dim padded = kt_dim_add(pool, length_of(pool, slid), kt_dim_add(pool, slid->low, slid->high));
    return kt_dim_add_const(pool, kt_dim_sub(pool, padded, reach_of(pool, slid)), -1);
}

/* rest - stride * floor(rest / stride): what the last place leaves behind it. In the form that shows its
 * sign, or in the one in which it cancels against sizes. */
static kt_dim left_over(kt_dim_pool *pool, const kt_slid *slid, bool shows_sign) {
    kt_dim rest = rest_of(pool, slid), stride = kt_dim_const(pool, slid->stride);
    if (shows_sign) return kt_dim_mod(pool, rest, stride);
    return kt_dim_sub(pool, rest, kt_dim_mul(pool, stride, kt_dim_floordiv(pool, rest, stride)));
}

kt_resize kt_gradient_slide_back(kt_dim_pool *pool, const kt_slid *slid) {
    kt_dim reach = reach_of(pool, slid), beyond = kt_dim_sub(pool, reach, slid->high);
    return (kt_resize){.low = kt_dim_sub(pool, reach, slid->low),
                       .high = kt_dim_add(pool, left_over(pool, slid, false), beyond),
                       .high_sign = kt_dim_add(pool, left_over(pool, slid, true), beyond),
                       .interior = slid->stride - 1};
}

kt_resize kt_gradient_touched(kt_dim_pool *pool, const kt_slid *slid) {
    return (kt_resize){.low = slid->low,
                       .high = kt_dim_sub(pool, slid->high, left_over(pool, slid, false)),
                       .high_sign = kt_dim_sub(pool, slid->high, left_over(pool, slid, true)),
                       .interior = slid->gap - 1};
}
