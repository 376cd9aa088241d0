"""The pages that bench/compare writes, docs/benchmarks*.md, from what it measured."""

import numpy as np

import training

NAMES = {
    "keratin": "Keratin",
    "keratin-openblas": "Keratin with OpenBLAS",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorflow-xla": "TensorFlow XLA",
    "jax": "JAX",
    "litert": "LiteRT",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
    "torch-compiled": "PyTorch compiled",
}


def line(row, systems):
    """A row as the terminal shows it."""
    text = f"{row['model']:12}{row['batch']:4} x{row['threads']}  keratin {row['times'].get('keratin', 0) * 1e6:10.1f} us"
    for system in systems:
        if system in row["ratios"]:
            middle, low, high = row["ratios"][system]["interval"]
            text += f"  {system} {middle:.2f} [{low:.2f}, {high:.2f}]"
    return text


def bound(row):
    """Seconds that the row takes at the least on this machine, and what bounds it."""
    compute, memory = row["operations"] / row["peak_flops"], row["bytes"] / row["peak_read"]
    return (compute, "operations") if compute > memory else (memory, "bytes")


def ratio(values):
    middle, low, high = values
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def table(header, lines):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "|".join([" --- "] + [" ---: "] * (len(header) - 1)) + "|"
    for cells in lines:
        yield "| " + " | ".join(cells) + " |"
    yield ""


def geometric_mean(rows, system, interval):
    """Over the rows that the system has; rounds of all rows are drawn together."""
    rounds = [row["ratios"][system]["rounds"] for row in rows if system in row["ratios"]]
    if not rounds:
        return "–"
    least = min(len(one) for one in rounds)
    mean = lambda samples: np.exp(np.log(np.median(samples, axis=0)).mean())
    return ratio(interval(np.array([one[:least] for one in rounds]).T, mean)) + ("" if len(rounds) == len(rows) else f", {len(rounds)} rows")


def time_tables(results, interval, bounded=True):
    """bounded: with what the machine's peak would take, of rows that tell their operations and bytes."""
    others = [system for system in results["systems"] if system != "keratin"]
    for threads in results["peaks"]:
        rows = [row for row in results["rows"] if str(row["threads"]) == threads]
        yield f"## {threads} thread{'s' if threads != '1' else ''}"
        yield ""
        lines = []
        for row in rows:
            cells = [f"{row['model']}, {row['batch']}"]
            if "keratin" in row["times"]:
                own = row["times"]["keratin"]
                cells.append(f"{own * 1e6:,.1f}")
                if bounded:
                    least, by = bound(row)
                    cells.append(f"{100 * least / own:.0f} % of {by}")
            else:
                cells += ["–"] * (2 if bounded else 1)
            cells += [ratio(row["ratios"][s]["interval"]) if s in row["ratios"] else "–" for s in others]
            lines.append(cells)
        lines.append(["geometric mean", ""] + [""] * bounded + [geometric_mean(rows, system, interval) for system in others])
        yield from table(["model, batch", "Keratin µs"] + ["of the peak"] * bounded + [NAMES[s] for s in others], lines)


def start_tables(results):
    yield "## Start, size and memory"
    yield ""
    yield "Compiled programs: from exec to exit with one prediction of batch 1 in between; a prediction as the program's"
    yield "own `benchmark` times it, without Python; the stripped file beyond its weights; peak memory (VmHWM)."
    yield ""
    lines = [
        [
            name,
            f"{one['start_ms']:.2f}",
            f"{one['call_us']:,.2f}",
            f"{(one['file_bytes'] - one['weights_bytes']) / 1e3:,.0f}",
            f"{one['weights_bytes'] / 1e6:,.2f}",
            f"{one['peak_bytes'] / 1e6:,.1f}",
        ]
        for name, one in results["programs"].items()
    ]
    yield from table(["program", "start ms", "prediction µs", "code kB", "weights MB", "memory MB"], lines)
    yield "All systems from Python: from the process's start to the first result of batch 1 with one thread, importing,"
    yield "reading and compiling the model included, where a system does that at run time; and peak memory."
    yield ""
    starts = results["starts"]
    header, lines = ["system"], []
    for name in starts:
        header += [f"{name} ms", f"{name} MB"]
    for system in results["systems"]:
        cells = [NAMES[system]]
        for found in (starts[name][system] for name in starts):
            failed = "error" in found
            cells += ["–", "–"] if failed else [f"{found['start_ms']:,.0f}", f"{found['peak_bytes'] / 1e6:,.0f}"]
        lines.append(cells)
    yield from table(header, lines)


def failures(results):
    found = sorted({(row["model"], row["batch"], s, e) for row in results["rows"] for s, e in row["errors"].items()})
    if not found:
        return []
    return ["## Failures", ""] + [f"- {model}, {batch}, {NAMES[system]}: {error}" for model, batch, system, error in found]


def memory_table(rows):
    lines = ["| model, batch | Keratin KB | JAX (XLA) KB | XLA's by Keratin's |", "| --- | ---: | ---: | ---: |"]
    for name, row in rows.items():
        own, other = row["keratin"], row.get("bytes")
        rest = f"{other / 1e3:,.1f} | {other / own:.2f}" if other else "– | –"
        lines.append(f"| {name}, {training.BATCHES[name]} | {own / 1e3:,.1f} | {rest} |")
    return lines


def training_page(results, interval):
    machine, settings = results["machine"], results["settings"]
    lines = [
        "# Benchmarks of training",
        "",
        "Made by `bench/compare --train`; [bench/training.py](../bench/training.py) has the steps that are timed: forward, loss,",
        "gradients, and Adam, in float32, on a batch that lies in memory. A ratio is the other system's time by Keratin's: above",
        "1, Keratin is faster. In brackets is the interval that holds 95 % of resampled medians, of up to",
        f"{settings['rounds']} rounds in which all systems are timed in turn for {settings['burst'] * 1e3:.0f} ms or a step. First losses agree with Keras's to",
        f"{settings['tolerance']:g}, but for PyTorch's, which has other weights, and where there is dropout.",
        "",
        f"- Machine: {machine['cpu']}, {machine['cpus']} processors, {', '.join(machine['features'])}; Linux {machine['kernel']}.",
        f"- Load average at the start: {machine['load']:.2f}; above 0, others were at work on it too.",
        f"- {machine['keratin']}; {', '.join(machine['packages'])}.",
        "",
    ]
    lines += time_tables(results, interval, bounded=False)
    lines += ["## Memory of a step", "", "Beside weights, optimizer state and the batch: what Keratin's plan shares out, and temporaries and",
              "outputs in XLA's `memory_analysis` of JAX's step.", "", *memory_table(results["memory"]), ""]
    lines += failures(results)
    return "\n".join(lines).rstrip() + "\n"


def opening(results):
    """What was measured, how and where."""
    machine, settings = results["machine"], results["settings"]
    peaks = ", ".join(f"{flops / 1e9:.0f} with {threads}" for threads, flops in results["peaks"].items())
    return [
        "[bench/compare.py](../bench/compare.py) says how it is measured. A ratio is the other system's time by Keratin's: above",
        "1, Keratin is faster. In brackets is the interval that holds 95 % of resampled medians.",
        f"Up to {settings['rounds']} rounds of bursts of {settings['burst'] * 1e3:.0f} ms, all systems in turn in each round. All results"
        f" agree with Keras's to {settings['tolerance']:g} of the largest",
        "output, except where a dash says that a system failed. Every system is called from Python, which costs each of them",
        "from half a microsecond to some microseconds a call; it is float32 throughout.",
        "",
        f"- Machine: {machine['cpu']}, {machine['cpus']} processors, {', '.join(machine['features'])}; Linux {machine['kernel']}.",
        f"- Load average at the start: {machine['load']:.2f}; above 0, others were at work on it too.",
        f"- Multiply-adds measured at their peak: {peaks} threads, in GFLOP/s. The percentage is what the model's operations",
        "  (two a multiply-add) take at that rate, or what its weights, inputs and outputs take to be read once at the",
        "  measured rate of reading as many bytes again and again, whichever is longer, by the time that Keratin took.",
        f"- {machine['keratin']}; {', '.join(machine['packages'])}.",
        "",
    ]


def page(results, interval):
    lines = ["# Benchmarks", "", "Made by `bench/compare`.", *opening(results)]
    lines += [*time_tables(results, interval), *start_tables(results)]
    lines += failures(results)
    return "\n".join(lines).rstrip() + "\n"


def narrow_page(results, interval):
    lines = [
        "# Benchmarks without AVX-512",
        "",
        "Made by `bench/compare --avx2`: Keratin compiles with `--cpu=haswell`, and the other systems find no AVX-512 when they",
        "ask the CPU ([bench/narrow.c](../bench/narrow.c)); after each burst Linux is asked whether they used it all the same. So",
        "this is the AVX2 code of all, but on the machine below, whose caches, ports and clock are not those of a CPU without",
        "AVX-512.",
        *opening(results),
        *time_tables(results, interval),
        *failures(results),
    ]
    return "\n".join(lines).rstrip() + "\n"
