/* Losses of probabilities: the cross entropies. */
#include "frontend/losses/losses_impl.h"

#include "frontend/layers/layers_impl.h"

typedef struct crossentropy {
    kt_loss loss;
    bool from_logits;
    double label_smoothing;
    int64_t axis, ignore_class;
} crossentropy;

#define CROSSENTROPY_OPTIONS(default_name)                                                                   \
    KT_LOSS_OPTIONS(crossentropy, default_name), KT_FIELD(crossentropy, from_logits, BOOL, "false"),         \
        KT_FIELD(crossentropy, axis, INT, "-1")

// clang-format off
static const kt_option binary_options[] = {
    CROSSENTROPY_OPTIONS("binary_crossentropy"),
    KT_FIELD(crossentropy, label_smoothing, FLOAT, "0.0"),
    KT_OPTIONS_END,
};
static const kt_option categorical_options[] = {
    CROSSENTROPY_OPTIONS("categorical_crossentropy"),
    KT_FIELD(crossentropy, label_smoothing, FLOAT, "0.0"),
    KT_OPTIONS_END,
};
static const kt_option sparse_options[] = {
    CROSSENTROPY_OPTIONS("sparse_categorical_crossentropy"),
    KT_FIELD(crossentropy, ignore_class, OPTIONAL_INT, "null"),
    KT_OPTIONS_END,
};
// clang-format on

/* Labels moved towards `even`. */
static kt_value smooth(kt_builder *b, kt_value target, double smoothing, double even) {
    if (smoothing == 0) return target;
    kt_value kept = kt_build_mul(b, target, kt_build_like(b, target, 1 - smoothing));
    return kt_build_add(b, kept, kt_build_like(b, target, smoothing * even));
}

/* -1 and a problem where output has no such axis. */
static int find_axis(kt_trace *trace, const kt_loss *loss, int64_t axis, kt_value output) {
    int rank = kt_build_type(trace->builder, output)->rank;
    if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
    kt_trace_fail(trace, KT_INVALID, "the output has no axis %lld, which the loss '%s' wants.",
                  (long long)axis, loss->name);
    return -1;
}

static kt_value binary(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = find_axis(trace, loss, self->axis, output);
    if (axis < 0) return 0;
    kt_value logits = self->from_logits ? output : kt_loss_logits(trace, output, "sigmoid");
    target = smooth(b, target, self->label_smoothing, 0.5);
    const kt_ints axes = {1, {axis}};
    return kt_mean(b, kt_binary_crossentropy(b, target, logits ? logits : output, logits != 0), &axes);
}

static kt_value categorical(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = find_axis(trace, loss, self->axis, output);
    int64_t classes = 0;
    if (axis < 0) return 0;
    if (self->label_smoothing != 0 &&
        !kt_dim_is_const(b->graph->dims, kt_build_type(b, output)->dims[axis], &classes)) {
        kt_trace_fail(trace, KT_UNSUPPORTED, "label smoothing wants a known number of classes.");
        return 0;
    }
    kt_value logits = self->from_logits ? output : kt_loss_logits(trace, output, "softmax");
    target = smooth(b, target, self->label_smoothing, classes ? 1.0 / (double)classes : 0);
    return kt_categorical_crossentropy(b, target, logits ? logits : output, logits != 0, axis);
}

static kt_value sparse(const kt_loss *loss, kt_trace *trace, kt_value target, kt_value output) {
    const crossentropy *self = (const crossentropy *)loss;
    kt_builder *b = trace->builder;
    int axis = find_axis(trace, loss, self->axis, output);
    if (axis < 0) return 0;
    kt_value logits = self->from_logits ? output : kt_loss_logits(trace, output, "softmax");
    kt_value values =
        kt_sparse_categorical_crossentropy(b, target, logits ? logits : output, logits != 0, axis);
    if (self->ignore_class == KT_NONE_INT) return values;
    kt_value ignored = kt_build_eq(b, target, kt_build_like(b, target, (double)self->ignore_class));
    return kt_build_select(b, ignored, kt_build_like(b, values, 0), values);
}

const kt_loss_class kt_loss_binary_crossentropy = {{.name = "BinaryCrossentropy",
                                                    .aliases = "binary_crossentropy bce BCE",
                                                    .doc = "cross entropy of independent probabilities",
                                                    .bytes = sizeof(crossentropy),
                                                    .options = binary_options},
                                                   .call = binary};
const kt_loss_class kt_loss_categorical_crossentropy = {
    {.name = "CategoricalCrossentropy",
     .aliases = "categorical_crossentropy",
     .doc = "cross entropy of a distribution over classes",
     .bytes = sizeof(crossentropy),
     .options = categorical_options},
    .call = categorical};
const kt_loss_class kt_loss_sparse_categorical_crossentropy = {
    {.name = "SparseCategoricalCrossentropy",
     .aliases = "sparse_categorical_crossentropy",
     .doc = "the same where labels are numbers of classes",
     .bytes = sizeof(crossentropy),
     .options = sparse_options},
    .call = sparse,
    .sparse = true};
