/* Operation nodes that move elements: splits, stacks, rolls, repetitions, padding, boxes at positions that
 * data gives. What no view can say picks by positions, which are computed from sizes. */
#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct along {
    kt_layer layer;
    const json_t *axis;
} along;

/* An axis option that is one int; -1 and a problem if it is none. */
static int one_axis(const kt_layer_call *call, const json_t *axis, int rank) {
    kt_ints axes;
    if (!kt_operation_axes(call, axis, rank, &axes)) return -1;
    if (axis && axes.count == 1) return (int)axes.at[0];
    kt_trace_fail(call->trace, KT_INVALID, "it needs one axis.");
    return -1;
}

/* ---- turning round --------------------------------------------------------------------------- */
static void flip_axis(kt_layer_call *call, int axis, int least_rank) {
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    if (kt_build_type(call->trace->builder, x)->rank < least_rank) {
        kt_trace_fail(call->trace, KT_INVALID, "its input needs at least %d axes.", least_rank);
        return;
    }
    call->outputs[0] = kt_build_reverse(call->trace->builder, x, 1, (const int64_t[]){axis});
}
static void call_fliplr(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    flip_axis(call, 1, 2);
}
static void call_flipud(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    flip_axis(call, 0, 1);
}
KT_OPERATION(fliplr, "Fliplr", KT_OPERATION_NUMPY, "the second axis turned round", call_fliplr)
KT_OPERATION(flipud, "Flipud", KT_OPERATION_NUMPY, "the first axis turned round", call_flipud)

typedef struct rot90 {
    kt_layer layer;
    int64_t k;
    const json_t *axes;
} rot90;
static const kt_option rot90_options[] = {
    KT_FIELD(rot90, k, INT, "1"),
    KT_FIELD(rot90, axes, JSON, "[0, 1]"),
    KT_OPTIONS_END,
};

static void call_rot90(kt_layer *layer, kt_layer_call *call) {
    const rot90 *r = (const rot90 *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "array");
    kt_ints axes;
    if (!x || !kt_operation_ints(call, "axes", r->axes, &axes)) return;
    int rank = kt_build_type(b, x)->rank;
    if (axes.count != 2) {
        kt_trace_fail(call->trace, KT_INVALID, "it turns in the plane of two axes.");
        return;
    }
    int from = kt_call_axis(call, axes.at[0], rank), to = kt_call_axis(call, axes.at[1], rank);
    if (from < 0 || to < 0 || from == to) return;
    int64_t turns = (r->k % 4 + 4) % 4, order[KT_MAX_RANK], first = from, second = to;
    for (int i = 0; i < rank; i++) order[i] = i == from ? to : i == to ? from : i;
    if (turns == 1 || turns == 2) x = kt_build_reverse(b, x, 1, &second);
    if (turns == 2) x = kt_build_reverse(b, x, 1, &first);
    if (turns % 2) x = kt_build_transpose(b, x, order);
    if (turns == 3) x = kt_build_reverse(b, x, 1, &second);
    call->outputs[0] = x;
}
KT_OPERATION_WITH(rot90, "Rot90", KT_OPERATION_NUMPY, "turned by right angles in a plane", rot90,
                  rot90_options, call_rot90)

typedef struct moveaxis {
    kt_layer layer;
    const json_t *source, *destination;
} moveaxis;
static const kt_option moveaxis_options[] = {
    KT_FIELD(moveaxis, source, JSON, NULL),
    KT_FIELD(moveaxis, destination, JSON, NULL),
    KT_OPTIONS_END,
};

static void call_moveaxis(kt_layer *layer, kt_layer_call *call) {
    const moveaxis *m = (const moveaxis *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints from, to, checked;
    if (!x || !kt_operation_ints(call, "source", m->source, &from) ||
        !kt_operation_ints(call, "destination", m->destination, &to))
        return;
    int rank = kt_build_type(b, x)->rank;
    if (!kt_operation_axes(call, m->source, rank, &checked) ||
        !kt_operation_axes(call, m->destination, rank, &checked))
        return;
    if (from.count != to.count) {
        kt_trace_fail(call->trace, KT_INVALID, "it needs as many destinations as sources.");
        return;
    }
    int64_t order[KT_MAX_RANK];
    bool moved[KT_MAX_RANK] = {false};
    for (int i = 0; i < rank; i++) order[i] = -1;
    for (uint32_t i = 0; i < from.count; i++) {
        int64_t source = from.at[i] + (from.at[i] < 0 ? rank : 0);
        order[to.at[i] + (to.at[i] < 0 ? rank : 0)] = source;
        moved[source] = true;
    }
    for (int i = 0, next = 0; i < rank; i++) {
        if (order[i] >= 0) continue;
        while (moved[next]) next++;
        order[i] = next++;
    }
    call->outputs[0] = kt_build_transpose(b, x, order);
}
KT_OPERATION_WITH(moveaxis, "Moveaxis", KT_OPERATION_NUMPY, "axes at other places", moveaxis,
                  moveaxis_options, call_moveaxis)

/* ---- joining --------------------------------------------------------------------------------- */
/* x with at least `rank` axes; NumPy's places for new ones: the third behind the others, the rest before. */
static kt_value at_least(kt_builder *b, kt_value x, int rank) {
    int before = rank < 2 ? rank : 2;
    while (kt_build_type(b, x)->rank < before) x = kt_add_axis(b, x, 0);
    return kt_build_type(b, x)->rank < rank ? kt_add_axis(b, x, rank - 1) : x;
}

static void join(kt_layer_call *call, int axis, int least_rank) {
    kt_builder *b = call->trace->builder;
    uint32_t count;
    kt_value *parts;
    if (!kt_operation_tensors(call, 0, "xs", &count, &parts)) return;
    for (uint32_t i = 0; i < count; i++) parts[i] = at_least(b, parts[i], least_rank);
    bool vectors = kt_build_type(b, parts[0])->rank == 1;
    call->outputs[0] = kt_build_concat(b, parts, count, vectors ? 0 : axis);
}
static void call_vstack(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    join(call, 0, 2);
}
static void call_hstack(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    join(call, 1, 1);
}
static void call_dstack(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    join(call, 2, 3);
}
KT_OPERATION(vstack, "Vstack", KT_OPERATION_NUMPY, "tensors joined along the first axis", call_vstack)
KT_OPERATION(hstack, "Hstack", KT_OPERATION_NUMPY, "tensors joined along the second axis", call_hstack)
KT_OPERATION(dstack, "Dstack", KT_OPERATION_NUMPY, "tensors joined along the third axis", call_dstack)

static const kt_option axis_options[] = {KT_FIELD(along, axis, JSON, "null"), KT_OPTIONS_END};

static void call_append(kt_layer *layer, kt_layer_call *call) {
    const json_t *axis = ((const along *)layer)->axis;
    kt_builder *b = call->trace->builder;
    kt_operand x, y;
    if (!kt_operation_operand(call, 0, "x1", &x) || !kt_operation_operand(call, 1, "x2", &y)) return;
    kt_dtype dtype = kt_operand_promote(&x, &y);
    kt_value parts[] = {kt_operand_cast(call, &x, dtype), kt_operand_cast(call, &y, dtype)};
    if (!axis) {
        parts[0] = kt_flatten(b, parts[0]);
        parts[1] = kt_flatten(b, parts[1]);
    }
    int at = axis ? one_axis(call, axis, kt_build_type(b, parts[0])->rank) : 0;
    if (at >= 0) call->outputs[0] = kt_build_concat(b, parts, 2, at);
}
KT_OPERATION_WITH(append, "Append", KT_OPERATION_NUMPY, "x2 behind x1", along, axis_options, call_append)

/* ---- splitting ------------------------------------------------------------------------------- */
typedef struct split {
    kt_layer layer;
    const json_t *indices_or_sections;
    int64_t axis, num;
} split;
#define SECTIONS KT_FIELD(split, indices_or_sections, JSON, NULL)
static const kt_option split_options[] = {SECTIONS, KT_FIELD(split, axis, INT, "0"), KT_OPTIONS_END};
static const kt_option fixed_split_options[] = {SECTIONS, KT_OPTIONS_END};

/* More parts than a file can ask for in earnest. */
enum { MOST_PARTS = 4096 };

static uint32_t count_parts(const kt_layer *layer) {
    const json_t *sections = ((const split *)layer)->indices_or_sections;
    json_int_t parts =
        json_is_integer(sections) ? json_integer_value(sections) : (json_int_t)json_array_size(sections) + 1;
    return parts < 1 || parts > MOST_PARTS ? 1 : (uint32_t)parts;
}

static kt_dim split_bound(kt_dim_pool *dims, json_int_t index, kt_dim size) {
    if (index >= 0) return kt_dim_min(dims, kt_dim_const(dims, index), size);
    return kt_dim_max(dims, kt_dim_add_const(dims, size, index), kt_dim_const(dims, 0));
}

/* Splits along an axis; uneven: the first parts may be longer by one. */
static void split_at(const split *s, kt_layer_call *call, int64_t axis, bool uneven) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    int at = kt_call_axis(call, axis, type.rank);
    if (at < 0) return;
    kt_dim size = type.dims[at], begin = kt_dim_const(dims, 0);
    const json_t *indices = s->indices_or_sections;
    json_int_t parts =
        json_is_integer(indices) ? json_integer_value(indices) : (json_int_t)call->output_count;
    if (parts != call->output_count) {
        kt_trace_fail(call->trace, KT_INVALID, "it cannot be split into %lld parts.", (long long)parts);
        return;
    }
    kt_dim each = kt_dim_floordiv(dims, size, kt_dim_const(dims, parts));
    if (json_is_integer(indices) && !uneven &&
        !kt_build_require_equal(b, size, kt_dim_mul_const(dims, each, parts),
                                "the axis that is split evenly, and all parts,"))
        return;
    for (uint32_t i = 0; i < call->output_count; i++) {
        kt_dim end = size;
        if (json_is_integer(indices)) {
            kt_dim longer = kt_dim_min(dims, kt_dim_const(dims, i + 1),
                                       kt_dim_mod(dims, size, kt_dim_const(dims, parts)));
            end = kt_dim_mul_const(dims, each, i + 1);
            if (uneven) end = kt_dim_add(dims, end, longer);
        } else if (i + 1 < call->output_count) {
            end = split_bound(dims, json_integer_value(json_array_get(indices, i)), size);
        }
        end = kt_dim_max(dims, begin, end);
        call->outputs[i] = kt_slice_axis(b, x, at, begin, end);
        begin = end;
    }
}
static void call_split(kt_layer *layer, kt_layer_call *call) {
    split_at((split *)layer, call, ((split *)layer)->axis, false);
}
static void call_array_split(kt_layer *layer, kt_layer_call *call) {
    split_at((split *)layer, call, ((split *)layer)->axis, true);
}
static void call_vsplit(kt_layer *layer, kt_layer_call *call) { split_at((split *)layer, call, 0, false); }
static void call_dsplit(kt_layer *layer, kt_layer_call *call) { split_at((split *)layer, call, 2, false); }
static void call_hsplit(kt_layer *layer, kt_layer_call *call) {
    const kt_argument *x = kt_operation_argument(call, 0, "x");
    bool vector = x && x->value && kt_build_type(call->trace->builder, x->value)->rank == 1;
    split_at((split *)layer, call, vector ? 0 : 1, false);
}
#define SPLIT(c_name, keras_name, documentation, table)                                                      \
    KT_OPERATION_OUTPUTS(c_name, keras_name, KT_OPERATION_NUMPY, documentation, split, table, call_##c_name, \
                         count_parts)
SPLIT(split, "Split", "equal parts, or parts between positions", split_options)
SPLIT(array_split, "ArraySplit", "parts of nearly equal sizes", split_options)
SPLIT(hsplit, "Hsplit", "parts along the second axis", fixed_split_options)
SPLIT(vsplit, "Vsplit", "parts along the first axis", fixed_split_options)
SPLIT(dsplit, "Dsplit", "parts along the third axis", fixed_split_options)

static const kt_option unstack_options[] = {
    KT_FIELD(split, num, OPTIONAL_INT, "null"),
    KT_FIELD(split, axis, INT, "0"),
    KT_OPTIONS_END,
};

/* Without num, only the input's shape says how many outputs there are. */
static uint32_t count_unstacked(const kt_layer *layer) {
    int64_t num = ((const split *)layer)->num;
    return num < 1 || num > MOST_PARTS ? KT_OUTPUTS_OPEN : (uint32_t)num;
}

static void call_unstack(kt_layer *layer, kt_layer_call *call) {
    const split *s = (const split *)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    int axis = kt_call_axis(call, s->axis, type.rank);
    int64_t size = s->num;
    if (axis < 0) return;
    bool known = kt_dim_is_const(dims, type.dims[axis], &size) || s->num != KT_NONE_INT;
    if (!known || size > call->output_count) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "an axis of unknown size, or of more than %u, is not taken apart.", call->output_count);
        return;
    }
    for (int64_t i = 0; i < size; i++) {
        kt_value part = kt_slice_axis(b, x, axis, kt_dim_const(dims, i), kt_dim_const(dims, i + 1));
        call->outputs[i] = kt_drop_axis(b, part, axis);
    }
}
KT_OPERATION_OUTPUTS(unstack, "Unstack", KT_OPERATION_CORE, "the parts along an axis, which vanishes", split,
                     unstack_options, call_unstack, count_unstacked)

/* ---- repeating and rolling ------------------------------------------------------------------- */
typedef struct repeat {
    kt_layer layer;
    const json_t *repeats, *axis;
} repeat;
static const kt_option repeat_options[] = {
    KT_FIELD(repeat, repeats, JSON, NULL),
    KT_FIELD(repeat, axis, JSON, "null"),
    KT_OPTIONS_END,
};
static const kt_option tile_options[] = {KT_FIELD(repeat, repeats, JSON, NULL), KT_OPTIONS_END};

/* `times` copies along an axis: of each element, or of all one behind the other. */
static kt_value copy_along(kt_builder *b, kt_value x, int axis, int64_t times, bool each) {
    kt_type type = *kt_build_type(b, x);
    kt_dim shape[KT_MAX_RANK + 1];
    int64_t axes[KT_MAX_RANK];
    if (times == 1) return x;
    if (type.rank == KT_MAX_RANK)
        return kt_build_fail(b, KT_UNSUPPORTED, "it repeats along one of %d axes.", KT_MAX_RANK);
    int added = each ? axis + 1 : axis;
    for (int i = 0; i < type.rank; i++) {
        axes[i] = i < added ? i : i + 1;
        shape[axes[i]] = type.dims[i];
    }
    shape[added] = kt_dim_const(b->graph->dims, times);
    x = kt_build_broadcast(b, x, type.rank + 1, shape, axes);
    type.dims[axis] = kt_dim_mul_const(b->graph->dims, type.dims[axis], times);
    return kt_build_reshape(b, x, type.rank, type.dims);
}

/* Element i as often as counts[i] says. */
static kt_value repeat_unevenly(kt_layer_call *call, kt_value x, int axis, const json_t *counts) {
    kt_builder *b = call->trace->builder;
    size_t count = json_array_size(counts);
    int64_t total = 0, done = 0;
    for (size_t i = 0; i < count; i++) {
        json_int_t times = json_integer_value(json_array_get(counts, i));
        if (times < 0 || times > INT32_MAX || (total += times) > INT32_MAX)
            return kt_build_fail(b, KT_INVALID, "the option 'repeats' must hold numbers of at least 0.");
    }
    int64_t *from = KT_NEW_ARRAY(call->trace->context->arena, int64_t, (size_t)total + 1);
    for (size_t i = 0; i < count; i++)
        for (json_int_t k = json_integer_value(json_array_get(counts, i)); k > 0; k--)
            from[done++] = (int64_t)i;
    kt_dim size = kt_dim_const(b->graph->dims, (int64_t)count);
    if (!kt_build_require_equal(b, kt_build_type(b, x)->dims[axis], size,
                                "the axis, and the list 'repeats',"))
        return 0;
    kt_type type = kt_type_of(b->graph->dims, KT_I64, 1, &total);
    return kt_build_gather(b, x, kt_build_constant(b, &type, from), axis, 0);
}

static void call_repeat(kt_layer *layer, kt_layer_call *call) {
    const repeat *r = (const repeat *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    if (!r->axis) x = kt_flatten(b, x);
    int axis = r->axis ? one_axis(call, r->axis, kt_build_type(b, x)->rank) : 0;
    if (axis < 0) return;
    const json_t *single = json_array_size(r->repeats) == 1 ? json_array_get(r->repeats, 0) : r->repeats;
    if (json_is_integer(single) && json_integer_value(single) >= 0 && json_integer_value(single) <= INT32_MAX)
        call->outputs[0] = copy_along(b, x, axis, json_integer_value(single), true);
    else if (json_is_array(r->repeats))
        call->outputs[0] = repeat_unevenly(call, x, axis, r->repeats);
    else
        kt_trace_fail(call->trace, KT_INVALID, "the option 'repeats' must hold numbers of at least 0.");
}
KT_OPERATION_WITH(repeat, "Repeat", KT_OPERATION_NUMPY, "each element several times", repeat, repeat_options,
                  call_repeat)

static void call_tile(kt_layer *layer, kt_layer_call *call) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints times;
    if (!x || !kt_operation_ints(call, "repeats", ((const repeat *)layer)->repeats, &times)) return;
    while (kt_build_type(b, x)->rank < (int)times.count) x = kt_add_axis(b, x, 0);
    int rank = kt_build_type(b, x)->rank;
    for (uint32_t i = 0; i < times.count; i++) {
        if (times.at[i] < 0)
            kt_trace_fail(call->trace, KT_INVALID, "the option 'repeats' must be at least 0.");
        if (times.at[i] >= 0) x = copy_along(b, x, rank - (int)times.count + (int)i, times.at[i], false);
    }
    call->outputs[0] = x;
}
KT_OPERATION_WITH(tile, "Tile", KT_OPERATION_NUMPY, "x several times along each axis", repeat, tile_options,
                  call_tile)

typedef struct roll {
    kt_layer layer;
    const json_t *shift, *axis;
} roll;
static const kt_option roll_options[] = {
    KT_FIELD(roll, shift, JSON, NULL),
    KT_FIELD(roll, axis, JSON, "null"),
    KT_OPTIONS_END,
};

static kt_value roll_axis(kt_builder *b, kt_value x, int axis, int64_t shift) {
    kt_dim size = kt_build_type(b, x)->dims[axis];
    kt_value from = kt_add_number(b, kt_positions(b, size), -(double)shift);
    return kt_build_gather(b, x, kt_mod_dim(b, from, size), axis, 0);
}

static void call_roll(kt_layer *layer, kt_layer_call *call) {
    const roll *r = (const roll *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints shifts, axes = {1, {0}};
    if (!x || !kt_operation_ints(call, "shift", r->shift, &shifts)) return;
    kt_type type = *kt_build_type(b, x);
    if (!r->axis) x = kt_flatten(b, x);
    if (r->axis && !kt_operation_ints(call, "axis", r->axis, &axes)) return;
    if (shifts.count != axes.count && shifts.count != 1 && axes.count != 1) {
        kt_trace_fail(call->trace, KT_INVALID, "it needs as many shifts as axes.");
        return;
    }
    uint32_t count = shifts.count > axes.count ? shifts.count : axes.count;
    for (uint32_t i = 0; i < count; i++) {
        int axis = kt_call_axis(call, axes.at[axes.count == 1 ? 0 : i], r->axis ? type.rank : 1);
        if (axis < 0) return;
        x = roll_axis(b, x, axis, shifts.at[shifts.count == 1 ? 0 : i]);
    }
    call->outputs[0] = r->axis ? x : kt_build_reshape(b, x, type.rank, type.dims);
}
KT_OPERATION_WITH(roll, "Roll", KT_OPERATION_NUMPY, "moved along axes, round the end", roll, roll_options,
                  call_roll)

typedef struct sequences {
    kt_layer layer;
    int64_t sequence_length, sequence_stride;
} sequences;
static const kt_option sequence_options[] = {
    KT_FIELD(sequences, sequence_length, INT, NULL),
    KT_FIELD(sequences, sequence_stride, INT, NULL),
    KT_OPTIONS_END,
};

static void call_extract_sequences(kt_layer *layer, kt_layer_call *call) {
    const sequences *s = (const sequences *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x) return;
    int rank = kt_build_type(b, x)->rank;
    if (!rank || s->sequence_length < 1 || s->sequence_length > INT32_MAX || s->sequence_stride < 1 ||
        s->sequence_stride > INT32_MAX) {
        kt_trace_fail(call->trace, KT_INVALID,
                      "it takes an axis apart, in lengths and strides of at least 1.");
        return;
    }
    call->outputs[0] = kt_open_windows(b, x, rank - 1, s->sequence_length, s->sequence_stride, 1);
}
KT_OPERATION_WITH(extract_sequences, "ExtractSequences", KT_OPERATION_MATH,
                  "overlapping parts of the last axis", sequences, sequence_options, call_extract_sequences)
