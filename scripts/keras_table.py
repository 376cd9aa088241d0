"""Writes docs/keras.md: every layer of Keras, and what of it compiles.

    python scripts/keras_table.py build/release/bin/keratin        needs keras 3.15.1

What is there comes from `keratin layers`, the layers and their options from Keras itself; only what is missing of a
layer that is there is said here.
"""

import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras.src.layers.preprocessing.image_preprocessing.base_image_preprocessing_layer import BaseImagePreprocessingLayer
from keras.src.ops.operation import Operation

ROOT = pathlib.Path(__file__).parent.parent
OPERATION_MODULES = ("core", "einops", "image", "linalg", "math", "nn", "numpy")
BASES = {"SegmentReduction"}  # of other operations

# What does not work yet of layers that are there.
PARTLY = {
    name: "quantized weights but int8 (int4, float8, GPTQ, AWQ); training with int8"
    for name in ("Dense", "Embedding", "EinsumDense", "ReversibleEmbedding")
}
# Of layers that work: what looks as if it might be missing.
NOTES = {
    "RNN": "a cell of one's own is Python code, which is never executed",
    **dict.fromkeys(("CenterCrop", "RandomCrop", "Resizing"),
                    "tensors of images; called with a dictionary, Keras itself makes no model of them that works"),
}
DICTIONARIES = "dictionaries of images, labels and boxes (`bounding_box_format`)"
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
            missing = PARTLY.get(name, "")
            if issubclass(layer, BaseImagePreprocessingLayer) and name not in NOTES:
                missing = DICTIONARIES
            yield name, "partly" if missing else "works", missing or NOTES.get(name, "")
        else:
            yield name, "not yet", ""


def operations():
    """All that keras.ops records in a Functional model."""
    for module in OPERATION_MODULES:
        for name, kind in vars(importlib.import_module(f"keras.src.ops.{module}")).items():
            if inspect.isclass(kind) and issubclass(kind, Operation) and kind.__module__ == f"keras.src.ops.{module}":
                if name not in BASES:
                    yield module, name


def refusals():
    """Why operations are refused, from the tables that the driver answers with."""
    folder = ROOT / "frontend" / "operations"
    reasons = dict(re.findall(r'#define (\w+)\s+"([^"]+)\."', (folder / "refused.c").read_text()))
    rows = re.findall(r'(?m)^KT_REFUSED\((\w+),\s*"(\w+)",\s*(\w+)\)', (folder / "refused.def").read_text())
    return {(module.lower(), name): reasons[reason] for module, name, reason in rows}


def operation_rows(known):
    refused = refusals()
    assert not set(refused) & known, set(refused) & known
    for module, name in sorted(operations(), key=lambda row: row[1]):
        if (module, name) not in known:
            yield module, name, refused.get((module, name), "is not supported yet")


def main():
    listed = subprocess.run([sys.argv[1], "layers"], check=True, capture_output=True, text=True).stdout
    known = {line.split()[0] for line in listed.splitlines() if line.split()[1] == "keras.layers"}
    rows_of_operations = [line.split() for line in listed.splitlines() if line.split()[1].startswith("keras.src.ops")]
    known_operations = {(module.rsplit(".", 1)[1], name) for name, module, *_ in rows_of_operations}
    compiled = sorted(name for _, name in known_operations)
    missing = list(operation_rows(known_operations))
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
        f"Of the {len(compiled) + len(missing)} operations of `keras.ops` in a Functional model {len(compiled)} compile: "
        f"{', '.join(compiled)}.",
        "",
        f"The other {len(missing)} are refused, each by its name:",
        "",
        "| operation | it … |",
        "| --- | --- |",
        *(f"| {module}.{name} | {reason} |" for module, name, reason in missing),
        "",
    ]
    (ROOT / "docs" / "keras.md").write_text("\n".join(page))


main()
