/* Losses: making them, the labels they take, and what becomes of their values: weights, masks and reduction.
 */
#include "frontend/losses/losses_impl.h"

#include "frontend/layers/layers_impl.h"

#include <string.h>

const kt_loss_class *const kt_loss_classes[] = {
#define KT_LOSS(name) &kt_loss_##name,
#include "frontend/losses/classes.def"
#undef KT_LOSS
    NULL};

static const char reductions[] = "sum_over_batch_size sum mean mean_with_sample_weight none";

kt_loss *kt_loss_read(kt_layer_context *context, const json_t *serialized, const char *path) {
    kt_loss *loss = (kt_loss *)kt_object_read(
        context, "loss", (const kt_object_class *const *)kt_loss_classes, serialized, path);
    if (!loss) return NULL;
    if (!loss->reduction) loss->reduction = "none";
    if (kt_options_listed(reductions, loss->reduction)) return loss;
    kt_object_reject(&loss->object, context, KT_INVALID, "reduction", "must be one of: %s.", reductions);
    return NULL;
}

static const kt_loss_class *class_of(const kt_loss *loss) {
    return (const kt_loss_class *)loss->object.class;
}

kt_type kt_loss_target_type(const kt_loss *loss, const kt_builder *builder, const kt_type *output) {
    kt_type type = *output;
    (void)builder;
    type.dtype = KT_F32;
    if (!class_of(loss)->sparse) return type;
    type.dtype = KT_I32;
    if (type.rank > 1) type.rank--;
    return type;
}

kt_value kt_loss_mean_last(kt_trace *trace, kt_value x) {
    const kt_ints axes = {1, {kt_build_type(trace->builder, x)->rank - 1}};
    return kt_mean(trace->builder, x, &axes);
}

kt_value kt_loss_logits(const kt_trace *trace, kt_value output, const char *composite) {
    const kt_graph *graph = trace->builder->graph;
    const kt_node_info *node = kt_graph_definition(graph, output);
    if (!node) return 0;
    if (node->op == KT_OP_logistic && strcmp(composite, "sigmoid") == 0) return node->operands[0];
    kt_func callee = kt_node_callee(node);
    const char *name = callee ? kt_graph_function(graph, callee)->composite : NULL;
    return name && strcmp(name, composite) == 0 && node->operand_count == 1 ? node->operands[0] : 0;
}

/* ---- reduction -------------------------------------------------------------------------------------------
 */
static kt_value sum_all(kt_builder *b, kt_value x) {
    int64_t axes[KT_MAX_RANK];
    int rank = kt_build_type(b, x)->rank;
    for (int i = 0; i < rank; i++) axes[i] = i;
    return rank ? kt_build_reduce(b, x, KT_REDUCE_SUM, (uint32_t)rank, axes) : x;
}

/* How many elements a type has, as float32. */
static kt_value count_all(kt_builder *b, kt_value x) {
    const kt_type type = *kt_build_type(b, x);
    kt_dim count = kt_dim_const(b->graph->dims, 1);
    for (int i = 0; i < type.rank; i++) count = kt_dim_mul(b->graph->dims, count, type.dims[i]);
    return kt_build_cast(b, kt_build_size(b, count), KT_F32);
}

/* weights with ones behind, over the shape of values: a weight a sample serves all of the sample's losses. */
static kt_value spread_weights(kt_builder *b, kt_value weights, kt_value values) {
    const kt_type type = *kt_build_type(b, values);
    kt_type from = *kt_build_type(b, weights);
    const kt_dim one = kt_dim_const(b->graph->dims, 1);
    if (from.rank == type.rank) return weights;
    while (from.rank > type.rank && from.dims[from.rank - 1] == one) from.rank--;
    while (from.rank < type.rank) from.dims[from.rank++] = one;
    weights = kt_build_reshape(b, weights, from.rank, from.dims);
    return kt_build_broadcast_to(b, weights, type.rank, type.dims);
}

/* mask as weights, which where a mean is taken count as many as there are elements. */
static kt_value weigh_mask(kt_builder *b, const kt_loss *loss, kt_value mask) {
    mask = kt_build_cast(b, mask, KT_F32);
    if (!kt_options_listed("mean sum_over_batch_size", loss->reduction)) return mask;
    kt_value valid = kt_build_add(b, sum_all(b, mask), kt_build_scalar(b, KT_F32, 1e-7));
    kt_value share = kt_build_div(b, count_all(b, mask), valid);
    const kt_type type = *kt_build_type(b, mask);
    return kt_build_mul(b, mask, kt_build_broadcast_to(b, share, type.rank, type.dims));
}

static kt_value reduce(kt_builder *b, const kt_loss *loss, kt_value values, kt_value weights) {
    if (weights) values = kt_build_mul(b, values, spread_weights(b, weights, values));
    if (strcmp(loss->reduction, "none") == 0) return values;
    kt_value sum = sum_all(b, values);
    if (strcmp(loss->reduction, "sum") == 0) return sum;
    if (strcmp(loss->reduction, "mean_with_sample_weight") != 0 || !weights)
        return kt_build_div(b, sum, count_all(b, values));
    kt_value total = sum_all(b, spread_weights(b, weights, values));
    kt_value none = kt_build_eq(b, total, kt_build_scalar(b, KT_F32, 0));
    kt_value one = kt_build_scalar(b, KT_F32, 1);
    return kt_build_div(b, sum, kt_build_select(b, none, one, total));
}

kt_value kt_loss_value(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output,
                       kt_value sample_weight, kt_value mask) {
    kt_builder *b = trace->builder;
    output = kt_build_cast(b, output, KT_F32);
    target = kt_build_cast(b, target, class_of(loss)->sparse ? KT_I32 : KT_F32);
    kt_value values = class_of(loss)->call(loss, trace, target, output);
    if (!values) return 0;
    kt_value weights = sample_weight ? kt_build_cast(b, sample_weight, KT_F32) : 0;
    if (mask) {
        mask = weigh_mask(b, loss, mask);
        weights = weights ? kt_build_mul(b, spread_weights(b, weights, mask), mask) : mask;
    }
    return reduce(b, loss, values, weights);
}
