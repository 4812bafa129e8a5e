"""What is read off an encoder before any task is known, or beside one, and how well it orders encoders.

A surrogate is a number of an encoder that is cheaper than its floor and is hoped to order encoders as the floor does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from limen.records.estimate import Estimate

BETTER: Mapping[str, Literal["low", "high"]] = {
    "alignment": "low",
    "uniformity": "low",
    "spectral_loss": "low",
    "pretraining_loss": "low",
    "rank_me": "high",
    "effective_rank": "high",
    "logme": "high",
    "h_score": "high",
    "h_score_shrunk": "high",
}
"""Which end of a surrogate is hoped to be the better encoder."""


@dataclass(frozen=True, slots=True)
class Surrogates:
    """Surrogates of one encoder on one set of rows; those whose inputs were not given are absent."""

    encoder: str
    n: int
    dimension: int
    values: Mapping[str, Estimate] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        values = {name: value.to_json() for name, value in self.values.items()}
        return {"encoder": self.encoder, "n": self.n, "dimension": self.dimension, "values": values}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        values = {name: Estimate.from_json(value) for name, value in plain["values"].items()}
        return cls(plain["encoder"], plain["n"], plain["dimension"], values)


@dataclass(frozen=True, slots=True)
class SurrogateRanking:
    """Kendall's tau-b of one surrogate with the measured target, by the kind of pair; 1 = the better one is named.

    Signs are those of `BETTER`: tau is 1 where the encoder that the surrogate calls better has the lower target.
    """

    surrogate: str
    target: str
    """What was measured: `minimal_adaptation_loss`, `adaptation_loss`, `error`."""
    runs: int
    families: int
    within_run: Estimate
    """Pairs of checkpoints of one run."""
    within_family: Estimate
    """Pairs of two runs of one family."""
    across_families: Estimate
    """Pairs of two runs of different families."""
    overall: Estimate
    """All pairs."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        kinds = ("within_run", "within_family", "across_families", "overall")
        plain = {key: getattr(self, key) for key in ("surrogate", "target", "runs", "families")}
        return plain | {kind: getattr(self, kind).to_json() for kind in kinds}
