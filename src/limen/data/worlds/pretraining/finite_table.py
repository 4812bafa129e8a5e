"""A population of finitely many images and classes, of which the least loss of several objectives is known.

P(x, c) for V images x and C classes c; p its law of images, ρ its law of classes, q_x(c) = P(c | x).

supervised    log: Σ_x p_x H(q_x) nats;   half squared error of one-hot labels: ½ Σ_x p_x (1 − ‖q_x‖²)
spectral      −Σ_{i ≤ k} λ_i², over the positive of the k largest eigenvalues of Ā_{xx'} = w_{xx'}/√(p_x p_x'), where
              w_{xx'} = Σ_c P(x, c) P(x', c)/ρ_c for pairs of one class, p_x δ_{xx'} where a view is the image itself

The other two have groups g with law r: classes that share no image, or single images. n independent negatives of an
anchor of group g are m times of its group, m ~ Binomial(n, r_g); P(m) is its law over g ~ r. For n_g groups of equal
probability, and for two groups of any, with s = n_g/(n_g − 1):

contrastive   Σ_m P(m) ℓ(m zeros, n − m times s R²),    logistic ℓ = log₂(1 + m + (n − m) e^{−sR²}),
                                                        hinge    ℓ = 1 for m > 0, max(0, 1 − s R²) for m = 0
NT-Xent       Σ_m P(m) ln(1 + 2m + 2(n − m) e^{−s/T}),  n = B − 1, where a view is the image itself

because, groups given, ℓ is convex in the products and falls with each, so that by Jensen their means may replace them;
a negative of the anchor's group has mean 0, and one of another group on average at most s R² (sum over ordered pairs
of ⟨μ_g, μ_g − μ_h⟩ = n_g Σ‖μ_g‖² − ‖Σμ_g‖²). Equality: every group one point of a regular simplex about 0, in
n_g − 1 dimensions or more. Blocks do not change it.

Source: Arora et al. 2019 (arXiv:1902.09229), HaoChen et al. 2021 (arXiv:2106.04156); the simplex derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.data.worlds.world import Matrix

SIDE = 8
"""Pixels a side of the images."""


@dataclass(frozen=True, slots=True, eq=False)
class FiniteTable:
    """The population; a table of it holds every (image, class) in proportion to its probability, in random order.

    >>> world = FiniteTable("two", np.array([[3, 0], [0, 1]]), copies=10)
    >>> world.rows, world.classes.tolist(), world.bayes("log")
    (40, [0.75, 0.25], 0.0)
    """

    name: str
    counts: NDArray[np.int64]
    """[V, C], proportional to P(x, c)."""
    copies: int
    """Rows of a table for each count."""
    input = "image"

    @property
    def rows(self) -> int:
        """Rows of a table."""
        return int(self.counts.sum()) * self.copies

    @property
    def kinds(self) -> dict[str, str]:
        """Columns of a table and their kinds."""
        return {"image": "image", "label": "number"}

    def columns(self, part: str) -> dict[str, NDArray[Any]]:
        """Images [n, 8, 8, 1] of zeros and ones and classes [n]; `part` decides their order."""
        images, classes = self.counts.shape
        pairs = np.repeat(np.arange(images * classes), self.counts.reshape(-1) * self.copies)
        pairs = stream("world", self.name, part).permutation(pairs)
        drawn = stream("world images", self.name).integers(0, 2, (images, SIDE, SIDE, 1)).astype(np.float32)
        return {"image": drawn[pairs // classes], "label": (pairs % classes).astype(np.int64)}

    @property
    def joint(self) -> Matrix:
        """P(x, c) [V, C]."""
        return np.asarray(self.counts / self.counts.sum())

    @property
    def images(self) -> Matrix:
        """p [V]."""
        return np.asarray(self.joint.sum(axis=1))

    @property
    def classes(self) -> Matrix:
        """ρ [C]."""
        return np.asarray(self.joint.sum(axis=0))

    def bayes(self, loss: str) -> float:
        """Least supervised loss: `log` in nats, or `squared`."""
        given = self.joint / self.images[:, None]
        if loss == "squared":
            return float(0.5 * self.images @ (1 - (given**2).sum(axis=1)))
        logs = np.log(given, where=given > 0, out=np.zeros_like(given))
        return float(-(self.joint * logs).sum()) + 0.0

    def spectral(self, pairs: str, k: int) -> float:
        """Least spectral contrastive loss of k dimensions, pairs = `label` or `views`."""
        similar = np.diag(self.images)
        if pairs == "label":
            similar = self.joint / self.classes @ self.joint.T
        largest = np.linalg.eigvalsh(similar / np.sqrt(np.outer(self.images, self.images)))[::-1][:k]
        return float(-(np.maximum(largest, 0) ** 2).sum())

    def groups(self, pairs: str) -> Matrix | None:
        """r [n_g], of classes (`label`; None where two of them share an image) or of images (`views`)."""
        if pairs == "views":
            return self.images
        return self.classes if bool(((self.counts > 0).sum(axis=1) == 1).all()) else None


def contrastive(groups: Matrix, negatives: int, surrogate: str, radius: float) -> float | None:
    """Least contrastive loss (base 2); None for more than two groups of unequal probability.

    >>> half = np.array([0.5, 0.5])
    >>> contrastive(half, 1, "hinge", 1.0), round(contrastive(half, 1, "logistic", 1.0), 6)
    (0.5, 0.591559)
    """
    if (law := collisions(groups, negatives)) is None:
        return None
    apart = radius**2 * len(groups) / (len(groups) - 1)
    same = np.arange(negatives + 1)
    if surrogate == "hinge":
        losses = np.where(same > 0, 1.0, max(0.0, 1.0 - apart))
    else:
        losses = np.log2(1 + same + (negatives - same) * math.exp(-apart))
    return float(law @ losses)


def nt_xent(groups: Matrix, batch: int, temperature: float) -> float | None:
    """Least NT-Xent of a batch of images without augmentation; None for more than two of unequal probability.

    >>> round(nt_xent(np.array([0.5, 0.5]), 2, 1.0) - (math.log(3) + math.log(1 + 2 * math.exp(-2))) / 2, 12)
    0.0
    """
    if (law := collisions(groups, batch - 1)) is None:
        return None
    apart = len(groups) / (len(groups) - 1) / temperature
    same = np.arange(batch)
    return float(law @ np.log(1 + 2 * same + 2 * (batch - 1 - same) * math.exp(-apart)))


def collisions(groups: Matrix, negatives: int) -> Matrix | None:
    """P(m) [n + 1], negatives of the anchor's group; None where the least loss is not known for such groups.

    >>> collisions(np.array([0.5, 0.5]), 2).round(6).tolist()
    [0.25, 0.5, 0.25]
    """
    if len(groups) < 2 or (len(groups) > 2 and not np.allclose(groups, groups[0], rtol=1e-12)):
        return None
    return np.array([sum(r * _binomial(negatives, m, r) for r in groups.tolist()) for m in range(negatives + 1)])


def _binomial(n: int, m: int, r: float) -> float:
    """P(m) of n draws with probability r, by logarithms: n choose m of large batches is no float."""
    ways = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)
    return math.exp(ways + m * math.log(r) + (n - m) * math.log1p(-r))
