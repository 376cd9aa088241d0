/* Pad: more elements at the ends of axes, in all of NumPy's modes but those that sort. */
#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct pad {
    kt_layer layer;
    const json_t *pad_width;
    const char *mode;
} pad;
static const kt_option pad_options[] = {
    KT_FIELD(pad, pad_width, JSON, NULL),
    KT_FIELD(pad, mode, STRING, "\"constant\""),
    KT_OPTIONS_END,
};

/* One axis: x with `low` elements before and `high` behind. */
typedef struct ends {
    kt_layer_call *call;
    int axis;
    int64_t low, high;
} ends;
typedef kt_value mode_fn(const ends *e, kt_value x);

/* ---- elements of x itself: which, by position ------------------------------------------------ */
static kt_value position(const ends *e, kt_builder *b, kt_value x) {
    kt_dim size = kt_build_type(b, x)->dims[e->axis];
    kt_value at = kt_positions(b, kt_dim_add_const(b->graph->dims, size, e->low + e->high));
    return kt_add_number(b, at, -(double)e->low);
}

static kt_value pad_edge(const ends *e, kt_value x) {
    kt_builder *b = e->call->trace->builder;
    return kt_build_gather(b, x, position(e, b, x), e->axis, 0); /* which holds it inside */
}

static kt_value pad_wrap(const ends *e, kt_value x) {
    kt_builder *b = e->call->trace->builder;
    kt_value at = kt_mod_dim(b, position(e, b, x), kt_build_type(b, x)->dims[e->axis]);
    return kt_build_gather(b, x, at, e->axis, 0);
}

/* There and back again: positions run modulo a period, and past the last they run down. */
static kt_value pad_mirrored(const ends *e, kt_value x, int64_t end_twice) {
    kt_builder *b = e->call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_dim size = kt_build_type(b, x)->dims[e->axis];
    kt_dim period = kt_dim_add_const(dims, kt_dim_mul_const(dims, size, 2), 2 * end_twice - 2);
    period = kt_dim_max(dims, period, kt_dim_const(dims, 1));
    kt_value at = kt_mod_dim(b, position(e, b, x), period);
    kt_value back = kt_add_number(b, kt_add_dim(b, kt_build_neg(b, at), period), -(double)end_twice);
    return kt_build_gather(b, x, kt_build_minimum(b, at, back), e->axis, 0);
}
static kt_value pad_reflect(const ends *e, kt_value x) { return pad_mirrored(e, x, 0); }
static kt_value pad_symmetric(const ends *e, kt_value x) { return pad_mirrored(e, x, 1); }

/* ---- something new --------------------------------------------------------------------------- */
static kt_value surround(const ends *e, kt_value x, kt_value fill) {
    kt_builder *b = e->call->trace->builder;
    kt_type type = *kt_build_type(b, x);
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK];
    static const int64_t interior[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) low[i] = high[i] = kt_dim_const(b->graph->dims, 0);
    low[e->axis] = kt_dim_const(b->graph->dims, e->low);
    high[e->axis] = kt_dim_const(b->graph->dims, e->high);
    return kt_build_pad(b, x, fill, low, high, interior);
}

static kt_value pad_constant(const ends *e, kt_value x) {
    kt_builder *b = e->call->trace->builder;
    const kt_argument *given = kt_operation_argument(e->call, 1, "constant_values");
    kt_dtype dtype = kt_build_type(b, x)->dtype;
    if (!given || given->kind == KT_ARGUMENT_NONE) return surround(e, x, kt_build_scalar(b, dtype, 0));
    kt_operand fill;
    if (!kt_operation_operand(e->call, 1, "constant_values", &fill)) return 0;
    kt_value value = kt_operand_cast(e->call, &fill, dtype);
    if (value && kt_build_type(b, value)->rank) {
        kt_trace_fail(e->call->trace, KT_UNSUPPORTED, "constant_values must be one number.");
        return 0;
    }
    return surround(e, x, value);
}
static kt_value pad_empty(const ends *e, kt_value x) {
    kt_builder *b = e->call->trace->builder;
    return surround(e, x, kt_build_scalar(b, kt_build_type(b, x)->dtype, 0));
}

/* What `size` elements at an end are: part, of size 1 there, as often. */
static kt_value spread(const ends *e, kt_value part, int64_t size) {
    kt_builder *b = e->call->trace->builder;
    kt_type type = *kt_build_type(b, part);
    type.dims[e->axis] = kt_dim_const(b->graph->dims, size);
    return kt_build_broadcast_to(b, part, type.rank, type.dims);
}

static kt_value join(const ends *e, kt_value low, kt_value x, kt_value high) {
    kt_value parts[] = {low, x, high};
    return kt_build_concat(e->call->trace->builder, parts, 3, e->axis);
}

static kt_value pad_statistic(const ends *e, kt_value x, kt_reduction kind) {
    kt_builder *b = e->call->trace->builder;
    kt_type type = *kt_build_type(b, x);
    kt_dtype dtype = kind == KT_REDUCE_SUM ? kt_dtype_to_float(type.dtype) : type.dtype;
    kt_value all = kt_reduce_axis(b, kt_build_cast(b, x, dtype), kind, e->axis);
    kt_ints axes = {1, {e->axis}};
    if (kind == KT_REDUCE_SUM) all = kt_divide_by_count(b, all, &type, &axes);
    if (dtype != type.dtype) all = kt_build_cast(b, kt_build_round(b, all), type.dtype);
    kt_value one = kt_add_axis(b, all, e->axis);
    return join(e, spread(e, one, e->low), x, spread(e, one, e->high));
}
static kt_value pad_mean(const ends *e, kt_value x) { return pad_statistic(e, x, KT_REDUCE_SUM); }
static kt_value pad_maximum(const ends *e, kt_value x) { return pad_statistic(e, x, KT_REDUCE_MAXIMUM); }
static kt_value pad_minimum(const ends *e, kt_value x) { return pad_statistic(e, x, KT_REDUCE_MINIMUM); }

/* From 0 at the far end to the edge element, in even steps. */
static kt_value ramp(const ends *e, kt_value edge, int64_t size, bool falls) {
    kt_builder *b = e->call->trace->builder;
    kt_value all = spread(e, edge, size);
    if (!size) return all;
    kt_type type = *kt_build_type(b, all);
    kt_value step = kt_build_iota(b, &type, e->axis);
    if (falls) step = kt_add_number(b, kt_build_neg(b, step), (double)size - 1);
    return kt_build_mul(b, all, kt_build_div(b, step, kt_build_like(b, step, (double)size)));
}

static kt_value pad_linear_ramp(const ends *e, kt_value x) {
    kt_builder *b = e->call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_type type = *kt_build_type(b, x);
    kt_dtype dtype = kt_dtype_to_float(type.dtype);
    kt_dim size = type.dims[e->axis], one = kt_dim_const(dims, 1), none = kt_dim_const(dims, 0);
    kt_value wide = kt_build_cast(b, x, dtype);
    kt_value first = kt_slice_axis(b, wide, e->axis, none, one);
    kt_value last = kt_slice_axis(b, wide, e->axis, kt_dim_sub(dims, size, one), size);
    kt_value low = ramp(e, first, e->low, false), high = ramp(e, last, e->high, true);
    if (dtype != type.dtype) low = kt_build_floor(b, low);
    if (dtype != type.dtype) high = kt_build_floor(b, high);
    return join(e, kt_build_cast(b, low, type.dtype), x, kt_build_cast(b, high, type.dtype));
}

static const struct mode {
    const char *name;
    mode_fn *apply;
} modes[] = {
    {"constant", pad_constant},
    {"edge", pad_edge},
    {"reflect", pad_reflect},
    {"symmetric", pad_symmetric},
    {"wrap", pad_wrap},
    {"circular", pad_wrap},
    {"mean", pad_mean},
    {"maximum", pad_maximum},
    {"minimum", pad_minimum},
    {"empty", pad_empty},
    {"linear_ramp", pad_linear_ramp},
};

/* pad_width: n, (low, high), ((low, high),), or a pair or ((n,),) for each axis. */
static bool read_width(const kt_layer_call *call, const json_t *widths, int axis, int rank, ends *out) {
    const json_t *width = widths;
    if (json_is_array(json_array_get(widths, 0))) {
        size_t count = json_array_size(widths);
        width = json_array_get(widths, count == 1 ? 0 : (size_t)axis);
        if (count != 1 && count != (size_t)rank) width = NULL;
    }
    const json_t *low = json_is_array(width) ? json_array_get(width, 0) : width, *high = low;
    if (json_array_size(width) == 2) high = json_array_get(width, 1);
    out->low = json_integer_value(low);
    out->high = json_integer_value(high);
    if (json_is_integer(low) && json_is_integer(high) && out->low >= 0 && out->high >= 0 &&
        out->low <= INT32_MAX && out->high <= INT32_MAX)
        return true;
    kt_trace_fail(call->trace, KT_INVALID,
                  "the option 'pad_width' must hold two numbers for each of %d axes.", rank);
    return false;
}

static void call_pad(kt_layer *layer, kt_layer_call *call) {
    const pad *p = (const pad *)layer;
    kt_value x = kt_operation_tensor(call, 0, "x");
    const struct mode *mode = NULL;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (p->mode && strcmp(modes[i].name, p->mode) == 0) mode = &modes[i];
    if (!mode) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "the mode '%s' of Pad is not supported yet.",
                      p->mode ? p->mode : "None");
        return;
    }
    int rank = x ? kt_build_type(call->trace->builder, x)->rank : 0;
    for (int axis = 0; axis < rank && x; axis++) {
        ends e = {.call = call, .axis = axis};
        if (!read_width(call, p->pad_width, axis, rank, &e)) return;
        if (e.low || e.high) x = mode->apply(&e, x);
    }
    call->outputs[0] = x;
}
KT_OPERATION_WITH(pad, "Pad", KT_OPERATION_NUMPY, "more elements at the ends of axes", pad, pad_options,
                  call_pad)
