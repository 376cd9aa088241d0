/* Products and convolutions by calls of a BLAS (--contractions=openblas).
 *
 * The work is cut into units by shapes alone, each one call or a few, so that results do not depend on
 * threads. A convolution copies the patches of some pixels into scratch memory, a matrix of pixels by window
 * places, and multiplies that; where patches are long, a part of the window at a time, whose products add up.
 * A patch is made of runs: the window's rows where they are contiguous, else its pixels. What surrounds the
 * product is another kernel. */
#include "codegen/lower/lower_impl.h"

enum {
    BLOCK_ROWS = 256,
    BLOCK_COLUMNS = 512,
    PATCH_DEPTH = 512, /* about so much of a patch at a time */
};

static kt_reg quotient(kt_lower *lower, kt_reg a, kt_dim by) {
    return kt_loops_index(lower->loops, KT_INDEX_DIV, a, kt_loops_dim(lower->loops, by));
}

static kt_reg remainder_of(kt_lower *lower, kt_reg a, kt_dim by) {
    return kt_loops_index(lower->loops, KT_INDEX_MOD, a, kt_loops_dim(lower->loops, by));
}

static kt_reg number(kt_lower *lower, int64_t value) { return kt_loops_int(lower->loops, value); }

static bool is_one(const kt_lower *lower, kt_dim dim) { return kt_dim_equals(lower->dims, dim, 1); }

/* Is value, a product of a dtype that a BLAS knows, all that the kernel computes? */
static bool suits_blas(const kt_lower *lower, kt_value value) {
    const kt_node_info *heavy = kt_graph_definition(lower->graph, value);
    kt_dtype dtype = kt_graph_type(lower->graph, heavy->operands[0])->dtype;
    return lower->target->blas && (dtype == KT_F32 || dtype == KT_F64) && lower->kernel->results.count == 1 &&
           lower->kernel->results.at[0].value == value;
}

/* A unit's share of [0, all): blocks of size, the last one shorter. */
typedef struct share {
    kt_reg first, count;
} share;

static share take_share(kt_lower *lower, kt_reg block, int64_t size, kt_dim all) {
    kt_reg first = kt_loops_index(lower->loops, KT_INDEX_MUL, block, number(lower, size));
    kt_reg rest = kt_loops_index(lower->loops, KT_INDEX_SUB, kt_loops_dim(lower->loops, all), first);
    return (share){first, kt_loops_index(lower->loops, KT_INDEX_MIN, rest, number(lower, size))};
}

/* The units: outer times blocks of rows times blocks of columns. */
typedef struct units {
    kt_reg outer;
    share rows, columns;
} units;

static units begin_units(kt_lower *lower, kt_dim outer, kt_dim rows, int64_t high, kt_dim columns,
                         kt_dim depth) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    kt_dim row_blocks = kt_dim_ceildiv(dims, rows, kt_dim_const(dims, high));
    kt_dim column_blocks = kt_dim_ceildiv(dims, columns, kt_dim_const(dims, BLOCK_COLUMNS));
    kt_dim inner = kt_dim_mul(dims, row_blocks, column_blocks);
    kt_dim work = kt_dim_mul(dims, kt_dim_mul(dims, outer, rows), kt_dim_mul(dims, depth, columns));
    loops->cost =
        kt_dim_ceildiv(dims, work, kt_dim_const(dims, (int64_t)3 * lower->target->vector_bytes / 4));
    kt_reg unit =
        kt_loops_begin(loops, KT_LOOP_PARALLEL, number(lower, 0),
                       kt_loops_dim(loops, kt_dim_mul(dims, outer, inner)), number(lower, 1), "units");
    kt_reg rest = remainder_of(lower, unit, inner);
    return (units){.outer = quotient(lower, unit, inner),
                   .rows = take_share(lower, quotient(lower, rest, column_blocks), high, rows),
                   .columns =
                       take_share(lower, remainder_of(lower, rest, column_blocks), BLOCK_COLUMNS, columns)};
}

bool kt_lower_blas_product(kt_lower *lower, const kt_product_shape *shape) {
    kt_loops *loops = lower->loops;
    if (!suits_blas(lower, shape->heavy) || shape->panel) return false;
    if (!is_one(lower, shape->a.depth) && !is_one(lower, shape->a.rows)) return false;
    units u = begin_units(lower, shape->batch, shape->rows, BLOCK_ROWS, shape->columns, shape->depth);
    kt_reg a = kt_lower_matrix_begin(lower, shape, u.outer, &shape->a);
    kt_reg b = kt_lower_matrix_begin(lower, shape, u.outer, &shape->b);
    kt_reg row = kt_plus(lower, kt_times_dim(lower, u.outer, shape->rows), u.rows.first);
    kt_product_call call = {.a = shape->a.buffer,
                            .b = shape->b.buffer,
                            .c = lower->kernel->params.count,
                            .a_at = kt_plus(lower, a, kt_times_dim(lower, u.rows.first, shape->a.rows)),
                            .b_at = kt_plus(lower, b, u.columns.first),
                            .c_at = kt_plus(lower, kt_times_dim(lower, row, shape->columns), u.columns.first),
                            .rows = u.rows.count,
                            .columns = u.columns.count,
                            .depth = kt_loops_dim(loops, shape->depth),
                            .a_row = kt_loops_dim(loops, shape->a.rows),
                            .a_depth = kt_loops_dim(loops, shape->a.depth),
                            .b_depth = kt_loops_dim(loops, shape->b.depth),
                            .c_row = kt_loops_dim(loops, shape->columns),
                            .before = number(lower, 0)};
    kt_loops_product(loops, &call);
    kt_loops_end(loops);
    return true;
}

/* ---- convolutions
 * -------------------------------------------------------------------------------------------------
 */

typedef struct patches {
    const kt_attrs_conv *attrs;
    const kt_type *x, *w, *result;
    uint32_t input, scratch;
    int spatial;
    int run_axes;   /* how many of the window's axes number the runs of a patch */
    int64_t runs;   /* of a patch */
    int64_t run;    /* elements of a run */
    int64_t share;  /* runs that are multiplied at a time */
    int64_t pixels; /* of a unit, at most */
    int lanes;
    kt_reg first_channel, patch, from; /* of the run that is copied */
} patches;

/* False: the window or the channels are not known, or do not fit. */
static bool plan_patches(kt_lower *lower, patches *p) {
    int64_t channels, size, run_limit = KT_SCRATCH_BYTES / (int64_t)kt_dtype_bytes(p->x->dtype);
    if (!kt_dim_is_const(lower->dims, p->w->dims[p->spatial], &channels)) return false;
    bool rows = p->attrs->groups == 1 && p->attrs->dilation.at[p->spatial - 1] == 1;
    p->run_axes = rows ? p->spatial - 1 : p->spatial;
    p->runs = 1;
    p->run = channels;
    for (int i = 0; i < p->spatial; i++) {
        if (!kt_dim_is_const(lower->dims, p->w->dims[i], &size) || size > run_limit) return false;
        *(i < p->run_axes ? &p->runs : &p->run) *= size;
        if (p->runs > run_limit || p->run > run_limit) return false;
    }
    if (p->runs < 1 || p->run < 1) return false;
    p->share = p->run < PATCH_DEPTH ? PATCH_DEPTH / p->run : 1;
    if (p->share > p->runs) p->share = p->runs;
    p->pixels = run_limit / (p->share * p->run);
    if (p->pixels > BLOCK_ROWS) p->pixels = BLOCK_ROWS;
    return p->pixels > 0;
}

static void copy_turn(kt_lower *lower, kt_reg index, kt_reg mask, void *context) {
    const patches *p = context;
    kt_reg element = kt_loops_load(lower->loops, p->input, kt_plus(lower, p->from, index), p->lanes, mask);
    kt_loops_store(lower->loops, p->scratch, kt_plus(lower, p->patch, index), element, mask);
}

/* Where the input pixel of output pixel's first window place lies. */
static kt_reg pixel_begin(kt_lower *lower, const patches *p, kt_reg pixel) {
    kt_dim stride = p->x->dims[p->spatial + 1];
    kt_reg begin = p->first_channel;
    for (int i = p->spatial; i >= 1; i--) {
        kt_reg index = remainder_of(lower, pixel, p->result->dims[i]);
        begin = kt_plus(
            lower, begin,
            kt_times_dim(lower, index, kt_dim_mul_const(lower->dims, stride, p->attrs->strides.at[i - 1])));
        pixel = quotient(lower, pixel, p->result->dims[i]);
        stride = kt_dim_mul(lower->dims, stride, p->x->dims[i]);
    }
    return kt_plus(lower, begin, kt_times_dim(lower, pixel, stride));
}

/* How far behind that a run of the patch lies. */
static kt_reg run_offset(kt_lower *lower, const patches *p, kt_reg run) {
    kt_reg offset = number(lower, 0);
    for (int i = p->run_axes - 1; i >= 0; i--) {
        kt_dim stride = kt_product(lower, p->x->dims, i + 2, p->x->rank);
        stride = kt_dim_mul_const(lower->dims, stride, p->attrs->dilation.at[i]);
        offset = kt_plus(lower, offset, kt_times_dim(lower, remainder_of(lower, run, p->w->dims[i]), stride));
        run = quotient(lower, run, p->w->dims[i]);
    }
    return offset;
}

/* Runs [first, first + count) of the patches of pixels become the scratch's rows. */
static void copy_patches(kt_lower *lower, patches *p, share pixels, kt_reg first, kt_reg count) {
    kt_reg row = kt_loops_index(lower->loops, KT_INDEX_MUL, count, number(lower, p->run));
    kt_reg pixel = kt_lower_begin(lower, number(lower, 0), pixels.count, 1, "pixels");
    kt_reg begin = pixel_begin(lower, p, kt_plus(lower, pixels.first, pixel));
    kt_reg to = kt_loops_index(lower->loops, KT_INDEX_MUL, pixel, row);
    kt_reg run = kt_lower_begin(lower, number(lower, 0), count, 1, "runs");
    p->from = kt_plus(lower, begin, run_offset(lower, p, kt_plus(lower, first, run)));
    p->patch = kt_plus(lower, to, kt_loops_index(lower->loops, KT_INDEX_MUL, run, number(lower, p->run)));
    kt_lower_vector_loop(lower, number(lower, 0), number(lower, p->run), p->lanes, copy_turn, p, "run");
    kt_lower_end(lower);
    kt_lower_end(lower);
}

bool kt_lower_blas_conv(kt_lower *lower, const kt_node_info *conv, uint32_t a, uint32_t b) {
    kt_loops *loops = lower->loops;
    kt_dim_pool *dims = lower->dims;
    patches p = {.attrs = conv->attrs,
                 .x = kt_graph_type(lower->graph, conv->operands[0]),
                 .w = kt_graph_type(lower->graph, conv->operands[1]),
                 .result = kt_graph_type(lower->graph, conv->first_result),
                 .input = a};
    p.spatial = p.x->rank - 2;
    if (!suits_blas(lower, conv->first_result) || p.attrs->panel || !plan_patches(lower, &p)) return false;
    p.lanes = kt_lower_lanes(lower, 1, kt_dim_const(dims, p.run));
    p.scratch = kt_loops_scratch(loops, p.x->dtype, p.pixels * p.share * p.run);
    kt_dim groups = kt_dim_const(dims, p.attrs->groups), all_features = p.result->dims[p.spatial + 1];
    kt_dim features = kt_dim_floordiv(dims, all_features, groups);
    units u = begin_units(lower, groups, kt_product(lower, p.result->dims, 0, p.spatial + 1), p.pixels,
                          features, kt_dim_const(dims, p.runs * p.run));
    kt_reg feature = kt_plus(lower, kt_times_dim(lower, u.outer, features), u.columns.first);
    p.first_channel = kt_times_dim(lower, u.outer, p.w->dims[p.spatial]);
    kt_reg run =
        kt_lower_begin(lower, number(lower, 0), number(lower, p.runs), p.share, "parts of the window");
    kt_reg count = kt_loops_index(loops, KT_INDEX_SUB, number(lower, p.runs), run);
    count = kt_loops_index(loops, KT_INDEX_MIN, count, number(lower, p.share));
    copy_patches(lower, &p, u.rows, run, count);
    kt_reg depth = kt_loops_index(loops, KT_INDEX_MUL, count, number(lower, p.run));
    kt_reg before = kt_loops_index(loops, KT_INDEX_MUL, run, number(lower, p.run));
    kt_product_call call = {.a = p.scratch,
                            .b = b,
                            .c = lower->kernel->params.count,
                            .a_at = number(lower, 0),
                            .b_at = kt_plus(lower, kt_times_dim(lower, before, all_features), feature),
                            .c_at = kt_plus(lower, kt_times_dim(lower, u.rows.first, all_features), feature),
                            .rows = u.rows.count,
                            .columns = u.columns.count,
                            .depth = depth,
                            .a_row = depth,
                            .a_depth = number(lower, 1),
                            .b_depth = kt_loops_dim(loops, all_features),
                            .c_row = kt_loops_dim(loops, all_features),
                            .before = before};
    kt_loops_product(loops, &call);
    kt_lower_end(lower);
    kt_loops_end(loops);
    return true;
}
