/* Operation nodes that take images at other places: MapCoordinates, AffineTransform, PerspectiveTransform.
 *
 * A place between elements is a weighted sum of the two next to it along each axis, 2^k elements for k axes.
 * Each is one gather from x with these axes as one. What an element outside is, the fill mode says, element
 * by element: so it is on JAX, and so Keras draws it, where TensorFlow moves the place itself inside. */
#include "frontend/operations/image_impl.h"

#include <string.h>

/* ---- fill modes: which element stands for element `at` of `size` ----------------------------- */
typedef kt_value fill_fn(kt_builder *builder, kt_value at, kt_dim size);

/* x counted in a circle of `size`. */
static kt_value fill_wrap(kt_builder *b, kt_value at, kt_dim size) { return kt_mod_dim(b, at, size); }

static kt_value fill_nearest(kt_builder *b, kt_value at, kt_dim size) {
    kt_value last = kt_dim_like(b, at, kt_dim_add_const(b->graph->dims, size, -1));
    return kt_build_maximum(b, kt_build_minimum(b, at, last), kt_build_like(b, at, 0));
}

/* What is outside is left out afterwards. */
static kt_value fill_constant(kt_builder *b, kt_value at, kt_dim size) {
    (void)b, (void)size;
    return at;
}

/* There and back again; the ends stand once (c b | a b c | b a), or twice (b a | a b c | c b). */
static kt_value there_and_back(kt_builder *b, kt_value at, kt_dim size, int64_t end_twice) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dim period = kt_dim_add_const(dims, kt_dim_mul_const(dims, size, 2), 2 * end_twice - 2);
    period = kt_dim_max(dims, period, kt_dim_const(dims, 1)); /* of a single element */
    at = kt_mod_dim(b, at, period);
    kt_value back = kt_add_number(b, kt_add_dim(b, kt_build_neg(b, at), period), -(double)end_twice);
    return kt_build_minimum(b, at, back);
}
static kt_value fill_mirror(kt_builder *b, kt_value at, kt_dim size) {
    return there_and_back(b, at, size, 0);
}
static kt_value fill_reflect(kt_builder *b, kt_value at, kt_dim size) {
    return there_and_back(b, at, size, 1);
}
/* As Keras on TensorFlow has it for what it warps: the first element stands once, the last twice. */
static kt_value fill_warped(kt_builder *b, kt_value at, kt_dim size) {
    return fill_reflect(b, kt_build_abs(b, at), size);
}

/* Which place inside, between elements too, TensorFlow takes for a place outside: of reflected and of wrapped
 * images one between the end and what follows it is the end. */
static kt_value fold_reflect(kt_builder *b, kt_value at, kt_dim size) {
    kt_value length = kt_dim_like(b, at, size), period = kt_build_add(b, length, length);
    kt_value turns = kt_build_trunc(b, kt_build_div(b, at, period));
    kt_value rest = kt_build_sub(b, at, kt_build_mul(b, period, turns));
    kt_value back = kt_add_number(b, kt_build_neg(b, rest), -1);
    kt_value before = kt_build_lt(b, rest, kt_build_neg(b, length));
    before = kt_build_select(b, before, kt_build_add(b, rest, period), back);
    kt_value behind = kt_build_ge(b, rest, length);
    behind = kt_build_select(b, behind, kt_build_add(b, back, period), rest);
    kt_value below = kt_build_lt(b, at, kt_build_like(b, at, 0));
    return fill_nearest(b, kt_build_select(b, below, before, behind), size);
}
static kt_value fold_wrap(kt_builder *b, kt_value at, kt_dim size) {
    kt_dim_pool *dims = b->graph->dims;
    kt_value length = kt_dim_like(b, at, size), last = kt_add_number(b, length, -1);
    kt_value gap =
        kt_dim_like(b, at, kt_dim_max(dims, kt_dim_add_const(dims, size, -1), kt_dim_const(dims, 1)));
    kt_value back = kt_build_neg(b, kt_build_trunc(b, kt_build_div(b, at, gap))),
             none = kt_build_like(b, at, 0);
    kt_value turns = kt_build_select(b, kt_build_gt(b, at, last), back, none);
    turns = kt_build_select(b, kt_build_lt(b, at, none), kt_add_number(b, back, 1), turns);
    return fill_nearest(b, kt_build_add(b, at, kt_build_mul(b, length, turns)), size);
}

#define FILL_MODES "constant nearest wrap mirror reflect"
typedef struct fill_mode {
    const char *name;
    fill_fn *fill, *fold; /* fold NULL: TensorFlow has no such mode */
} fill_mode;
static const fill_mode fill_modes[] = {{"constant", fill_constant, fill_constant},
                                       {"nearest", fill_nearest, fill_nearest},
                                       {"wrap", fill_wrap, fold_wrap},
                                       {"mirror", fill_mirror, NULL},
                                       {"reflect", fill_reflect, fold_reflect},
                                       {"warped", fill_warped, NULL}};

static const fill_mode *find_fill(const char *name) {
    for (size_t i = 0; i < sizeof fill_modes / sizeof *fill_modes; i++)
        if (strcmp(fill_modes[i].name, name) == 0) return &fill_modes[i];
    KT_BUG("there is no fill mode %s", name);
}

/* ---- sampling -------------------------------------------------------------------------------- */
typedef struct sampling {
    bool linear;           /* else the nearest element */
    const char *fill_mode; /* one of FILL_MODES, or "warped" */
    double fill_value;     /* "constant": what is outside */
    int batch, axes;       /* x is [batch axes…, sampled axes…, rest…] */
} sampling;

/* One of the elements that a place along one axis is made of. */
typedef struct tap {
    kt_value at;     /* i64: which */
    kt_value inside; /* is it inside? */
    kt_value weight; /* 0: 1 */
} tap;

/* Halves are rounded away from 0. */
static kt_value round_half_away(kt_builder *b, kt_value x) {
    kt_value whole = kt_build_trunc(b, x), rest = kt_build_abs(b, kt_build_sub(b, x, whole));
    kt_value away = kt_build_ge(b, rest, kt_build_like(b, rest, 0.5));
    return kt_build_select(b, away, kt_build_add(b, whole, kt_build_sign(b, x)), whole);
}

static kt_value is_inside(kt_builder *b, kt_value at, kt_dim size) {
    kt_value below_end = kt_build_lt(b, at, kt_dim_like(b, at, size));
    return kt_build_and(b, kt_build_ge(b, at, kt_build_like(b, at, 0)), below_end);
}

static tap make_tap(kt_builder *b, kt_value at, kt_value weight, kt_dim size, fill_fn *fill) {
    at = kt_build_cast(b, at, KT_I64);
    return (tap){fill(b, at, size), is_inside(b, at, size), weight};
}

/* The taps of places along an axis; returns how many there are. */
static int find_taps(kt_builder *b, kt_value places, kt_dim size, const sampling *s, tap out[2]) {
    fill_fn *fill = find_fill(s->fill_mode)->fill;
    if (!s->linear) {
        out[0] = make_tap(b, round_half_away(b, places), 0, size, fill);
        return 1;
    }
    kt_value low = kt_build_floor(b, places), share = kt_build_sub(b, places, low);
    out[0] = make_tap(b, low, kt_build_sub(b, kt_build_like(b, share, 1), share), size, fill);
    out[1] = make_tap(b, kt_add_number(b, low, 1), share, size, fill);
    return 2;
}

/* x, whose sampled axes are one, at one tap of each axis, weighted. */
static kt_value take_corner(kt_builder *b, kt_value x, const tap *const *taps, const kt_dim *sizes,
                            const sampling *s) {
    kt_value at = 0, inside = 0, weight = 0;
    for (int i = 0; i < s->axes; i++) {
        const tap *t = taps[i];
        at = at ? kt_build_add(b, kt_build_mul(b, at, kt_dim_like(b, at, sizes[i])), t->at) : t->at;
        inside = inside ? kt_build_and(b, inside, t->inside) : t->inside;
        if (t->weight) weight = weight ? kt_build_mul(b, weight, t->weight) : t->weight;
    }
    kt_value picked = kt_build_gather(b, x, at, s->batch, s->batch);
    if (!picked) return 0;
    kt_type type = *kt_build_type(b, picked);
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < KT_MAX_RANK; i++) axes[i] = i;
    if (strcmp(s->fill_mode, "constant") == 0) {
        inside = kt_build_broadcast(b, inside, type.rank, type.dims, axes);
        picked = kt_build_select(b, inside, picked, kt_build_like(b, picked, s->fill_value));
    }
    if (!weight) return picked;
    return kt_build_mul(b, picked, kt_build_broadcast(b, weight, type.rank, type.dims, axes));
}

/* x [batch…, sizes…, rest…] at places, one tensor [batch…, places…] of floats for each size: gives [batch…,
 * places…, rest…] of x's dtype. */
static kt_value sample(kt_builder *b, kt_value x, const kt_value *places, const sampling *s) {
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x), line = type;
    if (!x) return 0;
    kt_dtype dtype = kt_dtype_promote(kt_dtype_to_float(type.dtype), kt_build_type(b, places[0])->dtype);
    kt_value sum = 0;
    tap taps[KT_MAX_RANK][2];
    const kt_dim *sizes = type.dims + s->batch;
    int corners = 1, counts[KT_MAX_RANK];
    line.dims[s->batch] = kt_dim_const(dims, 1);
    for (int i = 0; i < s->axes; i++) {
        line.dims[s->batch] = kt_dim_mul(dims, line.dims[s->batch], sizes[i]);
        counts[i] = find_taps(b, kt_build_cast(b, places[i], dtype), sizes[i], s, taps[i]);
        corners *= counts[i];
    }
    for (int i = s->batch + s->axes; i < type.rank; i++) line.dims[i - s->axes + 1] = type.dims[i];
    x = kt_build_reshape(b, kt_build_cast(b, x, dtype), type.rank - s->axes + 1, line.dims);
    for (int corner = 0; corner < corners; corner++) {
        const tap *chosen[KT_MAX_RANK];
        for (int i = 0, rest = corner; i < s->axes; rest /= counts[i++])
            chosen[i] = &taps[i][rest % counts[i]];
        kt_value part = take_corner(b, x, chosen, sizes, s);
        sum = sum ? kt_build_add(b, sum, part) : part;
    }
    if (!kt_dtype_is_float(type.dtype) && s->linear) sum = round_half_away(b, sum);
    return kt_build_cast(b, sum, type.dtype);
}

/* ---- MapCoordinates -------------------------------------------------------------------------- */
typedef struct mapping {
    kt_layer layer;
    int64_t order;
    const char *interpolation, *fill_mode, *data_format;
    double fill_value;
} mapping;
#define FILL_OPTIONS                                                                                         \
    KT_FIELD(mapping, fill_mode, CHOICE, "\"constant\"", .choices = FILL_MODES),                             \
        KT_FIELD(mapping, fill_value, FLOAT, "0")
static const kt_option mapping_options[] = {
    KT_FIELD(mapping, order, INT, NULL),
    FILL_OPTIONS,
    KT_OPTIONS_END,
};

static void call_map_coordinates(kt_layer *layer, kt_layer_call *call) {
    const mapping *m = (const mapping *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "inputs"),
             at = x ? kt_operation_tensor(call, 1, "coordinates") : 0;
    if (!x || !at) return;
    int rank = kt_build_type(b, x)->rank;
    at = kt_build_cast(b, at, kt_dtype_to_float(kt_build_type(b, at)->dtype));
    kt_type type = *kt_build_type(b, at);
    if (m->order != 0 && m->order != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'order' must be 0 or 1.");
        return;
    }
    if (!rank || type.rank < 2 || !kt_dim_equals(dims, type.dims[0], rank)) {
        kt_trace_fail(call->trace, KT_INVALID, "the first axis of its coordinates must have %d elements.",
                      rank);
        return;
    }
    kt_value places[KT_MAX_RANK];
    for (int i = 0; i < rank; i++)
        places[i] =
            kt_drop_axis(b, kt_slice_axis(b, at, 0, kt_dim_const(dims, i), kt_dim_const(dims, i + 1)), 0);
    sampling how = {m->order == 1, m->fill_mode, m->fill_value, 0, rank};
    call->outputs[0] = sample(b, x, places, &how);
}
KT_OPERATION_WITH(map_coordinates, "MapCoordinates", KT_OPERATION_IMAGE,
                  "a tensor at places between elements", mapping, mapping_options, call_map_coordinates)

/* ---- transforms of images -------------------------------------------------------------------- */
/* [batch] to [batch, height, width] of images; a single one for all. */
static kt_value over_images(kt_builder *b, kt_value x, const kt_images *images) {
    kt_type type = images->type;
    return kt_build_broadcast(b, x, 3, type.dims, (const int64_t[]){0});
}

static kt_value add(kt_builder *b, kt_value x, kt_value y) {
    return x && y ? kt_build_add(b, x, y) : x ? x : y;
}

/* c[0] x + c[1] y + c[2], or 0 where none of these is there. */
static kt_value linear(kt_builder *b, const kt_value *c, kt_value x, kt_value y) {
    kt_value columns = c[0] ? kt_build_mul(b, c[0], x) : 0, rows = c[1] ? kt_build_mul(b, c[1], y) : 0;
    return add(b, add(b, columns, rows), c[2]);
}

kt_value kt_images_project(kt_builder *b, const kt_images *images, const kt_projection *p,
                           const kt_image_reading *how) {
    kt_value c[KT_COEFFICIENTS + 1] = {0};
    for (int i = 0; i < KT_COEFFICIENTS; i++)
        if (p->at[i]) c[i] = over_images(b, p->at[i], images);
    kt_type grid = *kt_build_type(b, c[0]);
    if (c[6] || c[7]) c[KT_COEFFICIENTS] = kt_build_fill(b, &grid, 1);
    kt_value x = kt_build_iota(b, &grid, 2), y = kt_build_iota(b, &grid, 1), k = linear(b, c + 6, x, y);
    kt_value places[] = {linear(b, c + 3, x, y), linear(b, c, x, y)};
    for (int axis = 0; k && axis < 2; axis++) places[axis] = kt_build_div(b, places[axis], k);
    if (!places[0] || !places[1]) return 0;
    sampling s = {strcmp(how->interpolation, "bilinear") == 0, how->fill_mode, how->fill_value, 1, 2};
    if (how->folds) {
        for (int axis = 0; axis < 2; axis++)
            places[axis] = find_fill(s.fill_mode)->fold(b, places[axis], images->type.dims[axis + 1]);
        if (strcmp(s.fill_mode, "constant") != 0) s.fill_mode = "nearest";
    }
    return sample(b, images->value, places, &s);
}

kt_value kt_images_warp(kt_builder *b, const kt_images *images, const kt_value places[2],
                        const kt_image_reading *how) {
    const char *mode = strcmp(how->fill_mode, "reflect") == 0 ? "warped" : how->fill_mode;
    sampling s = {strcmp(how->interpolation, "bilinear") == 0, mode, how->fill_value, 1, 2};
    return sample(b, images->value, places, &s);
}

/* What the options of an operation say, which Keras describes without folds. */
static void project(kt_layer_call *call, const kt_images *images, const kt_projection *p, const mapping *m) {
    kt_image_reading how = {m->interpolation, m->fill_mode ? m->fill_mode : "constant", m->fill_value, false};
    kt_images_give(call, images, kt_images_project(call->trace->builder, images, p, &how));
}

/* Element `at` along the last axis of [batch, count]. */
static kt_value component(kt_builder *b, kt_value x, int64_t at) {
    kt_dim_pool *dims = b->graph->dims;
    return kt_drop_axis(b, kt_slice_axis(b, x, 1, kt_dim_const(dims, at), kt_dim_const(dims, at + 1)), 1);
}

#define INTERPOLATION KT_FIELD(mapping, interpolation, CHOICE, "\"bilinear\"", .choices = "nearest bilinear")
static const kt_option affine_options[] = {
    INTERPOLATION,
    FILL_OPTIONS,
    KT_DATA_FORMAT(mapping),
    KT_OPTIONS_END,
};

/* Keras documents all eight coefficients, and that the last two count on TensorFlow only: they count here. */
static void call_affine(kt_layer *layer, kt_layer_call *call) {
    const mapping *m = (const mapping *)layer;
    kt_builder *b = call->trace->builder;
    kt_images images;
    kt_projection p;
    kt_value given = kt_operation_tensor(call, 1, "transform");
    if (!given || !kt_images_take(call, 0, "images", m->data_format, &images)) return;
    if (kt_build_type(b, given)->rank == 1) given = kt_add_axis(b, given, 0);
    kt_type type = *kt_build_type(b, given);
    if (type.rank != 2 || !kt_dim_equals(b->graph->dims, type.dims[1], KT_COEFFICIENTS)) {
        kt_trace_fail(call->trace, KT_INVALID, "its transforms must have %d coefficients.", KT_COEFFICIENTS);
        return;
    }
    given = kt_build_cast(b, given, KT_F32);
    for (int i = 0; i < KT_COEFFICIENTS; i++) p.at[i] = component(b, given, i);
    project(call, &images, &p, m);
}
KT_OPERATION_WITH(affine_transform, "AffineTransform", KT_OPERATION_IMAGE,
                  "images turned, stretched and moved", mapping, affine_options, call_affine)

/* ---- from four points
 * --------------------------------------------------------------------------------------
 * Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989: the map from the unit square to four
 * points has a closed form. The map from end points to start points goes through the square. In f64, because
 * the entries of these matrices cancel out. */
typedef struct matrix {
    kt_value at[3][3]; /* each [batch] */
} matrix;

/* a b - c d */
static kt_value cross(kt_builder *b, kt_value x, kt_value y, kt_value z, kt_value w) {
    return kt_build_sub(b, kt_build_mul(b, x, y), kt_build_mul(b, z, w));
}

/* points [batch, 8]: x0, y0, …, y3. */
static matrix square_to(kt_builder *b, kt_value points) {
    kt_value p[4][2], d1[2], d2[2], sum[2];
    for (int i = 0; i < 4; i++)
        for (int axis = 0; axis < 2; axis++) p[i][axis] = component(b, points, 2 * (int64_t)i + axis);
    for (int axis = 0; axis < 2; axis++) {
        d1[axis] = kt_build_sub(b, p[1][axis], p[2][axis]);
        d2[axis] = kt_build_sub(b, p[3][axis], p[2][axis]);
        sum[axis] = kt_build_sub(b, kt_build_sub(b, p[0][axis], p[1][axis]), d2[axis]);
    }
    kt_value det = cross(b, d1[0], d2[1], d2[0], d1[1]);
    kt_value g = kt_build_div(b, cross(b, sum[0], d2[1], d2[0], sum[1]), det);
    kt_value h = kt_build_div(b, cross(b, d1[0], sum[1], sum[0], d1[1]), det);
    matrix m = {.at = {{0}, {0}, {g, h, kt_build_like(b, g, 1)}}};
    for (int axis = 0; axis < 2; axis++) {
        kt_value right = kt_build_sub(b, p[1][axis], p[0][axis]),
                 down = kt_build_sub(b, p[3][axis], p[0][axis]);
        m.at[axis][0] = kt_build_add(b, right, kt_build_mul(b, g, p[1][axis]));
        m.at[axis][1] = kt_build_add(b, down, kt_build_mul(b, h, p[3][axis]));
        m.at[axis][2] = p[0][axis];
    }
    return m;
}

/* The inverse but for a factor. */
static matrix adjugate(kt_builder *b, const matrix *m) {
    matrix inverse;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int r1 = (j + 1) % 3, r2 = (j + 2) % 3, c1 = (i + 1) % 3, c2 = (i + 2) % 3;
            inverse.at[i][j] = cross(b, m->at[r1][c1], m->at[r2][c2], m->at[r1][c2], m->at[r2][c1]);
        }
    return inverse;
}

static matrix multiply(kt_builder *b, const matrix *x, const matrix *y) {
    matrix product;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            kt_value sum = kt_build_mul(b, x->at[i][0], y->at[0][j]);
            for (int k = 1; k < 3; k++) sum = kt_build_add(b, sum, kt_build_mul(b, x->at[i][k], y->at[k][j]));
            product.at[i][j] = sum;
        }
    return product;
}

kt_projection kt_images_match(kt_builder *b, kt_value start, kt_value end) {
    kt_projection p;
    matrix to_start = square_to(b, start), to_end = square_to(b, end);
    matrix to_square = adjugate(b, &to_end), map = multiply(b, &to_start, &to_square);
    for (int i = 0; i < KT_COEFFICIENTS; i++)
        p.at[i] = kt_build_cast(b, kt_build_div(b, map.at[i / 3][i % 3], map.at[2][2]), KT_F32);
    return p;
}

/* Four points as [batch, 8] in f64; 0 and a problem if it is none. */
static kt_value take_points(kt_layer_call *call, uint32_t position, const char *name) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value points = kt_operation_tensor(call, position, name);
    if (!points) return 0;
    if (kt_build_type(b, points)->rank == 2) points = kt_add_axis(b, points, 0);
    kt_type type = *kt_build_type(b, points);
    if (type.rank != 3 || !kt_dim_equals(dims, type.dims[1], 4) || !kt_dim_equals(dims, type.dims[2], 2)) {
        kt_trace_fail(call->trace, KT_INVALID, "its “%s” must be four points of two coordinates.", name);
        return 0;
    }
    points = kt_build_reshape(b, points, 2, (kt_dim[]){type.dims[0], kt_dim_const(dims, 8)});
    return kt_build_cast(b, points, KT_F64);
}

static const kt_option perspective_options[] = {
    INTERPOLATION,
    KT_FIELD(mapping, fill_value, FLOAT, "0"),
    KT_DATA_FORMAT(mapping),
    KT_OPTIONS_END,
};

static void call_perspective(kt_layer *layer, kt_layer_call *call) {
    const mapping *m = (const mapping *)layer;
    kt_builder *b = call->trace->builder;
    kt_images images;
    kt_value start = take_points(call, 1, "start_points"),
             end = start ? take_points(call, 2, "end_points") : 0;
    if (!end || !kt_images_take(call, 0, "images", m->data_format, &images)) return;
    kt_projection p = kt_images_match(b, start, end);
    project(call, &images, &p, m);
}
KT_OPERATION_WITH(perspective_transform, "PerspectiveTransform", KT_OPERATION_IMAGE,
                  "images whose four points move to others", mapping, perspective_options, call_perspective)
