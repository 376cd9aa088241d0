/* Flatten, Reshape, Permute and RepeatVector: elements move, nothing is computed. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

/* ---- Flatten --------------------------------------------------------------------------------- */
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

/* ---- Reshape --------------------------------------------------------------------------------- */
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

/* ---- Permute --------------------------------------------------------------------------------- */
typedef struct permute {
    kt_layer layer;
    kt_ints dims; /* counted from 1: the batch stays in front */
} permute;

static const kt_option permute_options[] = {
    KT_FIELD(permute, dims, INTS, NULL),
    KT_OPTIONS_END,
};

static kt_status check_permute(kt_layer *layer, kt_layer_context *context) {
    const kt_ints *dims = &((permute *)layer)->dims;
    bool valid = dims->count >= 1 && dims->count < KT_MAX_RANK;
    bool chosen[KT_MAX_RANK] = {false};
    for (uint32_t i = 0; valid && i < dims->count; i++) {
        int64_t axis = dims->at[i];
        valid = axis >= 1 && axis <= dims->count && !chosen[axis - 1];
        if (valid) chosen[axis - 1] = true;
    }
    if (valid) return KT_OK;
    return kt_layer_reject(layer, context, KT_INVALID, "dims", "must hold each number from 1 on once.");
}

static void call_permute(kt_layer *layer, kt_layer_call *call) {
    const kt_ints *dims = &((permute *)layer)->dims;
    int rank = (int)dims->count + 1;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, rank, rank)) return;
    int64_t axes[KT_MAX_RANK] = {0};
    memcpy(&axes[1], dims->at, dims->count * sizeof *axes);
    kt_trace_at(call->trace, "permute");
    call->outputs[0] = kt_build_transpose(call->trace->builder, call->inputs[0], axes);
}

const kt_layer_class kt_class_permute = {
    .name = "Permute",
    .module = "keras.layers",
    .doc = "the axes of each sample in another order",
    .bytes = sizeof(permute),
    .options = permute_options,
    .check = check_permute,
    .call = call_permute,
};

/* ---- RepeatVector ---------------------------------------------------------------------------- */
typedef struct repeat_vector {
    kt_layer layer;
    int64_t n;
} repeat_vector;

static const kt_option repeat_options[] = {
    KT_FIELD(repeat_vector, n, INT, NULL),
    KT_OPTIONS_END,
};

static kt_status check_repeat(kt_layer *layer, kt_layer_context *context) {
    return kt_check_range(layer, context, "n", ((repeat_vector *)layer)->n, 1);
}

static void call_repeat(kt_layer *layer, kt_layer_call *call) {
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 2, 2)) return;
    const kt_type *type = kt_call_type(call, 0);
    kt_dim shape[] = {type->dims[0], kt_dim_const(kt_call_dims(call), ((repeat_vector *)layer)->n),
                      type->dims[1]};
    static const int64_t axes[] = {0, 2};
    kt_trace_at(call->trace, "repeat");
    call->outputs[0] = kt_build_broadcast(call->trace->builder, call->inputs[0], 3, shape, axes);
}

const kt_layer_class kt_class_repeat_vector = {
    .name = "RepeatVector",
    .module = "keras.layers",
    .doc = "each sample n times along a new axis",
    .bytes = sizeof(repeat_vector),
    .options = repeat_options,
    .check = check_repeat,
    .call = call_repeat,
};
