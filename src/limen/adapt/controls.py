"""What the numbers would be without information: baselines that every adapter should beat.

prior            the class shares of the fit rows for every row: π̂_c = (n_c + ½)/(n + K/2) (Krichevsky & Trofimov 1981),
                 which no class unseen in fit makes infinite; its error is that of always naming the largest class
shuffled_labels  the same adapter with the labels of its rows permuted (the control of Hewitt & Liang 2019): what it
                 reaches by fitting alone; on at most 2,000 fit rows and, for a probe, to a tolerance of 0.02
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from limen.adapt.ball import Rows
from limen.adapt.curve import adapt
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.prepare import Prepared
from limen.arrays.random import stream
from limen.records.task import Integers, Loss

CONTROL_ROWS = 2_000
TOLERANCE = 2e-2


@dataclass(frozen=True, slots=True)
class Control:
    """Losses and predictions [m] of one baseline on the holdout, and the rows it was fitted on."""

    loss: Matrix
    prediction: Integers
    rows: int


def prior_scores(labels: Integers, classes: int, loss: Loss) -> Matrix:
    """Scores [K] of the class shares: ln π̂ (log), π̂ (squared).

    >>> np.exp(prior_scores(np.array([0, 0, 1]), 2, "log"))
    array([0.625, 0.375])
    """
    shares = (np.bincount(labels, minlength=classes) + 0.5) / (len(labels) + classes / 2)
    scores: Matrix = np.asarray(np.log(shares) if loss == "log" else shares, dtype=np.float64)
    return scores


def controls(prepared: Prepared, radius: float | None) -> dict[str, Control]:
    """Both baselines on the holdout. `radius` is that of the probe, None for adapters without one."""
    fit, spec = prepared.fit, prepared.spec
    draw = stream("control", spec.split_seed, len(fit))
    chosen = draw.permutation(len(fit))[:CONTROL_ROWS].astype(np.int64)
    taken = fit.take(chosen)
    shuffled = Rows(taken.features, draw.permutation(taken.labels), fit.classes, fit.loss)
    fitted = adapt(shuffled, spec, radius, TOLERANCE)
    prior = np.tile(prior_scores(fit.labels, fit.classes, spec.loss), (len(prepared.holdout), 1))
    return {
        "prior": _control(prepared, prior, len(fit)),
        "shuffled_labels": _control(prepared, fitted.scores(prepared.holdout.features), len(chosen)),
    }


def _control(prepared: Prepared, scores: Matrix, rows: int) -> Control:
    loss = per_example_loss(scores, prepared.holdout.labels, prepared.spec.loss)
    return Control(loss, predictions(scores), rows)
