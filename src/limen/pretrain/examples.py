"""The examples of a pretraining run: inputs as one array with or without labels, and batches of them as tensors.

Examples are read as they are (`read_raw`), split into training and held-out ones, and only then turned into what the
encoder takes, since a vocabulary is learned from training texts alone. Labels are integers 0, …, C − 1 into the class
names of the training file; a file of held-out examples is coded by the same names. A run without labels does not read
the column. Rows whose input is bad (`limen.data.inputs`) are left out before the split where the run says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limen.data.audio import rate_notes
from limen.data.inputs import usable_inputs
from limen.data.labels import check_classes, check_labels, encode_labels
from limen.data.on_bad import OnBad
from limen.data.raw import RawRows
from limen.data.tables import read_table
from limen.models.encoder import InputKind
from limen.models.preprocessing.images import checked_images
from limen.models.preprocessing.preprocessing import Preprocessing, as_tensor
from limen.models.preprocessing.spectra import Spectra
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs [B, …] and, where there are any, labels [B] and partners [B, b, …]: other examples of the same class."""

    inputs: Any
    labels: Any = None
    partners: Any = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where examples are: a table, the kind of its inputs, their column (None: named like the kind), the labels'."""

    data: str
    kind: InputKind = "image"
    column: str | None = None
    label: str | None = None
    on_bad: OnBad = "stop"


@dataclass(frozen=True, slots=True)
class Raw:
    """Examples as they are in a table: images [n, h, w, c], texts or bytes of sounds, and labels [n] where asked."""

    inputs: Any
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    skipped: tuple[tuple[int, str], ...] = ()
    """Rows of the table that were left out, with the reason of each."""

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: NDArray[np.int64]) -> Raw:
        """Some of the examples."""
        chosen = self.inputs[rows] if isinstance(self.inputs, np.ndarray) else [self.inputs[row] for row in rows]
        return replace(self, inputs=chosen, labels=None if self.labels is None else self.labels[rows])

    def digests(self) -> list[bytes]:
        """A hash of every input: equal ones have equal hashes."""
        return [hashlib.blake2b(_content(value), digest_size=16).digest() for value in self.inputs]

    def prepared(self, preprocessing: Preprocessing) -> Examples:
        """The examples as the encoder takes them. Raises BadInput for inputs that it cannot take."""
        array = preprocessing.array(self.inputs)
        return Examples(array, self.labels, self.classes, preprocessing.takes, self.skipped, self.notes(preprocessing))

    def notes(self, preprocessing: Preprocessing) -> tuple[str, ...]:
        """What the preprocessing does to these inputs that a person would want to know, in sentences."""
        return rate_notes(self.inputs, preprocessing.rate) if isinstance(preprocessing, Spectra) else ()


@dataclass(frozen=True)
class Examples:
    """What the encoder takes [n, …] and, where the objective asks for them, labels [n]."""

    inputs: NDArray[np.generic]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    takes: InputKind = "image"
    skipped: tuple[tuple[int, str], ...] = ()
    """Rows of their table that were left out, with the reason of each."""
    notes: tuple[str, ...] = ()
    """What was done to their inputs, in sentences."""

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: NDArray[np.int64]) -> Examples:
        """Some of the examples."""
        return replace(self, inputs=self.inputs[rows], labels=None if self.labels is None else self.labels[rows])

    def batch(self, rows: NDArray[np.int64], channels_last: bool = False) -> Batch:
        """Some of the examples as tensors; `channels_last` says how they lie in memory, not what they hold."""
        labels = None if self.labels is None else torch.from_numpy(self.labels[rows])
        inputs = as_tensor(self.inputs, self.takes, rows)
        return Batch(inputs.contiguous(memory_format=torch.channels_last) if channels_last else inputs, labels)

    def with_partners(self, batch: Batch, rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> Batch:
        """The batch of `rows` with `count` uniform draws from the other examples of each one's class.

        An example that is the only one of its class is its own partner.
        """
        assert self.labels is not None
        drawn = np.empty((len(rows), count), dtype=np.int64)
        for place, row in enumerate(rows):
            others = self._members[int(self.labels[row])]
            at = int(np.searchsorted(others, row))
            picked = rng.integers(max(len(others) - 1, 1), size=count)
            drawn[place] = others[picked + (picked >= at)] if len(others) > 1 else row
        partners = as_tensor(self.inputs, self.takes, drawn.reshape(-1))
        return Batch(batch.inputs, batch.labels, partners.reshape(len(rows), count, *partners.shape[1:]))

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        """Rows of every class, ascending."""
        assert self.labels is not None
        return [np.flatnonzero(self.labels == c).astype(np.int64) for c in range(len(self.classes))]


def read_raw(source: Source, classes: Sequence[str] | None = None) -> Raw:
    """The examples of a table. Raises BadInput for columns that are not there, bad inputs that are not to be
    skipped, and labels that are missing, continuous, of one class, or not in `classes`.

    >>> raw = read_raw(Source("digits:test", label="label"))
    >>> len(raw), raw.classes[:3]
    (450, ('0', '1', '2'))
    """
    data, label, column = source.data, source.label, source.column or source.kind
    found = usable_inputs(data, column, source.kind, source.on_bad)
    inputs = checked_images(found.values, data) if source.kind == "image" else found.values
    if label is None:
        return Raw(inputs, skipped=found.skipped)
    values = read_table(data, [label]).columns[label]
    rows = len(found.rows) + len(found.skipped)
    raw = RawRows(data, np.arange(rows), values, names=(column, label, "group", "id"))
    problems = check_labels(raw)
    if not problems and len(values) != rows:
        problems = [Problem(raw.place(1), f"expected one label for each of the {rows:,} examples, got {len(values):,}")]
    if not problems:
        raw = replace(raw, features=found.rows, labels=values[found.rows])
        problems = check_classes(raw, classes)
    if problems:
        raise BadInput(problems)
    labels, names = encode_labels(raw, classes)
    return Raw(inputs, labels, names, found.skipped)


def load_examples(data: str, label: str | None) -> Examples:
    """The images of a table, all of them, as an encoder takes them, and the labels in its column `label`.

    >>> len(load_examples("digits:test", "label"))
    450
    """
    raw = read_raw(Source(data, label=label))
    return Examples(raw.inputs, raw.labels, raw.classes)


def _content(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
