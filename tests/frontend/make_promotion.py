"""Writes promotion.json: Keras's result_type of every pair of dtypes and Python's numbers, and of every three of some.

KERAS_BACKEND=tensorflow python make_promotion.py
"""
import itertools
import json
import os

import keras

assert keras.backend.backend() == "tensorflow"
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bfloat16", "float16", "float32",
          "float64"]
NUMBERS = {"Python's bool": bool, "Python's int": int, "Python's float": float}


def result(*names):
    return keras.backend.result_type(*(NUMBERS.get(name, name) for name in names))


names = DTYPES + list(NUMBERS)
cases = [[*operands, result(*operands)] for operands in itertools.product(names, names)]
cases += [[*operands, result(*operands)]
          for operands in itertools.product(["uint64", "int64", "int8", "float16", "bfloat16", "Python's float"], repeat=3)]
HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "promotion.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
