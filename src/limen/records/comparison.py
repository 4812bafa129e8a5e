"""The paired comparison of two encoders (or methods) on the same rows of one task.

Two counts of rows occur and are never mixed. Errors and losses are compared on the n rows held out by both; floors on
the n_pool rows that both fitted or held out. What a person labels is the file: rows of the file = n_pool/0.95, since
5 % of the rows are the design part. Where a test file is the holdout, the same rule takes train and test together as
the file; it is then high by at most 5 % of the test rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from limen.records.estimate import Estimate

POOL_SHARE = 0.95
"""Share of the rows of a file that are fitted or held out; the rest is the design part, which no loss is taken on."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences a − b with paired intervals, Holm-corrected McNemar p, and whether they can be told apart."""

    a: str
    b: str
    task: str
    n: int
    """Held-out rows on which both were scored."""
    error_difference: Estimate
    loss_difference: Estimate
    floor_difference: Estimate
    p_holm: float
    separable: bool
    """Whether the floors' paired difference excludes 0."""
    n_to_separate: int | None
    """Rows of the file (as `n_file`) at which the observed difference of floors would be told from 0.

    None if separable or not foreseeable.
    """
    n_pool: int | None = None
    """Rows, fitted or held out, behind the floors' difference; None where it rests on the held-out rows alone."""

    @property
    def n_file(self) -> int | None:
        """Rows of the file behind the floors' difference: n_pool/0.95, None where it rests on the held-out rows."""
        return None if self.n_pool is None else rows_in_file(self.n_pool)

    def to_json(self) -> dict[str, Any]:
        """Plain data under the stable keys of `comparisons[]`."""
        return {
            "a": self.a,
            "b": self.b,
            "task": self.task,
            "n": self.n,
            "error_difference": self.error_difference.to_json(),
            "loss_difference": self.loss_difference.to_json(),
            "floor_difference": self.floor_difference.to_json(),
            "p_holm": self.p_holm,
            "separable": self.separable,
            "n_to_separate": self.n_to_separate,
            "n_pool": self.n_pool,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        keys = ("error_difference", "loss_difference", "floor_difference")
        return cls(**{**plain, **{key: Estimate.from_json(plain[key]) for key in keys}})


def rows_in_file(pool: float) -> int:
    """Least rows of a file whose fitted and held-out rows are `pool`.

    >>> rows_in_file(475), rows_in_file(475.2)
    (500, 501)
    """
    return math.ceil(round(pool / POOL_SHARE, 6))  # 475/0.95 is a little above 500 in floating point
