/* Rearrange: axes split, moved and joined as a pattern of names says, "b (h k) c -> b h (k c)". */
#include "frontend/operations/operations_impl.h"

#include <ctype.h>
#include <string.h>

/* One side of a pattern: names, in groups that are one axis each. */
typedef struct side {
    struct {
        const char *at;
        size_t count;
    } names[KT_MAX_RANK];
    int groups[KT_MAX_RANK]; /* by name: the number of its axis */
    int count, axes;
} side;

/* Reads up to `end`; false if a parenthesis or a character is out of place, or there are too many names. */
static bool read_side(const char *at, const char *end, side *out) {
    bool grouped = false;
    *out = (side){0};
    while (at < end) {
        if (isalnum((unsigned char)*at) || *at == '_') {
            const char *from = at;
            while (at < end && (isalnum((unsigned char)*at) || *at == '_')) at++;
            if (out->count == KT_MAX_RANK) return false;
            out->names[out->count].at = from;
            out->names[out->count].count = (size_t)(at - from);
            out->groups[out->count++] = out->axes;
            out->axes += !grouped;
            continue;
        }
        bool opens = *at == '(', closes = *at == ')';
        if (!isspace((unsigned char)*at) && !(opens && !grouped) && !(closes && grouped)) return false;
        out->axes += closes;
        grouped = opens || (grouped && !closes);
        at++;
    }
    return !grouped && out->axes <= KT_MAX_RANK;
}

static int find_name(const side *s, const side *of, int name) {
    for (int i = 0; i < s->count; i++)
        if (s->names[i].count == of->names[name].count &&
            memcmp(s->names[i].at, of->names[name].at, s->names[i].count) == 0)
            return i;
    return -1;
}

/* The length of a name that the call gives; 0 if it gives none. */
static int64_t given_length(const kt_layer_call *call, const side *s, int name) {
    for (uint32_t i = 0; i < call->argument_count; i++) {
        const kt_argument *argument = &call->arguments[i];
        if (!argument->name || argument->kind != KT_ARGUMENT_LITERAL) continue;
        if (strlen(argument->name) == s->names[name].count &&
            memcmp(argument->name, s->names[name].at, s->names[name].count) == 0)
            return json_integer_value(argument->literal);
    }
    return 0;
}

/* The size of each name on the left; one of each group may be left to be told by the others. */
static bool find_sizes(kt_layer_call *call, const side *from, const kt_type *type, kt_dim *out_sizes) {
    kt_dim_pool *dims = kt_call_dims(call);
    for (int axis = 0; axis < from->axes; axis++) {
        kt_dim known = kt_dim_const(dims, 1), size = type->dims[axis];
        int unknown = -1;
        for (int i = 0; i < from->count; i++) {
            if (from->groups[i] != axis) continue;
            bool alone = (i == 0 || from->groups[i - 1] != axis) &&
                         (i + 1 == from->count || from->groups[i + 1] != axis);
            int64_t length = alone ? 0 : given_length(call, from, i);
            if (length < 0 || length > INT32_MAX || (!length && unknown >= 0)) {
                kt_trace_fail(call->trace, KT_INVALID, "the lengths of its pattern's axes are not all told.");
                return false;
            }
            if (!length) unknown = i;
            out_sizes[i] = kt_dim_const(dims, length);
            if (length) known = kt_dim_mul_const(dims, known, length);
        }
        if (unknown >= 0) out_sizes[unknown] = kt_dim_floordiv(dims, size, known);
    }
    return true;
}

static void call_rearrange(kt_layer *layer, kt_layer_call *call) {
    (void)layer;
    kt_builder *b = call->trace->builder;
    kt_dim_pool *dims = b->graph->dims;
    kt_value x = kt_operation_tensor(call, 0, "tensor");
    const kt_argument *given = kt_operation_argument(call, 1, "pattern");
    const char *pattern = given ? json_string_value(given->literal) : NULL;
    const char *arrow = pattern ? strstr(pattern, "->") : NULL;
    side from, to;
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    bool fits = arrow && read_side(pattern, arrow, &from) &&
                read_side(arrow + 2, arrow + strlen(arrow), &to) && from.axes == type.rank &&
                from.count == to.count;
    int64_t order[KT_MAX_RANK];
    for (int i = 0; fits && i < to.count; i++) {
        order[i] = find_name(&from, &to, i);
        fits = order[i] >= 0 && find_name(&to, &to, i) == i;
    }
    if (!fits) {
        kt_trace_fail(call->trace, KT_INVALID, "the pattern “%s” does not fit a tensor of %d axes.",
                      pattern ? pattern : "", type.rank);
        return;
    }
    kt_dim sizes[KT_MAX_RANK], shape[KT_MAX_RANK];
    if (!find_sizes(call, &from, &type, sizes)) return;
    x = kt_build_reshape(b, x, from.count, sizes);
    x = kt_build_transpose(b, x, order);
    for (int axis = 0; axis < to.axes; axis++) shape[axis] = kt_dim_const(dims, 1);
    for (int i = 0; i < to.count; i++)
        shape[to.groups[i]] = kt_dim_mul(dims, shape[to.groups[i]], sizes[order[i]]);
    call->outputs[0] = kt_build_reshape(b, x, to.axes, shape);
}
KT_OPERATION(rearrange, "Rearrange", KT_OPERATION_EINOPS, "axes split, moved and joined by their names",
             call_rearrange)
