"""What every layer of a Keras model gives, in the form that `keratin diff` reads: arrays by layer path.

    python layers.py MODEL.keras INPUTS.npz LAYERS.npz        needs keras and numpy

INPUTS.npz holds the inputs by name; where it is "-" they are made up: normal floats, integers of 0 and 1, two samples, 8
along open axes. The layers of nested models have the model's name before theirs; a layer's second call is "name@1", its
second output "name:1". `keratin diff --keras` runs this file.
"""

import sys

import keras
import numpy as np


def made_up(tensor):
    random = np.random.default_rng(0)
    shape = [size or (8 if axis else 2) for axis, size in enumerate(tensor.shape)]
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return random.standard_normal(shape).astype(dtype) if "float" in dtype else random.integers(0, 2, shape).astype(dtype)


def outputs_of_layers(model, inputs):
    """inputs: arrays by name. Goes through the calls of the model, and of the models in it, as Keras would."""
    found = dict(inputs)

    def note(path, call, outputs):
        for i, output in enumerate(keras.tree.flatten(outputs)):
            found[path + (f"@{call}" if call else "") + (f":{i}" if i else "")] = np.asarray(output)

    def run(layer, args, kwargs, prefix, call):
        path = prefix + layer.name
        if isinstance(layer, (keras.Sequential, keras.Model)):
            outputs = walk(layer, keras.tree.flatten(args), path + "/", call)
            outputs = outputs if len(outputs) > 1 else outputs[0]
        else:
            outputs = layer(*args, **kwargs)
        note(path, call, outputs)
        return outputs

    def walk(model, values, prefix, outer):
        if isinstance(model, keras.Sequential):
            for i, layer in enumerate(model.layers):
                call = outer * model.layers.count(layer) + model.layers[:i].count(layer)
                values = keras.tree.flatten(run(layer, [values[0] if len(values) == 1 else values], {}, prefix, call))
            return values
        known = {id(tensor): value for tensor, value in zip(model.inputs, values)}
        mine = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
        fill = lambda x: known.get(id(x), x)
        for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
            for node in nodes:
                layer = node.operation
                if isinstance(layer, keras.layers.InputLayer):
                    continue
                calls = [other for other in layer._inbound_nodes if id(other) in mine]
                args, kwargs = keras.tree.map_structure(fill, (node.arguments.args, node.arguments.kwargs))
                results = run(layer, args, kwargs, prefix, outer * len(calls) + calls.index(node))
                known.update(zip(map(id, node.outputs), keras.tree.flatten(results)))
        return [known[id(tensor)] for tensor in model.outputs]

    walk(model, [inputs[tensor.name] for tensor in model.inputs], "", 0)
    return found


def main(model_path, inputs_path, output_path):
    model = keras.models.load_model(model_path)
    given = {} if inputs_path == "-" else dict(np.load(inputs_path))
    inputs = {}
    for tensor in model.inputs:
        if given and tensor.name not in given:
            raise SystemExit(f"{inputs_path} holds no array for the input '{tensor.name}'")
        inputs[tensor.name] = given[tensor.name] if given else made_up(tensor)
    np.savez(output_path, **outputs_of_layers(model, inputs))


if __name__ == "__main__":
    main(*sys.argv[1:])
