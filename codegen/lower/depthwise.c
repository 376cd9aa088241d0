/* conv_by_kernel of a depthwise convolution: each feature sees one channel, so for a channel and a place in
 * the window the derivative is a sum of products, x[places] * cotangent[places].
 *
 * A unit is some vectors of channels. In a row of places it holds a register of sums for each place of the
 * window: a vector of cotangents, loaded once, meets the input's pixels under the whole window. Where there
 * are fewer registers than places of the window, the row is gone through again for the next of them. A row's
 * sums are then added to the unit's, in scratch memory, so that no sum takes many terms one by one. */
#include "codegen/lower/lower_impl.h"

enum {
    MOST_PLACES = 64,   /* of a window: each costs instructions */
    CHUNK_BYTES = 128,  /* of channels, in a unit, at most */
    FREE_REGISTERS = 3, /* beside the sums */
};

typedef struct depthwise {
    kt_value heavy;
    const kt_attrs_conv_by_kernel *attrs;
    const kt_type *x, *g, *result;
    int spatial;
    uint32_t x_buffer, g_buffer, scratch;
    kt_dtype dtype; /* of sums */
    int lanes;
    int64_t vectors, places, together; /* of a unit; of the window; with sums in registers at once */
    kt_reg channel;                    /* the unit's first */
} depthwise;

static kt_reg plus(kt_lower *lower, kt_reg a, kt_reg b) {
    return kt_loops_index(lower->loops, KT_INDEX_ADD, a, b);
}

static kt_reg times(kt_lower *lower, kt_reg a, kt_dim by) {
    return kt_loops_index(lower->loops, KT_INDEX_MUL, a, kt_loops_dim(lower->loops, by));
}

/* Which of the vector's channels there are, or 0: all. */
static kt_reg mask_of(kt_lower *lower, const depthwise *d, kt_reg channel) {
    kt_dim channels = d->g->dims[d->spatial + 1];
    if (kt_dim_divisor(lower->dims, channels) % d->lanes == 0) return 0;
    kt_reg rest = kt_loops_index(lower->loops, KT_INDEX_SUB, kt_loops_dim(lower->loops, channels), channel);
    return kt_loops_mask(lower->loops, rest, d->lanes);
}

static kt_reg load(kt_lower *lower, const depthwise *d, uint32_t buffer, kt_reg index, kt_reg mask) {
    kt_reg value = kt_loops_load(lower->loops, buffer, index, d->lanes, mask);
    return kt_loops_apply(lower->loops, KT_OP_cast, d->dtype, value, 0, 0);
}

/* How far the pixel under a place of the window is from that under its first. */
static kt_reg place_offset(kt_lower *lower, const depthwise *d, int64_t place) {
    kt_dim offset = kt_dim_const(lower->dims, 0);
    for (int i = d->spatial - 1; i >= 0; i--) {
        int64_t extent = d->attrs->window.at[i];
        kt_dim pixel = kt_product(lower, d->x->dims, i + 2, d->x->rank);
        offset = kt_dim_add(lower->dims, offset,
                            kt_dim_mul_const(lower->dims, pixel, place % extent * d->attrs->dilation.at[i]));
        place /= extent;
    }
    return kt_loops_dim(lower->loops, offset);
}

static kt_reg sum_place(kt_lower *lower, const depthwise *d, int64_t vector, int64_t place) {
    return kt_loops_int(lower->loops, (vector * d->places + place) * d->lanes);
}

/* A row of places: adds its sums for the places of the window [first, last) to the unit's. x, g: where the
 * row begins. */
static void add_row(kt_lower *lower, const depthwise *d, int64_t vector, int64_t first, int64_t last,
                    kt_reg x, kt_reg g) {
    kt_loops *loops = lower->loops;
    int axis = d->spatial - 1;
    kt_reg skip = kt_loops_int(loops, vector * d->lanes),
           mask = mask_of(lower, d, plus(lower, d->channel, skip));
    kt_cell sums = kt_loops_cell(loops, "sums", d->dtype, d->lanes, (uint32_t)(last - first));
    for (int64_t place = first; place < last; place++)
        kt_loops_set(loops, sums, kt_loops_int(loops, place - first),
                     kt_loops_const(loops, d->dtype, d->lanes, 0));
    kt_reg end = kt_loops_dim(loops, d->g->dims[axis + 1]);
    kt_reg column = kt_lower_begin(lower, kt_loops_int(loops, 0), end, 1, "places");
    kt_dim pixel = kt_product(lower, d->x->dims, axis + 2, d->x->rank);
    kt_dim step = kt_dim_mul_const(lower->dims, pixel, d->attrs->strides.at[axis]);
    kt_reg from = plus(lower, plus(lower, x, skip), times(lower, column, step));
    kt_reg at = plus(lower, plus(lower, g, skip), times(lower, column, d->g->dims[axis + 2]));
    kt_reg cotangent = load(lower, d, d->g_buffer, at, mask);
    for (int64_t place = first; place < last; place++) {
        kt_reg index = kt_loops_int(loops, place - first), sum = kt_loops_get(loops, sums, index);
        kt_reg value = load(lower, d, d->x_buffer, plus(lower, from, place_offset(lower, d, place)), mask);
        kt_loops_set(loops, sums, index, kt_multiply_add(lower, value, cotangent, sum));
    }
    kt_lower_end(lower);
    for (int64_t place = first; place < last; place++) {
        kt_reg total = sum_place(lower, d, vector, place);
        kt_reg sum = kt_loops_get(loops, sums, kt_loops_int(loops, place - first));
        kt_reg before = kt_loops_load(loops, d->scratch, total, d->lanes, 0);
        kt_loops_store(loops, d->scratch, total, kt_loops_apply(loops, KT_OP_add, d->dtype, before, sum, 0),
                       0);
    }
}

static void add_rows(kt_lower *lower, const depthwise *d) {
    kt_loops *loops = lower->loops;
    kt_reg x = d->channel, g = d->channel;
    for (int axis = 0; axis < d->spatial; axis++) { /* images, and all axes of places but the last */
        kt_reg end = kt_loops_dim(loops, d->g->dims[axis]);
        kt_reg index = kt_lower_begin(lower, kt_loops_int(loops, 0), end, 1, "rows");
        kt_dim step = kt_product(lower, d->x->dims, axis + 1, d->x->rank);
        if (axis > 0) step = kt_dim_mul_const(lower->dims, step, d->attrs->strides.at[axis - 1]);
        x = plus(lower, x, times(lower, index, step));
        g = plus(lower, g, times(lower, index, kt_product(lower, d->g->dims, axis + 1, d->g->rank)));
    }
    for (int64_t vector = 0; vector < d->vectors; vector++)
        for (int64_t first = 0; first < d->places; first += d->together) {
            int64_t last = first + d->together < d->places ? first + d->together : d->places;
            add_row(lower, d, vector, first, last, x, g);
        }
    for (int axis = 0; axis < d->spatial; axis++) kt_lower_end(lower);
}

static void store_sums(kt_lower *lower, const depthwise *d) {
    kt_loops *loops = lower->loops;
    const kt_type *type = d->result;
    for (int64_t vector = 0; vector < d->vectors; vector++) {
        kt_reg channel = plus(lower, d->channel, kt_loops_int(loops, vector * d->lanes));
        kt_reg place =
            kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, d->places), 1, "epilogue");
        kt_position at = kt_position_origin(lower, type->rank, type->dims, d->lanes);
        at.mask = mask_of(lower, d, channel);
        for (int axis = 0; axis + 1 < d->spatial; axis++) at.merged |= 1U << axis;
        at.at[d->spatial - 1] = kt_axis_at(place, 0);
        at.at[d->spatial + 1] = kt_axis_at(channel, d->lanes > 1);
        kt_reg from = plus(lower, times(lower, place, kt_dim_const(lower->dims, d->lanes)),
                           sum_place(lower, d, vector, 0));
        kt_lower_epilogue(lower, d->heavy, &at, kt_loops_load(loops, d->scratch, from, d->lanes, 0));
        kt_lower_end(lower);
    }
}

static int64_t divide_up(int64_t x, int64_t by) { return (x + by - 1) / by; }

static void plan_unit(kt_lower *lower, depthwise *d) {
    int64_t bytes = (int64_t)kt_dtype_bytes(d->dtype);
    d->lanes = kt_lower_lanes(lower, 1, d->g->dims[d->spatial + 1]);
    int64_t registers = lower->target->vector_registers - FREE_REGISTERS;
    d->together = divide_up(d->places, divide_up(d->places, registers));
    /* As many vectors as fall evenly into the channels. */
    int64_t all = divide_up(d->attrs->groups, d->lanes), most = CHUNK_BYTES / (d->lanes * bytes);
    d->vectors = most > 1 ? most : 1;
    while (all % d->vectors != 0) d->vectors--;
}

bool kt_lower_depthwise_by_kernel(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t g) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    depthwise d = {.heavy = heavy->first_result,
                   .attrs = heavy->attrs,
                   .x = kt_graph_type(lower->graph, heavy->operands[0]),
                   .g = kt_graph_type(lower->graph, heavy->operands[1]),
                   .result = kt_graph_type(lower->graph, heavy->first_result),
                   .x_buffer = x,
                   .g_buffer = g,
                   .places = 1};
    d.spatial = d.x->rank - 2;
    d.dtype = kt_accumulator(d.x->dtype);
    for (int i = 0; i < d.spatial && d.places <= MOST_PLACES; i++) d.places *= d.attrs->window.at[i];
    if (d.places > MOST_PLACES) return false;
    plan_unit(lower, &d);
    kt_dim work = kt_dim_mul_const(dims, kt_product(lower, d.g->dims, 0, d.g->rank), d.places);
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, 3 * (int64_t)d.lanes));
    d.scratch = kt_loops_scratch(loops, d.dtype, d.vectors * d.places * d.lanes);

    int64_t units = divide_up(d.attrs->groups, d.vectors * d.lanes);
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0), kt_loops_int(loops, units),
                                 kt_loops_int(loops, 1), "units");
    d.channel = times(lower, unit, kt_dim_const(dims, d.vectors * d.lanes));
    kt_reg sum = kt_lower_begin(lower, kt_loops_int(loops, 0),
                                kt_loops_int(loops, d.vectors * d.places * d.lanes), d.lanes, "clear sums");
    kt_loops_store(loops, d.scratch, sum, kt_loops_const(loops, d.dtype, d.lanes, 0), 0);
    kt_lower_end(lower);
    add_rows(lower, &d);
    store_sums(lower, &d);
    kt_loops_end(loops);
    return true;
}
