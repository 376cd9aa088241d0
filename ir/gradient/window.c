/* Gradients of reduce_window.
 *
 * A sum goes back as a sum: under the same window, moving by one, over the cotangents `strides` apart. For
 * the other kinds the window is taken apart: each of its places is a strided slice of the operand, and what
 * such a slice gets is put back by padding. */
#include "ir/gradient/gradient_impl.h"

#include "ir/gradient/reduction.h"
#include "ir/gradient/resize.h"

#include <inttypes.h>
#include <math.h>

enum { MOST_PLACES = 1024 }; /* of a window that is taken apart: each costs some nodes */

static kt_slid slid(const kt_attrs_reduce_window *attrs, kt_dim_pool *pool, kt_dim size, int axis) {
    return (kt_slid){.size = size,
                     .window = kt_dim_const(pool, attrs->window.at[axis]),
                     .low = attrs->low.at[axis],
                     .high = attrs->high.at[axis],
                     .gap = 1,
                     .stride = attrs->strides.at[axis],
                     .dilation = attrs->dilation.at[axis]};
}

static kt_value of_sum(const kt_vjp *v, const kt_attrs_reduce_window *attrs, const kt_type *type) {
    kt_dim_pool *pool = v->builder->graph->dims;
    kt_resize axes[KT_MAX_RANK];
    kt_attrs_reduce_window back = {.kind = KT_REDUCE_SUM,
                                   .window = attrs->window,
                                   .strides = attrs->strides,
                                   .dilation = attrs->dilation,
                                   .low = attrs->low,
                                   .high = attrs->high};
    for (int i = 0; i < type->rank; i++) {
        const kt_slid own = slid(attrs, pool, type->dims[i], i);
        axes[i] = kt_gradient_slide_back(pool, &own);
        back.strides.at[i] = 1;
        back.low.at[i] = back.high.at[i] = kt_dim_const(pool, 0);
    }
    kt_value g = kt_gradient_resize(v->builder, v->cotangents[0], 0, axes);
    return kt_build_reduce_window(v->builder, g, &back);
}

/* ---- windows that are taken apart ------------------------------------------------------------ */

typedef struct parting {
    const kt_vjp *v;
    const kt_attrs_reduce_window *attrs;
    kt_type type, places;    /* of operand and result */
    kt_value x;              /* the operand, resized to what windows touch */
    kt_value taken;          /* maximum, minimum: where a place before was the result; 0: nowhere */
    kt_value product, zeros; /* product: see kt_gradient_of_factor */
} parting;

/* What lies under one place of the window. */
static kt_value under(const parting *p, const int64_t *place) {
    kt_dim_pool *pool = p->v->builder->graph->dims;
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    for (int i = 0; i < p->type.rank; i++) {
        kt_dim span =
            kt_dim_mul_const(pool, kt_dim_add_const(pool, p->places.dims[i], -1), p->attrs->strides.at[i]);
        start[i] = kt_dim_const(pool, place[i] * p->attrs->dilation.at[i]);
        limit[i] = kt_dim_add_const(pool, kt_dim_add(pool, start[i], span), 1);
    }
    return kt_build_slice(p->v->builder, p->x, start, limit, p->attrs->strides.at);
}

/* What that place gets of the cotangent. */
static kt_value share_of(parting *p, kt_value x) {
    kt_builder *b = p->v->builder;
    kt_value g = p->v->cotangents[0];
    if (p->attrs->kind == KT_REDUCE_PRODUCT) return kt_gradient_of_factor(p->v, g, x, p->product, p->zeros);
    kt_value chosen = kt_build_eq(b, x, kt_vjp_result(p->v)), won = chosen;
    if (p->taken) won = kt_build_and(b, chosen, kt_build_not(b, p->taken));
    p->taken = p->taken ? kt_build_or(b, p->taken, chosen) : chosen;
    return kt_vjp_where(p->v, won, g, 0);
}

static kt_value put_back(const parting *p, kt_value share, const int64_t *place) {
    kt_dim_pool *pool = p->v->builder->graph->dims;
    kt_resize axes[KT_MAX_RANK];
    for (int i = 0; i < p->type.rank; i++) {
        int64_t dilation = p->attrs->dilation.at[i];
        axes[i] = (kt_resize){.low = kt_dim_const(pool, place[i] * dilation),
                              .high = kt_dim_const(pool, (p->attrs->window.at[i] - 1 - place[i]) * dilation),
                              .interior = p->attrs->strides.at[i] - 1};
    }
    return kt_gradient_resize(p->v->builder, share, 0, axes);
}

static bool next_place(const parting *p, int64_t *place) {
    for (int i = p->type.rank; i-- > 0;) {
        if (++place[i] < p->attrs->window.at[i]) return true;
        place[i] = 0;
    }
    return false;
}

static kt_value of_places(parting *p) {
    kt_builder *b = p->v->builder;
    int64_t place[KT_MAX_RANK] = {0};
    kt_value total = 0;
    do {
        kt_value part = put_back(p, share_of(p, under(p, place)), place);
        total = total ? kt_build_add(b, total, part) : part;
    } while (next_place(p, place));
    return total;
}

static double neutral(kt_reduction kind) {
    return kind == KT_REDUCE_PRODUCT ? 1 : kind == KT_REDUCE_MAXIMUM ? (double)-INFINITY : (double)INFINITY;
}

static kt_value of_parts(const kt_vjp *v, const kt_attrs_reduce_window *attrs, const kt_type *type) {
    kt_builder *b = v->builder;
    kt_dim_pool *pool = b->graph->dims;
    parting p = {.v = v, .attrs = attrs, .type = *type, .places = kt_vjp_type(v, kt_vjp_result(v))};
    kt_resize axes[KT_MAX_RANK];
    int64_t places = 1;
    for (int i = 0; i < type->rank; i++) {
        const kt_slid own = slid(attrs, pool, type->dims[i], i);
        axes[i] = kt_gradient_touched(pool, &own);
        places = kt_size_mul(places, attrs->window.at[i]);
    }
    if (places > MOST_PLACES)
        return kt_build_fail(b, KT_UNSUPPORTED,
                             "There is no gradient of the %s under windows of more than %d elements.",
                             kt_reduction_name(attrs->kind), MOST_PLACES);
    kt_value x = kt_vjp_operand(v, 0);
    p.x = kt_gradient_resize(b, x, neutral(attrs->kind), axes);
    if (attrs->kind == KT_REDUCE_PRODUCT) {
        kt_attrs_reduce_window sum = *attrs;
        sum.kind = KT_REDUCE_SUM;
        kt_value zero = kt_build_cast(b, kt_gradient_is_zero(v, x), type->dtype);
        p.product = kt_build_reduce_window(b, kt_gradient_without_zeros(v, x), attrs);
        p.zeros = kt_build_reduce_window(b, zero, &sum);
    }
    kt_value total = of_places(&p);
    for (int i = 0; i < type->rank; i++) { /* from what is touched to the operand */
        axes[i].low = kt_dim_mul_const(pool, axes[i].low, -1);
        axes[i].high = kt_dim_mul_const(pool, axes[i].high, -1);
        axes[i].high_sign = kt_dim_mul_const(pool, axes[i].high_sign, -1);
    }
    return kt_gradient_resize(b, total, 0, axes);
}

void kt_vjp_reduce_window(kt_vjp *v) {
    const kt_attrs_reduce_window *attrs = v->node->attrs;
    const kt_type type = kt_vjp_type(v, kt_vjp_operand(v, 0));
    v->derivatives[0] = (attrs->kind == KT_REDUCE_SUM ? of_sum : of_parts)(v, attrs, &type);
}
