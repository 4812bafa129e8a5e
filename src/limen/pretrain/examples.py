"""The examples of a pretraining run: images with or without labels, and batches of them as tensors.

Labels are integers 0, …, C − 1 into the class names of the training file; a file of held-out examples is coded by the
same names. A run without labels does not read the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.data.labels import check_classes, check_labels, encode_labels
from limen.data.raw import RawRows
from limen.data.tables import read_table
from limen.pretrain.images import COLUMN, batch_tensor, load_images
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Batch:
    """Images [B, c, h, w] in [0, 1] and, where there are any, labels [B]."""

    images: Any
    labels: Any = None


@dataclass(frozen=True, slots=True)
class Examples:
    """Images [n, h, w, c] and, where the objective asks for them, labels [n]."""

    images: NDArray[np.generic]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Some of the examples."""
        return Examples(self.images[rows], None if self.labels is None else self.labels[rows], self.classes)

    def batch(self, rows: NDArray[np.int64], channels_last: bool = False) -> Batch:
        """Some of the examples as tensors; `channels_last` says how they lie in memory, not what they hold."""
        labels = None if self.labels is None else torch.from_numpy(self.labels[rows])
        images = batch_tensor(self.images, rows)
        return Batch(images.contiguous(memory_format=torch.channels_last) if channels_last else images, labels)


def load_examples(data: str, label: str | None, classes: Sequence[str] | None = None) -> Examples:
    """The images of a table and the labels in its column `label`; None reads no labels.

    Raises BadInput as `load_images` does, and for labels that are missing, continuous, of one class, or not in
    `classes`.

    >>> examples = load_examples("digits:test", "label")
    >>> len(examples), examples.classes[:3]
    (450, ('0', '1', '2'))
    """
    images = load_images(data)
    if label is None:
        return Examples(images)
    raw = RawRows(data, images, read_table(data, [label]).columns[label], names=(COLUMN, label, "group", "id"))
    problems = check_labels(raw)
    if not problems and len(raw.labels) != len(images):
        what = f"expected one label for each of the {len(images):,} images, got {len(raw.labels):,}"
        problems = [Problem(raw.place(1), what)]
    problems = problems or check_classes(raw, classes)
    if problems:
        raise BadInput(problems)
    labels, names = encode_labels(raw, classes)
    return Examples(images, labels, names)
