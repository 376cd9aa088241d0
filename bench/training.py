"""Training steps of the systems that bench/compare --train measures: forward, loss, gradients, and Adam, on one batch.

Each function takes a model's name, inputs and labels and gives a call that takes one step and returns its loss. Systems
that Keras runs on begin from the same weights, so that their first losses agree; PyTorch has layers of the same shapes with
weights of its own. Labels are made from a seed.
"""

import ctypes
import re

import numpy as np

BATCHES = {"tabular": 32, "mlp": 128, "convnet": 128, "resnet20": 64, "transformer": 16, "lstm": 32}
RATE = 1e-3
RANDOM = ("convnet",)  # dropout: losses are no two systems' same


def loss_name(y):
    """By the labels: truths of one output, or classes."""
    return "binary_crossentropy" if y.ndim == 2 else "sparse_categorical_crossentropy"


def sample(folder, name, batch):
    """Inputs and labels, of the shapes that bench/models.py saved samples of."""
    saved, random = np.load(folder / f"{name}.1.npz"), np.random.default_rng(0)
    shape, outputs = (batch, *saved["x"].shape[1:]), saved["y"].shape[-1]
    if saved["x"].dtype == np.int32:
        x = random.integers(0, saved["x"].max() + 1, shape).astype("int32")
    else:
        x = random.standard_normal(shape).astype("float32")
    if outputs == 1:
        return x, random.integers(0, 2, (batch, 1)).astype("float32")
    return x, random.integers(0, outputs, (batch,)).astype("int32")


def keratin(folder, name, x, y, threads):
    library = ctypes.CDLL(str((folder / f"lib{name}_training.so").resolve()))
    create, step = getattr(library, f"{name}_training_create"), getattr(library, f"{name}_training_train_step")
    create.restype = ctypes.c_void_p
    logs = np.empty(1, "float32")
    arguments = [ctypes.c_void_p(create(threads)), ctypes.c_int64(len(x))]
    arguments += [ctypes.c_void_p(array.ctypes.data) for array in (x, y, logs)]

    def call():
        if step(*arguments) != 0:
            raise RuntimeError("the step failed")
        return logs[0]

    return call


def load(folder, name, y):
    import keras

    model = keras.models.load_model(folder / f"{name}.keras", compile=False)
    loss = keras.losses.get(loss_name(y))
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.trainable_variables)
    return model, (lambda labels, outputs: loss(labels, outputs)), optimizer


def tensorflow(folder, name, x, y, threads, jit=False):
    import keras
    import tensorflow as tf

    model, loss, optimizer = load(folder, name, y)

    def step(x, y):
        with tf.GradientTape() as tape:
            value = keras.ops.mean(loss(y, model(x, training=True)))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
        return value

    function, inputs, labels = tf.function(step, jit_compile=jit), tf.constant(x), tf.constant(y)
    return lambda: function(inputs, labels).numpy()


def tensorflow_xla(*arguments):
    return tensorflow(*arguments, jit=True)


def jax_step(folder, name, x, y):
    """The compiled step, and its state and batch."""
    import jax
    import keras

    model, loss, optimizer = load(folder, name, y)
    values = lambda variables: [variable.value for variable in variables]

    def loss_of(trained, others, x, y):
        outputs, others = model.stateless_call(trained, others, x, training=True)
        return keras.ops.mean(loss(y, outputs)), others

    def step(state, x, y):
        trained, others, slots = state
        (value, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, others, x, y)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        return (trained, others, slots), value

    state = values(model.trainable_variables), values(model.non_trainable_variables), values(optimizer.variables)
    inputs, labels = jax.device_put(x), jax.device_put(y)
    return jax.jit(step, donate_argnums=0).lower(state, inputs, labels).compile(), state, inputs, labels


def jax_memory(folder, name, batch):
    """What XLA needs for a step beside its arguments, in which new weights and slots take the place of the old."""
    memory = jax_step(folder, name, *sample(folder, name, batch))[0].memory_analysis()
    return memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes


def keratin_memory(plan):
    """The same by a plan of a fixed batch, as --emit=plan prints it: the arena, and next values beside their variables."""
    step = re.split(r"(?m)^plan of ", plan.split("plan of train_step\n")[1])[0]
    arena = int(re.search(r"(?m)^arena.*: (\d+) bytes;", step)[1])
    return arena + sum(int(size) for size in re.findall(r"(\d+) bytes, next value of", step))


def jax(folder, name, x, y, threads):
    function, state, inputs, labels = jax_step(folder, name, x, y)
    state = [state]

    def call():
        state[0], value = function(state[0], inputs, labels)
        return value.block_until_ready()

    return call


def torch_model(name):
    import torch
    from torch import nn

    dense = lambda *sizes: [layer for pair in zip(sizes, sizes[1:]) for layer in (nn.Linear(*pair), nn.ReLU())][:-1]

    class Residual(nn.Module):
        def __init__(self, channels, features, strides):
            super().__init__()
            self.first, self.second = self.block(channels, features, strides), self.block(features, features)
            self.skip = nn.Conv2d(channels, features, 1, strides) if strides > 1 else nn.Identity()

        @staticmethod
        def block(channels, features, strides=1):
            return nn.Sequential(nn.Conv2d(channels, features, 3, strides, 1, bias=False), nn.BatchNorm2d(features))

        def forward(self, x):
            return torch.relu(self.second(torch.relu(self.first(x))) + self.skip(x))

    class Encoder(nn.Module):
        def __init__(self, width=256, heads=4):
            super().__init__()
            self.heads, self.qkv, self.join = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.norms = nn.ModuleList([nn.LayerNorm(width, 1e-3), nn.LayerNorm(width, 1e-3)])
            self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            batch, length, width = x.shape
            split = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).reshape(batch, length, width)
            x = self.norms[0](x + self.join(y))
            return self.norms[1](x + self.wide(x))

    class Mean(nn.Module):
        def __init__(self, *axes):
            super().__init__()
            self.axes = axes

        def forward(self, x):
            return x.mean(self.axes)

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.dense = nn.LSTM(64, 128, 2, batch_first=True), nn.Linear(128, 5)

        def forward(self, x):
            return self.dense(self.lstm(x)[0][:, -1])

    if name == "tabular":
        return nn.Sequential(*dense(13, 64, 64, 1))
    if name == "mlp":
        return nn.Sequential(*dense(784, 512, 512, 10))
    if name == "convnet":
        layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10))
    if name == "resnet20":
        sizes = [16] * 4 + [32] * 3 + [64] * 3
        blocks = [Residual(a, b, 2 if a < b else 1) for a, b in zip(sizes, sizes[1:])]
        return nn.Sequential(Residual.block(3, 16), nn.ReLU(), *blocks, Mean(2, 3), nn.Linear(64, 10))
    if name == "transformer":
        return nn.Sequential(nn.Embedding(8000, 256), *(Encoder() for _ in range(4)), Mean(1), nn.Linear(256, 4))
    return Recurrent()


def torch(folder, name, x, y, threads, compiled=False):
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, inputs, labels = torch_model(name).train(), torch.from_numpy(x), torch.from_numpy(y)
    if inputs.dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.permute(0, 3, 1, 2)  # as it lies: channels last
    loss = nn.BCEWithLogitsLoss() if y.ndim == 2 else nn.CrossEntropyLoss()
    labels = labels if y.ndim == 2 else labels.long()
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)

    def forward_and_back(x, y):
        value = loss(model(x), y)
        value.backward()
        return value

    run = torch.compile(forward_and_back) if compiled else forward_and_back

    def call():
        optimizer.zero_grad(set_to_none=True)
        value = run(inputs, labels)
        optimizer.step()
        return value.item()

    return call


def torch_compiled(*arguments):
    return torch(*arguments, compiled=True)


SYSTEMS = {
    "keratin": keratin,
    "tensorflow": tensorflow,
    "tensorflow-xla": tensorflow_xla,
    "jax": jax,
    "torch": torch,
    "torch-compiled": torch_compiled,
}
