"""Trains the fashion model and writes what this folder holds.

    python examples/fashion/train.py       needs keras 3.15.1, a backend (tensorflow-cpu here),
                                           and Debian's package dataset-fashion-mnist

fashion.keras   a convnet on Fashion-MNIST's 28x28 images, grey levels 0 to 255 as they come
classes.npy     uint8 [10000]: what Keras predicts for the test images
"""

import gzip
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

FOLDER = pathlib.Path(__file__).parent
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")


def read(name, header):
    with gzip.open(DATA / f"{name}.gz") as file:
        return np.frombuffer(file.read(), "uint8", offset=header)


def model():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(48, activation="relu"),
            layers.Dense(10, activation="softmax", name="garment"),
        ],
        name="fashion",
    )


if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    train_x = read("train-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)
    train_y = read("train-labels-idx1-ubyte", 8)
    test_x = read("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)
    test_y = read("t10k-labels-idx1-ubyte", 8)
    fashion = model()
    fashion.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    fashion.fit(train_x.astype("float32"), train_y, batch_size=128, epochs=6, verbose=2)
    fashion.save(FOLDER / "fashion.keras")
    classes = fashion.predict(test_x.astype("float32"), batch_size=500, verbose=0).argmax(-1)
    np.save(FOLDER / "classes.npy", classes.astype("uint8"))
    print("test accuracy", (classes == test_y).mean())
