"""`limen.leave_one_out`: what a probe loses on a row that it has not seen, for every penalty, from fits on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.adapt.approximate_left_out import approximate_left_out, curvature_of
from limen.adapt.feature_map import Matrix
from limen.adapt.left_out import refits, settle, steering
from limen.adapt.losses import per_example_loss, predictions
from limen.adapt.penalised import WeightedRows
from limen.adapt.penalty_path import penalty_path
from limen.adapt.probe_path import checked_rows, numbers
from limen.adapt.probe_rows import Intercept, ProbeRows, probe_rows
from limen.adapt.ridge_rows import ridge_rows
from limen.arrays.random import stream
from limen.records.errors import BadInput, Problem
from limen.records.task import Integers, Loss

CHECK_ROWS = 20
TOLERANCE = 1e-4
"""Gap of the fits that Newton steps then settle."""
UNSETTLED = 0.05
"""√(n·δ²) above which a fit is said not to have settled: scores of rows may be off by about as much."""
LEAST_PENALTY = 1e-14
"""Times the largest mean square of a direction: below it the Hessian and its penalty drown in float64 rounding."""
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Check:
    """Losses [m] of some rows by the approximation and by refits that really left them out, at one penalty."""

    rows: Integers
    approximate_loss: Matrix
    left_out_loss: Matrix
    unsettled: float
    """Bound of order of what the scores of the refits can still move."""

    @property
    def mean_difference(self) -> float:
        """Mean of approximate − left out: what the approximation is too high by."""
        return float((self.approximate_loss - self.left_out_loss).mean())

    @property
    def error_of_mean(self) -> float:
        """Standard error of `mean_difference` over draws of the rows; NaN for a single row."""
        difference = self.approximate_loss - self.left_out_loss
        return float(difference.std(ddof=1) / len(difference) ** 0.5) if len(difference) > 1 else float("nan")

    @property
    def largest_difference(self) -> float:
        """Largest |approximate − left out|."""
        return float(np.abs(self.approximate_loss - self.left_out_loss).max())


@dataclass(frozen=True, slots=True, repr=False)
class LeaveOneOut:
    """Leave-one-out of a probe at L penalties; losses are means over rows with their shares."""

    penalties: Matrix
    """[L]"""
    leave_one_out_loss: Matrix
    leave_one_out_error: Matrix
    training_loss: Matrix
    row_losses: Matrix
    """Leave-one-out loss of every row [L, n]."""
    loss: Loss
    intercept: Intercept
    method: Literal["exact", "full Hessian", "class blocks"]
    """Squared loss: exact. Log loss: the curvature of the approximation."""
    checks: tuple[Check, ...]
    """One a penalty; none for the squared loss, which is exact."""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> float:
        """The penalty of least leave-one-out loss; among equals the strongest."""
        least = self.leave_one_out_loss == self.leave_one_out_loss.min()
        return float(self.penalties[least].max())

    def __repr__(self) -> str:
        lines = [f"leave-one-out, {self.loss} loss, intercept {self.intercept}: {self.method}"]
        lines.append(f"{'penalty':>10} {'training':>10} {'left out':>10} {'error':>8}")
        checks: tuple[Check | None, ...] = self.checks or (None,) * len(self.penalties)
        if self.checks:
            lines[-1] += f"   check on {len(self.checks[0].rows)} rows really left out: mean difference, largest"
        for k, check in enumerate(checks):
            line = f"{self.penalties[k]:>10.3g} {self.training_loss[k]:>10.4f} {self.leave_one_out_loss[k]:>10.4f}"
            line += f" {self.leave_one_out_error[k]:>8.2%}"
            if check is not None:
                line += f"   {check.mean_difference:+.4f} ± {check.error_of_mean:.4f}, {check.largest_difference:.4f}"
            lines.append(line)
        return "\n".join([*lines, *self.notes])


def leave_one_out(
    X: ArrayLike,
    y: ArrayLike,
    penalties: Sequence[float] | NDArray[np.floating],
    *,
    loss: Loss = "log",
    intercept: Intercept = "penalized",
    sample_weight: ArrayLike | None = None,
    check_rows: int = CHECK_ROWS,
) -> LeaveOneOut:
    """Leave-one-out loss and error of a linear probe on raw features at every penalty, without n refits.

    With row shares s_i = weight_i/Σ weights the probe minimises Σ s_i ℓ_i + (λ/2)‖W‖² (log, as `probe_path`) or
    Σ s_i ‖z_i − e_y‖² + λ‖W‖² (squared, as `limen.adapt.ridge`), the intercept in the norm or free. Leaving row i out
    takes its term away and keeps the others and the absolute penalty: for the rows that stay λ counts 1/(1 − s_i)-fold.
    A row of weight 0 is scored by the fit on all rows.

    squared   exact (PRESS)
    log       one Newton step from the fit on all rows (limen.adapt.approximate_left_out), and for each penalty a check:
              the same loss on `check_rows` rows of positive weight, drawn at random, really left out and refitted.

    Parameters: `X` [n, d]; `y` [n]; `penalties` [L] > 0; `sample_weight` [n] ≥ 0; `check_rows` ≥ 1.
    Returns LeaveOneOut: losses and errors [L], `row_losses` [L, n], `checks`, `best`; its print is a table with checks.
    A class whose only row is left out is still a class: with a penalized intercept its scores are finite and its loss
    is large (squared: its score is 0); a note counts such rows. Fits that rounding stopped are noted too.

    Two rows x = 1 of different labels, squared loss, λ = 1: scores 1/3, h = 1/3, residuals 2/3 and 1/3 become 1 and ½.

    >>> result = leave_one_out([[1.0], [1.0]], [0, 1], [1.0], loss="squared")
    >>> result.training_loss.round(6).tolist(), result.leave_one_out_loss.round(6).tolist(), result.best
    ([0.555556], [1.25], 1.0)

    Raises BadInput (a LimenError) as `probe_path` does, and for another loss, fewer than 1 check row, fewer than two
    rows of positive weight, a free intercept of a class with one row (log loss: without it no minimiser exists), and a
    penalty so small beside the features that float64 cannot tell it from 0 (log loss).
    """
    rows, classes = checked_rows(X, y, sample_weight, intercept)
    asked = _checked(rows, classes, penalties, (loss, intercept, check_rows))
    notes = _alone(rows, classes)
    if loss == "squared":
        found = ridge_rows(rows, asked, intercept)
        training, out, wrong = found.training_loss @ rows.shares, found.leave_one_out_loss, found.leave_one_out_wrong
        return LeaveOneOut(
            asked, out @ rows.shares, wrong @ rows.shares, training, out, loss, intercept, "exact", (), notes
        )
    return _logistic(rows, asked, intercept, check_rows, notes)


def _logistic(
    rows: WeightedRows, penalties: Matrix, intercept: Intercept, check_rows: int, notes: tuple[str, ...]
) -> LeaveOneOut:
    inner, which = probe_rows(rows, intercept, float(penalties.max())), _drawn(rows, check_rows)
    _not_below_rounding(inner, penalties)
    fits = penalty_path(rows, penalties, intercept == "free", np.full(len(penalties), TOLERANCE))
    losses, checks = np.empty((len(penalties), len(rows))), []
    training, error = np.empty(len(penalties)), np.empty(len(penalties))
    for k, fit in enumerate(fits):
        penalty = float(penalties[k])
        start = inner.inner(fit.weights, fit.intercept)
        blocks = steering(inner, start, penalty)
        settled = settle(inner, start, penalty, blocks)
        weights = settled.weights[0]
        if not settled.unsettled[0] <= UNSETTLED:
            notes += (
                f"penalty {penalty:.3g}: the fit did not settle, scores may be off by {settled.unsettled[0]:.2g}; "
                "a stronger penalty or rescaled features would help",
            )
        scores = approximate_left_out(inner, weights, penalty)
        losses[k] = per_example_loss(scores, rows.labels, "log")
        error[k] = rows.shares @ (predictions(scores) != rows.labels)
        training[k] = rows.shares @ per_example_loss(inner.coordinates @ weights.T, rows.labels, "log")
        found = refits(inner, weights, penalty, blocks, which)
        left = np.einsum("bkr,br->bk", found.weights, inner.coordinates[which])
        left_loss = per_example_loss(left, rows.labels[which], "log")
        checks.append(Check(which, losses[k][which], left_loss, float(found.unsettled.max())))
    loss = losses @ rows.shares
    kind = curvature_of(inner)
    return LeaveOneOut(penalties, loss, error, training, losses, "log", intercept, kind, tuple(checks), notes)


def _not_below_rounding(inner: ProbeRows, penalties: Matrix) -> None:
    least, largest = float(penalties.min()), inner.largest
    if least < LEAST_PENALTY * largest:
        what = f"expected at least {LEAST_PENALTY * largest:.2g} beside features of this size, got {least:.2g}"
        cause = f"mean square {largest:.2g} along the largest direction: float64 cannot tell the penalty from 0"
        raise BadInput(Problem("penalties", what, cause, "raise the penalty, or divide X by its size"))


def _drawn(rows: WeightedRows, count: int) -> Integers:
    """Rows of positive weight, all of them where they are fewer than asked."""
    some = np.flatnonzero(rows.shares > 0)
    draw = stream("left out", len(rows)).permutation(len(some))[:count]
    return np.sort(some[draw])


def _singles(rows: WeightedRows) -> Integers:
    """Classes of one row of positive weight."""
    return np.flatnonzero(np.bincount(rows.labels, rows.shares > 0, rows.classes) == 1)


def _alone(rows: WeightedRows, classes: NDArray[np.generic]) -> tuple[str, ...]:
    single = _singles(rows)
    if not len(single):
        return ()
    what = f"{len(single)} of {rows.classes} classes have one row ({_some(classes, single)})"
    return (f"{what}: left out, it is scored by a probe that never saw its class",)


def _some(classes: NDArray[np.generic], which: Integers) -> str:
    shown = ", ".join(str(classes[c]) for c in which[:NAMES_SHOWN])
    return shown + (", …" if len(which) > NAMES_SHOWN else "")


def _checked(
    rows: WeightedRows,
    classes: NDArray[np.generic],
    penalties: Sequence[float] | NDArray[np.floating],
    options: tuple[str, str, int],
) -> Matrix:
    loss, intercept, check_rows = options
    problems, asked = [], np.atleast_1d(numbers(penalties))
    if asked.ndim != 1 or not len(asked) or not (np.isfinite(asked) & (asked > 0)).all():
        cause = "without a penalty separable rows have no minimiser"
        what = f"expected positive, finite numbers, got {penalties}"
        problems.append(Problem("penalties", what, cause, "leave 0 out"))
    if loss not in ("log", "squared"):
        problems.append(Problem("loss", f'expected "log" or "squared", got {loss!r}'))
    if not isinstance(check_rows, int | np.integer) or check_rows < 1:
        cause = "the approximation is never returned unchecked"
        problems.append(Problem("check_rows", f"expected a whole number of at least 1, got {check_rows}", cause))
    if np.count_nonzero(rows.shares) < 2:
        problems.append(Problem("sample_weight", "expected at least two rows of positive weight, got one"))
    single = _singles(rows)
    if loss == "log" and intercept == "free" and len(single):
        what = f"expected at least two rows a class, got one of {_some(classes, single)}"
        cause = "without it the free intercept of its class goes to −∞: no minimiser exists, its loss is infinite"
        problems.append(Problem("y", what, cause, 'use intercept="penalized", or leave these classes out'))
    if problems:
        raise BadInput(problems)
    return asked
