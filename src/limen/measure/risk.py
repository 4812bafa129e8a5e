"""Losses and errors on rows that were not fitted, with intervals of the grade that the rows allow."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from limen.arrays.intervals import (
    Interval,
    clopper_pearson_lower,
    clopper_pearson_upper,
    cluster_mean,
    kl_lower,
    kl_upper,
    student_interval,
    t_interval,
)
from limen.records.estimate import Estimate, not_identified

Vector = NDArray[np.floating]
Labels = NDArray[np.integer]

REFERENCE = "docs/how-sure.md: losses and errors"


def mean_error(losses: Vector, groups: Labels | None) -> tuple[float, float]:
    """Mean over rows and its standard error; rows of one group are one unit.

    >>> mean_error(np.array([0.0, 2.0]), None)
    (1.0, 1.0)
    """
    found = t_interval(losses) if groups is None else cluster_mean(losses, groups)
    return found.value, found.standard_error


def loss_estimate(losses: Vector, groups: Labels | None, confidence: float) -> Estimate:
    """Mean loss with its t interval (clustered by groups). Shapes [m], [m]."""
    units = _units((losses, groups))
    if units < 2:
        why = ("one independent unit: no error can be told from it",)
        return Estimate(float(losses.mean()), grade="point", n=units, method="mean", assumptions=why)
    found = t_interval(losses, confidence) if groups is None else cluster_mean(losses, groups, confidence)
    assumptions = ("independent rows",) if groups is None else ("independent groups",)
    return _statistical(found, "mean with t interval", assumptions)


def paired_estimate(differences: Vector, groups: Labels | None, confidence: float) -> Estimate:
    """Mean of per-row differences of two fitted models."""
    found = loss_estimate(differences, groups, confidence)
    return found.but(method="paired t interval", assumptions=(*found.assumptions, "conditional on the fitted models"))


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

    Without groups it is Welch's; with them each mean has its cluster standard error, and the degrees of freedom are
    Welch-Satterthwaite's with groups less one in place of rows less one.

    >>> sample = (np.array([1.0, 2.0, 3.0]), None)
    >>> shift_estimate(sample, sample, 0.95).text()
    '0.0 (-2.3 to 2.3) ◆'
    """
    if min(_units(there), _units(here)) < 2:
        why = ("one independent unit: no error can be told from it",)
        value = float(there[0].mean() - here[0].mean())
        return Estimate(value, grade="point", n=1, method="difference of means", assumptions=why)
    means, errors, units = zip(*(_mean_error_units(losses, groups) for losses, groups in (there, here)), strict=True)
    parts = np.square(errors)
    sizes = np.array(units) - 1
    dof = float(parts.sum()) ** 2 / float((parts**2 / sizes).sum()) if parts.sum() > 0 else float(sizes.sum())
    found = student_interval(means[0] - means[1], math.sqrt(parts.sum()), dof, confidence, sum(units))
    unit = "rows" if there[1] is None and here[1] is None else "groups"
    return Estimate(
        found.value,
        found.low,
        found.high,
        confidence=confidence,
        grade="statistical",
        n=found.units,
        method="difference of means, Welch",
        assumptions=(f"independent {unit} in both populations",),
        reference=REFERENCE,
    )


def _units(sample: tuple[Vector, Labels | None]) -> int:
    losses, groups = sample
    return len(losses) if groups is None else len(np.unique(groups))


def _mean_error_units(losses: Vector, groups: Labels | None) -> tuple[float, float, int]:
    return (*mean_error(losses, groups), len(losses) if groups is None else len(np.unique(groups)))


def label_weighted_loss(
    sample: tuple[Vector, Labels | None], labels: Labels, target_shares: Vector, confidence: float
) -> Estimate:
    """Loss if only the label mix differed: rows weighted by π_target(y)/π_here(y), labels' noise by delta method."""
    losses, groups = sample
    counts = np.bincount(labels, minlength=len(target_shares))
    missing = np.flatnonzero((counts == 0) & (np.asarray(target_shares) > 0))
    if len(missing):
        reason = f"{len(missing)} classes of the train mix have no row here, so no weight reaches them"
        return not_identified(reason, method="label-weighted mean", reference=REFERENCE)
    per_class = np.bincount(labels, weights=losses, minlength=len(counts)) / np.maximum(counts, 1)
    weights = np.asarray(target_shares) / np.maximum(counts / counts.sum(), 1e-300)
    # influence of a row on Σ_c π_c·mean_c: π_c/share_c·(loss − mean_c)
    rows = float(target_shares @ per_class) + weights[labels] * (losses - per_class[labels])
    found = loss_estimate(rows, groups, confidence)
    return found.but(method="label-weighted mean", assumptions=(*found.assumptions, "only the label mix differs"))


def _statistical(found: Interval, method: str, assumptions: tuple[str, ...]) -> Estimate:
    return Estimate(
        found.value,
        found.low,
        found.high,
        confidence=found.confidence,
        grade="statistical",
        n=found.units,
        method=method,
        assumptions=assumptions,
        reference=REFERENCE,
    )
