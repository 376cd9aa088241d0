/* Layout: transposed convolutions, whose inputs have gaps, as ordinary ones.
 *
 * With gaps they multiply mostly by zeros. A place of the result, modulo the gaps' distance, is a phase; all
 * places of a phase meet the same elements of the kernel, and make up an ordinary convolution. Those of all
 * phases are one with the features of all, where they come to windows of like sizes; else some phases would
 * be multiplied by zeros still, and each is a convolution by itself where that takes less. */
#include "passes/layout_impl.h"

enum { MOST_PHASES = 8 }; /* that become convolutions by themselves */

/* Along one axis. Place step * q + phase is a sum over t of input q + t - low times kernel element
 * step * t + rest - phase: an ordinary convolution for each phase. */
typedef struct phases {
    int64_t step;      /* the gaps' distance */
    int64_t window;    /* of the ordinary convolution */
    int64_t low, high; /* its padding */
    int64_t before;    /* zeros before the kernel, which makes the phases' elements step * window */
    int64_t size;      /* of the kernel */
    int64_t cut;       /* so many places before the output */
} phases;

static int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b > 0); } /* b > 0 */

static bool find_phases(kt_layouting *l, const kt_attrs_conv *attrs, const kt_type *kernel, uint32_t axis,
                        phases *out_phases) {
    const kt_dim_pool *dims = l->graph->dims;
    int64_t step = attrs->input_dilation.at[axis], size, low, high;
    if (attrs->strides.at[axis] != 1 || attrs->dilation.at[axis] != 1 ||
        !kt_dim_is_const(dims, kernel->dims[axis], &size) ||
        !kt_dim_is_const(dims, attrs->low.at[axis], &low) ||
        !kt_dim_is_const(dims, attrs->high.at[axis], &high))
        return false;
    /* Where the gaps are much wider than the kernel, most phases would be of zeros alone. */
    if (step > 2 * size || low > INT32_MAX || high > INT32_MAX) return false;
    phases p = {.step = step, .size = size, .before = step - 1 - low % step};
    p.window = divide_up(size, step);
    if (divide_up(p.before + size, step) > p.window) {
        /* Phases that begin with the kernel need fewer elements. */
        p.cut = p.before;
        p.before = 0;
        low += p.cut;
    }
    p.low = low / step;
    /* There are step * (input - 1) + low + high - size + 2 places. */
    p.high = divide_up(low + high - size + 2, step) + p.window - 2 - p.low;
    *out_phases = p;
    return p.high >= 0;
}

/* [window…, channels, features] → [smaller window…, channels, phases… * features] */
static kt_value split_kernel(kt_layouting *l, kt_value kernel, const phases *p, uint32_t space) {
    const kt_type type = *kt_build_type(l->builder, kernel);
    kt_dim low[KT_MAX_RANK], high[KT_MAX_RANK], shape[KT_MAX_RANK];
    int64_t interior[KT_MAX_RANK] = {0}, reversed[KT_MAX_RANK], order[KT_MAX_RANK];
    kt_dim features = type.dims[space + 1];
    for (int i = 0; i < type.rank; i++) low[i] = high[i] = kt_layout_number(l, 0);
    for (uint32_t i = 0; i < space; i++) {
        low[i] = kt_layout_number(l, p[i].before);
        high[i] = kt_layout_number(l, p[i].step * p[i].window - p[i].size - p[i].before);
        shape[2 * i] = kt_layout_number(l, p[i].window);
        shape[2 * i + 1] = kt_layout_number(l, p[i].step);
        reversed[i] = order[space + 1 + i] = 2 * i + 1;
        order[i] = 2 * i;
    }
    order[space] = 2 * space;
    order[2 * space + 1] = 2 * space + 1;
    shape[2 * space] = type.dims[space];
    shape[2 * space + 1] = features;
    kernel =
        kt_build_pad(l->builder, kernel, kt_build_scalar(l->builder, type.dtype, 0), low, high, interior);
    kernel = kt_build_reshape(l->builder, kernel, (int)(2 * space + 2), shape);
    kernel = kt_build_reverse(l->builder, kernel, space, reversed);
    kernel = kt_build_transpose(l->builder, kernel, order);
    for (uint32_t i = 0; i < space; i++) {
        shape[i] = kt_layout_number(l, p[i].window);
        features = kt_dim_mul_const(l->graph->dims, features, p[i].step);
    }
    shape[space] = type.dims[space];
    shape[space + 1] = features;
    return kt_build_reshape(l->builder, kernel, type.rank, shape);
}

/* [batch, space…, phases… * features] → [batch, (space * phase)…, features] */
static kt_value join_phases(kt_layouting *l, kt_value y, const phases *p, uint32_t space, kt_dim features) {
    const kt_type split = *kt_build_type(l->builder, y);
    kt_dim shape[KT_MAX_RANK];
    int64_t order[KT_MAX_RANK] = {0};
    shape[0] = split.dims[0];
    for (uint32_t i = 0; i < space; i++) {
        shape[i + 1] = split.dims[i + 1];
        shape[space + 1 + i] = kt_layout_number(l, p[i].step);
        order[2 * i + 1] = i + 1;
        order[2 * i + 2] = space + 1 + i;
    }
    shape[2 * space + 1] = features;
    order[2 * space + 1] = 2 * space + 1;
    y = kt_build_reshape(l->builder, y, (int)(2 * space + 2), shape);
    y = kt_build_transpose(l->builder, y, order);
    for (uint32_t i = 0; i < space; i++)
        shape[i + 1] = kt_dim_mul_const(l->graph->dims, split.dims[i + 1], p[i].step);
    shape[space + 1] = features;
    return kt_build_reshape(l->builder, y, split.rank, shape);
}

/* The turns of the window in which a phase meets elements of the kernel. */
typedef struct turns {
    int64_t begin, end;
    int64_t first; /* of the elements, which are step apart */
} turns;

static turns turns_of(const phases *p, int64_t phase) {
    int64_t first = p->step - 1 - phase - p->before;
    int64_t begin = first < 0 ? 1 : 0;
    first += begin * p->step;
    return (turns){.begin = begin, .end = begin + divide_up(p->size - first, p->step), .first = first};
}

/* Are there fewer products of vectors by phases apart, each of which meets some elements? */
static bool apart_takes_less(const kt_layouting *l, const phases *p, uint32_t space, kt_dim features) {
    int64_t known, steps = 1, together = 1, apart = 1;
    if (l->vector == 0 || !kt_dim_is_const(l->graph->dims, features, &known)) return false;
    for (uint32_t i = 0; i < space; i++) {
        if (p[i].size < p[i].step) return false;
        steps = kt_size_mul(steps, p[i].step);
        together = kt_size_mul(together, p[i].window);
        apart = kt_size_mul(apart, p[i].size);
    }
    if (steps > MOST_PHASES) return false;
    return kt_size_mul(apart, divide_up(known, l->vector)) <
           kt_size_mul(together, divide_up(kt_size_mul(steps, known), l->vector));
}

/* The convolution of one phase, whose number along axis i is phase[i]; x has its padding. */
static kt_value conv_phase(kt_layouting *l, kt_value x, kt_value kernel, const kt_attrs_conv *attrs,
                           const phases *p, const int64_t *phase) {
    kt_dim_pool *dims = l->graph->dims;
    const kt_type type = *kt_build_type(l->builder, kernel), x_type = *kt_build_type(l->builder, x);
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK], x_start[KT_MAX_RANK], x_limit[KT_MAX_RANK];
    int64_t steps[KT_MAX_RANK], ones[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) {
        start[i] = x_start[i] = kt_layout_number(l, 0);
        limit[i] = type.dims[i];
        x_limit[i] = x_type.dims[i];
        steps[i] = ones[i] = 1;
    }
    for (uint32_t i = 0; i < attrs->strides.count; i++) {
        turns t = turns_of(&p[i], phase[i]);
        start[i] = kt_layout_number(l, t.first);
        limit[i] = kt_layout_number(l, t.first + (t.end - t.begin - 1) * p[i].step + 1);
        steps[i] = p[i].step;
        x_start[i + 1] = kt_layout_number(l, t.begin);
        x_limit[i + 1] = kt_dim_add_const(dims, x_type.dims[i + 1], t.end - p[i].window);
    }
    kernel = kt_build_slice(l->builder, kernel, start, limit, steps);
    x = kt_build_slice(l->builder, x, x_start, x_limit, ones);
    return kt_layout_conv(l, x, kernel, *attrs);
}

/* [batch, space…, features] of each phase from axis on, whose numbers before it phase holds → those side by
 * side: [batch, space…, (space * phase)…, features] */
static kt_value conv_apart(kt_layouting *l, kt_value x, kt_value kernel, const kt_attrs_conv *attrs,
                           const phases *p, int64_t *phase, uint32_t axis) {
    uint32_t space = attrs->strides.count;
    kt_value parts[MOST_PHASES] = {0};
    if (axis == space) return conv_phase(l, x, kernel, attrs, p, phase);
    for (phase[axis] = 0; phase[axis] < p[axis].step; phase[axis]++)
        parts[phase[axis]] = conv_apart(l, x, kernel, attrs, p, phase, axis + 1);
    kt_type type = *kt_build_type(l->builder, parts[0]), flat = type;
    if (p[axis].step == 1) return parts[0];
    /* What lies behind the axis is one run. */
    flat.rank = (uint8_t)(axis + 3);
    flat.dims[axis + 2] = kt_layout_product(l, type.dims + axis + 2, type.rank - axis - 2);
    for (int64_t i = 0; i < p[axis].step; i++)
        parts[i] = kt_build_reshape(l->builder, parts[i], flat.rank, flat.dims);
    kt_value y = kt_build_concat(l->builder, parts, (uint32_t)p[axis].step, (int)axis + 2);
    type.dims[axis + 1] = kt_dim_mul_const(l->graph->dims, type.dims[axis + 1], p[axis].step);
    return kt_build_reshape(l->builder, y, type.rank, type.dims);
}

/* The places of type alone. */
static kt_value cut(kt_layouting *l, kt_value y, const phases *p, uint32_t space, const kt_type *type) {
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t steps[KT_MAX_RANK];
    if (kt_type_equal(kt_build_type(l->builder, y), type)) return y;
    for (int i = 0; i < type->rank; i++) {
        int64_t before = i > 0 && i <= (int)space ? p[i - 1].cut : 0;
        start[i] = kt_layout_number(l, before);
        limit[i] = kt_dim_add_const(l->graph->dims, type->dims[i], before);
        steps[i] = 1;
    }
    return kt_build_slice(l->builder, y, start, limit, steps);
}

kt_value kt_layout_transposed(kt_layouting *l, const kt_node_info *node, kt_value x, kt_value kernel) {
    kt_attrs_conv attrs = *(const kt_attrs_conv *)node->attrs;
    const kt_type type = *kt_build_type(l->builder, kernel);
    uint32_t space = attrs.strides.count;
    phases p[KT_MAX_RANK];
    bool gaps = false;
    if (attrs.groups != 1 || attrs.panel || 2 * space + 2 > KT_MAX_RANK) return 0;
    for (uint32_t i = 0; i < space; i++) {
        if (!find_phases(l, &attrs, &type, i, &p[i])) return 0;
        gaps |= p[i].step > 1;
    }
    if (!gaps) return 0;
    for (uint32_t i = 0; i < space; i++) {
        attrs.input_dilation.at[i] = 1;
        attrs.low.at[i] = kt_layout_number(l, p[i].low);
        attrs.high.at[i] = kt_layout_number(l, p[i].high);
    }
    x = kt_layout_pad_input(l, x, &attrs);
    kt_dim features = type.dims[space + 1];
    int64_t phase[KT_MAX_RANK];
    kt_value y = apart_takes_less(l, p, space, features)
                     ? conv_apart(l, x, kernel, &attrs, p, phase, 0)
                     : join_phases(l, kt_layout_conv(l, x, split_kernel(l, kernel, p, space), attrs), p,
                                   space, features);
    return cut(l, y, p, space, kt_graph_type(l->graph, node->first_result));
}
