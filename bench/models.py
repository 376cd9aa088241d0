"""The benchmark's models: Keras definitions, saved as .keras and .onnx with inputs and expected outputs.

    python bench/models.py OUT [NAME ...]      needs keras 3.15.1, tensorflow-cpu, tf2onnx
"""

import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as L


def mlp():
    return keras.Sequential(
        [L.Input((784,)), L.Dense(512, "relu"), L.Dense(512, "relu"), L.Dense(10, "softmax")]
    )


def tabular():
    return keras.Sequential([L.Input((13,)), L.Dense(64, "relu"), L.Dense(64, "relu"), L.Dense(1, "sigmoid")])


def convnet():
    return keras.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Conv2D(32, 3, activation="relu"),
            L.MaxPooling2D(2),
            L.Conv2D(64, 3, activation="relu"),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dropout(0.5),
            L.Dense(10, "softmax"),
        ]
    )


def resnet20():
    def block(x, filters, strides=1, activate=True):
        x = L.Conv2D(filters, 3, strides, "same", use_bias=False)(x)
        x = L.BatchNormalization()(x)
        return L.ReLU()(x) if activate else x

    image = L.Input((32, 32, 3))
    x = block(image, 16)
    for stage, filters in enumerate((16, 32, 64)):
        for index in range(3):
            strides = 2 if stage and not index else 1
            y = block(block(x, filters, strides), filters, activate=False)
            if strides != 1:
                x = L.Conv2D(filters, 1, strides)(x)
            x = L.ReLU()(L.Add()([x, y]))
    return keras.Model(image, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x)))


MODELS = {"tabular": (tabular, (1, 256)), "mlp": (mlp, (1, 64)), "convnet": (convnet, (1, 64)), "resnet20": (resnet20, (1, 16))}


def build(name):
    """The model with seeded weights, and statistics of batch normalization that are not trivial."""
    keras.utils.set_random_seed(7)
    model = MODELS[name][0]()
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [random.uniform(0.7, 1.3, shape), random.normal(0, 0.1, shape)]
                + [random.normal(0, 0.1, shape), random.uniform(0.7, 1.3, shape)]
            )
    return model


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or MODELS:
        model = build(name)
        for batch in MODELS[name][1]:
            x = np.random.default_rng(0).standard_normal((batch, *model.inputs[0].shape[1:])).astype("float32")
            np.savez(out / f"{name}.{batch}.npz", x=x, y=model.predict_on_batch(x))
        model.save(out / f"{name}.keras")
        model.export(out / f"{name}.onnx", format="onnx", verbose=False)
        print(name, model.count_params(), "parameters", flush=True)
