/* dot_general and conv. Operands are widened and brought into one order first (packed ones unpacked), so that
 * the loops below know a single form each; products are summed in double or 64-bit integers, in ascending
 * order of the summed index, and rounded once. */
#include "ir/eval/eval_impl.h"

#include <string.h>

static kt_status bad_shapes(const kt_eval_op *e) {
    return kt_eval_fail(e, KT_INVALID, "%s: the shapes do not fit for these sizes.",
                        kt_op_describe(e->op)->name);
}

static kt_status check_numeric(const kt_eval_op *e) {
    kt_dtype dtype = e->operands[0].dtype;
    if (dtype != KT_STRING && dtype != KT_C64 && dtype != KT_BOOL) return KT_OK;
    return kt_eval_fail(e, KT_UNSUPPORTED, "%s of %s cannot be evaluated.", kt_op_describe(e->op)->name,
                        kt_dtype_name(dtype));
}

/* totals[i] += x * y[i] */
static void add_product(bool real, int64_t count, kt_number x, const kt_number *y, kt_number *totals) {
    if (real) {
        for (int64_t i = 0; i < count; i++) totals[i].real += x.real * y[i].real;
    } else {
        for (int64_t i = 0; i < count; i++)
            totals[i].integer =
                (int64_t)((uint64_t)totals[i].integer + (uint64_t)x.integer * (uint64_t)y[i].integer);
    }
}

/* ---- dot_general ----------------------------------------------------------------------------- */

/* The axes that are in neither list. */
static kt_ints other_axes(int rank, const kt_ints *batch, const kt_ints *contract) {
    kt_ints others = {0};
    for (int axis = 0; axis < rank; axis++)
        if (!kt_ints_hold(batch, axis) && !kt_ints_hold(contract, axis)) others.at[others.count++] = axis;
    return others;
}

static int64_t extent(const kt_tensor *tensor, const kt_ints *axes) {
    int64_t product = 1;
    for (uint32_t i = 0; i < axes->count; i++) product *= tensor->dims[axes->at[i]];
    return product;
}

/* The elements as numbers, axes in the order first, second, third. */
static kt_number *ordered(kt_arena *arena, const kt_tensor *tensor, const kt_ints *first,
                          const kt_ints *second, const kt_ints *third) {
    const kt_ints *lists[] = {first, second, third};
    kt_tensor result = {.rank = tensor->rank};
    kt_box box = {.rank = tensor->rank};
    int64_t strides[KT_MAX_RANK];
    kt_tensor_strides(tensor, strides);
    int axis = 0;
    for (int list = 0; list < 3; list++)
        for (uint32_t i = 0; i < lists[list]->count; i++, axis++) {
            box.dims[axis] = result.dims[axis] = tensor->dims[lists[list]->at[i]];
            box.from_strides[axis] = strides[lists[list]->at[i]];
        }
    kt_tensor_strides(&result, box.to_strides);
    kt_number *numbers = KT_NEW_ARRAY(arena, kt_number, kt_tensor_elements(tensor));
    kt_box_copy(&box, sizeof *numbers, kt_numbers_of(arena, tensor), numbers);
    return numbers;
}

/* How many elements of the depth lie side by side in a packed operand. */
static int64_t word_of(const kt_eval_op *e, int64_t wide) {
    const kt_type x = {.dtype = e->operands[0].dtype}, y = {.dtype = e->operands[1].dtype};
    return kt_product_word(&x, &y, wide != 0);
}

/* Where element (k, column) of a panel stands in it. */
static int64_t place_in_panel(int64_t k, int64_t column, int64_t panel, int64_t word) {
    return (k / word * panel + column) * word + k % word;
}

/* [panels, depth / word, panel * word] to [depth, columns]. */
static kt_number *unpacked(kt_arena *arena, const kt_tensor *packed, int64_t columns, int64_t word) {
    int64_t depth = packed->dims[1] * word, panel = packed->dims[2] / word;
    const kt_number *from = kt_numbers_of(arena, packed);
    kt_number *numbers = KT_NEW_ARRAY(arena, kt_number, depth * columns);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t n = 0; n < columns; n++)
            numbers[k * columns + n] =
                from[n / panel * depth * panel + place_in_panel(k, n % panel, panel, word)];
    return numbers;
}

/* Elements of y as those of x are: floats by bytes. */
static void widen(const kt_tensor *x, const kt_tensor *y, int64_t count, kt_number *ys) {
    if (!kt_dtype_is_float(x->dtype) || kt_dtype_is_float(y->dtype)) return;
    for (int64_t i = 0; i < count; i++) ys[i].real = (double)ys[i].integer;
}

kt_status kt_eval_dot_general(kt_eval_op *e) {
    const kt_attrs_dot_general *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *y = &e->operands[1];
    KT_TRY(check_numeric(e));
    kt_ints rows_axes = other_axes(x->rank, &attrs->lhs_batch, &attrs->lhs_contract);
    int64_t batch = extent(x, &attrs->lhs_batch), rows = extent(x, &rows_axes),
            depth = extent(x, &attrs->lhs_contract);
    const kt_number *xs = ordered(e->arena, x, &attrs->lhs_batch, &rows_axes, &attrs->lhs_contract);
    kt_number *ys;
    int64_t columns;
    if (attrs->panel) {
        columns = attrs->columns;
        int64_t word = word_of(e, attrs->wide);
        if (y->dims[1] != (depth + word - 1) / word || y->dims[0] * y->dims[2] < columns * word)
            return bad_shapes(e);
        ys = unpacked(e->arena, y, columns, word);
    } else {
        kt_ints column_axes = other_axes(y->rank, &attrs->rhs_batch, &attrs->rhs_contract);
        columns = extent(y, &column_axes);
        if (extent(y, &attrs->rhs_batch) != batch || extent(y, &attrs->rhs_contract) != depth)
            return bad_shapes(e);
        ys = ordered(e->arena, y, &attrs->rhs_batch, &attrs->rhs_contract, &column_axes);
    }
    if ((size_t)(batch * rows) * (size_t)columns != kt_tensor_elements(e->result)) return bad_shapes(e);
    widen(x, y, batch * depth * columns, ys);
    bool real = kt_dtype_is_float(x->dtype);
    bool blas = e->fast && (x->dtype == KT_F32 || x->dtype == KT_F64);
    kt_number *totals = KT_NEW_ARRAY(e->arena, kt_number, blas ? rows * columns : columns);
    for (int64_t row = 0; row < batch * rows; row++) {
        if (blas && row % rows == 0 &&
            kt_eval_blas_product(rows, columns, depth, xs + row * depth, ys + row / rows * depth * columns,
                                 totals)) {
            kt_numbers_store(e->result->dtype, e->result->data, (size_t)(row * columns),
                             (size_t)(rows * columns), totals);
            row += rows - 1;
            continue;
        }
        const kt_number *matrix = ys + row / rows * depth * columns;
        memset(totals, 0, (size_t)columns * sizeof *totals);
        for (int64_t k = 0; k < depth; k++)
            add_product(real, columns, xs[row * depth + k], matrix + k * columns, totals);
        kt_numbers_store(e->result->dtype, e->result->data, (size_t)(row * columns), (size_t)columns, totals);
    }
    return KT_OK;
}

/* ---- conv ------------------------------------------------------------------------------------ */

typedef struct convolution {
    int rank;                           /* spatial */
    int64_t groups, channels, features; /* channels and features of one group */
    const int64_t *input, *output;      /* spatial extents */
    int64_t window[KT_MAX_RANK], low[KT_MAX_RANK];
    const kt_attrs_conv *attrs;
    bool real;
    const kt_number *x;      /* of one image: [input…, groups * channels] */
    const kt_number *kernel; /* [window…, channels, groups * features] */
} convolution;

/* [groups * panels, depth / word, panel * word] to [depth, groups * features]. */
static kt_number *unpacked_kernel(kt_arena *arena, const kt_tensor *packed, int64_t groups, int64_t features,
                                  int64_t word) {
    int64_t depth = packed->dims[1] * word, panel = packed->dims[2] / word, panels = packed->dims[0] / groups;
    const kt_number *from = kt_numbers_of(arena, packed);
    kt_number *numbers = KT_NEW_ARRAY(arena, kt_number, depth * groups * features), *to = numbers;
    for (int64_t k = 0; k < depth; k++)
        for (int64_t group = 0; group < groups; group++)
            for (int64_t f = 0; f < features; f++)
                *to++ = from[(group * panels + f / panel) * depth * panel +
                             place_in_panel(k, f % panel, panel, word)];
    return numbers;
}

/* Where window position `tap` of the output at `at` falls on one axis of the input: -1 is outside. */
static int64_t input_position(const convolution *c, int axis, int64_t at, int64_t tap) {
    int64_t between = c->attrs->input_dilation.at[axis];
    int64_t position = at * c->attrs->strides.at[axis] + tap * c->attrs->dilation.at[axis] - c->low[axis];
    if (position < 0 || position % between != 0) return -1;
    return position / between < c->input[axis] ? position / between : -1;
}

/* All features at one place of the output. */
static void convolve_at(const convolution *c, const int64_t *at, kt_number *totals) {
    int64_t tap[KT_MAX_RANK] = {0}, all_features = c->groups * c->features;
    const kt_number *kernel = c->kernel;
    do {
        int64_t pixel = 0;
        for (int axis = 0; axis < c->rank && pixel >= 0; axis++) {
            int64_t position = input_position(c, axis, at[axis], tap[axis]);
            pixel = position < 0 ? -1 : pixel * c->input[axis] + position;
        }
        if (pixel >= 0)
            for (int64_t group = 0; group < c->groups; group++)
                for (int64_t channel = 0; channel < c->channels; channel++)
                    add_product(
                        c->real, c->features, c->x[(pixel * c->groups + group) * c->channels + channel],
                        kernel + channel * all_features + group * c->features, totals + group * c->features);
        kernel += c->channels * all_features;
    } while (kt_next_position(c->rank, c->window, tap));
}

kt_status kt_eval_conv(kt_eval_op *e) {
    const kt_attrs_conv *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *y = &e->operands[1];
    KT_TRY(check_numeric(e));
    int rank = x->rank - 2;
    int64_t all_channels = x->dims[rank + 1], all_features = e->result->dims[rank + 1];
    convolution c = {
        .rank = rank,
        .groups = attrs->groups,
        .channels = all_channels / attrs->groups,
        .features = all_features / attrs->groups,
        .input = x->dims + 1,
        .output = e->result->dims + 1,
        .attrs = attrs,
        .real = kt_dtype_is_float(x->dtype),
    };
    KT_TRY(kt_eval_dims(e, &attrs->low, c.low));
    int64_t taps = 1, input_pixels = 1, output_pixels = 1;
    for (int i = 0; i < rank; i++) {
        c.window[i] = attrs->panel ? attrs->window.at[i] : y->dims[i];
        taps *= c.window[i];
        input_pixels *= c.input[i];
        output_pixels *= c.output[i];
    }
    if (c.channels * c.groups != all_channels || c.features * c.groups != all_features) return bad_shapes(e);
    if (attrs->panel) {
        int64_t panels = (c.features + attrs->panel - 1) / attrs->panel;
        int64_t word = word_of(e, attrs->wide), groups_of_depth = (taps * c.channels + word - 1) / word;
        if (y->dims[0] != c.groups * panels || y->dims[1] != groups_of_depth ||
            y->dims[2] != attrs->panel * word)
            return bad_shapes(e);
        c.kernel = unpacked_kernel(e->arena, y, c.groups, c.features, word);
    } else {
        if (y->dims[rank] != c.channels || y->dims[rank + 1] != all_features) return bad_shapes(e);
        c.kernel = kt_numbers_of(e->arena, y);
    }
    if (x->dims[0] != e->result->dims[0]) return bad_shapes(e);
    const kt_number *xs = kt_numbers_of(e->arena, x);
    kt_number *totals = KT_NEW_ARRAY(e->arena, kt_number, all_features);
    size_t done = 0;
    for (int64_t image = 0; image < x->dims[0]; image++) {
        c.x = xs + image * input_pixels * all_channels;
        int64_t at[KT_MAX_RANK] = {0};
        for (int64_t pixel = 0; pixel < output_pixels; pixel++) {
            memset(totals, 0, (size_t)all_features * sizeof *totals);
            if (taps > 0) convolve_at(&c, at, totals);
            kt_numbers_store(e->result->dtype, e->result->data, done, (size_t)all_features, totals);
            done += (size_t)all_features;
            kt_next_position(rank, c.output, at);
        }
    }
    return KT_OK;
}

/* ---- conv_by_kernel -------------------------------------------------------------------------- */

/* Of one window position, the channels of each group by its features, summed over images and places: totals
 * [channels / groups, features]. */
static void sum_places(const kt_eval_op *e, const int64_t *tap, const int64_t *low, const kt_number *xs,
                       const kt_number *gs, kt_number *totals) {
    const kt_attrs_conv_by_kernel *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *g = &e->operands[1];
    int spatial = x->rank - 2;
    int64_t features = g->dims[spatial + 1], own_features = features / attrs->groups;
    int64_t channels = x->dims[spatial + 1], own_channels = channels / attrs->groups, at[KT_MAX_RANK] = {0};
    do {
        int64_t pixel = at[0];
        for (int axis = 0; axis < spatial && pixel >= 0; axis++) {
            int64_t position =
                at[axis + 1] * attrs->strides.at[axis] + tap[axis] * attrs->dilation.at[axis] - low[axis];
            bool inside = position >= 0 && position < x->dims[axis + 1];
            pixel = inside ? pixel * x->dims[axis + 1] + position : -1;
        }
        for (int64_t channel = 0; channel < channels && pixel >= 0; channel++) {
            int64_t first = channel / own_channels * own_features; /* of the group */
            add_product(kt_dtype_is_float(x->dtype), own_features, xs[pixel * channels + channel], gs + first,
                        totals + channel % own_channels * features + first);
        }
        gs += features;
    } while (kt_next_position(spatial + 1, g->dims, at));
}

kt_status kt_eval_conv_by_kernel(kt_eval_op *e) {
    const kt_attrs_conv_by_kernel *attrs = e->attrs;
    const kt_tensor *x = &e->operands[0], *g = &e->operands[1];
    int spatial = x->rank - 2;
    int64_t low[KT_MAX_RANK], tap[KT_MAX_RANK] = {0};
    int64_t count = x->dims[spatial + 1] / attrs->groups * g->dims[spatial + 1];
    KT_TRY(check_numeric(e));
    KT_TRY(kt_eval_dims(e, &attrs->low, low));
    if (g->dims[0] != x->dims[0] || x->dims[spatial + 1] % attrs->groups != 0 ||
        g->dims[spatial + 1] % attrs->groups != 0 ||
        e->result->dims[spatial] != x->dims[spatial + 1] / attrs->groups ||
        e->result->dims[spatial + 1] != g->dims[spatial + 1])
        return bad_shapes(e);
    const kt_number *xs = kt_numbers_of(e->arena, x), *gs = kt_numbers_of(e->arena, g);
    kt_number *totals = KT_NEW_ARRAY(e->arena, kt_number, count);
    size_t done = 0;
    do {
        memset(totals, 0, (size_t)count * sizeof *totals);
        if (kt_tensor_elements(g) > 0) sum_places(e, tap, low, xs, gs, totals);
        kt_numbers_store(e->result->dtype, e->result->data, done, (size_t)count, totals);
        done += (size_t)count;
    } while (kt_next_position(spatial, attrs->window.at, tap));
    return KT_OK;
}
