"""Makes initializers.txt: the first numbers that initializers with a seed draw in Keras on TensorFlow.

    KERAS_BACKEND=tensorflow python tests/driver/make_initializers.py

A line each: the initializer as JSON, with rows and columns of a kernel behind tabs, then its numbers.
"""

import json
import pathlib

import keras
import numpy as np

I = keras.initializers
drawn = [(I.RandomUniform(-0.5, 2.0, seed=5), 3, 5), (I.RandomNormal(1.0, 0.5, seed=-3), 3, 3), (I.TruncatedNormal(0.5, 0.2, seed=7), 5, 5),
         (I.GlorotUniform(seed=2**33 + 7), 4, 3), (I.HeNormal(seed=1), 4, 3), (I.Orthogonal(2.0, seed=11), 5, 3),
         (I.Orthogonal(seed=12), 2, 4), (I.VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=13), 3, 4),
         (I.LecunUniform(seed=keras.random.SeedGenerator(17)), 2, 3)]
lines = []
for initializer, rows, columns in drawn:
    config = json.dumps(keras.saving.serialize_keras_object(initializer))
    numbers = np.asarray(initializer((rows, columns))).ravel()
    lines.append("\t".join([config, str(rows), str(columns), " ".join(f"{x:.8g}" for x in numbers)]) + "\n")
(pathlib.Path(__file__).parent / "initializers.txt").write_text("".join(lines))
