"""Writes losses.json: every loss with every option, its value and its derivative by the output, by Keras.

The numbers are TensorFlow's, and JAX's must be the same, but for cases that are marked: where Keras on TensorFlow goes
back to logits, and what one of the two does not take.

python make_losses.py
"""
import json
import os
import subprocess
import sys

ON_JAX = "--on-jax" in sys.argv
os.environ["KERAS_BACKEND"] = "jax" if ON_JAX else "tensorflow"

import keras
import numpy as np
from keras.src import backend

HERE = os.path.dirname(os.path.abspath(__file__))
TENSORFLOW, JAX, BOTH = "tensorflow", "jax", "both"
cases = []


def rng():
    return np.random.default_rng(len(cases))


def add(loss, target, output, options=None, weights=None, mask=None, activation=None, axis=-1, oracle=BOTH, tolerance=1e-5):
    """loss: a class's name, with options; or, options None, what compile takes. axis: of the activation."""
    cases.append({
        "loss": loss, "options": options, "target": np.asarray(target), "output": np.asarray(output, "float32"),
        "weights": None if weights is None else np.asarray(weights, "float32"),
        "mask": None if mask is None else np.asarray(mask, "bool"),
        "activation": activation, "axis": axis, "oracle": oracle, "tolerance": tolerance,
    })


def numbers(*shape):
    return rng().normal(size=shape).astype("float32")


def bits(*shape):
    return rng().integers(0, 2, shape).astype("float32")


def shares(*shape, axis=-1):
    x = np.exp(rng().normal(size=shape))
    return (x / x.sum(axis, keepdims=True)).astype("float32")


def inside(*shape):
    return rng().uniform(0.05, 0.95, shape).astype("float32")


def classes(*shape, count=3):
    return rng().integers(0, count, shape).astype("int32")


def labels(*shape, axis=-1):
    x = rng().normal(size=shape)
    return (x == x.max(axis, keepdims=True)).astype("float32")


MSE = "MeanSquaredError"


def names():
    output, target = inside(4, 3), shares(4, 3)
    for name in """mean_squared_error mse MSE mean_absolute_error mae MAE mean_absolute_percentage_error mape MAPE
            mean_squared_logarithmic_error msle MSLE huber log_cosh cosine_similarity kl_divergence kld KLD poisson
            binary_crossentropy bce BCE binary_focal_crossentropy categorical_crossentropy
            categorical_focal_crossentropy hinge squared_hinge categorical_hinge dice tversky MeanSquaredError
            Huber""".split():
        add(name, target, output)
    add("sparse_categorical_crossentropy", classes(4), output)
    add("circle", [0, 1, 0, 1], output)
    add("ctc", [[1, 2], [2, 0]], numbers(2, 5, 3))
    for function in [keras.losses.mean_squared_error, keras.losses.huber, keras.losses.kl_divergence]:
        add(keras.losses.serialize(function), target, output)


def regression():
    for name in ["MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError",
                 "Huber", "LogCosh", "CosineSimilarity", "Poisson"]:
        add(name, np.abs(numbers(4, 3)), np.abs(numbers(4, 3)) + 0.5, {})
        add(name, np.abs(numbers(2, 4, 3)), np.abs(numbers(2, 4, 3)) + 0.5, {}, weights=numbers(2, 4))
    add("MeanAbsolutePercentageError", [[0.0, 2, -3]], [[1e-7, -1, 2]], {})
    add("MeanSquaredLogarithmicError", [[-1.0, 0, 3]], [[0.5, -2, 0]], {})
    add("Huber", numbers(4, 3) * 3, numbers(4, 3), {"delta": 0.3})
    add("Huber", [[0.0, 0, 0]], [[-100, 0.2, 100]], {})
    add("LogCosh", [[0.0, 0, 0, 0]], [[-100, 100, 0, 1e-3]], {})
    add("CosineSimilarity", numbers(2, 4, 3), numbers(2, 4, 3), {"axis": 1})
    add("CosineSimilarity", numbers(2, 3), [[1e-9, 0, -1e-9], [1e4, 2e4, 3]], {})
    add("Poisson", [[2.0, 0, 1]], [[1e-7, 0, 1e4]], {})
    add("KLDivergence", [[0, 1, 0.5]], [[0.2, 0, 2]], {})
    add("KLDivergence", shares(2, 4, 3), shares(2, 4, 3), {})


def reductions():
    weights, mask = inside(4), [True, False, True, True]
    for reduction in ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]:
        options = {"reduction": reduction}
        add(MSE, numbers(4, 3), numbers(4, 3), options)
        add(MSE, numbers(4, 3), numbers(4, 3), options, weights=weights)
        add(MSE, numbers(4, 3), numbers(4, 3), options, mask=mask)
        add(MSE, numbers(4, 3), numbers(4, 3), options, weights=weights, mask=mask)
        add(MSE, numbers(4, 5, 3), numbers(4, 5, 3), options, weights=inside(4, 5), mask=bits(4, 5))
        add(MSE, numbers(4, 5, 3), numbers(4, 5, 3), options, weights=inside(4, 1), mask=bits(4, 5))
        add(MSE, numbers(4, 5, 3), numbers(4, 5, 3), options, weights=inside(4, 1))
        add(MSE, numbers(4, 3), numbers(4, 3), options, weights=np.zeros(4))
        add(MSE, numbers(4, 3), numbers(4, 3), options, mask=np.zeros(4))
        add(MSE, numbers(4, 3), numbers(4, 3), options, weights=[1, -1, 0.5, -0.5])
        add(MSE, numbers(4, 3), numbers(4, 3), options, weights=inside(4, 1))
        add("Dice", inside(4, 3), inside(4, 3), options, weights=weights)
        add(MSE, numbers(4, 5, 3), numbers(4, 5, 3), options, weights=inside(4, 5, 1))


def shapes():
    add(MSE, numbers(4), numbers(4, 1), {}, weights=inside(4))
    add(MSE, numbers(4, 1), numbers(4), {})
    add(MSE, numbers(4, 5), numbers(4, 5, 1), {})
    add(MSE, numbers(4, 5, 1), numbers(4, 5), {}, weights=inside(4))
    add(MSE, numbers(4, 1), numbers(4, 3), {})
    add(MSE, numbers(4, 3), numbers(4, 1), {})
    add(MSE, classes(4, 3), numbers(4, 3), {})
    add(MSE, bits(4, 3).astype("bool"), numbers(4, 3), {})
    add("BinaryCrossentropy", bits(4), inside(4, 1), {})
    add("BinaryCrossentropy", bits(4), numbers(4, 1), {}, activation="sigmoid", oracle=TENSORFLOW)
    add("SparseCategoricalCrossentropy", classes(4, 1), shares(4, 3), {})
    add("SparseCategoricalCrossentropy", classes(4, 5, 1), shares(4, 5, 3), {})
    add("SparseCategoricalCrossentropy", classes(4, 5), shares(4, 5, 3), {}, weights=inside(4, 5))
    add("SparseCategoricalCrossentropy", classes(4).astype("float32"), shares(4, 3), {})
    add("Circle", np.array([[0], [1], [0], [1]]), numbers(4, 3) / 4, {})


def dtypes():
    add(MSE, numbers(4, 3), numbers(4, 3) * 1e3, {"dtype": "float64"}, weights=inside(4), oracle=TENSORFLOW)
    add(MSE, [[300.0, 1]], [[0.0, 0]], {"dtype": "float64", "reduction": "sum"}, oracle=TENSORFLOW)
    # Half precision rounds to 11 bits after each operation, in an order of the backend's own.
    add(MSE, numbers(4, 3), numbers(4, 3), {"dtype": "mixed_float16"}, weights=inside(4), tolerance=3e-3)
    add(MSE, numbers(4, 3), numbers(4, 3), {"dtype": {"module": "keras", "class_name": "DTypePolicy",
        "config": {"name": "mixed_bfloat16"}, "registered_name": None}}, tolerance=3e-2)
    # Behind a cast, logits are not seen.
    add("BinaryCrossentropy", [[0.0, 1]], [[100, 0.5]], {"dtype": "float64"}, activation="sigmoid", oracle=TENSORFLOW)


def binary():
    for name in ["BinaryCrossentropy", "BinaryFocalCrossentropy"]:
        focal = name == "BinaryFocalCrossentropy"
        add(name, bits(4, 3), inside(4, 3), {})
        add(name, bits(4, 3), numbers(4, 3), {"from_logits": True}, oracle=TENSORFLOW if focal else BOTH)
        add(name, bits(4, 3), inside(4, 3), {"label_smoothing": 0.2})
        add(name, bits(4, 5, 3), inside(4, 5, 3), {"axis": 1})
        add(name, [[0, 0, 1, 1.0]], [[0, 1, 0, 1]], {})
        add(name, [[0, 0, 1, 1.0]], [[-100, 100, -100, 100]], {"from_logits": True}, oracle=TENSORFLOW)
        add(name, [[0, 0, 1, 1.0]], [[-100, 100, -100, 100]], {}, activation="sigmoid", oracle=TENSORFLOW)
        add(name, bits(4, 3), numbers(4, 3), {}, activation="sigmoid", oracle=TENSORFLOW)
    add("BinaryCrossentropy", bits(4, 3), numbers(4, 3), {"from_logits": True}, activation="sigmoid", oracle=TENSORFLOW)
    add("BinaryCrossentropy", labels(4, 3), numbers(4, 3), {}, activation="softmax", oracle=JAX)
    add("BinaryFocalCrossentropy", bits(4, 3), inside(4, 3), {"gamma": 1.5})
    add("BinaryFocalCrossentropy", bits(4, 3), inside(4, 3), {"apply_class_balancing": True})
    add("BinaryFocalCrossentropy", bits(4, 3), inside(4, 3), {"apply_class_balancing": True, "alpha": 0.6})


def categorical():
    extreme = [[100, -100, 0], [-100, 100, 0.0]]
    for name in ["CategoricalCrossentropy", "CategoricalFocalCrossentropy"]:
        crossentropy = name == "CategoricalCrossentropy"
        back = TENSORFLOW if crossentropy else BOTH
        add(name, labels(4, 3), shares(4, 3), {})
        add(name, shares(4, 3), inside(4, 3), {})
        add(name, labels(4, 3), numbers(4, 3), {"from_logits": True})
        add(name, labels(4, 3), shares(4, 3), {"label_smoothing": 0.2})
        add(name, labels(4, 5, 3, axis=1), shares(4, 5, 3, axis=1), {"axis": 1})
        add(name, labels(4, 5, 3, axis=1), shares(4, 5, 3, axis=1), {"axis": 1, "label_smoothing": 0.2})
        add(name, labels(4, 5, 3, axis=1), numbers(4, 5, 3), {"axis": 1, "from_logits": True})
        add(name, [[1, 0, 0], [1, 0, 0.0]], [[1, 0, 0], [0, 1, 0]], {})
        add(name, [[1, 0, 0], [1, 0, 0.0]], extreme, {"from_logits": True})
        add(name, [[1, 0, 0], [1, 0, 0.0]], extreme, {}, activation="softmax", oracle=back)
        add(name, labels(4, 3), numbers(4, 3), {}, activation="softmax", oracle=back)
        add(name, labels(4, 5, 3, axis=1), 9 * numbers(4, 5, 3), {"axis": 1}, activation="softmax", axis=1, oracle=back)
    add("CategoricalCrossentropy", labels(4, 3), numbers(4, 3), {"from_logits": True}, activation="softmax",
        oracle=TENSORFLOW)
    add("CategoricalCrossentropy", labels(4, 5, 3), numbers(4, 5, 3), {}, activation="softmax", axis=1, oracle=JAX)
    add("CategoricalCrossentropy", labels(4, 3), numbers(4, 3), {}, activation="sigmoid", oracle=JAX)
    add("CategoricalFocalCrossentropy", labels(4, 3), shares(4, 3), {"alpha": 0.6, "gamma": 1.5})


def sparse():
    name = "SparseCategoricalCrossentropy"
    extreme = [[100, -100, 0], [-100, 100, 0.0]]
    add(name, classes(4), shares(4, 3), {})
    add(name, classes(4), numbers(4, 3), {"from_logits": True})
    add(name, [0, 0], [[1, 0, 0], [0, 1, 0]], {})
    add(name, [0, 0], extreme, {"from_logits": True})
    add(name, [0, 0], extreme, {}, activation="softmax", oracle=TENSORFLOW)
    add(name, classes(4, 5), 9 * numbers(4, 5, 3), {}, activation="softmax", oracle=TENSORFLOW)
    add(name, classes(4), numbers(4, 3), {"from_logits": True}, activation="softmax", oracle=TENSORFLOW)
    add(name, classes(4), shares(4, 3), {"axis": 1})
    add(name, [0, 3, -1, 2], shares(4, 3), {}, oracle=JAX)
    for ignored in [-1, 2, 255]:
        target = np.where(np.arange(8).reshape(2, 4) % 3 == 1, ignored, classes(2, 4, count=2))
        for options in [{}, {"from_logits": True}, {"reduction": "sum"}, {"reduction": "mean_with_sample_weight"}]:
            options = {"ignore_class": ignored, **options}
            add(name, target, shares(2, 4, 3), options)
        add(name, target, shares(2, 4, 3), options, weights=inside(2, 4), mask=bits(2, 4))
        add(name, target[..., None], shares(2, 4, 3), options, weights=inside(2, 1))
        add(name, target, numbers(2, 4, 3), {"ignore_class": ignored}, activation="softmax")
    add(name, np.full((2, 4), 2), shares(2, 4, 3), {"ignore_class": 2})
    name = "CategoricalGeneralizedCrossEntropy"
    add(name, classes(4), shares(4, 3), {})
    add(name, classes(4), shares(4, 3), {"q": 0.2})
    add(name, classes(4, 5), shares(4, 5, 3), {"q": 0.7})


def margins():
    for name in ["Hinge", "SquaredHinge"]:
        add(name, bits(4, 3), numbers(4, 3), {})
        add(name, 2 * bits(4, 3) - 1, numbers(4, 3), {})
        add(name, numbers(4, 3), numbers(4, 3), {})
        add(name, bits(2, 4, 3), 100 * numbers(2, 4, 3), {}, weights=inside(2, 4))
    add("CategoricalHinge", labels(4, 3), numbers(4, 3), {})
    add("CategoricalHinge", labels(2, 4, 3), 100 * numbers(2, 4, 3), {})


def sets():
    for name in ["Dice", "Tversky"]:
        for axis in [None, -1, [1, 2], [-1, 1], [0, 1, 2]]:
            add(name, bits(2, 4, 3), inside(2, 4, 3), {"axis": axis})
        add(name, bits(2, 4, 3), inside(2, 4, 3), {"axis": [1, 2], "reduction": "none"}, weights=inside(2))
        add(name, np.zeros((2, 3)), np.zeros((2, 3)), {})
    add("Tversky", bits(2, 4, 3), inside(2, 4, 3), {"alpha": 0.2})
    add("Tversky", bits(2, 4, 3), inside(2, 4, 3), {"beta": 0.9})


def circle():
    def embeddings(*shape):
        return numbers(*shape) / 3

    add("Circle", [0, 1, 0, 1, 0, 1], embeddings(6, 3), {})
    add("Circle", [0, 1, 0, 1, 0, 1], embeddings(6, 3), {"gamma": 8})
    add("Circle", [0, 1, 0, 1, 0, 1], embeddings(6, 3), {"gamma": 8, "margin": 0.2})
    add("Circle", [0, 1, 0, 1, 0, 1], embeddings(6, 3), {"gamma": 8, "remove_diagonal": False})
    add("Circle", [0, 1, 0, 1, 0, 1], embeddings(6, 3), {"gamma": 8, "margin": 0.2}, weights=inside(6))
    add("Circle", [0, 1, 0, 1, 0, 2], embeddings(6, 3), {"gamma": 8})
    add("Circle", [0, 1, 2], embeddings(3, 3), {"gamma": 8})
    add("Circle", [1, 1, 1], embeddings(3, 3), {"gamma": 8})


def temporal():
    add("CTC", [[1, 2, 2], [3, 0, 0]], numbers(2, 8, 4), {})
    add("CTC", [[1, 2, 2], [3, 1, 0]], 3 * numbers(2, 8, 4), {"reduction": "none"}, weights=inside(2))


def zeros():
    """Logits of 0, where the derivatives of maximum and |x| are none."""
    add("BinaryCrossentropy", [[0.0, 1]], [[0, 0]], {"from_logits": True}, oracle=TENSORFLOW)


def config_of(case):
    if case["options"] is None:
        return case["loss"]
    config = keras.losses.serialize(getattr(keras.losses, case["loss"])(**case["options"]))
    config["config"] |= case["options"]  # some classes forget theirs
    return config


def compute(case):
    if case["options"] is None:
        loss = keras.losses.get(case["loss"])
    else:
        loss = getattr(keras.losses, case["loss"])(**case["options"])
    if not isinstance(loss, keras.losses.Loss):
        loss = keras.src.losses.losses.LossFunctionWrapper(loss)

    def value(x):
        if case["activation"] == "softmax":
            x = keras.activations.softmax(x, axis=case["axis"])
        elif case["activation"] == "sigmoid":
            x = keras.activations.sigmoid(x)
        if case["mask"] is not None:
            x = x + 0
            backend.set_keras_mask(x, keras.ops.convert_to_tensor(case["mask"]))
        y = loss(keras.ops.convert_to_tensor(case["target"]), x, sample_weight=case["weights"])
        return keras.ops.cast(y, "float32")

    x = keras.ops.convert_to_tensor(case["output"])
    if ON_JAX:
        import jax

        y = value(x)
        gradient = jax.grad(lambda x: value(x).sum())(x)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            y = value(x)
        gradient = tape.gradient(y, x)
    return np.asarray(y), np.asarray(gradient)


def tensor(x):
    return {"dtype": str(x.dtype), "shape": list(x.shape), "data": [] if x is None else x.reshape(-1).tolist()}


def same(a, b, tolerance):
    a, b = np.asarray(a), np.asarray(b)
    return np.all(np.abs(a - b) <= tolerance * max(1, np.abs(b).max()))


def class_weights():
    name, target = "CategoricalFocalCrossentropy", labels(4, 3, 3)
    for options in [{}, {"axis": 1}]:
        add(name, target, shares(4, 3, 3), {"alpha": [0.1, 0.5, 0.3], **options})
    add(name, target, numbers(4, 3, 3), {"alpha": [0.1, 0.5, 0.3], "from_logits": True})
    add(name, target, shares(4, 3, 3), {"alpha": [0.3], "axis": 1})


def main():
    for make in [names, regression, reductions, shapes, dtypes, binary, categorical, sparse, margins, sets, circle, temporal,
                 zeros, class_weights]:
        make()
    if ON_JAX:
        wanted = [case["oracle"] != TENSORFLOW for case in cases]
        results = [compute(case) if is_wanted else None for case, is_wanted in zip(cases, wanted)]
        json.dump([r and [x.reshape(-1).tolist() for x in r] for r in results], sys.stdout)
        return
    jax = subprocess.Popen([sys.executable, __file__, "--on-jax"], stdout=subprocess.PIPE)
    results = [None if case["oracle"] == JAX else compute(case) for case in cases]
    other = json.loads(jax.communicate()[0])
    items = []
    for i, (case, result, on_jax) in enumerate(zip(cases, results, other)):
        name = f"case {i}, {case['loss']} {case['options']}"
        if case["oracle"] == JAX:
            gradient = np.asarray(on_jax[1], "float32").reshape(case["output"].shape)
            value = np.asarray(on_jax[0][0], "float32")
        else:
            value, gradient = result
            for what, mine, its in zip(["value", "gradient"], [value, gradient], on_jax or []):
                if not same(mine.reshape(-1), its, case["tolerance"]):
                    print(f"{name}: {what}s of the backends differ:\n{mine.reshape(-1)}\n{np.asarray(its)}")
        if not (np.isfinite(value).all() and np.isfinite(gradient).all()):
            print(f"{name}: not finite: {value} {gradient.reshape(-1)}")
        item = {"loss": config_of(case), "target": tensor(case["target"]), "output": tensor(case["output"])}
        for key in ["weights", "mask"]:
            if case[key] is not None:
                item[key] = tensor(case[key])
        if case["activation"]:
            item |= {"activation": case["activation"], "axis": case["axis"]}
        item |= {"tolerance": case["tolerance"], "value": tensor(value), "gradient": tensor(gradient)}
        items.append(item)
    with open(os.path.join(HERE, "losses.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n")


main()
