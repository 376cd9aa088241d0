"""Writes what ./quickstart trains with: the model of train.py with seeded weights, and the images it is trained on.

    python examples/digits/untrained.py        needs keras 3.15.1, a backend (tensorflow-cpu here), scikit-learn

untrained.keras     the model, compiled, before any step
train_images.npy    uint8 [1437, 8, 8, 1];  train_labels.npy  uint8 [1437]
"""

import keras
import numpy as np
import train

if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    digits = train.model()
    digits.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    digits.save(train.FOLDER / "untrained.keras")
    images, test_images, labels, test_labels = train.data()
    for name, theirs in ("images", test_images), ("labels", test_labels):
        assert np.array_equal(np.load(train.FOLDER / f"{name}.npy"), theirs), f"another {name}.npy is committed"
    np.save(train.FOLDER / "train_images.npy", images)
    np.save(train.FOLDER / "train_labels.npy", labels)
