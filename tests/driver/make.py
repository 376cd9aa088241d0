"""Makes the models that errors_test.sh expects to be refused.

    KERAS_BACKEND=jax python tests/driver/make.py
"""

import pathlib

import keras
from keras import layers

FOLDER = pathlib.Path(__file__).parent

keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x + 1, name="shift")]).save(FOLDER / "lambda.keras")

inner = keras.Sequential([keras.Input((5, 4, 3)), layers.RandomFlip(name="flipped")], name="block")
keras.Sequential([keras.Input((5, 4, 3)), inner, layers.RandomContrast(0.5, name="contrasted")]).save(FOLDER / "unknown.keras")
