"""Writes docs/keras.md: every layer of Keras, and what of it compiles.

    python scripts/keras_table.py build/release/bin/keratin        needs keras 3.15.1

What is there comes from `keratin layers`, the layers and their options from Keras itself; only what is missing of a
layer that is there is said here.
"""

import inspect
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

# What does not work yet of layers that are there.
PARTLY = {
    "Dense": "quantized weights (int8, int4, float8)",
    "Embedding": "quantized weights",
    "EinsumDense": "quantized weights",
    "RNN": "cells of one's own",
    "StackedRNNCells": "a call outside of an RNN",
}
# Never: they hold Python code, or are no layers of a model.
NEVER = {
    "Lambda": "holds Python code, which is never executed",
    "JaxLayer": "holds Python code, which is never executed",
    "FlaxLayer": "holds Python code, which is never executed",
    "TFSMLayer": "refers to a TensorFlow program",
    "TorchModuleWrapper": "holds Python code, which is never executed",
    "Layer": "the base of all layers",
    "Wrapper": "the base of wrappers",
    "InputSpec": "no layer",
}


def rows(known):
    seen = set()
    for name in sorted(dir(keras.layers)):
        layer = getattr(keras.layers, name)
        if not inspect.isclass(layer) or layer in seen or layer.__name__ != name and hasattr(keras.layers, layer.__name__):
            continue
        seen.add(layer)
        if name in NEVER:
            yield name, "never", NEVER[name]
        elif layer.__name__ in known or name in known:
            yield name, "partly" if name in PARTLY else "works", PARTLY.get(name, "")
        else:
            yield name, "not yet", ""


def main():
    listed = subprocess.run([sys.argv[1], "layers"], check=True, capture_output=True, text=True).stdout
    known = {line.split()[0] for line in listed.splitlines() if line.split()[1] == "keras.layers"}
    operations = sorted(line.split()[0] for line in listed.splitlines() if line.split()[1].startswith("keras.src.ops"))
    table = list(rows(known))
    count = {state: sum(row[1] == state for row in table) for state in ("works", "partly", "not yet", "never")}
    page = [
        "# What of Keras compiles",
        "",
        f"Keras {keras.__version__}: of its {len(table)} layers {count['works']} work, {count['partly']} in part, "
        f"{count['not yet']} not yet, {count['never']} never will. A model that holds others is refused, each layer named.",
        "Sequential, Functional and nested models hold them; the dtype policies float32, mixed and of one float are read.",
        "Made by scripts/keras_table.py.",
        "",
        "| layer | state | what not, or why |",
        "| --- | --- | --- |",
        *(f"| {name} | {state} | {note} |" for name, state, note in table),
        "",
        "## Operation nodes",
        "",
        f"Of `keras.ops` in a Functional model, these {len(operations)} compile: {', '.join(operations)}.",
        "",
    ]
    (pathlib.Path(__file__).parent.parent / "docs" / "keras.md").write_text("\n".join(page))


main()
