"""Measures Keratin against other systems, interleaved; bench/compare sets up what it needs, and is how to run it.

Each system is a process (bench/worker.py) that lives for all models. In each round every system, in an order drawn
anew, times a burst of predictions while the others wait; so what disturbs the machine for longer than a round disturbs all.
A ratio is the median over rounds of the other system's time by Keratin's in the same round; its interval holds 95 % of
the medians of rounds that are drawn again with replacement. Results that depart from Keras's by more than TOLERANCE are
no results, and the command fails. With --train it is training steps (bench/training.py) that are timed, and first losses
that agree. With --avx2 all are held to AVX2 on a CPU that has more (bench/narrow.py); one that used AVX-512 all the same
is an error.
"""

import argparse
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

import numpy as np

import narrow
import report
import training

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "build/bench"
KERATIN = ROOT / "build/release/bin/keratin"
SYSTEMS = ("keratin", "keratin-openblas", "onnxruntime", "openvino", "tensorflow-xla", "jax", "litert")
ROWS = {
    "tabular": (1, 256),
    "mlp": (1, 64),
    "convnet": (1, 64),
    "resnet20": (1, 16),
    "transformer": (1, 8),
    "lstm": (1, 32),
    "mobilenetv2": (1, 4),
    "resnet50": (1, 4),
}
STARTED = ("mlp", "mobilenetv2")
TOLERANCE = 1e-4
LEAST_ROUNDS, ROW_SECONDS = 9, 60  # then a row has had enough
STARTS = 5
RESAMPLES = 2000


class Worker:
    """A system's process; requests and answers are lines of JSON."""

    def __init__(self, system, threads, environment=None):
        """environment: what the process has beside this one's."""
        cpus = ",".join(str(cpu) for cpu in range(threads))
        command = [sys.executable, ROOT / "bench/worker.py", system, FOLDER, cpus]
        self.log = open(FOLDER / f"{system}.log", "ab")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | (environment or {}),
        )

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            return {"error": f"the process ended with {self.process.wait()}"}

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()


def interval(samples, statistic):
    """The statistic of samples [round, ...], and what it is for 95 % of resampled rounds."""
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(samples), (RESAMPLES, len(samples)))
    low, high = np.quantile([statistic(samples[draw]) for draw in draws], (0.025, 0.975))
    return [float(statistic(samples)), float(low), float(high)]


def compile_models(names, target):
    for name in names:
        model = FOLDER / f"{name}.keras"
        for suffix, options in (("", []), ("_openblas", ["--contractions=openblas"])):
            subprocess.check_call([KERATIN, "compile", model, "-o", FOLDER / f"lib{name}{suffix}.so", *options, *target])
        subprocess.check_call([KERATIN, "compile", model, "-o", FOLDER / name, *target])


def compile_trainers(names):
    for name in names:
        options = ["--train", "--optimizer=adam", f"--loss={training.loss_name(training.sample(FOLDER, name, 1)[1])}"]
        out = FOLDER / f"lib{name}_training.so"
        subprocess.check_call([KERATIN, "compile", FOLDER / f"{name}.keras", "-o", out, *options])


def measure_memory(names):
    """Bytes of a step beside weights and slots, planned by Keratin and by XLA."""
    worker, rows = Worker("jax", 1), {}
    for name in names:
        batch, loss = training.BATCHES[name], training.loss_name(training.sample(FOLDER, name, 1)[1])
        options = ["--train", "--optimizer=adam", f"--loss={loss}", f"--batch={batch}", "--emit=plan"]
        plan = FOLDER / f"{name}.plan"
        subprocess.check_call([KERATIN, "compile", FOLDER / f"{name}.keras", "-o", plan, *options])
        rows[name] = {"keratin": training.keratin_memory(plan.read_text()), **worker.ask(step_memory=name, batch=batch)}
    worker.close()
    return rows


def open_row(workers, name, batch):
    """The systems that agree with Keras, by how much they differ, and what is wrong with the others."""
    differences, errors, live = {}, {}, []
    for system, worker in workers.items():
        answer = worker.ask(open=name, batch=batch)
        if "error" in answer:
            errors[system] = answer["error"]
            continue
        differences[system] = answer["difference"]
        if not answer["difference"] <= TOLERANCE:  # or it is NaN
            errors[system] = f"departs from Keras by {answer['difference']:.1e} of the largest output"
        else:
            live.append(system)
    return differences, errors, live


def open_training(workers, name, batch):
    """The same of first losses, where a system has Keras's weights and nothing is drawn."""
    answers = {system: worker.ask(train=name, batch=batch) for system, worker in workers.items()}
    errors = {system: answer["error"] for system, answer in answers.items() if "error" in answer}
    losses = {system: answer["loss"] for system, answer in answers.items() if "loss" in answer}
    wanted, differences = losses.get("tensorflow", losses.get("jax")), {}
    for system, loss in losses.items():
        if wanted is None or name in training.RANDOM or system.startswith("torch"):
            continue
        differences[system] = abs(loss - wanted) / abs(wanted)
        if not differences[system] <= TOLERANCE:
            errors[system] = f"has a first loss of {loss:g}, where Keras has {wanted:g}"
    return differences, errors, [system for system in losses if system not in errors]


def measure_row(workers, name, batch, options):
    differences, errors, live = (open_training if options.train else open_row)(workers, name, batch)
    rounds, start = [], time.monotonic()
    for index in range(options.rounds + 1):
        if len(rounds) >= LEAST_ROUNDS and time.monotonic() - start > ROW_SECONDS:
            break
        sample = {}
        for system in random.sample(live, len(live)):
            answer = workers[system].ask(burst=options.burst)
            if "error" in answer:
                sys.exit(f"{system}, {name}: {answer['error']}")
            if options.avx2 and narrow.last_used_wide(workers[system].process.pid) < options.burst:
                errors[system] = "used AVX-512"
            sample[system] = answer["median"]
            time.sleep(0.005)  # for what spins after work
        if index > 0:  # the first warms up
            rounds.append([sample[system] for system in live])
    rounds = np.array(rounds)
    times = {system: float(np.median(rounds[:, i])) for i, system in enumerate(live)}
    least = {system: float(rounds[:, i].min()) for i, system in enumerate(live)}
    ratios = {}
    for i, system in enumerate(live):
        if system != "keratin" and "keratin" in live:
            ratio = rounds[:, i] / rounds[:, live.index("keratin")]
            ratios[system] = {"interval": interval(ratio, np.median), "rounds": list(ratio)}
    return {"times": times, "least": least, "ratios": ratios, "differences": differences, "errors": errors}


def work_of(name, batch):
    """Floating-point operations of a prediction by the textbook, and bytes that it must read or write."""
    data = np.load(FOLDER / f"{name}.{batch}.npz")
    x, trace, out = FOLDER / "x.npy", FOLDER / "trace.json", FOLDER / "y.npy"
    np.save(x, data["x"])
    program = [FOLDER / name, "predict", "--input", x, "--output", out, "--batch-size", str(batch)]
    subprocess.check_call([*program, "--threads", "1", f"--profile={trace}"], stderr=subprocess.DEVNULL)
    events = json.loads(trace.read_text())["traceEvents"]
    weights = json.loads(subprocess.check_output([FOLDER / name, "describe"]))["memory"]["weights_bytes"]
    operations = sum(event["args"].get("operations", 0) for event in events if event["ph"] == "X")
    return {"operations": operations, "bytes": weights + data["x"].nbytes + data["y"].nbytes}


def peaks(threads, sizes, options):
    """The best of all that this was asked, since others may be at work on the machine."""
    command = [ROOT / "build/release/bin/bench_peak", *["--avx2"] * options.avx2, str(threads)]
    command += [str(size) for size in sizes]
    found = [json.loads(subprocess.check_output(command)) for _ in range(3)]
    return {
        "flops": max(peak["flops"] for peak in found),
        "read": np.max([peak["read"] for peak in found], axis=0).tolist(),
    }


def measure_program(name):
    """Start, first prediction and end of a compiled program; its size; what memory it takes."""
    program, x, out = FOLDER / name, FOLDER / "x.npy", FOLDER / "y.npy"
    np.save(x, np.load(FOLDER / f"{name}.1.npz")["x"])
    arguments = [program, "predict", "--input", x, "--output", out, "--threads", "1"]
    seconds = []
    for _ in range(20 * STARTS):
        start = time.perf_counter()
        if os.waitpid(os.posix_spawn(program, arguments, os.environ), 0)[1] != 0:
            sys.exit(f"{name}: the program failed")
        seconds.append(time.perf_counter() - start)
    weights = json.loads(subprocess.check_output([program, "describe"]))["memory"]["weights_bytes"]
    stripped = FOLDER / f"{name}.stripped"
    subprocess.check_call(["strip", "-o", stripped, program])
    run = json.loads(subprocess.check_output([program, "benchmark", "--batch", "1", "--threads", "1"]))
    return {
        "start_ms": statistics.median(seconds) * 1e3,
        "file_bytes": stripped.stat().st_size,
        "weights_bytes": weights,
        "peak_bytes": run["peak_bytes"],
        "call_us": run["median_us"],
    }


def measure_start(system, name):
    """From the process's start to its first result, by way of Python, and what memory that took."""
    seconds, peak = [], []
    for _ in range(STARTS):
        start = time.perf_counter()
        worker = Worker(system, 1)
        answer = worker.ask(open=name, batch=1)
        seconds.append(time.perf_counter() - start)
        if "error" in answer:
            return {"error": answer["error"]}
        peak.append(worker.ask(memory=True)["peak_bytes"])
        worker.close()
    return {"start_ms": statistics.median(seconds) * 1e3, "peak_bytes": statistics.median(peak)}


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = lambda key: match[1].strip() if (match := re.search(f"(?m)^{key}\\s*:(.*)", text)) else "unknown"
    flags = found("flags").split()
    known = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "hypervisor")
    version = subprocess.check_output([KERATIN, "version"], text=True).splitlines()[0]
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": f"{found('model name')} (family {found('cpu family')}, model {found('model')})",
        "features": [flag for flag in known if flag in flags],
        "cpus": os.cpu_count(),
        "kernel": os.uname().release,
        "keratin": f"{version} at {revision.stdout.strip()}",
        "load": os.getloadavg()[0],
        "packages": (ROOT / "bench/requirements.txt").read_text().split(),
    }


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/compare", description="Keratin against other systems.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to measure [all, and write the page]")
    parser.add_argument("--train", action="store_true", help="time training steps instead of predictions")
    parser.add_argument("--memory", action="store_true", help="with --train and names, compare what steps need, too")
    parser.add_argument("--avx2", action="store_true", help="measure predictions as on a CPU without AVX-512")
    parser.add_argument("--threads", type=int, nargs="*", help="thread counts [1 2, as far as there are processors]")
    parser.add_argument("--systems", nargs="*", help="systems to measure [all]")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of each row, at most [25]")
    parser.add_argument("--burst", type=float, default=0.04, help="seconds of a burst [0.04]")
    parser.add_argument("--page", type=pathlib.Path, help="where to write the page")
    options = parser.parse_args()
    if options.avx2 and options.train:
        parser.error("--avx2 measures predictions, not training steps.")
    options.rows = {name: (batch,) for name, batch in training.BATCHES.items()} if options.train else ROWS
    options.known = tuple(training.SYSTEMS) if options.train else SYSTEMS
    if unknown := set(options.names) - set(options.rows):
        parser.error(f"There is no model {', '.join(sorted(unknown))}; there are {', '.join(options.rows)}.")
    if unknown := set(options.systems or []) - set(options.known):
        parser.error(f"There is no system {', '.join(sorted(unknown))}; there are {', '.join(options.known)}.")
    if not options.page and not options.names and not options.systems:
        kind = "-training" if options.train else "-avx2" if options.avx2 else ""
        options.page = ROOT / f"docs/benchmarks{kind}.md"
    return options


def main():
    options = parse_arguments()
    names = options.names or list(options.rows)
    systems = ["keratin"] + [name for name in options.systems or options.known if name != "keratin"]
    threads = options.threads or [count for count in (1, 2) if count <= os.cpu_count()]
    if options.train:
        compile_trainers(names)
    else:
        compile_models(names, ["--cpu=haswell"] if options.avx2 else [])
    environment = narrow.environment(FOLDER) if options.avx2 else {}
    os.sched_setaffinity(0, [os.cpu_count() - 1])  # out of the way of systems with one thread
    rows = [(name, batch) for name in names for batch in options.rows[name]]
    works = [{} if options.train else work_of(name, batch) for name, batch in rows]
    results = {"machine": machine(), "rows": [], "peaks": {}, "programs": {}, "starts": {}, "systems": systems}
    results["settings"] = {"rounds": options.rounds, "burst": options.burst, "tolerance": TOLERANCE}
    for count in threads:
        workers = {system: Worker(system, count, environment) for system in systems}
        measured = []
        for (name, batch), work in zip(rows, works):
            row = measure_row(workers, name, batch, options)
            measured.append({"model": name, "batch": batch, "threads": count, **work, **row})
            print(report.line(measured[-1], systems), flush=True)
        for worker in workers.values():
            worker.close()
        os.sched_setaffinity(0, range(os.cpu_count()))
        peak = peaks(count, [work["bytes"] for work in works if work], options)
        os.sched_setaffinity(0, [os.cpu_count() - 1])
        results["peaks"][str(count)] = peak["flops"]
        for row, read in zip(measured, peak["read"]):
            row |= {"peak_flops": peak["flops"], "peak_read": read}
        results["rows"] += measured
    if options.train and (options.page or options.memory):
        results["memory"] = measure_memory(names)
        print("\n".join(report.memory_table(results["memory"])))
    if options.page and options.train:
        options.page.write_text(report.training_page(results, interval))
    elif options.page and options.avx2:
        options.page.write_text(report.narrow_page(results, interval))
    elif options.page:
        for name in names:
            results["programs"][name] = measure_program(name)
        for name in STARTED:
            results["starts"][name] = {system: measure_start(system, name) for system in systems}
        (FOLDER / "results.json").write_text(json.dumps(results))
        options.page.write_text(report.page(results, interval))
    for row in results["rows"]:
        for system, error in row["errors"].items():
            print(f"{row['model']} {row['batch']}, {row['threads']} threads: {system}: {error}", file=sys.stderr)
    return any(row["errors"] for row in results["rows"])


if __name__ == "__main__":
    sys.exit(main())
