/* conv_by_kernel where a group has no more features than a vector has lanes, depthwise ones included, or
 * whole vectors of them, by operands that are buffers and unpadded. For a channel of the groups and a place
 * in the window, the derivative is a sum of products, x[places] * cotangent[places], with lanes over features
 * as in grouped.c.
 *
 * A unit is some vectors of features. Over some places it holds a register of sums for each place of the
 * window and channel of a group: a vector of cotangents, loaded once, meets the input's pixels under the
 * whole window. Where there are fewer registers than sums, the places are gone through again for the next of
 * them. Places are a row, or an image of few; what they sum to is then added to the unit's sums, in scratch
 * memory, so that no sum takes many terms one by one. */
#include "codegen/lower/lower_impl.h"

enum {
    MOST_PLACES = 64,    /* of a window: each costs instructions, and so does each sum */
    MOST_SUMS = 512,     /* of a vector */
    CHUNK_BYTES = 128,   /* of features, in a unit, at most */
    MOST_PARTS = 2,      /* vectors of a group's features */
    FREE_REGISTERS = 3,  /* beside the sums */
    WALKED_PLACES = 256, /* that are summed one by one, at most, if they are more than a row */
};

typedef struct by_kernel {
    kt_value heavy;
    const kt_attrs_conv_by_kernel *attrs;
    const kt_type *x, *g, *result;
    int spatial;
    uint32_t x_buffer, g_buffer, scratch;
    kt_group_lanes lanes;
    int64_t vectors, sums, together; /* of a unit, at most; of a vector; of these, in registers at once */
    int walked;                      /* spatial axes that are summed one by one */
    kt_reg first, last;              /* vectors of the unit */
} by_kernel;

/* How far the pixel under a place of the window is from that under its first. */
static kt_reg place_offset(kt_lower *lower, const by_kernel *d, int64_t place) {
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

/* Where the vector's sum number `sum` is in scratch memory. */
static kt_reg sum_place(kt_lower *lower, const by_kernel *d, kt_reg vector, int64_t sum) {
    kt_reg number = kt_loops_index(lower->loops, KT_INDEX_SUB, vector, d->first);
    return kt_times_int(lower,
                        kt_plus(lower, kt_times_int(lower, number, d->sums), kt_loops_int(lower->loops, sum)),
                        d->lanes.lanes);
}

/* Opens loops over the axes [begin, end) of places, images being the first; moves *x and *g to their place.
 */
static void begin_places(kt_lower *lower, const by_kernel *d, int begin, int end, kt_reg *x, kt_reg *g) {
    for (int axis = begin; axis < end; axis++) {
        kt_reg extent = kt_loops_dim(lower->loops, d->g->dims[axis]);
        kt_reg index = kt_lower_begin(lower, kt_loops_int(lower->loops, 0), extent, 1, "places");
        kt_dim step = kt_product(lower, d->x->dims, axis + 1, d->x->rank);
        if (axis > 0) step = kt_dim_mul_const(lower->dims, step, d->attrs->strides.at[axis - 1]);
        *x = kt_plus(lower, *x, kt_times_dim(lower, index, step));
        *g = kt_plus(lower, *g,
                     kt_times_dim(lower, index, kt_product(lower, d->g->dims, axis + 1, d->g->rank)));
    }
}

/* Adds to the vector's sums [first, last) what the walked axes give. x, g: where these begin. */
static void add_places(kt_lower *lower, const by_kernel *d, kt_reg vector, const kt_group_masks *masks,
                       int64_t first, int64_t last, kt_reg x, kt_reg g) {
    kt_loops *loops = lower->loops;
    const kt_group_lanes *l = &d->lanes;
    kt_reg group = kt_loops_index(loops, KT_INDEX_DIV, vector, kt_loops_int(loops, l->parts));
    x = kt_plus(lower, x, kt_times_int(lower, group, l->side_by_side * l->channels));
    g = kt_plus(lower, g, kt_times_int(lower, vector, l->used));
    kt_cell sums = kt_zero_sums(lower, l->dtype, l->lanes, last - first);
    begin_places(lower, d, d->spatial + 1 - d->walked, d->spatial + 1, &x, &g);
    kt_reg cotangent = kt_group_lanes_load(lower, l, d->g_buffer, g, masks->features);
    for (int64_t sum = first; sum < last; sum++) {
        kt_reg at = kt_plus(lower, x, place_offset(lower, d, sum / l->channels));
        kt_reg value = kt_group_lanes_spread(lower, l, d->x_buffer, at, sum % l->channels, masks->channels);
        kt_add_product(lower, sums, kt_loops_int(loops, sum - first), value, cotangent);
    }
    for (int axis = 0; axis < d->walked; axis++) kt_lower_end(lower);
    for (int64_t sum = first; sum < last; sum++) {
        kt_reg total = sum_place(lower, d, vector, sum);
        kt_reg more = kt_loops_get(loops, sums, kt_loops_int(loops, sum - first));
        kt_reg before = kt_loops_load(loops, d->scratch, total, l->lanes, 0);
        kt_loops_store(loops, d->scratch, total, kt_loops_apply(loops, KT_OP_add, l->dtype, before, more, 0),
                       0);
    }
}

/* Opens a loop over the unit's vectors among [0, whole), or among the others; false: there are none. */
static bool begin_vectors(kt_lower *lower, const by_kernel *d, bool whole, kt_reg *out_vector,
                          kt_group_masks *out_masks) {
    kt_loops *loops = lower->loops;
    if (d->lanes.whole == (whole ? 0 : d->lanes.vectors)) return false;
    kt_reg middle = kt_loops_int(loops, d->lanes.whole);
    kt_reg begin = whole ? d->first : kt_loops_index(loops, KT_INDEX_MAX, d->first, middle);
    kt_reg end = whole ? kt_loops_index(loops, KT_INDEX_MIN, d->last, middle) : d->last;
    *out_vector = kt_lower_begin(lower, begin, end, 1, "vectors");
    *out_masks = whole ? (kt_group_masks){0} : kt_group_lanes_masks(lower, &d->lanes, *out_vector);
    return true;
}

static void add_all_places(kt_lower *lower, const by_kernel *d) {
    int outer = d->spatial + 1 - d->walked;
    kt_reg x = kt_loops_int(lower->loops, 0), g = x, vector;
    begin_places(lower, d, 0, outer, &x, &g);
    for (int part = 0; part < 2; part++) {
        kt_group_masks masks;
        if (!begin_vectors(lower, d, part == 0, &vector, &masks)) continue;
        for (int64_t first = 0; first < d->sums; first += d->together)
            add_places(lower, d, vector, &masks, first,
                       first + d->together < d->sums ? first + d->together : d->sums, x, g);
        kt_lower_end(lower);
    }
    for (int axis = 0; axis < outer; axis++) kt_lower_end(lower);
}

static void store_sums(kt_lower *lower, const by_kernel *d) {
    kt_loops *loops = lower->loops;
    const kt_group_lanes *l = &d->lanes;
    const kt_type *type = d->result;
    kt_reg vector = kt_lower_begin(lower, d->first, d->last, 1, "vectors");
    kt_reg sum = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, d->sums), 1, "epilogue");
    kt_position at = kt_position_origin(lower, type->rank, type->dims, l->lanes);
    bool full = l->used == l->lanes && l->groups % l->side_by_side == 0;
    at.mask = full ? 0 : kt_group_lanes_masks(lower, l, vector).features;
    for (int axis = 0; axis < d->spatial; axis++) at.merged |= 1U << axis;
    at.at[d->spatial] = kt_axis_at(sum, 0);
    at.at[d->spatial + 1] = kt_axis_at(kt_times_int(lower, vector, l->used), l->lanes > 1);
    kt_reg from = kt_plus(lower, sum_place(lower, d, vector, 0), kt_times_int(lower, sum, l->lanes));
    kt_lower_epilogue(lower, d->heavy, &at, kt_loops_load(loops, d->scratch, from, l->lanes, 0));
    kt_lower_end(lower);
    kt_lower_end(lower);
}

static void plan_unit(kt_lower *lower, by_kernel *d) {
    int64_t registers = lower->target->vector_registers - FREE_REGISTERS, places = 1, extent;
    d->together = kt_divide_up(d->sums, kt_divide_up(d->sums, registers));
    /* As evenly as they fall. */
    int64_t bytes = (int64_t)kt_dtype_bytes(d->lanes.dtype), most = CHUNK_BYTES / (d->lanes.lanes * bytes);
    d->vectors = kt_divide_up(d->lanes.vectors, kt_divide_up(d->lanes.vectors, most > 1 ? most : 1));
    while (d->walked < d->spatial) {
        if (!kt_dim_is_const(lower->dims, d->g->dims[d->spatial - d->walked], &extent) ||
            (places = kt_size_mul(places, extent)) > WALKED_PLACES)
            break;
        d->walked++;
    }
    if (d->walked == 0) d->walked = 1;
}

bool kt_lower_grouped_by_kernel(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t g) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    by_kernel d = {.heavy = heavy->first_result,
                   .attrs = heavy->attrs,
                   .x = kt_graph_type(lower->graph, heavy->operands[0]),
                   .g = kt_graph_type(lower->graph, heavy->operands[1]),
                   .result = kt_graph_type(lower->graph, heavy->first_result),
                   .x_buffer = x,
                   .g_buffer = g};
    d.spatial = d.x->rank - 2;
    int64_t places = 1;
    for (int i = 0; i < d.spatial && places <= MOST_PLACES; i++)
        places = kt_size_mul(places, d.attrs->window.at[i]);
    kt_dim groups = kt_dim_const(dims, d.attrs->groups);
    if (places > MOST_PLACES ||
        !kt_group_lanes_plan(lower, kt_accumulator(d.x->dtype), d.attrs->groups, true, MOST_PARTS,
                             kt_dim_floordiv(dims, d.x->dims[d.spatial + 1], groups),
                             kt_dim_floordiv(dims, d.g->dims[d.spatial + 1], groups), &d.lanes))
        return false;
    d.sums = places * d.lanes.channels;
    if (d.sums > MOST_SUMS) return false;
    plan_unit(lower, &d);
    kt_dim work = kt_dim_mul_const(dims, kt_product(lower, d.g->dims, 0, d.g->rank), d.sums);
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)d.lanes.lanes));
    int64_t scratch = d.vectors * d.sums * d.lanes.lanes;
    d.scratch = kt_loops_scratch(loops, d.lanes.dtype, scratch);

    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0),
                                 kt_loops_int(loops, kt_divide_up(d.lanes.vectors, d.vectors)),
                                 kt_loops_int(loops, 1), "units");
    d.first = kt_times_int(lower, unit, d.vectors);
    d.last = kt_plus(lower, d.first, kt_loops_int(loops, d.vectors));
    if (d.lanes.vectors % d.vectors != 0)
        d.last = kt_loops_index(loops, KT_INDEX_MIN, d.last, kt_loops_int(loops, d.lanes.vectors));
    kt_reg sum = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, scratch), d.lanes.lanes,
                                "clear sums");
    kt_loops_store(loops, d.scratch, sum, kt_loops_const(loops, d.lanes.dtype, d.lanes.lanes, 0), 0);
    kt_lower_end(lower);
    add_all_places(lower, &d);
    store_sums(lower, &d);
    kt_loops_end(loops);
    return true;
}
