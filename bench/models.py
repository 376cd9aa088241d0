"""The benchmark's models: Keras definitions, saved in the form that each system reads, with inputs and expected outputs.

    python bench/models.py OUT [NAME ...]      needs what bench/requirements.txt lists

Writes NAME.keras, NAME.onnx, and for each batch size NAME.BATCH.npz (x, and y by Keras) and NAME.BATCH.tflite.
"""

import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import tensorflow
from keras import layers as L
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

VOCABULARY = 8000


def mlp():
    return keras.Sequential(
        [L.Input((784,)), L.Dense(512, "relu"), L.Dense(512, "relu"), L.Dense(10, "softmax")]
    )


def tabular():
    return keras.Sequential([L.Input((13,)), L.Dense(64, "relu"), L.Dense(64, "relu"), L.Dense(1, "sigmoid")])


def convnet():
    return keras.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Conv2D(32, 3, activation="relu"),
            L.MaxPooling2D(2),
            L.Conv2D(64, 3, activation="relu"),
            L.MaxPooling2D(2),
            L.Flatten(),
            L.Dropout(0.5),
            L.Dense(10, "softmax"),
        ]
    )


def resnet20():
    def block(x, filters, strides=1, activate=True):
        x = L.Conv2D(filters, 3, strides, "same", use_bias=False)(x)
        x = L.BatchNormalization()(x)
        return L.ReLU()(x) if activate else x

    image = L.Input((32, 32, 3))
    x = block(image, 16)
    for stage, filters in enumerate((16, 32, 64)):
        for index in range(3):
            strides = 2 if stage and not index else 1
            y = block(block(x, filters, strides), filters, activate=False)
            if strides != 1:
                x = L.Conv2D(filters, 1, strides)(x)
            x = L.ReLU()(L.Add()([x, y]))
    return keras.Model(image, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x)))


def transformer(layers=4, width=256, heads=4, length=128):
    tokens = L.Input((length,), dtype="int32")
    x = L.Embedding(VOCABULARY, width)(tokens)
    for _ in range(layers):
        attention = L.MultiHeadAttention(heads, width // heads)(x, x)
        x = L.LayerNormalization()(L.Add()([x, attention]))
        hidden = L.Dense(width)(L.Dense(4 * width, "gelu")(x))
        x = L.LayerNormalization()(L.Add()([x, hidden]))
    return keras.Model(tokens, L.Dense(4, "softmax")(L.GlobalAveragePooling1D()(x)))


def lstm():
    return keras.Sequential(
        [L.Input((100, 64)), L.LSTM(128, return_sequences=True), L.LSTM(128), L.Dense(5, "softmax")]
    )


def mobilenetv2():
    return keras.applications.MobileNetV2(weights=None, classifier_activation=None)


def resnet50():
    return keras.applications.ResNet50(weights=None, classifier_activation=None)


MODELS = {
    "tabular": (tabular, (1, 256)),
    "mlp": (mlp, (1, 64)),
    "convnet": (convnet, (1, 64)),
    "resnet20": (resnet20, (1, 16)),
    "transformer": (transformer, (1, 8)),
    "lstm": (lstm, (1, 32)),
    "mobilenetv2": (mobilenetv2, (1, 4)),
    "resnet50": (resnet50, (1, 4)),
}


def build(name):
    """The model with seeded weights, and statistics of batch normalization that are not trivial."""
    keras.utils.set_random_seed(7)
    model = MODELS[name][0]()
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [random.uniform(0.7, 1.3, shape), random.normal(0, 0.1, shape)]
                + [random.normal(0, 0.1, shape), random.uniform(0.7, 1.3, shape)]
            )
    return model


def sample(model, batch):
    random, tensor = np.random.default_rng(0), model.inputs[0]
    shape = (batch, *tensor.shape[1:])
    if "int" in tensor.dtype:
        return random.integers(0, VOCABULARY, shape).astype("int32")
    return random.standard_normal(shape).astype("float32")


def save_onnx(model, path):
    """As Keras exports it, but with Erfc, which tf2onnx leaves unconverted in Keras's gelu, as 1 - Erf."""
    model.export(path, format="onnx", verbose=False)
    proto = onnx.load(path)
    nodes = []
    for node in proto.graph.node:
        if node.op_type == "Erfc":
            erf = node.output[0] + ".erf"
            nodes.append(onnx.helper.make_node("Erf", node.input, [erf]))
            nodes.append(onnx.helper.make_node("Sub", ["bench.one", erf], node.output))
        else:
            nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), "bench.one"))
    onnx.save(proto, path)


def save_tflite(model, x, path):
    function = tensorflow.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tensorflow.TensorSpec(x.shape, x.dtype))
    # Weights as constants: the interpreter does not find variables that loops read.
    frozen = convert_variables_to_constants_v2(concrete)
    path.write_bytes(tensorflow.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or MODELS:
        model = build(name)
        for batch in MODELS[name][1]:
            x = sample(model, batch)
            np.savez(out / f"{name}.{batch}.npz", x=x, y=model.predict_on_batch(x))
            try:
                save_tflite(model, x, out / f"{name}.{batch}.tflite")
            except Exception as error:
                print(f"{name}: no .tflite: {str(error).splitlines()[0]}", flush=True)
        save_onnx(model, out / f"{name}.onnx")
        model.save(out / f"{name}.keras")
        print(name, model.count_params(), "parameters", flush=True)
