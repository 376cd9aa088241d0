/* AutoContrast and ContrastLimitedAdaptiveHistogramEqualization: pixels are brought to other values, at
 * prediction as well as in training. */
#include "frontend/layers/images/images_impl.h"
#include "frontend/operations/operations_impl.h"

#include <string.h>

enum { LEVELS = 256 };
static const double levels[2] = {0, LEVELS - 1};

typedef struct contrast {
    kt_layer layer;
    const char *data_format, *bounding_box_format;
    const json_t *value_range;
    double range[2];
    double clip_limit; /* the rest: of the equalization only */
    kt_ints tile_grid_size;
} contrast;

// clang-format off
static const kt_option auto_options[] = {
    KT_IMAGE_OPTIONS(contrast),
    KT_FIELD(contrast, value_range, JSON, "[0, 255]"),
    KT_OPTIONS_END,
};
static const kt_option equalization_options[] = {
    KT_IMAGE_OPTIONS(contrast),
    KT_FIELD(contrast, value_range, JSON, "[0, 255]"),
    KT_FIELD(contrast, clip_limit, FLOAT, "4.0"),
    KT_FIELD(contrast, tile_grid_size, INTS, "[8, 8]", .count = 2),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_auto(kt_layer *layer, kt_layer_context *context) {
    contrast *self = (contrast *)layer;
    kt_read_value_range(self->value_range, self->range);
    return kt_check_factor(layer, context, "value_range", self->value_range, false, true);
}

static kt_status check_equalization(kt_layer *layer, kt_layer_context *context) {
    contrast *self = (contrast *)layer;
    kt_status status = check_auto(layer, context);
    KT_COLLECT(status, kt_check_ranges(layer, context, "tile_grid_size", &self->tile_grid_size, 1));
    return status;
}

/* ---- AutoContrast: the darkest and the lightest value of a channel become the ends of the range ---- */
kt_value kt_auto_contrast(kt_builder *b, kt_value original, const double range[2]) {
    const kt_type type = *kt_build_type(b, original);
    int batch = type.rank - 3;
    kt_ints axes = {2, {batch, batch + 1}}; /* also of channels_first: Keras does not look at it */
    kt_value x = kt_change_value_range(b, original, range, levels, type.dtype);
    kt_value low = kt_reduce_spread(b, x, KT_REDUCE_MINIMUM, &axes);
    kt_value high = kt_reduce_spread(b, x, KT_REDUCE_MAXIMUM, &axes);
    kt_value scale = kt_build_div(b, kt_build_like(b, x, levels[1]), kt_build_sub(b, high, low));
    kt_value offset = kt_build_mul(b, kt_build_neg(b, low), scale);
    x = kt_clip(b, kt_build_add(b, kt_build_mul(b, x, scale), offset), levels[0], levels[1]);
    x = kt_change_value_range(b, x, levels, range, type.dtype);
    /* A channel of one value only would be divided by 0. */
    return kt_build_select(b, kt_build_is_nan(b, x), original, x);
}

static void call_auto(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    if (!kt_call_has_images(call)) return;
    kt_value x = kt_build_cast(b, call->inputs[0], layer->compute_dtype);
    call->outputs[0] = kt_auto_contrast(b, x, ((const contrast *)layer)->range);
}

/* ---- equalization
 * ------------------------------------------------------------------------------------------------
 * The image falls into a grid of tiles. Each tile has a curve for each channel: the share of its pixels up to
 * each level, where counts beyond a limit are spread over all levels. A pixel takes its level through the
 * curves of the four tiles whose centres are around it, weighted by distance (Zuiderveld, Contrast Limited
 * Adaptive Histogram Equalization, 1994). */
typedef struct grid {
    kt_builder *b;
    kt_type image;     /* i32 [batch, height, width, channels] */
    int64_t across[2]; /* tiles along height and width */
    kt_dim tile[2];    /* the size of one */
} grid;

/* An axis mirrored behind its end, the last element twice, up to a size. */
static kt_value extend(kt_builder *b, kt_value x, int axis, kt_dim size) {
    kt_dim_pool *dims = b->graph->dims;
    if (!x) return 0;
    kt_dim period = kt_dim_mul_const(dims, kt_build_type(b, x)->dims[axis], 2);
    kt_value there = kt_mod_dim(b, kt_positions(b, size), period);
    kt_value back = kt_add_dim(b, kt_build_neg(b, there), kt_dim_add_const(dims, period, -1));
    return kt_build_gather(b, x, kt_build_minimum(b, there, back), axis, 0);
}

/* Levels as tiles: [batch * rows * columns * channels, pixels]. */
static kt_value cut_tiles(const grid *g, kt_value x) {
    static const int64_t axes[] = {0, 1, 3, 5, 2, 4};
    kt_builder *b = g->b;
    kt_dim_pool *dims = b->graph->dims;
    kt_dim rows = kt_dim_const(dims, g->across[0]), columns = kt_dim_const(dims, g->across[1]);
    x = extend(b, x, 1, kt_dim_mul(dims, g->tile[0], rows));
    x = extend(b, x, 2, kt_dim_mul(dims, g->tile[1], columns));
    kt_dim split[] = {g->image.dims[0], rows, g->tile[0], columns, g->tile[1], g->image.dims[3]};
    x = kt_build_transpose(b, kt_build_reshape(b, x, 6, split), axes);
    kt_dim tiles = kt_dim_mul(dims, kt_dim_mul(dims, split[0], rows), kt_dim_mul(dims, columns, split[5]));
    return kt_build_reshape(b, x, 2, (kt_dim[]){tiles, kt_dim_mul(dims, split[2], split[4])});
}

static kt_value spread_scalar(kt_builder *b, kt_value scalar, kt_value like) {
    kt_type type = *kt_build_type(b, like);
    return kt_build_broadcast_to(b, scalar, type.rank, type.dims);
}

/* f32 [tiles, levels]: what each level becomes. */
static kt_value make_curves(const grid *g, kt_value tiles, double clip_limit) {
    static const kt_ints last = {1, {1}};
    kt_builder *b = g->b;
    kt_type type = *kt_build_type(b, tiles);
    type.dtype = KT_F32;
    kt_value pixels = kt_dim_scalar(b, type.dims[1], KT_F64), ones = kt_build_fill(b, &type, 1);
    type.dims[1] = kt_dim_const(b->graph->dims, LEVELS);
    kt_attrs_scatter attrs = {.kind = KT_REDUCE_SUM, .axis = 1, .batch_dims = 1};
    kt_value counts = kt_build_scatter(b, kt_build_fill(b, &type, 0), tiles, ones, &attrs);
    if (clip_limit > 0) {
        kt_value limit = kt_build_mul(b, pixels, kt_build_scalar(b, KT_F64, clip_limit));
        limit = kt_build_div(b, limit, kt_build_scalar(b, KT_F64, LEVELS));
        limit = spread_scalar(b, kt_build_cast(b, limit, KT_F32), counts);
        kt_value kept = kt_build_minimum(b, counts, limit);
        kt_value excess = kt_reduce_spread(b, kt_build_sub(b, counts, kept), KT_REDUCE_SUM, &last);
        counts = kt_build_add(b, kept, kt_build_div(b, excess, kt_build_like(b, excess, LEVELS)));
    }
    kt_attrs_cumulative sum = {.kind = KT_REDUCE_SUM, .axis = 1};
    kt_value up_to = kt_build_cumulative(b, counts, &sum);
    kt_value least = kt_reduce_spread(b, up_to, KT_REDUCE_MINIMUM, &last);
    kt_value above = kt_build_mul(b, kt_build_sub(b, up_to, least), kt_build_like(b, up_to, levels[1]));
    kt_value all = spread_scalar(b, kt_build_cast(b, pixels, KT_F32), up_to);
    all = kt_build_sub(b, all, least);
    kt_value none = kt_build_eq(b, all, kt_build_like(b, all, 0));
    all = kt_build_select(b, none, kt_build_like(b, all, 1), all);
    return kt_clip(b, kt_build_div(b, above, all), levels[0], levels[1]);
}

/* Of each pixel along an axis: the tiles before and behind it, and how near the one behind is. */
typedef struct neighbours {
    kt_value tiles[2]; /* i64 */
    kt_value weight;   /* f32 */
} neighbours;

static neighbours find_neighbours(const grid *g, int axis) {
    kt_builder *b = g->b;
    kt_type type = g->image;
    type.dtype = KT_F32;
    kt_value at = kt_build_iota(b, &type, axis + 1);
    kt_value tile = spread_scalar(b, kt_dim_scalar(b, g->tile[axis], KT_F32), at);
    kt_value half = kt_build_mul(b, tile, kt_build_like(b, tile, 0.5));
    at = kt_build_div(b, kt_build_sub(b, at, half), tile);
    at = kt_build_add(b, at, kt_build_like(b, at, 1));
    kt_value floor = kt_build_floor(b, at);
    double last = (double)g->across[axis] - 1;
    neighbours n = {.weight = kt_build_sub(b, at, floor)};
    n.tiles[0] = kt_build_cast(b, kt_clip(b, kt_add_number(b, floor, -1), 0, last), KT_I64);
    n.tiles[1] = kt_build_cast(b, kt_clip(b, floor, 0, last), KT_I64);
    return n;
}

static kt_value scale_by_dim(kt_builder *b, kt_value x, kt_dim dim) {
    return kt_build_mul(b, x, spread_scalar(b, kt_build_size(b, dim), x));
}

static kt_value mix(kt_builder *b, kt_value first, kt_value second, kt_value weight) {
    kt_value rest = kt_build_sub(b, kt_build_like(b, weight, 1), weight);
    return kt_build_add(b, kt_build_mul(b, first, rest), kt_build_mul(b, second, weight));
}

/* Pixels through the curves around them. */
static kt_value bend(const grid *g, kt_value pixels, kt_value curves) {
    kt_builder *b = g->b;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = g->image;
    type.dtype = KT_I64;
    kt_dim column = kt_dim_mul_const(dims, type.dims[3], LEVELS),
           row = kt_dim_mul_const(dims, column, g->across[1]);
    kt_value base = kt_build_add(
        b, scale_by_dim(b, kt_build_iota(b, &type, 0), kt_dim_mul_const(dims, row, g->across[0])),
        scale_by_dim(b, kt_build_iota(b, &type, 3), kt_dim_const(dims, LEVELS)));
    base = kt_build_add(b, base, kt_build_cast(b, pixels, KT_I64));
    curves = kt_flatten(b, curves);
    neighbours y = find_neighbours(g, 0), x = find_neighbours(g, 1);
    kt_value rows[2];
    for (int i = 0; i < 2; i++) {
        kt_value at = kt_build_add(b, base, scale_by_dim(b, y.tiles[i], row)), values[2];
        for (int k = 0; k < 2; k++) {
            kt_value places = kt_build_add(b, at, scale_by_dim(b, x.tiles[k], column));
            values[k] = kt_build_gather(b, curves, places, 0, 0);
        }
        rows[i] = mix(b, values[0], values[1], x.weight);
    }
    return mix(b, rows[0], rows[1], y.weight);
}

static void call_equalization(kt_layer *layer, kt_layer_call *call) {
    const contrast *self = (const contrast *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    if (!kt_call_has_images(call)) return;
    bool first = strcmp(self->data_format, "channels_first") == 0, single = kt_call_type(call, 0)->rank == 3;
    kt_value x = single ? kt_add_axis(b, call->inputs[0], 0) : call->inputs[0];
    x = kt_change_value_range(b, kt_to_channels_last(b, x, first), self->range, levels, KT_F32);
    kt_value pixels = kt_clip(b, kt_build_cast(b, x, KT_I32), levels[0], levels[1]);
    if (!pixels) return;
    grid g = {.b = b, .image = *kt_build_type(b, pixels)};
    for (int i = 0; i < 2; i++) {
        if (kt_dim_equals(dims, g.image.dims[i + 1], 0)) {
            kt_trace_fail(call->trace, KT_INVALID, "an image without pixels cannot be equalized.");
            return;
        }
        g.across[i] = self->tile_grid_size.at[i];
        g.tile[i] = kt_dim_ceildiv(dims, g.image.dims[i + 1], kt_dim_const(dims, g.across[i]));
    }
    x = bend(&g, pixels, make_curves(&g, cut_tiles(&g, pixels), self->clip_limit));
    x = kt_change_value_range(b, x, levels, self->range, KT_F32);
    x = kt_from_channels_last(b, kt_build_cast(b, x, kt_call_type(call, 0)->dtype), first);
    call->outputs[0] = single ? kt_drop_axis(b, x, 0) : x;
}

const kt_layer_class kt_class_auto_contrast = {
    .name = "AutoContrast",
    .module = "keras.layers",
    .doc = "images whose channels use all of their range",
    .bytes = sizeof(contrast),
    .options = auto_options,
    .check = check_auto,
    .call = call_auto,
};

const kt_layer_class kt_class_contrast_limited_adaptive_histogram_equalization = {
    .name = "ContrastLimitedAdaptiveHistogramEqualization",
    .module = "keras.layers",
    .doc = "images whose brightnesses are used alike, around each pixel",
    .bytes = sizeof(contrast),
    .options = equalization_options,
    .check = check_equalization,
    .call = call_equalization,
};
