"""Trains the digits model and writes what this folder holds.

    python examples/digits/train.py        needs keras 3.15.1, a backend (tensorflow-cpu here), scikit-learn

digits.keras    a convnet on scikit-learn's bundled 8x8 digits, grey levels 0 to 16 as they come
images.npy      uint8 [360, 8, 8, 1]: the test images;  labels.npy  uint8 [360]: what they are
classes.npy     uint8 [360]: what Keras predicts for them
"""

import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FOLDER = pathlib.Path(__file__).parent


def model():
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 16, name="grey")(image)
    x = layers.Conv2D(24, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(48, 3, activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def data():
    """Images to train on, images to test with, labels of the first, labels of the second."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("uint8")
    return train_test_split(images, labels.astype("uint8"), test_size=360, random_state=1, stratify=labels)


if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    train_x, test_x, train_y, test_y = data()
    digits = model()
    digits.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    digits.fit(train_x.astype("float32"), train_y, batch_size=32, epochs=25, verbose=2)
    digits.save(FOLDER / "digits.keras")
    classes = digits.predict(test_x.astype("float32"), verbose=0).argmax(-1)
    np.save(FOLDER / "images.npy", test_x)
    np.save(FOLDER / "labels.npy", test_y)
    np.save(FOLDER / "classes.npy", classes.astype("uint8"))
    print("test accuracy", (classes == test_y).mean())
