/* The arguments of operation nodes: tensors, numbers, nested lists and serialised arrays. */
#include "frontend/operations/operations_impl.h"

#include <string.h>

const kt_argument *kt_operation_argument(const kt_layer_call *call, uint32_t position, const char *name) {
    for (uint32_t i = 0; i < call->argument_count; i++) {
        const kt_argument *argument = &call->arguments[i];
        if (argument->name ? strcmp(argument->name, name) == 0 : i == position) return argument;
    }
    return NULL;
}

kt_dtype kt_dtype_to_float(kt_dtype dtype) { return kt_dtype_is_float(dtype) ? dtype : KT_F32; }

/* A number is weaker than a tensor; two numbers are what they are. */
static kt_promotion promotion(const kt_operand *operand, bool is_weak) {
    return operand->value || !is_weak ? kt_promotion_of(operand->dtype)
                                      : kt_promotion_of_number(operand->dtype);
}

kt_dtype kt_operand_promote(const kt_operand *a, const kt_operand *b) {
    bool is_weak = a->value || b->value;
    return kt_promoted(promotion(a, is_weak) & promotion(b, is_weak));
}

kt_value kt_operand_cast(const kt_layer_call *call, const kt_operand *operand, kt_dtype dtype) {
    kt_builder *builder = call->trace->builder;
    if (operand->value) return kt_build_cast(builder, operand->value, dtype);
    if (!kt_dtype_is_float(dtype) && dtype != KT_BOOL && kt_dtype_is_float(operand->dtype))
        return kt_build_cast(builder, kt_build_scalar(builder, KT_F64, operand->number), dtype);
    return kt_build_scalar(builder, dtype, operand->number);
}

/* ---- arrays ---------------------------------------------------------------------------------- */
typedef struct array {
    int rank;
    int64_t dims[KT_MAX_RANK];
    kt_dtype dtype; /* of the numbers: KT_BOOL, KT_I32 or KT_F32 */
    size_t count;
    double *numbers;
} array;

static bool read_number(const json_t *value, kt_dtype *out_dtype, double *out_number) {
    *out_dtype = json_is_boolean(value) ? KT_BOOL : json_is_integer(value) ? KT_I32 : KT_F32;
    *out_number = json_is_true(value);
    return json_is_boolean(value) || kt_json_number(value, out_number);
}

/* The nested list's shape along its first elements. */
static bool measure(const json_t *value, array *out) {
    out->count = 1;
    for (; json_is_array(value); value = json_array_get(value, 0)) {
        if (out->rank == KT_MAX_RANK) return false;
        out->dims[out->rank++] = (int64_t)json_array_size(value);
        if (__builtin_mul_overflow(out->count, json_array_size(value), &out->count)) return false;
    }
    return true;
}

/* Reads the numbers; false if the list is ragged or holds something else. */
static bool fill(const json_t *value, int axis, array *out, size_t *done) {
    if (axis == out->rank) {
        kt_dtype dtype;
        if (*done == out->count || !read_number(value, &dtype, &out->numbers[*done])) return false;
        out->dtype = *done ? kt_dtype_promote(out->dtype, dtype) : dtype;
        ++*done;
        return true;
    }
    if (!json_is_array(value) || (int64_t)json_array_size(value) != out->dims[axis]) return false;
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)value, i, item) if (!fill(item, axis + 1, out, done)) return false;
    return true;
}

/* A nested list as a constant of `dtype`, or of the numbers' own if dtype is NULL; 0 if it is none. */
static kt_value build_array(const kt_layer_call *call, const json_t *value, const kt_dtype *dtype) {
    /* A list of n numbers takes at least 2 n bytes, so what it says of its size cannot be large. */
    kt_builder *builder = call->trace->builder;
    kt_arena *arena = call->trace->context->arena;
    array read = {.dtype = KT_F32};
    size_t done = 0;
    if (!measure(value, &read) || read.count > (1U << 26)) return 0;
    read.numbers = KT_NEW_ARRAY(arena, double, read.count);
    if (!fill(value, 0, &read, &done) || done != read.count) return 0;
    kt_type type = kt_type_of(builder->graph->dims, KT_F64, read.rank, read.dims);
    kt_value constant = kt_build_constant(builder, &type, read.numbers);
    return kt_build_cast(builder, constant, dtype ? *dtype : read.dtype);
}

/* {"class_name": "__numpy__" or "__tensor__", "config": {"value", "dtype"}} */
static kt_value build_serialized(const kt_layer_call *call, const json_t *value) {
    const char *class_name = json_string_value(json_object_get(value, "class_name"));
    const json_t *config = json_object_get(value, "config");
    const char *name = json_string_value(json_object_get(config, "dtype"));
    kt_dtype dtype;
    if (!class_name || (strcmp(class_name, "__numpy__") != 0 && strcmp(class_name, "__tensor__") != 0))
        return 0;
    if (!name || !kt_dtype_parse_keras(name, &dtype)) return 0;
    return build_array(call, json_object_get(config, "value"), &dtype);
}

/* ---- operands -------------------------------------------------------------------------------- */
static bool read_operand(const kt_layer_call *call, const kt_argument *argument, kt_operand *out) {
    *out = (kt_operand){0};
    kt_builder *builder = call->trace->builder;
    if (argument->kind == KT_ARGUMENT_TENSOR) {
        out->value = argument->value;
    } else if (argument->kind == KT_ARGUMENT_LITERAL) {
        if (read_number(argument->literal, &out->dtype, &out->number)) return true;
        out->value = json_is_array(argument->literal) ? build_array(call, argument->literal, NULL)
                                                      : build_serialized(call, argument->literal);
    }
    if (!out->value) return false;
    out->dtype = kt_build_type(builder, out->value)->dtype;
    return true;
}

bool kt_operation_operand(const kt_layer_call *call, uint32_t position, const char *name,
                          kt_operand *out_operand) {
    const kt_argument *argument = kt_operation_argument(call, position, name);
    if (argument && read_operand(call, argument, out_operand)) return true;
    /* Where the builder failed before, or an earlier layer, the problem is known. */
    bool known = call->trace->builder->status != KT_OK || (argument && argument->kind == KT_ARGUMENT_TENSOR);
    if (!known)
        kt_trace_fail(call->trace, KT_UNSUPPORTED,
                      "its argument “%s” is no tensor, number or array of numbers.", name);
    return false;
}

kt_value kt_operation_tensor(const kt_layer_call *call, uint32_t position, const char *name) {
    kt_operand operand;
    if (!kt_operation_operand(call, position, name, &operand)) return 0;
    return kt_operand_cast(call, &operand, operand.dtype);
}

bool kt_operation_optional(const kt_layer_call *call, uint32_t position, const char *name,
                           kt_value *out_value) {
    const kt_argument *argument = kt_operation_argument(call, position, name);
    *out_value = 0;
    if (!argument || argument->kind == KT_ARGUMENT_NONE) return true;
    *out_value = kt_operation_tensor(call, position, name);
    return *out_value != 0;
}

bool kt_operation_number(const kt_layer_call *call, uint32_t position, const char *name, double *number) {
    const kt_argument *argument = kt_operation_argument(call, position, name);
    kt_dtype dtype;
    if (!argument || argument->kind == KT_ARGUMENT_NONE) return true;
    if (argument->kind == KT_ARGUMENT_LITERAL && read_number(argument->literal, &dtype, number)) return true;
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "its argument “%s” is no number.", name);
    return false;
}

bool kt_operation_option(const kt_layer_call *call, const char *option, const json_t *value,
                         kt_operand *out_operand) {
    kt_argument argument = {.kind = KT_ARGUMENT_LITERAL, .literal = value};
    if (read_operand(call, &argument, out_operand)) return true;
    kt_trace_fail(call->trace, KT_UNSUPPORTED, "the option '%s' is no number or array of numbers.", option);
    return false;
}

bool kt_operation_tensors(const kt_layer_call *call, uint32_t position, const char *name, uint32_t *out_count,
                          kt_value **out_values) {
    const kt_argument *list = kt_operation_argument(call, position, name);
    if (!list || list->kind != KT_ARGUMENT_LIST || !list->count) {
        kt_trace_fail(call->trace, KT_UNSUPPORTED, "its argument “%s” is no list of tensors.", name);
        return false;
    }
    kt_arena *arena = call->trace->context->arena;
    kt_operand *operands = KT_NEW_ARRAY(arena, kt_operand, list->count);
    bool is_weak = false, same = true;
    for (uint32_t i = 0; i < list->count; i++) {
        if (!read_operand(call, &list->items[i], &operands[i])) {
            if (list->items[i].kind != KT_ARGUMENT_TENSOR)
                kt_trace_fail(call->trace, KT_UNSUPPORTED, "item %u of “%s” is no tensor.", i, name);
            return false;
        }
        is_weak = is_weak || operands[i].value;
        same = same && operands[i].dtype == operands[0].dtype;
    }
    /* Tensors that are alike stay, where one operation on them would make uint32 of uint64. */
    kt_promotion all = promotion(&operands[0], is_weak);
    for (uint32_t i = 1; i < list->count; i++) all &= promotion(&operands[i], is_weak);
    kt_dtype dtype = same ? operands[0].dtype : kt_promoted(all);
    *out_count = list->count;
    *out_values = KT_NEW_ARRAY(arena, kt_value, list->count);
    for (uint32_t i = 0; i < list->count; i++) (*out_values)[i] = kt_operand_cast(call, &operands[i], dtype);
    return true;
}

bool kt_operation_axes(const kt_layer_call *call, const json_t *axis, int rank, kt_ints *out_axes) {
    bool chosen[KT_MAX_RANK] = {false};
    bool all = !axis || json_is_null(axis);
    size_t count = json_is_array(axis) ? json_array_size(axis) : 1;
    for (size_t i = 0; !all && i < count; i++) {
        const json_t *item = json_is_array(axis) ? json_array_get(axis, i) : axis;
        json_int_t at = json_integer_value(item);
        if (!json_is_integer(item) || at < -rank || at >= rank) {
            kt_trace_fail(call->trace, KT_INVALID,
                          "its input has %d axes, and the option 'axis' names another.", rank);
            return false;
        }
        bool *one = &chosen[at < 0 ? at + rank : at];
        if (*one) {
            kt_trace_fail(call->trace, KT_INVALID, "the option 'axis' names an axis twice.");
            return false;
        }
        *one = true;
    }
    out_axes->count = 0;
    for (int i = 0; i < rank; i++)
        if (all || chosen[i]) out_axes->at[out_axes->count++] = i;
    return true;
}

bool kt_operation_ints(const kt_layer_call *call, const char *option, const json_t *value,
                       kt_ints *out_ints) {
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    bool valid = value && count <= KT_MAX_RANK;
    *out_ints = (kt_ints){0};
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        json_int_t number = json_integer_value(item);
        valid = json_is_integer(item) && number >= -INT32_MAX && number <= INT32_MAX;
        out_ints->at[out_ints->count++] = number;
    }
    if (!valid)
        kt_trace_fail(call->trace, KT_INVALID, "the option '%s' must be an integer or at most %d of them.",
                      option, KT_MAX_RANK);
    return valid;
}

bool kt_operation_spread(const kt_layer_call *call, const char *option, const json_t *value, uint32_t count,
                         int64_t low, kt_ints *out_ints) {
    if (!kt_operation_ints(call, option, value, out_ints)) return false;
    bool fits = json_is_integer(value) || out_ints->count == count;
    for (uint32_t i = 0; i < out_ints->count; i++) fits = fits && out_ints->at[i] >= low;
    for (uint32_t i = 1; i < count && json_is_integer(value); i++) out_ints->at[i] = out_ints->at[0];
    out_ints->count = count;
    if (!fits)
        kt_trace_fail(call->trace, KT_INVALID,
                      "the option '%s' must be an integer that is at least %lld, or %u of them.", option,
                      (long long)low, count);
    return fits;
}
