"""Writes the fixtures of the layer tests, computed by Keras on TensorFlow:

layer_configs.json  serialised layers in which every option has a value other than its default
activations.json    every activation on a few numbers
layer_calls.json    layers called on small random inputs, with their weights
layer_draws.json    layers that draw random numbers in training: the seed generator's state is their weight
layer_dropouts.json  recurrent layers and attention that drop in training, with their generators' states
layer_augmentations.json  layers that move what images show in training, with the same
layer_colors.json   layers that change the colours of images in training, likewise
layer_policies.json  layers that change images by other layers, likewise
layer_penalties.json  what regularizers of a call add to the loss, and weights once they are constrained

KERAS_BACKEND=tensorflow python make_layers.py [configs|activations|calls|draws|…]...
"""
import json
import os
import random as random_of_python
import sys

import keras
import numpy as np
from keras import layers as L
from keras.src.applications.convnext import LayerScale
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer
from keras.src.ops import nn

HERE = os.path.dirname(os.path.abspath(__file__))
INITIALIZER = keras.initializers.TruncatedNormal(stddev=0.2, seed=7)
REGULARIZER = keras.regularizers.L1L2(0.25, 0.5)
CONSTRAINT = keras.constraints.MaxNorm(3, axis=1)


def write(name, items):
    with open(os.path.join(HERE, name), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(item) for item in items) + "\n]\n")


def common(*parts):
    options = {"name": "own_name", "trainable": False, "dtype": "mixed_bfloat16"}
    for part in parts:
        options |= {
            f"{part}_initializer": INITIALIZER,
            f"{part}_regularizer": REGULARIZER,
            f"{part}_constraint": CONSTRAINT,
        }
    return options


def configs():
    activity = {"activity_regularizer": keras.regularizers.L1(0.5)}
    windows = {"strides": (3, 1), "padding": "same", "data_format": "channels_first"}
    one, three = windows | {"strides": 3}, windows | {"strides": (3, 1, 2)}
    normal = {"epsilon": 0.5, "center": False, "scale": False, **common("beta", "gamma")}
    moving = {"moving_mean_initializer": "ones", "moving_variance_initializer": "zeros"}
    adapted = {"lora_rank": 2, "lora_alpha": 3}
    quantized = keras.quantizers.Int8QuantizationConfig()
    clipped = L.ReLU(max_value=6.0, dtype="mixed_bfloat16")
    image = {"data_format": "channels_first", "bounding_box_format": "xyxy", **common()}
    shown = {"value_range": (0.0, 1.0)}
    drawn = {"seed": 3, **image}
    filled = {"fill_mode": "wrap", "fill_value": 2.5, "interpolation": "nearest", **drawn}
    adapted_bins = L.Discretization(num_bins=3, epsilon=0.25, output_mode="count", name="own_name", dtype="float16")
    adapted_bins.adapt(np.arange(9.0))
    made = [
        L.InputLayer(batch_shape=(3, None, 5), dtype="int32", optional=True, name="own_name"),
        L.Dense(7, activation="gelu", use_bias=False, **activity, **common("kernel", "bias")),
        L.Conv2D(6, (2, 3), **windows, groups=2, activation=clipped, use_bias=False, **activity,
                 **common("kernel", "bias")),
        L.Conv2D(6, (2, 3), dilation_rate=(2, 3)),
        L.DepthwiseConv2D((2, 3), **windows, depth_multiplier=2, activation="relu6", use_bias=False,
                          **activity, **common("depthwise", "bias")),
        L.DepthwiseConv2D(3, dilation_rate=(2, 3)),
        L.Conv1D(6, 3, **one, groups=2, activation=clipped, use_bias=False, **activity, **common("kernel", "bias")),
        L.Conv1D(6, 2, dilation_rate=2, padding="causal"),
        L.Conv3D(6, (2, 3, 4), **three, groups=2, activation="relu6", use_bias=False, **activity,
                 **common("kernel", "bias")),
        L.Conv3D(6, 2, dilation_rate=(1, 2, 3)),
        L.DepthwiseConv1D(3, **one, depth_multiplier=2, activation="relu6", use_bias=False, **activity,
                          **common("depthwise", "bias")),
        L.DepthwiseConv1D(3, dilation_rate=2),
        L.SeparableConv1D(6, 3, **one, depth_multiplier=2, activation="relu6", use_bias=False, **activity,
                          **common("depthwise", "pointwise", "bias")),
        L.SeparableConv1D(6, 3, dilation_rate=2),
        L.SeparableConv2D(6, (2, 3), **windows, depth_multiplier=2, activation="relu6", use_bias=False, **activity,
                          **common("depthwise", "pointwise", "bias")),
        L.SeparableConv2D(6, 3, dilation_rate=(2, 3)),
        L.Conv1DTranspose(6, 3, **one, output_padding=1, activation="relu6", use_bias=False, **activity,
                          **common("kernel", "bias")),
        L.Conv1DTranspose(6, 3, dilation_rate=2),
        L.Conv2DTranspose(6, (2, 3), **windows, output_padding=(2, 0), activation="relu6", use_bias=False, **activity,
                          **common("kernel", "bias")),
        L.Conv2DTranspose(6, 3, dilation_rate=(2, 3)),
        L.Conv3DTranspose(6, (2, 3, 4), **three, output_padding=(2, 0, 1), activation="relu6", use_bias=False,
                          **activity, **common("kernel", "bias")),
        L.Conv3DTranspose(6, 3, dilation_rate=(1, 2, 3)),
        L.MaxPooling2D((3, 4), **windows, **common()),
        L.AveragePooling2D((3, 4), **windows, **common()),
        L.MaxPooling1D(3, **one, **common()),
        L.MaxPooling3D((3, 4, 5), **three, **common()),
        L.AveragePooling1D(3, **one, **common()),
        L.AveragePooling3D((3, 4, 5), **three, **common()),
        L.GlobalMaxPooling1D(data_format="channels_first", keepdims=True, **common()),
        L.GlobalMaxPooling3D(data_format="channels_first", keepdims=True, **common()),
        L.GlobalAveragePooling1D(data_format="channels_first", keepdims=True, **common()),
        L.GlobalAveragePooling3D(data_format="channels_first", keepdims=True, **common()),
        L.AdaptiveMaxPooling1D(3, data_format="channels_first", **common()),
        L.AdaptiveMaxPooling2D((3, 4), data_format="channels_first", **common()),
        L.AdaptiveMaxPooling3D((3, 4, 5), data_format="channels_first", **common()),
        L.AdaptiveAveragePooling1D(3, data_format="channels_first", **common()),
        L.AdaptiveAveragePooling2D((3, 4), data_format="channels_first", **common()),
        L.AdaptiveAveragePooling3D((3, 4, 5), data_format="channels_first", **common()),
        L.GlobalMaxPooling2D(data_format="channels_first", keepdims=True, **common()),
        L.GlobalAveragePooling2D(data_format="channels_first", keepdims=True, **common()),
        L.BatchNormalization(axis=1, momentum=0.5, synchronized=True, renorm=True, renorm_momentum=0.5,
                             renorm_clipping={"rmax": 3.0}, **normal, **moving),
        L.LayerNormalization(axis=[1, 2], rms_scaling=True, **normal),
        L.GroupNormalization(groups=-1, axis=1, **normal),
        L.RMSNormalization(axis=[1, 2], epsilon=0.5, **common()),
        L.UnitNormalization(axis=[1, 2], **common()),
        L.SpectralNormalization(L.Dense(3), power_iterations=2, **common()),
        L.CategoryEncoding(5, output_mode="count", **common()),
        adapted_bins,
        L.Normalization(axis=(1,), mean=[1.5, 2.5], variance=[0.5, 0.25], invert=True, **common()),
        L.EinsumDense("abc,cd->abd", (None, 7), activation="gelu", bias_axes="d", **activity,
                      **common("kernel", "bias")),
        L.Attention(use_scale=True, score_mode="concat", dropout=0.5, seed=3, **common()),
        L.AdditiveAttention(use_scale=False, dropout=0.5, seed=3, **common()),
        L.MultiHeadAttention(2, 3, value_dim=4, dropout=0.5, use_bias=False, use_gate=True, output_shape=(5, 6),
                             attention_axes=(1, 2), sliding_window=2, seed=3, **activity, **common("kernel", "bias")),
        L.GroupQueryAttention(2, 6, 3, dropout=0.5, use_bias=False, use_gate=True, sliding_window=2, seed=3,
                              **activity, **common("kernel", "bias")),
        L.Dropout(0.25, noise_shape=(None, 1), seed=3, **common()),
        L.AlphaDropout(0.25, noise_shape=(None, 1), seed=3, **common()),
        L.GaussianDropout(0.25, seed=3, **common()),
        L.GaussianNoise(0.25, seed=3, **common()),
        L.SpatialDropout1D(0.25, seed=3, name="own_name"),
        L.SpatialDropout2D(0.25, data_format="channels_first", seed=3, name="own_name"),
        L.SpatialDropout3D(0.25, data_format="channels_first", seed=3, name="own_name"),
        L.ActivityRegularization(0.25, 0.5, **common()),
        L.Identity(**common()),
        L.Flatten(data_format="channels_first", **common()),
        L.Reshape((-1, 3), **common()),
        L.Activation("swish", **common()),
        LayerScale(0.25, 7, **common()),
        CustomScaleLayer(0.25, **common()),
        L.ReLU(max_value=4.0, negative_slope=0.5, threshold=0.25, **common()),
        L.Softmax(axis=[1, 2], **common()),
        L.Add(**common()),
        L.Multiply(**common()),
        L.Concatenate(axis=1, **common()),
        L.Subtract(**common()),
        L.Average(**common()),
        L.Maximum(**common()),
        L.Minimum(**common()),
        L.Dot((1, 2), normalize=True, **common()),
        L.LeakyReLU(0.5, **common()),
        L.ELU(0.5, **common()),
        L.PReLU(shared_axes=[1, 2], **common("alpha")),
        L.Rescaling([1.5, 2.5], offset=[[1.0], [2.0]], **common()),
        L.Rescaling(np.array([1.5, 2.5]), offset=1.0),
        L.ZeroPadding2D(((1, 2), (3, 4)), data_format="channels_first", **common()),
        L.Permute((2, 1, 3), **common()),
        L.RepeatVector(3, **common()),
        L.ZeroPadding1D((1, 2), data_format="channels_first", **common()),
        L.ZeroPadding3D(((1, 2), (3, 4), (5, 6)), data_format="channels_first", **common()),
        L.Cropping1D((1, 2), **common()),
        L.Cropping2D(((1, 2), (3, 4)), data_format="channels_first", **common()),
        L.Cropping3D(((1, 2), (3, 4), (5, 6)), data_format="channels_first", **common()),
        L.UpSampling1D(3, **common()),
        L.UpSampling2D((3, 2), data_format="channels_first", interpolation="bilinear", **common()),
        L.UpSampling3D((3, 2, 1), data_format="channels_first", **common()),
        L.Resizing(3, 4, interpolation="bicubic", crop_to_aspect_ratio=True, fill_value=1.5, antialias=True,
                   **image),
        L.Resizing(3, 4, pad_to_aspect_ratio=True),
        L.CenterCrop(3, 4, **image),
        L.AutoContrast(**shown, **image),
        L.ContrastLimitedAdaptiveHistogramEqualization(clip_limit=2.5, tile_grid_size=(3, 2), **shown, **image),
        L.Equalization(bins=64, **shown, **image),
        L.Solarization(addition_factor=0.25, threshold_factor=(0.25, 0.5), **shown, **drawn),
        *(kind((0.25, 0.5), **shown, **drawn) for kind in (
            L.RandomBrightness, L.RandomColorDegeneration, L.RandomContrast, L.RandomHue, L.RandomInvert,
            L.RandomSaturation, L.RandomSharpness)),
        L.RandomPosterization((2, 5), **shown, **drawn),
        L.RandomGrayscale(0.25, **image),
        L.RandomColorJitter(brightness_factor=0.25, contrast_factor=0.5, saturation_factor=0.75, hue_factor=0.125,
                            **shown, **drawn),
        L.RandomGaussianBlur(0.5, kernel_size=(3, 5), sigma=0.25, **shown, **drawn),
        L.RandomCrop(3, 4, **drawn),
        L.RandomFlip("vertical", **drawn),
        L.RandomRotation((-0.25, 0.5), **filled),
        L.RandomShear(0.25, 0.5, **filled),
        L.RandomTranslation((-0.25, 0.5), 0.25, **filled),
        L.RandomZoom((-0.25, 0.5), 0.25, **filled),
        L.RandomElasticTransform(0.5, 0.25, **shown, **filled),
        L.RandomPerspective(0.5, 0.25, interpolation="nearest", fill_value=2.5, **drawn),
        L.RandomErasing(0.5, (0.25, 0.5), fill_value=2.5, **shown, **drawn),
        L.MixUp(0.5, **drawn),
        L.CutMix(0.5, **drawn),
        L.RandAugment(num_ops=3, factor=0.25, interpolation="nearest", **shown, **drawn),
        L.AugMix(num_chains=2, chain_depth=4, factor=0.25, alpha=0.5, all_ops=False, interpolation="nearest", **shown,
                 **drawn),
        L.Pipeline([L.Dense(3), L.ReLU()], name="own_name"),
        L.Masking(0.5, **common()),
        L.Embedding(3, 4, mask_zero=True, **activity, **common("embeddings")),
        L.Dense(7, **adapted, quantization_config=quantized),
        L.Embedding(3, 4, **adapted, quantization_config=quantized),
        L.ReversibleEmbedding(3, 4, mask_zero=True, tie_weights=False, reverse_dtype="float16", logit_soft_cap=2.5,
                              **activity, **common("embeddings")),
        L.ReversibleEmbedding(3, 4, **adapted, quantization_config=quantized),
        L.EinsumDense("abc,cd->abd", (None, 7), **adapted, quantization_config=quantized),
        L.Conv1D(6, 3, **adapted),
        L.Conv2D(6, 3, **adapted),
        L.Conv3D(6, 3, **adapted),
    ]
    runs = {name: True for name in ("return_sequences", "return_state", "go_backwards", "stateful", "unroll",
                                    "zero_output_for_mask")}
    gates = common("kernel", "recurrent", "bias") | {
        "activation": "relu", "use_bias": False, "dropout": 0.25, "recurrent_dropout": 0.5, "seed": 3}
    gated = gates | {"recurrent_activation": "hard_sigmoid"}
    made += [
        L.SimpleRNNCell(3, **gates),
        L.LSTMCell(3, unit_forget_bias=False, **gated),
        L.GRUCell(3, reset_after=False, **gated),
        L.SimpleRNN(3, **runs, **gates, **activity),
        L.LSTM(3, unit_forget_bias=False, **runs, **gated, **activity),
        L.GRU(3, reset_after=False, **runs, **gated, **activity),
        L.ConvLSTM1D(3, 2, **one, unit_forget_bias=False, **runs, **gated, **activity),
        L.ConvLSTM1D(3, 2, dilation_rate=2),
        L.ConvLSTM2D(3, (2, 3), **windows, unit_forget_bias=False, **runs, **gated, **activity),
        L.ConvLSTM2D(3, 2, dilation_rate=(2, 3)),
        L.ConvLSTM3D(3, (2, 3, 4), **three, unit_forget_bias=False, **runs, **gated, **activity),
        L.ConvLSTM3D(3, 2, dilation_rate=(1, 2, 3)),
        L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(4)], name="cells"), **runs, **common()),
        L.TimeDistributed(L.Dense(3), **common()),
        L.Bidirectional(L.GRU(3), merge_mode="ave", **common()),
    ]
    serialized = [keras.saving.serialize_keras_object(layer) for layer in made + operations()]
    for layer in serialized:  # Keras 3.15.1 drops what SimpleRNN is given here, but writes the option
        if layer["class_name"] == "SimpleRNN":
            layer["config"]["activity_regularizer"] = keras.saving.serialize_keras_object(keras.regularizers.L1(0.5))
    return serialized


def operations():
    """Nodes of keras.ops.nn; those without options are left out."""
    first = {"padding": "same", "data_format": "channels_first"}
    coded = {"axis": 1, "dtype": "int32"}
    return [
        nn.Celu(0.5), nn.Elu(0.5), nn.Gelu(False), nn.Glu(1), nn.HardShrink(0.25), nn.LeakyRelu(0.5), nn.LogSoftmax(1),
        nn.SoftShrink(0.25), nn.Softmax(1), nn.Sparsemax(1), nn.Squareplus(5), nn.Threshold(0.25, 0.5),
        nn.Conv((2, 3), dilation_rate=2, **first),
        nn.DepthwiseConv((2, 3), dilation_rate=2, **first),
        nn.SeparableConv((2, 3), dilation_rate=2, **first),
        nn.ConvTranspose((2, 3), output_padding=(1, 0), dilation_rate=2, **first),
        nn.MaxPool(2, (2, 3), **first),
        nn.AveragePool((2, 3), 2, **first),
        nn.AdaptiveMaxPool((2, 3), "channels_first"),
        nn.AdaptiveAveragePool((2, 3), "channels_first"),
        nn.Moments([1, 2], keepdims=True, synchronized=True),
        nn.BatchNorm(-1, 0.5),
        nn.LayerNorm([1, 2], 0.5, rms_scaling=True),
        nn.LayerNorm(),
        nn.RMSNorm([1, 2], 0.5),
        nn.Normalize(1, 3, 0.5),
        nn.OneHot(3, **coded),
        nn.MultiHot(3, **coded),
        nn.BinaryCrossentropy(True),
        nn.CategoricalCrossentropy(True, 1),
        nn.SparseCategoricalCrossentropy(True, 1),
        nn.CTCLoss(1),
        nn.CTCDecode("beam_search", 5, 2, False, 1),
        nn.PSNR(2.5),
        nn.DotProductAttention(True, False),
        nn.Unfold(2, (1, 2), 3, (4, 5)),
        nn.Fold((8, 9), 2, (1, 2), 3, (4, 5)),
        nn.DepthToSpace(2, "channels_first"),
        nn.SpaceToDepth(2, "channels_first"),
    ]


def activations():
    x = [[-40, -7.25, -3, -1.5, -1, -0.5], [-1e-4, 0, 1e-4, 0.3, 0.5, 1], [1.5, 3, 4, 5.75, 6.5, 40]]
    # Ties, and a support of more than one, are where sorting matters.
    close = [[0.1, 0.6, 0.6, -2, 0.45, 0.5], [0.7, 0.7, 0.7, 0.7, 0.7, 0.7]]
    cases = [(name, {}) for name in sorted(keras.src.activations.ALL_OBJECTS_DICT) if name != "threshold"]
    cases += [
        ("relu", {"negative_slope": 0.25}),
        ("relu", {"max_value": 4.5}),
        ("relu", {"threshold": 1.25}),
        ("relu", {"negative_slope": 0.25, "max_value": 4.5, "threshold": 1.25}),
        ("relu", {"negative_slope": 0.25, "max_value": 4.5}),
        ("leaky_relu", {"negative_slope": 0.6}),
        ("celu", {"alpha": 0.5}),
        ("elu", {"alpha": 0.5}),
        ("gelu", {"approximate": True}),
        ("glu", {"axis": 1}),
        ("hard_shrink", {"threshold": 2.0}),
        ("soft_shrink", {"threshold": 2.0}),
        ("log_softmax", {"axis": 0}),
        ("softmax", {"axis": 0}),
        ("sparsemax", {"axis": 0}),
        ("squareplus", {"b": 0.5}),
        ("threshold", {"threshold": 0.4, "default_value": 7.5}),
    ]
    results = []
    for name, parameters in cases:
        data = np.array(close if name == "sparsemax" else x, "float32")
        y = keras.activations.threshold if name == "threshold" else keras.activations.get(name)
        results.append({"name": name, "parameters": {k: float(v) for k, v in parameters.items()},
                        "input": tensor(data), "output": tensor(y(data, **parameters))})
    return results


def tensor(value):
    value = np.array(keras.ops.convert_to_numpy(value))
    name = str(value.dtype)
    if name == "bfloat16":
        value = value.astype("float32")
    data = [json.loads(str(v).lower()) for v in value.ravel()]  # as few digits as tell the number
    return {"dtype": name, "shape": list(value.shape), "data": data}


RANDOM = np.random.RandomState(11)


def call(layer, *shapes, spec=None, dtype="float32", data=None, mask=None, training=None):
    """One case. spec: the shapes with None that the layer is traced with."""
    inputs = data or [RANDOM.uniform(-2, 2, shape).round(2).astype(dtype) for shape in shapes]
    many = len(inputs) > 1
    keyword = {} if mask is None else {"mask": np.array(mask)}
    if training is not None:
        keyword["training"] = training
    layer.build([x.shape for x in inputs] if many else inputs[0].shape)
    layer.set_weights([RANDOM.uniform(0.25, 1.5, w.shape).round(2) for w in layer.weights])
    before = [tensor(w) for w in layer.weights]
    y = layer(inputs if many else inputs[0], **keyword)
    case = {
        "layer": keras.saving.serialize_keras_object(layer),
        "spec": spec or [[None, *x.shape[1:]] for x in inputs],
        "inputs": [tensor(x) for x in inputs],
        "weights": before,
        "output": tensor(y),
    }
    if mask is not None:
        case["mask"] = tensor(keyword["mask"])
    if training:
        case |= {"training": True, "after": [tensor(w) for w in layer.weights]}
    return case


def calls():
    image = (2, 6, 5, 4)
    first = {"data_format": "channels_first"}
    image_spec = [[None, None, None, 4]]
    return [
        call(L.Dense(3), (2, 4)),
        call(L.Dense(3, activation="tanh", use_bias=False), (2, 3, 4)),
        call(L.Dense(3, activation="softmax"), (2, 2, 3, 4), spec=[[None, None, 3, 4]]),
        call(L.Dense(3, dtype="float64"), (2, 4), dtype="float64"),
        call(L.Dense(3, dtype="float16"), (2, 4)),
        call(L.Dense(3, dtype="mixed_bfloat16"), (2, 4)),
        call(L.Dense(3), data=[np.array([[1, -2], [3, 4]], "int32")]),
        call(L.Dense(3, activation=L.ReLU(max_value=1.5, negative_slope=0.25)), (2, 4)),
        call(L.Conv2D(3, 3), image),
        call(L.Conv2D(3, (2, 3), strides=(2, 1), padding="same", activation="relu"), image, spec=image_spec),
        call(L.Conv2D(3, 2, strides=2, padding="same"), (1, 5, 8, 4), spec=image_spec),
        call(L.Conv2D(3, 2, dilation_rate=(2, 3), padding="same", use_bias=False), image),
        call(L.Conv2D(3, 2, dilation_rate=2), image, spec=image_spec),
        call(L.Conv2D(4, 2, groups=2), image),
        call(L.Conv2D(3, 2, strides=2, padding="same", dtype="mixed_float16"), image),
        # On a CPU, TensorFlow has channels_first only for these.
        call(L.Conv2D(4, 2, groups=2, strides=2, padding="same", activation="softmax", **first), image),
        call(L.DepthwiseConv2D((2, 3), depth_multiplier=2, activation="glu", **first), image),
        call(L.DepthwiseConv2D(3), image),
        call(L.DepthwiseConv2D((2, 3), depth_multiplier=2, strides=2, padding="same", activation="relu6"), image),
        call(L.DepthwiseConv2D(2, dilation_rate=2, use_bias=False), image, spec=image_spec),
        call(L.Conv1D(3, 2, dilation_rate=3, padding="causal"), (2, 9, 4), spec=[[None, None, 4]]),
        call(L.Conv1D(3, 4, strides=3, padding="same"), (2, 10, 4), spec=[[None, None, 4]]),
        call(L.Conv3D(2, 2, strides=2, padding="same"), (2, 4, 3, 5, 2), spec=[[None, None, None, None, 2]]),
        call(L.DepthwiseConv1D(3, padding="same", strides=2), (2, 9, 4), spec=[[None, None, 4]]),
        call(L.SeparableConv2D(3, 2, padding="same"), image, spec=image_spec),
        call(L.SeparableConv1D(3, 2, dtype="mixed_float16"), (2, 9, 4)),
        call(L.Conv1DTranspose(3, 4, strides=3), (2, 5, 4), spec=[[None, None, 4]]),
        call(L.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu"), image, spec=image_spec),
        call(L.Conv2DTranspose(3, (2, 3), strides=2, padding="same", output_padding=1), image, spec=image_spec),
        call(L.Conv3DTranspose(2, 2, strides=(1, 2, 3)), (2, 2, 3, 2, 4), spec=[[None, None, None, None, 4]]),
        call(L.MaxPooling2D(), image),
        call(L.MaxPooling2D((2, 3), strides=1, padding="same"), image, spec=image_spec),
        call(L.MaxPooling2D(3, strides=2, padding="same", **first), image),
        call(L.AveragePooling2D(2), image),
        call(L.AveragePooling2D((3, 2), strides=2, padding="same"), image, spec=image_spec),
        call(L.AveragePooling2D(3, strides=1, padding="same", **first), image),
        call(L.AveragePooling2D(2, strides=1, padding="valid"), image, spec=image_spec),
        call(L.GlobalMaxPooling2D(), image),
        call(L.GlobalMaxPooling2D(keepdims=True, **first), image),
        call(L.GlobalAveragePooling2D(keepdims=True), image, spec=image_spec),
        call(L.GlobalAveragePooling2D(**first), image),
        call(L.GlobalAveragePooling2D(dtype="float16"), image),
        call(L.GlobalAveragePooling1D(), (2, 3, 4), mask=[[True, False, True], [False, True, False]]),
        call(L.GlobalAveragePooling1D(keepdims=True, **first), (2, 4, 3), mask=[[1, 0, 1], [0, 2, 0]]),
        call(L.GlobalAveragePooling1D(), (2, 3, 4), spec=[[None, None, 4]]),
        call(L.MaxPooling1D(3, strides=2, padding="same"), (2, 8, 4), spec=[[None, None, 4]]),
        call(L.AveragePooling1D(3, strides=2, padding="same"), (2, 8, 4), spec=[[None, None, 4]]),
        call(L.AveragePooling3D(2, padding="same"), (2, 3, 4, 5, 2), spec=[[None, None, None, None, 2]]),
        call(L.AdaptiveAveragePooling2D((4, 2)), image, spec=[[None, 6, 5, None]]),
        call(LayerScale(0.5, 4), image),
        call(CustomScaleLayer(0.25), (2, 3, 4), (2, 3, 4)),
        call(L.BatchNormalization(), image),
        call(L.BatchNormalization(axis=1, epsilon=0.25), image),
        call(L.BatchNormalization(center=False), (3, 4)),
        call(L.BatchNormalization(scale=False), (3, 4)),
        call(L.BatchNormalization(center=False, scale=False, dtype="mixed_float16"), (3, 4)),
        call(L.BatchNormalization(momentum=0.75), (3, 2, 4), training=True),
        call(L.BatchNormalization(axis=1, momentum=0.75), (3, 2, 4), training=True),
        call(L.BatchNormalization(momentum=0.75), (3, 2, 4), mask=[[True, False], [True, True], [False, True]],
             training=True),
        call(L.BatchNormalization(renorm=True), (3, 4)),
        call(L.BatchNormalization(trainable=False), (3, 4), training=True),
        call(L.LayerNormalization(), (2, 3, 4)),
        call(L.LayerNormalization(axis=1, epsilon=0.25), (2, 3, 4)),
        call(L.LayerNormalization(axis=[1, 2], center=False), (2, 3, 4)),
        call(L.LayerNormalization(axis=[1, -1]), (2, 3, 4)),
        call(L.LayerNormalization(scale=False), (2, 3, 4), spec=[[None, None, 4]]),
        call(L.LayerNormalization(rms_scaling=True, scale=False), (2, 4)),
        call(L.LayerNormalization(dtype="mixed_float16"), (2, 4)),
        call(L.Dropout(0.5, seed=1), (2, 4)),
        call(L.Flatten(), image),
        call(L.Flatten(**first), image, spec=[[None, 6, None, 4]]),
        call(L.Flatten(), (3,)),
        call(L.Reshape((2, -1)), (2, 3, 4)),
        call(L.Reshape((-1, 2)), (2, 3, 4), spec=[[None, None, 4]]),
        call(L.Reshape((6, 2)), (2, 3, 4)),
        call(L.Reshape(()), (2, 1)),
        call(L.Activation("silu"), (2, 4)),
        call(L.Activation("relu", dtype="float16"), (2, 4)),
        call(L.ReLU(), (2, 4)),
        call(L.ReLU(max_value=1.0, negative_slope=0.25, threshold=0.5), (2, 4)),
        call(L.Softmax(), (2, 4)),
        call(L.Softmax(axis=1), (2, 3, 4)),
        call(L.Softmax(axis=[1, 2]), (2, 3, 4)),
        call(L.Softmax(), (2, 3), mask=[[True, False, True], [False, False, False]]),
        call(L.Softmax(axis=[-1]), (2, 3), mask=[[0.75, 0.25, 1.0]]),
        call(L.Add(), (2, 3, 4), (2, 3, 4), (2, 3, 4)),
        call(L.Add(), (2, 3, 4), (2, 4), (2, 1, 1)),
        call(L.Multiply(), (2, 4), (2, 3, 1)),
        call(L.Multiply(), (2, 3, 4), (2, 3, 4)),
        call(L.Concatenate(), (2, 3), (2, 1), (2, 2)),
        call(L.Concatenate(axis=1), (2, 3, 2), (2, 1, 2), spec=[[None, None, 2], [None, None, 2]]),
        call(L.Rescaling(0.5), (2, 4)),
        call(L.Rescaling(1 / 255.0, offset=-1), data=[np.arange(6, dtype="uint8").reshape(2, 3)]),
        call(L.Rescaling([1.5, 2.5, 3.5], offset=[[1.0], [2.0]]), (2, 2, 3)),
        call(L.Rescaling(0.5, dtype="float16"), (2, 4), dtype="float64"),
        call(L.ZeroPadding2D(), image),
        call(L.ZeroPadding2D((1, 2)), image, spec=image_spec),
        call(L.ZeroPadding2D(((1, 2), (0, 3)), **first), image),
        call(L.Embedding(5, 3), data=[np.array([[0, 4, 2], [-1, 1, 1]], "int32")]),
        call(L.Embedding(5, 3), data=[np.array([[0, 4.75, 2]], "float32")]),
        call(L.Embedding(5, 3, dtype="mixed_float16"), data=[np.array([[0, 4], [2, 3]], "uint8")]),
    ]


def draws():
    cases = [
        (L.Dropout(0.3, seed=1), (3, 5), "float32"),
        (L.Dropout(0.5, noise_shape=(None, 1, 4), seed=2**40 + 3), (2, 3, 4), "float32"),
        (L.Dropout(0.25, seed=4, dtype="float16"), (4, 9), "float16"),
        (L.Dropout(0.25, seed=5, dtype="bfloat16"), (4, 9), "float32"),
        (L.Dropout(0.25, seed=15, dtype="float64"), (4, 9), "float64"),
        (L.Dropout(1.0, seed=6), (2, 3), "float32"),
        (L.SpatialDropout1D(0.4, seed=7), (2, 3, 5), "float32"),
        (L.SpatialDropout2D(0.4, seed=8, data_format="channels_first"), (2, 5, 2, 3), "float32"),
        (L.SpatialDropout2D(0.4, seed=9, data_format="channels_last"), (2, 2, 3, 5), "float32"),
        (L.SpatialDropout3D(0.4, seed=10), (2, 2, 2, 2, 3), "float32"),
        (L.AlphaDropout(0.3, seed=11), (3, 7), "float32"),
        (L.AlphaDropout(0.3, noise_shape=(3, 1), seed=12), (3, 7), "float32"),
        (L.AlphaDropout(0.3, seed=16, dtype="float64"), (3, 7), "float64"),
        (L.GaussianNoise(0.7, seed=13), (3, 5), "float32"),
        (L.GaussianNoise(0.7, seed=13, dtype="float16"), (2, 2), "float16"),
        (L.GaussianNoise(0.7, seed=17, dtype="float64"), (3, 3), "float64"),
        (L.GaussianDropout(0.2, seed=14), (1, 6), "float32"),
    ]
    items = []
    for layer, shape, dtype in cases:
        x = np.random.default_rng(len(items)).standard_normal(shape).astype(dtype)
        layer(x, training=True)  # builds it, and counts on
        state = layer.seed_generator.state if hasattr(layer, "seed_generator") else None
        item = {"layer": keras.saving.serialize_keras_object(layer), "inputs": [tensor(x)], "training": True,
                "spec": [list(shape)]}
        before = np.asarray(state, dtype="int64")
        y = layer(x, training=True)
        after = np.asarray(state, dtype="int64")
        if (before != after).any():
            item |= {"weights": [tensor(before)], "after": [tensor(after)]}
        items.append(item | {"output": tensor(y)})
    return items


def penalties():
    from keras import constraints as C
    from keras import regularizers as R

    # Each part has numbers of its own, so that none can stand in for another.
    rules = [
        (R.L2(0.01), C.MaxNorm(0.5, axis=0)),
        (R.L1(0.02), C.UnitNorm(axis=-1)),
        (R.L1L2(0.03, 0.05), C.MinMaxNorm(0.25, 0.75, rate=0.5, axis=0)),
    ]

    def part(*names, activity=R.L2(0.5)):
        options = {} if activity is None else {"activity_regularizer": activity}
        for name, (regularizer, constraint) in zip(names, rules):
            options |= {f"{name}_regularizer": regularizer, f"{name}_constraint": constraint}
        return options

    gates = part("kernel", "recurrent", "bias")
    image, sequence = (2, 4, 4, 2), (2, 3, 2)
    cases = [
        (L.Dense(3, **part("kernel", "bias")), (2, 4)),
        (L.Dense(3, kernel_regularizer="l2", bias_constraint="non_neg", activity_regularizer="l1"), (2, 4)),
        (L.Dense(3, kernel_regularizer=R.OrthogonalRegularizer(0.5), kernel_constraint=C.MaxNorm(0.5, axis=[0, 1])), (2, 4)),
        (L.Dense(3, kernel_regularizer=R.OrthogonalRegularizer(0.5, mode="columns"), kernel_constraint=C.MaxNorm(0.5, axis=None)), (2, 4)),
        (L.Dense(3, kernel_regularizer=R.L1L2(l1=0.25), kernel_constraint=C.MinMaxNorm(2, 3)), (2, 4)),
        (L.Dense(3, kernel_regularizer="orthogonal_regularizer", kernel_constraint="unit_norm"), (2, 4)),
        (L.Dense(3, trainable=False, **part("kernel", "bias")), (2, 4)),
        (L.Dense(3, dtype="mixed_bfloat16", kernel_regularizer=R.L2(0.5)), (2, 4)),
        (L.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", **part("kernel", "bias")), (2, 3, 4)),
        (L.Conv2D(3, 2, **part("kernel", "bias")), image),
        (L.Conv2DTranspose(3, 2, **part("kernel", "bias")), image),
        (L.DepthwiseConv2D(2, **part("depthwise", "bias")), image),
        (L.SeparableConv2D(3, 2, **part("depthwise", "pointwise", "bias")), image),
        (L.BatchNormalization(**part("gamma", "beta")), (3, 4)),
        (L.LayerNormalization(**part("gamma", "beta")), (3, 4)),
        (L.GroupNormalization(2, **part("gamma", "beta")), (3, 4)),
        (L.PReLU(**part("alpha")), (3, 4)),
        (L.Embedding(5, 3, **part("embeddings")), (2, 3)),
        (L.SimpleRNN(3, return_sequences=True, **gates), sequence),
        (L.LSTM(3, **gates), sequence),
        (L.GRU(3, return_sequences=True, **gates), sequence),
        (L.ConvLSTM2D(2, 2, **gates), (2, 2, 3, 3, 1)),
        (L.Bidirectional(L.LSTM(2, **gates)), sequence),
        (L.TimeDistributed(L.Dense(3, **part("kernel", "bias"))), (2, 3, 4)),
        (L.MultiHeadAttention(2, 3, **part("kernel", "bias")), (2, 3, 4)),
        (L.GroupQueryAttention(3, 4, 2, **part("kernel", "bias")), (2, 3, 4)),
        (L.ActivityRegularization(0.25, 0.5), (2, 4)),
        (L.ReLU(activity_regularizer="l2"), (2, 4)),
    ]
    items = []
    for layer, shape in cases:
        random = np.random.default_rng(len(items))
        x = random.integers(0, 5, shape).astype("int32") if isinstance(layer, L.Embedding) else random.uniform(-1, 1, shape).round(2).astype("float32")
        inputs = (x, x) if "Attention" in type(layer).__name__ else (x,)
        layer(*inputs)
        layer.set_weights([random.uniform(-1, 1, w.shape).round(2) for w in layer.weights])
        item = {"layer": keras.saving.serialize_keras_object(layer), "inputs": [tensor(x)] , "count": len(inputs),
                "weights": [tensor(w) for w in layer.weights]}
        layer(*inputs, training=True)
        item["loss"] = float(np.sum([float(loss) for loss in layer.losses]))
        for weight in layer.trainable_weights:
            if weight.constraint is not None:
                weight.assign(weight.constraint(weight))
        item["after"] = [tensor(w) for w in layer.weights]
        items.append(item)
    return items


def dropouts():
    sequence, pair = (2, 4, 3), (2, 3, 4)
    cells = lambda: [L.LSTMCell(2, dropout=0.3, seed=1), L.GRUCell(3, recurrent_dropout=0.4, seed=2)]
    cases = [
        (L.SimpleRNN(3, dropout=0.4, seed=3), [sequence]),
        (L.SimpleRNN(3, dropout=0.4, recurrent_dropout=0.3, seed=3, return_sequences=True), [sequence]),
        (L.LSTM(3, dropout=0.4, seed=4), [sequence]),
        (L.LSTM(3, recurrent_dropout=0.4, seed=5, return_sequences=True), [sequence]),
        (L.LSTM(3, dropout=0.3, recurrent_dropout=0.4, seed=5, go_backwards=True), [sequence]),
        (L.GRU(3, dropout=0.4, seed=6, return_sequences=True), [sequence]),
        (L.GRU(3, dropout=0.3, recurrent_dropout=0.4, seed=7), [sequence]),
        (L.GRU(3, recurrent_dropout=0.4, reset_after=False, seed=8), [sequence]),
        (L.RNN(cells(), return_sequences=True), [sequence]),
        (L.Bidirectional(L.LSTM(3, dropout=0.4, recurrent_dropout=0.3, seed=9)), [sequence]),
        (L.TimeDistributed(L.Dropout(0.4, seed=14)), [sequence]),
        (L.TimeDistributed(L.BatchNormalization()), [sequence]),
        (L.Attention(dropout=0.4, seed=10), [pair, pair]),
        (L.AdditiveAttention(dropout=0.4, seed=11), [pair, pair]),
        (L.MultiHeadAttention(2, 3, dropout=0.4, seed=12), [pair, pair]),
        (L.GroupQueryAttention(3, 4, 2, dropout=0.4, seed=13), [pair, pair]),
    ]
    return trained(cases)


def augmentations():
    images = [(3, 5, 6, 2)]
    cases = [
        (L.RandomFlip(seed=1), images),
        (L.RandomFlip("horizontal", seed=2), images),
        (L.RandomFlip("vertical", seed=3, data_format="channels_first"), [(6, 2, 3, 4)]),
        (L.RandomFlip(seed=3), [(5, 6, 2)]),
        (L.RandomFlip(seed=4, dtype="float16"), images),
        (L.RandomFlip(seed=5, dtype="float64"), images, "uint8"),
        (L.RandomCrop(3, 4, seed=6), images),
        (L.RandomCrop(3, 4, seed=6, data_format="channels_first"), [(2, 3, 7, 9)], "uint8"),
        (L.RandomCrop(3, 4, seed=7), [(5, 6, 2)]),
        (L.RandomCrop(7, 4, seed=8), images),
        (L.RandomCrop(5, 6, seed=9, dtype="float16"), images),
        (L.RandomTranslation(0.3, 0.4, seed=10), images),
        (L.RandomTranslation((-0.9, -0.3), (0.7, 0.8), "wrap", seed=11), images),
        (L.RandomTranslation(0.5, 0.9, "nearest", data_format="channels_first", seed=12), [(6, 2, 5, 4)]),
        (L.RandomTranslation(0.5, 0.0, "constant", fill_value=2.5, seed=13), [(5, 6, 2)]),
        (L.RandomRotation(0.2, seed=14), images),
        (L.RandomRotation((0.1, 0.4), "wrap", seed=15), [(4, 9, 6, 1)]),
        (L.RandomRotation(1.0, "constant", "nearest", fill_value=-1.5, seed=16), images),
        (L.RandomRotation((-0.4, 0.1), "nearest", data_format="channels_first", seed=17), [(2, 7, 5)]),
        (L.RandomRotation(0.3, seed=18, dtype="mixed_bfloat16"), images),
        (L.RandomRotation(0.3, seed=18, dtype="float64"), images),
        (L.RandomZoom(0.5, seed=19), images),
        (L.RandomZoom((0.3, 0.9), (-0.9, -0.2), seed=20), images),
        (L.RandomZoom(1.0, 0.6, "wrap", "nearest", seed=21), [(5, 7, 8, 1)]),
        (L.RandomZoom((0.2, 0.8), (0.1, 0.9), "constant", fill_value=0.5, seed=22, dtype="float16"), images),
        (L.RandomZoom(0.4, data_format="channels_first", seed=23), [(2, 6, 7)], "uint8"),
        (L.RandomShear(0.4, 0.2, seed=24), images),
        (L.RandomShear((0.1, 0.9), fill_mode="wrap", seed=25), images),
        (L.RandomShear(y_factor=0.7, fill_mode="constant", fill_value=3.0, seed=26, dtype="mixed_float16"), images),
        (L.RandomShear(0.5, 0.5, "nearest", data_format="channels_first", seed=27, dtype="float64"), [(3, 2, 6, 5)]),
        (L.RandomPerspective(seed=28), images),
        (L.RandomPerspective((0.2, 0.8), 0.5, "nearest", fill_value=2.0, seed=29), [(6, 7, 5, 1)]),
        (L.RandomPerspective(1.0, 0.9, data_format="channels_first", seed=30), [(2, 5, 6)], "uint8"),
        (L.RandomElasticTransform(seed=31), images, "float32"),
        (L.RandomElasticTransform((0.6, 1.0), (0.8, 1.0), "nearest", "constant", 7.5, (10, 200), 32, "channels_first"),
         [(2, 1, 24, 22)], "float32"),
        (L.RandomElasticTransform((0.9, 1.0), 0.9, fill_mode="wrap", seed=33), [(2, 21, 26, 1)], "uint8"),
        (L.RandomElasticTransform((1.0, 1.0), (0.9, 1.0), fill_mode="nearest", seed=34), [(20, 23, 2)], "float32"),
        (L.RandomElasticTransform((1.0, 1.0), (0.9, 1.0), seed=35, dtype="float64"), [(2, 21, 20, 1)], "float64"),
        (L.RandomElasticTransform((1.0, 1.0), (0.2, 0.4), seed=36, dtype="float16"), images, "float32"),
        (L.RandomElasticTransform(0.0, seed=38), images),
        (L.RandomElasticTransform(scale=0, seed=39), images),
    ]
    return trained(cases)


def colors():
    many, one, first = [(5, 3, 4, 3)], [(4, 3, 3)], {"data_format": "channels_first"}
    turned = [(4, 3, 2, 5)]
    jitter = {"brightness_factor": 0.3, "contrast_factor": 0.5, "saturation_factor": 0.4, "hue_factor": 0.3}
    cases = [
        (L.RandomContrast(0.5, seed=1), many, "float32"),
        (L.RandomContrast((0.9, 0.3), (10, 200), seed=2, **first), turned, "float32"),
        (L.RandomContrast(0.5, seed=3, dtype="float16"), many, "float32"),
        (L.RandomContrast(0.5, seed=3, dtype="float64"), one, "float64"),
        (L.RandomBrightness(0.5, seed=4), many, "float32"),
        (L.RandomBrightness((-0.1, 0.7), (20, 220), seed=5), one, "float32"),
        (L.RandomBrightness(0.5, seed=6, dtype="bfloat16"), many, "float32"),
        (L.RandomGrayscale(0.5, seed=7), many, "float32"),
        (L.RandomGrayscale(0.5, seed=8, **first), turned, "float32"),
        (L.RandomGrayscale(1, seed=8), [(2, 2, 2, 1)], "float32"),
        (L.RandomInvert(0.7, seed=9), many, "float32"),
        (L.RandomInvert((0.3, 0.9), (0, 100), seed=10), many, "uint8"),
        (L.RandomHue(0.6, seed=11), many, "float32"),
        (L.RandomHue((0.2, 1.0), seed=12, **first), turned, "uint8"),
        (L.RandomSaturation(0.8, seed=13), many, "float32"),
        (L.RandomSaturation((0.1, 0.4), (0, 1), seed=14, **first), turned, "float32"),
        (L.RandomColorJitter(seed=15, **jitter), many, "float32"),
        (L.RandomColorJitter(contrast_factor=(0.2, 0.9), seed=16, **first), turned, "uint8"),
        (L.RandomColorJitter(hue_factor=0.9, value_range=(0, 300), seed=17), one, "float32"),
        (L.RandomColorDegeneration(0.8, seed=18), many, "float32"),
        (L.RandomColorDegeneration((0.1, 0.9), (50, 180), seed=19, **first), turned, "uint8"),
        (L.RandomPosterization(6, seed=20), many, "float32"),
        (L.RandomPosterization((2, 5), seed=21), many, "uint8"),
        (L.RandomPosterization((3, 3), (-10, 300), seed=22), many, "float32"),
        (L.RandomSharpness(0.9, seed=23), many, "float32"),
        (L.RandomSharpness((0.1, 0.4), (30, 220), seed=24, **first), turned, "uint8"),
        (L.RandomGaussianBlur(0.8, seed=25), many, "float32"),
        (L.RandomGaussianBlur((0.4, 0.9), 5, (0.5, 1.0), (30, 220), seed=26, **first), turned, "uint8"),
        (L.RandomGaussianBlur(1.0, (3, 5), 0.7, seed=27), many, "float32"),
        (L.RandomErasing(0.9, (0.2, 0.6), seed=28), many, "float32"),
        (L.RandomErasing((0.5, 1.0), (0.2, 0.6), seed=29, **first), turned, "uint8"),
        (L.RandomErasing(1.0, 0.7, 7.5, (10, 200), seed=30), many, "float32"),
        (L.RandomErasing(1.0, (0.3, 0.8), (5, 100, 250), seed=31), one, "float32"),
        (L.RandomErasing(1.0, (0.3, 0.8), seed=32, dtype="float64"), many, "float64"),
        (L.Solarization(0.3, 0.9, seed=33), many, "float32"),
        (L.Solarization((0.1, 0.2), (0.4, 0.6), (-20, 250), seed=34, **first), turned, "uint8"),
        (L.Solarization(seed=35), one, "uint8"),
        (L.Equalization(), many, "float32"),
        (L.Equalization((-20, 300), 16, **first), turned, "uint8"),
        (L.Equalization((1, -1), 7), one),
        (L.Equalization(bins=40, dtype="float16"), one, "float32"),
        (L.Equalization(), [(1, 1, 1, 3)], "float32"),
        (L.Equalization((5, 300), 1), [(1, 2, 2, 3)], "float32"),
    ]
    items = trained(cases)
    items[-4]["layer"]["config"]["value_range"] = [1, -1]  # Keras sorts it when it reads it, too
    return items


def mixes():
    many, one, first = [(7, 4, 5, 2)], [(4, 3, 2)], {"data_format": "channels_first"}
    cases = [
        (L.MixUp(seed=1), many),
        (L.MixUp(seed=70), [(400, 1, 1, 1)]),  # two of the numbers it sorts are equal
        (L.MixUp(1.0, seed=3, **first), many),
        (L.MixUp(2.5, seed=4), [(40, 1, 2, 1)], "uint8"),
        (L.MixUp(0.0, seed=5), many),
        (L.MixUp(seed=6), one),
        (L.MixUp(0.4, seed=7, dtype="float64"), many),
        (L.MixUp(0.4, seed=8, dtype="mixed_float16"), many),
        (L.MixUp(0.4, seed=9, dtype="bfloat16"), many),
        (L.CutMix(seed=10), many),
        (L.CutMix(0.6, seed=11, **first), many),
        (L.CutMix((0.5, 0.9), seed=12), [(20, 6, 5, 1)], "uint8"),
        (L.CutMix((1.0, 1.0), seed=13), [(30, 4, 4, 1)]),
        (L.CutMix(seed=14), one),
        (L.CutMix(0.0, seed=15), many),
        (L.CutMix(seed=16, dtype="float64"), many),
        (L.CutMix(seed=17, dtype="mixed_float16"), many),
    ]
    return trained(cases)


def policies():
    many, one, first = [(5, 6, 7, 3)], [(4, 5, 3)], {"data_format": "channels_first"}
    strong = {"num_ops": 6, "factor": (0.2, 0.9)}
    cases = [
        *((L.RandAugment(seed=seed), many, "float32") for seed in range(1, 5)),
        (L.RandAugment((-20, 300), **strong, seed=5, **first), [(4, 3, 6, 5)], "uint8"),
        (L.RandAugment((0, 255), 5, 1.0, "nearest", seed=6), one, "float32"),
        (L.RandAugment((-1, 1), 9, 0.4, seed=7), [(3, 6, 5, 1)]),
        (L.RandAugment(**strong, seed=8, dtype="float64"), many, "float64"),
        (L.RandAugment(num_ops=1, factor=0.0, seed=9), many, "float32"),
        (L.RandAugment(num_ops=3, seed=11, dtype="float16"), one, "float32"),
        *((L.AugMix(seed=seed), many, "float32") for seed in range(12, 15)),
        (L.AugMix((-20, 300), 2, 9, (0.2, 0.9), 0.7, seed=2**32 + 15, **first), [(4, 3, 6, 5)], "uint8"),
        (L.AugMix((-1, 1), 5, 4, 0.6, 2.0, all_ops=False, interpolation="nearest", seed=16), [(3, 6, 5, 2)]),
        (L.AugMix(num_chains=1, chain_depth=0, seed=0), one, "float32"),
        (L.AugMix(num_chains=4, seed=18, dtype="float64"), many, "float64"),
        (L.AugMix(seed=19, dtype="float16"), one, "float32"),
    ]
    return trained(cases)


def trained(cases):
    """Calls of layers, in training and then without, on inputs of some shapes, and of a dtype (else float32)."""
    items = []
    for layer, shapes, *dtype in cases:
        random = np.random.default_rng(len(items))
        low, high = (0, 255) if dtype else (-1, 1)
        inputs = [random.uniform(low, high, shape).round(2).astype(*dtype or ["float32"]) for shape in shapes]
        many = type(layer).__name__ in ("Attention", "AdditiveAttention")
        arguments = [inputs] if many else inputs
        layer(*arguments, training=True)
        weights = layer.weights
        layer.set_weights([random.uniform(-1, 1, w.shape).round(2) for w in weights])
        item = {"layer": keras.saving.serialize_keras_object(layer), "inputs": [tensor(x) for x in inputs], "list": many,
                "weights": [tensor(w) for w in weights]}
        states = [v for v in layer.variables if all(v is not w for w in weights)]
        # Keras gives every layer with an option `seed` a generator; those that draw nothing do not matter.
        before = [np.asarray(s, dtype="int64") for s in states]
        random_of_python.seed(getattr(layer, "seed", None))  # chooses what AugMix does
        item["output"] = tensor(layer(*arguments, training=True))
        layer(*arguments, training=False)  # what some draw for nothing counts, too
        after = [np.asarray(s, dtype="int64") for s in states]
        drawn = [i for i in range(len(states)) if (before[i] != after[i]).any()]
        item |= {"states": [tensor(before[i]) for i in drawn], "after": [tensor(after[i]) for i in drawn]}
        items.append(item)
    return items


if __name__ == "__main__":
    for makes in (configs, activations, calls, draws, dropouts, augmentations, colors, mixes, policies, penalties):
        name = makes.__name__ if makes is activations else "layer_" + makes.__name__
        if len(sys.argv) < 2 or makes.__name__ in sys.argv[1:]:
            write(name + ".json", makes())
