"""Has systems run as on a CPU with AVX2 and without AVX-512, whatever they ask it by: bench/narrow.c answers in its place.

It is told where the instructions `cpuid` of their libraries are, which objdump finds. The first time that takes some minutes.
A process can then be asked whether it used AVX-512 after all, as Linux noted whenever another took its place.
"""

import concurrent.futures
import math
import os
import pathlib
import re
import struct
import subprocess
import sysconfig

MODULE = pathlib.Path(__file__).parent.parent / "build/release/lib/libbench_narrow.so"
PACKAGES = ("ai_edge_litert", "jaxlib", "numpy", "numpy.libs", "onnxruntime", "openvino", "tensorflow")
CPUID = re.compile(rb"^ *([0-9a-f]+):\s+cpuid")


def find_places(library, out):
    """Writes the addresses of `cpuid` in the library to out, unless they lie there."""
    if out.exists() and out.stat().st_mtime > library.stat().st_mtime or b"\x0f\xa2" not in library.read_bytes():
        return
    objdump = subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", library], stdout=subprocess.PIPE)
    addresses = [int(match[1], 16) for line in objdump.stdout if (match := CPUID.match(line))]
    if objdump.wait() != 0:
        raise RuntimeError(f"objdump could not read {library}.")
    out.write_bytes(struct.pack(f"={len(addresses)}Q", *addresses))


def environment(folder):
    """Of a process that is to run so."""
    places = folder / "cpuid"
    places.mkdir(exist_ok=True)
    site = pathlib.Path(sysconfig.get_path("platlib"))
    found = [library for package in PACKAGES for library in (site / package).rglob("*.so*")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda library: find_places(library, places / library.name), found))
    return {
        "LD_AUDIT": str(MODULE.resolve()),
        "NARROW_CPUID": str(places.resolve()),
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL",
        "OPENBLAS_CORETYPE": "Haswell",
    }


def last_used_wide(process):
    """Seconds since a thread of the process was last seen to have used AVX-512; infinite where Linux noted none."""
    status = pathlib.Path(f"/proc/{process}/task").glob("*/arch_status")
    found = re.findall(r"AVX512_elapsed_ms:\s*(\d+)", "".join(file.read_text() for file in status))
    return min((int(milliseconds) / 1e3 for milliseconds in found), default=math.inf)
