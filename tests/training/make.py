#!/usr/bin/env python3
"""Makes steps.npz: what Keras's training steps do to small models, step by step.

usage: KERAS_BACKEND=tensorflow python tests/training/make.py [MODEL ...]

For each model NAME the file holds
  NAME/config    its config.json, compile_config included, as bytes
  NAME/paths     paths of what is compared, weights before slots, one a line, as bytes
  NAME/states    [steps + 1, numbers] all of these one behind the other, before the first step and after each
  NAME/logs      [steps, logs] loss and metrics since the model was compiled
  NAME/policy    the dtype policy of the model, as bytes
  NAME/input/I, NAME/labels/J, NAME/weights/J   [batches, ...] what step s is given: batch s % batches
Steps are to be compared one by one, from Keras's state before to Keras's state after. The optimizer is SGD with momentum,
whose slots tell gradients; seeds of dropout are Keras's on TensorFlow.
"""
import json
import os
import random
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
from keras import layers as L

STEPS, BATCHES = 20, 3
POLICIES = ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"]
MODELS = {}


def model(function):
    MODELS[function.__name__] = function, "float32"
    return function


def in_policies(function):
    for policy in POLICIES:
        MODELS[f"{function.__name__}_{policy}"] = function, policy
    return function


def chain(shape, *layers, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def classes(*layers, shape=(6,), n=3, dtype=None):
    return chain(shape, *layers, L.Dense(n, "softmax"), dtype=dtype), "sparse_categorical_crossentropy", ["accuracy"]


def numbers(*layers, shape=(6,), n=2, dtype=None):
    return chain(shape, *layers, L.Dense(n), dtype=dtype), "mse", ["mae"]


# fmt: off
@model
def dense(): return classes(L.Dense(8, "relu"))
@model
def dense_activations(): return numbers(L.Dense(4, "tanh"), L.Dense(4, "gelu"), L.Dense(4, "selu"), L.Dense(4, "swish"), L.Dense(4, "softplus"))
@model
def binary(): return chain((5,), L.Dense(6, "elu"), L.Dense(1, "sigmoid")), "binary_crossentropy", ["accuracy"]
@model
def one_hot(): return chain((5,), L.Dense(6, "mish"), L.Dense(4, "softmax")), keras.losses.CategoricalCrossentropy(label_smoothing=0.1), ["accuracy"]
@model
def logits(): return chain((5,), L.Dense(6, "relu6"), L.Dense(4)), keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["sparse_categorical_accuracy"]
@model
def rectifiers(): return numbers(L.Dense(5), L.LeakyReLU(0.2), L.Dense(5), L.PReLU(), L.Dense(5), L.ELU(), L.ReLU(max_value=1.0))
@model
def conv(): return classes(L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten(), shape=(8, 8, 2))
@model
def conv_options(): return numbers(L.Conv2D(4, 3, 2, "same"), L.Conv2D(4, 2, dilation_rate=2, groups=2, use_bias=False), L.GlobalAveragePooling2D(), shape=(9, 8, 2))
@model
def conv_1d(): return numbers(L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="tanh"), L.AveragePooling1D(2), L.Flatten(), shape=(8, 2))
@model
def conv_3d(): return numbers(L.Conv3D(3, 2, activation="relu"), L.MaxPooling3D(2), L.Flatten(), shape=(4, 4, 4, 2))
@model
def conv_transpose(): return numbers(L.Conv2DTranspose(3, 3, 2, "same"), L.Conv2DTranspose(2, 2), L.GlobalMaxPooling2D(), shape=(4, 4, 2))
@model
def depthwise(): return classes(L.DepthwiseConv2D(3, padding="same", depth_multiplier=2), L.SeparableConv2D(4, 3, activation="relu"), L.GlobalAveragePooling2D(), shape=(6, 6, 2))
@model
def separable_1d(): return numbers(L.SeparableConv1D(4, 3), L.DepthwiseConv1D(2), L.GlobalAveragePooling1D(), shape=(8, 2))
@model
def batch_norm(): return classes(L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(), L.ReLU(), L.GlobalAveragePooling2D(), shape=(6, 6, 2))
@model
def batch_norm_options(): return numbers(L.Dense(5), L.BatchNormalization(momentum=0.8, epsilon=0.01, center=False), L.Dense(4), L.BatchNormalization(scale=False))
@model
def batch_norm_frozen():
    norm = L.BatchNormalization(); norm.trainable = False
    return numbers(L.Dense(5), norm)
@model
def layer_norm(): return numbers(L.Dense(6), L.LayerNormalization(), L.Dense(6), L.LayerNormalization(center=False, epsilon=0.1))
@model
def norms(): return numbers(L.Conv2D(4, 2), L.GroupNormalization(2), L.RMSNormalization(), L.UnitNormalization(), L.GlobalAveragePooling2D(), shape=(5, 5, 2))
@model
def frozen():
    first = L.Dense(5, "relu"); first.trainable = False
    return numbers(first, L.Dense(4, "relu"))
@model
def dropout(): return classes(L.Dense(8, "relu"), L.Dropout(0.3, seed=5), L.Dense(8, "relu"), L.AlphaDropout(0.2, seed=6))
@model
def noise(): return numbers(L.GaussianNoise(0.2, seed=3), L.Dense(6, "relu"), L.GaussianDropout(0.3, seed=4))
@model
def spatial_dropout(): return numbers(L.Conv2D(6, 2), L.SpatialDropout2D(0.4, seed=2), L.GlobalAveragePooling2D(), shape=(5, 5, 1))
@model
def augmented():
    changes = L.RandomFlip(seed=2), L.RandomRotation(0.2, seed=3), L.RandomZoom(0.3, (-0.4, 0.2), "wrap", seed=4), L.RandomTranslation(0.3, 0.2, "constant", seed=5)
    return classes(*changes, L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten(), shape=(8, 9, 2))
@model
def colors(): return classes(L.RandomBrightness(0.3, (-3, 3), seed=4), L.RandomContrast(0.6, (-3, 3), seed=5), L.Conv2D(4, 3, activation="relu"), L.Flatten(), shape=(6, 5, 3))
@model
def colors_between():
    shown = {"value_range": (-3, 3)}
    changes = [L.RandomContrast(0.6, **shown, seed=1), L.RandomBrightness(0.3, **shown, seed=2), L.RandomGrayscale(0.5, seed=3), L.RandomInvert(0.9, **shown, seed=4),
               L.RandomColorDegeneration(0.8, **shown, seed=5), L.RandomSharpness(0.9, **shown, seed=6), L.RandomGaussianBlur(0.9, **shown, seed=7), L.RandomErasing(0.9, **shown, seed=8)]
    return classes(L.Conv2D(3, 1, activation="tanh"), *changes, L.Conv2D(4, 3, activation="relu"), L.Flatten(), shape=(6, 5, 3))
@model
def mixed(): return classes(L.Conv2D(3, 1, activation="tanh"), L.MixUp(0.4, seed=1), L.CutMix(seed=2), L.MixUp(1.0, seed=3), L.CutMix((0.4, 0.9), seed=4), L.Conv2D(4, 3, activation="relu"), L.Flatten(), shape=(6, 5, 2))
@model
def changed_integers():
    # Keras casts them in a graph, as fit has it, though not where a layer is called by itself.
    x = keras.Input((6, 5, 3), dtype="int32"); values = {"value_range": (0, 5)}
    changes = L.RandomBrightness(0.3, seed=2, **values), L.RandomContrast(0.5, seed=3, **values), L.RandomSaturation(0.4, seed=4, **values)
    y = L.Rescaling(0.1)(L.Concatenate()([change(x) for change in changes]))
    return keras.Model(x, L.Dense(2)(L.Flatten()(L.Conv2D(3, 2)(y)))), "mse", ["mae"]
@model
def warped():
    shown = {"value_range": (-3, 3)}; changes = L.RandomElasticTransform(seed=2, **shown), L.RandomElasticTransform(0.8, (0.5, 1.0), "nearest", "wrap", seed=3, **shown)
    return numbers(L.Conv2D(2, 1, activation="tanh"), *changes, L.Conv2D(6, 3, 2, activation="tanh"), L.GlobalAveragePooling2D(), shape=(21, 24, 1))
@model
def rand_augmented():
    changes = L.RandAugment((-3, 3), seed=2), L.RandAugment((-3, 3), 3, (0.1, 0.7), "nearest", seed=3)
    return numbers(*changes, L.Conv2D(6, 3, activation="tanh"), L.GlobalAveragePooling2D(), shape=(7, 8, 3))
@model
def aug_mixed(): return numbers(L.AugMix((-3, 3), seed=2), L.Conv2D(6, 3, activation="tanh"), L.GlobalAveragePooling2D(), shape=(7, 8, 3))
@model
def equalized_steps():
    x = keras.Input((2, 6, 5, 3)); y = L.TimeDistributed(L.Equalization((-3, 3), 12))(x)
    return keras.Model(x, L.Dense(2)(L.Flatten()(L.TimeDistributed(L.Conv2D(2, 3, activation="tanh"))(y)))), "mse", ["mae"]
@model
def equalized(): return numbers(L.Equalization((-3, 3), 12), L.Conv2D(4, 3, activation="tanh"), L.Flatten(), shape=(6, 5, 3))
@model
def simple_rnn(): return numbers(L.SimpleRNN(4, return_sequences=True), L.SimpleRNN(3), shape=(5, 2))
@model
def lstm(): return classes(L.LSTM(4, return_sequences=True), L.LSTM(3), shape=(5, 2))
@model
def gru(): return classes(L.GRU(4, return_sequences=True), L.GRU(3, reset_after=False), shape=(5, 2))
@model
def bidirectional(): return numbers(L.Bidirectional(L.LSTM(3, return_sequences=True)), L.Bidirectional(L.GRU(2), merge_mode="sum"), shape=(5, 2))
@model
def conv_lstm(): return numbers(L.ConvLSTM1D(2, 2), L.Flatten(), shape=(3, 5, 2))
@model
def conv_lstm_dropout(): return numbers(L.ConvLSTM2D(2, 2, 2, "same", dropout=0.3, recurrent_dropout=0.2, seed=4, return_sequences=True), L.ConvLSTM2D(2, 1, recurrent_dropout=0.4, seed=9), L.Flatten(), shape=(3, 4, 4, 2))
@model
def spectral(): return numbers(L.SpectralNormalization(L.Conv2D(3, 2, activation="relu")), L.Flatten(), L.SpectralNormalization(L.Dense(4, kernel_regularizer="l2"), power_iterations=3), shape=(4, 4, 2))
@model
def spectral_twice():
    a, b = keras.Input((4,)), keras.Input((4,)); layer = L.SpectralNormalization(L.Dense(3, "tanh"))
    return keras.Model([a, b], L.Dense(2)(L.Concatenate()([layer(a), layer(b)]))), "mse", []
@model
def spectral_zeros(): return numbers(L.SpectralNormalization(L.Dense(4, kernel_initializer="zeros")))
@model
def renorm(): return numbers(L.Conv2D(3, 2), L.BatchNormalization(renorm=True, momentum=0.9, renorm_momentum=0.8), L.Flatten(), L.Dense(4), L.BatchNormalization(renorm=True, center=False, renorm_clipping={"rmax": 1.1, "rmin": 0.9, "dmax": 0.1}), L.Dense(4), L.BatchNormalization(renorm=True, scale=False, renorm_clipping={"dmax": 0.5}), shape=(4, 4, 2))
@model
def time_distributed(): return numbers(L.TimeDistributed(L.Dense(3, "relu")), L.TimeDistributed(L.Dense(2)), L.Flatten(), shape=(4, 3))
@model
def embedding(): return classes(L.Embedding(10, 4), L.GlobalAveragePooling1D(), shape=(5,), dtype="int32")
@model
def masked(): return classes(L.Embedding(6, 4, mask_zero=True), L.LSTM(4), shape=(5,), dtype="int32")
@model
def masked_mean():  # the mean of the steps has no mask
    x = keras.Input((6,), dtype="int32"); e = L.Embedding(6, 4, mask_zero=True)(x); mean = L.GlobalAveragePooling1D()
    return keras.Model(x, L.Dense(1, "sigmoid")(L.Concatenate()([mean(e), L.GRU(3)(e)]))), "binary_crossentropy", ["accuracy"]
@model
def tagger(): return chain((5,), L.Embedding(6, 4, mask_zero=True), L.Bidirectional(L.GRU(3, return_sequences=True)), L.Dense(3, "softmax"), dtype="int32"), "sparse_categorical_crossentropy", ["accuracy"]
@model
def attention():
    x = keras.Input((5, 4)); y = L.MultiHeadAttention(2, 3)(x, x); y = L.LayerNormalization()(x + y)
    y = L.Dense(4)(L.Dense(8, "gelu")(y)) + y
    return keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(y))), "mse", ["mae"]
@model
def attention_dot():
    x = keras.Input((5, 4)); q = L.Dense(3)(x); k = L.Dense(3)(x); v = L.Dense(3)(x)
    return keras.Model(x, L.Dense(2)(L.Flatten()(L.Concatenate()([L.Attention(use_scale=True)([q, v, k]), L.AdditiveAttention()([q, v, k])])))), "mse", []
@model
def grouped_attention():
    x = keras.Input((4, 4)); return keras.Model(x, L.Dense(2)(L.Flatten()(L.GroupQueryAttention(2, 4, 2)(x, x)))), "mse", []
@model
def merging():
    x = keras.Input((4,)); a = L.Dense(3, "relu")(x); b = L.Dense(3, "tanh")(x)
    parts = [L.Add()([a, b]), L.Subtract()([a, b]), L.Multiply()([a, b]), L.Average()([a, b]), L.Maximum()([a, b]), L.Minimum()([a, b])]
    return keras.Model(x, L.Dense(2)(L.Concatenate()(parts + [L.Dot(1)([a, b])]))), "mse", []
@model
def operations():
    x = keras.Input((4, 3)); y = L.Dense(3)(x); z = keras.ops.exp(y * 0.5) / (1.0 + keras.ops.square(y)) - y[:, ::-1]
    return keras.Model(x, L.Dense(2)(keras.ops.reshape(z, (-1, 12)))), "mse", []
@model
def shapes(): return numbers(L.Reshape((2, 3)), L.Permute((2, 1)), L.Dense(4), L.Flatten(), L.RepeatVector(2), L.Cropping1D((0, 1)), L.ZeroPadding1D(1), L.UpSampling1D(2), L.Flatten())
@model
def einsum(): return numbers(L.EinsumDense("abc,cd->abd", (3, 4), bias_axes="d", activation="relu"), L.Flatten(), shape=(3, 2))
@model
def shared():
    layer = L.Dense(3, "tanh"); a = keras.Input((3,)); b = keras.Input((3,))
    return keras.Model([a, b], L.Dense(2)(L.Concatenate()([layer(layer(a)), layer(b)]))), "mse", []
@model
def shared_draws():  # whose calls draw, and are averaged, in Keras's order
    drop, norm = L.Dropout(0.4, seed=3), L.BatchNormalization(momentum=0.8); a, b = keras.Input((4,)), keras.Input((4,))
    y = norm(drop(L.Dense(3)(drop(a)))) + norm(drop(L.Dense(3)(b)))
    return keras.Model([a, b], L.Dense(2)(y)), "mse", ["mae"]
@model
def no_probabilities():
    net, loss, metrics = numbers(L.Dense(5, "relu"), n=3)
    return net, "sparse_categorical_crossentropy", metrics[:0]
@model
def nested():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, "relu"), L.BatchNormalization()])
    x = keras.Input((4,)); return keras.Model(x, L.Dense(2)(inner(x))), "mse", ["mae"]
@model
def two_outputs():
    x = keras.Input((4,)); h = L.Dense(5, "relu")(x)
    return keras.Model(x, [L.Dense(3, "softmax", name="kind")(h), L.Dense(1, name="size")(h)]), ["sparse_categorical_crossentropy", "mse"], [["accuracy"], ["mae"]], [1.0, 0.5]
@model
def cut_off():
    # What no gradient reaches stays as it is: without decay, constraint or a part in the norm.
    x = keras.Input((4,)); h = keras.ops.stop_gradient(L.Dense(3, bias_initializer="ones", kernel_constraint="non_neg")(x))
    return keras.Model(x, L.Dense(2)(L.Concatenate()([x, h]))), "mse", ["mae"]
@model
def adapted():
    layers = [L.Embedding(10, 4, lora_rank=2, lora_alpha=3, embeddings_regularizer="l2"),
              L.Conv1D(3, 2, lora_rank=2, lora_alpha=5), L.Dense(6, "tanh", lora_rank=1, lora_alpha=3, kernel_regularizer="l1"),
              L.EinsumDense("abc,cde->abde", (5, 2, 3), bias_axes="de", lora_rank=2, lora_alpha=1), L.Flatten()]
    return numbers(*layers, shape=(6,), dtype="int32")
@model
def adapted_tied():
    x = keras.Input((5,), dtype="int32"); table = L.ReversibleEmbedding(7, 4, lora_rank=2); h = L.Dense(4, "tanh")(table(x))
    return keras.Model(x, table(h, reverse=True)), "mse", ["mae"]
@model
def weighted(): return *classes(L.Dense(5, "relu")), None, True
@model
def weighted_numbers(): return *numbers(L.Conv1D(3, 2), L.Flatten(), shape=(5, 2)), None, True
@model
def weighted_steps():  # a weight for each step, which masks are joined with
    x = keras.Input((6,), dtype="int32"); h = L.LSTM(4, return_sequences=True)(L.Embedding(7, 3, mask_zero=True)(x))
    return keras.Model(x, L.Dense(5, "softmax")(h)), "sparse_categorical_crossentropy", ["accuracy"], None, True
@model
def weighted_ends():  # some outputs have steps, others none
    x = keras.Input((5, 3)); h = L.GRU(4, return_sequences=True)(x)
    return (keras.Model(x, [L.Dense(2)(h), L.Dense(1)(L.Flatten()(h)), L.Dense(3, "softmax")(h)]), ["mse", "mae", keras.losses.CategoricalFocalCrossentropy(
        reduction="mean_with_sample_weight")], [["mae"], ["mse"], ["categorical_accuracy"]], None, True)
@model
def weighted_pixels(): return *classes(L.Conv2D(3, 3, padding="same"), shape=(4, 5, 2))[:2], [], None, True
@model
def steps():  # sign has zeros as its derivative, floor division and round have none: weights behind these do not decay
    x = keras.Input((6,)); signed, divided, rounded, plain = (L.Dense(3)(x) for _ in range(4))
    return keras.Model(x, L.Dense(2)(keras.ops.sign(signed) + divided // 0.5 + keras.ops.round(rounded) + plain)), "mse", ["mae"]
@in_policies
def plain(): return numbers(L.Dense(16, "relu"), L.Dense(8, "tanh"))
@in_policies
def adapted_in(): return numbers(L.Dense(16, "tanh", lora_rank=2), L.Dense(8, "tanh", lora_rank=4, lora_alpha=2))
@in_policies
def image(): return classes(L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(2), L.Flatten(), shape=(8, 8, 2))[:2] + ([],)
@in_policies
def words():
    # neither QR in bfloat16, which TensorFlow lacks, nor an accuracy, which the last bit decides
    net, loss, _ = classes(L.Embedding(10, 4), L.LSTM(4, recurrent_initializer="glorot_uniform"), shape=(5,), dtype="int32")
    return net, loss, [loss]
@in_policies
def attentive():
    x = keras.Input((5, 4)); y = L.MultiHeadAttention(2, 3)(x, x); y = L.LayerNormalization()(x + y)
    y = L.Dense(4)(L.Dense(8, "gelu")(y)) + y
    return keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(y))), "mse", ["mae"]
# fmt: on


# Instead of the usual one.
OPTIMIZERS = {"cut_off": {"weight_decay": 0.1, "global_clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.9}, "steps": {"weight_decay": 0.1}}


WITH_LAYERS = (L.RandAugment, L.AugMix)


def variables(net):
    """Its variables in our order: SpectralNormalization's come first, and the kernel of its layer is one of them; what is
    within a layer that changes images by others draws with that one's generator."""
    def own(layer):
        if isinstance(layer, L.SpectralNormalization):
            return [layer.kernel, layer.vector_u] + layer.layer.variables
        return [layer.generator.state] if isinstance(layer, WITH_LAYERS) else layer.variables

    special = (L.SpectralNormalization, *WITH_LAYERS)
    if not any(isinstance(layer, special) for layer in net.layers):
        return net.variables
    return [v for layer in net.layers for v in own(layer)]


def make(name, function, policy, out):
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    rng = np.random.default_rng(sum(map(ord, name)))
    net, loss, metrics, *rest = function()
    weights = rest[0] if rest else None
    sampled = len(rest) > 1
    net.compile(keras.optimizers.SGD(0.05, momentum=0.9, **OPTIMIZERS.get(name, {})), loss, loss_weights=weights,
                metrics=None if sampled else metrics, weighted_metrics=metrics if sampled else None, jit_compile=False)
    count = 4
    given = []
    for tensor in net.inputs:
        shape = (BATCHES, count) + tuple(tensor.shape[1:])
        whole = tensor.dtype == "int32"
        given.append(rng.integers(0, 6, shape).astype("int32") if whole else rng.standard_normal(shape).astype("float32"))
    labels = []
    losses = loss if isinstance(loss, list) else [loss]
    for tensor, kind in zip(net.outputs, losses):
        sparse = "parse" in (kind if isinstance(kind, str) else type(kind).__name__)
        shape = (BATCHES, count) + tuple(tensor.shape[1:])
        if sparse:
            labels.append(rng.integers(0, shape[-1], shape[:-1]).astype("int32"))
        elif kind == "binary_crossentropy":
            labels.append(rng.integers(0, 2, shape).astype("float32"))
        elif not isinstance(kind, str):
            labels.append(np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])])
        else:
            labels.append(rng.standard_normal(shape).astype("float32"))
    sample = [rng.uniform(0, 2, (BATCHES, count) + tensor.shape[1:-1]).astype("float32") for tensor in net.outputs] if sampled else []
    pick = lambda arrays, step: [a[step % BATCHES] for a in arrays]
    one = lambda list_: list_[0] if len(list_) == 1 else list_
    net.optimizer.build(net.trainable_variables)
    followed = variables(net) + [v for v in net.optimizer.variables if v.name not in ("iteration", "learning_rate")]
    state = lambda: np.concatenate([np.asarray(v).astype("float32").ravel() for v in followed])
    states, logs = [state()], []
    if isinstance(net.layers[0], L.AugMix):
        # It chooses layers where a step is traced, which is done twice while metrics have no variables.
        net.test_on_batch(one(pick(given, 0)), one(pick(labels, 0)))
        random.seed(net.layers[0].seed)
    for step in range(STEPS):
        net.reset_metrics()
        result = net.train_on_batch(one(pick(given, step)), one(pick(labels, step)),
                                    sample_weight=one(pick(sample, step)) if sampled else None, return_dict=True)
        logs.append([float(result["loss"])] + [float(v) for k, v in sorted(result.items()) if k != "loss"])
        states.append(state())
    config = keras.saving.serialize_keras_object(net)
    config["compile_config"] = net.get_compile_config()
    names = ["loss"] + [k for k in sorted(result) if k != "loss"]
    text = lambda s: np.frombuffer(s.encode(), "uint8")
    out[f"{name}/config"] = text(json.dumps(config, default=keras.src.saving.serialization_lib.serialize_keras_object))
    out[f"{name}/paths"] = text("\n".join(v.path for v in followed))
    out[f"{name}/log_names"] = text("\n".join(names))
    out[f"{name}/policy"] = text(policy)
    out[f"{name}/states"] = np.stack(states)
    out[f"{name}/logs"] = np.array(logs, "float32")
    for what, arrays in (("input", given), ("labels", labels), ("weights", sample)):
        for i, array in enumerate(arrays):
            out[f"{name}/{what}/{i}"] = array
    print(f"{name}: {states[0].size} numbers, loss {logs[0][0]:.4f} to {logs[-1][0]:.4f}")


out = {}
for name, (function, policy) in MODELS.items():
    if len(sys.argv) < 2 or name in sys.argv[1:]:
        make(name, function, policy, out)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "steps.npz")
if len(sys.argv) > 1:
    out = {**{k: v for k, v in np.load(path).items() if k.split("/")[0] in MODELS}, **out}
np.savez_compressed(path, **out)
