"""Writes schedules.json: every learning rate schedule with every option at many steps, by Keras on TensorFlow.

python make_schedules.py
"""
import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = [0, 1, 2, 3, 5, 7, 9, 10, 11, 14, 15, 19, 20, 21, 29, 30, 31, 37, 45, 69, 70, 71, 99, 100, 101, 149, 150, 151, 209, 210,
         211, 309, 310, 630, 999, 1000, 1001, 12345, 10**6, 2**24 + 1, 10**9]
cases = []


def add(class_name, **options):
    schedule = getattr(keras.optimizers.schedules, class_name)(**options)
    cases.append({
        "schedule": keras.optimizers.schedules.serialize(schedule),
        "steps": STEPS,
        "values": [float(np.float32(schedule(np.int64(step)))) for step in STEPS],
    })


for name in ["ExponentialDecay", "InverseTimeDecay"]:
    add(name, initial_learning_rate=0.1, decay_steps=10, decay_rate=0.9)
    add(name, initial_learning_rate=0.1, decay_steps=10, decay_rate=0.9, staircase=True)
    add(name, initial_learning_rate=2.5, decay_steps=100.5, decay_rate=0.5, name="slow")
    add(name, initial_learning_rate=0.01, decay_steps=1000, decay_rate=1.00001)
    add(name, initial_learning_rate=0.01, decay_steps=3, decay_rate=0.0)

name = "PolynomialDecay"
add(name, initial_learning_rate=0.1, decay_steps=100)
add(name, initial_learning_rate=0.1, decay_steps=100, end_learning_rate=0.01, power=0.5, name="root")
add(name, initial_learning_rate=0.1, decay_steps=10, cycle=True)
add(name, initial_learning_rate=0.01, decay_steps=150, end_learning_rate=0.1, power=2.0, cycle=True)
add(name, initial_learning_rate=0.01, decay_steps=30.5, power=3)
add(name, initial_learning_rate=0.01, decay_steps=30, power=0)

name = "PiecewiseConstantDecay"
add(name, boundaries=[10, 100], values=[1.0, 0.5, 0.1])
add(name, boundaries=[150], values=[0.01, 0.001], name="once")
add(name, boundaries=[9.9, 20.0, 30.5, 1000.0], values=[0.1, 0.2, 0.05, 0.0, -0.3])
add(name, boundaries=[100, 10], values=[1.0, 0.5, 0.1])
add(name, boundaries=[10, 1000], values=[3, 2, 1])

name = "CosineDecay"
add(name, initial_learning_rate=0.1, decay_steps=100)
add(name, initial_learning_rate=0.1, decay_steps=1000, alpha=0.1, name="high")
add(name, initial_learning_rate=0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)
add(name, initial_learning_rate=0.01, decay_steps=300, alpha=0.05, warmup_target=0.2, warmup_steps=100)
add(name, initial_learning_rate=0.01, decay_steps=300, warmup_target=0.2)
add(name, initial_learning_rate=0.01, decay_steps=30, warmup_steps=20)
add(name, initial_learning_rate=0.01, decay_steps=30.5, warmup_target=0.001, warmup_steps=20.25)

name = "CosineDecayRestarts"
add(name, initial_learning_rate=0.1, first_decay_steps=10)
add(name, initial_learning_rate=0.1, first_decay_steps=10, t_mul=1.0)
add(name, initial_learning_rate=0.1, first_decay_steps=10, t_mul=1.0, m_mul=0.9, alpha=0.01, name="again")
add(name, initial_learning_rate=0.1, first_decay_steps=15, t_mul=1.5, m_mul=0.8)
add(name, initial_learning_rate=0.1, first_decay_steps=7, t_mul=3.0, alpha=0.2)
add(name, initial_learning_rate=0.01, first_decay_steps=100.5, m_mul=1.1)

with open(os.path.join(HERE, "schedules.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
