"""One system of the comparison, as a process that times bursts of predictions when bench/compare.py asks for them.

    python bench/worker.py SYSTEM FOLDER CPUS       CPUS: 0 or 0,1: where it may run; as many threads

Reads a line of JSON for each request on standard input, and answers with one on standard output:

    {"open": "mlp", "batch": 1}   ->  {"difference": largest difference from Keras, relative to the largest output}
    {"train": "mlp", "batch": 1}  ->  {"loss": of the first training step}: bursts are then of training steps
    {"burst": seconds}            ->  {"median": seconds, "least": seconds, "calls": number}
    {"memory": true}              ->  {"peak_bytes": VmHWM}

or with {"error": text}. A burst calls for a quarter of its time before it starts to count, so that caches and branch
predictors are the system's own again. Every system is called from Python, by the leanest way that its interface has:
the input already is where the system wants it, and the output stays where the system leaves it.
"""

import ctypes
import functools
import json
import os
import pathlib
import re
import statistics
import sys
import time

SYSTEM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
CPUS = [int(cpu) for cpu in sys.argv[3].split(",")]
THREADS = len(CPUS)
os.sched_setaffinity(0, CPUS)
os.environ.update(
    KERAS_BACKEND="jax" if SYSTEM == "jax" else "tensorflow",
    TF_CPP_MIN_LOG_LEVEL="3",
    TF_NUM_INTRAOP_THREADS=str(THREADS),
    TF_NUM_INTEROP_THREADS="1",
)

import numpy as np  # noqa: E402 (reads the environment)

import training  # noqa: E402


def keratin(name, batch, x, y, suffix=""):
    library = ctypes.CDLL(str((FOLDER / f"lib{name}{suffix}.so").resolve()))
    create, predict = getattr(library, f"{name}{suffix}_create"), getattr(library, f"{name}{suffix}_predict")
    create.restype = ctypes.c_void_p
    context = create(THREADS)
    out = np.empty_like(y)
    arguments = [ctypes.c_void_p(context), ctypes.c_int64(batch)]
    arguments += [ctypes.c_void_p(array.ctypes.data) for array in (x, out)]
    call = functools.partial(predict, *arguments)
    if call() != 0:
        raise RuntimeError("the prediction failed")
    return call, lambda: out


def keratin_openblas(name, batch, x, y):
    return keratin(name, batch, x, y, "_openblas")


def fixed_onnx(name, batch):
    import onnx

    proto = onnx.load(FOLDER / f"{name}.onnx")
    for value in [*proto.graph.input, *proto.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return proto.SerializeToString()


def onnx_runtime(name, batch, x, y):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(fixed_onnx(name, batch), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    binding.bind_output(session.get_outputs()[0].name)
    run = functools.partial(session.run_with_iobinding, binding)
    return run, lambda: binding.copy_outputs_to_cpu()[0]


def openvino(name, batch, x, y):
    import openvino

    core = openvino.Core()
    model = core.read_model(fixed_onnx(name, batch))
    model.reshape(list(x.shape))
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": THREADS,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x))
    return request.infer, lambda: request.get_output_tensor().data


def tensorflow_xla(name, batch, x, y):
    import keras
    import tensorflow

    model = keras.models.load_model(FOLDER / f"{name}.keras", compile=False)
    function = tensorflow.function(lambda x: model(x, training=False), jit_compile=True)
    function = function.get_concrete_function(tensorflow.TensorSpec(x.shape, x.dtype))
    tensor = tensorflow.constant(x)
    call = lambda: function(tensor).numpy()
    return call, call


def jax(name, batch, x, y):
    import jax
    import keras

    model = keras.models.load_model(FOLDER / f"{name}.keras", compile=False)
    trained = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    predict = lambda x: model.stateless_call(trained, others, x, training=False)[0]
    function, array = jax.jit(predict).lower(x).compile(), jax.device_put(x)
    return lambda: function(array).block_until_ready(), lambda: function(array)


def litert(name, batch, x, y):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(FOLDER / f"{name}.{batch}.tflite"), num_threads=THREADS)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    output = interpreter.get_output_details()[0]["index"]
    return interpreter.invoke, lambda: interpreter.get_tensor(output)


SYSTEMS = {
    "keratin": keratin,
    "keratin-openblas": keratin_openblas,
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
    "tensorflow-xla": tensorflow_xla,
    "jax": jax,
    "litert": litert,
}


def open_model(name, batch):
    data = np.load(FOLDER / f"{name}.{batch}.npz")
    x, y = data["x"], data["y"]
    call, result = SYSTEMS[SYSTEM](name, batch, x, y)
    call()
    difference = np.abs(np.asarray(result(), "float64") - y).max() / np.abs(y).max()
    return call, (x, result), {"difference": float(difference)}


def open_training(name, batch):
    x, y = training.sample(FOLDER, name, batch)
    call = training.SYSTEMS[SYSTEM](FOLDER, name, x, y, THREADS)
    return call, (x, y), {"loss": float(call())}


def burst(call, seconds):
    clock, times = time.perf_counter, []
    start = clock()
    while True:
        begin = clock()
        if begin - start >= seconds / 4:
            break
        call()
    end = start + seconds
    while True:
        begin = clock()
        call()
        now = clock()
        times.append(now - begin)
        if now >= end:
            return {"median": statistics.median(times), "least": min(times), "calls": len(times)}


def peak_bytes():
    return int(re.search("VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024


if __name__ == "__main__":
    # Libraries that talk must not do so where the answers go.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "open" in request:
                call = arrays = None
                # Held, since some calls know no more of them than their addresses.
                call, arrays, answer = open_model(request["open"], request["batch"])
            elif "train" in request:
                call = arrays = None
                call, arrays, answer = open_training(request["train"], request["batch"])
            elif "step_memory" in request:
                answer = {"bytes": training.jax_memory(FOLDER, request["step_memory"], request["batch"])}
            elif "burst" in request:
                answer = burst(call, request["burst"])
            else:
                answer = {"peak_bytes": peak_bytes()}
        except Exception as error:
            text = str(error).strip() or type(error).__name__
            answer = {"error": text.splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)
