/* What operation nodes often say to the builder. */
#include "frontend/operations/operations_impl.h"

kt_value kt_dim_scalar(kt_builder *b, kt_dim dim, kt_dtype dtype) {
    return kt_build_cast(b, kt_build_size(b, dim), dtype);
}

kt_value kt_positions(kt_builder *b, kt_dim size) {
    kt_type type = {.dtype = KT_I64, .rank = 1, .dims = {size}};
    return kt_build_iota(b, &type, 0);
}

kt_value kt_add_number(kt_builder *b, kt_value x, double number) {
    return number == 0 ? x : kt_build_add(b, x, kt_build_like(b, x, number));
}

kt_value kt_dim_like(kt_builder *b, kt_value x, kt_dim dim) {
    kt_type type = *kt_build_type(b, x);
    return kt_build_broadcast_to(b, kt_dim_scalar(b, dim, type.dtype), type.rank, type.dims);
}

kt_value kt_add_dim(kt_builder *b, kt_value x, kt_dim dim) {
    return kt_dim_equals(b->graph->dims, dim, 0) ? x : kt_build_add(b, x, kt_dim_like(b, x, dim));
}

kt_value kt_divide_no_nan(kt_builder *b, kt_value x, kt_value y) {
    kt_value zero = kt_build_like(b, y, 0), none = kt_build_eq(b, y, zero);
    kt_value ratio = kt_build_div(b, x, kt_build_select(b, none, kt_build_like(b, y, 1), y));
    return kt_build_select(b, none, zero, ratio);
}

kt_value kt_mod_dim(kt_builder *b, kt_value x, kt_dim dim) {
    kt_value size = kt_dim_like(b, x, dim);
    return kt_build_rem(b, kt_build_add(b, kt_build_rem(b, x, size), size), size);
}

kt_value kt_add_axis(kt_builder *b, kt_value x, int at) {
    kt_type type = *kt_build_type(b, x);
    kt_dim shape[KT_MAX_RANK];
    if (type.rank == KT_MAX_RANK)
        return kt_build_fail(b, KT_UNSUPPORTED, "its result has more than %d axes.", KT_MAX_RANK);
    for (int i = 0, from = 0; i <= type.rank; i++)
        shape[i] = i == at ? kt_dim_const(b->graph->dims, 1) : type.dims[from++];
    return kt_build_reshape(b, x, type.rank + 1, shape);
}

kt_value kt_drop_axis(kt_builder *b, kt_value x, int at) {
    kt_type type = *kt_build_type(b, x);
    kt_dim shape[KT_MAX_RANK];
    for (int i = 0, to = 0; i < type.rank; i++)
        if (i != at) shape[to++] = type.dims[i];
    return type.rank ? kt_build_reshape(b, x, type.rank - 1, shape) : x;
}

kt_value kt_flatten(kt_builder *b, kt_value x) {
    kt_type type = *kt_build_type(b, x);
    kt_dim all = kt_type_elements(b->graph->dims, &type);
    return type.rank == 1 ? x : kt_build_reshape(b, x, 1, &all);
}

kt_value kt_slice_axis(kt_builder *b, kt_value x, int axis, kt_dim start, kt_dim limit) {
    kt_type type = *kt_build_type(b, x);
    kt_dim starts[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        starts[i] = kt_dim_const(b->graph->dims, 0);
        strides[i] = 1;
    }
    starts[axis] = start;
    type.dims[axis] = limit;
    return kt_build_slice(b, x, starts, type.dims, strides);
}

kt_value kt_move_axis(kt_builder *b, kt_value x, int from, int to) {
    int rank = kt_build_type(b, x)->rank;
    int64_t order[KT_MAX_RANK];
    for (int i = 0, next = 0; i < rank; i++) {
        if (next == from) next++;
        order[i] = i == to ? from : next++;
    }
    return from == to ? x : kt_build_transpose(b, x, order);
}

kt_value kt_open_windows(kt_builder *b, kt_value x, int axis, int64_t window, int64_t stride,
                         int64_t dilation) {
    kt_dim_pool *dims = b->graph->dims;
    kt_dim room = kt_dim_add_const(dims, kt_build_type(b, x)->dims[axis], -(window - 1) * dilation - 1);
    kt_dim places = kt_dim_add_const(dims, kt_dim_floordiv(dims, room, kt_dim_const(dims, stride)), 1);
    places = kt_dim_max(dims, places, kt_dim_const(dims, 0));
    kt_type grid = {.dtype = KT_I64, .rank = 2, .dims = {places, kt_dim_const(dims, window)}};
    kt_value start = kt_build_iota(b, &grid, 0), within = kt_build_iota(b, &grid, 1);
    start = kt_build_mul(b, start, kt_build_like(b, start, (double)stride));
    within = kt_build_mul(b, within, kt_build_like(b, within, (double)dilation));
    return kt_build_gather(b, x, kt_build_add(b, start, within), axis, 0);
}

kt_value kt_reduce_axis(kt_builder *b, kt_value x, kt_reduction kind, int axis) {
    return kt_build_reduce(b, x, kind, 1, (const int64_t[]){axis});
}

kt_value kt_diagonal(kt_builder *b, kt_value x, int64_t offset, int axis1, int axis2) {
    kt_dim_pool *dims = b->graph->dims;
    int last = kt_build_type(b, x)->rank - 1;
    x = kt_move_axis(b, x, axis1, last);
    x = kt_move_axis(b, x, axis2 > axis1 ? axis2 - 1 : axis2, last);
    kt_type type = *kt_build_type(b, x);
    kt_dim rows = type.dims[last - 1], columns = type.dims[last];
    kt_dim below = kt_dim_const(dims, offset < 0 ? -offset : 0),
           right = kt_dim_const(dims, offset > 0 ? offset : 0);
    kt_dim length = kt_dim_min(dims, kt_dim_sub(dims, rows, below), kt_dim_sub(dims, columns, right));
    length = kt_dim_max(dims, length, kt_dim_const(dims, 0));
    type.dims[last - 1] = kt_dim_mul(dims, rows, columns);
    x = kt_build_reshape(b, x, last, type.dims);
    /* Element i stands at (below + i) * columns + right + i. */
    kt_value i = kt_positions(b, length);
    kt_value row = kt_build_mul(b, kt_add_dim(b, i, below), kt_dim_like(b, i, columns));
    return kt_build_gather(b, x, kt_build_add(b, row, kt_add_dim(b, i, right)), last - 1, 0);
}

kt_value kt_diagonal_mask(kt_builder *b, kt_op compare, kt_dim rows, kt_dim columns, int64_t offset) {
    kt_type type = {.dtype = KT_I64, .rank = 2, .dims = {rows, columns}};
    kt_value distance = kt_build_sub(b, kt_build_iota(b, &type, 1), kt_build_iota(b, &type, 0));
    kt_value operands[] = {distance, kt_build_like(b, distance, (double)offset)};
    return kt_build_node(b, compare, operands, 2, NULL);
}
