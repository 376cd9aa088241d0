/* Losses of probabilities: cross entropies, and what else compares distributions. */
#include "frontend/losses/losses_impl.h"

#include "frontend/operations/operations_impl.h"

#include <string.h>

typedef struct plain {
    kt_loss loss;
} plain;
typedef struct crossentropy {
    kt_loss loss;
    bool from_logits, apply_class_balancing;
    double label_smoothing, alpha, gamma;
    int64_t axis, ignore_class;
    const json_t *alphas; /* a number, or a list of one for each class or for all */
} crossentropy;
typedef struct generalized {
    kt_loss loss;
    double q;
} generalized;

#define CROSSENTROPY_OPTIONS(default_name)                                                                   \
    KT_LOSS_OPTIONS(default_name), KT_FIELD(crossentropy, from_logits, BOOL, "false"),                       \
        KT_FIELD(crossentropy, axis, INT, "-1")
#define SMOOTHING KT_FIELD(crossentropy, label_smoothing, FLOAT, "0.0")
#define GAMMA     KT_FIELD(crossentropy, gamma, FLOAT, "2.0")

// clang-format off
static const kt_option binary_options[] = {
    CROSSENTROPY_OPTIONS("binary_crossentropy"), SMOOTHING, KT_OPTIONS_END,
};
static const kt_option binary_focal_options[] = {
    CROSSENTROPY_OPTIONS("binary_focal_crossentropy"), SMOOTHING,
    KT_FIELD(crossentropy, alpha, FLOAT, "0.25"), GAMMA,
    KT_FIELD(crossentropy, apply_class_balancing, BOOL, "false"),
    KT_OPTIONS_END,
};
static const kt_option categorical_options[] = {
    CROSSENTROPY_OPTIONS("categorical_crossentropy"), SMOOTHING, KT_OPTIONS_END,
};
static const kt_option categorical_focal_options[] = {
    CROSSENTROPY_OPTIONS("categorical_focal_crossentropy"), SMOOTHING,
    {"alpha", KT_OPTION_JSON, offsetof(crossentropy, alphas), "0.25"}, GAMMA,
    KT_OPTIONS_END,
};
static const kt_option sparse_options[] = {
    CROSSENTROPY_OPTIONS("sparse_categorical_crossentropy"),
    KT_FIELD(crossentropy, ignore_class, OPTIONAL_INT, "null"),
    KT_OPTIONS_END,
};
static const kt_option generalized_options[] = {
    KT_LOSS_OPTIONS("categorical_generalized_cross_entropy"),
    KT_FIELD(generalized, q, FLOAT, "0.5"),
    KT_OPTIONS_END,
};
// clang-format on
static const kt_option divergence_options[] = {KT_LOSS_OPTIONS("kl_divergence"), KT_OPTIONS_END};
static const kt_option poisson_options[] = {KT_LOSS_OPTIONS("poisson"), KT_OPTIONS_END};

/* ---- logits ---------------------------------------------------------------------------------- */
/* Does a softmax go along one axis, this one? */
static bool goes_along(const kt_graph *graph, kt_func softmax, int axis) {
    const kt_function *function = kt_graph_function(graph, softmax);
    for (uint32_t i = 0; i < function->nodes.count; i++) {
        const kt_node_info *node = kt_graph_node(graph, function->nodes.at[i]);
        if (node->op != KT_OP_reduce) continue;
        const kt_ints *axes = &((const kt_attrs_reduce *)node->attrs)->axes;
        return axes->count == 1 && axes->at[0] == axis;
    }
    return false;
}

/* What output was made of by a softmax along an axis, or a sigmoid (axis -1); 0 if it was not. */
static kt_value find_logits(const kt_trace *trace, kt_value output, int axis) {
    const kt_graph *graph = trace->builder->graph;
    const kt_node_info *node = kt_graph_definition(graph, output);
    if (!node) return 0;
    if (axis < 0) return node->op == KT_OP_logistic ? node->operands[0] : 0;
    kt_func callee = kt_node_callee(node);
    const char *name = callee ? kt_graph_function(graph, callee)->composite : NULL;
    bool softmax = name && strcmp(name, "softmax") == 0 && node->operand_count == 1;
    return softmax && goes_along(graph, callee, axis) ? node->operands[0] : 0;
}

/* ---- cross entropies ------------------------------------------------------------------------- */
/* Labels moved towards one half. */
static kt_value smooth_binary(const crossentropy *self, kt_builder *b, kt_value target) {
    if (self->label_smoothing == 0) return target;
    kt_value kept = kt_build_mul(b, target, kt_build_like(b, target, 1 - self->label_smoothing));
    return kt_add_number(b, kept, 0.5 * self->label_smoothing);
}

/* Labels moved towards the same share of all classes: as many as the last axis has elements, whatever the
 * loss's axis is. */
static kt_value smooth_categorical(const crossentropy *self, kt_builder *b, kt_value target) {
    if (self->label_smoothing == 0) return target;
    const kt_type type = *kt_build_type(b, target);
    const kt_ints last = {1, {type.rank - 1}};
    kt_value kept = kt_build_mul(b, target, kt_build_like(b, target, 1 - self->label_smoothing));
    kt_value share = kt_divide_by_count(b, kt_build_like(b, target, self->label_smoothing), &type, &last);
    return kt_build_add(b, kept, share);
}

static kt_value mean_along(kt_builder *b, kt_value x, int axis) {
    const kt_ints axes = {1, {axis}};
    return kt_mean(b, x, &axes);
}

static kt_value binary(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, self->axis, output);
    if (axis < 0) return 0;
    kt_value logits = find_logits(trace, output, -1);
    target = smooth_binary(self, b, target);
    kt_value values =
        kt_binary_crossentropy(b, target, logits ? logits : output, logits || self->from_logits);
    return mean_along(b, values, axis);
}

static kt_value categorical(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, self->axis, output);
    if (axis < 0) return 0;
    kt_value logits = find_logits(trace, output, axis);
    target = smooth_categorical(self, b, target);
    return kt_categorical_crossentropy(b, target, logits ? logits : output, logits || self->from_logits,
                                       axis);
}

static kt_value sparse(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, self->axis, output);
    if (axis < 0) return 0;
    target = kt_loss_fit_classes(loss, trace, target, output, axis);
    if (!target) return 0;
    /* Where a class is ignored, outputs are changed first, so that logits are not looked for. */
    bool ignores = self->ignore_class != KT_NONE_INT;
    kt_value logits = ignores ? 0 : find_logits(trace, output, axis);
    kt_value values = kt_sparse_categorical_crossentropy(b, target, logits ? logits : output,
                                                         logits || self->from_logits, axis);
    if (!ignores) return values;
    kt_value ignored = kt_build_eq(b, target, kt_build_like(b, target, (double)self->ignore_class));
    return kt_build_select(b, ignored, kt_build_like(b, values, 0), values);
}

static int64_t count_classes(const kt_loss *loss, const kt_builder *builder, const kt_type *output,
                             int64_t *out_ignored) {
    const crossentropy *self = (const crossentropy *)loss;
    *out_ignored = self->ignore_class;
    return kt_loss_count_along(builder, output, self->axis);
}

static kt_value mask_ignored(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value values) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    if (self->ignore_class == KT_NONE_INT) return 0;
    const kt_type type = *kt_build_type(b, values);
    target = kt_build_reshape(b, kt_build_cast(b, target, KT_I32), type.rank, type.dims);
    return kt_build_ne(b, target, kt_build_like(b, target, (double)self->ignore_class));
}

static void drop_axis(kt_type *type, int64_t axis) {
    if (axis < 0) axis += type->rank;
    if (axis < 0 || axis >= type->rank) return; /* `call` says so */
    type->rank--;
    for (int64_t i = axis; i < type->rank; i++) type->dims[i] = type->dims[i + 1];
}

static void drop_classes(const kt_loss *loss, const kt_builder *builder, kt_type *type) {
    (void)builder;
    drop_axis(type, ((const crossentropy *)loss)->axis);
}

/* ---- focal: what is nearly right counts less (Lin et al. 2017) ------------------------------- */
static kt_value raise(kt_builder *b, kt_value x, double power) {
    return kt_build_pow(b, x, kt_build_like(b, x, power));
}

static kt_value one_minus(kt_builder *b, kt_value x) { return kt_build_sub(b, kt_build_like(b, x, 1), x); }

static kt_value scale(kt_builder *b, kt_value x, double factor) {
    return kt_build_mul(b, x, kt_build_like(b, x, factor));
}

static kt_value binary_focal(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, self->axis, output);
    if (axis < 0) return 0;
    target = smooth_binary(self, b, target);
    kt_value logits = self->from_logits ? output : find_logits(trace, output, -1);
    if (self->from_logits) output = kt_build_logistic(b, output);
    kt_value values = kt_binary_crossentropy(b, target, logits ? logits : output, logits != 0);
    kt_value right = kt_mix(b, target, output, one_minus(b, output));
    values = kt_build_mul(b, raise(b, one_minus(b, right), self->gamma), values);
    if (self->apply_class_balancing) {
        kt_value alpha = kt_build_like(b, target, self->alpha);
        values = kt_build_mul(b, kt_mix(b, target, alpha, one_minus(b, alpha)), values);
    }
    return mean_along(b, values, axis);
}

static kt_value categorical_focal(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, self->axis, output);
    if (axis < 0) return 0;
    target = smooth_categorical(self, b, target);
    if (self->from_logits) output = kt_softmax(b, output, 0, &(kt_ints){1, {axis}});
    output = kt_clipped_shares(b, output, axis);
    const kt_type type = *kt_build_type(b, output);
    kt_ints shape = {0};
    (void)kt_numbers_shape(self->alphas, &shape);
    if (shape.count && shape.at[0] != 1 &&
        !kt_dim_equals(b->graph->dims, type.dims[type.rank - 1], shape.at[0]))
        return kt_loss_fail(loss, trace, KT_INVALID,
                            "option 'alpha' has %lld numbers, but must have one for each class, or for all.",
                            (long long)shape.at[0]);
    const kt_layer_call call = {.trace = trace};
    kt_value alpha = kt_numbers_constant(&call, self->alphas, type.dtype);
    kt_build_broadcast_pair(b, &output, &alpha);
    kt_value weights = kt_build_mul(b, raise(b, one_minus(b, output), self->gamma), kt_build_neg(b, alpha));
    kt_value values = kt_build_mul(b, weights, kt_build_mul(b, target, kt_build_log(b, output)));
    return kt_reduce_axis(b, values, KT_REDUCE_SUM, axis);
}

static kt_status check_alphas(kt_object *object, kt_layer_context *context) {
    kt_ints shape;
    if (kt_numbers_shape(((const crossentropy *)object)->alphas, &shape) && shape.count <= 1) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, "alpha", "must be a number or a list of numbers.");
}

/* ---- others ---------------------------------------------------------------------------------- */
/* (1 - p^q) / q (Zhang and Sabuncu 2018) */
static kt_value generalize(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    double q = ((const generalized *)loss)->q;
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, -1, output);
    target = axis < 0 ? 0 : kt_loss_fit_classes(loss, trace, target, output, axis);
    if (!target) return 0;
    return scale(b, one_minus(b, raise(b, kt_pick_class(b, output, target, axis), q)), 1 / q);
}

static void drop_last(const kt_loss *loss, const kt_builder *builder, kt_type *type) {
    (void)loss;
    (void)builder;
    drop_axis(type, -1);
}

static kt_status check_generalized(kt_object *object, kt_layer_context *context) {
    double q = ((const generalized *)object)->q;
    if (q > 0 && q < 1) return KT_OK;
    return kt_object_reject(object, context, KT_INVALID, "q", "must be between 0 and 1.");
}

static kt_value clip(kt_builder *b, kt_value x) {
    x = kt_build_maximum(b, x, kt_build_like(b, x, 1e-7));
    return kt_build_minimum(b, x, kt_build_like(b, x, 1));
}

static kt_value divergence(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    int axis = kt_loss_axis(loss, trace, -1, output);
    if (axis < 0) return 0;
    target = clip(b, target);
    kt_value ratio = kt_build_log(b, kt_build_div(b, target, clip(b, output)));
    return kt_reduce_axis(b, kt_build_mul(b, target, ratio), KT_REDUCE_SUM, axis);
}

static kt_value poisson(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    kt_builder *b = trace->builder;
    kt_value logarithm = kt_build_log(b, kt_add_number(b, output, 1e-7));
    (void)loss;
    return kt_loss_mean_last(trace, kt_build_sub(b, output, kt_build_mul(b, target, logarithm)));
}

// clang-format off
KT_LOSS_CLASS(binary_crossentropy, "BinaryCrossentropy", "binary_crossentropy bce BCE",
              "cross entropy of independent probabilities", crossentropy, binary_options,
              .call = binary, .same_shape = true)
KT_LOSS_CLASS(binary_focal_crossentropy, "BinaryFocalCrossentropy", "binary_focal_crossentropy",
              "the same, where what is nearly right counts less", crossentropy, binary_focal_options,
              .call = binary_focal, .same_shape = true)
KT_LOSS_CLASS(categorical_crossentropy, "CategoricalCrossentropy", "categorical_crossentropy",
              "cross entropy of a distribution over classes", crossentropy, categorical_options,
              .call = categorical, .same_shape = true)
const kt_loss_class kt_loss_categorical_focal_crossentropy = {
    .object = {.name = "CategoricalFocalCrossentropy",
               .aliases = "categorical_focal_crossentropy",
               .doc = "the same, where what is nearly right counts less",
               .bytes = sizeof(crossentropy),
               .options = categorical_focal_options,
               .check = check_alphas},
    .call = categorical_focal, .same_shape = true};
KT_LOSS_CLASS(sparse_categorical_crossentropy, "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy",
              "cross entropy where labels are numbers of classes", crossentropy, sparse_options,
              .call = sparse, .mask = mask_ignored, .set_target_shape = drop_classes, .classes = count_classes,
              .sparse = true)
const kt_loss_class kt_loss_categorical_generalized_crossentropy = {
    .object = {.name = "CategoricalGeneralizedCrossEntropy",
               .doc = "between a cross entropy and a mean absolute error: bears some wrong labels",
               .bytes = sizeof(generalized),
               .options = generalized_options,
               .check = check_generalized},
    .call = generalize, .set_target_shape = drop_last, .sparse = true};
KT_LOSS_CLASS(kl_divergence, "KLDivergence", "kl_divergence kld KLD",
              "Kullback and Leibler's divergence", plain, divergence_options, .call = divergence)
KT_LOSS_CLASS(poisson, "Poisson", "poisson", "for counts that come at a rate", plain, poisson_options,
              .call = poisson)
// clang-format on
