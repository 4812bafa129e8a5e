"""What closed forms need of one fit: moments of its rows, and ridge regression at every label count beside the probe.

Rows x_i [p] are mapped, the last feature is the constant 1; y_i ∈ {0, 1}^K is one-hot; n fit rows.

    E xxᵀ = V diag(s) Vᵀ,    power_jc = (v_jᵀ E x y_c)²        all that LogME and the predicted curve read of the rows
    Cov(x) = U diag(t) Uᵀ,   aligned_j = Σ_c (n_c/n)(u_jᵀ(x̄_c − x̄))²/t_j                          what H-scores read

Ridge regression on the one-hot labels, at the penalty of PENALTIES with the least exact leave-one-out loss in the first
subset of that label count; every subset is then fitted at that penalty and scored on the holdout. Training loss and
GCV come from the moments: no pass over the rows but that of the Gram matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg

from limen.adapt.ball import Rows
from limen.adapt.curve import holdout_losses, run_threads
from limen.adapt.feature_map import Matrix
from limen.adapt.losses import one_hot
from limen.adapt.prepare import Prepared
from limen.adapt.ridge import RidgeGrid, ridge_grid
from limen.adapt.split import subset_order
from limen.records.task import Floats

Arrays = dict[str, np.ndarray[Any, Any]]

PENALTIES: Matrix = 10.0 ** np.arange(-5.0, 1.0)
"""λ for rows of mean squared norm about 2: from nearly none to nearly all of the signal shrunk away."""
SUBSETS = 3
"""Subsets of each label count that are fitted: enough to show their spread."""
MOST_FEATURES = 2_048
"""Above it eigendecompositions cost more than the probe; the record then has no closed forms and says so."""
MOST_ROWS = 20_000
"""Rows that are read at most: the first of the first subset; label counts above it have no closed form."""
ROUNDING = 1e-13
"""Eigenvalues below this share of the largest one are 0."""

# shapes: n rows, p features, K classes, r rank, m held-out rows, P fitted subsets


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """One closed-form fit: its adapter [p, K] and what the moments of its own rows say of it."""

    weights: Matrix
    training_loss: float
    gcv: float


def closed_forms(
    prepared: Prepared, counts: tuple[int, ...], threads: int, source: Floats | None = None
) -> tuple[dict[str, Any], Arrays]:
    """Entries `closed_forms` and `closed.…` of the fit record; `source` [n, Z] are a source model's probabilities.

    Beside a linear probe only; anything else, and more features than MOST_FEATURES, leaves a reason instead.
    """
    spec, (n, p) = prepared.spec, prepared.fit.features.shape
    if spec.method != "linear-probe" or p > MOST_FEATURES:
        wide = f"{p - 1:,} features: closed forms are left out above {MOST_FEATURES:,}"
        return {"closed_forms": {"reason": wide if p > MOST_FEATURES else "they stand beside a linear probe"}}, {}
    rows = Rows(prepared.fit.features, prepared.fit.labels, prepared.classes, "squared")
    if n > MOST_ROWS:
        kept = subset_order(n, spec.split_seed, 0)[:MOST_ROWS]
        rows, source = rows.take(kept), None if source is None else source[kept]
    basis = _spectrum(rows.features)
    facts, arrays = moments(rows, basis)
    if source is not None:
        arrays["closed.source"] = np.asarray(source)
        arrays["closed.labels"] = rows.labels.astype(np.int32)
    grid, points, fits = _curve(prepared, counts, threads)
    weights = [fit.weights for fit in fits]
    free = _least_squares(rows, basis)
    if free is not None:
        weights.append(free[1])
    # one pass over the held-out rows for all of them
    losses, _ = holdout_losses(replace(prepared, holdout=replace(prepared.holdout, loss="squared")), weights)
    facts |= {
        "penalties": PENALTIES.tolist(),
        "grid": [
            {
                "n": int(one.counts[0]),
                "leave_one_out_loss": one.leave_one_out_loss[0].tolist(),
                "gcv": one.gcv[0].tolist(),
            }
            for one in grid
        ],
        "points": points,
        "least_squares": None if free is None else free[0] | {"holdout_loss": float(losses[-1].mean())},
    }
    return {"closed_forms": facts}, arrays | {"closed.holdout_loss": losses[: len(fits)]}


def moments(rows: Rows, basis: tuple[Matrix, Matrix] | None = None) -> tuple[dict[str, Any], Arrays]:
    """Spectra of the rows and how the labels lie in them; `basis` are s [r] and V [p, r] where known already.

    >>> rows = Rows(np.array([[1.0, 1.0], [-1.0, 1.0]]), np.array([0, 1]), 2, "squared")
    >>> facts, arrays = moments(rows)
    >>> arrays["closed.spectrum"].tolist(), arrays["closed.power"].round(12).tolist()
    ([1.0, 1.0], [[0.25, 0.25], [0.25, 0.25]])
    >>> arrays["closed.centred_spectrum"].tolist(), arrays["closed.aligned"].round(12).tolist()
    ([1.0], [1.0])
    """
    x, n = rows.features, len(rows)
    targets = one_hot(rows.labels, rows.classes)
    values, vectors = basis or _spectrum(x)
    power = (vectors.T @ (x.T @ targets / n)) ** 2
    seen = np.bincount(rows.labels, minlength=rows.classes)
    centred = x[:, :-1] - x[:, :-1].mean(axis=0)
    spread, directions = _spectrum(centred)
    between = centred.T @ targets / np.sqrt(n * np.maximum(seen, 1))
    aligned = ((directions.T @ between) ** 2).sum(axis=1) / spread
    facts = {
        "rows": n,
        "features": x.shape[1],
        "fourth_moment": float(((centred**2).sum(axis=1) ** 2).mean()),
    }
    arrays: Arrays = {
        "closed.spectrum": values,
        "closed.power": power,
        "closed.class_counts": seen.astype(np.int64),
        "closed.centred_spectrum": spread,
        "closed.aligned": aligned,
    }
    return facts, arrays


def ridge_fit(rows: Rows, square: Matrix | None, penalty: float) -> RidgeFit:
    """Ridge regression of the one-hot labels at λ > 0; `square` is Xᵀ X of these rows, needed for n ≥ p.

    >>> rows = Rows(np.array([[1.0], [1.0]]), np.array([0, 1]), 2, "squared")  # w = ¼ for both, df = ½
    >>> fit = ridge_fit(rows, np.array([[2.0]]), 1.0)
    >>> fit.weights.round(12).tolist(), round(fit.training_loss, 12), round(fit.gcv, 6)
    ([[0.25, 0.25]], 0.625, 1.111111)
    """
    x, n = rows.features, len(rows)
    targets = one_hot(rows.labels, rows.classes)
    if square is None:
        inverse = _inverse(x @ x.T + n * penalty * np.eye(n))
        dual = inverse @ targets
        loss, free = n * penalty**2 * float((dual**2).sum()), penalty * float(np.trace(inverse))
        return RidgeFit(x.T @ dual, loss, loss / free**2)
    gram, cross = square / n, x.T @ targets / n
    inverse = _inverse(gram + penalty * np.eye(len(gram)))
    weights = inverse @ cross
    loss = 1.0 - float((weights * (2 * cross - gram @ weights)).sum())
    degrees = len(gram) - penalty * float(np.trace(inverse))
    return RidgeFit(weights, loss, loss / (1 - degrees / n) ** 2)


def _inverse(matrix: Matrix) -> Matrix:
    """Of a positive definite matrix: its Cholesky factor, inverted in place."""
    factor, lower = scipy.linalg.cho_factor(matrix, lower=True)
    half = np.tril(scipy.linalg.lapack.dpotri(factor, lower=lower)[0])
    inverse: Matrix = half + np.tril(half, -1).T
    return inverse


def _spectrum(x: Matrix) -> tuple[Matrix, Matrix]:
    """Positive eigenvalues [r] of XᵀX/n and their eigenvectors [p, r], from the smaller of both Gram matrices."""
    n, p = x.shape
    if n < p:
        _, singular, right = scipy.linalg.svd(x, full_matrices=False)
        values, vectors = singular**2 / n, right.T
    else:
        values, vectors = scipy.linalg.eigh(x.T @ x / n)
    kept = values > ROUNDING * max(float(values.max(initial=0.0)), 1e-300)
    return values[kept], vectors[:, kept]


def _curve(
    prepared: Prepared, counts: tuple[int, ...], threads: int
) -> tuple[list[RidgeGrid], list[dict[str, Any]], list[RidgeFit]]:
    """Grids of the first subset, one a label count; then every subset at the penalty chosen there: facts, fits."""
    spec, fit = prepared.spec, prepared.fit
    counts = tuple(n for n in counts if n <= MOST_ROWS) or (MOST_ROWS,)

    def ordered(seed: int) -> Rows:
        order = subset_order(len(fit), spec.split_seed, seed)[: counts[-1]]
        return Rows(fit.features[order], fit.labels[order], fit.classes, "squared")

    first = ordered(0)
    # the largest first: label counts go side by side
    grid = run_threads(lambda n: ridge_grid(first, [n], PENALTIES), counts[::-1], threads)[::-1]
    chosen = [float(one.best()[0]) for one in grid]

    def chain(seed: int) -> list[tuple[dict[str, Any], RidgeFit]]:
        subset = first if seed == 0 else ordered(seed)
        found, square, done = [], np.zeros((fit.features.shape[1],) * 2), 0
        for n, penalty in zip(counts, chosen, strict=True):
            if n == len(fit) and seed:
                break  # all rows are one subset
            part = Rows(subset.features[:n], subset.labels[:n], subset.classes, "squared")
            if n >= len(square):
                block = subset.features[done:n]
                square, done = square + block.T @ block, n
            probe = ridge_fit(part, square if n >= len(square) else None, penalty)
            facts = {"n": int(n), "seed": None if n == len(fit) else seed, "penalty": penalty}
            found.append((facts | {"training_loss": probe.training_loss, "gcv": probe.gcv}, probe))
        return found

    points = [point for one in run_threads(chain, range(min(spec.seeds, SUBSETS)), threads) for point in one]
    points.sort(key=lambda point: point[0]["n"])
    return grid, [facts for facts, _ in points], [probe for _, probe in points]


def _least_squares(rows: Rows, basis: tuple[Matrix, Matrix]) -> tuple[dict[str, Any], Matrix] | None:
    """Rank, training loss and adapter of the unpenalised fit of all rows in the basis s, V; None if n ≤ rank."""
    (values, vectors), n = basis, len(rows)
    if n <= values.size:
        return None
    cross = vectors.T @ (rows.features.T @ one_hot(rows.labels, rows.classes) / n)
    training = max(1.0 - float((cross**2 / values[:, None]).sum()), 0.0)
    return {"rank": int(values.size), "training_loss": training}, vectors @ (cross / values[:, None])
