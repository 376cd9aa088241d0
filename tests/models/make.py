"""Makes what the models of keras.applications are held to: their configurations and Keras's predictions.

    KERAS_BACKEND=jax python tests/models/make.py [MODEL…]           needs keras 3.15.1, jax, numpy

For each line of models.txt, NAME.keras (an archive with nothing but a deflated config.json) and NAME.npy (the 1,000
numbers that Keras gives for one image). Weights are in no file: they are computed from each variable's name, here and
in model_test.c, by the same arithmetic. The line's gain, which scales kernels, is found here: such that
the output is neither tiny nor huge in deep models, where everything that the layers do still shows.

The script proves that outputs depend on the image: they change by more than a hundredth of the largest with another.
"""

import json
import os
import pathlib
import sys
import zipfile

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

FOLDER = pathlib.Path(__file__).parent
BLOCKS = 8  # an image is this many by as many squares of one colour


def counter_hash(name, count):
    """count numbers in [-1, 1): SplitMix64 of a counter that starts at the FNV-1a hash of name, its upper 24 bits."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.int64) - (1 << 23)).astype(np.float32) * np.float32(2.0**-23)


def value(layer, weight, shape, gain):
    """Kernels so that variances stay about the same; statistics and scales around 1, the rest around 0."""
    numbers = counter_hash(f"{layer}/{weight}", int(np.prod(shape))).reshape(shape)
    if weight.endswith("kernel"):
        depthwise = len(shape) == 4 and (weight == "depthwise_kernel" or shape[3] == 1)
        fan_in = int(np.prod(shape[:-2] if depthwise else shape[:-1]))
        return numbers * np.sqrt(np.float32(gain / fan_in))
    if weight in ("moving_variance", "variance"):
        return (1 + numbers / 4) / 2
    if weight in ("bias", "beta", "moving_mean", "mean"):
        return numbers / 8
    assert weight == "gamma", weight
    return 1 + numbers / 4


def image(number, size, low, high):
    blocks = counter_hash(f"image {number}", BLOCKS * BLOCKS * 3).reshape(BLOCKS, BLOCKS, 3)
    at = np.arange(size) * BLOCKS // size
    return (blocks[at][:, at] + 1) * np.float32((high - low) / 2) + np.float32(low)


def fill(model, gain):
    names = set()
    for variable in model.weights:
        layer, weight = variable.path.split("/")[-2:]
        if weight == "count":  # of Normalization: how many samples it saw
            continue
        if weight.startswith("variable"):  # LayerScale gives its weight no name
            weight = "gamma"
        assert (layer, weight) not in names
        names.add((layer, weight))
        variable.assign(value(layer, weight, tuple(variable.shape), gain))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # as after loading


def make(name, low, high, size):
    keras.backend.clear_session()
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    images = np.stack([image(number, size, low, high) for number in range(2)])
    least, gain, most = 1.0, 3.0, 12.0
    for _ in range(8):
        fill(model, gain)
        expected = model.predict(images[:1], verbose=0)[0]
        largest = np.abs(expected).max()
        # Residual branches of a small gain drown in the biases: what the image says shows with a larger one.
        sees = largest < 30 and np.abs(model.predict(images[1:], verbose=0)[0] - expected).max() > 0.01 * largest
        if sees and largest > 3:
            break
        least, most = (gain, most) if largest < 30 else (least, gain)
        gain = float(f"{np.sqrt(least * most):.4g}")
    assert sees, f"{name} sees nothing"
    config = keras.saving.serialize_keras_object(model)
    config.pop("build_config", None)
    with zipfile.ZipFile(FOLDER / f"{name}.keras", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        entry = zipfile.ZipInfo("config.json")  # without the time
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, json.dumps(config, separators=(",", ":")), compresslevel=9)
    np.save(FOLDER / f"{name}.npy", expected)
    print(f"{name}: gain {gain}, largest {largest:.3g}", flush=True)
    return gain


if __name__ == "__main__":
    table = FOLDER / "models.txt"
    for name in sys.argv[1:] or [line.split()[0] for line in table.read_text().splitlines() if line[:1] != "#"]:
        _, _, size, low, high, _ = next(line for line in table.read_text().splitlines() if line.split()[0] == name).split()
        gain = make(name, float(low), float(high), int(size))
        lines = table.read_text().splitlines()
        lines = [" ".join([*line.split()[:-1], str(gain)]) if line.split()[0] == name else line for line in lines]
        table.write_text("\n".join(lines) + "\n")
