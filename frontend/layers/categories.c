/* CategoryEncoding and Discretization: numbers as categories, and categories as vectors. */
#include "frontend/layers/categories_impl.h"

#include "frontend/operations/operations_impl.h"

#include <math.h>
#include <string.h>

/* ---- shared ---------------------------------------------------------------------------------- */
kt_value kt_encode_categories(kt_builder *b, kt_value indices, const char *mode, int64_t depth,
                              kt_value weights, kt_dtype dtype) {
    kt_dim_pool *dims = b->graph->dims;
    int rank = kt_build_type(b, indices)->rank;
    bool one_hot = strcmp(mode, "one_hot") == 0;
    if (strcmp(mode, "int") == 0) return kt_build_cast(b, indices, dtype);
    if (one_hot && rank > 1 && kt_dim_equals(dims, kt_build_type(b, indices)->dims[rank - 1], 1))
        indices = kt_drop_axis(b, indices, --rank);
    indices = kt_add_axis(b, kt_build_cast(b, indices, KT_I64), rank);
    kt_type type = *kt_build_type(b, indices);
    type.dims[rank] = kt_dim_const(dims, depth);
    kt_value is = kt_build_eq(b, kt_build_broadcast_to(b, indices, type.rank, type.dims),
                              kt_build_iota(b, &type, rank));
    if (one_hot) return kt_build_cast(b, is, dtype);
    int along = rank > 1 ? 1 : 0; /* also where there are further axes */
    if (strcmp(mode, "multi_hot") == 0)
        return kt_build_cast(b, kt_reduce_axis(b, is, KT_REDUCE_MAXIMUM, along), dtype);
    if (weights) dtype = kt_build_type(b, weights)->dtype;
    kt_value counts = kt_build_cast(b, is, kt_sum_dtype(dtype));
    if (weights) {
        weights = kt_add_axis(b, weights, kt_build_type(b, weights)->rank);
        kt_build_broadcast_pair(b, &counts, &weights);
        counts = kt_build_mul(b, counts, kt_build_cast(b, weights, kt_sum_dtype(dtype)));
    }
    return kt_reduce_axis(b, counts, KT_REDUCE_SUM, along);
}

kt_status kt_check_dense(const kt_layer *layer, kt_layer_context *context, bool sparse) {
    if (!sparse) return KT_OK;
    return kt_layer_reject(layer, context, KT_UNSUPPORTED, "sparse",
                           "is not supported; all tensors are dense.");
}

/* ---- CategoryEncoding ------------------------------------------------------------------------ */
typedef struct category_encoding {
    kt_layer layer;
    int64_t num_tokens;
    const char *output_mode;
    bool sparse;
} category_encoding;

// clang-format off
static const kt_option category_options[] = {
    KT_FIELD(category_encoding, num_tokens, INT, NULL),
    KT_FIELD(category_encoding, output_mode, CHOICE, "\"multi_hot\"", .choices = "multi_hot one_hot count"),
    KT_FIELD(category_encoding, sparse, BOOL, "false", .unwritten = true),
    KT_OPTIONS_END,
};
// clang-format on

static kt_status check_category(kt_layer *layer, kt_layer_context *context) {
    const category_encoding *self = (const category_encoding *)layer;
    kt_status status = kt_check_range(layer, context, "num_tokens", self->num_tokens, 1);
    KT_COLLECT(status, kt_check_dense(layer, context, self->sparse));
    return status;
}

static void call_category(kt_layer *layer, kt_layer_call *call) {
    const category_encoding *self = (const category_encoding *)layer;
    kt_builder *b = call->trace->builder;
    kt_value weights;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 1, KT_MAX_RANK - 1) ||
        !kt_operation_optional(call, 1, "count_weights", &weights))
        return;
    if (weights && strcmp(self->output_mode, "count") != 0) {
        kt_trace_fail(call->trace, KT_INVALID, "count_weights are for output_mode “count”, not “%s”.",
                      self->output_mode);
        return;
    }
    kt_trace_at(call->trace, self->output_mode);
    if (weights) weights = kt_build_cast(b, weights, layer->compute_dtype);
    call->outputs[0] = kt_encode_categories(b, call->inputs[0], self->output_mode, self->num_tokens, weights,
                                            layer->variable_dtype);
}

const kt_layer_class kt_class_category_encoding = {
    .name = "CategoryEncoding",
    .module = "keras.layers",
    .doc = "categories as vectors that say which of them there are, or how many",
    .bytes = sizeof(category_encoding),
    .options = category_options,
    .keeps_input_dtype = true,
    .check = check_category,
    .call = call_category,
};

/* ---- Discretization -------------------------------------------------------------------------- */
typedef struct discretization {
    kt_layer layer;
    const json_t *bin_boundaries; /* given, or found by adapt() */
    int64_t num_bins;             /* what adapt() was to find */
    double epsilon;
    const char *output_mode;
    bool sparse;
} discretization;

// clang-format off
static const kt_option discretization_options[] = {
    KT_FIELD(discretization, bin_boundaries, JSON, "null"),
    KT_FIELD(discretization, num_bins, OPTIONAL_INT, "null", .inert = true),
    KT_FIELD(discretization, epsilon, FLOAT, "0.01", .inert = true),
    KT_FIELD(discretization, output_mode, CHOICE, "\"int\"", .choices = "int one_hot multi_hot count"),
    KT_FIELD(discretization, sparse, BOOL, "false"),
    KT_OPTIONS_END,
};
// clang-format on

/* Keras writes no `trainable` of it, and takes none. */
static void write_discretization(const kt_layer *layer, json_t *config) {
    (void)layer;
    json_object_del(config, "trainable");
}

static bool increases(const json_t *numbers) {
    double last = -INFINITY, number;
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)numbers, i, item) {
        if (!kt_json_number(item, &number) || !(number >= last)) return false;
        last = number;
    }
    return json_is_array(numbers);
}

static kt_status check_discretization(kt_layer *layer, kt_layer_context *context) {
    const discretization *self = (const discretization *)layer;
    kt_status status = kt_check_dense(layer, context, self->sparse);
    if (!self->bin_boundaries) {
        status = kt_layer_reject(layer, context, KT_INVALID, "bin_boundaries",
                                 "is not known: pass it, or call adapt() before the model is saved.");
    } else if (!increases(self->bin_boundaries)) {
        status = kt_layer_reject(layer, context, KT_INVALID, "bin_boundaries",
                                 "must be a list of increasing numbers.");
    }
    return status;
}

static void call_discretization(kt_layer *layer, kt_layer_call *call) {
    const discretization *self = (const discretization *)layer;
    kt_builder *b = call->trace->builder;
    int64_t count = (int64_t)json_array_size(self->bin_boundaries);
    bool plain = strcmp(self->output_mode, "int") == 0;
    if (!kt_call_has_inputs(call, 1) || !kt_call_has_rank(call, 1, KT_MAX_RANK - 1)) return;
    kt_trace_at(call->trace, "bins");
    /* Boundaries are float32, also beside integers and float64. */
    kt_dtype dtype = kt_dtype_promote(kt_call_type(call, 0)->dtype, KT_F32);
    kt_value x = kt_build_cast(b, call->inputs[0], dtype), bins;
    if (count) {
        kt_value bounds = kt_build_cast(b, kt_numbers_constant(call, self->bin_boundaries, KT_F32), dtype);
        bins = kt_count_before(b, x, bounds, true);
    } else {
        kt_type type = *kt_build_type(b, x);
        type.dtype = KT_I32;
        bins = kt_build_fill(b, &type, 0);
    }
    call->outputs[0] =
        kt_encode_categories(b, bins, self->output_mode, count + 1, 0, plain ? KT_I32 : layer->compute_dtype);
}

const kt_layer_class kt_class_discretization = {
    .name = "Discretization",
    .module = "keras.layers",
    .doc = "which interval between boundaries a number is in",
    .bytes = sizeof(discretization),
    .options = discretization_options,
    .write_config = write_discretization,
    .check = check_discretization,
    .call = call_discretization,
};
