/* The largest element, or the mean, of moving windows and of adaptive ones. */
#include "frontend/layers/windows_impl.h"

#include <string.h>

/* A reduce_window of single elements over a tensor of that rank: what no axis has been given a window of. */
static kt_attrs_reduce_window still_window(kt_dim_pool *dims, int rank, kt_reduction kind) {
    kt_attrs_reduce_window attrs = {.kind = kind};
    attrs.window.count = attrs.strides.count = attrs.dilation.count = (uint32_t)rank;
    attrs.low.count = attrs.high.count = (uint32_t)rank;
    for (int i = 0; i < rank; i++) {
        attrs.window.at[i] = attrs.strides.at[i] = attrs.dilation.at[i] = 1;
        attrs.low.at[i] = attrs.high.at[i] = kt_dim_const(dims, 0);
    }
    return attrs;
}

/* Means are floats, and windows hold numbers. */
static kt_value as_numbers(kt_builder *builder, kt_value x, kt_reduction kind) {
    kt_dtype given = kt_build_type(builder, x)->dtype;
    if (kind == KT_REDUCE_SUM && !kt_dtype_is_float(given)) return kt_build_cast(builder, x, KT_F32);
    return given == KT_BOOL ? kt_build_cast(builder, x, KT_U8) : x;
}

/* How many elements of each window lie inside, spread to sums' shape. */
static kt_value count_elements(kt_builder *builder, const kt_attrs_reduce_window *attrs, kt_type type,
                               kt_value sums) {
    kt_dim_pool *dims = builder->graph->dims;
    bool padded = false;
    double elements = 1;
    for (uint32_t i = 0; i < attrs->window.count; i++) {
        padded |= !kt_dim_equals(dims, attrs->low.at[i], 0) || !kt_dim_equals(dims, attrs->high.at[i], 0);
        elements *= (double)attrs->window.at[i];
    }
    if (!padded) return kt_build_like(builder, sums, elements);
    type.dims[0] = type.dims[type.rank - 1] = kt_dim_const(dims, 1);
    kt_value count = kt_build_reduce_window(builder, kt_build_fill(builder, &type, 1), attrs);
    kt_type shape = *kt_build_type(builder, sums);
    return kt_build_broadcast_to(builder, count, shape.rank, shape.dims);
}

kt_value kt_pool(kt_builder *builder, kt_value x, const kt_ints *window, const kt_sliding *sliding,
                 kt_reduction kind) {
    kt_dim_pool *dims = builder->graph->dims;
    kt_type type = *kt_build_type(builder, x);
    kt_dtype given = type.dtype;
    kt_attrs_reduce_window attrs = still_window(dims, type.rank, kind);
    for (uint32_t i = 0; i < window->count; i++) {
        uint32_t axis = i + 1;
        attrs.window.at[axis] = window->at[i];
        attrs.strides.at[axis] = sliding->strides.at[i];
        if (strcmp(sliding->padding, "same") == 0)
            kt_same_padding(dims, type.dims[axis], window->at[i], sliding->strides.at[i], 1,
                            &attrs.low.at[axis], &attrs.high.at[axis]);
    }
    x = as_numbers(builder, x, kind);
    type.dtype = kt_build_type(builder, x)->dtype;
    kt_value y = kt_build_reduce_window(builder, x, &attrs);
    if (given == KT_BOOL && kind != KT_REDUCE_SUM) y = kt_build_cast(builder, y, KT_BOOL);
    return kind == KT_REDUCE_SUM ? kt_build_div(builder, y, count_elements(builder, &attrs, type, y)) : y;
}

/* ---- adaptive
 * ----------------------------------------------------------------------------------------------------
 * Where places divides size, these are even windows. Else each window has ceil(size / places) elements or one
 * more: both sizes are slid over the axis by single steps, put one behind the other, and the places gathered
 * from there. */
static kt_value pool_evenly(kt_builder *builder, kt_value x, int axis, int64_t window, int64_t stride,
                            kt_reduction kind) {
    kt_attrs_reduce_window attrs = still_window(builder->graph->dims, kt_build_type(builder, x)->rank, kind);
    attrs.window.at[axis] = window;
    attrs.strides.at[axis] = stride;
    kt_value y = kt_build_reduce_window(builder, x, &attrs);
    return kind == KT_REDUCE_SUM ? kt_build_div(builder, y, kt_build_like(builder, y, (double)window)) : y;
}

static kt_value pool_unevenly(kt_builder *builder, kt_value x, int axis, int64_t size, int64_t places,
                              kt_reduction kind) {
    int64_t least = (size - 1) / places + 1;
    /* Windows of one element more come behind; an axis that is too short for them needs none. */
    kt_value both[2] = {pool_evenly(builder, x, axis, least, 1, kind)};
    uint32_t count = 1;
    if (least < size) both[count++] = pool_evenly(builder, x, axis, least + 1, 1, kind);
    kt_type type = kt_type_of(builder->graph->dims, KT_I64, 1, &places);
    kt_value place = kt_build_iota(builder, &type, 0), one = kt_build_like(builder, place, 1);
    kt_value sizes = kt_build_like(builder, place, (double)size);
    kt_value all = kt_build_like(builder, place, (double)places);
    kt_value first = kt_build_div(builder, kt_build_mul(builder, place, sizes), all);
    kt_value end = kt_build_mul(builder, kt_build_add(builder, place, one), sizes);
    end = kt_build_add(builder, kt_build_div(builder, kt_build_sub(builder, end, one), all), one);
    kt_value is_least =
        kt_build_eq(builder, kt_build_sub(builder, end, first), kt_build_like(builder, place, (double)least));
    kt_value behind = kt_build_like(builder, place, (double)(size - least + 1));
    kt_value from = kt_build_select(builder, is_least, first, kt_build_add(builder, first, behind));
    return kt_build_gather(builder, kt_build_concat(builder, both, count, axis), from, axis, 0);
}

kt_value kt_pool_adaptively(kt_builder *builder, kt_value x, int axis, int64_t places, kt_reduction kind) {
    int64_t size;
    if (!x) return 0;
    if (!kt_dim_is_const(builder->graph->dims, kt_build_type(builder, x)->dims[axis], &size) || size < 1)
        return kt_build_fail(builder, KT_UNSUPPORTED,
                             "the size of axis %d must be known, and at least 1, to pool it to %lld places.",
                             axis, (long long)places);
    bool truths = kt_build_type(builder, x)->dtype == KT_BOOL && kind != KT_REDUCE_SUM;
    x = as_numbers(builder, x, kind);
    x = size % places == 0 ? pool_evenly(builder, x, axis, size / places, size / places, kind)
                           : pool_unevenly(builder, x, axis, size, places, kind);
    return truths ? kt_build_cast(builder, x, KT_BOOL) : x;
}
