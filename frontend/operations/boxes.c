/* Operation nodes that take or replace a box of a tensor where it begins: Slice, SliceUpdate.
 *
 * Where a box begins may be data, so elements are picked by positions; those that are known fold. As with
 * Keras on JAX, a beginning below 0 counts from the end, and a box that would reach outside is moved inside.
 */
#include "frontend/operations/operations_impl.h"

typedef struct box {
    kt_layer layer;
    const json_t *shape; /* -1: to the end */
} box;
static const kt_option slice_options[] = {
    KT_FIELD(box, shape, JSON, NULL),
    KT_OPTIONS_END,
};

/* Where the box begins along each axis, i64 scalars; false and a problem if that is not told. */
static bool take_starts(kt_layer_call *call, int rank, kt_value out_starts[KT_MAX_RANK]) {
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    const kt_argument *given = kt_operation_argument(call, 1, "start_indices");
    kt_value at = 0;
    bool listed = given && given->kind == KT_ARGUMENT_LIST;
    if (!listed) at = kt_operation_tensor(call, 1, "start_indices");
    if (!listed && !at) return false;
    bool fits =
        listed ? given->count == (uint32_t)rank
               : kt_build_type(b, at)->rank == 1 && kt_dim_equals(dims, kt_build_type(b, at)->dims[0], rank);
    if (!fits) {
        kt_trace_fail(call->trace, KT_INVALID, "its start_indices must be %d numbers.", rank);
        return false;
    }
    for (int i = 0; i < rank; i++) {
        kt_value start;
        if (listed) {
            kt_layer_call item = *call;
            item.arguments = &given->items[i];
            item.argument_count = 1;
            start = kt_operation_tensor(&item, 0, "start_indices");
            if (start && kt_build_type(b, start)->rank) start = kt_build_reshape(b, start, 0, NULL);
        } else {
            start =
                kt_drop_axis(b, kt_slice_axis(b, at, 0, kt_dim_const(dims, i), kt_dim_const(dims, i + 1)), 0);
        }
        if (!start) return false;
        out_starts[i] = kt_build_cast(b, start, KT_I64);
    }
    return true;
}

/* From `start` places on, of `size` in all, so that `length` of them are left. */
static kt_value hold_start(kt_builder *b, kt_value start, kt_dim size, kt_dim length) {
    kt_value zero = kt_build_like(b, start, 0),
             last = kt_build_size(b, kt_dim_sub(b->graph->dims, size, length));
    kt_value from_end = kt_add_dim(b, start, size);
    start = kt_build_select(b, kt_build_lt(b, start, zero), from_end, start);
    return kt_build_maximum(b, kt_build_minimum(b, start, last), zero);
}

static void call_slice(kt_layer *layer, kt_layer_call *call) {
    kt_ints shape;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "inputs"), starts[KT_MAX_RANK];
    if (!x || !kt_operation_ints(call, "shape", ((const box *)layer)->shape, &shape)) return;
    kt_type type = *kt_build_type(b, x);
    if (shape.count != type.rank) {
        kt_trace_fail(call->trace, KT_INVALID, "its shape must have %d sizes.", type.rank);
        return;
    }
    if (!take_starts(call, type.rank, starts)) return;
    for (int i = 0; i < type.rank; i++) {
        const kt_argument *given = kt_operation_argument(call, 1, "start_indices");
        kt_dim length = kt_dim_const(dims, shape.at[i]);
        if (shape.at[i] < 0) {
            const json_t *start = json_array_get(given->literal, (size_t)i);
            if (given->kind == KT_ARGUMENT_LIST && given->items[i].kind == KT_ARGUMENT_LITERAL)
                start = given->items[i].literal;
            if (!json_is_integer(start) || json_integer_value(start) < 0) {
                kt_trace_fail(call->trace, KT_UNSUPPORTED,
                              "it takes all behind a position that only the data tell.");
                return;
            }
            length = kt_dim_add_const(dims, type.dims[i], -json_integer_value(start));
        }
        if (length == type.dims[i]) continue;
        kt_value at = kt_positions(b, length), start = hold_start(b, starts[i], type.dims[i], length);
        at = kt_build_add(b, at, kt_build_broadcast_to(b, start, 1, &length));
        x = kt_build_gather(b, x, at, i, 0);
    }
    call->outputs[0] = x;
}
KT_OPERATION_WITH(slice, "Slice", KT_OPERATION_CORE, "a box of x that begins at positions", box,
                  slice_options, call_slice)

/* Each element of x is one of updates if it is in the box. */
static void call_slice_update(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "inputs"),
             updates = x ? kt_operation_tensor(call, 2, "updates") : 0, starts[KT_MAX_RANK], inside = 0;
    if (!updates) return;
    kt_type type = *kt_build_type(b, x), box = *kt_build_type(b, updates);
    if (type.rank != box.rank) {
        kt_trace_fail(call->trace, KT_INVALID, "its updates must have %d axes.", type.rank);
        return;
    }
    if (!take_starts(call, type.rank, starts)) return;
    updates = kt_build_cast(b, updates, type.dtype);
    for (int i = 0; i < type.rank; i++) {
        if (box.dims[i] == type.dims[i]) continue;
        kt_dim size = type.dims[i];
        kt_value start = hold_start(b, starts[i], size, box.dims[i]);
        kt_value at = kt_build_sub(b, kt_positions(b, size), kt_build_broadcast_to(b, start, 1, &size));
        kt_value end = kt_build_broadcast_to(b, kt_build_size(b, box.dims[i]), 1, &size);
        kt_value within =
            kt_build_and(b, kt_build_ge(b, at, kt_build_like(b, at, 0)), kt_build_lt(b, at, end));
        within = kt_build_broadcast(b, within, type.rank, type.dims, (const int64_t[]){i});
        inside = inside ? kt_build_and(b, inside, within) : within;
        updates = kt_build_gather(b, updates, at, i, 0); /* which holds it inside */
    }
    call->outputs[0] = inside ? kt_build_select(b, inside, updates, x) : updates;
}
KT_OPERATION(slice_update, "SliceUpdate", KT_OPERATION_CORE, "x with a box of it replaced", call_slice_update)
