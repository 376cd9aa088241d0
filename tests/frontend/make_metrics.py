"""Writes metrics.json, computed by Keras: each metric over three batches of different size, what it gives after each of
them and after the second once more behind a reset, with and without sample weights; every option where leaving it out
gives other numbers, which is asserted here.

KERAS_BACKEND=jax python make_metrics.py
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
cases = []


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
    return compile_utils.get_metric(identifier, *batch) if isinstance(identifier, str) else identifier


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
        return read(make, batches[0]) if isinstance(make, str) else make(**options)

    item = {"metric": make if isinstance(make, str) else keras.saving.serialize_keras_object(made()), "name": made().name}
    item["target"] = [tensor(target) for target, _ in batches]
    item["output"] = [tensor(output) for _, output in batches]
    for name, values in (("weight", [w for w, _ in variants if w]), ("mask", [m for _, m in variants if m])):
        if values:
            item[name] = [tensor(x) for x in values[0]]
    after = [results(made(), batches, *variant) for variant in variants]
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
    """make: a class, or an identifier. Each option must matter, with weights or without."""
    shape = batches[0][1].shape
    weights = weights or weights_for(batches)
    variants = [(None, None)] + ([(weights, None)] if weighted else [])
    if masked:
        masks = [random.random((n, *masked)) < 0.6 for n in SIZES]
        variants.append((None, masks))
        if not masked:
            variants.append((weights, masks))
    given = add(make, options, batches, variants)
    for name in options:
        if name in required:
            continue
        rest = {key: value for key, value in options.items() if key != name}
        others = [results(make(**rest), batches, *variant) for variant in variants]
        assert name in ("name", "dtype") or not all(map(same, given, others)), (make, name, shape)


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
    moved = [(y, np.moveaxis(x, -1, 1)) for y, x in sparse(4, 4)]
    case(M.SparseCategoricalCrossentropy, moved, axis=1)


for family in (means, accuracies, regressions, losses):
    family()
write("metrics.json", cases)
