"""Grey images whose pixels are jointly normal, of which the least errors of restoring them are linear algebra.

x = ½ + σ z, z ~ N(0, Σ), Σ_{uv} = r^{|u_1 − v_1| + |u_2 − v_2|} over the p pixels u, v: unit variances. In the units of
the encoder, which divides by the standard deviation of a pixel:

autoencoder   tr(Σ − Σ(Σ + τ²)⁻¹Σ)/p = (1/p) Σ_i λ_i τ²/(λ_i + τ²), τ the noise: E(x | x̃) is linear
masked        mean over the subsets S of h of the P patches of tr(Σ_SS − Σ_SV Σ_VV⁻¹ Σ_VS)/|S|, V the pixels left,
              h = ⌈share·P⌉

The encoder's own mean and standard deviation are those of its training images, of n of them off by about 1/√n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limen.arrays.random import stream
from limen.data.worlds.world import Matrix

SCALE = 0.05
"""σ: ten of them are the distance to 0 and 1, so that no image leaves [0, 1]."""
SUBSETS = 20_000
"""More subsets of hidden patches than these are not gone through."""


@dataclass(frozen=True, slots=True, eq=False)
class GaussianField:
    """The field; a table of it holds images that are drawn independently.

    >>> field = GaussianField("white", side=4, correlation=0.0, rows=1)
    >>> round(field.autoencoder(1.0), 12), field.masked(2, 0.5)
    (0.5, 1.0)
    """

    name: str
    side: int
    """Pixels a side."""
    correlation: float
    """r, of neighbouring pixels."""
    rows: int
    input = "image"

    @property
    def kinds(self) -> dict[str, str]:
        """Columns of a table and their kinds."""
        return {"image": "image"}

    def columns(self, part: str) -> dict[str, NDArray[Any]]:
        """Images [n, side, side, 1]."""
        drawn = stream("world", self.name, part).standard_normal((self.rows, self.side**2))
        pixels = 0.5 + SCALE * drawn @ np.linalg.cholesky(self.covariance).T
        return {"image": pixels.reshape(self.rows, self.side, self.side, 1).astype(np.float32)}

    @property
    def covariance(self) -> Matrix:
        """Σ [p, p], pixels row by row."""
        line = self.correlation ** np.abs(np.subtract.outer(np.arange(self.side), np.arange(self.side)))
        return np.asarray(np.kron(line, line))

    def autoencoder(self, noise: float) -> float:
        """Least error of restoring images with noise."""
        spectrum = np.linalg.eigvalsh(self.covariance)
        return float((spectrum * noise**2 / (spectrum + noise**2)).mean())

    def masked(self, patches: int, share: float) -> float | None:
        """Least error of restoring hidden patches, of `patches` a side; None where there are too many subsets."""
        hidden = math.ceil(round(share * patches**2, 9))
        if math.comb(patches**2, hidden) > SUBSETS:
            return None
        line = np.arange(self.side) * patches // self.side
        patch = (line[:, None] * patches + line).reshape(-1)
        errors = [_left(self.covariance, np.isin(patch, s)) for s in combinations(range(patches**2), hidden)]
        return float(np.mean(errors))


def _left(covariance: Matrix, hidden: NDArray[np.bool_]) -> float:
    """Mean over the hidden pixels of their variance given the others."""
    if hidden.all():
        return float(np.trace(covariance) / len(hidden))
    across = covariance[hidden][:, ~hidden]
    told = across @ np.linalg.solve(covariance[~hidden][:, ~hidden], across.T)
    return float(np.trace(covariance[hidden][:, hidden] - told) / hidden.sum())
