/* Operation nodes that normalise, and the moments that they do it by. Where there is no epsilon, it is
 * Keras's own, 1e-7. */
#include "frontend/layers/normalize_impl.h"
#include "frontend/operations/operations_impl.h"

#include <math.h>

static const double fuzz = 1e-7;

typedef struct normalizing {
    kt_layer layer;
    const json_t *axis, *axes;
    int64_t order;
    double epsilon;
    bool keepdims, synchronized, rms_scaling;
} normalizing;

// clang-format off
#define EPSILON KT_FIELD(normalizing, epsilon, OPTIONAL_FLOAT, "null")
static const kt_option moments_options[] = {
    KT_FIELD(normalizing, axes, JSON, NULL), KT_FIELD(normalizing, keepdims, BOOL, "false"),
    KT_FIELD(normalizing, synchronized, BOOL, "false", .inert = true), KT_OPTIONS_END};
static const kt_option batch_options[] = {
    KT_FIELD(normalizing, axis, JSON, NULL), KT_FIELD(normalizing, epsilon, FLOAT, "0.001"), KT_OPTIONS_END};
static const kt_option layer_options[] = {
    KT_FIELD(normalizing, axis, JSON, "-1"), EPSILON, KT_FIELD(normalizing, rms_scaling, BOOL, "false"),
    KT_OPTIONS_END};
static const kt_option rms_options[] = {KT_FIELD(normalizing, axis, JSON, "-1"), EPSILON, KT_OPTIONS_END};
static const kt_option normalize_options[] = {
    KT_FIELD(normalizing, axis, JSON, "-1"), KT_FIELD(normalizing, order, INT, "2"), EPSILON, KT_OPTIONS_END};
// clang-format on

static double epsilon_of(const normalizing *n) { return isnan(n->epsilon) ? fuzz : n->epsilon; }

static kt_status check_epsilon(kt_layer *layer, kt_layer_context *context) {
    return kt_check_epsilon(layer, context, epsilon_of((const normalizing *)layer));
}

#define NORMALIZATION(c_name, keras_name, doc_text, table, function)                                         \
    const kt_layer_class kt_class_op_##c_name = {.name = (keras_name),                                       \
                                                 .module = KT_OPERATION_NN,                                  \
                                                 .doc = (doc_text),                                          \
                                                 .bytes = sizeof(normalizing),                               \
                                                 .options = (table),                                         \
                                                 .keeps_input_dtype = true,                                  \
                                                 .plain = true,                                              \
                                                 .check = check_epsilon,                                     \
                                                 .call = (function)};

/* An argument that may be left out, in a dtype. */
static bool take_optional(const kt_layer_call *call, uint32_t position, const char *name, kt_dtype dtype,
                          kt_value *out_value) {
    if (!kt_operation_optional(call, position, name, out_value)) return false;
    if (*out_value) *out_value = kt_build_cast(call->trace->builder, *out_value, dtype);
    return true;
}

/* ---- Moments --------------------------------------------------------------------------------- */
/* Of what is at most float32, in float32; half floats are then kept inside of float16's range. */
static kt_value narrow(kt_builder *b, kt_value x, kt_dtype dtype) {
    static const double largest_half = 65504;
    if (kt_build_type(b, x)->dtype == dtype) return x;
    x = kt_build_minimum(b, x, kt_build_like(b, x, largest_half));
    return kt_build_cast(b, kt_build_maximum(b, x, kt_build_like(b, x, -largest_half)), dtype);
}

static void call_moments(kt_layer *layer, kt_layer_call *call) {
    const normalizing *n = (const normalizing *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints axes;
    if (!x) return;
    kt_type type = *kt_build_type(b, x);
    if (!kt_operation_axes(call, n->axes, type.rank, &axes)) return;
    kt_dtype dtype = kt_dtype_to_float(type.dtype);
    kt_moments(b, kt_build_cast(b, x, kt_dtype_promote(dtype, KT_F32)), &axes, &call->outputs[0],
               &call->outputs[1]);
    for (uint32_t i = 0; i < axes.count; i++) type.dims[axes.at[i]] = kt_dim_const(b->graph->dims, 1);
    for (int i = 0; i < 2; i++) {
        call->outputs[i] = narrow(b, call->outputs[i], dtype);
        if (n->keepdims) call->outputs[i] = kt_build_reshape(b, call->outputs[i], type.rank, type.dims);
    }
}

static uint32_t count_moments(const kt_layer *layer) {
    (void)layer;
    return 2;
}
KT_OPERATION_OUTPUTS(moments, "Moments", KT_OPERATION_NN, "mean and variance along axes", normalizing,
                     moments_options, call_moments, count_moments)

/* ---- by given or own statistics -------------------------------------------------------------- */
static void call_batch(kt_layer *layer, kt_layer_call *call) {
    static const char *const names[] = {"x", "mean", "variance", "scale", "offset"};
    static const uint32_t positions[] = {0, 1, 2, 4, 3};
    const normalizing *n = (const normalizing *)layer;
    kt_builder *b = call->trace->builder;
    kt_value operands[5];
    kt_ints axes;
    kt_dtype dtype = KT_BOOL;
    for (int i = 0; i < 5; i++) {
        bool given = true;
        if (i < 3)
            operands[i] = kt_operation_tensor(call, positions[i], names[i]);
        else
            given = kt_operation_optional(call, positions[i], names[i], &operands[i]);
        if (!given || (i < 3 && !operands[i])) return;
        if (operands[i]) dtype = kt_dtype_promote(dtype, kt_build_type(b, operands[i])->dtype);
    }
    int rank = kt_build_type(b, operands[0])->rank;
    if (!json_is_integer(n->axis)) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'axis' must be an integer.");
        return;
    }
    if (!kt_operation_axes(call, n->axis, rank, &axes)) return;
    dtype = kt_dtype_to_float(dtype);
    for (int i = 0; i < 5; i++)
        if (operands[i]) operands[i] = kt_build_cast(b, operands[i], kt_dtype_promote(dtype, KT_F32));
    kt_value y = kt_normalize_batch(b, operands, (int)axes.at[0], epsilon_of(n));
    call->outputs[0] = kt_build_cast(b, y, dtype);
}

/* What LayerNorm and RMSNorm take; their result has x's dtype. */
typedef struct own {
    kt_value x;
    kt_ints axes;
    kt_dtype given, dtype; /* of x; what is computed in */
} own;

static bool take_own(const normalizing *n, const kt_layer_call *call, own *out) {
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    if (!x || !kt_operation_axes(call, n->axis, kt_build_type(b, x)->rank, &out->axes)) return false;
    out->given = kt_build_type(b, x)->dtype;
    out->dtype = kt_dtype_promote(out->given, KT_F32);
    out->x = kt_build_cast(b, x, out->dtype);
    return out->x != 0;
}

static void call_layer(kt_layer *layer, kt_layer_call *call) {
    const normalizing *n = (const normalizing *)layer;
    kt_builder *b = call->trace->builder;
    own o;
    kt_value operands[3];
    if (!take_own(n, call, &o) || !take_optional(call, 1, "gamma", o.dtype, &operands[1]) ||
        !take_optional(call, 2, "beta", o.dtype, &operands[2]))
        return;
    operands[0] = o.x;
    if (n->rms_scaling) operands[2] = 0; /* which Keras does not look at then */
    kt_value y = kt_normalize_layer(b, operands, &o.axes, epsilon_of(n), n->rms_scaling);
    call->outputs[0] = kt_build_cast(b, y, o.given);
}

static void call_rms(kt_layer *layer, kt_layer_call *call) {
    const normalizing *n = (const normalizing *)layer;
    kt_builder *b = call->trace->builder;
    own o;
    kt_value scale;
    if (!take_own(n, call, &o) || !take_optional(call, 1, "scale", o.dtype, &scale)) return;
    call->outputs[0] = kt_build_cast(b, kt_normalize_rms(b, o.x, scale, &o.axes, epsilon_of(n)), o.given);
}

// clang-format off
NORMALIZATION(batch_norm, "BatchNorm", "x normalised by a given mean and variance", batch_options, call_batch)
NORMALIZATION(layer_norm, "LayerNorm", "x brought to mean 0 and variance 1 along axes", layer_options, call_layer)
NORMALIZATION(rms_norm, "RMSNorm", "x divided by its root mean square along axes", rms_options, call_rms)
// clang-format on

/* ---- Normalize ------------------------------------------------------------------------------- */
static void call_normalize(kt_layer *layer, kt_layer_call *call) {
    const normalizing *n = (const normalizing *)layer;
    kt_builder *b = call->trace->builder;
    kt_value x = kt_operation_tensor(call, 0, "x");
    kt_ints axes;
    if (!x) return;
    if (kt_build_type(b, x)->rank == 0) x = kt_add_axis(b, x, 0);
    x = kt_build_cast(b, x, kt_dtype_to_float(kt_build_type(b, x)->dtype));
    if (n->order < 1) {
        kt_trace_fail(call->trace, KT_INVALID, "the option 'order' must be at least 1.");
        return;
    }
    if (n->order == 2) {
        if (kt_operation_axes(call, n->axis, kt_build_type(b, x)->rank, &axes))
            call->outputs[0] = kt_unit_norm(b, x, &axes, epsilon_of(n));
        return;
    }
    double order = (double)n->order;
    kt_value norm = kt_operation_norm(call, x, &order, n->axis, &axes);
    if (!norm) return;
    norm = kt_build_maximum(b, norm, kt_build_like(b, norm, epsilon_of(n)));
    call->outputs[0] = kt_build_div(b, x, kt_spread(b, norm, x, &axes));
}
NORMALIZATION(normalize, "Normalize", "x divided by its norm along axes", normalize_options, call_normalize)
