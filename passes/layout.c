/* Layout: contractions and convolutions, and their weights, in the form that kernels want.
 *
 * A convolution gets its padding, and the gaps of a transposed one, from a pad node before it, but for a
 * depthwise one, whose kernel pads by itself; or a transposed one is computed without gaps (see
 * layout_transposed.c). A dot_general becomes lhs [batch…, rows…, depth] times rhs [batch…, depth, columns],
 * with transposes and reshapes around it. A second operand is packed into panels of target.panel_columns
 * columns, each panel [depth, columns] and the last filled with zeros: a kernel reads it with unit steps.
 * Packing is written with reshape, pad and transpose nodes, which split then moves into `prepare` where they
 * depend on variables alone; what changes is packed in every call, if it is multiplied by rows enough.
 *
 * Weights of a dot_general that are bytes made floats stay bytes: its kernel makes floats of what it has
 * loaded.
 *
 * A convolution by 3 x 3 with enough channels becomes, from -O2 on, a winograd node over a transformed
 * kernel, where that saves more products than its transforms cost; larger windows become sums of
 * blocks of 3 x 3 first. Those along one axis take blocks of 3.
 *
 * Not packed: a single column, whose kernel's lanes run along the depth; integers, which no fast kernel
 * takes, but for u8 by i8, whose depth is packed in fours (as that of bf16 with wide sums is in twos), if it
 * falls into them; weights of convolutions whose groups have no more features than half a panel, whose
 * kernels run along features; what a BLAS multiplies, which packs by itself.
 *
 * requires  nothing
 * keeps     results, to the order of sums
 * breaks    nothing; does nothing a second time */
#include "passes/layout_impl.h"

enum {
    REPAYING_ROWS = 32,
    LINE_FLOATS = 16,
    LINES_IN_FLIGHT = 4, /* of a single row's sums, or as many vectors that are shorter: */
    VECTORS_IN_FLIGHT = 8,
    NEAR_BYTES = 1 << 19, /* of weights that stay in the second cache */
};

/* What is transposed to matrix, or 0. */
static kt_value before_transpose(const kt_layouting *l, kt_value matrix) {
    const kt_node_info *node = kt_graph_definition(l->graph, matrix);
    return node && node->op == KT_OP_transpose && kt_graph_type(l->graph, matrix)->rank == 2
               ? node->operands[0]
               : 0;
}

/* [columns, depth] → [panels, depth, panel] */
static kt_value pack_rows(kt_layouting *l, kt_value rows, int64_t columns, kt_dim depth) {
    int64_t panels = (columns + l->panel - 1) / l->panel;
    kt_dim zero = kt_layout_number(l, 0), missing = kt_layout_number(l, panels * l->panel - columns);
    kt_value fill = kt_build_scalar(l->builder, kt_build_type(l->builder, rows)->dtype, 0);
    if (panels * l->panel > columns)
        rows = kt_build_pad(l->builder, rows, fill, (kt_dim[]){zero, zero}, (kt_dim[]){missing, zero},
                            (int64_t[]){0, 0});
    const kt_dim shape[] = {kt_layout_number(l, panels), kt_layout_number(l, l->panel), depth};
    return kt_build_transpose(l->builder, kt_build_reshape(l->builder, rows, 3, shape), (int64_t[]){0, 2, 1});
}

/* [depth, groups * columns] → [groups * panels, depth, panel] */
static kt_value pack(kt_layouting *l, kt_value matrix, int64_t groups, int64_t columns, kt_dim depth) {
    kt_value rows = groups == 1 ? before_transpose(l, matrix) : 0;
    if (rows) return pack_rows(l, rows, columns, depth);
    int64_t panels = (columns + l->panel - 1) / l->panel;
    kt_dtype dtype = kt_build_type(l->builder, matrix)->dtype;
    const kt_dim none[3] = {kt_layout_number(l, 0), kt_layout_number(l, 0), kt_layout_number(l, 0)};
    const kt_dim behind[3] = {none[0], none[0], kt_layout_number(l, panels * l->panel - columns)};
    kt_value value = kt_build_reshape(
        l->builder, matrix, 3, (kt_dim[]){depth, kt_layout_number(l, groups), kt_layout_number(l, columns)});
    if (panels * l->panel > columns)
        value = kt_build_pad(l->builder, value, kt_build_scalar(l->builder, dtype, 0), none, behind,
                             (int64_t[]){0, 0, 0});
    value = kt_build_reshape(l->builder, value, 4,
                             (kt_dim[]){depth, kt_layout_number(l, groups), kt_layout_number(l, panels),
                                        kt_layout_number(l, l->panel)});
    value = kt_build_transpose(l->builder, value, (int64_t[]){1, 2, 0, 3});
    return kt_build_reshape(
        l->builder, value, 3,
        (kt_dim[]){kt_layout_number(l, groups * panels), depth, kt_layout_number(l, l->panel)});
}

/* What is packed, with the elements of a word, of which there are whole ones, side by side:
 * [panels, depth / word, word * panel]. */
static kt_value pack_words(kt_layouting *l, kt_value packed) {
    const kt_type type = *kt_build_type(l->builder, packed);
    kt_dim word = kt_layout_number(l, l->word);
    if (l->word == 1) return packed;
    kt_dim words = kt_dim_floordiv(l->graph->dims, type.dims[1], word);
    kt_value value =
        kt_build_reshape(l->builder, packed, 4, (kt_dim[]){type.dims[0], words, word, type.dims[2]});
    value = kt_build_transpose(l->builder, value, (int64_t[]){0, 1, 3, 2});
    return kt_build_reshape(l->builder, value, 3,
                            (kt_dim[]){type.dims[0], words, kt_layout_number(l, l->word * l->panel)});
}

/* Do so many elements, or times as many, fall into words? */
static bool in_words(const kt_layouting *l, kt_dim elements) {
    return kt_dim_divisor(l->graph->dims, elements) % l->word == 0;
}

kt_dim kt_layout_product(kt_layouting *l, const kt_dim *dims, uint32_t count) {
    kt_dim result = kt_layout_number(l, 1);
    for (uint32_t i = 0; i < count; i++) result = kt_dim_mul(l->graph->dims, result, dims[i]);
    return result;
}

/* How many columns a single row has sums of at once. */
static int64_t single_columns(const kt_layouting *l) {
    return l->vector * (l->vector >= LINE_FLOATS ? LINES_IN_FLIGHT : VECTORS_IN_FLIGHT);
}

/* The target's panels, or as many vectors as fewer columns take: no zeros are read then. A single row is
 * fastest in one stream, of which it wants more columns at once than panels have: where there may be one,
 * they are of that width, as long as no more zeros are among them and tiles of more rows read whole lines. Of
 * shorter vectors than lines two rows have not the registers for so many columns, and read half of every run;
 * from beyond the second cache that is slower than whole panels of the target's are. */
static int64_t panel_for(const kt_layouting *l, const kt_type *type, kt_dim columns, bool single) {
    int64_t known, elements;
    if (l->vector == 0 || !kt_dim_is_const(l->graph->dims, columns, &known) || known < 1) return l->own_panel;
    int64_t width = (known + l->vector - 1) / l->vector * l->vector, wide = single_columns(l);
    if (width < l->own_panel) return width;
    int64_t whole = (known + l->own_panel - 1) / l->own_panel * l->own_panel;
    bool near = l->vector >= LINE_FLOATS ||
                (kt_dim_is_const(l->graph->dims, kt_type_elements(l->graph->dims, type), &elements) &&
                 elements <= NEAR_BYTES / (int64_t)sizeof(float));
    bool lines = l->own_panel % LINE_FLOATS == 0, even = wide % l->own_panel == 0 && whole % wide == 0;
    return single && near && lines && even && l->word == 1 ? wide : l->own_panel;
}

/* Is this second operand, of so many columns, to be packed, and into which panels? old: the value in the old
 * function; rows: how many rows of the first operand it is multiplied by; single: there may be but one. What
 * changes from call to call is packed in each, which many rows repay. */
static bool packs(kt_layouting *l, kt_value old, kt_dim rows, kt_dim columns, bool single) {
    const kt_type *type = kt_graph_type(l->graph, old);
    int64_t known;
    if (l->panel == 0 || (!kt_dtype_is_float(type->dtype) && l->word == 1)) return false;
    if (!l->fixed[old] && !kt_type_is_static(l->graph->dims, type)) return false;
    bool many = !kt_dim_is_const(l->graph->dims, rows, &known) || known >= REPAYING_ROWS;
    int64_t wanted = l->fixed[old] || many ? panel_for(l, type, columns, single) : 0;
    const char *why = l->fixed[old] ? "weights are packed once"
                      : many        ? "rows repay packing in each call"
                                    : "few rows do not repay packing in each call";
    if (l->vector == 0) return wanted > 0;
    l->choice.form = "layout";
    l->panel = kt_choose(
        &l->choice, KT_KNOB_panel, wanted,
        (kt_range){.least = l->word > 1 ? l->vector : 0, .most = single_columns(l), .step = l->vector}, why);
    return l->panel > 0;
}

/* ---- convolution ----------------------------------------------------------------------------- */

kt_value kt_layout_pad_input(kt_layouting *l, kt_value x, kt_attrs_conv *attrs) {
    kt_dim_pool *dims = l->graph->dims;
    const kt_type type = *kt_build_type(l->builder, x);
    kt_dim low[KT_MAX_RANK] = {0}, high[KT_MAX_RANK] = {0};
    int64_t interior[KT_MAX_RANK] = {0};
    bool any = false;
    low[0] = high[0] = low[type.rank - 1] = high[type.rank - 1] = kt_layout_number(l, 0);
    for (uint32_t i = 0; i < attrs->strides.count; i++) {
        low[i + 1] = attrs->low.at[i];
        high[i + 1] = attrs->high.at[i];
        interior[i + 1] = attrs->input_dilation.at[i] - 1;
        any = any || interior[i + 1] > 0 || !kt_dim_equals(dims, low[i + 1], 0) ||
              !kt_dim_equals(dims, high[i + 1], 0);
        /* An empty input would get gaps by pad's rule that convolution's does not count. */
        if (interior[i + 1] > 0 && !kt_dim_at_least(dims, type.dims[i + 1], 1)) return x;
    }
    if (!any) return x;
    for (uint32_t i = 0; i < attrs->strides.count; i++) {
        attrs->low.at[i] = attrs->high.at[i] = kt_layout_number(l, 0);
        attrs->input_dilation.at[i] = 1;
    }
    return kt_build_pad(l->builder, x, kt_build_scalar(l->builder, type.dtype, 0), low, high, interior);
}

kt_value kt_layout_conv(kt_layouting *l, kt_value x, kt_value kernel, kt_attrs_conv attrs) {
    const kt_type type = *kt_build_type(l->builder, kernel);
    int64_t features = 0, group_channels = 0;
    if (!l->unpacked && !attrs.panel &&
        kt_dim_is_const(l->graph->dims, type.dims[type.rank - 1], &features) &&
        kt_dim_is_const(l->graph->dims, type.dims[type.rank - 2], &group_channels) && features > 0 &&
        !(group_channels == 1 && attrs.groups == features) &&
        !(attrs.groups > 1 && features / attrs.groups <= l->panel / 2)) {
        kt_dim depth = kt_layout_number(l, group_channels);
        attrs.window.count = attrs.strides.count;
        for (uint32_t i = 0; i < attrs.window.count; i++) {
            kt_dim_is_const(l->graph->dims, type.dims[i], &attrs.window.at[i]);
            depth = kt_dim_mul_const(l->graph->dims, depth, attrs.window.at[i]);
        }
        kernel = pack(l, kernel, attrs.groups, features / attrs.groups, depth);
        kernel = pack_words(l, kernel);
        attrs.panel = l->panel;
        attrs.columns = features;
    } else {
        l->choice.form = NULL;
    }
    return kt_build_conv(l->builder, x, kernel, &attrs);
}

/* Each channel by itself, over images whose sizes are known: its kernel pads by leaving products out. */
static bool pads_itself(const kt_layouting *l, const kt_type *x, const kt_type *result,
                        const kt_attrs_conv *attrs) {
    kt_dim_pool *dims = l->graph->dims;
    int axis = result->rank - 1;
    if (!kt_dim_equals(dims, x->dims[axis], attrs->groups) ||
        !kt_dim_equals(dims, result->dims[axis], attrs->groups))
        return false;
    for (uint32_t i = 0; i < attrs->strides.count; i++)
        if (attrs->input_dilation.at[i] != 1 || !kt_dim_is_const(dims, x->dims[i + 1], NULL)) return false;
    return true;
}

/* Such a convolution of what a pad node puts zeros around pads by as much more itself. Returns what it then
 * takes. */
static kt_value before_pad(kt_layouting *l, kt_value old, kt_attrs_conv *attrs) {
    const kt_node_info *node = kt_graph_definition(l->graph, old);
    kt_value x = kt_builder_lookup(l->builder, old);
    double fill = 1;
    if (!node || node->op != KT_OP_pad || !kt_pass_splat(l->graph, node->operands[1], &fill) || fill != 0)
        return x;
    const kt_attrs_pad *pad = node->attrs;
    uint32_t last = attrs->strides.count + 1;
    for (uint32_t i = 0; i <= last; i++) {
        bool spatial = i > 0 && i < last;
        bool none = kt_dim_equals(l->graph->dims, pad->low.at[i], 0) &&
                    kt_dim_equals(l->graph->dims, pad->high.at[i], 0);
        bool some = kt_dim_at_least(l->graph->dims, pad->low.at[i], 0) &&
                    kt_dim_at_least(l->graph->dims, pad->high.at[i], 0);
        if (pad->interior.at[i] != 0 || !(spatial ? some : none)) return x;
    }
    for (uint32_t i = 1; i < last; i++) {
        attrs->low.at[i - 1] = kt_dim_add(l->graph->dims, attrs->low.at[i - 1], pad->low.at[i]);
        attrs->high.at[i - 1] = kt_dim_add(l->graph->dims, attrs->high.at[i - 1], pad->high.at[i]);
    }
    return kt_builder_lookup(l->builder, node->operands[0]);
}

static kt_value lay_conv(kt_layouting *l, const kt_node_info *node) {
    kt_attrs_conv attrs = *(const kt_attrs_conv *)node->attrs;
    kt_value x = kt_builder_lookup(l->builder, node->operands[0]);
    kt_value kernel = kt_builder_lookup(l->builder, node->operands[1]);
    const kt_type result = *kt_graph_type(l->graph, node->first_result);
    bool packable = packs(l, node->operands[1], kt_layout_product(l, result.dims, result.rank - 1),
                          result.dims[result.rank - 1], false);
    /* Words of channels must be whole. */
    kt_dim channels = kt_graph_type(l->graph, node->operands[0])->dims[result.rank - 1];
    if (l->word > 1 && (attrs.groups != 1 || !in_words(l, channels))) packable = false, l->choice.form = NULL;
    kt_value split = packable ? kt_layout_transposed(l, node, x, kernel) : 0;
    if (split) return split;
    kt_value filtered = packable ? kt_layout_winograd(l, node, x, kernel) : 0;
    if (!filtered && packable) filtered = kt_layout_blocks(l, node, x, kernel);
    if (filtered) return filtered;
    kt_value wide = packable ? kt_layout_neighbours(l, node, x, kernel) : 0;
    if (wide) return wide;
    bool itself = pads_itself(l, kt_graph_type(l->graph, node->operands[0]), &result, &attrs);
    x = itself ? before_pad(l, node->operands[0], &attrs) : kt_layout_pad_input(l, x, &attrs);
    return packable ? kt_layout_conv(l, x, kernel, attrs) : kt_build_conv(l->builder, x, kernel, &attrs);
}

static kt_value lay_conv_by_kernel(kt_layouting *l, const kt_node_info *node) {
    kt_attrs_conv_by_kernel attrs = *(const kt_attrs_conv_by_kernel *)node->attrs;
    kt_attrs_conv padding = {
        .strides = attrs.strides, .low = attrs.low, .high = attrs.high, .input_dilation = attrs.strides};
    for (uint32_t i = 0; i < attrs.strides.count; i++) padding.input_dilation.at[i] = 1;
    kt_value x = kt_layout_pad_input(l, kt_builder_lookup(l->builder, node->operands[0]), &padding);
    attrs.low = padding.low;
    attrs.high = padding.high;
    return kt_build_conv_by_kernel(l->builder, x, kt_builder_lookup(l->builder, node->operands[1]), &attrs);
}

/* ---- dot_general ----------------------------------------------------------------------------- */

/* An operand's axes, as batch, own and summed ones. */
typedef struct sides {
    const kt_ints *batch, *contract;
    kt_ints own;
} sides;

static sides find_sides(const kt_type *type, const kt_ints *batch, const kt_ints *contract) {
    sides result = {.batch = batch, .contract = contract};
    for (int64_t i = 0; i < type->rank; i++)
        if (!kt_ints_hold(batch, i) && !kt_ints_hold(contract, i)) result.own.at[result.own.count++] = i;
    return result;
}

/* Axes that become one: [first, first + count) where they follow each other. */
typedef struct axis_block {
    int64_t first, count;
} axis_block;

static bool are_neighbours(const kt_ints *axes) {
    for (uint32_t i = 0; i + 1 < axes->count; i++)
        if (axes->at[i + 1] != axes->at[i] + 1) return false;
    return true;
}

static kt_value reshape_to(kt_layouting *l, kt_value x, int rank, const kt_dim *dims) {
    kt_type wanted = {.dtype = kt_build_type(l->builder, x)->dtype, .rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++) wanted.dims[i] = dims[i];
    return kt_type_equal(kt_build_type(l->builder, x), &wanted) ? x
                                                                : kt_build_reshape(l->builder, x, rank, dims);
}

static kt_value transpose_to(kt_layouting *l, kt_value x, uint32_t count, const int64_t *axes) {
    bool still = true;
    for (uint32_t i = 0; i < count; i++) still = still && axes[i] == (int64_t)i;
    return still ? x : kt_build_transpose(l->builder, x, axes);
}

/* x's axes in these blocks, each as one axis, where they already follow each other in x: reshaped, then
 * transposed, which a kernel can read in place. */
static kt_value arrange_blocks(kt_layouting *l, kt_value x, uint32_t count, const axis_block *blocks) {
    const kt_type type = *kt_build_type(l->builder, x);
    int64_t axes[KT_MAX_RANK];
    kt_dim shape[KT_MAX_RANK];
    for (uint32_t i = 0; i < count; i++) {
        axes[i] = 0;
        for (uint32_t k = 0; k < count; k++)
            axes[i] += blocks[k].first < blocks[i].first || (blocks[k].first == blocks[i].first && k < i);
        shape[axes[i]] = kt_layout_product(l, type.dims + blocks[i].first, (uint32_t)blocks[i].count);
    }
    return transpose_to(l, reshape_to(l, x, (int)count, shape), count, axes);
}

/* x's axes in the order of the lists, of each list but a kept one a single axis; 0: they would be too many.
 */
static kt_value arrange(kt_layouting *l, kt_value x, const kt_ints *const lists[3], const bool merge[3]) {
    const kt_type type = *kt_build_type(l->builder, x);
    int64_t axes[KT_MAX_RANK];
    kt_dim moved[KT_MAX_RANK + 1], shape[2 * KT_MAX_RANK + 1];
    axis_block blocks[2 * KT_MAX_RANK + 1];
    uint32_t count = 0, rank = 0;
    bool neighbours = true;
    for (int k = 0; k < 3; k++) {
        uint32_t begin = count;
        for (uint32_t i = 0; i < lists[k]->count; i++) {
            moved[count] = type.dims[lists[k]->at[i]];
            axes[count++] = lists[k]->at[i];
        }
        if (merge[k]) {
            neighbours = neighbours && are_neighbours(lists[k]);
            blocks[rank] = (axis_block){lists[k]->count ? lists[k]->at[0] : 0, lists[k]->count};
            shape[rank++] = kt_layout_product(l, moved + begin, count - begin);
        }
        for (uint32_t i = begin; !merge[k] && i < count; i++) {
            blocks[rank] = (axis_block){axes[i], 1};
            shape[rank++] = moved[i];
        }
    }
    if (rank > KT_MAX_RANK) return 0;
    if (neighbours) return arrange_blocks(l, x, rank, blocks);
    return reshape_to(l, transpose_to(l, x, count, axes), (int)rank, shape);
}

/* How many rows x has, whose own axes these are; 1 where they lie behind summed ones: the product's kernel
 * then packs for itself. */
static kt_dim rows_of(kt_layouting *l, kt_value x, const kt_ints *own) {
    const kt_type type = *kt_build_type(l->builder, x);
    bool before = true;
    for (uint32_t i = 0; i < own->count; i++) before = before && own->at[i] == i;
    return before ? kt_layout_product(l, type.dims, own->count) : kt_layout_number(l, 1);
}

/* How many elements the axes hold together. */
static kt_dim elements_of(kt_layouting *l, kt_value value, const kt_ints *axes) {
    const kt_type *type = kt_build_type(l->builder, value);
    kt_dim count = kt_layout_number(l, 1);
    for (uint32_t i = 0; i < axes->count; i++)
        count = kt_dim_mul(l->graph->dims, count, type->dims[axes->at[i]]);
    return count;
}

static kt_value lay_dot_general(kt_layouting *l, const kt_node_info *node) {
    const kt_attrs_dot_general *old = node->attrs;
    kt_value x = kt_builder_lookup(l->builder, node->operands[0]),
             y = kt_builder_lookup(l->builder, node->operands[1]);
    if (old->panel) return 0;
    sides lhs = find_sides(kt_build_type(l->builder, x), &old->lhs_batch, &old->lhs_contract);
    sides rhs = find_sides(kt_build_type(l->builder, y), &old->rhs_batch, &old->rhs_contract);
    /* A product of vectors has one row. */
    bool no_rows = lhs.own.count == 0;
    kt_dim all_columns = elements_of(l, y, &rhs.own);
    bool along_depth = l->word == 1 && kt_dim_equals(l->graph->dims, all_columns, 1);
    kt_dim rows = rows_of(l, x, &lhs.own);
    bool packed = lhs.batch->count == 0 && !l->unpacked && !along_depth &&
                  packs(l, node->operands[1], rows, all_columns, kt_dim_divisor(l->graph->dims, rows) == 1);
    kt_value bytes =
        packed && kt_build_type(l->builder, x)->dtype == KT_F32 ? kt_layout_bytes(l, node->operands[1]) : 0;
    if (bytes) y = bytes;
    x = arrange(l, x, (const kt_ints *[]){lhs.batch, &lhs.own, lhs.contract}, (bool[]){false, no_rows, true});
    y = arrange(l, y, (const kt_ints *[]){rhs.batch, rhs.contract, &rhs.own}, (bool[]){false, true, true});
    if (!x || !y) return 0; /* more axes than a tensor can have: left as it is */
    uint32_t batch = lhs.batch->count;
    const kt_type y_type = *kt_build_type(l->builder, y);
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {batch + (no_rows ? 1 : lhs.own.count)}}};
    int64_t columns = 0;
    attrs.wide = old->wide;
    if (packed && !in_words(l, y_type.dims[0])) packed = false, l->choice.form = NULL;
    if (packed && kt_dim_is_const(l->graph->dims, y_type.dims[1], &columns) && columns > 0) {
        y = pack(l, y, 1, columns, y_type.dims[0]);
        y = pack_words(l, y);
        attrs.panel = l->panel;
        attrs.columns = columns;
    } else {
        if (packed) l->choice.form = NULL;
        attrs.rhs_contract = (kt_ints){1, {batch}};
        attrs.lhs_batch.count = attrs.rhs_batch.count = batch;
        for (uint32_t i = 0; i < batch; i++) attrs.lhs_batch.at[i] = attrs.rhs_batch.at[i] = i;
    }
    kt_value value = kt_build_dot_general(l->builder, x, y, &attrs);
    const kt_type *type = kt_graph_type(l->graph, node->first_result);
    if (kt_type_equal(kt_build_type(l->builder, value), type)) return value;
    return kt_build_reshape(l->builder, value, type->rank, type->dims);
}

static int64_t word_of(const kt_graph *graph, const kt_node_info *node) {
    bool dot = node->op == KT_OP_dot_general;
    if (!dot && node->op != KT_OP_conv) return 1;
    int64_t wide =
        dot ? ((const kt_attrs_dot_general *)node->attrs)->wide : ((const kt_attrs_conv *)node->attrs)->wide;
    return kt_product_word(kt_graph_type(graph, node->operands[0]), kt_graph_type(graph, node->operands[1]),
                           wide != 0);
}

static void begin_choice(kt_layouting *l, const kt_pass_run *run, const kt_node_info *node) {
    const kt_tuning *tuning = run->options->tuning;
    kt_text key = {.arena = run->scratch}, path = {.arena = run->scratch};
    if (tuning && (node->op == KT_OP_conv || node->op == KT_OP_dot_general)) {
        kt_operation_print(l->graph, node, &key);
        kt_loc_print(l->graph, node->loc, &path);
    }
    kt_choice_begin(&l->choice, tuning, kt_text_string(&path), kt_text_string(&key));
}

static kt_status layout(kt_pass_run *run, kt_func func) {
    kt_builder builder;
    kt_layouting l = {.graph = run->graph,
                      .builder = &builder,
                      .scratch = run->scratch,
                      .own_panel = run->options->target.panel_columns,
                      .vector = run->options->target.vector_columns,
                      .level = run->options->level};
    l.fixed = kt_pass_fixed(run, kt_graph_function(run->graph, func));
    kt_builder_begin_rewrite(&builder, run->graph, func, run->diag);
    const kt_function old = *kt_graph_function(run->graph, func);
    for (uint32_t i = 0; i < old.nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(run->graph, old.nodes.at[i]);
        kt_value laid = 0;
        builder.loc = node->loc;
        l.panel = l.own_panel;
        begin_choice(&l, run, node);
        l.unpacked = kt_pass_calls_blas(run, node);
        l.word = word_of(run->graph, node);
        bool is_fixed = node->result_count == 1 && l.fixed[node->first_result]; /* the evaluator runs it */
        if (node->op == KT_OP_conv && !is_fixed) laid = lay_conv(&l, node);
        if (node->op == KT_OP_conv_by_kernel && !is_fixed) laid = lay_conv_by_kernel(&l, node);
        if (node->op == KT_OP_dot_general && !is_fixed) laid = lay_dot_general(&l, node);
        kt_tuning_note(run->options->tuning, &l.choice);
        if (laid)
            kt_builder_replace(&builder, node->first_result, laid);
        else
            kt_builder_copy(&builder, old.nodes.at[i]);
    }
    kt_builder_copy_results(&builder);
    KT_TRY(kt_builder_finish(&builder, NULL));
    return kt_pass_drop_dead(run, func);
}

static kt_status run_layout(kt_pass_run *run) { return kt_pass_each(run, layout); }

kt_status kt_pass_layout(kt_graph *graph, const kt_pass_options *options, kt_diag *diag) {
    return kt_pass_start(run_layout, graph, options, diag);
}
