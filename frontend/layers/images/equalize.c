/* Equalization in training: each channel's values become their ranks in the whole batch, so that all are
 * about as frequent.
 *
 * Values fall into bins, and a bin becomes the share of the pixels that are in it or below it, but for those
 * of the first bin that is not empty. A channel of one bin stays as it is. As Keras on TensorFlow does it,
 * bins become float64, and what pixels are counted in and looked up in are computed apart. */
#include "frontend/layers/images/augmentation_impl.h"

static const double levels[2] = {0, 255};

/* x from one range to another, also where they are the same. */
static kt_value rescale(kt_builder *b, kt_value x, const double from[2], const double to[2]) {
    double scale = (to[1] - to[0]) / (from[1] - from[0]);
    x = kt_build_mul(b, x, kt_build_like(b, x, scale));
    return kt_add_number(b, x, to[0] - from[0] * scale);
}

static kt_value as_bins(kt_builder *b, kt_value x, int64_t bins) {
    return kt_build_cast(b, kt_clip(b, x, 0, (double)(bins - 1)), KT_I32);
}

/* How many pixels each bin of each channel has, i32 [channels, bins]; places: their bins, all channels in one
 * line. */
static kt_value count(kt_builder *b, kt_value places, kt_dim channels, int64_t bins) {
    kt_dim_pool *dims = b->graph->dims;
    const kt_type line = {.dtype = KT_I32, .rank = 1, .dims = {kt_dim_mul_const(dims, channels, bins)}};
    const kt_attrs_scatter adding = {.kind = KT_REDUCE_SUM};
    places = kt_flatten(b, places);
    kt_value counts =
        kt_build_scatter(b, kt_build_fill(b, &line, 0), places, kt_build_like(b, places, 1), &adding);
    return kt_build_reshape(b, counts, 2, (kt_dim[]){channels, kt_dim_const(dims, bins)});
}

/* What bins become, f64 [channels, bins]. */
static kt_value make_table(kt_builder *b, kt_value counts) {
    static const kt_ints along = {1, {1}};
    const kt_attrs_cumulative sum = {.kind = KT_REDUCE_SUM, .axis = 1};
    kt_value up_to = kt_build_cumulative(b, counts, &sum);
    kt_value none = kt_build_eq(b, up_to, kt_build_like(b, up_to, 0));
    kt_value least = kt_build_select(b, none, kt_build_like(b, up_to, INT32_MAX), up_to);
    least = kt_reduce_spread(b, least, KT_REDUCE_MINIMUM, &along);
    kt_value others = kt_build_sub(b, kt_reduce_spread(b, up_to, KT_REDUCE_MAXIMUM, &along), least);
    others = kt_build_cast(b, kt_build_maximum(b, others, kt_build_like(b, others, 1)), KT_F64);
    kt_value above = kt_build_cast(b, kt_build_sub(b, up_to, least), KT_F64);
    above = kt_build_mul(b, above, kt_build_like(b, above, levels[1]));
    return kt_clip(b, kt_build_round(b, kt_build_div(b, above, others)), levels[0], levels[1]);
}

kt_value kt_augment_equalization(kt_layer *layer, kt_trace *trace, const kt_images *images) {
    static const int64_t last[] = {3};
    enum { MOST_BINS = 1 << 16, MOST_COUNTS = 1 << 24 };
    kt_builder *b = trace->builder;
    const int64_t bins = ((const kt_augmentation *)layer)->bins;
    kt_type places = images->type;
    double range[2];
    int64_t channels;
    if (bins < 1 || bins > MOST_BINS) {
        kt_trace_fail(trace, KT_INVALID, "the option 'bins' must be from 1 to %d.", MOST_BINS);
        return 0;
    }
    if (!kt_dim_is_const(b->graph->dims, places.dims[3], &channels) || channels > MOST_COUNTS / bins) {
        kt_trace_fail(trace, KT_UNSUPPORTED,
                      "its images need a known number of channels, at most %d with %lld bins.",
                      (int)(MOST_COUNTS / bins), (long long)bins);
        return 0;
    }
    kt_augment_range(((const kt_augmentation *)layer)->value_range, 0, range);
    if (range[0] == range[1]) {
        kt_trace_fail(trace, KT_INVALID, "the ends of the option 'value_range' must differ.");
        return 0;
    }
    places.dtype = KT_I32;
    kt_value channel = kt_build_iota(b, &places, 3);
    channel = kt_build_mul(b, channel, kt_build_like(b, channel, (double)bins));
    kt_value x = rescale(b, images->value, range, levels), counted = kt_build_cast(b, x, KT_F32);
    counted = kt_build_mul(b, counted, kt_build_like(b, counted, (double)(bins - 1)));
    counted = as_bins(b, kt_build_div(b, counted, kt_build_like(b, counted, levels[1])), bins);
    kt_value counts = count(b, kt_build_add(b, counted, channel), images->type.dims[3], bins);
    kt_value found = kt_build_div(b, x, kt_build_like(b, x, levels[1]));
    found = as_bins(b, kt_build_mul(b, found, kt_build_like(b, found, (double)(bins - 1))), bins);
    kt_value table = kt_flatten(b, make_table(b, counts));
    kt_value equal = kt_build_gather(b, table, kt_build_add(b, found, channel), 0, 0);
    kt_value used = kt_build_cast(b, kt_build_ne(b, counts, kt_build_like(b, counts, 0)), KT_I32);
    used = kt_reduce_axis(b, used, KT_REDUCE_SUM, 1);
    kt_value alone = kt_build_le(b, used, kt_build_like(b, used, 1));
    alone = kt_build_broadcast(b, alone, 4, images->type.dims, last);
    x = kt_build_select(b, alone, kt_build_cast(b, x, KT_F64), equal);
    return kt_build_cast(b, rescale(b, x, levels, range), images->type.dtype);
}
