"""The examples of a pretraining run: images as one array, split once into training and held-out examples.

Pixels are [n, h, w, c], either uint8 (0 to 255, divided by 255 when a batch is made) or float32 in [0, 1].
The split is uniform over distinct images: identical images stay on one side, so nothing held out was trained on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.data.images import decode_images
from limen.data.tables import read_table
from limen.records.errors import BadInput, Problem

COLUMN = "image"


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of the training and of the held-out examples, ascending."""

    training: NDArray[np.int64]
    heldout: NDArray[np.int64]


def load_images(data: str) -> NDArray[np.generic]:
    """Images [n, h, w, c] in the column `image` of a built-in name (`digits:train`), an .npz or a .parquet.

    JPEG and PNG bytes are decoded. Raises BadInput for files and columns that are not there and for broken images.

    >>> load_images("digits:test").shape
    (450, 8, 8, 1)
    """
    column = read_table(data, [COLUMN]).columns[COLUMN]
    if column.dtype == object:
        column = decode_images(column.tolist())
    return checked_images(column, data)


def checked_images(images: NDArray[np.generic], where: str) -> NDArray[np.generic]:
    """The same images, if they are what this module says.

    Raises BadInput for another shape or type, values outside [0, 1], NaN.
    """
    problems = []
    if images.ndim != 4 or images.shape[1] != images.shape[2] or len(images) == 0:
        problems.append(Problem(where, f"expected square images of shape [n, h, h, c], got {list(images.shape)}"))
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        problems.append(Problem(where, f"expected uint8 or float pixels, got {images.dtype}"))
    elif images.dtype.kind == "f" and images.size and not (images.min() >= 0 and images.max() <= 1):
        what = f"expected float pixels in [0, 1], got {images.min()} to {images.max()}"
        problems.append(Problem(where, what, fix="divide by the largest possible value, or give uint8 pixels"))
    if problems:
        raise BadInput(problems)
    return images


def split_images(images: NDArray[np.generic], heldout: float, seed: int) -> Split:
    """Hold out the share `heldout` of the examples, uniformly at random over distinct images.

    >>> split = split_images(np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1), 0.25, seed=0)
    >>> len(split.training), len(split.heldout)
    (75, 25)
    """
    digests = [hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest() for image in images]
    _, group = np.unique(np.array(digests, dtype="V16").view("u8").reshape(-1, 2), axis=0, return_inverse=True)
    # Distinct images in order of first appearance, so that the split does not depend on hash order.
    _, first = np.unique(group, return_index=True)
    appearance = np.argsort(np.argsort(first))[group.reshape(-1)]
    place = stream("pretrain/heldout", seed, len(first)).permutation(len(first))[appearance]
    order = np.argsort(place, kind="stable")
    last = order[round(heldout * len(images)) - 1] if round(heldout * len(images)) else None
    held = place <= place[last] if last is not None else np.zeros(len(images), dtype=bool)
    return Split(np.flatnonzero(~held).astype(np.int64), np.flatnonzero(held).astype(np.int64))


def batch_tensor(images: NDArray[np.generic], rows: NDArray[np.int64] | slice) -> Any:
    """Rows of `images` as a float32 tensor [b, c, h, w] in [0, 1]."""
    pixels = torch.from_numpy(np.moveaxis(images[rows], 3, 1).astype(np.float32, order="C"))
    return pixels / 255 if images.dtype == np.uint8 else pixels


def channel_moments(images: NDArray[np.generic], rows: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over all positions of the given rows, on the scale [0, 1].

    A constant channel gets standard deviation 1.
    """
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    total = np.zeros(images.shape[3])
    square = np.zeros(images.shape[3])
    for start in range(0, len(rows), 4096):
        block = images[rows[start : start + 4096]].astype(np.float64) / scale
        total += block.sum(axis=(0, 1, 2))
        square += (block**2).sum(axis=(0, 1, 2))
    count = len(rows) * images.shape[1] * images.shape[2]
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 0))  # rounding may leave −1e-17 for a constant channel
    return mean.tolist(), np.where(std > 1e-6, std, 1.0).tolist()
