"""Prints what Keras says of a model that examples/fashion/train saved, on Fashion-MNIST's test set.

    python examples/fashion/evaluate.py OUT_DIRECTORY/trained.keras      needs keras 3.15.1 and a backend (tensorflow-cpu here)
"""

import sys

import keras
import train

if __name__ == "__main__":
    images = train.read("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)
    labels = train.read("t10k-labels-idx1-ubyte", 8)
    model = keras.saving.load_model(sys.argv[1])
    print(model.evaluate(images.astype("float32"), labels, batch_size=500, verbose=0, return_dict=True))
