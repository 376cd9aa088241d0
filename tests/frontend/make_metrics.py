"""Writes metrics.json, computed by Keras on TensorFlow: each metric over three batches of different size, what it gives after each of
them and after the second once more behind a reset, with and without sample weights; every option where leaving it out
gives other numbers, which is asserted here.

KERAS_BACKEND=tensorflow python make_metrics.py
"""
import json
import os

import keras
import numpy as np
from keras import metrics as M
from keras.src import backend
from keras.src.trainers import compile_utils

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = (5, 2, 7)
random = np.random.default_rng(6)
cases, ignored = [], []


def write(name, items):
    with open(os.path.join(HERE, name), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n")


def tensor(array):
    data = [float(x) if array.dtype.kind == "f" else int(x) for x in array.ravel()]
    data = [round(x, 4) if array.dtype.kind == "f" else x for x in data]
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


# ---- batches: lists of (labels, output) ---------------------------------------------------------------------------
def uniform(*shape, low=0.0, high=1.0):
    return (random.random(shape) * (high - low) + low).round(3).astype("float32")


def softmax(*shape):
    x = uniform(*shape, low=0.05)
    return (x / x.sum(-1, keepdims=True)).round(4).astype("float32")


def integers(limit, *shape):
    return random.integers(0, limit, shape).astype("int32")


def decisions(*shape):
    return [(integers(2, n, *shape).astype("float32"), uniform(n, *shape)) for n in SIZES]


def numbers(*shape, low=-1.5, high=2.0):
    return [(uniform(n, *shape, low=low, high=high), uniform(n, *shape, low=low, high=high)) for n in SIZES]


def one_hot(classes, *shape, logits=False):
    return [(labels[0], labels[1]) for labels in one_hots(classes, shape, logits)]


def one_hots(classes, shape, logits):
    for n in SIZES:
        labels = np.eye(classes, dtype="float32")[integers(classes, n, *shape)]
        yield labels, uniform(n, *shape, classes, low=-3, high=3) if logits else softmax(n, *shape, classes)


def sparse(classes, *shape, behind=(), logits=False, limit=None):
    limit = limit or classes
    return [(integers(limit, n, *shape, *behind),
             uniform(n, *shape, classes, low=-3, high=3) if logits else softmax(n, *shape, classes)) for n in SIZES]


# ---- cases --------------------------------------------------------------------------------------------------------
def read(identifier, batch):
    return compile_utils.get_metric(identifier, *batch)


def results(metric, batches, weights, masks):
    """After each batch; and after the second behind a reset."""
    def update(i):
        target, output = (keras.ops.convert_to_tensor(x) for x in batches[i])
        if masks is not None:
            backend.set_keras_mask(output, keras.ops.convert_to_tensor(masks[i]))
        if isinstance(metric, (M.Sum, M.Mean)) and type(metric).update_state in (M.Sum.update_state, M.Mean.update_state):
            metric.update_state(output, sample_weight=None if weights is None else weights[i])
        else:
            metric.update_state(target, output, sample_weight=None if weights is None else weights[i])
        return np.asarray(metric.result(), "float32")

    after = [update(i) for i in range(3)]
    metric.reset_state()
    return after + [update(1)]


def add(make, options, batches, variants):
    """A case of all variants, pairs of weights and masks or None; what Keras gives for each."""
    def made():
        return make(**options) if isinstance(make, type) else read(make, batches[0])

    keras.utils.clear_session()
    metric = made()
    serialized = keras.saving.serialize_keras_object(metric if isinstance(make, type) else make)
    item = {"metric": serialized, "name": metric.name}
    if make is M.CosineSimilarity:
        item["metric"]["config"] |= options  # its get_config leaves out axis, which it takes
    item["target"] = [tensor(target) for target, _ in batches]
    item["output"] = [tensor(output) for _, output in batches]
    for name, values in (("weight", [w for w, _ in variants if w]), ("mask", [m for _, m in variants if m])):
        if values:
            item[name] = [tensor(x) for x in values[0]]
    after = [results(made(), batches, *variant) for variant in variants]
    assert all(np.isfinite(x).all() for numbers in after for x in numbers), (make, options, after)
    item["variants"] = [{"weight": w is not None, "mask": m is not None, "results": [exact(x) for x in numbers]}
                        for (w, m), numbers in zip(variants, after)]
    cases.append(item)
    return after


def exact(array):
    return {"dtype": "float32", "shape": list(array.shape), "data": [float(f"{x:.8g}") for x in array.ravel()]}


def weights_for(batches, integer=False):
    return [integers(4, n) if integer else uniform(n, high=2.0) for n in SIZES]


def same(a, b):
    return all(x.shape == y.shape and np.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(a, b))


def case(make, batches, weighted=True, masked=(), weights=None, required=(), **options):
    """make: a class, a function, or an identifier. Each option must matter, with weights or without."""
    weights = weights or weights_for(batches)
    variants = [(None, None)] + ([(weights, None)] if weighted else [])
    if masked:
        masks = [random.random((n, *masked)) < 0.6 for n in SIZES]
        variants.append((None, masks))
        if weights[0].ndim == 1 + len(masked):
            variants.append((weights, masks))
    given = add(make, options, batches, variants)
    for name in options:
        if name in required:
            continue
        rest = {key: value for key, value in options.items() if key != name}
        others = [results(make(**rest), batches, *variant) for variant in variants]
        if name not in ("name", "dtype") and all(map(same, given, others)):
            ignored.append((make.__name__, name, options))


def means():
    case(M.Mean, numbers(3), name="own")
    case(M.Mean, numbers())
    case(M.Sum, numbers(3, 2))
    case(M.Sum, numbers(1), name="own")
    case(M.Mean, numbers(3), dtype="float16")


def accuracies():
    equal = [(integers(3, n, 2).astype("float32"), integers(3, n, 2).astype("float32")) for n in SIZES]
    case(M.Accuracy, equal, name="own")
    case(M.BinaryAccuracy, decisions(1))
    case(M.BinaryAccuracy, decisions(3), threshold=0.3, name="own")
    case(M.BinaryAccuracy, decisions(4, 1), masked=(4,))
    case(M.CategoricalAccuracy, one_hot(4))
    case(M.CategoricalAccuracy, one_hot(3, 4), masked=(4,))
    case(M.SparseCategoricalAccuracy, sparse(4))
    case(M.SparseCategoricalAccuracy, sparse(4, behind=(1,)))
    case(M.SparseCategoricalAccuracy, sparse(3, 4), masked=(4,))
    case(M.TopKCategoricalAccuracy, one_hot(7), k=2)
    case(M.TopKCategoricalAccuracy, one_hot(9, 3), masked=(3,))
    case(M.SparseTopKCategoricalAccuracy, sparse(7), k=3)
    case(M.SparseTopKCategoricalAccuracy, sparse(9, 3))
    ids = [(integers(6, n), np.stack([random.permutation(6)[:4] for _ in range(n)]).astype("float32")) for n in SIZES]
    case(M.SparseTopKCategoricalAccuracy, ids, k=2, from_sorted_ids=True)
    for name in ("accuracy", "acc", "Accuracy"):
        case(name, decisions(1), weighted=False)
        case(name, one_hot(4), weighted=False)
        case(name, sparse(4), weighted=False)
    case("acc", sparse(4, behind=(1,)), weighted=False)
    case("accuracy", sparse(3, 4), weighted=False)


def regressions():
    case(M.RootMeanSquaredError, numbers(3), name="own")
    case(M.RootMeanSquaredError, numbers())
    case(M.RootMeanSquaredError, numbers(4, 2), masked=(4,))


def losses():
    case(M.MeanSquaredError, numbers(3), name="own")
    case(M.MeanSquaredError, numbers(1))
    case(M.MeanSquaredError, numbers(4, 2), masked=(4,))
    case("mse", numbers(3), weighted=False)
    case(M.MeanAbsoluteError, numbers(3))
    case(M.BinaryCrossentropy, decisions(1))
    case(M.BinaryCrossentropy, [(y, 6 * x - 3) for y, x in decisions(3)], from_logits=True, label_smoothing=0.2)
    case(M.CategoricalCrossentropy, one_hot(4), label_smoothing=0.1)
    case(M.CategoricalCrossentropy, one_hot(4, 3, logits=True), masked=(3,), from_logits=True)
    case(M.CategoricalCrossentropy, [(np.moveaxis(y, -1, 1), np.moveaxis(x, -1, 1)) for y, x in one_hot(4, 3)], axis=1)
    case(M.SparseCategoricalCrossentropy, sparse(4))
    case(M.SparseCategoricalCrossentropy, sparse(4, behind=(1,)))
    case(M.SparseCategoricalCrossentropy, sparse(4, 3, logits=True), masked=(3,), from_logits=True)
    case(M.SparseCategoricalCrossentropy, sparse(4), ignore_class=2)


def more_losses():
    global random
    random = np.random.default_rng(66)  # what is drawn for cases before does not change these
    for metric in (M.MeanAbsolutePercentageError, M.LogCoshError, M.CosineSimilarity):
        case(metric, numbers(3), name="own")
        case(metric, numbers(4, 2), masked=(4,))
    case(M.CosineSimilarity, numbers(3, 2), axis=1)
    case(M.MeanSquaredLogarithmicError, numbers(3, low=-0.5), name="own")
    case(M.MeanSquaredLogarithmicError, numbers(1, low=0.0, high=4.0))
    for metric in (M.Hinge, M.SquaredHinge):
        case(metric, [(2 * y - 1, 4 * x - 2) for y, x in decisions(3)], name="own")
        case(metric, [(y, 4 * x - 2) for y, x in decisions(1)])
        case(metric, numbers(4, 2), masked=(4,))
    case(M.CategoricalHinge, one_hot(4), name="own")
    case(M.CategoricalHinge, one_hot(4, 3, logits=True), masked=(3,))
    case(M.KLDivergence, [(softmax(n, 4), softmax(n, 4)) for n in SIZES], name="own")
    case(M.KLDivergence, one_hot(4, 3), masked=(3,))
    case(M.Poisson, [(integers(5, n, 3).astype("float32"), uniform(n, 3, low=0.1, high=4)) for n in SIZES], name="own")
    case(M.Poisson, numbers(4, 2, low=0.1), masked=(4,))
    for name in ("mape", "MSLE", "log_cosh_error", "hinge", "kl_divergence", "cosine_similarity"):
        case(name, numbers(3, low=0.1), weighted=False)
    case(M.MeanMetricWrapper, numbers(3), fn=keras.losses.cosine_similarity, name="own", required=("fn",))
    case(M.MeanMetricWrapper, numbers(3, 2), fn=keras.losses.cosine_similarity, axis=1, name="own", required=("fn",))
    case(keras.losses.cosine_similarity, numbers(3), weighted=False)
    case(M.MeanMetricWrapper, numbers(3), fn=keras.losses.huber, delta=0.5, name="own", required=("fn",))


def edges(batches):
    """Outputs of 0, 1 and half among the others."""
    for _, output in batches:
        output.flat[0], output.flat[-1] = 0, 1
        output.flat[1] = 0.5
    return batches


def confusions():
    for metric in (M.TruePositives, M.FalsePositives, M.TrueNegatives, M.FalseNegatives):
        case(metric, edges(decisions(1)))
        case(metric, decisions(3), thresholds=[0.2, 0.7, 0.4], name="own")
        case(metric, edges(decisions(2)), thresholds=[0, 0.5, 1.0])
    for metric in (M.Precision, M.Recall):
        case(metric, decisions(1), thresholds=0.3)
        case(metric, decisions())
        case(metric, decisions(3), thresholds=[0.2, 0.7], name="own")
        case(metric, edges(decisions(2)), thresholds=[0, 0.25, 0.5, 0.75, 1.0])
        case(metric, one_hot(5), top_k=2)
        case(metric, one_hot(4), class_id=1, thresholds=0.15)
        case(metric, one_hot(5), top_k=2, class_id=3)
        case(metric, one_hot(5), top_k=3, thresholds=[0.1, 0.25])
        case(metric, decisions(2, 3), weighted=False)


def curves():
    for metric, bound in ((M.SensitivityAtSpecificity, 0.6), (M.SpecificityAtSensitivity, 0.6),
                          (M.PrecisionAtRecall, 0.6), (M.RecallAtPrecision, 0.45)):
        option = metric.__name__.split("At")[1].lower()
        case(metric, edges(decisions(1)), required=(option,), **{option: bound})
        case(metric, decisions(3), required=(option,), num_thresholds=5, class_id=1, **{option: bound})
        case(metric, decisions(1), required=(option,), num_thresholds=1, name="own", **{option: bound})
    case(M.AUC, edges(decisions(1)))
    for curve in ("ROC", "PR", "PRGAIN"):
        for way in ("interpolation", "majoring", "minoring"):
            case(M.AUC, edges(decisions(1)), num_thresholds=8, curve=curve, summation_method=way, required=(
                "curve", "summation_method", "num_thresholds"))
    case(M.AUC, decisions(1), thresholds=[0.8, 0.3, 0.45], name="own")
    case(M.AUC, edges(decisions(1)), thresholds=[0.25, 0.5, 0.75])
    case(M.AUC, [(y, 6 * x - 3) for y, x in decisions(1)], from_logits=True)
    case(M.AUC, decisions(3), label_weights=[0.5, 2.0, 1.0])
    case(M.AUC, decisions(3), thresholds=[0.3, 0.6], label_weights=[0.5, 2.0, 1.0])
    case(M.AUC, decisions(3), multi_label=True)
    case(M.AUC, edges(decisions(3)), multi_label=True, num_labels=3, label_weights=[0.5, 2.0, 1.0], num_thresholds=6,
         required=("multi_label", "num_labels"))
    case(M.AUC, decisions(3), multi_label=True, thresholds=[0.3, 0.6, 0.7], curve="PR")


def f_scores():
    for average in (None, "micro", "macro", "weighted"):
        case(M.F1Score, one_hot(3), average=average, required=("average",))
        case(M.FBetaScore, decisions(3), average=average, beta=2.0, threshold=0.4, required=("average",))
    case(M.F1Score, decisions(3), threshold=0.6, name="own")
    case(M.FBetaScore, one_hot(3), beta=0.5)
    case(M.FBetaScore, one_hot(3), dtype="float16")


def ious():
    def labels(limit=4, *shape):
        return [(integers(limit, n, *shape), integers(4, n, *shape)) for n in SIZES]

    whole = [integers(4, n) for n in SIZES]
    required = ("num_classes", "target_class_ids")
    case(M.IoU, labels(), weights=whole, num_classes=4, target_class_ids=[0, 2], required=required)
    case(M.IoU, labels(6), weights=whole, num_classes=4, target_class_ids=[1, 2, 3], ignore_class=2, required=required)
    case(M.IoU, labels(4, 3), weighted=False, num_classes=4, target_class_ids=[1, 2, 3], name="own", required=required)
    case(M.IoU, labels(), num_classes=4, target_class_ids=[0, 1], dtype="float32", required=required)
    case(M.IoU, one_hot(4), weights=whole, num_classes=4, target_class_ids=[0, 1], sparse_y_true=False,
         sparse_y_pred=False, required=required + ("sparse_y_true", "sparse_y_pred"))
    case(M.MeanIoU, labels(), weights=whole, num_classes=4, ignore_class=0, required=required)
    case(M.MeanIoU, sparse(4), weights=whole, num_classes=4, sparse_y_pred=False, required=required + ("sparse_y_pred",))
    case(M.OneHotIoU, one_hot(4), weights=whole, num_classes=4, target_class_ids=[0, 2], ignore_class=2,
         required=required)
    case(M.OneHotMeanIoU, one_hot(4), weights=whole, num_classes=4, name="own", required=required)
    mixed = [(np.eye(4, dtype="float32")[integers(4, n)], integers(4, n)) for n in SIZES]
    case(M.OneHotIoU, mixed, weights=whole, num_classes=4, target_class_ids=[1], sparse_y_pred=True,
         required=required + ("sparse_y_pred",))
    case(M.OneHotMeanIoU, mixed, weights=whole, num_classes=4, sparse_y_pred=True, ignore_class=1,
         required=required + ("sparse_y_pred",))
    case(M.BinaryIoU, decisions(), weights=whole, target_class_ids=[0], threshold=0.3)
    case(M.BinaryIoU, decisions(2, 2), weighted=False, name="own")


def correlations():
    for metric in (M.PearsonCorrelation, M.ConcordanceCorrelation):
        case(metric, numbers(6), name="own")
        case(metric, numbers(4, 4), axis=1, masked=(4,))
    case(M.R2Score, numbers(3))
    case(M.R2Score, numbers(1), num_regressors=1)
    for way in (None, "variance_weighted_average"):
        case(M.R2Score, numbers(3), class_aggregation=way, name="own")


def weighted_steps():
    """With a weight for each step of a sample."""
    global random
    random = np.random.default_rng(96)
    weights = lambda *shape: [uniform(n, *shape, high=2.0) for n in SIZES]
    case(M.Mean, numbers(4, 3), weights=weights(4))
    case(M.Sum, numbers(4, 2, 2), weights=weights(4, 2))
    case(M.MeanSquaredError, numbers(4, 2), weights=weights(4), masked=(4,))
    case(M.RootMeanSquaredError, numbers(2, 4, 3), weights=weights(2, 4), masked=(2, 4))
    case(M.BinaryAccuracy, decisions(4, 1), weights=weights(4), masked=(4,))
    case(M.SparseCategoricalAccuracy, sparse(3, 4), weights=weights(4), masked=(4,))
    case(M.SparseTopKCategoricalAccuracy, sparse(9, 3), weights=weights(3))
    case(M.SparseCategoricalCrossentropy, sparse(4, 3), weights=weights(3), ignore_class=2)
    case(M.TruePositives, decisions(4, 3), weights=weights(4))
    case(M.Precision, decisions(4, 1), weights=weights(4), thresholds=[0.3, 0.6], required=("thresholds",))
    case(M.Recall, one_hot(5, 2), weights=weights(2), top_k=2)
    case(M.AUC, decisions(2, 3), weights=weights(2), label_weights=[0.5, 2.0, 1.0], num_thresholds=8)
    case(M.MeanIoU, sparse(4, 2, 3), weights=[integers(4, n, 2, 3) for n in SIZES], num_classes=4, sparse_y_pred=False,
         required=("num_classes", "sparse_y_pred"))
    case(M.PearsonCorrelation, numbers(4, 4), weights=weights(4), masked=(4,))


for family in (means, accuracies, regressions, losses, confusions, curves, f_scores, ious, correlations,
               more_losses, weighted_steps):
    family()
write("metrics.json", cases)
assert not ignored, ignored
