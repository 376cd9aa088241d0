"""Makes the models that errors_test.sh expects to be refused, and those of recurrent_test.sh, training_test.sh
and sample_weights_test.sh with what Keras gives.

    KERAS_BACKEND=jax python tests/driver/make.py
"""

import json
import pathlib
import tempfile
import zipfile

import h5py
import keras
import numpy as np
from keras import layers

FOLDER = pathlib.Path(__file__).parent

keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x + 1, name="shift")]).save(FOLDER / "lambda.keras")



@keras.saving.register_keras_serializable("mine")
class Mine(layers.Layer):
    def call(self, x):
        return x


inner = keras.Sequential([keras.Input((5, 4, 3)), Mine(name="flipped")], name="block")
keras.Sequential([keras.Input((5, 4, 3)), inner, Mine(name="contrasted")]).save(FOLDER / "unknown.keras")

# What Keras transforms along with images; of Resizing it knows but a first tensor, and gives it the shape [height, width].
images, boxes = keras.Input((5, 4, 3), name="images"), keras.Input((2, 4), name="boxes")
labels = keras.Input((2,), name="labels", dtype="int32")
boxed = {"images": images, "bounding_boxes": {"boxes": boxes, "labels": labels}}
flipped = layers.RandomFlip(bounding_box_format="xyxy", name="flip")(boxed)
resized = layers.Resizing(3, 2, bounding_box_format="xyxy", name="resize")(boxed)
keras.Model([images, boxes, labels], [*keras.tree.flatten(flipped), resized], name="boxed").save(FOLDER / "boxed.keras")


def save(model, name, x, batch):
    """Calls the model batch by batch: Keras's predict forgets states between them where JAX computes. NAME.keras, NAME_x.npy, NAME_y.npy; weights far from what layers start with."""
    random = np.random.default_rng(7)
    model.set_weights([random.standard_normal(w.shape).astype("float32") * (0.5 if w.ndim < 2 else w.shape[0] ** -0.5)
                       for w in model.get_weights()])
    model.save(FOLDER / f"{name}.keras")
    np.save(FOLDER / f"{name}_x.npy", x)
    np.save(FOLDER / f"{name}_y.npy", np.concatenate([model(x[i:i + batch]) for i in range(0, len(x), batch)]))


tagger = keras.Sequential([
    keras.Input((None,), dtype="int32", name="words"),
    layers.Embedding(30, 8, mask_zero=True),
    layers.Bidirectional(layers.LSTM(12, return_sequences=True)),
    layers.TimeDistributed(layers.Dense(5, activation="softmax")),
], name="tagger")
words = np.random.default_rng(3).integers(1, 30, (7, 9)).astype("int32")
for row, length in enumerate((9, 4, 1, 7, 9, 2, 5)):
    words[row, length:] = 0
save(tagger, "tagger", words, batch=len(words))

# Batches of 3, of which each goes on where the one before ended.
x = keras.Input(batch_shape=(3, 4, 5), name="x")
h = layers.LSTM(6, stateful=True, return_sequences=True)(x)
h = layers.GRU(5, stateful=True, return_sequences=True)(h)
film = layers.Reshape((4, 5, 1))(h)
film = layers.ConvLSTM1D(2, 3, stateful=True)(film)
stacked = layers.RNN([layers.SimpleRNNCell(4), layers.LSTMCell(3)], stateful=True)(h)
y = layers.Concatenate(name="y")([layers.Flatten()(film), stacked])
stream = np.random.default_rng(5).standard_normal((12, 4, 5)).astype("float32")
save(keras.Model(x, y, name="stateful"), "stateful", stream, batch=3)

# Keras makes none without a fixed batch.
with zipfile.ZipFile(FOLDER / "stateful.keras") as good, zipfile.ZipFile(FOLDER / "unfixed.keras", "w") as bad:
    for item in good.infolist():
        data = good.read(item)
        bad.writestr(item, data.replace(b'"batch_shape": [3, ', b'"batch_shape": [null, ')
                     if item.filename == "config.json" else data)

# A model to be trained: what Keras's fit does to it, with a class weight and the last quarter for validation.
keras.utils.set_random_seed(2)
draw = np.random.default_rng(7)
samples = draw.standard_normal((96, 6)).astype("float32")
kinds = (samples @ draw.standard_normal((6, 3))).argmax(1).astype("int32")
trained = keras.Sequential([keras.Input((6,)), layers.Dense(8, "tanh"), layers.BatchNormalization(), layers.Dense(3, "softmax")])
trained.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
trained.save(FOLDER / "trainer.keras")
np.save(FOLDER / "trainer_x.npy", samples)
np.save(FOLDER / "trainer_y.npy", kinds)
# A loss that is nobody's but the user's.
@keras.saving.register_keras_serializable("mine")
def own_loss(labels, outputs):
    return keras.ops.mean(outputs - labels)


own = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
own.compile(loss=own_loss)
own.save(FOLDER / "own_loss.keras")
frozen = keras.models.load_model(FOLDER / "trainer.keras")
frozen.fit(samples, kinds, verbose=0)
frozen.layers[-1].trainable = False
frozen.save(FOLDER / "frozen.keras")
history = trained.fit(samples, kinds, batch_size=20, epochs=4, shuffle=False, validation_split=0.25, verbose=0,
                      class_weight={0: 1.0, 1: 2.5, 2: 0.5}).history
(FOLDER / "trainer_history.txt").write_text(
    "".join(" ".join([name, *(f"{number:.7f}" for number in numbers)]) + "\n" for name, numbers in history.items()))
# A weight for each step of a sample.
keras.utils.set_random_seed(2)
stepped = keras.Sequential([keras.Input((None, 6)), layers.GRU(4, return_sequences=True), layers.Dense(3, "softmax")])
stepped.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
stepped.save(FOLDER / "stepped.keras")
steps = {"x": samples.reshape(24, 4, 6), "y": kinds.reshape(24, 4), "weights": np.random.default_rng(8).uniform(0, 2, (24, 4)).astype("float32")}
for name, array in steps.items():
    np.save(FOLDER / f"stepped_{name}.npy", array)
history = stepped.fit(steps["x"], steps["y"], sample_weight=steps["weights"], batch_size=5, epochs=4, shuffle=False,
                      validation_split=0.25, verbose=0).history
(FOLDER / "stepped_history.txt").write_text(
    "".join(" ".join([name, *(f"{number:.7f}" for number in numbers)]) + "\n" for name, numbers in history.items()))
stepped = keras.models.load_model(FOLDER / "stepped.keras")
history = stepped.fit(steps["x"], steps["y"], batch_size=5, epochs=2, shuffle=False, verbose=0,
                      validation_data=(steps["x"], steps["y"], steps["weights"])).history
(FOLDER / "stepped_validated_history.txt").write_text(
    "".join(" ".join([name, *(f"{number:.7f}" for number in numbers)]) + "\n" for name, numbers in history.items()))
# LoRA: Keras reads factors of 0, which Adam's moments move again.
keras.utils.set_random_seed(2)
adapted = keras.Sequential([keras.Input((6,)), layers.Dense(8, "tanh", lora_rank=2), layers.Dense(3, "softmax")])
adapted.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
adapted.fit(samples, kinds, epochs=3, shuffle=False, verbose=0)
adapted.save(FOLDER / "adapted.keras")
adapted = keras.models.load_model(FOLDER / "adapted.keras")
history = adapted.fit(samples, kinds, batch_size=20, epochs=4, shuffle=False, verbose=0).history
(FOLDER / "adapted_history.txt").write_text(
    "".join(" ".join([name, *(f"{number:.7f}" for number in numbers)]) + "\n" for name, numbers in history.items()))
np.save(FOLDER / "adapted_y.npy", adapted.predict(samples, verbose=0))
# Optimizers within others, whose first steps overflow: what fit does, and which datasets the file holds.
keras.utils.set_random_seed(2)
free = layers.Dense(8, "tanh", name="first", kernel_constraint=keras.constraints.MinMaxNorm(0.2, 0.6, rate=0.3))
wrapped = keras.Sequential([keras.Input((6,)), free, layers.Dense(3, "softmax", name="last")])
members = keras.optimizers.OptimizerMap(
    keras.optimizers.SGD(0.0005, momentum=0.9),
    {".*last/kernel": keras.optimizers.Nadam(0.01, gradient_accumulation_steps=2), ".*/bias": keras.optimizers.SGD(0.001)})
wrapped.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.MultiOptimizer(members), 2.0**124, 3),
                "sparse_categorical_crossentropy", loss_weights=[100.0])
wrapped.save(FOLDER / "wrapped.keras")
history = wrapped.fit(samples, kinds, batch_size=20, epochs=4, shuffle=False, verbose=0).history
(FOLDER / "wrapped_history.txt").write_text(" ".join(["loss", *(f"{number:.7f}" for number in history["loss"])]) + "\n")
with tempfile.TemporaryDirectory() as folder:
    wrapped.save_weights(f"{folder}/wrapped.weights.h5")
    lines = []
    with h5py.File(f"{folder}/wrapped.weights.h5") as file:
        file.visititems(lambda name, item: lines.append(" ".join([name, *map(str, item.shape)]))
                        if isinstance(item, h5py.Dataset) else None)
(FOLDER / "wrapped_datasets.txt").write_text("".join(line + "\n" for line in sorted(lines)))

# Compiled with other words than in the archive: what a trainer must write for Keras, whose loader takes it here, and an epoch
# that goes on behind two others.
words = json.loads((FOLDER / "recompiled.json").read_text())
recompiled = keras.models.load_model(FOLDER / "trainer.keras", compile=False)
recompiled.compile_from_config(words)
assert isinstance(recompiled.optimizer, keras.optimizers.AdamW) and recompiled.optimizer.iterations == 0
recompiled.fit(samples, kinds, batch_size=20, epochs=2, shuffle=False, verbose=0)
recompiled.save(FOLDER / "recompiled.keras")
history = keras.models.load_model(FOLDER / "recompiled.keras").fit(samples, kinds, batch_size=20, shuffle=False, verbose=0).history
(FOLDER / "recompiled.keras").unlink()
(FOLDER / "recompiled_history.txt").write_text(
    "".join(" ".join([name, *(f"{number:.7f}" for number in numbers)]) + "\n" for name, numbers in history.items()))

# Images of more bytes than 63 bits can count, in shapes of which passes and kernels weigh sizes.
images = keras.Input((2**31 - 1, 2**31 - 1, 4))
wide = layers.Conv2D(24, 1, activation="relu")(images)
narrow = layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, padding="same")(wide))
both = layers.Concatenate()([layers.Conv2D(8, 3, strides=2)(images), layers.Conv2D(8, 1, strides=2)(images[:, 1:-1, 1:-1])])
keras.Model(images, [layers.GlobalAveragePooling2D()(images), narrow, both, layers.Softmax()(wide), keras.ops.argmax(images, axis=1),
                      images * keras.ops.max(images, axis=1, keepdims=True)], name="vast").save(FOLDER / "vast.keras")
