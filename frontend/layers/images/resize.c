/* Resizing images, as keras.ops.image.resize does: axis by axis, each new place is a weighted sum of the old
 * places, its taps, around the one where it comes from.
 *
 * Place o of `out` comes from s = (o + 1/2) * in / out - 1/2 of `in`. A kernel of a radius gives the old
 * place t the weight kernel(|t - s| / width), where the width is 1, or with antialias in / out if that is
 * more; taps outside of the image have none, and the weights of a new place are divided by their sum. So a
 * new place has at most 2 * radius * width taps, which are next to each other: they are gathered, weighted
 * and summed up. Everything is said in the graph, so that sizes may be symbolic, and weights of sizes that
 * are known fold into constants. Weights are computed in f64, because s is the difference of numbers as large
 * as the image. */
#include "frontend/layers/images/resize_impl.h"

#include <math.h>
#include <string.h>

/* ---- kernels: the weight at a distance of at least 0 ----------------------------------------- */
typedef kt_value kernel_fn(kt_builder *builder, kt_value distance, double radius);

static kt_value number(kt_builder *b, kt_value like, double value) { return kt_build_like(b, like, value); }

/* ((a x + b) x + c) x + d */
static kt_value cubic(kt_builder *b, kt_value x, const double coefficients[4]) {
    kt_value y = number(b, x, coefficients[0]);
    for (int i = 1; i < 4; i++) y = kt_build_add(b, kt_build_mul(b, y, x), number(b, x, coefficients[i]));
    return y;
}

static kt_value linear_kernel(kt_builder *b, kt_value x, double radius) {
    (void)radius;
    return kt_build_maximum(b, number(b, x, 0), kt_build_sub(b, number(b, x, 1), x));
}

/* Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981, with a = -1/2. */
static kt_value cubic_kernel(kt_builder *b, kt_value x, double radius) {
    static const double inner[4] = {1.5, -2.5, 0, 1}, outer[4] = {-0.5, 2.5, -4, 2};
    kt_value near = kt_build_lt(b, x, number(b, x, 1)), far = kt_build_ge(b, x, number(b, x, radius));
    kt_value y = kt_build_select(b, near, cubic(b, x, inner), cubic(b, x, outer));
    return kt_build_select(b, far, number(b, x, 0), y);
}

/* Lanczos's window on sinc: sinc(x) sinc(x / radius). */
static kt_value lanczos_kernel(kt_builder *b, kt_value x, double radius) {
    kt_value angle = kt_build_mul(b, x, number(b, x, M_PI));
    kt_value waves = kt_build_mul(b, kt_build_sin(b, angle),
                                  kt_build_sin(b, kt_build_div(b, angle, number(b, x, radius))));
    kt_value square = kt_build_mul(b, angle, angle);
    kt_value centre = kt_build_le(b, x, number(b, x, 1e-3)), far = kt_build_gt(b, x, number(b, x, radius));
    square = kt_build_select(b, centre, number(b, x, 1), square);
    kt_value y = kt_build_div(b, kt_build_mul(b, waves, number(b, x, radius)), square);
    return kt_build_select(b, far, number(b, x, 0), kt_build_select(b, centre, number(b, x, 1), y));
}

typedef struct kernel {
    const char *name;
    int radius;
    kernel_fn *weight;
} kernel;
static const kernel kernels[] = {
    {"bilinear", 1, linear_kernel},
    {"bicubic", 2, cubic_kernel},
    {"lanczos3", 3, lanczos_kernel},
    {"lanczos5", 5, lanczos_kernel},
};

static const kernel *find_kernel(const char *name) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
    KT_BUG("there is no interpolation %s", name);
}

/* ---- one axis -------------------------------------------------------------------------------- */
static kt_value dim_as(kt_builder *b, kt_dim dim, kt_dtype dtype) {
    return kt_build_cast(b, kt_build_size(b, dim), dtype);
}

/* 0, 1, … along an axis of [rows, columns]. */
static kt_value counted(kt_builder *b, kt_dtype dtype, kt_dim rows, kt_dim columns, int axis) {
    kt_type type = {.dtype = dtype, .rank = 2, .dims = {rows, columns}};
    return kt_build_iota(b, &type, axis);
}

/* A scalar, or a value for each row, in all of [rows, columns]. */
static kt_value over(kt_builder *b, kt_value x, kt_dim rows, kt_dim columns) {
    static const int64_t first[] = {0};
    return kt_build_broadcast(b, x, 2, (kt_dim[]){rows, columns}, first);
}

/* Old places, for new places whose old places are sources: [out, taps]. */
typedef struct taps {
    kt_value places;  /* f64 */
    kt_value sources; /* f64: the exact place, the same in each row */
    kt_value width;   /* f64 scalar: what the kernel is stretched by */
    kt_dim in, out, count;
} taps;

/* The taps' weights: sums of rows are 1, or 0 where there is nothing to sum. */
static kt_value weigh(kt_builder *b, const taps *t, const kernel *k) {
    kt_value distance = kt_build_abs(b, kt_build_sub(b, t->places, t->sources));
    distance = kt_build_div(b, distance, over(b, t->width, t->out, t->count));
    kt_value zero = number(b, distance, 0), size = over(b, dim_as(b, t->in, KT_F64), t->out, t->count);
    kt_value inside = kt_build_and(b, kt_build_ge(b, t->places, zero), kt_build_lt(b, t->places, size));
    kt_value weights = kt_build_select(b, inside, k->weight(b, distance, k->radius), zero);
    static const kt_ints row = {1, {1}};
    kt_value sum = kt_reduce_spread(b, weights, KT_REDUCE_SUM, &row);
    /* Keras's bound of what counts as nothing: 1000 times the precision of float32. */
    kt_value some = kt_build_gt(b, kt_build_abs(b, sum), number(b, sum, 1000 * 0x1p-23));
    kt_value divided = kt_build_div(b, weights, kt_build_select(b, some, sum, number(b, sum, 1)));
    return kt_build_select(b, some, divided, zero);
}

/* The sum of the old places at the taps by their weights. */
static kt_value gather_weighted(kt_builder *b, kt_value x, int axis, const taps *t, kt_value weights) {
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    /* A tap outside has no weight, and picks what stands at the end. */
    kt_value picked = kt_build_gather(b, x, kt_build_cast(b, t->places, KT_I32), axis, 0);
    if (!picked) return 0;
    kt_type type = *kt_build_type(b, picked);
    int64_t axes[] = {axis, axis + 1}, reduced = axis + 1;
    weights = kt_build_broadcast(b, kt_build_cast(b, weights, dtype), type.rank, type.dims, axes);
    return kt_build_reduce(b, kt_build_mul(b, picked, weights), KT_REDUCE_SUM, 1, &reduced);
}

/* The place whose centre is nearest: floor((o + 1/2) * in / out), in whole numbers. */
static kt_value resize_nearest(kt_builder *b, kt_value x, int axis, kt_dim in, kt_dim out) {
    kt_type type = {.dtype = KT_I64, .rank = 1, .dims = {out}};
    kt_value place = kt_build_iota(b, &type, 0);
    kt_dim twice = kt_dim_mul_const(b->graph->dims, out, 2);
    place = kt_build_add(b, kt_build_add(b, place, place), number(b, place, 1));
    place = kt_build_mul(b, place, kt_build_broadcast_to(b, kt_build_size(b, in), 1, &out));
    place = kt_build_div(b, place, kt_build_broadcast_to(b, kt_build_size(b, twice), 1, &out));
    return kt_build_gather(b, x, place, axis, 0);
}

kt_value kt_resize_axis(kt_builder *b, kt_value x, int axis, kt_dim out, const char *interpolation,
                        bool antialias) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dim in = kt_build_type(b, x)->dims[axis];
    if (!x || in == out) return x;
    if (strcmp(interpolation, "nearest") == 0) return resize_nearest(b, x, axis, in, out);
    const kernel *k = find_kernel(interpolation);
    kt_dim wide = antialias ? kt_dim_max(dims, in, out) : out; /* width = wide / out */
    taps t = {.in = in, .out = out};
    t.count = kt_dim_ceildiv(dims, kt_dim_mul_const(dims, wide, 2 * (int64_t)k->radius), out);
    t.width = kt_build_div(b, dim_as(b, wide, KT_F64), dim_as(b, out, KT_F64));
    kt_value ratio = kt_build_div(b, dim_as(b, in, KT_F64), dim_as(b, out, KT_F64));
    kt_value source = counted(b, KT_F64, out, t.count, 0), half = number(b, source, 0.5);
    source = kt_build_mul(b, kt_build_add(b, source, half), over(b, ratio, out, t.count));
    t.sources = kt_build_sub(b, source, half);
    kt_value reach = kt_build_mul(b, t.width, kt_build_scalar(b, KT_F64, k->radius));
    kt_value first = kt_build_floor(b, kt_build_sub(b, t.sources, over(b, reach, out, t.count)));
    first = kt_build_add(b, first, number(b, first, 1));
    t.places = kt_build_add(b, first, counted(b, KT_F64, out, t.count, 1));
    return gather_weighted(b, x, axis, &t, weigh(b, &t, k));
}

kt_value kt_resample_axis(kt_builder *b, kt_value x, int axis, kt_dim out, kt_value scale,
                          kt_value translation, const char *interpolation, bool antialias) {
    const kernel *k = find_kernel(interpolation);
    kt_dim in = kt_build_type(b, x)->dims[axis];
    if (!x || !scale || !translation) return 0;
    kt_value one = kt_build_scalar(b, KT_F64, 1), inverse = kt_build_div(b, one, scale);
    /* How many taps a place has is known to nobody: all are. */
    taps t = {.in = in, .out = out, .count = in, .places = counted(b, KT_F64, out, in, 1)};
    t.width = antialias ? kt_build_maximum(b, inverse, one) : one;
    kt_value source = counted(b, KT_F64, out, in, 0), half = number(b, source, 0.5);
    source = kt_build_sub(b, kt_build_add(b, source, half), over(b, translation, out, in));
    t.sources = kt_build_sub(b, kt_build_mul(b, source, over(b, inverse, out, in)), half);
    kt_value weights = weigh(b, &t, k);
    kt_value last = kt_build_sub(b, over(b, dim_as(b, in, KT_F64), out, in), half);
    kt_value within =
        kt_build_and(b, kt_build_ge(b, t.sources, kt_build_neg(b, half)), kt_build_le(b, t.sources, last));
    weights = kt_build_select(b, within, weights, number(b, weights, 0));
    return gather_weighted(b, x, axis, &t, weights);
}

/* ---- images ---------------------------------------------------------------------------------- */
kt_value kt_crop_middle(kt_builder *b, kt_value x, int axis, kt_dim size) {
    if (!x) return 0;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_dim start[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        start[i] = kt_dim_const(dims, 0);
        strides[i] = 1;
    }
    start[axis] = kt_dim_floordiv(dims, kt_dim_sub(dims, type.dims[axis], size), kt_dim_const(dims, 2));
    type.dims[axis] = kt_dim_add(dims, start[axis], size);
    return kt_build_slice(b, x, start, type.dims, strides);
}

/* As many places more on both sides as make about `size` of them. */
static kt_value surround(kt_builder *b, kt_value x, int axis, kt_dim size, double fill) {
    if (!x) return 0;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_dim none[KT_MAX_RANK];
    static const int64_t interior[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) none[i] = kt_dim_const(dims, 0);
    none[axis] = kt_dim_floordiv(dims, kt_dim_sub(dims, size, type.dims[axis]), kt_dim_const(dims, 2));
    return kt_build_pad(b, x, kt_build_scalar(b, type.dtype, fill), none, none, interior);
}

kt_value kt_resize_images(kt_builder *b, kt_value images, const kt_resizing *r) {
    kt_dim_pool *dims = b->graph->dims;
    int row = kt_build_type(b, images)->rank - (r->channels_first ? 2 : 3), column = row + 1;
    if (!images) return 0;
    if (r->crop_to_aspect_ratio || r->pad_to_aspect_ratio) {
        /* The sizes at which the image would have the shape that is wanted. */
        kt_dim height = kt_build_type(b, images)->dims[row], width = kt_build_type(b, images)->dims[column];
        kt_dim fit_height = kt_dim_floordiv(dims, kt_dim_mul(dims, width, r->height), r->width);
        kt_dim fit_width = kt_dim_floordiv(dims, kt_dim_mul(dims, height, r->width), r->height);
        kt_dim one = kt_dim_const(dims, 1);
        if (r->crop_to_aspect_ratio) {
            images =
                kt_crop_middle(b, images, row, kt_dim_max(dims, kt_dim_min(dims, height, fit_height), one));
            images =
                kt_crop_middle(b, images, column, kt_dim_max(dims, kt_dim_min(dims, width, fit_width), one));
        } else {
            images = surround(b, images, row, kt_dim_max(dims, height, fit_height), r->fill_value);
            images = surround(b, images, column, kt_dim_max(dims, width, fit_width), r->fill_value);
        }
    }
    images = kt_resize_axis(b, images, row, r->height, r->interpolation, r->antialias);
    return kt_resize_axis(b, images, column, r->width, r->interpolation, r->antialias);
}
