"""Makes what tests/driver/diff_test.sh and summary_test.sh compare with: small Keras models, what each of their layers
gives, and Keras's own summaries.

    KERAS_BACKEND=jax python tests/driver/inspection/make.py        needs keras 3.15.1, jax, numpy, h5py

nested.keras holds nested models, one of which is called twice, a shared layer, an operation, and a layer that is not
trained; nested.npz what all calls in it give, by layer path as `keratin diff` reads them. spoilt.keras is the same
model with another number among the weights of tower/block/conv alone. some.npz holds a few of the arrays, one of them
by the longer path, and one of no layer; no_input.npz lacks an input; plain.npz holds an array of another shape.
NAME.summary and NAME.expanded.summary are what model.summary() prints, wide enough that no cell is broken.
"""

import io
import os
import pathlib
import re
import sys
import zipfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import h5py
import keras
import numpy as np
from keras import layers as L

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[2] / "cli"))
from layers import outputs_of_layers

random = np.random.default_rng(5)


def nested():
    inside = keras.Input((8, 8, 4), name="inside")
    block = keras.Sequential([
        keras.Input((8, 8, 4)), L.Conv2D(4, 3, padding="same", name="conv"), L.BatchNormalization(name="norm"),
        L.ReLU(name="relu")], name="block")
    y = block(inside)
    tower = keras.Model(inside, L.Add(name="join")([inside, block(y)]), name="tower")

    image = keras.Input((8, 8, 3), name="image")
    extra = keras.Input((5,), name="extra")
    x = L.Conv2D(4, 1, name="stem")(image)
    x = tower(x)
    x = L.GlobalAveragePooling2D(name="pool")(x) * 2.0
    shared = L.Dense(4, activation="tanh", name="shared")
    both = L.Concatenate(name="both")([shared(x), shared(L.Dense(4, name="widen")(extra))])
    frozen = L.Dense(3, name="frozen")
    frozen.trainable = False
    return keras.Model([image, extra], [L.Dense(2, activation="softmax", name="classes")(both), frozen(both)], name="nested")


def plain():
    return keras.Sequential([
        keras.Input((16,)), L.Dense(64, activation="relu"), L.Dropout(0.5), L.Reshape((8, 8)),
        L.LayerNormalization(), L.Flatten(), L.Dense(10)], name="plain")


def several():
    """Two inputs, a nested model of two outputs, an unknown length; compiled, so that it has an optimizer."""
    words = keras.Input((None, 6), name="words")
    other = keras.Input((None, 6), name="other")
    seen = L.MultiHeadAttention(2, 3, name="attend")(words, value=other)
    inner = keras.Input((None, 6))
    split = keras.Model(inner, [L.Dense(2, name="left")(inner), L.Dense(3, name="right")(inner)], name="split")
    left, right = split(seen)
    pooled = L.GlobalAveragePooling1D(name="pooled")(L.Concatenate(name="joined")([left, right]))
    model = keras.Model([words, other], L.Dense(1, name="score")(pooled), name="several")
    model.compile(optimizer=keras.optimizers.Nadam(), loss="mse")
    return model


def randomize(model):
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        positive = "variance" in variable.path
        draw = random.uniform(0.3, 1.5, variable.shape) if positive else 0.5 * random.normal(size=variable.shape)
        variable.assign(draw)


def spoil(path, to, name, place):
    """The archive with one number of a weight changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "model.weights.h5":
                file = io.BytesIO(content)
                with h5py.File(file, "r+") as weights:
                    weights[name][place] += 0.25
                content = file.getvalue()
            new.writestr(member, content)


def write_summaries(model, name):
    for ending, expand in (("summary", False), ("expanded.summary", True)):
        lines = []
        model.summary(line_length=200, print_fn=lines.append, expand_nested=expand)
        text = "\n".join(lines)
        assert not re.search(r"\x1b", text)
        (FOLDER / f"{name}.{ending}").write_text(text + "\n")


if __name__ == "__main__":
    os.environ["COLUMNS"] = "220"
    for build in nested, plain, several:
        model = build()
        randomize(model)
        name = model.name
        model.save(FOLDER / f"{name}.keras")
        model = keras.models.load_model(FOLDER / f"{name}.keras")
        write_summaries(model, name)
        if name == "several":
            continue
        if name == "plain":
            inputs = random.normal(size=(2, 16)).astype("float32")
            shapes = keras.Model(model.inputs, [model.get_layer("dense").output, model.get_layer("reshape").output])
            dense, reshaped = (np.asarray(x) for x in shapes(inputs))
            np.savez_compressed(FOLDER / "plain.npz", x=inputs, dense=dense, flatten=reshaped)
            continue
        inputs = {"image": random.normal(size=(3, 8, 8, 3)).astype("float32"),
                  "extra": random.normal(size=(3, 5)).astype("float32")}
        arrays = outputs_of_layers(model, inputs)
        np.savez_compressed(FOLDER / "nested.npz", **arrays)
        some = {"no/such": np.zeros(3), **inputs, "stem": arrays["stem"], "nested/both": arrays["both"]}
        np.savez_compressed(FOLDER / "some.npz", **some)
        np.savez_compressed(FOLDER / "no_input.npz", image=inputs["image"], stem=arrays["stem"])
        spoil(FOLDER / "nested.keras", FOLDER / "spoilt.keras",
              "layers/functional/layers/sequential/layers/conv2d/vars/0", (1, 1, 2, 3))
