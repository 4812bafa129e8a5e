"""Losses and errors on rows that were not fitted, with intervals of the grade that the rows allow.

A mean loss over m units has the interval x̄ ± t·s/√m + γ·s·(1 + 2t²)/(6m): Johnson's (1978) correction of t for
the skewness γ of the units moves both ends towards the longer tail, for losses upwards. It mends most, not all: below
50 units, or below 10·γ² of them, the end on that side still under-covers (docs/validation.md, "Ends") and the
assumptions say so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limen.arrays.intervals import (
    Mean,
    clopper_pearson_lower,
    clopper_pearson_upper,
    kl_lower,
    kl_upper,
    mean_difference,
    mean_of,
)
from limen.records.estimate import Estimate, not_identified
from limen.records.units import counted

Vector = NDArray[np.floating]
Labels = NDArray[np.integer]

REFERENCE = "docs/how-sure.md: losses and errors"


LEAST_UNITS = 50
UNITS_PER_SQUARED_SKEWNESS = 10


def loss_estimate(losses: Vector, groups: Labels | None, confidence: float) -> Estimate:
    """Mean loss with its t interval, corrected for skewness; groups, where given, are the units. Shapes [m], [m]."""
    units = _units((losses, groups))
    if units < 2:
        why = ("one independent unit: no error can be told from it",)
        return Estimate(float(losses.mean()), grade="point", n=units, method="mean", assumptions=why)
    found = mean_of(losses, groups)
    assumptions = unit_assumptions(found, "rows" if groups is None else "groups")
    return _statistical(found, confidence, "mean with t interval, corrected for skewness", assumptions)


def unit_assumptions(mean: Mean, unit: str) -> tuple[str, ...]:
    """What the units are taken for, and where they are too few for their interval.

    >>> unit_assumptions(mean_of([0.0, 1.0]), "rows")
    ('independent rows', 'fewer than 50 units: an end may under-cover')
    """
    said = [f"independent {unit}"]
    if unit == "groups" and mean.dof < mean.units - 1.5:
        said.append(f"groups of unequal size: {mean.dof:.3g} effective degrees of freedom")
    skewness = mean.skewness * mean.units**0.5
    end = "the upper end under-covers" if skewness > 0 else "the lower end under-covers"
    if mean.units < LEAST_UNITS:
        said.append(f"fewer than {LEAST_UNITS} units: {end if abs(skewness) > 0.5 else 'an end may under-cover'}")
    elif mean.units < (needed := UNITS_PER_SQUARED_SKEWNESS * skewness**2):
        said.append(f"{mean.units:,} units of skewness {skewness:.1f}, where {needed:,.0f} would do: {end}")
    return tuple(said)


def paired_estimate(differences: Vector, groups: Labels | None, confidence: float) -> Estimate:
    """Mean of per-row differences of two fitted models."""
    found = loss_estimate(differences, groups, confidence)
    return found.but(
        method="paired t interval, corrected for skewness",
        assumptions=(*found.assumptions, "conditional on the fitted models"),
    )


def error_estimate(wrong: NDArray[np.bool_], groups: Labels | None, confidence: float) -> Estimate:
    """0-1 error: Clopper-Pearson for independent rows (certified), a cluster t interval for grouped ones.

    >>> error_estimate(np.array([True] * 5 + [False] * 95), None, 0.95).text()
    '0.050 (0.016 to 0.113) ■'
    """
    if groups is not None:
        return loss_estimate(wrong.astype(np.float64), groups, confidence).but(method="error with cluster t interval")
    k, n, delta = int(wrong.sum()), len(wrong), (1 - confidence) / 2
    return Estimate(
        k / n,
        clopper_pearson_lower(k, n, delta),
        clopper_pearson_upper(k, n, delta),
        confidence=confidence,
        grade="certified",
        n=n,
        method="Clopper-Pearson",
        assumptions=("independent rows",),
        reference=REFERENCE,
    )


def balanced_error_estimate(
    wrong: NDArray[np.bool_], labels: Labels, classes: int, groups: Labels | None, confidence: float
) -> Estimate:
    """Mean over classes of the error within the class, given the labels.

    Σ_c (1/K)·mean_c = mean over the m rows of Y_i = wrong_i·m/(K·n_c), independent in [0, s], s = m/(K·min n_c):
    the Chernoff-kl bound for independent variables of different means (Hoeffding 1963, Theorem 1) certifies it.
    No mean of errors exceeds 1, so neither does its upper end, though s and the bound may where a class has few rows.
    Rows in groups: the same mean with cluster t interval (statistical).
    """
    counts = np.bincount(labels, minlength=classes)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        reason = f"{len(empty)} of {classes} classes have no held-out row (first: label {empty[0]})"
        return not_identified(reason, method="mean of class errors", reference=REFERENCE)
    m = len(labels)
    rows = wrong * (m / (classes * counts[labels]))
    if groups is not None:
        return loss_estimate(rows, groups, confidence).but(method="mean of class errors, cluster t interval")
    scale, delta, value = m / (classes * int(counts.min())), (1 - confidence) / 2, float(rows.mean())
    return Estimate(
        value,
        kl_lower(value, m, delta, scale),
        min(kl_upper(value, m, delta, scale), 1.0),
        confidence=confidence,
        grade="certified",
        n=m,
        method="mean of class errors, kl bound, at most 1 as every error",
        assumptions=("independent rows within each class",),
        reference=REFERENCE,
    )


def shift_estimate(
    there: tuple[Vector, Labels | None], here: tuple[Vector, Labels | None], confidence: float
) -> Estimate:
    """Loss on another population less the loss on the holdout: two samples (losses, groups or None), Welch interval.

    Each mean has the standard error and degrees of freedom of its units, rows or groups, joined by Welch-Satterthwaite
    and corrected for the skewness of the difference.

    >>> sample = (np.array([1.0, 2.0, 3.0]), None)
    >>> shift_estimate(sample, sample, 0.95).text()
    '0.0 (-2.3 to 2.3) ◆'
    """
    if min(_units(there), _units(here)) < 2:
        why = ("one independent unit: no error can be told from it",)
        value = float(there[0].mean() - here[0].mean())
        return Estimate(value, grade="point", n=1, method="difference of means", assumptions=why)
    means = [mean_of(*sample) for sample in (there, here)]
    unit = "rows" if there[1] is None and here[1] is None else "groups"
    said = [f"independent {unit} in both populations"]
    for mean, name in zip(means, ("that population", "the holdout"), strict=True):
        said += [f"{name}: {note}" for note in unit_assumptions(mean, unit)[1:]]
    return _statistical(mean_difference(*means), confidence, "difference of means, Welch", tuple(said))


def _units(sample: tuple[Vector, Labels | None]) -> int:
    losses, groups = sample
    return len(losses) if groups is None else len(np.unique(groups))


def label_weighted_loss(
    sample: tuple[Vector, Labels | None], labels: Labels, target_shares: Vector, confidence: float
) -> Estimate:
    """Loss if only the label mix differed: Σ_c π_c·mean_c with variance Σ_c π_c²·s_c²/n_c, s_c² with n_c − 1.

    Not identified where a class of the mix has no row here, or one: no variance can be told from it.
    """
    losses, groups = sample
    shares = np.asarray(target_shares)
    counts = np.bincount(labels, minlength=len(shares))
    for few, what in ((0, "no row here, so no weight reaches it"), (1, "one row here, which tells no variance")):
        if short := int(((counts == few) & (shares > 0)).sum()):
            reason = f"{counted(short, 'class', 'classes')} of the train mix {'has' if short == 1 else 'have'} {what}"
            return not_identified(reason, method="label-weighted mean", reference=REFERENCE)
    per_class = np.bincount(labels, weights=losses, minlength=len(counts)) / np.maximum(counts, 1)
    weights = shares / np.maximum(counts / counts.sum(), 1e-300)
    # residuals of a class mean of n_c rows have (n_c − 1)/n_c of the variance of the rows
    unbiased = np.sqrt(counts / np.maximum(counts - 1, 1))
    # influence of a row on Σ_c π_c·mean_c: π_c/share_c·(loss − mean_c)
    rows = float(shares @ per_class) + (weights * unbiased)[labels] * (losses - per_class[labels])
    found = loss_estimate(rows, groups, confidence)
    return found.but(method="label-weighted mean", assumptions=(*found.assumptions, "only the label mix differs"))


def _statistical(found: Mean, confidence: float, method: str, assumptions: tuple[str, ...]) -> Estimate:
    delta = (1 - confidence) / 2
    return Estimate(
        found.value,
        found.low(delta),
        found.high(delta),
        confidence=confidence,
        grade="statistical",
        n=found.units,
        method=method,
        assumptions=assumptions,
        reference=REFERENCE,
    )
