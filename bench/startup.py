"""From exec to exit: how long a compiled digits program takes to start, predict one image and end, and its size.

    python bench/startup.py        needs numpy, and build/release/bin/keratin
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np

RUNS = 300
ROOT = pathlib.Path(__file__).parent.parent

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        program, image, out = (os.path.join(work, name) for name in ("digits", "image.npy", "out.npy"))
        model = ROOT / "examples/digits"
        subprocess.check_call([ROOT / "build/release/bin/keratin", "compile", model / "digits.keras", "-o", program])
        np.save(image, np.load(model / "images.npy")[:1])
        arguments = [program, "predict", "--input", image, "--output", out, "--threads", "1"]
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            os.waitpid(os.posix_spawn(program, arguments, os.environ), 0)
            times.append(time.perf_counter() - start)
        weights = json.loads(subprocess.check_output([program, "describe"]))["memory"]["weights_bytes"]
        size = os.path.getsize(program)
        print(f"start, predict, exit: median {np.median(times) * 1e3:.2f} ms, least {min(times) * 1e3:.2f} ms")
        print(f"size: {size} bytes, of which {weights} are weights")
