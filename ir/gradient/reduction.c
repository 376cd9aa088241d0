/* Gradients of reductions.
 *
 * sum       the cotangent goes to all that were added
 * maximum,  it goes to the elements that equal the result: to all of them in equal shares (reduce, scatter),
 * or to minimum   the first (windows and cumulative, where ties are many and shares would need counting)
 * product   each element x gets P / x of it, where P is the product of all that are not 0, if no other
 * element is 0; what is 0 itself gets P. So zeros need no division */
#include "ir/gradient/gradient_impl.h"

#include "ir/gradient/reduction.h"

#include <math.h>

static bool picks(kt_reduction kind) { return kind == KT_REDUCE_MAXIMUM || kind == KT_REDUCE_MINIMUM; }

/* What a reduction over axes left, spread over x's shape again. */
static kt_value spread(const kt_vjp *v, kt_value reduced, kt_value x, const kt_ints *axes) {
    const kt_type type = kt_vjp_type(v, x);
    int64_t kept[KT_MAX_RANK];
    for (int i = 0, k = 0, count = 0; i < type.rank; i++) {
        if (k < (int)axes->count && axes->at[k] == i)
            k++;
        else
            kept[count++] = i;
    }
    return kt_build_broadcast(v->builder, reduced, type.rank, type.dims, kept);
}

static kt_value as_numbers(const kt_vjp *v, kt_value condition, kt_value like) {
    return kt_build_cast(v->builder, condition, kt_vjp_type(v, like).dtype);
}

kt_value kt_gradient_is_zero(const kt_vjp *v, kt_value x) {
    return kt_build_eq(v->builder, x, kt_vjp_number(v, x, 0));
}

kt_value kt_gradient_without_zeros(const kt_vjp *v, kt_value x) {
    return kt_build_select(v->builder, kt_gradient_is_zero(v, x), kt_vjp_number(v, x, 1), x);
}

kt_value kt_gradient_of_factor(const kt_vjp *v, kt_value g, kt_value x, kt_value product, kt_value zeros) {
    kt_builder *b = v->builder;
    kt_value alone = kt_build_eq(b, zeros, as_numbers(v, kt_gradient_is_zero(v, x), x));
    kt_value rest = kt_build_div(b, product, kt_gradient_without_zeros(v, x));
    return kt_vjp_where(v, alone, kt_build_mul(b, g, rest), 0);
}

/* ---- reduce ---------------------------------------------------------------------------------- */

static kt_value of_chosen(const kt_vjp *v, kt_value x, const kt_ints *axes) {
    kt_builder *b = v->builder;
    kt_value chosen = kt_build_eq(b, x, spread(v, kt_vjp_result(v), x, axes));
    kt_value count = kt_build_reduce(b, as_numbers(v, chosen, x), KT_REDUCE_SUM, axes->count, axes->at);
    kt_value share = kt_build_div(b, v->cotangents[0], count);
    return kt_vjp_where(v, chosen, spread(v, share, x, axes), 0);
}

static kt_value of_factors(const kt_vjp *v, kt_value x, const kt_ints *axes) {
    kt_builder *b = v->builder;
    kt_value whole = kt_gradient_without_zeros(v, x), zero = as_numbers(v, kt_gradient_is_zero(v, x), x);
    kt_value product = kt_build_reduce(b, whole, KT_REDUCE_PRODUCT, axes->count, axes->at);
    kt_value zeros = kt_build_reduce(b, zero, KT_REDUCE_SUM, axes->count, axes->at);
    return kt_gradient_of_factor(v, spread(v, v->cotangents[0], x, axes), x, spread(v, product, x, axes),
                                 spread(v, zeros, x, axes));
}

void kt_vjp_reduce(kt_vjp *v) {
    const kt_attrs_reduce *attrs = v->node->attrs;
    kt_value x = kt_vjp_operand(v, 0);
    v->derivatives[0] = attrs->kind == KT_REDUCE_SUM ? spread(v, v->cotangents[0], x, &attrs->axes)
                        : picks(attrs->kind)         ? of_chosen(v, x, &attrs->axes)
                                                     : of_factors(v, x, &attrs->axes);
}

/* ---- cumulative ------------------------------------------------------------------------------ */

/* The same the other way round. */
static kt_value sum_back(const kt_vjp *v, kt_value x) {
    kt_attrs_cumulative attrs = *(const kt_attrs_cumulative *)v->node->attrs;
    attrs.kind = KT_REDUCE_SUM;
    attrs.reverse = !attrs.reverse;
    return kt_build_cumulative(v->builder, x, &attrs);
}

/* x_i is in all products from it on, each being product / x_i; but for the first 0, behind which all products
 * are 0, and which gets the products without it. */
static kt_value of_cumulative_factors(const kt_vjp *v, kt_value x) {
    kt_builder *b = v->builder;
    kt_value g = v->cotangents[0], zero = kt_gradient_is_zero(v, x);
    kt_attrs_cumulative attrs = *(const kt_attrs_cumulative *)v->node->attrs, count = attrs;
    count.kind = KT_REDUCE_SUM;
    count.exclusive = 0;
    kt_value zeros = kt_build_cumulative(b, as_numbers(v, zero, x), &count);
    kt_value first = kt_build_and(b, zero, kt_build_eq(b, zeros, kt_vjp_number(v, x, 1)));
    kt_value without = kt_build_cumulative(b, kt_build_select(b, first, kt_vjp_number(v, x, 1), x), &attrs);
    kt_value rest =
        kt_build_div(b, sum_back(v, kt_build_mul(b, g, kt_vjp_result(v))), kt_gradient_without_zeros(v, x));
    return kt_build_select(b, first, sum_back(v, kt_build_mul(b, g, without)), rest);
}

/* For each place, the first position that holds the largest so far: found as the last position at which an
 * element was larger than all before it. Cotangents are scattered to there, along the last axis. */
static kt_value of_cumulative_chosen(const kt_vjp *v, kt_value x) {
    kt_builder *b = v->builder;
    const kt_attrs_cumulative *own = v->node->attrs;
    const kt_type type = kt_vjp_type(v, x);
    kt_attrs_cumulative before = *own, last = *own;
    before.exclusive = 1;
    last.kind = own->reverse ? KT_REDUCE_MINIMUM : KT_REDUCE_MAXIMUM;
    kt_type places = type;
    places.dtype = KT_I64;
    kt_value so_far = kt_build_cumulative(b, x, &before), here = kt_build_iota(b, &places, (int)own->axis);
    kt_value better = (own->kind == KT_REDUCE_MAXIMUM ? kt_build_gt : kt_build_lt)(b, x, so_far);
    kt_value none = kt_build_fill(b, &places, own->reverse ? (double)INT32_MAX : -1.0);
    kt_value positions = kt_build_cumulative(b, kt_build_select(b, better, here, none), &last);
    int64_t axes[KT_MAX_RANK], back[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        axes[i] = i < own->axis ? i : i + 1 < type.rank ? i + 1 : own->axis;
        back[axes[i]] = i;
    }
    kt_value base = kt_build_transpose(b, kt_vjp_number(v, x, 0), axes);
    const kt_attrs_scatter scatter = {
        .kind = KT_REDUCE_SUM, .axis = type.rank - 1, .batch_dims = type.rank - 1};
    kt_value sums = kt_build_scatter(b, base, kt_build_transpose(b, positions, axes),
                                     kt_build_transpose(b, v->cotangents[0], axes), &scatter);
    return kt_build_transpose(b, sums, back);
}

void kt_vjp_cumulative(kt_vjp *v) {
    kt_reduction kind = ((const kt_attrs_cumulative *)v->node->attrs)->kind;
    kt_value x = kt_vjp_operand(v, 0);
    v->derivatives[0] = kind == KT_REDUCE_SUM ? sum_back(v, v->cotangents[0])
                        : picks(kind)         ? of_cumulative_chosen(v, x)
                                              : of_cumulative_factors(v, x);
}

/* ---- scatter --------------------------------------------------------------------------------- */

typedef struct scattering {
    const kt_vjp *v;
    const kt_attrs_scatter *attrs;
    kt_value positions, inside; /* inside: of the updates, which are not dropped */
} scattering;

/* What lies at the updates' positions; 0 for those that are dropped. */
static kt_value picked(const scattering *s, kt_value x) {
    kt_value found =
        kt_build_gather(s->v->builder, x, s->positions, (int)s->attrs->axis, (int)s->attrs->batch_dims);
    return kt_vjp_where(s->v, s->inside, found, 0);
}

static kt_value scattered(const scattering *s, kt_value x, kt_reduction kind, kt_value updates) {
    kt_attrs_scatter attrs = *s->attrs;
    attrs.kind = kind;
    return kt_build_scatter(s->v->builder, x, s->positions, updates, &attrs);
}

/* Is each of the updates' positions one of the operand's? In the updates' shape. */
static kt_value find_inside(const kt_vjp *v, const kt_attrs_scatter *attrs) {
    kt_builder *b = v->builder;
    kt_value positions = kt_build_cast(b, kt_vjp_operand(v, 1), KT_I64);
    const kt_type places = kt_vjp_type(v, positions), news = kt_vjp_type(v, kt_vjp_operand(v, 2));
    kt_value size = kt_build_size(b, kt_vjp_type(v, kt_vjp_operand(v, 0)).dims[attrs->axis]);
    kt_value below = kt_build_lt(b, positions, kt_build_broadcast_to(b, size, places.rank, places.dims));
    kt_value inside = kt_build_and(b, below, kt_build_ge(b, positions, kt_vjp_number(v, positions, 0)));
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < places.rank; i++)
        axes[i] = i < attrs->batch_dims ? i : i - attrs->batch_dims + attrs->axis;
    return kt_build_broadcast(b, inside, news.rank, news.dims, axes);
}

static void of_scattered_sum(kt_vjp *v, const scattering *s) {
    v->derivatives[0] = v->cotangents[0];
    if (v->wanted[2]) v->derivatives[2] = picked(s, v->cotangents[0]);
}

static void of_scattered_factors(kt_vjp *v, const scattering *s) {
    kt_value x = kt_vjp_operand(v, 0), news = kt_vjp_operand(v, 2), g = v->cotangents[0];
    kt_value product =
        scattered(s, kt_gradient_without_zeros(v, x), KT_REDUCE_PRODUCT, kt_gradient_without_zeros(v, news));
    kt_value zeros = scattered(s, as_numbers(v, kt_gradient_is_zero(v, x), x), KT_REDUCE_SUM,
                               as_numbers(v, kt_gradient_is_zero(v, news), news));
    v->derivatives[0] = kt_gradient_of_factor(v, g, x, product, zeros);
    if (v->wanted[2])
        v->derivatives[2] =
            kt_gradient_of_factor(v, picked(s, g), news, picked(s, product), picked(s, zeros));
}

static void of_scattered_chosen(kt_vjp *v, const scattering *s) {
    kt_builder *b = v->builder;
    kt_value x = kt_vjp_operand(v, 0), news = kt_vjp_operand(v, 2), r = kt_vjp_result(v);
    kt_value own = kt_build_eq(b, x, r),
             theirs = kt_build_and(b, s->inside, kt_build_eq(b, news, picked(s, r)));
    kt_value count = scattered(s, as_numbers(v, own, x), KT_REDUCE_SUM, as_numbers(v, theirs, news));
    kt_value share = kt_build_div(b, v->cotangents[0], count);
    v->derivatives[0] = kt_vjp_where(v, own, share, 0);
    if (v->wanted[2]) v->derivatives[2] = kt_vjp_where(v, theirs, picked(s, share), 0);
}

void kt_vjp_scatter(kt_vjp *v) {
    const kt_attrs_scatter *attrs = v->node->attrs;
    const scattering s = {v, attrs, kt_vjp_operand(v, 1), find_inside(v, attrs)};
    (attrs->kind == KT_REDUCE_SUM ? of_scattered_sum
     : picks(attrs->kind)         ? of_scattered_chosen
                                  : of_scattered_factors)(v, &s);
}
