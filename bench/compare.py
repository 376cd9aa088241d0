"""Prediction time of Keratin's libraries against ONNX Runtime: one process, one thread, interleaved.

    python bench/models.py build/bench
    taskset -c 0 python bench/compare.py build/bench [NAME ...]

Each round times a burst of calls of the one, then of the other; the figures are medians of the rounds' medians.
Needs onnxruntime and numpy, and build/release/bin/keratin.
"""

import ctypes
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnxruntime

ROUNDS, BURST_SECONDS = 25, 0.04
BATCHES = {"tabular": (1, 256), "mlp": (1, 64), "convnet": (1, 64), "resnet20": (1, 16)}
KERATIN = pathlib.Path(__file__).parent.parent / "build/release/bin/keratin"


def keratin(folder, name, x, y):
    """A call of the compiled library on x, and the array that it fills."""
    library = (folder / f"lib{name}.so").resolve()
    subprocess.check_call([KERATIN, "compile", folder / f"{name}.keras", "-o", library])
    lib = ctypes.CDLL(str(library))
    create, predict = getattr(lib, f"{name}_create"), getattr(lib, f"{name}_predict")
    create.restype = ctypes.c_void_p
    context = ctypes.c_void_p(create(1))
    out = np.empty_like(y)
    arguments = context, ctypes.c_int64(len(x)), ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data)
    assert predict(*arguments) == 0
    return lambda: predict(*arguments), out


def onnx_runtime(folder, name, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    binding.bind_output(session.get_outputs()[0].name)
    session.run_with_iobinding(binding)
    return lambda: session.run_with_iobinding(binding), binding.copy_outputs_to_cpu()[0]


def burst(call):
    """The median of the calls of one burst, in microseconds."""
    times, end = [], time.perf_counter() + BURST_SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


if __name__ == "__main__":
    if len(os.sched_getaffinity(0)) != 1:
        sys.exit("Run under taskset -c 0, so that both have one core.")
    folder = pathlib.Path(sys.argv[1])
    print(f"{'model':10} {'batch':>5} {'Keratin us':>11} {'ONNX Runtime us':>16} {'ratio':>6} {'max difference':>15}")
    for name in sys.argv[2:] or BATCHES:
        for batch in BATCHES[name]:
            data = np.load(folder / f"{name}.{batch}.npz")
            x, y = data["x"], data["y"]
            ours, got = keratin(folder, name, x, y)
            theirs, _ = onnx_runtime(folder, name, x)
            burst(ours), burst(theirs)
            rounds = np.array([[burst(ours), burst(theirs)] for _ in range(ROUNDS)])
            a, b = np.median(rounds, axis=0)
            difference = np.abs(got - y).max() / np.abs(y).max()
            print(f"{name:10} {batch:5} {a:11.1f} {b:16.1f} {a / b:6.2f} {difference:15.1e}", flush=True)
