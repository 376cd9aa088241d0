"""Writes metric_names.json: of which class the metrics are that Keras knows by name, where their numbers are better, and what metrics of models with
one and several outputs are called in logs.

KERAS_BACKEND=tensorflow python make_metric_names.py
"""
import json
import os

import keras
import numpy as np
from keras.src.metrics import ALL_OBJECTS_DICT
from keras.src.trainers.compile_utils import CompileMetrics

# Those that need options, or are none.
EXCEPT = {"MeanMetricWrapper", "Metric", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU", "SensitivityAtSpecificity",
          "SpecificityAtSensitivity", "PrecisionAtRecall", "RecallAtPrecision"}
classes = {name: made.__name__ for name, made in ALL_OBJECTS_DICT.items() if made.__name__ not in EXCEPT}
for name in ("Accuracy", "accuracy"):
    classes[name] = "CategoricalAccuracy"  # by the shapes
OPTIONS = {"IoU": {"num_classes": 2, "target_class_ids": [0]}, "MeanIoU": {"num_classes": 2}, "OneHotMeanIoU": {"num_classes": 2},
           "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]}, "SensitivityAtSpecificity": {"specificity": 0.5},
           "SpecificityAtSensitivity": {"sensitivity": 0.5}, "PrecisionAtRecall": {"recall": 0.5},
           "RecallAtPrecision": {"precision": 0.5}}
BETTER = {"up": 1, "down": -1, None: 0}
better = {made.__name__: BETTER[getattr(made(**OPTIONS.get(made.__name__, {})), "_direction", None)]
          for made in ALL_OBJECTS_DICT.values() if made.__name__ not in ("MeanMetricWrapper", "Metric")}


def logs(outputs, metrics, weighted=None):
    made = CompileMetrics(metrics, weighted, output_names=outputs)
    y = [np.eye(3, dtype="float32") for _ in outputs]
    made.update_state(y if len(y) > 1 else y[0], y if len(y) > 1 else y[0])
    lists = [(x or [[]] * len(outputs)) if len(outputs) > 1 else [x or []] for x in (metrics, weighted)]
    assert sum(map(len, lists[0] + lists[1])) == len(made.result()), (lists, made.result().keys())
    return {"outputs": outputs, "metrics": lists[0], "weighted": lists[1], "names": list(made.result())}


cases = [
    logs(["a"], ["accuracy", "mse", "acc"]),
    logs(["a"], ["mse", "mse", "MSE", "mse"]),
    logs(["a"], ["mse", "mae"], ["mse", "mse", "acc", "mse"]),
    logs(["a"], None, ["mse", "mse"]),
    logs(["a", "b"], [["accuracy"], ["accuracy", "mse"]]),
    logs(["a", "b"], [["mse", "mse"], []], [["mse"], ["mse", "mse"]]),
    logs(["a", "b", "c"], [["mse"], [], ["mae"]], [["mse", "mse", "mse"], ["mae"], ["acc"]]),
]
HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "metric_names.json"), "w") as file:
    classes = ",\n".join(f"  {json.dumps(name)}: {json.dumps(made)}" for name, made in sorted(classes.items()))
    directions = ",\n".join(f"  {json.dumps(name)}: {sign}" for name, sign in sorted(better.items()))
    file.write('{"classes": {\n' + classes + '},\n"better": {\n' + directions + '},\n"logs": [\n' + ",\n".join("  " + json.dumps(x) for x in cases) + "\n]}\n")
