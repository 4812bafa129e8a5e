"""The paired comparison of two encoders (or methods) on the same rows of one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from limen.records.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences a − b with paired intervals, Holm-corrected McNemar p, and whether they can be told apart."""

    a: str
    b: str
    task: str
    n: int
    """Rows on which both were scored."""
    error_difference: Estimate
    loss_difference: Estimate
    floor_difference: Estimate
    p_holm: float
    separable: bool
    """Whether the floors' paired difference excludes 0."""
    n_to_separate: int | None
    """Rows at which the observed difference of floors would be told from 0; None if separable or not foreseeable."""

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
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        keys = ("error_difference", "loss_difference", "floor_difference")
        return cls(**{**plain, **{key: Estimate.from_json(plain[key]) for key in keys}})
