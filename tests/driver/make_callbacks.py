"""Writes callbacks/: what Keras's callbacks on TensorFlow write and decide while they train trainer.keras, for
callbacks_test.sh.

python make_callbacks.py
"""
import contextlib
import http.server
import io
import json
import os
import shutil
import threading
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from keras import callbacks, layers

FOLDER = Path(__file__).parent
OUT = FOLDER / "callbacks"
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir()
x, y = np.load(FOLDER / "trainer_x.npy"), np.load(FOLDER / "trainer_y.npy")
histories, said = {}, {}


def fit(name, *watching, x=x, optimizer=None, **options):
    model = keras.models.load_model(FOLDER / "trainer.keras")
    if optimizer:
        model.compile(optimizer, model.loss, metrics=["accuracy"])
    with contextlib.redirect_stdout(io.StringIO()) as lines:
        history = model.fit(x, y, batch_size=20, shuffle=False, verbose=0, callbacks=list(watching), **options).history
    histories[name] = history
    said[name] = lines.getvalue()
    return model


# The rate falls after each epoch that does not improve by much, but rests for one epoch then.
fit("plateau",
    callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_delta=0.1, cooldown=1, min_lr=0.006, verbose=1),
    callbacks.CSVLogger(OUT / "plateau.csv"),
    callbacks.TensorBoard(OUT / "board", write_graph=False),
    epochs=8, validation_split=0.25)
for side in ("train", "validation"):
    (events,) = (OUT / "board" / side).iterdir()
    events.rename(OUT / f"{side}.tfevents")
shutil.rmtree(OUT / "board")
# Events of every eighth step; epochs that do not end with one are left out.
fit("events", callbacks.TensorBoard(OUT / "board", write_graph=False, update_freq=8, write_steps_per_second=True, histogram_freq=3),
    epochs=6, validation_split=0.25)
for side in ("train", "validation"):
    (events,) = (OUT / "board" / side).iterdir()
    events.rename(OUT / f"steps_{side}.tfevents")
shutil.rmtree(OUT / "board")
# Without validation; the rate is given by epochs.
fit("scheduled", callbacks.LearningRateScheduler(lambda epoch: 0.05 if epoch < 1 else 0.02 if epoch < 3 else 0.001, verbose=1),
    callbacks.CSVLogger(OUT / "scheduled.csv", separator=";"), epochs=4)
# What a server is told of epochs.
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        lines = [self.requestline] + [f"{name}: {value}" for name, value in self.headers.items()
                                      if name == "Content-Type" or name.startswith("X-")]
        with open(OUT / "remote.txt", "a") as file:
            print(*lines, self.rfile.read(int(self.headers["Content-Length"])).decode(), sep="\n", file=file)
        self.send_response(200)
        self.end_headers()


with http.server.HTTPServer(("127.0.0.1", 0), Sink) as sink:
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{sink.server_port}"
    fit("form", callbacks.RemoteMonitor(root), epochs=2, validation_split=0.25)
    fit("json", callbacks.RemoteMonitor(root + "/of", "logs", headers={"X-Run": "a b"}, send_as_json=True), epochs=1)
    sink.shutdown()
# A loss that is no number from the first epoch on, which nothing improves on.
nowhere = x.copy()
nowhere[0] = np.nan
fit("nan", callbacks.EarlyStopping(monitor="loss", patience=2), x=nowhere, epochs=6)
fit("terminated", callbacks.TerminateOnNaN(), x=nowhere, epochs=6)
# Higher is better.
fit("accuracy", callbacks.EarlyStopping(monitor="val_accuracy", patience=1, min_delta=0.05, restore_best_weights=True, verbose=1),
    epochs=9, validation_split=0.25)
# The best epochs are kept.
kept = OUT / "kept"
fit("best", callbacks.ModelCheckpoint(str(kept / "{epoch:02d}-{loss:.1f}.keras"), monitor="accuracy", save_best_only=True,
                                      initial_value_threshold=0.5, verbose=1), epochs=6)
names = {"best": sorted(os.listdir(kept))}
shutil.rmtree(kept)
fit("lowest", callbacks.ModelCheckpoint(str(kept / "lowest.keras"), monitor="loss", save_best_only=True, verbose=1), epochs=2)
shutil.rmtree(kept)
fit("often", callbacks.ModelCheckpoint(str(kept / "{epoch}-{batch:3d}.weights.h5"), save_weights_only=True, save_freq=3, verbose=1),
    epochs=2)
names["often"] = sorted(os.listdir(kept))
shutil.rmtree(kept)


# Averages of the weights are what is evaluated, and what is kept where they are swapped at the end of epochs.
def averaging():
    return keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)


def evaluated(name, path):
    values = keras.models.load_model(path).evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    histories[name] = {key: [value] for key, value in values.items()}


fit("plain_average", optimizer=averaging(), epochs=3, validation_split=0.25)
for swap in (False, True):
    fit(f"swapped_{swap}", callbacks.SwapEMAWeights(swap_on_epoch=swap),
        callbacks.ModelCheckpoint(str(kept / "{epoch}.keras")), optimizer=averaging(), epochs=3,
        validation_split=0.25).save(kept / "end.keras")
    for file in ("1", "3", "end"):
        evaluated(f"swapped_{swap}_{file}", kept / f"{file}.keras")
    shutil.rmtree(kept)

# Where training stops early, the weights are what it ends with.
fit("swapped_early", callbacks.SwapEMAWeights(swap_on_epoch=True), callbacks.EarlyStopping(monitor="loss", min_delta=10, patience=2),
    optimizer=averaging(), epochs=6).save(OUT / "early.keras")
evaluated("swapped_early_end", OUT / "early.keras")
(OUT / "early.keras").unlink()

# Logs of two outputs, and their names and order.
inputs = keras.Input((6,), name="x")
outputs = [layers.Dense(3, activation="softmax", name="zeta")(inputs), layers.Dense(1, name="alpha")(inputs)]
model = keras.Model(inputs, outputs, name="two_outputs")
model.compile("sgd", loss=["sparse_categorical_crossentropy", "mse"],
              metrics=[["sparse_top_k_categorical_accuracy", "accuracy"], ["mse", "mae"]],
              weighted_metrics=[["accuracy"], ["mae"]])
model.save(FOLDER / "two_outputs.keras")
np.savetxt(OUT / "alpha.csv", x[:, 0], fmt="%.9g")
model.fit(x, [y, x[:, :1]], batch_size=20, shuffle=False, epochs=1, verbose=0, validation_split=0.25,
          callbacks=[callbacks.CSVLogger(OUT / "two_outputs.csv")])
# Weights for the samples of one output alone.
histories["half_weighted"] = keras.models.load_model(FOLDER / "two_outputs.keras").fit(
    x, [y, x[:, :1]], sample_weight=[y.ravel().astype("float32"), None], batch_size=20, shuffle=False, epochs=2, verbose=0).history
# A dict of outputs, whose keys are not their layers' names.
inputs = keras.Input((6,), name="x")
outputs = {"zeta": layers.Dense(3, activation="softmax")(inputs), "alpha": layers.Dense(1)(inputs)}
model = keras.Model(inputs, outputs, name="keyed")
model.compile("sgd", {"zeta": "sparse_categorical_crossentropy", "alpha": "mse"}, metrics={"alpha": ["mae"]},
              loss_weights={"zeta": 0.5, "alpha": 2.0}, jit_compile=False)
model.save(FOLDER / "keyed.keras")
model.fit(x, {"zeta": y, "alpha": x[:, :1]}, batch_size=20, shuffle=False, epochs=1, verbose=0,
          callbacks=[callbacks.CSVLogger(OUT / "keyed.csv")])
# Layers that draw random numbers, with seeds; the shared one draws twice a step.
inputs = keras.Input((6,), name="x")
hidden = layers.Reshape((3, 2))(inputs)
hidden = keras.Sequential([layers.Dense(8), layers.Dropout(0.3, seed=11), layers.Dense(8)])(hidden)
hidden = layers.MultiHeadAttention(2, 4, dropout=0.4, seed=12)(hidden, hidden)
hidden = layers.LSTM(6, dropout=0.3, recurrent_dropout=0.2, seed=13)(hidden)
hidden = layers.GaussianNoise(0.5, seed=14)(hidden)
shared = layers.Dropout(0.5, seed=15)
model = keras.Model(inputs, layers.Dense(3, activation="softmax")(shared(shared(hidden))), name="seeded")
model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.save(FOLDER / "seeded.keras")
histories["seeded"] = model.fit(x, y, batch_size=20, shuffle=False, epochs=3, verbose=0, validation_split=0.25).history
# Images that change in each step, the parts of an image that are cropped too, but not where a step evaluates.
inputs = keras.Input((6,), name="x")
hidden = layers.UpSampling2D(3)(layers.Reshape((3, 2, 1))(inputs))
for change in (layers.RandomFlip(seed=21), layers.RandomRotation(0.2, seed=22), layers.RandomZoom(0.3, seed=23),
               layers.RandomTranslation(0.2, 0.4, "wrap", seed=24), layers.RandomCrop(7, 5, seed=25)):
    hidden = change(hidden)
hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(hidden))
model = keras.Model(inputs, layers.Dense(3, activation="softmax")(hidden), name="augmented")
model.compile("sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.save(FOLDER / "augmented.keras")
histories["augmented"] = model.fit(x, y, batch_size=20, shuffle=False, epochs=3, verbose=0, validation_split=0.25).history
# Several optimizers, one of which averages: saved after an epoch, then trained on, with rates that fall.
keras.backend.clear_session()
model = keras.models.load_model(FOLDER / "trainer.keras")
first = model.layers[0].name
model.compile(keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(
    keras.optimizers.Adam(0.01), {f".*{first}/(kernel|bias)": keras.optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.9)})),
    model.loss, metrics=["accuracy"])
model.fit(x, y, batch_size=20, shuffle=False, verbose=0)
model.save(FOLDER / "several.keras")
model = keras.models.load_model(FOLDER / "several.keras")
with contextlib.redirect_stdout(io.StringIO()) as lines:
    histories["several"] = model.fit(
        x, y, batch_size=20, shuffle=False, epochs=4, verbose=0, validation_split=0.25,
        callbacks=[callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=10.0, min_lr=0.003, verbose=1),
                   callbacks.SwapEMAWeights()]).history
said["several"] = lines.getvalue()
model.save(OUT / "several_end.keras")
evaluated("several_end", OUT / "several_end.keras")
(OUT / "several_end.keras").unlink()
# Metrics that are vectors.
inputs = keras.Input((6,), name="x")
model = keras.Model(inputs, layers.Dense(3, activation="softmax")(inputs), name="vectors")
model.compile("sgd", loss="categorical_crossentropy",
              metrics=["accuracy", keras.metrics.F1Score(), keras.metrics.R2Score(class_aggregation=None)])
model.save(FOLDER / "vectors.keras")
categories = np.eye(3, dtype="float32")[y.ravel().astype(int)]
np.save(FOLDER / "vectors_y.npy", categories)
lines = io.StringIO()
with contextlib.redirect_stdout(lines):
    history = model.fit(x, categories, batch_size=20, shuffle=False, epochs=2, verbose=2, validation_split=0.25,
                        callbacks=[callbacks.CSVLogger(OUT / "vectors.csv")]).history
with open(OUT / "vectors.json", "w") as file:
    json.dump({name: np.asarray(numbers, "float64").tolist() for name, numbers in history.items()}, file)
    file.write("\n")
(OUT / "vectors.txt").write_text("".join(line + "\n" for line in lines.getvalue().splitlines() if "loss" in line))
# The model as JSON, weights as pictures, and embeddings, of which one is of a model within. The rate is 0, so that pixels do not
# hang on roundings.
inputs = keras.Input((6,), name="x", dtype="int32")
hidden = layers.Add()([layers.Embedding(9, 5, name="words")(inputs), layers.Embedding(9, 5, name="kinds")(inputs),
                       keras.Sequential([layers.Embedding(9, 5)], name="within")(inputs)])
hidden = layers.Conv1D(4, 3, name="line")(hidden)
hidden = layers.Conv2D(2, 2, name="square")(layers.Reshape((4, 4, 1))(hidden))
hidden = layers.Flatten()(layers.Conv2D(3, 2, name="colours")(hidden))
model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="high")(layers.Dense(300, name="wide")(hidden)), name="board")
generator = np.random.RandomState(5)
model.set_weights([generator.uniform(-0.3, 1.3, weight.shape) for weight in model.get_weights()])
model.compile(keras.optimizers.SGD(0.0), loss="sparse_categorical_crossentropy")
model.save(FOLDER / "board.keras")
ids = np.clip(np.abs(x) * 3, 0, 8).astype("int32")
np.save(FOLDER / "board_x.npy", ids)
keras.models.load_model(FOLDER / "board.keras").fit(
    ids, y, batch_size=20, shuffle=False, epochs=3, verbose=0, callbacks=[callbacks.TensorBoard(
        OUT / "board", histogram_freq=2, write_images=True, embeddings_freq=2, embeddings_metadata={"kinds": "kinds'\"\\é.tsv"})])
(events,) = (OUT / "board" / "train").glob("events*")
events.rename(OUT / "board.tfevents")
(OUT / "board" / "projector_config.pbtxt").rename(OUT / "projector_config.pbtxt")
names["board"] = sorted(os.listdir(OUT / "board" / "train"))
shutil.rmtree(OUT / "board")


# What an OrbaxCheckpoint has to hold of a model so that load_model finds it: the state tree, at the end of an epoch, of a model that
# was loaded, of each variable the path, the shape, and the first numbers.
def write_tree(file, run, tree, path=()):
    for name, value in sorted(tree.items()):
        if isinstance(value, dict):
            write_tree(file, run, value, (*path, name))
        elif path[0] != "metrics_variables":
            file.write(" ".join([run, ".".join((*path, name)), *map(str, value.shape), ":", *map(str, value.ravel()[:4])]) + "\n")


# Optimizers some of whose variables have no names.
keras.backend.clear_session()
model = keras.models.load_model(FOLDER / "trainer.keras")
model.compile(keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(
    keras.optimizers.Nadam(0.01), {".*/bias": keras.optimizers.Nadam(0.02)})), model.loss)
model.save(FOLDER / "nadams.keras")
with open(OUT / "orbax.txt", "w") as file:
    for run in ("trainer", "several", "wrapped", "nadams"):
        keras.backend.clear_session()
        model = keras.models.load_model(FOLDER / f"{run}.keras")
        trees = []
        model.fit(x, y, batch_size=20, shuffle=False, epochs=2, verbose=0, callbacks=[callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: trees.append(model.get_state_tree(value_format="numpy_array")))])
        write_tree(file, run, trees[-1])
with open(OUT / "recorded.txt", "w") as file:
    for run, history in histories.items():
        for name, numbers in history.items():
            file.write(" ".join([run, name, *map(repr, numbers)]) + "\n")
with open(OUT / "said.txt", "w") as file:
    for run, text in said.items():
        for line in text.replace(f"{kept}/", "").splitlines():
            file.write(f"{run} {line}".rstrip() + "\n")
with open(OUT / "kept.txt", "w") as file:
    for run, files in names.items():
        for name in files:
            file.write(f"{run}/{name}\n")
