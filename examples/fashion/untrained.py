"""Writes untrained.keras, what examples/fashion/train begins with: the model of train.py, with seeded weights.

    python examples/fashion/untrained.py       needs keras 3.15.1 and a backend (tensorflow-cpu here)
"""

import keras
import train

if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    fashion = train.model()
    fashion.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    fashion.save(train.FOLDER / "untrained.keras")
