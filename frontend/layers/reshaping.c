/* Flatten, Reshape and ZeroPadding2D: elements move, nothing is computed. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

/* ---- Flatten
 * ----------------------------------------------------------------------------------------------------- */
typedef struct flatten {
    kt_layer layer;
    const char *data_format;
} flatten;

// clang-format off
static const kt_option flatten_options[] = {
    KT_FIELD(flatten, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"),
    KT_OPTIONS_END,
};
// clang-format on

/* The number of elements of one sample. */
static kt_dim count_elements(kt_dim_pool *dims, const kt_type *type) {
    kt_dim count = kt_dim_const(dims, 1);
    for (int i = 1; i < type->rank; i++) count = kt_dim_mul(dims, count, type->dims[i]);
    return count;
}

static void call_flatten(kt_layer *layer, kt_layer_call *call) {
    kt_builder *builder = call->trace->builder;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 1, KT_MAX_RANK)) return;
    kt_value x = call->inputs[0];
    kt_type type = *kt_build_type(builder, x);
    kt_dim shape[] = {type.dims[0], count_elements(kt_call_dims(call), &type)};
    kt_trace_at(call->trace, "flatten");
    if (strcmp(((flatten *)layer)->data_format, "channels_first") == 0 && type.rank > 1) {
        int64_t axes[KT_MAX_RANK] = {0};
        for (int i = 1; i + 1 < type.rank; i++) axes[i] = i + 1;
        axes[type.rank - 1] = 1;
        x = kt_build_transpose(builder, x, axes);
    }
    call->outputs[0] = kt_build_reshape(builder, x, 2, shape);
}

const kt_layer_class kt_class_flatten = {
    .name = "Flatten",
    .module = "keras.layers",
    .doc = "each sample as one vector",
    .bytes = sizeof(flatten),
    .options = flatten_options,
    .call = call_flatten,
};

/* ---- Reshape
 * ----------------------------------------------------------------------------------------------------- */
typedef struct reshape {
    kt_layer layer;
    const json_t *target_shape;
    kt_ints shape; /* the same; -1 at most once: what is left */
} reshape;

// clang-format off
static const kt_option reshape_options[] = {
    KT_FIELD(reshape, target_shape, JSON, NULL),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_reshape(kt_layer *layer, kt_layer_context *context) {
    reshape *self = (reshape *)layer;
    size_t count = json_array_size(self->target_shape);
    bool valid = json_is_array(self->target_shape) && count < KT_MAX_RANK;
    int unknown = 0;
    self->shape.count = (uint32_t)count;
    for (size_t i = 0; valid && i < count; i++) {
        const json_t *item = json_array_get(self->target_shape, i);
        int64_t size = json_integer_value(item);
        valid = json_is_integer(item) && size >= -1 && size <= INT32_MAX;
        unknown += size == -1;
        self->shape.at[i] = size;
    }
    if (valid && unknown <= 1) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "target_shape",
                           "must be a list of at most %d sizes, of which one may be -1.", KT_MAX_RANK - 1);
}

static void call_reshape(kt_layer *layer, kt_layer_call *call) {
    const reshape *self = (const reshape *)layer;
    kt_builder *builder = call->trace->builder;
    kt_dim_pool *dims = kt_call_dims(call);
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 1, KT_MAX_RANK)) return;
    kt_type type = *kt_call_type(call, 0);
    kt_dim known = kt_dim_const(dims, 1);
    for (uint32_t i = 0; i < self->shape.count; i++) {
        if (self->shape.at[i] >= 0) known = kt_dim_mul_const(dims, known, self->shape.at[i]);
    }
    kt_dim shape[KT_MAX_RANK] = {type.dims[0]};
    for (uint32_t i = 0; i < self->shape.count; i++) {
        bool open = self->shape.at[i] < 0;
        if (open && kt_dim_equals(dims, known, 0)) {
            kt_trace_fail(call->trace, KT_INVALID, "a target_shape with 0 leaves no size for -1.");
            return;
        }
        shape[i + 1] = open ? kt_dim_floordiv(dims, count_elements(dims, &type), known)
                            : kt_dim_const(dims, self->shape.at[i]);
    }
    kt_trace_at(call->trace, "reshape");
    call->outputs[0] = kt_build_reshape(builder, call->inputs[0], (int)self->shape.count + 1, shape);
}

const kt_layer_class kt_class_reshape = {
    .name = "Reshape",
    .module = "keras.layers",
    .doc = "each sample under another shape",
    .bytes = sizeof(reshape),
    .options = reshape_options,
    .check = check_reshape,
    .call = call_reshape,
};

/* ---- ZeroPadding2D
 * ----------------------------------------------------------------------------------------------- */
typedef struct zero_padding {
    kt_layer layer;
    const json_t *padding; /* a number; one an axis; or [before, behind] for each axis */
    const char *data_format;
    int64_t low[2], high[2];
} zero_padding;

// clang-format off
static const kt_option padding_options[] = {
    KT_FIELD(zero_padding, padding, JSON, "[[1, 1], [1, 1]]"),
    KT_FIELD(zero_padding, data_format, CHOICE, "\"channels_last\"", .choices = "channels_last channels_first"),
    KT_OPTIONS_END,
};
// clang-format on

static bool read_amount(const json_t *value, int64_t *out_amount) {
    *out_amount = json_integer_value(value);
    return json_is_integer(value) && *out_amount >= 0 && *out_amount <= INT32_MAX;
}

static void write_padding(const kt_layer *layer, json_t *config) {
    const zero_padding *self = (const zero_padding *)layer;
    json_t *pairs = json_array();
    for (int i = 0; i < 2; i++) {
        json_t *pair = json_array();
        json_array_append_new(pair, json_integer(self->low[i]));
        json_array_append_new(pair, json_integer(self->high[i]));
        json_array_append_new(pairs, pair);
    }
    json_object_set_new(config, "padding", pairs);
}

static kt_status check_padding(kt_layer *layer, kt_layer_context *context) {
    zero_padding *self = (zero_padding *)layer;
    bool valid = json_is_integer(self->padding) || json_array_size(self->padding) == 2;
    for (size_t i = 0; valid && i < 2; i++) {
        const json_t *axis = json_is_array(self->padding) ? json_array_get(self->padding, i) : self->padding;
        bool pair = json_array_size(axis) == 2;
        valid = read_amount(pair ? json_array_get(axis, 0) : axis, &self->low[i]) &&
                read_amount(pair ? json_array_get(axis, 1) : axis, &self->high[i]);
    }
    if (valid) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "padding",
                           "must be a number, two numbers, or two pairs of numbers, none of them negative.");
}

static void call_padding(kt_layer *layer, kt_layer_call *call) {
    const zero_padding *self = (const zero_padding *)layer;
    kt_builder *builder = call->trace->builder;
    kt_dim_pool *dims = kt_call_dims(call);
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 4, 4)) return;
    int first = strcmp(self->data_format, "channels_first") == 0 ? 2 : 1;
    kt_dim low[4];
    kt_dim high[4];
    static const int64_t interior[4] = {0};
    for (int i = 0; i < 4; i++) low[i] = high[i] = kt_dim_const(dims, 0);
    for (int i = 0; i < 2; i++) {
        low[first + i] = kt_dim_const(dims, self->low[i]);
        high[first + i] = kt_dim_const(dims, self->high[i]);
    }
    kt_trace_at(call->trace, "pad");
    kt_value zero = kt_build_scalar(builder, kt_call_type(call, 0)->dtype, 0);
    call->outputs[0] = kt_build_pad(builder, call->inputs[0], zero, low, high, interior);
}

const kt_layer_class kt_class_zero_padding_2d = {
    .name = "ZeroPadding2D",
    .module = "keras.layers",
    .doc = "zeros around images",
    .bytes = sizeof(zero_padding),
    .options = padding_options,
    .check = check_padding,
    .write_config = write_padding,
    .call = call_padding,
};
