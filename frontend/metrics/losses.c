/* Metrics that are the mean of a loss. */
#include "frontend/metrics/metrics_impl.h"

#include <string.h>

typedef struct loss_mean {
    kt_metric metric;
    bool from_logits;
    double label_smoothing;
    int64_t ignore_class, axis;
    const kt_loss *loss;
    bool reduced; /* of what the loss makes of each batch */
} loss_mean;

static bool is_class(const kt_object *object, const char *name) {
    return strcmp(object->class->name, name) == 0;
}

/* The loss has the name of the metric's class, but for one, and its options. */
static kt_status check(kt_object *object, kt_layer_context *context) {
    json_t *serialized = json_object(), *config = kt_object_config(object);
    kt_arena_defer(context->arena, kt_json_release, serialized);
    json_object_del(config, "name");
    json_object_del(config, "dtype");
    const char *class_name = is_class(object, "LogCoshError") ? "LogCosh" : object->class->name;
    json_object_set_new(serialized, "class_name", json_string(class_name));
    json_object_set_new(serialized, "config", config);
    ((loss_mean *)object)->loss = kt_loss_read(context, serialized, object->path);
    return ((loss_mean *)object)->loss ? KT_OK : KT_INVALID;
}

static void update(kt_metric *metric, kt_trace *trace, kt_value target, kt_value output,
                   kt_value sample_weight, kt_value mask) {
    const loss_mean *self = (const loss_mean *)metric;
    const kt_loss_class *class = (const kt_loss_class *)self->loss->object.class;
    kt_builder *b = trace->builder;
    if (self->reduced) {
        kt_value value = kt_loss_value(self->loss, trace, target, output, 0, mask);
        if (value) kt_mean_add(metric, trace, value, 0);
        return;
    }
    kt_value values = kt_loss_values(self->loss, trace, target, output);
    if (!values) return;
    sample_weight = kt_weight_mask(b, sample_weight, mask, metric->compute_dtype);
    /* Without weights, what is ignored counts as 0. */
    kt_value own = sample_weight && class->mask ? class->mask(self->loss, trace, target, values) : 0;
    sample_weight = kt_weight_mask(b, sample_weight, own, metric->compute_dtype);
    if (is_class(&metric->object, "CosineSimilarity"))
        values = kt_build_neg(b, values); /* the loss is less where vectors are closer */
    kt_mean_add(metric, trace, values, sample_weight);
}

#define LOSS_MEAN(c_name, keras_name, other_names, documentation, table)                                     \
    const kt_metric_class kt_metric_##c_name = {.object = {.name = (keras_name),                             \
                                                           .aliases = (other_names),                         \
                                                           .doc = (documentation),                           \
                                                           .bytes = sizeof(loss_mean),                       \
                                                           .options = (table),                               \
                                                           .check = check},                                  \
                                                .build = kt_mean_build,                                      \
                                                .update = update,                                            \
                                                .result = kt_mean_result};

/* ---- losses without options ------------------------------------------------------------------ */
#define PLAIN(c_name, keras_name, other_names, documentation)                                                \
    static const kt_option c_name##_options[] = {KT_METRIC_OPTIONS("\"" #c_name "\""), KT_OPTIONS_END};      \
    LOSS_MEAN(c_name, keras_name, other_names, documentation, c_name##_options)
PLAIN(mean_squared_error, "MeanSquaredError", "mean_squared_error mse MSE", "the mean of squared errors")
PLAIN(mean_absolute_error, "MeanAbsoluteError", "mean_absolute_error mae MAE", "the mean of absolute errors")
PLAIN(mean_absolute_percentage_error, "MeanAbsolutePercentageError",
      "mean_absolute_percentage_error mape MAPE", "the mean of errors in hundredths of the labels")
PLAIN(mean_squared_logarithmic_error, "MeanSquaredLogarithmicError",
      "mean_squared_logarithmic_error msle MSLE", "the mean of squared errors of logarithms")
PLAIN(logcosh, "LogCoshError", "log_cosh_error", "the mean logarithm of the hyperbolic cosine of errors")
PLAIN(hinge, "Hinge", "hinge", "the mean hinge loss")
PLAIN(squared_hinge, "SquaredHinge", "squared_hinge", "the mean squared hinge loss")
PLAIN(categorical_hinge, "CategoricalHinge", "categorical_hinge", "the mean hinge loss between classes")
PLAIN(kl_divergence, "KLDivergence", "kl_divergence", "the mean divergence of the output from the labels")
PLAIN(poisson, "Poisson", "poisson", "the mean loss of counts")

static const kt_option cosine_options[] = {KT_METRIC_OPTIONS("\"cosine_similarity\""),
                                           KT_FIELD(loss_mean, axis, INT, "-1"), KT_OPTIONS_END};
LOSS_MEAN(cosine_similarity, "CosineSimilarity", "cosine_similarity",
          "the mean cosine of the angle to the labels", cosine_options)

/* ---- probabilities --------------------------------------------------------------------------- */
// clang-format off
static const kt_option binary_options[] = {
    KT_METRIC_OPTIONS("\"binary_crossentropy\""),
    KT_FIELD(loss_mean, from_logits, BOOL, "false"),
    KT_FIELD(loss_mean, label_smoothing, FLOAT, "0"),
    KT_OPTIONS_END,
};
static const kt_option categorical_options[] = {
    KT_METRIC_OPTIONS("\"categorical_crossentropy\""),
    KT_FIELD(loss_mean, from_logits, BOOL, "false"),
    KT_FIELD(loss_mean, label_smoothing, FLOAT, "0"),
    KT_FIELD(loss_mean, axis, INT, "-1"),
    KT_OPTIONS_END,
};
static const kt_option sparse_options[] = {
    KT_METRIC_OPTIONS("\"sparse_categorical_crossentropy\""),
    KT_FIELD(loss_mean, from_logits, BOOL, "false"),
    KT_FIELD(loss_mean, ignore_class, OPTIONAL_INT, "null"),
    KT_FIELD(loss_mean, axis, INT, "-1"),
    KT_OPTIONS_END,
};
// clang-format on
LOSS_MEAN(binary_crossentropy, "BinaryCrossentropy", "binary_crossentropy bce BCE",
          "the mean cross entropy of independent probabilities", binary_options)
LOSS_MEAN(categorical_crossentropy, "CategoricalCrossentropy", "categorical_crossentropy",
          "the mean cross entropy of a distribution over classes", categorical_options)
LOSS_MEAN(sparse_categorical_crossentropy, "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy",
          "the same where labels are numbers of classes", sparse_options)

/* ---- any other ------------------------------------------------------------------------------- */
static const kt_metric_class of_loss = {.object = {.name = "MeanMetricWrapper"},
                                        .build = kt_mean_build,
                                        .update = update,
                                        .result = kt_mean_result};

kt_metric *kt_metric_of_loss(kt_layer_context *context, const json_t *serialized, bool reduced,
                             const char *path) {
    kt_loss *loss = kt_loss_read(context, serialized, path);
    if (!loss) return NULL;
    loss_mean *self = KT_NEW(context->arena, loss_mean);
    self->metric.object.class = &of_loss.object;
    self->metric.object.path = path;
    self->metric.name = loss->name;
    self->metric.compute_dtype = KT_F32;
    self->ignore_class = KT_NONE_INT;
    self->loss = loss;
    self->reduced = reduced;
    return &self->metric;
}
