"""The pretraining losses of a checkpoint with their intervals, and what may be compared with what.

L_pre(B) = expected loss of a batch of B i.i.d. examples and their random views; B, temperature and augmentation are
part of its name. From batch losses ℓ_j (mean over the augmentation draws of batch j, so draws are no extra units):

held-out    mean over the ⌊N/B⌋ disjoint batches of examples never trained on, ± t_{m−1}·s/√m       estimates L_pre
training    the same over disjoint batches of training examples. Each batch has its own examples, so s holds their
            spread too, beside that of views and of the cut: as an interval for L̂_pre, a number of these very
            examples, it is cautious, the more so the larger the share of them that was scored      estimates L̂_pre
optimum     L_pre − min L_pre where the population is a known world, else unknown
gap         L_pre − L̂_pre: two different samples of examples, Welch                                 (never paired)
difference  between two checkpoints: the same batches and draws, so the paired t                    (never Welch)

Source: docs, pretraining losses; Student 1908, Welch 1947. Losses of different names are never subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.arrays.means import Interval, t_interval, welch_interval
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.report import Checkpoint
from limen.records.stage import StageRecord

REFERENCE = "Student 1908; Welch 1947"


def pretraining_loss(heldout_losses: ArrayLike, confidence: float = 0.95) -> Estimate:
    """L_pre from the losses of disjoint held-out batches [m]; m ≥ 2, else not identified.

    >>> pretraining_loss([1.0, 2.0, 3.0]).text()
    '2.0 (-0.5 to 4.5) ◆'
    """
    assumptions = ("held-out examples are i.i.d. draws of the training population", "batch losses near Gaussian")
    return _from_batches(t_interval, (heldout_losses,), "t over disjoint held-out batches", confidence, assumptions)


def empirical_pretraining_loss(training_losses: ArrayLike, confidence: float = 0.95) -> Estimate:
    """L̂_pre from the losses of batches of training examples [m]; t over the batches.

    The interval holds the spread of examples between batches, so for these training examples it is wider than needed.

    >>> empirical_pretraining_loss([1.0, 2.0, 3.0]).value
    2.0
    """
    assumptions = (
        "batches as independent draws of examples, cut and views: cautious for the training examples themselves",
        "batch losses near Gaussian",
    )
    return _from_batches(t_interval, (training_losses,), "t over disjoint training batches", confidence, assumptions)


def pretraining_gap(heldout_losses: ArrayLike, training_losses: ArrayLike, confidence: float = 0.95) -> Estimate:
    """L_pre − L̂_pre, how much less the loss is on the examples that were trained on.

    >>> pretraining_gap([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).value
    2.0
    """
    assumptions = ("held-out and training batches are independent samples",)
    return _from_batches(welch_interval, (heldout_losses, training_losses), "Welch", confidence, assumptions)


def pretraining_difference(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Estimate:
    """L_pre of checkpoint a − L_pre of checkpoint b from their losses of the same held-out batches and draws [m].

    >>> pretraining_difference([1.0, 2.0, 4.0], [0.5, 1.5, 3.5]).text()
    '0.500 (0.500 to 0.500) ◆'

    Raises BadInput where the numbers of batches differ: the losses are then not of the same batches.
    """
    x, y = _vector(a), _vector(b)
    if x.shape != y.shape:
        what = f"expected losses of the same batches, got {x.size} and {y.size} of them"
        raise BadInput(Problem("batch losses", what, "checkpoints scored with different settings"))
    return _from_batches(t_interval, (x - y,), "paired t over held-out batches", confidence, ())


def pretraining_optimization_gap(
    heldout_losses: ArrayLike, optimum: Mapping[str, Any] | None, confidence: float = 0.95
) -> Estimate:
    """L_pre − min L_pre, what optimisation and the size of the encoder left; `optimum` is {value, source} or None.

    The minimum is over all encoders and heads, so the gap is not negative but for the error of L_pre; nothing clips it.

    >>> pretraining_optimization_gap([1.0, 2.0, 3.0], {"value": 0.5, "source": "Bayes"}).text()
    '1.5 (-1.0 to 4.0) ◆'
    >>> pretraining_optimization_gap([1.0, 2.0], None).state
    'not_identified'
    """
    if optimum is None:
        return not_identified("the least pretraining loss of this population is unknown")
    found = pretraining_loss(heldout_losses, confidence)
    if found.value is None or found.low is None or found.high is None:
        return found
    least = float(optimum["value"])
    return replace(
        found,
        value=found.value - least,
        low=found.low - least,
        high=found.high - least,
        method=f"{found.method}, less the least loss: {optimum['source']}",
    )


def pretraining_checkpoints(record: StageRecord, run: str, confidence: float = 0.95) -> tuple[Checkpoint, ...]:
    """The checkpoints of a pretraining record in order of steps, named `run@step`, without downstream numbers yet."""
    return tuple(
        Checkpoint(
            encoder=f"{run}@{found['step']}",
            step=int(found["step"]),
            empirical_pretraining_loss=empirical_pretraining_loss(found["training_losses"], confidence),
            pretraining_loss=pretraining_loss(found["heldout_losses"], confidence),
            pretraining_gap=pretraining_gap(found["heldout_losses"], found["training_losses"], confidence),
            pretraining_optimization_gap=pretraining_optimization_gap(
                found["heldout_losses"], record.data.get("optimum"), confidence
            ),
        )
        for found in _found(record.data)
    )


def heldout_batches(record: StageRecord) -> NDArray[np.float64]:
    """Held-out batch losses [checkpoints, batches] of a pretraining record; columns are the same batches and draws."""
    return np.array([found["heldout_losses"] for found in _found(record.data)], dtype=np.float64)


def _found(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return sorted(data["checkpoints"], key=lambda found: int(found["step"]))


def _vector(losses: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(losses, dtype=np.float64).reshape(-1)


def _from_batches(
    interval: Callable[..., Interval],
    samples: tuple[ArrayLike, ...],
    method: str,
    confidence: float,
    assumptions: tuple[str, ...],
) -> Estimate:
    vectors = [_vector(sample) for sample in samples]
    shortest = min(v.size for v in vectors)
    if shortest < 2:
        return not_identified(f"{shortest} batches have no spread; at least 2 are needed", n=shortest, method=method)
    found = interval(*vectors, confidence)
    return Estimate(
        value=found.value,
        low=found.low,
        high=found.high,
        confidence=confidence,
        grade="statistical",
        n=found.units,
        method=method,
        assumptions=assumptions,
        reference=REFERENCE,
    )
