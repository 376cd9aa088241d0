"""Makes the models that errors_test.sh expects to be refused.

    KERAS_BACKEND=jax python tests/driver/make.py
"""

import pathlib

import keras
from keras import layers

FOLDER = pathlib.Path(__file__).parent

keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x + 1, name="shift")]).save(FOLDER / "lambda.keras")

inner = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, name="recurrent")], name="block")
keras.Sequential([keras.Input((5, 3)), inner, layers.SpectralNormalization(layers.Dense(2), name="transformed")]).save(FOLDER / "unknown.keras")
