/* A depthwise convolution and the product of its places behind it, maybe with a product in front of it, too:
 * what is between them is never in memory as a whole.
 *
 * A unit is some rows of an image, which it goes through by blocks. Those rows under a block's windows that
 * the block before did not leave are made in scratch memory, in a ring of as many rows as a block's windows
 * reach; then the block's own places, beside it; and the last product's tiles read these. All that is in
 * scratch memory fits into the second cache.
 *
 * The first block of a unit makes some rows that the unit before made, too, so units of products in front are
 * large. */
#include "codegen/lower/lower_impl.h"

enum {
    BLOCK_BYTES = 200 * 1024, /* of what a block leaves in scratch memory */
    UNIT_PRODUCTS = 1 << 21,  /* multiply-adds in a unit, about, where no rows are made again */
    ONCE_ROWS = 25,           /* one in so many rows may be made again */
};

typedef struct separable {
    kt_product_shape expand, last;
    kt_value x, heavy, made; /* the convolution's operand, the convolution, and the last product's operand */
    int64_t channels;
    int64_t x_height, x_width, height, width; /* of images before and behind the convolution */
    int64_t window, stride, low;              /* along the height */
    int64_t high, blocks;                     /* rows of a block, blocks of a unit */
    int64_t ring;                             /* rows of x; 0: that is a buffer */
    int64_t made_begin;                       /* in scratch memory, behind the ring */
    uint32_t scratch;
    kt_reg line;            /* the block's first row, counted through batch and space */
    kt_reg x_line, x_begin; /* the row of x that is made, counted likewise; and where in scratch memory */
} separable;

static kt_tiling tiling_of(kt_lower *lower, separable *s, const kt_product_shape *shape,
                           kt_tile_store *store) {
    kt_tiling tiling = {.a = shape->a.buffer,
                        .b = shape->b.buffer,
                        .row_stride = shape->a.rows,
                        .loop_count = 1,
                        .panel_stride = kt_dim_mul(lower->dims, shape->depth, shape->b.depth),
                        .prefetch = shape->panel != 0,
                        .whole_panels = true,
                        .store = store,
                        .context = s};
    kt_tiling_init(lower, &tiling, KT_F32, shape->panel, shape->columns);
    tiling.loops[0] =
        (kt_tile_loop){.extent = shape->depth, .a_stride = shape->a.depth, .b_stride = shape->b.depth};
    return tiling;
}

/* All columns of so many rows of the first operand, from `a` on. */
static void multiply(kt_lower *lower, const kt_tiling *tiling, kt_reg a, int64_t rows) {
    kt_reg zero = kt_loops_int(lower->loops, 0);
    kt_dim tiles =
        kt_dim_ceildiv(lower->dims, tiling->columns, kt_dim_const(lower->dims, kt_tile_width(tiling)));
    kt_tile_block(lower, tiling, a, zero, kt_loops_int(lower->loops, rows), zero,
                  kt_loops_dim(lower->loops, tiles));
}

/* Stores value, of which the heavy one's sum is known there, in scratch memory. */
static void keep(kt_lower *lower, const separable *s, kt_value heavy, kt_value value, const kt_position *at,
                 kt_reg sum, kt_reg index) {
    kt_lower_know(lower, heavy, at, sum);
    kt_reg reg = kt_loops_splat(lower->loops, kt_lower_value(lower, value, at), at->lanes);
    kt_loops_store(lower->loops, s->scratch, index, reg, at->mask);
}

/* ---- rows before the convolution ------------------------------------------------------------- */

static void store_x(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                    kt_reg mask) {
    const separable *s = tiling->context;
    kt_reg place = kt_plus(lower, kt_times_int(lower, s->x_line, s->x_width), row);
    kt_position at = kt_lower_product_place(lower, &s->expand, kt_loops_int(lower->loops, 0), place, column,
                                            tiling->lanes, mask);
    kt_reg index = kt_plus(lower, s->x_begin, kt_times_int(lower, row, s->channels));
    keep(lower, s, s->expand.heavy, s->x, &at, sum, kt_plus(lower, index, column));
}

/* The rows under the windows of the unit's block number `block` that no block of the unit before it made. */
static void make_x(kt_lower *lower, separable *s, const kt_tiling *tiling, kt_reg block) {
    kt_loops *loops = lower->loops;
    kt_reg height = kt_loops_int(loops, s->height), zero = kt_loops_int(loops, 0);
    kt_reg image = kt_loops_index(loops, KT_INDEX_DIV, s->line, height),
           line = kt_loops_index(loops, KT_INDEX_MOD, s->line, height);
    kt_reg begin = kt_plus_int(lower, kt_times_int(lower, line, s->stride), -s->low),
           end = kt_plus_int(lower, begin, s->ring);
    kt_reg later = kt_loops_index(loops, KT_INDEX_MIN, block, kt_loops_int(loops, 1));
    begin = kt_plus(lower, begin, kt_times_int(lower, later, s->window - s->stride));
    begin = kt_loops_index(loops, KT_INDEX_MAX, begin, zero);
    end = kt_loops_index(loops, KT_INDEX_MIN, end, kt_loops_int(loops, s->x_height));
    kt_reg row = kt_lower_begin(lower, begin, end, 1, "image rows");
    s->x_line = kt_plus(lower, kt_times_int(lower, image, s->x_height), row);
    s->x_begin = kt_times_int(lower, kt_loops_index(loops, KT_INDEX_MOD, row, kt_loops_int(loops, s->ring)),
                              s->x_width * s->channels);
    kt_reg a = kt_times_dim(lower, kt_times_int(lower, s->x_line, s->x_width), s->expand.a.rows);
    multiply(lower, tiling, a, s->x_width);
    kt_lower_end(lower);
}

/* ---- places ---------------------------------------------------------------------------------- */

static void store_made(kt_lower *lower, const kt_position *at, kt_reg sum, void *context) {
    const separable *s = context;
    kt_reg before = kt_times_int(lower, s->line, s->width * s->channels);
    kt_reg index = kt_minus(lower, kt_position_linear(lower, at).at, before);
    keep(lower, s, s->heavy, s->made, at, sum, kt_plus_int(lower, index, s->made_begin));
}

static void store_last(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                       kt_reg mask) {
    const separable *s = tiling->context;
    kt_reg place = kt_plus(lower, kt_times_int(lower, s->line, s->width), row);
    kt_position at = kt_lower_product_place(lower, &s->last, kt_loops_int(lower->loops, 0), place, column,
                                            tiling->lanes, mask);
    kt_lower_epilogue(lower, s->last.heavy, &at, sum);
}

/* ---- plans ----------------------------------------------------------------------------------- */

static int64_t size_of(const kt_lower *lower, kt_dim dim) {
    int64_t size = 0;
    kt_dim_is_const(lower->dims, dim, &size);
    return size;
}

static void measure(const kt_lower *lower, separable *s, const kt_node_info *depthwise) {
    const kt_attrs_conv *attrs = depthwise->attrs;
    const kt_type *x = kt_graph_type(lower->graph, depthwise->operands[0]),
                  *w = kt_graph_type(lower->graph, depthwise->operands[1]),
                  *type = kt_graph_type(lower->graph, depthwise->first_result);
    s->channels = attrs->groups;
    s->x_height = size_of(lower, x->dims[1]);
    s->x_width = size_of(lower, x->dims[2]);
    s->height = size_of(lower, type->dims[1]);
    s->width = size_of(lower, type->dims[2]);
    s->window = size_of(lower, w->dims[0]);
    s->stride = attrs->strides.at[0];
    s->low = size_of(lower, attrs->low.at[0]);
}

/* The largest divisor of all that is at most `most`, and 1 at least. */
static int64_t divisor(int64_t all, int64_t most) {
    int64_t part = most < all ? most : all;
    while (part > 1 && all % part != 0) part--;
    return part > 1 ? part : 1;
}

/* Multiply-adds of a row. */
static int64_t row_products(const kt_lower *lower, const separable *s, bool expands) {
    int64_t products = s->width * s->channels * (s->window * s->window + size_of(lower, s->last.columns));
    if (expands) products += s->stride * s->x_width * s->channels * size_of(lower, s->expand.depth);
    return products;
}

static void choose_blocks(kt_lower *lower, separable *s, bool expands) {
    int64_t row = (s->width + (expands ? s->stride * s->x_width : 0)) * s->channels;
    int64_t bytes = (int64_t)kt_dtype_bytes(KT_F32), most = BLOCK_BYTES / (row * bytes);
    int64_t kept = expands ? (s->window - s->stride) * s->x_width * s->channels : 0; /* for the next block */
    int64_t room = (KT_SCRATCH_BYTES / bytes - kept) / row;
    s->high = kt_choose(
        &lower->loops->choice, KT_KNOB_high, divisor(s->height, most < s->height / 2 ? most : s->height / 2),
        (kt_range){.least = 1, .most = room < s->height ? room : s->height, .divides = s->height},
        "what the second cache keeps between the products");
    int64_t all = s->height / s->high, again = s->window - s->stride;
    int64_t units = 1 + s->x_height / (ONCE_ROWS * (again > 1 ? again : 1));
    int64_t wanted = UNIT_PRODUCTS / (s->high * row_products(lower, s, expands));
    if (expands) wanted = kt_divide_up(all, units > 2 ? units : 2);
    s->blocks = divisor(all, wanted);
    s->ring = expands ? (s->high - 1) * s->stride + s->window : 0;
    s->made_begin = s->ring * s->x_width * s->channels;
}

static void emit(kt_lower *lower, separable *s, kt_depthwise *depthwise, bool expands) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    kt_tiling last = tiling_of(lower, s, &s->last, store_last), expand = {0};
    if (expands) expand = tiling_of(lower, s, &s->expand, store_x);
    kt_dim lines = kt_product(lower, kt_graph_type(lower->graph, s->heavy)->dims, 0, 2),
           work = kt_dim_mul_const(dims, lines, row_products(lower, s, expands));
    int64_t unit_lines = s->blocks * s->high;
    loops->leading = true;
    loops->cost = kt_dim_ceildiv(dims, work, kt_dim_const(dims, KT_LANE_PRODUCTS * (int64_t)last.lanes));
    kt_reg unit =
        kt_loops_begin(loops, KT_LOOP_PARALLEL, kt_loops_int(loops, 0),
                       kt_loops_dim(loops, kt_dim_floordiv(dims, lines, kt_dim_const(dims, unit_lines))),
                       kt_loops_int(loops, 1), "units");
    kt_reg block = kt_lower_begin(lower, kt_loops_int(loops, 0), kt_loops_int(loops, s->blocks), 1, "blocks");
    s->line = kt_plus(lower, kt_times_int(lower, unit, unit_lines), kt_times_int(lower, block, s->high));
    if (expands) make_x(lower, s, &expand, block);
    kt_depthwise_rows(lower, depthwise, s->line, kt_plus_int(lower, s->line, s->high), store_made, s);
    multiply(lower, &last, kt_loops_int(loops, s->made_begin), s->high * s->width);
    kt_lower_end(lower);
    kt_loops_end(loops);
}

bool kt_lower_separable_root(kt_lower *lower, const kt_node_info *expand, const kt_node_info *depthwise,
                             const kt_node_info *last) {
    kt_loops *loops = lower->loops;
    separable s = {.x = depthwise->operands[0], .heavy = depthwise->first_result, .made = last->operands[0]};
    int64_t x = kt_lower_buffer(lower, s.x), w = kt_lower_buffer(lower, depthwise->operands[1]);
    if (w < 0 || (x < 0 && !expand) || !kt_lower_has_epilogue_only(lower, last) ||
        !kt_lower_product_shape(lower, last, true, &s.last) ||
        (expand && !kt_lower_product_shape(lower, expand, false, &s.expand)))
        return false;
    measure(lower, &s, depthwise);
    loops->choice.form = "depthwise between products";
    choose_blocks(lower, &s, expand != NULL);
    s.scratch = loops->buffer_count;
    kt_choice choice = loops->choice; /* the parts' own are the cost model's */
    loops->choice = (kt_choice){0};
    kt_depthwise *d =
        kt_depthwise_plan(lower, depthwise, s.ring ? s.scratch : (uint32_t)x, (uint32_t)w, s.ring, true);
    if (d) {
        kt_loops_scratch(loops, KT_F32, s.made_begin + s.high * s.width * s.channels);
        s.last.a = (kt_matrices){.buffer = s.scratch,
                                 .rows = kt_dim_const(lower->dims, s.channels),
                                 .depth = kt_dim_const(lower->dims, 1)};
        emit(lower, &s, d, expand != NULL);
    }
    loops->choice = choice;
    return d != NULL;
}
