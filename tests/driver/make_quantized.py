"""Makes the model of quantize_weights_test.sh, with what Keras gives where its weights were rounded to bytes beforehand.

    KERAS_BACKEND=jax python tests/driver/make_quantized.py
"""

import pathlib

import keras
import numpy as np
from keras import layers

FOLDER = pathlib.Path(__file__).parent


def rounded(w, depth):
    """To 127 steps either way for each channel: what is left when the axes `depth` are summed."""
    step = np.abs(w).max(axis=depth, keepdims=True) / np.float32(127)
    return (np.round(w / step) * step).astype("float32")


def depth_of(variable):
    """The axes of a weight that a product sums; of a table, that of a row."""
    if "embeddings" in variable.path:
        return (1,)
    return (0, 1) if "attention_output/kernel" in variable.path else (0,)


ids = keras.Input((9,), dtype="int32", name="words")
x = layers.Embedding(30, 12)(ids)
x = layers.Add()([x, layers.MultiHeadAttention(2, 6)(x, x)])
x = layers.Bidirectional(layers.LSTM(10, return_sequences=True))(x)
x = layers.GRU(18)(x)
x = layers.Dense(37, "gelu")(x)
model = keras.Model(ids, layers.Dense(5)(x), name="words")
random = np.random.default_rng(7)
for variable in model.weights:
    scale = 0.5 if variable.ndim < 2 else variable.shape[0] ** -0.5
    variable.assign(random.standard_normal(variable.shape).astype("float32") * scale)
model.save(FOLDER / "words.keras")
words = np.random.default_rng(3).integers(0, 30, (11, 9)).astype("int32")
np.save(FOLDER / "words_x.npy", words)
for variable in model.weights:
    if "bias" not in variable.path:
        variable.assign(rounded(np.asarray(variable), depth_of(variable)))
np.save(FOLDER / "words_y.npy", np.asarray(model(words)))
