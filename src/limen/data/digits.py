"""Handwritten digits that come with scikit-learn: 1,797 grey images of 8×8 in 10 classes, no file needed.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (UCI 1998), as bundled by scikit-learn.
`digits:train` (1,347 rows) and `digits:test` (450) are the parts of one fixed uniform permutation, so that the test
rows are draws from the population of the train rows; `digits` is both, in the permuted order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream

NAMES = ("digits", "digits:train", "digits:test")
TRAIN_ROWS = 1347
TEST_ROWS = 450
_LEVELS = 16.0


def digits(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images [n, 8, 8, 1] in [0, 1] and labels [n] of `digits`, `digits:train` or `digits:test`.

    >>> images, labels = digits("digits:test")
    >>> images.shape, float(images.max()), labels.shape
    ((450, 8, 8, 1), 1.0, (450,))

    Raises KeyError for another name.
    """
    if name not in NAMES:
        raise KeyError(name)
    from sklearn.datasets import load_digits  # a second, which nobody pays who reads files

    bundle = load_digits()
    order = stream("digits split").permutation(TRAIN_ROWS + TEST_ROWS)
    rows = {"digits": order, "digits:train": order[:TRAIN_ROWS], "digits:test": order[TRAIN_ROWS:]}[name]
    images = (bundle.images[rows] / _LEVELS).astype(np.float32)[:, :, :, None]
    return images, bundle.target[rows].astype(np.int64)
