/* Operation nodes that move elements: slices, reshapes, joins. */
#include "frontend/operations/operations_impl.h"

#include <string.h>

static kt_dim_pool *dims_of(const kt_layer_call *call) { return call->trace->builder->graph->dims; }

/* ---- GetItem
 * ------------------------------------------------------------------------------------------------ The key is
 * an int, a slice, None (a new axis), an ellipsis, or a list of these. */
typedef enum key_kind { KEY_INT, KEY_SLICE, KEY_NEW_AXIS, KEY_ELLIPSIS, KEY_OTHER } key_kind;

static key_kind kind_of(const json_t *key) {
    if (!key || json_is_null(key)) return KEY_NEW_AXIS;
    if (json_is_integer(key)) return KEY_INT;
    const char *class_name = json_string_value(json_object_get(key, "class_name"));
    if (class_name && strcmp(class_name, "__slice__") == 0) return KEY_SLICE;
    if (class_name && strcmp(class_name, "__ellipsis__") == 0) return KEY_ELLIPSIS;
    return KEY_OTHER;
}

/* What is taken from x, axis by axis, before axes are dropped and added. */
typedef struct selection {
    kt_dim start[KT_MAX_RANK], limit[KT_MAX_RANK];
    int64_t strides[KT_MAX_RANK];
    kt_ints reversed;                /* axes that are turned round first */
    bool dropped[KT_MAX_RANK];       /* by an int */
    int new_before[KT_MAX_RANK + 1]; /* by axis: how many new axes stand before it */
} selection;

/* A bound of a slice: bound >= 0 counts from the front, below from the end; held between 0 and size. Counting
 * from the other end turns a bound b into -1 - b. */
static kt_dim clamp(kt_dim_pool *pool, int64_t bound, kt_dim size) {
    const int64_t far = (int64_t)1 << 40;
    if (bound > far) bound = far;
    if (bound < -far) bound = -far;
    kt_dim zero = kt_dim_const(pool, 0);
    if (bound >= 0) return kt_dim_min(pool, kt_dim_const(pool, bound), size);
    return kt_dim_max(pool, kt_dim_add_const(pool, size, bound), zero);
}

static bool slice_bound(const json_t *config, const char *name, int64_t fallback, int64_t *out_bound) {
    const json_t *value = json_object_get(config, name);
    *out_bound = fallback;
    if (!value || json_is_null(value)) return true;
    *out_bound = json_integer_value(value);
    return json_is_integer(value);
}

static bool take_slice(kt_layer_call *call, const json_t *key, int axis, kt_dim size, selection *s) {
    kt_dim_pool *pool = dims_of(call);
    const json_t *config = json_object_get(key, "config");
    int64_t start, stop, step;
    if (!slice_bound(config, "step", 1, &step) || step == 0 ||
        !slice_bound(config, "start", step > 0 ? 0 : -1, &start) || !slice_bound(config, "stop", 0, &stop)) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "a slice of it is not of integers, or has the step 0.");
        return false;
    }
    bool to_end = !json_is_integer(json_object_get(config, "stop"));
    if (step < 0) {
        start = -1 - start; /* ~start: cannot overflow */
        stop = -1 - stop;
        s->reversed.at[s->reversed.count++] = axis;
    }
    s->start[axis] = clamp(pool, start, size);
    s->limit[axis] = to_end ? size : kt_dim_max(pool, clamp(pool, stop, size), s->start[axis]);
    s->strides[axis] = step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step;
    return true;
}

static bool take_index(kt_layer_call *call, const json_t *key, int axis, kt_dim size, selection *s) {
    kt_dim_pool *pool = dims_of(call);
    int64_t index = json_integer_value(key), known;
    if (kt_dim_is_const(pool, size, &known) && (index >= known || index < -known)) {
        kt_trace_fail(call->trace, KT_INVALID, "index %lld is out of range: axis %d has %lld elements.",
                      (long long)index, axis, (long long)known);
        return false;
    }
    const int64_t far = (int64_t)1 << 40;
    if (index > far || index < -far) index = far;
    s->start[axis] = index >= 0 ? kt_dim_const(pool, index) : kt_dim_add_const(pool, size, index);
    s->limit[axis] = kt_dim_add_const(pool, s->start[axis], 1);
    s->strides[axis] = 1;
    s->dropped[axis] = true;
    return true;
}

static bool read_key(kt_layer_call *call, const json_t *const *keys, size_t count, const kt_type *type,
                     selection *s) {
    kt_dim_pool *pool = dims_of(call);
    int taken = 0, ellipses = 0;
    for (size_t i = 0; i < count; i++) {
        key_kind kind = kind_of(keys[i]);
        taken += kind == KEY_INT || kind == KEY_SLICE;
        ellipses += kind == KEY_ELLIPSIS;
        if (kind != KEY_OTHER) continue;
        kt_trace_fail(
            call->trace, KT_UNSUPPORTED,
            "its key is no integer, slice, None or Ellipsis; use keras.ops.take to pick by a tensor.");
        return false;
    }
    if (taken > type->rank || ellipses > 1) {
        kt_trace_fail(call->trace, KT_INVALID, "its key has %d entries for a tensor of %d axes.", taken,
                      type->rank);
        return false;
    }
    int axis = 0;
    for (size_t i = 0; i < count; i++) {
        switch (kind_of(keys[i])) {
        case KEY_INT:
            if (!take_index(call, keys[i], axis, type->dims[axis], s)) return false;
            axis++;
            break;
        case KEY_SLICE:
            if (!take_slice(call, keys[i], axis, type->dims[axis], s)) return false;
            axis++;
            break;
        case KEY_NEW_AXIS: s->new_before[axis]++; break;
        default:
            for (int skipped = type->rank - taken; skipped > 0; skipped--, axis++) {
                s->start[axis] = kt_dim_const(pool, 0);
                s->limit[axis] = type->dims[axis];
                s->strides[axis] = 1;
            }
        }
    }
    for (; axis < type->rank; axis++) {
        s->start[axis] = kt_dim_const(pool, 0);
        s->limit[axis] = type->dims[axis];
        s->strides[axis] = 1;
    }
    return true;
}

static kt_value reshape_checked(kt_layer_call *call, kt_value x, int rank, const kt_dim *shape) {
    if (rank <= KT_MAX_RANK) return kt_build_reshape(call->trace->builder, x, rank, shape);
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "its result has %d axes; at most %d are supported.", rank,
                  KT_MAX_RANK);
    return 0;
}

static void call_get_item(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    const kt_argument *key = kt_operation_argument(call, 1, "key");
    if (!x) return;
    if (!key || (key->kind != KT_ARGUMENT_LITERAL && key->kind != KT_ARGUMENT_NONE)) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "it is indexed by a tensor; use keras.ops.take to pick by a tensor.");
        return;
    }
    size_t count = json_is_array(key->literal) ? json_array_size(key->literal) : 1;
    const json_t **keys = KT_NEW_ARRAY(call->trace->context->arena, const json_t *, count);
    for (size_t i = 0; i < count; i++)
        keys[i] = json_is_array(key->literal) ? json_array_get(key->literal, i) : key->literal;

    kt_type type = *kt_build_type(b, x);
    selection s = {0};
    if (!read_key(call, keys, count, &type, &s)) return;
    if (s.reversed.count) x = kt_build_reverse(b, x, s.reversed.count, s.reversed.at);
    x = kt_build_slice(b, x, s.start, s.limit, s.strides);
    kt_type sliced = *kt_build_type(b, x);
    if (!x) return;
    kt_dim shape[2 * KT_MAX_RANK];
    int rank = 0;
    bool changed = false;
    for (int axis = 0; axis <= sliced.rank; axis++) {
        changed = changed || s.new_before[axis] || (axis < sliced.rank && s.dropped[axis]);
        for (int i = 0; i < s.new_before[axis] && rank < 2 * KT_MAX_RANK; i++)
            shape[rank++] = kt_dim_const(dims_of(call), 1);
        if (axis < sliced.rank && !s.dropped[axis] && rank < 2 * KT_MAX_RANK)
            shape[rank++] = sliced.dims[axis];
    }
    call->outputs[0] = changed ? reshape_checked(call, x, rank, shape) : x;
}
KT_OPERATION(get_item, "GetItem", KT_OPERATION_NUMPY, "x[key]: integers, slices, None, Ellipsis",
             call_get_item)

/* ---- reshapes -------------------------------------------------------------------------------- */
typedef struct shaped {
    kt_layer layer;
    const json_t *shape;
} shaped;
static const kt_option reshape_options[] = {
    {"newshape", KT_OPTION_JSON, offsetof(shaped, shape), NULL},
    KT_OPTIONS_END,
};
static const kt_option broadcast_options[] = {KT_FIELD(shaped, shape, JSON, NULL), KT_OPTIONS_END};

/* Reads sizes, of which one may be -1; out_free: which, or -1. */
static bool read_shape(kt_layer_call *call, const json_t *sizes, kt_ints *out_shape, int *out_free) {
    size_t count = json_is_array(sizes) ? json_array_size(sizes) : 1;
    bool valid = count <= KT_MAX_RANK;
    *out_free = -1;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *size = json_is_array(sizes) ? json_array_get(sizes, i) : sizes;
        int64_t number = json_is_null(size) ? -1 : json_integer_value(size);
        valid = (json_is_integer(size) || json_is_null(size)) && number >= -1 && number <= (int64_t)1 << 40 &&
                (number != -1 || *out_free < 0);
        if (number == -1) *out_free = (int)i;
        out_shape->at[out_shape->count++] = number;
    }
    if (!valid)
        kt_trace_fail(call->trace, KT_INVALID, "its shape must be at most %d sizes, one of which may be -1.",
                      KT_MAX_RANK);
    return valid;
}

static void call_reshape(kt_layer *layer, kt_layer_call *call) {
    kt_dim_pool *pool = dims_of(call);
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints sizes = {0};
    int unknown;
    if (!x || !read_shape(call, ((const shaped *)layer)->shape, &sizes, &unknown)) return;
    kt_dim shape[KT_MAX_RANK], product = kt_dim_const(pool, 1);
    for (uint32_t i = 0; i < sizes.count; i++) {
        shape[i] = kt_dim_const(pool, sizes.at[i]);
        if ((int)i != unknown) product = kt_dim_mul(pool, product, shape[i]);
    }
    if (unknown >= 0) {
        if (kt_dim_equals(pool, product, 0)) {
            kt_trace_fail(call->trace, KT_INVALID, "the size -1 cannot be told beside a size 0.");
            return;
        }
        kt_type type = *kt_build_type(call->trace->builder, x);
        shape[unknown] = kt_dim_floordiv(pool, kt_type_elements(pool, &type), product);
    }
    call->outputs[0] = kt_build_reshape(call->trace->builder, x, (int)sizes.count, shape);
}
KT_OPERATION_WITH(reshape, "Reshape", KT_OPERATION_NUMPY, "the same elements under another shape", shaped,
                  reshape_options, call_reshape)

static void call_broadcast_to(kt_layer *layer, kt_layer_call *call) {
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints sizes = {0};
    int unknown;
    if (!x || !read_shape(call, ((const shaped *)layer)->shape, &sizes, &unknown)) return;
    kt_dim shape[KT_MAX_RANK];
    for (uint32_t i = 0; i < sizes.count; i++) {
        if (sizes.at[i] < 0) {
            kt_trace_fail(call->trace, KT_UNSUPPORTED, "it is broadcast to a shape with an unknown size.");
            return;
        }
        shape[i] = kt_dim_const(dims_of(call), sizes.at[i]);
    }
    call->outputs[0] = kt_build_broadcast_to(call->trace->builder, x, (int)sizes.count, shape);
}
KT_OPERATION_WITH(broadcast_to, "BroadcastTo", KT_OPERATION_NUMPY, "x repeated to a shape", shaped,
                  broadcast_options, call_broadcast_to)

static void call_ravel(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_type type = *kt_build_type(call->trace->builder, x);
    kt_dim all = kt_type_elements(dims_of(call), &type);
    call->outputs[0] = kt_build_reshape(call->trace->builder, x, 1, &all);
}
KT_OPERATION(ravel, "Ravel", KT_OPERATION_NUMPY, "all elements in one axis", call_ravel)

typedef struct along {
    kt_layer layer;
    const json_t *axis;
} along;
static const kt_option axis_options[] = {KT_FIELD(along, axis, JSON, "null"), KT_OPTIONS_END};
static const kt_option first_axis_options[] = {KT_FIELD(along, axis, JSON, "0"), KT_OPTIONS_END};

/* Adds axes of size 1 at places of the result. */
static void call_expand_dims(kt_layer *layer, kt_layer_call *call) {
    const json_t *axis = ((const along *)layer)->axis;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_type type = *kt_build_type(call->trace->builder, x);
    size_t added = json_is_array(axis) ? json_array_size(axis) : 1;
    kt_ints axes;
    if (!axis || type.rank + added > KT_MAX_RANK) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "it needs an axis, and at most %d axes in all.",
                      KT_MAX_RANK);
        return;
    }
    int rank = type.rank + (int)added;
    if (!kt_operation_axes(call, axis, rank, &axes)) return;
    kt_dim shape[KT_MAX_RANK];
    uint32_t next = 0;
    for (int i = 0, from = 0; i < rank; i++) {
        bool is_new = next < axes.count && axes.at[next] == i;
        next += is_new;
        shape[i] = is_new ? kt_dim_const(dims_of(call), 1) : type.dims[from++];
    }
    call->outputs[0] = kt_build_reshape(call->trace->builder, x, rank, shape);
}
KT_OPERATION_WITH(expand_dims, "ExpandDims", KT_OPERATION_NUMPY, "a new axis of size 1", along, axis_options,
                  call_expand_dims)

static void call_squeeze(kt_layer *layer, kt_layer_call *call) {
    const json_t *axis = ((const along *)layer)->axis;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints axes;
    if (!x) return;
    kt_type type = *kt_build_type(call->trace->builder, x);
    if (!kt_operation_axes(call, axis, type.rank, &axes)) return;
    kt_dim shape[KT_MAX_RANK];
    int rank = 0;
    uint32_t next = 0;
    for (int i = 0; i < type.rank; i++) {
        bool chosen = next < axes.count && axes.at[next] == i,
             is_one = kt_dim_equals(dims_of(call), type.dims[i], 1);
        next += chosen;
        if (chosen && axis && !is_one) {
            kt_trace_fail(call->trace, KT_INVALID, "axis %d has not the size 1, so it cannot be dropped.", i);
            return;
        }
        if (!chosen || !is_one) shape[rank++] = type.dims[i];
    }
    call->outputs[0] = kt_build_reshape(call->trace->builder, x, rank, shape);
}
KT_OPERATION_WITH(squeeze, "Squeeze", KT_OPERATION_NUMPY, "x without axes of size 1", along, axis_options,
                  call_squeeze)

/* ---- permutations ---------------------------------------------------------------------------- */
typedef struct transpose {
    kt_layer layer;
    const json_t *axes;
} transpose;
static const kt_option transpose_options[] = {KT_FIELD(transpose, axes, JSON, "null"), KT_OPTIONS_END};

static void call_transpose(kt_layer *layer, kt_layer_call *call) {
    const json_t *axes = ((const transpose *)layer)->axes;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    int rank = kt_build_type(call->trace->builder, x)->rank;
    int64_t order[KT_MAX_RANK];
    kt_ints all;
    if (axes && (!json_is_array(axes) || json_array_size(axes) != (size_t)rank)) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'axes' must name each of the %d axes.", rank);
        return;
    }
    if (axes && !kt_operation_axes(call, axes, rank, &all)) return;
    for (int i = 0; i < rank; i++) {
        int64_t axis = axes ? json_integer_value(json_array_get(axes, i)) : rank - 1 - i;
        order[i] = axis < 0 ? axis + rank : axis;
    }
    call->outputs[0] = kt_build_transpose(call->trace->builder, x, order);
}
KT_OPERATION_WITH(transpose, "Transpose", KT_OPERATION_NUMPY, "the axes in another order", transpose,
                  transpose_options, call_transpose)

typedef struct swapaxes {
    kt_layer layer;
    int64_t axis1, axis2;
} swapaxes;
static const kt_option swapaxes_options[] = {
    KT_FIELD(swapaxes, axis1, INT, NULL),
    KT_FIELD(swapaxes, axis2, INT, NULL),
    KT_OPTIONS_END,
};

static void call_swapaxes(kt_layer *layer, kt_layer_call *call) {
    const swapaxes *s = (const swapaxes *)layer;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    int rank = kt_build_type(call->trace->builder, x)->rank;
    int a = kt_call_axis(call, s->axis1, rank), b = kt_call_axis(call, s->axis2, rank);
    if (a < 0 || b < 0) return;
    int64_t order[KT_MAX_RANK];
    for (int i = 0; i < rank; i++) order[i] = i == a ? b : i == b ? a : i;
    call->outputs[0] = kt_build_transpose(call->trace->builder, x, order);
}
KT_OPERATION_WITH(swapaxes, "Swapaxes", KT_OPERATION_NUMPY, "two axes exchanged", swapaxes, swapaxes_options,
                  call_swapaxes)

static void call_flip(kt_layer *layer, kt_layer_call *call) {
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints axes;
    if (!x) return;
    int rank = kt_build_type(call->trace->builder, x)->rank;
    if (!kt_operation_axes(call, ((const along *)layer)->axis, rank, &axes)) return;
    call->outputs[0] = axes.count ? kt_build_reverse(call->trace->builder, x, axes.count, axes.at) : x;
}
KT_OPERATION_WITH(flip, "Flip", KT_OPERATION_NUMPY, "axes turned round", along, axis_options, call_flip)

/* ---- joins ----------------------------------------------------------------------------------- */
static void call_concatenate(kt_layer *layer, kt_layer_call *call) {
    uint32_t count;
    kt_value *parts;
    kt_ints axes;
    if (!kt_operation_tensors(call, 0, "xs", &count, &parts)) return;
    int rank = kt_build_type(call->trace->builder, parts[0])->rank;
    if (!kt_operation_axes(call, ((const along *)layer)->axis, rank, &axes)) return;
    if (axes.count != 1) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "it joins along one axis, and is given %u.", axes.count);
        return;
    }
    call->outputs[0] = kt_build_concat(call->trace->builder, parts, count, (int)axes.at[0]);
}
KT_OPERATION_WITH(concatenate, "Concatenate", KT_OPERATION_NUMPY, "tensors joined along an axis", along,
                  first_axis_options, call_concatenate)

static void call_stack(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    uint32_t count;
    kt_value *parts;
    kt_ints axes;
    if (!kt_operation_tensors(call, 0, "x", &count, &parts)) return;
    kt_type type = *kt_build_type(b, parts[0]);
    if (type.rank == KT_MAX_RANK) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "its result has more than %d axes.", KT_MAX_RANK);
        return;
    }
    if (!kt_operation_axes(call, ((const along *)layer)->axis, type.rank + 1, &axes)) return;
    if (axes.count != 1) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "it stacks along one axis, and is given %u.", axes.count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        kt_type part = *kt_build_type(b, parts[i]);
        if (part.rank != type.rank) {
            kt_trace_fail(call->trace, KT_INVALID, "its tensors have different numbers of axes.");
            return;
        }
        kt_dim shape[KT_MAX_RANK];
        for (int axis = 0, from = 0; axis <= type.rank; axis++)
            shape[axis] = axis == axes.at[0] ? kt_dim_const(dims_of(call), 1) : part.dims[from++];
        parts[i] = kt_build_reshape(b, parts[i], type.rank + 1, shape);
    }
    call->outputs[0] = kt_build_concat(b, parts, count, (int)axes.at[0]);
}
KT_OPERATION_WITH(stack, "Stack", KT_OPERATION_NUMPY, "tensors stacked along a new axis", along,
                  first_axis_options, call_stack)
