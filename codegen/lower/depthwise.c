/* conv where groups are single channels and features: each channel of the result is a channel of the input
 * under a window of its own.
 *
 * A tile is some neighbouring places of an image row by a vector of channels, with its sums in registers:
 * each vector of the kernel, loaded once, meets the pixels of all places. Nothing is padded in memory. Above
 * and below the image the window's loop is shorter; the tiles at both ends of a row are expanded without the
 * products that lie outside.
 *
 * A unit is some rows of an image. It goes through them with so few channels at a time that the rows under
 * the window stay in the nearest cache, and so each pixel comes from beyond it once. Where pixels lie so far
 * apart, by a power of two, that their rows push each other out of it all the same, it goes through one strip
 * of the rows after the other. There, and where an image stays in the second cache, tiles are of two rows,
 * which share what is loaded; from beyond, single rows come faster, as they do before costly operations. */
#include "codegen/lower/lower_impl.h"

enum {
    UNIT_PRODUCTS = 1 << 20, /* multiply-adds in a unit, about; images of a quarter are shared out */
    NEAR_BYTES = 24 * 1024,  /* of rows under the window */
    STRIP_BYTES =
        46 * 1024, /* of those of a strip, as measured with vectors of 64 bytes; of others NEAR_BYTES */
    SECOND_BYTES = 1 << 19, /* of an image and its result, in the second cache */
    MOST_LINES = 1 << 12,   /* of a unit */
    MOST_PLACES = 12,       /* of a tile: each costs instructions */
    PAIRED_PLACES = 7,      /* in each row of a tile of two, at most */
    LEAST_COSTLY = 16,      /* weight of a kernel whose sums undergo a costly operation */
    LEAST_TILES = 2,        /* of a strip: pixels between strips are read for both */
    MOST_PRODUCTS = 160,    /* of a row of the window, in a tile: these are expanded */
};

struct kt_depthwise {
    kt_value heavy;
    const kt_attrs_conv *attrs;
    const kt_type *x, *w, *result;
    int spatial;
    uint32_t x_buffer, w_buffer;
    kt_dtype dtype; /* of sums */
    int lanes;
    int64_t window, low, extent, width; /* along rows: the window, what is padded, pixels and places */
    int64_t places;                     /* of a tile */
    int64_t high;           /* of tiles of two rows: the window's rows; 0: there are no such tiles */
    int64_t above, below;   /* the first row and the last whose windows are inside */
    int64_t together;       /* tiles of a strip */
    kt_reg strip;           /* its number */
    int64_t wide;           /* channels of a block */
    kt_reg block;           /* where it begins */
    kt_reg at[KT_MAX_RANK]; /* image, and the row in it: indices of the axes before the last spatial one */
    int64_t ring;           /* rows of x, which holds as many of one image; 0: it holds all images */
    kt_depthwise_store *store;
    void *context;
};

static kt_reg load(kt_lower *lower, const kt_depthwise *d, uint32_t buffer, kt_reg index, kt_reg mask) {
    kt_reg value = kt_loops_load(lower->loops, buffer, index, d->lanes, mask);
    return kt_loops_apply(lower->loops, KT_OP_cast, d->dtype, value, 0, 0);
}

/* Where in x the image's row lies. */
static kt_reg stored_row(kt_lower *lower, const kt_depthwise *d, kt_reg row) {
    kt_loops *loops = lower->loops;
    return d->ring ? kt_loops_index(loops, KT_INDEX_MOD, row, kt_loops_int(loops, d->ring)) : row;
}

/* The first pixel under a place, counted from the row's begin. */
static int64_t first_pixel(const kt_depthwise *d, int64_t place) {
    return place * d->attrs->strides.at[d->spatial - 1] - d->low;
}

/* Do all products of the places [first, last) lie inside? */
static bool is_inside(const kt_depthwise *d, int64_t first, int64_t last) {
    int64_t reach = (d->window - 1) * d->attrs->dilation.at[d->spatial - 1];
    return first_pixel(d, first) >= 0 && first_pixel(d, last - 1) + reach < d->extent;
}

/* Tiles of one form: tile number `number` of `places` places, which begin at place `first` where that is
 * known. */
typedef struct tile {
    const kt_depthwise *d;
    kt_reg number;
    int64_t first, places;
    bool inside, paired; /* paired: of two rows */
} tile;

/* Adds the products of the window's row to the tile's row: x, w: where the image's and the window's rows
 * begin. */
static void add_products(kt_lower *lower, const tile *t, kt_cell sums, int64_t row, kt_reg x, kt_reg w,
                         kt_reg mask) {
    const kt_depthwise *d = t->d;
    kt_loops *loops = lower->loops;
    int axis = d->spatial - 1;
    kt_dim channels = d->x->dims[d->spatial + 1];
    if (t->inside) {
        int64_t step = d->places * d->attrs->strides.at[axis];
        x = kt_plus(lower, x, kt_times_dim(lower, t->number, kt_dim_mul_const(lower->dims, channels, step)));
    }
    for (int64_t column = 0; column < d->window; column++) {
        kt_reg kernel = 0;
        for (int64_t place = 0; place < t->places; place++) {
            int64_t pixel =
                first_pixel(d, t->inside ? place : t->first + place) + column * d->attrs->dilation.at[axis];
            if (!t->inside && (pixel < 0 || pixel >= d->extent)) continue;
            if (!kernel) {
                kt_reg from =
                    kt_plus(lower, w, kt_loops_dim(loops, kt_dim_mul_const(lower->dims, channels, column)));
                kernel = load(lower, d, d->w_buffer, from, mask);
            }
            kt_reg from =
                kt_plus(lower, x, kt_loops_dim(loops, kt_dim_mul_const(lower->dims, channels, pixel)));
            kt_reg number = kt_loops_int(loops, row * t->places + place);
            kt_add_product(lower, sums, number, load(lower, d, d->x_buffer, from, mask), kernel);
        }
    }
}

static void store_places(kt_lower *lower, const tile *t, kt_cell sums, int64_t row, kt_reg channel,
                         kt_reg mask) {
    const kt_depthwise *d = t->d;
    kt_loops *loops = lower->loops;
    kt_reg first = t->inside ? kt_loops_index(loops, KT_INDEX_MUL, t->number, kt_loops_int(loops, d->places))
                             : kt_loops_int(loops, t->first);
    for (int64_t place = 0; place < t->places; place++) {
        kt_position at = kt_position_origin(lower, d->result->rank, d->result->dims, d->lanes);
        at.mask = mask;
        for (int axis = 0; axis < d->spatial; axis++) at.at[axis] = kt_axis_at(d->at[axis], 0);
        at.at[d->spatial - 1].at = kt_plus_int(lower, d->at[d->spatial - 1], row);
        at.at[d->spatial] = kt_axis_at(kt_plus(lower, first, kt_loops_int(loops, place)), 0);
        at.at[d->spatial + 1] = kt_axis_at(channel, d->lanes > 1);
        d->store(lower, &at, kt_loops_get(loops, sums, kt_loops_int(loops, row * t->places + place)),
                 d->context);
    }
}

/* x, w: where the image and the window begin. */
static void add_window(kt_lower *lower, const tile *t, kt_cell sums, kt_reg x, kt_reg w, kt_reg mask) {
    const kt_depthwise *d = t->d;
    int blocks = 0;
    for (int i = 0; i + 1 < d->spatial; i++) {
        kt_window_axis axis = {.window = d->w->dims[i],
                               .stride = d->attrs->strides.at[i],
                               .dilation = d->attrs->dilation.at[i],
                               .input_dilation = 1,
                               .low = d->attrs->low.at[i],
                               .inside = kt_dim_equals(lower->dims, d->attrs->high.at[i], 0),
                               .extent = d->x->dims[i + 1]};
        kt_window_turn turn = kt_window_begin(lower, &axis, kt_axis_at(d->at[i + 1], 0), 1);
        kt_reg row = i ? turn.input.at : stored_row(lower, d, turn.input.at);
        x = kt_plus(lower, x, kt_times_dim(lower, row, kt_product(lower, d->x->dims, i + 2, d->x->rank)));
        w = kt_plus(lower, w,
                    kt_times_dim(lower, turn.window, kt_product(lower, d->w->dims, i + 1, d->w->rank)));
        blocks += turn.blocks;
    }
    add_products(lower, t, sums, 0, x, w, mask);
    while (blocks-- > 0) kt_lower_end(lower);
}

/* Of two rows, under whose windows all rows are there: what is loaded of a row of the image serves both. */
static void add_pair(kt_lower *lower, const tile *t, kt_cell sums, kt_reg x, kt_reg w, kt_reg mask) {
    const kt_depthwise *d = t->d;
    kt_dim pixels = kt_product(lower, d->x->dims, 2, d->x->rank),
           taps = kt_product(lower, d->w->dims, 1, d->w->rank);
    kt_reg top = kt_plus_int(lower, d->at[1], -d->above);
    for (int64_t line = 0; line <= d->high; line++) {
        kt_reg stored = stored_row(lower, d, kt_plus_int(lower, top, line));
        kt_reg from = kt_plus(lower, x, kt_times_dim(lower, stored, pixels));
        for (int64_t row = line < d->high ? 0 : 1; row < 2 && row <= line; row++) {
            kt_reg by = kt_plus(lower, w,
                                kt_loops_dim(lower->loops, kt_dim_mul_const(lower->dims, taps, line - row)));
            add_products(lower, t, sums, row, from, by, mask);
        }
    }
}

/* A tile of the block's channels from `in_block` on. */
static void emit_tile(kt_lower *lower, kt_reg in_block, kt_reg mask, void *context) {
    const tile *t = context;
    const kt_depthwise *d = t->d;
    kt_reg channel = kt_plus(lower, d->block, in_block);
    int64_t rows = t->paired ? 2 : 1;
    kt_cell sums = kt_zero_sums(lower, d->dtype, d->lanes, rows * t->places);
    kt_reg image = d->ring ? kt_loops_int(lower->loops, 0) : d->at[0];
    kt_reg x = kt_plus(lower, channel,
                       kt_times_dim(lower, image, kt_product(lower, d->x->dims, 1, d->x->rank))),
           w = channel;
    if (t->paired)
        add_pair(lower, t, sums, x, w, mask);
    else
        add_window(lower, t, sums, x, w, mask);
    for (int64_t row = 0; row < rows; row++) store_places(lower, t, sums, row, channel, mask);
}

static void emit_channels(kt_lower *lower, tile *t) {
    kt_loops *loops = lower->loops;
    kt_lower_vector_loop(lower, kt_loops_int(loops, 0), kt_loops_int(loops, t->d->wide), t->d->lanes,
                         emit_tile, t, "channels");
}

/* The strip's tiles of a row: those within as a loop, and before and behind it those which reach outside or
 * are narrower. */
static void emit_row(kt_lower *lower, const kt_depthwise *d, bool paired) {
    kt_loops *loops = lower->loops;
    int64_t tiles = kt_divide_up(d->width, d->places), from = 0, to = tiles;
    while (from < to && !is_inside(d, from * d->places, (from + 1) * d->places)) from++;
    while (to > from && (to * d->places > d->width || !is_inside(d, (to - 1) * d->places, to * d->places)))
        to--;
    for (int64_t number = 0; number < tiles; number++) {
        int64_t first = number * d->places, rest = d->width - first;
        tile t = {.d = d, .paired = paired, .first = first, .places = rest < d->places ? rest : d->places};
        if (number == from && from < to) {
            t.inside = true;
            kt_reg begin = kt_times_int(lower, d->strip, d->together),
                   end = kt_plus_int(lower, begin, d->together);
            t.number =
                kt_lower_begin(lower, kt_loops_index(loops, KT_INDEX_MAX, begin, kt_loops_int(loops, from)),
                               kt_loops_index(loops, KT_INDEX_MIN, end, kt_loops_int(loops, to)), 1, "tiles");
            number = to - 1;
        } else {
            kt_reg strip = kt_loops_int(loops, number / d->together);
            kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_EQ, d->strip, strip));
        }
        emit_channels(lower, &t);
        kt_lower_end(lower);
    }
}

static void enter_row(kt_lower *lower, kt_depthwise *d, kt_reg rest) {
    kt_loops *loops = lower->loops;
    for (int axis = d->spatial - 1; axis > 0; axis--) {
        kt_reg extent = kt_loops_dim(loops, d->result->dims[axis]);
        d->at[axis] = kt_loops_index(loops, KT_INDEX_MOD, rest, extent);
        rest = kt_loops_index(loops, KT_INDEX_DIV, rest, extent);
    }
    d->at[0] = rest;
}

static void emit_rows(kt_lower *lower, kt_depthwise *d, kt_reg begin, kt_reg end) {
    enter_row(lower, d, kt_lower_begin(lower, begin, end, 1, "image rows"));
    emit_row(lower, d, false);
    kt_lower_end(lower);
}

/* Rows two by two, but for those whose windows reach outside, and a single last one. */
static void emit_pairs(kt_lower *lower, kt_depthwise *d, kt_reg begin, kt_reg end) {
    kt_loops *loops = lower->loops;
    kt_reg row = kt_lower_begin(lower, begin, end, 2, "pairs of rows"), minus = kt_loops_int(loops, -1);
    enter_row(lower, d, row);
    kt_reg slack = kt_loops_index(loops, KT_INDEX_MIN, kt_plus_int(lower, d->at[1], -d->above),
                                  kt_minus(lower, kt_loops_int(loops, d->below - 1), d->at[1]));
    slack = kt_loops_index(loops, KT_INDEX_MIN, slack, kt_minus(lower, kt_plus_int(lower, end, -2), row));
    kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, minus, slack));
    emit_row(lower, d, true);
    kt_lower_end(lower);
    kt_lower_if(lower, kt_loops_index(loops, KT_INDEX_LT, slack, kt_loops_int(loops, 0)));
    emit_rows(lower, d, row, kt_loops_index(loops, KT_INDEX_MIN, kt_plus_int(lower, row, 2), end));
    kt_lower_end(lower);
    kt_lower_end(lower);
}

/* As many places as fall evenly into a row, or nearly so. */
static int64_t tile_places(int64_t width, int64_t most) {
    for (int64_t places = most; 2 * places >= most; places--)
        if (width % places == 0) return places;
    int64_t tiles = kt_divide_up(width, most);
    return kt_divide_up(width, tiles);
}

static bool is_known(const kt_lower *lower, kt_dim dim, int64_t *out_size) {
    return kt_dim_is_const(lower->dims, dim, out_size) && *out_size >= 0;
}

/* Few enough products to be expanded, and tiles at both ends of a row alone reach outside. */
static bool suits_tiles(const kt_depthwise *d) {
    int64_t tiles = kt_divide_up(d->width, d->places);
    return d->places * d->window <= MOST_PRODUCTS &&
           (tiles <= 2 || is_inside(d, d->places, (tiles - 1) * d->places));
}

/* Channels of a block: all, unless rows are read again for others of the result. Then as many vectors of them
 * as the nearest cache keeps of the rows under the window, by whole lines. */
static int64_t block_channels(kt_lower *lower, const kt_depthwise *d) {
    int64_t channels = d->attrs->groups, vectors = channels / d->lanes, rows;
    if (channels % d->lanes != 0 ||
        !is_known(lower, kt_product(lower, d->w->dims, 0, d->spatial - 1), &rows) || rows < 2 ||
        d->extent == 0)
        return channels;
    int64_t bytes = d->lanes * (int64_t)kt_dtype_bytes(d->x->dtype);
    int64_t wide = NEAR_BYTES / kt_size_mul(rows, kt_size_mul(d->extent, bytes));
    if (wide < KT_LINE_BYTES / bytes) wide = KT_LINE_BYTES / bytes;
    if (wide > vectors) wide = vectors;
    while (vectors % wide != 0) wide--;
    return wide * d->lanes;
}

static void choose_block(kt_lower *lower, kt_depthwise *d) {
    int64_t vectors = d->attrs->groups / d->lanes;
    if (d->spatial < 2 || d->attrs->groups % d->lanes != 0) return;
    d->wide = d->lanes * kt_choose(&lower->loops->choice, KT_KNOB_wide, d->wide / d->lanes,
                                   (kt_range){.least = 1, .most = vectors, .divides = vectors},
                                   "what the nearest cache keeps of rows under the window");
}

/* What so many rows take of the nearest cache. Blocks of pixels that are apart by a multiple of a power of
 * two only take so large a part of it. */
static int64_t near_bytes(const kt_depthwise *d, int64_t rows) {
    int64_t bytes = (int64_t)kt_dtype_bytes(d->x->dtype), pixel = d->attrs->groups * bytes;
    int64_t taken = d->wide * bytes, apart = pixel & -pixel;
    return kt_size_mul(rows, kt_size_mul(d->extent, apart > taken ? apart : taken));
}

/* Are tiles to be of two rows? Their sums, a row's pixels and two vectors of the window fill the registers,
 * and what follows a sum must not want more: with these products expanded, LLVM mixes it with all of them. */
static void choose_pairs(kt_lower *lower, kt_depthwise *d) {
    const kt_attrs_conv *attrs = d->attrs;
    int64_t high, above, extent, rows, registers = 3 * PAIRED_PLACES + d->window + 1;
    for (int i = 0; i < d->spatial; i++)
        if (attrs->strides.at[i] != 1 || attrs->dilation.at[i] != 1) return;
    if (d->spatial != 2 || registers > lower->target->vector_registers ||
        kt_lower_weight(lower) >= LEAST_COSTLY || !is_known(lower, d->w->dims[0], &high) || high < 2 ||
        2 * high * PAIRED_PLACES * d->window > MOST_PRODUCTS || !is_known(lower, attrs->low.at[0], &above) ||
        !is_known(lower, d->x->dims[1], &extent) || !is_known(lower, d->result->dims[1], &rows))
        return;
    int64_t pixels = kt_size_add(kt_size_mul(extent, d->extent), kt_size_mul(rows, d->width));
    if (near_bytes(d, high) <= NEAR_BYTES &&
        kt_size_mul(pixels, attrs->groups) > SECOND_BYTES / (int64_t)kt_dtype_bytes(d->x->dtype))
        return;
    d->above = above;
    d->below = extent - high + above < rows - 1 ? extent - high + above : rows - 1;
    d->high = d->below > d->above ? high : 0;
}

/* Into as few strips as keep the rows under a tile, and those that it writes, in the nearest cache. Where
 * windows move by more than a row, little is read again. */
static void choose_strips(kt_lower *lower, kt_depthwise *d) {
    int64_t written = d->high ? 2 : 1, tiles = kt_divide_up(d->width, d->places), high;
    d->together = tiles;
    if (d->spatial != 2 || d->attrs->strides.at[0] != 1 || d->extent == 0 ||
        !is_known(lower, d->w->dims[0], &high) || high < 2)
        return;
    int64_t rows = near_bytes(d, high - 1 + 2 * written), strips = 1;
    int64_t most = lower->target->vector_bytes == KT_LINE_BYTES ? STRIP_BYTES : NEAR_BYTES;
    while (d->together > LEAST_TILES &&
           kt_size_mul(rows, d->together * d->places + d->window - 1) > kt_size_mul(most, d->extent))
        d->together = kt_divide_up(tiles, ++strips);
    if (d->together < LEAST_TILES) d->together = LEAST_TILES;
}

/* Rows of a unit. */
static kt_dim choose_rows(kt_lower *lower, const kt_depthwise *d, kt_dim row_work) {
    kt_dim_pool *dims = lower->dims;
    kt_dim grain = kt_dim_const(dims, UNIT_PRODUCTS), one = kt_dim_const(dims, 1);
    kt_dim high = kt_dim_ceildiv(dims, grain, kt_dim_max(dims, row_work, one));
    int64_t known, image, work;
    if (!kt_dim_is_const(dims, high, &known)) return high;
    if (is_known(lower, kt_product(lower, d->result->dims, 1, d->spatial), &image) &&
        is_known(lower, row_work, &work) && kt_size_mul(image, work) >= UNIT_PRODUCTS / 4)
        known = kt_unit_share(image, known < kt_divide_up(image, 2) ? known : kt_divide_up(image, 2));
    return kt_dim_const(dims,
                        kt_choose(&lower->loops->choice, KT_KNOB_high, known,
                                  (kt_range){.least = 1, .most = MOST_LINES}, "products enough for a unit"));
}

/* Whether this is such a convolution, whose rows are known; plans its tiles. */
static bool plan(kt_lower *lower, kt_depthwise *d) {
    int64_t channels, features, high;
    int last = d->spatial - 1;
    if (d->attrs->panel || !is_known(lower, d->x->dims[d->spatial + 1], &channels) ||
        channels != d->attrs->groups || !is_known(lower, d->result->dims[d->spatial + 1], &features) ||
        features != channels)
        return false;
    for (int i = 0; i < d->spatial; i++)
        if (d->attrs->input_dilation.at[i] != 1) return false;
    if (!is_known(lower, d->w->dims[last], &d->window) || !is_known(lower, d->attrs->low.at[last], &d->low) ||
        !is_known(lower, d->attrs->high.at[last], &high) ||
        !is_known(lower, d->x->dims[last + 1], &d->extent) ||
        !is_known(lower, d->result->dims[last + 1], &d->width) || d->width == 0)
        return false;
    d->lanes = kt_lower_lanes(lower, 1, d->x->dims[d->spatial + 1]);
    d->wide = block_channels(lower, d);
    choose_pairs(lower, d);
    int64_t most = lower->target->vector_registers - 4;
    if (most > MOST_PLACES) most = MOST_PLACES;
    if (d->high) most = PAIRED_PLACES;
    d->places =
        kt_choose(&lower->loops->choice, KT_KNOB_rows, tile_places(d->width, most),
                  (kt_range){.least = 1, .most = most}, "places fall evenly into a row, or nearly so");
    if (!suits_tiles(d)) d->places = kt_choose_model(&lower->loops->choice, KT_KNOB_rows);
    return suits_tiles(d);
}

kt_depthwise *kt_depthwise_plan(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t w,
                                int64_t ring, bool few) {
    kt_depthwise *d = KT_NEW_ARRAY(lower->arena, kt_depthwise, 1);
    *d = (kt_depthwise){.heavy = heavy->first_result,
                        .attrs = heavy->attrs,
                        .x = kt_graph_type(lower->graph, heavy->operands[0]),
                        .w = kt_graph_type(lower->graph, heavy->operands[1]),
                        .result = kt_graph_type(lower->graph, heavy->first_result),
                        .x_buffer = x,
                        .w_buffer = w,
                        .ring = ring};
    d->spatial = d->x->rank - 2;
    d->dtype = kt_accumulator(d->result->dtype);
    if (!plan(lower, d)) return NULL;
    if (few)
        d->wide = d->attrs->groups;
    else
        choose_block(lower, d);
    choose_strips(lower, d);
    return d;
}

void kt_depthwise_rows(kt_lower *lower, kt_depthwise *d, kt_reg begin, kt_reg end, kt_depthwise_store *store,
                       void *context) {
    kt_loops *loops = lower->loops;
    d->store = store;
    d->context = context;
    d->block = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, d->attrs->groups), d->wide,
                              "channel blocks");
    int64_t strips = kt_divide_up(kt_divide_up(d->width, d->places), d->together);
    d->strip = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, strips), 1, "strips");
    if (d->high)
        emit_pairs(lower, d, begin, end);
    else
        emit_rows(lower, d, begin, end);
    kt_lower_end(lower);
    kt_lower_end(lower);
}

static void store_sum(kt_lower *lower, const kt_position *at, kt_reg sum, void *context) {
    const kt_depthwise *d = context;
    kt_lower_epilogue(lower, d->heavy, at, sum);
}

bool kt_lower_depthwise(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t w) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    kt_depthwise *d = kt_depthwise_plan(lower, heavy, x, w, 0, false);
    if (!d) return false;
    kt_dim rows = kt_product(lower, d->result->dims, 0, d->spatial),
           window = kt_product(lower, d->w->dims, 0, d->spatial);
    kt_dim row_work = kt_dim_mul_const(dims, window, d->width * d->attrs->groups);
    loops->choice.form = "depthwise";
    kt_dim high = choose_rows(lower, d, row_work);
    kt_dim units = kt_dim_ceildiv(dims, rows, high);
    loops->leading = true;
    loops->cost = kt_dim_ceildiv(dims, kt_dim_mul(dims, rows, row_work),
                                 kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)d->lanes));
    kt_reg unit = kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0), kt_loops_dim(loops, units),
                                 kt_loops_int(loops, 1), "units");
    kt_reg end, begin = kt_part(lower, unit, high, rows, &end);
    kt_depthwise_rows(lower, d, begin, end, store_sum, d);
    kt_loops_end(loops);
    return true;
}
