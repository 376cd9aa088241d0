"""Writes callbacks/: what Keras's callbacks on TensorFlow write and decide while they train trainer.keras, for
callbacks_test.sh.

python make_callbacks.py
"""
import json
import os
import shutil
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from keras import callbacks

FOLDER = Path(__file__).parent
OUT = FOLDER / "callbacks"
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
x, y = np.load(FOLDER / "trainer_x.npy"), np.load(FOLDER / "trainer_y.npy")
histories = {}


def fit(name, *watching, x=x, metrics=None, **options):
    model = keras.models.load_model(FOLDER / "trainer.keras")
    if metrics:
        model.compile(model.optimizer, model.loss, metrics=metrics)
    history = model.fit(x, y, batch_size=20, shuffle=False, verbose=0, callbacks=list(watching), **options).history
    histories[name] = history
    return model


# The rate falls after each epoch that does not improve by much, but rests for one epoch then.
fit("plateau",
    callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_delta=0.1, cooldown=1, min_lr=0.006),
    callbacks.CSVLogger(OUT / "plateau.csv"),
    callbacks.TensorBoard(OUT / "board", write_graph=False),
    epochs=8, validation_split=0.25)
for side in ("train", "validation"):
    (events,) = (OUT / "board" / side).iterdir()
    events.rename(OUT / f"{side}.tfevents")
shutil.rmtree(OUT / "board")
# Without validation; the rate is given by epochs.
fit("scheduled", callbacks.LearningRateScheduler(lambda epoch: 0.05 if epoch < 1 else 0.02 if epoch < 3 else 0.001),
    callbacks.CSVLogger(OUT / "scheduled.csv", separator=";"), epochs=4)
# A loss that is no number from the first epoch on, which nothing improves on.
nowhere = x.copy()
nowhere[0] = np.nan
fit("nan", callbacks.EarlyStopping(monitor="loss", patience=2), x=nowhere, epochs=6)
fit("terminated", callbacks.TerminateOnNaN(), x=nowhere, epochs=6)
# Higher is better.
fit("accuracy", callbacks.EarlyStopping(monitor="val_accuracy", patience=1, min_delta=0.05), epochs=9, validation_split=0.25)
# The best epochs are kept.
kept = OUT / "kept"
fit("best", callbacks.ModelCheckpoint(str(kept / "{epoch:02d}-{loss:.1f}.keras"), monitor="accuracy", save_best_only=True,
                                      initial_value_threshold=0.5), epochs=6)
names = {"best": sorted(os.listdir(kept))}
shutil.rmtree(kept)
fit("often", callbacks.ModelCheckpoint(str(kept / "{epoch}-{batch:3d}.weights.h5"), save_weights_only=True, save_freq=3), epochs=2)
names["often"] = sorted(os.listdir(kept))
shutil.rmtree(kept)
with open(OUT / "recorded.txt", "w") as file:
    for run, history in histories.items():
        for name, numbers in history.items():
            file.write(" ".join([run, name, *map(repr, numbers)]) + "\n")
with open(OUT / "kept.txt", "w") as file:
    for run, files in names.items():
        for name in files:
            file.write(f"{run}/{name}\n")
