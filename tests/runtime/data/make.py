"""Makes the files beside it with NumPy: what tensor_io_test.c reads. Every array holds i*i % 251 - 100 at flat position i (0 and 1 for bool)."""
import io, os, numpy as np
from numpy.lib import format as npy

here = os.path.dirname(os.path.abspath(__file__))

def values(shape, dtype):
    n = int(np.prod(shape))
    x = np.arange(n, dtype=np.int64) ** 2 % 251 - 100
    return (x % 2 if dtype == "bool" else x).astype(dtype).reshape(shape)

def save(name, array, version=(1, 0)):
    with open(os.path.join(here, name), "wb") as f:
        npy.write_array(f, array, version=version)

for dtype in ["<f4", "<f8", "<f2", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "bool"]:
    save(np.dtype(dtype).name + ".npy", values((3, 5), dtype))
save("big_endian.npy", values((3, 5), ">f8"))
save("fortran.npy", np.asfortranarray(values((3, 5, 4), ">i4")))
save("version2.npy", values((3, 5), "<f4"), (2, 0))
save("version3.npy", values((3, 5), "<f4"), (3, 0))
save("scalar.npy", np.float32(-100))
save("text.npy", np.array(["a", "b"]))
np.savez(os.path.join(here, "stored.npz"), x=values((3, 5), "<f4"), y=values((7,), "<i8"))
rng = np.random.default_rng(1)
np.savez_compressed(os.path.join(here, "deflated.npz"), image=values((40, 50), "<f4"), **{"a/b": values((3, 5), "<u2")},
                    noise=rng.integers(0, 256, 3000).astype("u1"), zeros=np.zeros(100000, "f4"))
