/* Gradients of operations that only move elements: each is the move back, and where an element went to
 * several places, their sum. */
#include "ir/gradient/gradient_impl.h"

#include "ir/gradient/resize.h"

void kt_vjp_reshape(kt_vjp *v) {
    const kt_type type = kt_vjp_type(v, kt_vjp_operand(v, 0));
    v->derivatives[0] = kt_build_reshape(v->builder, v->cotangents[0], type.rank, type.dims);
}

void kt_vjp_transpose(kt_vjp *v) {
    const kt_ints *axes = &((const kt_attrs_transpose *)v->node->attrs)->axes;
    int64_t back[KT_MAX_RANK];
    for (uint32_t i = 0; i < axes->count; i++) back[axes->at[i]] = i;
    v->derivatives[0] = kt_build_transpose(v->builder, v->cotangents[0], back);
}

/* The sum over the axes that are new, or were of size 1. */
void kt_vjp_broadcast(kt_vjp *v) {
    const kt_ints *axes = &((const kt_attrs_broadcast *)v->node->attrs)->axes;
    const kt_type from = kt_vjp_type(v, kt_vjp_operand(v, 0)), to = kt_vjp_type(v, kt_vjp_result(v));
    kt_dim_pool *pool = v->builder->graph->dims;
    int64_t summed[KT_MAX_RANK];
    uint32_t count = 0, k = 0;
    for (int i = 0; i < to.rank; i++) {
        bool own = k < axes->count && axes->at[k] == i;
        if (!own || (kt_dim_equals(pool, from.dims[k], 1) && !kt_dim_equals(pool, to.dims[i], 1)))
            summed[count++] = i;
        k += own;
    }
    kt_value sum = v->cotangents[0];
    if (count > 0) sum = kt_build_reduce(v->builder, sum, KT_REDUCE_SUM, count, summed);
    if (!kt_type_equal(&from, kt_build_type(v->builder, sum)))
        sum = kt_build_reshape(v->builder, sum, from.rank, from.dims);
    v->derivatives[0] = sum;
}

void kt_vjp_slice(kt_vjp *v) {
    const kt_attrs_slice *attrs = v->node->attrs;
    const kt_type from = kt_vjp_type(v, kt_vjp_operand(v, 0)), to = kt_vjp_type(v, kt_vjp_result(v));
    kt_dim_pool *pool = v->builder->graph->dims;
    kt_resize axes[KT_MAX_RANK];
    for (int i = 0; i < from.rank; i++) {
        int64_t interior = attrs->strides.at[i] - 1;
        kt_dim used = kt_dim_add(pool, attrs->start.at[i], kt_gradient_stretched(pool, to.dims[i], interior));
        axes[i] = (kt_resize){.low = attrs->start.at[i],
                              .high = kt_dim_sub(pool, from.dims[i], used),
                              .high_sign = kt_dim_const(pool, 0),
                              .interior = interior};
    }
    v->derivatives[0] = kt_gradient_resize(v->builder, v->cotangents[0], 0, axes);
}

void kt_vjp_pad(kt_vjp *v) {
    const kt_attrs_pad *attrs = v->node->attrs;
    const kt_type from = kt_vjp_type(v, kt_vjp_operand(v, 0)), to = kt_vjp_type(v, kt_vjp_result(v));
    kt_dim_pool *pool = v->builder->graph->dims;
    kt_dim limit[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK], all[KT_MAX_RANK];
    for (int i = 0; i < from.rank; i++) {
        strides[i] = attrs->interior.at[i] + 1;
        limit[i] = kt_dim_sub(pool, to.dims[i], attrs->high.at[i]);
        all[i] = i;
    }
    kt_value inside = kt_build_slice(v->builder, v->cotangents[0], attrs->low.at, limit, strides);
    if (v->wanted[0]) v->derivatives[0] = inside;
    if (!v->wanted[1]) return;
    kt_value total = kt_build_reduce(v->builder, v->cotangents[0], KT_REDUCE_SUM, to.rank, all);
    kt_value own = kt_build_reduce(v->builder, inside, KT_REDUCE_SUM, from.rank, all);
    v->derivatives[1] = kt_build_sub(v->builder, total, own);
}

void kt_vjp_concat(kt_vjp *v) {
    int axis = (int)((const kt_attrs_concat *)v->node->attrs)->axis;
    const kt_type to = kt_vjp_type(v, kt_vjp_result(v));
    kt_dim_pool *pool = v->builder->graph->dims;
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK], at = kt_dim_const(pool, 0);
    int64_t strides[KT_MAX_RANK];
    for (int i = 0; i < to.rank; i++) {
        start[i] = kt_dim_const(pool, 0);
        limit[i] = to.dims[i];
        strides[i] = 1;
    }
    for (uint32_t k = 0; k < v->node->operand_count; k++) {
        kt_dim next = kt_dim_add(pool, at, kt_vjp_type(v, kt_vjp_operand(v, k)).dims[axis]);
        start[axis] = at;
        limit[axis] = next;
        if (v->wanted[k])
            v->derivatives[k] = kt_build_slice(v->builder, v->cotangents[0], start, limit, strides);
        at = next;
    }
}

void kt_vjp_reverse(kt_vjp *v) {
    const kt_ints *axes = &((const kt_attrs_reverse *)v->node->attrs)->axes;
    v->derivatives[0] = kt_build_reverse(v->builder, v->cotangents[0], axes->count, axes->at);
}

/* Scattered to where it was picked. scatter drops positions out of range, which gather clamps. */
void kt_vjp_gather(kt_vjp *v) {
    const kt_attrs_gather *attrs = v->node->attrs;
    kt_builder *b = v->builder;
    kt_value x = kt_vjp_operand(v, 0), positions = kt_build_cast(b, kt_vjp_operand(v, 1), KT_I64);
    const kt_type places = kt_vjp_type(v, positions);
    kt_value last =
        kt_build_size(b, kt_dim_add_const(b->graph->dims, kt_vjp_type(v, x).dims[attrs->axis], -1));
    positions = kt_build_maximum(b, positions, kt_vjp_number(v, positions, 0));
    positions = kt_build_minimum(b, positions, kt_build_broadcast_to(b, last, places.rank, places.dims));
    const kt_attrs_scatter scatter = {
        .kind = KT_REDUCE_SUM, .axis = attrs->axis, .batch_dims = attrs->batch_dims};
    v->derivatives[0] = kt_build_scatter(b, kt_vjp_number(v, x, 0), positions, v->cotangents[0], &scatter);
}
