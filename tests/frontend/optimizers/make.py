#!/usr/bin/env python3
"""Writes updates.npz: every optimizer with every option, 20 steps of Keras's on TensorFlow, and classes.json: options by class.

usage: python tests/frontend/optimizers/make.py

updates.npz holds
  variables           paths and shapes of what is trained, one a line, as bytes
  gradients           [steps, numbers] those of all variables one behind the other
  NAME/gradients      of this case alone; else they are the above
  NAME/optimizer      serialised, as bytes
  NAME/layout         path, dtype and shape of each of the optimizer's variables, one a line, as bytes
  NAME/states         [steps + 1, numbers] all variables, then all of the optimizer's, before the first step and after each
Steps are to be compared one by one, from Keras's state before to Keras's state after.
"""
import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
from keras import optimizers as O

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 20
VARIABLES = {
    "scale/alpha": (), "dense/bias": (3,), "dense/kernel": (3, 2), "embedding/embeddings": (2, 2),
    "attention/kernel": (1, 2, 2), "conv/kernel": (2, 1, 1, 2),
}
SIZES = [int(np.prod(shape)) for shape in VARIABLES.values()]
CASES = {}


def case(name, optimizer, gradients=None):
    assert name not in CASES
    CASES[name] = (optimizer, gradients)


def usual_gradients():
    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal(size=(STEPS, 1)))
    x = (rng.normal(size=(STEPS, sum(SIZES))) * sizes).astype("float32")
    x[:, sum(SIZES[:3]):sum(SIZES[:3]) + 2] = 0  # a row of the embedding that is never looked up
    return x


def overflowing_gradients():
    x = usual_gradients()
    x[3, 5], x[4, 0], x[11, -1] = np.inf, np.nan, -np.inf
    return x


def large_gradients():  # nothing but clipping keeps them; and one step of zeros
    x = usual_gradients() * 100
    x[7] = 0
    return x


def classes():
    case("sgd", O.SGD(0.1))
    case("sgd_momentum", O.SGD(0.1, momentum=0.9))
    case("sgd_nesterov", O.SGD(0.1, momentum=0.8, nesterov=True))
    case("rmsprop", O.RMSprop(0.01))
    case("rmsprop_options", O.RMSprop(0.01, rho=0.8, momentum=0.7, epsilon=1e-3, centered=True))
    case("rmsprop_momentum", O.RMSprop(0.01, momentum=0.5))
    case("adagrad", O.Adagrad(0.01))
    case("adagrad_options", O.Adagrad(0.01, initial_accumulator_value=0.5, epsilon=1e-2))
    case("adadelta", O.Adadelta(0.5))
    case("adadelta_options", O.Adadelta(0.5, rho=0.8, epsilon=1e-2))
    case("adam", O.Adam(0.01))
    case("adam_options", O.Adam(0.01, beta_1=0.7, beta_2=0.9, epsilon=1e-2, amsgrad=True))
    case("adam_w", O.AdamW(0.01))
    case("adam_w_options", O.AdamW(0.01, beta_1=0.7, beta_2=0.9, epsilon=1e-2, amsgrad=True, weight_decay=0.5))
    case("adamax", O.Adamax(0.01))
    case("adamax_options", O.Adamax(0.01, beta_1=0.7, beta_2=0.8, epsilon=1e-2))
    case("nadam", O.Nadam(0.01))
    case("nadam_options", O.Nadam(0.01, beta_1=0.7, beta_2=0.9, epsilon=1e-2))
    case("ftrl", O.Ftrl(0.1))
    case("ftrl_options", O.Ftrl(
        0.1, learning_rate_power=-0.7, initial_accumulator_value=0.3, l1_regularization_strength=0.05,
        l2_regularization_strength=0.1, l2_shrinkage_regularization_strength=0.2, beta=0.3))
    case("lion", O.Lion(0.01))
    case("lion_options", O.Lion(0.01, beta_1=0.5, beta_2=0.8))
    case("lamb", O.Lamb(0.01))
    case("lamb_options", O.Lamb(0.01, beta_1=0.7, beta_2=0.9, epsilon=1e-2))
    case("adafactor", O.Adafactor(0.1))
    case("adafactor_options", O.Adafactor(
        2.0, beta_2_decay=-0.5, epsilon_1=1e-3, epsilon_2=0.5, clip_threshold=0.7, relative_step=False))
    case("muon", O.Muon(0.01))
    case("muon_options", O.Muon(
        0.01, adam_beta_1=0.7, adam_beta_2=0.9, epsilon=1e-2, muon_a=3.0, muon_b=-4.0, muon_c=2.0, adam_lr_ratio=0.3,
        momentum=0.8, ns_steps=2, nesterov=False, rms_rate=None, exclude_embeddings=False, adam_weight_decay=0.1,
        weight_decay=None))
    case("muon_excludes", O.Muon(0.01, exclude_layers=["^emb", "nse/ke"], exclude_embeddings=False, adam_weight_decay=None))
    case("schedule_free", O.ScheduleFreeAdamW(0.01))
    case("schedule_free_options", O.ScheduleFreeAdamW(
        0.01, beta_1=0.7, beta_2=0.9, epsilon=1e-2, warmup_steps=5, weight_decay=0.1))
    case("loss_scale", O.LossScaleOptimizer(
        O.SGD(0.1, momentum=0.9, weight_decay=0.1), initial_scale=64.0, dynamic_growth_steps=3), overflowing_gradients())
    case("loss_scale_adam", O.LossScaleOptimizer(
        O.Adam(0.01, gradient_accumulation_steps=2, use_ema=True), name="scaled"), overflowing_gradients())
    case("loss_scale_adafactor", O.LossScaleOptimizer(O.Adafactor(0.1)), overflowing_gradients())


def several():
    case("multi", O.MultiOptimizer(O.OptimizerMap(O.SGD(0.1, momentum=0.9), {
        "dense/.*": O.Adam(0.01), "embed+ing/embeddings": O.SGD(0.5), "embedding/embeddings": O.Adagrad(0.02),
        "conv": O.Lion(0.3), "[c-d]onv/(kernel|bias)": O.RMSprop(0.01)}), loss_scale_factor=4.0))
    case("multi_options", O.MultiOptimizer(O.OptimizerMap(O.Nadam(0.01), {
        r".+/(kernel|bias|alpha|embeddings)": O.SGD(0.1, use_ema=True, global_clipnorm=1.0, gradient_accumulation_steps=2)})))
    case("loss_scale_multi", O.LossScaleOptimizer(O.MultiOptimizer(O.OptimizerMap(
        O.SGD(O.schedules.ExponentialDecay(0.1, 5, 0.5), weight_decay=0.1), {"dense/.*": O.Adafactor(0.1)}))),
        overflowing_gradients())


def options():
    case("decay", O.SGD(0.1, weight_decay=0.3))
    case("clipnorm", O.SGD(0.01, clipnorm=1.5), large_gradients())
    case("clipvalue", O.SGD(0.1, clipvalue=0.4))
    case("global_clipnorm", O.SGD(0.01, global_clipnorm=2.5), large_gradients())
    case("global_clipnorm_overflow", O.SGD(0.1, global_clipnorm=5.0), overflowing_gradients())
    case("average", O.SGD(0.1, use_ema=True, ema_momentum=0.8))
    case("average_overwrites", O.Adam(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3))
    case("accumulation", O.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3, clipnorm=1.0, weight_decay=0.1))
    case("accumulation_nadam", O.Nadam(0.01, gradient_accumulation_steps=4))
    case("accumulation_average", O.SGD(
        0.1, gradient_accumulation_steps=2, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=3))
    case("schedule", O.SGD(O.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9, weight_decay=0.1))
    case("schedule_accumulation", O.SGD(O.schedules.InverseTimeDecay(0.1, 5, 0.5), gradient_accumulation_steps=3))
    case("scaled", O.SGD(0.1, momentum=0.5, loss_scale_factor=128.0))


def numbers(variable):
    return np.asarray(variable).astype("float32").ravel()


def run(optimizer, gradients):
    rng = np.random.default_rng(1)
    variables = []
    for path, shape in VARIABLES.items():
        scope, name = path.split("/")
        with keras.name_scope(scope):
            variables.append(keras.Variable(rng.normal(size=shape).astype("float32"), name=name))
        assert variables[-1].path == path
    serialised = keras.saving.serialize_keras_object(optimizer)
    optimizer.build(variables)
    layout = [f"{v.path} {v.dtype} {' '.join(map(str, v.shape))}".strip() for v in optimizer.variables]
    states = []
    for step in range(STEPS + 1):
        states.append(np.concatenate([numbers(v) for v in [*variables, *optimizer.variables]]))
        if step == STEPS:
            break
        parts = np.split(gradients[step], np.cumsum(SIZES)[:-1])
        optimizer.apply([keras.ops.convert_to_tensor(g.reshape(v.shape)) for g, v in zip(parts, variables)], variables)
    return serialised, layout, np.stack(states)


def text(string):
    return np.frombuffer(string.encode(), "uint8")


def main():
    classes()
    several()
    options()
    usual = usual_gradients()
    arrays = {
        "variables": text("\n".join(f"{path} {' '.join(map(str, shape))}".strip() for path, shape in VARIABLES.items())),
        "gradients": usual,
    }
    configs = {}
    for name, (optimizer, gradients) in CASES.items():
        serialised, layout, states = run(optimizer, usual if gradients is None else gradients)
        arrays[f"{name}/optimizer"] = text(json.dumps(serialised))
        arrays[f"{name}/layout"] = text("\n".join(layout))
        arrays[f"{name}/states"] = states
        if gradients is not None:
            arrays[f"{name}/gradients"] = gradients
        keras.backend.clear_session()
        if type(optimizer).__name__ not in configs and type(optimizer) not in (O.LossScaleOptimizer, O.MultiOptimizer):
            configs[type(optimizer).__name__] = type(optimizer)().get_config()
            keras.backend.clear_session()
    np.savez_compressed(os.path.join(HERE, "updates.npz"), **arrays)
    with open(os.path.join(HERE, "classes.json"), "w") as file:
        file.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in configs.items()) + "\n}\n")


if __name__ == "__main__":
    main()
