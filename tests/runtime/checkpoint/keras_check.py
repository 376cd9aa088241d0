"""Keras's side of tests/runtime/checkpoint_test.c.

  keras_check.py make                writes trained.keras, and its variables by their places as trained.npz, and
                                     its trained.config.json, here
  keras_check.py check FOLDER        holds saved.keras and saved.weights.h5, which the test left in FOLDER (they
                                     hold what trained.keras does), to Keras: every variable of model and optimizer
                                     equal, and the next steps of training the same as from trained.keras
"""
import io
import os
import sys
import zipfile

import h5py
import keras
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
TRAINED = os.path.join(HERE, "trained.keras")


def data():
    generator = np.random.RandomState(3)
    return generator.rand(16, 3).astype("float32"), np.arange(16) % 2


def make():
    keras.utils.set_random_seed(1)
    x = keras.Input((3,))
    y = keras.layers.Dense(4, name="first")(x)
    y = keras.layers.Dropout(0.0)(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.Dense(3, dtype="float16")(y)
    y = keras.layers.Dense(3, dtype="bfloat16")(y)
    y = keras.layers.Dense(2, activation="softmax", name="last")(y)
    model = keras.Model(x, y)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data(), batch_size=8, epochs=3, shuffle=False, verbose=0)
    model.save(TRAINED)
    arrays = {}

    def visit(place, item):
        if isinstance(item, h5py.Dataset):
            if item.attrs.get("dtype") == "bfloat16":
                bits = np.array(item).view("uint16").astype("uint32") << 16
                arrays["bfloat16:" + place] = bits.view("float32")
            else:
                arrays[place] = np.array(item)

    with zipfile.ZipFile(TRAINED) as archive:
        with open(os.path.join(HERE, "trained.config.json"), "wb") as file:
            file.write(archive.read("config.json"))
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))).visititems(visit)
    np.savez(os.path.join(HERE, "trained.npz"), **arrays)


def variables(model):
    return [(v.path, np.array(v, "float64")) for v in model.variables + model.optimizer.variables]


def same(a, b, what):
    differ = [p for (p, x), (_, y) in zip(a, b, strict=True) if x.shape != y.shape or (x != y).any()]
    print(f"{what}: {len(a)} variables, {len(differ)} differ", *differ)
    return not differ


def check(folder):
    original = keras.models.load_model(TRAINED)
    saved = keras.models.load_model(os.path.join(folder, "saved.keras"))
    weights = keras.models.load_model(TRAINED)
    for v in weights.variables + weights.optimizer.variables:
        v.assign(keras.ops.zeros(v.shape, v.dtype))
    weights.load_weights(os.path.join(folder, "saved.weights.h5"))
    good = True
    for what, model in (("saved.keras", saved), ("saved.weights.h5", weights)):
        good &= same(variables(original), variables(model), what)
    for model in (original, saved, weights):
        model.fit(*data(), batch_size=8, epochs=2, shuffle=False, verbose=0)
    for what, model in (("saved.keras, trained on", saved), ("saved.weights.h5, trained on", weights)):
        good &= same(variables(original), variables(model), what)
    sys.exit(not good)


if sys.argv[1] == "make":
    make()
else:
    check(sys.argv[2])
