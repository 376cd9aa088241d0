/* Gradients of products and convolutions: each is a product or convolution again.
 *
 * dot_general  by the first operand: cotangent * second, over the second's free axes; by the second: first *
 *              cotangent, over the first's free axes
 * conv         by the input: a convolution of the cotangent, `strides` apart, with the kernel turned round,
 *              whose channels and features have changed places; by the kernel: conv_by_kernel; or, where
 * there are gaps, a convolution of the input with the cotangent, batch and channels having changed places in
 * both: strides become dilation and the other way round. With groups, a group's batch elements are the
 * channels of its group conv_by_kernel  is linear in both, so: by the input as conv; by the cotangent: the
 * convolution with what came for it */
#include "ir/gradient/gradient_impl.h"

#include "ir/gradient/resize.h"

/* Fails for operands that are packed or rounded, which the passes do at the very end. */
static bool is_plain(const kt_vjp *v, int64_t panel, int64_t wide) {
    if (panel == 0 && wide == 0) return true;
    kt_build_fail(v->builder, KT_UNSUPPORTED, "There is no gradient of %s with %s.",
                  kt_op_describe(v->node->op)->name, panel ? "a packed operand" : "wide sums");
    return false;
}

/* ---- dot_general ----------------------------------------------------------------------------- */

static kt_ints free_axes(int rank, const kt_ints *batch, const kt_ints *contract) {
    kt_ints axes = {0};
    for (int i = 0; i < rank; i++)
        if (!kt_ints_hold(batch, i) && !kt_ints_hold(contract, i)) axes.at[axes.count++] = i;
    return axes;
}

static kt_ints counted(uint32_t from, uint32_t count) {
    kt_ints axes = {.count = count};
    for (uint32_t i = 0; i < count; i++) axes.at[i] = from + i;
    return axes;
}

/* The axes of paired, in the order in which they stand in the operand that has `own` in their place. */
static void add_paired(kt_ints *order, const kt_ints *paired, const kt_ints *own, int rank) {
    for (int axis = 0; axis < rank; axis++)
        for (uint32_t i = 0; i < own->count; i++)
            if (own->at[i] == axis) order->at[order->count++] = paired->at[i];
}

static void add_all(kt_ints *order, const kt_ints *axes) {
    for (uint32_t i = 0; i < axes->count; i++) order->at[order->count++] = axes->at[i];
}

/* x, whose axis i is to be axis order[i]. */
static kt_value in_order(const kt_vjp *v, kt_value x, const kt_ints *order) {
    int64_t axes[KT_MAX_RANK];
    bool still = true;
    for (uint32_t i = 0; i < order->count; i++) {
        axes[order->at[i]] = i;
        still = still && order->at[i] == i;
    }
    return still ? x : kt_build_transpose(v->builder, x, axes);
}

void kt_vjp_dot_general(kt_vjp *v) {
    const kt_attrs_dot_general *attrs = v->node->attrs;
    kt_value x = kt_vjp_operand(v, 0), y = kt_vjp_operand(v, 1), g = v->cotangents[0];
    int x_rank = kt_vjp_type(v, x).rank, y_rank = kt_vjp_type(v, y).rank;
    if (!is_plain(v, attrs->panel, attrs->wide)) return;
    const kt_ints x_free = free_axes(x_rank, &attrs->lhs_batch, &attrs->lhs_contract);
    const kt_ints y_free = free_axes(y_rank, &attrs->rhs_batch, &attrs->rhs_contract);
    const kt_ints batch = counted(0, attrs->lhs_batch.count), g_x = counted(batch.count, x_free.count);
    const kt_ints g_y = counted(batch.count + x_free.count, y_free.count);
    if (v->wanted[0]) {
        const kt_attrs_dot_general dot = {
            .lhs_batch = batch, .rhs_batch = attrs->rhs_batch, .lhs_contract = g_y, .rhs_contract = y_free};
        kt_ints order = attrs->lhs_batch;
        add_all(&order, &x_free);
        add_paired(&order, &attrs->lhs_contract, &attrs->rhs_contract, y_rank);
        v->derivatives[0] = in_order(v, kt_build_dot_general(v->builder, g, y, &dot), &order);
    }
    if (v->wanted[1]) {
        const kt_attrs_dot_general dot = {
            .lhs_batch = attrs->lhs_batch, .rhs_batch = batch, .lhs_contract = x_free, .rhs_contract = g_x};
        kt_ints order = attrs->rhs_batch;
        add_paired(&order, &attrs->rhs_contract, &attrs->lhs_contract, x_rank);
        add_all(&order, &y_free);
        v->derivatives[1] = in_order(v, kt_build_dot_general(v->builder, x, g, &dot), &order);
    }
}

/* ---- conv ------------------------------------------------------------------------------------ */

typedef struct convolving {
    const kt_vjp *v;
    const kt_attrs_conv *attrs;
    kt_type input, kernel;
    int spatial;
} convolving;

static kt_slid slid(const convolving *c, int i) {
    return (kt_slid){.size = c->input.dims[i + 1],
                     .window = c->kernel.dims[i],
                     .low = c->attrs->low.at[i],
                     .high = c->attrs->high.at[i],
                     .gap = c->attrs->input_dilation.at[i],
                     .stride = c->attrs->strides.at[i],
                     .dilation = c->attrs->dilation.at[i]};
}

/* Resizes x's spatial axes, which begin with `first`: by the convolution itself where they only grow, else x
 * before. */
static kt_value resize(const convolving *c, kt_value x, int first, const kt_resize *axes,
                       kt_attrs_conv *conv) {
    kt_dim_pool *pool = c->v->builder->graph->dims;
    kt_dim zero = kt_dim_const(pool, 0);
    kt_resize before[KT_MAX_RANK];
    for (int i = 0; i < KT_MAX_RANK; i++) before[i] = (kt_resize){.low = zero, .high = zero};
    for (int i = 0; i < c->spatial; i++) {
        bool grows = kt_dim_at_least(pool, axes[i].low, 0) && kt_dim_at_least(pool, axes[i].high_sign, 0);
        conv->low.at[i] = grows ? axes[i].low : zero;
        conv->high.at[i] = grows ? axes[i].high : zero;
        conv->input_dilation.at[i] = grows ? axes[i].interior + 1 : 1;
        if (!grows) before[first + i] = axes[i];
    }
    conv->low.count = conv->high.count = conv->input_dilation.count = (uint32_t)c->spatial;
    return kt_gradient_resize(c->v->builder, x, 0, before);
}

/* x's axes in this order, with axis `at`, of what `groups` fold, as two: groups and the rest. Both steps at
 * once are what swaps the two last axes of each group. */
static kt_value split_groups(const convolving *c, kt_value x, int at) {
    kt_type type = kt_vjp_type(c->v, x);
    kt_dim_pool *pool = c->v->builder->graph->dims;
    kt_dim groups = kt_dim_const(pool, c->attrs->groups), rest = kt_dim_floordiv(pool, type.dims[at], groups);
    for (int i = type.rank++; i > at + 1; i--) type.dims[i] = type.dims[i - 1];
    type.dims[at] = groups;
    type.dims[at + 1] = rest;
    return kt_build_reshape(c->v->builder, x, type.rank, type.dims);
}

/* Axes `at` and the one behind as one. */
static kt_value join_axes(const convolving *c, kt_value x, int at) {
    kt_type type = kt_vjp_type(c->v, x);
    type.dims[at] = kt_dim_mul(c->v->builder->graph->dims, type.dims[at], type.dims[at + 1]);
    for (int i = at + 1; i + 1 < type.rank; i++) type.dims[i] = type.dims[i + 1];
    return kt_build_reshape(c->v->builder, x, type.rank - 1, type.dims);
}

/* [window…, channels / groups, features] turned round, as [window…, features / groups, channels]. */
static kt_value turned_kernel(const convolving *c, kt_value kernel) {
    kt_builder *b = c->v->builder;
    int64_t axes[KT_MAX_RANK + 1];
    int s = c->spatial;
    for (int i = 0; i < s; i++) axes[i] = i;
    kernel = kt_build_reverse(b, kernel, (uint32_t)s, axes);
    if (c->attrs->groups == 1) {
        axes[s] = s + 1, axes[s + 1] = s;
        return kt_build_transpose(b, kernel, axes);
    }
    axes[s] = s + 2, axes[s + 1] = s + 1, axes[s + 2] = s;
    return join_axes(c, kt_build_transpose(b, split_groups(c, kernel, s + 1), axes), s + 1);
}

static kt_value by_input(const convolving *c, kt_value cotangent, kt_value kernel) {
    kt_attrs_conv conv = {
        .strides = c->attrs->input_dilation, .dilation = c->attrs->dilation, .groups = c->attrs->groups};
    kt_resize axes[KT_MAX_RANK] = {{0}};
    for (int i = 0; i < c->spatial; i++) {
        const kt_slid own = slid(c, i);
        axes[i] = kt_gradient_slide_back(c->v->builder->graph->dims, &own);
    }
    kt_value g = resize(c, cotangent, 1, axes, &conv);
    return kt_build_conv(c->v->builder, g, turned_kernel(c, kernel), &conv);
}

/* The input as [channels / groups, space…, groups * batch]. */
static kt_value swapped_input(const convolving *c) {
    kt_builder *b = c->v->builder;
    kt_value x = kt_vjp_operand(c->v, 0);
    int64_t axes[KT_MAX_RANK + 1];
    int s = c->spatial;
    for (int i = 1; i <= s; i++) axes[i] = i;
    if (c->attrs->groups == 1) {
        axes[0] = s + 1, axes[s + 1] = 0;
        return kt_build_transpose(b, x, axes);
    }
    axes[0] = s + 2, axes[s + 1] = s + 1, axes[s + 2] = 0;
    return join_axes(c, kt_build_transpose(b, split_groups(c, x, s + 1), axes), s + 1);
}

/* As conv_by_kernel; 0: there are gaps or a window that is not known. */
static kt_value by_plain_kernel(const convolving *c) {
    const kt_attrs_conv *attrs = c->attrs;
    kt_attrs_conv_by_kernel by = {.strides = attrs->strides,
                                  .low = attrs->low,
                                  .high = attrs->high,
                                  .dilation = attrs->dilation,
                                  .groups = attrs->groups};
    by.window.count = (uint32_t)c->spatial;
    for (int i = 0; i < c->spatial; i++)
        if (attrs->input_dilation.at[i] != 1 ||
            !kt_dim_is_const(c->v->builder->graph->dims, c->kernel.dims[i], &by.window.at[i]))
            return 0;
    return kt_build_conv_by_kernel(c->v->builder, kt_vjp_operand(c->v, 0), c->v->cotangents[0], &by);
}

static kt_value by_kernel(const convolving *c) {
    kt_builder *b = c->v->builder;
    kt_value plain = by_plain_kernel(c);
    if (plain) return plain;
    kt_attrs_conv conv = {
        .strides = c->attrs->dilation, .dilation = c->attrs->strides, .groups = c->attrs->groups};
    kt_resize axes[KT_MAX_RANK] = {{0}};
    int64_t order[KT_MAX_RANK];
    int s = c->spatial;
    for (int i = 0; i < s; i++) {
        const kt_slid own = slid(c, i);
        axes[i] = kt_gradient_touched(b->graph->dims, &own);
        order[i] = i + 1;
    }
    kt_value x = resize(c, swapped_input(c), 1, axes, &conv);
    order[s] = 0, order[s + 1] = s + 1; /* [space…, batch, features] */
    kt_value y = kt_build_conv(b, x, kt_build_transpose(b, c->v->cotangents[0], order), &conv);
    return kt_build_transpose(b, y,
                              order); /* [channels, window…, features] to [window…, channels, features] */
}

void kt_vjp_conv(kt_vjp *v) {
    const kt_attrs_conv *attrs = v->node->attrs;
    const convolving c = {.v = v,
                          .attrs = attrs,
                          .input = kt_vjp_type(v, kt_vjp_operand(v, 0)),
                          .kernel = kt_vjp_type(v, kt_vjp_operand(v, 1)),
                          .spatial = (int)attrs->strides.count};
    if (!is_plain(v, attrs->panel, attrs->wide)) return;
    if (attrs->groups > 1 && c.input.rank == KT_MAX_RANK) {
        kt_build_fail(v->builder, KT_UNSUPPORTED,
                      "There is no gradient of a convolution in groups over %d dimensions.", KT_MAX_RANK);
        return;
    }
    if (v->wanted[0]) v->derivatives[0] = by_input(&c, v->cotangents[0], kt_vjp_operand(v, 1));
    if (v->wanted[1]) v->derivatives[1] = by_kernel(&c);
}

void kt_vjp_conv_by_kernel(kt_vjp *v) {
    const kt_attrs_conv_by_kernel *attrs = v->node->attrs;
    uint32_t spatial = attrs->strides.count;
    kt_attrs_conv conv = {.strides = attrs->strides,
                          .low = attrs->low,
                          .high = attrs->high,
                          .dilation = attrs->dilation,
                          .input_dilation = {.count = spatial},
                          .groups = attrs->groups};
    for (uint32_t i = 0; i < spatial; i++) conv.input_dilation.at[i] = 1;
    const convolving c = {.v = v,
                          .attrs = &conv,
                          .input = kt_vjp_type(v, kt_vjp_operand(v, 0)),
                          .kernel = kt_vjp_type(v, kt_vjp_result(v)),
                          .spatial = (int)spatial};
    if (v->wanted[0]) v->derivatives[0] = by_input(&c, kt_vjp_operand(v, 1), v->cotangents[0]);
    if (v->wanted[1])
        v->derivatives[1] = kt_build_conv(v->builder, kt_vjp_operand(v, 0), v->cotangents[0], &conv);
}

/* Its kernel is always packed. */
void kt_vjp_winograd(kt_vjp *v) { (void)is_plain(v, 1, 0); }
