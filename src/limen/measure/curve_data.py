"""The points of a learning curve as the law, its jackknife and its back-test read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limen.arrays.checks import Floats
from limen.records.errors import BadInput, Problem


@dataclass(frozen=True, slots=True)
class CurveData:
    """Losses at k label counts, averaged over seeds at each; label counts in any order.

    Deleted refits: the rows of group j are removed from fit and holdout alike and the whole grid is fitted again, so
    the spread over groups carries the noise of both. Raises BadInput naming every array of a wrong shape.
    """

    n: NDArray[np.int64]
    """Label counts [k], distinct, at least 1."""
    holdout: Floats
    """Held-out loss of every row [k, m]: the same m rows at every label count."""
    train: Floats | None = None
    """Mean training loss [k]; None for an adapter without a train side."""
    groups: NDArray[np.int64] | None = None
    """Group of every held-out row [m]: rows of one group are one unit; None = every row is its own."""
    by_seed: Floats | None = None
    """Mean held-out loss of every seed [s, k], for the noise of subset choice in the test for a peak."""
    deleted_test: Floats | None = None
    """Mean held-out loss [g, k] of the refits without row group j."""
    deleted_train: Floats | None = None
    """Mean training loss [g, k] of the same refits; needed where `train` is given."""
    deleted_n: Floats | None = None
    """Label counts [g, k] left after the deletion; None = the refits had the counts `n`."""
    dimension: int | None = None
    """Number of features, where a peak is to be expected without a penalty."""

    def __post_init__(self) -> None:
        problems = [*self._shapes(), *self._values()]
        if problems:
            raise BadInput(problems)

    def _shapes(self) -> list[Problem]:
        k = self.n.shape[0] if self.n.ndim == 1 else 0
        m = self.holdout.shape[-1] if self.holdout.ndim == 2 else 0
        g = self.deleted_test.shape[0] if self.deleted_test is not None and self.deleted_test.ndim == 2 else 0
        s = self.by_seed.shape[0] if self.by_seed is not None and self.by_seed.ndim == 2 else 0
        expected = {
            "n": (k,),
            "holdout": (k, m),
            "train": (k,),
            "groups": (m,),
            "by_seed": (s, k),
            "deleted_test": (g, k),
            "deleted_train": (g, k),
            "deleted_n": (g, k),
        }
        problems = []
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and (array.shape != shape or array.size == 0):
                wanted = f"k = {k} label counts, m = {m} held-out rows, g = {g} deletions"
                problems.append(Problem(f"curve.{name}", f"expected shape {shape} with {wanted}, got {array.shape}"))
        if self.deleted_test is None and not (self.deleted_train is None and self.deleted_n is None):
            problems.append(Problem("curve.deleted_test", "expected with deleted_train and deleted_n, got none"))
        if self.deleted_test is not None and (self.train is None) != (self.deleted_train is None):
            problems.append(Problem("curve.deleted_train", "expected exactly when train is given"))
        return problems

    def _values(self) -> list[Problem]:
        problems = []
        for name in ("holdout", "train", "by_seed", "deleted_test", "deleted_train", "deleted_n"):
            array = getattr(self, name)
            if array is not None and not np.isfinite(array).all():
                problems.append(
                    Problem(
                        f"curve.{name}",
                        f"expected finite numbers, got {int((~np.isfinite(array)).sum())} NaN or infinite",
                        cause="a fit diverged",
                        fix="leave that label count out",
                    )
                )
        if self.n.size and (self.n.min() < 1 or np.unique(self.n).size < self.n.size):
            problems.append(Problem("curve.n", f"expected distinct label counts of at least 1, got {self.n.tolist()}"))
        if self.deleted_n is not None and self.deleted_n.size and not self.deleted_n.min() > 0:
            problems.append(Problem("curve.deleted_n", f"expected numbers above 0, got {self.deleted_n.min()}"))
        return problems

    @property
    def test(self) -> Floats:
        """Mean held-out loss [k]."""
        return np.asarray(self.holdout.mean(axis=1))

    def ordered(self) -> CurveData:
        """The same points with label counts ascending."""
        order = np.argsort(self.n)

        def columns(array: Floats | None) -> Floats | None:
            return None if array is None else array[:, order]

        return CurveData(
            n=self.n[order],
            holdout=self.holdout[order],
            train=None if self.train is None else self.train[order],
            groups=self.groups,
            by_seed=columns(self.by_seed),
            deleted_test=columns(self.deleted_test),
            deleted_train=columns(self.deleted_train),
            deleted_n=columns(self.deleted_n),
            dimension=self.dimension,
        )
