/* Private to codegen/lower: how a kernel's values become code.
 *
 * There is one way for everything: "the register that holds value v at position p". A position is an index
 * for each axis of a shape, for one lane or for several; kt_lower_value walks the kernel's body from a value
 * to the parameters, views turning positions into positions and computations becoming instructions. Roots
 * (elementwise.c, contraction.c, conv.c) only decide which positions are visited in which order.
 *
 * Axes that are walked as one stay one: a position may run several adjacent axes together under one linear
 * index, and is taken apart, by division, only where an operation needs it. Roots choose runs that no
 * operation takes apart (kt_lower_splits). */
#ifndef KT_CODEGEN_LOWER_IMPL_H
#define KT_CODEGEN_LOWER_IMPL_H

#include "codegen/loops.h"

/* The index along an axis: lane l stands at `at + l * step`; or at holds a vector of lanes, and step is 0. */
typedef struct kt_axis_index {
    kt_reg at;
    int64_t step;
} kt_axis_index;

typedef struct kt_position {
    int lanes;
    kt_reg mask;  /* lanes that count, or 0: all */
    kt_reg guard; /* whether anything here counts (one lane), or 0: yes. What does not count is never read. */
    uint8_t rank;
    unsigned merged; /* bit a: axis a runs together with axis a + 1; the last axis of a run holds its index */
    kt_dim dims[KT_MAX_RANK];
    kt_axis_index at[KT_MAX_RANK];
} kt_position;

/* A register that holds a value at a position; known until its block ends. */
typedef struct kt_lowered {
    kt_value value;
    kt_position at;
    kt_reg reg; /* 0: all of the current row is in its place (kt_row) */
} kt_lowered;

/* A value of which the row that is being computed, along its last axis, has a place in scratch memory, with room
 * for a whole vector at its end: a masked store would keep a load behind it waiting. */
enum { KT_ROW_SLACK = 64 };
typedef struct kt_row {
    kt_value value; /* 0: none */
    uint32_t buffer;
    kt_reg begin;
} kt_row;

/* A part of a concat. */
typedef struct kt_concat_part {
    const kt_node_info *concat; /* NULL: it is none */
    kt_dim begin;               /* along the concat's axis */
} kt_concat_part;

typedef struct kt_lower {
    kt_graph *graph;
    kt_dim_pool *dims;
    const kt_function *kernel;
    const kt_concat_part *parts; /* by result of the kernel: where it lies in the buffer that it is written to */
    const kt_target *target;
    kt_arena *arena;
    kt_loops *loops;
    KT_VECTOR(kt_lowered) known;
    KT_VECTOR(uint32_t) scopes; /* known.count at the begin of each open block */
    uint32_t splits;            /* how often a position was taken apart */
    bool trial;                 /* in kt_lower_splits */
    kt_row rows[2];             /* what a product made of the row, and what is kept of it (kt_rows) */
    int64_t block;              /* rows that are swept at a time */
    /* A pad or concat whose part is settled by the loop around: operand number, or -1 for a pad's fill. */
    const kt_node_info *settled;
    int settled_part;
} kt_lower;
/* Node number i of the kernel. */
static inline const kt_node_info *kt_lower_node(const kt_lower *lower, uint32_t i) {
    return kt_graph_node(lower->graph, lower->kernel->nodes.at[i]);
}

/* ---- position.c ------------------------------------------------------------------------------ */
kt_axis_index kt_axis_at(kt_reg at, int64_t step);
kt_axis_index kt_axis_add(kt_lower *lower, kt_axis_index a, kt_axis_index b, int lanes);
kt_axis_index kt_axis_scale(kt_lower *lower, kt_axis_index a, kt_dim by, int lanes);
bool kt_axis_varies(const kt_lower *lower, kt_axis_index a); /* from lane to lane */
kt_reg kt_axis_lanes(kt_lower *lower, kt_axis_index a,
                     int lanes); /* as an i64 register; one lane if invariant */

/* Sums and products of indices. */
kt_reg kt_plus(kt_lower *lower, kt_reg a, kt_reg b);
kt_reg kt_plus_int(kt_lower *lower, kt_reg a, int64_t b);
kt_reg kt_minus(kt_lower *lower, kt_reg a, kt_reg b);
kt_reg kt_times_int(kt_lower *lower, kt_reg a, int64_t by);
kt_reg kt_times_dim(kt_lower *lower, kt_reg a, kt_dim by);
/* Where part `number` of `all` begins, which is cut into parts of `size`; and where it ends, the last one maybe short. */
kt_reg kt_part(kt_lower *lower, kt_reg number, kt_dim size, kt_dim all, kt_reg *out_end);
int64_t kt_divide_up(int64_t x, int64_t by);

kt_dim kt_product(kt_lower *lower, const kt_dim *dims, int begin, int end);
/* All indices 0. */
kt_position kt_position_origin(kt_lower *lower, int rank, const kt_dim *dims, int lanes);
bool kt_position_varies(const kt_lower *lower, const kt_position *at);
/* The element's place in row-major order. */
kt_axis_index kt_position_linear(kt_lower *lower, const kt_position *at);
/* The place in the concat of what stands at a position of the part; of no concat, the place itself. */
kt_reg kt_position_in_whole(kt_lower *lower, const kt_concat_part *part, const kt_position *at);
int kt_position_run_begin(const kt_position *at, int last);
int kt_position_run_end(const kt_position *at, int first); /* last axis of the run */
/* Ends a run behind axis. */
void kt_position_split(kt_lower *lower, kt_position *at, int axis);
/* Makes axis a run of its own. */
void kt_position_isolate(kt_lower *lower, kt_position *at, int axis);
/* Makes axis the first of its run, so that the run's index can be shifted along it: returns the run's last
 * axis, and in out_inner the elements behind a step of axis. An axis of extent 1 gets a run of its own: its
 * index is known, while the operand, along which later axes of the run would be counted, may be longer. */
int kt_position_lead(kt_lower *lower, kt_position *at, int axis, kt_dim *out_inner);
/* The same element under another shape. */
kt_position kt_position_reshape(kt_lower *lower, const kt_position *at, int rank, const kt_dim *dims);
/* Axis a of at becomes axis map[a] of the result, or vanishes (-1); axes that none becomes stand at 0. */
kt_position kt_position_map(kt_lower *lower, const kt_position *at, const int *map, int rank,
                            const kt_dim *dims);

/* ---- expression.c ---------------------------------------------------------------------------- */
/* The value at a position of any shape with as many elements. One lane if it is the same in all. */
kt_reg kt_lower_value(kt_lower *lower, kt_value value, const kt_position *at);
void kt_lower_know(kt_lower *lower, kt_value value, const kt_position *at, kt_reg reg);
/* Of a value that has a row: puts an element, or a vector of them, into its place; and says that all are there. */
void kt_lower_keep(kt_lower *lower, kt_value value, const kt_position *at, kt_reg reg);
void kt_lower_know_row(kt_lower *lower, kt_value value);
bool kt_lower_is_row_known(const kt_lower *lower, kt_value value);
enum {
    KT_LANE_PRODUCTS = 5, /* multiply-adds that tiles make in a nanosecond for each lane, about */
    KT_LINE_BYTES = 64,   /* of caches */
};
/* How many of `all` fall to a unit, at most `most`: a size of at least half of that which divides them, or else evenly, for an
 * even number of units where there are few, which two threads share. */
int64_t kt_unit_share(int64_t all, int64_t most);
/* Opens a block: registers made in it are forgotten when it ends. */
kt_reg kt_lower_begin(kt_lower *lower, kt_reg begin, kt_reg end, int64_t step, const char *comment);
kt_reg kt_lower_unroll(kt_lower *lower, int64_t count, const char *comment); /* from 0, expanded */
void kt_lower_if(kt_lower *lower, kt_reg condition);
void kt_lower_end(kt_lower *lower);
/* How many divisions the value costs where its axes are run together as merged says (a bit an axis). */
uint32_t kt_lower_splits(kt_lower *lower, kt_value value, int rank, const kt_dim *dims, unsigned merged);
/* The buffer of a parameter; views by reshape alone are looked through. -1: it is computed. */
int64_t kt_lower_buffer(const kt_lower *lower, kt_value value);
kt_reg kt_lower_and(kt_lower *lower, kt_reg a,
                    kt_reg b); /* of masks or guards of equal lanes; 0 is all true */

/* The value of a node's result at a position of the result's shape, by operation. */
typedef kt_reg kt_lower_fn(kt_lower *lower, const kt_node_info *node, const kt_position *at);
#define KT_UNARY(name, domain, gradient, doc)
#define KT_BINARY(name, domain, traits, gradient, doc)
#define KT_COMPARE(name, domain, doc)
#define KT_OP(name, operands, results, traits, gradient, doc) kt_lower_fn kt_lower_##name;
#include "ir/ops.def"

/* ---- window.c -------------------------------------------------------------------------------- */
/* One axis of a moving window: output index o and window index w meet the input at
 * (o * stride + w * dilation - low) / input_dilation, if that is whole and inside. */
typedef struct kt_window_axis {
    int64_t stride, dilation, input_dilation;
    kt_dim window, low, extent;
    bool inside; /* nothing is padded behind */
} kt_window_axis;
/* Opens a loop over the window indices. out_valid: a condition that remains, of one lane (a block is already
 * opened for it: close two) or of all (0: none). */
typedef struct kt_window_turn {
    kt_reg window;       /* index in the window */
    kt_axis_index input; /* index in the input */
    kt_reg valid;        /* lanes, or 0 */
    int blocks;          /* to be closed with kt_lower_end */
} kt_window_turn;
kt_window_turn kt_window_begin(kt_lower *lower, const kt_window_axis *axis, kt_axis_index output, int lanes);

/* ---- reduce.c -------------------------------------------------------------------------------- */
kt_dtype kt_accumulator(kt_dtype dtype); /* f32 for f16 and bf16; else the same */
kt_reg kt_combine(kt_lower *lower, kt_reduction kind, kt_reg a, kt_reg b);
kt_reg kt_identity(kt_lower *lower, kt_reduction kind, kt_dtype dtype, int lanes);
/* x * y + z, in the dtype of all three. */
kt_reg kt_multiply_add(kt_lower *lower, kt_reg x, kt_reg y, kt_reg z);
kt_cell kt_zero_sums(kt_lower *lower, kt_dtype dtype, int lanes, int64_t count);
/* Adds x * y to a sum. */
void kt_add_product(kt_lower *lower, kt_cell sums, kt_reg number, kt_reg x, kt_reg y);

/* ---- elementwise.c --------------------------------------------------------------------------- */
/* All results of the kernel, element by element; also the fallback for anything else. */
void kt_lower_elementwise(kt_lower *lower);
/* A serial loop over [begin, end), lanes at a time, the last turn masked. */
typedef void kt_vector_body(kt_lower *lower, kt_reg index, kt_reg mask, void *context);
void kt_lower_vector_loop(kt_lower *lower, kt_reg begin, kt_reg end, int lanes, kt_vector_body *body,
                          void *context, const char *comment);

/* ---- weight.c -------------------------------------------------------------------------------- */
enum {
    KT_GRAIN = 16384, /* additions that make a unit */
    KT_HEAVY = 16,    /* more than these make a chain of many operations */
};
/* Of a vector of the kernel's widest elements. */
int kt_lower_native_lanes(const kt_lower *lower);
/* Lanes for the kernel's values, times factor, but not many more than extent. */
int kt_lower_lanes(const kt_lower *lower, int factor, kt_dim extent);
bool kt_lower_is_costly(kt_op op);
/* Bit a: axis a of the node's operand is reduced; 0 for other nodes. */
uint32_t kt_lower_reduced_axes(const kt_node_info *node);
/* How much the kernel computes for an element, in additions. */
int kt_lower_weight(const kt_lower *lower);
/* How many elements it combines for one of its results, up to about KT_GRAIN; 1: it reduces nothing. */
int64_t kt_lower_depth(const kt_lower *lower);

/* ---- rows.c ---------------------------------------------------------------------------------- */
enum { KT_MOST_REDUCED = 4 };
/* How rows are swept. */
typedef struct kt_rows {
    int axes;      /* those before the row's own; -1: what belongs to a row as such is not looked for */
    int64_t block; /* how many are swept at a time */
    bool joined;   /* the next block is swept for the first time while this one's rows are made */
    kt_value kept; /* rather than computed again by each sweep, or 0 */
    kt_value reduced[KT_MOST_REDUCED]; /* of each row of a block, before the rows are made */
    uint32_t count;
    kt_dtype dtype;        /* of all these */
    int64_t stride;        /* from kept row to kept row */
    uint32_t scratch;      /* the buffer for what is kept and reduced, */
    int64_t scratch_begin; /* and where in it that begins */
} kt_rows;
/* For rows of this shape behind its first `axes`. */
kt_rows kt_rows_plan(const kt_lower *lower, int rank, const kt_dim *dims, int axes);
int64_t kt_rows_scratch(const kt_rows *rows); /* elements of dtype */
/* Prefetches what sweeps will want of rows while this place is swept for the last reduction or, making, in the end. */
void kt_rows_prefetch(kt_lower *lower, const kt_position *at, bool making);
/* Where a row begins. */
typedef kt_position kt_row_place(kt_lower *lower, kt_reg row, void *context);
/* Makes the row that begins there. */
typedef void kt_row_body(kt_lower *lower, const kt_position *at, void *context);
void kt_lower_rows(kt_lower *lower, const kt_rows *rows, kt_reg first, kt_reg last, kt_row_place *place,
                   kt_row_body *make, void *context);

/* ---- tile.c ---------------------------------------------------------------------------------- */
/* A product of rows of A and columns of B, C[row, column] = sum over k of A[row, k] * B[k, column], where k
 * runs over nested loops with strides in both. Columns fall into tiles of vectors * lanes; rows into tiles of
 * up to kt_tile_rows rows. */
enum { KT_TILE_LOOPS = KT_MAX_RANK + 1 };

typedef struct kt_tile_loop {
    kt_dim extent, a_stride, b_stride; /* strides in elements */
    kt_reg turns;                      /* instead of extent, where that is known as the kernel runs; else 0 */
} kt_tile_loop;

typedef struct kt_tiling kt_tiling;
/* Takes the sum at (row, column … column + lanes - 1); mask: the columns that there are, or 0. */
typedef void kt_tile_store(kt_lower *lower, const kt_tiling *tiling, kt_reg row, kt_reg column, kt_reg sum,
                           kt_reg mask);

struct kt_tiling {
    uint32_t a, b;            /* buffers */
    kt_dtype dtype;           /* of the sums */
    int lanes, vectors, rows; /* of a tile, at most */
    kt_tile_loop loops[KT_TILE_LOOPS];
    int loop_count;
    kt_dim row_stride;   /* from row to row of A */
    kt_dim columns;      /* how many there are */
    int64_t panel;       /* columns of a packed panel, or 0: rows of B are contiguous */
    kt_dim panel_stride; /* from packed panel to packed panel */
    bool whole_panels;   /* blocks of column tiles begin where panels do */
    bool words;          /* k counts words of A and of B, which is packed */
    bool shorts;         /* words are pairs of i16 */
    bool prefetch;       /* of B, as far ahead as is chosen, */
    int64_t next;        /* or where this is not 0, from the block behind these elements, in equal shares */
    int64_t served;      /* of so many rows */
    /* 0, or how often each k counts: row r is multiplied by B, and what rows r + 1, r + 2 … read of A by what lies
     * tap_stride, twice that … behind. */
    int taps;
    kt_dim tap_stride;
    kt_tile_store *store;
    void *context;
};

/* Chooses tile sizes for sums of dtype; panel 0: B is not packed. */
void kt_tiling_init(kt_lower *lower, kt_tiling *tiling, kt_dtype dtype, int64_t panel, kt_dim columns);
/* Sets taps, if sums are exact in any order and registers hold what taps share. */
bool kt_tiling_take_taps(kt_lower *lower, kt_tiling *tiling, kt_dim taps);
int kt_tile_width(const kt_tiling *tiling); /* columns */
/* The block of rows [0, rows) and column tiles [first, last), from a_base and b_base on. */
void kt_tile_block(kt_lower *lower, const kt_tiling *tiling, kt_reg a_base, kt_reg b_base, kt_reg rows,
                   kt_reg first, kt_reg last);

/* ---- transposed.c ---------------------------------------------------------------------------- */
/* A kernel that transposes and else computes element by element. False: it is not of that form; nothing was emitted. */
bool kt_lower_transposed(kt_lower *lower);

/* ---- accumulate.c ---------------------------------------------------------------------------- */
/* A kernel of one cumulative or scatter, which fusion leaves alone. */
bool kt_lower_cumulative_root(kt_lower *lower, const kt_node_info *node);
bool kt_lower_scatter_root(kt_lower *lower, const kt_node_info *node);

/* ---- contraction.c, conv.c ------------------------------------------------------------------- */
/* The kernel's only heavy operation by tiles. False: it is not of the form that tiles can do; nothing was
 * emitted. */
bool kt_lower_dot_root(kt_lower *lower, const kt_node_info *heavy);
bool kt_lower_conv_root(kt_lower *lower, const kt_node_info *heavy);
bool kt_lower_conv_by_kernel_root(kt_lower *lower, const kt_node_info *heavy); /* conv_by_kernel.c */
/* The group of a feature, of `features` in each; as an index along the axis where groups are single features. */
kt_axis_index kt_lower_group_of(kt_lower *lower, int64_t groups, kt_dim features, kt_axis_index feature, int lanes);
/* Where the input pixel of the first output pixel of an image row lies; rows are counted through batch and space. */
kt_reg kt_lower_line_begin(kt_lower *lower, const kt_type *x, const kt_type *result, const kt_ints *strides, kt_reg line);

/* ---- grouped.c ------------------------------------------------------------------------------- */
/* How the lanes of a vector lie over the features of groups, and over the channels that these see. */
typedef struct kt_group_lanes {
    kt_dtype dtype; /* of what is computed */
    int64_t groups, channels, features; /* of a group */
    bool all_channels;
    int lanes, span;                    /* features in a vector; channels that are loaded for them, from the first group's on */
    int64_t side_by_side, used;         /* groups of a vector, and their features in it */
    int64_t parts;                      /* vectors of a group: 1, but where it has more features than lanes */
    int64_t vectors, whole;             /* of all groups; those before which no load or store passes the last feature or channel */
} kt_group_lanes;
/* all_channels: vectors begin at the first group's first channel, and hold all of each group's; else they begin
 * at the channel that is spread. most_parts: vectors of a group. False: it has more features than these
 * hold, or does not fill them, or their number is not known. */
bool kt_group_lanes_plan(const kt_lower *lower, kt_dtype dtype, int64_t groups, bool all_channels, int64_t most_parts,
                         kt_dim channels, kt_dim features, kt_group_lanes *out_lanes);
typedef struct kt_group_masks {
    kt_reg features, channels; /* or 0: all */
} kt_group_masks;
kt_group_masks kt_group_lanes_masks(kt_lower *lower, const kt_group_lanes *lanes, kt_reg vector);
/* A channel of each group over the group's features. index: where the vector's first group begins in the pixel; channel:
 * of the group, from index on. */
kt_reg kt_group_lanes_spread(kt_lower *lower, const kt_group_lanes *lanes, uint32_t buffer, kt_reg index, int64_t channel,
                             kt_reg mask);
kt_reg kt_group_lanes_load(kt_lower *lower, const kt_group_lanes *lanes, uint32_t buffer, kt_reg index, kt_reg mask);
/* A convolution in groups, by operands that are buffers, and unpadded. False: not of that form; nothing was emitted. */
bool kt_lower_grouped(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t w);

/* conv_by_kernel likewise (grouped_by_kernel.c). False: besides, the window may be too large. */
bool kt_lower_grouped_by_kernel(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t g);

/* conv where groups are single channels and features, padded or not, by operands that are buffers (depthwise.c). False: not of
 * that form; nothing was emitted. */
bool kt_lower_depthwise(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t w);
/* The same as a part of a kernel. x holds the operand as a whole, or, where ring is not 0, that many rows of one image: row r
 * at r mod ring. few: rows are wanted a few at a time. NULL: not of that form. */
typedef struct kt_depthwise kt_depthwise;
kt_depthwise *kt_depthwise_plan(kt_lower *lower, const kt_node_info *heavy, uint32_t x, uint32_t w, int64_t ring, bool few);
/* Takes the sum at a position of the result. */
typedef void kt_depthwise_store(kt_lower *lower, const kt_position *at, kt_reg sum, void *context);
/* Image rows [begin, end) of the result, counted through batch and space. */
void kt_depthwise_rows(kt_lower *lower, kt_depthwise *d, kt_reg begin, kt_reg end, kt_depthwise_store *store, void *context);

/* ---- separable.c ----------------------------------------------------------------------------- */
/* A depthwise convolution and the product of its places; expand: the product that its operand is made of, or NULL
 * (passes/fuse_between.c). False: not of a form that is done by tiles; nothing was emitted. */
bool kt_lower_separable_root(kt_lower *lower, const kt_node_info *expand, const kt_node_info *depthwise, const kt_node_info *last);

/* ---- chained.c ------------------------------------------------------------------------------- */
/* Two products, the second of rows that are made of the first's (passes/fuse_between.c). False: not of a form that is done
 * by tiles; nothing was emitted. */
bool kt_lower_chained_root(kt_lower *lower, const kt_node_info *first, const kt_node_info *second);

/* ---- winograd.c: its operands are buffers, and what follows it is an epilogue (passes/fuse_group.c). ------- */
bool kt_lower_winograd_root(kt_lower *lower, const kt_node_info *node);

/* An operand of a product: matrices in a buffer, by their strides in elements. */
typedef struct kt_matrices {
    uint32_t buffer;
    kt_dim batch[KT_MAX_RANK]; /* from matrix to matrix, along each batch axis */
    kt_dim rows;               /* from row to row; of the first operand */
    kt_dim depth;              /* from product to product; the second operand's columns are adjacent */
} kt_matrices;
/* A product of matrices, [batch, rows, depth] * [batch, depth, columns], as part of either. */
typedef struct kt_product_shape {
    kt_value heavy;
    kt_matrices a, b;
    kt_dim batch, rows, depth, columns;
    int64_t panel;
    bool words; /* depth and strides count them; packed */
    int batch_axes, row_axes; /* of the result; the others are columns */
} kt_product_shape;
void kt_lower_product(kt_lower *lower, const kt_product_shape *shape);
/* The shape of dot_general as such a product; made: its first operand is computed here, and has no buffer. False: it is
 * none. */
bool kt_lower_product_shape(kt_lower *lower, const kt_node_info *heavy, bool made, kt_product_shape *out_shape);
/* The position of the product's result at a row of a matrix, `lanes` columns from column on. */
kt_position kt_lower_product_place(kt_lower *lower, const kt_product_shape *shape, kt_reg batch, kt_reg row, kt_reg column,
                                   int lanes, kt_reg mask);
/* Of words of so many elements; false: not packed, or its depth does not fall into them. */
/* How many elements of the operands make a word of the product's; 1: it is of whole elements. */
int64_t kt_lower_word(const kt_lower *lower, const kt_node_info *node);
/* Makes dim, of elements, one of words; false: they are not whole. */
bool kt_lower_in_words(kt_lower *lower, int64_t word, kt_dim *dim);
bool kt_lower_word_product(kt_lower *lower, const kt_product_shape *shape, int64_t word);

/* Of a single column, where the depth lies side by side in both operands, and no result is transposed (dots.c). False: not of that
 * form; nothing was emitted. */
bool kt_lower_dots(kt_lower *lower, const kt_product_shape *shape);

/* ---- deep.c ---------------------------------------------------------------------------------- */
/* A product for each outer index, C[row, column] = sum over depth of A[depth, row] * B[depth, column], rows of A and columns
 * of B adjacent. Depth is a nest of axes. */
typedef struct kt_deep_shape kt_deep_shape;
struct kt_deep_shape {
    kt_value heavy;
    uint32_t a, b; /* buffers */
    kt_dim outer, rows, columns;
    int axis_count;
    kt_tile_loop axes[KT_TILE_LOOPS];
    /* Where the first element begins in each. */
    kt_reg (*a_begin)(kt_lower *lower, const kt_deep_shape *shape, kt_reg outer);
    kt_reg (*b_begin)(kt_lower *lower, const kt_deep_shape *shape, kt_reg outer);
    /* The result's position at a row, `lanes` columns from column on. */
    kt_position (*place)(kt_lower *lower, const kt_deep_shape *shape, kt_reg outer, kt_reg row, kt_reg column, int lanes);
    const void *context;
};
void kt_lower_deep(kt_lower *lower, const kt_deep_shape *shape);
/* ---- blas.c: by calls of a BLAS, where the target wants that. False: not of that form; nothing was emitted. -------- */
bool kt_lower_blas_product(kt_lower *lower, const kt_product_shape *shape);
/* Nothing is padded; a, b: the operands' buffers. */
bool kt_lower_blas_conv(kt_lower *lower, const kt_node_info *conv, uint32_t a, uint32_t b);
/* Where matrix number batch begins in its buffer (contraction.c). */
kt_reg kt_lower_matrix_begin(kt_lower *lower, const kt_product_shape *shape, kt_reg batch, const kt_matrices *matrices);
/* Are all results of the heavy operation's shape, and what depends on it elementwise? */
bool kt_lower_has_epilogue_only(const kt_lower *lower, const kt_node_info *heavy);
/* Stores all results where the heavy value's sum is known. */
void kt_lower_epilogue(kt_lower *lower, kt_value heavy, const kt_position *at, kt_reg sum);
/* The element (depth, column) of the packed second operand of node; the column's panels begin at first_panel. */
kt_reg kt_lower_packed(kt_lower *lower, const kt_node_info *node, kt_reg depth, kt_reg column, kt_reg first_panel,
                       const kt_position *at);

#endif
