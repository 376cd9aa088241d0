"""Writes the small models of tests/frontend/models with Keras, and beside each a JSON file with what Keras says of it
after loading it again: the variables' paths and shapes, the names of inputs and outputs, and predictions.

    KERAS_BACKEND=tensorflow python3 tests/frontend/make_models.py

Seeds are fixed, but Keras writes dates into the archives: running it again changes the files.
"""

import json
import os
import pathlib
import zipfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

OUT = pathlib.Path(__file__).parent / "models"
BATCH = 3
random = np.random.RandomState(7)


def values(array):
    array = np.asarray(array)
    kind = {"b": bool, "i": int, "u": int}.get(array.dtype.kind, float)
    return {"dtype": str(array.dtype), "shape": list(array.shape), "values": [kind(x) for x in array.ravel().tolist()]}


def unique(names):
    """Keratin's rule: a repeated name gets a number that no other name has."""
    result, taken = [], set(names)
    for i, name in enumerate(names):
        if name in names[:i]:
            number = 1
            while f"{name}_{number}" in taken:
                number += 1
            name = f"{name}_{number}"
            taken.add(name)
        result.append(name)
    return result


def output_names(model):
    """What a dict calls the outputs, else what Keras does."""
    paths = [path for path, _ in keras.tree.flatten_with_path(model.output)]
    return [path[-1] if path and isinstance(path[-1], str) else name for path, name in zip(paths, model.output_names)]


def write(name, model, extent=5):
    for variable in model.variables:
        if "seed_generator" not in variable.path:
            value = random.normal(size=variable.shape)
            variable.assign(np.abs(value) + 0.5 if "variance" in variable.path else value)
    model.save(OUT / f"{name}.keras")
    loaded = keras.models.load_model(OUT / f"{name}.keras")
    inputs = []
    for tensor in loaded.inputs:
        shape = [BATCH if i == 0 else extent if d is None else d for i, d in enumerate(tensor.shape)]
        if "int" in tensor.dtype:
            inputs.append(random.randint(-4, 9, size=shape).astype(tensor.dtype))
        else:
            inputs.append(random.normal(size=shape).astype(tensor.dtype))
    sequential = isinstance(loaded, keras.Sequential)
    outputs = keras.tree.flatten(loaded(inputs[0] if sequential else keras.tree.pack_sequence_as(loaded.input, inputs)))
    names = [loaded.layers[-1].name] if sequential else output_names(loaded)
    text = {
        "variables": [
            {"path": v.path, "shape": list(v.shape), "trainable": v.trainable}
            for v in loaded.variables
            if "seed_generator" not in v.path
        ],
        "inputs": [{"name": t.name, **values(x)} for t, x in zip(loaded.inputs, inputs)],
        "outputs": [{"name": n, **values(y)} for n, y in zip(unique(names), outputs)],
    }
    (OUT / f"{name}.json").write_text(json.dumps(text) + "\n")


def sequential():
    return keras.Sequential(
        [
            layers.Input((4,), name="features"),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax", name="classes"),
        ]
    )


def built_later():
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    model.build((None, 4))
    return model


def functional():
    a, b = layers.Input((4,), name="a"), layers.Input((None, 3), name="b")
    x = layers.Dense(3, name="left")(a)
    y = layers.Dense(3, name="right")(b)
    z = layers.Add()([y, ops.expand_dims(x, 1)])
    return keras.Model([b, a], [layers.Dense(2, name="head")(z), x], name="two")


def shared():
    x = layers.Input((4,))
    twice = layers.Dense(4, name="twice")
    first = twice(x)
    between = layers.Dense(4, activation="tanh")(first)
    return keras.Model(x, [twice(between), layers.Concatenate()([first, between])])


def nested():
    i = layers.Input((4,))
    block = keras.Model(i, [layers.Dense(4, name="dense")(i), layers.LayerNormalization()(i)], name="block")
    tower = keras.Sequential([layers.Input((4,)), layers.Dense(4, name="dense"), layers.Dense(4, name="second")], name="tower")
    x = layers.Input((4,), name="x")
    u, v = block(x)
    w, _ = block(tower(u))
    y = layers.Dense(4, name="dense")(w)
    return keras.Model(x, {"z": [tower(y), v], "a": u, "m": block(y)[1]})


def deep():
    i = layers.Input((3,))
    inner = keras.Model(i, layers.Dense(3, name="d")(i), name="inner")
    j = layers.Input((3,))
    middle = keras.Model(j, inner(inner(j)), name="middle")
    return keras.Sequential([middle, layers.Dense(2, name="d"), keras.Sequential([layers.Dense(2)])])


def dicts():
    i = {"p": layers.Input((2,), name="p"), "a": layers.Input((3,), name="a")}
    inner = keras.Model(i, layers.Concatenate()([i["p"], i["a"]]), name="join")
    p, q = layers.Input((2,), name="p"), layers.Input((3,), name="q")
    j = [layers.Input((2,), name="first"), layers.Input((3,), name="second")]
    lists = keras.Model(j, layers.Concatenate()([j[1], j[0]]), name="lists")
    return keras.Model({"q": q, "p": p}, [inner({"p": p, "a": q}), lists({"second": q, "first": p})])


def inputs_of_operations():
    return layers.Input((4, 6), name="x"), layers.Input((4,), dtype="int32", name="k")


def arithmetic():
    x, k = inputs_of_operations()
    mean = ops.mean(x, axis=-1)
    results = [
        x * 2.0, 2 * x, 1.0 - x, x / 2, 3 / (abs(x) + 1), x // 2, x % 3, x // -2, x % -3, abs(x) ** 1.5, 2**x, -x,
        k + 1, k * 2.5, k / 2, k // 2, k // -3, k % 3, k % -3, k**2, k - mean, k * mean, 7 - k,
        x > 0.5, k >= 2, k < mean, ops.equal(k, 1), ops.not_equal(1, k), ops.logical_and(x > 0, x < 1),
        ops.maximum(x, 0.5), ops.minimum(0.5, x), ops.where(x > 0, x, 0.0), ops.clip(x, -0.5, 1), ops.round(x, 1),
        x + np.arange(6, dtype="float32"), x + ops.ones((4, 1)), ops.cast(x > 0, "int32"), ops.cast(k, "float32"),
    ]  # fmt: skip
    return keras.Model([x, k], results)


def functions():
    x, k = inputs_of_operations()
    y = ops.abs(x) + 0.5
    results = [
        ops.exp(x), ops.log(y), ops.sqrt(y), ops.sqrt(ops.abs(k)), ops.square(x), ops.tanh(x), ops.sin(x), ops.sign(x),
        ops.floor(x), ops.log1p(y), ops.expm1(x), ops.relu(x), ops.relu6(x), ops.gelu(x), ops.gelu(x, False),
        ops.softmax(x), ops.softmax(x, axis=1), ops.log_softmax(x), ops.leaky_relu(x, 0.3), ops.elu(x, 0.5),
        ops.sigmoid(x), ops.silu(x), ops.hard_sigmoid(x), ops.softplus(x), ops.softsign(x), ops.hard_tanh(x),
        ops.threshold(x, 0.1, 2.0), ops.isnan(x),
    ]  # fmt: skip
    return keras.Model([x, k], results)


def shapes():
    x, k = inputs_of_operations()
    results = [
        x[:, 0], x[:, -1:, None], x[..., 1:3], x[:, ::2, ::-1], x[:, 3:0:-2], x[:, -3:-1, 4], x[:, :, 5:1], x[:, 2:-9:-1],
        x[:, 10:], x[0], x[:, None, ..., 1], x[::2, 1], x[:, ::-3, 4::-3],
        ops.reshape(x, (-1, 24)), ops.reshape(x, (-1, 2, 12)), ops.reshape(x, (-1,)), ops.transpose(x, [0, 2, 1]),
        ops.transpose(x), ops.swapaxes(x, 1, -1), ops.expand_dims(x, -1), ops.expand_dims(x, (1, 3)),
        ops.squeeze(ops.expand_dims(x, 2), 2), ops.squeeze(x[:, 1:2]), ops.flip(x, 1), ops.flip(x),
        ops.concatenate([x, x * 2], axis=-1), ops.concatenate([k, x[:, 0]], axis=1), ops.stack([x, -x], axis=1),
        ops.stack([k, k + 1], axis=-1), ops.ravel(k),
    ]  # fmt: skip
    return keras.Model([x, k], results)


def reductions():
    x, k = inputs_of_operations()
    weights = random.normal(size=(6, 2)).astype("float32")
    results = [
        ops.mean(x), ops.mean(x, axis=1), ops.mean(k, axis=-1), ops.sum(x, axis=(1, 2), keepdims=True), ops.sum(k),
        ops.sum(x > 0, axis=1), ops.prod(k, axis=1), ops.max(x, axis=-1), ops.max(k), ops.max(x, axis=1, initial=1.5),
        ops.min(x), ops.min(x, axis=1, keepdims=True), ops.max(x > 0, axis=1), ops.any(x > 2, axis=-1),
        ops.all(x > -2, axis=(0, 1)), ops.var(x, axis=-1), ops.std(x, axis=1), ops.argmax(x, axis=-1),
        ops.argmin(k, axis=1), ops.matmul(x, weights), x @ ops.transpose(x, (0, 2, 1)), ops.matmul(x, weights[:, 0]),
        ops.matmul(ops.ones((4,)), x), ops.matmul(random.normal(size=(3, 4)).astype("float32"), x), ops.matmul(k, k[0]),
    ]  # fmt: skip
    return keras.Model([x, k], results)


def main():
    OUT.mkdir(exist_ok=True)
    for make in (
        sequential, built_later, functional, shared, nested, deep, dicts, arithmetic, functions, shapes, reductions,
    ):  # fmt: skip
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        write(make.__name__, make())
    with zipfile.ZipFile(OUT / "sequential.keras") as stored:
        with zipfile.ZipFile(OUT / "deflated.keras", "w", zipfile.ZIP_DEFLATED) as deflated:
            for name in stored.namelist():
                deflated.writestr(name, stored.read(name))


if __name__ == "__main__":
    main()
