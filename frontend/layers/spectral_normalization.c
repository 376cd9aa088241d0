/* SpectralNormalization: a layer whose kernel is kept at spectral norm 1 in training. At prediction it is the
 * layer itself; the vector that training iterates is a weight all the same. */
#include "frontend/layers/layers_impl.h"

#include <string.h>

typedef struct spectral_normalization {
    kt_layer layer; /* its one child is the wrapped layer */
    int64_t power_iterations;
    uint32_t kernel; /* weight: in Keras's file the kernel stands here too, which makes this a copy */
    uint32_t vector; /* weight: vector_u */
} spectral_normalization;

static const kt_option options[] = {
    KT_FIELD(spectral_normalization, power_iterations, INT, "1", .inert = true),
    KT_OPTIONS_END,
};

static kt_status check(kt_layer *layer, kt_layer_context *context) {
    const spectral_normalization *self = (const spectral_normalization *)layer;
    return kt_check_range(layer, context, "power_iterations", self->power_iterations, 1);
}

static kt_status read_config(kt_layer *layer, kt_layer_context *context, const json_t *config) {
    const char *path = layer->path ? layer->path : layer->name;
    kt_layer *child = kt_layer_from_config(context, json_object_get(config, "layer"), path);
    if (!child) return KT_UNSUPPORTED;
    layer->child_group = "layer";
    KT_PUSH(context->arena, &layer->children, child);
    return KT_OK;
}

static void write_config(const kt_layer *layer, json_t *config) {
    json_object_set_new(config, "layer", kt_layer_get_config(layer->children.at[0]));
}

/* The number of the wrapped layer's kernel among its weights, or how many there are; known once that is
 * built. */
static uint32_t find_kernel(const kt_layer *child) {
    uint32_t i = 0;
    while (i < child->weights.count && strcmp(child->weights.at[i].name, "kernel") != 0 &&
           strcmp(child->weights.at[i].name, "embeddings") != 0)
        i++;
    return i;
}

static kt_value product(kt_builder *b, kt_value x, int x_axis, kt_value y, int y_axis) {
    kt_attrs_dot_general attrs = {.lhs_contract = {1, {x_axis}}, .rhs_contract = {1, {y_axis}}};
    return kt_build_dot_general(b, x, y, &attrs);
}

/* x times min(1 / |x|, 1e7), as Keras's normalize. */
static kt_value unit(kt_builder *b, kt_value x) {
    const kt_type type = *kt_build_type(b, x);
    kt_value square = kt_build_reduce(b, kt_build_mul(b, x, x), KT_REDUCE_SUM, 2, (int64_t[]){0, 1});
    kt_value factor = kt_build_rsqrt(b, square);
    factor = kt_build_minimum(b, factor, kt_build_like(b, factor, 1e7));
    return kt_build_mul(b, x, kt_build_broadcast_to(b, factor, type.rank, type.dims));
}

/* Before each step of training: vector_u comes closer to the kernel's first singular vector, and the kernel
 * is divided by the norm that it tells. A kernel of zeros stays, as does the vector. */
static void divide_by_norm(kt_layer *layer, kt_trace *trace, uint32_t number) {
    const spectral_normalization *self = (const spectral_normalization *)layer;
    kt_layer *child = layer->children.at[0];
    kt_builder *b = trace->builder;
    kt_trace_at(trace, "power_iteration");
    kt_value kernel = kt_trace_stored_weight(trace, child, number);
    kt_value old = kt_trace_stored_weight(trace, layer, self->vector);
    if (b->status != KT_OK) return;
    const kt_type type = *kt_build_type(b, kernel);
    kt_dim shape[2] = {kt_dim_const(b->graph->dims, 1), type.dims[type.rank - 1]};
    for (int i = 0; i + 1 < type.rank; i++) shape[0] = kt_dim_mul(b->graph->dims, shape[0], type.dims[i]);
    kt_value matrix = kt_build_reshape(b, kernel, 2, shape), u = old, v = 0;
    for (int64_t i = 0; i < self->power_iterations; i++) {
        v = unit(b, product(b, u, 1, matrix, 1));
        u = unit(b, product(b, v, 1, matrix, 0));
    }
    kt_value norm = product(b, product(b, v, 1, matrix, 0), 1, u, 1);
    norm = kt_build_reshape(b, norm, 0, NULL);
    int64_t axes[KT_MAX_RANK];
    for (int i = 0; i < type.rank; i++) axes[i] = i;
    kt_value most = kt_build_reduce(b, kt_build_abs(b, kernel), KT_REDUCE_MAXIMUM, type.rank, axes);
    kt_value empty = kt_build_eq(b, most, kt_build_like(b, most, 0));
    norm = kt_build_select(b, empty, kt_build_like(b, norm, 1), norm);
    kt_value divided = kt_build_div(b, kernel, kt_build_broadcast_to(b, norm, type.rank, type.dims));
    /* Keras assigns, through which no derivative goes, and adds up those by what each call has read: so the
     * quotient has the kernel's derivative, plus nothing. */
    kt_value nothing = kt_build_sub(b, kernel, kt_build_stop_gradient(b, kernel));
    kt_trace_assign(trace, child, number, kt_build_add(b, kt_build_stop_gradient(b, divided), nothing));
    const kt_type row = *kt_build_type(b, u);
    empty = kt_build_broadcast_to(b, empty, row.rank, row.dims);
    kt_trace_assign(trace, layer, self->vector, kt_build_select(b, empty, old, u));
}

static void add_weights(kt_layer *layer, kt_trace *trace, const kt_weight *kernel) {
    spectral_normalization *self = (spectral_normalization *)layer;
    kt_arena *arena = trace->context->arena;
    kt_type type = kernel->type;
    type.dims[0] = kt_dim_const(trace->builder->graph->dims, 1);
    type.dims[1] = kernel->type.dims[kernel->type.rank - 1];
    type.rank = 2;
    json_t *small = json_pack("{s:s, s:{s:f}}", "class_name", "TruncatedNormal", "config", "stddev", 0.02);
    kt_arena_defer(arena, kt_json_release, small);
    self->kernel = kt_layer_add_weight(layer, trace, kernel->name, &kernel->type, kernel->initializer, false);
    self->vector = kt_layer_add_weight(layer, trace, "vector_u", &type, small, false);
}

static void copy_kernel(kt_layer *layer, kt_trace *trace) {
    kt_layer *child = layer->children.at[0];
    kt_trace_assign(trace, layer, ((spectral_normalization *)layer)->kernel,
                    kt_trace_stored_weight(trace, child, find_kernel(child)));
}

static void call(kt_layer *layer, kt_layer_call *call) {
    kt_layer *child = layer->children.at[0];
    kt_trace *trace = call->trace;
    if (trace->training && layer->weights.count) {
        kt_layer_renew(child, trace);
        divide_by_norm(layer, trace, find_kernel(child));
    } else if (trace->training) {
        kt_trace_fail(trace, KT_UNSUPPORTED, "%s that predicts in training mode is not supported.",
                      layer->class->name);
        return;
    }
    kt_layer_call_with(child, trace, call->arguments, call->argument_count, call->outputs,
                       call->output_masks);
    uint32_t number = find_kernel(child);
    if (number == child->weights.count) {
        if (!child->broken) kt_trace_fail(trace, KT_INVALID, "the layer “%s” has no kernel.", child->name);
        return;
    }
    if (!layer->weights.count) add_weights(layer, trace, &child->weights.at[number]);
    if (call->outputs[0] && call->input_count)
        call->outputs[0] = kt_build_cast(trace->builder, call->outputs[0], kt_call_type(call, 0)->dtype);
}

const kt_layer_class kt_class_spectral_normalization = {
    .name = "SpectralNormalization",
    .module = "keras.layers",
    .doc = "a layer whose kernel has spectral norm 1",
    .bytes = sizeof(spectral_normalization),
    .options = options,
    .check = check,
    .read_config = read_config,
    .write_config = write_config,
    .call = call,
    .updated = copy_kernel,
};
