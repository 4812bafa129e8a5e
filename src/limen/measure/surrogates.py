"""All surrogates of an encoder that its inputs allow, in one call.

Without labels: `rank_me`, `effective_rank`, `uniformity`; with a second view of each row also `alignment` and
`spectral_loss` (`limen.measure.representation`). With labels: `logme`, `h_score`, `h_score_shrunk`
(`limen.measure.logme`, `.transferability`; single numbers, graded point). The pretraining loss of the encoder, where it
has one, is taken as it is. Which end is better: `limen.records.surrogates.BETTER`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.measure.logme import logme
from limen.measure.representation import alignment, effective_rank, rank_me, spectral_loss, uniformity
from limen.measure.transferability import h_score
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.surrogates import Surrogates

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EncoderRows:
    """What an encoder gives on a set of rows; a study has `features` of every cell, and views where it draws them."""

    encoder: str
    features: Matrix
    """[n, d]"""
    views: Matrix | None = None
    """[n, d], features of a second view of the same rows."""
    labels: NDArray[np.int64] | None = None
    """[n], 0 … K − 1."""
    pretraining_loss: Estimate | None = None


def surrogates(rows: EncoderRows, confidence: float = 0.95) -> Surrogates:
    """Every surrogate that the inputs allow.

    >>> f = np.random.default_rng(0).normal(size=(100, 5))
    >>> sorted(surrogates(EncoderRows("noise", f)).values)
    ['effective_rank', 'rank_me', 'uniformity']

    Raises BadInput for features that are not finite, rows that are 0, views or labels of another length.
    """
    f = np.asarray(rows.features, dtype=np.float64)
    values = {
        "rank_me": rank_me(f),
        "effective_rank": effective_rank(f, confidence),
        "uniformity": uniformity(f, confidence=confidence),
    }
    if rows.views is not None:
        values["alignment"] = alignment(f, rows.views, confidence=confidence)
        values["spectral_loss"] = spectral_loss(f, rows.views, confidence=confidence)
    if rows.labels is not None:
        values |= _with_labels(f, np.asarray(rows.labels))
    if rows.pretraining_loss is not None:
        values["pretraining_loss"] = rows.pretraining_loss
    return Surrogates(rows.encoder, len(f), f.shape[1], values)


def _with_labels(f: Matrix, labels: NDArray[np.int64]) -> dict[str, Estimate]:
    if labels.shape != (len(f),):
        raise BadInput(Problem("labels", f"expected one label a row, shape {(len(f),)}, got {labels.shape}"))
    found = {
        "logme": logme(f, labels),
        "h_score": h_score(f, labels),
        "h_score_shrunk": h_score(f, labels, "ledoit-wolf"),
    }
    return {name: _point(name, value, len(f)) for name, value in found.items()}


def _point(name: str, value: float, n: int) -> Estimate:
    if not np.isfinite(value):
        return not_identified("the features fit the labels exactly: the evidence has no bound", n=n, method=name)
    why = ("one number of these rows: no interval",)
    return Estimate(float(value), grade="point", n=n, method=name, assumptions=why, reference="docs/closed-forms.md")
