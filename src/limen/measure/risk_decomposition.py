"""Dubois' four terms of a probe's risk, signed, with intervals, and with a test set that tunes nothing.

For one encoder, Train of N rows, m of them left out at random, Test of k rows, R̂ = mean of the loss or of wrong or not:

    R_AF  probe fitted on Train, scored on Train
    R_AS  probe fitted on Train less the left-out rows, scored on those
    R_US  probe fitted on Train, scored on Test
    R_ΦF  training risk of a supervised network, where there is one

    approximation          R_ΦF           mean
    usability              R_AF − R_ΦF    paired over the rows of Train
    probe_generalization   R_AS − R_AF    rows joined: mean of (N/m)·1[i left out](c_i − c̄) − (t_i − t̄), plus c̄ − t̄
    encoder_generalization R_US − R_AS    two samples, Welch

They add up to R_US exactly. Intervals are conditional on the fitted probes. What the paper does and is not done here:
hyperparameters tuned on Test; negative terms set to 0; approximation set to 0 by hand (theory §3, limitations 2, 3).
R_AF is a training risk: below the least risk of the class on average for the trained loss at no penalty, of unknown
sign for wrong or not and with a penalty. Where the encoder never saw Train, encoder_generalization is the difference of
Train's and Test's populations and nothing else (limitation 5): say so by `seen`.

Source: Dubois, Hashimoto, Liang 2023 (arXiv:2302.03068).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from limen.adapt.choose_penalties import choose_penalties
from limen.adapt.losses import per_example_loss
from limen.adapt.probe_path import probe_path
from limen.arrays.random import stream
from limen.measure.risk import loss_estimate, paired_estimate, shift_estimate
from limen.records.errors import BadInput, Problem
from limen.records.estimate import Estimate, not_identified
from limen.records.risk_decomposition import TERMS, RiskDecomposition

Floats = NDArray[np.float64]
Groups = NDArray[np.int64] | None
Rows = tuple[NDArray[np.floating], NDArray[Any]]
"""Features [n, d] and labels [n]."""

REFERENCE = "Dubois, Hashimoto, Liang 2023"
MAPPED = 3
"""Of the seven penalties around the mapped one."""
GIVEN = "given the fitted probes"
UNSEEN = "the encoder never saw Train: a difference of Train's and Test's populations, not of the encoder"


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """One number a row, loss or 0/1: of the probes and, where there is one, of a supervised network."""

    train: Floats
    """[N], probe fitted on Train, on Train."""
    left_out: Floats
    """[m], probe fitted on the rest of Train, on the rows left out."""
    left_out_rows: NDArray[np.int64]
    """[m], which rows of Train these are."""
    test: Floats
    """[k], probe fitted on Train, on Test."""
    supervised: Floats | None = None
    """[N], supervised network on the rows of Train that it was trained on."""
    train_groups: Groups = None
    test_groups: Groups = None


def decompose_risk(
    rows: ScoredRows,
    quantity: Literal["log loss", "error"] = "log loss",
    seen: bool = False,
    confidence: float = 0.95,
) -> RiskDecomposition:
    """The four terms from scored rows. `seen`: Train was part of what the encoder was pretrained on.

    >>> rows = ScoredRows(np.array([1.0, 1, 1, 1]), np.array([2.0, 2]), np.array([0, 1]), np.array([5.0, 5]))
    >>> found = decompose_risk(rows)
    >>> found.terms["probe_generalization"].value, found.terms["encoder_generalization"].value, found.residual
    (1.0, 3.0, 0.0)

    Raises BadInput for lengths that do not fit and for numbers that are not finite.
    """
    _check(rows)
    groups = None if rows.train_groups is None else rows.train_groups[rows.left_out_rows]
    risks = {
        "train_on_train": loss_estimate(rows.train, rows.train_groups, confidence),
        "train_on_left_out": loss_estimate(rows.left_out, groups, confidence),
        "train_on_test": loss_estimate(rows.test, rows.test_groups, confidence),
    }
    if rows.supervised is not None:
        risks = {"supervised": loss_estimate(rows.supervised, rows.train_groups, confidence)} | risks
    terms = _supervised_terms(rows, confidence)
    gap = loss_estimate(_probe_rows(rows), rows.train_groups, confidence)
    terms["probe_generalization"] = gap.but(method="left-out less training, rows joined")
    shift = shift_estimate((rows.test, rows.test_groups), (rows.left_out, groups), confidence)
    terms["encoder_generalization"] = shift if seen else shift.but(assumptions=(*shift.assumptions, UNSEEN))
    known = [_value(terms[name]) for name in TERMS[2:]]
    first = sum(_value(terms[n]) for n in TERMS[:2]) if rows.supervised is not None else _value(risks["train_on_train"])
    return RiskDecomposition(
        quantity=quantity,
        terms={name: _named(terms[name]) for name in TERMS},
        risks={name: _named(risk) for name, risk in risks.items()},
        residual=first + sum(known) - _value(risks["train_on_test"]),
    )


@dataclass(frozen=True, slots=True)
class DuboisScores:
    """What the probes give on every set of rows, in both quantities, and the penalty that both had."""

    log_loss: ScoredRows
    error: ScoredRows
    penalty: float


def dubois_scores(train: Rows, test: Rows, left_out: int, penalty: float | None = None, seed: int = 0) -> DuboisScores:
    """Fit both probes on features and labels of Train and score them; Test is scored only.

    Without a `penalty` it is the one that leave-one-out of the squared loss points to (`limen.adapt.choose_penalties`)
    on Train less the `left_out` rows.
    Raises BadInput for a Test of other classes or features, fewer than 2 left-out rows, rows that `probe_path` refuses.
    """
    (x, y), (x_test, y_test) = ((np.asarray(f, np.float64), np.asarray(labels)) for f, labels in (train, test))
    _check_sets(x, (y, y_test), x_test, left_out)
    order = stream("dubois", len(x), left_out, seed).permutation(len(x))
    out, rest = np.sort(order[:left_out]).astype(np.int64), np.sort(order[left_out:])
    chosen = penalty or float(choose_penalties(x[rest], y[rest]).penalties[MAPPED])
    whole = _Probe.fitted(x, y, chosen)
    part = _Probe.fitted(x[rest], y[rest], chosen)
    numbers = [whole.scored(x, y), part.scored(x[out], y[out]), whole.scored(x_test, y_test)]
    losses, wrongs = (ScoredRows(numbers[0][which], numbers[1][which], out, numbers[2][which]) for which in (0, 1))
    return DuboisScores(losses, wrongs, float(chosen))


def decompose_encoder(
    train: Rows, test: Rows, left_out: int, supervised: Mapping[str, Floats] | None = None, seen: bool = False
) -> dict[str, RiskDecomposition]:
    """Both decompositions of one encoder, `log loss` and `error`, at confidence 0.95, in one call.

    `supervised` has, by the same names, numbers [N] of a supervised network of the encoder's architecture on Train.
    """
    scores = dubois_scores(train, test, left_out)
    found: dict[str, RiskDecomposition] = {}
    for quantity, rows in (("log loss", scores.log_loss), ("error", scores.error)):
        own = replace(rows, supervised=(supervised or {}).get(quantity))
        named: Literal["log loss", "error"] = "log loss" if quantity == "log loss" else "error"
        found[quantity] = replace(decompose_risk(own, named, seen), penalty=scores.penalty)
    return found


@dataclass(frozen=True, slots=True)
class _Probe:
    weights: Floats
    intercept: Floats
    classes: NDArray[Any]

    @classmethod
    def fitted(cls, x: Floats, y: NDArray[Any], penalty: float) -> _Probe:
        probe = probe_path(x, y, penalties=[penalty])[0]
        return cls(probe.coef_, probe.intercept_, probe.classes_)

    def scored(self, x: Floats, y: NDArray[Any]) -> tuple[Floats, Floats]:
        """Log loss and wrong or not of every row."""
        scores = x @ self.weights.T + self.intercept
        labels = np.searchsorted(self.classes, y).astype(np.int64)
        return per_example_loss(scores, labels, "log"), (scores.argmax(axis=1) != labels).astype(np.float64)


def _supervised_terms(rows: ScoredRows, confidence: float) -> dict[str, Estimate]:
    if rows.supervised is None:
        reason = "needs the training risk of a supervised network of this architecture; R_AF is the two terms together"
        missing = not_identified(reason, reference=REFERENCE)
        return {"approximation": missing, "usability": missing}
    return {
        "approximation": loss_estimate(rows.supervised, rows.train_groups, confidence),
        "usability": paired_estimate(rows.train - rows.supervised, rows.train_groups, confidence),
    }


def _probe_rows(rows: ScoredRows) -> Floats:
    """[N] numbers whose mean is R_AS − R_AF and whose spread is its linearisation's."""
    gap = float(rows.left_out.mean() - rows.train.mean())
    joined: Floats = gap - (rows.train - rows.train.mean())
    joined[rows.left_out_rows] += len(rows.train) / len(rows.left_out) * (rows.left_out - rows.left_out.mean())
    return joined


def _named(estimate: Estimate) -> Estimate:
    if estimate.value is None:
        return estimate
    return estimate.but(assumptions=(*estimate.assumptions, GIVEN), reference=REFERENCE)


def _value(estimate: Estimate) -> float:
    return 0.0 if estimate.value is None else estimate.value


def _check(rows: ScoredRows) -> None:
    lengths = {
        "left_out_rows": (rows.left_out_rows, len(rows.left_out)),
        "supervised": (rows.supervised, len(rows.train)),
        "train_groups": (rows.train_groups, len(rows.train)),
        "test_groups": (rows.test_groups, len(rows.test)),
    }
    problems = [
        Problem(name, f"expected {length} numbers, got {len(array)}")
        for name, (array, length) in lengths.items()
        if array is not None and len(array) != length
    ]
    at = rows.left_out_rows
    if not problems and (len(np.unique(at)) < len(at) or at.min() < 0 or at.max() >= len(rows.train)):
        problems.append(Problem("left_out_rows", f"expected different rows of 0 … {len(rows.train) - 1}"))
    for name in ("train", "left_out", "test", "supervised"):
        array = getattr(rows, name)
        if array is not None and (len(array) < 2 or not np.isfinite(array).all()):
            problems.append(Problem(name, f"expected 2 finite numbers or more, got {len(array)}", "a fit diverged"))
    if problems:
        raise BadInput(problems)


def _check_sets(x: Floats, labels: tuple[NDArray[Any], NDArray[Any]], x_test: Floats, left_out: int) -> None:
    y, y_test = labels
    problems = []
    if x.ndim != 2 or x_test.ndim != 2 or x.shape[1] != x_test.shape[1]:
        problems.append(Problem("test", f"expected features as in train, got shapes {x.shape} and {x_test.shape}"))
    if strangers := sorted(set(np.unique(y_test).tolist()) - set(np.unique(y).tolist()), key=str):
        what = f"{len(strangers)} classes are not in train (first: {strangers[0]})"
        problems.append(Problem("test labels", what))
    if not 2 <= left_out <= len(x) // 2:
        problems.append(Problem("left_out", f"expected 2 to {len(x) // 2} rows, got {left_out}"))
    if problems:
        raise BadInput(problems)
