/* Products one of which is made of another's: which nodes are between them, so that all are one kernel.
 *
 * Products of matrices: of rows that are made of another one's, each by itself, by whatever rows may have.
 * Attention weighs values by a softmax over scores (codegen/lower/chained.c).
 *
 * Products of the places of images: behind a depthwise convolution, and maybe with one in front of that, too,
 * as MobileNets have them; between are elementwise operations (codegen/lower/separable.c). These are taken
 * where it pays: where what would be in memory as a whole is beyond the second cache, a few rows of it are
 * not, and the last product is narrow. */
#include "passes/fuse_impl.h"

enum {
    MOST_BETWEEN = 48,    /* nodes from a product to the one that is chained to it */
    MOST_CHAINED = 8192,  /* columns of the first: some of its rows are to fit into a cache */
    FAR_BYTES = 1 << 20,  /* of an image */
    NEAR_BYTES = 1 << 19, /* of the least rows that are made at once, so that the second cache keeps them */
    WINDOW = 3,           /* of a depthwise convolution */
    NARROWER = 2,         /* as many times are columns fewer than channels */
};

static const kt_node_info *info_of(const kt_grouping *g, kt_node node) {
    return kt_graph_node(g->graph, node);
}

static const kt_type *result_type(const kt_grouping *g, kt_node node) {
    return kt_graph_type(g->graph, info_of(g, node)->first_result);
}

static const kt_type *operand_type(const kt_grouping *g, kt_node node, uint32_t number) {
    return kt_graph_type(g->graph, info_of(g, node)->operands[number]);
}

static kt_node defining(const kt_grouping *g, kt_value value) {
    return kt_graph_value(g->graph, value)->node;
}

static bool is_f32(const kt_grouping *g, kt_node node) {
    return operand_type(g, node, 0)->dtype == KT_F32 && operand_type(g, node, 1)->dtype == KT_F32 &&
           result_type(g, node)->dtype == KT_F32;
}

/* ---- what is between ------------------------------------------------------------------------- */

/* Does node work on rows of the product's result, `row`, each by itself, and may be on all of a row at once?
 * pair: what is made of these is marked so. */
static bool works_on_rows(const kt_grouping *g, kt_node node, const kt_type *row, bool at_once,
                          uint32_t pair) {
    const kt_node_info *info = kt_graph_node(g->graph, node);
    const kt_type *type = result_type(g, node);
    kt_type reduced;
    int outer = 0;
    if (info->op == KT_OP_reduce)
        return at_once && kt_fuse_reduces_rows(g, node, &reduced, &outer) && outer == row->rank - 1 &&
               kt_type_same_shape(&reduced, row);
    if (type->rank != row->rank && type->rank != row->rank - 1) return false;
    for (int axis = 0; axis < type->rank; axis++)
        if (type->dims[axis] != row->dims[axis]) return false;
    if (info->op != KT_OP_broadcast) return kt_op_is(info->op, KT_ELEMENTWISE);
    const kt_ints *axes = &((const kt_attrs_broadcast *)info->attrs)->axes;
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->at[i] != i) return false;
    return g->pairs[defining(g, info->operands[0])] == pair && type->rank == row->rank;
}

typedef bool is_product(const kt_grouping *g, kt_node node);

/* The nearest such node in front of node number `second`, whose first operand has the shape of its result; 0:
 * none. */
static kt_node first_of(const kt_grouping *g, uint32_t second, is_product *is) {
    const kt_type *row = operand_type(g, g->function->nodes.at[second], 0);
    for (uint32_t back = 1; back <= second && back < MOST_BETWEEN; back++) {
        kt_node node = g->function->nodes.at[second - back];
        if (g->live[node] && is(g, node) && kt_type_same_shape(result_type(g, node), row)) return node;
    }
    return 0;
}

/* The number of node, which is at most i. */
static uint32_t place_before(const kt_grouping *g, kt_node node, uint32_t i) {
    while (g->function->nodes.at[i] != node) i--;
    return i;
}

/* Marks what is made of the first product's result, the product itself included. False: some of it is used
 * elsewhere than for the second's first operand, or does not go row by row. */
static bool mark_between(const kt_grouping *g, kt_node first, uint32_t second, bool at_once, uint32_t pair) {
    kt_node last = g->function->nodes.at[second];
    const kt_type *row = result_type(g, first);
    uint32_t used = 0, uses = 0;
    for (uint32_t i = place_before(g, first, second); i <= second; i++) {
        kt_node node = g->function->nodes.at[i];
        const kt_node_info *info = info_of(g, node);
        uint32_t operands = 0;
        for (uint32_t k = 0; k < info->operand_count && g->live[node]; k++)
            operands += g->pairs[defining(g, info->operands[k])] == pair;
        used += operands;
        if (node == last) break;
        if (node != first && operands == 0) continue;
        if (node != first && !works_on_rows(g, node, row, at_once, pair)) return false;
        g->pairs[node] = pair;
        uses += g->uses[info->first_result];
    }
    const kt_node_info *info = info_of(g, last);
    return used == uses && g->pairs[defining(g, info->operands[0])] == pair &&
           g->pairs[defining(g, info->operands[1])] != pair;
}

/* The number of the two as a pair, by which what is between is marked; 0: they are none, or the first is the
 * last of one. */
static uint32_t find_pair(kt_grouping *g, kt_node first, uint32_t second, bool at_once) {
    for (uint32_t i = 0; i < second && first; i++)
        if (g->between[g->function->nodes.at[i]] == first) return 0;
    return first && mark_between(g, first, second, at_once, ++g->pair_count) ? g->pair_count : 0;
}

static void take(kt_grouping *g, uint32_t pair, uint32_t second, kt_node last) {
    for (uint32_t i = 0; i < second; i++)
        if (g->pairs[g->function->nodes.at[i]] == pair) g->between[g->function->nodes.at[i]] = last;
}

/* ---- products of matrices -------------------------------------------------------------------- */

/* Is node a product of matrices of floats, [batch…, rows…, depth] * [batch…, depth, columns], neither packed?
 */
static bool multiplies_matrices(const kt_grouping *g, kt_node node) {
    const kt_node_info *info = info_of(g, node);
    if (info->op != KT_OP_dot_general || !kt_fuse_takes_epilogue(g, node) || !is_f32(g, node)) return false;
    const kt_attrs_dot_general *attrs = info->attrs;
    uint32_t batch = attrs->lhs_batch.count;
    if (attrs->panel || attrs->lhs_contract.count != 1 || info->operands[0] == info->operands[1])
        return false;
    for (uint32_t i = 0; i < batch; i++)
        if (attrs->lhs_batch.at[i] != i || attrs->rhs_batch.at[i] != i) return false;
    return attrs->lhs_contract.at[0] == operand_type(g, node, 0)->rank - 1 &&
           attrs->rhs_contract.at[0] == batch && operand_type(g, node, 1)->rank == (int)batch + 2;
}

static void chain_matrices(kt_grouping *g, uint32_t second) {
    kt_node node = g->function->nodes.at[second];
    int64_t columns;
    if (!multiplies_matrices(g, node)) return;
    const kt_type *made = operand_type(g, node, 0);
    if (!kt_dim_is_const(g->graph->dims, made->dims[made->rank - 1], &columns) || columns > MOST_CHAINED)
        return;
    kt_node first = first_of(g, second, multiplies_matrices);
    uint32_t pair = find_pair(g, first, second, true);
    if (!pair) return;
    const kt_attrs_dot_general *attrs = info_of(g, node)->attrs, *own = info_of(g, first)->attrs;
    if (own->lhs_batch.count == attrs->lhs_batch.count) take(g, pair, second, node);
}

/* ---- products of places ---------------------------------------------------------------------- */

/* Is node a product of each place of an image, of a known size, [image, row, column, depth] * [depth,
 * columns]?
 */
static bool multiplies_places(const kt_grouping *g, kt_node node) {
    const kt_node_info *info = info_of(g, node);
    if (info->op != KT_OP_dot_general || !kt_fuse_takes_epilogue(g, node) || !is_f32(g, node)) return false;
    const kt_attrs_dot_general *attrs = info->attrs;
    const kt_type *type = result_type(g, node);
    int64_t size;
    for (int axis = 1; axis < type->rank; axis++)
        if (!kt_dim_is_const(g->graph->dims, type->dims[axis], &size)) return false;
    return type->rank == 4 && attrs->lhs_batch.count == 0 && attrs->lhs_contract.count == 1 &&
           attrs->lhs_contract.at[0] == 3 && operand_type(g, node, 0)->rank == 4 &&
           (attrs->panel || attrs->rhs_contract.at[0] == 0);
}

/* Is node a depthwise convolution that the tiles of codegen/lower/depthwise.c can do, whatever registers
 * there are? */
static bool is_depthwise(const kt_grouping *g, kt_node node) {
    const kt_node_info *info = info_of(g, node);
    kt_dim_pool *dims = g->graph->dims;
    if (info->op != KT_OP_conv || !is_f32(g, node)) return false;
    const kt_attrs_conv *attrs = info->attrs;
    const kt_type *x = operand_type(g, node, 0), *w = operand_type(g, node, 1), *type = result_type(g, node);
    int64_t size;
    if (attrs->panel || x->rank != 4 || !kt_dim_equals(dims, x->dims[3], attrs->groups) ||
        !kt_dim_equals(dims, type->dims[3], attrs->groups))
        return false;
    for (int i = 0; i < 2; i++)
        if (!kt_dim_equals(dims, w->dims[i], WINDOW) || attrs->strides.at[i] > WINDOW ||
            attrs->dilation.at[i] != 1 || attrs->input_dilation.at[i] != 1 ||
            !kt_dim_is_const(dims, attrs->low.at[i], &size) || size < 0 || size > 1 ||
            !kt_dim_is_const(dims, attrs->high.at[i], &size) || size < 0 || size > 1 ||
            !kt_dim_is_const(dims, x->dims[i + 1], &size) ||
            !kt_dim_is_const(dims, type->dims[i + 1], &size) || size == 0)
            return false;
    return true;
}

static int64_t image_bytes(const kt_grouping *g, const kt_type *type) {
    int64_t bytes = (int64_t)kt_dtype_bytes(type->dtype), size;
    for (int axis = 1; axis < type->rank; axis++)
        if (kt_dim_is_const(g->graph->dims, type->dims[axis], &size)) bytes = kt_size_mul(bytes, size);
    return bytes;
}

/* Of a row of places, and, if they are made, too, of the rows under its windows. */
static int64_t row_bytes(const kt_grouping *g, kt_node depthwise, bool expanded) {
    const kt_type *x = operand_type(g, depthwise, 0), *type = result_type(g, depthwise);
    int64_t width = 0, made = 0;
    kt_dim_is_const(g->graph->dims, type->dims[2], &width);
    if (expanded) kt_dim_is_const(g->graph->dims, x->dims[2], &made);
    int64_t place = kt_size_mul(((const kt_attrs_conv *)info_of(g, depthwise)->attrs)->groups,
                                (int64_t)kt_dtype_bytes(type->dtype));
    return kt_size_mul(kt_size_add(width, kt_size_mul(WINDOW, made)), place);
}

/* Without a product in front, windows that move by more than a place read more than is kept from memory. */
static bool pays(const kt_grouping *g, kt_node depthwise, kt_node last, bool expanded) {
    const kt_attrs_conv *attrs = info_of(g, depthwise)->attrs;
    int64_t columns;
    if (!kt_dim_is_const(g->graph->dims, result_type(g, last)->dims[3], &columns) ||
        NARROWER * columns > attrs->groups || row_bytes(g, depthwise, expanded) > NEAR_BYTES)
        return false;
    if (expanded) return image_bytes(g, operand_type(g, depthwise, 0)) >= FAR_BYTES;
    return attrs->strides.at[0] == 1 && attrs->strides.at[1] == 1 &&
           image_bytes(g, result_type(g, depthwise)) >= FAR_BYTES;
}

static void chain_places(kt_grouping *g, uint32_t second) {
    kt_node node = g->function->nodes.at[second];
    kt_node depthwise = multiplies_places(g, node) ? first_of(g, second, is_depthwise) : 0;
    uint32_t pair = find_pair(g, depthwise, second, false);
    if (!pair) return;
    uint32_t place = place_before(g, depthwise, second);
    uint32_t expanding = find_pair(g, first_of(g, place, multiplies_places), place, false);
    if (!pays(g, depthwise, node, expanding > 0)) return;
    take(g, pair, second, node);
    if (expanding) take(g, expanding, place, node);
}

void kt_fuse_find_between(kt_grouping *g) {
    g->pairs = KT_NEW_ARRAY(g->run->scratch, uint32_t, g->graph->nodes.count);
    for (uint32_t i = 0; i < g->function->nodes.count && g->run->options->level > 0; i++) {
        if (!g->live[g->function->nodes.at[i]]) continue;
        chain_matrices(g, i);
        chain_places(g, i);
    }
}
