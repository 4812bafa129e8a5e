"""Labelled features of one task as the fits see them, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]

Method = Literal["linear-probe", "mean-classifier", "lda", "knn"]
Loss = Literal["log", "squared"]


@dataclass(frozen=True, slots=True)
class LabelledFeatures:
    """Rows of one population: features [n, d] (finite), labels [n] as integers into `classes`.

    Built by `limen.data` readers, which check and name everything; fits trust it.
    """

    features: Floats
    labels: Integers
    classes: tuple[str, ...]
    """Names of the classes in label order; the same tuple for every population of a task."""
    groups: Integers | None = None
    """Rows of one group (speaker, document) stay in one part of every split."""
    ids: tuple[str, ...] | None = None
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns of categories; loss and error are reported per value."""
    source: Floats | None = None
    """Class probabilities [n, Z] that the model behind the encoder gives these rows; LEEP and NCE read them."""
    dropped_columns: tuple[int, ...] = ()
    """Indices of constant feature columns that the reader removed."""
    notes: tuple[str, ...] = ()
    """What the reader converted, dropped or left unused, in sentences for a person."""

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, slots=True)
class Task:
    """One task on one encoder: the rows to adapt on and further populations that are scored, never trained on."""

    name: str
    encoder: str
    train: LabelledFeatures
    populations: Mapping[str, LabelledFeatures] = field(default_factory=dict)
    """`test` and every shift set by name."""
    same_population: bool = False
    """Whether `populations["test"]` was drawn from the same population as `train`: it is then the holdout."""
    together: Integers | None = None
    """Class of every train row [n]: rows of one class stay in one part of every split, though they are independent
    units (rows that other encoders or the raw input find identical)."""
    inputs: Mapping[str, Integers] | None = None
    """Population → class of the raw input of every row [n]; equal numbers, also across populations, are identical
    inputs. Where given they decide what recurs and what stays together, not the features: different inputs that an
    encoder maps to one point are different examples, and every encoder of a task then has the same split."""


@dataclass(frozen=True, slots=True)
class FitSpec:
    """How to adapt: every field is semantic and part of a fit cell's identity."""

    method: Method = "linear-probe"
    loss: Loss = "log"
    labels: tuple[int | Literal["all"], ...] | None = None
    """Label totals; None = a doubling grid chosen from the number of rows and classes."""
    seeds: int = 5
    radius: float | Literal["auto"] | tuple[float, ...] = "auto"
    subsets: Literal["uniform", "stratified"] = "uniform"
    split_seed: int = 0
    neighbours: int = 10
    """k of the method `knn`; the other methods do not read it."""
    rich_head: bool = True
    """Whether a probe's class is set beside a richer head (the term `class_gap`); other methods do not read it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of fitted cells; not part of their identity."""

    confidence: float = 0.95
    target_loss: float | None = None
    target_error: float | None = None
    margin: float = 0.01
    """Smallest improvement of the loss worth acting on."""
