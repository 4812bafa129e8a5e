"""The spectral density of a symmetric matrix A [n, n] known by its products, and what its probes leave uncertain.

For a unit probe z, m Lanczos steps give a tridiagonal T = S diag(θ) Sᵀ, and (Gauss quadrature; Golub, Meurant 2010)

    zᵀ f(A) z = Σ_i w_i f(θ_i),   w_i = S_{1i}²,     exactly for polynomials f of degree ≤ 2m − 1

For z uniform on the sphere E zᵀf(A)z = tr f(A)/n. So the density is the mean of the probes' quadratures; its band is
Student's over probes, p − 1 degrees of freedom, pointwise. It is shown through a Gaussian of stated width: what is
between is the density of A blurred by that width, once m steps resolve it. Moments need no width.

Probes run in lockstep: one call of the products takes a row for each. Without reorthogonalisation three rows a probe
are kept; rounding then splits converged nodes into copies whose weights add up to the right one (Greenbaum 1989).

Source: Ubaru, Chen, Saad, SIAM J. Matrix Anal. 38 (2017); Lin, Saad, Yang, SIAM Review 58 (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from limen.arrays.random import stream

Floats = NDArray[np.float64]
Rows = NDArray[Any]
"""float32 or float64 [p, n]."""

BREAKDOWN = 32.0
"""Multiples of eps·‖T‖ at which a probe's space is invariant."""
POINTS = 512
ALIKE = 1e-6
"""Relative range of the nodes below which they are all one number."""


@dataclass(frozen=True, slots=True)
class Probing:
    """How the density is probed: p probes, m steps each."""

    probes: int = 8
    steps: int = 40
    reorthogonalise: bool = False
    """Keep all p·m rows: nodes are then free of copies."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Quadrature:
    """Nodes θ and weights w, each [p, m]; the weights of a probe add up to 1."""

    nodes: Floats
    weights: Floats
    products: int

    def moment(self, power: int) -> tuple[float, float]:
        """tr A^power/n and its standard error over probes; exact within each probe up to power 2m − 1.

        >>> Quadrature(np.array([[1.0, 3.0]]), np.array([[0.5, 0.5]]), 2).moment(2)[0]
        5.0
        """
        each = (self.weights * self.nodes**power).sum(axis=1)
        return float(each.mean()), float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else math.nan


@dataclass(frozen=True, slots=True)
class Blurred:
    """The density through a Gaussian: at `points` [G], with its pointwise band at `confidence`."""

    points: Floats
    density: Floats
    low: Floats
    high: Floats
    width: float
    confidence: float


def lanczos_quadrature(
    products: Callable[[Rows], Rows], size: int, probing: Probing, dtype: Any = np.float32
) -> Quadrature:
    """Quadratures of `probes` random unit rows; `products` maps rows [p, n] to rows [p, n] (A is symmetric).

    >>> q = lanczos_quadrature(lambda v: v * np.array([1.0, 2.0]), 2, Probing(probes=3, steps=5), np.float64)
    >>> bool(np.allclose(np.sort(q.nodes), [1.0, 2.0])), q.products
    (True, 6)
    """
    steps, p = min(probing.steps, size), probing.probes
    draws = [stream("spectral density", probing.seed, size, i).standard_normal(size) for i in range(p)]
    now = np.stack([(z / np.linalg.norm(z)).astype(dtype) for z in draws])
    before, kept = np.zeros_like(now), []
    alpha, beta = np.zeros((p, steps)), np.zeros((p, steps))
    for j in range(steps):
        if probing.reorthogonalise:
            kept.append(now)
        image = np.array(products(now), dtype)
        if j:
            image -= beta[:, j - 1 : j].astype(dtype) * before
        alpha[:, j] = np.einsum("pn,pn->p", now, image, dtype=np.float64)
        image -= alpha[:, j : j + 1].astype(dtype) * now
        for row in [*kept, *kept]:
            image -= np.einsum("pn,pn->p", row, image)[:, None] * row
        beta[:, j] = np.linalg.norm(image, axis=1)
        zero = BREAKDOWN * np.finfo(dtype).eps * np.maximum(np.abs(alpha).max(axis=1), beta.max(axis=1))
        beta[beta[:, j] <= zero, j] = 0.0  # the probe's space is complete: what follows has weight 0
        alive = beta[:, j] > 0
        before, now = now, np.where(alive[:, None], image / np.where(alive, beta[:, j], 1.0).astype(dtype)[:, None], 0)
    return Quadrature(*_gauss(alpha, beta[:, :-1]), products=p * steps)


def blurred(quadrature: Quadrature, width: float | None = None, confidence: float = 0.95) -> Blurred:
    """The density of a quadrature of two or more probes through a Gaussian of standard deviation `width`.

    Width None: 1/50 of the range of the nodes; of the largest |node| where they are all one number (a multiple of the
    identity, whose density is a spike of any width), 1/50 where that number is 0. The points cover all nodes and three
    widths beyond. Raises ValueError for one probe, or a width that is not above 0.

    >>> two = Quadrature(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.5, 0.5], [0.5, 0.5]]), 4)
    >>> d = blurred(two, 0.1)
    >>> round(float((d.density * np.gradient(d.points)).sum()), 2)
    1.0
    """
    if len(quadrature.nodes) < 2:
        raise ValueError("probes: expected at least 2 for a band, got 1")
    low, high = float(quadrature.nodes.min()), float(quadrature.nodes.max())
    if width is None:
        size = max(abs(low), abs(high))
        width = (high - low if high - low > ALIKE * size else size or 1.0) / 50
    if not width > 0:
        raise ValueError(f"width: expected a number above 0, got {width}")
    points = np.linspace(low - 3 * width, high + 3 * width, POINTS)
    each = np.empty((len(quadrature.nodes), POINTS))
    for probe, (nodes, weights) in enumerate(zip(quadrature.nodes, quadrature.weights, strict=True)):
        each[probe] = (
            np.exp(-0.5 * ((points[:, None] - nodes) / width) ** 2) @ weights / (width * math.sqrt(2 * math.pi))
        )
    half = student.ppf((1 + confidence) / 2, len(each) - 1) * each.std(axis=0, ddof=1) / math.sqrt(len(each))
    density = each.mean(axis=0)
    return Blurred(points, density, density - half, density + half, width, confidence)


def _gauss(alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """Nodes and weights of tridiagonals; rows behind a β of 0 have weight 0 and take the first node."""
    nodes, weights = np.empty_like(alpha), np.zeros_like(alpha)
    for probe in range(len(alpha)):
        ends = np.flatnonzero(beta[probe] == 0)
        m = int(ends[0]) + 1 if len(ends) else alpha.shape[1]
        tridiagonal = np.diag(alpha[probe, :m]) + np.diag(beta[probe, : m - 1], 1) + np.diag(beta[probe, : m - 1], -1)
        theta, vectors = np.linalg.eigh(tridiagonal)
        nodes[probe], nodes[probe, :m], weights[probe, :m] = theta[0], theta, vectors[0] ** 2
    return nodes, weights
