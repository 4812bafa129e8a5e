"""`limen.probe_path`: linear probes along a path of penalties or radii, each with its certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limen.adapt.linear_probe import LinearProbe
from limen.adapt.penalised import PenalisedFit, WeightedRows
from limen.adapt.penalty_path import penalty_path, radius_path
from limen.adapt.probe_rows import Intercept
from limen.adapt.torch_passes import passes_on
from limen.arrays.environment import environment
from limen.arrays.row_blocks import row_blocks
from limen.records.errors import BadInput, Problem

LARGEST = 1e152
"""Largest size of a feature, and the inverse of the least largest one."""


def probe_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    penalties: Sequence[float] | None = None,
    radii: Sequence[float] | None = None,
    sample_weight: ArrayLike | None = None,
    intercept: Intercept = "penalized",
    tolerance: float | Sequence[float] = 1e-4,
    device: str | None = None,
) -> list[LinearProbe]:
    """Multinomial logistic probes on raw features, one a penalty or radius, each with a proof of optimality.

    With row shares s_i = weight_i/Σ weights, W [K, d], b [K], ℓ the log loss of softmax(Wx + b), a penalty λ > 0
    asks for

        min F_λ,  F_λ(W, b) = Σ_i s_i ℓ(Wx_i + b, y_i) + λ/2·‖W‖²_F        (+ λ/2·‖b‖² if the intercept is penalized)

    and a radius B for min Σ_i s_i ℓ(Wx_i + b, y_i) over ‖W‖²_F (+ ‖b‖²) ≤ B². K rows of W also for two classes:
    scikit-learn's LogisticRegression(C) is intercept="free" with λ = 1/(C·n), and λ = 2/(C·n) for two classes.

    Parameters: `X` [n, d], any float or integer type; `y` [n]; one of `penalties`, `radii`; `sample_weight` [n] ≥ 0;
    `tolerance`: largest certified gap, in nats, one number or one a fit; `device`: "cuda" or "cpu" for passes through
    torch (limen.adapt.torch_passes), None for numpy. Certificates are numpy in float64 either way.
    Returns fitted LinearProbes in the order asked: `coef_` [K, d], `intercept_` [K], `objective_` (F_λ; for a radius
    the mean loss), `certificate_` (`minimum`: no adapter has a lower objective; `gap` = objective − minimum, float64;
    `converged`), `penalty_`, `radius_` (for a penalty the norm of the fit), `n_iter_` (passes over the rows),
    `environment_` (threads of this process, linear algebra library, versions).
    A fit that stops short of its tolerance says so in `certificate_.converged` and carries its true gap.
    Certificate: the Fenchel dual (limen.adapt.penalised). Solver: limen.adapt.penalty_path.

    Two rows x = ±1 of opposite labels: W = (w, −w) has ∇F = 0 where λw = 1/(1 + e^{2w}); w = ¼:

    >>> penalty = 4 / (1 + np.exp(0.5))
    >>> probe = probe_path([[1.0], [-1.0]], [0, 1], penalties=[penalty], tolerance=1e-10)[0]
    >>> probe.coef_.round(4).tolist(), probe.certificate_.gap < 1e-10
    ([[0.25], [-0.25]], True)

    Raises BadInput (a LimenError), with every problem found: neither or both of penalties and radii; numbers that are
    not positive and finite; X not two-dimensional, or with NaN or infinities; lengths that differ; fewer than two
    classes; weights that are negative, not finite or all 0; a free intercept with a class of weight 0 (no minimiser);
    first of all a device that is not there.
    """
    passes_on(device)  # a device that is not there is found before any work
    rows, classes = checked_rows(X, y, sample_weight, intercept)
    asked, tolerances = _asked(penalties, radii, tolerance)
    free = intercept == "free"
    solve = penalty_path if penalties is not None else radius_path
    fits = solve(rows, asked, free, tolerances, device)
    probes = [_probe(fit, classes, float(limit)) for fit, limit in zip(fits, tolerances, strict=True)]
    used = environment()
    for probe in probes:
        probe.environment_ = used
    return probes


def _probe(fit: PenalisedFit, classes: NDArray[np.generic], tolerance: float) -> LinearProbe:
    probe = LinearProbe(radius=fit.radius, tolerance=tolerance)
    probe.classes_, probe.feature_map_ = classes, None
    probe.coef_, probe.intercept_ = fit.weights, fit.intercept
    probe.objective_, probe.certificate_ = fit.objective, fit
    probe.penalty_, probe.radius_ = fit.penalty, fit.radius
    probe.n_iter_, probe.n_features_in_ = fit.products, fit.weights.shape[1]
    return probe


def _asked(
    penalties: Sequence[float] | None, radii: Sequence[float] | None, tolerance: float | Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    problems = []
    if (penalties is None) == (radii is None):
        came = "neither" if penalties is None else "both"
        problems.append(
            Problem("penalties, radii", f"expected exactly one of the two, got {came}", fix="penalties=[1e-3, 1e-2]")
        )
    name, values = ("penalties", penalties) if radii is None else ("radii", radii)
    asked = np.atleast_1d(numbers([] if values is None else values))
    if values is not None and (asked.ndim != 1 or not len(asked) or not (np.isfinite(asked) & (asked > 0)).all()):
        cause = "without a penalty separable rows have no minimiser" if name == "penalties" else ""
        fix = "leave 0 out" if (asked == 0).any() else f"{name}=[1e-3, 1e-2]"
        problems.append(Problem(name, f"expected positive, finite numbers, got {values}", cause, fix))
    limits = numbers(tolerance)
    if limits.ndim == 0:
        limits = np.full(len(asked), float(limits))
    if limits.shape != asked.shape or not (np.isfinite(limits) & (limits > 0)).all():
        problems.append(
            Problem("tolerance", f"expected one positive number, or one a fit ({len(asked)}), got {tolerance}")
        )
    if problems:
        raise BadInput(problems)
    return asked, limits


def checked_rows(
    X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, intercept: str
) -> tuple[WeightedRows, NDArray[np.generic]]:
    """Rows with their shares, and the classes; raises BadInput with every problem of the four."""
    features, target = np.asarray(X), np.asarray(y)
    problems = [*_features(features), *_targets(features, target)]
    if intercept not in ("penalized", "free"):
        problems.append(Problem("intercept", f'expected "penalized" or "free", got {intercept!r}'))
    weights = np.ones(target.shape) if sample_weight is None else numbers(sample_weight)
    if weights.shape != target.shape or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        problems.append(
            Problem(
                "sample_weight",
                f"expected {target.shape} finite numbers of at least 0, not all 0, got shape {weights.shape}"
                + (f" from {weights.min():g} to {weights.max():g}" if weights.size else ""),
            )
        )
    if problems:
        raise BadInput(problems)
    classes, labels = np.unique(target, return_inverse=True)
    if not np.issubdtype(features.dtype, np.floating) or features.dtype.itemsize < 4:
        features = features.astype(np.float32 if features.dtype == np.float16 else np.float64)
    rows = WeightedRows(features, labels.astype(np.int64), len(classes), _shares(weights))
    empty = np.flatnonzero(rows.class_shares == 0)
    if intercept == "free" and len(empty):
        raise BadInput(
            [
                Problem(
                    "sample_weight",
                    f"all rows of class {classes[empty[0]]} have weight 0",
                    "its free intercept would go to −∞: no minimiser exists",
                    'leave these rows out, or use intercept="penalized"',
                )
            ]
        )
    return rows, classes


def numbers(values: Any) -> NDArray[np.float64]:
    """Values as float64; a single NaN where they are no numbers, which every check refuses and names.

    >>> numbers([1, 2]).tolist(), numbers("auto").tolist()
    ([1.0, 2.0], nan)
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array(np.nan)


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights over their sum, which may be beyond float64."""
    shares: NDArray[np.float64] = weights / weights.max()
    shares /= shares.sum()
    return shares


def _features(features: NDArray[Any]) -> list[Problem]:
    if features.ndim != 2 or features.dtype.kind not in "fiub" or 0 in features.shape:
        return [Problem("X", f"expected numbers [rows, features], got {features.dtype} of shape {features.shape}")]
    if features.dtype.kind != "f":
        return []
    largest = 0.0
    for block, values in row_blocks(features):
        size = float(np.abs(values).max())
        largest = max(largest, size)
        if not np.isfinite(size):
            row, column = np.argwhere(~np.isfinite(values))[0] + (block.start, 0)
            return [
                Problem(
                    "X",
                    f"expected finite numbers, got {features[row, column]} in row {row}, column {column}",
                    "an embedding that overflowed, or a missing value",
                    "drop or repair these rows",
                )
            ]
    if largest > LARGEST or 0 < largest < 1 / LARGEST:
        what = f"expected numbers between {1 / LARGEST:g} and {LARGEST:g} in size, got at most {largest:g}"
        return [Problem("X", what, "their squares are beyond float64", "divide X by its largest size")]
    return []


def _targets(features: NDArray[Any], target: NDArray[Any]) -> list[Problem]:
    if target.ndim != 1 or len(target) != len(features):
        rows = len(features) if features.ndim else 0
        return [Problem("y", f"expected one label a row ({rows}), got shape {target.shape}")]
    if target.dtype.kind == "f" and not np.isfinite(target).all():
        return [Problem("y", f"row {int(np.flatnonzero(~np.isfinite(target))[0])} has no label (NaN or infinite)")]
    if target.dtype.kind == "f" and (target != np.round(target)).any():
        return [Problem("y", "expected class labels, got continuous numbers", fix="bin them, or fit a regression")]
    try:
        classes = np.unique(target)
    except TypeError:
        mixed = sorted({type(label).__name__ for label in target.tolist()})
        return [Problem("y", f"expected labels of one type, got {', '.join(mixed)}", "a missing label")]
    if len(classes) < 2:
        return [Problem("y", f"expected at least two classes, got {classes.tolist()}", "a subset of one class only")]
    return []
